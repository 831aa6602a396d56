/* core/arena: memory that goes all at once, with destructors.
 *
 * One arena per request or per operation. Blocks grow from ARENA_FIRST bytes; what is larger
 * gets a block of its own. arena_finish() runs the destructors, last registered first, then
 * frees every block; the arena may be used again after it, as after arena_init(). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_ARENA_H
#define OSBD_CORE_ARENA_H

#include "core/err.h"
#include "core/str.h"

#include <stdarg.h>

#define ARENA_FIRST 2048

struct arena {
	struct arena_block *block;
	struct arena_defer *defers;
};

void arena_init(struct arena *arena); /* zeroes are an initialised arena too */
void arena_finish(struct arena *arena);
/* Like finish, but keeps the newest block for the next use: no malloc in the steady state. */
void arena_reset(struct arena *arena);

void *arena_alloc(struct arena *arena, size_t size);  /* aligned for anything, uninitialised */
void *arena_zalloc(struct arena *arena, size_t size); /* zeroed */
#define arena_new(arena, type) ((type *)arena_zalloc(arena, sizeof(type)))
char *arena_strdup(struct arena *arena, const char *s);
char *arena_strndup(struct arena *arena, const char *s, size_t n); /* NUL-terminated */
struct str arena_str(struct arena *arena, struct str s);           /* a copy, NUL behind it */
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct str arena_vprintf(struct arena *arena, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

/* fn(data) runs when the arena is finished or reset. */
void arena_defer(struct arena *arena, void (*fn)(void *data), void *data);

#endif
