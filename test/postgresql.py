# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL servers that hold databases for applications, and the applications' side."""
import contextlib
import os
import subprocess

import servers


@contextlib.contextmanager
def server(**settings):
    """One whose user osbd is no superuser, and lets everybody in by password."""
    with servers.Postgres(hba=["host all all 127.0.0.1/32 scram-sha-256"], **settings) as pg:
        pg.sql("ALTER ROLE osbd CREATEDB CREATEROLE")
        pg.sql("GRANT pg_signal_backend TO osbd")
        pg.sql("REVOKE ALL ON DATABASE osbd FROM PUBLIC")
        yield pg


def psql(credentials):
    """psql with exactly what was handed out."""
    return ["psql", "-XqAt", credentials["uri"]]


class Session(servers.Session):
    """An application that keeps its connection."""

    def __init__(self, credentials):
        super().__init__(psql(credentials))


def sql(credentials, *statements):
    """(what they printed, whether all went well), on a connection of its own."""
    each = [word for statement in statements for word in ("-c", statement)]
    done = subprocess.run([*psql(credentials), "-v", "ON_ERROR_STOP=1", *each],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"]})
    return done.stdout.strip(), done.returncode == 0


def residue(pg):
    """What the server has that is not its own."""
    marks = pg.sql("SELECT to_regclass('osbd.marks')", "osbd")
    return sorted(filter(None, pg.sql(
        "SELECT 'database ' || datname FROM pg_database WHERE datname ~ '^[a-z][0-9a-f]{31}$' UNION ALL "
        "SELECT 'role ' || rolname FROM pg_roles WHERE rolname ~ '^[a-z][0-9a-f]{31}$' UNION ALL "
        "SELECT 'setting ' || setrole::regrole FROM pg_db_role_setting" +
        (" UNION ALL SELECT 'mark ' || name FROM osbd.marks" if marks else ""), "osbd").split("\n")))


def sessions(pg, of="osbd [db][0-9a-f]{31}"):
    """Those of osbd's operations."""
    return pg.sql(f"SELECT pid FROM pg_stat_activity WHERE application_name ~ '^{of}$'").split()
