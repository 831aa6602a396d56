/* SPDX-License-Identifier: Apache-2.0 */
/* Run as `users_test verify-password` this program is the verifier, as osbd is; by the name
 * "hang" it never ends, by the name "broken" it fails. */
#include "osb/users.h"

#include "core/digest.h"
#include "core/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define START 1800000000000 /* some time in 2027 */

/* -- the world around a test ---------------------------------------------------------------- */

static char self[1024], links[64], hang[128], broken[128];

struct world {
	struct loop loop;
	struct child_host children;
	struct config config;
	struct config_platform platforms[2];
	struct config_user user[4];
	struct users *users;
	struct metrics metrics;
	struct log log;
	FILE *lines;
	struct arena arena;
};

static void hash_of(const char *password, const char *prefix, unsigned long cost, char *out)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];

	assert_non_null(crypt_gensalt_rn(prefix, cost, NULL, 0, setting, sizeof(setting)));
	assert_non_null(crypt_r(password, setting, data));
	strcpy(out, data->output);
	free(data);
}

static struct config_user *add_user(struct world *w, const char *name, enum config_role role)
{
	struct config_user *user = &w->user[w->config.n_users++];

	user->name = str_of(name);
	user->role = role;
	return user;
}

static void add_password(struct config_user *user, bool crypt, const char *text)
{
	user->passwords[user->n_passwords].crypt = crypt;
	secret_set(&user->passwords[user->n_passwords++].text, str_of(text));
}

static void add_hash(struct config_user *user, const char *password)
{
	char hash[CRYPT_OUTPUT_SIZE];

	hash_of(password, "$y$", 1, hash);
	add_password(user, true, hash);
}

/* cc has a literal, ops has two, hash has a hash, spy may only watch. */
static void begin(struct world *w, bool test_time)
{
	struct err err;

	memset(w, 0, sizeof(*w));
	if (test_time)
		assert_int_equal(loop_init_test(&w->loop, START), 0);
	else
		assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(child_host_init(&w->children, &w->loop, getenv("OSBD_CHILD"), &err), 0);
	metrics_init(&w->metrics);
	w->lines = tmpfile();
	log_init(&w->log, log_sink_create(fileno(w->lines), LOG_LOGFMT, LOG_DEBUG));
	w->platforms[0].name = STR("default");
	w->platforms[1].name = STR("other");
	w->config.users = w->user;
	w->config.authenticate = true;
	add_password(add_user(w, "cc", CONFIG_PLATFORM), false, "s:e cret");
	add_user(w, "ops", CONFIG_OPERATOR);
	add_password(&w->user[1], false, "one");
	add_password(&w->user[1], false, "zw\xc3\xb6lf");
	add_user(w, "spy", CONFIG_MONITOR);
	add_password(&w->user[2], false, "look");
}

static void with_hash(struct world *w)
{
	add_user(w, "hash", CONFIG_PLATFORM);
	add_hash(&w->user[3], "first");
	add_hash(&w->user[3], "second");
}

static void open_users(struct world *w, const char *verifier)
{
	w->users = users_create(&w->loop, &w->config, &w->children, verifier, &w->log, &w->metrics);
}

static void end(struct world *w)
{
	size_t i, j;

	users_destroy(w->users);
	assert_true(list_empty(&w->metrics.all));
	assert_int_equal(w->children.started, w->children.reaped);
	child_host_finish(&w->children);
	assert_int_equal(loop_finish(&w->loop), 0);
	log_sink_destroy(w->log.sink);
	fclose(w->lines);
	for (i = 0; i < w->config.n_users; i++)
		for (j = 0; j < w->user[i].n_passwords; j++)
			secret_finish(&w->user[i].passwords[j].text);
	arena_finish(&w->arena);
}

static struct str basic(struct world *w, const char *pair, size_t n)
{
	struct str code = base64_encode(&w->arena, pair, n);

	return str_of(arena_printf(&w->arena, "Basic %.*s", STR_ARG(code)));
}

/* A check whose end is counted. */
struct probe {
	struct users_check check;
	int status;
	unsigned ends;
};

static unsigned ended;

static void on_end(struct call *call, int status)
{
	struct probe *probe = container_of(call, struct probe, check.call);

	probe->status = status;
	probe->ends++;
	ended++;
}

/* True when it was answered at once. */
static bool ask_at(struct world *w, struct probe *probe, const char *pair, const char *peer)
{
	*probe = (struct probe){ 0 };
	probe->check.call.done = on_end;
	probe->check.platform = &w->platforms[0];
	probe->check.peer = str_of(peer);
	probe->check.authorization = basic(w, pair, strlen(pair));
	return users_check(w->users, &probe->check, &probe->status);
}

static bool ask(struct world *w, struct probe *probe, const char *pair)
{
	return ask_at(w, probe, pair, "127.0.0.1");
}

static int status_at(struct world *w, const char *pair, const char *peer)
{
	struct probe probe;

	assert_true(ask_at(w, &probe, pair, peer));
	return probe.status;
}

static int status_of(struct world *w, const char *pair)
{
	return status_at(w, pair, "127.0.0.1");
}

static void wait_end(struct world *w, const struct probe *probe)
{
	while (!probe->ends && loop_turn(&w->loop))
		;
	assert_int_equal(probe->ends, 1);
}

/* Whether it was answered at once or by a child. */
static int status_wait(struct world *w, const char *pair)
{
	struct probe probe;

	if (!ask(w, &probe, pair)) {
		assert_int_equal(probe.ends, 0);
		wait_end(w, &probe);
	}
	return probe.status;
}

static double failures(struct world *w, const char *reason)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &w->metrics.all) {
		struct metric *metric = container_of(pos, struct metric, node);

		if (strcmp(metric->name, "osbd_auth_failures_total") == 0 &&
		    strstr(metric->labels, reason))
			return metric->value;
	}
	return -1;
}

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
	open_users(&w, self);
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
	open_users(&w, self);
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
	open_users(&w, self);
	assert_true(users_check(w.users, &check, &status));
	assert_int_equal(status, ERR_ACCESS);
	assert_true(failures(&w, "missing") == 1);
	users_destroy(w.users);
	w.config.authenticate = false;
	open_users(&w, self);
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
	open_users(&w, self);
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
	open_users(&w, self);
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
		char peer[32], name[8];

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
	open_users(&w, self);
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

/* -- hashes ---------------------------------------------------------------------------------- */

static void test_hashes(void **state)
{
	struct probe probe;
	struct world w;

	(void)state;
	begin(&w, false);
	with_hash(&w);
	open_users(&w, self);
	/* a literal needs no child */
	assert_int_equal(status_of(&w, "cc:s:e cret"), 0);
	assert_int_equal(w.children.started, 0);
	assert_false(ask(&w, &probe, "hash:first"));
	wait_end(&w, &probe);
	assert_int_equal(probe.status, 0);
	assert_ptr_equal(probe.check.user, &w.user[3]);
	assert_int_equal(w.children.started, 1);
	/* right is remembered, and so is wrong, once both hashes were tried */
	assert_int_equal(status_of(&w, "hash:first"), 0);
	assert_int_equal(w.children.started, 1);
	assert_int_equal(status_wait(&w, "hash:third"), ERR_ACCESS);
	assert_int_equal(w.children.started, 3);
	assert_int_equal(status_of(&w, "hash:third"), ERR_ACCESS);
	assert_int_equal(w.children.started, 3);
	/* the second password does not push the first one out */
	assert_int_equal(status_wait(&w, "hash:second"), 0);
	assert_int_equal(w.children.started, 5);
	assert_int_equal(status_of(&w, "hash:second"), 0);
	assert_int_equal(status_of(&w, "hash:first"), 0);
	/* names that have no hash take as long, and a hash of somebody else lets nobody in */
	assert_int_equal(status_wait(&w, "nobody:first"), ERR_ACCESS);
	assert_int_equal(w.children.started, 7);
	assert_int_equal(status_wait(&w, "cc:first"), ERR_ACCESS);
	assert_int_equal(w.children.started, 9);
	assert_int_equal(status_of(&w, "nobody:first"), ERR_ACCESS);
	assert_int_equal(w.children.started, 9);
	end(&w);
}

/* Many with the same pair: one child; more than may wait: 429; one child at a time. */
static void test_waiting(void **state)
{
	struct probe probes[USERS_WAITING + 1];
	struct world w;
	size_t i;

	(void)state;
	begin(&w, false);
	with_hash(&w);
	open_users(&w, self);
	ended = 0;
	for (i = 0; i < USERS_WAITING; i++)
		assert_false(ask(&w, &probes[i],
				 i < 10   ? "hash:first"
				 : i < 13 ? "hash:a"
					  : "x:b"));
	/* one more of the same, one more of another */
	assert_true(ask(&w, &probes[i], "hash:first"));
	assert_int_equal(probes[i].status, ERR_BUSY);
	assert_int_equal(probes[i].check.retry_after, 1);
	assert_true(ask(&w, &probes[i], "hash:c"));
	assert_int_equal(probes[i].status, ERR_BUSY);
	/* but what is known goes on */
	assert_int_equal(status_of(&w, "cc:s:e cret"), 0);
	while (ended < USERS_WAITING && loop_turn(&w.loop))
		assert_true(w.children.started - w.children.reaped <= 1);
	assert_int_equal(ended, USERS_WAITING);
	for (i = 0; i < USERS_WAITING; i++) {
		assert_int_equal(probes[i].ends, 1);
		assert_int_equal(probes[i].status, i < 10 ? 0 : ERR_ACCESS);
	}
	assert_int_equal(w.children.started, 1 + 2 + 2);
	/* neither the refused ones nor the right one count as failures: of ten, two are gone */
	for (i = 0; i < USERS_BURST - 2; i++) {
		char pair[16];

		snprintf(pair, sizeof(pair), "hash:c%zu", i);
		assert_int_equal(status_wait(&w, pair), ERR_ACCESS);
	}
	end(&w);
}

/* A burst of guesses is limited before the first one is verified. */
static void test_burst(void **state)
{
	struct probe probes[USERS_BURST + 1];
	struct world w;
	int i;

	(void)state;
	begin(&w, false);
	with_hash(&w);
	open_users(&w, hang);
	ended = 0;
	for (i = 0; i < USERS_BURST; i++) {
		char pair[16];

		snprintf(pair, sizeof(pair), "hash:%d", i);
		assert_false(ask(&w, &probes[i], pair));
	}
	assert_true(ask(&w, &probes[i], "hash:x"));
	assert_int_equal(probes[i].status, ERR_BUSY);
	/* from the last to the one that runs, so that none takes its place */
	for (i = USERS_BURST - 1; i >= 0; i--)
		call_cancel(&probes[i].check.call);
	while (ended < USERS_BURST && loop_turn(&w.loop))
		;
	for (i = 0; i < USERS_BURST; i++)
		assert_int_equal(probes[i].status, ERR_CANCELED);
	assert_int_equal(w.children.started, 1);
	end(&w);
}

static void test_cancel(void **state)
{
	struct probe a, b, c;
	struct world w;

	(void)state;
	begin(&w, false);
	with_hash(&w);
	open_users(&w, hang);
	assert_false(ask(&w, &a, "hash:first"));
	assert_false(ask(&w, &b, "hash:first"));
	/* one of two goes, the child stays */
	call_cancel(&a.check.call);
	assert_int_equal(a.ends, 0);
	wait_end(&w, &a);
	assert_int_equal(a.status, ERR_CANCELED);
	assert_int_equal(b.ends, 0);
	assert_int_equal(w.children.started, 1);
	/* the last one goes, and somebody comes for the same before the child has ended */
	call_cancel(&b.check.call);
	assert_false(ask(&w, &c, "hash:first"));
	wait_end(&w, &b);
	assert_int_equal(b.status, ERR_CANCELED);
	assert_int_equal(c.ends, 0);
	assert_int_equal(w.children.started, 2);
	call_cancel(&c.check.call);
	wait_end(&w, &c);
	assert_int_equal(c.status, ERR_CANCELED);
	end(&w);
}

/* A verifier that does not work is nobody's failure. */
static void test_broken(void **state)
{
	const char *verifiers[] = { broken, "/nowhere/osbd", "" };
	struct probe probe;
	struct world w;
	size_t v;
	int i;

	(void)state;
	for (v = 0; v < ARRAY_LEN(verifiers); v++) {
		begin(&w, false);
		with_hash(&w);
		open_users(&w, verifiers[v]);
		for (i = 0; i < USERS_BURST + 2; i++) {
			assert_false(ask(&w, &probe, "hash:first"));
			wait_end(&w, &probe);
			assert_int_equal(probe.status, ERR_BUSY);
			assert_int_equal(probe.check.retry_after, 1);
		}
		assert_true(failures(&w, "unverified") == USERS_BURST + 2);
		end(&w);
	}
}

static void on_child(struct call *call, int status)
{
	assert_int_equal(status, 0);
	*(bool *)call->data = true;
}

static void test_verifier(void **state)
{
	char hash[CRYPT_OUTPUT_SIZE], text[4][2 * CRYPT_OUTPUT_SIZE], *big;
	struct {
		const char *in;
		size_t n;
		int code;
	} rows[8];
	struct world w;
	size_t i, n;

	(void)state;
	begin(&w, false);
	hash_of("right", "$2b$", 4, hash);
	n = strlen(hash) + 1;
	strcpy(text[0], hash);
	strcpy(text[0] + n, "right");
	strcpy(text[1], hash);
	strcpy(text[1] + n, "rightx");
	strcpy(text[2], hash);
	memcpy(text[2] + n, "right\0x", 8);
	memcpy(text[3], "$y$nonsense\0right", 18);
	big = calloc(1, 100000);
	memset(big, 'x', 100000);
	memcpy(big, hash, n);
	rows[0].in = text[0], rows[0].n = n + 5, rows[0].code = USERS_RIGHT;
	rows[1].in = text[1], rows[1].n = n + 6, rows[1].code = USERS_WRONG;
	rows[2].in = text[0], rows[2].n = n, rows[2].code = USERS_WRONG;
	rows[3].in = text[0], rows[3].n = n - 1, rows[3].code = USERS_UNUSABLE;
	rows[4].in = text[2], rows[4].n = n + 7, rows[4].code = USERS_UNUSABLE;
	rows[5].in = text[3], rows[5].n = 17, rows[5].code = USERS_UNUSABLE;
	rows[6].in = "", rows[6].n = 0, rows[6].code = USERS_UNUSABLE;
	rows[7].in = big, rows[7].n = n + USERS_PASSWORD_MAX + 1, rows[7].code = USERS_WRONG;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const char *argv[] = { self, "verify-password", NULL }, *env[] = { NULL };
		struct child_options options = { .argv = argv,
						 .env = env,
						 .in = str_make(rows[i].in, rows[i].n) };
		struct child child = { 0 };
		bool done = false;

		child.call.done = on_child;
		child.call.data = &done;
		assert_int_equal(child_start(&child, &w.children, &w.arena, &options), 0);
		assert_true(loop_run_until(&w.loop, &done));
		if (child.exit_code != rows[i].code)
			fail_msg("row %zu: %d: %s", i, child.exit_code, child.err);
		assert_int_equal(child.out.n, 0);
	}
	free(big);
	end(&w);
}

/* -- the configuration ----------------------------------------------------------------------- */

static void test_hash_fault(void **state)
{
	static const struct {
		const char *prefix;
		unsigned long cost;
		int weak; /* -1: releases differ */
	} good[] = {
		{ "$y$", 1, 0 },  { "$gy$", 1, 0 },    { "$7$", 6, 0 },     { "$2b$", 4, 0 },
		{ "$2y$", 4, 0 }, { "$6$", 1000, -1 }, { "$5$", 1000, -1 }, { "$sha1$", 4, 1 },
		{ "$1$", 0, 1 },  { "", 0, 1 },        { "_", 1, 1 },
	};
	static const char *const bad[] = {
		"",           "hunter2",     "correct horse", "$y$",           "$9$abc$def",
		"$2b$04$abc", "$y$j75$salt", "$6$salt$cut",   "$6$salt\n$cut", "*",
		"!",
	};
	char hash[CRYPT_OUTPUT_SIZE], longer[CRYPT_OUTPUT_SIZE + 1];
	bool weak;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		const char *fault;

		hash_of("password", good[i].prefix, good[i].cost, hash);
		fault = users_hash_fault(str_of(hash), &weak);
		if (fault)
			fail_msg("%s: %s", hash, fault);
		if (good[i].weak >= 0 && weak != (good[i].weak == 1))
			fail_msg("%s: weak %d", hash, weak);
		hash[strlen(hash) - 1] = '\0';
		if (!users_hash_fault(str_of(hash), &weak))
			fail_msg("%s: passes", hash);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (!users_hash_fault(str_of(bad[i]), &weak))
			fail_msg("%s: passes", bad[i]);
	memset(longer, 'x', sizeof(longer));
	assert_non_null(users_hash_fault(str_make(longer, sizeof(longer)), &weak));
}

static void test_lint(void **state)
{
	struct conf_errors errors = { .file = "osbd.yml" };
	struct json node = { .line = 7, .column = 5 };
	char hash[CRYPT_OUTPUT_SIZE], *longer;
	struct buf text = { 0 };
	struct world w;

	(void)state;
	begin(&w, true);
	with_hash(&w);
	users_lint(&w.config, &errors);
	assert_int_equal(errors.n, 0);

	w.user[0].node = &node;
	w.user[0].name = STR("c:c");
	add_password(&w.user[0], false, "canary\n");
	w.user[1].name = STR("ops\x7f");
	secret_finish(&w.user[1].passwords[1].text);
	longer = calloc(1, USERS_PAIR_MAX);
	memset(longer, 'x', USERS_PAIR_MAX - 1);
	secret_set(&w.user[1].passwords[1].text, str_of(longer));
	free(longer);
	w.user[2].passwords[0].crypt = true; /* but it is no hash */
	hash_of("canary", "$1$", 0, hash);
	secret_finish(&w.user[3].passwords[0].text);
	secret_set(&w.user[3].passwords[0].text, str_of(hash));
	users_lint(&w.config, &errors);
	conf_errors_print(&errors, &text);
	assert_non_null(strstr(text.p, "osbd.yml:7:5: users[0]: a name is not empty"));
	assert_non_null(strstr(text.p, "users[0]: password 2 holds what HTTP Basic cannot carry"));
	assert_non_null(strstr(text.p, "users[1]: a name is not empty"));
	assert_non_null(strstr(text.p, "users[1]: name and password 2 are longer than 2047 bytes"));
	assert_non_null(strstr(text.p, "users[2]: password 1 is not a crypt(3) hash"));
	assert_non_null(strstr(text.p, "warning: users[3]: password 1 is hashed with a weak"));
	assert_int_equal(errors.n_errors, 5);
	assert_int_equal(errors.n_warnings, 1);
	assert_null(strstr(text.p, "canary"));
	assert_null(strstr(text.p, "$1$"));
	assert_null(strstr(text.p, "look"));
	buf_finish(&text);
	conf_errors_finish(&errors);
	end(&w);
}

/* -- what is said ------------------------------------------------------------------------------ */

static void test_secrets(void **state)
{
	char lines[8192];
	struct buf text = { 0 };
	struct world w;
	size_t n;

	(void)state;
	begin(&w, false);
	with_hash(&w);
	open_users(&w, self);
	status_of(&w, "spy:look");
	status_wait(&w, "cc:canary");
	status_wait(&w, "canary:x");
	status_wait(&w, "hash:canary");
	status_wait(&w, "hash:first");
	log_sink_flush(w.log.sink);
	rewind(w.lines);
	n = fread(lines, 1, sizeof(lines) - 1, w.lines);
	lines[n] = '\0';
	assert_non_null(strstr(lines, "wrong password from 127.0.0.1 for user cc"));
	assert_non_null(strstr(lines, "wrong password from 127.0.0.1 for user (unknown)"));
	assert_non_null(strstr(lines, "user spy from 127.0.0.1 may not use platform default"));
	assert_null(strstr(lines, "canary"));
	assert_null(strstr(lines, "look"));
	assert_null(strstr(lines, "first"));
	metric_render(&w.metrics, &text);
	assert_non_null(strstr(text.p, "osbd_auth_failures_total{reason=\"wrong\"} 3\n"));
	assert_non_null(strstr(text.p, "osbd_auth_verifications_total 7\n"));
	buf_finish(&text);
	end(&w);
}

static int make_links(void **state)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (n <= 0)
		return -1;
	self[n] = '\0';
	strcpy(links, "/tmp/users_test.XXXXXX");
	if (!mkdtemp(links))
		return -1;
	snprintf(hang, sizeof(hang), "%s/hang", links);
	snprintf(broken, sizeof(broken), "%s/broken", links);
	return symlink(self, hang) || symlink(self, broken) ? -1 : 0;
}

static int remove_links(void **state)
{
	(void)state;
	return unlink(hang) || unlink(broken) || rmdir(links) ? -1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),     cmocka_unit_test(test_long_header),
		cmocka_unit_test(test_none),       cmocka_unit_test(test_roles),
		cmocka_unit_test(test_limits),     cmocka_unit_test(test_flood),
		cmocka_unit_test(test_buckets),    cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_hashes),     cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_burst),      cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_broken),     cmocka_unit_test(test_verifier),
		cmocka_unit_test(test_hash_fault), cmocka_unit_test(test_lint),
		cmocka_unit_test(test_secrets),
	};

	if (argc == 2 && strcmp(argv[1], "verify-password") == 0) {
		if (str_ends(str_of(argv[0]), STR("/hang")))
			for (;;)
				pause();
		if (str_ends(str_of(argv[0]), STR("/broken")))
			return 7;
		return users_verify_main();
	}
	return cmocka_run_group_tests(tests, make_links, remove_links);
}
