/* SPDX-License-Identifier: Apache-2.0 */
/* The services of a configuration file: messages, or a catalog that a platform can read: JSON, no
 * null outside of schemas, ids that differ and are found again. */
#include "osb/catalog.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static int open_any(const struct backend_env *env, struct offering *offering, struct arena *arena,
		    struct backend **out, struct conf_errors *errors)
{
	(void)env, (void)offering, (void)errors;
	*out = arena_new(arena, struct backend);
	return 0;
}

static const struct op_step steps[] = { { .name = "step" }, { 0 } };

static const struct backend_type demo = {
	.name = "demo",
	.open = open_any,
	.verb = {
		[STORE_PROVISION] = { .steps = steps },
		[STORE_UPDATE] = { .steps = steps },
		[STORE_DEPROVISION] = { .steps = steps },
		[STORE_BIND] = { .steps = steps },
		[STORE_UNBIND] = { .steps = steps },
	},
};

static const struct backend_type *const types[] = { &demo, NULL };

static void check_no_null(const struct json *v)
{
	const struct json_member *m;
	const struct json *item;
	size_t i;

	json_each_item(i, item, v)
		check_no_null(item);
	json_each_member(m, v) {
		check(!json_is_null(m->value));
		if (!str_is(m->key, "schemas"))
			check_no_null(m->value);
	}
}

static void check_catalog(const struct catalog *catalog, struct arena *arena)
{
	const struct json_limits limits = { .bytes = 64 << 20, .depth = JSON_DEPTH_CAP };
	struct json *body;
	struct err err;
	size_t i, k;

	check(json_parse_object(arena, catalog->body, &limits, &body, &err) == 0);
	check_no_null(body);
	check(json_len(json_get(body, "services")) == catalog->n_offerings);
	check(catalog->n_offerings > 0 && strlen(catalog->etag) == 34);
	for (i = 0; i < catalog->n_offerings; i++) {
		const struct offering *offering = &catalog->offerings[i];

		check(catalog_offering(catalog, offering->id) == offering);
		check(catalog_offering_named(catalog, offering->name) == offering);
		check(offering->n_plans > 0);
		for (k = 0; k < offering->n_plans; k++)
			check(offering_plan(offering, offering->plans[k].id) ==
			      &offering->plans[k]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors = { 0 };
	struct backend_env env = { 0 };
	struct catalog *catalog = NULL;
	struct arena arena = { 0 };
	struct config *config;

	if (config_parse(str_make((const char *)data, size), "f.yml", "/nowhere", &arena, &config,
			 &errors) == 0) {
		env.config = config;
		if (catalog_build(&env, types, &arena, &catalog, &errors) == 0)
			check_catalog(catalog, &arena);
		else
			check(!catalog && errors.n_errors > 0);
		catalog_close(catalog);
	}
	conf_errors_finish(&errors);
	arena_finish(&arena);
	return 0;
}
