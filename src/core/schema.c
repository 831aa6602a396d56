/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema.h"

#include "core/schema_compile.h"

#include <stdlib.h>

#define INPLACE_MAX 200 /* schemas that apply to one and the same value, inside each other */

/* -- one subschema ------------------------------------------------------------------------ */

static bool may_be_boolean(const struct schema_node *node)
{
	return node->place.draft != SCHEMA_DRAFT_04 || str_is(node->keyword, "additionalItems") ||
	       str_is(node->keyword, "additionalProperties");
}

static int take_ref(struct schema_compile *c, struct schema_node *node, const struct json *ref)
{
	struct schema_place place;
	struct err why;
	int rc;

	if (!json_is_string(ref))
		return schema_bad_type(c, node, "$ref", "a string", ref);
	rc = schema_refs_find(&c->refs, &node->place, json_str(ref), &place, &why);
	if (rc)
		return schema_bad(c, node, "$ref", rc, "%s", why.text);
	return schema_node_at(c, &place, NULL, json_str(ref), str_make(NULL, 0), &node->ref);
}

static int compile_node(struct schema_compile *c, struct schema_node *node)
{
	const struct json *value = node->place.value, *ref = json_get(value, "$ref");

	if (json_is_bool(value) && may_be_boolean(node)) {
		node->never = !json_bool_value(value);
		return 0;
	}
	if (!json_is_object(value))
		return schema_bad(c, node, NULL, ERR_SYNTAX, "a schema must be an object%s, not %s",
				  may_be_boolean(node) ? ", true or false" : "",
				  json_type_name(value));
	if (ref)
		return take_ref(c, node, ref);
	return schema_take_keywords(c, node);
}

/* -- endless references ------------------------------------------------------------------- */

enum { NEW, OPEN, DONE };

static int look_for_circle(struct schema_compile *c, struct schema_node *node, unsigned depth);

static int look_in_list(struct schema_compile *c, const struct schema_list *list, unsigned depth)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < list->n && rc == 0; i++)
		rc = look_for_circle(c, list->node[i], depth);
	return rc;
}

/* A schema that comes back to itself while it still looks at the same value never ends. Only
 * what applies to the same value is followed. */
static int look_for_circle(struct schema_compile *c, struct schema_node *node, unsigned depth)
{
	size_t i;
	int rc;

	if (!node || node->visit == DONE)
		return 0;
	if (node->visit == OPEN)
		return schema_bad(c, node, NULL, ERR_SYNTAX, "refers to itself without end");
	if (depth > INPLACE_MAX)
		return schema_bad(c, node, NULL, ERR_TOOBIG,
				  "more than %d references inside each other", INPLACE_MAX);
	node->visit = OPEN;
	rc = look_for_circle(c, node->ref, depth + 1);
	if (rc == 0)
		rc = look_in_list(c, &node->all_of, depth + 1);
	if (rc == 0)
		rc = look_in_list(c, &node->any_of, depth + 1);
	if (rc == 0)
		rc = look_in_list(c, &node->one_of, depth + 1);
	if (rc == 0)
		rc = look_for_circle(c, node->not_, depth + 1);
	if (rc == 0)
		rc = look_for_circle(c, node->if_, depth + 1);
	if (rc == 0)
		rc = look_for_circle(c, node->then_, depth + 1);
	if (rc == 0)
		rc = look_for_circle(c, node->else_, depth + 1);
	for (i = 0; i < node->n_dependencies && rc == 0; i++)
		rc = look_for_circle(c, node->dependencies[i].node, depth + 1);
	node->visit = DONE;
	return rc;
}

/* -- entry points ------------------------------------------------------------------------- */

static int find_draft(const struct json *value, enum schema_draft *draft, struct err *err)
{
	const struct json *named = json_get(value, "$schema");

	if (!named || schema_meta_find(json_str(named), draft))
		return 0;
	if (!json_is_string(named))
		return err_set(err, ERR_SYNTAX, "#/$schema: must be a string, not %s",
			       json_type_name(named));
	return err_set(err, ERR_UNSUPPORTED,
		       "#/$schema: \"%.*s\" is none of the drafts that osbd knows: %s#, %s#, %s#",
		       STR_ARG(str_utf8_head(json_str(named), 200)),
		       schema_meta_uri(SCHEMA_DRAFT_04), schema_meta_uri(SCHEMA_DRAFT_06),
		       schema_meta_uri(SCHEMA_DRAFT_07));
}

int schema_compile_as(struct arena *arena, const struct json *value, enum schema_draft draft,
		      struct schema **out, struct err *err)
{
	struct schema_compile c = { .arena = arena, .err = err, .refs = { arena, NULL } };
	struct schema_node *node, *root;
	struct schema_place place;
	int rc;

	rc = find_draft(value, &draft, err);
	if (rc)
		return rc;
	schema_refs_add(&c.refs, value, draft, &place);
	rc = schema_node_at(&c, &place, NULL, STR("#"), str_make(NULL, 0), &root);
	while (rc == 0 && (node = c.next)) {
		rc = compile_node(&c, node);
		c.next = node->next;
	}
	for (node = c.first; node && rc == 0; node = node->next)
		rc = look_for_circle(&c, node, 0);
	if (rc)
		return rc;
	*out = arena_new(arena, struct schema);
	(*out)->root = root;
	return 0;
}

int schema_compile(struct arena *arena, const struct json *value, struct schema **out,
		   struct err *err)
{
	return schema_compile_as(arena, value, SCHEMA_DRAFT_04, out, err);
}

const struct schema *schema_meta(struct schema_metas *metas, enum schema_draft draft)
{
	struct schema *schema;
	struct json *text;
	struct err err;

	if (metas->of[draft])
		return metas->of[draft];
	if (json_parse(&metas->arena, schema_meta_text(&metas->arena, draft), NULL, &text, &err) ||
	    schema_compile(&metas->arena, text, &schema, &err))
		abort(); /* they are built in */
	metas->of[draft] = schema;
	return schema;
}

void schema_metas_finish(struct schema_metas *metas)
{
	arena_finish(&metas->arena);
	*metas = (struct schema_metas){ 0 };
}

int schema_metas_check(struct schema_metas *metas, const struct json *value, struct err *err)
{
	enum schema_draft draft = SCHEMA_DRAFT_04;
	int rc = find_draft(value, &draft, err);

	return rc ? rc : schema_validate(schema_meta(metas, draft), value, NULL, err);
}

int schema_check_meta(const struct json *value, struct err *err)
{
	struct schema_metas metas = { 0 };
	int rc = schema_metas_check(&metas, value, err);

	schema_metas_finish(&metas);
	return rc;
}
