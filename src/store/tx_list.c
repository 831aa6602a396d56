/* list, stats, plan_use: what people and timers look at. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tx.h"

/* -- list ------------------------------------------------------------------------------- */

/* A place in a list over several tables: which table, then seq. */
#define AT(table, seq) ((int64_t)(table) << 56 | (seq))
#define AT_TABLE(at) ((int)((at) >> 56))
#define AT_SEQ(at) ((at) & (((int64_t)1 << 56) - 1))

/* Where in the table a list goes on that stands at from; -1: behind its end. */
static int64_t from_seq(int table, int64_t from)
{
	if (AT_TABLE(from) == table)
		return AT_SEQ(from);
	return AT_TABLE(from) > table ? -1 : 0;
}

static struct store_listed *add_row(struct store_list *c, size_t *size)
{
	if (c->n_rows == *size) {
		struct store_listed *rows;

		*size = *size ? *size * 2 : 16;
		rows = arena_alloc(c->arena, *size * sizeof(*rows));
		if (c->n_rows > 0)
			memcpy(rows, c->rows, c->n_rows * sizeof(*rows));
		c->rows = rows;
	}
	memset(&c->rows[c->n_rows], 0, sizeof(*c->rows));
	return &c->rows[c->n_rows++];
}

/* Adds what the list says beside the row itself. */
static int complete(struct db *s, struct store_list *c, struct store_listed *row)
{
	struct row_instance instance;
	struct row_op op;
	int rc;

	if (row->instance.seq == 0) {
		rc = row_instance_get(s, c->arena, row->binding.instance, &instance);
		if (rc != 0)
			return rc;
		row->instance = instance.i;
	}
	rc = row_op_get(s, c->arena, row->binding.seq ? row->binding.op : row->instance.op, &op);
	row->service = op.o.seq ? op.o.service : STR("");
	row->description = op.o.seq ? op.o.description : STR("");
	return rc;
}

static int list_instances(struct db *s, struct store_list *c, struct db_stmt *stmt, size_t *size)
{
	struct row_instance row;
	int rc;

	while (c->n_rows < c->max && (rc = db_row(s, stmt)) != 0) {
		struct store_listed *listed;

		if (rc < 0)
			return rc;
		row_instance_read(stmt, c->arena, &row);
		listed = add_row(c, size);
		listed->instance = row.i;
		listed->at = AT(TABLE_INSTANCE, row.i.seq);
	}
	db_reset(stmt);
	return 0;
}

static int list_bindings(struct db *s, struct store_list *c, struct db_stmt *stmt, size_t *size)
{
	struct row_binding row;
	int rc;

	while (c->n_rows < c->max && (rc = db_row(s, stmt)) != 0) {
		struct store_listed *listed;

		if (rc < 0)
			return rc;
		row_binding_read(stmt, c->arena, &row);
		listed = add_row(c, size);
		listed->binding = row.b;
		listed->at = AT(TABLE_BINDING, row.b.seq);
	}
	db_reset(stmt);
	return 0;
}

static int list_expired(struct db *s, struct store_list *c, size_t *size)
{
	struct db_stmt *due = db_stmt(s, Q_LIST_EXPIRED), *next = db_stmt(s, Q_NEXT_EXPIRED);
	int64_t now = (int64_t)store_now(&s->store);
	int rc;

	if (!due || !next)
		return ERR_STORE;
	db_bind_int(due, 1, AT_SEQ(c->from));
	db_bind_int(due, 2, now);
	db_bind_int(due, 3, c->max);
	rc = list_bindings(s, c, due, size);
	if (rc != 0)
		return rc;
	db_bind_int(next, 1, now);
	rc = db_row(s, next);
	if (rc < 0)
		return rc;
	c->next = (uint64_t)db_int(next, 0);
	db_reset(next);
	return 0;
}

static int list_both(struct db *s, struct store_list *c, enum query of_instances,
		     enum query of_bindings, size_t *size)
{
	struct db_stmt *instances = db_stmt(s, of_instances);
	struct db_stmt *bindings = db_stmt(s, of_bindings);
	int rc = 0;

	if (!instances || !bindings)
		return ERR_STORE;
	if (from_seq(TABLE_INSTANCE, c->from) >= 0) {
		db_bind_int(instances, 1, from_seq(TABLE_INSTANCE, c->from));
		db_bind_int(instances, 2, c->max);
		rc = list_instances(s, c, instances, size);
	}
	if (rc != 0)
		return rc;
	db_bind_int(bindings, 1, from_seq(TABLE_BINDING, c->from));
	db_bind_int(bindings, 2, c->max);
	return list_bindings(s, c, bindings, size);
}

/* Of the bindings in DELETING, those count that were there before: n_bindings of them. */
static int list_of_instance(struct db *s, struct store_list *c, size_t *size)
{
	struct db_stmt *stmt = db_stmt(s, Q_LIST_BINDINGS);
	struct row_binding row;
	struct row_op op;
	int rc;

	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, c->instance);
	db_bind_int(stmt, 2, AT_SEQ(c->from));
	while (c->n_rows < c->max && (rc = db_row(s, stmt)) != 0) {
		struct store_listed *listed;

		if (rc < 0)
			return rc;
		row_binding_read(stmt, c->arena, &row);
		if (row.b.state == STORE_DELETING) {
			rc = row_op_get(s, &s->arena, row.b.op, &op);
			if (rc != 0) {
				db_reset(stmt);
				return rc;
			}
			if (op.o.before != STORE_READY && op.o.before != STORE_DIRTY)
				continue;
		}
		listed = add_row(c, size);
		listed->binding = row.b;
		listed->at = AT(TABLE_BINDING, row.b.seq);
	}
	db_reset(stmt);
	return 0;
}

static bool opens(struct db *s, const char *table, const char *column, int64_t seq,
		  struct str sealed)
{
	struct seal_place place = { table, column, seq };
	struct arena arena = { 0 };
	struct str plain;
	bool ok = sealed.n == 0 || seal_open(s->keys, &place, sealed, &arena, &plain) == 0;

	arena_finish(&arena);
	return ok;
}

/* The rows of one table that no key opens; the object of an op stands for it. */
static int list_unreadable(struct db *s, struct store_list *c, int table, size_t *size)
{
	static const enum query scans[] = { Q_SCAN_INSTANCES, Q_SCAN_BINDINGS, Q_SCAN_OPS };
	static const char *const names[] = { "instance", "binding", "op" };
	struct db_stmt *stmt = db_stmt(s, scans[table]);
	bool op = table == TABLE_OP;
	int rc;

	if (from_seq(table, c->from) < 0)
		return 0;
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, from_seq(table, c->from));
	while (c->n_rows < c->max && (rc = db_row(s, stmt)) != 0) {
		int64_t seq;

		if (rc < 0)
			return rc;
		seq = db_int(stmt, 0);
		if (opens(s, names[table], op ? "memo" : "data", seq, db_get(stmt, 1)) &&
		    (!op || opens(s, "op", "request", seq, db_get(stmt, 2))))
			continue;
		add_row(c, size)->at = AT(table, seq);
	}
	db_reset(stmt);
	return 0;
}

static int read_unreadable(struct db *s, struct store_list *c, struct store_listed *row)
{
	struct row_instance instance = { 0 };
	struct row_binding binding = { 0 };
	struct row_op op = { 0 };
	int64_t seq = AT_SEQ(row->at);
	int rc = 0;

	if (AT_TABLE(row->at) == TABLE_OP) {
		rc = row_op_get(s, c->arena, seq, &op);
		if (rc == 0 && op.o.binding)
			rc = row_binding_get(s, c->arena, op.o.binding, &binding);
		if (rc == 0)
			rc = row_instance_get(s, c->arena, op.o.instance, &instance);
	} else if (AT_TABLE(row->at) == TABLE_BINDING) {
		rc = row_binding_get(s, c->arena, seq, &binding);
	} else {
		rc = row_instance_get(s, c->arena, seq, &instance);
	}
	row->instance = instance.i;
	row->binding = binding.b;
	return rc;
}

static int list(struct db *s, struct store_list *c)
{
	size_t size = 0, i;
	int rc = 0;

	switch (c->kind) {
	case STORE_LIST_EXPIRED:
		rc = list_expired(s, c, &size);
		break;
	case STORE_LIST_ORPHANS:
		rc = list_both(s, c, Q_LIST_INSTANCE_ORPHANS, Q_LIST_BINDING_ORPHANS, &size);
		break;
	case STORE_LIST_ALL:
		rc = list_both(s, c, Q_LIST_ALL_INSTANCES, Q_LIST_ALL_BINDINGS, &size);
		break;
	case STORE_LIST_BINDINGS:
		rc = list_of_instance(s, c, &size);
		break;
	case STORE_LIST_UNREADABLE:
		for (i = 0; rc == 0 && i < TABLES; i++)
			rc = list_unreadable(s, c, (int)i, &size);
		for (i = 0; rc == 0 && i < c->n_rows; i++)
			rc = read_unreadable(s, c, &c->rows[i]);
		break;
	}
	for (i = 0; rc == 0 && i < c->n_rows; i++)
		rc = complete(s, c, &c->rows[i]);
	return rc;
}

int tx_list(struct db *s, void *call)
{
	struct store_list *c = call;

	c->rows = NULL;
	c->n_rows = 0;
	c->next = 0;
	return list(s, c);
}

/* -- stats ------------------------------------------------------------------------------ */

int tx_stats(struct db *s, void *call)
{
	return s->ops->stats(s, call);
}

/* -- plans in use ----------------------------------------------------------------------- */

static int plan_use(struct db *s, struct store_plan_use *c)
{
	struct db_stmt *stmt = db_stmt(s, Q_PLAN_USE);
	size_t size = 0;
	int rc;

	if (!stmt)
		return ERR_STORE;
	while ((rc = db_row(s, stmt)) == 1) {
		if (c->n_plans == size) {
			void *old = c->plans;

			size = size ? size * 2 : 16;
			c->plans = arena_alloc(c->arena, size * sizeof(*c->plans));
			if (old)
				memcpy(c->plans, old, c->n_plans * sizeof(*c->plans));
		}
		c->plans[c->n_plans].service_id = db_column(stmt, 0, c->arena);
		c->plans[c->n_plans].plan_id = db_column(stmt, 1, c->arena);
		c->plans[c->n_plans++].n = (uint64_t)db_int(stmt, 2);
	}
	return rc;
}

int tx_plan_use(struct db *s, void *call)
{
	struct store_plan_use *c = call;

	c->plans = NULL;
	c->n_plans = 0;
	return plan_use(s, c);
}
