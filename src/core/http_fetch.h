/* core/http_fetch: one request of an HTTP client and its answer, as a call.
 *
 * A fetch is zeroed, filled and started with http_fetch_start() (core/http_client). Whatever the
 * status is, an answer that came whole is 0: who asks looks at status.
 *
 *   GET http://db.example.com/v1/x: connect: connection refused
 *
 * is what err says: method, URL without query, where it went wrong, why. Never a secret.
 * done: 0; ERR_NOENT, ERR_REFUSED, ERR_IO, ERR_CLOSED the peer was not reached or went;
 *       ERR_TIMEDOUT one of the deadlines; ERR_SYNTAX what it sends is not HTTP; ERR_TOOBIG head or
 *       body are larger than allowed; ERR_ACCESS TLS says it is somebody else; ERR_UNSUPPORTED a
 *       redirect that must not be followed; ERR_CANCELED; what on_body or produce have returned.
 * start: ERR_INVALID, err says what is wrong with the request.
 *
 * Repeating: when a connection that had served before ends before the first byte of an answer, the
 * request is sent once more over a new one, if its method is idempotent and its body is not
 * produced. All others never use a connection that has served before.
 *
 * Redirects are followed only as often as .redirects says. To another scheme, host or port go no
 * credentials, no Cookie, and nothing if .wrap presents a certificate or .unix_socket is set;
 * never from https to http. 303, and 301 and 302 after POST, become GET. A produced body cannot be
 * sent again: its redirects are answers.
 *
 * Back-pressure: after http_fetch_pause() nothing more is read from the connection; what was read
 * already, at most HTTP_FETCH_READ bytes, still comes. Deadlines but whole_ms rest meanwhile. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_FETCH_H
#define OSBD_CORE_HTTP_FETCH_H

#include "core/call.h"
#include "core/dial.h"
#include "core/http.h"

#define HTTP_NEVER UINT64_MAX   /* ms: no deadline */
#define HTTP_CHUNKED UINT64_MAX /* a length that is not known */
#define HTTP_LATER 1
#define HTTP_END 2
#define HTTP_FETCH_READ (64 << 10)

struct http_fetch {
	struct call call;
	/* The request; all of it borrowed until done. */
	const char *method;
	struct str url;
	/* Not Host, Connection, Content-Length, Transfer-Encoding, TE, Trailer, Upgrade, Expect,
	 * Authorization, Proxy-Authorization. Accept and User-Agent have defaults. */
	const struct http_header *headers;
	size_t n_headers;
	struct str body; /* {NULL, 0}: none */
	/* A body that is made while it is sent, instead of body. 0: *chunk, not empty, borrowed until
	 * the next call; HTTP_LATER: call http_fetch_more() when there is something; HTTP_END;
	 * ERR_*: the fetch ends with it. Runs from the loop, not after done. */
	int (*produce)(struct http_fetch *fetch, struct str *chunk);
	uint64_t length; /* bytes that produce gives in all; HTTP_CHUNKED */
	/* Credentials: user and password, or a bearer token, or neither. */
	struct str user;
	const struct secret *password, *bearer;
	const struct dial_wrap *wrap; /* for https, which is refused without; outlives done */
	const char *unix_socket;      /* an absolute path to connect to, whatever the URL's host */
	unsigned redirects;           /* how many are followed; 0: each is an answer */
	/* Deadlines in ms; 0: the default; HTTP_NEVER. */
	uint64_t resolve_ms; /* 10 s */
	uint64_t connect_ms; /* 10 s; for a free connection; then for TCP, proxy and TLS */
	uint64_t headers_ms; /* 60 s; from the sent request to the end of the answer's head */
	uint64_t silence_ms; /* 60 s; without a byte that is sent, or received of the body */
	uint64_t whole_ms;   /* 5 min; from start to done, redirects included */
	size_t body_max;     /* bytes kept in body; 0: 1 MiB */
	/* The answer comes: status and headers are there. May be NULL. */
	void (*on_head)(struct http_fetch *fetch);
	/* Takes the body as it comes, instead of body; no limit then. ERR_*: ends with it. */
	int (*on_body)(struct http_fetch *fetch, struct str bytes);
	void *data;          /* the owner's */
	struct arena *arena; /* the owner's; what comes back is in it */

	/* The answer. */
	int status; /* 0 while there is none; also set when the body went wrong */
	struct http_header *headers_in;
	size_t n_headers_in;
	struct str body_in;   /* present when the answer is whole and on_body is NULL */
	bool has_retry_after; /* the answer says when to come again: */
	uint64_t retry_after; /* ms from now */
	const char *url_in;   /* what was asked last, without query; after redirects another */
	unsigned n_redirects; /* that were followed */
	bool repeated;        /* sent a second time, as said above */
	struct err err;
	struct http_task *task; /* private */
};

/* The value of the first such header of the answer; {NULL, 0} without one. name in lower case. */
struct str http_fetch_header(const struct http_fetch *fetch, const char *name);
/* From on_head to done; twice is fine. */
void http_fetch_pause(struct http_fetch *fetch);
void http_fetch_resume(struct http_fetch *fetch);
/* produce has said HTTP_LATER and now has something, or its end. From the loop: produce does not
 * run before this has returned. */
void http_fetch_more(struct http_fetch *fetch);

#endif
