/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_db.h"

#include "core/failpoint.h"
#include "store/row.h"
#include "store/sqlite_schema.h"

#define LOOKS_MAX 8     /* for more calls, before a commit */
#define SLICE_BITS 4    /* the keys of new instances are moved by these slices, */
#define SLICE_EVERY 128 /* one when so many have been added */

#define INSTANCE                                                                                 \
	"seq, key, platform, id, service_id, plan_id, organization, space, state, usable, rev, " \
	"op,"                                                                                    \
	" n_bindings, n_binding_ops, orphan, same, maintenance, dashboard_url, metadata, data,"  \
	" created, changed"
#define BINDING                                                                               \
	"seq, key, instance, id, state, rev, op, orphan, due, same, predecessor, expires_at," \
	" renew_before, data, created, changed"
#define OP                                                                                         \
	"seq, verb, state, result, instance, binding, after, service, plan_id, back, halted, old," \
	" step, memo, request, same, owner, fence, claims, created, began, step_began, deadline,"  \
	" ended, before, error, http_status, flags, description"

static const char *const texts[Q_LAST] = {
	[Q_INSTANCE_FIND] = "SELECT " INSTANCE " FROM (SELECT seq AS at FROM instance_new"
			    " WHERE key = ?1 UNION ALL SELECT seq FROM instance_at WHERE key = ?1)"
			    " CROSS JOIN instance ON seq = at",
	[Q_INSTANCE_GET] = "SELECT " INSTANCE " FROM instance WHERE seq = ?1",
	[Q_INSTANCE_INSERT] = "INSERT INTO instance VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
			      " ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
	[Q_INSTANCE_UPDATE] =
		"UPDATE instance SET service_id = ?5, plan_id = ?6, organization = ?7, space = ?8,"
		" state = ?9, usable = ?10, rev = ?11, op = ?12, n_bindings = ?13,"
		" n_binding_ops = ?14, orphan = ?15, same = ?16, maintenance = ?17,"
		" dashboard_url = ?18, metadata = ?19, data = ?20, created = ?21, changed = ?22"
		" WHERE seq = ?1",
	[Q_INSTANCE_COUNTS] =
		"UPDATE instance SET n_bindings = ?2, n_binding_ops = ?3 WHERE seq = ?1",
	[Q_KEY_ADD] = "INSERT INTO instance_new VALUES (?1, ?2)",
	[Q_KEYS_MOVE] = "INSERT OR IGNORE INTO instance_at SELECT key, seq FROM instance_new"
			" WHERE key BETWEEN ?1 AND ?2",
	[Q_KEYS_MOVED] = "DELETE FROM instance_new WHERE key BETWEEN ?1 AND ?2",
	[Q_BINDING_FIND] = "SELECT " BINDING " FROM binding WHERE instance = ?1 AND key = ?2",
	[Q_BINDING_GET] = "SELECT " BINDING " FROM binding WHERE seq = ?1",
	[Q_BINDING_INSERT] = "INSERT INTO binding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
			     " ?11, ?12, ?13, ?14, ?15, ?16)",
	[Q_BINDING_UPDATE] =
		"UPDATE binding SET state = ?5, rev = ?6, op = ?7, orphan = ?8, due = ?9, same = "
		"?10,"
		" predecessor = ?11, expires_at = ?12, renew_before = ?13, data = ?14,"
		" created = ?15, changed = ?16 WHERE seq = ?1",
	[Q_BINDINGS_LEFT] = "SELECT count(*) FROM binding"
			    " WHERE instance = ?1 AND state NOT IN (5, 8, 9)",
	[Q_BINDINGS_GONE] = "UPDATE binding SET state = 9, data = NULL, orphan = 0, due = 0,"
			    " rev = rev + 1, changed = ?2 WHERE instance = ?1 AND state <> 9",
	[Q_OP_GET] = "SELECT " OP " FROM op WHERE seq = ?1",
	[Q_OP_INSERT] = "INSERT INTO op VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
			" ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26,"
			" ?27, ?28, ?29)",
	[Q_OP_UPDATE] =
		"UPDATE op SET state = ?3, result = ?4, after = ?7, back = ?10, halted = ?11,"
		" old = ?12, step = ?13, memo = ?14, request = ?15, owner = ?17, fence = ?18,"
		" claims = ?19, began = ?21, step_began = ?22, ended = ?24, before = ?25,"
		" error = ?26, http_status = ?27, flags = ?28, description = ?29 WHERE seq = ?1",
	[Q_OP_OLD] = "UPDATE op SET old = 1 WHERE seq = ?1",
	[Q_WAITING] = "SELECT seq FROM op INDEXED BY op_live"
		      " WHERE state <> 2 AND state = 0 AND service IS ?1 ORDER BY seq",
	[Q_WAITING_BEFORE] = "SELECT count(*) FROM op INDEXED BY op_live"
			     " WHERE state <> 2 AND state = 0 AND service IS ?1 AND seq < ?2",
	[Q_WAITING_OLDEST] = "SELECT created FROM op WHERE seq = (SELECT min(seq) FROM op"
			     " INDEXED BY op_live WHERE state <> 2 AND state = 0)",
	[Q_LIST_EXPIRED] = "SELECT " BINDING " FROM binding INDEXED BY binding_due"
			   " WHERE due > 0 AND state = 2 AND due <= ?2 AND seq > ?1"
			   " ORDER BY seq LIMIT ?3",
	[Q_NEXT_EXPIRED] = "SELECT min(due) FROM binding INDEXED BY binding_due"
			   " WHERE due > 0 AND state = 2 AND due > ?1",
	[Q_LIST_INSTANCE_ORPHANS] = "SELECT " INSTANCE " FROM instance"
				    " INDEXED BY instance_orphan"
				    " WHERE orphan AND seq > ?1 ORDER BY seq LIMIT ?2",
	[Q_LIST_BINDING_ORPHANS] = "SELECT " BINDING " FROM binding INDEXED BY binding_orphan"
				   " WHERE orphan AND seq > ?1 ORDER BY seq LIMIT ?2",
	[Q_LIST_BINDINGS] = "SELECT " BINDING " FROM binding WHERE instance = ?1 AND seq > ?2"
			    " AND state IN (2, 4, 6, 7) ORDER BY seq",
	[Q_LIST_ALL_INSTANCES] = "SELECT " INSTANCE " FROM instance"
				 " WHERE state NOT IN (0, 5, 9) AND seq > ?1 ORDER BY seq LIMIT ?2",
	[Q_LIST_ALL_BINDINGS] = "SELECT " BINDING " FROM binding"
				" WHERE state NOT IN (0, 5, 8, 9) AND seq > ?1"
				" ORDER BY seq LIMIT ?2",
	[Q_SCAN_INSTANCES] = "SELECT seq, data FROM instance"
			     " WHERE seq > ?1 ORDER BY seq",
	[Q_SCAN_BINDINGS] = "SELECT seq, data FROM binding WHERE seq > ?1 ORDER BY seq",
	[Q_SCAN_OPS] = "SELECT seq, memo, request FROM op WHERE seq > ?1 ORDER BY seq",
	[Q_PURGE_OPS] = "SELECT seq FROM op INDEXED BY op_old WHERE old AND state = 2"
			" AND ended <= ?1 ORDER BY ended LIMIT ?2",
	[Q_PURGE_BINDINGS] = "SELECT seq, op FROM binding INDEXED BY binding_over"
			     " WHERE state IN (5, 9) AND changed <= ?1 ORDER BY changed LIMIT ?2",
	[Q_PURGE_INSTANCES] =
		"SELECT seq, op FROM instance AS i INDEXED BY instance_over"
		" WHERE state IN (5, 9) AND changed <= ?1 AND n_binding_ops = 0 AND NOT EXISTS"
		" (SELECT 1 FROM binding WHERE instance = i.seq) ORDER BY changed LIMIT ?2",
	[Q_DELETE_OP] = "DELETE FROM op WHERE seq = ?1",
	[Q_DELETE_BINDING] = "DELETE FROM binding WHERE seq = ?1",
	[Q_DELETE_INSTANCE] = "DELETE FROM instance WHERE seq = ?1",
	[Q_RESEAL_INSTANCE] = "UPDATE instance SET data = ?2 WHERE seq = ?1 AND data IS ?3",
	[Q_RESEAL_BINDING] = "UPDATE binding SET data = ?2 WHERE seq = ?1 AND data IS ?3",
	[Q_RESEAL_OP] = "UPDATE op SET memo = ?2, request = ?4 WHERE seq = ?1 AND memo IS ?3"
			" AND request IS ?5",
	[Q_DUMP_INSTANCES] = "SELECT " INSTANCE " FROM instance WHERE seq > ?1"
			     " ORDER BY seq LIMIT ?2",
	[Q_DUMP_BINDINGS] = "SELECT " BINDING " FROM binding WHERE seq > ?1"
			    " ORDER BY seq LIMIT ?2",
	[Q_DUMP_OPS] = "SELECT " OP " FROM op WHERE seq > ?1 ORDER BY seq LIMIT ?2",
	[Q_META_SET] = "INSERT INTO meta VALUES (CAST(?1 AS TEXT), ?2)"
		       " ON CONFLICT DO UPDATE SET value = ?2",
	[Q_META_GET] = "SELECT value FROM meta WHERE name = CAST(?1 AS TEXT)",
	[Q_META_ADD] = "INSERT INTO meta VALUES (CAST(?1 AS TEXT), ?2)",
	[Q_META_CHANGE] = "UPDATE meta SET value = ?2 WHERE name = CAST(?1 AS TEXT)",
	[Q_COUNT_INSTANCES] = "SELECT (SELECT count(*) FROM instance) - (SELECT count(*)"
			      " FROM instance INDEXED BY instance_over WHERE state IN (5, 9))",
	[Q_COUNT_BINDINGS] = "SELECT count(*) FROM binding WHERE state NOT IN (5, 8, 9)",
	[Q_PLAN_USE] = "SELECT service_id, plan_id, count(*) FROM instance"
		       " WHERE state NOT IN (5, 9) GROUP BY 1, 2",
};

/* -- statements ------------------------------------------------------------------------- */

static int complain(struct sqlite_db *s, const char *what)
{
	if (!s->complained)
		log_error(&s->db.store.log, "%s: %s", what, sqlite3_errmsg(s->sqlite));
	s->complained = true;
	if (s->in_tx && sqlite3_get_autocommit(s->sqlite))
		s->lost = true; /* SQLite rolled everything back by itself */
	return ERR_STORE;
}

static sqlite3_stmt *sqlite_of_stmt(struct db_stmt *stmt)
{
	return container_of(stmt, struct sqlite_stmt, stmt)->p;
}

static int prepare(struct sqlite_db *s, const char *text, sqlite3_stmt **stmt)
{
	if (!*stmt && sqlite3_prepare_v3(s->sqlite, text, -1, SQLITE_PREPARE_PERSISTENT, stmt,
					 NULL) != SQLITE_OK)
		return complain(s, "store");
	return 0;
}

static struct db_stmt *ops_stmt(struct db *db, enum query query)
{
	struct sqlite_db *s = container_of(db, struct sqlite_db, db);
	struct sqlite_stmt *stmt = &s->stmts[query];

	if (prepare(s, texts[query], &stmt->p) != 0)
		return NULL;
	stmt->stmt.ops = &sqlite_ops;
	return &stmt->stmt;
}

static int run(struct sqlite_db *s, sqlite3_stmt *stmt)
{
	int rc = stmt ? sqlite3_step(stmt) : SQLITE_ERROR;

	if (rc != SQLITE_DONE)
		complain(s, "store");
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int ops_row(struct db *db, struct db_stmt *stmt)
{
	sqlite3_stmt *p = sqlite_of_stmt(stmt);
	int rc = sqlite3_step(p);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		complain(container_of(db, struct sqlite_db, db), "store");
	sqlite3_reset(p);
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int ops_run(struct db *db, struct db_stmt *stmt)
{
	return run(container_of(db, struct sqlite_db, db), sqlite_of_stmt(stmt));
}

static void ops_reset(struct db_stmt *stmt)
{
	sqlite3_reset(sqlite_of_stmt(stmt));
}

static void ops_bind_int(struct db_stmt *stmt, int at, int64_t value)
{
	sqlite3_bind_int64(sqlite_of_stmt(stmt), at, value);
}

static void ops_bind(struct db_stmt *stmt, int at, struct str value)
{
	if (value.n == 0)
		sqlite3_bind_null(sqlite_of_stmt(stmt), at);
	else
		sqlite3_bind_blob64(sqlite_of_stmt(stmt), at, value.p, value.n, SQLITE_STATIC);
}

static int64_t ops_get_int(struct db_stmt *stmt, int at)
{
	return sqlite3_column_int64(sqlite_of_stmt(stmt), at);
}

static struct str ops_get(struct db_stmt *stmt, int at)
{
	const void *p = sqlite3_column_blob(sqlite_of_stmt(stmt), at);

	return p ? str_make(p, (size_t)sqlite3_column_bytes(sqlite_of_stmt(stmt), at)) : STR("");
}

static int ops_writing(struct db *db)
{
	struct sqlite_db *s = container_of(db, struct sqlite_db, db);

	s->writing = s->wrote = true;
	return s->lost ? ERR_STORE : 0;
}

static int ops_next(struct db *db, enum table table, int64_t *seq)
{
	*seq = db->counts.next[table]++;
	return 0;
}

static int ops_numbered(struct db *db, enum table table, int64_t seq)
{
	if (db->counts.next[table] <= seq)
		db->counts.next[table] = seq + 1;
	return 0;
}

static int ops_keyed(struct db *db, const struct row_instance *row)
{
	struct db_stmt *stmt = db_stmt(db, Q_KEY_ADD);

	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, row->key);
	db_bind_int(stmt, 2, row->i.seq);
	container_of(db, struct sqlite_db, db)->n_new++;
	return db_run(db, stmt);
}

static int ops_waiting(struct db *db, uint64_t *n)
{
	int verb;

	*n = 0;
	for (verb = 0; verb < STORE_VERBS; verb++)
		*n += db->counts.ops[verb][STORE_OP_WAITING];
	return 0;
}

static int count(struct db *db, enum query query, uint64_t *out)
{
	struct db_stmt *stmt = db_stmt(db, query);
	int rc = stmt ? db_row(db, stmt) : ERR_STORE;

	*out = 0;
	if (rc != 1)
		return rc;
	*out = (uint64_t)db_int(stmt, 0);
	db_reset(stmt);
	return 0;
}

static int ops_stats(struct db *db, struct store_stats *c)
{
	struct db_counts *counts = &db->counts;
	int rc = 0;

	if (!counts->known) { /* once; from then on they are kept */
		rc = count(db, Q_COUNT_INSTANCES, &counts->instances);
		if (rc == 0)
			rc = count(db, Q_COUNT_BINDINGS, &counts->bindings);
		counts->known = rc == 0;
	}
	if (rc == 0)
		rc = count(db, Q_WAITING_OLDEST, &c->oldest_waiting);
	c->instances = counts->instances;
	c->bindings = counts->bindings;
	memcpy(c->ops, counts->ops, sizeof(c->ops));
	return rc;
}

/* Numbers of rows are never used twice: the next ones are written down, because the row that had
 * the greatest may be among those that went. */
static int ops_purged(struct db *db)
{
	sqlite3 *sqlite = container_of(db, struct sqlite_db, db)->sqlite;

	if (meta_set_int(sqlite, "next_instance", db->counts.next[TABLE_INSTANCE]) != 0 ||
	    meta_set_int(sqlite, "next_binding", db->counts.next[TABLE_BINDING]) != 0 ||
	    meta_set_int(sqlite, "next_op", db->counts.next[TABLE_OP]) != 0)
		return ERR_STORE;
	return 0;
}

const struct db_ops sqlite_ops = {
	.stmt = ops_stmt,
	.row = ops_row,
	.run = ops_run,
	.reset = ops_reset,
	.bind_int = ops_bind_int,
	.bind = ops_bind,
	.get_int = ops_get_int,
	.get = ops_get,
	.writing = ops_writing,
	.next = ops_next,
	.numbered = ops_numbered,
	.keyed = ops_keyed,
	.waiting = ops_waiting,
	.stats = ops_stats,
	.purged = ops_purged,
};

void db_finish(struct sqlite_db *s)
{
	size_t i;

	for (i = 0; i < Q_LAST; i++) {
		sqlite3_finalize(s->stmts[i].p);
		s->stmts[i].p = NULL;
	}
	sqlite3_finalize(s->begin);
	sqlite3_finalize(s->commit);
	s->begin = s->commit = NULL;
}

/* -- the turn --------------------------------------------------------------------------- */

int db_start(struct sqlite_db *s, struct call *call)
{
	call_begin(call, NULL);
	return db_enter(s);
}

int db_enter(struct sqlite_db *s)
{
	if (list_empty(&s->turn))
		loop_again(s->db.store.loop); /* the end of this turn is awaited */
	arena_reset(&s->db.arena);
	if (s->lost)
		return ERR_STORE;
	if (s->in_tx)
		return 0;
	if (prepare(s, "BEGIN", &s->begin) != 0 || run(s, s->begin) != 0)
		return ERR_STORE;
	s->in_tx = true;
	s->wrote = false;
	s->at_tx = s->db.counts;
	return 0;
}

void db_end(struct sqlite_db *s, struct call *call, int status)
{
	if (s->writing && status != 0)
		s->lost = true; /* half written */
	s->writing = false;
	call->status = status;
	s->n_calls++;
	list_append(&s->turn, &call->soon.node);
}

/* Which slice is the next one is forgotten with the process: it makes no difference. */
static int move_keys(struct sqlite_db *s)
{
	static const enum query both[] = { Q_KEYS_MOVE, Q_KEYS_MOVED };
	uint64_t first = (uint64_t)s->slice << (64 - SLICE_BITS);
	size_t i;

	for (i = 0; i < ARRAY_LEN(both); i++) {
		struct db_stmt *stmt = db_stmt(&s->db, both[i]);

		if (!stmt)
			return ERR_STORE;
		db_bind_int(stmt, 1, (int64_t)first);
		db_bind_int(stmt, 2, (int64_t)(first | UINT64_MAX >> SLICE_BITS));
		if (db_run(&s->db, stmt) != 0)
			return ERR_STORE;
	}
	s->slice = (s->slice + 1) % (1u << SLICE_BITS);
	s->n_new -= SLICE_EVERY;
	return 0;
}

static int commit(struct sqlite_db *s)
{
	uint64_t start = uv_hrtime();
	bool failed;

	while (s->n_new >= SLICE_EVERY && !s->lost)
		s->lost = move_keys(s) != 0;
	failed = s->lost || (s->wrote && failpoint("store.commit")) ||
		 prepare(s, "COMMIT", &s->commit) != 0 || run(s, s->commit) != 0;

	s->in_tx = false;
	s->lost = false;
	if (failed) {
		s->db.counts = s->at_tx;
		metric_inc(&s->commit_failures, 1);
		if (!sqlite3_get_autocommit(s->sqlite))
			sqlite3_exec(s->sqlite, "ROLLBACK", NULL, NULL, NULL);
		return ERR_STORE;
	}
	if (s->wrote) {
		failpoint("store.committed");
		metric_inc(&s->commits, 1);
		metric_observe(&s->commit_seconds, (double)(uv_hrtime() - start) / 1e9);
	}
	return 0;
}

/* A commit costs what many calls cost: what has arrived while the turn's calls ran shares it. The
 * loop looks without waiting, and again while that brings more. */
static bool more_may_come(struct sqlite_db *s)
{
	if (!s->in_tx || !s->wrote || s->lost || s->n_calls == s->n_seen ||
	    s->n_looks == LOOKS_MAX) {
		s->n_calls = s->n_seen = s->n_looks = 0;
		return false;
	}
	s->n_seen = s->n_calls;
	s->n_looks++;
	loop_again(s->db.store.loop);
	return true;
}

void db_end_of_turn(struct loop_hook *hook)
{
	struct sqlite_db *s = container_of(hook, struct sqlite_db, hook);
	void (*finish)(struct sqlite_db *) = s->finish;
	struct list turn, *node;
	int status = 0;

	if (more_may_come(s))
		return;
	if (s->in_tx)
		status = commit(s);
	s->complained = false;
	list_init(&turn);
	while ((node = list_shift(&s->turn)))
		list_append(&turn, node);
	while ((node = list_shift(&turn))) {
		struct call *call =
			container_of(container_of(node, struct soon, node), struct call, soon);

		call_end(call, status ? status : call->status);
	}
	/* what these have started waits for the end of the next turn */
	if (!list_empty(&s->turn))
		loop_again(s->db.store.loop);
	else if (finish && !s->reseal)
		finish(s);
}
