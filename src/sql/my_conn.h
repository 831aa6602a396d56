/* sql/my_conn: one connection to a MySQL or MariaDB server, one request at a time.
 *
 *   unused --my_connect_start--> up --my_close_start, or a request that loses it--> unused
 *
 * A request is a call. Between two requests the connection has nothing in the loop: that it is
 * lost is found by the next one.
 *
 *   connect  the name is looked up by core/dns; libmariadb sees addresses only, or with TLS the
 *            socket of a relay, which goes a turn of the loop after the connection. The session has
 *            utf8mb4, no LOCAL INFILE, one statement at a time, and never shows its password in
 *            clear to a server that asks for it so.
 *   query    one statement, its rows in the arena.
 *   close    says goodbye; never fails. my_conn_drop() does not wait for anything.
 *
 * done: 0; ERR_STORE the server says no: code and sqlstate tell which; ERR_ACCESS, ERR_NOENT user
 *       or password, database; ERR_CLOSED, ERR_REFUSED, ERR_TIMEDOUT, ERR_CANCELED: the connection
 *       is gone. A query that ends so may have been carried out or not (unknown); its session has
 *       been ended on the server, by another connection that waited until it was gone, unless
 *       may_run is set, and then err says why. err names `what`, and says what the server says
 *       unless the request is secret, for servers repeat a part of what they were sent.
 * start: ERR_INVALID only: another request runs, or the connection is not in the state for it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_MY_CONN_H
#define OSBD_SQL_MY_CONN_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/call.h"
#include "core/dns.h"
#include "core/timer.h"
#include "sql/my_lib.h"
#include "sql/my_relay.h"

#define MY_NAME_MAX 64 /* characters of a database's, table's or user's name */

/* Where to, and as whom. Borrowed by connections for as long as they are used. */
struct my_server {
	const struct my_lib *lib;
	struct dns *dns;  /* NULL: host is an address or a path */
	const char *host; /* a name, an IP address, or the path of a unix socket */
	uint16_t port;
	const char *user, *password;
	const char *database;        /* NULL: none */
	const struct dial_wrap *tls; /* NULL: plain, which is for unix sockets and loopback */
	const char *tls_host;        /* whom the certificate must be for; NULL: host */
	const char *directory;       /* with tls: 0700, ours, for sockets (sql/my_relay) */
	uint64_t connect_ms;         /* look-up, connection, authentication; 0: 5,000 */
	uint64_t query_ms;           /* for queries that have no limit of their own; 0: 10,000 */
};

struct my_result {
	size_t rows, cols;
	struct str *cells; /* row by row; p NULL: NULL */
	uint64_t affected;
};

struct my_conn;

struct my_request {
	struct call call;
	const char *what;    /* for err: "create database"; borrowed until done */
	struct str text;     /* the statement; borrowed until done */
	struct arena *arena; /* for the result; NULL: rows are dropped */
	uint64_t within;     /* ms, 0: the server's */
	bool secret;         /* text holds what must not be shown */
	/* out */
	struct my_result result;
	struct err err;
	unsigned code;    /* the server's error number; 0: none */
	char sqlstate[6]; /* "" unless the server reported an error */
	bool unknown, may_run;
	/* private */
	struct my_conn *conn;
};

struct my_kill;

struct my_conn {
	struct loop *loop;              /* set by the owner */
	const struct my_server *server; /* set by the owner */
	/* for reading */
	bool up;
	uint64_t id; /* CONNECTION_ID() */
	/* private */
	MYSQL *mysql, *connected;
	struct my_request *request;
	struct my_poll *poll;
	struct my_relay *relay;
	struct timer deadline, pause;
	struct dns_lookup lookup;
	char address[INET6_ADDRSTRLEN]; /* libmariadb borrows it */
	size_t at;
	uint64_t ends;
	int step, rc;
	bool only_once; /* a connection that ends another's session has nobody to end its own */
	MYSQL_RES *rows;
	struct my_kill *kill;
};

int my_connect_start(struct my_conn *conn, struct my_request *request) MUST_CHECK;
int my_query_start(struct my_conn *conn, struct my_request *request) MUST_CHECK;
int my_close_start(struct my_conn *conn, struct my_request *request) MUST_CHECK;
/* No request runs. The socket is closed at once, and what is connected forgotten. */
void my_conn_drop(struct my_conn *conn);
/* Up, and the server has neither ended it nor said anything unasked. */
bool my_conn_alive(const struct my_conn *conn);
/* As if the network had gone: for failpoints. */
void my_conn_cut(struct my_conn *conn);

static inline struct str my_cell(const struct my_result *result, size_t row, size_t col)
{
	return result->cells[row * result->cols + col];
}

/* 'text', escaped by the library for this connection, which is up. */
void my_put_text(const struct my_conn *conn, struct buf *out, struct str text);
/* `name`. ERR_INVALID: empty, too long, not UTF-8, or holds a NUL; then nothing is put. */
int my_put_name(struct buf *out, struct str name) MUST_CHECK;
/* The same where the server takes a pattern, as the database of a GRANT: only that very name. */
int my_put_pattern(struct buf *out, struct str name) MUST_CHECK;

/* Ends a session of this user, or of whoever has a lock, from a connection of its own, and waits until
 * it is gone.
 * done: 0 it is not there any more; else as of my_request, ERR_TIMEDOUT it is still there. */
struct my_kill {
	struct call call;
	struct loop *loop;
	const struct my_server *server;
	uint64_t id;
	const char *lock; /* NULL: only when it is this user's. As for GET_LOCK, needs no quoting */
	uint64_t within;  /* ms, 0: 10,000 */
	struct err err;
	/* private */
	struct my_conn conn;
	struct my_request request;
	struct arena arena;
	struct timer pause;
	uint64_t ends;
	char text[240];
	int step, status;
	bool asked;
};

int my_kill_start(struct my_kill *kill) MUST_CHECK;

#endif
