/* Runs a second through core/child, beside raw uv_spawn of the same program with pipes under the
 * same supervisor, and beside uv_spawn without one. All three in turns in this one process.
 *
 *   spawn_bench [OSBD-CHILD [RUNS]]
 *
 * The program is osbd-child itself, called wrongly: small, static, says a line and ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/child.h"
#include "core/child_wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7

struct bench {
	struct loop loop;
	struct child_host host;
	const char *supervisor;
	unsigned left, running;
	bool bare, all;
};

static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "spawn_bench: %s\n", what);
	exit(1);
}

/* -- core/child ------------------------------------------------------------------------- */

struct ours {
	struct child child;
	struct arena arena;
};

static void ours_start(struct bench *bench, struct ours *run);

static void ours_done(struct call *call, int status)
{
	struct ours *run = container_of(container_of(call, struct child, call), struct ours, child);
	struct bench *bench = call->data;

	if (status != 0 || run->child.exit_code != 2)
		fail(run->child.err);
	arena_reset(&run->arena);
	bench->running--;
	ours_start(bench, run);
}

static void ours_start(struct bench *bench, struct ours *run)
{
	const char *const argv[] = { bench->supervisor, NULL };
	struct child_options options = { .argv = argv, .env = env };

	if (bench->left == 0) {
		bench->all = bench->running == 0;
		return;
	}
	bench->left--;
	bench->running++;
	run->child.call.done = ours_done;
	run->child.call.data = bench;
	if (child_start(&run->child, &bench->host, &run->arena, &options) != 0)
		fail("child_start");
}

/* -- uv_spawn --------------------------------------------------------------------------- */

struct raw {
	struct bench *bench;
	uv_process_t process;
	uv_pipe_t out, err;
	int control, open;
	char bytes[65536];
};

static void raw_start(struct raw *run);

static void raw_closed(uv_handle_t *handle)
{
	struct raw *run = handle->data;

	if (--run->open > 0)
		return;
	if (run->control >= 0)
		close(run->control);
	run->bench->running--;
	raw_start(run);
}

static void raw_exited(uv_process_t *process, int64_t code, int signal)
{
	const struct raw *run = process->data;

	if (signal != 0 || code != (run->bench->bare ? 2 : 0))
		fail("uv_spawn: exit code");
	uv_close((uv_handle_t *)process, raw_closed);
}

static void raw_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct raw *run = handle->data;

	(void)size;
	*buf = uv_buf_init(run->bytes, sizeof(run->bytes));
}

static void raw_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n < 0)
		uv_close((uv_handle_t *)stream, raw_closed);
}

static void raw_start(struct raw *run)
{
	struct bench *bench = run->bench;
	const char *const with[] = { "osbd-child", "--", bench->supervisor, NULL };
	const char *const bare[] = { bench->supervisor, NULL };
	struct {
		struct child_head head;
		char text[2];
	} packet = { .head = { .version = CHILD_WIRE_VERSION,
			       .cwd_size = 2,
			       .max_files = 1024,
			       .now = child_now(),
			       .kill_ms = 5000 },
		     .text = "/" };
	size_t n = offsetof(__typeof__(packet), text) + 2;
	uv_stdio_container_t stdio[4] = { { .flags = UV_IGNORE },
					  { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE },
					  { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE },
					  { .flags = UV_INHERIT_FD } };
	uv_process_options_t options = {
		.file = bench->supervisor,
		.args = (char **)(uintptr_t)(bench->bare ? bare : with),
		.env = (char **)(uintptr_t)env,
		.exit_cb = raw_exited,
		.stdio = stdio,
		.stdio_count = bench->bare ? 3 : 4,
		.flags = UV_PROCESS_DETACHED,
	};
	int fds[2] = { -1, -1 };

	if (bench->left == 0) {
		bench->all = bench->running == 0;
		return;
	}
	bench->left--;
	bench->running++;
	if (!bench->bare && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		fail("socketpair");
	uv_pipe_init(&bench->loop.uv, &run->out, 0);
	uv_pipe_init(&bench->loop.uv, &run->err, 0);
	stdio[1].data.stream = (uv_stream_t *)&run->out;
	stdio[2].data.stream = (uv_stream_t *)&run->err;
	stdio[3].data.fd = fds[1];
	run->control = fds[0];
	run->open = 3;
	run->process.data = run->out.data = run->err.data = run;
	if (uv_spawn(&bench->loop.uv, &run->process, &options) != 0)
		fail("uv_spawn");
	if (!bench->bare) {
		close(fds[1]);
		if (send(run->control, &packet, n, 0) != (ssize_t)n)
			fail("send");
	}
	uv_read_start((uv_stream_t *)&run->out, raw_alloc, raw_read);
	uv_read_start((uv_stream_t *)&run->err, raw_alloc, raw_read);
}

/* -- measuring -------------------------------------------------------------------------- */

enum how { OURS, RAW, BARE };

/* Runs a second. */
static double measure(struct bench *bench, enum how how, unsigned runs, unsigned at_once)
{
	static struct ours ours[16];
	static struct raw raw[16];
	double start = seconds();
	unsigned i;

	bench->left = runs;
	bench->all = false;
	bench->bare = how == BARE;
	for (i = 0; i < at_once; i++) {
		raw[i].bench = bench;
		if (how == OURS)
			ours_start(bench, &ours[i]);
		else
			raw_start(&raw[i]);
	}
	if (!loop_run_until(&bench->loop, &bench->all))
		fail("the loop ended early");
	for (i = 0; i < at_once; i++)
		arena_finish(&ours[i].arena);
	return (double)runs / (seconds() - start);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const unsigned at_once[] = { 1, 4, 16 };
	struct bench bench = { 0 };
	struct err err = { 0 };
	unsigned runs = argc > 2 ? (unsigned)atoi(argv[2]) : 300, i;

	if (loop_init(&bench.loop) != 0)
		fail("loop");
	if (child_host_init(&bench.host, &bench.loop, argc > 1 ? argv[1] : getenv("OSBD_CHILD"),
			    &err) != 0)
		fail(err.text);
	bench.supervisor = bench.host.supervisor;
	bench.host.silence = SEC(12);
	for (i = 0; i < ARRAY_LEN(at_once); i++) {
		double rate[3][ROUNDS], ratio[ROUNDS];
		unsigned round, how;

		for (round = 0; round < ROUNDS; round++) {
			for (how = OURS; how <= BARE; how++)
				rate[how][round] = measure(&bench, how, runs, at_once[i]);
			ratio[round] = rate[OURS][round] / rate[RAW][round];
		}
		for (how = OURS; how <= BARE; how++)
			qsort(rate[how], ROUNDS, sizeof(double), by_size);
		qsort(ratio, ROUNDS, sizeof(double), by_size);
		printf("child runs/s, %2u at once: core/child %.0f, uv_spawn of osbd-child %.0f, "
		       "uv_spawn bare %.0f; ratio %.2f (budget >= 0.8)\n",
		       at_once[i], rate[OURS][ROUNDS / 2], rate[RAW][ROUNDS / 2],
		       rate[BARE][ROUNDS / 2], ratio[ROUNDS / 2]);
	}
	child_host_finish(&bench.host);
	if (loop_finish(&bench.loop) != 0)
		fail("the loop is not empty");
	return 0;
}
