/* store/postgres_sql: the statements of store/db in PostgreSQL's words, and some of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_POSTGRES_SQL_H
#define OSBD_STORE_POSTGRES_SQL_H

#include "sql/sql.h"
#include "store/db.h"

#define PG_INSTANCE_COLUMNS 22
#define PG_BINDING_COLUMNS 16
#define PG_OP_COLUMNS 29
#define PG_PARAMS_MAX 29

/* ms since 1970 on the server's clock. */
#define PG_NOW "(extract(epoch FROM clock_timestamp()) * 1000)::int8"

/* Of a transaction that writes (locks: what it reads stays as it is until its end) or only reads;
 * the latter finds an object's latest op in the same row, behind the object's own columns, and
 * behind those how many ops wait before it. */
const struct sql_stmt *postgres_stmt(enum query query, bool locks);

#endif
