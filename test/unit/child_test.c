/* SPDX-License-Identifier: Apache-2.0 */
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

static const char *supervisor(void)
{
	const char *path = getenv("OSBD_CHILD");

	assert_non_null(path);
	return path;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* The arguments of a process, blanks between them; empty for a zombie or one that is gone. */
static void cmdline(const char *pid, char *text, size_t size)
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
static int count_marked(const char *marker)
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

static bool gone_within(const char *marker, uint64_t ms)
{
	uint64_t end = now_ms() + ms;

	while (count_marked(marker) > 0) {
		if (now_ms() > end)
			return false;
		nap(10);
	}
	return true;
}

/* A number of seconds for sleep(1) that no other process has. */
static const char *marker(void)
{
	static char text[32];
	static unsigned n;

	snprintf(text, sizeof(text), "97%u.%d", ++n, (int)getpid());
	return text;
}

static int count_dir(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int count_fds(void)
{
	return count_dir("/proc/self/fd");
}

static int count_children(void)
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

static void scratch_init(struct scratch *scratch)
{
	strcpy(scratch->dir, "/tmp/osbd_child_test.XXXXXX");
	assert_non_null(mkdtemp(scratch->dir));
}

static const char *scratch_path(struct scratch *scratch, const char *name)
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

static void scratch_finish(struct scratch *scratch)
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

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->fds = count_fds();
	w->children = count_children();
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(child_host_init(&w->host, &w->loop, supervisor(), NULL), 0);
	w->host.silence = SEC(10);
}

/* Nothing is left: no handle, no timer, no descriptor, no child, no zombie. */
static void world_finish(struct world *w)
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

static void on_done(struct call *call, int status)
{
	struct job *job = call->data;

	assert_false(job->done);
	assert_null(job->child.run);
	job->done = true;
	job->status = status;
}

static void job_start(struct job *job, struct world *w, const struct child_options *options)
{
	memset(job, 0, sizeof(*job));
	job->child.call.done = on_done;
	job->child.call.data = job;
	assert_int_equal(child_start(&job->child, &w->host, &w->arena, options), 0);
	assert_false(job->done);
}

static void job_run(struct job *job, struct world *w, const struct child_options *options)
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

/* -- bytes ------------------------------------------------------------------------------ */

static void test_bytes_both_ways(void **state)
{
	const char *const argv[] = { "/bin/cat", NULL };
	const size_t n = 5 << 20;
	char *bytes = malloc(n);
	struct child_options options = { .argv = argv, .env = plain_env, .out_max = n };
	struct world w;
	struct job job;
	size_t i;

	(void)state;
	for (i = 0; i < n; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	options.in = str_make(bytes, n);
	world_init(&w);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 0);
	assert_int_equal(job.child.out.n, n);
	assert_memory_equal(job.child.out.p, bytes, n);
	world_finish(&w);
	free(bytes);
}

static void test_stdin_is_empty_without_in(void **state)
{
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	sh(&job, &w, "cat; echo end", &(struct child_options){ 0 });
	assert_int_equal(job.status, 0);
	assert_out(&job, "end\n");
	world_finish(&w);
}

static void test_stdin_not_read(void **state)
{
	const size_t n = 1 << 20;
	char *bytes = calloc(1, n);
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	sh(&job, &w, "exec <&-; sleep 0.1; echo fine",
	   &(struct child_options){ .in = str_make(bytes, n) });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 0);
	assert_out(&job, "fine\n");
	world_finish(&w);
	free(bytes);
}

static void test_out_max(void **state)
{
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	sh(&job, &w, "printf 12345678", &(struct child_options){ .out_max = 8 });
	assert_int_equal(job.status, 0);
	assert_out(&job, "12345678");
	sh(&job, &w, "printf 123456789", &(struct child_options){ .out_max = 8 });
	assert_int_equal(job.status, ERR_TOOBIG);
	assert_out(&job, "12345678");
	world_finish(&w);
}

static void test_output_flood(void **state)
{
	const char *mark = marker();
	char script[200];
	struct world w;
	struct job job;

	(void)state;
	snprintf(script, sizeof(script),
		 "sleep %s & trap '' PIPE TERM; yes; while :; do sleep 1; done", mark);
	world_init(&w);
	sh(&job, &w, script, &(struct child_options){ 0 });
	assert_int_equal(job.status, ERR_TOOBIG);
	assert_int_equal(job.child.out.n, 1 << 20);
	assert_int_equal(job.child.exit_code, -1);
	assert_int_equal(job.child.signal, SIGKILL);
	assert_true(job.ms < 2000);
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

static void test_stderr_keeps_its_end(void **state)
{
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	sh(&job, &w, "seq 1 200000 >&2; printf 'the\\0end' >&2", &(struct child_options){ 0 });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.out.n, 0);
	assert_int_equal(strlen(job.child.err), sizeof(job.child.err) - 1);
	assert_string_equal(job.child.err + 4095 - 21, "199999\n200000\nthe end");
	sh(&job, &w, "for i in 1 2 3; do echo $i >&2; sleep 0.02; done",
	   &(struct child_options){ 0 });
	assert_string_equal(job.child.err, "1\n2\n3\n");
	sh(&job, &w, "i=0; while [ $i -lt 3000 ]; do echo \303\244 >&2; i=$((i+1)); done",
	   &(struct child_options){ 0 });
	assert_true(str_is_utf8(str_of(job.child.err)));
	assert_true(strlen(job.child.err) > 4080);
	world_finish(&w);
}

/* -- how programs end ------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
	static const int codes[] = { 0, 1, 8, 255 };
	struct world w;
	struct job job;
	size_t i;

	(void)state;
	world_init(&w);
	for (i = 0; i < ARRAY_LEN(codes); i++) {
		char script[32];

		snprintf(script, sizeof(script), "exit %d", codes[i]);
		sh(&job, &w, script, &(struct child_options){ 0 });
		assert_int_equal(job.status, 0);
		assert_int_equal(job.child.exit_code, codes[i]);
		assert_int_equal(job.child.signal, 0);
	}
	sh(&job, &w, "kill -USR1 $$", &(struct child_options){ 0 });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, -1);
	assert_int_equal(job.child.signal, SIGUSR1);
	world_finish(&w);
}

static void test_exec_that_fails(void **state)
{
	const char *argv[] = { "/nowhere/at all", NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	struct scratch scratch;
	struct world w;
	struct job job;

	(void)state;
	scratch_init(&scratch);
	world_init(&w);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_NOENT);
	assert_string_equal(job.child.err, "/nowhere/at all: No such file or directory");
	assert_int_equal(job.child.exit_code, -1);

	argv[0] = scratch_file(&scratch, "plain", "#!/bin/sh\n", 0600);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_ACCESS);
	assert_non_null(strstr(job.child.err, "/plain: not executable"));

	argv[0] = scratch_file(&scratch, "bare", "echo must not run\n", 0700);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_ACCESS);
	assert_non_null(strstr(job.child.err, "/bare: has no interpreter line (#!)"));
	assert_int_equal(job.child.out.n, 0);

	argv[0] = scratch_file(&scratch, "lost", "#!/no/such/sh\n", 0700);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_NOENT);
	assert_non_null(strstr(job.child.err, "/lost: its interpreter does not exist"));

	argv[0] = "/bin/true";
	options.cwd = "/no/such/dir";
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_NOENT);
	assert_string_equal(job.child.err, "working directory: No such file or directory");
	options.cwd = NULL;
	options.results = "/no/such/dir";
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_NOENT);
	assert_string_equal(job.child.err, "results directory: No such file or directory");
	world_finish(&w);
	scratch_finish(&scratch);
}

static void test_start_refuses(void **state)
{
	const char *const none[] = { NULL }, *const relative[] = { "bin/true", NULL },
			  *const good[] = { "/bin/true", NULL };
	struct child_options options = { .env = plain_env };
	struct child child = { .call.done = on_done };
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_equal(child_start(&child, &w.host, &w.arena, &options), ERR_INVALID);
	options.argv = none;
	assert_int_equal(child_start(&child, &w.host, &w.arena, &options), ERR_INVALID);
	options.argv = relative;
	assert_int_equal(child_start(&child, &w.host, &w.arena, &options), ERR_INVALID);
	options.argv = good;
	options.cwd = "tmp";
	assert_int_equal(child_start(&child, &w.host, &w.arena, &options), ERR_INVALID);
	options.cwd = NULL;
	options.results = "tmp";
	assert_int_equal(child_start(&child, &w.host, &w.arena, &options), ERR_INVALID);
	world_finish(&w);
}

static void test_no_supervisor(void **state)
{
	struct child_host host;
	struct world w;
	struct job job;
	struct err err;

	(void)state;
	world_init(&w);
	assert_int_equal(child_host_init(&host, &w.loop, "/no/osbd-child", &err), ERR_NOENT);
	assert_string_equal(err.text, "/no/osbd-child: No such file or directory");
	/* beside this very program there is none */
	assert_int_equal(child_host_init(&host, &w.loop, NULL, &err), ERR_NOENT);
	assert_non_null(strstr(err.text, "/osbd-child: No such file"));
	w.host.supervisor = "/no/osbd-child"; /* it went away later */
	sh(&job, &w, "exit 0", &(struct child_options){ 0 });
	assert_int_equal(job.status, ERR_NOENT);
	assert_string_equal(job.child.err, "osbd-child: No such file or directory");
	world_finish(&w);
}

/* -- what it gets ----------------------------------------------------------------------- */

static void test_environment(void **state)
{
	const char *const argv[] = { "/usr/bin/env", NULL };
	const char *const env[] = { "B=2 3", "A=", "PATH=/nothing", NULL };
	const char *const empty[] = { NULL };
	struct child_options options = { .argv = argv, .env = env };
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	job_run(&job, &w, &options);
	assert_out(&job, "B=2 3\nA=\nPATH=/nothing\n");
	options.env = empty;
	job_run(&job, &w, &options);
	assert_out(&job, "");
	assert_int_equal(job.child.exit_code, 0);
	world_finish(&w);
}

static void test_arguments_and_directory(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c",      "pwd; printf '<%s>' \"$@\"",
				     "x",       "",        "a b",
				     "--",      "$HOME\n", NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	job_run(&job, &w, &options);
	assert_out(&job, "/\n<><a b><--><$HOME\n>");
	options.cwd = "/usr";
	job_run(&job, &w, &options);
	assert_out(&job, "/usr\n<><a b><--><$HOME\n>");
	world_finish(&w);
}

/* What this program does when it is run as a child. */
static int show_inheritance(void)
{
	struct rlimit files, core, file;
	sigset_t mask;
	int fd, i, ignored = 0, blocked = 0;

	for (fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (i = 1; i < 32; i++) {
		struct sigaction action;

		blocked += sigismember(&mask, i) > 0;
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			ignored++;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_FSIZE, &file);
	printf("blocked %d ignored %d files %lu core %lu file %lu", blocked, ignored,
	       (unsigned long)files.rlim_max, (unsigned long)core.rlim_max,
	       (unsigned long)file.rlim_cur);
	printf(" leader %d session %d", getpgrp() == getpid(), getsid(0) == getppid());
	fflush(stdout);
	return 0;
}

static void test_inheritance(void **state)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *const argv[] = { self, "--show-inheritance", NULL };
	struct child_options options = {
		.argv = argv,
		.env = plain_env,
		.max_files = 77,
		.max_file = 123456,
	};
	struct world w;
	struct job job;
	sigset_t some, old;
	int open_one = open("/dev/null", O_RDONLY); /* no O_CLOEXEC: somebody forgot it */

	(void)state;
	assert_true(n > 0 && open_one > 0);
	self[n] = '\0';
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigprocmask(SIG_BLOCK, &some, &old);
	signal(SIGHUP, SIG_IGN);
	world_init(&w);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, 0);
	assert_out(&job,
		   "0 1 2 blocked 0 ignored 0 files 77 core 0 file 123456 leader 1 session 1");
	options.in = STR("some");
	options.max_file = 123457;
	job_run(&job, &w, &options);
	assert_out(&job,
		   "0 1 2 blocked 0 ignored 0 files 77 core 0 file 123457 leader 1 session 1");
	world_finish(&w);
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(open_one);
}

static void test_memory_limit(void **state)
{
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	/* tail keeps the last line, which is 200 MB long */
	sh(&job, &w, "head -c 200000000 /dev/zero | tail -n 1 | wc -c",
	   &(struct child_options){ .max_memory = 100 << 20 });
	assert_int_equal(job.status, 0);
	assert_out(&job, "0\n");
	assert_non_null(strstr(job.child.err, "memory exhausted"));
	world_finish(&w);
}

/* With 0, 1 and 2 closed the pipes get low numbers, which must not be mixed up. */
static void test_low_descriptors(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c", "cat; echo err >&2", NULL };
	struct child_options options = { .argv = argv, .env = plain_env, .in = STR("in") };
	int saved[3], i, started;
	struct world w;
	struct job job;

	(void)state;
	world_init(&w); /* libuv wants its own ones high */
	memset(&job, 0, sizeof(job));
	job.child.call.done = on_done;
	job.child.call.data = &job;
	for (i = 0; i < 3; i++)
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 20);
	for (i = 0; i < 3; i++)
		close(i);
	started = child_start(&job.child, &w.host, &w.arena, &options);
	if (started == 0)
		loop_run_until(&w.loop, &job.done);
	for (i = 0; i < 3; i++) {
		if (saved[i] >= 0)
			dup2(saved[i], i);
		close(saved[i]);
	}
	assert_int_equal(started, 0);
	assert_true(job.done);
	assert_int_equal(job.status, 0);
	assert_out(&job, "in");
	assert_string_equal(job.child.err, "err\n");
	world_finish(&w);
}

/* -- ends that were asked for ----------------------------------------------------------- */

static void test_deadline(void **state)
{
	const char *mark = marker();
	char script[100];
	struct world w;
	struct job job;

	(void)state;
	snprintf(script, sizeof(script), "echo started; sleep %s", mark);
	world_init(&w);
	sh(&job, &w, script, &(struct child_options){ .deadline = 200 });
	assert_int_equal(job.status, ERR_TIMEDOUT);
	assert_int_equal(job.child.signal, SIGTERM);
	assert_out(&job, "started\n");
	assert_true(job.ms >= 200 && job.ms < 1500);
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

static void test_sigterm_ignored(void **state)
{
	const char *mark = marker();
	char script[100];
	struct world w;
	struct job job;

	(void)state;
	snprintf(script, sizeof(script), "trap '' TERM; while :; do sleep %s; done", mark);
	world_init(&w);
	sh(&job, &w, script, &(struct child_options){ .deadline = 100, .kill_ms = 300 });
	assert_int_equal(job.status, ERR_TIMEDOUT);
	assert_int_equal(job.child.signal, SIGKILL);
	assert_true(job.ms >= 400 && job.ms < 2000);
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

struct canceller {
	struct timer timer;
	struct job *job;
};

static void cancel_now(struct timer *timer)
{
	call_cancel(&container_of(timer, struct canceller, timer)->job->child.call);
}

static void test_cancel(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c",
				     "trap 'echo bye; exit 3' TERM; echo ready; sleep 50 & wait",
				     NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	struct canceller canceller = { 0 };
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	/* in time to clean up */
	canceller.job = &job;
	job_start(&job, &w, &options);
	timer_start(&canceller.timer, &w.loop, 200, cancel_now);
	assert_true(loop_run_until(&w.loop, &job.done));
	assert_int_equal(job.status, ERR_CANCELED);
	assert_int_equal(job.child.exit_code, 3);
	assert_out(&job, "ready\nbye\n");
	/* before it was executed at all */
	job_start(&job, &w, &options);
	call_cancel(&job.child.call);
	assert_false(job.done);
	assert_true(loop_run_until(&w.loop, &job.done));
	assert_int_equal(job.status, ERR_CANCELED);
	/* after it was stopped by somebody */
	job_start(&job, &w,
		  &(struct child_options){
			  .argv = (const char *[]){ "/bin/sh", "-c", "kill -STOP $$", NULL },
			  .env = plain_env });
	timer_start(&canceller.timer, &w.loop, 100, cancel_now);
	assert_true(loop_run_until(&w.loop, &job.done));
	assert_int_equal(job.status, ERR_CANCELED);
	assert_int_equal(job.child.signal, SIGTERM);
	world_finish(&w);
}

static void test_end_comes_first(void **state)
{
	struct scratch scratch;
	struct world w;
	struct job job;
	int code = -2, sig = -2;

	(void)state;
	scratch_init(&scratch);
	world_init(&w);
	/* the deadline passes while a grandchild holds the pipe: the program's own end counts */
	sh(&job, &w, "sleep 60 & exit 4",
	   &(struct child_options){ .deadline = 200, .kill_ms = 500, .results = scratch.dir });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 4);
	assert_int_equal(child_result(scratch.dir, &code, &sig), 0);
	assert_int_equal(code, 4);
	world_finish(&w);
	scratch_finish(&scratch);
}

static void test_cancel_all(void **state)
{
	const char *const argv[] = { "/bin/sleep", "60", NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	struct world w;
	struct job jobs[5];
	size_t i;

	(void)state;
	world_init(&w);
	for (i = 0; i < ARRAY_LEN(jobs); i++)
		job_start(&jobs[i], &w, &options);
	child_host_cancel_all(&w.host);
	for (i = 0; i < ARRAY_LEN(jobs); i++) {
		assert_true(loop_run_until(&w.loop, &jobs[i].done));
		assert_int_equal(jobs[i].status, ERR_CANCELED);
	}
	world_finish(&w);
}

/* -- what they leave behind ------------------------------------------------------------- */

static void test_grandchild_holds_stdout(void **state)
{
	const char *mark = marker();
	char script[100];
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	snprintf(script, sizeof(script), "(sleep 0.2; echo late; sleep %s) & echo early; exit 5",
		 mark);
	sh(&job, &w, script, &(struct child_options){ .kill_ms = 600 });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 5);
	assert_out(&job, "early\nlate\n");
	assert_true(job.ms >= 600 && job.ms < 2000);
	assert_int_equal(count_marked(mark), 0);
	/* one that lets go is not waited for */
	snprintf(script, sizeof(script), "sleep %s >/dev/null 2>&1 & exit 6", mark);
	sh(&job, &w, script, &(struct child_options){ .kill_ms = 5000 });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 6);
	assert_true(job.ms < 2000);
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

static void test_daemons_are_found(void **state)
{
	const char *mark = marker();
	char script[300];
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	snprintf(script, sizeof(script),
		 "(setsid sh -c 'setsid sleep %s & setsid sh -c \"sleep %s & sleep %s\" &' "
		 "</dev/null >/dev/null 2>&1 &)\n"
		 "while [ $(pgrep -fc 'sleep %s') -lt 3 ]; do sleep 0.02; done; echo up",
		 mark, mark, mark, mark);
	sh(&job, &w, script, &(struct child_options){ .kill_ms = 5000, .deadline = 8000 });
	assert_int_equal(job.status, 0);
	assert_out(&job, "up\n");
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

static void test_fork_storm(void **state)
{
	const char *mark = marker();
	char script[200];
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	snprintf(script, sizeof(script),
		 "trap '' TERM; for i in $(seq 50); do sleep %s & done; echo all; wait", mark);
	sh(&job, &w, script, &(struct child_options){ .deadline = 700, .kill_ms = 100 });
	assert_int_equal(job.status, ERR_TIMEDOUT);
	assert_out(&job, "all\n");
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

static void test_supervisor_killed(void **state)
{
	const char *mark = marker();
	char script[200];
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	snprintf(script, sizeof(script), "sleep %s & echo x; kill -KILL $PPID; sleep %s", mark,
		 mark);
	sh(&job, &w, script, &(struct child_options){ 0 });
	assert_int_equal(job.status, ERR_CLOSED);
	assert_string_equal(job.child.err, "cut off: osbd-child was killed by signal 9");
	assert_true(gone_within(mark, 1000));
	/* other signals do not reach it */
	sh(&job, &w, "kill -TERM $PPID; kill -INT $PPID; kill -HUP $PPID; sleep 0.1; exit 7",
	   &(struct child_options){ 0 });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 7);
	world_finish(&w);
}

/* -- osbd goes away --------------------------------------------------------------------- */

/* A process that runs one child with a host of its own, and then nothing else. */
static pid_t fork_osbd(const char *script, const char *results, uint64_t silence, bool muted)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct child_options options = { .argv = argv, .env = plain_env, .results = results };
	struct world w = { 0 };
	struct job job = { 0 };
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (loop_init(&w.loop) != 0 ||
	    child_host_init(&w.host, &w.loop, getenv("OSBD_CHILD"), NULL) != 0)
		_exit(70);
	w.host.silence = silence;
	w.host.muted = muted;
	job.child.call.done = on_done;
	job.child.call.data = &job;
	if (child_start(&job.child, &w.host, &w.arena, &options) != 0)
		_exit(71);
	loop_run_until(&w.loop, &job.done);
	_exit(job.status == ERR_CLOSED ? 10 : job.status == 0 ? 0 : 72);
}

static void wait_marked(const char *mark, int n)
{
	uint64_t end = now_ms() + 5000;

	while (count_marked(mark) < n) {
		assert_true(now_ms() < end);
		nap(10);
	}
}

/* A script with three sleepers: itself, one in the background, one that is a daemon. */
static void three(char *script, size_t size, const char *mark)
{
	snprintf(script, size,
		 "(setsid sleep %s >/dev/null 2>&1 &); sleep %s & trap '' TERM HUP; exec sleep %s",
		 mark, mark, mark);
}

static void test_osbd_killed(void **state)
{
	const char *mark = marker();
	struct scratch scratch;
	char script[200];
	int code, sig, status;
	pid_t pid;

	(void)state;
	scratch_init(&scratch);
	three(script, sizeof(script), mark);
	pid = fork_osbd(script, scratch.dir, SEC(60), false);
	assert_true(pid > 0);
	wait_marked(mark, 3);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(gone_within(mark, 1000));
	assert_int_equal(child_result(scratch.dir, &code, &sig), ERR_NOENT);
	scratch_finish(&scratch);
}

static void test_osbd_stopped(void **state)
{
	const char *mark = marker();
	struct scratch scratch;
	char script[200];
	int code, sig, status;
	uint64_t start;
	pid_t pid;

	(void)state;
	scratch_init(&scratch);
	three(script, sizeof(script), mark);
	pid = fork_osbd(script, scratch.dir, 600, false);
	assert_true(pid > 0);
	wait_marked(mark,
		    4); /* the shell of osbd's fork is this program, the script names it thrice */
	nap(1500);      /* beats keep it alive for longer than the silence that it bears */
	assert_true(count_marked(mark) >= 3);
	start = now_ms();
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_true(gone_within(mark, 3000));
	assert_true(now_ms() - start >= 350);
	assert_true(now_ms() - start < 1600);
	assert_int_equal(child_result(scratch.dir, &code, &sig), ERR_NOENT);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 10);
	scratch_finish(&scratch);
}

static void test_osbd_muted(void **state)
{
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	w.host.silence = 300;
	w.host.muted = true;
	sh(&job, &w, "sleep 60", &(struct child_options){ 0 });
	assert_int_equal(job.status, ERR_CLOSED);
	assert_string_equal(job.child.err, "cut off: osbd was silent for too long");
	assert_true(job.ms >= 300 && job.ms < 1500);
	w.host.silence = 0; /* then silence does not matter */
	sh(&job, &w, "sleep 0.5", &(struct child_options){ 0 });
	assert_int_equal(job.status, 0);
	world_finish(&w);
}

/* -- results ---------------------------------------------------------------------------- */

static void test_results(void **state)
{
	struct scratch scratch;
	struct world w;
	struct job job;
	int code = -2, sig = -2, fd;
	char line[16] = { 0 };

	(void)state;
	scratch_init(&scratch);
	world_init(&w);
	assert_int_equal(child_result(scratch.dir, &code, &sig), ERR_NOENT);
	sh(&job, &w, "echo x >fields; mkfifo fifo; exit 8",
	   &(struct child_options){ .results = scratch.dir, .cwd = scratch.dir });
	assert_int_equal(job.status, 0);
	assert_int_equal(child_result(scratch.dir, &code, &sig), 0);
	assert_int_equal(code, 8);
	assert_int_equal(sig, 0);
	fd = open(scratch_path(&scratch, "exit"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, line, sizeof(line)), 4);
	close(fd);
	assert_string_equal(line, "8 0\n");
	assert_int_equal(access(scratch_path(&scratch, ".exit.new"), F_OK), -1);

	sh(&job, &w, "kill -KILL $$", &(struct child_options){ .results = scratch.dir });
	assert_int_equal(child_result(scratch.dir, &code, &sig), 0);
	assert_int_equal(code, -1);
	assert_int_equal(sig, SIGKILL);

	/* a run that is cut off leaves none, nor that of an earlier one */
	sh(&job, &w, "sleep 60", &(struct child_options){ .results = scratch.dir, .deadline = 50 });
	assert_int_equal(job.status, ERR_TIMEDOUT);
	assert_int_equal(child_result(scratch.dir, &code, &sig), ERR_NOENT);

	/* where it cannot be written, that is said, and the exit code is known all the same */
	sh(&job, &w, "mkdir exit; exit 9",
	   &(struct child_options){ .results = scratch.dir, .cwd = scratch.dir });
	assert_int_equal(job.status, ERR_IO);
	assert_int_equal(job.child.exit_code, 9);
	assert_string_equal(job.child.err, "results directory: Is a directory");
	assert_int_equal(rmdir(scratch_path(&scratch, "exit")), 0);

	scratch_file(&scratch, "exit", "8 0 1\n", 0600);
	assert_int_equal(child_result(scratch.dir, &code, &sig), ERR_SYNTAX);
	world_finish(&w);
	scratch_finish(&scratch);
}

/* The file is there before anybody hears of the end: osbd is stopped, so it hears nothing. */
static void test_results_come_first(void **state)
{
	struct scratch scratch;
	int code = -2, sig = -2, status;
	uint64_t end = now_ms() + 3000;
	pid_t pid;

	(void)state;
	scratch_init(&scratch);
	pid = fork_osbd("sleep 0.3; exit 11", scratch.dir, SEC(60), false);
	assert_true(pid > 0);
	nap(100);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	while (child_result(scratch.dir, &code, &sig) != 0) {
		assert_true(now_ms() < end);
		nap(10);
	}
	assert_int_equal(code, 11);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	scratch_finish(&scratch);
}

/* -- many ------------------------------------------------------------------------------- */

static void test_many_runs(void **state)
{
	const char *const argv[] = { "/bin/echo", "hello", NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	static struct job jobs[50];
	struct world w;
	size_t i;
	int fds;

	(void)state;
	world_init(&w);
	fds = count_fds();
	for (i = 0; i < 200; i++) {
		job_run(&jobs[0], &w, &options);
		assert_int_equal(jobs[0].status, 0);
		assert_out(&jobs[0], "hello\n");
	}
	assert_int_equal(w.host.reaped, 200);
	assert_int_equal(count_fds(), fds);
	for (i = 0; i < ARRAY_LEN(jobs); i++)
		job_start(&jobs[i], &w, &options);
	assert_int_equal(count_children(), (int)ARRAY_LEN(jobs) + w.children);
	assert_int_equal(count_dir("/proc/self/task"), 3); /* ".", ".." and the one thread */
	for (i = 0; i < ARRAY_LEN(jobs); i++) {
		assert_true(loop_run_until(&w.loop, &jobs[i].done));
		assert_int_equal(jobs[i].status, 0);
		assert_out(&jobs[i], "hello\n");
	}
	assert_int_equal(w.host.started, 250);
	assert_int_equal(count_dir("/proc/self/task"), 3);
	world_finish(&w);
}

/* However few descriptors are left: one done, no leak. */
static void test_descriptors_run_out(void **state)
{
	const char *const argv[] = { "/bin/cat", NULL };
	struct child_options options = { .argv = argv, .env = plain_env, .in = STR("x") };
	struct rlimit old, low;
	int fails = 0, wins = 0, left;
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (left = 0; left < 14; left++) {
		int top = dup(0);
		struct job job;

		assert_true(top >= 0);
		close(top);
		low = old;
		low.rlim_cur = (rlim_t)(top + left);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		job_run(&job, &w, &options);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (job.status == 0) {
			wins++;
			assert_out(&job, "x");
		} else {
			assert_int_equal(wins, 0);
			assert_int_equal(job.status, ERR_FULL);
			assert_string_equal(job.child.err, "osbd-child: Too many open files");
			fails++;
		}
	}
	assert_true(fails >= 5 && wins >= 1);
	world_finish(&w);
}

static void test_too_long_arguments(void **state)
{
	char *huge = malloc((256 << 10) + 1);
	const char *const argv[] = { "/bin/true", huge, NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	struct world w;
	struct job job;

	(void)state;
	memset(huge, 'x', 256 << 10);
	huge[256 << 10] = '\0';
	world_init(&w);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, ERR_TOOBIG);
	assert_string_equal(job.child.err, "osbd-child: Argument list too long");
	world_finish(&w);
	free(huge);
}

/* libuv keeps a few descriptors from its first loop on, which are not ours to count. */
static int first_loop(void **state)
{
	struct loop loop;

	(void)state;
	return loop_init(&loop) == 0 ? loop_finish(&loop) : -1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_both_ways),
		cmocka_unit_test(test_stdin_is_empty_without_in),
		cmocka_unit_test(test_stdin_not_read),
		cmocka_unit_test(test_out_max),
		cmocka_unit_test(test_output_flood),
		cmocka_unit_test(test_stderr_keeps_its_end),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_exec_that_fails),
		cmocka_unit_test(test_start_refuses),
		cmocka_unit_test(test_no_supervisor),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_arguments_and_directory),
		cmocka_unit_test(test_inheritance),
		cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_low_descriptors),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_sigterm_ignored),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_end_comes_first),
		cmocka_unit_test(test_cancel_all),
		cmocka_unit_test(test_grandchild_holds_stdout),
		cmocka_unit_test(test_daemons_are_found),
		cmocka_unit_test(test_fork_storm),
		cmocka_unit_test(test_supervisor_killed),
		cmocka_unit_test(test_osbd_killed),
		cmocka_unit_test(test_osbd_stopped),
		cmocka_unit_test(test_osbd_muted),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_results_come_first),
		cmocka_unit_test(test_many_runs),
		cmocka_unit_test(test_descriptors_run_out),
		cmocka_unit_test(test_too_long_arguments),
	};

	if (argc == 2 && strcmp(argv[1], "--show-inheritance") == 0)
		return show_inheritance();
	return cmocka_run_group_tests(tests, first_loop, NULL);
}
