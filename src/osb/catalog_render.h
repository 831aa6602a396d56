/* osb/catalog_render: offerings as the JSON of GET /v2/catalog.
 *
 * What is absent is left out, and so is every null member of metadata: a platform may refuse a
 * null. `free` and the offering's booleans are always there; a plan says bindable and
 * plan_updateable only where it differs from its offering. dashboard_client holds its secret,
 * which is part of the API: the text is not for logs.
 *
 * Source: OSB 2.17 "Catalog Management"; dashboard_client: the profile's "Cloud Foundry Catalog
 * Extensions". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_CATALOG_RENDER_H
#define OSBD_OSB_CATALOG_RENDER_H

#include "osb/backend.h"

/* {"version": …, "description": …}; NULL: the plan has none. */
struct json *catalog_maintenance(struct arena *arena, const struct plan *plan);

void catalog_render(const struct offering *offerings, size_t n, struct buf *out);

#endif
