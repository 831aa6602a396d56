/* SPDX-License-Identifier: Apache-2.0 */
/* Making values, and the trees that answers are. */
#include "core/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct json *new_value(struct arena *arena, enum json_type type)
{
	struct json *v = arena_new(arena, struct json);

	v->type_ = (uint8_t)type;
	return v;
}

static struct json *new_text(struct arena *arena, enum json_type type, struct str text)
{
	struct json *v = new_value(arena, type);

	if (text.n > UINT32_MAX)
		abort();
	v->u_.text = arena_strndup(arena, text.p, text.n);
	v->n_ = (uint32_t)text.n;
	return v;
}

struct json *json_null(struct arena *arena)
{
	return new_value(arena, JSON_NULL);
}

struct json *json_bool(struct arena *arena, bool value)
{
	struct json *v = new_value(arena, JSON_BOOL);

	v->bool_ = value;
	return v;
}

struct json *json_int(struct arena *arena, int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, value);

	return new_text(arena, JSON_NUMBER, str_make(text, (size_t)n));
}

struct json *json_number(struct arena *arena, struct str text)
{
	return json_number_ok(text) ? new_text(arena, JSON_NUMBER, text) : NULL;
}

struct json *json_string(struct arena *arena, struct str text)
{
	return new_text(arena, JSON_STRING, text);
}

struct json *json_cstr(struct arena *arena, const char *text)
{
	return new_text(arena, JSON_STRING, str_of(text));
}

struct json *json_printf(struct arena *arena, const char *fmt, ...)
{
	struct json *v = new_value(arena, JSON_STRING);
	struct str text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(arena, fmt, ap);
	va_end(ap);
	v->u_.text = text.p;
	v->n_ = (uint32_t)text.n;
	return v;
}

struct json *json_array(struct arena *arena)
{
	return new_value(arena, JSON_ARRAY);
}

struct json *json_object(struct arena *arena)
{
	return new_value(arena, JSON_OBJECT);
}

/* Room for one child more, each of so many bytes. */
static void *grow(struct arena *arena, struct json *v, void *old, size_t each)
{
	void *bigger;

	if (v->n_ < v->size_)
		return old;
	if (v->size_ > UINT32_MAX / 4)
		abort();
	v->size_ = v->size_ ? 2 * v->size_ : 4;
	bigger = arena_alloc(arena, v->size_ * each);
	if (v->n_)
		memcpy(bigger, old, v->n_ * each);
	return bigger;
}

struct json_member *json_add(struct arena *arena, struct json *obj, struct str key,
			     struct json *value)
{
	struct json_member *m;

	if (!json_is_object(obj) || !value)
		abort();
	obj->u_.members = grow(arena, obj, obj->u_.members, sizeof(*m));
	m = &obj->u_.members[obj->n_++];
	*m = (struct json_member){ .key = str_make(arena_strndup(arena, key.p, key.n), key.n),
				   .value = value };
	return m;
}

void json_set(struct arena *arena, struct json *obj, const char *key, struct json *value)
{
	struct json_member *m = json_member(obj, str_of(key));

	if (!value)
		return;
	if (m)
		m->value = value;
	else
		json_add(arena, obj, str_of(key), value);
}

void json_set_str(struct arena *arena, struct json *obj, const char *key, struct str text)
{
	json_set(arena, obj, key, json_string(arena, text));
}

void json_set_cstr(struct arena *arena, struct json *obj, const char *key, const char *text)
{
	json_set(arena, obj, key, json_cstr(arena, text));
}

void json_set_int(struct arena *arena, struct json *obj, const char *key, int64_t value)
{
	json_set(arena, obj, key, json_int(arena, value));
}

void json_set_bool(struct arena *arena, struct json *obj, const char *key, bool value)
{
	json_set(arena, obj, key, json_bool(arena, value));
}

void json_append(struct arena *arena, struct json *array, struct json *value)
{
	if (!json_is_array(array))
		abort();
	if (!value)
		return;
	array->u_.items = grow(arena, array, array->u_.items, sizeof(array->u_.items[0]));
	array->u_.items[array->n_++] = value;
}

bool json_remove(struct json *obj, const char *key)
{
	struct json_member *m = json_member(obj, str_of(key));
	size_t i;

	if (!m)
		return false;
	i = (size_t)(m - obj->u_.members);
	memmove(m, m + 1, (obj->n_ - i - 1) * sizeof(*m));
	obj->n_--;
	return true;
}

struct json *json_copy(struct arena *arena, const struct json *v)
{
	struct json *copy;
	size_t i;

	if (!v)
		return NULL;
	copy = arena_new(arena, struct json);
	*copy = *v;
	copy->scalar_ = false;
	switch (json_type(v)) {
	case JSON_NULL:
	case JSON_BOOL:
		break;
	case JSON_NUMBER:
	case JSON_STRING:
		copy->u_.text = arena_strndup(arena, v->u_.text, v->n_);
		break;
	case JSON_ARRAY:
		copy->size_ = v->n_;
		copy->u_.items = arena_alloc(arena, v->n_ * sizeof(copy->u_.items[0]));
		for (i = 0; i < v->n_; i++)
			copy->u_.items[i] = json_copy(arena, v->u_.items[i]);
		break;
	case JSON_OBJECT:
		copy->size_ = v->n_;
		copy->u_.members = arena_alloc(arena, v->n_ * sizeof(copy->u_.members[0]));
		for (i = 0; i < v->n_; i++) {
			copy->u_.members[i] = v->u_.members[i];
			copy->u_.members[i].key = arena_str(arena, v->u_.members[i].key);
			copy->u_.members[i].value = json_copy(arena, v->u_.members[i].value);
		}
		break;
	}
	return copy;
}
