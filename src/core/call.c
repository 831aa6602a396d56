/* SPDX-License-Identifier: Apache-2.0 */
#include "core/call.h"

#include <assert.h>

void call_begin(struct call *call, void (*cancel)(struct call *call))
{
	assert(!call->active && call->done);
	call->cancel = cancel;
	call->active = true;
	call->canceled = false;
}

void call_end(struct call *call, int status)
{
	assert(call->active);
	list_remove(&call->soon.node);
	call->active = false;
	call->done(call, status);
}

static void end_now(struct soon *soon)
{
	struct call *call = container_of(soon, struct call, soon);

	call_end(call, call->status);
}

void call_end_soon(struct loop *loop, struct call *call, int status)
{
	assert(call->active);
	call->status = status;
	call->soon.run = end_now;
	loop_soon(loop, &call->soon);
}

void call_cancel(struct call *call)
{
	if (!call->active || call->canceled)
		return;
	call->canceled = true;
	if (call->cancel && !list_linked(&call->soon.node))
		call->cancel(call);
}
