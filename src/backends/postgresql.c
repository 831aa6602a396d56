/* Each verb is one script (backends/postgresql_script), which looks before it does anything, so
 * that it may be run again from its start after a crash at any statement:
 *
 *   provision    table of marks, look, mark, roles, CREATE DATABASE, rights on it, rights inside
 *   update       look how much is used, limits of the database and of all users
 *   deprovision  look, users that are left, DROP DATABASE, roles, unmark
 *   bind         look, mark, CREATE ROLE, memberships, rights inside, password and LOGIN
 *   unbind       look, NOLOGIN, end sessions, hand over inside, DROP ROLE, end sessions, unmark
 *
 * Password and verifier are in the memo before the server hears of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql.h"

#include "backends/postgresql_op.h"
#include "core/digest.h"
#include "sql/pg_scram.h"

#include <stdio.h>

#define PASSWORD_SIZE 33

static int open_backend(const struct backend_env *env, struct offering *offering,
			struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	int rc = postgresql_open(env, offering, arena, out, errors);

	(*out)->type = &backend_postgresql;
	return rc;
}

static int postgresql_check(struct backend *backend, const struct backend_request *request,
			    struct err *err)
{
	const struct json_member *m;

	(void)backend;
	json_each_member(m, request->parameters) {
		if (request->verb != STORE_BIND || !str_is(m->key, "read_only"))
			return err_set(err, ERR_INVALID, "there is no parameter %.*s",
				       STR_ARG(m->key));
		if (!json_is_bool(m->value))
			return err_set(err, ERR_INVALID, "read_only must be true or false");
	}
	return 0;
}

/* -- provision, update -------------------------------------------------------------------- */

static enum postgresql_next create_database(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);
	const struct postgresql *pg = container_of(op->osb.backend, struct postgresql, base);
	const struct postgresql_plan *plan = op->osb.plan->data;
	int i;

	buf_printf(text, "CREATE DATABASE \"%s\" OWNER \"%s\" TEMPLATE template0 ENCODING 'UTF8'",
		   op->database, op->database);
	for (i = 0; i < 2; i++) {
		buf_puts(text, i ? " LC_CTYPE " : " LC_COLLATE ");
		if (postgresql_put_text(script, text, pg->config.collation) < 0)
			return postgresql_fail(script, 0, ERR_INVALID, "collation: not UTF-8");
	}
	/* nobody is let in before PUBLIC has lost its rights */
	buf_printf(text, " CONNECTION LIMIT %lld ALLOW_CONNECTIONS false",
		   postgresql_limit(plan->database_connections));
	return POSTGRESQL_RUN;
}

/* What is repeated changes nothing: from here on all is ours. */
static enum postgresql_next set_up_database(struct postgresql_script *script, struct buf *text,
					    int at)
{
	struct postgresql_op *op = postgresql_op_of(script);
	const char *d = op->database, *r = op->reader;

	switch (at) {
	case 0:
		buf_printf(text, "REVOKE ALL ON DATABASE \"%s\" FROM PUBLIC", d);
		return POSTGRESQL_RUN;
	case 1:
		buf_printf(text, "GRANT CONNECT ON DATABASE \"%s\" TO \"%s\"", d, r);
		return POSTGRESQL_RUN;
	case 2:
		buf_printf(text, "ALTER DATABASE \"%s\" WITH ALLOW_CONNECTIONS true", d);
		return POSTGRESQL_RUN;
	case 3:
		script->inside = d;
		buf_printf(text, "ALTER SCHEMA public OWNER TO \"%s\"", d);
		return POSTGRESQL_INSIDE;
	case 4:
		buf_puts(text, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
		return POSTGRESQL_INSIDE;
	case 5:
		buf_printf(
			text,
			"ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT SELECT ON TABLES TO \"%s\"",
			d, r);
		return POSTGRESQL_INSIDE;
	case 6:
		buf_printf(text,
			   "ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT SELECT ON SEQUENCES "
			   "TO \"%s\"",
			   d, r);
		return POSTGRESQL_INSIDE;
	case 7:
		buf_printf(
			text,
			"ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT USAGE ON SCHEMAS TO \"%s\"",
			d, r);
		return POSTGRESQL_INSIDE;
	default:
		return POSTGRESQL_END;
	}
}

static enum postgresql_next next_provision(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);

	switch (script->at++) {
	case 0:
		buf_puts(text, "SELECT count(to_regclass('osbd.marks'))");
		return POSTGRESQL_RUN;
	case 1:
		if (postgresql_counts(script, 0)) {
			script->at = 3;
			postgresql_put_look(text, op->database, op->reader);
			return POSTGRESQL_RUN;
		}
		script->tolerated = "23505 42P06"; /* another one makes it, too */
		buf_puts(text, "CREATE SCHEMA IF NOT EXISTS osbd");
		return POSTGRESQL_RUN;
	case 2:
		script->tolerated = "23505 42P07";
		buf_puts(text, "CREATE TABLE IF NOT EXISTS osbd.marks (name text PRIMARY KEY, "
			       "of_database text NOT NULL, made timestamptz NOT NULL DEFAULT "
			       "now(), UNIQUE (of_database, name))");
		script->at = 0;
		return POSTGRESQL_RUN;
	case 3:
		postgresql_looked(script);
		return postgresql_mark(script, text, op->database);
	case 4:
		script->tolerated = "42710"; /* from an earlier run */
		buf_printf(text, "CREATE ROLE \"%s\" NOLOGIN", op->database);
		return POSTGRESQL_RUN;
	case 5:
		script->tolerated = "42710";
		buf_printf(text, "CREATE ROLE \"%s\" NOLOGIN", op->reader);
		return POSTGRESQL_RUN;
	case 6:
		buf_printf(text, "GRANT \"%s\" TO CURRENT_USER", op->database);
		return POSTGRESQL_RUN;
	case 7:
		if (!op->there)
			return create_database(script, text);
		script->at++;
		/* fall through */
	default:
		return set_up_database(script, text, script->at - 9);
	}
}

static void put_users(struct buf *text, const char *database)
{
	buf_printf(text,
		   "SELECT name FROM osbd.marks WHERE of_database = '%s' AND name <> of_database",
		   database);
}

static enum postgresql_next next_update(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);
	const struct postgresql_plan *plan = op->osb.plan->data;
	uint64_t bytes;

	switch (script->at) {
	case 0:
		script->at++;
		buf_printf(text, "SELECT pg_database_size('%s')", op->database);
		return POSTGRESQL_RUN;
	case 1:
		script->at++;
		if (!str_to_u64(str_of(postgresql_cell(&script->result, 0, 0)), &bytes))
			return postgresql_fail(script, 0, ERR_STORE,
					       "the server does not say what is used");
		if (plan->storage && bytes > plan->storage)
			return postgresql_fail(
				script, 400, ERR_FULL,
				"the database takes %llu bytes, and the plan %.*s has room for "
				"%llu",
				(unsigned long long)bytes, STR_ARG(op->osb.plan->name),
				(unsigned long long)plan->storage);
		buf_printf(text, "ALTER DATABASE \"%s\" WITH CONNECTION LIMIT %lld", op->database,
			   postgresql_limit(plan->database_connections));
		return POSTGRESQL_RUN;
	case 2:
		script->at++;
		put_users(text, op->database);
		return POSTGRESQL_RUN;
	case 3:
		script->at++;
		op->list = script->result;
		op->i = 0;
		break;
	default:
		break;
	}
	if (op->i >= op->list.rows)
		return POSTGRESQL_END;
	script->tolerated = "42704"; /* marked, and not made yet */
	buf_printf(text, "ALTER ROLE \"%s\" CONNECTION LIMIT %lld",
		   postgresql_cell(&op->list, op->i++, 0), postgresql_limit(plan->connections));
	return POSTGRESQL_RUN;
}

/* -- bind, unbind ------------------------------------------------------------------------- */

static enum postgresql_next next_bind(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);
	const struct postgresql_plan *plan = op->osb.plan->data;
	bool read_only = json_bool_value(json_get(op->osb.parameters, "read_only"));
	struct str verifier;

	switch (script->at++) {
	case 0:
		postgresql_put_look(text, op->database, op->reader);
		return POSTGRESQL_RUN;
	case 1:
		postgresql_looked(script);
		if (!op->there || !op->marked)
			return postgresql_fail(script, 0, ERR_NOENT,
					       "database %s is not there any more", op->database);
		postgresql_put_look(text, op->user, op->user);
		return POSTGRESQL_RUN;
	case 2:
		postgresql_looked(script);
		return postgresql_mark(script, text, op->user);
	case 3:
		if (!op->role_there) {
			buf_printf(text, "CREATE ROLE \"%s\" NOLOGIN", op->user);
			return POSTGRESQL_RUN;
		}
		script->at++;
		/* fall through */
	case 4:
		buf_printf(text, "GRANT \"%s\" TO CURRENT_USER", op->user);
		script->at = 5;
		return POSTGRESQL_RUN;
	case 5:
		buf_printf(text, "GRANT \"%s\" TO \"%s\"", read_only ? op->reader : op->database,
			   op->user);
		return POSTGRESQL_RUN;
	case 6:
		if (read_only)
			buf_printf(text,
				   "ALTER ROLE \"%s\" IN DATABASE \"%s\" SET "
				   "default_transaction_read_only = on",
				   op->user, op->database);
		else
			buf_printf(text, "ALTER ROLE \"%s\" IN DATABASE \"%s\" SET role = '%s'",
				   op->user, op->database, op->database);
		return POSTGRESQL_RUN;
	/* What it makes as itself, after SET ROLE NONE, is there for the others, too. */
	case 7:
	case 8:
	case 9:
	case 10:
	case 11:
		if (!read_only) {
			static const char *const rights[][2] = {
				{ "ALL ON TABLES", "d" },    { "ALL ON SEQUENCES", "d" },
				{ "ALL ON SCHEMAS", "d" },   { "SELECT ON TABLES", "r" },
				{ "USAGE ON SCHEMAS", "r" },
			};
			const char *const *right = rights[script->at - 8];

			script->inside = op->database;
			buf_printf(
				text, "ALTER DEFAULT PRIVILEGES FOR ROLE \"%s\" GRANT %s TO \"%s\"",
				op->user, right[0], *right[1] == 'd' ? op->database : op->reader);
			return POSTGRESQL_INSIDE;
		}
		script->at = 12;
		/* fall through */
	case 12:
		script->at = 13;
		verifier = json_str(json_get(op->osb.job.op.memo, "verifier"));
		buf_printf(text, "ALTER ROLE \"%s\" LOGIN CONNECTION LIMIT %lld PASSWORD ",
			   op->user, postgresql_limit(plan->connections));
		if (postgresql_put_text(script, text, verifier) < 0)
			return postgresql_fail(script, 0, ERR_INVALID, "no verifier");
		return POSTGRESQL_RUN;
	default:
		return POSTGRESQL_END;
	}
}

/* Ends sessions, waits a little, looks again. True: text has a statement. */
static bool put_end_of_sessions(struct postgresql_script *script, struct buf *text, int first)
{
	struct postgresql_op *op = postgresql_op_of(script);

	if (script->at > first && !postgresql_counts(script, 0))
		return false;
	script->at = first + 1;
	/* of a user that is gone, only its number is left */
	buf_printf(text,
		   "SELECT count(pg_sleep(0.01)) FROM (SELECT pg_terminate_backend(pid) FROM "
		   "pg_stat_activity WHERE usename = '%s' OR (datname = '%s' AND usesysid IS NOT "
		   "NULL AND usename IS NULL)) ended",
		   op->user, op->database);
	return true;
}

static enum postgresql_next next_unbind(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);
	enum postgresql_next where;

	switch (script->at) {
	case 0:
		script->at++;
		script->tolerated = "42P01 3F000";
		postgresql_put_look(text, op->user, op->user);
		return POSTGRESQL_RUN;
	case 1:
		postgresql_looked(script);
		if (*script->sqlstate || !op->marked)
			return POSTGRESQL_END;
		if (!op->role_there) {
			script->at = 6;
			return next_unbind(script, text);
		}
		script->at++;
		buf_printf(text, "ALTER ROLE \"%s\" NOLOGIN", op->user);
		return POSTGRESQL_RUN;
	case 2:
		script->at++;
		buf_printf(text, "GRANT \"%s\" TO CURRENT_USER", op->user);
		return POSTGRESQL_RUN;
	case 3:
	case 4:
		if (put_end_of_sessions(script, text, 3))
			return POSTGRESQL_RUN;
		op->sub = 0;
		script->at = 5;
		/* fall through */
	case 5:
		where = postgresql_drop_role(script, text, op->user);
		if (where != POSTGRESQL_END)
			return where;
		script->at = 6;
		/* fall through */
	case 6: /* whoever was about to log in */
	case 7:
		if (put_end_of_sessions(script, text, 6))
			return POSTGRESQL_RUN;
		script->at = 8;
		buf_printf(text, "DELETE FROM osbd.marks WHERE name = '%s'", op->user);
		return POSTGRESQL_RUN;
	default:
		return POSTGRESQL_END;
	}
}

/* -- deprovision -------------------------------------------------------------------------- */

/* The next user that a binding has left, as its unbind would do. */
static enum postgresql_next drop_users(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);
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
		snprintf(op->user, sizeof(op->user), "%s",
			 postgresql_cell(&op->users, op->n_users_done, 0));
		op->in_user = true;
		script->at = 0;
	}
}

static enum postgresql_next next_deprovision(struct postgresql_script *script, struct buf *text)
{
	struct postgresql_op *op = postgresql_op_of(script);
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
		script->tolerated = "42P01 3F000"; /* nothing was ever made here */
		postgresql_put_look(text, op->database, op->reader);
		return POSTGRESQL_RUN;
	case 1:
		postgresql_looked(script);
		if (*script->sqlstate || !op->marked)
			return POSTGRESQL_END;
		script->at++;
		put_users(text, op->database);
		return POSTGRESQL_RUN;
	case 2:
		op->users = script->result;
		op->n_users_done = 0;
		where = drop_users(script, text);
		if (where != POSTGRESQL_END)
			return where;
		script->at = 3;
		/* fall through */
	case 3:
		script->at++;
		script->tolerated = "3D000 55000"; /* none, or an earlier DROP was cut off */
		buf_printf(text, "ALTER DATABASE \"%s\" WITH ALLOW_CONNECTIONS false",
			   op->database);
		return POSTGRESQL_RUN;
	case 4:
		script->at = 5;
		buf_printf(text, "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)", op->database);
		return POSTGRESQL_RUN;
	case 5:
		script->at++;
		op->sub = 0;
		/* fall through */
	case 6:
		where = postgresql_drop_role(script, text, op->reader);
		if (where != POSTGRESQL_END)
			return where;
		script->at++;
		op->sub = 0;
		/* fall through */
	case 7:
		where = postgresql_drop_role(script, text, op->database);
		if (where != POSTGRESQL_END)
			return where;
		script->at++;
		buf_printf(text, "DELETE FROM osbd.marks WHERE name = '%s'", op->database);
		return POSTGRESQL_RUN;
	default:
		return POSTGRESQL_END;
	}
}

/* -- steps -------------------------------------------------------------------------------- */

static enum op_verdict prepare(struct op *flow)
{
	char password[PASSWORD_SIZE];
	struct str verifier;

	random_id(password, sizeof(password) - 1); /* 165 bits */
	if (pg_scram(&flow->arena, str_of(password), NULL, &verifier) < 0)
		return op_fail(flow, ERR_UNSUPPORTED, "no SCRAM-SHA-256");
	json_set_cstr(&flow->arena, flow->memo, "password", password);
	json_set_str(&flow->arena, flow->memo, "verifier", verifier);
	mem_wipe(password, sizeof(password));
	return OP_NEXT;
}

static enum op_verdict ask(struct op *flow, bool binding,
			   enum postgresql_next (*next)(struct postgresql_script *, struct buf *))
{
	struct osb_op *osb = osb_op_of(flow);
	struct postgresql_op *op = container_of(osb, struct postgresql_op, osb);
	struct postgresql *pg = container_of(osb->backend, struct postgresql, base);

	postgresql_derive(osb, false, op->database);
	postgresql_derive(osb, true, op->user);
	snprintf(op->reader, sizeof(op->reader), "r%s", op->database + 1);
	op->http = 0;
	op->in_user = false;
	op->script.loop = flow->loop;
	op->script.server = &pg->server;
	op->script.arena = &flow->arena;
	op->script.lock = binding ? op->user : op->database;
	op->script.next = next;
	op_call(flow, &op->script.call);
	if (postgresql_script_start(&op->script) < 0)
		return op_fail(flow, ERR_INVALID, "cannot start");
	return OP_WAIT;
}

static enum op_verdict taken(struct op *flow, int status)
{
	struct osb_op *osb = osb_op_of(flow);
	struct postgresql_op *op = container_of(osb, struct postgresql_op, osb);

	if (status == 0)
		return OP_NEXT;
	if (op->script.again) {
		snprintf(flow->progress, sizeof(flow->progress), "%.200s", op->script.err.text);
		return OP_AGAIN;
	}
	if (op->http)
		return osb_fail(osb, op->http, "PlanTooSmall", 0, "%s", op->script.err.text);
	return op_fail(flow, status, "%s", op->script.err.text);
}

static enum op_verdict ask_provision(struct op *flow)
{
	return ask(flow, false, next_provision);
}

static enum op_verdict ask_update(struct op *flow)
{
	return ask(flow, false, next_update);
}

static enum op_verdict ask_deprovision(struct op *flow)
{
	return ask(flow, false, next_deprovision);
}

static enum op_verdict ask_bind(struct op *flow)
{
	return ask(flow, true, next_bind);
}

static enum op_verdict ask_unbind(struct op *flow)
{
	return ask(flow, true, next_unbind);
}

static enum op_verdict hand_out(struct op *flow)
{
	struct osb_op *osb = osb_op_of(flow);
	const struct postgresql *pg = container_of(osb->backend, struct postgresql, base);
	struct arena *arena = &flow->arena;
	struct json *credentials = json_object(arena);
	struct str password = json_str(json_get(flow->memo, "password"));
	char database[POSTGRESQL_NAME], user[POSTGRESQL_NAME];
	const char *at, *options;

	postgresql_derive(osb, false, database);
	postgresql_derive(osb, true, user);
	postgresql_put_server(pg, arena, credentials, &at, &options);
	json_set_cstr(arena, credentials, "name", database);
	json_set_cstr(arena, credentials, "database", database);
	json_set_cstr(arena, credentials, "username", user);
	json_set_str(arena, credentials, "password", password);
	json_set_cstr(arena, credentials, "uri",
		      arena_printf(arena, "postgresql://%s:%.*s@%s/%s%s", user, STR_ARG(password),
				   at, database, options));
	json_set_cstr(arena, credentials, "jdbcUrl",
		      arena_printf(arena, "jdbc:postgresql://%s/%s?user=%s&password=%.*s%s%s", at,
				   database, user, STR_ARG(password), *options ? "&" : "",
				   *options ? options + 1 : ""));
	osb_set_credentials(osb, credentials);
	return OP_NEXT;
}

#define WITHIN SEC(40), SEC(1)

static const struct op_step provision_steps[] = {
	{ "create", ask_provision, taken, WITHIN },
	{ 0 },
};

static const struct op_step update_steps[] = {
	{ "alter", ask_update, taken, WITHIN },
	{ 0 },
};

static const struct op_step deprovision_steps[] = {
	{ "drop", ask_deprovision, taken, WITHIN },
	{ 0 },
};

static const struct op_step bind_steps[] = {
	{ "prepare", prepare, NULL, 0, 0 },
	{ "create", ask_bind, taken, WITHIN },
	{ "hand_out", hand_out, NULL, 0, 0 },
	{ 0 },
};

static const struct op_step unbind_steps[] = {
	{ "drop", ask_unbind, taken, WITHIN },
	{ 0 },
};

#define VERB(steps_)                                                                 \
	{                                                                            \
		.steps = steps_, .size = sizeof(struct postgresql_op), .quick = true \
	}

const struct backend_type backend_postgresql = {
	.name = "postgresql",
	.doc = "makes databases and users on a PostgreSQL server",
	.service_rows = postgresql_service_rows,
	.plan_rows = postgresql_plan_rows,
	.open = open_backend,
	.close = postgresql_close,
	.check = postgresql_check,
	.verb = {
		[STORE_PROVISION] = VERB(provision_steps),
		[STORE_UPDATE] = VERB(update_steps),
		[STORE_DEPROVISION] = VERB(deprovision_steps),
		[STORE_BIND] = VERB(bind_steps),
		[STORE_UNBIND] = VERB(unbind_steps),
		[STORE_EXPIRE] = VERB(unbind_steps),
	},
};
