/* core/timer: one-shot timers on the loop's clock, test time included. They are kept and
 * fired by core/loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_TIMER_H
#define OSBD_CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

struct timer {
	struct loop *loop;
	uint64_t due; /* ms, loop_now() */
	size_t at;    /* place in the heap + 1; 0 while not running */
	void (*fire)(struct timer *timer);
};

/* Starts, or starts anew. fire runs once, from the loop. A zeroed timer may be stopped. */
void timer_start(struct timer *timer, struct loop *loop, uint64_t ms,
		 void (*fire)(struct timer *timer));
void timer_stop(struct timer *timer);
static inline bool timer_running(const struct timer *timer)
{
	return timer->at != 0;
}

#endif
