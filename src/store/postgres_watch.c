/* What one process tells others: that an op which one of them waits for has answered or ended, and that one of
 * theirs was told to go back. A NOTIFY makes a commit cost twice (all that notify wait for each
 * other), so it has a transaction of its own, behind that of the event, and one carries all
 * that has gathered while the one before was under way. It may be lost; so who waits also looks
 * by itself, every POLL ms, and a halt is found at the next renewal. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres_db.h"

#include <stdlib.h>

#define POLL SEC(2)
#define PAYLOAD_MAX 7000 /* PostgreSQL takes less than 8,000 bytes */

static void poll_now(struct pg *pg);

/* -- telling ---------------------------------------------------------------------------- */

static void send_told(struct pg *pg);

static void told(struct call *call, int status)
{
	struct pg *pg = call->data;

	(void)status; /* lost: they look by themselves */
	pg->watch.telling = false;
	if (pg->closing)
		pg_finish(pg);
	else if (pg->watch.told.n > 0)
		send_told(pg);
}

static void send_told(struct pg *pg)
{
	static const struct sql_stmt notify = { "notify", "SELECT pg_notify('osbd', $1) IS NULL",
						1 };
	struct buf swap = pg->watch.sent;

	pg->watch.sent = pg->watch.told;
	pg->watch.told = swap;
	buf_clear(&pg->watch.told);
	pg->watch.telling = true;
	arena_reset(&pg->watch.tell_arena);
	sql_tx_init(&pg->watch.tell, &pg->watch.tell_arena);
	pg->watch.tell.call.done = told;
	pg->watch.tell.call.data = pg;
	pg->watch.tell.repeat = true;
	sql_add(&pg->watch.tell, &notify, sql_text(buf_str(&pg->watch.sent)));
	sql_start(pg->pool, &pg->watch.tell);
}

void pg_tell(struct pg *pg, char event, int64_t op)
{
	if (pg->closing || pg->watch.told.n > PAYLOAD_MAX)
		return;
	buf_printf(&pg->watch.told, "%c%lld ", event, (long long)op);
	if (!pg->watch.telling)
		send_told(pg);
}

/* -- watching --------------------------------------------------------------------------- */

static void forget(struct pg *pg, size_t i)
{
	pg->watch.ops[i] = pg->watch.ops[--pg->watch.n_ops];
}

static void ended(struct pg *pg, int64_t op)
{
	struct store *store = &pg->db.store;
	size_t i;

	for (i = 0; i < pg->watch.n_ops; i++) {
		if (pg->watch.ops[i] != op)
			continue;
		forget(pg, i);
		if (store->on_event)
			store->on_event(store->event_data, STORE_EVENT_ENDED, op);
		return;
	}
}

static void answered(struct pg *pg, int64_t op)
{
	struct store *store = &pg->db.store;
	size_t i;

	for (i = 0; i < pg->watch.n_ops; i++)
		if (pg->watch.ops[i] == op && store->on_event) {
			store->on_event(store->event_data, STORE_EVENT_ANSWERED, op);
			return;
		}
}

static void on_notify(struct sql_listener *listener, struct str payload)
{
	struct pg *pg = listener->data;
	struct store *store = &pg->db.store;
	const char *p = payload.p, *end = payload.p + payload.n;

	if (!p) {
		poll_now(pg);
		return;
	}
	while (p < end) {
		char event = *p++;
		int64_t op = 0;

		while (p < end && *p >= '0' && *p <= '9')
			op = op * 10 + (*p++ - '0');
		while (p < end && *p == ' ')
			p++;
		if (event == 'e')
			ended(pg, op);
		else if (event == 'a')
			answered(pg, op);
		else if (event == 'h' && store->on_event)
			store->on_event(store->event_data, STORE_EVENT_HALTED, op);
		else if (event != 'h')
			return;
	}
}

static void on_poll(struct timer *timer)
{
	poll_now(container_of(timer, struct pg, watch.poll));
}

static void polled(struct call *call, int status)
{
	struct pg *pg = call->data;
	size_t i;

	pg->watch.polling = false;
	if (pg->closing) {
		pg_finish(pg);
		return;
	}
	for (i = 0; status == 0 && i < pg->watch.tx.results[1].rows; i++)
		ended(pg, sql_get_int(&pg->watch.tx.results[1], i, 0));
	if (pg->watch.again && status == 0)
		poll_now(pg);
	else if (pg->watch.n_ops > 0)
		timer_start(&pg->watch.poll, pg->db.store.loop, POLL, on_poll);
}

/* Says once more which ops are waited for here, and looks which of them have ended. */
static void poll_now(struct pg *pg)
{
	static const struct sql_stmt watch = {
		"watch",
		"INSERT INTO watch (op) SELECT x FROM unnest($1::int8[]) x"
		" WHERE EXISTS (SELECT 1 FROM op WHERE seq = x AND state <> 2)"
		" ON CONFLICT DO NOTHING",
		1
	};
	static const struct sql_stmt look = {
		"watch_look",
		"SELECT x FROM unnest($1::int8[]) x"
		" WHERE NOT EXISTS (SELECT 1 FROM op WHERE seq = x AND state <> 2)",
		1
	};
	struct buf text = { 0 };
	struct str ops;
	size_t i;

	timer_stop(&pg->watch.poll);
	if (pg->closing || pg->watch.n_ops == 0)
		return;
	pg->watch.again = pg->watch.polling;
	if (pg->watch.polling)
		return;
	pg->watch.polling = true;
	for (i = 0; i < pg->watch.n_ops; i++)
		buf_printf(&text, "%c%lld", i ? ',' : '{', (long long)pg->watch.ops[i]);
	buf_putc(&text, '}');
	arena_reset(&pg->watch.arena);
	ops = arena_str(&pg->watch.arena, buf_str(&text));
	buf_finish(&text);
	sql_tx_init(&pg->watch.tx, &pg->watch.arena);
	pg->watch.tx.call.done = polled;
	pg->watch.tx.call.data = pg;
	pg->watch.tx.repeat = true;
	sql_add(&pg->watch.tx, &watch, sql_literal(ops));
	sql_add(&pg->watch.tx, &look, sql_literal(ops));
	sql_start(pg->pool, &pg->watch.tx);
}

void pg_watch(struct store *store, int64_t op)
{
	struct pg *pg = pg_of(store);
	size_t i;

	for (i = 0; i < pg->watch.n_ops; i++)
		if (pg->watch.ops[i] == op)
			return;
	if (pg->watch.n_ops == pg->watch.size) {
		pg->watch.size = pg->watch.size ? pg->watch.size * 2 : 16;
		pg->watch.ops = mem_realloc(pg->watch.ops, pg->watch.size * sizeof(*pg->watch.ops));
	}
	pg->watch.ops[pg->watch.n_ops++] = op;
	pg->watch.again = true;
	if (!pg->watch.polling) /* with all that are added in this turn */
		timer_start(&pg->watch.poll, store->loop, 0, on_poll);
}

void pg_unwatch(struct store *store, int64_t op)
{
	struct pg *pg = pg_of(store);
	size_t i;

	for (i = 0; i < pg->watch.n_ops; i++)
		if (pg->watch.ops[i] == op) {
			forget(pg, i);
			return;
		}
}

void pg_watch_start(struct pg *pg)
{
	pg->watch.listener.channel = "osbd";
	pg->watch.listener.on_notify = on_notify;
	pg->watch.listener.data = pg;
	sql_listen(pg->pool, &pg->watch.listener);
}

void pg_watch_stop(struct pg *pg)
{
	timer_stop(&pg->watch.poll);
	if (pg->watch.listener.channel)
		sql_unlisten(pg->pool, &pg->watch.listener);
	pg->watch.listener.channel = NULL;
}
