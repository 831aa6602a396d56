/* osb/lastop: answers GET …/last_operation from the rows alone.
 *
 *   in   instance id, binding id or none; operation: what our 202 said; an unknown one means the
 *        latest.
 *   out  200 {"state": "in progress"|"succeeded"|"failed", "description": non-empty}
 *        Retry-After in whole seconds, from the running step's .every, at least 1;
 *        instance_usable only on a failed update or deprovision of an instance,
 *        update_repeatable only on a failed update.
 * errors: 404 never known or purged; 410 deleted longer ago than keep_ended.
 * Source: OSB 2.17 "Polling Last Operation for Service Instances" and "… Bindings". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_LASTOP_H
#define OSBD_OSB_LASTOP_H

#include "osb/exchange.h"

void last_operation(struct exchange *ex);

#endif
