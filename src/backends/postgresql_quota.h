/* backends/postgresql_quota: measures the databases of one server, and takes writing from the users
 * of those that hold more than their plan's storage.
 *
 * Each node looks from time to time, on a session of its own; the one that gets the server's lock
 * measures, and the others only read what was found.
 *
 *   measure  a database with storage promised that holds as much or more is full; one that is full
 *            and holds less is not any more
 *   users    who may write and should not goes over from the role d… to f…, or the other way round,
 *            and all its sessions are ended; what it owned by itself becomes d…'s. Then the user's
 *            mark says so. So a user that is made meanwhile, and whatever a dead node has not come
 *            to, is put right by the next look.
 *   vacuum   what is deleted from a full database counts only when its tables are vacuumed
 *
 * What a full database's users keep: reading, DELETE, TRUNCATE. Readers never change. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_QUOTA_H
#define OSBD_BACKENDS_POSTGRESQL_QUOTA_H

#include "backends/database_quota.h"
#include "backends/postgresql_sql.h"

struct postgresql_quota {
	struct database_quota base;  /* first */
	struct postgresql_server to; /* of one script at a time */
	/* private */
	struct postgresql_script script;
	struct arena arena;                      /* finished by the owner */
	struct sql_result changes, full, tables; /* rows to be gone through, one after the other */
	size_t i, i_full, i_table;
	bool leads;
	unsigned polls;
};

/* base's database and server are set, and to. */
void postgresql_quota_init(struct postgresql_quota *quota);

#endif
