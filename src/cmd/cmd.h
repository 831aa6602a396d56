/* cmd: the subcommands of osbd, a file each.
 *
 * Exit codes: 0 done, 1 failed, 2 usage, 3 configuration. What a person asked for goes to stdout,
 * what went wrong to stderr. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CMD_CMD_H
#define OSBD_CMD_CMD_H

#include "osb/generation.h"
#include "sql/sql.h"
#include "store/seal.h"

enum cmd_exit { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 3 };

struct command {
	const char *name;
	const char *synopsis; /* behind the name */
	const char *summary;  /* a line */
	const char *help;     /* the rest of its help text */
	bool needs_config;    /* -c FILE */
	bool needs_pair;      /* --from FILE --to FILE: config, argv[0] */
	int takes;            /* arguments behind the options, at most */
	bool hidden;
	int (*run)(const char *config, int argc, char **argv);
};

extern const struct command command_serve, command_check, command_reseal, command_orphans,
	command_copy_store, command_test, command_version, command_help, command_verify_password;
extern const struct command *const commands[]; /* NULL-terminated */

extern const struct backend_type *const backend_types[]; /* NULL-terminated */

/* A configuration with all that follows from it, as every command but help needs it. */
struct setup {
	struct arena arena;
	struct conf_errors errors;
	struct generation *gen;
	const struct config *config; /* gen's */
	struct loop loop;
	struct log_sink *sink;
	struct log log;
	struct metrics metrics;
	struct child_host children;
	struct backend_env env; /* but for the configuration */
	struct backend_net net;
	struct store *store;
	bool has_loop, has_children;
	bool only_look; /* set before catalog: directories and the store are looked at, not made */
};

/* Each step prints what is wrong to stderr and returns an exit code, 0 when all is well.
 * setup_finish() takes back what was done so far, and returns EXIT_FAILED when something was
 * still open. */
int setup_config(struct setup *setup, const char *path); /* zeroes first */
int setup_catalog(struct setup *setup);                  /* after config */
int setup_store(struct setup *setup);                    /* after config */
/* Adds to setup->errors what would keep the directories from being made and the store from being
 * opened. A database server is not asked. */
void setup_look(struct setup *setup);
/* The options of the store that is configured; keys are the caller's. */
int setup_keys(const struct config *config, struct seal_keys *keys, struct err *err);
void setup_postgres(const struct config *config, struct sql_config *sql);
int setup_finish(struct setup *setup);
void setup_print_errors(struct setup *setup);
void setup_users(struct setup *setup, struct generation *gen); /* gen->users */

#endif
