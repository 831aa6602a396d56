/* SPDX-License-Identifier: Apache-2.0 */
/* apb.yml: whatever is accepted must give schemas that are schemas, and forms; whatever is not,
 * a message that is text. */
#include "backends/bundle_schema.h"
#include "core/schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(struct arena *arena, const struct bundle_plan *plan)
{
	const struct json *schemas = bundle_schemas(arena, plan), *schema;
	struct schema *compiled;
	struct err err = { 0 };

	schema = json_get(json_get(json_get(schemas, "service_instance"), "create"), "parameters");
	if (schema_check_meta(schema, &err) < 0 && err.code != ERR_TOOBIG)
		abort();
	if (schema_compile(arena, schema, &compiled, &err) < 0 && err.code != ERR_TOOBIG)
		abort();
	if (!json_is_object(bundle_forms(arena, plan)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors = { 0 };
	struct arena arena = { 0 };
	struct bundle_spec *spec;
	size_t i;

	if (bundle_spec_parse(str_make((const char *)data, size), "apb.yml", &arena, &spec,
			      &errors) == 0) {
		if (!spec->n_plans || !bundle_fq_name(&arena, STR("r"), spec->name).n)
			abort();
		for (i = 0; i < spec->n_plans; i++)
			look_at(&arena, &spec->plans[i]);
	} else if (!errors.n_errors) {
		abort();
	}
	for (i = 0; i < errors.n; i++)
		if (!str_is_utf8(str_of(conf_errors_line(&errors, i))))
			abort();
	conf_errors_finish(&errors);
	arena_finish(&arena);
	return 0;
}
