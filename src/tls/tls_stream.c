/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_stream.h"

#include "core/mem.h"
#include "tls/tls_shake.h"

#include <assert.h>
#include <stdio.h>

#define PLAIN_MAX 16384
#define OUT_MAX (64 << 10)   /* encrypted ahead of the stream below */
#define AHEAD_MAX (32 << 10) /* bytes kept of a peer whose handshake waits */

static void progress(struct tls_stream *s);

static struct tls_stream *tls_of(const struct stream *stream)
{
	return container_of((struct stream *)(uintptr_t)stream, struct tls_stream, stream);
}

/* -- the stream below ------------------------------------------------------------------- */

static size_t backlog(const struct tls_stream *s)
{
	return s->in.n - s->in_at;
}

void tls_steer(struct tls_stream *s)
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

int tls_flush(struct tls_stream *s)
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
		rc = tls_flush(s);
	}
	if (rc == 0)
		rc = tls_flush(s);
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
			   tls_wants_no_more(s, n)) {
			continue; /* no data: there may be some behind it */
		} else if (n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE) {
			break;
		} else if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
			tls_tell_read(s, 0);
		} else {
			tls_broken_by(s, n ? n : MBEDTLS_ERR_SSL_CONN_EOF);
			return;
		}
	}
	if (s->state != TLS_OPEN)
		return;
	/* alerts of mbedTLS' own: one for each renegotiation that is asked for */
	if (tls_flush(s) < 0)
		tls_broken(s, ERR_CLOSED, "the connection is lost");
	else if (s->out.n > 2 * OUT_MAX)
		tls_broken(s, ERR_FULL, "the peer makes us answer, and does not read");
}

static void progress(struct tls_stream *s)
{
	bool early = s->state < TLS_OPEN;

	tls_shake(s);
	if (early && s->state == TLS_OPEN && s->shut && !s->writing) {
		say_bye(s);
		if (tls_flush(s) == 0)
			shut_below(s);
	}
	write_on(s);
	read_on(s);
	if (s->feed.n && s->state != TLS_CLOSED)
		keep(s, s->feed.p, s->feed.n);
	s->feed = str_make(NULL, 0);
	tls_steer(s);
}

/* -- what the deadline and the budget say ------------------------------------------------ */

static void on_deadline(struct timer *timer)
{
	struct tls_stream *s = container_of(timer, struct tls_stream, deadline);

	tls_broken(s, ERR_TIMEDOUT, "the handshake took too long");
}

static void on_evict(struct tls_share *share)
{
	tls_broken(container_of(share, struct tls_stream, share), ERR_FULL,
		   "too many handshakes at once, this was the oldest");
}

static void on_share(struct tls_share *share)
{
	struct tls_stream *s = container_of(share, struct tls_stream, share);

	s->granted = true;
	progress(s);
	s->granted = false;
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
		rc = tls_flush(s);
	if (rc < 0)
		tls_broken(s, ERR_CLOSED, "the connection is lost");
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
		tls_tell(s);
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
	tls_steer(s);
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
	if (tls_flush(s) == 0)
		shut_below(s);
}

static void tls_close(struct stream *stream)
{
	struct tls_stream *s = tls_of(stream);
	int rc = 0;

	if (s->state == TLS_OPEN && !s->sending.n) {
		say_bye(s);
		rc = tls_flush(s);
	}
	(void)rc;
	list_remove(&s->soon.node);
	tls_move(s, TLS_CLOSED);
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
	tls_steer(s);
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
