/* SPDX-License-Identifier: Apache-2.0 */
/* A row for each keyword: since which draft, who takes its value, into which field. */
#include "core/schema_compile.h"

#include "core/mem.h"

#include <stdlib.h>

struct keyword {
	const char *name;
	enum schema_draft since;
	int (*take)(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		    const struct json *value);
	size_t field; /* offset in struct schema_node */
};

#define FIELD(node, k, type) ((type *)(void *)((char *)(node) + (k)->field))

static int take_schema(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	return schema_node_inside(c, node, k->name, str_make(NULL, 0), value,
				  FIELD(node, k, struct schema_node *));
}

static int take_schemas(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
			const struct json *value)
{
	struct schema_list *list = FIELD(node, k, struct schema_list);
	const struct json *item;
	char *token;
	size_t i;
	int rc;

	if (!json_is_array(value))
		return schema_bad_type(c, node, k->name, "an array of schemas", value);
	list->n = json_len(value);
	list->node = arena_zalloc(c->arena, list->n * sizeof(list->node[0]));
	json_each_item(i, item, value) {
		token = arena_printf(c->arena, "%zu", i);
		rc = schema_node_inside(c, node, k->name, str_of(token), item, &list->node[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static int take_some_schemas(struct schema_compile *c, struct schema_node *node,
			     const struct keyword *k, const struct json *value)
{
	if (json_is_array(value) && json_len(value) == 0)
		return schema_bad(c, node, k->name, ERR_SYNTAX, "must not be empty");
	return take_schemas(c, node, k, value);
}

static int take_items(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
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

static int take_properties(struct schema_compile *c, struct schema_node *node,
			   const struct keyword *k, const struct json *value)
{
	struct schema_property *property;
	const struct json_member *m;
	int rc;

	if (!json_is_object(value))
		return schema_bad_type(c, node, k->name, "an object", value);
	property = arena_zalloc(c->arena, json_len(value) * sizeof(*property));
	node->properties = property;
	json_each_member(m, value) {
		property->key = m->key;
		rc = schema_node_inside(c, node, k->name, m->key, m->value, &property->node);
		if (rc)
			return rc;
		property++;
	}
	node->n_properties = json_len(value);
	if (node->n_properties)
		qsort(node->properties, node->n_properties, sizeof(*property), by_key);
	return 0;
}

static int take_regex(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		      struct str text, struct regex **out)
{
	struct err why;
	int rc = regex_compile(c->arena, text, out, &why);

	if (rc)
		return schema_bad(c, node, k->name, ERR_SYNTAX,
				  "\"%.*s\" is no regular expression: %s",
				  STR_ARG(str_utf8_head(text, 200)), why.text);
	return 0;
}

static int take_patterns(struct schema_compile *c, struct schema_node *node,
			 const struct keyword *k, const struct json *value)
{
	struct schema_pattern *pattern;
	const struct json_member *m;
	int rc;

	if (!json_is_object(value))
		return schema_bad_type(c, node, k->name, "an object", value);
	pattern = arena_zalloc(c->arena, json_len(value) * sizeof(*pattern));
	node->patterns = pattern;
	node->n_patterns = json_len(value);
	json_each_member(m, value) {
		pattern->text = m->key;
		rc = take_regex(c, node, k, m->key, &pattern->regex);
		if (rc == 0)
			rc = schema_node_inside(c, node, k->name, m->key, m->value, &pattern->node);
		if (rc)
			return rc;
		pattern++;
	}
	return 0;
}

static int take_names(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	const struct json *item;
	size_t i;

	if (!json_is_array(value))
		return schema_bad_type(c, node, k->name, "an array of names", value);
	json_each_item(i, item, value)
		if (!json_is_string(item))
			return schema_bad_type(c, node, k->name, "an array of names", item);
	*FIELD(node, k, const struct json *) = value;
	return 0;
}

static int take_dependencies(struct schema_compile *c, struct schema_node *node,
			     const struct keyword *k, const struct json *value)
{
	struct schema_dependency *dependency;
	const struct json_member *m;
	const struct json *item;
	size_t i;
	int rc;

	if (!json_is_object(value))
		return schema_bad_type(c, node, k->name, "an object", value);
	dependency = arena_zalloc(c->arena, json_len(value) * sizeof(*dependency));
	node->dependencies = dependency;
	node->n_dependencies = json_len(value);
	json_each_member(m, value) {
		dependency->key = m->key;
		if (json_is_array(m->value)) {
			json_each_item(i, item, m->value)
				if (!json_is_string(item))
					return schema_bad_type(c, node, k->name,
							       "an array of names", item);
			dependency->wanted = m->value;
		} else {
			rc = schema_node_inside(c, node, k->name, m->key, m->value,
						&dependency->node);
			if (rc)
				return rc;
		}
		dependency++;
	}
	return 0;
}

static int take_type_name(struct schema_compile *c, struct schema_node *node,
			  const struct keyword *k, const struct json *value)
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
	return schema_bad(
		c, node, k->name, ERR_SYNTAX,
		"must be \"null\", \"boolean\", \"integer\", \"number\", \"string\", \"array\", "
		"\"object\", or an array of these");
}

static int take_type(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		     const struct json *value)
{
	const struct json *item;
	size_t i;
	int rc;

	if (!json_is_array(value))
		return take_type_name(c, node, k, value);
	if (json_len(value) == 0)
		return schema_bad(c, node, k->name, ERR_SYNTAX, "must not be empty");
	json_each_item(i, item, value) {
		rc = take_type_name(c, node, k, item);
		if (rc)
			return rc;
	}
	return 0;
}

static int take_enum(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		     const struct json *value)
{
	if (!json_is_array(value))
		return schema_bad_type(c, node, k->name, "an array", value);
	node->values = value;
	return 0;
}

static int take_const(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	(void)c;
	(void)k;
	node->constant = value;
	return 0;
}

static int take_number(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	if (!json_is_number(value))
		return schema_bad_type(c, node, k->name, "a number", value);
	*FIELD(node, k, struct str) = json_num_text(value);
	return 0;
}

/* A boolean in draft-04, where it makes the limit beside it exclusive. */
static int take_exclusive(struct schema_compile *c, struct schema_node *node,
			  const struct keyword *k, const struct json *value)
{
	if (node->place.draft != SCHEMA_DRAFT_04)
		return take_number(c, node, k, value);
	if (!json_is_bool(value))
		return schema_bad_type(c, node, k->name, "true or false (as in draft-04)", value);
	return 0;
}

static int take_multiple_of(struct schema_compile *c, struct schema_node *node,
			    const struct keyword *k, const struct json *value)
{
	if (!json_is_number(value))
		return schema_bad_type(c, node, k->name, "a number", value);
	if (!json_number_divides(json_num_text(value)))
		return schema_bad(c, node, k->name, ERR_SYNTAX,
				  "must be greater than 0 and have at most 18 digits");
	node->multiple_of = json_num_text(value);
	return 0;
}

/* A count: what is past uint64_t is as good as its maximum. */
static int take_count(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		      const struct json *value)
{
	struct str text = json_num_text(value);
	double approximate;
	int64_t exact;

	if (!text.p || !json_number_is_integer(text) || json_number_cmp(text, STR("0")) < 0)
		return schema_bad(c, node, k->name, ERR_SYNTAX, "must be an integer of at least 0");
	if (json_to_int(value, &exact))
		*FIELD(node, k, uint64_t) = (uint64_t)exact;
	else if (json_to_double(value, &approximate) && approximate < 9e15)
		*FIELD(node, k, uint64_t) = (uint64_t)approximate;
	else
		*FIELD(node, k, uint64_t) = UINT64_MAX;
	return 0;
}

static int take_unique(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	if (!json_is_bool(value))
		return schema_bad_type(c, node, k->name, "true or false", value);
	node->unique = json_bool_value(value);
	return 0;
}

static int take_pattern(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
			const struct json *value)
{
	if (!json_is_string(value))
		return schema_bad_type(c, node, k->name, "a string", value);
	node->pattern_text = json_str(value);
	return take_regex(c, node, k, node->pattern_text, &node->pattern);
}

static int take_format(struct schema_compile *c, struct schema_node *node, const struct keyword *k,
		       const struct json *value)
{
	if (!json_is_string(value))
		return schema_bad_type(c, node, k->name, "a string", value);
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

int schema_take_keywords(struct schema_compile *c, struct schema_node *node)
{
	const struct json_member *m;
	size_t i;
	int rc;

	json_each_member(m, node->place.value) {
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
