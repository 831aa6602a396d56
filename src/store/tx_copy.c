/* Copying a store: its rows are read and opened in the order of seq, and put into another under
 * the same numbers, sealed with that store's keys. The store's id and the key of its fingerprints
 * go with them, so that ids of operations and comparisons stay what they are. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tx.h"

static const enum query dumps[TABLES] = { Q_DUMP_INSTANCES, Q_DUMP_BINDINGS, Q_DUMP_OPS };

static int dump_row(struct db *s, struct db_stmt *stmt, struct tx_copy *c, struct tx_copied *row)
{
	memset(row, 0, sizeof(*row));
	switch (c->table) {
	case TABLE_INSTANCE:
		row_instance_read(stmt, c->arena, &row->instance);
		row->seq = row->instance.i.seq;
		return row_instance_open(s, c->arena, &row->instance);
	case TABLE_BINDING:
		row_binding_read(stmt, c->arena, &row->binding);
		row->seq = row->binding.b.seq;
		return row_binding_open(s, c->arena, &row->binding);
	case TABLE_OP:
		row_op_read(s, stmt, c->arena, &row->op);
		row->seq = row->op.o.seq;
		return row_op_open(s, c->arena, &row->op);
	case TABLES:
		break;
	}
	return ERR_INVALID;
}

int tx_dump(struct db *s, void *call)
{
	struct tx_copy *c = call;
	struct db_stmt *stmt = db_stmt(s, dumps[c->table]);
	int rc;

	c->n = 0;
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, c->from);
	db_bind_int(stmt, 2, TX_COPY_ROWS);
	while (c->n < TX_COPY_ROWS && (rc = db_row(s, stmt)) != 0) {
		if (rc > 0)
			rc = dump_row(s, stmt, c, &c->rows[c->n++]);
		if (rc < 0) {
			if (rc != DB_MISS)
				db_reset(stmt);
			return rc;
		}
	}
	db_reset(stmt);
	return 0;
}

/* An op that runs has nobody who runs it where it goes: it waits. */
static void put_down(struct store_op *op)
{
	if (op->state == STORE_OP_RUNNING)
		op->state = STORE_OP_WAITING;
	op->owner = STR("");
}

static int load_row(struct db *s, enum table table, struct tx_copied *row)
{
	switch (table) {
	case TABLE_INSTANCE:
		row->instance.fresh = true;
		row->instance.was = STORE_NONE;
		row_instance_set_data(&row->instance, row->instance.i.data);
		return row_instance_put(s, &row->instance);
	case TABLE_BINDING:
		row->binding.fresh = true;
		row->binding.was = STORE_NONE;
		row_binding_set_data(&row->binding, row->binding.b.data);
		return row_binding_put(s, &row->binding);
	case TABLE_OP:
		row->op.fresh = true;
		put_down(&row->op.o);
		row_op_set_memo(&row->op, row->op.o.memo);
		row_op_set_request(&row->op, row->op.o.request);
		return row_op_put(s, &row->op);
	case TABLES:
		break;
	}
	return ERR_INVALID;
}

int tx_load(struct db *s, void *call)
{
	struct tx_copy *c = call;
	size_t i;
	int rc = 0;

	if (c->n == 0)
		return 0;
	rc = s->ops->numbered(s, c->table, c->rows[c->n - 1].seq);
	if (rc == 0)
		rc = db_writing(s);
	for (i = 0; rc == 0 && i < c->n; i++)
		rc = load_row(s, c->table, &c->rows[i]);
	return rc;
}

int tx_ask_numbers(struct db *s, void *call)
{
	struct tx_numbers *c = call;
	bool missed = false;
	int table, rc;

	for (table = 0; table < TABLES; table++) {
		rc = s->ops->next(s, (enum table)table, &c->next[table]);
		if (rc != 0 && rc != DB_MISS)
			return rc;
		missed = missed || rc == DB_MISS;
	}
	return missed ? DB_MISS : 0;
}

int tx_tell_numbers(struct db *s, void *call)
{
	struct tx_numbers *c = call;
	int table, rc = 0;

	for (table = 0; rc == 0 && table < TABLES; table++)
		if (c->next[table] > 1)
			rc = s->ops->numbered(s, (enum table)table, c->next[table] - 1);
	if (rc == 0)
		rc = db_writing(s);
	if (rc == 0 && s->ops->purged)
		rc = s->ops->purged(s);
	return rc;
}

int tx_adopt(struct db *s, void *call)
{
	struct tx_adopt *c = call;
	struct seal_place place = { "meta", "print", 0 };
	const struct {
		const char *name;
		struct str value;
	} values[] = { { "id", str_make(c->id, STORE_ID_SIZE) },
		       { "print", str_make((const char *)c->print, sizeof(c->print)) } };
	size_t i;
	int rc = db_writing(s);

	for (i = 0; rc == 0 && i < ARRAY_LEN(values); i++) {
		struct db_stmt *stmt = db_stmt(s, Q_META_SET);
		struct str value = values[i].value;

		if (!stmt)
			return ERR_STORE;
		if (i == 1) {
			buf_clear(&s->buf);
			seal_close(s->keys, &place, value, &s->buf);
			value = arena_str(&s->arena, buf_str(&s->buf));
		}
		db_bind(stmt, 1, str_of(values[i].name));
		db_bind(stmt, 2, value);
		rc = db_run(s, stmt);
	}
	if (rc == 0) {
		memcpy(s->id, c->id, STORE_ID_SIZE);
		memcpy(s->print, c->print, sizeof(s->print));
	}
	return rc;
}

/* -- what a row is, as bytes ------------------------------------------------------------ */

static void put_int(struct buf *out, int64_t value)
{
	buf_put(out, &value, sizeof(value));
}

static void put_str(struct buf *out, struct str value)
{
	put_int(out, (int64_t)value.n);
	buf_put_str(out, value);
}

static void write_instance(struct buf *out, const struct row_instance *row)
{
	const struct store_instance *i = &row->i;
	const struct str texts[] = { i->platform,     i->id,    i->service_id,  i->plan_id,
				     i->organization, i->space, i->maintenance, i->dashboard_url,
				     i->metadata,     i->data,  row->same };
	const int64_t numbers[] = { i->seq,
				    row->key,
				    i->state,
				    i->usable,
				    i->rev,
				    i->op,
				    i->n_bindings,
				    i->n_binding_ops,
				    row->orphan,
				    (int64_t)i->created,
				    (int64_t)i->changed };
	size_t k;

	for (k = 0; k < ARRAY_LEN(texts); k++)
		put_str(out, texts[k]);
	for (k = 0; k < ARRAY_LEN(numbers); k++)
		put_int(out, numbers[k]);
}

static void write_binding(struct buf *out, const struct row_binding *row)
{
	const struct store_binding *b = &row->b;
	const struct str texts[] = { b->id, b->predecessor, b->data, row->same };
	const int64_t numbers[] = { b->seq,
				    row->key,
				    b->instance,
				    b->state,
				    b->rev,
				    b->op,
				    row->orphan,
				    (int64_t)row->due,
				    (int64_t)b->expires_at,
				    (int64_t)b->renew_before,
				    (int64_t)b->created,
				    (int64_t)b->changed };
	size_t k;

	for (k = 0; k < ARRAY_LEN(texts); k++)
		put_str(out, texts[k]);
	for (k = 0; k < ARRAY_LEN(numbers); k++)
		put_int(out, numbers[k]);
}

static void write_op(struct buf *out, struct row_op *row)
{
	struct store_op *o = &row->o;
	const struct str texts[] = { str_of(o->id), o->service, o->plan_id,     o->step,  o->memo,
				     o->request,    o->error,   o->description, row->same };
	const int64_t numbers[] = { o->verb,
				    o->result,
				    o->instance,
				    o->binding,
				    o->after,
				    o->back,
				    o->halted,
				    row->old,
				    o->fence,
				    o->claims,
				    (int64_t)o->created,
				    (int64_t)o->began,
				    (int64_t)o->step_began,
				    (int64_t)o->deadline,
				    (int64_t)o->ended,
				    o->before,
				    o->http_status,
				    o->flags };
	size_t k;

	put_down(o);
	put_int(out, o->state);
	for (k = 0; k < ARRAY_LEN(texts); k++)
		put_str(out, texts[k]);
	for (k = 0; k < ARRAY_LEN(numbers); k++)
		put_int(out, numbers[k]);
}

void tx_copied_write(enum table table, struct tx_copied *row, struct buf *out)
{
	switch (table) {
	case TABLE_INSTANCE:
		write_instance(out, &row->instance);
		break;
	case TABLE_BINDING:
		write_binding(out, &row->binding);
		break;
	case TABLE_OP:
		write_op(out, &row->op);
		break;
	case TABLES:
		break;
	}
}
