# SPDX-License-Identifier: Apache-2.0
"""Operations on a real PostgreSQL, and what goes wrong: the server, the connection, the daemon, a
predecessor that is not quite dead. Each ends as if nothing had happened, or says why it cannot."""
import concurrent.futures
import itertools
import os
import random
import signal
import subprocess
import threading
import time

import broker
import httpx
import postgresql
import pytest
import rig
import servers
from postgresql import residue, sessions, sql
from postgresql_backend_test import bind, gone, provision, services

ODD = "clang" in rig.BINARY


@pytest.fixture(scope="module")
def server():
    with postgresql.server() as pg:
        yield pg


@pytest.fixture(scope="module")
def b(server, osbd_module):
    return broker.start(osbd_module, services(server), admin={"address": "127.0.0.1:0"})


class Held:
    """A session of osbd's own user that runs a statement until it is ended."""

    def __init__(self, pg, statement, name, database="osbd", user="osbd"):
        self.process = subprocess.Popen(
            ["psql", "-XqAt", f"{pg.url(user, database=database)}&application_name={name}", "-c",
             statement], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ended(self):
        """How it ended, when another one has ended it."""
        said = self.process.communicate(timeout=20)[0]
        assert "terminating connection due to administrator command" in said, said

    def close(self):
        self.process.kill()
        self.process.communicate()


def key(name):
    """The number of the lock of that name."""
    n = int(name[1:17], 16)
    return n - (1 << 64) if n >> 63 else n


def test_a_predecessor_is_ended(b, server):
    """What a node that is stopped in the middle leaves behind: a session that holds the lock, and
    one inside the database. Both are gone before the next statement."""
    iid = provision(b)
    name = residue(server)[0].split()[1]
    main = Held(server, f"SELECT pg_advisory_lock({key(name)}), pg_sleep(600)", "osbd%20" + name)
    server.sql(f"ALTER DATABASE {name} CONNECTION LIMIT 1")
    inside = Held(server, "CREATE TABLE late AS SELECT pg_sleep(600)::text", "osbd%20" + name, name)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    assert rig.wait_until(lambda: server.sql(waits) == "2")
    assert b.update(iid, "postgresql", "large").status_code == 200
    main.ended()
    inside.ended()
    gone(b, iid, "large")
    assert residue(server) == []


def test_N5_only_a_predecessor_is_ended(b, server):
    iid, other = provision(b), provision(b)
    one, two = (n.split()[1] for n in residue(server) if n.startswith("database"))
    bid, c = bind(b, other)
    near = two if two == c["name"] else one
    held = Held(server, f"SELECT pg_advisory_lock({key(near)}), pg_sleep(600)", "osbd%20" + near)
    app = postgresql.Session(c)
    assert app.ask("SELECT 1") == "1"
    gone(b, iid)
    assert held.process.poll() is None and app.ask("SELECT 2") == "2"
    held.close()
    app.close()
    assert b.unbind(other, bid, "postgresql", "small").status_code == 200
    gone(b, other)
    assert residue(server) == []


def test_2_server_down_and_daemon_killed(b, server):
    """Provision and bind wait for a server that comes back; kill -9 meanwhile changes nothing."""
    iid = rig.new_id()
    for bid in (None, "bid"):
        server.kill()
        if bid:
            r = b.bind(iid, bid, "postgresql", "small", wait="true")
        else:
            r = b.provision(iid, "postgresql", "small", wait="true")
        assert r.status_code == 202, r.text
        assert rig.wait_until(lambda bid=bid: "efused" in (
            b.binding_last(iid, bid) if bid else b.instance_last(iid)).json()["description"])
        b.d.kill()
        b.d.start()
        server.start()
        ended = b.ended(iid, bid, seconds=40)
        assert ended["state"] == "succeeded", ended
    c = b.binding(iid, "bid").json()["credentials"]
    assert sql(c, "SELECT 1") == ("1", True)
    assert b.unbind(iid, "bid", "postgresql", "small").status_code == 200
    gone(b, iid)
    assert residue(server) == []
    assert b.d.tasks() == 1


def test_2_connections_cut_all_the_time(b, server):
    """Sessions are ended at random moments, between statements and in the middle of one."""
    stop = threading.Event()
    cut = []

    def cutter():
        while not stop.is_set():
            cut.append(int(server.sql(
                "SET client_min_messages = error; "  # of one that has just ended
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name LIKE 'osbd%'")))
            stop.wait(random.uniform(0.05, 0.8))
    thread = threading.Thread(target=cutter)
    thread.start()
    try:
        end = time.monotonic() + 6
        while time.monotonic() < end or sum(cut) < 3:
            iid = provision(b)
            bid, c = bind(b, iid)
            assert sql(c, "CREATE TABLE t (v int)")[1]
            for r in (b.update(iid, "postgresql", "large"),
                      b.unbind(iid, bid, "postgresql", "large"),
                      b.deprovision(iid, "postgresql", "large")):
                assert r.status_code == 200, r.text
    finally:
        stop.set()
        thread.join()
    assert residue(server) == [], cut


def test_1_a_drop_that_was_cut_off(b, server):
    """What the server leaves then: a database that may be dropped, and nothing else."""
    iid = provision(b)
    name = residue(server)[0].split()[1]
    server.sql(f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{name}'")
    gone(b, iid)
    assert residue(server) == []


VERBS = {
    "provision": lambda b, iid, bid: b.provision(iid, "postgresql", "small", wait="true"),
    "bind": lambda b, iid, bid: b.bind(iid, bid, "postgresql", "small", wait="true"),
    "update": lambda b, iid, bid: b.update(iid, "postgresql", "large", wait="true"),
    "unbind": lambda b, iid, bid: b.unbind(iid, bid, "postgresql", "large", wait="true"),
    "deprovision": lambda b, iid, bid: b.deprovision(iid, "postgresql", "large", wait="true"),
}


def over(own, verb, iid, bid):
    """Whether the verb has come to its end, which is a good one."""
    of = bid if "bind" in verb else None
    if verb in ("unbind", "deprovision"):
        return (own.binding(iid, of) if of else own.instance(iid)).status_code == 404
    state = (own.binding_last(iid, of) if of else own.instance_last(iid)).json()["state"]
    assert state != "failed"
    return state == "succeeded"


def over_or_dead(own, *of):
    try:
        return own.d.process.poll() is not None or over(own, *of)
    except httpx.TransportError:
        return False  # dying


def test_1_2_cut_off_at_every_statement(osbd, server):
    """When the n-th statement of a verb is on its way, for all n: kill -9, or the connection ends;
    which of them for which n is the other way round with the other build."""
    own = broker.Broker(osbd("", start=False, orderly=False, head=head(server)))
    own.d.start()
    iid, bid, done = rig.new_id(), rig.new_id(), {}
    for verb, ask in VERBS.items():
        for n in itertools.count(1):
            how = "kill" if n % 2 == ODD else "fail"
            own.d.kill()
            own.d.start(env={"OSBD_FAILPOINT": f"postgresql.sent={how}@{n}"})
            began = time.monotonic()
            try:
                assert ask(own, iid, bid).status_code == 202
            except httpx.TransportError:
                pass  # it was killed before it had answered
            assert rig.wait_until(lambda: over_or_dead(own, verb, iid, bid), 20)
            if how == "kill" and own.d.process.poll() is None:
                break
            if how == "kill":
                assert own.d.process.wait(10) == -9
                own.d.start()
                assert rig.wait_until(lambda: over(own, verb, iid, bid), 20)
            elif time.monotonic() - began < 1:
                break  # else it paused, and began anew
            done[verb] = n
            # the same again, from the start, for the next n
            undo(own, server, verb, iid, bid)
        if verb == "bind":
            c = own.binding(iid, bid).json()["credentials"]
            assert sql(c, "CREATE TABLE t (v int); SELECT current_user") == (c["name"], True)
    assert residue(server) == []
    assert set(done) == set(VERBS) and sum(done.values()) > 15, done


def test_2_server_killed_at_statements_of_every_verb(osbd, server):
    """osbd stands still when the statement is on its way; the server is killed and started."""
    own = broker.Broker(osbd("", start=False, orderly=False, head=head(server)))
    iid, bid = rig.new_id(), rig.new_id()
    for verb, ask in VERBS.items():
        own.d.start(env={"OSBD_FAILPOINT": f"postgresql.sent=stop@{2 if ODD else 3}"})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, own, iid, bid)
            assert rig.wait_until(own.d.stopped, 20)
            server.kill()
            server.start()
            own.d.process.send_signal(signal.SIGCONT)
            assert asked.result(20).status_code == 202
        assert rig.wait_until(lambda: over(own, verb, iid, bid), 20)
        own.d.kill()
    assert residue(server) == []


def head(server):
    text = broker.yaml(services(server))

    class Fill(str):
        def format(self, dir):
            return self.replace("{dir}", dir)
    return Fill(text)


def undo(own, server, verb, iid, bid):
    """Back to where the verb began; what it did is there, once and whole."""
    if verb == "provision":
        assert len(residue(server)) == 5
        assert own.deprovision(iid, "postgresql", "small").status_code == 200
        assert residue(server) == []
    elif verb == "bind":
        c = own.binding(iid, bid).json()["credentials"]
        assert sql(c, "CREATE TABLE t (v int); DROP TABLE t")[1]
        assert own.unbind(iid, bid, "postgresql", "small").status_code == 200
        assert len(residue(server)) == 5
    elif verb == "update":
        assert own.update(iid, "postgresql", "small").status_code == 200
    elif verb == "unbind":
        assert len(residue(server)) == 5
        assert own.bind(iid, bid, "postgresql", "large").status_code == 201
    else:
        assert residue(server) == []
        assert own.provision(iid, "postgresql", "large").status_code == 201


def test_a_halt_ends_the_servers_session(b, server):
    """A statement that waits for a lock does not outlive its operation."""
    locks = subprocess.Popen(
        ["psql", "-XqAt", "-h", str(server.dir), "-p", str(server.port), "-U", "root", "osbd"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    locks.stdin.write("BEGIN; LOCK TABLE osbd.marks; SELECT 'locked';\n")
    locks.stdin.flush()
    assert locks.stdout.readline() == "locked\n"
    iid = rig.new_id()
    assert b.provision(iid, "postgresql", "small", wait="true").status_code == 202
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'osbd'"
    assert rig.wait_until(lambda: server.sql(waits))
    first = server.sql(waits)
    assert b.deprovision(iid, "postgresql", "small", wait="true").status_code == 202
    assert rig.wait_until(lambda: first not in server.sql(waits).split(), 5)
    locks.communicate("COMMIT;\n")
    assert rig.wait_until(lambda: b.instance(iid).status_code == 404
                          and not sessions(server), 20)
    assert b.deprovision(iid, "postgresql", "small").status_code in (200, 410)
    assert residue(server) == []


@pytest.mark.parametrize("how, back, why", [
    ("ALTER ROLE osbd CONNECTION LIMIT 0", "ALTER ROLE osbd CONNECTION LIMIT -1",
     "too many connections"),
    ("ALTER DATABASE osbd ALLOW_CONNECTIONS false", "ALTER DATABASE osbd ALLOW_CONNECTIONS true",
     "not currently accepting connections"),
    ("ALTER ROLE osbd NOLOGIN", "ALTER ROLE osbd LOGIN", None)])
def test_refusals(b, server, how, back, why):
    """What may pass is waited for; an account that is locked is said at once, and made nothing."""
    iid = rig.new_id()
    server.sql(how)
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'osbd'")
    try:
        r = b.provision(iid, "postgresql", "small", wait="true")
        if why:
            assert r.status_code == 202
            assert rig.wait_until(lambda: why in b.instance_last(iid).json()["description"])
        else:
            assert b.ended(iid)["state"] == "failed"
    finally:
        server.sql(back)
    if why:
        assert b.ended(iid)["state"] == "succeeded"
        gone(b, iid)
    else:
        assert b.instance(iid).status_code == 404
        assert b.deprovision(iid, "postgresql", "small").status_code in (200, 410)
    assert residue(server) == []
    assert servers.PASSWORD not in b.d.log()


@pytest.mark.skipif(os.getuid() != 0, reason="a small file system is mounted by root only")
def test_2_the_servers_disk_is_full(osbd):
    """What cannot be made is tried until there is room."""
    with postgresql.server(disk="160m", min_wal_size="32MB", max_wal_size="32MB") as pg:
        b = broker.start(osbd, services(pg))
        kept, iid, bid = provision(b), rig.new_id(), rig.new_id()
        kept_bid, c = bind(b, kept)
        fill = servers.fill(pg.dir)
        text, well = sql(c, "CREATE TABLE t AS SELECT * FROM generate_series(1, 2000000)")
        assert not well and "No space left" in text
        op = b.provision(iid, "postgresql", "small", wait="true").json()["operation"]
        assert b.bind(kept, bid, "postgresql", "small", wait="true").status_code == 202
        assert rig.wait_until(lambda: "No space left" in b.instance_last(iid, op).text, 20)
        assert b.instance_last(iid, op).json()["state"] == "in progress"
        assert sql(c, "SELECT 1") == ("1", True)
        fill.unlink()
        assert b.ended(iid, seconds=60)["state"] == "succeeded"
        assert b.ended(kept, bid, seconds=60)["state"] == "succeeded"
        own_bid, own = bind(b, iid)
        assert sql(own, "CREATE TABLE t (v int)")[1]
        for i, x in ((iid, own_bid), (kept, kept_bid), (kept, bid)):
            assert b.unbind(i, x, "postgresql", "small").status_code == 200
        gone(b, iid)
        gone(b, kept)
        assert residue(pg) == []
