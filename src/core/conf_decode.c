/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf_scalar.h"

#include "core/mem.h"
#include "core/yaml.h"

#include <inttypes.h>
#include <stdlib.h>

static void decode_rows(struct conf *conf, const struct conf_key *rows, const struct json *node,
			bool absent, void *out);

/* -- unknown keys ------------------------------------------------------------------- */

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

#define NAME_MAX_ 48

/* How many letters must be changed, put in or left out; '-' and '_', 'A' and 'a' are alike. */
static size_t distance(struct str a, const char *b)
{
	size_t row[NAME_MAX_ + 1], n = strlen(b), i, k, corner, above;

	if (a.n > NAME_MAX_ || n > NAME_MAX_)
		return SIZE_MAX;
	for (k = 0; k <= n; k++)
		row[k] = k;
	for (i = 0; i < a.n; i++) {
		char c = a.p[i] == '-' ? '_' : a.p[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		corner = row[0];
		row[0] = i + 1;
		for (k = 0; k < n; k++) {
			above = row[k + 1];
			row[k + 1] = smallest(above + 1, row[k] + 1, corner + (c != b[k]));
			corner = above;
		}
	}
	return row[n];
}

static const struct conf_key *nearest(const struct conf_key *rows, struct str name)
{
	const struct conf_key *best = NULL;
	size_t least = name.n / 3 + 1, d;

	for (; rows->name; rows++) {
		d = distance(name, rows->name);
		if (d <= least && (!best || d < least)) {
			best = rows;
			least = d;
		}
	}
	return best;
}

static void unknown_key(struct conf *conf, const struct conf_key *rows, const struct json_member *m)
{
	struct json place = { .line = m->line, .column = m->column };
	const struct conf_key *known = nearest(rows, m->key);
	struct buf all = { 0 };

	if (known) {
		conf_error(conf, &place, "is not known here; did you mean %s?", known->name);
		return;
	}
	for (; rows->name; rows++)
		buf_printf(&all, "%s%s", all.n ? ", " : "", rows->name);
	conf_error(conf, &place, "is not known here; there are %s", buf_str(&all).p);
	buf_finish(&all);
}

/* -- mappings and lists ------------------------------------------------------------------ */

static void decode_object(struct conf *conf, const struct conf_key *key, const struct json *node,
			  void *field)
{
	void *out = field;

	if (!json_is_object(node)) {
		conf_must_be(conf, node, "a mapping");
		return;
	}
	if (key->flags & CONF_OPTIONAL) {
		out = arena_zalloc(conf->arena, key->size);
		memcpy(field, &out, sizeof(out));
	}
	decode_rows(conf, key->rows, node, false, out);
}

static void decode_item(struct conf *conf, const struct conf_key *key, const struct json *node,
			void *item)
{
	size_t before = conf->errors->n_errors;

	if (key->item)
		conf_value(conf, key->item, node, item);
	else if (json_is_object(node))
		decode_rows(conf, key->rows, node, false, item);
	else
		conf_must_be(conf, node, "a mapping");
	if (key->each && conf->errors->n_errors == before)
		key->each(conf, node, item);
}

static void decode_list(struct conf *conf, const struct conf_key *key, const struct json *node,
			void *field, size_t *count)
{
	const struct json *item;
	char *items;
	size_t i, at, n = json_len(node);

	if (!json_is_array(node)) {
		conf_must_be(conf, node, "a list");
		return;
	}
	if ((int64_t)n < key->min || (key->max && (int64_t)n > key->max)) {
		if (key->max)
			conf_error(conf, node,
				   "must have %" PRId64 " to %" PRId64 " entries, not %zu",
				   key->min, key->max, n);
		else
			conf_error(conf, node, "must have at least %" PRId64 " entries, not %zu",
				   key->min, n);
		return;
	}
	items = arena_zalloc(conf->arena, n ? n * key->size : 1);
	json_each_item(i, item, node) {
		at = conf_push_index(conf, i);
		decode_item(conf, key, item, items + i * key->size);
		conf_pop(conf, at);
	}
	memcpy(field, &items, sizeof(items));
	*count = n;
}

/* A list's count stands at another place than the list: out is the struct, field the field. */
static void decode_value(struct conf *conf, const struct conf_key *key, const struct json *node,
			 void *out, void *field)
{
	size_t before = conf->errors->n_errors;

	switch (key->type) {
	case CONF_BOOL:
	case CONF_TRI:
	case CONF_INT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_STRING:
	case CONF_PATH:
	case CONF_ENUM:
	case CONF_FLAGS:
	case CONF_SECRET:
		conf_scalar(conf, key, node, field);
		break;
	case CONF_OBJECT:
		decode_object(conf, key, node, field);
		break;
	case CONF_LIST:
		decode_list(conf, key, node, field, (size_t *)(void *)((char *)out + key->count));
		break;
	case CONF_JSON:
		if ((key->flags & CONF_OBJECT_ONLY) && !json_is_object(node))
			conf_must_be(conf, node, "a mapping");
		else
			memcpy(field, &node, sizeof(node));
		break;
	case CONF_CUSTOM:
		key->decode(conf, node, field);
		break;
	}
	if (key->check && conf->errors->n_errors == before)
		key->check(conf, node, field);
}

void conf_value(struct conf *conf, const struct conf_key *key, const struct json *node, void *field)
{
	if (key->type == CONF_LIST)
		abort(); /* it has no place for the count */
	decode_value(conf, key, node, NULL, field);
}

static struct json *fallback_of(struct conf *conf, const struct conf_key *key)
{
	struct str text = str_of(key->fallback);
	struct json *node;

	if (text.n && (text.p[0] == '[' || text.p[0] == '{')) {
		if (yaml_parse(conf->arena, text, NULL, &node, NULL))
			abort(); /* a mistake in the row */
		return node;
	}
	return yaml_scalar(conf->arena, text, YAML_CORE, true, NULL, NULL);
}

/* A default has no place in the file. */
static void forget_place(struct json *node)
{
	const struct json_member *m;
	struct json *item;
	size_t i;

	node->line = node->column = 0;
	json_each_item(i, item, node)
		forget_place(item);
	json_each_member(m, node)
		forget_place(m->value);
}

/* A key that is not in the file. */
static void decode_absent(struct conf *conf, const struct conf_key *key, const struct json *node,
			  bool absent, void *out)
{
	void *field = (char *)out + key->offset;
	struct json *fallback;

	if ((key->flags & CONF_REQUIRED) && !absent) {
		conf_error(conf, node, "must be given");
	} else if (key->fallback) {
		fallback = fallback_of(conf, key);
		if (!fallback)
			abort();
		forget_place(fallback);
		decode_value(conf, key, fallback, out, field);
	} else if (key->type == CONF_OBJECT && !(key->flags & CONF_OPTIONAL)) {
		size_t before = conf->errors->n_errors;

		decode_rows(conf, key->rows, NULL, true, field);
		if (key->check && conf->errors->n_errors == before)
			key->check(conf, NULL, field);
	}
}

static bool counts_as_absent(const struct conf_key *key, const struct json *node)
{
	return !node ||
	       (json_is_null(node) && (key->type == CONF_OBJECT || key->type == CONF_LIST ||
				       key->type == CONF_FLAGS || key->type == CONF_JSON));
}

/* absent: the mapping is not in the file, what it requires is not required. */
static void decode_rows(struct conf *conf, const struct conf_key *rows, const struct json *node,
			bool absent, void *out)
{
	const struct conf_key *key;
	const struct json_member *m;
	const struct json *value;
	size_t at;

	for (key = rows; key->name; key++) {
		value = json_get(node, key->name);
		at = conf_push(conf, key->name);
		if (counts_as_absent(key, value))
			decode_absent(conf, key, value ? value : node, absent, out);
		else
			decode_value(conf, key, value, out, (char *)out + key->offset);
		conf_pop(conf, at);
	}
	json_each_member(m, node) {
		for (key = rows; key->name && !str_is(m->key, key->name);)
			key++;
		if (key->name || str_starts(m->key, STR("x-")))
			continue;
		at = conf_push(conf, m->key.n <= NAME_MAX_ ? m->key.p : "(a long key)");
		unknown_key(conf, rows, m);
		conf_pop(conf, at);
	}
}

int conf_decode(const struct conf_key *rows, const struct json *node, const char *path, void *out,
		struct arena *arena, struct conf_errors *errors)
{
	struct conf conf = { .arena = arena, .errors = errors };
	size_t before = errors->n_errors;

	if (path)
		buf_puts(&conf.path, path);
	if (node && !json_is_object(node) && !json_is_null(node))
		conf_must_be(&conf, node, "a mapping");
	else
		decode_rows(&conf, rows, node, false, out);
	buf_finish(&conf.path);
	return errors->n_errors == before ? 0 : ERR_INVALID;
}
