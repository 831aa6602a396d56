/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_shake.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#define RECORD_HEAD 5
#define RECORD_MAX (16384 + 2048)
#define SPINS_MAX 1000

enum record { RECORD_CCS = 20, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_DATA };

/* -- states ----------------------------------------------------------------------------- */

#define TO(state) (1u << TLS_##state)

static const unsigned moves[TLS_STATES] = {
	[TLS_NEW] = TO(SHAKING) | TO(BROKEN) | TO(CLOSED),
	[TLS_SHAKING] = TO(OPEN) | TO(BROKEN) | TO(CLOSED),
	[TLS_OPEN] = TO(BROKEN) | TO(CLOSED),
	[TLS_BROKEN] = TO(CLOSED),
	[TLS_CLOSED] = 0,
};

void tls_move(struct tls_stream *s, enum tls_state to)
{
	assert(moves[s->state] & (1u << to));
	s->state = to;
	if (to == TLS_SHAKING)
		return;
	timer_stop(&s->deadline);
	tls_budget_close(s->budget, &s->share);
}

/* -- what mbedTLS calls ------------------------------------------------------------------ */

static int ssl_send(void *data, const unsigned char *p, size_t n)
{
	struct tls_stream *s = data;

	buf_put(&s->out, p, n);
	return (int)n;
}

static int ssl_recv(void *data, unsigned char *p, size_t n)
{
	struct tls_stream *s = data;
	size_t end = s->state == TLS_SHAKING ? s->in_end : s->in.n;

	if (s->in_at < end) {
		n = n < end - s->in_at ? n : end - s->in_at;
		memcpy(p, s->in.p + s->in_at, n);
		s->in_at += n;
		if (s->in_at == s->in.n) {
			buf_finish(&s->in);
			s->in_at = s->in_end = 0;
		}
		return (int)n;
	}
	if (s->feed.n && s->state == TLS_OPEN) {
		n = n < s->feed.n ? n : s->feed.n;
		memcpy(p, s->feed.p, n);
		s->feed = str_make(s->feed.p + n, s->feed.n - n);
		return (int)n;
	}
	s->starved = true;
	return s->eof ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
}

/* mbedTLS says that it wants to read, too, when it has only dealt with a message that is no data,
 * such as a ticket of TLS 1.3. What came behind it would wait for bytes that never come. */
bool tls_wants_no_more(struct tls_stream *s, int rc)
{
	if (rc != MBEDTLS_ERR_SSL_WANT_READ || s->starved) {
		s->spins = 0;
		return false;
	}
	return ++s->spins < SPINS_MAX;
}

/* -- the end ---------------------------------------------------------------------------- */

void tls_tell_read(struct tls_stream *s, int status)
{
	if (!s->reading || s->ended)
		return;
	s->ended = true;
	s->stream.on_read(&s->stream, NULL, status);
}

void tls_tell(struct tls_stream *s)
{
	if (s->on_ready) {
		void (*on_ready)(struct stream *, int, const char *) = s->on_ready;

		s->on_ready = NULL;
		on_ready(&s->stream, s->status, s->hello.why);
	}
	if (s->state == TLS_BROKEN && s->writing) {
		s->writing = false;
		s->n_parts = 0;
		s->stream.on_written(&s->stream, s->status);
	}
	if (s->state == TLS_BROKEN)
		tls_tell_read(s, s->status);
}

void tls_broken(struct tls_stream *s, int status, const char *fmt, ...)
{
	bool shaking = s->state < TLS_OPEN;
	int rc = tls_flush(s); /* the alert; whoever does not take it has no use for it */
	va_list ap;

	(void)rc;
	if (!s->hello.why[0]) {
		va_start(ap, fmt);
		vsnprintf(s->hello.why, sizeof(s->hello.why), fmt, ap);
		va_end(ap);
	}
	s->status = status;
	tls_move(s, TLS_BROKEN);
	tls_steer(s);
	if (shaking) {
		tls_budget_count(s->budget, TLS_FAILED);
		if (s->log && status == ERR_ACCESS)
			log_info(s->log, "TLS handshake with %s: %s", s->peer, s->hello.why);
		else if (s->log)
			log_debug(s->log, "TLS handshake with %s: %s", s->peer, s->hello.why);
	}
	tls_tell(s);
}

void tls_broken_by(struct tls_stream *s, int rc)
{
	char text[160];

	switch (rc) {
	case MBEDTLS_ERR_SSL_CONN_EOF:
		tls_broken(s, ERR_CLOSED, "the connection ended without a close_notify");
		return;
	case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
	case MBEDTLS_ERR_X509_FATAL_ERROR:
	case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
		tls_broken(s, ERR_ACCESS, "the peer's certificate is not accepted");
		return;
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		tls_broken(s, ERR_ACCESS, "the peer shows no certificate, and one is required");
		return;
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		tls_broken(s, ERR_ACCESS, "the peer refused: alert %d",
			   s->ssl.MBEDTLS_PRIVATE(in_msg) ? s->ssl.MBEDTLS_PRIVATE(in_msg)[1] : 0);
		return;
	default:
		tls_broken(s, ERR_SYNTAX, "%s", tls_error_text(rc, text, sizeof(text)));
	}
}

/* -- handshake -------------------------------------------------------------------------- */

enum ready { READY_NOT, READY_LIGHT, READY_HEAVY, READY_GARBAGE };

/* Moves in_end behind the last whole record. Heavy: there is something to be computed. */
static enum ready look_ahead(struct tls_stream *s)
{
	enum ready ready = READY_NOT;
	size_t at = s->in_at;

	while (s->in.n - at >= 1) {
		const unsigned char *p = (const unsigned char *)s->in.p + at;
		size_t n = s->in.n - at, size;

		if (p[0] < RECORD_CCS || p[0] > RECORD_DATA || (n > 1 && p[1] != 3))
			return ready == READY_NOT ? READY_GARBAGE : ready;
		if (n < RECORD_HEAD)
			break;
		size = RECORD_HEAD + ((size_t)p[3] << 8 | p[4]);
		if (size > RECORD_HEAD + RECORD_MAX)
			return ready == READY_NOT ? READY_GARBAGE : ready;
		if (n < size)
			break;
		if (p[0] == RECORD_HANDSHAKE || p[0] == RECORD_DATA)
			ready = READY_HEAVY;
		else if (ready == READY_NOT)
			ready = READY_LIGHT;
		at += size;
		s->in_end = at;
	}
	return ready;
}

/* Not worth a context: unexpected_message, and that is it. */
static void refuse_garbage(struct tls_stream *s)
{
	static const unsigned char alert[] = { RECORD_ALERT, 3, 1, 0, 2, 2, 10 };

	buf_put(&s->out, alert, sizeof(alert));
	tls_broken(s, ERR_SYNTAX, "what came is not TLS");
}

static int set_host(struct tls_stream *s)
{
	struct tls_hello *hello = &s->hello;

	hello->host = s->host;
	if (inet_pton(AF_INET, s->host, hello->ip) == 1)
		hello->n_ip = 4;
	else if (inet_pton(AF_INET6, s->host, hello->ip) == 1)
		hello->n_ip = 16;
	/* an address is not sent as a server's name (RFC 6066 section 3); we compare it ourselves */
	return mbedtls_ssl_set_hostname(&s->ssl, hello->n_ip ? NULL : s->host);
}

static int begin(struct tls_stream *s)
{
	int rc;

	tls_move(s, TLS_SHAKING);
	tls_budget_open(s->budget, &s->share);
	s->hello.ssl = &s->ssl;
	s->hello.config = s->config;
	rc = mbedtls_ssl_setup(&s->ssl, &s->config->conf);
	if (rc == 0 && !s->config->server)
		rc = set_host(s);
	mbedtls_ssl_set_user_data_p(&s->ssl, &s->hello);
	mbedtls_ssl_set_bio(&s->ssl, s, ssl_send, ssl_recv, NULL);
	mbedtls_ssl_set_verify(&s->ssl, tls_on_verify, &s->hello);
	return rc;
}

/* mbedTLS leaves some failures without an alert: the peer would wait for its own deadline. */
static void say_why(struct tls_stream *s, int rc)
{
	if (rc != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && rc != MBEDTLS_ERR_SSL_CONN_EOF)
		mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
					       MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
}

/* As far as the bytes go. Once certificates are exchanged the ticket has been turned down. */
static int compute(struct tls_stream *s)
{
	size_t before;
	int rc;

	s->hello.now = loop_wall(s->loop);
	s->config->hello = &s->hello;
	do {
		s->starved = false;
		before = s->out.n;
		rc = mbedtls_ssl_handshake_step(&s->ssl);
		if (!s->hello.full &&
		    s->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE) {
			s->hello.full = true;
			tls_peer_finish(&s->hello.peer);
		}
	} while ((rc == 0 && !mbedtls_ssl_is_handshake_over(&s->ssl)) || tls_wants_no_more(s, rc));
	if (rc == 0)
		rc = mbedtls_ssl_handshake(&s->ssl); /* TLS 1.3: the tickets come after it */
	s->config->hello = NULL;
	if (rc != 0 && rc != MBEDTLS_ERR_SSL_WANT_READ && s->out.n == before)
		say_why(s, rc);
	return rc;
}

static void opened(struct tls_stream *s)
{
	uint32_t flags = mbedtls_ssl_get_verify_result(&s->ssl);

	if (s->hello.full && s->config->has_ca && flags) {
		tls_peer_finish(&s->hello.peer);
		if (s->config->required || !(flags & MBEDTLS_X509_BADCERT_MISSING)) {
			tls_broken(s, ERR_ACCESS, "the peer's certificate is not accepted");
			return;
		}
	}
	if (!s->config->has_ca)
		tls_peer_finish(&s->hello.peer);
	tls_move(s, TLS_OPEN);
	tls_budget_count(s->budget, s->hello.full ? TLS_FULL : TLS_RESUMED);
	tls_tell(s);
}

void tls_shake(struct tls_stream *s)
{
	while (s->state < TLS_OPEN) {
		bool starts = s->state == TLS_NEW && !s->config->server;
		enum ready ready = starts ? READY_HEAVY : look_ahead(s);
		int rc = 0;

		if (ready == READY_GARBAGE && s->state == TLS_NEW) {
			refuse_garbage(s);
			return;
		}
		if (ready == READY_NOT && s->eof) {
			tls_broken(s, ERR_CLOSED, "the peer left in the middle of the handshake");
			return;
		}
		if (ready == READY_NOT)
			return;
		if (ready == READY_GARBAGE)
			s->in_end = s->in.n; /* mbedTLS knows the alert for it */
		if (ready == READY_HEAVY && !s->granted && !tls_budget_take(s->budget, &s->share))
			return;
		s->granted = false;
		if (s->state == TLS_NEW)
			rc = begin(s);
		if (rc == 0)
			rc = compute(s);
		if (rc == 0)
			opened(s);
		else if (rc != MBEDTLS_ERR_SSL_WANT_READ)
			tls_broken_by(s, rc);
		if (s->state < TLS_BROKEN && tls_flush(s) < 0)
			tls_broken(s, ERR_CLOSED, "the connection is lost");
	}
}
