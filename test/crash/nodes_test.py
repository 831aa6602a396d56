# SPDX-License-Identifier: Apache-2.0
"""Three osbd on one PostgreSQL: any node answers any call, and any may die, stand still or leave.

The world and its rules are those of bundles.py: an action writes down its start and its end, and
"overlap" when a process of the same operation still lived when it began.
"""
import concurrent.futures
import os
import signal
import time

import bundles
import pytest
import rig
import servers

TAKEOVER = 30  # seconds: a lease of 15, a renewal every 5, and a busy machine
HEAD = """\
listen: [{{address: "127.0.0.1:0"}}]
users: [{{name: platform, password: secret}}]
store: {{postgresql: {{url: "{url}"}}}}
seal: {{keys: [{{id: a, key: "{key}"}}]}}
children: {{directory: {dir}/run}}
limits: {{{limits}}}
log: {{level: info}}
"""


@pytest.fixture(scope="module")
def postgres():
    with servers.Postgres() as pg:
        yield pg


@pytest.fixture
def cluster(osbd, postgres):
    """cluster(n): n nodes that run, of one world, on an empty database."""
    def make(n=3, slots=4, takes="0", limits="drain: 5s", services=None, keep=False):
        if not keep:
            postgres.sql("DROP SCHEMA public CASCADE", "osbd")
            postgres.sql("CREATE SCHEMA public AUTHORIZATION osbd", "osbd")
        first = bundles.make(osbd)
        nodes = [first] + [osbd("", start=False) for _ in range(n - 1)]
        for d in nodes:
            with open(d.config, "w") as f:
                f.write(HEAD.format(url=postgres.url(), key="5a" * 32, dir=d.dir, limits=limits))
                f.write(services or bundles.SERVICE.format(dir=first.dir, deadline="60s",
                                                           takes=takes, slots=slots))
            d.start()
        for d in nodes:
            assert rig.wait_until(lambda: "this node is" in d.log(), 20), d.log()
        return nodes
    return make


def at_once(*calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def no_overlap(d):
    assert not [line for line in bundles.lines(d) if line.endswith("overlap")]


def begin_held(d, iid):
    """A provision that stands in its action on d."""
    bundles.put(d, "hold")
    r = d.provision(iid, "true")
    assert r.status_code == 202, r.text
    assert rig.wait_until(lambda: bundles.count(d, "provision", "start") == 1, 10), d.log()
    return r.json()["operation"]


def test_the_same_put_at_the_same_instant(cluster):
    a, b, c = cluster()
    for n in range(20):
        iid = rig.new_id()
        one, two = at_once(lambda: a.provision(iid, "true"), lambda: b.provision(iid, "true"))
        assert one.status_code == two.status_code == 202, (one.text, two.text)
        assert one.json()["operation"] == two.json()["operation"]
        assert c.poll(iid, operation=one.json()["operation"])["state"] == "succeeded"
        assert bundles.count(a, "provision", "start") == n + 1
    no_overlap(a)


def test_whoever_waits_hears_of_the_end_elsewhere(cluster):
    a, b, _ = cluster(takes="1")
    iid = rig.new_id()
    begun = time.monotonic()
    one, two = at_once(lambda: a.provision(iid), lambda: b.provision(iid))
    assert {one.status_code, two.status_code} == {201}, (one.text, two.text)
    assert time.monotonic() - begun < 6  # told, and not found out much later
    assert bundles.count(a, "provision", "start") == 1
    assert b.bind(iid, "b1").status_code == 201
    assert a.get_binding(iid, "b1").json()["credentials"] == {"user": "tiny"}
    assert a.unbind(iid, "b1").status_code == 200
    assert b.deprovision(iid).status_code == 200
    assert a.get_instance(iid).status_code == 404


def test_killed(cluster):
    a, b, c = cluster()
    iid = rig.new_id()
    operation = begin_held(a, iid)
    a.kill()
    assert rig.wait_until(lambda: not bundles.alive(a), 10), "an action outlived its node"
    assert b.last(iid, operation=operation).json()["state"] == "in progress"
    assert rig.wait_until(lambda: bundles.count(a, "provision", "start") == 2, TAKEOVER)
    bundles.remove(a, "hold")
    assert c.poll(iid, operation=operation)["state"] == "succeeded"
    assert bundles.count(a, "provision", "end") == 1
    no_overlap(a)


def test_stopped_past_its_lease_and_continued(cluster):
    a, b, c = cluster()
    iid = rig.new_id()
    operation = begin_held(a, iid)
    a.process.send_signal(signal.SIGSTOP)
    try:
        assert rig.wait_until(lambda: bundles.count(a, "provision", "start") == 2, TAKEOVER)
        no_overlap(a)  # the action of the one that stands still was gone before
        bundles.remove(a, "hold")
        assert c.poll(iid, operation=operation)["state"] == "succeeded"
        owner = b if "resumed" in b.log() else c
        assert "resumed" in owner.log()
    finally:
        a.process.send_signal(signal.SIGCONT)
    assert rig.wait_until(lambda: a.log().count("this node is") == 2, 20), a.log()
    assert bundles.count(a, "provision", "start") == 2
    assert bundles.count(a, "provision", "end") == 1
    assert a.last(iid, operation=operation).json()["state"] == "succeeded"
    assert a.provision(rig.new_id()).status_code == 201  # it is a node like the others again
    no_overlap(a)


def test_a_create_is_halted_from_another_node(cluster):
    a, b, _ = cluster()
    iid = rig.new_id()
    begin_held(a, iid)
    begun = time.monotonic()
    r = b.deprovision(iid, "true")
    assert r.status_code == 202, r.text
    # the action is cancelled where it runs; its way back runs `deprovision`
    assert rig.wait_until(lambda: bundles.count(a, "deprovision", "start") == 1, 15), a.log()
    assert time.monotonic() - begun < 12
    bundles.remove(a, "hold")
    assert b.poll(iid, operation=r.json()["operation"])["state"] == "succeeded"
    assert bundles.objects(a) == {}
    assert a.get_instance(iid).status_code == 404


def test_a_node_that_leaves_hands_over(cluster):
    a, b, _ = cluster(limits="drain: 1s")
    iid = rig.new_id()
    operation = begin_held(a, iid)
    begun = time.monotonic()
    a.stop()
    assert rig.wait_until(lambda: bundles.count(a, "provision", "start") == 2, TAKEOVER)
    assert time.monotonic() - begun < 12  # at the next renewal of another, no lease had to end
    bundles.remove(a, "hold")
    assert b.poll(iid, operation=operation)["state"] == "succeeded"
    no_overlap(a)


def test_the_database_goes_and_comes_back(cluster, postgres):
    a, b, _ = cluster()
    iid, late = rig.new_id(), rig.new_id()
    operation = begin_held(a, iid)
    postgres.kill()
    try:
        begun = time.monotonic()
        r = b.provision(late, "true")
        assert r.status_code == 503, r.text
        assert int(r.headers["Retry-After"]) >= 1
        assert b.last(iid, operation=operation).status_code == 503
        assert time.monotonic() - begun < 20
        assert b.ask("GET", "/v2/catalog").status_code == 200
        bundles.remove(a, "hold")  # the action ends, and there is nowhere to write that down
        assert rig.wait_until(lambda: bundles.count(a, "provision", "end") == 1, 10)
    finally:
        postgres.start()
    assert rig.wait_until(lambda: b.last(iid).status_code == 200, 30), b.log()
    assert b.poll(iid, operation=operation, seconds=60)["state"] == "succeeded"
    assert b.get_instance(late).status_code == 404  # it was refused, and nothing of it is left
    assert rig.wait_until(lambda: b.provision(late).status_code == 201, 40)
    no_overlap(a)


def test_a_commit_without_reply_and_no_database(cluster, postgres):
    """Who asked is told to ask again, a node can be stopped, and nothing is lost or done twice."""
    a, b = cluster(n=2, limits="drain: 1s, lease: 3s")
    ids = [rig.new_id(), rig.new_id()]
    # commits are durable, but their replies wait for a server that there is not
    postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    postgres.sql("SELECT pg_reload_conf()")
    assert rig.wait_until(lambda: postgres.sql("SHOW synchronous_standby_names") == "nobody")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        puts = [pool.submit(d.provision, iid, "true") for d, iid in zip((a, b), ids)]
        waits = ("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                 " AND query = 'COMMIT'")
        assert rig.wait_until(lambda: postgres.sql(waits) == "2"), a.log() + b.log()
        postgres.kill()
        try:
            assert rig.wait_until(lambda: "the reply to a commit was lost" in b.log()), b.log()
            b.process.send_signal(signal.SIGTERM)
            assert b.process.wait(15) == 0, b.log()
            r = puts[0].result(30)
        finally:
            postgres.start(synchronous_standby_names="")
            postgres.sql("ALTER SYSTEM RESET synchronous_standby_names")
    assert r.status_code == 503 and "is not known yet" in r.text, r.text
    assert int(r.headers["Retry-After"]) >= 1
    for iid in ids:
        assert rig.wait_until(lambda: a.last(iid).status_code == 200, 30), a.log()
        assert a.poll(iid, seconds=30)["state"] == "succeeded"
        assert a.provision(iid).status_code == 200
    assert bundles.count(a, "provision", "start") == 2
    no_overlap(a)


def test_slots_of_all_nodes(cluster):
    nodes = cluster(n=2, slots=2, takes="0.5")
    a, b = nodes
    ids = [rig.new_id() for _ in range(16)]
    for iid in ids:
        assert a.provision(iid, "true").status_code == 202  # all to one of them
    for iid in ids:
        assert b.poll(iid, seconds=60)["state"] == "succeeded"
    done = [d.log().count("provision succeeded") for d in nodes]
    assert sum(done) == 16 and min(done) >= 4, done
    assert bundles.count(a, "provision", "start") == 16
    no_overlap(a)


SLOW = """\
services:
  - name: slow
    description: waits
    backend: demo
    max_running: SLOTS
    config: {delay: 200ms, steps: 1}
    plans: [{name: small, description: small, async: both}]
"""


def rate(cluster, n):
    """Operations a second, of n nodes with 8 slots each, all asked for at another."""
    limits = "drain: 5s, max_waiting: 2000"
    filler = cluster(n=1, limits=limits, services=SLOW.replace("SLOTS", "1"))[0]
    service, plan = filler.ids()
    body = {"service_id": service, "plan_id": plan, "organization_guid": "o", "space_guid": "s"}
    for _ in range(n * 200 + 50):
        r = filler.ask("PUT", f"/v2/service_instances/{rig.new_id()}", body,
                       accepts_incomplete="true")
        assert r.status_code == 202, r.text
    filler.stop()
    nodes = cluster(n=n, limits=limits, services=SLOW.replace("SLOTS", "8"), keep=True)
    finished = lambda: sum(d.log().count("provision succeeded") for d in nodes)  # noqa: E731
    time.sleep(1)
    before, begun = finished(), time.monotonic()
    time.sleep(3)
    done, took = finished() - before, time.monotonic() - begun
    for d in nodes:
        d.stop()
    return done / took


@pytest.mark.alone
def test_two_nodes_do_twice_as_much(cluster):
    one = rate(cluster, 1)
    two = rate(cluster, 2)
    print(f"operations a second with 8 slots of 200 ms: one node {one:.1f}, two {two:.1f}")
    assert two >= 1.8 * one, (one, two)


def test_one_thread_and_in_order(cluster):
    a, b, _ = cluster()
    assert a.provision(rig.new_id()).status_code == 201
    assert a.tasks() == b.tasks() == 1
    assert os.listdir(os.path.join(a.dir, "run")) == []
