/* Each verb is one script (backends/mysql_script), which looks before it does anything, so that it
 * may be run again from its start after a crash at any statement:
 *
 *   provision    table of marks, look, mark, CREATE DATABASE
 *   update       look how much is used, limits of all users
 *   deprovision  look, DROP DATABASE, unmark
 *   bind         look, mark, CREATE USER, ALTER USER, GRANT
 *   unbind       look, lock the account, end sessions, DROP USER, end sessions, unmark
 *
 * The password is in the memo before the server hears of its hash. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/mysql.h"

#include "backends/mysql_script.h"
#include "core/digest.h"

#include <mbedtls/sha1.h>
#include <mysqld_error.h>
#include <stdio.h>

#define NAME_SIZE 33
#define PASSWORD_SIZE 33
#define HASH_SIZE 42

struct mysql_config {
	struct str host, user, collation;
	int64_t port;
	struct secret password;
};

struct mysql_plan {
	int64_t connections;
	uint64_t storage; /* bytes; 0: no limit */
};

struct mysql {
	struct backend base; /* first */
	struct mysql_config config;
	struct my_lib lib;
	struct my_server server;
};

struct mysql_op {
	struct osb_op osb; /* first */
	struct mysql_script script;
	char database[NAME_SIZE], user[NAME_SIZE], lock[NAME_SIZE + 5];
	bool marked, there;
	int http; /* of a failure that is the user's; 0: none */
	size_t i;
	struct my_result users;
};

/* -- configuration ------------------------------------------------------------------------ */

static void check_host(struct conf *conf, const struct json *node, void *field)
{
	const struct str *host = field;
	struct dial_address address;

	if (host->p[0] != '/' && !dial_ip(*host, 1, &address))
		conf_error(conf, node, "must be an IP address or the path of a unix socket");
}

static const struct conf_key service_rows[] = {
	{ .name = "host",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct mysql_config, host),
	  .fallback = "127.0.0.1",
	  .check = check_host,
	  .doc = "The server: an IP address, or the path of a unix socket. Applications get it, "
		 "too; 127.0.0.1 for a socket. Connections to it are not encrypted." },
	{ .name = "port",
	  .type = CONF_INT,
	  CONF_AT(struct mysql_config, port),
	  .fallback = "3306",
	  .min = 1,
	  .max = 65535,
	  .doc = "Its port." },
	{ .name = "user",
	  .type = CONF_STRING,
	  .flags = CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct mysql_config, user),
	  .doc = "osbd's own user there, who may create databases and users, grant all on them, "
		 "see and end all sessions.",
	  .example = "osbd" },
	{ .name = "password",
	  .type = CONF_SECRET,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct mysql_config, password),
	  .doc = "That user's.",
	  .example = "{file: /etc/osbd/mysql-password}" },
	{ .name = "collation",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct mysql_config, collation),
	  .fallback = "utf8mb4_unicode_ci",
	  .doc = "Of new databases; their character set is utf8mb4." },
	{ 0 },
};

static const struct conf_key plan_rows[] = {
	{ .name = "connections",
	  .type = CONF_INT,
	  CONF_AT(struct mysql_plan, connections),
	  .fallback = "0",
	  .max = 100000,
	  .doc = "Connections that each binding's user may have at a time; 0 is no limit." },
	{ .name = "storage",
	  .type = CONF_SIZE,
	  CONF_AT(struct mysql_plan, storage),
	  .fallback = "0",
	  .max = INT64_MAX,
	  .doc = "What a database may hold when it changes to this plan; 0 is no limit." },
	{ 0 },
};

static int mysql_open(const struct backend_env *env, struct offering *offering, struct arena *arena,
		      struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	const char *path = arena_printf(arena, "%.*s.config", STR_ARG(config->path));
	struct mysql *mysql = arena_new(arena, struct mysql);
	struct err err;
	int rc = conf_decode(service_rows, config->config, path, &mysql->config, arena, errors);
	size_t i;

	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];

		plan->data = arena_new(arena, struct mysql_plan);
		if (!plan->config)
			continue;
		path = arena_printf(arena, "%.*s.config", STR_ARG(plan->config->path));
		if (conf_decode(plan_rows, plan->config->config, path, plan->data, arena, errors))
			rc = ERR_INVALID;
	}
	if (rc == 0 && my_lib_load(&mysql->lib, &err) < 0) {
		conf_errors_add(errors, config->config, config->path.p, "%s", err.text);
		rc = ERR_INVALID;
	}
	if (rc == 0) {
		mysql->server =
			(struct my_server){ .lib = &mysql->lib,
					    .host = mysql->config.host.p,
					    .port = (uint16_t)mysql->config.port,
					    .user = mysql->config.user.p,
					    .password = secret_reveal(&mysql->config.password).p };
	}
	mysql->base.type = &backend_mysql;
	mysql->base.env = env;
	*out = &mysql->base;
	return rc;
}

static int mysql_check(struct backend *backend, const struct backend_request *request,
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

/* -- names and secrets -------------------------------------------------------------------- */

static struct mysql_op *mysql_op_of(struct mysql_script *script)
{
	return container_of(script, struct mysql_op, script);
}

static void derive(const struct osb_op *op, bool binding, char out[NAME_SIZE])
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	struct buf ids = { 0 };

	buf_put_str(&ids, op->instance_id);
	if (binding) {
		buf_putc(&ids, '\0');
		buf_put_str(&ids, op->binding_id);
	}
	digest_sha256(ids.p, ids.n, digest);
	buf_finish(&ids);
	hex_encode(digest, sizeof(digest), hex);
	snprintf(out, NAME_SIZE, "%c%.31s", binding ? 'b' : 'd', hex);
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

static const char *cell(const struct mysql_script *script, size_t row, size_t col)
{
	const struct my_result *result = &script->request.result;
	struct str s = { 0 };

	if (row < result->rows)
		s = my_cell(result, row, col);
	return s.p ? s.p : "";
}

static bool counts(const struct mysql_script *script, size_t col)
{
	const char *n = cell(script, 0, col);

	return *n && strcmp(n, "0") != 0;
}

static enum mysql_next fail(struct mysql_script *script, int http, int code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
static enum mysql_next fail(struct mysql_script *script, int http, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(&script->err, code, fmt, ap);
	va_end(ap);
	mysql_op_of(script)->http = http;
	return MYSQL_FAIL;
}

/* Is there one of that name, and is it ours? */
static void put_look(struct mysql_script *script, struct buf *text, bool user)
{
	const char *name = user ? mysql_op_of(script)->user : mysql_op_of(script)->database;

	buf_printf(text, "SELECT COUNT(*), (SELECT COUNT(*) FROM osbd.marks WHERE name = '%s')",
		   name);
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

	op->there = counts(script, 0);
	op->marked = counts(script, 1);
}

static bool nobodys(const struct mysql_op *op)
{
	return !op->there || op->marked;
}

static enum mysql_next somebody_elses(struct mysql_script *script, const char *what,
				      const char *name)
{
	return fail(script, 0, ERR_EXISTS, "%s %s is there, and osbd has not made it", what, name);
}

/* -- provision, deprovision, update ------------------------------------------------------- */

static enum mysql_next next_provision(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct mysql *mysql = container_of(op->osb.backend, struct mysql, base);

	switch (script->at++) {
	case 0:
		buf_puts(text, "CREATE DATABASE IF NOT EXISTS osbd CHARACTER SET utf8mb4");
		return MYSQL_RUN;
	case 1:
		buf_puts(text, "CREATE TABLE IF NOT EXISTS osbd.marks (name VARCHAR(64) NOT NULL "
			       "PRIMARY KEY, of_database VARCHAR(64) NOT NULL, made TIMESTAMP NOT "
			       "NULL DEFAULT CURRENT_TIMESTAMP, KEY (of_database)) ENGINE=InnoDB");
		return MYSQL_RUN;
	case 2:
		put_look(script, text, false);
		return MYSQL_RUN;
	case 3:
		looked(script);
		if (!nobodys(op))
			return somebody_elses(script, "database", op->database);
		buf_printf(text,
			   "INSERT IGNORE INTO osbd.marks (name, of_database) VALUES "
			   "('%s', '%s')",
			   op->database, op->database);
		return MYSQL_RUN;
	case 4:
		buf_puts(text, "CREATE DATABASE IF NOT EXISTS ");
		if (my_put_name(text, str_of(op->database)) < 0)
			return fail(script, 0, ERR_INVALID, "no name");
		buf_puts(text, " CHARACTER SET utf8mb4 COLLATE ");
		my_put_text(&script->conn, text, mysql->config.collation);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

static enum mysql_next next_deprovision(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);

	switch (script->at++) {
	case 0:
		script->tolerated = ER_NO_SUCH_TABLE; /* nothing was ever made here */
		put_look(script, text, false);
		return MYSQL_RUN;
	case 1:
		looked(script);
		if (script->request.code || !op->marked)
			return MYSQL_END;
		buf_puts(text, "DROP DATABASE IF EXISTS ");
		if (my_put_name(text, str_of(op->database)) < 0)
			return fail(script, 0, ERR_INVALID, "no name");
		return MYSQL_RUN;
	case 2:
		buf_printf(text, "DELETE FROM osbd.marks WHERE name = '%s'", op->database);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

static enum mysql_next next_update(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct mysql_plan *plan = op->osb.plan->data;
	struct str used;
	uint64_t bytes;

	switch (script->at) {
	case 0:
		script->at++;
		buf_printf(text,
			   "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) "
			   "FROM information_schema.TABLES WHERE TABLE_SCHEMA = '%s'",
			   op->database);
		return MYSQL_RUN;
	case 1:
		script->at++;
		used = str_of(cell(script, 0, 0));
		if (!str_to_u64(used, &bytes))
			return fail(script, 0, ERR_STORE, "the server does not say what is used");
		if (plan->storage && bytes > plan->storage)
			return fail(script, 400, ERR_FULL,
				    "the database holds %llu bytes, and the plan %.*s has room for "
				    "%llu",
				    (unsigned long long)bytes, STR_ARG(op->osb.plan->name),
				    (unsigned long long)plan->storage);
		buf_printf(text,
			   "SELECT name FROM osbd.marks JOIN mysql.user ON User = name "
			   "WHERE of_database = '%s'",
			   op->database);
		return MYSQL_RUN;
	case 2:
		script->at++;
		op->users = script->request.result;
		op->i = 0;
		break;
	default:
		break;
	}
	if (op->i >= op->users.rows)
		return MYSQL_END;
	buf_puts(text, "ALTER USER ");
	if (my_put_name(text, my_cell(&op->users, op->i++, 0)) < 0)
		return fail(script, 0, ERR_INVALID, "no name");
	buf_printf(text, "@'%%' WITH MAX_USER_CONNECTIONS %lld", (long long)plan->connections);
	return MYSQL_RUN;
}

/* -- bind, unbind ------------------------------------------------------------------------- */

/* CREATE, when it is not there, or ALTER: both end with the same user. */
static enum mysql_next put_user(struct mysql_script *script, struct buf *text, const char *verb)
{
	struct mysql_op *op = mysql_op_of(script);
	const struct mysql_plan *plan = op->osb.plan->data;
	struct str password = json_str(json_get(op->osb.job.op.memo, "password"));
	char hashed[HASH_SIZE];

	if (hash(password, hashed) < 0)
		return fail(script, 0, ERR_UNSUPPORTED, "no SHA-1");
	script->request.secret = true;
	buf_printf(text,
		   "%s `%s`@'%%' IDENTIFIED WITH mysql_native_password AS '%s' "
		   "WITH MAX_USER_CONNECTIONS %lld",
		   verb, op->user, hashed, (long long)plan->connections);
	return MYSQL_RUN;
}

static enum mysql_next next_bind(struct mysql_script *script, struct buf *text)
{
	struct mysql_op *op = mysql_op_of(script);
	bool read_only = json_bool_value(json_get(op->osb.parameters, "read_only"));

	switch (script->at++) {
	case 0:
		put_look(script, text, false);
		return MYSQL_RUN;
	case 1:
		looked(script);
		if (!op->there || !op->marked)
			return fail(script, 0, ERR_NOENT, "database %s is not there any more",
				    op->database);
		put_look(script, text, true);
		return MYSQL_RUN;
	case 2:
		looked(script);
		if (!nobodys(op))
			return somebody_elses(script, "user", op->user);
		buf_printf(text,
			   "INSERT IGNORE INTO osbd.marks (name, of_database) VALUES "
			   "('%s', '%s')",
			   op->user, op->database);
		return MYSQL_RUN;
	case 3:
		return put_user(script, text, "CREATE USER IF NOT EXISTS");
	case 4:
		return put_user(script, text, "ALTER USER");
	case 5:
		script->request.secret = false;
		buf_printf(text, "GRANT %s ON ", read_only ? "SELECT, SHOW VIEW" : "ALL");
		if (my_put_pattern(text, str_of(op->database)) < 0)
			return fail(script, 0, ERR_INVALID, "no name");
		buf_printf(text, ".* TO `%s`@'%%'", op->user);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

/* Look for a session, end it, wait a little, look again. True: text has a statement. */
static bool put_end_of_sessions(struct mysql_script *script, struct buf *text, int first)
{
	struct mysql_op *op = mysql_op_of(script);

	switch (script->at - first) {
	case 0:
		buf_printf(text,
			   "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '%s' "
			   "LIMIT 1",
			   op->user);
		script->at++;
		return true;
	case 1:
		if (!script->request.result.rows) {
			script->at += 2;
			return false;
		}
		script->tolerated = ER_NO_SUCH_THREAD; /* gone by itself */
		buf_printf(text, "KILL CONNECTION %s", cell(script, 0, 0));
		script->at++;
		return true;
	default:
		buf_puts(text, "SELECT SLEEP(0.01)");
		script->at = first;
		return true;
	}
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
			buf_printf(text, "ALTER USER `%s`@'%%' ACCOUNT LOCK", op->user);
			return MYSQL_RUN;
		}
		/* fall through */
	case 2:
	case 3:
	case 4:
		if (put_end_of_sessions(script, text, 2))
			return MYSQL_RUN;
		/* fall through */
	case 5:
		script->at = 6;
		buf_printf(text, "DROP USER IF EXISTS `%s`@'%%'", op->user);
		return MYSQL_RUN;
	case 6: /* whoever was about to log in */
	case 7:
	case 8:
		if (put_end_of_sessions(script, text, 6))
			return MYSQL_RUN;
		/* fall through */
	case 9:
		script->at = 10;
		buf_printf(text, "DELETE FROM osbd.marks WHERE name = '%s'", op->user);
		return MYSQL_RUN;
	default:
		return MYSQL_END;
	}
}

/* -- steps -------------------------------------------------------------------------------- */

static enum op_verdict prepare(struct op *flow)
{
	char password[PASSWORD_SIZE];

	random_id(password, sizeof(password) - 1); /* 165 bits */
	json_set_cstr(&flow->arena, flow->memo, "password", password);
	mem_wipe(password, sizeof(password));
	return OP_NEXT;
}

static enum op_verdict ask(struct op *flow, bool binding,
			   enum mysql_next (*next)(struct mysql_script *, struct buf *))
{
	struct osb_op *osb = osb_op_of(flow);
	struct mysql_op *op = container_of(osb, struct mysql_op, osb);
	struct mysql *mysql = container_of(osb->backend, struct mysql, base);

	derive(osb, false, op->database);
	derive(osb, true, op->user);
	snprintf(op->lock, sizeof(op->lock), "osbd.%s", binding ? op->user : op->database);
	op->http = 0;
	op->script.loop = flow->loop;
	op->script.server = &mysql->server;
	op->script.arena = &flow->arena;
	op->script.lock = op->lock;
	op->script.next = next;
	op_call(flow, &op->script.call);
	if (mysql_script_start(&op->script) < 0)
		return op_fail(flow, ERR_INVALID, "cannot start");
	return OP_WAIT;
}

static enum op_verdict taken(struct op *flow, int status)
{
	struct osb_op *osb = osb_op_of(flow);
	struct mysql_op *op = container_of(osb, struct mysql_op, osb);

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
	const struct mysql *mysql = container_of(osb->backend, struct mysql, base);
	struct arena *arena = &flow->arena;
	struct json *credentials = json_object(arena);
	struct str host = mysql->config.host, password = json_str(json_get(flow->memo, "password"));
	char database[NAME_SIZE], user[NAME_SIZE];
	const char *at;

	derive(osb, false, database);
	derive(osb, true, user);
	if (host.p[0] == '/')
		host = STR("127.0.0.1"); /* where the same server listens for others */
	at = arena_printf(arena, memchr(host.p, ':', host.n) ? "[%.*s]:%d/%s" : "%.*s:%d/%s",
			  STR_ARG(host), (int)mysql->config.port, database);
	json_set_str(arena, credentials, "host", host);
	json_set_str(arena, credentials, "hostname", host);
	json_set_int(arena, credentials, "port", mysql->config.port);
	json_set_cstr(arena, credentials, "name", database);
	json_set_cstr(arena, credentials, "database", database);
	json_set_cstr(arena, credentials, "username", user);
	json_set_str(arena, credentials, "password", password);
	json_set_cstr(arena, credentials, "uri",
		      arena_printf(arena, "mysql://%s:%.*s@%s", user, STR_ARG(password), at));
	json_set_cstr(arena, credentials, "jdbcUrl",
		      arena_printf(arena, "jdbc:mysql://%s?user=%s&password=%.*s", at, user,
				   STR_ARG(password)));
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

#define VERB(steps_)                                                            \
	{                                                                       \
		.steps = steps_, .size = sizeof(struct mysql_op), .quick = true \
	}

const struct backend_type backend_mysql = {
	.name = "mysql",
	.doc = "makes databases and users on a MySQL or MariaDB server",
	.service_rows = service_rows,
	.plan_rows = plan_rows,
	.open = mysql_open,
	.check = mysql_check,
	.verb = {
		[STORE_PROVISION] = VERB(provision_steps),
		[STORE_UPDATE] = VERB(update_steps),
		[STORE_DEPROVISION] = VERB(deprovision_steps),
		[STORE_BIND] = VERB(bind_steps),
		[STORE_UNBIND] = VERB(unbind_steps),
		[STORE_EXPIRE] = VERB(unbind_steps),
	},
};
