/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_vars.h"

struct str bundle_vars_user(const struct osb_op *op)
{
	static const char *const keys[] = { "username", "uid", "user_id" };
	const struct json *value = json_get(op->identity, "value");
	size_t i;

	for (i = 0; i < ARRAY_LEN(keys); i++)
		if (json_str(json_get(value, keys[i])).n)
			return json_str(json_get(value, keys[i]));
	return STR("");
}

/* Where things are to be made: what the platform says, what is configured, or a name of the
 * space. */
static void set_place(struct arena *arena, struct json *out, const struct osb_op *op,
		      const struct bundle_vars *vars)
{
	struct str place = json_str(json_get(op->context, "namespace"));

	json_set_str(arena, out, "cluster", vars->cluster);
	if (!place.n)
		place = vars->namespace;
	if (place.n)
		json_set_str(arena, out, "namespace", place);
	else
		json_set(arena, out, "namespace",
			 json_printf(arena, "cf-%.*s", STR_ARG(op->space)));
}

static void set_parameters(struct arena *arena, struct json *out, const struct json *given,
			   const struct bundle_params *params)
{
	const struct json_member *m;
	size_t i;

	json_each_member(m, given)
		json_add(arena, out, m->key, json_copy(arena, m->value));
	for (i = 0; i < params->n; i++) {
		const struct bundle_param *p = &params->p[i];

		if (p->fallback && !bundle_depends(params, p) && !json_get_str(out, p->name))
			json_add(arena, out, p->name, json_copy(arena, p->fallback));
	}
}

static void set_instance(struct arena *arena, struct json *out, const struct osb_op *op,
			 struct str user)
{
	json_set_str(arena, out, "_apb_plan_id", op->plan->name);
	json_set_str(arena, out, "_apb_service_class_id", op->offering->id);
	json_set_str(arena, out, "_apb_service_instance_id", op->instance_id);
	json_set_str(arena, out, "_apb_last_requesting_user", user);
}

static struct json *provision_params(struct arena *arena, const struct osb_op *op,
				     const struct bundle_vars *vars)
{
	struct json *out = json_object(arena);

	set_parameters(arena, out, op->instance_parameters, &vars->plan->parameters);
	set_instance(arena, out, op, vars->instance_user);
	set_place(arena, out, op, vars);
	return out;
}

struct json *bundle_vars_json(const struct osb_op *op, const struct bundle_vars *vars)
{
	struct arena *arena = (struct arena *)&op->job.op.arena;
	struct json *out = json_object(arena);
	bool binding = vars->verb == STORE_BIND || vars->verb == STORE_UNBIND;
	struct json *credentials = json_copy(arena, vars->provision_credentials);

	if (vars->verb == STORE_BIND)
		set_parameters(arena, out, op->parameters, &vars->plan->bind_parameters);
	else if (vars->verb != STORE_UNBIND)
		set_parameters(arena, out, op->instance_parameters, &vars->plan->parameters);
	set_instance(arena, out, op, bundle_vars_user(op));
	if (binding)
		json_set_str(arena, out, "_apb_service_binding_id", op->binding_id);
	if (vars->verb == STORE_UNBIND) {
		json_remove(out, "_apb_service_class_id");
		json_set(arena, out, "_apb_bind_creds", json_copy(arena, vars->bind_credentials));
		json_set(arena, out, "provision_params", provision_params(arena, op, vars));
	}
	if (!credentials && vars->verb == STORE_DEPROVISION)
		credentials = json_object(arena);
	if (vars->verb == STORE_PROVISION)
		json_remove(out, "_apb_provision_creds");
	else
		json_set(arena, out, "_apb_provision_creds", credentials);
	set_place(arena, out, op, vars);
	return out;
}
