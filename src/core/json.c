/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <yyjson.h>

#define PAIRWISE_MAX 16 /* members up to which comparing all pairs is faster than sorting */
#define SHOW_MAX 64     /* bytes of a key shown in an error */

/* -- parsing ----------------------------------------------------------------------------- */

/* yyjson checks and splits the text in a copy that stays in the arena; its values are then
 * turned into ours, whose strings and numbers point into that copy. */
struct parse {
	struct arena *arena;
	struct str text;  /* as it came: for positions */
	const char *copy; /* what the strings point into; same offsets as text */
	struct err *err;
};

static int fail_at(struct parse *parse, size_t pos, int code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static int fail_at(struct parse *parse, size_t pos, int code, const char *fmt, ...)
{
	size_t line = 1, column = 1, i;
	va_list ap;

	for (i = 0; i < pos && i < parse->text.n; i++) {
		if (parse->text.p[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)parse->text.p[i] & 0xC0) != 0x80) {
			column++;
		}
	}
	va_start(ap, fmt);
	err_vset(parse->err, code, fmt, ap);
	va_end(ap);
	err_wrap(parse->err, "line %zu column %zu", line, column);
	return code;
}

/* The parser would go as deep as the text does; this looks first. What is malformed may be
 * misread here, but not before the place where the parser stops at it. */
static int check_depth(struct parse *parse, unsigned limit)
{
	const char *p = parse->text.p, *end = p + parse->text.n;
	unsigned depth = 0;
	size_t opening = 0;

	for (; p < end; p++)
		opening += (*p | 0x20) == '{'; /* a bracket, too */
	if (opening <= limit)
		return 0;
	for (p = parse->text.p; p < end; p++) {
		switch (*p) {
		case '"':
			for (p++; p < end && *p != '"'; p++)
				if (*p == '\\')
					p++;
			break;
		case '[':
		case '{':
			if (++depth > limit)
				return fail_at(parse, (size_t)(p - parse->text.p), ERR_TOOBIG,
					       "nested deeper than %u levels", limit);
			break;
		case ']':
		case '}':
			if (depth)
				depth--;
			break;
		default:
			break;
		}
	}
	return 0;
}

static int fill(struct parse *parse, yyjson_val *from, struct json *to);

static int fill_array(struct parse *parse, yyjson_val *from, struct json *to)
{
	yyjson_arr_iter iter = yyjson_arr_iter_with(from);
	size_t n = yyjson_arr_size(from), i;
	struct json *values;
	int rc;

	if (n == 0)
		return 0;
	values = arena_zalloc(parse->arena, n * sizeof(*values));
	to->u_.items = arena_alloc(parse->arena, n * sizeof(to->u_.items[0]));
	to->n_ = to->size_ = (uint32_t)n;
	for (i = 0; i < n; i++) {
		to->u_.items[i] = &values[i];
		rc = fill(parse, yyjson_arr_iter_next(&iter), &values[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static int fill_object(struct parse *parse, yyjson_val *from, struct json *to)
{
	yyjson_obj_iter iter = yyjson_obj_iter_with(from);
	size_t n = yyjson_obj_size(from), i;
	const struct json_member *twice;
	struct json *values;
	int rc;

	if (n == 0)
		return 0;
	values = arena_zalloc(parse->arena, n * sizeof(*values));
	to->u_.members = arena_zalloc(parse->arena, n * sizeof(to->u_.members[0]));
	to->n_ = to->size_ = (uint32_t)n;
	for (i = 0; i < n; i++) {
		yyjson_val *key = yyjson_obj_iter_next(&iter);
		struct json_member *m = &to->u_.members[i];

		m->key = str_make(yyjson_get_str(key), yyjson_get_len(key));
		m->value = &values[i];
		rc = fill(parse, yyjson_obj_iter_get_val(key), &values[i]);
		if (rc)
			return rc;
	}
	twice = json_duplicate(to);
	if (!twice)
		return 0;
	return fail_at(parse, (size_t)(twice->key.p - parse->copy) - 1, ERR_SYNTAX,
		       "duplicate key \"%.*s%s\"", STR_ARG(str_utf8_head(twice->key, SHOW_MAX)),
		       twice->key.n <= SHOW_MAX ? "" : "...");
}

static int fill(struct parse *parse, yyjson_val *from, struct json *to)
{
	switch (yyjson_get_type(from)) {
	case YYJSON_TYPE_BOOL:
		to->type_ = JSON_BOOL;
		to->bool_ = yyjson_get_bool(from);
		return 0;
	case YYJSON_TYPE_RAW:
		to->type_ = JSON_NUMBER;
		to->u_.text = yyjson_get_raw(from);
		to->n_ = (uint32_t)yyjson_get_len(from);
		if (!json_number_ok(json_num_text(to)))
			return fail_at(parse, (size_t)(to->u_.text - parse->copy), ERR_TOOBIG,
				       "number with more than %d characters or an exponent of more "
				       "than 9 digits",
				       JSON_NUMBER_MAX);
		return 0;
	case YYJSON_TYPE_STR:
		to->type_ = JSON_STRING;
		to->u_.text = yyjson_get_str(from);
		to->n_ = (uint32_t)yyjson_get_len(from);
		return 0;
	case YYJSON_TYPE_ARR:
		to->type_ = JSON_ARRAY;
		return fill_array(parse, from, to);
	case YYJSON_TYPE_OBJ:
		to->type_ = JSON_OBJECT;
		return fill_object(parse, from, to);
	default:
		to->type_ = JSON_NULL;
		return 0;
	}
}

static void *yy_malloc(void *ctx, size_t size)
{
	(void)ctx;
	return mem_alloc(size);
}

static void *yy_realloc(void *ctx, void *p, size_t old_size, size_t size)
{
	(void)ctx;
	(void)old_size;
	return mem_realloc(p, size);
}

static void yy_free(void *ctx, void *p)
{
	(void)ctx;
	mem_free(p);
}

int json_parse(struct arena *arena, struct str text, const struct json_limits *limits,
	       struct json **out, struct err *err)
{
	size_t bytes = limits && limits->bytes ? limits->bytes : JSON_BYTES_MAX;
	unsigned depth = limits && limits->depth ? limits->depth : JSON_DEPTH_MAX;
	struct parse parse = { arena, text, NULL, err };
	yyjson_alc alc = { yy_malloc, yy_realloc, yy_free, NULL };
	char room[12 << 10]; /* for the values of a usual request: no malloc */
	yyjson_read_err why;
	yyjson_doc *doc;
	struct json *v;
	char *copy;
	int rc;

	if (text.n > bytes || text.n > UINT32_MAX / 2)
		return err_set(err, ERR_TOOBIG, "larger than %zu bytes", bytes);
	if (text.n == 0)
		return err_set(err, ERR_SYNTAX, "empty, not a JSON text");
	rc = check_depth(&parse, depth < JSON_DEPTH_CAP ? depth : JSON_DEPTH_CAP);
	if (rc)
		return rc;

	copy = arena_alloc(arena, text.n + YYJSON_PADDING_SIZE);
	memcpy(copy, text.p, text.n);
	memset(copy + text.n, 0, YYJSON_PADDING_SIZE);
	parse.copy = copy;
	if (yyjson_read_max_memory_usage(text.n, YYJSON_READ_INSITU) <= sizeof(room))
		yyjson_alc_pool_init(&alc, room, sizeof(room));
	doc = yyjson_read_opts(copy, text.n, YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW, &alc,
			       &why);
	if (!doc)
		return fail_at(&parse, why.pos, ERR_SYNTAX, "%s", why.msg);
	v = arena_new(arena, struct json);
	rc = fill(&parse, yyjson_doc_get_root(doc), v);
	yyjson_doc_free(doc);
	if (rc == 0)
		*out = v;
	return rc;
}

int json_parse_object(struct arena *arena, struct str text, const struct json_limits *limits,
		      struct json **out, struct err *err)
{
	struct json *v = NULL;
	int rc = json_parse(arena, text, limits, &v, err);

	if (rc)
		return rc;
	if (!json_is_object(v))
		return err_set(err, ERR_SYNTAX, "must be a JSON object, not %s", json_type_name(v));
	*out = v;
	return 0;
}

/* -- reading ----------------------------------------------------------------------------- */

const char *json_type_name(const struct json *v)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",       [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
		[JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
	};

	return v ? names[v->type_] : "nothing";
}

struct json_member *json_member(const struct json *v, struct str key)
{
	struct json_member *m;

	json_each_member(m, v)
		if (str_eq(m->key, key))
			return m;
	return NULL;
}

struct json *json_get_str(const struct json *v, struct str key)
{
	struct json_member *m = json_member(v, key);

	return m ? m->value : NULL;
}

struct json *json_get(const struct json *v, const char *key)
{
	return json_get_str(v, str_of(key));
}

/* By key, equal keys in the order of the members. */
static int by_key(const void *a, const void *b)
{
	const struct json_member *x = *(const struct json_member *const *)a;
	const struct json_member *y = *(const struct json_member *const *)b;
	int order = 0;

	if (x->key.n != y->key.n)
		return x->key.n < y->key.n ? -1 : 1;
	if (x->key.n)
		order = memcmp(x->key.p, y->key.p, x->key.n);
	return order ? order : (x > y) - (x < y);
}

static const struct json_member **sorted(const struct json *object)
{
	const struct json_member **list =
		mem_alloc(object->n_ * sizeof(const struct json_member *));
	size_t i;

	for (i = 0; i < object->n_; i++)
		list[i] = &object->u_.members[i];
	qsort(list, object->n_, sizeof(list[0]), by_key);
	return list;
}

const struct json_member *json_duplicate(const struct json *object)
{
	const struct json_member *found = NULL, **list;
	size_t n = json_is_object(object) ? object->n_ : 0, i, k;

	if (n <= PAIRWISE_MAX) {
		for (i = 1; i < n; i++)
			for (k = 0; k < i; k++)
				if (str_eq(object->u_.members[i].key, object->u_.members[k].key))
					return &object->u_.members[i];
		return NULL;
	}
	list = sorted(object);
	for (i = 1; i < n; i++)
		if (str_eq(list[i]->key, list[i - 1]->key) && (!found || list[i] < found))
			found = list[i];
	mem_free(list);
	return found;
}

static bool objects_equal(const struct json *a, const struct json *b)
{
	const struct json_member **as, **bs;
	bool equal = true;
	size_t i;

	if (a->n_ <= PAIRWISE_MAX) {
		for (i = 0; i < a->n_; i++) {
			const struct json_member *m = json_member(b, a->u_.members[i].key);

			if (!m || !json_equal(a->u_.members[i].value, m->value))
				return false;
		}
		return true;
	}
	as = sorted(a);
	bs = sorted(b);
	for (i = 0; i < a->n_ && equal; i++)
		equal = str_eq(as[i]->key, bs[i]->key) && json_equal(as[i]->value, bs[i]->value);
	mem_free(as);
	mem_free(bs);
	return equal;
}

bool json_equal(const struct json *a, const struct json *b)
{
	size_t i;

	if (a == b)
		return true;
	if (!a || !b || a->type_ != b->type_)
		return false;
	switch (json_type(a)) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
		return a->bool_ == b->bool_;
	case JSON_NUMBER:
		return json_number_cmp(json_num_text(a), json_num_text(b)) == 0;
	case JSON_STRING:
		return str_eq(json_str(a), json_str(b));
	case JSON_ARRAY:
		if (a->n_ != b->n_)
			return false;
		for (i = 0; i < a->n_; i++)
			if (!json_equal(a->u_.items[i], b->u_.items[i]))
				return false;
		return true;
	case JSON_OBJECT:
		return a->n_ == b->n_ && objects_equal(a, b);
	}
	return false;
}

static uint64_t mixed(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= 0x9E3779B97F4A7C15u;
	return hash ^ hash >> 29;
}

static uint64_t bytes_hash(struct str s)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
	size_t i;

	for (i = 0; i < s.n; i++)
		hash = (hash ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return hash;
}

uint64_t json_hash(const struct json *v)
{
	uint64_t hash = 0;
	size_t i;

	if (!v)
		return 0;
	switch (json_type(v)) {
	case JSON_NULL:
		break;
	case JSON_BOOL:
		hash = v->bool_;
		break;
	case JSON_NUMBER:
		hash = json_number_hash(json_num_text(v));
		break;
	case JSON_STRING:
		hash = bytes_hash(json_str(v));
		break;
	case JSON_ARRAY:
		for (i = 0; i < v->n_; i++)
			hash = mixed(hash) + json_hash(v->u_.items[i]);
		break;
	case JSON_OBJECT: /* in any order */
		for (i = 0; i < v->n_; i++)
			hash += mixed(bytes_hash(v->u_.members[i].key) +
				      mixed(json_hash(v->u_.members[i].value)));
		break;
	}
	return mixed(hash + 1 + v->type_);
}
