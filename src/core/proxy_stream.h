/* core/proxy_stream: a stream over a stream that takes the PROXY header off.
 *
 * The stream belongs to its user like any other, and the one below belongs to it. The user reads;
 * before the first byte reaches him, on_header says what the header says. Then he may hand the
 * stream to somebody else (TLS), who sets callbacks of his own: what came behind the header goes
 * to whoever reads then. Writing before on_header is fine.
 *
 * No header or a broken one: on_read gets ERR_SYNTAX or ERR_TOOBIG; an end before the header is
 * whole: ERR_CLOSED. Then on_header never runs, and the connection must be closed. There is no
 * deadline here.
 * Source: core/proxy_protocol. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_PROXY_STREAM_H
#define OSBD_CORE_PROXY_STREAM_H

#include "core/proxy_protocol.h"
#include "core/stream.h"

/* header is borrowed for the call; stream->data is the user's. He may close the stream. */
typedef void (*proxy_header_done)(struct stream *stream, const struct proxy_header *header);

struct stream *proxy_stream_create(struct loop *loop, struct stream *under,
				   proxy_header_done on_header);

#endif
