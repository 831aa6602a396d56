/* How connections begin: addresses, sockets, many of them, and no descriptors left. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "http_rig.h"

#include "core/http_conn.h"

#include <sys/stat.h>

#define HOST "Host: a\r\n"
#define ASK(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* -- many connections ------------------------------------------------------------------- */

static void test_thousand_idle(void **state)
{
	enum { N = 1000 };
	struct client *clients = calloc(N, sizeof(*clients));
	struct list *pos, *tmp;
	struct rlimit limit;
	struct rig rig;
	size_t n = 0, i;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 2 * N + 100) {
		limit.rlim_cur = 2 * N + 100;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
	rig_init(&rig, NULL);
	for (i = 0; i < N; i++) {
		client_open(&rig, &clients[i]);
		client_ask(&rig, &clients[i], ASK("/"), 200);
	}
	assert_int_equal(rig_metric(&rig, "osbd_http_connections"), N);
	list_each(pos, tmp, &rig.server->conns[CONN_IDLE]) {
		struct http_conn *conn = container_of(pos, struct http_conn, node);

		assert_null(conn->exchange); /* an idle connection holds neither */
		assert_null(conn->rest.p);
		n++;
	}
	assert_int_equal(n, N);
	assert_true(sizeof(struct http_conn) <= 320);
	assert_true(rig.server->n_spare <= 2);
	for (i = 0; i < N; i++) {
		client_ask(&rig, &clients[i], ASK("/"), 200);
		client_close(&clients[i]);
	}
	wait_connections(&rig, 0);
	rig_finish(&rig);
	free(clients);
}

static void test_cap(void **state)
{
	struct http_limits limits = { .connections = 2 };
	struct client clients[4];
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, &limits);
	for (i = 0; i < 4; i++)
		client_open(&rig, &clients[i]);
	client_ask(&rig, &clients[0], ASK("/"), 200);
	client_ask(&rig, &clients[1], ASK("/"), 200);
	client_send(&rig, &clients[2], STR(ASK("/")));
	client_send(&rig, &clients[3], STR(ASK("/")));
	turns(&rig, 30);
	assert_int_equal(rig.handled, 2);
	assert_int_equal(rig.server->n_conns, 2);
	client_close(&clients[0]);
	assert_true(client_answer(&rig, &clients[2], false));
	client_close(&clients[2]);
	assert_true(client_answer(&rig, &clients[3], false));
	client_close(&clients[1]);
	client_close(&clients[3]);
	rig_finish(&rig);
}

static uint64_t cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct alarm {
	struct timer timer;
	bool rang;
};

static void on_alarm(struct timer *timer)
{
	container_of(timer, struct alarm, timer)->rang = true;
}

static void test_no_descriptors_left(void **state)
{
	enum { N = 10 };
	struct client clients[N];
	struct rlimit old, small;
	struct alarm alarm = { 0 };
	struct rig rig;
	uint64_t cpu;
	size_t i, served = 0;
	int limit, spare;

	(void)state;
	rig_init(&rig, NULL);
	for (i = 0; i < N; i++) {
		client_open(&rig, &clients[i]); /* the kernel has them, nobody has accepted */
		assert_true(send(clients[i].fd, ASK("/"), sizeof(ASK("/")) - 1, 0) > 0);
	}
	for (limit = 0, spare = 0; spare < 3; limit++) /* room for three, and no more */
		spare += fcntl(limit, F_GETFD) < 0;
	getrlimit(RLIMIT_NOFILE, &old);
	small = old;
	small.rlim_cur = (rlim_t)limit;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	cpu = cpu_ms();
	timer_start(&alarm.timer, &rig.loop, 500, on_alarm);
	assert_true(loop_run_until(&rig.loop, &alarm.rang));
	cpu = cpu_ms() - cpu;
	assert_true(cpu < 250);                     /* it rests, it does not spin */
	assert_in_range(rig.server->n_conns, 2, 3); /* libuv keeps a descriptor, some versions */
	for (i = 0; i < N; i++) { /* as descriptors come back, who waited is served */
		assert_true(client_answer(&rig, &clients[i], false));
		assert_int_equal(clients[i].status, 200);
		served++;
		client_close(&clients[i]);
	}
	assert_int_equal(served, N);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	rig_finish(&rig);
}

/* -- sockets ---------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
	static const struct {
		const char *address;
		int code;
	} rows[] = {
		{ "", ERR_INVALID },
		{ "127.0.0.1", ERR_INVALID },
		{ "127.0.0.1:", ERR_INVALID },
		{ "127.0.0.1:x", ERR_INVALID },
		{ "127.0.0.1:65536", ERR_INVALID },
		{ "127.0.0.1:-1", ERR_INVALID },
		{ "localhost:80", ERR_INVALID },
		{ ":80", ERR_INVALID },
		{ "::1:80", ERR_INVALID },
		{ "[::1:80", ERR_INVALID },
		{ "[]:80", ERR_INVALID },
		{ "127.0.0.1.1:80", ERR_INVALID },
		{ "unix:relative", ERR_INVALID },
		{ "unix:/no/such/directory/s", ERR_NOENT },
	};
	char bound[128], full[200], taken[128];
	struct client client;
	struct err err;
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, NULL);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = http_server_listen(rig.server, rows[i].address, "/", NULL, bound,
					    sizeof(bound), &err);

		assert_int_equal(rc, rows[i].code);
		assert_memory_equal(err.text, rows[i].address, strlen(rows[i].address));
	}
	memset(full, 'x', sizeof(full));
	memcpy(full, "unix:/", 6);
	full[sizeof(full) - 1] = '\0';
	assert_int_equal(http_server_listen(rig.server, full, "/", NULL, bound, 128, &err),
			 ERR_INVALID);
	snprintf(taken, sizeof(taken), "%s", rig.bound);
	assert_int_equal(http_server_listen(rig.server, taken, "/", NULL, bound, 128, &err),
			 ERR_BUSY);
	assert_int_equal(
		http_server_listen(rig.server, "127.0.0.1:0", "/x/", NULL, bound, 128, &err),
		ERR_INVALID);
	assert_int_equal(http_server_listen(rig.server, "127.0.0.1:0", "x", NULL, bound, 128, &err),
			 ERR_INVALID);
	if (http_server_listen(rig.server, "[::1]:0", "/", &rig, rig.bound, 128, &err) == 0) {
		assert_memory_equal(rig.bound, "[::1]:", 6);
		client_open(&rig, &client);
		client_ask(&rig, &client, ASK("/"), 200);
		assert_non_null(strstr(client.head.p, "X-Peer: ::1\r\n"));
		client_close(&client);
	}
	rig_finish(&rig);
}

static void test_unix_socket(void **state)
{
	char dir[] = "/tmp/http_life_XXXXXX", address[128], bound[128], *path;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct client client;
	struct rig rig, second;
	struct stat st;
	struct err err;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	path = address + 5;
	/* a file in the way stays */
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	rig_init(&rig, NULL);
	assert_int_equal(http_server_listen(rig.server, address, "/", NULL, bound, 128, &err),
			 ERR_EXISTS);
	assert_int_equal(unlink(path), 0);
	/* what a dead process has left is replaced */
	assert_true(strlen(path) < sizeof(un.sun_path));
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	rig_listen(&rig, address, "/osb");
	assert_string_equal(rig.bound, address);
	client_open(&rig, &client);
	client_ask(&rig, &client, ASK("/osb/x"), 200);
	assert_string_equal(client.body.p, "{\"GET /x\":\"\"}");
	assert_non_null(strstr(client.head.p, "X-Peer: unix\r\n"));
	client_ask(&rig, &client, "GET /osb HTTP/1.0\r\n\r\n", 200);
	assert_true(client_ended(&rig, &client));
	client_close(&client);
	/* a living one is not */
	rig_init(&second, NULL);
	assert_int_equal(http_server_listen(second.server, address, "/", NULL, bound, 128, &err),
			 ERR_BUSY);
	rig_finish(&second);
	assert_int_equal(stat(path, &st), 0);
	rig_finish(&rig);
	assert_int_equal(stat(path, &st), -1); /* and goes with its server */
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thousand_idle),       cmocka_unit_test(test_cap),
		cmocka_unit_test(test_no_descriptors_left), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_unix_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
