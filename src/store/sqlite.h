/* store/sqlite: the embedded store, one SQLite file of one process.
 *
 * WAL, synchronous=FULL, exclusive lock: whoever opens the file knows that its predecessor is
 * dead, and takes over its running operations at once. The file is made with mode 0600 in a
 * directory that exists.
 *
 * Keys: those given seal; without any, the file seal.key beside the database does, and is made at
 * the first start. When keys are given and seal.key is there, it still opens what it has sealed,
 * until everything has been sealed anew.
 *
 * Errors: ERR_NOENT (no such directory, seal.key is missing), ERR_ACCESS, ERR_BUSY (another
 * process has the file; the text names it), ERR_SEALED (none of the keys is the store's),
 * ERR_UNSUPPORTED (schema), ERR_STORE. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_H
#define OSBD_STORE_SQLITE_H

#include "core/metric.h"
#include "store/seal.h"
#include "store/store.h"

struct store_options {
	struct loop *loop;
	const struct log *log;        /* NULL: silent */
	struct metrics *metrics;      /* NULL: none; it outlives the store */
	const struct seal_keys *keys; /* copied; NULL or empty: seal.key */
	const char *path;
};

/* options are needed for this call only. */
int store_sqlite_open(const struct store_options *options, struct store **store,
		      struct err *err) MUST_CHECK;

#endif
