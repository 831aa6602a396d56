/* journal/state: what the parts of the journal share. For them only. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_JOURNAL_STATE_H
#define OSBD_JOURNAL_STATE_H

#include "journal/journal.h"

struct journal_slots {
	struct list node; /* journal.services */
	struct str service;
	uint32_t max, running;
	bool waiting; /* rows may wait in the store */
};

struct journal {
	struct journal_options options;
	struct loop *loop;
	struct store *store;
	struct log log;
	struct str owner;     /* of this run; on a shared store, of this lease */
	struct list services; /* struct journal_slots.node */
	struct list running;  /* struct journal_op.node */
	struct list waits;    /* struct journal_wait.node */
	uint32_t n_running;
	uint32_t n_begins; /* under way */
	bool started, draining, drained, hurried;
	void (*on_drained)(void *data);
	void *drained_data;
	struct timer drain_timer;
	struct soon drained_soon;
	struct {
		struct store_claim call;
		struct arena arena;
		struct timer retry;
		bool asked;          /* while one is under way: another is due */
		uint64_t complained; /* loop_now() */
		bool look;           /* whether rows wait or not: other nodes do not say so */
	} claim;
	struct {
		struct timer timer;
		struct store_purge purge;
		struct store_reseal reseal;
		bool resealed;
	} house;
	struct {
		bool needed, held, first, gone;
		uint64_t sent, ends; /* loop_now() */
		uint32_t nodes, others;
		struct buf plans;
		struct store_renew renew;
		struct store_leave leave;
		struct timer timer, end, look;
		struct arena arena, names; /* names: of all owners, for calls under way */
		struct metric losses, nodes_gauge, others_gauge;
	} lease;
	struct metric running_gauge, ended[STORE_VERBS][2], resumed, store_pauses;
	char ended_labels[STORE_VERBS][2][48];
};

/* Ends the waits for an op: it has answered, has ended, or (status) will do neither here. */
void journal_tell(struct journal *journal, int64_t seq, bool ended, int status);

/* The op does not run here any more; those who wait for it are told when another node ends it. */
void journal_watch_waits(struct journal *journal, int64_t seq);

void journal_stop_waiting(struct journal_wait *wait, int status);

struct journal_slots *journal_slots_of(struct journal *journal, struct str service);
uint32_t journal_slots_free(const struct journal *journal, const struct journal_slots *slots);
void journal_take_slot(struct journal *journal, struct journal_slots *slots);
void journal_give_slot(struct journal *journal, struct journal_slots *slots);
/* Claims what waits, if there is a slot for it. */
void journal_look_for_work(struct journal *journal);
/* Claims nothing for a second. */
void journal_pause_claims(struct journal *journal);
/* Runs a row that this process owns; its slot is taken already. */
void journal_run_row(struct journal *journal, struct journal_slots *slots,
		     const struct store_claimed *row);
void journal_park_all(struct journal *journal, bool hurry);

/* Lets go of all ops without a word to the store: they are other nodes' by now. */
void journal_drop_all(struct journal *journal);

/* The lease. holds: ops may be begun, claimed and asked now. leave: true when it has been given
 * back; else journal_check_drained() is called when it has. */
void journal_lease_create(struct journal *journal);
void journal_lease_start(struct journal *journal);
bool journal_lease_holds(struct journal *journal);
bool journal_lease_leave(struct journal *journal);
void journal_lease_destroy(struct journal *journal);

/* What operators see of it (journal/counts). */
void journal_add_metrics(struct journal *journal);
void journal_remove_metrics(struct journal *journal);

/* Housekeeping: retention every minute, and re-sealing until all rows have the current key. */
void journal_house_start(struct journal *journal);
bool journal_house_busy(const struct journal *journal);
/* journal_house_busy() may have become false. */
void journal_check_drained(struct journal *journal);

#endif
