/* core/str: a borrowed run of bytes, not NUL-terminated.
 *
 * Who owns the bytes is said where a struct str is stored. p is never NULL in a str that says
 * "present"; {NULL, 0} means absent wherever a field is optional. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_STR_H
#define OSBD_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

/* A str of a string literal. */
#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
/* For printf("%.*s"). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *s)
{
	return (struct str){ s, s ? strlen(s) : 0 };
}

static inline struct str str_make(const char *p, size_t n)
{
	return (struct str){ p, n };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *s)
{
	return str_eq(a, str_of(s));
}

bool str_ieq(struct str a, struct str b); /* ASCII letters compare alike */
int str_cmp(struct str a, struct str b);  /* bytewise, like memcmp */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s); /* without spaces and tabs at both ends */
/* Cuts s at the first c: returns what stands before it and leaves in *rest what stands
 * behind; without a c returns s and leaves {NULL, 0}. */
struct str str_cut(struct str s, char c, struct str *rest);

/* True when s is valid UTF-8 (no surrogates, no overlong forms). NUL is valid. */
bool str_is_utf8(struct str s);
/* How many bytes at the head stand between quotes as they are: 0x20 to 0x7e without the quote and
 * the backslash. */
size_t str_plain_head(struct str s);
/* The first bytes of valid UTF-8, at most max, without a part of a character at the end. */
struct str str_utf8_head(struct str s, size_t max);
/* The number of characters of valid UTF-8. */
size_t str_utf8_len(struct str s);
/* [A-Za-z0-9._~-] only: RFC 3986 unreserved. */
bool str_is_unreserved(struct str s);

/* Decimal digits only; false when empty, not digits, or above the maximum. */
bool str_to_u64(struct str s, uint64_t *out);
/* "250ms", "45s", "10m", "2h", "1d", or "0"; milliseconds. */
bool str_to_duration(struct str s, uint64_t *ms);
/* "4096", "64k", "8M", "1G": bytes, binary multiples. */
bool str_to_size(struct str s, uint64_t *bytes);

#endif
