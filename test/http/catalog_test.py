# SPDX-License-Identifier: Apache-2.0
"""The catalog: what it holds, its ETag, and the rules by which a platform would refuse it."""
import re
import subprocess

import broker
import pytest
import rig

SCHEMA = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object",
          "properties": {"size": {"type": "integer", "default": 1}}}
FULL = {
    "name": "full", "id": "0f4d8d2b-full", "description": "all there is", "backend": "demo",
    "tags": ["sql", "größe"], "requires": ["syslog_drain", "route_forwarding", "volume_mount"],
    "bindable": True, "plan_updateable": True, "instances_retrievable": False,
    "bindings_retrievable": True, "allow_context_updates": True,
    "metadata": {"displayName": "Full", "nothing": None, "shareable": True,
                 "deep": [{"a": None, "b": 1.50}]},
    "dashboard_client": {"id": "client", "secret": "client-secret",
                         "redirect_uri": "https://dashboard.example.org/"},
    "with_bindings": "unbind", "max_running": 7, "retry_after_bindings": False,
    "config": {"delay": "1s"},
    "plans": [
        {"name": "most", "id": "plan-most", "description": "most", "free": False,
         "bindable": False, "plan_updateable": False, "maximum_polling_duration": "90s",
         "maintenance_info": {"version": "2.1.0-rc.1+b5", "description": "new engine"},
         "metadata": {"bullets": ["a", "b"], "displayName": "Most",
                      "costs": [{"amount": {"usd": 99.0}, "unit": "MONTHLY"}]},
         "schemas": {"service_instance": {"create": {"parameters": SCHEMA},
                                          "update": {"parameters": SCHEMA}},
                     "service_binding": {"create": {"parameters": SCHEMA}}}},
        {"name": "rotating", "id": "plan-rotating", "description": "rotates",
         "binding_rotatable": True, "binding_lifetime": "1h"},
    ],
}


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, [FULL, broker.service("least")])


def test_every_field_and_no_other(b):
    r = b.ask("GET", "/v2/catalog")
    assert r.status_code == 200
    body = r.json()
    assert list(body) == ["services"] and len(body["services"]) == 2
    full = body["services"][0]
    assert full == {
        "name": "full", "id": "0f4d8d2b-full", "description": "all there is",
        "tags": ["sql", "größe"],
        "requires": ["syslog_drain", "route_forwarding", "volume_mount"],
        "bindable": True, "instances_retrievable": False, "bindings_retrievable": True,
        "allow_context_updates": True, "plan_updateable": True,
        "metadata": {"displayName": "Full", "shareable": True, "deep": [{"b": 1.5}]},
        "dashboard_client": FULL["dashboard_client"],
        "plans": [
            {"id": "plan-most", "name": "most", "description": "most", "free": False,
             "bindable": False, "plan_updateable": False, "maximum_polling_duration": 90,
             "maintenance_info": FULL["plans"][0]["maintenance_info"],
             "metadata": FULL["plans"][0]["metadata"], "schemas": FULL["plans"][0]["schemas"]},
            {"id": "plan-rotating", "name": "rotating", "description": "rotates", "free": True,
             "binding_rotatable": True},
        ],
    }
    assert type(full["plans"][0]["maximum_polling_duration"]) is int


def test_the_least(b):
    least = b.ask("GET", "/v2/catalog").json()["services"][1]
    guid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    sid, plan = least.pop("id"), least["plans"][0]
    pid = plan.pop("id")
    assert re.fullmatch(guid, sid) and re.fullmatch(guid, pid) and sid != pid
    assert least == {"name": "least", "description": "least", "bindable": True,
                     "instances_retrievable": True, "bindings_retrievable": True,
                     "allow_context_updates": False, "plan_updateable": False,
                     "plans": [{"name": "small", "description": "small", "free": True}]}


def test_derived_ids_stay(b, osbd):
    other = broker.start(osbd, [broker.service("first"), broker.service("least")])
    assert other.ids("least") == b.ids("least")
    assert other.ids("first") != b.ids("least")


# -- ETag -------------------------------------------------------------------------------------

def conditional(b, value, method="GET"):
    return b.d.ask(method, "/v2/catalog", headers={"If-None-Match": value})


def test_etag(b):
    tag = b.ask("GET", "/v2/catalog").headers["etag"]
    assert re.fullmatch(r'"[!#-~]+"', tag)
    for match in (tag, "W/" + tag, "*", f'"x", {tag}', f'"x",W/{tag},"y"', f"{tag}  ,",
                  f'"x,y", {tag}'):
        for method in ("GET", "HEAD"):
            r = conditional(b, match, method)
            assert r.status_code == 304, match
            assert r.content == b"" and r.headers["etag"] == tag
    for other in ("", '"x"', "W/", tag.strip('"'), tag + "x", '"', ",,", f'"x{tag}"'):
        r = conditional(b, other)
        assert r.status_code == 200 and r.headers["etag"] == tag, other
        assert r.json() == b.ask("GET", "/v2/catalog").json()
    assert b.d.http.get("/v2/catalog", headers={"If-None-Match": tag}).status_code == 401


def test_etag_follows_the_content(b, osbd):
    tag = b.ask("GET", "/v2/catalog").headers["etag"]
    same = broker.start(osbd, [FULL, broker.service("least")])
    other = broker.start(osbd, [FULL, broker.service("least", tags=["new"])])
    assert same.ask("GET", "/v2/catalog").headers["etag"] == tag
    assert other.ask("GET", "/v2/catalog").headers["etag"] != tag


# -- osbd check --------------------------------------------------------------------------------

TOP = """\
listen: [{address: "127.0.0.1:0"}]
users: [{name: platform, password: secret}]
store: {memory: {}}
services:
"""
SMALL = """\
  - name: one
    id: s-1
    description: the first
    backend: demo
    plans:
      - {name: small, id: p-1, description: small}
"""


def check(tmp_path, text):
    path = tmp_path / "osbd.yml"
    path.write_text(text)
    r = subprocess.run([rig.BINARY, "check", "-c", path], capture_output=True, text=True,
                       timeout=20)
    return r.returncode, (r.stdout + r.stderr).replace(str(path), "FILE")


def service(first, plans="      - {name: small, id: p-1, description: small}\n"):
    return f"  - {first}\n    backend: demo\n    plans:\n{plans}"


BASE = "name: one\n    id: s-1\n    description: the first"
LONG = "x" * 10001

# (rule, services, line, path, a word of why). Lines count from 1; services begin on line 5.
BAD = [
    (71, "  []\n", None, "services", "empty catalog"),
    (71, service(BASE, "      []\n"), 10, "services[0].plans", "at least one plan"),
    (71, service("id: s-1\n    name: ' '\n    description: d"), 6, "services[0].name", "missing"),
    (71, service("name: one\n    id: s-1\n    description: ' '"), 7, "services[0].description",
     "missing"),
    (71, service("name: one\n    id: ' '\n    description: d"), 6, "services[0].id", "blank"),
    (71, service("name: ''\n    description: d"), 5, "services[0].name", "empty"),
    (71, service(f"name: one\n    description: {LONG}"), 6, "services[0].description", "10000"),
    (71, service(BASE, "      - {name: ' ', description: d}\n"), 10, "services[0].plans[0].name",
     "missing"),
    (71, service(BASE, "      - {name: a, description: ' '}\n"), 10,
     "services[0].plans[0].description", "missing"),
    (71, service(BASE, f"      - {{name: a, description: {LONG}}}\n"), 10,
     "services[0].plans[0].description", "10000"),
    (71, service(BASE + "\n    bindable: maybe"), 8, "services[0].bindable", "true"),
    (71, service(BASE + "\n    plan_updateable: 1"), 8, "services[0].plan_updateable", "true"),
    (71, service(BASE + "\n    instances_retrievable: x"), 8, "services[0].instances_retrievable",
     "true"),
    (71, service(BASE + "\n    allow_context_updates: []"), 8,
     "services[0].allow_context_updates", "true"),
    (72, service(BASE + "\n    tags: x"), 8, "services[0].tags", "list"),
    (72, service(BASE + "\n    tags: [[]]"), 8, "services[0].tags[0]", "string"),
    (72, service(BASE + f"\n    tags: [{'y' * 1024}, {'z' * 1025}]"), 8, "services[0].tags",
     "2048"),
    (72, service(BASE + "\n    requires: [syslog_drain, money]"), 8, "services[0].requires[1]",
     "syslog_drain, route_forwarding or volume_mount"),
    (72, service(BASE + "\n    metadata: [x]"), 8, "services[0].metadata", "mapping"),
    (72, service(BASE + "\n    metadata: {shareable: 'true'}"), 8, "services[0].metadata",
     "shareable"),
    (73, SMALL + service("name: two\n    id: s-1\n    description: d",
                         "      - {name: small, id: p-2, description: d}\n"), 12,
     "services[1].id", "services[0]"),
    (73, SMALL + service("name: one\n    id: s-2\n    description: d",
                         "      - {name: small, id: p-2, description: d}\n"), 11,
     "services[1].name", "services[0]"),
    (73, SMALL + service("name: two\n    id: s-2\n    description: d"), 16,
     "services[1].plans[0].id", "services[0].plans[0]"),
    (73, service(BASE, "      - {name: a, id: p-1, description: d}\n"
                       "      - {name: a, id: p-2, description: d}\n"), 11,
     "services[0].plans[1].name", "services[0].plans[0]"),
    (73, service(BASE + "\n    dashboard_client: {id: c, secret: s}"), 8,
     "services[0].dashboard_client", "redirect_uri"),
    (73, service(BASE + "\n    dashboard_client: {id: c, redirect_uri: 'https://x/'}"), 8,
     "services[0].dashboard_client.secret", "must be given"),
    (73, service(BASE + "\n    dashboard_client: {id: c, secret: s, redirect_uri: 'https://x/'}") +
     service("name: two\n    id: s-2\n    description: d\n"
             "    dashboard_client: {id: c, secret: s, redirect_uri: 'https://x/'}",
             "      - {name: small, id: p-2, description: d}\n"), 15,
     "services[1].dashboard_client", "services[0]"),
    (74, service(BASE, "      - {name: a, description: d, metadata: x}\n"), 10,
     "services[0].plans[0].metadata", "mapping"),
    (74, service(BASE, "      - {name: a, description: d, free: 1}\n"), 10,
     "services[0].plans[0].free", "true"),
    (74, service(BASE, "      - {name: a, description: d, bindable: 'true'}\n"), 10,
     "services[0].plans[0].bindable", "true"),
    (74, service(BASE, "      - {name: a, description: d, maximum_polling_duration: 1500ms}\n"),
     10, "services[0].plans[0]", "maximum_polling_duration must be whole seconds"),
    (74, service(BASE, "      - {name: a, description: d, maximum_polling_duration: soon}\n"), 10,
     "services[0].plans[0].maximum_polling_duration", "duration"),
    *[(74, service(BASE, "      - {name: a, description: d, maintenance_info: "
                         f"{{version: '{v}'}}}}\n"), 10,
       "services[0].plans[0].maintenance_info", "semantic version")
      for v in ("1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+",
                "1.0.0-a..b", "1.0.0 ", "1.0.0-ü")],
    (74, service(BASE, "      - {name: a, description: d, maintenance_info: {description: x}}\n"),
     10, "services[0].plans[0].maintenance_info.version", "must be given"),
    (74, service(BASE, "      - {name: a, description: d, maintenance_info: "
                       "{version: 1.0.0, more: x}}\n"), 10,
     "services[0].plans[0].maintenance_info.more", "not known"),
    (74, service(BASE, "      - {name: a, description: d, maintenance_info: "
                       f"{{version: 1.0.0, description: {'x' * 1990}}}}}\n"), 10,
     "services[0].plans[0].maintenance_info", "2000"),
    (92, service(BASE + "\n    bindings_retrievable: false\n    config: {delay: 30s}"), 12,
     "services[0].plans[0]", "bindings_retrievable"),
    (92, service(BASE + "\n    bindings_retrievable: false",
                 "      - {name: a, description: d, async: async}\n"), 11,
     "services[0].plans[0].async", "bindings_retrievable"),
]


@pytest.mark.parametrize("rule,services,line,path,why", BAD,
                         ids=[f"{case[0]}-{i}" for i, case in enumerate(BAD)])
def test_lint(tmp_path, rule, services, line, path, why):
    code, said = check(tmp_path, TOP + services)
    assert code == 3, said
    pattern = r"FILE(?::(\d+):(\d+))?: " + re.escape(path) + r"[^ ]*: .*" + re.escape(why)
    found = re.search(pattern, said)
    assert found, said
    if line is not None:
        assert found.group(1) == str(line), said
        assert int(found.group(2)) >= 1


def schema_plan(schema, where="service_instance: {create"):
    closing = "}" * (where.count("{") + 1)
    return service(BASE, "      - name: a\n        description: d\n        schemas: {" + where +
                   f": {{parameters: {schema}}}{closing}\n")


@pytest.mark.parametrize("where", ["service_instance: {create", "service_instance: {update",
                                   "service_binding: {create"])
@pytest.mark.parametrize("schema,why", [
    ("{type: object}", "$schema"),
    ("[x]", "a schema is an object"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', type: 7}", "type"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', properties: {a: {type: none}}}", "type"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', required: x}", "required"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', $ref: 'http://example.org/s'}", "$ref"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', $ref: 'file:///etc/passwd'}", "$ref"),
    ("{$schema: 'http://example.org/own-schema#', type: object}", "$schema"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', description: '" + "x" * 65536 + "'}",
     "65536"),
])
def test_lint_schemas(tmp_path, where, schema, why):
    code, said = check(tmp_path, TOP + schema_plan(schema, where))
    assert code == 3, said
    assert re.search(r"FILE:1[0-9]:\d+: services\[0\]\.plans\[0\]\.schemas[^\n]*" + re.escape(why),
                     said), said


def test_lint_passes(tmp_path):
    good = "{$schema: 'http://json-schema.org/draft-0%d/schema#', type: object}"
    for draft in (4, 6, 7):
        code, said = check(tmp_path, TOP + schema_plan(good % draft))
        assert code == 0 and "is valid: 1 services, 1 plans" in said
    code, said = check(tmp_path, TOP + service(
        BASE + f"\n    tags: [{'y' * 255}]\n    bindings_retrievable: false",
        "      - {name: a, description: " + "d" * 255 + ", async: sync, maintenance_info: "
        "{version: 1.0.0-alpha.1+001}}\n"))
    assert code == 0 and not re.search(r"FILE:\d", said), said


def test_lint_says_all_at_once(tmp_path):
    code, said = check(tmp_path, TOP + SMALL + service(
        "name: one\n    id: s-1\n    description: ' '",
        "      - {name: ' ', id: p-1, description: d}\n"))
    assert code == 3
    for path in ("services[1].name", "services[1].id", "services[1].description",
                 "services[1].plans[0].name", "services[1].plans[0].id"):
        assert f": {path}: " in said, said


def test_serve_refuses_what_check_refuses(tmp_path):
    path = tmp_path / "osbd.yml"
    path.write_text(TOP + service(BASE, "      []\n"))
    r = subprocess.run([rig.BINARY, "serve", "-c", path], capture_output=True, text=True,
                       timeout=20)
    assert r.returncode == 3 and "at least one plan" in r.stderr
