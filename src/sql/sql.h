/* sql/sql: transactions on a PostgreSQL server, from one thread that never waits.
 *
 *   sql_pool   a few connections to one server, opened when they are needed, opened anew with
 *              back-off (100 ms to 10 s) when they are lost
 *   sql_stmt   a statement, a static constant; prepared once per connection, by itself
 *   sql_tx     one transaction, one call (core/call): statements with their parameters go out
 *              in one write, the results come back into an arena
 *   sql_listener  NOTIFY of one channel, on a connection apart
 *
 * A transaction without `next` is one round trip; many share a connection, each with a sync of
 * its own, so that the failure of one never touches another. With `next` it has a connection to
 * itself, and next decides from the results so far what comes behind them. The isolation is READ
 * COMMITTED. Two transactions have no order unless the second starts when the first is done.
 *
 * The end of a transaction (the call's status)
 *   0             it is committed; or next said SQL_ROLLBACK, then rolled_back is set
 *   ERR_STORE     the server is away or refuses us; ERR_FULL: the waiting queue is full;
 *   ERR_TIMEDOUT  `within` passed, or a statement took longer than statement_ms
 *   ERR_CANCELED  call_cancel() before it was sent, or between two rounds; what was sent with its
 *                 end goes on
 *   ERR_EXISTS    unique violation (SQLSTATE 23505); ERR_CONFLICT: another constraint (class 23)
 *   ERR_BUSY      deadlock or serialization failure, for the third time, or a lock timeout
 *   ERR_ACCESS    permission denied; ERR_NOENT: no such table, column, function …
 *   ERR_INVALID   the data do not fit (class 22); ERR_IO: any other error of the server
 * With each of these nothing has happened, for sure, unless `unknown` is set.
 *
 * unknown: the end was asked for and the reply was lost. It may have happened or not; read it
 * back with another transaction, from this pool. What that finds is final: the pool first makes
 * the server end the session of a lost connection, and starts nothing before that is certain.
 * When `repeat` is set the pool repeats such a transaction by itself.
 *
 * What is known not to have happened (deadlock, connection lost early) is tried anew by the pool,
 * up to three times, while `within` lasts: results are cleared and next begins at round 0.
 *
 * Errors never hold parameters. Source: PostgreSQL's libpq, "Pipeline Mode". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_SQL_H
#define OSBD_SQL_SQL_H

#include "core/arena.h"
#include "core/call.h"
#include "core/dns.h"
#include "core/log.h"
#include "core/timer.h"

/* -- statements and parameters ---------------------------------------------------------- */

/* Text with $1, $2, …; one statement, no BEGIN or COMMIT. Static: the pool remembers its address.
 * Results are asked for in binary, which the sql_get_… below read: text types, bytea, bool, int2,
 * int4, int8 and enums. Cast all else: `sum(n)::int8`, `now()::text`. */
struct sql_stmt {
	const char *name; /* unique among statements, [a-z0-9_]{1,63}; NULL: not prepared by name */
	const char *text;
	int n_params;
};

enum sql_kind {
	SQL_NULL,
	SQL_TEXT,    /* for text, varchar, bytea, json (not jsonb): bytes as they are, no copy */
	SQL_LITERAL, /* for any type, in PostgreSQL's notation: '{1,2}', '2026-01-31', … */
	SQL_INT,     /* int2, int4, int8, numeric */
	SQL_BOOL,
};

struct sql_param {
	enum sql_kind kind;
	struct str text; /* borrowed until done; p NULL: null */
	int64_t number;
};

static inline struct sql_param sql_null(void)
{
	return (struct sql_param){ .kind = SQL_NULL };
}
static inline struct sql_param sql_text(struct str s)
{
	return (struct sql_param){ .kind = SQL_TEXT, .text = s };
}
static inline struct sql_param sql_bytes(const void *p, size_t n)
{
	return (struct sql_param){ .kind = SQL_TEXT, .text = { p, n } };
}
static inline struct sql_param sql_literal(struct str s)
{
	return (struct sql_param){ .kind = SQL_LITERAL, .text = s };
}
static inline struct sql_param sql_int(int64_t n)
{
	return (struct sql_param){ .kind = SQL_INT, .number = n };
}
static inline struct sql_param sql_bool(bool b)
{
	return (struct sql_param){ .kind = SQL_BOOL, .number = b };
}

/* -- results ---------------------------------------------------------------------------- */

struct sql_result {
	const struct sql_stmt *stmt;
	bool ended;        /* its reply has come, and is no error */
	uint64_t n;        /* rows returned, or inserted, updated, deleted */
	size_t rows, cols; /* of cells; rows 0 for a statement that returns none */
	struct str *cells; /* [row * cols + col], in the arena, a NUL behind each; p NULL: null */
};

/* Of a cell that is null: {NULL, 0}, 0, false. A cell that does not exist, or whose type another
 * getter reads, is a defect of the caller: assert. */
struct str sql_get_str(const struct sql_result *result, size_t row, size_t col);
int64_t sql_get_int(const struct sql_result *result, size_t row, size_t col);
bool sql_get_bool(const struct sql_result *result, size_t row, size_t col);
bool sql_is_null(const struct sql_result *result, size_t row, size_t col);

/* -- transactions ----------------------------------------------------------------------- */

enum sql_next {
	SQL_COMMIT,   /* send what was added, then commit */
	SQL_MORE,     /* send what was added, then ask again (a round trip more) */
	SQL_ROLLBACK, /* send nothing; ends with status 0 and rolled_back */
};

struct sql_tx {
	struct call call;
	struct arena *arena; /* for results and copies; the caller's, lives until done */
	/* Optional. Runs when the replies to all statements added so far are there and none is an
	 * error; may sql_add() more. It starts nothing and never frees tx. */
	enum sql_next (*next)(struct sql_tx *tx);
	uint64_t within;       /* ms from sql_start, queue included; 0: the pool's */
	uint64_t statement_ms; /* for each statement; 0: the pool's */
	bool repeat;           /* may run twice: it only reads, or its second run does nothing */
	/* out */
	bool unknown;
	bool rolled_back;
	unsigned round;   /* in next: 0 at its first run, 1 … */
	size_t n_results; /* statements added */
	struct sql_result *results;
	char sqlstate[6]; /* "" unless the server reported an error */
	const char *why;  /* in the arena; NULL while status is 0: "op_begin: deadlock detected" */
	/* private */
	struct sql_pool *pool;
	struct list node;
	struct timer deadline;
	struct sql_sent *sent; /* statements with their parameters */
	size_t n_sent, sent_size;
	size_t n_first;   /* added before the start */
	size_t n_written; /* sent to the server */
	struct pool_conn *conn;
	int failed;   /* ERR_*, once the server has said so */
	bool undo;    /* the server's transaction is still open and must be rolled back */
	bool expired; /* within has passed */
	unsigned tries;
	uint8_t phase;
};

/* Zeroes tx; the caller then sets call.done, and what else it wants. */
void sql_tx_init(struct sql_tx *tx, struct arena *arena);
/* Adds a statement and returns its index in results. Parameters are copied, what they point to
 * is not. results may move in memory. */
size_t sql_add_params(struct sql_tx *tx, const struct sql_stmt *stmt,
		      const struct sql_param *params, size_t n);
#define sql_add(tx, stmt, ...)                                                  \
	sql_add_params((tx), (stmt), (const struct sql_param[]){ __VA_ARGS__ }, \
		       sizeof((const struct sql_param[]){ __VA_ARGS__ }) /      \
			       sizeof(struct sql_param))
static inline size_t sql_add_plain(struct sql_tx *tx, const struct sql_stmt *stmt)
{
	return sql_add_params(tx, stmt, NULL, 0);
}
/* What was added as the i-th, as it goes out: for the pool. */
const struct sql_param *sql_sent_params(const struct sql_tx *tx, size_t i);
/* Starts the call; it cannot fail to start: what is wrong ends the call. */
void sql_start(struct sql_pool *pool, struct sql_tx *tx);

/* -- the pool --------------------------------------------------------------------------- */

enum sql_state {
	SQL_CONNECTING, /* not yet, or no longer, for less than patience_ms: starts wait */
	SQL_UP,
	SQL_AWAY, /* starts end with ERR_STORE at once; the pool keeps trying */
};

/* Zeroes mean the default. Everything is copied but dns. */
struct sql_config {
	const char *url;       /* postgresql://user@host:port/db?sslmode=… or key=value … */
	const char *password;  /* takes the place of the url's */
	const char *verify;    /* the name on certificates, instead of the host; not copied */
	unsigned connections;  /* at most; 8 */
	unsigned depth;        /* transactions in flight on a connection; 16 */
	size_t max_queue;      /* transactions that wait; 10,000 */
	uint64_t connect_ms;   /* 5,000: resolve, connect, TLS, authentication */
	uint64_t statement_ms; /* 5,000: the server's statement_timeout */
	uint64_t within_ms;    /* 10,000: a whole transaction, waiting included */
	uint64_t patience_ms;  /* 1,000: how long starts wait for a lost server */
	struct dns *dns;       /* NULL: the pool makes its own when the url has a host name */
	void (*on_state)(void *data, enum sql_state state); /* from the loop, at each change */
	void *data;
	struct log log;
};

struct sql_facts {
	int version;      /* 150004 */
	bool commit_safe; /* synchronous_commit is not off */
};

/* ERR_UNSUPPORTED: libpq cannot be loaded; ERR_SYNTAX: the url, said without its password. No
 * connection is made yet; the first attempt starts with the loop. A server with fsync=off or
 * one that is read-only (a standby) is refused, synchronous_commit=off is warned of. */
int sql_pool_create(struct loop *loop, const struct sql_config *config, struct sql_pool **out,
		    struct err *err) MUST_CHECK;
/* The errors of sql_pool_create(), and nothing else. */
int sql_check(const struct sql_config *config, struct err *err) MUST_CHECK;
/* Transactions that wait end with ERR_CANCELED, those in flight may end within their deadlines;
 * listeners are dropped. closed runs once, from the loop, when all is closed and freed. */
void sql_pool_close(struct sql_pool *pool, void (*closed)(void *data), void *data);
enum sql_state sql_pool_state(const struct sql_pool *pool);
/* Why there is no connection; NULL while it is up or was never tried. Code ERR_ACCESS: user or
 * password, or not the server that it should be (TLS); ERR_NOENT: no such database; ERR_UNSUPPORTED: fsync is off, standby, …: an operator
 * must see to it. ERR_REFUSED, ERR_TIMEDOUT, ERR_CLOSED, ERR_STORE: it may come back. */
const struct err *sql_pool_trouble(const struct sql_pool *pool);
const struct sql_facts *sql_pool_facts(const struct sql_pool *pool); /* of the latest connection */

/* -- NOTIFY ----------------------------------------------------------------------------- */

/* Zero it, fill it, add it; the caller keeps it until sql_unlisten() or the pool's end. All
 * listeners of a pool share one connection. */
struct sql_listener {
	const char *channel; /* [a-z0-9_]{1,63} */
	/* payload p NULL: listening has begun, or begun anew after a loss: whatever was told in
	 * between was missed, look for yourself. Runs from the loop; may unlisten itself, not others. */
	void (*on_notify)(struct sql_listener *listener, struct str payload);
	void *data;
	/* private */
	struct list node;
	bool asked;
};

void sql_listen(struct sql_pool *pool, struct sql_listener *listener);
void sql_unlisten(struct sql_pool *pool, struct sql_listener *listener);

#endif
