/* start_probe: how long a server takes from exec to its first 200, in turns.
 *
 *   start_probe TIMES PORT PATH HEADERS PROGRAM [ARG…]
 *
 * Starts the program, which listens on 127.0.0.1:PORT, and tries to connect with hardly a pause. The
 * request is GET PATH with HEADERS (lines that end in \r\n). Prints the milliseconds of each
 * start, a line each; each program is ended by SIGTERM. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GIVE_UP 10.0 /* s */

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static pid_t start(char **argv)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

/* Is there somebody who answers with 200? */
static int answers(const struct sockaddr_in *address, const char *request)
{
	char answer[32] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ok = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
		 send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request) &&
		 recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 0 &&
		 strncmp(answer, "HTTP/1.1 200 ", 13) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	char request[4096];
	int times, i;

	if (argc < 6) {
		fprintf(stderr, "usage: start_probe TIMES PORT PATH HEADERS PROGRAM [ARG…]\n");
		return 2;
	}
	times = atoi(argv[1]);
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", argv[3],
		 argv[4]);
	for (i = 0; i < times; i++) {
		double begin = seconds();
		pid_t pid = start(argv + 5);
		int status, ok = 0;

		while (pid > 0 && !ok && seconds() - begin < GIVE_UP) {
			ok = answers(&address, request);
			usleep(ok ? 0 : 20); /* else it would take a core from the server */
		}
		if (ok)
			printf("%.3f\n", (seconds() - begin) * 1e3);
		if (pid > 0) {
			kill(pid, SIGTERM);
			waitpid(pid, &status, 0);
		}
		if (!ok) {
			fprintf(stderr, "start_probe: %s does not answer\n", argv[5]);
			return 1;
		}
	}
	return 0;
}
