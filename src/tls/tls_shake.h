/* tls/tls_shake: the first half of a tls_stream's life, its handshake, and its end, whenever that
 * comes; and what this shares with the second half, tls/tls_stream, whose header says what the
 * states are. For these two only.
 *
 * What comes is kept in `in` until mbedTLS takes it; during a handshake it is shown whole records
 * only (in_end), so that `in` always begins with one. What mbedTLS sends is gathered in `out`, and
 * what the stream below has not taken yet stands in `sending`. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_SHAKE_H
#define OSBD_TLS_TLS_SHAKE_H

#include "core/buf.h"
#include "core/log.h"
#include "core/stream.h"
#include "core/timer.h"
#include "tls/tls_budget.h"
#include "tls/tls_config.h"

#define TLS_PEER_MAX 64

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
	char peer[TLS_PEER_MAX];
};

void tls_move(struct tls_stream *s, enum tls_state to);
/* As far as the bytes and the budget go. */
void tls_shake(struct tls_stream *s);
/* It broke, for this reason unless one is known already: the user is told. */
void tls_broken(struct tls_stream *s, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
void tls_broken_by(struct tls_stream *s, int rc); /* what mbedTLS has returned */
/* Tells the user what he does not know yet. */
void tls_tell(struct tls_stream *s);
void tls_tell_read(struct tls_stream *s, int status);
/* True: mbedTLS, which returned rc, is to be called once more. */
bool tls_wants_no_more(struct tls_stream *s, int rc);

/* In tls/tls_stream. */
/* Reads below as long as somebody wants the bytes. */
void tls_steer(struct tls_stream *s);
/* 0: everything is taken below. STREAM_LATER, ERR_*. */
int tls_flush(struct tls_stream *s);

#endif
