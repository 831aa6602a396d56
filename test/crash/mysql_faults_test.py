# SPDX-License-Identifier: Apache-2.0
"""Faults at every statement of every verb on a real MariaDB: osbd is killed before a statement is
sent and when its reply has come, the connection is cut when it has been sent, the server is killed.
Each time the whole life of an instance goes on to its end: nothing acknowledged is lost, the same
request gets the same answer, nothing is left over.

The daemon is a test build, with failpoints. The two builds that tests run with take every second
place each: even ones the one with sanitizers, odd ones the other."""
import concurrent.futures
import hashlib
import os
import signal
import time

import broker
import httpx
import mariadb
import pytest
import rig
import servers
from mariadb import sql

VERBS = ["provision", "bind", "update", "unbind", "deprovision"]
ODD = "clang" in rig.BINARY


def name(iid, bid=None):
    text = "default\0" + (iid if bid is None else iid + "\0" + bid)
    return ("d" if bid is None else "b") + hashlib.sha256(text.encode()).hexdigest()[:31]


class Life:
    """One instance, from PUT to DELETE, under a daemon that may die at any moment."""

    def __init__(self, tmp_path, server, failpoint):
        def make(yaml, **more):
            directory = tmp_path / rig.new_id()
            directory.mkdir()
            return rig.Osbd(directory, yaml, **more).start()
        services = [broker.service(
            "mariadb", backend="mysql", plan_updateable=True,
            config={"quota_every": "1h", "servers": [
                {"name": "one", "port": server.port, "user": "osbd", "databases": 1000,
                 "password": mariadb.PASSWORD}]},
            plans=[broker.plan("small", config={"connections": 2, "storage": "1M"}),
                   broker.plan("large", config={"connections": 9, "storage": "64M"})])]
        self.server = server
        self.b = broker.start(make, services, env={"OSBD_FAILPOINT": failpoint})
        self.b.catalog()
        self.iid, self.bid = rig.new_id(), rig.new_id()
        self.died = None
        self.took = {}  # seconds, by verb

    def ask(self, verb, what, *fine):
        """What a platform does: it asks again when it got no answer."""
        began = time.monotonic()
        try:
            r = what()
        except (httpx.TransportError, httpx.RemoteProtocolError):
            assert self.b.d.process.wait(5) == -signal.SIGKILL
            assert self.died is None
            self.died = verb
            self.b.d.env = {}
            self.b.d.start()
            r = what()
        assert r.status_code in fine, (verb, r.status_code, r.text)
        self.took[verb] = time.monotonic() - began
        return r

    def run(self):
        b, iid, bid = self.b, self.iid, self.bid
        self.ask("provision", lambda: b.provision(iid, "mariadb", "small"), 200, 201)
        assert b.provision(iid, "mariadb", "small").status_code == 200
        c = self.ask("bind", lambda: b.bind(iid, bid, "mariadb", "small"),
                     200, 201).json()["credentials"]
        assert (c["name"], c["username"]) == (name(iid), name(iid, bid))
        assert sql(c, "CREATE TABLE t (i INT); INSERT INTO t VALUES (7); SELECT i FROM t") == ("7", True)
        assert b.bind(iid, bid, "mariadb", "small").json()["credentials"] == c
        self.ask("update", lambda: b.update(iid, "mariadb", "large"), 200)
        assert b.instance(iid).json()["plan_id"] == b.ids("mariadb", "large")[1]
        assert "MAX_USER_CONNECTIONS 9" in self.server.sql(f"SHOW CREATE USER {c['username']}")
        assert sql(c, "SELECT i FROM t") == ("7", True)
        self.ask("unbind", lambda: b.unbind(iid, bid, "mariadb", "large"), 200, 410)
        assert not sql(c, "SELECT 1")[1]
        self.ask("deprovision", lambda: b.deprovision(iid, "mariadb", "large"), 200, 410)
        assert b.deprovision(iid, "mariadb", "large").status_code == 410
        assert not {name(iid), name(iid, bid)} & set(self.server.residue())
        assert " failed" not in b.d.log()

    def end(self):
        self.b.d.close()


@pytest.fixture(scope="module")
def server():
    with mariadb.MariaDB() as my:
        my.sql("SET GLOBAL max_connections = 200")
        yield my


def until_missed(tmp_path, server, verb, how):
    """Life after life, the fault one statement later each time; how many there were."""
    n, done = 1, 0
    while n < 40:
        if n % 2 == ODD:
            life = Life(tmp_path, server, f"mysql.{verb}.{how}=kill@{n}")
            try:
                life.run()
            finally:
                life.end()
            if life.died is None:
                return done
            assert life.died == verb
            done += 1
        n += 1
    raise AssertionError("no end of statements")


@pytest.mark.parametrize("how", ["send", "reply"])
def test_osbd_is_killed_at_every_statement(tmp_path, server, how):
    with concurrent.futures.ThreadPoolExecutor(len(VERBS)) as pool:
        done = dict(zip(VERBS, pool.map(lambda v: until_missed(tmp_path, server, v, how), VERBS)))
    assert min(done.values()) >= 2, done
    assert server.residue() == []


def test_the_connection_is_cut_at_every_statement(tmp_path, server):
    cases = [(verb, n) for verb in VERBS for n in range(1, 13) if n % 2 == ODD]

    def one(case):
        life = Life(tmp_path, server, "mysql.{}.send=fail@{}".format(*case))
        try:
            life.run()
        finally:
            life.end()
        return life.took[case[0]] >= 1  # it paused, and began anew
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one, cases)) >= 12
    assert server.residue() == []


def test_the_server_is_killed_at_statements_of_every_verb(tmp_path):
    """osbd stands still before the statement; the server is killed and started; osbd goes on."""
    killed = 0
    with mariadb.MariaDB() as my:
        for verb in VERBS:
            for n in (2, 5) if ODD else (3, 6):
                life = Life(tmp_path, my, f"mysql.{verb}.send=stop@{n}")
                try:
                    with concurrent.futures.ThreadPoolExecutor(1) as pool:
                        run = pool.submit(life.run)
                        d = life.b.d
                        if rig.wait_until(lambda: run.done() or d.stopped(), 20) and not run.done():
                            killed += 1
                            my.kill()
                            my.start()
                            d.process.send_signal(signal.SIGCONT)
                        run.result(60)
                finally:
                    life.end()
        assert my.residue() == [] and killed >= 8


# -- what the server refuses ------------------------------------------------------------------------

def test_too_many_connections(tmp_path, server):
    """Operations wait for a free one, and the platform is told why."""
    life = Life(tmp_path, server, "")
    b, iid = life.b, life.iid
    server.sql("SET GLOBAL max_connections = 10; SET GLOBAL extra_max_connections = 2")
    others = []
    try:
        while len(others) < 20:
            others.append(mariadb.Session(f"mysql://osbd:x@127.0.0.1:{server.port}/mysql",
                                          password=mariadb.PASSWORD))
            if others[-1].ask("SELECT 1") != "1":
                break
        r = b.provision(iid, "mariadb", "small", wait="true")
        assert r.status_code == 202
        assert rig.wait_until(lambda: "Too many connections" in
                              b.instance_last(iid).json()["description"], 20)
    finally:
        for s in others:
            s.close()
        server.sql("SET GLOBAL max_connections = 200")
    assert b.ended(iid)["state"] == "succeeded"
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    life.end()
    assert server.residue() == []


def test_our_account_is_locked(tmp_path, server):
    """It fails at once and says why; what it cannot take back is listed, and goes with a DELETE."""
    life = Life(tmp_path, server, "")
    b, iid, bid = life.b, life.iid, life.bid
    assert b.provision(iid, "mariadb", "small").status_code == 201
    server.sql("ALTER USER osbd@'%' ACCOUNT LOCK")
    try:
        for n in server.sql("SELECT ID FROM information_schema.PROCESSLIST "
                            "WHERE USER = 'osbd'").split():
            server.sql(f"KILL {n}")
        r = b.bind(iid, bid, "mariadb", "small")
        broker.refused(r, 500, "OperationFailed", "locked")
        assert mariadb.PASSWORD not in r.text + b.d.log()
    finally:
        server.sql("ALTER USER osbd@'%' ACCOUNT UNLOCK")
    assert b.unbind(iid, bid, "mariadb", "small").status_code in (200, 410)
    assert b.bind(iid, bid, "mariadb", "small").status_code == 201
    assert b.unbind(iid, bid, "mariadb", "small").status_code == 200
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    life.end()
    assert server.residue() == []


@pytest.mark.skipif(os.getuid() != 0, reason="a small file system is mounted by root only")
def test_the_servers_disk_is_full(tmp_path):
    with mariadb.MariaDB(disk="320m") as my:
        life = Life(tmp_path, my, "")
        b, iid, bid = life.b, life.iid, life.bid
        assert b.provision("kept", "mariadb", "small").status_code == 201
        c = b.bind("kept", "b", "mariadb", "small").json()["credentials"]
        fill = servers.fill(my.dir)
        assert not sql(c, "CREATE TABLE t (i INT)")[1]
        # the server may take it into its memory; then it is done, else it is tried until there is room
        assert b.provision(iid, "mariadb", "small", wait="true").status_code in (201, 202)
        r = b.bind("kept", bid, "mariadb", "small", wait="true")
        assert r.status_code == 202 and sql(c, "SELECT 1") == ("1", True)
        fill.unlink()
        assert b.ended("kept", bid, seconds=60)["state"] == "succeeded"
        assert b.ended(iid, seconds=60)["state"] == "succeeded"
        assert b.bind(iid, bid, "mariadb", "small").status_code == 201
        assert sql(b.binding(iid, bid).json()["credentials"], "CREATE TABLE t (i INT)")[1]
        assert b.unbind("kept", bid, "mariadb", "small").status_code == 200
        for i, x in ((iid, bid), ("kept", "b")):
            assert b.unbind(i, x, "mariadb", "small").status_code == 200
            assert b.deprovision(i, "mariadb", "small").status_code == 200
        life.end()
        assert my.residue() == []


def test_G01_users_that_bindings_have_left(tmp_path, server):
    """A deprovision that does not mind bindings takes their users along."""
    services = [broker.service("mariadb", backend="mysql", with_bindings="ignore", config={
        "servers": [{"name": "one", "port": server.port, "user": "osbd",
                     "password": mariadb.PASSWORD}]})]

    def make(yaml, **more):
        return rig.Osbd(tmp_path, yaml, **more).start()
    b = broker.start(make, services)
    iid, other = b.made("mariadb"), b.made("mariadb")
    kept = b.binding(other, b.bound(other, "mariadb")).json()["credentials"]
    lost = [b.binding(iid, b.bound(iid, "mariadb")).json()["credentials"] for _ in range(3)]
    assert b.deprovision(iid, "mariadb").status_code == 200
    assert not any(sql(c, "SELECT 1")[1] for c in lost) and sql(kept, "SELECT 1")[1]
    assert not {c["username"] for c in lost} & set(server.residue())
    assert b.deprovision(other, "mariadb").status_code == 200
    b.d.stop()
    assert server.residue() == []
