/* core/proxy_protocol: who really connected, as a balancer in front says it (versions 1 and 2).
 *
 * A pure parser over the first bytes of a connection, for listeners that trust their peer. The
 * header stands before everything else, TLS included.
 *
 *   0         the header is whole: *used bytes of it; header is set
 *   ERR_BUSY  what is there is a part of a header: read more, at most PROXY_PROTOCOL_MAX bytes
 *   ERR_SYNTAX, ERR_TOOBIG  it is none: the connection must be closed
 *
 * LOCAL (v2) and UNKNOWN (v1) keep the connection's own addresses: known is false.
 * Source: HAProxy, "The PROXY protocol, versions 1 & 2", 2020. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_PROXY_PROTOCOL_H
#define OSBD_CORE_PROXY_PROTOCOL_H

#include "core/err.h"
#include "core/str.h"

#include <netinet/in.h>

#define PROXY_PROTOCOL_V1_MAX 107 /* with CRLF */
#define PROXY_PROTOCOL_MAX 536    /* v2: 16 bytes, and as many as one segment surely carries */

struct proxy_header {
	bool known;
	char source[INET6_ADDRSTRLEN]; /* numeric */
	uint16_t source_port;
};

int proxy_protocol_parse(struct str bytes, struct proxy_header *header, size_t *used) MUST_CHECK;

#endif
