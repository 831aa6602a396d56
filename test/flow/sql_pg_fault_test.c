/* The server goes away, in all the ways it can. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_rig.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static const struct sql_stmt insert = { "t_insert", "INSERT INTO t (id) VALUES ($1)", 1 };
static const struct sql_stmt get = { "t_get", "SELECT id FROM t WHERE id = $1", 1 };
static const struct sql_stmt nap = { "nap", "SELECT pg_sleep($1::int4 / 1000.0)", 1 };

/* Direct: a pool beside the proxy, which shows how things are. */
static void make_table(struct rig *direct)
{
	rig_open(direct);
	run(direct, "DROP TABLE IF EXISTS t");
	run(direct, "CREATE TABLE t (id int8 PRIMARY KEY)");
}

static void open_proxied(struct rig *rig, struct sql_config config)
{
	char *url = url_with(atoi(ask("proxy")), NULL, NULL, NULL);

	ask("flow");
	config.url = url;
	rig_open_with(rig, config);
	free(url);
	wait_state(rig, SQL_UP);
}

static void start_insert(struct rig *rig, struct job *job, int64_t id)
{
	job_init(job);
	sql_add(&job->tx, &insert, sql_int(id));
	sql_start(rig->pool, &job->tx);
}

static size_t found(struct rig *rig, int64_t id)
{
	struct job job;
	size_t n;

	job_init(&job);
	sql_add(&job.tx, &get, sql_int(id));
	assert_int_equal(job_run(rig, &job), 0);
	n = job.tx.results[0].rows;
	job_finish(&job);
	return n;
}

/* -- not letting in --------------------------------------------------------------------- */

/* Waits until the pool is away and knows why. */
static struct err trouble_of(const char *url, const char *password)
{
	struct rig rig;
	struct job job;
	struct err err;
	unsigned i;

	rig_open_with(&rig,
		      (struct sql_config){ .url = url, .password = password, .patience_ms = 200 });
	job_init(&job);
	sql_add(&job.tx, &get, sql_int(1));
	assert_int_equal(job_run(&rig, &job), ERR_STORE); /* waits for patience_ms */
	assert_false(job.tx.unknown);
	assert_int_equal(sql_pool_state(rig.pool), SQL_AWAY);
	job_finish(&job);
	for (i = 0; i < 1500 && !sql_pool_trouble(rig.pool); i++)
		rig_sleep(&rig, 10);
	assert_int_equal(sql_pool_state(rig.pool), SQL_AWAY);
	assert_non_null(sql_pool_trouble(rig.pool));
	err = *sql_pool_trouble(rig.pool);
	assert_null(strstr(err.text, "s3cret"));
	assert_null(strstr(err.text, "guess"));
	/* away means that nobody waits */
	job_init(&job);
	sql_add(&job.tx, &get, sql_int(1));
	sql_start(rig.pool, &job.tx);
	assert_false(job.done);
	loop_turn(&rig.loop);
	assert_true(job.done);
	assert_int_equal(job.status, ERR_STORE);
	assert_non_null(strstr(job.tx.why, err.text));
	job_finish(&job);
	rig_close(&rig);
	return err;
}

static void test_nobody_listens(void **state)
{
	struct err err = trouble_of("postgresql://osbd:guess@127.0.0.1:1/osbd", NULL);

	(void)state;
	assert_int_equal(err.code, ERR_REFUSED);
	err = trouble_of("host=/nonexistent user=osbd dbname=osbd", "guess");
	assert_int_equal(err.code, ERR_REFUSED);
}

/* A name goes to core/dns, here with a server that refuses; localhost stands in /etc/hosts. */
static void test_names(void **state)
{
	struct dns_config config = { .servers = "127.0.0.1:1" };
	char *url = url_with(0, NULL, NULL, NULL);
	struct sql_pool *pool;
	bool closed = false;
	struct rig rig;
	struct dns *dns;
	struct err err;
	unsigned i;

	(void)state;
	memcpy(strstr(url, "127.0.0.1"), "localhost", 9);
	rig_open_with(&rig, (struct sql_config){ .url = url, .patience_ms = 30000 });
	wait_state(&rig, SQL_UP); /* with a dns of its own */
	assert_int_equal(dns_create(&rig.loop, &config, &dns, &err), 0);
	assert_int_equal(
		sql_pool_create(&rig.loop,
				&(struct sql_config){ .url = "host=nosuchhost.invalid user=u",
						      .connect_ms = 3000,
						      .dns = dns },
				&pool, &err),
		0);
	for (i = 0; i < 1500 && !sql_pool_trouble(pool); i++)
		rig_sleep(&rig, 10);
	assert_int_equal(sql_pool_trouble(pool)->code, ERR_STORE);
	assert_non_null(strstr(sql_pool_trouble(pool)->text, "nosuchhost.invalid: "));
	sql_pool_close(pool, rig_closed, &closed);
	assert_true(loop_run_until(&rig.loop, &closed));
	dns_destroy(dns);
	rig_close(&rig);
	free(url);
}

/* Name servers that never answer: all names together have connect_ms, and a pool that closes waits
 * for none of them. */
static void test_names_of_silent_servers(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct dns_config config = { .try_ms = 3000, .tries = 1 };
	struct sql_config sql = { .url = "host=a.test,b.test,c.test user=u", .connect_ms = 300 };
	struct sql_pool *pool;
	bool closed = false;
	char server[32];
	uint64_t begun;
	struct rig rig;
	struct err err;

	(void)state;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(server, sizeof(server), "127.0.0.1:%u", ntohs(address.sin_port));
	config.servers = server;
	rig_open(&rig);
	assert_int_equal(dns_create(&rig.loop, &config, &sql.dns, &err), 0);
	begun = loop_now(&rig.loop);
	assert_int_equal(sql_pool_create(&rig.loop, &sql, &pool, &err), 0);
	while (!sql_pool_trouble(pool) && loop_now(&rig.loop) - begun < 2500)
		rig_sleep(&rig, 10);
	assert_non_null(sql_pool_trouble(pool));
	assert_non_null(strstr(sql_pool_trouble(pool)->text, "c.test: no answer from the name"));
	sql_pool_close(pool, rig_closed, &closed);
	assert_true(loop_run_until(&rig.loop, &closed));
	closed = false;
	sql.connect_ms = 60000;
	assert_int_equal(sql_pool_create(&rig.loop, &sql, &pool, &err), 0);
	rig_sleep(&rig, 50);
	begun = loop_now(&rig.loop);
	sql_pool_close(pool, rig_closed, &closed);
	assert_true(loop_run_until(&rig.loop, &closed));
	assert_true(loop_now(&rig.loop) - begun < 2500);
	dns_destroy(sql.dns);
	rig_close(&rig);
	close(fd);
}

static void test_wrong_password_user_database(void **state)
{
	char *url = url_with(0, NULL, "guess", NULL);
	struct err err = trouble_of(url, NULL);
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(err.code, ERR_ACCESS);
	assert_non_null(strstr(err.text, "osbd"));
	free(url);
	url = url_with(0, NULL, NULL, NULL);
	err = trouble_of(url, "guess"); /* the configuration's password takes the url's place */
	assert_int_equal(err.code, ERR_ACCESS);
	buf_printf(&b, "%s&dbname=nosuchdb", url);
	err = trouble_of(b.p, NULL);
	assert_int_equal(err.code, ERR_NOENT);
	assert_non_null(strstr(err.text, "nosuchdb"));
	buf_finish(&b);
	free(url);
}

static void test_read_only_and_unsafe_servers(void **state)
{
	char *url = url_with(0, NULL, NULL,
			     "sslmode=disable&options=-c%20default_transaction_read_only%3Don");
	struct err err = trouble_of(url, NULL);
	struct rig rig;

	(void)state;
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	free(url);
	url = url_with(0, NULL, NULL, "sslmode=disable&options=-c%20synchronous_commit%3Doff");
	rig_open_with(&rig, (struct sql_config){ .url = url, .patience_ms = 30000 });
	wait_state(&rig, SQL_UP);
	assert_false(sql_pool_facts(rig.pool)->commit_safe);
	free(url);
	rig_close(&rig);
	ask("stop");
	ask("start fsync=off");
	err = trouble_of(NULL, NULL);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "fsync"));
	ask("stop");
	ask("start");
}

static void test_bad_urls(void **state)
{
	static const char *const urls[] = {
		"postgresql://osbd:s3cret@[::1/osbd",
		"postgresql://osbd:s3cret@h/osbd?no=1",
		"host=h password=s3cret nosuch=1",
		"postgresql://u:s3cret@h/d?hostaddr=name",
		"postgresql://u:s3cret@a,b:1,2,3/d?port=1,2,3",
	};
	struct sql_pool *pool;
	struct loop loop;
	struct err err;
	size_t i;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	for (i = 0; i < ARRAY_LEN(urls); i++) {
		struct sql_config config = { .url = urls[i] };

		assert_int_equal(sql_pool_create(&loop, &config, &pool, &err), ERR_SYNTAX);
		assert_null(strstr(err.text, "s3cret"));
		assert_non_null(strstr(err.text, "url: "));
	}
	assert_int_equal(loop_finish(&loop), 0);
}

static void test_tls(void **state)
{
	struct buf options = { 0 };
	struct rig rig;
	struct err err;
	char *url;

	(void)state;
	buf_printf(&options, "sslmode=verify-full&sslrootcert=%s", getenv("OSBD_PG_CA"));
	url = url_with(0, "tls", NULL, options.p);
	/* the certificate names localhost, not 127.0.0.1 */
	err = trouble_of(url, NULL);
	assert_non_null(strstr(err.text, "does not match host name"));
	memcpy(strstr(url, "127.0.0.1"), "localhost", 9);
	rig_open_with(&rig, (struct sql_config){ .url = url, .patience_ms = 30000 });
	assert_int_equal(
		run(&rig, "SELECT ssl::int4 FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), 1);
	rig_close(&rig);
	free(url);
	buf_clear(&options);
	buf_printf(&options, "sslmode=verify-ca&sslrootcert=%.*sother.crt",
		   (int)(strrchr(getenv("OSBD_PG_CA"), '/') + 1 - getenv("OSBD_PG_CA")),
		   getenv("OSBD_PG_CA"));
	url = url_with(0, "tls", NULL, options.p);
	err = trouble_of(url, NULL);
	assert_non_null(strstr(err.text, "certificate verify failed"));
	free(url);
	url = url_with(0, "tls", NULL, "sslmode=disable");
	err = trouble_of(url, NULL);
	assert_int_equal(err.code, ERR_ACCESS);
	free(url);
	buf_finish(&options);
}

struct tick {
	struct timer timer;
	uint64_t last, worst;
};

static void on_tick(struct timer *timer)
{
	struct tick *tick = container_of(timer, struct tick, timer);
	uint64_t now = loop_now(timer->loop);

	if (now - tick->last > tick->worst)
		tick->worst = now - tick->last;
	tick->last = now;
	timer_start(timer, timer->loop, 5, on_tick);
}

/* A server that takes the connection and never says a word. */
static void test_a_silent_server_stops_nobody(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct tick tick = { 0 };
	struct rig rig;
	char *url;

	(void)state;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	url = url_with(ntohs(address.sin_port), NULL, NULL, "sslmode=require");
	rig_open_with(&rig,
		      (struct sql_config){ .url = url, .connect_ms = 200, .patience_ms = 300 });
	tick.last = loop_now(&rig.loop);
	timer_start(&tick.timer, &rig.loop, 5, on_tick);
	wait_state(&rig, SQL_AWAY);
	rig_sleep(&rig, 500);
	assert_int_equal(sql_pool_trouble(rig.pool)->code, ERR_TIMEDOUT);
	assert_true(tick.worst < 1000); /* else libpq has waited */
	timer_stop(&tick.timer);
	rig_close(&rig);
	close(fd);
	free(url);
}

/* -- going away ------------------------------------------------------------------------- */

static void test_a_restart(void **state)
{
	struct rig rig;
	struct job job, soon;

	(void)state;
	make_table(&rig);
	ask("stop");
	rig_sleep(&rig, 50);
	assert_int_equal(sql_pool_state(rig.pool), SQL_CONNECTING);
	start_insert(&rig, &job, 1); /* waits, at most patience_ms */
	rig_sleep(&rig, 50);
	assert_false(job.done);
	ask("start");
	assert_int_equal(job_wait(&rig, &job), 0);
	assert_int_equal(found(&rig, 1), 1);
	job_finish(&job);
	ask("kill");
	start_insert(&rig, &soon, 2); /* the pool has not seen it yet */
	wait_state(&rig, SQL_CONNECTING);
	ask("start");
	job_wait(&rig, &soon);
	/* either it was known not to have happened, and was tried anew, or it says unknown */
	assert_true(soon.status == 0 || (soon.status == ERR_STORE && soon.tx.unknown));
	if (soon.status == 0)
		assert_int_equal(found(&rig, 2), 1);
	job_finish(&soon);
	rig_close(&rig);
}

static enum sql_next wait_and_commit(struct sql_tx *tx)
{
	if (tx->round == 0) {
		*(bool *)tx->call.data = true;
		sql_add(tx, &nap, sql_int(700));
		return SQL_MORE;
	}
	return SQL_COMMIT;
}

static void test_killed_in_mid_transaction(void **state)
{
	bool in_middle = false;
	struct rig rig;
	struct job job;

	(void)state;
	make_table(&rig);
	job_init(&job);
	job.tx.next = wait_and_commit;
	job.tx.call.data = &in_middle;
	job.tx.within = 60000;
	sql_add(&job.tx, &insert, sql_int(1));
	sql_start(rig.pool, &job.tx);
	assert_true(loop_run_until(&rig.loop, &in_middle));
	rig_sleep(&rig, 50);
	ask("kill");
	ask("start");
	/* nothing has been committed: the pool knows it, and begins anew */
	assert_int_equal(job_wait(&rig, &job), 0);
	assert_int_equal(job.tx.tries, 1);
	assert_int_equal(found(&rig, 1), 1);
	job_finish(&job);
	rig_close(&rig);
}

/* The session is ended by an administrator: it says so, and what stood behind never ran. */
static void test_terminated(void **state)
{
	struct rig rig, direct;
	struct job napping, behind;

	(void)state;
	make_table(&direct);
	rig_open_with(&rig, (struct sql_config){ .patience_ms = 30000, .connections = 1 });
	job_init(&napping);
	sql_add(&napping.tx, &insert, sql_int(7));
	sql_add(&napping.tx, &nap, sql_int(1000));
	sql_start(rig.pool, &napping.tx);
	start_insert(&rig, &behind, 1);
	wait_state(&rig, SQL_UP);
	while (!run(&direct, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
			     " WHERE query LIKE 'SELECT pg_sleep%'"))
		rig_sleep(&rig, 10);
	assert_int_equal(job_wait(&rig, &napping), 0);
	assert_int_equal(job_wait(&rig, &behind), 0);
	assert_int_equal(napping.tx.tries, 1);
	assert_int_equal(behind.tx.tries, 1);
	assert_int_equal(found(&direct, 1) + found(&direct, 7), 2);
	job_finish(&napping);
	job_finish(&behind);
	rig_close(&rig);
	rig_close(&direct);
}

/* The reply to a commit is lost: it has happened. */
static void test_the_reply_is_lost(void **state)
{
	struct rig rig, direct;
	struct job job, again;
	unsigned i;

	(void)state;
	make_table(&direct);
	open_proxied(&rig, (struct sql_config){ .patience_ms = 30000 });
	ask("swallow");
	start_insert(&rig, &job, 5);
	job_init(&again); /* this one may run twice */
	again.tx.repeat = true;
	sql_add(&again.tx, &get, sql_int(5));
	sql_start(rig.pool, &again.tx);
	rig_sleep(&rig, 20);
	for (i = 0; i < 200 && !found(&direct, 5); i++)
		rig_sleep(&direct, 10);
	assert_false(job.done);
	ask("cut");
	assert_int_equal(job_wait(&rig, &job), ERR_STORE);
	assert_true(job.tx.unknown);
	ask("flow");
	assert_int_equal(found(&rig, 5), 1); /* read back by the pool */
	assert_int_equal(job_wait(&rig, &again), 0);
	assert_int_equal(again.tx.tries, 1);
	job_finish(&job);
	job_finish(&again);
	rig_close(&rig);
	rig_close(&direct);
}

/* The question is lost: it has not happened, which looks the same from here. */
static void test_the_question_is_lost(void **state)
{
	struct rig rig, direct;
	struct job job;

	(void)state;
	make_table(&direct);
	open_proxied(&rig, (struct sql_config){ .patience_ms = 30000 });
	ask("deafen");
	start_insert(&rig, &job, 6);
	rig_sleep(&rig, 100);
	ask("cut");
	assert_int_equal(job_wait(&rig, &job), ERR_STORE);
	assert_true(job.tx.unknown);
	ask("flow");
	assert_int_equal(found(&rig, 6), 0);
	job_finish(&job);
	rig_close(&rig);
	rig_close(&direct);
}

/* The connection is cut while the server is at work and does not notice. Whoever reads back
 * before the server has finished would find nothing, and be wrong a moment later. */
static void test_what_is_read_back_is_final(void **state)
{
	struct rig rig, direct;
	struct job job;
	size_t n;

	(void)state;
	make_table(&direct);
	open_proxied(&rig, (struct sql_config){ .patience_ms = 30000 });
	job_init(&job);
	sql_add(&job.tx, &insert, sql_int(8));
	sql_add(&job.tx, &nap, sql_int(1500));
	sql_start(rig.pool, &job.tx);
	rig_sleep(&rig, 200);
	ask("cut");
	assert_int_equal(job_wait(&rig, &job), ERR_STORE);
	assert_true(job.tx.unknown);
	n = found(&rig, 8);
	rig_sleep(&rig, 1800);
	assert_int_equal(found(&direct, 8), n);
	assert_int_equal(found(&rig, 8), n);
	job_finish(&job);
	rig_close(&rig);
	rig_close(&direct);
}

/* The network swallows everything, without a reset: only the deadline sees it. */
static void test_a_black_hole(void **state)
{
	struct rig rig, direct;
	struct job job, next;

	(void)state;
	make_table(&direct);
	open_proxied(&rig, (struct sql_config){ .patience_ms = 30000, .connect_ms = 500 });
	ask("swallow");
	job_init(&job);
	job.tx.within = 300;
	sql_add(&job.tx, &insert, sql_int(9));
	sql_start(rig.pool, &job.tx);
	assert_int_equal(job_wait(&rig, &job), ERR_TIMEDOUT);
	assert_true(job.tx.unknown);
	start_insert(&rig, &next, 10);
	rig_sleep(&rig, 700);
	assert_false(next.done); /* no connection is made through the hole */
	ask("flow");
	assert_int_equal(job_wait(&rig, &next), 0);
	assert_int_equal(found(&rig, 9), 1);
	job_finish(&job);
	job_finish(&next);
	rig_close(&rig);
	rig_close(&direct);
}

static void test_closing_while_away(void **state)
{
	struct rig rig;
	struct job job;

	(void)state;
	rig_open_with(&rig, (struct sql_config){ .url = "postgresql://u:p@127.0.0.1:1/d" });
	start_insert(&rig, &job, 1);
	rig_close(&rig);
	assert_true(job.done);
	assert_int_equal(job.status, ERR_CANCELED);
	job_finish(&job);
}

/* -- NOTIFY ----------------------------------------------------------------------------- */

struct ear {
	struct sql_listener listener;
	unsigned begun, told;
	char last[64];
};

static void on_notify(struct sql_listener *listener, struct str payload)
{
	struct ear *ear = container_of(listener, struct ear, listener);

	if (!payload.p) {
		ear->begun++;
		return;
	}
	ear->told++;
	snprintf(ear->last, sizeof(ear->last), "%.*s", STR_ARG(payload));
}

static void wait_ear(struct rig *rig, const unsigned *what, unsigned n)
{
	unsigned i;

	for (i = 0; i < 1500 && *what < n; i++)
		rig_sleep(rig, 10);
	assert_int_equal(*what, n);
}

static void test_notify(void **state)
{
	struct ear a = { .listener = { .channel = "osbd_a", .on_notify = on_notify } };
	struct ear b = { .listener = { .channel = "osbd_b", .on_notify = on_notify } };
	struct ear b2 = b;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	sql_listen(rig.pool, &a.listener);
	sql_listen(rig.pool, &b.listener);
	wait_ear(&rig, &a.begun, 1);
	wait_ear(&rig, &b.begun, 1);
	sql_listen(rig.pool, &b2.listener); /* a second ear, later */
	wait_ear(&rig, &b2.begun, 1);
	run(&rig, "SELECT 1 FROM pg_notify('osbd_a', 'x')");
	wait_ear(&rig, &a.told, 1);
	assert_string_equal(a.last, "x");
	run(&rig, "SELECT 1 FROM pg_notify('osbd_b', '')");
	wait_ear(&rig, &b.told, 1);
	wait_ear(&rig, &b2.told, 1);
	assert_string_equal(b.last, "");
	assert_int_equal(a.told, 1);
	sql_unlisten(rig.pool, &b2.listener);
	ask("stop");
	ask("start");
	wait_ear(&rig, &a.begun, 2); /* something may have been missed */
	wait_ear(&rig, &b.begun, 2);
	run(&rig, "SELECT 1 FROM pg_notify('osbd_b', 'again')");
	wait_ear(&rig, &b.told, 2);
	assert_string_equal(b.last, "again");
	assert_int_equal(b2.begun, 1);
	assert_int_equal(b2.told, 1);
	sql_unlisten(rig.pool, &a.listener);
	run(&rig, "SELECT 1 FROM pg_notify('osbd_a', 'y')");
	run(&rig, "SELECT 1 FROM pg_notify('osbd_b', 'z')");
	wait_ear(&rig, &b.told, 3);
	assert_int_equal(a.told, 1);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_wrong_password_user_database),
		cmocka_unit_test(test_read_only_and_unsafe_servers),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_names_of_silent_servers),
		cmocka_unit_test(test_a_silent_server_stops_nobody),
		cmocka_unit_test(test_a_restart),
		cmocka_unit_test(test_killed_in_mid_transaction),
		cmocka_unit_test(test_terminated),
		cmocka_unit_test(test_the_reply_is_lost),
		cmocka_unit_test(test_the_question_is_lost),
		cmocka_unit_test(test_what_is_read_back_is_final),
		cmocka_unit_test(test_a_black_hole),
		cmocka_unit_test(test_closing_while_away),
		cmocka_unit_test(test_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
