/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/state.h"

#define HOUSE_EVERY MINUTES(1)
#define HOUSE_ROWS 500 /* at most, in one turn */

static void on_house(struct timer *timer);

static void house_again(struct journal *journal, uint64_t ms)
{
	if (!journal->draining)
		timer_start(&journal->house.timer, journal->loop, ms, on_house);
	journal_check_drained(journal);
}

static void resealed(struct call *call, int status)
{
	struct journal *journal = call->data;
	struct store_reseal *reseal = &journal->house.reseal;

	if (status == 0 && reseal->n == 0) {
		journal->house.resealed = true;
		if (reseal->failed)
			log_error(&journal->log, "%u rows cannot be opened by any key",
				  reseal->failed);
	} else if (status == 0) {
		log_info(&journal->log, "%u rows sealed with the current key", reseal->n);
	}
	house_again(journal, status == 0 && !journal->house.resealed ? 50 : HOUSE_EVERY);
}

static void purged(struct call *call, int status)
{
	struct journal *journal = call->data;

	if (status == 0 && journal->house.purge.n == HOUSE_ROWS) {
		house_again(journal, 50);
		return;
	}
	if (journal->house.resealed || journal->draining) {
		house_again(journal, HOUSE_EVERY);
		return;
	}
	journal->house.reseal = (struct store_reseal){
		.call = { .done = resealed, .data = journal },
		.max = HOUSE_ROWS,
	};
	store_reseal(journal->store, &journal->house.reseal);
}

static void on_house(struct timer *timer)
{
	struct journal *journal = container_of(timer, struct journal, house.timer);

	journal->house.purge = (struct store_purge){
		.call = { .done = purged, .data = journal },
		.keep_ended = journal->options.keep_ended,
		.keep_gone = journal->options.keep_gone,
		.max = HOUSE_ROWS,
	};
	store_purge(journal->store, &journal->house.purge);
}

void journal_house_start(struct journal *journal)
{
	on_house(&journal->house.timer);
}

bool journal_house_busy(const struct journal *journal)
{
	return journal->house.purge.call.active || journal->house.reseal.call.active;
}
