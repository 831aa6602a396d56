# SPDX-License-Identifier: Apache-2.0
"""What one node hears of another, and what a poll costs the database."""
import re
import time

import cluster
import pytest
import rig

YAML = """\
limits: {{max_running: 8, max_waiting: 5000, lease: 60s}}
services:
  - name: slow
    description: takes its time
    backend: demo
    plan_updateable: true
    config: {{directory: {world}, delay: 1500ms}}
    plans: [{{name: small, description: small, async: both}}]
  - name: busy
    description: takes 200 ms
    backend: demo
    config: {{delay: 200ms}}
    plans: [{{name: small, description: small, async: both}}]
  - name: endless
    description: runs until it is told not to
    backend: demo
    config: {{delay: {{provision: 60s}}, steps: 1}}
    plans: [{{name: small, description: small, async: async}}]
  - name: answers
    description: says at once where its dashboard is, and takes its time
    backend: demo
    config: {{delay: 8s, dashboard_url: "https://dash.test/${{instance}}"}}
    plans: [{{name: small, description: small, async: async}}]
"""
SLOW, BUSY, ENDLESS, ANSWERS = range(4)
PROMPT = 2.0  # s, for what another node is to be told at once
SLOTS = 8


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    directory = tmp_path_factory.mktemp("across")
    world = directory / "world"
    world.mkdir()
    pg = cluster.servers.Postgres(log_statement="all")
    try:
        with cluster.Cluster(str(directory), YAML.format(world=world), nodes=2, pg=pg) as c:
            for node in c.nodes:
                known = [node.ids(n) for n in range(4)]
                node.ids = lambda service=0, plan=0, known=known: known[service]
            yield c
    finally:
        pg.close()


def statements(c, since):
    """What the nodes have asked the database, for polls and notices."""
    with open(c.pg.log, errors="replace") as f:
        f.seek(since)
        text = f.read()
    found = re.findall(r"LOG:  (?:execute (\S+)|statement): (.*)", text)
    quiet = ("BEGIN", "COMMIT", "ROLLBACK")
    of_poll = ("instance_poll", "binding_poll", "instance_read", "binding_read", "op_read",
               "waiting_before", "notify")
    found = [(name.rstrip(":"), text) for name, text in found if not text.startswith(quiet)]
    return [x for x in found if x[0] in of_poll]


def log_end(c):
    return c.pg.log.stat().st_size



def test_end_is_told(two):
    """A synchronous request on one node about what another one runs."""
    waited = []
    a, b = two.nodes
    for n in range(4):
        iid = rig.new_id()
        begun = time.monotonic()
        assert a.provision(iid, "true", service=SLOW).status_code == 202
        time.sleep(0.1)
        assert b.provision(iid, service=SLOW).status_code in (200, 201)
        waited.append(time.monotonic() - begun - 1.5)
    print("\nend told after " + ", ".join(f"{1000 * w:.0f}" for w in waited) + " ms")
    # by asking alone it would be found up to two seconds late, one on average
    assert sorted(waited)[1] < 0.7 and max(waited) < PROMPT


def test_answer_is_told(two):
    """A request on one node whose operation gets its slot on the other: it has its answer, the
    dashboard's address, long before the operation's end; a repeat has it at once."""
    a, b = two.nodes
    plugs = [plug(a) for _ in range(SLOTS)]
    iids = [rig.new_id() for _ in range(4)]
    waited = []
    try:
        for iid in iids:
            since, begun = log_end(two), time.monotonic()
            r = a.provision(iid, "true", service=ANSWERS)
            waited.append(time.monotonic() - begun)
            assert r.status_code == 202, r.text
            assert re.fullmatch("https://dash.test/[0-9a-f]{64}", r.json()["dashboard_url"])
            begun = time.monotonic()
            for node in (a, b):
                again = node.provision(iid, "true", service=ANSWERS)
                assert (again.status_code, again.json()) == (202, r.json())
            assert time.monotonic() - begun < PROMPT
            told = [x for x in statements(two, since) if x[0] == "notify"]
            assert len(told) == 1  # to the one that waited
    finally:
        unplug(plugs)
    print("\nanswered after " + ", ".join(f"{1000 * w:.0f}" for w in waited) + " ms")
    for iid in iids:
        assert a.poll(iid)["state"] == "succeeded"
        # the line is written behind the commit that the other node saw
        assert rig.wait_until(lambda: any("provision succeeded" in x and iid in x
                                          for x in b.log().splitlines()), 5)


def test_halt_is_told(two):
    """A create is called back through the node that does not run it."""
    waited = []
    a, b = two.nodes
    for n in range(4):
        iid = rig.new_id()
        assert a.provision(iid, "true", service=ENDLESS).status_code == 202
        assert rig.wait_until(lambda: a.last(iid).json()["state"] == "in progress", 5)
        time.sleep(0.2)
        begun = time.monotonic()
        r = b.deprovision(iid, "true", service=ENDLESS)
        assert r.status_code == 202, r.text
        assert b.poll(iid, operation=r.json()["operation"])["state"] == "succeeded"
        waited.append(time.monotonic() - begun)
        assert a.get_instance(iid).status_code == 404
    print("\nhalted after " + ", ".join(f"{1000 * w:.0f}" for w in waited) + " ms")
    # at the owner's next renewal it would be up to five seconds
    assert max(waited) < PROMPT


def test_told_only_to_whoever_waits(two):
    """An end that nobody waits for elsewhere is not told: that would make the commit cost twice."""
    a = two.nodes[0]
    since = log_end(two)
    for n in range(5):
        assert a.provision(rig.new_id(), service=BUSY).status_code == 201
    time.sleep(0.3)
    told = [text for name, text in statements(two, since) if name == "notify"]
    mine = [x for x in told if "pg_notify" in x]
    assert statements(two, since) and mine == []
    # and of one that is waited for elsewhere, it is
    iid = rig.new_id()
    since = log_end(two)
    assert a.provision(iid, "true", service=SLOW).status_code == 202
    assert two.nodes[1].provision(iid, service=SLOW).status_code in (200, 201)
    time.sleep(0.3)
    assert [name for name, _ in statements(two, since) if name == "notify"] == ["notify"]


def plug(node):
    """Takes a slot of the node until it is called back."""
    iid = rig.new_id()
    assert node.provision(iid, "true", service=ENDLESS).status_code == 202
    assert rig.wait_until(lambda: f"instance={iid}" in node.log() or node.last(iid).json()[
        "state"] == "in progress", 5)
    return node, iid


def unplug(plugs):
    for node, iid in plugs:
        assert node.deprovision(iid, "true", service=ENDLESS).status_code == 202


def polls(c, node, ids, *more):
    since = log_end(c)
    for iid in ids:
        r = node.last(iid, *more)
        assert r.status_code == 200, r.text
    assert rig.wait_until(lambda: len(statements(c, since)) >= len(ids), 5)
    return statements(c, since)


def test_poll_costs_one_query(two):
    a, b = two.nodes
    ids = [rig.new_id() for _ in range(10)]
    for iid in ids:
        assert a.provision(iid, service=BUSY).status_code == 201
    for node in two.nodes:
        said = polls(two, node, ids)
        print(f"\n{len(ids)} polls: {len(said)} queries")
        assert len(said) == len(ids), [name for name, _ in said]
        assert {name for name, _ in said} == {"instance_poll"}
    # also while it runs, and when the platform says which operation it means
    iid = rig.new_id()
    r = a.provision(iid, "true", service=SLOW)
    operation = r.json()["operation"]
    since = log_end(two)
    for n in range(10):
        assert b.last(iid, operation=operation).json()["state"] == "in progress"
    said = [name for name, _ in statements(two, since) if name.endswith("_poll")]
    assert len(said) == 10
    assert not [name for name, _ in statements(two, since) if name == "op_read"]
    a.poll(iid)
    # and while it waits for a slot, and is told how many are before it
    plugs = [plug(node) for node in two.nodes for _ in range(8)]
    assert a.provision(rig.new_id(), "true", service=BUSY).status_code == 202
    assert a.provision(iid := rig.new_id(), "true", service=BUSY).status_code == 202
    since = log_end(two)
    for n in range(10):
        r = b.last(iid)
        assert r.json()["state"] == "in progress" and "1 " in r.json()["description"], r.text
    said = [name for name, _ in statements(two, since)]
    assert said == ["instance_poll"] * 10
    unplug(plugs)
    assert a.poll(iid)["state"] == "succeeded"


def test_poll_uses_an_index(two):
    """Of many rows, one is found by its key and the other by its number."""
    since = log_end(two)
    a = two.nodes[0]
    iid = rig.new_id()
    assert a.provision(iid, service=BUSY).status_code == 201
    assert a.last(iid).status_code == 200
    assert rig.wait_until(lambda: [1 for name, _ in statements(two, since)
                                   if name == "instance_poll"], 5)
    text = [text for name, text in statements(two, since) if name == "instance_poll"][0]
    two.pg.sql("INSERT INTO instance SELECT 1000000 + n, n, platform, id, service_id, plan_id,"
               " organization, space, 9, usable, rev, 1000000 + n, 0, 0, 0, same, maintenance,"
               " dashboard_url, metadata, NULL, created, 8000000000000000 FROM"
               " (SELECT * FROM instance LIMIT 1) x, generate_series(1, 20000) n", "osbd")
    columns = two.pg.sql("SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE"
                         " attrelid = 'op'::regclass AND attnum > 1 AND NOT attisdropped", "osbd")
    two.pg.sql(f"INSERT INTO op SELECT 1000000 + n, {columns} FROM (SELECT * FROM op WHERE state = 2"
               " LIMIT 1) x, generate_series(1, 20000) n", "osbd")
    try:
        two.pg.sql("ANALYZE", "osbd")
        plan = two.pg.sql("EXPLAIN (ANALYZE, BUFFERS) " + text.replace("$1", "4711"), "osbd")
        print("\n" + plan)
        assert "Index Scan using instance_key" in plan and "Index Scan using op_pkey" in plan
        assert "Index Cond: (seq = i.op)" in plan
        assert "Seq Scan" not in plan
    finally:
        for table in ("instance", "op"):
            two.pg.sql(f"DELETE FROM {table} WHERE seq >= 1000000", "osbd")


def test_idle_node_finds_work(two):
    """Nobody tells a node that another one has no slot; it looks by itself."""
    a, b = two.nodes
    plugs = [plug(a) for _ in range(SLOTS)]
    begun = time.monotonic()
    iid = rig.new_id()
    assert a.provision(iid, "true", service=BUSY).status_code == 202
    assert a.poll(iid)["state"] == "succeeded"
    seconds = time.monotonic() - begun
    print(f"\nfound by the idle node and done after {1000 * seconds:.0f} ms")
    assert seconds < PROMPT + 0.5  # of which it takes 0.2
    assert iid in b.log()
    unplug(plugs)


def test_idle_node_stays_at_work(two):
    """It goes on with each slot that becomes free, not only when it looks again."""
    a, b = two.nodes
    plugs = [plug(a) for _ in range(SLOTS)]
    ids = [rig.new_id() for _ in range(12 * SLOTS)]
    begun = time.monotonic()
    for iid in ids:
        assert a.provision(iid, "true", service=BUSY).status_code == 202
    over = lambda: two.pg.sql("SELECT count(*) FROM op WHERE state <> 2", "osbd") == str(SLOTS)  # noqa: E731
    assert rig.wait_until(over, 30, every=0.1)
    seconds = time.monotonic() - begun
    print(f"\n{len(ids)} operations that nobody else had a slot for took {seconds:.1f} s")
    log = b.log()
    assert all(iid in log for iid in ids)
    assert seconds < 10  # of which they take 2.4; a look a second would take 12
    unplug(plugs)
