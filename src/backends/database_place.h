/* backends/database_place: which of its servers a service puts a new database on.
 *
 * Every server that the plan may use is asked how much is promised there, one after the other. The
 * one with most room is taken, of several such the one with the fewest databases. Whoever marks the
 * database looks once more, under a lock of that server: one that has become full meanwhile is
 * forgotten, and the choice is made again. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_DATABASE_PLACE_H
#define OSBD_BACKENDS_DATABASE_PLACE_H

#include "backends/database.h"

struct database_choice {
	struct call call;
	/* set by the owner */
	struct osb_op *op;
	struct call *asking; /* of the question to a server; its done and data are the choice's */
	/* Starts asking, or says ERR_*. */
	int (*ask)(struct database_choice *choice, const struct database_server *server);
	/* What asking has found: databases there, and bytes that are promised to them. */
	void (*found)(struct database_choice *choice, uint64_t *databases, uint64_t *storage);
	/* private */
	const struct database_server *server, *best;
	double best_room;
	uint64_t fewest;           /* databases on the best */
	uint64_t left, unanswered; /* servers, as bits */
};

/* For a step's ask: OP_NEXT when the instance has its place, OP_WAIT when servers are asked. */
enum op_verdict database_choose(struct op *flow, struct database_choice *choice);
/* For its take: OP_NEXT with the place in the memo; OP_AGAIN, with why in flow->progress, when none
 * of those that answered has room. why: what the last question ended with. */
enum op_verdict database_chosen(struct op *flow, struct database_choice *choice, int status,
				const char *why);
/* The server turned out to be full: it is left out. OP_AGAIN, or OP_FAIL when none is left. */
enum op_verdict database_choose_another(struct op *flow, const struct database_server *server);

#endif
