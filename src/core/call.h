/* core/call: one asynchronous request in flight. The contract of everything that waits.
 *
 *  1. A request struct embeds struct call first. Its owner keeps it alive until done.
 *  2. xxx_start() returns 0, and then done(call, status) runs exactly once; or it returns a
 *     negative ERR_*, and done never runs.
 *  3. done runs from the loop, never before start has returned.
 *  4. done means dead: every handle inside is closed, nothing refers to the request any more;
 *     done may free it or start it anew.
 *  5. status is 0 or ERR_*; what else came of it stands in the request's own fields.
 *  6. call_cancel() only asks. done still runs, with ERR_CANCELED unless the end came first.
 *  7. Nothing borrowed by start may change or go before done.
 *
 * The implementer fills cancel (NULL: cannot be hurried), calls call_begin() when start has
 * succeeded, and call_end() when the rules above hold. A start that knows its answer at once
 * uses call_end_soon(). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CALL_H
#define OSBD_CORE_CALL_H

#include "core/loop.h"

struct call;
typedef void (*call_done)(struct call *call, int status);

struct call {
	call_done done; /* set by the owner before start */
	void *data;     /* the owner's */
	void (*cancel)(struct call *call);
	struct soon soon;
	int status; /* while the end is due soon */
	bool active;
	bool canceled; /* asked to */
};

void call_begin(struct call *call, void (*cancel)(struct call *call));
void call_end(struct call *call, int status);
void call_end_soon(struct loop *loop, struct call *call, int status);
/* A call that is not active is left alone. Asking twice is fine. */
void call_cancel(struct call *call);

#endif
