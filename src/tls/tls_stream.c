/* What comes is kept in `in` until mbedTLS takes it; during a handshake it is shown whole records
 * only (in_end), so that `in` always begins with one. What mbedTLS sends is gathered in `out`, and
 * what the stream below has not taken yet stands in `sending`. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_stream.h"

#include "core/mem.h"
#include "core/timer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define RECORD_HEAD 5
#define RECORD_MAX (16384 + 2048)
#define PLAIN_MAX 16384
#define OUT_MAX (64 << 10)   /* encrypted ahead of the stream below */
#define AHEAD_MAX (32 << 10) /* bytes kept of a peer whose handshake waits */
#define PEER_MAX 64
#define SPINS_MAX 1000

enum record { RECORD_CCS = 20, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_DATA };

enum tls_state { TLS_NEW, TLS_SHAKING, TLS_OPEN, TLS_BROKEN, TLS_CLOSED, TLS_STATES };

struct tls_stream {
	struct stream stream;
	struct stream *under;
	struct loop *loop;
	struct tls_budget *budget;
	struct tls_share share;
	struct tls_config *config;
	const struct log *log;
	void (*on_ready)(struct stream *stream, int status, const char *why);
	mbedtls_ssl_context ssl;
	struct tls_hello hello;
	enum tls_state state;
	int status;    /* BROKEN: what the user is told */
	struct buf in; /* not yet seen by mbedTLS: in_at … in_end, then a part of a record */
	size_t in_at, in_end;
	struct str feed; /* more of it, borrowed while on_under_read runs */
	struct buf out, sending;
	struct str parts[STREAM_PARTS_MAX]; /* of the user's write */
	size_t n_parts;
	bool writing, reading, below_reads;
	bool eof;       /* the stream below has ended */
	bool ended;     /* the user knows */
	bool shut;      /* the user will not write any more */
	bool said_bye;  /* close_notify is sent */
	bool starved;   /* mbedTLS has asked for bytes that are not there */
	unsigned spins; /* calls in a row that neither gave nor asked for bytes */
	bool granted;   /* the budget has taken a computation for us */
	struct soon soon;
	struct timer deadline;
	char *host;
	char peer[PEER_MAX];
};

static void progress(struct tls_stream *s);

static struct tls_stream *tls_of(const struct stream *stream)
{
	return container_of((struct stream *)(uintptr_t)stream, struct tls_stream, stream);
}

/* -- states ----------------------------------------------------------------------------- */

#define TO(state) (1u << TLS_##state)

static const unsigned moves[TLS_STATES] = {
	[TLS_NEW] = TO(SHAKING) | TO(BROKEN) | TO(CLOSED),
	[TLS_SHAKING] = TO(OPEN) | TO(BROKEN) | TO(CLOSED),
	[TLS_OPEN] = TO(BROKEN) | TO(CLOSED),
	[TLS_BROKEN] = TO(CLOSED),
	[TLS_CLOSED] = 0,
};

static void move(struct tls_stream *s, enum tls_state to)
{
	assert(moves[s->state] & (1u << to));
	s->state = to;
	if (to == TLS_SHAKING)
		return;
	timer_stop(&s->deadline);
	tls_budget_close(s->budget, &s->share);
}

/* -- the stream below ------------------------------------------------------------------- */

static size_t backlog(const struct tls_stream *s)
{
	return s->in.n - s->in_at;
}

/* Reads below as long as somebody wants the bytes. */
static void steer(struct tls_stream *s)
{
	bool want = false;

	if (s->state == TLS_NEW || s->state == TLS_SHAKING)
		want = backlog(s) < AHEAD_MAX;
	else if (s->state == TLS_OPEN)
		want = s->reading && !s->ended;
	want = want && !s->eof;
	if (want == s->below_reads || s->state == TLS_CLOSED)
		return;
	s->below_reads = want;
	if (want)
		stream_read_start(s->under);
	else
		stream_read_stop(s->under);
}

/* 0: everything is taken below. STREAM_LATER, ERR_*. */
static int flush(struct tls_stream *s)
{
	while (!s->sending.n && s->out.n) {
		struct str part;
		int rc;

		s->sending = s->out;
		s->out = (struct buf){ 0 };
		part = buf_str(&s->sending);
		rc = stream_write(s->under, &part, 1);
		if (rc == STREAM_LATER)
			return rc;
		buf_finish(&s->sending);
		if (rc != 0)
			return rc;
	}
	return s->sending.n ? STREAM_LATER : 0;
}

static void shut_below(struct tls_stream *s)
{
	if (s->shut && s->said_bye && !s->sending.n && !s->out.n && s->state == TLS_OPEN)
		stream_shutdown(s->under);
}

static void say_bye(struct tls_stream *s)
{
	if (s->said_bye)
		return;
	s->said_bye = true;
	mbedtls_ssl_close_notify(&s->ssl);
}

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
static bool wants_no_more(struct tls_stream *s, int rc)
{
	if (rc != MBEDTLS_ERR_SSL_WANT_READ || s->starved) {
		s->spins = 0;
		return false;
	}
	return ++s->spins < SPINS_MAX;
}

static void keep(struct tls_stream *s, const char *p, size_t n)
{
	if (!n)
		return;
	if (s->in_at) {
		buf_shift(&s->in, s->in_at);
		s->in_end -= s->in_end > s->in_at ? s->in_at : s->in_end;
		s->in_at = 0;
	}
	buf_put(&s->in, p, n);
}

/* -- the end ---------------------------------------------------------------------------- */

static void tell_read(struct tls_stream *s, int status)
{
	if (!s->reading || s->ended)
		return;
	s->ended = true;
	s->stream.on_read(&s->stream, NULL, status);
}

static void tell(struct tls_stream *s)
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
		tell_read(s, s->status);
}

static void PRINTF_LIKE(3, 4) broken(struct tls_stream *s, int status, const char *fmt, ...)
{
	bool shaking = s->state < TLS_OPEN;
	int rc = flush(s); /* the alert; whoever does not take it has no use for it */
	va_list ap;

	(void)rc;
	if (!s->hello.why[0]) {
		va_start(ap, fmt);
		vsnprintf(s->hello.why, sizeof(s->hello.why), fmt, ap);
		va_end(ap);
	}
	s->status = status;
	move(s, TLS_BROKEN);
	steer(s);
	if (shaking) {
		tls_budget_count(s->budget, TLS_FAILED);
		if (s->log && status == ERR_ACCESS)
			log_info(s->log, "TLS handshake with %s: %s", s->peer, s->hello.why);
		else if (s->log)
			log_debug(s->log, "TLS handshake with %s: %s", s->peer, s->hello.why);
	}
	tell(s);
}

static void broken_by(struct tls_stream *s, int rc)
{
	char text[160];

	switch (rc) {
	case MBEDTLS_ERR_SSL_CONN_EOF:
		broken(s, ERR_CLOSED, "the connection ended without a close_notify");
		return;
	case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
	case MBEDTLS_ERR_X509_FATAL_ERROR:
	case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
		broken(s, ERR_ACCESS, "the peer's certificate is not accepted");
		return;
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		broken(s, ERR_ACCESS, "the peer shows no certificate, and one is required");
		return;
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		broken(s, ERR_ACCESS, "the peer refused: alert %d",
		       s->ssl.MBEDTLS_PRIVATE(in_msg) ? s->ssl.MBEDTLS_PRIVATE(in_msg)[1] : 0);
		return;
	default:
		broken(s, ERR_SYNTAX, "%s", tls_error_text(rc, text, sizeof(text)));
	}
}

static void on_deadline(struct timer *timer)
{
	struct tls_stream *s = container_of(timer, struct tls_stream, deadline);

	broken(s, ERR_TIMEDOUT, "the handshake took too long");
}

static void on_evict(struct tls_share *share)
{
	broken(container_of(share, struct tls_stream, share), ERR_FULL,
	       "too many handshakes at once, this was the oldest");
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
	broken(s, ERR_SYNTAX, "what came is not TLS");
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

	move(s, TLS_SHAKING);
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
	} while ((rc == 0 && !mbedtls_ssl_is_handshake_over(&s->ssl)) || wants_no_more(s, rc));
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
			broken(s, ERR_ACCESS, "the peer's certificate is not accepted");
			return;
		}
	}
	if (!s->config->has_ca)
		tls_peer_finish(&s->hello.peer);
	move(s, TLS_OPEN);
	tls_budget_count(s->budget, s->hello.full ? TLS_FULL : TLS_RESUMED);
	tell(s);
}

static void shake(struct tls_stream *s)
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
			broken(s, ERR_CLOSED, "the peer left in the middle of the handshake");
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
			broken_by(s, rc);
		if (s->state < TLS_BROKEN && flush(s) < 0)
			broken(s, ERR_CLOSED, "the connection is lost");
	}
}

static void on_share(struct tls_share *share)
{
	struct tls_stream *s = container_of(share, struct tls_stream, share);

	s->granted = true;
	progress(s);
	s->granted = false;
}

/* -- data ------------------------------------------------------------------------------- */

/* The next piece of the user's write, at most one record. Small parts go together. */
static struct str next_piece(struct tls_stream *s, char *room)
{
	size_t i, n = 0;

	for (i = 0; i < s->n_parts && !s->parts[i].n; i++)
		;
	if (i == s->n_parts)
		return str_make(NULL, 0);
	if (s->parts[i].n >= PLAIN_MAX || i == s->n_parts - 1) {
		struct str piece = s->parts[i];

		piece.n = piece.n < PLAIN_MAX ? piece.n : PLAIN_MAX;
		return piece;
	}
	for (; i < s->n_parts && n < PLAIN_MAX; i++) {
		size_t take = s->parts[i].n < PLAIN_MAX - n ? s->parts[i].n : PLAIN_MAX - n;

		if (take)
			memcpy(room + n, s->parts[i].p, take);
		n += take;
	}
	return str_make(room, n);
}

static void advance(struct tls_stream *s, size_t n)
{
	size_t i;

	for (i = 0; n; i++) {
		size_t take = s->parts[i].n < n ? s->parts[i].n : n;

		s->parts[i] = str_make(s->parts[i].p + take, s->parts[i].n - take);
		n -= take;
	}
}

static int push(struct tls_stream *s)
{
	char room[PLAIN_MAX];
	struct str piece;
	int rc = 0;

	while (rc == 0 && (piece = next_piece(s, room)).n) {
		while (piece.n && s->out.n < OUT_MAX) {
			int n = mbedtls_ssl_write(&s->ssl, (const unsigned char *)piece.p, piece.n);

			if (n < 0)
				return ERR_CLOSED;
			advance(s, (size_t)n);
			piece = next_piece(s, room);
		}
		rc = flush(s);
	}
	if (rc == 0)
		rc = flush(s);
	if (rc <= 0)
		s->n_parts = 0;
	return rc;
}

static void write_on(struct tls_stream *s)
{
	int rc;

	if (s->state != TLS_OPEN || !s->writing)
		return;
	rc = push(s);
	if (rc == STREAM_LATER)
		return;
	s->writing = false;
	s->stream.on_written(&s->stream, rc);
}

static void read_on(struct tls_stream *s)
{
	unsigned char plain[PLAIN_MAX];

	while (s->state == TLS_OPEN && s->reading && !s->ended) {
		int n;

		s->starved = false;
		n = mbedtls_ssl_read(&s->ssl, plain, sizeof(plain));
		if (n > 0) {
			s->stream.on_read(&s->stream, (char *)plain, n);
		} else if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET ||
			   wants_no_more(s, n)) {
			continue; /* no data: there may be some behind it */
		} else if (n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE) {
			break;
		} else if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
			tell_read(s, 0);
		} else {
			broken_by(s, n ? n : MBEDTLS_ERR_SSL_CONN_EOF);
			return;
		}
	}
	if (s->state == TLS_OPEN && flush(s) < 0) /* an alert of mbedTLS' own */
		broken(s, ERR_CLOSED, "the connection is lost");
}

static void progress(struct tls_stream *s)
{
	bool early = s->state < TLS_OPEN;

	shake(s);
	if (early && s->state == TLS_OPEN && s->shut && !s->writing) {
		say_bye(s);
		if (flush(s) == 0)
			shut_below(s);
	}
	write_on(s);
	read_on(s);
	if (s->feed.n && s->state != TLS_CLOSED)
		keep(s, s->feed.p, s->feed.n);
	s->feed = str_make(NULL, 0);
	steer(s);
}

/* -- what the stream below says --------------------------------------------------------- */

static void on_under_read(struct stream *under, const char *p, ssize_t n)
{
	struct tls_stream *s = under->data;

	if (s->state >= TLS_BROKEN)
		return;
	if (n > 0 && s->state == TLS_OPEN && !backlog(s))
		s->feed = str_make(p, (size_t)n);
	else if (n > 0)
		keep(s, p, (size_t)n);
	else
		s->eof = true;
	progress(s);
}

static void on_under_written(struct stream *under, int status)
{
	struct tls_stream *s = under->data;
	int rc = status;

	buf_finish(&s->sending);
	if (s->state >= TLS_BROKEN)
		return;
	if (rc == 0)
		rc = flush(s);
	if (rc < 0)
		broken(s, ERR_CLOSED, "the connection is lost");
	if (rc == 0) {
		shut_below(s);
		write_on(s);
	}
}

static void on_under_closed(struct stream *under)
{
	struct tls_stream *s = under->data;

	if (s->stream.on_closed)
		s->stream.on_closed(&s->stream);
	mbedtls_ssl_free(&s->ssl);
	tls_peer_finish(&s->hello.peer);
	tls_config_unref(s->config);
	buf_finish(&s->in);
	buf_finish(&s->out);
	buf_finish(&s->sending);
	mem_free(s->host);
	mem_free(s);
}

/* -- what the user says ----------------------------------------------------------------- */

static void on_soon(struct soon *soon)
{
	struct tls_stream *s = container_of(soon, struct tls_stream, soon);

	if (s->state == TLS_BROKEN)
		tell(s);
	else if (s->state != TLS_CLOSED)
		progress(s);
}

static void tls_read_start(struct stream *stream)
{
	struct tls_stream *s = tls_of(stream);

	if (s->reading || s->state == TLS_CLOSED)
		return;
	s->reading = true;
	loop_soon(s->loop, &s->soon);
}

static void tls_read_stop(struct stream *stream)
{
	struct tls_stream *s = tls_of(stream);

	s->reading = false;
	steer(s);
}

static int tls_write(struct stream *stream, const struct str *parts, size_t n)
{
	struct tls_stream *s = tls_of(stream);
	int rc;

	assert(!s->writing && !s->shut);
	if (s->state >= TLS_BROKEN)
		return s->status ? s->status : ERR_CLOSED;
	memcpy(s->parts, parts, n * sizeof(*parts));
	s->n_parts = n;
	rc = s->state == TLS_OPEN ? push(s) : STREAM_LATER;
	s->writing = rc == STREAM_LATER;
	return rc;
}

static void tls_shutdown(struct stream *stream)
{
	struct tls_stream *s = tls_of(stream);

	assert(!s->writing);
	s->shut = true;
	if (s->state != TLS_OPEN)
		return;
	say_bye(s);
	if (flush(s) == 0)
		shut_below(s);
}

static void tls_close(struct stream *stream)
{
	struct tls_stream *s = tls_of(stream);
	int rc = 0;

	if (s->state == TLS_OPEN && !s->sending.n) {
		say_bye(s);
		rc = flush(s);
	}
	(void)rc;
	list_remove(&s->soon.node);
	move(s, TLS_CLOSED);
	stream_close(s->under);
}

static const struct stream_peer *tls_peer_of(struct stream *stream)
{
	struct tls_stream *s = tls_of(stream);

	return s->hello.peer.there && s->state >= TLS_OPEN ? &s->hello.peer.names : NULL;
}

static const struct stream_type tls_type = {
	.name = "tls",
	.read_start = tls_read_start,
	.read_stop = tls_read_stop,
	.write = tls_write,
	.shutdown = tls_shutdown,
	.close = tls_close,
	.peer = tls_peer_of,
};

struct stream *tls_stream_create(const struct tls_stream_options *options, struct stream *under)
{
	struct tls_stream *s = mem_zalloc(sizeof(*s));

	s->stream.type = &tls_type;
	s->loop = options->loop;
	s->budget = options->budget;
	s->config = tls_config_ref(options->config);
	s->log = options->log;
	s->on_ready = options->on_ready;
	s->host = options->host ? mem_strdup(options->host) : NULL;
	snprintf(s->peer, sizeof(s->peer), "%s", options->peer ? options->peer : "the peer");
	s->share.run = on_share;
	s->share.evict = on_evict;
	s->soon.run = on_soon;
	mbedtls_ssl_init(&s->ssl);
	s->under = under;
	under->data = s;
	under->on_read = on_under_read;
	under->on_written = on_under_written;
	under->on_closed = on_under_closed;
	timer_start(&s->deadline, s->loop,
		    options->handshake_ms ? options->handshake_ms : TLS_HANDSHAKE_MS, on_deadline);
	steer(s);
	if (!s->config->server)
		loop_soon(s->loop, &s->soon);
	return &s->stream;
}

const char *tls_stream_why(const struct stream *stream)
{
	return tls_of(stream)->hello.why;
}

const char *tls_stream_version(const struct stream *stream)
{
	return mbedtls_ssl_get_version(&tls_of(stream)->ssl);
}

bool tls_stream_resumed(const struct stream *stream)
{
	const struct tls_stream *s = tls_of(stream);

	return s->state >= TLS_OPEN && !s->hello.full;
}
