/* SPDX-License-Identifier: Apache-2.0 */
#include "core/digest.h"

#include "core/mem.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <mbedtls/md5.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <sys/random.h>

/* These fail only when mbedTLS is built without the algorithm. */
static void must(int rc)
{
	if (rc != 0)
		abort();
}

void digest_sha256(const void *p, size_t n, unsigned char out[SHA256_SIZE])
{
	must(mbedtls_sha256(p, n, out, 0));
}

void digest_md5(const void *p, size_t n, unsigned char out[MD5_SIZE])
{
	must(mbedtls_md5(p, n, out));
}

void digest_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n,
			unsigned char out[SHA256_SIZE])
{
	must(mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key, key_n, p, n, out));
}

void hex_encode(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = p;
	size_t i;

	for (i = 0; i < n; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * n] = '\0';
}

struct str base64_encode(struct arena *arena, const void *p, size_t n)
{
	size_t size = (n + 2) / 3 * 4 + 1, len;
	char *out = arena_alloc(arena, size);

	must(mbedtls_base64_encode((unsigned char *)out, size, &len, p, n));
	return str_make(out, len);
}

int base64_decode(struct arena *arena, struct str text, struct str *out)
{
	char *packed = arena_alloc(arena, text.n + 1);
	char *bytes = arena_alloc(arena, text.n / 4 * 3 + 4);
	size_t i, n = 0, len;

	for (i = 0; i < text.n; i++)
		if (!strchr(" \t\r\n", text.p[i]) || text.p[i] == '\0')
			packed[n++] = text.p[i];
	if (n % 4 != 0 || mbedtls_base64_decode((unsigned char *)bytes, text.n / 4 * 3 + 3, &len,
						(unsigned char *)packed, n) != 0)
		return ERR_SYNTAX;
	bytes[len] = '\0';
	*out = str_make(bytes, len);
	return 0;
}

int base64_decode_into(struct str text, void *out, size_t size, size_t *n)
{
	size_t i;
	int rc;

	for (i = 0; i < text.n; i++)
		if (text.p[i] <= ' ') /* mbedTLS would skip these */
			return ERR_SYNTAX;
	if (text.n % 4 != 0)
		return ERR_SYNTAX;
	/* the bits behind the last byte are 0, or several texts would mean the same */
	if (str_ends(text, STR("==")) && !strchr("AQgw", text.p[text.n - 3]))
		return ERR_SYNTAX;
	if (str_ends(text, STR("=")) && text.p[text.n - 2] != '=' &&
	    !strchr("AEIMQUYcgkosw048", text.p[text.n - 2]))
		return ERR_SYNTAX;
	rc = mbedtls_base64_decode(out, size, n, (const unsigned char *)text.p, text.n);
	if (rc == MBEDTLS_ERR_BASE64_BUFFER_TOO_SMALL)
		return ERR_TOOBIG;
	return rc == 0 ? 0 : ERR_SYNTAX;
}

void random_bytes(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		at += got;
		n -= (size_t)got;
	}
}

void random_id(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	unsigned char bytes[32];
	size_t i = 0, at = sizeof(bytes);

	while (i < n) {
		if (at == sizeof(bytes)) {
			random_bytes(bytes, sizeof(bytes));
			at = 0;
		}
		if (bytes[at] < 252) /* 7 * 36: every digit is as likely */
			out[i++] = digits[bytes[at] % 36];
		at++;
	}
	out[n] = '\0';
	mem_wipe(bytes, sizeof(bytes));
}
