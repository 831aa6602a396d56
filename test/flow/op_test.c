/* Operations on fakes: a host that commits into memory, calls that end as told, test time.
 *
 * A world keeps what outlives a crash: the row (step, back, memo, elapsed). Killing the process
 * is dropping the op and resuming another from the row. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct world {
	struct loop loop;
	char row_step[32], row_memo[256];
	bool row_back;
	int commits;
	bool ended;
	char trace[512];
	/* what the next calls do */
	int fail_at, calls; /* the n-th call fails; 0: none */
	uint64_t call_ms;
	int again; /* so many calls say AGAIN first */
	bool hold_commit;
	struct op *held;
};

struct flow {
	struct op op; /* first */
	struct world *w;
	struct call call;
	struct timer timer;
	struct soon commit_soon;
};

static void note(struct world *w, const char *what)
{
	size_t n = strlen(w->trace);

	snprintf(w->trace + n, sizeof(w->trace) - n, "%s ", what);
}

static void on_call_timer(struct timer *timer)
{
	struct flow *f = container_of(timer, struct flow, timer);

	f->w->calls++;
	call_end(&f->call, f->w->calls == f->w->fail_at ? ERR_IO : 0);
}

static void cancel_call(struct call *call)
{
	struct flow *f = container_of(call, struct flow, call);

	timer_stop(&f->timer);
	call_end_soon(&f->w->loop, call, ERR_CANCELED);
}

static enum op_verdict ask(struct op *op)
{
	struct flow *f = container_of(op, struct flow, op);

	note(f->w, op->step->name);
	op_call(op, &f->call);
	call_begin(&f->call, cancel_call);
	timer_start(&f->timer, op->loop, f->w->call_ms, on_call_timer);
	return OP_WAIT;
}

static enum op_verdict take(struct op *op, int status)
{
	struct flow *f = container_of(op, struct flow, op);

	if (status < 0)
		return op_fail(op, status, "director: %s", err_str(status));
	if (f->w->again > 0) {
		f->w->again--;
		return OP_AGAIN;
	}
	json_set_int(&op->arena, op->memo, op->step->name, f->w->calls);
	return OP_NEXT;
}

static enum op_verdict at_once(struct op *op)
{
	note(container_of(op, struct flow, op)->w, op->step->name);
	return OP_NEXT;
}

static const struct op_step make_steps[] = {
	{ "render", at_once, NULL, 0, 0 },
	{ "deploy", ask, take, SEC(30), 0 },
	{ "watch", ask, take, HOUR(2), SEC(5) },
	{ 0 },
};

static const struct op_step unmake_steps[] = {
	{ "drain", ask, take, SEC(30), 0 },
	{ "delete", ask, take, SEC(30), 0 },
	{ 0 },
};

static void on_commit(struct soon *soon)
{
	op_committed(&container_of(soon, struct flow, commit_soon)->op, false);
}

static void commit(struct op *op, bool new_step)
{
	struct flow *f = container_of(op, struct flow, op);

	(void)new_step;
	f->w->commits++;
	snprintf(f->w->row_step, sizeof(f->w->row_step), "%s", op->step->name);
	snprintf(f->w->row_memo, sizeof(f->w->row_memo), "%s", op_memo_text(op).p);
	f->w->row_back = op->backwards;
	if (f->w->hold_commit) {
		f->w->held = op;
		return;
	}
	f->commit_soon.run = on_commit;
	loop_soon(&f->w->loop, &f->commit_soon);
}

static void ended(struct op *op)
{
	struct flow *f = container_of(op, struct flow, op);

	f->w->ended = true;
}

static const struct op_host host = { commit, ended };

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init_test(&w->loop, 0), 0);
	w->call_ms = 100;
}

static void flow_start(struct flow *f, struct world *w, uint64_t deadline)
{
	struct err err;

	memset(f, 0, sizeof(*f));
	f->w = w;
	f->op.name = "provision";
	f->op.host = &host;
	f->op.loop = &w->loop;
	f->op.forth = make_steps;
	f->op.back = unmake_steps;
	f->op.deadline = deadline;
	op_init(&f->op);
	assert_int_equal(op_resume(&f->op, str_of(w->row_step), w->row_back, str_of(w->row_memo), 0,
				   0, &err),
			 0);
	w->ended = false;
	op_start(&f->op);
}

static void flow_end(struct flow *f)
{
	assert_true(loop_run_until(&f->w->loop, &f->w->ended));
}

static void world_finish(struct world *w, struct flow *f)
{
	op_finish(&f->op);
	loop_run(&w->loop);
	assert_int_equal(loop_finish(&w->loop), 0);
}

static void test_happy(void **state)
{
	struct world w;
	struct flow f;

	(void)state;
	world_init(&w);
	w.again = 0;
	flow_start(&f, &w, 0);
	flow_end(&f);
	assert_string_equal(w.trace, "render deploy watch ");
	assert_false(f.op.failed);
	assert_int_equal(f.op.state, OP_ENDED);
	assert_int_equal(w.commits, 2); /* before deploy, before watch; the end is the host's */
	assert_string_equal(w.row_memo, "{\"deploy\":1}");
	world_finish(&w, &f);
}

/* The n-th call fails, for n = 1, 2, … until the flow passes. */
static void test_every_call_fails_once(void **state)
{
	struct world w;
	struct flow f;
	int n;

	(void)state;
	for (n = 1;; n++) {
		bool passed;

		world_init(&w);
		w.fail_at = n;
		flow_start(&f, &w, 0);
		flow_end(&f);
		passed = !f.op.failed;
		if (!passed) {
			assert_non_null(strstr(w.trace, "drain delete"));
			assert_false(f.op.left_over);
			assert_string_equal(f.op.err.text,
					    n == 1 ? "deploy: director: input/output error"
						   : "watch: director: input/output error");
		}
		world_finish(&w, &f);
		if (passed)
			break;
	}
	assert_int_equal(n, 3);
}

static void test_way_back_fails(void **state)
{
	struct world w;
	struct flow f;

	(void)state;
	world_init(&w);
	strcpy(w.row_step, "delete");
	strcpy(w.row_memo, "{\"why\":\"deploy: HTTP 401\"}");
	w.row_back = true;
	w.fail_at = 1;
	flow_start(&f, &w, 0);
	flow_end(&f);
	assert_true(f.op.failed && f.op.left_over);
	assert_string_equal(f.op.back_err.text, "delete: director: input/output error");
	assert_string_equal(f.op.err.text, "deploy: HTTP 401"); /* from before the restart */
	world_finish(&w, &f);
}

static void test_again_sleeps_and_gives_up(void **state)
{
	struct world w;
	struct flow f;

	(void)state;
	world_init(&w);
	strcpy(w.row_step, "watch");
	w.again = 10;
	flow_start(&f, &w, 0);
	flow_end(&f);
	assert_false(f.op.failed);
	assert_int_equal(w.calls, 11);
	assert_int_equal(w.commits, 0); /* nothing changed between the tries */
	assert_int_equal(loop_now(&w.loop), 10 * (100 + 5000) + 100);
	world_finish(&w, &f);

	world_init(&w);
	strcpy(w.row_step, "watch");
	w.again = 1000000;
	flow_start(&f, &w, 0);
	flow_end(&f);
	assert_true(f.op.failed);
	assert_string_equal(f.op.err.text, "watch: not done within 7200 s");
	world_finish(&w, &f);
}

static void test_step_deadline_cancels(void **state)
{
	struct world w;
	struct flow f;

	(void)state;
	world_init(&w);
	w.call_ms = SEC(31);
	flow_start(&f, &w, 0);
	flow_end(&f);
	assert_true(f.op.failed && f.op.left_over); /* the way back is as slow */
	assert_string_equal(f.op.err.text, "deploy: not done within 30 s");
	assert_int_equal(w.calls, 0);
	world_finish(&w, &f);
}

static void test_operation_deadline(void **state)
{
	struct world w;
	struct flow f;

	(void)state;
	world_init(&w);
	w.again = 25; /* deploy is asked anew at once, 100 ms each */
	flow_start(&f, &w, SEC(2));
	flow_end(&f);
	assert_true(f.op.failed);
	assert_non_null(strstr(f.op.err.text, "the operation was not done within 2 s"));
	assert_false(f.op.left_over); /* the way back has its own time */
	world_finish(&w, &f);
}

static void halt_soon(struct timer *timer)
{
	struct flow *f = timer->loop->uv.data;

	op_halt(&f->op);
	op_halt(&f->op);
}

static void test_halt(void **state)
{
	static const uint64_t when[] = { 0, 50, 150, 3000 }; /* ready, deploy, watch, sleeping */
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(when); i++) {
		struct timer timer = { 0 };
		struct world w;
		struct flow f;

		world_init(&w);
		w.loop.uv.data = &f;
		w.again = 0;
		if (i == 3) {
			strcpy(w.row_step, "watch");
			w.again = 1;
		}
		flow_start(&f, &w, 0);
		timer_start(&timer, &w.loop, when[i], halt_soon);
		flow_end(&f);
		assert_true(f.op.failed && !f.op.left_over);
		assert_non_null(strstr(w.trace, "drain delete"));
		assert_true(loop_now(&w.loop) < SEC(5));
		world_finish(&w, &f);
	}
}

/* Killed at each commit, resumed from the row: every step of the rest runs, none of before. */
static void test_resume_at_each_step(void **state)
{
	static const char *const rest[] = { "deploy watch ", "watch " };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rest); i++) {
		struct world w;
		struct flow f;

		world_init(&w);
		w.hold_commit = i == 0;
		flow_start(&f, &w, 0);
		while (!w.held) {
			w.hold_commit = w.commits == (int)i;
			assert_true(w.commits <= (int)i);
			loop_turn(&w.loop);
		}
		op_drop(&f.op);
		assert_true(w.ended);
		assert_int_equal(f.op.state, OP_PARKED);
		op_finish(&f.op);
		w.trace[0] = '\0';
		w.hold_commit = false;
		flow_start(&f, &w, 0);
		flow_end(&f);
		assert_string_equal(w.trace, rest[i]);
		assert_false(f.op.failed);
		world_finish(&w, &f);
	}
}

static void test_park(void **state)
{
	struct world w;
	struct flow f;
	bool hurry;

	(void)state;
	for (hurry = false;; hurry = true) {
		world_init(&w);
		strcpy(w.row_step, "deploy");
		flow_start(&f, &w, 0);
		while (f.op.state != OP_WAITING)
			loop_turn(&w.loop);
		op_park(&f.op, hurry);
		flow_end(&f);
		assert_int_equal(f.op.state, OP_PARKED);
		assert_false(f.op.failed);
		assert_int_equal(f.op.err.code, 0);
		assert_string_equal(w.row_step, hurry ? "deploy" : "watch");
		world_finish(&w, &f);
		if (hurry)
			break;
	}
}

static void test_unknown_step(void **state)
{
	struct world w;
	struct op op = { .name = "bind", .forth = make_steps };
	struct err err;

	(void)state;
	world_init(&w);
	op.loop = &w.loop;
	op_init(&op);
	assert_int_equal(op_resume(&op, STR("gone"), false, STR(""), 0, 0, &err), ERR_NOENT);
	assert_string_equal(err.text, "bind has no step \"gone\"");
	assert_int_equal(op_resume(&op, STR("watch"), true, STR(""), 0, 0, &err), ERR_NOENT);
	op_finish(&op);
	assert_int_equal(loop_finish(&w.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_happy),
		cmocka_unit_test(test_every_call_fails_once),
		cmocka_unit_test(test_way_back_fails),
		cmocka_unit_test(test_again_sleeps_and_gives_up),
		cmocka_unit_test(test_step_deadline_cancels),
		cmocka_unit_test(test_operation_deadline),
		cmocka_unit_test(test_halt),
		cmocka_unit_test(test_resume_at_each_step),
		cmocka_unit_test(test_park),
		cmocka_unit_test(test_unknown_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
