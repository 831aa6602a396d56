/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct side {
	struct stream_end end;
	struct buf got;
	int written, ended, closed; /* how often */
	int status;
};

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct side *side = stream->data;

	assert_int_equal(side->closed, 0);
	assert_int_equal(side->ended, 0);
	if (n > 0)
		buf_put(&side->got, p, (size_t)n);
	else
		side->ended++;
}

static void on_written(struct stream *stream, int status)
{
	struct side *side = stream->data;

	side->written++;
	side->status = status;
}

static void on_closed(struct stream *stream)
{
	((struct side *)stream->data)->closed++;
}

static void join(struct loop *loop, struct side *a, struct side *b, size_t room)
{
	struct side *sides[] = { a, b };
	size_t i;

	assert_int_equal(loop_init(loop), 0);
	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	stream_pair(loop, &a->end, &b->end, room);
	for (i = 0; i < 2; i++) {
		sides[i]->end.stream.data = sides[i];
		sides[i]->end.stream.on_read = on_read;
		sides[i]->end.stream.on_written = on_written;
		sides[i]->end.stream.on_closed = on_closed;
	}
}

static void part(struct loop *loop, struct side *a, struct side *b)
{
	if (!a->end.closing)
		stream_close(&a->end.stream);
	if (!b->end.closing)
		stream_close(&b->end.stream);
	loop_run(loop);
	assert_int_equal(a->closed, 1);
	assert_int_equal(b->closed, 1);
	buf_finish(&a->got);
	buf_finish(&b->got);
	assert_int_equal(loop_finish(loop), 0);
}

static void test_bytes_in_order(void **state)
{
	struct str parts[] = { STR("head "), STR(""), STR("body") };
	struct loop loop;
	struct side a, b;

	(void)state;
	join(&loop, &a, &b, 1024);
	assert_int_equal(stream_write(&a.end.stream, parts, 3), 0);
	assert_int_equal(stream_write(&a.end.stream, parts, 1), 0);
	loop_run(&loop);
	assert_int_equal(b.got.n, 0); /* nobody reads yet */
	stream_read_start(&b.end.stream);
	assert_int_equal(b.got.n, 0); /* never from inside the caller */
	loop_run(&loop);
	assert_string_equal(b.got.p, "head bodyhead ");
	stream_read_stop(&b.end.stream);
	assert_int_equal(stream_write(&a.end.stream, parts, 1), 0);
	loop_run(&loop);
	assert_int_equal(b.got.n, 14);
	assert_int_equal(a.written, 0);
	part(&loop, &a, &b);
}

static void test_full(void **state)
{
	struct str parts[] = { STR("0123456"), STR("789abc") };
	struct loop loop;
	struct side a, b;

	(void)state;
	join(&loop, &a, &b, 5);
	assert_int_equal(stream_write(&a.end.stream, parts, 2), STREAM_LATER);
	loop_run(&loop);
	assert_int_equal(a.written, 0);
	stream_read_start(&b.end.stream);
	loop_run(&loop);
	assert_int_equal(a.written, 1);
	assert_int_equal(a.status, 0);
	assert_string_equal(b.got.p, "0123456789abc");
	part(&loop, &a, &b);
}

static void test_shutdown(void **state)
{
	struct str hello = STR("hello"), bye = STR("bye");
	struct loop loop;
	struct side a, b;

	(void)state;
	join(&loop, &a, &b, 64);
	assert_int_equal(stream_write(&a.end.stream, &hello, 1), 0);
	stream_shutdown(&a.end.stream);
	stream_read_start(&b.end.stream);
	stream_read_start(&a.end.stream);
	loop_run(&loop);
	assert_string_equal(b.got.p, "hello");
	assert_int_equal(b.ended, 1);
	assert_int_equal(stream_write(&b.end.stream, &bye, 1), 0); /* the other way is open */
	loop_run(&loop);
	assert_string_equal(a.got.p, "bye");
	assert_int_equal(a.ended, 0);
	part(&loop, &a, &b);
}

static void test_peer_closes(void **state)
{
	struct str text = STR("more than fits");
	struct loop loop;
	struct side a, b;

	(void)state;
	join(&loop, &a, &b, 4);
	assert_int_equal(stream_write(&a.end.stream, &text, 1), STREAM_LATER);
	stream_close(&b.end.stream);
	assert_int_equal(b.closed, 0);
	stream_read_start(&a.end.stream);
	loop_run(&loop);
	assert_int_equal(b.closed, 1);
	assert_int_equal(a.written, 1);
	assert_int_equal(a.status, ERR_CLOSED);
	assert_int_equal(a.ended, 1);
	assert_int_equal(stream_write(&a.end.stream, &text, 1), ERR_CLOSED);
	part(&loop, &a, &b);
}

static void test_close_drops_the_write(void **state)
{
	struct str text = STR("more than fits");
	struct loop loop;
	struct side a, b;

	(void)state;
	join(&loop, &a, &b, 4);
	assert_int_equal(stream_write(&a.end.stream, &text, 1), STREAM_LATER);
	stream_close(&a.end.stream);
	stream_read_start(&b.end.stream);
	loop_run(&loop);
	assert_int_equal(a.written, 0);
	assert_int_equal(a.closed, 1);
	assert_string_equal(b.got.p, "more");
	assert_int_equal(b.ended, 1);
	part(&loop, &a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_in_order),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_peer_closes),
		cmocka_unit_test(test_close_drops_the_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
