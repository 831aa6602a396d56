/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"
#include "core/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	return fd;
}

static const char *next(int fd)
{
	static char text[512];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_sockets(void **state)
{
	char names[2][64];
	int i, fd;

	(void)state;
	snprintf(names[0], sizeof(names[0]), "/tmp/osbd-notify-%d", (int)getpid());
	snprintf(names[1], sizeof(names[1]), "@osbd-notify-%d", (int)getpid());
	for (i = 0; i < 2; i++) {
		fd = listen_at(names[i]);
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_send("READY=1\nSTATUS=serving");
		assert_string_equal(next(fd), "READY=1\nSTATUS=serving");
		notify_send("RELOADING=1");
		assert_memory_equal(next(fd), "RELOADING=1\nMONOTONIC_USEC=", 27);
		close(fd);
		notify_send("STOPPING=1"); /* nobody listens */
	}
	unlink(names[0]);
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_send("READY=1");
	unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog(void **state)
{
	struct timer timer = { 0 };
	struct loop loop;
	char name[64];
	int fd, i;

	(void)state;
	snprintf(name, sizeof(name), "@osbd-watchdog-%d", (int)getpid());
	fd = listen_at(name);
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(loop_init_test(&loop, 0), 0);
	unsetenv("WATCHDOG_USEC");
	notify_watchdog_start(&timer, &loop);
	assert_false(timer_running(&timer));
	setenv("WATCHDOG_USEC", "4000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_watchdog_start(&timer, &loop);
	assert_false(timer_running(&timer));
	unsetenv("WATCHDOG_PID");
	notify_watchdog_start(&timer, &loop);
	for (i = 1; i <= 3; i++) {
		while (loop_now(&loop) < (uint64_t)i * 2000)
			loop_turn(&loop);
		loop_turn(&loop);
		assert_string_equal(next(fd), "WATCHDOG=1");
	}
	timer_stop(&timer);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	loop_run(&loop);
	assert_int_equal(loop_finish(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
