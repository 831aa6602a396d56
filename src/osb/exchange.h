/* osb/exchange: one request of the API on its way to its answer, and what all chapters share.
 *
 * The checks stand in the order that clients rely on: authentication (401), the path (404, 405),
 * the API version (400, 412), the body (400), and only then what the chapter says. Each answer
 * is a JSON object and echoes the request's identity. Nothing here outlives the request: all of
 * it is in the request's arena.
 *
 * Source: OSB 2.17 "API Overview" to "Vendor Extension Fields". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_EXCHANGE_H
#define OSBD_OSB_EXCHANGE_H

#include "core/http_server.h"
#include "osb/flow.h"
#include "osb/users.h"

#define OSB_ID_MAX 1024   /* bytes of an id */
#define OSB_CHANGED_MAX 5 /* times a row may change under a request before it gives up */
#define OSB_RETRY_AFTER 5 /* s, on 429 and 503 */

/* What the chapters work with. One per process. */
struct broker {
	struct loop *loop;
	struct log log;
	struct generation *gen; /* the current one */
	struct store *store;
	struct journal *journal;
	struct flows flows;
	struct metric requests[6]; /* by class of status; 0 unused */
	struct expiry *expiry;
};

struct exchange;

#define ROUTE_SEGMENTS 6

struct route {
	const char *method;
	/* the path's segments; ":i" stands for an instance's id, ":b" for a binding's */
	const char *path[ROUTE_SEGMENTS + 1];
	void (*handle)(struct exchange *ex);
	bool has_body;
};

struct exchange {
	struct http_request *req; /* its arena is the exchange's */
	struct arena *arena;
	struct broker *broker;
	struct generation *gen; /* the one it began with; held until the answer is written */
	const struct config_platform *platform;
	const struct route *route;
	struct str instance_id, binding_id; /* decoded */
	unsigned minor;                     /* 17 of "2.17" */
	bool accepts_incomplete;
	const struct json *body;     /* object */
	const struct json *identity; /* {"platform", "value"}; NULL: none was sent */
	/* of a request that changes something */
	enum store_verb verb;
	const struct offering *offering;
	const struct plan *plan;
	const struct plan *plan_before;     /* update: the one it leaves; else NULL */
	const struct json *parameters;      /* never NULL once looked at */
	unsigned changed;                   /* times the row changed under us */
	void (*then)(struct exchange *ex);  /* when the rows have been read */
	void (*again)(struct exchange *ex); /* when they have changed since */
	struct flow_given given;
	struct store_end at_once;
	/* the calls in flight, one at a time */
	struct users_check check;
	struct store_get get;
	struct journal_begin begin;
	struct journal_wait wait;
	uint64_t answer_by; /* loop_now() */
};

/* Takes a request from the HTTP server and leads it to its chapter. */
void exchange_start(struct broker *broker, struct http_request *req, const struct route *routes);

/* -- answers: each ends the exchange --------------------------------------------------------- */

void answer(struct exchange *ex, int status, const struct json *body);
void answer_empty(struct exchange *ex, int status); /* {} */
/* code: one CamelCase word; the text goes to a person. */
void answer_error(struct exchange *ex, int status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
void answer_err(struct exchange *ex, int status, const char *code, const struct err *err);
void answer_store(struct exchange *ex, int status); /* a store call that ended with an error */
void answer_async_required(struct exchange *ex);
void answer_concurrency(struct exchange *ex);
void answer_maintenance_conflict(struct exchange *ex);
void answer_retry_after(struct exchange *ex, uint64_t seconds); /* a header for the answer */

/* -- what several chapters look at ----------------------------------------------------------- */

/* Each returns 0, or has answered and returns a negative ERR_*. */

/* service_id and plan_id of the body, in the catalog. */
int exchange_plan(struct exchange *ex) MUST_CHECK;
/* parameters of the body, by the plan's schema and the backend's last look. What is absent there
 * and has a value in_force (may be NULL), or else a default in the schema, counts as given: who
 * changes one parameter need not repeat what is required. */
int exchange_parameters(struct exchange *ex, const struct schema *schema,
			const struct json *in_force) MUST_CHECK;
/* maintenance_info.version of the body against the plan's; *version is {NULL, 0} when absent. */
int exchange_maintenance(struct exchange *ex, struct str *version) MUST_CHECK;
/* service_id and plan_id of the query must be there (DELETE). */
int exchange_query_ids(struct exchange *ex) MUST_CHECK;
/* A parameter of the query; {NULL, 0} when absent. */
int exchange_query(struct exchange *ex, const char *name, struct str *out) MUST_CHECK;

/* Reads the rows of instance_id (and binding_id, when the path has one), what is sealed in them
 * unless get.no_data is set; done gets the exchange, and status 0; errors have been answered. */
void exchange_get(struct exchange *ex, void (*done)(struct exchange *ex));

/* A JSON object of a row's sealed data. 0, or has answered. */
int exchange_data(struct exchange *ex, struct str text, const struct json **out) MUST_CHECK;

#endif
