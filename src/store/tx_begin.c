/* begin: reads what there is, asks store_decide, and writes what it says. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tx.h"

/* The rows that a begin is about. */
struct rows {
	struct row_instance instance;
	struct row_binding binding, predecessor;
	struct row_op op; /* the latest of the object, read only when it may still run */
	struct row_op fresh;
};

static bool of_binding(const struct store_begin *c)
{
	return c->verb == STORE_BIND || c->verb == STORE_UNBIND || c->verb == STORE_EXPIRE;
}

static bool creates(const struct store_begin *c)
{
	return c->verb == STORE_PROVISION || c->verb == STORE_BIND;
}

static struct str keep(const struct store_begin *c, struct str value)
{
	return value.n ? arena_str(c->arena, value) : STR("");
}

static bool rests(enum store_state state)
{
	return state != STORE_CREATING && state != STORE_UPDATING && state != STORE_DELETING &&
	       state != STORE_EXPIRING;
}

static int read_rows(struct db *s, struct store_begin *c, struct rows *r)
{
	struct row_instance *instance = &r->instance;
	struct row_binding *binding = &r->binding;
	int rc = row_instance_find(s, c->arena, c->platform, c->instance_id, instance);

	if (rc == 0 && instance->i.seq && of_binding(c)) {
		rc = row_binding_find(s, c->arena, instance->i.seq, c->binding_id, binding);
		if (rc == 0 && c->verb == STORE_BIND && c->predecessor.n > 0)
			rc = row_binding_find(s, c->arena, instance->i.seq, c->predecessor,
					      &r->predecessor);
		if (rc == 0 && binding->b.seq && !rests(binding->b.state))
			rc = row_op_get(s, c->arena, binding->b.op, &r->op);
	} else if (rc == 0 && instance->i.seq && !of_binding(c) && !rests(instance->i.state)) {
		rc = row_op_get(s, c->arena, instance->i.op, &r->op);
	}
	return rc;
}

static enum store_begun decide(struct store_begin *c, struct rows *r, struct str same, uint64_t now,
			       enum store_state *state)
{
	struct store_facts facts = {
		.instance = &r->instance.i,
		.binding = &r->binding.b,
		.op = r->op.o.seq ? &r->op.o : NULL,
		.predecessor = r->predecessor.b.seq ? &r->predecessor.b : NULL,
		.same_object = str_eq(same, of_binding(c) ? r->binding.same : r->instance.same),
		.same_op = r->op.o.seq && r->op.o.verb == c->verb && str_eq(same, r->op.same),
		.now = now,
	};

	return store_decide(c, &facts, state);
}

/* Opens what the caller goes on with. An object that is deleted at once is not looked into. */
static int open_rows(struct db *s, struct store_begin *c, struct rows *r)
{
	int rc = 0;

	if (c->result != BEGUN_SAME_DONE && c->result != BEGUN_STARTED)
		return 0;
	if (c->result == BEGUN_STARTED &&
	    (c->verb == STORE_PROVISION ||
	     (c->at_once && c->verb != STORE_BIND && c->verb != STORE_UPDATE)))
		return 0;
	if (r->instance.i.seq)
		rc = row_instance_open(s, c->arena, &r->instance);
	if (rc == 0 && r->binding.b.seq && !(c->result == BEGUN_STARTED && c->verb == STORE_BIND))
		rc = row_binding_open(s, c->arena, &r->binding);
	return rc;
}

/* -- writing ---------------------------------------------------------------------------- */

static int fill_instance(struct db *s, struct store_begin *c, struct str same, uint64_t now,
			 struct row_instance *row)
{
	struct store_instance *i = &row->i;
	int rc = 0;

	if (i->seq == 0)
		rc = row_instance_new(s, keep(c, c->platform), keep(c, c->instance_id), row);
	if (rc != 0)
		return rc;
	i->service_id = keep(c, c->service_id);
	i->plan_id = keep(c, c->plan_id);
	i->organization = keep(c, c->organization);
	i->space = keep(c, c->space);
	i->maintenance = keep(c, c->maintenance);
	i->dashboard_url = i->metadata = STR("");
	i->n_bindings = 0;
	i->created = now;
	row->same = same;
	row_instance_set_data(row, keep(c, c->data));
	return 0;
}

static int fill_binding(struct db *s, struct store_begin *c, struct str same, uint64_t now,
			int64_t instance, struct row_binding *row)
{
	struct store_binding *b = &row->b;
	int rc = 0;

	if (b->seq == 0)
		rc = row_binding_new(s, instance, keep(c, c->binding_id), row);
	if (rc != 0)
		return rc;
	b->predecessor = keep(c, c->predecessor);
	b->expires_at = b->renew_before = row->due = 0;
	b->created = now;
	row->same = same;
	row_binding_set_data(row, keep(c, c->data));
	return 0;
}

static int fill_op(struct db *s, struct store_begin *c, struct str same, uint64_t now,
		   const struct rows *r, struct row_op *op)
{
	struct store_op *o = &op->o;
	int rc = row_op_new(s, op);

	if (rc != 0)
		return rc;
	o->verb = c->verb;
	o->instance = r->instance.i.seq;
	o->binding = of_binding(c) ? r->binding.b.seq : 0;
	o->service = keep(c, c->service);
	o->plan_id = c->plan_id.n ? keep(c, c->plan_id) : r->instance.i.plan_id;
	o->created = now;
	o->deadline = c->deadline;
	o->step = o->memo = o->owner = o->error = o->description = STR("");
	row_op_set_request(op, keep(c, c->request));
	if (c->verb == STORE_UPDATE)
		op->same = same; /* of the others, the object's tells */
	if (c->result == BEGUN_HALTING) {
		o->state = STORE_OP_FOLLOWING;
		o->after = r->op.o.seq;
	} else if (c->owner.n > 0 && !c->at_once) {
		o->state = STORE_OP_RUNNING;
		o->owner = keep(c, c->owner);
		o->fence = o->claims = 1;
		o->began = o->step_began = now;
	} else if (c->at_once) {
		o->began = o->step_began = now;
	}
	return 0;
}

/* The object becomes the new op's; returns the seq of the op that it had before. */
static int64_t take_object(struct store_begin *c, struct rows *r, enum store_state state,
			   uint64_t now)
{
	int64_t old;

	if (of_binding(c)) {
		struct row_binding *row = &r->binding;

		old = row->b.op;
		r->fresh.o.before = row->b.state;
		row->b.state = state;
		row->b.op = r->fresh.o.seq;
		row->b.rev++;
		row->b.changed = now;
		row->orphan = false;
	} else {
		struct row_instance *row = &r->instance;

		old = row->i.op;
		r->fresh.o.before = row->i.state;
		row->i.state = state;
		row->i.op = r->fresh.o.seq;
		row->i.rev++;
		row->i.changed = now;
		row->orphan = false;
		if (c->verb == STORE_PROVISION)
			row->i.usable = false;
	}
	return old;
}

static int put_old(struct db *s, int64_t seq)
{
	struct db_stmt *stmt = db_stmt(s, Q_OP_OLD);

	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, seq);
	return db_run(s, stmt);
}

/* The way of a delete that finds the create still running: that is told to go back. */
static int put_halted(struct db *s, struct store_begin *c, struct rows *r)
{
	r->op.o.halted = true;
	r->op.old = true;
	c->halted = r->op.o;
	return row_op_put(s, &r->op);
}

static int put_rows(struct db *s, struct store_begin *c, struct rows *r, int64_t old)
{
	bool counts = of_binding(c) && c->result != BEGUN_HALTING;
	int rc = 0;

	if (c->result == BEGUN_HALTING)
		rc = put_halted(s, c, r);
	else if (old != 0)
		rc = put_old(s, old);
	if (rc == 0)
		rc = row_op_put(s, &r->fresh);
	if (rc == 0 && of_binding(c))
		rc = row_binding_put(s, &r->binding);
	if (rc == 0 && counts)
		rc = row_instance_put_counts(s, &r->instance);
	if (rc == 0 && !of_binding(c))
		rc = row_instance_put(s, &r->instance);
	if (rc == 0 && !of_binding(c) && r->instance.i.state == STORE_GONE)
		rc = end_bindings(s, &r->instance);
	return rc;
}

static int write_rows(struct db *s, struct store_begin *c, struct rows *r, struct str same,
		      uint64_t now, enum store_state state)
{
	static const struct store_end nothing_to_do = { .result = STORE_SUCCEEDED };
	const struct store_end *end = NULL;
	int64_t old;
	int rc;

	if (s->ops->lease && c->owner.n > 0 && !c->at_once && c->result == BEGUN_STARTED) {
		rc = s->ops->lease(s, c->owner);
		if (rc != 0)
			return rc == ERR_STALE ? ERR_STORE : rc;
	}
	rc = db_writing(s);
	if (rc != 0)
		return rc;
	if (c->result == BEGUN_ENDED)
		end = &nothing_to_do;
	else if (c->result == BEGUN_STARTED)
		end = c->at_once;
	if (c->verb == STORE_PROVISION)
		rc = fill_instance(s, c, same, now, &r->instance);
	else if (c->verb == STORE_BIND)
		rc = fill_binding(s, c, same, now, r->instance.i.seq, &r->binding);
	if (rc == 0)
		rc = fill_op(s, c, same, now, r, &r->fresh);
	if (rc != 0)
		return rc;
	old = take_object(c, r, state, now);
	if (of_binding(c) && c->result != BEGUN_HALTING)
		r->instance.i.n_binding_ops++;
	if (end) {
		end_apply(s, c->arena, end, true, &r->fresh, &r->instance, &r->binding);
		c->result = BEGUN_ENDED;
	}
	return put_rows(s, c, r, old);
}

/* May the op begin to wait for a slot? */
static int check_room(struct db *s, struct store_begin *c)
{
	uint64_t waiting;
	int rc;

	if (c->result != BEGUN_STARTED || c->at_once || c->owner.n > 0)
		return 0;
	rc = s->ops->waiting(s, &waiting);
	if (rc == 0 && waiting >= c->max_waiting)
		c->result = BEGUN_FULL;
	return rc;
}

static int begin(struct db *s, struct store_begin *c)
{
	uint64_t now = store_now(&s->store);
	struct str same = { NULL, 0 };
	struct rows r = { 0 };
	enum store_state state;
	int rc = read_rows(s, c, &r);

	if (rc != 0)
		return rc;
	if (creates(c) || c->verb == STORE_UPDATE)
		same = row_digest(s, c->arena, c->same);
	c->result = decide(c, &r, same, now, &state);
	rc = open_rows(s, c, &r);
	if (rc == 0)
		rc = check_room(s, c);
	if (rc != 0)
		return rc;
	if (c->result == BEGUN_FULL)
		state = STORE_NONE;
	if (state != STORE_NONE) {
		rc = write_rows(s, c, &r, same, now, state);
		c->op = r.fresh.o;
	} else {
		c->op = r.op.o;
	}
	c->instance = r.instance.i;
	c->binding = r.binding.b;
	return rc;
}

int tx_begin(struct db *s, void *call)
{
	struct store_begin *c = call;

	memset(&c->op, 0, sizeof(c->op));
	memset(&c->instance, 0, sizeof(c->instance));
	memset(&c->binding, 0, sizeof(c->binding));
	memset(&c->halted, 0, sizeof(c->halted));
	return begin(s, c);
}
