/* core/dial: connects to the first of several addresses that answers, and says how a connection
 * is wrapped.
 *
 *   addresses  tried in order, one after the other; each gets an equal share of the time that is
 *              left, so that one that does not answer leaves time for the rest.
 *   within     ms for all of them, 0: no limit but the kernel's.
 *   stream     the connection: the caller's from done on, who ends it with stream_close().
 * done: 0; ERR_REFUSED, ERR_TIMEDOUT, ERR_NOENT or ERR_IO, err says what came of the last
 *       address; ERR_CANCELED.
 *
 * Wrapping: who wants its connections encrypted hands a struct dial_wrap to the one who dials,
 * which calls wrap->start() with the connected stream and goes on with the one that comes out.
 * So HTTP never sees TLS. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_DIAL_H
#define OSBD_CORE_DIAL_H

#include "core/call.h"
#include "core/net.h"
#include "core/timer.h"

#include <netinet/in.h>

#define DIAL_TEXT_MAX 160

struct dial_address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} to;
	socklen_t size;
};

/* "127.0.0.1" or "::1"; false when text is no IP address. */
bool dial_ip(struct str text, uint16_t port, struct dial_address *out);
/* An absolute path; false when it is none or too long. */
bool dial_unix(struct str path, struct dial_address *out);
/* "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock". */
void dial_address_text(const struct dial_address *address, char *out, size_t size);

struct dial {
	struct call call;
	const struct dial_address *addresses; /* borrowed until done */
	size_t n_addresses;
	struct net_buffer *buffer; /* the connection's, borrowed for its whole life */
	uint64_t within;
	/* out */
	struct stream *stream;
	struct err err;
	/* private */
	struct loop *loop;
	size_t at;     /* the address that is being tried */
	uint64_t ends; /* loop_now() */
	uv_poll_t poll;
	struct timer timer;
	int fd, status;
};

/* ERR_INVALID: there is no address. */
int dial_start(struct loop *loop, struct dial *dial) MUST_CHECK;

/* One wrapping under way.
 *
 * The stream below belongs to the wrapper from a start that returned 0 on: if the wrapping fails
 * it has been closed when done runs, else stream_close() of what comes out closes it too.
 * done: 0; ERR_ACCESS the peer is not who it should be; ERR_TIMEDOUT, ERR_CLOSED, ERR_SYNTAX, …;
 * err says why, in words that may be shown. */
struct dial_wrapping {
	struct call call;
	struct stream *below;
	const char *host; /* the name or IP address that the peer must prove; borrowed until done */
	uint64_t within;  /* ms, 0: no limit */
	/* out */
	struct stream *stream;
	struct err err;
	void *wrapper; /* the implementer's */
};

struct dial_wrap {
	/* Two wraps with the same id demand and present the same: connections that one has made may
	 * serve requests of the other. Unique in the process, never used again for another. */
	uint64_t id;
	/* It presents a certificate of ours, so it is not for hosts that nobody has named. */
	bool presents;
	void *data; /* the implementer's */
	/* An ERR_* returned leaves below with the caller. */
	int (*start)(const struct dial_wrap *wrap, struct loop *loop,
		     struct dial_wrapping *wrapping);
};

#endif
