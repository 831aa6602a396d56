/* SPDX-License-Identifier: Apache-2.0 */
#include "core/yaml.h"

#include "core/buf.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <time.h>

struct warnings {
	struct buf text;
};

static void warn(void *data, uint32_t line, uint32_t column, const char *text)
{
	struct warnings *warnings = data;

	buf_printf(&warnings->text, "%u:%u: %s\n", line, column, text);
}

/* The document as JSON, or the error's text. */
static const char *read_as(struct arena *arena, struct str text, enum yaml_typing typing)
{
	struct yaml_options options = { .typing = typing };
	struct err err = { 0 };
	struct json *v;

	if (yaml_parse(arena, text, &options, &v, &err) == 0)
		return json_text(arena, v).p;
	assert_null(v);
	return arena_strdup(arena, err.text);
}

static void check(struct str text, enum yaml_typing typing, const char *want)
{
	struct arena arena = { 0 };

	assert_string_equal(read_as(&arena, text, typing), want);
	arena_finish(&arena);
}

#define CORE(text, want) check(STR(text), YAML_CORE, want)
#define V2(text, want) check(STR(text), YAML_V2, want)
#define BOTH(text, want)          \
	do {                      \
		CORE(text, want); \
		V2(text, want);   \
	} while (0)

static void test_scalars(void **state)
{
	(void)state;
	BOTH("", "null");
	BOTH("# nothing\n", "null");
	BOTH("[~, null, Null, NULL, ]", "[null,null,null,null]");
	BOTH("a:", "{\"a\":null}");
	BOTH("[nULL, 'null', \"~\"]", "[\"nULL\",\"null\",\"~\"]");
	BOTH("[true, True, TRUE, false, False, FALSE, tRue]",
	     "[true,true,true,false,false,false,\"tRue\"]");
	CORE("[yes, Yes, on, y, no, off, n]",
	     "[\"yes\",\"Yes\",\"on\",\"y\",\"no\",\"off\",\"n\"]");
	V2("[yes, Yes, YES, on, y, Y, no, No, off, OFF, n, N, yEs]",
	   "[true,true,true,true,true,true,false,false,false,false,false,false,\"yEs\"]");
	V2("['yes', \"off\"]", "[\"yes\",\"off\"]");
}

static void test_numbers(void **state)
{
	(void)state;
	BOTH("[0, 7, -7, +7, -0, 1_000, 18446744073709551616]",
	     "[0,7,-7,7,0,1000,18446744073709551616]");
	BOTH("[0777, 0o777, 0x1F, 0X1f, 0b101, -0x10, -0777, 0_1, 00]",
	     "[511,511,31,31,5,-16,-511,1,0]");
	BOTH("[08, 09.50, 012e1]", "[8,9.50,12e1]");
	BOTH("[1e3, 1e+3, 12e03, 1E5, 1.5e-3, 99.95]", "[1e3,1e+3,12e03,1E5,1.5e-3,99.95]");
	BOTH("[.5, -.5, +1.5, 1., 1.e3, 00.5]", "[0.5,-0.5,1.5,1,1e3,0.5]");
	BOTH("[1:30, 2001-12-14, 1.2.3, 0x, 0xg, 0b2, 1e, e3, '+', '-', -, ., 5s]",
	     "[\"1:30\",\"2001-12-14\",\"1.2.3\",\"0x\",\"0xg\",\"0b2\",\"1e\",\"e3\",\"+\",\"-\","
	     "\"-\",\".\",\"5s\"]");
	BOTH("[_1, 0xffffffffffffffff]", "[\"_1\",18446744073709551615]");
	CORE("a: 0x10000000000000000", "1:4: an integer of more than 64 bits");
	V2("a: 0x10000000000000000", "{\"a\":\"0x10000000000000000\"}");
	V2("a: 1e400", "{\"a\":\"1e400\"}");
	CORE("a: 1e400", "{\"a\":1e400}");
	CORE("a: 1e9999999999", "1:4: a number that is too long or too large");
	BOTH("a: .inf", "1:4: infinity and not-a-number have no value here; a string needs quotes");
	BOTH("a: '.nan'", "{\"a\":\".nan\"}");
}

static void test_tags(void **state)
{
	(void)state;
	BOTH("[!!str 1, !!int \"7\", !!bool 'true', !!null '', !!float 1.5]",
	     "[\"1\",7,true,null,1.5]");
	BOTH("!!map {a: !!seq [1]}", "{\"a\":[1]}");
	BOTH("a: !!int x", "1:4: !!int in front of something else");
	BOTH("a: !!int 1.5", "1:4: !!int in front of something else");
	BOTH("a: !!bool 1", "1:4: !!bool in front of something else");
	BOTH("a: !!python/object/apply:os.system [id]", "1:4: " YAML_NO_SUCH_TAG);
	BOTH("a: !!python/name:os.system ''", "1:4: " YAML_NO_SUCH_TAG);
	BOTH("a: !ruby/object:X {}", "1:4: " YAML_NO_SUCH_TAG);
	BOTH("password: !hunter2", "1:11: " YAML_NO_SUCH_TAG); /* not shown: it may be one */
	BOTH("a: !!binary aGk=", "1:4: " YAML_NO_SUCH_TAG);
}

static void test_keys(void **state)
{
	struct warnings warnings = { 0 };
	struct yaml_options options = { .typing = YAML_V2, .warn = warn, .data = &warnings };
	struct arena arena = { 0 };
	struct json *v;

	(void)state;
	BOTH("{1: a, y: b, 0x1F: c, ~: d, 'q': e, true: f}",
	     "{\"1\":\"a\",\"y\":\"b\",\"0x1F\":\"c\",\"~\":\"d\",\"q\":\"e\",\"true\":\"f\"}");
	BOTH("? [a]\n: b", "1:3: a key that is no scalar");
	BOTH("{? {a: b} : c}", "1:4: a key that is no scalar");
	BOTH("x: &k name\ny: {*k : 1}", "{\"x\":\"name\",\"y\":{\"name\":1}}");
	CORE("a: 1\nb: 2\nc: 3\nb: 4\na: 5\n", "4:1: duplicate key \"b\"");
	CORE("a: 1\n'a': 2", "2:1: duplicate key \"a\"");
	CORE("\"a\\n\\e\": 1\n\"a\\n\\e\": 1\n", "2:1: duplicate key \"a??\"");
	V2("a: 1\nb: 2\na: 3\na: 4\n", "{\"b\":2,\"a\":4}");

	assert_int_equal(yaml_parse(&arena, STR("a: 1\nb: 2\n a: 3"), &options, &v, NULL),
			 ERR_SYNTAX);
	assert_int_equal(yaml_parse(&arena, STR("a: 1\nb: {c: 1, c: 2}"), &options, &v, NULL), 0);
	assert_string_equal(warnings.text.p, "2:11: duplicate key \"c\": the last one counts\n");
	buf_finish(&warnings.text);
	arena_finish(&arena);
}

static void test_merge(void **state)
{
	(void)state;
	BOTH("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], c: 5}",
	     "{\"x\":{\"a\":1,\"b\":2},\"y\":{\"b\":3,\"c\":4},\"z\":{\"a\":1,\"b\":2,\"c\":5}}");
	BOTH("x: &x {a: 1, b: 2}\nz:\n  a: 9\n  <<: *x",
	     "{\"x\":{\"a\":1,\"b\":2},\"z\":{\"a\":9,\"b\":2}}");
	BOTH("<<: {a: 1}\nb: 2", "{\"a\":1,\"b\":2}");
	BOTH("'<<': {a: 1}", "{\"<<\":{\"a\":1}}");
	BOTH("<<: 1", "1:1: << wants a mapping or a list of mappings");
	BOTH("<<: [{a: 1}, [b]]", "1:1: << wants a mapping or a list of mappings");
	CORE("<<: {a: 1}\n<<: {b: 1}", "2:1: duplicate key \"<<\": write a list");
	V2("<<: {a: 1}\n<<: {a: 2, b: 1}", "{\"a\":1,\"b\":1}");
}

static void test_aliases(void **state)
{
	struct arena arena = { 0 };
	struct buf laughs = { 0 };
	const char *text;
	int i, k;

	(void)state;
	BOTH("[&a x, *a, &a z, *a]", "[\"x\",\"x\",\"z\",\"z\"]");
	BOTH("a: *nowhere",
	     "1:4: an alias without an anchor before it; a text that begins with * needs quotes");
	BOTH("a: &a [1, *a]", "1:11: an alias inside its own anchor");
	BOTH("&a {b: {c: [*a]}}", "1:13: an alias inside its own anchor");
	BOTH("&a {<<: *a}", "1:9: an alias inside its own anchor");

	buf_puts(&laughs, "l0: &l0 [lol]\n");
	for (i = 1; i < 10; i++) {
		buf_printf(&laughs, "l%d: &l%d [", i, i);
		for (k = 0; k < 10; k++)
			buf_printf(&laughs, "*l%d,", i - 1);
		buf_puts(&laughs, "]\n");
	}
	text = read_as(&arena, buf_str(&laughs), YAML_CORE);
	assert_string_equal(text, "5:22: aliases add more than 10000 values");

	buf_clear(&laughs); /* merge keys double as well */
	buf_puts(&laughs, "m0: &m0 {k0: 1, j0: 1}\n");
	for (i = 1; i < 20; i++)
		buf_printf(&laughs, "m%d: &m%d {a: {<<: *m%d}, b: *m%d}\n", i, i, i - 1, i - 1);
	text = read_as(&arena, buf_str(&laughs), YAML_V2);
	assert_non_null(strstr(text, "aliases add more than 10000 values"));

	buf_clear(&laughs);
	for (i = 0; i <= YAML_ANCHORS_MAX; i++)
		buf_printf(&laughs, "- &a%d x\n", i);
	text = read_as(&arena, buf_str(&laughs), YAML_CORE);
	assert_string_equal(text, "1001:3: more than 1000 anchors");
	buf_finish(&laughs);
	arena_finish(&arena);
}

static void repeat(struct buf *buf, const char *text, size_t times)
{
	buf_clear(buf);
	while (times--)
		buf_puts(buf, text);
}

/* Each is refused, and at once: libyaml takes minutes for some of them when left alone. */
static void test_depth_and_size(void **state)
{
	static const struct {
		const char *unit, *want;
	} deep[] = {
		{ "[", "1:129: nested more than 128 deep" },
		{ "{a: ", "1:513: nested more than 128 deep" },
		{ "- ", "1:257: nested more than 128 deep" },
		{ "? ", "1:3: a key that is no scalar" },
	};
	struct arena arena = { 0 };
	struct buf buf = { 0 };
	clock_t start = clock();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(deep); i++) {
		repeat(&buf, deep[i].unit, YAML_BYTES_MAX / strlen(deep[i].unit));
		assert_string_equal(read_as(&arena, buf_str(&buf), YAML_CORE), deep[i].want);
	}
	repeat(&buf, "[", 128);
	for (i = 0; i < 128; i++)
		buf_putc(&buf, ']');
	assert_int_equal(read_as(&arena, buf_str(&buf), YAML_CORE)[0], '[');
	repeat(&buf, "x", YAML_BYTES_MAX + 1);
	assert_string_equal(read_as(&arena, buf_str(&buf), YAML_CORE),
			    "1:1: larger than 1048576 bytes");
	buf_clear(&buf);
	for (i = 0; i < 60000; i++)
		buf_printf(&buf, "%%TAG !a%zu! b\n", i);
	assert_string_equal(read_as(&arena, buf_str(&buf), YAML_CORE),
			    "17:1: more than 16 %TAG lines");
	assert_true((clock() - start) / CLOCKS_PER_SEC < 10);
	buf_finish(&buf);
	arena_finish(&arena);
}

static void test_not_well_formed(void **state)
{
	static const char bom[] = "\xef\xbb\xbf"
				  "a: 1";

	(void)state;
	BOTH("a: 1\n---\nb: 2\n", "2:1: a second document in one file");
	BOTH("--- a\n...\n", "\"a\"");
	BOTH("a: 1\n\0", "2:1: a NUL character");
	BOTH("a: \"x\\0y\"", "1:4: a NUL character");
	BOTH("\"x\\0y\": 1", "1:1: a NUL character");
	BOTH("a: 1\nb: \xc3\xa4 \xc3(", "2:6: invalid UTF-8");
	BOTH("a: \xed\xa0\x80", "1:4: invalid UTF-8");
	BOTH("a: 1\nb: \x01", "2:4: control characters are not allowed");
	check(str_make(bom, sizeof(bom) - 1), YAML_CORE, "{\"a\":1}");
	BOTH("a: [1, 2\nb: 3",
	     "2:2: did not find expected ',' or ']' while parsing a flow sequence "
	     "that began in line 1");
	BOTH("a: b: c", "1:5: mapping values are not allowed in this context");
	BOTH("a:\n\t- 1", "2:1: found character that cannot start any token while scanning for the "
			  "next token that began in line 2");
	BOTH("%YAML 1.2\n---\na: 1", "{\"a\":1}");
}

/* What a decoder needs: the text as it was written, the quotes, the place. */
static void test_text_and_place(void **state)
{
	struct arena arena = { 0 };
	struct json *v, *copy;
	struct json_member *m;

	(void)state;
	assert_int_equal(yaml_parse(&arena,
				    STR("version: 1.0\nhex: 0x1F\nflag: yes\nquoted: '0x1F'\n"
					"list:\n  - \xc3\xa4: |\n      text\n  - ~\n"),
				    &(struct yaml_options){ .typing = YAML_V2 }, &v, NULL),
			 0);
	assert_true(str_is(yaml_text(json_get(v, "version")), "1.0"));
	assert_true(str_is(yaml_text(json_get(v, "hex")), "0x1F"));
	assert_true(str_is(json_num_text(json_get(v, "hex")), "31"));
	assert_true(str_is(yaml_text(json_get(v, "flag")), "yes"));
	assert_true(json_bool_value(json_get(v, "flag")));
	assert_true(yaml_is_plain(json_get(v, "hex")));
	assert_false(yaml_is_plain(json_get(v, "quoted")));
	assert_null(yaml_text(json_get(v, "list")).p);
	assert_null(yaml_text(NULL).p);
	assert_true(str_is(yaml_text(json_at(json_get(v, "list"), 1)), "~"));

	m = json_member(json_at(json_get(v, "list"), 0), STR("\xc3\xa4"));
	assert_non_null(m);
	assert_int_equal(m->line, 6);
	assert_int_equal(m->column, 5);
	assert_int_equal(m->value->line, 6);
	assert_int_equal(m->value->column, 8);
	assert_int_equal(json_get(v, "list")->line, 6);

	copy = json_copy(&arena, v);
	assert_true(json_equal(copy, v));
	assert_int_equal(json_get(copy, "hex")->line, 2);
	assert_false(yaml_is_plain(json_get(copy, "hex")));
	assert_true(str_is(yaml_text(json_get(copy, "hex")), "31"));
	assert_true(str_is(yaml_text(json_get(copy, "flag")), "true"));
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),        cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_tags),           cmocka_unit_test(test_keys),
		cmocka_unit_test(test_merge),          cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_depth_and_size), cmocka_unit_test(test_not_well_formed),
		cmocka_unit_test(test_text_and_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
