/* osb/update: PATCH of a service instance.
 *
 * What is asked for is compared with the instance as it is: parameters are laid over those in
 * force, member by member; a plan, parameters and a version that are in force already are no
 * change, and answered at once.
 * Source: OSB 2.17 "Updating a Service Instance". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_UPDATE_H
#define OSBD_OSB_UPDATE_H

#include "osb/exchange.h"

void instance_patch(struct exchange *ex);

#endif
