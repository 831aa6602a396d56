/* journal: operations that nobody loses. Runs rows of the store as ops, slot by slot.
 *
 * The intent is committed before the first side effect (journal_begin), each step with its memo
 * (the op's host), then the result and all it changes in one transaction. What a dead process
 * left is claimed and resumed by the name of its step. A store that is away is never an
 * operation's failure: the op keeps its result, waits with back-off and asks nothing new; if its
 * fence moved meanwhile, the row is left to its new owner.
 *
 * Slots: each service has max_running, the process a total. An op without a slot waits in the
 * store, without an owner; the oldest goes first. Past max_waiting nothing is begun.
 *
 * Nodes: on a shared store this process has a lease (lease.c); ops are begun, claimed and asked only
 * while it holds. An op that a dead node had is claimed like one that waits.
 *
 * The journal knows no service: whoever uses it makes the ops (struct journal_user) and says what
 * their ends mean. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_JOURNAL_JOURNAL_H
#define OSBD_JOURNAL_JOURNAL_H

#include "core/metric.h"
#include "core/op.h"
#include "store/store.h"

#define JOURNAL_CLAIMS_MAX 5 /* then an op that finishes no step is given up */

struct journal;

/* An operation that runs here. Embed it first in what the steps see. */
struct journal_op {
	struct op op; /* first */
	struct journal *journal;
	struct store_op row; /* strings in op.arena */
	struct list node;    /* journal.running */
	const char *answer;  /* name of the step whose end releases the first answer; NULL: the
				 * intent's commit does */
	bool answered;
	/* private */
	struct journal_slots *slots;
	struct store_step step;
	struct store_op_end end;
	struct store_release release;
	struct timer retry;
	uint64_t pause; /* ms before the next try to reach the store */
	bool given_up;
	bool dropped; /* another node has it, or will: nothing of it is written */
};

/* Whoever knows what the rows mean. */
struct journal_user {
	/* An op for the row: zeroed, with op_init() done; name, forth, back, deadline, log set
	 * (not host, loop, memo and position: the journal does those), strings that outlive the
	 * call copied. NULL and err: there is no such service, plan or verb here; the op then ends
	 * as failed. */
	struct journal_op *(*make)(void *data, const struct store_claimed *row, struct err *err);
	/* The op has ended (op.failed, op.err): how its object changes. Strings in op.arena. The
	 * journal fills op, fence, result, left_over and a description of the failure. */
	void (*result)(struct journal_op *op, struct store_end *end);
	void (*free)(struct journal_op *op); /* calls op_finish() */
	/* Could make() and its op's steps take up this row? Else it is left, on a store that nodes
	 * share, to a node that can: while they are changed one after the other, some know plans and
	 * steps that others do not. NULL: all of them. */
	bool (*knows)(void *data, const struct store_op *op, const struct store_instance *instance);
};

struct journal_options {
	struct loop *loop;
	struct store *store;
	const struct log *log;
	struct metrics *metrics; /* may be NULL */
	const struct journal_user *user;
	void *data;                     /* the user's */
	uint32_t max_running;           /* in all; 0: 64 */
	uint32_t max_waiting;           /* 0: 1000 */
	uint64_t keep_ended, keep_gone; /* ms; retention */
	uint64_t lease;                 /* ms, on a shared store; 0: 15 s */
	/* A shared store: this node has lost its lease, and within journal_lease_margin() nothing
	 * that it has started may be running; it has a lease again. Both may be NULL. */
	void (*lost)(void *nodes_data);
	void (*found)(void *nodes_data);
	void *nodes_data;
};

/* ms between the end of a lease here and in the store. */
uint64_t journal_lease_margin(uint64_t lease);

struct journal *journal_create(const struct journal_options *options);
/* No op may be running: drain first. */
void journal_destroy(struct journal *journal);
/* A service whose ops may run here; again with another max: changes it. */
void journal_service(struct journal *journal, struct str name, uint32_t max_running);
/* Changes what journal_create() was told; running ops go on. */
void journal_limits(struct journal *journal, uint32_t max_running, uint32_t max_waiting,
		    uint64_t keep_ended, uint64_t keep_gone);
/* The plans that this node offers, as text that is the same on nodes that offer the same; told to
 * the others with the next renewal of the lease. */
void journal_offers(struct journal *journal, struct str plans);
/* Begins to claim and to keep house (retention, re-sealing). */
void journal_start(struct journal *journal);
/* Ends all activity: claims nothing new, lets each running step end for at most ms, then cancels
 * it; every op goes back to the store without an end. drained runs once, from the loop. */
void journal_drain(struct journal *journal, uint64_t ms, void (*drained)(void *data), void *data);
/* No time is left for a drain that has begun or will begin: cancels what runs, and all waits end
 * with ERR_CANCELED. */
void journal_hurry(struct journal *journal);

uint32_t journal_running(const struct journal *journal);
struct store *journal_store(const struct journal *journal);

/* store_begin with the journal's part: slots, owner, max_waiting, and the op begins to run. All
 * in-fields of begin but owner and max_waiting are the caller's. status and begin.result as the
 * store says. */
struct journal_begin {
	struct call call;
	struct store_begin begin;
	bool beyond; /* takes a slot even when none is free: what a running op waits for */
	struct journal_slots *slots; /* private */
	struct journal *journal;
};

void journal_begin(struct journal *journal, struct journal_begin *begin);

/* Waits until an op has answered or ended. status 0: so it is; ERR_TIMEDOUT: not within;
 * ERR_CANCELED: the op was given back, or there is no time left. Of an op that another node runs
 * the answer may be missed, not the end. */
#define JOURNAL_ANSWER_LOOK SEC(2) /* so whoever waits for it looks at the row by itself */

struct journal_wait {
	struct call call;
	int64_t op;      /* seq */
	bool for_end;    /* false: the answer is enough */
	uint64_t within; /* ms */
	/* out */
	bool ended;
	/* private */
	struct list node;
	struct timer timer;
	struct journal *journal;
};

void journal_wait(struct journal *journal, struct journal_wait *wait);
/* Has an op of these steps, which has come to `step`, gone past its answer step? */
bool journal_past_answer(const struct op_step *steps, const char *answer, struct str step);

/* The running op of that row; NULL when it does not run here. */
struct journal_op *journal_find(const struct journal *journal, int64_t seq);
/* Tells a running create to go back (the row says so already). */
void journal_halt(struct journal *journal, int64_t seq);

#endif
