# SPDX-License-Identifier: Apache-2.0
"""Old and new binaries on one PostgreSQL. The new one is a test build that is told to bring the
schema of a later release: one that adds to it, or one that the old binary cannot use."""
import os
import subprocess
import threading

import cluster
import httpx
import pytest
import rig

YAML = """\
limits: {lease: 3s, max_running: 8}
services:
  - name: busy
    description: makes files
    backend: demo
    plan_updateable: true
    config: {delay: 100ms}
    plans: [{name: small, description: small, async: both}]
"""
ADDS, BREAKS = "store.schema.adds=fail", "store.schema.breaks=fail"


@pytest.fixture
def three(tmp_path):
    c = cluster.Cluster(str(tmp_path), YAML, nodes=3)
    try:
        yield c
    finally:
        c.close()


def as_binary(node, points):
    node.env["OSBD_FAILPOINT"] = points
    return node


def start(node, points=""):
    as_binary(node, points).start()
    assert rig.wait_until(lambda: "this node is" in node.log(), 10), node.log()


def refused(node, points=""):
    """Starts, and ends with a message."""
    as_binary(node, points)
    r = subprocess.run([rig.BINARY, "serve", "-c", node.config], env={**os.environ, **node.env}, capture_output=True,
                       text=True, timeout=60)
    assert r.returncode == 1, r
    return r.stderr


def version(c):
    return c.pg.sql("SELECT string_agg(number::text, ' ' ORDER BY name DESC) FROM meta"
                    " WHERE name IN ('version', 'oldest')", "osbd")


class Traffic(threading.Thread):
    """Lives of instances through the balancer, until it is told to stop."""

    def __init__(self, c):
        super().__init__()
        self.client, self.stopping, self.lives, self.errors = c.client(), False, 0, []
        self.start()

    def run(self):
        while not self.stopping:
            iid = rig.new_id()
            try:
                for ask, good in ((self.client.provision, 201), (self.client.deprovision, 200)):
                    r = ask(iid)
                    if r.status_code != good:
                        self.errors.append(f"{r.status_code} {r.text}")
                self.lives += 1
            except httpx.HTTPError as e:
                self.errors.append(repr(e))

    def stop(self):
        self.stopping = True
        self.join(60)


def test_side_by_side(three):
    """Nodes are changed to a binary that adds to the schema, one after the other, under load."""
    for node in three.nodes:
        start(node)
    three.start_balancer()
    assert version(three) == "1 1"
    ids = [rig.new_id() for _ in range(3)]
    for node, iid in zip(three.nodes, ids):
        assert node.provision(iid).status_code == 201
    traffic = Traffic(three)
    try:
        new = three.nodes[0]
        new.stop()
        start(new, ADDS)
        assert version(three) == "2 1"  # the old ones may go on
        for node in three.nodes[1:]:
            assert node.bind(ids[0], f"b-{node.fixed}").status_code == 201
            assert new.get_instance(ids[1]).status_code == 200
        old = three.nodes[1]
        old.stop()
        start(old)  # and come back
        assert old.provision(rig.new_id()).status_code == 201
        for node in three.nodes[1:]:
            node.stop()
            start(node, ADDS)
    finally:
        traffic.stop()
    # what was cut off by a node that stops is asked again by a platform; none is refused
    assert traffic.lives > 5 and not [e for e in traffic.errors if e.startswith("4")], traffic.errors
    for node in three.nodes:
        assert [node.get_instance(iid).status_code for iid in ids] == [200] * 3


def test_what_old_ones_cannot_use_waits_for_them(three):
    a, b, _ = three.nodes
    start(a, ADDS)
    text = refused(b, BREAKS)
    assert "a node that lives knows the store's schema version 2" in text
    assert "needs version 3" in text and "stop the old nodes first" in text
    assert version(three) == "2 1"
    assert a.provision("kept").status_code == 201
    a.stop()
    start(b, BREAKS)
    assert version(three) == "3 3"
    assert b.get_instance("kept").status_code == 200
    assert "the store's schema needs version 3, this osbd knows 2: a newer osbd has used it" \
        in refused(a, ADDS)


def test_an_old_node_that_stood_still(three):
    """It was forgotten, the schema went on without it, and it wakes up: it does nothing more."""
    a, b, _ = three.nodes
    start(a, ADDS)
    a.process.send_signal(cluster.signal.SIGSTOP)
    as_binary(b, BREAKS)
    assert rig.wait_until(lambda: "the store's schema" not in quietly(b), 20)
    assert version(three) == "3 3"
    a.process.send_signal(cluster.signal.SIGCONT)
    assert rig.wait_until(lambda: "needs version 3 by now, this osbd knows 2" in a.log(), 10), a.log()
    r = a.provision(rig.new_id())
    assert r.status_code == 503, r.text
    r = httpx.get(f"http://127.0.0.1:{a.admin}/readyz", trust_env=False)
    assert r.status_code == 503 and r.json()["checks"]["schema"] == "newer than this osbd"
    assert rig.wait_until(lambda: "this node is" in b.log(), 10)
    assert b.provision(rig.new_id()).status_code == 201


def quietly(node):
    """Starts the node; what it says when it does not come to serving."""
    try:
        node.start()
        return ""
    except AssertionError:  # the rig tells that it ended
        return node.log()


def test_killed_half_way(three):
    """The change of the schema is whole or not there."""
    a = three.nodes[0]
    start(a)
    assert a.provision("kept").status_code == 201
    a.stop()
    as_binary(a, ADDS + ";store.migrated=kill")
    r = subprocess.run([rig.BINARY, "serve", "-c", a.config], env={**os.environ, **a.env}, capture_output=True,
                       timeout=60)
    assert r.returncode == -9
    assert version(three) == "1 1"
    start(a)
    a.stop()
    start(a, ADDS)
    assert version(three) == "2 1"
    assert a.get_instance("kept").status_code == 200


def test_all_begin_at_once(three):
    """Three nodes on an empty database: one makes the store, the others use it."""
    for node in three.nodes:
        as_binary(node, "")
    starts = [threading.Thread(target=node.start) for node in three.nodes]
    for t in starts:
        t.start()
    for t in starts:
        t.join(60)
    assert sum("made a new store" in node.log() for node in three.nodes) == 1
    assert three.nodes[0].provision("one").status_code == 201
    assert three.nodes[2].get_instance("one").status_code == 200
