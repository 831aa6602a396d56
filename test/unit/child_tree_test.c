/* SPDX-License-Identifier: Apache-2.0 */
#include "child_world.h"

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
	assert_true(job.ms >= 200 && job.ms < 4000);
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
	assert_true(job.ms >= 400 && job.ms < 4000);
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
	assert_true(job.ms >= 600 && job.ms < 4000);
	assert_int_equal(count_marked(mark), 0);
	/* one that lets go is not waited for */
	snprintf(script, sizeof(script), "sleep %s >/dev/null 2>&1 & exit 6", mark);
	sh(&job, &w, script, &(struct child_options){ .kill_ms = 5000 });
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 6);
	assert_true(job.ms < 4000);
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

/* Each in a session of its own, and more all the time. */
static void test_fork_storm_in_sessions(void **state)
{
	const char *mark = marker();
	char script[200];
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	snprintf(script, sizeof(script),
		 "trap '' TERM; i=0; while [ $i -lt 2000 ]; do setsid sleep %s & i=$((i+1)); done; "
		 "echo too late; wait",
		 mark);
	sh(&job, &w, script, &(struct child_options){ .deadline = 150, .kill_ms = 1 });
	assert_int_equal(job.status, ERR_TIMEDOUT);
	assert_out(&job, "");
	assert_int_equal(count_marked(mark), 0);
	world_finish(&w);
}

/* What this program does as a child: forks, ends, forks, ends; each time in a new session. */
static int comet(void)
{
	uint64_t end = now_ms() + 5000;

	while (now_ms() < end) {
		if (fork() > 0)
			_exit(0);
		setsid();
	}
	_exit(0);
}

static void test_comet(void **state)
{
	const char *mark = marker();
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *const argv[] = { self, "--comet", mark, NULL };
	struct child_options options = { .argv = argv, .env = plain_env, .kill_ms = 200 };
	struct world w;
	struct job job;

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	world_init(&w);
	job_run(&job, &w, &options);
	assert_int_equal(job.status, 0);
	assert_int_equal(job.child.exit_code, 0);
	assert_true(job.ms >= 200 && job.ms < 3000);
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

/* One that does not obey is killed after kill_ms and 10 s, which take no time here. */
static void test_supervisor_stopped(void **state)
{
	const char *mark = marker();
	char script[200];
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct child_options options = { .argv = argv, .env = plain_env };
	struct world w;
	struct job job;

	(void)state;
	world_init(&w);
	assert_int_equal(loop_finish(&w.loop), 0);
	assert_int_equal(loop_init_test(&w.loop, 0), 0);
	w.host.silence = 0;
	snprintf(script, sizeof(script), "kill -STOP $PPID; sleep %s & exec sleep %s", mark, mark);
	job_start(&job, &w, &options);
	wait_marked(mark, 3); /* of which one is this program's script */
	call_cancel(&job.child.call);
	assert_true(loop_run_until(&w.loop, &job.done));
	assert_int_equal(job.status, ERR_CANCELED);
	assert_true(loop_now(&w.loop) >= SEC(15));
	assert_true(gone_within(mark, 1000));
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
	assert_true(job.ms >= 300 && job.ms < 4000);
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

/* Two runs with one directory: the second starts when nothing of the first is left. */
static void test_results_are_locked(void **state)
{
	const char *const first[] = { "/bin/sh", "-c",
				      "(trap '' TERM; sleep 0.4; echo late >>log) & exit 3", NULL };
	const char *const second[] = { "/bin/sh", "-c", "echo second >>log; exit 4", NULL };
	struct scratch scratch;
	struct child_options options = { .argv = first, .env = plain_env };
	struct world w;
	struct job one, two;
	char text[32] = { 0 };
	int code, sig, fd;

	(void)state;
	scratch_init(&scratch);
	world_init(&w);
	options.cwd = options.results = scratch.dir;
	job_start(&one, &w, &options);
	nap(200); /* the program has ended, its child has not */
	assert_int_equal(access(scratch_path(&scratch, "exit"), F_OK), 0);
	assert_int_equal(child_result(scratch.dir, &code, &sig), ERR_BUSY);
	options.argv = second;
	job_start(&two, &w, &options);
	assert_true(loop_run_until(&w.loop, &one.done));
	assert_int_equal(one.status, 0);
	assert_int_equal(one.child.exit_code, 3);
	assert_true(loop_run_until(&w.loop, &two.done));
	assert_int_equal(two.status, 0);
	assert_int_equal(child_result(scratch.dir, &code, &sig), 0);
	assert_int_equal(code, 4);
	fd = open(scratch_path(&scratch, "log"), O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, "late\nsecond\n");

	/* while it waits it can be cancelled, and never starts */
	options.argv = first;
	job_start(&one, &w, &options);
	nap(200);
	options.argv = second;
	job_start(&two, &w, &options);
	nap(50);
	call_cancel(&two.child.call);
	assert_true(loop_run_until(&w.loop, &two.done));
	assert_int_equal(two.status, ERR_CANCELED);
	assert_int_equal(two.child.exit_code, -1);
	assert_false(one.done);
	assert_true(loop_run_until(&w.loop, &one.done));
	assert_int_equal(child_result(scratch.dir, &code, &sig), 0);
	assert_int_equal(code, 3);
	world_finish(&w);
	scratch_finish(&scratch);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_sigterm_ignored),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_end_comes_first),
		cmocka_unit_test(test_cancel_all),
		cmocka_unit_test(test_grandchild_holds_stdout),
		cmocka_unit_test(test_daemons_are_found),
		cmocka_unit_test(test_fork_storm),
		cmocka_unit_test(test_fork_storm_in_sessions),
		cmocka_unit_test(test_comet),
		cmocka_unit_test(test_supervisor_killed),
		cmocka_unit_test(test_supervisor_stopped),
		cmocka_unit_test(test_osbd_killed),
		cmocka_unit_test(test_osbd_stopped),
		cmocka_unit_test(test_osbd_muted),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_results_come_first),
		cmocka_unit_test(test_results_are_locked),
	};

	if (argc == 3 && strcmp(argv[1], "--comet") == 0)
		return comet();
	return cmocka_run_group_tests(tests, first_loop, NULL);
}
