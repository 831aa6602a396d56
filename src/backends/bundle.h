/* backends/bundle: service bundles, whose actions run as processes on this machine.
 *
 * A bundle is a directory with apb.yml (or `label`, its base64) and an executable `bundle`. The
 * specification is read when the backend is opened; the program is run for each operation, see
 * backends/bundle_run. docs/bundle-authors.md is the contract.
 *
 * Steps of every verb: prepare (looks at the ids), run, collect. A provision that fails or is
 * halted goes back with the bundle's deprovision, a bind with its unbind, unless the action never
 * began.
 *
 * Exit codes: 0 done; 8 there is no such action: a bind then hands out what provision left, an
 * unbind is done, all else fails; other codes fail with the text in `message`. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_H
#define OSBD_BACKENDS_BUNDLE_H

#include "osb/backend.h"

extern const struct backend_type backend_bundle;

#endif
