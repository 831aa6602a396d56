/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/unbind_all.h"

#include <stdio.h>

#define UNBIND_ROWS 100      /* bindings in one look; the rest is for the next */
#define UNBIND_TRIES 3       /* looks that find a binding again whose unbind has failed */
#define BEGUN "unbind_begun" /* in the memo: seq of the last binding whose unbind was begun */
#define TRIES "unbind_tries"

struct unbind_all {
	struct call call; /* first: what the step waits for */
	struct osb_op *op;
	struct arena arena; /* of one look */
	struct store_list list;
	struct journal_begin begin;
	size_t next;
	size_t left;
	int64_t seq, tries; /* BEGUN, TRIES */
	struct str failed;  /* id of a binding that was begun in an earlier look */
};

static void begin_next(struct unbind_all *u);

static void begun(struct call *call, int status)
{
	struct unbind_all *u = call->data;

	if (status < 0) {
		call_end(&u->call, status);
		return;
	}
	begin_next(u);
}

static void begin_next(struct unbind_all *u)
{
	const struct store_listed *row = NULL;

	while (u->next < u->list.n_rows) {
		row = &u->list.rows[u->next++];
		if (row->binding.state == STORE_READY || row->binding.state == STORE_DIRTY)
			break;
		row = NULL; /* on its way already */
	}
	if (!row || u->call.canceled) {
		call_end(&u->call, u->call.canceled ? ERR_CANCELED : 0);
		return;
	}
	if (row->binding.seq <= u->seq)
		u->failed = arena_str(&u->op->job.op.arena, row->binding.id);
	else
		u->seq = row->binding.seq;
	if (u->failed.n && u->tries == UNBIND_TRIES) { /* enough: the step fails */
		call_end(&u->call, 0);
		return;
	}
	memset(&u->begin, 0, sizeof(u->begin));
	u->begin.begin = (struct store_begin){
		.arena = &u->arena,
		.verb = STORE_UNBIND,
		.platform = row->instance.platform,
		.instance_id = row->instance.id,
		.binding_id = row->binding.id,
		.service = u->op->offering->name,
		.service_id = u->op->offering->id,
		.plan_id = row->instance.plan_id,
		.request = STR("{}"),
		.while_deleting = true,
	};
	u->begin.beyond = true;
	u->begin.call.done = begun;
	u->begin.call.data = u;
	journal_begin(u->op->job.journal, &u->begin);
}

static void listed(struct call *call, int status)
{
	struct unbind_all *u = call->data;

	u->left = status < 0 ? 1 : u->list.n_rows;
	if (status < 0) {
		call_end(&u->call, status);
		return;
	}
	begin_next(u);
}

static enum op_verdict unbind(struct op *op)
{
	struct osb_op *osb = osb_op_of(op);
	struct unbind_all *u = mem_zalloc(sizeof(*u));

	u->op = osb;
	(void)json_to_int(json_get(op->memo, BEGUN), &u->seq);
	(void)json_to_int(json_get(op->memo, TRIES), &u->tries);
	op_call(op, &u->call);
	u->list = (struct store_list){
		.call = { .done = listed, .data = u },
		.arena = &u->arena,
		.kind = STORE_LIST_BINDINGS,
		.instance = osb->job.row.instance,
		.max = UNBIND_ROWS,
	};
	osb->unbind_all = u;
	call_begin(&u->call, NULL);
	store_list(journal_store(osb->job.journal), &u->list);
	return OP_WAIT;
}

static enum op_verdict unbound(struct op *op, int status)
{
	struct osb_op *osb = osb_op_of(op);
	struct unbind_all *u = osb->unbind_all;
	struct str failed = u->failed;
	size_t left = u->left;

	u->tries += failed.n != 0;
	if (u->seq)
		json_set_int(&op->arena, op->memo, BEGUN, u->seq);
	if (u->tries)
		json_set_int(&op->arena, op->memo, TRIES, u->tries);
	if (u->tries > UNBIND_TRIES)
		op_fail(op, ERR_INVALID, "service binding %.*s cannot be unbound", STR_ARG(failed));
	arena_finish(&u->arena);
	mem_free(u);
	osb->unbind_all = NULL;
	if (op->err.code)
		return OP_FAIL;
	if (status < 0 || left) {
		snprintf(op->progress, sizeof(op->progress), "unbinding what is bound");
		return OP_AGAIN;
	}
	return OP_NEXT;
}

const struct op_step *unbind_all_steps(struct arena *arena, const struct op_step *steps)
{
	struct op_step *all;
	size_t n = 0;

	while (steps[n].name)
		n++;
	all = arena_alloc(arena, (n + 2) * sizeof(*all));
	all[0] = (struct op_step){ UNBIND_ALL, unbind, unbound, HOUR(1), SEC(1) };
	memcpy(all + 1, steps, (n + 1) * sizeof(*all));
	return all;
}
