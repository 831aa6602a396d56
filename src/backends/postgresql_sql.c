/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql_sql.h"

#include "sql/pg_scram.h"

#include <stdio.h>

#define ROOM_LOCK "7021800435" /* any number that names of databases do not give */
#define NO_MARKS POSTGRESQL_NO_MARKS
#define DO POSTGRESQL_DO
#define DONE POSTGRESQL_DONE

static struct postgresql_op *op_of(struct postgresql_script *script)
{
	return container_of(script, struct postgresql_op, script);
}

/* -- what all scripts do ------------------------------------------------------------------ */

const char *postgresql_cell(const struct sql_result *result, size_t row, size_t col)
{
	return row < result->rows ? sql_get_str(result, row, col).p : "";
}

uint64_t postgresql_number(const struct postgresql_script *script, size_t row, size_t col)
{
	uint64_t n;

	return str_to_u64(str_of(postgresql_cell(&script->result, row, col)), &n) ? n : 0;
}

static enum postgresql_next fail(struct postgresql_script *script, int http, const char *name,
				 int code, const char *fmt, ...) PRINTF_LIKE(5, 6);
static enum postgresql_next fail(struct postgresql_script *script, int http, const char *name,
				 int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(&script->err, code, fmt, ap);
	va_end(ap);
	op_of(script)->db.http = http;
	op_of(script)->db.code = name;
	return POSTGRESQL_FAIL;
}

/* What is there, and is it ours? */
static void put_look(struct postgresql_script *script, struct buf *text)
{
	const struct postgresql_op *op = op_of(script);
	const char *d = op->db.database, *u = op->db.user;

	buf_printf(text,
		   "SELECT (SELECT count(*) FROM pg_database WHERE datname = '%s'), "
		   "(SELECT count(*) FROM pg_roles WHERE rolname IN ('%s', 'r%s', 'f%s')), "
		   "(SELECT count(*) FROM pg_roles WHERE rolname = '%s'), "
		   "(SELECT count(*) FROM osbd.marks WHERE name = '%s'), "
		   "(SELECT count(*) FROM osbd.marks WHERE name = '%s'), "
		   "(SELECT count(*) FROM osbd.marks WHERE name = '%s' AND is_full)",
		   d, d, d + 1, d + 1, u, d, u, d);
}

static void looked(struct postgresql_script *script)
{
	struct postgresql_op *op = op_of(script);

	op->there = postgresql_number(script, 0, 0);
	op->roles_there = postgresql_number(script, 0, 1);
	op->user_there = postgresql_number(script, 0, 2);
	op->marked = postgresql_number(script, 0, 3);
	op->user_marked = postgresql_number(script, 0, 4);
	op->full = postgresql_number(script, 0, 5);
}

static enum postgresql_next somebody_elses(struct postgresql_script *script, const char *what,
					   const char *name)
{
	return fail(script, 0, NULL, ERR_EXISTS, "%s %s is there, and osbd has not made it", what,
		    name);
}

static long long limit(int64_t n)
{
	return n ? n : -1;
}

/* -- room ---------------------------------------------------------------------------------- */

static enum postgresql_next next_room(struct postgresql_script *script, struct buf *text)
{
	if (script->at++)
		return POSTGRESQL_END;
	script->tolerated = NO_MARKS;
	buf_puts(text, "SELECT count(*), coalesce(sum(storage), 0)::bigint FROM osbd.marks "
		       "WHERE name = of_database");
	return POSTGRESQL_RUN;
}

static enum postgresql_next next_marks(struct postgresql_script *script, struct buf *text)
{
	if (script->at++)
		return POSTGRESQL_END;
	script->tolerated = NO_MARKS;
	buf_puts(text, "SELECT name, name <> of_database AS is_user, CASE WHEN name <> of_database "
		       "THEN EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) "
		       "ELSE EXISTS (SELECT 1 FROM pg_database WHERE datname = name) END "
		       "FROM osbd.marks ORDER BY is_user DESC, name");
	return POSTGRESQL_RUN;
}

/* -- provision ----------------------------------------------------------------------------- */

/* Nothing is marked on a server that has no room: then there is no row, and no role is made. The
 * lock is held by the transaction, and what is read after it is what others have committed. */
static void put_mark(struct buf *text, const struct postgresql_op *op)
{
	const struct database_plan *plan = op->db.osb.plan->data;
	const char *d = op->db.database;

	buf_puts(text, DO "PERFORM pg_advisory_xact_lock(" ROOM_LOCK "); ");
	buf_printf(text,
		   "INSERT INTO osbd.marks (name, of_database, storage) SELECT '%s', '%s', %llu", d,
		   d, (unsigned long long)plan->storage);
	database_put_promised(text, &op->db, true);
	buf_printf(text,
		   "; IF FOUND THEN CREATE ROLE \"%s\" NOLOGIN; CREATE ROLE \"r%s\" NOLOGIN; "
		   "CREATE ROLE \"f%s\" NOLOGIN; GRANT \"%s\", \"r%s\", \"f%s\" TO CURRENT_USER; "
		   "END IF;" DONE,
		   d, d + 1, d + 1, d, d + 1, d + 1);
}

static enum postgresql_next create_database(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;
	int i;

	/* it is osbd's own: whoever owns it can lift its limits */
	buf_printf(text, "CREATE DATABASE \"%s\" TEMPLATE template0 ENCODING 'UTF8'",
		   op->db.database);
	for (i = 0; i < 2; i++) {
		buf_puts(text, i ? " LC_CTYPE " : " LC_COLLATE ");
		if (postgresql_put_text(script, text, plan->collation) < 0)
			return fail(script, 0, NULL, ERR_INVALID, "collation: not UTF-8");
	}
	/* nobody is let in before PUBLIC has lost its rights */
	buf_printf(text, " CONNECTION LIMIT %lld ALLOW_CONNECTIONS false",
		   limit(plan->all_connections));
	return POSTGRESQL_RUN;
}

/* What role makes is there for the others: for d…, too, unless it is d…'s own. */
static void put_default_rights(struct buf *text, const char *role, const char *d)
{
	static const char *const rights[][3] = {
		{ "TABLES", "ALL", "SELECT" },
		{ "SEQUENCES", "ALL", "SELECT" },
		{ "SCHEMAS", "ALL", "USAGE" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rights); i++) {
		if (strcmp(role, d) != 0)
			buf_printf(text,
				   "ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT %s ON %s TO "
				   "\"%s\"; ",
				   role, rights[i][1], rights[i][0], d);
		buf_printf(text,
			   "ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT %s ON %s TO "
			   "\"r%s\", \"f%s\"; ",
			   role, rights[i][2], rights[i][0], d + 1, d + 1);
	}
	buf_printf(text,
		   "ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT DELETE, TRUNCATE ON TABLES TO "
		   "\"f%s\"; ",
		   role, d + 1);
}

static enum postgresql_next next_provision(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const char *d = op->db.database;

	switch (script->at++) {
	case 0:
		script->tolerated = NO_MARKS;
		put_look(script, text);
		return POSTGRESQL_RUN;
	case 1:
		if (!*script->sqlstate) {
			looked(script);
			if (!op->marked && (op->there || op->roles_there))
				return somebody_elses(script, op->there ? "database" : "role", d);
			script->at = 5;
			if (op->marked && op->there)
				goto there;
			if (op->marked)
				return create_database(script, text);
			script->at = 3;
			put_mark(text, op);
			return POSTGRESQL_RUN;
		}
		script->tolerated = "23505 42P06"; /* another one makes it, too */
		buf_puts(text, "CREATE SCHEMA IF NOT EXISTS osbd");
		return POSTGRESQL_RUN;
	case 2:
		script->tolerated = "23505 42P07";
		buf_puts(text, "CREATE TABLE IF NOT EXISTS osbd.marks (name text PRIMARY KEY, "
			       "of_database text NOT NULL, storage bigint NOT NULL DEFAULT 0, "
			       "is_full boolean NOT NULL DEFAULT false, reader boolean NOT NULL "
			       "DEFAULT false, made timestamptz NOT NULL DEFAULT now(), "
			       "UNIQUE (of_database, name))");
		script->at = 0;
		return POSTGRESQL_RUN;
	case 3:
		buf_printf(text, "SELECT count(*) FROM osbd.marks WHERE name = '%s'", d);
		return POSTGRESQL_RUN;
	case 4:
		op->db.no_room = postgresql_number(script, 0, 0) == 0;
		if (op->db.no_room)
			return fail(script, 0, NULL, ERR_FULL, "server %.*s is full",
				    STR_ARG(op->db.server->name));
		return create_database(script, text);
	case 5:
	there: /* what is repeated changes nothing: from here on all is ours */
		buf_printf(text,
			   DO "REVOKE ALL ON DATABASE \"%s\" FROM PUBLIC; "
			      "GRANT ALL ON DATABASE \"%s\" TO \"%s\"; "
			      "GRANT CONNECT ON DATABASE \"%s\" TO \"r%s\", \"f%s\"; "
			      "ALTER DATABASE \"%s\" WITH ALLOW_CONNECTIONS true;" DONE,
			   d, d, d, d, d + 1, d + 1, d);
		script->at = 6;
		return POSTGRESQL_RUN;
	case 6:
		script->inside = d;
		buf_printf(text,
			   DO "ALTER SCHEMA public OWNER TO \"%s\"; "
			      "REVOKE CREATE ON SCHEMA public FROM PUBLIC; ",
			   d);
		put_default_rights(text, d, d);
		buf_puts(text, DONE);
		return POSTGRESQL_INSIDE;
	default:
		return POSTGRESQL_END;
	}
}

/* -- update -------------------------------------------------------------------------------- */

static void put_users(struct buf *text, const char *database)
{
	buf_printf(text,
		   "SELECT name FROM osbd.marks WHERE of_database = '%s' AND name <> of_database",
		   database);
}

/* Those that are more than the plan allows; the oldest stay. */
static void put_end_of_surplus(struct buf *text, const char *column, const char *name, int64_t max)
{
	buf_printf(
		text,
		"SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
		"WHERE %s = '%s' AND backend_type = 'client backend' AND usename <> session_user "
		"ORDER BY backend_start OFFSET %lld) AS surplus",
		column, name, (long long)max);
}

/* The users one after the other; then those of their sessions that are too many now. */
static enum postgresql_next next_user(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;
	const char *user;

	if (op->i >= op->list.rows)
		return POSTGRESQL_END;
	user = postgresql_cell(&op->list, op->i, 0);
	if (script->at == 10) {
		script->at = plan->connections ? 11 : 10;
		op->i += plan->connections == 0;
		buf_printf(text, "ALTER ROLE \"%s\" CONNECTION LIMIT %lld", user,
			   limit(plan->connections));
	} else {
		script->at = 10;
		op->i++;
		put_end_of_surplus(text, "usename", user, plan->connections);
	}
	return POSTGRESQL_RUN;
}

static enum postgresql_next too_small(struct postgresql_script *script, uint64_t bytes)
{
	const struct postgresql_op *op = op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;

	return fail(script, 400, "PlanTooSmall", ERR_FULL,
		    "the database holds %llu bytes, and the plan %.*s has room for %llu",
		    (unsigned long long)bytes, STR_ARG(op->db.osb.plan->name),
		    (unsigned long long)plan->storage);
}

static enum postgresql_next next_update(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data,
				   *before = op->db.osb.plan_before->data;
	uint64_t bytes;

	switch (script->at++) {
	case 0:
		put_look(script, text);
		return POSTGRESQL_RUN;
	case 1:
		looked(script);
		if (!op->there || !op->marked)
			return fail(script, 0, NULL, ERR_NOENT, "database %s is not there any more",
				    op->db.database);
		buf_printf(text, "SELECT pg_database_size('%s')", op->db.database);
		return POSTGRESQL_RUN;
	case 2:
		if (!str_to_u64(str_of(postgresql_cell(&script->result, 0, 0)), &bytes))
			return fail(script, 0, NULL, ERR_STORE,
				    "the server does not say what is used");
		if (plan->storage && bytes > plan->storage)
			return too_small(script, bytes);
		buf_puts(text, DO "PERFORM pg_advisory_xact_lock(" ROOM_LOCK "); ");
		buf_printf(text, "UPDATE osbd.marks SET storage = %llu WHERE name = '%s'",
			   (unsigned long long)plan->storage, op->db.database);
		if (plan->storage > before->storage) { /* what it had before is kept */
			buf_puts(text, " AND EXISTS (SELECT 1");
			database_put_promised(text, &op->db, false);
			buf_putc(text, ')');
		}
		buf_puts(text, ";" DONE);
		return POSTGRESQL_RUN;
	case 3:
		buf_printf(text,
			   "SELECT count(*) FROM osbd.marks WHERE name = '%s' AND storage = %llu",
			   op->db.database, (unsigned long long)plan->storage);
		return POSTGRESQL_RUN;
	case 4:
		if (!postgresql_number(script, 0, 0))
			return fail(script, 400, "NoRoom", ERR_FULL,
				    "the server %.*s has no room for plan %.*s",
				    STR_ARG(op->db.server->name), STR_ARG(op->db.osb.plan->name));
		buf_printf(text, "ALTER DATABASE \"%s\" WITH CONNECTION LIMIT %lld",
			   op->db.database, limit(plan->all_connections));
		return POSTGRESQL_RUN;
	case 5:
		put_users(text, op->db.database);
		return POSTGRESQL_RUN;
	case 6:
		op->list = script->result;
		op->i = 0;
		script->at = 10;
		if (plan->all_connections) {
			put_end_of_surplus(text, "datname", op->db.database, plan->all_connections);
			return POSTGRESQL_RUN;
		}
		return next_user(script, text);
	default:
		script->at--;
		return next_user(script, text);
	}
}

/* -- bind, unbind ------------------------------------------------------------------------- */

enum op_verdict postgresql_make_verifier(struct op *flow)
{
	struct str verifier;

	if (pg_scram(&flow->arena, database_password(osb_op_of(flow)), NULL, &verifier) < 0)
		return op_fail(flow, ERR_UNSUPPORTED, "no SCRAM-SHA-256");
	json_set_str(&flow->arena, flow->memo, "verifier", verifier);
	return OP_NEXT;
}

/* Ours must not be the one connection too many while it works inside. */
static void put_limit(struct buf *text, const struct postgresql_op *op, bool lifted)
{
	const struct database_plan *plan = op->db.osb.plan ? op->db.osb.plan->data : NULL;

	if (plan && plan->all_connections && op->there)
		buf_printf(text, "ALTER DATABASE \"%s\" WITH CONNECTION LIMIT %lld; ",
			   op->db.database, lifted ? -1LL : limit(plan->all_connections));
}

/* A user that is there is ours, and gets all that a new one gets. */
static enum postgresql_next make_user(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;
	struct str verifier = json_str(json_get(op->db.osb.job.op.memo, "verifier"));
	bool reader = database_reader(&op->db.osb);
	const char *d = op->db.database, *u = op->db.user;

	buf_puts(text, DO);
	if (!reader)
		put_limit(text, op, true);
	if (!op->user_marked)
		buf_printf(text,
			   "INSERT INTO osbd.marks (name, of_database, reader, is_full) VALUES "
			   "('%s', '%s', %s, %s); ",
			   u, d, reader ? "true" : "false", op->full ? "true" : "false");
	if (!op->user_there)
		buf_printf(text, "CREATE ROLE \"%s\"; ", u);
	buf_printf(text, "ALTER ROLE \"%s\" LOGIN CONNECTION LIMIT %lld PASSWORD ", u,
		   limit(plan->connections));
	if (postgresql_put_text(script, text, verifier) < 0)
		return fail(script, 0, NULL, ERR_INVALID, "no verifier");
	buf_printf(text, "; GRANT \"%s\" TO CURRENT_USER; ", u);
	if (reader)
		buf_printf(text,
			   "GRANT \"r%s\" TO \"%s\"; ALTER ROLE \"%s\" IN DATABASE \"%s\" SET "
			   "default_transaction_read_only = on;",
			   d + 1, u, u, d);
	else if (op->full) /* who measures gives it the rest */
		buf_printf(text, "GRANT \"f%s\" TO \"%s\";", d + 1, u);
	else
		buf_printf(text,
			   "GRANT \"%s\" TO \"%s\"; ALTER ROLE \"%s\" IN DATABASE \"%s\" SET role "
			   "= '%s';",
			   d, u, u, d, d);
	buf_puts(text, DONE);
	return POSTGRESQL_RUN;
}

static enum postgresql_next next_bind(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);

	switch (script->at++) {
	case 0:
		script->tolerated = NO_MARKS;
		put_look(script, text);
		return POSTGRESQL_RUN;
	case 1:
		looked(script);
		if (*script->sqlstate || !op->there || !op->marked)
			return fail(script, 0, NULL, ERR_NOENT, "database %s is not there any more",
				    op->db.database);
		if (op->user_there && !op->user_marked)
			return somebody_elses(script, "role", op->db.user);
		return make_user(script, text);
	case 2:
		if (database_reader(&op->db.osb))
			return POSTGRESQL_END;
		/* what it makes as itself, after SET ROLE NONE, is there for the others, too */
		script->inside = op->db.database;
		buf_puts(text, DO);
		put_default_rights(text, op->db.user, op->db.database);
		buf_puts(text, DONE);
		return POSTGRESQL_INSIDE;
	case 3:
		if (!((const struct database_plan *)op->db.osb.plan->data)->all_connections)
			return POSTGRESQL_END;
		buf_puts(text, DO);
		put_limit(text, op, false);
		buf_puts(text, DONE);
		return POSTGRESQL_RUN;
	default:
		return POSTGRESQL_END;
	}
}

bool postgresql_end_sessions(struct postgresql_script *script, struct buf *text, const char *user,
			     const char *database, int first)
{
	if (script->at > first && !postgresql_number(script, 0, 0))
		return false;
	script->at = first + 1;
	/* of a user that is gone, only its number is left */
	buf_printf(text,
		   "SELECT count(pg_sleep(0.01)) FROM (SELECT pg_terminate_backend(pid) FROM "
		   "pg_stat_activity WHERE usename = '%s' OR (datname = '%s' AND usesysid IS NOT "
		   "NULL AND usename IS NULL)) AS ended",
		   user, database);
	return true;
}

/* In which databases a user, or the roles of a database, have something of their own. */
static void put_where(struct buf *text, const char *name)
{
	buf_puts(text, "SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON "
		       "d.oid = s.dbid JOIN pg_roles r ON r.oid = s.refobjid WHERE "
		       "s.refclassid = 'pg_authid'::regclass AND r.rolname IN (");
	if (*name == 'd')
		buf_printf(text, "'r%s', 'f%s', ", name + 1, name + 1);
	buf_printf(text, "'%s')", name);
}

static enum postgresql_next next_unbind(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const char *d = op->db.database, *u = op->db.user;

	switch (script->at) {
	case 0:
		script->at++;
		script->tolerated = NO_MARKS;
		put_look(script, text);
		return POSTGRESQL_RUN;
	case 1:
		looked(script);
		if (*script->sqlstate)
			return POSTGRESQL_END;
		script->at = 6;
		if (!op->user_marked || !op->user_there)
			return next_unbind(script, text);
		script->at = 2;
		buf_puts(text, DO);
		put_limit(text, op, true);
		buf_printf(text, "ALTER ROLE \"%s\" NOLOGIN; GRANT \"%s\" TO CURRENT_USER;" DONE, u,
			   u);
		return POSTGRESQL_RUN;
	case 2:
	case 3:
		if (postgresql_end_sessions(script, text, u, d, 2))
			return POSTGRESQL_RUN;
		script->at = 4;
		put_where(text, u);
		return POSTGRESQL_RUN;
	case 4:
		op->list = script->result;
		op->i = 0;
		script->at = 5;
		/* fall through */
	case 5:
		if (op->i < op->list.rows) {
			script->inside = postgresql_cell(&op->list, op->i++, 0);
			buf_puts(text, DO);
			/* what a user made in its own database stays, and is the owner's */
			if (strcmp(script->inside, d) == 0)
				buf_printf(text, "REASSIGN OWNED BY \"%s\" TO \"%s\"; ", u, d);
			buf_printf(text, "DROP OWNED BY \"%s\";" DONE, u);
			return POSTGRESQL_INSIDE;
		}
		/* fall through */
	case 6:
		script->at = 7;
		if (op->user_marked) {
			buf_puts(text, DO);
			put_limit(text, op, false);
			buf_printf(text,
				   "DROP ROLE IF EXISTS \"%s\"; "
				   "DELETE FROM osbd.marks WHERE name = '%s';" DONE,
				   u, u);
			return POSTGRESQL_RUN;
		}
		/* fall through */
	case 7: /* whoever was about to log in */
	case 8:
		if (postgresql_end_sessions(script, text, u, d, 7))
			return POSTGRESQL_RUN;
		/* fall through */
	default:
		return POSTGRESQL_END;
	}
}

static enum postgresql_next next_remove(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);

	if (script->at++ == 0) {
		buf_printf(text, "SELECT of_database FROM osbd.marks WHERE name = '%s'",
			   op->db.user);
		return POSTGRESQL_RUN;
	}
	snprintf(op->db.database, sizeof(op->db.database), "%s",
		 postgresql_cell(&script->result, 0, 0));
	script->at = 0;
	script->next = next_unbind;
	return next_unbind(script, text);
}

/* -- deprovision --------------------------------------------------------------------------- */

/* The next user that a binding has left, as its unbind would do. */
static enum postgresql_next drop_users(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	enum postgresql_next where;

	for (;;) {
		if (op->in_user) {
			where = next_unbind(script, text);
			if (where != POSTGRESQL_END)
				return where;
			op->in_user = false;
			op->n_users_done++;
		}
		if (op->n_users_done >= op->users.rows)
			return POSTGRESQL_END;
		snprintf(op->db.user, sizeof(op->db.user), "%s",
			 postgresql_cell(&op->users, op->n_users_done, 0));
		op->in_user = true;
		script->at = 0;
	}
}

static enum postgresql_next next_deprovision(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = op_of(script);
	const char *d = op->db.database;
	enum postgresql_next where;

	if (op->in_user) {
		where = drop_users(script, text);
		if (where != POSTGRESQL_END)
			return where;
		script->at = 3;
	}
	switch (script->at) {
	case 0:
		script->at++;
		script->tolerated = NO_MARKS;
		put_look(script, text);
		return POSTGRESQL_RUN;
	case 1:
		looked(script);
		if (*script->sqlstate || !op->marked)
			return POSTGRESQL_END;
		script->at++;
		put_users(text, d);
		return POSTGRESQL_RUN;
	case 2:
		op->users = script->result;
		op->n_users_done = 0;
		where = drop_users(script, text);
		if (where != POSTGRESQL_END)
			return where;
		/* fall through */
	case 3: /* whoever comes meanwhile waits for the end of it, and finds nothing */
		script->at = 5;
		buf_printf(text, "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)", d);
		return POSTGRESQL_RUN;
	case 5:
		script->at = 6;
		put_where(text, d);
		return POSTGRESQL_RUN;
	case 6:
		op->list = script->result;
		op->i = 0;
		script->at = 7;
		/* fall through */
	case 7:
		if (op->i < op->list.rows) {
			script->inside = postgresql_cell(&op->list, op->i++, 0);
			buf_printf(text, "DROP OWNED BY \"%s\", \"r%s\", \"f%s\"", d, d + 1, d + 1);
			return POSTGRESQL_INSIDE;
		}
		script->at = 8;
		buf_printf(text,
			   DO "DROP ROLE IF EXISTS \"%s\", \"r%s\", \"f%s\"; "
			      "DELETE FROM osbd.marks WHERE name = '%s';" DONE,
			   d, d + 1, d + 1, d);
		return POSTGRESQL_RUN;
	default:
		return POSTGRESQL_END;
	}
}

enum postgresql_next (*const postgresql_next[])(struct postgresql_script *script,
						struct buf *text) = {
	[DATABASE_ROOM] = next_room,
	[DATABASE_MARKS] = next_marks,
	[DATABASE_PROVISION] = next_provision,
	[DATABASE_UPDATE] = next_update,
	[DATABASE_DEPROVISION] = next_deprovision,
	[DATABASE_BIND] = next_bind,
	[DATABASE_UNBIND] = next_unbind,
	[DATABASE_REMOVE] = next_remove,
};
