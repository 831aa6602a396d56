# SPDX-License-Identifier: Apache-2.0
"""What a service of PostgreSQL databases does over several servers and over time: room, ways to the
server, changes of passwords and plans. Names of tests begin with the requirement they show."""
import contextlib
import os
import re
import subprocess
import threading
import time

import admin_test
import broker
import postgresql
import pytest
import rig
import servers
from postgresql import Session, residue, sql


@pytest.fixture(scope="module")
def server():
    with postgresql.server() as pg:
        yield pg


@pytest.fixture(scope="module")
def second():
    with postgresql.server() as pg:
        yield pg


def row(pg, name="one", **more):
    return {"name": name, "port": pg.port, "user": "osbd", "password": servers.PASSWORD, **more}


def service(rows, plans=None, **config):
    return [broker.service(
        "postgresql", backend="postgresql", plan_updateable=True,
        config={"servers": rows, "quota_every": "200ms", **config},
        plans=plans or [broker.plan("small", config={"connections": 4, "storage": "10M"}),
                        broker.plan("large", config={"connections": 9, "storage": "64M"})])]


def start(osbd, services, **more):
    return broker.start(osbd, services, admin={"address": "127.0.0.1:0"}, **more)


def gone(b, *pairs, plan="small"):
    broker.gone(b, "postgresql", *pairs, plan=plan)


def credentials(b, iid, bid):
    return b.binding(iid, bid).json()["credentials"]


def databases(pg):
    return [n for n in residue(pg) if n.startswith("database")]


# -- room ------------------------------------------------------------------------------------------

def test_E03_most_room_first_and_never_too_many(osbd, server, second):
    b = start(osbd, service([row(server, databases=4, storage="100M"),
                             row(second, "two", databases=2)],
                            [broker.plan("small", config={"storage": "10M"}),
                             broker.plan("here", config={"servers": ["one"], "storage": "90M"})]))
    first = [b.made("postgresql", "small") for _ in range(3)]
    # one, which is a quarter full then; two; one again
    assert (len(databases(server)), len(databases(second))) == (2, 1)
    # three places are left, and six ask at the same time
    answers = broker.provision_at_once(b, "postgresql", "small", 6)
    made = [iid for iid, r in answers.items() if r.status_code == 201]
    assert len(made) == 3, [(r.status_code, r.text) for r in answers.values()]
    for iid in set(answers) - set(made):
        assert answers[iid].status_code == 400 and answers[iid].json()["error"] == "NoRoom"
        assert b.instance(iid).status_code == 404
    assert (len(databases(server)), len(databases(second))) == (4, 2)
    gone(b, *((iid,) for iid in first + made))
    assert residue(server) == [] and residue(second) == []
    # storage that is promised counts, too, for new ones and for changes
    iid = b.made("postgresql", "here")
    broker.refused(b.provision(rig.new_id(), "postgresql", "here"), 400, "NoRoom", "here")
    fill = [b.made("postgresql", "small") for _ in range(2)]
    said = [b.update(i, "postgresql", "here").json()["error"] for i in fill]
    assert set(said) <= {"NoRoom", "PlanElsewhere"} and len(databases(server)) + len(
        databases(second)) == 3
    assert b.update(iid, "postgresql", "small").status_code == 200
    gone(b, (iid,), *((i,) for i in fill))
    assert residue(server) == [] and residue(second) == []


def test_a_server_that_is_away_is_passed_over(osbd, server, second):
    b = start(osbd, service([row(server), row(second, "two")]))
    second.stop()
    try:
        iids = [b.made("postgresql", "small") for _ in range(2)]
        assert len(databases(server)) == 2
    finally:
        second.start()
    gone(b, *((i,) for i in iids))


# -- quotas ----------------------------------------------------------------------------------------

def fill(credentials, full):
    """Half a megabyte after the other, each for itself, until it is full and stays so: the one that
    is cut off takes room only until it is vacuumed."""
    grow = "INSERT INTO t SELECT repeat(md5(i::text), 30) FROM generate_series(1, 500) i"
    for _ in range(20):
        sql(credentials, *[grow] * 6)
        if rig.wait_until(full, 1) and not rig.wait_until(lambda: not full(), 0.7):
            return
    raise AssertionError("it does not become full")


def metric(b, name, server="one"):
    found = re.findall(rf'^{name}{{service="postgresql",server="{server}"}} (\S+)$',
                       admin_test.admin(b.d, "/metrics").text, re.M)
    return float(found[0])


def test_a_full_database_is_not_written_to(osbd, server):
    b = start(osbd, service([row(server)]))
    iid, other = b.made("postgresql", "small"), b.made("postgresql", "small")
    bids = [b.bound(iid, "postgresql", "small"),
            b.bound(iid, "postgresql", "small", parameters={"read_only": True})]
    far = b.bound(other, "postgresql", "small")
    writer, reader = (credentials(b, iid, x) for x in bids)
    neighbour = Session(credentials(b, other, far))
    assert neighbour.ask("SELECT 1") == "1"
    assert sql(writer, "CREATE TABLE t (v text); CREATE TABLE kept (i int)", "SET ROLE NONE",
               "CREATE TABLE own (i int)")[1]
    assert "metadata" not in b.instance(iid).json()
    writing, reading = Session(writer), Session(reader)
    assert (writing.ask("SELECT 2"), reading.ask("SELECT 3")) == ("2", "3")

    def full():
        return b.instance(iid).json().get("metadata", {}).get("attributes") == {"over_quota": "true"}
    fill(writer, full)
    assert rig.wait_until(lambda: metric(b, "osbd_databases_over_quota") == 1, 5)
    assert "cannot be written to any more" in b.d.log()
    assert writing.ask("SELECT 2") != "2"  # it acted as the owner
    assert reading.ask("SELECT 3") == "3" and neighbour.ask("SELECT 4") == "4"
    for statement in ("INSERT INTO kept VALUES (1)", "INSERT INTO own VALUES (1)",
                      "CREATE TABLE more (i int)", "UPDATE t SET v = v || v", "ALTER TABLE t ADD w text",
                      "CREATE TEMP TABLE x (i int)", f"SET ROLE {writer['name']}", "CREATE SCHEMA x"):
        text, well = sql(writer, "SET default_transaction_read_only = off", statement)
        assert not well and re.search("denied|must be owner", text), (statement, text)
    # who is bound now gets no more
    bids.append(b.bound(iid, "postgresql", "small"))
    late = credentials(b, iid, bids[-1])
    assert "denied" in sql(late, "INSERT INTO kept VALUES (1)")[0]
    assert sql(late, "SELECT count(*) FROM kept") == ("0", True)
    # what is deleted makes room, and writing returns, for those who wrote
    assert sql(writer, "DELETE FROM t")[1]
    assert rig.wait_until(lambda: "metadata" not in b.instance(iid).json(), 15)
    assert sql(writer, "INSERT INTO kept VALUES (1); INSERT INTO own VALUES (1)")[1]
    assert sql(late, "CREATE TABLE more (i int); ALTER TABLE own ADD w int")[1]
    assert "denied" in sql(reader, "SET default_transaction_read_only = off",
                           "INSERT INTO kept VALUES (1)")[0]
    assert rig.wait_until(lambda: metric(b, "osbd_databases_over_quota") == 0, 5)
    # a larger plan makes room as well
    fill(writer, full)
    assert b.update(iid, "postgresql", "large").status_code == 200
    assert rig.wait_until(lambda: sql(writer, "INSERT INTO kept VALUES (1)")[1], 10)
    for s in (writing, reading, neighbour):
        s.close()
    gone(b, (iid, *bids), plan="large")
    gone(b, (other, far))
    assert residue(server) == []


def test_of_two_nodes_one_measures_and_the_other_takes_over(osbd, server):
    services = service([row(server)])
    nodes = [start(osbd, services, orderly=False) for _ in range(2)]
    iid = nodes[0].made("postgresql", "small")
    bid = nodes[0].bound(iid, "postgresql", "small")
    c = credentials(nodes[0], iid, bid)
    assert sql(c, "CREATE TABLE t (v text)")[1]
    fill(c, lambda: not sql(c, "INSERT INTO t VALUES ('x')")[1])
    told = [b for b in nodes if "cannot be written to" in b.d.log()]
    assert told
    # the other one knows it, too
    assert all(rig.wait_until(lambda b=b: metric(b, "osbd_databases_over_quota") == 1, 5)
               for b in nodes)
    told[0].d.kill()
    assert sql(c, "TRUNCATE t")[1]
    assert rig.wait_until(lambda: sql(c, "INSERT INTO t VALUES ('x')")[1], 10)
    left = [b for b in nodes if b is not told[0]][0]
    assert "can be written to again" in left.d.log()
    if left is not nodes[0]:
        nodes[0].d.start()
    gone(nodes[0], (iid, bid))
    assert residue(server) == []


# -- the way to the server -------------------------------------------------------------------------

@pytest.mark.parametrize("how", [{"host": "localhost"},
                                 {"host": "127.0.0.1", "name": "localhost"}])
def test_tls_by_name_and_the_credentials_say_so(osbd, server, how):
    host, name = how["host"], how.get("name")
    tls = {"ca": str(server.ca), **({"name": name} if name else {})}
    b = start(osbd, service([row(server, host=host, tls=tls)]))
    iid = b.made("postgresql", "small")
    bid = b.bound(iid, "postgresql", "small")
    c = credentials(b, iid, bid)
    ca = server.ca.read_text()
    assert c["host"] == host and c["tls"] == {"required": True, "ca_certificate": ca}
    assert c["ca_certificate"] == ca
    assert c["uri"].endswith("?sslmode=require") and c["jdbcUrl"].endswith("&sslmode=require")
    ssl = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
    assert sql(c, "SET ROLE NONE", ssl)[0].startswith("TLSv1")
    if host == "localhost":  # verified with what was handed out
        verified = c["uri"].replace("require", f"verify-full&sslrootcert={server.ca}")
        assert sql({"uri": verified}, "SET ROLE NONE", ssl)[0].startswith("TLSv1")
    gone(b, (iid, bid))
    assert residue(server) == []


def test_osbd_itself_comes_over_tls(osbd, server):
    """Its user is let in no other way here."""
    server.sql("ALTER ROLE tls CREATEDB CREATEROLE")
    server.sql("GRANT pg_signal_backend TO tls")
    hba = server.dir / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(before.replace("host all all 127", "hostnossl all tls all reject\nhost all all 127"))
    server.sql("SELECT pg_reload_conf()")
    try:
        b = start(osbd, service([row(server, user="tls", host="localhost",
                                     tls={"ca": str(server.ca)})], database="tls"))
        iid = b.made("postgresql", "small")
        gone(b, (iid, b.bound(iid, "postgresql", "small")))
        plain = start(osbd, service([row(server, user="tls")], database="tls"))
        r = plain.provision(rig.new_id(), "postgresql", "small")
        broker.refused(r, 500, "OperationFailed", "pg_hba.conf rejects connection")
    finally:
        hba.write_text(before)
        server.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("how, why", [
    ({"host": "127.0.0.1"}, 'does not match host name "127.0.0.1"'),
    ({"host": "localhost", "other_ca": True}, "certificate verify failed")])
def test_a_server_that_is_not_the_one(osbd, server, how, why):
    ca = server.dir / "other.crt" if how.pop("other_ca", None) else server.ca
    b = start(osbd, service([row(server, tls={"ca": str(ca)}, **how)]))
    r = b.provision(rig.new_id(), "postgresql", "small")
    assert r.status_code == 500 and why in r.json()["description"], r.text
    assert residue(server) == []


def test_our_password_changes_while_operations_run(osbd, server):
    b = start(osbd, service([row(server, other_password="n3w-'pw")]))
    done, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            iid = b.made("postgresql", "small")
            gone(b, (iid, b.bound(iid, "postgresql", "small")))
            done.append(iid)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert rig.wait_until(lambda: len(done) >= 2, 20)
        server.sql("ALTER ROLE osbd PASSWORD 'n3w-''pw'")
        n = len(done)
        assert rig.wait_until(lambda: len(done) >= n + 3 or not worker.is_alive(), 30)
    finally:
        stop.set()
        worker.join(30)
        server.sql(f"ALTER ROLE osbd PASSWORD '{servers.PASSWORD}'")
    assert len(done) >= n + 3
    assert " failed" not in b.d.log()
    assert "n3w" not in b.d.log() and residue(server) == []


# -- plans and answers -----------------------------------------------------------------------------

def test_E07_F04_dashboard_and_changes_of_plan(osbd, server):
    plans = [broker.plan("small", config={"connections": 2, "changes_to": ["large"]}),
             broker.plan("large", config={"connections": 4, "collation": "C",
                                          "all_connections": 3}),
             broker.plan("last", config={"changes_to": []})]
    b = start(osbd, service([row(server)], plans,
                            dashboard_url="https://dash.example.com/{server}/{database}?i={instance_id}"))
    r = b.provision("a%20b", "postgresql", "small")
    assert r.status_code == 201
    name = residue(server)[0].split()[1]
    url = f"https://dash.example.com/one/{name}?i=a%20b"
    assert r.json()["dashboard_url"] == url == b.instance("a%20b").json()["dashboard_url"]
    broker.bad(b.update("a%20b", "postgresql", "last"), "small", "last")
    assert b.update("a%20b", "postgresql", "large").status_code == 200
    bid = b.bound("a%20b", "postgresql", "large")
    other = b.bound("a%20b", "postgresql", "large")
    c = credentials(b, "a%20b", bid)
    # a database that has all its connections in use can still be unbound from
    open_ones = []
    for n in range(3):
        open_ones.append(Session(c))
        assert open_ones[-1].ask(f"SELECT {n}") == str(n)
    assert "too many connections for database" in Session(c).ask("SELECT 1")
    assert b.unbind("a%20b", other, "postgresql", "large").status_code == 200
    assert server.sql(f"SELECT datconnlimit FROM pg_database WHERE datname = '{name}'") == "3"
    # sessions that the smaller plan does not allow end, the eldest stay
    assert b.update("a%20b", "postgresql", "small").status_code == 200
    assert [s.ask("SELECT 7") == "7" for s in open_ones] == [True, True, False]
    for s in open_ones:
        s.close()
    gone(b, ("a%20b", bid))
    iid = b.made("postgresql", "large")
    assert server.sql("SELECT datcollate FROM pg_database WHERE datname = '"
                      + residue(server)[0].split()[1] + "'") == "C"
    gone(b, (iid,), plan="large")
    assert residue(server) == []


def orphans(b, *names):
    done = subprocess.run([rig.BINARY, "orphans", "-c", b.d.config, *names], timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, [line.split("\t") for line in done.stdout.splitlines()], done.stderr


def test_orphans_on_the_servers(osbd, server, second):
    b = start(osbd, service([row(server), row(second, "two")]))
    kept, lost = b.made("postgresql", "small"), b.made("postgresql", "small")
    bids = [b.bound(i, "postgresql", "small") for i in (kept, lost)]
    kept_c, lost_c = (credentials(b, *pair) for pair in zip((kept, lost), bids))
    assert sql(lost_c, "SET ROLE NONE", "CREATE TABLE t (v int)")[1]
    b.d.stop()
    assert orphans(b)[0] == 0 and orphans(b)[1] == []
    for pg in (server, second):
        if pg.sql(f"SELECT 1 FROM pg_database WHERE datname = '{kept_c['name']}'"):
            pg.sql(f"DROP DATABASE {kept_c['name']}")
    code, lines, err = orphans(b)
    assert code == 0 and [line[1] for line in lines] == ["missing"], (lines, err)
    b.d.start()
    gone(b, (kept, bids[0]), (lost, bids[1]))
    # what another store knows is none of this one's
    other = start(osbd, service([row(server), row(second, "two")]))
    iid = other.made("postgresql", "small")
    c = credentials(other, iid, other.bound(iid, "postgresql", "small"))
    assert sql(c, "SET ROLE NONE", "CREATE TABLE t (v int)")[1]
    b.d.stop()
    code, lines, err = orphans(b)
    assert sorted(line[0] for line in lines) == ["database", "user"], (lines, err)
    code, lines, err = orphans(b, c["username"], c["name"])
    assert code == 0 and f"removed {c['username']}\nremoved {c['name']}\n" in err, err
    assert residue(server) == [] and residue(second) == []
    b.d.start()


def test_rotation_two_users_side_by_side_then_expiry(osbd, server):
    plans = [broker.plan("short", config={}, binding_lifetime="4s", binding_rotatable=True)]
    b = start(osbd, service([row(server)], plans))
    iid, new = b.made("postgresql", "short"), rig.new_id()
    old = b.bound(iid, "postgresql", "short")
    before = credentials(b, iid, old)
    held = Session(before)
    assert held.ask("SELECT 5") == "5"
    time.sleep(1)
    r = b.bind(iid, new, "postgresql", "short", predecessor_binding_id=old)
    assert r.status_code == 201, r.text
    after = r.json()["credentials"]
    assert after["username"] != before["username"] and after["name"] == before["name"]
    assert sql(before, "SELECT 1")[1] and sql(after, "SELECT 1")[1]
    assert rig.wait_until(lambda: not sql(before, "SELECT 1")[1], 10)  # its time is up
    assert held.ask("SELECT 5") != "5"
    held.close()
    assert rig.wait_until(lambda: not sql(after, "SELECT 1")[1], 10)
    assert rig.wait_until(lambda: len(residue(server)) == 5, 10)
    for bid in (old, new):
        assert rig.wait_until(lambda bid=bid: b.unbind(iid, bid, "postgresql", "short").status_code
                              in (200, 410), 5)
    gone(b, (iid,), plan="short")
    assert residue(server) == []


def test_the_annotated_file_works(osbd, server):
    """By the socket, as a superuser."""
    with open(f"{rig.TREE}/conf/postgresql.yml") as f:
        text = f.read()
    for old, new in (("127.0.0.1:8080", "127.0.0.1:0"), ("/var/lib/postgresql/osbd", "{dir}"),
                     ("name: demo", "name: platform"), ("password: demo", "password: secret"),
                     ("/var/run/postgresql #", f"{server.dir}\n          port: {server.port} #"),
                     ("user: postgres", "user: root"), ("database: postgres", "database: osbd")):
        assert text.count(old) >= 1, old
        text = text.replace(old, new)

    class Fill(str):
        def format(self, dir):  # the text has braces of its own
            return self.replace("{dir}", dir)

    own = broker.Broker(osbd("", head=Fill(text)))
    iid = own.made("postgresql", "large")
    bid = own.bound(iid, "postgresql", "large")
    c = credentials(own, iid, bid)
    assert c["host"] == "127.0.0.1"
    assert sql(c, "CREATE TABLE t (v int); SELECT 1") == ("1", True)
    gone(own, (iid, bid), plan="large")
    assert residue(server) == []


@pytest.mark.parametrize("change, words", [
    ({"servers": [{"name": "a", "user": "x", "tls": {"ca": "/nowhere"}}]}, "/nowhere"),
    ({"database": ""}, "database"), ({"collation": ""}, "collation")])
def test_bad_configurations(osbd, change, words):
    services = service([{"name": "a", "user": "x"}])
    services[0]["config"].update(change)
    with pytest.raises(AssertionError) as refused:
        start(osbd, services)
    assert "ended with 3" in str(refused.value)
    assert words in str(refused.value) and "services[0].config" in str(refused.value)


def test_24_nothing_secret_in_its_arguments(osbd, server):
    b = start(osbd, service([row(server)]))
    iid = b.made("postgresql", "small")
    bid = b.bound(iid, "postgresql", "small")
    secrets = [servers.PASSWORD, credentials(b, iid, bid)["password"]]
    shown = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # others come and go
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
            if re.search(b"osbd|postgres", words):
                shown.append(words)
    assert len(shown) > 3
    for secret in secrets:
        assert not any(secret.encode() in s for s in shown) and secret not in b.d.log()
    gone(b, (iid, bid))
