/* osb/expiry: carries out the end of bindings whose time is up.
 *
 * At expires_at osbd runs the unbind steps itself. The row stays, EXPIRED, for the platform's
 * DELETE. One that fails is tried again a minute later.
 * Source: OSB 2.17 "Binding Rotation", "Binding Metadata Object". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_EXPIRY_H
#define OSBD_OSB_EXPIRY_H

#include "osb/exchange.h"

#define EXPIRY_LOOK_EVERY SEC(30) /* at least; sooner when one is due sooner */
#define EXPIRY_LOOK_MIN 200       /* ms */
#define EXPIRY_ROWS 50            /* bindings in one look */

struct expiry *expiry_create(struct broker *broker);
void expiry_start(struct expiry *expiry);
/* No more looks; stopped runs once, from the loop, when none is under way. */
void expiry_stop(struct expiry *expiry, void (*stopped)(void *data), void *data);
void expiry_destroy(struct expiry *expiry);

#endif
