# SPDX-License-Identifier: Apache-2.0
"""What a binding holds, what it needs, how it is rotated, and how it expires."""
import datetime
import re
import time

import broker
import pytest
import rig
from broker import bad, refused

BOTH = {"async": "both"}
MOUNTS = [{"driver": "nfs", "container_dir": "/data", "mode": "rw", "device_type": "shared",
           "device": {"volume_id": "v-1", "mount_config": {"key": "value"}}}]
ENDPOINTS = [{"host": "127.0.0.1", "ports": ["5432", "9000-9010"], "protocol": "tcp"}]
ROTATING = broker.plan("rotating", binding_rotatable=True, **BOTH)

SERVICES = [
    broker.service("plain", [broker.plan("small", **BOTH),
                             broker.plan("unbindable", bindable=False)]),
    broker.service("for-apps", requires_app=True),
    broker.service("own", config={"credentials": {
        "token": "${password}", "who": ["${username}", {"where": "${plan}"}], "port": 5432,
        "literal": "${nothing} $ {plan}", "flag": True}}),
    broker.service("drain", config={"syslog_drain_url": "syslog://127.0.0.1:514"},
                   requires=["syslog_drain"]),
    broker.service("route", config={"route_service_url": "https://127.0.0.1/route"},
                   requires=["route_forwarding"]),
    broker.service("volume", config={"volume_mounts": MOUNTS}, requires=["volume_mount"]),
    broker.service("pretender", config={
        "syslog_drain_url": "syslog://127.0.0.1:514", "volume_mounts": MOUNTS,
        "route_service_url": "https://127.0.0.1/route"}),
    broker.service("reachable", config={"endpoints": ENDPOINTS}),
    broker.service("rotating", [ROTATING, broker.plan("fixed", **BOTH)]),
    broker.service("rotating-slowly", [ROTATING], {"delay": {"bind": "300ms"}}),
    broker.service("hidden", [broker.plan("small", **{"async": "sync"})],
                   bindings_retrievable=False, instances_retrievable=False),
    broker.service("passing", [
        broker.plan("short", binding_rotatable=True, binding_lifetime="2s", **BOTH),
        broker.plan("long", binding_rotatable=True, binding_lifetime="1h", **BOTH),
        broker.plan("early", binding_rotatable=True, binding_lifetime="1h", renew_before="10m",
                    **BOTH)], {"delay": {"unbind": "100ms"}}),
    broker.service("refuses", [broker.plan("small", **BOTH)], {"delay": "50ms"}),
    broker.service("unbinds", [broker.plan("small", **BOTH)], {"delay": "50ms"},
                   with_bindings="unbind"),
    broker.service("unbinds-at-once", with_bindings="unbind"),
    broker.service("unbinds-in-vain", [broker.plan("small", **BOTH)],
                   {"delay": "20ms", "fail": {"unbind": "always"}}, with_bindings="unbind"),
    broker.service("unbinds-at-last", [broker.plan("small", **BOTH)],
                   {"delay": "20ms", "fail": {"unbind": "first"}}, with_bindings="unbind"),
    broker.service("ignores", with_bindings="ignore"),
]


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, SERVICES)


# -- credentials -----------------------------------------------------------------------------------

def test_credentials_are_unique(b):
    iid = b.made("plain")
    seen = set()
    for _ in range(10):
        r = b.bind(iid, rig.new_id(), "plain")
        assert r.status_code == 201 and set(r.json()) == {"credentials"}
        c = r.json()["credentials"]
        assert set(c) == {"uri", "username", "password"}
        assert c["username"] in c["uri"] and c["password"] in c["uri"]
        assert len(c["password"]) >= 32
        seen |= {c["username"], c["password"]}
    assert len(seen) == 20


def test_credentials_of_our_own(b):
    iid = b.made("own")
    r = b.bind(iid, "b", "own")
    c = r.json()["credentials"]
    assert set(c) == {"token", "who", "port", "literal", "flag"}
    assert re.fullmatch("[0-9a-z]{32}", c["token"]) and c["who"][1] == {"where": "small"}
    assert (c["port"], c["literal"], c["flag"]) == (5432, "${nothing} $ {plan}", True)
    assert b.binding(iid, "b").json() == r.json()


def test_fetch(b):
    iid, bid = b.made("plain"), rig.new_id()
    refused(b.binding(iid, bid), 404, "NotFound")
    refused(b.binding(rig.new_id(), bid), 404, "NotFound")
    made = b.bind(iid, bid, "plain", parameters={"a": {"b": [1.50, None]}})
    assert "parameters" not in made.json()
    got = b.binding(iid, bid)
    assert got.json() == {**made.json(), "parameters": {"a": {"b": [1.5, None]}}}
    s, p = b.ids("plain")
    r = b.ask("GET", f"/v2/service_instances/{iid}/service_bindings/{bid}", service_id=s, plan_id=p)
    assert r.json() == got.json()
    assert b.unbind(iid, bid, "plain").status_code == 200
    refused(b.binding(iid, bid), 404, "NotFound")
    r = b.bind(iid, bid, "plain")
    assert r.status_code == 201 and r.json() != made.json()


def test_credentials_survive_a_restart(osbd):
    b = broker.start(osbd, SERVICES)
    iid = b.made("plain")
    bid = b.bound(iid, "plain", parameters={"a": 1})
    before = b.binding(iid, bid).json()
    b.d.stop()
    b.d.start()
    assert b.binding(iid, bid).json() == before
    assert b.bind(iid, bid, "plain", parameters={"a": 1}).status_code == 200


def test_not_retrievable(b):
    iid = b.made("hidden")
    r = b.bind(iid, "b", "hidden")
    assert r.status_code == 201
    refused(b.binding(iid, "b"), 404, "NotFound", "cannot be fetched")
    refused(b.instance(iid), 404, "NotFound", "cannot be fetched")
    assert b.bind(iid, "b", "hidden").json() == r.json()


# -- what it needs ---------------------------------------------------------------------------------

def test_the_instance_must_be_there(b):
    refused(b.bind(rig.new_id(), "b", "plain"), 404, "NotFound")
    iid = b.made("plain")
    assert b.deprovision(iid, "plain").status_code == 200
    refused(b.bind(iid, "b", "plain"), 404, "NotFound")
    refused(b.binding_last(iid, "b"), 404, "NotFound")


def test_ids_must_be_the_instances(b):
    iid = b.made("plain")
    for body, word in (({"service_id": ...}, "service_id"), ({"plan_id": ...}, "plan_id"),
                       ({"service_id": ""}, "service_id"), ({"plan_id": ""}, "plan_id"),
                       ({"service_id": "x"}, "service_id"), ({"plan_id": "x"}, "plan_id"),
                       ({"service_id": b.ids("own")[0]}, "plan_id"),
                       ({"plan_id": b.ids("own")[1]}, "plan_id"),
                       ({"plan_id": b.ids("plain", "unbindable")[1]}, "plan_id"),
                       (dict(zip(("service_id", "plan_id"), b.ids("own"))), "service_id")):
        bad(b.bind(iid, "b", "plain", **body), word)
    refused(b.binding_last(iid, "b"), 404, "NotFound")


def test_a_plan_that_cannot_be_bound(b):
    iid = b.made("plain", "unbindable")
    bad(b.bind(iid, "b", "plain", "unbindable"), "unbindable", "cannot be bound")
    refused(b.binding_last(iid, "b"), 404, "NotFound")


@pytest.mark.parametrize("more,status", [
    ({}, 422), ({"bind_resource": {}}, 422), ({"bind_resource": {"route": "x.example.org"}}, 422),
    ({"bind_resource": {"credential_client_id": "c"}}, 422), ({"bind_resource": None}, 422),
    ({"app_guid": None}, 422),
    ({"app_guid": "app"}, 201), ({"bind_resource": {"app_guid": "app"}}, 201),
    ({"app_guid": "app", "bind_resource": {"app_guid": "app", "space_guid": "s"}}, 201),
    ({"app_guid": ""}, 400), ({"bind_resource": {"app_guid": ""}}, 400)])
def test_requires_app(b, more, status):
    iid = b.made("for-apps")
    r = b.bind(iid, "b", "for-apps", **more)
    assert r.status_code == status, r.text
    if status == 422:
        assert r.json() == broker.REQUIRES_APP
    if status == 400:
        bad(r, "app_guid")
    assert (b.binding(iid, "b").status_code == 200) == (status == 201)


def test_the_application_is_part_of_what_is_the_same(b):
    iid = b.made("plain")
    assert b.bind(iid, "b", "plain", app_guid="app").status_code == 201
    same = [{"app_guid": "app"}, {"bind_resource": {"app_guid": "app"}},
            {"app_guid": "app", "bind_resource": {"app_guid": "app", "space_guid": "x"}},
            {"app_guid": "app", "bind_resource": {"app_annotations": {"a": "b"}}}]
    for body in same:
        assert b.bind(iid, "b", "plain", **body).status_code == 200, body
    for body in ({}, {"app_guid": "other"}, {"bind_resource": {"app_guid": "other"}},
                 {"app_guid": "app", "bind_resource": {"route": "r"}}):
        refused(b.bind(iid, "b", "plain", **body), 409, "Conflict")


# -- fields ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name,field,value", [
    ("drain", "syslog_drain_url", "syslog://127.0.0.1:514"),
    ("route", "route_service_url", "https://127.0.0.1/route"),
    ("volume", "volume_mounts", MOUNTS)])
def test_fields_with_their_requires(b, name, field, value):
    iid = b.made(name)
    r = b.bind(iid, "b", name)
    assert r.status_code == 201 and set(r.json()) == {"credentials", field}
    assert r.json()[field] == value
    assert b.binding(iid, "b").json() == r.json()


def test_fields_without_their_requires(b):
    """A platform would take such an answer for a failure, and leave the binding behind."""
    iid = b.made("pretender")
    r = b.bind(iid, "b", "pretender")
    assert r.status_code == 201 and set(r.json()) == {"credentials"}
    assert set(b.binding(iid, "b").json()) == {"credentials"}


@pytest.mark.parametrize("version,there", [("2.0", False), ("2.13", False), ("2.14", False),
                                           ("2.15", True), ("2.17", True), ("2.99", True)])
def test_endpoints_only_where_they_are_known(b, version, there):
    iid, bid = b.made("reachable"), rig.new_id()
    for status in (201, 200):
        r = b.bind(iid, bid, "reachable", version=version)
        assert r.status_code == status
        assert ("endpoints" in r.json()) == there
        got = b.binding(iid, bid, version=version).json()
        assert got == r.json()
    # an older request leaves nothing out for later ones
    assert b.binding(iid, bid).json()["endpoints"] == ENDPOINTS


# -- rotation --------------------------------------------------------------------------------------

def rotate(b, iid, new, old, wait=None, **more):
    return b.ask("PUT", f"/v2/service_instances/{iid}/service_bindings/{new}",
                 {"predecessor_binding_id": old, **more}, accepts_incomplete=wait)


@pytest.mark.parametrize("name,wait", [("rotating", None), ("rotating-slowly", None),
                                       ("rotating-slowly", "true")])
def test_rotation(b, name, wait):
    iid = b.made(name)
    old = b.bound(iid, name, parameters={"role": "reader"}, app_guid="app")
    new = rig.new_id()
    r = rotate(b, iid, new, old, wait)
    if wait:
        assert r.status_code == 202
        again = rotate(b, iid, new, old, wait)
        assert (again.status_code, again.json()) == (202, r.json())
        assert b.ended(iid, new)["state"] == "succeeded"
    else:
        assert r.status_code == 201
    first, second = b.binding(iid, old).json(), b.binding(iid, new).json()
    assert first["credentials"]["password"] != second["credentials"]["password"]
    assert second["parameters"] == {"role": "reader"}  # inherited
    assert rotate(b, iid, new, old, wait).status_code == 200
    refused(rotate(b, iid, new, rig.new_id(), wait), 409, "Conflict")
    refused(b.bind(iid, new, name, wait=wait), 409, "Conflict")
    # both live side by side, and go one by one
    assert b.unbind(iid, old, name).status_code == 200
    assert b.binding(iid, new).json() == second
    third = rig.new_id()
    bad(rotate(b, iid, third, old), "predecessor_binding_id")
    assert rotate(b, iid, third, new).status_code == 201
    assert b.binding(iid, third).json()["parameters"] == {"role": "reader"}
    assert rotate(b, iid, new, old, wait).status_code == 200  # what is there is there


def test_rotation_with_ids_and_parameters_of_its_own(b):
    iid = b.made("rotating")
    old = b.bound(iid, "rotating", parameters={"role": "reader"})
    s, p = b.ids("rotating")
    r = rotate(b, iid, "n", old, service_id=s, plan_id=p, parameters={"role": "writer"})
    assert r.status_code == 201
    assert b.binding(iid, "n").json()["parameters"] == {"role": "writer"}
    bad(rotate(b, iid, "m", old, service_id="x"), "service_id")
    bad(rotate(b, iid, "m", old, plan_id="x"), "plan_id")
    bad(rotate(b, iid, "m", old, plan_id=b.ids("rotating", "fixed")[1]), "plan_id")


def test_rotation_refused(b):
    iid, other = b.made("rotating"), b.made("rotating")
    old, foreign = b.bound(iid, "rotating"), b.bound(other, "rotating")
    for predecessor in (rig.new_id(), foreign, "n", old.upper()):
        bad(rotate(b, iid, "n", predecessor), "predecessor_binding_id")
    for predecessor in (1, [], {}, True):
        bad(rotate(b, iid, "n", predecessor), "predecessor_binding_id")
    bad(rotate(b, iid, "n", ""), "predecessor_binding_id")
    refused(rotate(b, rig.new_id(), "n", old), 404, "NotFound")
    refused(b.binding_last(iid, "n"), 404, "NotFound")
    # absent or null: it is an ordinary bind, whose ids are required
    bad(rotate(b, iid, "n", None), "service_id")
    iid = b.made("rotating", "fixed")
    old = b.bound(iid, "rotating", "fixed")
    bad(rotate(b, iid, "n", old), "predecessor_binding_id", "fixed")
    refused(b.binding_last(iid, "n"), 404, "NotFound")


# -- lifetime --------------------------------------------------------------------------------------

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"


def when(text):
    assert re.fullmatch(STAMP, text), text
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.mark.parametrize("plan,renew", [("long", 2880), ("early", 600)])
def test_timestamps(b, plan, renew):
    iid = b.made("passing", plan)
    before = time.time()
    r = b.bind(iid, "b", "passing", plan)
    assert set(r.json()) == {"credentials", "metadata"}
    metadata = r.json()["metadata"]
    assert set(metadata) == {"expires_at", "renew_before"}
    assert before + 3599 <= when(metadata["expires_at"]) <= time.time() + 3601
    assert abs(when(metadata["expires_at"]) - 3600 + renew - when(metadata["renew_before"])) < 0.2
    assert b.binding(iid, "b").json() == r.json()
    assert b.bind(iid, "b", "passing", plan).json() == r.json()


def test_expiry(b):
    iid = b.made("passing", "short")
    old, new = b.bound(iid, "passing", "short"), rig.new_id()
    assert rotate(b, iid, new, old).status_code == 201
    third = b.made("passing", "long")
    lasting = b.bound(third, "passing", "long")

    def over():  # each in its time
        return b.binding(iid, old).status_code == 404 and b.binding(iid, new).status_code == 404
    assert b.binding(iid, new).status_code == 200
    assert rig.wait_until(over, 8)
    assert b.binding(third, lasting).status_code == 200
    # gone at its time, unbound a moment later
    assert rig.wait_until(lambda: all(any("expire succeeded" in line and bid in line
                                          for line in b.d.log().splitlines())
                                      for bid in (old, new)), 8)
    refused(b.binding(iid, old), 404, "NotFound", "expired")
    bad(rotate(b, iid, "n", old), "predecessor_binding_id")
    refused(b.bind(iid, old, "passing", "short"), 409, "Conflict")
    # the row is there for the platform's DELETE, the instance's is not held up by it
    assert rig.wait_until(lambda: b.unbind(iid, old, "passing", "short").status_code == 200, 3)
    refused(b.unbind(iid, old, "passing", "short"), 410, "Gone")
    assert rig.wait_until(lambda: b.deprovision(iid, "passing", "short").status_code == 200, 3)
    refused(b.unbind(iid, new, "passing", "short"), 410, "Gone")


def test_expiry_while_the_broker_is_away(osbd):
    b = broker.start(osbd, SERVICES)
    iid = b.made("passing", "short")
    bid = b.bound(iid, "passing", "short")
    b.d.stop()
    time.sleep(2.2)
    b.d.start()
    assert rig.wait_until(lambda: b.binding(iid, bid).status_code == 404, 8)


# -- a deprovision with bindings -------------------------------------------------------------------

def test_bindings_refuse(b):
    iid = b.made("refuses")
    bids = [b.bound(iid, "refuses") for _ in range(2)]
    for wait in (None, "true"):
        refused(b.deprovision(iid, "refuses", wait=wait), 422, "ServiceInstanceHasBindings", "2")
    assert b.instance(iid).status_code == 200
    for bid in bids:
        assert b.unbind(iid, bid, "refuses").status_code == 200
    assert b.deprovision(iid, "refuses").status_code == 200


@pytest.mark.parametrize("name", ["unbinds", "unbinds-at-once"])
@pytest.mark.parametrize("wait", [None, "true"])
def test_bindings_are_unbound_first(b, name, wait):
    iid = b.made(name)
    bids = [b.bound(iid, name) for _ in range(3)]
    r = b.deprovision(iid, name, wait=wait)
    if r.status_code == 202:
        assert b.ended(iid)["state"] == "succeeded"
    else:
        assert (r.status_code, r.json()) == (200, {})
    for bid in bids:
        refused(b.binding(iid, bid), 404, "NotFound")
        assert b.binding_last(iid, bid).json()["state"] == "succeeded"
        refused(b.unbind(iid, bid, name), 410, "Gone")
    refused(b.deprovision(iid, name), 410, "Gone")


def test_unbinding_first_survives_kills(osbd):
    services = [broker.service("unbinds", [broker.plan("small", **BOTH)],
                               {"delay": {"unbind": "300ms", "deprovision": "300ms"}},
                               with_bindings="unbind")]
    b = broker.start(osbd, services)
    iid = b.made("unbinds")
    bids = [b.bound(iid, "unbinds") for _ in range(3)]
    op = b.deprovision(iid, "unbinds", wait="true").json()["operation"]
    for pause in (0.1, 0.3, 0.6, 0.9):
        time.sleep(pause)
        b.d.kill()
        b.d.start()
    assert b.ended(iid, operation=op)["state"] == "succeeded"
    for bid in bids:
        refused(b.unbind(iid, bid, "unbinds"), 410, "Gone")
    refused(b.deprovision(iid, "unbinds"), 410, "Gone")


def test_bindings_that_cannot_be_unbound(b):
    iid = b.made("unbinds-in-vain")
    bids = [b.bound(iid, "unbinds-in-vain") for _ in range(2)]
    assert b.deprovision(iid, "unbinds-in-vain", wait="true").status_code == 202
    body = b.ended(iid)
    assert body["state"] == "failed" and "cannot be unbound" in body["description"]
    assert any(bid in body["description"] for bid in bids)
    assert b.instance(iid).status_code == 200
    for bid in bids:
        assert b.ended(iid, bid)["state"] == "failed"
        assert b.binding(iid, bid).status_code == 200
    refused(b.unbind(iid, bids[0], "unbinds-in-vain"), 500, "Demo")
    iid = b.made("unbinds-at-last")
    b.bound(iid, "unbinds-at-last")
    r = b.deprovision(iid, "unbinds-at-last")
    assert (r.status_code, r.json()) == (200, {})


def test_bindings_are_ignored(b):
    iid = b.made("ignores")
    bid = b.bound(iid, "ignores")
    r = b.deprovision(iid, "ignores")
    assert (r.status_code, r.json()) == (200, {})
    refused(b.binding(iid, bid), 404, "NotFound")
    refused(b.unbind(iid, bid, "ignores"), 410, "Gone")
