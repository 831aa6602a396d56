/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#define TEXT_FIRST 1024 /* most texts are shorter */

/* What stands behind the backslash; 0 plain, 'u' for \u00xx, 'n' and so on. */
static char escape(unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return c < 0x20 ? 'u' : 0;
	}
}

/* The bytes of the UTF-8 character at p, which starts with a byte of 0x80 or more; 0 when there
 * is no whole valid one. */
static size_t wide(const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;
	size_t len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;

	return len <= n && str_is_utf8(str_make(p, len)) ? len : 0;
}

void json_write_string(struct buf *buf, struct str text)
{
	size_t plain = 0, i = 0, len; /* text[plain..i) is to be copied as it is */

	buf_putc(buf, '"');
	while (i += str_plain_head(str_make(text.p + i, text.n - i)), i < text.n) {
		unsigned char c = (unsigned char)text.p[i];
		char sign;

		if (c >= 0x80) {
			len = wide(text.p + i, text.n - i);
			if (len) {
				i += len;
				continue;
			}
			buf_put(buf, text.p + plain, i - plain);
			buf_put(buf, "\xEF\xBF\xBD", 3);
			plain = ++i;
			continue;
		}
		sign = escape(c);
		if (sign) {
			char code[] = { '\\',
					sign,
					'0',
					'0',
					(char)('0' + (c >> 4)),
					"0123456789abcdef"[c & 15] };

			buf_put(buf, text.p + plain, i - plain);
			buf_put(buf, code, sign == 'u' ? 6 : 2);
			plain = i + 1;
		}
		i++;
	}
	if (i > plain)
		buf_put(buf, text.p + plain, i - plain);
	buf_putc(buf, '"');
}

/* A line end and the indentation of a level; nothing when compact (step 0). */
static void line(struct buf *buf, unsigned step, unsigned level)
{
	size_t n = (size_t)step * level;

	if (step == 0)
		return;
	buf_putc(buf, '\n');
	memset(buf_room(buf, n), ' ', n);
	buf->n += n;
}

static void write_value(struct buf *buf, const struct json *v, unsigned step, unsigned level)
{
	size_t i, n = json_len(v);

	if (!v) {
		buf_put(buf, "null", 4);
		return;
	}
	switch (json_type(v)) {
	case JSON_NULL:
		buf_put(buf, "null", 4);
		break;
	case JSON_BOOL:
		buf_puts(buf, json_bool_value(v) ? "true" : "false");
		break;
	case JSON_NUMBER:
		buf_put_str(buf, json_num_text(v));
		break;
	case JSON_STRING:
		json_write_string(buf, json_str(v));
		break;
	case JSON_ARRAY:
		buf_putc(buf, '[');
		for (i = 0; i < n; i++) {
			if (i)
				buf_putc(buf, ',');
			line(buf, step, level + 1);
			write_value(buf, json_at(v, i), step, level + 1);
		}
		if (n)
			line(buf, step, level);
		buf_putc(buf, ']');
		break;
	case JSON_OBJECT:
		buf_putc(buf, '{');
		for (i = 0; i < n; i++) {
			const struct json_member *m = json_member_at(v, i);

			if (i)
				buf_putc(buf, ',');
			line(buf, step, level + 1);
			json_write_string(buf, m->key);
			buf_put(buf, ": ", step ? 2 : 1);
			write_value(buf, m->value, step, level + 1);
		}
		if (n)
			line(buf, step, level);
		buf_putc(buf, '}');
		break;
	}
}

void json_write(struct buf *buf, const struct json *v)
{
	write_value(buf, v, 0, 0);
}

void json_write_pretty(struct buf *buf, const struct json *v, unsigned indent)
{
	write_value(buf, v, indent, 0);
}

struct str json_text(struct arena *arena, const struct json *v)
{
	struct buf buf = { NULL, 0, 0 };
	struct str text;

	buf_room(&buf, TEXT_FIRST);
	json_write(&buf, v);
	text = arena_str(arena, buf_str(&buf));
	buf_finish(&buf);
	return text;
}
