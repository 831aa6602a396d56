/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memory.h"

int store_memory_open(const struct store_options *options, struct store **store, struct err *err)
{
	struct store_options private = *options;

	private.path = ":memory:";
	return store_sqlite_open(&private, store, err);
}
