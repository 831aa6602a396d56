/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_log.h"

#include "core/mem.h"

#include <string.h>

#define ROOM (128 * 1024)

struct log_file {
	sqlite3_file file; /* first */
	sqlite3_file *base;
	char *p; /* owned: n bytes that belong at `at` */
	int n;
	sqlite3_int64 at;
};

static struct log_file *log_of(sqlite3_file *file)
{
	return (struct log_file *)(void *)file;
}

static sqlite3_file *base_of(sqlite3_file *file)
{
	return log_of(file)->base;
}

/* What is gathered goes to the kernel. After an error it is dropped: SQLite writes it anew. */
static int flush(struct log_file *log)
{
	int n = log->n;

	log->n = 0;
	return n ? log->base->pMethods->xWrite(log->base, log->p, n, log->at) : SQLITE_OK;
}

/* -- the log's methods ------------------------------------------------------------------ */

static int log_close(sqlite3_file *file)
{
	struct log_file *log = log_of(file);
	int rc = flush(log), closed = log->base->pMethods->xClose(log->base);

	mem_free(log->p);
	return rc != SQLITE_OK ? rc : closed;
}

static int log_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	int rc = flush(log_of(file));

	return rc != SQLITE_OK ? rc : base_of(file)->pMethods->xRead(base_of(file), p, n, at);
}

static int log_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct log_file *log = log_of(file);
	int rc = SQLITE_OK;

	if (log->n && (at != log->at + log->n || n > ROOM - log->n))
		rc = flush(log);
	if (rc != SQLITE_OK)
		return rc;
	if (n > ROOM)
		return log->base->pMethods->xWrite(log->base, p, n, at);
	if (log->n == 0)
		log->at = at;
	memcpy(log->p + log->n, p, (size_t)n);
	log->n += n;
	return SQLITE_OK;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = flush(log_of(file));

	return rc != SQLITE_OK ? rc : base_of(file)->pMethods->xTruncate(base_of(file), size);
}

static int log_sync(sqlite3_file *file, int flags)
{
	int rc = flush(log_of(file));

	return rc != SQLITE_OK ? rc : base_of(file)->pMethods->xSync(base_of(file), flags);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *size)
{
	int rc = flush(log_of(file));

	return rc != SQLITE_OK ? rc : base_of(file)->pMethods->xFileSize(base_of(file), size);
}

static int log_lock(sqlite3_file *file, int kind)
{
	return base_of(file)->pMethods->xLock(base_of(file), kind);
}

static int log_unlock(sqlite3_file *file, int kind)
{
	return base_of(file)->pMethods->xUnlock(base_of(file), kind);
}

static int log_reserved(sqlite3_file *file, int *reserved)
{
	return base_of(file)->pMethods->xCheckReservedLock(base_of(file), reserved);
}

static int log_control(sqlite3_file *file, int op, void *arg)
{
	return base_of(file)->pMethods->xFileControl(base_of(file), op, arg);
}

static int log_sector(sqlite3_file *file)
{
	return base_of(file)->pMethods->xSectorSize(base_of(file));
}

static int log_characteristics(sqlite3_file *file)
{
	return base_of(file)->pMethods->xDeviceCharacteristics(base_of(file));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* a log is neither mapped nor shared */
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_characteristics,
};

/* -- opening ---------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	sqlite3_vfs *base = vfs->pAppData;
	struct log_file *log = log_of(file);
	int rc;

	if (!(flags & SQLITE_OPEN_WAL))
		return base->xOpen(base, name, file, flags, out);
	memset(log, 0, sizeof(*log));
	log->base = (sqlite3_file *)(void *)(log + 1);
	rc = base->xOpen(base, name, log->base, flags, out);
	if (rc != SQLITE_OK)
		return rc; /* without methods: SQLite does not close it */
	log->p = mem_alloc(ROOM);
	log->file.pMethods = &methods;
	return SQLITE_OK;
}

const char *sqlite_log_vfs(void)
{
	static sqlite3_vfs vfs; /* SQLite has one list of them for the process */
	sqlite3_vfs *base = sqlite3_vfs_find(NULL);

	if (!base)
		return NULL;
	if (vfs.zName)
		return vfs.zName;
	vfs = *base;
	vfs.pNext = NULL;
	vfs.zName = "osbd";
	vfs.pAppData = base;
	vfs.szOsFile += (int)sizeof(struct log_file);
	vfs.xOpen = vfs_open;
	if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
		vfs.zName = NULL;
	return vfs.zName;
}
