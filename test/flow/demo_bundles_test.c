/* SPDX-License-Identifier: Apache-2.0 */
/* The bundles of conf/bundles as the demonstration offers them: real processes, real databases. */
#include "backends/bundle.h"
#include "backends/bundle_run.h"
#include "core/digest.h"
#include "backend_host.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static char data[64];

static void start(struct stage *s, const char *bundle)
{
	const char *tree = getenv("OSBD_TREE");
	char config[1024];
	struct err err;

	assert_non_null(tree);
	strcpy(data, "/tmp/osbd-data-XXXXXX");
	assert_non_null(mkdtemp(data));
	snprintf(config, sizeof(config),
		 "path: %s/conf/bundles/%s\nextra_vars: file\nenv: {OSBD_DEMO_DATA: %s}\n", tree,
		 bundle, data);
	if (stage_open(s, &backend_bundle, config, false) < 0)
		fail_msg("%s", conf_errors_line(&s->errors, 0));
	assert_int_equal(s->errors.n, 0);
	if (child_host_init(&s->children, &s->loop, getenv("OSBD_CHILD"), &err) < 0)
		fail_msg("%s", err.text);
	s->env.run_dir = data;
	s->instance_id = "it's\n$(id) %";
	s->plan = &s->offering.plans[0];
}

static void finish(struct stage *s)
{
	child_host_finish(&s->children);
	stage_close(s);
	assert_int_equal(bundle_run_remove(data), 0);
}

static void run_well(struct stage *s, enum store_verb verb)
{
	stage_run(s, verb);
	if (s->failed)
		fail_msg("%s: %s", store_verb_name(verb), s->err.text);
}

static const char *credential(struct stage *s, const char *key)
{
	return json_str(json_get(stage_json(&s->arena, s->credentials), key)).p;
}

/* Runs SQL on the instance's database; the last value of its answer. */
static const char *query(const char *uri, const char *text)
{
	static char value[256];
	sqlite3_stmt *statement = NULL;
	sqlite3 *db;
	const char *rest = text;
	int rc = SQLITE_OK;

	value[0] = '\0';
	assert_int_equal(sqlite3_open_v2(uri, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, NULL),
			 SQLITE_OK);
	while (*rest && rc == SQLITE_OK) {
		rc = sqlite3_prepare_v2(db, rest, -1, &statement, &rest);
		while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
			snprintf(value, sizeof(value), "%s", sqlite3_column_text(statement, 0));
			rc = SQLITE_OK;
		}
		sqlite3_finalize(statement);
		rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	}
	if (rc != SQLITE_OK)
		snprintf(value, sizeof(value), "error: %s", sqlite3_errmsg(db));
	sqlite3_close(db);
	return value;
}

#define FILL                                                                                      \
	"CREATE TABLE IF NOT EXISTS t (x); WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT " \
	"i + 1 "                                                                                  \
	"FROM n WHERE i < 12) INSERT INTO t SELECT zeroblob(1000000) FROM n"

static void test_sqlite(void **state)
{
	char pages[512];
	struct stage s;
	struct stat st;

	(void)state;
	start(&s, "sqlite");
	s.parameters = "{\"page_size\":1024,\"label\":\"it's mine\"}";
	run_well(&s, STORE_PROVISION);
	s.parameters = NULL;
	run_well(&s, STORE_BIND);
	assert_int_equal(stat(credential(&s, "credentials_file"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_string_equal(
		query(credential(&s, "uri"), "SELECT value FROM osbd_metadata WHERE key = 'label'"),
		"it's mine");
	assert_string_equal(query(credential(&s, "uri"), "PRAGMA page_size"), "1024");
	snprintf(pages, sizeof(pages), "PRAGMA max_page_count = %s; " FILL,
		 json_num_text(json_get(stage_json(&s.arena, s.credentials), "max_page_count")).p);
	assert_non_null(strstr(pages, "= 10240;"));
	assert_string_equal(query(credential(&s, "uri"), pages), "error: database or disk is full");
	s.plan = &s.offering.plans[1];
	run_well(&s, STORE_UPDATE);
	assert_string_equal(query(credential(&s, "uri"), FILL), "");
	s.plan = &s.offering.plans[0];
	stage_run(&s, STORE_UPDATE);
	assert_string_equal(s.err.text,
			    "collect: the database takes 11.5 MiB, plan small allows 10.0 MiB");
	assert_string_equal(
		query(credential(&s, "uri"), "SELECT value FROM osbd_metadata WHERE key = 'plan'"),
		"large");
	s.parameters = "{\"read_only\":true}";
	s.plan = &s.offering.plans[1];
	run_well(&s, STORE_BIND);
	assert_non_null(strstr(query(credential(&s, "uri"), "DELETE FROM t"), "readonly"));
	run_well(&s, STORE_UNBIND);
	run_well(&s, STORE_DEPROVISION);
	finish(&s);
}

static int files(const char *below)
{
	char command[256];
	FILE *pipe;
	int n = -1;

	snprintf(command, sizeof(command), "find %s/%s -mindepth 1 | wc -l", data, below);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%d", &n), 1);
	pclose(pipe);
	return n;
}

/* What a crash leaves is accepted, and what is done twice is done once. */
static void test_half_made(void **state)
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1], path[300];
	struct stage s;

	(void)state;
	start(&s, "sqlite");
	run_well(&s, STORE_DEPROVISION);
	stage_run(&s, STORE_BIND);
	assert_non_null(strstr(s.err.text, "collect: the database is gone: "));
	assert_false(s.left_over);
	digest_sha256(s.instance_id, strlen(s.instance_id), digest);
	hex_encode(digest, 16, hex);
	snprintf(path, sizeof(path), "%s/sqlite/%s", data, hex);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/database.sqlite");
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	run_well(&s, STORE_PROVISION);
	run_well(&s, STORE_PROVISION);
	run_well(&s, STORE_BIND);
	run_well(&s, STORE_BIND);
	assert_string_equal(query(credential(&s, "uri"), "SELECT count(*) FROM osbd_metadata"),
			    "3");
	run_well(&s, STORE_UNBIND);
	run_well(&s, STORE_UNBIND);
	run_well(&s, STORE_DEPROVISION);
	assert_int_equal(files("sqlite"), 0);
	finish(&s);
}

static void test_example(void **state)
{
	struct stage s;
	const char *password;

	(void)state;
	start(&s, "example");
	s.instance_id = "i-1";
	run_well(&s, STORE_PROVISION);
	assert_string_equal(stage_result(&s, "dashboard_url"), "\"http://127.0.0.1/example\"");
	run_well(&s, STORE_BIND);
	password = credential(&s, "DB_PASSWORD");
	assert_int_equal(strlen(password), 24);
	run_well(&s, STORE_PROVISION); /* as after a crash: the same password */
	run_well(&s, STORE_BIND);
	assert_string_equal(credential(&s, "DB_PASSWORD"), password);
	s.plan = &s.offering.plans[1];
	s.parameters = "{\"parameter_one\":\"x\"}";
	run_well(&s, STORE_UPDATE);
	assert_string_equal(stage_result(&s, "description"), "\"the plan is strict now\"");
	run_well(&s, STORE_UNBIND);
	run_well(&s, STORE_DEPROVISION);
	assert_int_equal(files("example"), 0);
	stage_run(&s, STORE_UPDATE);
	assert_string_equal(s.err.text, "collect: there is no such instance");
	finish(&s);
}

/* Ids that are the same up to a quote are not the same instance. */
static void test_example_ids(void **state)
{
	static const char *const ids[] = { "i\"1", "i\"2", "i\\", "i\\\"1" };
	struct stage s;
	size_t i;

	(void)state;
	start(&s, "example");
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		s.instance_id = ids[i];
		run_well(&s, STORE_PROVISION);
		assert_int_equal(files("example"), 2 * (i + 1));
	}
	finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_half_made),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_example_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
