/* store/sqlite_log: SQLite's files, with the write-ahead log written in few calls.
 *
 * SQLite writes each page of a commit to its log by two calls, a header and the page, one behind
 * the other, and then syncs. Here they are gathered, and reach the kernel when the room is full,
 * and at the latest when the log is synced, read, measured or cut: so what is in the file after a
 * sync is what it would be without. A write that fails is told by the call that makes it, which
 * may be the sync, and SQLite takes the commit back.
 *
 * All other files are SQLite's own. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_LOG_H
#define OSBD_STORE_SQLITE_LOG_H

#include <sqlite3.h>

/* The name for sqlite3_open_v2(); NULL, SQLite's own, when this cannot be had. */
const char *sqlite_log_vfs(void);

#endif
