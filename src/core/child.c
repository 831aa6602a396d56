/* A run, from start to done:
 *
 *   spawn      pipes, control socket, posix_spawn of osbd-child, its pidfd, then the head: before
 *              the head nothing runs, so that whatever fails up to there leaves nothing behind.
 *   running    bytes go to stdin and come from stdout and stderr; the host's timer sends beats.
 *   reported   osbd-child says how the program ended (or why it did not start). When both pipes
 *              are at EOF by then, what is left holds none of them: it is killed without delay.
 *   reaped     the pidfd says that osbd-child has ended, thus everything below it. What is still
 *              in the pipes is taken, everything is closed, and done runs.
 *
 * Failure modes: a program that goes past its limits is asked to end, or killed, through
 * osbd-child; an osbd-child that does not obey in time (stopped by somebody) is killed itself.
 * When osbd-child was killed, its session is swept here, while it is a zombie and the session's
 * number cannot be anybody else's; a process that left the session then escapes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/child.h"

#include "core/buf.h"
#include "core/child_spawn.h"
#include "core/child_wire.h"
#include "core/failpoint.h"
#include "core/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT_MAX (1 << 20)
#define KILL_MS SEC(5)
#define MAX_FILES 1024
#define OBEY_MS SEC(10) /* for osbd-child to do what it was asked, beyond kill_ms */
#define CHUNK 65536

/* A descriptor that the loop watches. */
struct port {
	uv_poll_t poll;
	struct child_run *run;
	int fd;    /* -1 when closed */
	bool live; /* poll is open */
};

struct child_run {
	struct list node; /* in host->running */
	struct child *child;
	struct child_host *host;
	struct arena *arena;
	char *program; /* argv[0], owned */
	struct str in; /* what is still to be written */
	size_t out_max;
	uint64_t kill_ms;
	struct buf out;
	size_t err_n;

	pid_t pid; /* of osbd-child, 0 when not started */
	struct port control, end, to, from, from_err;
	size_t n_live;
	struct timer deadline, obey;

	int why; /* ERR_* of what we asked it to end for, 0 */
	bool reported;
	struct child_report report;
	bool closing;
	int status;
};

/* -- the end ---------------------------------------------------------------------------- */

static void set_text(struct child *child, const char *what, const char *text)
{
	snprintf(child->err, sizeof(child->err), "%s%s%s", what, what[0] ? ": " : "", text);
}

static void run_free(struct child_run *run)
{
	run->child->run = NULL;
	list_remove(&run->node);
	if (list_empty(&run->host->running))
		timer_stop(&run->host->beat);
	buf_wipe(&run->out);
	mem_free(run->program);
	mem_free(run);
}

static void on_closed(uv_handle_t *handle)
{
	struct port *port = handle->data;
	struct child_run *run = port->run;
	struct child *child = run->child;
	int status = run->status;

	port->live = false;
	if (--run->n_live > 0 || !run->closing)
		return;
	run_free(run);
	call_end(&child->call, status);
}

static void port_close(struct port *port)
{
	if (port->fd < 0)
		return;
	if (port->live)
		uv_close((uv_handle_t *)&port->poll, on_closed);
	close(port->fd);
	port->fd = -1;
}

static void run_close(struct child_run *run, int status)
{
	struct child *child = run->child;

	assert(!run->closing);
	run->closing = true;
	run->status = status;
	timer_stop(&run->deadline);
	timer_stop(&run->obey);
	port_close(&run->control);
	port_close(&run->end);
	port_close(&run->to);
	port_close(&run->from);
	port_close(&run->from_err);
	if (run->n_live > 0)
		return;
	call_end_soon(run->host->loop, &child->call, status);
	run_free(run);
}

/* -- asking it to end ------------------------------------------------------------------- */

static void ask(struct child_run *run, enum child_ask_kind kind)
{
	struct child_ask ask = { .kind = kind, .at = child_now() };

	if (run->control.fd >= 0)
		send(run->control.fd, &ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_disobeyed(struct timer *timer)
{
	struct child_run *run = container_of(timer, struct child_run, obey);

	kill(run->pid, SIGKILL); /* not yet reaped: the number is its own */
}

static void end_it(struct child_run *run, int why, enum child_ask_kind kind)
{
	if (run->why == 0)
		run->why = why;
	ask(run, kind);
	timer_start(&run->obey, run->host->loop,
		    OBEY_MS + (kind == CHILD_ASK_TERM ? run->kill_ms : 0), on_disobeyed);
}

static void on_deadline(struct timer *timer)
{
	end_it(container_of(timer, struct child_run, deadline), ERR_TIMEDOUT, CHILD_ASK_TERM);
}

static void cancel(struct call *call)
{
	struct child_run *run = container_of(call, struct child, call)->run;

	if (run && !run->closing)
		end_it(run, ERR_CANCELED, CHILD_ASK_TERM);
}

/* What is left when the program has ended: nobody needs it when it holds no pipe of ours. */
static void end_the_rest(struct child_run *run)
{
	if (run->reported && run->from.fd < 0 && run->from_err.fd < 0)
		end_it(run, 0, CHILD_ASK_KILL);
}

/* -- bytes ------------------------------------------------------------------------------ */

static void write_in(struct child_run *run)
{
	while (run->in.n > 0) {
		ssize_t n = write(run->to.fd, run->in.p, run->in.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) /* EPIPE: it does not want to read it, which is no error */
			break;
		run->in.p += n;
		run->in.n -= (size_t)n;
	}
	port_close(&run->to);
}

/* Keeps the last bytes that fit. */
static void put_err(struct child_run *run, const char *p, size_t n)
{
	const size_t most = sizeof(run->child->err) - 1;
	char *err = run->child->err;
	size_t keep = run->err_n, i;

	if (n > most) {
		p += n - most;
		n = most;
	}
	if (keep > most - n) {
		memmove(err, err + keep - (most - n), most - n);
		keep = most - n;
	}
	for (i = 0; i < n; i++)
		err[keep + i] = p[i] ? p[i] : ' ';
	run->err_n = keep + n;
	err[run->err_n] = '\0';
}

/* What was dropped may have ended inside a character. */
static void trim_err(struct child_run *run)
{
	char *err = run->child->err;
	size_t n = 0;

	if (run->err_n < sizeof(run->child->err) - 1)
		return;
	while (n < 3 && ((unsigned char)err[n] & 0xC0) == 0x80)
		n++;
	memmove(err, err + n, run->err_n - n + 1);
}

static void put_out(struct child_run *run, const char *p, size_t n)
{
	size_t room = run->out_max - run->out.n;

	if (run->out_max == CHILD_DISCARD)
		return;
	buf_put(&run->out, p, n < room ? n : room);
	if (n <= room)
		return;
	port_close(&run->from);
	end_it(run, ERR_TOOBIG, CHILD_ASK_KILL);
}

/* True when there may be more to read at once. */
static bool read_some(struct child_run *run, struct port *port)
{
	char bytes[CHUNK];
	ssize_t n;

	if (port->fd < 0)
		return false;
	n = read(port->fd, bytes, sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0) {
		port_close(port);
		return false;
	}
	if (port == &run->from)
		put_out(run, bytes, (size_t)n);
	else
		put_err(run, bytes, (size_t)n);
	return true;
}

static void on_bytes(uv_poll_t *poll, int status, int events)
{
	struct port *port = poll->data;

	(void)status; /* what it is, read() says */
	(void)events;
	read_some(port->run, port);
	end_the_rest(port->run);
}

static void on_room(uv_poll_t *poll, int status, int events)
{
	struct port *port = poll->data;

	(void)status;
	(void)events;
	write_in(port->run);
}

/* -- what osbd-child says --------------------------------------------------------------- */

static void hear(struct child_run *run)
{
	struct child_report report;
	ssize_t n;

	while (run->control.fd >= 0) {
		n = recv(run->control.fd, &report, sizeof(report), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue; /* reset: it left asks unread; a report may stand behind that */
		if (n != (ssize_t)sizeof(report)) {
			port_close(&run->control);
			return;
		}
		run->report = report;
		run->reported = true;
	}
}

static void on_report(uv_poll_t *poll, int status, int events)
{
	struct port *port = poll->data;

	(void)status;
	(void)events;
	hear(port->run);
	end_the_rest(port->run);
}

/* ERR_IO means that something ran: what kept it from that is called otherwise. */
static int start_error(int code)
{
	int rc = code == EAGAIN ? ERR_FULL : err_from_uv(-code);

	return rc == ERR_IO ? ERR_UNSUPPORTED : rc;
}

static int failed_to_start(struct child_run *run, int code, enum child_stage stage)
{
	struct child *child = run->child;
	bool there = stage == CHILD_AT_EXEC && access(run->program, F_OK) == 0;

	switch (stage) {
	case CHILD_AT_HEAD:
		set_text(child, run->host->supervisor, "is of another version than this program");
		return ERR_UNSUPPORTED;
	case CHILD_AT_RESULTS:
		set_text(child, "results directory",
			 code == EBUSY ? "an earlier run is still in it" : strerror(code));
		break;
	case CHILD_AT_FORK:
		set_text(child, "fork", strerror(code));
		break;
	case CHILD_AT_CWD:
		set_text(child, "working directory", strerror(code));
		break;
	case CHILD_AT_EXEC:
		if (code == ENOEXEC)
			set_text(child, run->program, "has no interpreter line (#!)");
		else if (code == ENOENT && there)
			set_text(child, run->program, "its interpreter does not exist");
		else if (code == EACCES && there)
			set_text(child, run->program, "not executable");
		else
			set_text(child, run->program, strerror(code));
		break;
	}
	return code == ENOEXEC ? ERR_ACCESS : start_error(code);
}

static int verdict(struct child_run *run, const siginfo_t *end)
{
	struct child *child = run->child;
	const struct child_report *report = &run->report;

	if (run->reported && report->kind == CHILD_SAYS_FAILED)
		return failed_to_start(run, report->a, (enum child_stage)report->b);
	if (run->reported && report->kind != CHILD_SAYS_SILENCE) {
		child->exit_code = report->a;
		child->signal = report->b;
	}
	if (run->why == ERR_TOOBIG)
		return ERR_TOOBIG;
	if (run->reported && report->kind == CHILD_SAYS_ENDED) {
		if (report->c == 0)
			return 0;
		set_text(child, "results directory", strerror(report->c));
		return ERR_IO;
	}
	if (run->why != 0)
		return run->why;
	if (run->reported && report->kind == CHILD_SAYS_SILENCE)
		set_text(child, "", "cut off: osbd was silent for too long");
	else
		snprintf(child->err, sizeof(child->err), "cut off: osbd-child %s %d",
			 end->si_code == CLD_EXITED ? "ended with code" : "was killed by signal",
			 end->si_status);
	return ERR_CLOSED;
}

static void on_end(uv_poll_t *poll, int status, int events)
{
	struct port *port = poll->data;
	struct child_run *run = port->run;
	siginfo_t end = { 0 };
	unsigned i;

	(void)status;
	(void)events;
	hear(run);
	if (waitid(P_PIDFD, (id_t)port->fd, &end, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	    end.si_pid == 0)
		return;
	if (end.si_code != CLD_EXITED || end.si_status != 0)
		child_sweep(run->pid);
	waitid(P_PIDFD, (id_t)port->fd, &end, WEXITED);
	run->host->reaped++;
	(void)failpoint("child.ended"); /* its result is on disk, nobody knows of it */
	/* nobody of ours writes any more: what is in the pipes is all there is, unless a stranger
	 * was given an end of one, for whom we do not wait */
	while (read_some(run, &run->from))
		;
	for (i = 0; i < 64 && read_some(run, &run->from_err); i++)
		;
	trim_err(run);
	run->child->out = str_make(
		arena_strndup(run->arena, run->out.p ? run->out.p : "", run->out.n), run->out.n);
	run_close(run, verdict(run, &end));
}

/* -- start ------------------------------------------------------------------------------ */

static int port_open(struct child_run *run, struct port *port, int events, uv_poll_cb on_event)
{
	int rc;

	if (port->fd < 0)
		return 0;
	rc = uv_poll_init(&run->host->loop->uv, &port->poll, port->fd);
	if (rc != 0)
		return -rc;
	port->poll.data = port;
	port->live = true;
	run->n_live++;
	rc = uv_poll_start(&port->poll, events, on_event);
	return -rc;
}

static int watch(struct child_run *run)
{
	int code = port_open(run, &run->end, UV_READABLE, on_end);

	if (code == 0)
		code = port_open(run, &run->control, UV_READABLE, on_report);
	if (code == 0)
		code = port_open(run, &run->from, UV_READABLE, on_bytes);
	if (code == 0)
		code = port_open(run, &run->from_err, UV_READABLE, on_bytes);
	if (code == 0)
		code = port_open(run, &run->to, UV_WRITABLE, on_room);
	return code;
}

static int send_head(struct child_run *run, const struct child_options *options)
{
	const char *cwd = options->cwd ? options->cwd : "/";
	size_t cwd_size = strlen(cwd) + 1;
	size_t results_size = options->results ? strlen(options->results) + 1 : 0;
	struct {
		struct child_head head;
		char text[CHILD_WIRE_TEXT];
	} packet = { .head = {
			     .version = CHILD_WIRE_VERSION,
			     .cwd_size = (uint32_t)cwd_size,
			     .results_size = (uint32_t)results_size,
			     .max_files = options->max_files && options->max_files < UINT32_MAX
						  ? (uint32_t)options->max_files
						  : MAX_FILES,
			     .now = child_now(),
			     .silence = run->host->silence,
			     .kill_ms = run->kill_ms,
			     .max_memory = options->max_memory,
			     .max_file = options->max_file,
		     } };
	size_t n = sizeof(packet.head) + cwd_size + results_size;

	memcpy(packet.text, cwd, cwd_size);
	if (results_size)
		memcpy(packet.text + cwd_size, options->results, results_size);
	assert(run->control.fd >= 0);
	if (send(run->control.fd, &packet, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
		return errno;
	return 0;
}

/* 0 or errno; then nothing runs. */
static int begin(struct child_run *run, const struct child_options *options)
{
	struct child_spawned spawned;
	int code = failpoint("child.spawn") ? EMFILE : 0;

	if (code == 0)
		code = child_spawn(run->host->supervisor, options->argv, options->env,
				   run->in.n > 0, &spawned);
	if (code != 0)
		return code;
	run->pid = spawned.pid;
	run->end.fd = spawned.pidfd;
	run->control.fd = spawned.control;
	run->to.fd = spawned.in;
	run->from.fd = spawned.out;
	run->from_err.fd = spawned.err;
	code = watch(run);
	if (code == 0)
		code = send_head(run, options);
	if (code == 0) {
		run->host->started++;
		return 0;
	}
	/* osbd-child waits for its head; without one it ends at once */
	port_close(&run->control);
	while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return code;
}

static bool absolute(const char *path, size_t most)
{
	return path[0] == '/' && strlen(path) < most;
}

static void on_beat(struct timer *timer)
{
	struct child_host *host = container_of(timer, struct child_host, beat);
	struct list *pos, *tmp;

	timer_start(&host->beat, host->loop, host->silence / 3, on_beat);
	if (host->muted)
		return;
	list_each(pos, tmp, &host->running)
		ask(container_of(pos, struct child_run, node), CHILD_ASK_BEAT);
}

int child_start(struct child *child, struct child_host *host, struct arena *arena,
		const struct child_options *options)
{
	const size_t most = CHILD_WIRE_TEXT / 2;
	struct child_run *run;
	int code;

	if (!options->argv || !options->argv[0] || !absolute(options->argv[0], most) ||
	    (options->cwd && !absolute(options->cwd, most)) ||
	    (options->results && !absolute(options->results, most)))
		return ERR_INVALID;
	run = mem_zalloc(sizeof(*run));
	run->child = child;
	run->host = host;
	run->arena = arena;
	run->program = mem_strdup(options->argv[0]);
	run->in = options->in;
	run->out_max = options->out_max ? options->out_max : OUT_MAX;
	run->kill_ms = options->kill_ms ? options->kill_ms : KILL_MS;
	run->control.fd = run->end.fd = run->to.fd = run->from.fd = run->from_err.fd = -1;
	run->control.run = run->end.run = run->to.run = run->from.run = run->from_err.run = run;
	child->run = run;
	child->out = STR("");
	child->err[0] = '\0';
	child->exit_code = -1;
	child->signal = 0;
	list_append(&host->running, &run->node);
	call_begin(&child->call, cancel);
	code = begin(run, options);
	if (code != 0) {
		set_text(child, "osbd-child", strerror(code));
		run_close(run, start_error(code));
		return 0;
	}
	if (options->deadline)
		timer_start(&run->deadline, host->loop, options->deadline, on_deadline);
	if (host->silence && !timer_running(&host->beat))
		timer_start(&host->beat, host->loop, host->silence / 3, on_beat);
	return 0;
}

/* -- host ------------------------------------------------------------------------------- */

int child_host_init(struct child_host *host, struct loop *loop, const char *supervisor,
		    struct err *err)
{
	struct sigaction action;

	memset(host, 0, sizeof(*host));
	host->loop = loop;
	list_init(&host->running);
	if (!supervisor) {
		static const char name[] = "osbd-child";
		char path[4096 + sizeof(name)];
		ssize_t n = readlink("/proc/self/exe", path, 4096);
		char *slash;

		if (n <= 0)
			return err_set(err, err_from_uv(-errno), "/proc/self/exe: %s",
				       strerror(errno));
		path[n] = '\0';
		slash = strrchr(path, '/');
		if (!slash)
			return err_set(err, ERR_NOENT, "%s: not a path", path);
		memcpy(slash + 1, name, sizeof(name));
		supervisor = host->found = mem_strdup(path);
	}
	host->supervisor = supervisor;
	if (access(supervisor, X_OK) != 0) {
		int code = errno;

		err_set(err, err_from_uv(-code), "%s: %s", supervisor, strerror(code));
		child_host_finish(host);
		return err_from_uv(-code);
	}
	/* a program that does not read its stdin must not be the end of us */
	if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
	return 0;
}

void child_host_finish(struct child_host *host)
{
	assert(list_empty(&host->running));
	timer_stop(&host->beat);
	mem_free(host->found);
	host->found = NULL;
}

void child_host_cancel_all(struct child_host *host)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &host->running)
		call_cancel(&container_of(pos, struct child_run, node)->child->call);
}

int child_result(const char *results, int *exit_code, int *signal)
{
	int dir = open(results, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char line[64];
	ssize_t n = 0;
	int fd, used = 0;

	if (dir < 0)
		return err_from_uv(-errno);
	if (flock(dir, LOCK_SH | LOCK_NB) != 0) { /* osbd-child holds it while it lives */
		close(dir);
		return ERR_BUSY;
	}
	fd = openat(dir, "exit", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		int rc = err_from_uv(-errno);

		close(dir);
		return rc;
	}
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	close(dir);
	line[n > 0 ? n : 0] = '\0';
	if (n <= 0 || sscanf(line, "%d %d\n%n", exit_code, signal, &used) != 2 || used != (int)n ||
	    *exit_code < -1 || *exit_code > 255)
		return ERR_SYNTAX;
	return 0;
}
