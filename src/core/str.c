/* SPDX-License-Identifier: Apache-2.0 */
#include "core/str.h"

#include <strings.h>

bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	if (c)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

struct str str_trim(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct str str_cut(struct str s, char c, struct str *rest)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	struct str before = s;

	*rest = (struct str){ NULL, 0 };
	if (at) {
		before.n = (size_t)(at - s.p);
		*rest = str_make(at + 1, s.n - before.n - 1);
	}
	return before;
}

#define EACH (~(uint64_t)0 / 255) /* times a byte: that byte eight times */

/* Whether one of eight bytes is below the limit, which is at most 128, or above 127. */
static bool any_below(uint64_t bytes, unsigned char limit)
{
	return ((bytes - EACH * limit) | bytes) & EACH * 0x80;
}

size_t str_plain_head(struct str s)
{
	uint64_t bytes;
	size_t i = 0;

	for (; s.n - i >= sizeof(bytes); i += sizeof(bytes)) {
		memcpy(&bytes, s.p + i, sizeof(bytes));
		if (any_below(bytes, ' ') || any_below(bytes ^ EACH * '"', 1) ||
		    any_below(bytes ^ EACH * '\\', 1) || any_below(bytes ^ EACH * 0x7f, 1))
			break; /* somewhere here, or close to it */
	}
	while (i < s.n && s.p[i] >= ' ' && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '\\')
		i++;
	return i;
}

/* The length of the character at p, 0 when it is not valid. */
static size_t utf8_char(const unsigned char *p, size_t n)
{
	unsigned lo = 0x80, hi = 0xBF;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		len = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		len = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	if (p[0] == 0xE0)
		lo = 0xA0;
	else if (p[0] == 0xED)
		hi = 0x9F;
	else if (p[0] == 0xF0)
		lo = 0x90;
	else if (p[0] == 0xF4)
		hi = 0x8F;
	for (i = 1; i < len; i++, lo = 0x80, hi = 0xBF)
		if (p[i] < lo || p[i] > hi)
			return 0;
	return len;
}

bool str_is_utf8(struct str s)
{
	size_t i = 0, len;

	while (i < s.n) {
		len = utf8_char((const unsigned char *)s.p + i, s.n - i);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

struct str str_utf8_head(struct str s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xC0) == 0x80)
		max--;
	return str_make(s.p, max);
}

size_t str_utf8_len(struct str s)
{
	size_t i, len = 0;

	for (i = 0; i < s.n; i++)
		len += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return len;
}

bool str_is_unreserved(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (c != '.' && c != '_' && c != '~' && c != '-')
			return false;
	}
	return true;
}

/* Reads the digits at the start of *s, and steps over them. */
static bool leading_u64(struct str *s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(s->p[i] - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (i == 0)
		return false;
	*s = str_make(s->p + i, s->n - i);
	*out = v;
	return true;
}

bool str_to_u64(struct str s, uint64_t *out)
{
	uint64_t v;

	if (!leading_u64(&s, &v) || s.n)
		return false;
	*out = v;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool with_unit(struct str s, const struct unit *unit, uint64_t *out)
{
	uint64_t v;

	if (!leading_u64(&s, &v))
		return false;
	for (; unit->name; unit++) {
		if (!str_is(s, unit->name))
			continue;
		if (v > UINT64_MAX / unit->factor)
			return false;
		*out = v * unit->factor;
		return true;
	}
	return false;
}

bool str_to_duration(struct str s, uint64_t *ms)
{
	static const struct unit units[] = {
		{ "ms", 1 },          { "s", 1000 },         { "m", 60 * 1000 },
		{ "h", 3600 * 1000 }, { "d", 86400 * 1000 }, { NULL, 0 },
	};

	if (str_is(s, "0")) {
		*ms = 0;
		return true;
	}
	return with_unit(s, units, ms);
}

bool str_to_size(struct str s, uint64_t *bytes)
{
	static const struct unit units[] = {
		{ "", 1 },        { "k", 1 << 10 }, { "K", 1 << 10 },
		{ "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 },
	};

	return with_unit(s, units, bytes);
}
