# SPDX-License-Identifier: Apache-2.0
"""Who may repeat what, and what excludes what: each call in each state of its object."""
import concurrent.futures
import random
import time

import broker
import pytest
import rig
from broker import refused

BOTH = {"async": "both"}


def slow(**verbs):
    return {"delay": {k: v for k, v in verbs.items()}}


PLANS = [broker.plan("small", **BOTH), broker.plan("large", **BOTH)]


def both(name, config=None, **more):
    return broker.service(name, PLANS, config, plan_updateable=True, **more)


SERVICES = [
    both("quick"),
    both("short", {"delay": "150ms"}),
    both("provisioning", slow(provision="1500ms")),
    both("updating", slow(update="1500ms")),
    both("deprovisioning", slow(deprovision="1500ms")),
    both("binding", slow(bind="1500ms")),
    both("unbinding", slow(unbind="1500ms")),
    both("halting", slow(provision="20s", deprovision="300ms", bind="20s", unbind="300ms")),
    both("steadfast", {**slow(provision="1500ms", bind="1500ms"), "halt": False}),
    both("failing", {"delay": {"provision": "100ms", "bind": "100ms"}, "fail": {
        "provision": "first", "bind": "first"}}),
    both("dirty", {"delay": {"provision": "100ms", "bind": "100ms"}, "way_back": "fail", "fail": {
        "provision": "first", "bind": "first"}}),
    both("stuck", {"delay": {"deprovision": "100ms", "unbind": "100ms"}, "fail": {
        "deprovision": "first", "unbind": "first"}}),
]


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, SERVICES)


def concurrency(r):
    assert (r.status_code, r.json()) == (422, broker.CONCURRENCY)


def operation(r):
    assert r.status_code == 202, r.text
    return r.json()["operation"]


def gone(r):
    refused(r, 410, "Gone")


# -- PUT instance ------------------------------------------------------------------------------

@pytest.mark.parametrize("wait", [None, "false", "true"])
def test_provision_unknown_then_same(b, wait):
    iid = rig.new_id()
    r = b.provision(iid, "quick", wait=wait)
    assert (r.status_code, r.json()) == (201, {})
    for again in (None, "false", "true"):
        r = b.provision(iid, "quick", wait=again)
        assert (r.status_code, r.json()) == (200, {})


def test_provision_same_in_progress(b):
    iid = rig.new_id()
    op = operation(b.provision(iid, "provisioning", wait="true"))
    for _ in range(3):
        assert operation(b.provision(iid, "provisioning", wait="true")) == op
    assert b.instance_last(iid).json()["state"] == "in progress"
    refused(b.provision(iid, "provisioning", "large", wait="true"), 409, "Conflict")
    refused(b.provision(iid, "provisioning", wait="true", space_guid="x"), 409, "Conflict")
    refused(b.instance(iid), 404, "NotFound")
    concurrency(b.update(iid, "provisioning", "large", wait="true"))
    concurrency(b.bind(iid, "x", "provisioning", wait="true"))
    # without accepts_incomplete the repeat waits for the end of the first
    r = b.provision(iid, "provisioning")
    assert (r.status_code, r.json()) in ((201, {}), (200, {}))
    assert b.instance_last(iid, op).json()["state"] == "succeeded"
    r = b.provision(iid, "provisioning", wait="true")
    assert (r.status_code, r.json()) == (200, {})


OTHER = [{"plan": "large"}, {"organization_guid": "other"}, {"space_guid": "other"},
         {"parameters": {"a": 2}}, {"parameters": {"a": "1"}}, {"parameters": {"a": 1, "b": 0}},
         {"parameters": {"A": 1}}, {"parameters": {}}, {"parameters": ...},
         {"parameters": {"a": 1, "b": None}}]


@pytest.mark.parametrize("changes", OTHER)
def test_provision_different(b, changes):
    iid = b.made("quick", parameters={"a": 1})
    body = {"parameters": {"a": 1}, **changes}
    refused(b.provision(iid, "quick", body.pop("plan", None), **body), 409, "Conflict")
    refused(b.provision(iid, "quick", changes.get("plan"), wait="true", **body), 409, "Conflict")
    assert b.provision(iid, "quick", parameters={"a": 1}).status_code == 200
    refused(b.provision(iid, "short", parameters={"a": 1}), 409, "Conflict")
    assert b.instance(iid).json()["parameters"] == {"a": 1}


@pytest.mark.parametrize("first,second", [
    ({"a": 1}, {"a": 1.0}), ({"a": 100}, {"a": 1e2}), ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2.0}]}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({}, ...), (..., {}), ({"s": "\u00e9"}, {"s": "é"}),
    ({"a": 0}, {"a": -0.0})])
def test_parameters_are_compared_as_values(b, first, second):
    iid, bid = b.made("quick", parameters=first), rig.new_id()
    assert b.provision(iid, "quick", parameters=second).status_code == 200
    assert b.bind(iid, bid, "quick", parameters=first).status_code == 201
    assert b.bind(iid, bid, "quick", parameters=second).status_code == 200


@pytest.mark.parametrize("first,second", [
    ({"a": 1}, {"a": True}), ({"a": 0}, {"a": False}), ({"a": []}, {"a": {}}),
    ({"a": [1, 2]}, {"a": [2, 1]}), ({"a": None}, {}), ({"a": ""}, {"a": None}),
    ({"a": 10000000000000000000001}, {"a": 10000000000000000000002}),
    ({"s": "\u00e9"}, {"s": "e\u0301"})])
def test_parameters_that_differ(b, first, second):
    iid, bid = b.made("quick", parameters=first), rig.new_id()
    refused(b.provision(iid, "quick", parameters=second), 409, "Conflict")
    assert b.bind(iid, bid, "quick", parameters=first).status_code == 201
    refused(b.bind(iid, bid, "quick", parameters=second), 409, "Conflict")


def test_context_is_not_compared(b):
    iid, bid = b.made("quick", context={"platform": "x", "instance_name": "a"}), rig.new_id()
    assert b.provision(iid, "quick", context={"platform": "y"}).status_code == 200
    assert b.provision(iid, "quick").status_code == 200
    assert b.bind(iid, bid, "quick", context={"platform": "x"}).status_code == 201
    assert b.bind(iid, bid, "quick", context={"space_name": "y"}).status_code == 200
    assert b.provision(iid, "quick", unknown_field=1).status_code == 200


def test_identical_is_what_the_instance_is_now(b):
    iid = b.made("quick", parameters={"a": 1})
    assert b.update(iid, "quick", "large", parameters={"b": 2}).status_code == 200
    refused(b.provision(iid, "quick", parameters={"a": 1}), 409, "Conflict")
    assert b.provision(iid, "quick", "large", parameters={"b": 2, "a": 1}).status_code == 200


def test_provision_after_delete_is_new(b):
    iid = b.made("quick", parameters={"a": 1})
    assert b.deprovision(iid, "quick").status_code == 200
    assert b.provision(iid, "quick", "large").status_code == 201
    assert b.instance(iid).json()["plan_id"] == b.ids("quick", "large")[1]
    assert "parameters" not in b.instance(iid).json()


# -- a create that failed ----------------------------------------------------------------------

@pytest.mark.parametrize("wait", [None, "true"])
def test_after_a_failed_provision(osbd, wait):
    b = broker.start(osbd, SERVICES)
    iid = rig.new_id()

    def fail(i):
        r = b.provision(i, "failing", wait=wait)
        if wait:
            op = operation(r)
            body = b.ended(i)
            assert body["state"] == "failed" and "told to fail" in body["description"]
            assert set(body) == {"state", "description"}
            assert b.instance_last(i, op).json() == body
        else:
            assert refused(r, 500, "Demo", "told to fail")

    fail(iid)
    refused(b.instance(iid), 404, "NotFound")
    refused(b.update(iid, "failing", "large"), 404, "NotFound")
    refused(b.bind(iid, "x", "failing"), 404, "NotFound")
    r = b.deprovision(iid, "failing", wait=wait)
    assert (r.status_code, r.json()) == (200, {})
    gone(b.deprovision(iid, "failing", wait=wait))
    assert b.instance_last(iid).json()["state"] == "succeeded"
    # the same PUT is a new attempt, with other attributes too
    r = b.provision(iid, "failing", "large", wait=wait)
    if wait:
        operation(r)
        assert b.ended(iid)["state"] == "succeeded"
    else:
        assert r.status_code == 201
    assert b.instance(iid).status_code == 200


def test_same_put_after_a_failure_is_a_new_attempt(osbd):
    b = broker.start(osbd, SERVICES)
    iid, bid = rig.new_id(), rig.new_id()
    first = operation(b.provision(iid, "failing", wait="true"))
    assert b.ended(iid)["state"] == "failed"
    second = operation(b.provision(iid, "failing", wait="true"))
    assert second != first
    assert b.ended(iid)["state"] == "succeeded"
    assert b.instance_last(iid, first).json()["state"] == "failed"
    first = operation(b.bind(iid, bid, "failing", wait="true"))
    assert b.ended(iid, bid)["state"] == "failed"
    refused(b.binding(iid, bid), 404, "NotFound")
    second = operation(b.bind(iid, bid, "failing", wait="true", parameters={"other": 1}))
    assert second != first
    assert b.ended(iid, bid)["state"] == "succeeded"
    assert b.binding(iid, bid).json()["parameters"] == {"other": 1}


def test_after_a_failed_bind(osbd):
    b = broker.start(osbd, SERVICES)
    iid, bid = rig.new_id(), rig.new_id()
    assert b.provision(iid, "failing").status_code == 500
    assert b.provision(iid, "failing").status_code == 201
    refused(b.bind(iid, bid, "failing"), 500, "Demo", "told to fail")
    refused(b.binding(iid, bid), 404, "NotFound")
    assert b.binding_last(iid, bid).json()["state"] == "failed"
    r = b.unbind(iid, bid, "failing")
    assert (r.status_code, r.json()) == (200, {})
    gone(b.unbind(iid, bid, "failing"))
    assert b.bind(iid, bid, "failing").status_code == 201
    assert b.unbind(iid, bid, "failing").status_code == 200
    assert b.deprovision(iid, "failing").status_code == 200


def test_when_the_way_back_fails_too(osbd):
    b = broker.start(osbd, SERVICES)
    iid, bid = rig.new_id(), rig.new_id()
    operation(b.provision(iid, "dirty", wait="true"))
    body = b.ended(iid)
    assert body["state"] == "failed" and "cleaning up" in body["description"]
    refused(b.instance(iid), 404, "NotFound")
    assert b.deprovision(iid, "dirty").status_code == 200  # its steps run now
    gone(b.deprovision(iid, "dirty"))
    iid = b.made("dirty")
    operation(b.bind(iid, bid, "dirty", wait="true"))
    assert b.ended(iid, bid)["state"] == "failed"
    refused(b.binding(iid, bid), 404, "NotFound")
    refused(b.deprovision(iid, "dirty"), 422, "ServiceInstanceHasBindings")
    assert b.unbind(iid, bid, "dirty").status_code == 200
    assert b.deprovision(iid, "dirty").status_code == 200


def test_a_new_attempt_after_the_way_back_failed(osbd):
    """What was left half-made is made anew, and counted once."""
    b = broker.start(osbd, SERVICES)
    iid, bid = rig.new_id(), rig.new_id()
    refused(b.provision(iid, "dirty"), 500, "Demo", "told to fail")
    assert b.provision(iid, "dirty").status_code == 201
    refused(b.bind(iid, bid, "dirty"), 500, "Demo", "told to fail")
    assert b.bind(iid, bid, "dirty").status_code == 201
    refused(b.deprovision(iid, "dirty"), 422, "ServiceInstanceHasBindings", "1")
    assert b.unbind(iid, bid, "dirty").status_code == 200
    gone(b.unbind(iid, bid, "dirty"))
    assert b.deprovision(iid, "dirty").status_code == 200


def test_after_a_failed_delete(osbd):
    b = broker.start(osbd, SERVICES)
    iid = b.made("stuck")
    bid = b.bound(iid, "stuck")
    credentials = b.binding(iid, bid).json()
    refused(b.unbind(iid, bid, "stuck"), 500, "Demo", "told to fail")
    assert b.binding_last(iid, bid).json()["state"] == "failed"
    assert b.binding(iid, bid).json() == credentials
    assert b.unbind(iid, bid, "stuck").status_code == 200
    operation(b.deprovision(iid, "stuck", wait="true"))
    assert b.ended(iid)["state"] == "failed"
    assert b.instance(iid).status_code == 200
    assert b.deprovision(iid, "stuck").status_code == 200


# -- PATCH -------------------------------------------------------------------------------------

def test_update_table(b):
    iid = rig.new_id()
    refused(b.update(iid, "updating", "large"), 404, "NotFound")
    iid = b.made("updating")
    r = b.update(iid, "updating", "small")
    assert (r.status_code, r.json()) == (200, {})  # nothing to be done
    op = operation(b.update(iid, "updating", "large", wait="true"))
    for _ in range(3):
        assert operation(b.update(iid, "updating", "large", wait="true")) == op
    concurrency(b.instance(iid))
    concurrency(b.update(iid, "updating", "large", wait="true", parameters={"x": 1}))
    concurrency(b.deprovision(iid, "updating", wait="true"))
    concurrency(b.bind(iid, "x", "updating", wait="true"))
    r = b.update(iid, "updating", "large")  # waits for the end of the first
    assert (r.status_code, r.json()) == (200, {})
    assert b.instance_last(iid, op).json()["state"] == "succeeded"
    r = b.update(iid, "updating", "large", wait="true")
    assert (r.status_code, r.json()) == (200, {})
    assert b.deprovision(iid, "updating").status_code == 200
    refused(b.update(iid, "updating", "large"), 404, "NotFound")


def test_put_while_updating(b):
    iid = b.made("updating")
    operation(b.update(iid, "updating", "large", wait="true"))
    concurrency(b.provision(iid, "updating", wait="true"))
    b.ended(iid)
    refused(b.provision(iid, "updating"), 409, "Conflict")
    assert b.provision(iid, "updating", "large").status_code == 200


# -- DELETE instance ---------------------------------------------------------------------------

@pytest.mark.parametrize("wait", [None, "true"])
def test_delete_unknown(b, wait):
    for _ in range(3):
        gone(b.deprovision(rig.new_id(), "quick", wait=wait))
        gone(b.unbind(rig.new_id(), rig.new_id(), "quick", wait=wait))
    iid = b.made("quick")
    gone(b.unbind(iid, rig.new_id(), "quick", wait=wait))


def test_delete_table(b):
    iid = b.made("deprovisioning")
    op = operation(b.deprovision(iid, "deprovisioning", wait="true"))
    for _ in range(3):
        assert operation(b.deprovision(iid, "deprovisioning", wait="true")) == op
    concurrency(b.instance(iid))
    concurrency(b.provision(iid, "deprovisioning", wait="true"))
    concurrency(b.update(iid, "deprovisioning", "large", wait="true"))
    concurrency(b.bind(iid, "x", "deprovisioning", wait="true"))
    r = b.deprovision(iid, "deprovisioning")  # waits for the end of the first
    assert (r.status_code, r.json()) == (200, {})
    gone(b.deprovision(iid, "deprovisioning", wait="true"))
    assert b.ended(iid, operation=op)["state"] == "succeeded"
    refused(b.instance(iid), 404, "NotFound")


def test_delete_a_hundred_times(b):
    iid = b.made("quick")
    bid = b.bound(iid, "quick")
    codes = [b.unbind(iid, bid, "quick").status_code for _ in range(100)]
    assert codes == [200] + [410] * 99
    codes = [b.deprovision(iid, "quick").status_code for _ in range(100)]
    assert codes == [200] + [410] * 99


@pytest.mark.parametrize("wait", [None, "true"])
def test_delete_halts_a_provision(b, wait):
    iid = rig.new_id()
    create = operation(b.provision(iid, "halting", wait="true"))
    began = time.monotonic()
    r = b.deprovision(iid, "halting", wait=wait)
    if wait:
        delete = operation(r)
        assert delete != create
        assert operation(b.deprovision(iid, "halting", wait="true")) == delete
        concurrency(b.provision(iid, "halting", wait="true"))
        assert b.ended(iid, operation=delete)["state"] == "succeeded"
    else:
        assert (r.status_code, r.json()) == (200, {})
    assert time.monotonic() - began < 10
    body = b.instance_last(iid, create).json()
    assert body["state"] == "failed" and body["description"]
    assert b.instance_last(iid).json()["state"] == "succeeded"
    gone(b.deprovision(iid, "halting", wait=wait))
    refused(b.instance(iid), 404, "NotFound")


@pytest.mark.parametrize("wait", [None, "true"])
def test_unbind_halts_a_bind(b, wait):
    iid, bid = b.made("binding"), rig.new_id()
    create = operation(b.bind(iid, bid, "binding", wait="true"))
    r = b.unbind(iid, bid, "binding", wait=wait)
    if wait:
        delete = operation(r)
        assert delete != create
        assert b.ended(iid, bid, operation=delete)["state"] == "succeeded"
    else:
        assert (r.status_code, r.json()) == (200, {})
    assert b.binding_last(iid, bid, create).json()["state"] == "failed"
    gone(b.unbind(iid, bid, "binding", wait=wait))
    assert b.deprovision(iid, "binding").status_code == 200


def test_delete_while_a_provision_is_waited_for(b):
    """A synchronous PUT waits; DELETE halts its operation; both get an answer."""
    iid = rig.new_id()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        put = pool.submit(b.provision, iid, "halting")
        assert rig.wait_until(lambda: b.instance_last(iid).status_code == 200)
        r = b.deprovision(iid, "halting")
        assert (r.status_code, r.json()) == (200, {})
        refused(put.result(20), 500, "OperationFailed")
    gone(b.deprovision(iid, "halting"))


def test_a_create_that_cannot_be_halted(b):
    """DELETE gets ConcurrencyError as long as it runs, and changes nothing about it."""
    iid, bid = rig.new_id(), rig.new_id()
    create = operation(b.provision(iid, "steadfast", wait="true"))
    for wait in (None, "true", "false"):
        concurrency(b.deprovision(iid, "steadfast", wait=wait))
    assert b.instance_last(iid).json()["state"] == "in progress"
    assert b.ended(iid, operation=create)["state"] == "succeeded"
    create = operation(b.bind(iid, bid, "steadfast", wait="true"))
    for wait in (None, "true", "false"):
        concurrency(b.unbind(iid, bid, "steadfast", wait=wait))
    assert b.ended(iid, bid, operation=create)["state"] == "succeeded"
    assert b.binding(iid, bid).json()["credentials"]
    assert b.unbind(iid, bid, "steadfast").status_code == 200
    assert b.deprovision(iid, "steadfast").status_code == 200


def test_a_create_that_cannot_be_halted_across_a_kill(osbd, tmp_path):
    """It goes on where it was, still refuses the DELETE, and when it fails nothing is left."""
    world = tmp_path / "world"
    world.mkdir()
    b = broker.start(osbd, [both("steadfast", {
        "delay": {"provision": "1500ms"}, "steps": 3, "halt": False, "directory": str(world),
        "fail": {"provision": "finish"}})])
    iid = rig.new_id()
    create = operation(b.provision(iid, "steadfast", wait="true"))
    concurrency(b.deprovision(iid, "steadfast", wait="true"))
    assert rig.wait_until(lambda: [p for p in world.iterdir() if p.name.startswith("instance-")])
    b.d.kill()
    b.d.start()
    concurrency(b.deprovision(iid, "steadfast", wait="true"))
    body = b.ended(iid, operation=create)
    assert body["state"] == "failed" and "finish" in body["description"]
    assert [p.name for p in world.iterdir()] == ["journal"]
    assert b.deprovision(iid, "steadfast").status_code == 200


# -- bindings ----------------------------------------------------------------------------------

def test_bind_table(b):
    iid, bid = rig.new_id(), rig.new_id()
    refused(b.bind(iid, bid, "binding"), 404, "NotFound")
    iid = b.made("binding")
    op = operation(b.bind(iid, bid, "binding", wait="true"))
    for _ in range(3):
        assert operation(b.bind(iid, bid, "binding", wait="true")) == op
    refused(b.bind(iid, bid, "binding", wait="true", parameters={"a": 1}), 409, "Conflict")
    refused(b.bind(iid, bid, "binding", wait="true", app_guid="app"), 409, "Conflict")
    refused(b.binding(iid, bid), 404, "NotFound")
    concurrency(b.update(iid, "binding", "large", wait="true"))
    concurrency(b.deprovision(iid, "binding", wait="true"))
    r = b.bind(iid, bid, "binding")  # waits for the end of the first
    assert r.status_code in (200, 201) and r.json()["credentials"]
    for wait in (None, "true"):
        again = b.bind(iid, bid, "binding", wait=wait)
        assert again.status_code == 200 and again.json() == r.json()
    refused(b.bind(iid, bid, "binding", app_guid="app"), 409, "Conflict")
    refused(b.bind(iid, bid, "binding", bind_resource={"route": "x"}), 409, "Conflict")


def test_binds_run_side_by_side(b):
    iid = b.made("binding")
    bids = [rig.new_id() for _ in range(5)]
    began = time.monotonic()
    operations = {operation(b.bind(iid, bid, "binding", wait="true")) for bid in bids}
    assert len(operations) == 5
    assert all(b.ended(iid, bid)["state"] == "succeeded" for bid in bids)
    assert time.monotonic() - began < 5  # of 7.5 s one behind the other
    passwords = {b.binding(iid, bid).json()["credentials"]["password"] for bid in bids}
    assert len(passwords) == 5


def test_unbind_table(b):
    iid = b.made("unbinding")
    bid, other = b.bound(iid, "unbinding"), b.bound(iid, "unbinding")
    op = operation(b.unbind(iid, bid, "unbinding", wait="true"))
    for _ in range(3):
        assert operation(b.unbind(iid, bid, "unbinding", wait="true")) == op
    concurrency(b.bind(iid, bid, "unbinding", wait="true"))
    concurrency(b.update(iid, "unbinding", "large", wait="true"))
    concurrency(b.deprovision(iid, "unbinding", wait="true"))
    assert b.bind(iid, rig.new_id(), "unbinding").status_code == 201  # another binding may
    r = b.unbind(iid, bid, "unbinding")
    assert (r.status_code, r.json()) == (200, {})
    gone(b.unbind(iid, bid, "unbinding"))
    assert b.binding(iid, other).status_code == 200


def test_instance_verbs_exclude_unbinds(b):
    iid = b.made("updating")
    bid = b.bound(iid, "updating")
    operation(b.update(iid, "updating", "large", wait="true"))
    concurrency(b.unbind(iid, bid, "updating", wait="true"))
    concurrency(b.bind(iid, rig.new_id(), "updating", wait="true"))
    # what is there already is no change
    assert b.binding(iid, bid).status_code == 200
    assert b.ended(iid)["state"] == "succeeded"
    assert b.unbind(iid, bid, "updating", "large").status_code == 200


def test_a_binding_belongs_to_its_instance(b):
    first, second = b.made("quick"), b.made("quick")
    bid = b.bound(first, "quick")
    refused(b.binding(second, bid), 404, "NotFound")
    gone(b.unbind(second, bid, "quick"))
    assert b.binding(first, bid).status_code == 200
    assert b.bind(second, bid, "quick").status_code == 201
    assert b.binding(first, bid).json() != b.binding(second, bid).json()


# -- many at once ------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["quick", "short"])
def test_the_same_put_from_many_at_once(b, name):
    iid = rig.new_id()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: b.provision(iid, name), range(24)))
        assert {r.status_code for r in answers} <= {200, 201}
        assert 201 in {r.status_code for r in answers}
        answers = list(pool.map(lambda _: b.deprovision(iid, name), range(24)))
        assert {r.status_code for r in answers} <= {200, 410}
        assert 200 in {r.status_code for r in answers}


def test_opposite_verbs_at_once(b):
    """Whoever wins: every answer is one of the table, and the end is what the last one said."""
    iid = rig.new_id()

    def one(n):
        if n % 2:
            return "DELETE", b.deprovision(iid, "short", wait="true").status_code
        return "PUT", b.provision(iid, "short", wait="true").status_code
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = set(pool.map(one, range(60)))
    assert said <= {("PUT", 200), ("PUT", 202), ("PUT", 422), ("DELETE", 202), ("DELETE", 410),
                    ("DELETE", 422)}, said
    b.ended(iid)
    assert b.deprovision(iid, "short").status_code in (200, 410)
    gone(b.deprovision(iid, "short"))


ALLOWED = {
    "provision": {200, 201, 202, (409, "Conflict"), (422, "ConcurrencyError"),
                  (500, "OperationFailed")},  # halted by a DELETE
    "update": {200, 202, (404, "NotFound"), (422, "ConcurrencyError")},
    "deprovision": {200, 202, (410, "Gone"), (422, "ConcurrencyError"),
                    (422, "ServiceInstanceHasBindings")},
    "bind": {200, 201, 202, (400, "BadRequest"), (404, "NotFound"), (409, "Conflict"),
             (422, "ConcurrencyError"), (500, "OperationFailed")},  # 400: the plan has changed
    "unbind": {200, 202, (410, "Gone"), (422, "ConcurrencyError")},
    "instance": {200, (404, "NotFound"), (422, "ConcurrencyError")},
    "binding": {200, (404, "NotFound")},
    "instance_last": {200, (404, "NotFound")},
    "binding_last": {200, (404, "NotFound")},
}


def test_everything_at_once(osbd, tmp_path):
    """Whatever meets whatever: answers of the table only, and nothing is left in the end."""
    world = tmp_path / "world"
    world.mkdir()
    b = broker.start(osbd, [both("busy", {"delay": "20ms", "directory": str(world)})],
                     limits={"max_running": 4}, store={"memory": {}})
    assert b.catalog()
    iids, bids, plans = ["one", "two", "three"], ["x", "y"], ["small", "large"]

    def one(n):
        r = random.Random(n)
        iid, bid, plan, wait = (r.choice(c) for c in (iids, bids, plans, [None, "true"]))
        verb = r.choice(list(ALLOWED))
        ask = {"provision": lambda: b.provision(iid, "busy", wait=wait),
               "update": lambda: b.update(iid, "busy", plan, wait=wait),
               "deprovision": lambda: b.deprovision(iid, "busy", wait=wait),
               "bind": lambda: b.bind(iid, bid, "busy", plan, wait=wait),
               "unbind": lambda: b.unbind(iid, bid, "busy", wait=wait),
               "instance": lambda: b.instance(iid), "binding": lambda: b.binding(iid, bid),
               "instance_last": lambda: b.instance_last(iid),
               "binding_last": lambda: b.binding_last(iid, bid)}[verb]
        answer = ask()
        code = answer.status_code
        return verb, code if code < 400 else (code, answer.json()["error"])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        said = set(pool.map(one, range(1200)))
    assert [s for s in said if s[1] not in ALLOWED[s[0]]] == []
    assert {verb for verb, code in said if code in (200, 201, 202)} == set(ALLOWED)

    def over(ask):
        return lambda: ask().status_code in (200, 410)
    for iid in iids:
        for bid in bids:
            assert rig.wait_until(over(lambda: b.unbind(iid, bid, "busy")))
        assert rig.wait_until(over(lambda: b.deprovision(iid, "busy")))
        gone(b.deprovision(iid, "busy"))
    assert [p.name for p in world.iterdir()] == ["journal"]
    b.d.stop()
