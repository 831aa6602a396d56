/* osbd help, version, and the verifier of passwords. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include "osb/users_verify.h"

#include <stdio.h>

const struct command *const commands[] = {
	&command_serve,           &command_check, &command_reseal,  &command_orphans,
	&command_copy_store,      &command_test,  &command_version, &command_help,
	&command_verify_password, NULL,
};

static void print_all(void)
{
	const struct command *const *c;

	puts("osbd: an Open Service Broker\n\nusage: osbd COMMAND [OPTION…]\n");
	for (c = commands; *c; c++)
		if (!(*c)->hidden)
			printf("  %-8s %-10s %s\n", (*c)->name, (*c)->synopsis, (*c)->summary);
	puts("\n"
	     "osbd help COMMAND says more; osbd help config prints every configuration key.\n"
	     "Exit codes: 0 done, 1 failed, 2 usage, 3 configuration.");
}

static int help(const char *config, int argc, char **argv)
{
	const struct command *const *c;
	struct buf text = { 0 };

	(void)config;
	if (argc == 0) {
		print_all();
		return EXIT_DONE;
	}
	if (strcmp(argv[0], "config") == 0) {
		config_reference(&text);
		fwrite(text.p, 1, text.n, stdout);
		buf_finish(&text);
		return EXIT_DONE;
	}
	for (c = commands; *c; c++) {
		if (strcmp((*c)->name, argv[0]) != 0)
			continue;
		printf("usage: osbd %s%s%s\n\n%s", (*c)->name, (*c)->synopsis[0] ? " " : "",
		       (*c)->synopsis, (*c)->help);
		return EXIT_DONE;
	}
	fprintf(stderr, "osbd: there is no command \"%s\"; osbd help lists them\n", argv[0]);
	return EXIT_USAGE;
}

static int version(const char *config, int argc, char **argv)
{
	(void)config;
	(void)argc;
	(void)argv;
	puts("osbd " OSBD_VERSION " (Open Service Broker API 2.17)");
	return EXIT_DONE;
}

static int verify_password(const char *config, int argc, char **argv)
{
	(void)config;
	(void)argc;
	(void)argv;
	return users_verify_main();
}

const struct command command_help = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.summary = "say what the commands do",
	.takes = 1,
	.help = "Without COMMAND: lists them. `config` in its place prints the reference of all\n"
		"configuration keys, as a file that can be used.\n",
	.run = help,
};

const struct command command_version = {
	.name = "version",
	.synopsis = "",
	.summary = "print the version",
	.help = "Prints the version of osbd and of the API that it speaks.\n",
	.run = version,
};

const struct command command_verify_password = {
	.name = "verify-password",
	.synopsis = "",
	.summary = "verify a hashed password (run by serve)",
	.help = "Reads a crypt(3) hash, a NUL and a password from standard input. Exit code 0: it "
		"is\n"
		"right, 1: it is wrong, 2: the hash cannot be used.\n",
	.hidden = true,
	.run = verify_password,
};
