# SPDX-License-Identifier: Apache-2.0
"""What a service of MySQL databases does over several servers and over time, on real MariaDBs: room,
quotas, TLS, changes of passwords and plans. Names of tests begin with the requirement they show."""
import re
import subprocess
import threading

import admin_test
import broker
import mariadb
import pytest
import rig
from mariadb import Session, sql

FAST = "200ms"


@pytest.fixture(scope="module")
def server():
    with mariadb.MariaDB() as my:
        yield my


@pytest.fixture(scope="module")
def second():
    with mariadb.MariaDB() as my:
        yield my


@pytest.fixture(autouse=True)
def clean(server, second):
    """What a test that failed has left does not make the next one fail."""
    yield
    for my in (server, second):
        for name in my.residue():
            my.sql(f"DROP DATABASE IF EXISTS {name}; DROP USER IF EXISTS {name}; "
                   f"DELETE FROM osbd.marks WHERE name = '{name}'")


def row(my, name="one", **more):
    return {"name": name, "port": my.port, "user": "osbd", "password": mariadb.PASSWORD, **more}


def service(servers, plans=None, **config):
    return [broker.service(
        "mariadb", backend="mysql", plan_updateable=True,
        config={"servers": servers, "quota_every": FAST, **config},
        plans=plans or [broker.plan("small", config={"connections": 4, "storage": "1M"}),
                        broker.plan("large", config={"connections": 9, "storage": "64M"})])]


def start(osbd, services, **more):
    return broker.start(osbd, services, admin={"address": "127.0.0.1:0"}, **more)


def gone(b, *pairs, plan="small"):
    broker.gone(b, "mariadb", *pairs, plan=plan)


def credentials(b, iid, bid):
    return b.binding(iid, bid).json()["credentials"]


def metric(b, name, server="one"):
    found = re.findall(rf'^{name}{{service="mariadb",server="{server}"}} (\S+)$',
                       admin_test.admin(b.d, "/metrics").text, re.M)
    return float(found[0])


# -- room ------------------------------------------------------------------------------------------

def test_E03_most_room_first_and_never_too_many(osbd, server, second):
    b = start(osbd, service([row(server, databases=4, storage="100M"),
                             row(second, "two", databases=2)],
                            [broker.plan("small", config={"storage": "1M"}),
                             broker.plan("here", config={"servers": ["one"], "storage": "90M"})]))
    first = b.made("mariadb", "small")
    assert (len(server.residue()), second.sql("SHOW DATABASES LIKE 'osbd'")) == (2, "")
    # one is a quarter full, two is empty: it comes next, then one again
    others = [b.made("mariadb", "small"), b.made("mariadb", "small")]
    assert (len(server.residue()), len(second.residue())) == (4, 2)
    # three places are left, and eight ask at the same time
    answers = broker.provision_at_once(b, "mariadb", "small", 8)
    made = [iid for iid, r in answers.items() if r.status_code == 201]
    assert len(made) == 3, [(r.status_code, r.text) for r in answers.values()]
    for iid in set(answers) - set(made):
        assert answers[iid].status_code == 400 and answers[iid].json()["error"] == "NoRoom"
        assert b.instance(iid).status_code == 404
    assert (len(server.residue()), len(second.residue())) == (8, 4)
    assert rig.wait_until(lambda: (metric(b, "osbd_databases"), metric(b, "osbd_databases", "two")) ==
                          (4, 2), 30)
    gone(b, (made[0],))
    assert b.deprovision(first, "mariadb", "small").status_code == 200
    made[0] = b.made("mariadb", "small")
    # storage that is promised counts, too, for new ones and for changes
    for iid in others + made:
        b.deprovision(iid, "mariadb", "small")
    assert server.residue() == [] and second.residue() == []
    iid = b.made("mariadb", "here")
    broker.refused(b.provision(rig.new_id(), "mariadb", "here"), 400, "NoRoom", "here")
    assert len(server.residue()) == 2 and second.residue() == []
    fill = [b.made("mariadb", "small") for _ in range(2)]
    small = [i for i in fill if b.update(i, "mariadb", "here").json().get("error") == "NoRoom"]
    elsewhere = [i for i in fill
                 if b.update(i, "mariadb", "here").json().get("error") == "PlanElsewhere"]
    assert len(small) + len(elsewhere) == 2, fill
    assert b.update(iid, "mariadb", "small").status_code == 200
    gone(b, (iid,), *((i,) for i in fill))
    assert server.residue() == [] and second.residue() == []


def test_a_server_that_is_away_is_passed_over(osbd, server, second):
    b = start(osbd, service([row(server), row(second, "two")]))
    second.stop()
    try:
        iids = [b.made("mariadb", "small") for _ in range(3)]
        assert len(server.residue()) == 6
        assert rig.wait_until(lambda: "server two: quotas are not looked after" in b.d.log(), 30)
    finally:
        second.start()
    gone(b, *((i,) for i in iids))


# -- quotas ----------------------------------------------------------------------------------------

GROW = "INSERT INTO t SELECT REPEAT('m', 100000) FROM seq_1_to_30; ANALYZE TABLE t"


def drop(c):
    """Writing returns, and sessions end for it, as soon as there is room: it may be before the
    session that has made room has been told so."""
    text, well = sql(c, "DROP TABLE t")
    assert well or "Lost connection" in text or "killed" in text, text
    assert rig.wait_until(lambda: "doesn't exist" in sql(c, "SELECT * FROM t")[0], 10)


def test_a_full_database_is_not_written_to(osbd, server):
    b = start(osbd, service([row(server)]))
    iid, other = b.made("mariadb", "small"), b.made("mariadb", "small")
    bids = [b.bound(iid, "mariadb", "small"), b.bound(iid, "mariadb", "small",
                                                      parameters={"read_only": True})]
    far = b.bound(other, "mariadb", "small")
    writer, reader = (credentials(b, iid, x) for x in bids)
    neighbour = Session(credentials(b, other, far)["uri"])
    assert neighbour.ask("SELECT 1") == "1"
    assert sql(writer, "CREATE TABLE t (v LONGTEXT); CREATE TABLE kept (i INT)")[1]
    assert "metadata" not in b.instance(iid).json()
    writing, reading = Session(writer["uri"]), Session(reader["uri"])
    assert (writing.ask("SELECT 2"), reading.ask("SELECT 3")) == ("2", "3")
    assert sql(writer, GROW)[1]

    def full():
        return b.instance(iid).json().get("metadata", {}).get("attributes") == {"over_quota": "true"}
    assert rig.wait_until(full, 30)
    assert metric(b, "osbd_databases_over_quota") == 1
    assert "cannot be written to any more" in b.d.log()
    said = writing.ask("SELECT 2")  # its rights were read when it began
    assert said != "2" and reading.ask("SELECT 3") == "3" and neighbour.ask("SELECT 4") == "4"
    for statement in ("INSERT INTO kept VALUES (1)", "CREATE TABLE more (i INT)",
                      "UPDATE t SET v = REPEAT('x', 200000)", "ALTER TABLE t ADD w LONGTEXT",
                      "CREATE TEMPORARY TABLE x (i INT)"):
        text, well = sql(writer, statement)
        assert not well and "denied" in text, statement
    # who is bound now gets no more
    bids.append(b.bound(iid, "mariadb", "small"))
    late = credentials(b, iid, bids[-1])
    assert "denied" in sql(late, "INSERT INTO kept VALUES (1)")[0]
    assert sql(late, "SELECT COUNT(*) FROM t") == ("30", True)
    # what is deleted makes room, and writing returns, for those who wrote
    assert sql(writer, "DELETE FROM t WHERE v LIKE 'm%'")[1]
    drop(writer)
    assert rig.wait_until(lambda: "metadata" not in b.instance(iid).json(), 30)
    assert sql(writer, "INSERT INTO kept VALUES (1)")[1]
    assert sql(late, "CREATE TABLE t (i INT)")[1]
    assert "denied" in sql(reader, "INSERT INTO kept VALUES (1)")[0]
    assert metric(b, "osbd_databases_over_quota") == 0
    # a larger plan makes room as well
    assert sql(writer, "DROP TABLE t; CREATE TABLE t (v LONGTEXT)")[1]
    assert sql(writer, GROW)[1] and rig.wait_until(full, 30)
    assert b.update(iid, "mariadb", "large").status_code == 200
    assert rig.wait_until(lambda: sql(writer, "INSERT INTO kept VALUES (1)")[1], 30)
    for s in (writing, reading, neighbour):
        s.close()
    gone(b, (iid, *bids), plan="large")
    gone(b, (other, far))
    assert server.residue() == []


def test_of_two_nodes_one_measures_and_the_other_takes_over(osbd, server):
    services = service([row(server)])
    nodes = [start(osbd, services) for _ in range(2)]
    iid = nodes[0].made("mariadb", "small")
    bid = nodes[0].bound(iid, "mariadb", "small")
    c = credentials(nodes[0], iid, bid)
    holder = "SELECT COUNT(*), MAX(ID = IS_USED_LOCK('osbd.quota')) FROM " \
             "information_schema.PROCESSLIST WHERE USER = 'osbd'"
    assert rig.wait_until(lambda: server.sql(holder).endswith("\t1"), 30)
    assert sql(c, "CREATE TABLE t (v LONGTEXT); " + GROW)[1]
    assert rig.wait_until(lambda: not sql(c, "INSERT INTO t VALUES ('x')")[1], 30)
    told = [b for b in nodes if "cannot be written to" in b.d.log()]
    assert len(told) == 1
    # the other one knows it, too
    assert all(rig.wait_until(lambda b=b: metric(b, "osbd_databases_over_quota") == 1, 30)
               for b in nodes)
    told[0].d.kill()
    drop(c)
    assert rig.wait_until(lambda: sql(c, "CREATE TABLE IF NOT EXISTS t (i INT)")[1], 30)
    left = [b for b in nodes if b is not told[0]][0]
    assert "can be written to again" in left.d.log()
    if left is not nodes[0]:
        nodes[0].d.start()
    gone(nodes[0], (iid, bid))
    assert server.residue() == []


# -- the way to the server -------------------------------------------------------------------------

def test_tls_by_name_and_the_credentials_say_so(osbd, server):
    b = start(osbd, service([row(server, host="localhost", tls={"ca": str(server.ca)})]))
    iid = b.made("mariadb", "small")
    bid = b.bound(iid, "mariadb", "small")
    c = credentials(b, iid, bid)
    ca = server.ca.read_text()
    assert c["host"] == "localhost" and c["tls"] == {"required": True, "ca_certificate": ca}
    assert c["ca_certificate"] == ca
    assert c["uri"].endswith("?ssl-mode=VERIFY_CA") and c["jdbcUrl"].endswith("&sslMode=VERIFY_CA")
    assert not sql(c, "SELECT 1")[1]  # in clear
    assert sql(c, "SHOW STATUS LIKE 'Ssl_version'", ca=server.ca)[0].startswith("Ssl_version\tTLSv1")
    gone(b, (iid, bid))
    assert server.residue() == []


@pytest.mark.parametrize("how, why", [
    ({"host": "127.0.0.1"}, "127.0.0.1"), ({"host": "localhost", "other_ca": True}, "not trusted")])
def test_a_server_that_is_not_the_one(osbd, server, second, how, why):
    ca = second.ca if how.pop("other_ca", None) else server.ca
    b = start(osbd, service([row(server, tls={"ca": str(ca)}, **how)]))
    r = b.provision(rig.new_id(), "mariadb", "small")
    assert r.status_code == 500 and why in r.json()["description"], r.text
    assert server.residue() == []


def test_our_password_changes_while_operations_run(osbd, server):
    b = start(osbd, service([row(server, other_password="n3w-'pw")]))
    done, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            iid = b.made("mariadb", "small")
            gone(b, (iid, b.bound(iid, "mariadb", "small")))
            done.append(iid)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert rig.wait_until(lambda: len(done) >= 2, 20)
        server.sql("ALTER USER osbd@'%' IDENTIFIED BY 'n3w-\\'pw'")
        for n in server.sql("SELECT ID FROM information_schema.PROCESSLIST "
                            "WHERE USER = 'osbd' AND COMMAND = 'Sleep'").split():
            try:
                server.sql(f"KILL {n}")
            except RuntimeError:
                pass  # gone by itself
        n = len(done)
        assert rig.wait_until(lambda: len(done) >= n + 3 or not worker.is_alive(), 30)
    finally:
        stop.set()
        worker.join(30)
        server.sql("ALTER USER osbd@'%' IDENTIFIED BY " + mariadb.quoted(mariadb.PASSWORD))
    assert len(done) >= n + 3
    assert " failed" not in b.d.log()
    assert "n3w" not in b.d.log() and server.residue() == []


# -- plans and answers -----------------------------------------------------------------------------

def test_E07_F04_dashboard_and_changes_of_plan(osbd, server):
    plans = [broker.plan("small", config={"connections": 2, "changes_to": ["large"]}),
             broker.plan("large", config={"connections": 4, "collation": "utf8mb4_bin"}),
             broker.plan("last", config={"changes_to": []})]
    b = start(osbd, service([row(server)], plans,
                            dashboard_url="https://dash.example.com/{server}/{database}?i={instance_id}"))
    r = b.provision("a%20b", "mariadb", "small")
    assert r.status_code == 201
    name = server.residue()[0]
    url = f"https://dash.example.com/one/{name}?i=a%20b"
    assert r.json()["dashboard_url"] == url == b.instance("a%20b").json()["dashboard_url"]
    broker.bad(b.update("a%20b", "mariadb", "last"), "small", "last")
    assert b.update("a%20b", "mariadb", "large").status_code == 200
    bid = b.bound("a%20b", "mariadb", "large")
    c = credentials(b, "a%20b", bid)
    # sessions that the smaller plan does not allow end, the eldest stay
    open_ones = []
    for n in range(4):
        open_ones.append(Session(c["uri"]))
        assert open_ones[-1].ask(f"SELECT {n}") == str(n)
    assert b.update("a%20b", "mariadb", "small").status_code == 200
    assert [s.ask("SELECT 7") == "7" for s in open_ones] == [True, True, False, False]
    for s in open_ones:
        s.close()
    gone(b, ("a%20b", bid))
    iid = b.made("mariadb", "large")
    assert server.sql("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
                      f"WHERE SCHEMA_NAME = '{server.residue()[0]}'") == "utf8mb4_bin"
    gone(b, (iid,), plan="large")
    assert server.residue() == []


def test_rotation_two_users_side_by_side_then_expiry(osbd, server):
    plans = [broker.plan("short", config={}, binding_lifetime="6s", binding_rotatable=True)]
    b = start(osbd, service([row(server)], plans))
    iid, new = b.made("mariadb", "short"), rig.new_id()
    old = b.bound(iid, "mariadb", "short")
    before = credentials(b, iid, old)
    held = Session(before["uri"])
    assert held.ask("SELECT 5") == "5"
    r = b.bind(iid, new, "mariadb", "short", predecessor_binding_id=old)
    assert r.status_code == 201, r.text
    after = r.json()["credentials"]
    assert after["username"] != before["username"] and after["name"] == before["name"]
    assert sql(before, "SELECT 1")[1] and sql(after, "SELECT 1")[1]
    assert rig.wait_until(lambda: not sql(before, "SELECT 1")[1], 30)  # its time is up
    assert held.ask("SELECT 5") != "5"
    held.close()
    assert rig.wait_until(lambda: not sql(after, "SELECT 1")[1], 30)
    assert rig.wait_until(lambda: len(server.residue()) == 2, 30)
    for bid in (old, new):
        assert rig.wait_until(lambda bid=bid: b.unbind(iid, bid, "mariadb", "short").status_code
                              in (200, 410), 30)
    gone(b, (iid,), plan="short")
    assert server.residue() == []


@pytest.mark.parametrize("change, words", [
    ({"servers": []}, "servers"),
    ({"servers": [{"name": "a", "user": "x"}, {"name": "a", "user": "x"}]}, "twice"),
    ({"servers": [{"name": "a", "user": "x", "tls": {"ca": "/nowhere"}}]}, "/nowhere"),
    ({"servers": [{"name": "a", "user": "x", "host": "/s", "tls": {"ca": "/"}}]}, "unix socket"),
    ({"dashboard_url": "https://x/{id}"}, "instance_id"),
    ({"dashboard_url": "ftp://x"}, "https://")])
def test_bad_configurations(osbd, change, words):
    services = service([{"name": "a", "user": "x"}])
    services[0]["config"].update(change)
    with pytest.raises(AssertionError) as refused:
        start(osbd, services)
    assert "ended with 3" in str(refused.value)
    assert words in str(refused.value) and "services[0].config" in str(refused.value)


# -- what is left over -----------------------------------------------------------------------------

def orphans(b, *names):
    done = subprocess.run([rig.BINARY, "orphans", "-c", b.d.config, *names], timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, [line.split("\t") for line in done.stdout.splitlines()], done.stderr


def test_orphans_on_the_servers(osbd, server, second):
    services = service([row(server), row(second, "two")])
    b, other = start(osbd, services), start(osbd, services)
    kept, lost = b.made("mariadb", "small"), b.made("mariadb", "small")
    kept_bid, lost_bid = b.bound(kept, "mariadb", "small"), b.bound(lost, "mariadb", "small")
    kept_c, lost_c = credentials(b, kept, kept_bid), credentials(b, lost, lost_bid)
    foreign = other.made("mariadb", "small")  # of a broker whose store is lost
    c = credentials(other, foreign, other.bound(foreign, "mariadb", "small"))
    for one in (b, other):
        one.d.stop()

    def line(kind, name):
        where = "one" if name in server.residue() else "two"
        return [kind, "unknown", f'"{name}"', "-", '"mariadb"',
                f"on {where}: it carries osbd's mark, and osbd knows nothing of it"]
    assert orphans(b) == (0, [line("user", c["username"]), line("database", c["name"])],
                          "2 orphans, 0 rows that no key opens\n")
    # looking changes nothing; what is known, or is not there, is not removed
    before = server.residue(), second.residue()
    code, lines, err = orphans(b, kept_c["name"], "d" + "0" * 31)
    assert code == 1 and len(lines) == 2 and kept_c["name"] in err and "d0000" in err
    assert (server.residue(), second.residue()) == before
    # somebody has dropped a database and its user by hand
    for my in (server, second):
        my.sql(f"DROP DATABASE IF EXISTS {lost_c['name']}; DROP USER IF EXISTS {lost_c['username']}")
    code, lines, err = orphans(b, c["username"], c["name"])
    assert code == 0 and f"removed {c['username']}\nremoved {c['name']}\n" in err, err
    assert sorted(line[:4] for line in lines) == [["binding", "missing", f'"{lost}"', f'"{lost_bid}"'],
                                                  ["instance", "missing", f'"{lost}"', "-"]]
    assert any(line[5] == f"{lost_c['name']} is not on any server of the service" for line in lines)
    assert not {c["name"], c["username"]} & set(server.residue() + second.residue())
    b.d.start()
    assert sql(kept_c, "SELECT 1")[1]
    gone(b, (kept, kept_bid), (lost, lost_bid))
    assert server.residue() + second.residue() == []
