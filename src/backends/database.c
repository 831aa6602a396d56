/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/database.h"

#include "core/digest.h"
#include "core/url.h"

#include <stdio.h>

/* -- configuration ------------------------------------------------------------------------ */

static const struct conf_key tls_rows[] = {
	{ .name = "ca",
	  .type = CONF_PATH,
	  .flags = CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct database_tls, ca),
	  .doc = "Who signs the server's certificate, PEM. Applications get it, too.",
	  .example = "/etc/osbd/database-ca.pem" },
	{ .name = "name",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN | CONF_NONEMPTY,
	  CONF_AT(struct database_tls, name),
	  .doc = "The name that the certificate must be for, when it is not the host.",
	  .example = "db1.example.com" },
	{ 0 },
};

static void check_name(struct conf *conf, const struct json *node, void *field)
{
	const struct str *name = field;

	if (name->n > 64 || !str_is_unreserved(*name))
		conf_error(conf, node, "must be at most 64 letters, digits, -, ., _ or ~");
}

const struct conf_key database_name_row = { .name = "",
					    .type = CONF_STRING,
					    .flags = CONF_NONEMPTY,
					    .width = sizeof(struct str),
					    .doc = "A name." };

const struct conf_key database_server_rows[] = {
	{ .name = "name",
	  .type = CONF_STRING,
	  .flags = CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct database_server, name),
	  .check = check_name,
	  .doc = "What osbd calls it. It is kept with every instance: do not change it while there "
		 "are any.",
	  .example = "one" },
	{ .name = "host",
	  .type = CONF_STRING,
	  .flags = CONF_NONEMPTY,
	  CONF_AT(struct database_server, host),
	  .fallback = "127.0.0.1",
	  .doc = "A host name, an IP address, or the path of a unix socket." },
	{ .name = "public_host",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN | CONF_NONEMPTY,
	  CONF_AT(struct database_server, public_host),
	  .doc = "The host that applications get; absent: the same, and 127.0.0.1 for a socket.",
	  .example = "db1.apps.internal" },
	{ .name = "port",
	  .type = CONF_INT,
	  CONF_AT(struct database_server, port),
	  .fallback = "0",
	  .max = 65535,
	  .doc = "Its port, for osbd and for applications; 0 is the usual one." },
	{ .name = "user",
	  .type = CONF_STRING,
	  .flags = CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct database_server, user),
	  .doc = "osbd's own user there, who may create databases and users, grant all on them, "
		 "see and end all sessions.",
	  .example = "osbd" },
	{ .name = "password",
	  .type = CONF_SECRET,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct database_server, password),
	  .doc = "That user's.",
	  .example = "{file: /etc/osbd/database-password}" },
	{ .name = "other_password",
	  .type = CONF_SECRET,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct database_server, other_password),
	  .doc = "Tried when the server refuses the password, so that it can be changed without a "
		 "restart: put the new one here, reload, change it on the server, make it the "
		 "password.",
	  .example = "{file: /etc/osbd/database-password.next}" },
	{ .name = "tls",
	  .type = CONF_OBJECT,
	  .flags = CONF_OPTIONAL | CONF_HIDDEN,
	  CONF_AT(struct database_server, tls),
	  .rows = tls_rows,
	  .size = sizeof(struct database_tls),
	  .doc = "Connections to it are encrypted, and its certificate must be right; applications "
		 "must encrypt theirs, too. Absent: they are not." },
	{ .name = "databases",
	  .type = CONF_INT,
	  CONF_AT(struct database_server, databases),
	  .fallback = "0",
	  .max = 1000000,
	  .doc = "How many databases it may hold; 0 is no limit." },
	{ .name = "storage",
	  .type = CONF_SIZE,
	  CONF_AT(struct database_server, storage),
	  .fallback = "0",
	  .max = INT64_MAX,
	  .doc = "What the plans of all databases on it may promise together; 0 is no limit." },
	{ .name = "sessions",
	  .type = CONF_INT,
	  CONF_AT(struct database_server, sessions),
	  .fallback = "8",
	  .min = 1,
	  .max = 1000,
	  .doc = "How many sessions each node opens there for operations." },
	{ 0 },
};

static const char *const placeholders[] = { "instance_id", "database", "server" };

/* The placeholder that begins at p, or NULL; *n is its length with the braces. */
static const char *placeholder(const char *p, size_t left, size_t *n)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(placeholders); i++) {
		*n = strlen(placeholders[i]) + 2;
		if (*n <= left && memcmp(p + 1, placeholders[i], *n - 2) == 0 && p[*n - 1] == '}')
			return placeholders[i];
	}
	return NULL;
}

void database_check_dashboard(struct conf *conf, const struct json *node, void *field)
{
	const struct str *text = field;
	size_t i, n;

	if (!str_starts(*text, STR("https://")) && !str_starts(*text, STR("http://")))
		conf_error(conf, node, "must begin with https:// or http://");
	for (i = 0; i < text->n; i++) {
		if (text->p[i] == '{' && !placeholder(text->p + i, text->n - i, &n))
			conf_error(conf, node,
				   "must name {instance_id}, {database} or {server} in braces");
		if ((unsigned char)text->p[i] <= ' ')
			conf_error(conf, node, "must not hold blanks");
	}
}

static int finish_server(struct database *database, size_t i, const char *path, int default_port,
			 struct arena *arena, struct conf_errors *errors)
{
	struct database_server *server = &database->config.servers[i];
	const struct json *node = database->offering->config->config;
	struct buf pem = { 0 };
	struct err err;
	size_t j;
	int rc = 0;

	path = arena_printf(arena, "%s.servers[%zu]", path, i);
	server->index = i;
	server->path = server->host.p[0] == '/';
	if (server->port == 0)
		server->port = default_port;
	for (j = 0; j < i; j++) {
		if (!str_eq(server->name, database->config.servers[j].name))
			continue;
		conf_errors_add(errors, node, path, "the name %.*s is there twice",
				STR_ARG(server->name));
		rc = ERR_INVALID;
	}
	if (!server->tls)
		return rc;
	if (server->path) {
		conf_errors_add(errors, node, path, "a unix socket has no TLS");
		return ERR_INVALID;
	}
	if (conf_read_file(server->tls->ca.p, 1 << 20, &pem, NULL, &err) < 0) {
		conf_errors_add(errors, node, path, "tls.ca: %s", err.text);
		rc = ERR_INVALID;
	} else {
		server->ca = arena_str(arena, buf_str(&pem));
	}
	buf_finish(&pem);
	return rc;
}

static int finish_plan(struct database *database, struct plan *plan, const char *path,
		       struct conf_errors *errors)
{
	const struct offering *offering = database->offering;
	struct database_plan *own = plan->data;
	const struct json *node = plan->config ? plan->config->config : NULL;
	const struct database_server *server;
	size_t i, j;
	int rc = 0;

	own->any_change = !json_get(node, "changes_to");
	for (i = 0; i < own->n_changes_to; i++) {
		for (j = 0; j < offering->n_plans; j++)
			if (str_eq(own->changes_to[i], offering->plans[j].name))
				break;
		if (j < offering->n_plans)
			continue;
		conf_errors_add(errors, node, path, "changes_to: there is no plan %.*s",
				STR_ARG(own->changes_to[i]));
		rc = ERR_INVALID;
	}
	if (!own->n_server_names && database->config.n_servers)
		own->servers = UINT64_MAX >> (DATABASE_SERVERS - database->config.n_servers);
	for (i = 0; i < own->n_server_names; i++) {
		server = database_find(database, own->server_names[i]);
		if (server) {
			own->servers |= UINT64_C(1) << server->index;
			continue;
		}
		conf_errors_add(errors, node, path, "servers: the service has no server %.*s",
				STR_ARG(own->server_names[i]));
		rc = ERR_INVALID;
	}
	if (!own->collation.n)
		own->collation = database->config.collation;
	return rc;
}

int database_open(struct database *database, const struct backend_env *env,
		  struct offering *offering, const struct conf_key *service_rows,
		  const struct conf_key *plan_rows, int default_port, struct arena *arena,
		  struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	const char *path = arena_printf(arena, "%.*s.config", STR_ARG(config->path));
	struct database_config *own = &database->config;
	int rc = conf_decode(service_rows, config->config, path, own, arena, errors);
	size_t i;

	database->base.env = env;
	database->offering = offering;
	for (i = 0; rc == 0 && i < own->n_servers; i++)
		rc = finish_server(database, i, path, default_port, arena, errors);
	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];

		plan->data = arena_new(arena, struct database_plan);
		path = plan->config
			       ? arena_printf(arena, "%.*s.config", STR_ARG(plan->config->path))
			       : "";
		if (conf_decode(plan_rows, plan->config ? plan->config->config : NULL, path,
				plan->data, arena, errors) ||
		    (rc == 0 && finish_plan(database, plan, path, errors)))
			rc = ERR_INVALID;
	}
	database->quotas = arena_zalloc(arena, (own->n_servers + 1) * sizeof(*database->quotas));
	database->states = arena_zalloc(arena, (own->n_servers + 1) * sizeof(*database->states));
	for (i = 0; rc == 0 && i < own->n_servers; i++) {
		struct database_state *state = &database->states[i];
		struct buf labels = { 0 };

		buf_puts(&labels, "service=\"");
		metric_escape(&labels, offering->name);
		buf_puts(&labels, "\",server=\"");
		metric_escape(&labels, own->servers[i].name);
		buf_puts(&labels, "\"");
		state->full_gauge = (struct metric){
			.kind = METRIC_GAUGE,
			.name = "osbd_databases_over_quota",
			.help = "Databases that hold more than their plan's storage.",
			.labels = arena_str(arena, buf_str(&labels)).p,
		};
		state->databases_gauge = state->storage_gauge = state->full_gauge;
		state->databases_gauge.name = "osbd_databases";
		state->databases_gauge.help = "Databases that carry a mark of osbd.";
		state->storage_gauge.name = "osbd_database_storage_promised_bytes";
		state->storage_gauge.help = "Storage of the plans of these databases.";
		buf_finish(&labels);
	}
	return rc;
}

void database_close(struct database *database)
{
	size_t i;

	database_hide(database);
	for (i = 0; database->states && i < database->config.n_servers; i++)
		mem_free(database->states[i].full);
}

const struct database_server *database_find(const struct database *database, struct str name)
{
	size_t i;

	for (i = 0; i < database->config.n_servers; i++)
		if (str_eq(database->config.servers[i].name, name))
			return &database->config.servers[i];
	return NULL;
}

/* -- requests ------------------------------------------------------------------------------ */

static bool may_change(const struct plan *from, const struct plan *to)
{
	const struct database_plan *own = from->data;
	size_t i;

	if (from == to || own->any_change)
		return true;
	for (i = 0; i < own->n_changes_to; i++)
		if (str_eq(own->changes_to[i], to->name))
			return true;
	return false;
}

int database_check(struct backend *backend, const struct backend_request *request, struct err *err)
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
	if (request->verb == STORE_UPDATE && !may_change(request->before, request->plan))
		return err_set(err, ERR_INVALID, "plan %.*s does not change to plan %.*s",
			       STR_ARG(request->before->name), STR_ARG(request->plan->name));
	return 0;
}

const struct json *database_attributes(struct backend *backend, struct str platform,
				       struct str instance_id, struct arena *arena)
{
	const struct database *database = container_of(backend, struct database, base);
	struct json *attributes;
	char name[DATABASE_NAME];
	size_t i, j;

	database_derive(platform, instance_id, (struct str){ 0 }, name);
	for (i = 0; i < database->config.n_servers; i++)
		for (j = 0; j < database->states[i].n_full; j++)
			if (strcmp(database->states[i].full[j], name) == 0) {
				attributes = json_object(arena);
				json_set_cstr(arena, attributes, "over_quota", "true");
				return attributes;
			}
	return NULL;
}

/* -- steps --------------------------------------------------------------------------------- */

void database_derive(struct str platform, struct str instance_id, struct str binding_id,
		     char out[DATABASE_NAME])
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	struct buf ids = { 0 };

	buf_put_str(&ids, platform);
	buf_putc(&ids, '\0');
	buf_put_str(&ids, instance_id);
	if (binding_id.p) {
		buf_putc(&ids, '\0');
		buf_put_str(&ids, binding_id);
	}
	digest_sha256(ids.p, ids.n, digest);
	buf_finish(&ids);
	hex_encode(digest, sizeof(digest), hex);
	snprintf(out, DATABASE_NAME, "%c%.31s", binding_id.p ? 'b' : 'd', hex);
}

void database_names(const struct osb_op *op, char name[DATABASE_NAME], char user[DATABASE_NAME])
{
	database_derive(op->platform, op->instance_id, (struct str){ 0 }, name);
	database_derive(op->platform, op->instance_id, op->binding_id.p ? op->binding_id : STR(""),
			user);
}

const struct database_server *database_server(const struct osb_op *op, struct str *unknown)
{
	const struct database *database = container_of(op->backend, struct database, base);
	struct str name = json_str(json_get(op->job.op.memo, "server"));
	const struct database_server *server;

	if (!name.n)
		name = json_str(json_get(op->instance_private, "server"));
	*unknown = (struct str){ 0 };
	server = name.n ? database_find(database, name) : NULL;
	if (!server)
		*unknown = name;
	return server;
}

void database_place(struct osb_op *op, const struct database_server *server)
{
	struct op *flow = &op->job.op;
	struct json *private = json_object(&flow->arena);

	json_set_str(&flow->arena, flow->memo, "server", server->name);
	json_set_str(&flow->arena, private, "server", server->name);
	osb_set_private(op, private);
}

static uint64_t full_ones(const struct osb_op *op)
{
	int64_t bits = 0;

	(void)json_to_int(json_get(op->job.op.memo, "full"), &bits);
	return (uint64_t)bits;
}

void database_unplace(struct osb_op *op, const struct database_server *server)
{
	struct op *flow = &op->job.op;

	json_set_int(&flow->arena, flow->memo, "full",
		     (int64_t)(full_ones(op) | UINT64_C(1) << server->index));
	json_set_str(&flow->arena, flow->memo, "server", STR(""));
}

uint64_t database_candidates(const struct osb_op *op)
{
	const struct database_plan *plan = op->plan->data;

	return plan->servers & ~full_ones(op);
}

double database_room(const struct database_server *server, const struct database_plan *plan,
		     uint64_t databases, uint64_t storage)
{
	double room = 1, by_storage;

	if (server->databases) {
		if (databases >= (uint64_t)server->databases)
			return -1;
		room = 1 - (double)databases / (double)server->databases;
	}
	if (server->storage) {
		if (storage > server->storage || plan->storage > server->storage - storage)
			return -1;
		by_storage = 1 - (double)storage / (double)server->storage;
		room = by_storage < room ? by_storage : room;
	}
	return room;
}

bool database_reader(const struct osb_op *op)
{
	return json_bool_value(json_get(op->parameters, "read_only"));
}

enum op_verdict database_make_password(struct op *flow)
{
	char password[DATABASE_PASSWORD + 1];

	random_id(password, DATABASE_PASSWORD);
	json_set_cstr(&flow->arena, flow->memo, "password", password);
	mem_wipe(password, sizeof(password));
	return OP_NEXT;
}

struct str database_password(const struct osb_op *op)
{
	return json_str(json_get(op->job.op.memo, "password"));
}

void database_hand_out(struct osb_op *op, const struct database_server *server, const char *scheme,
		       const char *jdbc, const char *query)
{
	struct arena *arena = &op->job.op.arena;
	struct json *credentials = json_object(arena), *tls;
	struct str host = server->public_host, password = database_password(op);
	char name[DATABASE_NAME], user[DATABASE_NAME];
	const char *at;

	if (!host.n)
		host = server->path ? STR("127.0.0.1") : server->host;
	database_names(op, name, user);
	at = arena_printf(arena, memchr(host.p, ':', host.n) ? "[%.*s]:%d/%s" : "%.*s:%d/%s",
			  STR_ARG(host), (int)server->port, name);
	json_set_str(arena, credentials, "host", host);
	json_set_str(arena, credentials, "hostname", host);
	json_set_int(arena, credentials, "port", server->port);
	json_set_cstr(arena, credentials, "name", name);
	json_set_cstr(arena, credentials, "database", name);
	json_set_cstr(arena, credentials, "username", user);
	json_set_str(arena, credentials, "password", password);
	json_set_cstr(arena, credentials, "uri",
		      arena_printf(arena, "%s://%s:%.*s@%s%s", scheme, user, STR_ARG(password), at,
				   server->ca.n ? query : ""));
	json_set_cstr(arena, credentials, "jdbcUrl",
		      arena_printf(arena, "jdbc:%s://%s?user=%s&password=%.*s%s", scheme, at, user,
				   STR_ARG(password), server->ca.n ? jdbc : ""));
	if (server->ca.n) {
		tls = json_object(arena);
		json_set_bool(arena, tls, "required", true);
		json_set_str(arena, tls, "ca_certificate", server->ca);
		json_set(arena, credentials, "tls", tls);
		json_set_str(arena, credentials, "ca_certificate", server->ca);
	}
	osb_set_credentials(op, credentials);
}

void database_set_dashboard(struct osb_op *op, const struct database_server *server)
{
	const struct database *database = container_of(op->backend, struct database, base);
	struct str text = database->config.dashboard_url;
	struct arena *arena = &op->job.op.arena;
	struct buf url = { 0 };
	char name[DATABASE_NAME];
	size_t i = 0, n;

	if (!text.n)
		return;
	database_derive(op->platform, op->instance_id, (struct str){ 0 }, name);
	while (i < text.n) {
		const char *what =
			text.p[i] == '{' ? placeholder(text.p + i, text.n - i, &n) : NULL;

		if (!what) {
			buf_putc(&url, text.p[i++]);
			continue;
		}
		if (strcmp(what, "database") == 0)
			buf_puts(&url, name);
		else
			buf_put_str(&url, url_encode(arena, strcmp(what, "server") == 0
								    ? server->name
								    : op->instance_id));
		i += n;
	}
	osb_set_dashboard_url(op, arena_str(arena, buf_str(&url)));
	buf_finish(&url);
}

/* -- what is known of servers -------------------------------------------------------------- */

void database_show(struct database *database)
{
	struct metrics *metrics = database->base.env->metrics;
	size_t i;

	if (database->shown || !metrics)
		return;
	database->shown = true;
	for (i = 0; i < database->config.n_servers; i++) {
		metrics_add(metrics, &database->states[i].databases_gauge);
		metrics_add(metrics, &database->states[i].storage_gauge);
		metrics_add(metrics, &database->states[i].full_gauge);
	}
}

void database_hide(struct database *database)
{
	size_t i;

	for (i = 0; database->shown && i < database->config.n_servers; i++) {
		metrics_remove(&database->states[i].databases_gauge);
		metrics_remove(&database->states[i].storage_gauge);
		metrics_remove(&database->states[i].full_gauge);
	}
	database->shown = false;
}

void database_found(struct database *database, size_t server, const struct str *full, size_t n_full,
		    uint64_t databases, uint64_t storage)
{
	struct database_state *state = &database->states[server];
	size_t i;

	mem_free(state->full);
	state->full = mem_zalloc((n_full + 1) * sizeof(*state->full));
	state->n_full = n_full;
	for (i = 0; i < n_full; i++)
		snprintf(state->full[i], sizeof(state->full[i]), "%.*s", STR_ARG(full[i]));
	metric_set(&state->full_gauge, (double)n_full);
	metric_set(&state->databases_gauge, (double)databases);
	metric_set(&state->storage_gauge, (double)storage);
}
