/* store/memory: the same store, kept nowhere: no file, no lock, and a key of its own unless keys
 * are given. For tests, and for brokers whose backends keep nothing either. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_MEMORY_H
#define OSBD_STORE_MEMORY_H

#include "store/sqlite.h"

/* options.path is not looked at. */
int store_memory_open(const struct store_options *options, struct store **store,
		      struct err *err) MUST_CHECK;

#endif
