/* core/http: the words of HTTP: a request, its limits, its answer.
 *
 * A handler gets a struct http_request that is complete and sound, and answers it with exactly
 * one http_respond(), at once or later from the loop (core/http_conn does both).
 * Source: RFC 9110, RFC 9112. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_H
#define OSBD_CORE_HTTP_H

#include "core/arena.h"
#include "core/err.h"
#include "core/log.h"
#include "core/str.h"

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
	struct str peer; /* who asks: "127.0.0.1", "::1" or "unix"; as trusted proxies say it */
	/* "https" or "http": what a trusted proxy was asked by; {NULL, 0} when none says so */
	struct str forwarded_proto;
	/* The names of the certificate that the client has proved to be its own; none without. */
	const struct str *peer_names;
	size_t n_peer_names;
	void *listener_data;
	struct log log; /* a child of the server's, with peer= and req= */
	bool gone;      /* the client has closed its side, or the connection is lost */
	/* Runs once when the client goes while the answer is awaited. May be set by the handler. */
	void (*on_gone)(struct http_request *req);
	void *data; /* the handler's */
};

typedef void (*http_handler)(struct http_request *req, void *data);

/* The value of the first such header; {NULL, 0} without one. name in lower case. */
struct str http_request_header(const struct http_request *req, const char *name);
/* True when the header occurs more than once. */
bool http_request_header_twice(const struct http_request *req, const char *name);

/* A header of the answer; name and value are copied; a value with control characters is
 * refused by abort in test builds and left out otherwise. So are Content-Length, Date and
 * Transfer-Encoding, which are the server's. `Connection: close` closes. */
void http_set_header(struct http_request *req, const char *name, struct str value);
/* The answer. body is borrowed until the request ends: from req->arena, or static, or kept alive
 * by arena_defer. Content-Type is application/json unless set. req is invalid after this. */
void http_respond(struct http_request *req, int status, struct str body);

const char *http_reason(int status); /* "Not Found"; "Unknown" for a status of nobody */
/* {"error":"NotFound","description":"…"}; the description's quotes and control characters are
 * escaped. For the answers that the server gives by itself. */
struct str http_error_body(struct arena *arena, int status, const char *description);

/* What a target may be and what it names. origin-form, absolute-form (whose host is ignored) and
 * `*` for OPTIONS. path is collapsed, not yet behind a prefix; query as in struct http_request.
 * ERR_SYNTAX and *why, a static text. */
int http_target_parse(struct arena *arena, struct str target, bool options, struct str *path,
		      struct str *query, const char **why) MUST_CHECK;
/* Takes prefix ("/" or "/osb") off path; false when path is not below it. */
bool http_prefix_strip(struct str prefix, struct str *path);
/* uri-host [ ":" port ]; empty is fine (RFC 9112 section 3.2). */
bool http_host_ok(struct str host);

#endif
