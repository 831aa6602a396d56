/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_spec.h"

#include "core/digest.h"
#include "core/mem.h"
#include "core/regex.h"
#include "core/yaml.h"

#include <stdio.h>
#include <string.h>

#define FQ_MAX 51 /* characters */

const struct bundle_param *bundle_param_find(const struct bundle_params *params, struct str name)
{
	size_t i;

	for (i = 0; i < params->n; i++)
		if (str_eq(params->p[i].name, name))
			return &params->p[i];
	return NULL;
}

bool bundle_asks_for(const struct bundle_param *p, const struct json *choice)
{
	const struct json *value;
	size_t i;

	json_each_item(i, value, p->depends_value)
		if (str_eq(json_str(value), yaml_text(choice)))
			return true;
	return false;
}

bool bundle_depends(const struct bundle_params *params, const struct bundle_param *p)
{
	const struct bundle_param *key =
		p->depends_on.n ? bundle_param_find(params, p->depends_on) : NULL;
	const struct json *choice;
	size_t i;

	if (!key || key == p)
		return false;
	if (!key->choices)
		return true;
	json_each_item(i, choice, key->choices)
		if (bundle_asks_for(p, choice))
			return true;
	return false;
}

/* One reading. path is where we are: "plans[0].parameters[2]". */
struct reader {
	struct arena *arena;
	struct conf_errors *errors;
	size_t n_before; /* errors that are not ours */
	char path[128];
};

static const char *path_of(const struct reader *r, const char *key)
{
	return arena_printf(r->arena, "%s%s%s", r->path, r->path[0] && *key ? "." : "", key);
}

#define bad(r, node, key, ...) \
	conf_errors_add((r)->errors, (node), path_of((r), (key)), __VA_ARGS__)
#define warn(r, node, key, ...) \
	conf_errors_warn((r)->errors, (node), path_of((r), (key)), __VA_ARGS__)

/* Goes down to key, or key[i]; returns what *r had to come back to. */
static struct reader down(const struct reader *r, const char *key, size_t i)
{
	struct reader below = *r;

	snprintf(below.path, sizeof(below.path), "%s[%zu]", path_of(r, key), i);
	return below;
}

/* -- members of a type; null counts as absent ------------------------------------------------ */

static const struct json *get(const struct json *object, const char *key)
{
	const struct json *v = json_get(object, key);

	return json_is_null(v) ? NULL : v;
}

/* Any scalar gives its text. */
static struct str get_text(struct reader *r, const struct json *object, const char *key)
{
	const struct json *v = get(object, key);
	struct str text = { NULL, 0 };

	if (!v)
		return text;
	text = yaml_text(v);
	if (!text.p)
		bad(r, v, key, "must be a string, not %s", json_type_name(v));
	else if (memchr(text.p, '\0', text.n))
		bad(r, v, key, "must not hold a NUL");
	return arena_str(r->arena, text);
}

static struct str get_name(struct reader *r, const struct json *object, const char *key)
{
	struct str text = get_text(r, object, key);

	if (!text.n && (!get(object, key) || yaml_text(get(object, key)).p))
		bad(r, get(object, key) ? get(object, key) : object, key, "is missing");
	return text;
}

static bool get_bool(struct reader *r, const struct json *object, const char *key, bool fallback)
{
	const struct json *v = get(object, key);

	if (v && !json_is_bool(v))
		bad(r, v, key, "must be true or false, not %s", json_type_name(v));
	return json_is_bool(v) ? json_bool_value(v) : fallback;
}

static const struct json *get_of(struct reader *r, const struct json *object, const char *key,
				 enum json_type type, const char *name)
{
	const struct json *v = get(object, key);

	if (v && json_type(v) != type) {
		bad(r, v, key, "must be %s, not %s", name, json_type_name(v));
		return NULL;
	}
	return v;
}

static const struct json *get_list(struct reader *r, const struct json *object, const char *key)
{
	return get_of(r, object, key, JSON_ARRAY, "a list");
}

static const struct json *get_map(struct reader *r, const struct json *object, const char *key)
{
	return get_of(r, object, key, JSON_OBJECT, "a mapping");
}

static struct str get_number(struct reader *r, const struct json *object, const char *key)
{
	return json_num_text(get_of(r, object, key, JSON_NUMBER, "a number"));
}

static uint64_t get_length(struct reader *r, const struct json *object, const char *key)
{
	const struct json *v = get(object, key);
	int64_t n = 0;

	if (v && (!json_to_int(v, &n) || n < 0)) {
		bad(r, v, key, "must be an integer from 0 on");
		return 0;
	}
	return (uint64_t)n;
}

/* A list of scalars as strings; NULL when absent. */
static const struct json *get_texts(struct reader *r, const struct json *object, const char *key)
{
	const struct json *list = get_list(r, object, key), *item;
	struct json *texts = list ? json_array(r->arena) : NULL;
	size_t i;

	json_each_item(i, item, list) {
		if (json_is_null(item) || !yaml_text(item).p)
			bad(r, item, key, "must be a list of strings");
		else
			json_append(r->arena, texts, json_string(r->arena, yaml_text(item)));
	}
	return texts;
}

/* Keys that begin with x- or _ are where people put anchors. */
static void look_for_strangers(struct reader *r, const struct json *object,
			       const char *const *known)
{
	const struct json_member *m;
	size_t i;

	json_each_member(m, object) {
		for (i = 0; known[i] && !str_is(m->key, known[i]); i++)
			;
		if (!known[i] && !str_starts(m->key, STR("x-")) && !str_starts(m->key, STR("_")))
			conf_errors_warn(r->errors, m->value, r->path,
					 "\"%.*s\" is not a key of the specification: ignored",
					 STR_ARG(m->key));
	}
}

/* -- parameters ---------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum bundle_type type;
} types[] = {
	{ "string", BUNDLE_STRING },   { "enum", BUNDLE_STRING },   { "int", BUNDLE_INTEGER },
	{ "integer", BUNDLE_INTEGER }, { "number", BUNDLE_NUMBER }, { "bool", BUNDLE_BOOLEAN },
	{ "boolean", BUNDLE_BOOLEAN }, { "object", BUNDLE_OBJECT }, { "array", BUNDLE_ARRAY },
	{ "nil", BUNDLE_NULL },        { "null", BUNDLE_NULL },
};

static void read_type(struct reader *r, const struct json *node, struct bundle_param *p)
{
	const struct json *v = json_get(node, "type");
	struct str name = v ? yaml_text(v) : str_make(NULL, 0); /* null is a type, too */
	size_t i;

	for (i = 0; i < ARRAY_LEN(types); i++) {
		if (name.p && str_ieq(name, str_of(types[i].name))) {
			p->type = types[i].type;
			return;
		}
	}
	if (!name.n)
		bad(r, node, "type", "is missing");
	else
		bad(r, v, "type",
		    "must be string, enum, int, integer, number, bool, boolean, object, array, "
		    "nil or null");
}

/* A value as the parameter's type wants it: YAML's 8080 is "8080" for a string. */
static struct json *as_type(struct reader *r, const struct bundle_param *p, const struct json *v)
{
	struct str text = yaml_text(v);

	if (p->type == BUNDLE_STRING && text.p && !json_is_null(v))
		return json_string(r->arena, text);
	if ((p->type == BUNDLE_INTEGER || p->type == BUNDLE_NUMBER) && json_is_string(v) &&
	    json_number_ok(text))
		return json_number(r->arena, text);
	if (p->type == BUNDLE_BOOLEAN && json_is_string(v) &&
	    (str_is(text, "true") || str_is(text, "false")))
		return json_bool(r->arena, str_is(text, "true"));
	return json_copy(r->arena, v);
}

static void read_choices(struct reader *r, const struct json *node, struct bundle_param *p)
{
	const struct json *list = get_list(r, node, "enum"), *item;
	struct json *choices;
	size_t i;

	if (!json_len(list))
		return;
	choices = json_array(r->arena);
	json_each_item(i, item, list) {
		const struct json *before;
		struct json *choice = as_type(r, p, item);
		size_t j;

		json_each_item(j, before, choices)
			if (json_equal(before, choice))
				bad(r, item, "enum", "names the same value twice");
		if (!yaml_text(item).p)
			bad(r, item, "enum", "must be a list of scalars");
		json_append(r->arena, choices, choice);
	}
	p->choices = choices;
}

static void read_pattern(struct reader *r, const struct json *node, struct bundle_param *p)
{
	struct arena scratch = { 0 };
	struct regex *regex;
	struct err err;

	p->pattern = get_text(r, node, "pattern");
	if (!p->pattern.n)
		return;
	if (regex_compile(&scratch, p->pattern, &regex, &err) < 0) {
		warn(r, get(node, "pattern"), "pattern", "ignored: %s", err.text);
		p->pattern = str_make(NULL, 0);
	}
	arena_finish(&scratch);
}

static void read_numbers(struct reader *r, const struct json *node, struct bundle_param *p)
{
	p->multiple_of = get_number(r, node, "multiple_of");
	if (p->multiple_of.p && json_number_cmp(p->multiple_of, STR("0")) <= 0) {
		if (json_number_cmp(p->multiple_of, STR("0")) < 0)
			bad(r, get(node, "multiple_of"), "multiple_of", "must be above 0");
		p->multiple_of = str_make(NULL, 0); /* 0 stands for none */
	}
	p->minimum = get_number(r, node, "minimum");
	p->maximum = get_number(r, node, "maximum");
	p->exclusive_minimum = get_number(r, node, "exclusive_minimum");
	p->exclusive_maximum = get_number(r, node, "exclusive_maximum");
}

static void read_dependency(struct reader *r, const struct json *node, struct bundle_param *p)
{
	const struct json *list = get_list(r, node, "dependencies"), *first = json_at(list, 0);
	const struct json *value;
	struct reader below = down(r, "dependencies", 0);
	struct json *one;

	if (!first)
		return;
	if (!json_is_object(first)) {
		bad(r, first, "dependencies", "must be a list of mappings");
		return;
	}
	if (json_len(list) > 1)
		warn(r, json_at(list, 1), "dependencies", "only the first one counts");
	p->depends_on = get_name(&below, first, "key");
	value = get(first, "value");
	if (json_is_array(value)) {
		p->depends_value = get_texts(&below, first, "value");
	} else {
		one = json_array(r->arena);
		if (value && yaml_text(value).p)
			json_append(r->arena, one, json_string(r->arena, yaml_text(value)));
		p->depends_value = one;
	}
}

static void read_param(struct reader *r, const struct json *node, struct bundle_param *p)
{
	static const char *const known[] = {
		"name",      "title",      "type",         "description",       "default",
		"maxlength", "max_length", "min_length",   "pattern",           "multiple_of",
		"maximum",   "minimum",    "enum",         "exclusive_maximum", "exclusive_minimum",
		"required",  "updatable",  "display_type", "display_group",     "dependencies",
		NULL,
	};
	const struct json *fallback = get(node, "default");

	if (!json_is_object(node)) {
		bad(r, node, "", "must be a mapping, not %s", json_type_name(node));
		return;
	}
	look_for_strangers(r, node, known);
	p->name = get_name(r, node, "name");
	p->title = get_text(r, node, "title");
	p->description = get_text(r, node, "description");
	read_type(r, node, p);
	p->fallback = fallback ? as_type(r, p, fallback) : NULL;
	p->max_length = get_length(r, node, get(node, "max_length") ? "max_length" : "maxlength");
	p->min_length = get_length(r, node, "min_length");
	read_pattern(r, node, p);
	read_numbers(r, node, p);
	read_choices(r, node, p);
	p->required = get_bool(r, node, "required", false);
	p->updatable = get_bool(r, node, "updatable", false);
	p->display_type = get_text(r, node, "display_type");
	p->display_group = get_text(r, node, "display_group");
	read_dependency(r, node, p);
}

static void read_params(struct reader *r, const struct json *plan, const char *key,
			struct bundle_params *params)
{
	const struct json *list = get_list(r, plan, key), *node;
	size_t i, j;

	params->p = arena_zalloc(r->arena, (json_len(list) + 1) * sizeof(*params->p));
	json_each_item(i, node, list) {
		struct reader below = down(r, key, i);
		struct bundle_param *p = &params->p[i];

		read_param(&below, node, p);
		for (j = 0; j < i; j++)
			if (p->name.n && str_eq(params->p[j].name, p->name))
				bad(&below, get(node, "name"), "name", "\"%.*s\" is there before",
				    STR_ARG(p->name));
		params->n++;
	}
	for (i = 0; i < params->n; i++) {
		struct reader below = down(r, key, i);

		if (params->p[i].depends_on.n && !bundle_depends(params, &params->p[i]))
			warn(&below, json_get(json_at(list, i), "dependencies"), "dependencies",
			     "ignored: there is no other parameter \"%.*s\" with such a value",
			     STR_ARG(params->p[i].depends_on));
	}
}

/* -- plans and the whole -------------------------------------------------------------------- */

static void read_plan(struct reader *r, const struct json *node, const struct bundle_spec *spec,
		      struct bundle_plan *plan)
{
	static const char *const known[] = {
		"name",       "description",     "metadata",   "free", "bindable", "parameters",
		"Parameters", "bind_parameters", "updates_to", "id",   NULL,
	};
	const struct json *names, *item;
	const char *parameters = "parameters";
	size_t i;

	if (!json_is_object(node)) {
		bad(r, node, "", "must be a mapping, not %s", json_type_name(node));
		return;
	}
	if (get(node, "Parameters")) {
		if (get(node, "parameters"))
			warn(r, get(node, "Parameters"), "Parameters",
			     "ignored, because `parameters` is there");
		else
			parameters = "Parameters";
	}
	look_for_strangers(r, node, known);
	plan->name = get_name(r, node, "name");
	plan->description = get_text(r, node, "description");
	plan->free = get_bool(r, node, "free", true);
	plan->bindable = get_bool(r, node, "bindable", spec->bindable);
	plan->metadata = get_map(r, node, "metadata");
	read_params(r, node, parameters, &plan->parameters);
	read_params(r, node, "bind_parameters", &plan->bind_parameters);
	names = get_texts(r, node, "updates_to");
	plan->updates_to = arena_zalloc(r->arena, (json_len(names) + 1) * sizeof(struct str));
	json_each_item(i, item, names)
		plan->updates_to[plan->n_updates_to++] = json_str(item);
}

const struct bundle_plan *bundle_plan_find(const struct bundle_spec *spec, struct str name)
{
	size_t i;

	for (i = 0; i < spec->n_plans; i++)
		if (str_eq(spec->plans[i].name, name))
			return &spec->plans[i];
	return NULL;
}

static void check_plans(struct reader *r, const struct json *list, const struct bundle_spec *spec)
{
	size_t i, j;

	for (i = 0; i < spec->n_plans; i++) {
		const struct bundle_plan *plan = &spec->plans[i];
		struct reader below = down(r, "plans", i);

		if (plan->name.n && bundle_plan_find(spec, plan->name) != plan)
			bad(&below, json_get(json_at(list, i), "name"), "name",
			    "\"%.*s\" is there before", STR_ARG(plan->name));
		for (j = 0; j < plan->n_updates_to; j++)
			if (!bundle_plan_find(spec, plan->updates_to[j]))
				warn(&below, json_at(json_get(json_at(list, i), "updates_to"), j),
				     "updates_to", "there is no plan \"%.*s\"",
				     STR_ARG(plan->updates_to[j]));
	}
}

static void read_plans(struct reader *r, const struct json *root, struct bundle_spec *spec)
{
	const struct json *list = get_list(r, root, "plans"), *node;
	size_t i;

	if (!json_len(list)) {
		if (!get(root, "plans") || list)
			bad(r, list ? list : root, "plans", "at least one plan must be there");
		return;
	}
	spec->plans = arena_zalloc(r->arena, json_len(list) * sizeof(*spec->plans));
	json_each_item(i, node, list) {
		struct reader below = down(r, "plans", i);

		read_plan(&below, node, spec, &spec->plans[i]);
		spec->n_plans++;
	}
	check_plans(r, list, spec);
}

static void read_async(struct reader *r, const struct json *root, struct bundle_spec *spec)
{
	struct str text = get_text(r, root, "async");

	if (str_is(text, "required"))
		spec->async = BUNDLE_ASYNC_REQUIRED;
	else if (str_is(text, "unsupported"))
		spec->async = BUNDLE_ASYNC_UNSUPPORTED;
	else if (text.n && !str_is(text, "optional"))
		bad(r, json_get(root, "async"), "async",
		    "must be required, optional or unsupported");
}

static void read_root(struct reader *r, const struct json *root, struct bundle_spec *spec)
{
	static const char *const known[] = {
		"version", "name",  "description", "bindable", "async",  "tags", "metadata",
		"plans",   "alpha", "id",          "runtime",  "delete", NULL,
	};
	struct str version;

	if (!json_is_object(root)) {
		bad(r, root, "", "must be a mapping, not %s", json_type_name(root));
		return;
	}
	look_for_strangers(r, root, known);
	version = get_name(r, root, "version");
	if (version.n && !str_is(version, "1.0") && !str_is(version, "1.0.0"))
		bad(r, json_get(root, "version"), "version", "must be 1.0");
	spec->name = get_name(r, root, "name");
	spec->description = get_text(r, root, "description");
	spec->bindable = get_bool(r, root, "bindable", false);
	read_async(r, root, spec);
	spec->tags = get_texts(r, root, "tags");
	spec->metadata = get_map(r, root, "metadata");
	read_plans(r, root, spec);
}

static void on_yaml_warning(void *data, uint32_t line, uint32_t column, const char *text)
{
	struct json at = { .line = line, .column = column };

	conf_errors_warn(data, &at, "", "%s", text);
}

/* "12:7: what" of core/yaml, with its place taken apart. */
static void add_yaml_error(struct reader *r, const struct err *err)
{
	struct json at = { 0 };
	unsigned line, column;
	int n = 0;

	if (sscanf(err->text, "%u:%u: %n", &line, &column, &n) == 2 && n) {
		at.line = line;
		at.column = column;
	}
	conf_errors_add(r->errors, &at, "", "%s", err->text + n);
}

int bundle_spec_parse(struct str text, const char *file, struct arena *arena,
		      struct bundle_spec **out, struct conf_errors *errors)
{
	struct yaml_options options = {
		.typing = YAML_V2, .bytes = BUNDLE_SPEC_MAX, .warn = on_yaml_warning, .data = errors
	};
	struct reader r = { .arena = arena, .errors = errors, .n_before = errors->n_errors };
	struct bundle_spec *spec = arena_new(arena, struct bundle_spec);
	const char *file_before = errors->file;
	struct json *root;
	struct err err;

	errors->file = file;
	if (yaml_parse(arena, text, &options, &root, &err) < 0)
		add_yaml_error(&r, &err);
	else
		read_root(&r, root, spec);
	errors->file = file_before;
	if (errors->n_errors > r.n_before)
		return ERR_INVALID;
	*out = spec;
	return 0;
}

/* -- ids ----------------------------------------------------------------------------------- */

struct str bundle_fq_name(struct arena *arena, struct str registry, struct str name)
{
	char *fq = arena_printf(arena, "%.*s%s%.*s", STR_ARG(registry), registry.n ? "-" : "",
				STR_ARG(name));
	size_t n = 0, characters = 0;

	for (; fq[n]; n++) {
		if (((unsigned char)fq[n] & 0xC0) != 0x80 && ++characters > FQ_MAX)
			break;
		if (strchr("/.:", fq[n]))
			fq[n] = '-';
	}
	if (n && fq[n - 1] == '-')
		n--;
	fq[n] = '\0';
	return str_make(fq, n);
}

struct str bundle_id(struct arena *arena, struct str text)
{
	unsigned char digest[MD5_SIZE];
	char hex[2 * MD5_SIZE + 1];

	digest_md5(text.p, text.n, digest);
	hex_encode(digest, sizeof(digest), hex);
	return str_of(arena_strdup(arena, hex));
}
