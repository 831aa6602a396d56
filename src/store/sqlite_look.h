/* store/sqlite_look: would the store open? Nothing is made, locked or written.
 *
 * Looks at the file, and at what is in it while no log stands beside it: a process that has the
 * store open, or that was killed, leaves one, and then only the file's beginning is looked at. A
 * file that is not there is fine.
 *
 * Errors: as store_sqlite_open(), but for ERR_BUSY. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_LOOK_H
#define OSBD_STORE_SQLITE_LOOK_H

#include "store/sqlite.h"

/* keys and path of options count. */
int store_sqlite_look(const struct store_options *options, struct err *err) MUST_CHECK;

#endif
