# SPDX-License-Identifier: Apache-2.0
"""Applications that know how osbd works on their servers, and use it: real servers, each with what
one of them has prepared."""
import itertools
import json
import signal
import subprocess

import mariadb
import mysql_servers_test as my_side
import postgresql
import postgresql_servers_test as pg_side
import pytest
import rig


@pytest.fixture(scope="module")
def pg():
    with postgresql.server() as server:
        yield server


@pytest.fixture(scope="module")
def my():
    with mariadb.MariaDB() as server:
        yield server


def pg_start(osbd, *servers, **plan):
    plans = [pg_side.broker.plan("small", config={"storage": "10M", **plan})]
    return pg_side.start(osbd, pg_side.service([pg_side.row(s) for s in servers], plans))


def test_what_an_application_defines_is_not_run(osbd, pg):
    """Operators that fit osbd's statements better than the server's own."""
    b = pg_start(osbd, pg)
    iid = b.made("postgresql", "small")
    bid = b.bound(iid, "postgresql", "small")
    c = pg_side.credentials(b, iid, bid)
    assert postgresql.sql(c, "CREATE TABLE loot (who text); GRANT ALL ON loot TO PUBLIC")[1]
    for kind in ("int", "bigint"):
        assert postgresql.sql(
            c, f"CREATE FUNCTION steal(oid, {kind}) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO loot VALUES (session_user); RETURN $1::bigint = $2; END $$",
            f"CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = {kind}, FUNCTION = steal)")[1]
    assert postgresql.sql(c, "SELECT 1::oid = 1; SELECT who FROM loot") == (
        f"t\n{c['username']}", True)
    other = b.bound(iid, "postgresql", "small")
    assert b.unbind(iid, other, "postgresql", "small").status_code == 200
    assert postgresql.sql(c, "SELECT who FROM loot") == (c["username"], True)
    pg_side.gone(b, (iid, bid))


def test_locks_in_the_database_that_all_may_enter(osbd, pg):
    b = pg_start(osbd, pg)
    pg.sql("GRANT CONNECT ON DATABASE osbd TO PUBLIC")
    iid = b.made("postgresql", "small")
    bid = b.bound(iid, "postgresql", "small")
    c = pg_side.credentials(b, iid, bid)
    b.d.stop()
    taken = postgresql.Session({"uri": c["uri"].replace(c["name"], "osbd")})
    for lock in (7021800435, 7021800436):
        assert taken.ask(f"SELECT 1 FROM pg_advisory_lock({lock})") == "1"
    pg.sql("UPDATE osbd.marks SET storage = 1 WHERE storage > 1", "osbd")
    b.d.start()
    assert rig.wait_until(lambda: not postgresql.sql(c, "CREATE TABLE t (v int)")[1], 30)
    assert b.provision("x", "postgresql", "small").status_code == 201
    assert taken.ask("SELECT 1") != "1"
    taken.close()
    pg.sql("REVOKE CONNECT ON DATABASE osbd FROM PUBLIC")
    pg_side.gone(b, (iid, bid), ("x",))
    assert postgresql.residue(pg) == []


def test_a_role_that_a_dead_node_has_not_ended(osbd, pg):
    """Who acts as the owner goes on when it may not any more: kill -9 before that is made good."""
    b = pg_start(osbd, pg)
    iid = b.made("postgresql", "small")
    bid = b.bound(iid, "postgresql", "small")
    c = pg_side.credentials(b, iid, bid)
    session = postgresql.Session(c)
    write = "INSERT INTO kept VALUES (1); SELECT 'written'"
    assert session.ask("CREATE TABLE kept (i int); SELECT 1") == "1"
    b.d.stop()
    pg.sql("UPDATE osbd.marks SET storage = 1 WHERE storage > 1", "osbd")
    for n in itertools.count(3):
        b.d.start(env={"OSBD_FAILPOINT": f"postgresql.unlocked.sent=kill@{n}"}, wait=False)
        assert b.d.process.wait(10) == -9
        assert rig.wait_until(lambda: pg.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'osbd'") == "0", 30)
        assert session.ask(write) == "written"
        if pg.sql(f"SELECT pg_has_role('{c['username']}', '{c['name']}', 'MEMBER')") == "f":
            break
    b.d.start()
    assert rig.wait_until(lambda: session.ask(write) != "written", 30)
    session.close()
    pg_side.gone(b, (iid, bid))


def test_a_database_that_lets_nobody_in(osbd, pg):
    """Its connections are all taken: quotas of the others are looked after all the same."""
    b = pg_start(osbd, pg, all_connections=2)
    pairs = [(iid := b.made("postgresql", "small"), b.bound(iid, "postgresql", "small"))
             for _ in range(2)]
    one, two = (pg_side.credentials(b, *pair) for pair in pairs)
    reader = b.bound(pairs[0][0], "postgresql", "small", parameters={"read_only": True})
    sessions = [postgresql.Session(pg_side.credentials(b, pairs[0][0], reader)) for _ in range(2)]
    assert [s.ask("SELECT 1") for s in sessions] == ["1", "1"]
    # who is bound meanwhile is made all the same
    late = b.bound(pairs[0][0], "postgresql", "small")
    assert pg.sql(f"SELECT datconnlimit FROM pg_database WHERE datname = '{one['name']}'") == "2"
    pg.sql("UPDATE osbd.marks SET storage = 1 WHERE storage > 1", "osbd")
    assert rig.wait_until(lambda: pg_side.metric(b, "osbd_databases_over_quota") == 2, 30)
    assert not postgresql.sql(two, "CREATE TABLE t (v int)")[1]
    assert "not looked after" not in b.d.log() and one["name"] != two["name"]
    for s in sessions:
        s.close()
    pg_side.gone(b, (*pairs[0], reader, late), pairs[1])


def test_rights_that_users_have_given_each_other(osbd, pg):
    """By name, or to everybody: with them, too, a full database is not written to."""
    b = pg_start(osbd, pg)
    iid = b.made("postgresql", "small")
    bid = b.bound(iid, "postgresql", "small")
    c = pg_side.credentials(b, iid, bid)
    assert postgresql.sql(
        c, "CREATE SCHEMA \"S s\"; CREATE TABLE \"S s\".t (i int); CREATE TABLE u (i int); "
        f"CREATE TABLE kept (i int); GRANT ALL ON \"S s\".t TO PUBLIC; GRANT INSERT (i) ON u TO "
        f"{c['username']}; GRANT ALL ON SCHEMA public TO PUBLIC")[1]
    tries = ['INSERT INTO "S s".t VALUES (1)', "INSERT INTO u VALUES (1)",
             "CREATE TABLE x AS SELECT 1"]
    pg.sql("UPDATE osbd.marks SET storage = 1 WHERE storage > 1", "osbd")
    assert rig.wait_until(lambda: not any(postgresql.sql(c, t)[1] for t in tries), 30)
    assert postgresql.sql(c, 'DELETE FROM "S s".t; SELECT count(*) FROM u')[1]
    pg.sql("UPDATE osbd.marks SET storage = 0 WHERE storage = 1", "osbd")
    assert rig.wait_until(lambda: all(postgresql.sql(c, t)[1] for t in tries[:2]), 30)
    pg_side.gone(b, (iid, bid))


def test_what_a_service_has_that_is_not_offered_any_more(osbd, my):
    """It stands on the servers of one that is, and is no orphan there."""
    services = my_side.service([my_side.row(my)])
    both = services + [{**services[0], "name": "former"}]
    b = my_side.start(osbd, both)
    iid = b.made("former", "small")
    bid = b.bound(iid, "former", "small")
    b.d.stop()
    with open(b.d.config, encoding="utf-8") as f:
        text = f.read()
    with open(b.d.config, "w", encoding="utf-8") as f:
        json.dump({**json.loads(text), "services": services}, f)
    code, lines, said = my_side.orphans(b)
    assert (code, lines) == (0, []), (lines, said)
    with open(b.d.config, "w", encoding="utf-8") as f:
        f.write(text)
    b.d.start()
    assert b.unbind(iid, bid, "former", "small").status_code == 200
    assert b.deprovision(iid, "former", "small").status_code == 200


# -- MySQL -----------------------------------------------------------------------------------------

def my_start(osbd, server, **more):
    return my_side.start(osbd, my_side.service([my_side.row(server, databases=100)]), **more)


def my_take(c, lock):
    """An application's session that has a lock."""
    session = mariadb.Session(c["uri"])
    assert rig.wait_until(lambda: session.ask(f"SELECT GET_LOCK('{lock}', 0)") == "1", 30)
    return session


def test_locks_that_an_application_takes(osbd, my):
    """GET_LOCK needs no right, and knows one name on the whole server."""
    b = my_start(osbd, my)
    iid = b.made("mariadb", "small")
    bids = [b.bound(iid, "mariadb", "small") for _ in range(2)]
    one, two = (my_side.credentials(b, iid, bid) for bid in bids)
    b.d.stop()  # whose lock osbd.quota is
    taken = [my_take(one, lock) for lock in
             ("osbd.quota", f"osbd.{two['username']}", f"osbd.{one['name']}")]
    assert mariadb.sql(two, "CREATE TABLE t (v LONGTEXT); " + my_side.GROW)[1]
    b.d.start()
    assert rig.wait_until(lambda: not mariadb.sql(two, "INSERT INTO t VALUES ('x')")[1], 30)
    my_side.gone(b, (iid, *bids))
    for session in taken:
        session.close()
    assert my.residue() == []
    # the one that decides about room
    iid = b.made("mariadb", "small")
    bid = b.bound(iid, "mariadb", "small")
    taken = my_take(my_side.credentials(b, iid, bid), "osbd.room")
    my_side.gone(b, (b.made("mariadb", "small"),), (iid, bid))
    taken.close()


def test_a_session_that_a_dead_node_has_not_ended(osbd, my):
    """Rights count from a session's start: kill -9 between the two is made good by the next."""
    b = my_start(osbd, my)
    iid = b.made("mariadb", "small")
    bid = b.bound(iid, "mariadb", "small")
    c = my_side.credentials(b, iid, bid)
    assert mariadb.sql(c, "CREATE TABLE t (v LONGTEXT); CREATE TABLE kept (i INT)")[1]
    b.d.stop()
    assert mariadb.sql(c, my_side.GROW)[1]
    session = mariadb.Session(c["uri"])
    write = "INSERT INTO kept VALUES (1); SELECT 'written'"
    for n in itertools.count(5):
        b.d.start(env={"OSBD_FAILPOINT": f"mysql.quota.send=kill@{n}"}, wait=False)
        assert b.d.process.wait(10) == -9
        granted = my.sql(f"SELECT Insert_priv FROM mysql.db WHERE User = '{c['username']}'")
        assert session.ask(write) == "written"
        if granted == "N":
            break
    b.d.start()
    assert rig.wait_until(lambda: session.ask(write) != "written", 30)
    session.close()
    my_side.gone(b, (iid, bid))


def test_a_grant_makes_no_user(osbd, my):
    """Whatever sql_mode the server has: an unbind may be faster than who gives writing back."""
    my.sql("SET GLOBAL sql_mode = ''")
    b = my_start(osbd, my)
    iid = b.made("mariadb", "small")
    bid = b.bound(iid, "mariadb", "small")
    c = my_side.credentials(b, iid, bid)
    b.d.stop()
    my.sql(f"REVOKE INSERT ON {c['name']}.* FROM {c['username']}; "
           f"UPDATE osbd.marks SET is_full = 1, storage = 0 WHERE of_database = '{c['name']}'")
    # settings, who leads, measure, the mark, whose rights; then the one that gives them
    b.d.start(env={"OSBD_FAILPOINT": "mysql.quota.send=stop@6"}, wait=False)
    assert rig.wait_until(b.d.stopped, 30)
    assert my.sql(f"SELECT is_full FROM osbd.marks WHERE name = '{c['name']}'") == "0"
    my.sql(f"DROP USER {c['username']}")
    b.d.process.send_signal(signal.SIGCONT)
    b.d.wait_listening()
    assert rig.wait_until(lambda: my_side.metric(b, "osbd_databases") == 1, 30)
    assert my.sql(f"SELECT COUNT(*) FROM mysql.user WHERE User = '{c['username']}'") == "0"
    assert "not looked after" not in b.d.log()
    my_side.gone(b, (iid, bid))


def test_H04_what_a_user_has_defined_works_for_the_others(osbd, my):
    """A trigger runs as its definer: who is unbound stays as that, and as nothing else."""
    b = my_start(osbd, my)
    iid = b.made("mariadb", "small")
    bids = [b.bound(iid, "mariadb", "small") for _ in range(2)]
    one, two = (my_side.credentials(b, iid, bid) for bid in bids)
    assert mariadb.sql(one, "CREATE TABLE t (i INT); CREATE TABLE u (i INT); CREATE TRIGGER seen "
                            "BEFORE INSERT ON t FOR EACH ROW INSERT INTO u VALUES (NEW.i); "
                            "CREATE VIEW v AS SELECT i FROM u; "
                            "CREATE PROCEDURE p() INSERT INTO t VALUES (2)")[1]
    assert b.unbind(iid, bids[0], "mariadb", "small").status_code == 200
    assert not mariadb.sql(one, "SELECT 1")[1]
    assert mariadb.sql(two, "INSERT INTO t VALUES (1); CALL p(); SELECT * FROM v") == ("1\n2", True)
    pg_side.broker.refused(b.bind(iid, bids[0], "mariadb", "small"), 400, "BindingIdUsed")
    assert not mariadb.sql(one, "SELECT 1")[1]
    assert b.unbind(iid, bids[0], "mariadb", "small").status_code in (200, 410)
    # to a broker whose store knows nothing it is a part of the database
    other = my_start(osbd, my)
    other.d.stop()
    said = subprocess.run([rig.BINARY, "orphans", "-c", other.d.config], stdout=subprocess.PIPE,
                          check=False, text=True).stdout
    assert two["username"] in said and two["name"] in said and one["username"] not in said
    my_side.gone(b, (iid, bids[1]))
    assert my.residue() == []
