/* web/admin: health, readiness, metrics and orphans, on a listener of their own.
 *
 *   GET /healthz   200 {"status": "ok"} while the process runs its loop
 *   GET /readyz    200 or 503 {"status", "checks": {store, catalog, serving: "ok" or why not}}
 *   GET /metrics   Prometheus text format 0.0.4
 *   GET /orphans   {"orphans": [{kind, state, instance_id, binding_id, service, description}]}
 *
 * On a listener that others reach, /metrics and /orphans want a user of the role operator or
 * monitor. There is nothing here that changes anything. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_WEB_ADMIN_H
#define OSBD_WEB_ADMIN_H

#include "osb/broker.h"

#define ADMIN_ORPHANS_MAX 1000 /* rows in one answer */

struct admin;

struct admin_options {
	struct loop *loop;
	const struct log *log;
	struct metrics *metrics;
	struct broker *broker; /* for its current generation */
	struct store *store;
	struct child_host *children;
};

struct admin *admin_create(const struct admin_options *options);
/* Listens where config says; nowhere is fine. */
int admin_listen(struct admin *admin, const struct config_admin *config,
		 struct err *err) MUST_CHECK;
void admin_draining(struct admin *admin); /* not ready from now on */
/* done runs once, from the loop, when all is closed and freed. */
void admin_destroy(struct admin *admin, void (*done)(void *data), void *data);

#endif
