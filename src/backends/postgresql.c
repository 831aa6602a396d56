/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql.h"

#include "backends/postgresql_quota.h"

#include <stdio.h>

struct postgresql {
	struct database db; /* first */
	struct pg_lib lib;
	struct postgresql_server *servers; /* one for each of db.config.servers */
	struct postgresql_quota *quotas;
};

/* -- configuration ------------------------------------------------------------------------ */

static const struct conf_key service_rows[] = {
	DATABASE_SERVICE_ROWS,
	{ .name = "database",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct database_config, maintenance),
	  .fallback = "osbd",
	  .doc = "Of each server, where osbd works and keeps its marks. Its user there owns this "
		 "database, may create databases and roles, and is a member of pg_signal_backend; "
		 "before PostgreSQL 15 it is a superuser." },
	{ .name = "collation",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct database_config, collation),
	  .fallback = "C.UTF-8",
	  .doc = "Of new databases, unless their plan says another: a locale that the server "
		 "knows. The encoding is UTF8." },
	{ 0 },
};

static const struct conf_key plan_rows[] = {
	DATABASE_PLAN_ROWS,
	{ .name = "all_connections",
	  .type = CONF_INT,
	  CONF_AT(struct database_plan, all_connections),
	  .fallback = "0",
	  .max = 100000,
	  .doc = "Connections that a database may have at a time, whoever makes them; 0 is no "
		 "limit." },
	{ .name = "collation",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN | CONF_NONEMPTY,
	  CONF_AT(struct database_plan, collation),
	  .doc = "Of its new databases.",
	  .example = "de_DE.UTF-8" },
	{ 0 },
};

static struct postgresql *postgresql_of(struct backend *backend)
{
	return container_of(container_of(backend, struct database, base), struct postgresql, db);
}

static int open_server(struct postgresql *pg, const struct database_server *server, struct err *err)
{
	struct postgresql_server *to = &pg->servers[server->index];
	struct postgresql_quota *quota = &pg->quotas[server->index];
	struct str other = secret_reveal(&server->other_password);
	struct dial_address address;

	*to = (struct postgresql_server){
		.lib = &pg->lib,
		.loop = pg->db.base.env->loop,
		.host = server->host.p,
		.port = (uint16_t)server->port,
		.user = server->user.p,
		.passwords = { secret_reveal(&server->password).p, other.n ? other.p : NULL },
		.database = pg->db.config.maintenance.p,
		.max = (unsigned)(server->sessions + 1) / 2, /* a script has up to two */
	};
	if (server->tls) {
		to->ca = server->tls->ca.p;
		to->verify = server->tls->name.p;
	}
	if (!server->path && !dial_ip(server->host, 1, &address)) {
		to->dns = backend_dns(pg->db.base.env, err);
		if (!to->dns)
			return err->code;
	}
	quota->base.database = &pg->db;
	quota->base.server = server;
	pg->db.quotas[server->index] = &quota->base;
	quota->to = *to;
	quota->to.max = 1;
	postgresql_quota_init(quota);
	postgresql_server_init(to);
	return 0;
}

static void postgresql_close(struct backend *backend)
{
	struct postgresql *pg = postgresql_of(backend);
	size_t i;

	for (i = 0; i < pg->db.config.n_servers; i++) {
		postgresql_server_finish(&pg->servers[i]);
		postgresql_server_finish(&pg->quotas[i].to);
		arena_finish(&pg->quotas[i].arena);
	}
	database_close(&pg->db);
}

/* -- scripts --------------------------------------------------------------------------------- */

static struct postgresql_op *op_of(struct database_op *op)
{
	return container_of(op, struct postgresql_op, db);
}

static struct call *script_call(struct database_op *op)
{
	return &op_of(op)->script.call;
}

static void start_script(struct database_op *base, enum database_script script, struct arena *arena)
{
	struct postgresql_op *op = op_of(base);

	op->script.server = &postgresql_of(base->osb.backend)->servers[base->server->index];
	op->script.arena = arena;
	op->script.lock = base->osb.binding_id.n ? base->user : base->database;
	if (script == DATABASE_ROOM || script == DATABASE_MARKS)
		op->script.lock = NULL;
	op->script.next = postgresql_next[script];
	postgresql_script_start(&op->script);
}

static const struct err *why(struct database_op *op, bool *again)
{
	*again = op_of(op)->script.again;
	return &op_of(op)->script.err;
}

static uint64_t number(struct database_op *op, size_t col)
{
	return postgresql_number(&op_of(op)->script, 0, col);
}

static size_t rows(struct database_op *op)
{
	return op_of(op)->script.result.rows;
}

static void mark(struct database_op *op, size_t row, struct backend_thing *thing)
{
	const struct sql_result *result = &op_of(op)->script.result;

	thing->name = sql_get_str(result, row, 0);
	thing->binding = str_is(sql_get_str(result, row, 1), "t");
	thing->there = str_is(sql_get_str(result, row, 2), "t");
}

static const struct database_scripts scripts = {
	.scheme = "postgresql",
	/* to verify, a client wants the certificates in a file of its own */
	.jdbc = "&sslmode=require",
	.query = "?sslmode=require",
	.prepare = postgresql_make_verifier,
	.call = script_call,
	.start = start_script,
	.why = why,
	.number = number,
	.rows = rows,
	.mark = mark,
};

/* -- life ------------------------------------------------------------------------------------ */

static int postgresql_open(const struct backend_env *env, struct offering *offering,
			   struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	struct postgresql *pg = arena_new(arena, struct postgresql);
	struct err err;
	size_t i;
	int rc;

	pg->db.scripts = &scripts;
	rc = database_open(&pg->db, env, offering, service_rows, plan_rows, 5432, arena, errors);
	if (rc == 0 && pg_lib_load(&pg->lib, &err) < 0) {
		conf_errors_add(errors, config->config, config->path.p, "%s", err.text);
		rc = ERR_INVALID;
	}
	pg->servers = arena_zalloc(arena, (pg->db.config.n_servers + 1) * sizeof(*pg->servers));
	pg->quotas = arena_zalloc(arena, (pg->db.config.n_servers + 1) * sizeof(*pg->quotas));
	for (i = 0; rc == 0 && i < pg->db.config.n_servers; i++) {
		const struct database_server *server = &pg->db.config.servers[i];

		if (open_server(pg, server, &err) == 0)
			continue;
		conf_errors_add(errors, config->config, config->path.p, "server %.*s: %s",
				STR_ARG(server->name), err.text);
		rc = ERR_INVALID;
	}
	if (rc < 0)
		database_close(&pg->db);
	*out = &pg->db.base;
	return rc;
}

const struct backend_type backend_postgresql = {
	.name = "postgresql",
	.doc = "makes databases and users on PostgreSQL servers",
	.service_rows = service_rows,
	.plan_rows = plan_rows,
	.open = postgresql_open,
	.close = postgresql_close,
	DATABASE_TYPE(struct postgresql_op),
};
