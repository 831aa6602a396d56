/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_scram.h"

#include "core/digest.h"
#include "core/mem.h"

#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>

int pg_scram(struct arena *arena, struct str password, const unsigned char salt[PG_SCRAM_SALT],
	     struct str *out)
{
	unsigned char salted[SHA256_SIZE], key[SHA256_SIZE], stored[SHA256_SIZE],
		own[PG_SCRAM_SALT];
	struct str salt_text, stored_text, server_text;
	size_t i;

	for (i = 0; i < password.n; i++)
		if (password.p[i] < 0x20 || password.p[i] > 0x7e)
			return ERR_INVALID;
	if (!salt) {
		random_bytes(own, sizeof(own));
		salt = own;
	}
	if (mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA256, (const unsigned char *)password.p,
					  password.n, salt, PG_SCRAM_SALT, PG_SCRAM_ITERATIONS,
					  sizeof(salted), salted) != 0)
		return ERR_UNSUPPORTED;
	digest_hmac_sha256(salted, sizeof(salted), "Client Key", 10, key);
	digest_sha256(key, sizeof(key), stored);
	digest_hmac_sha256(salted, sizeof(salted), "Server Key", 10, key);
	salt_text = base64_encode(arena, salt, PG_SCRAM_SALT);
	stored_text = base64_encode(arena, stored, sizeof(stored));
	server_text = base64_encode(arena, key, sizeof(key));
	*out = str_of(arena_printf(arena, "SCRAM-SHA-256$%d:%.*s$%.*s:%.*s", PG_SCRAM_ITERATIONS,
				   STR_ARG(salt_text), STR_ARG(stored_text), STR_ARG(server_text)));
	mem_wipe(salted, sizeof(salted));
	mem_wipe(key, sizeof(key));
	return 0;
}
