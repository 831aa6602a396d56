/* core/mem: memory that is there or the process is not.
 *
 * Running out of memory aborts (crash invariants hold, inputs are capped), so nothing here
 * returns NULL, and no caller checks. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_MEM_H
#define OSBD_CORE_MEM_H

#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

void *mem_alloc(size_t size);  /* uninitialised */
void *mem_zalloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n); /* NUL-terminated copy of n bytes */
void mem_free(void *p);                     /* NULL is fine */
/* Overwrites secrets; the compiler may not drop it. */
void mem_wipe(void *p, size_t size);
/* Compares in time that depends on n only: 1 equal, 0 not. */
int mem_same(const void *a, const void *b, size_t n);

#endif
