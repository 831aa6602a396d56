/* A server behind proxies: connections that have not said yet on behalf of whom they come. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "http_rig.h"

#include "core/http_conn.h"

#define V1 "PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* A second listener, at rig->bound, whose peers are all trusted. */
static void listen_proxied(struct rig *rig, const char *address)
{
	struct cidr here = { 0 };
	const char *why;
	struct err err;
	struct http_listen listen = { .address = address,
				      .prefix = "/",
				      .data = rig,
				      .proxy_protocol = true,
				      .trusted = { &here, 1 } };

	assert_int_equal(cidr_parse(STR("127.0.0.1"), &here, &why), 0);
	if (http_server_listen_on(rig->server, &listen, rig->bound, sizeof(rig->bound), &err) != 0)
		fail_msg("%s", err.text);
	memset(&here, 0, sizeof(here)); /* it was copied */
}

/* Who has not said who he is has a place, and loses it after header_ms. */
static void test_cap(void **state)
{
	struct http_limits limits = { .connections = 2, .header_ms = 300 };
	struct client silent[2], third;
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, &limits);
	listen_proxied(&rig, "127.0.0.1:0");
	for (i = 0; i < 2; i++)
		client_open(&rig, &silent[i]);
	wait_connections(&rig, 2);
	client_send(&rig, &silent[1], STR("PROXY TCP4 "));
	assert_false(list_empty(&rig.server->conns[CONN_GREET]));
	client_open(&rig, &third);
	client_send(&rig, &third, STR(V1 GET("/")));
	turns(&rig, 100);
	assert_int_equal(rig_metric(&rig, "osbd_http_connections"), 2);
	assert_int_equal(rig.handled, 0);
	assert_true(client_answer(&rig, &third, false)); /* when the two are gone */
	assert_int_equal(third.status, 200);
	assert_non_null(strstr(third.head.p, "X-Peer: 198.51.100.7\r\n"));
	for (i = 0; i < 2; i++) {
		client_look(&silent[i]);
		assert_true(silent[i].eof || silent[i].reset);
		assert_int_equal(silent[i].got.n, 0);
		client_close(&silent[i]);
	}
	client_close(&third);
	wait_connections(&rig, 0);
	rig_finish(&rig);
}

static void test_destroyed_before(void **state)
{
	struct client silent, half;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	listen_proxied(&rig, "127.0.0.1:0");
	client_open(&rig, &silent);
	client_open(&rig, &half);
	wait_connections(&rig, 2);
	client_send(&rig, &half, STR("\r\n\r\n"));
	turns(&rig, 20);
	rig_finish(&rig);
	client_close(&silent);
	client_close(&half);
}

/* A request that waits for its answer knows the client when the connection is gone. */
static void test_peer_outlives_connection(void **state)
{
	struct linger reset = { .l_onoff = 1 };
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	listen_proxied(&rig, "127.0.0.1:0");
	client_open(&rig, &client);
	client_send(&rig, &client, STR(V1 GET("/hold")));
	wait_held(&rig, 1);
	assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	client_close(&client);
	wait_connections(&rig, 0);
	assert_true(str_is(rig.held[0]->peer, "198.51.100.7"));
	rig_release(&rig, "{}");
	rig_finish(&rig);
}

static void test_counted_as_bad(void **state)
{
	struct client client;
	struct rig rig;

	(void)state;
	rig_init(&rig, NULL);
	listen_proxied(&rig, "127.0.0.1:0");
	client_open(&rig, &client);
	client_send(&rig, &client, STR(GET("/")));
	wait_connections(&rig, 1);
	wait_connections(&rig, 0);
	assert_int_equal(rig_metric(&rig, "osbd_http_bad_requests_total"), 1);
	assert_int_equal(rig.handled, 0);
	client_look(&client);
	assert_int_equal(client.got.n, 0);
	client_close(&client);
	rig_finish(&rig);
}

/* A descriptor that somebody else has opened belongs to the server from then on. */
static void test_given_descriptor(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), plain = socket(AF_INET, SOCK_STREAM, 0);
	struct client client;
	char address[24], bound[64];
	struct rig rig;
	struct err err;

	(void)state;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 8), 0);
	rig_init(&rig, NULL);
	snprintf(address, sizeof(address), "fd:%d", fd);
	rig_listen(&rig, address, "/");
	assert_int_equal(strncmp(rig.bound, "127.0.0.1:", 10), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	client_open(&rig, &client);
	client_send(&rig, &client, STR(GET("/")));
	assert_true(client_answer(&rig, &client, false));
	assert_int_equal(client.status, 200);
	client_close(&client);
	snprintf(address, sizeof(address), "fd:%d", plain);
	assert_int_equal(
		http_server_listen(rig.server, address, "/", NULL, bound, sizeof(bound), &err),
		ERR_INVALID);
	assert_int_equal(close(plain), 0); /* it is still the caller's */
	assert_int_equal(
		http_server_listen(rig.server, "fd:x", "/", NULL, bound, sizeof(bound), &err),
		ERR_INVALID);
	rig_finish(&rig);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_destroyed_before),
		cmocka_unit_test(test_peer_outlives_connection),
		cmocka_unit_test(test_counted_as_bad),
		cmocka_unit_test(test_given_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
