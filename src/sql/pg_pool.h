/* sql/pg_pool: the inside of struct sql_pool, shared by the files that make it up.
 *
 *   pg_pool.c   life: connections come and go, the queue, deadlines, graves
 *   pg_send.c   a transaction on a connection: what is sent, what the replies mean
 *
 * A grave is a session of the server whose connection broke while transactions were on it. It
 * may still be at work, so nothing new starts before a look into pg_stat_activity has shown that
 * it is gone; until then it is told to end again and again. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_PG_POOL_H
#define OSBD_SQL_PG_POOL_H

#include "sql/pg_conn.h"
#include "sql/pg_listen.h"
#include "sql/pg_target.h"

#define SQL_TRIES 3

enum sql_phase {
	TX_QUEUED,
	TX_ROUND,  /* statements are with the server */
	TX_COMMIT, /* and so is the commit, or the sync that stands for it */
	TX_UNDO,   /* ROLLBACK is with the server */
	TX_ENDED,
};

/* index of a PG_OWN note */
enum pg_own { OWN_BEGIN, OWN_TIMEOUT, OWN_ROLLBACK, OWN_DIG };

struct pg_grave {
	struct list node;
	struct pg_session session;
};

struct pool_conn {
	struct pg_conn pg;
	struct sql_pool *pool;
	struct list node;
	struct list flight; /* struct sql_tx.node, in the order they were sent */
	unsigned n_flight;
	struct sql_tx *alone;     /* it has next: nobody else may send */
	struct pg_grave *digging; /* asks after this one */
	struct timer dig_deadline;
	bool retire;          /* closes when quiet */
	bool fatal;           /* the server has ended the session, and said so */
	struct sql_tx *doubt; /* by then it had all of this one but the end */
	/* the latest statement that could not be prepared, and why */
	const struct sql_stmt *refused;
	char refused_state[6];
	char refused_why[256];
};

struct sql_pool {
	struct loop *loop;
	struct pg_lib lib;
	struct sql_config config;
	struct pg_target target;
	struct dns *own_dns; /* NULL when the caller has given one, or none is needed */
	struct list conns;   /* struct pool_conn.node */
	unsigned n_conns, n_up, failures;
	bool dialing;   /* resolving or connecting */
	bool resolving; /* the target is in use */
	bool complained;
	struct timer retry;
	struct list queue; /* struct sql_tx.node */
	size_t n_queue;
	struct list graves;
	struct timer grave_timer, patience;
	struct soon work;
	enum sql_state state;
	struct err trouble; /* code 0: none */
	struct sql_facts facts;
	struct pg_listen *listen; /* made when first asked for */
	bool closing, listen_closed;
	void (*closed)(void *data);
	void *data;
};

void pool_wake(struct sql_pool *pool); /* there is something to do, soon */
/* Takes it out of where it is and ends its call. status 0 leaves why NULL. */
void pool_end_tx(struct sql_tx *tx, int status);
/* Nothing of tx has happened: queues it anew, before the others, if it may try again. */
bool pool_try_again(struct sql_tx *tx);

/* Sends tx, from the queue, on a connection that has room. */
void pool_send(struct pool_conn *pc, struct sql_tx *tx);
void pool_reply(struct pg_conn *conn, const struct pg_note *note, PGresult *result);
/* What a loss means to a transaction in flight: ends it, or queues it anew. */
void pool_lost_tx(struct pool_conn *pc, struct sql_tx *tx, const struct err *why);
void pool_dug(struct pool_conn *pc, PGresult *result);
/* Writes code, sqlstate and "statement: text" into tx, unless it failed before. */
void pool_fail_tx(struct sql_tx *tx, int code, const char *sqlstate, const char *where,
		  const char *text);

#endif
