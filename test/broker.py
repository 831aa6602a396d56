# SPDX-License-Identifier: Apache-2.0
"""A platform that knows the Open Service Broker API and is strict about it.

Services are named, not numbered; every answer is held against the rules that all answers obey:
a JSON object of type application/json, no null in it, error and description on every error, the
request's identity echoed, credentials never with a 202.
"""
import concurrent.futures
import json
import re

import httpx
import rig

ASYNC_REQUIRED = {
    "error": "AsyncRequired",
    "description": "This service plan requires client support for asynchronous service "
                   "operations."}
REQUIRES_APP = {
    "error": "RequiresApp",
    "description": "This service supports generation of credentials through binding an "
                   "application only."}
CONCURRENCY = {
    "error": "ConcurrencyError",
    "description": "The Service Broker does not support concurrent requests that mutate the "
                   "same resource."}

HEAD = {
    "listen": [{"address": "127.0.0.1:0"}],
    "users": [{"name": "platform", "password": "secret"}],
    "store": {"sqlite": {"path": "{dir}/osbd.db"}},
    "children": {"directory": "{dir}/run"},
    "log": {"level": "info"},
}


def plan(name, **more):
    return {"name": name, "description": name, **more}


def service(name, plans=None, config=None, **more):
    """A demo service; one plan called `small` unless others are given."""
    s = {"name": name, "description": name, "backend": "demo",
         "plans": plans or [plan("small")], **more}
    if config:
        s["config"] = config
    return s


def yaml(services, **head):
    """The whole configuration: JSON is YAML, too. Used with rig.Osbd(head="{dir}…")."""
    return json.dumps({**HEAD, **head, "services": services}, indent=1)


def start(make, services, **head):
    """make: the fixture osbd or osbd_module."""
    more = {k: head.pop(k) for k in ("env", "orderly") if k in head}

    class Fill(str):
        def format(self, dir):  # the text has braces of its own
            return self.replace("{dir}", dir)
    return Broker(make("", head=Fill(yaml(services, **head)), **more))


def nulls(value, path="$"):
    """Where there is a null; parameters and schemas are as others wrote them."""
    if value is None:
        return [path]
    if isinstance(value, dict):
        return [n for k, v in value.items() if k not in ("parameters", "schemas")
                for n in nulls(v, f"{path}.{k}")]
    if isinstance(value, list):
        return [n for i, v in enumerate(value) for n in nulls(v, f"{path}[{i}]")]
    return []


def strict(r, identity=None):
    """What holds for every answer."""
    assert r.headers.get("content-type") == "application/json", (r.status_code, r.headers)
    if identity is not None:
        assert r.headers.get("x-broker-api-request-identity") == identity, r.status_code
    if r.request.method == "HEAD":
        assert r.content == b""
        return r
    assert int(r.headers["content-length"]) == len(r.content)
    body = r.json()
    assert isinstance(body, dict), r.text
    assert nulls(body) == [], r.text
    if r.status_code >= 400:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", body["error"]), r.text
        assert isinstance(body["description"], str) and body["description"], r.text
        update = r.request.method == "PATCH"
        assert update or "update_repeatable" not in body
        assert update or r.request.method == "DELETE" or "instance_usable" not in body
    if r.status_code == 202:
        assert re.fullmatch(r"[A-Za-z0-9._~-]{1,100}", body["operation"])
        assert set(body) <= {"operation", "dashboard_url", "metadata"}
    return r


class Broker:
    def __init__(self, d, auth=("platform", "secret"), prefix=""):
        self.d = d
        self.auth = auth
        self.prefix = prefix
        self._catalog = None

    def as_user(self, name, password, prefix=None):
        return Broker(self.d, (name, password), self.prefix if prefix is None else prefix)

    def ask(self, method, path, body=None, version="2.17", identity="req-1", **more):
        headers = {"X-Broker-API-Request-Identity": identity, **(more.pop("headers", None) or {})}
        more.setdefault("auth", self.auth)
        r = self.d.ask(method, self.prefix + path, body, headers=headers, version=version, **more)
        return strict(r, identity)

    # -- the catalog ----------------------------------------------------------------------

    def catalog(self):
        if self._catalog is None:
            r = self.ask("GET", "/v2/catalog")
            assert r.status_code == 200, r.text
            self._catalog = {s["name"]: s for s in r.json()["services"]}
        return self._catalog

    def ids(self, name, plan=None):
        s = self.catalog()[name]
        plans = {p["name"]: p["id"] for p in s["plans"]}
        return s["id"], plans[plan] if plan else s["plans"][0]["id"]

    # -- instances --------------------------------------------------------------------------

    def provision_body(self, name, plan=None, **more):
        s, p = self.ids(name, plan)
        body = {"service_id": s, "plan_id": p, "organization_guid": "org", "space_guid": "space"}
        body.update(more)
        return {k: v for k, v in body.items() if v is not ...}

    def provision(self, iid, name, plan=None, wait=None, **more):
        kw = {k: more.pop(k) for k in ("headers", "version", "identity") if k in more}
        return self.ask("PUT", f"/v2/service_instances/{iid}",
                        self.provision_body(name, plan, **more), accepts_incomplete=wait, **kw)

    def update(self, iid, name, plan=None, wait=None, **more):
        kw = {k: more.pop(k) for k in ("headers", "version", "identity") if k in more}
        body = {"service_id": self.ids(name)[0]}
        if plan:
            body["plan_id"] = self.ids(name, plan)[1]
        body.update(more)
        return self.ask("PATCH", f"/v2/service_instances/{iid}",
                        {k: v for k, v in body.items() if v is not ...},
                        accepts_incomplete=wait, **kw)

    def deprovision(self, iid, name, plan=None, wait=None, **kw):
        s, p = self.ids(name, plan)
        return self.ask("DELETE", f"/v2/service_instances/{iid}", service_id=s, plan_id=p,
                        accepts_incomplete=wait, **kw)

    def instance(self, iid, **kw):
        return self.ask("GET", f"/v2/service_instances/{iid}", **kw)

    def instance_last(self, iid, operation=None, **kw):
        return self.ask("GET", f"/v2/service_instances/{iid}/last_operation",
                        operation=operation, **kw)

    # -- bindings ---------------------------------------------------------------------------

    def bind_body(self, name, plan=None, **more):
        s, p = self.ids(name, plan)
        body = {"service_id": s, "plan_id": p, **more}
        return {k: v for k, v in body.items() if v is not ...}

    def bind(self, iid, bid, name, plan=None, wait=None, **more):
        kw = {k: more.pop(k) for k in ("headers", "version", "identity") if k in more}
        return self.ask("PUT", f"/v2/service_instances/{iid}/service_bindings/{bid}",
                        self.bind_body(name, plan, **more), accepts_incomplete=wait, **kw)

    def unbind(self, iid, bid, name, plan=None, wait=None, **kw):
        s, p = self.ids(name, plan)
        return self.ask("DELETE", f"/v2/service_instances/{iid}/service_bindings/{bid}",
                        service_id=s, plan_id=p, accepts_incomplete=wait, **kw)

    def binding(self, iid, bid, **kw):
        return self.ask("GET", f"/v2/service_instances/{iid}/service_bindings/{bid}", **kw)

    def binding_last(self, iid, bid, operation=None, **kw):
        return self.ask("GET", f"/v2/service_instances/{iid}/service_bindings/{bid}"
                        "/last_operation", operation=operation, **kw)

    # -- waiting ----------------------------------------------------------------------------

    def ended(self, iid, bid=None, operation=None, seconds=20):
        """Polls until the operation is over; returns the body."""
        def over():
            r = self.binding_last(iid, bid, operation) if bid else \
                self.instance_last(iid, operation)
            assert r.status_code == 200, r.text
            return r.json() if r.json()["state"] != "in progress" else None
        body = rig.wait_until(over, seconds)
        assert body, "still in progress"
        assert body["description"]
        return body

    def made(self, name, plan=None, **more):
        """A new instance that is ready."""
        iid = rig.new_id()
        r = self.provision(iid, name, plan, wait="true", **more)
        assert r.status_code in (201, 202), r.text
        if r.status_code == 202:
            assert self.ended(iid)["state"] == "succeeded"
        return iid

    def bound(self, iid, name, plan=None, **more):
        """A new binding that is ready."""
        bid = rig.new_id()
        r = self.bind(iid, bid, name, plan, wait="true", **more)
        assert r.status_code in (201, 202), r.text
        if r.status_code == 202:
            assert self.ended(iid, bid)["state"] == "succeeded"
        return bid


def refused(r, status, error, *words):
    """An error with this code, whose description has all the words."""
    assert r.status_code == status, (r.status_code, r.text)
    assert r.json()["error"] == error, r.text
    for word in words:
        assert word in r.json()["description"], r.text
    return r.json()


def bad(r, *words):
    return refused(r, 400, "BadRequest", *words)


# -- several at a time ----------------------------------------------------------------------------

def gone(b, name, *pairs, plan="small"):
    """Unbinds and deprovisions (instance, bindings…) of a service."""
    for iid, *bids in pairs:
        for bid in bids:
            assert b.unbind(iid, bid, name, plan).status_code == 200
        assert b.deprovision(iid, name, plan).status_code == 200


def provision_at_once(b, name, plan, n):
    """{instance: answer} of n that are asked for at the same time."""
    s, p = b.ids(name, plan)
    body = {"service_id": s, "plan_id": p, "organization_guid": "o", "space_guid": "s"}

    def ask(iid):
        return iid, httpx.put(
            f"http://127.0.0.1:{b.d.port}/v2/service_instances/{iid}", json=body, timeout=60,
            auth=("platform", "secret"), headers={"X-Broker-API-Version": "2.17"})
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return dict(pool.map(ask, [rig.new_id() for _ in range(n)]))
