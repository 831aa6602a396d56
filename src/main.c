/* osbd: reads the command line, and runs a command. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct command *find(const char *name)
{
	const struct command *const *c;

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

static int usage(const struct command *command)
{
	fprintf(stderr, "usage: osbd %s%s%s\n", command->name, command->synopsis[0] ? " " : "",
		command->synopsis);
	return EXIT_USAGE;
}

static int run(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "from", required_argument, NULL, 'f' },
		{ "to", required_argument, NULL, 't' },
		{ 0 },
	};
	const char *config = NULL;
	char *to = NULL;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, command->needs_config ? ":c:h" : ":h", options,
				NULL)) != -1) {
		if (c == 'c' && command->needs_config) {
			config = optarg;
		} else if (c == 'f' && command->needs_pair) {
			config = optarg;
		} else if (c == 't' && command->needs_pair) {
			to = optarg;
		} else if (c == 'h') {
			char *name = (char *)(uintptr_t)command->name;

			return command_help.run(NULL, 1, &name);
		} else if (c == ':') {
			fprintf(stderr, "osbd %s: %s needs a file name\n", command->name,
				argv[optind - 1]);
			return usage(command);
		} else {
			char letter[3] = { '-', (char)optopt, '\0' };
			const char *option = c == 'f'   ? "--from"
					     : c == 't' ? "--to"
					     : optopt   ? letter
							: argv[optind - 1];

			fprintf(stderr, "osbd %s: there is no option %s; there %s\n", command->name,
				option,
				command->needs_pair     ? "are --from FILE, --to FILE and --help"
				: command->needs_config ? "are -c FILE, --config FILE and --help"
							: "is --help");
			return usage(command);
		}
	}
	argc -= optind;
	argv += optind;
	if (command->needs_config && !config) {
		fprintf(stderr, "osbd %s: needs -c FILE, the configuration\n", command->name);
		return usage(command);
	}
	if (argc > command->takes) {
		fprintf(stderr, "osbd %s: takes %s\n", command->name,
			command->takes > 1 ? "fewer arguments"
			: command->takes   ? "one argument"
					   : "no argument");
		return usage(command);
	}
	if (command->needs_pair && (!config || !to)) {
		fprintf(stderr, "osbd %s: needs --from FILE and --to FILE\n", command->name);
		return usage(command);
	}
	return command->needs_pair ? command->run(config, 1, &to)
				   : command->run(config, argc, argv);
}

/* A standard descriptor that is closed would be taken by the next file or socket, and the log
 * would be written there. */
static int open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* What was to be said but could not be written is a failure. */
static int finish(int rc)
{
	bool failed = ferror(stdout) != 0;

	if (fflush(stdout) == 0 && !failed)
		return rc;
	fprintf(stderr, "osbd: standard output: %s\n", strerror(errno));
	return rc ? rc : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (open_standard() < 0)
		return EXIT_FAILED;
	/* before libuv looks: some versions start a kernel thread otherwise */
	setenv("UV_USE_IO_URING", "0", 1);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like others */
	if (argc < 2) {
		command_help.run(NULL, 0, NULL);
		return EXIT_USAGE;
	}
	command = find(argv[1]);
	if (!command) {
		fprintf(stderr, "osbd: there is no command \"%s\"; osbd help lists them\n",
			argv[1]);
		return EXIT_USAGE;
	}
	return finish(run(command, argc - 1, argv + 1));
}
