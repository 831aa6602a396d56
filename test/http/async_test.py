# SPDX-License-Identifier: Apache-2.0
"""Synchronous and asynchronous operations, and last_operation."""
import concurrent.futures
import re
import time

import broker
import pytest
import rig
from broker import bad, refused

BOTH = {"async": "both"}


def demo(name, config=None, mode=None, **more):
    modes = {"async": mode} if mode else {}
    plans = [broker.plan("small", **modes), broker.plan("large", **modes)]
    return broker.service(name, plans, config, plan_updateable=True, **more)


def failing(name, **config):
    return demo(name, {"delay": "50ms", "fail_http": 400, "fail_code": "QuotaExceeded",
                       "fail_text": "the quota is used up", **config}, "both")


SERVICES = [
    demo("pure"),
    demo("pure-async", mode="async"),
    demo("quick", {"delay": "100ms"}),
    demo("slow", {"delay": "21s"}),  # longer than a synchronous request may take
    demo("only-sync", {"delay": "100ms"}, "sync"),
    demo("only-async", {"delay": "100ms"}, "async"),
    demo("both", {"delay": "300ms", "steps": 3}, "both"),
    demo("quiet", {"delay": "500ms"}, "both", retry_after_bindings=False),
    demo("long", {"delay": {"provision": "5s"}}, "both"),
    demo("steadfast", {"delay": {"provision": "900ms"}, "halt": False}, "both"),
    demo("long-bind", {"delay": {"bind": "5s"}}, "both"),
    demo("long-update", {"delay": {"update": "900ms", "deprovision": "900ms"}}, "both"),
    # back to the small plan takes long enough to be asked about many times
    broker.service("slow-back", [broker.plan("small", config={"delay": {"update": "4s"}}, **BOTH),
                                 broker.plan("large", config={"delay": {"update": "50ms"}}, **BOTH)],
                   plan_updateable=True),
    broker.service("deadline", [broker.plan("small", maximum_polling_duration="1s",
                                            **BOTH)], {"delay": {"provision": "20s"}}),
    demo("dashboard", {"delay": "300ms", "dashboard_url": "https://example.org/${plan}/${instance}",
                       "metadata": {"labels": {"a": "b"}, "attributes": {"c": "d"}}}, "both"),
    failing("fail-create", fail={"provision": "always"}),
    failing("fail-bind", fail={"bind": "always"}),
    failing("fail-update", fail={"update": "always"}),
    failing("fail-update-badly", fail={"update": "always"}, unusable=True, not_repeatable=True),
    failing("fail-delete", fail={"deprovision": "always", "unbind": "always"}),
    failing("fail-delete-badly", unusable=True, not_repeatable=True,
            fail={"deprovision": "always", "unbind": "always", "bind": "first"}),
    broker.service("crowded", config={"delay": "800ms"}, max_running=1),
]


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, SERVICES, store={"memory": {}})


def async_required(r):
    assert (r.status_code, r.json()) == (422, broker.ASYNC_REQUIRED)


# -- accepts_incomplete --------------------------------------------------------------------------

# service: (status without the flag, with false, with true) of a provision
MODES = {"pure": (201, 201, 201), "pure-async": (422, 422, 202), "quick": (201, 201, 202),
         "slow": (422, 422, 202), "only-sync": (201, 201, 201), "only-async": (422, 422, 202),
         "both": (201, 201, 202)}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("i,wait", enumerate([None, "false", "true"]))
def test_modes(b, name, i, wait):
    """All five verbs answer alike."""
    iid, bid = rig.new_id(), rig.new_id()
    created = MODES[name][i]
    done = 200 if created == 201 else created

    def expect(r, status, *ids):
        assert r.status_code == status, r.text
        if status == 422:
            async_required(r)
        if status == 202 and name != "slow":
            assert b.ended(*ids, operation=r.json()["operation"])["state"] == "succeeded"

    expect(b.provision(iid, name, wait=wait), created, iid)
    if name == "slow":
        if created == 202:
            assert b.instance_last(iid).json()["state"] == "in progress"
            b.deprovision(iid, name, wait="true")
        else:
            refused(b.instance_last(iid), 404, "NotFound")
        return
    if created == 422:
        refused(b.instance(iid), 404, "NotFound")
        refused(b.instance_last(iid), 404, "NotFound")
        iid = b.made(name)
    expect(b.update(iid, name, "large", wait=wait), done, iid)
    assert b.instance(iid).json()["plan_id"] == \
        b.ids(name, "small" if created == 422 else "large")[1]
    plan = "small" if created == 422 else "large"
    expect(b.bind(iid, bid, name, plan, wait=wait), created, iid, bid)
    if created == 422:
        refused(b.binding(iid, bid), 404, "NotFound")
        bid = b.bound(iid, name)
    assert b.binding(iid, bid).json()["credentials"]
    expect(b.unbind(iid, bid, name, plan, wait=wait), done, iid, bid)
    if created == 422:
        assert b.binding(iid, bid).status_code == 200
        b.unbind(iid, bid, name, wait="true")
        b.ended(iid, bid)
    expect(b.deprovision(iid, name, plan, wait=wait), done, iid)


@pytest.mark.parametrize("wait", ["", "1", "yes", "True", "TRUE", "truee", "null", "0", "true "])
def test_garbage_in_accepts_incomplete(b, wait):
    iid = rig.new_id()
    bad(b.provision(iid, "quick", wait=wait), "accepts_incomplete", "true or false")
    refused(b.instance_last(iid), 404, "NotFound")
    iid = b.made("pure")
    bad(b.update(iid, "pure", "large", wait=wait), "accepts_incomplete")
    bad(b.bind(iid, "x", "pure", wait=wait), "accepts_incomplete")
    bad(b.unbind(iid, "x", "pure", wait=wait), "accepts_incomplete")
    bad(b.deprovision(iid, "pure", wait=wait), "accepts_incomplete")
    assert b.instance(iid).status_code == 200


def test_accepts_incomplete_twice(b):
    r = b.ask("PUT", f"/v2/service_instances/{rig.new_id()}"
              "?accepts_incomplete=true&accepts_incomplete=false", b.provision_body("quick"))
    bad(r, "accepts_incomplete", "twice")


# -- a second request that waits -----------------------------------------------------------------

def test_a_second_request_waits_for_the_first(b):
    iid, bid = rig.new_id(), rig.new_id()
    assert b.provision(iid, "both", wait="true").status_code == 202
    assert b.provision(iid, "both").status_code in (200, 201)
    assert b.instance(iid).status_code == 200
    assert b.bind(iid, bid, "both", wait="true").status_code == 202
    r = b.bind(iid, bid, "both")
    assert r.status_code in (200, 201) and r.json() == b.binding(iid, bid).json()
    assert b.update(iid, "both", "large", wait="true").status_code == 202
    assert b.update(iid, "both", "large").status_code == 200
    assert b.unbind(iid, bid, "both", wait="true").status_code == 202
    assert b.unbind(iid, bid, "both").status_code == 200
    assert b.deprovision(iid, "both", wait="true").status_code == 202
    assert b.deprovision(iid, "both").status_code == 200


def test_the_waiting_client_may_go(b):
    """An operation does not belong to a connection."""
    import socket
    import json
    iid = rig.new_id()
    body = json.dumps(b.provision_body("both")).encode()
    head = b.ask("GET", "/v2/catalog").request.headers
    with socket.create_connection(("127.0.0.1", b.d.port), 5) as s:
        s.sendall(b"PUT /v2/service_instances/%s HTTP/1.1\r\nHost: x\r\n"
                  b"X-Broker-API-Version: 2.17\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n"
                  % (iid.encode(), head["authorization"].encode(), len(body)) + body)
        assert rig.wait_until(lambda: b.instance_last(iid).status_code == 200)
    assert b.ended(iid)["state"] == "succeeded"
    assert b.provision(iid, "both").status_code == 200


# -- too late --------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def hurried(osbd_module):
    return broker.start(osbd_module, SERVICES, limits={"sync_within": "300ms"},
                        store={"memory": {}})


def test_a_create_past_its_time_is_halted(hurried):
    b = hurried
    iid = rig.new_id()
    began = time.monotonic()
    refused(b.provision(iid, "long"), 500, "Timeout", "provision", "being undone")
    assert time.monotonic() - began < 3
    assert b.ended(iid)["state"] in ("failed", "succeeded")
    refused(b.instance(iid), 404, "NotFound")
    assert b.deprovision(iid, "long").status_code in (200, 410)


def test_a_bind_past_its_time_is_halted(hurried):
    b = hurried
    iid, bid = b.made("long-bind"), rig.new_id()
    refused(b.bind(iid, bid, "long-bind"), 500, "Timeout", "bind", "being undone")
    b.ended(iid, bid)
    refused(b.binding(iid, bid), 404, "NotFound")
    assert b.unbind(iid, bid, "long-bind").status_code in (200, 410)


def test_a_create_that_cannot_be_halted_goes_on_past_its_time(hurried):
    b = hurried
    iid = rig.new_id()
    refused(b.provision(iid, "steadfast"), 500, "Timeout", "provision", "but goes on")
    assert b.instance_last(iid).json()["state"] == "in progress"
    assert b.ended(iid)["state"] == "succeeded"
    assert b.instance(iid).status_code == 200


def test_update_and_delete_past_their_time_go_on(hurried):
    b = hurried
    iid = b.made("long-update")
    refused(b.update(iid, "long-update", "large"), 500, "Timeout", "update", "goes on")
    assert b.instance_last(iid).json()["state"] == "in progress"
    assert b.ended(iid)["state"] == "succeeded"
    assert b.instance(iid).json()["plan_id"] == b.ids("long-update", "large")[1]
    refused(b.deprovision(iid, "long-update"), 500, "Timeout", "deprovision", "goes on")
    assert b.ended(iid)["state"] == "succeeded"
    refused(b.deprovision(iid, "long-update"), 410, "Gone")


def test_the_deadline_of_a_plan(b):
    iid = rig.new_id()
    began = time.monotonic()
    op = b.provision(iid, "deadline", wait="true").json()["operation"]
    body = b.ended(iid, operation=op)
    assert body["state"] == "failed" and 0.9 < time.monotonic() - began < 6
    assert body["description"] == "provision: watch: the operation was not done within 1 s"
    refused(b.instance(iid), 404, "NotFound")
    assert b.deprovision(iid, "deadline").status_code == 200


# -- last_operation ----------------------------------------------------------------------------------

def test_in_progress(b):
    iid = rig.new_id()
    op = b.provision(iid, "both", wait="true").json()["operation"]
    said = set()
    while (r := b.instance_last(iid, op)).json()["state"] == "in progress":
        assert r.status_code == 200
        assert set(r.json()) == {"state", "description"} and r.json()["description"]
        assert re.fullmatch(r"[1-9]\d*", r.headers["retry-after"])
        said.add(r.json()["description"])
        time.sleep(0.02)
    assert r.json()["state"] == "succeeded" and set(r.json()) == {"state", "description"}
    assert "retry-after" not in r.headers
    assert {f"provision: look {i} of 3" for i in (2, 3)} <= said
    for _ in range(3):  # it is not forgotten
        assert b.instance_last(iid, op).json() == r.json()


def test_retry_after_of_bindings(b):
    for name, there in (("both", True), ("quiet", False)):
        iid = b.made(name)
        bid = rig.new_id()
        assert b.bind(iid, bid, name, wait="true").status_code == 202
        r = b.binding_last(iid, bid)
        assert r.json()["state"] == "in progress"
        assert ("retry-after" in r.headers) == there
        b.ended(iid, bid)
        assert b.update(iid, name, "large", wait="true").status_code == 202
        assert "retry-after" in b.instance_last(iid).headers  # of instances always
        b.ended(iid)


def test_which_operation(b):
    first, second = b.made("slow-back"), b.made("slow-back")
    one = b.update(first, "slow-back", "large", wait="true").json()["operation"]
    b.ended(first)
    two = b.update(second, "slow-back", "large", wait="true").json()["operation"]
    assert one != two
    b.ended(second)
    three = b.update(first, "slow-back", "small", wait="true").json()["operation"]
    assert b.instance_last(first, one).json()["state"] == "succeeded"
    # unknown, and of another instance: the latest is meant
    for operation in (None, three, two, "no-such-operation", "%", "ü", "x" * 2000):
        assert b.instance_last(first, operation).json()["state"] == "in progress", operation
    bad(b.instance_last(first, ""), "operation", "empty")
    b.ended(first)
    s, p = b.ids("slow-back")
    r = b.ask("GET", f"/v2/service_instances/{first}/last_operation", service_id=s, plan_id=p,
              operation=three)
    assert r.status_code == 200
    r = b.ask("GET", f"/v2/service_instances/{first}/last_operation?operation=a&operation=b")
    bad(r, "operation", "twice")
    r = b.ask("GET", f"/v2/service_instances/{first}/last_operation?operation=%ff")
    bad(r, "operation", "UTF-8")


def test_unknown(b):
    refused(b.instance_last(rig.new_id()), 404, "NotFound")
    refused(b.instance_last(rig.new_id(), "x"), 404, "NotFound")
    iid = b.made("pure")
    refused(b.binding_last(iid, rig.new_id()), 404, "NotFound")
    refused(b.binding_last(rig.new_id(), rig.new_id()), 404, "NotFound")
    # a synchronous operation is told of as well
    assert b.instance_last(iid).json()["state"] == "succeeded"


def test_operations_of_bindings_are_their_own(b):
    iid = b.made("quick")
    bid, other = rig.new_id(), rig.new_id()
    one = b.bind(iid, bid, "quick", wait="true").json()["operation"]
    two = b.bind(iid, other, "quick", wait="true").json()["operation"]
    assert one != two
    assert b.instance_last(iid).json()["state"] == "succeeded"  # that of the instance
    assert b.binding_last(iid, bid, two).json()["state"] == "in progress"  # its own is meant
    assert b.ended(iid, bid, one)["state"] == "succeeded"
    assert b.ended(iid, other, two)["state"] == "succeeded"
    assert b.unbind(iid, bid, "quick", wait="true").status_code == 202
    assert b.ended(iid, bid)["state"] == "succeeded"
    refused(b.binding(iid, bid), 404, "NotFound")
    assert b.binding(iid, other).status_code == 200


def test_a_place_in_the_queue(b):
    iids = [rig.new_id() for _ in range(3)]
    for iid in iids:
        assert b.provision(iid, "crowded", wait="true").status_code == 202
    waiting = b.instance_last(iids[2]).json()
    assert waiting == {"state": "in progress", "description": waiting["description"]}
    assert re.search(r"waiting for a slot, [01] before it", waiting["description"]), waiting
    for iid in iids:
        assert b.ended(iid)["state"] == "succeeded"


# -- failures ------------------------------------------------------------------------------------------

FLAGS = {"instance_usable", "update_repeatable"}


@pytest.mark.parametrize("name,verb,flags", [
    ("fail-create", "provision", {}),
    ("fail-bind", "bind", {}),
    ("fail-update", "update", {}),
    ("fail-update-badly", "update", {"instance_usable": False, "update_repeatable": False}),
    ("fail-delete", "deprovision", {}),
    ("fail-delete-badly", "deprovision", {"instance_usable": False}),
    ("fail-delete", "unbind", {}),
    ("fail-delete-badly", "unbind", {}),
])
@pytest.mark.parametrize("wait", [None, "true"])
def test_failures(b, name, verb, flags, wait):
    iid, bid = rig.new_id(), None
    if verb != "provision":
        iid = b.made(name)
    if verb == "unbind":
        bid = rig.new_id()
        if b.bind(iid, bid, name).status_code != 201:
            assert b.bind(iid, bid, name).status_code == 201
    if verb == "bind":
        bid = rig.new_id()
    r = {"provision": lambda: b.provision(iid, name, wait=wait),
         "update": lambda: b.update(iid, name, "large", wait=wait),
         "deprovision": lambda: b.deprovision(iid, name, wait=wait),
         "bind": lambda: b.bind(iid, bid, name, wait=wait),
         "unbind": lambda: b.unbind(iid, bid, name, wait=wait)}[verb]()
    if wait:
        assert r.status_code == 202
        body = b.ended(iid, bid, r.json()["operation"])
        assert body["state"] == "failed"
        assert set(body) - FLAGS == {"state", "description"}
    else:
        body = refused(r, 400, "QuotaExceeded")
        assert set(body) - FLAGS == {"error", "description"}
    assert body["description"] == f"{verb}: the quota is used up" or \
        "the quota is used up" in body["description"]
    assert {k: body[k] for k in FLAGS if k in body} == flags
    last = b.binding_last(iid, bid) if bid else b.instance_last(iid)
    assert last.json()["state"] == "failed"
    if verb == "update":
        assert b.instance(iid).json()["plan_id"] == b.ids(name, "small")[1]


# -- the first answer ------------------------------------------------------------------------------

def test_dashboard_url_is_in_the_first_answer(b):
    iid = rig.new_id()
    r = b.provision(iid, "dashboard", wait="true")
    assert r.status_code == 202
    url = r.json()["dashboard_url"]
    assert re.fullmatch(r"https://example\.org/small/[0-9a-f]{64}", url)
    again = b.provision(iid, "dashboard", wait="true")
    assert again.status_code == 202 and again.json() == r.json()
    b.ended(iid)
    got = b.instance(iid).json()
    assert got["dashboard_url"] == url
    assert got["metadata"] == {"labels": {"a": "b"}, "attributes": {"c": "d"}}
    r = b.provision(iid, "dashboard", wait="true")
    assert (r.status_code, r.json()) == (200, {"dashboard_url": url, "metadata": got["metadata"]})
    r = b.update(iid, "dashboard", "large", wait="true")
    assert r.status_code == 202
    assert r.json()["dashboard_url"] == url.replace("/small/", "/large/")
    b.ended(iid)
    assert b.instance(iid).json()["dashboard_url"] == r.json()["dashboard_url"]
    iid = rig.new_id()
    r = b.provision(iid, "dashboard")
    assert r.status_code == 201 and set(r.json()) == {"dashboard_url", "metadata"}


# -- what is long over -----------------------------------------------------------------------------

def test_retention(osbd):
    b = broker.start(osbd, SERVICES, limits={"keep_ended": "2s", "keep_gone": "2s"})
    iid = b.made("quick")
    bid = b.bound(iid, "quick")
    kept = b.made("quick")
    b.unbind(iid, bid, "quick")
    op = b.deprovision(iid, "quick", wait="true").json()["operation"]
    assert b.ended(iid, operation=op)["state"] == "succeeded"
    time.sleep(2.2)
    refused(b.instance_last(iid, op), 410, "Gone")
    refused(b.binding_last(iid, bid), 410, "Gone")
    refused(b.instance(iid), 404, "NotFound")
    refused(b.deprovision(iid, "quick"), 410, "Gone")
    assert b.instance_last(kept).json()["state"] == "succeeded"
    # rows that are over go once a minute, and at the start
    time.sleep(2.2)
    b.d.stop()
    b.d.start()
    assert rig.wait_until(lambda: b.instance_last(iid, op).status_code == 404)
    refused(b.binding_last(iid, bid), 404, "NotFound")
    refused(b.deprovision(iid, "quick"), 410, "Gone")
    assert b.instance(kept).status_code == 200
    assert b.instance_last(kept).json()["state"] == "succeeded"
    assert b.provision(iid, "quick").status_code == 201


def test_many_that_wait(b):
    """Every waiting request gets its answer, whoever began the operation."""
    iids = [rig.new_id() for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: b.provision(iids[i % 4], "quick"), range(12)))
    assert {r.status_code for r in answers} <= {200, 201}


def test_progress_is_over_when_it_is_over(b):
    iid = rig.new_id()
    r = b.provision(iid, "both", wait="true")
    seen = set()
    while (body := b.instance_last(iid, r.json()["operation"]).json())["state"] == "in progress":
        seen.add(body["description"])
    assert any("look" in text for text in seen), seen
    assert body == {"state": "succeeded", "description": "provision succeeded"}
