/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/operate.h"

#include "osb/timestamp.h"

static bool is_create(enum store_verb verb)
{
	return verb == STORE_PROVISION || verb == STORE_BIND;
}

struct json *operate_request(struct exchange *ex)
{
	struct json *request = json_object(ex->arena);

	json_set(ex->arena, request, "identity", json_shared(ex->identity));
	return request;
}

/* -- bodies of success -------------------------------------------------------------------- */

static void set_metadata(struct exchange *ex, struct json *body, struct str metadata)
{
	struct json *v;

	if (metadata.n && json_parse_object(ex->arena, metadata, NULL, &v, NULL) == 0)
		json_set(ex->arena, body, "metadata", v);
}

struct json *instance_answer(struct exchange *ex, const struct store_instance *instance)
{
	struct json *body = json_object(ex->arena);

	if (instance->dashboard_url.n)
		json_set_str(ex->arena, body, "dashboard_url", instance->dashboard_url);
	set_metadata(ex, body, instance->metadata);
	return body;
}

struct json *binding_answer(struct exchange *ex, const struct store_binding *binding,
			    bool with_parameters)
{
	struct json *body = json_object(ex->arena), *metadata;
	const struct json_member *field;
	const struct json *data;

	if (exchange_data(ex, binding->data, &data) < 0)
		return NULL;
	if (binding->expires_at) {
		metadata = json_object(ex->arena);
		json_set_cstr(ex->arena, metadata, "expires_at",
			      timestamp(ex->arena, binding->expires_at));
		json_set_cstr(ex->arena, metadata, "renew_before",
			      timestamp(ex->arena, binding->renew_before));
		json_set(ex->arena, body, "metadata", metadata);
	}
	json_each_member(field, json_get(data, "response")) {
		/* older clients decode ports as numbers and fail */
		if (str_is(field->key, "endpoints") && ex->minor < 15)
			continue;
		json_add(ex->arena, body, field->key, json_shared(field->value));
	}
	if (with_parameters && json_len(json_get(data, "parameters")))
		json_set(ex->arena, body, "parameters", json_shared(json_get(data, "parameters")));
	return body;
}

/* -- the answer to an operation that is over ---------------------------------------------- */

static void answer_failure(struct exchange *ex, const struct store_op *op)
{
	struct json *body = json_object(ex->arena);
	int status = op->http_status ? op->http_status : 500;
	struct str error = op->error.n ? op->error : STR("OperationFailed");

	json_set_str(ex->arena, body, "error", error);
	json_set_str(ex->arena, body, "description",
		     op->description.n ? op->description : STR("the operation failed"));
	if ((ex->verb == STORE_UPDATE || ex->verb == STORE_DEPROVISION) &&
	    (op->flags & STORE_UNUSABLE))
		json_set_bool(ex->arena, body, "instance_usable", false);
	if (ex->verb == STORE_UPDATE && (op->flags & STORE_NOT_REPEATABLE))
		json_set_bool(ex->arena, body, "update_repeatable", false);
	answer(ex, status, body);
}

static void answer_success(struct exchange *ex, const struct store_instance *instance,
			   const struct store_binding *binding, bool created)
{
	struct json *body;

	switch (ex->verb) {
	case STORE_PROVISION:
		answer(ex, created ? 201 : 200, instance_answer(ex, instance));
		return;
	case STORE_UPDATE:
		answer(ex, 200, instance_answer(ex, instance));
		return;
	case STORE_BIND:
		body = binding_answer(ex, binding, false);
		if (body)
			answer(ex, created ? 201 : 200, body);
		return;
	case STORE_DEPROVISION:
	case STORE_UNBIND:
	case STORE_EXPIRE:
	case STORE_VERBS:
		answer_empty(ex, 200);
		return;
	}
}

static void over(struct exchange *ex)
{
	const struct store_get *get = &ex->get;

	if (get->op.seq == ex->begin.begin.op.seq && get->op.result == STORE_FAILED_RESULT)
		answer_failure(ex, &get->op);
	else
		answer_success(ex, &get->instance, &get->binding, true);
}

static void answer_over(struct exchange *ex)
{
	ex->get.operation = str_of(ex->begin.begin.op.id);
	exchange_get(ex, over);
}

/* -- 202 ---------------------------------------------------------------------------------- */

static void answer_accepted(struct exchange *ex, struct str memo)
{
	struct json *body = json_object(ex->arena), *v;
	const struct json *own = NULL;

	/* what the answer step has found out stands in the memo of the operation that runs */
	if (memo.n && json_parse_object(ex->arena, memo, NULL, &v, NULL) == 0)
		own = json_get(v, "osb");
	if (ex->verb == STORE_PROVISION || ex->verb == STORE_UPDATE) {
		json_set(ex->arena, body, "dashboard_url",
			 json_shared(json_get(own, "dashboard_url")));
		json_set(ex->arena, body, "metadata", json_shared(json_get(own, "metadata")));
	}
	json_set_cstr(ex->arena, body, "operation", ex->begin.begin.op.id);
	answer(ex, 202, body);
}

static void wait_for_answer(struct exchange *ex);

static bool past_answer(const struct exchange *ex, const struct store_op *op)
{
	const struct backend_verb *verb = backend_verb(ex->offering->backend, ex->plan, ex->verb);

	return !op->back && journal_past_answer(verb->steps, verb->answer, op->step);
}

static void answered(struct exchange *ex)
{
	const struct store_op *op = &ex->get.op;
	bool same = op->seq == ex->begin.begin.op.seq;

	if (same && op->state == STORE_OP_ENDED)
		over(ex);
	else if (same && !past_answer(ex, op) && loop_now(ex->broker->loop) < ex->answer_by)
		wait_for_answer(ex);
	else
		answer_accepted(ex, op->memo);
}

static void answer_waited(struct call *call, int status)
{
	struct exchange *ex = call->data;

	if (status == ERR_CANCELED)
		ex->answer_by = 0;
	ex->get.operation = str_of(ex->begin.begin.op.id);
	exchange_get(ex, answered); /* in time or not: the row says how far it is */
}

/* Of an op that another node runs the answer may be missed. */
static void wait_for_answer(struct exchange *ex)
{
	struct journal *journal = ex->broker->journal;
	uint64_t left = ex->answer_by - loop_now(ex->broker->loop);
	int64_t op = ex->begin.begin.op.seq;

	if (!journal_find(journal, op) && left > JOURNAL_ANSWER_LOOK)
		left = JOURNAL_ANSWER_LOOK;
	ex->wait = (struct journal_wait){
		.call = { .done = answer_waited, .data = ex },
		.op = op,
		.within = left,
	};
	journal_wait(journal, &ex->wait);
}

/* -- waiting for the end ------------------------------------------------------------------ */

static void answer_timeout(struct exchange *ex)
{
	answer_error(
		ex, 500, "Timeout",
		"the %s was not done within %llu s%s; with accepts_incomplete=true it would go "
		"on in the background",
		store_verb_name(ex->verb),
		(unsigned long long)ex->gen->config->limits.sync_within / 1000,
		is_create(ex->verb) && ex->begin.begin.can_halt ? " and is being undone"
								: ", but goes on");
}

static void halted(struct call *call, int status)
{
	struct exchange *ex = call->data;

	(void)status; /* whether it goes back, or found its end in the last moment */
	answer_timeout(ex);
}

/* The create goes back: the same as a DELETE that arrives now. */
static void halt_create(struct exchange *ex)
{
	struct store_begin *b = &ex->begin.begin;
	struct str service = b->service, plan_id = b->plan_id;

	memset(&ex->begin, 0, sizeof(ex->begin));
	*b = (struct store_begin){
		.arena = ex->arena,
		.verb = ex->verb == STORE_PROVISION ? STORE_DEPROVISION : STORE_UNBIND,
		.platform = ex->platform->name,
		.instance_id = ex->instance_id,
		.binding_id = ex->binding_id,
		.service = service,
		.plan_id = plan_id,
		.request = STR("{}"),
		.can_halt = true,
	};
	ex->begin.call.done = halted;
	ex->begin.call.data = ex;
	journal_begin(ex->broker->journal, &ex->begin);
}

static void answer_stopping(struct exchange *ex)
{
	answer_retry_after(ex, OSB_RETRY_AFTER);
	answer_error(ex, 503, "Stopping",
		     "this broker is being stopped; the %s goes on when it is back",
		     store_verb_name(ex->verb));
}

static void end_waited(struct call *call, int status)
{
	struct exchange *ex = call->data;

	if (status == 0)
		answer_over(ex);
	else if (status == ERR_CANCELED)
		answer_stopping(ex);
	else if (is_create(ex->verb) && ex->begin.begin.can_halt)
		halt_create(ex);
	else
		answer_timeout(ex);
}

static void wait_for_end(struct exchange *ex)
{
	ex->wait = (struct journal_wait){
		.call = { .done = end_waited, .data = ex },
		.op = ex->begin.begin.op.seq,
		.for_end = true,
		.within = ex->gen->config->limits.sync_within,
	};
	journal_wait(ex->broker->journal, &ex->wait);
}

/* An operation is on its way: begun now, or before by the same request. */
static void follow(struct exchange *ex)
{
	const struct backend_verb *verb = backend_verb(ex->offering->backend, ex->plan, ex->verb);

	if (!ex->accepts_incomplete || verb->only_sync || ex->plan->async == CONFIG_ASYNC_SYNC)
		wait_for_end(ex);
	else if (verb->answer && ex->begin.begin.op.state != STORE_OP_FOLLOWING) {
		ex->answer_by = loop_now(ex->broker->loop) + ex->gen->config->limits.answer_within;
		if (past_answer(ex, &ex->begin.begin.op))
			answer_waited(&ex->begin.call, 0);
		else
			wait_for_answer(ex);
	} else {
		answer_accepted(ex, STR(""));
	}
}

/* -- begin -------------------------------------------------------------------------------- */

static void answer_full(struct exchange *ex)
{
	answer_retry_after(ex, OSB_RETRY_AFTER);
	answer_error(
		ex, 429, "TooManyRequests",
		"as many operations as this broker takes are waiting already; please try again "
		"later");
}

static void answer_conflict(struct exchange *ex)
{
	if (ex->begin.begin.binding.state == STORE_EXPIRED) {
		answer_error(ex, 409, "Conflict", "the service binding of this id has expired");
		return;
	}
	answer_error(ex, 409, "Conflict", "a %s of this id exists with other attributes",
		     ex->binding_id.n ? "service binding" : "service instance");
}

static void begun(struct call *call, int status)
{
	struct exchange *ex = call->data;
	const struct store_begin *b = &ex->begin.begin;

	if (status < 0) {
		answer_store(ex, status);
		return;
	}
	switch (b->result) {
	case BEGUN_STARTED:
	case BEGUN_HALTING:
	case BEGUN_SAME_RUNNING:
		follow(ex);
		return;
	case BEGUN_ENDED:
		if (b->op.result == STORE_FAILED_RESULT)
			answer_failure(ex, &b->op);
		else
			answer_success(ex, &b->instance, &b->binding, true);
		return;
	case BEGUN_SAME_DONE:
		answer_success(ex, &b->instance, &b->binding, false);
		return;
	case BEGUN_CONFLICT:
		answer_conflict(ex);
		return;
	case BEGUN_CONCURRENCY:
		answer_concurrency(ex);
		return;
	case BEGUN_NOT_FOUND:
		answer_error(ex, 404, "NotFound", "there is no such service instance");
		return;
	case BEGUN_GONE:
		answer_error(ex, 410, "Gone", "there is no such %s",
			     ex->binding_id.n ? "service binding" : "service instance");
		return;
	case BEGUN_HAS_BINDINGS:
		answer_error(ex, 422, "ServiceInstanceHasBindings",
			     "the service instance still has %u service bindings; please delete "
			     "them first",
			     b->instance.n_bindings);
		return;
	case BEGUN_PREDECESSOR:
		answer_error(ex, 400, "BadRequest",
			     "predecessor_binding_id: is not a live binding of this service "
			     "instance");
		return;
	case BEGUN_CHANGED:
		if (ex->again && ++ex->changed < OSB_CHANGED_MAX)
			ex->again(ex);
		else
			answer_concurrency(ex);
		return;
	case BEGUN_FULL:
		answer_full(ex);
		return;
	}
}

int operate_mode(struct exchange *ex, bool *pure)
{
	const struct backend_verb *verb = backend_verb(ex->offering->backend, ex->plan, ex->verb);
	enum config_async async = ex->plan->async;

	*pure = verb->pure && async != CONFIG_ASYNC_ASYNC;
	if (*pure || ex->accepts_incomplete || verb->only_sync || async == CONFIG_ASYNC_SYNC ||
	    async == CONFIG_ASYNC_BOTH)
		return 0;
	if (async == CONFIG_ASYNC_UNSET && verb->quick)
		return 0;
	answer_async_required(ex);
	return ERR_INVALID;
}

void operate(struct exchange *ex, bool pure, const struct store_instance *instance,
	     const struct store_binding *binding, void (*again)(struct exchange *ex))
{
	struct backend *backend = ex->offering->backend;
	struct store_begin *b = &ex->begin.begin;
	struct err err;

	b->verb = ex->verb;
	b->arena = ex->arena;
	b->platform = ex->platform->name;
	b->instance_id = ex->instance_id;
	b->binding_id = ex->binding_id;
	b->service = ex->offering->name;
	b->deadline = ex->plan->maximum_polling_duration;
	b->can_halt =
		!backend_verb(backend, ex->plan, ex->binding_id.n ? STORE_BIND : STORE_PROVISION)
			 ->no_halt;
	b->at_once = NULL;
	if (pure) {
		if (flow_run_pure(&ex->broker->flows, b, &ex->given, ex->offering, ex->plan,
				  instance, binding, ex->arena, &ex->at_once, &err) < 0) {
			struct store_op failed = {
				.http_status = ex->at_once.http_status,
				.error = ex->at_once.error,
				.flags = ex->at_once.flags,
				.description = str_of(err.text),
			};

			answer_failure(ex, &failed);
			return;
		}
		b->at_once = &ex->at_once;
	}
	ex->begin.call.done = begun;
	ex->begin.call.data = ex;
	ex->again = again;
	journal_begin(ex->broker->journal, &ex->begin);
}
