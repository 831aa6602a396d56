/* osbd-child: runs one program for osbd, and leaves nothing of it behind.
 *
 *   osbd-child -- /absolute/program argument …
 *
 * Happy path: osbd starts it with the program's standard descriptors as 0, 1, 2 and the control
 * socket as 3. It reads the head (core/child_wire), becomes a sub-reaper, starts the program in
 * a group of its own, lets go of 0, 1, 2, and waits. When the program ends, what came of it is
 * written to the results directory, made durable, and only then told to osbd. When no descendant
 * is left it exits 0.
 *
 * What else can happen:
 *   - osbd closes the socket (it died) or sends no beat for `silence` ms (it is stopped): all
 *     that descends from the program is killed and reaped, and nothing is recorded.
 *   - osbd asks for the end: SIGTERM to the group; kill_ms later everything is killed.
 *   - the program ends but left processes behind: they have kill_ms, less when osbd sees that
 *     they hold none of the pipes and asks for their end.
 *   - the program cannot be started: osbd is told errno and where.
 * A process that leaves the group, the session or its parent stays a descendant of the
 * sub-reaper, so killing children until none is left finds it too.
 *
 * Signals other than SIGKILL and SIGSTOP do nothing to this process. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/child_wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASS_MS 20 /* between two sweeps, when no child has ended */
#define LOCK_MS 5000
#define GIVE_UP_MS 30000 /* sweeps that cannot see their children end here */

struct run {
	struct child_head head;
	char text[CHILD_WIRE_TEXT + 1];
	const char *cwd;
	int results;      /* directory, or -1 */
	sigset_t waiting; /* the mask while waiting: SIGCHLD comes through */

	pid_t program;
	bool ended;  /* the program has; reaped */
	bool asked;  /* to end, while it ran */
	bool silent; /* osbd was, while it ran */
	bool told;   /* osbd knows that it ended */
	bool childless;
	int exit_code, signal;

	uint64_t heard;   /* when osbd sent the last beat */
	uint64_t kill_at; /* 0: not yet known */
	bool term;        /* due: ask the group to end */
	bool kill_now;    /* due: kill all */
	bool quiet;       /* that is why */
};

static void tell(enum child_report_kind kind, int a, int b, int c)
{
	struct child_report report = { kind, a, b, c };

	send(CHILD_WIRE_FD, &report, sizeof(report), MSG_NOSIGNAL);
}

static void on_sigchld(int signal)
{
	(void)signal; /* only interrupts the wait */
}

static void hear(struct run *run)
{
	struct child_ask ask;
	ssize_t n;

	for (;;) {
		n = recv(CHILD_WIRE_FD, &ask, sizeof(ask), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != (ssize_t)sizeof(ask)) { /* osbd is gone */
			run->kill_now = true;
			return;
		}
		switch (ask.kind) {
		case CHILD_ASK_BEAT:
			if (ask.at > run->heard)
				run->heard = ask.at;
			break;
		case CHILD_ASK_TERM:
			run->term = true;
			break;
		default:
			run->kill_now = true;
		}
	}
}

/* -- start ------------------------------------------------------------------------------ */

/* An earlier run with this directory may not have come to its end yet: when osbd is killed and
 * started anew at once. The same action never runs twice at a time, so it is waited for. The lock
 * is ours until we end, and we end after all that descends from the program. */
static int lock_results(struct run *run)
{
	uint64_t give_up = child_now() + LOCK_MS;

	while (flock(run->results, LOCK_EX | LOCK_NB) != 0) {
		struct pollfd control = { .fd = CHILD_WIRE_FD, .events = POLLIN };

		if (errno != EWOULDBLOCK)
			return -1;
		if (poll(&control, 1, PASS_MS) > 0)
			hear(run);
		if (run->term || run->kill_now)
			return 0; /* so nothing is started */
		if (child_now() > give_up) {
			errno = EBUSY;
			return -1;
		}
	}
	if (unlinkat(run->results, "exit", 0) != 0 && errno != ENOENT)
		return -1;
	return 0;
}

static int read_head(struct run *run)
{
	struct {
		struct child_head head;
		char text[CHILD_WIRE_TEXT];
	} packet;
	const struct child_head *head = &packet.head;
	ssize_t n = recv(CHILD_WIRE_FD, &packet, sizeof(packet), 0);

	if (n <= 0) /* osbd is gone, or is not there at all */
		return n == 0 ? 0 : -1;
	if ((size_t)n < sizeof(*head) || head->version != CHILD_WIRE_VERSION ||
	    head->cwd_size == 0 || head->cwd_size > CHILD_WIRE_TEXT ||
	    head->results_size > CHILD_WIRE_TEXT ||
	    sizeof(*head) + head->cwd_size + head->results_size != (size_t)n) {
		tell(CHILD_SAYS_FAILED, EPROTO, CHILD_AT_HEAD, 0);
		return 0;
	}
	run->head = *head;
	memcpy(run->text, packet.text, (size_t)n - sizeof(*head));
	run->cwd = run->text;
	run->results = -1;
	run->heard = head->now;
	if (head->results_size == 0)
		return 1;
	run->results = open(run->text + head->cwd_size, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->results < 0 || lock_results(run) != 0) {
		tell(CHILD_SAYS_FAILED, errno, CHILD_AT_RESULTS, 0);
		return 0;
	}
	return 1;
}

static void limit(int what, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) != 0)
		return;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(what, &limit);
}

struct failure {
	int code; /* errno */
	enum child_stage stage;
};

/* Between vfork and exec: memory is the parent's, descriptors, limits and signals are ours. */
static _Noreturn void become(const struct run *run, char **argv, volatile struct failure *failure)
{
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, run->head.max_files);
	if (run->head.max_file)
		limit(RLIMIT_FSIZE, run->head.max_file);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	failure->stage = CHILD_AT_CWD;
	if (chdir(run->cwd) == 0) {
		failure->stage = CHILD_AT_EXEC;
		close_range(CHILD_WIRE_FD, ~0U, 0);
		if (run->head.max_memory)
			limit(RLIMIT_AS, run->head.max_memory);
		execve(argv[0], argv, environ);
	}
	failure->code = errno;
	_exit(127);
}

static int start_program(struct run *run, char **argv)
{
	volatile struct failure failure = { 0, CHILD_AT_FORK };
	pid_t pid = vfork();

	if (pid == 0)
		become(run, argv, &failure);
	if (pid < 0)
		failure.code = errno;
	if (failure.code != 0) {
		int code = failure.code;

		if (pid > 0)
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
		tell(CHILD_SAYS_FAILED, code, failure.stage, 0);
		return -1;
	}
	run->program = pid;
	return 0;
}

/* -- results ---------------------------------------------------------------------------- */

/* What the program wrote there must be as durable as the word that it has ended. */
static int sync_files(int dir)
{
	int list = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = list < 0 ? NULL : fdopendir(list);
	const struct dirent *entry;
	int code = 0;

	if (!entries)
		return errno;
	while (code == 0 && (entry = readdir(entries))) {
		struct stat st;
		int fd;

		if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
			continue;
		fd = openat(dir, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0) /* gone again, or not for us to read */
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fsync(fd) != 0)
			code = errno;
		close(fd);
	}
	closedir(entries);
	return code;
}

static size_t put_int(char *at, int value)
{
	char digits[12];
	size_t n = 0, k = 0;
	unsigned left = value < 0 ? 0u - (unsigned)value : (unsigned)value;

	do
		digits[n++] = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		at[k++] = '-';
	while (n)
		at[k++] = digits[--n];
	return k;
}

/* "EXIT_CODE SIGNAL\n" in the file `exit`: 0 or errno. */
static int write_results(const struct run *run)
{
	char line[32];
	size_t n = put_int(line, run->exit_code);
	int fd, code;

	if (run->results < 0)
		return 0;
	line[n++] = ' ';
	n += put_int(line + n, run->signal);
	line[n++] = '\n';
	code = sync_files(run->results);
	if (code != 0)
		return code;
	unlinkat(run->results, ".exit.new", 0);
	fd = openat(run->results, ".exit.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	errno = EIO; /* what a short write is */
	if (write(fd, line, n) != (ssize_t)n || fsync(fd) != 0)
		code = errno;
	close(fd);
	if (code == 0 && (renameat(run->results, ".exit.new", run->results, "exit") != 0 ||
			  fsync(run->results) != 0))
		code = errno;
	if (code != 0)
		unlinkat(run->results, ".exit.new", 0);
	return code;
}

static void tell_end(struct run *run)
{
	run->told = true;
	if (run->silent)
		tell(CHILD_SAYS_SILENCE, 0, 0, 0);
	else if (run->asked)
		tell(CHILD_SAYS_CUT_OFF, run->exit_code, run->signal, 0);
	else
		tell(CHILD_SAYS_ENDED, run->exit_code, run->signal, write_results(run));
}

/* -- what descends ---------------------------------------------------------------------- */

static void reap(struct run *run)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->program)
			continue;
		run->ended = true;
		run->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		run->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	}
	run->childless = pid < 0 && errno == ECHILD;
}

/* The whole group goes at once, so that it cannot fork away under the sweep. */
static void kill_child(pid_t pid)
{
	pid_t group = getpgid(pid);

	if (group > 1 && group != getpgrp())
		kill(-group, SIGKILL);
	kill(pid, SIGKILL);
}

/* Kills each child; what they leave becomes ours and is found by the next sweep. */
static void sweep(void)
{
	char bytes[4096];
	pid_t pid = 0;
	ssize_t i, n;
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		for (i = 0; i < n; i++) {
			if (bytes[i] >= '0' && bytes[i] <= '9') {
				pid = pid * 10 + (bytes[i] - '0');
				continue;
			}
			if (pid > 1)
				kill_child(pid);
			pid = 0;
		}
	}
	close(fd);
}

static void set_kill_at(struct run *run)
{
	uint64_t at = child_now() + run->head.kill_ms;

	if (run->kill_at == 0 || run->kill_at > at)
		run->kill_at = at;
}

static void term(struct run *run)
{
	run->term = false;
	set_kill_at(run);
	if (run->ended)
		return;
	run->asked = true;
	kill(-run->program, SIGTERM);
	kill(-run->program, SIGCONT);
}

/* Returns when nothing is left. */
static void kill_all(struct run *run)
{
	const struct timespec pass = { 0, PASS_MS * 1000000L };
	uint64_t give_up = child_now() + GIVE_UP_MS;

	if (!run->ended) {
		run->asked = true;
		run->silent = run->quiet;
		kill(-run->program, SIGKILL); /* not reaped: the number is still its own */
	}
	for (;;) {
		sweep();
		reap(run);
		if (run->childless)
			return;
		if (child_now() > give_up)
			_exit(1);
		ppoll(NULL, 0, &pass, &run->waiting);
	}
}

/* -- waiting ---------------------------------------------------------------------------- */

static void wait_for_something(struct run *run)
{
	struct pollfd control = { .fd = CHILD_WIRE_FD, .events = POLLIN };
	uint64_t now = child_now(), ms = 1000; /* not more: it does not count a suspended machine */
	uint64_t quiet_at = run->heard + run->head.silence;
	struct timespec timeout;
	bool timed = run->head.silence != 0 || run->kill_at != 0;

	if (run->head.silence && quiet_at < now + ms)
		ms = quiet_at > now ? quiet_at - now : 0;
	if (run->kill_at && run->kill_at < now + ms)
		ms = run->kill_at > now ? run->kill_at - now : 0;
	timeout = (struct timespec){ (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
	if (ppoll(&control, 1, timed ? &timeout : NULL, &run->waiting) > 0)
		hear(run);
	now = child_now();
	if (run->kill_at && now >= run->kill_at)
		run->kill_now = true;
	if (run->head.silence && now >= run->heard + run->head.silence) {
		run->kill_now = run->quiet = true;
	}
}

static void watch(struct run *run)
{
	for (;;) {
		reap(run);
		if (run->ended && !run->told) {
			tell_end(run);
			set_kill_at(run);
		}
		if (run->childless)
			return;
		if (run->kill_now) {
			kill_all(run);
			continue;
		}
		if (run->term)
			term(run);
		wait_for_something(run);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigchld };
	struct run run = { 0 };
	int rc;

	if (argc < 3 || strcmp(argv[1], "--") != 0 || argv[2][0] != '/')
		rc = -1;
	else
		rc = read_head(&run);
	if (rc < 0) {
		static const char usage[] = "osbd-child is started by osbd only\n";

		return write(2, usage, sizeof(usage) - 1) < 0 ? 3 : 2;
	}
	if (rc == 0)
		return 0;
	sigfillset(&run.waiting);
	sigprocmask(SIG_BLOCK, &run.waiting, NULL);
	sigdelset(&run.waiting, SIGCHLD);
	sigaction(SIGCHLD, &action, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	hear(&run);
	if (run.term || run.kill_now) {
		tell(CHILD_SAYS_CUT_OFF, -1, 0, 0);
		return 0;
	}
	if (start_program(&run, argv + 2) != 0)
		return 0;
	close_range(0, CHILD_WIRE_FD - 1, 0);
	watch(&run);
	return 0;
}
