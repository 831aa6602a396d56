#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A walk through database services: a MariaDB and a PostgreSQL of its own on loopback, an osbd that
hands out databases on both, and an application's life with one of each. `./dev demo-db` runs it; it
needs nothing configured, and leaves nothing behind. OSBD names the daemon."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import broker
import mariadb
import postgresql
import rig

STEPS = r"""
ids='"service_id": "SERVICE", "plan_id": "PLAN"' query='service_id=SERVICE&plan_id=PLAN'
osb -X PUT $url/orders --json "{$ids, \"organization_guid\": \"org\", \"space_guid\": \"space\"}"
osb -X PUT $url/orders/service_bindings/shop --json "{$ids}" | tee binding
CLIENT
osb -X PUT $url/orders/service_bindings/report --json "{$ids, \"parameters\": {\"read_only\": true}}" > binding
READER
osb -X DELETE "$url/orders?$query"
osb -X DELETE "$url/orders/service_bindings/shop?$query"
osb -X DELETE "$url/orders/service_bindings/report?$query"
NOBODY
osb -X DELETE "$url/orders?$query"
"""
# what a client is, what it does with its database, what a reader may not, and nobody after the unbind
KINDS = {
    "mariadb": (
        'my() { mariadb --no-defaults -h 127.0.0.1 -P $(field port) -u $(field username) '
        '-p$(field password) $(field name) -Ne "$1" 2>&1; }',
        "my 'CREATE TABLE orders (what TEXT); INSERT INTO orders VALUES (\"tea\"); SELECT * FROM orders'",
        "my 'SELECT * FROM orders'; my 'DELETE FROM orders' | grep -o 'command denied'",
        "my 'SELECT * FROM orders' | grep -o 'Access denied'"),
    "postgresql": (
        'pg() { psql -XqAt "$(field uri)" -c "$1" 2>&1; }',
        "pg \"CREATE TABLE orders (what text); INSERT INTO orders VALUES ('tea'); SELECT * FROM orders\"",
        "pg 'SELECT * FROM orders'; pg 'DELETE FROM orders' | grep -o 'read-only transaction'",
        "pg 'SELECT * FROM orders' | grep -o -m1 'authentication failed'"),
}
PRELUDE = r"""
osb() { curl -s -u demo:demo -H 'X-Broker-API-Version: 2.17' "$@"; echo; }
field() { grep -o "\"$1\":[^,}]*" binding | head -1 | sed 's/^[^:]*://; s/"//g'; }
"""


def services(my, pg):
    password = "demo-'pw"
    my.sql(f"ALTER USER osbd@'%' IDENTIFIED BY {mariadb.quoted(password)}")
    pg.sql("ALTER ROLE osbd PASSWORD '%s'" % password.replace("'", "''"))
    plans = [broker.plan("small", config={"connections": 10, "storage": "100M"}),
             broker.plan("large", config={"connections": 100, "storage": "10G"})]
    return [broker.service(name, backend=backend, plan_updateable=True, plans=plans, config={
        "servers": [{"name": "here", "port": server.port, "user": "osbd", "password": password}]})
        for name, backend, server in (("mariadb", "mysql", my), ("postgresql", "postgresql", pg))]


def walk(b, kind, directory, out):
    function, use, read, after = KINDS[kind]
    service, plan = b.ids(kind, "small")
    known = [PRELUDE, f"url=http://127.0.0.1:{b.d.port}/v2/service_instances", function]
    print(f"\n# {kind}\n$ {function}", file=out)
    for line in STEPS.strip().splitlines():
        line = line.replace("SERVICE", service).replace("PLAN", plan)
        line = line.replace("CLIENT", use).replace("READER", read).replace("NOBODY", after)
        print("$ " + line, file=out, flush=True)
        if line.startswith("ids="):
            known.append(line)
            continue
        done = subprocess.run(["bash", "-c", "\n".join([*known, line])], cwd=directory, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        print(done.stdout, end="", file=out, flush=True)


def demo(directory, out=sys.stdout):
    directory = pathlib.Path(directory)
    print("a MariaDB and a PostgreSQL start on loopback; all goes when it is over\n", file=sys.stderr)
    with mariadb.MariaDB() as my, postgresql.server() as pg:
        made = []

        def make(yaml, **more):
            made.append(rig.Osbd(directory, yaml, **more).start())
            return made[0]
        try:
            b = broker.start(make, services(my, pg),
                             users=[{"name": "demo", "password": "demo"}])
            b.auth = ("demo", "demo")
            for line in [*PRELUDE.strip().splitlines(),
                         f"url=http://127.0.0.1:{b.d.port}/v2/service_instances"]:
                print("$ " + line, file=out)
            for kind in KINDS:
                walk(b, kind, directory, out)
            b.d.stop()
        finally:
            for d in made:
                d.close()


def plain(text):
    """Without what differs each time."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r'"port":\d+', '"port":PORT', text)
    return re.sub(r'(?<=[:=])[a-z0-9]{32}(?=[@"])|(?<="password":")[a-z0-9]{32}', "PASSWORD", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="osbd-demo-") as base:
        os.chmod(base, 0o755)
        demo(base)
