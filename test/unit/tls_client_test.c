/* SPDX-License-Identifier: Apache-2.0 */
/* Our client against our server: whom it trusts, what it says when it does not, files that are
 * wrong. */
#include "tls_world.h"

#define ROOM (1u << 20)

static struct tls_config *client_config(const char *ca, const char *name)
{
	struct tls_client_options options = { .ca = ca ? cert(ca) : NULL };
	struct tls_config *config;
	struct err err;

	if (name)
		options.pair = files_of(name);
	if (tls_client_config(&options, &config, &err) != 0)
		fail_msg("%s", err.text);
	return config;
}

/* Joins a client of ours to what serve() has made. */
static void dial(struct world *w, struct tls_config *config, const char *host)
{
	struct tls_stream_options options = { .loop = &w->loop,
					      .budget = &w->budget,
					      .config = config,
					      .host = host,
					      .on_ready = side_ready };

	memset(&w->client, 0, sizeof(w->client));
	side_take(&w->client, tls_stream_create(&options, &w->ends[0].stream));
	stream_read_start(w->client.stream);
}

static void test_there_and_back(void **state)
{
	static char big[200000];
	struct str early = STR("written before the handshake "), parts[] = { { big, sizeof(big) } };
	int version;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (version = 12; version <= 13; version++) {
		struct tls_config *server, *client;
		struct world w;
		int i;

		world_init(&w, false);
		server = server_config(&w, "one", "ca.pem", TLS_CLIENTS_REQUIRED, version);
		client = client_config("ca.pem", "alice");
		if (version == 12)
			mbedtls_ssl_conf_max_tls_version(&client->conf, MBEDTLS_SSL_VERSION_TLS1_2);
		serve(&w, server, 5000);
		dial(&w, client, "one.test");
		assert_int_equal(stream_write(w.client.stream, &early, 1), STREAM_LATER);
		assert_int_equal(w.client.ready, 0); /* never from inside */
		turns(&w, 40);
		assert_int_equal(w.client.ready, 1);
		assert_int_equal(w.client.ready_status, 0);
		assert_int_equal(w.client.written, 1);
		assert_string_equal(w.server.got.p, early.p);
		assert_string_equal(tls_stream_version(w.client.stream),
				    version == 12 ? "TLSv1.2" : "TLSv1.3");
		assert_true(str_is(stream_peer(w.server.stream)->names[0], "alice"));
		assert_true(str_is(stream_peer(w.client.stream)->names[1], "one.test"));
		/* the tickets that come first are not taken for data, nor for an error */
		assert_int_equal(stream_write(w.server.stream, parts, 1), STREAM_LATER);
		for (i = 0; i < 500 && !w.server.written; i++)
			turns(&w, 1);
		turns(&w, 20);
		assert_int_equal(w.client.got.n, sizeof(big));
		assert_int_equal(w.client.ended, 0);
		stream_shutdown(w.client.stream);
		turns(&w, 8);
		assert_int_equal(w.server.ended, 1);
		assert_int_equal(w.server.status, 0);
		assert_int_equal(stream_write(w.server.stream, &early, 1), 0); /* half closed */
		turns(&w, 8);
		assert_int_equal(w.client.got.n, sizeof(big) + early.n);
		stream_shutdown(w.server.stream);
		turns(&w, 8);
		assert_int_equal(w.client.ended, 1);
		assert_int_equal(w.client.status, 0);
		part(&w);
		tls_config_unref(server);
		tls_config_unref(client);
		world_finish(&w);
	}
}

/* Tickets and data that come in one piece: the data does not wait for what comes next. */
static void test_behind_a_ticket(void **state)
{
	struct tls_config *server, *client;
	struct str text = STR("behind");
	struct world w;

	(void)state;
	world_init(&w, false);
	server = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	client = client_config("ca.pem", NULL);
	serve(&w, server, ROOM);
	dial(&w, client, "one.test");
	stream_read_stop(w.client.stream);
	turns(&w, 40);
	assert_int_equal(w.client.ready_status, 0);
	assert_int_equal(stream_write(w.server.stream, &text, 1), 0);
	turns(&w, 10);
	assert_int_equal(w.client.got.n, 0);
	stream_read_start(w.client.stream);
	turns(&w, 10);
	assert_int_equal(w.client.got.n, text.n);
	part(&w);
	tls_config_unref(server);
	tls_config_unref(client);
	world_finish(&w);
}

/* Each peer that must not be trusted, and the reason. */
static void test_reasons(void **state)
{
	static const struct {
		const char *server, *host, *ca, *why; /* NULL: trusted */
	} rows[] = {
		{ "one", "one.test", "ca.pem", NULL },
		{ "one", "ONE.test", "ca.pem", NULL },
		{ "one", "127.0.0.1", "ca.pem", NULL },
		{ "one", "::1", "ca.pem", NULL },
		{ "one", "other.test", "ca.pem",
		  "it is for one.test, localhost, not for other.test" },
		{ "one", "127.0.0.2", "ca.pem", "not for 127.0.0.2" },
		{ "one", "one.test.evil", "ca.pem", "not for one.test.evil" },
		{ "stranger", "one.test", "ca.pem",
		  "signed by \"other\", which is not trusted here" },
		{ "one", "one.test", "other.pem", "signed by \"ca\", which is not trusted here" },
		{ "one", "one.test", NULL, "signed by \"ca\", which is not trusted here" },
		{ "self", "one.test", "ca.pem", "self-signed and not trusted here" },
		{ "self", "one.test", "self.pem", NULL },
		{ "past", "one.test", "ca.pem", "it expired on 2021-01-01 00:00:00 UTC" },
		{ "far", "one.test", "ca.pem",
		  "not yet valid, its time begins on 2045-01-01 00:00:00 UTC" },
		{ "past", "two", "other.pem", "it expired on 2021" },
		{ "past", "two", "other.pem", "it is for one.test, not for two" },
		{ "past", "two", "other.pem", "signed by \"ca\"" },
	};
	int version;
	size_t i;

	(void)state;
	for (version = 12; version <= 13; version++) {
		for (i = 0; i < ARRAY_LEN(rows); i++) {
			struct tls_config *server, *client;
			struct world w;

			world_init(&w, false);
			server = server_config(&w, rows[i].server, NULL, TLS_CLIENTS_OPTIONAL, 0);
			client = client_config(rows[i].ca, NULL);
			if (version == 12)
				mbedtls_ssl_conf_max_tls_version(&client->conf,
								 MBEDTLS_SSL_VERSION_TLS1_2);
			serve(&w, server, ROOM);
			dial(&w, client, rows[i].host);
			turns(&w, 40);
			assert_int_equal(w.client.ready, 1);
			if (rows[i].why) {
				assert_int_equal(w.client.ready_status, ERR_ACCESS);
				assert_int_equal(w.client.status, ERR_ACCESS);
				if (!strstr(w.client.why, rows[i].why))
					fail_msg("row %zu: %s", i, w.client.why);
				assert_int_equal(w.client.got.n, 0);
				/* the server hears why in an alert */
				assert_int_equal(w.server.ended, 1);
				assert_true(w.server.status < 0);
			} else {
				if (w.client.ready_status)
					fail_msg("row %zu: %s", i, w.client.why);
				assert_int_equal(w.client.ended, 0);
			}
			part(&w);
			tls_config_unref(server);
			tls_config_unref(client);
			world_finish(&w);
		}
	}
}

/* A server that refuses our certificate says so; with TLS 1.3 when we are in already, which is not
 * tried here: mbedTLS as a server sends that alert under a key that is no longer in use. */
static void test_refused_by_the_server(void **state)
{
	struct tls_config *server, *client;
	struct str text = STR("hello");
	struct world w;
	int rc;

	(void)state;
	world_init(&w, false);
	server = server_config(&w, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
	client = client_config("ca.pem", "mallory");
	mbedtls_ssl_conf_max_tls_version(&client->conf, MBEDTLS_SSL_VERSION_TLS1_2);
	serve(&w, server, ROOM);
	dial(&w, client, "one.test");
	rc = stream_write(w.client.stream, &text, 1);
	assert_int_equal(rc, STREAM_LATER);
	turns(&w, 40);
	assert_int_equal(w.server.status, ERR_ACCESS);
	assert_int_equal(w.client.ended, 1);
	assert_int_equal(w.client.status, ERR_ACCESS);
	assert_non_null(strstr(w.client.why, "alert"));
	part(&w);
	tls_config_unref(server);
	tls_config_unref(client);
	world_finish(&w);
}

/* A server that says nothing, or something else. */
static void test_not_tls(void **state)
{
	static const char *const replies[] = { NULL, "HTTP/1.1 400 Bad Request\r\n\r\n" };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct tls_config *client;
		struct world w;

		world_init(&w, true);
		client = client_config("ca.pem", NULL);
		stream_pair(&w.loop, &w.ends[0], &w.ends[1], ROOM);
		w.ends[1].stream.on_closed = ignore_closed;
		dial(&w, client, "one.test");
		if (replies[i]) {
			struct str reply = str_of(replies[i]);

			assert_int_equal(stream_write(&w.ends[1].stream, &reply, 1), 0);
		}
		while (!w.client.ended && loop_turn(&w.loop))
			;
		assert_int_equal(w.client.ready, 1);
		assert_int_equal(w.client.status, replies[i] ? ERR_SYNTAX : ERR_TIMEDOUT);
		stream_close(&w.ends[1].stream);
		part(&w);
		tls_config_unref(client);
		world_finish(&w);
	}
}

/* Closed at every point of a handshake: nothing is called any more, nothing is left. */
static void test_closed_early(void **state)
{
	int n;

	(void)state;
	for (n = 0; n < 16; n++) {
		struct tls_config *server, *client;
		struct world w;

		world_init(&w, false);
		server = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
		client = client_config("ca.pem", NULL);
		serve(&w, server, ROOM);
		dial(&w, client, "one.test");
		turns(&w, n);
		part(&w);
		tls_config_unref(server);
		tls_config_unref(client);
		world_finish(&w);
	}
}

/* -- files -------------------------------------------------------------------------------- */

static void refused(const char *certificate, const char *key, const char *ca, const char *suite,
		    int code, const char *file, const char *why)
{
	struct tls_files pair = { cert(certificate), cert(key) };
	struct str suites[] = { str_of(suite ? suite : "TLS_AES_128_GCM_SHA256") };
	struct tls_server_options options = { .pairs = &pair,
					      .n_pairs = 1,
					      .client_ca = ca ? cert(ca) : NULL,
					      .suites = suites,
					      .n_suites = 1 };
	struct tls_config *config = NULL;
	struct err err = { 0 };

	assert_int_equal(tls_server_config(&options, &config, &err), code);
	assert_null(config);
	if (!strstr(err.text, file) || !strstr(err.text, why))
		fail_msg("%s", err.text);
	assert_null(strstr(err.text, "BEGIN"));
}

static void test_files(void **state)
{
	struct tls_client_options options = { .ca = cert("no.pem") };
	struct tls_config *config;
	struct err err;

	(void)state;
	refused("one.pem", "two.key", NULL, NULL, ERR_INVALID, "two.key",
		"this key does not belong to");
	refused("one.pem", "rsa.key", NULL, NULL, ERR_INVALID, "rsa.key",
		"this key does not belong to");
	refused("alice.pem", "alice.key", NULL, NULL, ERR_INVALID, "alice.pem", "not for servers");
	refused("one.pem", "no.key", NULL, NULL, ERR_NOENT, "no.key", "");
	refused("no.pem", "one.key", NULL, NULL, ERR_NOENT, "no.pem", "");
	refused("one.key", "one.key", NULL, NULL, ERR_SYNTAX, "one.key", "holds no certificate");
	refused("one.pem", "one.pem", NULL, NULL, ERR_SYNTAX, "one.pem", "holds no key");
	refused("one.pem", "locked.key", NULL, NULL, ERR_INVALID, "locked.key", "passphrase");
	refused("one.pem", "one.key", "one.key", NULL, ERR_SYNTAX, "one.key",
		"holds no certificate");
	refused("one.pem", "one.key", NULL, "TLS_RSA_WITH_AES_128_CBC_SHA", ERR_INVALID, "",
		"there is no suite \"TLS_RSA_WITH_AES_128_CBC_SHA\"");
	assert_int_equal(tls_client_config(&options, &config, &err), ERR_NOENT);
	options.ca = NULL; /* the system's */
	assert_int_equal(tls_client_config(&options, &config, &err), 0);
	tls_config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_behind_a_ticket),
		cmocka_unit_test(test_reasons),        cmocka_unit_test(test_refused_by_the_server),
		cmocka_unit_test(test_not_tls),        cmocka_unit_test(test_closed_early),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
