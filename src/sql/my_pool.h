/* sql/my_pool: a few sessions of one server, each lent to one borrower at a time.
 *
 *   ask     a call; done: 0 loan->conn is the borrower's; ERR_CANCELED. Who asked first gets first.
 *           It is up, with what the session has kept from before, or it is not connected yet.
 *   return  kept for the next borrower when it is up and `again` is set; else closed at once. An idle
 *           session that the server ends is noticed when it would be lent.
 *
 * Two sets of credentials may be given, for the time in which a password changes: whoever finds that
 * one is refused says so with my_pool_refused() and, when it says true, connects once more. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_MY_POOL_H
#define OSBD_SQL_MY_POOL_H

#include "sql/my_conn.h"

#define MY_POOL_IDLE SEC(10)

struct my_pool {
	struct loop *loop;
	struct my_server servers[2]; /* the same but for the password; borrowed by sessions */
	bool two;                    /* there is a second */
	unsigned max;                /* sessions in all */
	uint64_t idle_ms;            /* then an idle session is closed; 0: MY_POOL_IDLE */
	/* private */
	unsigned preferred; /* of servers: the one that was taken last */
	struct list idle, waiting;
	unsigned n_lent;
	struct timer sweep;
};

struct my_loan {
	struct call call;
	struct my_conn *conn; /* out */
	/* private */
	struct my_pool *pool;
	struct list node;
};

/* loop, servers, two and max are set. */
void my_pool_init(struct my_pool *pool);
/* Nothing is lent, nobody waits. */
void my_pool_finish(struct my_pool *pool);
void my_pool_ask(struct my_pool *pool, struct my_loan *loan);
/* No request runs on it. */
void my_pool_return(struct my_pool *pool, struct my_conn *conn, bool again);
/* The server refused conn's password: true when there is another one, which conn has now. */
bool my_pool_refused(struct my_pool *pool, struct my_conn *conn);

#endif
