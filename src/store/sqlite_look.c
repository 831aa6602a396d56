/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_look.h"

#include "core/mem.h"
#include "store/sqlite_keys.h"
#include "store/sqlite_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "SQLite format 3" /* and a NUL */

static int look_at_keys(sqlite3 *db, const struct store_options *options, struct err *err)
{
	unsigned char print[SIPHASH_SIZE];
	struct seal_keys *keys = seal_keys_create();
	struct arena arena = { 0 };
	struct str sealed;
	bool made;
	int rc = meta_get(db, "print", &arena, &sealed);

	if (rc == 0) {
		if (options->keys)
			seal_keys_add_all(keys, options->keys);
		rc = sqlite_keys_add_file(keys, options->path, false, &made, err);
		if (rc == 0)
			rc = sqlite_keys_open_print(keys, sealed, &arena, print, err);
		mem_wipe(print, sizeof(print));
	} else if (rc == ERR_NOENT) {
		rc = 0;
	} else {
		rc = err_set(err, ERR_STORE, "%s", sqlite3_errmsg(db));
	}
	arena_finish(&arena);
	seal_keys_destroy(keys);
	return rc;
}

/* `immutable` keeps SQLite from locks and from files of its own. */
static const char *uri(struct arena *arena, const char *path)
{
	struct buf text = { 0 };
	const char *p, *out;

	buf_puts(&text, "file:");
	for (p = path; *p; p++)
		if (strchr("%?#", *p))
			buf_printf(&text, "%%%02X", (unsigned)*p);
		else
			buf_putc(&text, *p);
	buf_puts(&text, "?immutable=1");
	out = arena_strndup(arena, text.p, text.n);
	buf_finish(&text);
	return out;
}

static int look_inside(const struct store_options *options, struct err *err)
{
	struct arena arena = { 0 };
	int64_t version, oldest;
	sqlite3 *db = NULL;
	int rc = 0;

	if (sqlite3_open_v2(uri(&arena, options->path), &db,
			    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		rc = err_set(err, ERR_STORE, "%s", db ? sqlite3_errmsg(db) : "no memory");
	if (rc == 0)
		rc = schema_look(db, &sqlite_schema, &version, &oldest, err);
	if (rc == 0 && version > 0)
		rc = look_at_keys(db, options, err);
	sqlite3_close(db);
	arena_finish(&arena);
	return rc;
}

static bool has_log(const char *path)
{
	struct arena arena = { 0 };
	struct stat st;
	bool has = stat(arena_printf(&arena, "%s-wal", path), &st) == 0 && st.st_size > 0;

	arena_finish(&arena);
	return has;
}

/* 1: it is a database, and not an empty one. */
static int look_at_file(const char *path, struct err *err)
{
	char begin[sizeof(MAGIC)];
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st) != 0)
		return errno == ENOENT ? 0
				       : err_set(err, err_from_uv(-errno), "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "is not a plain file");
	if (access(path, R_OK | W_OK) != 0)
		return err_set(err, ERR_ACCESS, "%s", strerror(errno));
	/* closing it drops locks of this process only: it has none */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, err_from_uv(-errno), "%s", strerror(errno));
	n = read(fd, begin, sizeof(begin));
	close(fd);
	if (n > 0 && (n < (ssize_t)sizeof(begin) || memcmp(begin, MAGIC, sizeof(begin)) != 0))
		return err_set(err, ERR_UNSUPPORTED, "file is not a database");
	return n > 0;
}

int store_sqlite_look(const struct store_options *options, struct err *err)
{
	int rc = look_at_file(options->path, err);

	if (rc == 1)
		rc = has_log(options->path) ? 0 : look_inside(options, err);
	if (rc < 0 && has_log(options->path))
		rc = 0; /* somebody has begun to work with it meanwhile */
	if (rc < 0)
		err_wrap(err, "%s", options->path);
	return rc;
}
