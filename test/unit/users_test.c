/* SPDX-License-Identifier: Apache-2.0 */
#include "users_world.h"

#include "core/siphash.h"

/* -- the header ------------------------------------------------------------------------------ */

static void test_header(void **state)
{
	static const struct {
		const char *header;
		int status;
	} rows[] = {
		{ "Basic Y2M6czplIGNyZXQ=", 0 }, /* cc:s:e cret */
		{ "basic Y2M6czplIGNyZXQ=", 0 },
		{ "BASIC   Y2M6czplIGNyZXQ=", 0 },
		{ "Basic b3BzOnp3w7ZsZg==", 0 },         /* ops:zwölf */
		{ "Basic b3BzOnp39mxm", ERR_ACCESS },    /* the same in Latin-1 */
		{ "Basic Y2M6czplIGNyZXQ", ERR_ACCESS }, /* no padding */
		{ "Basic Y2M6czpl IGNyZXQ=", ERR_ACCESS },
		{ "Basic Y2M6czplIGNyZXQ= ", ERR_ACCESS },
		{ "Basic Y2M6czplIGNyZXQ=,x", ERR_ACCESS },
		{ "Basic\tY2M6czplIGNyZXQ=", ERR_ACCESS },
		{ "BasicY2M6czplIGNyZXQ=", ERR_ACCESS },
		{ "Bearer Y2M6czplIGNyZXQ=", ERR_ACCESS },
		{ "Basic", ERR_ACCESS },
		{ "Basic ", ERR_ACCESS },
		{ "", ERR_ACCESS },
		{ "Basic Y2M=", ERR_ACCESS },             /* cc */
		{ "Basic Y2M6czplIGNyZXR=", ERR_ACCESS }, /* bits behind the end */
		{ "Basic Og==", ERR_ACCESS },             /* : */
		{ "Basic Y2MAOnM6ZSBjcmV0", ERR_ACCESS }, /* cc NUL :s:e cret */
		{ "Basic Y2MAczplIGNyZXQ6", ERR_ACCESS }, /* cc NUL s:e cret: */
		{ "Basic Y2M6czplIGNyZXQK", ERR_ACCESS }, /* with a line end */
		{ "Basic Q0M6czplIGNyZXQ=", ERR_ACCESS }, /* CC */
	};
	struct world w;
	size_t i;
	int status;

	(void)state;
	begin(&w, true);
	open_users(&w, NULL);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct users_check check = { .platform = &w.platforms[0],
					     .authorization = str_of(rows[i].header) };

		assert_true(users_check(w.users, &check, &status));
		if (status != rows[i].status)
			fail_msg("%s: %s", rows[i].header, status ? err_str(status) : "welcome");
		assert_true((check.user != NULL) == (status == 0));
	}
	assert_true(failures(&w, "malformed") == 16);
	assert_true(failures(&w, "\"wrong\"") == 2);
	end(&w);
}

static void test_long_header(void **state)
{
	struct world w;
	char pair[USERS_PAIR_MAX + 2], *code;
	struct users_check check = { 0 };
	int status;

	(void)state;
	begin(&w, true);
	memset(pair, 'x', sizeof(pair));
	memcpy(pair, "big:", 4);
	add_user(&w, "big", CONFIG_PLATFORM);
	secret_set(&w.user[3].passwords[0].text, str_make(pair + 4, USERS_PAIR_MAX - 4));
	w.user[3].n_passwords = 1;
	open_users(&w, NULL);
	check.authorization = basic(&w, pair, USERS_PAIR_MAX);
	assert_true(users_check(w.users, &check, &status));
	assert_int_equal(status, 0);
	check.authorization = basic(&w, pair, USERS_PAIR_MAX + 1);
	assert_true(users_check(w.users, &check, &status));
	assert_int_equal(status, ERR_ACCESS);
	code = calloc(1, 1 << 20);
	memset(code, 'A', 1 << 20);
	memcpy(code, "Basic ", 6);
	check.authorization = str_make(code, (1 << 20) - 2);
	assert_true(users_check(w.users, &check, &status));
	assert_int_equal(status, ERR_ACCESS);
	free(code);
	end(&w);
}

static void test_none(void **state)
{
	struct users_check check = { 0 };
	struct world w;
	int status;

	(void)state;
	begin(&w, true);
	open_users(&w, NULL);
	assert_true(users_check(w.users, &check, &status));
	assert_int_equal(status, ERR_ACCESS);
	assert_true(failures(&w, "missing") == 1);
	users_destroy(w.users);
	w.config.authenticate = false;
	open_users(&w, NULL);
	assert_true(users_check(w.users, &check, &status));
	assert_int_equal(status, 0);
	assert_null(check.user);
	end(&w);
}

static void test_roles(void **state)
{
	struct config_platform again;
	struct probe probe;
	struct world w;

	(void)state;
	begin(&w, true);
	w.user[0].platform = &w.platforms[1];
	open_users(&w, NULL);
	assert_int_equal(status_of(&w, "ops:one"), 0);
	assert_int_equal(status_of(&w, "ops:zw\xc3\xb6lf"), 0);
	assert_int_equal(status_of(&w, "spy:look"), ERR_ACCESS);
	assert_int_equal(status_of(&w, "cc:s:e cret"), ERR_ACCESS);
	assert_true(failures(&w, "forbidden") == 2);
	/* the other platform, as another generation of the configuration has it */
	again = w.platforms[1];
	ask(&w, &probe, "x:y");
	probe.check.platform = &again;
	probe.check.authorization = basic(&w, "cc:s:e cret", 11);
	assert_true(users_check(w.users, &probe.check, &probe.status));
	assert_int_equal(probe.status, 0);
	assert_ptr_equal(probe.check.user, &w.user[0]);
	/* administration looks at the role itself */
	probe.check.platform = NULL;
	probe.check.authorization = basic(&w, "spy:look", 8);
	assert_true(users_check(w.users, &probe.check, &probe.status));
	assert_int_equal(probe.status, 0);
	assert_int_equal(probe.check.user->role, CONFIG_MONITOR);
	end(&w);
}

/* -- limits ---------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
	(void)timer;
}

static void sleep_ms(struct world *w, uint64_t ms)
{
	struct timer timer = { 0 };

	timer_start(&timer, &w->loop, ms, on_timer);
	while (timer_running(&timer))
		loop_turn(&w->loop);
}

static void test_limits(void **state)
{
	struct probe probe;
	struct world w;
	int i;

	(void)state;
	begin(&w, true);
	open_users(&w, NULL);
	for (i = 0; i < USERS_BURST; i++)
		assert_int_equal(status_at(&w, "cc:guess", i % 2 ? "10.0.0.1" : "10.0.0.2"),
				 ERR_ACCESS);
	/* the name, from anywhere */
	assert_true(ask_at(&w, &probe, "cc:guess", "10.0.0.3"));
	assert_int_equal(probe.status, ERR_BUSY);
	assert_int_equal(probe.check.retry_after, 1);
	assert_true(failures(&w, "limited") == 1);
	/* the source has five left, whatever the names */
	for (i = 0; i < USERS_BURST / 2; i++)
		assert_int_equal(status_at(&w, i % 2 ? "nobody:x" : "ops:x", "10.0.0.1"),
				 ERR_ACCESS);
	assert_int_equal(status_at(&w, "else:x", "10.0.0.1"), ERR_BUSY);
	assert_int_equal(status_at(&w, "else:x", "10.0.0.3"), ERR_ACCESS);
	/* what is right is never limited */
	assert_int_equal(status_at(&w, "cc:s:e cret", "10.0.0.1"), 0);
	/* a failure a second comes back */
	sleep_ms(&w, 1000);
	assert_int_equal(status_at(&w, "cc:guess", "10.0.0.4"), ERR_ACCESS);
	assert_int_equal(status_at(&w, "cc:guess", "10.0.0.4"), ERR_BUSY);
	/* an IPv6 source is its /64 */
	for (i = 0; i < USERS_BURST; i++) {
		char peer[32], name[16];

		snprintf(peer, sizeof(peer), "2001:db8::%x", i + 1);
		snprintf(name, sizeof(name), "u%d:x", i);
		assert_int_equal(status_at(&w, name, peer), ERR_ACCESS);
	}
	assert_int_equal(status_at(&w, "u99:x", "2001:db8::ffff"), ERR_BUSY);
	assert_int_equal(status_at(&w, "u99:x", "2001:db8:0:1::1"), ERR_ACCESS);
	end(&w);
}

/* Any number of names and sources needs no more room, and does not free a user's own bucket. */
static void test_flood(void **state)
{
	struct world w;
	int i;

	(void)state;
	begin(&w, true);
	open_users(&w, NULL);
	for (i = 0; i < USERS_BURST; i++)
		assert_int_equal(status_at(&w, "cc:guess", "10.0.0.1"), ERR_ACCESS);
	for (i = 0; i < 20000; i++) {
		char peer[32], pair[32];

		snprintf(peer, sizeof(peer), "10.1.%d.%d", i / 250, i % 250);
		snprintf(pair, sizeof(pair), "user%d:x", i);
		status_at(&w, pair, peer);
	}
	assert_int_equal(status_at(&w, "cc:guess", "10.2.0.1"), ERR_BUSY);
	end(&w);
}

static void test_buckets(void **state)
{
	struct users_buckets *buckets = calloc(1, sizeof(*buckets));
	struct users_wrongs *wrongs = calloc(1, sizeof(*wrongs));
	unsigned char pair[SIPHASH_SIZE] = "pair";
	struct users_bucket *bucket;
	uint64_t now = 5000;
	int i;

	(void)state;
	for (i = 0; i < USERS_BURST; i++) {
		bucket = users_bucket(buckets, 7, now);
		assert_int_equal(users_bucket_wait(bucket, now), 0);
		users_bucket_take(bucket, now);
	}
	assert_int_equal(users_bucket_wait(bucket, now), 1);
	assert_int_equal(users_bucket_wait(bucket, now + 999), 1);
	assert_int_equal(users_bucket_wait(bucket, now + 1000), 0);
	/* idle for long: USERS_BURST again, not more */
	now += DAY(1);
	for (i = 0; i < USERS_BURST; i++)
		users_bucket_take(bucket, now);
	assert_int_equal(users_bucket_wait(bucket, now), 1);
	users_bucket_give(bucket);
	assert_int_equal(users_bucket_wait(bucket, now), 0);
	/* the same row: the emptiest stays, the others give way */
	for (i = 1; i < 100; i++)
		users_bucket(buckets, 7 + (uint64_t)i * (USERS_BUCKETS / USERS_WAYS), now);
	assert_ptr_equal(users_bucket(buckets, 7, now), bucket);
	assert_int_equal(bucket->full_at, now + 9000);

	assert_false(users_wrong_known(wrongs, pair, now));
	users_wrong_add(wrongs, pair, now);
	assert_true(users_wrong_known(wrongs, pair, now + USERS_WRONG_MS - 1));
	assert_false(users_wrong_known(wrongs, pair, now + USERS_WRONG_MS));
	pair[15] = 1;
	assert_false(users_wrong_known(wrongs, pair, now));
	free(buckets);
	free(wrongs);
}

static void test_siphash(void **state)
{
	static const struct {
		size_t n;
		const char *hex;
	} rows[] = {
		{ 0, "a3817f04ba25a8e66df67214c7550293" },
		{ 1, "da87c1d86b99af44347659119b22fc45" },
		{ 15, "5493e99933b0a8117e08ec0f97cfc3d9" },
		{ 16, "6ee2a4ca67b054bbfd3315bf85230577" },
		{ 40, "df6a301e95c95dad97ae0cc8c6913bd8" },
	};
	unsigned char in[40], digest[SIPHASH_SIZE];
	char hex[2 * SIPHASH_SIZE + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)i;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		siphash(in, in, rows[i].n, digest); /* the key is 00 … 0f */
		hex_encode(digest, SIPHASH_SIZE, hex);
		assert_string_equal(hex, rows[i].hex);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),  cmocka_unit_test(test_long_header),
		cmocka_unit_test(test_none),    cmocka_unit_test(test_roles),
		cmocka_unit_test(test_limits),  cmocka_unit_test(test_flood),
		cmocka_unit_test(test_buckets), cmocka_unit_test(test_siphash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
