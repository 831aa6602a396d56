/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static struct json *parse(struct arena *arena, const char *text)
{
	struct json *v = NULL;
	struct err err = { 0 };

	if (json_parse(arena, str_of(text), NULL, &v, &err))
		fail_msg("%s: %s", text, err.text);
	return v;
}

static void assert_text(struct arena *arena, const struct json *v, const char *text)
{
	assert_string_equal(json_text(arena, v).p, text);
}

/* What goes in comes out, byte by byte, but for blanks and escapes. */
static void test_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ " null ", "null" },
		{ "true", "true" },
		{ "-0", "-0" },
		{ "18446744073709551616", "18446744073709551616" },
		{ "[99.95,1e400,1E+2,-1.50e-7]", "[99.95,1e400,1E+2,-1.50e-7]" },
		{ "\"\"", "\"\"" },
		{ "[ ]", "[]" },
		{ "{ }", "{}" },
		{ "{\"b\" : 1, \"a\" : {\"c\": [1, [2], {}]}}",
		  "{\"b\":1,\"a\":{\"c\":[1,[2],{}]}}" },
		{ "\"\\u00e4\\ud83d\\ude00\\/\"", "\"\xc3\xa4\xf0\x9f\x98\x80/\"" },
		{ "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\\\\\"\x7f\"",
		  "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\\\\\"\x7f\"" },
		{ "\"\xe2\x80\xa8\"", "\"\xe2\x80\xa8\"" },
	};
	struct arena arena = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct json *v = parse(&arena, rows[i].in);

		assert_text(&arena, v, rows[i].out);
		assert_text(&arena, json_copy(&arena, v), rows[i].out);
		assert_true(json_equal(v, parse(&arena, rows[i].out)));
	}
	arena_finish(&arena);
}

static void test_refused(void **state)
{
	static const struct {
		const char *in, *error; /* NULL: any */
	} rows[] = {
		{ "", "empty, not a JSON text" },
		{ " ", NULL },
		{ "{\"a\": 1,\n \"b\": {\"a\": 2, \"\xc3\xa4\": 3, \"a\": 4}}",
		  "line 2 column 24: duplicate key \"a\"" },
		{ "{\"a\": 1, \"xyz\": 2, \"\\u0061\": 3}",
		  "line 1 column 20: duplicate key \"a\"" },
		{ "[1] 2", "line 1 column 5: unexpected content after document" },
		{ "[1,]", NULL },
		{ "[01]", NULL },
		{ "[1.]", NULL },
		{ "[+1]", NULL },
		{ "[NaN]", NULL },
		{ "[Infinity]", NULL },
		{ "[1e1000000000]", "line 1 column 2: number with more than 1024 characters or an "
				    "exponent of more than 9 digits" },
		{ "{'a':1}", NULL },
		{ "// x\n1", NULL },
		{ "\xef\xbb\xbf{}", NULL },
		{ "\"\\ud800\"", NULL },
		{ "\"\\udc00\\ud800\"", NULL },
		{ "\"\xff\"", NULL },
		{ "\"\xed\xa0\x80\"", NULL },
		{ "\"\xc0\x80\"", NULL },
		{ "\"a\nb\"", NULL },
		{ "\"a\tb\"", NULL },
		{ "\"abc", NULL },
		{ "{\"a\"", NULL },
		{ "[[1,2]", NULL },
	};
	struct arena arena = { 0 };
	struct json *v;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		err.text[0] = '\0';
		v = NULL;
		if (json_parse(&arena, str_of(rows[i].in), NULL, &v, &err) == 0)
			fail_msg("accepted: %s", rows[i].in);
		assert_null(v);
		if (rows[i].error)
			assert_string_equal(err.text, rows[i].error);
		else if (strncmp(err.text, "line ", 5) != 0)
			fail_msg("%s: %s", rows[i].in, err.text);
	}
	assert_int_equal(json_parse(&arena, str_make("1\0", 2), NULL, &v, &err), ERR_SYNTAX);
	assert_int_equal(json_parse_object(&arena, STR("[1]"), NULL, &v, &err), ERR_SYNTAX);
	assert_string_equal(err.text, "must be a JSON object, not an array");
	arena_finish(&arena);
}

static void test_limits(void **state)
{
	struct json_limits limits = { .bytes = 20, .depth = 2 };
	struct arena arena = { 0 };
	struct buf buf = { 0 };
	struct json *v;
	struct err err;
	size_t i;

	(void)state;
	assert_int_equal(json_parse(&arena, STR("[[1]]"), &limits, &v, &err), 0);
	assert_int_equal(json_parse(&arena, STR("[{\"[[[\\\"[\":1}]"), &limits, &v, &err), 0);
	assert_int_equal(json_parse(&arena, STR("[[],[],[]]"), &limits, &v, &err), 0);
	assert_int_equal(json_parse(&arena, STR("[[[1]]]"), &limits, &v, &err), ERR_TOOBIG);
	assert_string_equal(err.text, "line 1 column 3: nested deeper than 2 levels");
	assert_int_equal(json_parse(&arena, STR("[1,2,3,4,5,6,7,8,9,1]"), &limits, &v, &err),
			 ERR_TOOBIG);
	assert_string_equal(err.text, "larger than 20 bytes");

	memset(buf_room(&buf, 100000), '[', 100000);
	buf.n = 100000;
	assert_int_equal(json_parse(&arena, buf_str(&buf), NULL, &v, &err), ERR_TOOBIG);
	assert_string_equal(err.text, "line 1 column 65: nested deeper than 64 levels");
	limits = (struct json_limits){ .depth = 100000 };
	assert_int_equal(json_parse(&arena, buf_str(&buf), &limits, &v, &err), ERR_TOOBIG);
	memset(buf.p + JSON_DEPTH_CAP, ']', JSON_DEPTH_CAP);
	buf.n = 2 * JSON_DEPTH_CAP;
	assert_int_equal(json_parse(&arena, buf_str(&buf), &limits, &v, &err), 0);
	assert_true(json_equal(v, json_copy(&arena, v)));

	buf_clear(&buf);
	for (i = 0; i < JSON_NUMBER_MAX; i++)
		buf_putc(&buf, '7');
	assert_int_equal(json_parse(&arena, buf_str(&buf), NULL, &v, &err), 0);
	buf_putc(&buf, '7');
	assert_int_equal(json_parse(&arena, buf_str(&buf), NULL, &v, &err), ERR_TOOBIG);
	buf_finish(&buf);
	arena_finish(&arena);
}

/* Above 16 members another way is taken. */
static void test_many_members(void **state)
{
	struct arena arena = { 0 };
	struct buf up = { 0 }, down = { 0 };
	struct json *a, *b;
	struct err err;
	char end[64];
	int i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		buf_printf(&up, "%s\"k%d\":%d", i ? "," : "{", i, i);
		buf_printf(&down, "%s\"k%d\":%d.0", i ? "," : "{", 4999 - i, 4999 - i);
	}
	buf_putc(&down, '}');
	snprintf(end, sizeof(end), "column %zu: duplicate key \"k7\"", up.n + 3);
	buf_puts(&up, ", \"k7\":1,\"k3\":1,\"k7\":2}");
	assert_int_equal(json_parse(&arena, buf_str(&up), NULL, &a, &err), ERR_SYNTAX);
	assert_non_null(strstr(err.text, end));
	buf_printf(&up, "%s", "");
	up.n -= strlen(", \"k7\":1,\"k3\":1,\"k7\":2}");
	buf_putc(&up, '}');
	a = parse(&arena, up.p);
	b = parse(&arena, down.p);
	assert_int_equal(json_len(a), 5000);
	assert_true(json_equal(a, b));
	json_set_int(&arena, b, "k4999", 1);
	assert_false(json_equal(a, b));
	json_set_int(&arena, b, "k4999", 4999);
	assert_true(json_equal(a, b));
	json_remove(b, "k1234");
	json_set_int(&arena, b, "other", 1234);
	assert_false(json_equal(a, b));
	buf_finish(&up);
	buf_finish(&down);
	arena_finish(&arena);
}

static void test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{ "1", "1.0", true },
		{ "1", "10e-1", true },
		{ "1", "0.001E3", true },
		{ "0", "-0.0e5", true },
		{ "12.34", "1234e-2", true },
		{ "1e400", "10e399", true },
		{ "1e400", "1e401", false },
		{ "9007199254740993", "9007199254740992", false },
		{ "0.1", "0.10000000000000000001", false },
		{ "1", "-1", false },
		{ "1", "true", false },
		{ "1", "\"1\"", false },
		{ "null", "false", false },
		{ "null", "null", true },
		{ "{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"a\":1.0}", true },
		{ "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
		{ "{\"a\":1,\"c\":2}", "{\"a\":1,\"b\":2}", false },
		{ "{\"a\":null}", "{}", false },
		{ "[1,2]", "[2,1]", false },
		{ "[1,2]", "[1,2,3]", false },
		{ "\"\\u0061\"", "\"a\"", true },
		{ "\"a\\u0000\"", "\"a\"", false },
	};
	struct arena arena = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct json *a = parse(&arena, rows[i].a), *b = parse(&arena, rows[i].b);

		if (json_equal(a, b) != rows[i].equal || json_equal(b, a) != rows[i].equal)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
		if ((json_hash(a) == json_hash(b)) != rows[i].equal)
			fail_msg("hashes of %s and %s", rows[i].a, rows[i].b);
	}
	assert_true(json_equal(NULL, NULL));
	assert_false(json_equal(NULL, parse(&arena, "null")));
	arena_finish(&arena);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *a, *b;
		int order;
	} order[] = {
		{ "1", "2", -1 },          { "-1", "-2", 1 },         { "0", "-1", 1 },
		{ "0.5", "0.45", 1 },      { "10", "9", 1 },          { "1e3", "999.999", 1 },
		{ "-1e3", "-999", -1 },    { "0", "0e9", 0 },         { "0.00001", "0", 1 },
		{ "123", "123.0001", -1 }, { "1e-400", "1e-401", 1 },
	};
	static const struct {
		const char *number, *of;
		bool multiple;
	} multiple[] = {
		{ "99.95", "0.01", true },
		{ "0.0075", "0.0001", true },
		{ "0.00751", "0.0001", false },
		{ "35", "1.5", false },
		{ "4.5", "1.5", true },
		{ "0", "7", true },
		{ "1e308", "0.5", true },
		{ "1e999999999", "7", false },
		{ "7e999999999", "7", true },
		{ "-21", "7", true },
		{ "100", "40", false },
		{ "1000", "40", true },
		{ "123456789012345678901234567891", "123456789", false },
		{ "1234567890123456789", "999999999999999989", false },
		{ "999999999999999989000", "999999999999999989", true },
		{ "1e2", "1e3", false },
		{ "12e5", "3e5", true },
	};
	static const char *const bad[] = { "",      "-",   "01",           "1.",  ".5",
					   "1e",    "1e+", "+1",           "0x1", "1 ",
					   "1e5.0", "--1", "1e1000000000", "-01", "1.5.5" };
	struct arena arena = { 0 };
	int64_t i64 = 7;
	double d = 0;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(order); i++) {
		struct str a = str_of(order[i].a), b = str_of(order[i].b);

		if (json_number_cmp(a, b) != order[i].order ||
		    json_number_cmp(b, a) != -order[i].order)
			fail_msg("%s and %s", order[i].a, order[i].b);
	}
	for (i = 0; i < ARRAY_LEN(multiple); i++)
		if (json_number_multiple_of(str_of(multiple[i].number), str_of(multiple[i].of)) !=
		    multiple[i].multiple)
			fail_msg("%s of %s", multiple[i].number, multiple[i].of);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (json_number_ok(str_of(bad[i])) || json_number(&arena, str_of(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	assert_false(json_number_divides(STR("0")));
	assert_false(json_number_divides(STR("-2")));
	assert_false(json_number_divides(STR("1234567890123456789")));

	assert_true(json_number_is_integer(STR("1.0")) &&
		    json_number_is_integer(STR("15e-1e")) == 0);
	assert_true(json_number_is_integer(STR("150e-1")) && json_number_is_integer(STR("0.0")));
	assert_false(json_number_is_integer(STR("1.5")) || json_number_is_integer(STR("15e-2")));

	assert_true(json_to_int(parse(&arena, "-9223372036854775808"), &i64));
	assert_true(i64 == INT64_MIN);
	assert_true(json_to_int(parse(&arena, "9223372036854775807"), &i64));
	assert_true(i64 == INT64_MAX);
	i64 = 7;
	assert_false(json_to_int(parse(&arena, "9223372036854775808"), &i64));
	assert_false(json_to_int(parse(&arena, "-9223372036854775809"), &i64));
	assert_false(json_to_int(parse(&arena, "1.0"), &i64));
	assert_false(json_to_int(parse(&arena, "\"1\""), &i64));
	assert_false(json_to_int(NULL, &i64));
	assert_int_equal(i64, 7);
	assert_true(json_to_double(parse(&arena, "2.5"), &d) && d > 2.4 && d < 2.6);
	assert_false(json_to_double(parse(&arena, "1e400"), &d));
	assert_true(json_to_double(parse(&arena, "1e-400"), &d));
	arena_finish(&arena);
}

static void test_build(void **state)
{
	struct arena arena = { 0 };
	struct buf buf = { 0 };
	struct json *obj = json_object(&arena), *list = json_array(&arena);
	const struct json_member *m;
	const struct json *item;
	char key[8], bytes[] = "key";
	size_t i, sum = 0;

	(void)state;
	json_set_str(&arena, obj, "s", str_make(bytes, 3));
	json_set_int(&arena, obj, bytes, INT64_MIN);
	memset(bytes, 'x', 3); /* text was copied */
	json_set_bool(&arena, obj, "b", true);
	json_set(&arena, obj, "n", json_null(&arena));
	json_set(&arena, obj, "absent", NULL);
	json_set_cstr(&arena, obj, "s", "replaced");
	json_set(&arena, obj, "list", list);
	for (i = 0; i < 9; i++)
		json_append(&arena, list, json_int(&arena, (int64_t)i));
	json_append(&arena, list, NULL);
	json_append(&arena, list, json_printf(&arena, "%d%%", 5));
	assert_text(&arena, obj,
		    "{\"s\":\"replaced\",\"key\":-9223372036854775808,\"b\":true,\"n\":null,"
		    "\"list\":[0,1,2,3,4,5,6,7,8,\"5%\"]}");
	assert_true(json_remove(obj, "key"));
	assert_false(json_remove(obj, "key"));
	assert_true(json_remove(obj, "list"));
	assert_text(&arena, obj, "{\"s\":\"replaced\",\"b\":true,\"n\":null}");
	json_write_pretty(&buf, obj, 2);
	assert_string_equal(buf.p, "{\n  \"s\": \"replaced\",\n  \"b\": true,\n  \"n\": null\n}");
	json_each_item(i, item, list)
		sum += json_is_number(item);
	assert_int_equal(sum, 9);

	for (i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "k%zu", i);
		json_set_int(&arena, obj, key, (int64_t)i);
	}
	sum = 0;
	json_each_member(m, obj)
		sum += m->key.n;
	assert_int_equal(sum, 1 + 1 + 1 + 10 * 2 + 30 * 3);
	assert_null(json_duplicate(obj));
	json_add(&arena, obj, STR("k9"), json_null(&arena));
	assert_ptr_equal(json_duplicate(obj), json_member_at(obj, json_len(obj) - 1));

	buf_clear(&buf);
	json_write(&buf, json_cstr(&arena, "a\xff\xc3(\xe2\x82z\xf0\x9f\x98"));
	assert_string_equal(buf.p, "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbdz"
				   "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	buf_clear(&buf);
	json_write(&buf, NULL);
	assert_string_equal(buf.p, "null");
	buf_finish(&buf);
	arena_finish(&arena);
}

static void test_read(void **state)
{
	struct arena arena = { 0 };
	struct json *v = parse(&arena, "{\"a\":{\"b\":[true,\"x\\u0000y\"]},\"\":0}");
	const struct json_member *m;
	const struct json *item;
	size_t i;

	(void)state;
	assert_true(json_bool_value(json_at(json_get(json_get(v, "a"), "b"), 0)));
	item = json_at(json_get(json_get(v, "a"), "b"), 1);
	assert_int_equal(json_str(item).n, 3);
	assert_memory_equal(json_str(item).p, "x\0y", 4);
	assert_null(json_get(json_get(v, "x"), "b"));
	assert_null(json_get(item, "x"));
	assert_null(json_at(v, 0));
	assert_null(json_at(json_get(json_get(v, "a"), "b"), 2));
	assert_non_null(json_get(v, ""));
	assert_int_equal(json_len(item), 0);
	assert_null(json_str(v).p);
	assert_false(json_bool_value(NULL));
	assert_string_equal(json_type_name(NULL), "nothing");
	json_each_member(m, item)
		fail_msg("a string has no members");
	json_each_item(i, item, v)
		fail_msg("an object has no items");
	arena_finish(&arena);
}

static void test_want(void **state)
{
	struct arena arena = { 0 };
	struct json *v =
		parse(&arena, "{\"s\":\"secret\",\"e\":\"\",\"z\":\"a\\u0000b\",\"n\":null,"
			      "\"i\":11,\"f\":1.5,\"one\":1.0,\"big\":1e30,\"t\":true,"
			      "\"l\":[\"a\",1],\"o\":{},\"ok\":[\"a\"]}");
	const struct json *found = NULL;
	const char *cstr = "default";
	struct str str = STR("default");
	int64_t i = 42;
	bool flag = false;
	struct err err;

	(void)state;
#define WANT_ERROR(call, error)                       \
	do {                                          \
		err.text[0] = '\0';                   \
		assert_int_equal(call, ERR_INVALID);  \
		assert_string_equal(err.text, error); \
	} while (0)
	assert_int_equal(json_want_string(v, "p", "s", JSON_REQUIRED, &str, &err), 0);
	assert_true(str_is(str, "secret"));
	assert_int_equal(json_want_string(v, "p", "absent", 0, &str, &err), 0);
	assert_int_equal(json_want_string(v, "p", "n", JSON_NULL_ABSENT, &str, &err), 0);
	assert_int_equal(json_want_string(NULL, "p", "n", 0, &str, &err), 0);
	assert_true(str_is(str, "secret"));
	WANT_ERROR(json_want_string(v, "p", "n", 0, &str, &err), "p.n: must be a string, not null");
	WANT_ERROR(json_want_string(v, "", "n", JSON_NULL_ABSENT | JSON_REQUIRED, &str, &err),
		   "n: is required");
	WANT_ERROR(json_want_string(v, NULL, "e", JSON_NONEMPTY, &str, &err),
		   "e: must not be empty");
	assert_int_equal(json_want_cstr(v, "", "s", 0, &cstr, &err), 0);
	assert_string_equal(cstr, "secret");
	assert_int_equal(json_want_cstr(v, "", "absent", 0, &cstr, &err), 0);
	WANT_ERROR(json_want_cstr(v, "", "z", 0, &cstr, &err),
		   "z: must not contain the character U+0000");
	assert_string_equal(cstr, "secret");

	WANT_ERROR(json_want_int(v, "parameters", "s", 0, 1, 10, &i, &err),
		   "parameters.s: must be an integer from 1 to 10, not a string");
	WANT_ERROR(json_want_int(v, "", "i", 0, 1, 10, &i, &err),
		   "i: must be an integer from 1 to 10, not 11");
	WANT_ERROR(json_want_int(v, "", "f", 0, 1, INT64_MAX, &i, &err),
		   "f: must be an integer of at least 1, not 1.5");
	WANT_ERROR(json_want_int(v, "", "big", 0, INT64_MIN, INT64_MAX, &i, &err),
		   "big: must be an integer, not 1e30");
	assert_int_equal(i, 42);
	assert_int_equal(json_want_int(v, "", "one", 0, 1, 1, &i, &err), 0);
	assert_int_equal(i, 1);
	assert_int_equal(json_want_int(v, "", "i", 0, 11, 11, &i, &err), 0);
	assert_int_equal(i, 11);

	assert_int_equal(json_want_bool(v, "", "t", 0, &flag, &err), 0);
	assert_true(flag);
	WANT_ERROR(json_want_bool(v, "", "i", 0, &flag, &err),
		   "i: must be true or false, not a number");
	assert_int_equal(json_want_object(v, "", "o", 0, &found, &err), 0);
	assert_true(json_is_object(found));
	WANT_ERROR(json_want_object(v, "", "o", JSON_NONEMPTY, &found, &err),
		   "o: must not be empty");
	WANT_ERROR(json_want_object(v, "", "l", 0, &found, &err),
		   "l: must be an object, not an array");
	assert_int_equal(json_want_array(v, "", "l", 0, &found, &err), 0);
	assert_true(json_is_array(found));
	WANT_ERROR(json_want_strings(v, "a.b", "l", 0, &found, &err),
		   "a.b.l[1]: must be a string, not a number");
	assert_int_equal(json_want_strings(v, "", "ok", JSON_REQUIRED, &found, &err), 0);
	assert_int_equal(json_len(found), 1);
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),     cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_equal),      cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_build),      cmocka_unit_test(test_read),
		cmocka_unit_test(test_want),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
