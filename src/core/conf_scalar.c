/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf_scalar.h"

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

/* -- where we are ------------------------------------------------------------------------ */

size_t conf_push(struct conf *conf, const char *key)
{
	size_t n = conf->path.n;

	if (n)
		buf_putc(&conf->path, '.');
	buf_puts(&conf->path, key);
	return n;
}

size_t conf_push_index(struct conf *conf, size_t i)
{
	size_t n = conf->path.n;

	buf_printf(&conf->path, "[%zu]", i);
	return n;
}

void conf_pop(struct conf *conf, size_t n)
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

void conf_must_be(struct conf *conf, const struct json *node, const char *what)
{
	if (json_is_null(node))
		conf_error(conf, node, "must be %s; it has no value", what);
	else
		conf_error(conf, node, "must be %s, not %s", what, kind_of(node));
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
		conf_must_be(conf, node, buf_str(&text).p);
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
		conf_must_be(conf, node, what);
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
		conf_must_be(conf, node, "true or false");
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
		conf_must_be(conf, node, what);
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

	for (name = key->names; name->name; name++)
		if (yaml_text(node).p && str_is(yaml_text(node), name->name))
			return name;
	for (name = key->names; name->name; name++)
		buf_printf(&all, "%s%s", !all.n ? "" : name[1].name ? ", " : " or ", name->name);
	if (json_is_string(node))
		conf_error(conf, node, "must be %s", buf_str(&all).p);
	else
		conf_must_be(conf, node, buf_str(&all).p);
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
		conf_must_be(conf, node, "a list");
		return;
	}
	json_each_item(i, item, node) {
		at = conf_push_index(conf, i);
		name = find_name(conf, key, item);
		if (name)
			*(unsigned *)field |= (unsigned)name->value;
		conf_pop(conf, at);
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
	at = conf_push(conf, m->key.p);
	if (!json_is_string(m->value) || !json_str(m->value).n) {
		conf_must_be(conf, m->value, "a non-empty string");
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
	conf_pop(conf, at);
}

struct str conf_path(struct conf *conf, struct str path)
{
	const char *dir = conf->errors->dir ? conf->errors->dir : ".";

	if (path.n && path.p[0] == '/')
		return arena_str(conf->arena, path);
	return str_of(arena_printf(conf->arena, "%s/%.*s", dir, STR_ARG(path)));
}

void conf_scalar(struct conf *conf, const struct conf_key *key, const struct json *node,
		 void *field)
{
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
	case CONF_LIST:
	case CONF_JSON:
	case CONF_CUSTOM:
	default:
		abort();
	}
}
