/* SPDX-License-Identifier: Apache-2.0 */
/* Run as `users_hash_test verify-password` this program is the verifier, as osbd is; by the name
 * "hang" it never ends, by the name "broken" it fails. */
#include "users_world.h"

#include <unistd.h>

static char self[1024], links[64], hang[128], broken[128];

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
		char pair[24];

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
	strcpy(links, "/tmp/users_hash_test.XXXXXX");
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
