/* What the tests of src/tls share: certificates, a server's stream over memory, and a peer that is
 * mbedTLS itself, with nothing of ours in it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_TLS_WORLD_H
#define OSBD_TEST_TLS_WORLD_H

#include "tls/tls_stream.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <mbedtls/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WALL 1795000000000u /* 2026-11-18 */

static char certs[64];

static inline int make_certs(void **state)
{
	char command[512];

	(void)state;
	snprintf(certs, sizeof(certs), "/tmp/osbd-tls-XXXXXX");
	if (!mkdtemp(certs))
		return -1;
	snprintf(command, sizeof(command), "sh %s/test/certs.sh %s", getenv("OSBD_TREE"), certs);
	return system(command);
}

static inline int drop_certs(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", certs);
	return system(command);
}

/* "ca.pem" in the directory of the certificates; the text lives as long as the program. */
static inline const char *cert(const char *file)
{
	static char paths[64][128];
	static int next;
	char *path = paths[next++ % 64];

	snprintf(path, sizeof(paths[0]), "%s/%s", certs, file);
	return path;
}

static inline struct tls_files files_of(const char *name)
{
	char file[64];
	struct tls_files files;

	snprintf(file, sizeof(file), "%s.pem", name);
	files.certificate = cert(file);
	snprintf(file, sizeof(file), "%s.key", name);
	files.key = cert(file);
	return files;
}

/* -- a stream and what it said ---------------------------------------------------------- */

struct side {
	struct stream *stream;
	struct buf got;
	bool echo;
	int ended, closed, written, ready; /* how often */
	int status, written_status, ready_status;
	char why[TLS_WHY_MAX];
};

static inline void side_read(struct stream *stream, const char *p, ssize_t n)
{
	struct side *side = stream->data;

	assert_int_equal(side->closed, 0);
	assert_int_equal(side->ended, 0);
	if (n > 0) {
		struct str echo = str_make(p, (size_t)n);

		buf_put(&side->got, p, (size_t)n);
		if (side->echo)
			assert_int_equal(stream_write(stream, &echo, 1), 0);
		return;
	}
	side->ended++;
	side->status = (int)n;
	if (n < 0)
		snprintf(side->why, sizeof(side->why), "%s", tls_stream_why(stream));
}

static inline void side_written(struct stream *stream, int status)
{
	struct side *side = stream->data;

	side->written++;
	side->written_status = status;
}

static inline void side_closed(struct stream *stream)
{
	((struct side *)stream->data)->closed++;
}

static inline void side_ready(struct stream *stream, int status, const char *why)
{
	struct side *side = stream->data;

	side->ready++;
	side->ready_status = status;
	assert_true(status == 0 || *why);
}

static inline void side_take(struct side *side, struct stream *stream)
{
	side->stream = stream;
	stream->data = side;
	stream->on_read = side_read;
	stream->on_written = side_written;
	stream->on_closed = side_closed;
}

/* -- the world -------------------------------------------------------------------------- */

struct world {
	struct loop loop;
	struct tls_budget budget;
	struct tls_tickets tickets;
	struct stream_end ends[2]; /* 0 the client's, 1 the server's */
	struct side server, client;
};

static inline void world_init(struct world *w, bool test_time)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(test_time ? loop_init_test(&w->loop, WALL) : loop_init(&w->loop), 0);
	tls_budget_init(&w->budget, &w->loop, 0, 0, NULL);
	tls_tickets_init(&w->tickets, &w->loop);
}

static inline void turns(struct world *w, int n)
{
	while (n--)
		uv_run(&w->loop.uv, UV_RUN_NOWAIT);
}

static inline struct tls_config *server_config(struct world *w, const char *name, const char *ca,
					       enum tls_clients clients, int min_version)
{
	struct tls_files pairs[4] = { files_of(name), files_of("two"), files_of("rsa") };
	struct tls_server_options options = { .pairs = pairs,
					      .n_pairs = 3,
					      .client_ca = ca ? cert(ca) : NULL,
					      .clients = clients,
					      .min_version = min_version,
					      .tickets = &w->tickets };
	struct tls_config *config;
	struct err err;

	if (tls_server_config(&options, &config, &err) != 0)
		fail_msg("%s", err.text);
	return config;
}

/* The server's stream over a new pair in memory. */
static inline void serve(struct world *w, struct tls_config *config, size_t room)
{
	struct tls_stream_options options = { .loop = &w->loop,
					      .budget = &w->budget,
					      .config = config };

	memset(&w->server, 0, sizeof(w->server));
	stream_pair(&w->loop, &w->ends[0], &w->ends[1], room);
	side_take(&w->server, tls_stream_create(&options, &w->ends[1].stream));
	stream_read_start(w->server.stream);
}

static inline void until_ended(struct world *w)
{
	while (!w->server.ended && loop_turn(&w->loop))
		;
	assert_int_equal(w->server.ended, 1);
}

static inline void ignore_closed(struct stream *stream)
{
	(void)stream;
}

/* Closes both ends, whatever is open; the server's side keeps what it said. */
static inline void part(struct world *w)
{
	if (w->server.stream)
		stream_close(w->server.stream);
	if (w->client.stream) {
		stream_close(w->client.stream);
	} else if (w->ends[0].stream.type) {
		w->ends[0].stream.on_closed = ignore_closed;
		stream_close(&w->ends[0].stream);
	}
	turns(w, 4);
	if (w->server.stream)
		assert_int_equal(w->server.closed, 1);
	if (w->client.stream)
		assert_int_equal(w->client.closed, 1);
	w->server.stream = w->client.stream = NULL;
	buf_finish(&w->server.got);
	buf_finish(&w->client.got);
	memset(w->ends, 0, sizeof(w->ends));
}

static inline void world_finish(struct world *w)
{
	assert_int_equal(w->budget.n_open, 0);
	assert_int_equal(w->budget.n_waiting, 0);
	turns(w, 4);
	tls_budget_finish(&w->budget);
	tls_tickets_finish(&w->tickets);
	assert_int_equal(loop_finish(&w->loop), 0);
}

/* -- mbedTLS as the client -------------------------------------------------------------- */

struct raw {
	struct world *w;
	const char *host;
	mbedtls_ssl_config conf;
	mbedtls_ssl_context ssl;
	mbedtls_x509_crt ca, crt;
	mbedtls_pk_context key;
	struct buf in, got;
	size_t at;
	bool eof;
	int rc; /* of the handshake, then of the last read */
};

static inline int raw_random(void *data, unsigned char *p, size_t n)
{
	(void)data;
	random_bytes(p, n);
	return 0;
}

static inline void raw_on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct raw *raw = stream->data;

	if (n > 0)
		buf_put(&raw->in, p, (size_t)n);
	else
		raw->eof = true;
}

static inline void raw_written(struct stream *stream, int status)
{
	(void)stream;
	(void)status;
}

static inline int raw_recv(void *data, unsigned char *p, size_t n)
{
	struct raw *raw = data;

	if (raw->at == raw->in.n)
		return raw->eof ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
	n = n < raw->in.n - raw->at ? n : raw->in.n - raw->at;
	memcpy(p, raw->in.p + raw->at, n);
	raw->at += n;
	return (int)n;
}

static inline int raw_send(void *data, const unsigned char *p, size_t n)
{
	struct raw *raw = data;
	struct str part = str_make((const char *)p, n);
	int rc = raw->w->ends[0].peer ? stream_write(&raw->w->ends[0].stream, &part, 1) : 0;

	assert_true(rc == 0 || rc == ERR_CLOSED);
	return (int)n;
}

static inline void raw_init(struct raw *raw, struct world *w, const char *host, int version,
			    const char *name)
{
	memset(raw, 0, sizeof(*raw));
	raw->w = w;
	mbedtls_ssl_config_init(&raw->conf);
	mbedtls_ssl_init(&raw->ssl);
	mbedtls_x509_crt_init(&raw->ca);
	mbedtls_x509_crt_init(&raw->crt);
	mbedtls_pk_init(&raw->key);
	mbedtls_ssl_config_defaults(&raw->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
				    MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_rng(&raw->conf, raw_random, NULL);
	assert_int_equal(mbedtls_x509_crt_parse_file(&raw->ca, cert("ca.pem")), 0);
	mbedtls_ssl_conf_ca_chain(&raw->conf, &raw->ca, NULL);
	mbedtls_ssl_conf_min_tls_version(&raw->conf, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(&raw->conf, version == 12 ? MBEDTLS_SSL_VERSION_TLS1_2
								   : MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
		&raw->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	if (name) {
		struct tls_files files = files_of(name);

		assert_int_equal(mbedtls_x509_crt_parse_file(&raw->crt, files.certificate), 0);
		assert_int_equal(
			mbedtls_pk_parse_keyfile(&raw->key, files.key, NULL, raw_random, NULL), 0);
		assert_int_equal(mbedtls_ssl_conf_own_cert(&raw->conf, &raw->crt, &raw->key), 0);
	}
	raw->host = host;
}

/* What conf says now holds. */
static inline void raw_setup(struct raw *raw)
{
	assert_int_equal(mbedtls_ssl_setup(&raw->ssl, &raw->conf), 0);
	assert_int_equal(mbedtls_ssl_set_hostname(&raw->ssl, raw->host), 0);
	mbedtls_ssl_set_bio(&raw->ssl, raw, raw_send, raw_recv, NULL);
}

/* Joins it to the end that serve() has left free. */
static inline void raw_join(struct raw *raw)
{
	struct stream *stream = &raw->w->ends[0].stream;

	if (raw->host || raw->ca.raw.p)
		raw_setup(raw);
	stream->data = raw;
	stream->on_read = raw_on_read;
	stream->on_written = raw_written;
	stream->on_closed = ignore_closed;
	stream_read_start(stream);
}

static inline int raw_shake(struct raw *raw)
{
	int i;

	raw->rc = MBEDTLS_ERR_SSL_WANT_READ;
	for (i = 0; i < 200 && raw->rc == MBEDTLS_ERR_SSL_WANT_READ; i++) {
		raw->rc = mbedtls_ssl_handshake(&raw->ssl);
		turns(raw->w, 2);
	}
	turns(raw->w, 8);
	return raw->rc;
}

/* Reads what there is; new tickets are kept in session when it is given. */
static inline int raw_read(struct raw *raw, mbedtls_ssl_session *session)
{
	int i;

	buf_puts(&raw->got, "");
	for (i = 0; i < 50; i++) {
		char *room = buf_room(&raw->got, 20000);

		turns(raw->w, 2);
		raw->rc = mbedtls_ssl_read(&raw->ssl, (unsigned char *)room, 20000);
		if (raw->rc > 0)
			raw->got.p[raw->got.n += (size_t)raw->rc] = '\0';
		else if (raw->rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET && session)
			assert_int_equal(mbedtls_ssl_get_session(&raw->ssl, session), 0);
		else if (raw->rc != MBEDTLS_ERR_SSL_WANT_READ &&
			 raw->rc != MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
			break;
	}
	return raw->rc;
}

static inline void raw_write(struct raw *raw, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(mbedtls_ssl_write(&raw->ssl, (const unsigned char *)text, n), n);
	turns(raw->w, 8);
}

static inline void raw_finish(struct raw *raw)
{
	mbedtls_ssl_free(&raw->ssl);
	mbedtls_ssl_config_free(&raw->conf);
	mbedtls_x509_crt_free(&raw->ca);
	mbedtls_x509_crt_free(&raw->crt);
	mbedtls_pk_free(&raw->key);
	buf_finish(&raw->in);
	buf_finish(&raw->got);
}

#endif
