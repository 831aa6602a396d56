#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Database services: instances made, bound, unbound and removed on a real MariaDB, beside the same SQL
by a program that does nothing else. As bench.py, whose rows and servers it uses.

The SQL is what the server's own log has of one cycle of osbd, with other names in each cycle of the
floor. Both have the same sessions at most, and 64 cycles under way at a time.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile

import bench
from bench import program

sys.path.insert(0, os.path.join(bench.HERE, ".."))
import mariadb  # noqa: E402

SESSIONS = 8
SECONDS = 3
TURNS = 9
CONFIG = """\
listen: [{{address: "127.0.0.1:{port}"}}]
admin: {{socket: {dir}/osbd.sock}}
users: [{{name: {user}, password: {password}}}]
store: {{sqlite: {{path: {dir}/osbd.db}}}}
children: {{directory: {dir}/run}}
limits: {{max_running: 64}}
services:
  - name: bench
    id: {service}
    description: "databases {padding}"
    backend: mysql
    max_running: 64
    config:
      quota_every: 1h
      servers: [{{name: one, host: "%s", user: osbd, password: 'secret', sessions: %d}}]
    plans:
      - {{name: small, id: {plan}, description: small, async: sync}}
"""


def load(osbd, clients, seconds):
    out = subprocess.run(
        [program("cycle_load"), str(osbd.port), bench.BASIC, bench.SERVICE, bench.PLAN, str(clients),
         str(seconds)],
        capture_output=True, text=True, timeout=seconds + 90)
    if out.returncode:
        bench.die(out.stderr)
    return float(out.stdout)


def floor(my, statements, sessions, cycles, seconds):
    out = subprocess.run([program("mysql_floor"), str(my.socket), "osbd", "secret", statements,
                          str(sessions), str(cycles), str(seconds)],
                         capture_output=True, text=True, timeout=seconds + 60)
    if out.returncode:
        bench.die(out.stderr)
    return float(out.stdout)


def learn(my, osbd, path):
    """What osbd says to the server in one cycle, when its sessions are there already."""
    load(osbd, 1, 0.2)
    my.sql("SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = 1")
    one = "/v2/service_instances/learn"
    ids = f"service_id={bench.SERVICE}&plan_id={bench.PLAN}"
    osbd.ask("PUT", one,
             '{"service_id":"%s","plan_id":"%s","organization_guid":"o","space_guid":"s"}'
             % (bench.SERVICE, bench.PLAN))
    osbd.ask("PUT", one + "/service_bindings/b",
             '{"service_id":"%s","plan_id":"%s"}' % (bench.SERVICE, bench.PLAN))
    osbd.ask("DELETE", f"{one}/service_bindings/b?{ids}")
    osbd.ask("DELETE", f"{one}?{ids}")
    text = my.sql("SET GLOBAL general_log = 0; SELECT argument FROM mysql.general_log "
                  "WHERE command_type = 'Query' AND user_host LIKE 'osbd%' ORDER BY event_time")
    text = re.sub(r"\bd[0-9a-f]{31}\b", "{D}", re.sub(r"\bb[0-9a-f]{31}\b", "{B}", text))
    with open(path, "w") as f:
        f.write(text + "\n")
    return len(text.splitlines())


def bench_mysql(directory):
    with mariadb.MariaDB() as my:
        my.sql("ALTER USER osbd@'%' IDENTIFIED BY 'secret'; SET GLOBAL max_connections = 200")
        bench.CONFIG = CONFIG % (my.socket, SESSIONS)
        bench.pin = lambda core: []  # three programs on two cores
        osbd = bench.Osbd(directory)
        statements = os.path.join(directory, "statements")
        try:
            n = learn(my, osbd, statements)
            pairs = [(load(osbd, bench.IN_FLIGHT, SECONDS),
                      floor(my, statements, SESSIONS, bench.IN_FLIGHT, SECONDS))
                     for _ in range(TURNS)]
            ours, theirs = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            bench.row(f"MariaDB cycles a second, {bench.IN_FLIGHT} in flight / their {n} statements",
                      f"{ours:,.0f}", f"SQL alone {theirs:,.0f}",
                      statistics.median(a / b for a, b in pairs), 0.8, 0.9, most=False)
            before = osbd.commits()
            pairs = [(load(osbd, 1, SECONDS), floor(my, statements, 1, 1, SECONDS))
                     for _ in range(TURNS)]
            ours, theirs = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            paid = (osbd.commits() - before) / sum(p[0] * SECONDS for p in pairs)
            bench.rows.append((f"MariaDB, one cycle at a time, {paid:.0f} commits of ours each",
                               f"{1000 / ours:.1f} ms", f"SQL alone {1000 / theirs:.1f} ms",
                               f"{statistics.median(a / b for a, b in pairs):.2f}", "", "", ""))
        finally:
            osbd.stop()


def main():
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.path.join(bench.TREE, "build")) as base:
        bench_mysql(base)
    bench.print_table()


if __name__ == "__main__":
    main()
