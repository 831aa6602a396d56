/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf.h"

#include "core/mem.h"
#include "core/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum colour { RED, GREEN, BLUE };

struct inner {
	struct str name;
	int64_t size;
};

struct outer {
	bool flag;
	enum conf_tri tri;
	int64_t number;
	uint64_t bytes, wait;
	struct str text, path;
	enum colour colour;
	unsigned colours;
	struct secret secret;
	struct inner inner, *maybe;
	struct inner *list;
	size_t n_list;
	struct str *words;
	size_t n_words;
	const struct json *free;
	int custom;
	int checked, each;
};

static const struct conf_name colours[] = {
	{ "red", RED }, { "green", GREEN }, { "blue", BLUE }, { NULL, 0 }
};
static const struct conf_name bits[] = { { "red", 1 }, { "green", 2 }, { "blue", 4 }, { NULL, 0 } };

static const struct conf_key inner_rows[] = {
	{ "name", CONF_STRING, CONF_REQUIRED | CONF_NONEMPTY, CONF_AT(struct inner, name),
	  .doc = "Its name.", .example = "one" },
	{ "size", CONF_INT, 0, CONF_AT(struct inner, size), .fallback = "7", .min = 1, .max = 9,
	  .doc = "How large." },
	{ 0 },
};

static const struct conf_key word = { "", CONF_STRING, CONF_NONEMPTY };

static void decode_custom(struct conf *conf, const struct json *node, void *field)
{
	if (str_is(yaml_text(node), "magic"))
		*(int *)field = 42;
	else
		conf_error(conf, node, "must be magic");
}

static void check_number(struct conf *conf, const struct json *node, void *field)
{
	if (*(int64_t *)field == 13)
		conf_error(conf, node, "must not be 13");
}

static void each_inner(struct conf *conf, const struct json *node, void *item)
{
	struct inner *inner = item;

	if (inner->size == 8)
		conf_error(conf, json_get(node, "size"), "must not be 8");
}

static const struct conf_key rows[] = {
	{ "flag", CONF_BOOL, 0, CONF_AT(struct outer, flag), .fallback = "true", .doc = "A flag." },
	{ "tri", CONF_TRI, 0, CONF_AT(struct outer, tri), .doc = "Three ways." },
	{ "number", CONF_INT, CONF_RELOADABLE, CONF_AT(struct outer, number), .fallback = "5",
	  .min = -10, .max = 100, .check = check_number, .doc = "A number." },
	{ "bytes", CONF_SIZE, 0, CONF_AT(struct outer, bytes), .fallback = "64k", .min = 1024,
	  .max = 1 << 20, .doc = "Bytes." },
	{ "wait", CONF_DURATION, 0, CONF_AT(struct outer, wait), .fallback = "45s", .min = 1000,
	  .max = 86400000, .doc = "A while." },
	{ "text", CONF_STRING, 0, CONF_AT(struct outer, text), .doc = "Text." },
	{ "path", CONF_PATH, 0, CONF_AT(struct outer, path), .doc = "A path." },
	{ "colour", CONF_ENUM, 0, CONF_AT(struct outer, colour), .fallback = "green",
	  .names = colours, .doc = "Its colour." },
	{ "colours", CONF_FLAGS, 0, CONF_AT(struct outer, colours), .names = bits,
	  .doc = "All colours." },
	{ "secret", CONF_SECRET, CONF_NONEMPTY, CONF_AT(struct outer, secret), .doc = "Hidden." },
	{ "inner", CONF_OBJECT, 0, CONF_AT(struct outer, inner), .rows = inner_rows,
	  .size = sizeof(struct inner), .doc = "In place." },
	{ "maybe", CONF_OBJECT, CONF_OPTIONAL | CONF_HIDDEN, CONF_AT(struct outer, maybe),
	  .rows = inner_rows, .size = sizeof(struct inner),
	  .doc = "There or not, which takes a long sentence to say so that it must be broken into "
		 "several lines of the file." },
	{ "list", CONF_LIST, 0, CONF_LIST_AT(struct outer, list, n_list), .rows = inner_rows,
	  .max = 3, .each = each_inner, .doc = "Some." },
	{ "words", CONF_LIST, 0, CONF_LIST_AT(struct outer, words, n_words), .item = &word,
	  .fallback = "[a, b]", .doc = "Words." },
	{ "free", CONF_JSON, CONF_OBJECT_ONLY, CONF_AT(struct outer, free), .doc = "Free form." },
	{ "custom", CONF_CUSTOM, 0, CONF_AT(struct outer, custom), .decode = decode_custom,
	  .kind = "magic word", .doc = "Custom." },
	{ 0 },
};

struct fixture {
	struct arena arena;
	struct conf_errors errors;
	struct outer out;
	struct buf messages;
};

static int decode(struct fixture *f, const char *text)
{
	struct json *node;
	struct err err = { 0 };
	int status;

	if (yaml_parse(&f->arena, str_of(text), NULL, &node, &err))
		fail_msg("%s", err.text);
	f->errors.file = "t.yml";
	memset(&f->out, 0, sizeof(f->out));
	status = conf_decode(rows, node, "", &f->out, &f->arena, &f->errors);
	buf_clear(&f->messages);
	conf_errors_print(&f->errors, &f->messages);
	return status;
}

static void finish(struct fixture *f)
{
	conf_errors_finish(&f->errors);
	arena_finish(&f->arena);
	buf_finish(&f->messages);
}

static void fails(const char *text, const char *want)
{
	struct fixture f = { 0 };

	assert_int_equal(decode(&f, text), ERR_INVALID);
	assert_string_equal(f.messages.p, want);
	finish(&f);
}

static void test_defaults(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(decode(&f, "inner:\nlist:\nfree: ~\n"), 0);
	assert_true(f.out.flag && f.out.tri == CONF_ABSENT && f.out.number == 5);
	assert_true(f.out.bytes == 65536 && f.out.wait == 45000 && f.out.colour == GREEN);
	assert_true(!f.out.text.p && !f.out.path.p && !f.out.maybe && !f.out.list);
	assert_int_equal(secret_reveal(&f.out.secret).n, 0);
	assert_int_equal(f.out.inner.size, 7); /* in place: the default of an absent mapping */
	assert_null(f.out.inner.name.p);
	assert_int_equal(f.out.n_words, 2);
	assert_true(str_is(f.out.words[1], "b"));
	assert_null(f.out.free);
	finish(&f);
}

static void test_values(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	f.errors.dir = "/etc/osbd";
	assert_int_equal(decode(&f,
				"flag: false\ntri: true\nnumber: 0x10\nbytes: 4096\nwait: 2h\n"
				"text: 007\npath: a/b\ncolour: blue\ncolours: [red, blue]\n"
				"secret: 0123\ninner: {name: yes}\nmaybe: {name: 1.0, size: 2}\n"
				"list: [{name: x}, {name: y, size: 3}]\nwords: []\n"
				"free: {a: [1.50, ~], b: yes}\ncustom: magic\nx-y: &a [1]\n"),
			 0);
	assert_true(!f.out.flag && f.out.tri == CONF_TRUE && f.out.number == 16);
	assert_true(f.out.bytes == 4096 && f.out.wait == 7200000 && f.out.colour == BLUE);
	assert_string_equal(f.out.text.p, "007");
	assert_string_equal(f.out.path.p, "/etc/osbd/a/b");
	assert_int_equal(f.out.colours, 5);
	assert_true(str_is(secret_reveal(&f.out.secret), "0123"));
	assert_string_equal(f.out.inner.name.p, "yes");
	assert_string_equal(f.out.maybe->name.p, "1.0");
	assert_int_equal(f.out.n_list, 2);
	assert_int_equal(f.out.list[0].size, 7);
	assert_string_equal(f.out.list[1].name.p, "y");
	assert_int_equal(f.out.n_words, 0);
	assert_string_equal(json_text(&f.arena, f.out.free).p, "{\"a\":[1.50,null],\"b\":\"yes\"}");
	assert_int_equal(f.out.free->line, 15);
	assert_int_equal(f.out.custom, 42);
	finish(&f);
}

static void test_each_error(void **state)
{
	(void)state;
	fails("flag: yes",
	      "t.yml:1:7: flag: must be true or false; yes, no, on and off are texts\n");
	fails("tri: 'true'", "t.yml:1:6: tri: must be true or false, not a string\n");
	fails("flag:", "t.yml:1:6: flag: must be true or false; it has no value\n");
	fails("number: 101", "t.yml:1:9: number: must be an integer from -10 to 100\n");
	fails("number: 1.5", "t.yml:1:9: number: must be an integer from -10 to 100\n");
	fails("number: '5'",
	      "t.yml:1:9: number: must be an integer from -10 to 100, not a string\n");
	fails("number: 99999999999999999999",
	      "t.yml:1:9: number: must be an integer from -10 to 100\n");
	fails("number: 13", "t.yml:1:9: number: must not be 13\n");
	fails("bytes: 2M", "t.yml:1:8: bytes: must be a size from 1k to 1M\n");
	fails("bytes: many", "t.yml:1:8: bytes: must be a size such as 4096, 64k or 1M\n");
	fails("wait: 50",
	      "t.yml:1:7: wait: must be a duration such as 250ms, 45s, 10m, 2h or 1d\n");
	fails("wait: 5ms", "t.yml:1:7: wait: must be a duration from 1s to 1d\n");
	fails("text: [a]", "t.yml:1:7: text: must be a string, not a list\n");
	fails("text: ", "t.yml:1:6: text: must be a string; it has no value\n");
	fails("path: ''", "t.yml:1:7: path: must not be empty\n");
	fails("colour: pink", "t.yml:1:9: colour: must be red, green or blue\n");
	fails("colour: 1", "t.yml:1:9: colour: must be red, green or blue, not a number\n");
	fails("colours: [red, {}]",
	      "t.yml:1:16: colours[1]: must be red, green or blue, not a mapping\n");
	fails("inner: 5", "t.yml:1:8: inner: must be a mapping, not a number\n");
	fails("inner: {}", "t.yml:1:8: inner.name: must be given\n");
	fails("maybe: {name: ''}", "t.yml:1:15: maybe.name: must not be empty\n");
	fails("list: {}", "t.yml:1:7: list: must be a list, not a mapping\n");
	fails("list: [{name: a}, 5]", "t.yml:1:19: list[1]: must be a mapping, not a number\n");
	fails("list: [{name: a, size: 8}]", "t.yml:1:24: list[0]: must not be 8\n");
	fails("list: [1, 2, 3, 4]", "t.yml:1:7: list: must have 0 to 3 entries, not 4\n");
	fails("words: [a, '']", "t.yml:1:12: words[1]: must not be empty\n");
	fails("free: []", "t.yml:1:7: free: must be a mapping, not a list\n");
	fails("custom: no", "t.yml:1:9: custom: must be magic\n");
	fails("[a]", "t.yml:1:1: must be a mapping, not a list\n");
}

static void test_unknown_keys(void **state)
{
	(void)state;
	fails("nubmer: 1", "t.yml:1:1: nubmer: is not known here; did you mean number?\n");
	fails("Flag: true", "t.yml:1:1: Flag: is not known here; did you mean flag?\n");
	fails("inner: {name: a, sizes: 1}",
	      "t.yml:1:18: inner.sizes: is not known here; did you mean size?\n");
	fails("inner: {name: a, whatever: 1}",
	      "t.yml:1:18: inner.whatever: is not known here; there are name, size\n");
	fails("inner: {name: a, \"s\\e[31m\": 1}",
	      "t.yml:1:18: inner.s?[31m: is not known here; there are name, size\n");
}

static void test_all_at_once(void **state)
{
	struct fixture f = { 0 };
	struct buf many = { 0 };
	int i;

	(void)state;
	fails("wait: x\nlist:\n  - {size: 99}\n  - name: b\n    sise: 1\nnumber: x\nfoo: 1\n",
	      "t.yml:1:7: wait: must be a duration such as 250ms, 45s, 10m, 2h or 1d\n"
	      "t.yml:3:5: list[0].name: must be given\n"
	      "t.yml:3:12: list[0].size: must be an integer from 1 to 9\n"
	      "t.yml:5:5: list[1].sise: is not known here; did you mean size?\n"
	      "t.yml:6:9: number: must be an integer from -10 to 100, not a string\n"
	      "t.yml:7:1: foo: is not known here; there are flag, tri, number, bytes, wait, text, "
	      "path, colour, colours, secret, inner, maybe, list, words, free, custom\n");
	for (i = 0; i < CONF_ERRORS_MAX + 20; i++)
		buf_printf(&many, "nubmer%d: 1\n", i);
	assert_int_equal(decode(&f, many.p), ERR_INVALID);
	assert_int_equal(f.errors.n, CONF_ERRORS_MAX);
	assert_true(str_ends(buf_str(&f.messages), STR("and 20 more\n")));
	buf_finish(&many);
	finish(&f);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_secrets(void **state)
{
	char dir[] = "/tmp/osbd-conf-XXXXXX", path[64], want[256];
	struct fixture f = { 0 };
	struct buf big = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pw", dir);
	f.errors.dir = dir;
	write_file(path, "s3cret\n\n", 0600);
	assert_int_equal(decode(&f, "secret: {file: pw}"), 0);
	assert_true(str_is(secret_reveal(&f.out.secret), "s3cret\n")); /* one line end only */
	assert_int_equal(f.errors.n, 0);
	write_file(path, "s3cret\r\n", 0644);
	assert_int_equal(decode(&f, "secret: {file: pw}"), 0);
	assert_true(str_is(secret_reveal(&f.out.secret), "s3cret"));
	assert_int_equal(f.errors.n_warnings, 1);
	snprintf(want, sizeof(want),
		 "t.yml:1:16: warning: secret.file: %s can be read or written by everybody\n",
		 path);
	assert_string_equal(f.messages.p, want);
	finish(&f);

	f = (struct fixture){ .errors.dir = dir };
	while (big.n <= 70000)
		buf_puts(&big, "canary");
	write_file(path, big.p, 0600);
	assert_int_equal(decode(&f, "secret: {file: pw}"), ERR_INVALID);
	snprintf(want, sizeof(want), "t.yml:1:16: secret.file: %s: is larger than 65536 bytes\n",
		 path);
	assert_string_equal(f.messages.p, want);
	buf_finish(&big);
	finish(&f);

	f = (struct fixture){ .errors.dir = dir };
	write_file(path, "\n", 0600);
	assert_int_equal(decode(&f, "secret: {file: pw}"), ERR_INVALID);
	assert_string_equal(f.messages.p, "t.yml:1:16: secret.file: must not be empty\n");
	finish(&f);
	assert_int_equal(unlink(path), 0);

	f = (struct fixture){ .errors.dir = dir };
	assert_int_equal(decode(&f, "secret: {file: pw}"), ERR_INVALID);
	snprintf(want, sizeof(want), "t.yml:1:16: secret.file: %s: No such file or directory\n",
		 path);
	assert_string_equal(f.messages.p, want);
	finish(&f);

	f = (struct fixture){ .errors.dir = dir };
	assert_int_equal(decode(&f, "secret: {file: .}"), ERR_INVALID);
	assert_non_null(strstr(f.messages.p, "is not a regular file"));
	finish(&f);
	assert_int_equal(mkfifo(path, 0600), 0); /* must not block */
	f = (struct fixture){ .errors.dir = dir };
	assert_int_equal(decode(&f, "secret: {file: pw}"), ERR_INVALID);
	finish(&f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);

	f = (struct fixture){ 0 };
	assert_int_equal(setenv("OSBD_CONF_TEST", "from outside", 1), 0);
	assert_int_equal(decode(&f, "secret: {env: OSBD_CONF_TEST}"), 0);
	assert_true(str_is(secret_reveal(&f.out.secret), "from outside"));
	unsetenv("OSBD_CONF_TEST");
	assert_int_equal(decode(&f, "secret: {env: OSBD_CONF_TEST}"), ERR_INVALID);
	assert_string_equal(
		f.messages.p,
		"t.yml:1:15: secret.env: OSBD_CONF_TEST is not set in the environment\n");
	finish(&f);
	fails("secret: {canary: canary}",
	      "t.yml:1:9: secret: must be a text, {file: PATH} or {env: NAME}\n");
	fails("secret: [canary]",
	      "t.yml:1:9: secret: must be a text, {file: PATH} or {env: NAME}, not a list\n");
	fails("secret: {file: 5}",
	      "t.yml:1:16: secret.file: must be a non-empty string, not a number\n");
	fails("secret: ''", "t.yml:1:9: secret: must not be empty\n");
}

static void test_nested_place(void **state)
{
	struct fixture f = { 0 };
	struct json *node;
	struct inner inner = { 0 };

	(void)state;
	assert_int_equal(
		yaml_parse(&f.arena, STR("a:\n  b: {name: x, size: 0}"), NULL, &node, NULL), 0);
	node = json_get(json_get(node, "a"), "b");
	assert_int_equal(conf_decode(inner_rows, node, "a.b", &inner, &f.arena, &f.errors),
			 ERR_INVALID);
	assert_string_equal(conf_errors_line(&f.errors, 0),
			    "configuration:2:22: a.b.size: must be an integer from 1 to 9");
	assert_int_equal(conf_decode(inner_rows, NULL, "c", &inner, &f.arena, &f.errors),
			 ERR_INVALID);
	assert_string_equal(conf_errors_line(&f.errors, 0), "configuration: c.name: must be given");
	finish(&f);
}

static void test_reference(void **state)
{
	struct fixture f = { 0 };
	struct buf text = { 0 };

	(void)state;
	conf_reference(rows, &text);
	assert_int_equal(decode(&f, text.p), 0);
	assert_true(f.out.flag && f.out.number == 5 && f.out.colour == GREEN);
	assert_string_equal(f.out.inner.name.p, "one");
	assert_null(f.out.maybe); /* hidden: commented out */
	assert_int_equal(f.out.n_list, 1);
	assert_non_null(strstr(text.p, "# A number.\n"
				       "# integer from -10 to 100, default 5, reloadable\n"
				       "number: 5\n"));
	assert_non_null(strstr(text.p, "list:\n"
				       "    # Its name.\n"
				       "    # string, required\n"
				       "  - name: one\n\n"
				       "    # How large.\n"));
	assert_non_null(
		strstr(text.p, "#maybe:\n  # Its name.\n  # string, required\n  #name: one\n"));
	assert_non_null(strstr(text.p, "# list of red, green or blue\n#colours:\n"));
	assert_null(strstr(text.p, " \n"));
	finish(&f);
	buf_clear(&text);
	conf_man(rows, &text);
	assert_non_null(strstr(text.p,
			       ".TP\n.B list[].size\n.RI ( \"integer from 1 to 9, default 7\" "
			       ")\n.br\nHow large.\n"));
	buf_finish(&text);
}

/* The check of rows finds what it is for. */
static void test_rows_check(void **state)
{
	struct arena arena = { 0 };
	struct conf_key bad[2] = { 0 };

	(void)state;
	assert_null(conf_rows_check(rows, &arena));
	bad[0] = (struct conf_key){ "a", CONF_INT, 0, CONF_AT(struct outer, flag), .doc = "A." };
	assert_string_equal(conf_rows_check(bad, &arena),
			    "a: the field's size does not fit the type");
	bad[0] = (struct conf_key){
		"a",      CONF_INT, 0,          CONF_AT(struct outer, number), .fallback = "9",
		.min = 1, .max = 8, .doc = "A."
	};
	assert_string_equal(conf_rows_check(bad, &arena),
			    "a: configuration: a: must be an integer from 1 to 8");
	bad[0] = (struct conf_key){ "a", CONF_BOOL, 0, CONF_AT(struct outer, flag), .doc = "A" };
	assert_string_equal(conf_rows_check(bad, &arena), "a: no doc that ends with a full stop");
	bad[0] = (struct conf_key){ "a", CONF_ENUM, 0, CONF_AT(struct outer, colour), .doc = "A." };
	assert_string_equal(conf_rows_check(bad, &arena),
			    "a: names are for CONF_ENUM and CONF_FLAGS, which need them");
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_values),
		cmocka_unit_test(test_each_error),   cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_all_at_once),  cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_nested_place), cmocka_unit_test(test_reference),
		cmocka_unit_test(test_rows_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
