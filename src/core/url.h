/* core/url: percent-encoding, path segments, query parameters.
 *
 * Paths and queries are handled raw, as they were sent, and decoded piece by piece, so that an
 * encoded slash or ampersand never splits anything. Decoded bytes may be anything, NUL and
 * invalid UTF-8 included: whoever takes them checks what it needs.
 * Source: RFC 3986 sections 2.1, 3.3 and 3.4; HTML's application/x-www-form-urlencoded for `+`. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_URL_H
#define OSBD_CORE_URL_H

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

/* ERR_SYNTAX when a % is not followed by two hex digits; `+` is an ordinary character. Without
 * escapes *out is text itself, else a copy in the arena with a NUL behind it. */
int url_decode(struct arena *arena, struct str text, struct str *out) MUST_CHECK;
/* All but RFC 3986 unreserved characters become %XX: safe as one segment, name or value. */
struct str url_encode(struct arena *arena, struct str text);

/* Takes the next segment, raw, off the front of a path; false at its end. Each slash begins one:
 * "/v2/catalog" has two, "/v2/" has "v2" and "", "/" has one that is empty. */
bool url_segment(struct str *path, struct str *segment);

/* Takes the next `name=value`, raw, off the front of a query; false at its end. Empty pairs are
 * skipped; without `=` the value is {NULL, 0}. */
bool url_query_next(struct str *query, struct str *name, struct str *value);
/* The decoded value of a parameter, `+` being a space; {NULL, 0} when it is absent, an empty str
 * that is present for `name` and `name=`. ERR_SYNTAX: a bad escape anywhere in the names or in
 * this value; ERR_EXISTS: the name occurs twice. */
int url_query_get(struct arena *arena, struct str query, const char *name,
		  struct str *out) MUST_CHECK;

#endif
