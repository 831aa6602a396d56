/* SPDX-License-Identifier: Apache-2.0 */
/* The demo backend: its verbs with and without an outside world, killed and made to fail at each
 * place where that can happen. */
#include "backends/demo.h"
#include "backend_host.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static void start(struct stage *s, const char *config)
{
	if (stage_open(s, &backend_demo, config, true) < 0)
		fail_msg("%s", conf_errors_line(&s->errors, 0));
	assert_int_equal(s->offering.n_plans, 1);
	s->plan = &s->offering.plans[0];
}

static const char *with_directory(struct stage *s, const char *more)
{
	static char text[512];

	(void)s;
	strcpy(directory, "/tmp/osbd-demo-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(text, sizeof(text), "directory: %s\n%s", directory, more);
	return text;
}

/* How many objects the outside world has; and the journal's text. */
static int objects(const char *state)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int n = 0;

	while ((entry = readdir(dir))) {
		char path[512], text[64] = "";
		FILE *file;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "journal") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		file = fopen(path, "r");
		assert_non_null(file);
		assert_non_null(fgets(text, sizeof(text), file));
		fclose(file);
		n += !state || strncmp(text, state, strlen(state)) == 0;
	}
	closedir(dir);
	return n;
}

static const char *journal(void)
{
	static char text[4096];
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/journal", directory);
	file = fopen(path, "r");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void remove_directory(void)
{
	char path[512];
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	assert_int_equal(rmdir(directory), 0);
}

static void test_pure(void **state)
{
	static const enum store_verb verbs[] = { STORE_PROVISION, STORE_UPDATE, STORE_BIND,
						 STORE_UNBIND, STORE_DEPROVISION };
	struct stage s;
	size_t i;

	(void)state;
	start(&s, "metadata: {labels: {a: b}}");
	assert_string_equal(s.plan->name.p, "default");
	assert_true(s.plan->free && s.plan->bindable);
	for (i = 0; i < ARRAY_LEN(verbs); i++) {
		assert_true(backend_verb(s.backend, s.plan, verbs[i])->pure);
		stage_run(&s, verbs[i]);
		assert_false(s.failed);
		if (verbs[i] == STORE_PROVISION)
			assert_string_equal(stage_result(&s, "metadata"),
					    "{\"labels\":{\"a\":\"b\"}}");
		if (verbs[i] == STORE_BIND)
			assert_non_null(strstr(s.credentials, "\"uri\":\"demo://"));
	}
	assert_int_equal(loop_now(&s.loop), 0);
	stage_close(&s);
}

static void test_templates(void **state)
{
	struct stage s;
	const struct json *response;
	struct str password;

	(void)state;
	start(&s, "dashboard_url: http://h/${plan}/${nothing}${instance\n"
		  "credentials: {a: [\"${password}\", 7], b: \"$${plan}}\", c: {d: true}}\n"
		  "syslog_drain_url: syslog://h\nroute_service_url: https://r\n"
		  "volume_mounts: [{driver: d}]\nendpoints: [{host: h, ports: [\"1\"]}]\n"
		  "private: {x: y}\n");
	stage_run(&s, STORE_PROVISION);
	assert_string_equal(stage_result(&s, "dashboard_url"),
			    "\"http://h/default/${nothing}${instance\"");
	assert_string_equal(s.instance_private, "{\"x\":\"y\"}");
	assert_false(json_get(s.results, "response") != NULL);
	/* what the offering does not require is left out, lest a platform refuses the binding */
	stage_run(&s, STORE_BIND);
	response = json_get(s.results, "response");
	assert_non_null(json_get(response, "endpoints"));
	assert_null(json_get(response, "syslog_drain_url"));
	assert_null(json_get(response, "route_service_url"));
	assert_null(json_get(response, "volume_mounts"));
	s.offering.requires = CONFIG_SYSLOG_DRAIN | CONFIG_ROUTE_FORWARDING | CONFIG_VOLUME_MOUNT;
	stage_run(&s, STORE_BIND);
	response = json_get(s.results, "response");
	password = json_str(json_at(json_get(json_get(response, "credentials"), "a"), 0));
	assert_int_equal(password.n, 32);
	json_remove(json_get(response, "credentials"), "a");
	assert_string_equal(
		json_text(&s.arena, response).p,
		"{\"credentials\":{\"b\":\"$default}\",\"c\":{\"d\":true}},"
		"\"syslog_drain_url\":\"syslog://h\","
		"\"route_service_url\":\"https://r\",\"volume_mounts\":[{\"driver\":\"d\"}],"
		"\"endpoints\":[{\"host\":\"h\",\"ports\":[\"1\"]}]}");
	stage_close(&s);
}

static void test_delay(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "delay: {provision: 30s, bind: 4s}\nsteps: 3\ndashboard_url: http://h");
	assert_string_equal(backend_verb(s.backend, s.plan, STORE_PROVISION)->answer, "prepare");
	assert_false(backend_verb(s.backend, s.plan, STORE_PROVISION)->quick);
	assert_true(backend_verb(s.backend, s.plan, STORE_BIND)->quick);
	assert_true(backend_verb(s.backend, s.plan, STORE_EXPIRE)->pure);
	stage_run(&s, STORE_PROVISION);
	assert_false(s.failed);
	assert_int_equal(loop_now(&s.loop), 30000);
	assert_string_equal(s.progress, "provision: look 3 of 3");
	stage_close(&s);
}

/* Killed at each commit of each verb, kept and lost: everything comes to the same end. */
static void test_killed_anywhere(void **state)
{
	static const enum store_verb verbs[] = { STORE_PROVISION, STORE_UPDATE, STORE_BIND,
						 STORE_UNBIND, STORE_DEPROVISION };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(verbs); i++) {
		int how, at, n = 1;

		for (how = KILL_AFTER_COMMIT; how <= KILL_BEFORE_COMMIT; how++) {
			for (at = 1; at <= n; at++) {
				static const int left[STORE_VERBS] = { 1, 1, 0, 2, 1, 1 };
				struct stage s;
				size_t before;

				start(&s, with_directory(&s, "delay: 2s\nsteps: 2"));
				for (before = 0; before < i; before++)
					stage_run(&s, verbs[before]);
				s.kill_at = at;
				s.kill_how = how;
				stage_run(&s, verbs[i]);
				n = s.commits - s.kills;
				assert_int_equal(s.kills, 1);
				assert_false(s.failed);
				assert_int_equal(objects("ready default"), left[verbs[i]]);
				assert_int_equal(objects(NULL), left[verbs[i]]);
				stage_close(&s);
				remove_directory();
			}
			n = at - 1;
		}
		assert_true(n >= 3);
	}
}

/* The credentials that a crash must not change: nothing was handed out, yet they may be in use. */
static void test_same_password(void **state)
{
	struct stage s;
	struct str password;
	const struct json *memo;

	(void)state;
	start(&s, with_directory(&s, "delay: 1s"));
	s.kill_at = 2;
	s.kill_how = KILL_AFTER_COMMIT;
	stage_run(&s, STORE_BIND);
	memo = stage_json(&s.arena, s.memo);
	password = json_str(json_get(memo, "password"));
	assert_int_equal(password.n, 32);
	assert_non_null(strstr(s.credentials, password.p));
	assert_non_null(strstr(journal(), "bind op-1 start\nbind op-1 end\n"));
	stage_close(&s);
	remove_directory();
}

static void test_failures(void **state)
{
	static const struct {
		const char *at;
		const char *why;
	} cases[] = {
		{ "prepare", "prepare: no room" }, { "start", "start: no room" },
		{ "watch", "watch: no room" },     { "finish", "finish: no room" },
		{ "always", "finish: no room" },   { "first", "finish: no room" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char more[200];
		struct stage s;

		snprintf(more, sizeof(more),
			 "fail: {provision: %s}\nfail_text: no room\nfail_code: Quota\n"
			 "fail_http: 400\nunusable: true\ndelay: 1s\n",
			 cases[i].at);
		start(&s, with_directory(&s, more));
		stage_run(&s, STORE_PROVISION);
		assert_true(s.failed && !s.left_over);
		assert_string_equal(s.err.text, cases[i].why);
		assert_string_equal(stage_result(&s, "error"),
				    "{\"http\":400,\"code\":\"Quota\",\"flags\":1}");
		assert_int_equal(objects(NULL), 0);
		stage_run(&s, STORE_PROVISION);
		assert_int_equal(s.failed, strcmp(cases[i].at, "first") != 0);
		stage_close(&s);
		remove_directory();
	}
}

static void test_way_back_fails(void **state)
{
	struct stage s;

	(void)state;
	start(&s, with_directory(&s, "fail: {bind: always}\nway_back: fail"));
	stage_run(&s, STORE_BIND);
	assert_true(s.failed && s.left_over);
	assert_int_equal(objects("deleting"), 1);
	stage_run(&s, STORE_UNBIND);
	assert_false(s.failed);
	assert_int_equal(objects(NULL), 0);
	stage_close(&s);
	remove_directory();
}

static void test_halted(void **state)
{
	struct stage s;

	(void)state;
	start(&s, with_directory(&s, "delay: {provision: 1h, deprovision: 1s}\nsteps: 10"));
	s.halt_after = HOUR(1) / 2;
	stage_run(&s, STORE_PROVISION);
	assert_true(s.failed && !s.left_over);
	assert_int_equal(loop_now(&s.loop), HOUR(1) / 2 + 1000);
	assert_int_equal(objects(NULL), 0);
	stage_close(&s);
	remove_directory();
}

static void test_directory_is_gone(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "directory: /proc/none/demo");
	stage_run(&s, STORE_PROVISION);
	assert_true(s.failed && s.left_over);
	assert_string_equal(s.err.text, "start: /proc/none/demo: No such file or directory");
	stage_close(&s);
}

static void test_configuration(void **state)
{
	static const struct {
		const char *config, *what;
	} bad[] = {
		{ "fail: {bind: brake}", "fail: bind: there is no step of that name" },
		{ "delay: soon", "delay" },
		{ "delay: {halt: 1s}", "halt" },
		{ "steps: 0", "steps" },
		{ "fail_http: 200", "fail_http" },
		{ "colour: red", "colour" },
		{ "credentials: [a]", "credentials" },
	};
	struct stage s;
	struct buf text = { 0 };
	const char *problem;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(stage_open(&s, &backend_demo, bad[i].config, true), ERR_INVALID);
		conf_errors_print(&s.errors, &text);
		if (!strstr(text.p, "services[0].config") || !strstr(text.p, bad[i].what))
			fail_msg("%s: %s", bad[i].config, text.p);
		buf_clear(&text);
		stage_close(&s);
	}
	buf_finish(&text);
	start(&s, "");
	problem = conf_rows_check(backend_demo.service_rows, &s.arena);
	if (problem)
		fail_msg("%s", problem);
	stage_close(&s);
}

/* A plan's keys override its service's, one by one. */
static void test_plans(void **state)
{
	struct config_plan configs[2] = { 0 };
	struct plan plans[2] = { 0 };
	struct stage s;
	struct json *config;

	(void)state;
	start(&s, "delay: 5s\nsteps: 5");
	assert_int_equal(
		yaml_parse(&s.arena, STR("delay: 0\nfail: {bind: first}"), NULL, &config, NULL), 0);
	configs[1].config = config;
	configs[1].path = STR("services[0].plans[1]");
	for (size_t i = 0; i < 2; i++) {
		plans[i].config = &configs[i];
		plans[i].offering = &s.offering;
	}
	s.offering.plans = plans;
	s.offering.n_plans = 2;
	assert_int_equal(backend_demo.open(&s.env, &s.offering, &s.arena, &s.backend, &s.errors),
			 0);
	assert_false(backend_verb(s.backend, &plans[0], STORE_UPDATE)->pure);
	assert_true(backend_verb(s.backend, &plans[1], STORE_UPDATE)->pure);
	assert_false(backend_verb(s.backend, &plans[1], STORE_BIND)->pure);
	stage_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pure),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_killed_anywhere),
		cmocka_unit_test(test_same_password),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_way_back_fails),
		cmocka_unit_test(test_halted),
		cmocka_unit_test(test_directory_is_gone),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
