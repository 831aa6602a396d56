/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_schema.h"

#include <string.h>

#define DRAFT "http://json-schema.org/draft-04/schema#"

/* -- one property ------------------------------------------------------------------------- */

static void set_text(struct arena *arena, struct json *schema, const char *key, struct str text)
{
	if (text.n)
		json_set_str(arena, schema, key, text);
}

static void set_bound(struct arena *arena, struct json *schema, const char *key, const char *flag,
		      struct str bound, struct str exclusive)
{
	if (bound.p)
		json_set(arena, schema, key, json_number(arena, bound));
	if (!exclusive.p)
		return;
	json_set(arena, schema, key, json_number(arena, exclusive));
	json_set_bool(arena, schema, flag, true);
}

static struct json *property(struct arena *arena, const struct bundle_param *p)
{
	static const char *const names[] = {
		[BUNDLE_STRING] = "string", [BUNDLE_INTEGER] = "integer",
		[BUNDLE_NUMBER] = "number", [BUNDLE_BOOLEAN] = "boolean",
		[BUNDLE_OBJECT] = "object", [BUNDLE_ARRAY] = "array",
		[BUNDLE_NULL] = "null",
	};
	struct json *schema = json_object(arena);

	set_text(arena, schema, "title", p->title);
	set_text(arena, schema, "description", p->description);
	json_set_cstr(arena, schema, "type", names[p->type]);
	json_set(arena, schema, "default", json_copy(arena, p->fallback));
	json_set(arena, schema, "enum", json_copy(arena, p->choices));
	if (p->type == BUNDLE_STRING) {
		if (p->max_length)
			json_set_int(arena, schema, "maxLength", (int64_t)p->max_length);
		if (p->min_length)
			json_set_int(arena, schema, "minLength", (int64_t)p->min_length);
		set_text(arena, schema, "pattern", p->pattern);
	}
	if (p->type == BUNDLE_INTEGER || p->type == BUNDLE_NUMBER) {
		if (p->multiple_of.p)
			json_set(arena, schema, "multipleOf", json_number(arena, p->multiple_of));
		set_bound(arena, schema, "minimum", "exclusiveMinimum", p->minimum,
			  p->exclusive_minimum);
		set_bound(arena, schema, "maximum", "exclusiveMaximum", p->maximum,
			  p->exclusive_maximum);
	}
	return schema;
}

static void add_property(struct arena *arena, struct json *properties, const struct bundle_param *p)
{
	json_add(arena, properties, p->name, property(arena, p));
}

/* The member under key, made when it is not there. */
static struct json *member(struct arena *arena, struct json *object, struct str key,
			   struct json *(*make)(struct arena *))
{
	struct json *value = json_get_str(object, key);

	if (!value) {
		value = make(arena);
		json_add(arena, object, key, value);
	}
	return value;
}

/* -- dependencies ------------------------------------------------------------------------- */

static void require(struct arena *arena, struct json *schema, const struct bundle_param *p)
{
	json_append(arena, member(arena, schema, STR("required"), json_array),
		    json_string(arena, p->name));
}

static bool same_dependents(const struct bundle_params *params, const struct bundle_param *key,
			    const struct json *a, const struct json *b)
{
	size_t i;

	for (i = 0; i < params->n; i++)
		if (str_eq(params->p[i].depends_on, key->name) &&
		    bundle_asks_for(&params->p[i], a) != bundle_asks_for(&params->p[i], b))
			return false;
	return true;
}

static struct json *branch(struct arena *arena, const struct bundle_params *params,
			   const struct bundle_param *key, const struct json *choice)
{
	struct json *out = json_object(arena), *properties = json_object(arena);
	struct json *of_key = json_object(arena), *values = json_array(arena);
	const struct json *other;
	size_t i;

	json_each_item(i, other, key->choices)
		if (same_dependents(params, key, choice, other))
			json_append(arena, values, json_copy(arena, other));
	json_set(arena, of_key, "enum", values);
	json_add(arena, properties, key->name, of_key);
	json_set(arena, out, "properties", properties);
	for (i = 0; i < params->n; i++) {
		const struct bundle_param *p = &params->p[i];

		if (p == key || !str_eq(p->depends_on, key->name) || !bundle_asks_for(p, choice))
			continue;
		add_property(arena, properties, p);
		require(arena, out, p);
	}
	return out;
}

static struct json *branches(struct arena *arena, const struct bundle_params *params,
			     const struct bundle_param *key)
{
	struct json *one_of = json_array(arena);
	const struct json *choice, *before;
	size_t i, j;

	json_each_item(i, choice, key->choices) {
		json_each_item(j, before, key->choices)
			if (same_dependents(params, key, choice, before))
				break;
		if (j == i) /* the first of its set */
			json_append(arena, one_of, branch(arena, params, key, choice));
	}
	return one_of;
}

/* P depends on K: what `dependencies` says under K's name. */
static void add_dependency(struct arena *arena, struct json *schema,
			   const struct bundle_params *params, const struct bundle_param *p)
{
	const struct bundle_param *key = bundle_param_find(params, p->depends_on);
	struct json *all = member(arena, schema, STR("dependencies"), json_object);
	struct json *of_key = member(arena, all, key->name, json_object);

	if (!key->choices) {
		add_property(arena, member(arena, of_key, STR("properties"), json_object), p);
		require(arena, of_key, p);
	} else if (!json_get(of_key, "oneOf")) {
		json_set(arena, of_key, "oneOf", branches(arena, params, key));
	}
}

/* A pattern that matches this name and no other. */
static struct str exactly(struct arena *arena, struct str name)
{
	struct buf pattern = { 0 };
	struct str copy;
	size_t i;

	buf_putc(&pattern, '^');
	for (i = 0; i < name.n; i++) {
		if (strchr("^$\\.*+?()[]{}|/", name.p[i]) && name.p[i])
			buf_putc(&pattern, '\\');
		buf_putc(&pattern, name.p[i]);
	}
	buf_putc(&pattern, '$');
	copy = arena_str(arena, buf_str(&pattern));
	buf_finish(&pattern);
	return copy;
}

/* -- schemas ------------------------------------------------------------------------------ */

static struct json *schema_of(struct arena *arena, const struct bundle_params *params)
{
	struct json *schema = json_object(arena), *properties = json_object(arena);
	struct json *required = json_array(arena), *hidden = json_object(arena);
	size_t i;

	json_set_cstr(arena, schema, "$schema", DRAFT);
	json_set_cstr(arena, schema, "type", "object");
	json_set_bool(arena, schema, "additionalProperties", false);
	json_set(arena, schema, "properties", properties);
	for (i = 0; i < params->n; i++) {
		const struct bundle_param *p = &params->p[i];

		if (bundle_depends(params, p)) {
			json_add(arena, hidden, exactly(arena, p->name), property(arena, p));
			add_dependency(arena, schema, params, p);
			continue;
		}
		add_property(arena, properties, p);
		if (p->required)
			json_append(arena, required, json_string(arena, p->name));
	}
	if (json_len(hidden))
		json_set(arena, schema, "patternProperties", hidden);
	if (json_len(required))
		json_set(arena, schema, "required", required);
	return schema;
}

static struct bundle_params updatable(struct arena *arena, const struct bundle_params *all)
{
	struct bundle_params some = { NULL, 0 };
	size_t i;

	some.p = arena_zalloc(arena, (all->n + 1) * sizeof(*some.p));
	for (i = 0; i < all->n; i++)
		if (all->p[i].updatable)
			some.p[some.n++] = all->p[i];
	return some;
}

static struct json *wrap(struct arena *arena, const char *key, struct json *value)
{
	struct json *object = json_object(arena);

	json_set(arena, object, key, value);
	return object;
}

/* The shape that schemas and forms share. */
static struct json *by_verb(struct arena *arena, const struct bundle_plan *plan, const char *key,
			    struct json *(*make)(struct arena *, const struct bundle_params *))
{
	struct bundle_params update = updatable(arena, &plan->parameters);
	struct json *all = json_object(arena), *instance = json_object(arena);

	json_set(arena, instance, "create", wrap(arena, key, make(arena, &plan->parameters)));
	json_set(arena, instance, "update", wrap(arena, key, make(arena, &update)));
	json_set(arena, all, "service_instance", instance);
	json_set(arena, all, "service_binding",
		 wrap(arena, "create", wrap(arena, key, make(arena, &plan->bind_parameters))));
	return all;
}

struct json *bundle_schemas(struct arena *arena, const struct bundle_plan *plan)
{
	return by_verb(arena, plan, "parameters", schema_of);
}

/* -- forms -------------------------------------------------------------------------------- */

static struct json *field(struct arena *arena, const struct bundle_param *p)
{
	struct json *item;

	if (!p->display_type.n)
		return json_string(arena, p->name);
	item = json_object(arena);
	json_set_str(arena, item, "key", p->name);
	json_set_str(arena, item, "type", p->display_type);
	return item;
}

static struct json *form_of(struct arena *arena, const struct bundle_params *params)
{
	struct json *form = json_array(arena), *items, *group;
	size_t i = 0;

	while (i < params->n) {
		struct str title = params->p[i].display_group;

		if (!title.n) {
			json_append(arena, form, field(arena, &params->p[i++]));
			continue;
		}
		group = json_object(arena);
		items = json_array(arena);
		json_set_str(arena, group, "title", title);
		json_set_cstr(arena, group, "type", "fieldset");
		json_set(arena, group, "items", items);
		json_append(arena, form, group);
		for (; i < params->n && str_eq(params->p[i].display_group, title); i++)
			json_append(arena, items, field(arena, &params->p[i]));
	}
	return form;
}

struct json *bundle_forms(struct arena *arena, const struct bundle_plan *plan)
{
	return by_verb(arena, plan, "openshift_form_definition", form_of);
}
