# SPDX-License-Identifier: Apache-2.0
"""Input that is wrong, hostile or cut off: a clear answer, and nothing has changed."""
import base64
import json
import os
import re
import socket
import time
import urllib.parse

import broker
import pytest
import rig
from broker import bad, refused

SERVICES = [broker.service("plain", [broker.plan("small", **{"async": "both"}),
                                     broker.plan("large", **{"async": "both"})],
                           plan_updateable=True),
            broker.service("slow", config={"delay": {"provision": "20s", "deprovision": "100ms"}})]


@pytest.fixture(scope="module")
def b(osbd_module):
    b = broker.start(osbd_module, SERVICES, store={"memory": {}},
                     limits={"body_timeout": "2s", "header_timeout": "2s"})
    assert b.catalog()
    return b


@pytest.fixture(autouse=True)
def alive(b):
    """Whatever a test sends, the daemon stays up and small."""
    before = fds(b)
    yield
    assert b.ask("GET", "/v2/catalog").status_code == 200
    assert b.d.tasks() == 1
    assert rig.wait_until(lambda: fds(b) <= before + 1, 5), (before, fds(b))


def fds(b):
    return len(os.listdir(f"/proc/{b.d.process.pid}/fd"))


# -- raw HTTP --------------------------------------------------------------------------------------

AUTH = "Authorization: Basic " + base64.b64encode(b"platform:secret").decode()
VERSION = "X-Broker-API-Version: 2.17"


def talk(b, data, close=False, wait=5.0):
    """Sends, and returns all that comes until the other side closes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", b.d.port), 5) as s:
        s.settimeout(wait)
        try:
            s.sendall(data)
            if close:
                s.shutdown(socket.SHUT_WR)
            while chunk := s.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
    return answer


def http(method, path, *lines, body=b"", host="Host: x"):
    head = [f"{method} {path} HTTP/1.1", *([host] if host else []), AUTH, VERSION, *lines]
    return "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def parts(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1").lower(), body


def error_and_close(answer, code):
    """One answer with a JSON error, then the end of the connection."""
    assert status(answer) == code, answer[:400]
    head, body = parts(answer)
    assert "connection: close" in head and "content-type: application/json" in head
    parsed = json.loads(body)
    assert parsed["error"] and parsed["description"]
    assert not re.search(rb"\nHTTP/1\.1 ", answer)


def put(b, iid, *lines, body=None):
    text = json.dumps(b.provision_body("plain")).encode() if body is None else body
    return http("PUT", f"/v2/service_instances/{iid}", *lines, body=text)


def length(b):
    return len(json.dumps(b.provision_body("plain")).encode())


SMUGGLED = b"DELETE /v2/service_instances/kept?service_id=x&plan_id=y HTTP/1.1\r\nHost: x\r\n\r\n"

# Lines of a PUT whose body is well: {n} is its length.
AMBIGUOUS = {
    "two lengths": ["Content-Length: {n}", "Content-Length: {m}"],
    "the same length twice": ["Content-Length: {n}", "Content-Length: {n}"],
    "a list of lengths": ["Content-Length: {n}, {n}"],
    "plus": ["Content-Length: +{n}"],
    "minus": ["Content-Length: -1"],
    "hexadecimal": ["Content-Length: 0x10"],
    "overflow": ["Content-Length: 99999999999999999999999"],
    "wraps to 64 bits": ["Content-Length: 18446744073709551617"],
    "empty length": ["Content-Length: "],
    "a length with a space": ["Content-Length: 1 0"],
    "length and chunked": ["Content-Length: {n}", "Transfer-Encoding: chunked"],
    "chunked and length": ["Transfer-Encoding: chunked", "Content-Length: {n}"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "chunked, chunked": ["Transfer-Encoding: chunked, chunked"],
    "chunked is not last": ["Transfer-Encoding: chunked, identity"],
    "unknown coding": ["Transfer-Encoding: xchunked"],
    "gzip": ["Transfer-Encoding: gzip, chunked"],
    "folded": ["Content-Length: {n}", "X-A: b\r\n c"],
    "folded with tab": ["Content-Length: {n}", "X-A: b\r\n\tc"],
    "space before the colon": ["Content-Length : {n}"],
    "tab before the colon": ["Transfer-Encoding\t: chunked"],
    "no colon": ["Content-Length {n}"],
    "empty name": [": x", "Content-Length: {n}"],
    "NUL in a value": ["X-A: a\0b", "Content-Length: {n}"],
    "NUL in a name": ["X\0A: b", "Content-Length: {n}"],
    "control in a name": ["X\x01A: b", "Content-Length: {n}"],
    "bare CR": ["X-A: a\rb", "Content-Length: {n}"],
    "bare LF": ["X-A: a\nContent-Length: {n}"],
    "two hosts": ["Host: y", "Content-Length: {n}"],
    "a space first": [" Content-Length: {n}"],
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_ambiguous_messages(b, case):
    iid = rig.new_id()
    lines = [line.format(n=length(b), m=length(b) + 1) for line in AMBIGUOUS[case]]
    error_and_close(talk(b, put(b, iid, *lines) + SMUGGLED), 400)
    refused(b.instance_last(iid), 404, "NotFound")


@pytest.mark.parametrize("first", [
    b"GET /v2/catalog HTTP/1.1\nHost: x\n\n", b"GET /v2/catalog HTTP/1.1\r\n\r\n",
    b"GET /v2/catalog HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET /v2/catalog HTTP/1.1 \r\nHost: x\r\n\r\n", b"GET /v2/cat alog HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/catalog\x00 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v2/catalog\r\n\r\n",
    b"GE\x00T /v2/catalog HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
    b"FROB /v2/catalog HTTP/1.1\r\nHost: x\r\n\r\n", b"get /v2/catalog HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
])
def test_broken_request_lines(b, first):
    answer = talk(b, first + SMUGGLED)
    assert status(answer) in (400, 405, 501, 505), answer
    error_and_close(answer, status(answer))


@pytest.mark.parametrize("path", ["v2/catalog", "http://x/v2/catalog", "*", "?", "x:443"])
def test_other_forms_of_a_target(b, path):
    answer = talk(b, http("GET", path, "Connection: close"))
    assert status(answer) in (200, 400, 404), answer
    if path.startswith("http"):
        return
    assert status(answer) != 200


def test_broken_chunks(b):
    body = json.dumps(b.provision_body("plain")).encode()
    n = b"%x" % len(body)
    for chunks in (b"x\r\n" + body, n + b"\r\n" + body + b"XX0\r\n\r\n",
                   b"-1\r\n" + body + b"\r\n0\r\n\r\n", n + b" \n" + body + b"\r\n0\r\n\r\n",
                   b"ffffffffffffffff1\r\n" + body, b"0x" + n + b"\r\n" + body + b"\r\n0\r\n\r\n",
                   n + b";a\nb\r\n" + body + b"\r\n0\r\n\r\n",
                   n + b"\r\n" + body + b"\n0\n\n",
                   n + b"\r\n" + body + b"\r\n0\r\nContent-Length: 5\r\n\r\n"):
        iid = rig.new_id()
        answer = talk(b, put(b, iid, "Transfer-Encoding: chunked", body=chunks) + SMUGGLED)
        assert status(answer) in (400, 413), (chunks[:20], answer[:300])
        error_and_close(answer, status(answer))
        refused(b.instance_last(iid), 404, "NotFound")


def test_good_chunks(b):
    body = json.dumps(b.provision_body("plain")).encode()
    for chunks in (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
                   b"1\r\n{\r\n%X;ext=\"a\"\r\n%s\r\n000\r\n\r\n" % (len(body) - 1, body[1:]),
                   b"%x\r\n%s\r\n0\r\nX-Trailer: a\r\nX-More: b\r\n\r\n" % (len(body), body)):
        iid = rig.new_id()
        answer = talk(b, put(b, iid, "Transfer-Encoding: chunked", "Connection: close",
                             body=chunks))
        assert status(answer) == 201, answer


def test_incomplete_bodies_have_no_effect(b):
    body = json.dumps(b.provision_body("plain")).encode()
    for lines, sent in ((["Content-Length: %d" % (len(body) + 1)], body),
                        (["Content-Length: %d" % len(body)], body[:-1]),
                        (["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n" % (len(body), body)),
                        (["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n0\r\n" % (len(body), body)),
                        (["Transfer-Encoding: chunked"], b"%x\r\n%s" % (len(body) + 5, body))):
        iid = rig.new_id()
        answer = talk(b, put(b, iid, *lines, body=sent), close=True)
        assert not answer or status(answer) in (400, 408), answer
        refused(b.instance_last(iid), 404, "NotFound")
        with socket.create_connection(("127.0.0.1", b.d.port), 5) as s:
            s.sendall(put(b, iid, *lines, body=sent))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
        refused(b.instance_last(iid), 404, "NotFound")


def test_slow_bodies_are_cut_off(b):
    iid = rig.new_id()
    began = time.monotonic()
    answer = talk(b, put(b, iid, "Content-Length: 5000", body=b"{"), wait=10)
    assert not answer or status(answer) == 408
    answer = talk(b, b"GET /v2/catalog HTTP/1.1\r\nHost:", wait=10)
    assert not answer or status(answer) == 408
    assert 3 < time.monotonic() - began < 9
    refused(b.instance_last(iid), 404, "NotFound")


def test_pipelined_requests_are_answered_in_order(b):
    one, two = rig.new_id(), rig.new_id()
    n = "Content-Length: %d" % length(b)
    answer = talk(b, put(b, one, n) + put(b, two, n) +
                  http("GET", f"/v2/service_instances/{one}") + http("GET", "/v2/nothing") +
                  http("GET", "/v2/catalog", "Connection: close"))
    codes = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert codes == [201, 201, 200, 404, 200]


def test_expect_continue(b):
    iid = rig.new_id()
    body = json.dumps(b.provision_body("plain")).encode()
    with socket.create_connection(("127.0.0.1", b.d.port), 5) as s:
        s.sendall(put(b, iid, "Expect: 100-continue", "Content-Length: %d" % len(body),
                      "Connection: close", body=b""))
        assert s.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(body)
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    assert status(answer) == 201


def test_too_large(b):
    filler = "X-Filler: " + "x" * 90
    for code, data in (
            (414, http("GET", "/v2/" + "x" * 9000)),
            (431, http("GET", "/v2/catalog", "X-Long: " + "x" * 100_000)),
            (431, http("GET", "/v2/catalog", *[filler] * 1000)),
            (431, http("GET", "/v2/catalog", *[f"X-{i}: y" for i in range(10_000)])),
            (413, put(b, "large", "Content-Length: 1073741824", body=b"{")),
            (413, put(b, "large", "Content-Length: 1048577", body=b"{")),
            (413, put(b, "large", "Expect: 100-continue", "Content-Length: 1048577", body=b"")),
            (413, put(b, "large", "Transfer-Encoding: chunked",
                      body=b"200000\r\n" + b"x" * 0x200000))):
        answer = talk(b, data)
        error_and_close(answer, code)
    error_and_close(talk(b, http("GET", "/" + "x" * 1_000_000)), 414)
    refused(b.instance_last("large"), 404, "NotFound")


def test_a_body_just_within_the_limit(b):
    body = json.dumps(b.provision_body("plain", parameters={"x": ""})).encode()
    body = body.replace(b'"x": ""', b'"x": "%s"' % (b"y" * (1048576 - len(body))))
    assert len(body) == 1048576
    iid = rig.new_id()
    r = b.ask("PUT", f"/v2/service_instances/{iid}", content=body)
    assert r.status_code == 201, r.text
    bad(b.ask("PUT", f"/v2/service_instances/{rig.new_id()}", content=body[:-1]), "body")


def test_bodies_where_none_belongs(b):
    for method in ("GET", "DELETE"):
        r = b.ask(method, "/v2/service_instances/none?service_id=a&plan_id=b", content="no json")
        assert r.status_code == (404 if method == "GET" else 410)


# -- JSON ------------------------------------------------------------------------------------------

def bodies(b):
    good = json.dumps(b.provision_body("plain"))
    inner = good[1:-1]
    return {
        "empty": b"", "blank": b"  \n", "no json": b"no json", "cut off": good[:-1].encode(),
        "array": b"[]", "string": b'"x"', "number": b"1", "null": b"null",
        "trailing data": good.encode() + b"{}", "trailing garbage": good.encode() + b"x",
        "trailing NUL": good.encode() + b"\0", "trailing comma": f"{{{inner},}}".encode(),
        "BOM": b"\xef\xbb\xbf" + good.encode(), "UTF-16": good.encode("utf-16"),
        "comment": f"{{/* */{inner}}}".encode(), "single quotes": good.replace('"', "'").encode(),
        "deep array": f'{{{inner},"parameters":{{"x":{"[" * 100_000}'.encode(),
        "deep object": f'{{{inner},"parameters":{"{%sx%s:" % (chr(34), chr(34)) * 100_000}'.encode(),
        "deep and closed": f'{{{inner},"parameters":{{"x":{"[" * 5000 + "]" * 5000}}}}}'.encode(),
        "duplicate key": f'{{{inner},"space_guid":"other"}}'.encode(),
        "duplicate by escape": f'{{{inner},"space\\u005fguid":"other"}}'.encode(),
        "duplicate deep": f'{{{inner},"parameters":{{"a":[{{"b":1,"b":1}}]}}}}'.encode(),
        "huge": f'{{{inner},"parameters":{{"a":1e400}}}}'.encode(),
        "huge negative": f'{{{inner},"parameters":{{"a":-1e99999999999}}}}'.encode(),
        "NaN": f'{{{inner},"parameters":{{"a":NaN}}}}'.encode(),
        "Infinity": f'{{{inner},"parameters":{{"a":-Infinity}}}}'.encode(),
        "leading zero": f'{{{inner},"parameters":{{"a":01}}}}'.encode(),
        "plus": f'{{{inner},"parameters":{{"a":+1}}}}'.encode(),
        "no fraction": f'{{{inner},"parameters":{{"a":1.}}}}'.encode(),
        "lone surrogate": f'{{{inner},"parameters":{{"a":"\\ud800"}}}}'.encode(),
        "low surrogate": f'{{{inner},"parameters":{{"a":"\\udc00x"}}}}'.encode(),
        "surrogates turned": f'{{{inner},"parameters":{{"a":"\\udc00\\ud800"}}}}'.encode(),
        "invalid UTF-8": f'{{{inner},"parameters":{{"a":"'.encode() + b'\xff"}}',
        "overlong UTF-8": f'{{{inner},"parameters":{{"a":"'.encode() + b'\xc0\xaf"}}',
        "surrogate in UTF-8": f'{{{inner},"parameters":{{"a":"'.encode() + b'\xed\xa0\x80"}}',
        "control": f'{{{inner},"parameters":{{"a":"\n"}}}}'.encode(),
        "raw NUL": f'{{{inner},"parameters":{{"a":"\0"}}}}'.encode(),
        "bad escape": f'{{{inner},"parameters":{{"a":"\\x41"}}}}'.encode(),
    }


def test_json_that_is_refused(b):
    bid = rig.new_id()
    made = b.made("plain")
    before = b.instance(made).json()
    for case, body in bodies(b).items():
        iid = rig.new_id()
        r = b.ask("PUT", f"/v2/service_instances/{iid}", content=body)
        assert r.status_code == 400, (case, r.text)
        bad(r, "body")
        refused(b.instance_last(iid), 404, "NotFound")
        bad(b.ask("PATCH", f"/v2/service_instances/{made}", content=body), "body")
        bad(b.ask("PUT", f"/v2/service_instances/{made}/service_bindings/{bid}", content=body),
            "body")
    assert b.instance(made).json() == before
    refused(b.binding_last(made, bid), 404, "NotFound")


def test_json_that_is_kept(b):
    parameters = {"big": 123456789012345678901234567890, "precise": 0.1, "e": 1e300,
                  "text": "\u0000\u001f\"\\/\u2028\U0001f600 ‮rtl", "": {"": []}, "n": None,
                  "deep": [[[[[[[[[[{}]]]]]]]]]]}
    iid = rig.new_id()
    r = b.provision(iid, "plain", parameters=parameters)
    assert r.status_code == 201, r.text
    got = b.instance(iid)
    assert got.json()["parameters"] == parameters
    assert "123456789012345678901234567890" in got.text  # to the last digit
    assert b.provision(iid, "plain", parameters=parameters).status_code == 200


def test_unknown_fields_are_ignored(b):
    iid = rig.new_id()
    extra = {"x_vendor": {"a": [1]}, "accepts_incomplete": False, "operation": 7}
    assert b.provision(iid, "plain", **extra).status_code == 201
    assert b.update(iid, "plain", "large", **extra).status_code == 200
    assert b.bind(iid, "b", "plain", "large", **extra).status_code == 201


# -- wrong types -----------------------------------------------------------------------------------

WRONG = {"string": [1, 1.5, True, [], {}, ["x"]], "object": [1, "x", True, [], [{}]]}
PROVISION = [("service_id", "string", True), ("plan_id", "string", True),
             ("organization_guid", "string", True), ("space_guid", "string", True),
             ("context", "object", False), ("parameters", "object", False),
             ("maintenance_info", "object", False), ("maintenance_info.version", "string", False)]
UPDATE = [("service_id", "string", True), ("plan_id", "string", False),
          ("context", "object", False), ("parameters", "object", False),
          ("previous_values", "object", False), ("maintenance_info", "object", False),
          ("maintenance_info.version", "string", False)]
BIND = [("service_id", "string", True), ("plan_id", "string", True), ("context", "object", False),
        ("parameters", "object", False), ("app_guid", "string", False),
        ("bind_resource", "object", False), ("bind_resource.app_guid", "string", False),
        ("bind_resource.route", "string", False), ("predecessor_binding_id", "string", False)]


def wrong_values(kind, required):
    yield from WRONG[kind]
    if kind == "string":
        yield ""
    if required:
        yield None
        yield ...


def with_value(body, path, value):
    body = json.loads(json.dumps(body))
    at = body
    *outer, last = path.split(".")
    for key in outer:
        at = at.setdefault(key, {})
    at.pop(last, None)
    if value is not ...:
        at[last] = value
    return body


def test_wrong_types_of_every_field(b):
    made = b.made("plain")
    before = b.instance(made).json()
    new, bid = rig.new_id(), rig.new_id()
    s, p = b.ids("plain", "large")
    update = {"service_id": s, "plan_id": p, "parameters": {"changed": True}}
    for method, path, body, fields in (
            ("PUT", f"/v2/service_instances/{new}", b.provision_body("plain"), PROVISION),
            ("PATCH", f"/v2/service_instances/{made}", update, UPDATE),
            ("PUT", f"/v2/service_instances/{made}/service_bindings/{bid}", b.bind_body("plain"),
             BIND)):
        for field, kind, required in fields:
            for value in wrong_values(kind, required):
                r = b.ask(method, path, with_value(body, field, value))
                assert r.status_code == 400, (method, field, value, r.text)
                bad(r, field)
    refused(b.instance_last(new), 404, "NotFound")
    refused(b.binding_last(made, bid), 404, "NotFound")
    assert b.instance(made).json() == before


def test_null_is_absent_where_a_field_may_be(b):
    iid = rig.new_id()
    null = {"context": None, "parameters": None, "maintenance_info": None}
    assert b.provision(iid, "plain", **null).status_code == 201
    assert b.provision(iid, "plain").status_code == 200
    r = b.update(iid, "plain", previous_values=None, plan_id=None, **null)
    assert r.status_code == 200
    r = b.bind(iid, "b", "plain", app_guid=None, bind_resource=None, predecessor_binding_id=None,
               context=None, parameters=None)
    assert r.status_code == 201
    assert b.bind(iid, "b", "plain").status_code == 200


def test_queries(b):
    iid = b.made("plain")
    s, p = b.ids("plain")
    for query, word in (("", "service_id"), (f"service_id={s}", "plan_id"),
                        (f"plan_id={p}", "service_id"), (f"service_id=&plan_id={p}", "service_id"),
                        (f"service_id={s}&plan_id=", "plan_id"), (f"service_id={s}&plan_id", "plan_id"),
                        (f"service_id={s}&service_id={s}&plan_id={p}", "service_id")):
        for path in (f"/v2/service_instances/{iid}",
                     f"/v2/service_instances/{iid}/service_bindings/x"):
            bad(b.ask("DELETE", f"{path}?{query}"), word)
    for query in ("service_id=%zz&plan_id=x", "service_id=%&plan_id=x", "service_id=%f&plan_id=x",
                  "service_id=%ff&plan_id=x", "service_id=%00&plan_id=x"):
        answer = talk(b, http("DELETE", f"/v2/service_instances/{iid}?{query}",
                              "Connection: close"))
        assert status(answer) == 400 and re.search(b"service_id|target", answer), answer
    for operation in ("%zz", "%ff", "%00", "%"):
        answer = talk(b, http("GET", f"/v2/service_instances/{iid}/last_operation?operation="
                              + operation, "Connection: close"))
        assert status(answer) == 400 and re.search(b"operation|target", answer), answer
    assert b.instance(iid).status_code == 200
    # ids that are not the instance's do no harm: the instance knows what it is
    r = b.ask("DELETE", f"/v2/service_instances/{iid}?service_id=x&plan_id=y&unknown=z&&a=b=c")
    assert r.status_code == 200


# -- ids -------------------------------------------------------------------------------------------

def enc(text):
    return urllib.parse.quote(text, safe="")


STRANGE = ["../../../etc/passwd", "..", ".", "a/b", "a\\b", "a b", "a+b", "a%b", "a%2fb", "%",
           "x';DROP TABLE instance;--", '"quoted"', "`tick`", "$(id)", "${HOME}", "a&b=c?d#e",
           "größe", "\U0001f600", "‮rtl", "a\u0301", "\u00e1", "-rf", "--", "~", "null", "0",
           "service_bindings", "last_operation", "<script>", "{}", "[1]", "x" * 1024,
           "é" * 512]


def test_ids_are_opaque(b):
    """Each is an id of its own, whatever it looks like; none is another's."""
    for n, iid in enumerate(STRANGE):
        path = f"/v2/service_instances/{enc(iid)}"
        url = path if iid not in (".", "..") else path.replace(enc(iid), iid.replace(".", "%2e"))
        body = json.dumps(b.provision_body("plain", parameters={"n": n})).encode()
        answer = talk(b, http("PUT", url, f"Content-Length: {len(body)}", "Connection: close",
                              body=body))
        assert status(answer) == 201, (iid, answer)
        binding = url + "/service_bindings/" + url.rsplit("/", 1)[1]
        body = json.dumps(b.bind_body("plain")).encode()
        answer = talk(b, http("PUT", binding, f"Content-Length: {len(body)}", "Connection: close",
                              body=body))
        assert status(answer) == 201, (iid, answer)
        for last in (url, binding):
            answer = talk(b, http("GET", last + "/last_operation", "Connection: close"))
            assert status(answer) == 200 and b"succeeded" in answer
    for n, iid in enumerate(STRANGE):
        url = "/v2/service_instances/" + (iid.replace(".", "%2e") if iid in (".", "..")
                                          else enc(iid))
        answer = talk(b, http("GET", url, "Connection: close"))
        assert status(answer) == 200, iid
        assert json.loads(parts(answer)[1])["parameters"] == {"n": n}, iid


@pytest.mark.parametrize("one,two", [("Abc", "abc"), ("a-b", "a_b"), ("a", "a%20"), ("ß", "ss"),
                                     ("a", "%61%00"[:3] + "b"), ("é", "e%CC%81"), ("01", "1")])
def test_ids_that_differ_by_little(b, one, two):
    unique = rig.new_id()
    first = b.provision(unique + one, "plain", parameters={"a": 1})
    second = b.provision(unique + two, "plain", parameters={"a": 2})
    assert (first.status_code, second.status_code) == (201, 201)
    assert b.instance(unique + one).json()["parameters"] == {"a": 1}
    assert b.instance(unique + two).json()["parameters"] == {"a": 2}


def test_an_id_may_be_encoded_in_more_than_one_way(b):
    unique = rig.new_id()
    assert b.provision(unique + "a~b", "plain").status_code == 201
    answer = talk(b, http("GET", f"/v2/service_instances/{unique}%61%7eb", "Connection: close"))
    assert status(answer) == 200


@pytest.mark.parametrize("raw", ["%", "%2", "%zz", "%00", "a%00b", "%ff", "%c0%af", "%ed%a0%80",
                                 "a%0d%0ab", "%0a", "%09", "%7f", "%1b[31m", "x" * 1025,
                                 "é" * 513, "%61" * 1025])
def test_ids_that_are_refused(b, raw):
    raw = raw if raw.isascii() else enc(raw)
    made = b.made("plain")
    body = json.dumps(b.provision_body("plain")).encode()
    bind = json.dumps(b.bind_body("plain")).encode()
    for method, path, content, what in (
            ("PUT", f"/v2/service_instances/{raw}", body, "instance_id"),
            ("GET", f"/v2/service_instances/{raw}", b"", "instance_id"),
            ("PATCH", f"/v2/service_instances/{raw}", body, "instance_id"),
            ("DELETE", f"/v2/service_instances/{raw}?service_id=a&plan_id=b", b"", "instance_id"),
            ("GET", f"/v2/service_instances/{raw}/last_operation", b"", "instance_id"),
            ("PUT", f"/v2/service_instances/{made}/service_bindings/{raw}", bind, "binding_id"),
            ("GET", f"/v2/service_instances/{made}/service_bindings/{raw}", b"", "binding_id")):
        answer = talk(b, http(method, path, f"Content-Length: {len(content)}", "Connection: close",
                              body=content))
        assert status(answer) == 400, answer
        # what is no URL at all is refused before anybody asks whose id it is
        assert re.search(f"{what}|the target has", json.loads(parts(answer)[1])["description"])


def test_a_log_line_is_one_line(b):
    """What stands in ids, headers and texts never begins a line of its own."""
    mark = rig.new_id()
    b.d.http.get(f"/v2/x{mark}%0d%0aFAKE%20level=error%1b[2J", headers={
        "X-Broker-API-Request-Identity": f"{mark} level=fake \"quoted\"",
        "User-Agent": f"{mark} level=fake", "Authorization": broker_header()})
    b.ask("GET", f"/v2/service_instances/{mark}%0aFAKE")
    b.ask("PUT", f"/v2/service_instances/{mark}", {"service_id": "a\nFAKE\r\x1b[31m\u2028"})
    assert rig.wait_until(lambda: mark in b.d.log())
    for line in b.d.log().split("\n"):
        assert not line.startswith("FAKE"), line
        assert "\r" not in line and "\x1b" not in line
        if line:
            assert line.startswith("time=") or "level=" in line or line.startswith("20"), line


def broker_header():
    return AUTH.split(": ", 1)[1]


# -- storms ----------------------------------------------------------------------------------------

def test_a_storm_of_deletes(b):
    for _ in range(100):
        refused(b.deprovision(rig.new_id(), "plain", wait="true"), 410, "Gone")
        refused(b.unbind(rig.new_id(), rig.new_id(), "plain", wait="true"), 410, "Gone")
    iid = b.made("plain")
    bid = b.bound(iid, "plain")
    assert b.unbind(iid, bid, "plain").status_code == 200
    assert b.deprovision(iid, "plain").status_code == 200
    for _ in range(20):
        refused(b.unbind(iid, bid, "plain"), 410, "Gone")  # after the instance
    assert b.instance_last(iid).json()["state"] == "succeeded"
    iid = rig.new_id()
    create = b.ask("PUT", f"/v2/service_instances/{iid}", b.provision_body("slow"),
                   accepts_incomplete="true")
    assert create.status_code == 202
    answers = [b.deprovision(iid, "slow", wait="true") for _ in range(50)]
    assert {r.status_code for r in answers} <= {202, 410}
    assert len({r.json()["operation"] for r in answers if r.status_code == 202}) == 1
    assert b.ended(iid)["state"] == "succeeded"


def test_a_storm_of_connections(b):
    sockets = []
    try:
        for _ in range(300):
            s = socket.create_connection(("127.0.0.1", b.d.port), 5)
            s.sendall(b"GET /v2/catalog HTTP/1.1\r\nHost: x\r\n")
            sockets.append(s)
        assert b.ask("GET", "/v2/catalog").status_code == 200
    finally:
        for s in sockets:
            s.close()
