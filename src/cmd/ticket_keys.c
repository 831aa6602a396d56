/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/ticket_keys.h"

#include "core/mem.h"

_Static_assert(STORE_TICKET_KEYS <= TLS_TICKET_KEYS && STORE_TICKET_ID == TLS_TICKET_ID &&
		       STORE_TICKET_SECRET == TLS_TICKET_SECRET,
	       "the store keeps what TLS uses");

static uint64_t look_every(const struct ticket_keys *keys)
{
	uint64_t often = keys->rotate / 4;

	return often < TICKET_KEYS_LOOK_MS ? often : TICKET_KEYS_LOOK_MS;
}

/* The newest that every process knows by now; the oldest, when all are new. */
static size_t sealing(const struct ticket_keys *keys)
{
	const struct store_tickets *look = &keys->look;
	uint64_t now = store_now(keys->store);
	size_t i;

	for (i = 0; i + 1 < look->n; i++)
		if (look->keys[i].made + 2 * look_every(keys) <= now)
			break;
	return i;
}

static void copy(struct tls_ticket_key *to, const struct store_ticket_key *from, uint64_t keep)
{
	memcpy(to->id, from->id, sizeof(to->id));
	memcpy(to->secret, from->secret, sizeof(to->secret));
	to->not_after = from->made + keep;
}

static void use(struct ticket_keys *keys)
{
	struct tls_ticket_key list[STORE_TICKET_KEYS];
	struct store_tickets *look = &keys->look;
	size_t first = sealing(keys), n = 0, i;

	copy(&list[n++], &look->keys[first], look->keep);
	for (i = 0; i < look->n; i++)
		if (i != first)
			copy(&list[n++], &look->keys[i], look->keep);
	tls_tickets_set(keys->tickets, list, n);
	mem_wipe(list, sizeof(list));
	keys->known = true;
}

static void look(struct ticket_keys *keys);

static void on_look(struct timer *timer)
{
	look(container_of(timer, struct ticket_keys, timer));
}

static void looked(struct call *call, int status)
{
	struct ticket_keys *keys = container_of(container_of(call, struct store_tickets, call),
						struct ticket_keys, look);

	if (keys->running && status == 0)
		use(keys);
	else if (keys->running && !keys->away)
		log_warn(keys->log, "session tickets: %s; %s", err_str(status),
			 keys->known ? "the keys that are known go on"
				     : "this process uses keys of its own");
	keys->away = status != 0;
	keys->looked = true;
	mem_wipe(keys->look.keys, sizeof(keys->look.keys));
	if (keys->running)
		timer_start(&keys->timer, keys->store->loop,
			    status == 0 ? look_every(keys) : SEC(1), on_look);
}

static void look(struct ticket_keys *keys)
{
	keys->look = (struct store_tickets){
		.call = { .done = looked },
		.rotate = keys->rotate,
		/* while it seals, and as long as its last ticket lives */
		.keep = keys->rotate + 4 * look_every(keys) + TLS_TICKET_LIFE_MS,
	};
	store_tickets(keys->store, &keys->look);
}

void ticket_keys_start(struct ticket_keys *keys)
{
	keys->running = true;
	look(keys);
	loop_run_until(keys->store->loop, &keys->looked);
}

void ticket_keys_stop(struct ticket_keys *keys)
{
	keys->running = false;
	timer_stop(&keys->timer);
}
