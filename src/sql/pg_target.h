/* sql/pg_target: where to connect to, and how: a url made ready for a libpq that never looks up
 * a name by itself.
 *
 * Each host of the url becomes one or more (host, hostaddr, port): a unix socket's directory and
 * a numeric address as they stand, a name through core/dns. The host stays beside its
 * address, because certificates are verified against it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_PG_TARGET_H
#define OSBD_SQL_PG_TARGET_H

#include "sql/sql.h"
#include "sql/pg_lib.h"

#define PG_HOSTS_MAX 8
#define PG_FOUND_MAX 32
#define PG_PARAMS_MAX 64

struct pg_host {
	const char *host, *address, *port;
};

struct pg_target {
	struct arena arena; /* wiped when it goes */
	const char *keys[PG_PARAMS_MAX], *values[PG_PARAMS_MAX];
	size_t n_params; /* of the url, without host, hostaddr and port */
	struct pg_host hosts[PG_HOSTS_MAX];
	size_t n_hosts;
	bool has_names;
	const char *verify; /* stands in for every host's name; NULL: none */
	struct dns *dns;    /* set by the owner when has_names */
	/* of the resolving under way */
	void (*done)(void *data, int status, struct err *err);
	void *data;
	size_t at;
	bool late; /* no name is looked up any more */
	struct dns_lookup lookup;
	struct timer deadline;
	struct arena found_arena;
	struct pg_host found[PG_FOUND_MAX];
	size_t n_found;
	unsigned turn;
	struct err why;
};

/* ERR_SYNTAX; the text never holds the url. */
int pg_target_init(struct pg_target *target, const struct pg_lib *lib,
		   const struct sql_config *config, struct err *err) MUST_CHECK;
void pg_target_finish(struct pg_target *target);
/* done runs once, perhaps at once, after within ms at the latest. 0: at least one address is
 * there. One at a time. */
void pg_target_resolve(struct pg_target *target, struct loop *loop, uint64_t within,
		       void (*done)(void *data, int status, struct err *err), void *data);
/* Hurries a resolving under way to its end. */
void pg_target_cancel(struct pg_target *target);
/* For PQconnectStartParams: NULL-terminated, in the arena. Each time another of the addresses
 * comes first. */
void pg_target_params(struct pg_target *target, struct arena *arena, const char ***keys,
		      const char ***values);

#endif
