/* store/postgres_node: leases of the processes that share a database. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_POSTGRES_NODE_H
#define OSBD_STORE_POSTGRES_NODE_H

#include "store/postgres_db.h"

void pg_renew(struct store *store, struct store_renew *c);
void pg_leave(struct store *store, struct store_leave *c);

#endif
