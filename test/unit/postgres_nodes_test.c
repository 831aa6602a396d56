/* Two processes' stores on one PostgreSQL: who wins, who is dead, who hears of what; and a server
 * that goes away, also between a commit and its reply. */
/* SPDX-License-Identifier: Apache-2.0 */
#define STORE_POSTGRES
#include "store_fixture.h"

#define LEASE MINUTES(10)

struct nodes {
	struct fixture *f;
	struct store *store[2]; /* owners run-1 and run-2 */
	enum store_event event; /* the latest that store 0 told */
	int64_t told;
	unsigned n_told;
	bool heard;
};

static void note_event(void *data, enum store_event event, int64_t op)
{
	struct nodes *n = data;

	n->event = event;
	n->told = op;
	n->n_told++;
	n->heard = true;
}

static struct store *open_other(struct fixture *f)
{
	struct store *first = f->store, *other;

	fixture_open(f);
	other = f->store;
	f->store = first;
	return other;
}

static int setup_nodes(void **state)
{
	struct nodes *n = mem_zalloc(sizeof(*n));
	int rc = setup_shared((void **)&n->f);

	n->store[0] = n->f->store;
	n->store[1] = open_other(n->f);
	n->store[0]->on_event = note_event;
	n->store[0]->event_data = n;
	*state = n;
	return rc;
}

static int teardown_nodes(void **state)
{
	struct nodes *n = *state;

	n->f->store = n->store[1];
	fixture_close(n->f);
	n->f->store = n->store[0];
	fixture_free(n->f);
	mem_free(n);
	return 0;
}

/* The calls of the fixture go to that node from now on. */
static struct fixture *on(struct nodes *n, int node)
{
	n->f->store = n->store[node];
	return n->f;
}

static const char *ask(const char *line)
{
	static char answer[512];
	int fd = atoi(getenv("OSBD_PG_CONTROL"));
	size_t n = 0;

	assert_true(dprintf(fd, "%s\n", line) > 0);
	while (n < sizeof(answer) - 1 && read(fd, answer + n, 1) == 1 && answer[n] != '\n')
		n++;
	answer[n] = '\0';
	if (strncmp(answer, "ok", 2) != 0)
		fail_msg("%s: %s", line, answer);
	return answer[2] ? answer + 3 : "";
}

struct nap {
	struct timer timer;
	bool over;
};

static void nap_over(struct timer *timer)
{
	container_of(timer, struct nap, timer)->over = true;
}

static void nap(struct nodes *n, uint64_t ms)
{
	struct nap nap = { 0 };

	timer_start(&nap.timer, &n->f->loop, ms, nap_over);
	assert_true(loop_run_until(&n->f->loop, &nap.over));
}

static void hear(struct nodes *n)
{
	unsigned i;

	for (i = 0; i < 300 && !n->heard; i++)
		nap(n, 20);
	assert_true(n->heard);
	n->heard = false;
}

/* -- the same instant ----------------------------------------------------------------------- */

static struct store_begin of_node(struct nodes *n, int node, enum store_verb v, const char *id)
{
	struct store_begin c = verb(n->f, v, arena_printf(&n->f->arena, "%s", id), NULL);

	c.owner = node ? STR("run-2") : STR("run-1");
	return c;
}

/* Begins on both nodes at once; how often each answer was given. */
static void race(struct nodes *n, const struct store_begin *one, const struct store_begin *two,
		 struct store_begin out[2], unsigned seen[BEGUN_FULL + 1])
{
	struct ended ended[2];
	int i;

	out[0] = *one;
	out[1] = *two;
	for (i = 0; i < 2; i++) {
		arm(&out[i].call, &ended[i]);
		store_begin(n->store[i], &out[i]);
	}
	for (i = 0; i < 2; i++) {
		assert_true(loop_run_until(&n->f->loop, &ended[i].done));
		assert_int_equal(ended[i].status, 0);
		seen[out[i].result]++;
	}
}

static void test_same_put(void **state)
{
	struct nodes *n = *state;
	unsigned i;

	for (i = 0; i < 50; i++) {
		const char *id = arena_printf(&n->f->arena, "same-%u", i);
		struct store_begin one = of_node(n, 0, STORE_PROVISION, id);
		struct store_begin two = of_node(n, 1, STORE_PROVISION, id), out[2];
		unsigned seen[BEGUN_FULL + 1] = { 0 };

		race(n, &one, &two, out, seen);
		assert_int_equal(seen[BEGUN_STARTED], 1);
		assert_int_equal(seen[BEGUN_SAME_RUNNING], 1);
		assert_string_equal(out[0].op.id, out[1].op.id);
		assert_int_equal(out[0].instance.seq, out[1].instance.seq);
	}
}

static void test_other_put(void **state)
{
	struct nodes *n = *state;
	unsigned i;

	for (i = 0; i < 20; i++) {
		const char *id = arena_printf(&n->f->arena, "other-%u", i);
		struct store_begin one = of_node(n, 0, STORE_PROVISION, id);
		struct store_begin two = of_node(n, 1, STORE_PROVISION, id), out[2];
		unsigned seen[BEGUN_FULL + 1] = { 0 };

		two.same = STR("other");
		race(n, &one, &two, out, seen);
		assert_int_equal(seen[BEGUN_STARTED], 1);
		assert_int_equal(seen[BEGUN_CONFLICT], 1);
	}
}

/* One of the two finds the other's work, whichever comes first; nothing waits for itself. */
static void test_opposites(void **state)
{
	struct nodes *n = *state;
	unsigned i;

	for (i = 0; i < 20; i++) {
		const char *id = arena_printf(&n->f->arena, "i-%u", i);
		struct store_begin gone, bind, out[2], a, b;
		unsigned seen[BEGUN_FULL + 1] = { 0 };

		at_once(on(n, 0), STORE_PROVISION, id, NULL);
		gone = of_node(n, 0, STORE_DEPROVISION, id);
		bind = of_node(n, 1, STORE_BIND, id);
		bind.binding_id = STR("b");
		race(n, &gone, &bind, out, seen);
		assert_int_equal(seen[BEGUN_STARTED], 1);
		assert_int_equal(seen[BEGUN_CONCURRENCY], 1);
		at_once(on(n, 0), STORE_PROVISION, arena_printf(&n->f->arena, "u-%u", i), NULL);
		a = of_node(n, 0, STORE_UPDATE, arena_printf(&n->f->arena, "u-%u", i));
		b = of_node(n, 1, STORE_UPDATE, arena_printf(&n->f->arena, "u-%u", i));
		b.same = STR("other");
		memset(seen, 0, sizeof(seen));
		race(n, &a, &b, out, seen);
		assert_int_equal(seen[BEGUN_STARTED], 1);
		assert_int_equal(seen[BEGUN_CONCURRENCY], 1);
	}
}

/* A step, an end and a halt of one op at once: whatever the order, none waits for another for
 * ever, and the end is there or was refused. */
static void test_no_deadlock(void **state)
{
	struct nodes *n = *state;
	unsigned i;

	for (i = 0; i < 20; i++) {
		const char *id = arena_printf(&n->f->arena, "d-%u", i);
		struct store_begin c = start(on(n, 0), STORE_PROVISION, id, NULL);
		struct store_begin halt = of_node(n, 1, STORE_DEPROVISION, id);
		struct store_op_end end = end_of(n->f, &c.op, STORE_SUCCEEDED);
		struct ended ended[2];
		uint64_t before = loop_now(&n->f->loop);

		arm(&halt.call, &ended[0]);
		arm(&end.call, &ended[1]);
		store_begin(n->store[1], &halt);
		store_end(n->store[0], &end);
		assert_true(loop_run_until(&n->f->loop, &ended[0].done));
		assert_true(loop_run_until(&n->f->loop, &ended[1].done));
		assert_int_equal(ended[0].status, 0);
		assert_int_equal(ended[1].status, 0);
		/* a deadlock would be found by the server after a second */
		assert_true(loop_now(&n->f->loop) - before < 900);
		if (end.halted)
			assert_int_equal(halt.result, BEGUN_HALTING);
		else
			assert_int_equal(halt.result, BEGUN_STARTED);
	}
}

/* -- leases --------------------------------------------------------------------------------- */

static void test_takeover(void **state)
{
	struct nodes *n = *state;
	struct store_begin c;
	struct store_step step = { .step = STR("deploy"), .new_step = true };
	struct store_op_end end;
	struct store_release release;
	struct store_claim claimed;

	assert_false(renew(on(n, 0), "short", true, 1500).lost);
	c = verb(n->f, STORE_PROVISION, "i1", NULL);
	c.owner = STR("short");
	c = begun(n->f, c, BEGUN_STARTED);
	assert_int_equal(c.op.state, STORE_OP_RUNNING);
	claimed = claim(on(n, 1), "mysql", 9);
	assert_int_equal(claimed.n_ops, 0); /* its owner lives */
	step.op = c.op.seq;
	step.fence = c.op.fence;
	assert_int_equal(RUN(on(n, 0), store_step, &step), 0);
	nap(n, 1600);
	/* nobody has claimed it yet, but its owner is dead: it writes nothing */
	step.step = STR("late");
	assert_int_equal(RUN(on(n, 0), store_step, &step), ERR_STALE);
	end = end_of(n->f, &c.op, STORE_SUCCEEDED);
	assert_int_equal(RUN(n->f, store_end, &end), ERR_STALE);
	release = (struct store_release){ .op = c.op.seq, .fence = c.op.fence };
	assert_int_equal(RUN(n->f, store_release, &release), ERR_STALE);
	assert_true(renew(n->f, "short", false, LEASE).lost); /* for good */
	assert_true(renew(n->f, "short", true, LEASE).lost);
	assert_int_equal(renew(on(n, 1), "run-2", false, LEASE).waiting, 1);
	claimed = claim(on(n, 1), "mysql", 9);
	assert_int_equal(claimed.n_ops, 1);
	assert_int_equal(claimed.waiting, 0);
	assert_int_equal(claimed.ops[0].op.seq, c.op.seq);
	assert_int_equal(claimed.ops[0].op.fence, c.op.fence + 1);
	assert_int_equal(claimed.ops[0].op.claims, 1); /* since deploy ended */
	assert_true(str_is(claimed.ops[0].op.step, "deploy"));
	assert_true(str_is(claimed.ops[0].op.owner, "run-2"));
	step.fence = claimed.ops[0].op.fence;
	assert_int_equal(RUN(on(n, 1), store_step, &step), 0);
	end_ok(on(n, 1), &claimed.ops[0].op);
}

static void test_leave(void **state)
{
	struct nodes *n = *state;
	struct store_leave leave = { .owner = STR("run-1") };
	struct store_begin c = start(on(n, 0), STORE_PROVISION, "i1", NULL), late;

	assert_int_equal(renew(on(n, 1), "run-2", false, LEASE).nodes, 2);
	assert_int_equal(RUN(on(n, 0), store_leave, &leave), 0);
	assert_int_equal(renew(on(n, 1), "run-2", false, LEASE).nodes, 1);
	late = verb(on(n, 0), STORE_PROVISION, "i2", NULL);
	assert_int_equal(RUN(n->f, store_begin, &late), ERR_STORE); /* run-1 begins nothing */
	assert_int_equal(look(n->f, "i2", NULL).instance.seq, 0);
	assert_int_equal(claim(on(n, 1), "mysql", 9).ops[0].op.seq, c.op.seq);
}

static void test_slots(void **state)
{
	struct nodes *n = *state;
	struct store_claim_want want = { STR("mysql"), 5 };
	struct store_claim c[2];
	struct ended ended[2];
	bool taken[20] = { false };
	int64_t first = 0;
	size_t i, k, all = 0;

	for (i = 0; i < 20; i++) {
		struct store_begin b =
			of_node(n, 0, STORE_PROVISION, arena_printf(&n->f->arena, "w-%zu", i));

		b.owner = STR("");
		b = begun(on(n, 0), b, BEGUN_STARTED);
		if (i == 0)
			first = b.op.seq;
	}
	for (i = 0; i < 2; i++) {
		c[i] = (struct store_claim){ .arena = &n->f->arena,
					     .owner = i ? STR("run-2") : STR("run-1"),
					     .wants = &want,
					     .n_wants = 1,
					     .max = 100 };
		arm(&c[i].call, &ended[i]);
		store_claim(n->store[i], &c[i]);
	}
	for (i = 0; i < 2; i++) {
		assert_true(loop_run_until(&n->f->loop, &ended[i].done));
		assert_int_equal(ended[i].status, 0);
		assert_int_equal(c[i].n_ops, 5);
		for (k = 0; k < c[i].n_ops; k++) {
			size_t at = (size_t)(c[i].ops[k].op.seq - first);

			assert_true(at < 20);
			assert_false(taken[at]); /* by one node only */
			taken[at] = true;
		}
	}
	for (i = 0; i < 20 && taken[i]; i++)
		all++;
	assert_int_equal(all, 10); /* the oldest ten, between the two */
}

/* -- what others hear ----------------------------------------------------------------------- */

static void test_halt_across(void **state)
{
	struct nodes *n = *state;
	struct store_begin c = start(on(n, 0), STORE_PROVISION, "i1", NULL), gone;
	struct store_renew r;

	nap(n, 300); /* both listen */
	renew(on(n, 1), "run-2", false, LEASE);
	gone = of_node(n, 1, STORE_DEPROVISION, "i1");
	gone = begun(on(n, 1), gone, BEGUN_HALTING);
	assert_true(str_is(gone.halted.owner, "run-1"));
	hear(n);
	assert_int_equal(n->event, STORE_EVENT_HALTED);
	assert_int_equal(n->told, c.op.seq);
	r = renew(on(n, 0), "run-1", false, LEASE); /* and also without it */
	assert_int_equal(r.n_halted, 1);
	assert_int_equal(r.halted[0], c.op.seq);
}

static void test_watch(void **state)
{
	struct nodes *n = *state;
	struct store_begin c = of_node(n, 1, STORE_PROVISION, "i1"), d;
	uint64_t before;

	c = begun(on(n, 1), c, BEGUN_STARTED);
	d = of_node(n, 1, STORE_PROVISION, "i2");
	d = begun(on(n, 1), d, BEGUN_STARTED);
	store_watch(n->store[0], c.op.seq);
	nap(n, 300);
	before = loop_now(&n->f->loop);
	end_ok(on(n, 1), &d.op); /* which nobody waits for */
	end_ok(on(n, 1), &c.op);
	hear(n);
	assert_true(loop_now(&n->f->loop) - before < 1500); /* told, not found by the poll */
	assert_int_equal(n->event, STORE_EVENT_ENDED);
	assert_int_equal(n->told, c.op.seq);
	assert_int_equal(n->n_told, 1);
	store_watch(n->store[0], d.op.seq); /* has ended before: found at once */
	hear(n);
	assert_int_equal(n->told, d.op.seq);
}

/* -- what a call costs ---------------------------------------------------------------------- */

static void test_cost(void **state)
{
	struct nodes *n = *state;
	struct fixture *f = on(n, 0);
	const struct metric *sent = &pg_of(f->store)->statements;
	struct store_begin c;
	double before = sent->value;

	c = start(f, STORE_PROVISION, "i1", NULL);
	assert_true(sent->value - before <= 6); /* four that read, two that write */
	before = sent->value;
	assert_int_equal(look(f, "i1", NULL).op.state, STORE_OP_RUNNING);
	assert_true(sent->value - before == 1); /* a poll: one indexed query */
	end_ok(f, &c.op);
	at_once(f, STORE_BIND, "i1", "b1");
	before = sent->value;
	assert_int_equal(look(f, "i1", "b1").op.result, STORE_SUCCEEDED);
	assert_true(sent->value - before == 2);
	before = sent->value;
	assert_int_equal(look(f, "i9", NULL).instance.seq, 0);
	assert_true(sent->value - before == 1);
}

/* -- keys ----------------------------------------------------------------------------------- */

static struct str sealed_with(struct nodes *n, const char *instance)
{
	struct sql_stmt text = {
		NULL,
		arena_printf(&n->f->arena, "SELECT data FROM instance WHERE id = '%s'", instance), 0
	};
	struct sql_tx tx;

	sql_tx_init(&tx, &n->f->arena);
	sql_add_plain(&tx, &text);
	arm(&tx.call, &n->f->ended);
	sql_start(pg_of(n->store[0])->pool, &tx);
	assert_int_equal(await(n->f, &tx.call), 0);
	return seal_key_id(sql_get_str(&tx.results[0], 0, 0));
}

static void test_keys(void **state)
{
	struct nodes *n = *state;
	struct seal_keys *keys = seal_keys_create();
	struct store *third;
	struct err err;

	assert_int_equal(
		seal_keys_add(keys, STR("k2"), STR("fedcba9876543210fedcba9876543210"), &err), 0);
	n->f->keys = keys;
	n->f->store = NULL;
	assert_int_equal(fixture_try_shared(n->f, &err), ERR_SEALED); /* none is the store's */
	assert_int_equal(
		seal_keys_add(keys, STR("k1"), STR("0123456789abcdef0123456789abcdef"), &err), 0);
	third = open_other(n->f);
	n->f->store = third;
	at_once(n->f, STORE_PROVISION, "before", NULL); /* run-1 and run-2 do not know k2 */
	assert_true(str_is(sealed_with(n, "before"), "k1"));
	renew(n->f, "new", true, LEASE);
	assert_false(renew(n->f, "new", false, LEASE).keys_changed);
	renew(on(n, 0), "run-1", false, 1);
	renew(on(n, 0), "run-2", false, 1);
	nap(n, 20);
	n->f->store = third;
	assert_true(renew(n->f, "new", false, LEASE).keys_changed); /* they are gone */
	at_once(n->f, STORE_PROVISION, "after", NULL);
	assert_true(str_is(sealed_with(n, "after"), "k2"));
	assert_true(str_is(look(n->f, "before", NULL).instance.data, "{\"parameters\":{}}"));
	fixture_close(n->f);
	n->f->keys = NULL;
	seal_keys_destroy(keys);
}

/* -- a server that goes --------------------------------------------------------------------- */

static void test_away(void **state)
{
	struct nodes *n = *state;
	struct fixture *f = on(n, 0);
	struct store_begin c = start(f, STORE_PROVISION, "i1", NULL), late;
	struct store_step step = { .op = c.op.seq, .fence = c.op.fence, .step = STR("deploy") };
	uint64_t before;
	unsigned i;

	ask("kill");
	before = loop_now(&f->loop);
	late = verb(f, STORE_PROVISION, "i2", NULL);
	assert_int_equal(RUN(f, store_begin, &late), ERR_STORE);
	assert_int_equal(RUN(f, store_step, &step), ERR_STORE);
	assert_true(loop_now(&f->loop) - before < SEC(20));
	before = loop_now(&f->loop);
	assert_int_equal(RUN(f, store_begin, &late), ERR_STORE);
	assert_true(loop_now(&f->loop) - before < 500); /* known to be away: at once */
	ask("start");
	for (i = 0; i < 600; i++) { /* it comes back by itself */
		if (RUN(f, store_step, &step) == 0)
			break;
		nap(n, 50);
	}
	assert_true(i < 600);
	assert_int_equal(look(f, "i2", NULL).instance.seq, 0);
	assert_true(str_is(look(f, "i1", NULL).op.step, "deploy"));
}

/* Lets the call's commit take a while, and meanwhile takes the connection away: when `heard`, the
 * server commits and nobody is told; else its session ends before it has. */
static int lose(struct nodes *n, struct ended *ended, bool heard)
{
	nap(n, 150); /* by then it waits for the commit */
	assert_false(ended->done);
	if (heard) {
		ask("swallow");
		nap(n, 600);
	}
	assert_false(ended->done);
	ask("cut");
	ask("flow");
	assert_true(loop_run_until(&n->f->loop, &ended->done));
	return ended->status;
}

static int64_t count(struct nodes *n, const char *what)
{
	struct sql_stmt text = { NULL, what, 0 };
	struct sql_tx tx;

	sql_tx_init(&tx, &n->f->arena);
	sql_add_plain(&tx, &text);
	arm(&tx.call, &n->f->ended);
	sql_start(pg_of(n->store[0])->pool, &tx);
	assert_int_equal(await(n->f, &tx.call), 0);
	return sql_get_int(&tx.results[0], 0, 0);
}

static struct store *open_through_proxy(struct nodes *n)
{
	const char *real = getenv("OSBD_PG_URL"), *at = strrchr(real, '@');
	char *kept = mem_strdup(real), url[512];
	struct store *store;

	snprintf(url, sizeof(url), "%.*s@127.0.0.1:%s/%s", (int)(at - real), real, ask("proxy"),
		 strrchr(real, '/') + 1);
	setenv("OSBD_PG_URL", url, 1);
	store = open_other(n->f);
	setenv("OSBD_PG_URL", kept, 1);
	mem_free(kept);
	return store;
}

/* What has happened is read back, what has not is done: each once, and each call ends well. */
static void test_lost_reply(void **state)
{
	struct nodes *n = *state;
	struct fixture *f = n->f;
	struct store *through = open_through_proxy(n);
	struct store_claim_want want = { STR("mysql"), 9 };
	struct ended ended;
	double doubts;
	int round;

	fixture_sql(f, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
		       " 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'");
	fixture_sql(f, "CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON op"
		       " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()");
	for (round = 0; round < 2; round++) {
		bool heard = round == 0;
		const char *id = heard ? "heard" : "cut";
		struct store_begin b = verb(f, STORE_PROVISION, id, NULL);
		struct store_claim c = { .arena = &f->arena,
					 .owner = STR("run-1"),
					 .wants = &want,
					 .n_wants = 1,
					 .max = 9 };
		struct store_step step = { .step = STR("next"), .new_step = true };
		struct store_op_end end;

		doubts = pg_of(through)->doubts.value;
		b.owner = STR("");
		arm(&b.call, &ended);
		store_begin(through, &b);
		assert_int_equal(lose(n, &ended, heard), 0);
		assert_int_equal(b.result, BEGUN_STARTED);
		assert_int_equal(look(on(n, 1), id, NULL).op.seq, b.op.seq);
		arm(&c.call, &ended);
		store_claim(through, &c);
		assert_int_equal(lose(n, &ended, heard), 0);
		assert_int_equal(c.n_ops, 1);
		assert_int_equal(c.ops[0].op.seq, b.op.seq);
		assert_int_equal(look(f, id, NULL).op.fence, c.ops[0].op.fence);
		assert_int_equal(look(f, id, NULL).op.claims, 1); /* claimed once */
		step.op = b.op.seq;
		step.fence = c.ops[0].op.fence;
		arm(&step.call, &ended);
		store_step(through, &step);
		assert_int_equal(lose(n, &ended, heard), 0);
		assert_true(str_is(look(f, id, NULL).op.step, "next"));
		end = end_of(f, &c.ops[0].op, STORE_SUCCEEDED);
		arm(&end.call, &ended);
		store_end(through, &end);
		assert_int_equal(lose(n, &ended, heard), 0);
		assert_false(end.halted);
		assert_int_equal(look(f, id, NULL).instance.state, STORE_READY);
		assert_true(pg_of(through)->doubts.value >= doubts + 4);
	}
	assert_int_equal(count(n, "SELECT count(*) FROM op"), 2);
	assert_int_equal(count(n, "SELECT count(*) FROM instance"), 2);
	f->store = through;
	fixture_close(f);
	f->store = n->store[0];
}

int main(void)
{
#define NODES(test) cmocka_unit_test_setup_teardown(test, setup_nodes, teardown_nodes)
	const struct CMUnitTest tests[] = {
		NODES(test_same_put),    NODES(test_other_put),   NODES(test_opposites),
		NODES(test_no_deadlock), NODES(test_takeover),    NODES(test_leave),
		NODES(test_slots),       NODES(test_halt_across), NODES(test_watch),
		NODES(test_cost),        NODES(test_keys),        NODES(test_lost_reply),
		NODES(test_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
