/* osb/users: who may ask. HTTP Basic, checked without giving anything away.
 *
 * Passwords are compared in constant time by digests under a per-process key, and always with all
 * of them; base64 has one text for each pair, so it is the text whose digest is taken. A crypt(3) hash is verified in a child process, one at a time; at most
 * USERS_WAITING requests wait for it, more get ERR_BUSY (429). A pair that several requests bring
 * meanwhile is verified once. When there are hashes, a name that has none is verified against
 * somebody else's in vain, so that time does not tell which names exist.
 *
 * Pairs known to be right are remembered for as long as struct users lives, wrong ones for a
 * minute, both as digests under the per-process key. Failures are limited per user name and per
 * source (osb/users_limit.h); a pair known to be right is never limited.
 *
 * Without the header, a client certificate that was verified stands for the user whose
 * `certificate` is one of its names.
 *
 * Source: RFC 7617, as UTF-8; OSB 2.17 "Platform to Service Broker Authentication". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_USERS_H
#define OSBD_OSB_USERS_H

#include "core/child.h"
#include "core/metric.h"
#include "osb/config.h"
#include "osb/users_limit.h"
#include "osb/users_verify.h"

#define USERS_WAITING 16
#define USERS_VERIFY_MS SEC(15) /* deadline of one verification */

struct users;

/* config is borrowed. children: for slow hashes, NULL when there are none; verifier: absolute path
 * of the program that verifies them (this program, run as `osbd verify-password`). log and
 * metrics may be NULL. */
struct users *users_create(struct loop *loop, const struct config *config,
			   struct child_host *children, const char *verifier, const struct log *log,
			   struct metrics *metrics);
/* Takes its metrics out of the registry: before a successor registers the same. */
void users_retire(struct users *users);
void users_destroy(struct users *users); /* no check is active; NULL is fine */

/* One check. status 0: user is set. ERR_ACCESS: 401. ERR_BUSY: 429 with retry_after seconds: too
 * many failures, too many waiting, or the verifier could not run. ERR_CANCELED: was asked to. */
struct users_check {
	struct call call;
	struct str authorization; /* the header's value, looked at at once; {NULL, 0}: none */
	struct str peer;          /* "127.0.0.1", "::1", "unix"; borrowed until done */
	/* What a client certificate proves; looked at when there is no authorization. */
	const struct str *peer_names;
	size_t n_peer_names;
	/* The one asked: users of others, and those whose role is not for the API, are refused.
	 * NULL: none, for administration; any user will do, and the caller looks at the role. */
	const struct config_platform *platform;
	/* out */
	const struct config_user *user; /* NULL with `authentication: none` */
	unsigned retry_after;
	/* private */
	struct list node;
	struct users *users;
	struct users_job *job;
};

/* Answers at once where it can: returns true, and *status is what done would get; then no call
 * was started. Otherwise false: the call runs, check->call.done was set by the caller. */
bool users_check(struct users *users, struct users_check *check, int *status);

#endif
