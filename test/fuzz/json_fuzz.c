/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader: what it accepts is written, compact and pretty, and read back as the same
 * value; copies, hashes and the form for digests agree; what it refuses, it refuses with a place. */
#include "core/json.h"
#include "core/json_same.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits wide = { .bytes = 64 << 20, .depth = 200 };

static void want(bool holds)
{
	if (!holds)
		abort();
}

/* Reads text, which must say the same as v. */
static void says_same(struct arena *arena, struct buf *text, const struct json *v)
{
	struct buf a = { 0 }, b = { 0 };
	struct json *back;
	struct err err;

	want(json_parse(arena, buf_str(text), &wide, &back, &err) == 0);
	want(json_equal(v, back) && json_equal(back, v) && json_hash(v) == json_hash(back));
	json_write_same(&a, v);
	json_write_same(&b, back);
	want(str_eq(buf_str(&a), buf_str(&b)));
	buf_clear(&b);
	json_write(&b, back);
	buf_clear(&a);
	json_write(&a, v);
	want(str_eq(buf_str(&a), buf_str(&b)));
	buf_finish(&a);
	buf_finish(&b);
}

static void numbers(const struct json *a, const struct json *b)
{
	struct str x = json_num_text(a), y = json_num_text(b);
	int64_t integer;
	double real;

	want(json_number_cmp(x, x) == 0 &&
	     json_number_multiple_of(x, STR("1")) == json_number_is_integer(x));
	if (json_to_int(a, &integer))
		want(json_number_is_integer(x));
	(void)json_to_double(a, &real);
	if (!y.p)
		return;
	want((json_number_cmp(x, y) < 0) == (json_number_cmp(y, x) > 0));
	want((json_number_cmp(x, y) == 0) == json_equal(a, b));
	if (json_number_divides(y) && json_number_cmp(x, y) == 0)
		want(json_number_multiple_of(x, y));
}

static void walk(const struct json *v)
{
	const struct json_member *m;
	const struct json *item;
	const char *text = NULL;
	struct err err = { 0 };
	int64_t integer = 7;
	size_t i;

	if (json_is_number(v))
		numbers(v, NULL);
	json_each_item(i, item, v) {
		if (json_is_number(item) && i > 0)
			numbers(item, json_at(v, i - 1));
		walk(item);
	}
	json_each_member(m, v) {
		want(m->key.p[m->key.n] == '\0' && json_get_str(v, m->key) == m->value);
		walk(m->value);
		if (memchr(m->key.p, '\0', m->key.n))
			continue;
		if (json_want_int(v, "p", m->key.p, JSON_NULL_ABSENT, 0, 9, &integer, &err))
			want(integer == 7 && err.text[0]);
		integer = 7;
		if (json_want_cstr(v, "", m->key.p, JSON_NONEMPTY, &text, &err) == 0)
			want(strlen(text) == json_str(m->value).n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	struct arena arena = { 0 };
	struct buf buf = { 0 };
	struct err err = { 0 };
	struct json *v = NULL;

	if (json_parse(&arena, text, NULL, &v, &err)) {
		want(!v && err.text[0] && str_is_utf8(str_of(err.text)));
	} else {
		want(json_equal(v, json_copy(&arena, v)) && !json_duplicate(v));
		json_write(&buf, v);
		says_same(&arena, &buf, v);
		buf_clear(&buf);
		json_write_pretty(&buf, v, 1);
		says_same(&arena, &buf, v);
		walk(v);
	}
	buf_finish(&buf);
	arena_finish(&arena);
	/* any bytes make a string that can be read back */
	json_write_string(&buf, text);
	want(json_parse(&arena, buf_str(&buf), &wide, &v, &err) == 0);
	if (str_is_utf8(text))
		want(str_eq(json_str(v), text));
	buf_finish(&buf);
	arena_finish(&arena);
	return 0;
}
