/* The turn: libuv runs due timers (our alarm among them), then idle (soon), then prepare (the
 * end-of-turn hooks), then polls. The idle handle is active only while something is due at
 * once, because an active idle handle keeps the poll from blocking.
 *
 * Test time: nothing ever arms the alarm. When a turn found nothing to do and no handle of the
 * outside world had an event, the clock jumps to the earliest timer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include "core/timer.h"

#include <string.h>
#include <sys/select.h>
#include <time.h>

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t loop_now(struct loop *loop)
{
	return loop->test_time ? loop->now : clock_ms(CLOCK_BOOTTIME);
}

uint64_t loop_wall(struct loop *loop)
{
	return loop->test_time ? loop->wall + loop->now : clock_ms(CLOCK_REALTIME);
}

/* -- timers: a binary heap ------------------------------------------------------------- */

static void heap_put(struct loop *loop, size_t i, struct timer *timer)
{
	loop->heap[i] = timer;
	timer->at = i + 1;
}

static void heap_up(struct loop *loop, size_t i, struct timer *timer)
{
	while (i > 0 && loop->heap[(i - 1) / 2]->due > timer->due) {
		heap_put(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(loop, i, timer);
}

static void heap_down(struct loop *loop, size_t i, struct timer *timer)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= loop->n_timers)
			break;
		if (child + 1 < loop->n_timers &&
		    loop->heap[child + 1]->due < loop->heap[child]->due)
			child++;
		if (loop->heap[child]->due >= timer->due)
			break;
		heap_put(loop, i, loop->heap[child]);
		i = child;
	}
	heap_put(loop, i, timer);
}

static void on_alarm(uv_timer_t *alarm);

static void set_alarm(struct loop *loop)
{
	uint64_t now;

	if (loop->test_time)
		return;
	if (loop->n_timers == 0) {
		uv_timer_stop(&loop->alarm);
		return;
	}
	now = loop_now(loop);
	uv_update_time(&loop->uv);
	uv_timer_start(&loop->alarm, on_alarm,
		       loop->heap[0]->due > now ? loop->heap[0]->due - now : 0, 0);
}

void timer_start(struct timer *timer, struct loop *loop, uint64_t ms,
		 void (*fire)(struct timer *timer))
{
	timer_stop(timer);
	timer->loop = loop;
	timer->due = loop_now(loop) + ms;
	timer->fire = fire;
	if (loop->n_timers == loop->heap_size) {
		loop->heap_size = loop->heap_size ? loop->heap_size * 2 : 64;
		loop->heap = mem_realloc(loop->heap, loop->heap_size * sizeof(struct timer *));
	}
	heap_up(loop, loop->n_timers++, timer);
	if (loop->heap[0] == timer)
		set_alarm(loop);
}

void timer_stop(struct timer *timer)
{
	struct loop *loop = timer->loop;
	struct timer *last;
	size_t i = timer->at;

	if (i == 0)
		return;
	i--;
	timer->at = 0;
	last = loop->heap[--loop->n_timers];
	if (last != timer) {
		if (i > 0 && loop->heap[(i - 1) / 2]->due > last->due)
			heap_up(loop, i, last);
		else
			heap_down(loop, i, last);
	}
	if (i == 0)
		set_alarm(loop);
}

static void fire_due(struct loop *loop)
{
	uint64_t now = loop_now(loop);

	while (loop->n_timers && loop->heap[0]->due <= now && !loop->stopping) {
		struct timer *timer = loop->heap[0];

		timer_stop(timer);
		timer->fire(timer);
	}
}

static void on_alarm(uv_timer_t *alarm)
{
	struct loop *loop = alarm->data;

	fire_due(loop);
	if (!loop->stopping) /* else what is due stays due, and libuv would call here for ever */
		set_alarm(loop);
}

/* -- soon and the end of a turn --------------------------------------------------------- */

static void on_idle(uv_idle_t *idle)
{
	struct loop *loop = idle->data;
	struct list now, *node;

	uv_idle_stop(idle);
	list_init(&now);
	while ((node = list_shift(&loop->soon)))
		list_append(&now, node);
	/* a function may add to soon, which then runs in the next turn, and may unlink others */
	while ((node = list_shift(&now))) {
		struct soon *soon = container_of(node, struct soon, node);

		soon->run(soon);
	}
}

void loop_again(struct loop *loop)
{
	uv_idle_start(&loop->idle, on_idle);
}

void loop_soon(struct loop *loop, struct soon *soon)
{
	if (list_linked(&soon->node))
		return;
	list_append(&loop->soon, &soon->node);
	loop_again(loop);
}

void loop_hook(struct loop *loop, struct loop_hook *hook)
{
	list_append(&loop->at_end, &hook->node);
}

void loop_unhook(struct loop_hook *hook)
{
	list_remove(&hook->node);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct loop *loop = prepare->data;
	struct list *pos, *tmp;

	list_each(pos, tmp, &loop->at_end) {
		struct loop_hook *hook = container_of(pos, struct loop_hook, node);

		hook->end_of_turn(hook);
	}
}

/* -- life ------------------------------------------------------------------------------- */

int loop_init(struct loop *loop)
{
	int rc;

	memset(loop, 0, sizeof(*loop));
	rc = uv_loop_init(&loop->uv);
	if (rc != 0)
		return err_from_uv(rc);
	list_init(&loop->soon);
	list_init(&loop->at_end);
	uv_prepare_init(&loop->uv, &loop->prepare);
	uv_idle_init(&loop->uv, &loop->idle);
	uv_timer_init(&loop->uv, &loop->alarm);
	loop->prepare.data = loop->idle.data = loop->alarm.data = loop;
	uv_prepare_start(&loop->prepare, on_prepare);
	uv_unref((uv_handle_t *)&loop->prepare); /* alone it keeps nobody waiting */
	return 0;
}

int loop_init_test(struct loop *loop, uint64_t wall)
{
	int rc = loop_init(loop);

	loop->test_time = true;
	loop->wall = wall;
	return rc;
}

/* One turn in test time: false when nothing is left to be done, ever. */
static bool test_turn(struct loop *loop)
{
	bool due;

	fire_due(loop);
	due = uv_is_active((uv_handle_t *)&loop->idle);
	if (uv_run(&loop->uv, loop->n_timers || due ? UV_RUN_NOWAIT : UV_RUN_ONCE))
		due = true;
	if (uv_is_active((uv_handle_t *)&loop->idle))
		return true;
	if (loop->n_timers == 0)
		return due;
	if (uv_loop_alive(&loop->uv)) { /* the outside world may still have something to say */
		int fd = uv_backend_fd(&loop->uv);
		struct timeval tv = { 0, 1000 };
		fd_set set;

		FD_ZERO(&set);
		FD_SET(fd, &set);
		if (select(fd + 1, &set, NULL, NULL, &tv) > 0)
			return true;
	}
	if (loop->heap[0]->due > loop->now)
		loop->now = loop->heap[0]->due;
	return true;
}

bool loop_turn(struct loop *loop)
{
	return loop->test_time ? test_turn(loop) : uv_run(&loop->uv, UV_RUN_ONCE) != 0;
}

bool loop_run_until(struct loop *loop, const bool *done)
{
	loop->stopping = false;
	set_alarm(loop);
	while (!loop->stopping && !(done && *done))
		if (!loop_turn(loop))
			break;
	return !done || *done;
}

void loop_run(struct loop *loop)
{
	loop_run_until(loop, NULL);
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	uv_stop(&loop->uv);
}

int loop_finish(struct loop *loop)
{
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->idle, NULL);
	uv_close((uv_handle_t *)&loop->alarm, NULL);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	mem_free(loop->heap);
	loop->heap = NULL;
	if (uv_loop_close(&loop->uv) != 0 || loop->n_timers || !list_empty(&loop->soon))
		return ERR_BUSY;
	return 0;
}
