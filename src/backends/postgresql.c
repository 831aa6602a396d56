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

static int postgresql_open(const struct backend_env *env, struct offering *offering,
			   struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	struct postgresql *pg = arena_new(arena, struct postgresql);
	struct err err;
	size_t i;
	int rc;

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

/* -- steps: on the instance's server --------------------------------------------------------- */

static struct postgresql_op *op_of(struct op *flow)
{
	return container_of(osb_op_of(flow), struct postgresql_op, osb);
}

/* The names are set. */
static void start_script(struct postgresql_op *op, struct arena *arena,
			 const struct database_server *server,
			 enum postgresql_next (*next)(struct postgresql_script *, struct buf *))
{
	op->http = 0;
	op->no_room = op->in_user = false;
	op->server = server;
	op->script.server = &postgresql_of(op->osb.backend)->servers[server->index];
	op->script.arena = arena;
	op->script.lock = op->osb.binding_id.n ? op->user : op->database;
	if (next == postgresql_next_room || next == postgresql_next_marks)
		op->script.lock = NULL;
	op->script.next = next;
	postgresql_script_start(&op->script);
}

static enum op_verdict ask(struct op *flow,
			   enum postgresql_next (*next)(struct postgresql_script *, struct buf *))
{
	struct osb_op *osb = osb_op_of(flow);
	struct str unknown;
	const struct database_server *server = database_server(osb, &unknown);

	if (unknown.n)
		return op_fail(flow, ERR_NOENT, "server %.*s is not in the configuration any more",
			       STR_ARG(unknown));
	if (!server && next == postgresql_next_deprovision)
		return OP_NEXT; /* nothing was begun */
	if (!server)
		return op_fail(flow, ERR_NOENT, "it is not known where the database stands");
	database_names(osb, op_of(flow)->database, op_of(flow)->user);
	op_call(flow, &op_of(flow)->script.call);
	start_script(op_of(flow), &flow->arena, server, next);
	return OP_WAIT;
}

static enum op_verdict taken(struct op *flow, int status)
{
	struct postgresql_op *op = op_of(flow);

	if (status == 0)
		return OP_NEXT;
	if (op->script.again) {
		snprintf(flow->progress, sizeof(flow->progress), "%.200s", op->script.err.text);
		return OP_AGAIN;
	}
	if (op->http)
		return osb_fail(&op->osb, op->http, op->code, 0, "%s", op->script.err.text);
	return op_fail(flow, status, "%s", op->script.err.text);
}

/* -- provision ------------------------------------------------------------------------------- */

static int ask_room(struct database_choice *choice, const struct database_server *server)
{
	struct postgresql_op *op = container_of(choice, struct postgresql_op, choice);

	start_script(op, &op->osb.job.op.arena, server, postgresql_next_room);
	return 0;
}

static void found_room(struct database_choice *choice, uint64_t *databases, uint64_t *storage)
{
	struct postgresql_op *op = container_of(choice, struct postgresql_op, choice);

	*databases = postgresql_number(&op->script, 0, 0);
	*storage = postgresql_number(&op->script, 0, 1);
}

static enum op_verdict ask_place(struct op *flow)
{
	struct postgresql_op *op = op_of(flow);

	op->choice.asking = &op->script.call;
	op->choice.ask = ask_room;
	op->choice.found = found_room;
	return database_choose(flow, &op->choice);
}

static enum op_verdict placed(struct op *flow, int status)
{
	struct postgresql_op *op = op_of(flow);

	return database_chosen(flow, &op->choice, status, op->script.err.text);
}

static bool has_place(const struct osb_op *osb)
{
	struct str unknown;

	return database_server(osb, &unknown) || unknown.n;
}

static enum op_verdict ask_provision(struct op *flow)
{
	enum op_verdict verdict = OP_NEXT;

	if (!has_place(osb_op_of(flow))) /* the one chosen was full */
		verdict = ask_place(flow);
	return verdict == OP_NEXT ? ask(flow, postgresql_next_provision) : verdict;
}

static enum op_verdict provisioned(struct op *flow, int status)
{
	struct postgresql_op *op = op_of(flow);
	enum op_verdict verdict;

	if (!has_place(&op->osb)) {
		verdict = placed(flow, status);
		return verdict == OP_NEXT ? OP_AGAIN : verdict;
	}
	if (status < 0 && op->no_room)
		return database_choose_another(flow, op->server);
	if (status == 0)
		database_set_dashboard(&op->osb, op->server);
	return taken(flow, status);
}

/* -- the other verbs --------------------------------------------------------------------------- */

static enum op_verdict ask_update(struct op *flow)
{
	struct osb_op *osb = osb_op_of(flow);
	const struct database_plan *plan = osb->plan->data;
	struct str unknown;
	const struct database_server *server = database_server(osb, &unknown);

	if (server && !(plan->servers >> server->index & 1))
		return osb_fail(osb, 400, "PlanElsewhere", 0,
				"the database is on a server that plan %.*s does not use",
				STR_ARG(osb->plan->name));
	return ask(flow, postgresql_next_update);
}

static enum op_verdict ask_deprovision(struct op *flow)
{
	return ask(flow, postgresql_next_deprovision);
}

static enum op_verdict prepare(struct op *flow)
{
	enum op_verdict verdict = database_make_password(flow);

	return verdict == OP_NEXT ? postgresql_make_verifier(flow) : verdict;
}

static enum op_verdict ask_bind(struct op *flow)
{
	return ask(flow, postgresql_next_bind);
}

static enum op_verdict ask_unbind(struct op *flow)
{
	return ask(flow, postgresql_next_unbind);
}

static enum op_verdict hand_out(struct op *flow)
{
	struct osb_op *osb = osb_op_of(flow);
	struct str unknown;
	const struct database_server *server = database_server(osb, &unknown);

	if (!server)
		return op_fail(flow, ERR_NOENT, "server %.*s is not in the configuration any more",
			       STR_ARG(unknown));
	/* to verify, a client wants the certificates in a file of its own */
	database_hand_out(osb, server, "postgresql", "&sslmode=require", "?sslmode=require");
	return OP_NEXT;
}

/* -- what is on the servers ------------------------------------------------------------------- */

static struct str name_of(struct backend *backend, struct str platform, struct str instance_id,
			  struct str binding_id, struct arena *arena)
{
	char name[DATABASE_NAME];

	(void)backend;
	database_derive(platform, instance_id, binding_id, name);
	return arena_str(arena, str_of(name));
}

static void survey_next(struct backend_survey *survey, struct postgresql_op *op, size_t server)
{
	const struct database *database = container_of(op->osb.backend, struct database, base);

	if (server == database->config.n_servers)
		call_end(&survey->call, 0);
	else
		start_script(op, survey->arena, &database->config.servers[server],
			     postgresql_next_marks);
}

static void surveyed(struct call *call, int status)
{
	struct backend_survey *survey = call->data;
	struct postgresql_op *op = survey->own;
	const struct sql_result *rows = &op->script.result;
	struct backend_thing *things;
	size_t i;

	if (status < 0) {
		err_set(&survey->err, status, "server %.*s: %.300s", STR_ARG(op->server->name),
			op->script.err.text);
		call_end(&survey->call, status);
		return;
	}
	things = arena_alloc(survey->arena, (survey->n + rows->rows + 1) * sizeof(*things));
	if (survey->n)
		memcpy(things, survey->things, survey->n * sizeof(*things));
	survey->things = things;
	for (i = 0; i < rows->rows; i++)
		things[survey->n++] = (struct backend_thing){
			.name = sql_get_str(rows, i, 0),
			.binding = str_is(sql_get_str(rows, i, 1), "t"),
			.there = str_is(sql_get_str(rows, i, 2), "t"),
			.where = op->server->name,
			.at = op->server->index,
		};
	survey_next(survey, op, op->server->index + 1);
}

static struct postgresql_op *survey_op(struct backend *backend, struct backend_survey *survey,
				       call_done done)
{
	struct postgresql_op *op = arena_new(survey->arena, struct postgresql_op);

	op->osb.backend = backend;
	op->script.call.done = done;
	op->script.call.data = survey;
	survey->own = op;
	call_begin(&survey->call, NULL);
	return op;
}

static void survey(struct backend *backend, struct backend_survey *survey)
{
	survey_next(survey, survey_op(backend, survey, surveyed), 0);
}

static void removed(struct call *call, int status)
{
	struct backend_survey *survey = call->data;
	struct postgresql_op *op = survey->own;

	if (status < 0)
		survey->err = op->script.err;
	call_end(&survey->call, status);
}

static void remove_thing(struct backend *backend, struct backend_survey *survey,
			 const struct backend_thing *thing)
{
	struct postgresql_op *op = survey_op(backend, survey, removed);
	const struct database *database = container_of(backend, struct database, base);

	op->osb.binding_id = thing->binding ? thing->name : (struct str){ 0 };
	snprintf(thing->binding ? op->user : op->database, DATABASE_NAME, "%.*s",
		 STR_ARG(thing->name));
	start_script(op, survey->arena, &database->config.servers[thing->at],
		     thing->binding ? postgresql_next_remove : postgresql_next_deprovision);
}

#define WITHIN SEC(40), SEC(1)

static const struct op_step provision_steps[] = {
	{ "place", ask_place, placed, WITHIN },
	{ "create", ask_provision, provisioned, WITHIN },
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
	.doc = "makes databases and users on PostgreSQL servers",
	.service_rows = service_rows,
	.plan_rows = plan_rows,
	.open = postgresql_open,
	.close = postgresql_close,
	.check = database_check,
	.start = database_start,
	.stop = database_stop,
	.attributes = database_attributes,
	.survey = survey,
	.remove = remove_thing,
	.name_of = name_of,
	.verb = {
		[STORE_PROVISION] = VERB(provision_steps),
		[STORE_UPDATE] = VERB(update_steps),
		[STORE_DEPROVISION] = VERB(deprovision_steps),
		[STORE_BIND] = VERB(bind_steps),
		[STORE_UNBIND] = VERB(unbind_steps),
		[STORE_EXPIRE] = VERB(unbind_steps),
	},
};
