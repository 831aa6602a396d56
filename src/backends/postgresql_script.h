/* backends/postgresql_script: statements under a lock of the server, on sessions of their own.
 *
 *   main     in the maintenance database. It takes the advisory lock before anything else and
 *            holds it to the end; then it may serve the next script.
 *   inside   in a database that next() names, opened when it is first wanted. Its first statement
 *            asks whether main still holds the lock.
 *
 * The lock is named by what the statements are about. Whoever holds it is a predecessor of this
 * operation, on a node that is dead or stopped: that session is ended, and then every other that
 * the predecessor has opened inside, which are known by their application_name. One that
 * begins later finds that its lock is gone, and does nothing. So no statement of a predecessor
 * comes any more, and what next() looks at is how things are.
 *
 * Each statement is sent alone: CREATE DATABASE and its kin run in no transaction. The server ends
 * a statement after 35 s, a wait for another's lock after 10 s, and a session that is silent for
 * a minute, so that a node that is stopped holds nothing for long. A script that is canceled while one runs has the server end its
 * sessions, from a third one.
 * Only so many scripts of a process run on a server at a time; the others wait for their turn.
 * done: 0 next() said that all is done; else err says why, and again whether it may pass. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_SCRIPT_H
#define OSBD_BACKENDS_POSTGRESQL_SCRIPT_H

#include "backends/postgresql_server.h"
#include "sql/pg_conn.h"

enum postgresql_next { POSTGRESQL_RUN, POSTGRESQL_INSIDE, POSTGRESQL_END, POSTGRESQL_FAIL };

struct postgresql_script;

struct postgresql_side {
	struct pg_conn conn;
	struct postgresql_script *script; /* NULL: idle */
	struct list node;                 /* while idle: of server.idle */
	struct timer timer;               /* likewise: it is closed */
};

enum { POSTGRESQL_MAIN, POSTGRESQL_WITHIN, POSTGRESQL_KILLER, POSTGRESQL_SIDES };

struct postgresql_script {
	struct call call;
	struct postgresql_server *server;
	struct arena *arena;
	const char
		*lock; /* a letter and at least 16 hex digits, which are its number; NULL: none */
	/* Appends the next statement to text and says where it runs: POSTGRESQL_RUN in main,
	 * POSTGRESQL_INSIDE in inside; or that there is none; or fails and sets err. Starts nothing. */
	enum postgresql_next (*next)(struct postgresql_script *script, struct buf *text);
	/* for next: */
	const char *inside;       /* the database of POSTGRESQL_INSIDE */
	struct sql_result result; /* of the last one, as text, in the arena */
	char sqlstate[6];         /* of the last one; not empty only when tolerated */
	int at;                   /* 0 at first; next's own */
	const char
		*tolerated; /* "42P01 55000": these do not end it; next's own, for one statement */
	bool may_miss; /* next's own, for one statement: it is passed over when the database lets nobody in */
	bool missed; /* so it was */
	struct err err;
	bool again;
	/* private */
	struct postgresql_side *sides[POSTGRESQL_SIDES]; /* NULL: not open */
	const char *entered; /* the database that the inside session is in */
	struct pg_target target;
	struct list node; /* while it waits for its turn */
	struct soon soon;
	struct buf text, own; /* next's; the machinery's */
	bool resolving;
	bool tried;   /* one password was refused */
	bool reused;  /* main was idle, and has not answered yet: it may be gone */
	int password; /* of the latest try */
	int step, status;
};

void postgresql_server_init(struct postgresql_server *server); /* after it is filled in */
void postgresql_server_finish(
	struct postgresql_server *server); /* no script runs; zeroes are fine */
void postgresql_script_start(struct postgresql_script *script);
/* Quoted, for next(). */
static inline int postgresql_put_text(struct postgresql_script *script, struct buf *text,
				      struct str value)
{
	return pg_conn_put_text(&script->sides[POSTGRESQL_MAIN]->conn, text, value);
}

#endif
