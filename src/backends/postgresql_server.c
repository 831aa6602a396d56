/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql_server.h"

#include "core/buf.h"

#include <string.h>

/* The first two are for what we leave behind. The third: functions and operators that an application
 * has made in its database, and that would fit better, are not run by us. */
#define OPTIONS \
	"-c lock_timeout=10000 -c idle_session_timeout=60000 -c search_path=pg_catalog,pg_temp"

static void put_option(struct buf *url, const char *key, const char *value)
{
	buf_printf(url, "%s='", key);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			buf_putc(url, '\\');
		buf_putc(url, *value);
	}
	buf_puts(url, "' ");
}

int postgresql_target(const struct postgresql_server *server, const char *database,
		      const char *name, struct pg_target *target, struct err *err)
{
	struct sql_config config = { .password = server->passwords[server->password],
				     .verify = server->verify,
				     .dns = server->dns };
	struct buf url = { 0 };
	int rc;

	put_option(&url, "host", server->host);
	buf_printf(&url, "port=%u ", server->port);
	put_option(&url, "user", server->user);
	put_option(&url, "dbname", database);
	buf_printf(&url, "application_name='osbd%s%.40s' options='" OPTIONS "' ", name ? " " : "",
		   name ? name : "");
	put_option(&url, "sslmode", server->ca ? "verify-full" : "disable");
	if (server->ca)
		put_option(&url, "sslrootcert", server->ca);
	config.url = url.p;
	rc = pg_target_init(target, server->lib, &config, err);
	buf_finish(&url);
	return rc;
}

bool postgresql_may_pass(const char *sqlstate, int status)
{
	static const char *const passing[] = {
		"08",                      /* the connection */
		"40001",                   /* serialization failure */
		"40P01",                   /* deadlock */
		"53",                      /* disk full, out of memory, too many connections */
		"55006",                   /* object in use */
		"55P03",                   /* lock not available */
		"57014",                   /* it took too long */
		"57P01",                   /* the server, or an operator, ended the session */
		"57P02", "57P03", "XX000", /* tuple concurrently updated */
	};
	size_t i;

	if (!*sqlstate)
		return status != ERR_ACCESS && status != ERR_NOENT && status != ERR_INVALID &&
		       status != ERR_SYNTAX && status != ERR_UNSUPPORTED;
	for (i = 0; i < ARRAY_LEN(passing); i++)
		if (strncmp(sqlstate, passing[i], strlen(passing[i])) == 0)
			return true;
	return false;
}
