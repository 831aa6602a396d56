/* core/cidr: sets of addresses: networks, single addresses, and unix sockets.
 *
 *   "10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "::1", "unix"
 *
 * Numbers only. An IPv4 address in IPv6 clothes (::ffff:192.0.2.7) is the IPv4 address; a network
 * of IPv6, ::/0 too, holds no IPv4 address. Bits behind the length are an error: whoever writes
 * 10.1.2.3/8 may have meant another length.
 * Source: RFC 4632, RFC 4291 section 2. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CIDR_H
#define OSBD_CORE_CIDR_H

#include "core/err.h"
#include "core/str.h"

#include <netinet/in.h>

struct cidr {
	unsigned char bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned bits;           /* 0 … 128 */
	bool local;              /* "unix": the rest says nothing */
};

struct cidr_set {
	const struct cidr *items;
	size_t n;
};

/* 0, or ERR_SYNTAX and *why, a static text that goes on after "must be …". */
int cidr_parse(struct str text, struct cidr *out, const char **why) MUST_CHECK;
/* peer as core/net says it: "192.0.2.7", "::1", "unix". Anything else is in no set. */
bool cidr_set_has(const struct cidr_set *set, struct str peer);
/* A numeric address in the spelling of core/net; false: it is none. */
bool cidr_address(struct str text, char out[INET6_ADDRSTRLEN]);

#endif
