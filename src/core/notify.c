/* SPDX-License-Identifier: Apache-2.0 */
#include "core/notify.h"

#include "core/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void notify_send(const char *message)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timespec now;
	char text[512];
	socklen_t length;
	int fd, n;

	if (!name || (name[0] != '/' && name[0] != '@') || strlen(name) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, name, strlen(name));
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	n = snprintf(text, sizeof(text), "%s", message);
	if (strncmp(message, "RELOADING=1", 11) == 0) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		n = snprintf(text, sizeof(text), "%s\nMONOTONIC_USEC=%" PRIu64, message,
			     (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	}
	if (n < 0 || (size_t)n >= sizeof(text))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	/* nobody listens: so be it */
	(void)!sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&address, length);
	close(fd);
}

/* Half the interval in ms; 0 when no watchdog waits for us. */
static uint64_t watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value, owner;

	if (!usec || !str_to_u64(str_of(usec), &value) || value < 2000)
		return 0;
	if (pid && (!str_to_u64(str_of(pid), &owner) || owner != (uint64_t)getpid()))
		return 0;
	return value / 2000;
}

static void on_watchdog(struct timer *timer)
{
	notify_send("WATCHDOG=1");
	timer_start(timer, timer->loop, watchdog_ms(), on_watchdog);
}

void notify_watchdog_start(struct timer *timer, struct loop *loop)
{
	if (watchdog_ms())
		timer_start(timer, loop, watchdog_ms(), on_watchdog);
}
