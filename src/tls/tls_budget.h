/* tls/tls_budget: how much handshakes may take from everybody else.
 *
 * A full handshake costs milliseconds of the one thread, and tens of kilobytes before the peer
 * has proved anything. So all streams of a process share one budget:
 *
 *   per_turn  flights that are computed in one turn of the loop; streams past it wait in line,
 *             and the loop polls between turns, so that established connections go on.
 *   max_open  handshakes that hold a TLS context. One more, and the oldest is ended: an honest
 *             one takes milliseconds, the oldest is one that stalls.
 *
 * Also counted here: osbd_tls_handshakes_total by result, osbd_tls_handshakes_waiting and
 * osbd_tls_handshakes_open, when metrics are given. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_BUDGET_H
#define OSBD_TLS_TLS_BUDGET_H

#include "core/loop.h"
#include "core/metric.h"

#define TLS_PER_TURN 2
#define TLS_MAX_OPEN 512

enum tls_result { TLS_FULL, TLS_RESUMED, TLS_FAILED, TLS_RESULTS };

struct tls_budget {
	struct loop *loop;
	unsigned per_turn;
	size_t max_open;
	/* private */
	unsigned left;
	size_t n_open, n_waiting;
	struct list waiting; /* struct tls_share.wait */
	struct list open;    /* struct tls_share.open, oldest first */
	struct soon refill;
	struct metric results[TLS_RESULTS], waiting_gauge, open_gauge;
};

/* A stream's part in it. Zero it first. */
struct tls_share {
	struct list wait, open;
	void (*run)(struct tls_share *share);   /* its turn has come; from the loop */
	void (*evict)(struct tls_share *share); /* end this handshake; closes the share itself */
};

/* per_turn, max_open 0: the defaults. metrics may be NULL. */
void tls_budget_init(struct tls_budget *budget, struct loop *loop, unsigned per_turn,
		     size_t max_open, struct metrics *metrics);
void tls_budget_finish(struct tls_budget *budget); /* no stream is left */

/* True: go on, one computation is taken. False: share->run is called in a later turn, when one
 * has been taken for it. */
bool tls_budget_take(struct tls_budget *budget, struct tls_share *share);
/* A handshake begins to hold memory; may evict another. */
void tls_budget_open(struct tls_budget *budget, struct tls_share *share);
/* It is over, or its stream goes: out of line and out of the count. Twice is fine. */
void tls_budget_close(struct tls_budget *budget, struct tls_share *share);
void tls_budget_count(struct tls_budget *budget, enum tls_result result);

#endif
