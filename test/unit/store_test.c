/* The contract of store.h, for the file store and the memory store alike: the verbs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

/* -- the way of an instance ----------------------------------------------------------------- */

static void test_provision_in_steps(void **state)
{
	struct fixture *f = *state;
	struct store_begin c = start(f, STORE_PROVISION, "i1", NULL);
	struct store_step step = { .op = c.op.seq,
				   .fence = 1,
				   .step = STR("deploy"),
				   .memo = STR("{\"task\":7}"),
				   .description = STR("deploying"),
				   .new_step = true };
	struct store_op_end e;
	struct store_get got;

	assert_int_equal(c.op.state, STORE_OP_RUNNING);
	assert_int_equal(c.op.fence, 1);
	assert_int_equal(c.op.claims, 1);
	assert_int_equal(c.op.began, WALL);
	assert_true(str_is(c.op.request, "{\"asked\":1}"));
	assert_int_equal(c.instance.state, STORE_CREATING);
	assert_int_equal(RUN(f, store_step, &step), 0);
	assert_false(step.halted);
	got = look(f, "i1", NULL);
	assert_int_equal(got.op.seq, c.op.seq);
	assert_true(str_is(got.op.step, "deploy"));
	assert_true(str_is(got.op.memo, "{\"task\":7}"));
	assert_true(str_is(got.op.description, "deploying"));
	assert_true(str_is(got.op.owner, "run-1"));
	assert_int_equal(got.op.claims, 0);
	assert_int_equal(got.instance.state, STORE_CREATING);
	assert_true(str_is(got.instance.data, "{\"parameters\":{}}"));
	assert_true(str_is(got.instance.space, "space"));

	step.fence = 2;
	assert_int_equal(RUN(f, store_step, &step), ERR_STALE);
	e = end_of(f, &c.op, STORE_SUCCEEDED);
	e.end.fence = 7;
	assert_int_equal(RUN(f, store_end, &e), ERR_STALE);
	e.end.fence = 1;
	e.end.dashboard_url = STR("https://d");
	e.end.data = STR("{\"credentials\":1}");
	e.end.description = STR("made");
	assert_int_equal(RUN(f, store_end, &e), 0);
	assert_int_equal(RUN(f, store_end, &e), ERR_STALE); /* only once */
	step.fence = 1;
	assert_int_equal(RUN(f, store_step, &step), ERR_STALE);
	got = look(f, "i1", NULL);
	assert_int_equal(got.instance.state, STORE_READY);
	assert_true(got.instance.usable);
	assert_true(str_is(got.instance.dashboard_url, "https://d"));
	assert_true(str_is(got.instance.data, "{\"credentials\":1}"));
	assert_int_equal(got.op.state, STORE_OP_ENDED);
	assert_int_equal(got.op.result, STORE_SUCCEEDED);
	assert_int_equal(got.op.memo.n, 0);
	assert_int_equal(got.op.step.n, 0);
	assert_true(str_is(got.op.description, "made"));
	assert_int_equal(got.waiting_before, 0);
}

static void test_identical(void **state)
{
	struct fixture *f = *state;
	struct store_begin c = start(f, STORE_PROVISION, "i1", NULL), again, other;

	again = begun(f, verb(f, STORE_PROVISION, "i1", NULL), BEGUN_SAME_RUNNING);
	assert_string_equal(again.op.id, c.op.id);
	other = verb(f, STORE_PROVISION, "i1", NULL);
	other.same = STR("different");
	begun(f, other, BEGUN_CONFLICT);
	end_ok(f, &c.op);
	again = begun(f, verb(f, STORE_PROVISION, "i1", NULL), BEGUN_SAME_DONE);
	assert_true(str_is(again.instance.data, "{\"parameters\":{}}"));
	begun(f, other, BEGUN_CONFLICT);
	other.platform = STR("k8s"); /* another platform's id is another instance */
	begun(f, other, BEGUN_STARTED);
}

/* -- deletes that find a create ------------------------------------------------------------- */

static void test_halt_clean(void **state)
{
	struct fixture *f = *state;
	struct store_begin create = start(f, STORE_PROVISION, "i1", NULL), delete, again;
	struct store_step step = { .op = create.op.seq, .fence = 1, .step = STR("deploy") };
	struct store_op_end e;
	struct store_get got;

	delete = begun(f, verb(f, STORE_DEPROVISION, "i1", NULL), BEGUN_HALTING);
	assert_int_equal(delete.op.state, STORE_OP_FOLLOWING);
	assert_int_equal(delete.op.after, create.op.seq);
	assert_int_equal(delete.halted.seq, create.op.seq);
	assert_true(str_is(delete.halted.owner, "run-1"));
	assert_int_equal(delete.instance.state, STORE_CREATING);
	again = begun(f, verb(f, STORE_DEPROVISION, "i1", NULL), BEGUN_SAME_RUNNING);
	assert_int_equal(again.op.seq, delete.op.seq);
	begun(f, verb(f, STORE_PROVISION, "i1", NULL), BEGUN_CONCURRENCY);
	assert_int_equal(RUN(f, store_step, &step), 0);
	assert_true(step.halted);
	e = end_of(f, &create.op, STORE_SUCCEEDED);
	assert_int_equal(RUN(f, store_end, &e), 0);
	assert_true(e.halted); /* too late: it must go back */
	got = look(f, "i1", NULL);
	assert_int_equal(got.instance.state, STORE_CREATING);
	e = end_of(f, &create.op, STORE_FAILED_RESULT);
	e.end.description = STR("halted");
	assert_int_equal(RUN(f, store_end, &e), 0);
	assert_int_equal(e.follower.seq, delete.op.seq);
	assert_int_equal(e.follower.state, STORE_OP_ENDED);
	assert_int_equal(e.follower.result, STORE_SUCCEEDED);
	got = look(f, "i1", NULL);
	assert_int_equal(got.instance.state, STORE_GONE);
	assert_int_equal(got.instance.data.n, 0);
	assert_int_equal(got.op.seq, delete.op.seq);
	begun(f, verb(f, STORE_DEPROVISION, "i1", NULL), BEGUN_GONE);
	start(f, STORE_PROVISION, "i1", NULL); /* a new attempt */
}

static void test_halt_left_over(void **state)
{
	struct fixture *f = *state;
	struct store_begin create, delete;
	struct store_op_end e;
	struct store_claim claimed;
	struct store_get got;

	at_once(f, STORE_PROVISION, "i1", NULL);
	create = start(f, STORE_BIND, "i1", "b1");
	assert_int_equal(create.instance.n_binding_ops, 1);
	delete = begun(f, verb(f, STORE_UNBIND, "i1", "b1"), BEGUN_HALTING);
	assert_int_equal(delete.instance.n_binding_ops, 1); /* counted with the create */
	e = end_of(f, &create.op, STORE_FAILED_RESULT);
	e.end.left_over = true;
	assert_int_equal(RUN(f, store_end, &e), 0);
	assert_int_equal(e.follower.seq, delete.op.seq);
	assert_int_equal(e.follower.state, STORE_OP_WAITING);
	got = look(f, "i1", "b1");
	assert_int_equal(got.binding.state, STORE_DELETING);
	assert_int_equal(got.instance.n_binding_ops, 1);
	assert_int_equal(got.instance.n_bindings, 1); /* it may exist for the backend */
	begun(f, verb(f, STORE_UPDATE, "i1", NULL), BEGUN_CONCURRENCY);
	claimed = claim(f, "mysql", 5);
	assert_int_equal(claimed.n_ops, 1);
	assert_int_equal(claimed.ops[0].op.seq, delete.op.seq);
	e = end_of(f, &claimed.ops[0].op, STORE_FAILED_RESULT);
	assert_int_equal(RUN(f, store_end, &e), 0);
	got = look(f, "i1", "b1");
	assert_int_equal(got.binding.state, STORE_DIRTY);
	assert_int_equal(got.instance.n_binding_ops, 0);
	assert_int_equal(got.instance.n_bindings, 1);
	begun(f, verb(f, STORE_DEPROVISION, "i1", NULL), BEGUN_HAS_BINDINGS);
	at_once(f, STORE_UNBIND, "i1", "b1");
	got = look(f, "i1", "b1");
	assert_int_equal(got.binding.state, STORE_GONE);
	assert_int_equal(got.instance.n_bindings, 0);
}

/* -- slots ---------------------------------------------------------------------------------- */

static void test_claim(void **state)
{
	struct fixture *f = *state;
	struct store_begin c[5];
	struct store_release release;
	struct store_claim claimed;
	struct store_get got;
	size_t i;

	for (i = 0; i < 4; i++) {
		char id[] = { 'i', (char)('0' + i), 0 };

		c[i] = verb(f, STORE_PROVISION, id, NULL);
		c[i].instance_id = arena_str(&f->arena, str_of(id));
		c[i].owner = STR("");
		c[i].max_waiting = 4;
		c[i].service = i == 1 ? STR("redis") : STR("mysql");
		c[i] = begun(f, c[i], BEGUN_STARTED);
		assert_int_equal(c[i].op.state, STORE_OP_WAITING);
		assert_int_equal(c[i].op.began, 0);
	}
	c[4] = verb(f, STORE_PROVISION, "i9", NULL);
	c[4].owner = STR("");
	c[4].max_waiting = 4;
	c[4] = begun(f, c[4], BEGUN_FULL);
	got = look(f, "i9", NULL);
	assert_int_equal(got.instance.seq, 0); /* nothing was written */
	got = look(f, "i3", NULL);
	assert_int_equal(got.waiting_before, 2); /* of its service */
	claimed = claim(f, "mysql", 2);
	assert_int_equal(claimed.n_ops, 2);
	assert_int_equal(claimed.waiting, 2);
	assert_int_equal(claimed.ops[0].op.seq, c[0].op.seq);
	assert_int_equal(claimed.ops[1].op.seq, c[2].op.seq);
	assert_int_equal(claimed.ops[0].op.fence, 1);
	assert_int_equal(claimed.ops[0].op.claims, 1);
	assert_int_equal(claimed.ops[0].op.began, WALL);
	assert_true(str_is(claimed.ops[0].op.owner, "run-2"));
	assert_true(str_is(claimed.ops[0].op.request, "{\"asked\":1}"));
	assert_true(str_is(claimed.ops[0].instance.data, "{\"parameters\":{}}"));
	release = (struct store_release){ .op = c[0].op.seq, .fence = 1 };
	assert_int_equal(RUN(f, store_release, &release), 0);
	assert_int_equal(RUN(f, store_release, &release), ERR_STALE);
	claimed = claim(f, "mysql", 1);
	assert_int_equal(claimed.n_ops, 1);
	assert_int_equal(claimed.ops[0].op.seq, c[0].op.seq); /* the oldest again */
	assert_int_equal(claimed.ops[0].op.fence, 2);
	assert_int_equal(claimed.ops[0].op.claims, 1); /* a release in order is no crash */
	claimed = claim(f, "mysql", 0);
	assert_int_equal(claimed.n_ops, 0);
	claimed = claim(f, "oracle", 9);
	assert_int_equal(claimed.n_ops, 0);
}

static void test_claim_oldest_of_all(void **state)
{
	struct fixture *f = *state;
	static const char *const services[] = { "a", "b", "a", "b", "c", "b" };
	static const size_t order[] = { 0, 1, 3 }; /* one of a, two of b, three in all */
	struct store_claim_want wants[] = { { STR("b"), 9 }, { STR("a"), 1 }, { STR("c"), 9 } };
	struct store_claim c = {
		.arena = &f->arena, .owner = STR("run-2"), .wants = wants, .n_wants = 3, .max = 3
	};
	int64_t seq[6];
	size_t i;

	for (i = 0; i < 6; i++) {
		struct store_begin b = verb(f, STORE_PROVISION, services[i], NULL);

		b.instance_id = str_of(arena_printf(&f->arena, "i%zu", i));
		b.owner = STR("");
		b.service = str_of(services[i]);
		seq[i] = begun(f, b, BEGUN_STARTED).op.seq;
	}
	assert_int_equal(RUN(f, store_claim, &c), 0);
	assert_int_equal(c.n_ops, 3);
	assert_int_equal(c.waiting, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(c.ops[i].op.seq, seq[order[i]]);
}

/* -- bindings ------------------------------------------------------------------------------- */

static void test_bindings(void **state)
{
	struct fixture *f = *state;
	struct store_begin b1, c;
	struct store_list list = { .arena = &f->arena, .kind = STORE_LIST_BINDINGS, .max = 1 };
	struct store_get got;

	begun(f, verb(f, STORE_BIND, "i1", "b1"), BEGUN_NOT_FOUND);
	at_once(f, STORE_PROVISION, "i1", NULL);
	b1 = at_once(f, STORE_BIND, "i1", "b1");
	assert_int_equal(b1.instance.n_bindings, 1);
	assert_int_equal(b1.instance.n_binding_ops, 0);
	assert_int_equal(b1.binding.state, STORE_READY);
	begun(f, verb(f, STORE_DEPROVISION, "i1", NULL), BEGUN_HAS_BINDINGS);
	c = verb(f, STORE_BIND, "i1", "b2");
	c.predecessor = STR("b0");
	begun(f, c, BEGUN_PREDECESSOR);
	c.predecessor = STR("b1");
	c = begun(f, c, BEGUN_STARTED);
	assert_int_equal(c.instance.n_bindings, 1);
	assert_int_equal(c.instance.n_binding_ops, 1);
	assert_true(str_is(c.instance.data, "{\"parameters\":{}}")); /* backends want it */
	begun(f, verb(f, STORE_UPDATE, "i1", NULL), BEGUN_CONCURRENCY);
	end_ok(f, &c.op);
	got = look(f, "i1", "b2");
	assert_int_equal(got.instance.n_bindings, 2);
	assert_true(str_is(got.binding.predecessor, "b1"));
	list.instance = got.instance.seq;
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 1);
	assert_true(str_is(list.rows[0].binding.id, "b1"));
	assert_true(str_is(list.rows[0].service, "mysql"));
	list.from = list.rows[0].at;
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 1);
	assert_true(str_is(list.rows[0].binding.id, "b2"));
	list.from = list.rows[0].at;
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 0);
	c = start(f, STORE_UNBIND, "i1", "b1");
	assert_int_equal(c.instance.n_bindings, 2);
	end_ok(f, &c.op);
	got = look(f, "i1", "b1");
	assert_int_equal(got.instance.n_bindings, 1);
	assert_int_equal(got.binding.state, STORE_GONE);
	assert_int_equal(got.binding.data.n, 0);
	/* a deprovision that does not mind takes the rest with it */
	c = verb(f, STORE_DEPROVISION, "i1", NULL);
	c.ignore_bindings = true;
	c = begun(f, c, BEGUN_STARTED);
	end_ok(f, &c.op);
	got = look(f, "i1", "b2");
	assert_int_equal(got.instance.state, STORE_GONE);
	assert_int_equal(got.instance.n_bindings, 0);
	assert_int_equal(got.instance.data.n, 0);
	assert_int_equal(got.binding.state, STORE_GONE);
	assert_int_equal(got.binding.data.n, 0);
	got = look(f, "i1", "b9");
	assert_int_equal(got.binding.seq, 0);
	assert_int_equal(got.op.seq, 0);
}

/* An unbind that belongs to a deprovision, whose instance is gone before it ends. */
static void test_unbind_outlived(void **state)
{
	struct fixture *f = *state;
	struct store_begin gone, unbind, again;
	struct store_get got;

	at_once(f, STORE_PROVISION, "i1", NULL);
	at_once(f, STORE_BIND, "i1", "b1");
	gone = verb(f, STORE_DEPROVISION, "i1", NULL);
	gone.ignore_bindings = true;
	gone = begun(f, gone, BEGUN_STARTED);
	unbind = verb(f, STORE_UNBIND, "i1", "b1");
	begun(f, unbind, BEGUN_CONCURRENCY);
	unbind.while_deleting = true;
	unbind = begun(f, unbind, BEGUN_STARTED);
	end_ok(f, &gone.op);
	got = look(f, "i1", "b1");
	assert_int_equal(got.binding.state, STORE_GONE);
	assert_int_equal(got.instance.n_bindings, 0);
	assert_int_equal(got.instance.n_binding_ops, 1); /* it still runs */
	at_once(f, STORE_PROVISION, "i1", NULL);
	again = at_once(f, STORE_BIND, "i1", "b1");
	assert_int_equal(again.instance.n_bindings, 1);
	assert_int_equal(again.instance.n_binding_ops, 1);
	end_ok(f, &unbind.op);
	got = look(f, "i1", "b1"); /* the new binding is not the old op's to delete */
	assert_int_equal(got.binding.state, STORE_READY);
	assert_int_equal(got.instance.n_bindings, 1);
	assert_int_equal(got.instance.n_binding_ops, 0);
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;
	struct store_begin c, b2;
	struct store_end end = { .result = STORE_SUCCEEDED,
				 .expires_at = WALL + HOUR(1),
				 .renew_before = WALL + MINUTES(48) };
	struct store_list list = { .arena = &f->arena, .kind = STORE_LIST_EXPIRED, .max = 9 };
	struct store_op_end e;

	at_once(f, STORE_PROVISION, "i1", NULL);
	c = verb(f, STORE_BIND, "i1", "b1");
	c.at_once = &end;
	c = begun(f, c, BEGUN_ENDED);
	assert_int_equal(c.binding.renew_before, WALL + MINUTES(48));
	begun(f, verb(f, STORE_EXPIRE, "i1", "b1"), BEGUN_CONCURRENCY);
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 0);
	assert_int_equal(list.next, WALL + HOUR(1));
	pass(f, HOUR(1));
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 1);
	assert_int_equal(list.next, 0);
	assert_true(str_is(list.rows[0].binding.id, "b1"));
	assert_true(str_is(list.rows[0].instance.id, "i1"));
	b2 = verb(f, STORE_BIND, "i1", "b2");
	b2.predecessor = STR("b1");
	begun(f, b2, BEGUN_PREDECESSOR); /* its time is up */
	c = start(f, STORE_EXPIRE, "i1", "b1");
	assert_int_equal(c.binding.state, STORE_EXPIRING);
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 0);
	e = end_of(f, &c.op, STORE_FAILED_RESULT);
	assert_int_equal(RUN(f, store_end, &e), 0);
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 0); /* not again at once */
	assert_int_equal(list.next, now_of(f) + MINUTES(1));
	pass(f, MINUTES(1));
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 1);
	c = at_once(f, STORE_EXPIRE, "i1", "b1");
	assert_int_equal(c.binding.state, STORE_EXPIRED);
	assert_int_equal(c.instance.n_bindings, 0);
	begun(f, verb(f, STORE_BIND, "i1", "b1"), BEGUN_CONFLICT);
	c = begun(f, verb(f, STORE_UNBIND, "i1", "b1"), BEGUN_ENDED);
	assert_int_equal(c.binding.state, STORE_GONE);
	assert_int_equal(c.instance.n_bindings, 0);
	assert_int_equal(c.op.result, STORE_SUCCEEDED);
}

/* -- update --------------------------------------------------------------------------------- */

static void test_update(void **state)
{
	struct fixture *f = *state;
	struct store_begin made = at_once(f, STORE_PROVISION, "i1", NULL), c;
	struct store_end end = { .result = STORE_SUCCEEDED,
				 .plan_id = STR("plan-2"),
				 .same = STR("same-2"),
				 .maintenance = STR("1.2.3"),
				 .dashboard_url = STR("https://d") };
	struct store_op_end e;
	struct store_get got;

	c = verb(f, STORE_UPDATE, "i1", NULL);
	c.rev = made.instance.rev + 1;
	begun(f, c, BEGUN_CHANGED);
	c.rev = made.instance.rev;
	c.same = STR("asked");
	c = begun(f, c, BEGUN_STARTED);
	assert_true(c.instance.rev > made.instance.rev);
	assert_int_equal(begun(f, verb(f, STORE_UPDATE, "i1", NULL), BEGUN_CONCURRENCY).op.seq,
			 c.op.seq);
	c = verb(f, STORE_UPDATE, "i1", NULL);
	c.same = STR("asked");
	c = begun(f, c, BEGUN_SAME_RUNNING);
	e = end_of(f, &c.op, STORE_SUCCEEDED);
	e.end = end;
	e.end.op = c.op.seq;
	e.end.fence = c.op.fence;
	assert_int_equal(RUN(f, store_end, &e), 0);
	got = look(f, "i1", NULL);
	assert_true(str_is(got.instance.plan_id, "plan-2"));
	assert_true(str_is(got.instance.maintenance, "1.2.3"));
	assert_true(str_is(got.instance.data, "{\"parameters\":{}}")); /* left as it was */
	begun(f, verb(f, STORE_PROVISION, "i1", NULL), BEGUN_CONFLICT);
	c = verb(f, STORE_PROVISION, "i1", NULL);
	c.same = STR("same-2"); /* identical means: to what it is now */
	begun(f, c, BEGUN_SAME_DONE);
	c = start(f, STORE_UPDATE, "i1", NULL);
	e = end_of(f, &c.op, STORE_FAILED_RESULT);
	e.end.flags = STORE_UNUSABLE | STORE_NOT_REPEATABLE;
	e.end.error = STR("Quota");
	e.end.http_status = 400;
	e.end.plan_id = STR("plan-3");
	e.end.dashboard_url = STR("");
	assert_int_equal(RUN(f, store_end, &e), 0);
	got = look(f, "i1", NULL);
	assert_int_equal(got.instance.state, STORE_READY);
	assert_false(got.instance.usable);
	assert_true(str_is(got.instance.plan_id, "plan-2"));
	assert_true(str_is(got.instance.dashboard_url, "https://d"));
	assert_int_equal(got.op.result, STORE_FAILED_RESULT);
	assert_int_equal(got.op.flags, STORE_UNUSABLE | STORE_NOT_REPEATABLE);
	assert_int_equal(got.op.http_status, 400);
	assert_true(str_is(got.op.error, "Quota"));
	/* asked for by name, an older op is still known; a stranger's means the latest */
	got.operation = str_of(made.op.id);
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_int_equal(got.op.seq, made.op.seq);
	made = at_once(f, STORE_PROVISION, "i2", NULL);
	got.operation = str_of(made.op.id);
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_int_equal(got.op.seq, c.op.seq);
	got.operation = STR("nonsense-1");
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_int_equal(got.op.seq, c.op.seq);
}

/* -- any bytes ------------------------------------------------------------------------------ */

static void test_any_bytes(void **state)
{
	struct fixture *f = *state;
	char id[256];
	struct store_begin c = verb(f, STORE_PROVISION, "", NULL);
	struct store_get got = { .arena = &f->arena, .platform = STR("cf") };
	size_t i;

	for (i = 0; i < sizeof(id); i++)
		id[i] = (char)(255 - i);
	c.instance_id = str_make(id, sizeof(id));
	c.space = str_make(id + 1, 255);
	begun(f, c, BEGUN_STARTED);
	got.instance_id = c.instance_id;
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_true(str_eq(got.instance.id, c.instance_id));
	assert_true(str_eq(got.instance.space, c.space));
	got.instance_id.n--;
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_int_equal(got.instance.seq, 0);
	got.platform = STR("c"); /* "c" and "f…" are not "cf" and "…" */
	assert_int_equal(RUN(f, store_get, &got), 0);
	assert_int_equal(got.instance.seq, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_STORE(test_provision_in_steps),
		EACH_STORE(test_identical),
		EACH_STORE(test_halt_clean),
		EACH_STORE(test_halt_left_over),
		EACH_STORE(test_claim),
		EACH_STORE(test_claim_oldest_of_all),
		EACH_STORE(test_bindings),
		EACH_STORE(test_unbind_outlived),
		EACH_STORE(test_expiry),
		EACH_STORE(test_update),
		EACH_STORE(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
