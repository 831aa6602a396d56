/* sql/my_relay: TLS for a connection of libmariadb, which speaks plainly to us and we encrypted to
 * the server.
 *
 * libmariadb waits for its own TLS handshake without leaving the loop to others, and verifies the
 * certificate against the address that it connects to, not against the name. So it gets a unix
 * socket in a private folder, taken away as soon as it has connected, and behind it:
 *
 *   GREETING  the server's first packet; what it says of TLS is hidden from libmariadb, and without
 *             it the end has come
 *   LOGIN     libmariadb's answer; its head is the server's SSLRequest
 *   SHAKING   TLS, with the name verified
 *   SIGNING   the answer itself and what follows, its numbers one higher than libmariadb counts,
 *             until the server says yes or no
 *   OPEN      bytes both ways
 *
 * No password leaves before the server has proved its name. The relay ends by itself when either
 * side does; its maker leaves it, and it goes when all is closed.
 * Source: MySQL Client/Server Protocol, "Connection Phase". */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_MY_RELAY_H
#define OSBD_SQL_MY_RELAY_H

#include "core/dns.h"

struct my_relay_options {
	const struct dial_wrap *wrap; /* outlives the relay */
	const char *host;             /* whom the certificate must be for; copied */
	const char *directory;        /* 0700, ours: for the socket */
	const struct dial_address *addresses;
	size_t n_addresses;
	uint64_t within; /* ms: connecting and the handshake, each */
};

struct my_relay;

/* The socket listens when it returns 0. */
int my_relay_create(struct loop *loop, const struct my_relay_options *options,
		    struct my_relay **out, struct err *err) MUST_CHECK;
const char *my_relay_path(const struct my_relay *relay);
/* Why it ended; code 0: it did not, or libmariadb ended it. */
const struct err *my_relay_why(const struct my_relay *relay);
/* NULL is fine. */
void my_relay_leave(struct my_relay *relay);

#endif
