/* store/db: what the transactions (store/tx) see of a database: statements that read and write
 * rows, without waiting.
 *
 * A transaction is a plain function, a body: it reads, decides, and only then writes. On SQLite
 * it runs once, each statement at once. On a server it cannot wait for a reply, so it runs again:
 * a read whose rows are not there yet returns DB_MISS, the body returns that at once, the rows
 * are fetched in one round trip with all others it has asked for, and the body runs anew from its
 * beginning, until nothing is missing; what it has written is sent when it ends well. So a body
 * changes nothing but rows and its call's out-fields, and sets all of these each time it runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_DB_H
#define OSBD_STORE_DB_H

#include "core/siphash.h"
#include "store/seal.h"
#include "store/store.h"

#define STORE_ID_SIZE 6
#define DB_MISS (-1) /* not an ERR_*: never leaves the store */
#define DB_MORE 1    /* of a body: not at its end, run it again in a transaction of its own */

enum table { TABLE_INSTANCE, TABLE_BINDING, TABLE_OP, TABLES };

enum query {
	Q_INSTANCE_FIND,
	Q_INSTANCE_GET,
	Q_INSTANCE_INSERT,
	Q_INSTANCE_UPDATE,
	Q_INSTANCE_COUNTS,
	Q_KEY_ADD,
	Q_KEYS_MOVE,
	Q_KEYS_MOVED,
	Q_BINDING_FIND,
	Q_BINDING_GET,
	Q_BINDING_INSERT,
	Q_BINDING_UPDATE,
	Q_BINDINGS_LEFT,
	Q_BINDINGS_GONE,
	Q_OP_GET,
	Q_OP_INSERT,
	Q_OP_UPDATE,
	Q_OP_OLD,
	Q_WAITING,
	Q_WAITING_BEFORE,
	Q_WAITING_OLDEST,
	Q_LIST_EXPIRED,
	Q_NEXT_EXPIRED,
	Q_LIST_INSTANCE_ORPHANS,
	Q_LIST_BINDING_ORPHANS,
	Q_LIST_BINDINGS,
	Q_LIST_ALL_INSTANCES,
	Q_LIST_ALL_BINDINGS,
	Q_SCAN_INSTANCES,
	Q_SCAN_BINDINGS,
	Q_SCAN_OPS,
	Q_PURGE_OPS,
	Q_PURGE_BINDINGS,
	Q_PURGE_INSTANCES,
	Q_DELETE_OP,
	Q_DELETE_BINDING,
	Q_DELETE_INSTANCE,
	Q_RESEAL_INSTANCE,
	Q_RESEAL_BINDING,
	Q_RESEAL_OP,
	Q_COUNT_INSTANCES,
	Q_COUNT_BINDINGS,
	Q_PLAN_USE,
	Q_NEXT_INSTANCE,
	Q_NEXT_BINDING,
	Q_NEXT_OP,
	Q_COUNT_OPS,
	Q_COUNT_WAITING,
	Q_OBJECT_LOCK,
	Q_LEASE,
	Q_WATCHED,
	Q_UNWATCH,
	Q_UNWATCH_OLD,
	Q_DUMP_INSTANCES,
	Q_DUMP_BINDINGS,
	Q_DUMP_OPS,
	Q_NUMBER_INSTANCE,
	Q_NUMBER_BINDING,
	Q_NUMBER_OP,
	Q_META_SET,
	Q_META_GET,
	Q_META_ADD,
	Q_META_CHANGE,
	Q_LAST
};

/* What the process knows without asking. */
struct db_counts {
	int64_t next[TABLES];         /* SQLite: seq of the next row */
	uint64_t ops[STORE_VERBS][4]; /* by store_op_state; ENDED is not counted */
	bool known;                   /* the two below have been counted */
	uint64_t instances, bindings; /* that exist */
	int64_t resealed[TABLES];     /* reseal has looked at the rows up to these */
	uint32_t reseal_failed;
};

struct db_ops;
struct row_instance;

/* A statement that is being filled in or read. */
struct db_stmt {
	const struct db_ops *ops;
};

struct db {
	struct store store; /* first */
	const struct db_ops *ops;
	struct seal_keys *keys; /* owned */
	/* key of the fingerprints: of ids, and of what makes two requests the same */
	unsigned char print[SIPHASH_SIZE];
	char id[STORE_ID_SIZE + 1]; /* in front of every op's id */
	struct arena arena;         /* of the body that runs */
	struct buf buf;
	struct db_counts counts;
	struct { /* rows that could not be opened, by seq: one line a minute for each */
		int64_t seq;
		uint64_t at;
	} complaints[16];
};

struct db_ops {
	/* A statement without values; NULL when it cannot be prepared (logged). */
	struct db_stmt *(*stmt)(struct db *s, enum query query);
	/* 1: a row; 0: no more, and the statement is reset; ERR_STORE (logged, reset); DB_MISS. */
	int (*row)(struct db *s, struct db_stmt *stmt);
	/* A statement that gives no rows. */
	int (*run)(struct db *s, struct db_stmt *stmt);
	void (*reset)(struct db_stmt *stmt);
	void (*bind_int)(struct db_stmt *stmt, int at, int64_t value); /* at: from 1 */
	void (*bind)(struct db_stmt *stmt, int at, struct str value);
	int64_t (*get_int)(struct db_stmt *stmt, int at); /* at: from 0 */
	struct str (*get)(struct db_stmt *stmt, int at);
	/* Must run before a body's first write; nothing is read after it that decides. */
	int (*writing)(struct db *s);
	/* The number of a new row; 0 or as row. */
	int (*next)(struct db *s, enum table table, int64_t *seq);
	/* New rows have greater numbers than seq from now on. */
	int (*numbered)(struct db *s, enum table table, int64_t seq);
	/* How many ops wait, of all services. */
	int (*waiting)(struct db *s, uint64_t *n);
	int (*stats)(struct db *s, struct store_stats *c);
	/* Has this process the op's lease? 0, ERR_STALE, or as row. NULL: nobody needs one. */
	int (*lease)(struct db *s, struct str owner);
	/* Rows have been purged. NULL: nothing to be done. */
	int (*purged)(struct db *s);
	/* A new instance is to be found by its key. NULL: an index does that. */
	int (*keyed)(struct db *s, const struct row_instance *row);
	/* The op's first answer is due. NULL: nobody wants to know. */
	void (*answered)(struct db *s, int64_t op);
	/* The op was written, as it is now. NULL: nobody wants to know. */
	void (*wrote_op)(struct db *s, const struct store_op *op, bool fresh);
};

static inline struct db *db_of(struct store *store)
{
	return container_of(store, struct db, store);
}

static inline struct db_stmt *db_stmt(struct db *s, enum query query)
{
	return s->ops->stmt(s, query);
}
static inline int db_row(struct db *s, struct db_stmt *stmt)
{
	return s->ops->row(s, stmt);
}
static inline int db_run(struct db *s, struct db_stmt *stmt)
{
	return s->ops->run(s, stmt);
}
static inline int db_writing(struct db *s)
{
	return s->ops->writing(s);
}
static inline void db_reset(struct db_stmt *stmt)
{
	stmt->ops->reset(stmt);
}
static inline void db_bind_int(struct db_stmt *stmt, int at, int64_t value)
{
	stmt->ops->bind_int(stmt, at, value);
}
/* The value is borrowed until the statement is reset; an empty one is NULL. */
static inline void db_bind(struct db_stmt *stmt, int at, struct str value)
{
	stmt->ops->bind(stmt, at, value);
}
static inline int64_t db_int(struct db_stmt *stmt, int at)
{
	return stmt->ops->get_int(stmt, at);
}
/* Borrowed until the next row; empty for NULL. */
static inline struct str db_get(struct db_stmt *stmt, int at)
{
	return stmt->ops->get(stmt, at);
}
/* A copy in the arena, "" for NULL. */
static inline struct str db_column(struct db_stmt *stmt, int at, struct arena *arena)
{
	struct str value = db_get(stmt, at);

	return value.n ? arena_str(arena, value) : STR("");
}

#endif
