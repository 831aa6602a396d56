/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of answers: however the bytes are cut, the same comes out of them; what comes out
 * keeps its promises, and memory stays in proportion. The first byte says how the second reading is
 * cut and what was asked. URLs are read from the same bytes. */
#include "core/http_answer.h"

#include "core/http_url.h"
#include "core/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
	struct arena arena;
	struct http_answer answer;
	struct http_answer_parser parser;
	struct buf body;
	enum http_progress progress;
	size_t used;
	int heads, end;
};

static void want(bool holds)
{
	if (!holds)
		abort();
}

static int on_head(struct http_answer_parser *parser)
{
	((struct reading *)parser->data)->heads++;
	return 0;
}

static int on_body(struct http_answer_parser *parser, const char *p, size_t n)
{
	struct reading *reading = parser->data;

	want(reading->heads == 1 && n > 0);
	buf_put(&reading->body, p, n);
	return 0;
}

static void read_all(struct reading *reading, const char *p, size_t n, size_t piece,
		     enum http_asked asked)
{
	memset(reading, 0, sizeof(*reading));
	http_answer_init(&reading->parser, &reading->answer, &reading->arena, asked);
	reading->parser.on_head = on_head;
	reading->parser.on_body = on_body;
	reading->parser.data = reading;
	reading->parser.max_bytes = 512;
	reading->parser.max_headers = 16;
	reading->progress = HTTP_MORE;
	while (reading->used < n && reading->progress == HTTP_MORE) {
		size_t left = n - reading->used, take = left < piece ? left : piece, took = 0;
		char *copy = mem_alloc(take);

		memcpy(copy, p + reading->used, take);
		reading->progress = http_answer_feed(&reading->parser, copy, take, &took);
		mem_free(copy);
		want(took <= take && (reading->progress == HTTP_COMPLETE || took == take));
		reading->used += took;
	}
	reading->end = ERR_SYNTAX;
	if (reading->progress == HTTP_MORE)
		reading->end = http_answer_end(&reading->parser);
	if (reading->progress == HTTP_BAD || (reading->progress == HTTP_MORE && reading->end))
		want(reading->parser.err.code && reading->parser.err.text[0]);
}

static void sound(const struct reading *reading)
{
	const struct http_answer *answer = &reading->answer;
	size_t i, k;

	want(reading->heads == 1 && answer->status >= 200 && answer->status <= 599);
	want(answer->n_headers <= 16);
	want(reading->body.n <= reading->used);
	for (i = 0; i < answer->n_headers; i++) {
		struct str name = answer->headers[i].name, value = answer->headers[i].value;

		want(name.n && value.p);
		for (k = 0; k < name.n; k++)
			want(name.p[k] > ' ' && name.p[k] < 0x7f &&
			     (name.p[k] < 'A' || name.p[k] > 'Z'));
		for (k = 0; k < value.n; k++)
			want((unsigned char)value.p[k] >= ' ' || value.p[k] == '\t');
	}
	want(!http_answer_header(answer, "content-length").p ||
	     !http_answer_header(answer, "transfer-encoding").p);
	if (answer->has_length && reading->parser.asked == HTTP_ASKED_BODY &&
	    answer->status != 204 && answer->status != 304)
		want(reading->body.n == answer->length);
}

static bool whole(const struct reading *reading)
{
	return reading->progress == HTTP_COMPLETE || reading->end == 0;
}

static void try_url(const char *p, size_t n)
{
	struct arena arena = { 0 };
	struct http_url base, url, again;

	want(http_url_parse(&arena, STR("http://a/b/c?d"), &base, NULL) == 0);
	if (http_url_join(&arena, &base, str_make(p, n), &url, NULL) == 0) {
		const char *text = http_url_text(&arena, &url);

		want(url.host.n && url.port && url.path.n && url.path.p[0] == '/');
		want(!strchr(text, '@') || memchr(url.path.p, '@', url.path.n));
		if (url.path.n < 256) {
			want(http_url_parse(&arena, str_of(text), &again, NULL) == 0);
			want(http_url_same_origin(&url, &again) && str_eq(url.path, again.path));
		}
	}
	arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading one, cut;
	const char *p = (const char *)data + 1;
	enum http_asked asked;

	if (size < 2)
		return 0;
	size--;
	asked = data[0] / 32 % 3;
	read_all(&one, p, size, SIZE_MAX, asked);
	read_all(&cut, p, size, (size_t)(data[0] % 32) + 1, asked);
	want(one.heads <= 1 && cut.heads <= 1);
	/* of two faults either may be named, and a limit may be seen earlier in small pieces */
	if (whole(&one) && whole(&cut)) {
		size_t i;

		sound(&one);
		sound(&cut);
		want(one.used == cut.used && str_eq(buf_str(&one.body), buf_str(&cut.body)));
		want(one.answer.keep_alive == cut.answer.keep_alive);
		want(one.answer.n_headers == cut.answer.n_headers);
		for (i = 0; i < one.answer.n_headers; i++)
			want(str_eq(one.answer.headers[i].name, cut.answer.headers[i].name) &&
			     str_eq(one.answer.headers[i].value, cut.answer.headers[i].value));
	} else {
		want(!whole(&one) == !whole(&cut) || one.parser.err.code == ERR_TOOBIG ||
		     cut.parser.err.code == ERR_TOOBIG);
	}
	http_answer_finish(&one.parser);
	http_answer_finish(&cut.parser);
	buf_finish(&one.body);
	buf_finish(&cut.body);
	arena_finish(&one.arena);
	arena_finish(&cut.arena);
	try_url(p, size);
	return 0;
}
