/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_target.h"

#include "core/buf.h"

#include <arpa/inet.h>
#include <string.h>

#define SOCKET_FOLDER "/var/run/postgresql"

static bool is_numeric(const char *host)
{
	char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool is_name(const struct pg_host *h)
{
	return !*h->address && h->host[0] != '/' && h->host[0] != '@';
}

static void wipe(void *text)
{
	mem_wipe(text, strlen(text));
}

static void add_param(struct pg_target *target, const char *key, const char *value)
{
	char *copy = arena_strdup(&target->arena, value);

	arena_defer(&target->arena, wipe, copy);
	target->keys[target->n_params] = arena_strdup(&target->arena, key);
	target->values[target->n_params++] = copy;
}

/* The i-th of a list with commas; the only one of a list of one serves all. */
static const char *nth(struct arena *arena, const char *list, size_t i)
{
	struct str rest = str_of(list), part = str_cut(rest, ',', &rest);

	if (!list)
		return "";
	if (!rest.p)
		return arena_strndup(arena, part.p, part.n);
	while (i-- && rest.p)
		part = str_cut(rest, ',', &rest);
	return arena_strndup(arena, part.p, part.n);
}

static size_t count(const char *list)
{
	size_t n = 1;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

static int split_hosts(struct pg_target *target, const char *host, const char *address,
		       const char *port, struct err *err)
{
	size_t n = count(address ? address : host), i;

	if (n > PG_HOSTS_MAX)
		return err_set(err, ERR_TOOBIG, "url: more than %d hosts", PG_HOSTS_MAX);
	if ((host && address && count(host) != n) || (count(port) != 1 && count(port) != n))
		return err_set(err, ERR_SYNTAX, "url: hosts, addresses and ports differ in number");
	for (i = 0; i < n; i++) {
		struct pg_host *h = &target->hosts[i];

		h->host = nth(&target->arena, host, i);
		h->address = nth(&target->arena, address, i);
		h->port = nth(&target->arena, port, i);
		if (!*h->host && !*h->address)
			h->host = SOCKET_FOLDER;
		if (!*h->port)
			h->port = "5432";
		if (!*h->address && is_numeric(h->host))
			h->address = h->host;
		if (*h->address && !is_numeric(h->address))
			return err_set(err, ERR_SYNTAX, "url: hostaddr is not a numeric address");
		if (is_name(h))
			target->has_names = true;
	}
	target->n_hosts = n;
	return 0;
}

static int bad_url(const struct pg_lib *lib, char *text, struct err *err)
{
	/* other messages quote the url, and with it the password */
	if (text && (strncmp(text, "invalid connection option", 25) == 0 ||
		     strncmp(text, "invalid URI query parameter", 27) == 0))
		err_set(err, ERR_SYNTAX, "url: %.*s", (int)strcspn(text, "\n"), text);
	else
		err_set(err, ERR_SYNTAX,
			"url: neither postgresql://user@host:port/database?… nor key=value …");
	if (text)
		lib->PQfreemem(text);
	return ERR_SYNTAX;
}

int pg_target_init(struct pg_target *target, const struct pg_lib *lib,
		   const struct sql_config *config, struct err *err)
{
	const char *host = NULL, *address = NULL, *port = NULL;
	PQconninfoOption *options, *o;
	char *text = NULL;
	int rc;

	memset(target, 0, sizeof(*target));
	target->dns = config->dns;
	target->verify = config->verify;
	options = lib->PQconninfoParse(config->url, &text);
	if (!options)
		return bad_url(lib, text, err);
	for (o = options; o->keyword; o++) {
		if (!o->val || target->n_params == PG_PARAMS_MAX - 16)
			continue;
		if (strcmp(o->keyword, "host") == 0)
			host = o->val;
		else if (strcmp(o->keyword, "hostaddr") == 0)
			address = o->val;
		else if (strcmp(o->keyword, "port") == 0)
			port = o->val;
		else if (strcmp(o->keyword, "password") != 0 || !config->password)
			add_param(target, o->keyword, o->val);
	}
	rc = split_hosts(target, host && *host ? host : NULL, address && *address ? address : NULL,
			 port && *port ? port : NULL, err);
	lib->PQconninfoFree(options);
	if (rc != 0)
		goto fail;
	if (config->password)
		add_param(target, "password", config->password);
	return 0;
fail:
	pg_target_finish(target);
	return rc;
}

void pg_target_finish(struct pg_target *target)
{
	arena_finish(&target->found_arena);
	arena_finish(&target->arena);
}

/* -- resolving -------------------------------------------------------------------------- */

static void resolve_next(struct pg_target *target);

static void found(struct pg_target *target, const char *address)
{
	const struct pg_host *h = &target->hosts[target->at];

	if (target->n_found < ARRAY_LEN(target->found))
		target->found[target->n_found++] = (struct pg_host){
			h->host,
			arena_strdup(&target->found_arena, address),
			h->port,
		};
}

static void no_address(struct pg_target *target, const char *why)
{
	err_set(&target->why, ERR_STORE, "%s: %s", target->hosts[target->at].host, why);
	target->at++;
}

static void resolved(struct call *call, int status)
{
	struct pg_target *target = container_of(call, struct pg_target, lookup.call);
	const struct dns_lookup *lookup = &target->lookup;
	char address[INET6_ADDRSTRLEN];
	size_t i;

	if (status != 0) {
		no_address(target, status == ERR_CANCELED ? "no answer from the name servers"
							  : lookup->err.text);
	} else {
		for (i = 0; i < lookup->n_addresses; i++) {
			const struct dial_address *a = &lookup->addresses[i];
			const void *bytes = a->to.any.sa_family == AF_INET
						    ? (const void *)&a->to.in.sin_addr
						    : (const void *)&a->to.in6.sin6_addr;

			if (inet_ntop(a->to.any.sa_family, bytes, address, sizeof(address)))
				found(target, address);
		}
		target->at++;
	}
	resolve_next(target);
}

static void look_up(struct pg_target *target)
{
	if (target->late) {
		no_address(target, "no answer from the name servers");
		resolve_next(target);
		return;
	}
	memset(&target->lookup, 0, sizeof(target->lookup));
	target->lookup.call.done = resolved;
	target->lookup.name = str_of(target->hosts[target->at].host);
	if (dns_start(target->dns, &target->lookup) == 0)
		return;
	no_address(target, "is no host name");
	resolve_next(target);
}

static void resolve_next(struct pg_target *target)
{
	while (target->at < target->n_hosts && !is_name(&target->hosts[target->at])) {
		found(target, target->hosts[target->at].address);
		target->at++;
	}
	if (target->at < target->n_hosts) {
		look_up(target);
		return;
	}
	timer_stop(&target->deadline);
	target->done(target->data, target->n_found ? 0 : target->why.code, &target->why);
}

static void on_deadline(struct timer *timer)
{
	pg_target_cancel(container_of(timer, struct pg_target, deadline));
}

void pg_target_resolve(struct pg_target *target, struct loop *loop, uint64_t within,
		       void (*done)(void *data, int status, struct err *err), void *data)
{
	target->done = done;
	target->data = data;
	target->at = target->n_found = 0;
	arena_reset(&target->found_arena);
	target->why.code = 0;
	target->late = false;
	if (target->has_names)
		timer_start(&target->deadline, loop, within, on_deadline);
	resolve_next(target);
}

void pg_target_cancel(struct pg_target *target)
{
	target->late = true;
	call_cancel(&target->lookup.call);
}

void pg_target_params(struct pg_target *target, struct arena *arena, const char ***keys,
		      const char ***values)
{
	static const char *const ours[][2] = {
		{ "gssencmode", "disable" }, /* would ask a Kerberos server, and wait for it */
		{ "client_encoding", "UTF8" },
	};
	static const char *const defaults[][2] = {
		{ "fallback_application_name", "osbd" }, { "keepalives_idle", "10" },
		{ "keepalives_interval", "5" },          { "keepalives_count", "3" },
		{ "tcp_user_timeout", "15000" },
	};
	struct buf host = { 0 }, address = { 0 }, port = { 0 };
	size_t n = 0, i;

	*keys = arena_zalloc(arena, sizeof(char *) * (PG_PARAMS_MAX + 1));
	*values = arena_zalloc(arena, sizeof(char *) * (PG_PARAMS_MAX + 1));
	for (i = 0; i < ARRAY_LEN(defaults); i++, n++)
		(*keys)[n] = defaults[i][0], (*values)[n] = defaults[i][1];
	for (i = 0; i < target->n_params; i++, n++) /* the last one of a key counts */
		(*keys)[n] = target->keys[i], (*values)[n] = target->values[i];
	for (i = 0; i < ARRAY_LEN(ours); i++, n++)
		(*keys)[n] = ours[i][0], (*values)[n] = ours[i][1];
	for (i = 0; i < target->n_found; i++) {
		const struct pg_host *h = &target->found[(i + target->turn) % target->n_found];

		buf_printf(&host, "%s%s", i ? "," : "", target->verify ? target->verify : h->host);
		buf_printf(&address, "%s%s", i ? "," : "", h->address);
		buf_printf(&port, "%s%s", i ? "," : "", h->port);
	}
	target->turn++;
	(*keys)[n] = "host", (*values)[n++] = arena_strdup(arena, host.p ? host.p : "");
	(*keys)[n] = "hostaddr", (*values)[n++] = arena_strdup(arena, address.p ? address.p : "");
	(*keys)[n] = "port", (*values)[n++] = arena_strdup(arena, port.p ? port.p : "");
	buf_finish(&host);
	buf_finish(&address);
	buf_finish(&port);
}
