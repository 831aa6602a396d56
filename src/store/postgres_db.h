/* store/postgres_db: runs bodies (store/db) as transactions on a server.
 *
 * A body runs until none of the rows that it asks for is missing: each time the missing ones are
 * fetched, all in one round trip, and locked when the transaction writes. What it writes goes out
 * with the commit. So most transactions are two round trips, and a poll is one.
 *
 * Two processes that make the same object at the same instant meet in a unique index; the one that
 * comes second runs anew and finds the other's row.
 *
 * A commit whose reply is lost: the op that the transaction wrote last says whether it happened
 * (its fence, owner and state; a new op by being there). It is read back until the server is
 * there to tell; a transaction that wrote no op does no harm when it runs again. A begin does not
 * wait longer than PG_DOUBT_MAX once this process has no lease that its op could run under: then
 * the op, if there is one, is for others to claim, and whoever asked may ask again.
 *
 * Errors: a server that is away ends calls with ERR_STORE within seconds. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_POSTGRES_DB_H
#define OSBD_STORE_POSTGRES_DB_H

#include "core/metric.h"
#include "store/postgres_sql.h"
#include "store/tx.h"

#define PG_OWNER_MAX 40
#define PG_DOUBT_MAX SEC(3)

struct pg_tx;

/* A statement that a body fills in, then a cursor over its rows. */
struct pg_cursor {
	struct db_stmt stmt; /* first */
	enum query query;
	struct sql_param params[PG_PARAMS_MAX];
	const struct sql_result *result; /* NULL: not run yet */
	size_t row;                      /* behind the one that is read */
	size_t only;                     /* 1: that one row is all there is */
	size_t first_column;
};

struct pg {
	struct db db; /* first */
	struct sql_pool *pool;
	struct pg_cursor *cursors[Q_LAST]; /* made when first used */
	struct pg_tx *current;             /* whose body runs */
	struct list running;               /* struct pg_tx.node */
	char owner[PG_OWNER_MAX + 1];      /* of this process, since its latest renewal */
	size_t key;                        /* index of the key that seals */
	uint32_t n_node_calls;             /* under way */
	bool complained;                   /* since the server was last there */
	bool resealing;
	bool hurried; /* the process ends: no outcome is waited for */
	struct metric commits, commit_failures, commit_seconds, doubts, statements;
	/* nodes: watched ops, and what is to be told to others */
	struct {
		struct sql_listener listener;
		int64_t *ops; /* watched here, ended by nobody yet; owned */
		size_t n_ops, size;
		struct timer poll;
		struct sql_tx tx;
		struct arena arena;
		bool polling, again;
		struct buf told, sent; /* "e12 h13 ": not sent yet, under way */
		struct sql_tx tell;
		struct arena tell_arena;
		bool telling;
	} watch;
	bool closing;
	void (*closed)(void *data);
	void *closed_data;
};

static inline struct pg *pg_of(struct store *store)
{
	return container_of(db_of(store), struct pg, db);
}

extern const struct db_ops postgres_ops;

/* Rows that a body will ask for, said beforehand so that they come with the first round trip. */
struct pg_want {
	enum query query;
	struct sql_param param; /* kind SQL_NULL: the statement has none */
};

#define PG_WANTS_MAX 4

struct pg_options {
	bool locks;   /* what it reads is locked */
	bool repeats; /* a second run of what has been committed already does no harm */
	bool counts;  /* it keeps db.counts */
	struct pg_want wants[PG_WANTS_MAX];
	size_t n_wants;
	/* The transaction is durable, just before the call ends. May be NULL. */
	void (*committed)(struct pg *pg, struct call *call);
};

/* Starts the call. */
void pg_run(struct pg *pg, struct call *call, tx_body body, const struct pg_options *options);
/* Outcomes that are in doubt are not waited for any longer. */
void pg_hurry(struct store *store);

/* postgres_watch: somebody here waits for these ops, or others must hear of them. */
void pg_watch_start(struct pg *pg);
void pg_watch_stop(struct pg *pg);
void pg_tell(struct pg *pg, char event, int64_t op); /* 'a' answered, 'e' ended, 'h' halted */
void pg_watch(struct store *store, int64_t op);
void pg_unwatch(struct store *store, int64_t op);

/* A call has ended while the store closes: goes on with that when none is left (postgres.c). */
void pg_finish(struct pg *pg);

#endif
