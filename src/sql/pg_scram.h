/* sql/pg_scram: what a PostgreSQL server keeps of a password, made by us, so that the password
 * itself stands in no statement, and so in no log of the server.
 *
 *   SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>
 *
 * Source: RFC 5802 section 3, RFC 7677; PostgreSQL, "pg_authid". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_PG_SCRAM_H
#define OSBD_SQL_PG_SCRAM_H

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

#define PG_SCRAM_ITERATIONS 4096 /* as the server's own */
#define PG_SCRAM_SALT 16

/* password: ASCII, which SASLprep leaves as it is; salt NULL: random. In the arena.
 * ERR_INVALID: another password; ERR_UNSUPPORTED: mbedTLS lacks PBKDF2 or SHA-256. */
int pg_scram(struct arena *arena, struct str password, const unsigned char salt[PG_SCRAM_SALT],
	     struct str *out) MUST_CHECK;

#endif
