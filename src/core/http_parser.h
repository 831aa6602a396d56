/* core/http_parser: bytes in, one sound request out, or the status that refuses it.
 *
 * llhttp does the grammar, strictly; what it leaves open is decided here:
 *   505  a version other than HTTP/1.0 and HTTP/1.1, or another protocol (RTSP)
 *   501  a method that llhttp does not know; CONNECT
 *   414, 431, 413  limits, as early as they are known; a Content-Length above the limit before
 *        any body byte, and chunk framing or trailers out of proportion to the body
 *   417  an Expect other than 100-continue
 *   404  a target outside the prefix (then `outside` is set: not a bad request)
 *   400  everything ambiguous: no Host (1.1), two Hosts, an invalid Host, invalid characters in
 *        the target, Content-Length that is not one run of digits, together with
 *        Transfer-Encoding, or twice; Transfer-Encoding other than one `chunked`, or in HTTP/1.0;
 *        a line that does not end in CRLF, folded headers, space before a colon, control
 *        characters.
 * Upgrade is ignored: the request is answered as plain HTTP/1.1. Trailers are read and dropped.
 *
 * Text of the head and the body are copied into req->arena, so the bytes fed may go at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_PARSER_H
#define OSBD_CORE_HTTP_PARSER_H

#include "core/http.h"

#include <llhttp.h>

enum http_progress {
	HTTP_MORE,     /* all bytes are used, more are needed */
	HTTP_COMPLETE, /* the request is whole; the bytes behind it are not used */
	HTTP_BAD,      /* status and why say what is wrong; the connection cannot go on */
};

struct http_parser {
	llhttp_t llhttp;
	struct http_request *req;
	const struct http_limits *limits; /* without zeroes: http_limits_fill() */
	struct str prefix;
	int status;      /* HTTP_BAD: the answer's */
	const char *why; /* HTTP_BAD: its description, in the arena or static */
	bool begun;      /* a byte of the request line has come */
	bool has_head;   /* the headers are complete */
	bool has_body;   /* one is announced, of length 0 perhaps */
	bool expects;    /* wants 100 Continue before it sends the body */
	bool keep_alive;
	bool http10;
	bool outside; /* not below the prefix */
	/* private */
	bool complete, cr, options, versioned;
	char *text; /* target, names and values, in the arena */
	size_t text_n, text_size;
	size_t headers_size; /* room in req->headers */
	size_t n_bytes;      /* of names, values and their punctuation */
	size_t n_trailers;
	size_t raw; /* bytes of the head, then of the framed body */
	char *body;
	size_t body_size;
	char tail[4];     /* the last bytes of the feed before */
	const char *feed; /* the bytes that are being fed */
};

void http_limits_fill(struct http_limits *limits);
/* req must be zeroed but for its arena. limits and prefix are borrowed. */
void http_parser_init(struct http_parser *parser, struct http_request *req,
		      const struct http_limits *limits, struct str prefix);
/* *used: bytes taken off the front. After COMPLETE or BAD it must not be fed again. */
enum http_progress http_parser_feed(struct http_parser *parser, const char *p, size_t n,
				    size_t *used);

#endif
