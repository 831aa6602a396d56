/* store/sqlite_keys: the keys of a SQLite store. Those that are configured, and the file seal.key
 * beside the database. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_KEYS_H
#define OSBD_STORE_SQLITE_KEYS_H

#include "core/arena.h"
#include "core/siphash.h"
#include "store/seal.h"

/* Adds seal.key beside the database, behind the configured ones that keys holds already; when
 * there are some, the file may be absent. create: it is made when it is absent and none is
 * configured; *made tells. */
int sqlite_keys_add_file(struct seal_keys *keys, const char *path, bool create, bool *made,
			 struct err *err) MUST_CHECK;
/* Opens the key of fingerprints, which proves that the keys are right. ERR_SEALED. */
int sqlite_keys_open_print(struct seal_keys *keys, struct str sealed, struct arena *arena,
			   unsigned char print[SIPHASH_SIZE], struct err *err) MUST_CHECK;
/* The directory of the file; owned by the caller. */
char *sqlite_directory_of(const char *path);

#endif
