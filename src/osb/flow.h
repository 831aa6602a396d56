/* osb/flow: between rows of the journal and the operations that backends see.
 *
 * What the rows' sealed data looks like (JSON objects; absent members are left out):
 *   instance  parameters, context, private
 *   binding   parameters, bind_resource, response {credentials, …}, private
 *   op        identity, and what only this verb needs:
 *               update  parameters, merged, context, previous_values, same, maintenance,
 *                       plan_before
 *               bind    context, predecessor_response */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_FLOW_H
#define OSBD_OSB_FLOW_H

#include "osb/generation.h"

extern const struct journal_user osb_journal_user; /* data: struct flows */

struct flows {
	struct loop *loop;
	const struct store *store;
	const struct log *log;
	struct generation *gen; /* the current one; the broker holds it */
};

/* The text that makes two requests the same. All of it is compared as JSON values; parameters
 * NULL and {} are alike. */
struct str same_instance(struct arena *arena, struct str service_id, struct str plan_id,
			 struct str organization, struct str space, const struct json *parameters);
struct str same_binding(struct arena *arena, struct str service_id, struct str plan_id,
			const struct json *bind_resource, struct str predecessor,
			const struct json *parameters);

/* A begin's data and request, objects, before they become text. NULL: the text is parsed. */
struct flow_given {
	const struct json *data, *request;
};

/* Runs a pure verb now, before its row exists: what journal_begin takes as at_once. begin or given
 * has its data and request; instance and binding are as they were read (binding may be NULL). 0:
 * *end is filled, in arena; negative: it failed, err says why, and end has http_status and error. */
int flow_run_pure(const struct flows *flows, const struct store_begin *begin,
		  const struct flow_given *given, const struct offering *offering,
		  const struct plan *plan, const struct store_instance *instance,
		  const struct store_binding *binding, struct arena *arena, struct store_end *end,
		  struct err *err) MUST_CHECK;

#endif
