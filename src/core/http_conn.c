/* A read feeds the parser; a whole request goes to the handler; http_respond() writes. When all
 * that happens at once the loop in run() goes on with the next request of the same bytes. When the
 * answer comes later, or the kernel does not take it at once, what is left is kept in rest, and
 * resume() goes on with it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_conn.h"

#include "core/http_forwarded.h"
#include "core/mem.h"
#include "core/proxy_stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void run(struct http_conn *conn, const char *p, size_t n, size_t *used);
static void resume(struct http_conn *conn);

/* -- states ----------------------------------------------------------------------------- */

#define TO(state) (1u << CONN_##state)

static const unsigned moves[CONN_STATES] = {
	[CONN_GREET] = TO(IDLE) | TO(CLOSED),
	[CONN_IDLE] = TO(HEAD) | TO(BODY) | TO(HANDLER) | TO(WRITE) | TO(LINGER) | TO(CLOSED),
	[CONN_HEAD] = TO(BODY) | TO(HANDLER) | TO(WRITE) | TO(LINGER) | TO(CLOSED),
	[CONN_BODY] = TO(HANDLER) | TO(WRITE) | TO(LINGER) | TO(CLOSED),
	[CONN_HANDLER] = TO(IDLE) | TO(WRITE) | TO(LINGER) | TO(CLOSED),
	[CONN_WRITE] = TO(IDLE) | TO(LINGER) | TO(CLOSED),
	[CONN_LINGER] = TO(CLOSED),
	[CONN_CLOSED] = 0,
};

static void move(struct http_conn *conn, enum conn_state to)
{
	struct http_server *server = conn->server;

	assert(moves[conn->state] & (1u << to));
	conn->state = to;
	list_remove(&conn->node);
	list_append(&server->conns[to], &conn->node);
	if (!server->within[to])
		return;
	conn->deadline = loop_now(server->loop) + server->within[to];
	http_server_sweep_by(server, conn->deadline);
}

static bool takes_bytes(const struct http_conn *conn)
{
	return conn->state >= CONN_IDLE && conn->state <= CONN_BODY;
}

/* -- requests --------------------------------------------------------------------------- */

static void take_exchange(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	struct list *node = list_shift(&server->spare);
	struct http_exchange *exchange;
	struct arena arena = { 0 };

	if (node) {
		exchange = container_of(node, struct http_exchange, node);
		arena = exchange->req.arena;
		server->n_spare--;
	} else {
		exchange = mem_alloc(sizeof(*exchange));
	}
	memset(exchange, 0, sizeof(*exchange));
	exchange->req.arena = arena;
	exchange->server = server;
	exchange->conn = conn;
	conn->exchange = exchange;
	http_parser_init(&exchange->parser, &exchange->req, &server->limits,
			 conn->listener->prefix);
}

static void give_back(struct http_exchange *exchange)
{
	struct http_server *server = exchange->server;

	if (server->n_spare == HTTP_SPARE_MAX || server->destroying) {
		arena_finish(&exchange->req.arena);
		mem_free(exchange);
		return;
	}
	arena_reset(&exchange->req.arena);
	list_prepend(&server->spare, &exchange->node);
	server->n_spare++;
}

/* Who asks, and on the way through whom. */
static void set_peer(struct http_conn *conn, struct http_request *req, struct str *via)
{
	const struct http_listener *listener = conn->listener;
	struct str peer = str_of(conn->peer);
	char asks[INET6_ADDRSTRLEN];

	*via = conn->via[0] ? str_of(conn->via) : str_make(NULL, 0);
	if (listener->forwarded && conn->exchange->parser.has_head &&
	    cidr_set_has(&listener->trusted, peer)) {
		req->forwarded_proto = http_forwarded_proto(req);
		if (http_forwarded_for(req, &listener->trusted, peer, asks)) {
			*via = peer;
			peer = str_of(asks);
		}
	}
	req->peer = arena_str(&req->arena, peer); /* the connection may go before the request */
}

static void set_id(struct http_exchange *exchange, struct str via)
{
	uint64_t id = ++exchange->server->n_requests;
	size_t n = sizeof(exchange->id) - 1, i;

	for (i = n; i > n - 8 || id; id >>= 4)
		exchange->id[--i] = "0123456789abcdef"[id & 15];
	log_child(&exchange->req.log, exchange->server->log);
	log_field(&exchange->req.log, "peer", exchange->req.peer);
	if (via.p)
		log_field(&exchange->req.log, "via", via);
	if (exchange->req.forwarded_proto.p)
		log_field(&exchange->req.log, "proto", exchange->req.forwarded_proto);
	log_field(&exchange->req.log, "req", str_make(exchange->id + i, n - i));
}

static void call_gone(struct http_request *req)
{
	void (*on_gone)(struct http_request * req) = req->on_gone;

	if (req->gone)
		return;
	req->gone = true;
	if (on_gone)
		on_gone(req);
}

/* -- answers ---------------------------------------------------------------------------- */

static bool header_ok(struct str name, struct str value)
{
	static const struct str ours[] = { { "content-length", 14 },
					   { "date", 4 },
					   { "transfer-encoding", 17 } };
	size_t i;

	for (i = 0; i < ARRAY_LEN(ours); i++)
		if (str_ieq(name, ours[i]))
			return false;
	for (i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] == ':' || name.p[i] == 0x7f)
			return false;
	for (i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return false;
	return name.n > 0;
}

void http_set_header(struct http_request *req, const char *name, struct str value)
{
	struct http_exchange *exchange = container_of(req, struct http_exchange, req);
	struct str key = str_of(name);
	size_t need = exchange->n_fields + key.n + value.n + 4;
	char *p;

	if (!header_ok(key, value)) {
#ifdef OSBD_FAILPOINTS
		abort();
#endif
		return;
	}
	if (str_ieq(key, STR("connection"))) {
		exchange->closes = exchange->closes || str_ieq(value, STR("close"));
		return; /* the server says it itself */
	}
	if (str_ieq(key, STR("content-type")))
		exchange->typed = true;
	if (need > exchange->fields_size) {
		size_t size = need < 128 ? 256 : need * 2;

		p = arena_alloc(&req->arena, size);
		if (exchange->n_fields)
			memcpy(p, exchange->fields, exchange->n_fields);
		exchange->fields = p;
		exchange->fields_size = size;
	}
	p = exchange->fields + exchange->n_fields;
	memcpy(p, key.p, key.n);
	p += key.n;
	*p++ = ':';
	*p++ = ' ';
	if (value.n)
		memcpy(p, value.p, value.n);
	p += value.n;
	*p++ = '\r';
	*p++ = '\n';
	exchange->n_fields = need;
}

static void update_date(struct http_server *server)
{
	uint64_t now = loop_wall(server->loop) / 1000;
	time_t t = (time_t)now;
	struct tm tm;

	if (now == server->date_at)
		return;
	server->date_at = now;
	gmtime_r(&t, &tm);
	strftime(server->date, sizeof(server->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
}

static char *put(char *p, const char *text, size_t n)
{
	memcpy(p, text, n);
	return p + n;
}
#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_number(char *p, size_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + value % 10);
	while (value /= 10);
	return put(p, digits + i, sizeof(digits) - i);
}

/* Everything before the body. */
static struct str answer_head(struct http_exchange *exchange, int status, size_t body, bool last)
{
	struct http_server *server = exchange->server;
	const char *reason = http_reason(status);
	char *head, *p;

	update_date(server);
	p = head = arena_alloc(&exchange->req.arena, 256 + exchange->n_fields);
	p = PUT(p, "HTTP/1.1 ");
	p = put_number(p, (size_t)status);
	*p++ = ' ';
	p = put(p, reason, strlen(reason));
	p = PUT(p, "\r\n");
	p = put(p, server->date, strlen(server->date));
	if (status != 204 && status != 304) {
		if (body && !exchange->typed)
			p = PUT(p, "Content-Type: application/json\r\n");
		p = PUT(p, "Content-Length: ");
		p = put_number(p, body);
		p = PUT(p, "\r\n");
	}
	if (last)
		p = PUT(p, "Connection: close\r\n");
	else if (exchange->parser.http10)
		p = PUT(p, "Connection: keep-alive\r\n");
	if (exchange->n_fields)
		p = put(p, exchange->fields, exchange->n_fields);
	p = PUT(p, "\r\n");
	return str_make(head, (size_t)(p - head));
}

static void linger(struct http_conn *conn)
{
	if (conn->eof) {
		http_conn_close(conn);
		return;
	}
	buf_finish(&conn->rest);
	conn->rest_at = 0;
	stream_shutdown(conn->stream);
	move(conn, CONN_LINGER);
	if (conn->stopped) {
		conn->stopped = false;
		stream_read_start(conn->stream);
	}
}

/* The kernel has the whole answer. */
static void answered(struct http_conn *conn)
{
	give_back(conn->exchange);
	conn->exchange = NULL;
	if (conn->last) {
		linger(conn);
		return;
	}
	move(conn, CONN_IDLE);
	if (!conn->running)
		resume(conn);
}

static void answer(struct http_conn *conn, int status, struct str body)
{
	struct http_exchange *exchange = conn->exchange;
	struct str parts[2];
	bool has_body = status != 204 && status != 304 && !str_is(exchange->req.method, "HEAD");
	int rc;

	if (exchange->closes || !exchange->parser.keep_alive ||
	    (conn->server->draining && !conn->more))
		conn->last = true;
	parts[0] = answer_head(exchange, status, body.n, conn->last);
	parts[1] = body;
	rc = stream_write(conn->stream, parts, has_body && body.n ? 2 : 1);
	if (rc == 0) {
		answered(conn);
	} else if (rc == STREAM_LATER) {
		move(conn, CONN_WRITE);
	} else {
		exchange->req.gone = true; /* the handler has answered: it need not hear of it */
		move(conn, CONN_WRITE);
		http_conn_close(conn);
	}
}

void http_respond(struct http_request *req, int status, struct str body)
{
	struct http_exchange *exchange = container_of(req, struct http_exchange, req);
	struct http_server *server = exchange->server;

	assert(status >= 200 && status <= 599);
	if (exchange->conn) {
		assert(exchange->conn->state == CONN_HANDLER);
		answer(exchange->conn, status, body);
		return;
	}
	give_back(exchange);
	server->n_held--;
	http_server_check(server);
}

/* An answer that no handler gives, and the last one: the request cannot be read to its end. */
static void refuse(struct http_conn *conn, int status, const char *why)
{
	struct http_exchange *exchange = conn->exchange;
	struct http_server *server = conn->server;
	struct str via = { NULL, 0 };

	if (status != 404)
		metric_inc(&server->bad_requests, 1);
	set_peer(conn, &exchange->req, &via);
	set_id(exchange, via);
	log_debug(&exchange->req.log, "refused: %d %s", status, why);
	conn->last = true;
	answer(conn, status, http_error_body(&exchange->req.arena, status, why));
}

/* -- bytes ------------------------------------------------------------------------------ */

/* The request may outlive the connection: it has its own copy. */
static void set_peer_names(struct http_conn *conn, struct http_request *req)
{
	const struct stream_peer *peer = stream_peer(conn->stream);
	struct str *names;
	size_t i;

	if (!peer)
		return;
	names = arena_alloc(&req->arena, peer->n_names * sizeof(*names) + 1);
	for (i = 0; i < peer->n_names; i++)
		names[i] = arena_str(&req->arena, peer->names[i]);
	req->peer_names = names;
	req->n_peer_names = peer->n_names;
}

static void hand_over(struct http_conn *conn)
{
	struct http_exchange *exchange = conn->exchange;
	struct http_request *req = &exchange->req;
	struct str via;

	move(conn, CONN_HANDLER);
	set_peer(conn, req, &via);
	req->listener_data = conn->listener->data;
	set_peer_names(conn, req);
	req->gone = conn->eof;
	set_id(exchange, via);
	if (exchange->parser.outside)
		http_respond(req, 404,
			     http_error_body(&req->arena, 404, "nothing is served at this path"));
	else
		conn->server->handler(req, conn->server->data);
}

/* The client waits for a word before it sends the body. A kernel that has no room for 25 bytes
 * means that the client has not read its earlier answers. */
static void say_continue(struct http_conn *conn)
{
	static const struct str line = { "HTTP/1.1 100 Continue\r\n\r\n", 25 };
	struct http_exchange *exchange = conn->exchange;

	if (!exchange->parser.expects || exchange->continued || exchange->req.body.n ||
	    !exchange->parser.has_body)
		return;
	exchange->continued = true;
	if (stream_write(conn->stream, &line, 1) != 0)
		http_conn_close(conn);
}

static void run(struct http_conn *conn, const char *p, size_t n, size_t *used)
{
	size_t at = 0, took;

	conn->running = true;
	while (at < n && takes_bytes(conn)) {
		struct http_parser *parser;
		enum http_progress progress;

		if (!conn->exchange)
			take_exchange(conn);
		parser = &conn->exchange->parser;
		progress = http_parser_feed(parser, p + at, n - at, &took);
		at += took;
		conn->more = at < n;
		if (progress == HTTP_COMPLETE) {
			hand_over(conn);
		} else if (progress == HTTP_BAD) {
			refuse(conn, parser->status, parser->why);
		} else {
			enum conn_state to = parser->has_head ? CONN_BODY : CONN_HEAD;

			if (conn->state != to)
				move(conn, to);
			if (to == CONN_BODY)
				say_continue(conn);
		}
	}
	conn->running = false;
	*used = at;
}

/* The client sends no more. */
static void ended(struct http_conn *conn)
{
	if (conn->state == CONN_HANDLER)
		call_gone(&conn->exchange->req);
	else if (conn->state == CONN_WRITE)
		return; /* it may still read; the end comes after the answer */
	else if (takes_bytes(conn) && conn->exchange && conn->exchange->parser.begun)
		refuse(conn, 400, "the request ends in the middle");
	else
		http_conn_close(conn);
}

/* Goes on with what came while an answer was awaited or written. */
static void resume(struct http_conn *conn)
{
	size_t used = 0;

	if (conn->rest.n) {
		run(conn, conn->rest.p + conn->rest_at, conn->rest.n - conn->rest_at, &used);
		conn->rest_at += used;
		if (conn->rest_at >= conn->rest.n) { /* also when linger() has dropped it */
			buf_finish(&conn->rest);
			conn->rest_at = 0;
		}
	}
	if (conn->state == CONN_CLOSED || conn->state == CONN_LINGER)
		return;
	if (conn->stopped && conn->rest.n - conn->rest_at < HTTP_PIPELINE_MAX / 2) {
		conn->stopped = false;
		stream_read_start(conn->stream);
	}
	if (conn->eof && takes_bytes(conn))
		ended(conn);
}

static void keep_rest(struct http_conn *conn, const char *p, size_t n)
{
	if (conn->rest_at) {
		buf_shift(&conn->rest, conn->rest_at);
		conn->rest_at = 0;
	}
	buf_put(&conn->rest, p, n);
	if (conn->rest.n >= HTTP_PIPELINE_MAX) {
		conn->stopped = true;
		stream_read_stop(conn->stream);
	}
}

static void on_bytes(struct http_conn *conn, const char *p, size_t n)
{
	size_t used = 0;

	if (conn->state == CONN_LINGER) {
		conn->drained += n;
		if (conn->drained > HTTP_LINGER_BYTES)
			http_conn_close(conn);
		return;
	}
	if (takes_bytes(conn))
		run(conn, p, n, &used);
	if (used < n && (conn->state == CONN_HANDLER || conn->state == CONN_WRITE)) {
		conn->more = true;
		keep_rest(conn, p + used, n - used);
	}
}

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct http_conn *conn = stream->data;

	if (n > 0) {
		on_bytes(conn, p, (size_t)n);
	} else if (n == 0) {
		conn->eof = true;
		ended(conn);
	} else {
		if (conn->state == CONN_GREET && (n == ERR_SYNTAX || n == ERR_TOOBIG)) {
			metric_inc(&conn->server->bad_requests, 1);
			log_warn(conn->server->log, "%s sends no PROXY header: connection closed",
				 conn->peer);
		}
		http_conn_close(conn);
	}
}

static void on_written(struct stream *stream, int status)
{
	struct http_conn *conn = stream->data;

	if (conn->state != CONN_WRITE)
		return;
	if (status != 0)
		http_conn_close(conn);
	else
		answered(conn);
}

/* -- life ------------------------------------------------------------------------------- */

static void on_closed(struct stream *stream)
{
	struct http_conn *conn = stream->data;
	struct http_server *server = conn->server;
	struct http_listener *listener = conn->listener;

	list_remove(&conn->node);
	if (conn->exchange)
		give_back(conn->exchange);
	buf_finish(&conn->rest);
	mem_free(conn);
	server->n_conns--;
	metric_set(&server->connections, (double)server->n_conns);
	if (listener->n_conns-- == server->limits.connections)
		net_listener_resume(&listener->net);
	http_server_check(server);
}

static void attach(struct http_conn *conn, struct stream *stream)
{
	conn->stream = stream;
	stream->data = conn;
	stream->on_read = on_read;
	stream->on_written = on_written;
	stream->on_closed = on_closed;
}

static struct stream *wrap(struct http_conn *conn, struct stream *stream)
{
	const struct http_listener *listener = conn->listener;

	return listener->wrap ? listener->wrap(listener->wrap_data, stream, conn->peer) : stream;
}

/* Only now it is known who the peer is: what is wrapped around the stream wants to know. */
static void on_proxy_header(struct stream *stream, const struct proxy_header *header)
{
	struct http_conn *conn = stream->data;

	if (header->known) {
		memcpy(conn->via, conn->peer, sizeof(conn->via));
		cidr_address(str_of(header->source), conn->peer);
	}
	move(conn, CONN_IDLE);
	if (!conn->listener->wrap)
		return;
	stream_read_stop(stream); /* it is another's from here on, who starts it */
	attach(conn, wrap(conn, stream));
	stream_read_start(conn->stream);
}

void http_conn_start(struct http_listener *listener, struct stream *stream, const char *peer)
{
	struct http_server *server = listener->server;
	struct http_conn *conn = mem_zalloc(sizeof(*conn));

	conn->server = server;
	conn->listener = listener;
	snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
	conn->state = CONN_IDLE;
	if (listener->proxy_protocol && cidr_set_has(&listener->trusted, str_of(peer)))
		conn->state = CONN_GREET;
	if (conn->state == CONN_GREET)
		attach(conn, proxy_stream_create(server->loop, stream, on_proxy_header));
	else
		attach(conn, wrap(conn, stream));
	server->n_conns++;
	metric_set(&server->connections, (double)server->n_conns);
	if (++listener->n_conns == server->limits.connections)
		net_listener_pause(&listener->net);
	list_append(&server->conns[conn->state], &conn->node);
	conn->deadline = loop_now(server->loop) + server->within[conn->state];
	http_server_sweep_by(server, conn->deadline);
	stream_read_start(conn->stream);
}

void http_conn_close(struct http_conn *conn)
{
	struct http_exchange *held = NULL;

	if (conn->state == CONN_CLOSED)
		return;
	if (conn->state == CONN_HANDLER && conn->exchange) {
		held = conn->exchange;
		held->conn = NULL;
		conn->exchange = NULL;
		conn->server->n_held++;
	}
	move(conn, CONN_CLOSED);
	stream_close(conn->stream);
	if (held)
		call_gone(&held->req);
}

void http_conn_expire(struct http_conn *conn)
{
	bool begun = conn->exchange && conn->exchange->parser.begun;

	if (conn->state == CONN_HEAD && begun)
		refuse(conn, 408, "the headers took too long");
	else if (conn->state == CONN_BODY)
		refuse(conn, 408, "the body took too long");
	else
		http_conn_close(conn);
}
