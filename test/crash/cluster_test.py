# SPDX-License-Identifier: Apache-2.0
"""Three nodes behind a balancer on one PostgreSQL, while nodes are killed, stopped and continued, and
the database is restarted. Clients do what platforms do: they ask again until they know.

OSBD_SOAK=SECONDS makes it longer (`./dev soak`).
"""
import os
import random
import threading
import time

import cluster
import httpx
import pytest
import rig

SECONDS = float(os.environ.get("OSBD_SOAK", "40"))
CLIENTS = 6
WITHIN = 90  # s, for an operation to find its end: several leases

YAML = """\
limits: {{max_running: 8}}
services:
  - name: busy
    description: makes files
    backend: demo
    plan_updateable: true
    config: {{directory: {world}, delay: 60ms, steps: 2}}
    plans:
      - {{name: small, description: small, async: both}}
      - {{name: large, description: large, async: both}}
"""


class Platform(threading.Thread):
    """Lives of instances, one after the other, with ids of its own."""

    def __init__(self, cluster, number, stopping):
        super().__init__()
        self.c = cluster.client()
        self.random = random.Random(number)
        self.number, self.stopping = number, stopping
        self.operations, self.lost, self.error = 0, [], None

    def know(self, ask, good):
        """Asks until the answer is one that says something; 5xx and no answer say nothing."""
        end = time.monotonic() + WITHIN
        while True:
            try:
                r = ask()
                if r.status_code < 500 and r.status_code != 429:
                    break
            except httpx.HTTPError:
                r = None
            assert time.monotonic() < end, f"no answer: {r and r.text}"
            time.sleep(0.2)
        if r.status_code == 422 and r.json()["error"] == "ConcurrencyError":
            time.sleep(0.2)  # what was asked before the connection was lost still runs
            return self.know(ask, good)
        assert r.status_code in good, f"{r.status_code} {r.text}"
        return r

    def operate(self, ask, good, *ids):
        """One operation, to its end."""
        self.operations += 1
        r = self.know(ask, good + (202,))
        if r.status_code != 202:
            return
        operation, end = r.json()["operation"], time.monotonic() + WITHIN
        while True:
            body = self.know(lambda: self.c.last(*ids, operation=operation), (200, 404, 410))
            if body.status_code != 200:
                self.lost.append(f"{ids} {operation}: {body.status_code}")
                return
            if body.json()["state"] != "in progress":
                break
            assert time.monotonic() < end, f"{operation}: {body.text}"
            time.sleep(0.1)
        if body.json()["state"] != "succeeded":
            self.lost.append(f"{ids} {operation}: {body.text}")

    def live(self, n):
        iid, bid = f"i-{self.number}-{n}", f"b-{self.number}-{n}"
        wait = self.random.choice([None, "true"])
        self.operate(lambda: self.c.provision(iid, wait), (200, 201), iid)
        self.operate(lambda: self.c.bind(iid, bid, wait), (200, 201), iid, bid)
        r = self.know(lambda: self.c.get_binding(iid, bid), (200, 404))
        if r.status_code != 200:
            self.lost.append(f"{bid}: {r.text}")
        self.operate(lambda: self.c.unbind(iid, bid, wait), (200, 410), iid, bid)
        self.operate(lambda: self.c.update(iid, wait, plan=1), (200,), iid)
        self.operate(lambda: self.c.deprovision(iid, wait), (200, 410), iid)

    def run(self):
        n = 0
        try:
            while not self.stopping.is_set():
                self.live(n)
                n += 1
        except Exception as e:  # told by the test
            self.error = e


def chaos(c, r, end):
    """What happens to the nodes and the database; returns (kills, stops, restarts)."""
    kills = stops = restarts = 0
    while time.monotonic() < end:
        time.sleep(1 + 2 * r.random())
        node, what = r.choice(c.nodes), r.random()
        if what < 0.5:
            node.kill()
            kills += 1
            time.sleep(r.random())
            node.start()
        elif what < 0.85:
            node.process.send_signal(cluster.signal.SIGSTOP)
            time.sleep(r.choice([0.5, 2, 17]))  # the last is longer than a lease
            node.process.send_signal(cluster.signal.SIGCONT)
            stops += 1
        else:
            c.pg.stop()
            time.sleep(r.random())
            c.pg.start()
            restarts += 1
    return kills, stops, restarts


def doubled(world):
    """Actions that began again after their end."""
    ended, found = set(), []
    for line in open(os.path.join(world, "journal")):
        verb, op, what = line.split()
        if what == "end":
            ended.add((verb, op))
        elif (verb, op) in ended:
            found.append(line.strip())
    return found


def test_nothing_is_lost(tmp_path):
    world = tmp_path / "world"
    world.mkdir()
    with cluster.Cluster(str(tmp_path), YAML.format(world=world)) as c:
        stopping = threading.Event()
        platforms = [Platform(c, n, stopping) for n in range(CLIENTS)]
        for p in platforms:
            p.start()
        try:
            kills, stops, restarts = chaos(c, random.Random(7), time.monotonic() + SECONDS)
        finally:
            stopping.set()
            for p in platforms:
                p.join(5 * WITHIN)
        takeovers = c.logs().count(": resumed at")
        lost = [x for p in platforms for x in p.lost]
        again = doubled(world)
        print(f"\noperations {sum(p.operations for p in platforms)}, kills {kills}, stops {stops}, "
              f"database restarts {restarts}, takeovers {takeovers}, lost {len(lost)}, "
              f"doubled {len(again)}")
        assert [p.error for p in platforms if p.error] == []
        assert lost == []
        assert again == []
        assert sorted(p.name for p in world.iterdir()) == ["journal"]
        for node in c.nodes:
            assert node.tasks() == 1


@pytest.mark.parametrize("verb", ["provision", "bind"])
def test_same_request_on_two_nodes(tmp_path, verb):
    """One operation, and both get the same answer."""
    world = tmp_path / "world"
    world.mkdir()
    with cluster.Cluster(str(tmp_path), YAML.format(world=world), nodes=2) as c:
        for n in range(15):
            iid, bid = f"i{n}", f"b{n}"
            if verb == "bind":
                assert c.nodes[0].provision(iid).status_code == 201
            answers = [None, None]

            def ask(k):
                d = c.nodes[k]
                answers[k] = (d.bind(iid, bid, "true") if verb == "bind"
                              else d.provision(iid, "true"))
            threads = [threading.Thread(target=ask, args=(k,)) for k in range(2)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert {a.status_code for a in answers} == {202}, [a.text for a in answers]
            assert len({a.json()["operation"] for a in answers}) == 1
            about = (iid, bid) if verb == "bind" else (iid,)
            assert c.nodes[n % 2].poll(*about)["state"] == "succeeded"
        starts = [line for line in open(world / "journal") if line.startswith(f"{verb} ")
                  and line.endswith(" start\n")]
        assert len(starts) == 15


def test_not_ready_without_its_database(tmp_path):
    """/readyz says so and recovers; a lease that ran out meanwhile is counted."""
    yaml = "limits: {lease: 3s}\n" + YAML.split("\n", 1)[1].format(world=tmp_path)
    with cluster.Cluster(str(tmp_path), yaml, nodes=1) as c:
        node = c.nodes[0]

        def admin(path):
            return httpx.get(f"http://127.0.0.1:{node.admin}{path}", trust_env=False, timeout=30)
        assert admin("/readyz").status_code == 200
        assert "\nosbd_lease_losses_total 0\n" in admin("/metrics").text
        c.pg.stop()
        r = rig.wait_until(lambda: (a := admin("/readyz")).status_code == 503 and a, 20)
        assert r.json()["status"] == "not ready"
        assert r.json()["checks"]["store"] == "store unavailable"
        assert admin("/healthz").status_code == 200
        time.sleep(4)
        c.pg.start()
        assert rig.wait_until(lambda: admin("/readyz").status_code == 200, 30)
        assert rig.wait_until(
            lambda: "\nosbd_lease_losses_total 1\n" in admin("/metrics").text, 20)
        assert rig.wait_until(lambda: node.provision(rig.new_id()).status_code == 201, 30)
