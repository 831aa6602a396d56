/* core/schema_meta: the drafts of JSON Schema that osbd knows, and their meta-schemas.
 *
 * The meta-schemas are part of the program: nothing is ever fetched. They hold what the drafts
 * say about the form of a schema, without titles and descriptions.
 *
 * Source: JSON Schema drafts 04 (zyp), 06 (wright-01) and 07 (handrews-01), core and validation. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_META_H
#define OSBD_CORE_SCHEMA_META_H

#include "core/arena.h"
#include "core/str.h"

enum schema_draft { SCHEMA_DRAFT_04, SCHEMA_DRAFT_06, SCHEMA_DRAFT_07 };

/* "http://json-schema.org/draft-07/schema", without a fragment. */
const char *schema_meta_uri(enum schema_draft draft);
/* The draft whose meta-schema has this URI, with or without an empty fragment, http or https. */
bool schema_meta_find(struct str uri, enum schema_draft *draft);
/* The JSON text, in the arena. */
struct str schema_meta_text(struct arena *arena, enum schema_draft draft);

#endif
