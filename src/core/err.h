/* core/err: error codes, and messages that are wrapped on the way up.
 *
 * A function that can fail returns int: 0, or a negative ERR_*. The code is for programs, the
 * text is for people: `provision: deploy: director: HTTP 401`. The innermost function writes
 * the text, each caller that adds something to it puts its own word in front with err_wrap().
 * The log line and the description that a platform gets are this same text, so it never holds
 * a secret. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_ERR_H
#define OSBD_CORE_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define ERR_TABLE(X)                         \
	X(ERR_INVALID, "invalid argument")   \
	X(ERR_SYNTAX, "not well-formed")     \
	X(ERR_TOOBIG, "larger than allowed") \
	X(ERR_NOENT, "not found")            \
	X(ERR_EXISTS, "already exists")      \
	X(ERR_ACCESS, "permission denied")   \
	X(ERR_BUSY, "busy")                  \
	X(ERR_FULL, "no room left")          \
	X(ERR_CONFLICT, "conflict")          \
	X(ERR_CANCELED, "canceled")          \
	X(ERR_TIMEDOUT, "timed out")         \
	X(ERR_CLOSED, "connection closed")   \
	X(ERR_REFUSED, "connection refused") \
	X(ERR_IO, "input/output error")      \
	X(ERR_STORE, "store unavailable")    \
	X(ERR_STALE, "no longer the owner")  \
	X(ERR_SEALED, "cannot be opened")    \
	X(ERR_UNSUPPORTED, "not supported")

enum err_code {
	ERR_FIRST_ = -1000, /* values count up from here: never collide with -errno */
#define X(name, text) name,
	ERR_TABLE(X)
#undef X
};

/* "timed out" for ERR_TIMEDOUT; "error -5" for a code that is none of ours. */
const char *err_str(int code);
/* The ERR_* that stands for a libuv or negated errno value; unknown ones are ERR_IO. */
int err_from_uv(int uv_status);

#define ERR_TEXT_MAX 1024

struct err {
	int code;                /* the innermost ERR_*, 0 when nothing failed */
	char text[ERR_TEXT_MAX]; /* NUL-terminated UTF-8; cut at a character when too long */
};

/* Sets code and text and returns code, so that `return err_set(…)` reads well. err may be
 * NULL: then only the code is returned. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_vset(struct err *err, int code, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
/* Puts "prefix: " in front of the text; returns err->code (ERR_INVALID when err is NULL). */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
