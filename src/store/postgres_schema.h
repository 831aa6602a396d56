/* store/postgres_schema: the tables, and how an older database becomes a new one; the same two
 * numbers as in store/sqlite_schema. Whoever starts takes an advisory lock first, so that of
 * several nodes one migrates and the others wait for it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_POSTGRES_SCHEMA_H
#define OSBD_STORE_POSTGRES_SCHEMA_H

#include "store/postgres_db.h"

/* Reads or makes the tables, the store's id and the key of its fingerprints, and chooses the key
 * that seals. done runs once, from the loop; err is filled when status is not 0: ERR_UNSUPPORTED
 * (schema, or no database of ours), ERR_SEALED (none of the keys is the store's), ERR_ACCESS (a
 * right is missing), ERR_STORE. */
struct pg_prepare {
	struct call call;
	struct pg *pg;
	struct err *err;
	bool fresh; /* out: it was made */
	/* private */
	struct sql_tx sql;
	struct arena arena;
	struct err why;
	int64_t version, oldest;
	int phase;
	size_t meta, nodes, clock; /* indexes of results */
};

void pg_prepare(struct pg *pg, struct pg_prepare *prepare);
int64_t pg_schema_version(void); /* that this program knows */

/* The first of our keys that all other nodes know (one row each: ids, one a line) seals from now
 * on. True: another one did before. */
bool pg_choose_key(struct pg *pg, const struct sql_result *others);

#endif
