/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/database_place.h"

#include <stdio.h>

static void ask_next(struct database_choice *choice);

static void asked(struct call *call, int status)
{
	struct database_choice *choice = call->data;
	uint64_t databases = 0, storage = 0;
	double room;

	if (status < 0) {
		choice->unanswered |= UINT64_C(1) << choice->server->index;
	} else {
		choice->found(choice, &databases, &storage);
		room = database_room(choice->server, choice->op->plan->data, databases, storage);
		if (room >= 0 && (!choice->best || room > choice->best_room ||
				  (room == choice->best_room && databases < choice->fewest))) {
			choice->best = choice->server;
			choice->best_room = room;
			choice->fewest = databases;
		}
	}
	ask_next(choice);
}

/* The next server, or the end. */
static void ask_next(struct database_choice *choice)
{
	const struct database *database = container_of(choice->op->backend, struct database, base);

	while (choice->left && !choice->call.canceled) {
		size_t i = (size_t)__builtin_ctzll(choice->left);

		choice->left &= choice->left - 1;
		choice->server = &database->config.servers[i];
		choice->asking->done = asked;
		choice->asking->data = choice;
		if (choice->ask(choice, choice->server) == 0)
			return;
		choice->unanswered |= UINT64_C(1) << i;
	}
	call_end_soon(choice->op->job.op.loop, &choice->call,
		      choice->call.canceled ? ERR_CANCELED : 0);
}

static void cancel(struct call *call)
{
	call_cancel(container_of(call, struct database_choice, call)->asking);
}

static enum op_verdict no_room(struct osb_op *op)
{
	return osb_fail(op, 400, "NoRoom", 0,
			"no server of plan %.*s has room for one more database",
			STR_ARG(op->plan->name));
}

enum op_verdict database_choose(struct op *flow, struct database_choice *choice)
{
	struct osb_op *op = osb_op_of(flow);
	const struct database *database = container_of(op->backend, struct database, base);
	uint64_t candidates = database_candidates(op);
	struct str unknown;

	if (database_server(op, &unknown))
		return OP_NEXT;
	if (!candidates)
		return no_room(op);
	if (!(candidates & (candidates - 1))) { /* the only one: whoever marks will see */
		database_place(op, &database->config.servers[__builtin_ctzll(candidates)]);
		return OP_NEXT;
	}
	choice->op = op;
	choice->best = NULL;
	choice->unanswered = 0;
	choice->left = candidates;
	op_call(flow, &choice->call);
	call_begin(&choice->call, cancel);
	ask_next(choice);
	return OP_WAIT;
}

enum op_verdict database_chosen(struct op *flow, struct database_choice *choice, int status,
				const char *why)
{
	struct osb_op *op = osb_op_of(flow);

	if (status < 0)
		return op_fail(flow, status, "%s", err_str(status));
	if (choice->best) {
		database_place(op, choice->best);
		return OP_NEXT;
	}
	if (!choice->unanswered)
		return no_room(op);
	snprintf(flow->progress, sizeof(flow->progress), "%.200s", why);
	return OP_AGAIN;
}

enum op_verdict database_choose_another(struct op *flow, const struct database_server *server)
{
	struct osb_op *op = osb_op_of(flow);

	database_unplace(op, server);
	return database_candidates(op) ? OP_AGAIN : no_room(op);
}
