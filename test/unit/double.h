/* Servers that a test talks to: doubles of test/doubles and programs of the distribution, each a
 * child that ends with the test, whatever becomes of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_DOUBLE_H
#define TEST_DOUBLE_H

#include "core/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
	pid_t pid;
	int in, out; /* its stdin and stdout */
	char text[1 << 16];
	size_t n; /* of text, NUL-terminated */
	int port;
};

/* argv[0] is an absolute path. */
static inline void program_start(struct program *program, const char *const *argv)
{
	int in[2], out[2];

	memset(program, 0, sizeof(*program));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	program->pid = fork();
	assert_true(program->pid >= 0);
	if (program->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_DFL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	program->in = in[1];
	program->out = out[0];
}

static inline const char *tree(void)
{
	const char *path = getenv("OSBD_TREE");

	return path ? path : ".";
}

/* Takes what it has said, waits at most ms for the first of it. */
static inline void program_listen(struct program *program, int ms)
{
	struct pollfd poll_fd = { .fd = program->out, .events = POLLIN };
	ssize_t n;

	while (program->n + 1 < sizeof(program->text) && poll(&poll_fd, 1, ms) > 0) {
		n = read(program->out, program->text + program->n,
			 sizeof(program->text) - 1 - program->n);
		if (n <= 0)
			break;
		program->n += (size_t)n;
		program->text[program->n] = '\0';
		ms = 0;
	}
}

static inline void program_forget(struct program *program)
{
	program_listen(program, 0);
	program->n = 0;
	program->text[0] = '\0';
}

/* A script of test/doubles, which prints its port first. */
static inline void double_start(struct program *program, const char *script)
{
	char path[4096];
	const char *argv[] = { "/usr/bin/python3", "-u", path, NULL };
	int i;

	snprintf(path, sizeof(path), "%s/test/doubles/%s", tree(), script);
	program_start(program, argv);
	for (i = 0; i < 300 && !strchr(program->text, '\n'); i++)
		program_listen(program, 100);
	program->port = atoi(program->text);
	assert_true(program->port > 0);
	program_forget(program);
}

static inline void program_stop(struct program *program)
{
	int status;

	if (program->pid <= 0)
		return;
	kill(program->pid, SIGKILL);
	assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
	close(program->in);
	close(program->out);
	program->pid = 0;
}

#endif
