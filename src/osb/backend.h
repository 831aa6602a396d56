/* osb/backend: what a backend is made of. The one header its author reads.
 *
 * A backend makes service instances and credentials. It is data: a struct backend_type with a
 * table of steps for each verb (core/op.h says how steps wait, are resumed and go back). One
 * struct backend is opened for each service of the configuration.
 *
 *	static const struct op_step provision_steps[] = { … };
 *	const struct backend_type backend_demo = {
 *		.name = "demo",
 *		.open = demo_open,
 *		.verb = { [STORE_PROVISION] = { .steps = provision_steps }, … },
 *	};
 *
 * A step finds all it needs in struct osb_op, and leaves its results with the osb_set_* functions:
 * they go into the memo under the key "osb", so they survive a crash with the step that made
 * them. Everything else in the memo is the backend's own.
 *
 * A create that fails or is halted goes the way back with the steps of its opposite verb:
 * provision with deprovision's, bind with unbind's, in the same struct. These must accept every
 * half-made state. So the op structs of the two are one type, of the larger size.
 *
 * last_operation, idempotency, concurrency, schemas, expiry: none of it is the backend's. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_BACKEND_H
#define OSBD_OSB_BACKEND_H

#include "core/child.h"
#include "core/conf.h"
#include "core/dns.h"
#include "journal/journal.h"
#include "osb/config.h"
#include "tls/tls_budget.h"

struct backend;
struct generation;
struct schema;
struct offering;

/* A plan as it is offered. All in the generation's arena. */
struct plan {
	const struct offering *offering;
	const struct config_plan *config; /* NULL: the backend made the plan */
	struct str id, name, description;
	bool free, bindable, plan_updateable, binding_rotatable;
	const struct json *metadata;                 /* NULL: none */
	const struct json *schemas;                  /* as in the catalog; NULL: none */
	const struct schema *create, *update, *bind; /* compiled; NULL: anything goes */
	uint64_t maximum_polling_duration;           /* ms; 0: none */
	struct str maintenance;                      /* version; empty: none */
	struct str maintenance_description;          /* empty: none */
	uint64_t binding_lifetime, renew_before;     /* ms; 0: bindings do not expire */
	enum config_async async;  /* how its operations run; UNSET: as the verb says */
	const struct json *extra; /* further members of the plan in the catalog; NULL: none */
	void *data;               /* the backend's */
};

/* A service as it is offered. */
struct offering {
	const struct config_service *config;
	struct backend *backend;
	struct str id, name, description;
	const struct json *tags; /* array of strings; NULL: none */
	unsigned requires;       /* config_requires bits */
	bool bindable, plan_updateable;
	bool instances_retrievable, bindings_retrievable, allow_context_updates;
	const struct json *metadata; /* NULL: none */
	struct plan *plans;
	size_t n_plans;
};

/* What reaches other machines; made when first asked for, shared by all backends. It outlives them,
 * because connections that they leave may take a moment to go. */
struct backend_net {
	struct loop *loop;
	struct dns *dns;
	struct tls_budget budget;
	bool has_budget;
};

/* What every backend works with. */
struct backend_env {
	struct loop *loop;
	struct child_host *children;
	const struct config *config;
	struct metrics *metrics;
	const struct log *log; /* NULL: nobody listens */
	const char *run_dir;   /* absolute, 0700, there: for directories of runs */
	struct backend_net *net;
};

struct backend {
	const struct backend_type *type;
	const struct backend_env *env;
	struct log log; /* names the service */
};

/* An operation as its steps see it. A verb's own struct embeds it first. */
struct osb_op {
	struct journal_op job; /* first; job.op is the flow: log, arena, memo */
	enum store_verb verb;  /* the operation's, also on its way back */
	struct backend *backend;
	const struct offering *offering;
	const struct plan *plan;            /* update: the new one */
	const struct plan *plan_before;     /* update: the old one; else plan */
	struct str id;                      /* the operation's, [a-z0-9-] */
	struct str platform;                /* its name: two may use the same ids */
	struct str instance_id, binding_id; /* opaque bytes of the platform: hash before use */
	struct str organization, space;     /* guids */
	/* objects, never NULL unless it is said */
	const struct json
		*parameters; /* provision, bind: as asked; update: what is asked to change;
					* deprovision, unbind: what the object has */
	const struct json *instance_parameters; /* in force; update: with the changes */
	const struct json *context;
	const struct json *previous_values; /* update; else empty */
	const struct json *bind_resource;   /* bind; app_guid is in it; else empty */
	const struct json *identity; /* {"platform": …, "value": {…}}; empty: none was sent */
	const struct json *instance_private; /* what osb_set_private() left with the instance */
	const struct json *binding_private;  /* the same for the binding */
	const struct json *credentials;      /* unbind: of the binding; NULL: none */
	struct str predecessor; /* bind: the binding that this one replaces; empty: none */
	const struct json *predecessor_response; /* its bind response; NULL: none */
	bool by_platform;                        /* false: an expiry, asked by osbd itself */
	struct generation *generation;           /* held until the op is freed */
	const struct json *request;              /* the row's, for osb/flow */
	struct unbind_all *unbind_all;           /* for osb/unbind_all */
};

struct backend_verb {
	const struct op_step *steps; /* NULL: not supported */
	size_t size;                 /* of its struct; 0: struct osb_op */
	const char *answer;          /* see struct journal_op */
	bool no_halt; /* create verbs: not cut off by a DELETE, which gets ConcurrencyError; one that
		       * fails by itself goes back all the same */
	bool pure;    /* its steps start no call and touch nothing outside the store */
	bool quick; /* may be waited for: allowed without accepts_incomplete. false: AsyncRequired,
		       * unless the plan says otherwise */
	bool only_sync; /* never answers 202 of its own choice */
};

/* What check looks at. */
struct backend_request {
	enum store_verb verb;
	const struct plan *plan, *before;   /* before: what an update leaves; else plan */
	struct str instance_id, binding_id; /* binding_id empty: none */
	const struct json *parameters;      /* as in osb_op */
};

#define BACKEND_TWO_A_CORE UINT32_MAX

/* Something outside that a backend has marked as its own. */
struct backend_thing {
	struct str name;
	struct str where; /* for people: the server */
	bool binding;     /* it stands for a binding, not for an instance */
	bool there;       /* false: only the mark is */
	size_t at;        /* the backend's */
};

struct backend_survey {
	struct call call;    /* done: 0, or err says why */
	struct arena *arena; /* lives until done */
	/* out, of survey: what stands for bindings before what stands for their instance */
	struct backend_thing *things;
	size_t n;
	struct err err;
	void *own; /* the backend's */
};

struct backend_type {
	const char *name;     /* as `backend:` in the configuration */
	const char *doc;      /* a line for help texts */
	uint32_t max_running; /* default slots per node; 0: 20; BACKEND_TWO_A_CORE: for children */
	/* rows of `config:` of a service and of a plan, for the reference; NULL: none */
	const struct conf_key *service_rows, *plan_rows;
	/* Reads offering->config->config and each plan's, and completes offering: what is absent
	 * there (name, id, description, plans…) may be the backend's to say. plans holds what the
	 * configuration names (n_plans 0: nothing); the backend may put an array of its own there.
	 * What the configuration sets goes before what the backend knows. All errors into errors.
	 * Memory that is not in arena goes with close. 0, or ERR_INVALID. */
	int (*open)(const struct backend_env *env, struct offering *offering, struct arena *arena,
		    struct backend **out, struct conf_errors *errors);
	void (*close)(struct backend *backend); /* no op of it runs any more */
	/* A last look at a provision, update or bind before anything is written; NULL: none.
	 * ERR_INVALID and a text for the user: 400. */
	int (*check)(struct backend *backend, const struct backend_request *request,
		     struct err *err);
	/* Work of its own, while its generation is in force: from start until stop. stopped runs once,
	 * perhaps at once, when nothing of that work is in flight. Both NULL: it has none. */
	void (*start)(struct backend *backend);
	void (*stop)(struct backend *backend, void (*stopped)(void *data), void *data);
	/* What GET of an instance adds to metadata.attributes: an object, or NULL. */
	const struct json *(*attributes)(struct backend *backend, struct str platform,
					 struct str instance_id, struct arena *arena);
	/* For `osbd orphans`; all three or none. What is there outside that carries osbd's mark. */
	void (*survey)(struct backend *backend, struct backend_survey *survey);
	/* Takes one of them away. */
	void (*remove)(struct backend *backend, struct backend_survey *survey,
		       const struct backend_thing *thing);
	/* The name that the object's thing has; binding_id {NULL, 0}: of an instance. */
	struct str (*name_of)(struct backend *backend, struct str platform, struct str instance_id,
			      struct str binding_id, struct arena *arena);
	struct backend_verb verb[STORE_VERBS]; /* EXPIRE runs UNBIND's */
	/* When a verb differs from plan to plan; NULL: the table. */
	const struct backend_verb *(*verb_of)(struct backend *backend, const struct plan *plan,
					      enum store_verb verb);
	void (*finish_op)(struct osb_op *op); /* frees what the steps hold; NULL: nothing */
};

static inline struct osb_op *osb_op_of(struct op *op)
{
	return container_of(container_of(op, struct journal_op, op), struct osb_op, job);
}

/* -- results, for steps -------------------------------------------------------------------- */

void osb_set_dashboard_url(struct osb_op *op, struct str url);
/* {"labels": {…}, "attributes": {…}} of an instance. */
void osb_set_metadata(struct osb_op *op, const struct json *metadata);
/* The credentials of a binding. */
void osb_set_credentials(struct osb_op *op, const struct json *credentials);
/* Another member of the bind response: syslog_drain_url, route_service_url, volume_mounts,
 * endpoints. Of the first three, what the service's `requires` lacks is left out. */
void osb_set_bind_field(struct osb_op *op, const char *key, const struct json *value);
/* What the backend wants to find again with the object (sealed); replaces what was there. */
void osb_set_private(struct osb_op *op, const struct json *object);
/* What last_operation says while the operation is in progress, or after it succeeded. */
void osb_set_description(struct osb_op *op, struct str text);
/* The way to fail with an answer of its own. code: one CamelCase word, such as "Quota"; http:
 * 400 for what the user can mend, 500, 502…; flags: STORE_UNUSABLE, STORE_NOT_REPEATABLE. Returns
 * OP_FAIL. Plain op_fail() answers 500. */
enum op_verdict osb_fail(struct osb_op *op, int http, const char *code, unsigned flags,
			 const char *fmt, ...) PRINTF_LIKE(5, 6);

/* -- for open -------------------------------------------------------------------------------- */

/* NULL and err: c-ares does not start. */
struct dns *backend_dns(const struct backend_env *env, struct err *err) MUST_CHECK;
struct tls_budget *backend_tls_budget(const struct backend_env *env);
/* No backend is left: what they have left behind may go on to its end, and the loop with it. */
void backend_net_close(struct backend_net *net);
void backend_net_finish(struct backend_net *net); /* nothing is left at all; zeroes are fine */

/* -- the backends there are ----------------------------------------------------------------- */

/* The verb of a plan; EXPIRE is UNBIND. Its steps are NULL when the backend has none. */
const struct backend_verb *backend_verb(struct backend *backend, const struct plan *plan,
					enum store_verb verb);
/* What the steps have set so far: {dashboard_url, metadata, response, private, description, error:
 * {http, code, flags}}, each only if set; NULL: nothing. */
const struct json *osb_results(struct osb_op *op);
/* types: NULL-terminated. NULL when none has that name. */
const struct backend_type *backend_find(const struct backend_type *const *types, struct str name);

#endif
