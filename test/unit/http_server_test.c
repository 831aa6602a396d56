/* What is said on a connection: each request gets the right answer, and nothing else. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "http_rig.h"
#include "http_rows.h"

#include <sys/wait.h>

#define HOST "Host: a\r\n"
#define ASK(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static void check_row(struct rig *rig, const struct http_row *row, size_t piece)
{
	struct client client;
	int before = rig->handled;
	size_t at;

	client_open(rig, &client);
	rig_turn(rig); /* accepted */
	for (at = 0; at < row->raw.n; at += piece) {
		size_t n = row->raw.n - at < piece ? row->raw.n - at : piece;

		client_send(rig, &client, str_make(row->raw.p + at, n));
	}
	if (row->cut) {
		assert_int_equal(client.got.n, 0);
		shutdown(client.fd, SHUT_WR);
	}
	if (!client_answer(rig, &client, strncmp(row->raw.p, "HEAD", 4) == 0))
		fail_msg("no answer (%s): %.*s", client.reset ? "reset" : "end", STR_ARG(row->raw));
	if (client.status == 100)
		assert_true(client_answer(rig, &client, false));
	if (client.status != row->status)
		fail_msg("%d, not %d: %.*s", client.status, row->status, STR_ARG(row->raw));
	assert_int_equal(rig->handled, before + (row->status == 200));
	assert_non_null(strstr(client.head.p, "\r\nContent-Type: application/json\r\n"));
	if (row->status != 200) {
		assert_non_null(strstr(client.body.p, "\",\"description\":\""));
		assert_non_null(strstr(client.head.p, "\r\nConnection: close\r\n"));
	}
	if (row->keeps) {
		assert_null(strstr(client.head.p, "Connection: close"));
		client_ask(rig, &client, ASK("/again"), 200);
	} else if (!client_ended(rig, &client)) {
		fail_msg("not closed, or not in order: %.*s", STR_ARG(row->raw));
	}
	client_close(&client);
}

static void check_rows(size_t piece)
{
	struct rig rig;
	size_t i;

	rig_init(&rig, &http_rows_limits);
	for (i = 0; i < ARRAY_LEN(http_rows); i++)
		check_row(&rig, &http_rows[i], piece);
	assert_true(rig_metric(&rig, "osbd_http_bad_requests_total") > 100);
	rig_finish(&rig);
}

static void test_rows_whole(void **state)
{
	(void)state;
	check_rows(SIZE_MAX);
}

static void test_rows_byte_by_byte(void **state)
{
	(void)state;
	check_rows(1);
}

static void test_answer(void **state)
{
	struct client client;
	struct rig rig;
	char date[64];
	time_t now;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_ask(&rig, &client, ASK("/a//b"), 200);
	assert_string_equal(client.body.p, "{\"GET /a/b\":\"\"}");
	assert_memory_equal(client.head.p, "HTTP/1.1 200 OK\r\nDate: ", 23);
	assert_non_null(strstr(client.head.p, "\r\nContent-Length: 15\r\n"));
	assert_non_null(strstr(client.head.p, "\r\nX-Peer: 127.0.0.1\r\n"));
	now = time(NULL);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:", gmtime(&now));
	if (!strstr(client.head.p, date)) { /* the minute may just have changed */
		now -= 30;
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:", gmtime(&now));
		assert_non_null(strstr(client.head.p, date));
	}
	client_ask(&rig, &client, "HEAD /a HTTP/1.1\r\n" HOST "\r\n", 200);
	assert_non_null(strstr(client.head.p, "\r\nContent-Length: 14\r\n"));
	assert_int_equal(client.got.n, 0);
	client_ask(&rig, &client, ASK("/status/204"), 204);
	assert_null(strstr(client.head.p, "Content-"));
	client_ask(&rig, &client, ASK("/status/304"), 304);
	assert_null(strstr(client.head.p, "Content-"));
	client_ask(&rig, &client, ASK("/status/410"), 410); /* no stray byte came before it */
	assert_memory_equal(client.head.p, "HTTP/1.1 410 Gone\r\n", 19);
	client_ask(&rig, &client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200);
	assert_non_null(strstr(client.head.p, "\r\nConnection: keep-alive\r\n"));
	client_ask(&rig, &client, ASK("/close"), 200);
	assert_non_null(strstr(client.head.p, "\r\nConnection: close\r\n"));
	assert_true(client_ended(&rig, &client));
	client_close(&client);
	rig_finish(&rig);
}

static void test_pipeline(void **state)
{
	struct buf text = { 0 };
	struct client client;
	struct rig rig;
	char want[64];
	int i;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	for (i = 0; i < 2000; i++) /* more than one read, and cut at odd places */
		buf_printf(&text,
			   i % 3 ? "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
				 : "PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
			   i);
	client_send(&rig, &client, buf_str(&text));
	for (i = 0; i < 2000; i++) {
		assert_true(client_answer(&rig, &client, false));
		snprintf(want, sizeof(want), i % 3 ? "{\"GET /%d\":\"\"}" : "{\"PUT /%d\":\"abc\"}",
			 i);
		assert_string_equal(client.body.p, want);
	}
	assert_int_equal(client.got.n, 0);
	client_close(&client);
	buf_finish(&text);
	rig_finish(&rig);
}

static void test_one_at_a_time(void **state)
{
	struct client client;
	struct rig rig;
	int i;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_send(&rig, &client, STR(ASK("/hold") ASK("/hold") ASK("/x") "GET /sp"));
	client_send(&rig, &client, STR("lit HTTP/1.1\r\n" HOST "\r\n"));
	for (i = 0; i < 5; i++)
		rig_wait(&rig, &client);
	assert_int_equal(rig.handled, 1);
	rig_release(&rig, "\"one\"");
	for (i = 0; i < 5; i++)
		rig_wait(&rig, &client);
	assert_int_equal(rig.handled, 2);
	rig_release(&rig, "\"two\"");
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "\"one\"");
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "\"two\"");
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "{\"GET /x\":\"\"}");
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "{\"GET /split\":\"\"}");
	client_close(&client);
	rig_finish(&rig);
}

/* More bytes ahead than the server keeps: none may be lost when reading stops and goes on. */
static void test_long_pipeline_behind_a_wait(void **state)
{
	struct buf text = { 0 };
	struct client client;
	struct rig rig;
	char want[64];
	int i, sent = 10000;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	buf_puts(&text, ASK("/hold"));
	for (i = 0; i < sent; i++)
		buf_printf(&text, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
	client_send(&rig, &client, buf_str(&text)); /* 330 kB, the rest waits in the kernel */
	for (i = 0; i < 20; i++)
		rig_wait(&rig, &client);
	assert_int_equal(rig.handled, 1);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &client, false));
	for (i = 0; i < sent; i++) {
		assert_true(client_answer(&rig, &client, false));
		snprintf(want, sizeof(want), "{\"GET /%d\":\"\"}", i);
		assert_string_equal(client.body.p, want);
	}
	client_close(&client);
	buf_finish(&text);
	rig_finish(&rig);
}

static void test_continue(void **state)
{
	static const char head[] = "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
				   "Content-Length: 3\r\n\r\n";
	struct http_limits limits = { .body = 10 };
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &client);
	client_ask(&rig, &client, head, 100);
	assert_int_equal(rig.handled, 0);
	assert_string_equal(client.head.p, "HTTP/1.1 100 Continue\r\n\r\n");
	client_ask(&rig, &client, "abc", 200); /* one 100 only */
	/* a client that did not wait needs no word */
	client_send(&rig, &client,
		    STR("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
			"Content-Length: 3\r\n\r\nab"));
	client_ask(&rig, &client, "c", 200);
	client_ask(&rig, &client,
		   "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n",
		   413);
	assert_true(client_ended(&rig, &client));
	client_close(&client);
	rig_finish(&rig);
}

static void test_prefix(void **state)
{
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	rig_listen(&rig, "127.0.0.1:0", "/osb");
	client_open(&rig, &client);
	client_ask(&rig, &client, ASK("//osb//v2?x"), 200);
	assert_string_equal(client.body.p, "{\"GET /v2\":\"\"}");
	client_ask(&rig, &client, ASK("/osb"), 200);
	assert_string_equal(client.body.p, "{\"GET /\":\"\"}");
	client_ask(&rig, &client, ASK("/osbx"), 404);
	assert_string_equal(client.body.p, "{\"error\":\"NotFound\",\"description\":\"nothing is "
					   "served at this path\"}\n");
	client_ask(&rig, &client, ASK("/osb/x"), 200); /* the connection goes on */
	assert_int_equal(rig.handled, 3);
	client_ask(&rig, &client, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n", 404);
	assert_true(client_ended(&rig, &client));
	assert_int_equal(rig.handled, 3);
	assert_true(rig_metric(&rig, "osbd_http_bad_requests_total") == 0);
	client_close(&client);
	rig_finish(&rig);
}

static void test_bodies(void **state)
{
	static const struct {
		size_t size;
		int status;
	} rows[] = {
		{ 65535, 200 },   { 65536, 200 },         { 65537, 200 },
		{ 1 << 20, 200 }, { (1 << 20) + 1, 413 }, { 8 << 20, 413 },
	};
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, NULL);
	for (i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		size_t size = rows[i / 2].size;
		struct buf text = { 0 };
		struct client client;

		if (i % 2)
			buf_printf(&text, "PUT / HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
				   size);
		else
			buf_printf(&text,
				   "PUT / HTTP/1.1\r\n" HOST
				   "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
				   size);
		buf_put(&text, rig.big, size);
		if (i % 2 == 0)
			buf_puts(&text, "\r\n0\r\n\r\n");
		client_open(&rig, &client);
		client_send(&rig, &client, buf_str(&text)); /* all of it, answer or no answer */
		assert_false(client.reset);
		assert_true(client_answer(&rig, &client, false));
		assert_int_equal(client.status, rows[i / 2].status);
		client_close(&client);
		buf_finish(&text);
	}
	rig_finish(&rig);
}

/* The default limits, each passed by far. */
static void test_excess(void **state)
{
	struct buf text = { 0 };
	struct client client;
	struct rig rig;
	int i;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	buf_puts(&text, "GET /");
	buf_put(&text, rig.big, 1 << 20);
	client_ask(&rig, &client, text.p, 414);
	assert_true(client_ended(&rig, &client));
	client_close(&client);

	client_open(&rig, &client);
	buf_clear(&text);
	buf_puts(&text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	buf_put(&text, rig.big, 100000);
	client_ask(&rig, &client, text.p, 431);
	client_close(&client);

	client_open(&rig, &client);
	buf_clear(&text);
	buf_puts(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (i = 0; i < 10000; i++)
		buf_printf(&text, "X-%d: y\r\n", i);
	client_ask(&rig, &client, text.p, 431);
	assert_non_null(strstr(client.body.p, "number of headers: the limit is 100"));
	client_close(&client);
	buf_finish(&text);
	assert_int_equal(rig.handled, 0);
	rig_finish(&rig);
}

/* A large answer to a client that reads late: it arrives whole, and the next request waits. */
static void test_large_answer(void **state)
{
	struct client client;
	struct rig rig;
	int i;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	assert_int_equal(
		send(client.fd, ASK("/big") ASK("/x"), sizeof(ASK("/big") ASK("/x")) - 1, 0),
		sizeof(ASK("/big") ASK("/x")) - 1);
	for (i = 0; i < 20; i++)
		rig_turn(&rig);
	assert_int_equal(rig.handled, 1);
	assert_true(client_answer(&rig, &client, false));
	assert_int_equal(client.body.n, BIG);
	assert_memory_equal(client.body.p, rig.big, BIG);
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "{\"GET /x\":\"\"}");
	client_close(&client);
	rig_finish(&rig);
}

/* A header that must not leave: test builds abort, so a child tries; others leave it out. */
static void set_refused(struct http_request *req, const char *name, struct str value)
{
#ifdef OSBD_FAILPOINTS
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		http_set_header(req, name, value);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
	http_set_header(req, name, value);
#endif
}

static void test_headers_of_answers(void **state)
{
	struct client client;
	struct rig rig;
	struct http_request *req;
	int i;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_send(&rig, &client, STR(ASK("/hold")));
	while (!rig.n_held)
		rig_turn(&rig);
	req = rig.held[0];
	http_set_header(req, "Content-Type", STR("text/html"));
	for (i = 0; i < 40; i++)
		http_set_header(req, "X-Many", STR("0123456789"));
	set_refused(req, "X-Evil", STR("a\r\nX-Injected: b"));
	set_refused(req, "X-Nul", STR("a\0b"));
	set_refused(req, "X Space", STR("a"));
	set_refused(req, "Content-Length", STR("1"));
	rig_release(&rig, "<p>");
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "<p>");
	assert_non_null(strstr(client.head.p, "\r\nContent-Type: text/html\r\n"));
	assert_null(strstr(client.head.p, "json"));
	assert_null(strstr(client.head.p, "X-Injected"));
	assert_null(strstr(client.head.p, "X-Nul"));
	assert_null(strstr(client.head.p, "X Space"));
	assert_null(strstr(client.head.p, "Content-Length: 1\r\n"));
	for (i = 0; i < 40; i++) {
		char *at = strstr(client.head.p, "X-Many: 0123456789\r\n");

		assert_non_null(at);
		at[0] = 'Y';
	}
	assert_null(strstr(client.head.p, "X-Many"));
	client_close(&client);
	rig_finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_whole),
		cmocka_unit_test(test_rows_byte_by_byte),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_pipeline),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_long_pipeline_behind_a_wait),
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_excess),
		cmocka_unit_test(test_large_answer),
		cmocka_unit_test(test_headers_of_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
