# SPDX-License-Identifier: Apache-2.0
"""Databases on a real MariaDB, as an application and as the server's operator see them. Names of
tests begin with the requirement that they show."""
import re
import subprocess
import urllib.parse

import broker
import mariadb
import pytest
import rig
from mariadb import Session, sql


@pytest.fixture(scope="module")
def server():
    with mariadb.MariaDB() as my:
        yield my


def server_row(my, name="one", **more):
    return {"name": name, "port": my.port, "user": "osbd", "password": mariadb.PASSWORD, **more}


def services(my, password=mariadb.PASSWORD):
    return [broker.service(
        "mariadb", backend="mysql", plan_updateable=True,
        config={"servers": [server_row(my, password=password)], "quota_every": "200ms"},
        plans=[broker.plan("small", config={"connections": 2, "storage": "1M"}),
               broker.plan("large", config={"connections": 9, "storage": "64M"})])]


@pytest.fixture(scope="module")
def b(server, osbd_module):
    return broker.start(osbd_module, services(server))


def residue(my):
    return my.residue()


def provision(b, plan="small"):
    iid = rig.new_id()
    r = b.provision(iid, "mariadb", plan)
    assert r.status_code == 201, r.text
    return iid


def bind(b, iid, plan="small", **more):
    bid = rig.new_id()
    r = b.bind(iid, bid, "mariadb", plan, **more)
    assert r.status_code == 201, r.text
    return bid, r.json()["credentials"]


def test_E05_E06_a_database_of_its_own(b, server):
    iid = provision(b)
    names = residue(server)
    assert len(names) == 2 and len(set(names)) == 1  # the database and its mark
    assert server.sql("SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA "
                      f"WHERE SCHEMA_NAME = '{names[0]}'") == "utf8mb4"
    assert b.provision(iid, "mariadb", "small").status_code == 200
    assert residue(server) == names
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    assert b.deprovision(iid, "mariadb", "small").status_code == 410
    assert residue(server) == []


def test_E06_what_is_not_ours_is_left_alone(b, server):
    iid = provision(b)
    name = residue(server)[0]
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    server.sql(f"CREATE DATABASE {name}; CREATE TABLE {name}.precious (i INT)")
    broker.refused(b.provision(iid, "mariadb", "small"), 500, "OperationFailed",
                   f"database {name} is there, and osbd has not made it")
    b.deprovision(iid, "mariadb", "small")
    assert server.sql(f"SHOW TABLES FROM {name}") == "precious"
    server.sql(f"DROP DATABASE {name}")


def test_H02_H03_credentials_work_as_handed_out(b, server):
    iid = provision(b)
    bid, c = bind(b, iid)
    assert re.fullmatch("b[0-9a-f]{31}", c["username"])
    assert re.fullmatch("d[0-9a-f]{31}", c["name"]) and c["database"] == c["name"]
    assert (c["host"], c["hostname"], c["port"]) == ("127.0.0.1", "127.0.0.1", server.port)
    assert c["uri"] == (f"mysql://{c['username']}:{c['password']}@127.0.0.1:{server.port}/"
                        f"{c['name']}")
    assert c["jdbcUrl"] == (f"jdbc:mysql://127.0.0.1:{server.port}/{c['name']}"
                            f"?user={c['username']}&password={c['password']}")
    made = "CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('kept'); SELECT v FROM t"
    assert sql(c, made) == ("kept", True)
    assert b.bind(iid, bid, "mariadb", "small").json()["credentials"] == c
    # the server never heard the password, nor did the log
    assert c["password"] not in server.log.read_text()
    assert c["password"] not in b.d.log() and mariadb.PASSWORD not in b.d.log()
    # read only
    reader, r = bind(b, iid, parameters={"read_only": True})
    assert sql(r, "SELECT v FROM t") == ("kept", True)
    assert "denied" in sql(r, "INSERT INTO t VALUES ('x')")[0]
    broker.bad(b.bind(iid, rig.new_id(), "mariadb", "small", parameters={"role": "x"}), "role")
    # the plan's limit holds for each
    sessions = [Session(c["uri"]) for _ in range(3)]
    said = [s.ask("SELECT 1") for s in sessions]
    assert sorted(s == "1" for s in said) == [False, True, True], said
    assert "max_user_connections" in "".join(said)
    for s in sessions:
        s.close()
    for one in (bid, reader):
        assert b.unbind(iid, one, "mariadb", "small").status_code == 200
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    assert residue(server) == []


def test_G03_I03_H04_unbind_ends_sessions_and_touches_nobody_else(b, server):
    iid, other = provision(b), provision(b)
    bid, c = bind(b, iid)
    kept_id, kept = bind(b, iid)
    far_id, far = bind(b, other)
    assert far["name"] != c["name"] and len({x["username"] for x in (c, kept, far)}) == 3
    assert not sql(far, f"SHOW TABLES FROM {c['name']}")[1]
    open_one, open_kept, open_far = (Session(x["uri"]) for x in (c, kept, far))
    for s in (open_one, open_kept, open_far):
        assert s.ask("SELECT 42") == "42"
    hash_before = server.sql(f"SHOW CREATE USER {kept['username']}")
    broker.refused(b.deprovision(iid, "mariadb", "small"), 422, "ServiceInstanceHasBindings")
    assert b.unbind(iid, bid, "mariadb", "small").status_code == 200
    said = open_one.ask("SELECT 42")
    assert said != "42" and "ERROR 20" in said + open_one.process.stdout.read()
    assert not sql(c, "SELECT 1")[1]
    assert open_kept.ask("SELECT 43") == "43" and open_far.ask("SELECT 44") == "44"
    assert server.sql(f"SHOW CREATE USER {kept['username']}") == hash_before
    for s in (open_one, open_kept, open_far):
        s.close()
    assert b.unbind(iid, kept_id, "mariadb", "small").status_code == 200
    assert b.unbind(other, far_id, "mariadb", "small").status_code == 200
    for one in (iid, other):
        assert b.deprovision(one, "mariadb", "small").status_code == 200
    assert residue(server) == []  # G01, I02


def test_F05_F06_F07_plans_change_both_ways(b, server):
    iid = provision(b, "large")
    bid, c = bind(b, iid, "large")

    def limit():
        text = server.sql(f"SHOW CREATE USER {c['username']}")
        return re.findall(r"MAX_USER_CONNECTIONS (\d+)", text)

    assert limit() == ["9"]
    sql(c, "CREATE TABLE t (v LONGTEXT); "
           "INSERT INTO t SELECT REPEAT('m', 1000000) FROM seq_1_to_5; ANALYZE TABLE t")
    body = broker.refused(b.update(iid, "mariadb", "small"), 400, "PlanTooSmall", "small", "1048576")
    assert int(re.findall(r"holds (\d+) bytes", body["description"])[0]) > 5_000_000
    assert limit() == ["9"] and b.instance(iid).json()["plan_id"] == b.ids("mariadb", "large")[1]
    sql(c, "DROP TABLE t")
    assert b.update(iid, "mariadb", "small").status_code == 200
    assert limit() == ["2"]
    assert b.update(iid, "mariadb", "small").status_code == 200
    assert b.update(iid, "mariadb", "large").status_code == 200
    assert limit() == ["9"]
    assert b.unbind(iid, bid, "mariadb", "large").status_code == 200
    assert b.deprovision(iid, "mariadb", "large").status_code == 200
    assert residue(server) == []


@pytest.mark.parametrize("iid", ["x`; DROP DATABASE osbd; -- ", "a_b", "a-b", "%25", "\u202e'\"\\"])
def test_18_hostile_ids(b, server, iid):
    path = urllib.parse.quote(iid, safe="")
    assert b.provision(path, "mariadb", "small").status_code == 201
    r = b.bind(path, path, "mariadb", "small")
    assert r.status_code == 201 and sql(r.json()["credentials"], "SELECT 1") == ("1", True)
    assert b.unbind(path, path, "mariadb", "small").status_code == 200
    assert b.deprovision(path, "mariadb", "small").status_code == 200
    assert residue(server) == []


def test_a_holder_of_the_lock_is_ended(b, server):
    """What a node that is stopped in the middle leaves behind: a session that holds the lock."""
    iid = provision(b)
    name = residue(server)[0]
    stopped = subprocess.Popen(
        ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(server.port), "-uosbd",
         "--password=" + mariadb.PASSWORD, "-NB", "-e",
         f"SELECT GET_LOCK('osbd.{name}', 0), SLEEP(600)"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert rig.wait_until(lambda: server.sql(f"SELECT IS_USED_LOCK('osbd.{name}')") != "NULL")
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    assert stopped.wait(10) != 0
    stopped.communicate()
    assert residue(server) == []


def test_a_server_that_is_down_for_a_moment(b, server):
    """The operation waits for it; kill -9 of the daemon in the meantime changes nothing."""
    iid = provision(b)
    server.kill()
    r = b.bind(iid, "bid", "mariadb", "small", wait="true")
    if r.status_code == 202:
        b.d.kill()
        b.d.start()
        server.start()
        ended = b.ended(iid, "bid", seconds=40)
        assert ended["state"] == "succeeded", ended
    else:
        raise AssertionError(r.text)
    c = b.binding(iid, "bid").json()["credentials"]
    assert sql(c, "SELECT 1") == ("1", True)
    assert b.unbind(iid, "bid", "mariadb", "small").status_code == 200
    assert b.deprovision(iid, "mariadb", "small").status_code == 200
    assert residue(server) == []
    assert b.d.tasks() == 1


def test_the_annotated_file_works(osbd, server):
    with open(f"{rig.TREE}/conf/mysql.yml") as f:
        text = f.read()
    for old, new in (("127.0.0.1:8080", "127.0.0.1:0"), ("../build/mysql", "{dir}"),
                     ("name: demo", "name: platform"), ("password: demo", "password: secret"),
                     ("/run/mysqld/mysqld.sock", str(server.socket))):
        assert text.count(old) >= 1
        text = text.replace(old, new)

    class Fill(str):
        def format(self, dir):  # the text has braces of its own
            return self.replace("{dir}", dir)

    own = broker.Broker(osbd("", head=Fill(text)))
    iid = rig.new_id()
    assert own.provision(iid, "mariadb", "large").status_code == 201
    assert len(residue(server)) == 2 and residue(server)[0] == residue(server)[1]
    r = own.bind(iid, "bid", "mariadb", "large")
    assert r.status_code == 201 and r.json()["credentials"]["uri"].count("@127.0.0.1:3306/d") == 1
    assert own.unbind(iid, "bid", "mariadb", "large").status_code == 200
    assert own.deprovision(iid, "mariadb", "large").status_code == 200
    assert residue(server) == []


def test_a_wrong_password_of_ours(osbd, server):
    wrong = broker.start(osbd, services(server, password="wr0ng"))
    r = wrong.provision(rig.new_id(), "mariadb", "small")
    broker.refused(r, 500, "OperationFailed", "Access denied for user 'osbd'")
    assert "wr0ng" not in r.text and "wr0ng" not in wrong.d.log()
