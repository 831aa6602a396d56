/* sql/pg_listen: NOTIFY, on a connection of its own, opened anew for ever. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_PG_LISTEN_H
#define OSBD_SQL_PG_LISTEN_H

#include "sql/pg_conn.h"
#include "sql/pg_target.h"

#define PG_PING_MS 15000 /* an idle connection is asked for a sign of life this often */

struct pg_listen {
	struct loop *loop;
	struct log *log;
	uint64_t connect_ms, statement_ms;
	/* private */
	struct pg_target target;
	struct pg_conn conn;
	struct list listeners; /* struct sql_listener.node */
	struct timer timer;    /* until the next try, or the next ping, or a reply's deadline */
	unsigned failures;
	bool resolving, pinged;
	bool complained;
	void (*closed)(void *data);
	void *data;
};

/* ms to wait before the next try: 100 ms, doubled up to 10 s, give or take a half. */
uint64_t pg_back_off(unsigned failures);

/* Connects when the first listener comes. loop, log and times are filled in by the caller. */
int pg_listen_init(struct pg_listen *listen, const struct pg_lib *lib,
		   const struct sql_config *config, struct err *err) MUST_CHECK;
void pg_listen_add(struct pg_listen *listen, struct sql_listener *listener);
void pg_listen_remove(struct pg_listen *listen, struct sql_listener *listener);
/* closed runs once, from the loop. */
void pg_listen_close(struct pg_listen *listen, void (*closed)(void *data), void *data);

#endif
