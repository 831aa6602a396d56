/* What the tests of core/child share: a world that proves at its end that nothing is left in it,
 * one run at a time, and a look at the processes of the machine. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_CHILD_WORLD_H
#define OSBD_TEST_CHILD_WORLD_H

#include "core/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const plain_env[] = { "PATH=/usr/bin:/bin", NULL };

/* -- the world around a test ------------------------------------------------------------ */

static inline const char *supervisor(void)
{
	const char *path = getenv("OSBD_CHILD");

	assert_non_null(path);
	return path;
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void nap(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* The arguments of a process, blanks between them; empty for a zombie or one that is gone. */
static inline void cmdline(const char *pid, char *text, size_t size)
{
	char path[300];
	ssize_t n = 0, i;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	if (n < 0)
		n = 0;
	for (i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	text[n] = '\0';
}

/* How many living processes have the marker among their arguments. */
static inline int count_marked(const char *marker)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	int n = 0;

	assert_non_null(proc);
	while ((entry = readdir(proc))) {
		char text[4096];

		if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
			continue;
		cmdline(entry->d_name, text, sizeof(text));
		if (strstr(text, marker))
			n++;
	}
	closedir(proc);
	return n;
}

static inline bool gone_within(const char *marker, uint64_t ms)
{
	uint64_t end = now_ms() + ms;

	while (count_marked(marker) > 0) {
		if (now_ms() > end)
			return false;
		nap(10);
	}
	return true;
}

static inline void wait_marked(const char *mark, int n)
{
	uint64_t end = now_ms() + 5000;

	while (count_marked(mark) < n) {
		assert_true(now_ms() < end);
		nap(10);
	}
}

/* A number of seconds for sleep(1) that no other process has. */
static inline const char *marker(void)
{
	static char text[32];
	static unsigned n;

	snprintf(text, sizeof(text), "97%u.%d", ++n, (int)getpid());
	return text;
}

static inline int count_dir(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline int count_fds(void)
{
	return count_dir("/proc/self/fd");
}

static inline int count_children(void)
{
	char path[64], text[4096];
	ssize_t n, i;
	int count = 0, fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text));
	close(fd);
	for (i = 0; i < n; i++)
		count += text[i] == ' ';
	return count;
}

struct scratch {
	char dir[64];
	char path[128];
};

static inline void scratch_init(struct scratch *scratch)
{
	strcpy(scratch->dir, "/tmp/osbd_child_test.XXXXXX");
	assert_non_null(mkdtemp(scratch->dir));
}

static inline const char *scratch_path(struct scratch *scratch, const char *name)
{
	snprintf(scratch->path, sizeof(scratch->path), "%s/%s", scratch->dir, name);
	return scratch->path;
}

static const char *scratch_file(struct scratch *scratch, const char *name, const char *text,
				mode_t mode)
{
	const char *path = scratch_path(scratch, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static inline void scratch_finish(struct scratch *scratch)
{
	DIR *dir = opendir(scratch->dir);
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	assert_int_equal(rmdir(scratch->dir), 0);
}

/* -- one run ---------------------------------------------------------------------------- */

struct world {
	struct loop loop;
	struct child_host host;
	struct arena arena;
	int fds, children;
};

static inline void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->fds = count_fds();
	w->children = count_children();
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(child_host_init(&w->host, &w->loop, supervisor(), NULL), 0);
	w->host.silence = SEC(10);
}

/* Nothing is left: no handle, no timer, no descriptor, no child, no zombie. */
static inline void world_finish(struct world *w)
{
	assert_true(list_empty(&w->host.running));
	assert_int_equal(w->host.started, w->host.reaped);
	child_host_finish(&w->host);
	arena_finish(&w->arena);
	assert_int_equal(loop_finish(&w->loop), 0);
	assert_int_equal(count_fds(), w->fds);
	assert_int_equal(count_children(), w->children);
}

struct job {
	struct child child;
	int status;
	bool done;
	uint64_t ms;
};

static inline void on_done(struct call *call, int status)
{
	struct job *job = call->data;

	assert_false(job->done);
	assert_null(job->child.run);
	job->done = true;
	job->status = status;
}

static inline void job_start(struct job *job, struct world *w, const struct child_options *options)
{
	memset(job, 0, sizeof(*job));
	job->child.call.done = on_done;
	job->child.call.data = job;
	assert_int_equal(child_start(&job->child, &w->host, &w->arena, options), 0);
	assert_false(job->done);
}

static inline void job_run(struct job *job, struct world *w, const struct child_options *options)
{
	uint64_t start = now_ms();

	job_start(job, w, options);
	assert_true(loop_run_until(&w->loop, &job->done));
	job->ms = now_ms() - start;
}

/* Runs a shell script. */
static void sh(struct job *job, struct world *w, const char *script,
	       const struct child_options *more)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct child_options options = *more;

	options.argv = argv;
	if (!options.env)
		options.env = plain_env;
	job_run(job, w, &options);
}

#define assert_out(job, text)                                       \
	do {                                                        \
		assert_string_equal((job)->child.out.p, (text));    \
		assert_int_equal((job)->child.out.n, strlen(text)); \
	} while (0)

/* libuv keeps a few descriptors from its first loop on, which are not ours to count. */
static inline int first_loop(void **state)
{
	struct loop loop;

	(void)state;
	return loop_init(&loop) == 0 ? loop_finish(&loop) : -1;
}

#endif
