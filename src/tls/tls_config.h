/* tls/tls_config: what a listener or a client speaks: certificates, trust, versions, suites.
 *
 * Immutable and counted: each stream holds the generation it began with, a reload makes a new
 * one, and the old one goes with its last stream. Files are read when it is made.
 *
 *   pairs      certificate chains (PEM, leaf first) and their keys (PEM, no passphrase). The first
 *              is for peers that name no host or one that no certificate is for; several may fit
 *              a name (ECDSA and RSA), then the peer's abilities choose.
 *   client_ca  who signs clients' certificates. Without it clients are not asked for one. A
 *              certificate that does not verify is refused, also where none is demanded.
 *   suites     names as IANA has them; AEAD and forward secrecy only, there are no others here.
 *
 * Groups are X25519, P-256, P-384, in this order: what is larger only costs more here. Session
 * resumption without a key exchange is off, so is renegotiation; ALPN is http/1.1.
 *
 * Errors, as text that names the file: not there, not PEM, no certificate in it, a key that does
 * not belong to the certificate, a suite that does not exist. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_CONFIG_H
#define OSBD_TLS_TLS_CONFIG_H

#include "tls/tls_ticket.h"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#define TLS_FILE_MAX (4 << 20) /* bytes of a PEM file */
#define TLS_WHY_MAX 384

struct tls_files {
	const char *certificate, *key; /* paths */
};

enum tls_clients { TLS_CLIENTS_OPTIONAL, TLS_CLIENTS_REQUIRED };

struct tls_server_options {
	const struct tls_files *pairs;
	size_t n_pairs;        /* at least 1 */
	const char *client_ca; /* path; NULL: clients are not asked */
	enum tls_clients clients;
	int min_version; /* 12 or 13; 0: 12 */
	const struct str *suites;
	size_t n_suites;             /* 0: all */
	struct tls_tickets *tickets; /* borrowed for as long as the configuration; NULL: none */
};

struct tls_client_options {
	const char *ca;        /* path of a bundle; NULL: the system's */
	struct tls_files pair; /* what we show when asked; NULL, NULL: nothing */
	int min_version;       /* 12 or 13; 0: 12 */
};

struct tls_pair {
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
};

struct tls_config {
	size_t refs;
	bool server;
	mbedtls_ssl_config conf;
	struct tls_pair *pairs;
	size_t n_pairs;
	mbedtls_x509_crt ca;
	bool has_ca, required;
	int *suites; /* ends with 0 */
	struct tls_tickets *tickets;
	unsigned char scope[SHA256_SIZE]; /* of its tickets */
	struct tls_hello *hello;          /* the handshake that runs right now */
};

/* What a handshake learns about the peer; embedded in its stream. */
struct tls_hello {
	mbedtls_ssl_context *ssl;
	struct tls_config *config;
	uint64_t now; /* ms since 1970 */
	bool full;    /* certificates are exchanged: nothing is taken from a ticket */
	struct tls_peer peer;
	unsigned char ip[16]; /* client: the address that the certificate must be for */
	size_t n_ip;
	const char *host;      /* client: for messages */
	uint32_t flags;        /* MBEDTLS_X509_BADCERT_*, of the whole chain */
	char why[TLS_WHY_MAX]; /* what is wrong with the peer's certificate; "" */
};

int tls_server_config(const struct tls_server_options *options, struct tls_config **out,
		      struct err *err) MUST_CHECK;
int tls_client_config(const struct tls_client_options *options, struct tls_config **out,
		      struct err *err) MUST_CHECK;
struct tls_config *tls_config_ref(struct tls_config *config);
void tls_config_unref(struct tls_config *config); /* NULL is fine */

/* When the certificate of pair i ends, ms since 1970. */
uint64_t tls_config_not_after(const struct tls_config *config, size_t i);
uint64_t tls_config_not_before(const struct tls_config *config, size_t i);

/* An mbedTLS error as text: "SSL - …"; buf holds it. */
const char *tls_error_text(int rc, char *buf, size_t size);

/* For tls/tls_stream: the callback of certificate verification; data is the tls_hello. */
int tls_on_verify(void *data, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

#endif
