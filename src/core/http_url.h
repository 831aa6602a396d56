/* core/http_url: where a request goes: http and https URLs, absolute or relative to another.
 *
 *   host   a name in lower case, or an IP address; [::1] loses its brackets and sets literal6.
 *   path   raw, percent-encoded, begins with a slash; dots are resolved in relative references.
 *   query  raw, behind '?'; {NULL, 0} without one. A fragment is dropped.
 * errors: ERR_INVALID, err says what is wrong and never repeats the text, which may hold a secret:
 *         no http or https, user information (credentials have fields of their own), a bad host or
 *         port, a character that must be percent-encoded.
 * Source: RFC 3986 sections 3 and 5.2, RFC 9110 section 4.2. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_URL_H
#define OSBD_CORE_HTTP_URL_H

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

struct http_url {
	bool https;
	bool literal6;
	struct str host; /* in the arena, NUL behind it */
	uint16_t port;
	struct str path, query;
};

/* All of out is in the arena. */
int http_url_parse(struct arena *arena, struct str text, struct http_url *out,
		   struct err *err) MUST_CHECK;
/* What a Location header names: ref may be absolute, "//host/path", "/path", "path" or "?query". */
int http_url_join(struct arena *arena, const struct http_url *base, struct str ref,
		  struct http_url *out, struct err *err) MUST_CHECK;
bool http_url_same_origin(const struct http_url *a, const struct http_url *b);
/* "http://host:8080", the port only if it is not the scheme's own. */
const char *http_url_origin(struct arena *arena, const struct http_url *url);
/* For people: origin and path, cut when it is long, never the query. */
const char *http_url_text(struct arena *arena, const struct http_url *url);

#endif
