/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

const char *err_str(int code)
{
	static char other[32];

	switch (code) {
	case 0:
		return "no error";
#define X(name, text) \
	case name:    \
		return text;
		ERR_TABLE(X)
#undef X
	default:
		snprintf(other, sizeof(other), "error %d", code);
		return other;
	}
}

int err_from_uv(int uv_status)
{
	switch (uv_status) {
	case 0:
		return 0;
	case UV_ENOENT:
	case UV_ENOTDIR:
		return ERR_NOENT;
	case UV_EEXIST:
		return ERR_EXISTS;
	case UV_EACCES:
	case UV_EPERM:
		return ERR_ACCESS;
	case UV_ECANCELED:
		return ERR_CANCELED;
	case UV_ETIMEDOUT:
		return ERR_TIMEDOUT;
	case UV_EOF:
	case UV_ECONNRESET:
	case UV_EPIPE:
		return ERR_CLOSED;
	case UV_ECONNREFUSED:
		return ERR_REFUSED;
	case UV_EADDRINUSE:
	case UV_EBUSY:
	case UV_EAGAIN:
		return ERR_BUSY;
	case UV_EINVAL:
		return ERR_INVALID;
	case UV_E2BIG:
		return ERR_TOOBIG;
	case UV_EMFILE:
	case UV_ENFILE:
	case UV_ENOSPC:
	case UV_ENOMEM:
		return ERR_FULL;
	default:
		return ERR_IO;
	}
}

/* Cuts a text that vsnprintf truncated so that it ends at a whole UTF-8 character. */
static void end_at_character(char *text, size_t size, int wanted)
{
	size_t n = size - 1;

	if (wanted < 0 || (size_t)wanted < size)
		return;
	while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80)
		n--;
	if (n > 0 && (unsigned char)text[n - 1] >= 0xC0)
		n--;
	else
		n = size - 1;
	text[n] = '\0';
}

int err_vset(struct err *err, int code, const char *fmt, va_list ap)
{
	if (!err)
		return code;
	err->code = code;
	end_at_character(err->text, sizeof(err->text),
			 vsnprintf(err->text, sizeof(err->text), fmt, ap));
	return code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char whole[ERR_TEXT_MAX];
	va_list ap;
	int n;

	if (!err)
		return ERR_INVALID;
	va_start(ap, fmt);
	n = vsnprintf(whole, sizeof(whole), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(whole))
		return err->code;
	n += snprintf(whole + n, sizeof(whole) - (size_t)n, ": %s", err->text);
	end_at_character(whole, sizeof(whole), n);
	memcpy(err->text, whole, sizeof(whole));
	return err->code;
}
