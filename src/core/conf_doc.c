/* SPDX-License-Identifier: Apache-2.0 */
/* The reference file and the man page, from the rows; and what is wrong with rows. */
#include "core/conf.h"

#include "core/mem.h"
#include "core/yaml.h"

#include <stdio.h>

#define WIDTH 96 /* of a line of the reference file */

/* -- what a row says of itself ----------------------------------------------------------- */

static void put_names(const struct conf_key *key, struct buf *buf)
{
	const struct conf_name *name;

	for (name = key->names; name->name; name++)
		buf_printf(buf, "%s%s",
			   name == key->names ? ""
			   : name[1].name     ? ", "
					      : " or ",
			   name->name);
}

static const char *type_name(const struct conf_key *key)
{
	switch (key->type) {
	case CONF_BOOL:
	case CONF_TRI:
		return "true or false";
	case CONF_INT:
		return "integer";
	case CONF_SIZE:
		return "size";
	case CONF_DURATION:
		return "duration";
	case CONF_STRING:
		return "string";
	case CONF_PATH:
		return "path";
	case CONF_ENUM:
		return "";
	case CONF_FLAGS:
		return "list of ";
	case CONF_SECRET:
		return "secret";
	case CONF_OBJECT:
		return "mapping";
	case CONF_LIST:
		return "list";
	case CONF_JSON:
		return key->flags & CONF_OBJECT_ONLY ? "mapping, kept as it is"
						     : "anything, kept as it is";
	case CONF_CUSTOM:
		return key->kind;
	}
	return "";
}

/* "integer from 1 to 10, default 4, reloadable" */
static void put_type(const struct conf_key *key, struct buf *buf)
{
	buf_puts(buf, type_name(key));
	if (key->names)
		put_names(key, buf);
	if (key->type == CONF_LIST) {
		buf_puts(buf, key->item ? " of " : " of mappings");
		if (key->item)
			buf_printf(buf, "%ss", type_name(key->item));
		if (key->max)
			buf_printf(buf, ", %lld to %lld of them", (long long)key->min,
				   (long long)key->max);
	} else {
		conf_put_bounds(key, buf);
	}
	if (key->flags & CONF_REQUIRED)
		buf_puts(buf, ", required");
	if (key->fallback)
		buf_printf(buf, ", default %s", key->fallback);
	if (key->flags & CONF_RELOADABLE)
		buf_puts(buf, ", reloadable");
}

/* -- the reference file ------------------------------------------------------------------ */

struct reference {
	struct buf *buf;
	unsigned indent;
	bool hidden; /* commented out, with all below */
	bool dash;   /* the next key that is shown begins an item of a list */
};

static void start_line(struct reference *ref, const char *mark)
{
	buf_printf(ref->buf, "%*s%s", (int)ref->indent, "", mark);
}

static void comment(struct reference *ref, const char *text)
{
	size_t room = WIDTH - ref->indent - 2, n;

	while (*text) {
		n = strlen(text);
		if (n > room) {
			for (n = room; n && text[n] != ' ';)
				n--;
			if (!n)
				n = strcspn(text, " ");
		}
		start_line(ref, "# ");
		buf_printf(ref->buf, "%.*s\n", (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
}

/* Indentation, "- " or what hides it, then the key. */
static void put_key(struct reference *ref, const struct conf_key *key, bool hidden)
{
	if (hidden) {
		start_line(ref, "#");
	} else if (ref->dash) {
		ref->indent -= 2;
		start_line(ref, "- ");
		ref->indent += 2;
		ref->dash = false;
	} else {
		start_line(ref, "");
	}
	buf_printf(ref->buf, "%s:", key->name);
}

static void put_rows(struct reference *ref, const struct conf_key *rows);

static void put_row(struct reference *ref, const struct conf_key *key)
{
	const char *value = key->fallback ? key->fallback : key->example;
	bool nested = key->rows && (key->type == CONF_OBJECT || key->type == CONF_LIST);
	bool hidden = ref->hidden || (key->flags & CONF_HIDDEN) ||
		      (!nested && !key->fallback && !key->example);
	struct buf type = { 0 };
	struct reference below;

	comment(ref, key->doc);
	put_type(key, &type);
	comment(ref, type.p);
	buf_finish(&type);
	put_key(ref, key, hidden);
	if (!nested) {
		buf_printf(ref->buf, "%s%s\n\n", value ? " " : "", value ? value : "");
		return;
	}
	buf_puts(ref->buf, "\n");
	below = (struct reference){ .buf = ref->buf,
				    .indent = ref->indent + (key->type == CONF_LIST ? 4 : 2),
				    .hidden = hidden,
				    .dash = key->type == CONF_LIST };
	put_rows(&below, key->rows);
}

static void put_rows(struct reference *ref, const struct conf_key *rows)
{
	for (; rows->name; rows++)
		put_row(ref, rows);
}

void conf_reference(const struct conf_key *rows, struct buf *buf)
{
	struct reference ref = { .buf = buf };

	put_rows(&ref, rows);
}

/* -- the man page ------------------------------------------------------------------------ */

static void put_roff(struct buf *buf, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_puts(buf, "\\&");
	for (; *text; text++) {
		if (*text == '\\')
			buf_puts(buf, "\\e");
		else if (*text == '-')
			buf_puts(buf, "\\-");
		else
			buf_putc(buf, *text);
	}
}

static void man_rows(const struct conf_key *rows, const char *path, struct buf *buf)
{
	struct buf type = { 0 }, below = { 0 };

	for (; rows->name; rows++) {
		buf_clear(&below);
		buf_printf(&below, "%s%s%s", path, *path ? "." : "", rows->name);
		buf_puts(buf, ".TP\n.B ");
		put_roff(buf, below.p);
		buf_clear(&type);
		put_type(rows, &type);
		buf_puts(buf, "\n.RI ( ");
		buf_puts(buf, "\"");
		put_roff(buf, type.p);
		buf_puts(buf, "\" )\n.br\n");
		put_roff(buf, rows->doc);
		buf_putc(buf, '\n');
		if (rows->rows && (rows->type == CONF_OBJECT || rows->type == CONF_LIST)) {
			if (rows->type == CONF_LIST)
				buf_puts(&below, "[]");
			man_rows(rows->rows, below.p, buf);
		}
	}
	buf_finish(&type);
	buf_finish(&below);
}

void conf_man(const struct conf_key *rows, struct buf *buf)
{
	man_rows(rows, "", buf);
}

/* -- what is wrong with rows ------------------------------------------------------------- */

static size_t width_of(const struct conf_key *key)
{
	switch (key->type) {
	case CONF_BOOL:
		return sizeof(bool);
	case CONF_TRI:
		return sizeof(enum conf_tri);
	case CONF_INT:
		return sizeof(int64_t);
	case CONF_SIZE:
	case CONF_DURATION:
		return sizeof(uint64_t);
	case CONF_STRING:
	case CONF_PATH:
		return sizeof(struct str);
	case CONF_ENUM:
	case CONF_FLAGS:
		return sizeof(int);
	case CONF_SECRET:
		return sizeof(struct secret);
	case CONF_OBJECT:
		return key->flags & CONF_OPTIONAL ? sizeof(void *) : key->size;
	case CONF_LIST:
	case CONF_JSON:
		return sizeof(void *);
	case CONF_CUSTOM:
		return key->width;
	}
	return 0;
}

static const char *row_problem(const struct conf_key *key, const struct conf_key *rows)
{
	bool named = key->type == CONF_ENUM || key->type == CONF_FLAGS;
	const struct conf_key *other;

	for (other = rows; other < key; other++)
		if (strcmp(other->name, key->name) == 0)
			return "stands twice";
	if (!key->width || key->width != width_of(key))
		return "the field's size does not fit the type";
	if (named != (key->names != NULL))
		return "names are for CONF_ENUM and CONF_FLAGS, which need them";
	if (key->type == CONF_OBJECT && (!key->rows || !key->size))
		return "a mapping without rows or size";
	if (key->type == CONF_LIST && (!key->rows == !key->item || !key->size))
		return "a list needs rows or an item, and a size";
	if (key->type == CONF_LIST && key->item &&
	    (key->item->type == CONF_LIST || width_of(key->item) != key->size))
		return "the items' size does not fit their type";
	if (key->type == CONF_CUSTOM && (!key->decode || !key->kind))
		return "a custom type without decode or kind";
	if ((key->flags & CONF_REQUIRED) && key->fallback)
		return "required, and a default";
	if (!key->doc || !*key->doc || key->doc[strlen(key->doc) - 1] != '.')
		return "no doc that ends with a full stop";
	return NULL;
}

static const char *fallback_problem(const struct conf_key *key, struct arena *arena)
{
	struct conf_errors errors = { 0 };
	const char *problem = NULL;
	struct conf_key alone[2] = { *key, { 0 } };
	void *out;

	if (!key->fallback)
		return NULL;
	alone[0].check = alone[0].each = NULL; /* they may look at the whole struct */
	out = arena_zalloc(arena, key->offset + key->width + key->count + sizeof(size_t));
	if (conf_decode(alone, NULL, "", out, arena, &errors))
		problem = arena_strdup(arena, conf_errors_line(&errors, 0));
	conf_errors_finish(&errors);
	return problem;
}

const char *conf_rows_check(const struct conf_key *rows, struct arena *arena)
{
	const struct conf_key *key;
	const char *problem;

	for (key = rows; key->name; key++) {
		problem = row_problem(key, rows);
		if (!problem)
			problem = fallback_problem(key, arena);
		if (!problem && key->rows)
			problem = conf_rows_check(key->rows, arena);
		if (problem)
			return arena_printf(arena, "%s: %s", key->name, problem);
	}
	return NULL;
}
