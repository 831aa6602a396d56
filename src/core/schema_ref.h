/* core/schema_ref: where a "$ref" in a JSON Schema points.
 *
 * Knows the documents of one compilation: the schema itself, and the meta-schemas as soon as
 * something refers to one. A reference resolves to a pointer ("#/definitions/a"), an id or a
 * plain name ("$id": "#name") inside them; all else is refused, for nothing is ever fetched.
 *
 * Source: JSON Schema draft-07 core section 8 (draft-04: core section 7), RFC 3986 section 5,
 * RFC 6901. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_REF_H
#define OSBD_CORE_SCHEMA_REF_H

#include "core/json.h"
#include "core/schema_meta.h"

/* A subschema, with what its own references are relative to. */
struct schema_place {
	const struct json *value;
	struct str base; /* absolute URI without fragment; "" in a document without an id */
	enum schema_draft draft;
};

struct schema_id;

struct schema_refs {
	struct arena *arena;
	struct schema_id *ids; /* newest first */
};

/* Adds a document and every id in it; *root is its place. Nothing is copied. */
void schema_refs_add(struct schema_refs *refs, const struct json *document, enum schema_draft draft,
		     struct schema_place *root);
/* The base inside a subschema of from: changed when the subschema has an id. */
struct str schema_refs_base(struct schema_refs *refs, const struct schema_place *from,
			    const struct json *value);
/* What ref means at from. ERR_NOENT with a reason that quotes ref. */
MUST_CHECK int schema_refs_find(struct schema_refs *refs, const struct schema_place *from,
				struct str ref, struct schema_place *out, struct err *err);

/* ref resolved against base, both URI references (RFC 3986 section 5.2). */
struct str schema_uri_resolve(struct arena *arena, struct str base, struct str ref);

#endif
