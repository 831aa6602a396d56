/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, cut at every byte. What servers get wrong is in http_hostile_test. */
#include "core/http_answer.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct reading {
	struct arena arena;
	struct http_answer answer;
	struct http_answer_parser parser;
	struct buf body;
	int heads, code; /* that on_body returns */
	enum http_progress progress;
	size_t used;
};

static int on_head(struct http_answer_parser *parser)
{
	((struct reading *)parser->data)->heads++;
	return 0;
}

static int on_body(struct http_answer_parser *parser, const char *p, size_t n)
{
	struct reading *reading = parser->data;

	buf_put(&reading->body, p, n);
	return reading->code;
}

/* In pieces of size, from copies that go at once. */
static void read_all(struct reading *reading, const char *p, size_t n, size_t size,
		     enum http_asked asked)
{
	int code = reading->code;

	memset(reading, 0, sizeof(*reading));
	reading->code = code;
	http_answer_init(&reading->parser, &reading->answer, &reading->arena, asked);
	reading->parser.on_head = on_head;
	reading->parser.on_body = on_body;
	reading->parser.data = reading;
	reading->progress = HTTP_MORE;
	while (reading->used < n && reading->progress == HTTP_MORE) {
		size_t take = n - reading->used < size ? n - reading->used : size, took;
		char *copy = mem_alloc(take);

		memcpy(copy, p + reading->used, take);
		reading->progress = http_answer_feed(&reading->parser, copy, take, &took);
		mem_free(copy);
		reading->used += took;
	}
}

static void forget(struct reading *reading)
{
	http_answer_finish(&reading->parser);
	buf_finish(&reading->body);
	arena_finish(&reading->arena);
}

static void test_cut_anywhere(void **state)
{
	static const struct {
		const char *text;
		enum http_asked asked;
		int status;
		const char *body;
		size_t n_headers;
		bool keep;
		size_t left; /* bytes behind the answer */
		bool ends;   /* with the connection */
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", HTTP_ASKED_BODY, 200, "ok", 1,
		  true, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP", HTTP_ASKED_BODY, 200, "ok",
		  1, true, 4, false },
		{ "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", HTTP_ASKED_BODY, 200, "", 1, true, 0,
		  false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", HTTP_ASKED_BODY, 200, "ok", 1,
		  false, 0, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
		  HTTP_ASKED_BODY, 200, "ok", 2, true, 0, false },
		{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		  HTTP_ASKED_BODY, 200, "ok", 2, false, 0, false },
		{ "HTTP/1.1 200 OK\r\nX:\r\nY:  a b \r\n\r\nto the end", HTTP_ASKED_BODY, 200,
		  "to the end", 2, false, 0, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;e=\"f\"\r\n"
		  "0123456789\r\n0\r\nT: u\r\n\r\nx",
		  HTTP_ASKED_BODY, 200, "abc0123456789", 1, true, 1, false },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\nC: d\r\n\r\n"
		  "HTTP/1.1 201 Created\r\nE: f\r\nContent-Length: 1\r\n\r\nx",
		  HTTP_ASKED_BODY, 201, "x", 2, true, 0, false },
		{ "HTTP/1.1 204 No Content\r\n\r\n", HTTP_ASKED_BODY, 204, "", 0, true, 0, false },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", HTTP_ASKED_BODY, 304,
		  "", 1, true, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", HTTP_ASKED_HEAD, 200, "", 1, true,
		  0, false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_ASKED_HEAD, 200, "",
		  1, true, 0, false },
		{ "HTTP/1.1 200 OK\r\n\r\n", HTTP_ASKED_HEAD, 200, "", 0, true, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x16\x03", HTTP_ASKED_CONNECT, 200,
		  "", 1, true, 2, false },
		{ "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nsorry", HTTP_ASKED_CONNECT, 407, "",
		  1, true, 5, false },
		{ "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n"
		  "\r\nok",
		  HTTP_ASKED_BODY, 200, "ok", 3, true, 0, false },
	};
	struct reading reading = { 0 };
	size_t i, size;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].text);

		for (size = 1; size <= n; size++) {
			read_all(&reading, rows[i].text, n, size, rows[i].asked);
			if (rows[i].ends) {
				assert_int_equal(reading.progress, HTTP_MORE);
				assert_int_equal(http_answer_end(&reading.parser), 0);
			} else {
				if (reading.progress != HTTP_COMPLETE)
					print_message("%s: %s\n", rows[i].text,
						      reading.parser.err.text);
				assert_int_equal(reading.progress, HTTP_COMPLETE);
			}
			assert_int_equal(n - reading.used, rows[i].left);
			assert_int_equal(reading.heads, 1);
			assert_int_equal(reading.answer.status, rows[i].status);
			assert_int_equal(reading.answer.n_headers, rows[i].n_headers);
			assert_int_equal(reading.answer.keep_alive, rows[i].keep);
			assert_true(str_is(buf_str(&reading.body), rows[i].body));
			forget(&reading);
		}
	}
}

static void test_headers(void **state)
{
	const char *text = "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\nSpaces: \t a b \t\r\n"
			   "High: \xc3\xa4\r\nContent-Length: 0\r\n\r\n";
	struct reading reading = { 0 };
	size_t size;

	(void)state;
	for (size = 1; size < strlen(text); size++) {
		read_all(&reading, text, strlen(text), size, HTTP_ASKED_BODY);
		assert_int_equal(reading.progress, HTTP_COMPLETE);
		assert_int_equal(reading.answer.n_headers, 6);
		assert_true(str_is(http_answer_header(&reading.answer, "x-a"), "1"));
		assert_true(str_is(reading.answer.headers[1].value, "2"));
		assert_true(str_is(http_answer_header(&reading.answer, "empty"), ""));
		assert_non_null(http_answer_header(&reading.answer, "empty").p);
		assert_true(str_is(http_answer_header(&reading.answer, "spaces"), "a b"));
		assert_true(str_is(http_answer_header(&reading.answer, "high"), "\xc3\xa4"));
		assert_null(http_answer_header(&reading.answer, "none").p);
		assert_true(reading.answer.has_length);
		forget(&reading);
	}
}

/* Every prefix of an answer is not an answer. */
static void test_cut_off(void **state)
{
	static const char *const texts[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	};
	struct reading reading = { 0 };
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		for (n = 0; n < strlen(texts[i]); n++) {
			read_all(&reading, texts[i], n, SIZE_MAX, HTTP_ASKED_BODY);
			assert_int_equal(reading.progress, HTTP_MORE);
			assert_int_equal(http_answer_end(&reading.parser), ERR_CLOSED);
			assert_non_null(strstr(reading.parser.err.text,
					       n ? "in the middle" : "before an answer"));
			forget(&reading);
		}
	}
}

static void test_consumer_ends_it(void **state)
{
	const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct reading reading = { .code = ERR_TOOBIG };

	(void)state;
	read_all(&reading, text, strlen(text), SIZE_MAX, HTTP_ASKED_BODY);
	assert_int_equal(reading.progress, HTTP_BAD);
	assert_int_equal(reading.parser.err.code, ERR_TOOBIG);
	forget(&reading);
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *value;
		bool has;
		uint64_t ms;
	} rows[] = {
		{ "0", true, 0 },
		{ "120", true, 120000 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "Fri, 20 Nov 2026 23:12:10 GMT", true, 10000 },
		{ "Fri, 20 Nov 2026 23:11:00 GMT", true, 0 },
		{ "-1", false, 0 },
		{ "1.5", false, 0 },
		{ "soon", false, 0 },
		{ "", false, 0 },
		{ "Fri, 20 Nov 2026 23:12:10 GMT, or so", false, 0 },
		{ "Fri, 20 Nov 1926 23:12:10 GMT", false, 0 },
	};
	const uint64_t now = 1795216320000; /* Fri, 20 Nov 2026 23:12:00 GMT */
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_header header = { STR("retry-after"), str_of(rows[i].value) };
		struct http_answer answer = { .headers = &header, .n_headers = 1 };
		uint64_t ms = 1;

		assert_int_equal(http_answer_retry_after(&answer, now, &ms), rows[i].has);
		if (rows[i].has)
			assert_int_equal(ms, rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_headers),
		cmocka_unit_test(test_cut_off),      cmocka_unit_test(test_consumer_ends_it),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
