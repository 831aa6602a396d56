/* When connections end: deadlines, clients that go, drain, destroy. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "http_rig.h"

#include "core/http_conn.h"

#define HOST "Host: a\r\n"
#define ASK(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* -- deadlines -------------------------------------------------------------------------- */

static void test_slow_requests(void **state)
{
	static const struct {
		const char *first, *drip;
		int status;
	} rows[] = {
		{ "G", NULL, 408 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", 408 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", NULL, 408 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "y", 408 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\ny\r\n",
		  408 },
		{ "", NULL, 0 }, /* nothing to answer: closed in silence */
		{ "\r", NULL, 0 },
		{ "\r\n", "\r\n", 0 },
	};
	struct http_limits limits = { .header_ms = 120, .body_ms = 120, .idle_ms = 120 };
	struct client client;
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, &limits);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t then = loop_now(&rig.loop);

		client_open(&rig, &client);
		client_send(&rig, &client, str_of(rows[i].first));
		while (!client.got.n && !client.eof && !client.reset &&
		       ms_since(&rig, then) < 5000) {
			if (rows[i].drip) /* a byte now and then does not buy time */
				client_send(&rig, &client, str_of(rows[i].drip));
			rig_wait(&rig, &client);
			poll(NULL, 0, 5);
		}
		assert_in_range(ms_since(&rig, then), 110, 5000);
		if (rows[i].status) {
			assert_true(client_answer(&rig, &client, false));
			assert_int_equal(client.status, rows[i].status);
			assert_true(client_ended(&rig, &client));
		}
		assert_int_equal(client.got.n, 0);
		client_close(&client);
	}
	assert_int_equal(rig.handled, 0);
	rig_finish(&rig);
}

static void test_idle_after_an_answer(void **state)
{
	struct http_limits limits = { .idle_ms = 400 };
	struct client client;
	struct rig rig;
	uint64_t then;
	int i;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &client);
	for (i = 0; i < 4; i++) { /* each request begins the time anew */
		turns(&rig, 150);
		client_ask(&rig, &client, ASK("/"), 200);
	}
	then = loop_now(&rig.loop);
	assert_true(client_ended(&rig, &client));
	assert_in_range(ms_since(&rig, then), 350, 4000);
	client_close(&client);
	/* a handler may take as long as it likes */
	client_open(&rig, &client);
	client_send(&rig, &client, STR(ASK("/hold")));
	wait_held(&rig, 1);
	turns(&rig, 600);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &client, false));
	client_close(&client);
	rig_finish(&rig);
}

/* A process that stood still reads what came meanwhile before it calls anybody late. */
static void test_stalled_process(void **state)
{
	struct http_limits limits = { .header_ms = 100, .idle_ms = 100 };
	struct client half, idle, late;
	struct rig rig;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &half);
	client_open(&rig, &idle);
	client_open(&rig, &late);
	client_send(&rig, &half, STR("GET /half HTTP/1.1\r\n"));
	rig_turn(&rig);
	assert_int_equal(send(half.fd, HOST "\r\n", sizeof(HOST "\r\n") - 1, 0), 11);
	assert_true(send(idle.fd, ASK("/idle"), sizeof(ASK("/idle")) - 1, 0) > 0);
	poll(NULL, 0, 400);
	assert_true(client_answer(&rig, &half, false));
	assert_string_equal(half.body.p, "{\"GET /half\":\"\"}");
	assert_true(client_answer(&rig, &idle, false));
	assert_string_equal(idle.body.p, "{\"GET /idle\":\"\"}");
	assert_true(client_ended(&rig, &late));
	client_close(&half);
	client_close(&idle);
	client_close(&late);
	rig_finish(&rig);
}

static void test_client_that_does_not_read(void **state)
{
	struct http_limits limits = { .write_ms = 500 };
	struct client client, other;
	struct rig rig;
	uint64_t then;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &client);
	client_open(&rig, &other);
	assert_true(send(client.fd, ASK("/big"), sizeof(ASK("/big")) - 1, 0) > 0);
	then = loop_now(&rig.loop);
	client_ask(&rig, &other, ASK("/"), 200); /* others do not feel it */
	assert_true(ms_since(&rig, then) < 450);
	wait_connections(&rig, 2);
	wait_connections(&rig, 1);
	assert_in_range(ms_since(&rig, then), 450, 4500);
	client_close(&client);
	client_close(&other);
	rig_finish(&rig);
}

/* After a refusal the rest is dropped for a while only. */
static void test_linger_ends(void **state)
{
	struct client client;
	struct rig rig;
	uint64_t then;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_ask(&rig, &client, "BREW / HTTP/1.1\r\n\r\n", 501);
	then = loop_now(&rig.loop);
	assert_true(client_ended(&rig, &client));
	assert_true(ms_since(&rig, then) < 1500); /* its half is shut at once */
	assert_int_equal(rig.server->n_conns, 1);
	while (rig.server->n_conns && ms_since(&rig, then) < 10000) {
		send(client.fd, "more", 4, MSG_NOSIGNAL);
		turns(&rig, 50);
	}
	assert_in_range(ms_since(&rig, then), HTTP_LINGER_MS - 100, HTTP_LINGER_MS + 4000);
	client_close(&client);
	client_open(&rig, &client); /* a flood ends it before */
	client_send(&rig, &client, STR("BREW / HTTP/1.1\r\n\r\n"));
	then = loop_now(&rig.loop);
	while (rig.server->n_conns && ms_since(&rig, then) < HTTP_LINGER_MS - 500)
		client_send(&rig, &client, str_make(rig.big, BIG));
	assert_int_equal(rig.server->n_conns, 0);
	client_close(&client);
	rig_finish(&rig);
}

/* -- clients that go -------------------------------------------------------------------- */

static void reset(struct client *client)
{
	struct linger now = { 1, 0 };

	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	client_close(client);
}

static void test_gone_while_waiting(void **state)
{
	struct client client;
	struct rig rig;
	int how;

	(void)state;
	rig_init(&rig, NULL);
	for (how = 0; how < 3; how++) { /* closes, resets, closes with requests behind */
		rig.n_gone = 0;
		client_open(&rig, &client);
		client_send(&rig, &client,
			    how == 2 ? STR(ASK("/hold") ASK("/x")) : STR(ASK("/hold")));
		wait_held(&rig, 1);
		assert_int_equal(rig.n_gone, 0);
		assert_false(rig.held[0]->gone);
		if (how == 1)
			reset(&client);
		else
			client_close(&client);
		wait_gone(&rig);
		turns(&rig, 10);
		assert_int_equal(rig.n_gone, 1); /* once */
		assert_true(rig.held[0]->gone);
		rig_release(&rig, "nobody reads this");
		wait_connections(&rig, 0);
		assert_int_equal(rig.n_gone, 1);
	}
	rig_finish(&rig);
}

static void test_half_closed_client_gets_its_answers(void **state)
{
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_send(&rig, &client, STR(ASK("/hold") ASK("/x")));
	shutdown(client.fd, SHUT_WR);
	wait_held(&rig, 1);
	wait_gone(&rig);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &client, false));
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "{\"GET /x\":\"\"}");
	assert_true(rig.gone_before);
	assert_true(client_ended(&rig, &client));
	client_close(&client);
	rig_finish(&rig);
}

static void test_reset_in_mid_body(void **state)
{
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_send(&rig, &client, STR("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab"));
	turns(&rig, 10);
	reset(&client);
	wait_connections(&rig, 0);
	assert_int_equal(rig.handled, 0);
	rig_finish(&rig);
}

/* -- ends ------------------------------------------------------------------------------- */

static void test_drain(void **state)
{
	struct client fresh, idle, late, held, half, waiting;
	struct rig rig;
	char bound[128];

	(void)state;
	rig_init(&rig, NULL);
	snprintf(bound, sizeof(bound), "%s", rig.bound);
	client_open(&rig, &fresh);
	client_open(&rig, &idle);
	client_open(&rig, &late);
	client_open(&rig, &held);
	client_open(&rig, &half);
	client_ask(&rig, &idle, ASK("/"), 200);
	client_ask(&rig, &late, ASK("/"), 200);
	client_send(&rig, &held, STR(ASK("/hold") ASK("/behind")));
	client_send(&rig, &half, STR("PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\na"));
	wait_held(&rig, 1);
	client_open(&rig, &waiting); /* connected, not yet accepted */
	assert_true(send(waiting.fd, ASK("/w"), sizeof(ASK("/w")) - 1, 0) > 0);
	http_server_drain(rig.server, set_true, &rig.drained);
	assert_int_equal(connect_to(bound), -1);
	/* what was on its way is served, and told that it was the last */
	client_ask(&rig, &late, ASK("/late"), 200);
	assert_non_null(strstr(late.head.p, "Connection: close\r\n"));
	assert_true(client_ended(&rig, &late));
	assert_true(client_answer(&rig, &waiting, false));
	assert_string_equal(waiting.body.p, "{\"GET /w\":\"\"}");
	assert_true(client_ended(&rig, &waiting));
	assert_true(client_ended(&rig, &idle));
	assert_true(client_ended(&rig, &fresh));
	assert_false(rig.drained);
	client_ask(&rig, &half, "bc", 200);
	assert_true(client_ended(&rig, &half));
	client_close(&fresh);
	client_close(&idle);
	client_close(&late);
	client_close(&half);
	client_close(&waiting);
	turns(&rig, 20);
	assert_false(rig.drained);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &held, false));
	assert_null(strstr(held.head.p, "Connection: close")); /* one more was there already */
	assert_true(client_answer(&rig, &held, false));
	assert_string_equal(held.body.p, "{\"GET /behind\":\"\"}");
	assert_non_null(strstr(held.head.p, "Connection: close\r\n"));
	assert_true(client_ended(&rig, &held));
	client_close(&held);
	assert_true(loop_run_until(&rig.loop, &rig.drained));
	rig_finish(&rig);
}

static void test_drain_of_nothing(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	http_server_drain(rig.server, set_true, &rig.drained);
	assert_false(rig.drained);
	assert_true(loop_run_until(&rig.loop, &rig.drained));
	rig_finish(&rig);
}

static void test_destroy_with_a_held_request(void **state)
{
	struct client held, big;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &held);
	client_open(&rig, &big);
	client_send(&rig, &held, STR(ASK("/hold")));
	assert_true(send(big.fd, ASK("/big"), sizeof(ASK("/big")) - 1, 0) > 0);
	wait_held(&rig, 1);
	http_server_destroy(rig.server, set_true, &rig.destroyed);
	assert_int_equal(rig.n_gone, 1);
	turns(&rig, 30);
	assert_false(rig.destroyed); /* the handler still has it */
	rig_release(&rig, "1");
	assert_true(loop_run_until(&rig.loop, &rig.destroyed));
	assert_int_equal(rig.n_gone, 1);
	client_close(&held);
	client_close(&big);
	loop_run(&rig.loop);
	assert_int_equal(loop_finish(&rig.loop), 0);
	free(rig.big);
}

static void answer_on_gone(struct http_request *req)
{
	http_respond(req, 500, STR("{}"));
}

/* A handler may give up by answering from inside on_gone. */
static void test_answer_from_on_gone(void **state)
{
	struct client client;
	struct rig rig;
	int how;

	(void)state;
	rig_init(&rig, NULL);
	for (how = 0; how < 2; how++) {
		client_open(&rig, &client);
		client_send(&rig, &client, STR(ASK("/hold")));
		wait_held(&rig, 1);
		rig.held[0]->on_gone = answer_on_gone;
		rig.n_held = 0;
		if (how)
			reset(&client);
		else
			client_close(&client);
		wait_connections(&rig, 0);
	}
	rig_finish(&rig);
}

/* -- over memory ------------------------------------------------------------------------ */

static void got(struct stream *stream, const char *p, ssize_t n)
{
	if (n > 0)
		buf_put(stream->data, p, (size_t)n);
}

static void closed(struct stream *stream)
{
	buf_finish(stream->data);
}

/* A stream that takes a few bytes at a time: every answer has to wait. */
static void test_narrow_stream(void **state)
{
	static const char ask[] =
		ASK("/a") ASK("/b") "GET /c HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
	struct stream_end client, server;
	struct str text = str_of(ask);
	struct buf answers = { 0 };
	struct list *first;
	const char *a, *b, *c;
	struct rig rig;
	int i;

	(void)state;
	rig_init(&rig, NULL);
	stream_pair(&rig.loop, &client, &server, 10);
	client.stream.on_read = got;
	client.stream.on_closed = closed;
	client.stream.data = &answers;
	server.room = sizeof(ask); /* only the way back is narrow */
	first = list_first(&rig.server->listeners);
	http_conn_start(container_of(first, struct http_listener, node), &server.stream, "memory");
	stream_read_start(&client.stream);
	assert_int_equal(stream_write(&client.stream, &text, 1), 0);
	for (i = 0; i < 5000 && (!answers.p || !strstr(answers.p, "Connection: close") ||
				 !strstr(answers.p, "GET /c"));
	     i++)
		rig_turn(&rig);
	assert_non_null(answers.p);
	a = strstr(answers.p, "GET /a");
	b = strstr(answers.p, "GET /b");
	c = strstr(answers.p, "GET /c");
	assert_true(a && b && c && a < b && b < c);
	assert_int_equal(rig.handled, 3);
	assert_int_equal(rig.server->n_conns, 1); /* lingers until the client is done, too */
	stream_shutdown(&client.stream);
	wait_connections(&rig, 0);
	stream_close(&client.stream);
	for (i = 0; i < 100 && answers.p; i++)
		rig_turn(&rig);
	assert_null(answers.p);
	rig_finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_requests),
		cmocka_unit_test(test_idle_after_an_answer),
		cmocka_unit_test(test_stalled_process),
		cmocka_unit_test(test_client_that_does_not_read),
		cmocka_unit_test(test_linger_ends),
		cmocka_unit_test(test_gone_while_waiting),
		cmocka_unit_test(test_half_closed_client_gets_its_answers),
		cmocka_unit_test(test_reset_in_mid_body),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_of_nothing),
		cmocka_unit_test(test_destroy_with_a_held_request),
		cmocka_unit_test(test_answer_from_on_gone),
		cmocka_unit_test(test_narrow_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
