/* osb/unbind_all: with_bindings: unbind. A deprovision whose first step is to unbind what is bound.
 *
 * The step begins an unbind operation for each binding, beyond the slots (the deprovision holds one
 * that they might wait for), and is asked again every second until no binding is left. What fails
 * is tried again a few times; then the deprovision has failed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_UNBIND_ALL_H
#define OSBD_OSB_UNBIND_ALL_H

#include "osb/backend.h"

#define UNBIND_ALL "unbind_all" /* the step's name */

/* The backend's deprovision steps with that step in front, in the arena. */
const struct op_step *unbind_all_steps(struct arena *arena, const struct op_step *steps);

#endif
