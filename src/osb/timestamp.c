/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/timestamp.h"

#include <time.h>

char *timestamp(struct arena *arena, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return arena_printf(arena, "%s.%uZ", text, (unsigned)(ms % 1000 / 100));
}
