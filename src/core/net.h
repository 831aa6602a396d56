/* core/net: TCP and unix sockets as streams, on libuv.
 *
 *   address  "127.0.0.1:8080", "[::1]:0" (numbers only: nothing is resolved; [::] does not take
 *            IPv4), "unix:/run/osbd.sock" (absolute), "fd:3" (a descriptor that listens already: it
 *            belongs to the listener from then on). Port 0: the kernel picks one.
 *
 * A listener accepts by itself and hands over streams. When the process or the system has no
 * descriptor left it rests for NET_REST_MS and tries again; whoever waits, waits in the kernel.
 * Writing to a connection that the peer has closed raises SIGPIPE unless it is ignored: main does
 * so for the process, and every test that uses sockets. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_NET_H
#define OSBD_CORE_NET_H

#include "core/loop.h"
#include "core/stream.h"
#include "core/timer.h"

#include <sys/un.h>

#define NET_REST_MS 100
#define NET_ADDRESS_MAX 128

/* Where reads go before on_read sees them: one for all connections of an owner. */
struct net_buffer {
	char *p;
	size_t size;
};

struct net_listener {
	struct loop *loop;
	struct net_buffer *buffer; /* borrowed by the listener and by its connections */
	bool reuse_port; /* other sockets that say so too may listen on the same address and port */
	void *data;
	/* peer: "127.0.0.1", "::1" or "unix"; borrowed for the call. The stream is the user's, who
	 * ends it with stream_close(); its memory goes by itself after on_closed. */
	void (*on_stream)(struct net_listener *listener, struct stream *stream, const char *peer);
	/* ERR_FULL: the listener rests, as said above; once until it has accepted again. May be
	 * NULL. */
	void (*on_trouble)(struct net_listener *listener, int code);
	void (*on_closed)(struct net_listener *listener);
	/* private */
	uv_poll_t poll;
	struct timer rest;
	int fd;
	bool paused, closing, resting, troubled, tcp;
	/* of a unix socket that we have made, else "" */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev;
	ino_t ino;
};

/* Fill loop, buffer, data and the callbacks first. bound gets the address with its real port. A
 * unix socket that nobody listens on any more is replaced. Errors name the address: ERR_INVALID
 * it is none, ERR_BUSY it is in use, ERR_ACCESS, ERR_NOENT, ERR_EXISTS a file that is no socket
 * is in the way. A descriptor that cannot be used stays open. */
int net_listen(struct net_listener *listener, const char *address, char *bound, size_t bound_size,
	       struct err *err) MUST_CHECK;
/* While paused, connections wait in the kernel. */
void net_listener_pause(struct net_listener *listener);
void net_listener_resume(struct net_listener *listener);
/* Takes what waits in the kernel right now, at most max of them. */
void net_listener_accept(struct net_listener *listener, size_t max);
/* A stream over a connected socket, which belongs to it from here on: its user ends it with
 * stream_close(), and its memory goes by itself after on_closed. tcp: not a unix socket. NULL:
 * the loop has no room for it, and the socket is closed. */
struct stream *net_stream(struct loop *loop, struct net_buffer *buffer, int fd, bool tcp);

/* The socket is closed at once, and a unix socket's path removed if it is still ours; on_closed
 * runs once, from the loop. */
void net_listener_close(struct net_listener *listener);

#endif
