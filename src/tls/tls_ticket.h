/* tls/tls_ticket: session tickets of our own making, and the keys that open them.
 *
 * mbedTLS' own tickets do not hold who the peer is: a TLS 1.3 session that resumes under mutual
 * TLS has no certificate, and its identity is lost; and they still open after the client CA was
 * changed. Here a ticket carries the identity, and what a ticket is sealed with is derived from
 * the key and the scope of the listener (its client CA and what it demands), so it opens only
 * where the same proof would be accepted. It also ends with the certificate that proved the
 * identity, and TLS_TICKET_CHAIN_MS after that proof at the latest, however often it is renewed.
 *
 * Keys come from whoever calls tls_tickets_set(): the first one seals, all open, until their
 * not_after. Nodes that are given the same keys open each other's tickets. Before the first
 * call, and without one, this process makes its own and replaces them every TLS_TICKET_ROTATE_MS.
 *
 * Ages count on the wall clock: mbedTLS counts on a clock of the machine, which differs between
 * nodes and starts anew with each boot.
 *
 *   ticket  key id (16), nonce (12), AES-256-GCM of the plain text with the id as additional
 *           data, tag (16)
 *   plain   version (1), created (8, ms since 1970), proved (8), has peer (1), the peer, then
 *           what mbedtls_ssl_session_save() gives */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_TICKET_H
#define OSBD_TLS_TLS_TICKET_H

#include "core/buf.h"
#include "core/digest.h"
#include "core/loop.h"
#include "core/stream.h"

#include <mbedtls/ssl.h>

#define TLS_TICKET_KEYS 4
#define TLS_TICKET_ID 16
#define TLS_TICKET_SECRET 32
#define TLS_TICKET_LIFE_MS HOUR(12) /* of one ticket */
#define TLS_TICKET_ROTATE_MS \
	HOUR(12)                   /* a key of our own seals this long, and opens as long again */
#define TLS_TICKET_CHAIN_MS DAY(1) /* of an identity, renewed tickets included */
#define TLS_TICKET_MAX 8192        /* bytes; no ticket is given for a session that needs more */

struct tls_ticket_key {
	unsigned char id[TLS_TICKET_ID];
	unsigned char secret[TLS_TICKET_SECRET];
	uint64_t not_after; /* ms since 1970: opens until then */
};

struct tls_tickets {
	struct loop *loop;
	struct tls_ticket_key keys[TLS_TICKET_KEYS]; /* the first seals */
	size_t n_keys;
	bool given;       /* they are somebody else's: not replaced here */
	uint64_t made_at; /* when our own newest was made */
};

/* Who a certificate says the peer is. Owned by a stream. */
struct tls_peer {
	struct stream_peer names;
	unsigned char digest[SHA256_SIZE]; /* of the certificate */
	uint64_t not_after;                /* of it, ms since 1970 */
	uint64_t proved;                   /* when, ms since 1970 */
	struct arena arena;                /* of the names */
	bool there;
};

void tls_peer_finish(struct tls_peer *peer);
/* The names of a certificate that was verified: its common name, then DNS names, e-mail addresses
 * and URIs. What holds control characters is left out. */
void tls_peer_set(struct tls_peer *peer, const mbedtls_x509_crt *crt, uint64_t now);
/* ms since 1970 */
uint64_t tls_time(const mbedtls_x509_time *time);

void tls_tickets_init(struct tls_tickets *tickets, struct loop *loop);
void tls_tickets_finish(struct tls_tickets *tickets);
/* 1 to TLS_TICKET_KEYS keys, copied. They replace all there were. */
void tls_tickets_set(struct tls_tickets *tickets, const struct tls_ticket_key *keys, size_t n);

/* Writes a ticket for session at start. peer->there false: an anonymous one. 0 and *len and
 * *lifetime (seconds), or an mbedTLS error. */
int tls_ticket_seal(struct tls_tickets *tickets, const unsigned char scope[SHA256_SIZE],
		    const mbedtls_ssl_session *session, const struct tls_peer *peer,
		    unsigned char *start, const unsigned char *end, size_t *len,
		    uint32_t *lifetime);
/* The way back. peer must be zeroes; it is filled when the ticket holds one. */
int tls_ticket_open(struct tls_tickets *tickets, const unsigned char scope[SHA256_SIZE],
		    mbedtls_ssl_session *session, struct tls_peer *peer, unsigned char *ticket,
		    size_t len);

#endif
