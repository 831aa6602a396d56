/* Thousands of random calls against the store and against a naive model of the rules, which keeps
 * everything in arrays and counts by looking. The seed is fixed; a failure says how far it got. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"
#include "store/sqlite_db.h"

#ifdef STORE_POSTGRES
#define ROUNDS 4000
#else
#define ROUNDS 10000
#endif
#define INSTANCES 4
#define BINDINGS 3
#define OPS (ROUNDS + 1)

struct model_op {
	enum store_verb verb;
	enum store_op_state state;
	enum store_result result;
	int instance, binding; /* -1: of the instance */
	int64_t seq, fence;
	uint32_t claims;
	int after;
	bool halted;
	enum store_state before;
	char same;
};

struct model_object {
	enum store_state state;
	int op; /* the latest */
	int64_t rev;
	char same;
	uint64_t expires_at;
};

struct model {
	struct fixture *f;
	struct arena arena;
	uint32_t random;
	int round;
	struct model_object instance[INSTANCES], binding[INSTANCES][BINDINGS];
	struct model_op ops[OPS];
	int n_ops;
	unsigned seen[BEGUN_FULL + 1], followers[2];
};

static uint32_t roll(struct model *m, uint32_t n)
{
	m->random = m->random * 1664525 + 1013904223;
	return (m->random >> 16) % n;
}

#define expect(m, a, b)                                                                           \
	do {                                                                                      \
		long long a_ = (long long)(a), b_ = (long long)(b);                               \
		if (a_ != b_)                                                                     \
			fail_msg("round %d: %s is %lld, the model says %lld", (m)->round, #a, a_, \
				 b_);                                                             \
	} while (0)

/* -- what the model counts by looking ------------------------------------------------------- */

/* Whether the backend may have something of it: ready or half-made, or so before its latest op. */
static bool may_exist(const struct model *m, const struct model_object *o)
{
	const struct model_op *op = &m->ops[o->op];

	if (o->state == STORE_CREATING && op->state == STORE_OP_FOLLOWING)
		op = &m->ops[op->after];
	if (o->state == STORE_CREATING || o->state == STORE_DELETING)
		return op->before == STORE_READY || op->before == STORE_DIRTY;
	return o->state == STORE_READY || o->state == STORE_DIRTY || o->state == STORE_EXPIRING;
}

static uint32_t n_bindings(const struct model *m, int i)
{
	uint32_t n = 0;
	int b;

	for (b = 0; b < BINDINGS; b++)
		n += may_exist(m, &m->binding[i][b]);
	return n;
}

static uint32_t n_binding_ops(const struct model *m, int i)
{
	uint32_t n = 0;
	int k;

	for (k = 0; k < m->n_ops; k++)
		if (m->ops[k].instance == i && m->ops[k].binding >= 0 &&
		    (m->ops[k].state == STORE_OP_WAITING || m->ops[k].state == STORE_OP_RUNNING))
			n++;
	return n;
}

static uint32_t n_waiting(const struct model *m)
{
	uint32_t n = 0;
	int k;

	for (k = 0; k < m->n_ops; k++)
		n += m->ops[k].state == STORE_OP_WAITING;
	return n;
}

static struct model_object *object_of(struct model *m, const struct model_op *op)
{
	return op->binding < 0 ? &m->instance[op->instance]
			       : &m->binding[op->instance][op->binding];
}

static const char *const instance_ids[] = { "i0", "i1", "i2", "i3" };
static const char *const binding_ids[] = { "b0", "b1", "b2" };
static const char *const sames[] = { "s0", "s1" };

/* -- what a verb's end does ----------------------------------------------------------------- */

static void bindings_go(struct model *m, int i)
{
	int b;

	for (b = 0; b < BINDINGS; b++)
		if (m->binding[i][b].state != STORE_NONE)
			m->binding[i][b].state = STORE_GONE;
}

/* Returns the follower, or -1. */
static int model_end(struct model *m, int k, const struct store_end *end)
{
	struct model_op *op = &m->ops[k];
	struct model_object *o = object_of(m, op);
	struct store_op as_op = { .verb = op->verb, .before = op->before };
	bool usable;
	int follower = -1, j;

	for (j = k + 1; j < m->n_ops; j++)
		if (m->ops[j].state == STORE_OP_FOLLOWING && m->ops[j].after == k)
			follower = j;
	op->state = STORE_OP_ENDED;
	op->result = end->result;
	if (follower >= 0 && end->left_over) {
		m->ops[follower].state = STORE_OP_WAITING;
		m->ops[follower].before = STORE_DIRTY;
		o->state = STORE_DELETING;
	} else if (follower >= 0) {
		m->ops[follower].state = STORE_OP_ENDED;
		m->ops[follower].result = STORE_SUCCEEDED;
		o->state = STORE_GONE;
	} else if (o->op == k && o->state != STORE_GONE) {
		o->state = store_finish(&as_op, end, &usable);
		if (op->verb == STORE_BIND && end->result == STORE_SUCCEEDED)
			o->expires_at = end->expires_at;
	}
	if (op->binding < 0 && o->state == STORE_GONE && (follower >= 0 || o->op == k))
		bindings_go(m, op->instance);
	return follower;
}

/* -- begin ---------------------------------------------------------------------------------- */

static enum store_begun model_decide(struct model *m, const struct store_begin *c, int i, int b,
				     int p, char same, enum store_state *state)
{
	struct model_object *mi = &m->instance[i], *mb = b < 0 ? NULL : &m->binding[i][b];
	struct model_object *object = mb ? mb : mi;
	struct model_op *latest = object->state ? &m->ops[object->op] : NULL;
	struct store_instance instance = { .seq = mi->state ? 1 : 0,
					   .state = mi->state,
					   .n_bindings = n_bindings(m, i),
					   .n_binding_ops = n_binding_ops(m, i) };
	struct store_binding binding = { .seq = mb && mb->state ? 1 : 0,
					 .state = mb ? mb->state : STORE_NONE,
					 .expires_at = mb ? mb->expires_at : 0 };
	struct store_binding old = { .seq = 1, .instance = 1 };
	struct store_op op = { .seq = 1 };
	struct store_facts facts = { .instance = &instance,
				     .binding = &binding,
				     .op = latest ? &op : NULL,
				     .same_object = object->same == same,
				     .same_op = latest && latest->same == same,
				     .now = now_of(m->f) };

	if (latest) {
		op.verb = latest->verb;
		op.halted = latest->halted;
	}
	if (p >= 0) {
		old.state = m->binding[i][p].state;
		old.expires_at = m->binding[i][p].expires_at;
		facts.predecessor = &old;
	}
	return store_decide(c, &facts, state);
}

static void model_begin(struct model *m, const struct store_begin *c, int i, int b, char same,
			enum store_begun begun, enum store_state state)
{
	struct model_object *o = b < 0 ? &m->instance[i] : &m->binding[i][b];
	struct model_op *op = &m->ops[m->n_ops];
	static const struct store_end nothing = { .result = STORE_SUCCEEDED };

	*op = (struct model_op){ .verb = c->verb,
				 .instance = i,
				 .binding = b,
				 .before = o->state,
				 .same = same,
				 .seq = c->op.seq,
				 .after = -1 };
	if (begun == BEGUN_HALTING) {
		m->ops[o->op].halted = true;
		op->state = STORE_OP_FOLLOWING;
		op->after = o->op;
	} else {
		op->state = c->owner.n ? STORE_OP_RUNNING : STORE_OP_WAITING;
		op->fence = op->claims = c->owner.n ? 1 : 0;
	}
	if (c->verb == STORE_PROVISION || c->verb == STORE_BIND) {
		o->same = same;
		o->expires_at = 0;
	}
	o->state = state;
	o->op = m->n_ops++;
	if (begun == BEGUN_ENDED)
		model_end(m, o->op, &nothing);
	else if (begun == BEGUN_STARTED && c->at_once)
		model_end(m, o->op, c->at_once);
}

static void random_begin(struct model *m)
{
	static const char none[] = "";
	enum store_verb v = (enum store_verb)roll(m, STORE_VERBS);
	int i = (int)roll(m, INSTANCES), b = v >= STORE_BIND ? (int)roll(m, BINDINGS) : -1, p = -1;
	char same = (char)roll(m, 2);
	struct store_end end = { .result = roll(m, 4) ? STORE_SUCCEEDED : STORE_FAILED_RESULT };
	struct store_begin c = verb(m->f, v, instance_ids[i], b < 0 ? none : binding_ids[b]);
	enum store_begun want;
	enum store_state state;
	int64_t latest;

	end.left_over = end.result != STORE_SUCCEEDED && roll(m, 2);
	end.expires_at = roll(m, 3) ? 0 : now_of(m->f) + roll(m, 50);
	c.arena = &m->arena;
	c.same = str_of(sames[(int)same]);
	c.at_once = roll(m, 3) == 0 ? &end : NULL;
	c.owner = roll(m, 2) ? STR("run-1") : STR("");
	c.max_waiting = 3;
	c.can_halt = roll(m, 3) > 0;
	c.ignore_bindings = roll(m, 4) == 0;
	c.while_deleting = roll(m, 2);
	if (v == STORE_BIND && roll(m, 4) == 0) {
		p = (int)roll(m, BINDINGS);
		c.predecessor = str_of(binding_ids[p]);
		if (m->binding[i][p].state == STORE_NONE)
			p = -1;
	}
	want = model_decide(m, &c, i, b, p, same, &state);
	if (want == BEGUN_STARTED && !c.at_once && !c.owner.n && n_waiting(m) >= 3)
		want = BEGUN_FULL;
	expect(m, RUN(m->f, store_begin, &c), 0);
	expect(m, c.result, want == BEGUN_STARTED && c.at_once ? BEGUN_ENDED : want);
	m->seen[want]++;
	if (want == BEGUN_STARTED || want == BEGUN_ENDED || want == BEGUN_HALTING)
		model_begin(m, &c, i, b, same, want, state);
	latest = b < 0 ? c.instance.op : c.binding.op;
	if (m->instance[i].state) {
		expect(m, c.instance.state, m->instance[i].state);
		expect(m, c.instance.n_bindings, n_bindings(m, i));
		expect(m, c.instance.n_binding_ops, n_binding_ops(m, i));
	}
	if (b >= 0 && m->instance[i].state)
		expect(m, c.binding.state, m->binding[i][b].state);
	if (latest) {
		struct model_op *op = &m->ops[b < 0 ? m->instance[i].op : m->binding[i][b].op];

		expect(m, latest, op->seq);
		if (want == BEGUN_SAME_RUNNING)
			expect(m, c.op.seq, op->seq);
	}
}

/* -- the rest ------------------------------------------------------------------------------- */

/* A random op that is in this state; -1: there is none. */
static int pick(struct model *m, enum store_op_state state)
{
	int k, tries = m->n_ops;

	for (k = tries ? (int)roll(m, (uint32_t)m->n_ops) : 0; tries-- > 0; k = (k + 1) % m->n_ops)
		if (m->ops[k].state == state)
			return k;
	return -1;
}

static void random_end(struct model *m)
{
	int k = pick(m, STORE_OP_RUNNING), follower;
	struct store_op_end e = { .arena = &m->arena };
	struct model_op *op;

	if (k < 0)
		return;
	op = &m->ops[k];
	e.end.op = op->seq;
	e.end.fence = op->fence;
	e.end.result = roll(m, 3) ? STORE_SUCCEEDED : STORE_FAILED_RESULT;
	e.end.left_over = e.end.result != STORE_SUCCEEDED && roll(m, 2);
	e.end.expires_at = roll(m, 3) ? 0 : now_of(m->f) + roll(m, 50);
	if (roll(m, 8) == 0) {
		e.end.fence += roll(m, 2) ? 1 : -1;
		expect(m, RUN(m->f, store_end, &e), ERR_STALE);
		return;
	}
	expect(m, RUN(m->f, store_end, &e), 0);
	expect(m, e.halted, op->halted && e.end.result == STORE_SUCCEEDED);
	if (e.halted)
		return;
	follower = model_end(m, k, &e.end);
	expect(m, e.follower.seq, follower < 0 ? 0 : m->ops[follower].seq);
	if (follower >= 0)
		m->followers[e.end.left_over]++;
	if (follower >= 0)
		expect(m, e.follower.state, m->ops[follower].state);
}

static void random_step(struct model *m)
{
	int k = pick(m, STORE_OP_RUNNING);
	struct store_step c = { .step = STR("next"), .memo = STR("{}"), .new_step = roll(m, 2) };

	if (k < 0)
		return;
	c.op = m->ops[k].seq;
	c.fence = m->ops[k].fence;
	expect(m, RUN(m->f, store_step, &c), 0);
	expect(m, c.halted, m->ops[k].halted);
	if (c.new_step)
		m->ops[k].claims = 0;
}

static void random_release(struct model *m)
{
	int k = pick(m, STORE_OP_RUNNING);
	struct store_release c = { 0 };

	if (k < 0)
		return;
	c.op = m->ops[k].seq;
	c.fence = m->ops[k].fence;
	expect(m, RUN(m->f, store_release, &c), 0);
	m->ops[k].state = STORE_OP_WAITING;
	if (m->ops[k].claims)
		m->ops[k].claims--;
}

static void random_claim(struct model *m)
{
	struct store_claim_want want = { STR("mysql"), roll(m, 4) };
	struct store_claim c = { .arena = &m->arena,
				 .owner = STR("run-2"),
				 .wants = &want,
				 .n_wants = 1,
				 .max = roll(m, 4) };
	uint32_t most = want.slots < c.max ? want.slots : c.max;
	size_t n = 0;
	int k;

	expect(m, RUN(m->f, store_claim, &c), 0);
	for (k = 0; k < m->n_ops && n < most; k++) {
		if (m->ops[k].state != STORE_OP_WAITING)
			continue;
		expect(m, n < c.n_ops, true);
		expect(m, c.ops[n].op.seq, m->ops[k].seq);
		expect(m, c.ops[n].op.fence, ++m->ops[k].fence);
		expect(m, c.ops[n].op.claims, ++m->ops[k].claims);
		m->ops[k].state = STORE_OP_RUNNING;
		n++;
	}
	expect(m, c.n_ops, n);
	expect(m, c.waiting, n_waiting(m));
}

static void random_get(struct model *m)
{
	int i = (int)roll(m, INSTANCES), b = (int)roll(m, BINDINGS + 1) - 1;
	struct store_get c = look(m->f, instance_ids[i], b < 0 ? NULL : binding_ids[b]);
	const struct model_object *o = b < 0 ? &m->instance[i] : &m->binding[i][b];

	expect(m, c.instance.state, m->instance[i].state);
	expect(m, b < 0 ? c.instance.state : c.binding.state, o->state);
	if (!o->state)
		return;
	expect(m, c.op.seq, m->ops[o->op].seq);
	expect(m, c.op.state, m->ops[o->op].state);
	expect(m, c.op.result, m->ops[o->op].result);
	expect(m, c.op.halted, m->ops[o->op].halted);
}

/* -- in the end, what the tables say -------------------------------------------------------- */

static int64_t ask(struct fixture *f, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t value;

	if (f->shared) {
		struct sql_stmt text = { NULL, sql, 0 };
		struct sql_tx tx;

		sql_tx_init(&tx, &f->arena);
		sql_add_plain(&tx, &text);
		arm(&tx.call, &f->ended);
		sql_start(pg_of(f->store)->pool, &tx);
		assert_int_equal(await(f, &tx.call), 0);
		return sql_get_int(&tx.results[0], 0, 0);
	}
	assert_int_equal(sqlite3_prepare_v2(sqlite_of(f->store)->sqlite, sql, -1, &stmt, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

static void recount(struct model *m)
{
	struct store_stats stats = { 0 };
	int v, s, k;

	expect(m, ask(m->f, "SELECT count(*) FROM op"), m->n_ops);
	expect(m,
	       ask(m->f,
		   "SELECT count(*) FROM instance AS i WHERE n_binding_ops <> (SELECT count(*)"
		   " FROM op WHERE instance = i.seq AND binding <> 0 AND state IN (0, 1))"),
	       0);
	expect(m,
	       ask(m->f, "SELECT count(*) FROM instance AS i WHERE n_bindings <> (SELECT count(*)"
			 " FROM binding AS b JOIN op ON op.seq = b.op WHERE b.instance = i.seq AND"
			 " (b.state IN (2, 6, 7) OR (b.state IN (1, 4) AND EXISTS (SELECT 1"
			 " FROM op AS o WHERE o.before IN (2, 6) AND o.seq ="
			 " CASE op.state WHEN 3 THEN op.after ELSE op.seq END))))"),
	       0);
	expect(m, ask(m->f, "SELECT count(*) FROM op WHERE state <> 2 AND old <> 0 AND halted = 0"),
	       0);
	expect(m, ask(m->f, "SELECT count(*) FROM instance WHERE state = 9 AND data IS NOT NULL"),
	       0);
	expect(m, ask(m->f, "SELECT count(*) FROM binding WHERE state = 9 AND data IS NOT NULL"),
	       0);
	expect(m, RUN(m->f, store_stats, &stats), 0);
	expect(m, stats.instances,
	       ask(m->f, "SELECT count(*) FROM instance WHERE state NOT IN (5, 9)"));
	expect(m, stats.bindings,
	       ask(m->f, "SELECT count(*) FROM binding WHERE state NOT IN (5, 8, 9)"));
	for (v = 0; v < STORE_VERBS; v++)
		for (s = 0; s < 4; s++) {
			uint64_t n = 0;

			for (k = 0; k < m->n_ops; k++)
				n += (int)m->ops[k].verb == v && (int)m->ops[k].state == s;
			expect(m, stats.ops[v][s], s == STORE_OP_ENDED ? 0 : n);
		}
}

static void test_model(void **state)
{
	struct model *m = mem_zalloc(sizeof(*m));
	int k;

	m->f = *state;
	m->random = 20261120;
	for (m->round = 0; m->round < ROUNDS; m->round++) {
		uint32_t what = roll(m, 100);

		if (what < 52)
			random_begin(m);
		else if (what < 75)
			random_end(m);
		else if (what < 80)
			random_step(m);
		else if (what < 83)
			random_release(m);
		else if (what < 90)
			random_claim(m);
		else if (what < 98)
			random_get(m);
		else
			pass(m->f, roll(m, 30));
		arena_reset(&m->arena);
		arena_reset(&m->f->arena);
		if (m->round == ROUNDS / 2)
			recount(m); /* from here on the store keeps these figures itself */
	}
	recount(m);
	for (k = 0; k <= BEGUN_FULL; k++) /* every answer was given, but this: no rev is sent */
		if ((m->seen[k] > 0) != (k != BEGUN_CHANGED))
			fail_msg("answer %d was given %u times", k, m->seen[k]);
	expect(m, m->followers[false] > 0 && m->followers[true] > 0, true);
	arena_finish(&m->arena);
	mem_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_STORE(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
