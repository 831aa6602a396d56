/* backends/postgresql_server: a server as scripts reach it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_SERVER_H
#define OSBD_BACKENDS_POSTGRESQL_SERVER_H

#include "sql/pg_target.h"

struct postgresql_server {
	const struct pg_lib *lib;
	struct loop *loop;
	struct dns *dns; /* NULL: host is no name */
	const char *host;
	uint16_t port;
	const char *user;
	const char *passwords[2]; /* the second is tried when the first is refused; NULL: none */
	const char *database;     /* for maintenance */
	const char *ca;           /* a file: TLS, verified with it; NULL: no TLS */
	const char *verify;       /* the name that the certificate must be for; NULL: host */
	unsigned max;             /* scripts at a time */
	/* private; zeroes at first */
	struct list waiting; /* struct postgresql_script.node */
	struct list idle;    /* struct postgresql_side.node: main sessions, without a lock */
	unsigned n;
	int password; /* that went well the last time */
};

/* Where to connect to, for one session. name: what it is known by on the server, behind "osbd "; NULL:
 * "osbd" alone. ERR_SYNTAX. */
int postgresql_target(const struct postgresql_server *server, const char *database,
		      const char *name, struct pg_target *target, struct err *err) MUST_CHECK;
/* Whether an error is worth another try: sqlstate is empty when the server said nothing. */
bool postgresql_may_pass(const char *sqlstate, int status);

#endif
