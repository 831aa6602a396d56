/* core/stream: bytes both ways, over whatever carries them.
 *
 * TCP and unix sockets are streams (core/net), TLS is a stream over a stream, and stream_pair()
 * makes two that are joined in memory. The rules for user and implementer:
 *
 *  1. The user sets on_read, on_written, on_closed and data before anything else.
 *  2. on_read runs from the loop, only between stream_read_start() and stream_read_stop(): n > 0
 *     bytes, borrowed for the call; 0 the peer sends no more (it may still read); negative ERR_*,
 *     the connection is lost. After 0 or ERR_* on_read does not run again.
 *  3. stream_write() returns 0: all bytes are taken; STREAM_LATER: the rest is on its way and
 *     stays borrowed until on_written, or on_closed if that comes first; ERR_*: the connection is
 *     lost. One write at a time.
 *  4. stream_shutdown() says that nothing more will be written; no write may be under way.
 *  5. stream_close() may be called once, at any time, from a callback too. After it only
 *     on_closed runs, once, from the loop: then nothing borrowed is in use any more. The stream
 *     is gone when on_closed has returned, unless its maker says otherwise. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_STREAM_H
#define OSBD_CORE_STREAM_H

#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "core/str.h"

#include <sys/types.h>

#define STREAM_LATER 1
#define STREAM_PARTS_MAX 4

struct stream;

/* Who the peer has proved to be, by a certificate that was verified: all its names. */
struct stream_peer {
	const struct str *names;
	size_t n_names;
};

struct stream_type {
	const char *name;
	void (*read_start)(struct stream *stream);
	void (*read_stop)(struct stream *stream);
	int (*write)(struct stream *stream, const struct str *parts, size_t n);
	void (*shutdown)(struct stream *stream);
	void (*close)(struct stream *stream);
	/* NULL: such streams never know */
	const struct stream_peer *(*peer)(struct stream *stream);
};

struct stream {
	const struct stream_type *type;
	void *data;
	void (*on_read)(struct stream *stream, const char *p, ssize_t n);
	void (*on_written)(struct stream *stream, int status);
	void (*on_closed)(struct stream *stream);
};

void stream_read_start(struct stream *stream); /* started already: nothing */
void stream_read_stop(struct stream *stream);
/* parts: 1 to STREAM_PARTS_MAX, in order; empty ones are fine. */
int stream_write(struct stream *stream, const struct str *parts, size_t n) MUST_CHECK;
void stream_shutdown(struct stream *stream);
void stream_close(struct stream *stream);
/* NULL: the peer has proved nothing. Known from the first on_read on; valid until on_closed. */
const struct stream_peer *stream_peer(struct stream *stream);

/* One end of a pair in memory. The maker keeps both alive until each has been closed. */
struct stream_end {
	struct stream stream;
	struct loop *loop;
	struct stream_end *peer; /* NULL once the peer is gone */
	struct buf in;           /* bytes on their way to on_read */
	size_t room;             /* bytes that in takes before the peer's write has to wait */
	struct str parts[STREAM_PARTS_MAX]; /* what waits for the peer's room */
	size_t n_parts;
	bool reading, shut, ended, closing;
	struct soon soon;
};

/* Each end takes room bytes that its owner has not read yet. */
void stream_pair(struct loop *loop, struct stream_end *a, struct stream_end *b, size_t room);

#endif
