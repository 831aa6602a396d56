/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/database_steps.h"

#include <stdio.h>

static struct database_op *op_of(struct op *flow)
{
	return container_of(osb_op_of(flow), struct database_op, osb);
}

static const struct database_scripts *scripts_of(const struct database_op *op)
{
	return container_of(op->osb.backend, struct database, base)->scripts;
}

static void start(struct database_op *op, enum database_script script,
		  const struct database_server *server, struct arena *arena)
{
	op->server = server;
	op->http = 0;
	op->no_room = false;
	scripts_of(op)->start(op, script, arena);
}

static enum op_verdict ask(struct op *flow, enum database_script script)
{
	struct database_op *op = op_of(flow);
	struct str unknown;
	const struct database_server *server = database_server(&op->osb, &unknown);

	if (unknown.n)
		return op_fail(flow, ERR_NOENT, "server %.*s is not in the configuration any more",
			       STR_ARG(unknown));
	if (!server && script == DATABASE_DEPROVISION)
		return OP_NEXT; /* nothing was begun */
	if (!server)
		return op_fail(flow, ERR_NOENT, "it is not known where the database stands");
	database_names(&op->osb, op->database, op->user);
	op_call(flow, scripts_of(op)->call(op));
	start(op, script, server, &flow->arena);
	return OP_WAIT;
}

static enum op_verdict taken(struct op *flow, int status)
{
	struct database_op *op = op_of(flow);
	const struct err *why;
	bool again;

	if (status == 0)
		return OP_NEXT;
	why = scripts_of(op)->why(op, &again);
	if (again) {
		snprintf(flow->progress, sizeof(flow->progress), "%.200s", why->text);
		return OP_AGAIN;
	}
	if (op->http)
		return osb_fail(&op->osb, op->http, op->code, 0, "%s", why->text);
	return op_fail(flow, status, "%s", why->text);
}

/* -- provision ------------------------------------------------------------------------------- */

static int ask_room(struct database_choice *choice, const struct database_server *server)
{
	start(container_of(choice, struct database_op, choice), DATABASE_ROOM, server,
	      &choice->op->job.op.arena);
	return 0;
}

static void found_room(struct database_choice *choice, uint64_t *databases, uint64_t *storage)
{
	struct database_op *op = container_of(choice, struct database_op, choice);

	*databases = scripts_of(op)->number(op, 0);
	*storage = scripts_of(op)->number(op, 1);
}

static enum op_verdict ask_place(struct op *flow)
{
	struct database_op *op = op_of(flow);

	op->choice.asking = scripts_of(op)->call(op);
	op->choice.ask = ask_room;
	op->choice.found = found_room;
	return database_choose(flow, &op->choice);
}

static enum op_verdict placed(struct op *flow, int status)
{
	struct database_op *op = op_of(flow);
	bool again;

	return database_chosen(flow, &op->choice, status, scripts_of(op)->why(op, &again)->text);
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
	return verdict == OP_NEXT ? ask(flow, DATABASE_PROVISION) : verdict;
}

static enum op_verdict provisioned(struct op *flow, int status)
{
	struct database_op *op = op_of(flow);
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
	return ask(flow, DATABASE_UPDATE);
}

static enum op_verdict ask_deprovision(struct op *flow)
{
	return ask(flow, DATABASE_DEPROVISION);
}

static enum op_verdict prepare(struct op *flow)
{
	const struct database_scripts *scripts = scripts_of(op_of(flow));
	enum op_verdict verdict = database_make_password(flow);

	return verdict == OP_NEXT && scripts->prepare ? scripts->prepare(flow) : verdict;
}

static enum op_verdict ask_bind(struct op *flow)
{
	return ask(flow, DATABASE_BIND);
}

static enum op_verdict bound(struct op *flow, int status)
{
	struct database_op *op = op_of(flow);
	const struct database_scripts *scripts = scripts_of(op);

	if (status == 0)
		database_hand_out(&op->osb, op->server, scripts->scheme, scripts->jdbc,
				  scripts->query);
	return taken(flow, status);
}

static enum op_verdict ask_unbind(struct op *flow)
{
	return ask(flow, DATABASE_UNBIND);
}

#define WITHIN SEC(40), SEC(1)

const struct op_step database_provision_steps[] = {
	{ "place", ask_place, placed, WITHIN },
	{ "create", ask_provision, provisioned, WITHIN },
	{ 0 },
};

const struct op_step database_update_steps[] = {
	{ "alter", ask_update, taken, WITHIN },
	{ 0 },
};

const struct op_step database_deprovision_steps[] = {
	{ "drop", ask_deprovision, taken, WITHIN },
	{ 0 },
};

const struct op_step database_bind_steps[] = {
	{ "prepare", prepare, NULL, 0, 0 },
	{ "create", ask_bind, bound, WITHIN },
	{ 0 },
};

const struct op_step database_unbind_steps[] = {
	{ "drop", ask_unbind, taken, WITHIN },
	{ 0 },
};

/* -- what is on the servers ------------------------------------------------------------------- */

struct str database_name_of(struct backend *backend, struct str platform, struct str instance_id,
			    struct str binding_id, struct arena *arena)
{
	char name[DATABASE_NAME];

	(void)backend;
	database_derive(platform, instance_id, binding_id, name);
	return arena_str(arena, str_of(name));
}

static void survey_next(struct backend_survey *survey, struct database_op *op, size_t server)
{
	const struct database *database = container_of(op->osb.backend, struct database, base);

	if (server == database->config.n_servers)
		call_end(&survey->call, 0);
	else
		start(op, DATABASE_MARKS, &database->config.servers[server], survey->arena);
}

static void surveyed(struct call *call, int status)
{
	struct backend_survey *survey = call->data;
	struct database_op *op = survey->own;
	const struct database_scripts *scripts = scripts_of(op);
	struct backend_thing *things;
	size_t i, n;
	bool again;

	if (status < 0) {
		err_set(&survey->err, status, "server %.*s: %.300s", STR_ARG(op->server->name),
			scripts->why(op, &again)->text);
		call_end(&survey->call, status);
		return;
	}
	n = scripts->rows(op);
	things = arena_zalloc(survey->arena, (survey->n + n + 1) * sizeof(*things));
	if (survey->n)
		memcpy(things, survey->things, survey->n * sizeof(*things));
	survey->things = things;
	for (i = 0; i < n; i++) {
		struct backend_thing *thing = &things[survey->n++];

		scripts->mark(op, i, thing);
		thing->where = op->server->name;
		thing->at = op->server->index;
	}
	survey_next(survey, op, op->server->index + 1);
}

static struct database_op *survey_op(struct backend *backend, struct backend_survey *survey,
				     call_done done)
{
	struct database_op *op = arena_zalloc(survey->arena, backend->type->verb[STORE_BIND].size);
	struct call *call;

	op->osb.backend = backend;
	call = scripts_of(op)->call(op);
	call->done = done;
	call->data = survey;
	survey->own = op;
	call_begin(&survey->call, NULL);
	return op;
}

void database_survey(struct backend *backend, struct backend_survey *survey)
{
	survey_next(survey, survey_op(backend, survey, surveyed), 0);
}

static void removed(struct call *call, int status)
{
	struct backend_survey *survey = call->data;
	struct database_op *op = survey->own;
	bool again;

	if (status < 0)
		survey->err = *scripts_of(op)->why(op, &again);
	call_end(&survey->call, status);
}

void database_remove(struct backend *backend, struct backend_survey *survey,
		     const struct backend_thing *thing)
{
	struct database_op *op = survey_op(backend, survey, removed);
	const struct database *database = container_of(backend, struct database, base);

	op->osb.binding_id = thing->binding ? thing->name : (struct str){ 0 };
	snprintf(thing->binding ? op->user : op->database, DATABASE_NAME, "%.*s",
		 STR_ARG(thing->name));
	start(op, thing->binding ? DATABASE_REMOVE : DATABASE_DEPROVISION,
	      &database->config.servers[thing->at], survey->arena);
}

/* -- SQL that is the same everywhere ------------------------------------------------------------ */

void database_put_promised(struct buf *text, const struct database_op *op, bool count)
{
	const struct database_plan *plan = op->osb.plan->data;
	const struct database_server *server = op->server;

	buf_printf(text,
		   " FROM (SELECT COUNT(*) AS n, COALESCE(SUM(storage), 0) AS s FROM osbd.marks "
		   "WHERE name = of_database AND name <> '%s') AS others WHERE TRUE",
		   op->database);
	if (count && server->databases)
		buf_printf(text, " AND n < %lld", (long long)server->databases);
	if (server->storage)
		buf_printf(text, " AND s + %llu <= %llu", (unsigned long long)plan->storage,
			   (unsigned long long)server->storage);
}
