/* Retention and the change of keys: what a timer does to old rows, a few at a time.
 *
 * purge: an op that is not its object's latest goes by itself (index op_old); an object that is
 * gone, or was never made, goes with its latest op. Numbers of rows are never used twice: the
 * next ones are written down, because the row that had the greatest may be among those that go.
 *
 * reseal looks at every row once in the life of the process, in the order of seq: what is written
 * meanwhile is sealed with the first key anyway. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_ops.h"
#include "store/sqlite_schema.h"

#define SCAN_MAX 5000 /* rows that one turn looks at */

/* -- purge ------------------------------------------------------------------------------ */

struct old_row {
	int64_t seq, op;
};

/* The rows that a statement (limit: before, at most max) finds. */
static int find_old(struct sqlite_db *s, enum sql sql, uint64_t before, uint32_t max,
		    struct old_row *rows, size_t *n)
{
	sqlite3_stmt *stmt = db_stmt(s, sql);
	int rc;

	*n = 0;
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, (int64_t)before);
	sqlite3_bind_int64(stmt, 2, max);
	while ((rc = db_row(s, stmt)) == 1 && *n < max) {
		rows[*n].seq = sqlite3_column_int64(stmt, 0);
		rows[(*n)++].op =
			sqlite3_column_count(stmt) > 1 ? sqlite3_column_int64(stmt, 1) : 0;
	}
	sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int delete_row(struct sqlite_db *s, enum sql sql, int64_t seq)
{
	sqlite3_stmt *stmt = db_stmt(s, sql);

	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, seq);
	return db_run(s, stmt);
}

static int purge_ops(struct sqlite_db *s, struct store_purge *c, uint64_t before,
		     struct old_row *rows)
{
	size_t n, i;
	int rc = find_old(s, SQL_PURGE_OPS, before, c->max - c->n, rows, &n);

	if (rc == 0 && n > 0)
		rc = db_writing(s);
	for (i = 0; rc == 0 && i < n; i++, c->n++)
		rc = delete_row(s, SQL_DELETE_OP, rows[i].seq);
	return rc;
}

static int purge_objects(struct sqlite_db *s, struct store_purge *c, enum sql find, enum sql delete,
			 uint64_t before, struct old_row *rows)
{
	struct row_op op;
	size_t n, i;
	int rc = find_old(s, find, before, c->max - c->n, rows, &n);

	if (rc == 0 && n > 0)
		rc = db_writing(s);
	for (i = 0; rc == 0 && i < n; i++) {
		rc = row_op_get(s, &s->arena, rows[i].op, &op);
		if (rc == 0 && op.o.seq && op.o.state != STORE_OP_ENDED)
			continue; /* it went with its instance while it was worked on */
		if (rc == 0 && op.o.seq)
			rc = delete_row(s, SQL_DELETE_OP, op.o.seq);
		if (rc == 0)
			rc = delete_row(s, delete, rows[i].seq);
		c->n++;
	}
	return rc;
}

static int purge(struct sqlite_db *s, struct store_purge *c)
{
	uint64_t now = loop_wall(s->store.loop);
	uint64_t ended = now > c->keep_ended ? now - c->keep_ended : 0;
	uint64_t gone = now > c->keep_gone ? now - c->keep_gone : 0;
	struct old_row *rows = arena_alloc(&s->arena, ((size_t)c->max + 1) * sizeof(*rows));
	int rc;

	c->n = 0;
	rc = purge_ops(s, c, ended, rows);
	if (rc == 0)
		rc = purge_objects(s, c, SQL_PURGE_BINDINGS, SQL_DELETE_BINDING, gone, rows);
	if (rc == 0)
		rc = purge_objects(s, c, SQL_PURGE_INSTANCES, SQL_DELETE_INSTANCE, gone, rows);
	if (rc != 0 || c->n == 0)
		return rc;
	if (meta_set_int(s->db, "next_instance", s->counts.next[TABLE_INSTANCE]) != 0 ||
	    meta_set_int(s->db, "next_binding", s->counts.next[TABLE_BINDING]) != 0 ||
	    meta_set_int(s->db, "next_op", s->counts.next[TABLE_OP]) != 0)
		return ERR_STORE;
	return 0;
}

void sqlite_purge(struct store *store, struct store_purge *c)
{
	struct sqlite_db *s = sqlite_of(store);
	int rc = db_start(s, &c->call);

	db_end(s, &c->call, rc != 0 ? rc : purge(s, c));
}

/* -- reseal ----------------------------------------------------------------------------- */

static const struct {
	enum sql scan, write;
	const char *name;
	const char *column[2];
} places[TABLES] = {
	[TABLE_INSTANCE] = { SQL_SCAN_INSTANCES, SQL_RESEAL_INSTANCE, "instance", { "data" } },
	[TABLE_BINDING] = { SQL_SCAN_BINDINGS, SQL_RESEAL_BINDING, "binding", { "data" } },
	[TABLE_OP] = { SQL_SCAN_OPS, SQL_RESEAL_OP, "op", { "memo", "request" } },
};

/* A row that has a value of an old key. */
struct old_seal {
	int64_t seq;
	struct str value[2];
};

static int find_seals(struct sqlite_db *s, int table, uint32_t max, uint32_t *scan,
		      struct old_seal *rows, size_t *n)
{
	sqlite3_stmt *stmt = db_stmt(s, places[table].scan);
	int columns = places[table].column[1] ? 2 : 1, i, rc;

	*n = 0;
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, s->counts.resealed[table]);
	while (*n<max && * scan> 0 && (rc = db_row(s, stmt)) != 0) {
		bool old = false;

		if (rc < 0)
			return rc;
		(*scan)--;
		memset(&rows[*n], 0, sizeof(rows[*n]));
		rows[*n].seq = s->counts.resealed[table] = sqlite3_column_int64(stmt, 0);
		for (i = 1; i <= columns; i++) {
			const void *p = sqlite3_column_blob(stmt, i);
			struct str value = str_make(p, (size_t)sqlite3_column_bytes(stmt, i));

			old = old || (value.n > 0 && !seal_is_current(s->keys, value));
		}
		if (!old)
			continue;
		for (i = 1; i <= columns; i++)
			rows[*n].value[i - 1] = db_column(stmt, i, &s->arena);
		(*n)++;
	}
	sqlite3_reset(stmt);
	return 0;
}

/* Seals one row anew. 1: done; 0: no key opens it; or ERR_STORE. */
static int reseal_row(struct sqlite_db *s, int table, struct old_seal *row)
{
	sqlite3_stmt *stmt = db_stmt(s, places[table].write);
	struct str plain, sealed[2] = { STR(""), STR("") };
	int i, rc;

	for (i = 0; i < 2 && places[table].column[i]; i++) {
		struct seal_place place = { places[table].name, places[table].column[i], row->seq };

		if (row->value[i].n == 0)
			continue;
		if (seal_open(s->keys, &place, row->value[i], &s->arena, &plain) != 0) {
			log_error(&s->store.log,
				  "%s %lld: %s cannot be opened (sealed with key \"%.*s\")",
				  place.table, (long long)row->seq, place.column,
				  STR_ARG(seal_key_id(row->value[i])));
			return 0;
		}
		buf_clear(&s->buf);
		seal_close(s->keys, &place, plain, &s->buf);
		sealed[i] = arena_str(&s->arena, buf_str(&s->buf));
	}
	rc = db_writing(s);
	if (rc != 0 || !stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, row->seq);
	db_bind(stmt, 2, sealed[0]);
	if (places[table].column[1])
		db_bind(stmt, 3, sealed[1]);
	rc = db_run(s, stmt);
	return rc == 0 ? 1 : rc;
}

/* 1: every row has been looked at; 0: there may be more; or ERR_STORE. */
static int reseal(struct sqlite_db *s, struct store_reseal *c)
{
	struct old_seal *rows = arena_alloc(&s->arena, ((size_t)c->max + 1) * sizeof(*rows));
	uint32_t scan = SCAN_MAX;
	int table, rc = 0;

	for (table = 0; table < TABLES && c->n < c->max && scan > 0; table++) {
		size_t n, i;

		rc = find_seals(s, table, c->max - c->n, &scan, rows, &n);
		for (i = 0; rc >= 0 && i < n; i++) {
			rc = reseal_row(s, table, &rows[i]);
			if (rc == 1)
				c->n++;
			else if (rc == 0)
				s->counts.reseal_failed++;
		}
		if (rc < 0)
			return rc;
		if (n > 0 || scan == 0)
			table--; /* there may be more of them */
	}
	c->failed = s->counts.reseal_failed;
	return table == TABLES;
}

/* A turn that looked at many rows and found none to be sealed anew is not the end: the call goes
 * on in the next turn. */
static void reseal_run(struct sqlite_db *s, struct store_reseal *c, int rc)
{
	if (rc == 0)
		rc = reseal(s, c);
	if (rc == 0 && c->n == 0) {
		loop_soon(s->store.loop, &s->reseal_soon);
		return;
	}
	s->reseal = NULL;
	db_end(s, &c->call, rc < 0 ? rc : 0);
}

static void reseal_on(struct soon *soon)
{
	struct sqlite_db *s = container_of(soon, struct sqlite_db, reseal_soon);

	reseal_run(s, s->reseal, db_enter(s));
}

void sqlite_reseal(struct store *store, struct store_reseal *c)
{
	struct sqlite_db *s = sqlite_of(store);
	int rc = db_start(s, &c->call);

	c->n = c->failed = 0;
	if (s->reseal) {
		db_end(s, &c->call, ERR_BUSY);
		return;
	}
	s->reseal = c;
	s->reseal_soon.run = reseal_on;
	reseal_run(s, c, rc);
}
