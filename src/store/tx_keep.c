/* Retention and the change of keys: what a timer does to old rows, a few at a time.
 *
 * purge: an op that is not its object's latest goes by itself (index op_old); an object that is
 * gone, or was never made, goes with its latest op. Numbers of rows are never used twice: the
 * next ones are written down, because the row that had the greatest may be among those that go.
 *
 * reseal looks at every row once in the life of the process, in the order of seq: what is written
 * meanwhile is sealed with the first key anyway. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tx.h"

#define SCAN_MAX 5000 /* rows that one turn looks at */

/* -- purge ------------------------------------------------------------------------------ */

struct old_row {
	int64_t seq, op;
};

/* The rows that a statement (limit: before, at most max) finds. */
static int find_old(struct db *s, enum query query, uint64_t before, uint32_t max,
		    struct old_row *rows, size_t *n)
{
	struct db_stmt *stmt = db_stmt(s, query);
	int rc;

	*n = 0;
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, (int64_t)before);
	db_bind_int(stmt, 2, max);
	while ((rc = db_row(s, stmt)) == 1 && *n < max) {
		rows[*n].seq = db_int(stmt, 0);
		rows[(*n)++].op = query != Q_PURGE_OPS ? db_int(stmt, 1) : 0;
	}
	db_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int delete_row(struct db *s, enum query sql, int64_t seq)
{
	struct db_stmt *stmt = db_stmt(s, sql);

	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, seq);
	return db_run(s, stmt);
}

static int purge_ops(struct db *s, struct store_purge *c, uint64_t before, struct old_row *rows)
{
	size_t n, i;
	int rc = find_old(s, Q_PURGE_OPS, before, c->max - c->n, rows, &n);

	if (rc == 0 && n > 0)
		rc = db_writing(s);
	for (i = 0; rc == 0 && i < n; i++, c->n++)
		rc = delete_row(s, Q_DELETE_OP, rows[i].seq);
	return rc;
}

static int purge_objects(struct db *s, struct store_purge *c, enum query find, enum query delete,
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
			rc = delete_row(s, Q_DELETE_OP, op.o.seq);
		if (rc == 0)
			rc = delete_row(s, delete, rows[i].seq);
		c->n++;
	}
	return rc;
}

static int purge(struct db *s, struct store_purge *c)
{
	uint64_t now = store_now(&s->store);
	uint64_t ended = now > c->keep_ended ? now - c->keep_ended : 0;
	uint64_t gone = now > c->keep_gone ? now - c->keep_gone : 0;
	struct old_row *rows = arena_alloc(&s->arena, ((size_t)c->max + 1) * sizeof(*rows));
	int rc;

	c->n = 0;
	rc = purge_ops(s, c, ended, rows);
	if (rc == 0)
		rc = purge_objects(s, c, Q_PURGE_BINDINGS, Q_DELETE_BINDING, gone, rows);
	if (rc == 0)
		rc = purge_objects(s, c, Q_PURGE_INSTANCES, Q_DELETE_INSTANCE, gone, rows);
	if (rc == 0 && c->n > 0 && s->ops->purged)
		rc = s->ops->purged(s);
	return rc;
}

int tx_purge(struct db *s, void *call)
{
	return purge(s, call);
}

/* -- reseal ----------------------------------------------------------------------------- */

static const struct {
	enum query scan, write;
	const char *name;
	const char *column[2];
} places[TABLES] = {
	[TABLE_INSTANCE] = { Q_SCAN_INSTANCES, Q_RESEAL_INSTANCE, "instance", { "data" } },
	[TABLE_BINDING] = { Q_SCAN_BINDINGS, Q_RESEAL_BINDING, "binding", { "data" } },
	[TABLE_OP] = { Q_SCAN_OPS, Q_RESEAL_OP, "op", { "memo", "request" } },
};

/* A row that has a value of an old key. */
struct old_seal {
	int64_t seq;
	struct str value[2];
};

static int find_seals(struct db *s, int table, uint32_t max, uint32_t *scan, struct old_seal *rows,
		      size_t *n)
{
	struct db_stmt *stmt = db_stmt(s, places[table].scan);
	int columns = places[table].column[1] ? 2 : 1, i, rc;

	*n = 0;
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, s->counts.resealed[table]);
	db_bind_int(stmt, 2, *scan);
	while (*n<max && * scan> 0 && (rc = db_row(s, stmt)) != 0) {
		bool old = false;

		if (rc < 0)
			return rc;
		(*scan)--;
		memset(&rows[*n], 0, sizeof(rows[*n]));
		rows[*n].seq = s->counts.resealed[table] = db_int(stmt, 0);
		for (i = 1; i <= columns; i++) {
			struct str value = db_get(stmt, i);

			old = old || (value.n > 0 && !seal_is_current(s->keys, value));
		}
		if (!old)
			continue;
		for (i = 1; i <= columns; i++)
			rows[*n].value[i - 1] = db_column(stmt, i, &s->arena);
		(*n)++;
	}
	db_reset(stmt);
	return 0;
}

/* Seals one row anew. 1: done; 0: no key opens it; or ERR_STORE. */
static int reseal_row(struct db *s, int table, struct old_seal *row)
{
	struct db_stmt *stmt = db_stmt(s, places[table].write);
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
	db_bind_int(stmt, 1, row->seq);
	db_bind(stmt, 2, sealed[0]);
	db_bind(stmt, 3, row->value[0]); /* only if it is still the same */
	if (places[table].column[1]) {
		db_bind(stmt, 4, sealed[1]);
		db_bind(stmt, 5, row->value[1]);
	}
	rc = db_run(s, stmt);
	return rc == 0 ? 1 : rc;
}

/* 1: every row has been looked at; 0: there may be more; or ERR_STORE. */
static int reseal(struct db *s, struct store_reseal *c)
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

/* A body that looked at many rows and found none to be sealed anew is not at its end. */
int tx_reseal(struct db *s, void *call)
{
	struct store_reseal *c = call;
	int rc;

	c->n = c->failed = 0;
	rc = reseal(s, c);
	return rc == 0 && c->n == 0 ? DB_MORE : rc < 0 ? rc : 0;
}
