/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/catalog_render.h"

#include "core/mem.h"

static const struct {
	unsigned bit;
	const char *name;
} requires_names[] = {
	{ CONFIG_SYSLOG_DRAIN, "syslog_drain" },
	{ CONFIG_ROUTE_FORWARDING, "route_forwarding" },
	{ CONFIG_VOLUME_MOUNT, "volume_mount" },
};

struct json *catalog_maintenance(struct arena *arena, const struct plan *plan)
{
	struct json *info;

	if (plan->maintenance.n == 0)
		return NULL;
	info = json_object(arena);
	json_set_str(arena, info, "version", plan->maintenance);
	if (plan->maintenance_description.n)
		json_set_str(arena, info, "description", plan->maintenance_description);
	return info;
}

/* A copy without the null members of objects, however deep; NULL for NULL. */
static struct json *without_null(struct arena *arena, const struct json *v)
{
	const struct json_member *m;
	const struct json *item;
	struct json *out;
	size_t i;

	if (json_is_object(v)) {
		out = json_object(arena);
		json_each_member(m, v) {
			if (!json_is_null(m->value))
				json_add(arena, out, m->key, without_null(arena, m->value));
		}
		return out;
	}
	if (json_is_array(v)) {
		out = json_array(arena);
		json_each_item(i, item, v)
			json_append(arena, out, without_null(arena, item));
		return out;
	}
	return json_copy(arena, v);
}

static struct json *render_plan(struct arena *arena, const struct plan *plan)
{
	const struct offering *offering = plan->offering;
	struct json *out = json_object(arena);
	const struct json_member *m;

	json_set_str(arena, out, "id", plan->id);
	json_set_str(arena, out, "name", plan->name);
	json_set_str(arena, out, "description", plan->description);
	if (json_len(plan->metadata))
		json_set(arena, out, "metadata", without_null(arena, plan->metadata));
	json_set_bool(arena, out, "free", plan->free);
	if (plan->bindable != offering->bindable)
		json_set_bool(arena, out, "bindable", plan->bindable);
	if (plan->binding_rotatable)
		json_set_bool(arena, out, "binding_rotatable", true);
	if (plan->plan_updateable != offering->plan_updateable)
		json_set_bool(arena, out, "plan_updateable", plan->plan_updateable);
	if (json_len(plan->schemas))
		json_set(arena, out, "schemas", json_copy(arena, plan->schemas));
	if (plan->maximum_polling_duration)
		json_set_int(arena, out, "maximum_polling_duration",
			     (int64_t)(plan->maximum_polling_duration / 1000));
	json_set(arena, out, "maintenance_info", catalog_maintenance(arena, plan));
	json_each_member(m, plan->extra) {
		if (!json_is_null(m->value) && !json_member(out, m->key))
			json_add(arena, out, m->key, without_null(arena, m->value));
	}
	return out;
}

static struct json *render_requires(struct arena *arena, unsigned bits)
{
	struct json *out = json_array(arena);
	size_t i;

	for (i = 0; i < ARRAY_LEN(requires_names); i++)
		if (bits & requires_names[i].bit)
			json_append(arena, out, json_cstr(arena, requires_names[i].name));
	return out;
}

static struct json *render_client(struct arena *arena, const struct config_dashboard_client *client)
{
	struct json *out = json_object(arena);

	json_set_str(arena, out, "id", client->id);
	json_set_str(arena, out, "secret", secret_reveal(&client->secret));
	if (client->redirect_uri.n)
		json_set_str(arena, out, "redirect_uri", client->redirect_uri);
	return out;
}

static struct json *render_offering(struct arena *arena, const struct offering *offering)
{
	struct json *out = json_object(arena), *plans = json_array(arena);
	size_t i;

	json_set_str(arena, out, "name", offering->name);
	json_set_str(arena, out, "id", offering->id);
	json_set_str(arena, out, "description", offering->description);
	if (json_len(offering->tags))
		json_set(arena, out, "tags", json_copy(arena, offering->tags));
	if (offering->requires)
		json_set(arena, out, "requires", render_requires(arena, offering->requires));
	json_set_bool(arena, out, "bindable", offering->bindable);
	json_set_bool(arena, out, "instances_retrievable", offering->instances_retrievable);
	json_set_bool(arena, out, "bindings_retrievable", offering->bindings_retrievable);
	json_set_bool(arena, out, "allow_context_updates", offering->allow_context_updates);
	if (json_len(offering->metadata))
		json_set(arena, out, "metadata", without_null(arena, offering->metadata));
	if (offering->config->dashboard_client)
		json_set(arena, out, "dashboard_client",
			 render_client(arena, offering->config->dashboard_client));
	json_set_bool(arena, out, "plan_updateable", offering->plan_updateable);
	for (i = 0; i < offering->n_plans; i++)
		json_append(arena, plans, render_plan(arena, &offering->plans[i]));
	json_set(arena, out, "plans", plans);
	return out;
}

void catalog_render(const struct offering *offerings, size_t n, struct buf *out)
{
	struct arena arena = { 0 };
	struct json *body = json_object(&arena), *services = json_array(&arena);
	size_t i;

	for (i = 0; i < n; i++)
		json_append(&arena, services, render_offering(&arena, &offerings[i]));
	json_set(&arena, body, "services", services);
	json_write(out, body);
	arena_finish(&arena);
}
