/* core/buf: bytes that grow. Always NUL-terminated behind n once anything was put in. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_BUF_H
#define OSBD_CORE_BUF_H

#include "core/err.h"
#include "core/str.h"

struct buf {
	char *p;  /* owned; NULL while empty and never used */
	size_t n; /* bytes in use */
	size_t size;
};

void buf_finish(struct buf *buf); /* frees; zeroes are a buf ready for use */
void buf_wipe(struct buf *buf);   /* the same, for secrets: overwrites first */
void buf_clear(struct buf *buf);  /* n = 0, the memory is kept */

char *buf_room(struct buf *buf, size_t n); /* n writable bytes at the end; n is not moved */
void buf_puts(struct buf *buf, const char *s);
void buf_put_str(struct buf *buf, struct str s);
void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_shift(struct buf *buf, size_t n); /* drops the first n bytes */

/* Written out here because writers of text call them for every few bytes. */
static inline void buf_put(struct buf *buf, const void *p, size_t n)
{
	char *at = buf->size - buf->n > n ? buf->p + buf->n : buf_room(buf, n);

	if (n)
		memcpy(at, p, n);
	at[n] = '\0';
	buf->n += n;
}

static inline void buf_putc(struct buf *buf, char c)
{
	buf_put(buf, &c, 1);
}

static inline struct str buf_str(const struct buf *buf)
{
	return str_make(buf->p ? buf->p : "", buf->n);
}

#endif
