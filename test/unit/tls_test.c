/* SPDX-License-Identifier: Apache-2.0 */
/* A server's TLS over memory: handshakes that go well and those that do not, data, ends. */
#include "tls_world.h"

#define ROOM (1u << 20)

static void both_ways(int version)
{
	struct world w;
	struct raw raw;
	struct tls_config *config;

	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	serve(&w, config, ROOM);
	w.server.echo = true;
	raw_init(&raw, &w, "one.test", version, NULL);
	raw_join(&raw);
	assert_int_equal(raw_shake(&raw), 0);
	assert_string_equal(tls_stream_version(w.server.stream),
			    version == 12 ? "TLSv1.2" : "TLSv1.3");
	assert_string_equal(mbedtls_ssl_get_version(&raw.ssl),
			    version == 12 ? "TLSv1.2" : "TLSv1.3");
	assert_false(tls_stream_resumed(w.server.stream));
	assert_null(stream_peer(w.server.stream));
	assert_int_equal(w.budget.results[TLS_FULL].value, 1);
	raw_write(&raw, "hello");
	assert_string_equal(w.server.got.p, "hello");
	raw_read(&raw, NULL);
	assert_string_equal(buf_str(&raw.got).p, "hello");
	/* each says that it ends, and the other hears it */
	mbedtls_ssl_close_notify(&raw.ssl);
	turns(&w, 8);
	assert_int_equal(w.server.ended, 1);
	assert_int_equal(w.server.status, 0);
	stream_shutdown(w.server.stream);
	assert_int_equal(raw_read(&raw, NULL), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
	assert_true(raw.eof);
	part(&w);
	raw_finish(&raw);
	tls_config_unref(config);
	world_finish(&w);
}

static void test_tls12(void **state)
{
	(void)state;
	both_ways(12);
}

static void test_tls13(void **state)
{
	(void)state;
	both_ways(13);
}

static void test_close_says_bye(void **state)
{
	struct world w;
	struct raw raw;
	struct tls_config *config;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	serve(&w, config, ROOM);
	raw_init(&raw, &w, "one.test", 13, NULL);
	raw_join(&raw);
	assert_int_equal(raw_shake(&raw), 0);
	stream_close(w.server.stream);
	turns(&w, 4);
	assert_int_equal(w.server.closed, 1);
	w.server.stream = NULL;
	assert_int_equal(raw_read(&raw, NULL), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
	part(&w);
	raw_finish(&raw);
	tls_config_unref(config);
	world_finish(&w);
}

/* Somebody in the middle who cuts the connection must not pass for the end of the data. */
static void test_cut(void **state)
{
	struct world w;
	struct raw raw;
	struct tls_config *config;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	serve(&w, config, ROOM);
	raw_init(&raw, &w, "one.test", 13, NULL);
	raw_join(&raw);
	assert_int_equal(raw_shake(&raw), 0);
	raw_write(&raw, "half of ");
	stream_shutdown(&w.ends[0].stream);
	turns(&w, 8);
	assert_string_equal(w.server.got.p, "half of ");
	assert_int_equal(w.server.ended, 1);
	assert_int_equal(w.server.status, ERR_CLOSED);
	part(&w);
	raw_finish(&raw);
	tls_config_unref(config);
	world_finish(&w);
}

static const char *leaf_for(struct world *w, struct tls_config *config, const char *host,
			    char *name, size_t size)
{
	const mbedtls_x509_crt *leaf;
	struct raw raw;

	serve(w, config, ROOM);
	raw_init(&raw, w, host, 13, NULL);
	mbedtls_ssl_conf_authmode(&raw.conf, MBEDTLS_SSL_VERIFY_NONE);
	raw_join(&raw);
	assert_int_equal(raw_shake(&raw), 0);
	leaf = mbedtls_ssl_get_peer_cert(&raw.ssl);
	mbedtls_x509_dn_gets(name, size, &leaf->subject);
	part(w);
	raw_finish(&raw);
	return name;
}

static void test_sni(void **state)
{
	static const struct {
		const char *host, *name;
	} rows[] = {
		{ "one.test", "O=osbd, CN=one" },
		{ "two.test", "O=osbd, CN=two" },
		{ "TWO.test", "O=osbd, CN=two" },
		{ "a.wild.test", "O=osbd, CN=two" },
		{ "a.b.wild.test", "O=osbd, CN=one" }, /* the star is one label */
		{ "wild.test", "O=osbd, CN=one" },
		{ "rsa.test", "O=osbd, CN=rsa" },
		{ "unknown.test", "O=osbd, CN=one" }, /* the first is for everybody else */
		{ NULL, "O=osbd, CN=one" },
	};
	struct tls_config *config;
	struct world w;
	char name[128];
	size_t i;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(leaf_for(&w, config, rows[i].host, name, sizeof(name)),
				    rows[i].name);
	tls_config_unref(config);
	world_finish(&w);
}

/* What the server does not have is not negotiated. */
static void test_nothing_in_common(void **state)
{
	static const int cbc[] = { MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
				   MBEDTLS_TLS_RSA_WITH_AES_128_GCM_SHA256, 0 };
	static const uint16_t large[] = { MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, 0 };
	static const char *h2[] = { "h2", NULL };
	struct tls_config *config, *modern;
	struct world w;
	int what;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	modern = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 13);
	for (what = 0; what < 6; what++) {
		struct raw raw;

		serve(&w, what == 5 ? modern : config, ROOM);
		raw_init(&raw, &w, "one.test", what == 1 || what == 2 ? 13 : 12, NULL);
		if (what == 0)
			mbedtls_ssl_conf_ciphersuites(&raw.conf, cbc);
		if (what == 1 || what == 3)
			mbedtls_ssl_conf_groups(&raw.conf, large);
		if (what == 2 || what == 4)
			mbedtls_ssl_conf_alpn_protocols(&raw.conf, h2);
		raw_join(&raw);
		if (raw_shake(&raw) != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
			fail_msg("what %d: -0x%x, server ended %d %s", what, -raw.rc,
				 w.server.ended, w.server.why);
		assert_int_equal(w.server.ended, 1);
		assert_int_equal(w.server.status, ERR_SYNTAX);
		assert_true(w.server.why[0]);
		part(&w);
		raw_finish(&raw);
	}
	assert_int_equal(w.budget.results[TLS_FAILED].value, 6);
	tls_config_unref(config);
	tls_config_unref(modern);
	world_finish(&w);
}

/* A client that can do the largest group, too, does not get it: it costs twice as much. */
static void test_groups(void **state)
{
	static const uint16_t mine[] = { MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
					 MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, 0 };
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		struct tls_config *config;
		struct world w;
		struct raw raw;

		world_init(&w, false);
		config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
		serve(&w, config, ROOM);
		raw_init(&raw, &w, "one.test", version, NULL);
		mbedtls_ssl_conf_groups(&raw.conf, mine);
		raw_join(&raw);
		assert_int_equal(raw_shake(&raw), 0);
		/* a share or a point of P-521 has 133 bytes, and would stand in what came */
		if (version == 12)
			assert_null(memmem(raw.in.p, raw.in.n, "\x03\x00\x19\x85", 4));
		else
			assert_null(memmem(raw.in.p, raw.in.n, "\x00\x19\x00\x85", 4));
		if (version == 12)
			assert_non_null(memmem(raw.in.p, raw.in.n, "\x03\x00\x17\x41", 4));
		else
			assert_non_null(memmem(raw.in.p, raw.in.n, "\x00\x17\x00\x41", 4));
		part(&w);
		raw_finish(&raw);
		tls_config_unref(config);
		world_finish(&w);
	}
}

/* -- bad peers -------------------------------------------------------------------------- */

static void send_raw(struct world *w, const void *p, size_t n)
{
	struct str part = str_make(p, n);

	if (w->ends[0].peer)
		assert_int_equal(stream_write(&w->ends[0].stream, &part, 1), 0);
}

static void test_garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\x80\x2e\x01\x00\x02", 5 },     /* SSL 2 */
		{ "\x16\x02\x00\x00\x01\x00", 6 }, /* no such version */
		{ "\x16\x03\x01\xff\xff\x00", 6 }, /* longer than any record */
		{ "\x17\x03\x03\x00\x02"
		  "ab",
		  7 },                                         /* data before the handshake */
		{ "\x15\x03\x03\x00\x02\x02\x28", 7 },         /* an alert */
		{ "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9 }, /* an empty hello */
		{ "\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9 }, /* of a server */
	};
	struct tls_config *config;
	struct world w;
	size_t i;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct raw raw = { .w = &w };

		serve(&w, config, ROOM);
		raw_join(&raw);
		send_raw(&w, rows[i].bytes, rows[i].n);
		turns(&w, 10);
		assert_int_equal(w.server.ended, 1);
		assert_true(w.server.status < 0);
		assert_true(w.server.why[0]);
		if (i < 5) { /* a fatal alert in reply */
			assert_true(raw.in.n >= 7);
			assert_int_equal(raw.in.p[0], 0x15);
			assert_int_equal(raw.in.p[5], 2);
		}
		part(&w);
		buf_finish(&raw.in);
	}
	tls_config_unref(config);
	world_finish(&w);
}

/* Whoever dribbles costs nothing but the bytes, and ends by the deadline. */
static void test_dribble(void **state)
{
	static const unsigned char head[] = { 0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc };
	struct tls_config *config;
	struct world w;
	struct raw raw = { .w = &w };
	uint64_t begun;
	int i;

	(void)state;
	world_init(&w, true);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	serve(&w, config, ROOM);
	raw_join(&raw);
	begun = loop_now(&w.loop);
	for (i = 0; i < 9; i++) {
		send_raw(&w, head + i, 1);
		turns(&w, 3);
		assert_int_equal(w.server.ended, 0);
		assert_int_equal(w.budget.n_open, 0);
	}
	until_ended(&w);
	assert_int_equal(w.server.status, ERR_TIMEDOUT);
	assert_int_equal(loop_now(&w.loop) - begun, TLS_HANDSHAKE_MS);
	part(&w);
	buf_finish(&raw.in);
	tls_config_unref(config);
	world_finish(&w);
}

/* A handshake that stops half way, and one that is cut there. */
static void test_half_way(void **state)
{
	int cut;

	(void)state;
	for (cut = 0; cut < 2; cut++) {
		struct tls_config *config;
		struct world w;
		struct raw raw;

		world_init(&w, true);
		config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
		serve(&w, config, ROOM);
		raw_init(&raw, &w, "one.test", 13, NULL);
		raw_join(&raw);
		assert_int_equal(mbedtls_ssl_handshake(&raw.ssl), MBEDTLS_ERR_SSL_WANT_READ);
		turns(&w, 6);
		assert_int_equal(w.budget.n_open, 1);
		assert_true(raw.in.n > 500); /* the server's flight */
		if (cut)
			stream_shutdown(&w.ends[0].stream);
		until_ended(&w);
		assert_int_equal(w.server.status, cut ? ERR_CLOSED : ERR_TIMEDOUT);
		assert_int_equal(w.budget.n_open, 0);
		part(&w);
		raw_finish(&raw);
		tls_config_unref(config);
		world_finish(&w);
	}
}

/* Broken at every byte of a real handshake: never accepted, and nothing is left behind. */
static void test_flipped(void **state)
{
	struct tls_config *config;
	struct world w;
	struct buf hello = { 0 };
	size_t i;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	{
		struct raw raw;

		stream_pair(&w.loop, &w.ends[0], &w.ends[1], ROOM);
		raw_init(&raw, &w, "one.test", 13, NULL);
		raw_setup(&raw);
		mbedtls_ssl_handshake(&raw.ssl);
		buf_put(&hello, w.ends[1].in.p, w.ends[1].in.n);
		raw_finish(&raw);
		w.ends[1].stream.on_closed = ignore_closed;
		stream_close(&w.ends[1].stream);
		part(&w);
	}
	for (i = 0; i < hello.n; i += 3) {
		struct raw raw = { .w = &w };

		serve(&w, config, ROOM);
		raw_join(&raw);
		hello.p[i] = (char)(hello.p[i] ^ 0x55);
		send_raw(&w, hello.p, hello.n);
		hello.p[i] = (char)(hello.p[i] ^ 0x55);
		turns(&w, 4);
		stream_shutdown(&w.ends[0].stream);
		turns(&w, 4);
		assert_int_equal(w.server.ended, 1);
		assert_true(w.server.status < 0);
		part(&w);
		buf_finish(&raw.in);
	}
	buf_finish(&hello);
	tls_config_unref(config);
	world_finish(&w);
}

/* -- the budget ------------------------------------------------------------------------- */

#define MANY 12

static void test_cap_per_turn(void **state)
{
	struct tls_config *config;
	struct world w[MANY], *first = &w[0];
	struct raw raw[MANY];
	size_t before = 0;
	int i, turn = 0;

	(void)state;
	world_init(first, false);
	config = server_config(first, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	for (i = 0; i < MANY; i++) {
		struct tls_stream_options options = { .loop = &first->loop,
						      .budget = &first->budget,
						      .config = config };

		if (i)
			memset(&w[i], 0, sizeof(w[i]));
		stream_pair(&first->loop, &w[i].ends[0], &w[i].ends[1], ROOM);
		side_take(&w[i].server, tls_stream_create(&options, &w[i].ends[1].stream));
		stream_read_start(w[i].server.stream);
		raw_init(&raw[i], &w[i], "one.test", 13, NULL);
		raw_join(&raw[i]);
		mbedtls_ssl_handshake(&raw[i].ssl);
	}
	/* all hellos are there: each turn may begin two handshakes */
	while (first->budget.n_open < MANY) {
		uv_run(&first->loop.uv, UV_RUN_NOWAIT);
		assert_true(first->budget.n_open - before <= TLS_PER_TURN);
		before = first->budget.n_open;
		assert_true(++turn < 4 * MANY);
	}
	assert_true(turn >= MANY / TLS_PER_TURN);
	for (turn = 0; turn < 50; turn++) {
		uv_run(&first->loop.uv, UV_RUN_NOWAIT);
		for (i = 0; i < MANY; i++)
			mbedtls_ssl_handshake(&raw[i].ssl);
	}
	assert_int_equal(first->budget.results[TLS_FULL].value, MANY);
	for (i = MANY - 1; i >= 0; i--) {
		stream_close(w[i].server.stream);
		stream_close(&w[i].ends[0].stream);
	}
	turns(first, 4);
	for (i = 0; i < MANY; i++) {
		assert_int_equal(w[i].server.closed, 1);
		raw_finish(&raw[i]);
	}
	tls_config_unref(config);
	world_finish(first);
}

/* The oldest of too many goes, and the others do not wait for it. */
static void test_evicts_the_oldest(void **state)
{
	struct tls_config *config;
	struct world w[4], *first = &w[0];
	struct raw raw[4];
	int i;

	(void)state;
	world_init(first, false);
	first->budget.max_open = 3;
	config = server_config(first, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	for (i = 0; i < 4; i++) {
		struct tls_stream_options options = { .loop = &first->loop,
						      .budget = &first->budget,
						      .config = config };

		if (i)
			memset(&w[i], 0, sizeof(w[i]));
		stream_pair(&first->loop, &w[i].ends[0], &w[i].ends[1], ROOM);
		side_take(&w[i].server, tls_stream_create(&options, &w[i].ends[1].stream));
		stream_read_start(w[i].server.stream);
		raw_init(&raw[i], &w[i], "one.test", 13, NULL);
		raw_join(&raw[i]);
		mbedtls_ssl_handshake(&raw[i].ssl);
		turns(first, 4);
	}
	assert_int_equal(first->budget.n_open, 3);
	assert_int_equal(w[0].server.ended, 1);
	assert_int_equal(w[0].server.status, ERR_FULL);
	for (i = 1; i < 4; i++)
		assert_int_equal(w[i].server.ended, 0);
	for (i = 0; i < 4; i++) {
		stream_close(w[i].server.stream);
		stream_close(&w[i].ends[0].stream);
	}
	turns(first, 4);
	for (i = 0; i < 4; i++)
		raw_finish(&raw[i]);
	tls_config_unref(config);
	world_finish(first);
}

/* -- data ------------------------------------------------------------------------------- */

static void test_back_pressure(void **state)
{
	static char big[600000];
	struct str parts[] = { STR("head "), { big, sizeof(big) }, STR(" tail") };
	struct tls_config *config;
	struct world w;
	struct raw raw;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 23);
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	serve(&w, config, 10000);
	raw_init(&raw, &w, "one.test", 13, NULL);
	raw_join(&raw);
	assert_int_equal(raw_shake(&raw), 0);
	stream_read_stop(&w.ends[0].stream);
	assert_int_equal(stream_write(w.server.stream, parts, 3), STREAM_LATER);
	turns(&w, 50);
	assert_int_equal(w.server.written, 0);
	stream_read_start(&w.ends[0].stream);
	for (i = 0; i < 40 && !w.server.written; i++)
		raw_read(&raw, NULL);
	raw_read(&raw, NULL);
	assert_int_equal(w.server.written, 1);
	assert_int_equal(w.server.written_status, 0);
	assert_int_equal(raw.got.n, sizeof(big) + 10);
	assert_memory_equal(raw.got.p, "head ", 5);
	assert_memory_equal(raw.got.p + 5, big, sizeof(big));
	assert_memory_equal(raw.got.p + 5 + sizeof(big), " tail", 5);
	/* and the other way: who does not read keeps it with the peer */
	stream_read_stop(w.server.stream);
	raw_write(&raw, "first ");
	raw_write(&raw, "second");
	assert_int_equal(w.server.got.n, 0);
	stream_read_start(w.server.stream);
	assert_int_equal(w.server.got.n, 0); /* never from inside the caller */
	turns(&w, 8);
	assert_string_equal(w.server.got.p, "first second");
	part(&w);
	raw_finish(&raw);
	tls_config_unref(config);
	world_finish(&w);
}

/* Small parts of one answer are one record, not one each. */
static void test_one_record(void **state)
{
	struct str parts[] = { STR("HTTP/1.1 200 OK\r\n"), STR(""), STR("\r\n"), STR("{}") };
	struct tls_config *config;
	struct world w;
	struct raw raw;
	size_t before;

	(void)state;
	world_init(&w, false);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	serve(&w, config, ROOM);
	raw_init(&raw, &w, "one.test", 13, NULL);
	raw_join(&raw);
	assert_int_equal(raw_shake(&raw), 0);
	before = raw.in.n;
	assert_int_equal(stream_write(w.server.stream, parts, 4), 0);
	turns(&w, 4);
	assert_int_equal(raw.in.n - before, 5 + 21 + 1 + 16 + (16 - 22 % 16) % 16);
	part(&w);
	raw_finish(&raw);
	tls_config_unref(config);
	world_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls12),
		cmocka_unit_test(test_tls13),
		cmocka_unit_test(test_close_says_bye),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_sni),
		cmocka_unit_test(test_nothing_in_common),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_dribble),
		cmocka_unit_test(test_half_way),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_cap_per_turn),
		cmocka_unit_test(test_evicts_the_oldest),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_one_record),
	};

	return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
