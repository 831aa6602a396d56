/* tls/tls_stream: TLS as a stream over a stream, for servers and clients (core/stream.h says what
 * a stream is). mbedTLS sees no descriptor: it reads what came and writes what will be sent.
 *
 *      NEW --a whole record--> SHAKING --Finished--> OPEN
 *       |                         |                   |
 *       '--- garbage, deadline, peer gone, refused ---+--> BROKEN --> CLOSED (from anywhere)
 *
 *   NEW      a server has nothing but the bytes that came, at most one record: whoever sends
 *            nothing, garbage, or a byte at a time, costs no TLS context and no computation
 *   SHAKING  computes only when a whole flight's records are there and the budget lets it
 *   OPEN     data both ways; what the user does not read stays with the peer
 *   BROKEN   the peer got an alert, the user an error; nothing moves any more
 *
 * Written early: a client may write before the handshake is over, it goes out behind it.
 *
 * Errors on on_read and on_written: ERR_TIMEDOUT the handshake took too long; ERR_ACCESS the peer's
 * certificate is missing or wrong, or the peer refused ours; ERR_SYNTAX not TLS, or nothing in
 * common; ERR_FULL too many handshakes at once; ERR_CLOSED the connection ended without a
 * close_notify, so what came may be cut. tls_stream_why() says more. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_STREAM_H
#define OSBD_TLS_TLS_STREAM_H

#include "core/log.h"
#include "core/stream.h"
#include "tls/tls_budget.h"
#include "tls/tls_config.h"

#define TLS_HANDSHAKE_MS SEC(10)

struct tls_stream_options {
	struct loop *loop;
	struct tls_budget *budget; /* outlives the stream */
	struct tls_config *config; /* a server's or a client's; a reference is taken */
	uint64_t handshake_ms;     /* 0: TLS_HANDSHAKE_MS */
	const struct log *log;     /* of failed handshakes; may be NULL */
	const char *peer;          /* its address, for the log; copied; may be NULL */
	const char *host; /* client: the name or the IP address that the certificate must be for */
	/* The handshake has ended: 0, or ERR_* and why. Once, from the loop, unless the stream was
	 * closed before. May be NULL. */
	void (*on_ready)(struct stream *stream, int status, const char *why);
};

/* Takes under over: it is used, and closed, by the new stream only. */
struct stream *tls_stream_create(const struct tls_stream_options *options, struct stream *under);
/* What broke it, as text: "certificate \"x\"; it expired on …"; "" while nothing did. */
const char *tls_stream_why(const struct stream *stream);
/* "TLSv1.2", "TLSv1.3"; when the handshake is over. */
const char *tls_stream_version(const struct stream *stream);
bool tls_stream_resumed(const struct stream *stream);

#endif
