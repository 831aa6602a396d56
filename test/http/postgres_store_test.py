# SPDX-License-Identifier: Apache-2.0
"""The PostgreSQL store as an operator sets it up: TLS to the server, and servers that lose data."""
import os
import signal
import subprocess

import pytest
import rig
import servers

YAML = """\
listen: [{{address: "127.0.0.1:0"}}]
users: [{{name: platform, password: secret}}]
store: {{postgresql: {{url: "{url}"}}}}
seal: {{keys: [{{id: a, key: "{key}"}}]}}
children: {{directory: {{dir}}/run}}
services: [{{name: idle, description: does nothing, backend: demo}}]
"""


@pytest.fixture(scope="module")
def pg():
    with servers.Postgres() as server:
        yield server


def over_tls(pg, host="localhost", ca="ca.crt", mode="verify-full"):
    return pg.url("tls", host=host).split("?")[0] + f"?sslmode={mode}&sslrootcert={pg.dir}/{ca}"


def daemon(osbd, url):
    head = YAML.format(url=url, key="ab" * 32).replace("{", "{{").replace("}", "}}")
    return osbd("", start=False, head=head.replace("{{dir}}", "{dir}"))


def refused(osbd, url):
    """What it says when it does not start; a password is not in it."""
    d = daemon(osbd, url)
    r = subprocess.run([rig.BINARY, "serve", "-c", d.config], env=os.environ, capture_output=True,
                       text=True, timeout=100)
    assert r.returncode == 1 and r.stdout == "", r
    assert servers.PASSWORD not in r.stderr and servers.ENCODED not in r.stderr
    return r.stderr


def test_tls(osbd, pg):
    d = daemon(osbd, over_tls(pg)).start()
    iid = rig.new_id()
    assert d.provision(iid).status_code == 201
    said = pg.sql("SELECT DISTINCT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a"
                  " USING (pid) WHERE a.usename = 'tls'")
    assert said in ("t|TLSv1.3", "t|TLSv1.2")
    assert servers.PASSWORD not in d.log() and servers.ENCODED not in d.log()


@pytest.mark.parametrize("how,why", [
    ({"ca": "other.crt"}, "certificate verify failed"),
    ({"host": "127.0.0.1"}, 'does not match host name "127.0.0.1"'),
    ({"ca": "nowhere.crt"}, "nowhere.crt"),
])
def test_a_server_that_is_not_the_one(osbd, pg, how, why):
    assert why in refused(osbd, over_tls(pg, **how))


def test_a_server_that_demands_tls(osbd, pg):
    assert "no pg_hba.conf entry" in refused(osbd, pg.url("tls"))


def test_stops_while_a_reload_waits_for_the_server(osbd, pg):
    """The answer comes when nothing is left that could be reloaded."""
    d = daemon(osbd, pg.url()).start()
    assert d.provision(rig.new_id()).status_code == 201
    with subprocess.Popen(["psql", "-XqAt", pg.url()], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as lock:
        lock.stdin.write("BEGIN; LOCK TABLE instance; SELECT 'locked';\n")
        lock.stdin.flush()
        assert lock.stdout.readline() == "locked\n"
        d.process.send_signal(signal.SIGHUP)
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert rig.wait_until(lambda: pg.sql(waits)), d.log()
        d.process.send_signal(signal.SIGTERM)
        closes = "SELECT pid FROM pg_stat_activity WHERE query = 'UNLISTEN \"osbd\"'"
        assert rig.wait_until(lambda: pg.sql(closes)), d.log()
        lock.stdin.close()  # and with it goes the lock
    assert d.process.wait(20) == 0, d.log()
    assert "in force" not in d.log()


def test_stops_while_it_starts(osbd, pg, tmp_path):
    """A listener with TLS waits for the keys of its tickets, and a signal comes meanwhile."""
    subprocess.run(["sh", f"{rig.TREE}/test/certs.sh", str(tmp_path)], check=True)
    d = daemon(osbd, pg.url())
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write(text.replace('"127.0.0.1:0"', f'"127.0.0.1:0", tls: {{certificate: {tmp_path}/one.pem, '
                             f'key: {tmp_path}/one.key}}'))
    d.start()
    d.stop()
    with subprocess.Popen(["psql", "-XqAt", pg.url()], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as lock:
        lock.stdin.write("BEGIN; SELECT name FROM meta WHERE name = 'tickets' FOR UPDATE;\n")
        lock.stdin.flush()
        assert lock.stdout.readline() == "tickets\n"
        d.start(wait=False)
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert rig.wait_until(lambda: pg.sql(waits)), d.log()
        d.process.send_signal(signal.SIGHUP)
        d.process.send_signal(signal.SIGTERM)
        lock.stdin.close()
    assert d.process.wait(20) == 0, d.log()
    assert "listening on" in d.log() and "reload" not in d.log()


def test_servers_that_lose_data(osbd, pg):
    url = pg.url()
    d = daemon(osbd, url + "&options=-c%20synchronous_commit%3Doff").start()
    assert "synchronous_commit=off" in d.log()
    assert d.catalog()
    d.stop()
    pg.stop()
    pg.start(fsync="off")
    try:
        assert "fsync=off: it loses data when its machine stops" in refused(osbd, url)
    finally:
        pg.stop()
        pg.start()


def test_a_server_without_tls(osbd, pg):
    pg.stop()
    pg.start(ssl="off")
    try:
        assert "server does not support SSL" in refused(osbd, over_tls(pg))
    finally:
        pg.stop()
        pg.start()
