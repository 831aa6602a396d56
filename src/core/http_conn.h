/* core/http_conn: one connection of a server, from its first byte to its end. Private to
 * core/http_server and its tests.
 *
 *       GREET (a PROXY header is awaited)
 *          |
 *          |  .----------------- answered, kept alive --------------------.
 *          v  v                                                           |
 *        IDLE --bytes--> HEAD --headers--> BODY --whole--> HANDLER --> WRITE
 *          |               |                 |                            |
 *          |               '--- refused or late: the answer is ours ------+
 *          |                                                              v
 *          '-- idle too long, closed by the client --> CLOSED <-- LINGER (last answer given)
 *
 * States are left out when what they wait for is there already: most requests go from IDLE to
 * HANDLER and back within one read. Each state but HANDLER has a deadline; a connection stands in
 * the list of its state, which is in order of deadlines because they all are equally long.
 *
 * Reading goes on while a handler works or an answer waits for the kernel, but nothing is parsed:
 * the bytes of later requests are kept, at most HTTP_PIPELINE_MAX of them, then reading stops. So
 * a client that goes is noticed while its answer is pending, unless it has sent that much ahead.
 * A client that closes its sending side counts as gone, and still gets its answers, those of
 * requests that it sent before included.
 *
 * LINGER: what closes after an answer first shuts its sending side down and drops what comes, at
 * most HTTP_LINGER_BYTES and HTTP_LINGER_MS; closing with unread bytes would make the kernel send
 * a reset, which may overtake the answer (RFC 9112 section 9.6). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_CONN_H
#define OSBD_CORE_HTTP_CONN_H

#include "core/buf.h"
#include "core/cidr.h"
#include "core/http_parser.h"
#include "core/metric.h"
#include "core/net.h"

#define HTTP_PIPELINE_MAX (64 << 10)
#define HTTP_LINGER_BYTES (32 << 20)
#define HTTP_LINGER_MS 2000
#define HTTP_READ_BUFFER (64 << 10)
#define HTTP_SPARE_MAX 64
#define HTTP_PEER_MAX 46

enum conn_state {
	CONN_GREET,
	CONN_IDLE,
	CONN_HEAD,
	CONN_BODY,
	CONN_HANDLER,
	CONN_WRITE,
	CONN_LINGER,
	CONN_CLOSED,
	CONN_STATES,
};

struct http_server {
	struct loop *loop;
	const struct log *log;
	http_handler handler;
	void *data;
	struct http_limits limits;
	struct net_buffer buffer;
	struct list conns[CONN_STATES]; /* struct http_conn.node, by deadline */
	uint64_t within[CONN_STATES];   /* ms, 0: no deadline */
	struct timer sweep;             /* for the earliest deadline, or earlier */
	struct list listeners;          /* struct http_listener.node */
	struct list spare;              /* struct http_exchange.node, for the next requests */
	size_t n_spare, n_conns, n_listeners;
	size_t n_held; /* requests whose connection is gone and whose handler works on */
	uint64_t n_requests;
	uint64_t date_at; /* s since 1970 */
	char date[40];    /* "Date: …\r\n" */
	struct metric connections, bad_requests;
	bool draining, destroying;
	struct timer grace; /* of idle connections in a drain */
	struct soon ended;
	void (*on_drained)(void *data);
	void *drained_data;
	void (*on_destroyed)(void *data);
	void *destroyed_data;
};

struct http_listener {
	struct list node;
	struct net_listener net;
	struct http_server *server;
	struct str prefix; /* owned */
	void *data;
	struct stream *(*wrap)(void *data, struct stream *under, const char *peer); /* or NULL */
	void *wrap_data;
	bool proxy_protocol;     /* trusted peers say first on behalf of whom they connect */
	bool forwarded;          /* X-Forwarded-For and -Proto of trusted peers count */
	struct cidr_set trusted; /* owned */
	size_t n_conns;
};

/* A request and its answer. Taken at the first byte, given back when the answer is written. */
struct http_exchange {
	struct http_request req;
	struct http_parser parser;
	struct http_server *server;
	struct http_conn *conn; /* NULL when it is gone */
	struct list node;       /* while spare */
	char *fields;           /* headers of the answer, each with CR and LF; in the arena */
	size_t n_fields, fields_size;
	bool typed;  /* Content-Type is among them */
	bool closes; /* the handler wants the connection closed */
	bool continued;
	char id[17];
};

struct http_conn {
	struct list node;
	struct http_server *server;
	struct http_listener *listener;
	struct stream *stream;
	struct http_exchange *exchange; /* NULL while idle */
	uint64_t deadline;              /* loop_now() */
	struct buf rest;                /* bytes of later requests */
	size_t rest_at;                 /* where they begin */
	size_t drained;                 /* bytes dropped in LINGER */
	enum conn_state state;
	bool running; /* somebody above on the stack goes on with the bytes */
	bool more;    /* bytes behind the current request are there */
	bool eof;
	bool stopped;             /* reading is */
	bool last;                /* after this answer the connection ends */
	char peer[HTTP_PEER_MAX]; /* by the PROXY header, if there is one */
	char via[HTTP_PEER_MAX];  /* who has the connection when peer is somebody else, else "" */
};

/* Takes a stream over: it belongs to the connection from here on. */
void http_conn_start(struct http_listener *listener, struct stream *stream, const char *peer);
/* Ends a connection at once; a handler that has its request is told. */
void http_conn_close(struct http_conn *conn);
/* The deadline has passed. */
void http_conn_expire(struct http_conn *conn);

/* The other side of the coin, in core/http_server: a connection or a held request has ended. */
void http_server_check(struct http_server *server);
/* Sees to it that the sweep comes no later than deadline. */
void http_server_sweep_by(struct http_server *server, uint64_t deadline);

#endif
