/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf.h"

#include "core/mem.h"
#include "core/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX (64 << 10) /* bytes of a file that holds one */

static void decode_rows(struct conf *conf, const struct conf_key *rows, const struct json *node,
			bool absent, void *out);

/* -- where we are ------------------------------------------------------------------------ */

static size_t path_push(struct conf *conf, const char *key)
{
	size_t n = conf->path.n;

	if (n)
		buf_putc(&conf->path, '.');
	buf_puts(&conf->path, key);
	return n;
}

static size_t path_push_index(struct conf *conf, size_t i)
{
	size_t n = conf->path.n;

	buf_printf(&conf->path, "[%zu]", i);
	return n;
}

static void path_pop(struct conf *conf, size_t n)
{
	conf->path.n = n;
	if (conf->path.p)
		conf->path.p[n] = '\0';
}

/* -- words of messages ------------------------------------------------------------------- */

static const char *kind_of(const struct json *node)
{
	if (json_is_object(node))
		return "a mapping";
	if (json_is_array(node))
		return "a list";
	return json_type_name(node);
}

static void must_be(struct conf *conf, const struct json *node, const char *what)
{
	if (json_is_null(node))
		conf_error(conf, node, "must be %s; it has no value", what);
	else
		conf_error(conf, node, "must be %s, not %s", what, kind_of(node));
}

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

/* "1h", "90s", "250ms". */
static void put_duration(struct buf *buf, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" } };
	size_t i;

	for (i = 0; ms && i < ARRAY_LEN(units); i++) {
		if (ms % units[i].ms == 0) {
			buf_printf(buf, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
			return;
		}
	}
	buf_printf(buf, ms ? "%" PRId64 "ms" : "%" PRId64, ms);
}

static void put_size(struct buf *buf, int64_t bytes)
{
	static const char units[] = "GMk";
	int i;

	for (i = 0; bytes && i < 3; i++) {
		int64_t unit = (int64_t)1 << (30 - 10 * i);

		if (bytes % unit == 0) {
			buf_printf(buf, "%" PRId64 "%c", bytes / unit, units[i]);
			return;
		}
	}
	buf_printf(buf, "%" PRId64, bytes);
}

static void put_bound(struct buf *buf, const struct conf_key *key, int64_t bound)
{
	if (key->type == CONF_DURATION)
		put_duration(buf, bound);
	else if (key->type == CONF_SIZE)
		put_size(buf, bound);
	else
		buf_printf(buf, "%" PRId64, bound);
}

void conf_put_bounds(const struct conf_key *key, struct buf *buf)
{
	if (!key->min && !key->max)
		return;
	if (key->max >= key->min) {
		buf_puts(buf, " from ");
		put_bound(buf, key, key->min);
		buf_puts(buf, " to ");
		put_bound(buf, key, key->max);
	} else {
		buf_puts(buf, " of at least ");
		put_bound(buf, key, key->min);
	}
}

static void must_be_within(struct conf *conf, const struct conf_key *key, const struct json *node,
			   const char *what, bool wrong_type)
{
	struct buf text = { 0 };

	buf_puts(&text, what);
	conf_put_bounds(key, &text);
	if (wrong_type)
		must_be(conf, node, buf_str(&text).p);
	else
		conf_error(conf, node, "must be %s", buf_str(&text).p);
	buf_finish(&text);
}

static bool within(const struct conf_key *key, int64_t value)
{
	if (!key->min && !key->max)
		return true;
	return value >= key->min && (key->max < key->min || value <= key->max);
}

/* -- scalars ----------------------------------------------------------------------------- */

/* The text where a string is wanted; {NULL, 0} after an error. */
static struct str text_of(struct conf *conf, const struct conf_key *key, const struct json *node,
			  const char *what)
{
	if (json_is_null(node) || json_is_object(node) || json_is_array(node)) {
		must_be(conf, node, what);
		return str_make(NULL, 0);
	}
	if ((key->flags & CONF_NONEMPTY) && !yaml_text(node).n) {
		conf_error(conf, node, "must not be empty");
		return str_make(NULL, 0);
	}
	if (memchr(yaml_text(node).p, '\0', yaml_text(node).n)) {
		conf_error(conf, node, "must not hold a NUL character");
		return str_make(NULL, 0);
	}
	return yaml_text(node);
}

static bool is_yes_or_no(const struct json *node)
{
	static const char *const words[] = { "y", "yes", "on", "n", "no", "off" };
	size_t i;

	for (i = 0; yaml_is_plain(node) && i < ARRAY_LEN(words); i++)
		if (str_ieq(yaml_text(node), str_of(words[i])))
			return true;
	return false;
}

static void decode_bool(struct conf *conf, const struct conf_key *key, const struct json *node,
			void *field)
{
	if (is_yes_or_no(node) && !json_is_bool(node))
		conf_error(conf, node, "must be true or false; yes, no, on and off are texts");
	else if (!json_is_bool(node))
		must_be(conf, node, "true or false");
	else if (key->type == CONF_BOOL)
		*(bool *)field = json_bool_value(node);
	else
		*(enum conf_tri *)field = json_bool_value(node) ? CONF_TRUE : CONF_FALSE;
}

static void decode_int(struct conf *conf, const struct conf_key *key, const struct json *node,
		       void *field)
{
	int64_t value;

	if (!json_is_number(node))
		must_be_within(conf, key, node, "an integer", true);
	else if (!json_to_int(node, &value) || !within(key, value))
		must_be_within(conf, key, node, "an integer", false);
	else
		*(int64_t *)field = value;
}

static void decode_quantity(struct conf *conf, const struct conf_key *key, const struct json *node,
			    void *field)
{
	bool size = key->type == CONF_SIZE;
	const char *what = size ? "a size such as 4096, 64k or 1M"
				: "a duration such as 250ms, 45s, 10m, 2h or 1d";
	bool right = json_is_number(node) || json_is_string(node);
	struct str text = right ? yaml_text(node) : str_make(NULL, 0);
	uint64_t value;

	if (!right)
		must_be(conf, node, what);
	else if (!(size ? str_to_size(text, &value) : str_to_duration(text, &value)))
		conf_error(conf, node, "must be %s", what);
	else if (value > INT64_MAX || !within(key, (int64_t)value))
		must_be_within(conf, key, node, size ? "a size" : "a duration", false);
	else
		*(uint64_t *)field = value;
}

static void decode_string(struct conf *conf, const struct conf_key *key, const struct json *node,
			  void *field)
{
	struct str text = text_of(conf, key, node, key->type == CONF_PATH ? "a path" : "a string");

	if (!text.p)
		return;
	if (key->type == CONF_PATH && !text.n) {
		conf_error(conf, node, "must not be empty");
		return;
	}
	*(struct str *)field =
		key->type == CONF_PATH ? conf_path(conf, text) : arena_str(conf->arena, text);
}

static const struct conf_name *find_name(struct conf *conf, const struct conf_key *key,
					 const struct json *node)
{
	const struct conf_name *name;
	struct buf all = { 0 };

	for (name = key->names; name->name; name++) {
		if (yaml_text(node).p && str_is(yaml_text(node), name->name))
			return name;
		buf_printf(&all, "%s%s", !all.n ? "" : name[1].name ? ", " : " or ", name->name);
	}
	if (json_is_string(node))
		conf_error(conf, node, "must be %s", buf_str(&all).p);
	else
		must_be(conf, node, buf_str(&all).p);
	buf_finish(&all);
	return NULL;
}

static void decode_enum(struct conf *conf, const struct conf_key *key, const struct json *node,
			void *field)
{
	const struct conf_name *name = find_name(conf, key, node);

	if (name)
		memcpy(field, &name->value, sizeof(int));
}

static void decode_flags(struct conf *conf, const struct conf_key *key, const struct json *node,
			 void *field)
{
	const struct conf_name *name;
	const struct json *item;
	size_t i, at;

	if (!json_is_array(node)) {
		must_be(conf, node, "a list");
		return;
	}
	json_each_item(i, item, node) {
		at = path_push_index(conf, i);
		name = find_name(conf, key, item);
		if (name)
			*(unsigned *)field |= (unsigned)name->value;
		path_pop(conf, at);
	}
}

/* -- secrets ----------------------------------------------------------------------------- */

int conf_read_file(const char *path, size_t max, struct buf *buf, bool *exposed, struct err *err)
{
	size_t start = buf->n;
	struct stat st;
	ssize_t n;
	int fd, code;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		goto fail;
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, ERR_INVALID, "%s: is not a regular file", path);
	}
	if (exposed)
		*exposed = (st.st_mode & (S_IROTH | S_IWOTH)) != 0;
	for (;;) {
		n = read(fd, buf_room(buf, 16384), 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf->n += (size_t)n;
		if (buf->n - start > max) {
			close(fd);
			return err_set(err, ERR_TOOBIG, "%s: is larger than %zu bytes", path, max);
		}
	}
	if (n < 0)
		goto fail;
	buf_put(buf, "", 0);
	close(fd);
	return 0;
fail:
	code = err_from_uv(-errno);
	err_set(err, code, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return code;
}

static void finish_secret(void *data)
{
	secret_finish(data);
}

/* The arena owns it; the field is a second pair of eyes on it. */
static void give_secret(struct conf *conf, const struct conf_key *key, const struct json *node,
			struct str value, void *field)
{
	struct secret *secret;

	if ((key->flags & CONF_NONEMPTY) && !value.n) {
		conf_error(conf, node, "must not be empty");
		return;
	}
	if (memchr(value.p, '\0', value.n)) {
		conf_error(conf, node, "must not hold a NUL character");
		return;
	}
	secret = arena_new(conf->arena, struct secret);
	secret_set(secret, value);
	arena_defer(conf->arena, finish_secret, secret);
	*(struct secret *)field = *secret;
}

static void secret_from_file(struct conf *conf, const struct conf_key *key, const struct json *node,
			     void *field)
{
	const char *path = conf_path(conf, yaml_text(node)).p;
	struct buf buf = { 0 };
	struct err err = { 0 };
	bool exposed = false;

	if (conf_read_file(path, SECRET_MAX, &buf, &exposed, &err)) {
		conf_error(conf, node, "%s", err.text);
	} else {
		struct str value = buf_str(&buf);

		if (value.n && value.p[value.n - 1] == '\n')
			value.n--;
		if (value.n && value.n < buf.n && value.p[value.n - 1] == '\r')
			value.n--;
		if (exposed)
			conf_warn(conf, node, "%s can be read or written by everybody", path);
		give_secret(conf, key, node, value, field);
	}
	buf_wipe(&buf);
}

static void decode_secret(struct conf *conf, const struct conf_key *key, const struct json *node,
			  void *field)
{
	static const char what[] = "a text, {file: PATH} or {env: NAME}";
	const struct json_member *m = json_member_at(node, 0);
	const char *value;
	size_t at;

	if (!json_is_object(node)) {
		struct str text = text_of(conf, key, node, what);

		if (text.p)
			give_secret(conf, key, node, text, field);
		return;
	}
	if (json_len(node) != 1 || (!str_is(m->key, "file") && !str_is(m->key, "env"))) {
		conf_error(conf, node, "must be %s", what);
		return;
	}
	at = path_push(conf, m->key.p);
	if (!json_is_string(m->value) || !json_str(m->value).n) {
		must_be(conf, m->value, "a non-empty string");
	} else if (str_is(m->key, "file")) {
		secret_from_file(conf, key, m->value, field);
	} else {
		value = getenv(json_str(m->value).p);
		if (value)
			give_secret(conf, key, m->value, str_of(value), field);
		else
			conf_error(conf, m->value, "%.*s is not set in the environment",
				   STR_ARG(json_str(m->value)));
	}
	path_pop(conf, at);
}

struct str conf_path(struct conf *conf, struct str path)
{
	const char *dir = conf->errors->dir ? conf->errors->dir : ".";

	if (path.n && path.p[0] == '/')
		return arena_str(conf->arena, path);
	return str_of(arena_printf(conf->arena, "%s/%.*s", dir, STR_ARG(path)));
}

/* -- mappings and lists ------------------------------------------------------------------ */

static void decode_object(struct conf *conf, const struct conf_key *key, const struct json *node,
			  void *field)
{
	void *out = field;

	if (!json_is_object(node)) {
		must_be(conf, node, "a mapping");
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
		must_be(conf, node, "a mapping");
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
		must_be(conf, node, "a list");
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
		at = path_push_index(conf, i);
		decode_item(conf, key, item, items + i * key->size);
		path_pop(conf, at);
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
		decode_bool(conf, key, node, field);
		break;
	case CONF_INT:
		decode_int(conf, key, node, field);
		break;
	case CONF_SIZE:
	case CONF_DURATION:
		decode_quantity(conf, key, node, field);
		break;
	case CONF_STRING:
	case CONF_PATH:
		decode_string(conf, key, node, field);
		break;
	case CONF_ENUM:
		decode_enum(conf, key, node, field);
		break;
	case CONF_FLAGS:
		decode_flags(conf, key, node, field);
		break;
	case CONF_SECRET:
		decode_secret(conf, key, node, field);
		break;
	case CONF_OBJECT:
		decode_object(conf, key, node, field);
		break;
	case CONF_LIST:
		decode_list(conf, key, node, field, (size_t *)(void *)((char *)out + key->count));
		break;
	case CONF_JSON:
		if ((key->flags & CONF_OBJECT_ONLY) && !json_is_object(node))
			must_be(conf, node, "a mapping");
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
		at = path_push(conf, key->name);
		if (counts_as_absent(key, value))
			decode_absent(conf, key, value ? value : node, absent, out);
		else
			decode_value(conf, key, value, out, (char *)out + key->offset);
		path_pop(conf, at);
	}
	json_each_member(m, node) {
		for (key = rows; key->name && !str_is(m->key, key->name);)
			key++;
		if (key->name || str_starts(m->key, STR("x-")))
			continue;
		at = path_push(conf, m->key.n <= NAME_MAX_ ? m->key.p : "(a long key)");
		unknown_key(conf, rows, m);
		path_pop(conf, at);
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
		must_be(&conf, node, "a mapping");
	else
		decode_rows(&conf, rows, node, false, out);
	buf_finish(&conf.path);
	return errors->n_errors == before ? 0 : ERR_INVALID;
}
