/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/lastop.h"

static const struct op_step *find_step(const struct op_step *steps, struct str name)
{
	for (; steps && steps->name; steps++)
		if (!name.n || str_is(name, steps->name))
			return steps;
	return NULL;
}

static enum store_verb steps_verb(const struct store_op *op)
{
	if (!op->back)
		return op->verb;
	return op->verb == STORE_PROVISION ? STORE_DEPROVISION : STORE_UNBIND;
}

static void set_retry_after(struct exchange *ex, const struct store_op *op)
{
	const struct offering *offering = catalog_offering_named(ex->gen->catalog, op->service);
	const struct plan *plan = offering ? offering_plan(offering, op->plan_id) : NULL;
	const struct op_step *step;
	uint64_t seconds;

	if (!plan || (ex->binding_id.n && !offering->config->retry_after_bindings))
		return;
	step = find_step(backend_verb(offering->backend, plan, steps_verb(op))->steps, op->step);
	seconds = step ? (step->every + 999) / 1000 : 0;
	answer_retry_after(ex, seconds ? seconds : 1);
}

static struct str progress(struct exchange *ex, const struct store_op *op)
{
	const struct journal_op *job = journal_find(ex->broker->journal, op->seq);
	const char *verb = store_verb_name(op->verb);

	if (job && job->op.progress[0]) /* newer than what the last step committed */
		return arena_str(ex->arena, str_of(job->op.progress));
	if (op->state == STORE_OP_FOLLOWING)
		return STR("waiting for the creation to be undone");
	if (op->state == STORE_OP_WAITING)
		return str_of(arena_printf(ex->arena, "%s: waiting for a slot, %u before it", verb,
					   ex->get.waiting_before));
	if (op->description.n)
		return op->description;
	if (!op->step.n)
		return str_of(arena_printf(ex->arena, "%s: started", verb));
	return str_of(arena_printf(ex->arena, "%s: %s%.*s", verb, op->back ? "undoing: " : "",
				   STR_ARG(op->step)));
}

static void answer_ended(struct exchange *ex, const struct store_op *op)
{
	struct json *body = json_object(ex->arena);
	bool failed = op->result == STORE_FAILED_RESULT;

	json_set_cstr(ex->arena, body, "state", failed ? "failed" : "succeeded");
	if (op->description.n)
		json_set_str(ex->arena, body, "description", op->description);
	else
		json_set(ex->arena, body, "description",
			 json_printf(ex->arena, "%s %s", store_verb_name(op->verb),
				     failed ? "failed" : "succeeded"));
	if (failed && !ex->binding_id.n) {
		if ((op->verb == STORE_UPDATE || op->verb == STORE_DEPROVISION) &&
		    (op->flags & STORE_UNUSABLE))
			json_set_bool(ex->arena, body, "instance_usable", false);
		if (op->verb == STORE_UPDATE && (op->flags & STORE_NOT_REPEATABLE))
			json_set_bool(ex->arena, body, "update_repeatable", false);
	}
	answer(ex, 200, body);
}

static void answer_last(struct exchange *ex)
{
	const struct store_op *op = &ex->get.op;
	bool about_binding = ex->binding_id.n != 0;
	enum store_state state = about_binding ? ex->get.binding.state : ex->get.instance.state;
	uint64_t changed = about_binding ? ex->get.binding.changed : ex->get.instance.changed;
	uint64_t now = store_now(ex->broker->store);
	const char *what = about_binding ? "service binding" : "service instance";
	struct json *body;

	if (state == STORE_NONE || !op->seq) {
		answer_error(ex, 404, "NotFound", "there is no such %s", what);
		return;
	}
	if (state == STORE_GONE && now > changed + ex->gen->config->limits.keep_ended) {
		answer_error(ex, 410, "Gone", "the %s is gone", what);
		return;
	}
	if (op->state == STORE_OP_ENDED) {
		answer_ended(ex, op);
		return;
	}
	body = json_object(ex->arena);
	json_set_cstr(ex->arena, body, "state", "in progress");
	json_set_str(ex->arena, body, "description", progress(ex, op));
	set_retry_after(ex, op);
	answer(ex, 200, body);
}

void last_operation(struct exchange *ex)
{
	struct str operation;

	if (exchange_query(ex, "operation", &operation) < 0)
		return;
	if (operation.p && operation.n == 0) {
		answer_error(ex, 400, "BadRequest", "query parameter operation: must not be empty");
		return;
	}
	ex->get.operation = operation;
	ex->get.no_data = true;
	exchange_get(ex, answer_last);
}
