/* core/child_spawn: starts osbd-child with pipes, in constant time however large this process is.
 *
 * osbd-child gets the pipes as 0, 1, 2 and the control socket (core/child_wire) as 3, a session of
 * its own, default signals, no other descriptor; it does nothing before it has got its head. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CHILD_SPAWN_H
#define OSBD_CORE_CHILD_SPAWN_H

#include "core/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* Our ends, all close-on-exec, owned by the caller; the socket and the pipes still block. */
struct child_spawned {
	pid_t pid;
	int pidfd; /* readable when it has ended */
	int control;
	int in; /* -1 without with_in: stdin is /dev/null */
	int out, err;
};

/* 0, or a positive errno; then nothing was started and nothing is open. */
int child_spawn(const char *supervisor, const char *const *argv, const char *const *env,
		bool with_in, struct child_spawned *ours) MUST_CHECK;

/* Kills what is in the session of an osbd-child that was killed and is not yet reaped (so that
 * the session's number is still its own). */
void child_sweep(pid_t session);

#endif
