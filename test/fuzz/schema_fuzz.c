/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas and values from strangers: {"s": SCHEMA, "v": VALUE}. Nothing hangs or overflows, each
 * refusal has a text, and a schema that is wrapped in allOf, anyOf or oneOf says the same, in not
 * the opposite. */
#include "core/schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(bool holds)
{
	if (!holds)
		abort();
}

static void want_text(const struct err *err)
{
	want(err->text[0] && str_is_utf8(str_of(err->text)));
}

/* References would not find their targets any more inside another schema. */
static bool can_wrap(const struct json *v)
{
	static const char *const names[] = { "$ref", "id", "$id", "$schema" };
	const struct json_member *m;
	const struct json *item;
	size_t i;

	json_each_item(i, item, v)
		if (!can_wrap(item))
			return false;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (json_get(v, names[i]))
			return false;
	json_each_member(m, v)
		if (!can_wrap(m->value))
			return false;
	return true;
}

static int verdict(struct arena *arena, const struct json *s, enum schema_draft draft,
		   const struct json *v)
{
	struct schema *schema;
	struct err err = { 0 };
	int rc = schema_compile_as(arena, s, draft, &schema, &err);

	if (rc) {
		want_text(&err);
		return ERR_SYNTAX;
	}
	rc = schema_validate(schema, v, "v", &err);
	want(rc == schema_validate(schema, v, NULL, NULL));
	if (rc)
		want_text(&err);
	return rc;
}

static void wrap(struct arena *arena, struct json *s, enum schema_draft draft, const struct json *v,
		 int rc)
{
	static const char *const lists[] = { "allOf", "anyOf", "oneOf" };
	struct json *outer, *list;
	int got;
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		outer = json_object(arena);
		list = json_array(arena);
		json_append(arena, list, s);
		json_set(arena, outer, lists[i], list);
		got = verdict(arena, outer, draft, v);
		want(got == rc || got == ERR_TOOBIG);
	}
	outer = json_object(arena);
	json_set(arena, outer, "not", s);
	got = verdict(arena, outer, draft, v);
	want(got == ERR_TOOBIG || (got == 0) == (rc == ERR_INVALID));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	struct arena arena = { 0 };
	enum schema_draft draft;
	struct json *both, *s, *v;
	struct err err = { 0 };
	int rc;

	if (json_parse(&arena, text, NULL, &both, NULL) == 0 && (s = json_get(both, "s")) &&
	    (v = json_get(both, "v"))) {
		if (schema_check_meta(s, &err))
			want_text(&err);
		for (draft = SCHEMA_DRAFT_04; draft <= SCHEMA_DRAFT_07; draft++) {
			rc = verdict(&arena, s, draft, v);
			if ((rc == 0 || rc == ERR_INVALID) && json_is_object(s) && can_wrap(s))
				wrap(&arena, s, draft, v, rc);
		}
	}
	arena_finish(&arena);
	return 0;
}
