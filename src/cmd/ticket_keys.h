/* cmd/ticket_keys: the keys of TLS session tickets come from the store, so that every node on it
 * opens the tickets of all.
 *
 * Each process looks every TICKET_KEYS_LOOK_MS (more often when keys change more often). A new key
 * seals only when it is two looks old: by then every process can open what it seals. While the
 * store is away the keys that are known go on. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CMD_TICKET_KEYS_H
#define OSBD_CMD_TICKET_KEYS_H

#include "core/timer.h"
#include "store/store.h"
#include "tls/tls_ticket.h"

#define TICKET_KEYS_LOOK_MS SEC(60)

struct ticket_keys {
	struct store *store;
	struct tls_tickets *tickets;
	const struct log *log;
	uint64_t rotate; /* ms that a key seals */
	struct store_tickets look;
	struct timer timer;
	bool running, looked, known, away;
};

/* The caller has set store, tickets, log and rotate. Returns when the keys are known, or the store
 * is away. */
void ticket_keys_start(struct ticket_keys *keys);
/* Before the store is closed; zeroes are fine. The struct stays until the store is closed. */
void ticket_keys_stop(struct ticket_keys *keys);

#endif
