/* store/seal: secrets at rest, AES-256-GCM.
 *
 *   sealed = 0x01, n, key id (n bytes), nonce (12), ciphertext, tag (16)
 *
 * The first key seals, all keys open: a new key is put in front, and rows of the old ones are
 * sealed again one by one. The place of a value (table, row, column) is additional data, so a
 * sealed value that is copied to another row or column does not open there; rows are numbered
 * before they are written, and no number is used twice. Nonces are random: a key may seal 2^32
 * values before it should be replaced.
 *
 * Errors: ERR_SEALED (unknown key, wrong place, altered, cut) from opening; from key files
 * ERR_NOENT, ERR_ACCESS (readable by others), ERR_SYNTAX, ERR_IO; ERR_EXISTS: two keys of one id.
 * Source: NIST SP 800-38D. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SEAL_H
#define OSBD_STORE_SEAL_H

#include "core/arena.h"
#include "core/buf.h"

#define SEAL_KEY_SIZE 32
#define SEAL_KEY_ID_MAX 64

struct seal_keys;

/* Where a value is kept. */
struct seal_place {
	const char *table, *column; /* static */
	int64_t row;
};

struct seal_keys *seal_keys_create(void);
void seal_keys_destroy(struct seal_keys *keys); /* wipes; NULL is fine */
size_t seal_keys_count(const struct seal_keys *keys);
/* Adds behind the others: the first one added seals. id: 1 to SEAL_KEY_ID_MAX bytes; key: 32
 * bytes, or text that stands for them: 64 hex digits, or standard base64 of 32 bytes. */
int seal_keys_add(struct seal_keys *keys, struct str id, struct str key,
		  struct err *err) MUST_CHECK;
/* Adds all of from's keys behind these; one that is there already is skipped. */
void seal_keys_add_all(struct seal_keys *keys, const struct seal_keys *from);
/* Adds the key that a file holds (64 hex digits), its id made from the key. create: when there
 * is no file, makes one (0600) with a random key, durably; *made tells. */
int seal_keys_add_file(struct seal_keys *keys, const char *path, bool create, bool *made,
		       struct err *err) MUST_CHECK;
/* The id of the i-th key, in the order in which they were added; the one that seals is the first
 * unless seal_keys_use() chose another. */
struct str seal_keys_id(const struct seal_keys *keys, size_t i);
/* From now on that key seals; one that is not there changes nothing. */
void seal_keys_use(struct seal_keys *keys, struct str id);
/* Adds a random key that is kept nowhere, for stores that keep nothing. */
void seal_keys_add_random(struct seal_keys *keys);

/* Appends plain's sealed form; there is a key. */
void seal_close(struct seal_keys *keys, const struct seal_place *place, struct str plain,
		struct buf *out);
/* The plain bytes, NUL behind them, in the arena. */
int seal_open(struct seal_keys *keys, const struct seal_place *place, struct str sealed,
	      struct arena *arena, struct str *plain) MUST_CHECK;
/* Was it sealed with the key that seals now? */
bool seal_is_current(const struct seal_keys *keys, struct str sealed);
/* The id of the key a value was sealed with; empty when it is no sealed value. */
struct str seal_key_id(struct str sealed);

#endif
