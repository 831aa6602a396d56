/* backends/database: what the backends of databases have in common.
 *
 *   servers   a service has one or more, a plan may name some of them; an instance stands on one, whose
 *             name is kept with it. Capacity is counted by the marks on the server itself, under
 *             a lock of the server: whatever carries a mark takes room, whether osbd still knows
 *             of it or not, and a mark is there before anything else is made.
 *   names     an instance is d and 31 hex digits of SHA-256 of the platform's name and its id with NUL
 *             between; a binding b and 31 of these with NUL and its id behind them
 *   passwords of bindings: made once, in the memo before a server hears of their hash
 *   full      databases that hold more than their plan's storage, as the last look at each server
 *             found them; said in GET of the instance and in metrics
 *
 * A backend's own struct embeds struct database first. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_DATABASE_H
#define OSBD_BACKENDS_DATABASE_H

#include "osb/backend.h"

#define DATABASE_NAME 33     /* bytes of a derived name, with its NUL */
#define DATABASE_PASSWORD 32 /* characters of a binding's password: 165 bits */
#define DATABASE_SERVERS 64  /* of a service, at most */

struct database_tls {
	struct str ca;   /* path */
	struct str name; /* that the certificate must be for; absent: host */
};

struct database_server {
	struct str name, host, user;
	struct str public_host; /* that applications get; absent: host */
	int64_t port;
	struct secret password, other_password;
	struct database_tls *tls; /* NULL: none */
	struct str ca;            /* PEM text that applications get; empty: no TLS */
	int64_t databases;        /* at most; 0: any number */
	uint64_t storage;         /* bytes that plans may promise; 0: any */
	int64_t sessions;         /* of ours at a time */
	bool path;                /* host is a unix socket */
	size_t index;
};

struct database_config {
	struct database_server *servers;
	size_t n_servers;
	struct str dashboard_url; /* template; absent: none */
	struct str collation;
	struct str maintenance; /* where osbd works on a server; for backends that need one */
	uint64_t quota_every;   /* ms */
};

struct database_plan {
	int64_t connections, all_connections; /* of each user; of a database */
	uint64_t storage;                     /* bytes; 0: no limit */
	struct str collation;
	struct str *server_names, *changes_to;
	size_t n_server_names, n_changes_to;
	uint64_t servers; /* a bit for each that it may use */
	bool any_change;  /* changes_to is absent */
};

/* What is known of a server besides its configuration. */
struct database_state {
	char (*full)[DATABASE_NAME]; /* databases over their quota */
	size_t n_full;
	struct metric full_gauge, databases_gauge, storage_gauge;
};

struct database_quota;
struct database_scripts;

struct database {
	struct backend base; /* first */
	const struct database_scripts *scripts;
	struct database_config config;
	struct database_state *states; /* of each server */
	const struct offering *offering;
	bool shown; /* its metrics are registered */
	/* backends/database_quota */
	struct database_quota **quotas; /* the backend's, of each server */
	size_t n_looking;
	void (*stopped)(void *data);
	void *stopped_data;
};

/* Rows of a server, and those that every service and plan has: the last row is the backend's, or {0}. */
extern const struct conf_key database_server_rows[];
#define DATABASE_SERVICE_ROWS                                                                      \
	{ .name = "servers",                                                                       \
	  .type = CONF_LIST,                                                                       \
	  .flags = CONF_REQUIRED,                                                                  \
	  CONF_LIST_AT(struct database_config, servers, n_servers),                                \
	  .min = 1,                                                                                \
	  .max = DATABASE_SERVERS,                                                                 \
	  .rows = database_server_rows,                                                            \
	  .doc = "The servers that databases of this service stand on. Of those that a "           \
		 "plan may use, a new one goes to the one with most room, then with the "          \
		 "fewest." },                                                                      \
		{ .name = "dashboard_url",                                                         \
		  .type = CONF_STRING,                                                             \
		  .flags = CONF_HIDDEN | CONF_NONEMPTY,                                            \
		  CONF_AT(struct database_config, dashboard_url),                                  \
		  .check = database_check_dashboard,                                               \
		  .doc = "What instances get as dashboard_url; `{instance_id}`, `{database}` and " \
			 "`{server}` are filled in. Absent: they get none.",                       \
		  .example = "https://dashboard.example.com/databases/{instance_id}" },            \
	{                                                                                          \
		.name = "quota_every", .type = CONF_DURATION,                                      \
		CONF_AT(struct database_config, quota_every), .fallback = "5s", .min = 100,        \
		.max = (int64_t)HOUR(1),                                                           \
		.doc = "How often the databases of each server are measured. One that holds more " \
		       "than its plan's storage cannot be written to, but things in it can be "    \
		       "deleted, until it holds less. Of several nodes one measures."              \
	}
#define DATABASE_PLAN_ROWS                                                                       \
	{ .name = "connections",                                                                 \
	  .type = CONF_INT,                                                                      \
	  CONF_AT(struct database_plan, connections),                                            \
	  .fallback = "0",                                                                       \
	  .max = 100000,                                                                         \
	  .doc = "Connections that each binding's user may have at a time; 0 is no limit." },    \
		{ .name = "storage",                                                             \
		  .type = CONF_SIZE,                                                             \
		  CONF_AT(struct database_plan, storage),                                        \
		  .fallback = "0",                                                               \
		  .max = INT64_MAX,                                                              \
		  .doc = "What a database may hold; 0 is no limit." },                           \
		{ .name = "servers",                                                             \
		  .type = CONF_LIST,                                                             \
		  .flags = CONF_HIDDEN,                                                          \
		  CONF_LIST_AT(struct database_plan, server_names, n_server_names),              \
		  .item = &database_name_row,                                                    \
		  .min = 1,                                                                      \
		  .max = DATABASE_SERVERS,                                                       \
		  .doc = "Names of the servers that its databases may stand on; absent: all.",   \
		  .example = "[one]" },                                                          \
	{                                                                                        \
		.name = "changes_to", .type = CONF_LIST, .flags = CONF_HIDDEN,                   \
		CONF_LIST_AT(struct database_plan, changes_to, n_changes_to),                    \
		.item = &database_name_row, .max = 1000,                                         \
		.doc = "Names of the plans that an instance of this one may change to; absent: " \
		       "all.",                                                                   \
		.example = "[large]"                                                             \
	}
extern const struct conf_key database_name_row;
void database_check_dashboard(struct conf *conf, const struct json *node, void *field);

/* Decodes the service's and its plans' rows, and what follows from them: plan->data is a struct
 * database_plan. default_port: of servers that name none. 0, or ERR_INVALID with errors added. */
int database_open(struct database *database, const struct backend_env *env,
		  struct offering *offering, const struct conf_key *service_rows,
		  const struct conf_key *plan_rows, int default_port, struct arena *arena,
		  struct conf_errors *errors) MUST_CHECK;
void database_close(struct database *database);
/* The server that a name stands for; NULL when the service has none of that name. */
const struct database_server *database_find(const struct database *database, struct str name);
/* backend_type.check: parameters (read_only of a bind), and which plans change to which. */
int database_check(struct backend *backend, const struct backend_request *request,
		   struct err *err) MUST_CHECK;
/* backend_type.attributes */
const struct json *database_attributes(struct backend *backend, struct str platform,
				       struct str instance_id, struct arena *arena);

/* -- for steps ----------------------------------------------------------------------------- */

void database_derive(struct str platform, struct str instance_id, struct str binding_id,
		     char out[DATABASE_NAME]);
void database_names(const struct osb_op *op, char name[DATABASE_NAME], char user[DATABASE_NAME]);
/* Where the instance stands: the memo of its provision, or what is kept with it; NULL: nowhere
 * yet, or on a server that is not configured any more, then *unknown is its name. */
const struct database_server *database_server(const struct osb_op *op, struct str *unknown);
/* The instance is going to stand there: in the memo and with the instance. */
void database_place(struct osb_op *op, const struct database_server *server);
/* The next commit forgets it: it was full. It is not chosen again. */
void database_unplace(struct osb_op *op, const struct database_server *server);
/* The servers that the plan may use, as bits, but those that were full. */
uint64_t database_candidates(const struct osb_op *op);
/* How much of a server is left, 0 to 1; below 0: no room for one more database of that plan. */
double database_room(const struct database_server *server, const struct database_plan *plan,
		     uint64_t databases, uint64_t storage);
bool database_reader(const struct osb_op *op); /* a binding that only reads */
/* A step's ask: the password, into the memo. */
enum op_verdict database_make_password(struct op *flow);
struct str database_password(const struct osb_op *op);
/* Sets the credentials. scheme: "mysql"; jdbc: what follows user and password in jdbcUrl when
 * TLS is used, "&sslMode=VERIFY_CA"; query: the same for uri, "?sslmode=verify-ca". */
void database_hand_out(struct osb_op *op, const struct database_server *server, const char *scheme,
		       const char *jdbc, const char *query);
void database_set_dashboard(struct osb_op *op, const struct database_server *server);

/* -- what is known of servers -------------------------------------------------------------- */

/* Registers the metrics; and takes them back. */
void database_show(struct database *database);
void database_hide(struct database *database);
/* What a look at a server has found: copied. */
void database_found(struct database *database, size_t server, const struct str *full, size_t n_full,
		    uint64_t databases, uint64_t storage);

#endif
