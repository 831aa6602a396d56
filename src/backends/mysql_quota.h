/* backends/mysql_quota: measures the databases of one server, and takes writing from the users of
 * those that hold more than their plan's storage.
 *
 * Each node has a session for it; the one that holds the server's lock osbd.quota measures, and the
 * others only read what it found. A node that dies loses the lock with its session, and one that is
 * stopped when the server ends the silent session, so the next look of another node takes over.
 *
 *   measure  a database with storage promised that holds as much or more is full; one that is full
 *            and holds less is not any more
 *   users    who may write and should not, or the other way round, has the rights changed and all
 *            sessions ended: rights count from a session's start. Then the user's mark says so. So a
 *            user that is made meanwhile, and whatever a dead node has not come to, is put right by
 *            the next look.
 *
 * What a full database's users keep: reading, deleting, dropping. Readers never change. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_MYSQL_QUOTA_H
#define OSBD_BACKENDS_MYSQL_QUOTA_H

#include "backends/database_quota.h"
#include "backends/mysql_sql.h"

struct mysql_quota {
	struct database_quota base; /* first */
	struct my_pool pool;        /* of one session; init and finish are the owner's */
	/* private */
	struct mysql_script script;
	struct arena arena;
	struct my_result changes; /* rows to be gone through, one after the other */
	size_t i;
	unsigned polls;
	bool leads;
};

/* base's database and server are set, and the pool. */
void mysql_quota_init(struct mysql_quota *quota);

#endif
