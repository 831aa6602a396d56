/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/state.h"

#include <assert.h>

#define CLAIM_MAX 64        /* ops in one claim */
#define CLAIM_PAUSE SEC(1)  /* before the next one, when the store is away */
#define COMPLAIN MINUTES(1) /* between two lines about rows that cannot be taken up here */

struct journal_slots *journal_slots_of(struct journal *journal, struct str service)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->services) {
		struct journal_slots *slots = container_of(pos, struct journal_slots, node);

		if (str_eq(slots->service, service))
			return slots;
	}
	return NULL;
}

void journal_service(struct journal *journal, struct str name, uint32_t max_running)
{
	struct journal_slots *slots = journal_slots_of(journal, name);

	if (!slots) {
		slots = mem_zalloc(sizeof(*slots));
		slots->service = str_make(mem_strndup(name.p, name.n), name.n);
		slots->waiting = true;
		list_append(&journal->services, &slots->node);
	}
	slots->max = max_running;
}

uint32_t journal_slots_free(const struct journal *journal, const struct journal_slots *slots)
{
	uint32_t all = journal->options.max_running - journal->n_running;
	uint32_t own = slots->max > slots->running ? slots->max - slots->running : 0;

	if (journal->n_running >= journal->options.max_running)
		return 0;
	return own < all ? own : all;
}

void journal_take_slot(struct journal *journal, struct journal_slots *slots)
{
	slots->running++;
	journal->n_running++;
}

void journal_give_slot(struct journal *journal, struct journal_slots *slots)
{
	assert(slots->running > 0 && journal->n_running > 0);
	slots->running--;
	journal->n_running--;
}

static void on_claim_retry(struct timer *timer)
{
	journal_look_for_work(container_of(timer, struct journal, claim.retry));
}

void journal_pause_claims(struct journal *journal)
{
	if (!journal->draining)
		timer_start(&journal->claim.retry, journal->loop, CLAIM_PAUSE, on_claim_retry);
}

/* Rows that stay where they are: nothing else waits for them. */
static void say_refused(struct journal *journal, const struct store_claim *claim)
{
	uint64_t now = loop_now(journal->loop);
	size_t i;

	if (journal->claim.complained && now - journal->claim.complained < COMPLAIN)
		return;
	journal->claim.complained = now;
	for (i = 0; i < claim->n_ops; i++) {
		const struct store_claimed *row = &claim->ops[i];

		if (row->status == ERR_NOENT)
			log_warn(&journal->log,
				 "operation %s waits for a node that knows service \"%.*s\", plan "
				 "\"%.*s\" and step \"%.*s\"",
				 row->op.id, STR_ARG(row->op.service), STR_ARG(row->op.plan_id),
				 STR_ARG(row->op.step));
		else if (row->status < 0)
			log_error(&journal->log,
				  "operation %s cannot be opened by any key; it waits", row->op.id);
	}
}

static void claimed(struct call *call, int status)
{
	struct journal *journal = call->data;
	struct store_claim *claim = &journal->claim.call;
	struct list *pos, *tmp;
	size_t i, refused = 0;

	if (status < 0) {
		arena_finish(&journal->claim.arena);
		journal_pause_claims(journal);
		journal_check_drained(journal);
		return;
	}
	if (claim->waiting == 0)
		list_each(pos, tmp, &journal->services)
			container_of(pos, struct journal_slots, node)->waiting = false;
	for (i = 0; i < claim->n_ops; i++) {
		struct store_claimed *row = &claim->ops[i];
		struct journal_slots *slots = journal_slots_of(journal, row->op.service);

		if (row->status < 0) {
			refused++;
			continue;
		}
		if (!str_eq(row->op.owner, journal->owner)) /* the lease went meanwhile */
			continue;
		assert(slots); /* it was in wants */
		if (claim->waiting > 0)
			slots->waiting = true; /* a slot that becomes free takes the next */
		journal_take_slot(journal, slots);
		journal_run_row(journal, slots, row);
	}
	if (refused > 0)
		say_refused(journal, claim);
	if (refused > 0 && refused == claim->n_ops) /* what comes now need not wait behind them */
		for (i = 0; i < claim->n_wants; i++)
			journal_slots_of(journal, claim->wants[i].service)->waiting = false;
	if (journal->draining)
		journal_park_all(journal, true);
	arena_finish(&journal->claim.arena);
	if (journal->claim.asked) {
		journal->claim.asked = false;
		journal_look_for_work(journal);
	}
	journal_check_drained(journal);
}

/* Claims what waits, if there is a slot for it. */
void journal_look_for_work(struct journal *journal)
{
	struct store_claim *claim = &journal->claim.call;
	struct store_claim_want *wants;
	struct list *pos, *tmp;
	size_t n = 0;

	if (!journal->started || journal->draining || timer_running(&journal->claim.retry) ||
	    !journal_lease_holds(journal))
		return;
	if (claim->call.active) {
		journal->claim.asked = true;
		return;
	}
	list_each(pos, tmp, &journal->services)
		n++;
	wants = arena_alloc(&journal->claim.arena, (n + 1) * sizeof(*wants));
	n = 0;
	list_each(pos, tmp, &journal->services) {
		struct journal_slots *slots = container_of(pos, struct journal_slots, node);
		uint32_t room = slots->waiting || journal->claim.look
					? journal_slots_free(journal, slots)
					: 0;

		if (room)
			wants[n++] = (struct store_claim_want){ slots->service, room };
	}
	if (n == 0) { /* a look that found no slot free is made up for when one is */
		arena_finish(&journal->claim.arena);
		return;
	}
	journal->claim.look = false;
	*claim = (struct store_claim){
		.call = { .done = claimed, .data = journal },
		.arena = &journal->claim.arena,
		.owner = journal->owner,
		.wants = wants,
		.n_wants = n,
		.max = journal->options.max_running - journal->n_running,
		.knows = journal->lease.needed ? journal->options.user->knows : NULL,
		.knows_data = journal->options.data,
	};
	if (claim->max > CLAIM_MAX)
		claim->max = CLAIM_MAX;
	store_claim(journal->store, claim);
}
