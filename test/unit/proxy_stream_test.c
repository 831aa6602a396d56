/* The header is taken off a stream in memory, in pieces of every size. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/proxy_stream.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define V1 "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
#define V2                                                                     \
	"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02" \
	"\xdc\x04\x01\xbb\x04\x00\x00"
#define V2_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"

struct world {
	struct loop loop;
	struct stream_end far, near; /* the balancer's end, and ours */
	struct stream *stream;
	struct buf got, back;
	int headers, ended, code, closed, written;
	bool known, close_at_header, stop_at_header;
	char source[INET6_ADDRSTRLEN];
};

static struct world *world_of(struct stream *stream)
{
	return stream->data;
}

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct world *w = world_of(stream);

	assert_int_equal(w->closed, 0);
	assert_int_equal(w->ended, 0);
	if (n > 0) {
		assert_int_equal(w->headers, 1);
		buf_put(&w->got, p, (size_t)n);
	} else {
		w->ended++;
		w->code = (int)n;
	}
}

static void on_written(struct stream *stream, int status)
{
	world_of(stream)->written++;
	assert_int_equal(status, 0);
}

static void on_closed(struct stream *stream)
{
	world_of(stream)->closed++;
}

static void on_header(struct stream *stream, const struct proxy_header *header)
{
	struct world *w = world_of(stream);

	assert_int_equal(w->got.n, 0);
	w->headers++;
	w->known = header->known;
	memcpy(w->source, header->source, sizeof(w->source));
	if (w->close_at_header)
		stream_close(stream);
	if (w->stop_at_header)
		stream_read_stop(stream);
}

static void far_read(struct stream *stream, const char *p, ssize_t n)
{
	if (n > 0)
		buf_put(&world_of(stream)->back, p, (size_t)n);
}

static void far_closed(struct stream *stream)
{
	(void)stream;
}

static void init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init(&w->loop), 0);
	stream_pair(&w->loop, &w->far, &w->near, 4096);
	w->far.stream.data = w;
	w->far.stream.on_read = far_read;
	w->far.stream.on_written = on_written;
	w->far.stream.on_closed = far_closed;
	w->stream = proxy_stream_create(&w->loop, &w->near.stream, on_header);
	w->stream->data = w;
	w->stream->on_read = on_read;
	w->stream->on_written = on_written;
	w->stream->on_closed = on_closed;
	stream_read_start(&w->far.stream);
	stream_read_start(w->stream);
}

static void far_send(struct world *w, const char *p, size_t n)
{
	struct str part = str_make(p, n);

	assert_int_equal(stream_write(&w->far.stream, &part, 1), 0);
	loop_run(&w->loop);
}

static void finish(struct world *w)
{
	if (!w->close_at_header)
		stream_close(w->stream);
	stream_close(&w->far.stream);
	loop_run(&w->loop);
	assert_int_equal(w->closed, 1);
	buf_finish(&w->got);
	buf_finish(&w->back);
	assert_int_equal(loop_finish(&w->loop), 0);
}

static void test_every_cut(void **state)
{
	static const struct {
		struct str bytes;
		bool known;
	} rows[] = {
		{ { V1 "data", sizeof(V1 "data") - 1 }, true },
		{ { V2 "data", sizeof(V2 "data") - 1 }, true },
		{ { V2_LOCAL "data", sizeof(V2_LOCAL "data") - 1 }, false },
		{ { "PROXY UNKNOWN\r\ndata", 19 }, false },
	};
	struct world w;
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		for (cut = 0; cut <= rows[i].bytes.n; cut++) {
			struct str bytes = rows[i].bytes;

			init(&w);
			if (cut)
				far_send(&w, bytes.p, cut);
			assert_int_equal(w.headers, cut >= bytes.n - 4);
			if (cut < bytes.n)
				far_send(&w, bytes.p + cut, bytes.n - cut);
			assert_int_equal(w.headers, 1);
			assert_int_equal(w.known, rows[i].known);
			assert_string_equal(w.source, rows[i].known ? "192.0.2.1" : "");
			assert_int_equal(w.got.n, 4);
			assert_memory_equal(w.got.p, "data", 4);
			finish(&w);
		}
}

static void test_byte_by_byte(void **state)
{
	static const char bytes[] = V2 "GET /";
	struct world w;
	size_t i;

	(void)state;
	init(&w);
	for (i = 0; i < sizeof(bytes) - 1; i++)
		far_send(&w, bytes + i, 1);
	assert_int_equal(w.got.n, 5);
	assert_memory_equal(w.got.p, "GET /", 5);
	/* a second header is data like other data */
	far_send(&w, V1, sizeof(V1) - 1);
	assert_int_equal(w.headers, 1);
	assert_int_equal(w.got.n, 5 + sizeof(V1) - 1);
	/* and the end comes through */
	stream_shutdown(&w.far.stream);
	loop_run(&w.loop);
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.code, 0);
	finish(&w);
}

static void test_none(void **state)
{
	static const struct {
		struct str bytes;
		int code;
	} rows[] = {
		{ { "GET / HTTP/1.1\r\n", 16 }, ERR_SYNTAX },
		{ { "\x16\x03\x01", 3 }, ERR_SYNTAX },
		{ { "PROXY TCP9 ", 11 }, 0 }, /* not yet */
		{ { "PROXY TCP9 x\r\n", 14 }, ERR_SYNTAX },
		{ { "\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", 16 }, ERR_TOOBIG },
	};
	struct world w;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		init(&w);
		far_send(&w, rows[i].bytes.p, rows[i].bytes.n);
		assert_int_equal(w.ended, rows[i].code != 0);
		assert_int_equal(w.code, rows[i].code);
		stream_read_start(w.stream); /* in vain */
		far_send(&w, "more", 4);
		assert_int_equal(w.headers, 0);
		assert_int_equal(w.got.n, 0);
		finish(&w);
	}
}

static void test_end_before_header(void **state)
{
	struct world w;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(V1) - 1; n += 20) {
		init(&w);
		if (n)
			far_send(&w, V1, n);
		stream_shutdown(&w.far.stream);
		loop_run(&w.loop);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.code, ERR_CLOSED);
		assert_int_equal(w.headers, 0);
		finish(&w);
	}
}

static void test_closed_at_header(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.close_at_header = true;
	far_send(&w, V1 "data", sizeof(V1) + 3);
	assert_int_equal(w.headers, 1);
	assert_int_equal(w.got.n, 0);
	finish(&w);
}

/* As TLS does: whoever takes the stream over reads later, with callbacks of his own. */
static void test_handed_on(void **state)
{
	struct str answer = STR("answer");
	struct world w;

	(void)state;
	init(&w);
	w.stop_at_header = true;
	far_send(&w, V2 "data", sizeof(V2) + 3);
	assert_int_equal(w.headers, 1);
	assert_int_equal(w.got.n, 0);
	far_send(&w, " more", 5);
	assert_int_equal(w.got.n, 0);
	stream_read_start(w.stream);
	assert_int_equal(w.got.n, 0); /* from the loop, not from inside the caller */
	loop_run(&w.loop);
	assert_int_equal(w.got.n, 9);
	assert_memory_equal(w.got.p, "data more", 9);
	assert_int_equal(stream_write(w.stream, &answer, 1), 0);
	stream_shutdown(w.stream);
	loop_run(&w.loop);
	assert_int_equal(w.back.n, 6);
	assert_null(stream_peer(w.stream));
	finish(&w);
}

static void test_closed_with_rest(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.stop_at_header = true;
	far_send(&w, V2 "data", sizeof(V2) + 3);
	stream_read_start(w.stream);
	finish(&w);
	assert_int_equal(w.got.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_end_before_header),
		cmocka_unit_test(test_closed_at_header),
		cmocka_unit_test(test_handed_on),
		cmocka_unit_test(test_closed_with_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
