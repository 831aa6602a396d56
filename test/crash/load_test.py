# SPDX-License-Identifier: Apache-2.0
"""A thousand operations at once: slot by slot, in their order, across kills."""
import asyncio
import os
import resource
import socket
import sqlite3
import time

import bundles
import pytest
import rig
import swarm

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; Python 3.11 has no name for it
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


def test_one_thread_under_load(osbd, tmp_path):
    """256 connections and 50 children at once, and never more than one thread."""
    d = bundles.make(osbd, limits="max_running: 60", slots=50)
    bundles.put(d, "hold")
    d.start()
    service, plan = d.ids()
    ids = [rig.new_id() for _ in range(60)]
    answers = asyncio.run(swarm.all_of(d.port, [put(d, i, service, plan) for i in ids], 30))
    assert [a.status for a in answers] == [202] * 60
    assert rig.wait_until(lambda: bundles.count(d, "provision", "start") == 50, 30)
    assert len(bundles.children(d.process.pid)) == 50

    samples, released = [], []

    async def sample():
        while True:
            samples.append((d.tasks(), len(bundles.children(d.process.pid))))
            if len(samples) == 60:
                bundles.remove(d, "hold")
                released.append(True)
            await asyncio.sleep(0.02)

    async def connections():
        sampler = asyncio.create_task(sample())
        requests = [("GET", "/v2/catalog", None),
                    ("GET", f"/v2/service_instances/{ids[0]}/last_operation", None),
                    ("GET", "/v2/service_instances/none", None)]

        async def client(n):
            reader, writer = await swarm.connect(d.port)
            for k in range(2000):
                a = await swarm.ask(reader, writer, *requests[(n + k) % 3])
                assert a.status == (200, 200, 404)[(n + k) % 3], a.body
                if released and k > 3:
                    break
                await asyncio.sleep(0.05)
            writer.close()

        await asyncio.gather(*(client(n) for n in range(256)))
        sampler.cancel()

    asyncio.run(connections())
    assert len(samples) >= 60
    assert {tasks for tasks, _ in samples} == {1}
    assert max(n for _, n in samples) == 50
    for i in ids:
        assert d.poll(i)["state"] == "succeeded"
    assert bundles.count(d, "provision", "start") == 60
    assert d.tasks() == 1
    assert rig.wait_until(lambda: bundles.children(d.process.pid) == [], 5), "zombies are left"


@pytest.mark.alone
def test_slow_clients_do_not_hold_up_a_healthy_one(osbd, tmp_path):
    """2,000 connections: some idle, some that send a byte of a header per second, some that send a
    byte of a body, some that do not read what they asked for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(8192, hard)), hard))
    d = osbd(rig.DEMO.format(config="{}", mode="both"),
             head=rig.HEAD + "limits: {{header_timeout: 4s, body_timeout: 4s}}\n")

    async def healthy(rounds):
        times = []
        reader, writer = await swarm.connect(d.port)
        for _ in range(rounds):
            begun = time.monotonic()
            a = await swarm.ask(reader, writer, "GET", "/v2/catalog")
            assert a.status == 200
            times.append(time.monotonic() - begun)
        writer.close()
        times.sort()
        return times[len(times) // 2], times[len(times) * 99 // 100]

    async def run():
        alone = await healthy(500)
        before = d.resident()
        slow = []
        for n in range(2000):
            slow.append(await swarm.connect(d.port))
        lines = swarm.head("GET", "/v2/catalog")
        body = swarm.head("PUT", "/v2/service_instances/slow", {"service_id": "x" * 100})

        async def drip(n):
            reader, writer = slow[n]
            data = lines if n % 4 == 1 else body[-100:]
            if n % 4 == 2:
                writer.write(body[:-100])
            try:
                for i in range(len(data)):
                    writer.write(data[i:i + 1])
                    await asyncio.sleep(1)
            except ConnectionError:
                pass

        drips = [asyncio.create_task(drip(n)) for n in range(2000) if n % 4 in (1, 2)]
        for n in range(3, 2000, 4):  # ask often, and read nothing
            slow[n][1].transport.pause_reading()
            slow[n][1].write(lines * 20)
        await asyncio.sleep(1)
        crowded = await healthy(500)
        grown = d.resident() - before
        await asyncio.sleep(4.5)  # past the deadlines

        async def first_line(n):
            try:
                return await asyncio.wait_for(slow[n][0].readline(), 5)
            except (ConnectionError, asyncio.TimeoutError) as e:
                return repr(e).encode()

        ended = [await first_line(n) for n in (1, 2, 1001, 1002, 1997, 1998)]
        for t in drips:
            t.cancel()
        for _, writer in slow:
            writer.transport.abort()
        await asyncio.sleep(0.5)
        return alone, crowded, grown, ended, await healthy(500)

    alone, crowded, grown, ended, after = asyncio.run(run())
    # the drips cost the test's own process as much as the daemon's: a bound that shows a stall
    assert crowded[1] < max(20 * alone[1], 0.1), (alone, crowded)
    assert after[1] < max(5 * alone[1], 0.05), (alone, after)
    assert all(line.startswith(b"HTTP/1.1 408 ") for line in ended), ended
    assert grown < 2000 * 40, f"{grown} kB for 2,000 connections"
    assert d.get_instance("slow").status_code == 404
    assert d.tasks() == 1


IDLE = 10000


def used_once(port, n):
    """n connections that have had an answer and are kept; their ports are of several addresses."""
    request = swarm.head("GET", "/v2/catalog")
    made = []
    for i in range(n):
        s = socket.socket()
        made.append(s)
        s.settimeout(10)
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((f"127.0.0.{2 + i % 8}", 0))
        s.connect(("127.0.0.1", port))
        s.sendall(request)
    return made, [s.recv(65536) for s in made]


def quickness(port, requests=400, connections=40):
    """(median, 99th of 100) seconds of answers over one connection, and over new ones."""
    request = swarm.head("GET", "/v2/catalog")
    kept, new = [], []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        for _ in range(requests):
            begun = time.monotonic()
            s.sendall(request)
            assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
            kept.append(time.monotonic() - begun)
    for _ in range(connections):
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(request)
            assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
        new.append(time.monotonic() - begun)
    return [sorted(times)[len(times) * part // 100] for times in (kept, new) for part in (50, 99)]


@pytest.mark.alone
def test_ten_thousand_idle_connections(osbd):
    """They cost memory within the budget and nobody's time, and each is served again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= IDLE + 200, f"RLIMIT_NOFILE ends at {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 200), hard))
    d = osbd(rig.DEMO.format(config="{}", mode="both"),
             head=rig.HEAD + f"limits: {{{{connections: {IDLE + 100}}}}}\n")
    sockets = []
    try:
        sockets += used_once(d.port, 10)[0]
        before = quickness(d.port)
        memory = d.resident()
        for _ in range(IDLE // 100):
            more, answers = used_once(d.port, 100)
            sockets += more
            assert all(a.startswith(b"HTTP/1.1 200 ") for a in answers)
        each = (d.resident() - memory) * 1024 / IDLE
        crowded = quickness(d.port)
        sample = sockets[::97]
        for s in sample:
            s.sendall(swarm.head("GET", "/v2/catalog"))
        assert all(s.recv(65536).startswith(b"HTTP/1.1 200 ") for s in sample)
    finally:
        for s in sockets:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"\n{each:.0f} bytes a connection; alone {before}, crowded {crowded}")
    for quick, slow in zip(before, crowded):
        assert slow < max(5 * quick, 0.02), (before, crowded)
    if not rig.has_asan():
        assert 0 < each <= 2048, f"{each:.0f} bytes a connection"
    assert d.tasks() == 1
