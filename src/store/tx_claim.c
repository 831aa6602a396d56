/* claim and get. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tx.h"

#include <stdlib.h>

/* -- claim ------------------------------------------------------------------------------ */

struct pick {
	int64_t seq;
	size_t want;
};

struct picks {
	struct pick *all;
	size_t n, size;
	bool cut; /* there are more than were asked for */
};

static void add_pick(struct arena *arena, struct picks *picks, int64_t seq, size_t want)
{
	if (picks->n == picks->size) {
		size_t size = picks->size ? picks->size * 2 : 32;
		struct pick *all = arena_alloc(arena, size * sizeof(*all));

		if (picks->n > 0)
			memcpy(all, picks->all, picks->n * sizeof(*all));
		picks->all = all;
		picks->size = size;
	}
	picks->all[picks->n++] = (struct pick){ seq, want };
}

static int older(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The oldest waiting ops of each wanted service, extra beyond its slots, oldest first. */
static int find_picks(struct db *s, const struct store_claim *c, uint64_t extra,
		      struct picks *picks)
{
	bool missed = false;
	size_t i;

	memset(picks, 0, sizeof(*picks));
	for (i = 0; i < c->n_wants; i++) {
		struct db_stmt *stmt = db_stmt(s, Q_WAITING);
		uint64_t left = (c->wants[i].slots < c->max ? c->wants[i].slots : c->max) + extra;
		int rc = 0;

		if (!stmt)
			return ERR_STORE;
		if (c->wants[i].slots == 0)
			continue;
		db_bind(stmt, 1, c->wants[i].service);
		db_bind_int(stmt, 2, (int64_t)left);
		while (left > 0 && (rc = db_row(s, stmt)) == 1) {
			add_pick(&s->arena, picks, db_int(stmt, 0), i);
			left--;
		}
		db_reset(stmt);
		if (rc == DB_MISS)
			missed = true;
		else if (rc < 0)
			return rc;
		picks->cut = picks->cut || left == 0;
	}
	if (picks->n > 0)
		qsort(picks->all, picks->n, sizeof(*picks->all), older);
	return missed ? DB_MISS : 0;
}

struct chosen {
	struct row_op op;
	struct row_instance instance;
	struct row_binding binding;
	int status;
};

static int read_chosen(struct db *s, struct arena *arena, int64_t seq, struct chosen *x)
{
	int rc = row_op_get(s, arena, seq, &x->op), other = 0;

	memset(&x->binding, 0, sizeof(x->binding));
	if (rc != 0)
		return rc;
	rc = row_instance_get(s, arena, x->op.o.instance, &x->instance);
	if (x->op.o.binding && (rc == 0 || rc == DB_MISS)) /* both are asked for at once */
		other = row_binding_get(s, arena, x->op.o.binding, &x->binding);
	if (rc != 0 || other != 0)
		return rc != 0 ? rc : other;
	x->status = row_op_open(s, arena, &x->op);
	if (x->status == 0)
		x->status = row_instance_open(s, arena, &x->instance);
	if (x->status == 0 && x->op.o.binding)
		x->status = row_binding_open(s, arena, &x->binding);
	return 0;
}

/* Reads the ops to be claimed. Those that cannot be run here take no slot, so that they stand in
 * nobody's way; *starved: because of them there may be more to be had. */
static int choose(struct db *s, struct store_claim *c, const struct picks *picks,
		  struct chosen *chosen, size_t *n, bool *starved)
{
	uint32_t *slots = arena_alloc(&s->arena, (c->n_wants + 1) * sizeof(*slots));
	uint32_t good = 0, bad = 0;
	bool missed = false;
	size_t i;

	*n = 0;
	for (i = 0; i < c->n_wants; i++)
		slots[i] = c->wants[i].slots;
	for (i = 0; i < picks->n && good < c->max; i++) {
		const struct pick *pick = &picks->all[i];
		int rc;

		if (slots[pick->want] == 0 || (i > 0 && picks->all[i - 1].seq == pick->seq))
			continue;
		rc = read_chosen(s, c->arena, pick->seq, &chosen[*n]);
		if (rc != 0 && rc != DB_MISS)
			return rc;
		if (rc == DB_MISS) { /* the others are asked for with it */
			missed = true;
			slots[pick->want]--;
			good++;
			continue;
		}
		if (c->knows && !c->knows(c->knows_data, &chosen[*n].op.o, &chosen[*n].instance.i))
			chosen[*n].status = ERR_NOENT;
		if (chosen[(*n)++].status == 0) {
			slots[pick->want]--;
			good++;
		} else {
			bad++;
		}
	}
	*starved = picks->cut && bad > 0 && good < c->max;
	return missed ? DB_MISS : 0;
}

static int take(struct db *s, struct store_claim *c, struct chosen *x)
{
	uint64_t now = store_now(&s->store);
	struct store_op *o = &x->op.o;

	o->state = STORE_OP_RUNNING;
	o->owner = arena_str(c->arena, c->owner);
	o->fence++;
	o->claims++;
	if (o->began == 0)
		o->began = now;
	if (o->step_began == 0)
		o->step_began = now;
	return row_op_put(s, &x->op);
}

static int claim(struct db *s, struct store_claim *c)
{
	struct chosen *chosen = NULL;
	struct picks picks;
	uint64_t extra = 0, waiting = 0;
	bool starved = true;
	size_t n = 0, i;
	int rc = 0;

	for (; rc == 0 && starved; extra = extra ? extra * 8 : 8) {
		rc = find_picks(s, c, extra, &picks);
		if (rc != 0)
			return rc;
		chosen = arena_alloc(&s->arena, (picks.n + 1) * sizeof(*chosen));
		rc = choose(s, c, &picks, chosen, &n, &starved);
	}
	if (rc == 0 && n > 0 && s->ops->lease)
		rc = s->ops->lease(s, c->owner);
	if (rc == 0 && n > 0)
		rc = db_writing(s);
	if (n > 0)
		c->ops = arena_alloc(c->arena, n * sizeof(*c->ops));
	for (i = 0; rc == 0 && i < n; i++) {
		if (chosen[i].status == 0)
			rc = take(s, c, &chosen[i]);
		c->ops[i] = (struct store_claimed){ chosen[i].op.o, chosen[i].instance.i,
						    chosen[i].binding.b, chosen[i].status };
	}
	c->n_ops = n;
	if (rc == 0)
		rc = s->ops->waiting(s, &waiting);
	c->waiting = (uint32_t)waiting;
	return rc;
}

int tx_claim(struct db *s, void *call)
{
	struct store_claim *c = call;

	c->ops = NULL;
	c->n_ops = 0;
	c->waiting = 0;
	return claim(s, c);
}

/* -- get -------------------------------------------------------------------------------- */

/* The op that is asked for, or the object's latest. */
static int get_op(struct db *s, const struct store_get *c, int64_t instance, int64_t binding,
		  int64_t latest, struct row_op *op)
{
	int64_t asked = c->operation.p ? row_op_seq(s, c->operation) : 0;
	int rc;

	if (asked != 0 && asked != latest) {
		rc = row_op_get(s, c->arena, asked, op);
		if (rc != 0 ||
		    (op->o.seq && op->o.instance == instance && op->o.binding == binding))
			return rc;
	}
	return row_op_get(s, c->arena, latest, op);
}

static int count_before(struct db *s, struct store_get *c)
{
	struct db_stmt *stmt = db_stmt(s, Q_WAITING_BEFORE);
	int rc;

	if (!stmt)
		return ERR_STORE;
	db_bind(stmt, 1, c->op.service);
	db_bind_int(stmt, 2, c->op.seq);
	rc = db_row(s, stmt);
	if (rc < 0)
		return rc;
	c->waiting_before = (uint32_t)db_int(stmt, 0);
	db_reset(stmt);
	return 0;
}

static int get(struct db *s, struct store_get *c)
{
	struct row_instance instance;
	struct row_binding binding = { 0 };
	struct row_op op = { 0 };
	int rc = row_instance_find(s, c->arena, c->platform, c->instance_id, &instance);

	if (rc == 0 && instance.i.seq && c->binding_id.p)
		rc = row_binding_find(s, c->arena, instance.i.seq, c->binding_id, &binding);
	if (rc == 0 && c->binding_id.p && binding.b.seq)
		rc = get_op(s, c, instance.i.seq, binding.b.seq, binding.b.op, &op);
	else if (rc == 0 && !c->binding_id.p && instance.i.seq)
		rc = get_op(s, c, instance.i.seq, 0, instance.i.op, &op);
	if (rc == 0 && !c->no_data && instance.i.seq)
		rc = row_instance_open(s, c->arena, &instance);
	if (rc == 0 && !c->no_data && binding.b.seq)
		rc = row_binding_open(s, c->arena, &binding);
	if (rc == 0 && !c->no_data && op.o.seq)
		rc = row_op_open(s, c->arena, &op);
	c->instance = instance.i;
	c->binding = binding.b;
	c->op = op.o;
	if (rc == 0 && op.o.seq && op.o.state == STORE_OP_WAITING)
		rc = count_before(s, c);
	return rc;
}

int tx_get(struct db *s, void *call)
{
	struct store_get *c = call;

	memset(&c->instance, 0, sizeof(c->instance));
	memset(&c->binding, 0, sizeof(c->binding));
	memset(&c->op, 0, sizeof(c->op));
	c->waiting_before = 0;
	return get(s, c);
}
