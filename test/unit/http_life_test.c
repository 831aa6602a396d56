/* When connections begin and end: deadlines, clients that go, descriptors that run out, drain. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "http_rig.h"

#include "core/http_conn.h"

#include <sys/stat.h>

#define HOST "Host: a\r\n"
#define ASK(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static uint64_t ms_since(struct rig *rig, uint64_t then)
{
	return loop_now(&rig->loop) - then;
}

static void turns(struct rig *rig, int ms)
{
	uint64_t then = loop_now(&rig->loop);

	while (ms_since(rig, then) < (uint64_t)ms) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
}

static void wait_held(struct rig *rig, int n)
{
	uint64_t then = loop_now(&rig->loop);

	while (rig->n_held < n && ms_since(rig, then) < 5000) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig->n_held, n);
}

static void wait_connections(struct rig *rig, size_t n)
{
	uint64_t then = loop_now(&rig->loop);

	while ((size_t)rig_metric(rig, "osbd_http_connections") != n &&
	       ms_since(rig, then) < 5000) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig->server->n_conns, n);
}

static void wait_gone(struct rig *rig)
{
	uint64_t then = loop_now(&rig->loop);

	while (!rig->n_gone && ms_since(rig, then) < 5000) {
		rig_turn(rig);
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig->n_gone, 1);
}

/* -- deadlines -------------------------------------------------------------------------- */

static void test_slow_requests(void **state)
{
	static const struct {
		const char *first, *drip;
		int status;
	} rows[] = {
		{ "G", NULL, 408 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", 408 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", NULL, 408 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "y", 408 },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\ny\r\n",
		  408 },
		{ "", NULL, 0 }, /* nothing to answer: closed in silence */
		{ "\r", NULL, 0 },
		{ "\r\n", "\r\n", 0 },
	};
	struct http_limits limits = { .header_ms = 120, .body_ms = 120, .idle_ms = 120 };
	struct client client;
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, &limits);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t then = loop_now(&rig.loop);

		client_open(&rig, &client);
		client_send(&rig, &client, str_of(rows[i].first));
		while (!client.got.n && !client.eof && !client.reset &&
		       ms_since(&rig, then) < 5000) {
			if (rows[i].drip) /* a byte now and then does not buy time */
				client_send(&rig, &client, str_of(rows[i].drip));
			rig_wait(&rig, &client);
			poll(NULL, 0, 5);
		}
		assert_in_range(ms_since(&rig, then), 110, 5000);
		if (rows[i].status) {
			assert_true(client_answer(&rig, &client, false));
			assert_int_equal(client.status, rows[i].status);
			assert_true(client_ended(&rig, &client));
		}
		assert_int_equal(client.got.n, 0);
		client_close(&client);
	}
	assert_int_equal(rig.handled, 0);
	rig_finish(&rig);
}

static void test_idle_after_an_answer(void **state)
{
	struct http_limits limits = { .idle_ms = 400 };
	struct client client;
	struct rig rig;
	uint64_t then;
	int i;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &client);
	for (i = 0; i < 4; i++) { /* each request begins the time anew */
		turns(&rig, 150);
		client_ask(&rig, &client, ASK("/"), 200);
	}
	then = loop_now(&rig.loop);
	assert_true(client_ended(&rig, &client));
	assert_in_range(ms_since(&rig, then), 350, 4000);
	client_close(&client);
	/* a handler may take as long as it likes */
	client_open(&rig, &client);
	client_send(&rig, &client, STR(ASK("/hold")));
	wait_held(&rig, 1);
	turns(&rig, 600);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &client, false));
	client_close(&client);
	rig_finish(&rig);
}

/* A process that stood still reads what came meanwhile before it calls anybody late. */
static void test_stalled_process(void **state)
{
	struct http_limits limits = { .header_ms = 100, .idle_ms = 100 };
	struct client half, idle, late;
	struct rig rig;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &half);
	client_open(&rig, &idle);
	client_open(&rig, &late);
	client_send(&rig, &half, STR("GET /half HTTP/1.1\r\n"));
	rig_turn(&rig);
	assert_int_equal(send(half.fd, HOST "\r\n", sizeof(HOST "\r\n") - 1, 0), 11);
	assert_true(send(idle.fd, ASK("/idle"), sizeof(ASK("/idle")) - 1, 0) > 0);
	poll(NULL, 0, 400);
	assert_true(client_answer(&rig, &half, false));
	assert_string_equal(half.body.p, "{\"GET /half\":\"\"}");
	assert_true(client_answer(&rig, &idle, false));
	assert_string_equal(idle.body.p, "{\"GET /idle\":\"\"}");
	assert_true(client_ended(&rig, &late));
	client_close(&half);
	client_close(&idle);
	client_close(&late);
	rig_finish(&rig);
}

static void test_client_that_does_not_read(void **state)
{
	struct http_limits limits = { .write_ms = 500 };
	struct client client, other;
	struct rig rig;
	uint64_t then;

	(void)state;
	rig_init(&rig, &limits);
	client_open(&rig, &client);
	client_open(&rig, &other);
	assert_true(send(client.fd, ASK("/big"), sizeof(ASK("/big")) - 1, 0) > 0);
	then = loop_now(&rig.loop);
	client_ask(&rig, &other, ASK("/"), 200); /* others do not feel it */
	assert_true(ms_since(&rig, then) < 450);
	wait_connections(&rig, 2);
	wait_connections(&rig, 1);
	assert_in_range(ms_since(&rig, then), 450, 4500);
	client_close(&client);
	client_close(&other);
	rig_finish(&rig);
}

/* After a refusal the rest is dropped for a while only. */
static void test_linger_ends(void **state)
{
	struct client client;
	struct rig rig;
	uint64_t then;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_ask(&rig, &client, "BREW / HTTP/1.1\r\n\r\n", 501);
	then = loop_now(&rig.loop);
	assert_true(client_ended(&rig, &client));
	assert_true(ms_since(&rig, then) < 1500); /* its half is shut at once */
	assert_int_equal(rig.server->n_conns, 1);
	while (rig.server->n_conns && ms_since(&rig, then) < 10000) {
		send(client.fd, "more", 4, MSG_NOSIGNAL);
		turns(&rig, 50);
	}
	assert_in_range(ms_since(&rig, then), HTTP_LINGER_MS - 100, HTTP_LINGER_MS + 4000);
	client_close(&client);
	client_open(&rig, &client); /* a flood ends it before */
	client_send(&rig, &client, STR("BREW / HTTP/1.1\r\n\r\n"));
	then = loop_now(&rig.loop);
	while (rig.server->n_conns && ms_since(&rig, then) < HTTP_LINGER_MS - 500)
		client_send(&rig, &client, str_make(rig.big, BIG));
	assert_int_equal(rig.server->n_conns, 0);
	client_close(&client);
	rig_finish(&rig);
}

/* -- clients that go -------------------------------------------------------------------- */

static void reset(struct client *client)
{
	struct linger now = { 1, 0 };

	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	client_close(client);
}

static void test_gone_while_waiting(void **state)
{
	struct client client;
	struct rig rig;
	int how;

	(void)state;
	rig_init(&rig, NULL);
	for (how = 0; how < 3; how++) { /* closes, resets, closes with requests behind */
		rig.n_gone = 0;
		client_open(&rig, &client);
		client_send(&rig, &client,
			    how == 2 ? STR(ASK("/hold") ASK("/x")) : STR(ASK("/hold")));
		wait_held(&rig, 1);
		assert_int_equal(rig.n_gone, 0);
		assert_false(rig.held[0]->gone);
		if (how == 1)
			reset(&client);
		else
			client_close(&client);
		wait_gone(&rig);
		turns(&rig, 10);
		assert_int_equal(rig.n_gone, 1); /* once */
		assert_true(rig.held[0]->gone);
		rig_release(&rig, "nobody reads this");
		wait_connections(&rig, 0);
		assert_int_equal(rig.n_gone, 1);
	}
	rig_finish(&rig);
}

static void test_half_closed_client_gets_its_answers(void **state)
{
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_send(&rig, &client, STR(ASK("/hold") ASK("/x")));
	shutdown(client.fd, SHUT_WR);
	wait_held(&rig, 1);
	wait_gone(&rig);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &client, false));
	assert_true(client_answer(&rig, &client, false));
	assert_string_equal(client.body.p, "{\"GET /x\":\"\"}");
	assert_true(rig.gone_before);
	assert_true(client_ended(&rig, &client));
	client_close(&client);
	rig_finish(&rig);
}

static void test_reset_in_mid_body(void **state)
{
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &client);
	client_send(&rig, &client, STR("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab"));
	turns(&rig, 10);
	reset(&client);
	wait_connections(&rig, 0);
	assert_int_equal(rig.handled, 0);
	rig_finish(&rig);
}

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

/* -- ends ------------------------------------------------------------------------------- */

static void test_drain(void **state)
{
	struct client fresh, idle, late, held, half, waiting;
	struct rig rig;
	char bound[128];

	(void)state;
	rig_init(&rig, NULL);
	snprintf(bound, sizeof(bound), "%s", rig.bound);
	client_open(&rig, &fresh);
	client_open(&rig, &idle);
	client_open(&rig, &late);
	client_open(&rig, &held);
	client_open(&rig, &half);
	client_ask(&rig, &idle, ASK("/"), 200);
	client_ask(&rig, &late, ASK("/"), 200);
	client_send(&rig, &held, STR(ASK("/hold") ASK("/behind")));
	client_send(&rig, &half, STR("PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\na"));
	wait_held(&rig, 1);
	client_open(&rig, &waiting); /* connected, not yet accepted */
	assert_true(send(waiting.fd, ASK("/w"), sizeof(ASK("/w")) - 1, 0) > 0);
	http_server_drain(rig.server, set_true, &rig.drained);
	assert_int_equal(connect_to(bound), -1);
	/* what was on its way is served, and told that it was the last */
	client_ask(&rig, &late, ASK("/late"), 200);
	assert_non_null(strstr(late.head.p, "Connection: close\r\n"));
	assert_true(client_ended(&rig, &late));
	assert_true(client_answer(&rig, &waiting, false));
	assert_string_equal(waiting.body.p, "{\"GET /w\":\"\"}");
	assert_true(client_ended(&rig, &waiting));
	assert_true(client_ended(&rig, &idle));
	assert_true(client_ended(&rig, &fresh));
	assert_false(rig.drained);
	client_ask(&rig, &half, "bc", 200);
	assert_true(client_ended(&rig, &half));
	client_close(&fresh);
	client_close(&idle);
	client_close(&late);
	client_close(&half);
	client_close(&waiting);
	turns(&rig, 20);
	assert_false(rig.drained);
	rig_release(&rig, "1");
	assert_true(client_answer(&rig, &held, false));
	assert_null(strstr(held.head.p, "Connection: close")); /* one more was there already */
	assert_true(client_answer(&rig, &held, false));
	assert_string_equal(held.body.p, "{\"GET /behind\":\"\"}");
	assert_non_null(strstr(held.head.p, "Connection: close\r\n"));
	assert_true(client_ended(&rig, &held));
	client_close(&held);
	assert_true(loop_run_until(&rig.loop, &rig.drained));
	rig_finish(&rig);
}

static void test_drain_of_nothing(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	http_server_drain(rig.server, set_true, &rig.drained);
	assert_false(rig.drained);
	assert_true(loop_run_until(&rig.loop, &rig.drained));
	rig_finish(&rig);
}

static void test_destroy_with_a_held_request(void **state)
{
	struct client held, big;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	client_open(&rig, &held);
	client_open(&rig, &big);
	client_send(&rig, &held, STR(ASK("/hold")));
	assert_true(send(big.fd, ASK("/big"), sizeof(ASK("/big")) - 1, 0) > 0);
	wait_held(&rig, 1);
	http_server_destroy(rig.server, set_true, &rig.destroyed);
	assert_int_equal(rig.n_gone, 1);
	turns(&rig, 30);
	assert_false(rig.destroyed); /* the handler still has it */
	rig_release(&rig, "1");
	assert_true(loop_run_until(&rig.loop, &rig.destroyed));
	assert_int_equal(rig.n_gone, 1);
	client_close(&held);
	client_close(&big);
	loop_run(&rig.loop);
	assert_int_equal(loop_finish(&rig.loop), 0);
	free(rig.big);
}

static void answer_on_gone(struct http_request *req)
{
	http_respond(req, 500, STR("{}"));
}

/* A handler may give up by answering from inside on_gone. */
static void test_answer_from_on_gone(void **state)
{
	struct client client;
	struct rig rig;
	int how;

	(void)state;
	rig_init(&rig, NULL);
	for (how = 0; how < 2; how++) {
		client_open(&rig, &client);
		client_send(&rig, &client, STR(ASK("/hold")));
		wait_held(&rig, 1);
		rig.held[0]->on_gone = answer_on_gone;
		rig.n_held = 0;
		if (how)
			reset(&client);
		else
			client_close(&client);
		wait_connections(&rig, 0);
	}
	rig_finish(&rig);
}

/* -- over memory ------------------------------------------------------------------------ */

static void got(struct stream *stream, const char *p, ssize_t n)
{
	if (n > 0)
		buf_put(stream->data, p, (size_t)n);
}

static void closed(struct stream *stream)
{
	buf_finish(stream->data);
}

/* A stream that takes a few bytes at a time: every answer has to wait. */
static void test_narrow_stream(void **state)
{
	static const char ask[] =
		ASK("/a") ASK("/b") "GET /c HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
	struct stream_end client, server;
	struct str text = str_of(ask);
	struct buf answers = { 0 };
	struct list *first;
	const char *a, *b, *c;
	struct rig rig;
	int i;

	(void)state;
	rig_init(&rig, NULL);
	stream_pair(&rig.loop, &client, &server, 10);
	client.stream.on_read = got;
	client.stream.on_closed = closed;
	client.stream.data = &answers;
	server.room = sizeof(ask); /* only the way back is narrow */
	first = list_first(&rig.server->listeners);
	http_conn_start(container_of(first, struct http_listener, node), &server.stream, "memory");
	stream_read_start(&client.stream);
	assert_int_equal(stream_write(&client.stream, &text, 1), 0);
	for (i = 0; i < 5000 && (!answers.p || !strstr(answers.p, "Connection: close") ||
				 !strstr(answers.p, "GET /c"));
	     i++)
		rig_turn(&rig);
	assert_non_null(answers.p);
	a = strstr(answers.p, "GET /a");
	b = strstr(answers.p, "GET /b");
	c = strstr(answers.p, "GET /c");
	assert_true(a && b && c && a < b && b < c);
	assert_int_equal(rig.handled, 3);
	assert_int_equal(rig.server->n_conns, 1); /* lingers until the client is done, too */
	stream_shutdown(&client.stream);
	wait_connections(&rig, 0);
	stream_close(&client.stream);
	for (i = 0; i < 100 && answers.p; i++)
		rig_turn(&rig);
	assert_null(answers.p);
	rig_finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_requests),
		cmocka_unit_test(test_idle_after_an_answer),
		cmocka_unit_test(test_stalled_process),
		cmocka_unit_test(test_client_that_does_not_read),
		cmocka_unit_test(test_linger_ends),
		cmocka_unit_test(test_gone_while_waiting),
		cmocka_unit_test(test_half_closed_client_gets_its_answers),
		cmocka_unit_test(test_reset_in_mid_body),
		cmocka_unit_test(test_thousand_idle),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_no_descriptors_left),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_of_nothing),
		cmocka_unit_test(test_destroy_with_a_held_request),
		cmocka_unit_test(test_answer_from_on_gone),
		cmocka_unit_test(test_narrow_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
