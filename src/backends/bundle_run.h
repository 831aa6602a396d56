/* backends/bundle_run: one run of a bundle's action, as a process in a directory of its own.
 *
 *   DIR/          0700; named after the operation and the action
 *   DIR/vars.json 0600; the JSON, when the argument is @DIR/vars.json
 *   DIR/home      HOME and working directory
 *   DIR/tmp       TMPDIR
 *   DIR/results   BUNDLE_RESULT_DIR: fields, message, dashboard_url, last_operation; and `exit`,
 *                 which osbd-child writes when the action has ended by itself
 *
 * The program is run as `bundle ACTION --extra-vars JSON`. stdout is dropped, the last of stderr
 * is for the log. Whoever restarts after a crash asks bundle_run_ended() first: what has ended is
 * not run again. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_RUN_H
#define OSBD_BACKENDS_BUNDLE_RUN_H

#include "core/child.h"
#include "core/json.h"

#define BUNDLE_FIELDS_MAX (256 << 10) /* bytes of `fields` */
#define BUNDLE_MESSAGE_MAX 800        /* bytes of a text for people; more is cut */

/* NAME=VALUE lines; a name set twice has the last value. */
struct bundle_env {
	struct arena *arena;
	const char **p; /* NULL-terminated, for child_options */
	size_t n, size;
};

void bundle_env_set(struct bundle_env *env, const char *name, struct str value);

struct bundle_run_options {
	const char *program; /* absolute path of `bundle` */
	const char *action;
	const char *dir; /* absolute; its parent is there */
	struct str vars; /* JSON */
	bool vars_in_file;
	struct bundle_env *env; /* gets HOME, TMPDIR and BUNDLE_RESULT_DIR, unless they are set */
	uint64_t deadline;      /* ms; 0: none */
	uint64_t max_memory, max_file;
};

/* Makes dir anew and starts. child->call.done and .data are set by the owner. 0, or ERR_* and err;
 * what child_start() and its done can say is theirs. */
int bundle_run_start(struct child *child, struct child_host *host, struct arena *arena,
		     const struct bundle_run_options *options, struct err *err) MUST_CHECK;

/* As child_result(): how the run in dir ended. */
int bundle_run_ended(const char *dir, int *exit_code, int *signal) MUST_CHECK;

/* A result file as one line for people: without control characters, trimmed, cut at a character;
 * {NULL, 0} when it is absent, empty, no plain file or not UTF-8. */
struct str bundle_run_text(struct arena *arena, const char *dir, const char *name);
/* `fields`: 0 and NULL when it is absent or empty. ERR_TOOBIG, or ERR_SYNTAX when it holds no JSON
 * object; the text does not show what it holds. */
int bundle_run_fields(struct arena *arena, const char *dir, struct json **out,
		      struct err *err) MUST_CHECK;

/* Removes dir and all below it. 0, or ERR_* when something stays. */
int bundle_run_remove(const char *dir);

#endif
