/* core/activation: listening sockets that whoever started us has opened.
 *
 * LISTEN_FDS says how many descriptors there are, from 3 on; LISTEN_PID for which process they
 * are; LISTEN_FDNAMES how they are called, with colons between, where those without a name are
 * "unknown". Descriptors that are for another process are not touched. The variables are removed
 * in any case, so that no child takes them for its own.
 *
 * Several sockets may have the same name: those of one systemd socket unit have.
 * Source: sd_listen_fds(3). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_ACTIVATION_H
#define OSBD_CORE_ACTIVATION_H

#include "core/err.h"
#include "core/str.h"

#define ACTIVATION_FIRST 3

struct activation_socket {
	int fd;
	char *name;
	bool taken; /* it belongs to somebody who closes it */
};

struct activation {
	struct activation_socket *sockets;
	size_t n;
};

/* Once, before anything is opened or started. 0, with no sockets when none are for us;
 * ERR_INVALID: the variables make no sense. Descriptors are not inherited from here on. */
int activation_take(struct activation *activation, struct err *err) MUST_CHECK;
/* The next socket of that name which nobody has taken; NULL: there is none. */
struct activation_socket *activation_next(struct activation *activation, struct str name);
/* Closes what nobody has taken. Zeroes are fine. */
void activation_finish(struct activation *activation);

#endif
