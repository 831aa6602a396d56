/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include "core/buf.h"
#include "core/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define GATHER_MAX (16 << 10) /* bytes */
#define LOG_TEXT_MAX 4096

struct log_sink {
	int fd;
	enum log_format format;
	enum log_level level;
	bool gathers;       /* lines wait for a flush */
	struct buf waiting; /* whole lines, the first perhaps partly written */
	struct buf line;    /* scratch */
	time_t second;      /* that the text stands for */
	char second_text[32];
	uint64_t lost;   /* since the start */
	uint64_t unsaid; /* of these, not yet reported by a line */
};

static const char *const level_names[] = { "debug", "info", "warn", "error" };

struct log_sink *log_sink_create(int fd, enum log_format format, enum log_level level)
{
	struct log_sink *sink = mem_zalloc(sizeof(*sink));

	sink->fd = fd;
	sink->format = format;
	sink->level = level;
	return sink;
}

void log_sink_destroy(struct log_sink *sink)
{
	if (!sink)
		return;
	log_sink_flush(sink);
	buf_finish(&sink->waiting);
	buf_finish(&sink->line);
	mem_free(sink);
}

void log_sink_level(struct log_sink *sink, enum log_level level)
{
	sink->level = level;
}

void log_sink_gather(struct log_sink *sink)
{
	sink->gathers = true;
}

size_t log_sink_pending(const struct log_sink *sink)
{
	return sink->waiting.n;
}

int log_sink_fd(const struct log_sink *sink)
{
	return sink->fd;
}

uint64_t log_sink_lost(const struct log_sink *sink)
{
	return sink->lost;
}

static void drop_waiting(struct log_sink *sink)
{
	size_t i;

	for (i = 0; i < sink->waiting.n; i++) {
		if (sink->waiting.p[i] != '\n')
			continue;
		sink->lost++;
		sink->unsaid++;
	}
	buf_clear(&sink->waiting);
}

size_t log_sink_flush(struct log_sink *sink)
{
	while (sink->waiting.n) {
		ssize_t n = write(sink->fd, sink->waiting.p, sink->waiting.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) { /* the reader is gone, or the disk is full: logging stops nothing */
			drop_waiting(sink);
			break;
		}
		buf_shift(&sink->waiting, (size_t)n);
	}
	return sink->waiting.n;
}

/* One character of text, escaped so that it can stand between quotes in logfmt and JSON.
 * Returns how many bytes of s were read. */
static size_t put_escaped(struct buf *out, struct str s, enum log_format format)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t len;

	if (c == '"' || c == '\\') {
		buf_putc(out, '\\');
		buf_putc(out, (char)c);
		return 1;
	}
	if (c == '\n' || c == '\r' || c == '\t') {
		buf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
		return 1;
	}
	if (c >= 0x20 && c < 0x7f) {
		buf_putc(out, (char)c);
		return 1;
	}
	for (len = 2; c >= 0x80 && len <= 4 && len <= s.n; len++) {
		if (!str_is_utf8(str_make(s.p, len)))
			continue;
		/* C1 controls, bidirectional marks and line separators rearrange a terminal */
		if ((c == 0xC2 && (unsigned char)s.p[1] < 0xA0) ||
		    (c == 0xE2 && (unsigned char)s.p[1] == 0x80 && (unsigned char)s.p[2] >= 0x8B &&
		     (unsigned char)s.p[2] <= 0xAE) ||
		    (c == 0xE2 && (unsigned char)s.p[1] == 0x81 && (unsigned char)s.p[2] >= 0xA6))
			break;
		buf_put(out, s.p, len);
		return len;
	}
	buf_printf(out, format == LOG_JSON ? "\\u00%02x" : "\\x%02x", c);
	return 1;
}

static void put_value(struct buf *out, struct str s, enum log_format format)
{
	bool bare = format == LOG_LOGFMT && s.n > 0;
	size_t i;

	for (i = 0; bare && i < s.n; i++)
		bare = s.p[i] > ' ' && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '=' &&
		       s.p[i] != '\\';
	if (bare) {
		buf_put_str(out, s);
		return;
	}
	buf_putc(out, '"');
	while (s.n) {
		i = str_plain_head(s);
		buf_put(out, s.p, i);
		if (i < s.n)
			i += put_escaped(out, str_make(s.p + i, s.n - i), format);
		s = str_make(s.p + i, s.n - i);
	}
	buf_putc(out, '"');
}

static void put_field(struct log_sink *sink, const char *key, struct str value)
{
	struct buf *out = &sink->line;

	if (sink->format == LOG_JSON) {
		buf_puts(out, out->n ? ",\"" : "{\"");
		buf_puts(out, key);
		buf_put(out, "\":", 2);
	} else {
		if (out->n)
			buf_putc(out, ' ');
		buf_puts(out, key);
		buf_putc(out, '=');
	}
	put_value(out, value, sink->format);
}

static void put_prefix(struct log_sink *sink, const struct log *log)
{
	size_t i;

	if (log->parent)
		put_prefix(sink, log->parent);
	for (i = 0; i < ARRAY_LEN(log->key) && log->key[i]; i++)
		put_field(sink, log->key[i], log->value[i]);
}

/* Writes ts into out; all but the milliseconds stay the same for a second. */
static struct str timestamp(struct log_sink *sink, char out[sizeof(sink->second_text) + 8])
{
	struct timespec now;
	struct tm tm;
	unsigned ms;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != sink->second || !sink->second_text[0]) {
		sink->second = now.tv_sec;
		gmtime_r(&now.tv_sec, &tm);
		strftime(sink->second_text, sizeof(sink->second_text), "%Y-%m-%dT%H:%M:%S", &tm);
	}
	ms = (unsigned)(now.tv_nsec / 1000000);
	n = strlen(sink->second_text);
	memcpy(out, sink->second_text, n);
	out[n++] = '.';
	out[n++] = (char)('0' + ms / 100);
	out[n++] = (char)('0' + ms / 10 % 10);
	out[n++] = (char)('0' + ms % 10);
	out[n++] = 'Z';
	return str_make(out, n);
}

static void put_line(struct log_sink *sink, const struct log *log, enum log_level level,
		     struct str text)
{
	char ts[sizeof(sink->second_text) + 8];

	buf_clear(&sink->line);
	put_field(sink, "ts", timestamp(sink, ts));
	put_field(sink, "level", str_of(level_names[level]));
	if (log)
		put_prefix(sink, log);
	put_field(sink, "msg", text);
	buf_puts(&sink->line, sink->format == LOG_JSON ? "}\n" : "\n");
}

static void keep_line(struct log_sink *sink)
{
	if (sink->waiting.n + sink->line.n > LOG_BACKLOG) {
		sink->lost++;
		sink->unsaid++;
		return;
	}
	buf_put(&sink->waiting, sink->line.p, sink->line.n);
}

void log_text(const struct log *log, enum log_level level, struct str text)
{
	struct log_sink *sink = log->sink;

	if (!sink || level < sink->level)
		return;
	if (sink->unsaid && sink->waiting.n < LOG_BACKLOG / 2) {
		char lost[64];
		uint64_t count = sink->unsaid;

		sink->unsaid = 0;
		snprintf(lost, sizeof(lost), "%llu log lines were lost", (unsigned long long)count);
		put_line(sink, NULL, LOG_WARN, str_of(lost));
		keep_line(sink);
	}
	text.n = text.n < LOG_TEXT_MAX ? text.n : LOG_TEXT_MAX - 1;
	put_line(sink, log, level, text);
	keep_line(sink);
	if (!sink->gathers || level >= LOG_WARN || sink->waiting.n >= GATHER_MAX)
		log_sink_flush(sink);
}

void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
{
	char text[LOG_TEXT_MAX];
	va_list ap;
	int n;

	if (!log->sink || level < log->sink->level)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= 0) /* a longer one is cut at the same place again */
		log_text(log, level, str_make(text, (size_t)n));
}

void log_init(struct log *log, struct log_sink *sink)
{
	*log = (struct log){ .sink = sink };
}

void log_child(struct log *log, const struct log *parent)
{
	*log = (struct log){ .sink = parent->sink, .parent = parent };
}

void log_field(struct log *log, const char *key, struct str value)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(log->key); i++) {
		if (log->key[i] && strcmp(log->key[i], key) != 0)
			continue;
		log->key[i] = key;
		log->value[i] = value;
		return;
	}
}

int log_level_parse(struct str name, enum log_level *level)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(level_names); i++) {
		if (!str_is(name, level_names[i]))
			continue;
		*level = (enum log_level)i;
		return 0;
	}
	return ERR_INVALID;
}

void secret_set(struct secret *secret, struct str value)
{
	secret_finish(secret);
	secret->p_ = mem_strndup(value.p, value.n);
	secret->n_ = value.n;
}

void secret_finish(struct secret *secret)
{
	if (secret->p_)
		mem_wipe(secret->p_, secret->n_);
	mem_free(secret->p_);
	*secret = (struct secret){ NULL, 0 };
}

struct str secret_reveal(const struct secret *secret)
{
	return str_make(secret->p_ ? secret->p_ : "", secret->n_);
}
