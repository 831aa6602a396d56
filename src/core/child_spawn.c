/* SPDX-License-Identifier: Apache-2.0 */
#include "core/child_spawn.h"

#include "core/child_wire.h"
#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int make_pipe(int *reader, int *writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return errno;
	*reader = fds[0];
	*writer = fds[1];
	return 0;
}

/* The child's ends; they become 0, 1, 2 and 3, in this order. As the kernel gives the lowest free
 * number, none stands below its place, even when 0, 1 and 2 are free here: so none is overwritten
 * before it was put there. */
struct ends {
	int in, out, err, control;
};

static int make_ends(struct child_spawned *ours, struct ends *ends, bool with_in)
{
	int fds[2];
	int code = 0;

	if (with_in)
		code = make_pipe(&ends->in, &ours->in);
	if (code == 0)
		code = make_pipe(&ours->out, &ends->out);
	if (code == 0)
		code = make_pipe(&ours->err, &ends->err);
	if (code == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		code = errno;
	if (code != 0)
		return code;
	ours->control = fds[0];
	ends->control = fds[1];
	return 0;
}

static int spawn(const char *supervisor, const char *const *program, const char *const *env,
		 const struct ends *ends, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	const char **argv;
	sigset_t set;
	size_t n = 0;
	int code;

	while (program[n])
		n++;
	argv = mem_alloc((n + 3) * sizeof(*argv));
	argv[0] = "osbd-child";
	argv[1] = "--";
	memcpy(argv + 2, program, (n + 1) * sizeof(*argv));
	code = posix_spawn_file_actions_init(&actions);
	if (code != 0)
		goto no_actions;
	code = posix_spawnattr_init(&attr);
	if (code != 0)
		goto no_attr;
	if (ends->in >= 0)
		code = posix_spawn_file_actions_adddup2(&actions, ends->in, 0);
	else
		code = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions, ends->out, 1);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions, ends->err, 2);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions, ends->control, CHILD_WIRE_FD);
	if (code == 0)
		code = posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_WIRE_FD + 1);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	if (code == 0)
		code = posix_spawn(pid, supervisor, &actions, &attr, (char *const *)(uintptr_t)argv,
				   (char *const *)(uintptr_t)env);
	posix_spawnattr_destroy(&attr);
no_attr:
	posix_spawn_file_actions_destroy(&actions);
no_actions:
	mem_free(argv);
	return code;
}

int child_spawn(const char *supervisor, const char *const *argv, const char *const *env,
		bool with_in, struct child_spawned *ours)
{
	struct ends ends = { -1, -1, -1, -1 };
	int code;

	*ours = (struct child_spawned){ 0, -1, -1, -1, -1, -1 };
	code = make_ends(ours, &ends, with_in);
	if (code == 0)
		code = spawn(supervisor, argv, env, &ends, &ours->pid);
	close_fd(&ends.in); /* before more are opened: their places are free again */
	close_fd(&ends.out);
	close_fd(&ends.err);
	close_fd(&ends.control);
	if (code != 0)
		goto fail;
	ours->pidfd = pidfd_open(ours->pid, 0);
	if (ours->pidfd >= 0)
		return 0;
	code = errno;
	close_fd(&ours->control); /* without a head it ends at once */
	while (waitpid(ours->pid, NULL, 0) < 0 && errno == EINTR)
		;
fail:
	close_fd(&ours->control);
	close_fd(&ours->in);
	close_fd(&ours->out);
	close_fd(&ours->err);
	return code;
}

void child_sweep(pid_t session)
{
	unsigned pass, found = 1;

	for (pass = 0; pass < 100 && found > 0; pass++) {
		DIR *proc = opendir("/proc");
		const struct dirent *entry;

		found = 0;
		while (proc && (entry = readdir(proc))) {
			char path[300], line[512];
			const char *behind;
			int pid = atoi(entry->d_name), sid = 0, fd;
			ssize_t n;
			char state = 'Z';

			if (pid <= 1 || pid == session)
				continue;
			snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			n = read(fd, line, sizeof(line) - 1);
			close(fd);
			line[n > 0 ? n : 0] = '\0';
			behind = strrchr(line, ')'); /* the name may hold anything */
			if (!behind || sscanf(behind + 1, " %c %*d %*d %d", &state, &sid) != 2)
				continue;
			if (sid == session && state != 'Z' && state != 'X') {
				kill(pid, SIGKILL);
				found++;
			}
		}
		if (proc)
			closedir(proc);
	}
}
