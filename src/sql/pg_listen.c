/* A listener is told when LISTEN has been answered, then of each NOTIFY. When the connection is
 * lost all are asked for anew on the next one, and told again that listening has begun. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_listen.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static void dial(struct pg_listen *listen);

uint64_t pg_back_off(unsigned failures)
{
	uint64_t ms = 10000;
	uint32_t dice;

	if (failures < 7)
		ms = (uint64_t)100 << failures;
	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != sizeof(dice))
		dice = 0;
	return ms / 2 + dice % ms;
}

static struct pg_listen *of(struct pg_conn *conn)
{
	return container_of(conn, struct pg_listen, conn);
}

static void on_time(struct timer *timer)
{
	struct pg_listen *listen = container_of(timer, struct pg_listen, timer);
	struct pg_conn *conn = &listen->conn;

	if (conn->state != PG_UP) {
		dial(listen);
	} else if (!pg_conn_quiet(conn)) {
		log_warn(listen->log, "PostgreSQL: no sign of life from the listening connection");
		pg_conn_close(conn);
	} else {
		pg_conn_send_text(conn, "SELECT 1", NULL, 0, (struct pg_note){ .kind = PG_OWN });
		pg_conn_sync(conn, NULL);
		timer_start(timer, listen->loop, listen->statement_ms, on_time);
	}
}

static void ask(struct pg_listen *listen, struct sql_listener *listener)
{
	char text[80];

	listener->asked = true;
	snprintf(text, sizeof(text), "LISTEN \"%s\"", listener->channel);
	pg_conn_send_text(&listen->conn, text, NULL, 0,
			  (struct pg_note){ .kind = PG_STATEMENT, .whose = listener });
	pg_conn_sync(&listen->conn, NULL);
	timer_start(&listen->timer, listen->loop, listen->statement_ms, on_time);
}

static void on_up(struct pg_conn *conn)
{
	struct pg_listen *listen = of(conn);
	struct list *pos, *tmp;

	listen->failures = 0;
	listen->complained = false;
	timer_start(&listen->timer, listen->loop, PG_PING_MS, on_time);
	list_each(pos, tmp, &listen->listeners)
		ask(listen, container_of(pos, struct sql_listener, node));
}

/* Whether the listener of a note is still there. */
static bool is_here(struct pg_listen *listen, const void *listener)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &listen->listeners)
		if (container_of(pos, struct sql_listener, node) == listener)
			return true;
	return false;
}

static void on_reply(struct pg_conn *conn, const struct pg_note *note, PGresult *result)
{
	struct pg_listen *listen = of(conn);
	struct sql_listener *listener = note->whose;

	timer_start(&listen->timer, listen->loop, PG_PING_MS, on_time);
	if (note->kind != PG_STATEMENT || !is_here(listen, listener))
		return;
	if (pg_ok(conn->lib, result))
		listener->on_notify(listener, str_make(NULL, 0));
	else
		pg_conn_close(conn); /* and begin anew, with back-off */
}

static void on_notify(struct pg_conn *conn, const char *channel, const char *payload)
{
	struct pg_listen *listen = of(conn);
	struct list *pos, *tmp;

	list_each(pos, tmp, &listen->listeners) {
		struct sql_listener *listener = container_of(pos, struct sql_listener, node);

		if (strcmp(listener->channel, channel) == 0)
			listener->on_notify(listener, str_of(payload));
	}
}

static void on_lost(struct pg_conn *conn, const struct err *why)
{
	struct pg_listen *listen = of(conn);

	if (!listen->complained)
		log_warn(listen->log, "PostgreSQL: listening: %s", why->text);
	listen->complained = true;
}

static void end(struct pg_listen *listen)
{
	pg_target_finish(&listen->target);
	listen->closed(listen->data);
}

static void on_closed(struct pg_conn *conn)
{
	struct pg_listen *listen = of(conn);

	conn->state = PG_UNUSED;
	timer_stop(&listen->timer);
	if (listen->closed)
		end(listen);
	else
		timer_start(&listen->timer, listen->loop, pg_back_off(listen->failures++), on_time);
}

static void resolved(void *data, int status, struct err *why)
{
	struct pg_listen *listen = data;
	struct pg_conn *conn = &listen->conn;

	listen->resolving = false;
	if (listen->closed) {
		end(listen);
		return;
	}
	if (status != 0) {
		on_lost(conn, why);
		timer_start(&listen->timer, listen->loop, pg_back_off(listen->failures++), on_time);
		return;
	}
	*conn = (struct pg_conn){
		.loop = listen->loop,
		.lib = conn->lib,
		.on_up = on_up,
		.on_reply = on_reply,
		.on_notify = on_notify,
		.on_lost = on_lost,
		.on_closed = on_closed,
		.connect_ms = listen->connect_ms,
		.statement_ms = listen->statement_ms,
	};
	pg_conn_open(conn, &listen->target);
}

static void dial(struct pg_listen *listen)
{
	if (listen->resolving || listen->conn.state != PG_UNUSED ||
	    list_empty(&listen->listeners) || listen->closed)
		return;
	listen->resolving = true;
	pg_target_resolve(&listen->target, listen->loop, listen->connect_ms, resolved, listen);
}

int pg_listen_init(struct pg_listen *listen, const struct pg_lib *lib,
		   const struct sql_config *config, struct err *err)
{
	list_init(&listen->listeners);
	listen->conn.lib = lib;
	return pg_target_init(&listen->target, lib, config, err);
}

void pg_listen_add(struct pg_listen *listen, struct sql_listener *listener)
{
	list_append(&listen->listeners, &listener->node);
	if (listen->conn.state == PG_UP)
		ask(listen, listener);
	else if (listen->conn.state == PG_UNUSED && !timer_running(&listen->timer))
		timer_start(&listen->timer, listen->loop, 0, on_time);
}

void pg_listen_remove(struct pg_listen *listen, struct sql_listener *listener)
{
	char text[80];
	struct list *pos, *tmp;

	if (!list_linked(&listener->node))
		return;
	list_remove(&listener->node);
	list_each(pos, tmp, &listen->listeners)
		if (strcmp(container_of(pos, struct sql_listener, node)->channel,
			   listener->channel) == 0)
			return;
	if (listen->conn.state != PG_UP)
		return;
	snprintf(text, sizeof(text), "UNLISTEN \"%s\"", listener->channel);
	pg_conn_send_text(&listen->conn, text, NULL, 0, (struct pg_note){ .kind = PG_OWN });
	pg_conn_sync(&listen->conn, NULL);
}

void pg_listen_close(struct pg_listen *listen, void (*closed)(void *data), void *data)
{
	struct list *node;

	assert(!listen->closed);
	listen->closed = closed;
	listen->data = data;
	timer_stop(&listen->timer);
	do
		node = list_shift(&listen->listeners);
	while (node);
	if (listen->resolving)
		pg_target_cancel(&listen->target);
	else if (listen->conn.state == PG_UNUSED)
		end(listen);
	else
		pg_conn_close(&listen->conn);
}
