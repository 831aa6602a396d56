/* An operation sits in op->state and moves only through op_move(). What happens on arrival:
 *
 *   READY       the next ask is due: a soon is set, and in it the way is looked at first (parked?
 *               halted? too late?), then ask is called.
 *   WAITING     a call is in flight; the timer stands at the step's or the operation's deadline.
 *               If it fires, the call is cancelled; done still comes, and take still sees it.
 *   COMMITTING  the host has the memo. Nothing is asked until it has answered.
 *   SLEEPING    the timer stands at the next ask.
 *   ENDED       the host hears of it, once, and may free the operation: nothing is touched after.
 *
 * A failure on the way forth with a way back is a commit like any other: the row says `back` and
 * the first step of that table before its first ask, so a crash in between goes on backwards. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/op.h"

#include "core/failpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define BIT(state) (1u << (state))

static const struct {
	const char *name;
	unsigned to;
} moves[] = {
	[OP_READY] = { "ready",
		       BIT(OP_WAITING) | BIT(OP_COMMITTING) | BIT(OP_ENDED) | BIT(OP_PARKED) },
	[OP_WAITING] = { "waiting", BIT(OP_COMMITTING) | BIT(OP_SLEEPING) | BIT(OP_READY) |
					    BIT(OP_ENDED) | BIT(OP_PARKED) },
	[OP_COMMITTING] = { "committing", BIT(OP_READY) | BIT(OP_SLEEPING) | BIT(OP_PARKED) },
	[OP_SLEEPING] = { "sleeping", BIT(OP_READY) | BIT(OP_PARKED) },
	[OP_ENDED] = { "ended", BIT(OP_COMMITTING) },
	[OP_PARKED] = { "parked", 0 },
};

static void arrive(struct op *op);

static void op_move(struct op *op, enum op_state to)
{
	assert(moves[op->state].to & BIT(to));
	log_debug(&op->log, "%s: %s -> %s", op->step ? op->step->name : "-", moves[op->state].name,
		  moves[to].name);
	op->state = to;
	arrive(op);
}

void op_init(struct op *op)
{
	arena_init(&op->arena);
	op->memo = json_object(&op->arena);
	op->state = OP_READY;
}

void op_finish(struct op *op)
{
	assert(!op->call);
	timer_stop(&op->timer);
	list_remove(&op->soon.node);
	arena_finish(&op->arena);
	mem_free(op->committed);
	op->committed = NULL;
}

static const struct op_step *find_step(const struct op_step *table, struct str name)
{
	for (; table && table->name; table++)
		if (str_is(name, table->name))
			return table;
	return NULL;
}

int op_resume(struct op *op, struct str step, bool back, struct str memo, uint64_t elapsed,
	      uint64_t step_elapsed, struct err *err)
{
	const struct op_step *table = back ? op->back : op->forth;

	op->began = (int64_t)loop_now(op->loop) - (int64_t)elapsed;
	op->step_began = (int64_t)loop_now(op->loop) - (int64_t)step_elapsed;
	op->backwards = back;
	op->failed = back;
	op->step = step.n ? find_step(table, step) : table;
	if (!op->step || !op->step->name)
		return err_set(err, ERR_NOENT, "%s has no step \"%.*s\"", op->name, STR_ARG(step));
	if (memo.n) {
		int rc = json_parse(&op->arena, memo, NULL, &op->memo, err);

		if (rc < 0)
			return err_wrap(err, "memo");
		op->committed = mem_strndup(memo.p, memo.n);
	}
	if (back) {
		struct str why = json_str(json_get(op->memo, OP_WHY));

		err_set(&op->err, ERR_CANCELED, "%.*s", STR_ARG(why.n ? why : STR("halted")));
	}
	return 0;
}

struct str op_memo_text(struct op *op)
{
	struct buf text = { 0 };
	struct str copy;

	json_write(&text, op->memo);
	copy = arena_str(&op->arena, buf_str(&text));
	buf_wipe(&text);
	return copy;
}

/* -- deadlines ---------------------------------------------------------------------------- */

/* When the step must be done, on loop_now(); INT64_MAX without a limit. */
static int64_t due(const struct op *op)
{
	int64_t at = INT64_MAX;

	if (op->step->within)
		at = op->step_began + (int64_t)op->step->within;
	if (op->deadline && !op->backwards && op->began + (int64_t)op->deadline < at)
		at = op->began + (int64_t)op->deadline;
	if (op->deadline && op->backwards && op->step_began + (int64_t)op->deadline < at)
		at = op->step_began + (int64_t)op->deadline;
	return at;
}

uint64_t op_step_elapsed(const struct op *op)
{
	return (uint64_t)((int64_t)loop_now(op->loop) - op->step_began);
}

static bool too_late(const struct op *op)
{
	return (int64_t)loop_now(op->loop) >= due(op);
}

static enum op_verdict fail_late(struct op *op)
{
	if (op->deadline && !op->backwards &&
	    (int64_t)loop_now(op->loop) >= op->began + (int64_t)op->deadline)
		return op_fail(op, ERR_TIMEDOUT, "the operation was not done within %" PRIu64 " s",
			       op->deadline / 1000);
	return op_fail(op, ERR_TIMEDOUT, "not done within %" PRIu64 " s",
		       (op->step->within ? op->step->within : op->deadline) / 1000);
}

/* -- verdicts ----------------------------------------------------------------------------- */

enum op_verdict op_fail(struct op *op, int code, const char *fmt, ...)
{
	struct err *err = op->backwards ? &op->back_err : &op->err;
	va_list ap;

	if (err->code)
		return OP_FAIL;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	return OP_FAIL;
}

/* What a cancelled call reports is not why: who cancelled it knows better. */
static void forget_error(struct op *op)
{
	memset(op->backwards ? &op->back_err : &op->err, 0, sizeof(op->err));
}

static bool same_as_committed(struct op *op)
{
	struct buf text = { 0 };
	bool same;

	json_write(&text, op->memo);
	same = op->committed ? strcmp(op->committed, text.p) == 0 : text.n == 2;
	buf_wipe(&text);
	return same;
}

static void to_step(struct op *op, const struct op_step *step)
{
	op->step = step;
	op->step_began = (int64_t)loop_now(op->loop);
	op->progress[0] = '\0';
	op->late = false;
	op_move(op, OP_COMMITTING);
}

static void go_back(struct op *op)
{
	op->backwards = true;
	op->failed = true;
	log_info(&op->log, "going back: %s", op->err.text);
	json_set_cstr(&op->arena, op->memo, OP_WHY, op->err.text); /* a restart must know it too */
	to_step(op, op->back);
}

static void decide(struct op *op, enum op_verdict verdict)
{
	switch (verdict) {
	case OP_NEXT:
		failpoint("%s.%s.taken", op->name, op->step->name);
		if (op->step[1].name)
			to_step(op, op->step + 1);
		else
			op_move(op, OP_ENDED);
		return;
	case OP_AGAIN:
		failpoint("%s.%s.again", op->name, op->step->name);
		op->again = !same_as_committed(op);
		op_move(op, op->again ? OP_COMMITTING : OP_SLEEPING);
		return;
	case OP_WAIT: /* ask returned it, and there is no call: a defect of the flow */
	case OP_FAIL:
		break;
	}
	op_fail(op, ERR_INVALID, "failed");
	err_wrap(op->backwards ? &op->back_err : &op->err, "%s", op->step->name);
	if (op->parking && op->hurried && !op->late) { /* cut off by the drain: not its failure */
		forget_error(op);
		op_move(op, OP_PARKED);
		return;
	}
	op->failed = true;
	if (op->back && !op->backwards) {
		go_back(op);
		return;
	}
	op->left_over = op->backwards;
	op_move(op, OP_ENDED);
}

static bool wants_back(const struct op *op)
{
	return op->halted && !op->backwards && op->back;
}

static void on_call_done(struct call *call, int status)
{
	struct op *op = call->data;
	enum op_verdict verdict;

	op->call = NULL;
	timer_stop(&op->timer);
	if (op->step->take)
		verdict = op->step->take(op, status);
	else if (status < 0)
		verdict = op_fail(op, status, "%s", err_str(status));
	else
		verdict = OP_NEXT;
	if (wants_back(op)) {
		forget_error(op);
		op_fail(op, ERR_CANCELED, "halted");
		go_back(op);
		return;
	}
	if (verdict == OP_FAIL && op->late && status == ERR_CANCELED) {
		forget_error(op);
		verdict = OP_AGAIN;
	}
	if (verdict == OP_AGAIN && (op->late || too_late(op))) {
		op->late = true;
		verdict = fail_late(op);
	}
	decide(op, verdict);
}

void op_call(struct op *op, struct call *call)
{
	assert(!op->call);
	call->done = on_call_done;
	call->data = op;
	op->call = call;
}

static void ask(struct op *op)
{
	enum op_verdict verdict;

	if (op->parking || (op->host->may_ask && !op->host->may_ask(op))) {
		op_move(op, OP_PARKED);
		return;
	}
	if (wants_back(op)) {
		op_fail(op, ERR_CANCELED, "halted");
		go_back(op);
		return;
	}
	if (too_late(op)) {
		op->late = true;
		decide(op, fail_late(op));
		return;
	}
	failpoint("%s.%s.ask", op->name, op->step->name);
	verdict = op->step->ask(op);
	if (verdict == OP_WAIT && op->call) {
		op_move(op, OP_WAITING);
		return;
	}
	op->call = NULL;         /* op_call() before a start that failed */
	if (verdict == OP_AGAIN) /* a defect of the flow: it would spin */
		verdict = OP_FAIL;
	decide(op, verdict);
}

/* -- arrivals ----------------------------------------------------------------------------- */

static void on_soon(struct soon *soon)
{
	ask(container_of(soon, struct op, soon));
}

static void on_wake(struct timer *timer)
{
	op_move(container_of(timer, struct op, timer), OP_READY);
}

static void on_late(struct timer *timer)
{
	struct op *op = container_of(timer, struct op, timer);

	op->late = true;
	log_info(&op->log, "%s: deadline passed, cancelling", op->step->name);
	call_cancel(op->call);
}

static uint64_t until(struct op *op, int64_t at)
{
	int64_t now = (int64_t)loop_now(op->loop);

	return at > now ? (uint64_t)(at - now) : 0;
}

static void arrive(struct op *op)
{
	struct buf text = { 0 };
	uint64_t sleep;

	switch (op->state) {
	case OP_READY:
		op->soon.run = on_soon;
		loop_soon(op->loop, &op->soon);
		return;
	case OP_WAITING:
		if (due(op) != INT64_MAX)
			timer_start(&op->timer, op->loop, until(op, due(op)), on_late);
		if (op->parking && op->hurried)
			call_cancel(op->call);
		return;
	case OP_COMMITTING:
		json_write(&text, op->memo);
		mem_free(op->committed);
		op->committed = mem_strdup(text.p);
		buf_wipe(&text);
		op->host->commit(op, !op->again);
		return;
	case OP_SLEEPING:
		if (op->parking) {
			op_move(op, OP_PARKED);
			return;
		}
		sleep = op->step->every;
		if (until(op, due(op)) < sleep)
			sleep = until(op, due(op));
		timer_start(&op->timer, op->loop, wants_back(op) ? 0 : sleep, on_wake);
		return;
	case OP_ENDED:
	case OP_PARKED:
		timer_stop(&op->timer);
		list_remove(&op->soon.node);
		op->host->ended(op);
		return;
	}
}

void op_committed(struct op *op, bool halted)
{
	failpoint("%s.%s.committed", op->name, op->step->name);
	op->halted = op->halted || halted;
	if (op->again) {
		op->again = false;
		op_move(op, OP_SLEEPING);
	} else {
		op_move(op, OP_READY);
	}
}

void op_start(struct op *op)
{
	if (!op->committed && op->memo)
		op->committed = mem_strdup("{}");
	arrive(op);
}

void op_halt(struct op *op)
{
	if (op->halted)
		return;
	op->halted = true;
	if (!wants_back(op))
		return;
	if (op->state == OP_WAITING)
		call_cancel(op->call);
	else if (op->state == OP_SLEEPING)
		timer_start(&op->timer, op->loop, 0, on_wake);
}

void op_park(struct op *op, bool hurry)
{
	op->parking = true;
	op->hurried = op->hurried || hurry;
	if (op->state == OP_SLEEPING) {
		timer_stop(&op->timer);
		op_move(op, OP_PARKED);
	} else if (op->state == OP_WAITING && op->hurried) {
		call_cancel(op->call);
	}
}

void op_back(struct op *op)
{
	assert(op->state == OP_ENDED && !op->failed && op->back);
	op->halted = true;
	op_fail(op, ERR_CANCELED, "halted");
	go_back(op);
}

void op_drop(struct op *op)
{
	if (op->state != OP_COMMITTING) {
		op_park(op, true); /* the host may have freed op when this returns */
		return;
	}
	op->parking = op->hurried = true;
	op_move(op, OP_PARKED);
}

int op_run_pure(struct op *op)
{
	struct err *err = &op->err;

	for (op->step = op->forth; op->step->name; op->step++) {
		enum op_verdict verdict = op->step->ask(op);

		assert(verdict != OP_WAIT);
		if (verdict == OP_NEXT)
			continue;
		op_fail(op, ERR_INVALID, "failed");
		op->failed = true;
		op->state = OP_ENDED;
		return err_wrap(err, "%s", op->step->name);
	}
	op->state = OP_ENDED;
	return 0;
}
