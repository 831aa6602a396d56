/* core/dns: names to addresses, on c-ares, without a thread.
 *
 *   name   a host name, with or without a trailing dot, or an IP address, which is taken as it
 *          stands and asks nobody. Names with a numeric last label (as 1.2.3 or 010.1.1.1) are
 *          neither and are refused.
 *   asked  what resolv.conf and nsswitch.conf say: /etc/hosts, the servers with their options,
 *          search domains for names with few dots. IPv4 and IPv6, in the order of RFC 6724.
 *          NSS modules and mDNS are not; a local stub resolver (127.0.0.53) is reached as any.
 *   out    at most DNS_ADDRESSES_MAX addresses, ready to be dialled.
 * done: 0; ERR_NOENT there is no such name, or it has no address; ERR_TIMEDOUT no server has
 *       answered; ERR_IO none can be reached, or they refuse or fail; ERR_CANCELED. err says it in words.
 * start: ERR_INVALID the name is not one.
 *
 * When resolv.conf has changed, which is looked at once a second at most, the next look-up uses a
 * new channel; the old one goes when its last look-up has ended. c-ares could do so itself, but
 * newer releases start a thread for it. A look-up that is canceled ends at once for its caller;
 * c-ares finishes it in the background, because cancelling would end all others too. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_DNS_H
#define OSBD_CORE_DNS_H

#include "core/call.h"
#include "core/dial.h"

#define DNS_ADDRESSES_MAX 16
#define DNS_NAME_MAX 253
#define DNS_LOOK_MS 1000

struct dns_config {
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
	const char *servers;     /* "127.0.0.1:5300,[::1]:53" instead of those of resolv.conf */
	int try_ms;              /* wait for an answer, 0: as resolv.conf or c-ares say */
	int tries;               /* per server, 0: likewise */
};

/* One per loop. It keeps the loop running until it is destroyed: sockets may stay open. */
struct dns;

/* config is copied. ERR_IO when c-ares does not start. */
int dns_create(struct loop *loop, const struct dns_config *config, struct dns **out,
	       struct err *err) MUST_CHECK;
/* Every look-up must have ended. Not from inside a done. NULL is fine. */
void dns_destroy(struct dns *dns);

struct dns_lookup {
	struct call call;
	struct str name;
	uint16_t port; /* goes into the addresses */
	/* out */
	struct dial_address addresses[DNS_ADDRESSES_MAX];
	size_t n_addresses;
	struct err err;
	/* private */
	struct loop *loop;
	struct dns_query *query;
};

int dns_start(struct dns *dns, struct dns_lookup *lookup) MUST_CHECK;

#endif
