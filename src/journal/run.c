/* The happy path: journal_begin() takes a slot and asks the store to begin; when that is durable
 * the user makes the op, and its steps run. Each commit of the op is a store_step, its end a
 * store_op_end; then the slot goes to the oldest op that waits.
 *
 * Failure modes:
 *   no slot                 the row has no owner; a slot that becomes free claims it
 *   the store is away       commit and end are asked again, 1 s, 2 s … 30 s later; the op
 *                           stands still meanwhile and its slot stays taken
 *   the fence moved         the op is dropped: cancelled here, and nothing of it is written
 *   nobody can make the op  it ends as failed, and says why
 *   success after a halt    the store refuses the end; the op goes the way back
 *   killed                  the row is claimed by the next process and resumed by its step;
 *                           a row that was claimed JOURNAL_CLAIMS_MAX times without ending a
 *                           step is given up
 *   drain                   ops are parked and released; they wait in the store */
/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/state.h"

#include "core/digest.h"
#include "core/failpoint.h"

#include <assert.h>
#include <inttypes.h>

#define PAUSE_MIN SEC(1)
#define PAUSE_MAX SEC(30)

/* -- the op's host: commits --------------------------------------------------------------- */

static struct journal_op *job_of(struct op *op)
{
	return container_of(op, struct journal_op, op);
}

static void free_op(struct journal_op *job)
{
	struct journal *journal = job->journal;

	list_remove(&job->node);
	journal_give_slot(journal, job->slots);
	timer_stop(&job->retry);
	journal->options.user->free(job);
	journal_look_for_work(journal);
	journal_check_drained(journal);
}

static void pause_store(struct journal_op *job, void (*again)(struct timer *timer))
{
	struct journal *journal = job->journal;

	job->pause = job->pause ? job->pause * 2 : PAUSE_MIN;
	if (job->pause > PAUSE_MAX)
		job->pause = PAUSE_MAX;
	log_warn(&job->op.log, "the store is away, trying again in %" PRIu64 " s",
		 job->pause / 1000);
	metric_inc(&journal->store_pauses, 1);
	timer_start(&job->retry, journal->loop, job->pause, again);
}

/* The step before the one that comes next was the one that answers. */
static bool answer_is_due(const struct journal_op *job)
{
	return job->answer && !job->answered && !job->op.backwards &&
	       job->op.step > job->op.forth && strcmp(job->op.step[-1].name, job->answer) == 0;
}

static void send_step(struct timer *timer)
{
	struct journal_op *job = container_of(timer, struct journal_op, retry);

	store_step(job->journal->store, &job->step);
}

static void step_stored(struct call *call, int status)
{
	struct journal_op *job = call->data;
	struct op *op = &job->op;

	if (status == ERR_STALE || job->dropped) {
		log_warn(&op->log, "another process has this operation now; leaving it");
		op_drop(op);
		return;
	}
	if (status < 0 && op->parking && op->hurried) { /* no time left to wait for the store */
		op_drop(op);
		return;
	}
	if (status < 0) {
		pause_store(job, send_step);
		return;
	}
	job->pause = 0;
	if (job->step.answers) {
		job->answered = true;
		journal_tell(job->journal, job->row.seq, false, 0);
	}
	op_committed(op, job->step.halted);
}

static void on_drop(struct timer *timer)
{
	op_drop(&container_of(timer, struct journal_op, retry)->op);
}

static void commit_op(struct op *op, bool new_step)
{
	struct journal_op *job = job_of(op);

	if (job->dropped) {
		timer_start(&job->retry, job->journal->loop, 0, on_drop);
		return;
	}
	job->step = (struct store_step){
		.call = { .done = step_stored, .data = job },
		.op = job->row.seq,
		.fence = job->row.fence,
		.step = str_of(op->step->name),
		.back = op->backwards,
		.memo = op_memo_text(op),
		.new_step = new_step,
		.answers = new_step && answer_is_due(job),
	};
	if (op->progress[0])
		job->step.description = str_of(op->progress);
	store_step(job->journal->store, &job->step);
}

/* -- the op's host: ends ------------------------------------------------------------------ */

static void released(struct call *call, int status)
{
	struct journal_op *job = call->data;

	if (status < 0 && status != ERR_STALE)
		log_warn(&job->op.log,
			 "could not be given back (%s): it is resumed later all the same",
			 err_str(status));
	job->slots->waiting = true;
	if (status == ERR_STALE)
		journal_watch_waits(job->journal, job->row.seq);
	else
		journal_tell(job->journal, job->row.seq, false, ERR_CANCELED);
	free_op(job);
}

/* Nothing is written: the row is another node's, or will be. */
static void drop(struct journal_op *job)
{
	job->slots->waiting = true;
	journal_watch_waits(job->journal, job->row.seq);
	free_op(job);
}

static void send_end(struct timer *timer)
{
	struct journal_op *job = container_of(timer, struct journal_op, retry);

	if (job->journal->draining && job->pause) { /* no time left to wait for the store */
		free_op(job);
		return;
	}
	store_end(job->journal->store, &job->end);
}

static void tell_follower(struct journal *journal, const struct store_op *follower)
{
	struct journal_slots *slots;

	if (!follower->seq)
		return;
	if (follower->state == STORE_OP_ENDED) {
		journal_tell(journal, follower->seq, true, 0);
		return;
	}
	slots = journal_slots_of(journal, follower->service);
	if (slots)
		slots->waiting = true;
}

static void end_stored(struct call *call, int status)
{
	struct journal_op *job = call->data;
	struct journal *journal = job->journal;
	bool failed = job->end.end.result != STORE_SUCCEEDED;

	if (status < 0 && job->dropped) {
		drop(job);
		return;
	}
	if (status < 0 && status != ERR_STALE && status != ERR_SEALED) {
		pause_store(job, send_end);
		return;
	}
	job->pause = 0;
	if (status == 0 && job->end.halted) {
		op_back(&job->op);
		return;
	}
	if (status == ERR_STALE) {
		log_warn(&job->op.log, "another process has ended this operation");
	} else if (status == ERR_SEALED) {
		log_error(&job->op.log, "the object's row cannot be opened by any key; the end "
					"could not be written");
	} else {
		log_info(&job->op.log, "%s %s%s%.*s", job->op.name, failed ? "failed" : "succeeded",
			 job->end.end.description.n ? ": " : "", STR_ARG(job->end.end.description));
		metric_inc(&journal->ended[job->row.verb][failed], 1);
	}
	failpoint("%s.ended", job->op.name);
	journal_tell(journal, job->row.seq, true, 0);
	tell_follower(journal, &job->end.follower);
	free_op(job);
}

/* "provision: deploy: director: HTTP 401", and what the way back has to add. */
static struct str failure_text(struct journal_op *job)
{
	struct op *op = &job->op;

	if (op->left_over && op->back_err.code)
		return str_of(arena_printf(&op->arena, "%s: %s; and cleaning up: %s", op->name,
					   op->err.text, op->back_err.text));
	return str_of(arena_printf(&op->arena, "%s: %s", op->name, op->err.text));
}

static void write_end(struct journal_op *job)
{
	struct store_end *end = &job->end.end;
	struct op *op = &job->op;

	memset(&job->end, 0, sizeof(job->end));
	job->end.call.done = end_stored;
	job->end.call.data = job;
	job->end.arena = &op->arena;
	if (!job->given_up)
		job->journal->options.user->result(job, end);
	end->op = job->row.seq;
	end->fence = job->row.fence;
	end->result = op->failed ? STORE_FAILED_RESULT : STORE_SUCCEEDED;
	end->left_over = op->left_over;
	if (op->left_over)
		end->flags |= STORE_LEFT_OVER;
	if (op->failed && !end->description.n)
		end->description = failure_text(job);
	if (!end->description.n) /* the progress of the last step says nothing any more */
		end->description = STR("");
	store_end(job->journal->store, &job->end);
}

static void op_over(struct op *op)
{
	struct journal_op *job = job_of(op);

	if (job->dropped || !journal_lease_holds(job->journal)) {
		drop(job);
		return;
	}
	if (op->state == OP_ENDED) {
		write_end(job);
		return;
	}
	log_info(&op->log, "%s: stopped before \"%s\"; it is resumed later", op->name,
		 op->step->name);
	job->release = (struct store_release){
		.call = { .done = released, .data = job },
		.op = job->row.seq,
		.fence = job->row.fence,
	};
	store_release(job->journal->store, &job->release);
}

/* On a process that was stopped for long, timers of ops may be due before the lease's. */
static bool may_ask(struct op *op)
{
	struct journal_op *job = job_of(op);

	if (!job->dropped && journal_lease_holds(job->journal))
		return true;
	job->dropped = true;
	return false;
}

static const struct op_host journal_host = { commit_op, op_over, may_ask };

void journal_drop_all(struct journal *journal)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->running) {
		struct journal_op *job = container_of(pos, struct journal_op, node);
		bool paused = timer_running(&job->retry);

		job->dropped = true;
		timer_stop(&job->retry);
		if (job->op.state == OP_ENDED && paused)
			drop(job);
		else if (job->op.state == OP_COMMITTING && !paused)
			op_park(&job->op, true); /* what is under way comes back by itself */
		else if (job->op.state != OP_ENDED)
			op_drop(&job->op);
	}
}

/* -- running a row ------------------------------------------------------------------------ */

static uint64_t passed(struct journal *journal, uint64_t since)
{
	uint64_t now = store_now(journal->store);

	return since && now > since ? now - since : 0; /* a clock that was set back: nothing */
}

static void keep_row(struct journal_op *job, const struct store_op *row)
{
	struct arena *arena = &job->op.arena;

	job->row = *row;
	job->row.service = arena_str(arena, row->service);
	job->row.plan_id = arena_str(arena, row->plan_id);
	job->row.step = arena_str(arena, row->step);
	job->row.owner = arena_str(arena, row->owner);
	job->row.memo = job->row.request = job->row.error = job->row.description = STR("");
}

/* What stands in for an op that nobody can make, so that its row can end. */
static struct journal_op *make_nobody(struct journal *journal, const struct store_op *row)
{
	struct journal_op *job = mem_zalloc(sizeof(*job));

	op_init(&job->op);
	log_child(&job->op.log, &journal->log);
	job->op.name = store_verb_name(row->verb);
	job->given_up = true;
	return job;
}

static void give_up(struct journal_op *job, const struct err *why)
{
	op_fail(&job->op, ERR_INVALID, "%s", why->text);
	log_error(&job->op.log, "%s: %s", job->op.name, why->text);
	job->op.failed = true;
	job->op.left_over = true;
	job->op.state = OP_ENDED;
	job->given_up = true;
	write_end(job);
}

/* Nodes of two versions, or of two configurations, share the store for a while: what this one does
 * not know is another's to run. */
static bool others_may_know(const struct journal *journal)
{
	return journal->lease.needed && journal->lease.nodes > 1;
}

static void leave_to_others(struct journal_op *job, const struct err *why)
{
	log_warn(&job->op.log, "%s: left to another node: %s", job->op.name, why->text);
	job->given_up = true;
	journal_pause_claims(job->journal);
	job->release = (struct store_release){
		.call = { .done = released, .data = job },
		.op = job->row.seq,
		.fence = job->row.fence,
	};
	store_release(job->journal->store, &job->release);
}

/* The slot is taken already. */
void journal_run_row(struct journal *journal, struct journal_slots *slots,
		     const struct store_claimed *row)
{
	struct journal_op *job;
	struct err err = { 0 };
	bool nobody = false, unknown = false;

	job = journal->options.user->make(journal->options.data, row, &err);
	if (!job) {
		job = make_nobody(journal, &row->op);
		nobody = unknown = true;
	}
	job->journal = journal;
	job->slots = slots;
	job->op.loop = journal->loop;
	job->op.host = &journal_host;
	keep_row(job, &row->op);
	list_append(&journal->running, &job->node);
	if (!nobody && row->op.claims > JOURNAL_CLAIMS_MAX) {
		err_set(&err, ERR_INVALID, "given up: %u attempts did not get beyond \"%.*s\"",
			row->op.claims - 1, STR_ARG(row->op.step));
		nobody = true;
	}
	if (!nobody && op_resume(&job->op, row->op.step, row->op.back, row->op.memo,
				 passed(journal, row->op.began),
				 passed(journal, row->op.step_began), &err) < 0)
		nobody = unknown = true;
	if (unknown && others_may_know(journal)) {
		leave_to_others(job, &err);
		return;
	}
	if (nobody) {
		give_up(job, &err);
		return;
	}
	if (row->op.step.n || row->op.claims > 1) {
		log_info(&job->op.log, "%s: resumed at \"%s\"%s", job->op.name, job->op.step->name,
			 row->op.back ? ", going back" : "");
		metric_inc(&journal->resumed, 1);
	}
	job->answered =
		!job->answer ||
		(!row->op.back && journal_past_answer(job->op.forth, job->answer, row->op.step));
	if (row->op.halted)
		op_halt(&job->op);
	op_start(&job->op);
}

struct journal_op *journal_find(const struct journal *journal, int64_t seq)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->running) {
		struct journal_op *job = container_of(pos, struct journal_op, node);

		if (job->row.seq == seq)
			return job;
	}
	return NULL;
}

void journal_halt(struct journal *journal, int64_t seq)
{
	struct journal_op *job = journal_find(journal, seq);

	if (job)
		op_halt(&job->op);
}

/* -- begin -------------------------------------------------------------------------------- */

static void begun(struct call *call, int status)
{
	struct journal_begin *begin = call->data;
	struct journal *journal = begin->journal;
	struct journal_slots *slots = begin->slots;
	const struct store_begin *b = &begin->begin;
	bool owned = status == 0 && b->result == BEGUN_STARTED && b->op.state == STORE_OP_RUNNING &&
		     str_eq(b->op.owner, journal->owner);

	failpoint("%s.begun", store_verb_name(b->verb));
	if (slots && !owned)
		journal_give_slot(journal, slots);
	if (status == 0 && b->result == BEGUN_STARTED && !owned) {
		slots = journal_slots_of(journal, b->service);
		if (slots)
			slots->waiting = true;
	}
	if (status == 0 && b->result == BEGUN_HALTING) {
		/* one that waits for a slot has nothing to undo, but its steps say so */
		journal_halt(journal, b->halted.seq);
	}
	if (owned) {
		struct store_claimed row = {
			.op = b->op,
			.instance = b->instance,
			.binding = b->binding,
		};

		journal_run_row(journal, slots, &row);
	}
	journal->n_begins--;
	if (owned && journal->draining)
		journal_park_all(journal, journal->hurried);
	call_end(&begin->call, status);
	if (!owned)
		journal_look_for_work(journal);
	journal_check_drained(journal);
}

void journal_begin(struct journal *journal, struct journal_begin *begin)
{
	struct journal_slots *slots = journal_slots_of(journal, begin->begin.service);

	begin->journal = journal;
	begin->slots = NULL;
	begin->begin.owner = STR("");
	begin->begin.max_waiting = journal->options.max_waiting;
	begin->begin.call.done = begun;
	begin->begin.call.data = begin;
	call_begin(&begin->call, NULL);
	journal->n_begins++;
	if (slots && !journal->draining && !begin->begin.at_once && journal_lease_holds(journal) &&
	    (begin->beyond || (!slots->waiting && journal_slots_free(journal, slots)))) {
		journal_take_slot(journal, slots);
		begin->slots = slots;
		begin->begin.owner = journal->owner;
	}
	store_begin(journal->store, &begin->begin);
}

/* -- drain -------------------------------------------------------------------------------- */

static void run_drained(struct soon *soon)
{
	struct journal *journal = container_of(soon, struct journal, drained_soon);

	journal->on_drained(journal->drained_data);
}

void journal_check_drained(struct journal *journal)
{
	if (!journal->draining || journal->drained || !list_empty(&journal->running) ||
	    journal->n_begins > 0)
		return;
	if (journal->claim.call.call.active || journal_house_busy(journal))
		return;
	if (!journal_lease_leave(journal))
		return;
	journal->drained = true;
	timer_stop(&journal->drain_timer);
	journal->drained_soon.run = run_drained;
	loop_soon(journal->loop, &journal->drained_soon);
}

void journal_park_all(struct journal *journal, bool hurry)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->running)
		op_park(&container_of(pos, struct journal_op, node)->op, hurry);
}

/* An op that waits for the store to come back tries now, for the last time. */
static void retry_now(struct journal *journal)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &journal->running) {
		struct journal_op *job = container_of(pos, struct journal_op, node);

		if (timer_running(&job->retry))
			timer_start(&job->retry, journal->loop, 0, job->retry.fire);
	}
}

void journal_hurry(struct journal *journal)
{
	struct list *pos, *tmp;

	if (journal->hurried)
		return;
	journal->hurried = true;
	store_hurry(journal->store);
	if (journal->draining && journal->n_running > 0) {
		log_info(&journal->log, "%u operations still run; cancelling them",
			 journal->n_running);
		journal_park_all(journal, true);
		retry_now(journal);
	}
	list_each(pos, tmp, &journal->waits)
		journal_stop_waiting(container_of(pos, struct journal_wait, node), ERR_CANCELED);
}

static void on_drain_timer(struct timer *timer)
{
	journal_hurry(container_of(timer, struct journal, drain_timer));
}

void journal_drain(struct journal *journal, uint64_t ms, void (*drained)(void *data), void *data)
{
	journal->draining = true;
	journal->on_drained = drained;
	journal->drained_data = data;
	timer_stop(&journal->claim.retry);
	timer_stop(&journal->house.timer);
	journal_park_all(journal, false);
	if (ms == 0 || journal->hurried) {
		journal->hurried = false;
		journal_hurry(journal);
	} else {
		timer_start(&journal->drain_timer, journal->loop, ms, on_drain_timer);
	}
	journal_check_drained(journal);
}

/* -- life --------------------------------------------------------------------------------- */

void journal_limits(struct journal *journal, uint32_t max_running, uint32_t max_waiting,
		    uint64_t keep_ended, uint64_t keep_gone)
{
	struct journal_options *options = &journal->options;

	options->max_running = max_running ? max_running : 64;
	options->max_waiting = max_waiting ? max_waiting : 1000;
	options->keep_ended = keep_ended;
	options->keep_gone = keep_gone;
	journal_look_for_work(journal);
}

struct journal *journal_create(const struct journal_options *options)
{
	struct journal *journal = mem_zalloc(sizeof(*journal));

	journal->options = *options;
	journal->loop = options->loop;
	journal->store = options->store;
	log_child(&journal->log, options->log);
	list_init(&journal->services);
	list_init(&journal->running);
	list_init(&journal->waits);
	journal_lease_create(journal);
	journal_limits(journal, options->max_running, options->max_waiting, options->keep_ended,
		       options->keep_gone);
	journal_add_metrics(journal);
	return journal;
}

void journal_start(struct journal *journal)
{
	journal->started = true;
	journal_lease_start(journal);
	journal_look_for_work(journal);
	journal_house_start(journal);
}

uint32_t journal_running(const struct journal *journal)
{
	return journal->n_running;
}

struct store *journal_store(const struct journal *journal)
{
	return journal->store;
}

void journal_destroy(struct journal *journal)
{
	struct list *node;

	if (!journal)
		return;
	assert(list_empty(&journal->running));
	timer_stop(&journal->claim.retry);
	timer_stop(&journal->house.timer);
	timer_stop(&journal->drain_timer);
	while ((node = list_shift(&journal->services))) {
		struct journal_slots *slots = container_of(node, struct journal_slots, node);

		mem_free((char *)slots->service.p);
		mem_free(slots);
	}
	journal_remove_metrics(journal);
	arena_finish(&journal->claim.arena);
	journal_lease_destroy(journal);
	mem_free(journal);
}
