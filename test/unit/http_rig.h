/* A server on loopback and clients in the same thread: the loop is turned by hand between looks
 * at the clients' sockets. For the tests of core/http_server. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_HTTP_RIG_H
#define TEST_HTTP_RIG_H

#include "core/http_server.h"

#include "core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HELD_MAX 8
#define BIG (8u << 20)

struct rig {
	struct loop loop;
	struct metrics metrics;
	struct http_server *server;
	char bound[128];
	int handled;
	struct http_request *held[HELD_MAX]; /* of /hold, until the test answers */
	int n_held, n_gone;
	bool gone_before; /* req->gone of the last request when it was handed over */
	bool drained, destroyed;
	char *big;
};

struct client {
	int fd;
	struct buf got; /* emptied when all of it has been looked at */
	size_t at;      /* bytes of got that were answers already seen */
	bool eof, reset;
	/* the last answer */
	int status;
	struct buf head, body;
};

static inline void on_gone(struct http_request *req)
{
	((struct rig *)req->data)->n_gone++;
}

/* GET /hold waits for the test, /big is large, /status/N answers N; the rest is an echo. */
static inline void rig_handler(struct http_request *req, void *data)
{
	struct rig *rig = data;
	uint64_t status = 200;

	rig->handled++;
	rig->gone_before = req->gone;
	req->data = rig;
	if (str_is(req->path, "/hold")) {
		assert_true(rig->n_held < HELD_MAX);
		req->on_gone = on_gone;
		rig->held[rig->n_held++] = req;
		return;
	}
	if (str_is(req->path, "/big")) {
		http_respond(req, 200, str_make(rig->big, BIG));
		return;
	}
	if (str_is(req->path, "/close"))
		http_set_header(req, "Connection", STR("close"));
	if (str_starts(req->path, STR("/status/")))
		assert_true(str_to_u64(str_make(req->path.p + 8, req->path.n - 8), &status));
	http_set_header(req, "X-Peer", req->peer);
	http_respond(req, (int)status,
		     str_of(arena_printf(&req->arena, "{\"%.*s %.*s\":\"%.*s\"}",
					 STR_ARG(req->method), STR_ARG(req->path),
					 (int)(req->body.n < 64 ? req->body.n : 64), req->body.p)));
}

static inline void rig_release(struct rig *rig, const char *body)
{
	struct http_request *req = rig->held[0];

	assert_true(rig->n_held > 0);
	memmove(rig->held, rig->held + 1, sizeof(rig->held) - sizeof(rig->held[0]));
	rig->n_held--;
	http_respond(req, 200, str_of(body));
}

static inline void rig_listen(struct rig *rig, const char *address, const char *prefix)
{
	struct err err;

	if (http_server_listen(rig->server, address, prefix, rig, rig->bound, sizeof(rig->bound),
			       &err) != 0)
		fail_msg("%s", err.text);
}

static inline void rig_init(struct rig *rig, const struct http_limits *limits)
{
	memset(rig, 0, sizeof(*rig));
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(&rig->loop), 0);
	metrics_init(&rig->metrics);
	rig->big = malloc(BIG);
	memset(rig->big, 'b', BIG);
	rig->server = http_server_create(&rig->loop, limits, NULL, &rig->metrics, rig_handler, rig);
	rig_listen(rig, "127.0.0.1:0", "/");
}

static inline void set_true(void *data)
{
	*(bool *)data = true;
}

static inline void rig_turn(struct rig *rig)
{
	uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
}

static inline void rig_finish(struct rig *rig)
{
	http_server_destroy(rig->server, set_true, &rig->destroyed);
	assert_false(rig->destroyed); /* never from inside the caller */
	assert_true(loop_run_until(&rig->loop, &rig->destroyed));
	assert_true(list_empty(&rig->metrics.all));
	loop_run(&rig->loop);
	assert_int_equal(loop_finish(&rig->loop), 0);
	free(rig->big);
}

static inline double rig_metric(struct rig *rig, const char *name)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &rig->metrics.all) {
		struct metric *metric = container_of(pos, struct metric, node);

		if (strcmp(metric->name, name) == 0)
			return metric->value;
	}
	fail_msg("no metric %s", name);
	return 0;
}

/* -- waiting --------------------------------------------------------------------------- */

static inline uint64_t ms_since(struct rig *rig, uint64_t then)
{
	return loop_now(&rig->loop) - then;
}

static inline void turns(struct rig *rig, int ms)
{
	uint64_t then = loop_now(&rig->loop);

	while (ms_since(rig, then) < (uint64_t)ms) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
}

static inline void wait_held(struct rig *rig, int n)
{
	uint64_t then = loop_now(&rig->loop);

	while (rig->n_held < n && ms_since(rig, then) < 5000) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig->n_held, n);
}

static inline void wait_connections(struct rig *rig, size_t n)
{
	uint64_t then = loop_now(&rig->loop);

	while ((size_t)rig_metric(rig, "osbd_http_connections") != n &&
	       ms_since(rig, then) < 5000) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
	assert_int_equal((size_t)rig_metric(rig, "osbd_http_connections"), n);
}

static inline void wait_gone(struct rig *rig)
{
	uint64_t then = loop_now(&rig->loop);

	while (!rig->n_gone && ms_since(rig, then) < 5000) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig->n_gone, 1);
}

/* -- clients ---------------------------------------------------------------------------- */

static inline int connect_to(const char *bound)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const struct sockaddr *to = (const struct sockaddr *)&in;
	socklen_t size = sizeof(in);
	uint16_t port = (uint16_t)atoi(strrchr(bound, ':') + 1);
	int fd;

	if (strncmp(bound, "unix:", 5) == 0) {
		assert_true(snprintf(un.sun_path, sizeof(un.sun_path), "%s", bound + 5) <
			    (int)sizeof(un.sun_path));
		to = (const struct sockaddr *)&un;
		size = sizeof(un);
	} else if (bound[0] == '[') {
		in6.sin6_port = htons(port);
		to = (const struct sockaddr *)&in6;
		size = sizeof(in6);
	} else {
		in.sin_port = htons(port);
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (connect(fd, to, size) != 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static inline void client_open(struct rig *rig, struct client *client)
{
	memset(client, 0, sizeof(*client));
	client->fd = connect_to(rig->bound);
	assert_true(client->fd >= 0);
}

static inline void client_close(struct client *client)
{
	close(client->fd);
	buf_finish(&client->got);
	buf_finish(&client->head);
	buf_finish(&client->body);
}

static inline void client_look(struct client *client)
{
	while (!client->eof && !client->reset) {
		ssize_t n = recv(client->fd, buf_room(&client->got, 65536), 65536, 0);

		if (n > 0) {
			client->got.n += (size_t)n;
			*buf_room(&client->got, 1) = '\0';
		} else if (n == 0) {
			client->eof = true;
		} else if (errno == EAGAIN) {
			return;
		} else {
			client->reset = true;
		}
	}
}

static inline void rig_wait(struct rig *rig, struct client *client)
{
	struct pollfd fd = { client->fd, POLLIN, 0 };

	rig_turn(rig);
	if (client->eof || client->reset)
		poll(NULL, 0, 1);
	else
		poll(&fd, 1, 1);
	client_look(client);
}

/* Sends all of it, the server taking its turns; ends early when the server has closed. */
static inline void client_send(struct rig *rig, struct client *client, struct str text)
{
	while (text.n) {
		ssize_t n = send(client->fd, text.p, text.n, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			text.p += n;
			text.n -= (size_t)n;
		}
		rig_turn(rig);
		client_look(client);
	}
}

/* True when a whole answer came; it stands in status, head and body. */
static inline bool client_answer(struct rig *rig, struct client *client, bool to_head)
{
	uint64_t until = loop_now(&rig->loop) + 5000;

	while (loop_now(&rig->loop) < until) {
		const char *p = client->got.n ? client->got.p + client->at : "";
		const char *end = strstr(p, "\r\n\r\n");
		const char *length;
		size_t n_head, n_body = 0;

		if (end) {
			n_head = (size_t)(end + 4 - p);
			buf_clear(&client->head);
			buf_put(&client->head, p, n_head);
			length = strstr(client->head.p, "Content-Length: ");
			if (length && !to_head)
				n_body = (size_t)atoll(length + 16);
			if (client->got.n - client->at >= n_head + n_body) {
				client->status = atoi(p + 9);
				buf_clear(&client->body);
				buf_put(&client->body, p + n_head, n_body);
				client->at += n_head + n_body;
				if (client->at == client->got.n) {
					buf_clear(&client->got);
					client->at = 0;
				}
				return true;
			}
		}
		if (client->eof || client->reset)
			return false;
		rig_wait(rig, client);
	}
	return false;
}

/* Sends a request and demands an answer of that status. */
static inline void client_ask(struct rig *rig, struct client *client, const char *text, int status)
{
	client_send(rig, client, str_of(text));
	if (!client_answer(rig, client, strncmp(text, "HEAD ", 5) == 0))
		fail_msg("no answer to: %.60s", text);
	if (client->status != status)
		fail_msg("%d, not %d to: %.60s", client->status, status, text);
}

/* True when the server has closed, in order, without another byte. */
static inline bool client_ended(struct rig *rig, struct client *client)
{
	uint64_t until = loop_now(&rig->loop) + 5000;

	while (!client->eof && !client->reset && loop_now(&rig->loop) < until)
		rig_wait(rig, client);
	return client->eof && !client->reset && !client->got.n;
}

#endif
