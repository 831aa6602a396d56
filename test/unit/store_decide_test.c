/* The decision table, cell by cell. A row of the tables below is one line of it; what a row does
 * not name must not matter, so each is tried with every value of what it leaves open. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#define NOW 1000000

enum {
	SAME = 1,       /* the digests are equal */
	HALTED = 2,     /* the create was told to go back */
	FOLLOWED = 4,   /* and a delete waits for it */
	CAN_HALT = 8,   /* the request may halt */
	BOUND = 16,     /* n_bindings > 0 */
	BINDING = 32,   /* n_binding_ops > 0 */
	IGNORE = 64,    /* ignore_bindings */
	CHANGED = 128,  /* rev given, and another */
	DELETING = 256, /* while_deleting */
	EXPIRED = 512,  /* expires_at has come */
	PRED_BAD = 1024,
	PRED_OK = 2048,
};

struct cell {
	enum store_verb verb;
	enum store_state instance, binding;
	unsigned flags, any; /* flags that are set; those that do not matter */
	enum store_begun begun;
	enum store_state state;
};

#define ALL 0xfff
static const struct cell cells[] = {
	{ STORE_PROVISION, STORE_NONE, 0, 0, ALL & ~CHANGED, BEGUN_STARTED, STORE_CREATING },
	{ STORE_PROVISION, STORE_GONE, 0, 0, ALL & ~CHANGED, BEGUN_STARTED, STORE_CREATING },
	{ STORE_PROVISION, STORE_FAILED, 0, 0, ALL & ~CHANGED, BEGUN_STARTED, STORE_CREATING },
	{ STORE_PROVISION, STORE_DIRTY, 0, 0, ALL & ~CHANGED, BEGUN_STARTED, STORE_CREATING },
	{ STORE_PROVISION, STORE_CREATING, 0, 0, ALL & ~(SAME | HALTED | FOLLOWED), BEGUN_CONFLICT,
	  0 },
	{ STORE_PROVISION, STORE_CREATING, 0, SAME, ALL & ~(SAME | HALTED | FOLLOWED),
	  BEGUN_SAME_RUNNING, 0 },
	{ STORE_PROVISION, STORE_CREATING, 0, HALTED, ALL & ~HALTED, BEGUN_CONCURRENCY, 0 },
	{ STORE_PROVISION, STORE_CREATING, 0, FOLLOWED, ALL & ~FOLLOWED, BEGUN_CONCURRENCY, 0 },
	{ STORE_PROVISION, STORE_READY, 0, 0, ALL & ~SAME, BEGUN_CONFLICT, 0 },
	{ STORE_PROVISION, STORE_READY, 0, SAME, ALL & ~SAME, BEGUN_SAME_DONE, 0 },
	{ STORE_PROVISION, STORE_UPDATING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_PROVISION, STORE_DELETING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },

	{ STORE_UPDATE, STORE_NONE, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_UPDATE, STORE_GONE, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_UPDATE, STORE_FAILED, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_UPDATE, STORE_DIRTY, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_UPDATE, STORE_CREATING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_UPDATE, STORE_DELETING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_UPDATE, STORE_UPDATING, 0, 0, ALL & ~SAME, BEGUN_CONCURRENCY, 0 },
	{ STORE_UPDATE, STORE_UPDATING, 0, SAME, ALL & ~SAME, BEGUN_SAME_RUNNING, 0 },
	{ STORE_UPDATE, STORE_READY, 0, CHANGED, ALL & ~CHANGED, BEGUN_CHANGED, 0 },
	{ STORE_UPDATE, STORE_READY, 0, BINDING, ALL & ~(CHANGED | BINDING), BEGUN_CONCURRENCY, 0 },
	{ STORE_UPDATE, STORE_READY, 0, 0, ALL & ~(CHANGED | BINDING), BEGUN_STARTED,
	  STORE_UPDATING },

	{ STORE_DEPROVISION, STORE_NONE, 0, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_DEPROVISION, STORE_GONE, 0, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_DEPROVISION, STORE_FAILED, 0, 0, ALL & ~CHANGED, BEGUN_ENDED, STORE_GONE },
	{ STORE_DEPROVISION, STORE_FAILED, 0, CHANGED, ALL & ~CHANGED, BEGUN_CHANGED, 0 },
	{ STORE_DEPROVISION, STORE_DIRTY, 0, 0, ALL & ~CHANGED, BEGUN_STARTED, STORE_DELETING },
	{ STORE_DEPROVISION, STORE_CREATING, 0, FOLLOWED, ALL & ~FOLLOWED, BEGUN_SAME_RUNNING, 0 },
	{ STORE_DEPROVISION, STORE_CREATING, 0, CAN_HALT, ALL & ~(FOLLOWED | CAN_HALT | CHANGED),
	  BEGUN_HALTING, STORE_CREATING },
	{ STORE_DEPROVISION, STORE_CREATING, 0, 0, ALL & ~(FOLLOWED | CAN_HALT), BEGUN_CONCURRENCY,
	  0 },
	{ STORE_DEPROVISION, STORE_UPDATING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_DEPROVISION, STORE_DELETING, 0, 0, ALL, BEGUN_SAME_RUNNING, 0 },
	{ STORE_DEPROVISION, STORE_READY, 0, CHANGED, ALL & ~CHANGED, BEGUN_CHANGED, 0 },
	{ STORE_DEPROVISION, STORE_READY, 0, BINDING, ALL & ~(CHANGED | BINDING), BEGUN_CONCURRENCY,
	  0 },
	{ STORE_DEPROVISION, STORE_READY, 0, BOUND, ALL & ~(CHANGED | BINDING | BOUND | IGNORE),
	  BEGUN_HAS_BINDINGS, 0 },
	{ STORE_DEPROVISION, STORE_READY, 0, BOUND | IGNORE,
	  ALL & ~(CHANGED | BINDING | BOUND | IGNORE), BEGUN_STARTED, STORE_DELETING },
	{ STORE_DEPROVISION, STORE_READY, 0, 0, ALL & ~(CHANGED | BINDING | BOUND), BEGUN_STARTED,
	  STORE_DELETING },

	{ STORE_BIND, STORE_NONE, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_BIND, STORE_GONE, STORE_GONE, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_BIND, STORE_FAILED, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_BIND, STORE_DIRTY, 0, 0, ALL, BEGUN_NOT_FOUND, 0 },
	{ STORE_BIND, STORE_CREATING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_UPDATING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_DELETING, 0, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_UPDATING, STORE_READY, SAME, ALL & ~SAME, BEGUN_SAME_DONE, 0 },
	{ STORE_BIND, STORE_UPDATING, STORE_READY, 0, ALL & ~SAME, BEGUN_CONFLICT, 0 },
	{ STORE_BIND, STORE_DELETING, STORE_READY, SAME, ALL & ~SAME, BEGUN_SAME_DONE, 0 },
	{ STORE_BIND, STORE_DELETING, STORE_READY, 0, ALL & ~SAME, BEGUN_CONFLICT, 0 },
	{ STORE_BIND, STORE_UPDATING, STORE_CREATING, SAME, ALL & ~SAME, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_READY, STORE_NONE, PRED_BAD, ALL & ~PRED_BAD, BEGUN_PREDECESSOR, 0 },
	{ STORE_BIND, STORE_READY, STORE_NONE, PRED_OK, ALL & ~(PRED_BAD | PRED_OK | CHANGED),
	  BEGUN_STARTED, STORE_CREATING },
	{ STORE_BIND, STORE_READY, STORE_NONE, 0, ALL & ~(PRED_BAD | PRED_OK | CHANGED),
	  BEGUN_STARTED, STORE_CREATING },
	{ STORE_BIND, STORE_READY, STORE_NONE, CHANGED, ALL & ~(PRED_BAD | PRED_OK | CHANGED),
	  BEGUN_CHANGED, 0 },
	{ STORE_BIND, STORE_READY, STORE_GONE, 0, ALL & ~(PRED_BAD | CHANGED), BEGUN_STARTED,
	  STORE_CREATING },
	{ STORE_BIND, STORE_READY, STORE_FAILED, 0, ALL & ~(PRED_BAD | CHANGED), BEGUN_STARTED,
	  STORE_CREATING },
	{ STORE_BIND, STORE_READY, STORE_DIRTY, 0, ALL & ~(PRED_BAD | CHANGED), BEGUN_STARTED,
	  STORE_CREATING },
	{ STORE_BIND, STORE_READY, STORE_CREATING, HALTED, ALL & ~HALTED, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_READY, STORE_CREATING, FOLLOWED, ALL & ~FOLLOWED, BEGUN_CONCURRENCY,
	  0 },
	{ STORE_BIND, STORE_READY, STORE_CREATING, SAME, ALL & ~(SAME | HALTED | FOLLOWED),
	  BEGUN_SAME_RUNNING, 0 },
	{ STORE_BIND, STORE_READY, STORE_CREATING, 0, ALL & ~(SAME | HALTED | FOLLOWED),
	  BEGUN_CONFLICT, 0 },
	{ STORE_BIND, STORE_READY, STORE_READY, SAME, ALL & ~SAME, BEGUN_SAME_DONE, 0 },
	{ STORE_BIND, STORE_READY, STORE_READY, 0, ALL & ~SAME, BEGUN_CONFLICT, 0 },
	{ STORE_BIND, STORE_READY, STORE_DELETING, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_READY, STORE_EXPIRING, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_BIND, STORE_READY, STORE_EXPIRED, 0, ALL, BEGUN_CONFLICT, 0 },

	{ STORE_UNBIND, STORE_NONE, 0, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_UNBIND, STORE_READY, STORE_NONE, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_UNBIND, STORE_UPDATING, STORE_GONE, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_UNBIND, STORE_READY, STORE_CREATING, FOLLOWED, ALL & ~FOLLOWED, BEGUN_SAME_RUNNING,
	  0 },
	{ STORE_UNBIND, STORE_READY, STORE_CREATING, CAN_HALT,
	  ALL & ~(FOLLOWED | CAN_HALT | CHANGED), BEGUN_HALTING, STORE_CREATING },
	{ STORE_UNBIND, STORE_READY, STORE_CREATING, 0, ALL & ~(FOLLOWED | CAN_HALT),
	  BEGUN_CONCURRENCY, 0 },
	{ STORE_UNBIND, STORE_READY, STORE_DELETING, 0, ALL, BEGUN_SAME_RUNNING, 0 },
	{ STORE_UNBIND, STORE_READY, STORE_EXPIRING, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_UNBIND, STORE_UPDATING, STORE_FAILED, 0, ALL & ~CHANGED, BEGUN_ENDED, STORE_GONE },
	{ STORE_UNBIND, STORE_UPDATING, STORE_EXPIRED, 0, ALL & ~CHANGED, BEGUN_ENDED, STORE_GONE },
	{ STORE_UNBIND, STORE_READY, STORE_READY, 0, ALL & ~CHANGED, BEGUN_STARTED,
	  STORE_DELETING },
	{ STORE_UNBIND, STORE_READY, STORE_READY, CHANGED, ALL & ~CHANGED, BEGUN_CHANGED, 0 },
	{ STORE_UNBIND, STORE_READY, STORE_DIRTY, 0, ALL & ~CHANGED, BEGUN_STARTED,
	  STORE_DELETING },
	{ STORE_UNBIND, STORE_UPDATING, STORE_READY, 0, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_UNBIND, STORE_DELETING, STORE_READY, 0, ALL & ~DELETING, BEGUN_CONCURRENCY, 0 },
	{ STORE_UNBIND, STORE_DELETING, STORE_READY, DELETING, ALL & ~(DELETING | CHANGED),
	  BEGUN_STARTED, STORE_DELETING },

	{ STORE_EXPIRE, STORE_NONE, 0, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_EXPIRE, STORE_READY, STORE_GONE, 0, ALL, BEGUN_GONE, 0 },
	{ STORE_EXPIRE, STORE_READY, STORE_READY, 0, ALL & ~EXPIRED, BEGUN_CONCURRENCY, 0 },
	{ STORE_EXPIRE, STORE_READY, STORE_READY, EXPIRED, ALL & ~(EXPIRED | CHANGED),
	  BEGUN_STARTED, STORE_EXPIRING },
	{ STORE_EXPIRE, STORE_UPDATING, STORE_READY, EXPIRED, ALL, BEGUN_CONCURRENCY, 0 },
	{ STORE_EXPIRE, STORE_READY, STORE_DELETING, EXPIRED, ALL, BEGUN_CONCURRENCY, 0 },
};

static void try_cell(const struct cell *cell, unsigned flags)
{
	bool of_binding = cell->verb >= STORE_BIND;
	struct store_instance instance = {
		.seq = cell->instance ? 5 : 0,
		.state = cell->instance,
		.rev = 4,
		.n_bindings = flags & BOUND ? 2 : 0,
		.n_binding_ops = flags & BINDING ? 1 : 0,
	};
	struct store_binding binding = {
		.seq = cell->binding ? 6 : 0,
		.instance = 5,
		.state = cell->binding,
		.rev = 4,
		.expires_at = flags & EXPIRED ? NOW : NOW + 1,
	};
	struct store_binding predecessor = { .seq = 7, .instance = 5, .state = STORE_READY };
	struct store_op op = {
		.seq = 9,
		.verb = of_binding ? STORE_BIND : STORE_PROVISION,
		.halted = flags & HALTED,
	};
	struct store_begin want = {
		.verb = cell->verb,
		.can_halt = flags & CAN_HALT,
		.ignore_bindings = flags & IGNORE,
		.while_deleting = flags & DELETING,
		.rev = flags & CHANGED ? 3 : 4,
	};
	struct store_facts facts = {
		.instance = &instance,
		.binding = &binding,
		.op = &op,
		.same_object = flags & SAME,
		.same_op = flags & SAME,
		.now = NOW,
	};
	enum store_state state = STORE_EXPIRED;
	enum store_begun begun;

	if (flags & FOLLOWED) {
		op.verb = of_binding ? STORE_UNBIND : STORE_DEPROVISION;
		op.halted = false;
	}
	if (flags & (PRED_OK | PRED_BAD)) {
		want.predecessor = STR("old");
		facts.predecessor = flags & PRED_BAD ? NULL : &predecessor;
	}
	begun = store_decide(&want, &facts, &state);
	if (begun != cell->begun || state != cell->state)
		fail_msg("%s, instance %s, binding %s, flags %#x: begun %d, not %d; state %s, not "
			 "%s",
			 store_verb_name(cell->verb), store_state_name(cell->instance),
			 store_state_name(cell->binding), flags, begun, cell->begun,
			 store_state_name(state), store_state_name(cell->state));
}

static void test_table(void **state)
{
	size_t i;
	unsigned bits;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cells); i++) {
		for (bits = 0; bits <= ALL; bits++)
			if ((bits & ~cells[i].any) == 0)
				try_cell(&cells[i], cells[i].flags | bits);
	}
}

static void test_predecessor(void **state)
{
	static const struct {
		struct store_binding old;
		enum store_begun begun;
	} rows[] = {
		{ { .seq = 7, .instance = 5, .state = STORE_READY }, BEGUN_STARTED },
		{ { .seq = 7, .instance = 5, .state = STORE_READY, .expires_at = NOW + 1 },
		  BEGUN_STARTED },
		{ { .seq = 7, .instance = 5, .state = STORE_READY, .expires_at = NOW },
		  BEGUN_PREDECESSOR },
		{ { .seq = 7, .instance = 4, .state = STORE_READY }, BEGUN_PREDECESSOR },
		{ { .seq = 7, .instance = 5, .state = STORE_EXPIRED }, BEGUN_PREDECESSOR },
		{ { .seq = 7, .instance = 5, .state = STORE_CREATING }, BEGUN_PREDECESSOR },
		{ { .seq = 0 }, BEGUN_PREDECESSOR },
	};
	struct store_instance instance = { .seq = 5, .state = STORE_READY };
	struct store_begin want = { .verb = STORE_BIND, .predecessor = STR("old") };
	enum store_state to;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct store_facts facts = { .instance = &instance,
					     .predecessor = &rows[i].old,
					     .now = NOW };

		assert_int_equal(store_decide(&want, &facts, &to), rows[i].begun);
	}
}

static void test_finish(void **state)
{
	static const struct {
		enum store_verb verb;
		enum store_state before;
		enum store_result result;
		bool left_over;
		unsigned flags;
		enum store_state after;
		bool usable;
	} rows[] = {
		{ STORE_PROVISION, 0, STORE_SUCCEEDED, false, 0, STORE_READY, true },
		{ STORE_PROVISION, 0, STORE_FAILED_RESULT, false, 0, STORE_FAILED, false },
		{ STORE_PROVISION, 0, STORE_FAILED_RESULT, true, 0, STORE_DIRTY, false },
		{ STORE_UPDATE, STORE_READY, STORE_SUCCEEDED, false, 0, STORE_READY, true },
		{ STORE_UPDATE, STORE_READY, STORE_FAILED_RESULT, false, 0, STORE_READY, true },
		{ STORE_UPDATE, STORE_READY, STORE_FAILED_RESULT, false, STORE_UNUSABLE,
		  STORE_READY, false },
		{ STORE_DEPROVISION, STORE_READY, STORE_SUCCEEDED, false, 0, STORE_GONE, false },
		{ STORE_DEPROVISION, STORE_READY, STORE_FAILED_RESULT, false, 0, STORE_READY,
		  true },
		{ STORE_DEPROVISION, STORE_READY, STORE_FAILED_RESULT, false, STORE_UNUSABLE,
		  STORE_READY, false },
		{ STORE_DEPROVISION, STORE_DIRTY, STORE_FAILED_RESULT, false, 0, STORE_DIRTY,
		  false },
		{ STORE_DEPROVISION, STORE_DIRTY, STORE_SUCCEEDED, false, 0, STORE_GONE, false },
		{ STORE_BIND, 0, STORE_SUCCEEDED, false, 0, STORE_READY, true },
		{ STORE_BIND, 0, STORE_FAILED_RESULT, false, 0, STORE_FAILED, false },
		{ STORE_BIND, 0, STORE_FAILED_RESULT, true, 0, STORE_DIRTY, false },
		{ STORE_UNBIND, STORE_READY, STORE_SUCCEEDED, false, 0, STORE_GONE, false },
		{ STORE_UNBIND, STORE_READY, STORE_FAILED_RESULT, false, 0, STORE_READY, true },
		{ STORE_UNBIND, STORE_DIRTY, STORE_FAILED_RESULT, false, 0, STORE_DIRTY, false },
		{ STORE_EXPIRE, STORE_READY, STORE_SUCCEEDED, false, 0, STORE_EXPIRED, false },
		{ STORE_EXPIRE, STORE_READY, STORE_FAILED_RESULT, false, 0, STORE_READY, true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct store_op op = { .verb = rows[i].verb, .before = rows[i].before };
		struct store_end end = { .result = rows[i].result,
					 .left_over = rows[i].left_over,
					 .flags = rows[i].flags };
		bool usable = !rows[i].usable;

		assert_int_equal(store_finish(&op, &end, &usable), rows[i].after);
		assert_int_equal(usable, rows[i].usable);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(store_verb_name(STORE_EXPIRE), "expire");
	assert_string_equal(store_state_name(STORE_GONE), "gone");
	assert_string_equal(store_verb_name(STORE_VERBS), "unknown");
	assert_string_equal(store_state_name((enum store_state)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_predecessor),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
