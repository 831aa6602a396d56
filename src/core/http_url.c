/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_url.h"

#include "core/buf.h"
#include "core/dial.h"

#define TEXT_PATH_MAX 256

static int bad(struct err *err, const char *why)
{
	return err_set(err, ERR_INVALID, "%s", why);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* pchar and '/', in a query '?' too (RFC 3986 section 3.3). */
static int check(struct str s, bool query, struct err *err)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
				return bad(err, "the URL has a % without two hex digits behind it");
		} else if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') &&
			   !(c && strchr("-._~!$&'()*+,;=:@/", c)) && !(query && c == '?')) {
			return bad(err, "the URL has a character that must be percent-encoded");
		}
	}
	return 0;
}

static int parse_port(struct str text, struct http_url *out, struct err *err)
{
	uint64_t port;

	if (!text.n)
		return 0;
	if (text.n > 5 || !str_to_u64(text, &port) || port == 0 || port > 65535)
		return bad(err, "the port of the URL is no number from 1 to 65535");
	out->port = (uint16_t)port;
	return 0;
}

static int parse_authority(struct arena *arena, struct str text, struct http_url *out,
			   struct err *err)
{
	struct dial_address address;
	struct str host, port = { NULL, 0 };
	const char *end;
	char *lower;
	size_t i;

	if (text.n && memchr(text.p, '@', text.n))
		return bad(err, "the URL must not hold a user or password");
	out->port = out->https ? 443 : 80;
	out->literal6 = text.n && text.p[0] == '[';
	if (out->literal6) {
		end = memchr(text.p, ']', text.n);
		if (!end)
			return bad(err, "the host of the URL has no ]");
		host = str_make(text.p + 1, (size_t)(end - text.p) - 1);
		port = str_make(end + 1, text.n - host.n - 2);
		if (!memchr(host.p, ':', host.n) || !dial_ip(host, 0, &address))
			return bad(err, "the host of the URL is no IPv6 address");
		if (port.n && port.p[0] != ':')
			return bad(err, "the host of the URL is not followed by a port");
		if (port.n)
			port = str_make(port.p + 1, port.n - 1);
	} else {
		host = str_cut(text, ':', &port);
	}
	if (!host.n || host.n > 253)
		return bad(err, "the URL has no host, or a longer one than a name may be");
	for (i = 0; !out->literal6 && i < host.n; i++) {
		char c = host.p[i];

		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '.' && c != '_')
			return bad(err, "the host of the URL has a character that no name has");
	}
	lower = arena_strndup(arena, host.p, host.n);
	for (i = 0; i < host.n; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] |= 0x20;
	out->host = str_make(lower, host.n);
	return parse_port(port, out, err);
}

/* Path and query; the fragment is cut off before. */
static int parse_target(struct arena *arena, struct str text, struct http_url *out, struct err *err)
{
	struct str query, path = str_cut(text, '?', &query);
	int rc;

	rc = check(path, false, err);
	if (rc == 0)
		rc = check(query, true, err);
	if (rc != 0)
		return rc;
	out->path = path.n ? arena_str(arena, path) : STR("/");
	out->query = query.p ? arena_str(arena, query) : query;
	return 0;
}

static struct str without_fragment(struct str text)
{
	struct str fragment;

	return str_cut(text, '#', &fragment);
}

/* Behind "//": authority, then the rest. */
static int parse_rest(struct arena *arena, struct str text, struct http_url *out, struct err *err)
{
	struct str authority = text, target;
	int rc;

	for (authority.n = 0; authority.n < text.n; authority.n++)
		if (text.p[authority.n] == '/' || text.p[authority.n] == '?')
			break;
	target = str_make(text.p + authority.n, text.n - authority.n);
	rc = parse_authority(arena, authority, out, err);
	return rc != 0 ? rc : parse_target(arena, target, out, err);
}

/* Steps over "http://" or "https://". */
static bool take_scheme(struct str *text, bool *https)
{
	if (text->n >= 7 && str_ieq(str_make(text->p, 7), STR("http://"))) {
		*https = false;
		*text = str_make(text->p + 7, text->n - 7);
		return true;
	}
	if (text->n >= 8 && str_ieq(str_make(text->p, 8), STR("https://"))) {
		*https = true;
		*text = str_make(text->p + 8, text->n - 8);
		return true;
	}
	return false;
}

int http_url_parse(struct arena *arena, struct str text, struct http_url *out, struct err *err)
{
	struct str rest = without_fragment(text);

	*out = (struct http_url){ 0 };
	if (!take_scheme(&rest, &out->https))
		return bad(err, "the URL must begin with http:// or https://");
	return parse_rest(arena, rest, out, err);
}

/* RFC 3986 section 5.2.4, for a path that begins with a slash. */
static struct str remove_dots(struct arena *arena, struct str path)
{
	char *out = arena_alloc(arena, path.n + 1);
	size_t i = 0, n = 0;

	while (i < path.n) {
		size_t end = i + 1;
		struct str segment;

		while (end < path.n && path.p[end] != '/')
			end++;
		segment = str_make(path.p + i + 1, end - i - 1);
		if (str_is(segment, "..")) {
			while (n && out[n - 1] != '/')
				n--;
			n -= n ? 1 : 0;
		}
		if (str_is(segment, ".") || str_is(segment, "..")) {
			if (end == path.n)
				out[n++] = '/';
		} else {
			memcpy(out + n, path.p + i, end - i);
			n += end - i;
		}
		i = end;
	}
	if (!n)
		out[n++] = '/';
	out[n] = '\0';
	return str_make(out, n);
}

static bool has_scheme(struct str ref)
{
	size_t i;

	for (i = 0; i < ref.n; i++) {
		if (ref.p[i] == ':')
			return i > 0;
		if (ref.p[i] == '/' || ref.p[i] == '?')
			return false;
	}
	return false;
}

int http_url_join(struct arena *arena, const struct http_url *base, struct str ref,
		  struct http_url *out, struct err *err)
{
	struct str rest = without_fragment(ref), raw;
	struct buf path = { 0 };
	size_t keep;
	int rc;

	if (has_scheme(rest)) {
		rc = http_url_parse(arena, rest, out, err);
		if (rc == 0)
			out->path = remove_dots(arena, out->path);
		return rc;
	}
	*out = *base;
	if (str_starts(rest, STR("//"))) {
		rc = parse_rest(arena, str_make(rest.p + 2, rest.n - 2), out, err);
		if (rc == 0)
			out->path = remove_dots(arena, out->path);
		return rc;
	}
	if (!rest.n)
		return 0;
	if (rest.p[0] == '?') {
		rc = parse_target(arena, rest, out, err);
		out->path = base->path;
		return rc;
	}
	if (rest.p[0] != '/') {
		for (keep = base->path.n; base->path.p[keep - 1] != '/'; keep--)
			;
		buf_put(&path, base->path.p, keep);
	}
	buf_put_str(&path, rest);
	raw = arena_str(arena, buf_str(&path));
	buf_finish(&path);
	rc = parse_target(arena, raw, out, err);
	if (rc == 0)
		out->path = remove_dots(arena, out->path);
	return rc;
}

bool http_url_same_origin(const struct http_url *a, const struct http_url *b)
{
	return a->https == b->https && a->port == b->port && str_eq(a->host, b->host);
}

const char *http_url_origin(struct arena *arena, const struct http_url *url)
{
	const char *scheme = url->https ? "https" : "http";
	const char *open = url->literal6 ? "[" : "", *shut = url->literal6 ? "]" : "";

	if (url->port == (url->https ? 443 : 80))
		return arena_printf(arena, "%s://%s%.*s%s", scheme, open, STR_ARG(url->host), shut);
	return arena_printf(arena, "%s://%s%.*s%s:%u", scheme, open, STR_ARG(url->host), shut,
			    url->port);
}

const char *http_url_text(struct arena *arena, const struct http_url *url)
{
	struct str path = url->path;
	const char *cut = "";

	if (path.n > TEXT_PATH_MAX) {
		path.n = TEXT_PATH_MAX;
		cut = "...";
	}
	return arena_printf(arena, "%s%.*s%s", http_url_origin(arena, url), STR_ARG(path), cut);
}
