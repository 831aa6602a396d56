/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema_compile.h"

#include <stdarg.h>

/* -- errors in a schema ------------------------------------------------------------------- */

static void put_where(struct buf *buf, const struct schema_node *node)
{
	if (!node->up) {
		buf_put_str(buf, node->keyword);
		return;
	}
	put_where(buf, node->up);
	buf_putc(buf, '/');
	buf_put_str(buf, node->keyword);
	if (node->token.p) {
		buf_putc(buf, '/');
		buf_put_str(buf, node->token);
	}
}

int schema_bad(struct schema_compile *c, const struct schema_node *node, const char *keyword,
	       int code, const char *fmt, ...)
{
	struct buf where = { NULL, 0, 0 };
	va_list ap;

	va_start(ap, fmt);
	err_vset(c->err, code, fmt, ap);
	va_end(ap);
	put_where(&where, node);
	if (keyword)
		buf_printf(&where, "/%s", keyword);
	err_wrap(c->err, "%.*s", STR_ARG(str_utf8_head(buf_str(&where), 400)));
	buf_finish(&where);
	return code;
}

int schema_bad_type(struct schema_compile *c, const struct schema_node *node, const char *keyword,
		    const char *must, const struct json *value)
{
	return schema_bad(c, node, keyword, ERR_SYNTAX, "must be %s, not %s", must,
			  json_type_name(value));
}

/* -- nodes -------------------------------------------------------------------------------- */

static struct schema_node **slot_of(struct schema_compile *c, const struct json *value)
{
	uint64_t hash = (uint64_t)(uintptr_t)value * 0x9E3779B97F4A7C15u;
	size_t i = (size_t)(hash >> 32) & (c->size - 1);

	while (c->table[i] && c->table[i]->place.value != value)
		i = (i + 1) & (c->size - 1);
	return &c->table[i];
}

static void grow_table(struct schema_compile *c)
{
	struct schema_node *node;

	c->size = c->size ? c->size * 2 : 64;
	c->table = arena_zalloc(c->arena, c->size * sizeof(c->table[0]));
	for (node = c->first; node; node = node->next)
		*slot_of(c, node->place.value) = node;
}

int schema_node_at(struct schema_compile *c, const struct schema_place *place,
		   struct schema_node *up, struct str keyword, struct str token,
		   struct schema_node **out)
{
	struct schema_node *node, **slot;

	if (2 * (c->n + 1) > c->size)
		grow_table(c);
	slot = slot_of(c, place->value);
	*out = *slot;
	if (*slot)
		return 0;
	if (c->n >= SCHEMA_NODES_MAX)
		return err_set(c->err, ERR_TOOBIG, "more than %d subschemas", SCHEMA_NODES_MAX);
	node = arena_new(c->arena, struct schema_node);
	node->place = *place;
	node->up = up;
	node->keyword = keyword;
	node->token = token;
	node->max_length = node->max_items = node->max_properties = UINT64_MAX;
	if (c->last)
		c->last->next = node;
	else
		c->first = node;
	c->last = node;
	if (!c->next)
		c->next = node;
	c->n++;
	*out = *slot = node;
	return 0;
}

int schema_node_inside(struct schema_compile *c, struct schema_node *node, const char *keyword,
		       struct str token, const struct json *value, struct schema_node **out)
{
	struct schema_place place = { value, schema_refs_base(&c->refs, &node->place, value),
				      node->place.draft };

	return schema_node_at(c, &place, node, str_of(keyword), token, out);
}
