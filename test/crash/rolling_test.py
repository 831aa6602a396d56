# SPDX-License-Identifier: Apache-2.0
"""Nodes are changed one after the other: for a while they know different plans and keys."""
import os
import re
import signal
import subprocess

import cluster
import httpx
import pytest
import rig

KEYS = {"one": "1" * 64, "two": "2" * 64}
PLANS = {"small": "{{name: small, id: small, description: small, async: both}}",
         "large": "{{name: large, id: large, description: large, async: both}}"}
YAML = """\
limits: {{max_running: {running}, lease: 3s}}
services:
  - name: busy
    id: busy
    description: makes files
    backend: demo
    plan_updateable: true
    config: {{delay: {delay}}}
    plans: [{plans}]
"""


def write(node, plans=("small", "large"), keys=("one",), running=8, delay="100ms"):
    """The node's configuration from its next start on."""
    head = open(node.config).read().split("limits:")[0] if os.path.exists(node.config) else ""
    lines = [x for x in head.splitlines() if not x.startswith("seal:")]
    lines.append("seal: {keys: [%s]}" % ", ".join(f'{{id: {k}, key: "{KEYS[k]}"}}' for k in keys))
    with open(node.config, "w") as f:
        f.write("\n".join(lines) + "\n" + YAML.format(
            plans=", ".join(PLANS[p] for p in plans), running=running,
            delay=delay).replace("{{", "{").replace("}}", "}"))


def restart(node, **more):
    if node.process and node.process.poll() is None:
        node.stop()
    write(node, **more)
    node.start()
    node.ids = lambda service=0, plan=0: ("busy", ["small", "large"][plan])
    assert rig.wait_until(lambda: "this node is" in node.log(), 10), node.log()
    return node


@pytest.fixture
def two(tmp_path):
    c = cluster.Cluster(str(tmp_path), "", nodes=2)
    try:
        yield c
    finally:
        c.close()


def test_plan_that_one_does_not_know(two):
    """It is left to the node that knows it, and stands in nobody's way."""
    new, old = two.nodes
    restart(new, running=1, delay="1s")
    restart(old, plans=["small"])
    # more of them than the new node has slots, and the old one looks for work
    iids = [rig.new_id() for _ in range(3)]
    for iid in iids:
        assert new.provision(iid, "true", plan=1).status_code == 202
    assert rig.wait_until(lambda: r'waits for a node that knows service \"busy\", plan \"large\"'
                          in old.log(), 5), old.log()
    for _ in range(5):  # what it knows it does at once, beside and behind them
        assert old.provision(rig.new_id()).status_code == 201
    waiting = rig.new_id()
    assert new.provision(waiting, "true").status_code == 202
    for iid in iids:
        end = old.poll(iid)
        assert end["state"] == "succeeded", end
        assert new.get_instance(iid).json()["plan_id"] == "large"
        assert f"instance={iid}" not in old.log()
    assert new.poll(waiting)["state"] == "succeeded"


def test_nodes_tell_what_they_offer(two):
    """An operator sees that a node was forgotten, and that it no longer is."""
    def others(node):
        text = httpx.get(f"http://127.0.0.1:{node.admin}/metrics", trust_env=False).text
        return int(re.search(r"osbd_nodes_with_other_plans (\d+)", text).group(1))

    new, old = two.nodes
    restart(old, plans=["small"])
    restart(new)
    assert rig.wait_until(lambda: others(new) == 1 and others(old) == 1, 10)
    assert "1 of 2 nodes offer other plans than this one" in old.log()
    write(old)
    old.process.send_signal(signal.SIGHUP)
    assert rig.wait_until(lambda: others(new) == 0 and others(old) == 0, 10), old.log()
    assert "all nodes offer the same plans" in new.log()


def test_owner_of_an_unknown_plan_dies(two):
    """Nobody is left who knows it: it waits, until somebody comes who does."""
    new, old = two.nodes
    restart(new, delay="3s")
    restart(old, plans=["small"])
    iid = rig.new_id()
    operation = new.provision(iid, "true", plan=1).json()["operation"]
    new.kill()
    assert rig.wait_until(lambda: "waits for a node that knows" in old.log(), 10), old.log()
    assert old.provision(rig.new_id()).status_code == 201
    assert old.last(iid, operation=operation).json()["state"] == "in progress"
    restart(new, delay="3s")
    assert new.poll(iid, operation=operation)["state"] == "succeeded"


def sealed_with(c):
    """Which keys the rows of instances are sealed with."""
    found = set()
    for line in c.pg.sql("SELECT encode(data, 'hex') FROM instance WHERE data IS NOT NULL",
                         "osbd").split():
        data = bytes.fromhex(line)
        found |= {k for k in KEYS if k.encode() in data[:80]}
    return found


def test_key_that_one_does_not_know(two):
    """The new key comes first on one node, and seals only when the other one has it, too."""
    a, b = two.nodes
    restart(a, keys=["one"])
    restart(b, keys=["one"])
    iid = rig.new_id()
    assert a.provision(iid, parameters={"x": 1}).status_code == 201
    restart(a, keys=["two", "one"])
    assert a.provision(rig.new_id(), parameters={"x": 1}).status_code == 201
    assert sealed_with(two) == {"one"}
    assert b.get_instance(iid).json()["parameters"] == {"x": 1}
    restart(b, keys=["two", "one"])
    # from the next renewals on it seals, and what there is is sealed anew
    assert rig.wait_until(lambda: sealed_with(two) == {"two"}, 20), (a.log(), b.log())
    restart(a, keys=["two"])
    assert a.get_instance(iid).json()["parameters"] == {"x": 1}
    assert b.bind(iid, "b1").status_code == 201
    assert a.get_binding(iid, "b1").status_code == 200


def start_fails(node):
    done = subprocess.run([rig.BINARY, "serve", "-c", node.config], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


def test_schema_of_a_newer_osbd(two):
    """Its version alone does not keep an older one away; that the older one must not does."""
    a, b = two.nodes
    restart(a)
    iid = rig.new_id()
    assert a.provision(iid).status_code == 201
    two.pg.sql("UPDATE meta SET number = 99 WHERE name = 'version'", "osbd")
    restart(b)
    assert b.get_instance(iid).status_code == 200
    assert b.provision(rig.new_id()).status_code == 201
    b.stop()
    assert two.pg.sql("SELECT number FROM meta WHERE name = 'version'", "osbd") == "99"
    two.pg.sql("UPDATE meta SET number = 99 WHERE name = 'oldest'", "osbd")
    code, said = start_fails(b)
    assert code == 1 and "needs version 99" in said and "a newer osbd has used it" in said
    two.pg.sql("UPDATE meta SET number = 1 WHERE name = 'oldest'", "osbd")
    restart(b)
    assert b.get_instance(iid).status_code == 200


def test_plan_in_use_is_not_dropped(two):
    a, b = two.nodes
    restart(a)
    assert a.provision(rig.new_id(), plan=1).status_code == 201
    write(b, plans=["small"])
    code, said = start_fails(b)
    assert code == 3 and '"large"' in said and "1 instances have it" in said, said
