# SPDX-License-Identifier: Apache-2.0
"""Names and texts that are legal but that nobody expects come back as they were given."""
import http.client
import json

import broker
import pytest

SERVICES = [broker.service("demo", instances_retrievable=True, plan_updateable=True)]


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, SERVICES)


def raw(b, method, iid, body):
    """The status; without the client's own idea of a path."""
    c = http.client.HTTPConnection("127.0.0.1", b.d.port, timeout=20)
    c.request(method, f"/v2/service_instances/{iid}", json.dumps(body), {
        "Authorization": "Basic cGxhdGZvcm06c2VjcmV0", "X-Broker-API-Version": "2.17"})
    r = c.getresponse()
    r.read()
    c.close()
    return r.status


@pytest.mark.parametrize("key", ["a\0b", "\0", "", "\u202e", "a.b", "a/b", "__proto__", "\U0001f600"])
def test_update_of_a_parameter_with_a_strange_name(b, key):
    iid = b.made("demo", parameters={"a": 1, key: 1})
    assert b.update(iid, "demo", parameters={key: 2}).status_code == 200
    assert b.instance(iid).json()["parameters"] == {"a": 1, key: 2}
    assert b.update(iid, "demo", parameters={key + "x": 3}).status_code == 200
    assert b.instance(iid).json()["parameters"] == {"a": 1, key: 2, key + "x": 3}


def test_ids_that_look_alike_are_different(b):
    ids = ["%2e%2e", "%2e", "%2E%2F", "a", "A", "a%20", "%20a", "a%2Fb", "a%252Fb", "a+b", "a%20b",
           "a%22b", "a%27b", "a%5C", "%C3%A9", "e%CC%81", "$(id)", "%E2%80%AE"]
    s, p = b.ids("demo")
    for n, one in enumerate(ids):
        body = {"service_id": s, "plan_id": p, "organization_guid": "o", "space_guid": f"{n}"}
        assert raw(b, "PUT", one, body) == 201, one
    for n, one in enumerate(ids):
        body = {"service_id": s, "plan_id": p, "organization_guid": "o", "space_guid": f"{n}"}
        assert raw(b, "PUT", one, body) == 200, one
