/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/listen_tls.h"

#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy_pair(const struct config_tls_pair *pair, struct arena *arena,
		      struct tls_files *out)
{
	out->certificate = arena_strdup(arena, pair->certificate.p);
	out->key = arena_strdup(arena, pair->key.p);
}

void listen_tls_options(const struct config_tls *tls, struct arena *arena,
			struct tls_tickets *tickets, struct tls_server_options *out)
{
	struct tls_files *pairs = arena_alloc(arena, (tls->n_more + 1) * sizeof(*pairs));
	struct str *suites = arena_alloc(arena, tls->n_suites * sizeof(*suites) + 1);
	size_t i;

	copy_pair(&tls->first, arena, &pairs[0]);
	for (i = 0; i < tls->n_more; i++)
		copy_pair(&tls->more[i], arena, &pairs[i + 1]);
	for (i = 0; i < tls->n_suites; i++)
		suites[i] = arena_str(arena, tls->suites[i]);
	*out = (struct tls_server_options){
		.pairs = pairs,
		.n_pairs = tls->n_more + 1,
		.client_ca = tls->client_ca.n ? arena_strdup(arena, tls->client_ca.p) : NULL,
		.clients = tls->client == CONFIG_CLIENTS_REQUIRED ? TLS_CLIENTS_REQUIRED
								  : TLS_CLIENTS_OPTIONAL,
		.min_version = tls->min_version,
		.suites = suites,
		.n_suites = tls->n_suites,
		.tickets = tickets,
	};
}

static bool lacks(const char *file, const struct json *node, const char *path, const char *name,
		  struct conf_errors *errors)
{
	char full[64];

	if (access(file, R_OK) == 0)
		return false;
	snprintf(full, sizeof(full), "%s.%s", path, name);
	conf_errors_add(errors, json_get(node, name), full, "%s: %s", file, strerror(errno));
	return true;
}

/* Says of each file that cannot be read that it is so. */
static bool lacks_files(const struct tls_server_options *options, const struct json *node,
			const char *path, struct conf_errors *errors)
{
	bool missing =
		options->client_ca && lacks(options->client_ca, node, path, "client_ca", errors);
	size_t i;

	for (i = 0; i < options->n_pairs; i++) {
		const struct json *pair = i ? json_at(json_get(node, "more"), i - 1) : node;
		char where[56];

		if (i)
			snprintf(where, sizeof(where), "%s.more[%zu]", path, i - 1);
		else
			snprintf(where, sizeof(where), "%s", path);
		missing |= lacks(options->pairs[i].certificate, pair, where, "certificate", errors);
		missing |= lacks(options->pairs[i].key, pair, where, "key", errors);
	}
	return missing;
}

void listen_tls_lint(const struct config *config, struct conf_errors *errors)
{
	struct arena arena = { 0 };
	size_t i, k;

	for (i = 0; i < config->n_listen; i++) {
		const struct json *node =
			json_get(json_at(json_get(config->node, "listen"), i), "tls");
		struct tls_server_options options;
		struct tls_config *made = NULL;
		struct err err = { 0 };
		char path[48];

		if (!config->listen[i].tls)
			continue;
		snprintf(path, sizeof(path), "listen[%zu].tls", i);
		listen_tls_options(config->listen[i].tls, &arena, NULL, &options);
		if (!lacks_files(&options, node, path, errors) &&
		    tls_server_config(&options, &made, &err) != 0)
			conf_errors_add(errors, node, path, "%s", err.text);
		tls_config_unref(made);
		for (k = 0; k < options.n_pairs; k++) {
			struct stat st;

			if (stat(options.pairs[k].key, &st) == 0 && st.st_mode & 0006)
				conf_errors_warn(errors, node, path,
						 "everybody on this machine may read or write %s",
						 options.pairs[k].key);
		}
	}
	arena_finish(&arena);
}
