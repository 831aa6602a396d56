/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/config_rows.h"

#include "core/digest.h"
#include "core/mem.h"
#include "core/yaml.h"

#include <stdlib.h>

#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB 1024LL
#define MIB (1024 * KIB)

/* -- users ------------------------------------------------------------------------------- */

static const struct conf_key secret_row = { "", CONF_SECRET, CONF_NONEMPTY };

static void decode_crypt(struct conf *conf, const struct json *node, void *field)
{
	struct config_password *password = field;
	size_t before = conf->errors->n_errors;
	struct str text;

	conf_value(conf, &secret_row, node, &password->text);
	password->crypt = true;
	if (conf->errors->n_errors != before)
		return;
	text = secret_reveal(&password->text);
	if (text.p[0] != '$' || !memchr(text.p + 1, '$', text.n - 1))
		conf_error(conf, node, "must be a crypt(3) hash, such as $y$j9T$...");
}

static void decode_password(struct conf *conf, const struct json *node, void *field)
{
	struct config_password *password = field;
	const struct json *hash = json_get(node, "crypt");

	if (hash && json_len(node) == 1) {
		decode_crypt(conf, hash, field);
		return;
	}
	conf_value(conf, &secret_row, node, &password->text);
	if (str_starts(secret_reveal(&password->text), STR("$y$")))
		conf_warn(conf, node,
			  "looks like a hash, but is taken as the password itself; "
			  "a hash is {crypt: HASH}");
}

/* HTTP Basic: no colon in a user's name (RFC 7617). */
static void check_user_name(struct conf *conf, const struct json *node, void *field)
{
	const struct str *name = field;
	size_t i;

	for (i = 0; i < name->n; i++)
		if (name->p[i] == ':' || (unsigned char)name->p[i] < 0x20 || name->p[i] == 0x7f)
			break;
	if (i < name->n)
		conf_error(conf, node, "must not hold a colon or control characters");
}

static void check_user(struct conf *conf, const struct json *node, void *item)
{
	int kinds = !!json_get(node, "password") + !!json_get(node, "crypt") +
		    !!json_get(node, "passwords");

	(void)item;
	if (kinds > 1 || (kinds == 0 && !json_get(node, "certificate")))
		conf_error(conf, node,
			   "must have one of password, passwords and crypt, or a "
			   "certificate");
}

static const struct conf_name role_names[] = {
	{ "platform", CONFIG_PLATFORM },
	{ "operator", CONFIG_OPERATOR },
	{ "monitor", CONFIG_MONITOR },
	{ NULL, 0 },
};

static const struct conf_key password_row = {
	"",
	CONF_CUSTOM,
	.width = sizeof(struct config_password),
	.decode = decode_password,
	.kind = "password",
};

static const struct conf_key user_rows[] = {
	{ "name", CONF_STRING, CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct config_user_row, user.name), .check = check_user_name,
	  .doc = "What is sent as the user's name.", .example = "cloud-controller" },
	{ "password", CONF_CUSTOM, 0, CONF_AT(struct config_user_row, password),
	  .decode = decode_password, .kind = "secret or {crypt: HASH}",
	  .doc = "The password: the text itself, {file: PATH}, {env: NAME}, or {crypt: HASH} with "
		 "a "
		 "crypt(3) hash, of which yescrypt ($y$) is the best.",
	  .example = "change-me" },
	{ "passwords", CONF_LIST, CONF_HIDDEN,
	  CONF_LIST_AT(struct config_user_row, passwords, n_passwords), .item = &password_row,

	  .min = 1, .max = CONFIG_PASSWORDS,
	  .doc = "In place of password: two that are valid at once, while one is being replaced.",
	  .example = "[{file: new-password}, {file: old-password}]" },
	{ "crypt", CONF_CUSTOM, CONF_HIDDEN, CONF_AT(struct config_user_row, crypt),
	  .decode = decode_crypt, .kind = "secret",
	  .doc = "In place of password: its crypt(3) hash.", .example = "$y$j9T$..." },
	{ "certificate", CONF_STRING, CONF_HIDDEN | CONF_NONEMPTY,
	  CONF_AT(struct config_user_row, user.certificate),
	  .doc = "A name in the user's client certificate, its common name or a DNS name, e-mail "
		 "address or URI of its alternative names: who connects with it, at a listener "
		 "with "
		 "tls.client_ca, need not send name and password.",
	  .example = "cloud-controller.service.cf.internal" },
	{ "role", CONF_ENUM, 0, CONF_AT(struct config_user_row, user.role), .fallback = "platform",
	  .names = role_names,
	  .doc = "What the user may do: platform is the Open Service Broker API, operator is that "
		 "and administration, monitor is health and metrics only." },
	{ "platform", CONF_STRING, 0, CONF_AT(struct config_user_row, platform),
	  .doc = "The only platform that the user may speak for, by its name; every one when "
		 "absent." },
	{ 0 },
};

/* -- log, store, sealing ----------------------------------------------------------------- */

static const struct conf_name level_names[] = {
	{ "debug", LOG_DEBUG }, { "info", LOG_INFO }, { "warn", LOG_WARN },
	{ "error", LOG_ERROR }, { NULL, 0 },
};

static const struct conf_name format_names[] = {
	{ "logfmt", LOG_LOGFMT },
	{ "json", LOG_JSON },
	{ NULL, 0 },
};

static const struct conf_key log_rows[] = {
	{ "level", CONF_ENUM, CONF_RELOADABLE, CONF_AT(struct config_log, level),
	  .fallback = "info", .names = level_names, .doc = "The least important lines to write." },
	{ "format", CONF_ENUM, 0, CONF_AT(struct config_log, format), .fallback = "logfmt",
	  .names = format_names, .doc = "How lines on the standard error look." },
	{ 0 },
};

static const struct conf_key sqlite_rows[] = {
	{ "path", CONF_PATH, 0, CONF_AT(struct config_sqlite_row, path),
	  .fallback = CONFIG_SQLITE_PATH, .doc = "The database file." },
	{ 0 },
};

static void decode_memory(struct conf *conf, const struct json *node, void *field)
{
	if (json_is_object(node) && !json_len(node))
		*(bool *)field = true;
	else
		conf_error(conf, node, "must be {}: there is nothing to choose");
}

static void check_store(struct conf *conf, const struct json *node, void *field)
{
	(void)field;
	if (json_len(node) > 1)
		conf_error(conf, node, "must have one of sqlite, postgresql and memory");
}

static const struct conf_key postgresql_rows[] = {
	{ "url", CONF_SECRET, CONF_REQUIRED | CONF_NONEMPTY, CONF_AT(struct config_postgresql, url),
	  .doc = "Where the database is, as libpq takes it: postgresql://user@host/database, with "
		 "?sslmode=verify-full&sslrootcert=FILE for TLS. The database is osbd's own.",
	  .example = "postgresql://osbd@db.example.com/osbd?sslmode=verify-full" },
	{ "password", CONF_SECRET, 0, CONF_AT(struct config_postgresql, password),
	  .doc = "In place of the url's.", .example = "{file: /etc/osbd/database-password}" },
	{ "connections", CONF_INT, 0, CONF_AT(struct config_postgresql, connections),
	  .fallback = "8", .min = 2, .max = 100,
	  .doc = "Connections that this node opens at most, beside one that listens." },
	{ "connect_timeout", CONF_DURATION, 0, CONF_AT(struct config_postgresql, connect),
	  .fallback = "5s", .min = 100, .max = 60000,
	  .doc = "For the address, the connection, TLS and authentication." },
	{ "statement_timeout", CONF_DURATION, 0, CONF_AT(struct config_postgresql, statement),
	  .fallback = "5s", .min = 100, .max = 60000,
	  .doc = "For each statement, enforced by the server." },
	{ 0 },
};

static const struct conf_key store_rows[] = {
	{ "sqlite", CONF_OBJECT, CONF_OPTIONAL, CONF_AT(struct config_file, sqlite),
	  .rows = sqlite_rows, .size = sizeof(struct config_sqlite_row),
	  .doc = "An SQLite database, which this process has for itself. The default." },
	{ "postgresql", CONF_OBJECT, CONF_OPTIONAL | CONF_HIDDEN,
	  CONF_AT(struct config_file, postgresql), .rows = postgresql_rows,
	  .size = sizeof(struct config_postgresql),
	  .doc = "In place of sqlite: a PostgreSQL database that many osbd share. Needs seal.keys, "
		 "the same on all nodes." },
	{ "memory", CONF_CUSTOM, CONF_HIDDEN, CONF_AT(struct config_file, memory),
	  .decode = decode_memory, .kind = "empty mapping", .example = "{}",
	  .doc = "In place of sqlite: nothing survives the process. For tests." },
	{ 0 },
};

static void wipe_key(void *key)
{
	mem_wipe(key, CONFIG_SEAL_KEY);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_hex(struct str text, uint8_t *out)
{
	int high, low;
	size_t i;

	if (text.n != 2 * (size_t)CONFIG_SEAL_KEY)
		return false;
	for (i = 0; i < CONFIG_SEAL_KEY; i++) {
		high = hex_digit(text.p[2 * i]);
		low = hex_digit(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool from_base64(struct str text, uint8_t *out)
{
	struct arena scratch = { 0 };
	struct str bytes = { NULL, 0 };
	bool good = base64_decode(&scratch, text, &bytes) == 0 && bytes.n == CONFIG_SEAL_KEY;

	if (good)
		memcpy(out, bytes.p, CONFIG_SEAL_KEY);
	if (bytes.p)
		mem_wipe((char *)bytes.p, bytes.n);
	arena_finish(&scratch);
	return good;
}

static void decode_key(struct conf *conf, const struct json *node, void *field)
{
	size_t before = conf->errors->n_errors;
	struct secret secret = { 0 };
	struct str text;

	conf_value(conf, &secret_row, node, &secret);
	if (conf->errors->n_errors != before)
		return;
	text = secret_reveal(&secret); /* the arena's */
	arena_defer(conf->arena, wipe_key, field);
	if (!from_hex(text, field) && !from_base64(text, field))
		conf_error(conf, node, "must be %d bytes, as %d hexadecimal digits or in base64",
			   CONFIG_SEAL_KEY, 2 * CONFIG_SEAL_KEY);
}

static const struct conf_key seal_key_rows[] = {
	{ "id", CONF_STRING, CONF_REQUIRED, CONF_AT(struct config_seal_key, id),
	  .check = config_check_name, .doc = "Its name, which is stored with all that it seals.",
	  .example = "2026-11" },
	{ "key", CONF_CUSTOM, CONF_REQUIRED, CONF_AT(struct config_seal_key, key),
	  .decode = decode_key, .kind = "secret",
	  .doc = "32 random bytes as 64 hexadecimal digits or in base64, as `openssl rand -hex 32` "
		 "makes them: {file: PATH} or {env: NAME}.",
	  .example = "{file: seal.key}" },
	{ 0 },
};

static const struct conf_key seal_rows[] = {
	{ "keys", CONF_LIST, 0,
	  CONF_LIST_AT(struct config_file, config.seal_keys, config.n_seal_keys),
	  .rows = seal_key_rows, .max = 16,
	  .doc = "The first key seals, all of them open: put a new one in front, and take the old "
		 "one "
		 "away when everything is sealed anew." },
	{ 0 },
};

/* -- limits, children, proxy ------------------------------------------------------------- */

#define LIMIT(field) CONF_AT(struct config_limits, field)

static const struct conf_key limits_rows[] = {
	{ "max_running", CONF_INT, CONF_RELOADABLE, LIMIT(max_running), .fallback = "64", .min = 1,
	  .max = 10000, .doc = "Operations that run at once here, of all services together." },
	{ "max_waiting", CONF_INT, CONF_RELOADABLE, LIMIT(max_waiting), .fallback = "1000",
	  .max = 1000000,
	  .doc = "Accepted operations that wait for their turn; past that a new one gets 429 and "
		 "nothing is written." },
	{ "sync_within", CONF_DURATION, CONF_RELOADABLE, LIMIT(sync_within), .fallback = "50s",
	  .min = 100, .max = 10 * MINUTE,
	  .doc = "What a request without accepts_incomplete may take. Platforms give up after "
		 "60s." },
	{ "answer_within", CONF_DURATION, CONF_RELOADABLE, LIMIT(answer_within), .fallback = "45s",
	  .min = 100, .max = 10 * MINUTE,
	  .doc = "What an asynchronous request waits for the step that makes its first answer; "
		 "then "
		 "the answer is 202 without it." },
	{ "keep_ended", CONF_DURATION, CONF_RELOADABLE, LIMIT(keep_ended), .fallback = "1d",
	  .max = 3650 * DAY,
	  .doc = "How long last_operation of something that was deleted says succeeded." },
	{ "keep_gone", CONF_DURATION, CONF_RELOADABLE, LIMIT(keep_gone), .fallback = "8d",
	  .max = 3650 * DAY,
	  .doc = "How long it says 410 after that. Platforms poll for up to 7 days." },
	{ "body", CONF_SIZE, 0, LIMIT(body), .fallback = "1M", .min = KIB, .max = 64 * MIB,
	  .doc = "The body of a request; a larger one gets 413." },
	{ "headers", CONF_SIZE, 0, LIMIT(headers), .fallback = "32k", .min = KIB, .max = MIB,
	  .doc = "All headers of a request; more get 431." },
	{ "target", CONF_SIZE, 0, LIMIT(target), .fallback = "8k", .min = 256, .max = 64 * KIB,
	  .doc = "The URL of a request; a longer one gets 414." },
	{ "connections", CONF_INT, 0, LIMIT(connections), .fallback = "10000", .min = 1,
	  .max = 1000000, .doc = "Connections of one listener; more wait to be accepted." },
	{ "header_timeout", CONF_DURATION, 0, LIMIT(header_timeout), .fallback = "10s", .min = 100,
	  .max = DAY, .doc = "From the first byte of a request to the end of its headers." },
	{ "body_timeout", CONF_DURATION, 0, LIMIT(body_timeout), .fallback = "60s", .min = 100,
	  .max = DAY, .doc = "From there to the end of its body." },
	{ "idle_timeout", CONF_DURATION, 0, LIMIT(idle_timeout), .fallback = "75s", .min = 100,
	  .max = DAY, .doc = "Between two requests of a connection." },
	{ "write_timeout", CONF_DURATION, 0, LIMIT(write_timeout), .fallback = "30s", .min = 100,
	  .max = DAY, .doc = "For a peer that does not read its answer." },
	{ "ticket_rotation", CONF_DURATION, 0, LIMIT(ticket_rotation), .fallback = "12h",
	  .min = 1000, .max = 7 * DAY,
	  .doc = "How long a key of TLS session tickets is used for new ones. The keys are made in "
		 "the store: every node opens the tickets of all." },
	{ "linger", CONF_DURATION, CONF_RELOADABLE, LIMIT(linger), .fallback = "0", .max = HOUR,
	  .doc = "For how long requests are still accepted after SIGTERM, while /readyz says no: "
		 "until a balancer has seen it." },
	{ "drain", CONF_DURATION, CONF_RELOADABLE, LIMIT(drain), .fallback = "60s", .max = DAY,
	  .doc = "What is left to requests and programs after SIGTERM." },
	{ "child_silence", CONF_DURATION, 0, LIMIT(child_silence), .fallback = "12s", .min = 100,
	  .max = HOUR,
	  .doc = "How long the programs that osbd runs outlive an osbd that is stopped." },
	{ "lease", CONF_DURATION, 0, LIMIT(lease), .fallback = "15s", .min = 2000, .max = HOUR,
	  .doc = "After so much silence of a node others take over what it was doing, where nodes "
		 "share a store. It is renewed three times as often; the same for all nodes." },
	{ 0 },
};

static const struct conf_name keep_names[] = {
	{ "never", CONFIG_KEEP_NEVER },
	{ "failed", CONFIG_KEEP_FAILED },
	{ "always", CONFIG_KEEP_ALWAYS },
	{ NULL, 0 },
};

static const struct conf_key children_rows[] = {
	{ "supervisor", CONF_PATH, 0, CONF_AT(struct config_children, supervisor),
	  .doc = "The program osbd-child, under which all others are run; beside osbd when "
		 "absent." },
	{ "directory", CONF_PATH, 0, CONF_AT(struct config_children, directory),
	  .doc = "Where each run gets a directory of its own; `runs` beside the SQLite file, or "
		 "beside "
		 "the configuration file, when absent." },
	{ "keep", CONF_ENUM, CONF_RELOADABLE, CONF_AT(struct config_children, keep),
	  .fallback = "never", .names = keep_names,
	  .doc = "Which of these directories stay after the run, for people to look into. They may "
		 "hold secrets." },
	{ 0 },
};

static const struct conf_key proxy_rows[] = {
	{ "http", CONF_STRING, CONF_RELOADABLE, CONF_AT(struct config_proxy, http),
	  .doc = "For http URLs; HTTP_PROXY or http_proxy of the environment when absent." },
	{ "https", CONF_STRING, CONF_RELOADABLE, CONF_AT(struct config_proxy, https),
	  .doc = "For https URLs; HTTPS_PROXY or https_proxy of the environment when absent." },
	{ "no_proxy", CONF_STRING, CONF_RELOADABLE, CONF_AT(struct config_proxy, no_proxy),
	  .doc = "Hosts that are asked directly; NO_PROXY or no_proxy of the environment when "
		 "absent." },
	{ 0 },
};

/* -- services ---------------------------------------------------------------------------- */

static const struct conf_key maintenance_rows[] = {
	{ "version", CONF_STRING, CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct config_maintenance, version),
	  .doc = "A semantic version; a platform offers an upgrade to instances that have another.",
	  .example = "1.0.0" },
	{ "description", CONF_STRING, CONF_NONEMPTY,
	  CONF_AT(struct config_maintenance, description),
	  .doc = "What the upgrade means for users." },
	{ 0 },
};

static const struct conf_name async_names[] = {
	{ "sync", CONFIG_ASYNC_SYNC },
	{ "async", CONFIG_ASYNC_ASYNC },
	{ "both", CONFIG_ASYNC_BOTH },
	{ NULL, 0 },
};

static void check_plan(struct conf *conf, const struct json *node, void *item)
{
	struct config_plan *plan = item;

	plan->node = node;
	plan->path = arena_str(conf->arena, buf_str(&conf->path));
	if (plan->maximum_polling_duration % SECOND)
		conf_error(conf, json_get(node, "maximum_polling_duration"),
			   "maximum_polling_duration must be whole seconds");
	if (!json_get(node, "renew_before"))
		plan->renew_before = plan->binding_lifetime - plan->binding_lifetime / 5;
	else if (!plan->binding_lifetime)
		conf_error(conf, json_get(node, "renew_before"),
			   "renew_before means nothing without binding_lifetime");
	else if (plan->renew_before > plan->binding_lifetime)
		conf_error(conf, json_get(node, "renew_before"),
			   "renew_before must not be longer than binding_lifetime");
}

#define PLAN(field) CONF_AT(struct config_plan, field)

static const struct conf_key plan_rows[] = {
	{ "name", CONF_STRING, CONF_NONEMPTY, PLAN(name),
	  .doc = "Its name, which users type: letters, digits, dots and hyphens.",
	  .example = "small" },
	{ "id", CONF_STRING, CONF_NONEMPTY, PLAN(id),
	  .doc = "Its id, never to be changed; derived from the names when absent." },
	{ "description", CONF_STRING, CONF_NONEMPTY, PLAN(description),
	  .doc = "A sentence for users.", .example = "One small database." },
	{ "free", CONF_BOOL, 0, PLAN(free), .fallback = "true",
	  .doc = "Whether it costs nothing." },
	{ "bindable", CONF_TRI, 0, PLAN(bindable),
	  .doc = "Whether instances can be bound; as the service says when absent." },
	{ "plan_updateable", CONF_TRI, 0, PLAN(plan_updateable),
	  .doc = "Whether instances can change from this plan to another; as the service says when "
		 "absent." },
	{ "binding_rotatable", CONF_BOOL, 0, PLAN(binding_rotatable), .fallback = "false",
	  .doc = "Whether a binding can follow another one (predecessor_binding_id)." },
	{ "binding_lifetime", CONF_DURATION, 0, PLAN(binding_lifetime), .min = SECOND,
	  .max = 3650 * DAY,
	  .doc = "When a binding expires (expires_at): osbd then takes the credentials away "
		 "itself. "
		 "Never when absent." },
	{ "renew_before", CONF_DURATION, 0, PLAN(renew_before), .min = SECOND, .max = 3650 * DAY,
	  .doc = "How long after it was made a binding should have been renewed (renew_before); 80 "
		 "% "
		 "of binding_lifetime when absent." },
	{ "maximum_polling_duration", CONF_DURATION, 0, PLAN(maximum_polling_duration),
	  .min = SECOND, .max = 365 * DAY,
	  .doc = "The deadline of an operation, and how long a platform polls for it; in whole "
		 "seconds." },
	{ "maintenance_info", CONF_OBJECT, CONF_OPTIONAL | CONF_HIDDEN, PLAN(maintenance),
	  .rows = maintenance_rows, .size = sizeof(struct config_maintenance),
	  .doc = "The version of what instances of the plan are made of." },
	{ "async", CONF_ENUM, 0, PLAN(async), .names = async_names,
	  .doc = "How operations run: while the request waits, after a 202, or as the platform "
		 "asks; "
		 "as the backend says when absent." },
	{ "metadata", CONF_JSON, CONF_OBJECT_ONLY, PLAN(metadata),
	  .doc = "Shown in the catalog as it is: displayName, bullets, costs.",
	  .example = "{displayName: Small}" },
	{ "schemas", CONF_JSON, CONF_OBJECT_ONLY, PLAN(schemas),
	  .doc = "JSON schemas of the parameters: service_instance.create.parameters, "
		 "service_instance.update.parameters, service_binding.create.parameters." },
	{ "config", CONF_JSON, CONF_OBJECT_ONLY, PLAN(config),
	  .doc = "What the backend wants to know of the plan." },
	{ 0 },
};

static const struct conf_key dashboard_client_rows[] = {
	{ "id", CONF_STRING, CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct config_dashboard_client, id), .doc = "The OAuth client's id.",
	  .example = "database-dashboard" },
	{ "secret", CONF_SECRET, CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct config_dashboard_client, secret),
	  .doc = "Its secret. It stands in the catalog: platforms want to know it.",
	  .example = "{file: dashboard-secret}" },
	{ "redirect_uri", CONF_STRING, CONF_NONEMPTY,
	  CONF_AT(struct config_dashboard_client, redirect_uri),
	  .doc = "Where users come back to; Cloud Foundry demands it.",
	  .example = "https://dashboard.example.org/" },
	{ 0 },
};

static const struct conf_name with_bindings_names[] = {
	{ "refuse", CONFIG_REFUSE },
	{ "unbind", CONFIG_UNBIND },
	{ "ignore", CONFIG_IGNORE },
	{ NULL, 0 },
};

static const struct conf_name requires_names[] = {
	{ "syslog_drain", CONFIG_SYSLOG_DRAIN },
	{ "route_forwarding", CONFIG_ROUTE_FORWARDING },
	{ "volume_mount", CONFIG_VOLUME_MOUNT },
	{ NULL, 0 },
};

static const struct conf_key tag_row = { "", CONF_STRING, CONF_NONEMPTY };

static void check_service(struct conf *conf, const struct json *node, void *item)
{
	struct config_service *service = item;

	service->node = node;
	service->path = arena_str(conf->arena, buf_str(&conf->path));
	service->has_plans = json_get(node, "plans") != NULL;
}

#define SERVICE(field) CONF_AT(struct config_service, field)

static const struct conf_key service_rows[] = {
	{ "name", CONF_STRING, CONF_NONEMPTY, SERVICE(name),
	  .doc = "Its name, which users type: letters, digits, dots and hyphens.",
	  .example = "database" },
	{ "id", CONF_STRING, CONF_NONEMPTY, SERVICE(id),
	  .doc = "Its id, never to be changed; derived from the name when absent." },
	{ "description", CONF_STRING, CONF_NONEMPTY, SERVICE(description),
	  .doc = "A sentence for users.", .example = "Databases that are made on demand." },
	{ "backend", CONF_STRING, CONF_REQUIRED | CONF_NONEMPTY, SERVICE(backend),
	  .doc = "What makes the instances: demo or bundle.", .example = "demo" },
	{ "tags", CONF_LIST, 0, CONF_LIST_AT(struct config_service, tags, n_tags), .item = &tag_row,
	  .doc = "What the service is like, for applications that look for one.",
	  .example = "[sql]" },
	{ "requires", CONF_FLAGS, 0, SERVICE(requires), .names = requires_names,
	  .doc = "What bindings need the platform's permission for." },
	{ "bindable", CONF_TRI, 0, SERVICE(bindable),
	  .doc = "Whether instances can be bound, unless their plan says otherwise; true when "
		 "absent and the backend can do it." },
	{ "plan_updateable", CONF_BOOL, 0, SERVICE(plan_updateable), .fallback = "false",
	  .doc = "Whether instances can change their plan, unless the plan says otherwise." },
	{ "requires_app", CONF_BOOL, 0, SERVICE(requires_app), .fallback = "false",
	  .doc = "Whether a bind must name an application; one that does not is answered with "
		 "422 RequiresApp." },
	{ "instances_retrievable", CONF_BOOL, 0, SERVICE(instances_retrievable), .fallback = "true",
	  .doc = "Whether instances can be fetched." },
	{ "bindings_retrievable", CONF_BOOL, 0, SERVICE(bindings_retrievable), .fallback = "true",
	  .doc = "Whether bindings can be fetched; asynchronous ones must." },
	{ "allow_context_updates", CONF_BOOL, 0, SERVICE(allow_context_updates),
	  .fallback = "false",
	  .doc = "Whether a platform may update nothing but the context, such as a space's name." },
	{ "metadata", CONF_JSON, CONF_OBJECT_ONLY, SERVICE(metadata),
	  .doc = "Shown in the catalog as it is: displayName, imageUrl, longDescription, "
		 "providerDisplayName, documentationUrl, supportUrl, shareable.",
	  .example = "{displayName: Database}" },
	{ "dashboard_client", CONF_OBJECT, CONF_OPTIONAL | CONF_HIDDEN, SERVICE(dashboard_client),
	  .rows = dashboard_client_rows, .size = sizeof(struct config_dashboard_client),
	  .doc = "The OAuth client that the platform makes for the service's dashboard." },
	{ "with_bindings", CONF_ENUM, 0, SERVICE(with_bindings), .fallback = "refuse",
	  .names = with_bindings_names,
	  .doc = "What becomes of the deletion of an instance that still has bindings: it is "
		 "refused, "
		 "they are unbound first, or they are left to the platform." },
	{ "max_running", CONF_INT, CONF_RELOADABLE, SERVICE(max_running), .fallback = "0",
	  .max = 10000,
	  .doc = "Operations of this service that run at once here; 0 is as many as suit its "
		 "backend." },
	{ "retry_after_bindings", CONF_BOOL, CONF_RELOADABLE, SERVICE(retry_after_bindings),
	  .fallback = "true",
	  .doc = "Whether answers about bindings in progress say when to ask again. Some platforms "
		 "mistake it." },
	{ "plans", CONF_LIST, CONF_RELOADABLE, CONF_LIST_AT(struct config_service, plans, n_plans),
	  .rows = plan_rows, .each = check_plan,
	  .doc = "What users choose from. Some backends make plans themselves." },
	{ "config", CONF_JSON, CONF_OBJECT_ONLY, SERVICE(config),
	  .doc = "What the backend wants to know: see its own documentation." },
	{ 0 },
};

/* -- the whole --------------------------------------------------------------------------- */

static const struct conf_name authentication_names[] = {
	{ "basic", CONFIG_AUTH_BASIC },
	{ "none", CONFIG_AUTH_NONE },
	{ NULL, 0 },
};

#define FILE_(field) CONF_AT(struct config_file, field)

const struct conf_key config_file_rows[] = {
	{ "listen", CONF_LIST, 0, CONF_LIST_AT(struct config_file, config.listen, config.n_listen),
	  .rows = config_listen_rows, .fallback = "[{address: 127.0.0.1:8080}]", .min = 1,
	  .max = 64, .each = config_check_listen,
	  .doc = "Where requests are taken. Without TLS: only from this machine, or behind a "
		 "server that speaks it." },
	{ "admin", CONF_OBJECT, 0, CONF_AT(struct config_file, config.admin),
	  .rows = config_admin_rows, .size = sizeof(struct config_admin),
	  .doc = "Where /healthz (alive), /readyz (ready for requests), /metrics (Prometheus text) "
		 "and /orphans are served. Nowhere unless it is said." },
	{ "platforms", CONF_LIST, CONF_RELOADABLE,
	  CONF_LIST_AT(struct config_file, config.platforms, config.n_platforms),
	  .rows = config_platform_rows, .fallback = "[{name: default}]", .min = 1, .max = 64,
	  .doc = "Who may have instances here: each platform sees its own." },
	{ "authentication", CONF_ENUM, CONF_RELOADABLE, FILE_(authentication), .fallback = "basic",
	  .names = authentication_names,
	  .doc = "How users show who they are: name and password, or not at all, which is allowed "
		 "only "
		 "while every listener is on loopback or a unix socket." },
	{ "users", CONF_LIST, CONF_RELOADABLE, CONF_LIST_AT(struct config_file, users, n_users),
	  .rows = user_rows, .each = check_user,
	  .doc = "Who may ask. At least one, unless authentication is none." },
	{ "log", CONF_OBJECT, CONF_RELOADABLE, FILE_(config.log), .rows = log_rows,
	  .size = sizeof(struct config_log), .doc = "Lines on the standard error." },
	{ "store", CONF_OBJECT, 0, .width = sizeof(struct config_file), .rows = store_rows,
	  .size = sizeof(struct config_file), .check = check_store,
	  .doc = "Where instances, bindings and operations are kept." },
	{ "seal", CONF_OBJECT, CONF_HIDDEN, .width = sizeof(struct config_file), .rows = seal_rows,
	  .size = sizeof(struct config_file),
	  .doc = "Keys for credentials and parameters in the store. Without them an SQLite store "
		 "makes one beside its file." },
	{ "limits", CONF_OBJECT, CONF_RELOADABLE, FILE_(config.limits), .rows = limits_rows,
	  .size = sizeof(struct config_limits), .doc = "How much, how many, how long." },
	{ "children", CONF_OBJECT, 0, FILE_(config.children), .rows = children_rows,
	  .size = sizeof(struct config_children), .doc = "The programs that osbd runs." },
	{ "proxy", CONF_OBJECT, CONF_RELOADABLE, FILE_(config.proxy), .rows = proxy_rows,
	  .size = sizeof(struct config_proxy),
	  .doc = "What programs that osbd runs reach others by." },
	{ "services", CONF_LIST, CONF_RELOADABLE,
	  CONF_LIST_AT(struct config_file, config.services, config.n_services),
	  .rows = service_rows, .each = check_service, .doc = "What is offered." },
	{ 0 },
};
