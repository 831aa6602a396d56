/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mem.h"
#include "core/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_decode(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *out;
		size_t n;
	} rows[] = {
		{ "", 0, "", 0 },
		{ "plain", 0, "plain", 5 },
		{ "a%20b", 0, "a b", 3 },
		{ "a+b", 0, "a+b", 3 },
		{ "%2F%2f", 0, "//", 2 },
		{ "%00%fF", 0, "\0\xff", 2 },
		{ "%25%32%30", 0, "%20", 3 },
		{ "%", ERR_SYNTAX, NULL, 0 },
		{ "a%2", ERR_SYNTAX, NULL, 0 },
		{ "%g0", ERR_SYNTAX, NULL, 0 },
		{ "%0g", ERR_SYNTAX, NULL, 0 },
		{ "%%41", ERR_SYNTAX, NULL, 0 },
		{ "%+1", ERR_SYNTAX, NULL, 0 },
	};
	struct arena arena = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct str out;

		assert_int_equal(url_decode(&arena, str_of(rows[i].text), &out), rows[i].rc);
		if (rows[i].rc)
			continue;
		assert_int_equal(out.n, rows[i].n);
		assert_memory_equal(out.p, rows[i].out, rows[i].n);
	}
	arena_finish(&arena);
}

static void test_encode(void **state)
{
	struct arena arena = { 0 };
	char all[256];
	struct str encoded, back;
	int i;

	(void)state;
	encoded = url_encode(&arena, STR("a b/c~\xff"));
	assert_true(str_is(encoded, "a%20b%2Fc~%FF"));
	assert_int_equal(encoded.p[encoded.n], '\0');
	for (i = 0; i < 256; i++)
		all[i] = (char)i;
	encoded = url_encode(&arena, str_make(all, sizeof(all)));
	assert_int_equal(url_decode(&arena, encoded, &back), 0);
	assert_true(str_eq(back, str_make(all, sizeof(all))));
	arena_finish(&arena);
}

static void test_segments(void **state)
{
	static const struct {
		const char *path, *segments; /* each followed by | */
	} rows[] = {
		{ "", "" },
		{ "/", "|" },
		{ "/v2/catalog", "v2|catalog|" },
		{ "/v2/", "v2||" },
		{ "/a%2Fb/..", "a%2Fb|..|" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct str path = str_of(rows[i].path), segment;
		char out[64] = "";

		while (url_segment(&path, &segment)) {
			strncat(out, segment.p, segment.n);
			strcat(out, "|");
		}
		assert_string_equal(out, rows[i].segments);
	}
}

static void test_query(void **state)
{
	static const struct {
		const char *query, *name;
		int rc;
		const char *value; /* NULL: absent */
	} rows[] = {
		{ "", "a", 0, NULL },
		{ "b=1", "a", 0, NULL },
		{ "a=1", "a", 0, "1" },
		{ "x=2&a=1&y", "a", 0, "1" },
		{ "a", "a", 0, "" },
		{ "a=", "a", 0, "" },
		{ "&&a=1&", "a", 0, "1" },
		{ "a=b=c", "a", 0, "b=c" },
		{ "a=1+2%2B3%26", "a", 0, "1 2+3&" },
		{ "%61=1", "a", 0, "1" },
		{ "A=1", "a", 0, NULL },
		{ "a=1&a=1", "a", ERR_EXISTS, NULL },
		{ "a=1&%61=2", "a", ERR_EXISTS, NULL },
		{ "a&a", "a", ERR_EXISTS, NULL },
		{ "a=%4", "a", ERR_SYNTAX, NULL },
		{ "%4=1&a=1", "a", ERR_SYNTAX, NULL },
		{ "b=%4&a=1", "a", 0, "1" },
	};
	struct arena arena = { 0 };
	struct str out;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(url_query_get(&arena, str_of(rows[i].query), rows[i].name, &out),
				 rows[i].rc);
		if (rows[i].rc)
			continue;
		assert_int_equal(out.p == NULL, rows[i].value == NULL);
		if (rows[i].value)
			assert_true(str_is(out, rows[i].value));
	}
	assert_int_equal(url_query_get(&arena, str_make(NULL, 0), "a", &out), 0);
	assert_null(out.p);
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
