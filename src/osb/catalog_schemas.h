/* osb/catalog_schemas: the schemas of a plan: checked, compiled, and as the catalog shows them.
 *
 * schemas has the form of the catalog:
 *
 *	service_instance: {create: {parameters: SCHEMA}, update: {parameters: SCHEMA}}
 *	service_binding: {create: {parameters: SCHEMA}}
 *
 * each part may be absent or null, nothing else may be there. A SCHEMA is an object of at most
 * CATALOG_SCHEMA_MAX characters as JSON that names its draft in `$schema` (04, 06 or 07), conforms
 * to that draft's meta-schema and refers to nothing outside itself. One that draft-04 would refuse
 * is worth a warning: that is the draft every platform knows.
 *
 * Source: OSB 2.17 "Schemas Object"; what Cloud Controller enforces. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_CATALOG_SCHEMAS_H
#define OSBD_OSB_CATALOG_SCHEMAS_H

#include "core/schema.h"
#include "osb/backend.h"

#define CATALOG_SCHEMA_MAX 65536

/* Replaces plan->schemas by what the catalog shows (NULL: nothing) and sets create, update and
 * bind. node and path: where the plan stands. */
void catalog_schemas(struct plan *plan, const struct json *node, const char *path,
		     struct schema_metas *metas, struct arena *arena, struct conf_errors *errors);

#endif
