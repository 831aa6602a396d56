/* store/sqlite_db: the connection, its statements, and the turn.
 *
 * The turn: the first call of a loop turn opens a transaction, all calls of the turn run in it at
 * once, and none is answered. At the end of the turn the transaction is committed, and then all
 * are answered, reads too. A call reads, decides, and only then writes, so one that is refused
 * has written nothing and needs no savepoint (which would cost a copy of every page touched).
 * What can still fail is the store itself: a write or the commit, when the disk is full. Then
 * every call of the turn ends with ERR_STORE, nothing of it has happened, and the next turn
 * starts afresh.
 *
 * What the process knows without asking (the next row numbers, how many ops wait) is in `counts`,
 * which is rolled back with the rows. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_DB_H
#define OSBD_STORE_SQLITE_DB_H

#include "core/metric.h"
#include "store/db.h"

#include <sqlite3.h>

struct sqlite_stmt {
	struct db_stmt stmt; /* first */
	sqlite3_stmt *p;
};

struct sqlite_db {
	struct db db; /* first */
	sqlite3 *sqlite;
	struct sqlite_stmt stmts[Q_LAST];
	sqlite3_stmt *begin, *commit;
	struct list turn; /* struct call.soon.node, status set */
	struct loop_hook hook;
	bool in_tx, wrote;
	bool writing;                      /* the call that runs has begun to */
	bool lost;                         /* the turn's transaction: it will be rolled back */
	bool complained;                   /* of this turn */
	uint32_t n_calls, n_seen, n_looks; /* of this turn; at the latest look for more; looks */
	struct db_counts at_tx;
	uint32_t n_new, slice; /* keys since a slice of the new ones was moved; the next to move */
	struct store_reseal *reseal; /* goes on in reseal_soon */
	struct soon reseal_soon;
	struct metric commits, commit_failures, commit_seconds;
	void (*finish)(struct sqlite_db *s); /* closing, when set: runs after the last turn */
	void (*closed)(void *data);
	void *closed_data;
};

static inline struct sqlite_db *sqlite_of(struct store *store)
{
	return container_of(db_of(store), struct sqlite_db, db);
}

/* Starts a call: it is active, and runs now. 0, or ERR_STORE: end it with db_end(). */
int db_start(struct sqlite_db *s, struct call *call) MUST_CHECK;
/* The same for a call that is active already and goes on in another turn. */
int db_enter(struct sqlite_db *s) MUST_CHECK;
/* The call has run; it is answered at the end of the turn. */
void db_end(struct sqlite_db *s, struct call *call, int status);
/* The loop's hook. */
void db_end_of_turn(struct loop_hook *hook);
/* Finalizes the statements. */
void db_finish(struct sqlite_db *s);

extern const struct db_ops sqlite_ops;

#endif
