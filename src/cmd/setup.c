/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include "backends/bundle.h"
#include "backends/demo.h"
#include "backends/mysql.h"
#include "backends/postgresql.h"
#include "journal/journal.h"
#include "osb/users_verify.h"
#include "store/memory.h"
#include "store/postgres.h"
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEATS_LATE 500 /* ms that an end of children may come late */

const struct backend_type *const backend_types[] = { &backend_bundle, &backend_demo, &backend_mysql,
						     &backend_postgresql, NULL };

void setup_print_errors(struct setup *setup)
{
	struct buf text = { 0 };

	conf_errors_print(&setup->errors, &text);
	if (text.n)
		fwrite(text.p, 1, text.n, stderr);
	buf_finish(&text);
	conf_errors_finish(&setup->errors);
}

int setup_config(struct setup *setup, const char *path)
{
	int rc;

	memset(setup, 0, sizeof(*setup));
	rc = generation_read(path, &setup->gen, &setup->errors);
	if (rc < 0) {
		setup_print_errors(setup);
		return EXIT_CONFIG;
	}
	setup->config = setup->gen->config;
	metrics_init(&setup->metrics);
	if (loop_init(&setup->loop) < 0) {
		fputs("osbd: cannot make an event loop\n", stderr);
		return EXIT_FAILED;
	}
	setup->has_loop = true;
	/* a reader of the log that stands still must not hold the daemon up */
	fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
	setup->sink =
		log_sink_create(STDERR_FILENO, setup->config->log.format, setup->config->log.level);
	log_init(&setup->log, setup->sink);
	return 0;
}

/* The directory and those above it. */
static int make_directory(const char *path)
{
	char part[4096];
	size_t i;

	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (i = 1;; i++) {
		char c = part[i];

		if (c != '/' && c != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
		part[i] = c;
		if (c == '\0')
			return 0;
	}
}

int setup_catalog(struct setup *setup)
{
	const struct config_children *children = &setup->config->children;
	const struct json *node = json_get(setup->config->node, "children");
	uint64_t silence = journal_lease_margin(setup->config->limits.lease) - BEATS_LATE;
	struct err err;
	int rc;

	if (setup->only_look) {
		setup_look(setup);
	} else {
		rc = make_directory(children->directory.p);
		if (rc < 0)
			conf_errors_add(&setup->errors, json_get(node, "directory"),
					"children.directory", "%s: %s", children->directory.p,
					strerror(-rc));
	}
	if (child_host_init(&setup->children, &setup->loop,
			    children->supervisor.n ? children->supervisor.p : NULL, &err) < 0) {
		conf_errors_add(&setup->errors, json_get(node, "supervisor"), "children.supervisor",
				"%s", err.text);
		setup_print_errors(setup);
		return EXIT_CONFIG;
	}
	setup->children.silence = setup->config->limits.child_silence;
	/* the journal mutes them that long before another node may begin what they do */
	if (setup->config->store.kind == CONFIG_POSTGRESQL && setup->children.silence > silence)
		setup->children.silence = silence;
	setup->has_children = true;
	setup->net.loop = &setup->loop;
	setup->env = (struct backend_env){
		.net = &setup->net,
		.loop = &setup->loop,
		.children = &setup->children,
		.metrics = &setup->metrics,
		.log = &setup->log,
		.run_dir = children->directory.p,
	};
	rc = generation_open(setup->gen, &setup->env, backend_types, &setup->errors);
	if (setup->errors.n_errors > 0)
		rc = ERR_INVALID;
	setup_print_errors(setup);
	return rc < 0 ? EXIT_CONFIG : 0;
}

void setup_users(struct setup *setup, struct generation *gen)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	gen->users = users_create(&setup->loop, gen->config, &setup->children, self, &setup->log,
				  &setup->metrics);
}

static int make_store_directory(struct setup *setup, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int rc;

	if (!slash || slash == path)
		return 0;
	dir = arena_strndup(&setup->arena, path, (size_t)(slash - path));
	rc = make_directory(dir);
	if (rc == 0)
		return 0;
	fprintf(stderr, "osbd: store.sqlite.path: %s: %s\n", dir, strerror(-rc));
	return EXIT_CONFIG;
}

void setup_postgres(const struct config *config, struct sql_config *sql)
{
	const struct config_postgresql *postgresql = config->store.postgresql;
	struct str password = secret_reveal(&postgresql->password);

	*sql = (struct sql_config){
		.url = secret_reveal(&postgresql->url).p,
		.password = password.n > 0 ? password.p : NULL,
		.connections = (unsigned)postgresql->connections,
		.connect_ms = postgresql->connect,
		.statement_ms = postgresql->statement,
	};
}

static int open_postgres(struct setup *setup, const struct seal_keys *keys, struct err *err)
{
	struct store_postgres_options options = {
		.loop = &setup->loop,
		.log = &setup->log,
		.metrics = &setup->metrics,
		.keys = keys,
	};

	setup_postgres(setup->config, &options.sql);
	return store_postgres_open(&options, &setup->store, err);
}

int setup_keys(const struct config *config, struct seal_keys *keys, struct err *err)
{
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < config->n_seal_keys; i++)
		rc = seal_keys_add(
			keys, config->seal_keys[i].id,
			str_make((const char *)config->seal_keys[i].key, CONFIG_SEAL_KEY), err);
	return rc;
}

int setup_store(struct setup *setup)
{
	const struct config *config = setup->config;
	struct store_options options = {
		.loop = &setup->loop,
		.log = &setup->log,
		.metrics = &setup->metrics,
		.path = config->store.path.p,
	};
	struct seal_keys *keys = seal_keys_create();
	struct err err = { 0 };
	int rc = setup_keys(config, keys, &err);

	options.keys = keys;
	if (rc == 0 && config->store.kind == CONFIG_MEMORY) {
		rc = store_memory_open(&options, &setup->store, &err);
	} else if (rc == 0 && config->store.kind == CONFIG_POSTGRESQL) {
		rc = open_postgres(setup, keys, &err);
	} else if (rc == 0) {
		rc = make_store_directory(setup, options.path);
		if (rc == 0)
			rc = store_sqlite_open(&options, &setup->store, &err);
		else
			err.text[0] = '\0';
	}
	seal_keys_destroy(keys);
	if (rc == 0)
		return 0;
	if (err.text[0])
		fprintf(stderr, "osbd: store: %s\n", err.text);
	return EXIT_FAILED;
}

static void went(void *data)
{
	*(bool *)data = true;
}

int setup_finish(struct setup *setup)
{
	bool closed = false;
	int rc = 0;

	if (setup->store) {
		store_close(setup->store, went, &closed);
		loop_run_until(&setup->loop, &closed);
	}
	if (setup->gen) {
		closed = false;
		generation_stop(setup->gen, went, &closed);
		if (!closed)
			loop_run_until(&setup->loop, &closed);
	}
	generation_unref(setup->gen);
	backend_net_close(&setup->net);
	if (setup->has_children)
		child_host_finish(&setup->children);
	if (setup->has_loop) {
		loop_run(&setup->loop);
		backend_net_finish(&setup->net);
		if (loop_finish(&setup->loop) < 0) {
			log_error(&setup->log, "something was still open at the end");
			rc = EXIT_FAILED;
		}
	}
	log_sink_destroy(setup->sink);
	conf_errors_finish(&setup->errors);
	arena_finish(&setup->arena);
	return rc;
}
