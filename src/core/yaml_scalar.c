/* SPDX-License-Identifier: Apache-2.0 */
#include "core/yaml_scalar.h"

#include "core/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TAG_PREFIX "tag:yaml.org,2002:"

/* Base first: json.scalar_ says that the rest is there. */
struct yaml_scalar {
	struct json json;
	struct str text;
	bool plain;
};

static const struct yaml_scalar *scalar_of(const struct json *v)
{
	return v && v->scalar_ ? container_of(v, const struct yaml_scalar, json) : NULL;
}

struct str yaml_text(const struct json *v)
{
	const struct yaml_scalar *scalar = scalar_of(v);

	if (scalar)
		return scalar->text;
	if (!v)
		return str_make(NULL, 0);
	switch (json_type(v)) {
	case JSON_NULL:
		return STR("null");
	case JSON_BOOL:
		return json_bool_value(v) ? STR("true") : STR("false");
	case JSON_NUMBER:
		return json_num_text(v);
	case JSON_STRING:
		return json_str(v);
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	return str_make(NULL, 0);
}

bool yaml_is_plain(const struct json *v)
{
	const struct yaml_scalar *scalar = scalar_of(v);

	return scalar && scalar->plain;
}

static bool is_word(struct str text, const char *const *words)
{
	for (; *words; words++)
		if (str_is(text, *words))
			return true;
	return false;
}

static const char *const null_words[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const true_words[] = { "true", "True", "TRUE", NULL };
static const char *const false_words[] = { "false", "False", "FALSE", NULL };
static const char *const yes_words[] = { "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", NULL };
static const char *const no_words[] = { "n", "N", "no", "No", "NO", "off", "Off", "OFF", NULL };
static const char *const special_words[] = {
	".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
	"-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL,
};

static size_t span(struct str s, const char *set)
{
	size_t n = 0;

	while (n < s.n && s.p[n] && strchr(set, s.p[n]))
		n++;
	return n;
}

static struct str skip(struct str s, size_t n)
{
	return str_make(s.p + n, s.n - n);
}

#define DIGITS "0123456789"

/* Digits of another base than ten; false when it does not fit 64 bits. */
static bool to_u64(struct str digits, unsigned base, uint64_t *out)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < digits.n; i++) {
		unsigned c = (unsigned char)digits.p[i];
		unsigned digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

		if (value > (UINT64_MAX - digit) / base)
			return false;
		value = value * base + digit;
	}
	*out = value;
	return true;
}

/* 0x1F, 0o17, 0b11 and 017, behind the sign: the digits and their base; 0 when it is none. */
static unsigned other_base(struct str s, struct str *digits)
{
	static const struct {
		char letter;
		unsigned base;
		const char *set;
	} bases[] = {
		{ 'x', 16, DIGITS "abcdefABCDEF" },
		{ 'o', 8, "01234567" },
		{ 'b', 2, "01" },
	};
	size_t i;

	if (s.n < 2 || s.p[0] != '0')
		return 0;
	*digits = skip(s, 1);
	if (span(*digits, "01234567") == digits->n)
		return 8;
	*digits = skip(s, 2);
	for (i = 0; i < ARRAY_LEN(bases); i++)
		if ((s.p[1] | 0x20) == bases[i].letter && digits->n &&
		    span(*digits, bases[i].set) == digits->n)
			return bases[i].base;
	return 0;
}

/* [0-9]+(\.[0-9]*)? or \.[0-9]+, then ([eE][-+]?[0-9]+)?, behind the sign, as JSON writes it:
 * no leading zeros, digits on both sides of the point. */
static bool decimal(struct str s, bool minus, struct buf *out)
{
	struct str whole, part = { NULL, 0 }, exponent = { NULL, 0 };
	size_t n = span(s, DIGITS);

	whole = str_make(s.p, n);
	s = skip(s, n);
	if (s.n && s.p[0] == '.') {
		n = span(skip(s, 1), DIGITS);
		part = str_make(s.p + 1, n);
		s = skip(s, 1 + n);
	}
	if (!whole.n && !part.n)
		return false;
	if (s.n && (s.p[0] == 'e' || s.p[0] == 'E')) {
		size_t sign = s.n > 1 && (s.p[1] == '-' || s.p[1] == '+');

		n = span(skip(s, 1 + sign), DIGITS);
		if (!n)
			return false;
		exponent = str_make(s.p, 1 + sign + n);
		s = skip(s, exponent.n);
	}
	if (s.n)
		return false;
	while (whole.n && whole.p[0] == '0')
		whole = skip(whole, 1);
	if (minus && (whole.n || part.n || exponent.n))
		buf_putc(out, '-');
	buf_put_str(out, whole.n ? whole : STR("0"));
	if (part.n) {
		buf_putc(out, '.');
		buf_put_str(out, part);
	}
	buf_put_str(out, exponent);
	return true;
}

static bool overflows(const char *text)
{
	return isinf(strtod(text, NULL)) != 0;
}

/* The number that a plain text stands for: 1 it is one, 0 it is none, -1 *problem. */
static int number(struct str text, enum yaml_typing typing, struct buf *out, const char **problem)
{
	struct str s = text, digits;
	struct buf bare = { 0 };
	bool minus, found = false;
	unsigned base;
	uint64_t value;
	size_t i;

	if (!text.n || !strchr(DIGITS "+-.", text.p[0]))
		return 0;
	if (memchr(text.p, '_', text.n) && text.p[0] != '.') {
		for (i = 0; i < text.n; i++)
			if (text.p[i] != '_')
				buf_putc(&bare, text.p[i]);
		s = buf_str(&bare);
	}
	minus = s.p[0] == '-';
	if (minus || s.p[0] == '+')
		s = skip(s, 1);
	base = other_base(s, &digits);
	if (base && to_u64(digits, base, &value)) {
		buf_printf(out, "%s%" PRIu64, minus && value ? "-" : "", value);
		found = true;
	} else if (base && typing == YAML_CORE) {
		*problem = "an integer of more than 64 bits";
	} else {
		found = decimal(s, minus, out);
	}
	buf_finish(&bare);
	if (*problem)
		return -1;
	if (!found)
		return 0;
	if (!json_number_ok(buf_str(out)) || (typing == YAML_V2 && overflows(out->p))) {
		if (typing == YAML_V2) /* yaml.v2 leaves it a string */
			return 0;
		*problem = "a number that is too long or too large";
		return -1;
	}
	return 1;
}

static struct json *plain_value(struct arena *arena, struct str text, enum yaml_typing typing,
				const char **problem)
{
	struct json *v = NULL;
	struct buf buf = { 0 };
	int is;

	if (is_word(text, null_words))
		return json_null(arena);
	if (is_word(text, true_words) || (typing == YAML_V2 && is_word(text, yes_words)))
		return json_bool(arena, true);
	if (is_word(text, false_words) || (typing == YAML_V2 && is_word(text, no_words)))
		return json_bool(arena, false);
	if (is_word(text, special_words)) {
		*problem = "infinity and not-a-number have no value here; a string needs quotes";
		return NULL;
	}
	is = number(text, typing, &buf, problem);
	if (is > 0)
		v = json_number(arena, buf_str(&buf));
	else if (is == 0)
		v = json_string(arena, text);
	buf_finish(&buf);
	return v;
}

/* By an explicit tag: the text decides as if it were plain, and must be of that type. */
static struct json *tagged_value(struct arena *arena, struct str text, enum yaml_typing typing,
				 const char *tag, const char **problem)
{
	static const struct {
		const char *tag;
		enum json_type type;
		const char *problem;
	} tags[] = {
		{ "null", JSON_NULL, "!!null in front of something else" },
		{ "bool", JSON_BOOL, "!!bool in front of something else" },
		{ "int", JSON_NUMBER, "!!int in front of something else" },
		{ "float", JSON_NUMBER, "!!float in front of something else" },
	};
	struct json *v;
	size_t i;

	if (strncmp(tag, TAG_PREFIX, strlen(TAG_PREFIX)) == 0) {
		tag += strlen(TAG_PREFIX);
		if (strcmp(tag, "str") == 0)
			return json_string(arena, text);
		for (i = 0; i < ARRAY_LEN(tags); i++) {
			if (strcmp(tag, tags[i].tag) != 0)
				continue;
			v = plain_value(arena, text, typing, problem);
			if (v && (json_type(v) != tags[i].type ||
				  (strcmp(tag, "int") == 0 &&
				   !json_number_is_integer(json_num_text(v))))) {
				*problem = tags[i].problem;
				v = NULL;
			}
			return v;
		}
	}
	*problem = YAML_NO_SUCH_TAG;
	return NULL;
}

struct json *yaml_scalar(struct arena *arena, struct str text, enum yaml_typing typing, bool plain,
			 const char *tag, const char **problem)
{
	struct yaml_scalar *scalar;
	const char *why = NULL;
	struct json *v;

	if (tag)
		v = tagged_value(arena, text, typing, tag, &why);
	else if (plain)
		v = plain_value(arena, text, typing, &why);
	else
		v = json_string(arena, text);
	if (problem)
		*problem = why;
	if (!v)
		return NULL;
	scalar = arena_new(arena, struct yaml_scalar);
	scalar->json = *v;
	scalar->json.scalar_ = true;
	scalar->text = arena_str(arena, text.p ? text : STR(""));
	scalar->plain = plain;
	return &scalar->json;
}
