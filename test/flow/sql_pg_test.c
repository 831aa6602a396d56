/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_rig.h"

static const struct sql_stmt insert = { "t_insert", "INSERT INTO t (id, v) VALUES ($1, $2)", 2 };
static const struct sql_stmt number = { "t_number", "SELECT $1::int8", 1 };
static const struct sql_stmt get = { "t_get", "SELECT v FROM t WHERE id = $1 FOR UPDATE", 1 };
static const struct sql_stmt set = { "t_set", "UPDATE t SET v = $2 WHERE id = $1", 2 };

static void fresh(struct rig *rig)
{
	rig_open(rig);
	run(rig, "DROP TABLE IF EXISTS t");
	run(rig, "CREATE TABLE t (id int8 PRIMARY KEY, v text)");
}

/* -- values ----------------------------------------------------------------------------- */

static void test_values_round_trip(void **state)
{
	static const struct sql_stmt all = {
		"all_kinds",
		"SELECT $1::text, $2::bytea, $3::int8, $4::int4, $5::int2, $6::bool, $7::text,"
		" $8::text[]::text, $9::text",
		9
	};
	const struct sql_result *r;
	struct rig rig;
	struct job job;

	(void)state;
	rig_open(&rig);
	job_init(&job);
	sql_add(&job.tx, &all, sql_text(STR("h\xc3\xa9")), sql_bytes("a\0\xff", 3),
		sql_int(INT64_MIN), sql_int(-7), sql_int(300), sql_bool(true), sql_null(),
		sql_literal(STR("{1,2}")), sql_text(STR("")));
	assert_int_equal(job_run(&rig, &job), 0);
	assert_null(job.tx.why);
	r = &job.tx.results[0];
	assert_true(r->ended);
	assert_int_equal(r->rows, 1);
	assert_int_equal(r->cols, 9);
	assert_true(str_is(sql_get_str(r, 0, 0), "h\xc3\xa9"));
	assert_true(str_eq(sql_get_str(r, 0, 1), str_make("a\0\xff", 3)));
	assert_int_equal(sql_get_int(r, 0, 2), INT64_MIN);
	assert_int_equal(sql_get_int(r, 0, 3), -7);
	assert_int_equal(sql_get_int(r, 0, 4), 300);
	assert_true(sql_get_bool(r, 0, 5));
	assert_true(sql_is_null(r, 0, 6));
	assert_int_equal(sql_get_int(r, 0, 6), 0);
	assert_true(str_is(sql_get_str(r, 0, 7), "{1,2}"));
	assert_non_null(sql_get_str(r, 0, 8).p);
	assert_int_equal(sql_get_str(r, 0, 8).n, 0);
	job_finish(&job);
	rig_close(&rig);
}

static void test_facts(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	assert_int_equal(sql_pool_state(rig.pool), SQL_CONNECTING);
	wait_state(&rig, SQL_UP);
	assert_true(sql_pool_facts(rig.pool)->version >= 150000);
	assert_true(sql_pool_facts(rig.pool)->commit_safe);
	assert_null(sql_pool_trouble(rig.pool));
	rig_close(&rig);
}

/* -- transactions ----------------------------------------------------------------------- */

static void test_an_error_rolls_back_its_own_transaction_only(void **state)
{
	struct job jobs[5];
	struct rig rig;
	size_t i;

	(void)state;
	rig_open_with(&rig, (struct sql_config){ .patience_ms = 30000, .connections = 1 });
	run(&rig, "DROP TABLE IF EXISTS t");
	run(&rig, "CREATE TABLE t (id int8 PRIMARY KEY, v text)");
	for (i = 0; i < 5; i++) {
		job_init(&jobs[i]);
		sql_add(&jobs[i].tx, &insert, sql_int((int64_t)i * 10), sql_text(STR("a")));
		sql_add(&jobs[i].tx, &insert, sql_int((int64_t)i * 10 + (i == 2 ? 0 : 1)),
			sql_text(STR("b")));
		sql_add(&jobs[i].tx, &insert, sql_int((int64_t)i * 10 + 2), sql_text(STR("c")));
		sql_start(rig.pool, &jobs[i].tx);
	}
	for (i = 0; i < 5; i++) {
		assert_int_equal(job_wait(&rig, &jobs[i]), i == 2 ? ERR_EXISTS : 0);
		assert_false(jobs[i].tx.unknown);
	}
	assert_string_equal(jobs[2].tx.sqlstate, "23505");
	assert_non_null(strstr(jobs[2].tx.why, "t_insert: "));
	assert_non_null(strstr(jobs[2].tx.why, "t_pkey"));
	assert_true(jobs[2].tx.results[0].ended);
	assert_false(jobs[2].tx.results[1].ended);
	assert_false(jobs[2].tx.results[2].ended);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 12);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t WHERE id BETWEEN 20 AND 29"), 0);
	for (i = 0; i < 5; i++)
		job_finish(&jobs[i]);
	rig_close(&rig);
}

static enum sql_next count_up(struct sql_tx *tx)
{
	int64_t n;

	if (tx->round == 1)
		return SQL_COMMIT; /* after SQL_MORE: the update has been answered */
	assert_int_equal(tx->results[0].rows, 1);
	n = strtoll(sql_get_str(&tx->results[0], 0, 0).p, NULL, 10);
	if (n == 3)
		return SQL_ROLLBACK;
	sql_add(tx, &set, sql_int(1),
		sql_text(str_of(arena_printf(tx->arena, "%lld", (long long)n + 1))));
	return n % 2 ? SQL_MORE : SQL_COMMIT;
}

static void test_next_decides_on_what_was_read(void **state)
{
	struct job jobs[10];
	struct rig rig;
	unsigned i, undone = 0;

	(void)state;
	fresh(&rig);
	run(&rig, "INSERT INTO t VALUES (1, '0')");
	for (i = 0; i < 10; i++) { /* all at once, on the same row */
		job_init(&jobs[i]);
		jobs[i].tx.next = count_up;
		sql_add(&jobs[i].tx, &get, sql_int(1));
		sql_start(rig.pool, &jobs[i].tx);
	}
	for (i = 0; i < 10; i++) {
		assert_int_equal(job_wait(&rig, &jobs[i]), 0);
		undone += jobs[i].tx.rolled_back;
		job_finish(&jobs[i]);
	}
	assert_int_equal(undone, 7);
	assert_int_equal(run(&rig, "SELECT v::int8 FROM t"), 3);
	rig_close(&rig);
}

static enum sql_next add_twice(struct sql_tx *tx)
{
	sql_add(tx, &insert, sql_int(2), sql_text(STR("b")));
	sql_add(tx, &insert, sql_int(tx->call.data ? 3 : 2), sql_text(STR("c")));
	return tx->round == 0 && tx->call.data ? SQL_COMMIT : SQL_MORE;
}

static void test_an_error_in_a_later_round_undoes_all(void **state)
{
	struct rig rig;
	struct job job;

	(void)state;
	fresh(&rig);
	job_init(&job);
	job.tx.next = add_twice;
	sql_add(&job.tx, &insert, sql_int(1), sql_text(STR("a")));
	assert_int_equal(job_run(&rig, &job), ERR_EXISTS);
	assert_false(job.tx.unknown);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 0);
	job_finish(&job);
	job_init(&job); /* and the connection is fit for use */
	job.tx.next = add_twice;
	job.tx.call.data = &job;
	sql_add(&job.tx, &insert, sql_int(1), sql_text(STR("a")));
	assert_int_equal(job_run(&rig, &job), 0);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 3);
	job_finish(&job);
	rig_close(&rig);
}

static enum sql_next commit(struct sql_tx *tx)
{
	(void)tx;
	return SQL_COMMIT;
}

static void test_a_commit_that_fails(void **state)
{
	static const struct sql_stmt later = { "d_insert", "INSERT INTO d VALUES ($1)", 1 };
	struct rig rig;
	struct job job, behind;
	int i;

	(void)state;
	rig_open_with(&rig, (struct sql_config){ .patience_ms = 30000, .connections = 1 });
	run(&rig, "DROP TABLE IF EXISTS d");
	run(&rig, "CREATE TABLE d (id int8 UNIQUE DEFERRABLE INITIALLY DEFERRED)");
	run(&rig, "INSERT INTO d VALUES (1)");
	for (i = 0; i < 2; i++) {
		job_init(&job);
		job_init(&behind);
		job.tx.next = i ? commit : NULL;
		sql_add(&job.tx, &later, sql_int(1));
		sql_add(&behind.tx, &later, sql_int(10 + i));
		sql_start(rig.pool, &job.tx);
		sql_start(rig.pool, &behind.tx);
		assert_int_equal(job_wait(&rig, &job), ERR_EXISTS);
		assert_true(job.tx.results[0].ended); /* the statement was fine */
		assert_false(job.tx.unknown);
		assert_non_null(strstr(job.tx.why, "commit: "));
		assert_int_equal(job_wait(&rig, &behind), 0);
		job_finish(&job);
		job_finish(&behind);
	}
	assert_int_equal(run(&rig, "SELECT count(*) FROM d"), 3);
	rig_close(&rig);
}

static void test_what_may_pass_is_tried_three_times(void **state)
{
	static const struct sql_stmt fickle = { "fickle", "SELECT fickle($1::int8)", 1 };
	struct rig rig;
	struct job job;

	(void)state;
	fresh(&rig);
	run(&rig, "DROP SEQUENCE IF EXISTS tries");
	run(&rig, "CREATE SEQUENCE tries");
	run(&rig, "CREATE OR REPLACE FUNCTION fickle(n int8) RETURNS int8 LANGUAGE plpgsql AS $$"
		  "BEGIN IF nextval('tries') % 10 < n THEN RAISE EXCEPTION 'again'"
		  " USING ERRCODE = '40001'; END IF; RETURN n; END $$");
	job_init(&job);
	sql_add(&job.tx, &insert, sql_int(1), sql_null());
	sql_add(&job.tx, &fickle, sql_int(3));
	assert_int_equal(job_run(&rig, &job), 0);
	assert_int_equal(run(&rig, "SELECT last_value FROM tries"), 3);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 1);
	job_finish(&job);
	run(&rig, "ALTER SEQUENCE tries RESTART WITH 1");
	job_init(&job);
	sql_add(&job.tx, &fickle, sql_int(9));
	assert_int_equal(job_run(&rig, &job), ERR_BUSY);
	assert_string_equal(job.tx.sqlstate, "40001");
	assert_int_equal(run(&rig, "SELECT last_value FROM tries"), 3);
	job_finish(&job);
	rig_close(&rig);
}

static void test_a_statement_that_cannot_be_prepared(void **state)
{
	static const struct sql_stmt late = { "late_get", "SELECT n FROM late", 0 };
	struct job job;
	struct rig rig;
	int i;

	(void)state;
	fresh(&rig);
	run(&rig, "DROP TABLE IF EXISTS late");
	for (i = 0; i < 2; i++) {
		job_init(&job);
		job.tx.next = i ? add_twice : NULL;
		sql_add(&job.tx, &insert, sql_int(1), sql_null());
		sql_add_plain(&job.tx, &late);
		assert_int_equal(job_run(&rig, &job), ERR_NOENT);
		assert_string_equal(job.tx.sqlstate, "42P01");
		assert_non_null(strstr(job.tx.why, "late_get: "));
		job_finish(&job);
	}
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 0);
	run(&rig, "CREATE TABLE late (n int8)");
	run(&rig, "INSERT INTO late VALUES (4)");
	job_init(&job);
	sql_add_plain(&job.tx, &late);
	assert_int_equal(job_run(&rig, &job), 0);
	job_finish(&job);
	/* a prepared statement whose result has changed its type is left behind, too */
	run(&rig, "ALTER TABLE late ALTER n TYPE int4");
	job_init(&job);
	sql_add_plain(&job.tx, &late);
	assert_int_equal(job_run(&rig, &job), 0);
	assert_int_equal(sql_get_int(&job.tx.results[0], 0, 0), 4);
	job_finish(&job);
	rig_close(&rig);
}

static void test_errors_hold_no_values(void **state)
{
	static const struct sql_stmt cast = { "cast", "SELECT $1::text::int8", 1 };
	struct rig rig;
	struct job job;

	(void)state;
	fresh(&rig);
	job_init(&job);
	sql_add(&job.tx, &cast, sql_text(STR("hunter2")));
	assert_int_equal(job_run(&rig, &job), ERR_INVALID);
	assert_string_equal(job.tx.sqlstate, "22P02");
	assert_null(strstr(job.tx.why, "hunter2"));
	job_finish(&job);
	rig_close(&rig);
}

static void test_ten_thousand_statements(void **state)
{
	struct rig rig;
	struct job job;
	int i;

	(void)state;
	fresh(&rig);
	job_init(&job);
	job.tx.within = 60000;
	for (i = 0; i < 10000; i++)
		sql_add(&job.tx, &insert, sql_int(i), sql_text(STR("some value of some size")));
	assert_int_equal(job_run(&rig, &job), 0);
	for (i = 0; i < 10000; i++)
		assert_int_equal(job.tx.results[i].n, 1);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 10000);
	job_finish(&job);
	rig_close(&rig);
}

static void test_many_transactions(void **state)
{
	static struct job jobs[3000];
	struct rig rig;
	size_t i;

	(void)state;
	fresh(&rig);
	for (i = 0; i < ARRAY_LEN(jobs); i++) {
		job_init(&jobs[i]);
		jobs[i].tx.within = 60000;
		sql_add(&jobs[i].tx, &number, sql_int((int64_t)i));
		sql_add(&jobs[i].tx, &insert, sql_int((int64_t)i / 2), sql_null());
		sql_start(rig.pool, &jobs[i].tx);
	}
	for (i = 0; i < ARRAY_LEN(jobs); i++)
		job_wait(&rig, &jobs[i]);
	for (i = 0; i < ARRAY_LEN(jobs); i += 2) {
		assert_int_equal(sql_get_int(&jobs[i].tx.results[0], 0, 0), (int64_t)i);
		/* of two with the same key one is refused */
		assert_int_equal(jobs[i].status + jobs[i + 1].status, ERR_EXISTS);
	}
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), ARRAY_LEN(jobs) / 2);
	assert_true(run(&rig, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'osbd'") <= 8);
	for (i = 0; i < ARRAY_LEN(jobs); i++)
		job_finish(&jobs[i]);
	rig_close(&rig);
}

/* -- deadlines and canceling ------------------------------------------------------------- */

static void test_a_statement_that_takes_too_long(void **state)
{
	static const struct sql_stmt nap = { "nap", "SELECT pg_sleep(30)", 0 };
	struct rig rig;
	struct job job;
	int64_t pid;
	uint64_t began;

	(void)state;
	fresh(&rig);
	pid = run(&rig, "SELECT pg_backend_pid()");
	began = loop_now(&rig.loop);
	job_init(&job);
	job.tx.statement_ms = 100;
	sql_add(&job.tx, &insert, sql_int(1), sql_null());
	sql_add_plain(&job.tx, &nap);
	assert_int_equal(job_run(&rig, &job), ERR_TIMEDOUT);
	assert_string_equal(job.tx.sqlstate, "57014");
	assert_false(job.tx.unknown);
	assert_true(loop_now(&rig.loop) - began < 5000);
	job_finish(&job);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 0);
	assert_int_equal(run(&rig, "SELECT pg_backend_pid()"), pid);
	/* the limit was for that transaction alone */
	assert_int_equal(run(&rig, "SELECT (current_setting('statement_timeout') = '5s')::int4"),
			 1);
	rig_close(&rig);
}

static void test_a_transaction_that_takes_too_long_ends_its_session(void **state)
{
	static const struct sql_stmt nap = { "nap", "SELECT pg_sleep(30)", 0 };
	struct rig rig;
	struct job job, next;

	(void)state;
	fresh(&rig);
	job_init(&job);
	job_init(&next);
	job.tx.within = 300;
	job.tx.statement_ms = 20000;
	sql_add(&job.tx, &insert, sql_int(1), sql_null());
	sql_add_plain(&job.tx, &nap);
	assert_int_equal(job_run(&rig, &job), ERR_TIMEDOUT);
	assert_true(job.tx.unknown);
	/* the key is free at once: no session that holds it is left */
	sql_add(&next.tx, &insert, sql_int(1), sql_null());
	assert_int_equal(job_run(&rig, &next), 0);
	assert_int_equal(run(&rig, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE"
				   " 'SELECT pg_sleep%'"),
			 0);
	job_finish(&job);
	job_finish(&next);
	rig_close(&rig);
}

static void test_cancel(void **state)
{
	struct job queued, sent, rounds;
	struct rig rig;

	(void)state;
	fresh(&rig);
	job_init(&queued);
	sql_add(&queued.tx, &insert, sql_int(1), sql_null());
	sql_start(rig.pool, &queued.tx);
	call_cancel(&queued.tx.call);
	assert_false(queued.done);
	assert_int_equal(job_wait(&rig, &queued), ERR_CANCELED);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 0);
	job_init(&sent);
	job_init(&rounds);
	rounds.tx.next = commit;
	sql_add(&sent.tx, &insert, sql_int(1), sql_null());
	sql_add(&rounds.tx, &insert, sql_int(2), sql_null());
	sql_start(rig.pool, &sent.tx);
	sql_start(rig.pool, &rounds.tx);
	loop_turn(&rig.loop);
	call_cancel(&sent.tx.call);
	call_cancel(&rounds.tx.call);
	/* what was sent with its end goes on; the other is rolled back between two rounds, or has
	 * not been sent yet */
	assert_int_equal(job_wait(&rig, &sent), 0);
	assert_int_equal(job_wait(&rig, &rounds), ERR_CANCELED);
	assert_int_equal(run(&rig, "SELECT count(*) FROM t"), 1);
	job_finish(&queued);
	job_finish(&sent);
	job_finish(&rounds);
	rig_close(&rig);
}

static void test_closing_ends_what_waits_and_lets_the_rest_end(void **state)
{
	static const struct sql_stmt nap = { "nap_short", "SELECT pg_sleep(0.3)", 0 };
	struct job jobs[40];
	struct rig rig;
	unsigned i, n = 0;

	(void)state;
	rig_open_with(&rig, (struct sql_config){ .patience_ms = 30000,
						 .connections = 1,
						 .depth = 2,
						 .max_queue = 39 });
	wait_state(&rig, SQL_UP);
	for (i = 0; i < 40; i++) {
		job_init(&jobs[i]);
		sql_add_plain(&jobs[i].tx, &nap);
		sql_start(rig.pool, &jobs[i].tx);
	}
	assert_int_equal(job_wait(&rig, &jobs[39]), ERR_FULL);
	rig_sleep(&rig, 50);
	rig_close(&rig);
	for (i = 0; i < 39; i++) {
		assert_true(jobs[i].done);
		assert_int_equal(jobs[i].status, i < 2 ? 0 : ERR_CANCELED);
		n += jobs[i].status == 0;
		job_finish(&jobs[i]);
	}
	assert_int_equal(n, 2);
	job_finish(&jobs[39]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_round_trip),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_an_error_rolls_back_its_own_transaction_only),
		cmocka_unit_test(test_next_decides_on_what_was_read),
		cmocka_unit_test(test_an_error_in_a_later_round_undoes_all),
		cmocka_unit_test(test_a_commit_that_fails),
		cmocka_unit_test(test_what_may_pass_is_tried_three_times),
		cmocka_unit_test(test_a_statement_that_cannot_be_prepared),
		cmocka_unit_test(test_errors_hold_no_values),
		cmocka_unit_test(test_ten_thousand_statements),
		cmocka_unit_test(test_many_transactions),
		cmocka_unit_test(test_a_statement_that_takes_too_long),
		cmocka_unit_test(test_a_transaction_that_takes_too_long_ends_its_session),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_closing_ends_what_waits_and_lets_the_rest_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
