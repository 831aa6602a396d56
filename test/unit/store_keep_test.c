/* The contract of store.h, for the file store and the memory store alike: what timers and people
 * look at, retention, and turns. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

/* -- orphans, figures, plans, retention ----------------------------------------------------- */

static void test_orphans(void **state)
{
	struct fixture *f = *state;
	struct store_list list = { .arena = &f->arena, .kind = STORE_LIST_ORPHANS, .max = 9 };
	struct store_end dirty = { .result = STORE_FAILED_RESULT,
				   .left_over = true,
				   .description = STR("half made") };
	struct store_end failed = { .result = STORE_FAILED_RESULT };
	struct store_begin c;

	at_once(f, STORE_PROVISION, "fine", NULL);
	c = verb(f, STORE_PROVISION, "dirty", NULL);
	c.at_once = &dirty;
	c = begun(f, c, BEGUN_ENDED);
	assert_int_equal(c.instance.state, STORE_DIRTY);
	assert_true(c.op.flags & STORE_LEFT_OVER);
	assert_true(str_is(c.op.request, "{\"asked\":1}")); /* kept: it may help */
	c = verb(f, STORE_BIND, "fine", "b1");
	c.at_once = &dirty;
	begun(f, c, BEGUN_ENDED);
	at_once(f, STORE_PROVISION, "stays", NULL);
	c = verb(f, STORE_DEPROVISION, "stays", NULL);
	c.at_once = &failed;
	c = begun(f, c, BEGUN_ENDED);
	assert_int_equal(c.instance.state, STORE_READY);
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 3);
	assert_true(str_is(list.rows[0].instance.id, "dirty"));
	assert_true(str_is(list.rows[0].description, "half made"));
	assert_true(str_is(list.rows[1].instance.id, "stays"));
	assert_true(str_is(list.rows[2].binding.id, "b1"));
	assert_true(str_is(list.rows[2].instance.id, "fine"));
	list.max = 1;
	list.from = list.rows[1].at;
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 1);
	assert_true(str_is(list.rows[0].binding.id, "b1"));
	at_once(f, STORE_DEPROVISION, "dirty", NULL);
	at_once(f, STORE_UPDATE, "stays", NULL);
	at_once(f, STORE_UNBIND, "fine", "b1");
	list.from = 0;
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 0);
}

static void test_figures(void **state)
{
	struct fixture *f = *state;
	struct store_plan_use use = { .arena = &f->arena };
	struct store_stats stats = { 0 };
	struct store_begin c;
	int i;

	for (i = 0; i < 6; i++) {
		c = verb(f, STORE_PROVISION, arena_printf(&f->arena, "i%d", i), NULL);
		c.plan_id = i % 2 ? STR("plan-1") : STR("plan-2");
		c.owner = i == 5 ? STR("") : STR("run-1");
		c = begun(f, c, BEGUN_STARTED);
		if (i < 3)
			end_ok(f, &c.op);
		pass(f, 1);
		assert_int_equal(RUN(f, store_stats, &stats), 0);
		assert_int_equal(stats.instances, i + 1);
	}
	at_once(f, STORE_DEPROVISION, "i0", NULL);
	at_once(f, STORE_BIND, "i1", "b1");
	start(f, STORE_BIND, "i1", "b2");
	begun(f, verb(f, STORE_DEPROVISION, "i4", NULL), BEGUN_HALTING);
	assert_int_equal(RUN(f, store_stats, &stats), 0);
	assert_int_equal(stats.instances, 5);
	assert_int_equal(stats.bindings, 2);
	assert_int_equal(stats.ops[STORE_PROVISION][STORE_OP_RUNNING], 2);
	assert_int_equal(stats.ops[STORE_PROVISION][STORE_OP_WAITING], 1);
	assert_int_equal(stats.ops[STORE_PROVISION][STORE_OP_ENDED], 0);
	assert_int_equal(stats.ops[STORE_DEPROVISION][STORE_OP_FOLLOWING], 1);
	assert_int_equal(stats.ops[STORE_BIND][STORE_OP_RUNNING], 1);
	assert_int_equal(stats.oldest_waiting, WALL + 5);
	assert_int_equal(RUN(f, store_plan_use, &use), 0);
	assert_int_equal(use.n_plans, 2);
	assert_true(str_is(use.plans[0].plan_id, "plan-1"));
	assert_int_equal(use.plans[0].n, 3);
	assert_int_equal(use.plans[1].n, 2);
	assert_true(str_is(use.plans[1].service_id, "service-1"));
}

static uint32_t purge(struct fixture *f, uint32_t max)
{
	struct store_purge c = { .keep_ended = DAY(1), .keep_gone = DAY(8), .max = max };

	assert_int_equal(RUN(f, store_purge, &c), 0);
	assert_true(c.n <= max);
	return c.n;
}

static void test_retention(void **state)
{
	struct fixture *f = *state;
	struct store_end failed = { .result = STORE_FAILED_RESULT };
	struct store_begin made = at_once(f, STORE_PROVISION, "i1", NULL), c;
	struct store_get got;

	at_once(f, STORE_BIND, "i1", "b1");
	at_once(f, STORE_UPDATE, "i1", NULL);
	at_once(f, STORE_PROVISION, "stays", NULL);
	c = verb(f, STORE_PROVISION, "never", NULL);
	c.at_once = &failed;
	begun(f, c, BEGUN_ENDED);
	assert_int_equal(purge(f, 100), 0);
	pass(f, DAY(1));
	assert_int_equal(purge(f, 100), 1); /* the provision is not the latest op of i1 */
	got = look(f, "i1", NULL);
	got.operation = str_of(made.op.id);
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_int_equal(got.op.verb, STORE_UPDATE);
	at_once(f, STORE_UNBIND, "i1", "b1");
	c = at_once(f, STORE_DEPROVISION, "i1", NULL);
	pass(f, DAY(7));
	assert_int_equal(purge(f, 1), 1); /* bind; there is more */
	assert_int_equal(purge(f, 2), 2); /* update, and the instance that was never made */
	assert_int_equal(purge(f, 100), 0);
	assert_int_equal(look(f, "never", NULL).instance.seq, 0);
	got = look(f, "i1", NULL); /* the tombstone, and how it ended */
	assert_int_equal(got.instance.state, STORE_GONE);
	assert_int_equal(got.op.seq, c.op.seq);
	pass(f, DAY(1));
	assert_int_equal(purge(f, 100), 2);
	got = look(f, "i1", "b1");
	assert_int_equal(got.instance.seq, 0);
	assert_int_equal(look(f, "stays", NULL).instance.state, STORE_READY);
	pass(f, DAY(400));
	assert_int_equal(purge(f, 100), 0); /* what lives is never forgotten */
	assert_int_equal(look(f, "stays", NULL).op.result, STORE_SUCCEEDED);
}

#ifndef STORE_POSTGRES /* which has no turns */
/* -- turns ---------------------------------------------------------------------------------- */

struct chain {
	struct fixture *f;
	struct store_begin begin;
	struct store_get get;
	int left;
	bool done;
};

static void chained(struct call *call, int status)
{
	struct chain *chain = call->data;

	assert_int_equal(status, 0);
	if (chain->left-- > 0) {
		chain->begin = verb(chain->f, STORE_PROVISION,
				    arena_printf(&chain->f->arena, "i%d", chain->left), NULL);
		chain->begin.call.done = chained;
		chain->begin.call.data = chain;
		store_begin(chain->f->store, &chain->begin);
		return;
	}
	chain->done = true;
}

static double commits(struct fixture *f)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &f->metrics.all) {
		struct metric *metric = container_of(pos, struct metric, node);

		if (strcmp(metric->name, "osbd_store_commits_total") == 0)
			return metric->value;
	}
	fail_msg("no such metric");
	return 0;
}

static void test_turns(void **state)
{
	struct fixture *f = *state;
	struct chain chain = { .f = f, .left = 5 };
	struct store_begin c[64];
	struct store_get get[2] = { { .arena = &f->arena }, { .arena = &f->arena } };
	struct ended ended[66];
	double before = commits(f);
	size_t i;

	get[0].platform = get[1].platform = STR("cf");
	get[0].instance_id = get[1].instance_id = STR("t63");
	arm(&get[0].call, &ended[64]);
	store_get(f->store, &get[0]);
	for (i = 0; i < 64; i++) {
		c[i] = verb(f, STORE_PROVISION, arena_printf(&f->arena, "t%zu", i), NULL);
		arm(&c[i].call, &ended[i]);
		store_begin(f->store, &c[i]);
	}
	arm(&get[1].call, &ended[65]);
	store_get(f->store, &get[1]);
	for (i = 0; i < 66; i++)
		assert_false(ended[i].done);
	assert_true(loop_run_until(&f->loop, &ended[65].done));
	for (i = 0; i < 66; i++) {
		assert_true(ended[i].done);
		assert_int_equal(ended[i].status, 0);
	}
	assert_true(commits(f) == before + 1); /* one for all of them */
	assert_int_equal(get[0].instance.seq, 0);
	assert_int_equal(get[1].instance.seq, c[63].instance.seq);
	look(f, "t1", NULL);
	begun(f, verb(f, STORE_UPDATE, "none", NULL), BEGUN_NOT_FOUND);
	assert_true(commits(f) == before + 1); /* none for what wrote nothing */
	before = commits(f);
	chained(&(struct call){ .data = &chain }, 0);
	assert_true(loop_run_until(&f->loop, &chain.done));
	assert_true(commits(f) == before + 5); /* each was started by the end of the one before */
}
#endif

/* -- keys of session tickets ---------------------------------------------------------------- */

static struct store_tickets tickets(struct fixture *f)
{
	struct store_tickets c = { .rotate = HOUR(12), .keep = HOUR(30) };

	assert_int_equal(RUN(f, store_tickets, &c), 0);
	return c;
}

static void assert_same_key(const struct store_ticket_key *a, const struct store_ticket_key *b)
{
	assert_memory_equal(a->id, b->id, sizeof(a->id));
	assert_memory_equal(a->secret, b->secret, sizeof(a->secret));
	assert_int_equal(a->made, b->made);
}

static void test_ticket_keys(void **state)
{
	struct fixture *f = *state;
	struct store_tickets none = { .only_seal = true }, first, c, both[2];
	struct ended ended[2] = { { 0 } };
	size_t i;

	assert_int_equal(RUN(f, store_tickets, &none), 0);
	assert_int_equal(none.n, 0);
	for (i = 0; i < 2; i++) { /* at the same instant: one of them makes it */
		both[i] = (struct store_tickets){ .rotate = HOUR(12), .keep = HOUR(30) };
		arm(&both[i].call, &ended[i]);
		store_tickets(f->store, &both[i]);
	}
	for (i = 0; i < 2; i++) {
		assert_true(loop_run_until(&f->loop, &ended[i].done));
		assert_int_equal(ended[i].status, 0);
		assert_int_equal(both[i].n, 1);
	}
	assert_same_key(&both[0].keys[0], &both[1].keys[0]);
	first = both[0];
	pass(f, HOUR(12) - 1);
	c = tickets(f);
	assert_int_equal(c.n, 1);
	assert_same_key(&c.keys[0], &first.keys[0]);
	pass(f, 1);
	c = tickets(f);
	assert_int_equal(c.n, 2); /* the newest first */
	assert_same_key(&c.keys[1], &first.keys[0]);
	assert_memory_not_equal(c.keys[0].secret, first.keys[0].secret, STORE_TICKET_SECRET);
	assert_int_equal(c.keys[0].made, first.keys[0].made + HOUR(12));
	none = (struct store_tickets){ .only_seal = true };
	pass(f, HOUR(18));
	assert_int_equal(RUN(f, store_tickets, &none), 0);
	assert_int_equal(none.n, 2); /* it forgets none */
	c = tickets(f);
	assert_int_equal(c.n, 2); /* the first is forgotten, a third is made */
	assert_same_key(&c.keys[1], &none.keys[0]);
	for (i = 0; i < 9; i++) {
		pass(f, 1000);
		c = (struct store_tickets){ .rotate = 1000, .keep = HOUR(30) };
		assert_int_equal(RUN(f, store_tickets, &c), 0);
	}
	assert_int_equal(c.n, STORE_TICKET_KEYS);
	for (i = 1; i < c.n; i++)
		assert_int_equal(c.keys[i].made + i * 1000, c.keys[0].made);
	pass(f, DAY(9));
	c = tickets(f);
	assert_int_equal(c.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_STORE(test_orphans),   EACH_STORE(test_figures),
		EACH_STORE(test_retention), EACH_STORE(test_ticket_keys),
#ifndef STORE_POSTGRES
		EACH_STORE(test_turns),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
