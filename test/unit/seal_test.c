/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mem.h"
#include "store/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static const struct seal_place here = { "instance", "data", 7 };

static struct seal_keys *keys_of(const char *first_id, const char *first, const char *second_id,
				 const char *second)
{
	struct seal_keys *keys = seal_keys_create();

	assert_int_equal(seal_keys_add(keys, str_of(first_id), str_of(first), NULL), 0);
	if (second_id)
		assert_int_equal(seal_keys_add(keys, str_of(second_id), str_of(second), NULL), 0);
	return keys;
}

static void test_round_trip(void **state)
{
	struct seal_keys *keys = keys_of("a", KEY_A, NULL, NULL);
	struct arena arena = { 0 };
	struct buf sealed = { 0 }, again = { 0 };
	struct str plain = STR("the password is hunter2"), out;
	char large[5000];

	(void)state;
	seal_close(keys, &here, plain, &sealed);
	assert_int_equal(sealed.n, 2 + 1 + 12 + plain.n + 16);
	assert_null(memmem(sealed.p, sealed.n, "hunter2", 7));
	assert_int_equal(seal_open(keys, &here, buf_str(&sealed), &arena, &out), 0);
	assert_true(str_eq(out, plain));
	assert_int_equal(out.p[out.n], '\0');
	seal_close(keys, &here, plain, &again);
	assert_false(str_eq(buf_str(&sealed), buf_str(&again))); /* another nonce */
	memset(large, 'x', sizeof(large));
	buf_clear(&sealed);
	seal_close(keys, &here, str_make(large, sizeof(large)), &sealed);
	assert_int_equal(seal_open(keys, &here, buf_str(&sealed), &arena, &out), 0);
	assert_int_equal(out.n, sizeof(large));
	buf_clear(&sealed);
	seal_close(keys, &here, STR(""), &sealed);
	assert_int_equal(seal_open(keys, &here, buf_str(&sealed), &arena, &out), 0);
	assert_int_equal(out.n, 0);
	buf_finish(&sealed);
	buf_finish(&again);
	arena_finish(&arena);
	seal_keys_destroy(keys);
}

static void test_nonces_differ(void **state)
{
	struct seal_keys *keys = keys_of("a", KEY_A, NULL, NULL);
	char seen[200][12];
	size_t i, k;

	(void)state;
	for (i = 0; i < 200; i++) {
		struct buf sealed = { 0 };

		seal_close(keys, &here, STR("x"), &sealed);
		memcpy(seen[i], sealed.p + 3, 12);
		for (k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], 12);
		buf_finish(&sealed);
	}
	seal_keys_destroy(keys);
}

/* Every bit counts, and so does the place. */
static void test_altered(void **state)
{
	static const struct seal_place places[] = {
		{ "binding", "data", 7 },
		{ "instance", "memo", 7 },
		{ "instance", "data", 8 },
		{ "instancedata", "", 7 },
	};
	struct seal_keys *keys = keys_of("a", KEY_A, NULL, NULL);
	struct arena arena = { 0 };
	struct buf sealed = { 0 };
	struct str out;
	size_t i;

	(void)state;
	seal_close(keys, &here, STR("secret"), &sealed);
	for (i = 0; i < ARRAY_LEN(places); i++)
		assert_int_equal(seal_open(keys, &places[i], buf_str(&sealed), &arena, &out),
				 ERR_SEALED);
	for (i = 0; i < sealed.n * 8; i++) {
		sealed.p[i / 8] ^= (char)(1 << (i % 8));
		assert_int_equal(seal_open(keys, &here, buf_str(&sealed), &arena, &out),
				 ERR_SEALED);
		sealed.p[i / 8] ^= (char)(1 << (i % 8));
	}
	for (i = 0; i < sealed.n; i++)
		assert_int_equal(seal_open(keys, &here, str_make(sealed.p, i), &arena, &out),
				 ERR_SEALED);
	assert_int_equal(seal_open(keys, &here, buf_str(&sealed), &arena, &out), 0);
	buf_finish(&sealed);
	arena_finish(&arena);
	seal_keys_destroy(keys);
}

static void test_rotation(void **state)
{
	struct seal_keys *old = keys_of("old", KEY_A, NULL, NULL);
	struct seal_keys *both = keys_of("new", KEY_B, "old", KEY_A);
	struct seal_keys *new = keys_of("new", KEY_B, NULL, NULL);
	struct seal_keys *liar = keys_of("old", KEY_B, NULL, NULL);
	struct arena arena = { 0 };
	struct buf sealed = { 0 };
	struct str out;

	(void)state;
	seal_close(old, &here, STR("secret"), &sealed);
	assert_true(str_is(seal_key_id(buf_str(&sealed)), "old"));
	assert_true(seal_is_current(old, buf_str(&sealed)));
	assert_false(seal_is_current(both, buf_str(&sealed)));
	assert_int_equal(seal_open(both, &here, buf_str(&sealed), &arena, &out), 0);
	assert_true(str_is(out, "secret"));
	assert_int_equal(seal_open(new, &here, buf_str(&sealed), &arena, &out), ERR_SEALED);
	assert_int_equal(seal_open(liar, &here, buf_str(&sealed), &arena, &out), ERR_SEALED);
	buf_clear(&sealed);
	seal_close(both, &here, STR("secret"), &sealed);
	assert_true(str_is(seal_key_id(buf_str(&sealed)), "new"));
	assert_int_equal(seal_open(new, &here, buf_str(&sealed), &arena, &out), 0);
	assert_int_equal(seal_open(old, &here, buf_str(&sealed), &arena, &out), ERR_SEALED);
	seal_keys_add_all(old, both);
	assert_int_equal(seal_keys_count(old), 2); /* "old" is there already */
	assert_int_equal(seal_open(old, &here, buf_str(&sealed), &arena, &out), 0);
	buf_finish(&sealed);
	arena_finish(&arena);
	seal_keys_destroy(old);
	seal_keys_destroy(both);
	seal_keys_destroy(new);
	seal_keys_destroy(liar);
	seal_keys_destroy(NULL);
}

static void test_key_forms(void **state)
{
	static const char base64[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
	struct seal_keys *hex = keys_of("k", KEY_A, NULL, NULL);
	struct seal_keys *b64 = keys_of("k", base64, NULL, NULL);
	struct arena arena = { 0 };
	struct buf sealed = { 0 };
	struct err err;
	struct str out;
	char long_id[SEAL_KEY_ID_MAX + 1];

	(void)state;
	seal_close(hex, &here, STR("secret"), &sealed);
	assert_int_equal(seal_open(b64, &here, buf_str(&sealed), &arena, &out), 0);
	memset(long_id, 'k', sizeof(long_id));
	assert_int_equal(seal_keys_add(hex, str_make(long_id, sizeof(long_id)), STR(KEY_A), &err),
			 ERR_INVALID);
	assert_int_equal(seal_keys_add(hex, STR(""), STR(KEY_A), &err), ERR_INVALID);
	assert_int_equal(seal_keys_add(hex, STR("k"), STR(KEY_B), &err), ERR_EXISTS);
	assert_non_null(strstr(err.text, "\"k\""));
	assert_int_equal(seal_keys_add(hex, STR("l"), STR("hunter2"), &err), ERR_SYNTAX);
	assert_null(strstr(err.text, "hunter2"));
	assert_int_equal(seal_keys_add(hex, STR("l"), STR(KEY_A "0"), &err), ERR_SYNTAX);
	assert_int_equal(seal_keys_count(hex), 1);
	assert_int_equal(seal_keys_add(hex, str_make(long_id, SEAL_KEY_ID_MAX), STR(KEY_A), &err),
			 0);
	buf_finish(&sealed);
	arena_finish(&arena);
	seal_keys_destroy(hex);
	seal_keys_destroy(b64);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void test_key_file(void **state)
{
	char dir[] = "/tmp/seal-XXXXXX", path[64], nowhere[64];
	struct seal_keys *keys = seal_keys_create(), *again = seal_keys_create();
	struct arena arena = { 0 };
	struct buf sealed = { 0 };
	struct stat st;
	struct err err;
	struct str out;
	bool made;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/seal.key", dir);
	snprintf(nowhere, sizeof(nowhere), "%s/none/seal.key", dir);
	assert_int_equal(seal_keys_add_file(keys, path, false, &made, &err), ERR_NOENT);
	assert_int_equal(seal_keys_add_file(keys, nowhere, true, &made, &err), ERR_IO);
	assert_int_equal(seal_keys_add_file(keys, path, true, &made, &err), 0);
	assert_true(made);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 65);
	assert_int_equal(seal_keys_add_file(again, path, true, &made, &err), 0);
	assert_false(made);
	seal_close(keys, &here, STR("secret"), &sealed);
	assert_int_equal(seal_open(again, &here, buf_str(&sealed), &arena, &out), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(seal_keys_add_file(keys, path, true, &made, &err), ERR_ACCESS);
	assert_non_null(strstr(err.text, "0640"));
	write_file(path, KEY_A, 0600);
	assert_int_equal(seal_keys_add_file(keys, path, true, &made, &err), 0);
	write_file(path, KEY_A "\nmore\n", 0600);
	assert_int_equal(seal_keys_add_file(keys, path, true, &made, &err), ERR_SYNTAX);
	write_file(path, "", 0600); /* never taken for "no key yet" */
	assert_int_equal(seal_keys_add_file(keys, path, true, &made, &err), ERR_SYNTAX);
	unlink(path);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
	buf_finish(&sealed);
	arena_finish(&arena);
	seal_keys_destroy(keys);
	seal_keys_destroy(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_nonces_differ),
		cmocka_unit_test(test_altered),    cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_key_forms),  cmocka_unit_test(test_key_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
