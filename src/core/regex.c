/* SPDX-License-Identifier: Apache-2.0 */
#include "core/regex.h"

#include "core/buf.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define EFFORT_FIRST 1000 /* most matches end within this many steps */
#define DEPTH_MAX 50000   /* nested backtracking points; they are on the heap */
#define HEAP_MAX 16384    /* KiB of them */

struct regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *first, *full; /* with the lower and the upper limit */
};

/* -- from ECMA-262 to PCRE2 -------------------------------------------------------------- */

/* White space and line ends; \p{Z} covers Zs, U+2028 and U+2029. */
#define SPACES "\\t\\n\\x0b\\f\\r\\u00a0\\ufeff\\p{Z}"

static bool hex4(struct str s, size_t at, unsigned *out)
{
	unsigned value = 0;
	size_t i;

	if (at + 4 > s.n)
		return false;
	for (i = at; i < at + 4; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value = value << 4 | (unsigned)((c | 32) - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

/* A pair of \uXXXX escapes at i that makes one character is put as that: its length, or 0. */
static size_t surrogate_pair(struct str s, size_t i, struct buf *to)
{
	unsigned high, low;

	if (i + 12 > s.n || s.p[i + 1] != 'u' || !hex4(s, i + 2, &high) ||
	    (high & 0xFC00) != 0xD800)
		return 0;
	if (s.p[i + 6] != '\\' || s.p[i + 7] != 'u' || !hex4(s, i + 8, &low) ||
	    (low & 0xFC00) != 0xDC00)
		return 0;
	buf_printf(to, "\\u{%x}", 0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF));
	return 12;
}

/* Puts the escape at i; returns its length, 0 when there is no such escape. */
static size_t escape(struct str s, size_t i, bool in_class, struct buf *to)
{
	static const char letters[] = "bBdDwWsSfnrtvcxukpP";
	char c;
	size_t n;

	if (i + 1 >= s.n)
		return 0;
	c = s.p[i + 1];
	if (c == 's') {
		buf_puts(to, in_class ? SPACES : "[" SPACES "]");
		return 2;
	}
	if (c == 'S' && !in_class) {
		buf_puts(to, "[^" SPACES "]");
		return 2;
	}
	if (c == 'v') { /* to PCRE2 any vertical space */
		buf_puts(to, "\\x0b");
		return 2;
	}
	n = surrogate_pair(s, i, to);
	if (n)
		return n;
	if (((c | 32) >= 'a' && (c | 32) <= 'z') && !strchr(letters, c))
		return 0;
	buf_put(to, s.p + i, 2);
	return 2;
}

static int translate(struct str s, struct buf *to, struct err *err)
{
	bool in_class = false;
	size_t i = 0, n;

	if (str_starts(s, STR("(*")))
		return err_set(err, ERR_SYNTAX,
			       "quantifier does not follow a repeatable item at "
			       "offset 1");
	while (i < s.n) {
		switch (s.p[i]) {
		case '\\':
			n = escape(s, i, in_class, to);
			if (n == 0)
				return err_set(err, ERR_SYNTAX, "unknown escape at offset %zu", i);
			i += n;
			continue;
		case '[':
			buf_puts(to, in_class ? "\\[" : "[");
			in_class = true;
			break;
		case ']':
			buf_putc(to, ']');
			in_class = false;
			break;
		default:
			buf_putc(to, s.p[i]);
			break;
		}
		i++;
	}
	return 0;
}

/* -- compiling and matching -------------------------------------------------------------- */

static void regex_free(void *data)
{
	struct regex *regex = data;

	pcre2_match_context_free(regex->first);
	pcre2_match_context_free(regex->full);
	pcre2_match_data_free(regex->match);
	pcre2_code_free(regex->code);
}

static pcre2_match_context *context(uint32_t limit)
{
	pcre2_match_context *made = pcre2_match_context_create(NULL);

	if (!made)
		abort();
	pcre2_set_match_limit(made, limit);
	pcre2_set_depth_limit(made, limit < DEPTH_MAX ? limit : DEPTH_MAX);
	pcre2_set_heap_limit(made, HEAP_MAX);
	return made;
}

static int compile(struct regex *regex, struct str pattern, struct err *err)
{
	const uint32_t options = PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY |
				 PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
				 PCRE2_NEVER_BACKSLASH_C;
	pcre2_compile_context *ctx = pcre2_compile_context_create(NULL);
	PCRE2_UCHAR why[160];
	PCRE2_SIZE at;
	int code;

	if (!ctx)
		abort();
	pcre2_set_newline(ctx, PCRE2_NEWLINE_ANYCRLF);
	pcre2_set_parens_nest_limit(ctx, 100);
	pcre2_set_compile_extra_options(ctx, PCRE2_EXTRA_ALT_BSUX);
	regex->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &code, &at, ctx);
	pcre2_compile_context_free(ctx);
	if (regex->code)
		return 0;
	if (pcre2_get_error_message(code, why, sizeof(why)) < 0)
		memcpy(why, "not a regular expression", sizeof("not a regular expression"));
	return err_set(err, ERR_SYNTAX, "%s at offset %zu", (char *)why, (size_t)at);
}

int regex_compile(struct arena *arena, struct str pattern, struct regex **out, struct err *err)
{
	struct regex *regex = arena_new(arena, struct regex);
	struct buf buf = { NULL, 0, 0 };
	int rc;

	if (pattern.n > REGEX_PATTERN_MAX)
		return err_set(err, ERR_TOOBIG, "pattern longer than %d bytes", REGEX_PATTERN_MAX);
	rc = translate(pattern, &buf, err);
	if (rc == 0)
		rc = compile(regex, buf_str(&buf), err);
	buf_finish(&buf);
	if (rc)
		return rc;
	regex->match = pcre2_match_data_create(1, NULL);
	if (!regex->match)
		abort();
	regex->first = context(EFFORT_FIRST);
	regex->full = context(REGEX_EFFORT_MAX);
	arena_defer(arena, regex_free, regex);
	*out = regex;
	return 0;
}

static bool limit_reached(int rc)
{
	return rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT ||
	       rc == PCRE2_ERROR_HEAPLIMIT;
}

int regex_match(const struct regex *regex, struct str subject, bool *matched, unsigned *effort,
		struct err *err)
{
	PCRE2_SPTR text = (PCRE2_SPTR)(subject.p ? subject.p : "");
	unsigned spent = EFFORT_FIRST;
	int rc;

	rc = pcre2_match(regex->code, text, subject.n, 0, 0, regex->match, regex->first);
	if (limit_reached(rc)) {
		spent = REGEX_EFFORT_MAX;
		rc = pcre2_match(regex->code, text, subject.n, 0, PCRE2_NO_UTF_CHECK, regex->match,
				 regex->full);
	}
	if (effort)
		*effort = spent;
	if (limit_reached(rc))
		return err_set(err, ERR_TOOBIG, "matching the pattern takes too many steps");
	if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
		return err_set(err, ERR_INVALID, "cannot be matched: not UTF-8");
	*matched = rc != PCRE2_ERROR_NOMATCH;
	return 0;
}
