/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/state.h"

static bool waited_for(const struct journal *journal, int64_t seq)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->waits)
		if (container_of(pos, struct journal_wait, node)->op == seq)
			return true;
	return false;
}

void journal_tell(struct journal *journal, int64_t seq, bool ended, int status)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->waits) {
		struct journal_wait *wait = container_of(pos, struct journal_wait, node);

		if (wait->op != seq || (wait->for_end && !ended && status == 0))
			continue;
		list_remove(&wait->node);
		timer_stop(&wait->timer);
		wait->ended = ended;
		call_end_soon(journal->loop, &wait->call, status);
	}
	if (!waited_for(journal, seq))
		store_unwatch(journal->store, seq);
}

void journal_stop_waiting(struct journal_wait *wait, int status)
{
	list_remove(&wait->node);
	timer_stop(&wait->timer);
	if (!waited_for(wait->journal, wait->op))
		store_unwatch(wait->journal->store, wait->op);
	call_end_soon(wait->journal->loop, &wait->call, status);
}

static void on_wait_timer(struct timer *timer)
{
	journal_stop_waiting(container_of(timer, struct journal_wait, timer), ERR_TIMEDOUT);
}

static void cancel_wait(struct call *call)
{
	journal_stop_waiting(container_of(call, struct journal_wait, call), ERR_CANCELED);
}

void journal_wait(struct journal *journal, struct journal_wait *wait)
{
	struct journal_op *op = journal_find(journal, wait->op);

	wait->journal = journal;
	wait->ended = false;
	call_begin(&wait->call, cancel_wait);
	if (journal->hurried) {
		call_end_soon(journal->loop, &wait->call, ERR_CANCELED);
		return;
	}
	if (op && op->answered && !wait->for_end) {
		call_end_soon(journal->loop, &wait->call, 0);
		return;
	}
	list_append(&journal->waits, &wait->node);
	timer_start(&wait->timer, journal->loop, wait->within, on_wait_timer);
	if (!op)
		store_watch(journal->store, wait->op);
}

bool journal_past_answer(const struct op_step *steps, const char *answer, struct str step)
{
	bool past = false;

	for (; steps->name && !str_is(step, steps->name); steps++)
		past = past || strcmp(steps->name, answer) == 0;
	return past && steps->name;
}

void journal_watch_waits(struct journal *journal, int64_t seq)
{
	if (waited_for(journal, seq))
		store_watch(journal->store, seq);
}
