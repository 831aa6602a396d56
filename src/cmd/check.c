/* osbd check: would this configuration be served? */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <stdio.h>

static int check(const char *config, int argc, char **argv)
{
	struct setup setup;
	size_t i, plans = 0;
	int rc, end;

	(void)argc;
	(void)argv;
	rc = setup_config(&setup, config);
	setup.only_look = true;
	if (rc == 0)
		rc = setup_catalog(&setup);
	if (rc == 0) {
		for (i = 0; i < setup.gen->catalog->n_offerings; i++)
			plans += setup.gen->catalog->offerings[i].n_plans;
		printf("%s: the configuration is valid: %zu services, %zu plans\n", config,
		       setup.gen->catalog->n_offerings, plans);
	}
	end = setup_finish(&setup);
	return rc ? rc : end;
}

const struct command command_check = {
	.name = "check",
	.synopsis = "-c FILE",
	.summary = "check a configuration, and the catalog with a platform's rules",
	.help = "Reads FILE as serve would, opens every backend, and checks the catalog with the\n"
		"rules that Cloud Controller has for it. Prints every error and warning with its\n"
		"place: first those of the file itself; when it has none, those of what it names,\n"
		"that is certificates, directories, the store, services and their plans. A\n"
		"database server is not asked. Changes nothing and listens nowhere. Exit code 3\n"
		"when something is wrong.\n",
	.needs_config = true,
	.run = check,
};
