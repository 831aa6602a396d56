/* sql/pg_lib: libpq, loaded only by a process whose configuration names a PostgreSQL server.
 *
 * Linking it would cost every osbd 5 MB and 3 ms. The library stays loaded until the process
 * ends: OpenSSL, which it brings, does not survive being unloaded. Needs libpq 14 or newer
 * (pipeline mode). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_PG_LIB_H
#define OSBD_SQL_PG_LIB_H

#include "core/err.h"

#include <libpq-fe.h>

#define PG_FUNCTIONS(X)              \
	X(PQconninfoParse)           \
	X(PQconninfoFree)            \
	X(PQfreemem)                 \
	X(PQconnectStartParams)      \
	X(PQconnectPoll)             \
	X(PQconnectionNeedsPassword) \
	X(PQfinish)                  \
	X(PQstatus)                  \
	X(PQsocket)                  \
	X(PQserverVersion)           \
	X(PQerrorMessage)            \
	X(PQsetErrorVerbosity)       \
	X(PQsetNoticeReceiver)       \
	X(PQsetnonblocking)          \
	X(PQenterPipelineMode)       \
	X(PQpipelineSync)            \
	X(PQsendPrepare)             \
	X(PQsendQueryParams)         \
	X(PQsendQueryPrepared)       \
	X(PQflush)                   \
	X(PQconsumeInput)            \
	X(PQisBusy)                  \
	X(PQgetResult)               \
	X(PQnotifies)                \
	X(PQclear)                   \
	X(PQresultStatus)            \
	X(PQresultErrorField)        \
	X(PQcmdTuples)               \
	X(PQcmdStatus)               \
	X(PQntuples)                 \
	X(PQnfields)                 \
	X(PQgetvalue)                \
	X(PQgetlength)               \
	X(PQgetisnull)               \
	X(PQescapeLiteral)           \
	X(PQescapeIdentifier)

struct pg_lib {
#define X(name) __typeof__(name) *name;
	PG_FUNCTIONS(X)
#undef X
};

/* ERR_UNSUPPORTED: no libpq.so.5, or one that is too old. Takes PGHOST, PGSERVICE and all their
 * kin out of the environment: the configuration alone says where to connect to. */
int pg_lib_load(struct pg_lib *lib, struct err *err) MUST_CHECK;

#endif
