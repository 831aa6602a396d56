/* core/log: lines for people and machines, that never make the daemon wait.
 *
 *   ts=2026-11-20T23:12:00.123Z level=info op=3f2a instance=9c1e msg="task 12 done"
 *
 * A line is logfmt or JSON, and carries the object it is about: each object that logs embeds a
 * struct log whose fields are "key=value" pairs, and whose parent adds its own in front. Text is
 * escaped (CR, LF, quotes, control characters, invalid UTF-8), so a line is one line. The sink
 * writes only when its descriptor takes it, keeps LOG_BACKLOG bytes, then drops lines, counts
 * them and says how many were lost.
 *
 * Secrets: what must not be printed is a struct secret; there is no way to log one. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_LOG_H
#define OSBD_CORE_LOG_H

#include "core/err.h"
#include "core/str.h"

#include <stdint.h>

#define LOG_BACKLOG (1 << 20)

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* Where lines go. One per process; tests make their own. */
struct log_sink;

struct log_sink *log_sink_create(int fd, enum log_format format, enum log_level level);
/* Writes what is left for as long as the descriptor takes it at once, then frees. */
void log_sink_destroy(struct log_sink *sink);
void log_sink_level(struct log_sink *sink, enum log_level level);
/* From here on lines below warn may wait for the owner's flush, which then comes once a turn:
 * a write for each line costs more than the line. */
void log_sink_gather(struct log_sink *sink);
/* Bytes that wait for the descriptor: the owner polls fd for writing while it is not 0. */
size_t log_sink_pending(const struct log_sink *sink);
int log_sink_fd(const struct log_sink *sink);
/* Tries to write what waits; returns the bytes that still do. */
size_t log_sink_flush(struct log_sink *sink);
uint64_t log_sink_lost(const struct log_sink *sink); /* lines dropped so far */

/* The prefix of an object's lines. A zeroed log discards. */
struct log {
	struct log_sink *sink;    /* borrowed; NULL discards */
	const struct log *parent; /* its fields come first; NULL when none */
	const char *key[3];       /* static strings; NULL ends */
	struct str value[3];      /* borrowed from the object */
};

void log_init(struct log *log, struct log_sink *sink);
/* A child of parent without fields of its own yet. */
void log_child(struct log *log, const struct log *parent);
/* Adds a field; the bytes stay the object's. At most 3 fields. */
void log_field(struct log *log, const char *key, struct str value);

/* The level is looked at before anything is formatted. */
void log_write(const struct log *log, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for a text that is there already. Both are cut after some 4,000 bytes. */
void log_text(const struct log *log, enum log_level level, struct str text);
#define log_debug(log, ...) log_write((log), LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...) log_write((log), LOG_INFO, __VA_ARGS__)
#define log_warn(log, ...) log_write((log), LOG_WARN, __VA_ARGS__)
#define log_error(log, ...) log_write((log), LOG_ERROR, __VA_ARGS__)

int log_level_parse(struct str name, enum log_level *level); /* "debug".."error" */

/* A value that is never printed: not a str, so it fits no format and no JSON builder by
 * accident. Owned; wiped when it goes. */
struct secret {
	char *p_; /* only through secret_reveal() */
	size_t n_;
};

void secret_set(struct secret *secret, struct str value); /* copies */
void secret_finish(struct secret *secret);                /* wipes; zeroes are fine */
struct str secret_reveal(const struct secret *secret);

#endif
