/* SPDX-License-Identifier: Apache-2.0 */
#include "core/url.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static int decode(struct arena *arena, struct str text, bool plus, struct str *out)
{
	char *p;
	size_t i, n = 0;

	if (!text.n || (!memchr(text.p, '%', text.n) && !(plus && memchr(text.p, '+', text.n)))) {
		*out = text;
		return 0;
	}
	p = arena_alloc(arena, text.n + 1);
	for (i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '%') {
			int high = text.n - i > 2 ? hex_digit(text.p[i + 1]) : -1;
			int low = text.n - i > 2 ? hex_digit(text.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return ERR_SYNTAX;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		p[n++] = c;
	}
	p[n] = '\0';
	*out = str_make(p, n);
	return 0;
}

int url_decode(struct arena *arena, struct str text, struct str *out)
{
	return decode(arena, text, false, out);
}

struct str url_encode(struct arena *arena, struct str text)
{
	static const char digits[] = "0123456789ABCDEF";
	char *p = arena_alloc(arena, text.n * 3 + 1);
	size_t i, n = 0;

	for (i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (str_is_unreserved(str_make(text.p + i, 1))) {
			p[n++] = (char)c;
		} else {
			p[n++] = '%';
			p[n++] = digits[c >> 4];
			p[n++] = digits[c & 15];
		}
	}
	p[n] = '\0';
	return str_make(p, n);
}

bool url_segment(struct str *path, struct str *segment)
{
	struct str rest = *path;

	if (!rest.n)
		return false;
	if (rest.p[0] == '/') {
		rest.p++;
		rest.n--;
	}
	segment->p = rest.p;
	for (segment->n = 0; segment->n < rest.n; segment->n++)
		if (rest.p[segment->n] == '/')
			break;
	*path = str_make(rest.p + segment->n, rest.n - segment->n);
	return true;
}

bool url_query_next(struct str *query, struct str *name, struct str *value)
{
	while (query->n) {
		struct str pair = str_cut(*query, '&', query);

		if (!pair.n)
			continue;
		*name = str_cut(pair, '=', value);
		return true;
	}
	return false;
}

int url_query_get(struct arena *arena, struct str query, const char *name, struct str *out)
{
	struct str rest = query, key, raw, decoded;
	bool found = false;
	int rc;

	*out = str_make(NULL, 0);
	while (url_query_next(&rest, &key, &raw)) {
		rc = decode(arena, key, true, &decoded);
		if (rc != 0)
			return rc;
		if (!str_is(decoded, name))
			continue;
		if (found)
			return ERR_EXISTS;
		found = true;
		rc = decode(arena, raw, true, out);
		if (rc != 0)
			return rc;
		if (!out->p)
			*out = STR("");
	}
	return 0;
}
