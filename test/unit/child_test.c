/* SPDX-License-Identifier: Apache-2.0 */
#include "child_world.h"

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
	assert_true(job.ms < 4000);
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
	sh(&job, &w,
	   "i=0; while [ $i -lt 3000 ]; do echo \303\244 >&2; i=$((i+1)); done; printf x >&2",
	   &(struct child_options){ 0 });
	assert_true(str_is_utf8(str_of(job.child.err)));
	assert_int_equal(strlen(job.child.err), 4094); /* half a character is left out */
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
		cmocka_unit_test(test_many_runs),
		cmocka_unit_test(test_descriptors_run_out),
		cmocka_unit_test(test_too_long_arguments),
	};

	if (argc == 2 && strcmp(argv[1], "--show-inheritance") == 0)
		return show_inheritance();
	return cmocka_run_group_tests(tests, first_loop, NULL);
}
