/* SPDX-License-Identifier: Apache-2.0 */
#include "my_rig.h"
#include "tls/tls_dial.h"

/* -- values and names ---------------------------------------------------------------------- */

static void test_rows(void **state)
{
	const struct my_result *r;
	struct rig rig;
	struct job job;

	(void)state;
	rig_open(&rig);
	assert_int_equal(job_query(&rig, &job,
				   "SELECT 1, NULL, '', 'h\xc3\xa9', X'610062' UNION ALL "
				   "SELECT 2, 'x', 'y', '\xf0\x9f\x90\xac', 'z'"),
			 0);
	r = &job.request.result;
	assert_int_equal(r->rows, 2);
	assert_int_equal(r->cols, 5);
	assert_true(str_is(my_cell(r, 0, 0), "1"));
	assert_null(my_cell(r, 0, 1).p);
	assert_non_null(my_cell(r, 0, 2).p);
	assert_int_equal(my_cell(r, 0, 2).n, 0);
	assert_true(str_is(my_cell(r, 0, 3), "h\xc3\xa9"));
	assert_true(str_eq(my_cell(r, 0, 4), str_make("a\0b", 3)));
	assert_true(str_is(my_cell(r, 1, 3), "\xf0\x9f\x90\xac"));
	job_finish(&job);
	assert_int_equal(job_query(&rig, &job, "SELECT REPEAT('m', 1048576)"), 0);
	assert_int_equal(my_cell(&job.request.result, 0, 0).n, 1048576);
	job_finish(&job);
	assert_int_equal(job_query(&rig, &job, "SELECT 1 WHERE 1 = 0"), 0);
	assert_int_equal(job.request.result.rows, 0);
	job_finish(&job);
	assert_int_equal(run(&rig, "SELECT CONNECTION_ID()"), rig.conn.id);
	rig_close(&rig);
}

/* What goes in comes out, and nothing else happens, in both of the server's ways to read a
 * backslash. */
static void test_hostile_text_and_names(void **state)
{
	static const char *const texts[] = { "",
					     "'; DROP DATABASE mysql; -- ",
					     "\\",
					     "\\'",
					     "a\\\\'\"`",
					     "\n\r\x1a%_",
					     "\xe2\x80\xae" };
	struct buf text = { 0 };
	struct rig rig;
	struct job job;
	size_t i, way;

	(void)state;
	rig_open(&rig);
	for (way = 0; way < 2; way++) {
		run(&rig, way ? "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'"
			      : "SET SESSION sql_mode = ''");
		for (i = 0; i < ARRAY_LEN(texts); i++) {
			buf_clear(&text);
			buf_puts(&text, "SELECT ");
			my_put_text(&rig.conn, &text, str_of(texts[i]));
			buf_puts(&text, " AS ");
			assert_int_equal(my_put_name(&text, STR("a`; DROP TABLE `x")), 0);
			assert_int_equal(job_query(&rig, &job, text.p), 0);
			assert_true(str_is(my_cell(&job.request.result, 0, 0), texts[i]));
			job_finish(&job);
		}
	}
	buf_clear(&text);
	assert_int_equal(my_put_name(&text, STR("")), ERR_INVALID);
	assert_int_equal(my_put_name(&text, str_make("a\0b", 3)), ERR_INVALID);
	assert_int_equal(my_put_name(&text, STR("\xff")), ERR_INVALID);
	assert_int_equal(my_put_name(&text, STR("1234567890123456789012345678901234567890"
						"1234567890123456789012345")),
			 ERR_INVALID);
	assert_int_equal(text.n, 0);
	assert_int_equal(my_put_pattern(&text, STR("d_1%")), 0);
	assert_string_equal(text.p, "`d\\_1\\%`");
	buf_finish(&text);
	rig_close(&rig);
}

/* A grant on a_c is none on abc. */
static void test_a_pattern_means_one_database(void **state)
{
	struct buf text = { 0 };
	struct rig rig;
	struct job job;

	(void)state;
	rig_open(&rig);
	run(&rig, "CREATE DATABASE a_c");
	run(&rig, "CREATE DATABASE abc");
	run(&rig, "CREATE USER u IDENTIFIED BY 'p'");
	buf_puts(&text, "GRANT ALL ON ");
	assert_int_equal(my_put_pattern(&text, STR("a_c")), 0);
	buf_puts(&text, ".* TO u");
	run(&rig, text.p);
	buf_finish(&text);
	rig_close(&rig);
	rig_init(&rig);
	rig.server.user = "u";
	rig.server.password = "p";
	rig.server.database = "a_c";
	rig_connect(&rig);
	run(&rig, "CREATE TABLE t (i INT)");
	assert_int_equal(job_query(&rig, &job, "CREATE TABLE abc.t (i INT)"), ERR_STORE);
	assert_string_equal(job.request.sqlstate, "42000");
	job_finish(&job);
	rig_close(&rig);
	rig_open(&rig);
	run(&rig, "DROP USER u");
	run(&rig, "DROP DATABASE a_c");
	run(&rig, "DROP DATABASE abc");
	rig_close(&rig);
}

/* -- what is refused ----------------------------------------------------------------------- */

static void test_errors_say_what_and_leave_the_session(void **state)
{
	struct rig rig;
	struct job job;

	(void)state;
	rig_open(&rig);
	assert_int_equal(job_query(&rig, &job, "SELECT * FROM mysql.nothing"), ERR_STORE);
	assert_int_equal(job.request.code, 1146);
	assert_string_equal(job.request.sqlstate, "42S02");
	assert_non_null(strstr(job.request.err.text, "job: Table 'mysql.nothing'"));
	assert_false(job.request.unknown);
	job_finish(&job);
	job_init(&job, "CREATE USER x IDENTIFIED BY 'hidden' AND THEN"); /* the server repeats it */
	job.request.secret = true;
	assert_int_equal(my_query_start(&rig.conn, &job.request), 0);
	assert_int_equal(job_wait(&rig, &job), ERR_STORE);
	assert_string_equal(job.request.err.text, "job: error 1064 (42000)");
	job_finish(&job);
	assert_int_equal(job_query(&rig, &job, "SELECT 1; SELECT 2"), ERR_STORE);
	assert_int_equal(job.request.code, 1064);
	job_finish(&job);
	run(&rig, "CREATE TEMPORARY TABLE mysql.t (v TEXT)");
	assert_int_equal(
		job_query(&rig, &job, "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE mysql.t"),
		ERR_STORE);
	assert_int_equal(job.request.code, 4166);
	job_finish(&job);
	assert_int_equal(run(&rig, "SELECT 42"), 42); /* fit for use after each */
	rig_close(&rig);
}

static void fails(struct rig *rig, int code, const char *text)
{
	struct job job;

	assert_int_equal(job_connect(rig, &job), code);
	if (!strstr(job.request.err.text, text))
		fail_msg("%s", job.request.err.text);
	assert_null(strstr(job.request.err.text, getenv("OSBD_MY_PASSWORD")));
	assert_null(strstr(job.request.err.text, "wr0ng"));
	assert_false(rig->conn.up);
	job_init(&job, "SELECT 1");
	assert_int_equal(my_query_start(&rig->conn, &job.request), ERR_INVALID);
	job_finish(&job);
}

static void test_connections_that_fail(void **state)
{
	struct rig rig;
	uint16_t port;

	(void)state;
	rig_init(&rig);
	rig.server.password = "wr0ng";
	fails(&rig, ERR_ACCESS, "job: Access denied for user 'osbd'");
	rig.server.password = getenv("OSBD_MY_PASSWORD");
	rig.server.database = "nothing";
	fails(&rig, ERR_NOENT, "Unknown database 'nothing'");
	rig.server.database = NULL;
	port = rig.server.port;
	rig.server.port = 1;
	fails(&rig, ERR_REFUSED, "Can't connect");
	rig.server.port = port;
	rig.server.host = "/nowhere/socket";
	fails(&rig, ERR_REFUSED, "/nowhere/socket");
	rig.server.host = "a name";
	fails(&rig, ERR_INVALID, "job: a name is not a host name");
	rig.server.host = "127.0.0.1";
	rig_connect(&rig); /* the same connection, once all is well */
	rig_close(&rig);
}

static void test_by_name_and_by_socket(void **state)
{
	struct err err;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.server.host = "localhost"; /* ::1 may come first, where nobody listens */
	assert_int_equal(dns_create(&rig.loop, &(struct dns_config){ 0 }, &rig.server.dns, &err),
			 0);
	rig_connect(&rig);
	assert_int_equal(run(&rig, "SELECT 42"), 42);
	rig_close(&rig);
	rig_init(&rig);
	rig.server.host = getenv("OSBD_MY_SOCKET");
	rig.server.user = "root";
	rig.server.password = NULL;
	rig_connect(&rig);
	assert_int_equal(run(&rig, "SELECT 42"), 42);
	rig_close(&rig);
}

/* -- deadlines ----------------------------------------------------------------------------- */

struct tick {
	struct timer timer;
	struct loop *loop;
	unsigned n;
};

static void ticked(struct timer *timer)
{
	struct tick *tick = container_of(timer, struct tick, timer);

	tick->n++;
	timer_start(timer, tick->loop, 10, ticked);
}

/* The lock that a statement's session holds is free when the statement's deadline has been told,
 * and until then the loop goes on. */
static void test_a_deadline_ends_the_session(void **state)
{
	struct rig rig, other;
	struct tick tick = { 0 };
	struct job job;
	int cancel;

	(void)state;
	rig_open(&other);
	for (cancel = 0; cancel < 2; cancel++) {
		rig_open(&rig);
		tick = (struct tick){ .loop = &rig.loop };
		assert_int_equal(run(&rig, "SELECT GET_LOCK('osbd', 0)"), 1);
		job_init(&job, "SELECT SLEEP(600)");
		job.request.within = cancel ? 0 : 300;
		assert_int_equal(my_query_start(&rig.conn, &job.request), 0);
		timer_start(&tick.timer, tick.loop, 10, ticked);
		if (cancel)
			call_cancel(&job.request.call);
		assert_int_equal(job_wait(&rig, &job), cancel ? ERR_CANCELED : ERR_TIMEDOUT);
		timer_stop(&tick.timer);
		assert_true(cancel || tick.n > 5);
		assert_true(job.request.unknown);
		assert_false(job.request.may_run);
		assert_false(rig.conn.up);
		assert_int_equal(run(&other, "SELECT IS_FREE_LOCK('osbd')"), 1);
		job_finish(&job);
		rig_close(&rig);
	}
	rig_close(&other);
}

struct killing {
	struct my_kill kill;
	bool done;
	int status;
};

static void kill_done(struct call *call, int status)
{
	struct killing *killing = container_of(call, struct killing, kill.call);

	killing->done = true;
	killing->status = status;
}

static int kill_run(struct rig *rig, struct killing *killing, uint64_t id)
{
	memset(killing, 0, sizeof(*killing));
	killing->kill.call.done = kill_done;
	killing->kill.loop = &rig->loop;
	killing->kill.server = &rig->server;
	killing->kill.id = id;
	assert_int_equal(my_kill_start(&killing->kill), 0);
	assert_false(killing->done);
	assert_true(loop_run_until(&rig->loop, &killing->done));
	return killing->status;
}

/* How a successor gets the lock of a session whose owner is stopped, and does not answer. */
static void test_another_session_is_ended(void **state)
{
	struct rig holder, rig;
	struct killing killing;
	uint64_t id;
	struct job job;

	(void)state;
	rig_open(&holder);
	rig_open(&rig);
	run(&holder, "SELECT GET_LOCK('osbd', 0)");
	assert_int_equal(run(&rig, "SELECT GET_LOCK('osbd', 0)"), 0);
	id = (uint64_t)run(&rig, "SELECT IS_USED_LOCK('osbd')");
	assert_int_equal(id, holder.conn.id);
	assert_int_equal(kill_run(&rig, &killing, id), 0);
	assert_int_equal(run(&rig, "SELECT GET_LOCK('osbd', 0)"), 1);
	assert_int_equal(kill_run(&rig, &killing, id), 0); /* gone already */
	assert_int_equal(job_query(&holder, &job, "SELECT 1"), ERR_CLOSED);
	job_finish(&job);
	rig.server.password = "wr0ng";
	assert_int_equal(kill_run(&rig, &killing, id), ERR_ACCESS);
	assert_non_null(strstr(killing.kill.err.text, "connect: Access denied"));
	rig_close(&rig);
	rig_close(&holder);
}

/* A connection that is reset while a statement runs: its session is ended from another one. */
static void test_a_cut_connection(void **state)
{
	struct rig rig, other;
	struct job job;

	(void)state;
	rig_open(&other);
	rig_init(&rig);
	rig.server.port = (uint16_t)atoi(ask("proxy"));
	rig_connect(&rig);
	assert_int_equal(run(&rig, "SELECT GET_LOCK('osbd', 0)"), 1);
	job_init(&job, "SELECT SLEEP(600)");
	assert_int_equal(my_query_start(&rig.conn, &job.request), 0);
	while (run(&other, "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
			   " WHERE INFO = 'SELECT SLEEP(600)'") != 1)
		continue;
	ask("cut");
	assert_int_equal(job_wait(&rig, &job), ERR_CLOSED);
	assert_true(job.request.unknown);
	assert_false(job.request.may_run);
	assert_int_equal(run(&other, "SELECT IS_FREE_LOCK('osbd')"), 1);
	job_finish(&job);
	rig_close(&rig);
	rig_close(&other);
}

static void test_a_server_that_says_nothing(void **state)
{
	struct rig rig;
	struct job job;

	(void)state;
	rig_init(&rig);
	rig.server.port = (uint16_t)atoi(ask("proxy"));
	rig.server.connect_ms = 300;
	ask("swallow");
	fails(&rig, ERR_TIMEDOUT, "job: timed out");
	ask("flow");
	rig.server.connect_ms = 30000;
	rig_connect(&rig);
	ask("swallow");
	rig.server.connect_ms = 300;
	job_init(&job, "SELECT 1");
	job.request.within = 300;
	assert_int_equal(my_query_start(&rig.conn, &job.request), 0);
	assert_int_equal(job_wait(&rig, &job), ERR_TIMEDOUT);
	assert_true(job.request.may_run); /* nobody could look */
	assert_non_null(
		strstr(job.request.err.text, "its session may still run: connect: timed out"));
	job_finish(&job);
	ask("flow");
	rig_close(&rig);
}

/* -- TLS ----------------------------------------------------------------------------------- */

struct secure {
	struct rig rig;
	struct tls_budget budget;
	struct tls_dial *dial;
	char directory[32];
};

static void secure_init(struct secure *s, const char *ca)
{
	struct tls_client_options options = { .ca = ca };
	struct err err;

	rig_init(&s->rig);
	tls_budget_init(&s->budget, &s->rig.loop, 0, 0, NULL);
	if (tls_dial_create(&options, &s->budget, &s->dial, &err) != 0)
		fail_msg("%s", err.text);
	strcpy(s->directory, "/tmp/osbd-my-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	s->rig.server.tls = tls_dial_wrap(s->dial);
	s->rig.server.tls_host = "localhost";
	s->rig.server.directory = s->directory;
}

static void secure_close(struct secure *s)
{
	struct job job;

	job_init(&job, "");
	assert_int_equal(my_close_start(&s->rig.conn, &job.request), 0);
	assert_int_equal(job_wait(&s->rig, &job), 0);
	loop_run(&s->rig.loop);                   /* the relay goes */
	assert_int_equal(rmdir(s->directory), 0); /* its socket has gone */
	tls_dial_destroy(s->dial);
	tls_budget_finish(&s->budget);
	rig_close(&s->rig);
}

static void test_tls(void **state)
{
	struct rig other;
	struct secure s;
	struct job job;

	(void)state;
	rig_open(&other);
	run(&other, "INSTALL SONAME 'auth_ed25519'");
	run(&other, "CREATE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('p') REQUIRE SSL");
	run(&other, "CREATE USER native IDENTIFIED BY 'p' REQUIRE SSL");
	secure_init(&s, getenv("OSBD_MY_CA"));
	rig_connect(&s.rig);
	assert_int_equal(job_query(&s.rig, &job, "SHOW STATUS LIKE 'Ssl_version'"), 0);
	assert_true(str_starts(my_cell(&job.request.result, 0, 1), STR("TLSv1.")));
	job_finish(&job);
	assert_int_equal(job_query(&s.rig, &job, "SELECT REPEAT('m', 4194304)"), 0);
	assert_int_equal(my_cell(&job.request.result, 0, 0).n, 4194304);
	job_finish(&job);
	/* a deadline ends the session behind the relay, too */
	assert_int_equal(run(&s.rig, "SELECT GET_LOCK('osbd', 0)"), 1);
	job_init(&job, "SELECT SLEEP(600)");
	job.request.within = 200;
	assert_int_equal(my_query_start(&s.rig.conn, &job.request), 0);
	assert_int_equal(job_wait(&s.rig, &job), ERR_TIMEDOUT);
	assert_false(job.request.may_run);
	job_finish(&job);
	assert_int_equal(run(&other, "SELECT IS_FREE_LOCK('osbd')"), 1);
	s.rig.server.user = "ed"; /* another plugin: the server asks for a switch */
	s.rig.server.password = "p";
	rig_connect(&s.rig);
	assert_int_equal(run(&s.rig, "SELECT 42"), 42);
	secure_close(&s);
	secure_init(&s, getenv("OSBD_MY_CA"));
	s.rig.server.user = "native";
	s.rig.server.password = "wr0ng";
	fails(&s.rig, ERR_ACCESS, "job: Access denied for user 'native'");
	s.rig.server.password = "p";
	rig_connect(&s.rig);
	secure_close(&s);
	rig_init(&s.rig);
	s.rig.server.user = "native";
	s.rig.server.password = "p";
	fails(&s.rig, ERR_ACCESS, "Access denied"); /* the server demands TLS */
	rig_close(&s.rig);
	run(&other, "DROP USER ed, native");
	run(&other, "UNINSTALL SONAME 'auth_ed25519'");
	rig_close(&other);
}

static void test_tls_to_somebody_else(void **state)
{
	struct secure s;

	(void)state;
	secure_init(&s, getenv("OSBD_MY_CA"));
	s.rig.server.tls_host = "elsewhere.test";
	fails(&s.rig, ERR_ACCESS, "elsewhere.test");
	s.rig.server.tls_host = NULL; /* then it is the address, which the certificate has not */
	fails(&s.rig, ERR_ACCESS, "127.0.0.1");
	s.rig.server.port = 1;
	fails(&s.rig, ERR_REFUSED, "job: 127.0.0.1:1: connection refused");
	secure_close(&s);
	secure_init(&s, NULL); /* the system's authorities did not sign it */
	fails(&s.rig, ERR_ACCESS, "job: TLS: ");
	secure_close(&s);
}

static void test_tls_with_a_server_that_says_nothing(void **state)
{
	struct secure s;

	(void)state;
	secure_init(&s, getenv("OSBD_MY_CA"));
	s.rig.server.port = (uint16_t)atoi(ask("proxy"));
	s.rig.server.connect_ms = 300;
	ask("swallow");
	fails(&s.rig, ERR_TIMEDOUT, "timed out");
	ask("flow");
	secure_close(&s);
}

static void test_a_server_without_tls(void **state)
{
	struct secure s;

	(void)state;
	ask("stop");
	ask("start skip-ssl=1");
	secure_init(&s, getenv("OSBD_MY_CA"));
	fails(&s.rig, ERR_ACCESS, "job: the server offers no TLS");
	secure_close(&s);
}

/* Last: the server goes, and comes again. */
static void test_a_server_that_dies(void **state)
{
	struct rig rig;
	struct job job;

	(void)state;
	rig_open(&rig);
	job_init(&job, "SELECT SLEEP(600)");
	assert_int_equal(my_query_start(&rig.conn, &job.request), 0);
	ask("kill");
	assert_int_equal(job_wait(&rig, &job), ERR_CLOSED);
	assert_true(job.request.unknown);
	job_finish(&job);
	fails(&rig, ERR_REFUSED, "Can't connect");
	ask("start");
	rig_connect(&rig);
	ask("kill"); /* between two statements: the next one finds out */
	assert_int_equal(job_query(&rig, &job, "SELECT 1"), ERR_CLOSED);
	job_finish(&job);
	ask("start");
	rig_connect(&rig);
	assert_int_equal(run(&rig, "SELECT 42"), 42);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_hostile_text_and_names),
		cmocka_unit_test(test_a_pattern_means_one_database),
		cmocka_unit_test(test_errors_say_what_and_leave_the_session),
		cmocka_unit_test(test_connections_that_fail),
		cmocka_unit_test(test_by_name_and_by_socket),
		cmocka_unit_test(test_a_deadline_ends_the_session),
		cmocka_unit_test(test_another_session_is_ended),
		cmocka_unit_test(test_a_cut_connection),
		cmocka_unit_test(test_a_server_that_says_nothing),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_tls_to_somebody_else),
		cmocka_unit_test(test_tls_with_a_server_that_says_nothing),
		cmocka_unit_test(test_a_server_without_tls),
		cmocka_unit_test(test_a_server_that_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
