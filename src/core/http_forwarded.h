/* core/http_forwarded: who asks, as trusted proxies say it in X-Forwarded-For and -Proto.
 *
 * A proxy appends the address it was asked from, so X-Forwarded-For is true from its right end up
 * to the first address that is no trusted proxy's: that one asks. What stands left of it anybody
 * may have written. An entry that is no address ends it too, and the proxy that wrote it is who
 * asks; a port behind the address is ignored. X-Forwarded-Proto counts when its last value is
 * "http" or "https".
 *
 * Source: what nginx, HAProxy and Gorouter send; RFC 7239 section 7.1 describes it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_FORWARDED_H
#define OSBD_CORE_HTTP_FORWARDED_H

#include "core/cidr.h"
#include "core/http.h"

/* peer: who has the connection. True: he is trusted, and has said on behalf of whom he asks. */
bool http_forwarded_for(const struct http_request *req, const struct cidr_set *trusted,
			struct str peer, char out[INET6_ADDRSTRLEN]);
/* "http", "https" or {NULL, 0}; for a peer who is trusted. Static. */
struct str http_forwarded_proto(const struct http_request *req);

#endif
