/* backends/database_quota: looks after the quotas of a service's servers, again and again.
 *
 * What a look is belongs to the backend: it measures, where this node is the one that does, and
 * tells database_found() what is full. This is when it happens, and how it begins and ends: on each
 * server one look after the other, quota_every after the end of the last. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_DATABASE_QUOTA_H
#define OSBD_BACKENDS_DATABASE_QUOTA_H

#include "backends/database.h"

struct database_quota {
	/* set by the owner */
	struct database *database;
	const struct database_server *server;
	struct call *call; /* of a look; its done and data are the quota's */
	const struct err *err;
	void (*look)(struct database_quota *quota); /* starts the call */
	/* private */
	struct timer timer;
	bool running, stopping, away;
};

/* One for each server, in database->quotas. backend_type.start and .stop */
void database_start(struct backend *backend);
void database_stop(struct backend *backend, void (*stopped)(void *data), void *data);
/* The database has become full, or is not full any more; used and storage are numbers of bytes. */
void database_quota_say(const struct database_quota *quota, struct str name, struct str used,
			struct str storage, bool full);

#endif
