# SPDX-License-Identifier: Apache-2.0
"""Applications that know how osbd works on their servers, and use it: real servers, each with what
one of them has prepared."""
import postgresql
import postgresql_servers_test as pg_side
import pytest


@pytest.fixture(scope="module")
def pg():
    with postgresql.server() as server:
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
