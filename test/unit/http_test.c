/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_parser.h"

#include "http_rows.h"
#include "core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

struct rig {
	struct http_limits limits;
	struct http_request req;
	struct http_parser parser;
};

static void rig_init(struct rig *rig, const struct http_limits *limits, const char *prefix)
{
	memset(rig, 0, sizeof(*rig));
	if (limits)
		rig->limits = *limits;
	http_limits_fill(&rig->limits);
	http_parser_init(&rig->parser, &rig->req, &rig->limits, str_of(prefix));
}

/* Feeds text in pieces; each piece is a block of its own, so that reading behind it shows. */
static enum http_progress feed(struct rig *rig, struct str text, size_t piece, size_t *used)
{
	enum http_progress progress = HTTP_MORE;
	size_t at = 0, n, took;

	while (at < text.n && progress == HTTP_MORE) {
		char *copy;

		n = text.n - at < piece ? text.n - at : piece;
		copy = malloc(n);
		memcpy(copy, text.p + at, n);
		progress = http_parser_feed(&rig->parser, copy, n, &took);
		free(copy);
		if (progress == HTTP_MORE)
			assert_int_equal(took, n);
		at += took;
	}
	*used = at;
	return progress;
}

static void test_rows(void **state)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 2, 3, 7 };
	size_t i, k, used;

	(void)state;
	for (i = 0; i < ARRAY_LEN(http_rows); i++)
		for (k = 0; k < ARRAY_LEN(pieces); k++) {
			const struct http_row *row = &http_rows[i];
			enum http_progress progress;
			struct rig rig;
			int status;

			rig_init(&rig, &http_rows_limits, "/");
			progress = feed(&rig, row->raw, pieces[k], &used);
			status = progress == HTTP_COMPLETE ? 200 : rig.parser.status;
			if (status != (row->cut ? 0 : row->status))
				fail_msg("row %zu in pieces of %zu: %d, not %d (%s): %.*s", i,
					 pieces[k], status, row->status,
					 rig.parser.why ? rig.parser.why : "no reason",
					 STR_ARG(row->raw));
			if (progress == HTTP_COMPLETE) {
				assert_int_equal(used, row->raw.n);
				assert_int_equal(rig.parser.keep_alive, row->keeps);
			} else if (progress == HTTP_BAD) {
				assert_true(strlen(rig.parser.why) > 5);
			}
			arena_finish(&rig.req.arena);
		}
}

static void test_request(void **state)
{
	static const char text[] = "PUT //osb//v2//x%2Fy/?a=1&b?c HTTP/1.1\r\nHOST: h\r\n"
				   "X-Broker-API-Version:  2.17 \r\nEmpty:\r\nx-two: 1\r\n"
				   "X-Two: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nTrailer: z\r\n\r\nGET";
	size_t piece, used;

	(void)state;
	for (piece = 1; piece < sizeof(text); piece++) {
		struct rig rig;
		struct http_request *req = &rig.req;

		rig_init(&rig, NULL, "/osb");
		assert_int_equal(feed(&rig, str_of(text), piece, &used), HTTP_COMPLETE);
		assert_int_equal(used, sizeof(text) - 1 - 3);
		assert_true(str_is(req->method, "PUT"));
		assert_true(str_is(req->target, "//osb//v2//x%2Fy/?a=1&b?c"));
		assert_true(str_is(req->path, "/v2/x%2Fy/"));
		assert_true(str_is(req->query, "a=1&b?c"));
		assert_int_equal(req->n_headers, 6);
		assert_true(str_is(req->headers[0].name, "host"));
		assert_true(str_is(http_request_header(req, "x-broker-api-version"), "2.17"));
		assert_int_equal(http_request_header(req, "empty").n, 0);
		assert_non_null(http_request_header(req, "empty").p);
		assert_null(http_request_header(req, "absent").p);
		assert_true(str_is(http_request_header(req, "x-two"), "1"));
		assert_true(http_request_header_twice(req, "x-two"));
		assert_false(http_request_header_twice(req, "host"));
		assert_null(http_request_header(req, "trailer").p);
		assert_true(str_is(req->body, "abcdef"));
		arena_finish(&req->arena);
	}
}

/* Text grows past its first block: everything that points into it must move along. */
static void test_long_head(void **state)
{
	struct buf text = { 0 };
	struct rig rig;
	char name[16], value[600];
	size_t i, used;

	(void)state;
	buf_puts(&text, "GET /start HTTP/1.1\r\nHost: a\r\n");
	memset(value, 'v', sizeof(value));
	for (i = 0; i < 40; i++)
		buf_printf(&text, "X-%zu: %.*s%zu\r\n", i, (int)sizeof(value), value, i);
	buf_puts(&text, "\r\n");
	rig_init(&rig, NULL, "/");
	assert_int_equal(feed(&rig, buf_str(&text), 100, &used), HTTP_COMPLETE);
	assert_true(str_is(rig.req.path, "/start"));
	for (i = 0; i < 40; i++) {
		struct str got;
		uint64_t k;

		snprintf(name, sizeof(name), "x-%zu", i);
		got = http_request_header(&rig.req, name);
		assert_true(got.n > sizeof(value));
		assert_memory_equal(got.p, value, sizeof(value));
		assert_true(str_to_u64(str_make(got.p + 600, got.n - 600), &k));
		assert_int_equal(k, i);
	}
	arena_finish(&rig.req.arena);
	buf_finish(&text);
}

static void test_bodies(void **state)
{
	static const size_t sizes[] = { 1, 16383, 16384, 16385, 65536, 1 << 20 };
	size_t i, used, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		struct buf text = { 0 };
		struct rig rig;

		buf_printf(&text, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
			   sizes[i]);
		for (k = 0; k < sizes[i]; k++)
			buf_putc(&text, (char)(k * 7));
		rig_init(&rig, NULL, "/");
		assert_int_equal(feed(&rig, buf_str(&text), 50000, &used), HTTP_COMPLETE);
		assert_int_equal(rig.req.body.n, sizes[i]);
		assert_memory_equal(rig.req.body.p, text.p + text.n - sizes[i], sizes[i]);
		arena_finish(&rig.req.arena);
		buf_finish(&text);
	}
}

/* Bytes that no span counts are bounded, too: memory and time stay finite. */
static void test_floods(void **state)
{
	static const struct {
		const char *head, *flood;
		int status;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nX:", "        ", 431 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "0000000",
		  413 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", "xxxxxxx",
		  413 },
	};
	size_t i, k, used;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		enum http_progress progress;
		struct rig rig;

		rig_init(&rig, NULL, "/");
		progress = feed(&rig, str_of(rows[i].head), SIZE_MAX, &used);
		for (k = 0; progress == HTTP_MORE && k < 100000; k++)
			progress = feed(&rig, str_of(rows[i].flood), SIZE_MAX, &used);
		assert_int_equal(progress, HTTP_BAD);
		assert_int_equal(rig.parser.status, rows[i].status);
		arena_finish(&rig.req.arena);
	}
}

static void test_prefix(void **state)
{
	static const struct {
		const char *prefix, *path, *left; /* NULL: outside */
	} rows[] = {
		{ "/", "/", "/" },
		{ "/", "/a", "/a" },
		{ "/osb", "/osb", "/" },
		{ "/osb", "/osb/", "/" },
		{ "/osb", "/osb/v2", "/v2" },
		{ "/osb", "/osbx", NULL },
		{ "/osb", "/", NULL },
		{ "/osb", "/os", NULL },
		{ "/osb", "/OSB/v2", NULL },
		{ "/a/b", "/a/b/c", "/c" },
	};
	size_t i, used;
	struct rig rig;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct str path = str_of(rows[i].path);

		assert_int_equal(http_prefix_strip(str_of(rows[i].prefix), &path),
				 rows[i].left != NULL);
		assert_true(str_is(path, rows[i].left ? rows[i].left : rows[i].path));
	}
	rig_init(&rig, NULL, "/osb");
	assert_int_equal(feed(&rig, STR("GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"), 9, &used),
			 HTTP_COMPLETE);
	assert_true(rig.parser.outside);
	arena_finish(&rig.req.arena);
	rig_init(&rig, NULL, "/osb");
	assert_int_equal(feed(&rig, STR("PUT /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"),
			      9, &used),
			 HTTP_BAD);
	assert_int_equal(rig.parser.status, 404); /* its body need not be read */
	arena_finish(&rig.req.arena);
}

static void test_error_body(void **state)
{
	struct arena arena = { 0 };

	(void)state;
	assert_true(
		str_is(http_error_body(&arena, 400, "a \"b\"\n\\"),
		       "{\"error\":\"BadRequest\",\"description\":\"a \\\"b\\\"\\u000a\\\\\"}\n"));
	assert_string_equal(http_reason(404), "Not Found");
	assert_string_equal(http_reason(299), "Unknown");
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),       cmocka_unit_test(test_request),
		cmocka_unit_test(test_long_head),  cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_floods),     cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_error_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
