/* core/schema: JSON Schema drafts 04, 06 and 07.
 *
 * A schema is compiled once and then checks any number of values. The draft is the one that
 * `$schema` names, draft-04 without it (that is what every platform must know); a `$schema` that
 * names anything else is refused. Nothing is ever fetched: references point into the schema or
 * to the drafts' own meta-schemas. `format` is checked (core/schema_format.h); `contentEncoding`
 * and `contentMediaType` are not, as for any draft's validator that follows its "may".
 *
 * What a user reads:
 *     parameters.ports[2]: must be an integer, not a string
 *     parameters: "sise" is not allowed here (allowed: size, name)
 *     parameters.tier: must be one of "small", "large"
 * The texts hold names, and values of the schema, but no value of the user's: it may be secret.
 *
 * Both effort and depth are bounded, so that no value can hold up the loop.
 *
 * Source: JSON Schema draft-04 (zyp), 06 (wright-01), 07 (handrews-01), core and validation. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_H
#define OSBD_CORE_SCHEMA_H

#include "core/json.h"
#include "core/schema_meta.h"

#define SCHEMA_STEPS_MAX 1000000 /* of one validation: keywords, members and items looked at */
#define SCHEMA_DEPTH_MAX 2000    /* of schemas inside each other, references included */

struct schema;

/* value stays borrowed and must live as long as the compiled schema, which lives in the arena.
 * errors: ERR_SYNTAX a keyword that is malformed, ERR_NOENT a reference to nothing or outside,
 * ERR_UNSUPPORTED another draft, ERR_TOOBIG too many subschemas. The text begins with the place
 * in the schema: `#/properties/size/minimum: must be a number, not a string`. */
MUST_CHECK int schema_compile(struct arena *arena, const struct json *value, struct schema **out,
			      struct err *err);
/* The same with another draft for a schema without `$schema`. */
MUST_CHECK int schema_compile_as(struct arena *arena, const struct json *value,
				 enum schema_draft draft, struct schema **out, struct err *err);

/* Checks a value. root_path is what the value is called in errors ("parameters"), "" or NULL at
 * the top. errors: ERR_INVALID it does not conform, the most useful reason in err; ERR_TOOBIG
 * checking would take too many steps: it is then neither valid nor invalid. */
MUST_CHECK int schema_validate(const struct schema *schema, const struct json *value,
			       const char *root_path, struct err *err);

/* Checks a schema against the meta-schema of its draft, and nothing more: references are not
 * followed. errors as schema_validate(), and ERR_UNSUPPORTED. Paths begin at the schema:
 * `properties.size.type: …`. */
MUST_CHECK int schema_check_meta(const struct json *value, struct err *err);

/* The same for many schemas: each draft's meta-schema is compiled once. Zeroes are ready. */
struct schema_metas {
	struct arena arena;
	const struct schema *of[SCHEMA_DRAFT_07 + 1];
};

void schema_metas_finish(struct schema_metas *metas);
const struct schema *schema_meta(struct schema_metas *metas, enum schema_draft draft);
MUST_CHECK int schema_metas_check(struct schema_metas *metas, const struct json *value,
				  struct err *err);

#endif
