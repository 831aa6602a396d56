/* SPDX-License-Identifier: Apache-2.0 */
#include "core/activation.h"

#include "core/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SOCKETS_MAX 256

static const char *const variables[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
					 "LISTEN_PIDFDID" };

static int take(struct activation *activation, struct err *err)
{
	const char *pid_text = getenv("LISTEN_PID"), *n_text = getenv("LISTEN_FDS");
	struct str names = str_of(getenv("LISTEN_FDNAMES"));
	uint64_t pid, n;
	size_t i;

	if (!pid_text || !n_text)
		return 0;
	if (!str_to_u64(str_of(pid_text), &pid))
		return err_set(err, ERR_INVALID, "LISTEN_PID must be the number of a process");
	if (pid != (uint64_t)getpid())
		return 0;
	if (!str_to_u64(str_of(n_text), &n) || n > SOCKETS_MAX)
		return err_set(err, ERR_INVALID, "LISTEN_FDS must be a number from 0 to %d",
			       SOCKETS_MAX);
	activation->sockets = mem_zalloc((n + 1) * sizeof(*activation->sockets));
	for (i = 0; i < n; i++) {
		struct activation_socket *s = &activation->sockets[i];
		struct str name = str_cut(names, ':', &names);

		s->fd = ACTIVATION_FIRST + (int)i;
		if (fcntl(s->fd, F_SETFD, FD_CLOEXEC) != 0)
			return err_set(err, ERR_INVALID,
				       "LISTEN_FDS says %d, but descriptor %d is not open", (int)n,
				       s->fd);
		s->name = name.n ? mem_strndup(name.p, name.n) : mem_strdup("unknown");
		activation->n++;
	}
	return 0;
}

int activation_take(struct activation *activation, struct err *err)
{
	int rc = take(activation, err);
	size_t i;

	for (i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	return rc;
}

struct activation_socket *activation_next(struct activation *activation, struct str name)
{
	size_t i;

	for (i = 0; i < activation->n; i++)
		if (!activation->sockets[i].taken && str_is(name, activation->sockets[i].name))
			return &activation->sockets[i];
	return NULL;
}

void activation_finish(struct activation *activation)
{
	size_t i;

	for (i = 0; i < activation->n; i++) {
		if (!activation->sockets[i].taken)
			close(activation->sockets[i].fd);
		mem_free(activation->sockets[i].name);
	}
	mem_free(activation->sockets);
	*activation = (struct activation){ 0 };
}
