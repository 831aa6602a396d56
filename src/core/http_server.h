/* core/http_server: HTTP/1.1 for a handler that answers once, now or later.
 *
 * One request at a time per connection, in order: the next one is not looked at until the answer
 * has been written to the kernel. Reading goes on meanwhile, into at most 64 KiB, to notice a
 * client that goes (core/http_conn.h says how). A request reaches the handler only when it is
 * complete and sound; anything ambiguous is answered 400 and closed without it
 * (core/http_parser.h lists what). The handler answers with exactly one http_respond(), at once
 * or later from the loop; a request outside the listener's prefix is answered 404 without it.
 *
 * Answers of the server's own have a JSON body, {"error", "description"}; HEAD gets the headers
 * alone. The connection is kept alive unless the client, an error or a drain says otherwise.
 * SIGPIPE must be ignored by the process (core/net.h).
 * Metrics, when given: osbd_http_connections, osbd_http_bad_requests_total; one server may carry
 * them per registry.
 * Source: RFC 9110, RFC 9112. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_SERVER_H
#define OSBD_CORE_HTTP_SERVER_H

#include "core/cidr.h"
#include "core/http.h"
#include "core/loop.h"
#include "core/metric.h"
#include "core/stream.h"

struct http_server;

struct http_server *http_server_create(struct loop *loop, const struct http_limits *limits,
				       const struct log *log, struct metrics *metrics,
				       http_handler handler, void *data);
/* Where requests are taken, and how. */
struct http_listen {
	const char *address, *prefix; /* as below */
	void *data;                   /* struct http_request.listener_data */
	/* What carries the requests, over the connection it gets and owns from then on, for TLS;
	 * peer as in core/net. NULL: the connection itself. */
	struct stream *(*wrap)(void *data, struct stream *under, const char *peer);
	void *wrap_data;
	bool reuse_port; /* as in core/net */
	/* From trusted peers connections begin with a PROXY header, which says who is the peer: one
	 * without is closed. Others do not send one: it would be a bad request. */
	bool proxy_protocol;
	bool forwarded; /* X-Forwarded-For and -Proto of trusted peers count: core/http_forwarded */
	struct cidr_set trusted; /* copied */
};

int http_server_listen_on(struct http_server *server, const struct http_listen *listen, char *bound,
			  size_t bound_size, struct err *err) MUST_CHECK;
/* The same, plain. address: as in core/net; prefix: "/" or "/osb". bound gets
 * the real address ("127.0.0.1:41233"). Errors name the address. A unix socket that nobody
 * listens on any more is replaced. */
int http_server_listen(struct http_server *server, const char *address, const char *prefix,
		       void *listener_data, char *bound, size_t bound_size,
		       struct err *err) MUST_CHECK;
/* Takes who has connected already, stops accepting, closes connections that stay idle for 200 ms,
 * lets requests end (their answers say Connection: close); then drained runs once, from the loop,
 * unless the server is destroyed before. */
void http_server_drain(struct http_server *server, void (*drained)(void *data), void *data);
/* Drops every connection. done runs once, from the loop, when all handles are closed and the
 * server is freed. Requests that a handler still holds count as gone; answering them is still
 * allowed until then, and is what frees them. */
void http_server_destroy(struct http_server *server, void (*done)(void *data), void *data);

#endif
