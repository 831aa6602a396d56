/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_rig.h"

#include "osb/catalog_lint.h"

/* -- what is refused --------------------------------------------------------------------------- */

#define DRAFT(n) "$schema: 'http://json-schema.org/draft-" n "/schema#'"
#define CREATE(schema)                                                                        \
	SERVICE "    plans: [{name: p, description: d, schemas: {service_instance: {create: " \
		"{parameters: " schema "}}}}]\n"
#define AT_CREATE "services[0].plans[0].schemas.service_instance.create.parameters: "

static const struct {
	const char *services, *messages;
} rows[] = {
	/* nothing there */
	{ "  []\n", "t.yml: services: there is none: platforms refuse an empty catalog\n" },
	{ SERVICE, "t.yml:3:5: services[0].plans: a service has at least one plan\n" },
	{ "  - {backend: full, plans: [{}]}\n",
	  "t.yml:3:5: services[0].name: is missing\n"
	  "t.yml:3:5: services[0].description: is missing\n"
	  "t.yml:3:29: services[0].plans[0].name: is missing\n"
	  "t.yml:3:29: services[0].plans[0].description: is missing\n" },
	{ "  - {name: ' ', id: ' ', description: ' ', backend: full, plans: [\n"
	  "      {name: p, id: ' ', description: d}]}\n",
	  "t.yml:3:12: services[0].name: is missing\n"
	  "t.yml:3:21: services[0].id: is blank\n"
	  "t.yml:3:39: services[0].description: is missing\n"
	  "t.yml:4:21: services[0].plans[0].id: is blank\n" },
	/* backends */
	{ "  - {name: db, description: D., backend: ful, plans: []}\n",
	  "t.yml:3:42: services[0].backend: there is no backend \"ful\" (there is: full, slow, "
	  "store, nothing, maker, mute, fault)\n" },
	{ "  - {backend: mute}\n  - {name: x, backend: full}\n",
	  "t.yml:3:5: services[0].backend: mute could not be opened: input/output error\n"
	  "t.yml:4:5: services[1].description: is missing\n"
	  "t.yml:4:5: services[1].plans: a service has at least one plan\n" },
	{ "  - {backend: fault}\n", "t.yml:3:5: services[0].config: is no good\n" },
	{ "  - {name: a, description: a, backend: nothing,\n"
	  "     plans: [{name: p, description: d}]}\n",
	  "t.yml:4:14: services[0].plans[0].backend: nothing makes no instances of this plan\n" },
	{ "  - {name: a, description: a, backend: store, bindable: true, plan_updateable: true,\n"
	  "     plans: [{name: p, description: d}]}\n",
	  "t.yml:4:14: services[0].plans[0].plan_updateable: the backend store cannot update\n"
	  "t.yml:4:14: services[0].plans[0].bindable: the backend store cannot bind\n" },
	/* asynchronous bindings must be fetched */
	{ "  - {name: a, description: a, backend: slow, bindings_retrievable: false,\n"
	  "     plans: [{name: p, description: d}, {name: q, description: d, async: sync}]}\n",
	  "t.yml:4:14: services[0].plans[0].async: bindings may be made asynchronously, so that a "
	  "platform has to fetch them: the service needs bindings_retrievable: true, or the plan "
	  "async: sync\n" },
	{ "  - {name: a, description: a, backend: full, bindings_retrievable: false,\n"
	  "     plans: [{name: p, description: d, async: async}]}\n",
	  "t.yml:4:47: services[0].plans[0].async: bindings may be made asynchronously, so that a "
	  "platform has to fetch them: the service needs bindings_retrievable: true, or the plan "
	  "async: sync\n" },
	/* what must differ */
	{ "  - {name: a, id: x, description: a, backend: full, plans: [\n"
	  "      {name: p, id: y, description: d}, {name: p, id: z, description: d}]}\n"
	  "  - {name: b, id: x, description: a, backend: full, plans: [\n"
	  "      {name: p, id: y, description: d}]}\n",
	  "t.yml:4:48: services[0].plans[1].name: \"p\" is that of services[0].plans[0] already\n"
	  "t.yml:5:19: services[1].id: \"x\" is that of services[0] already\n"
	  "t.yml:6:21: services[1].plans[0].id: \"y\" is that of services[0].plans[0] already\n" },
	{ "  - {backend: maker}\n  - {backend: maker}\n  - {backend: maker}\n",
	  "t.yml:4:5: services[1].id: \"made-id\" is that of services[0] already\n"
	  "t.yml:4:5: services[1].name: \"made\" is that of services[0] already\n"
	  "t.yml:4:5: services[1] (plan one).id: \"e9180480-50ff-81df-9123-c04575db60f5\" is that "
	  "of "
	  "services[0] (plan one) already\n"
	  "t.yml:5:5: services[2].id: \"made-id\" is that of services[0] already\n"
	  "t.yml:5:5: services[2].name: \"made\" is that of services[0] already\n"
	  "t.yml:5:5: services[2] (plan one).id: \"e9180480-50ff-81df-9123-c04575db60f5\" is that "
	  "of "
	  "services[0] (plan one) already\n" },
	{ SERVICE PLAN
	  "    dashboard_client: {id: c, secret: canary, redirect_uri: 'https://a/'}\n"
	  "  - name: b\n    description: D.\n    backend: full\n" PLAN
	  "    dashboard_client: {id: c, secret: canary, redirect_uri: 'https://b/'}\n",
	  "t.yml:12:23: services[1].dashboard_client: \"c\" is that of services[0] already\n" },
	/* dashboard_client */
	{ SERVICE PLAN "    dashboard_client: {id: ' ', secret: ' '}\n",
	  "t.yml:7:23: services[0].dashboard_client: id is missing\n"
	  "t.yml:7:23: services[0].dashboard_client: secret is missing\n"
	  "t.yml:7:23: services[0].dashboard_client: redirect_uri is missing: Cloud Controller "
	  "wants it\n" },
	/* metadata, maintenance, lifetimes */
	{ SERVICE PLAN "    metadata: {shareable: 'true'}\n",
	  "t.yml:7:15: services[0].metadata: shareable must be a boolean, not a string\n" },
	{ SERVICE "    plans: [{name: p, description: d, maintenance_info: {version: '1.2'}}]\n",
	  "t.yml:6:57: services[0].plans[0].maintenance_info: the version must be a semantic "
	  "version, such as 1.4.0 or 2.0.0-rc.1+b5\n" },
	{ SERVICE "    plans: [{name: p, description: d, bindable: false, binding_lifetime: 1d}]\n",
	  "t.yml:6:74: services[0].plans[0].binding_lifetime: the plan is not bindable\n" },
	/* schemas */
	{ CREATE("{}"), "t.yml:6:89: " AT_CREATE "a schema says its draft in \"$schema\", such as "
			"\"http://json-schema.org/draft-04/schema#\"\n" },
	{ CREATE("true"), "t.yml:6:89: " AT_CREATE "a schema is an object, not a boolean\n" },
	{ CREATE("{" DRAFT("03") "}"),
	  "t.yml:6:89: " AT_CREATE
	  "#/$schema: \"http://json-schema.org/draft-03/schema#\" is none of the "
	  "drafts that osbd knows: http://json-schema.org/draft-04/schema#, "
	  "http://json-schema.org/draft-06/schema#, http://json-schema.org/draft-07/schema#\n" },
	{ CREATE("{" DRAFT("04") ", type: strin}"),
	  "t.yml:6:89: " AT_CREATE "type: must be one of \"array\", \"boolean\", \"integer\", "
	  "\"null\", \"number\", \"object\", \"string\"\n" },
	{ CREATE("{" DRAFT("04") ", properties: {a: {$ref: 'https://example.org/x'}}}"),
	  "t.yml:6:89: " AT_CREATE "#/properties/a/$ref: \"https://example.org/x\" is outside "
	  "of this schema, which osbd does not follow\n" },
	{ CREATE("{" DRAFT("04") ", $ref: '#/definitions/x'}"),
	  "t.yml:6:89: " AT_CREATE "#/$ref: \"#/definitions/x\" points to nothing\n" },
	{ CREATE("{" DRAFT("04") ", allOf: [{$ref: 'http://json-schema.org/draft-04/schema#'}]}"),
	  "t.yml:6:157: " AT_CREATE "refers to something outside itself: "
	  "\"http://json-schema.org/draft-04/schema#\"\n" },
	{ SERVICE "    plans: [{name: p, description: d, schemas: {service_instance: {creat: {},\n"
		  "      update: {params: {}}}, service_binding: 1}}]\n",
	  "t.yml:6:75: services[0].plans[0].schemas.service_instance: \"creat\" is unknown here "
	  "(known: create, update)\n"
	  "t.yml:7:24: services[0].plans[0].schemas.service_instance.update: \"params\" is unknown "
	  "here (known: parameters)\n"
	  "t.yml:7:47: services[0].plans[0].schemas.service_binding: must be a mapping, not a "
	  "number\n" },
};

static void test_refused(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (build(&f, rows[i].services) != ERR_INVALID)
			fail_msg("%s passes", rows[i].services);
		assert_null(f.catalog);
		if (strcmp(f.messages.p, rows[i].messages) != 0)
			fail_msg("\n%s\ngives\n%s", rows[i].services, f.messages.p);
		assert_null(strstr(f.messages.p, "canary"));
		finish(&f);
	}
}

/* -- what is worth a word ---------------------------------------------------------------------- */

static const struct {
	const char *services, *messages;
} warnings[] = {
	{ "  - {name: my db, description: D., backend: full, plans: [\n"
	  "      {name: p_1, description: d}, {name: \xc3\xa4, description: d}]}\n",
	  "t.yml:3:12: warning: services[0].name: is awkward on a command line: better are "
	  "letters, digits, \".\" and \"-\"\n"
	  "t.yml:4:14: warning: services[0].plans[0].name: is awkward on a command line: better "
	  "are letters, digits, \".\" and \"-\"\n"
	  "t.yml:4:43: warning: services[0].plans[1].name: is awkward on a command line: better "
	  "are letters, digits, \".\" and \"-\"\n" },
	{ SERVICE PLAN "    metadata: {displayName: 1, imageUrl: picture, supportUrl: [], x: 1}\n",
	  "t.yml:7:15: warning: services[0].metadata: displayName should be a string, not a "
	  "number\n"
	  "t.yml:7:15: warning: services[0].metadata: imageUrl should be a URL\n"
	  "t.yml:7:15: warning: services[0].metadata: supportUrl should be a string, not an "
	  "array\n" },
	{ SERVICE "    plans:\n      - name: p\n        description: d\n"
		  "        metadata: {displayName: {}, bullets: [a, 1], costs: [\n"
		  "          {amount: {usd: free}, unit: MONTHLY}, {amount: 5}, x]}\n"
		  "      - {name: q, description: d, metadata: {bullets: a, costs: {}}}\n",
	  "t.yml:9:19: warning: services[0].plans[0].metadata: displayName should be a string, not "
	  "an object\n"
	  "t.yml:9:19: warning: services[0].plans[0].metadata: bullets[1] should be a string, not "
	  "a "
	  "number\n"
	  "t.yml:9:19: warning: services[0].plans[0].metadata: costs[0].amount.usd should be a "
	  "number, not a string\n"
	  "t.yml:9:19: warning: services[0].plans[0].metadata: costs[1].amount should map "
	  "currencies to numbers\n"
	  "t.yml:9:19: warning: services[0].plans[0].metadata: costs[1].unit should be a string\n"
	  "t.yml:9:19: warning: services[0].plans[0].metadata: costs[2].amount should map "
	  "currencies to numbers\n"
	  "t.yml:9:19: warning: services[0].plans[0].metadata: costs[2].unit should be a string\n"
	  "t.yml:11:45: warning: services[0].plans[1].metadata: bullets should be an array of "
	  "strings, not a string\n"
	  "t.yml:11:45: warning: services[0].plans[1].metadata: costs should be an array of "
	  "objects, not an object\n" },
	{ SERVICE "    bindable: false\n    requires: [route_forwarding]\n    plans:\n"
		  "      - {name: p, description: d, binding_rotatable: true}\n",
	  "t.yml:7:15: warning: services[0].requires: means nothing: no plan is bindable\n"
	  "t.yml:9:54: warning: services[0].plans[0].binding_rotatable: means nothing: the plan is "
	  "not bindable\n" },
	{ SERVICE "    plans: [{name: p, description: d, binding_lifetime: 1d}]\n",
	  "t.yml:6:57: warning: services[0].plans[0].binding_lifetime: bindings expire and cannot "
	  "be rotated: binding_rotatable is false\n" },
	{ SERVICE PLAN "    dashboard_client: {id: c, secret: canary, redirect_uri: here}\n",
	  "t.yml:7:23: warning: services[0].dashboard_client: redirect_uri should be a URL\n" },
	/* fine in draft-07, not so in draft-04 */
	{ CREATE("{" DRAFT("07") ", exclusiveMinimum: 5}"),
	  "t.yml:6:89: warning: " AT_CREATE
	  "Cloud Controller reads schemas as draft-04 and may refuse this "
	  "one: exclusiveMinimum: must be true or false, not a number\n" },
	{ CREATE("{" DRAFT("07") ", properties: {a: {const: 1}, $ref: {type: string}}}"), "" },
	{ CREATE("{" DRAFT("06") ", enum: [{$ref: 'http://json-schema.org/draft-04/schema'}]}"),
	  "" },
	/* what is said is fine */
	{ "  - {name: a, description: a, backend: slow, bindings_retrievable: false,\n"
	  "     plans: [{name: p, description: d, async: sync},\n"
	  "       {name: q, description: d, bindable: false}]}\n",
	  "" },
	{ "  - {name: a, description: a, backend: full, bindings_retrievable: false,\n"
	  "     plans: [{name: p, description: d}]}\n",
	  "" },
	{ "  - {name: a, description: a, backend: full, plans: [{name: p, description: d}]}\n"
	  "  - {name: b, description: a, backend: full, plans: [{name: p, description: d}]}\n",
	  "" },
};

static void test_warned(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(warnings); i++) {
		if (build(&f, warnings[i].services) != 0)
			fail_msg("\n%s\ngives\n%s", warnings[i].services, f.messages.p);
		if (strcmp(f.messages.p, warnings[i].messages) != 0)
			fail_msg("\n%s\ngives\n%s", warnings[i].services, f.messages.p);
		finish(&f);
	}
}

/* -- limits ------------------------------------------------------------------------------------ */

/* text with n times "\xc3\xa4" (one character, two bytes) for its %s. */
static const char *repeat(struct fixture *f, const char *text, size_t n)
{
	const char *at = strstr(text, "%s");
	struct buf buf = { 0 };
	char *out;

	buf_put(&buf, text, (size_t)(at - text));
	while (n--)
		buf_puts(&buf, "\xc3\xa4");
	buf_puts(&buf, at + 2);
	out = arena_strndup(&f->arena, buf.p, buf.n);
	buf_finish(&buf);
	return out;
}

static void test_limits(void **state)
{
	static const struct {
		const char *services;
		size_t most; /* characters that pass */
		const char *message;
		bool warning;
	} limits[] = {
		{ "  - {name: a, description: %s, backend: full, plans: [{name: p, description: "
		  "d}]}",
		  10000, "description: is 10001 characters long, more than 10000", false },
		{ "  - {name: a, description: d, backend: full, plans: [{name: p, description: "
		  "%s}]}",
		  10000, "description: is 10001 characters long, more than 10000", false },
		{ "  - {name: a, description: d, backend: full, tags: [ab, %s],\n"
		  "     plans: [{name: p, description: d}]}",
		  2046, "tags: are 2049 characters long together, more than 2048", false },
		{ "  - {name: a, description: d, backend: full, plans: [{name: p, description: d,\n"
		  "     maintenance_info: {version: 1.0.0, description: %s}}]}",
		  2000 - 36, "maintenance_info: is 2001 characters long as JSON, more than 2000",
		  false },
		{ CREATE("{" DRAFT("04") ", title: %s}"), 65536 - 64,
		  "parameters: is 65537 characters long as JSON, more than 65536", false },
		{ "  - {name: a, id: %s, description: d, backend: full,\n"
		  "     plans: [{name: p, description: d}]}",
		  255, "services[0].id: is 256 characters long; platforms may cut at 255", true },
		{ "  - {name: a, description: %s, backend: full, plans: [{name: p, description: "
		  "d}]}",
		  255, "description: is 256 characters long; platforms may cut at 255", true },
		{ "  - {name: a, description: d, backend: full, tags: [%s],\n"
		  "     plans: [{name: p, description: d}]}",
		  255, "tags: is 256 characters long; platforms may cut at 255", true },
	};
	struct fixture f, texts = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(limits); i++) {
		if (build(&f, repeat(&texts, limits[i].services, limits[i].most)) != 0 ||
		    (limits[i].warning && f.errors.n))
			fail_msg("%s: %s", limits[i].services, f.messages.p);
		finish(&f);
		assert_int_equal(build(&f, repeat(&texts, limits[i].services, limits[i].most + 1)),
				 limits[i].warning ? 0 : ERR_INVALID);
		if (!strstr(f.messages.p, limits[i].message))
			fail_msg("%s: %s", limits[i].services, f.messages.p);
		finish(&f);
	}
	arena_finish(&texts.arena);
}

/* What the configuration's rows do not let through may still come from a backend. */
static void test_lint(void **state)
{
	struct config_service config = { .path = STR("s") };
	struct backend backend = { .type = &full };
	struct offering offering = { .config = &config,
				     .backend = &backend,
				     .id = STR("i"),
				     .name = STR("n"),
				     .description = STR("d"),
				     .n_plans = 1 };
	struct plan plan = {
		.offering = &offering, .id = STR("i"), .name = STR("n"), .description = STR("d")
	};
	struct conf_errors errors = { 0 };
	struct buf text = { 0 };
	struct arena arena = { 0 };

	(void)state;
	offering.plans = &plan;
	catalog_lint(&offering, 1, &errors);
	assert_int_equal(errors.n, 0);
	offering.tags = value(&arena, "[\"a\",1]");
	offering.metadata = value(&arena, "[]");
	offering.requires = 8;
	plan.metadata = value(&arena, "1");
	plan.maximum_polling_duration = 1500;
	plan.maintenance_description = STR("x");
	catalog_lint(&offering, 1, &errors);
	offering.tags = value(&arena, "\"a\"");
	catalog_lint(&offering, 1, &errors);
	conf_errors_print(&errors, &text);
	assert_non_null(strstr(text.p, "s.tags: must be an array of strings, not of a number\n"));
	assert_non_null(strstr(text.p, "s.tags: must be an array of strings, not a string\n"));
	assert_non_null(strstr(text.p, "s.metadata: must be a mapping, not an array\n"));
	assert_non_null(strstr(text.p, "s.requires: may hold only syslog_drain"));
	assert_non_null(strstr(text.p, "s (plan n).metadata: must be a mapping, not a number\n"));
	assert_non_null(strstr(text.p, "maximum_polling_duration: must be whole seconds\n"));
	assert_non_null(strstr(text.p, "maintenance_info: has no version\n"));
	buf_finish(&text);
	conf_errors_finish(&errors);
	arena_finish(&arena);
}

static void test_semver(void **state)
{
	static const char *const good[] = {
		"0.0.0",
		"1.2.3",
		"10.20.30",
		"1.0.0-alpha",
		"1.0.0-0.3.7",
		"1.0.0-x-y-z.--",
		"1.0.0+20130313144700",
		"1.0.0-beta+exp.sha.5114f85",
		"1.0.0+0.01",
		"1.0.0-a.0a",
		"99999999999999999999.0.0",
		"1.0.0--",
	};
	static const char *const bad[] = {
		"",         "1",          "1.2",     "1.2.3.4",   "01.2.3",
		"1.02.3",   "1.2.03",     "v1.2.3",  "1.2.3-",    "1.2.3+",
		"1.2.3-01", "1.2.3-a..b", "1.2.3-.", "1.2.3+a+b", "1.2.3-\xc3\xa4",
		" 1.2.3",   "1.2.3 ",     "-1.2.3",  "1..3",      ".1.2",
		"1.2.",     "1.2.3-a_b",  "a.b.c",   "1.2.3-+b",  "1.2.3\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		if (!catalog_is_semver(str_of(good[i])))
			fail_msg("%s is one", good[i]);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (catalog_is_semver(str_of(bad[i])))
			fail_msg("%s is none", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_warned),
		cmocka_unit_test(test_limits),  cmocka_unit_test(test_lint),
		cmocka_unit_test(test_semver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
