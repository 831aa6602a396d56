/* store/postgres: the store that many processes share, a PostgreSQL database of our own.
 *
 * Opening waits: for the server, at most `patience` ms, then for the schema. It demands keys. A
 * server that is away later ends calls with ERR_STORE; the store finds back to it by itself.
 *
 * Errors: ERR_UNSUPPORTED (no libpq; the schema is too new, or no store of ours; the server runs
 * with fsync=off or is a standby), ERR_SYNTAX (url), ERR_SEALED (no keys, or none is the
 * store's), ERR_ACCESS, ERR_NOENT (no such database), ERR_STORE. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_POSTGRES_H
#define OSBD_STORE_POSTGRES_H

#include "core/metric.h"
#include "sql/sql.h"
#include "store/seal.h"
#include "store/store.h"

struct store_postgres_options {
	struct loop *loop;
	const struct log *log;        /* NULL: silent */
	struct metrics *metrics;      /* NULL: none; it outlives the store */
	const struct seal_keys *keys; /* copied; at least one */
	struct sql_config sql;        /* url, password, …; log and on_state are the store's */
	uint64_t patience;            /* ms, 0: 30 s */
};

/* Runs the loop until the store is open or cannot be. options are needed for this call only. */
int store_postgres_open(const struct store_postgres_options *options, struct store **store,
			struct err *err) MUST_CHECK;

#endif
