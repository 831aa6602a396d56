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

static int mysql_open(const struct backend_env *env, struct offering *offering, struct arena *arena,
		      struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	struct mysql *mysql = arena_new(arena, struct mysql);
	struct err err;
	size_t i;
	int rc;

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

/* -- steps: on the instance's server --------------------------------------------------------- */

static struct mysql_op *op_of(struct op *flow)
{
	return container_of(osb_op_of(flow), struct mysql_op, osb);
}

static void start_script(struct mysql_op *op, struct arena *arena,
			 const struct database_server *server,
			 enum mysql_next (*next)(struct mysql_script *, struct buf *))
{
	struct reach *reach = &mysql_of(op->osb.backend)->reach[server->index];

	snprintf(op->lock, sizeof(op->lock), "osbd.%s",
		 op->osb.binding_id.n ? op->user : op->database);
	op->http = 0;
	op->no_room = op->in_user = false;
	op->server = server;
	op->ready = &reach->ready;
	op->script.name = op->osb.job.op.name ? op->osb.job.op.name : "orphans";
	op->script.pool = &reach->pool;
	op->script.arena = arena;
	op->script.lock = next == mysql_next_room || next == mysql_next_marks ? NULL : op->lock;
	op->script.next = next;
	mysql_script_start(&op->script);
}

static enum op_verdict ask(struct op *flow,
			   enum mysql_next (*next)(struct mysql_script *, struct buf *))
{
	struct osb_op *osb = osb_op_of(flow);
	struct str unknown;
	const struct database_server *server = database_server(osb, &unknown);

	if (unknown.n)
		return op_fail(flow, ERR_NOENT, "server %.*s is not in the configuration any more",
			       STR_ARG(unknown));
	if (!server && next == mysql_next_deprovision)
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
	struct mysql_op *op = op_of(flow);

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
	start_script(container_of(choice, struct mysql_op, choice), &choice->op->job.op.arena,
		     server, mysql_next_room);
	return 0;
}

static void found_room(struct database_choice *choice, uint64_t *databases, uint64_t *storage)
{
	struct mysql_op *op = container_of(choice, struct mysql_op, choice);

	*databases = mysql_number(&op->script, 0, 0);
	*storage = mysql_number(&op->script, 0, 1);
}

static enum op_verdict ask_place(struct op *flow)
{
	struct mysql_op *op = op_of(flow);

	op->choice.asking = &op->script.call;
	op->choice.ask = ask_room;
	op->choice.found = found_room;
	return database_choose(flow, &op->choice);
}

static enum op_verdict placed(struct op *flow, int status)
{
	struct mysql_op *op = op_of(flow);

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
	return verdict == OP_NEXT ? ask(flow, mysql_next_provision) : verdict;
}

static enum op_verdict provisioned(struct op *flow, int status)
{
	struct mysql_op *op = op_of(flow);
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
	return ask(flow, mysql_next_update);
}

static enum op_verdict ask_deprovision(struct op *flow)
{
	return ask(flow, mysql_next_deprovision);
}

static enum op_verdict ask_bind(struct op *flow)
{
	return ask(flow, mysql_next_bind);
}

static enum op_verdict ask_unbind(struct op *flow)
{
	return ask(flow, mysql_next_unbind);
}

static enum op_verdict bound(struct op *flow, int status)
{
	struct mysql_op *op = op_of(flow);

	if (status == 0)
		database_hand_out(&op->osb, op->server, "mysql", "&sslMode=VERIFY_CA",
				  "?ssl-mode=VERIFY_CA");
	return taken(flow, status);
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

static void survey_next(struct backend_survey *survey, struct mysql_op *op, size_t server)
{
	const struct database *database = container_of(op->osb.backend, struct database, base);

	if (server == database->config.n_servers)
		call_end(&survey->call, 0);
	else
		start_script(op, survey->arena, &database->config.servers[server],
			     mysql_next_marks);
}

static void surveyed(struct call *call, int status)
{
	struct backend_survey *survey = call->data;
	struct mysql_op *op = survey->own;
	const struct my_result *rows = &op->script.request.result;
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
			.name = my_cell(rows, i, 0),
			.binding = str_is(my_cell(rows, i, 1), "1"),
			.there = str_is(my_cell(rows, i, 2), "1"),
			.where = op->server->name,
			.at = op->server->index,
		};
	survey_next(survey, op, op->server->index + 1);
}

static struct mysql_op *survey_op(struct backend *backend, struct backend_survey *survey,
				  call_done done)
{
	struct mysql_op *op = arena_new(survey->arena, struct mysql_op);

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
	struct mysql_op *op = survey->own;

	if (status < 0)
		survey->err = op->script.err;
	call_end(&survey->call, status);
}

static void remove_thing(struct backend *backend, struct backend_survey *survey,
			 const struct backend_thing *thing)
{
	struct mysql_op *op = survey_op(backend, survey, removed);
	const struct database *database = container_of(backend, struct database, base);

	op->osb.binding_id = thing->binding ? thing->name : (struct str){ 0 };
	snprintf(thing->binding ? op->user : op->database, DATABASE_NAME, "%.*s",
		 STR_ARG(thing->name));
	start_script(op, survey->arena, &database->config.servers[thing->at],
		     thing->binding ? mysql_next_unbind : mysql_next_deprovision);
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
	{ "prepare", database_make_password, NULL, 0, 0 },
	{ "create", ask_bind, bound, WITHIN },
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
	.doc = "makes databases and users on MySQL or MariaDB servers",
	.service_rows = service_rows,
	.plan_rows = plan_rows,
	.open = mysql_open,
	.close = close_all,
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
