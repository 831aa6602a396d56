/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against a server that does what servers must not: each request ends once, with
 * the right error, in bounded memory, and leaves a client that works. */
#include "fetch_rig.h"

#include <sys/resource.h>

static struct program server;

static const struct {
	const char *path;
	int status; /* of the call */
	int http;
	const char *body; /* or a part of the error */
} rows[] = {
	{ "/ok", 0, 200, "ok" },
	{ "/close", 0, 200, "ok" },
	{ "/old", 0, 200, "ok" },
	{ "/empty-body", 0, 200, "" },
	{ "/none", 0, 204, "" },
	{ "/unchanged", 0, 304, "" },
	{ "/chunked", 0, 200, "abcde" },
	{ "/until-close", 0, 200, "to the end" },
	{ "/interim", 0, 200, "ok" },
	{ "/no-reason", 0, 200, "ok" },
	{ "/busy", 0, 503, "" },
	{ "/two-answers", 0, 200, "ok" },
	{ "/long", 0, 200, "ok" },
	{ "/late", 0, 200, "ok" },
	{ "/nothing", ERR_CLOSED, 0, "closed before an answer" },
	{ "/reset", ERR_CLOSED, 0, "lost before an answer" },
	{ "/short", ERR_CLOSED, 200, "in the middle of the body" },
	{ "/cut-head", ERR_CLOSED, 0, "in the middle of the headers" },
	{ "/cut-chunk", ERR_CLOSED, 200, "in the middle of the body" },
	{ "/no-last-chunk", ERR_CLOSED, 200, "in the middle of the body" },
	{ "/twice", ERR_SYNTAX, 0, "malformed answer" },
	{ "/twice-other", ERR_SYNTAX, 0, "malformed answer" },
	{ "/list-length", ERR_SYNTAX, 0, "malformed answer" },
	{ "/minus-length", ERR_SYNTAX, 0, "malformed answer" },
	{ "/plus-length", ERR_SYNTAX, 0, "malformed answer" },
	{ "/hex-length", ERR_SYNTAX, 0, "malformed answer" },
	{ "/overflow-length", ERR_SYNTAX, 0, "malformed answer" },
	{ "/both", ERR_SYNTAX, 0, "malformed answer" },
	{ "/both-other-way", ERR_SYNTAX, 0, "malformed answer" },
	{ "/gzip", ERR_SYNTAX, 0, "malformed answer" },
	{ "/chunked-twice", ERR_SYNTAX, 0, "malformed answer" },
	{ "/old-chunked", ERR_SYNTAX, 0, "HTTP/1.0 has no Transfer-Encoding" },
	{ "/bad-chunk", ERR_SYNTAX, 200, "malformed answer" },
	{ "/wrong-chunk", ERR_SYNTAX, 200, "malformed answer" },
	{ "/huge-chunk", ERR_SYNTAX, 200, "malformed answer" },
	{ "/lf-chunk", ERR_SYNTAX, 200, "malformed answer" },
	{ "/huge-length", ERR_TOOBIG, 200, "more than 1048576 bytes" },
	{ "/garbage", ERR_SYNTAX, 0, "it is not HTTP" },
	{ "/html", ERR_SYNTAX, 0, "it is not HTTP" },
	{ "/http2", ERR_SYNTAX, 0, "malformed answer" },
	{ "/http11.1", ERR_SYNTAX, 0, "malformed answer" },
	{ "/http1", ERR_SYNTAX, 0, "malformed answer" },
	{ "/rtsp", ERR_SYNTAX, 0, "it is not HTTP" },
	{ "/ice", ERR_SYNTAX, 0, "it is not HTTP" },
	{ "/status-999", ERR_SYNTAX, 0, "malformed answer" },
	{ "/status-20", ERR_SYNTAX, 0, "malformed answer" },
	{ "/status-2000", ERR_SYNTAX, 0, "malformed answer" },
	{ "/status-word", ERR_SYNTAX, 0, "malformed answer" },
	{ "/switch", ERR_SYNTAX, 0, "another protocol" },
	{ "/bare-lf", ERR_SYNTAX, 0, "malformed answer" },
	{ "/bare-cr", ERR_SYNTAX, 0, "malformed answer" },
	{ "/folded", ERR_SYNTAX, 0, "malformed answer" },
	{ "/nul", ERR_SYNTAX, 0, "malformed answer" },
	{ "/space-colon", ERR_SYNTAX, 0, "malformed answer" },
	{ "/no-colon", ERR_SYNTAX, 0, "malformed answer" },
	{ "/no-name", ERR_SYNTAX, 0, "malformed answer" },
	{ "/empty-lines", ERR_SYNTAX, 0, "it is not HTTP" },
	{ "/interim-body", ERR_SYNTAX, 0, "malformed answer" },
	{ "/many-headers", ERR_TOOBIG, 0, "number of the answer's headers" },
	{ "/large-header", ERR_TOOBIG, 0, "bytes of the answer's headers" },
	{ "/large-reason", ERR_TOOBIG, 0, "bytes of the answer's headers" },
	{ "/endless-headers", ERR_TOOBIG, 0, "of the answer's headers" },
	{ "/endless-name", ERR_TOOBIG, 0, "bytes of the answer's headers" },
	{ "/endless-interim", ERR_SYNTAX, 0, "no end of interim answers" },
	{ "/endless-body", ERR_TOOBIG, 200, "more than 1048576 bytes" },
	{ "/endless-chunks", ERR_TOOBIG, 200, "more than 1048576 bytes" },
	{ "/endless-extension", ERR_TOOBIG, 200, "far more framing than body" },
	{ "/endless-trailer", ERR_TOOBIG, 200, "" },
};

/* KiB; the address sanitizer keeps what is freed, so nothing can be said there. */
static long memory_peak(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
#ifdef __SANITIZE_ADDRESS__
	usage.ru_maxrss = 0;
#endif
	return usage.ru_maxrss;
}

static void test_rows(void **state)
{
	long before;
	struct rig rig;
	struct asked asked;
	char prefix[128];
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	before = memory_peak();
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		http_client_forget(rig.client); /* a new connection: nothing is repeated */
		get(&rig, &asked, server.port, rows[i].path);
		if (asked.status != rows[i].status || asked.fetch.status != rows[i].http)
			print_message("%s: %d %s, HTTP %d\n", rows[i].path, asked.status,
				      asked.fetch.err.text, asked.fetch.status);
		assert_int_equal(asked.status, rows[i].status);
		assert_int_equal(asked.fetch.status, rows[i].http);
		assert_false(asked.fetch.repeated);
		if (asked.status == 0) {
			assert_non_null(asked.fetch.body_in.p);
			assert_true(str_is(asked.fetch.body_in, rows[i].body));
		} else {
			snprintf(prefix, sizeof(prefix), "GET http://127.0.0.1:%d%s: ", server.port,
				 rows[i].path);
			if (!str_starts(str_of(asked.fetch.err.text), str_of(prefix)) ||
			    !strstr(asked.fetch.err.text, rows[i].body))
				print_message("%s: %s\n", rows[i].path, asked.fetch.err.text);
			assert_true(str_starts(str_of(asked.fetch.err.text), str_of(prefix)));
			assert_non_null(strstr(asked.fetch.err.text, rows[i].body));
			assert_null(asked.fetch.body_in.p);
		}
		drop(&asked);
		assert_int_equal(get(&rig, &asked, server.port, "/ok"), 0);
		drop(&asked);
	}
	assert_true(memory_peak() - before < 16 * 1024);
	rig_finish(&rig);
}

static void test_deadlines(void **state)
{
	static const struct {
		const char *path;
		uint64_t headers, silence, whole;
		const char *why;
	} late[] = {
		{ "/silent", 200, 0, 0, "no answer in time" },
		{ "/drip-head", 500, 0, 0, "no answer in time" },
		{ "/stall-body", 0, 200, 0, "the rest of the answer does not come" },
		{ "/drip-body", 0, 500, 700, "not done in time" },
		{ "/silent", HTTP_NEVER, HTTP_NEVER, 200, "not done in time" },
	};
	struct rig rig;
	struct asked asked;
	uint64_t from;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < ARRAY_LEN(late); i++) {
		prepare(&asked, server.port, "GET", late[i].path);
		asked.fetch.headers_ms = late[i].headers;
		asked.fetch.silence_ms = late[i].silence;
		asked.fetch.whole_ms = late[i].whole;
		from = loop_now(&rig.loop);
		assert_int_equal(run(&rig, &asked), ERR_TIMEDOUT);
		assert_in_range(loop_now(&rig.loop) - from, 190, 2000);
		assert_non_null(strstr(asked.fetch.err.text, late[i].why));
		drop(&asked);
	}
	rig_finish(&rig);
}

static int swallow(struct http_fetch *fetch, struct str bytes)
{
	struct asked *asked = container_of(fetch, struct asked, fetch);

	asked->heads += bytes.n > 0;
	if (asked->heads == 400)
		call_cancel(&fetch->call);
	return 0;
}

/* Whoever takes a body as it comes has no limit, and costs no memory. */
static void test_endless_to_a_consumer(void **state)
{
	static const char *const paths[] = { "/endless-body", "/endless-chunks" };
	struct rusage before, after;
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < ARRAY_LEN(paths); i++) {
		prepare(&asked, server.port, "GET", paths[i]);
		asked.fetch.on_body = swallow;
		assert_int_equal(run(&rig, &asked), ERR_CANCELED);
		assert_true(asked.heads >= 400);
		drop(&asked);
	}
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 20 * 1024); /* KiB */
	rig_finish(&rig);
}

/* Cancel at each turn of the loop, until it comes too late. */
static void test_cancel_anywhere(void **state)
{
	struct rig rig;
	struct asked asked;
	int turns, i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (turns = 0;; turns++) {
		prepare(&asked, server.port, turns % 2 ? "GET" : "POST", "/late");
		start(&rig, &asked);
		for (i = 0; i < turns && !asked.done; i++) {
			loop_again(&rig.loop);
			loop_turn(&rig.loop);
			usleep(turns > 8 ? 40 * 1000 : 100);
		}
		if (asked.done)
			break;
		call_cancel(&asked.fetch.call);
		call_cancel(&asked.fetch.call);
		finish(&rig, &asked);
		assert_int_equal(asked.status, ERR_CANCELED);
		assert_non_null(strstr(asked.fetch.err.text, "canceled"));
		drop(&asked);
	}
	assert_true(turns > 4);
	assert_int_equal(asked.status, 0);
	drop(&asked);
	rig_finish(&rig);
}

static int start_server(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	double_start(&server, "hostile_http.py");
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	program_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_endless_to_a_consumer),
		cmocka_unit_test(test_cancel_anywhere),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
