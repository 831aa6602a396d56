/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling: each subschema becomes a node. Nodes wait in a queue, not on the stack, so that a
 * long chain of references costs no depth; a subschema that several references meet, or that
 * meets itself, is one node. */
#include "core/schema.h"

#include "core/mem.h"
#include "core/schema_node.h"

#include <stdarg.h>
#include <stdlib.h>

#define INPLACE_MAX 200 /* schemas that apply to one and the same value, inside each other */

struct compile {
	struct arena *arena;
	struct err *err;
	struct schema_refs refs;
	struct schema_node *first, *last, *next; /* the queue; next is to be compiled */
	struct schema_node **table;              /* by the address of the value */
	size_t n, size;
};

/* -- errors in a schema ------------------------------------------------------------------- */

static void put_where(struct buf *buf, const struct schema_node *node)
{
	if (!node->up) {
		buf_put_str(buf, node->keyword);
		return;
	}
	put_where(buf, node->up);
	buf_putc(buf, '/');
	buf_put_str(buf, node->keyword);
	if (node->token.p) {
		buf_putc(buf, '/');
		buf_put_str(buf, node->token);
	}
}

static int bad(struct compile *c, const struct schema_node *node, const char *keyword, int code,
	       const char *fmt, ...) PRINTF_LIKE(5, 6);

static int bad(struct compile *c, const struct schema_node *node, const char *keyword, int code,
	       const char *fmt, ...)
{
	struct buf where = { NULL, 0, 0 };
	va_list ap;

	va_start(ap, fmt);
	err_vset(c->err, code, fmt, ap);
	va_end(ap);
	put_where(&where, node);
	if (keyword)
		buf_printf(&where, "/%s", keyword);
	err_wrap(c->err, "%.*s", STR_ARG(str_utf8_head(buf_str(&where), 400)));
	buf_finish(&where);
	return code;
}

static int bad_type(struct compile *c, const struct schema_node *node, const char *keyword,
		    const char *must, const struct json *value)
{
	return bad(c, node, keyword, ERR_SYNTAX, "must be %s, not %s", must, json_type_name(value));
}

/* -- nodes -------------------------------------------------------------------------------- */

static struct schema_node **slot_of(struct compile *c, const struct json *value)
{
	uint64_t hash = (uint64_t)(uintptr_t)value * 0x9E3779B97F4A7C15u;
	size_t i = (size_t)(hash >> 32) & (c->size - 1);

	while (c->table[i] && c->table[i]->place.value != value)
		i = (i + 1) & (c->size - 1);
	return &c->table[i];
}

static void grow_table(struct compile *c)
{
	struct schema_node *node;

	c->size = c->size ? c->size * 2 : 64;
	c->table = arena_zalloc(c->arena, c->size * sizeof(c->table[0]));
	for (node = c->first; node; node = node->next)
		*slot_of(c, node->place.value) = node;
}

/* The node of a subschema, which is compiled when its turn comes. */
static int node_at(struct compile *c, const struct schema_place *place, struct schema_node *up,
		   struct str keyword, struct str token, struct schema_node **out)
{
	struct schema_node *node, **slot;

	if (2 * (c->n + 1) > c->size)
		grow_table(c);
	slot = slot_of(c, place->value);
	*out = *slot;
	if (*slot)
		return 0;
	if (c->n >= SCHEMA_NODES_MAX)
		return err_set(c->err, ERR_TOOBIG, "more than %d subschemas", SCHEMA_NODES_MAX);
	node = arena_new(c->arena, struct schema_node);
	node->place = *place;
	node->up = up;
	node->keyword = keyword;
	node->token = token;
	node->max_length = node->max_items = node->max_properties = UINT64_MAX;
	if (c->last)
		c->last->next = node;
	else
		c->first = node;
	c->last = node;
	if (!c->next)
		c->next = node;
	c->n++;
	*out = *slot = node;
	return 0;
}

/* A subschema inside node; token is {NULL, 0} when it stands right under the keyword. */
static int inner(struct compile *c, struct schema_node *node, const char *keyword, struct str token,
		 const struct json *value, struct schema_node **out)
{
	struct schema_place place = { value, schema_refs_base(&c->refs, &node->place, value),
				      node->place.draft };

	return node_at(c, &place, node, str_of(keyword), token, out);
}

/* -- keywords ----------------------------------------------------------------------------- */

struct keyword {
	const char *name;
	enum schema_draft since;
	int (*take)(struct compile *c, struct schema_node *node, const struct keyword *k,
		    const struct json *value);
	size_t field; /* offset in struct schema_node */
};

#define FIELD(node, k, type) ((type *)(void *)((char *)(node) + (k)->field))

static int take_schema(struct compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	return inner(c, node, k->name, str_make(NULL, 0), value,
		     FIELD(node, k, struct schema_node *));
}

static int take_schemas(struct compile *c, struct schema_node *node, const struct keyword *k,
			const struct json *value)
{
	struct schema_list *list = FIELD(node, k, struct schema_list);
	const struct json *item;
	char *token;
	size_t i;
	int rc;

	if (!json_is_array(value))
		return bad_type(c, node, k->name, "an array of schemas", value);
	list->n = json_len(value);
	list->node = arena_zalloc(c->arena, list->n * sizeof(list->node[0]));
	json_each_item(i, item, value) {
		token = arena_printf(c->arena, "%zu", i);
		rc = inner(c, node, k->name, str_of(token), item, &list->node[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static int take_some_schemas(struct compile *c, struct schema_node *node, const struct keyword *k,
			     const struct json *value)
{
	if (json_is_array(value) && json_len(value) == 0)
		return bad(c, node, k->name, ERR_SYNTAX, "must not be empty");
	return take_schemas(c, node, k, value);
}

static int take_items(struct compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	static const struct keyword tuple = { "items", SCHEMA_DRAFT_04, NULL,
					      offsetof(struct schema_node, tuple) };

	if (!json_is_array(value))
		return take_schema(c, node, k, value);
	node->is_tuple = true;
	return take_schemas(c, node, &tuple, value);
}

static int by_key(const void *a, const void *b)
{
	return str_cmp(((const struct schema_property *)a)->key,
		       ((const struct schema_property *)b)->key);
}

static int take_properties(struct compile *c, struct schema_node *node, const struct keyword *k,
			   const struct json *value)
{
	struct schema_property *property;
	const struct json_member *m;
	int rc;

	if (!json_is_object(value))
		return bad_type(c, node, k->name, "an object", value);
	property = arena_zalloc(c->arena, json_len(value) * sizeof(*property));
	node->properties = property;
	json_each_member(m, value) {
		property->key = m->key;
		rc = inner(c, node, k->name, m->key, m->value, &property->node);
		if (rc)
			return rc;
		property++;
	}
	node->n_properties = json_len(value);
	if (node->n_properties)
		qsort(node->properties, node->n_properties, sizeof(*property), by_key);
	return 0;
}

static int take_regex(struct compile *c, struct schema_node *node, const struct keyword *k,
		      struct str text, struct regex **out)
{
	struct err why;
	int rc = regex_compile(c->arena, text, out, &why);

	if (rc)
		return bad(c, node, k->name, ERR_SYNTAX, "\"%.*s\" is no regular expression: %s",
			   STR_ARG(str_utf8_head(text, 200)), why.text);
	return 0;
}

static int take_patterns(struct compile *c, struct schema_node *node, const struct keyword *k,
			 const struct json *value)
{
	struct schema_pattern *pattern;
	const struct json_member *m;
	int rc;

	if (!json_is_object(value))
		return bad_type(c, node, k->name, "an object", value);
	pattern = arena_zalloc(c->arena, json_len(value) * sizeof(*pattern));
	node->patterns = pattern;
	node->n_patterns = json_len(value);
	json_each_member(m, value) {
		pattern->text = m->key;
		rc = take_regex(c, node, k, m->key, &pattern->regex);
		if (rc == 0)
			rc = inner(c, node, k->name, m->key, m->value, &pattern->node);
		if (rc)
			return rc;
		pattern++;
	}
	return 0;
}

static int take_names(struct compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	const struct json *item;
	size_t i;

	if (!json_is_array(value))
		return bad_type(c, node, k->name, "an array of names", value);
	json_each_item(i, item, value)
		if (!json_is_string(item))
			return bad_type(c, node, k->name, "an array of names", item);
	*FIELD(node, k, const struct json *) = value;
	return 0;
}

static int take_dependencies(struct compile *c, struct schema_node *node, const struct keyword *k,
			     const struct json *value)
{
	struct schema_dependency *dependency;
	const struct json_member *m;
	const struct json *item;
	size_t i;
	int rc;

	if (!json_is_object(value))
		return bad_type(c, node, k->name, "an object", value);
	dependency = arena_zalloc(c->arena, json_len(value) * sizeof(*dependency));
	node->dependencies = dependency;
	node->n_dependencies = json_len(value);
	json_each_member(m, value) {
		dependency->key = m->key;
		if (json_is_array(m->value)) {
			json_each_item(i, item, m->value)
				if (!json_is_string(item))
					return bad_type(c, node, k->name, "an array of names",
							item);
			dependency->wanted = m->value;
		} else {
			rc = inner(c, node, k->name, m->key, m->value, &dependency->node);
			if (rc)
				return rc;
		}
		dependency++;
	}
	return 0;
}

static int take_type_name(struct compile *c, struct schema_node *node, const struct keyword *k,
			  const struct json *value)
{
	static const struct {
		const char *name;
		unsigned bits;
	} types[] = {
		{ "null", TYPE_BIT(JSON_NULL) },     { "boolean", TYPE_BIT(JSON_BOOL) },
		{ "number", TYPE_BIT(JSON_NUMBER) }, { "string", TYPE_BIT(JSON_STRING) },
		{ "array", TYPE_BIT(JSON_ARRAY) },   { "object", TYPE_BIT(JSON_OBJECT) },
		{ "integer", TYPE_INTEGER },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(types); i++) {
		if (!str_is(json_str(value), types[i].name))
			continue;
		node->types |= types[i].bits;
		if (types[i].bits == TYPE_INTEGER && node->place.draft == SCHEMA_DRAFT_04)
			node->types |= TYPE_STRICT;
		return 0;
	}
	return bad(c, node, k->name, ERR_SYNTAX,
		   "must be \"null\", \"boolean\", \"integer\", \"number\", \"string\", \"array\", "
		   "\"object\", or an array of these");
}

static int take_type(struct compile *c, struct schema_node *node, const struct keyword *k,
		     const struct json *value)
{
	const struct json *item;
	size_t i;
	int rc;

	if (!json_is_array(value))
		return take_type_name(c, node, k, value);
	if (json_len(value) == 0)
		return bad(c, node, k->name, ERR_SYNTAX, "must not be empty");
	json_each_item(i, item, value) {
		rc = take_type_name(c, node, k, item);
		if (rc)
			return rc;
	}
	return 0;
}

static int take_enum(struct compile *c, struct schema_node *node, const struct keyword *k,
		     const struct json *value)
{
	if (!json_is_array(value))
		return bad_type(c, node, k->name, "an array", value);
	node->values = value;
	return 0;
}

static int take_const(struct compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	(void)c;
	(void)k;
	node->constant = value;
	return 0;
}

static int take_number(struct compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	if (!json_is_number(value))
		return bad_type(c, node, k->name, "a number", value);
	*FIELD(node, k, struct str) = json_num_text(value);
	return 0;
}

/* A boolean in draft-04, where it makes the limit beside it exclusive. */
static int take_exclusive(struct compile *c, struct schema_node *node, const struct keyword *k,
			  const struct json *value)
{
	if (node->place.draft != SCHEMA_DRAFT_04)
		return take_number(c, node, k, value);
	if (!json_is_bool(value))
		return bad_type(c, node, k->name, "true or false (as in draft-04)", value);
	return 0;
}

static int take_multiple_of(struct compile *c, struct schema_node *node, const struct keyword *k,
			    const struct json *value)
{
	if (!json_is_number(value))
		return bad_type(c, node, k->name, "a number", value);
	if (!json_number_divides(json_num_text(value)))
		return bad(c, node, k->name, ERR_SYNTAX,
			   "must be greater than 0 and have at most 18 digits");
	node->multiple_of = json_num_text(value);
	return 0;
}

/* A count: what is past uint64_t is as good as its maximum. */
static int take_count(struct compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	struct str text = json_num_text(value);
	double approximate;
	int64_t exact;

	if (!text.p || !json_number_is_integer(text) || json_number_cmp(text, STR("0")) < 0)
		return bad(c, node, k->name, ERR_SYNTAX, "must be an integer of at least 0");
	if (json_to_int(value, &exact))
		*FIELD(node, k, uint64_t) = (uint64_t)exact;
	else if (json_to_double(value, &approximate) && approximate < 9e15)
		*FIELD(node, k, uint64_t) = (uint64_t)approximate;
	else
		*FIELD(node, k, uint64_t) = UINT64_MAX;
	return 0;
}

static int take_unique(struct compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	if (!json_is_bool(value))
		return bad_type(c, node, k->name, "true or false", value);
	node->unique = json_bool_value(value);
	return 0;
}

static int take_pattern(struct compile *c, struct schema_node *node, const struct keyword *k,
			const struct json *value)
{
	if (!json_is_string(value))
		return bad_type(c, node, k->name, "a string", value);
	node->pattern_text = json_str(value);
	return take_regex(c, node, k, node->pattern_text, &node->pattern);
}

static int take_format(struct compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	if (!json_is_string(value))
		return bad_type(c, node, k->name, "a string", value);
	node->format_name = json_str(value);
	node->format = schema_format_find(node->format_name);
	return 0;
}

#define ROW(name, since, take, field)                                                 \
	{                                                                             \
		name, SCHEMA_DRAFT_##since, take, offsetof(struct schema_node, field) \
	}

static const struct keyword keywords[] = {
	ROW("type", 04, take_type, types),
	ROW("enum", 04, take_enum, values),
	ROW("const", 06, take_const, constant),
	ROW("minimum", 04, take_number, minimum),
	ROW("maximum", 04, take_number, maximum),
	ROW("exclusiveMinimum", 04, take_exclusive, above),
	ROW("exclusiveMaximum", 04, take_exclusive, below),
	ROW("multipleOf", 04, take_multiple_of, multiple_of),
	ROW("minLength", 04, take_count, min_length),
	ROW("maxLength", 04, take_count, max_length),
	ROW("pattern", 04, take_pattern, pattern),
	ROW("format", 04, take_format, format),
	ROW("minItems", 04, take_count, min_items),
	ROW("maxItems", 04, take_count, max_items),
	ROW("uniqueItems", 04, take_unique, unique),
	ROW("items", 04, take_items, items),
	ROW("additionalItems", 04, take_schema, additional_items),
	ROW("contains", 06, take_schema, contains),
	ROW("minProperties", 04, take_count, min_properties),
	ROW("maxProperties", 04, take_count, max_properties),
	ROW("required", 04, take_names, required),
	ROW("properties", 04, take_properties, properties),
	ROW("patternProperties", 04, take_patterns, patterns),
	ROW("additionalProperties", 04, take_schema, additional),
	ROW("propertyNames", 06, take_schema, names),
	ROW("dependencies", 04, take_dependencies, dependencies),
	ROW("allOf", 04, take_some_schemas, all_of),
	ROW("anyOf", 04, take_some_schemas, any_of),
	ROW("oneOf", 04, take_some_schemas, one_of),
	ROW("not", 04, take_schema, not_),
	ROW("if", 07, take_schema, if_),
	ROW("then", 07, take_schema, then_),
	ROW("else", 07, take_schema, else_),
};

/* Draft-04 writes {"minimum": 1, "exclusiveMinimum": true}. */
static void make_exclusive(struct schema_node *node)
{
	const struct json *value = node->place.value;

	if (node->place.draft != SCHEMA_DRAFT_04)
		return;
	if (json_bool_value(json_get(value, "exclusiveMinimum"))) {
		node->above = node->minimum;
		node->minimum = str_make(NULL, 0);
	}
	if (json_bool_value(json_get(value, "exclusiveMaximum"))) {
		node->below = node->maximum;
		node->maximum = str_make(NULL, 0);
	}
}

/* Draft-04 has true and false for additionalItems and additionalProperties only. */
static bool may_be_boolean(const struct schema_node *node)
{
	return node->place.draft != SCHEMA_DRAFT_04 || str_is(node->keyword, "additionalItems") ||
	       str_is(node->keyword, "additionalProperties");
}

static int take_ref(struct compile *c, struct schema_node *node, const struct json *ref)
{
	struct schema_place place;
	struct err why;
	int rc;

	if (!json_is_string(ref))
		return bad_type(c, node, "$ref", "a string", ref);
	rc = schema_refs_find(&c->refs, &node->place, json_str(ref), &place, &why);
	if (rc)
		return bad(c, node, "$ref", rc, "%s", why.text);
	return node_at(c, &place, NULL, json_str(ref), str_make(NULL, 0), &node->ref);
}

static int compile_node(struct compile *c, struct schema_node *node)
{
	const struct json *value = node->place.value, *ref = json_get(value, "$ref");
	const struct json_member *m;
	size_t i;
	int rc;

	if (json_is_bool(value) && may_be_boolean(node)) {
		node->never = !json_bool_value(value);
		return 0;
	}
	if (!json_is_object(value))
		return bad(c, node, NULL, ERR_SYNTAX, "a schema must be an object%s, not %s",
			   may_be_boolean(node) ? ", true or false" : "", json_type_name(value));
	if (ref)
		return take_ref(c, node, ref);
	json_each_member(m, value) {
		for (i = 0; i < ARRAY_LEN(keywords); i++)
			if (str_is(m->key, keywords[i].name))
				break;
		if (i == ARRAY_LEN(keywords) || keywords[i].since > node->place.draft)
			continue;
		rc = keywords[i].take(c, node, &keywords[i], m->value);
		if (rc)
			return rc;
	}
	make_exclusive(node);
	return 0;
}

/* -- endless references ------------------------------------------------------------------- */

enum { NEW, OPEN, DONE };

static int look_for_circle(struct compile *c, struct schema_node *node, unsigned depth);

static int look_in_list(struct compile *c, const struct schema_list *list, unsigned depth)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < list->n && rc == 0; i++)
		rc = look_for_circle(c, list->node[i], depth);
	return rc;
}

/* A schema that comes back to itself while it still looks at the same value never ends. Only
 * what applies to the same value is followed. */
static int look_for_circle(struct compile *c, struct schema_node *node, unsigned depth)
{
	size_t i;
	int rc;

	if (!node || node->visit == DONE)
		return 0;
	if (node->visit == OPEN)
		return bad(c, node, NULL, ERR_SYNTAX, "refers to itself without end");
	if (depth > INPLACE_MAX)
		return bad(c, node, NULL, ERR_TOOBIG, "more than %d references inside each other",
			   INPLACE_MAX);
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
	struct compile c = { .arena = arena, .err = err, .refs = { arena, NULL } };
	struct schema_node *node, *root;
	struct schema_place place;
	int rc;

	rc = find_draft(value, &draft, err);
	if (rc)
		return rc;
	schema_refs_add(&c.refs, value, draft, &place);
	rc = node_at(&c, &place, NULL, STR("#"), str_make(NULL, 0), &root);
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

int schema_check_meta(const struct json *value, struct err *err)
{
	enum schema_draft draft = SCHEMA_DRAFT_04;
	struct arena arena = { NULL, NULL };
	struct schema *schema;
	struct json *meta;
	int rc;

	rc = find_draft(value, &draft, err);
	if (rc)
		return rc;
	rc = json_parse(&arena, schema_meta_text(&arena, draft), NULL, &meta, err);
	if (rc == 0)
		rc = schema_compile(&arena, meta, &schema, err);
	if (rc == 0)
		rc = schema_validate(schema, value, NULL, err);
	arena_finish(&arena);
	return rc;
}
