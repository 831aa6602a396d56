/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/update.h"

#include "core/json_same.h"
#include "osb/instances.h"
#include "osb/operate.h"

static int bad_body(struct exchange *ex, const struct err *err)
{
	answer_err(ex, 400, "BadRequest", err);
	return ERR_INVALID;
}

/* service_id must be the instance's; plan_id may name another plan of it. ex->plan is the plan
 * that the instance shall have. */
static int read_plan(struct exchange *ex, const struct store_instance *instance)
{
	struct str service_id, plan_id = instance->plan_id;
	const struct plan *from;
	struct json *body;
	struct err err;

	if (json_want_string(ex->body, "", "service_id", JSON_REQUIRED | JSON_NONEMPTY, &service_id,
			     &err) < 0 ||
	    json_want_string(ex->body, "", "plan_id", JSON_NULL_ABSENT | JSON_NONEMPTY, &plan_id,
			     &err) < 0)
		return bad_body(ex, &err);
	if (instance_plan(ex, instance) < 0)
		return ERR_NOENT;
	if (!str_eq(service_id, instance->service_id)) {
		err_set(&err, ERR_INVALID, "service_id: the instance is of another service");
		return bad_body(ex, &err);
	}
	from = ex->plan_before = ex->plan;
	ex->plan = offering_plan(ex->offering, plan_id);
	if (!ex->plan) {
		err_set(&err, ERR_INVALID, "plan_id: service \"%.*s\" has no such plan",
			STR_ARG(ex->offering->name));
		return bad_body(ex, &err);
	}
	if (ex->plan == from || from->plan_updateable)
		return 0;
	body = json_object(ex->arena);
	json_set_cstr(ex->arena, body, "error", "PlanChangeNotSupported");
	json_set(ex->arena, body, "description",
		 json_printf(ex->arena, "plan \"%.*s\" cannot be changed to another plan",
			     STR_ARG(from->name)));
	json_set_bool(ex->arena, body, "update_repeatable", false);
	answer(ex, 422, body);
	return ERR_UNSUPPORTED;
}

/* The parameters in force with those that are asked for laid over them. */
static struct json *overlay(struct arena *arena, const struct json *now, const struct json *asked)
{
	struct json *merged = json_is_object(now) ? json_copy(arena, now) : json_object(arena);
	const struct json_member *m;
	struct json_member *old;

	json_each_member(m, asked) {
		old = json_member(merged, m->key);
		if (old)
			old->value = json_copy(arena, m->value);
		else
			json_add(arena, merged, m->key, json_copy(arena, m->value));
	}
	return merged;
}

/* What makes two PATCH requests the same, while one of them runs. */
static struct str same_request(struct exchange *ex, struct str version, const struct json *context)
{
	struct json *list = json_array(ex->arena);
	struct buf buf = { 0 };
	struct str text;

	json_append(ex->arena, list, json_string(ex->arena, ex->plan->id));
	json_append(ex->arena, list, json_string(ex->arena, version));
	json_append(ex->arena, list, json_copy(ex->arena, ex->parameters));
	if (context && ex->offering->allow_context_updates)
		json_append(ex->arena, list, json_copy(ex->arena, context));
	json_write_same(&buf, list);
	text = arena_str(ex->arena, buf_str(&buf));
	buf_wipe(&buf);
	return text;
}

static void patch_instance(struct exchange *ex)
{
	const struct store_instance *instance = &ex->get.instance;
	const struct json *data, *context = NULL, *previous = NULL;
	struct store_begin *b = &ex->begin.begin;
	struct json *merged, *request;
	struct str version, same;
	struct err err;
	bool pure, change;

	if (instance->state == STORE_NONE || instance->state == STORE_GONE ||
	    instance->state == STORE_FAILED || instance->state == STORE_DIRTY) {
		answer_error(ex, 404, "NotFound", "there is no such service instance");
		return;
	}
	if (read_plan(ex, instance) < 0 || exchange_data(ex, instance->data, &data) < 0 ||
	    exchange_parameters(ex, ex->plan->update, json_get(data, "parameters")) < 0 ||
	    exchange_maintenance(ex, &version) < 0)
		return;
	if (json_want_object(ex->body, "", "context", JSON_NULL_ABSENT, &context, &err) < 0 ||
	    json_want_object(ex->body, "", "previous_values", JSON_NULL_ABSENT, &previous, &err) <
		    0) {
		answer_err(ex, 400, "BadRequest", &err);
		return;
	}
	merged = overlay(ex->arena, json_get(data, "parameters"), ex->parameters);
	change = !instance->usable || !str_eq(ex->plan->id, instance->plan_id) ||
		 !json_equal(merged, overlay(ex->arena, json_get(data, "parameters"), NULL)) ||
		 (version.n && !str_eq(version, instance->maintenance)) ||
		 (context && ex->offering->allow_context_updates &&
		  !json_equal(context, json_get(data, "context")));
	if (!change && instance->state == STORE_READY) {
		answer(ex, 200, instance_answer(ex, instance));
		return;
	}
	if (operate_mode(ex, &pure) < 0)
		return;
	if (!version.n) /* a change of plan brings the new plan's version */
		version = str_eq(ex->plan->id, instance->plan_id) ? instance->maintenance
								  : ex->plan->maintenance;
	same = same_instance(ex->arena, instance->service_id, ex->plan->id, instance->organization,
			     instance->space, merged);
	request = operate_request(ex);
	json_set(ex->arena, request, "parameters", json_copy(ex->arena, ex->parameters));
	json_set(ex->arena, request, "merged", merged);
	json_set(ex->arena, request, "context", json_copy(ex->arena, context));
	json_set(ex->arena, request, "previous_values", json_copy(ex->arena, previous));
	json_set_str(ex->arena, request, "same", same);
	json_set_str(ex->arena, request, "maintenance", version);
	b->request = json_text(ex->arena, request);
	b->service_id = instance->service_id;
	b->plan_id = ex->plan->id;
	b->rev = instance->rev;
	b->same = same_request(ex, version, context);
	operate(ex, pure, instance, NULL, instance_patch);
}

void instance_patch(struct exchange *ex)
{
	struct str ignored;
	struct err err;

	ex->verb = STORE_UPDATE;
	if (json_want_string(ex->body, "", "service_id", JSON_REQUIRED | JSON_NONEMPTY, &ignored,
			     &err) < 0)
		bad_body(ex, &err); /* whether there is such an instance or not */
	else
		exchange_get(ex, patch_instance);
}
