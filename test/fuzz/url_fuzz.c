/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: what is encoded decodes to itself, what decodes encodes to something that decodes the
 * same; segments and pairs put together again are what they were taken from; targets that are
 * accepted keep their form. */
#include "core/http.h"
#include "core/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool holds)
{
	if (!holds)
		abort();
}

static void segments(struct str path)
{
	struct str rest = path, segment;
	const char *end = path.p + path.n;
	size_t n = 0;

	if (path.n && path.p[0] != '/')
		n--; /* a first segment without a slash of its own */
	while (url_segment(&rest, &segment)) {
		want(!segment.n || !memchr(segment.p, '/', segment.n));
		n += segment.n + 1;
		want(rest.p + rest.n == end);
	}
	want(n == path.n);
}

static void pairs(struct arena *arena, struct str query)
{
	struct str rest = query, name, value, decoded, got;

	while (url_query_next(&rest, &name, &value)) {
		const char *key;
		int rc;

		if (url_decode(arena, name, &decoded) != 0 || !decoded.n ||
		    memchr(decoded.p, '\0', decoded.n) || memchr(name.p, '+', name.n))
			continue;
		key = arena_strndup(arena, decoded.p, decoded.n);
		rc = url_query_get(arena, query, key, &got);
		want(rc != 0 || got.p); /* it is there, so it is found, or why not is said */
		want(rc == 0 || rc == ERR_SYNTAX || rc == ERR_EXISTS);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size), encoded, decoded, again, path, query;
	struct arena arena = { 0 };
	const char *why;

	encoded = url_encode(&arena, text);
	want(url_decode(&arena, encoded, &decoded) == 0 && str_eq(decoded, text));
	if (url_decode(&arena, text, &decoded) == 0) {
		encoded = url_encode(&arena, decoded);
		want(url_decode(&arena, encoded, &again) == 0 && str_eq(again, decoded));
	}
	segments(text);
	pairs(&arena, text);
	(void)http_host_ok(text);
	if (http_target_parse(&arena, text, true, &path, &query, &why) == 0)
		want(path.n && (path.p[0] == '/' || str_is(path, "*")) && path.n <= text.n + 1 &&
		     url_decode(&arena, path, &decoded) == 0);
	else
		want(why != NULL);
	arena_finish(&arena);
	return 0;
}
