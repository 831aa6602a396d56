/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_rig.h"

#include "core/digest.h"
#include "core/schema.h"

/* -- what comes out ---------------------------------------------------------------------------- */

static void test_least(void **state)
{
	struct fixture f;

	(void)state;
	assert_int_equal(build(&f, "  - {name: db, description: D., backend: full,\n"
				   "     plans: [{name: small, description: S.}]}\n"),
			 0);
	assert_string_equal(f.messages.p, "");
	/* ids: sha256sum of "osbd offering db" and "osbd plan ID small" */
	assert_string_equal(
		f.catalog->body.p,
		"{\"services\":[{\"name\":\"db\",\"id\":\"bc8ac792-5e9e-85e8-92f6-36ef1b644c0c\","
		"\"description\":\"D.\","
		"\"bindable\":true,\"instances_retrievable\":true,\"bindings_retrievable\":true,"
		"\"allow_context_updates\":false,\"plan_updateable\":false,\"plans\":["
		"{\"id\":\"12befce4-a375-8c2c-99c4-3126bca15767\",\"name\":\"small\","
		"\"description\":\"S.\",\"free\":true}]}]}");
	finish(&f);
}

static void test_whole(void **state)
{
	static const char services[] =
		"  - name: db\n"
		"    id: s-1\n"
		"    description: D.\n"
		"    backend: slow\n"
		"    tags: [sql, \"1\"]\n"
		"    requires: [volume_mount, syslog_drain]\n"
		"    bindable: false\n"
		"    plan_updateable: true\n"
		"    instances_retrievable: false\n"
		"    allow_context_updates: true\n"
		"    metadata: {displayName: DB, imageUrl: 'data:image/png;base64,AA==',\n"
		"      shareable: true, nothing: , deep: {nothing: null, n: 0x10}}\n"
		"    dashboard_client: {id: c, secret: canary, redirect_uri: "
		"'https://d.example/'}\n"
		"    plans:\n"
		"      - name: a\n"
		"        id: p-1\n"
		"        description: A.\n"
		"        free: false\n"
		"        bindable: true\n"
		"        plan_updateable: false\n"
		"        binding_rotatable: true\n"
		"        binding_lifetime: 10m\n"
		"        maximum_polling_duration: 2h\n"
		"        maintenance_info: {version: 1.2.3-rc.1+b, description: New.}\n"
		"        metadata: {bullets: [x], costs: [{amount: {eur: 9.90}, unit: MONTHLY}]}\n"
		"        schemas:\n"
		"          service_instance:\n"
		"            create:\n"
		"              parameters:\n"
		"                $schema: http://json-schema.org/draft-04/schema#\n"
		"                properties: {size: {type: integer, maximum: 9, default: null}}\n"
		"            update:\n"
		"          service_binding: {create: {parameters: {\n"
		"            $schema: 'http://json-schema.org/draft-04/schema#',\n"
		"            additionalProperties: false}}}\n"
		"      - {name: b, id: p-2, description: B., metadata: {}, schemas: {}}\n";
	const struct plan *plan;
	struct fixture f;
	struct err err;

	(void)state;
	assert_int_equal(build(&f, services), 0);
	assert_string_equal(f.messages.p, "");
	assert_string_equal(
		f.catalog->body.p,
		"{\"services\":[{\"name\":\"db\",\"id\":\"s-1\",\"description\":\"D.\","
		"\"tags\":[\"sql\",\"1\"],\"requires\":[\"syslog_drain\",\"volume_mount\"],"
		"\"bindable\":false,\"instances_retrievable\":false,\"bindings_retrievable\":true,"
		"\"allow_context_updates\":true,\"metadata\":{\"displayName\":\"DB\","
		"\"imageUrl\":\"data:image/png;base64,AA==\",\"shareable\":true,"
		"\"deep\":{\"n\":16}},"
		"\"dashboard_client\":{\"id\":\"c\",\"secret\":\"canary\","
		"\"redirect_uri\":\"https://d.example/\"},\"plan_updateable\":true,\"plans\":["
		"{\"id\":\"p-1\",\"name\":\"a\",\"description\":\"A.\","
		"\"metadata\":{\"bullets\":[\"x\"],\"costs\":[{\"amount\":{\"eur\":9.90},"
		"\"unit\":\"MONTHLY\"}]},\"free\":false,\"bindable\":true,"
		"\"binding_rotatable\":true,\"plan_updateable\":false,\"schemas\":{"
		"\"service_instance\":{\"create\":{\"parameters\":{"
		"\"$schema\":\"http://json-schema.org/draft-04/schema#\","
		"\"properties\":{\"size\":{\"type\":\"integer\",\"maximum\":9,\"default\":null}}}}}"
		","
		"\"service_binding\":{\"create\":{\"parameters\":{"
		"\"$schema\":\"http://json-schema.org/draft-04/schema#\","
		"\"additionalProperties\":false}}}},"
		"\"maximum_polling_duration\":7200,"
		"\"maintenance_info\":{\"version\":\"1.2.3-rc.1+b\",\"description\":\"New.\"}},"
		"{\"id\":\"p-2\",\"name\":\"b\",\"description\":\"B.\",\"free\":true}]}]}");

	plan = offering_plan(catalog_offering(f.catalog, STR("s-1")), STR("p-1"));
	assert_non_null(plan);
	assert_ptr_equal(plan->offering, catalog_offering_named(f.catalog, STR("db")));
	assert_int_equal(plan->renew_before, 8 * 60 * 1000);
	assert_int_equal(plan->async, CONFIG_ASYNC_UNSET);
	assert_int_equal(schema_validate(plan->create, value(&f.arena, "{\"size\":9}"), "", &err),
			 0);
	assert_int_equal(schema_validate(plan->create, value(&f.arena, "{\"size\":10}"), "", &err),
			 ERR_INVALID);
	assert_int_equal(schema_validate(plan->bind, value(&f.arena, "{\"x\":1}"), "", &err),
			 ERR_INVALID);
	assert_null(plan->update);
	plan = offering_plan(plan->offering, STR("p-2"));
	assert_null(plan->create);
	assert_null(plan->schemas);
	assert_null(offering_plan(plan->offering, STR("p-3")));
	assert_null(catalog_offering(f.catalog, STR("db")));
	assert_null(catalog_offering_named(f.catalog, STR("s-1")));
	finish(&f);
}

static void test_etag(void **state)
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1], first[40];
	struct fixture f;

	(void)state;
	assert_int_equal(build(&f, SERVICE PLAN), 0);
	digest_sha256(f.catalog->body.p, f.catalog->body.n, digest);
	hex_encode(digest, SHA256_SIZE, hex);
	assert_int_equal(strlen(f.catalog->etag), 34);
	assert_memory_equal(f.catalog->etag + 1, hex, 32);
	assert_int_equal(f.catalog->etag[0], '"');
	assert_int_equal(f.catalog->etag[33], '"');
	strcpy(first, f.catalog->etag);
	finish(&f);
	assert_int_equal(build(&f, SERVICE PLAN "    tags: [x]\n"), 0);
	assert_string_not_equal(first, f.catalog->etag);
	finish(&f);
}

static void test_derived(void **state)
{
	char id[37];

	(void)state;
	catalog_derive_id(STR("osbd offering db"), id);
	assert_string_equal(id, "bc8ac792-5e9e-85e8-92f6-36ef1b644c0c");
	/* version 8, variant 10 */
	assert_int_equal(id[14], '8');
	assert_non_null(strchr("89ab", id[19]));
	/* another name, another offering: another id */
	catalog_derive_id(STR("osbd offering dc"), id);
	assert_string_not_equal(id, "bc8ac792-5e9e-85e8-92f6-36ef1b644c0c");
}

/* What a backend completes, and what stays the operator's. */
static void test_maker(void **state)
{
	const struct json *service;
	struct fixture f;

	(void)state;
	assert_int_equal(build(&f, "  - {backend: maker}\n"), 0);
	assert_string_equal(f.messages.p, "");
	service = json_at(json_get(body(&f), "services"), 0);
	assert_string_equal(json_str(json_get(service, "id")).p, "made-id");
	assert_string_equal(json_text(&f.arena, json_get(service, "tags")).p, "[\"a\",\"b\"]");
	assert_false(json_bool_value(json_get(service, "bindable")));
	assert_string_equal(
		json_text(&f.arena, json_at(json_get(service, "plans"), 0)).p,
		"{\"id\":\"e9180480-50ff-81df-9123-c04575db60f5\",\"name\":\"one\",\"description\":"
		"\"The one plan.\","
		"\"free\":false,\"schemas\":{\"service_instance\":{\"create\":{\"parameters\":{"
		"\"$schema\":\"http://json-schema.org/draft-04/schema#\","
		"\"required\":[\"size\"]}}}},\"x-cores\":2}");
	assert_non_null(f.catalog->offerings[0].plans[0].create);
	assert_ptr_equal(f.catalog->offerings[0].plans[0].offering, &f.catalog->offerings[0]);
	finish(&f);

	/* plans follow a service that its backend made unbindable, but for those that say */
	assert_int_equal(build(&f, "  - {backend: maker, plans: [{name: a, description: A.},\n"
				   "     {name: b, description: B., bindable: true}]}\n"),
			 0);
	assert_false(f.catalog->offerings[0].plans[0].bindable);
	assert_true(f.catalog->offerings[0].plans[1].bindable);
	finish(&f);

	/* bindable only where the backend can */
	assert_int_equal(build(&f, "  - {name: a, description: A., backend: store,\n"
				   "     plans: [{name: p, description: P.}]}\n"),
			 0);
	assert_false(f.catalog->offerings[0].bindable);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least), cmocka_unit_test(test_whole),
		cmocka_unit_test(test_etag),  cmocka_unit_test(test_derived),
		cmocka_unit_test(test_maker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
