/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/flow.h"

#include "core/json_same.h"
#include "osb/unbind_all.h"

/* -- what makes two requests the same ----------------------------------------------------- */

static void same_str(struct arena *arena, struct json *list, struct str s)
{
	json_append(arena, list, json_string(arena, s));
}

static struct str same_text(struct arena *arena, struct json *list, const struct json *parameters)
{
	struct buf buf = { 0 };
	struct str text;

	if (json_len(parameters))
		json_append(arena, list, json_shared(parameters));
	json_write_same(&buf, list);
	text = arena_str(arena, buf_str(&buf));
	buf_wipe(&buf);
	return text;
}

struct str same_instance(struct arena *arena, struct str service_id, struct str plan_id,
			 struct str organization, struct str space, const struct json *parameters)
{
	struct json *list = json_array(arena);

	same_str(arena, list, service_id);
	same_str(arena, list, plan_id);
	same_str(arena, list, organization);
	same_str(arena, list, space);
	return same_text(arena, list, parameters);
}

struct str same_binding(struct arena *arena, struct str service_id, struct str plan_id,
			const struct json *bind_resource, struct str predecessor,
			const struct json *parameters)
{
	struct json *list = json_array(arena);

	same_str(arena, list, service_id);
	same_str(arena, list, plan_id);
	same_str(arena, list, json_str(json_get(bind_resource, "app_guid")));
	same_str(arena, list, json_str(json_get(bind_resource, "route")));
	same_str(arena, list, predecessor);
	return same_text(arena, list, parameters);
}

/* -- making an op ------------------------------------------------------------------------- */

static enum store_verb opposite(enum store_verb verb)
{
	return verb == STORE_PROVISION ? STORE_DEPROVISION : STORE_UNBIND;
}

static bool is_create(enum store_verb verb)
{
	return verb == STORE_PROVISION || verb == STORE_BIND;
}

static const struct json *object_of(struct arena *arena, const struct json *data, const char *key)
{
	const struct json *v = json_get(data, key);

	return json_is_object(v) ? v : json_object(arena);
}

/* Sealed data is ours: what cannot be parsed is a damaged row. */
static int parse(struct arena *arena, const struct json *given, struct str text, const char *what,
		 const struct json **out, struct err *err)
{
	static const struct json_limits limits = { 64 << 20, JSON_DEPTH_CAP };
	struct json *v;
	int rc;

	*out = given;
	if (given)
		return 0;
	*out = json_object(arena);
	if (!text.n)
		return 0;
	rc = json_parse_object(arena, text, &limits, &v, err);
	if (rc < 0)
		return err_wrap(err, "%s", what);
	*out = v;
	return 0;
}

static int read_data(struct osb_op *op, const struct store_claimed *row,
		     const struct flow_given *given, struct err *err)
{
	bool provision = row->op.verb == STORE_PROVISION, bind = row->op.verb == STORE_BIND;
	struct arena *arena = &op->job.op.arena;
	const struct json *instance, *binding, *request;
	bool about_binding = row->binding.seq != 0 || bind;

	if (parse(arena, provision ? given->data : NULL, row->instance.data, "instance data",
		  &instance, err) < 0 ||
	    parse(arena, bind ? given->data : NULL, row->binding.data, "binding data", &binding,
		  err) < 0 ||
	    parse(arena, given->request, row->op.request, "request", &request, err) < 0)
		return err->code;
	op->request = request;
	op->instance_parameters = object_of(arena, instance, "parameters");
	op->parameters =
		about_binding ? object_of(arena, binding, "parameters") : op->instance_parameters;
	op->context = object_of(arena, instance, "context");
	op->instance_private = object_of(arena, instance, "private");
	op->binding_private = object_of(arena, binding, "private");
	op->bind_resource = object_of(arena, binding, "bind_resource");
	op->credentials = json_get(json_get(binding, "response"), "credentials");
	op->predecessor = arena_str(arena, row->binding.predecessor);
	op->identity = object_of(arena, request, "identity");
	op->previous_values = object_of(arena, request, "previous_values");
	op->predecessor_response = json_get(request, "predecessor_response");
	if (json_is_object(json_get(request, "context")))
		op->context = json_get(request, "context");
	if (row->op.verb == STORE_UPDATE) {
		op->parameters = object_of(arena, request, "parameters");
		op->instance_parameters = object_of(arena, request, "merged");
	}
	return 0;
}

static size_t op_size(struct backend *backend, const struct plan *plan, enum store_verb verb)
{
	size_t size = backend_verb(backend, plan, verb)->size;

	if (is_create(verb) && backend_verb(backend, plan, opposite(verb))->size > size)
		size = backend_verb(backend, plan, opposite(verb))->size;
	return size > sizeof(struct osb_op) ? size : sizeof(struct osb_op);
}

static void free_flow(struct journal_op *job)
{
	struct osb_op *op = container_of(job, struct osb_op, job);

	if (!job->given_up && op->backend->type->finish_op)
		op->backend->type->finish_op(op);
	op_finish(&job->op);
	generation_unref(op->generation);
	mem_free(op);
}

static struct osb_op *make_op(const struct flows *flows, const struct store_claimed *row,
			      const struct flow_given *given, struct err *err)
{
	const struct offering *offering =
		catalog_offering_named(flows->gen->catalog, row->op.service);
	const struct plan *plan = offering ? offering_plan(offering, row->op.plan_id) : NULL;
	const struct backend_verb *verb, *back;
	struct osb_op *op;
	struct op *flow;

	if (!plan) {
		err_set(err, ERR_NOENT, "the catalog has no service \"%.*s\" with plan \"%.*s\"",
			STR_ARG(row->op.service), STR_ARG(row->op.plan_id));
		return NULL;
	}
	verb = backend_verb(offering->backend, plan, row->op.verb);
	if (!verb->steps) {
		err_set(err, ERR_UNSUPPORTED, "service \"%.*s\" does not support %s",
			STR_ARG(offering->name), store_verb_name(row->op.verb));
		return NULL;
	}
	op = mem_zalloc(op_size(offering->backend, plan, row->op.verb));
	flow = &op->job.op;
	op_init(flow);
	flow->name = store_verb_name(row->op.verb);
	flow->loop = flows->loop;
	flow->forth = verb->steps;
	if (row->op.verb == STORE_DEPROVISION && offering->config->with_bindings == CONFIG_UNBIND &&
	    (row->instance.n_bindings || str_is(row->op.step, UNBIND_ALL)))
		flow->forth = unbind_all_steps(&flow->arena, verb->steps);
	flow->deadline = row->op.deadline;
	if (is_create(row->op.verb)) {
		back = backend_verb(offering->backend, plan, opposite(row->op.verb));
		flow->back = back->steps;
	}
	op->job.answer = verb->answer;
	op->verb = row->op.verb == STORE_EXPIRE ? STORE_UNBIND : row->op.verb;
	op->by_platform = row->op.verb != STORE_EXPIRE;
	op->generation = generation_ref(flows->gen);
	op->backend = offering->backend;
	op->offering = offering;
	op->plan = plan;
	op->plan_before = plan;
	op->id = arena_str(&flow->arena, str_of(row->op.id));
	op->platform = arena_str(&flow->arena, row->instance.platform);
	op->instance_id = arena_str(&flow->arena, row->instance.id);
	op->binding_id = arena_str(&flow->arena, row->binding.id);
	op->organization = arena_str(&flow->arena, row->instance.organization);
	op->space = arena_str(&flow->arena, row->instance.space);
	if (row->op.verb == STORE_UPDATE && row->instance.plan_id.n)
		op->plan_before = offering_plan(offering, row->instance.plan_id);
	log_child(&flow->log, flows->log);
	log_field(&flow->log, "op", op->id);
	log_field(&flow->log, "instance", op->instance_id);
	if (op->binding_id.n)
		log_field(&flow->log, "binding", op->binding_id);
	if (read_data(op, row, given, err) < 0) {
		op->job.given_up = true; /* the backend has not seen it */
		free_flow(&op->job);
		return NULL;
	}
	return op;
}

static bool has_step(const struct op_step *steps, struct str name)
{
	for (; steps && steps->name; steps++)
		if (str_is(name, steps->name))
			return true;
	return false;
}

static bool knows_flow(void *data, const struct store_op *row,
		       const struct store_instance *instance)
{
	const struct flows *flows = data;
	const struct offering *offering = catalog_offering_named(flows->gen->catalog, row->service);
	const struct plan *plan = offering ? offering_plan(offering, row->plan_id) : NULL;
	enum store_verb verb;

	if (!plan || (instance->plan_id.n && !offering_plan(offering, instance->plan_id)))
		return false;
	verb = is_create(row->verb) && row->back ? opposite(row->verb) : row->verb;
	if (!row->step.n || str_is(row->step, UNBIND_ALL))
		return true;
	return has_step(backend_verb(offering->backend, plan, verb)->steps, row->step);
}

static struct journal_op *make_flow(void *data, const struct store_claimed *row, struct err *err)
{
	static const struct flow_given none;
	struct osb_op *op = make_op(data, row, &none, err);

	return op ? &op->job : NULL;
}

/* -- its end ------------------------------------------------------------------------------ */

static void set_instance_data(struct osb_op *op, struct store_end *end)
{
	const struct json *own = osb_results(op), *private = json_get(own, "private");
	struct arena *arena = &op->job.op.arena;
	struct json *data = json_object(arena);

	json_set(arena, data, "parameters", json_shared(op->instance_parameters));
	json_set(arena, data, "context", json_shared(op->context));
	json_set(arena, data, "private", json_shared(private ? private : op->instance_private));
	end->data = json_text(arena, data);
}

/* now: the store's */
static void set_binding_data(struct osb_op *op, struct store_end *end, uint64_t now)
{
	const struct json *own = osb_results(op), *private = json_get(own, "private");
	struct arena *arena = &op->job.op.arena;
	struct json *data = json_object(arena), *response;

	response = json_shared(json_get(own, "response"));
	json_set(arena, data, "parameters", json_shared(op->parameters));
	json_set(arena, data, "bind_resource", json_shared(op->bind_resource));
	json_set(arena, data, "response", response ? response : json_object(arena));
	json_set(arena, data, "private", json_shared(private ? private : op->binding_private));
	end->data = json_text(arena, data);
	if (op->plan->binding_lifetime) {
		end->expires_at = now + op->plan->binding_lifetime;
		end->renew_before = now + op->plan->renew_before;
	}
}

static void set_failure(struct osb_op *op, struct store_end *end, uint64_t now)
{
	const struct json *error = json_get(osb_results(op), "error");
	int64_t value;

	if (json_to_int(json_get(error, "http"), &value))
		end->http_status = (int)value;
	if (json_to_int(json_get(error, "flags"), &value))
		end->flags = (unsigned)value;
	end->error = json_str(json_get(error, "code"));
	if (op->job.op.left_over && op->verb == STORE_PROVISION)
		set_instance_data(op, end); /* what its DELETE will need */
	if (op->job.op.left_over && op->verb == STORE_BIND)
		set_binding_data(op, end, now);
}

static void fill_end(struct osb_op *op, struct store_end *end, uint64_t now)
{
	const struct json *own = osb_results(op);
	struct arena *arena = &op->job.op.arena;

	if (op->job.op.failed) {
		set_failure(op, end, now);
		return;
	}
	end->description = json_str(json_get(own, "description"));
	end->dashboard_url = json_str(json_get(own, "dashboard_url"));
	if (json_get(own, "metadata"))
		end->metadata = json_text(arena, json_get(own, "metadata"));
	switch (op->verb) {
	case STORE_PROVISION:
		if (json_get(own, "private")) /* the rest stands in the row since the begin */
			set_instance_data(op, end);
		return;
	case STORE_UPDATE:
		set_instance_data(op, end);
		end->plan_id = op->plan->id;
		end->same = json_str(json_get(op->request, "same"));
		end->maintenance = json_str(json_get(op->request, "maintenance"));
		return;
	case STORE_BIND:
		set_binding_data(op, end, now);
		return;
	case STORE_DEPROVISION:
	case STORE_UNBIND:
	case STORE_EXPIRE:
	case STORE_VERBS:
		return;
	}
}

static void flow_result(struct journal_op *job, struct store_end *end)
{
	struct osb_op *op = container_of(job, struct osb_op, job);

	fill_end(op, end, store_now(journal_store(job->journal)));
}

const struct journal_user osb_journal_user = { make_flow, flow_result, free_flow, knows_flow };

int flow_run_pure(const struct flows *flows, const struct store_begin *begin,
		  const struct flow_given *given, const struct offering *offering,
		  const struct plan *plan, const struct store_instance *instance,
		  const struct store_binding *binding, struct arena *arena, struct store_end *end,
		  struct err *err)
{
	struct store_claimed row = { 0 };
	struct osb_op *op;
	int rc;

	row.op.verb = begin->verb;
	row.op.service = offering->name;
	row.op.plan_id = plan->id;
	row.op.request = begin->request;
	row.instance = *instance;
	row.instance.id = begin->instance_id;
	if (begin->verb == STORE_PROVISION) {
		row.instance.organization = begin->organization;
		row.instance.space = begin->space;
		row.instance.data = begin->data;
	}
	if (binding)
		row.binding = *binding;
	row.binding.id = begin->binding_id;
	if (begin->verb == STORE_BIND) {
		row.binding.data = begin->data;
		row.binding.predecessor = begin->predecessor;
	}
	memset(end, 0, sizeof(*end));
	op = make_op(flows, &row, given, err);
	if (!op)
		return err->code;
	rc = op_run_pure(&op->job.op);
	fill_end(op, end, store_now(flows->store));
	end->result = STORE_SUCCEEDED;
	end->error = arena_str(arena, end->error);
	end->description = arena_str(arena, end->description);
	end->plan_id = arena_str(arena, end->plan_id);
	end->same = arena_str(arena, end->same);
	end->maintenance = arena_str(arena, end->maintenance);
	end->dashboard_url = arena_str(arena, end->dashboard_url);
	end->metadata = arena_str(arena, end->metadata);
	end->data = arena_str(arena, end->data);
	if (rc < 0) {
		err_set(err, rc, "%s: %s", op->job.op.name, op->job.op.err.text);
		end->result = STORE_FAILED_RESULT;
	}
	free_flow(&op->job);
	return rc;
}
