/* backends/postgresql_quota: measures the databases of one server, and takes writing from the users
 * of those that hold more than their plan's storage.
 *
 * Each node looks from time to time, on a session of its own; the one that gets the server's lock
 * measures, and the others only read what was found.
 *
 *   measure  a database with storage promised that holds as much or more is full; one that is full
 *            and holds less is not any more
 *   users    who may write and should not goes over from the role d… to f…, or the other way round,
 *            and all its sessions are ended; what it owned by itself becomes d…'s. So a user that is
 *            made meanwhile, and whatever a dead node has not come to, is put right by the next look.
 *   vacuum   what is deleted from a full database counts only when its tables are vacuumed
 *
 * What a full database's users keep: reading, DELETE, TRUNCATE. Readers never change. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_QUOTA_H
#define OSBD_BACKENDS_POSTGRESQL_QUOTA_H

#include "backends/postgresql_sql.h"

struct postgresql_quota {
	/* set by the owner */
	struct database *database;
	const struct database_server *server;
	struct postgresql_server to; /* of one script at a time */
	/* private */
	struct timer timer;
	struct postgresql_script script;
	struct arena arena;
	struct sql_result changes, full, tables; /* rows to be gone through, one after the other */
	size_t i, i_full, i_table;
	bool leads, running, stopping, away;
	void (*stopped)(struct postgresql_quota *quota);
};

void postgresql_quota_start(struct postgresql_quota *quota);
/* stopped runs once, perhaps at once. */
void postgresql_quota_stop(struct postgresql_quota *quota,
			   void (*stopped)(struct postgresql_quota *quota));

#endif
