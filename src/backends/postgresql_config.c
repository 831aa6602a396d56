/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql_config.h"

/* -- the server --------------------------------------------------------------------------- */

static void check_host(struct conf *conf, const struct json *node, void *field)
{
	const struct str *host = field;
	struct dial_address address;

	if (host->p[0] != '/' && !dial_ip(*host, 1, &address) && !str_is_unreserved(*host))
		conf_error(conf, node,
			   "must be a host name, an IP address or the directory of a "
			   "unix socket");
}

const struct conf_key postgresql_service_rows[] = {
	{ .name = "host",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct postgresql_config, host),
	  .fallback = "127.0.0.1",
	  .check = check_host,
	  .doc = "The server: a host name, an IP address, or the directory of a unix socket. "
		 "Applications get it, too; 127.0.0.1 for a socket." },
	{ .name = "port",
	  .type = CONF_INT,
	  CONF_AT(struct postgresql_config, port),
	  .fallback = "5432",
	  .min = 1,
	  .max = 65535,
	  .doc = "Its port." },
	{ .name = "user",
	  .type = CONF_STRING,
	  .flags = CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct postgresql_config, user),
	  .doc = "osbd's own user there: CREATEDB, CREATEROLE, a member of pg_signal_backend, and "
		 "the owner of the maintenance database. Before PostgreSQL 15 a superuser.",
	  .example = "osbd" },
	{ .name = "password",
	  .type = CONF_SECRET,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct postgresql_config, password),
	  .doc = "That user's.",
	  .example = "{file: /etc/osbd/postgresql-password}" },
	{ .name = "database",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct postgresql_config, database),
	  .fallback = "osbd",
	  .doc = "Where osbd works and keeps its marks; no application is let in there." },
	{ .name = "ca",
	  .type = CONF_PATH,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct postgresql_config, ca),
	  .doc = "Certificates, PEM, that the server's own is verified with, and its name. With it "
		 "connections are encrypted, and applications are told to do so; they get the "
		 "certificates, too. Without it they are not.",
	  .example = "/etc/osbd/postgresql-ca.pem" },
	{ .name = "collation",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct postgresql_config, collation),
	  .fallback = "C.UTF-8",
	  .doc = "Of new databases, a locale that the server knows; their encoding is UTF8." },
	{ 0 },
};

static int open_server(struct postgresql *pg, struct arena *arena, struct loop *loop,
		       struct err *err)
{
	const struct postgresql_config *config = &pg->config;
	struct postgresql_server *server = &pg->server;
	struct dial_address address;
	struct buf ca = { 0 };
	int rc = pg_lib_load(&pg->lib, err);

	if (rc < 0)
		return rc;
	*server = (struct postgresql_server){
		.lib = &pg->lib,
		.host = config->host.p,
		.port = (uint16_t)config->port,
		.user = config->user.p,
		.password = secret_reveal(&config->password).p,
		.database = config->database.p,
		.ca = config->ca.p,
	};
	if (server->ca) {
		rc = conf_read_file(server->ca, 1 << 20, &ca, NULL, err);
		pg->ca = arena_str(arena, buf_str(&ca));
		buf_finish(&ca);
		if (rc < 0)
			return err_wrap(err, "ca");
	}
	if (config->host.p[0] == '/' || dial_ip(config->host, 1, &address))
		return 0;
	return dns_create(loop, &(struct dns_config){ 0 }, &server->dns, err);
}

static void close_server(struct postgresql *pg)
{
	dns_destroy(pg->server.dns);
	pg->server.dns = NULL;
}

void postgresql_put_server(const struct postgresql *pg, struct arena *arena,
			   struct json *credentials, const char **at, const char **options)
{
	struct str host = pg->config.host;
	struct json *tls;

	if (host.p[0] == '/')
		host = STR("127.0.0.1"); /* where the same server listens for others */
	*at = arena_printf(arena, memchr(host.p, ':', host.n) ? "[%.*s]:%d" : "%.*s:%d",
			   STR_ARG(host), (int)pg->config.port);
	/* what verifies wants the certificates in a file of its own */
	*options = pg->ca.n ? "?sslmode=require" : "";
	json_set_str(arena, credentials, "host", host);
	json_set_str(arena, credentials, "hostname", host);
	json_set_int(arena, credentials, "port", pg->config.port);
	if (!pg->ca.n)
		return;
	tls = json_object(arena);
	json_set_bool(arena, tls, "required", true);
	json_set_str(arena, tls, "ca_certificate", pg->ca);
	json_set(arena, credentials, "tls", tls);
	json_set_str(arena, credentials, "ca_certificate", pg->ca);
}

/* -- configuration ------------------------------------------------------------------------ */

const struct conf_key postgresql_plan_rows[] = {
	{ .name = "connections",
	  .type = CONF_INT,
	  CONF_AT(struct postgresql_plan, connections),
	  .fallback = "0",
	  .max = 100000,
	  .doc = "Connections that each binding's user may have at a time; 0 is no limit." },
	{ .name = "database_connections",
	  .type = CONF_INT,
	  CONF_AT(struct postgresql_plan, database_connections),
	  .fallback = "0",
	  .max = 100000,
	  .doc = "Connections that all bindings of an instance may have together; 0 is no limit." },
	{ .name = "storage",
	  .type = CONF_SIZE,
	  CONF_AT(struct postgresql_plan, storage),
	  .fallback = "0",
	  .max = INT64_MAX,
	  .doc = "What a database may hold when it changes to this plan, an empty one takes some "
		 "8M; 0 is no limit." },
	{ 0 },
};

int postgresql_open(const struct backend_env *env, struct offering *offering, struct arena *arena,
		    struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	const char *path = arena_printf(arena, "%.*s.config", STR_ARG(config->path));
	struct postgresql *pg = arena_new(arena, struct postgresql);
	struct err err;
	int rc = conf_decode(postgresql_service_rows, config->config, path, &pg->config, arena,
			     errors);
	size_t i;

	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];

		plan->data = arena_new(arena, struct postgresql_plan);
		if (!plan->config)
			continue;
		path = arena_printf(arena, "%.*s.config", STR_ARG(plan->config->path));
		if (conf_decode(postgresql_plan_rows, plan->config->config, path, plan->data, arena,
				errors))
			rc = ERR_INVALID;
	}
	if (rc == 0 && open_server(pg, arena, env->loop, &err) < 0) {
		conf_errors_add(errors, config->config, config->path.p, "%s", err.text);
		rc = ERR_INVALID;
	}
	pg->base.env = env;
	*out = &pg->base;
	return rc;
}

void postgresql_close(struct backend *backend)
{
	close_server(container_of(backend, struct postgresql, base));
}
