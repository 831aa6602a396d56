/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_run.h"

#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_MAX_FTW 16 /* descriptors that a removal may hold */

/* -- environment --------------------------------------------------------------------------- */

static const char **env_find(const struct bundle_env *env, const char *name)
{
	size_t n = strlen(name), i;

	for (i = 0; i < env->n; i++)
		if (strncmp(env->p[i], name, n) == 0 && env->p[i][n] == '=')
			return &env->p[i];
	return NULL;
}

void bundle_env_set(struct bundle_env *env, const char *name, struct str value)
{
	const char *line = arena_printf(env->arena, "%s=%.*s", name, STR_ARG(value)), **bigger;
	const char **there = env_find(env, name);

	if (there) {
		*there = line;
		return;
	}
	if (env->n + 2 > env->size) {
		env->size = env->size ? 2 * env->size : 32;
		bigger = arena_alloc(env->arena, env->size * sizeof(*bigger));
		if (env->n)
			memcpy(bigger, env->p, env->n * sizeof(*bigger));
		env->p = bigger;
	}
	env->p[env->n++] = line;
	env->p[env->n] = NULL;
}

static void env_default(struct bundle_env *env, const char *name, const char *value)
{
	if (!env_find(env, name))
		bundle_env_set(env, name, str_of(value));
}

/* -- the directory -------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	if (type == FTW_DNR && chmod(path, 0700) < 0)
		return 0;
	if (remove(path) < 0 && errno != ENOENT)
		return 0; /* go on: the directory above says so in the end */
	return 0;
}

int bundle_run_remove(const char *dir)
{
	if (nftw(dir, remove_one, OPEN_MAX_FTW, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		return err_from_uv(-errno);
	if (access(dir, F_OK) == 0)
		return ERR_ACCESS;
	return 0;
}

static int failed(struct err *err, const char *path)
{
	int code = errno;

	return err_set(err, err_from_uv(-code), "%s: %s", path, strerror(code));
}

static int write_vars(const char *path, struct str vars, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t done = 0;

	if (fd < 0)
		return failed(err, path);
	while (done < vars.n) {
		ssize_t n = write(fd, vars.p + done, vars.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			failed(err, path);
			close(fd);
			return err->code;
		}
		done += (size_t)n;
	}
	close(fd);
	return 0;
}

static const char *below(struct arena *arena, const char *dir, const char *name)
{
	return arena_printf(arena, "%s/%s", dir, name);
}

static int make_directory(struct arena *arena, const char *dir, struct err *err)
{
	static const char *const names[] = { "home", "tmp", "results" };
	size_t i;

	if (bundle_run_remove(dir) < 0)
		return err_set(err, ERR_ACCESS, "%s: cannot be emptied", dir);
	if (mkdir(dir, 0700) < 0)
		return failed(err, dir);
	for (i = 0; i < ARRAY_LEN(names); i++)
		if (mkdir(below(arena, dir, names[i]), 0700) < 0)
			return failed(err, below(arena, dir, names[i]));
	return 0;
}

int bundle_run_start(struct child *child, struct child_host *host, struct arena *arena,
		     const struct bundle_run_options *options, struct err *err)
{
	const char *dir = options->dir, *vars = below(arena, dir, "vars.json");
	const char *argv[] = { options->program, options->action, "--extra-vars", options->vars.p,
			       NULL };
	struct child_options run = { .argv = argv,
				     .cwd = below(arena, dir, "home"),
				     .results = below(arena, dir, "results"),
				     .out_max = CHILD_DISCARD,
				     .deadline = options->deadline,
				     .max_memory = options->max_memory,
				     .max_file = options->max_file };
	int rc = make_directory(arena, dir, err);

	if (rc == 0 && options->vars_in_file) {
		rc = write_vars(vars, options->vars, err);
		argv[3] = arena_printf(arena, "@%s", vars);
	}
	if (rc < 0)
		return rc;
	env_default(options->env, "HOME", run.cwd);
	env_default(options->env, "TMPDIR", below(arena, dir, "tmp"));
	bundle_env_set(options->env, "BUNDLE_RESULT_DIR", str_of(run.results));
	run.env = options->env->p;
	rc = child_start(child, host, arena, &run);
	if (rc < 0)
		return err_set(err, rc, "%s: %s", options->program, err_str(rc));
	return 0;
}

int bundle_run_ended(const char *dir, int *exit_code, int *signal)
{
	struct arena arena = { 0 };
	int rc = child_result(below(&arena, dir, "results"), exit_code, signal);

	arena_finish(&arena);
	return rc;
}

/* -- results -------------------------------------------------------------------------------- */

/* At most max bytes of a plain file; ERR_NOENT for all that is none. One byte more says that it
 * is longer. */
static int read_file(struct arena *arena, const char *dir, const char *name, size_t max,
		     struct str *out)
{
	const char *path = arena_printf(arena, "%s/results/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *bytes;
	size_t size, n = 0;

	if (fd < 0)
		return ERR_NOENT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return ERR_NOENT;
	}
	size = st.st_size < (off_t)max ? (size_t)st.st_size + 1 : max + 1;
	bytes = arena_alloc(arena, size + 1);
	while (n < size) {
		ssize_t got = read(fd, bytes + n, size - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	bytes[n] = '\0';
	*out = str_make(bytes, n);
	return 0;
}

struct str bundle_run_text(struct arena *arena, const char *dir, const char *name)
{
	static const struct str none = { NULL, 0 };
	struct str text;
	char *copy;
	size_t i;

	if (read_file(arena, dir, name, BUNDLE_MESSAGE_MAX, &text) < 0)
		return none;
	if (text.n > BUNDLE_MESSAGE_MAX)
		for (text.n = BUNDLE_MESSAGE_MAX; ((unsigned char)text.p[text.n] & 0xC0) == 0x80;)
			text.n--;
	if (!str_is_utf8(text))
		return none;
	copy = arena_strndup(arena, text.p, text.n);
	for (i = 0; i < text.n; i++)
		if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f)
			copy[i] = ' ';
	text = str_trim(str_make(copy, text.n));
	return text.n ? arena_str(arena, text) : none;
}

int bundle_run_fields(struct arena *arena, const char *dir, struct json **out, struct err *err)
{
	static const struct json_limits limits = { .bytes = BUNDLE_FIELDS_MAX };
	struct err detail;
	struct str text;

	*out = NULL;
	if (read_file(arena, dir, "fields", BUNDLE_FIELDS_MAX, &text) < 0 || !text.n)
		return 0;
	if (text.n > BUNDLE_FIELDS_MAX)
		return err_set(err, ERR_TOOBIG, "its credentials are larger than %d KiB",
			       BUNDLE_FIELDS_MAX >> 10);
	if (json_parse_object(arena, text, &limits, out, &detail) < 0) {
		*out = NULL;
		return err_set(err, ERR_SYNTAX, "its credentials are not a JSON object");
	}
	return 0;
}
