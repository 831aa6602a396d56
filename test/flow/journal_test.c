/* The journal on a real store (in memory) behind one that fails on request, in test time.
 *
 * An operation here is two calls of 100 ms; what it does to the world is a counter. */
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

#define BEGINS_MAX 64

/* -- a store that is away for the n-th calls ------------------------------------------------ */

struct faulty {
	struct store store; /* first */
	struct store *real;
	int calls, fail_from, fail_to; /* calls fail_from..fail_to end with code */
	const char *only;              /* count calls of this name; NULL: all */
	int code;
};

static bool faulty_fails(struct store *store, struct call *call, const char *name)
{
	struct faulty *f = container_of(store, struct faulty, store);

	if (f->only && strcmp(f->only, name) != 0)
		return false;
	f->calls++;
	if (f->calls < f->fail_from || f->calls > f->fail_to)
		return false;
	call_begin(call, NULL);
	call_end_soon(store->loop, call, f->code);
	return true;
}

#define FORWARD(verb, type)                                                  \
	static void faulty_##verb(struct store *s, struct type *c)           \
	{                                                                    \
		if (!faulty_fails(s, &c->call, #verb))                       \
			store_##verb(((struct faulty *)(void *)s)->real, c); \
	}

FORWARD(begin, store_begin)
FORWARD(claim, store_claim)
FORWARD(step, store_step)
FORWARD(end, store_op_end)
FORWARD(release, store_release)
FORWARD(get, store_get)
FORWARD(list, store_list)
FORWARD(purge, store_purge)
FORWARD(reseal, store_reseal)
FORWARD(stats, store_stats)
FORWARD(plan_use, store_plan_use)

static const struct store_type faulty_type = {
	.name = "faulty",
	.begin = faulty_begin,
	.claim = faulty_claim,
	.step = faulty_step,
	.end = faulty_end,
	.release = faulty_release,
	.get = faulty_get,
	.list = faulty_list,
	.purge = faulty_purge,
	.reseal = faulty_reseal,
	.stats = faulty_stats,
	.plan_use = faulty_plan_use,
};

/* -- operations ----------------------------------------------------------------------------- */

struct world {
	struct loop loop;
	struct log log;
	struct faulty faulty;
	struct journal *journal;
	struct arena arena;
	struct journal_begin begins[BEGINS_MAX];
	int status[BEGINS_MAX];
	size_t n_begins, n_begun;
	int running, most, made, unmade, asked;
	bool fail_second, drained, answer;
	bool closed;
};

struct task {
	struct journal_op job; /* first */
	struct world *w;
	struct call call;
	struct timer timer;
};

static struct task *task_of(struct op *op)
{
	return container_of(container_of(op, struct journal_op, op), struct task, job);
}

static void on_timer(struct timer *timer)
{
	call_end(&container_of(timer, struct task, timer)->call, 0);
}

static void on_cancel(struct call *call)
{
	struct task *t = container_of(call, struct task, call);

	timer_stop(&t->timer);
	call_end_soon(t->timer.loop, call, ERR_CANCELED);
}

static enum op_verdict work(struct op *op)
{
	struct task *t = task_of(op);

	t->w->asked++;
	t->w->running++;
	if (t->w->running > t->w->most)
		t->w->most = t->w->running;
	op_call(op, &t->call);
	call_begin(&t->call, on_cancel);
	timer_start(&t->timer, op->loop, 100, on_timer);
	return OP_WAIT;
}

static enum op_verdict worked(struct op *op, int status)
{
	struct task *t = task_of(op);

	t->w->running--;
	if (status < 0)
		return op_fail(op, status, "%s", err_str(status));
	return OP_NEXT;
}

static enum op_verdict worked_last(struct op *op, int status)
{
	struct task *t = task_of(op);
	enum op_verdict verdict = worked(op, status);

	if (verdict == OP_NEXT && t->w->fail_second)
		return op_fail(op, ERR_INVALID, "told to");
	t->w->made += verdict == OP_NEXT;
	return verdict;
}

static enum op_verdict unworked(struct op *op, int status)
{
	struct task *t = task_of(op);
	enum op_verdict verdict = worked(op, status);

	t->w->unmade += verdict == OP_NEXT;
	return verdict;
}

static const struct op_step forth[] = {
	{ "one", work, worked, 0, 0 },
	{ "two", work, worked_last, 0, 0 },
	{ 0 },
};

static const struct op_step back[] = { { "undo", work, unworked, 0, 0 }, { 0 } };

static struct journal_op *make(void *data, const struct store_claimed *row, struct err *err)
{
	struct world *w = data;
	struct task *t;

	if (str_is(row->op.plan_id, "unknown")) {
		err_set(err, ERR_NOENT, "there is no such plan");
		return NULL;
	}
	t = mem_zalloc(sizeof(*t));
	t->w = w;
	op_init(&t->job.op);
	t->job.op.name = store_verb_name(row->op.verb);
	t->job.op.loop = &w->loop;
	t->job.op.forth = row->op.verb == STORE_DEPROVISION ? back : forth;
	t->job.op.back = row->op.verb == STORE_PROVISION ? back : NULL;
	t->job.answer = w->answer ? "one" : NULL;
	log_child(&t->job.op.log, &w->log);
	return &t->job;
}

static void result(struct journal_op *op, struct store_end *end)
{
	if (!op->op.failed)
		end->dashboard_url = STR("http://made");
}

static void free_task(struct journal_op *op)
{
	op_finish(&op->op);
	mem_free(container_of(op, struct task, job));
}

static const struct journal_user user = { make, result, free_task };

/* -- the world ------------------------------------------------------------------------------ */

static void open_world(struct world *w, uint32_t slots, uint32_t max_waiting)
{
	struct store_options options = { .loop = &w->loop };
	struct journal_options journal;
	struct err err;

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init_test(&w->loop, 1000000), 0);
	assert_int_equal(store_memory_open(&options, &w->faulty.real, &err), 0);
	w->faulty.store.type = &faulty_type;
	w->faulty.store.loop = &w->loop;
	w->faulty.code = ERR_STORE;
	journal = (struct journal_options){
		.loop = &w->loop,
		.store = &w->faulty.store,
		.log = &w->log,
		.user = &user,
		.data = w,
		.max_waiting = max_waiting,
		.keep_ended = DAY(1),
		.keep_gone = DAY(9),
	};
	w->journal = journal_create(&journal);
	journal_service(w->journal, STR("svc"), slots);
	journal_start(w->journal);
}

static void set_true(void *data)
{
	*(bool *)data = true;
}

static void drain_world(struct world *w, uint64_t ms)
{
	journal_drain(w->journal, ms, set_true, &w->drained);
	assert_true(loop_run_until(&w->loop, &w->drained));
	assert_int_equal(journal_running(w->journal), 0);
}

static void close_world(struct world *w)
{
	if (!w->drained)
		drain_world(w, SEC(10));
	journal_destroy(w->journal);
	store_close(w->faulty.real, set_true, &w->closed);
	assert_true(loop_run_until(&w->loop, &w->closed));
	loop_run(&w->loop);
	arena_finish(&w->arena);
	assert_int_equal(loop_finish(&w->loop), 0);
}

static void on_begun(struct call *call, int status)
{
	struct journal_begin *begin = container_of(call, struct journal_begin, call);
	struct world *w = call->data;

	w->status[begin - w->begins] = status;
	w->n_begun++;
}

static struct store_begin *begin(struct world *w, enum store_verb verb, int instance)
{
	struct journal_begin *b = &w->begins[w->n_begins++];

	assert_true(w->n_begins <= BEGINS_MAX);
	b->begin = (struct store_begin){
		.arena = &w->arena,
		.verb = verb,
		.platform = STR("p"),
		.instance_id = str_of(arena_printf(&w->arena, "i%d", instance)),
		.service = STR("svc"),
		.service_id = STR("s"),
		.plan_id = STR("plan"),
		.organization = STR("o"),
		.space = STR("s"),
		.same = STR("same"),
		.data = STR("{}"),
		.request = STR("{}"),
		.can_halt = true,
	};
	b->call.done = on_begun;
	b->call.data = w;
	journal_begin(w->journal, b);
	return &b->begin;
}

static void run_begins(struct world *w)
{
	while (w->n_begun < w->n_begins)
		assert_true(loop_turn(&w->loop));
}

static void run_ms(struct world *w, uint64_t ms)
{
	uint64_t end = loop_now(&w->loop) + ms;

	while (loop_now(&w->loop) < end)
		assert_true(loop_turn(&w->loop));
}

struct get {
	struct store_get get;
	bool done;
};

static void got(struct call *call, int status)
{
	assert_int_equal(status, 0);
	container_of(call, struct get, get.call)->done = true;
}

static struct store_get get(struct world *w, int instance, const char *operation)
{
	struct get g = { 0 };

	g.get.call.done = got;
	g.get.arena = &w->arena;
	g.get.platform = STR("p");
	g.get.instance_id = str_of(arena_printf(&w->arena, "i%d", instance));
	if (operation)
		g.get.operation = str_of(operation);
	store_get(w->faulty.real, &g.get);
	assert_true(loop_run_until(&w->loop, &g.done));
	return g.get;
}

/* -- tests ---------------------------------------------------------------------------------- */

static void test_slot_by_slot(void **state)
{
	struct world w;
	int i;

	(void)state;
	open_world(&w, 3, 100);
	for (i = 0; i < 20; i++)
		begin(&w, STORE_PROVISION, i);
	run_begins(&w);
	assert_int_equal(get(&w, 10, NULL).op.state, STORE_OP_WAITING);
	assert_int_equal(get(&w, 10, NULL).waiting_before, 7);
	run_ms(&w, SEC(5));
	assert_int_equal(w.made, 20);
	assert_int_equal(w.most, 3);
	assert_int_equal(journal_running(w.journal), 0);
	assert_int_equal(get(&w, 19, NULL).instance.state, STORE_READY);
	assert_true(str_is(get(&w, 19, NULL).instance.dashboard_url, "http://made"));
	close_world(&w);
}

static void test_full(void **state)
{
	struct world w;
	int i, full = 0;

	(void)state;
	open_world(&w, 1, 4);
	run_ms(&w, 200); /* the first look for work is over */
	for (i = 0; i < 10; i++)
		begin(&w, STORE_PROVISION, i);
	run_begins(&w);
	for (i = 0; i < 10; i++)
		full += w.begins[i].begin.result == BEGUN_FULL;
	assert_int_equal(full, 5);
	assert_int_equal(get(&w, 9, NULL).instance.state, STORE_NONE);
	run_ms(&w, SEC(5));
	assert_int_equal(w.made, 5);
	close_world(&w);
}

/* The store fails at the n-th call, and the two after it, for every n of a flow. */
static void test_store_away_at_every_call(void **state)
{
	int n;

	(void)state;
	for (n = 1;; n++) {
		struct world w;
		int calls;

		open_world(&w, 2, 10);
		run_ms(&w, 200);
		w.faulty.calls = 0;
		w.faulty.fail_from = n;
		w.faulty.fail_to = n + 2;
		begin(&w, STORE_PROVISION, 1);
		run_begins(&w);
		if (w.status[0] == ERR_STORE)
			assert_int_equal(get(&w, 1, NULL).instance.state, STORE_NONE);
		run_ms(&w, MINUTES(2));
		calls = w.faulty.calls;
		if (w.status[0] == 0) {
			assert_int_equal(get(&w, 1, NULL).instance.state, STORE_READY);
			assert_int_equal(w.made, 1); /* the world was asked once */
			assert_int_equal(w.asked, 2);
		}
		close_world(&w);
		if (calls < n)
			break;
	}
	assert_true(n > 3);
}

static void test_stale_fence_leaves_the_row(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 2, 10);
	run_ms(&w, 200);
	w.faulty.calls = 0;
	w.faulty.only = "step";
	w.faulty.fail_from = w.faulty.fail_to = 1;
	w.faulty.code = ERR_STALE;
	begin(&w, STORE_PROVISION, 1);
	run_ms(&w, SEC(2));
	assert_int_equal(journal_running(w.journal), 0);
	/* only the store knew that somebody else had the row: it is free, and runs from its start */
	assert_int_equal(w.asked, 3);
	assert_int_equal(w.made, 1);
	close_world(&w);
}

static void test_failure_goes_back(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 2, 10);
	w.fail_second = true;
	begin(&w, STORE_PROVISION, 1);
	run_ms(&w, SEC(2));
	assert_int_equal(w.unmade, 1);
	assert_int_equal(get(&w, 1, NULL).instance.state, STORE_FAILED);
	assert_true(str_is(get(&w, 1, NULL).op.description, "provision: two: told to"));
	close_world(&w);
}

static void test_delete_halts_the_create(void **state)
{
	struct store_begin *create, *delete;
	struct world w;

	(void)state;
	open_world(&w, 2, 10);
	create = begin(&w, STORE_PROVISION, 1);
	run_ms(&w, 50);
	delete = begin(&w, STORE_DEPROVISION, 1);
	run_begins(&w);
	assert_int_equal(delete->result, BEGUN_HALTING);
	assert_int_equal(get(&w, 1, delete->op.id).op.state, STORE_OP_FOLLOWING);
	run_ms(&w, SEC(2));
	assert_int_equal(w.made, 0);
	assert_int_equal(w.unmade, 1);
	assert_int_equal(get(&w, 1, create->op.id).op.result, STORE_FAILED_RESULT);
	assert_int_equal(get(&w, 1, delete->op.id).op.result, STORE_SUCCEEDED);
	assert_int_equal(get(&w, 1, NULL).instance.state, STORE_GONE);
	close_world(&w);
}

/* A halt that arrives at any moment of the create ends in one of two worlds: gone. */
static void test_halt_at_every_moment(void **state)
{
	uint64_t ms;

	(void)state;
	for (ms = 1; ms < 260; ms += 7) {
		struct store_begin *delete;
		struct world w;

		open_world(&w, 2, 10);
		begin(&w, STORE_PROVISION, 1);
		run_begins(&w);
		run_ms(&w, ms);
		delete = begin(&w, STORE_DEPROVISION, 1);
		run_ms(&w, SEC(3));
		assert_int_equal(get(&w, 1, delete->op.id).op.result, STORE_SUCCEEDED);
		assert_int_equal(get(&w, 1, NULL).instance.state, STORE_GONE);
		assert_int_equal(w.unmade, 1);
		close_world(&w);
	}
}

static void test_nobody_can_make_it(void **state)
{
	struct store_begin *b;
	struct world w;

	(void)state;
	open_world(&w, 2, 10);
	b = begin(&w, STORE_PROVISION, 1);
	b->plan_id = STR("unknown"); /* in-strings are borrowed until done */
	run_ms(&w, SEC(1));
	if (str_is(get(&w, 1, NULL).op.plan_id, "unknown"))
		assert_true(str_is(get(&w, 1, NULL).op.description,
				   "provision: there is no such plan"));
	close_world(&w);
}

struct wait {
	struct journal_wait wait;
	bool done;
	int status;
};

static void waited(struct call *call, int status)
{
	struct wait *w = container_of(call, struct wait, wait.call);

	w->done = true;
	w->status = status;
}

static void start_wait(struct world *w, struct wait *wait, int64_t op, bool for_end, uint64_t ms)
{
	memset(wait, 0, sizeof(*wait));
	wait->wait.call.done = waited;
	wait->wait.op = op;
	wait->wait.for_end = for_end;
	wait->wait.within = ms;
	journal_wait(w->journal, &wait->wait);
}

static void test_waits(void **state)
{
	struct wait answer, end, late;
	struct store_begin *b;
	struct world w;

	(void)state;
	open_world(&w, 2, 10);
	w.answer = true;
	b = begin(&w, STORE_PROVISION, 1);
	run_begins(&w);
	start_wait(&w, &answer, b->op.seq, false, SEC(45));
	start_wait(&w, &end, b->op.seq, true, SEC(50));
	start_wait(&w, &late, b->op.seq, true, 20);
	assert_false(answer.done || end.done);
	run_ms(&w, 50);
	assert_true(late.done && late.status == ERR_TIMEDOUT);
	run_ms(&w, 80);
	assert_true(answer.done && answer.status == 0 && !answer.wait.ended);
	assert_false(end.done);
	run_ms(&w, 200);
	assert_true(end.done && end.status == 0 && end.wait.ended);
	close_world(&w);
}

static void test_drain_gives_back(void **state)
{
	struct wait end;
	struct store_begin *b;
	struct world w;

	(void)state;
	open_world(&w, 2, 10);
	b = begin(&w, STORE_PROVISION, 1);
	run_begins(&w);
	start_wait(&w, &end, b->op.seq, true, SEC(50));
	run_ms(&w, 10);
	drain_world(&w, SEC(10));
	assert_int_equal(get(&w, 1, NULL).op.state, STORE_OP_WAITING);
	assert_true(
		str_is(get(&w, 1, NULL).op.step, "two")); /* the step in flight came to its end */
	assert_true(end.done && end.status == ERR_CANCELED);
	close_world(&w);

	open_world(&w, 2, 10);
	begin(&w, STORE_PROVISION, 1);
	run_ms(&w, 10);
	drain_world(&w, 0);
	assert_int_equal(get(&w, 1, NULL).op.state, STORE_OP_WAITING);
	assert_int_equal(get(&w, 1, NULL).op.step.n, 0);
	assert_int_equal(get(&w, 1, NULL).op.result, STORE_NO_RESULT);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot_by_slot),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_store_away_at_every_call),
		cmocka_unit_test(test_stale_fence_leaves_the_row),
		cmocka_unit_test(test_failure_goes_back),
		cmocka_unit_test(test_delete_halts_the_create),
		cmocka_unit_test(test_halt_at_every_moment),
		cmocka_unit_test(test_nobody_can_make_it),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_drain_gives_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
