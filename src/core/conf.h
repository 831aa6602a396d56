/* core/conf: one descriptor row per configuration key, and what follows from the rows.
 *
 * A table of struct conf_key says what a mapping of a YAML file may hold: name, type, bounds,
 * default, documentation, and the field of the C struct that gets the value. From the same rows
 * come the decoder, the annotated reference file and the man page, so they cannot disagree.
 *
 * All that is wrong is reported at once, in the order of the file, as
 * `osbd.yml:12:7: limits.max_running: must be an integer from 1 to 10000, not a string`.
 * An unknown key is an error that names the nearest known one. Keys that begin with "x-" are
 * skipped: a place for YAML anchors. A key without a value counts as absent where a mapping or
 * a list is expected, and is an error where a scalar is.
 *
 * Scalars: where a string is wanted a number or a boolean gives its text as it was written, so
 * `password: 0123` is "0123"; nothing else is converted. `yes` and `no` are not booleans.
 *
 * Secrets: a literal, {file: PATH} (relative to the directory of the configuration file, one
 * line end at its end is dropped) or {env: NAME}. A message never shows a value. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CONF_H
#define OSBD_CORE_CONF_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"

/* What the field at the row's offset is. */
enum conf_type {
	CONF_BOOL = 1, /* bool */
	CONF_TRI,      /* enum conf_tri: tells absent from false */
	CONF_INT,      /* int64_t, min..max */
	CONF_SIZE,     /* uint64_t, bytes: 4096, 64k, 1M; min..max */
	CONF_DURATION, /* uint64_t, ms: 250ms, 45s, 10m, 2h, 1d, 0; min..max in ms */
	CONF_STRING,   /* struct str, NUL behind it; {NULL, 0} = absent; no NUL inside */
	CONF_PATH,     /* the same: a file name; relative ones start at the file's directory */
	CONF_ENUM,     /* int or an enum of its size: the value of one of .names */
	CONF_FLAGS,    /* unsigned: a list of .names, their values or-ed */
	CONF_SECRET,   /* struct secret, wiped with the arena; empty = absent */
	CONF_OBJECT,   /* the struct that .rows describe, in place; with CONF_OPTIONAL a pointer to
			* it, NULL = absent. In place, an absent one gets the defaults. */
	CONF_LIST,     /* pointer to items of .size bytes; their number at .count, a size_t. Items
			* are mappings by .rows, or whatever the one row .item says. min..max items,
			* max 0 = any number. */
	CONF_JSON,     /* const struct json *: kept as it stands, NULL = absent */
	CONF_CUSTOM,   /* .decode does it */
};

enum conf_tri { CONF_ABSENT, CONF_FALSE, CONF_TRUE };

enum conf_flags {
	CONF_REQUIRED = 1,     /* absent is an error */
	CONF_NONEMPTY = 2,     /* the empty string is an error */
	CONF_OPTIONAL = 4,     /* CONF_OBJECT behind a pointer */
	CONF_RELOADABLE = 8,   /* a reload takes a new value over; others need a restart */
	CONF_OBJECT_ONLY = 16, /* CONF_JSON: a mapping */
	CONF_HIDDEN = 32,      /* commented out in the reference: an alternative, or not for all */
};

struct conf_name {
	const char *name; /* NULL ends the table */
	int value;
};

struct conf;

struct conf_key {
	const char *name; /* NULL ends the table */
	enum conf_type type;
	unsigned flags;
	size_t offset, width; /* of the field: CONF_AT() */
	size_t count;         /* CONF_LIST: offset of the size_t */
	const char *fallback; /* default as in a file; NULL: absent stays zero */
	int64_t min, max;     /* both 0: no bounds */
	const struct conf_name *names;
	const struct conf_key *rows; /* CONF_OBJECT, CONF_LIST of mappings */
	const struct conf_key *item; /* CONF_LIST of something else; its name and offset unused */
	size_t size;                 /* bytes of the struct or of an item */
	/* After the whole value was decoded without an error, a default too: more checks, which
	 * call conf_error(), and what the value implies. field is the field; node may be NULL (an
	 * absent mapping) or without a place (a default). each: the same for an item of a list. */
	void (*check)(struct conf *conf, const struct json *node, void *field);
	void (*each)(struct conf *conf, const struct json *node, void *item);
	void (*decode)(struct conf *conf, const struct json *node, void *field);
	const char *kind;    /* CONF_CUSTOM: the type's name in the reference */
	const char *doc;     /* sentences; what it is for, what it means */
	const char *example; /* shown in the reference where there is no default */
};

/* The field of the row: offset and width, which conf_rows_check() holds against the type. */
#define CONF_AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
/* A list: pointer, count, and the size of an item. */
#define CONF_LIST_AT(type, field, n_field) \
	CONF_AT(type, field), .count = offsetof(type, n_field), .size = sizeof(*((type *)0)->field)

/* -- errors ------------------------------------------------------------------------------ */

#define CONF_ERRORS_MAX 100 /* more are counted only */

struct conf_message {
	const char *file;
	uint32_t line, column; /* 0: of the whole file */
	bool warning;
	size_t order;
	const char *text; /* "limits.body: must be …" */
};

/* What is wrong with a file, all of it. Zeroes are ready for use. Reused for all that is
 * checked about one configuration: the file, the catalog, the backends' own keys. */
struct conf_errors {
	struct arena arena;
	const char *file; /* the name in messages; NULL: "configuration" */
	const char *dir;  /* where relative paths start; NULL: "." */
	struct conf_message *messages;
	size_t n, size;
	size_t n_errors, n_warnings; /* counted, also past CONF_ERRORS_MAX */
};

void conf_errors_finish(struct conf_errors *errors);
/* The message's place is node's; path may be "". node may be NULL: the whole file. */
void conf_errors_add(struct conf_errors *errors, const struct json *node, const char *path,
		     const char *fmt, ...) PRINTF_LIKE(4, 5);
void conf_errors_warn(struct conf_errors *errors, const struct json *node, const char *path,
		      const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Message i (0 … n - 1) by file and position: `osbd.yml:12:7: limits.body: must be …`, in the
 * arena of errors. Sorts; warnings say "warning: " behind the place. */
const char *conf_errors_line(struct conf_errors *errors, size_t i);
/* All of them, a line each, then "and 17 more" when there are. */
void conf_errors_print(struct conf_errors *errors, struct buf *buf);

/* -- decoding ---------------------------------------------------------------------------- */

/* Decodes node by rows into out, which is zeroed memory for the struct that rows describe.
 * node NULL counts as an empty mapping: all defaults. path is where node stands in its file
 * ("" at the top, "services[0].config"). What is decoded lives in arena, as long as node's own.
 * 0; ERR_INVALID when errors were added, then out is not to be used. */
MUST_CHECK int conf_decode(const struct conf_key *rows, const struct json *node, const char *path,
			   void *out, struct arena *arena, struct conf_errors *errors);

/* One decoding under way, for check and decode functions of rows. */
struct conf {
	struct arena *arena;
	struct conf_errors *errors;
	struct buf path; /* where we are: "services[0].plans[1].name" */
};

/* An error at node, which stands where the decoder is. */
void conf_error(struct conf *conf, const struct json *node, const char *fmt, ...) PRINTF_LIKE(3, 4);
void conf_warn(struct conf *conf, const struct json *node, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* For decode functions: the value by another row, at the same place. */
void conf_value(struct conf *conf, const struct conf_key *key, const struct json *node,
		void *field);
/* An absolute path in the arena: relative ones start at the file's directory. */
struct str conf_path(struct conf *conf, struct str path);

/* A whole regular file of at most max bytes, at the end of buf, NUL behind it. exposed (may be
 * NULL): everybody on this machine may read or write it. Errors name the path. */
MUST_CHECK int conf_read_file(const char *path, size_t max, struct buf *buf, bool *exposed,
			      struct err *err);

/* -- generated from the rows ------------------------------------------------------------- */

/* " from 1 to 10", " of at least 1s", or nothing: the bounds as they are written in a file. */
void conf_put_bounds(const struct conf_key *key, struct buf *buf);
/* The reference file: YAML that decodes, every key with its doc, type, bounds and default. */
void conf_reference(const struct conf_key *rows, struct buf *buf);
/* The body of a man page (roff, man macros): a .TP per key, by its full name. */
void conf_man(const struct conf_key *rows, struct buf *buf);
/* What is wrong with the rows themselves (a field of the wrong size, a default that does not
 * decode, no doc): NULL when nothing, else a text in the arena. For tests. */
const char *conf_rows_check(const struct conf_key *rows, struct arena *arena);

#endif
