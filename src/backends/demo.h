/* backends/demo: a backend that makes nothing, slowly, and fails when it is told to.
 *
 * For tests and for trying the API. What it does is configuration: how long a verb takes and in
 * how many looks, where it fails and with what answer, what a binding holds. A plan's `config`
 * overrides its service's key by key.
 *
 * Without delay, failure and directory its verbs are pure: intent and result are one transaction.
 * With `directory` it has an outside world that survives it and that a test can compare with what
 * the broker says:
 *
 *   instance-HASH, binding-HASH   a file per object; "creating", "ready", "updating" or
 *                                 "deleting", then the plan's name. HASH is hex of SHA-256 of the
 *                                 instance id, for a binding of both ids with NUL between.
 *   journal                       a line per start and end of an action: `bind OPERATION start`.
 *                                 Appended by one write each; what is repeated after a crash
 *                                 stands there twice.
 *
 * Steps: provision, update: prepare start watch finish; bind: the same; deprovision, unbind: stop
 * watch remove. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_DEMO_H
#define OSBD_BACKENDS_DEMO_H

#include "osb/backend.h"

extern const struct backend_type backend_demo;

#endif
