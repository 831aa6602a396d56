/* SPDX-License-Identifier: Apache-2.0 */
/* apb.yml as an offering: ids, schemas, forms, and what is wrong with a file. */
#include "backends/bundle_schema.h"
#include "backends/bundle_spec.h"
#include "core/mem.h"
#include "core/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct world {
	struct arena arena;
	struct conf_errors errors;
	struct bundle_spec *spec;
};

static int read_spec(struct world *w, const char *text)
{
	memset(w, 0, sizeof(*w));
	return bundle_spec_parse(str_of(text), "apb.yml", &w->arena, &w->spec, &w->errors);
}

static void start(struct world *w, const char *text)
{
	if (read_spec(w, text) < 0)
		fail_msg("%s", conf_errors_line(&w->errors, 0));
}

static void finish(struct world *w)
{
	conf_errors_finish(&w->errors);
	arena_finish(&w->arena);
}

/* The plan `p` with these parameters, a YAML list indented by four. */
#define PLAN "version: 1.0\nname: x\nplans:\n- name: p\n  description: d\n"

static const struct json *schema_at(struct world *w, const char *object, const char *verb)
{
	const struct json *all = bundle_schemas(&w->arena, &w->spec->plans[0]);

	return json_get(json_get(json_get(all, object), verb), "parameters");
}

static const char *text_of(struct world *w, const struct json *v)
{
	return json_text(&w->arena, v).p;
}

static void test_ids(void **state)
{
	static const struct {
		const char *registry, *name, *fq, *plan, *id;
	} rows[] = {
		{ "dh", "postgresql-apb", "dh-postgresql-apb", "",
		  "1dda1477cace09730bd8ed7a6505607e" },
		{ "dh", "mediawiki-apb", "dh-mediawiki-apb", "",
		  "f6c4486b7fb0cdac4b58e193607f7011" },
		{ "dh", "sns-apb", "dh-sns-apb", "dev", "55822a921d2c4858fe6e58f5522429c2" },
		{ "h", "org/hello-world-apb", "h-org-hello-world-apb", "", NULL },
		{ "", "a.b:c/d", "a-b-c-d", "", NULL },
		/* 51 characters, not bytes, and one dash off the end */
		{ "r", "0123456789012345678901234567890123456789012345678xyz",
		  "r-0123456789012345678901234567890123456789012345678", "", NULL },
		{ "r", "012345678901234567890123456789012345678901234567/-z",
		  "r-012345678901234567890123456789012345678901234567", "", NULL },
		{ "r", "é123456789012345678901234567890123456789012345678xyz",
		  "r-é123456789012345678901234567890123456789012345678", "", NULL },
		{ "r", "a--", "r-a-", "", NULL },
	};
	struct arena arena = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct str fq =
			bundle_fq_name(&arena, str_of(rows[i].registry), str_of(rows[i].name));

		assert_string_equal(fq.p, rows[i].fq);
		if (rows[i].id)
			assert_string_equal(
				bundle_id(&arena, str_of(arena_printf(&arena, "%s%s%s", fq.p,
								      *rows[i].plan ? "-" : "",
								      rows[i].plan)))
					.p,
				rows[i].id);
	}
	arena_finish(&arena);
}

/* The example of the service bundle specification. */
static const char example[] = "version: 1.0        # a comment\n"
			      "name: example-apb\n"
			      "description:        # nothing\n"
			      "bindable: True\n"
			      "async: optional\n"
			      "metadata:\n"
			      "  documentationUrl: https://docs\n"
			      "  dependencies:\n"
			      "  - 'registry/organization/one'\n"
			      "  displayName: Example App (APB)\n"
			      "plans:\n"
			      "  - name: default\n"
			      "    description: A short description of what this plan does\n"
			      "    free: true\n"
			      "    metadata:\n"
			      "      displayName: Default\n"
			      "      cost: $0.00\n"
			      "    Parameters:\n"
			      "      - name: parameter_one\n"
			      "        required: true\n"
			      "        default: foo_string\n"
			      "        type: string\n"
			      "        title: Parameter One\n"
			      "        maxlength: 63\n"
			      "      - name: parameter_two\n"
			      "        required: true\n"
			      "        default: true\n"
			      "        title: Parameter Two\n"
			      "        type: boolean\n";

static void test_example(void **state)
{
	struct world w;
	const struct bundle_plan *plan;

	(void)state;
	start(&w, example);
	assert_int_equal(w.errors.n, 0);
	assert_string_equal(w.spec->name.p, "example-apb");
	assert_int_equal(w.spec->description.n, 0);
	assert_true(w.spec->bindable && w.spec->async == BUNDLE_ASYNC_OPTIONAL);
	assert_string_equal(text_of(&w, w.spec->metadata),
			    "{\"documentationUrl\":\"https://docs\","
			    "\"dependencies\":[\"registry/organization/one\"],"
			    "\"displayName\":\"Example App (APB)\"}");
	plan = &w.spec->plans[0];
	assert_true(plan->free && plan->bindable);
	assert_string_equal(
		text_of(&w, schema_at(&w, "service_instance", "create")),
		"{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"object\","
		"\"additionalProperties\":false,\"properties\":{"
		"\"parameter_one\":{\"title\":\"Parameter One\",\"type\":\"string\","
		"\"default\":\"foo_string\",\"maxLength\":63},"
		"\"parameter_two\":{\"title\":\"Parameter Two\",\"type\":\"boolean\","
		"\"default\":true}},\"required\":[\"parameter_one\",\"parameter_two\"]}");
	assert_string_equal(
		text_of(&w, schema_at(&w, "service_instance", "update")),
		"{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"object\","
		"\"additionalProperties\":false,\"properties\":{}}");
	assert_string_equal(
		text_of(&w, schema_at(&w, "service_binding", "create")),
		"{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"object\","
		"\"additionalProperties\":false,\"properties\":{}}");
	assert_string_equal(
		text_of(&w, bundle_forms(&w.arena, plan)),
		"{\"service_instance\":{"
		"\"create\":{\"openshift_form_definition\":[\"parameter_one\",\"parameter_two\"]},"
		"\"update\":{\"openshift_form_definition\":[]}},"
		"\"service_binding\":{\"create\":{\"openshift_form_definition\":[]}}}");
	finish(&w);
}

/* One parameter in, one property out. */
static void test_types(void **state)
{
	static const struct {
		const char *param, *property;
	} rows[] = {
		{ "type: string, min_length: 1, max_length: 9, maxlength: 5, pattern: '^a+$'",
		  "{\"type\":\"string\",\"maxLength\":9,\"minLength\":1,\"pattern\":\"^a+$\"}" },
		{ "type: String, maxlength: 5, min_length: 0, minimum: 4",
		  "{\"type\":\"string\",\"maxLength\":5}" },
		{ "type: enum, enum: [a, 2, yes]",
		  "{\"type\":\"string\",\"enum\":[\"a\",\"2\",\"yes\"]}" },
		{ "type: string, default: 8080", "{\"type\":\"string\",\"default\":\"8080\"}" },
		{ "type: string, pattern: '('", "{\"type\":\"string\"}" },
		{ "type: int, minimum: 1, maximum: 10, multiple_of: 2, max_length: 4",
		  "{\"type\":\"integer\",\"multipleOf\":2,\"minimum\":1,\"maximum\":10}" },
		{ "type: integer, exclusive_minimum: 1, exclusive_maximum: 10, maximum: 12",
		  "{\"type\":\"integer\",\"minimum\":1,\"exclusiveMinimum\":true,"
		  "\"maximum\":10,\"exclusiveMaximum\":true}" },
		{ "type: int, enum: ['1', 2], default: '2', multiple_of: 0",
		  "{\"type\":\"integer\",\"default\":2,\"enum\":[1,2]}" },
		{ "type: number, minimum: -0.5, title: T, description: D",
		  "{\"title\":\"T\",\"description\":\"D\",\"type\":\"number\",\"minimum\":-0.5}" },
		{ "type: bool, default: no", "{\"type\":\"boolean\",\"default\":false}" },
		{ "type: BOOLEAN, default: ~", "{\"type\":\"boolean\"}" },
		{ "type: object, default: {a: 1}", "{\"type\":\"object\",\"default\":{\"a\":1}}" },
		{ "type: array", "{\"type\":\"array\"}" },
		{ "type: nil", "{\"type\":\"null\"}" },
		{ "type: null", "{\"type\":\"null\"}" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char text[512];
		struct world w;
		struct err err;

		snprintf(text, sizeof(text), PLAN "  parameters: [{name: n, %s}]", rows[i].param);
		start(&w, text);
		assert_string_equal(
			text_of(&w, json_get(json_get(schema_at(&w, "service_instance", "create"),
						      "properties"),
					     "n")),
			rows[i].property);
		assert_int_equal(
			schema_check_meta(schema_at(&w, "service_instance", "create"), &err), 0);
		finish(&w);
	}
}

static void test_update_and_bind(void **state)
{
	struct world w;

	(void)state;
	start(&w, PLAN "  parameters:\n"
		       "  - {name: a, type: string, required: true}\n"
		       "  - {name: b, type: string, required: true, updatable: true}\n"
		       "  - {name: c, type: int, updatable: true}\n"
		       "  bind_parameters:\n"
		       "  - {name: z, type: bool, required: true}\n");
	assert_non_null(strstr(text_of(&w, schema_at(&w, "service_instance", "create")),
			       "\"required\":[\"a\",\"b\"]"));
	assert_non_null(strstr(text_of(&w, schema_at(&w, "service_instance", "update")),
			       "\"properties\":{\"b\":{\"type\":\"string\"},"
			       "\"c\":{\"type\":\"integer\"}},\"required\":[\"b\"]}"));
	assert_non_null(
		strstr(text_of(&w, schema_at(&w, "service_binding", "create")),
		       "\"properties\":{\"z\":{\"type\":\"boolean\"}},\"required\":[\"z\"]}"));
	finish(&w);
}

static void test_form(void **state)
{
	struct world w;

	(void)state;
	start(&w, PLAN "  parameters:\n"
		       "  - {name: a, type: string, display_type: password, updatable: true}\n"
		       "  - {name: b, type: string, display_group: G}\n"
		       "  - {name: c, type: string, display_group: G, display_type: textarea}\n"
		       "  - {name: d, type: string, display_group: H, updatable: true}\n"
		       "  - {name: e, type: string}\n"
		       "  - {name: f, type: string, display_group: G}\n");
	assert_string_equal(
		text_of(&w, json_get(bundle_forms(&w.arena, w.spec->plans), "service_instance")),
		"{\"create\":{\"openshift_form_definition\":[{\"key\":\"a\",\"type\":\"password\"},"
		"{\"title\":\"G\",\"type\":\"fieldset\","
		"\"items\":[\"b\",{\"key\":\"c\",\"type\":\"textarea\"}]},"
		"{\"title\":\"H\",\"type\":\"fieldset\",\"items\":[\"d\"]},\"e\","
		"{\"title\":\"G\",\"type\":\"fieldset\",\"items\":[\"f\"]}]},"
		"\"update\":{\"openshift_form_definition\":[{\"key\":\"a\",\"type\":\"password\"},"
		"{\"title\":\"H\",\"type\":\"fieldset\",\"items\":[\"d\"]}]}}");
	finish(&w);
}

/* The schema says what it means: values that must and must not pass. */
static void test_dependencies(void **state)
{
	static const char spec[] = PLAN
		"  parameters:\n"
		"  - {name: kind, type: enum, enum: [none, file, s3], required: true}\n"
		"  - {name: path, type: string, required: true,\n"
		"     dependencies: [{key: kind, value: file}, {key: on, value: x}]}\n"
		"  - {name: bucket, type: string, dependencies: [{key: kind, value: [s3, x]}]}\n"
		"  - {name: region, type: int, dependencies: [{key: kind, value: s3}]}\n"
		"  - {name: on, type: bool}\n"
		"  - {name: a.b, type: string, dependencies: [{key: on, value: true}]}\n"
		"  - {name: lost, type: string, dependencies: [{key: nobody, value: 1}]}\n";
	static const struct {
		const char *value;
		bool ok;
	} rows[] = {
		{ "{\"kind\":\"none\"}", true },
		{ "{\"kind\":\"file\"}", false },
		{ "{\"kind\":\"file\",\"path\":\"p\"}", true },
		{ "{\"kind\":\"file\",\"path\":7}", false },
		{ "{\"kind\":\"s3\",\"bucket\":\"b\"}", false },
		{ "{\"kind\":\"s3\",\"bucket\":\"b\",\"region\":1}", true },
		{ "{\"kind\":\"ftp\"}", false },
		{ "{}", false },
		{ "{\"kind\":\"none\",\"on\":true}", false },
		{ "{\"kind\":\"none\",\"on\":true,\"a.b\":\"\"}", true },
		{ "{\"kind\":\"none\",\"on\":true,\"a.b\":\"\",\"axb\":\"\"}", false },
		{ "{\"kind\":\"none\",\"lost\":\"\"}", true },
		{ "{\"kind\":\"none\",\"more\":\"\"}", false },
	};
	const struct json *text;
	struct schema *schema;
	struct world w;
	struct err err;
	size_t i;

	(void)state;
	start(&w, spec);
	assert_int_equal(w.errors.n_warnings, 2); /* the second dependency; the lost one */
	text = schema_at(&w, "service_instance", "create");
	assert_string_equal(
		text_of(&w, json_get(json_get(text, "dependencies"), "kind")),
		"{\"oneOf\":[{\"properties\":{\"kind\":{\"enum\":[\"none\"]}}},"
		"{\"properties\":{\"kind\":{\"enum\":[\"file\"]},\"path\":{\"type\":\"string\"}},"
		"\"required\":[\"path\"]},"
		"{\"properties\":{\"kind\":{\"enum\":[\"s3\"]},\"bucket\":{\"type\":\"string\"},"
		"\"region\":{\"type\":\"integer\"}},\"required\":[\"bucket\",\"region\"]}]}");
	assert_string_equal(text_of(&w, json_get(json_get(text, "dependencies"), "on")),
			    "{\"properties\":{\"a.b\":{\"type\":\"string\"}},"
			    "\"required\":[\"a.b\"]}");
	assert_string_equal(text_of(&w, json_get(text, "required")), "[\"kind\"]");
	assert_int_equal(schema_check_meta(text, &err), 0);
	if (schema_compile(&w.arena, text, &schema, &err) < 0)
		fail_msg("%s", err.text);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct json *value;

		assert_int_equal(json_parse(&w.arena, str_of(rows[i].value), NULL, &value, &err),
				 0);
		err.text[0] = '\0';
		if ((schema_validate(schema, value, "parameters", &err) == 0) != rows[i].ok)
			fail_msg("%s: %s", rows[i].value, err.text);
	}
	finish(&w);
}

/* Shared parameter lists are how people write these files. */
static void test_anchors(void **state)
{
	struct world w;

	(void)state;
	start(&w, "version: 1.0\nname: x\n_p: &p\n- &size {name: size, type: int}\n"
		  "- {<<: *size, name: other, updatable: yes}\n"
		  "plans:\n- {name: a, description: d, parameters: *p, updates_to: [b]}\n"
		  "- {name: b, description: d, parameters: *p, bindable: yes, free: off}\n");
	assert_int_equal(w.errors.n_errors, 0);
	assert_int_equal(w.spec->plans[1].parameters.n, 2);
	assert_true(w.spec->plans[1].parameters.p[1].updatable);
	assert_int_equal(w.spec->plans[1].parameters.p[1].type, BUNDLE_INTEGER);
	assert_false(w.spec->plans[1].free);
	assert_true(w.spec->plans[1].bindable && !w.spec->plans[0].bindable);
	assert_int_equal(w.spec->plans[0].n_updates_to, 1);
	finish(&w);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *what;
	} rows[] = {
		{ "", "apb.yml" },
		{ "[a]", "apb.yml:1:1: must be a mapping, not an array" },
		{ "a: [b", "apb.yml:" },
		{ "name: x\nplans: [{name: p}]", "apb.yml:1:1: version: is missing" },
		{ "version: 2.0\nname: x\nplans: [{name: p}]",
		  "apb.yml:1:10: version: must be 1.0" },
		{ "version: 1.0\nplans: [{name: p}]", "name: is missing" },
		{ "version: 1.0\nname: x", "plans: at least one plan must be there" },
		{ "version: 1.0\nname: x\nplans: []",
		  "3:8: plans: at least one plan must be there" },
		{ "version: 1.0\nname: x\nplans:", "plans: at least one plan must be there" },
		{ "version: 1.0\nname: x\nplans: no", "plans: must be a list, not a boolean" },
		{ "version: 1.0\nname: [x]\nplans: [{name: p}]",
		  "2:7: name: must be a string, not an array" },
		{ "version: 1.0\nname: x\nasync: maybe\nplans: [{name: p}]",
		  "3:8: async: must be required, optional or unsupported" },
		{ "version: 1.0\nname: x\nbindable: 'yes'\nplans: [{name: p}]",
		  "3:11: bindable: must be true or false, not a string" },
		{ "version: 1.0\nname: x\nplans: [{name: p}, {name: p}]",
		  "3:27: plans[1].name: \"p\" is there before" },
		{ "version: 1.0\nname: x\nplans: [p]",
		  "plans[0]: must be a mapping, not a string" },
		{ "version: 1.0\nname: x\ntags: [{a: b}]\nplans: [{name: p}]",
		  "tags: must be a list of strings" },
		{ PLAN "  metadata: []\n", "plans[0].metadata: must be a mapping, not an array" },
		{ PLAN "  parameters: [{name: a, type: strin}]\n",
		  "6:32: plans[0].parameters[0].type: must be string, enum," },
		{ PLAN "  parameters: [{name: a}]\n",
		  "6:16: plans[0].parameters[0].type: is missing" },
		{ PLAN "  parameters: [{name: a, type: int}, {name: a, type: int}]\n",
		  "plans[0].parameters[1].name: \"a\" is there before" },
		{ PLAN "  parameters: [{name: a, type: int, maximum: ten}]\n",
		  "plans[0].parameters[0].maximum: must be a number, not a string" },
		{ PLAN "  parameters: [{name: a, type: string, max_length: 1.5}]\n",
		  "max_length: must be an integer from 0 on" },
		{ PLAN "  parameters: [{name: a, type: int, multiple_of: -1}]\n",
		  "multiple_of: must be above 0" },
		{ PLAN "  parameters: [{name: a, type: enum, enum: [b, b]}]\n",
		  "enum: names the same value twice" },
		{ PLAN "  parameters: [{name: a, type: int, required: 1}]\n",
		  "required: must be true or false, not a number" },
		{ PLAN "  parameters: [{name: a, type: int, dependencies: [k]}]\n",
		  "dependencies: must be a list of mappings" },
		{ PLAN "  parameters: [{name: a, type: int, dependencies: [{value: k}]}]\n",
		  "plans[0].parameters[0].dependencies[0].key: is missing" },
		{ PLAN "  parameters: [[]]\n", "plans[0].parameters[0]: must be a mapping" },
	};
	struct buf all = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct world w;

		assert_int_equal(read_spec(&w, rows[i].text), ERR_INVALID);
		assert_null(w.spec);
		conf_errors_print(&w.errors, &all);
		if (!strstr(all.p, rows[i].what))
			fail_msg("%s\nfor\n%s", all.p, rows[i].text);
		buf_clear(&all);
		finish(&w);
	}
	buf_finish(&all);
}

static void test_warnings(void **state)
{
	struct world w;
	struct buf all = { 0 };

	(void)state;
	start(&w,
	      "version: '1.0'\nname: x\nname: y\nalpha: {dashboard_redirect: true}\nruntime: 2\n"
	      "plans:\n- name: p\n  colour: red\n  updates_to: [q]\n"
	      "  parameters: [{name: a, type: string, pattern: '['}]\n");
	conf_errors_print(&w.errors, &all);
	assert_string_equal(w.spec->name.p, "y");
	assert_non_null(strstr(all.p, "3:1: warning: duplicate key \"name\": the last one counts"));
	assert_non_null(strstr(all.p, "plans[0]: \"colour\" is not a key"));
	assert_non_null(strstr(all.p, "plans[0].updates_to: there is no plan \"q\""));
	assert_non_null(strstr(all.p, "plans[0].parameters[0].pattern: ignored: "));
	assert_int_equal(w.errors.n, 4);
	buf_finish(&all);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),      cmocka_unit_test(test_example),
		cmocka_unit_test(test_types),    cmocka_unit_test(test_update_and_bind),
		cmocka_unit_test(test_form),     cmocka_unit_test(test_dependencies),
		cmocka_unit_test(test_anchors),  cmocka_unit_test(test_bad),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
