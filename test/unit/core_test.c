/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/list.h"
#include "core/mem.h"
#include "core/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <uv.h>

static void test_err_wrap(void **state)
{
	struct err err = { 0 };
	int i;

	(void)state;
	assert_int_equal(err_set(&err, ERR_IO, "HTTP %d", 401), ERR_IO);
	assert_int_equal(err_wrap(&err, "director"), ERR_IO);
	assert_int_equal(err_wrap(&err, "deploy"), ERR_IO);
	assert_string_equal(err.text, "deploy: director: HTTP 401");
	assert_int_equal(err_set(NULL, ERR_BUSY, "x"), ERR_BUSY);
	for (i = 0; i < 300; i++)
		err_wrap(&err, "\xc3\xa4\xc3\xb6");
	assert_true(str_is_utf8(str_of(err.text)));
	assert_true(strlen(err.text) > ERR_TEXT_MAX - 8);
	assert_string_equal(err_str(ERR_TIMEDOUT), "timed out");
	assert_int_equal(err_from_uv(UV_ENOENT), ERR_NOENT);
	assert_int_equal(err_from_uv(-9999), ERR_IO);
}

static void test_str(void **state)
{
	struct str rest, head;
	uint64_t v;

	(void)state;
	head = str_cut(STR("key=a=b"), '=', &rest);
	assert_true(str_is(head, "key") && str_is(rest, "a=b"));
	head = str_cut(STR("key"), '=', &rest);
	assert_true(str_is(head, "key") && !rest.p);
	assert_true(str_is(str_trim(STR(" \ta b ")), "a b"));
	assert_true(str_ieq(STR("Content-Type"), STR("content-TYPE")));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
	assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));

	assert_true(str_is_utf8(STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")));
	assert_false(str_is_utf8(STR("\xc0\x80")));
	assert_false(str_is_utf8(STR("\xed\xa0\x80")));
	assert_false(str_is_utf8(STR("\xf4\x90\x80\x80")));
	assert_false(str_is_utf8(STR("\xe2\x82")));
	assert_int_equal(str_utf8_len(STR("a\xc3\xa4\xe2\x82\xac")), 3);
	assert_true(str_is_unreserved(STR("aZ0.-_~")) && !str_is_unreserved(STR("a/b")));

	assert_true(str_to_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
	assert_false(str_to_u64(STR("18446744073709551616"), &v));
	assert_false(str_to_u64(STR(""), &v) || str_to_u64(STR("+1"), &v));
	assert_true(str_to_duration(STR("2h"), &v) && v == 7200000);
	assert_true(str_to_duration(STR("250ms"), &v) && v == 250);
	assert_false(str_to_duration(STR("5"), &v) || str_to_duration(STR("s"), &v));
	assert_true(str_to_size(STR("4M"), &v) && v == 4 << 20);
	assert_false(str_to_size(STR("99999999999999999G"), &v));
}

static int order[3], ordered;

static void note_order(void *data)
{
	order[ordered++] = *(int *)data;
}

static void test_arena(void **state)
{
	static int one = 1, two = 2;
	struct arena arena = { 0 };
	char *big, *small;

	(void)state;
	small = arena_printf(&arena, "%s-%d", "x", 7);
	big = arena_zalloc(&arena, 100000);
	big[99999] = 1;
	assert_string_equal(small, "x-7");
	assert_int_equal((uintptr_t)arena_alloc(&arena, 3) % _Alignof(max_align_t), 0);
	ordered = 0;
	arena_defer(&arena, note_order, &one);
	arena_defer(&arena, note_order, &two);
	arena_reset(&arena);
	assert_int_equal(ordered, 2);
	assert_int_equal(order[0], 2);
	assert_string_equal(arena_strdup(&arena, "again"), "again");
	arena_finish(&arena);
	assert_int_equal(ordered, 2);
}

static void test_buf(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	assert_int_equal(buf_str(&buf).n, 0);
	buf_puts(&buf, "abc");
	buf_printf(&buf, "%05d", 42);
	buf_putc(&buf, '!');
	assert_string_equal(buf.p, "abc00042!");
	buf_shift(&buf, 3);
	assert_string_equal(buf.p, "00042!");
	buf_wipe(&buf);
	assert_null(buf.p);
}

static void test_list(void **state)
{
	struct list head, a = { 0 }, b = { 0 }, *pos, *tmp;
	int n = 0;

	(void)state;
	list_init(&head);
	list_remove(&a);
	list_append(&head, &a);
	list_prepend(&head, &b);
	list_each(pos, tmp, &head) {
		n++;
		list_remove(pos);
	}
	assert_int_equal(n, 2);
	assert_true(list_empty(&head));
	assert_false(list_linked(&a));
	assert_null(list_shift(&head));
}

/* Every byte at every place of what the function looks at, alone and behind others. */
static void test_plain_head(void **state)
{
	char text[20];
	size_t n, at;
	int c;

	(void)state;
	assert_int_equal(str_plain_head(str_make(NULL, 0)), 0);
	for (c = 0; c < 256; c++) {
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

		for (n = 1; n <= sizeof(text); n++) {
			for (at = 0; at < n; at++) {
				memset(text, 'a', n);
				text[at] = (char)c;
				assert_int_equal(str_plain_head(str_make(text, n)), plain ? n : at);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_head), cmocka_unit_test(test_err_wrap),
		cmocka_unit_test(test_str),        cmocka_unit_test(test_arena),
		cmocka_unit_test(test_buf),        cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
