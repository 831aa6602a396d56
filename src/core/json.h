/* core/json: JSON values (RFC 8259) as a tree in an arena.
 *
 * One type for what was parsed, what core/yaml read and what is built for an answer. A value
 * lives as long as its arena. After parsing nothing changes a tree any more but the builders
 * below, which work on trees that are being built. A value may stand in several places.
 *
 *   numbers   keep their text exactly: 99.95, 1e400 and 18446744073709551616 pass through
 *   objects   keep the order of their members; no key twice
 *   strings   are valid UTF-8 when parsed, with a NUL behind the last byte; they may hold a
 *             NUL inside ("\u0000"), which only json_want_cstr() looks for
 *   position  line and column where the text stood, from 1; 0 when unknown (JSON, built values)
 *
 * Readers accept NULL as a value: it has no type, no members and no items, so that look-ups
 * can be chained: json_get(json_get(v, "a"), "b").
 *
 * Source: RFC 8259; the limits are ours. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_JSON_H
#define OSBD_CORE_JSON_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

#define JSON_BYTES_MAX (1 << 20) /* default size of a text */
#define JSON_DEPTH_MAX 64        /* default depth: arrays and objects inside each other */
#define JSON_DEPTH_CAP 1024      /* what a caller may raise the depth to */
#define JSON_NUMBER_MAX 1024     /* bytes of one number's text */
#define JSON_EXP_MAX 999999999   /* magnitude of a number's exponent */

struct json_limits {
	size_t bytes;   /* 0 = JSON_BYTES_MAX */
	unsigned depth; /* 0 = JSON_DEPTH_MAX; more than JSON_DEPTH_CAP is JSON_DEPTH_CAP */
};

struct json_member;

/* One value. The fields are json.c's: use the functions. */
struct json {
	uint8_t type_;
	bool bool_;
	bool scalar_;          /* core/yaml's: this is the base of a struct yaml_scalar */
	uint32_t line, column; /* from 1; 0 = unknown */
	uint32_t n_, size_;    /* bytes of the text, or children in use and room for them */
	union {
		const char *text;
		struct json **items;
		struct json_member *members;
	} u_;
};

struct json_member {
	struct str key; /* NUL behind it */
	struct json *value;
	uint32_t line, column; /* of the key; 0 = unknown */
};

/* -- parsing ----------------------------------------------------------------------------- */

/* Parses one whole JSON text. limits may be NULL. The text is copied: it need not outlive the
 * call. Errors: ERR_TOOBIG for size, depth and number limits, else ERR_SYNTAX; the text says
 * where: `line 1 column 17: duplicate key "a"` (columns count characters). */
MUST_CHECK int json_parse(struct arena *arena, struct str text, const struct json_limits *limits,
			  struct json **out, struct err *err);
/* The same, and ERR_SYNTAX for anything but an object. */
MUST_CHECK int json_parse_object(struct arena *arena, struct str text,
				 const struct json_limits *limits, struct json **out,
				 struct err *err);

/* -- reading ----------------------------------------------------------------------------- */

/* v must not be NULL here. */
static inline enum json_type json_type(const struct json *v)
{
	return (enum json_type)v->type_;
}

static inline bool json_is(const struct json *v, enum json_type type)
{
	return v && v->type_ == (uint8_t)type;
}

#define json_is_null(v) json_is((v), JSON_NULL)
#define json_is_bool(v) json_is((v), JSON_BOOL)
#define json_is_number(v) json_is((v), JSON_NUMBER)
#define json_is_string(v) json_is((v), JSON_STRING)
#define json_is_array(v) json_is((v), JSON_ARRAY)
#define json_is_object(v) json_is((v), JSON_OBJECT)

/* "null", "a boolean", "a number", "a string", "an array", "an object"; "nothing" for NULL. */
const char *json_type_name(const struct json *v);

/* Items of an array or members of an object; 0 for all else. */
static inline size_t json_len(const struct json *v)
{
	return v && v->type_ >= JSON_ARRAY ? v->n_ : 0;
}

/* Item i of an array; NULL past the end or when v is no array. */
static inline struct json *json_at(const struct json *v, size_t i)
{
	return json_is_array(v) && i < v->n_ ? v->u_.items[i] : NULL;
}

/* Member i of an object in its order; NULL past the end or when v is no object. */
static inline struct json_member *json_member_at(const struct json *v, size_t i)
{
	return json_is_object(v) && i < v->n_ ? &v->u_.members[i] : NULL;
}

/* size_t i; const struct json *item; json_each_item(i, item, array) … */
#define json_each_item(i, item, array) \
	for ((i) = 0; ((item) = json_at((array), (i))) != NULL; (i)++)

/* const struct json_member *m; json_each_member(m, object) …
 * Nothing may be added to or removed from the object meanwhile. */
#define json_each_member(m, object)                                                               \
	for ((m) = json_member_at((object), 0); (m) && (m) < (object)->u_.members + (object)->n_; \
	     (m)++)

/* The value under key; NULL when v is no object or has no such member. */
struct json *json_get(const struct json *v, const char *key);
struct json *json_get_str(const struct json *v, struct str key);
struct json_member *json_member(const struct json *v, struct str key);

/* A string's bytes; {NULL, 0} when v is no string. */
static inline struct str json_str(const struct json *v)
{
	return json_is_string(v) ? str_make(v->u_.text, v->n_) : str_make(NULL, 0);
}

/* A number's text as it was written; {NULL, 0} when v is no number. */
static inline struct str json_num_text(const struct json *v)
{
	return json_is_number(v) ? str_make(v->u_.text, v->n_) : str_make(NULL, 0);
}

/* true only for the JSON value true. */
static inline bool json_bool_value(const struct json *v)
{
	return json_is_bool(v) && v->bool_;
}

/* A number that is written as an integer and fits: 5 and -0, but not 5.0 or 5e0. */
bool json_to_int(const struct json *v, int64_t *out);
/* The nearest double; a magnitude that is too large gives false. */
bool json_to_double(const struct json *v, double *out);

/* Equal as JSON values: the order of members does not matter, numbers compare by their exact
 * value (1 = 1.0 = 10e-1). Two NULLs are equal, NULL and a value are not. */
bool json_equal(const struct json *a, const struct json *b);

/* Equal values have equal hashes. Not for tables that a stranger may fill. */
uint64_t json_hash(const struct json *v);

/* The first member whose key stands before it already; NULL when all keys differ. */
const struct json_member *json_duplicate(const struct json *object);

/* -- numbers by their text --------------------------------------------------------------- */

/* Whether the text is a number by RFC 8259 and within JSON_NUMBER_MAX and JSON_EXP_MAX. The
 * functions below want such texts. */
bool json_number_ok(struct str text);
/* <0, 0, >0, exactly, whatever the notation. */
int json_number_cmp(struct str a, struct str b);
/* Equal numbers have equal hashes. */
uint64_t json_number_hash(struct str text);
/* True for 5, 5.0, 50e-1. */
bool json_number_is_integer(struct str text);
/* Whether `of` has at most 18 significant digits and is above 0, as the next one wants it. */
bool json_number_divides(struct str of);
/* Whether text is `of` times an integer, exactly in decimal: 99.95 is a multiple of 0.01. */
bool json_number_multiple_of(struct str text, struct str of);

/* -- getting a member of the right type -------------------------------------------------- */

/* Each looks up key in obj, whose own place is path ("parameters"; "" or NULL at the top), and
 * sets *out, or returns ERR_INVALID with an error that names the place and never shows a
 * string's content: `parameters.size: must be an integer from 1 to 10, not a string`. An
 * absent member leaves *out as it was, so put the default there first. obj that is NULL or no
 * object has no members. */
enum json_want_flags {
	JSON_REQUIRED = 1,    /* absent is an error */
	JSON_NONEMPTY = 2,    /* "", [] and {} are errors */
	JSON_NULL_ABSENT = 4, /* null counts as absent, not as a wrong type */
};

MUST_CHECK int json_want_string(const struct json *obj, const char *path, const char *key,
				unsigned flags, struct str *out, struct err *err);
/* A NUL-terminated string: U+0000 inside is an error. */
MUST_CHECK int json_want_cstr(const struct json *obj, const char *path, const char *key,
			      unsigned flags, const char **out, struct err *err);
MUST_CHECK int json_want_bool(const struct json *obj, const char *path, const char *key,
			      unsigned flags, bool *out, struct err *err);
/* An integer, also when written as 5.0 or 5e0, from min to max. */
MUST_CHECK int json_want_int(const struct json *obj, const char *path, const char *key,
			     unsigned flags, int64_t min, int64_t max, int64_t *out,
			     struct err *err);
MUST_CHECK int json_want_array(const struct json *obj, const char *path, const char *key,
			       unsigned flags, const struct json **out, struct err *err);
MUST_CHECK int json_want_object(const struct json *obj, const char *path, const char *key,
				unsigned flags, const struct json **out, struct err *err);
/* An array of strings; *out is the array, whose items are all strings. */
MUST_CHECK int json_want_strings(const struct json *obj, const char *path, const char *key,
				 unsigned flags, const struct json **out, struct err *err);

/* -- building ---------------------------------------------------------------------------- */

/* All text is copied into the arena; text that is not UTF-8 is written with U+FFFD. */
struct json *json_null(struct arena *arena);
struct json *json_bool(struct arena *arena, bool value);
struct json *json_int(struct arena *arena, int64_t value);
/* NULL when the text is not json_number_ok(). */
struct json *json_number(struct arena *arena, struct str text);
struct json *json_string(struct arena *arena, struct str text);
struct json *json_cstr(struct arena *arena, const char *text);
struct json *json_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct json *json_array(struct arena *arena);
struct json *json_object(struct arena *arena);
/* A deep copy, positions included; NULL for NULL. */
struct json *json_copy(struct arena *arena, const struct json *v);
/* The value itself, to stand in a second place: a promise that nobody changes it any more, and
 * that it lives as long as that place. */
static inline struct json *json_shared(const struct json *v)
{
	return (struct json *)(uintptr_t)v;
}

/* Sets or replaces in place a member of an object; key is copied. A value of NULL does nothing,
 * so that what is absent in one object stays so in another. */
void json_set(struct arena *arena, struct json *obj, const char *key, struct json *value);
void json_set_str(struct arena *arena, struct json *obj, const char *key, struct str text);
void json_set_cstr(struct arena *arena, struct json *obj, const char *key, const char *text);
void json_set_int(struct arena *arena, struct json *obj, const char *key, int64_t value);
void json_set_bool(struct arena *arena, struct json *obj, const char *key, bool value);
/* Adds a member without looking whether the key is there: for readers of other formats, which
 * look once at the end with json_duplicate(). The returned member is good until the next add. */
struct json_member *json_add(struct arena *arena, struct json *obj, struct str key,
			     struct json *value);
/* Appends to an array; a value of NULL does nothing. */
void json_append(struct arena *arena, struct json *array, struct json *value);
/* Takes a member out, the others keep their order; true when it was there. */
bool json_remove(struct json *obj, const char *key);

/* -- writing ----------------------------------------------------------------------------- */

/* Without any space; the same tree always gives the same bytes. NULL is written as null. */
void json_write(struct buf *buf, const struct json *v);
/* One member or item a line, indented by so many spaces a level; no line end at the end. */
void json_write_pretty(struct buf *buf, const struct json *v, unsigned indent);
/* Text as a JSON string, with the quotes. */
void json_write_string(struct buf *buf, struct str text);
/* The compact text in the arena, NUL behind it. */
struct str json_text(struct arena *arena, const struct json *v);

#endif
