/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_config.h"

#include "backends/bundle_schema.h"
#include "core/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- rows ------------------------------------------------------------------------------------ */

static void forget(void *value)
{
	secret_finish(value);
}

/* A value of `env`: text or {file} or {env}, as a secret is given; or {path}, a file name that
 * starts at the configuration's directory. */
static void decode_value(struct conf *conf, const struct json *node, struct secret *value)
{
	static const struct conf_key as_secret = { .name = "value",
						   .type = CONF_SECRET,
						   .width = sizeof(struct secret),
						   .doc = "A value." };
	static const struct conf_key as_path = { .name = "value",
						 .type = CONF_PATH,
						 .width = sizeof(struct str),
						 .doc = "A file name." };
	const struct json *path = json_get(node, "path");
	struct str text = { NULL, 0 };

	if (!path || json_len(node) != 1) {
		conf_value(conf, &as_secret, node, value);
		return;
	}
	conf_value(conf, &as_path, path, &text);
	if (!text.p)
		return;
	secret_set(value, text); /* no secret, but it lives like one */
	arena_defer(conf->arena, forget, value);
}

static bool is_variable_name(struct str name)
{
	size_t i;

	for (i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!(c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      (i && c >= '0' && c <= '9')))
			return false;
	}
	return name.n > 0;
}

static void decode_env(struct conf *conf, const struct json *node, void *field)
{
	struct bundle_config *config =
		container_of((struct bundle_variable **)field, struct bundle_config, env);
	const struct json_member *m;

	if (!json_is_object(node)) {
		conf_error(conf, node, "must be a mapping of names and values, not %s",
			   json_type_name(node));
		return;
	}
	config->env = arena_zalloc(conf->arena, (json_len(node) + 1) * sizeof(*config->env));
	json_each_member(m, node) {
		struct bundle_variable *variable = &config->env[config->n_env++];
		size_t i;

		variable->name = m->key;
		if (!is_variable_name(m->key))
			conf_error(conf, m->value, "\"%.*s\" cannot be a variable's name",
				   STR_ARG(m->key));
		decode_value(conf, m->value, &variable->value);
		for (i = 0; i < secret_reveal(&variable->value).n; i++)
			if (!secret_reveal(&variable->value).p[i]) {
				conf_error(conf, m->value, "%.*s must not hold a NUL",
					   STR_ARG(m->key));
				break;
			}
	}
}

static const struct conf_name extra_vars_names[] = { { "argv", BUNDLE_VARS_ARGV },
						     { "file", BUNDLE_VARS_FILE },
						     { 0 } };
static const struct conf_name bind_names[] = { { "auto", BUNDLE_BIND_AUTO },
					       { "credentials", BUNDLE_BIND_CREDENTIALS },
					       { 0 } };
static const struct conf_name keep_names[] = { { "default", -1 },
					       { "never", CONFIG_KEEP_NEVER },
					       { "failed", CONFIG_KEEP_FAILED },
					       { "always", CONFIG_KEEP_ALWAYS },
					       { 0 } };

const struct conf_key bundle_config_rows[] = {
	{ .name = "path",
	  .type = CONF_PATH,
	  .flags = CONF_REQUIRED | CONF_NONEMPTY,
	  CONF_AT(struct bundle_config, path),
	  .doc = "The bundle: a directory with apb.yml, or its base64 in the file label, and the "
		 "program bundle.",
	  .example = "bundles/sqlite" },
	{ .name = "registry",
	  .type = CONF_STRING,
	  CONF_AT(struct bundle_config, registry),
	  .fallback = "osbd",
	  .doc = "Stands before the bundle's name in the service's name, and so in what its ids "
		 "are "
		 "made of: registry-name. Two services of one bundle need two registries. May be "
		 "empty." },
	{ .name = "namespace",
	  .type = CONF_STRING,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct bundle_config, namespace),
	  .doc = "What actions get as namespace when the platform's context names none. Absent: "
		 "cf- "
		 "and the space's guid.",
	  .example = "services" },
	{ .name = "cluster",
	  .type = CONF_STRING,
	  CONF_AT(struct bundle_config, cluster),
	  .fallback = "kubernetes",
	  .doc = "What actions get as cluster." },
	{ .name = "extra_vars",
	  .type = CONF_ENUM,
	  CONF_AT(struct bundle_config, extra_vars),
	  .names = extra_vars_names,
	  .fallback = "argv",
	  .doc = "How an action gets its JSON: as an argument, which everybody on this machine can "
		 "read, or as @FILE." },
	{ .name = "bind",
	  .type = CONF_ENUM,
	  CONF_AT(struct bundle_config, bind),
	  .names = bind_names,
	  .fallback = "auto",
	  .doc = "auto: a binding runs the bundle's bind, and gets what provision left when there "
		 "is "
		 "no such action. credentials: bind and unbind run nothing." },
	{ .name = "deadline",
	  .type = CONF_DURATION,
	  CONF_AT(struct bundle_config, deadline),
	  .fallback = "30m",
	  .min = 1000,
	  .max = (int64_t)DAY(7),
	  .doc = "How long an action may take, restarts of osbd included; then it is killed." },
	{ .name = "keep",
	  .type = CONF_ENUM,
	  CONF_AT(struct bundle_config, keep),
	  .names = keep_names,
	  .fallback = "default",
	  .doc = "Whether the directory of a run stays after it. default: as children.keep says." },
	{ .name = "max_memory",
	  .type = CONF_SIZE,
	  CONF_AT(struct bundle_config, max_memory),
	  .fallback = "0",
	  .max = (int64_t)1 << 50,
	  .doc = "Bytes of address space of each process of an action; 0: no limit." },
	{ .name = "max_file",
	  .type = CONF_SIZE,
	  CONF_AT(struct bundle_config, max_file),
	  .fallback = "0",
	  .max = (int64_t)1 << 50,
	  .doc = "Bytes of each file that an action writes; 0: no limit." },
	{ .name = "env",
	  .type = CONF_CUSTOM,
	  .flags = CONF_HIDDEN,
	  CONF_AT(struct bundle_config, env),
	  .decode = decode_env,
	  .kind = "mapping of names to a text, {file: PATH}, {env: NAME} or {path: PATH}",
	  .doc = "More variables of the actions' environment, which has nothing of osbd's own. "
		 "With "
		 "path the value is that file name, made absolute.",
	  .example = "{DATA: {path: data}}" },
	{ 0 },
};

/* -- the specification's text ---------------------------------------------------------------- */

/* 0; ERR_NOENT without an error added; else ERR_INVALID. */
static int read_file(const char *path, const struct json *node, const char *where,
		     struct arena *arena, struct str *out, struct conf_errors *errors)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text;
	ssize_t n = -1;
	size_t done = 0;

	if (fd < 0 && errno == ENOENT)
		return ERR_NOENT;
	text = arena_alloc(arena, BUNDLE_SPEC_MAX + 2);
	while (fd >= 0 && done <= BUNDLE_SPEC_MAX &&
	       (n = read(fd, text + done, BUNDLE_SPEC_MAX + 1 - done)) > 0)
		done += (size_t)n;
	if (fd < 0 || n < 0) {
		conf_errors_add(errors, node, where, "%s: %s", path, strerror(errno));
	} else if (done > BUNDLE_SPEC_MAX) {
		conf_errors_add(errors, node, where, "%s: larger than %d KiB", path,
				BUNDLE_SPEC_MAX >> 10);
		n = -1;
	}
	if (fd >= 0)
		close(fd);
	*out = str_make(text, done);
	return n < 0 ? ERR_INVALID : 0;
}

/* As a Dockerfile has it, too: with backslashes at the line ends. */
static int decode_label(struct str label, struct arena *arena, struct str *out)
{
	char *text = arena_strndup(arena, label.p, label.n);
	size_t i;

	for (i = 0; i < label.n; i++)
		if (text[i] == '\\')
			text[i] = ' ';
	return base64_decode(arena, str_make(text, label.n), out);
}

static int read_spec(const struct bundle_config *config, const struct json *node, const char *where,
		     struct arena *arena, struct bundle_spec **spec, struct conf_errors *errors)
{
	const char *file = arena_printf(arena, "%s/apb.yml", config->path.p);
	struct str text, label;
	int rc = read_file(file, node, where, arena, &text, errors);

	if (rc == ERR_NOENT) {
		file = arena_printf(arena, "%s/label", config->path.p);
		rc = read_file(file, node, where, arena, &label, errors);
		if (rc == ERR_NOENT)
			conf_errors_add(errors, node, where,
					"%s: there is neither apb.yml nor label in it",
					config->path.p);
		else if (rc == 0 && decode_label(label, arena, &text) < 0)
			rc = ERR_SYNTAX;
		if (rc == ERR_SYNTAX)
			conf_errors_add(errors, node, where, "%s: is not base64", file);
	}
	if (rc < 0)
		return ERR_INVALID;
	return bundle_spec_parse(text, file, arena, spec, errors);
}

/* -- the offering ----------------------------------------------------------------------------- */

/* The configuration's members before the bundle's. */
static const struct json *merge(struct arena *arena, const struct json *configured,
				const struct json *own)
{
	struct json *both = json_object(arena);
	const struct json_member *m;

	if (!configured || !own)
		return configured ? configured : own;
	json_each_member(m, own)
		json_add(arena, both, m->key, m->value);
	json_each_member(m, configured)
		json_set(arena, both, m->key.p, m->value);
	return both;
}

static const struct json *plan_metadata(struct arena *arena, const struct bundle_plan *own)
{
	struct json *metadata = json_object(arena);
	const struct json_member *m;

	json_each_member(m, own->metadata)
		json_add(arena, metadata, m->key, m->value);
	json_set(arena, metadata, "schemas", bundle_forms(arena, own));
	return metadata;
}

static const struct json *updates_to(struct arena *arena, const struct bundle_plan *own)
{
	struct json *extra, *names;
	size_t i;

	if (!own->n_updates_to)
		return NULL;
	extra = json_object(arena);
	names = json_array(arena);
	for (i = 0; i < own->n_updates_to; i++)
		json_append(arena, names, json_string(arena, own->updates_to[i]));
	json_set(arena, extra, "updates_to", names);
	return extra;
}

/* plan is as the configuration has it, or zeroed. */
static void complete_plan(struct plan *plan, const struct bundle_spec *spec,
			  const struct bundle_plan *own, struct str fq, struct arena *arena)
{
	static const enum config_async modes[] = {
		[BUNDLE_ASYNC_OPTIONAL] = CONFIG_ASYNC_BOTH,
		[BUNDLE_ASYNC_REQUIRED] = CONFIG_ASYNC_ASYNC,
		[BUNDLE_ASYNC_UNSUPPORTED] = CONFIG_ASYNC_SYNC,
	};
	const struct config_plan *config = plan->config;

	plan->name = own->name;
	if (!plan->id.n)
		plan->id = bundle_id(arena, str_of(arena_printf(arena, "%.*s-%.*s", STR_ARG(fq),
								STR_ARG(own->name))));
	if (!plan->description.n)
		plan->description = own->description.n ? own->description : own->name;
	if (!config)
		plan->free = own->free;
	if (!config || config->bindable == CONF_ABSENT)
		plan->bindable = own->bindable;
	if (!config || config->plan_updateable == CONF_ABSENT)
		plan->plan_updateable = own->n_updates_to > 0;
	plan->metadata = merge(arena, plan->metadata, plan_metadata(arena, own));
	if (!plan->schemas)
		plan->schemas = bundle_schemas(arena, own);
	if (plan->async == CONFIG_ASYNC_UNSET || spec->async == BUNDLE_ASYNC_UNSUPPORTED)
		plan->async = modes[spec->async];
	plan->extra = merge(arena, plan->extra, updates_to(arena, own));
	plan->data = (void *)own;
}

/* The plans that the configuration names; all when it names none. */
static void complete_plans(struct offering *offering, const struct bundle_spec *spec, struct str fq,
			   struct arena *arena, struct conf_errors *errors)
{
	size_t i;

	if (!offering->n_plans) {
		offering->plans = arena_zalloc(arena, spec->n_plans * sizeof(*offering->plans));
		offering->n_plans = spec->n_plans;
		for (i = 0; i < spec->n_plans; i++)
			offering->plans[i].name = spec->plans[i].name;
	}
	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];
		const struct config_plan *config = plan->config;
		const struct bundle_plan *own = bundle_plan_find(spec, plan->name);

		plan->offering = offering;
		if (!own)
			conf_errors_add(errors, config->node, config->path.p,
					"the bundle has no plan \"%.*s\"", STR_ARG(plan->name));
		else
			complete_plan(plan, spec, own, fq, arena);
		if (config && config->config)
			conf_errors_add(errors, config->config, config->path.p,
					"config: a bundle's plan has none");
	}
}

static void complete(struct offering *offering, const struct bundle_config *config,
		     const struct bundle_spec *spec, struct arena *arena,
		     struct conf_errors *errors)
{
	struct str fq = bundle_fq_name(arena, config->registry, spec->name);
	size_t i;

	if (!offering->name.n)
		offering->name = fq;
	if (!offering->id.n)
		offering->id = bundle_id(arena, fq);
	if (!offering->description.n)
		offering->description = spec->description.n ? spec->description : spec->name;
	if (!offering->tags)
		offering->tags = spec->tags;
	offering->metadata = merge(arena, offering->metadata, spec->metadata);
	if (offering->config->bindable == CONF_ABSENT)
		offering->bindable = spec->bindable;
	for (i = 0; i < spec->n_plans; i++)
		if (spec->plans[i].n_updates_to)
			offering->plan_updateable = true;
	complete_plans(offering, spec, fq, arena, errors);
}

int bundle_config_load(struct offering *offering, struct arena *arena, struct bundle_config *config,
		       struct conf_errors *errors)
{
	const struct json *node = offering->config->config;
	const char *where = arena_printf(arena, "%.*s.config", STR_ARG(offering->config->path));
	const struct json *at = json_get(node, "path");
	size_t n_before = errors->n_errors;
	struct bundle_spec *spec;
	int rc = conf_decode(bundle_config_rows, node, where, config, arena, errors);

	if (rc < 0)
		return rc;
	where = arena_printf(arena, "%s.path", where);
	config->program = arena_printf(arena, "%s/bundle", config->path.p);
	if (access(config->program, X_OK) < 0)
		conf_errors_add(errors, at, where, "%s: %s", config->program, strerror(errno));
	rc = read_spec(config, at, where, arena, &spec, errors);
	if (rc < 0)
		return rc;
	complete(offering, config, spec, arena, errors);
	return errors->n_errors > n_before ? ERR_INVALID : 0;
}
