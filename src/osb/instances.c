/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/instances.h"

#include "osb/operate.h"

int instance_plan(struct exchange *ex, const struct store_instance *instance)
{
	ex->offering = catalog_offering(ex->gen->catalog, instance->service_id);
	ex->plan = ex->offering ? offering_plan(ex->offering, instance->plan_id) : NULL;
	if (ex->plan)
		return 0;
	answer_error(ex, 500, "NoSuchPlan",
		     "the catalog has no service \"%.*s\" with plan \"%.*s\" any more",
		     STR_ARG(instance->service_id), STR_ARG(instance->plan_id));
	return ERR_NOENT;
}

/* -- PUT ---------------------------------------------------------------------------------- */

static int bad_body(struct exchange *ex, const struct err *err)
{
	answer_err(ex, 400, "BadRequest", err);
	return ERR_INVALID;
}

static int read_place(struct exchange *ex, struct store_begin *b, const struct json **context)
{
	struct err err;

	if (json_want_string(ex->body, "", "organization_guid", JSON_REQUIRED | JSON_NONEMPTY,
			     &b->organization, &err) < 0 ||
	    json_want_string(ex->body, "", "space_guid", JSON_REQUIRED | JSON_NONEMPTY, &b->space,
			     &err) < 0 ||
	    json_want_object(ex->body, "", "context", JSON_NULL_ABSENT, context, &err) < 0)
		return bad_body(ex, &err);
	return 0;
}

void instance_put(struct exchange *ex)
{
	struct store_begin *b = &ex->begin.begin;
	const struct json *context = NULL;
	static const struct store_instance none;
	struct json *data, *request;
	struct str version;
	bool pure;

	ex->verb = STORE_PROVISION;
	if (exchange_plan(ex) < 0 || read_place(ex, b, &context) < 0 ||
	    exchange_parameters(ex, ex->plan->create, NULL) < 0 ||
	    exchange_maintenance(ex, &version) < 0 || operate_mode(ex, &pure) < 0)
		return;
	data = json_object(ex->arena);
	json_set(ex->arena, data, "parameters", json_shared(ex->parameters));
	json_set(ex->arena, data, "context", json_shared(context));
	request = operate_request(ex);
	ex->given = (struct flow_given){ data, request };
	b->data = json_text(ex->arena, data);
	if (!pure) /* else nobody asks for it any more when the row is written */
		b->request = json_text(ex->arena, request);
	b->service_id = ex->offering->id;
	b->plan_id = ex->plan->id;
	b->maintenance = ex->plan->maintenance;
	b->same = same_instance(ex->arena, b->service_id, b->plan_id, b->organization, b->space,
				ex->parameters);
	operate(ex, pure, &none, NULL, NULL);
}

/* -- GET ---------------------------------------------------------------------------------- */

/* What the backend knows of it right now. */
static void add_attributes(struct exchange *ex, struct json *body,
			   const struct store_instance *instance)
{
	struct backend *backend = ex->offering->backend;
	const struct json *more = NULL;
	const struct json_member *m;
	struct json *metadata, *attributes;

	if (backend->type->attributes)
		more = backend->type->attributes(backend, instance->platform, instance->id,
						 ex->arena);
	if (!more)
		return;
	metadata = json_get(body, "metadata");
	if (!metadata) {
		metadata = json_object(ex->arena);
		json_set(ex->arena, body, "metadata", metadata);
	}
	attributes = json_get(metadata, "attributes");
	if (!attributes) {
		attributes = json_object(ex->arena);
		json_set(ex->arena, metadata, "attributes", attributes);
	}
	json_each_member(m, more)
		json_set(ex->arena, attributes, m->key.p, m->value);
}

static void send_instance(struct exchange *ex)
{
	const struct store_instance *instance = &ex->get.instance;
	const struct json *data;
	struct json *body, *info;

	switch (instance->state) {
	case STORE_READY:
		break;
	case STORE_UPDATING:
	case STORE_DELETING:
		answer_concurrency(ex);
		return;
	case STORE_NONE:
	case STORE_CREATING:
	case STORE_FAILED:
	case STORE_DIRTY:
	case STORE_EXPIRING:
	case STORE_EXPIRED:
	case STORE_GONE:
		answer_error(ex, 404, "NotFound", "there is no such service instance");
		return;
	}
	if (instance_plan(ex, instance) < 0)
		return;
	if (!ex->offering->instances_retrievable) {
		answer_error(ex, 404, "NotFound", "instances of this service cannot be fetched");
		return;
	}
	if (exchange_data(ex, instance->data, &data) < 0)
		return;
	body = instance_answer(ex, instance);
	add_attributes(ex, body, instance);
	json_set_str(ex->arena, body, "service_id", instance->service_id);
	json_set_str(ex->arena, body, "plan_id", instance->plan_id);
	if (json_len(json_get(data, "parameters")))
		json_set(ex->arena, body, "parameters",
			 json_copy(ex->arena, json_get(data, "parameters")));
	if (instance->maintenance.n) {
		info = json_object(ex->arena);
		json_set_str(ex->arena, info, "version", instance->maintenance);
		json_set(ex->arena, body, "maintenance_info", info);
	}
	answer(ex, 200, body);
}

void instance_get(struct exchange *ex)
{
	exchange_get(ex, send_instance);
}

/* -- DELETE ------------------------------------------------------------------------------- */

static void delete_instance(struct exchange *ex)
{
	const struct store_instance *instance = &ex->get.instance;
	struct store_begin *b = &ex->begin.begin;
	bool pure;

	if (instance->state == STORE_NONE || instance->state == STORE_GONE) {
		answer_error(ex, 410, "Gone", "there is no such service instance");
		return;
	}
	if (instance_plan(ex, instance) < 0 || operate_mode(ex, &pure) < 0)
		return;
	b->service_id = instance->service_id;
	b->plan_id = instance->plan_id;
	b->rev = instance->rev;
	b->request = json_text(ex->arena, operate_request(ex));
	if (instance->n_bindings && ex->offering->config->with_bindings == CONFIG_UNBIND)
		pure = false; /* the unbinds are operations of their own */
	b->ignore_bindings = ex->offering->config->with_bindings != CONFIG_REFUSE;
	operate(ex, pure, instance, NULL, instance_delete);
}

void instance_delete(struct exchange *ex)
{
	ex->verb = STORE_DEPROVISION;
	if (exchange_query_ids(ex) == 0)
		exchange_get(ex, delete_instance);
}
