/* SPDX-License-Identifier: Apache-2.0 */
/* Typed getters: what a member must be, and an error that says so and where. */
#include "core/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static int wrong(const char *path, const char *key, struct err *err, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static int wrong(const char *path, const char *key, struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, ERR_INVALID, fmt, ap);
	va_end(ap);
	if (path && *path)
		err_wrap(err, "%s.%s", path, key);
	else
		err_wrap(err, "%s", key);
	return ERR_INVALID;
}

/* The member, or NULL when it is absent and may be; must is "must be a string". */
static int find(const struct json *obj, const char *path, const char *key, unsigned flags,
		enum json_type type, const char *must, const struct json **found, struct err *err)
{
	const struct json *v = json_get(obj, key);

	if (json_is_null(v) && (flags & JSON_NULL_ABSENT))
		v = NULL;
	*found = v;
	if (!v)
		return flags & JSON_REQUIRED ? wrong(path, key, err, "is required") : 0;
	if (json_type(v) != type)
		return wrong(path, key, err, "%s, not %s", must, json_type_name(v));
	if ((flags & JSON_NONEMPTY) && type >= JSON_STRING && v->n_ == 0)
		return wrong(path, key, err, "must not be empty");
	return 0;
}

int json_want_string(const struct json *obj, const char *path, const char *key, unsigned flags,
		     struct str *out, struct err *err)
{
	const struct json *v;
	int rc = find(obj, path, key, flags, JSON_STRING, "must be a string", &v, err);

	if (rc == 0 && v)
		*out = json_str(v);
	return rc;
}

int json_want_cstr(const struct json *obj, const char *path, const char *key, unsigned flags,
		   const char **out, struct err *err)
{
	struct str text = { NULL, 0 };
	int rc = json_want_string(obj, path, key, flags, &text, err);

	if (rc || !text.p)
		return rc;
	if (memchr(text.p, '\0', text.n))
		return wrong(path, key, err, "must not contain the character U+0000");
	*out = text.p;
	return 0;
}

int json_want_bool(const struct json *obj, const char *path, const char *key, unsigned flags,
		   bool *out, struct err *err)
{
	const struct json *v;
	int rc = find(obj, path, key, flags, JSON_BOOL, "must be true or false", &v, err);

	if (rc == 0 && v)
		*out = json_bool_value(v);
	return rc;
}

/* 5, 5.0 and 50e-1 are 5; false past int64_t. */
static bool integer_value(const struct json *v, int64_t *out)
{
	double value;

	if (json_to_int(v, out))
		return true;
	if (!json_number_is_integer(json_num_text(v)) || !json_to_double(v, &value))
		return false;
	if (value < -9007199254740992.0 || value > 9007199254740992.0)
		return false; /* not exact as a double: must be written as an integer */
	*out = (int64_t)value;
	return true;
}

int json_want_int(const struct json *obj, const char *path, const char *key, unsigned flags,
		  int64_t min, int64_t max, int64_t *out, struct err *err)
{
	char must[96] = "must be an integer";
	const struct json *v;
	int64_t value;
	int rc;

	if (max != INT64_MAX)
		snprintf(must, sizeof(must), "must be an integer from %" PRId64 " to %" PRId64, min,
			 max);
	else if (min != INT64_MIN)
		snprintf(must, sizeof(must), "must be an integer of at least %" PRId64, min);
	rc = find(obj, path, key, flags, JSON_NUMBER, must, &v, err);
	if (rc || !v)
		return rc;
	if (!integer_value(v, &value) || value < min || value > max) {
		struct str text = json_num_text(v);

		return wrong(path, key, err, "%s, not %.*s", must, (int)(text.n < 40 ? text.n : 40),
			     text.p);
	}
	*out = value;
	return 0;
}

int json_want_array(const struct json *obj, const char *path, const char *key, unsigned flags,
		    const struct json **out, struct err *err)
{
	const struct json *v;
	int rc = find(obj, path, key, flags, JSON_ARRAY, "must be an array", &v, err);

	if (rc == 0 && v)
		*out = v;
	return rc;
}

int json_want_object(const struct json *obj, const char *path, const char *key, unsigned flags,
		     const struct json **out, struct err *err)
{
	const struct json *v;
	int rc = find(obj, path, key, flags, JSON_OBJECT, "must be an object", &v, err);

	if (rc == 0 && v)
		*out = v;
	return rc;
}

int json_want_strings(const struct json *obj, const char *path, const char *key, unsigned flags,
		      const struct json **out, struct err *err)
{
	const struct json *v, *item;
	size_t i;
	int rc = find(obj, path, key, flags, JSON_ARRAY, "must be an array of strings", &v, err);

	if (rc || !v)
		return rc;
	json_each_item(i, item, v) {
		if (json_is_string(item))
			continue;
		err_set(err, ERR_INVALID, "must be a string, not %s", json_type_name(item));
		return err_wrap(err, "%s%s%s[%zu]", path ? path : "", path && *path ? "." : "", key,
				i);
	}
	*out = v;
	return 0;
}
