/* The decision table: what a verb may do to an object in each of its states. One function per
 * verb, one case per state, so that the table can be read beside the specification. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

static enum store_state state_of_instance(const struct store_instance *instance)
{
	return instance && instance->seq ? instance->state : STORE_NONE;
}

static enum store_state state_of_binding(const struct store_binding *binding)
{
	return binding && binding->seq ? binding->state : STORE_NONE;
}

/* Did the caller decide on a row that has changed since it read it? rev 0: there is no row. */
static bool changed(const struct store_begin *want, int64_t rev)
{
	return want->rev != 0 && rev != 0 && want->rev != rev;
}

static enum store_begun decide_provision(const struct store_begin *want,
					 const struct store_facts *facts, enum store_state *state)
{
	(void)want;
	switch (state_of_instance(facts->instance)) {
	case STORE_NONE:
	case STORE_GONE:
	case STORE_FAILED:
	case STORE_DIRTY:
		*state = STORE_CREATING;
		return BEGUN_STARTED;
	case STORE_CREATING:
		/* the latest op is the create, or the delete that waits for its way back */
		if (facts->op && (facts->op->halted || facts->op->verb != STORE_PROVISION))
			return BEGUN_CONCURRENCY;
		return facts->same_object ? BEGUN_SAME_RUNNING : BEGUN_CONFLICT;
	case STORE_READY:
		return facts->same_object ? BEGUN_SAME_DONE : BEGUN_CONFLICT;
	case STORE_UPDATING:
	case STORE_DELETING:
	case STORE_EXPIRING:
	case STORE_EXPIRED:
		break;
	}
	return BEGUN_CONCURRENCY;
}

static enum store_begun decide_update(const struct store_begin *want,
				      const struct store_facts *facts, enum store_state *state)
{
	switch (state_of_instance(facts->instance)) {
	case STORE_NONE:
	case STORE_GONE:
	case STORE_FAILED:
	case STORE_DIRTY:
		return BEGUN_NOT_FOUND;
	case STORE_UPDATING:
		return facts->same_op ? BEGUN_SAME_RUNNING : BEGUN_CONCURRENCY;
	case STORE_READY:
		if (changed(want, facts->instance->rev))
			return BEGUN_CHANGED;
		if (facts->instance->n_binding_ops > 0)
			return BEGUN_CONCURRENCY;
		*state = STORE_UPDATING;
		return BEGUN_STARTED;
	case STORE_CREATING:
	case STORE_DELETING:
	case STORE_EXPIRING:
	case STORE_EXPIRED:
		break;
	}
	return BEGUN_CONCURRENCY;
}

/* A delete that finds its object still being made. */
static enum store_begun halt(const struct store_begin *want, const struct store_facts *facts,
			     enum store_state *state)
{
	if (facts->op && facts->op->verb == want->verb)
		return BEGUN_SAME_RUNNING; /* it follows the create already */
	if (!want->can_halt)
		return BEGUN_CONCURRENCY;
	*state = STORE_CREATING;
	return BEGUN_HALTING;
}

static enum store_begun decide_deprovision(const struct store_begin *want,
					   const struct store_facts *facts, enum store_state *state)
{
	switch (state_of_instance(facts->instance)) {
	case STORE_NONE:
	case STORE_GONE:
		return BEGUN_GONE;
	case STORE_FAILED:
		*state = STORE_GONE;
		return BEGUN_ENDED;
	case STORE_DIRTY:
		*state = STORE_DELETING;
		return BEGUN_STARTED;
	case STORE_CREATING:
		return halt(want, facts, state);
	case STORE_DELETING:
		return BEGUN_SAME_RUNNING;
	case STORE_READY:
		if (changed(want, facts->instance->rev))
			return BEGUN_CHANGED;
		if (facts->instance->n_binding_ops > 0)
			return BEGUN_CONCURRENCY;
		if (facts->instance->n_bindings > 0 && !want->ignore_bindings)
			return BEGUN_HAS_BINDINGS;
		*state = STORE_DELETING;
		return BEGUN_STARTED;
	case STORE_UPDATING:
	case STORE_EXPIRING:
	case STORE_EXPIRED:
		break;
	}
	return BEGUN_CONCURRENCY;
}

static bool predecessor_lives(const struct store_facts *facts)
{
	const struct store_binding *old = facts->predecessor;

	return state_of_binding(old) == STORE_READY && old->instance == facts->instance->seq &&
	       (old->expires_at == 0 || old->expires_at > facts->now);
}

static enum store_begun decide_bind(const struct store_begin *want, const struct store_facts *facts,
				    enum store_state *state)
{
	switch (state_of_instance(facts->instance)) {
	case STORE_NONE:
	case STORE_GONE:
	case STORE_FAILED:
	case STORE_DIRTY:
		return BEGUN_NOT_FOUND;
	case STORE_CREATING:
	case STORE_UPDATING:
	case STORE_DELETING:
	case STORE_EXPIRING:
	case STORE_EXPIRED:
		if (state_of_binding(facts->binding) != STORE_READY)
			return BEGUN_CONCURRENCY;
		return facts->same_object ? BEGUN_SAME_DONE : BEGUN_CONFLICT;
	case STORE_READY:
		break;
	}
	switch (state_of_binding(facts->binding)) {
	case STORE_NONE:
	case STORE_GONE:
	case STORE_FAILED:
	case STORE_DIRTY:
		if (want->predecessor.n > 0 && !predecessor_lives(facts))
			return BEGUN_PREDECESSOR;
		*state = STORE_CREATING;
		return BEGUN_STARTED;
	case STORE_CREATING:
		if (facts->op && (facts->op->halted || facts->op->verb != STORE_BIND))
			return BEGUN_CONCURRENCY;
		return facts->same_object ? BEGUN_SAME_RUNNING : BEGUN_CONFLICT;
	case STORE_READY:
		return facts->same_object ? BEGUN_SAME_DONE : BEGUN_CONFLICT;
	case STORE_EXPIRED:
		return BEGUN_CONFLICT;
	case STORE_UPDATING:
	case STORE_DELETING:
	case STORE_EXPIRING:
		break;
	}
	return BEGUN_CONCURRENCY;
}

static enum store_begun decide_unbind(const struct store_begin *want,
				      const struct store_facts *facts, enum store_state *state)
{
	enum store_state instance = state_of_instance(facts->instance);

	if (instance == STORE_NONE)
		return BEGUN_GONE;
	switch (state_of_binding(facts->binding)) {
	case STORE_NONE:
	case STORE_GONE:
		return BEGUN_GONE;
	case STORE_CREATING:
		return halt(want, facts, state);
	case STORE_DELETING:
		return BEGUN_SAME_RUNNING;
	case STORE_FAILED:
	case STORE_EXPIRED:
		*state = STORE_GONE;
		return BEGUN_ENDED;
	case STORE_READY:
	case STORE_DIRTY:
		if (instance != STORE_READY &&
		    !(instance == STORE_DELETING && want->while_deleting))
			return BEGUN_CONCURRENCY;
		*state = STORE_DELETING;
		return BEGUN_STARTED;
	case STORE_UPDATING:
	case STORE_EXPIRING:
		break;
	}
	return BEGUN_CONCURRENCY;
}

static enum store_begun decide_expire(const struct store_facts *facts, enum store_state *state)
{
	const struct store_binding *binding = facts->binding;
	enum store_state has = state_of_binding(binding);

	if (has == STORE_NONE || has == STORE_GONE)
		return BEGUN_GONE;
	if (has != STORE_READY || binding->expires_at == 0 || binding->expires_at > facts->now ||
	    state_of_instance(facts->instance) != STORE_READY)
		return BEGUN_CONCURRENCY;
	*state = STORE_EXPIRING;
	return BEGUN_STARTED;
}

enum store_begun store_decide(const struct store_begin *want, const struct store_facts *facts,
			      enum store_state *state)
{
	enum store_begun begun = BEGUN_CONCURRENCY;
	int64_t rev = facts->instance && facts->instance->seq ? facts->instance->rev : 0;

	*state = STORE_NONE;
	switch (want->verb) {
	case STORE_PROVISION:
		begun = decide_provision(want, facts, state);
		break;
	case STORE_UPDATE:
		begun = decide_update(want, facts, state);
		break;
	case STORE_DEPROVISION:
		begun = decide_deprovision(want, facts, state);
		break;
	case STORE_BIND:
		begun = decide_bind(want, facts, state);
		break;
	case STORE_UNBIND:
		begun = decide_unbind(want, facts, state);
		break;
	case STORE_EXPIRE:
		begun = decide_expire(facts, state);
		break;
	case STORE_VERBS:
		break;
	}
	if (want->verb == STORE_UNBIND || want->verb == STORE_EXPIRE)
		rev = facts->binding && facts->binding->seq ? facts->binding->rev : 0;
	if (*state != STORE_NONE && changed(want, rev)) {
		*state = STORE_NONE;
		return BEGUN_CHANGED;
	}
	return begun;
}

enum store_state store_finish(const struct store_op *op, const struct store_end *end, bool *usable)
{
	bool ok = end->result == STORE_SUCCEEDED;
	enum store_state failed_create = end->left_over ? STORE_DIRTY : STORE_FAILED;
	enum store_state state = STORE_READY;

	switch (op->verb) {
	case STORE_PROVISION:
	case STORE_BIND:
		state = ok ? STORE_READY : failed_create;
		break;
	case STORE_UPDATE:
		break;
	case STORE_DEPROVISION:
		state = ok ? STORE_GONE : op->before == STORE_DIRTY ? STORE_DIRTY : STORE_READY;
		break;
	case STORE_UNBIND:
		state = ok ? STORE_GONE : op->before;
		break;
	case STORE_EXPIRE:
		state = ok ? STORE_EXPIRED : STORE_READY;
		break;
	case STORE_VERBS:
		break;
	}
	*usable = state == STORE_READY && (ok || !(end->flags & STORE_UNUSABLE));
	return state;
}

void store_renew(struct store *s, struct store_renew *c)
{
	c->lost = c->keys_changed = false;
	c->nodes = 1;
	c->others = 0;
	c->waiting = 0;
	c->halted = NULL;
	c->n_halted = 0;
	if (s->type->renew) {
		s->type->renew(s, c);
		return;
	}
	call_begin(&c->call, NULL);
	call_end_soon(s->loop, &c->call, 0);
}

void store_leave(struct store *s, struct store_leave *c)
{
	if (s->type->leave) {
		s->type->leave(s, c);
		return;
	}
	call_begin(&c->call, NULL);
	call_end_soon(s->loop, &c->call, 0);
}

const char *store_verb_name(enum store_verb verb)
{
	static const char *const names[] = {
		[STORE_PROVISION] = "provision",     [STORE_UPDATE] = "update",
		[STORE_DEPROVISION] = "deprovision", [STORE_BIND] = "bind",
		[STORE_UNBIND] = "unbind",           [STORE_EXPIRE] = "expire",
	};

	return (size_t)verb < ARRAY_LEN(names) ? names[verb] : "unknown";
}

const char *store_state_name(enum store_state state)
{
	static const char *const names[] = {
		[STORE_NONE] = "none",         [STORE_CREATING] = "creating",
		[STORE_READY] = "ready",       [STORE_UPDATING] = "updating",
		[STORE_DELETING] = "deleting", [STORE_FAILED] = "failed",
		[STORE_DIRTY] = "dirty",       [STORE_EXPIRING] = "expiring",
		[STORE_EXPIRED] = "expired",   [STORE_GONE] = "gone",
	};

	return (size_t)state < ARRAY_LEN(names) ? names[state] : "unknown";
}
