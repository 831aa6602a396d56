/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql_quota.h"

#define QUOTA_LOCK "7021800436"
#define OUR_LOCKS "(2726833139, 2726833140)" /* the lower halves of it and of the one about room */
#define POLLS 300                            /* statements until a user's sessions have ended */

/* What at stands for. */
enum {
	LEAD,                   /* who measures? */
	MEASURE,                /* which have become full, or not full any more */
	FLIPS,                  /* say so in their marks */
	RIGHTS,                 /* whose are not as they should be: change them */
	SESSIONS,               /* two of them: see postgresql_end_sessions() */
	CARRIED = SESSIONS + 2, /* in the user's mark: all that is done */
	NOTED,
	FULL,   /* the names of the full ones */
	TABLES, /* in each of them, tables with dead rows */
	VACUUM,
	COUNT, /* how many there are */
	DONE,
};

static struct postgresql_quota *quota_of(struct postgresql_script *script)
{
	return container_of(script, struct postgresql_quota, script);
}

static enum postgresql_next read_full(struct postgresql_script *script, struct buf *text)
{
	script->at = FULL;
	script->tolerated = POSTGRESQL_NO_MARKS;
	buf_puts(text, "SELECT name FROM osbd.marks JOIN pg_database ON datname = name WHERE "
		       "name = of_database AND is_full");
	return POSTGRESQL_RUN;
}

static enum postgresql_next measure(struct postgresql_script *script, struct buf *text)
{
	quota_of(script)->leads = strcmp(postgresql_cell(&script->result, 0, 0), "t") == 0;
	if (!quota_of(script)->leads) /* another node does */
		return read_full(script, text);
	script->at = FLIPS;
	script->tolerated = POSTGRESQL_NO_MARKS; /* nothing was ever made here */
	buf_puts(text, "SELECT name, storage > 0 AND used >= storage, used, storage FROM "
		       "(SELECT m.name, m.storage, m.is_full, pg_database_size(d.oid) AS used "
		       "FROM osbd.marks m JOIN pg_database d ON d.datname = m.name "
		       "WHERE m.name = m.of_database AND (m.storage > 0 OR m.is_full)) AS measured "
		       "WHERE (storage > 0 AND used >= storage) <> is_full");
	return POSTGRESQL_RUN;
}

static enum postgresql_next users(struct postgresql_script *script, struct buf *text)
{
	script->at = RIGHTS;
	buf_puts(text,
		 "SELECT u.name, d.name, d.is_full FROM osbd.marks u "
		 "JOIN osbd.marks d ON d.name = u.of_database "
		 "JOIN pg_roles r ON r.rolname = u.name JOIN pg_roles o ON o.rolname = d.name "
		 "WHERE u.name <> u.of_database AND NOT u.reader AND r.rolcanlogin AND "
		 "(u.is_full <> d.is_full OR d.is_full = EXISTS (SELECT 1 FROM pg_auth_members m "
		 "WHERE m.roleid = o.oid AND m.member = r.oid))");
	return POSTGRESQL_RUN;
}

static enum postgresql_next flip(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);
	const struct str *row;
	bool full;

	if (quota->i == 0) {
		if (*script->sqlstate)
			return read_full(script, text);
		quota->changes = script->result;
	}
	if (quota->i >= quota->changes.rows) {
		quota->i = 0;
		return users(script, text);
	}
	row = &quota->changes.cells[quota->i++ * quota->changes.cols];
	full = str_is(row[1], "t");
	database_quota_say(&quota->base, row[0], row[2], row[3], full);
	buf_printf(text, "UPDATE osbd.marks SET is_full = %s WHERE name = '%.*s'",
		   full ? "true" : "false", STR_ARG(row[0]));
	return POSTGRESQL_RUN;
}

static enum postgresql_next change_rights(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);
	const char *user, *d;
	const struct str *row;

	if (quota->i == 0)
		quota->changes = script->result;
	if (quota->i >= quota->changes.rows)
		return read_full(script, text);
	row = &quota->changes.cells[quota->i * quota->changes.cols];
	user = row[0].p;
	d = row[1].p;
	quota->polls = 0;
	script->at = SESSIONS;
	script->tolerated = "42704"; /* an unbind was faster */
	if (str_is(row[2], "t"))
		buf_printf(text,
			   POSTGRESQL_DO
			   "ALTER ROLE \"%s\" IN DATABASE \"%s\" RESET role; GRANT \"f%s\" TO "
			   "\"%s\"; REVOKE \"%s\" FROM \"%s\";" POSTGRESQL_DONE,
			   user, d, d + 1, user, d, user);
	else
		buf_printf(text,
			   POSTGRESQL_DO
			   "GRANT \"%s\" TO \"%s\"; ALTER ROLE \"%s\" IN DATABASE \"%s\" SET role "
			   "= '%s'; REVOKE \"f%s\" FROM \"%s\";" POSTGRESQL_DONE,
			   d, user, user, d, d, d + 1, user);
	return POSTGRESQL_RUN;
}

/* What could not be done, or takes its time, is seen to by the next look. */
static enum postgresql_next carried(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);
	const struct str *row = &quota->changes.cells[quota->i * quota->changes.cols];

	quota->i++;
	if (script->missed || *script->sqlstate || quota->polls >= POLLS)
		return change_rights(script, text);
	script->at = NOTED;
	buf_printf(text, "UPDATE osbd.marks SET is_full = '%s' WHERE name = '%s'", row[2].p,
		   row[0].p);
	return POSTGRESQL_RUN;
}

static void put_given(struct buf *text, const char *acl, const char *rights)
{
	buf_printf(text,
		   "EXISTS (SELECT 1 FROM aclexplode(%s) WHERE privilege_type IN (%s) AND grantee "
		   "IN (0, u))",
		   acl, rights);
}

/* Rights to write that an owner has given to the user by name, or to everybody. */
static void put_take_back(struct buf *text, const char *user)
{
	static const char writing[] = "'INSERT', 'UPDATE', 'REFERENCES', 'TRIGGER'";

	buf_printf(text,
		   "DECLARE u oid := '%s'::regrole; c text; BEGIN FOR c IN SELECT format('REVOKE "
		   "INSERT, UPDATE, REFERENCES, TRIGGER ON %%s FROM PUBLIC, %%s', oid::regclass, "
		   "u::regrole) FROM pg_class t WHERE relowner >= 16384 AND relkind IN ('r', 'p', "
		   "'v', 'f') AND (",
		   user);
	put_given(text, "relacl", writing);
	buf_puts(text, " OR EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = t.oid AND ");
	put_given(text, "attacl", writing);
	buf_puts(text, ")) UNION ALL SELECT format('REVOKE CREATE ON SCHEMA %s FROM PUBLIC, %s', "
		       "oid::regnamespace, u::regrole) FROM pg_namespace WHERE nspowner >= 16384 "
		       "AND ");
	put_given(text, "nspacl", "'CREATE'");
	buf_puts(text, " LOOP EXECUTE c; END LOOP; END;");
}

/* What it owns by itself, or may by name, it could still write to. */
static enum postgresql_next take_over(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);
	const struct str *row = &quota->changes.cells[quota->i * quota->changes.cols];

	script->at = CARRIED;
	if (!str_is(row[2], "t"))
		return carried(script, text);
	script->inside = row[1].p;
	script->may_miss = true;
	script->tolerated = "42704 42P01 3F000 40P01 55P03 57014"; /* it is gone, or busy */
	buf_printf(text, POSTGRESQL_DO "REASSIGN OWNED BY \"%s\" TO \"%s\"; ", row[0].p, row[1].p);
	put_take_back(text, row[0].p);
	buf_puts(text, POSTGRESQL_DONE);
	return POSTGRESQL_INSIDE;
}

static enum postgresql_next count(struct postgresql_script *script, struct buf *text)
{
	script->at = DONE;
	buf_puts(text, "SELECT count(*), coalesce(sum(storage), 0)::bigint FROM osbd.marks "
		       "WHERE name = of_database");
	return POSTGRESQL_RUN;
}

static enum postgresql_next look_for_tables(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);

	if (!quota->leads || quota->i_full >= quota->full.rows)
		return count(script, text);
	script->at = VACUUM;
	script->inside = postgresql_cell(&quota->full, quota->i_full++, 0);
	script->may_miss = true;
	quota->i_table = 0;
	/* those of the owner: what somebody else has made there is not ours to vacuum */
	buf_puts(text,
		 "SELECT format('VACUUM %I.%I', schemaname, s.relname) FROM "
		 "pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE n_dead_tup > 0 "
		 "AND pg_has_role(c.relowner, 'USAGE') LIMIT 100");
	return POSTGRESQL_INSIDE;
}

static enum postgresql_next vacuum(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);

	if (quota->i_table == 0)
		quota->tables = script->result;
	if (quota->i_table >= quota->tables.rows)
		return look_for_tables(script, text);
	script->may_miss = true;
	script->tolerated = "42P01 3F000 55P03 57014"; /* it is gone, or busy */
	buf_puts(text, postgresql_cell(&quota->tables, quota->i_table++, 0));
	return POSTGRESQL_INSIDE;
}

static enum postgresql_next next(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_quota *quota = quota_of(script);

	switch (script->at) {
	case LEAD:
		script->at = MEASURE;
		/* whoever may connect here may take it, too, and is in the way of everybody else */
		buf_puts(text,
			 "SELECT pg_try_advisory_lock(" QUOTA_LOCK "), (SELECT "
			 "count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity "
			 "a "
			 "USING (pid) JOIN pg_roles r ON r.oid = a.usesysid WHERE l.locktype = "
			 "'advisory' AND l.classid = 1 AND l.objid IN " OUR_LOCKS
			 " AND l.database = "
			 "(SELECT oid FROM pg_database WHERE datname = current_database()) AND "
			 "r.rolname <> session_user AND NOT r.rolsuper)");
		return POSTGRESQL_RUN;
	case MEASURE:
		return measure(script, text);
	case FLIPS:
		return flip(script, text);
	case RIGHTS:
	case NOTED:
		return change_rights(script, text);
	case CARRIED:
		return carried(script, text);
	case SESSIONS:
	case SESSIONS + 1:
		if (quota->polls++ < POLLS &&
		    postgresql_end_sessions(
			    script, text, quota->changes.cells[quota->i * quota->changes.cols].p,
			    quota->changes.cells[quota->i * quota->changes.cols + 1].p, SESSIONS))
			return POSTGRESQL_RUN;
		return take_over(script, text);
	case FULL:
		if (*script->sqlstate) { /* no marks at all */
			database_found(quota->base.database, quota->base.server->index, NULL, 0, 0,
				       0);
			return POSTGRESQL_END;
		}
		quota->full = script->result;
		quota->i_full = 0;
		return look_for_tables(script, text);
	case VACUUM:
		return vacuum(script, text);
	default:
		database_found(quota->base.database, quota->base.server->index, quota->full.cells,
			       quota->full.rows, postgresql_number(script, 0, 0),
			       postgresql_number(script, 0, 1));
		return POSTGRESQL_END;
	}
}

static void look(struct database_quota *base)
{
	struct postgresql_quota *quota = container_of(base, struct postgresql_quota, base);

	quota->i = 0;
	arena_reset(&quota->arena);
	postgresql_script_start(&quota->script);
}

void postgresql_quota_init(struct postgresql_quota *quota)
{
	postgresql_server_init(&quota->to);
	quota->script.server = &quota->to;
	quota->script.arena = &quota->arena;
	quota->script.next = next;
	quota->base.call = &quota->script.call;
	quota->base.err = &quota->script.err;
	quota->base.look = look;
}
