/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include "store/sqlite_look.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Is the directory there, or could it be made? 0 or -errno. */
static int look_at_directory(const char *path)
{
	struct arena arena = { 0 };
	char *part = arena_strdup(&arena, path), *slash;
	struct stat st;
	int rc;

	while ((rc = stat(part, &st)) != 0 && errno == ENOENT) {
		slash = strrchr(part, '/');
		if (!slash || slash == part)
			break;
		*slash = '\0';
	}
	if (rc != 0)
		rc = errno == ENOENT ? 0 : -errno; /* only / is left */
	else if (!S_ISDIR(st.st_mode))
		rc = -ENOTDIR;
	else if (access(part, W_OK | X_OK) != 0)
		rc = -errno;
	arena_finish(&arena);
	return rc;
}

/* False: something is wrong with it. */
static bool look_at_sqlite(struct setup *setup, const struct seal_keys *keys)
{
	const struct config *config = setup->config;
	const struct json *node =
		json_get(json_get(json_get(config->node, "store"), "sqlite"), "path");
	struct store_options options = { .keys = keys, .path = config->store.path.p };
	const char *slash = strrchr(options.path, '/');
	const char *dir = arena_strndup(&setup->arena, options.path,
					slash > options.path ? (size_t)(slash - options.path) : 1);
	struct err err = { 0 };
	int rc = look_at_directory(dir);

	if (rc < 0)
		err_set(&err, ERR_INVALID, "%s: %s", dir, strerror(-rc));
	else
		rc = store_sqlite_look(&options, &err);
	if (rc < 0)
		conf_errors_add(&setup->errors, node, "store.sqlite.path", "%s", err.text);
	return rc == 0;
}

static void look_at_postgres(struct setup *setup)
{
	const struct json *node = json_get(json_get(setup->config->node, "store"), "postgresql");
	struct sql_config sql;
	struct err err;

	setup_postgres(setup->config, &sql);
	if (sql_check(&sql, &err) < 0)
		conf_errors_add(&setup->errors, node, "store.postgresql", "%s", err.text);
}

static void look_at_runs(struct setup *setup, const struct json *node)
{
	const char *runs = setup->config->children.directory.p;
	int rc = look_at_directory(runs);

	if (rc < 0)
		conf_errors_add(&setup->errors, node, "children.directory", "%s: %s", runs,
				strerror(-rc));
}

void setup_look(struct setup *setup)
{
	const struct config *config = setup->config;
	const struct json *runs = json_get(json_get(config->node, "children"), "directory");
	struct seal_keys *keys = seal_keys_create();
	bool good = true;
	struct err err;

	if (setup_keys(config, keys, &err) < 0)
		conf_errors_add(&setup->errors, json_get(config->node, "seal"), "seal", "%s",
				err.text);
	else if (config->store.kind == CONFIG_POSTGRESQL)
		look_at_postgres(setup);
	else if (config->store.kind == CONFIG_SQLITE)
		good = look_at_sqlite(setup, keys);
	if (runs || good) /* else it is beside the store, and that has been said */
		look_at_runs(setup, runs);
	seal_keys_destroy(keys);
}
