/* osb/users: who may ask. HTTP Basic, checked without giving anything away.
 *
 * Passwords are compared in constant time against digests under a per-process key. A crypt(3) hash is
 * verified in a child process, one at a time; at most USERS_WAITING requests wait for it, more get
 * ERR_BUSY (429). Pairs known to be right or wrong are remembered under the per-process key.
 * Failures are limited per user and per source; a pair known to be right is never limited. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_USERS_H
#define OSBD_OSB_USERS_H

#include "core/child.h"
#include "core/metric.h"
#include "osb/config.h"

#define USERS_WAITING 16

struct users;

/* children: for slow hashes; verifier: absolute path of the program that verifies them (this
 * program, run as `osbd verify-password`: hash and password on stdin, exit code 0 right, 1 wrong). */
struct users *users_create(struct loop *loop, const struct config *config,
			   struct child_host *children, const char *verifier, const struct log *log,
			   struct metrics *metrics);
void users_destroy(struct users *users); /* no check is active */

/* One check. status 0: user is set; ERR_ACCESS: 401; ERR_BUSY: 429 with retry_after seconds. */
struct users_check {
	struct call call;
	struct str authorization; /* the header's value; {NULL, 0}: none was sent */
	struct str peer;
	const struct config_platform *platform; /* the one asked; users of others are refused */
	/* out */
	const struct config_user *user; /* NULL with `authentication: none` */
	unsigned retry_after;
	/* private */
	struct list node;
	struct users *users;
	unsigned char pair[32];
};

/* Answers at once where it can: returns true, and *status is what done would get; then no call
 * was started. Otherwise false: the call runs, check->call.done was set by the caller. */
bool users_check(struct users *users, struct users_check *check, int *status);

#endif
