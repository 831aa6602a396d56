/* core/http_answer: bytes in, the answer to one request out.
 *
 * llhttp does the grammar, strictly; what it leaves open is decided here. Refused are: a version
 * other than HTTP/1.0 and 1.1, another protocol, a status outside 100 to 599, 101 (nothing was
 * asked to be upgraded), more than HTTP_INTERIM_MAX answers of 1xx, Content-Length that is not one
 * run of digits, twice, or together with Transfer-Encoding; Transfer-Encoding other than one
 * `chunked`, or in HTTP/1.0; lines that do not end in CRLF, folded headers, control characters;
 * headers past the limits, and framing far out of proportion to the body.
 *
 * Without a length the body lasts until the connection ends. HEAD, 204 and 304 have none. Trailers
 * are read and dropped. 1xx are skipped.
 * errors: ERR_SYNTAX, ERR_TOOBIG; ERR_CLOSED from http_answer_end().
 * Source: RFC 9112 sections 4 and 6.3. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_ANSWER_H
#define OSBD_CORE_HTTP_ANSWER_H

#include "core/buf.h"
#include "core/http_parser.h"

#define HTTP_INTERIM_MAX 16

enum http_asked {
	HTTP_ASKED_BODY,    /* a method whose answer may have one */
	HTTP_ASKED_HEAD,    /* HEAD */
	HTTP_ASKED_CONNECT, /* the connection is no longer HTTP when the status is 2xx */
};

struct http_answer {
	int status;
	struct http_header *headers; /* in the arena */
	size_t n_headers;
	bool keep_alive; /* true: the connection is fit for another request */
	bool has_length;
	uint64_t length; /* of the body, when it is announced */
};

struct http_answer_parser {
	llhttp_t llhttp;
	struct http_answer *answer;
	struct arena *arena;
	size_t max_headers, max_bytes; /* limits; http_answer_init() sets defaults */
	/* Both run inside feed or end. on_head: the final head is complete. on_body: bytes of the
	 * body, borrowed for the call. A value other than 0 ends with HTTP_BAD and that code. */
	int (*on_head)(struct http_answer_parser *parser);
	int (*on_body)(struct http_answer_parser *parser, const char *p, size_t n);
	void *data;
	struct err err; /* of HTTP_BAD */
	bool begun;     /* a byte has come */
	bool has_head;
	/* private */
	enum http_asked asked;
	bool complete, interim, in_value;
	size_t matched, n_interim, n_trailers, n_bytes;
	uint64_t raw, body;
	struct buf text;  /* names and values of the head, one behind the other */
	struct buf spans; /* struct span, one per header */
};

/* answer must be zeroed. on_head, on_body and data are set after it. */
void http_answer_init(struct http_answer_parser *parser, struct http_answer *answer,
		      struct arena *arena, enum http_asked asked);
void http_answer_finish(struct http_answer_parser *parser); /* zeroes are fine */
/* *used: bytes taken off the front. After COMPLETE or BAD it must not be fed again. */
enum http_progress http_answer_feed(struct http_answer_parser *parser, const char *p, size_t n,
				    size_t *used);
/* The connection has ended: 0 when that completes the answer. */
int http_answer_end(struct http_answer_parser *parser);

/* The value of the first such header; {NULL, 0} without one. name in lower case. */
struct str http_answer_header(const struct http_answer *answer, const char *name);
/* Retry-After in ms, from whole seconds or a date (RFC 9110 section 10.2.3): false when there is
 * none, or none that is sound. now: ms since 1970. */
bool http_answer_retry_after(const struct http_answer *answer, uint64_t now, uint64_t *ms);

#endif
