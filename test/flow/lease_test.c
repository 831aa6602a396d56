/* The journal's lease on a store that nodes share, in test time: the store is one in memory, and
 * the test says how renewals end. An operation is one call that takes as long as it is told. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/journal.h"
#include "store/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct world {
	struct loop loop;
	struct log log;
	struct store store;
	struct store *real;
	struct journal *journal;
	struct arena arena;
	struct journal_begin begin[4];
	int status[4];
	size_t n_begins, n_begun;
	/* the store */
	bool alone;
	bool away, lose; /* renewals: fail; say that the lease had ended, once */
	bool refuses;    /* they say so each time */
	int64_t halted;  /* renewals say that this op is */
	unsigned renewals, firsts, writes, leaves;
	uint64_t renewed; /* loop_now() of the latest renewal that went well */
	uint64_t changed; /* of the first that a new owner asked for */
	char owner[20];   /* of the latest */
	/* operations */
	uint64_t takes;
	unsigned asks, cancels, ended;
	/* what the journal told */
	unsigned lost, found;
	uint64_t lost_at;
	bool drained, closed, left_before_drained;
};

static struct world *world_of(struct store *store)
{
	return container_of(store, struct world, store);
}

/* -- a shared store ------------------------------------------------------------------------- */

#define FORWARD(verb, type, write)                                 \
	static void shared_##verb(struct store *s, struct type *c) \
	{                                                          \
		world_of(s)->writes += (write);                    \
		store_##verb(world_of(s)->real, c);                \
	}

FORWARD(begin, store_begin, 0)
FORWARD(claim, store_claim, 0)
FORWARD(step, store_step, 1)
FORWARD(end, store_op_end, 1)
FORWARD(release, store_release, 1)
FORWARD(get, store_get, 0)
FORWARD(purge, store_purge, 0)
FORWARD(reseal, store_reseal, 0)

static void shared_renew(struct store *store, struct store_renew *c)
{
	struct world *w = world_of(store);

	w->renewals++;
	w->firsts += c->first;
	if (!str_is(c->owner, w->owner)) {
		w->changed = loop_now(&w->loop);
		snprintf(w->owner, sizeof(w->owner), "%.*s", STR_ARG(c->owner));
	}
	assert_int_equal(c->lease, SEC(15));
	assert_true(w->renewals < 1000);
	c->lost = w->lose || w->refuses;
	c->nodes = w->alone ? 1 : 2;
	if (w->halted) {
		c->halted = &w->halted;
		c->n_halted = 1;
	}
	if (!w->away && !c->lost)
		w->renewed = loop_now(&w->loop);
	w->lose = false;
	call_begin(&c->call, NULL);
	call_end_soon(store->loop, &c->call, w->away ? ERR_STORE : 0);
}

static void shared_leave(struct store *store, struct store_leave *c)
{
	struct world *w = world_of(store);

	w->leaves++;
	w->left_before_drained = !w->drained && journal_running(w->journal) == 0;
	call_begin(&c->call, NULL);
	call_end_soon(store->loop, &c->call, 0);
}

static const struct store_type shared_type = {
	.name = "shared",
	.begin = shared_begin,
	.claim = shared_claim,
	.step = shared_step,
	.end = shared_end,
	.release = shared_release,
	.get = shared_get,
	.purge = shared_purge,
	.reseal = shared_reseal,
	.shared = true,
	.renew = shared_renew,
	.leave = shared_leave,
};

/* -- operations ----------------------------------------------------------------------------- */

struct task {
	struct journal_op job; /* first */
	struct world *w;
	struct call call;
	struct timer timer;
};

static void on_timer(struct timer *timer)
{
	call_end(&container_of(timer, struct task, timer)->call, 0);
}

static void on_cancel(struct call *call)
{
	struct task *t = container_of(call, struct task, call);

	t->w->cancels++;
	timer_stop(&t->timer);
	call_end_soon(t->timer.loop, call, ERR_CANCELED);
}

static enum op_verdict work(struct op *op)
{
	struct task *t = container_of(container_of(op, struct journal_op, op), struct task, job);

	t->w->asks++;
	op_call(op, &t->call);
	call_begin(&t->call, on_cancel);
	timer_start(&t->timer, op->loop, t->w->takes, on_timer);
	return OP_WAIT;
}

static enum op_verdict worked(struct op *op, int status)
{
	return status < 0 ? op_fail(op, status, "%s", err_str(status)) : OP_NEXT;
}

static enum op_verdict again(struct op *op, int status)
{
	return status < 0 ? op_fail(op, status, "%s", err_str(status)) : OP_AGAIN;
}

static const struct op_step forth[] = { { "work", work, worked, 0, 0 }, { 0 } };
static const struct op_step polls[] = { { "poll", work, again, 0, SEC(2) }, { 0 } };
static const struct op_step back[] = { { "undo", work, worked, 0, 0 }, { 0 } };

static struct journal_op *make(void *data, const struct store_claimed *row, struct err *err)
{
	struct world *w = data;
	struct task *t = mem_zalloc(sizeof(*t));

	if (str_is(row->op.plan_id, "unknown")) {
		mem_free(t);
		err_set(err, ERR_NOENT, "there is no such plan");
		return NULL;
	}
	t->w = w;
	op_init(&t->job.op);
	t->job.op.name = store_verb_name(row->op.verb);
	t->job.op.loop = &w->loop;
	t->job.op.forth = str_is(row->op.plan_id, "polls") ? polls : forth;
	t->job.op.back = back;
	log_child(&t->job.op.log, &w->log);
	return &t->job;
}

static void result(struct journal_op *op, struct store_end *end)
{
	(void)end;
	if (!op->given_up)
		container_of(op, struct task, job)->w->ended++;
}

static void free_task(struct journal_op *op)
{
	op_finish(&op->op);
	mem_free(container_of(op, struct task, job));
}

static const struct journal_user user = { make, result, free_task };

/* -- the world ------------------------------------------------------------------------------ */

static void on_lost(void *data)
{
	struct world *w = data;

	w->lost++;
	w->lost_at = loop_now(&w->loop);
}

static void on_found(void *data)
{
	((struct world *)data)->found++;
}

static int setup(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct store_options options = { .loop = &w->loop };
	struct err err;

	assert_int_equal(loop_init_test(&w->loop, 1000000), 0);
	assert_int_equal(store_memory_open(&options, &w->real, &err), 0);
	w->store.type = &shared_type;
	w->store.loop = &w->loop;
	w->takes = SEC(1);
	w->journal = journal_create(&(struct journal_options){
		.loop = &w->loop,
		.store = &w->store,
		.log = &w->log,
		.user = &user,
		.data = w,
		.keep_ended = DAY(1),
		.keep_gone = DAY(9),
		.lost = on_lost,
		.found = on_found,
		.nodes_data = w,
	});
	journal_service(w->journal, STR("svc"), 4);
	*state = w;
	return 0;
}

static void set_true(void *data)
{
	*(bool *)data = true;
}

static void drain(struct world *w)
{
	journal_drain(w->journal, SEC(1), set_true, &w->drained);
	assert_true(loop_run_until(&w->loop, &w->drained));
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (!w->drained)
		drain(w);
	journal_destroy(w->journal);
	store_close(w->real, set_true, &w->closed);
	assert_true(loop_run_until(&w->loop, &w->closed));
	loop_run(&w->loop);
	arena_finish(&w->arena);
	assert_int_equal(loop_finish(&w->loop), 0);
	mem_free(w);
	return 0;
}

static void on_begun(struct call *call, int status)
{
	struct world *w = call->data;

	w->status[container_of(call, struct journal_begin, call) - w->begin] = status;
	w->n_begun++;
}

static struct store_begin *provision(struct world *w, const char *plan)
{
	struct journal_begin *b = &w->begin[w->n_begins++];

	b->begin = (struct store_begin){
		.arena = &w->arena,
		.verb = STORE_PROVISION,
		.platform = STR("p"),
		.instance_id = str_of(arena_printf(&w->arena, "i%zu", w->n_begins)),
		.service = STR("svc"),
		.service_id = STR("s"),
		.plan_id = str_of(plan),
		.same = STR("same"),
		.data = STR("{}"),
		.request = STR("{}"),
		.can_halt = true,
	};
	b->call.done = on_begun;
	b->call.data = w;
	journal_begin(w->journal, b);
	while (w->n_begun < w->n_begins)
		assert_true(loop_turn(&w->loop));
	assert_int_equal(w->status[b - w->begin], 0);
	return &b->begin;
}

static void on_nap(struct timer *timer)
{
	timer->fire = NULL;
}

static void run_ms(struct world *w, uint64_t ms)
{
	struct timer nap = { 0 };

	timer_start(&nap, &w->loop, ms, on_nap);
	while (nap.fire)
		assert_true(loop_turn(&w->loop));
}

/* -- tests ---------------------------------------------------------------------------------- */

static void test_nothing_runs_before_the_lease(void **state)
{
	struct world *w = *state;
	struct store_begin *b;

	w->away = true;
	journal_start(w->journal);
	b = provision(w, "plan");
	assert_int_equal(b->op.state, STORE_OP_WAITING);
	run_ms(w, SEC(30));
	assert_int_equal(w->asks, 0);
	assert_int_equal(w->found, 0);
	assert_int_equal(w->lost, 0); /* what was never there cannot be lost */
	assert_true(w->renewals > 5);
	assert_int_equal(w->firsts, w->renewals);
	w->away = false;
	run_ms(w, SEC(5));
	assert_int_equal(w->found, 1);
	assert_int_equal(w->ended, 1);
}

static void test_renewed_every_five_seconds(void **state)
{
	struct world *w = *state;

	journal_start(w->journal);
	run_ms(w, SEC(61));
	assert_in_range(w->renewals, 12, 14);
	assert_int_equal(w->firsts, 1);
	assert_int_equal(w->lost, 0);
}

/* A call that is under way, and one that sleeps between two looks. */
static void test_three_seconds_before_the_end(void **state)
{
	struct world *w = *state;
	uint64_t last;
	unsigned writes, asks;
	char owner[20];

	journal_start(w->journal);
	run_ms(w, 100);
	w->takes = HOUR(1);
	assert_int_equal(provision(w, "plan")->op.state, STORE_OP_RUNNING);
	run_ms(w, 100); /* one that is asked */
	w->takes = 10;
	provision(w, "polls");
	run_ms(w, SEC(7));
	assert_int_equal(journal_running(w->journal), 2);
	memcpy(owner, w->owner, sizeof(owner));
	last = w->renewed;
	w->away = true;
	run_ms(w, last + SEC(12) - 50 - loop_now(&w->loop));
	assert_int_equal(w->lost, 0);
	assert_int_equal(journal_running(w->journal), 2);
	run_ms(w, 60);
	assert_int_equal(w->lost, 1);
	assert_int_equal(w->lost_at, last + SEC(12));
	assert_int_equal(journal_running(w->journal), 0);
	assert_int_equal(w->cancels, 1);
	writes = w->writes;
	asks = w->asks;
	w->away = false;
	run_ms(w, SEC(4));
	assert_string_not_equal(w->owner, owner);
	assert_int_equal(w->changed, last + SEC(15)); /* when the old lease is over */
	assert_int_equal(w->found, 2);
	run_ms(w, SEC(20));
	assert_int_equal(w->writes, writes); /* not even a release */
	assert_int_equal(w->asks, asks);
	assert_int_equal(w->ended, 0);
	w->takes = 10; /* and it works again */
	provision(w, "plan");
	run_ms(w, SEC(1));
	assert_int_equal(w->ended, 1);
}

static void test_the_store_says_that_it_had_ended(void **state)
{
	struct world *w = *state;
	unsigned writes;

	journal_start(w->journal);
	run_ms(w, 100);
	w->takes = HOUR(1);
	provision(w, "plan");
	run_ms(w, 100);
	writes = w->writes;
	w->lose = true;
	run_ms(w, SEC(6));
	assert_int_equal(w->lost, 1);
	assert_int_equal(journal_running(w->journal), 0);
	assert_int_equal(w->writes, writes);
	run_ms(w, SEC(20));
	assert_int_equal(w->firsts, 2);
	assert_int_equal(w->found, 2);
}

/* As a store does whose schema is too new for this node. */
static void test_a_store_that_does_not_want_the_node(void **state)
{
	struct world *w = *state;
	unsigned renewals;

	journal_start(w->journal);
	run_ms(w, 100);
	w->refuses = true;
	run_ms(w, SEC(15));
	assert_int_equal(w->lost, 1);
	renewals = w->renewals;
	run_ms(w, SEC(60));
	assert_in_range(w->renewals - renewals, 30, 70);
	assert_int_equal(w->lost, 1);
	w->refuses = false;
	run_ms(w, SEC(2));
	assert_int_equal(w->found, 2);
}

/* The machine slept: timers of operations are due before the lease's own. */
static void test_a_sleep_past_the_lease(void **state)
{
	struct world *w = *state;
	unsigned asks;

	journal_start(w->journal);
	run_ms(w, 100);
	w->takes = 10;
	provision(w, "polls");
	run_ms(w, 500);
	assert_int_equal(journal_running(w->journal), 1);
	asks = w->asks;
	w->away = true;
	w->loop.now += HOUR(1);
	run_ms(w, SEC(1));
	assert_int_equal(w->asks, asks);
	assert_int_equal(w->lost, 1);
	assert_int_equal(journal_running(w->journal), 0);
}

static void test_halted_by_another_node(void **state)
{
	struct world *w = *state;
	struct store_begin *b;

	journal_start(w->journal);
	run_ms(w, 100);
	w->takes = HOUR(1);
	b = provision(w, "plan");
	run_ms(w, 100);
	assert_int_equal(w->asks, 1);
	w->takes = 10;
	w->halted = b->op.seq;
	run_ms(w, SEC(6));
	assert_int_equal(w->cancels, 1);
	assert_int_equal(w->asks, 2); /* undo */
	assert_int_equal(w->ended, 1);
}

static void test_told_by_another_node(void **state)
{
	struct world *w = *state;
	struct store_begin *b;

	journal_start(w->journal);
	run_ms(w, 100);
	w->takes = HOUR(1);
	b = provision(w, "plan");
	run_ms(w, 100);
	assert_non_null(w->store.on_event);
	w->takes = 10;
	w->store.on_event(w->store.event_data, STORE_EVENT_HALTED, b->op.seq);
	run_ms(w, 200);
	assert_int_equal(w->asks, 2);
	assert_int_equal(w->ended, 1);
}

static void on_got(struct call *call, int status)
{
	assert_int_equal(status, 0);
	*(bool *)call->data = true;
}

static void on_waited(struct call *call, int status)
{
	*(int *)call->data = status;
}

static void test_an_end_elsewhere(void **state)
{
	struct world *w = *state;
	int status = 1;
	struct journal_wait wait = { .call = { .done = on_waited, .data = &status },
				     .op = 4711,
				     .for_end = true,
				     .within = HOUR(1) };

	journal_start(w->journal);
	run_ms(w, 100);
	journal_wait(w->journal, &wait);
	w->store.on_event(w->store.event_data, STORE_EVENT_ENDED, 4712);
	run_ms(w, 100);
	assert_int_equal(status, 1);
	w->store.on_event(w->store.event_data, STORE_EVENT_ENDED, 4711);
	run_ms(w, 100);
	assert_int_equal(status, 0);
	assert_true(wait.ended);
}

static enum store_op_state state_of(struct world *w, const char *instance)
{
	struct store_get get = { .call = { .done = on_got },
				 .arena = &w->arena,
				 .platform = STR("p"),
				 .instance_id = str_of(instance) };
	bool got = false;

	get.call.data = &got;
	store_get(w->real, &get);
	assert_true(loop_run_until(&w->loop, &got));
	return get.op.state;
}

/* Nodes roll: a plan that this one does not know is left to the others, and tried now and then; the
 * last that is left says that nobody knows it. */
static void test_what_others_may_know(void **state)
{
	struct world *w = *state;
	unsigned writes;

	journal_start(w->journal);
	run_ms(w, 100);
	provision(w, "unknown");
	run_ms(w, SEC(4));
	assert_in_range(w->writes, 2, 6); /* released again and again, but not in haste */
	assert_int_not_equal(state_of(w, "i1"), STORE_OP_ENDED);
	run_ms(w, 10); /* it may have been claimed just now */
	assert_int_equal(journal_running(w->journal), 0);
	w->alone = true;
	run_ms(w, SEC(8));
	assert_int_equal(state_of(w, "i1"), STORE_OP_ENDED);
	writes = w->writes;
	run_ms(w, SEC(8));
	assert_int_equal(w->writes, writes);
	assert_int_equal(w->asks, 0);
}

static void test_left_when_drained(void **state)
{
	struct world *w = *state;

	journal_start(w->journal);
	run_ms(w, 100);
	w->takes = HOUR(1);
	provision(w, "plan");
	run_ms(w, 100);
	drain(w);
	assert_int_equal(w->leaves, 1);
	assert_true(w->left_before_drained);
	assert_int_equal(w->lost, 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_runs_before_the_lease),
		TEST(test_renewed_every_five_seconds),
		TEST(test_three_seconds_before_the_end),
		TEST(test_the_store_says_that_it_had_ended),
		TEST(test_a_store_that_does_not_want_the_node),
		TEST(test_a_sleep_past_the_lease),
		TEST(test_halted_by_another_node),
		TEST(test_told_by_another_node),
		TEST(test_an_end_elsewhere),
		TEST(test_what_others_may_know),
		TEST(test_left_when_drained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
