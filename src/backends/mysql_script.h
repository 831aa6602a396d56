/* backends/mysql_script: statements under a lock of the server, on a session from a pool.
 *
 *   a session -- connect, settings, unless it is up --> lock --> statements --> unlock --> returned
 *                                                         '--> end its holder's session --^
 *
 * The lock is named by what the statements are about. Whoever holds it is a predecessor of this
 * operation, on a node that is dead or stopped: its session is ended first, and when that is gone
 * none of its statements comes any more. What next() looks at is therefore how things are. A session
 * that says nothing for a while is ended by the server itself, so that a node that is stopped
 * holds nothing for long.
 * done: 0 next() said that all is done; else err says why, and again whether it may pass. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_MYSQL_SCRIPT_H
#define OSBD_BACKENDS_MYSQL_SCRIPT_H

#include "sql/my_pool.h"

#define MYSQL_IDLE 30 /* seconds */

enum mysql_next { MYSQL_RUN, MYSQL_END, MYSQL_FAIL };

struct mysql_script {
	struct call call;
	const char *name; /* of the verb, for failpoints: mysql.NAME.send and mysql.NAME.reply */
	struct my_pool *pool;
	struct arena *arena;
	const char *lock;      /* at most 64 characters of [a-z0-9.]; NULL: none is needed */
	unsigned idle_seconds; /* that the server bears with its silence; 0: MYSQL_IDLE */
	/* Appends the next statement to text and says MYSQL_RUN; or that there is none; or fails and
	 * sets err. Starts nothing. */
	enum mysql_next (*next)(struct mysql_script *script, struct buf *text);
	/* for next: */
	struct my_conn *conn;      /* up */
	struct my_request request; /* the last one: result; code when tolerated */
	int at;                    /* 0 at first; next's own */
	unsigned tolerated;        /* this error of the server does not end it; next's own */
	struct err err;
	bool again;
	/* private */
	struct my_loan loan;
	struct my_kill kill;
	struct buf text;
	int step, status;
	bool tried; /* the other password */
};

void mysql_script_start(struct mysql_script *script);

#endif
