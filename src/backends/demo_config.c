/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/demo_config.h"

static const char *const step_names[STORE_VERBS][5] = {
	[STORE_PROVISION] = { "prepare", "start", "watch", "finish" },
	[STORE_UPDATE] = { "prepare", "start", "watch", "finish" },
	[STORE_DEPROVISION] = { "stop", "watch", "remove" },
	[STORE_BIND] = { "prepare", "start", "watch", "finish" },
	[STORE_UNBIND] = { "stop", "watch", "remove" },
};

#define TIME_ROW(verb, i)                                                                  \
	{                                                                                  \
		.name = verb, .type = CONF_DURATION, CONF_AT(struct demo_times, ms[i]),    \
		.fallback = "0", .max = (int64_t)DAY(1), .doc = "How long " verb " takes." \
	}

static const struct conf_key time_rows[] = {
	TIME_ROW("provision", STORE_PROVISION),     TIME_ROW("update", STORE_UPDATE),
	TIME_ROW("deprovision", STORE_DEPROVISION), TIME_ROW("bind", STORE_BIND),
	TIME_ROW("unbind", STORE_UNBIND),           { 0 },
};

static void decode_delay(struct conf *conf, const struct json *node, void *field)
{
	static const struct conf_key one = { .name = "delay",
					     .type = CONF_DURATION,
					     .width = sizeof(uint64_t),
					     .max = (int64_t)DAY(1),
					     .doc = "All verbs." };
	static const struct conf_key each = { .name = "delay",
					      .type = CONF_OBJECT,
					      .width = sizeof(struct demo_times),
					      .size = sizeof(struct demo_times),
					      .rows = time_rows,
					      .doc = "Verb by verb." };
	struct demo_times *times = field;
	uint64_t ms = 0;
	size_t i;

	if (json_is_object(node)) {
		conf_value(conf, &each, node, times);
		return;
	}
	conf_value(conf, &one, node, &ms);
	for (i = 0; i < STORE_VERBS; i++)
		times->ms[i] = ms;
}

#define FAIL_ROW(verb, i)                                                            \
	{                                                                            \
		.name = verb, .type = CONF_STRING, .flags = CONF_NONEMPTY,           \
		CONF_AT(struct demo_failures, at[i]), .fallback = "never",           \
		.doc = "`never`, `always`, `first` (the first " verb                 \
		       " that gets to its end), or the name of the step that fails." \
	}

static const struct conf_key fail_rows[] = {
	FAIL_ROW("provision", STORE_PROVISION),     FAIL_ROW("update", STORE_UPDATE),
	FAIL_ROW("deprovision", STORE_DEPROVISION), FAIL_ROW("bind", STORE_BIND),
	FAIL_ROW("unbind", STORE_UNBIND),           { 0 },
};

static void check_failures(struct conf *conf, const struct json *node, void *field)
{
	const struct demo_failures *failures = field;
	const struct conf_key *row;

	for (row = fail_rows; row->name; row++) {
		size_t verb = (size_t)(row - fail_rows);
		struct str at = failures->at[verb];
		const char *const *step = step_names[verb];

		while (*step && !str_is(at, *step))
			step++;
		if (!*step && !str_is(at, "never") && !str_is(at, "always") && !str_is(at, "first"))
			conf_error(conf, json_get(node, row->name),
				   "%s: there is no step of that name", row->name);
	}
}

static const struct conf_name way_back_names[] = {
	{ "ok", WAY_BACK_OK },
	{ "fail", WAY_BACK_FAIL },
	{ 0 },
};

const struct conf_key demo_rows[] = {
	{ .name = "delay",
	  .type = CONF_CUSTOM,
	  CONF_AT(struct demo_plan, delay),
	  .decode = decode_delay,
	  .kind = "duration, or a duration for each verb",
	  .flags = CONF_HIDDEN,
	  .doc = "How long an operation takes. Verbs: provision, update, deprovision, bind, "
		 "unbind.",
	  .example = "2s" },
	{ .name = "steps",
	  .type = CONF_INT,
	  CONF_AT(struct demo_plan, steps),
	  .fallback = "1",
	  .min = 1,
	  .max = 1000,
	  .doc = "The delay is waited for in so many looks, each of them journalled." },
	{ .name = "fail",
	  .type = CONF_OBJECT,
	  CONF_AT(struct demo_plan, fail),
	  .size = sizeof(struct demo_failures),
	  .rows = fail_rows,
	  .check = check_failures,
	  .doc = "Which verbs fail." },
	{ .name = "fail_http",
	  .type = CONF_INT,
	  CONF_AT(struct demo_plan, fail_http),
	  .fallback = "500",
	  .min = 400,
	  .max = 599,
	  .doc = "The status of a failure that is waited for." },
	{ .name = "fail_code",
	  .type = CONF_STRING,
	  CONF_AT(struct demo_plan, fail_code),
	  .fallback = "Demo",
	  .doc = "The error code of a failure: one word." },
	{ .name = "fail_text",
	  .type = CONF_STRING,
	  CONF_AT(struct demo_plan, fail_text),
	  .fallback = "told to fail",
	  .doc = "The description of a failure." },
	{ .name = "way_back",
	  .type = CONF_ENUM,
	  CONF_AT(struct demo_plan, way_back),
	  .names = way_back_names,
	  .fallback = "ok",
	  .doc = "What comes of removing a half-made object." },
	{ .name = "halt",
	  .type = CONF_BOOL,
	  CONF_AT(struct demo_plan, halt),
	  .fallback = "true",
	  .doc = "A create that runs goes back when its object is deleted; else the delete gets "
		 "ConcurrencyError until the create has ended." },
	{ .name = "unusable",
	  .type = CONF_BOOL,
	  CONF_AT(struct demo_plan, unusable),
	  .fallback = "false",
	  .doc = "A failure leaves the instance unusable." },
	{ .name = "not_repeatable",
	  .type = CONF_BOOL,
	  CONF_AT(struct demo_plan, not_repeatable),
	  .fallback = "false",
	  .doc = "An update that failed must not be tried again." },
	{ .name = "credentials",
	  .type = CONF_JSON,
	  .flags = CONF_OBJECT_ONLY | CONF_HIDDEN,
	  CONF_AT(struct demo_plan, credentials),
	  .doc = "What a binding gets. In strings, ${username}, ${password}, ${instance}, "
		 "${binding} and ${plan} are replaced; the first two are random, the next two are "
		 "hashes of the ids. Absent: uri, username, password.",
	  .example = "{token: \"${password}\"}" },
	{ .name = "dashboard_url",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct demo_plan, dashboard_url),
	  .doc = "The dashboard of an instance; ${instance} and ${plan} are replaced. It is in the "
		 "first answer.",
	  .example = "http://127.0.0.1/${instance}" },
	{ .name = "syslog_drain_url",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct demo_plan, syslog_drain_url),
	  .doc = "Of each binding; the service must require syslog_drain.",
	  .example = "syslog://127.0.0.1:514" },
	{ .name = "route_service_url",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct demo_plan, route_service_url),
	  .doc = "Of each binding; the service must require route_forwarding.",
	  .example = "https://127.0.0.1/route" },
	{ .name = "volume_mounts",
	  .type = CONF_JSON,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct demo_plan, volume_mounts),
	  .doc = "Of each binding, as the answer has them; the service must require volume_mount.",
	  .example = "[]" },
	{ .name = "endpoints",
	  .type = CONF_JSON,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct demo_plan, endpoints),
	  .doc = "Of each binding, as the answer has them.",
	  .example = "[{host: 127.0.0.1, ports: [\"8080\"]}]" },
	{ .name = "metadata",
	  .type = CONF_JSON,
	  .flags = CONF_OBJECT_ONLY | CONF_HIDDEN,
	  CONF_AT(struct demo_plan, metadata),
	  .doc = "Of each instance: labels and attributes.",
	  .example = "{labels: {tier: demo}}" },
	{ .name = "private",
	  .type = CONF_JSON,
	  .flags = CONF_OBJECT_ONLY | CONF_HIDDEN,
	  CONF_AT(struct demo_plan, private),
	  .doc = "What is kept, sealed, with each object.",
	  .example = "{note: kept}" },
	{ .name = "directory",
	  .type = CONF_PATH,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct demo_plan, directory),
	  .doc = "Keep a file for each object there, and a journal of what was done.",
	  .example = "demo" },
	{ 0 },
};
