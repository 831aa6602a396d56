/* core/child: runs a program, feeds it bytes, collects what it says.
 *
 *   argv, env  NULL-terminated; argv[0] absolute; no shell; env is never inherited.
 *   cwd        absolute; NULL: "/".
 *   in         bytes for stdin, borrowed until done; stdin is closed after them.
 *   out        stdout in the arena, at most out_max bytes (0: 1 MiB).
 *   err        last 4 KiB of stderr, NUL-terminated: for people, not for parsing.
 *   exit_code  0..255; -1 when killed, then signal holds the number.
 *
 * done: 0 reaped and nothing of it is left (now look at exit_code); ERR_TOOBIG out_max passed,
 *       child killed; ERR_CANCELED SIGTERM to its group, SIGKILL to everything after kill_ms;
 *       ERR_TIMEDOUT the same, because deadline passed; ERR_CLOSED cut off: the supervisor was
 *       killed, or this process was silent for too long; ERR_NOENT, ERR_ACCESS from an exec that
 *       failed; ERR_FULL no descriptor, process or memory left; ERR_TOOBIG also argv or env that
 *       the kernel does not take; ERR_UNSUPPORTED another reason why nothing could be started, such
 *       as a kernel without pidfds; ERR_BUSY an earlier run still lives in results; ERR_IO the file
 *       `exit` could not be written, exit_code is good. From ERR_CLOSED on err holds the reason
 *       ("/x/y: No such file or directory"). An end that came before a cancel or a deadline
 *       counts: then it is 0.
 * start: ERR_INVALID only (argv empty, or argv[0], cwd or results not absolute or too long).
 *
 * Each program runs under osbd-child (src/child): its own session, a sub-reaper, resource limits,
 * no inherited descriptors, execve without a shell's fallback. The supervisor kills the group and
 * whatever else descends from the program when the pipe from osbd closes (osbd died) or brings
 * nothing for `silence` ms (osbd is stopped or cut off), when the run is cancelled, and also when
 * the program has ended and left something behind. When results is set, the files that
 * the program left in that directory are synced and its exit code is written there (fsync,
 * rename) before osbd hears of it, but only when the program ended by itself. The supervisor
 * holds a lock on the directory while anything of the run lives, and starts nothing before it.
 *
 * A grandchild may hold stdout or stderr open after the exit: what it says within kill_ms counts,
 * then what descends is killed; at once when it holds neither. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CHILD_H
#define OSBD_CORE_CHILD_H

#include "core/arena.h"
#include "core/call.h"
#include "core/timer.h"

#define CHILD_DISCARD SIZE_MAX /* out_max: stdout is read and dropped, without a limit */

struct child_options {
	const char *const *argv;
	const char *const *env;
	const char *cwd;
	const char *results; /* directory that exists, or NULL; gets the file `exit` */
	struct str in;
	size_t out_max;      /* bytes, 0: 1 MiB */
	uint64_t deadline;   /* ms from start, 0: none */
	uint64_t kill_ms;    /* from SIGTERM to SIGKILL, 0: 5 s */
	uint64_t max_memory; /* bytes of address space, 0: no limit of ours */
	uint64_t max_file;   /* bytes of a file, 0: no limit of ours */
	uint64_t max_files;  /* open descriptors, 0: 1024 */
};

/* How children are run; one per process, borrowed by each child until done. */
struct child_host {
	struct loop *loop;
	const char *supervisor;   /* absolute path of osbd-child */
	uint64_t silence;         /* ms that a run outlives a silent osbd; 0: for ever */
	char *found;              /* owned: that path when nobody gave one */
	struct list running;      /* struct child_run.node, private */
	struct timer beat;        /* tells the supervisors that osbd is alive */
	bool muted;               /* no more beats: this process has lost its lease */
	uint64_t started, reaped; /* counts, for metrics and tests */
};

/* supervisor NULL: osbd-child beside the running program. ERR_NOENT, ERR_ACCESS: it is not there.
 * SIGPIPE is ignored from here on, unless the process handles it. */
int child_host_init(struct child_host *host, struct loop *loop, const char *supervisor,
		    struct err *err) MUST_CHECK;
void child_host_finish(struct child_host *host); /* none may be running */
/* Asks every running child to end (SIGTERM, then SIGKILL). */
void child_host_cancel_all(struct child_host *host);

struct child {
	struct call call;
	/* what came of it, valid in done */
	struct str out;
	char err[4096];
	int exit_code;
	int signal;
	struct child_run *run; /* while it runs; private */
};

/* child->call.done and .data are set by the owner. arena holds out and must outlive it. Of the
 * options only the bytes of `in` are looked at after start has returned. */
int child_start(struct child *child, struct child_host *host, struct arena *arena,
		const struct child_options *options) MUST_CHECK;

/* What a finished run left in its results directory: 0 and exit_code/signal filled; ERR_NOENT
 * when the run did not come to its end (it was cut off, cancelled, or never started). Used after a
 * restart, before an action is run again. ERR_BUSY: that run, or what descends from it, still lives
 * (it ends soon when its osbd is gone): ask again. ERR_SYNTAX: something else is in the file. */
int child_result(const char *results, int *exit_code, int *signal) MUST_CHECK;

#endif
