/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema_report.h"

#include "core/mem.h"
#include "core/schema_node.h"

#include <stdarg.h>
#include <stdio.h>

#define ALTERNATIVES 3 /* that one error names */

static unsigned depth_of(const struct schema_spot *at)
{
	unsigned depth = 0;

	for (; at; at = at->up)
		depth++;
	return depth;
}

void schema_put_path(struct buf *buf, const struct schema_spot *at)
{
	struct str key = at->key;
	size_t i;

	if (!at->up) { /* the root, by its name */
		buf_put_str(buf, key);
		return;
	}
	schema_put_path(buf, at->up);
	if (!key.p) {
		buf_printf(buf, "[%zu]", at->index);
		return;
	}
	for (i = 0; i < key.n; i++)
		if (!str_is_unreserved(str_make(key.p + i, 1)) || key.p[i] == '.')
			break;
	if (i == key.n && i > 0 && i <= SCHEMA_SHOW_MAX) {
		buf_puts(buf, buf->n ? "." : "");
		buf_put_str(buf, key);
		return;
	}
	buf_putc(buf, '[');
	json_write_string(buf, str_utf8_head(key, SCHEMA_SHOW_MAX));
	buf_putc(buf, ']');
}

/* at lives on the stack, so that the report takes it along as a copy. */
static const struct schema_spot *kept(struct arena *arena, const struct schema_spot *at)
{
	struct schema_spot *copy;

	if (!at)
		return NULL;
	copy = arena_new(arena, struct schema_spot);
	*copy = *at;
	copy->up = kept(arena, at->up);
	return copy;
}

int schema_invalid(struct schema_report *r, const struct schema_spot *at, enum schema_rank rank,
		   const char *fmt, ...)
{
	struct err text;
	va_list ap;

	if (!r)
		return SCHEMA_INVALID;
	va_start(ap, fmt);
	err_vset(&text, ERR_INVALID, fmt, ap);
	va_end(ap);
	*r = (struct schema_report){ .arena = r->arena,
				     .what = arena_strdup(r->arena, text.text),
				     .at = kept(r->arena, at),
				     .depth = depth_of(at),
				     .rank = rank,
				     .alternatives = 1 };
	return SCHEMA_INVALID;
}

/* Adds an entry unless the list is full; then it ends in "…". */
void schema_put_entry(struct buf *list, struct str entry)
{
	static const char more[] = ", \xe2\x80\xa6";

	if (str_ends(buf_str(list), str_of(more)))
		return;
	if (list->n && list->n + entry.n > SCHEMA_LIST_MAX) {
		buf_puts(list, more);
		return;
	}
	buf_puts(list, list->n ? ", " : "");
	buf_put_str(list, str_utf8_head(entry, SCHEMA_LIST_MAX));
}

static bool same_place(const struct schema_spot *a, const struct schema_spot *b)
{
	for (; a && b; a = a->up, b = b->up)
		if (!str_eq(a->key, b->key) || a->index != b->index)
			return false;
	return !a && !b;
}

static const char *types_text(struct arena *arena, unsigned types, const struct json *v)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ TYPE_BIT(JSON_OBJECT), "an object" }, { TYPE_BIT(JSON_ARRAY), "an array" },
		{ TYPE_BIT(JSON_STRING), "a string" },  { TYPE_BIT(JSON_NUMBER), "a number" },
		{ TYPE_INTEGER, "an integer" },         { TYPE_BIT(JSON_BOOL), "true or false" },
		{ TYPE_BIT(JSON_NULL), "null" },
	};
	char text[200] = "must be ";
	unsigned left = types & ~TYPE_STRICT;
	size_t n = strlen(text), i;
	const char *is = json_type_name(v);

	if (left & TYPE_BIT(JSON_NUMBER))
		left &= ~TYPE_INTEGER;
	else if ((left & TYPE_INTEGER) && json_is_number(v))
		is = "a number with a fraction";
	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (!(left & names[i].bit))
			continue;
		left &= ~names[i].bit;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", names[i].name,
				      left == 0           ? ""
				      : left & (left - 1) ? ", "
							  : " or ");
	}
	snprintf(text + n, sizeof(text) - n, ", not %s", is);
	return arena_strdup(arena, text);
}

int schema_invalid_type(struct schema_report *r, const struct schema_spot *at, unsigned types,
			const struct json *v)
{
	if (!r)
		return SCHEMA_INVALID;
	schema_invalid(r, at, RANK_TYPE, "%s", types_text(r->arena, types, v));
	r->types = types;
	return SCHEMA_INVALID;
}

void schema_report_merge(struct schema_report *best, const struct schema_report *one,
			 const struct schema_spot *at, const struct json *v)
{
	if (!best->what || one->depth > best->depth ||
	    (one->depth == best->depth && one->rank > best->rank)) {
		*best = *one;
		return;
	}
	if (one->depth < best->depth || one->rank < best->rank || !same_place(one->at, best->at))
		return;
	if (best->types && one->types && same_place(one->at, at)) {
		best->types |= one->types;
		best->what = types_text(best->arena, best->types, v);
	} else if (best->alternatives < ALTERNATIVES && !strstr(best->what, one->what)) {
		best->what = arena_printf(best->arena, "%s, or %s", best->what, one->what);
		best->alternatives++;
	}
}
