/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle backend with real processes: a bundle in shell that writes down what it is asked, and
 * does before that what a test has put into WORLD/do.ACTION. */
#include "backends/bundle.h"
#include "backends/bundle_run.h"
#include "backend_host.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static const char program[] = "#!/bin/sh\n"
			      "set -eu\n"
			      "vars=$3\n"
			      "case $vars in @*) vars=$(cat \"${vars#@}\") ;; esac\n"
			      "echo \"$1\" >>\"$WORLD/started\"\n"
			      "printf '%s' \"$*\" >\"$WORLD/$1.args\"\n"
			      "printf '%s' \"$vars\" >\"$WORLD/$1.json\"\n"
			      "env | sort >\"$WORLD/$1.env\"\n"
			      "[ ! -f \"$WORLD/do.$1\" ] || . \"$WORLD/do.$1\"\n"
			      "case $1 in\n"
			      "provision) : >\"$WORLD/instance\"; f='{\"admin\": \"root\"}' ;;\n"
			      "deprovision) rm -f \"$WORLD/instance\"; f= ;;\n"
			      "bind) : >\"$WORLD/binding\"; f='{\"uri\": \"x://\"}' ;;\n"
			      "unbind) rm -f \"$WORLD/binding\"; f= ;;\n"
			      "*) f= ;;\n"
			      "esac\n"
			      "printf '%s' \"$f\" >\"$BUNDLE_RESULT_DIR/fields\"\n"
			      "echo \"$1\" >>\"$WORLD/ended\"\n";

static const char spec[] = "version: 1.0\nname: t\nbindable: yes\nasync: optional\nplans:\n"
			   "- {name: small, description: s, updates_to: [big]}\n"
			   "- {name: big, description: b}\n";

static char world[64];

static const char *in_world(const char *name)
{
	static char path[4][300];
	static int next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", world, name);
	return path[next];
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(in_world(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	fclose(file);
}

static const char *get(const char *name)
{
	static char text[65536];
	FILE *file = fopen(in_world(name), "r");

	if (!file)
		return "";
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static bool there(const char *name)
{
	return access(in_world(name), F_OK) == 0;
}

/* Directories of runs that are there. */
static int n_runs(void)
{
	DIR *dir = opendir(in_world("runs"));
	struct dirent *entry;
	int n = 0;

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void make_world(void)
{
	strcpy(world, "/tmp/osbd-bundle-XXXXXX");
	assert_non_null(mkdtemp(world));
	assert_int_equal(mkdir(in_world("runs"), 0700), 0);
	put("apb.yml", spec);
	put("bundle", program);
	assert_int_equal(chmod(in_world("bundle"), 0755), 0);
}

static int open_in(struct stage *s, const char *more)
{
	char config[2048];

	snprintf(config, sizeof(config), "path: %s\nenv: {WORLD: %s}\n%s", world, world, more);
	return stage_open(s, &backend_bundle, config, false);
}

static void open_world(struct stage *s, const char *more)
{
	struct err err;

	if (open_in(s, more) < 0)
		fail_msg("%s", conf_errors_line(&s->errors, 0));
	if (child_host_init(&s->children, &s->loop, getenv("OSBD_CHILD"), &err) < 0)
		fail_msg("%s", err.text);
	s->env.run_dir = arena_strdup(&s->arena, in_world("runs"));
	s->plan = &s->offering.plans[0];
}

static void start(struct stage *s, const char *more)
{
	make_world();
	open_world(s, more);
}

static void finish(struct stage *s)
{
	assert_int_equal(s->children.started, s->children.reaped);
	child_host_finish(&s->children);
	stage_close(s);
	assert_int_equal(bundle_run_remove(world), 0);
}

static void run_well(struct stage *s, enum store_verb verb)
{
	stage_run(s, verb);
	if (s->failed)
		fail_msg("%s: %s", store_verb_name(verb), s->err.text);
}

/* -- what an action is told ------------------------------------------------------------------ */

static void test_documents(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "registry: dh\n");
	s.offering.id = STR("class");
	s.parameters = "{\"size\":5,\"namespace\":\"mine\",\"_apb_plan_id\":\"mine\"}";
	s.context = "{\"namespace\":\"ns\"}";
	s.identity = "{\"platform\":\"kubernetes\",\"value\":{\"username\":\"ann\",\"uid\":\"7\"}}";
	run_well(&s, STORE_PROVISION);
	assert_string_equal(get("provision.json"),
			    "{\"size\":5,\"namespace\":\"ns\",\"_apb_plan_id\":\"small\","
			    "\"_apb_service_class_id\":\"class\","
			    "\"_apb_service_instance_id\":\"instance-1\","
			    "\"_apb_last_requesting_user\":\"ann\",\"cluster\":\"kubernetes\"}");
	assert_string_equal(s.instance_private,
			    "{\"provision_credentials\":{\"admin\":\"root\"},\"user\":\"ann\"}");
	assert_true(strncmp(get("provision.args"), "provision --extra-vars {\"size\":5,", 33) == 0);
	s.identity = "{\"platform\":\"cloudfoundry\",\"value\":{\"user_id\":\"u-1\"}}";
	s.parameters = "{\"dry\":true}";
	run_well(&s, STORE_BIND);
	assert_string_equal(get("bind.json"), "{\"dry\":true,\"_apb_plan_id\":\"small\","
					      "\"_apb_service_class_id\":\"class\","
					      "\"_apb_service_instance_id\":\"instance-1\","
					      "\"_apb_last_requesting_user\":\"u-1\","
					      "\"_apb_service_binding_id\":\"binding-1\","
					      "\"_apb_provision_creds\":{\"admin\":\"root\"},"
					      "\"cluster\":\"kubernetes\",\"namespace\":\"ns\"}");
	assert_string_equal(s.credentials, "{\"uri\":\"x://\"}");
	s.identity = s.context = NULL;
	s.parameters = "{\"size\":6}";
	s.plan = &s.offering.plans[1];
	run_well(&s, STORE_UPDATE);
	assert_string_equal(
		get("update.json"),
		"{\"size\":6,\"_apb_plan_id\":\"big\",\"_apb_service_class_id\":\"class\","
		"\"_apb_service_instance_id\":\"instance-1\","
		"\"_apb_last_requesting_user\":\"\","
		"\"_apb_provision_creds\":{\"admin\":\"root\"},"
		"\"cluster\":\"kubernetes\",\"namespace\":\"cf-space\"}");
	assert_string_equal(s.instance_private,
			    "{\"provision_credentials\":{\"admin\":\"root\"},\"user\":\"\"}");
	run_well(&s, STORE_UNBIND);
	assert_string_equal(
		get("unbind.json"),
		"{\"_apb_plan_id\":\"big\",\"_apb_service_instance_id\":\"instance-1\","
		"\"_apb_last_requesting_user\":\"\",\"_apb_service_binding_id\":\"binding-1\","
		"\"_apb_bind_creds\":{\"uri\":\"x://\"},"
		"\"provision_params\":{\"size\":6,\"_apb_plan_id\":\"big\","
		"\"_apb_service_class_id\":\"class\",\"_apb_service_instance_id\":\"instance-1\","
		"\"_apb_last_requesting_user\":\"\",\"cluster\":\"kubernetes\","
		"\"namespace\":\"cf-space\"},\"_apb_provision_creds\":{\"admin\":\"root\"},"
		"\"cluster\":\"kubernetes\",\"namespace\":\"cf-space\"}");
	stage_forget(&s.instance_private);
	run_well(&s, STORE_DEPROVISION);
	assert_string_equal(
		get("deprovision.json"),
		"{\"size\":6,\"_apb_plan_id\":\"big\",\"_apb_service_class_id\":\"class\","
		"\"_apb_service_instance_id\":\"instance-1\","
		"\"_apb_last_requesting_user\":\"\",\"_apb_provision_creds\":{},"
		"\"cluster\":\"kubernetes\",\"namespace\":\"cf-space\"}");
	assert_string_equal(get("ended"), "provision\nbind\nupdate\nunbind\ndeprovision\n");
	assert_false(there("instance") || there("binding"));
	assert_int_equal(n_runs(), 0);
	finish(&s);
}

/* What a form would have sent is there for who has none. */
static void test_defaults(void **state)
{
	struct stage s;

	(void)state;
	make_world();
	put("apb.yml", "version: 1.0\nname: t\nbindable: yes\nplans:\n- name: p\n"
		       "  parameters:\n"
		       "  - {name: a, type: string, default: x, required: yes}\n"
		       "  - {name: b, type: int, default: 5}\n"
		       "  - {name: c, type: int}\n"
		       "  - {name: d, type: int, default: 1, dependencies: [{key: c, value: 1}]}\n"
		       "  - {name: e, type: bool, default: no}\n"
		       "  bind_parameters: [{name: role, type: string, default: reader}]\n");
	open_world(&s, "");
	s.parameters = "{\"e\":true,\"b\":7}";
	run_well(&s, STORE_PROVISION);
	assert_non_null(
		strstr(get("provision.json"), "{\"e\":true,\"b\":7,\"a\":\"x\",\"_apb_plan_id\""));
	s.parameters = NULL;
	run_well(&s, STORE_BIND);
	assert_non_null(strstr(get("bind.json"), "{\"role\":\"reader\",\"_apb_plan_id\""));
	run_well(&s, STORE_UNBIND);
	assert_non_null(strstr(get("unbind.json"), "\"provision_params\":{\"e\":true,\"b\":7,"
						   "\"a\":\"x\",\"_apb_plan_id\":\"p\""));
	finish(&s);
}

static void test_environment(void **state)
{
	char expected[2048];
	struct stage s;

	(void)state;
	start(&s, "extra_vars: file\ncluster: openshift\n");
	s.config.proxy.https = STR("http://proxy:1");
	put("do.provision", "stat -c '%a %F' \"${3#@}\" \"$HOME\" . >\"$WORLD/modes\"\n");
	s.instance_id = "any \"bytes\"\n";
	run_well(&s, STORE_PROVISION);
	snprintf(expected, sizeof(expected),
		 "BUNDLE_RESULT_DIR=%s/runs/op-1-provision/results\n"
		 "HOME=%s/runs/op-1-provision/home\n"
		 "HTTPS_PROXY=http://proxy:1\nHTTP_PROXY=\nNO_PROXY=\n"
		 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		 "POD_NAME=bundle-op-1\nPOD_NAMESPACE=op-1-provision\n"
		 "PWD=%s/runs/op-1-provision/home\nTMPDIR=%s/runs/op-1-provision/tmp\nWORLD=%s\n"
		 "http_proxy=\nhttps_proxy=http://proxy:1\nno_proxy=\n",
		 world, world, world, world, world);
	assert_string_equal(get("provision.env"), expected);
	assert_string_equal(get("modes"), "600 regular file\n700 directory\n700 directory\n");
	snprintf(expected, sizeof(expected),
		 "provision --extra-vars @%s/runs/op-1-provision/vars.json", world);
	assert_string_equal(get("provision.args"), expected);
	assert_non_null(strstr(get("provision.json"), "\"any \\\"bytes\\\"\\n\""));
	assert_non_null(strstr(get("provision.json"), "\"cluster\":\"openshift\""));
	finish(&s);
}

static void test_ids_in_arguments(void **state)
{
	static const char *const bad[] = { "a b", "a/b", "\xc3\xa9", "a'b", "" };
	char id[130];
	struct stage s;
	size_t i;

	(void)state;
	start(&s, "");
	for (i = 0; i <= ARRAY_LEN(bad); i++) {
		memset(id, 'a', sizeof(id));
		id[129] = '\0';
		s.instance_id = i < ARRAY_LEN(bad) ? bad[i] : id;
		stage_run(&s, STORE_PROVISION);
		assert_true(s.failed && !s.left_over);
		assert_non_null(strstr(stage_result(&s, "error"), "\"http\":400"));
		assert_non_null(strstr(s.err.text, "the instance's id must be"));
	}
	s.instance_id = "A.b_c~d-9";
	s.binding_id = "$(id)";
	stage_run(&s, STORE_BIND);
	assert_non_null(strstr(s.err.text, "the binding's id must be"));
	assert_false(there("started"));
	id[128] = '\0';
	s.instance_id = id;
	run_well(&s, STORE_PROVISION);
	finish(&s);
}

/* -- what came of it -------------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
	static const struct {
		enum store_verb verb;
		const char *hook;
		const char *text;        /* NULL: it went well */
		const char *credentials; /* bind */
	} rows[] = {
		{ STORE_PROVISION, "exit 1", "the bundle's provision ended with exit code 1" },
		{ STORE_PROVISION, "exit 8", "the bundle has no action \"provision\"" },
		{ STORE_UPDATE, "exit 8", "the bundle has no action \"update\"" },
		{ STORE_DEPROVISION, "exit 8", "the bundle has no action \"deprovision\"" },
		{ STORE_UNBIND, "exit 8", NULL },
		{ STORE_UNBIND, "exit 2", "the bundle's unbind ended with exit code 2" },
		{ STORE_BIND, "exit 8", NULL, "{\"admin\":\"root\"}" },
		{ STORE_BIND, "exit 0", NULL, "{\"admin\":\"root\"}" },
		{ STORE_BIND, "", NULL, "{\"uri\":\"x://\"}" },
		{ STORE_BIND, "echo no >$BUNDLE_RESULT_DIR/fields; exit 0",
		  "the bundle's bind ended well, but its credentials are not a JSON object" },
		{ STORE_BIND, "head -c 300000 /dev/zero >$BUNDLE_RESULT_DIR/fields; exit 0",
		  "the bundle's bind ended well, but its credentials are larger than 256 KiB" },
		{ STORE_UPDATE, "kill -9 $$", "the bundle's update was killed by signal 9" },
		{ STORE_UPDATE, "echo ' too\tbig ' >$BUNDLE_RESULT_DIR/message; exit 1",
		  "too big" },
		{ STORE_UPDATE, "echo gone >$BUNDLE_RESULT_DIR/message; exit 8", "gone" },
		{ STORE_UPDATE, "mkfifo $BUNDLE_RESULT_DIR/message; exit 3",
		  "the bundle's update ended with exit code 3" },
		{ STORE_UPDATE, "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2", NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char name[32], text[200];
		struct stage s;

		start(&s, "");
		s.instance_private = mem_strdup("{\"provision_credentials\":{\"admin\":\"root\"}}");
		snprintf(name, sizeof(name), "do.%s", store_verb_name(rows[i].verb));
		put(name, rows[i].hook);
		stage_run(&s, rows[i].verb);
		assert_int_equal(s.failed, rows[i].text != NULL);
		assert_false(s.left_over);
		if (rows[i].text) {
			snprintf(text, sizeof(text), "collect: %s", rows[i].text);
			assert_string_equal(s.err.text, text);
			assert_non_null(strstr(stage_result(&s, "error"), "\"http\":500"));
		}
		if (rows[i].credentials)
			assert_string_equal(s.credentials, rows[i].credentials);
		assert_int_equal(n_runs(), 0);
		finish(&s);
	}
}

static void test_results(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "");
	put("do.provision", "cd $BUNDLE_RESULT_DIR; echo half >last_operation\n"
			    "echo https://h/d >dashboard_url; sleep 1.3");
	run_well(&s, STORE_PROVISION);
	assert_string_equal(stage_result(&s, "dashboard_url"), "\"https://h/d\"");
	assert_string_equal(stage_result(&s, "description"), "");
	assert_string_equal(s.progress, "half");
	put("do.update", "echo 'javascript:alert(1)' >$BUNDLE_RESULT_DIR/dashboard_url\n"
			 "echo all done >$BUNDLE_RESULT_DIR/message\n"
			 "echo '{\"admin\": \"new\"}' >$BUNDLE_RESULT_DIR/fields; exit 0");
	run_well(&s, STORE_UPDATE);
	assert_string_equal(stage_result(&s, "dashboard_url"), "");
	assert_string_equal(stage_result(&s, "description"), "\"all done\"");
	assert_non_null(strstr(s.instance_private, "\"admin\":\"new\""));
	finish(&s);
}

static void test_credentials_of_provision(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "bind: credentials\n");
	run_well(&s, STORE_PROVISION);
	assert_true(backend_verb(s.backend, s.plan, STORE_BIND)->pure);
	run_well(&s, STORE_BIND);
	assert_string_equal(s.credentials, "{\"admin\":\"root\"}");
	run_well(&s, STORE_UNBIND);
	assert_string_equal(get("started"), "provision\n");
	finish(&s);
}

/* -- failures and the way back ------------------------------------------------------------------ */

static void test_way_back(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "");
	put("do.provision", ": >$WORLD/instance; exit 1");
	stage_run(&s, STORE_PROVISION);
	assert_true(s.failed && !s.left_over && !there("instance"));
	assert_string_equal(get("started"), "provision\ndeprovision\n");
	assert_non_null(strstr(get("deprovision.json"), "\"_apb_provision_creds\":{}"));
	put("do.bind", ": >$WORLD/binding; echo '{\"k\": 1}' >$BUNDLE_RESULT_DIR/fields; exit 1");
	stage_run(&s, STORE_BIND);
	assert_true(s.failed && !s.left_over && !there("binding"));
	assert_non_null(strstr(get("unbind.json"), "\"_apb_bind_creds\":{\"k\":1}"));
	put("do.deprovision", "exit 1");
	stage_run(&s, STORE_PROVISION);
	assert_true(s.failed && s.left_over && there("instance"));
	assert_int_equal(n_runs(), 0);
	finish(&s);
}

static void test_halted(void **state)
{
	struct stage s;
	uint64_t began;

	(void)state;
	start(&s, "");
	put("do.provision", ": >$WORLD/instance; sleep 60");
	s.halt_after = 300;
	began = loop_now(&s.loop);
	stage_run(&s, STORE_PROVISION);
	assert_true(s.failed && !s.left_over && !there("instance"));
	assert_string_equal(get("ended"), "deprovision\n");
	assert_string_equal(s.err.text, "halted");
	assert_true(loop_now(&s.loop) - began < SEC(20));
	assert_int_equal(n_runs(), 0);
	finish(&s);
}

static void test_never_began(void **state)
{
	char *many = mem_alloc(200000);
	struct stage s;

	(void)state;
	start(&s, "");
	memset(many, 'x', 199999);
	memcpy(many, "{\"a\":\"", 6);
	memcpy(many + 199997, "\"}", 3);
	s.parameters = many;
	stage_run(&s, STORE_PROVISION);
	assert_string_equal(s.err.text, "run: the parameters are too large for a command line");
	assert_non_null(strstr(stage_result(&s, "error"), "\"http\":400"));
	assert_true(s.failed && !s.left_over && !there("started"));
	s.parameters = NULL;
	put("bundle", "#!/nowhere/sh\n");
	stage_run(&s, STORE_PROVISION);
	assert_string_equal(s.err.text, "run: the bundle cannot be started");
	assert_true(s.failed && !s.left_over);
	s.env.run_dir = "/proc/none";
	stage_run(&s, STORE_PROVISION);
	assert_string_equal(s.err.text, "run: the bundle cannot be started");
	assert_true(s.failed && !s.left_over);
	mem_free(many);
	finish(&s);
}

static void test_deadline(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "deadline: 1s\nkeep: failed\n");
	put("do.update", "sleep 60");
	stage_run(&s, STORE_UPDATE);
	assert_string_equal(s.err.text, "run: the bundle's update did not end within 1 s");
	assert_int_equal(n_runs(), 1);
	run_well(&s, STORE_PROVISION);
	assert_int_equal(n_runs(), 1);
	finish(&s);
}

/* The operation's own deadline, as a plan's maximum_polling_duration sets it. */
static void test_operation_deadline(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "");
	put("do.update", "sleep 60");
	s.deadline = SEC(1);
	stage_run(&s, STORE_UPDATE);
	assert_string_equal(s.err.text, "run: the operation was not done within 1 s");
	assert_int_equal(n_runs(), 0);
	finish(&s);
}

/* -- killed ------------------------------------------------------------------------------------- */

/* At each commit of each verb, kept and lost: the same end, and no action that ended runs twice. */
static void test_killed_at_each_commit(void **state)
{
	static const enum store_verb verbs[] = { STORE_PROVISION, STORE_BIND, STORE_UPDATE,
						 STORE_UNBIND, STORE_DEPROVISION };
	struct stage s;
	size_t i;
	int how, at;

	(void)state;
	for (how = KILL_AFTER_COMMIT; how <= KILL_BEFORE_COMMIT; how++) {
		for (at = 1; at <= 2; at++) {
			start(&s, "");
			for (i = 0; i < ARRAY_LEN(verbs); i++) {
				s.kill_at = at;
				s.kill_how = how;
				run_well(&s, verbs[i]);
				assert_int_equal(s.kills, 1);
				if (verbs[i] == STORE_BIND)
					assert_string_equal(s.credentials, "{\"uri\":\"x://\"}");
			}
			assert_string_equal(get("started"),
					    "provision\nbind\nupdate\nunbind\ndeprovision\n");
			assert_int_equal(n_runs(), 0);
			finish(&s);
		}
	}
}

static void test_killed_on_the_way_back(void **state)
{
	struct stage s;
	int how, at, n = 5;

	(void)state;
	for (how = KILL_AFTER_COMMIT; how <= KILL_BEFORE_COMMIT; how++) {
		for (at = 1; at <= n; at++) {
			start(&s, "");
			put("do.provision", "exit 3");
			s.kill_at = at;
			s.kill_how = how;
			stage_run(&s, STORE_PROVISION);
			assert_int_equal(s.kills, 1);
			assert_true(s.failed && !s.left_over);
			assert_string_equal(get("started"), "provision\ndeprovision\n");
			assert_string_equal(
				s.err.text,
				"collect: the bundle's provision ended with exit code 3");
			assert_int_equal(n_runs(), 0);
			finish(&s);
		}
	}
}

/* Cut off half way: it is run again, with nothing of the first run in its directory. */
static void test_killed_while_it_runs(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "");
	put("do.provision", "[ ! -e old ] && [ ! -e $TMPDIR/old ] || exit 4\n"
			    ": >old; : >$TMPDIR/old; echo x >$BUNDLE_RESULT_DIR/message\n"
			    "if [ ! -e $WORLD/again ]; then : >$WORLD/again; sleep 60; fi");
	s.kill_after = 300;
	run_well(&s, STORE_PROVISION);
	assert_int_equal(s.kills, 1);
	assert_string_equal(get("started"), "provision\nprovision\n");
	assert_string_equal(get("ended"), "provision\n");
	assert_int_equal(n_runs(), 0);
	finish(&s);
}

/* The supervisor goes, osbd stays: again, but not for ever. */
static void test_cut_off(void **state)
{
	struct stage s;

	(void)state;
	start(&s, "");
	put("do.update", "kill -9 $PPID; sleep 60");
	stage_run(&s, STORE_UPDATE);
	assert_string_equal(s.err.text, "run: the bundle's update was cut off 3 times");
	assert_string_equal(get("started"), "update\nupdate\nupdate\n");
	finish(&s);
}

/* -- configuration -------------------------------------------------------------------------------- */

static int check_update(struct stage *s, const struct plan *plan, const struct plan *before,
			struct err *err)
{
	struct backend_request request = { .verb = STORE_UPDATE,
					   .plan = plan,
					   .before = before,
					   .instance_id = str_of(s->instance_id) };

	return backend_bundle.check(s->backend, &request, err);
}

static void test_offering(void **state)
{
	struct stage s;
	struct plan *small;
	struct err err;

	(void)state;
	make_world();
	put("apb.yml", "version: 1.0\nname: postgresql-apb\nasync: required\ntags: [db]\n"
		       "metadata: {displayName: PG}\nplans:\n"
		       "- {name: small, description: s, metadata: {cost: 1}, updates_to: [big],\n"
		       "   bindable: true, parameters: [{name: a, type: int}]}\n"
		       "- {name: big, free: false}\n");
	assert_int_equal(open_in(&s, "registry: dh"), 0);
	small = &s.offering.plans[0];
	assert_string_equal(s.offering.name.p, "dh-postgresql-apb");
	assert_string_equal(s.offering.id.p, "1dda1477cace09730bd8ed7a6505607e");
	assert_string_equal(s.offering.description.p, "postgresql-apb");
	assert_true(s.offering.plan_updateable && !s.offering.bindable);
	assert_true(small->bindable && small->free && small->plan_updateable);
	assert_int_equal(small->async, CONFIG_ASYNC_ASYNC);
	assert_string_equal(json_text(&s.arena, small->extra).p, "{\"updates_to\":[\"big\"]}");
	assert_string_equal(json_text(&s.arena, json_get(small->metadata, "cost")).p, "1");
	assert_non_null(json_get(small->metadata, "schemas"));
	assert_non_null(json_get(small->schemas, "service_instance"));
	assert_false(s.offering.plans[1].free || s.offering.plans[1].plan_updateable);
	assert_string_equal(s.offering.plans[1].description.p, "big");
	assert_int_equal(check_update(&s, small + 1, small, &err), 0);
	assert_int_equal(check_update(&s, small, small, &err), 0);
	assert_int_equal(check_update(&s, small, small + 1, &err), ERR_INVALID);
	assert_string_equal(err.text, "an instance of plan \"big\" cannot become \"small\"");
	s.instance_id = "a b";
	assert_int_equal(check_update(&s, small, small, &err), ERR_INVALID);
	assert_string_equal(err.text, "the instance's id must be 1 to 128 of A-Z a-z 0-9 . _ ~ -");
	stage_close(&s);
	unlink(in_world("apb.yml"));
	put("label", "dmVyc2lvbjogMS4wCm5hbWU6IGxhYmVsCmFzeW5jOiB1bnN1cHBv\\\n"
		     "cnRlZApwbGFuczogW3tuYW1lOiBwfV0K\n");
	assert_int_equal(open_in(&s, "registry: ''"), 0);
	assert_string_equal(s.offering.name.p, "label");
	assert_int_equal(s.offering.plans[0].async, CONFIG_ASYNC_SYNC);
	stage_close(&s);
	assert_int_equal(bundle_run_remove(world), 0);
}

static void test_configured_plans(void **state)
{
	struct config_plan configs[2] = { { .name = STR("big"), .bindable = CONF_FALSE },
					  { .name = STR("tiny"),
					    .path = STR("services[0].plans[1]") } };
	struct plan plans[2] = {
		{ .config = &configs[0], .id = STR("id"), .async = CONFIG_ASYNC_SYNC },
		{ .config = &configs[1] }
	};
	struct stage s;

	(void)state;
	make_world();
	assert_int_equal(open_in(&s, ""), 0);
	plans[0].name = configs[0].name;
	plans[1].name = configs[1].name;
	s.offering.plans = plans;
	s.offering.n_plans = 1;
	assert_int_equal(backend_bundle.open(&s.env, &s.offering, &s.arena, &s.backend, &s.errors),
			 0);
	assert_string_equal(plans[0].id.p, "id");
	assert_int_equal(plans[0].async, CONFIG_ASYNC_SYNC);
	assert_false(plans[0].bindable);
	s.offering.n_plans = 2;
	assert_int_equal(backend_bundle.open(&s.env, &s.offering, &s.arena, &s.backend, &s.errors),
			 ERR_INVALID);
	assert_non_null(strstr(conf_errors_line(&s.errors, 0),
			       "services[0].plans[1]: the bundle has no plan \"tiny\""));
	stage_close(&s);
	assert_int_equal(bundle_run_remove(world), 0);
}

static void test_configuration(void **state)
{
	static const struct {
		const char *more, *what;
	} rows[] = {
		{ "extra_vars: stdin", "services[0].config.extra_vars" },
		{ "deadline: 0", "services[0].config.deadline" },
		{ "depth: 1", "depth" },
		{ "max_file: lots", "max_file" },
	};
	const char *problem;
	struct stage s;
	size_t i;

	(void)state;
	make_world();
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(open_in(&s, rows[i].more), ERR_INVALID);
		assert_non_null(strstr(conf_errors_line(&s.errors, 0), rows[i].what));
		stage_close(&s);
	}
	assert_int_equal(stage_open(&s, &backend_bundle, "path: /nowhere", false), ERR_INVALID);
	assert_non_null(strstr(conf_errors_line(&s.errors, 0),
			       "services[0].config.path: /nowhere/bundle: No such file"));
	assert_non_null(strstr(conf_errors_line(&s.errors, 1),
			       "/nowhere: there is neither apb.yml nor label in it"));
	problem = conf_rows_check(backend_bundle.service_rows, &s.arena);
	if (problem)
		fail_msg("%s", problem);
	stage_close(&s);
	assert_int_equal(
		stage_open(&s, &backend_bundle, "path: /\nenv: {A-B: c, D: {path: x}}", false),
		ERR_INVALID);
	assert_non_null(strstr(conf_errors_line(&s.errors, 0), "cannot be a variable's name"));
	stage_close(&s);
	put("apb.yml", "version: 1.0\nname: x\nplans: [{name: p, parameters: [{name: q}]}]\n");
	assert_int_equal(open_in(&s, ""), ERR_INVALID);
	if (!strstr(conf_errors_line(&s.errors, 0),
		    "apb.yml:3:32: plans[0].parameters[0].type: is missing"))
		fail_msg("%s", conf_errors_line(&s.errors, 0));
	stage_close(&s);
	assert_int_equal(bundle_run_remove(world), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_ids_in_arguments),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_credentials_of_provision),
		cmocka_unit_test(test_way_back),
		cmocka_unit_test(test_halted),
		cmocka_unit_test(test_never_began),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_operation_deadline),
		cmocka_unit_test(test_killed_at_each_commit),
		cmocka_unit_test(test_killed_on_the_way_back),
		cmocka_unit_test(test_killed_while_it_runs),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_offering),
		cmocka_unit_test(test_configured_plans),
		cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
