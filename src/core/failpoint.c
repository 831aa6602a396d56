/* SPDX-License-Identifier: Apache-2.0 */
#include "core/failpoint.h"

#ifdef OSBD_FAILPOINTS

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 16

static struct {
	char name[96], action[8];
	unsigned at, passed; /* at 0: each passage */
} points[POINTS_MAX];
static int n_points = -1;

static void read_points(void)
{
	const char *env = getenv("OSBD_FAILPOINT");
	char copy[1024], *save = NULL, *item;

	n_points = 0;
	if (!env)
		return;
	snprintf(copy, sizeof(copy), "%s", env);
	for (item = strtok_r(copy, ";", &save); item && n_points < POINTS_MAX;
	     item = strtok_r(NULL, ";", &save)) {
		char *action = strchr(item, '='), *at;

		if (!action) {
			fprintf(stderr, "OSBD_FAILPOINT: no action in \"%s\"\n", item);
			exit(2);
		}
		*action++ = '\0';
		at = strchr(action, '@');
		if (at) {
			*at++ = '\0';
			points[n_points].at = (unsigned)strtoul(at, NULL, 10);
		}
		snprintf(points[n_points].name, sizeof(points[0].name), "%s", item);
		snprintf(points[n_points].action, sizeof(points[0].action), "%s", action);
		n_points++;
	}
}

bool failpoint(const char *fmt, ...)
{
	char name[96];
	va_list ap;
	int i;

	if (n_points < 0)
		read_points();
	if (n_points == 0)
		return false;
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	for (i = 0; i < n_points; i++) {
		if (strcmp(points[i].name, name) != 0)
			continue;
		if (points[i].at && ++points[i].passed != points[i].at)
			continue;
		if (strcmp(points[i].action, "kill") == 0)
			kill(getpid(), SIGKILL);
		if (strcmp(points[i].action, "stop") == 0)
			kill(getpid(), SIGSTOP);
		if (strcmp(points[i].action, "wait") == 0)
			usleep(200000);
		return strcmp(points[i].action, "fail") == 0;
	}
	return false;
}

#endif
