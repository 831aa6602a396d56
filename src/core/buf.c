/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void buf_finish(struct buf *buf)
{
	mem_free(buf->p);
	*buf = (struct buf){ NULL, 0, 0 };
}

void buf_wipe(struct buf *buf)
{
	mem_wipe(buf->p, buf->size);
	buf_finish(buf);
}

void buf_clear(struct buf *buf)
{
	buf->n = 0;
	if (buf->p)
		buf->p[0] = '\0';
}

char *buf_room(struct buf *buf, size_t n)
{
	size_t want = buf->n + n + 1;

	if (want < n)
		abort();
	if (want > buf->size) {
		size_t size = buf->size ? buf->size : 64;

		while (size < want)
			size = size > SIZE_MAX / 2 ? want : size * 2;
		buf->p = mem_realloc(buf->p, size);
		buf->size = size;
	}
	return buf->p + buf->n;
}

void buf_puts(struct buf *buf, const char *s)
{
	buf_put(buf, s, strlen(s));
}

void buf_put_str(struct buf *buf, struct str s)
{
	buf_put(buf, s.p, s.n);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	buf_room(buf, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(buf->p + buf->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->n += (size_t)n;
}

void buf_shift(struct buf *buf, size_t n)
{
	if (n > buf->n)
		n = buf->n;
	buf->n -= n;
	if (buf->p) {
		memmove(buf->p, buf->p + n, buf->n);
		buf->p[buf->n] = '\0';
	}
}
