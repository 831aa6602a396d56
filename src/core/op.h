/* core/op: a flow that waits, as a table of named steps.
 *
 *	static const struct op_step provision_steps[] = {
 *		{ "render", render, rendered, SEC(60), 0 },
 *		{ "deploy", deploy, deployed, SEC(30), 0 },
 *		{ "watch", watch, watched, HOUR(2), SEC(5) },
 *		{ 0 },
 *	};
 *
 *   ask    starts exactly one call with op_call() and returns OP_WAIT; or starts none and returns
 *          OP_NEXT or OP_FAIL. It must be safe to repeat: after a crash the step is asked again.
 *   take   is called for every call that ended, failed ones too; starts nothing; returns OP_NEXT,
 *          OP_AGAIN (what may pass: ask again, `every` ms later) or OP_FAIL. NULL: a call that
 *          ended with 0 is OP_NEXT, any other is OP_FAIL.
 *   within ms since the step began, across restarts; then the call is cancelled and, unless take
 *          still says OP_NEXT, the step has failed. 0: only the operation's deadline.
 *   every  ms between the end of one try and the next ask. 0: at once.
 *
 * The memo is a JSON object that survives: it is committed, with the name of the step to be asked
 * next, before that ask. The row's name is the state: logged, stored, resumed by name.
 *
 * The way back: an operation with a `back` table that fails or is halted goes on with that table,
 * whose steps accept every half-made state, and then ends as failed. If those fail too, it ends
 * as failed with left_over.
 *
 *              ask: WAIT             done
 *   READY ------------------> WAITING -----> (take)
 *     ^  \ ask: NEXT, FAIL                      |
 *     |   '------------> (verdict) <------------'
 *     |                   |   |   \
 *     |   every > 0       |   |    '-- nothing to go to ----> ENDED
 *     | <---- SLEEPING <--'   |
 *     |                       v NEXT, AGAIN, FAIL with a way back
 *     '------------------ COMMITTING
 *   READY, SLEEPING, WAITING (its call ended) -- op_park --> PARKED
 *   ENDED (well, but the row was halted before) -- op_back --> COMMITTING
 *
 * One mover (op_move) makes every transition and checks it against that table. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_OP_H
#define OSBD_CORE_OP_H

#include "core/arena.h"
#include "core/call.h"
#include "core/json.h"
#include "core/log.h"
#include "core/timer.h"

#define OP_WHY "why" /* the memo's member that keeps the first failure on the way back */

enum op_verdict { OP_WAIT = 1, OP_NEXT, OP_AGAIN, OP_FAIL };

struct op;

struct op_step {
	const char *name; /* [a-z0-9_]; unique in its table; kept for ever: rows name it */
	enum op_verdict (*ask)(struct op *op);
	enum op_verdict (*take)(struct op *op, int status);
	uint64_t within; /* ms, 0: no limit of its own */
	uint64_t every;  /* ms */
};

enum op_state { OP_READY, OP_WAITING, OP_COMMITTING, OP_SLEEPING, OP_ENDED, OP_PARKED };

/* Whoever runs operations: the journal, or a fake in a flow test. */
struct op_host {
	/* Makes op->step, op->backwards and the memo durable, then calls op_committed(), never from
	 * inside. A store that is away is the host's to wait for. new_step: false when the same
	 * step goes on and only the memo changed. */
	void (*commit)(struct op *op, bool new_step);
	/* The operation is over (op->failed, op->left_over, op->err) or parked (op->state). Nothing
	 * is in flight. The host may free the op. */
	void (*ended)(struct op *op);
	/* False: nothing may be asked any more; the op is parked. NULL: always true. */
	bool (*may_ask)(struct op *op);
};

struct op {
	/* set by the owner before op_start */
	const char *name; /* the verb: "provision"; static */
	const struct op_host *host;
	struct loop *loop;
	const struct op_step *forth; /* ends with a zeroed row */
	const struct op_step *back; /* NULL: cannot be halted, and a failure leaves what there is */
	uint64_t deadline;          /* ms since began, for the way forth; 0: none */
	struct log log;
	/* the flow's own */
	struct arena arena;  /* of the operation */
	struct json *memo;   /* object; in the arena */
	struct err err;      /* why it failed: the first failure */
	struct err back_err; /* why the way back failed */
	char progress[256];  /* for people, while in progress; empty: the step's name */
	/* read-only for the flow */
	const struct op_step *step;
	enum op_state state;
	bool backwards, halted, failed, left_over;
	/* private */
	bool late, parking, hurried;
	bool again; /* the commit is followed by a pause, not by the next step */
	struct call *call;
	struct timer timer;
	struct soon soon;
	int64_t began, step_began; /* loop_now(), may lie before the machine's start */
	char *committed;           /* the memo's text as it is stored */
};

/* Prepares: the arena and an empty memo are ready for use. op is zeroed before. */
void op_init(struct op *op);
void op_finish(struct op *op); /* ended, parked or never started */

/* Continues where a row says. step empty: the first; elapsed, step_elapsed: ms that have passed
 * before this process; memo: its text, empty for none. ERR_NOENT when no step has that name. */
int op_resume(struct op *op, struct str step, bool back, struct str memo, uint64_t elapsed,
	      uint64_t step_elapsed, struct err *err) MUST_CHECK;
/* Begins to ask, soon. */
void op_start(struct op *op);
/* Asked to go back: the call in flight is cancelled. Twice is fine. */
void op_halt(struct op *op);
/* Asked to stop without an end: no new ask; what is in flight is waited for and its result
 * committed, or cancelled when hurry is set. host->ended is called with OP_PARKED. */
void op_park(struct op *op, bool hurry);
/* From the host, when the commit is durable. halted: the row says so. */
void op_committed(struct op *op, bool halted);
/* From the host, in ended: the success came too late, the row says halted. Goes the way back. */
void op_back(struct op *op);
/* From the host: another owner has the row. Like a hurried park, but commits nothing. */
void op_drop(struct op *op);

/* For ask: call is the one that it starts; sets its done and data. */
void op_call(struct op *op, struct call *call);
/* For ask and take: says why, and returns OP_FAIL. The first reason stays. */
enum op_verdict op_fail(struct op *op, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Runs the way forth at once, without a host: for verbs whose steps start no call. 0, or the
 * code of op->err. */
int op_run_pure(struct op *op) MUST_CHECK;

/* ms since the step began, across restarts. */
uint64_t op_step_elapsed(const struct op *op);

/* The memo as text, in the arena. */
struct str op_memo_text(struct op *op);

#endif
