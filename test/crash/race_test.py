# SPDX-License-Identifier: Apache-2.0
"""Opposite requests at the same instant on two nodes: one of them wins, the other is told what the
specification says, and what is left is what one of the two orders would have left.
"""
import hashlib
import os
import threading
import time

import cluster
import pytest
import rig

TIMES = 10
YAML = """\
limits: {{max_running: 40}}
services:
  - name: busy
    description: makes files
    backend: demo
    plan_updateable: true
    config: {{directory: {world}, delay: 60ms}}
    plans:
      - {{name: small, description: small, async: both}}
      - {{name: large, description: large, async: both}}
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    directory = tmp_path_factory.mktemp("race")
    world = directory / "world"
    world.mkdir()
    with cluster.Cluster(str(directory), YAML.format(world=world), nodes=2) as c:
        c.world = str(world)
        for node in c.nodes:  # a known catalog: the ids are not asked for in the race
            known = node.ids(0, 0), node.ids(0, 1)
            node.ids = lambda service=0, plan=0, known=known: known[plan]
        yield c


def at_once(*asks, lead=0):
    """Sends all of them at one instant, or the first `lead` seconds before the others; their
    answers, in that order."""
    answers, gate = [None] * len(asks), threading.Barrier(len(asks))

    def run(i):
        gate.wait()
        if i and lead:
            time.sleep(lead)
        answers[i] = asks[i]()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(asks))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def race(c, n, one, other):
    """Which node gets which of the two alternates, and so does who starts first."""
    a, b = c.nodes if n % 2 else reversed(c.nodes)
    lead = n // 4 * 0.002
    if n % 4 < 2:
        return at_once(lambda: one(a), lambda: other(b), lead=lead)
    answers = at_once(lambda: other(b), lambda: one(a), lead=lead)
    return answers[1], answers[0]


def made(c, *ids):
    """What the world has of an instance or a binding: "ready PLAN", or None."""
    kind = "binding" if len(ids) == 2 else "instance"
    name = hashlib.sha256("\0".join(ids).encode()).hexdigest()
    try:
        with open(os.path.join(c.world, f"{kind}-{name}")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return None


def settled(c, *ids):
    """Waits for the end of the latest operation on both nodes; returns how it ended, or None when
    there has been none."""
    said = []
    for node in c.nodes:
        def over():
            r = node.last(*ids)
            return r.status_code != 200 or r.json()["state"] != "in progress"
        assert rig.wait_until(over, 20), node.last(*ids).text
        r = node.last(*ids)
        said.append(r.json()["state"] if r.status_code == 200 else None)
    assert said[0] == said[1]
    return said[0]


def concurrency(r):
    return r.status_code == 422 and r.json()["error"] == "ConcurrencyError"


def new_instance(c):
    iid = rig.new_id()
    r = c.nodes[0].provision(iid)
    assert r.status_code == 201, r.text
    return iid


def same_on_all(c, ask, code):
    bodies = []
    for node in c.nodes:
        r = ask(node)
        assert r.status_code == code, r.text
        bodies.append(r.json())
    assert bodies[0] == bodies[1]
    return bodies[0]


def test_put_and_delete(two):
    """Of something that is not there. Either the create is undone, or there was nothing to delete."""
    orders = {"create first": 0, "delete first": 0}
    for n in range(TIMES):
        iid = rig.new_id()
        put, delete = race(two, n, lambda d: d.provision(iid, "true"),
                           lambda d: d.deprovision(iid, "true"))
        assert put.status_code == 202, put.text
        assert delete.status_code in (202, 410), delete.text
        settled(two, iid)
        if delete.status_code == 410:
            orders["delete first"] += 1
            assert made(two, iid) == "ready small"
            same_on_all(two, lambda d: d.get_instance(iid), 200)
        else:
            orders["create first"] += 1
            assert made(two, iid) is None
            same_on_all(two, lambda d: d.get_instance(iid), 404)
            for node in two.nodes:
                end = node.poll(iid, operation=delete.json()["operation"])
                assert end["state"] == "succeeded"
    print(f"\nPUT and DELETE: {orders}")


def test_put_and_delete_of_what_is_there(two):
    for n in range(TIMES):
        iid = new_instance(two)
        put, delete = race(two, n, lambda d: d.provision(iid, "true"),
                           lambda d: d.deprovision(iid, "true"))
        assert delete.status_code == 202, delete.text
        assert put.status_code == 200 or concurrency(put), put.text
        assert settled(two, iid) == "succeeded"
        assert made(two, iid) is None
        same_on_all(two, lambda d: d.get_instance(iid), 404)


def test_bind_and_deprovision(two):
    wins = {"bind": 0, "deprovision": 0}
    for n in range(TIMES):
        iid, bid = new_instance(two), rig.new_id()
        bind, delete = race(two, n, lambda d: d.bind(iid, bid, "true"),
                            lambda d: d.deprovision(iid, "true"))
        assert {bind.status_code, delete.status_code} == {202, 422}, (bind.text, delete.text)
        assert concurrency(bind) or concurrency(delete)
        if bind.status_code == 202:
            wins["bind"] += 1
            assert settled(two, iid, bid) == "succeeded"
            assert made(two, iid) == "ready small" and made(two, iid, bid) == "ready small"
            same_on_all(two, lambda d: d.get_binding(iid, bid), 200)
        else:
            wins["deprovision"] += 1
            assert settled(two, iid) == "succeeded"
            assert made(two, iid) is None and made(two, iid, bid) is None
            same_on_all(two, lambda d: d.get_binding(iid, bid), 404)
    print(f"\nbind and deprovision: {wins}")


def test_patch_and_patch(two):
    for n in range(TIMES):
        iid = new_instance(two)
        one, other = race(two, n, lambda d: d.update(iid, "true", plan=1, parameters={"x": 1}),
                          lambda d: d.update(iid, "true", parameters={"x": 2}))
        assert {one.status_code, other.status_code} == {202, 422}, (one.text, other.text)
        assert concurrency(one) or concurrency(other)
        assert settled(two, iid) == "succeeded"
        body = same_on_all(two, lambda d: d.get_instance(iid), 200)
        won = one.status_code == 202
        assert body["parameters"] == {"x": 1 if won else 2}
        assert body["plan_id"] == two.nodes[0].ids(0, 1 if won else 0)[1]
        assert made(two, iid) == ("ready large" if won else "ready small")


def test_the_same_patch_twice(two):
    """It is one operation, and both are told so."""
    for n in range(TIMES):
        iid = new_instance(two)
        one, other = race(two, n, lambda d: d.update(iid, "true", plan=1),
                          lambda d: d.update(iid, "true", plan=1))
        assert one.status_code == other.status_code == 202, (one.text, other.text)
        assert one.json() == other.json()
        assert settled(two, iid) == "succeeded"
        with open(os.path.join(two.world, "journal")) as f:
            lines = f.read().splitlines()
        operation = one.json()["operation"]
        assert [x for x in lines if x.split()[1] == operation and x.split()[0] == "update"] == [
            f"update {operation} start", f"update {operation} end"]


@pytest.mark.parametrize("asked", ["the same", "something else"])
def test_bind_and_bind(two, asked):
    iid = new_instance(two)
    for n in range(TIMES):
        bid = rig.new_id()
        other_parameters = {"x": 1 if asked == "the same" else 2}
        one, other = race(two, n, lambda d: d.bind(iid, bid, "true", parameters={"x": 1}),
                          lambda d: d.bind(iid, bid, "true", parameters=other_parameters))
        if asked == "the same":
            assert one.status_code == other.status_code == 202, (one.text, other.text)
            assert one.json() == other.json()
            x = 1
        else:
            assert {one.status_code, other.status_code} == {202, 409}, (one.text, other.text)
            x = 1 if one.status_code == 202 else 2
        assert settled(two, iid, bid) == "succeeded"
        body = same_on_all(two, lambda d: d.get_binding(iid, bid), 200)
        assert body["parameters"] == {"x": x}
        assert made(two, iid, bid) == "ready small"


def test_whoever_waits_gets_the_same_credentials(two):
    """Two binds of one id without accepts_incomplete: one operation, waited for on both nodes."""
    iid = new_instance(two)
    for n in range(TIMES):
        bid = rig.new_id()
        one, other = race(two, n, lambda d: d.bind(iid, bid), lambda d: d.bind(iid, bid))
        assert one.status_code in (200, 201) and other.status_code in (200, 201)
        assert one.json() == other.json() and one.json()["credentials"]["password"]
        assert made(two, iid, bid) == "ready small"


def test_unbind_and_deprovision(two):
    """Bindings are in the way of a deprovision until the last of them is gone."""
    for n in range(TIMES):
        iid, bid = new_instance(two), rig.new_id()
        assert two.nodes[0].bind(iid, bid).status_code == 201
        unbind, delete = race(two, n, lambda d: d.unbind(iid, bid, "true"),
                              lambda d: d.deprovision(iid, "true"))
        assert unbind.status_code == 202, unbind.text
        assert delete.status_code == 422, delete.text
        assert settled(two, iid, bid) == "succeeded"
        assert made(two, iid) == "ready small" and made(two, iid, bid) is None
        assert two.nodes[n % 2].deprovision(iid, "true").status_code == 202
        assert settled(two, iid) == "succeeded"
        assert made(two, iid) is None


def test_nothing_is_left_over(two):
    """Each action of all these races began once and ended once, or was called back."""
    time.sleep(0.5)
    began, ended = {}, {}
    with open(os.path.join(two.world, "journal")) as f:
        for line in f:
            verb, operation, what = line.split()
            many = began if what == "start" else ended
            many[verb, operation] = many.get((verb, operation), 0) + 1
    assert began and set(began.values()) == {1} and set(ended.values()) == {1}
    for node in two.nodes:
        assert node.tasks() == 1
        assert "ERROR" not in node.log() and " error " not in node.log()
