/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema_format.h"

#include "core/arena.h"
#include "core/mem.h"
#include "core/regex.h"

#include <arpa/inet.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool is_wide(char c)
{
	return (unsigned char)c >= 0x80;
}

static struct str rest(struct str s, size_t from)
{
	return str_make(s.p + from, s.n - from);
}

/* -- dates (RFC 3339) --------------------------------------------------------------------- */

/* Takes exactly n digits off the front; -1 when they are not there. */
static int take_digits(struct str *s, size_t n)
{
	int value = 0;
	size_t i;

	if (s->n < n)
		return -1;
	for (i = 0; i < n; i++) {
		if (!is_digit(s->p[i]))
			return -1;
		value = value * 10 + (s->p[i] - '0');
	}
	*s = rest(*s, n);
	return value;
}

static bool take(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = rest(*s, 1);
	return true;
}

static bool take_date(struct str *s)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day, last;

	year = take_digits(s, 4);
	if (year < 0 || !take(s, '-'))
		return false;
	month = take_digits(s, 2);
	if (month < 1 || month > 12 || !take(s, '-'))
		return false;
	day = take_digits(s, 2);
	last = days[month - 1];
	if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		last++;
	return day >= 1 && day <= last;
}

static bool take_time(struct str *s)
{
	int hour, minute, second, off_hour = 0, off_minute = 0, sign = 0, utc;

	hour = take_digits(s, 2);
	if (hour < 0 || hour > 23 || !take(s, ':'))
		return false;
	minute = take_digits(s, 2);
	if (minute < 0 || minute > 59 || !take(s, ':'))
		return false;
	second = take_digits(s, 2);
	if (second < 0 || second > 60)
		return false;
	if (take(s, '.')) {
		if (take_digits(s, 1) < 0)
			return false;
		while (s->n && is_digit(s->p[0]))
			*s = rest(*s, 1);
	}
	if (!take(s, 'Z') && !take(s, 'z')) {
		sign = take(s, '+') ? 1 : take(s, '-') ? -1 : 0;
		if (!sign)
			return false;
		off_hour = take_digits(s, 2);
		if (off_hour < 0 || off_hour > 23 || !take(s, ':'))
			return false;
		off_minute = take_digits(s, 2);
		if (off_minute < 0 || off_minute > 59)
			return false;
	}
	if (second < 60)
		return true;
	utc = hour * 60 + minute - sign * (off_hour * 60 + off_minute);
	return (utc + 2 * 1440) % 1440 == 23 * 60 + 59;
}

static bool is_date(struct str s)
{
	return take_date(&s) && s.n == 0;
}

static bool is_time(struct str s)
{
	return take_time(&s) && s.n == 0;
}

static bool is_date_time(struct str s)
{
	return take_date(&s) && (take(&s, 'T') || take(&s, 't')) && take_time(&s) && s.n == 0;
}

/* -- hosts and addresses ------------------------------------------------------------------ */

static bool is_address(int family, struct str s)
{
	unsigned char address[16];
	char text[64];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, address) == 1;
}

static bool is_ipv4(struct str s)
{
	return is_address(AF_INET, s);
}

static bool is_ipv6(struct str s)
{
	return is_address(AF_INET6, s);
}

/* The characters that no internationalised name may hold although they are letters. */
static bool forbidden_in_names(const char *p, size_t n)
{
	static const char *const list[] = {
		"\xd9\x80",     "\xdf\xba",     "\xe3\x80\xae", "\xe3\x80\xaf", "\xe3\x80\xb1",
		"\xe3\x80\xb2", "\xe3\x80\xb3", "\xe3\x80\xb4", "\xe3\x80\xb5", "\xe3\x80\xbb",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(list); i++)
		if (strlen(list[i]) <= n && memcmp(list[i], p, strlen(list[i])) == 0)
			return true;
	return false;
}

static bool is_label(struct str s, bool wide)
{
	bool plain = true;
	size_t i;

	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (i = 0; i < s.n; i++) {
		if (is_wide(s.p[i])) {
			plain = false;
			if (!wide || forbidden_in_names(s.p + i, s.n - i))
				return false;
		} else if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '-') {
			return false;
		}
	}
	return plain ? s.n <= 63 : str_utf8_len(s) + strlen("xn--") <= 63;
}

static bool is_host(struct str s, bool wide)
{
	struct str label, more = s;

	if (s.n == 0 || (wide ? str_utf8_len(s) : s.n) > 253)
		return false;
	while (more.p) {
		label = str_cut(more, '.', &more);
		if (!is_label(label, wide))
			return false;
	}
	return true;
}

static bool is_hostname(struct str s)
{
	return is_host(s, false);
}

static bool is_idn_hostname(struct str s)
{
	return str_is_utf8(s) && is_host(s, true);
}

/* -- mail (RFC 5321 section 4.1.2) -------------------------------------------------------- */

/* "a b\"c": printable characters, the quote and the backslash behind a backslash. */
static bool is_quoted(struct str s, bool wide)
{
	size_t i;

	for (i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && ++i == s.n)
			return false;
		if (is_wide(s.p[i]) ? !wide : s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	}
	return i + 1 == s.n;
}

static bool is_local_part(struct str s, bool wide)
{
	size_t i;

	if (s.n == 0 || s.n > 64)
		return false;
	if (s.p[0] == '"')
		return is_quoted(s, wide);
	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '.') {
			if (i == 0 || i + 1 == s.n || s.p[i - 1] == '.')
				return false;
			continue;
		}
		if (is_wide(s.p[i]) ? !wide
				    : !is_alpha(s.p[i]) && !is_digit(s.p[i]) &&
					      (!s.p[i] || !strchr("!#$%&'*+-/=?^_`{|}~", s.p[i])))
			return false;
	}
	return true;
}

static bool is_mailbox(struct str s, bool wide)
{
	const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
	struct str domain;

	if (!at || !is_local_part(str_make(s.p, (size_t)(at - s.p)), wide))
		return false;
	domain = rest(s, (size_t)(at - s.p) + 1);
	if (domain.n > 2 && domain.p[0] == '[' && domain.p[domain.n - 1] == ']') {
		domain = str_make(domain.p + 1, domain.n - 2);
		if (str_starts(domain, STR("IPv6:")))
			return is_ipv6(rest(domain, 5));
		return is_ipv4(domain);
	}
	return is_host(domain, wide);
}

static bool is_email(struct str s)
{
	return is_mailbox(s, false);
}

static bool is_idn_email(struct str s)
{
	return str_is_utf8(s) && is_mailbox(s, true);
}

/* -- URIs (RFC 3986 appendix A) ----------------------------------------------------------- */

/* Unreserved, sub-delims, percent-encoded, and what else is given. */
static bool all_of(struct str s, const char *also, bool wide)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (is_alpha(c) || is_digit(c) || (wide && is_wide(c)))
			continue;
		if (c == '%') {
			if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
				return false;
			i += 2;
			continue;
		}
		if (!c || (!strchr("-._~!$&'()*+,;=", c) && !strchr(also, c)))
			return false;
	}
	return true;
}

static bool is_ip_literal(struct str s)
{
	size_t i = 1;

	if (s.n == 0 || (s.p[0] | 32) != 'v')
		return is_ipv6(s);
	while (i < s.n && is_hex(s.p[i]))
		i++;
	return i > 1 && i + 1 < s.n && s.p[i] == '.' && !memchr(s.p + i, '%', s.n - i) &&
	       all_of(rest(s, i + 1), ":", false);
}

static bool is_authority(struct str s, bool wide)
{
	const char *at = s.n ? memchr(s.p, '@', s.n) : NULL;
	const char *colon;
	struct str port = { NULL, 0 };
	size_t i;

	if (at) {
		if (!all_of(str_make(s.p, (size_t)(at - s.p)), ":", wide))
			return false;
		s = rest(s, (size_t)(at - s.p) + 1);
	}
	if (s.n && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		if (!end || !is_ip_literal(str_make(s.p + 1, (size_t)(end - s.p) - 1)))
			return false;
		s = rest(s, (size_t)(end - s.p) + 1);
		if (s.n && s.p[0] != ':')
			return false;
	}
	colon = s.n ? memchr(s.p, ':', s.n) : NULL;
	if (colon) {
		port = rest(s, (size_t)(colon - s.p) + 1);
		s.n = (size_t)(colon - s.p);
	}
	for (i = 0; i < port.n; i++)
		if (!is_digit(port.p[i]))
			return false;
	return all_of(s, "", wide);
}

static size_t scheme_length(struct str s)
{
	size_t i = 0;

	if (s.n == 0 || !is_alpha(s.p[0]))
		return 0;
	while (i < s.n && (is_alpha(s.p[i]) || is_digit(s.p[i]) || s.p[i] == '+' || s.p[i] == '-' ||
			   s.p[i] == '.'))
		i++;
	return i < s.n && s.p[i] == ':' ? i : 0;
}

static bool is_reference(struct str s, bool absolute, bool wide)
{
	struct str fragment, query, segment;
	size_t scheme = scheme_length(s), i;

	if (absolute && !scheme)
		return false;
	s = str_cut(scheme ? rest(s, scheme + 1) : s, '#', &fragment);
	s = str_cut(s, '?', &query);
	if (!all_of(fragment, ":@/?", wide) || !all_of(query, ":@/?", wide))
		return false;
	if (str_starts(s, STR("//"))) {
		s = rest(s, 2);
		for (i = 0; i < s.n && s.p[i] != '/'; i++)
			;
		return is_authority(str_make(s.p, i), wide) && all_of(rest(s, i), ":@/", wide);
	}
	if (!scheme) { /* a colon in the first segment would end a scheme */
		segment = str_cut(s, '/', &query);
		if (segment.n && memchr(segment.p, ':', segment.n))
			return false;
	}
	return all_of(s, ":@/", wide);
}

static bool is_uri(struct str s)
{
	return is_reference(s, true, false);
}

static bool is_uri_reference(struct str s)
{
	return is_reference(s, false, false);
}

static bool is_iri(struct str s)
{
	return str_is_utf8(s) && is_reference(s, true, true);
}

static bool is_iri_reference(struct str s)
{
	return str_is_utf8(s) && is_reference(s, false, true);
}

/* -- URI templates (RFC 6570 section 2) --------------------------------------------------- */

static bool is_varspec(struct str s)
{
	struct str name = s, prefix = { NULL, 0 };
	uint64_t length;
	size_t i;

	if (s.n && s.p[s.n - 1] == '*')
		name.n--;
	else
		name = str_cut(s, ':', &prefix);
	if (prefix.p) { /* 1 to 9999 */
		if (prefix.n == 0 || prefix.n > 4 || prefix.p[0] == '0')
			return false;
		if (!str_to_u64(prefix, &length))
			return false;
	}
	for (i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c == '%' && i + 2 < name.n && is_hex(name.p[i + 1]) && is_hex(name.p[i + 2]))
			i += 2;
		else if (c == '.' && (i == 0 || i + 1 == name.n || name.p[i - 1] == '.'))
			return false;
		else if (!is_alpha(c) && !is_digit(c) && c != '_' && c != '.')
			return false;
	}
	return name.n > 0;
}

static bool is_expression(struct str s)
{
	if (s.n && s.p[0] && strchr("+#./;?&=,!@|", s.p[0]))
		s = rest(s, 1);
	do {
		if (!is_varspec(str_cut(s, ',', &s)))
			return false;
	} while (s.p);
	return true;
}

static bool is_uri_template(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '{') {
			const char *end = memchr(s.p + i, '}', s.n - i);

			if (!end)
				return false;
			if (!is_expression(str_make(s.p + i + 1, (size_t)(end - s.p) - i - 1)))
				return false;
			i = (size_t)(end - s.p);
		} else if (c == '%') {
			if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
				return false;
			i += 2;
		} else if ((unsigned char)c <= ' ' || c == 0x7f || strchr("\"<>\\^`|}", c)) {
			return false;
		}
	}
	return str_is_utf8(s);
}

/* -- pointers (RFC 6901) ------------------------------------------------------------------ */

static bool is_json_pointer(struct str s)
{
	size_t i;

	if (s.n && s.p[0] != '/')
		return false;
	for (i = 0; i < s.n; i++)
		if (s.p[i] == '~' && (i + 1 == s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
			return false;
	return true;
}

static bool is_relative_json_pointer(struct str s)
{
	size_t i = 0;

	while (i < s.n && is_digit(s.p[i]))
		i++;
	if (i == 0 || (s.p[0] == '0' && i > 1))
		return false;
	s = rest(s, i);
	return str_is(s, "#") || is_json_pointer(s);
}

static bool is_regex(struct str s)
{
	struct arena arena = { NULL, NULL };
	struct regex *regex;
	int rc = regex_compile(&arena, s, &regex, NULL);

	arena_finish(&arena);
	return rc == 0;
}

schema_format_fn schema_format_find(struct str name)
{
	static const struct {
		const char *name;
		schema_format_fn check;
	} formats[] = {
		{ "date-time", is_date_time },
		{ "date", is_date },
		{ "time", is_time },
		{ "email", is_email },
		{ "idn-email", is_idn_email },
		{ "hostname", is_hostname },
		{ "idn-hostname", is_idn_hostname },
		{ "ipv4", is_ipv4 },
		{ "ipv6", is_ipv6 },
		{ "uri", is_uri },
		{ "uri-reference", is_uri_reference },
		{ "iri", is_iri },
		{ "iri-reference", is_iri_reference },
		{ "uri-template", is_uri_template },
		{ "json-pointer", is_json_pointer },
		{ "relative-json-pointer", is_relative_json_pointer },
		{ "regex", is_regex },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(formats); i++)
		if (str_is(name, formats[i].name))
			return formats[i].check;
	return NULL;
}
