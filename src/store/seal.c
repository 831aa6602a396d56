/* SPDX-License-Identifier: Apache-2.0 */
#include "store/seal.h"

#include "core/digest.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/gcm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define NONCES 64 /* fetched from the kernel at once */

struct seal_key {
	char id[SEAL_KEY_ID_MAX];
	size_t id_n;
	unsigned char key[SEAL_KEY_SIZE];
	mbedtls_gcm_context gcm;
};

struct seal_keys {
	struct seal_key **keys; /* owned, each owned: a GCM context is not moved */
	size_t n;
	size_t seals; /* index of the key that does */
	unsigned char nonces[NONCES * NONCE_SIZE];
	size_t nonces_left;
};

struct seal_keys *seal_keys_create(void)
{
	return mem_zalloc(sizeof(struct seal_keys));
}

void seal_keys_destroy(struct seal_keys *keys)
{
	size_t i;

	if (!keys)
		return;
	for (i = 0; i < keys->n; i++) {
		mbedtls_gcm_free(&keys->keys[i]->gcm);
		mem_wipe(keys->keys[i], sizeof(*keys->keys[i]));
		mem_free(keys->keys[i]);
	}
	mem_free(keys->keys);
	mem_free(keys);
}

size_t seal_keys_count(const struct seal_keys *keys)
{
	return keys->n;
}

static struct seal_key *find(const struct seal_keys *keys, struct str id)
{
	size_t i;

	for (i = 0; i < keys->n; i++)
		if (str_eq(str_make(keys->keys[i]->id, keys->keys[i]->id_n), id))
			return keys->keys[i];
	return NULL;
}

static void add(struct seal_keys *keys, struct str id, const unsigned char *key)
{
	struct seal_key *one = mem_zalloc(sizeof(*one));

	memcpy(one->id, id.p, id.n);
	one->id_n = id.n;
	memcpy(one->key, key, SEAL_KEY_SIZE);
	mbedtls_gcm_init(&one->gcm);
	if (mbedtls_gcm_setkey(&one->gcm, MBEDTLS_CIPHER_ID_AES, key, SEAL_KEY_SIZE * 8) != 0)
		abort(); /* AES-256 is compiled in, and memory is there */
	keys->keys = mem_realloc(keys->keys, (keys->n + 1) * sizeof(struct seal_key *));
	keys->keys[keys->n++] = one;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool key_from_hex(struct str text, unsigned char key[SEAL_KEY_SIZE])
{
	size_t i;

	if (text.n != SEAL_KEY_SIZE * 2)
		return false;
	for (i = 0; i < SEAL_KEY_SIZE; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static bool key_from_base64(struct str text, unsigned char key[SEAL_KEY_SIZE])
{
	struct arena arena = { 0 };
	struct str raw;
	bool ok = text.n <= 64 && base64_decode(&arena, text, &raw) == 0 && raw.n == SEAL_KEY_SIZE;

	if (ok) {
		memcpy(key, raw.p, SEAL_KEY_SIZE);
		mem_wipe((char *)raw.p, raw.n);
	}
	arena_finish(&arena);
	return ok;
}

int seal_keys_add(struct seal_keys *keys, struct str id, struct str key, struct err *err)
{
	unsigned char raw[SEAL_KEY_SIZE];

	if (id.n == 0 || id.n > SEAL_KEY_ID_MAX)
		return err_set(err, ERR_INVALID, "a key id has 1 to %d bytes, not %zu",
			       SEAL_KEY_ID_MAX, id.n);
	if (find(keys, id))
		return err_set(err, ERR_EXISTS, "there are two keys of the id \"%.*s\"",
			       STR_ARG(id));
	if (key.n == SEAL_KEY_SIZE)
		memcpy(raw, key.p, SEAL_KEY_SIZE);
	else if (!key_from_hex(key, raw) && !key_from_base64(key, raw))
		return err_set(err, ERR_SYNTAX,
			       "key \"%.*s\": not 32 bytes, 64 hex digits or base64 of 32 bytes",
			       STR_ARG(id));
	add(keys, id, raw);
	mem_wipe(raw, sizeof(raw));
	return 0;
}

void seal_keys_add_all(struct seal_keys *keys, const struct seal_keys *from)
{
	size_t i;

	for (i = 0; i < from->n; i++) {
		struct str id = str_make(from->keys[i]->id, from->keys[i]->id_n);

		if (!find(keys, id))
			add(keys, id, from->keys[i]->key);
	}
}

/* -- key files -------------------------------------------------------------------------- */

static int sync_directory(const char *path, struct err *err)
{
	char *dir = mem_strdup(path), *slash = strrchr(dir, '/');
	int fd, rc = 0;

	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		rc = err_set(err, ERR_IO, "%s: %s", slash ? dir : ".", strerror(errno));
	if (fd >= 0)
		close(fd);
	mem_free(dir);
	return rc;
}

static int write_key(const char *path, const char *text, size_t n, struct err *err)
{
	char *tmp = mem_alloc(strlen(path) + 5);
	int fd, rc = 0;

	sprintf(tmp, "%s.new", path);
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) != 0 || rename(tmp, path) != 0)
		rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (rc != 0)
		unlink(tmp);
	mem_free(tmp);
	return rc == 0 ? sync_directory(path, err) : rc;
}

static int make_key(const char *path, char *text, struct err *err)
{
	unsigned char raw[SEAL_KEY_SIZE];
	int rc;

	random_bytes(raw, sizeof(raw));
	hex_encode(raw, sizeof(raw), text);
	mem_wipe(raw, sizeof(raw));
	text[SEAL_KEY_SIZE * 2] = '\n';
	rc = write_key(path, text, SEAL_KEY_SIZE * 2 + 1, err);
	text[SEAL_KEY_SIZE * 2] = '\0';
	return rc;
}

static int read_key(const char *path, char *text, struct err *err)
{
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, err_from_uv(-errno), "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && (st.st_mode & 077) != 0) {
		close(fd);
		return err_set(err, ERR_ACCESS,
			       "%s: other users may read this key (mode %04o); it must be 0600",
			       path, (unsigned)st.st_mode & 07777);
	}
	n = read(fd, text, SEAL_KEY_SIZE * 2 + 2);
	close(fd);
	if (n < 0)
		return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	if (n == SEAL_KEY_SIZE * 2 + 1 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	if (n != SEAL_KEY_SIZE * 2)
		return err_set(err, ERR_SYNTAX, "%s: not a key of 64 hex digits", path);
	return 0;
}

int seal_keys_add_file(struct seal_keys *keys, const char *path, bool create, bool *made,
		       struct err *err)
{
	unsigned char raw[SEAL_KEY_SIZE], sum[SHA256_SIZE];
	char text[SEAL_KEY_SIZE * 2 + 3], id[4 + 16 + 1] = "key-";
	int rc;

	*made = create && access(path, F_OK) != 0 && errno == ENOENT;
	rc = *made ? make_key(path, text, err) : read_key(path, text, err);
	if (rc == 0 && !key_from_hex(str_of(text), raw))
		rc = err_set(err, ERR_SYNTAX, "%s: not a key of 64 hex digits", path);
	if (rc == 0) {
		digest_sha256(raw, sizeof(raw), sum);
		hex_encode(sum, 8, id + 4);
		if (!find(keys, str_of(id)))
			add(keys, str_of(id), raw);
	}
	mem_wipe(text, sizeof(text));
	mem_wipe(raw, sizeof(raw));
	return rc;
}

void seal_keys_add_random(struct seal_keys *keys)
{
	unsigned char raw[SEAL_KEY_SIZE];
	char id[9];

	random_bytes(raw, sizeof(raw));
	random_id(id, 8);
	add(keys, str_of(id), raw);
	mem_wipe(raw, sizeof(raw));
}

/* -- sealing ---------------------------------------------------------------------------- */

/* "table\0column\0row", the row as 8 bytes, high first. */
static size_t place_bytes(const struct seal_place *place, unsigned char out[128])
{
	size_t t = strlen(place->table) + 1, c = strlen(place->column) + 1;
	uint64_t row = (uint64_t)place->row;
	int i;

	if (t + c + 8 > 128)
		abort(); /* names are static */
	memcpy(out, place->table, t);
	memcpy(out + t, place->column, c);
	for (i = 0; i < 8; i++)
		out[t + c + (size_t)i] = (unsigned char)(row >> (56 - 8 * i));
	return t + c + 8;
}

static const unsigned char *next_nonce(struct seal_keys *keys)
{
	if (keys->nonces_left == 0) {
		random_bytes(keys->nonces, sizeof(keys->nonces));
		keys->nonces_left = NONCES;
	}
	return keys->nonces + NONCE_SIZE * --keys->nonces_left;
}

void seal_close(struct seal_keys *keys, const struct seal_place *place, struct str plain,
		struct buf *out)
{
	struct seal_key *key = keys->keys[keys->seals];
	unsigned char where[128];
	size_t where_n = place_bytes(place, where), head = 2 + key->id_n;
	size_t size = head + NONCE_SIZE + plain.n + TAG_SIZE;
	unsigned char *p = (unsigned char *)buf_room(out, size);

	p[0] = VERSION;
	p[1] = (unsigned char)key->id_n;
	memcpy(p + 2, key->id, key->id_n);
	memcpy(p + head, next_nonce(keys), NONCE_SIZE);
	if (mbedtls_gcm_crypt_and_tag(&key->gcm, MBEDTLS_GCM_ENCRYPT, plain.n, p + head, NONCE_SIZE,
				      where, where_n, (const unsigned char *)plain.p,
				      p + head + NONCE_SIZE, TAG_SIZE, p + size - TAG_SIZE) != 0)
		abort(); /* only lengths that no caller has can fail */
	out->n += size;
}

struct str seal_key_id(struct str sealed)
{
	const unsigned char *p = (const unsigned char *)sealed.p;

	if (sealed.n < 2 || p[0] != VERSION || p[1] == 0 || p[1] > SEAL_KEY_ID_MAX ||
	    sealed.n < 2 + (size_t)p[1] + NONCE_SIZE + TAG_SIZE)
		return STR("");
	return str_make(sealed.p + 2, p[1]);
}

bool seal_is_current(const struct seal_keys *keys, struct str sealed)
{
	struct str id = seal_key_id(sealed);

	return id.n > 0 && keys->n > 0 && find(keys, id) == keys->keys[keys->seals];
}

int seal_open(struct seal_keys *keys, const struct seal_place *place, struct str sealed,
	      struct arena *arena, struct str *plain)
{
	struct str id = seal_key_id(sealed);
	struct seal_key *key = id.n > 0 ? find(keys, id) : NULL;
	const unsigned char *p = (const unsigned char *)sealed.p;
	unsigned char where[128];
	size_t where_n, head, n;
	unsigned char *out;

	if (!key)
		return ERR_SEALED;
	head = 2 + id.n;
	n = sealed.n - head - NONCE_SIZE - TAG_SIZE;
	where_n = place_bytes(place, where);
	out = arena_alloc(arena, n + 1);
	if (mbedtls_gcm_auth_decrypt(&key->gcm, n, p + head, NONCE_SIZE, where, where_n,
				     p + sealed.n - TAG_SIZE, TAG_SIZE, p + head + NONCE_SIZE,
				     out) != 0)
		return ERR_SEALED;
	out[n] = '\0';
	*plain = str_make((char *)out, n);
	return 0;
}

/* -- which key seals -------------------------------------------------------------------- */

struct str seal_keys_id(const struct seal_keys *keys, size_t i)
{
	return str_make(keys->keys[i]->id, keys->keys[i]->id_n);
}

void seal_keys_use(struct seal_keys *keys, struct str id)
{
	size_t i;

	for (i = 0; i < keys->n; i++)
		if (str_eq(seal_keys_id(keys, i), id))
			keys->seals = i;
}
