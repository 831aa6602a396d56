/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/catalog_lint.h"

#include "core/mem.h"
#include "core/schema_format.h"
#include "osb/catalog_render.h"

#include <stdio.h>
#include <stdlib.h>

/* Where messages are about: an offering or a plan. */
struct lint {
	struct conf_errors *errors;
	const struct json *node; /* its mapping; that of the service when a backend made the plan */
	const char *path;
};

static const struct json *node_at(const struct lint *lint, const char *key)
{
	const struct json *value = json_get(lint->node, key);

	return value && value->line ? value : lint->node;
}

PRINTF_LIKE(4, 0)
static void say(const struct lint *lint, bool warning, const char *key, const char *fmt, va_list ap)
{
	char path[400];
	struct err err;

	err_vset(&err, ERR_INVALID, fmt, ap);
	snprintf(path, sizeof(path), "%s.%s", lint->path, key);
	if (warning)
		conf_errors_warn(lint->errors, node_at(lint, key), path, "%s", err.text);
	else
		conf_errors_add(lint->errors, node_at(lint, key), path, "%s", err.text);
}

PRINTF_LIKE(3, 4)
static void refuse(const struct lint *lint, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(lint, false, key, fmt, ap);
	va_end(ap);
}

PRINTF_LIKE(3, 4)
static void warn(const struct lint *lint, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(lint, true, key, fmt, ap);
	va_end(ap);
}

/* -- strings ------------------------------------------------------------------------------- */

static bool is_blank(struct str text)
{
	size_t i;

	for (i = 0; i < text.n; i++)
		if (text.p[i] != ' ' && (text.p[i] < '\t' || text.p[i] > '\r'))
			return false;
	return true;
}

static void check_length(const struct lint *lint, const char *key, struct str text)
{
	size_t n = str_utf8_len(text);

	if (n > CATALOG_STRING_MAX)
		warn(lint, key, "is %zu characters long; platforms may cut at %d", n,
		     CATALOG_STRING_MAX);
}

static void check_name(const struct lint *lint, struct str name)
{
	size_t i;

	if (is_blank(name)) {
		refuse(lint, "name", "is missing");
		return;
	}
	check_length(lint, "name", name);
	for (i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    c == '.' || c == '-')
			continue;
		warn(lint, "name",
		     "is awkward on a command line: better are letters, digits, \".\" and \"-\"");
		return;
	}
}

static void check_description(const struct lint *lint, struct str text)
{
	size_t n = str_utf8_len(text);

	if (is_blank(text))
		refuse(lint, "description", "is missing");
	else if (n > CATALOG_DESCRIPTION_MAX)
		refuse(lint, "description", "is %zu characters long, more than %d", n,
		       CATALOG_DESCRIPTION_MAX);
	else
		check_length(lint, "description", text);
}

static void check_strings(const struct lint *lint, struct str id, struct str name,
			  struct str description)
{
	check_name(lint, name);
	check_description(lint, description);
	if (is_blank(id) && (id.n || !is_blank(name))) /* without a name none is derived */
		refuse(lint, "id", "is blank");
	check_length(lint, "id", id);
}

static void check_tags(const struct lint *lint, const struct json *tags)
{
	const struct json *tag;
	size_t i, n = 0;

	if (tags && !json_is_array(tags)) {
		refuse(lint, "tags", "must be an array of strings, not %s", json_type_name(tags));
		return;
	}
	json_each_item(i, tag, tags) {
		if (!json_is_string(tag)) {
			refuse(lint, "tags", "must be an array of strings, not of %s",
			       json_type_name(tag));
			return;
		}
		check_length(lint, "tags", json_str(tag));
		n += str_utf8_len(json_str(tag));
	}
	if (n > CATALOG_TAGS_MAX)
		refuse(lint, "tags", "are %zu characters long together, more than %d", n,
		       CATALOG_TAGS_MAX);
}

/* -- SemVer -------------------------------------------------------------------------------- */

static bool is_number(struct str text)
{
	size_t i;

	for (i = 0; i < text.n; i++)
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
	return text.n > 0;
}

static bool is_plain_number(struct str text)
{
	return is_number(text) && (text.n == 1 || text.p[0] != '0');
}

/* Identifiers with dots between; a pre-release's numbers have no leading zero. */
static bool are_identifiers(struct str text, bool pre_release)
{
	while (text.p) {
		struct str one = str_cut(text, '.', &text);
		size_t i;

		if (one.n == 0 || (pre_release && is_number(one) && !is_plain_number(one)))
			return false;
		for (i = 0; i < one.n; i++)
			if (!(one.p[i] >= '0' && one.p[i] <= '9') &&
			    !(one.p[i] >= 'a' && one.p[i] <= 'z') &&
			    !(one.p[i] >= 'A' && one.p[i] <= 'Z') && one.p[i] != '-')
				return false;
	}
	return true;
}

bool catalog_is_semver(struct str text)
{
	struct str build, pre, minor, patch;
	struct str core = str_cut(text, '+', &build);

	core = str_cut(core, '-', &pre);
	return is_plain_number(str_cut(core, '.', &minor)) && minor.p &&
	       is_plain_number(str_cut(minor, '.', &patch)) && patch.p && is_plain_number(patch) &&
	       are_identifiers(pre, true) && are_identifiers(build, false);
}

/* -- metadata ------------------------------------------------------------------------------ */

static bool is_metadata(const struct lint *lint, const struct json *metadata)
{
	if (metadata && !json_is_object(metadata))
		refuse(lint, "metadata", "must be a mapping, not %s", json_type_name(metadata));
	return json_is_object(metadata);
}

static const struct json *metadata_string(const struct lint *lint, const struct json *metadata,
					  const char *key)
{
	const struct json *value = json_get(metadata, key);

	if (!value || json_is_null(value) || json_is_string(value))
		return json_is_string(value) ? value : NULL;
	warn(lint, "metadata", "%s should be a string, not %s", key, json_type_name(value));
	return NULL;
}

static bool is_uri(struct str text)
{
	return schema_format_find(STR("uri"))(text);
}

static void check_service_metadata(const struct lint *lint, const struct json *metadata)
{
	static const char *const texts[] = { "displayName", "longDescription",
					     "providerDisplayName" };
	static const char *const urls[] = { "imageUrl", "documentationUrl", "supportUrl" };
	const struct json *value;
	size_t i;

	if (!is_metadata(lint, metadata))
		return;
	value = json_get(metadata, "shareable");
	if (value && !json_is_null(value) && !json_is_bool(value))
		refuse(lint, "metadata", "shareable must be a boolean, not %s",
		       json_type_name(value));
	for (i = 0; i < ARRAY_LEN(texts); i++)
		metadata_string(lint, metadata, texts[i]);
	for (i = 0; i < ARRAY_LEN(urls); i++) {
		value = metadata_string(lint, metadata, urls[i]);
		if (value && !is_uri(json_str(value)))
			warn(lint, "metadata", "%s should be a URL", urls[i]);
	}
}

static void check_cost(const struct lint *lint, size_t i, const struct json *cost)
{
	const struct json *amount = json_get(cost, "amount");
	const struct json_member *m;

	if (!json_len(amount) || !json_is_object(amount))
		warn(lint, "metadata", "costs[%zu].amount should map currencies to numbers", i);
	json_each_member(m, amount) {
		if (!json_is_number(m->value))
			warn(lint, "metadata", "costs[%zu].amount.%.*s should be a number, not %s",
			     i, STR_ARG(m->key), json_type_name(m->value));
	}
	if (is_blank(json_str(json_get(cost, "unit"))))
		warn(lint, "metadata", "costs[%zu].unit should be a string", i);
}

static void check_plan_metadata(const struct lint *lint, const struct json *metadata)
{
	const struct json *value, *item;
	size_t i;

	if (!is_metadata(lint, metadata))
		return;
	metadata_string(lint, metadata, "displayName");
	value = json_get(metadata, "bullets");
	if (value && !json_is_null(value) && !json_is_array(value))
		warn(lint, "metadata", "bullets should be an array of strings, not %s",
		     json_type_name(value));
	json_each_item(i, item, value) {
		if (!json_is_string(item))
			warn(lint, "metadata", "bullets[%zu] should be a string, not %s", i,
			     json_type_name(item));
	}
	value = json_get(metadata, "costs");
	if (value && !json_is_null(value) && !json_is_array(value))
		warn(lint, "metadata", "costs should be an array of objects, not %s",
		     json_type_name(value));
	json_each_item(i, item, value)
		check_cost(lint, i, item);
}

/* -- plans --------------------------------------------------------------------------------- */

static void check_maintenance(const struct lint *lint, const struct plan *plan)
{
	struct arena arena = { 0 };
	size_t n;

	if (plan->maintenance.n == 0) {
		if (plan->maintenance_description.n || (plan->config && plan->config->maintenance))
			refuse(lint, "maintenance_info", "has no version");
		return;
	}
	if (!catalog_is_semver(plan->maintenance))
		refuse(lint, "maintenance_info",
		       "the version must be a semantic version, such as 1.4.0 or 2.0.0-rc.1+b5");
	n = str_utf8_len(json_text(&arena, catalog_maintenance(&arena, plan)));
	if (n > CATALOG_MAINTENANCE_MAX)
		refuse(lint, "maintenance_info", "is %zu characters long as JSON, more than %d", n,
		       CATALOG_MAINTENANCE_MAX);
	arena_finish(&arena);
}

static bool may_answer_202(const struct backend_verb *verb, const struct plan *plan)
{
	if (verb->only_sync || plan->async == CONFIG_ASYNC_SYNC)
		return false;
	return !verb->pure || plan->async == CONFIG_ASYNC_ASYNC;
}

static void check_verbs(const struct lint *lint, const struct plan *plan)
{
	struct backend *backend = plan->offering->backend;
	const char *type = backend->type->name;
	const struct backend_verb *bind = backend_verb(backend, plan, STORE_BIND);

	if (!backend_verb(backend, plan, STORE_PROVISION)->steps ||
	    !backend_verb(backend, plan, STORE_DEPROVISION)->steps)
		refuse(lint, "backend", "%s makes no instances of this plan", type);
	if (plan->plan_updateable && !backend_verb(backend, plan, STORE_UPDATE)->steps)
		refuse(lint, "plan_updateable", "the backend %s cannot update", type);
	if (!plan->bindable)
		return;
	if (!bind->steps || !backend_verb(backend, plan, STORE_UNBIND)->steps)
		refuse(lint, "bindable", "the backend %s cannot bind", type);
	else if (may_answer_202(bind, plan) && !plan->offering->bindings_retrievable)
		refuse(lint, "async",
		       "bindings may be made asynchronously, so that a platform has to fetch them: "
		       "the service needs bindings_retrievable: true, or the plan async: sync");
}

static void check_bindings(const struct lint *lint, const struct plan *plan)
{
	if (!plan->bindable && plan->binding_lifetime)
		refuse(lint, "binding_lifetime", "the plan is not bindable");
	if (!plan->bindable && plan->binding_rotatable)
		warn(lint, "binding_rotatable", "means nothing: the plan is not bindable");
	if (plan->bindable && plan->binding_lifetime && !plan->binding_rotatable)
		warn(lint, "binding_lifetime",
		     "bindings expire and cannot be rotated: binding_rotatable is false");
}

static void check_plan(const struct lint *lint, const struct plan *plan)
{
	check_strings(lint, plan->id, plan->name, plan->description);
	check_plan_metadata(lint, plan->metadata);
	check_maintenance(lint, plan);
	check_bindings(lint, plan);
	if (plan->maximum_polling_duration % 1000)
		refuse(lint, "maximum_polling_duration", "must be whole seconds");
	check_verbs(lint, plan);
}

/* -- services ------------------------------------------------------------------------------ */

static void check_client(const struct lint *lint, const struct config_dashboard_client *client)
{
	if (!client)
		return;
	if (is_blank(client->id))
		refuse(lint, "dashboard_client", "id is missing");
	check_length(lint, "dashboard_client", client->id);
	if (is_blank(secret_reveal(&client->secret)))
		refuse(lint, "dashboard_client", "secret is missing");
	if (is_blank(client->redirect_uri))
		refuse(lint, "dashboard_client",
		       "redirect_uri is missing: Cloud Controller wants it");
	else if (!is_uri(client->redirect_uri))
		warn(lint, "dashboard_client", "redirect_uri should be a URL");
}

static void check_requires(const struct lint *lint, const struct offering *offering)
{
	size_t i;

	if (offering->requires &
	    ~(unsigned)(CONFIG_SYSLOG_DRAIN | CONFIG_ROUTE_FORWARDING | CONFIG_VOLUME_MOUNT))
		refuse(lint, "requires",
		       "may hold only syslog_drain, route_forwarding and volume_mount");
	for (i = 0; i < offering->n_plans; i++)
		if (offering->plans[i].bindable)
			return;
	if (offering->requires)
		warn(lint, "requires", "means nothing: no plan is bindable");
}

static void check_offering(const struct lint *lint, const struct offering *offering)
{
	check_strings(lint, offering->id, offering->name, offering->description);
	check_tags(lint, offering->tags);
	check_service_metadata(lint, offering->metadata);
	check_client(lint, offering->config->dashboard_client);
	check_requires(lint, offering);
	if (offering->n_plans == 0)
		refuse(lint, "plans", "a service has at least one plan");
}

/* -- what must differ ---------------------------------------------------------------------- */

struct entry {
	struct str text;
	struct lint at;
	const char *key;
	size_t order;
};

/* Grows until the run ends; one kind of text at a time. */
struct entries {
	struct entry *all;
	size_t n, size;
};

static void add_entry(struct entries *entries, struct str text, const struct lint *at,
		      const char *key)
{
	if (is_blank(text))
		return;
	if (entries->n == entries->size) {
		entries->size = entries->size ? 2 * entries->size : 32;
		entries->all = mem_realloc(entries->all, entries->size * sizeof(*entries->all));
	}
	entries->all[entries->n] = (struct entry){ text, *at, key, entries->n };
	entries->n++;
}

static int by_text(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int rc = str_cmp(x->text, y->text);

	return rc ? rc : (x->order > y->order) - (x->order < y->order);
}

/* Reports what stands there twice, and begins anew. */
static void check_unique(struct entries *entries)
{
	const struct entry *first;
	size_t i, j;

	if (entries->n)
		qsort(entries->all, entries->n, sizeof(*entries->all), by_text);
	for (i = 0; i < entries->n; i = j) {
		first = &entries->all[i];
		for (j = i + 1; j < entries->n && str_eq(entries->all[j].text, first->text); j++)
			refuse(&entries->all[j].at, entries->all[j].key,
			       "\"%.*s\" is that of %s already", STR_ARG(first->text),
			       first->at.path);
	}
	entries->n = 0;
}

/* -- all ----------------------------------------------------------------------------------- */

static struct lint lint_offering(const struct offering *offering, struct arena *arena,
				 struct conf_errors *errors)
{
	return (struct lint){
		.errors = errors,
		.node = offering->config->node,
		.path = arena_printf(arena, "%.*s", STR_ARG(offering->config->path)),
	};
}

static struct lint lint_plan(const struct plan *plan, struct arena *arena,
			     struct conf_errors *errors)
{
	struct lint lint = lint_offering(plan->offering, arena, errors);

	if (!plan->config) {
		lint.path = arena_printf(arena, "%s (plan %.*s)", lint.path, STR_ARG(plan->name));
		return lint;
	}
	lint.path = arena_printf(arena, "%.*s", STR_ARG(plan->config->path));
	if (plan->config->node)
		lint.node = plan->config->node;
	return lint;
}

static void check_all_unique(const struct offering *offerings, size_t n, struct arena *arena,
			     struct conf_errors *errors)
{
	struct entries ids = { 0 }, names = { 0 }, clients = { 0 }, plans = { 0 }, own = { 0 };
	const struct config_dashboard_client *client;
	struct lint lint;
	size_t i, j;

	for (i = 0; i < n; i++) {
		lint = lint_offering(&offerings[i], arena, errors);
		add_entry(&ids, offerings[i].id, &lint, "id");
		add_entry(&names, offerings[i].name, &lint, "name");
		client = offerings[i].config->dashboard_client;
		if (client)
			add_entry(&clients, client->id, &lint, "dashboard_client");
		for (j = 0; j < offerings[i].n_plans; j++) {
			lint = lint_plan(&offerings[i].plans[j], arena, errors);
			add_entry(&plans, offerings[i].plans[j].id, &lint, "id");
			add_entry(&own, offerings[i].plans[j].name, &lint, "name");
		}
		check_unique(&own);
	}
	check_unique(&ids);
	check_unique(&names);
	check_unique(&clients);
	check_unique(&plans);
	mem_free(ids.all);
	mem_free(names.all);
	mem_free(clients.all);
	mem_free(plans.all);
	mem_free(own.all);
}

void catalog_lint(const struct offering *offerings, size_t n, struct conf_errors *errors)
{
	struct arena arena = { 0 };
	struct lint lint;
	size_t i, j;

	if (n == 0)
		conf_errors_add(errors, NULL, "services",
				"there is none: platforms refuse an empty catalog");
	for (i = 0; i < n; i++) {
		if (!offerings[i].backend)
			continue;
		lint = lint_offering(&offerings[i], &arena, errors);
		check_offering(&lint, &offerings[i]);
		for (j = 0; j < offerings[i].n_plans; j++) {
			lint = lint_plan(&offerings[i].plans[j], &arena, errors);
			check_plan(&lint, &offerings[i].plans[j]);
		}
	}
	check_all_unique(offerings, n, &arena, errors);
	arena_finish(&arena);
}
