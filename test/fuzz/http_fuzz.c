/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP parser: however the bytes are cut, the same requests come out of them, or a
 * refusal; what comes out keeps the promises of struct http_request. The first byte says how the
 * second reading is cut. */
#include "core/http_parser.h"

#include "core/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits limits = {
	.target = 256,
	.headers = 1024,
	.n_headers = 16,
	.body = 512,
};

struct reading {
	struct http_limits limits;
	struct http_request req;
	struct http_parser parser;
	enum http_progress progress;
	size_t used;
};

static void want(bool holds)
{
	if (!holds)
		abort();
}

/* Reads one request from copies of the pieces, so that nothing may refer to them later. */
static void read_one(struct reading *reading, const char *p, size_t n, size_t piece)
{
	memset(reading, 0, sizeof(*reading));
	reading->limits = limits;
	http_limits_fill(&reading->limits);
	http_parser_init(&reading->parser, &reading->req, &reading->limits, STR("/"));
	reading->progress = HTTP_MORE;
	while (reading->used < n && reading->progress == HTTP_MORE) {
		size_t left = n - reading->used, take = left < piece ? left : piece, took = 0;
		char *copy = mem_alloc(take);

		memcpy(copy, p + reading->used, take);
		reading->progress = http_parser_feed(&reading->parser, copy, take, &took);
		mem_free(copy);
		want(took <= take && (reading->progress != HTTP_MORE || took == take));
		reading->used += took;
	}
}

static void same_str(struct str a, struct str b)
{
	want(str_eq(a, b) && !a.p == !b.p);
}

static void sound(const struct reading *reading)
{
	const struct http_request *req = &reading->req;
	size_t i, k;

	want(req->method.n && req->target.n && req->path.n && req->body.p);
	want(req->path.p[0] == '/' || str_is(req->path, "*"));
	for (i = 0; i + 1 < req->path.n; i++)
		want(req->path.p[i] != '/' || req->path.p[i + 1] != '/');
	for (i = 0; i < req->target.n; i++)
		want(req->target.p[i] > ' ' && req->target.p[i] < 0x7f);
	want(req->n_headers <= limits.n_headers && req->body.n <= limits.body);
	for (i = 0; i < req->n_headers; i++) {
		const struct http_header *header = &req->headers[i];

		want(header->name.n && header->value.p);
		for (k = 0; k < header->name.n; k++)
			want(header->name.p[k] > ' ' && header->name.p[k] < 0x7f &&
			     (header->name.p[k] < 'A' || header->name.p[k] > 'Z'));
		for (k = 0; k < header->value.n; k++)
			want((unsigned char)header->value.p[k] >= ' ' ||
			     header->value.p[k] == '\t');
	}
	want(!http_request_header_twice(req, "host"));
	want(!http_request_header(req, "content-length").p ||
	     !http_request_header(req, "transfer-encoding").p);
}

static void same(const struct reading *a, const struct reading *b)
{
	size_t i;

	/* of two faults either may be named: a limit is seen earlier in small pieces */
	want(a->progress == b->progress);
	want(!a->parser.status == !b->parser.status);
	if (a->progress != HTTP_COMPLETE)
		return;
	want(a->used == b->used && a->parser.keep_alive == b->parser.keep_alive);
	same_str(a->req.method, b->req.method);
	same_str(a->req.target, b->req.target);
	same_str(a->req.path, b->req.path);
	same_str(a->req.query, b->req.query);
	same_str(a->req.body, b->req.body);
	want(a->req.n_headers == b->req.n_headers);
	for (i = 0; i < a->req.n_headers; i++) {
		same_str(a->req.headers[i].name, b->req.headers[i].name);
		same_str(a->req.headers[i].value, b->req.headers[i].value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	size_t at = 0, piece;
	bool more = true;

	if (size < 2)
		return 0;
	size--;
	piece = (size_t)(data[0] % 32) + 1;
	while (more && at < size) {
		struct reading whole, cut;

		read_one(&whole, p + at, size - at, SIZE_MAX);
		read_one(&cut, p + at, size - at, piece);
		same(&whole, &cut);
		more = whole.progress == HTTP_COMPLETE;
		if (more)
			sound(&whole);
		at += whole.used;
		arena_finish(&whole.req.arena);
		arena_finish(&cut.req.arena);
	}
	return 0;
}
