/* core/loop: the one loop, its clock, and the end of each turn.
 *
 * A turn is: timers, soon, prepare, poll, check, close (libuv's order). What this adds:
 *   - soon: a function to run in this turn or the next, never from inside the caller. It is
 *     how a start that already knows its answer keeps the rule of core/call.
 *   - the end of a turn: hooks that run in prepare, just before the loop would block; the store
 *     commits there. A hook that has more to do calls loop_again(), then the poll does not block.
 *   - the clock. Durations use loop_now() (CLOCK_BOOTTIME, ms, goes on while the machine sleeps);
 *     dates use loop_wall() (ms since 1970). A loop in test time jumps from timer to timer as
 *     soon as nothing else is to be done, so that hours of waiting take no time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_LOOP_H
#define OSBD_CORE_LOOP_H

#include "core/err.h"
#include "core/list.h"

#include <stdint.h>
#include <uv.h>

#define SEC(n) (1000 * (uint64_t)(n))
#define MINUTES(n) (60 * SEC(n))
#define HOUR(n) (60 * MINUTES(n))
#define DAY(n) (24 * HOUR(n))

struct timer;

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	uv_idle_t idle;      /* active while something is due at once */
	uv_timer_t alarm;    /* for the earliest timer */
	struct list soon;    /* struct soon.node */
	struct list at_end;  /* struct loop_hook.node */
	struct timer **heap; /* by due time; owned */
	size_t n_timers, heap_size;
	uint64_t now, wall; /* test time only */
	bool test_time;
	bool stopping;
};

/* A function to run soon. Zero it first; linked while it waits. */
struct soon {
	struct list node;
	void (*run)(struct soon *soon);
};

struct loop_hook {
	struct list node;
	void (*end_of_turn)(struct loop_hook *hook);
};

int loop_init(struct loop *loop) MUST_CHECK;
/* The same with test time, which begins at wall ms since 1970. */
int loop_init_test(struct loop *loop, uint64_t wall) MUST_CHECK;
/* Runs until nothing is left, or loop_stop(). */
void loop_run(struct loop *loop);
/* One turn; false when nothing is left (tests). */
bool loop_turn(struct loop *loop);
/* Runs until *done is true (tests); false when the loop ran out of work before. */
bool loop_run_until(struct loop *loop, const bool *done);
void loop_stop(struct loop *loop);
/* Closes the loop's own handles. 0, or ERR_BUSY when a handle of somebody is still open, which
 * is a defect of that somebody: tests and the program end by asserting 0. */
int loop_finish(struct loop *loop) MUST_CHECK;

uint64_t loop_now(struct loop *loop);  /* ms, CLOCK_BOOTTIME: for durations and deadlines */
uint64_t loop_wall(struct loop *loop); /* ms since 1970, UTC: for dates */

void loop_soon(struct loop *loop, struct soon *soon); /* already waiting: stays where it is */
void loop_hook(struct loop *loop, struct loop_hook *hook);
void loop_unhook(struct loop_hook *hook);
void loop_again(struct loop *loop);

#endif
