/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/mysql.h"

#include "backends/mysql_quota.h"
#include "tls/tls_dial.h"

#include <stdio.h>

/* A server as this process reaches it. */
struct reach {
	struct my_pool pool;
	struct tls_dial *tls; /* NULL: none */
	struct mysql_quota quota;
	bool ready; /* its table of marks is there */
};

struct mysql {
	struct database db; /* first */
	struct my_lib lib;
	struct reach *reach; /* one for each server */
	size_t n_reach;
};

/* -- configuration ------------------------------------------------------------------------ */

static const struct conf_key service_rows[] = {
	DATABASE_SERVICE_ROWS,
	{ .name = "collation",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct database_config, collation),
	  .fallback = "utf8mb4_unicode_ci",
	  .doc = "Of new databases, unless their plan says another; the character set is "
		 "utf8mb4." },
	{ 0 },
};

static const struct conf_key plan_rows[] = {
	DATABASE_PLAN_ROWS,
	{ .name = "collation",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN | CONF_NONEMPTY,
	  CONF_AT(struct database_plan, collation),
	  .doc = "Of its new databases.",
	  .example = "utf8mb4_bin" },
	{ 0 },
};

static struct mysql *mysql_of(struct backend *backend)
{
	return container_of(container_of(backend, struct database, base), struct mysql, db);
}

static int open_server(struct mysql *mysql, const struct database_server *server,
		       struct conf_errors *errors)
{
	const struct backend_env *env = mysql->db.base.env;
	const struct config_service *config = mysql->db.offering->config;
	struct reach *reach = &mysql->reach[server->index];
	struct my_server *to = &reach->pool.servers[0];
	struct dial_address address;
	struct err err;

	*to = (struct my_server){ .lib = &mysql->lib,
				  .host = server->host.p,
				  .port = (uint16_t)server->port,
				  .user = server->user.p,
				  .password = secret_reveal(&server->password).p,
				  .directory = env->run_dir };
	reach->pool.loop = env->loop;
	reach->pool.max = (unsigned)server->sessions;
	if (!server->path && !dial_ip(server->host, 1, &address)) {
		to->dns = backend_dns(env, &err);
		if (!to->dns)
			goto bad;
	}
	if (server->tls) {
		if (tls_dial_create(&(struct tls_client_options){ .ca = server->tls->ca.p },
				    backend_tls_budget(env), &reach->tls, &err) < 0)
			goto bad;
		to->tls = tls_dial_wrap(reach->tls);
		to->tls_host = server->tls->name.p;
	}
	reach->pool.servers[1] = *to;
	reach->pool.servers[1].password = secret_reveal(&server->other_password).p;
	reach->pool.two = secret_reveal(&server->other_password).n > 0;
	my_pool_init(&reach->pool);
	reach->quota.base.database = &mysql->db;
	reach->quota.base.server = server;
	mysql->db.quotas[server->index] = &reach->quota.base;
	reach->quota.pool = reach->pool;
	reach->quota.pool.max = 1;
	reach->quota.pool.idle_ms = HOUR(2); /* its lock is its lease */
	reach->quota.pool.servers[0].query_ms = reach->quota.pool.servers[1].query_ms = SEC(60);
	my_pool_init(&reach->quota.pool);
	mysql_quota_init(&reach->quota);
	return 0;
bad:
	conf_errors_add(errors, config->config, config->path.p, "server %.*s: %s",
			STR_ARG(server->name), err.text);
	return ERR_INVALID;
}

static void close_all(struct backend *backend)
{
	struct mysql *mysql = mysql_of(backend);
	size_t i;

	for (i = 0; i < mysql->n_reach; i++) {
		my_pool_finish(&mysql->reach[i].pool);
		my_pool_finish(&mysql->reach[i].quota.pool);
		arena_finish(&mysql->reach[i].quota.arena);
		tls_dial_destroy(mysql->reach[i].tls);
	}
	database_close(&mysql->db);
}

/* -- scripts --------------------------------------------------------------------------------- */

static struct mysql_op *op_of(struct database_op *op)
{
	return container_of(op, struct mysql_op, db);
}

static struct call *script_call(struct database_op *op)
{
	return &op_of(op)->script.call;
}

static void start_script(struct database_op *base, enum database_script script, struct arena *arena)
{
	struct mysql_op *op = op_of(base);
	struct reach *reach = &mysql_of(base->osb.backend)->reach[base->server->index];

	snprintf(op->lock, sizeof(op->lock), "osbd.%s",
		 base->osb.binding_id.n ? base->user : base->database);
	op->in_user = false;
	op->ready = &reach->ready;
	op->script.name = base->osb.job.op.name ? base->osb.job.op.name : "orphans";
	op->script.pool = &reach->pool;
	op->script.arena = arena;
	op->script.lock = script == DATABASE_ROOM || script == DATABASE_MARKS ? NULL : op->lock;
	op->script.next = mysql_next[script];
	mysql_script_start(&op->script);
}

static const struct err *why(struct database_op *op, bool *again)
{
	*again = op_of(op)->script.again;
	return &op_of(op)->script.err;
}

static uint64_t number(struct database_op *op, size_t col)
{
	return mysql_number(&op_of(op)->script, 0, col);
}

static size_t rows(struct database_op *op)
{
	return op_of(op)->script.request.result.rows;
}

static void mark(struct database_op *op, size_t row, struct backend_thing *thing)
{
	const struct my_result *result = &op_of(op)->script.request.result;

	thing->name = my_cell(result, row, 0);
	thing->binding = str_is(my_cell(result, row, 1), "1");
	thing->there = str_is(my_cell(result, row, 2), "1");
}

static const struct database_scripts scripts = {
	.scheme = "mysql",
	.jdbc = "&sslMode=VERIFY_CA",
	.query = "?ssl-mode=VERIFY_CA",
	.call = script_call,
	.start = start_script,
	.why = why,
	.number = number,
	.rows = rows,
	.mark = mark,
};

/* -- life ------------------------------------------------------------------------------------ */

static int mysql_open(const struct backend_env *env, struct offering *offering, struct arena *arena,
		      struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	struct mysql *mysql = arena_new(arena, struct mysql);
	struct err err;
	size_t i;
	int rc;

	mysql->db.scripts = &scripts;
	rc = database_open(&mysql->db, env, offering, service_rows, plan_rows, 3306, arena, errors);
	if (rc == 0 && my_lib_load(&mysql->lib, &err) < 0) {
		conf_errors_add(errors, config->config, config->path.p, "%s", err.text);
		rc = ERR_INVALID;
	}
	mysql->reach = arena_zalloc(arena, (mysql->db.config.n_servers + 1) * sizeof(struct reach));
	for (i = 0; rc == 0 && i < mysql->db.config.n_servers; i++) {
		rc = open_server(mysql, &mysql->db.config.servers[i], errors);
		mysql->n_reach = i + (rc == 0);
	}
	if (rc < 0)
		close_all(&mysql->db.base);
	*out = &mysql->db.base;
	return rc;
}

const struct backend_type backend_mysql = {
	.name = "mysql",
	.doc = "makes databases and users on MySQL or MariaDB servers",
	.service_rows = service_rows,
	.plan_rows = plan_rows,
	.open = mysql_open,
	.close = close_all,
	DATABASE_TYPE(struct mysql_op),
};
