# SPDX-License-Identifier: Apache-2.0
"""PATCH: what may change, what is no change, and what is refused whole."""
import json
import re

import broker
import pytest
import rig
from broker import bad, refused

BOTH = {"async": "both"}


def versioned(version, **more):
    return {"maintenance_info": {"version": version, "description": "as it is"}, **more}


PLANS = [broker.plan("small", **BOTH), broker.plan("large", **BOTH),
         broker.plan("final", plan_updateable=False, **BOTH)]

SERVICES = [
    broker.service("changing", PLANS, plan_updateable=True),
    broker.service("fixed", [broker.plan("small"), broker.plan("large"),
                             broker.plan("loose", plan_updateable=True)]),
    broker.service("slow", PLANS, {"delay": {"update": "700ms"}}, plan_updateable=True),
    broker.service("maintained", [broker.plan("small", **versioned("1.1.0"), **BOTH),
                                  broker.plan("large", **versioned("2.0.0-rc.1+x"), **BOTH),
                                  broker.plan("none", **BOTH)], plan_updateable=True),
    broker.service("contextual", PLANS, plan_updateable=True, allow_context_updates=True),
    # a delay keeps these out of the store's own transaction: whether they ran is seen by 202
    broker.service("counted", PLANS, {"delay": {"update": "100ms"}}, plan_updateable=True),
    broker.service("fragile", PLANS, {"delay": {"update": "50ms"}, "fail": {"update": "first"},
                                      "unusable": True}, plan_updateable=True),
]


@pytest.fixture(scope="module")
def b(osbd_module, tmp_path_factory):
    world = tmp_path_factory.mktemp("world")
    services = json.loads(json.dumps(SERVICES))
    services[5]["config"]["directory"] = str(world)
    b = broker.start(osbd_module, services)
    b.journal = world / "journal"
    return b


def unchanged(b, iid, before):
    assert b.instance(iid).json() == before


def test_plan_change(b):
    iid = b.made("changing")
    r = b.update(iid, "changing", "large")
    assert (r.status_code, r.json()) == (200, {})
    assert b.instance(iid).json() == {"service_id": b.ids("changing")[0],
                                      "plan_id": b.ids("changing", "large")[1]}
    assert b.update(iid, "changing", "small").status_code == 200
    assert b.update(iid, "changing", "final").status_code == 200
    before = b.instance(iid).json()
    for plan in ("small", "large"):
        for wait in (None, "true"):
            r = b.update(iid, "changing", plan, wait=wait)
            body = refused(r, 422, "PlanChangeNotSupported", "final")
            assert body["update_repeatable"] is False
    unchanged(b, iid, before)
    # the same plan is no change of plan
    assert b.update(iid, "changing", "final", parameters={"a": 1}).status_code == 200
    assert b.instance(iid).json()["parameters"] == {"a": 1}


def test_the_current_plan_decides(b):
    iid = b.made("fixed", "loose")
    assert b.update(iid, "fixed", "small").status_code == 200
    refused(b.update(iid, "fixed", "loose"), 422, "PlanChangeNotSupported")
    refused(b.update(iid, "fixed", "large"), 422, "PlanChangeNotSupported")
    assert b.update(iid, "fixed", parameters={"a": 1}).status_code == 200


def test_bad_plans_and_services(b):
    iid = b.made("changing")
    before = b.instance(iid).json()
    other = b.ids("fixed", "large")
    bad(b.update(iid, "changing", plan_id="unknown"), "plan_id")
    bad(b.update(iid, "changing", plan_id=other[1]), "plan_id")
    bad(b.update(iid, "changing", plan_id=""), "plan_id")
    bad(b.update(iid, "fixed"), "service_id")
    bad(b.update(iid, "changing", service_id="unknown"), "service_id")
    bad(b.update(iid, "changing", service_id=...), "service_id")
    bad(b.update(iid, "changing", service_id=""), "service_id")
    refused(b.update(rig.new_id(), "changing", "large"), 404, "NotFound")
    unchanged(b, iid, before)


def test_parameters_are_laid_over(b):
    iid = b.made("changing", parameters={"a": 1, "deep": {"x": 1, "y": 2}, "kept": [1, 2]})
    assert b.update(iid, "changing", parameters={"a": 2, "deep": {"x": 3}}).status_code == 200
    assert b.instance(iid).json()["parameters"] == {"a": 2, "deep": {"x": 3}, "kept": [1, 2]}
    assert b.update(iid, "changing", parameters={"new": False}).status_code == 200
    assert b.instance(iid).json()["parameters"] == {"a": 2, "deep": {"x": 3}, "kept": [1, 2],
                                                    "new": False}
    for none in ({}, ..., None):
        assert b.update(iid, "changing", parameters=none).status_code == 200
    assert b.instance(iid).json()["parameters"]["a"] == 2
    # in plan changes, too
    assert b.update(iid, "changing", "large", parameters={}).status_code == 200
    assert b.instance(iid).json()["parameters"]["kept"] == [1, 2]
    assert b.provision(iid, "changing", "large", parameters={
        "a": 2, "deep": {"x": 3}, "kept": [1, 2], "new": False}).status_code == 200


def runs(b):
    return b.journal.read_text().count("update ") if b.journal.exists() else 0


def test_no_change_does_not_run(b):
    iid = b.made("counted", parameters={"a": 1, "b": {"c": [1]}})
    before = runs(b)
    for wait in (None, "true"):
        for body in ({}, {"parameters": {}}, {"parameters": {"a": 1}},
                     {"parameters": {"b": {"c": [1.0]}, "a": 1.0}}, {"context": {"new": 1}},
                     {"plan_id": b.ids("counted")[1]}, {"plan_id": None},
                     {"maintenance_info": {}}, {"maintenance_info": None},
                     {"previous_values": {"plan_id": "whatever"}},
                     {"maintenance_info": {"description": "x"}}):
            r = b.update(iid, "counted", wait=wait, **body)
            assert (r.status_code, r.json()) == (200, {}), body
    assert runs(b) == before
    assert b.update(iid, "counted", parameters={"a": 2}, wait="true").status_code == 202
    assert b.ended(iid)["state"] == "succeeded"
    assert runs(b) == before + 2  # its start and its end


def test_previous_values(b):
    iid = b.made("changing")
    previous = {"service_id": b.ids("changing")[0], "plan_id": b.ids("changing")[1],
                "organization_id": "org", "space_id": "space", "maintenance_info": None}
    assert b.update(iid, "changing", "large", previous_values=previous).status_code == 200
    # they are deprecated and say nothing that is not known
    assert b.update(iid, "changing", "small", previous_values={"plan_id": "x"}).status_code == 200
    before = b.instance(iid).json()
    for wrong in (1, "x", [], True):
        bad(b.update(iid, "changing", "large", previous_values=wrong), "previous_values")
    unchanged(b, iid, before)


# -- maintenance_info ------------------------------------------------------------------------------

CONFLICT = "MaintenanceInfoConflict"


@pytest.mark.parametrize("info,status", [
    (..., 201), (None, 201), ({}, 201), ({"version": "1.1.0"}, 201),
    ({"version": "1.1.0", "description": "whatever", "more": 1}, 201),
    ({"description": "only"}, 201), ({"version": None}, 201),
    ({"version": "1.1.1"}, 422), ({"version": "1.1.0 "}, 422), ({"version": "1.1"}, 422),
    ({"version": ""}, 400), ({"version": 1}, 400), ("1.1.0", 400), ([], 400)])
def test_maintenance_info_of_provision(b, info, status):
    iid = rig.new_id()
    r = b.provision(iid, "maintained", maintenance_info=info)
    assert r.status_code == status, r.text
    if status == 422:
        refused(r, 422, CONFLICT, "maintenance_info")
    if status == 400:
        bad(r, "maintenance_info")
    got = b.instance(iid)
    if status == 201:
        assert got.json()["maintenance_info"] == {"version": "1.1.0"}
    else:
        assert got.status_code == 404


def test_maintenance_info_of_a_plan_without(b):
    refused(b.provision(rig.new_id(), "maintained", "none", maintenance_info={"version": "1.0.0"}),
            422, CONFLICT)
    iid = b.made("maintained", "none", maintenance_info={})
    assert "maintenance_info" not in b.instance(iid).json()


def test_maintenance_info_follows_the_plan(b):
    iid = b.made("maintained")
    before = b.instance(iid).json()
    refused(b.update(iid, "maintained", maintenance_info={"version": "2.0.0-rc.1+x"}), 422, CONFLICT)
    refused(b.update(iid, "maintained", "large", maintenance_info={"version": "1.1.0"}), 422,
            CONFLICT)
    refused(b.update(iid, "maintained", maintenance_info={"version": "2.0.0-rc.1"}), 422, CONFLICT)
    bad(b.update(iid, "maintained", maintenance_info={"version": ""}), "maintenance_info.version")
    unchanged(b, iid, before)
    r = b.update(iid, "maintained", maintenance_info={"version": "1.1.0"})
    assert (r.status_code, r.json()) == (200, {})
    r = b.update(iid, "maintained", "large", maintenance_info={"version": "2.0.0-rc.1+x"})
    assert (r.status_code, r.json()) == (200, {})
    assert b.instance(iid).json()["maintenance_info"] == {"version": "2.0.0-rc.1+x"}
    assert b.update(iid, "maintained", "none").status_code == 200
    assert "maintenance_info" not in b.instance(iid).json()
    assert b.update(iid, "maintained", "small").status_code == 200
    assert b.instance(iid).json()["maintenance_info"] == {"version": "1.1.0"}


def test_upgrade(osbd):
    """The operator offers a new version; the instance keeps the old until it is upgraded."""
    services = [broker.service("made", [broker.plan("small", **versioned("1.0.0"), **BOTH)],
                               {"delay": {"update": "100ms"}})]
    b = broker.start(osbd, services)
    iid = b.made("made")
    b.d.stop()
    text = open(b.d.config).read()
    assert '"1.0.0"' in text
    open(b.d.config, "w").write(text.replace('"1.0.0"', '"1.1.0"'))
    b.d.start()
    b._catalog = None
    assert b.catalog()["made"]["plans"][0]["maintenance_info"]["version"] == "1.1.0"
    assert b.instance(iid).json()["maintenance_info"] == {"version": "1.0.0"}
    r = b.update(iid, "made", parameters={"a": 1}, wait="true")
    assert r.status_code == 202 and b.ended(iid)["state"] == "succeeded"
    assert b.instance(iid).json()["maintenance_info"] == {"version": "1.0.0"}
    refused(b.update(iid, "made", maintenance_info={"version": "1.0.0"}), 422, CONFLICT)
    r = b.update(iid, "made", maintenance_info={"version": "1.1.0"}, wait="true",
                 previous_values={"maintenance_info": {"version": "1.0.0"}})
    assert r.status_code == 202
    refused(b.instance(iid), 422, "ConcurrencyError")
    assert b.ended(iid)["state"] == "succeeded"
    assert b.instance(iid).json()["maintenance_info"] == {"version": "1.1.0"}
    r = b.update(iid, "made", maintenance_info={"version": "1.1.0"}, wait="true")
    assert (r.status_code, r.json()) == (200, {})
    # the same PUT is what the instance is, whatever the version
    assert b.provision(iid, "made", parameters={"a": 1}).status_code == 200


# -- context ---------------------------------------------------------------------------------------

def test_context_only(b):
    context = {"platform": "cloudfoundry", "space_name": "new"}
    for name, ran in (("changing", False), ("contextual", True)):
        iid = b.made(name, context={"platform": "cloudfoundry", "space_name": "old"})
        first = b.instance_last(iid).json()["description"]
        assert b.update(iid, name, context=context).status_code == 200
        assert (b.instance_last(iid).json()["description"] != first) == ran
        assert b.update(iid, name, context=context).status_code == 200
        bad(b.update(iid, name, context=[]), "context")
        bad(b.update(iid, name, context="x"), "context")
        assert b.update(iid, name, context=None).status_code == 200


# -- while one runs --------------------------------------------------------------------------------

def test_same_and_different_in_progress(b):
    iid = b.made("slow", parameters={"a": 1})
    body = {"parameters": {"b": 2, "c": 3}}
    op = b.update(iid, "slow", "large", wait="true", **body)
    assert op.status_code == 202 and re.fullmatch("[a-z0-9-]+", op.json()["operation"])
    for same in (body, {"parameters": {"c": 3.0, "b": 2}}, {**body, "context": {"x": 1}},
                 {**body, "previous_values": {"plan_id": "x"}}, {**body, "unknown": 1}):
        again = b.update(iid, "slow", "large", wait="true", **same)
        assert (again.status_code, again.json()) == (202, op.json()), same
    for other in ({}, {"parameters": {"b": 2}}, {"parameters": {"b": 2, "c": 4}}):
        refused(b.update(iid, "slow", "large", wait="true", **other), 422, "ConcurrencyError")
    refused(b.update(iid, "slow", "small", wait="true", **body), 422, "ConcurrencyError")
    refused(b.update(iid, "slow", wait="true", **body), 422, "ConcurrencyError")
    assert b.ended(iid)["state"] == "succeeded"
    assert b.instance(iid).json()["parameters"] == {"a": 1, "b": 2, "c": 3}


# -- an unusable instance ----------------------------------------------------------------------------

def test_repair(osbd):
    b = broker.start(osbd, SERVICES[6:])
    iid = b.made("fragile")
    bid = b.bound(iid, "fragile")
    assert b.update(iid, "fragile", "large", wait="true").status_code == 202
    body = b.ended(iid)
    assert body["state"] == "failed" and body["instance_usable"] is False
    assert "update_repeatable" not in body
    assert b.instance(iid).json()["plan_id"] == b.ids("fragile")[1]
    assert b.binding(iid, bid).status_code == 200
    # the platform repairs it with the plan that it had; that is not "no change" now
    assert b.update(iid, "fragile", "small", wait="true").status_code == 202
    assert b.ended(iid)["state"] == "succeeded"
    r = b.update(iid, "fragile", "small", wait="true")
    assert (r.status_code, r.json()) == (200, {})
    assert b.deprovision(iid, "fragile").status_code == 422
    assert b.unbind(iid, bid, "fragile").status_code == 200
    assert b.deprovision(iid, "fragile").status_code == 200


def test_a_failed_update_changes_nothing(osbd):
    b = broker.start(osbd, SERVICES[6:])
    iid = b.made("fragile", parameters={"a": 1}, context={"x": 1})
    before = b.instance(iid).json()
    refused(b.update(iid, "fragile", "large", parameters={"a": 2}, context={"x": 2}), 500, "Demo")
    unchanged(b, iid, before)
    assert b.provision(iid, "fragile", parameters={"a": 1}).status_code == 200
    refused(b.provision(iid, "fragile", "large", parameters={"a": 2}), 409, "Conflict")


def test_body_before_existence(b):
    """What is wrong with the request is said first, whether there is such an instance or not."""
    r = b.ask("PATCH", f"/v2/service_instances/{rig.new_id()}", {})
    assert r.status_code == 400
    assert "service_id" in r.json()["description"]
