/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct rig {
	struct loop loop;
	struct net_listener listener;
	struct net_buffer buffer;
	char bytes[1024], bound[NET_ADDRESS_MAX];
	int accepted;
	bool closed;
};

struct dialled {
	struct dial dial;
	int status, dones;
	bool done;
};

static void on_stream(struct net_listener *listener, struct stream *stream, const char *peer)
{
	struct rig *rig = listener->data;

	(void)peer;
	rig->accepted++;
	stream_close(stream);
}

static void on_listener_closed(struct net_listener *listener)
{
	((struct rig *)listener->data)->closed = true;
}

static void on_done(struct call *call, int status)
{
	struct dialled *dialled = container_of(call, struct dialled, dial.call);

	dialled->status = status;
	dialled->dones++;
	dialled->done = true;
}

static uint16_t rig_init(struct rig *rig, const char *address)
{
	struct err err;

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(loop_init(&rig->loop), 0);
	rig->buffer = (struct net_buffer){ rig->bytes, sizeof(rig->bytes) };
	rig->listener.loop = &rig->loop;
	rig->listener.buffer = &rig->buffer;
	rig->listener.data = rig;
	rig->listener.on_stream = on_stream;
	rig->listener.on_closed = on_listener_closed;
	assert_int_equal(net_listen(&rig->listener, address, rig->bound, sizeof(rig->bound), &err),
			 0);
	return (uint16_t)atoi(strrchr(rig->bound, ':') + 1);
}

static void rig_finish(struct rig *rig)
{
	net_listener_close(&rig->listener);
	loop_run_until(&rig->loop, &rig->closed);
	assert_int_equal(loop_finish(&rig->loop), 0);
}

static void dial(struct rig *rig, struct dialled *dialled, const struct dial_address *to, size_t n)
{
	uint64_t within = dialled->dial.within;

	memset(dialled, 0, sizeof(*dialled));
	dialled->dial.within = within;
	dialled->dial.call.done = on_done;
	dialled->dial.addresses = to;
	dialled->dial.n_addresses = n;
	dialled->dial.buffer = &rig->buffer;
	assert_int_equal(dial_start(&rig->loop, &dialled->dial), 0);
	assert_false(dialled->done);
}

static void end(struct rig *rig, struct dialled *dialled)
{
	loop_run_until(&rig->loop, &dialled->done);
	assert_int_equal(dialled->dones, 1);
	assert_int_equal(dialled->status == 0, dialled->dial.stream != NULL);
	assert_int_equal(dialled->status, dialled->dial.err.code);
	if (dialled->dial.stream) {
		while (!rig->accepted)
			loop_turn(&rig->loop);
		stream_close(dialled->dial.stream);
	}
}

static void test_address_texts(void **state)
{
	static const char *const bad[] = { "",         "1.2.3",     "1.2.3.4.5", "::g",
					   "01.2.3.4", "localhost", "1.2.3.4 ",  "[::1]" };
	char text[DIAL_TEXT_MAX], path[200];
	struct dial_address to;
	size_t i;

	(void)state;
	assert_true(dial_ip(STR("127.0.0.1"), 8080, &to));
	dial_address_text(&to, text, sizeof(text));
	assert_string_equal(text, "127.0.0.1:8080");
	assert_true(dial_ip(STR("2001:DB8::1"), 443, &to));
	dial_address_text(&to, text, sizeof(text));
	assert_string_equal(text, "[2001:db8::1]:443");
	assert_true(dial_unix(STR("/run/x.sock"), &to));
	dial_address_text(&to, text, sizeof(text));
	assert_string_equal(text, "unix:/run/x.sock");
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(dial_ip(str_of(bad[i]), 1, &to));
	assert_false(dial_ip(str_make("1.2.3.4\0x", 9), 1, &to));
	assert_false(dial_unix(STR("run/x.sock"), &to));
	memset(path, '/', sizeof(path));
	assert_false(dial_unix(str_make(path, 108), &to));
	assert_true(dial_unix(str_make(path, 107), &to));
}

static void test_connects(void **state)
{
	struct rig rig;
	uint16_t port = rig_init(&rig, "127.0.0.1:0");
	struct dialled dialled = { .dial.within = 5000 };
	struct dial_address to;

	(void)state;
	assert_true(dial_ip(STR("127.0.0.1"), port, &to));
	dial(&rig, &dialled, &to, 1);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, 0);
	rig_finish(&rig);
}

static void test_unix_socket(void **state)
{
	char address[64];
	struct rig rig;
	struct dialled dialled = { 0 };
	struct dial_address to;

	(void)state;
	snprintf(address, sizeof(address), "unix:/tmp/osbd-dial-%d.sock", (int)getpid());
	rig_init(&rig, address);
	assert_true(dial_unix(str_of(address + 5), &to));
	dial(&rig, &dialled, &to, 1);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, 0);
	assert_true(dial_unix(STR("/tmp/osbd-no-such.sock"), &to));
	dial(&rig, &dialled, &to, 1);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, ERR_NOENT);
	rig_finish(&rig);
}

/* A port that was free a moment ago. */
static void refusing(struct dial_address *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(to->to);

	assert_true(dial_ip(STR("127.0.0.1"), 0, to));
	assert_int_equal(bind(fd, &to->to.any, to->size), 0);
	assert_int_equal(getsockname(fd, &to->to.any, &size), 0);
	close(fd);
}

static void test_refused(void **state)
{
	struct rig rig;
	struct dialled dialled = { 0 };
	struct dial_address to[2];

	(void)state;
	rig_init(&rig, "127.0.0.1:0");
	refusing(&to[0]);
	dial(&rig, &dialled, to, 1);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, ERR_REFUSED);
	assert_string_equal(dialled.dial.err.text, "connection refused");
	refusing(&to[1]);
	dial(&rig, &dialled, to, 2);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, ERR_REFUSED);
	assert_non_null(strstr(dialled.dial.err.text, "127.0.0.1:"));
	dialled.dial.n_addresses = 0;
	assert_int_equal(dial_start(&rig.loop, &dialled.dial), ERR_INVALID);
	rig_finish(&rig);
}

/* A listener whose queue is full lets connections wait in the kernel for ever. */
static int full(struct dial_address *to, int *fillers, size_t n)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(to->to);
	size_t i;

	assert_true(dial_ip(STR("127.0.0.1"), 0, to));
	assert_int_equal(bind(fd, &to->to.any, to->size), 0);
	assert_int_equal(getsockname(fd, &to->to.any, &size), 0);
	assert_int_equal(listen(fd, 0), 0);
	for (i = 0; i < n; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fillers[i], &to->to.any, to->size);
	}
	return fd;
}

static void test_later_address_and_deadline(void **state)
{
	struct rig rig;
	uint16_t port = rig_init(&rig, "127.0.0.1:0");
	struct dialled dialled = { .dial.within = 1200 };
	struct dial_address to[3];
	int fillers[3], fd;
	uint64_t start;
	size_t i;

	(void)state;
	refusing(&to[0]);
	fd = full(&to[1], fillers, ARRAY_LEN(fillers));
	assert_true(dial_ip(STR("127.0.0.1"), port, &to[2]));
	start = loop_now(&rig.loop);
	dial(&rig, &dialled, to, 3);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, 0);
	assert_in_range(loop_now(&rig.loop) - start, 550, 1190); /* half of what was left */
	dial(&rig, &dialled, &to[1], 1);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, ERR_TIMEDOUT);
	assert_string_equal(dialled.dial.err.text, "timed out");
	/* canceled while it waits, and before it has begun */
	dialled.dial.within = 0;
	dial(&rig, &dialled, &to[1], 1);
	for (i = 0; i < 3; i++) {
		loop_again(&rig.loop);
		loop_turn(&rig.loop);
	}
	assert_false(dialled.done);
	call_cancel(&dialled.dial.call);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, ERR_CANCELED);
	dial(&rig, &dialled, &to[2], 1);
	call_cancel(&dialled.dial.call);
	end(&rig, &dialled);
	assert_int_equal(dialled.status, ERR_CANCELED);
	for (i = 0; i < ARRAY_LEN(fillers); i++)
		close(fillers[i]);
	close(fd);
	rig_finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_texts),
		cmocka_unit_test(test_connects),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_later_address_and_deadline),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
