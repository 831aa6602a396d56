/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The example of RFC 7677: its salt, and the keys that follow from it. */
static void test_rfc_7677(void **state)
{
	static const unsigned char salt[PG_SCRAM_SALT] = { 0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12,
							   0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14,
							   0x12, 0x36, 0xfa, 0x81 };
	struct arena arena = { 0 };
	struct str out;

	(void)state;
	assert_int_equal(pg_scram(&arena, STR("pencil"), salt, &out), 0);
	assert_string_equal(out.p, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
				   "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
				   ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	arena_finish(&arena);
}

static void test_random_salt(void **state)
{
	struct arena arena = { 0 };
	struct str one, two;

	(void)state;
	assert_int_equal(pg_scram(&arena, STR("pencil"), NULL, &one), 0);
	assert_int_equal(pg_scram(&arena, STR("pencil"), NULL, &two), 0);
	assert_false(str_eq(one, two));
	assert_int_equal(one.n, two.n);
	arena_finish(&arena);
}

static void test_what_saslprep_may_change(void **state)
{
	struct arena arena = { 0 };
	struct str out;

	(void)state;
	assert_int_equal(pg_scram(&arena, STR("p\xc3\xa4"), NULL, &out), ERR_INVALID);
	assert_int_equal(pg_scram(&arena, STR("a\tb"), NULL, &out), ERR_INVALID);
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_7677),
		cmocka_unit_test(test_random_salt),
		cmocka_unit_test(test_what_saslprep_may_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
