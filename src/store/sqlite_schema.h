/* store/sqlite_schema: the tables, and how an older database becomes a new one.
 *
 * A schema is a list of steps; step i brings version i to version i + 1, and an empty file is
 * version 0. All steps that are due run in one transaction: a crash half way leaves the old
 * schema. Two numbers are kept in the table meta: `version`, what the tables are, and `oldest`,
 * the least version that a binary must know to use them. Only the second makes a binary refuse:
 * a newer database whose oldest is not above ours is used as it is.
 *
 * Errors: ERR_UNSUPPORTED (too new, or no store of ours), ERR_STORE. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_SCHEMA_H
#define OSBD_STORE_SQLITE_SCHEMA_H

#include "core/arena.h"

#include <sqlite3.h>

struct schema_step {
	const char *sql; /* statements */
	int64_t oldest;  /* from now on; 0: as it was */
};

struct schema {
	const struct schema_step *steps;
	size_t n; /* the version that this program knows */
};

extern const struct schema sqlite_schema;

/* Reads the two numbers; 0 and 0: the database is empty. */
int schema_look(sqlite3 *db, const struct schema *schema, int64_t *version, int64_t *oldest,
		struct err *err) MUST_CHECK;
/* *fresh: the database was empty. */
int schema_migrate(sqlite3 *db, const struct schema *schema, bool *fresh,
		   struct err *err) MUST_CHECK;

/* Values of the table meta. get: ERR_NOENT when there is none. */
int meta_get_int(sqlite3 *db, const char *name, int64_t *value) MUST_CHECK;
int meta_set_int(sqlite3 *db, const char *name, int64_t value) MUST_CHECK;
int meta_get(sqlite3 *db, const char *name, struct arena *arena, struct str *value) MUST_CHECK;
int meta_set(sqlite3 *db, const char *name, struct str value) MUST_CHECK;

#endif
