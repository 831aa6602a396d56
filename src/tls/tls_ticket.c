/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_ticket.h"

#include "core/mem.h"

#include <assert.h>
#include <mbedtls/gcm.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_time.h>

#define VERSION 1
#define NONCE 12
#define TAG 16
#define FRAME (TLS_TICKET_ID + NONCE + TAG)
#define NAMES_MAX 16
#define NAME_MAX_BYTES 255

/* -- who the peer is ---------------------------------------------------------------------- */

void tls_peer_finish(struct tls_peer *peer)
{
	arena_finish(&peer->arena);
	memset(peer, 0, sizeof(*peer));
}

uint64_t tls_time(const mbedtls_x509_time *time)
{
	/* days since 1970 of the Gregorian calendar; years begin in March */
	int64_t y = time->year - (time->mon <= 2), m = (time->mon + 9) % 12;
	int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + time->day - 719469;
	int64_t s = ((days * 24 + time->hour) * 60 + time->min) * 60 + time->sec;

	return s > 0 ? (uint64_t)s * 1000 : 0;
}

/* A control character, NUL above all, may hide what stands behind it. */
static bool name_ok(const unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] < ' ' || p[i] == 0x7f)
			return false;
	return n && n <= NAME_MAX_BYTES && str_is_utf8(str_make((const char *)p, n));
}

static void add_name(struct tls_peer *peer, struct str *names, const unsigned char *p, size_t n)
{
	if (peer->names.n_names < NAMES_MAX && name_ok(p, n))
		names[peer->names.n_names++] =
			arena_str(&peer->arena, str_make((const char *)p, n));
}

static struct str *new_names(struct tls_peer *peer)
{
	struct str *names = arena_zalloc(&peer->arena, NAMES_MAX * sizeof(*names));

	peer->names.names = names;
	peer->names.n_names = 0;
	return names;
}

void tls_peer_set(struct tls_peer *peer, const mbedtls_x509_crt *crt, uint64_t now)
{
	const mbedtls_x509_name *rdn;
	const mbedtls_x509_sequence *san;
	struct str *names;

	tls_peer_finish(peer);
	names = new_names(peer);
	for (rdn = &crt->subject; rdn; rdn = rdn->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &rdn->oid) == 0)
			add_name(peer, names, rdn->val.p, rdn->val.len);
	for (san = &crt->subject_alt_names; san; san = san->next) {
		int kind = san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;

		if (kind == MBEDTLS_X509_SAN_DNS_NAME || kind == MBEDTLS_X509_SAN_RFC822_NAME ||
		    kind == MBEDTLS_X509_SAN_UNIFORM_RESOURCE_IDENTIFIER)
			add_name(peer, names, san->buf.p, san->buf.len);
	}
	digest_sha256(crt->raw.p, crt->raw.len, peer->digest);
	peer->not_after = tls_time(&crt->valid_to);
	peer->proved = now;
	peer->there = true;
}

/* -- keys --------------------------------------------------------------------------------- */

void tls_tickets_init(struct tls_tickets *tickets, struct loop *loop)
{
	*tickets = (struct tls_tickets){ .loop = loop };
}

void tls_tickets_finish(struct tls_tickets *tickets)
{
	mem_wipe(tickets->keys, sizeof(tickets->keys));
	tickets->n_keys = 0;
}

void tls_tickets_set(struct tls_tickets *tickets, const struct tls_ticket_key *keys, size_t n)
{
	assert(n >= 1 && n <= TLS_TICKET_KEYS);
	mem_wipe(tickets->keys, sizeof(tickets->keys));
	memcpy(tickets->keys, keys, n * sizeof(*keys));
	tickets->n_keys = n;
	tickets->given = true;
}

static void make_own(struct tls_tickets *tickets, uint64_t now)
{
	struct tls_ticket_key *keys = tickets->keys;

	if (tickets->given || (tickets->n_keys && now >= tickets->made_at &&
			       now - tickets->made_at < TLS_TICKET_ROTATE_MS))
		return;
	keys[1] = keys[0];
	random_bytes(keys[0].id, sizeof(keys[0].id));
	random_bytes(keys[0].secret, sizeof(keys[0].secret));
	keys[0].not_after = now + 2 * TLS_TICKET_ROTATE_MS;
	tickets->n_keys = tickets->n_keys ? 2 : 1;
	tickets->made_at = now;
}

static const struct tls_ticket_key *find_key(const struct tls_tickets *tickets,
					     const unsigned char *id, uint64_t now)
{
	size_t i;

	for (i = 0; i < tickets->n_keys; i++)
		if (memcmp(tickets->keys[i].id, id, TLS_TICKET_ID) == 0)
			return now < tickets->keys[i].not_after ? &tickets->keys[i] : NULL;
	return NULL;
}

static int set_gcm(mbedtls_gcm_context *gcm, const struct tls_ticket_key *key,
		   const unsigned char scope[SHA256_SIZE])
{
	unsigned char derived[SHA256_SIZE];
	int rc;

	digest_hmac_sha256(key->secret, sizeof(key->secret), scope, SHA256_SIZE, derived);
	mbedtls_gcm_init(gcm);
	rc = mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, derived, sizeof(derived) * 8);
	mem_wipe(derived, sizeof(derived));
	return rc;
}

/* -- plain text --------------------------------------------------------------------------- */

static void put_number(struct buf *out, uint64_t value, int bytes)
{
	while (bytes--)
		buf_putc(out, (char)(value >> (8 * bytes)));
}

static bool get_number(struct str *in, int bytes, uint64_t *value)
{
	*value = 0;
	if (in->n < (size_t)bytes)
		return false;
	for (; bytes; bytes--, in->p++, in->n--)
		*value = *value << 8 | (unsigned char)*in->p;
	return true;
}

static void put_peer(struct buf *out, const struct tls_peer *peer)
{
	size_t i;

	put_number(out, peer->not_after, 8);
	buf_put(out, peer->digest, sizeof(peer->digest));
	put_number(out, peer->names.n_names, 1);
	for (i = 0; i < peer->names.n_names; i++) {
		put_number(out, peer->names.names[i].n, 1);
		buf_put_str(out, peer->names.names[i]);
	}
}

static bool get_peer(struct str *in, struct tls_peer *peer)
{
	struct str *names = new_names(peer);
	uint64_t count, n;

	if (!get_number(in, 8, &peer->not_after) || in->n < SHA256_SIZE)
		return false;
	memcpy(peer->digest, in->p, SHA256_SIZE);
	*in = str_make(in->p + SHA256_SIZE, in->n - SHA256_SIZE);
	if (!get_number(in, 1, &count))
		return false;
	while (count--) {
		if (!get_number(in, 1, &n) || in->n < n)
			return false;
		add_name(peer, names, (const unsigned char *)in->p, n);
		*in = str_make(in->p + n, in->n - n);
	}
	peer->there = true;
	return true;
}

/* -- seal and open ------------------------------------------------------------------------ */

int tls_ticket_seal(struct tls_tickets *tickets, const unsigned char scope[SHA256_SIZE],
		    const mbedtls_ssl_session *session, const struct tls_peer *peer,
		    unsigned char *start, const unsigned char *end, size_t *len, uint32_t *lifetime)
{
	uint64_t now = loop_wall(tickets->loop), until = now + TLS_TICKET_LIFE_MS;
	const struct tls_ticket_key *key;
	struct buf plain = { 0 };
	mbedtls_gcm_context gcm;
	unsigned char *p = start;
	size_t n = 0;
	int rc;

	make_own(tickets, now);
	key = &tickets->keys[0];
	if (peer->there && peer->not_after < until)
		until = peer->not_after;
	if (peer->there && peer->proved + TLS_TICKET_CHAIN_MS < until)
		until = peer->proved + TLS_TICKET_CHAIN_MS;
	if (key->not_after < until)
		until = key->not_after;
	if (until < now + 1000)
		until = now + 1000; /* TLS 1.3 has no way to give none; opening it looks again */
	put_number(&plain, VERSION, 1);
	put_number(&plain, now, 8);
	put_number(&plain, peer->there ? peer->proved : now, 8);
	put_number(&plain, peer->there, 1);
	if (peer->there)
		put_peer(&plain, peer);
	rc = mbedtls_ssl_session_save(session, (unsigned char *)buf_room(&plain, TLS_TICKET_MAX),
				      TLS_TICKET_MAX, &n);
	plain.n += rc == 0 ? n : 0;
	if (rc == 0 && (size_t)(end - start) < plain.n + FRAME)
		rc = MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
	if (rc != 0) {
		buf_wipe(&plain);
		return rc;
	}
	memcpy(p, key->id, TLS_TICKET_ID);
	p += TLS_TICKET_ID;
	random_bytes(p, NONCE);
	rc = set_gcm(&gcm, key, scope);
	if (rc == 0)
		rc = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, plain.n, p, NONCE, start,
					       TLS_TICKET_ID, (unsigned char *)plain.p, p + NONCE,
					       TAG, p + NONCE + plain.n);
	mbedtls_gcm_free(&gcm);
	*len = plain.n + FRAME;
	*lifetime = (uint32_t)((until - now) / 1000);
	buf_wipe(&plain);
	return rc;
}

/* What was sealed is ours, but it may be too old. */
static int read_plain(struct tls_tickets *tickets, struct str in, mbedtls_ssl_session *session,
		      struct tls_peer *peer)
{
	uint64_t now = loop_wall(tickets->loop), version, created, has_peer, age;
	int rc;

	if (!get_number(&in, 1, &version) || version != VERSION || !get_number(&in, 8, &created) ||
	    !get_number(&in, 8, &peer->proved) || !get_number(&in, 1, &has_peer) ||
	    (has_peer && !get_peer(&in, peer)))
		return MBEDTLS_ERR_SSL_BAD_INPUT_DATA;
	age = now > created ? now - created : 0; /* another node's clock may be ahead a little */
	if (age >= TLS_TICKET_LIFE_MS || (has_peer && now >= peer->not_after) ||
	    (has_peer && now >= peer->proved + TLS_TICKET_CHAIN_MS))
		return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
	rc = mbedtls_ssl_session_load(session, (const unsigned char *)in.p, in.n);
	if (rc == 0)
		session->MBEDTLS_PRIVATE(ticket_creation_time) =
			mbedtls_ms_time() - (mbedtls_ms_time_t)age;
	return rc;
}

int tls_ticket_open(struct tls_tickets *tickets, const unsigned char scope[SHA256_SIZE],
		    mbedtls_ssl_session *session, struct tls_peer *peer, unsigned char *ticket,
		    size_t len)
{
	uint64_t now = loop_wall(tickets->loop);
	unsigned char *nonce = ticket + TLS_TICKET_ID, *text = nonce + NONCE;
	const struct tls_ticket_key *key;
	mbedtls_gcm_context gcm;
	struct buf plain = { 0 };
	size_t n;
	int rc;

	if (len < FRAME || len > TLS_TICKET_MAX + FRAME + NAMES_MAX * (NAME_MAX_BYTES + 1) + 64)
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	key = find_key(tickets, ticket, now);
	if (!key)
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	n = len - FRAME;
	rc = set_gcm(&gcm, key, scope);
	if (rc == 0)
		rc = mbedtls_gcm_auth_decrypt(&gcm, n, nonce, NONCE, ticket, TLS_TICKET_ID,
					      text + n, TAG, text,
					      (unsigned char *)buf_room(&plain, n + 1));
	mbedtls_gcm_free(&gcm);
	if (rc != 0) {
		buf_wipe(&plain);
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	}
	plain.n = n;
	rc = read_plain(tickets, buf_str(&plain), session, peer);
	if (rc != 0) {
		tls_peer_finish(peer);
		mbedtls_ssl_session_free(session);
	}
	buf_wipe(&plain);
	return rc;
}
