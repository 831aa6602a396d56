/* osb/operate: begins an operation for a request, waits as long as it may, and answers.
 *
 * A chapter (provision, update, bind, …) reads and checks its request, fills ex->begin.begin and
 * calls operate(). From there on all verbs are alike:
 *
 *   accepts_incomplete   202 as soon as the intent is durable; a verb with an answer step lets
 *                        the answer wait for that step, at most answer_within
 *   without it           the answer waits for the end, also of an operation that another request
 *                        has begun, at most sync_within; then it is 500, and a create is halted
 *
 * The operation never belongs to the connection: it goes on when the client is gone.
 * Source: OSB 2.17 "Synchronous and Asynchronous Operations", "Blocking Operations". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_OPERATE_H
#define OSBD_OSB_OPERATE_H

#include "osb/exchange.h"

/* 0 when the request may be carried out in the way it asks for; otherwise it has answered
 * AsyncRequired. *pure: the verb can be run and stored at once. ex->verb, offering and plan are
 * set. */
int operate_mode(struct exchange *ex, bool *pure) MUST_CHECK;

/* ex->begin.begin: what the chapter fills is instance_id, … as in store_begin; verb, platform,
 * ids, service, deadline and can_halt are filled here. pure: runs the verb first; instance and
 * binding as they were read. again: the chapter's function that reads the rows anew, when they
 * have changed since. */
void operate(struct exchange *ex, bool pure, const struct store_instance *instance,
	     const struct store_binding *binding, void (*again)(struct exchange *ex));

/* {"identity": …} for begin.request; the chapter may add. */
struct json *operate_request(struct exchange *ex);

/* -- bodies of success, from rows ------------------------------------------------------------ */

/* {dashboard_url, metadata} of PUT and PATCH. */
struct json *instance_answer(struct exchange *ex, const struct store_instance *instance);
/* {metadata, credentials, …} of a binding; NULL: has answered that the data is damaged. */
struct json *binding_answer(struct exchange *ex, const struct store_binding *binding,
			    bool with_parameters);

#endif
