/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/catalog_schemas.h"

#include "core/mem.h"

/* A schema that is looked at. */
struct look {
	const struct json *value;
	const struct json *node; /* for messages */
	const char *path;
	struct schema_metas *metas;
	struct arena *arena;
	struct conf_errors *errors;
};

/* -- references ---------------------------------------------------------------------------- */

/* Keywords whose members are schemas by names of the author's choice. */
static bool holds_names(struct str key)
{
	static const char *const keys[] = { "properties", "patternProperties", "definitions",
					    "dependencies" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(keys); i++)
		if (str_is(key, keys[i]))
			return true;
	return false;
}

/* Keywords that hold any JSON. */
static bool holds_values(struct str key)
{
	return str_is(key, "enum") || str_is(key, "const") || str_is(key, "default") ||
	       str_is(key, "examples");
}

/* A reference to a draft's meta-schema would compile, as it is built in, but it is outside. */
static const struct json *outside(const struct json *schema)
{
	const struct json *found = NULL, *item;
	const struct json_member *m, *named;
	enum schema_draft draft;
	struct str uri;
	size_t i;

	json_each_item(i, item, schema) {
		if (!found)
			found = outside(item);
	}
	json_each_member(m, schema) {
		if (found)
			break;
		uri = str_cut(json_str(m->value), '#', &(struct str){ 0 });
		if (str_is(m->key, "$ref") && uri.n && schema_meta_find(uri, &draft))
			return m->value;
		if (holds_values(m->key))
			continue;
		if (!holds_names(m->key)) {
			found = outside(m->value);
			continue;
		}
		json_each_member(named, m->value) {
			if (!found)
				found = outside(named->value);
		}
	}
	return found;
}

/* -- one schema ---------------------------------------------------------------------------- */

static void warn_draft_04(const struct look *look)
{
	struct err err;

	if (schema_validate(schema_meta(look->metas, SCHEMA_DRAFT_04), look->value, "", &err) != 0)
		conf_errors_warn(look->errors, look->node, look->path,
				 "Cloud Controller reads schemas as draft-04 and may refuse this "
				 "one: %s",
				 err.text);
}

static bool too_long(const struct look *look)
{
	struct buf text = { 0 };
	size_t n;

	json_write(&text, look->value);
	n = str_utf8_len(buf_str(&text));
	buf_finish(&text);
	if (n <= CATALOG_SCHEMA_MAX)
		return false;
	conf_errors_add(look->errors, look->node, look->path,
			"is %zu characters long as JSON, more than %d", n, CATALOG_SCHEMA_MAX);
	return true;
}

/* The compiled schema; NULL: it is absent, or wrong and said so. */
static struct schema *compile(const struct look *look)
{
	const struct json *ref, *draft = json_get(look->value, "$schema");
	struct schema *schema = NULL;
	enum schema_draft is;
	struct err err;
	int rc;

	if (!json_is_object(look->value)) {
		conf_errors_add(look->errors, look->node, look->path,
				"a schema is an object, not %s", json_type_name(look->value));
		return NULL;
	}
	if (!json_is_string(draft)) {
		conf_errors_add(look->errors, look->node, look->path,
				"a schema says its draft in \"$schema\", such as "
				"\"http://json-schema.org/draft-04/schema#\"");
		return NULL;
	}
	if (too_long(look))
		return NULL;
	rc = schema_metas_check(look->metas, look->value, &err);
	if (rc == 0)
		rc = schema_compile(look->arena, look->value, &schema, &err);
	if (rc != 0) {
		conf_errors_add(look->errors, look->node, look->path, "%s", err.text);
		return NULL;
	}
	ref = outside(look->value);
	if (ref) {
		conf_errors_add(look->errors, ref->line ? ref : look->node, look->path,
				"refers to something outside itself: \"%.*s\"",
				STR_ARG(json_str(ref)));
		return NULL;
	}
	if (schema_meta_find(json_str(draft), &is) && is != SCHEMA_DRAFT_04)
		warn_draft_04(look);
	return schema;
}

/* -- all of a plan ------------------------------------------------------------------------- */

/* Refuses members of object that are none of the names. False: object is absent or no mapping. */
static bool only(const struct look *look, const struct json *object, const char *path,
		 const char *one, const char *two)
{
	const struct json_member *m;

	if (!object || json_is_null(object))
		return false;
	if (!json_is_object(object)) {
		conf_errors_add(look->errors, object->line ? object : look->node, path,
				"must be a mapping, not %s", json_type_name(object));
		return false;
	}
	json_each_member(m, object) {
		if (!str_is(m->key, one) && !(two && str_is(m->key, two)))
			conf_errors_add(look->errors, m->value->line ? m->value : look->node, path,
					"\"%.*s\" is unknown here (known: %s%s%s)", STR_ARG(m->key),
					one, two ? ", " : "", two ? two : "");
	}
	return true;
}

/* part.verb.parameters: into *out, and into the catalog's object. look: of the plan. */
static void add_verb(const struct look *look, const struct json *part, const char *path,
		     const char *verb, struct json *shown, const struct schema **out)
{
	const struct json *holder = json_get(part, verb);
	struct look own = *look;
	struct json *wrapped;
	char at[400];

	snprintf(at, sizeof(at), "%s.%s", path, verb);
	if (!only(look, holder, at, "parameters", NULL))
		return;
	own.value = json_get(holder, "parameters");
	if (!own.value || json_is_null(own.value))
		return;
	snprintf(at, sizeof(at), "%s.%s.parameters", path, verb);
	own.path = at;
	if (own.value->line)
		own.node = own.value;
	*out = compile(&own);
	wrapped = json_object(look->arena);
	json_set(look->arena, wrapped, "parameters", json_copy(look->arena, own.value));
	json_set(look->arena, shown, verb, wrapped);
}

void catalog_schemas(struct plan *plan, const struct json *node, const char *path,
		     struct schema_metas *metas, struct arena *arena, struct conf_errors *errors)
{
	struct look look = { .node = node, .metas = metas, .arena = arena, .errors = errors };
	const struct json *schemas = plan->schemas, *part;
	struct json *shown = json_object(arena), *verbs;
	char at[300];

	plan->schemas = NULL;
	plan->create = plan->update = plan->bind = NULL;
	snprintf(at, sizeof(at), "%s.schemas", path);
	if (!only(&look, schemas, at, "service_instance", "service_binding"))
		return;

	part = json_get(schemas, "service_instance");
	snprintf(at, sizeof(at), "%s.schemas.service_instance", path);
	if (only(&look, part, at, "create", "update")) {
		verbs = json_object(arena);
		add_verb(&look, part, at, "create", verbs, &plan->create);
		add_verb(&look, part, at, "update", verbs, &plan->update);
		if (json_len(verbs))
			json_set(arena, shown, "service_instance", verbs);
	}
	part = json_get(schemas, "service_binding");
	snprintf(at, sizeof(at), "%s.schemas.service_binding", path);
	if (only(&look, part, at, "create", NULL)) {
		verbs = json_object(arena);
		add_verb(&look, part, at, "create", verbs, &plan->bind);
		if (json_len(verbs))
			json_set(arena, shown, "service_binding", verbs);
	}
	if (json_len(shown))
		plan->schemas = shown;
}
