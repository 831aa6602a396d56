/* SPDX-License-Identifier: Apache-2.0 */
/* Mutual TLS, tickets, and what a ticket must not carry over: an identity that was never proved,
 * a client CA that is no more, an age beyond its time. */
#include "tls_world.h"

#define ROOM (1u << 20)

/* One connection with an answer, so that tickets arrive. NULL names: nobody. */
struct result {
	int rc; /* the client's handshake */
	bool resumed, named;
	char names[256];
	int status;
	char why[TLS_WHY_MAX];
};

static struct result meet(struct world *w, struct tls_config *config, int version,
			  const char *client, mbedtls_ssl_session *use, mbedtls_ssl_session *keep)
{
	struct result result = { 0 };
	const struct stream_peer *peer;
	struct raw raw;
	size_t i;

	serve(w, config, ROOM);
	w->server.echo = true;
	raw_init(&raw, w, "one.test", version, client);
	raw_join(&raw);
	if (use)
		assert_int_equal(mbedtls_ssl_set_session(&raw.ssl, use), 0);
	result.rc = raw_shake(&raw);
	if (!w->server.ended) {
		raw_write(&raw, "hello");
		raw_read(&raw, keep);
	}
	if (!w->server.ended) {
		assert_string_equal(raw.got.p, "hello");
		if (keep && version == 12)
			assert_int_equal(mbedtls_ssl_get_session(&raw.ssl, keep), 0);
		result.resumed = tls_stream_resumed(w->server.stream);
		peer = stream_peer(w->server.stream);
		result.named = peer != NULL;
		for (i = 0; peer && i < peer->n_names; i++)
			snprintf(result.names + strlen(result.names),
				 sizeof(result.names) - strlen(result.names), "%.*s ",
				 STR_ARG(peer->names[i]));
	}
	result.status = w->server.status;
	snprintf(result.why, sizeof(result.why), "%s", w->server.why);
	part(w);
	raw_finish(&raw);
	return result;
}

#define ALICE "alice alice@osbd.test spiffe://osbd/alice "

static void test_mutual(void **state)
{
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		struct tls_config *required, *optional;
		struct result r;
		struct world w;

		world_init(&w, false);
		required = server_config(&w, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		optional = server_config(&w, "one", "ca.pem", TLS_CLIENTS_OPTIONAL, 0);
		r = meet(&w, required, version, "alice", NULL, NULL);
		assert_int_equal(r.rc, 0);
		assert_string_equal(r.names, ALICE);
		r = meet(&w, optional, version, "bob", NULL, NULL);
		assert_string_equal(r.names, "bob bob.test ");
		r = meet(&w, optional, version, NULL, NULL, NULL);
		assert_int_equal(r.rc, 0);
		assert_int_equal(r.status, 0);
		assert_false(r.named);
		r = meet(&w, required, version, NULL, NULL, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		/* a wrong one is refused, also where none is demanded */
		r = meet(&w, required, version, "mallory", NULL, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		assert_non_null(strstr(r.why, "\"mallory\""));
		assert_non_null(strstr(r.why, "signed by \"other\", which is not trusted here"));
		r = meet(&w, optional, version, "mallory", NULL, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		r = meet(&w, optional, version, "past", NULL, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		assert_non_null(strstr(r.why, "expired on 2021-01-01"));
		r = meet(&w, optional, version, "server-only", NULL, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		tls_config_unref(required);
		tls_config_unref(optional);
		world_finish(&w);
	}
}

static void test_resumes(void **state)
{
	int version, i;

	(void)state;
	for (version = 12; version <= 13; version++) {
		mbedtls_ssl_session session;
		struct tls_config *config;
		struct result r;
		struct world w;

		world_init(&w, false);
		mbedtls_ssl_session_init(&session);
		config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
		r = meet(&w, config, version, NULL, NULL, &session);
		assert_false(r.resumed);
		for (i = 0; i < 3; i++) {
			r = meet(&w, config, version, NULL, &session, NULL);
			assert_int_equal(r.rc, 0);
			assert_true(r.resumed);
			assert_false(r.named);
		}
		assert_int_equal(w.budget.results[TLS_RESUMED].value, 3);
		assert_int_equal(w.budget.results[TLS_FULL].value, 1);
		mbedtls_ssl_session_free(&session);
		tls_config_unref(config);
		world_finish(&w);
	}
}

/* A resumed session shows no certificate: who it is must come from the ticket. */
static void test_identity_survives(void **state)
{
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		mbedtls_ssl_session first, second;
		struct tls_config *config;
		struct result r;
		struct world w;

		world_init(&w, false);
		mbedtls_ssl_session_init(&first);
		mbedtls_ssl_session_init(&second);
		config = server_config(&w, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		meet(&w, config, version, "alice", NULL, &first);
		r = meet(&w, config, version, "alice", &first, &second);
		assert_int_equal(r.rc, 0);
		assert_true(r.resumed);
		assert_string_equal(r.names, ALICE);
		/* and from the ticket of that one */
		r = meet(&w, config, version, NULL, &second, NULL);
		assert_true(r.resumed);
		assert_string_equal(r.names, ALICE);
		mbedtls_ssl_session_free(&first);
		mbedtls_ssl_session_free(&second);
		tls_config_unref(config);
		world_finish(&w);
	}
}

/* Who resumes as nobody stays nobody, and a ticket that is turned down leaves nothing behind. */
static void test_identity_is_not_invented(void **state)
{
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		mbedtls_ssl_session nobody, alice;
		struct tls_config *optional, *required, *open;
		struct result r;
		struct world w;

		world_init(&w, false);
		mbedtls_ssl_session_init(&nobody);
		mbedtls_ssl_session_init(&alice);
		open = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
		optional = server_config(&w, "one", "ca.pem", TLS_CLIENTS_OPTIONAL, 0);
		required = server_config(&w, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		meet(&w, optional, version, NULL, NULL, &nobody);
		r = meet(&w, optional, version, NULL, &nobody, NULL);
		assert_true(r.resumed);
		assert_false(r.named);
		/* tickets of listeners that ask for less do not open where more is asked */
		r = meet(&w, required, version, NULL, &nobody, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		mbedtls_ssl_session_free(&nobody);
		mbedtls_ssl_session_init(&nobody);
		meet(&w, open, version, NULL, NULL, &nobody);
		r = meet(&w, required, version, NULL, &nobody, NULL);
		assert_int_equal(r.status, ERR_ACCESS);
		/* with the ticket of one and the certificate of another: the certificate is looked at
		 * only when the ticket is not */
		meet(&w, optional, version, "alice", NULL, &alice);
		w.tickets.keys[0].secret[0] ^= 1;
		r = meet(&w, optional, version, "bob", &alice, NULL);
		assert_false(r.resumed);
		assert_string_equal(r.names, "bob bob.test ");
		r = meet(&w, optional, version, NULL, &alice, NULL);
		assert_false(r.resumed);
		assert_false(r.named);
		mbedtls_ssl_session_free(&nobody);
		mbedtls_ssl_session_free(&alice);
		tls_config_unref(open);
		tls_config_unref(optional);
		tls_config_unref(required);
		world_finish(&w);
	}
}

/* A ticket that opens but is turned down all the same, here for its age: what it says of the peer
 * goes with it. */
static void test_turned_down_later(void **state)
{
	mbedtls_ssl_session session;
	struct tls_config *config;
	struct result r;
	struct world w;

	(void)state;
	world_init(&w, true);
	mbedtls_ssl_session_init(&session);
	config = server_config(&w, "one", "ca.pem", TLS_CLIENTS_OPTIONAL, 0);
	meet(&w, config, 13, "alice", NULL, &session);
	r = meet(&w, config, 13, NULL, &session, NULL);
	assert_true(r.resumed);
	assert_string_equal(r.names, ALICE);
	w.loop.wall += MINUTES(1);
	r = meet(&w, config, 13, NULL, &session, NULL);
	assert_int_equal(r.rc, 0);
	assert_false(r.resumed);
	assert_false(r.named);
	r = meet(&w, config, 13, "bob", &session, NULL);
	assert_false(r.resumed);
	assert_string_equal(r.names, "bob bob.test ");
	mbedtls_ssl_session_free(&session);
	tls_config_unref(config);
	world_finish(&w);
}

/* After a change of the client CA its tickets are worth nothing, with the same keys. */
static void test_new_client_ca(void **state)
{
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		mbedtls_ssl_session session;
		struct tls_config *before, *after, *same;
		struct result r;
		struct world w;

		world_init(&w, false);
		mbedtls_ssl_session_init(&session);
		before = server_config(&w, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		after = server_config(&w, "one", "other.pem", TLS_CLIENTS_REQUIRED, 0);
		same = server_config(&w, "two", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		meet(&w, before, version, "alice", NULL, &session);
		r = meet(&w, after, version, "alice", &session, NULL);
		assert_false(r.resumed);
		assert_int_equal(r.status, ERR_ACCESS);
		/* a new certificate of our own changes nothing for the clients */
		r = meet(&w, same, version, "alice", &session, NULL);
		assert_true(r.resumed);
		assert_string_equal(r.names, ALICE);
		mbedtls_ssl_session_free(&session);
		tls_config_unref(before);
		tls_config_unref(after);
		tls_config_unref(same);
		world_finish(&w);
	}
}

/* -- keys and ages ------------------------------------------------------------------------ */

static struct tls_ticket_key a_key(char c, uint64_t not_after)
{
	struct tls_ticket_key key = { .not_after = not_after };

	memset(key.id, c, sizeof(key.id));
	memset(key.secret, c + 1, sizeof(key.secret));
	return key;
}

/* Two nodes that are given the same keys; and a roll of the keys, node by node. */
static void test_shared_keys(void **state)
{
	struct tls_ticket_key old_key = a_key('a', UINT64_MAX), new_key = a_key('n', UINT64_MAX);
	struct tls_ticket_key both[] = { old_key, new_key }, rolled[] = { new_key, old_key };
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		mbedtls_ssl_session session;
		struct tls_config *here, *there;
		struct world one, two;

		world_init(&one, false);
		world_init(&two, false);
		here = server_config(&one, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		there = server_config(&two, "one", "ca.pem", TLS_CLIENTS_REQUIRED, 0);
		tls_tickets_set(&one.tickets, &old_key, 1);
		mbedtls_ssl_session_init(&session);
		meet(&one, here, version, "alice", NULL, &session);
		assert_false(meet(&two, there, version, "alice", &session, NULL).resumed);
		tls_tickets_set(&two.tickets, both, 2);
		assert_true(meet(&two, there, version, "alice", &session, NULL).resumed);
		assert_string_equal(meet(&two, there, version, "alice", &session, NULL).names,
				    ALICE);
		tls_tickets_set(&two.tickets, rolled, 2);
		assert_true(meet(&two, there, version, "alice", &session, NULL).resumed);
		both[0].not_after = rolled[1].not_after = loop_wall(&two.loop);
		tls_tickets_set(&two.tickets, rolled, 2);
		assert_false(meet(&two, there, version, "alice", &session, NULL).resumed);
		both[0].not_after = rolled[1].not_after = UINT64_MAX;
		mbedtls_ssl_session_free(&session);
		tls_config_unref(here);
		tls_config_unref(there);
		world_finish(&one);
		world_finish(&two);
	}
}

/* Ages count on the wall clock, which nodes share, not on a clock of the machine. */
static void test_ages(void **state)
{
	static const struct {
		uint64_t later; /* ms */
		bool resumes12, resumes13;
	} rows[] = {
		{ 0, true, true },
		{ SEC(3), true, true },
		/* TLS 1.3: the client says that it is younger */
		{ MINUTES(1), true, false },
		{ HOUR(12) - 1, true, false },
		{ HOUR(12), false, false },
		{ DAY(2), false, false },
	};
	size_t i;
	int version;

	(void)state;
	for (version = 12; version <= 13; version++) {
		mbedtls_ssl_session session;
		struct tls_ticket_key key = a_key('k', UINT64_MAX);
		struct tls_config *config;
		struct world w;

		world_init(&w, true);
		tls_tickets_set(&w.tickets, &key, 1);
		mbedtls_ssl_session_init(&session);
		config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
		meet(&w, config, version, NULL, NULL, &session);
		for (i = 0; i < ARRAY_LEN(rows); i++) {
			w.loop.wall += rows[i].later;
			assert_int_equal(meet(&w, config, version, NULL, &session, NULL).resumed,
					 version == 12 ? rows[i].resumes12 : rows[i].resumes13);
			w.loop.wall -= rows[i].later;
		}
		mbedtls_ssl_session_free(&session);
		tls_config_unref(config);
		world_finish(&w);
	}
}

/* Renewing does not keep an identity alive for ever. */
static void test_chain_ends(void **state)
{
	mbedtls_ssl_session sessions[2];
	struct tls_config *config;
	struct result r;
	struct world w;
	int i;

	(void)state;
	world_init(&w, true);
	w.loop.wall = (uint64_t)time(NULL) * 1000;
	config = server_config(&w, "one", "ca.pem", TLS_CLIENTS_OPTIONAL, 0);
	mbedtls_ssl_session_init(&sessions[0]);
	meet(&w, config, 12, "alice", NULL, &sessions[0]);
	mbedtls_ssl_session_init(&sessions[1]);
	for (i = 0; i < 40; i++) {
		struct tls_peer peer = { 0 };
		unsigned char ticket[16384];
		size_t n;
		uint32_t lifetime;

		/* what a node does at each resumption of TLS 1.3: seal again what it opened */
		r = meet(&w, config, 12, NULL, &sessions[0], NULL);
		if (!r.resumed)
			break;
		assert_string_equal(r.names, ALICE);
		peer.there = true;
		peer.proved = loop_wall(&w.loop) - HOUR(23);
		peer.not_after = UINT64_MAX;
		assert_int_equal(tls_ticket_seal(&w.tickets, config->scope, &sessions[0], &peer,
						 ticket, ticket + sizeof(ticket), &n, &lifetime),
				 0);
		assert_int_equal(lifetime, 3600);
		w.loop.wall += HOUR(1);
		mbedtls_ssl_session_init(&sessions[1]);
		assert_int_equal(
			tls_ticket_open(&w.tickets, config->scope, &sessions[1], &peer, ticket, n),
			MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED);
		mbedtls_ssl_session_free(&sessions[1]);
	}
	assert_int_equal(i, 12); /* hours: the ticket itself */
	mbedtls_ssl_session_free(&sessions[0]);
	tls_config_unref(config);
	world_finish(&w);
}

/* Our own keys are replaced, and the one before opens for as long again. */
static void test_own_keys(void **state)
{
	mbedtls_ssl_session session;
	unsigned char first[TLS_TICKET_ID];
	struct tls_config *config;
	struct world w;

	(void)state;
	world_init(&w, true);
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	mbedtls_ssl_session_init(&session);
	meet(&w, config, 12, NULL, NULL, &session);
	memcpy(first, w.tickets.keys[0].id, sizeof(first));
	w.loop.wall += TLS_TICKET_ROTATE_MS - 1000;
	assert_true(meet(&w, config, 12, NULL, &session, NULL).resumed);
	meet(&w, config, 12, NULL, NULL, NULL);
	assert_memory_equal(w.tickets.keys[0].id, first, sizeof(first));
	mbedtls_ssl_session_free(&session);
	mbedtls_ssl_session_init(&session);
	meet(&w, config, 12, NULL, NULL, &session);
	w.loop.wall += 1000;
	meet(&w, config, 12, NULL, NULL, NULL);
	assert_memory_not_equal(w.tickets.keys[0].id, first, sizeof(first));
	assert_memory_equal(w.tickets.keys[1].id, first, sizeof(first));
	assert_true(meet(&w, config, 12, NULL, &session, NULL).resumed);
	mbedtls_ssl_session_free(&session);
	tls_config_unref(config);
	world_finish(&w);
}

/* Whatever is changed in a ticket, it does not open. */
static void test_tampered(void **state)
{
	unsigned char ticket[16384], copy[16384], scope[SHA256_SIZE] = { 1 };
	struct tls_peer peer = { 0 }, out = { 0 };
	mbedtls_ssl_session session, opened;
	struct tls_config *config;
	struct world w;
	uint32_t lifetime;
	size_t n, i;

	(void)state;
	world_init(&w, true);
	w.loop.wall = (uint64_t)time(NULL) * 1000;
	config = server_config(&w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	mbedtls_ssl_session_init(&session);
	meet(&w, config, 12, NULL, NULL, &session);
	tls_peer_set(&peer, &config->pairs[0].chain, loop_wall(&w.loop));
	assert_int_equal(tls_ticket_seal(&w.tickets, scope, &session, &peer, ticket,
					 ticket + sizeof(ticket), &n, &lifetime),
			 0);
	memcpy(copy, ticket, n);
	mbedtls_ssl_session_init(&opened);
	assert_int_equal(tls_ticket_open(&w.tickets, scope, &opened, &out, copy, n), 0);
	assert_true(out.there);
	assert_int_equal(out.names.n_names, peer.names.n_names);
	assert_string_equal(out.names.names[1].p, "one.test");
	assert_memory_equal(out.digest, peer.digest, sizeof(peer.digest));
	assert_int_equal(out.not_after, peer.not_after);
	tls_peer_finish(&out);
	mbedtls_ssl_session_free(&opened);
	for (i = 0; i < n; i++) {
		memcpy(copy, ticket, n);
		copy[i] ^= 0x10;
		mbedtls_ssl_session_init(&opened);
		assert_int_not_equal(tls_ticket_open(&w.tickets, scope, &opened, &out, copy, n), 0);
		assert_false(out.there);
		memcpy(copy, ticket, n);
		assert_int_not_equal(tls_ticket_open(&w.tickets, scope, &opened, &out, copy, i), 0);
	}
	memcpy(copy, ticket, n);
	scope[5] = 1;
	assert_int_not_equal(tls_ticket_open(&w.tickets, scope, &opened, &out, copy, n), 0);
	tls_peer_finish(&peer);
	mbedtls_ssl_session_free(&session);
	tls_config_unref(config);
	world_finish(&w);
}

static void test_time(void **state)
{
	static const struct {
		mbedtls_x509_time t;
		uint64_t s;
	} rows[] = {
		{ { 1970, 1, 1, 0, 0, 0 }, 0 },
		{ { 2000, 2, 29, 12, 0, 1 }, 951825601 },
		{ { 2026, 11, 21, 0, 51, 0 }, 1795222260 },
		{ { 2100, 3, 1, 0, 0, 0 }, 4107542400 },
		{ { 1950, 1, 1, 0, 0, 0 }, 0 }, /* before time began */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(tls_time(&rows[i].t), rows[i].s * 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutual),
		cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_identity_survives),
		cmocka_unit_test(test_identity_is_not_invented),
		cmocka_unit_test(test_turned_down_later),
		cmocka_unit_test(test_new_client_ca),
		cmocka_unit_test(test_shared_keys),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_chain_ends),
		cmocka_unit_test(test_own_keys),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
