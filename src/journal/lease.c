/* The lease of this process on a store that it shares.
 *
 *   NONE  --(renewed: the store knows us)--> HELD --(`ends` passes, or the store says so)--> NONE
 *
 * `ends` counts from before the renewal was sent, on the clock that goes on while the machine
 * sleeps, and comes journal_lease_margin() before the end that the store keeps. Then nothing is asked any
 * more, what runs is dropped, and whoever has started children makes an end of them (options.lost).
 * A new owner's name is chosen, and asked for only when the old lease is over for the store too:
 * then the children are gone, and nobody can mistake the old owner's rows for the new one's. A
 * store that wants no such node is asked again now and then, with yet another name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/digest.h"
#include "journal/state.h"

#define LEASE SEC(15)
#define LEASE_MARGIN_MIN SEC(1) /* for children to go in */
#define LEASE_RETRY SEC(1)
#define LOOK_EVERY SEC(1) /* for work that others have no slot for */
#define OWNER_SIZE 16

static void renew(struct journal *journal);

uint64_t journal_lease_margin(uint64_t lease)
{
	return lease / 5 > LEASE_MARGIN_MIN ? lease / 5 : LEASE_MARGIN_MIN;
}

/* How long it is good for here, from before its renewal was sent. */
static uint64_t good_for(const struct journal *journal)
{
	return journal->options.lease - journal_lease_margin(journal->options.lease);
}

static uint64_t retry_in(const struct journal *journal)
{
	uint64_t often = journal->options.lease / 15;

	return often < LEASE_RETRY ? often : LEASE_RETRY;
}

static void on_renew(struct timer *timer)
{
	renew(container_of(timer, struct journal, lease.timer));
}

static void choose_owner(struct journal *journal)
{
	char owner[OWNER_SIZE + 1] = "";

	random_id(owner, OWNER_SIZE);
	journal->owner = arena_str(&journal->lease.names, str_of(owner));
	journal->lease.first = true;
}

bool journal_lease_holds(struct journal *journal)
{
	return !journal->lease.needed ||
	       (journal->lease.held && loop_now(journal->loop) < journal->lease.ends);
}

static void lose(struct journal *journal, const char *why)
{
	uint64_t over = journal->lease.ends + journal_lease_margin(journal->options.lease),
		 now = loop_now(journal->loop);
	bool held = journal->lease.held;

	timer_stop(&journal->lease.end);
	journal->lease.held = false;
	choose_owner(journal);
	if (!held) {
		timer_start(&journal->lease.timer, journal->loop, retry_in(journal), on_renew);
		return;
	}
	timer_start(&journal->lease.timer, journal->loop, over > now ? over - now : 0, on_renew);
	log_error(&journal->log, "%s: %u operations are left to other nodes", why,
		  journal->n_running);
	metric_inc(&journal->lease.losses, 1);
	if (journal->options.lost)
		journal->options.lost(journal->options.nodes_data);
	journal_drop_all(journal);
}

static void on_lease_end(struct timer *timer)
{
	lose(container_of(timer, struct journal, lease.end),
	     "the lease could not be renewed in time");
}

static void work_waits(struct journal *journal)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->services)
		container_of(pos, struct journal_slots, node)->waiting = true;
}

/* Ops that were begun elsewhere and wait: nobody tells of them. */
static void on_look(struct timer *timer)
{
	struct journal *journal = container_of(timer, struct journal, lease.look);

	if (journal->draining)
		return;
	timer_start(timer, journal->loop, LOOK_EVERY, on_look);
	if (journal->lease.nodes < 2 || !journal_lease_holds(journal))
		return;
	journal->claim.look = true;
	journal_look_for_work(journal);
}

/* While nodes are changed one after the other it is so; afterwards somebody was forgotten. */
static void compare_offers(struct journal *journal, uint32_t others)
{
	if (others > 0 && journal->lease.others == 0)
		log_warn(&journal->log,
			 "%u of %u nodes offer other plans than this one: what they do not know is "
			 "left to the others",
			 others, journal->lease.nodes);
	else if (others == 0 && journal->lease.others > 0)
		log_info(&journal->log, "all nodes offer the same plans");
	journal->lease.others = others;
}

static void hold(struct journal *journal)
{
	struct store_renew *c = &journal->lease.renew;
	uint64_t now = loop_now(journal->loop);
	size_t i;

	if (!journal->lease.held && journal->options.found)
		journal->options.found(journal->options.nodes_data);
	if (!journal->lease.held)
		log_info(&journal->log, "this node is %.*s, one of %u", STR_ARG(journal->owner),
			 c->nodes);
	journal->lease.held = true;
	journal->lease.first = false;
	journal->lease.nodes = c->nodes;
	compare_offers(journal, c->others);
	journal->lease.ends = journal->lease.sent + good_for(journal);
	timer_start(&journal->lease.end, journal->loop, journal->lease.ends - now, on_lease_end);
	timer_start(&journal->lease.timer, journal->loop, journal->options.lease / 3, on_renew);
	if (!timer_running(&journal->lease.look))
		timer_start(&journal->lease.look, journal->loop, LOOK_EVERY, on_look);
	for (i = 0; i < c->n_halted; i++)
		journal_halt(journal, c->halted[i]);
	if (c->keys_changed)
		journal->house.resealed = false;
	if (c->waiting > 0)
		work_waits(journal);
	journal_look_for_work(journal);
}

static void renewed(struct call *call, int status)
{
	struct journal *journal = call->data;
	struct store_renew *c = &journal->lease.renew;
	bool current = str_eq(c->owner, journal->owner);
	uint64_t now = loop_now(journal->loop);

	if (journal->drained || !current) {
		/* the owner that asked has been given up meanwhile: its timer goes on */
	} else if (status != 0) {
		timer_start(&journal->lease.timer, journal->loop, retry_in(journal), on_renew);
	} else if (c->lost) {
		lose(journal, "the lease had ended");
	} else if (now >= journal->lease.sent + good_for(journal)) {
		/* the reply took too long to be of use; the store may think that we live */
		timer_start(&journal->lease.timer, journal->loop, 0, on_renew);
	} else {
		hold(journal);
	}
	arena_reset(&journal->lease.arena);
	journal_check_drained(journal);
}

static void renew(struct journal *journal)
{
	struct store_renew *c = &journal->lease.renew;

	if (c->call.active) { /* of an owner before */
		timer_start(&journal->lease.timer, journal->loop, retry_in(journal), on_renew);
		return;
	}
	*c = (struct store_renew){
		.call = { .done = renewed, .data = journal },
		.arena = &journal->lease.arena,
		.owner = journal->owner,
		.lease = journal->options.lease,
		.first = journal->lease.first,
		.plans = arena_str(&journal->lease.arena, buf_str(&journal->lease.plans)),
	};
	journal->lease.sent = loop_now(journal->loop);
	store_renew(journal->store, c);
}

/* -- what other nodes do ------------------------------------------------------------------ */

static void on_event(void *data, enum store_event event, int64_t op)
{
	struct journal *journal = data;

	switch (event) {
	case STORE_EVENT_ENDED:
		journal_tell(journal, op, true, 0);
		break;
	case STORE_EVENT_ANSWERED:
		journal_tell(journal, op, false, 0);
		break;
	case STORE_EVENT_HALTED:
		journal_halt(journal, op);
		break;
	}
}

/* -- life --------------------------------------------------------------------------------- */

static double read_nodes(void *data)
{
	struct journal *journal = data;

	return journal->lease.held ? journal->lease.nodes : 0;
}

static double read_others(void *data)
{
	struct journal *journal = data;

	return journal->lease.held ? journal->lease.others : 0;
}

void journal_offers(struct journal *journal, struct str plans)
{
	buf_clear(&journal->lease.plans);
	buf_put_str(&journal->lease.plans, plans);
}

void journal_lease_create(struct journal *journal)
{
	struct metrics *metrics = journal->options.metrics;

	if (journal->options.lease == 0)
		journal->options.lease = LEASE;
	choose_owner(journal);
	journal->lease.needed = store_shared(journal->store);
	journal->lease.losses =
		(struct metric){ .kind = METRIC_COUNTER,
				 .name = "osbd_lease_losses_total",
				 .help = "Times this node could not renew its lease." };
	journal->lease.nodes_gauge = (struct metric){ .kind = METRIC_GAUGE,
						      .name = "osbd_nodes",
						      .help = "Nodes that live, as of the latest "
							      "renewal of this one's lease.",
						      .read = read_nodes,
						      .data = journal };
	journal->lease.others_gauge = (struct metric){ .kind = METRIC_GAUGE,
						       .name = "osbd_nodes_with_other_plans",
						       .help = "Other nodes that live and offer "
							       "other plans.",
						       .read = read_others,
						       .data = journal };
	if (!journal->lease.needed)
		return;
	journal->store->on_event = on_event;
	journal->store->event_data = journal;
	if (!metrics)
		return;
	metrics_add(metrics, &journal->lease.losses);
	metrics_add(metrics, &journal->lease.nodes_gauge);
	metrics_add(metrics, &journal->lease.others_gauge);
}

void journal_lease_start(struct journal *journal)
{
	if (journal->lease.needed)
		renew(journal);
}

static void left(struct call *call, int status)
{
	struct journal *journal = call->data;

	(void)status; /* it ends by itself then */
	journal->lease.gone = true;
	journal_check_drained(journal);
}

bool journal_lease_leave(struct journal *journal)
{
	if (!journal->lease.needed || journal->lease.gone)
		return true;
	timer_stop(&journal->lease.timer);
	timer_stop(&journal->lease.end);
	timer_stop(&journal->lease.look);
	if (journal->lease.renew.call.active || journal->lease.leave.call.active)
		return false;
	if (!journal->lease.held) {
		journal->lease.gone = true;
		return true;
	}
	journal->lease.held = false;
	journal->lease.leave = (struct store_leave){
		.call = { .done = left, .data = journal },
		.owner = journal->owner,
	};
	store_leave(journal->store, &journal->lease.leave);
	return false;
}

void journal_lease_destroy(struct journal *journal)
{
	timer_stop(&journal->lease.timer);
	timer_stop(&journal->lease.end);
	timer_stop(&journal->lease.look);
	metrics_remove(&journal->lease.losses);
	metrics_remove(&journal->lease.nodes_gauge);
	metrics_remove(&journal->lease.others_gauge);
	buf_finish(&journal->lease.plans);
	if (journal->store->event_data == journal)
		journal->store->on_event = NULL;
	arena_finish(&journal->lease.arena);
	arena_finish(&journal->lease.names);
}
