/* backends/postgresql_config: what the backend's `config:` may hold, and the server it names. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_CONFIG_H
#define OSBD_BACKENDS_POSTGRESQL_CONFIG_H

#include "backends/postgresql_script.h"
#include "osb/backend.h"

struct postgresql_config {
	struct str host, user, database, ca, collation;
	int64_t port;
	struct secret password;
};

struct postgresql_plan {
	int64_t connections, database_connections; /* 0: no limit */
	uint64_t storage;                          /* bytes; 0: no limit */
};

struct postgresql {
	struct backend base; /* first */
	struct postgresql_config config;
	struct pg_lib lib;
	struct postgresql_server server;
	struct str ca; /* its text; empty: no TLS */
};

extern const struct conf_key postgresql_service_rows[], postgresql_plan_rows[];

/* As of struct backend_type; base.type is left to the caller. */
int postgresql_open(const struct backend_env *env, struct offering *offering, struct arena *arena,
		    struct backend **out, struct conf_errors *errors);
void postgresql_close(struct backend *backend);
/* Where the server is, into credentials. at: host:port for a URL; options of it: they begin with ?
 * or are empty. */
void postgresql_put_server(const struct postgresql *pg, struct arena *arena,
			   struct json *credentials, const char **at, const char **options);

#endif
