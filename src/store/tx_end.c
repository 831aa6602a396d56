/* Steps and ends. An end writes the op, its object, the instance's counts of bindings, and the
 * delete that waited for it, if there is one.
 *
 * n_bindings counts the bindings that were ready or half-made when their latest op began: all that
 * may exist for the backend, and that a deprovision would leave behind.
 *
 * n_binding_ops counts the ops of the instance's bindings that wait or run. A delete that follows
 * a halted create is not counted beside it; it takes its place when the create has ended and
 * something was left over. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tx.h"

#define EXPIRE_AGAIN MINUTES(1)

static bool of_binding(const struct row_op *op)
{
	return op->o.binding != 0;
}

/* The op if the caller still has it, else ERR_STALE. */
static int own(struct db *s, struct arena *arena, int64_t seq, int64_t fence, struct row_op *op)
{
	int rc = row_op_get(s, arena, seq, op);

	if (rc != 0)
		return rc;
	if (op->o.seq == 0 || op->o.fence != fence || op->o.state != STORE_OP_RUNNING)
		return ERR_STALE;
	return s->ops->lease ? s->ops->lease(s, op->o.owner) : 0;
}

/* -- step and release ------------------------------------------------------------------- */

static int step(struct db *s, struct store_step *c)
{
	struct row_op op;
	int rc = own(s, &s->arena, c->op, c->fence, &op);

	c->halted = false;
	if (rc != 0)
		return rc;
	rc = db_writing(s);
	if (rc != 0)
		return rc;
	op.o.step = c->step;
	op.o.back = c->back;
	if (c->memo.p)
		row_op_set_memo(&op, c->memo);
	if (c->description.p)
		op.o.description = c->description;
	if (c->new_step) {
		op.o.claims = 0;
		op.o.step_began = store_now(&s->store);
	}
	c->halted = op.o.halted;
	if (c->answers && s->ops->answered)
		s->ops->answered(s, c->op);
	return row_op_put(s, &op);
}

int tx_step(struct db *s, void *call)
{
	return step(s, call);
}

static int release(struct db *s, struct store_release *c)
{
	struct row_op op;
	int rc = own(s, &s->arena, c->op, c->fence, &op);

	if (rc != 0)
		return rc;
	rc = db_writing(s);
	if (rc != 0)
		return rc;
	op.o.state = STORE_OP_WAITING;
	op.o.owner = STR("");
	if (op.o.claims > 0)
		op.o.claims--; /* given back in order: no crash to be counted */
	return row_op_put(s, &op);
}

int tx_release(struct db *s, void *call)
{
	return release(s, call);
}

/* -- end -------------------------------------------------------------------------------- */

static void set(struct arena *arena, struct str *column, struct str value)
{
	if (value.p)
		*column = value.n ? arena_str(arena, value) : STR("");
}

static void end_op(struct arena *arena, const struct store_end *end, uint64_t now,
		   struct row_op *op)
{
	struct store_op *o = &op->o;

	o->state = STORE_OP_ENDED;
	o->result = end->result;
	o->flags = end->flags | (end->left_over ? (unsigned)STORE_LEFT_OVER : 0);
	o->http_status = end->http_status;
	set(arena, &o->error, end->error);
	set(arena, &o->description, end->description);
	o->ended = now;
	o->owner = o->step = STR("");
	o->after = 0;
	if (end->left_over)
		return; /* what is left may be told from these */
	row_op_set_memo(op, STR(""));
	row_op_set_request(op, STR(""));
}

static void end_instance(struct db *s, struct arena *arena, const struct store_end *end,
			 enum store_verb verb, struct row_instance *row)
{
	struct store_instance *i = &row->i;

	if (i->state == STORE_GONE) {
		row_instance_set_data(row, STR(""));
		i->n_bindings = 0;
		return;
	}
	if (end->data.p)
		row_instance_set_data(row, arena_str(arena, end->data));
	if (end->result != STORE_SUCCEEDED)
		return;
	set(arena, &i->maintenance, end->maintenance);
	set(arena, &i->dashboard_url, end->dashboard_url);
	set(arena, &i->metadata, end->metadata);
	if (verb != STORE_UPDATE)
		return;
	set(arena, &i->plan_id, end->plan_id);
	if (end->same.p)
		row->same = row_digest(s, arena, end->same);
}

static void count_binding(struct row_instance *instance, enum store_state from, enum store_state to)
{
	if (from == STORE_READY || from == STORE_DIRTY)
		instance->i.n_bindings--;
	if (to == STORE_READY || to == STORE_DIRTY)
		instance->i.n_bindings++;
}

static void end_binding(struct arena *arena, const struct store_end *end, uint64_t now,
			const struct store_op *op, struct row_instance *instance,
			struct row_binding *row)
{
	struct store_binding *b = &row->b;
	bool ok = end->result == STORE_SUCCEEDED;

	if (b->state == STORE_GONE)
		row_binding_set_data(row, STR(""));
	else if (end->data.p)
		row_binding_set_data(row, arena_str(arena, end->data));
	if (op->verb == STORE_BIND && ok) {
		b->expires_at = row->due = end->expires_at;
		b->renew_before = end->renew_before;
	} else if (op->verb == STORE_EXPIRE && !ok) {
		row->due = now + EXPIRE_AGAIN;
	}
	count_binding(instance, op->before, b->state);
}

void end_apply(struct db *s, struct arena *arena, const struct store_end *end, bool object,
	       struct row_op *op, struct row_instance *instance, struct row_binding *binding)
{
	uint64_t now = store_now(&s->store);
	bool usable, failed = end->result != STORE_SUCCEEDED;
	enum store_state state = store_finish(&op->o, end, &usable);

	if (object && of_binding(op)) {
		binding->b.state = state;
		binding->b.rev++;
		binding->b.changed = now;
		binding->orphan = state == STORE_DIRTY || (op->o.verb == STORE_UNBIND && failed);
		end_binding(arena, end, now, &op->o, instance, binding);
	} else if (object) {
		instance->i.state = state;
		instance->i.usable = usable;
		instance->i.rev++;
		instance->i.changed = now;
		instance->orphan =
			state == STORE_DIRTY || (op->o.verb == STORE_DEPROVISION && failed);
		end_instance(s, arena, end, op->o.verb, instance);
	}
	end_op(arena, end, now, op);
	if (of_binding(op))
		instance->i.n_binding_ops--;
}

int end_bindings(struct db *s, struct row_instance *instance)
{
	struct db_stmt *left = db_stmt(s, Q_BINDINGS_LEFT), *gone = db_stmt(s, Q_BINDINGS_GONE);
	uint64_t n;
	int rc;

	if (!left || !gone)
		return ERR_STORE;
	db_bind_int(left, 1, instance->i.seq);
	rc = db_row(s, left);
	if (rc < 0)
		return rc;
	n = rc == 1 ? (uint64_t)db_int(left, 0) : 0;
	db_reset(left);
	db_bind_int(gone, 1, instance->i.seq);
	db_bind_int(gone, 2, (int64_t)instance->i.changed);
	rc = db_run(s, gone);
	if (rc == 0)
		s->counts.bindings -= n;
	return rc;
}

/* The halted create has ended: the delete that waited for it either has nothing to do, and ends
 * with it, or begins now to wait for a slot. */
static void end_followed(struct db *s, const struct store_end *end, struct row_op *op,
			 struct row_op *follower, struct row_instance *instance,
			 struct row_binding *binding)
{
	static const struct store_end nothing_left = { .result = STORE_SUCCEEDED };
	enum store_state state = end->left_over ? STORE_DELETING : STORE_GONE;
	uint64_t now = store_now(&s->store);

	end_op(&s->arena, end, now, op);
	if (end->left_over) {
		follower->o.state = STORE_OP_WAITING;
		follower->o.after = 0;
		follower->o.before = STORE_DIRTY;
	} else {
		end_op(&s->arena, &nothing_left, now, follower);
	}
	if (of_binding(op)) {
		count_binding(instance, op->o.before, end->left_over ? STORE_DIRTY : STORE_GONE);
		binding->b.state = state;
		binding->b.rev++;
		binding->b.changed = now;
		if (state == STORE_GONE) {
			row_binding_set_data(binding, STR(""));
			instance->i.n_binding_ops--;
		} else if (end->data.p) {
			row_binding_set_data(binding, end->data);
		}
		return;
	}
	instance->i.state = state;
	instance->i.rev++;
	instance->i.changed = now;
	if (state == STORE_GONE)
		row_instance_set_data(instance, STR(""));
	else if (end->data.p)
		row_instance_set_data(instance, end->data);
}

static int put_all(struct db *s, struct row_op *op, struct row_op *follower, bool object,
		   struct row_instance *instance, struct row_binding *binding)
{
	int rc = row_op_put(s, op);

	if (rc == 0 && follower)
		rc = row_op_put(s, follower);
	if (rc == 0 && of_binding(op) && object)
		rc = row_binding_put(s, binding);
	if (rc == 0 && of_binding(op))
		rc = row_instance_put_counts(s, instance);
	else if (rc == 0 && object)
		rc = row_instance_put(s, instance);
	if (rc == 0 && object && !of_binding(op) && instance->i.state == STORE_GONE)
		rc = end_bindings(s, instance);
	return rc;
}

static int op_end(struct db *s, struct store_op_end *c)
{
	const struct store_end *end = &c->end;
	struct row_op op, follower = { 0 };
	struct row_instance instance = { 0 };
	struct row_binding binding = { 0 };
	enum store_state state;
	int64_t latest;
	bool object;
	int rc;

	c->halted = false;
	memset(&c->follower, 0, sizeof(c->follower));
	rc = own(s, &s->arena, end->op, end->fence, &op);
	if (rc != 0)
		return rc;
	if (op.o.halted && end->result == STORE_SUCCEEDED &&
	    (op.o.verb == STORE_PROVISION || op.o.verb == STORE_BIND)) {
		c->halted = true;
		return 0;
	}
	rc = row_instance_get(s, &s->arena, op.o.instance, &instance);
	if (of_binding(&op) && (rc == 0 || rc == DB_MISS)) { /* both are asked for at once */
		int other = row_binding_get(s, &s->arena, op.o.binding, &binding);

		rc = rc == 0 ? other : rc;
	}
	latest = of_binding(&op) ? binding.b.op : instance.i.op;
	state = of_binding(&op) ? binding.b.state : instance.i.state;
	if (rc == 0 && latest != op.o.seq)
		rc = row_op_get(s, c->arena, latest, &follower);
	if (rc == 0)
		rc = db_writing(s);
	if (rc != 0)
		return rc;
	if (follower.o.state == STORE_OP_FOLLOWING && follower.o.after == op.o.seq) {
		end_followed(s, end, &op, &follower, &instance, &binding);
		c->follower = follower.o;
		return put_all(s, &op, &follower, true, &instance, &binding);
	}
	/* an object that went with its instance, or began anew since, is not this op's to change */
	object = latest == op.o.seq && state != STORE_GONE && state != STORE_NONE;
	end_apply(s, &s->arena, end, object, &op, &instance, &binding);
	return put_all(s, &op, NULL, object, &instance, &binding);
}

int tx_end(struct db *s, void *call)
{
	return op_end(s, call);
}
