/* SPDX-License-Identifier: Apache-2.0 */
#include "core/regex.h"

#include "core/buf.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_match(void **state)
{
	static const struct {
		const char *pattern, *subject;
		bool matched;
	} rows[] = {
		{ "b+", "abbc", true }, /* anywhere */
		{ "^a*$", "aaa", true },
		{ "^a*$", "aaa\n", false },
		{ "^a.c$", "a\nc", false },
		{ "^.$", "\xc3\xa4", true },
		{ "^\\d$", "\xd9\xa3", false }, /* ARABIC-INDIC DIGIT THREE */
		{ "^\\w$", "\xc3\xa9", false },
		{ "^\\s$", "\xe2\x80\x83", true }, /* EM SPACE */
		{ "^[\\s]$", "\xef\xbb\xbf", true },
		{ "^\\S$", "\xc2\xa0", false },
		{ "^\\s$", "\xc2\x85", false },
		{ "^\\cC$", "\x03", true },
		{ "^\\u00e4$", "\xc3\xa4", true },
		{ "^\\x41$", "A", true },
		{ "^\\ud83d\\ude00$", "\xf0\x9f\x98\x80", true },
		{ "^[\\ud83d\\ude00-\\ud83d\\ude02]$", "\xf0\x9f\x98\x81", true },
		{ "^[[a]$", "[", true },
		{ "^[[:alpha:]]$", "x", false },
		{ "^[[:alpha:]]$", "l]", true },
		{ "[]", "a", false },
		{ "^[^]$", "\n", true },
		{ "^[a\\]b]+$", "a]b", true },
		{ "^(?:a|b)(?=c)", "bc", true },
		{ "^(a)?\\1b$", "b", true }, /* what did not take part is empty */
		{ "^[\\w.-]+/\\d{1,3}$", "a-b.c/12", true },
		{ "^\\p{Lu}", "\xc3\x84", true },
		{ "^\\v$", "\n", false },
		{ "^(a|b)*$", "", true },
		{ "", "x", true },
	};
	struct arena arena = { 0 };
	struct regex *regex;
	struct err err;
	bool matched;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (regex_compile(&arena, str_of(rows[i].pattern), &regex, &err))
			fail_msg("%s: %s", rows[i].pattern, err.text);
		matched = !rows[i].matched;
		assert_int_equal(regex_match(regex, str_of(rows[i].subject), &matched, NULL, &err),
				 0);
		if (matched != rows[i].matched)
			fail_msg("%s on %s", rows[i].pattern, rows[i].subject);
	}
	assert_int_equal(regex_compile(&arena, STR("^a\\u0000b$"), &regex, &err), 0);
	assert_int_equal(regex_match(regex, str_make("a\0b", 3), &matched, NULL, &err), 0);
	assert_true(matched);
	assert_int_equal(regex_match(regex, STR("\xff"), &matched, NULL, &err), ERR_INVALID);
	arena_finish(&arena);
}

static void test_refused(void **state)
{
	static const struct {
		const char *pattern, *error;
	} rows[] = {
		{ "^(abc]", "missing closing parenthesis at offset 6" },
		{ "^a\\Z", "unknown escape at offset 2" },
		{ "\\Aa", "unknown escape at offset 0" },
		{ "a\\", "unknown escape at offset 1" },
		{ "\\C", "unknown escape at offset 0" },
		{ "*a", NULL },
		{ "(*LIMIT_MATCH=4000000000)a", NULL },
		{ "[b-a]", NULL },
		{ "a{2,1}", NULL },
		{ "[a", NULL },
		{ "\xff", NULL },
	};
	struct arena arena = { 0 };
	struct buf buf = { NULL, 0, 0 };
	struct regex *regex;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (regex_compile(&arena, str_of(rows[i].pattern), &regex, &err) != ERR_SYNTAX)
			fail_msg("accepted: %s", rows[i].pattern);
		if (rows[i].error)
			assert_string_equal(err.text, rows[i].error);
	}
	for (i = 0; i < 2000; i++)
		buf_putc(&buf, '(');
	assert_int_equal(regex_compile(&arena, buf_str(&buf), &regex, &err), ERR_SYNTAX);
	memset(buf_room(&buf, 9000), 'a', 9000);
	buf.n += 9000;
	assert_int_equal(regex_compile(&arena, buf_str(&buf), &regex, &err), ERR_TOOBIG);
	buf_finish(&buf);
	arena_finish(&arena);
}

/* A match that runs away is an error; one that is merely long is not. */
static void test_effort(void **state)
{
	struct arena arena = { 0 };
	struct buf buf = { NULL, 0, 0 };
	struct regex *regex;
	unsigned effort;
	struct err err;
	bool matched = false;
	int i;

	(void)state;
	assert_int_equal(regex_compile(&arena, STR("^(a+)+$"), &regex, &err), 0);
	assert_int_equal(regex_match(regex, STR("aaaa"), &matched, &effort, &err), 0);
	assert_true(matched);
	assert_int_equal(effort, 1000);
	assert_int_equal(regex_match(regex, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
				     &matched, &effort, &err),
			 ERR_TOOBIG);
	assert_int_equal(effort, REGEX_EFFORT_MAX);

	assert_int_equal(regex_compile(&arena, STR("^(?:[a-z]|[0-9])*$"), &regex, &err), 0);
	for (i = 0; i < 8000; i++)
		buf_putc(&buf, "a1"[i & 1]);
	assert_int_equal(regex_match(regex, buf_str(&buf), &matched, &effort, &err), 0);
	assert_true(matched);
	buf_finish(&buf);
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_effort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
