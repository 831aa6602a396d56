# SPDX-License-Identifier: Apache-2.0
"""Rows of the requirements that concern what a database service does, on a MariaDB and a PostgreSQL.

What they are called follows the rows; the other files of these services show theirs by name, too.

  A04 A05        several services, each with many plans; any node answers any call
  E01            names are of one instance, one binding and one platform only
  E02 E03 E04    the same again, while it runs and after; what is answered
  F01 F02 F03 F08  the stored plan counts; plans that stay; the change is told
  G01 G02 G03 G04  nothing is left; what is not there; bindings first; what is answered
  H01 I01        services that nothing is bound to
  H02 H03        each way in leads to the same place
  H04            what happens to one binding changes no other
  I02 I03        the user goes; in the middle of a transaction, and of a statement
"""
import concurrent.futures
import contextlib
import re
import subprocess
import urllib.parse

import broker
import mariadb
import postgresql
import pytest
import rig
import servers
from broker import bad, refused

URL = "https://db.example.com/{server}/{database}"


class MariaDB:
    name, backend, scheme, password = "mariadb", "mysql", "mysql", mariadb.PASSWORD
    sleep = "SELECT SLEEP(600)"

    def __init__(self, stack):
        self.server = stack.enter_context(
            mariadb.MariaDB(**{"general-log": "ON", "general-log-file": "said"}))
        self.server.sql("CREATE USER holder@'%' IDENTIFIED BY 'holder'; GRANT ALL ON *.* TO holder@'%'")
        self.store = self.server.dir / "data" / "said"

    def residue(self):
        return self.server.residue()

    def databases(self):
        return self.server.sql("SHOW DATABASES WHERE `Database` REGEXP '^d[0-9a-f]{31}$'").split()

    def sql(self, credentials, statements):
        return mariadb.sql(credentials, statements)

    def session(self, credentials):
        return mariadb.Session(credentials["uri"])

    @contextlib.contextmanager
    def held(self):
        """Operations stop at what says whose the databases are, as on a server that is slow."""
        session = mariadb.Session(f"mysql://holder:holder@127.0.0.1:{self.server.port}/osbd")
        try:
            assert session.ask("LOCK TABLES marks WRITE; SELECT 1") == "1"
            yield
        finally:
            session.close()

    def told(self, credentials):
        """How often the server has heard of a database or its user."""
        return len(re.findall(f"{credentials['name']}|{credentials.get('username', '^$')}",
                              self.store.read_text(errors="replace")))

    def user(self, name):
        """All that the server knows of a user."""
        return self.server.sql(
            f"SELECT * FROM mysql.global_priv WHERE User = '{name}';"
            f"SELECT * FROM mysql.db WHERE User = '{name}';"
            f"SELECT * FROM osbd.marks WHERE name = '{name}'")

    def limit(self, name):
        return int(re.findall(r"MAX_USER_CONNECTIONS (\d+)",
                              self.server.sql(f"SHOW CREATE USER {name}"))[0])

    def whole(self):
        """Who and what is on the server, and may do what there."""
        return self.server.sql(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1;" +
            "".join(f"SELECT * FROM mysql.{table} ORDER BY 1, 2, 3;" for table in (
                "global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv",
                "roles_mapping")) +
            "SELECT db, name FROM mysql.proc ORDER BY 1, 2; SELECT db, name FROM mysql.event;"
            "SELECT * FROM osbd.marks ORDER BY 1")

    def running(self, name):
        return self.server.sql("SELECT 1 FROM information_schema.PROCESSLIST "
                               f"WHERE User = '{name}' AND Info LIKE '%600%'")

    # what an application fills a database with
    things = ("CREATE TABLE t (v INT PRIMARY KEY); INSERT INTO t VALUES (1); "
              "CREATE VIEW w AS SELECT v FROM t; CREATE PROCEDURE p() SELECT 1; "
              "CREATE FUNCTION f() RETURNS INT RETURN 1; "
              "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = NEW.v; "
              "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t; CREATE SEQUENCE s")


class PostgreSQL:
    name, backend, scheme, password = "postgresql", "postgresql", "postgresql", servers.PASSWORD
    sleep = "SELECT pg_sleep(600)"

    def __init__(self, stack):
        self.server = stack.enter_context(postgresql.server(log_statement="all"))

    def residue(self):
        return postgresql.residue(self.server)

    def databases(self):
        return self.server.sql(
            "SELECT datname FROM pg_database WHERE datname ~ '^d[0-9a-f]{31}$'").split()

    def sql(self, credentials, statements):
        return postgresql.sql(credentials, statements)

    def session(self, credentials):
        return postgresql.Session(credentials)

    @contextlib.contextmanager
    def held(self):
        session = postgresql.Session({"uri": self.server.url()})
        try:
            assert session.ask("BEGIN; LOCK TABLE osbd.marks; SELECT 1") == "1"
            yield
        finally:
            session.close()

    def told(self, credentials):
        return len(re.findall(f"{credentials['name'][1:]}|{credentials.get('username', '^$')}",
                              self.server.log.read_text(errors="replace")))

    def user(self, name):
        return self.server.sql(
            f"SELECT a::text FROM pg_authid a WHERE rolname = '{name}' UNION ALL "
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE "
            f"member = '{name}'::regrole UNION ALL "
            f"SELECT s::text FROM pg_db_role_setting s WHERE setrole = '{name}'::regrole UNION ALL "
            f"SELECT m::text FROM osbd.marks m WHERE name = '{name}'", "osbd")

    def limit(self, name):
        return int(self.server.sql(f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{name}'"))

    def whole(self):
        return self.server.sql(
            "SELECT 'database ' || (datname, datdba::regrole, datacl, datconnlimit)::text AS line "
            "FROM pg_database UNION ALL SELECT a::text FROM pg_authid a UNION ALL "
            "SELECT (roleid::regrole, member::regrole)::text FROM pg_auth_members UNION ALL "
            "SELECT s::text FROM pg_db_role_setting s UNION ALL "
            "SELECT (dbid, classid, objid, refobjid::regrole, deptype)::text FROM pg_shdepend "
            "WHERE refclassid = 'pg_authid'::regclass UNION ALL "
            "SELECT d::text FROM pg_shdescription d UNION ALL "
            "SELECT m::text FROM osbd.marks m ORDER BY line", "osbd")

    def running(self, name):
        return self.server.sql("SELECT 1 FROM pg_stat_activity WHERE "
                               f"usename = '{name}' AND state = 'active' AND query ~ '600'")

    things = ("CREATE TABLE t (v int PRIMARY KEY); INSERT INTO t VALUES (1); "
              "CREATE VIEW w AS SELECT v FROM t; CREATE SCHEMA apart; CREATE TYPE y AS (v int); "
              "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; "
              "GRANT SELECT ON t TO PUBLIC; SELECT lo_create(4711); SET ROLE NONE; "
              "CREATE TABLE own (v serial); COMMENT ON TABLE own IS 'own'; "
              "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")


@pytest.fixture(scope="module")
def kinds():
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor() as pool:
        yield {k.name: k for k in pool.map(lambda make: make(stack), (MariaDB, PostgreSQL))}


@pytest.fixture(params=["mariadb", "postgresql"])
def kind(request, kinds):
    return kinds[request.param]


def services(kinds):
    """Of each kind one that can all; one whose plans stay; one that nothing is bound to; many plans."""
    made = []
    for k in kinds.values():
        server = {"name": "one", "port": k.server.port, "user": "osbd", "password": k.password}
        more = {"backend": k.backend,
                "config": {"servers": [server], "quota_every": "1h", "dashboard_url": URL}}
        small, large = {"connections": 2, "storage": "20M"}, {"connections": 9, "storage": "64M"}
        plans = [broker.plan("small", config=small), broker.plan("large", config=large)]
        rotatable = [broker.plan("small", config=small, binding_rotatable=True), plans[1]]
        made += [
            broker.service(k.name, rotatable, plan_updateable=True, **more),
            broker.service(k.name + "-fixed", plans + [broker.plan("free", plan_updateable=True)],
                           plan_updateable=False, **more),
            broker.service(k.name + "-alone", plans, bindable=False, **more),
            broker.service(k.name + "-many", [broker.plan(f"p{n}") for n in range(50)], **more)]
    return made


PLATFORMS = [{"name": "default"}, {"name": "second", "prefix": "/second"}]


@pytest.fixture(scope="module")
def b(kinds, osbd_module):
    return broker.start(osbd_module, services(kinds), platforms=PLATFORMS)


def provision(b, kind, plan="small"):
    iid = rig.new_id()
    r = b.provision(iid, kind.name, plan)
    assert r.status_code == 201, r.text
    return iid


def bind(b, iid, kind, plan="small", **more):
    bid = rig.new_id()
    r = b.bind(iid, bid, kind.name, plan, **more)
    assert r.status_code == 201, r.text
    return bid, r.json()["credentials"]


def gone(b, kind, *pairs, plan="small"):
    broker.gone(b, kind.name, *pairs, plan=plan)


def operation(r):
    assert r.status_code == 202, r.text
    return r.json()["operation"]


def concurrency(r):
    assert (r.status_code, r.json()) == (422, broker.CONCURRENCY)


def dashboard(name):
    return f"https://db.example.com/one/{name}"


# -- what is offered -------------------------------------------------------------------------------

def test_A04_several_services_with_many_plans(b, kinds):
    catalog = b.catalog()
    assert len(catalog) == 8
    plans = [p["id"] for s in catalog.values() for p in s["plans"]]
    assert len({*plans, *(s["id"] for s in catalog.values())}) == len(plans) + 8 == 4 * 7 + 100 - 6
    asked = [(k, rig.new_id(), name, plan) for k in kinds.values() for name, plan in
             ((k.name, "large"), (k.name + "-many", "p0"), (k.name + "-many", "p49"))]
    for _, iid, name, plan in asked:  # side by side
        assert b.provision(iid, name, plan, wait="true").status_code in (201, 202)
    for _, iid, name, plan in asked:
        r = b.ended(iid)
        assert r["state"] == "succeeded", r
        assert b.instance(iid).json()["plan_id"] == b.ids(name, plan)[1]
    for k in kinds.values():
        urls = {b.instance(iid).json()["dashboard_url"] for of, iid, _, _ in asked if of is k}
        assert urls == {dashboard(d) for d in k.databases()} and len(urls) == 3
    for _, iid, name, plan in asked:
        assert b.deprovision(iid, name, plan).status_code == 200
    assert all(k.residue() == [] for k in kinds.values())


@pytest.fixture(scope="module")
def nodes(kinds, osbd_module):
    """Two on one store."""
    pg = kinds["postgresql"].server
    pg.sql("CREATE DATABASE store OWNER osbd")
    seal = {"keys": [{"id": "one", "key": "00112233445566778899aabbccddeeff" * 2}]}
    return [broker.start(osbd_module, services(kinds), seal=seal,
                         store={"postgresql": {"url": pg.url(database="store")}})
            for _ in range(2)]


def test_A05_any_node_answers(nodes, kind):
    one, two = nodes
    assert one.ask("GET", "/v2/catalog").content == two.ask("GET", "/v2/catalog").content
    first = one.made(kind.name, "small")
    iid, bid = rig.new_id(), rig.new_id()
    with kind.held():
        op = operation(one.provision(iid, kind.name, "small", wait="true"))
        for n in nodes:
            assert n.instance_last(iid, op).json()["state"] == "in progress"
        assert operation(two.provision(iid, kind.name, "small", wait="true")) == op
    for n in (two, one):
        assert n.ended(iid, operation=op)["state"] == "succeeded"
    assert one.instance(iid).json() == two.instance(iid).json()
    r = two.bind(iid, bid, kind.name, "small")
    assert r.status_code == 201, r.text
    c = r.json()["credentials"]
    assert one.binding(iid, bid).json() == two.binding(iid, bid).json()
    assert one.bind(iid, bid, kind.name, "small").json()["credentials"] == c
    assert kind.sql(c, "SELECT 1") == ("1", True)
    assert one.update(iid, kind.name, "large").status_code == 200
    assert two.instance(iid).json()["plan_id"] == two.ids(kind.name, "large")[1]
    assert kind.limit(c["username"]) == 9
    assert two.unbind(iid, bid, kind.name, "large").status_code == 200
    refused(one.unbind(iid, bid, kind.name, "large"), 410, "Gone")
    gone(one, kind, (iid,), plan="large")
    gone(two, kind, (first,))
    for n in nodes:
        refused(n.instance(iid), 404, "NotFound")
    assert kind.residue() == []


# -- provision -------------------------------------------------------------------------------------

def test_E01_names_are_of_one_instance_only(b, kind):
    n = rig.new_id()
    ids = [n + end for end in ("a-b", "a_b", "A-b", "a.b", "a.b.", "a.b..", "a%20b", "a%20b%20")]
    for iid in ids:
        assert b.provision(iid, kind.name, "small").status_code == 201
    assert len(set(kind.databases())) == len(ids)
    # and of one binding only, however its id and its instance's are put together
    pairs = [(n + "a-b", "c"), (n + "a-b", "C"), (n + "a-b", "c."), (n + "a_b", "c"),
             (n + "A-b", "-c"), (n + "a.b", ".c"), (n + "a.b.", "c")]
    handed = [b.bind(*pair, kind.name, "small").json()["credentials"] for pair in pairs]
    assert len({c["username"] for c in handed}) == len({c["password"] for c in handed}) == len(pairs)
    assert len({c["name"] for c in handed}) == 5
    for pair in pairs:
        assert b.unbind(*pair, kind.name, "small").status_code == 200
    gone(b, kind, *((iid,) for iid in ids))
    assert kind.residue() == []


def test_E01_names_are_of_one_platform_only(b, kind):
    """Two that use the same ids have a database each."""
    other = b.as_user("platform", "secret", "/second")
    iid = provision(b, kind)
    assert other.provision(iid, kind.name, "small").status_code == 201
    assert len(kind.databases()) == 2
    here, there = (x.bind(iid, "bid", kind.name, "small").json()["credentials"] for x in (b, other))
    assert here["name"] != there["name"] and here["username"] != there["username"]
    assert kind.sql(here, "CREATE TABLE t (v INT); SELECT COUNT(*) FROM t") == ("0", True)
    assert not kind.sql(there, "SELECT COUNT(*) FROM t")[1]
    gone(other, kind, (iid, "bid"))
    assert kind.sql(here, "SELECT COUNT(*) FROM t") == ("0", True)
    gone(b, kind, (iid, "bid"))
    assert kind.residue() == []


def test_E02_E04_the_same_again_while_it_runs_and_after(b, kind):
    first, iid = provision(b, kind), rig.new_id()
    with kind.held():
        op = operation(b.provision(iid, kind.name, "small", wait="true"))
        assert operation(b.provision(iid, kind.name, "small", wait="true")) == op
        refused(b.provision(iid, kind.name, "large", wait="true"), 409, "Conflict")
        refused(b.provision(iid, kind.name + "-fixed", wait="true"), 409, "Conflict")
        concurrency(b.update(iid, kind.name, "large", wait="true"))
        concurrency(b.bind(iid, "early", kind.name, "small", wait="true"))
        refused(b.instance(iid), 404, "NotFound")
        assert b.instance_last(iid, op).json()["state"] == "in progress"
    assert b.ended(iid, operation=op)["state"] == "succeeded"
    names = kind.databases()
    assert len(names) == 2
    r = b.provision(iid, kind.name, "small")
    assert r.status_code == 200 and r.json() == {"dashboard_url": b.instance(iid).json()["dashboard_url"]}
    assert r.json()["dashboard_url"] in [dashboard(name) for name in names]
    refused(b.provision(iid, kind.name, "large"), 409, "Conflict")
    refused(b.provision(iid, kind.name, "small", space_guid="another"), 409, "Conflict")
    # one that is waited for says the same
    third = rig.new_id()
    r = b.provision(third, kind.name, "small")
    new = [name for name in kind.databases() if name not in names]
    assert (r.status_code, r.json()) == (201, {"dashboard_url": dashboard(new[0])})
    # a bind, likewise
    with kind.held():
        op = operation(b.bind(iid, "bid", kind.name, "small", wait="true"))
        assert operation(b.bind(iid, "bid", kind.name, "small", wait="true")) == op
        refused(b.bind(iid, "bid", kind.name, "small", wait="true",
                       parameters={"read_only": True}), 409, "Conflict")
        concurrency(b.deprovision(iid, kind.name, "small", wait="true"))
    assert b.ended(iid, "bid", op)["state"] == "succeeded"
    r = b.bind(iid, "bid", kind.name, "small")
    assert (r.status_code, r.json()) == (200, b.binding(iid, "bid").json())
    refused(b.bind(iid, "bid", kind.name, "small", parameters={"read_only": True}), 409, "Conflict")
    gone(b, kind, (iid, "bid"), (first,), (third,))
    assert kind.residue() == []


# -- update ----------------------------------------------------------------------------------------

def test_F01_F08_the_stored_plan_counts_and_the_change_is_told(b, kind):
    iid = provision(b, kind)
    bid, c = bind(b, iid, kind)
    url = b.instance(iid).json()["dashboard_url"]
    small, large = (b.ids(kind.name, plan)[1] for plan in ("small", "large"))
    r = b.update(iid, kind.name, "large", previous_values={"plan_id": large})  # which is not true
    assert (r.status_code, r.json()) == (200, {"dashboard_url": url})
    assert kind.limit(c["username"]) == 9
    assert b.instance(iid).json()["plan_id"] == large
    with kind.held():
        op = operation(b.update(iid, kind.name, "small", wait="true",
                                previous_values={"plan_id": small}))
        assert operation(b.update(iid, kind.name, "small", wait="true",
                                  previous_values={"plan_id": small})) == op
        assert b.instance_last(iid, op).json()["state"] == "in progress"
    assert b.ended(iid, operation=op)["state"] == "succeeded"
    assert kind.limit(c["username"]) == 2
    now = b.instance(iid).json()
    assert (now["plan_id"], now["dashboard_url"]) == (small, url)
    assert b.binding(iid, bid).json()["credentials"] == c
    gone(b, kind, (iid, bid))
    assert kind.residue() == []


def test_F02_F03_a_plan_that_stays(b, kind):
    offered, fixed = b.catalog()[kind.name], b.catalog()[kind.name + "-fixed"]
    assert offered["plan_updateable"] is True and fixed["plan_updateable"] is False
    assert {p["name"]: p.get("plan_updateable") for p in fixed["plans"]}["free"] is True
    name, iid = kind.name + "-fixed", rig.new_id()
    assert b.provision(iid, name, "small").status_code == 201
    c = b.bind(iid, "bid", name, "small").json()["credentials"]
    before = b.instance(iid).json(), kind.user(c["username"])
    told = kind.told(c)
    for plan in ("large", "free"):
        refused(b.update(iid, name, plan), 422, "PlanChangeNotSupported", "small")
    assert told and kind.told(c) == told  # the server has heard nothing
    assert (b.instance(iid).json(), kind.user(c["username"])) == before
    assert b.unbind(iid, "bid", name, "small").status_code == 200
    assert b.deprovision(iid, name, "small").status_code == 200
    # the plan goes before the service
    assert b.provision(iid, name, "free").status_code == 201
    assert b.update(iid, name, "large").status_code == 200
    assert b.deprovision(iid, name, "large").status_code == 200
    assert kind.residue() == []


# -- deprovision -----------------------------------------------------------------------------------

def test_G01_nothing_is_left(b, kind):
    """Not of what was made at provision, nor of what applications have made since."""
    neighbour = provision(b, kind)
    far, c = bind(b, neighbour, kind)
    assert kind.sql(c, kind.things)[1]
    before = kind.whole()
    iid = provision(b, kind)
    (bid, c), (reader, r) = bind(b, iid, kind), bind(b, iid, kind, parameters={"read_only": True})
    assert kind.sql(c, kind.things)[1] and kind.sql(r, "SELECT v FROM t") == ("1", True)
    assert b.update(iid, kind.name, "large").status_code == 200
    assert kind.whole() != before
    # I02: nor of a user that was bound; MariaDB keeps the name, locked, under which things run
    assert b.unbind(iid, bid, kind.name, "large").status_code == 200
    whole = kind.whole()
    assert (c["username"] in whole) == (kind.name == "mariadb") and r["username"] in whole
    assert not kind.sql(c, "SELECT 1")[1]
    assert kind.sql(r, "SELECT v FROM t") == ("1", True)
    gone(b, kind, (iid, reader), plan="large")
    assert kind.whole() == before
    gone(b, kind, (neighbour, far))
    assert kind.residue() == []


def test_G02_what_is_not_there(b, kind):
    iid = provision(b, kind)
    bid, c = bind(b, iid, kind)
    unknown = rig.new_id()
    before, told = kind.whole(), kind.told(c)
    refused(b.deprovision(unknown, kind.name, "small"), 410, "Gone")
    refused(b.unbind(iid, unknown, kind.name, "small"), 410, "Gone")
    refused(b.unbind(unknown, bid, kind.name, "small"), 410, "Gone")
    refused(b.update(unknown, kind.name, "large"), 404, "NotFound")
    refused(b.bind(unknown, bid, kind.name, "small"), 404, "NotFound")
    assert kind.whole() == before and kind.told(c) == told
    assert kind.sql(c, "SELECT 1") == ("1", True)
    gone(b, kind, (iid, bid))
    assert kind.residue() == []


def test_G03_G04_deleted_once_nobody_is_bound(b, kind):
    iid = provision(b, kind)
    (one, c), (two, _) = bind(b, iid, kind), bind(b, iid, kind)
    assert b.unbind(iid, two, kind.name, "small").status_code == 200
    before, told = kind.whole(), kind.told(c)
    refused(b.deprovision(iid, kind.name, "small"), 422, "ServiceInstanceHasBindings", "1")
    assert kind.whole() == before and kind.told(c) == told
    assert kind.sql(c, "SELECT 1") == ("1", True)
    r = b.unbind(iid, one, kind.name, "small")
    assert (r.status_code, r.json()) == (200, {})
    r = b.deprovision(iid, kind.name, "small")
    assert (r.status_code, r.json()) == (200, {})
    for _ in range(2):
        refused(b.deprovision(iid, kind.name, "small"), 410, "Gone")
    assert kind.residue() == []


# -- bind, unbind ----------------------------------------------------------------------------------

def test_H01_I01_without_bindings(b, kind):
    name, iid = kind.name + "-alone", rig.new_id()
    assert b.catalog()[name]["bindable"] is False
    r = b.provision(iid, name, "small")
    assert r.status_code == 201
    database = kind.databases()[0]
    assert r.json() == {"dashboard_url": dashboard(database)}
    before, told = kind.whole(), kind.told({"name": database})
    bad(b.bind(iid, "bid", name, "small"), "small", "cannot be bound")
    refused(b.unbind(iid, "bid", name, "small"), 410, "Gone")
    assert kind.whole() == before and kind.told({"name": database}) == told
    assert b.deprovision(iid, name, "small").status_code == 200
    assert kind.residue() == []


def test_H02_H03_each_way_in_leads_to_the_same_place(b, kind):
    """What is handed out is complete: by uri, by the parts of jdbcUrl, by the members alone."""
    iid = provision(b, kind)
    r = b.bind(iid, "bid", kind.name, "small")
    assert r.status_code == 201 and set(r.json()) == {"credentials"}
    c = r.json()["credentials"]
    assert set(c) == {"host", "hostname", "port", "name", "database", "username", "password", "uri",
                      "jdbcUrl"}
    assert c["port"] == kind.server.port and isinstance(c["port"], int)
    jdbc = urllib.parse.urlsplit(c["jdbcUrl"].removeprefix("jdbc:"))
    query = urllib.parse.parse_qs(jdbc.query, strict_parsing=True)
    assert jdbc.scheme == kind.scheme and set(query) == {"user", "password"}
    ways = {"uri": c["uri"],
            "jdbcUrl": f"{kind.scheme}://{query['user'][0]}:{query['password'][0]}@{jdbc.netloc}{jdbc.path}",
            "members": f"{kind.scheme}://{c['username']}:{c['password']}@{c['hostname']}:{c['port']}"
                       f"/{c['database']}"}
    for n, (way, uri) in enumerate(ways.items()):
        assert kind.sql({"uri": uri}, f"CREATE TABLE t{n} (v VARCHAR(20)); "
                                      f"INSERT INTO t{n} VALUES ('{way}')")[1], way
    for uri in ways.values():
        for n, way in enumerate(ways):
            assert kind.sql({"uri": uri}, f"SELECT v FROM t{n}") == (way, True)
    wrong = c["uri"].replace(c["password"], c["password"][::-1])
    assert not kind.sql({"uri": wrong}, "SELECT 1")[1]
    gone(b, kind, (iid, "bid"))
    assert kind.residue() == []


def test_H04_what_happens_to_one_changes_no_other(b, kind):
    """Neither its limits, nor its rights, nor its sessions."""
    iid, other = provision(b, kind), provision(b, kind)
    (one, c), (kept_id, kept), (far_id, far) = (bind(b, i, kind) for i in (iid, iid, other))

    def others():
        return kind.user(kept["username"]), kind.user(far["username"])
    before = others()
    assert kind.limit(kept["username"]) == kind.limit(far["username"]) == 2
    held = [kind.session(x) for x in (kept, far)]
    assert [s.ask("SELECT 1") for s in held] == ["1", "1"]
    late, _ = bind(b, iid, kind)
    reader, _ = bind(b, iid, kind, parameters={"read_only": True})
    follower = rig.new_id()
    r = b.bind(iid, follower, kind.name, "small", predecessor_binding_id=one)
    assert r.status_code == 201 and r.json()["credentials"]["username"] != c["username"]
    assert others() == before
    for bid in (one, late, reader, follower):
        assert b.unbind(iid, bid, kind.name, "small").status_code == 200
        assert others() == before
    # another instance's plan
    third = provision(b, kind)
    bid, _ = bind(b, third, kind)
    assert b.update(third, kind.name, "large").status_code == 200
    gone(b, kind, (third, bid), plan="large")
    assert others() == before
    assert [s.ask("SELECT 2") for s in held] == ["2", "2"]
    for s in held:
        s.close()
    gone(b, kind, (iid, kept_id), (other, far_id))
    assert kind.residue() == []


def test_I03_in_the_middle_of_a_transaction(b, kind):
    """And of a statement."""
    iid = provision(b, kind)
    (bid, c), (kept_id, kept) = bind(b, iid, kind), bind(b, iid, kind)
    assert kind.sql(kept, "CREATE TABLE t (v INT); INSERT INTO t VALUES (1)")[1]
    writes, runs = kind.session(c), kind.session(c)
    assert writes.ask("BEGIN; UPDATE t SET v = 5; INSERT INTO t VALUES (6); SELECT 7") == "7"
    runs.process.stdin.write(kind.sleep + ";\n")
    runs.process.stdin.flush()
    assert rig.wait_until(lambda: kind.running(c["username"]), 20)
    assert b.unbind(iid, bid, kind.name, "small").status_code == 200
    for s in (writes, runs):
        try:  # nothing of it can be gone on with
            said = s.process.communicate("COMMIT; SELECT 8;\n", timeout=20)[0]
        except BrokenPipeError:
            said = s.process.stdout.read()
        assert not re.search("^8$", said, re.M), said
        assert s.process.returncode != 0 or said, "it has ended without a word"
        s.close()
    assert not kind.running(c["username"]) and not kind.sql(c, "SELECT 1")[1]
    # what it had not committed is undone, and its locks are gone
    assert kind.sql(kept, "UPDATE t SET v = v + 1; SELECT v FROM t") == ("2", True)
    gone(b, kind, (iid, kept_id))
    assert kind.residue() == []
