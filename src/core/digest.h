/* core/digest: hashes, base64, hex, randomness (mbedTLS). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_DIGEST_H
#define OSBD_CORE_DIGEST_H

#include "core/arena.h"
#include "core/str.h"

#include <stdint.h>

#define SHA256_SIZE 32
#define MD5_SIZE 16

void digest_sha256(const void *p, size_t n, unsigned char out[SHA256_SIZE]);
void digest_md5(const void *p, size_t n, unsigned char out[MD5_SIZE]); /* names only, not safety */
void digest_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n,
			unsigned char out[SHA256_SIZE]);

/* Lower-case hex, 2 * n + 1 bytes, NUL-terminated. */
void hex_encode(const void *p, size_t n, char *out);
/* Standard base64 with padding (RFC 4648 section 4). */
struct str base64_encode(struct arena *arena, const void *p, size_t n);
/* ERR_SYNTAX when it is not base64; spaces and line ends are skipped. */
int base64_decode(struct arena *arena, struct str text, struct str *out) MUST_CHECK;

/* Strict, for secrets: only the one text that base64_encode() gives for the bytes, out belongs to
 * the caller. ERR_SYNTAX; ERR_TOOBIG when out is too small. */
int base64_decode_into(struct str text, void *out, size_t size, size_t *n) MUST_CHECK;

/* From the kernel (getrandom); never fails, never blocks once the machine is up. */
void random_bytes(void *p, size_t n);
/* n characters of [0-9a-z] and a NUL: short ids that need no escaping. */
void random_id(char *out, size_t n);

#endif
