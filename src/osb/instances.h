/* osb/instances: PUT, GET and DELETE of a service instance.
 * Source: OSB 2.17 "Provisioning", "Fetching a Service Instance", "Deprovisioning". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_INSTANCES_H
#define OSBD_OSB_INSTANCES_H

#include "osb/exchange.h"

void instance_put(struct exchange *ex);
void instance_get(struct exchange *ex);
void instance_delete(struct exchange *ex);

/* ex->offering and plan from the instance that was read. 0, or has answered: the catalog does not
 * have them any more. */
int instance_plan(struct exchange *ex, const struct store_instance *instance) MUST_CHECK;

#endif
