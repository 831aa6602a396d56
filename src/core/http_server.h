/* core/http_server: HTTP/1.1 for a handler that answers once, now or later.
 *
 * One request at a time per connection: the parser pauses at the end of a message and reading
 * stops until the answer has been written to the kernel. A request reaches the handler only
 * when it is complete and sound; anything ambiguous is answered 400 and closed without it.
 * The handler answers with exactly one http_respond(), at once or later from the loop.
 *
 * Answers have a JSON body for every status; HEAD gets the headers alone. The connection is
 * kept alive unless the client, an error or a drain says otherwise.
 * Source: RFC 9110, RFC 9112. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_SERVER_H
#define OSBD_CORE_HTTP_SERVER_H

#include "core/http.h"
#include "core/loop.h"
#include "core/metric.h"

struct http_server;

struct http_server *http_server_create(struct loop *loop, const struct http_limits *limits,
				       const struct log *log, struct metrics *metrics,
				       http_handler handler, void *data);
/* address: "127.0.0.1:8080", "[::1]:0", "unix:/run/osbd.sock"; prefix: "/" or "/osb". bound gets
 * the real address ("127.0.0.1:41233"). Errors name the address. A unix socket that nobody
 * listens on any more is replaced. */
int http_server_listen(struct http_server *server, const char *address, const char *prefix,
		       void *listener_data, char *bound, size_t bound_size,
		       struct err *err) MUST_CHECK;
/* Stops accepting, closes idle connections, lets requests end (their answers say
 * Connection: close); then drained runs once, from the loop. */
void http_server_drain(struct http_server *server, void (*drained)(void *data), void *data);
/* Drops every connection. done runs once, from the loop, when all handles are closed and the
 * server is freed. Requests that a handler still holds count as gone; answering them is still
 * allowed until then, and is what frees them. */
void http_server_destroy(struct http_server *server, void (*done)(void *data), void *data);

#endif
