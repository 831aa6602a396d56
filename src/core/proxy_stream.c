/* Bytes are gathered in head until the parser says that the header is whole. What came behind it
 * in the same read is handed on at once when somebody reads, else kept in rest until he does. From
 * then on everything is passed through. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/proxy_stream.h"

#include "core/buf.h"
#include "core/mem.h"

struct proxy_stream {
	struct stream stream;
	struct stream *under;
	proxy_header_done on_header;
	struct loop *loop;
	struct soon soon; /* hands rest on */
	struct buf rest;
	char head[PROXY_PROTOCOL_MAX];
	size_t n_head;
	bool reading, known, broken, closing;
};

static struct proxy_stream *proxy_of(struct stream *stream)
{
	return container_of(stream, struct proxy_stream, stream);
}

static void give(struct proxy_stream *s, const char *p, ssize_t n)
{
	s->stream.on_read(&s->stream, p, n);
}

static void refuse(struct proxy_stream *s, int code)
{
	s->broken = true;
	stream_read_stop(s->under);
	give(s, NULL, code);
}

static void run_rest(struct soon *soon)
{
	struct proxy_stream *s = container_of(soon, struct proxy_stream, soon);
	struct buf rest = s->rest;

	if (s->closing || !s->reading || !rest.n)
		return;
	s->rest = (struct buf){ 0 };
	stream_read_start(s->under);
	give(s, rest.p, (ssize_t)rest.n);
	buf_finish(&rest);
}

/* Takes what belongs to the header; the number of bytes that do. */
static size_t take_head(struct proxy_stream *s, const char *p, size_t n)
{
	size_t room = sizeof(s->head) - s->n_head, before = s->n_head, used = 0;
	size_t took = n < room ? n : room;
	struct proxy_header header;
	int rc;

	memcpy(s->head + s->n_head, p, took);
	s->n_head += took;
	rc = proxy_protocol_parse(str_make(s->head, s->n_head), &header, &used);
	if (rc == ERR_BUSY)
		return took;
	if (rc != 0) {
		refuse(s, rc);
		return n;
	}
	s->known = true;
	s->on_header(&s->stream, &header);
	return used - before;
}

static void on_read(struct stream *under, const char *p, ssize_t n)
{
	struct proxy_stream *s = under->data;
	size_t used = 0;

	if (n > 0 && !s->known) {
		used = take_head(s, p, (size_t)n);
		if (s->closing || s->broken || used == (size_t)n)
			return;
		if (!s->reading) {
			buf_put(&s->rest, p + used, (size_t)n - used);
			stream_read_stop(under);
			return;
		}
	}
	if (n <= 0 && !s->known)
		refuse(s, n < 0 ? (int)n : ERR_CLOSED);
	else
		give(s, p ? p + used : NULL, n > 0 ? n - (ssize_t)used : n);
}

static void on_written(struct stream *under, int status)
{
	struct proxy_stream *s = under->data;

	s->stream.on_written(&s->stream, status);
}

static void on_closed(struct stream *under)
{
	struct proxy_stream *s = under->data;

	s->stream.on_closed(&s->stream);
	buf_finish(&s->rest);
	mem_free(s);
}

static void proxy_read_start(struct stream *stream)
{
	struct proxy_stream *s = proxy_of(stream);

	s->reading = true;
	if (s->rest.n)
		loop_soon(s->loop, &s->soon);
	else if (!s->broken)
		stream_read_start(s->under);
}

static void proxy_read_stop(struct stream *stream)
{
	struct proxy_stream *s = proxy_of(stream);

	s->reading = false;
	stream_read_stop(s->under);
}

static int proxy_write(struct stream *stream, const struct str *parts, size_t n)
{
	return stream_write(proxy_of(stream)->under, parts, n);
}

static void proxy_shutdown(struct stream *stream)
{
	stream_shutdown(proxy_of(stream)->under);
}

static void proxy_close(struct stream *stream)
{
	struct proxy_stream *s = proxy_of(stream);

	s->closing = true;
	list_remove(&s->soon.node);
	stream_close(s->under);
}

static const struct stream_peer *proxy_peer(struct stream *stream)
{
	return stream_peer(proxy_of(stream)->under);
}

static const struct stream_type proxy_type = {
	.name = "proxy",
	.read_start = proxy_read_start,
	.read_stop = proxy_read_stop,
	.write = proxy_write,
	.shutdown = proxy_shutdown,
	.close = proxy_close,
	.peer = proxy_peer,
};

struct stream *proxy_stream_create(struct loop *loop, struct stream *under,
				   proxy_header_done on_header)
{
	struct proxy_stream *s = mem_zalloc(sizeof(*s));

	s->stream.type = &proxy_type;
	s->loop = loop;
	s->under = under;
	s->on_header = on_header;
	s->soon.run = run_rest;
	under->data = s;
	under->on_read = on_read;
	under->on_written = on_written;
	under->on_closed = on_closed;
	return &s->stream;
}
