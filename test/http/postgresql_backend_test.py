# SPDX-License-Identifier: Apache-2.0
"""Databases on a real PostgreSQL, as an application and as the server's operator see them. Names of
tests begin with the requirement that they show."""
import re
import urllib.parse

import broker
import postgresql
import pytest
import rig
import servers
from postgresql import Session, residue, sql


@pytest.fixture(scope="module")
def server():
    with postgresql.server(log_statement="all") as pg:
        yield pg


def services(pg, **more):
    server = {"name": "one", "port": pg.port, "user": "osbd", "password": servers.PASSWORD, **more}
    return [broker.service(
        "postgresql", backend="postgresql", plan_updateable=True,
        config={"servers": [server], "quota_every": "200ms",
                "dashboard_url": "https://db.example.com/{server}/{database}"},
        plans=[broker.plan("small", config={"connections": 2, "storage": "10M"}),
               broker.plan("large", config={"connections": 9, "all_connections": 12,
                                            "storage": "64M"})])]


@pytest.fixture(scope="module")
def b(server, osbd_module):
    return broker.start(osbd_module, services(server))


def provision(b, plan="small"):
    iid = rig.new_id()
    r = b.provision(iid, "postgresql", plan)
    assert r.status_code == 201, r.text
    return iid


def gone(b, iid, plan="small"):
    r = b.deprovision(iid, "postgresql", plan)
    assert r.status_code == 200, r.text


def bind(b, iid, plan="small", **more):
    bid = rig.new_id()
    r = b.bind(iid, bid, "postgresql", plan, **more)
    assert r.status_code == 201, r.text
    return bid, r.json()["credentials"]


def test_E05_E06_a_database_of_its_own(b, server):
    iid = provision(b, "large")
    names = residue(server)
    name = names[0].split()[1]
    assert re.fullmatch("d[0-9a-f]{31}", name)
    assert names == [f"database {name}", f"mark {name}", f"role {name}", f"role f{name[1:]}",
                     f"role r{name[1:]}"]
    assert b.instance(iid).json()["dashboard_url"] == f"https://db.example.com/one/{name}"
    assert server.sql(
        "SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit, datdba::regrole, "
        f"has_database_privilege('tls', oid, 'CONNECT') FROM pg_database WHERE datname = '{name}'"
    ) == "UTF8|C.UTF-8|12|osbd|f"
    assert server.sql("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname LIKE '_" +
                      name[1:] + "'") == "f|f\nf|f\nf|f"
    assert b.provision(iid, "postgresql", "large").status_code == 200
    assert residue(server) == names
    gone(b, iid, "large")
    assert b.deprovision(iid, "postgresql", "large").status_code == 410
    assert residue(server) == []  # G01


@pytest.mark.parametrize("what", ["database", "role"])
def test_E06_what_is_not_ours_is_left_alone(b, server, what):
    iid = provision(b)
    name = residue(server)[0].split()[1]
    gone(b, iid)
    server.sql(f"CREATE {what} {name}")
    broker.refused(b.provision(iid, "postgresql", "small"), 500, "OperationFailed",
                   f"{what} {name} is there, and osbd has not made it")
    b.deprovision(iid, "postgresql", "small")
    assert residue(server) == [f"{what} {name}"]
    server.sql(f"DROP {what} {name}")


def test_H02_H03_credentials_work_as_handed_out(b, server):
    iid = provision(b)
    bid, c = bind(b, iid)
    assert re.fullmatch("b[0-9a-f]{31}", c["username"])
    assert re.fullmatch("d[0-9a-f]{31}", c["name"]) and c["database"] == c["name"]
    assert re.fullmatch("[0-9a-z]{32}", c["password"])
    assert (c["host"], c["hostname"], c["port"]) == ("127.0.0.1", "127.0.0.1", server.port)
    at = f"127.0.0.1:{server.port}/{c['name']}"
    assert c["uri"] == f"postgresql://{c['username']}:{c['password']}@{at}"
    assert "tls" not in c and "ca_certificate" not in c
    made = "CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('kept'); SELECT v FROM t"
    assert sql(c, made) == ("kept", True)
    # the parts of jdbcUrl do the same
    jdbc = urllib.parse.urlsplit(c["jdbcUrl"].removeprefix("jdbc:"))
    query = dict(urllib.parse.parse_qsl(jdbc.query))
    assert (jdbc.scheme, jdbc.netloc + jdbc.path) == ("postgresql", at)
    rebuilt = f"postgresql://{query.pop('user')}:{query.pop('password')}@{at}"
    assert query == {}
    assert sql({"uri": rebuilt}, "SELECT v FROM t") == ("kept", True)
    assert b.bind(iid, bid, "postgresql", "small").json()["credentials"] == c
    # the server never heard the password, nor did the log
    assert c["password"] not in server.log.read_text()
    assert c["password"] not in b.d.log() and servers.PASSWORD not in b.d.log()
    assert "SCRAM-SHA-256$4096:" in server.log.read_text() and "SCRAM" not in b.d.log()
    # the plan's limit holds
    sessions = [Session(c) for _ in range(3)]
    said = [s.ask("SELECT 1") for s in sessions]
    assert sorted(s == "1" for s in said) == [False, True, True], said
    assert "too many connections for role" in "".join(said)
    for s in sessions:
        s.close()
    assert b.unbind(iid, bid, "postgresql", "small").status_code == 200
    gone(b, iid)
    assert residue(server) == []


def test_H04_bindings_share_what_they_make(b, server):
    iid = provision(b)
    (one_id, one), (two_id, two) = bind(b, iid), bind(b, iid)
    assert sql(one, "CREATE TABLE t (v int); INSERT INTO t VALUES (1); SELECT tableowner FROM "
                    "pg_tables WHERE tablename = 't'") == (one["name"], True)
    assert sql(two, "ALTER TABLE t ADD w int; INSERT INTO t VALUES (2, 2); "
                    "SELECT count(*) FROM t") == ("2", True)
    # as itself, too: a pooler's DISCARD ALL ends the role that it began with
    assert sql(one, "SET ROLE NONE; CREATE TABLE own (v int); CREATE SCHEMA s; "
                    "CREATE TABLE s.own (v int); SELECT current_user") == (one["username"], True)
    assert sql(two, "INSERT INTO own VALUES (1); INSERT INTO s.own VALUES (1); "
                    "SELECT count(*) FROM own") == ("1", True)
    # what the plan says is not theirs to change
    for what in (f"ALTER DATABASE {one['name']} CONNECTION LIMIT -1", f"DROP DATABASE {two['name']}",
                 f"ALTER ROLE {one['username']} CONNECTION LIMIT -1",
                 f"ALTER ROLE {two['username']} NOLOGIN"):
        there = {"uri": one["uri"].replace(one["name"], "postgres")}
        for at in (one, there):
            text, well = sql(at, what)
            assert not well and re.search("must be owner|permission denied|must have|currently open",
                                          text), text
    # extensions, schemas and procedures are
    assert sql(one, "CREATE EXTENSION pgcrypto; CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'; "
                    "CREATE TEMP TABLE x (v int)")[1]
    assert sql(two, "CALL p(); DROP PROCEDURE p()")[1]
    # nothing that one has made is lost with it
    assert b.unbind(iid, one_id, "postgresql", "small").status_code == 200
    assert sql(two, "ALTER TABLE own ADD w int; DROP TABLE s.own; SELECT count(*) FROM t"
               ) == ("2", True)
    assert b.unbind(iid, two_id, "postgresql", "small").status_code == 200
    gone(b, iid)
    assert residue(server) == []


def test_H02_a_reader_reads(b, server):
    iid = provision(b)
    writer_id, w = bind(b, iid)
    sql(w, "CREATE TABLE before (v serial); INSERT INTO before DEFAULT VALUES")
    reader_id, r = bind(b, iid, parameters={"read_only": True})
    sql(w, "CREATE TABLE after (v int); INSERT INTO after VALUES (7); CREATE SCHEMA s; "
           "CREATE TABLE s.t AS SELECT 8 AS v; SET ROLE NONE; CREATE TABLE own AS SELECT 9 AS v")
    assert sql(r, "SELECT (SELECT v FROM before), (SELECT v FROM after), (SELECT v FROM s.t), "
                  "(SELECT v FROM own), (SELECT last_value FROM before_v_seq)"
               ) == ("1|7|8|9|1", True)
    assert "read-only transaction" in sql(r, "INSERT INTO after VALUES (1)")[0]
    switched = "SET default_transaction_read_only = off"
    for what in ("INSERT INTO after VALUES (1)", "DELETE FROM before", "CREATE TABLE x (v int)",
                 "CREATE SCHEMA x", "CREATE TEMP TABLE x (v int)", "SELECT nextval('before_v_seq')",
                 f"SET ROLE {w['name']}", "TRUNCATE own", "DROP TABLE before"):
        said = sql(r, switched, what)
        assert not said[1] and re.search("permission denied|must be owner", said[0]), said
    broker.bad(b.bind(iid, rig.new_id(), "postgresql", "small", parameters={"role": "x"}), "role")
    broker.bad(b.bind(iid, rig.new_id(), "postgresql", "small", parameters={"read_only": 1}),
               "read_only")
    for one in (reader_id, writer_id):
        assert b.unbind(iid, one, "postgresql", "small").status_code == 200
    gone(b, iid)
    assert residue(server) == []


def test_G03_I03_H04_unbind_ends_sessions_and_touches_nobody_else(b, server):
    iid, other = provision(b), provision(b)
    bid, c = bind(b, iid)
    kept_id, kept = bind(b, iid)
    far_id, far = bind(b, other)
    assert far["name"] != c["name"] and len({x["username"] for x in (c, kept, far)}) == 3
    trespass = {"uri": far["uri"].replace(far["name"], c["name"])}
    assert "permission denied for database" in sql(trespass, "SELECT 1")[0]
    trespass = {"uri": far["uri"].replace(far["name"], "osbd")}
    assert "permission denied for database" in sql(trespass, "SELECT 1")[0]
    open_one, open_kept, open_far = (Session(x) for x in (c, kept, far))
    for s in (open_one, open_kept, open_far):
        assert s.ask("SELECT 42") == "42"
    whole = f"SELECT r FROM pg_authid r WHERE rolname = '{kept['username']}'"
    before = server.sql(whole)
    broker.refused(b.deprovision(iid, "postgresql", "small"), 422, "ServiceInstanceHasBindings")
    assert b.unbind(iid, bid, "postgresql", "small").status_code == 200
    said = open_one.ask("SELECT 42") + open_one.process.stdout.read()
    assert "terminating connection due to administrator command" in said and "42" not in said
    assert not sql(c, "SELECT 1")[1]
    assert b.unbind(iid, bid, "postgresql", "small").status_code == 410
    assert open_kept.ask("SELECT 43") == "43" and open_far.ask("SELECT 44") == "44"
    assert server.sql(whole) == before
    for s in (open_one, open_kept, open_far):
        s.close()
    assert b.unbind(iid, kept_id, "postgresql", "small").status_code == 200
    assert b.unbind(other, far_id, "postgresql", "small").status_code == 200
    for one in (iid, other):
        gone(b, one)
    assert residue(server) == []  # G01, I02


def test_I02_what_a_user_made_elsewhere_goes_with_it(b, server):
    """PUBLIC may connect to template1 and postgres: large objects there belong to the user, or to
    the owner that it acts as."""
    iid = provision(b)
    bid, c = bind(b, iid)
    reader_id, r = bind(b, iid, parameters={"read_only": True})
    for database in ("postgres", "template1"):
        there = {"uri": c["uri"].replace(c["name"], database)}
        assert sql(there, "SELECT lo_create(4711)") == ("4711", True)
        assert sql(there, f"SET ROLE {c['name']}; SELECT lo_create(4712)") == ("4712", True)
        there = {"uri": r["uri"].replace(c["name"], database)}
        assert sql(there, f"SET ROLE r{c['name'][1:]}; SELECT lo_create(4713)") == ("4713", True)
    for one in (bid, reader_id):
        assert b.unbind(iid, one, "postgresql", "small").status_code == 200
    gone(b, iid)
    assert residue(server) == []
    for database in ("postgres", "template1"):
        assert server.sql("SELECT count(*) FROM pg_largeobject_metadata", database) == "0"


def test_G01_what_bindings_have_left_goes(osbd, server):
    """A deprovision that does not ask for bindings, after the platform has lost them."""
    service = services(server)
    service[0]["with_bindings"] = "ignore"
    own = broker.start(osbd, service)
    iid = provision(own)
    _, c = bind(own, iid)
    bind(own, iid, parameters={"read_only": True})
    session = Session(c)
    assert session.ask("CREATE TEMP TABLE t AS SELECT 1; SELECT 42") == "42"
    gone(own, iid)
    assert residue(server) == []
    assert session.ask("SELECT 42") != "42"
    session.close()


def test_F05_F06_F07_plans_change_both_ways(b, server):
    iid = provision(b, "large")
    bid, c = bind(b, iid, "large")

    def limits():
        return server.sql(
            "SELECT (SELECT datconnlimit FROM pg_database WHERE datname = '%s'), "
            "(SELECT rolconnlimit FROM pg_roles WHERE rolname = '%s')" % (c["name"], c["username"]))

    assert limits() == "12|9"
    sql(c, "CREATE TABLE t AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 5000) i")
    body = broker.refused(b.update(iid, "postgresql", "small"), 400, "PlanTooSmall", "small",
                          "10485760")
    assert int(re.findall(r"holds (\d+) bytes", body["description"])[0]) > 10485760
    assert limits() == "12|9"
    assert b.instance(iid).json()["plan_id"] == b.ids("postgresql", "large")[1]
    sql(c, "DROP TABLE t")
    assert b.update(iid, "postgresql", "small").status_code == 200
    assert limits() == "-1|2"
    assert b.update(iid, "postgresql", "small").status_code == 200
    assert b.update(iid, "postgresql", "large").status_code == 200
    assert limits() == "12|9"
    assert b.unbind(iid, bid, "postgresql", "large").status_code == 200
    gone(b, iid, "large")
    assert residue(server) == []


@pytest.mark.parametrize("iid", ["x\"; DROP SCHEMA osbd; -- ", "a_b", "a-b", "%25",
                                 "\u202e'\"\\", "'||pg_sleep(9)||'"])
def test_18_hostile_ids(b, server, iid):
    path = urllib.parse.quote(iid, safe="")
    assert b.provision(path, "postgresql", "small").status_code == 201
    r = b.bind(path, path, "postgresql", "small")
    assert r.status_code == 201 and sql(r.json()["credentials"], "SELECT 1") == ("1", True)
    assert b.unbind(path, path, "postgresql", "small").status_code == 200
    assert b.deprovision(path, "postgresql", "small").status_code == 200
    assert residue(server) == []


def test_a_wrong_password_of_ours(osbd, server):
    wrong = broker.start(osbd, services(server, password="wr0ng"))
    r = wrong.provision(rig.new_id(), "postgresql", "small")
    broker.refused(r, 500, "OperationFailed", 'password authentication failed for user "osbd"')
    assert "wr0ng" not in r.text and "wr0ng" not in wrong.d.log()
