# SPDX-License-Identifier: Apache-2.0
"""OSB 2.17 "API Version Header", "Authentication", "Originating Identity", "Request Identity",
and the order of the checks: 401, 404 and 405, 412, 400, 422."""
import base64
import json
import time

import broker
import pytest
import rig
from broker import bad, refused

INSTANCE = "/v2/service_instances/none"
BINDING = INSTANCE + "/service_bindings/none"
ROUTES = [
    ("GET", "/v2/catalog"), ("HEAD", "/v2/catalog"),
    ("PUT", INSTANCE), ("GET", INSTANCE), ("PATCH", INSTANCE), ("DELETE", INSTANCE),
    ("GET", INSTANCE + "/last_operation"),
    ("PUT", BINDING), ("GET", BINDING), ("DELETE", BINDING),
    ("GET", BINDING + "/last_operation"),
]
NOWHERE = [("GET", "/"), ("GET", "/v2"), ("GET", "/v3/catalog"), ("GET", "/v2/catalog/x"),
           ("PUT", "/v2/service_instances"), ("GET", INSTANCE + "/service_bindings"),
           ("GET", INSTANCE + "/x"), ("POST", BINDING + "/last_operation/x")]
NOT_ALLOWED = [("POST", "/v2/catalog", "GET, HEAD"),
               ("DELETE", "/v2/catalog", "GET, HEAD"),
               ("POST", INSTANCE, "PUT, GET, HEAD, PATCH, DELETE"),
               ("PUT", INSTANCE + "/last_operation", "GET, HEAD"),
               ("PATCH", BINDING, "PUT, GET, HEAD, DELETE"),
               ("DELETE", BINDING + "/last_operation", "GET, HEAD")]

HASH = "$5$osbdtest$E1PnxkOFfTGPiopGfE7JIRNzVeGtSiDz4S62Nlt2O67"  # of "slowly"

SERVICES = [
    broker.service("plain", plan_updateable=True),
    broker.service("slow", [broker.plan("small", **{"async": "async"})], {"delay": "300ms"}),
    broker.service("kept", [broker.plan("small", **{"async": "async"})],
                   {"delay": "100ms", "private": {"note": "x"}}),
]


@pytest.fixture(scope="module")
def b(osbd_module, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secrets") / "password"
    secret.write_text("from-file\n")
    users = [
        {"name": "platform", "password": "secret"},
        {"name": "other", "password": "another"},
        {"name": "rotating", "passwords": ["new", "old"]},
        {"name": "hashed", "crypt": HASH},
        {"name": "filed", "password": {"file": str(secret)}},
        {"name": "envied", "password": {"env": "TEST_PASSWORD"}},
        {"name": "jürgen", "password": "grüße: überall"},
        {"name": "chief", "password": "chief", "role": "operator"},
        {"name": "watcher", "password": "watch", "role": "monitor"},
    ]
    return broker.start(osbd_module, SERVICES, users=users, env={"TEST_PASSWORD": "from-env"})


# -- the version ---------------------------------------------------------------------------

@pytest.mark.parametrize("method,path", ROUTES)
def test_version_is_required(b, method, path):
    r = b.ask(method, path, version=None)
    assert r.status_code == 400
    if method != "HEAD":
        bad(r, "X-Broker-API-Version", "2.17")


@pytest.mark.parametrize("method,path", ROUTES)
@pytest.mark.parametrize("version", ["", "2", "2.", ".17", "3.0", "1.17", "x", "2.x", "2.-1",
                                     "2.17.1", "2,17", "v2.17", "02.17", "2.17 2.16",
                                     "2.99999999999999999999"])
def test_version_that_is_not_ours(b, method, path, version):
    r = b.ask(method, path, version=version)
    assert r.status_code == 412
    if method != "HEAD":
        refused(r, 412, "PreconditionFailed", "2.17")


@pytest.mark.parametrize("version", [f"2.{minor}" for minor in (*range(18), 18, 99)])
def test_any_minor_version(b, version):
    assert b.ask("GET", "/v2/catalog", version=version).status_code == 200
    assert b.ask("GET", INSTANCE, version=version).status_code == 404


def test_version_header_in_any_case(b):
    r = b.ask("GET", "/v2/catalog", version=None, headers={"x-BROKER-api-VERSION": "2.15"})
    assert r.status_code == 200


# -- authentication --------------------------------------------------------------------------

def raw(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def unauthorized(r):
    assert r.status_code == 401, r.text
    assert r.headers["www-authenticate"].startswith("Basic realm=")
    if r.request.method != "HEAD":
        assert r.json()["error"] == "Unauthorized"


@pytest.mark.parametrize("method,path", ROUTES + NOWHERE)
def test_nobody_is_refused_before_anything_else(b, method, path):
    unauthorized(b.ask(method, path, auth=None))
    unauthorized(b.ask(method, path, auth=None, version=None))
    unauthorized(b.ask(method, path, auth=None, version="3.0", content="no json"))


def guess(b, **more):
    """Too many guesses get 429 for a second."""
    r = b.ask("GET", "/v2/catalog", **more)
    while r.status_code == 429:
        time.sleep(int(r.headers["retry-after"]))
        r = b.ask("GET", "/v2/catalog", **more)
    return r


@pytest.mark.parametrize("header", [
    "", "Basic", "Bearer c2VjcmV0", "Digest username=platform", "basic",
    "Basic platform:secret", "Basic !!!!", "Basic cGxhdGZvcm0=", "Basic cGxhdGZvcm06c2VjcmV",
    raw("", ""), raw("platform", ""), raw("platform", "secret "), raw("platform", "secre"),
    raw("Platform", "secret"), raw("platform", "another"), raw("other", "secret"),
    raw("platform\0", "secret"), raw("platform", "secret\0"),
    raw("nobody", "secret"), raw("rotating", "newold"), raw("envied", "TEST_PASSWORD"),
    raw("hashed", "$5$"), raw("watcher", "watch"),
    raw("platform", "secret") + "," + raw("platform", "secret"),
])
def test_wrong_credentials(b, header):
    unauthorized(guess(b, auth=None, headers={"Authorization": header}))


@pytest.mark.parametrize("user,password", [
    ("platform", "secret"), ("other", "another"), ("rotating", "new"), ("rotating", "old"),
    ("hashed", "slowly"), ("filed", "from-file"), ("envied", "from-env"),
    ("jürgen", "grüße: überall"), ("chief", "chief")])
def test_right_credentials(b, user, password):
    for _ in range(2):  # the second time from memory
        assert guess(b, auth=(user, password)).status_code == 200


def test_the_scheme_in_any_case(b):
    header = raw("platform", "secret").replace("Basic ", "bAsIC ")
    assert b.ask("GET", "/v2/catalog", auth=None,
                 headers={"Authorization": header}).status_code == 200


def test_a_hash_is_no_password(b):
    hashed = next(u for u in json.load(open(b.d.config))["users"] if u["name"] == "hashed")
    unauthorized(guess(b, auth=("hashed", hashed["crypt"])))
    unauthorized(guess(b, auth=("hashed", "Slowly")))


def test_guessing_is_limited_and_the_right_pair_is_not(osbd):
    b = broker.start(osbd, SERVICES)
    assert b.ask("GET", "/v2/catalog").status_code == 200
    codes = [b.ask("GET", "/v2/catalog", auth=("platform", f"guess{i}")).status_code
             for i in range(200)]
    assert codes[0] == 401 and set(codes) == {401, 429}
    r = b.ask("GET", "/v2/catalog", auth=("platform", "another guess"))
    refused(r, 429, "TooManyRequests")
    assert 1 <= int(r.headers["retry-after"]) <= 3600
    for _ in range(3):
        assert b.ask("GET", "/v2/catalog").status_code == 200


# -- the request's identity ------------------------------------------------------------------

def test_request_identity_is_echoed_on_every_status(b):
    identity = "e26cee84-6b38-4456-b34e-d1a9f002c956/~!#$&'()*+,;=:@"
    iid, running = rig.new_id(), rig.new_id()

    def ask(status, method, path, body=None, **more):
        r = b.ask(method, path, body, identity=identity, **more)  # ask looks at the echo
        assert r.status_code == status, r.text

    ask(401, "GET", "/v2/catalog", auth=None)
    ask(404, "GET", "/v2/nothing")
    ask(405, "POST", "/v2/catalog")
    ask(412, "GET", "/v2/catalog", version="3.0")
    ask(400, "PUT", INSTANCE, {})
    ask(400, "PUT", INSTANCE, {}, headers={"Content-Type": "text/plain"})
    ask(200, "GET", "/v2/catalog")
    ask(201, "PUT", f"/v2/service_instances/{iid}", b.provision_body("plain"))
    ask(409, "PUT", f"/v2/service_instances/{iid}", b.provision_body("plain", space_guid="x"))
    ask(404, "GET", INSTANCE)
    ask(404, "PATCH", INSTANCE, {"service_id": "x"})
    ask(422, "PUT", f"/v2/service_instances/{running}", b.provision_body("slow"))
    ask(202, "PUT", f"/v2/service_instances/{running}", b.provision_body("slow"),
        accepts_incomplete="true")
    s, p = b.ids("plain")
    ask(410, "DELETE", INSTANCE, service_id=s, plan_id=p)
    tag = b.ask("GET", "/v2/catalog").headers["etag"]
    headers = {"X-Broker-API-Version": "2.17", "If-None-Match": tag,
               "Authorization": raw("platform", "secret"),
               "X-Broker-API-Request-Identity": identity}
    r = b.d.http.get("/v2/catalog", headers=headers)
    assert r.status_code == 304 and r.headers["x-broker-api-request-identity"] == identity
    b.ended(running)


def test_request_identity_on_429(osbd):
    b = broker.start(osbd, [broker.service("slow", config={"delay": "500ms"}, max_running=1)],
                     limits={"max_waiting": 1})
    codes = []
    for _ in range(3):  # broker.Broker looks at the echo
        r = b.provision(rig.new_id(), "slow", wait="true", identity="x" * 500)
        codes.append(r.status_code)
    assert codes == [202, 202, 429]
    refused(r, 429, "TooManyRequests")
    assert int(r.headers["retry-after"]) >= 1


def test_no_identity_no_echo(b):
    for value in (None, ""):
        headers = {} if value is None else {"X-Broker-API-Request-Identity": value}
        r = b.d.ask("GET", "/v2/catalog", headers=headers)
        assert r.status_code == 200 and "x-broker-api-request-identity" not in r.headers


def test_a_response_cannot_be_split_by_the_identity(b):
    import socket
    with socket.create_connection(("127.0.0.1", b.d.port), 5) as s:
        s.sendall(b"GET /v2/catalog HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\n"
                  b"X-Broker-API-Request-Identity: a\rSet-Cookie: b\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400 ") and b"Set-Cookie" not in answer


# -- the originating identity ----------------------------------------------------------------

def originating(text):
    return {"X-Broker-API-Originating-Identity": text}


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("value", [
    {"user_id": "683ea748-3092-4ff4-b656-39cacc4d5360"}, {},
    {"username": "duke", "uid": "c2dde242", "groups": ["admin"], "extra": {"k": ["v"]}},
    {"user_id": "größe ✓"}])
@pytest.mark.parametrize("platform", ["cloudfoundry", "kubernetes", "of-our-own"])
def test_originating_identity(b, platform, value):
    headers = originating(f"{platform} {encoded(value)}")
    assert b.instance("none", headers=headers).status_code == 404
    assert b.ask("GET", "/v2/catalog", headers=headers).status_code == 200
    iid = rig.new_id()
    assert b.provision(iid, "plain", headers=headers).status_code == 201


@pytest.mark.parametrize("text", [
    "", "cloudfoundry", encoded({}), "cloudfoundry !!!",
    "cloudfoundry e30", "cloudfoundry " + base64.b64encode(b"no json").decode(),
    "cloudfoundry " + encoded([1]), "cloudfoundry " + encoded("x"), "cloudfoundry " + encoded(None),
    "cloudfoundry " + base64.b64encode(b'{"a":1,"a":2}').decode(),
    "cloudfoundry " + base64.b64encode(b'{"a":"\xff"}').decode(),
    "cloudfoundry " + base64.b64encode(b"{} {}").decode(),
    "cloudfoundry " + encoded({}) + " more"])
def test_malformed_originating_identity(b, text):
    iid = rig.new_id()
    bad(b.provision(iid, "plain", headers=originating(text)), "X-Broker-API-Originating-Identity")
    bad(b.instance(iid, headers=originating(text)), "X-Broker-API-Originating-Identity")
    assert b.instance(iid).status_code == 404


# -- the path --------------------------------------------------------------------------------

@pytest.mark.parametrize("method,path", NOWHERE)
def test_no_such_path(b, method, path):
    refused(b.ask(method, path), 404, "NotFound")
    refused(b.ask(method, path, version=None), 404, "NotFound")


@pytest.mark.parametrize("method,path,allow", NOT_ALLOWED)
def test_no_such_method(b, method, path, allow):
    r = b.ask(method, path)
    refused(r, 405, "MethodNotAllowed", allow)
    assert r.headers["allow"] == allow


def test_head_is_get_without_body(b):
    got, head = b.ask("GET", "/v2/catalog"), b.ask("HEAD", "/v2/catalog")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["etag"] == got.headers["etag"]
    iid = b.made("plain")
    assert b.ask("HEAD", f"/v2/service_instances/{iid}").status_code == 200
    assert b.ask("HEAD", INSTANCE).status_code == 404
    assert b.ask("HEAD", INSTANCE + "/last_operation").status_code == 404


# -- the order of the checks -----------------------------------------------------------------

def test_order(b):
    path = f"/v2/service_instances/{rig.new_id()}"
    broken = {"service_id": 1}
    good = b.provision_body("slow")
    unauthorized(b.ask("PUT", path, broken, auth=None, version="3.0"))
    refused(b.ask("PUT", path, broken, version="3.0"), 412, "PreconditionFailed")
    refused(b.ask("PUT", path, broken, version="3.0",
                  headers=originating("x")), 412, "PreconditionFailed")
    bad(b.ask("PUT", path, broken), "service_id")
    bad(b.ask("PUT", path, {**good, "parameters": 1}), "parameters")
    bad(b.ask("PUT", path, {**good, "context": 1}), "context")
    r = b.ask("PUT", path, good)
    assert (r.status_code, r.json()) == (422, broker.ASYNC_REQUIRED)
    assert b.ask("GET", path).status_code == 404


@pytest.mark.parametrize("kind,status", [
    (None, 201), ("application/json", 201), ("application/json; charset=utf-8", 201),
    ("APPLICATION/JSON", 201), ("application/vnd.platform+json", 201),
    ("text/plain", 400), ("application/x-www-form-urlencoded", 400), ("json", 400),
    ("application/jsonx", 400)])
def test_content_type(b, kind, status):
    path = f"/v2/service_instances/{rig.new_id()}"
    headers = {"Content-Type": kind} if kind else {}
    r = b.ask("PUT", path, content=json.dumps(b.provision_body("plain")), headers=headers)
    assert r.status_code == status, r.text
    if status == 400:
        bad(r, "Content-Type")
        assert b.ask("GET", path).status_code == 404


