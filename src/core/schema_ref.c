/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema_ref.h"

struct schema_id {
	struct schema_id *older;
	struct str uri; /* absolute; with a fragment only for a plain name */
	struct schema_place place;
};

/* -- URI references (RFC 3986) ------------------------------------------------------------ */

/* {NULL, 0} where a part is absent; the path is always there. */
struct uri {
	struct str scheme, authority, path, query, fragment;
};

static struct uri uri_split(struct str s)
{
	struct uri uri = { 0 };
	size_t i;

	s = str_cut(s, '#', &uri.fragment);
	s = str_cut(s, '?', &uri.query);
	for (i = 0; i < s.n && s.p[i] != ':' && s.p[i] != '/'; i++)
		;
	if (i > 0 && i < s.n && s.p[i] == ':') {
		uri.scheme = str_make(s.p, i);
		s = str_make(s.p + i + 1, s.n - i - 1);
	}
	if (str_starts(s, STR("//"))) {
		for (i = 2; i < s.n && s.p[i] != '/'; i++)
			;
		uri.authority = str_make(s.p + 2, i - 2);
		s = str_make(s.p + i, s.n - i);
	}
	uri.path = s;
	return uri;
}

/* Puts a path without its "." and ".." segments. */
static void put_path(struct buf *buf, struct str path)
{
	struct str segment, more = path;
	bool first = true; /* no slash is missing before the next segment */
	size_t start;

	if (path.n && path.p[0] == '/') {
		buf_putc(buf, '/');
		more = str_make(path.p + 1, path.n - 1);
	}
	start = buf->n;
	while (more.p) {
		segment = str_cut(more, '/', &more);
		if (!str_is(segment, ".") && !str_is(segment, "..")) {
			if (!first)
				buf_putc(buf, '/');
			buf_put_str(buf, segment);
			first = false;
			continue;
		}
		if (segment.n == 2 && buf->n > start) { /* back over the last segment */
			if (buf->p[buf->n - 1] == '/')
				buf->n--;
			while (buf->n > start && buf->p[buf->n - 1] != '/')
				buf->n--;
		}
		first = buf->n == start || buf->p[buf->n - 1] == '/';
		if (!more.p && !first)
			buf_putc(buf, '/');
	}
}

struct str schema_uri_resolve(struct arena *arena, struct str base, struct str ref)
{
	struct uri b = uri_split(base), r = uri_split(ref);
	struct buf buf = { NULL, 0, 0 }, merged = { NULL, 0, 0 };
	struct str out;

	if (!r.scheme.p) {
		r.scheme = b.scheme;
		if (!r.authority.p) {
			r.authority = b.authority;
			if (r.path.n == 0) {
				r.path = b.path;
				if (!r.query.p)
					r.query = b.query;
			} else if (!str_starts(r.path, STR("/"))) {
				const char *slash =
					b.path.n ? memrchr(b.path.p, '/', b.path.n) : NULL;

				if (slash)
					buf_put(&merged, b.path.p, (size_t)(slash - b.path.p) + 1);
				else if (b.authority.p)
					buf_putc(&merged, '/');
				buf_put_str(&merged, r.path);
				r.path = buf_str(&merged);
			}
		}
	}
	if (r.scheme.p) {
		buf_put_str(&buf, r.scheme);
		buf_putc(&buf, ':');
	}
	if (r.authority.p) {
		buf_puts(&buf, "//");
		buf_put_str(&buf, r.authority);
	}
	put_path(&buf, r.path);
	if (r.query.p) {
		buf_putc(&buf, '?');
		buf_put_str(&buf, r.query);
	}
	if (r.fragment.p) {
		buf_putc(&buf, '#');
		buf_put_str(&buf, r.fragment);
	}
	out = arena_str(arena, buf_str(&buf));
	buf_finish(&buf);
	buf_finish(&merged);
	return out;
}

/* -- documents and ids -------------------------------------------------------------------- */

static void add_id(struct schema_refs *refs, struct str uri, struct schema_place place)
{
	struct schema_id *id = arena_new(refs->arena, struct schema_id);

	*id = (struct schema_id){ refs->ids, uri, place };
	refs->ids = id;
}

static const struct schema_id *find_id(const struct schema_refs *refs, struct str uri)
{
	const struct schema_id *id;

	for (id = refs->ids; id; id = id->older)
		if (str_eq(id->uri, uri))
			return id;
	return NULL;
}

/* The subschema's id; {NULL, 0} for none. Beside a $ref nothing counts, an id neither. */
static struct str id_of(const struct json *value, enum schema_draft draft)
{
	if (json_is_string(json_get(value, "$ref")))
		return str_make(NULL, 0);
	return json_str(json_get(value, draft == SCHEMA_DRAFT_04 ? "id" : "$id"));
}

struct str schema_refs_base(struct schema_refs *refs, const struct schema_place *from,
			    const struct json *value)
{
	struct str id = id_of(value, from->draft), fragment;

	if (id.n == 0 || id.p[0] == '#')
		return from->base;
	return str_cut(schema_uri_resolve(refs->arena, from->base, id), '#', &fragment);
}

enum holds { ONE = 1, LIST = 2, MAP = 4 };

/* The keywords that hold schemas. An id elsewhere, in an enum for example, is none. */
static const struct {
	const char *name;
	unsigned holds;
} keywords[] = {
	{ "additionalItems", ONE },
	{ "additionalProperties", ONE },
	{ "allOf", LIST },
	{ "anyOf", LIST },
	{ "contains", ONE },
	{ "definitions", MAP },
	{ "dependencies", MAP },
	{ "else", ONE },
	{ "if", ONE },
	{ "items", ONE | LIST },
	{ "not", ONE },
	{ "oneOf", LIST },
	{ "patternProperties", MAP },
	{ "properties", MAP },
	{ "propertyNames", ONE },
	{ "then", ONE },
};

static void index_ids(struct schema_refs *refs, const struct schema_place *from,
		      const struct json *value)
{
	struct schema_place here = { value, schema_refs_base(refs, from, value), from->draft };
	struct str id = id_of(value, from->draft), fragment;
	const struct json_member *m;
	const struct json *item;
	size_t i, k;

	if (!json_is_object(value))
		return;
	if (id.p) {
		str_cut(id, '#', &fragment);
		if (here.base.p != from->base.p)
			add_id(refs, here.base, here);
		if (fragment.n)
			add_id(refs, schema_uri_resolve(refs->arena, from->base, id), here);
	}
	for (i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		const struct json *inner = json_get(value, keywords[i].name);

		if (json_is_object(inner) && (keywords[i].holds & ONE))
			index_ids(refs, &here, inner);
		else if (json_is_object(inner) && (keywords[i].holds & MAP))
			json_each_member(m, inner)
				index_ids(refs, &here, m->value);
		else if (json_is_array(inner) && (keywords[i].holds & LIST))
			json_each_item(k, item, inner)
				index_ids(refs, &here, item);
	}
}

void schema_refs_add(struct schema_refs *refs, const struct json *document, enum schema_draft draft,
		     struct schema_place *root)
{
	*root = (struct schema_place){ document, STR(""), draft };
	index_ids(refs, root, document);
	root->base = schema_refs_base(refs, root, document);
	if (root->base.n == 0)
		add_id(refs, root->base, *root);
}

/* -- looking up --------------------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

static struct str percent_decoded(struct arena *arena, struct str s)
{
	char *to = arena_alloc(arena, s.n + 1);
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			to[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else {
			to[n++] = s.p[i];
		}
	}
	return str_make(to, n);
}

/* One step of a pointer: a member, or an item by its number. */
static const struct json *step(struct arena *arena, const struct json *value, struct str token)
{
	char *key = arena_alloc(arena, token.n + 1);
	uint64_t at;
	size_t i, n = 0;

	if (json_is_array(value)) {
		if (token.n > 1 && token.p[0] == '0')
			return NULL;
		return str_to_u64(token, &at) ? json_at(value, (size_t)at) : NULL;
	}
	for (i = 0; i < token.n; i++) {
		key[n++] = token.p[i];
		if (token.p[i] == '~' && i + 1 < token.n)
			key[n - 1] = token.p[++i] == '0' ? '~' : '/';
	}
	return json_get_str(value, str_make(key, n));
}

static bool follow_pointer(struct schema_refs *refs, struct schema_place *place, struct str pointer)
{
	struct str token, more;

	str_cut(pointer, '/', &more);
	while (more.p) {
		token = str_cut(more, '/', &more);
		place->value = step(refs->arena, place->value, token);
		if (!place->value)
			return false;
		place->base = schema_refs_base(refs, place, place->value);
	}
	return true;
}

static void add_meta(struct schema_refs *refs, enum schema_draft draft)
{
	struct schema_place root;
	struct json *document;

	if (json_parse(refs->arena, schema_meta_text(refs->arena, draft), NULL, &document, NULL))
		return;
	schema_refs_add(refs, document, draft, &root);
}

int schema_refs_find(struct schema_refs *refs, const struct schema_place *from, struct str ref,
		     struct schema_place *out, struct err *err)
{
	struct str uri = schema_uri_resolve(refs->arena, from->base, ref), fragment, resource;
	const struct schema_id *id;
	enum schema_draft draft;

	resource = str_cut(uri, '#', &fragment);
	id = find_id(refs, resource);
	if (!id && schema_meta_find(resource, &draft)) {
		resource = str_of(schema_meta_uri(draft));
		if (!find_id(refs, resource))
			add_meta(refs, draft);
		id = find_id(refs, resource);
	}
	if (!id)
		return err_set(err, ERR_NOENT,
			       "\"%.*s\" is outside of this schema, which osbd does not follow",
			       STR_ARG(str_utf8_head(ref, 300)));
	if (fragment.n && fragment.p[0] != '/') {
		id = find_id(refs, uri);
		if (!id)
			return err_set(err, ERR_NOENT, "\"%.*s\" points to nothing",
				       STR_ARG(str_utf8_head(ref, 300)));
		*out = id->place;
		return 0;
	}
	*out = id->place;
	if (!follow_pointer(refs, out, percent_decoded(refs->arena, fragment)))
		return err_set(err, ERR_NOENT, "\"%.*s\" points to nothing",
			       STR_ARG(str_utf8_head(ref, 300)));
	return 0;
}
