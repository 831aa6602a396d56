/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: a config that is whole, or messages that a terminal can show. */
#include "osb/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_messages(struct conf_errors *errors)
{
	const char *line;
	size_t i;

	for (i = 0; i < errors->n; i++) {
		line = conf_errors_line(errors, i);
		check(str_is_utf8(str_of(line)));
		for (; *line; line++)
			check((unsigned char)*line >= 0x20 && *line != 0x7f);
	}
}

static void check_config(const struct config *config)
{
	size_t i, k;

	check(config->n_listen && config->n_platforms && config->node && config->dir.p);
	check(config->n_users || !config->authenticate);
	for (i = 0; i < config->n_listen; i++)
		check(config->listen[i].address.n && config->listen[i].prefix.p[0] == '/');
	for (i = 0; i < config->n_users; i++) {
		check(config->users[i].node && config->users[i].name.n);
		check(config->users[i].n_passwords >= 1 &&
		      config->users[i].n_passwords <= CONFIG_PASSWORDS);
		for (k = 0; k < config->users[i].n_passwords; k++)
			check(secret_reveal(&config->users[i].passwords[k].text).n > 0);
	}
	for (i = 0; i < config->n_services; i++) {
		check(config->services[i].path.n && config->services[i].backend.n);
		for (k = 0; k < config->services[i].n_plans; k++)
			check(config->services[i].plans[k].path.n &&
			      config->services[i].plans[k].renew_before <=
				      config->services[i].plans[k].binding_lifetime);
	}
	check(config->store.kind == CONFIG_MEMORY || config->store.path.p[0] == '/');
	check(config->children.directory.p[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors = { 0 };
	struct arena arena = { 0 };
	struct config *config = NULL;

	if (config_parse(str_make((const char *)data, size), "f.yml", "/nowhere", &arena, &config,
			 &errors) == 0) {
		check(errors.n_errors == 0);
		check_config(config);
	} else {
		check(errors.n_errors > 0 && !config);
	}
	check_messages(&errors);
	conf_errors_finish(&errors);
	arena_finish(&arena);
	return 0;
}
