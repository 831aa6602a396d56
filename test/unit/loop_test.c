/* SPDX-License-Identifier: Apache-2.0 */
#include "core/call.h"
#include "core/loop.h"
#include "core/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char trace[256];

static void note(char c)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof(trace));
	trace[n] = c;
	trace[n + 1] = '\0';
}

struct letter {
	struct timer timer;
	char c;
};

static void on_letter(struct timer *timer)
{
	note(container_of(timer, struct letter, timer)->c);
}

static void test_timers_in_order(void **state)
{
	struct letter a = { .c = 'a' }, b = { .c = 'b' }, c = { .c = 'c' }, d = { .c = 'd' };
	struct loop loop;

	(void)state;
	trace[0] = '\0';
	assert_int_equal(loop_init(&loop), 0);
	timer_stop(&a.timer);
	timer_start(&c.timer, &loop, 30, on_letter);
	timer_start(&a.timer, &loop, 1, on_letter);
	timer_start(&d.timer, &loop, 2, on_letter);
	timer_start(&b.timer, &loop, 15, on_letter);
	timer_stop(&d.timer);
	loop_run(&loop);
	assert_string_equal(trace, "abc");
	assert_int_equal(loop_finish(&loop), 0);
}

static void on_stop(struct timer *timer)
{
	note('s');
	loop_stop(timer->loop);
}

/* A loop that is stopped with timers due ends at once; they fire when it runs again. */
static void test_stop_with_timers_due(void **state)
{
	struct letter a = { .c = 'a' }, b = { .c = 'b' };
	struct timer stop = { 0 };
	struct loop loop;

	(void)state;
	trace[0] = '\0';
	assert_int_equal(loop_init(&loop), 0);
	timer_start(&stop, &loop, 5, on_stop);
	timer_start(&a.timer, &loop, 6, on_letter);
	timer_start(&b.timer, &loop, 20, on_letter);
	usleep(10 * 1000);
	loop_run(&loop);
	assert_string_equal(trace, "s");
	loop_run(&loop);
	assert_string_equal(trace, "sab");
	assert_int_equal(loop_finish(&loop), 0);
}

static void test_heap(void **state)
{
	struct letter many[500] = { 0 };
	struct loop loop;
	uint64_t last = 0;
	size_t i;

	(void)state;
	assert_int_equal(loop_init_test(&loop, 0), 0);
	srand(7);
	for (i = 0; i < ARRAY_LEN(many); i++)
		timer_start(&many[i].timer, &loop, (uint64_t)(rand() % 1000), on_letter);
	for (i = 0; i < ARRAY_LEN(many); i += 3)
		timer_stop(&many[i].timer);
	for (i = 0; i < ARRAY_LEN(many); i += 5)
		timer_start(&many[i].timer, &loop, (uint64_t)(rand() % 1000), on_letter);
	while (loop.n_timers) {
		struct timer *first = loop.heap[0];

		assert_true(first->due >= last);
		last = first->due;
		timer_stop(first);
	}
	assert_int_equal(loop_finish(&loop), 0);
}

static void test_test_time(void **state)
{
	struct letter a = { .c = 'a' }, b = { .c = 'b' };
	struct loop loop;

	(void)state;
	trace[0] = '\0';
	assert_int_equal(loop_init_test(&loop, 1000), 0);
	timer_start(&b.timer, &loop, DAY(7), on_letter);
	timer_start(&a.timer, &loop, HOUR(1), on_letter);
	loop_run(&loop);
	assert_string_equal(trace, "ab");
	assert_int_equal(loop_now(&loop), DAY(7));
	assert_int_equal(loop_wall(&loop), DAY(7) + 1000);
	assert_int_equal(loop_finish(&loop), 0);
}

struct world {
	struct loop loop;
	struct call call;
	struct soon soon;
	struct loop_hook hook;
	int status;
};

static void call_done_note(struct call *call, int status)
{
	struct world *w = call->data;

	note('d');
	w->status = status;
}

static void soon_note(struct soon *soon)
{
	struct world *w = container_of(soon, struct world, soon);

	note('s');
	if (strlen(trace) < 4)
		loop_soon(&w->loop, soon);
}

static void hook_note(struct loop_hook *hook)
{
	(void)hook;
	note('e');
}

static void test_soon_and_end_of_turn(void **state)
{
	struct world w = { 0 };

	(void)state;
	trace[0] = '\0';
	assert_int_equal(loop_init(&w.loop), 0);
	w.soon.run = soon_note;
	w.hook.end_of_turn = hook_note;
	loop_hook(&w.loop, &w.hook);
	loop_soon(&w.loop, &w.soon);
	loop_soon(&w.loop, &w.soon);
	assert_string_equal(trace, "");
	loop_run(&w.loop);
	assert_memory_equal(trace, "sese", 4);
	loop_unhook(&w.hook);
	assert_int_equal(loop_finish(&w.loop), 0);
}

static void test_call_ends_once_and_later(void **state)
{
	struct world w = { 0 };

	(void)state;
	trace[0] = '\0';
	assert_int_equal(loop_init(&w.loop), 0);
	w.call.done = call_done_note;
	w.call.data = &w;
	call_begin(&w.call, NULL);
	call_end_soon(&w.loop, &w.call, ERR_BUSY);
	call_cancel(&w.call);
	call_cancel(&w.call);
	assert_string_equal(trace, "");
	loop_run(&w.loop);
	assert_string_equal(trace, "d");
	assert_int_equal(w.status, ERR_BUSY);
	call_cancel(&w.call);
	assert_int_equal(loop_finish(&w.loop), 0);
}

static void test_open_handle_is_found(void **state)
{
	struct loop loop;
	uv_timer_t forgotten;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	uv_timer_init(&loop.uv, &forgotten);
	assert_int_equal(loop_finish(&loop), ERR_BUSY);
	uv_close((uv_handle_t *)&forgotten, NULL);
	uv_run(&loop.uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop.uv), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers_in_order),
		cmocka_unit_test(test_stop_with_timers_due),
		cmocka_unit_test(test_heap),
		cmocka_unit_test(test_test_time),
		cmocka_unit_test(test_soon_and_end_of_turn),
		cmocka_unit_test(test_call_ends_once_and_later),
		cmocka_unit_test(test_open_handle_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
