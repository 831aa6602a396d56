/* osb/bindings: PUT, GET and DELETE of a service binding, rotation included.
 * Source: OSB 2.17 "Binding", "Binding Rotation", "Fetching a Service Binding", "Unbinding". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_BINDINGS_H
#define OSBD_OSB_BINDINGS_H

#include "osb/exchange.h"

void binding_put(struct exchange *ex);
void binding_get(struct exchange *ex);
void binding_delete(struct exchange *ex);

#endif
