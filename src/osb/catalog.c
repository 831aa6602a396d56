/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/catalog.h"

#include "core/digest.h"
#include "core/mem.h"
#include "osb/catalog_lint.h"
#include "osb/catalog_render.h"
#include "osb/catalog_schemas.h"

#include <stdio.h>

/* -- ids ----------------------------------------------------------------------------------- */

void catalog_derive_id(struct str text, char out[37])
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	digest_sha256(text.p, text.n, digest);
	digest[6] = (unsigned char)((digest[6] & 0x0f) | 0x80);
	digest[8] = (unsigned char)((digest[8] & 0x3f) | 0x80);
	hex_encode(digest, SHA256_SIZE, hex);
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static struct str derived(struct arena *arena, const char *text)
{
	char id[37];

	catalog_derive_id(str_of(text), id);
	return str_of(arena_strdup(arena, id));
}

/* What has no name gets no id: the missing name is the error. */
static void derive_ids(struct offering *offering, struct arena *arena)
{
	size_t i;

	if (!offering->id.p && offering->name.n)
		offering->id = derived(
			arena, arena_printf(arena, "osbd offering %.*s", STR_ARG(offering->name)));
	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];

		if (!plan->id.p && plan->name.n)
			plan->id = derived(arena, arena_printf(arena, "osbd plan %.*s %.*s",
							       STR_ARG(offering->id),
							       STR_ARG(plan->name)));
	}
}

/* -- from the configuration ---------------------------------------------------------------- */

static bool tri(enum conf_tri value, bool absent)
{
	return value == CONF_ABSENT ? absent : value == CONF_TRUE;
}

static bool can_bind(const struct backend_type *type)
{
	return type && (type->verb_of || type->verb[STORE_BIND].steps);
}

static void fill_plan(struct plan *plan, const struct offering *offering,
		      const struct config_plan *config)
{
	plan->offering = offering;
	plan->config = config;
	plan->id = config->id;
	plan->name = config->name;
	plan->description = config->description;
	plan->free = config->free;
	plan->bindable = tri(config->bindable, offering->bindable);
	plan->plan_updateable = tri(config->plan_updateable, offering->plan_updateable);
	plan->binding_rotatable = config->binding_rotatable;
	plan->metadata = config->metadata;
	plan->schemas = config->schemas;
	plan->maximum_polling_duration = config->maximum_polling_duration;
	if (config->maintenance) {
		plan->maintenance = config->maintenance->version;
		plan->maintenance_description = config->maintenance->description;
	}
	plan->binding_lifetime = config->binding_lifetime;
	plan->renew_before = config->renew_before;
	plan->async = config->async;
}

static void fill_offering(struct offering *offering, const struct config_service *config,
			  const struct backend_type *type, struct arena *arena)
{
	struct json *tags;
	size_t i;

	offering->config = config;
	offering->id = config->id;
	offering->name = config->name;
	offering->description = config->description;
	if (config->n_tags) {
		tags = json_array(arena);
		for (i = 0; i < config->n_tags; i++)
			json_append(arena, tags, json_string(arena, config->tags[i]));
		offering->tags = tags;
	}
	offering->requires = config->requires;
	offering->bindable = tri(config->bindable, can_bind(type));
	offering->plan_updateable = config->plan_updateable;
	offering->instances_retrievable = config->instances_retrievable;
	offering->bindings_retrievable = config->bindings_retrievable;
	offering->allow_context_updates = config->allow_context_updates;
	offering->metadata = config->metadata;
	offering->n_plans = config->n_plans;
	offering->plans = arena_zalloc(arena, config->n_plans * sizeof(struct plan) + 1);
	for (i = 0; i < config->n_plans; i++)
		fill_plan(&offering->plans[i], offering, &config->plans[i]);
}

/* -- backends ------------------------------------------------------------------------------ */

static void unknown_backend(const struct config_service *config,
			    const struct backend_type *const *types, struct conf_errors *errors)
{
	const struct json *node = json_get(config->node, "backend");
	struct buf names = { 0 };
	char path[300];

	for (; *types; types++)
		buf_printf(&names, "%s%s", names.n ? ", " : "", (*types)->name);
	snprintf(path, sizeof(path), "%.*s.backend", STR_ARG(config->path));
	conf_errors_add(errors, node && node->line ? node : config->node, path,
			"there is no backend \"%.*s\" (there is: %s)", STR_ARG(config->backend),
			names.n ? names.p : "none");
	buf_finish(&names);
}

/* True when the backend is open and has completed the offering. */
static bool open_backend(const struct backend_env *env, const struct backend_type *type,
			 struct offering *offering, struct arena *arena, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	bool bindable = offering->bindable;
	size_t i, before = errors->n_errors;
	struct backend *backend = NULL;
	char path[300];
	int rc;

	rc = type->open(env, offering, arena, &backend, errors);
	if (rc != 0 && errors->n_errors == before) {
		snprintf(path, sizeof(path), "%.*s.backend", STR_ARG(config->path));
		conf_errors_add(errors, config->node, path, "%s could not be opened: %s",
				type->name, err_str(rc));
	}
	if (rc != 0)
		return false;
	backend->type = type;
	backend->env = env;
	offering->backend = backend;
	if (env->log) {
		log_child(&backend->log, env->log);
		log_field(&backend->log, "service", offering->name);
	}
	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];

		plan->offering = offering;
		/* what the plan has from its service follows it */
		if (plan->config && plan->config->bindable == CONF_ABSENT &&
		    plan->bindable == bindable)
			plan->bindable = offering->bindable;
	}
	return true;
}

static void compile_schemas(struct offering *offering, struct schema_metas *metas,
			    struct arena *arena, struct conf_errors *errors)
{
	size_t i;

	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];
		const struct json *node = offering->config->node;
		const char *path;

		if (plan->config) {
			path = arena_printf(arena, "%.*s", STR_ARG(plan->config->path));
			node = plan->config->node ? plan->config->node : node;
		} else {
			path = arena_printf(arena, "%.*s (plan %.*s)",
					    STR_ARG(offering->config->path), STR_ARG(plan->name));
		}
		catalog_schemas(plan, node, path, metas, arena, errors);
	}
}

/* -- all ----------------------------------------------------------------------------------- */

static void wipe_body(void *data)
{
	struct str *body = data;

	mem_wipe((char *)body->p, body->n);
}

static void render(struct catalog *catalog, struct arena *arena)
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	struct buf body = { 0 };

	catalog_render(catalog->offerings, catalog->n_offerings, &body);
	catalog->body = arena_str(arena, buf_str(&body));
	arena_defer(arena, wipe_body, &catalog->body);
	digest_sha256(body.p, body.n, digest);
	hex_encode(digest, SHA256_SIZE, hex);
	snprintf(catalog->etag, sizeof(catalog->etag), "\"%.32s\"", hex);
	buf_wipe(&body);
}

int catalog_build(const struct backend_env *env, const struct backend_type *const *types,
		  struct arena *arena, struct catalog **out, struct conf_errors *errors)
{
	const struct config *config = env->config;
	struct catalog *catalog = arena_new(arena, struct catalog);
	struct schema_metas metas = { 0 };
	size_t i, before = errors->n_errors;

	catalog->offerings = arena_zalloc(arena, config->n_services * sizeof(struct offering) + 1);
	catalog->n_offerings = config->n_services;
	for (i = 0; i < config->n_services; i++) {
		const struct config_service *service = &config->services[i];
		const struct backend_type *type = backend_find(types, service->backend);
		struct offering *offering = &catalog->offerings[i];

		fill_offering(offering, service, type, arena);
		if (!type)
			unknown_backend(service, types, errors);
		if (!type || !open_backend(env, type, offering, arena, errors))
			continue;
		derive_ids(offering, arena);
		compile_schemas(offering, &metas, arena, errors);
	}
	schema_metas_finish(&metas);
	catalog_lint(catalog->offerings, catalog->n_offerings, errors);
	if (errors->n_errors != before) {
		catalog_close(catalog);
		return ERR_INVALID;
	}
	render(catalog, arena);
	*out = catalog;
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	size_t i;

	for (i = 0; catalog && i < catalog->n_offerings; i++) {
		struct offering *offering = &catalog->offerings[i];

		if (offering->backend && offering->backend->type->close)
			offering->backend->type->close(offering->backend);
		offering->backend = NULL;
	}
}

const struct offering *catalog_offering(const struct catalog *catalog, struct str id)
{
	size_t i;

	for (i = 0; i < catalog->n_offerings; i++)
		if (str_eq(catalog->offerings[i].id, id))
			return &catalog->offerings[i];
	return NULL;
}

const struct offering *catalog_offering_named(const struct catalog *catalog, struct str name)
{
	size_t i;

	for (i = 0; i < catalog->n_offerings; i++)
		if (str_eq(catalog->offerings[i].name, name))
			return &catalog->offerings[i];
	return NULL;
}

const struct plan *offering_plan(const struct offering *offering, struct str id)
{
	size_t i;

	for (i = 0; i < offering->n_plans; i++)
		if (str_eq(offering->plans[i].id, id))
			return &offering->plans[i];
	return NULL;
}
