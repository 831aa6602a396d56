/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
	struct arena_block *older;
	size_t size, used; /* bytes of data[] */
	max_align_t data[];
};

struct arena_defer {
	struct arena_defer *older;
	void (*fn)(void *data);
	void *data;
};

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ NULL, NULL };
}

static void run_defers(struct arena *arena)
{
	struct arena_defer *defer;

	while ((defer = arena->defers)) {
		arena->defers = defer->older;
		defer->fn(defer->data);
	}
}

void arena_finish(struct arena *arena)
{
	struct arena_block *block;

	run_defers(arena);
	while ((block = arena->block)) {
		arena->block = block->older;
		mem_free(block);
	}
}

void arena_reset(struct arena *arena)
{
	struct arena_block *keep;

	run_defers(arena);
	keep = arena->block;
	if (!keep)
		return;
	arena->block = keep->older;
	arena_finish(arena);
	if (keep->size > 16 * ARENA_FIRST) { /* one large request must not hold its memory */
		mem_free(keep);
		return;
	}
	keep->older = NULL;
	keep->used = 0;
	arena->block = keep;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->block;
	size_t need = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	void *p;

	if (need < size || need > SIZE_MAX / 4)
		abort();
	if (!block || block->size - block->used < need) {
		size_t room = block ? block->size * 2 : ARENA_FIRST;

		if (room > (64 << 10))
			room = 64 << 10;
		if (room < need)
			room = need;
		block = mem_alloc(sizeof(*block) + room);
		block->size = room;
		block->used = 0;
		block->older = arena->block;
		arena->block = block;
	}
	p = (char *)block->data + block->used;
	block->used += need;
	return p;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
	return memset(arena_alloc(arena, size), 0, size);
}

char *arena_strndup(struct arena *arena, const char *s, size_t n)
{
	char *copy = arena_alloc(arena, n + 1);

	if (n)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return arena_strndup(arena, s, strlen(s));
}

struct str arena_str(struct arena *arena, struct str s)
{
	if (!s.p)
		return s;
	return str_make(arena_strndup(arena, s.p, s.n), s.n);
}

struct str arena_vprintf(struct arena *arena, const char *fmt, va_list ap)
{
	char first[256], *text; /* most texts are shorter: they are formatted once */
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(first, sizeof(first), fmt, ap);
	if (n < 0)
		abort();
	if ((size_t)n < sizeof(first)) {
		text = arena_strndup(arena, first, (size_t)n);
	} else {
		text = arena_alloc(arena, (size_t)n + 1);
		vsnprintf(text, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	return str_make(text, (size_t)n);
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	struct str text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(arena, fmt, ap);
	va_end(ap);
	return (char *)(uintptr_t)text.p;
}

void arena_defer(struct arena *arena, void (*fn)(void *data), void *data)
{
	struct arena_defer *defer = arena_alloc(arena, sizeof(*defer));

	*defer = (struct arena_defer){ arena->defers, fn, data };
	arena->defers = defer;
}
