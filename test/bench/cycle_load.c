/* Instances made, bound, unbound and removed, over and over, by a number of clients at a time.
 *
 *	cycle_load PORT AUTHORIZATION SERVICE PLAN CLIENTS SECONDS
 *
 * Each client has a connection and asks one thing after the other: PUT instance, PUT binding, DELETE
 * binding, DELETE instance. Prints the cycles a second, each answer being a quarter of one; those
 * under way at the end are ended, and what they get then does not count. Any answer but 200 or 201 ends it with an error. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
	int fd, step;
	bool over;
	char id[40], in[16384];
	size_t n;
};

static const char *authorization, *service, *plan;
static unsigned long ids;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *text)
{
	fprintf(stderr, "cycle_load: %s: %s\n", what, text);
	exit(1);
}

static int dial(const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	to.sin_port = htons((uint16_t)atoi(port));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void ask(struct client *c)
{
	static const char *const methods[] = { "PUT", "PUT", "DELETE", "DELETE" };
	bool binding = c->step == 1 || c->step == 2, put = c->step < 2;
	char body[600] = "", request[2000];
	int n;

	if (c->step == 0)
		snprintf(c->id, sizeof(c->id), "%ld-%lu", (long)getpid(), ids++);
	if (put)
		snprintf(body, sizeof(body),
			 "{\"service_id\":\"%s\",\"plan_id\":\"%s\",\"organization_guid\":\"org\","
			 "\"space_guid\":\"space\"}",
			 service, plan);
	n = snprintf(request, sizeof(request),
		     "%s /v2/service_instances/%s%s?service_id=%s&plan_id=%s HTTP/1.1\r\n"
		     "Host: localhost\r\nAuthorization: %s\r\nX-Broker-API-Version: 2.17\r\n"
		     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		     methods[c->step], c->id, binding ? "/service_bindings/b" : "", service, plan,
		     authorization, strlen(body), body);
	if (write(c->fd, request, (size_t)n) != n)
		die("write", strerror(errno));
	c->n = 0;
}

/* True when the whole answer is there. */
static bool answered(struct client *c)
{
	ssize_t n = read(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n);
	char *body, *length;

	if (n <= 0)
		die("read", n == 0 ? "closed" : strerror(errno));
	c->n += (size_t)n;
	c->in[c->n] = '\0';
	body = strstr(c->in, "\r\n\r\n");
	if (!body)
		return false;
	length = strcasestr(c->in, "\r\ncontent-length:");
	if (!length || length > body)
		die("answer", "no length");
	if (c->n < (size_t)(body + 4 - c->in) + strtoul(length + 17, NULL, 10))
		return false;
	if (strncmp(c->in, "HTTP/1.1 200", 12) != 0 && strncmp(c->in, "HTTP/1.1 201", 12) != 0)
		die("answer", c->in);
	return true;
}

int main(int argc, char **argv)
{
	struct client *clients;
	struct pollfd *polls;
	unsigned long done = 0;
	double ends;
	int n, i, left;

	if (argc != 7)
		die("usage", "PORT AUTHORIZATION SERVICE PLAN CLIENTS SECONDS");
	authorization = argv[2];
	service = argv[3];
	plan = argv[4];
	n = left = atoi(argv[5]);
	clients = calloc((size_t)n, sizeof(*clients));
	polls = calloc((size_t)n, sizeof(*polls));
	for (i = 0; i < n; i++) {
		clients[i].fd = polls[i].fd = dial(argv[1]);
		polls[i].events = POLLIN;
	}
	ends = now() + atof(argv[6]);
	for (i = 0; i < n; i++)
		ask(&clients[i]);
	while (left > 0) {
		if (poll(polls, (nfds_t)n, 60000) <= 0)
			die("poll", "no answer within a minute");
		for (i = 0; i < n; i++) {
			struct client *c = &clients[i];

			if (!polls[i].revents || !answered(c))
				continue;
			c->step = (c->step + 1) % 4;
			if (c->step == 0 && now() >= ends) {
				polls[i].fd = -1;
				left--;
				continue;
			}
			done += now() < ends;
			ask(c);
		}
	}
	printf("%.2f\n", (double)done / 4 / atof(argv[6]));
	return 0;
}
