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
#include "core/siphash.h"
#include "store/seal.h"
#include "store/store.h"

#include <sqlite3.h>

#define STORE_ID_SIZE 6

enum table { TABLE_INSTANCE, TABLE_BINDING, TABLE_OP, TABLES };

enum sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,

	SQL_INSTANCE_FIND,
	SQL_INSTANCE_GET,
	SQL_INSTANCE_INSERT,
	SQL_INSTANCE_UPDATE,
	SQL_INSTANCE_COUNTS,
	SQL_BINDING_FIND,
	SQL_BINDING_GET,
	SQL_BINDING_INSERT,
	SQL_BINDING_UPDATE,
	SQL_BINDINGS_LEFT,
	SQL_BINDINGS_GONE,
	SQL_OP_GET,
	SQL_OP_INSERT,
	SQL_OP_UPDATE,
	SQL_OP_OLD,
	SQL_WAITING,
	SQL_WAITING_BEFORE,
	SQL_WAITING_OLDEST,
	SQL_LIST_EXPIRED,
	SQL_NEXT_EXPIRED,
	SQL_LIST_INSTANCE_ORPHANS,
	SQL_LIST_BINDING_ORPHANS,
	SQL_LIST_BINDINGS,
	SQL_SCAN_INSTANCES,
	SQL_SCAN_BINDINGS,
	SQL_SCAN_OPS,
	SQL_PURGE_OPS,
	SQL_PURGE_BINDINGS,
	SQL_PURGE_INSTANCES,
	SQL_DELETE_OP,
	SQL_DELETE_BINDING,
	SQL_DELETE_INSTANCE,
	SQL_RESEAL_INSTANCE,
	SQL_RESEAL_BINDING,
	SQL_RESEAL_OP,
	SQL_COUNT_INSTANCES,
	SQL_COUNT_BINDINGS,
	SQL_PLAN_USE,
	SQL_LAST
};

struct sqlite_counts {
	int64_t next[TABLES];         /* seq of the next row */
	uint64_t ops[STORE_VERBS][4]; /* by store_op_state; ENDED is not counted */
	bool known;                   /* the two below have been counted */
	uint64_t instances, bindings; /* that exist */
	int64_t resealed[TABLES];     /* reseal has looked at the rows up to these */
	uint32_t reseal_failed;
};

struct sqlite_db {
	struct store store; /* first */
	sqlite3 *db;
	sqlite3_stmt *stmt[SQL_LAST];
	struct seal_keys *keys; /* owned */
	/* key of the fingerprints: of ids, and of what makes two requests the same */
	unsigned char print[SIPHASH_SIZE];
	char id[STORE_ID_SIZE + 1]; /* in front of every op's id */
	struct arena arena;         /* of the call that runs */
	struct buf buf;
	struct list turn; /* struct call.soon.node, status set */
	struct loop_hook hook;
	bool in_tx, wrote;
	bool writing;    /* the call that runs has begun to */
	bool lost;       /* the turn's transaction: it will be rolled back */
	bool complained; /* of this turn */
	struct sqlite_counts counts, at_tx;
	struct store_reseal *reseal; /* goes on in reseal_soon */
	struct soon reseal_soon;
	struct { /* rows that could not be opened, by seq: one line a minute for each */
		int64_t seq;
		uint64_t at;
	} complaints[16];
	struct metric commits, commit_failures, commit_seconds;
	void (*finish)(struct sqlite_db *s); /* closing, when set: runs after the last turn */
	void (*closed)(void *data);
	void *closed_data;
};

static inline struct sqlite_db *sqlite_of(struct store *store)
{
	return container_of(store, struct sqlite_db, store);
}

/* Starts a call: it is active, and runs now. 0, or ERR_STORE: end it with db_end(). */
int db_start(struct sqlite_db *s, struct call *call) MUST_CHECK;
/* The same for a call that is active already and goes on in another turn. */
int db_enter(struct sqlite_db *s) MUST_CHECK;
/* Must run before the call's first write; nothing is read after it that decides. */
int db_writing(struct sqlite_db *s) MUST_CHECK;
/* The call has run; it is answered at the end of the turn. */
void db_end(struct sqlite_db *s, struct call *call, int status);
/* The loop's hook. */
void db_end_of_turn(struct loop_hook *hook);
/* Finalizes the statements. */
void db_finish(struct sqlite_db *s);

/* A statement, reset and without values; NULL when it cannot be prepared (logged). */
sqlite3_stmt *db_stmt(struct sqlite_db *s, enum sql sql);
/* 1: a row; 0: no more, and the statement is reset; ERR_STORE (logged, reset). */
int db_row(struct sqlite_db *s, sqlite3_stmt *stmt) MUST_CHECK;
/* Runs a statement that gives no rows. 0 or ERR_STORE. */
int db_run(struct sqlite_db *s, sqlite3_stmt *stmt) MUST_CHECK;

/* The value is borrowed until the statement is reset; an empty one is NULL. */
void db_bind(sqlite3_stmt *stmt, int at, struct str value);
/* A copy in the arena, "" for NULL. */
struct str db_column(sqlite3_stmt *stmt, int at, struct arena *arena);

#endif
