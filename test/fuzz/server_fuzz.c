/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of the HTTP server over memory: every request that the handler gets is answered
 * once and in order, at most one refusal follows, and the connection ends when the client does.
 * The first byte says how the bytes are cut, the second how wide the way back is. */
#include "core/http_conn.h"
#include "core/http_server.h"

#include "core/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS_MAX 4096

struct world {
	struct loop loop;
	struct buf answers;
	struct http_request *held;
	size_t handled;
	bool to_head[REQUESTS_MAX];
	bool destroyed;
};

static void want(bool holds)
{
	if (!holds)
		abort();
}

static void handle(struct http_request *req, void *data)
{
	struct world *world = data;

	want(!world->held && world->handled < REQUESTS_MAX);
	world->to_head[world->handled++] = str_is(req->method, "HEAD");
	if (req->path.n > 1 && req->path.p[1] == 'h')
		world->held = req;
	else
		http_respond(req, req->body.n ? 200 : 204, req->body);
}

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct world *world = stream->data;

	if (n > 0)
		buf_put(&world->answers, p, (size_t)n);
}

static void on_closed(struct stream *stream)
{
	(void)stream;
}

static void set_true(void *data)
{
	*(bool *)data = true;
}

static void turn(struct world *world)
{
	int i;

	for (i = 0; i < 8; i++) {
		struct http_request *req = world->held;

		world->held = NULL;
		if (req)
			http_respond(req, 200, STR("\"held\""));
		uv_run(&world->loop.uv, UV_RUN_NOWAIT);
	}
}

/* Walks over the answers: as many as there were requests, and one refusal at most. */
static void check_answers(struct world *world)
{
	const char *p = world->answers.p ? world->answers.p : "", *end = p + world->answers.n;
	size_t n = 0, refusals = 0;

	while (p < end) {
		const char *head = strstr(p, "\r\n\r\n"), *length = strstr(p, "Content-Length: ");
		int status = atoi(p + 9);

		want(strncmp(p, "HTTP/1.1 ", 9) == 0 && head && !refusals);
		p = head + 4;
		if (status == 100)
			continue;
		if (n == world->handled) {
			refusals++;
			want(status >= 400);
			if (p == end)
				break; /* of a HEAD */
		} else {
			want(status == 200 || status == 204);
			if (world->to_head[n++])
				continue;
		}
		if (length && length < head)
			p += atoi(length + 16);
		want(p <= end);
	}
	want(n == world->handled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http_limits limits = { .target = 256, .headers = 1024, .body = 512 };
	struct world *world;
	struct http_server *server;
	struct http_listener listener = { .prefix = STR("/") };
	struct stream_end client, end;
	struct list *first;
	size_t at, piece;
	int i;

	if (size < 3 || size > 32768)
		return 0;
	world = mem_zalloc(sizeof(*world));
	want(loop_init(&world->loop) == 0);
	server = http_server_create(&world->loop, &limits, NULL, NULL, handle, world);
	listener.server = server;
	stream_pair(&world->loop, &client, &end, 0);
	end.room = size;
	client.room = (size_t)data[1] * 16 + 1;
	client.stream.data = world;
	client.stream.on_read = on_read;
	client.stream.on_closed = on_closed;
	stream_read_start(&client.stream);
	http_conn_start(&listener, &end.stream, "memory");
	piece = data[0] < 250 ? (size_t)data[0] * 4 + 1 : size;
	for (at = 2; at < size && client.peer; at += piece) {
		struct str part =
			str_make((const char *)data + at, size - at < piece ? size - at : piece);

		want(stream_write(&client.stream, &part, 1) == 0);
		turn(world);
	}
	stream_shutdown(&client.stream);
	for (i = 0; i < 20000 && server->n_conns; i++)
		turn(world);
	want(!server->n_conns);
	turn(world);
	check_answers(world);
	stream_close(&client.stream);
	http_server_destroy(server, set_true, &world->destroyed);
	want(loop_run_until(&world->loop, &world->destroyed));
	first = list_first(&world->loop.soon);
	want(!first && loop_finish(&world->loop) == 0);
	buf_finish(&world->answers);
	mem_free(world);
	return 0;
}
