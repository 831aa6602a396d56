/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_keys.h"

#include "core/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *sqlite_directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_strdup(".");
	return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int sqlite_keys_add_file(struct seal_keys *keys, const char *path, bool create, bool *made,
			 struct err *err)
{
	char *dir = sqlite_directory_of(path);
	char *file = mem_alloc(strlen(dir) + sizeof("/seal.key"));
	bool given = seal_keys_count(keys) > 0;
	int rc = 0;

	*made = false;
	sprintf(file, "%s/seal.key", dir);
	if (!given || access(file, F_OK) == 0)
		rc = seal_keys_add_file(keys, file, create && !given, made, err);
	if (rc == ERR_NOENT)
		rc = err_set(err, rc,
			     "%s is missing and no keys are configured: what the store keeps is "
			     "sealed with it",
			     file);
	mem_free(file);
	mem_free(dir);
	return rc;
}

int sqlite_keys_open_print(struct seal_keys *keys, struct str sealed, struct arena *arena,
			   unsigned char print[SIPHASH_SIZE], struct err *err)
{
	struct seal_place place = { "meta", "print", 0 };
	struct str plain;

	if (seal_open(keys, &place, sealed, arena, &plain) != 0 || plain.n != SIPHASH_SIZE)
		return err_set(err, ERR_SEALED,
			       "none of the keys opens the store: key \"%.*s\" does",
			       STR_ARG(seal_key_id(sealed)));
	memcpy(print, plain.p, SIPHASH_SIZE);
	mem_wipe((char *)plain.p, plain.n);
	return 0;
}
