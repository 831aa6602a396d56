/* core/child_wire: what osbd and osbd-child say to each other.
 *
 *   A SOCK_SEQPACKET pair; osbd-child has its end as CHILD_WIRE_FD. First osbd sends one head,
 *   behind it cwd and results, each with its NUL. Then only asks go down and reports come up.
 *   The closing of osbd's end means that osbd is gone. Both programs come from one build; the
 *   version refuses a pair that does not. Times are milliseconds of CLOCK_BOOTTIME, so that a
 *   beat says when it was sent, however late it is read. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CHILD_WIRE_H
#define OSBD_CORE_CHILD_WIRE_H

#include <stdint.h>
#include <time.h>

#define CHILD_WIRE_FD 3
#define CHILD_WIRE_VERSION 0x6f736201u
#define CHILD_WIRE_TEXT 8192 /* most bytes behind the head */

struct child_head {
	uint32_t version;
	uint32_t cwd_size;     /* with its NUL; never 0 */
	uint32_t results_size; /* with its NUL; 0: no results directory */
	uint32_t max_files;
	uint64_t now;     /* the first beat */
	uint64_t silence; /* ms, 0: for ever */
	uint64_t kill_ms;
	uint64_t max_memory; /* bytes, 0: no limit */
	uint64_t max_file;   /* bytes, 0: no limit */
};

enum child_ask_kind {
	CHILD_ASK_BEAT = 1, /* at: when osbd sent it */
	CHILD_ASK_TERM,     /* SIGTERM to the group, SIGKILL to all after kill_ms */
	CHILD_ASK_KILL,     /* SIGKILL to all */
};

struct child_ask {
	uint32_t kind;
	uint32_t zero;
	uint64_t at;
};

enum child_report_kind {
	CHILD_SAYS_ENDED = 1, /* a: exit code or -1, b: signal or 0, c: errno of the results file */
	CHILD_SAYS_CUT_OFF,   /* the same, but it was asked to end before it did; no results file */
	CHILD_SAYS_SILENCE,   /* killed because osbd was silent; no results file */
	CHILD_SAYS_FAILED,    /* the program did not start; a: errno, b: enum child_stage */
};

enum child_stage { CHILD_AT_HEAD, CHILD_AT_RESULTS, CHILD_AT_FORK, CHILD_AT_CWD, CHILD_AT_EXEC };

struct child_report {
	uint32_t kind;
	int32_t a, b, c;
};

static inline uint64_t child_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
