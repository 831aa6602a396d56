/* A link that fails while it opens tells its task why; from then on what happens to it is the
 * task's doing, but for an idle one, which nobody misses. The task hears of the end last, when the
 * link is freed, because its own end may be what follows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_link.h"

#include "core/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define TO(state) (1u << LINK_##state)

static const unsigned moves[LINK_STATES] = {
	[LINK_RESOLVE] = TO(DIAL) | TO(CLOSING),
	[LINK_DIAL] = TO(TUNNEL) | TO(WRAP) | TO(BUSY) | TO(CLOSING),
	[LINK_TUNNEL] = TO(WRAP) | TO(CLOSING),
	[LINK_WRAP] = TO(BUSY) | TO(CLOSING),
	[LINK_BUSY] = TO(IDLE) | TO(CLOSING),
	[LINK_IDLE] = TO(BUSY) | TO(CLOSING),
	[LINK_CLOSING] = 0,
};

static void move(struct http_link *link, enum link_state to)
{
	assert(moves[link->state] & (1u << to));
	link->state = to;
}

/* -- the end ---------------------------------------------------------------------------- */

static void origin_serve(struct http_origin *origin);

static void opening_free(struct http_link *link)
{
	struct http_opening *opening = link->opening;

	if (!opening)
		return;
	http_answer_finish(&opening->parser);
	buf_wipe(&opening->connect);
	arena_finish(&opening->arena);
	mem_free(opening);
	link->opening = NULL;
}

/* Every handle is closed. */
static void gone(struct http_link *link)
{
	struct http_origin *origin = link->origin;
	struct http_waiter *waiter = link->waiter;
	struct err err = link->err;
	int code = link->code;

	assert(link->state == LINK_CLOSING);
	opening_free(link);
	timer_stop(&link->timer);
	mem_free(link);
	origin->n_links--;
	origin_serve(origin);
	origin_check(origin);
	if (waiter) {
		waiter->link = NULL;
		task_link_gone(waiter->task, code, &err);
	}
}

static void on_closed(struct stream *stream)
{
	gone(stream->data);
}

void link_close(struct http_link *link)
{
	enum link_state was = link->state;

	if (was == LINK_CLOSING)
		return;
	move(link, LINK_CLOSING);
	switch (was) {
	case LINK_RESOLVE:
		call_cancel(&link->opening->lookup.call);
		break;
	case LINK_DIAL:
		call_cancel(&link->opening->dial.call);
		break;
	case LINK_WRAP:
		call_cancel(&link->opening->wrapping.call);
		break;
	case LINK_IDLE:
		list_remove(&link->node);
		link->origin->n_idle--;
		timer_stop(&link->timer);
		stream_close(link->stream);
		break;
	case LINK_TUNNEL:
	case LINK_BUSY:
		stream_close(link->stream);
		break;
	case LINK_CLOSING:
	case LINK_STATES:
		break;
	}
}

static void note(struct http_link *link, const struct err *err, const char *where)
{
	link->err = *err;
	link->code = err->code ? err->code : ERR_IO;
	err_wrap(&link->err, "%s", where);
}

/* While a call of the opening has just ended, and nothing is open. */
static void fail_closed(struct http_link *link, const struct err *err, const char *where)
{
	note(link, err, where);
	move(link, LINK_CLOSING);
	gone(link);
}

static void on_fail_soon(struct timer *timer)
{
	gone(container_of(timer, struct http_link, timer));
}

/* The same, not from the loop. */
static void fail_soon(struct http_link *link, const struct err *err, const char *where)
{
	note(link, err, where);
	move(link, LINK_CLOSING);
	timer_start(&link->timer, link->origin->client->loop, 0, on_fail_soon);
}

static void fail_open(struct http_link *link, const struct err *err, const char *where)
{
	note(link, err, where);
	link_close(link);
}

/* -- what the stream says ---------------------------------------------------------------- */

static void tunnel_read(struct http_link *link, const char *p, ssize_t n);
static void own(struct http_link *link, struct stream *stream);

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct http_link *link = stream->data;

	if (link->state == LINK_BUSY)
		task_link_read(link->waiter->task, p, n);
	else if (link->state == LINK_TUNNEL)
		tunnel_read(link, p, n);
	else
		link_close(link); /* idle: it is over, or somebody speaks unasked */
}

static void on_written(struct stream *stream, int status)
{
	struct http_link *link = stream->data;
	struct err err;

	link->writing = false;
	if (link->state == LINK_BUSY) {
		task_link_written(link->waiter->task, status);
	} else if (link->state == LINK_TUNNEL && status != 0) {
		err_set(&err, status, "%s", err_str(status));
		fail_open(link, &err, "proxy");
	}
}

void link_read(struct http_link *link, bool on)
{
	if (link->state == LINK_CLOSING)
		return;
	if (on)
		stream_read_start(link->stream);
	else
		stream_read_stop(link->stream);
}

static void own(struct http_link *link, struct stream *stream)
{
	link->stream = stream;
	stream->data = link;
	stream->on_read = on_read;
	stream->on_written = on_written;
	stream->on_closed = on_closed;
}

/* -- opening ---------------------------------------------------------------------------- */

static void ready(struct http_link *link)
{
	opening_free(link);
	move(link, LINK_BUSY);
	task_link_ready(link->waiter->task, link);
}

static void on_wrapped(struct call *call, int status)
{
	struct http_link *link = call->data;
	struct dial_wrapping *wrapping = &link->opening->wrapping;

	if (status == 0)
		own(link, wrapping->stream);
	if (link->state == LINK_CLOSING) {
		if (status == 0)
			stream_close(link->stream);
		else
			gone(link);
	} else if (status != 0) {
		if (!wrapping->err.code)
			err_set(&wrapping->err, status, "%s", err_str(status));
		fail_closed(link, &wrapping->err, "tls");
	} else {
		ready(link);
	}
}

static void wrap(struct http_link *link)
{
	struct http_opening *opening = link->opening;
	struct dial_wrapping *wrapping = &opening->wrapping;
	int rc;

	stream_read_stop(link->stream);
	wrapping->call.done = on_wrapped;
	wrapping->call.data = link;
	wrapping->below = link->stream;
	wrapping->host = link->origin->url.host.p;
	wrapping->within = opening->connect_ms == HTTP_NEVER ? 0 : opening->connect_ms;
	rc = opening->wrap->start(opening->wrap, link->origin->client->loop, wrapping);
	if (rc != 0) {
		if (!wrapping->err.code)
			err_set(&wrapping->err, rc, "%s", err_str(rc));
		note(link, &wrapping->err, "tls");
		own(link, wrapping->below);
		move(link, LINK_CLOSING);
		stream_close(link->stream);
		return;
	}
	move(link, LINK_WRAP);
}

static void tunnel_read(struct http_link *link, const char *p, ssize_t n)
{
	struct http_opening *opening = link->opening;
	struct http_answer_parser *parser = &opening->parser;
	enum http_progress progress;
	struct err err = { 0 };
	size_t used;

	if (n <= 0) {
		err_set(&err, ERR_CLOSED, "%s", err_str(ERR_CLOSED));
		fail_open(link, &err, "proxy");
		return;
	}
	progress = http_answer_feed(parser, p, (size_t)n, &used);
	if (progress == HTTP_MORE)
		return;
	if (progress == HTTP_BAD)
		err = parser->err;
	else if (opening->answer.status >= 300)
		err_set(&err, ERR_REFUSED, "HTTP %d", opening->answer.status);
	else if (used != (size_t)n || link->writing)
		err_set(&err, ERR_SYNTAX, "it speaks unasked");
	if (err.code)
		fail_open(link, &err, "proxy");
	else
		wrap(link);
}

static void tunnel(struct http_link *link)
{
	struct http_origin *origin = link->origin;
	struct http_opening *opening = link->opening;
	struct str authorization = secret_reveal(&origin->proxy->authorization), part;
	const char *open = origin->url.literal6 ? "[" : "", *shut = origin->url.literal6 ? "]" : "";
	char host[300];
	struct err err;
	int rc;

	move(link, LINK_TUNNEL);
	snprintf(host, sizeof(host), "%s%.*s%s:%u", open, STR_ARG(origin->url.host), shut,
		 origin->url.port);
	buf_printf(&opening->connect, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", host, host);
	if (authorization.n) {
		buf_puts(&opening->connect, "Proxy-Authorization: ");
		buf_put_str(&opening->connect, authorization);
		buf_puts(&opening->connect, "\r\n");
	}
	buf_puts(&opening->connect, "\r\n");
	http_answer_init(&opening->parser, &opening->answer, &opening->arena, HTTP_ASKED_CONNECT);
	part = buf_str(&opening->connect);
	rc = stream_write(link->stream, &part, 1);
	if (rc < 0) {
		err_set(&err, rc, "%s", err_str(rc));
		fail_open(link, &err, "proxy");
		return;
	}
	link->writing = rc == STREAM_LATER;
	stream_read_start(link->stream);
}

static void on_dialled(struct call *call, int status)
{
	struct http_link *link = call->data;
	struct http_opening *opening = link->opening;

	if (status == 0)
		own(link, opening->dial.stream);
	if (link->state == LINK_CLOSING) {
		if (status == 0)
			stream_close(link->stream);
		else
			gone(link);
	} else if (status != 0) {
		fail_closed(link, &opening->dial.err,
			    link->origin->proxy ? "proxy: connect" : "connect");
	} else if (!link->origin->url.https) {
		ready(link);
	} else if (link->origin->proxy) {
		tunnel(link);
	} else {
		wrap(link);
	}
}

static void dial(struct http_link *link, const struct dial_address *addresses, size_t n)
{
	struct http_client *client = link->origin->client;
	struct http_opening *opening = link->opening;
	struct dial *dial = &opening->dial;

	dial->call.done = on_dialled;
	dial->call.data = link;
	dial->addresses = addresses;
	dial->n_addresses = n;
	dial->buffer = &client->buffer;
	dial->within = opening->connect_ms == HTTP_NEVER ? 0 : opening->connect_ms;
	move(link, LINK_DIAL);
	task_phase(link->waiter->task, PHASE_CONNECT);
	if (dial_start(client->loop, dial) != 0)
		abort(); /* there is an address */
}

static void on_resolved(struct call *call, int status)
{
	struct http_link *link = call->data;
	struct http_opening *opening = link->opening;

	if (link->state == LINK_CLOSING)
		gone(link);
	else if (status != 0)
		fail_closed(link, &opening->lookup.err,
			    link->origin->proxy ? "proxy: resolve" : "resolve");
	else
		dial(link, opening->lookup.addresses, opening->lookup.n_addresses);
}

static void link_open(struct http_origin *origin, struct http_waiter *waiter)
{
	const struct http_fetch *fetch = task_fetch(waiter->task);
	const struct http_url *url = origin->proxy ? &origin->proxy->url : &origin->url;
	struct http_opening *opening = mem_zalloc(sizeof(*opening));
	struct http_link *link = mem_zalloc(sizeof(*link));

	link->origin = origin;
	link->waiter = waiter;
	link->opening = opening;
	waiter->link = link;
	origin->n_links++;
	opening->wrap = fetch->wrap;
	opening->connect_ms = fetch->connect_ms ? fetch->connect_ms : HTTP_CONNECT_MS;
	if (origin->unix_socket && dial_unix(str_of(origin->unix_socket), &opening->socket)) {
		dial(link, &opening->socket, 1);
		return;
	}
	opening->lookup.call.done = on_resolved;
	opening->lookup.call.data = link;
	opening->lookup.name = url->host;
	opening->lookup.port = url->port;
	task_phase(waiter->task, PHASE_RESOLVE);
	if (dns_start(origin->client->dns, &opening->lookup) != 0)
		fail_soon(link, &opening->lookup.err, "resolve");
}

/* -- idle ------------------------------------------------------------------------------- */

static void on_idle_over(struct timer *timer)
{
	link_close(container_of(timer, struct http_link, timer));
}

static void take(struct http_link *link, struct http_waiter *waiter)
{
	list_remove(&link->node);
	link->origin->n_idle--;
	timer_stop(&link->timer);
	move(link, LINK_BUSY);
	link->waiter = waiter;
	waiter->link = link;
	task_link_ready(waiter->task, link);
}

static struct http_link *newest_idle(struct http_origin *origin)
{
	struct list *node = list_first(&origin->idle);

	return node ? container_of(node, struct http_link, node) : NULL;
}

static struct http_link *oldest_idle(struct http_origin *origin)
{
	return list_empty(&origin->idle) ? NULL
					 : container_of(origin->idle.prev, struct http_link, node);
}

void link_release(struct http_link *link)
{
	struct http_origin *origin = link->origin;
	struct http_client *client = origin->client;

	link->waiter->link = NULL;
	link->waiter = NULL;
	link->served = true;
	move(link, LINK_IDLE);
	list_prepend(&origin->idle, &link->node);
	origin->n_idle++;
	timer_start(&link->timer, client->loop, client->idle_ms, on_idle_over);
	stream_read_start(link->stream);
	origin_serve(origin);
	if (client->destroying)
		origin_close_idle(origin);
	else if (origin->n_idle > client->max_idle)
		link_close(oldest_idle(origin));
}

/* -- origins ---------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

struct http_origin *origin_get(struct http_client *client, const struct http_url *url,
			       const struct http_proxy *proxy, const struct http_fetch *fetch)
{
	uint64_t wrap = url->https && fetch->wrap ? fetch->wrap->id : 0;
	struct http_origin *origin;
	struct list *pos, *tmp;

	list_each(pos, tmp, &client->origins) {
		origin = container_of(pos, struct http_origin, node);
		if (http_url_same_origin(&origin->url, url) && origin->proxy == proxy &&
		    origin->wrap == wrap && same_text(origin->unix_socket, fetch->unix_socket))
			return origin;
	}
	origin = mem_zalloc(sizeof(*origin));
	origin->client = client;
	origin->url = *url;
	origin->url.host = arena_str(&origin->arena, url->host);
	origin->url.path = origin->url.query = (struct str){ NULL, 0 };
	origin->proxy = proxy;
	origin->wrap = wrap;
	if (fetch->unix_socket)
		origin->unix_socket = arena_strdup(&origin->arena, fetch->unix_socket);
	list_init(&origin->idle);
	list_init(&origin->waiting);
	list_append(&client->origins, &origin->node);
	return origin;
}

static void origin_serve(struct http_origin *origin)
{
	struct list *node;

	while ((node = list_first(&origin->waiting))) {
		struct http_waiter *waiter = container_of(node, struct http_waiter, node);
		struct http_link *link = waiter->fresh ? NULL : newest_idle(origin);

		if (link) {
			list_remove(node);
			take(link, waiter);
		} else if (origin->n_links < origin->client->max_links) {
			list_remove(node);
			link_open(origin, waiter);
		} else {
			/* one that is idle makes room */
			if (oldest_idle(origin))
				link_close(oldest_idle(origin));
			break;
		}
	}
}

void origin_ask(struct http_origin *origin, struct http_waiter *waiter)
{
	list_append(&origin->waiting, &waiter->node);
	origin_serve(origin);
}

void origin_check(struct http_origin *origin)
{
	struct http_client *client = origin->client;

	if (origin->n_links || !list_empty(&origin->waiting))
		return;
	list_remove(&origin->node);
	arena_finish(&origin->arena);
	mem_free(origin);
	if (client->destroying && list_empty(&client->origins))
		loop_soon(client->loop, &client->ended);
}

void origin_close_idle(struct http_origin *origin)
{
	struct http_link *link;

	while ((link = oldest_idle(origin)))
		link_close(link);
}
