/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_same.h"

#include "core/mem.h"

#include <inttypes.h>
#include <stdlib.h>

/* -12.50e3 is written as -125e2: no leading zero, no zero at the end, no point. */
static void write_number(struct buf *buf, struct str text)
{
	struct buf digits = { 0 };
	bool negative = text.p[0] == '-', point = false;
	int64_t exponent = 0;
	size_t i, start;

	for (i = negative; i < text.n && text.p[i] != 'e' && text.p[i] != 'E'; i++) {
		if (text.p[i] == '.') {
			point = true;
			continue;
		}
		buf_putc(&digits, text.p[i]);
		exponent -= point;
	}
	if (i < text.n)
		exponent += strtoll(text.p + i + 1, NULL, 10);
	while (digits.n > 1 && digits.p[digits.n - 1] == '0') {
		digits.p[--digits.n] = '\0';
		exponent++;
	}
	for (start = 0; start + 1 < digits.n && digits.p[start] == '0';)
		start++;
	if (digits.p[start] == '0')
		buf_putc(buf, '0');
	else
		buf_printf(buf, "%s%se%" PRId64, negative ? "-" : "", digits.p + start, exponent);
	buf_finish(&digits);
}

static int by_key(const void *a, const void *b)
{
	const struct json_member *const *x = a, *const *y = b;

	return str_cmp((*x)->key, (*y)->key);
}

static void write_object(struct buf *buf, const struct json *v)
{
	size_t n = json_len(v), i;
	const struct json_member **sorted = mem_alloc(n * sizeof(*sorted));

	for (i = 0; i < n; i++)
		sorted[i] = json_member_at(v, i);
	qsort(sorted, n, sizeof(*sorted), by_key);
	buf_putc(buf, '{');
	for (i = 0; i < n; i++) {
		if (i)
			buf_putc(buf, ',');
		json_write_string(buf, sorted[i]->key);
		buf_putc(buf, ':');
		json_write_same(buf, sorted[i]->value);
	}
	buf_putc(buf, '}');
	mem_free(sorted);
}

void json_write_same(struct buf *buf, const struct json *v)
{
	const struct json *item;
	size_t i;

	if (json_is_object(v)) {
		write_object(buf, v);
	} else if (json_is_array(v)) {
		buf_putc(buf, '[');
		json_each_item(i, item, v) {
			if (i)
				buf_putc(buf, ',');
			json_write_same(buf, item);
		}
		buf_putc(buf, ']');
	} else if (json_is_number(v)) {
		write_number(buf, json_num_text(v));
	} else {
		json_write(buf, v);
	}
}
