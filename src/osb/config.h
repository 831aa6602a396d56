/* osb/config: osbd's own configuration file as C structs.
 *
 * One YAML file becomes one immutable struct config, a generation: it and all it points to live
 * in the arena given, secrets are wiped when that arena is finished. Durations are milliseconds,
 * sizes bytes. A struct str that was absent is {NULL, 0}, a present one has a NUL behind it.
 * Every field's default, bounds and meaning for operators stand in the rows (config.c), from
 * which conf/osbd.reference.yml and man/osbd.yml.5 are generated.
 *
 * What is checked here: each value by its row, names and ids that must differ, addresses, key
 * material, references from users to platforms, and that a daemon without users is reachable
 * from this machine only. What is not: whether a backend of that name exists and what its
 * `config` means (the backend's own rows), and what a platform demands of a catalog
 * (osb/catalog, which also derives absent ids).
 *
 * Errors: all at once in conf_errors, as `file:line:column: path: what`. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_CONFIG_H
#define OSBD_OSB_CONFIG_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/cidr.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/log.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_BYTES_MAX (8 << 20) /* of the configuration file */
#define CONFIG_SEAL_KEY 32         /* bytes of a sealing key */
#define CONFIG_PASSWORDS 2         /* valid at once */

struct config_tls_pair {
	struct str certificate, key; /* absolute paths of PEM files */
};

enum config_clients { CONFIG_CLIENTS_OPTIONAL, CONFIG_CLIENTS_REQUIRED };
enum config_tls_version { CONFIG_TLS_12 = 12, CONFIG_TLS_13 = 13 };

/* How a listener speaks TLS; src/tls reads the files. */
struct config_tls {
	struct config_tls_pair first, *more;
	size_t n_more;
	struct str client_ca; /* absolute path; absent: clients are not asked for a certificate */
	enum config_clients client;
	enum config_tls_version min_version;
	struct str *suites; /* names; none: all there are */
	size_t n_suites;
};

enum config_proxy_protocol { CONFIG_PROXY_OFF, CONFIG_PROXY_REQUIRED };

struct config_listen {
	struct str address; /* "127.0.0.1:8080", "[::1]:0", "unix:/run/osbd.sock" as core/net wants
			     * them; "systemd:NAME": core/activation knows the sockets */
	struct str prefix;  /* "/" or "/osb", never with a slash at its end */
	bool local;         /* loopback or unix, without proxies: only this machine gets there */
	bool reuse_port;
	enum config_proxy_protocol proxy_protocol;
	bool forwarded;
	struct cidr *trusted;
	size_t n_trusted;
	const struct config_tls *tls; /* NULL: without */
};

/* Where health, metrics and administration are; absent ones are not listened on. */
struct config_admin {
	struct config_listen listen; /* its address may be absent */
	struct str socket;           /* absolute path of a unix socket */
};

/* A platform: who speaks to us, behind an URL prefix of its own; it sees its own instances. */
struct config_platform {
	struct str name;
	struct str prefix; /* as above; stands behind the listener's */
};

enum config_role {
	CONFIG_PLATFORM, /* the Open Service Broker API */
	CONFIG_OPERATOR, /* administration too */
	CONFIG_MONITOR,  /* health and metrics only */
};

struct config_password {
	bool crypt; /* text is a crypt(3) hash, else the password itself */
	struct secret text;
};

struct config_user {
	const struct json *node;
	struct str name;
	struct config_password passwords[CONFIG_PASSWORDS];
	size_t n_passwords;     /* 0 to 2 */
	struct str certificate; /* a name in the client's certificate that stands for a password;
				 * may be absent where there are passwords */
	enum config_role role;
	const struct config_platform *platform; /* NULL: every platform */
};

struct config_log {
	enum log_level level;
	enum log_format format;
};

enum config_store_kind { CONFIG_SQLITE, CONFIG_MEMORY, CONFIG_POSTGRESQL };

struct config_postgresql {
	struct secret url, password;
	int64_t connections;
	uint64_t connect, statement; /* ms */
};

struct config_store {
	enum config_store_kind kind;
	struct str path; /* CONFIG_SQLITE: absolute */
	const struct config_postgresql *postgresql;
};

struct config_seal_key {
	struct str id;
	uint8_t key[CONFIG_SEAL_KEY]; /* wiped with the arena */
};

struct config_limits {
	int64_t max_running;            /* operations at once on this node, all backends together */
	int64_t max_waiting;            /* accepted operations without a slot; past it 429 */
	uint64_t sync_within;           /* ms a request without accepts_incomplete may take */
	uint64_t answer_within;         /* ms until the first answer of an asynchronous one */
	uint64_t keep_ended;            /* ms an ended operation answers 200 */
	uint64_t keep_gone;             /* ms after that that it answers 410 */
	uint64_t body, headers, target; /* bytes: 413, 431, 414 */
	int64_t connections;            /* per listener */
	uint64_t header_timeout, body_timeout, idle_timeout, write_timeout; /* ms */
	uint64_t ticket_rotation; /* ms that a key of TLS session tickets seals */
	uint64_t linger;          /* ms between not being ready and no longer accepting */
	uint64_t drain;           /* ms for requests and children after SIGTERM */
	uint64_t child_silence;   /* ms that children outlive an osbd that is stopped */
	uint64_t lease;           /* ms after which others take over from a node that is silent */
};

enum config_keep { CONFIG_KEEP_NEVER, CONFIG_KEEP_FAILED, CONFIG_KEEP_ALWAYS };

struct config_children {
	struct str supervisor; /* absolute path of osbd-child; absent: beside osbd */
	struct str directory;  /* absolute: run directories are made below it */
	enum config_keep keep; /* run directories after the run */
};

struct config_proxy { /* absent ones: from the environment, both spellings; else absent */
	struct str http, https, no_proxy;
};

struct config_dashboard_client {
	struct str id;
	struct secret secret;
	struct str redirect_uri; /* may be absent */
};

struct config_maintenance {
	struct str version;     /* not yet known to be a semantic version: osb/catalog looks */
	struct str description; /* may be absent */
};

enum config_async { CONFIG_ASYNC_UNSET, CONFIG_ASYNC_SYNC, CONFIG_ASYNC_ASYNC, CONFIG_ASYNC_BOTH };

struct config_plan {
	const struct json *node;          /* position for messages */
	struct str name, id, description; /* may be absent */
	bool free;
	enum conf_tri bindable;        /* CONF_ABSENT: as the service says */
	enum conf_tri plan_updateable; /* the same */
	bool binding_rotatable;
	const struct json *metadata;                  /* a mapping; NULL = absent */
	const struct json *schemas;                   /* the same; as in the catalog */
	uint64_t maximum_polling_duration;            /* ms; 0 = absent. Whole seconds. */
	const struct config_maintenance *maintenance; /* maintenance_info; NULL = absent */
	uint64_t binding_lifetime;                    /* ms; 0 = bindings do not expire */
	uint64_t renew_before; /* ms after the binding was made; at most the lifetime; 80 % of
				    * it when absent; 0 without a lifetime */
	enum config_async async;
	const struct json *config; /* the backend's; NULL = absent */
	struct str path;           /* "services[0].plans[1]": config stands at path.config */
};

enum config_with_bindings { CONFIG_REFUSE, CONFIG_UNBIND, CONFIG_IGNORE };

enum config_requires { /* bits */
		       CONFIG_SYSLOG_DRAIN = 1,
		       CONFIG_ROUTE_FORWARDING = 2,
		       CONFIG_VOLUME_MOUNT = 4,
};

struct config_service {
	const struct json *node;
	struct str name, id, description; /* may be absent: a backend may make them */
	struct str backend;
	struct str *tags;
	size_t n_tags;
	unsigned requires;      /* enum config_requires */
	enum conf_tri bindable; /* CONF_ABSENT: true, unless the backend knows better */
	bool plan_updateable;
	bool requires_app; /* binds need an app_guid: 422 RequiresApp */
	bool instances_retrievable, bindings_retrievable;
	bool allow_context_updates;
	const struct json *metadata;                            /* a mapping; NULL = absent */
	const struct config_dashboard_client *dashboard_client; /* NULL = absent */
	enum config_with_bindings with_bindings;
	int64_t max_running;       /* per node; 0 = the backend's default */
	bool retry_after_bindings; /* Retry-After on answers about bindings */
	struct config_plan *plans;
	size_t n_plans;            /* 0 = the backend's own */
	bool has_plans;            /* `plans:` was there */
	const struct json *config; /* the backend's; NULL = absent */
	struct str path;           /* "services[0]" */
};

struct config {
	const struct json *node; /* the whole document */
	struct str file;         /* name for messages */
	struct str dir;          /* absolute directory that relative paths start from */
	struct config_listen *listen;
	size_t n_listen; /* at least 1 */
	struct config_admin admin;
	struct config_platform *platforms;
	size_t n_platforms; /* at least 1; absent: "default" at "/" */
	struct config_user *users;
	size_t n_users;
	bool authenticate; /* false: `authentication: none`, everybody here is a platform */
	struct config_log log;
	struct config_store store;
	struct config_seal_key *seal_keys;
	size_t n_seal_keys; /* 0: the store makes its own */
	struct config_limits limits;
	struct config_children children;
	struct config_proxy proxy;
	struct config_service *services;
	size_t n_services;
};

/* Reads and decodes a file. errors->file and ->dir are set, for what is checked later about this
 * configuration. 0, and errors may hold warnings; else ERR_NOENT, ERR_ACCESS, ERR_IO, ERR_TOOBIG,
 * ERR_SYNTAX or ERR_INVALID with at least one error in errors, and *out is not set. */
MUST_CHECK int config_load(const char *path, struct arena *arena, struct config **out,
			   struct conf_errors *errors);
/* The same from text; file is a name for messages, dir where relative paths start. */
MUST_CHECK int config_parse(struct str text, const char *file, const char *dir, struct arena *arena,
			    struct config **out, struct conf_errors *errors);

const struct conf_key *config_rows(void);
/* conf/osbd.reference.yml and man/osbd.yml.5, whole. */
void config_reference(struct buf *buf);
void config_man(struct buf *buf);

#endif
