/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http.h"

#include "core/buf.h"
#include "core/mem.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_reason(int status)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

struct str http_error_body(struct arena *arena, int status, const char *description)
{
	const char *p;
	struct buf buf = { 0 };
	struct str body;

	buf_puts(&buf, "{\"error\":\"");
	for (p = http_reason(status); *p; p++)
		if (*p != ' ')
			buf_putc(&buf, *p);
	buf_puts(&buf, "\",\"description\":\"");
	for (p = description; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_putc(&buf, '\\');
		if ((unsigned char)*p < ' ')
			buf_printf(&buf, "\\u%04x", (unsigned)*p);
		else
			buf_putc(&buf, *p);
	}
	buf_puts(&buf, "\"}\n");
	body = arena_str(arena, buf_str(&buf));
	buf_finish(&buf);
	return body;
}

struct str http_request_header(const struct http_request *req, const char *name)
{
	struct str key = str_of(name);
	size_t i;

	for (i = 0; i < req->n_headers; i++)
		if (str_eq(req->headers[i].name, key))
			return req->headers[i].value;
	return str_make(NULL, 0);
}

bool http_request_header_twice(const struct http_request *req, const char *name)
{
	struct str key = str_of(name);
	size_t i, n = 0;

	for (i = 0; i < req->n_headers; i++)
		n += str_eq(req->headers[i].name, key);
	return n > 1;
}

/* -- target and host -------------------------------------------------------------------- */

static bool is_alnum(char c)
{
	return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* RFC 3986: unreserved or sub-delims. */
static bool is_plain(char c)
{
	return is_alnum(c) || c == '-' || c == '_' || c == '.' || (c && strchr("~!$&'()*+,;=", c));
}

/* pchar, '/' and, in a query, '?'; a % must have its two digits. */
static const char *check_chars(struct str s, bool query)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (is_plain(c) || c == '/' || c == ':' || c == '@' || (query && c == '?'))
			continue;
		if (c != '%')
			return "the target has a character that must be percent-encoded";
		if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
			return "the target has a % without two hex digits behind it";
	}
	return NULL;
}

static struct str collapse(struct arena *arena, struct str path)
{
	char *p;
	size_t i, n = 0;

	for (i = 0; i + 1 < path.n; i++)
		if (path.p[i] == '/' && path.p[i + 1] == '/')
			break;
	if (i + 1 >= path.n)
		return path;
	p = arena_alloc(arena, path.n);
	for (i = 0; i < path.n; i++)
		if (path.p[i] != '/' || n == 0 || p[n - 1] != '/')
			p[n++] = path.p[i];
	return str_make(p, n);
}

/* Cuts scheme and authority off an absolute-form; NULL or why not. */
static const char *skip_authority(struct str *target)
{
	struct str rest = *target;
	size_t scheme = 0, n;

	if (rest.n >= 7 && str_ieq(str_make(rest.p, 7), STR("http://")))
		scheme = 7;
	else if (rest.n >= 8 && str_ieq(str_make(rest.p, 8), STR("https://")))
		scheme = 8;
	else
		return "the target must begin with a slash, or be an http URL";
	rest = str_make(rest.p + scheme, rest.n - scheme);
	for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?'; n++)
		;
	if (n == 0 || !http_host_ok(str_make(rest.p, n)))
		return "the target has an invalid host";
	*target = str_make(rest.p + n, rest.n - n);
	return NULL;
}

int http_target_parse(struct arena *arena, struct str target, bool options, struct str *path,
		      struct str *query, const char **why)
{
	struct str rest = target;

	*path = STR("/");
	*query = str_make(NULL, 0);
	*why = NULL;
	if (options && str_is(target, "*")) {
		*path = target;
		return 0;
	}
	if (!target.n || target.p[0] != '/')
		*why = skip_authority(&rest);
	if (*why)
		return ERR_SYNTAX;
	rest = str_cut(rest, '?', query);
	*why = check_chars(rest, false);
	if (!*why)
		*why = check_chars(*query, true);
	if (*why)
		return ERR_SYNTAX;
	if (rest.n)
		*path = collapse(arena, rest);
	return 0;
}

bool http_prefix_strip(struct str prefix, struct str *path)
{
	struct str rest = *path;

	if (prefix.n <= 1)
		return true;
	if (!str_starts(rest, prefix))
		return false;
	rest = str_make(rest.p + prefix.n, rest.n - prefix.n);
	if (rest.n && rest.p[0] != '/')
		return false;
	*path = rest.n ? rest : STR("/");
	return true;
}

bool http_host_ok(struct str host)
{
	size_t i = 0;

	if (host.n && host.p[0] == '[') {
		for (i = 1;
		     i < host.n && (is_hex(host.p[i]) || host.p[i] == ':' || host.p[i] == '.');)
			i++;
		if (i < 3 || i == host.n || host.p[i++] != ']')
			return false;
	} else {
		for (; i < host.n && host.p[i] != ':'; i++) {
			if (host.p[i] == '%') {
				if (host.n - i < 3 || !is_hex(host.p[i + 1]) ||
				    !is_hex(host.p[i + 2]))
					return false;
			} else if (!is_plain(host.p[i])) {
				return false;
			}
		}
		if (i == 0 && host.n)
			return false; /* a port without a host */
	}
	if (i < host.n && host.p[i++] != ':')
		return false;
	for (; i < host.n; i++)
		if (host.p[i] < '0' || host.p[i] > '9')
			return false;
	return true;
}
