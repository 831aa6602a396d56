/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_same.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char *same(struct arena *arena, const char *text)
{
	struct buf buf = { 0 };
	struct json *v;
	struct err err;
	char *copy;

	assert_int_equal(json_parse(arena, str_of(text), NULL, &v, &err), 0);
	json_write_same(&buf, v);
	copy = arena_strdup(arena, buf.p);
	buf_finish(&buf);
	return copy;
}

static void test_equal_values_have_equal_texts(void **state)
{
	static const char *const values[] = {
		"null",
		"true",
		"false",
		"\"\"",
		"\"a\"",
		"\"\\u0061\"",
		"0",
		"-0",
		"0.0",
		"0e9",
		"1",
		"1.0",
		"1e0",
		"10e-1",
		"100",
		"1e2",
		"-1",
		"-1.0",
		"12.5",
		"1250e-2",
		"0.1",
		"18446744073709551616",
		"1.8446744073709551616e19",
		"[]",
		"[1,2]",
		"[1.0,2e0]",
		"[2,1]",
		"{}",
		"{\"a\":1,\"b\":[{}]}",
		"{\"b\":[{}],\"a\":1.0}",
		"{\"a\":1}",
	};
	struct arena arena = { 0 };
	struct err err;
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(values); i++)
		for (k = 0; k < ARRAY_LEN(values); k++) {
			struct json *a, *b;

			assert_int_equal(json_parse(&arena, str_of(values[i]), NULL, &a, &err), 0);
			assert_int_equal(json_parse(&arena, str_of(values[k]), NULL, &b, &err), 0);
			assert_int_equal(json_equal(a, b), strcmp(same(&arena, values[i]),
								  same(&arena, values[k])) == 0);
		}
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_values_have_equal_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
