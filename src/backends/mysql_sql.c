/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/mysql_sql.h"

#include "core/digest.h"

#include <mbedtls/sha1.h>
#include <mysqld_error.h>
#include <stdio.h>

#define HASH_SIZE 42
#define ROOM_LOCK "osbd.room"
#define DEFINERS 20 /* a script's at: are there any? */

static struct mysql_op *mysql_op_of(struct mysql_script *script)
{
	return container_of(script, struct mysql_op, script);
}

/* What mysql_native_password keeps of a password: SHA-1 of its SHA-1. */
static int hash(struct str password, char out[HASH_SIZE])
{
	unsigned char digest[20];
	size_t i;

	if (mbedtls_sha1((const unsigned char *)password.p, password.n, digest) != 0 ||
	    mbedtls_sha1(digest, sizeof(digest), digest) != 0)
		return ERR_UNSUPPORTED;
	out[0] = '*';
	for (i = 0; i < sizeof(digest); i++)
		snprintf(out + 1 + 2 * i, 3, "%02X", digest[i]);
	mem_wipe(digest, sizeof(digest));
	return 0;
}

/* -- what all scripts do ------------------------------------------------------------------ */

const char *mysql_cell(const struct mysql_script *script, size_t row, size_t col)
{
	const struct my_result *result = &script->request.result;
	struct str s = { 0 };

	if (row < result->rows)
		s = my_cell(result, row, col);
	return s.p ? s.p : "";
}

uint64_t mysql_number(const struct mysql_script *script, size_t row, size_t col)
{
	uint64_t n;

	return str_to_u64(str_of(mysql_cell(script, row, col)), &n) ? n : 0;
}

static enum mysql_next fail(struct mysql_script *script, int http, const char *name, int code,
			    const char *fmt, ...) PRINTF_LIKE(5, 6);
static enum mysql_next fail(struct mysql_script *script, int http, const char *name, int code,
			    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(&script->err, code, fmt, ap);
	va_end(ap);
	mysql_op_of(script)->db.http = http;
	mysql_op_of(script)->db.code = name;
	return MYSQL_FAIL;
}

static enum mysql_next no_name(struct mysql_script *script)
{
	return fail(script, 0, NULL, ERR_INVALID, "no name");
}

/* Is there one of that name, and is it ours? */
static void put_look(struct mysql_script *script, struct buf *text, bool user)
{
	const struct mysql_op *op = mysql_op_of(script);
	const char *name = user ? op->db.user : op->db.database;

	buf_printf(text,
		   "SELECT COUNT(*), (SELECT COUNT(*) FROM osbd.marks WHERE name = '%s'), "
		   "(SELECT COUNT(*) FROM osbd.marks WHERE name = '%s' AND is_full), "
		   "(SELECT COUNT(*) FROM osbd.marks WHERE name = '%s' AND definer)",
		   name, op->db.database, name);
	if (user)
		buf_printf(text, " FROM mysql.user WHERE User = '%s'", name);
	else
		buf_printf(text, " FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '%s'",
			   name);
}

/* After put_look(). */
static void looked(struct mysql_script *script)
{
	struct mysql_op *op = mysql_op_of(script);

	op->there = mysql_number(script, 0, 0);
	op->marked = mysql_number(script, 0, 1);
	op->full = mysql_number(script, 0, 2);
	op->left = mysql_number(script, 0, 3);
}

static bool nobodys(const struct mysql_op *op)
{
	return !op->there || op->marked;
}

static enum mysql_next somebody_elses(struct mysql_script *script, const char *what,
				      const char *name)
{
	return fail(script, 0, NULL, ERR_EXISTS, "%s %s is there, and osbd has not made it", what,
		    name);
}

/* -- room ---------------------------------------------------------------------------------- */

static enum mysql_next next_room(struct mysql_script *script, struct buf *text)
{
	if (script->at++)
		return MYSQL_END;
	script->tolerated = ER_NO_SUCH_TABLE; /* nothing was ever made there */
	buf_puts(text, "SELECT COUNT(*), COALESCE(SUM(storage), 0) FROM osbd.marks "
		       "WHERE name = of_database");
	return MYSQL_RUN;
}

static enum mysql_next next_marks(struct mysql_script *script, struct buf *text)
{
	if (script->at++)
		return MYSQL_END;
	script->tolerated = ER_NO_SUCH_TABLE; /* nothing was ever made there */
	buf_puts(text,
		 "SELECT name, name <> of_database AS is_user, IF(name <> of_database, "
		 "EXISTS (SELECT 1 FROM mysql.user WHERE User = name), "
		 "EXISTS (SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = name)) "
		 "FROM osbd.marks WHERE NOT definer ORDER BY is_user DESC, name");
	return MYSQL_RUN;
}

static bool has_limit(const struct database_server *server)
{
	return server->databases || server->storage;
}

static void put_room_lock(struct buf *text)
{
	buf_puts(text, "SELECT GET_LOCK('" ROOM_LOCK "', 10)");
}

static void put_room_unlock(struct buf *text)
{
	buf_puts(text, "DO RELEASE_LOCK('" ROOM_LOCK "')");
}

static enum mysql_next room_is_locked(struct mysql_script *script)
{
	enum mysql_next next =
		fail(script, 0, NULL, ERR_TIMEDOUT, "another node decides about room for too long");

	script->again = true;
	return next;
}

/* -- provision, deprovision, update ------------------------------------------------------- */

static enum mysql_next next_provision(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;

	if (script->at == 0 && *op->ready)
		script->at = 2;
	switch (script->at++) {
	case 0:
		buf_puts(text, "CREATE DATABASE IF NOT EXISTS osbd CHARACTER SET utf8mb4");
		return MYSQL_RUN;
	case 1:
		buf_puts(text, "CREATE TABLE IF NOT EXISTS osbd.marks (name VARCHAR(64) NOT NULL "
			       "PRIMARY KEY, of_database VARCHAR(64) NOT NULL, "
			       "storage BIGINT UNSIGNED NOT NULL DEFAULT 0, "
			       "is_full BOOLEAN NOT NULL DEFAULT FALSE, "
			       "reader BOOLEAN NOT NULL DEFAULT FALSE, "
			       "definer BOOLEAN NOT NULL DEFAULT FALSE, "
			       "made TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, "
			       "KEY (of_database)) ENGINE=InnoDB");
		return MYSQL_RUN;
	case 2:
		*op->ready = true;
		put_look(script, text, false);
		script->tolerated = ER_NO_SUCH_TABLE;
		return MYSQL_RUN;
	case 3:
		if (script->request.code) { /* somebody has taken it away */
			*op->ready = false;
			script->at = 0;
			return next_provision(script, text);
		}
		looked(script);
		if (!nobodys(op))
			return somebody_elses(script, "database", op->db.database);
		if (op->marked)
			goto marked;
		if (has_limit(op->db.server)) {
			put_room_lock(text);
			return MYSQL_RUN;
		}
		script->at = 6;
		buf_printf(text,
			   "INSERT IGNORE INTO osbd.marks (name, of_database, storage) "
			   "VALUES ('%s', '%s', %llu)",
			   op->db.database, op->db.database, (unsigned long long)plan->storage);
		return MYSQL_RUN;
	case 4:
		if (!mysql_number(script, 0, 0))
			return room_is_locked(script);
		buf_printf(text,
			   "INSERT IGNORE INTO osbd.marks (name, of_database, storage) "
			   "SELECT '%s', '%s', %llu",
			   op->db.database, op->db.database, (unsigned long long)plan->storage);
		database_put_promised(text, &op->db, true);
		return MYSQL_RUN;
	case 5:
		op->db.no_room = script->request.result.affected == 0;
		put_room_unlock(text);
		return MYSQL_RUN;
	case 6:
		if (op->db.no_room)
			return fail(script, 0, NULL, ERR_FULL, "server %.*s is full",
				    STR_ARG(op->db.server->name));
	marked:
		script->at = 7;
		buf_puts(text, "CREATE DATABASE IF NOT EXISTS ");
		if (my_put_name(text, str_of(op->db.database)) < 0)
			return no_name(script);
		buf_puts(text, " CHARACTER SET utf8mb4 COLLATE ");
		my_put_text(script->conn, text, plan->collation);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

/* The users one after the other; then those of their sessions that are too many now. */
static enum mysql_next next_user(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;
	const struct str *user;

	for (;; op->i++, script->at = 10) {
		if (op->i >= op->users.rows)
			return MYSQL_END;
		user = &op->users.cells[op->i * op->users.cols];
		switch (script->at++) {
		case 10:
			buf_puts(text, "ALTER USER ");
			if (my_put_name(text, *user) < 0)
				return no_name(script);
			buf_printf(text, "@'%%' WITH MAX_USER_CONNECTIONS %lld",
				   (long long)plan->connections);
			return MYSQL_RUN;
		case 11:
			if (!plan->connections)
				break;
			buf_printf(
				text,
				"SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '%.*s' "
				"ORDER BY ID LIMIT 1 OFFSET %lld",
				STR_ARG(*user), (long long)plan->connections);
			return MYSQL_RUN;
		case 12:
			if (!script->request.result.rows)
				break;
			script->tolerated = ER_NO_SUCH_THREAD; /* gone by itself */
			buf_printf(text, "KILL CONNECTION %s", mysql_cell(script, 0, 0));
			return MYSQL_RUN;
		default:
			buf_puts(text, "SELECT SLEEP(0.01)");
			script->at = 11;
			return MYSQL_RUN;
		}
	}
}

static enum mysql_next next_update(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;
	uint64_t bytes;

	switch (script->at++) {
	case 0:
		put_look(script, text, false);
		return MYSQL_RUN;
	case 1:
		looked(script);
		if (!op->there || !op->marked)
			return fail(script, 0, NULL, ERR_NOENT, "database %s is not there any more",
				    op->db.database);
		buf_printf(text,
			   "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) "
			   "FROM information_schema.TABLES WHERE TABLE_SCHEMA = '%s'",
			   op->db.database);
		return MYSQL_RUN;
	case 2:
		if (!str_to_u64(str_of(mysql_cell(script, 0, 0)), &bytes))
			return fail(script, 0, NULL, ERR_STORE,
				    "the server does not say what is used");
		if (plan->storage && bytes > plan->storage)
			return fail(script, 400, "PlanTooSmall", ERR_FULL,
				    "the database holds %llu bytes, and the plan %.*s has room for "
				    "%llu",
				    (unsigned long long)bytes, STR_ARG(op->db.osb.plan->name),
				    (unsigned long long)plan->storage);
		put_room_lock(text);
		return MYSQL_RUN;
	case 3:
		if (!mysql_number(script, 0, 0))
			return room_is_locked(script);
		buf_puts(text, "SELECT COUNT(*)");
		database_put_promised(text, &op->db, false);
		return MYSQL_RUN;
	case 4: /* what it had before is kept, whatever else is on the server */
		if (!mysql_number(script, 0, 0) &&
		    plan->storage >
			    ((const struct database_plan *)op->db.osb.plan_before->data)->storage)
			return fail(script, 400, "NoRoom", ERR_FULL,
				    "the server %.*s has no room for plan %.*s",
				    STR_ARG(op->db.server->name), STR_ARG(op->db.osb.plan->name));
		buf_printf(text, "UPDATE osbd.marks SET storage = %llu WHERE name = '%s'",
			   (unsigned long long)plan->storage, op->db.database);
		return MYSQL_RUN;
	case 5:
		put_room_unlock(text);
		return MYSQL_RUN;
	case 6:
		buf_printf(text,
			   "SELECT name FROM osbd.marks JOIN mysql.user ON User = name "
			   "WHERE of_database = '%s'",
			   op->db.database);
		return MYSQL_RUN;
	case 7:
		op->users = script->request.result;
		op->i = 0;
		script->at = 10;
		return next_user(script, text);
	default:
		script->at--;
		return next_user(script, text);
	}
}

/* -- bind, unbind ------------------------------------------------------------------------- */

/* CREATE, when it is not there, or ALTER: both end with the same user. */
static enum mysql_next put_user(struct mysql_script *script, struct buf *text, const char *verb)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct database_plan *plan = op->db.osb.plan->data;
	char hashed[HASH_SIZE];

	if (hash(database_password(&op->db.osb), hashed) < 0)
		return fail(script, 0, NULL, ERR_UNSUPPORTED, "no SHA-1");
	script->request.secret = true;
	buf_printf(text,
		   "%s `%s`@'%%' IDENTIFIED WITH mysql_native_password AS '%s' REQUIRE %s "
		   "WITH MAX_USER_CONNECTIONS %lld",
		   verb, op->db.user, hashed, op->db.server->ca.n ? "SSL" : "NONE",
		   (long long)plan->connections);
	return MYSQL_RUN;
}

static enum mysql_next next_bind(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	bool reader = database_reader(&op->db.osb);
	const char *rights = "ALL";

	switch (script->at++) {
	case 0:
		put_look(script, text, false);
		return MYSQL_RUN;
	case 1:
		looked(script);
		if (!op->there || !op->marked)
			return fail(script, 0, NULL, ERR_NOENT, "database %s is not there any more",
				    op->db.database);
		put_look(script, text, true);
		return MYSQL_RUN;
	case 2:
		looked(script);
		if (!nobodys(op))
			return somebody_elses(script, "user", op->db.user);
		if (op->left)
			return fail(
				script, 400, "BindingIdUsed", ERR_EXISTS,
				"a binding of that id has left definers behind: take another id");
		buf_printf(text,
			   "INSERT IGNORE INTO osbd.marks (name, of_database, reader, is_full) "
			   "VALUES ('%s', '%s', %d, %d)",
			   op->db.user, op->db.database, reader, op->full);
		return MYSQL_RUN;
	case 3:
		return put_user(script, text, "CREATE USER IF NOT EXISTS");
	case 4:
		return put_user(script, text, "ALTER USER");
	case 5:
		script->request.secret = false;
		if (reader)
			rights = "SELECT, SHOW VIEW";
		else if (op->full) /* who measures gives it the rest */
			rights = MYSQL_FULL_RIGHTS;
		buf_printf(text, "GRANT %s ON ", rights);
		if (my_put_pattern(text, str_of(op->db.database)) < 0)
			return no_name(script);
		buf_printf(text, ".* TO `%s`@'%%'", op->db.user);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

bool mysql_end_sessions(struct mysql_script *script, struct buf *text, const char *user, int first)
{
	switch (script->at - first) {
	case 0:
		buf_printf(text,
			   "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '%s' "
			   "LIMIT 1",
			   user);
		script->at++;
		return true;
	case 1:
		if (!script->request.result.rows) {
			script->at += 2;
			return false;
		}
		script->tolerated = ER_NO_SUCH_THREAD; /* gone by itself */
		buf_printf(text, "KILL CONNECTION %s", mysql_cell(script, 0, 0));
		script->at++;
		return true;
	default:
		buf_puts(text, "SELECT SLEEP(0.01)");
		script->at = first;
		return true;
	}
}

/* Views, triggers, routines and events run as who has defined them, for all who use them. */
static void put_definers(struct buf *text, const struct mysql_op *op)
{
	static const char *const kinds[][2] = {
		{ "VIEWS", "TABLE_SCHEMA" },
		{ "TRIGGERS", "TRIGGER_SCHEMA" },
		{ "ROUTINES", "ROUTINE_SCHEMA" },
		{ "EVENTS", "EVENT_SCHEMA" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(kinds); i++)
		buf_printf(text,
			   "%s (SELECT COUNT(*) FROM information_schema.%s WHERE %s = '%s' "
			   "AND DEFINER = '%s@%%')",
			   i ? " +" : "SELECT", kinds[i][0], kinds[i][1], op->db.database,
			   op->db.user);
}

static enum mysql_next next_unbind(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);

	switch (script->at) {
	case 0:
		script->at++;
		script->tolerated = ER_NO_SUCH_TABLE;
		put_look(script, text, true);
		return MYSQL_RUN;
	case 1:
		script->at++;
		looked(script);
		if (script->request.code || !op->marked)
			return MYSQL_END;
		if (op->there) {
			buf_printf(text, "ALTER USER `%s`@'%%' ACCOUNT LOCK", op->db.user);
			return MYSQL_RUN;
		}
		/* fall through */
	case 2:
	case 3:
	case 4:
		if (mysql_end_sessions(script, text, op->db.user, 2))
			return MYSQL_RUN;
		/* fall through */
	case 5:
		if (!op->in_user && *op->db.database) {
			script->at = DEFINERS;
			put_definers(text, op);
			return MYSQL_RUN;
		}
	drop:
		script->at = 6;
		buf_printf(text, "DROP USER IF EXISTS `%s`@'%%'", op->db.user);
		return MYSQL_RUN;
	case 6: /* whoever was about to log in */
	case 7:
	case 8:
		if (mysql_end_sessions(script, text, op->db.user, 6))
			return MYSQL_RUN;
		/* fall through */
	case 9:
		script->at = 10;
		buf_printf(text, "DELETE FROM osbd.marks WHERE name = '%s'", op->db.user);
		return MYSQL_RUN;
	case DEFINERS:
		if (!mysql_number(script, 0, 0))
			goto drop;
		script->at = 10;
		buf_printf(text, "UPDATE osbd.marks SET definer = TRUE WHERE name = '%s'",
			   op->db.user);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

/* -- deprovision --------------------------------------------------------------------------- */

/* The next user that a binding has left, as its unbind would do. */
static enum mysql_next drop_users(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	enum mysql_next next;

	for (; op->i < op->users.rows; op->i++) {
		if (!op->in_user) {
			op->in_user = true;
			script->at = 0;
			snprintf(op->db.user, sizeof(op->db.user), "%.*s",
				 STR_ARG(my_cell(&op->users, op->i, 0)));
		}
		next = next_unbind(script, text);
		if (next != MYSQL_END)
			return next;
		op->in_user = false;
	}
	return MYSQL_END;
}

static enum mysql_next next_deprovision(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	enum mysql_next next;

	if (op->in_user) {
		next = drop_users(script, text);
		if (next != MYSQL_END)
			return next;
		script->at = 3;
	}
	switch (script->at++) {
	case 0:
		script->tolerated = ER_NO_SUCH_TABLE; /* nothing was ever made here */
		put_look(script, text, false);
		return MYSQL_RUN;
	case 1:
		looked(script);
		if (script->request.code || !op->marked)
			return MYSQL_END;
		buf_printf(text,
			   "SELECT name FROM osbd.marks WHERE of_database = '%s' AND name <> "
			   "of_database",
			   op->db.database);
		return MYSQL_RUN;
	case 2:
		op->users = script->request.result;
		op->i = 0;
		next = drop_users(script, text);
		if (next != MYSQL_END)
			return next;
		/* fall through */
	case 3:
		script->at = 4;
		buf_puts(text, "DROP DATABASE IF EXISTS ");
		if (my_put_name(text, str_of(op->db.database)) < 0)
			return no_name(script);
		return MYSQL_RUN;
	case 4:
		buf_printf(text, "DELETE FROM osbd.marks WHERE name = '%s'", op->db.database);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

enum mysql_next (*const mysql_next[])(struct mysql_script *script, struct buf *text) = {
	[DATABASE_ROOM] = next_room,
	[DATABASE_MARKS] = next_marks,
	[DATABASE_PROVISION] = next_provision,
	[DATABASE_UPDATE] = next_update,
	[DATABASE_DEPROVISION] = next_deprovision,
	[DATABASE_BIND] = next_bind,
	[DATABASE_UNBIND] = next_unbind,
	[DATABASE_REMOVE] = next_unbind,
};
