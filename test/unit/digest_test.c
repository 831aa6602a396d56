/* Test vectors: FIPS 180-4 and RFC 1321, 4231, 4648. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_vectors(void **state)
{
	unsigned char out[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	(void)state;
	digest_sha256("abc", 3, out);
	hex_encode(out, SHA256_SIZE, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_md5("message digest", 14, out);
	hex_encode(out, MD5_SIZE, hex);
	assert_string_equal(hex, "f96b697d7cb7938d525a2f31aaf161d0");
	digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
	hex_encode(out, SHA256_SIZE, hex);
	assert_string_equal(hex,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_base64(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	static const char *const bad[] = { "Zg=", "Zg", "Z", "Zm9v!", "====", "Zg==Zg==" };
	struct arena arena = { 0 };
	struct str out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		out = base64_encode(&arena, pairs[i][0], strlen(pairs[i][0]));
		assert_true(str_is(out, pairs[i][1]));
		assert_int_equal(base64_decode(&arena, str_of(pairs[i][1]), &out), 0);
		assert_true(str_is(out, pairs[i][0]));
	}
	assert_int_equal(base64_decode(&arena, STR("Zm9v\r\n YmFy\t"), &out), 0);
	assert_true(str_is(out, "foobar"));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(&arena, str_of(bad[i]), &out), ERR_SYNTAX);
	arena_finish(&arena);
}

static void test_random(void **state)
{
	char a[21], b[21];
	size_t i;

	(void)state;
	random_id(a, 20);
	random_id(b, 20);
	assert_int_equal(strlen(a), 20);
	assert_string_not_equal(a, b);
	for (i = 0; i < 20; i++)
		assert_true((a[i] >= '0' && a[i] <= '9') || (a[i] >= 'a' && a[i] <= 'z'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
