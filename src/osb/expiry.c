/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/expiry.h"

struct expiry {
	struct broker *broker;
	struct timer timer;
	struct store_list list;
	struct arena arena; /* of one look */
	struct journal_begin begin;
	size_t next; /* row of the list to be begun */
	bool stopping;
	struct soon stopped_soon;
	void (*stopped)(void *data);
	void *data;
};

static void look(struct timer *timer);
static void begin_next(struct expiry *expiry);

static void run_stopped(struct soon *soon)
{
	struct expiry *expiry = container_of(soon, struct expiry, stopped_soon);

	expiry->stopped(expiry->data);
}

static void look_again(struct expiry *expiry, uint64_t ms)
{
	arena_reset(&expiry->arena);
	if (expiry->stopping) {
		expiry->stopped_soon.run = run_stopped;
		loop_soon(expiry->broker->loop, &expiry->stopped_soon);
		return;
	}
	timer_start(&expiry->timer, expiry->broker->loop, ms, look);
}

/* How often to look: in half of the shortest life that the catalog gives to a binding, so that
 * each is seen in time by some look. */
static uint64_t look_every(struct expiry *expiry)
{
	const struct catalog *catalog = expiry->broker->gen->catalog;
	uint64_t every = EXPIRY_LOOK_EVERY;
	size_t i, j;

	for (i = 0; i < catalog->n_offerings; i++)
		for (j = 0; j < catalog->offerings[i].n_plans; j++) {
			uint64_t life = catalog->offerings[i].plans[j].binding_lifetime;

			if (life && life / 2 < every)
				every = life / 2;
		}
	return every > EXPIRY_LOOK_MIN ? every : EXPIRY_LOOK_MIN;
}

static uint64_t until_next(struct expiry *expiry)
{
	uint64_t now = store_now(expiry->broker->store), next = expiry->list.next;
	uint64_t every = look_every(expiry);

	if (!next || next > now + every)
		return every;
	return next > now + EXPIRY_LOOK_MIN ? next - now : EXPIRY_LOOK_MIN;
}

static void begun(struct call *call, int status)
{
	struct expiry *expiry = call->data;

	if (status < 0)
		log_warn(&expiry->broker->log, "expiry: %s", err_str(status));
	begin_next(expiry);
}

static void begin_next(struct expiry *expiry)
{
	struct broker *broker = expiry->broker;
	const struct store_listed *row = NULL;
	const struct offering *offering = NULL;

	for (; expiry->next < expiry->list.n_rows; expiry->next++) {
		row = &expiry->list.rows[expiry->next];
		offering = catalog_offering(broker->gen->catalog, row->instance.service_id);
		if (offering)
			break;
		log_error(&broker->log, "expiry: the catalog has no service \"%.*s\" any more",
			  STR_ARG(row->instance.service_id));
	}
	if (!row || expiry->next == expiry->list.n_rows || expiry->stopping) {
		look_again(expiry, until_next(expiry));
		return;
	}
	expiry->next++;
	memset(&expiry->begin, 0, sizeof(expiry->begin));
	expiry->begin.begin = (struct store_begin){
		.arena = &expiry->arena,
		.verb = STORE_EXPIRE,
		.platform = row->instance.platform,
		.instance_id = row->instance.id,
		.binding_id = row->binding.id,
		.service = offering->name,
		.service_id = row->instance.service_id,
		.plan_id = row->instance.plan_id,
		.request = STR("{}"),
	};
	expiry->begin.call.done = begun;
	expiry->begin.call.data = expiry;
	journal_begin(broker->journal, &expiry->begin);
}

static void listed(struct call *call, int status)
{
	struct expiry *expiry = call->data;

	if (status < 0) {
		log_warn(&expiry->broker->log, "expiry: %s", err_str(status));
		look_again(expiry, look_every(expiry));
		return;
	}
	expiry->next = 0;
	begin_next(expiry);
}

static void look(struct timer *timer)
{
	struct expiry *expiry = container_of(timer, struct expiry, timer);

	expiry->list = (struct store_list){
		.call = { .done = listed, .data = expiry },
		.arena = &expiry->arena,
		.kind = STORE_LIST_EXPIRED,
		.max = EXPIRY_ROWS,
	};
	store_list(expiry->broker->store, &expiry->list);
}

struct expiry *expiry_create(struct broker *broker)
{
	struct expiry *expiry = mem_zalloc(sizeof(*expiry));

	expiry->broker = broker;
	return expiry;
}

void expiry_start(struct expiry *expiry)
{
	look(&expiry->timer);
}

void expiry_stop(struct expiry *expiry, void (*stopped)(void *data), void *data)
{
	bool idle = timer_running(&expiry->timer) ||
		    !(expiry->list.call.active || expiry->begin.call.active);

	expiry->stopping = true;
	expiry->stopped = stopped;
	expiry->data = data;
	timer_stop(&expiry->timer);
	if (idle)
		look_again(expiry, 0);
}

void expiry_destroy(struct expiry *expiry)
{
	if (!expiry)
		return;
	timer_stop(&expiry->timer);
	list_remove(&expiry->stopped_soon.node);
	arena_finish(&expiry->arena);
	mem_free(expiry);
}
