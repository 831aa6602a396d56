/* SPDX-License-Identifier: Apache-2.0 */
/* Reads libyaml's events with one recursive function; each call gets a node's first event and
 * leaves its last one current. The depth is capped here, event by event: libyaml itself takes
 * time quadratic in the depth of flow collections. */
#include "core/yaml.h"

#include "core/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define TAGS_MAX 16 /* %TAG directives: libyaml compares each with all before it */
#define SHOW_MAX 64 /* bytes of a name in a message */

struct anchor {
	const char *name;
	struct json *value; /* NULL while its node is being read */
	size_t values;      /* it and all inside it, aliases expanded */
};

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	struct yaml_options options;
	struct arena *arena;
	struct arena scratch; /* names of anchors */
	struct anchor anchors[YAML_ANCHORS_MAX];
	size_t n_anchors;
	size_t values; /* so far, aliases expanded */
	size_t added;  /* of these by aliases */
	unsigned depth;
	struct err *err;
};

/* A member of a mapping before it is known which of equal keys counts. */
struct pair {
	struct str key;
	struct json *value;
	uint32_t line, column;
	unsigned rank; /* 0 explicit, then merged ones: the lowest counts */
	bool drop;
};

struct pairs {
	struct pair *p;
	size_t n, size;
	unsigned rank; /* the last one given */
};

static int read_node(struct reader *reader, struct json **out);

/* -- errors ------------------------------------------------------------------------------ */

/* They show names of keys, but nothing that may be a value whose quotes were forgotten: a
 * password that begins with * or ! would be an alias or a tag. */

static int fail(struct reader *reader, yaml_mark_t at, int code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static int fail(struct reader *reader, yaml_mark_t at, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(reader->err, code, fmt, ap);
	va_end(ap);
	if (!reader->err)
		return code;
	return err_wrap(reader->err, "%zu:%zu", at.line + 1, at.column + 1);
}

/* The line and column of a byte. */
static yaml_mark_t mark_of(struct str text, size_t offset)
{
	yaml_mark_t mark = { offset, 0, 0 };
	size_t i;

	for (i = 0; i < offset && i < text.n; i++) {
		if (text.p[i] == '\n') {
			mark.line++;
			mark.column = 0;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

/* A name for a message: cut, and without what would spoil a terminal. */
static const char *shown(struct reader *reader, struct str name)
{
	size_t n = name.n, i;
	char *text;

	if (n > SHOW_MAX) {
		n = SHOW_MAX;
		while (n && ((unsigned char)name.p[n] & 0xc0) == 0x80)
			n--;
	}
	text = arena_printf(&reader->scratch, "%.*s%s", (int)n, name.p, n < name.n ? "..." : "");
	for (i = 0; text[i]; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	return text;
}

/* -- events ------------------------------------------------------------------------------ */

static int fail_parser(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "not well-formed";

	if (parser->error == YAML_READER_ERROR) {
		struct str text =
			str_make((const char *)parser->input.string.start,
				 (size_t)(parser->input.string.end - parser->input.string.start));

		return fail(reader, mark_of(text, parser->problem_offset), ERR_SYNTAX, "%s",
			    problem);
	}
	if (parser->context)
		return fail(reader, parser->problem_mark, ERR_SYNTAX,
			    "%s %s that began in line %zu", problem, parser->context,
			    parser->context_mark.line + 1);
	return fail(reader, parser->problem_mark, ERR_SYNTAX, "%s", problem);
}

static int next(struct reader *reader)
{
	yaml_event_delete(&reader->event);
	if (!yaml_parser_parse(&reader->parser, &reader->event))
		return fail_parser(reader);
	return 0;
}

/* -- anchors ----------------------------------------------------------------------------- */

/* *out: where the node's value goes when it is complete; NULL when it has no anchor. */
static int anchor_open(struct reader *reader, const yaml_char_t *name, struct anchor **out)
{
	struct anchor *anchor;

	*out = NULL;
	if (!name)
		return 0;
	if (reader->n_anchors == YAML_ANCHORS_MAX)
		return fail(reader, reader->event.start_mark, ERR_TOOBIG, "more than %d anchors",
			    YAML_ANCHORS_MAX);
	anchor = &reader->anchors[reader->n_anchors++];
	*anchor = (struct anchor){ .name = arena_strdup(&reader->scratch, (const char *)name),
				   .values = reader->values };
	*out = anchor;
	return 0;
}

static void anchor_close(struct reader *reader, struct anchor *anchor, struct json *value)
{
	if (!anchor)
		return;
	anchor->value = value;
	anchor->values = reader->values - anchor->values + 1;
}

static int read_alias(struct reader *reader, struct json **out)
{
	const char *name = (const char *)reader->event.data.alias.anchor;
	yaml_mark_t at = reader->event.start_mark;
	size_t max = reader->options.aliases;
	size_t i = reader->n_anchors;

	while (i > 0 && strcmp(reader->anchors[i - 1].name, name) != 0)
		i--;
	if (!i)
		return fail(reader, at, ERR_SYNTAX,
			    "an alias without an anchor before it; a text that begins with * needs "
			    "quotes");
	if (!reader->anchors[i - 1].value)
		return fail(reader, at, ERR_SYNTAX, "an alias inside its own anchor");
	reader->added += reader->anchors[i - 1].values;
	reader->values += reader->anchors[i - 1].values - 1; /* read_node() counted one */
	if (reader->added > max)
		return fail(reader, at, ERR_TOOBIG, "aliases add more than %zu values", max);
	*out = reader->anchors[i - 1].value;
	return 0;
}

/* -- scalars ----------------------------------------------------------------------------- */

static struct str event_text(const struct reader *reader)
{
	return str_make((const char *)reader->event.data.scalar.value,
			reader->event.data.scalar.length);
}

static bool event_is_plain(const struct reader *reader)
{
	return reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int refuse_nul(struct reader *reader)
{
	struct str text = event_text(reader);

	if (!memchr(text.p, '\0', text.n))
		return 0;
	return fail(reader, reader->event.start_mark, ERR_SYNTAX, "a NUL character");
}

static int read_scalar(struct reader *reader, struct json **out)
{
	const char *tag = (const char *)reader->event.data.scalar.tag, *problem;
	int status = refuse_nul(reader);

	if (status)
		return status;
	*out = yaml_scalar(reader->arena, event_text(reader), reader->options.typing,
			   event_is_plain(reader), tag, &problem);
	if (!*out)
		return fail(reader, reader->event.start_mark, ERR_SYNTAX, "%s", problem);
	return 0;
}

/* -- mappings ---------------------------------------------------------------------------- */

static struct pair *pair_add(struct pairs *pairs)
{
	if (pairs->n == pairs->size) {
		pairs->size = pairs->size ? 2 * pairs->size : 8;
		pairs->p = mem_realloc(pairs->p, pairs->size * sizeof(*pairs->p));
	}
	pairs->p[pairs->n] = (struct pair){ .drop = false };
	return &pairs->p[pairs->n++];
}

static int merge_one(struct reader *reader, struct pairs *pairs, const struct json *from,
		     yaml_mark_t at)
{
	const struct json_member *m;

	if (!json_is_object(from))
		return fail(reader, at, ERR_SYNTAX, "<< wants a mapping or a list of mappings");
	pairs->rank++;
	json_each_member(m, from) {
		*pair_add(pairs) = (struct pair){ .key = m->key,
						  .value = m->value,
						  .line = m->line,
						  .column = m->column,
						  .rank = pairs->rank };
	}
	return 0;
}

static int merge(struct reader *reader, struct pairs *pairs)
{
	yaml_mark_t at = reader->event.start_mark;
	struct json *from, *item;
	size_t i;
	int status;

	if (pairs->rank && reader->options.typing == YAML_CORE)
		return fail(reader, at, ERR_SYNTAX, "duplicate key \"<<\": write a list");
	status = next(reader);
	if (!status)
		status = read_node(reader, &from);
	if (status)
		return status;
	if (!json_is_array(from))
		return merge_one(reader, pairs, from, at);
	json_each_item(i, item, from) {
		status = merge_one(reader, pairs, item, at);
		if (status)
			return status;
	}
	return 0;
}

/* The key at the current event, and its value. */
static int read_pair(struct reader *reader, struct pairs *pairs)
{
	yaml_mark_t at = reader->event.start_mark;
	struct json *key = NULL, *value;
	int status;

	if (reader->event.type == YAML_SCALAR_EVENT && event_is_plain(reader) &&
	    !reader->event.data.scalar.tag && str_is(event_text(reader), "<<"))
		return merge(reader, pairs);
	if (reader->event.type == YAML_SCALAR_EVENT || reader->event.type == YAML_ALIAS_EVENT) {
		status = read_node(reader, &key);
		if (status)
			return status;
	}
	if (!yaml_text(key).p)
		return fail(reader, at, ERR_SYNTAX, "a key that is no scalar");
	status = next(reader);
	if (!status)
		status = read_node(reader, &value);
	if (status)
		return status;
	*pair_add(pairs) = (struct pair){ .key = yaml_text(key),
					  .value = value,
					  .line = (uint32_t)at.line + 1,
					  .column = (uint32_t)at.column + 1 };
	return 0;
}

/* By key; then the one that counts more first, of equals the earlier. */
static int pair_order(const void *left, const void *right)
{
	const struct pair *a = *(struct pair *const *)left, *b = *(struct pair *const *)right;
	int order = str_cmp(a->key, b->key);

	if (order)
		return order;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int duplicate(struct reader *reader, const struct pair *pair)
{
	yaml_mark_t at = { 0, pair->line - 1, pair->column - 1 };

	if (reader->options.typing == YAML_CORE)
		return fail(reader, at, ERR_SYNTAX, "duplicate key \"%s\"",
			    shown(reader, pair->key));
	if (reader->options.warn)
		reader->options.warn(reader->options.data, pair->line, pair->column,
				     arena_printf(&reader->scratch,
						  "duplicate key \"%s\": the last one counts",
						  shown(reader, pair->key)));
	return 0;
}

/* Marks all but one of equal keys: the explicit one, of merged ones the first. */
static int pairs_settle(struct reader *reader, struct pairs *pairs)
{
	struct pair **sorted, *kept;
	const struct pair *twice = NULL;
	size_t i;
	int status = 0;

	if (pairs->n < 2)
		return 0;
	sorted = mem_alloc(pairs->n * sizeof(struct pair *));
	for (i = 0; i < pairs->n; i++)
		sorted[i] = &pairs->p[i];
	qsort(sorted, pairs->n, sizeof(struct pair *), pair_order);
	kept = sorted[0];
	for (i = 1; i < pairs->n; i++) {
		if (!str_eq(sorted[i]->key, kept->key)) {
			kept = sorted[i];
		} else if (sorted[i]->rank == 0) { /* both explicit */
			if (!twice || sorted[i] < twice)
				twice = sorted[i];
			if (reader->options.typing == YAML_V2)
				status = duplicate(reader, sorted[i]);
			kept->drop = true;
			kept = sorted[i];
		} else {
			sorted[i]->drop = true;
		}
	}
	mem_free(sorted);
	if (twice && reader->options.typing == YAML_CORE)
		status = duplicate(reader, twice); /* the first in the file */
	return status;
}

static int read_mapping(struct reader *reader, struct json **out)
{
	struct pairs pairs = { 0 };
	struct json_member *m;
	int status;
	size_t i;

	*out = json_object(reader->arena);
	while (!(status = next(reader)) && reader->event.type != YAML_MAPPING_END_EVENT) {
		status = read_pair(reader, &pairs);
		if (status)
			break;
	}
	if (!status)
		status = pairs_settle(reader, &pairs);
	for (i = 0; !status && i < pairs.n; i++) {
		if (pairs.p[i].drop)
			continue;
		m = json_add(reader->arena, *out, pairs.p[i].key, pairs.p[i].value);
		m->line = pairs.p[i].line;
		m->column = pairs.p[i].column;
	}
	mem_free(pairs.p);
	return status;
}

/* -- nodes ------------------------------------------------------------------------------- */

static int read_sequence(struct reader *reader, struct json **out)
{
	struct json *item;
	int status;

	*out = json_array(reader->arena);
	while (!(status = next(reader)) && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		status = read_node(reader, &item);
		if (status)
			break;
		json_append(reader->arena, *out, item);
	}
	return status;
}

static int check_tag(struct reader *reader, const yaml_char_t *tag, const char *only)
{
	if (!tag || strcmp((const char *)tag, only) == 0)
		return 0;
	return fail(reader, reader->event.start_mark, ERR_SYNTAX, "%s", YAML_NO_SUCH_TAG);
}

static int read_collection(struct reader *reader, struct json **out)
{
	bool mapping = reader->event.type == YAML_MAPPING_START_EVENT;
	int status =
		mapping ? check_tag(reader, reader->event.data.mapping_start.tag, YAML_MAP_TAG)
			: check_tag(reader, reader->event.data.sequence_start.tag, YAML_SEQ_TAG);

	if (status)
		return status;
	if (++reader->depth > reader->options.depth)
		return fail(reader, reader->event.start_mark, ERR_TOOBIG,
			    "nested more than %u deep", reader->options.depth);
	status = mapping ? read_mapping(reader, out) : read_sequence(reader, out);
	reader->depth--;
	return status;
}

static int read_node(struct reader *reader, struct json **out)
{
	yaml_mark_t at = reader->event.start_mark;
	struct anchor *anchor = NULL;
	int status;

	reader->values++;
	switch (reader->event.type) {
	case YAML_ALIAS_EVENT:
		return read_alias(reader, out); /* the value keeps its anchor's place */
	case YAML_SCALAR_EVENT:
		status = anchor_open(reader, reader->event.data.scalar.anchor, &anchor);
		if (!status)
			status = read_scalar(reader, out);
		break;
	case YAML_SEQUENCE_START_EVENT:
		status = anchor_open(reader, reader->event.data.sequence_start.anchor, &anchor);
		if (!status)
			status = read_collection(reader, out);
		break;
	case YAML_MAPPING_START_EVENT:
		status = anchor_open(reader, reader->event.data.mapping_start.anchor, &anchor);
		if (!status)
			status = read_collection(reader, out);
		break;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
	default:
		return fail(reader, at, ERR_SYNTAX, "not well-formed");
	}
	if (status)
		return status;
	assert(*out);
	(*out)->line = (uint32_t)at.line + 1;
	(*out)->column = (uint32_t)at.column + 1;
	anchor_close(reader, anchor, *out);
	return 0;
}

/* -- documents --------------------------------------------------------------------------- */

static int read_stream(struct reader *reader, struct json **out)
{
	int status = next(reader); /* the stream's start */

	if (!status)
		status = next(reader);
	if (status)
		return status;
	if (reader->event.type == YAML_STREAM_END_EVENT) {
		*out = json_null(reader->arena);
		(*out)->line = (*out)->column = 1;
		return 0;
	}
	status = next(reader); /* behind the document's start */
	if (!status)
		status = read_node(reader, out);
	if (!status)
		status = next(reader); /* the document's end */
	if (!status)
		status = next(reader);
	if (!status && reader->event.type != YAML_STREAM_END_EVENT)
		status = fail(reader, reader->event.start_mark, ERR_SYNTAX,
			      "a second document in one file");
	return status;
}

/* How many bytes at the start are whole, valid characters. */
static size_t valid_bytes(struct str text)
{
	size_t i = 0, n;

	while (i < text.n) {
		for (n = 1; i + n < text.n && ((unsigned char)text.p[i + n] & 0xc0) == 0x80;)
			n++;
		if (!str_is_utf8(str_make(text.p + i, n)))
			break;
		i += n;
	}
	return i;
}

/* What libyaml would not refuse, or not in good time. */
static int check_text(struct reader *reader, struct str text)
{
	const char *p, *end = text.p + text.n;
	unsigned tags = 0;

	if (text.n > reader->options.bytes)
		return fail(reader, (yaml_mark_t){ 0, 0, 0 }, ERR_TOOBIG, "larger than %zu bytes",
			    reader->options.bytes);
	p = memchr(text.p, '\0', text.n);
	if (p)
		return fail(reader, mark_of(text, (size_t)(p - text.p)), ERR_SYNTAX,
			    "a NUL character");
	if (!str_is_utf8(text))
		return fail(reader, mark_of(text, valid_bytes(text)), ERR_SYNTAX, "invalid UTF-8");
	for (p = text.p; p && end - p >= 4; p = memchr(p, '\n', (size_t)(end - p))) {
		p += *p == '\n';
		if (end - p >= 4 && memcmp(p, "%TAG", 4) == 0 && ++tags > TAGS_MAX)
			return fail(reader, mark_of(text, (size_t)(p - text.p)), ERR_TOOBIG,
				    "more than %d %%TAG lines", TAGS_MAX);
		if (p == end)
			break;
	}
	return 0;
}

int yaml_parse(struct arena *arena, struct str text, const struct yaml_options *options,
	       struct json **out, struct err *err)
{
	struct reader *reader = mem_zalloc(sizeof(*reader));
	int status;

	if (options)
		reader->options = *options;
	if (!reader->options.bytes)
		reader->options.bytes = YAML_BYTES_MAX;
	if (!reader->options.depth || reader->options.depth > YAML_DEPTH_MAX)
		reader->options.depth = YAML_DEPTH_MAX;
	if (!reader->options.aliases)
		reader->options.aliases = YAML_ALIASES_MAX;
	reader->arena = arena;
	reader->err = err;
	*out = NULL;
	if (!text.p)
		text = STR("");
	status = check_text(reader, text);
	if (!status) {
		if (!yaml_parser_initialize(&reader->parser))
			abort(); /* out of memory */
		yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text.p,
					     text.n);
		status = read_stream(reader, out);
		yaml_event_delete(&reader->event);
		yaml_parser_delete(&reader->parser);
	}
	if (status)
		*out = NULL;
	arena_finish(&reader->scratch);
	mem_free(reader);
	return status;
}
