/* The pair: a write puts bytes into the peer's `in` as far as its room goes, and keeps the rest in
 * parts. Everything else happens in turn(), from the loop: deliver what came, then the end, then
 * move what waits here to the peer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream.h"

#include <assert.h>

void stream_read_start(struct stream *stream)
{
	stream->type->read_start(stream);
}

void stream_read_stop(struct stream *stream)
{
	stream->type->read_stop(stream);
}

int stream_write(struct stream *stream, const struct str *parts, size_t n)
{
	assert(n >= 1 && n <= STREAM_PARTS_MAX);
	return stream->type->write(stream, parts, n);
}

void stream_shutdown(struct stream *stream)
{
	stream->type->shutdown(stream);
}

void stream_close(struct stream *stream)
{
	stream->type->close(stream);
}

const struct stream_peer *stream_peer(struct stream *stream)
{
	return stream->type->peer ? stream->type->peer(stream) : NULL;
}

/* -- a pair in memory ------------------------------------------------------------------- */

static struct stream_end *end_of(struct stream *stream)
{
	return container_of(stream, struct stream_end, stream);
}

static void wake(struct stream_end *end)
{
	if (end)
		loop_soon(end->loop, &end->soon);
}

static void end_read_start(struct stream *stream)
{
	end_of(stream)->reading = true;
	wake(end_of(stream));
}

static void end_read_stop(struct stream *stream)
{
	end_of(stream)->reading = false;
}

/* Moves what waits into the peer's room; true when nothing is left. */
static bool push(struct stream_end *end)
{
	struct stream_end *peer = end->peer;
	size_t i;

	for (i = 0; i < end->n_parts; i++) {
		struct str *part = &end->parts[i];
		size_t free_room = peer->room > peer->in.n ? peer->room - peer->in.n : 0;
		size_t n = part->n < free_room ? part->n : free_room;

		buf_put(&peer->in, part->p, n);
		part->p += n;
		part->n -= n;
		if (part->n)
			break;
	}
	wake(peer);
	if (i < end->n_parts)
		return false;
	end->n_parts = 0;
	return true;
}

static int end_write(struct stream *stream, const struct str *parts, size_t n)
{
	struct stream_end *end = end_of(stream);

	assert(!end->shut && !end->n_parts);
	if (!end->peer)
		return ERR_CLOSED;
	memcpy(end->parts, parts, n * sizeof(*parts));
	end->n_parts = n;
	return push(end) ? 0 : STREAM_LATER;
}

static void end_shutdown(struct stream *stream)
{
	struct stream_end *end = end_of(stream);

	assert(!end->n_parts);
	end->shut = true;
	wake(end->peer);
}

static void end_close(struct stream *stream)
{
	struct stream_end *end = end_of(stream);

	assert(!end->closing);
	end->closing = true;
	if (end->peer) {
		end->peer->peer = NULL;
		wake(end->peer);
		end->peer = NULL;
	}
	wake(end);
}

static void turn(struct soon *soon)
{
	struct stream_end *end = container_of(soon, struct stream_end, soon);
	struct stream *stream = &end->stream;

	if (end->closing) {
		buf_finish(&end->in);
		stream->on_closed(stream);
		return;
	}
	if (end->reading && end->in.n) {
		struct buf got = end->in;

		end->in = (struct buf){ 0 };
		wake(end->peer); /* there is room again */
		wake(end);       /* for the end, which may have come too */
		stream->on_read(stream, got.p, (ssize_t)got.n);
		buf_finish(&got);
		return;
	}
	if (end->n_parts && (!end->peer || push(end))) {
		end->n_parts = 0;
		wake(end);
		stream->on_written(stream, end->peer ? 0 : ERR_CLOSED);
		return;
	}
	if (end->reading && !end->ended && (!end->peer || end->peer->shut)) {
		end->ended = true;
		stream->on_read(stream, NULL, 0);
	}
}

static const struct stream_type pair_type = {
	.name = "memory",
	.read_start = end_read_start,
	.read_stop = end_read_stop,
	.write = end_write,
	.shutdown = end_shutdown,
	.close = end_close,
};

void stream_pair(struct loop *loop, struct stream_end *a, struct stream_end *b, size_t room)
{
	*a = (struct stream_end){ .stream.type = &pair_type, .loop = loop, .room = room };
	*b = *a;
	a->peer = b;
	b->peer = a;
	a->soon.run = b->soon.run = turn;
}
