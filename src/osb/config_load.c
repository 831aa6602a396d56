/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to a struct config: read, decode by the rows, then what concerns several keys. */
#include "core/yaml.h"
#include "osb/config_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -- across keys ------------------------------------------------------------------------- */

/* Item i of the list under key. */
static const struct json *item_of(const struct config *config, const char *key, size_t i)
{
	return json_at(json_get(config->node, key), i);
}

static void settle_platforms(struct config *config, struct conf_errors *errors)
{
	const struct config_platform *a, *b;
	const struct json *node;
	size_t i, k;

	for (i = 1; i < config->n_platforms; i++) {
		for (k = 0; k < i; k++) {
			a = &config->platforms[i];
			b = &config->platforms[k];
			node = item_of(config, "platforms", i);
			if (a->name.n && str_eq(a->name, b->name))
				conf_errors_add(errors, node, "platforms",
						"two are called \"%.*s\"", STR_ARG(a->name));
			else if (a->prefix.n && str_eq(a->prefix, b->prefix))
				conf_errors_add(errors, node, "platforms",
						"two have the prefix %.*s", STR_ARG(a->prefix));
		}
	}
}

static const struct config_platform *find_platform(const struct config *config, struct str name)
{
	size_t i;

	for (i = 0; i < config->n_platforms; i++)
		if (str_eq(config->platforms[i].name, name))
			return &config->platforms[i];
	return NULL;
}

static void settle_user(struct config_file *file, size_t i, struct conf_errors *errors)
{
	const struct config_user_row *row = &file->users[i];
	struct config_user *user = &file->config.users[i];
	char path[48];
	size_t k;

	*user = row->user;
	user->node = item_of(&file->config, "users", i); /* the row may be half decoded */
	snprintf(path, sizeof(path), "users[%zu]", i);
	for (k = 0; k < row->n_passwords; k++)
		user->passwords[user->n_passwords++] = row->passwords[k];
	if (secret_reveal(&row->password.text).n)
		user->passwords[user->n_passwords++] = row->password;
	if (secret_reveal(&row->crypt.text).n)
		user->passwords[user->n_passwords++] = row->crypt;
	for (k = 0; k < i; k++)
		if (user->name.n && str_eq(file->users[k].user.name, user->name))
			conf_errors_add(errors, json_get(user->node, "name"), path,
					"a user of the same name stands before it");
	if (!row->platform.p)
		return;
	user->platform = find_platform(&file->config, row->platform);
	if (!user->platform)
		conf_errors_add(errors, json_get(user->node, "platform"), path,
				"platform: none of the platforms is called \"%.*s\"",
				STR_ARG(row->platform));
}

static void settle_users(struct config_file *file, struct arena *arena, struct conf_errors *errors)
{
	struct config *config = &file->config;
	size_t i;

	config->authenticate = file->authentication == CONFIG_AUTH_BASIC;
	config->n_users = file->n_users;
	config->users = arena_zalloc(arena, file->n_users * sizeof(*config->users) + 1);
	for (i = 0; i < file->n_users; i++)
		settle_user(file, i, errors);
	if (config->authenticate && !json_len(json_get(config->node, "users")))
		conf_errors_add(errors, json_get(config->node, "users"), "users",
				"there must be one, or nobody could ask; a broker for this machine "
				"only may have `authentication: none`");
}

static void settle_authentication(const struct config *config, struct conf_errors *errors)
{
	size_t i;

	for (i = 0; !config->authenticate && i < config->n_listen; i++)
		if (!config->listen[i].local)
			conf_errors_add(errors, json_get(config->node, "authentication"),
					"authentication",
					"none is allowed on loopback and unix sockets only, not on "
					"%.*s%s",
					STR_ARG(config->listen[i].address),
					config->listen[i].n_trusted ? ", which proxies ask" : "");
}

static void settle_listen(const struct config *config, struct conf_errors *errors)
{
	size_t i, k;

	for (i = 1; i < config->n_listen; i++)
		for (k = 0; k < i; k++)
			if (config->listen[i].address.n &&
			    str_eq(config->listen[i].address, config->listen[k].address) &&
			    !str_ends(config->listen[i].address, STR(":0")))
				conf_errors_add(errors, item_of(config, "listen", i), "listen",
						"%.*s stands twice",
						STR_ARG(config->listen[i].address));
}

/* A certificate that nobody can show would lock its user out. */
static void settle_certificates(const struct config *config, struct conf_errors *errors)
{
	bool asked = false;
	char path[48];
	size_t i, k;

	for (i = 0; i < config->n_listen; i++)
		asked = asked || (config->listen[i].tls && config->listen[i].tls->client_ca.n);
	for (i = 0; i < config->n_users; i++) {
		const struct config_user *user = &config->users[i];
		const struct json *node = json_get(user->node, "certificate");

		snprintf(path, sizeof(path), "users[%zu].certificate", i);
		if (user->certificate.n && !asked)
			conf_errors_add(errors, node, path,
					"no listener has a tls.client_ca, so nobody can show one");
		for (k = 0; user->certificate.n && k < i; k++)
			if (str_eq(user->certificate, config->users[k].certificate))
				conf_errors_add(errors, node, path,
						"another user has the same one");
	}
}

static void settle_seal(const struct config *config, struct conf_errors *errors)
{
	const struct json *keys = json_get(json_get(config->node, "seal"), "keys");
	size_t i, k;

	for (i = 1; i < config->n_seal_keys; i++)
		for (k = 0; k < i; k++)
			if (config->seal_keys[i].id.n &&
			    str_eq(config->seal_keys[i].id, config->seal_keys[k].id))
				conf_errors_add(errors, json_at(keys, i), "seal.keys",
						"two have the id \"%.*s\"",
						STR_ARG(config->seal_keys[i].id));
}

static void settle_store(struct config_file *file, struct arena *arena, struct conf_errors *errors)
{
	struct config *config = &file->config;
	struct str path, dir = config->dir;

	if (file->memory) {
		config->store.kind = CONFIG_MEMORY;
	} else if (file->postgresql) {
		config->store = (struct config_store){ .kind = CONFIG_POSTGRESQL,
						       .postgresql = file->postgresql };
		if (config->n_seal_keys == 0)
			conf_errors_add(errors, json_get(config->node, "store"), "store.postgresql",
					"needs seal.keys, the same on all nodes");
	} else {
		path = file->sqlite ? file->sqlite->path : str_of(CONFIG_SQLITE_PATH);
		config->store = (struct config_store){ .kind = CONFIG_SQLITE, .path = path };
		dir = str_make(path.p,
			       (size_t)((const char *)memrchr(path.p, '/', path.n) - path.p));
	}
	if (!config->children.directory.p)
		config->children.directory = str_of(arena_printf(arena, "%.*s/runs", STR_ARG(dir)));
}

static void from_environment(struct str *value, const char *upper, const char *lower,
			     struct arena *arena)
{
	const char *found = getenv(upper);

	if (value->p)
		return;
	if (!found || !*found)
		found = getenv(lower);
	if (found && *found && str_is_utf8(str_of(found)))
		*value = arena_str(arena, str_of(found));
}

/* With errors in the file only what still makes sense: all errors are reported at once. */
static void settle(struct config_file *file, bool good, struct arena *arena,
		   struct conf_errors *errors)
{
	struct config *config = &file->config;

	settle_listen(config, errors);
	settle_platforms(config, errors);
	settle_users(file, arena, errors);
	settle_certificates(config, errors);
	settle_seal(config, errors);
	if (!good)
		return;
	settle_authentication(config, errors);
	settle_store(file, arena, errors);
	from_environment(&config->proxy.http, "HTTP_PROXY", "http_proxy", arena);
	from_environment(&config->proxy.https, "HTTPS_PROXY", "https_proxy", arena);
	from_environment(&config->proxy.no_proxy, "NO_PROXY", "no_proxy", arena);
}

/* -- reading ----------------------------------------------------------------------------- */

/* yaml_parse() says "3:7: what": the place belongs to the message. */
static void add_yaml_error(struct conf_errors *errors, const struct err *err)
{
	struct json place = { 0 };
	int skip = 0;

	if (sscanf(err->text, "%u:%u: %n", &place.line, &place.column, &skip) != 2)
		skip = 0;
	conf_errors_add(errors, &place, "", "%s", err->text + skip);
}

int config_parse(struct str text, const char *name, const char *dir, struct arena *arena,
		 struct config **out, struct conf_errors *errors)
{
	struct yaml_options options = { .bytes = CONFIG_BYTES_MAX };
	size_t before = errors->n_errors;
	struct config_file *file;
	struct err err = { 0 };
	struct json *node;
	int status;

	errors->file = arena_strdup(&errors->arena, name);
	errors->dir = arena_strdup(&errors->arena, dir);
	status = yaml_parse(arena, text, &options, &node, &err);
	if (status) {
		add_yaml_error(errors, &err);
		return status;
	}
	file = arena_new(arena, struct config_file);
	status = conf_decode(config_file_rows, node, "", file, arena, errors);
	file->config.node = node;
	file->config.file = str_of(arena_strdup(arena, name));
	file->config.dir = str_of(arena_strdup(arena, dir));
	if (json_is_object(node) || json_is_null(node))
		settle(file, status == 0, arena, errors);
	if (errors->n_errors != before)
		return ERR_INVALID;
	*out = &file->config;
	return 0;
}

/* The absolute directory of a path. */
static const char *dir_of(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/');
	char *here, *dir;

	if (path[0] == '/')
		return slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
	here = getcwd(NULL, 0);
	dir = arena_printf(arena, "%s%s%.*s", here ? here : ".", slash ? "/" : "",
			   slash ? (int)(slash - path) : 0, path);
	free(here);
	return dir;
}

int config_load(const char *path, struct arena *arena, struct config **out,
		struct conf_errors *errors)
{
	struct buf text = { 0 };
	struct err err = { 0 };
	int status;

	status = conf_read_file(path, CONFIG_BYTES_MAX, &text, NULL, &err);
	if (status)
		conf_errors_add(errors, NULL, "", "%s", err.text);
	else
		status = config_parse(buf_str(&text), path, dir_of(path, &errors->arena), arena,
				      out, errors);
	buf_wipe(&text);
	return status;
}

/* -- documentation ----------------------------------------------------------------------- */

const struct conf_key *config_rows(void)
{
	return config_file_rows;
}

void config_reference(struct buf *buf)
{
	buf_puts(buf,
		 "# The configuration of osbd: every key with its meaning, its type and its "
		 "bounds.\n"
		 "# What is commented out has no default, or stands in place of something else.\n"
		 "# Generated from the source; `osbd check -c FILE` says all that is wrong with a "
		 "file.\n"
		 "#\n"
		 "# size: bytes, or with k, M or G behind it. duration: with ms, s, m, h or d "
		 "behind "
		 "it, or 0.\n"
		 "# path: relative ones start at the directory of this file.\n"
		 "# secret: the text itself, {file: PATH} or {env: NAME}.\n"
		 "# reloadable: SIGHUP takes a new value over; others need a restart.\n"
		 "# Keys that begin with x- are skipped: a place for YAML anchors.\n\n");
	conf_reference(config_file_rows, buf);
}

void config_man(struct buf *buf)
{
	buf_puts(buf,
		 ".\\\" Generated from the source.\n"
		 ".TH OSBD.YML 5 \"\" \"osbd\" \"File Formats\"\n"
		 ".SH NAME\nosbd.yml \\- configuration of osbd\n"
		 ".SH DESCRIPTION\n"
		 "One YAML document. All errors are reported at once, with their places, by\n"
		 ".BR \"osbd check \\-c\" \" FILE.\"\n"
		 "Words such as yes and on are texts, not booleans; a key may stand only once.\n"
		 "Keys that begin with x\\- are skipped: a place for YAML anchors.\n"
		 ".PP\n"
		 "A size is in bytes, or has k, M or G behind it. A duration has ms, s, m, h or d "
		 "behind\nit, or is 0. A relative path starts at the directory of the file.\n"
		 ".PP\n"
		 "A secret is the text itself,\n"
		 ".BI {file: \" PATH\" }\n"
		 "without the line end at its end, or\n"
		 ".BI {env: \" NAME\" }\\fR.\n"
		 ".PP\n"
		 "SIGHUP takes new values of reloadable keys over; others need a restart.\n"
		 ".SH KEYS\n");
	conf_man(config_file_rows, buf);
	buf_puts(buf, ".SH SEE ALSO\n.BR osbd (1)\n");
}
