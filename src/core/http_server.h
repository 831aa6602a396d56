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

#include "core/arena.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/metric.h"

struct http_limits {
	size_t target;      /* bytes of the request line's target: 414; 0: 8 KiB */
	size_t headers;     /* bytes of all headers: 431; 0: 32 KiB */
	size_t n_headers;   /* 431; 0: 100 */
	size_t body;        /* bytes: 413; 0: 1 MiB */
	size_t connections; /* per listener; more wait in the kernel; 0: 10,000 */
	uint64_t header_ms; /* first byte to end of headers: 408; 0: 10 s */
	uint64_t body_ms;   /* end of headers to end of body: 408; 0: 60 s */
	uint64_t idle_ms;   /* between requests; 0: 75 s */
	uint64_t write_ms;  /* an answer that is not read; 0: 30 s */
};

struct http_header {
	struct str name; /* lower case */
	struct str value;
};

struct http_request {
	struct arena arena; /* goes when the answer has been written */
	struct str method;  /* "GET" */
	struct str target;  /* as sent */
	struct str path;    /* raw, percent-encoded; behind the listener's prefix, repeated slashes
			     * collapsed, always with a leading slash */
	struct str query;   /* raw, behind '?'; {NULL, 0} without one */
	struct http_header *headers;
	size_t n_headers;
	struct str body;
	struct str peer; /* "127.0.0.1" or "unix" */
	void *listener_data;
	struct log log; /* a child of the server's, with req= */
	bool gone;      /* the client is: the answer will not be read */
	/* Runs once when the client goes while the answer is awaited. May be set by the handler. */
	void (*on_gone)(struct http_request *req);
	void *data; /* the handler's */
};

/* The value of the first such header; {NULL, 0} without one. name in lower case. */
struct str http_request_header(const struct http_request *req, const char *name);
/* True when the header occurs more than once. */
bool http_request_header_twice(const struct http_request *req, const char *name);

typedef void (*http_handler)(struct http_request *req, void *data);

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

/* A header of the answer; name and value are copied; a value with control characters is
 * refused by abort in test builds and left out otherwise. */
void http_set_header(struct http_request *req, const char *name, struct str value);
/* The answer. body is borrowed until the request ends: from req->arena, or static, or kept alive
 * by arena_defer. Content-Type is application/json unless set. req is invalid after this. */
void http_respond(struct http_request *req, int status, struct str body);

const char *http_reason(int status); /* "Not Found" */

#endif
