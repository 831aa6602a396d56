/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/bindings.h"

#include "osb/instances.h"
#include "osb/operate.h"

/* -- PUT ---------------------------------------------------------------------------------- */

static int bad_body(struct exchange *ex, const struct err *err)
{
	answer_err(ex, 400, "BadRequest", err);
	return ERR_INVALID;
}

static bool no_instance(const struct store_instance *instance)
{
	return instance->state == STORE_NONE || instance->state == STORE_GONE ||
	       instance->state == STORE_FAILED || instance->state == STORE_DIRTY;
}

/* service_id and plan_id, when they are given, must be the instance's; only a rotation may leave
 * them out. */
static int check_ids(struct exchange *ex, const struct store_instance *instance, bool rotation)
{
	unsigned flags = JSON_NONEMPTY | (rotation ? JSON_NULL_ABSENT : JSON_REQUIRED);
	struct str service_id = instance->service_id, plan_id = instance->plan_id;
	struct err err;

	if (json_want_string(ex->body, "", "service_id", flags, &service_id, &err) < 0 ||
	    json_want_string(ex->body, "", "plan_id", flags, &plan_id, &err) < 0)
		return bad_body(ex, &err);
	if (!str_eq(service_id, instance->service_id)) {
		err_set(&err, ERR_INVALID, "service_id: the instance is of another service");
		return bad_body(ex, &err);
	}
	if (!str_eq(plan_id, instance->plan_id)) {
		err_set(&err, ERR_INVALID, "plan_id: the instance has another plan");
		return bad_body(ex, &err);
	}
	return 0;
}

/* bind_resource with the deprecated app_guid put into it. */
static int read_resource(struct exchange *ex, struct json **resource)
{
	struct str app_guid = { 0 }, ignored;
	const struct json *given = NULL;
	struct err err;

	if (json_want_object(ex->body, "", "bind_resource", JSON_NULL_ABSENT, &given, &err) < 0 ||
	    json_want_string(ex->body, "", "app_guid", JSON_NULL_ABSENT | JSON_NONEMPTY, &app_guid,
			     &err) < 0 ||
	    json_want_string(given, "bind_resource", "app_guid", JSON_NULL_ABSENT | JSON_NONEMPTY,
			     &ignored, &err) < 0 ||
	    json_want_string(given, "bind_resource", "route", JSON_NULL_ABSENT | JSON_NONEMPTY,
			     &ignored, &err) < 0)
		return bad_body(ex, &err);
	*resource = given ? json_copy(ex->arena, given) : json_object(ex->arena);
	if (app_guid.n && !json_str(json_get(*resource, "app_guid")).n)
		json_set_str(ex->arena, *resource, "app_guid", app_guid);
	if (!ex->offering->config->requires_app || json_str(json_get(*resource, "app_guid")).n)
		return 0;
	answer_error(ex, 422, "RequiresApp",
		     "This service supports generation of credentials through binding an "
		     "application only.");
	return ERR_INVALID;
}

static int check_bindable(struct exchange *ex, struct str predecessor)
{
	struct err err;

	if (!ex->plan->bindable)
		err_set(&err, ERR_INVALID, "plan \"%.*s\" cannot be bound",
			STR_ARG(ex->plan->name));
	else if (predecessor.n && !ex->plan->binding_rotatable)
		err_set(&err, ERR_INVALID,
			"predecessor_binding_id: bindings of plan \"%.*s\" cannot be rotated",
			STR_ARG(ex->plan->name));
	else
		return 0;
	return bad_body(ex, &err);
}

struct rotation {
	struct str id;
	const struct json *parameters, *response, *resource; /* the predecessor's; NULL without */
};

static void begin_bind(struct exchange *ex, const struct rotation *rotation)
{
	const struct store_instance *instance = &ex->get.instance;
	struct store_begin *b = &ex->begin.begin;
	const struct json *context = NULL;
	struct json *data, *resource, *request;
	struct err err;
	bool pure;

	if (json_want_object(ex->body, "", "context", JSON_NULL_ABSENT, &context, &err) < 0) {
		answer_err(ex, 400, "BadRequest", &err);
		return;
	}
	if (exchange_parameters(ex, ex->plan->bind, rotation->parameters) < 0 ||
	    read_resource(ex, &resource) < 0 || operate_mode(ex, &pure) < 0)
		return;
	/* two requests are the same by what they say, not by what they inherit */
	b->same = same_binding(ex->arena, instance->service_id, instance->plan_id, resource,
			       rotation->id, ex->parameters);
	if (rotation->id.n && !json_len(ex->parameters) && rotation->parameters)
		ex->parameters = rotation->parameters;
	if (rotation->id.n && !json_len(resource) && rotation->resource)
		resource = json_copy(ex->arena, rotation->resource);
	data = json_object(ex->arena);
	json_set(ex->arena, data, "parameters", json_shared(ex->parameters));
	json_set(ex->arena, data, "bind_resource", resource);
	request = operate_request(ex);
	json_set(ex->arena, request, "context", json_shared(context));
	json_set(ex->arena, request, "predecessor_response",
		 json_copy(ex->arena, rotation->response));
	ex->given = (struct flow_given){ data, request };
	b->data = json_text(ex->arena, data);
	if (!pure)
		b->request = json_text(ex->arena, request);
	b->service_id = instance->service_id;
	b->plan_id = instance->plan_id;
	b->predecessor = rotation->id;
	b->rev = instance->rev;
	operate(ex, pure, instance, &ex->get.binding, binding_put);
}

/* The predecessor was read in place of the binding: whether it is live is the store's to say. */
static void bind_after(struct exchange *ex)
{
	struct rotation rotation = { .id = ex->begin.begin.predecessor };
	const struct json *data;

	if (exchange_data(ex, ex->get.binding.data, &data) < 0)
		return;
	rotation.parameters = json_get(data, "parameters");
	rotation.response = json_get(data, "response");
	rotation.resource = json_get(data, "bind_resource");
	memset(&ex->get.binding, 0, sizeof(ex->get.binding));
	begin_bind(ex, &rotation);
}

static void read_predecessor(struct exchange *ex, struct str predecessor)
{
	struct str own = ex->binding_id;

	ex->begin.begin.predecessor = predecessor;
	ex->binding_id = predecessor;
	exchange_get(ex, bind_after);
	ex->binding_id = own;
}

static void put_binding(struct exchange *ex)
{
	const struct store_instance *instance = &ex->get.instance;
	struct rotation rotation = { 0 };
	struct err err;

	if (json_want_string(ex->body, "", "predecessor_binding_id",
			     JSON_NULL_ABSENT | JSON_NONEMPTY, &rotation.id, &err) < 0) {
		answer_err(ex, 400, "BadRequest", &err);
		return;
	}
	if (!rotation.id.n && exchange_plan(ex) < 0)
		return;
	if (no_instance(instance)) {
		answer_error(ex, 404, "NotFound", "there is no such service instance");
		return;
	}
	if (instance_plan(ex, instance) < 0 || check_ids(ex, instance, rotation.id.n != 0) < 0 ||
	    check_bindable(ex, rotation.id) < 0)
		return;
	if (rotation.id.n)
		read_predecessor(ex, rotation.id);
	else
		begin_bind(ex, &rotation);
}

void binding_put(struct exchange *ex)
{
	ex->verb = STORE_BIND;
	memset(&ex->begin, 0, sizeof(ex->begin));
	exchange_get(ex, put_binding);
}

/* -- GET ---------------------------------------------------------------------------------- */

static void send_binding(struct exchange *ex)
{
	const struct store_binding *binding = &ex->get.binding;
	struct json *body;

	if (binding->state == STORE_EXPIRED || binding->state == STORE_EXPIRING ||
	    (binding->state == STORE_READY && binding->expires_at &&
	     binding->expires_at <= store_now(ex->broker->store))) {
		answer_error(ex, 404, "NotFound", "the service binding has expired");
		return;
	}
	if (no_instance(&ex->get.instance) ||
	    (binding->state != STORE_READY && binding->state != STORE_DELETING)) {
		answer_error(ex, 404, "NotFound", "there is no such service binding");
		return;
	}
	if (instance_plan(ex, &ex->get.instance) < 0)
		return;
	if (!ex->offering->bindings_retrievable) {
		answer_error(ex, 404, "NotFound", "bindings of this service cannot be fetched");
		return;
	}
	body = binding_answer(ex, binding, true);
	if (body)
		answer(ex, 200, body);
}

void binding_get(struct exchange *ex)
{
	exchange_get(ex, send_binding);
}

/* -- DELETE ------------------------------------------------------------------------------- */

static void delete_binding(struct exchange *ex)
{
	const struct store_instance *instance = &ex->get.instance;
	const struct store_binding *binding = &ex->get.binding;
	struct store_begin *b = &ex->begin.begin;
	bool pure;

	if (instance->state == STORE_NONE || binding->state == STORE_NONE ||
	    binding->state == STORE_GONE) {
		answer_error(ex, 410, "Gone", "there is no such service binding");
		return;
	}
	if (instance_plan(ex, instance) < 0 || operate_mode(ex, &pure) < 0)
		return;
	b->service_id = instance->service_id;
	b->plan_id = instance->plan_id;
	b->rev = binding->rev;
	b->request = json_text(ex->arena, operate_request(ex));
	operate(ex, pure, instance, binding, binding_delete);
}

void binding_delete(struct exchange *ex)
{
	ex->verb = STORE_UNBIND;
	if (exchange_query_ids(ex) == 0)
		exchange_get(ex, delete_binding);
}
