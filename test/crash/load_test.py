# SPDX-License-Identifier: Apache-2.0
"""A thousand operations at once: slot by slot, in their order, across kills."""
import asyncio
import os
import sqlite3

import rig
import swarm

SLOTS = 20
HEAD = rig.HEAD + "limits: {{max_running: " + str(SLOTS) + ", max_waiting: 980}}\n"


def world_journal(d):
    """[(verb, operation, start or end)] in the order in which it was written."""
    path = os.path.join(d.dir, "world", "journal")
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [tuple(line.split()) for line in f.read().splitlines()]


def configure(d, delay, steps, head=HEAD):
    config = f"{{directory: {d.dir}/world, delay: {delay}, steps: {steps}}}"
    with open(d.config, "w") as f:
        f.write(head.format(dir=d.dir) + rig.DEMO.format(config=config, mode="both"))


def number(operation):
    """Operations are numbered as they were accepted."""
    return int(operation.rsplit("-", 1)[1], 36)


def most_at_once(journal):
    running, most = set(), 0
    for verb, operation, what in journal:
        if what == "start":
            running.add(operation)
        else:
            running.discard(operation)
        most = max(most, len(running))
    return most


def put(d, iid, service, plan):
    return ("PUT", f"/v2/service_instances/{iid}?accepts_incomplete=true",
            {"service_id": service, "plan_id": plan, "organization_guid": "o",
             "space_guid": "s"})


def rows(d, table):
    """After the daemon has ended."""
    db = sqlite3.connect(os.path.join(d.dir, "osbd.db"))
    n = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    db.close()
    return n


def test_a_thousand_provisions_slot_by_slot(osbd, tmp_path):
    d = osbd("", start=False)
    os.mkdir(os.path.join(d.dir, "world"))
    configure(d, "1h", 1000)  # nothing ends for now
    d.start()
    service, plan = d.ids()
    ids = [rig.new_id() for _ in range(1000)]
    answers = asyncio.run(swarm.all_of(d.port, [put(d, i, service, plan) for i in ids], 64))
    assert [a.status for a in answers] == [202] * 1000
    operations = {i: a.json()["operation"] for i, a in zip(ids, answers)}
    assert len(set(operations.values())) == 1000
    by_number = sorted(operations, key=lambda i: number(operations[i]))

    # one more leaves nothing
    late = rig.new_id()
    r = d.provision(late, "true")
    assert r.status_code == 429, r.text
    assert int(r.headers["Retry-After"]) >= 1
    assert r.json()["error"] and r.json()["description"]
    assert d.last(late).status_code == 404
    assert d.get_instance(late).status_code == 404
    # the rest is served as ever, and the last in line knows its place
    body = d.last(by_number[-1]).json()
    assert body["state"] == "in progress" and "979" in body["description"], body
    assert "before" not in d.last(by_number[0]).json()["description"]
    started = [op for _, op, what in world_journal(d)]
    assert started == [operations[i] for i in by_number[:SLOTS]]

    # killed in the middle, twice; what ran runs again, the others wait on
    d.kill()
    configure(d, "200ms", 2)
    d.start()
    assert rig.wait_until(
        lambda: sum(1 for _, _, what in world_journal(d) if what == "end") >= 300, 60, 0.1)
    d.kill()
    ended = {op for _, op, what in world_journal(d) if what == "end"}
    assert len(ended) < 1000
    d.start()
    everything = rig.wait_until(
        lambda: len({op for _, op, what in world_journal(d) if what == "end"}) == 1000, 60, 0.2)
    assert everything, d.log()[-2000:]
    journal = world_journal(d)
    assert most_at_once(journal) == SLOTS
    first = list(dict.fromkeys(op for _, op, what in journal if what == "start"))
    assert first == [operations[i] for i in by_number], "not in the order of arrival"
    # only what ran when it was killed has started twice
    assert len([1 for _, _, what in journal if what == "start"]) <= 1000 + 2 * SLOTS
    for i in (ids[0], ids[500], ids[999]):
        assert d.poll(i, operation=operations[i])["state"] == "succeeded"
    requests = [("GET", f"/v2/service_instances/{i}", None) for i in ids]
    assert {a.status for a in asyncio.run(swarm.all_of(d.port, requests, 16))} == {200}
    assert d.tasks() == 1
    # now there is room
    assert d.provision(late, "true").status_code == 202
    assert d.poll(late)["state"] == "succeeded"
    d.stop()
    assert rows(d, "instance") == 1001
    assert rows(d, "op") == 1001
