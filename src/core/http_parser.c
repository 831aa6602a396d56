/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_parser.h"

#include "core/mem.h"

#include <assert.h>

#define TEXT_FIRST 768
#define HEADERS_FIRST 16
#define BODY_FIRST (16 << 10)

void http_limits_fill(struct http_limits *limits)
{
#define DEFAULT(field, value)                    \
	do {                                     \
		if (!limits->field)              \
			limits->field = (value); \
	} while (0)
	DEFAULT(target, 8 << 10);
	DEFAULT(headers, 32 << 10);
	DEFAULT(n_headers, 100);
	DEFAULT(body, 1 << 20);
	DEFAULT(connections, 10000);
	DEFAULT(header_ms, 10 * 1000);
	DEFAULT(body_ms, 60 * 1000);
	DEFAULT(idle_ms, 75 * 1000);
	DEFAULT(write_ms, 30 * 1000);
#undef DEFAULT
}

static int refuse(struct http_parser *parser, int status, const char *why)
{
	if (!parser->status) {
		parser->status = status;
		parser->why = why;
	}
	return -1;
}

static int refuse_size(struct http_parser *parser, int status, const char *what, size_t limit)
{
	return refuse(parser, status,
		      arena_printf(&parser->req->arena, "%s: the limit is %zu", what, limit));
}

/* -- the head --------------------------------------------------------------------------- */

static void rebase(struct str *s, const char *from, const char *to)
{
	if (s->p)
		s->p = to + (s->p - from);
}

/* Makes room for n more bytes of text; what points into it moves along. */
static char *text_room(struct http_parser *parser, size_t n)
{
	struct http_request *req = parser->req;
	size_t size = parser->text_size ? parser->text_size : TEXT_FIRST, i;
	char *text;

	if (parser->text && parser->text_n + n <= parser->text_size)
		return parser->text + parser->text_n;
	while (size < parser->text_n + n || size == parser->text_size)
		size *= 2;
	text = arena_alloc(&req->arena, size);
	if (parser->text) {
		memcpy(text, parser->text, parser->text_n);
		rebase(&req->target, parser->text, text);
		for (i = 0; i < req->n_headers; i++) {
			rebase(&req->headers[i].name, parser->text, text);
			rebase(&req->headers[i].value, parser->text, text);
		}
	}
	parser->text = text;
	parser->text_size = size;
	return text + parser->text_n;
}

static void text_put(struct http_parser *parser, struct str *s, const char *p, size_t n)
{
	char *to = text_room(parser, n);

	if (!s->p)
		s->p = to;
	memcpy(to, p, n);
	s->n += n;
	parser->text_n += n;
}

/* The byte `back` places before at, which may have come with the feed before. */
static char before(const struct http_parser *parser, const char *at, size_t back)
{
	size_t have = (size_t)(at - parser->feed);

	return back <= have ? at[-(ptrdiff_t)back]
			    : parser->tail[sizeof(parser->tail) - (back - have)];
}

static int on_url(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_parser *parser = llhttp->data;

	if (parser->req->target.n == 0 && before(parser, at, 2) == ' ') /* llhttp skips them */
		return refuse(parser, 400, "more than one space before the target");
	if (parser->req->target.n + n > parser->limits->target)
		return refuse_size(parser, 414, "bytes of the target", parser->limits->target);
	text_put(parser, &parser->req->target, at, n);
	return 0;
}

/* llhttp takes RTSP/1.0 and ICE/1.0, too, which end in other letters than HTTP. */
static int on_version(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_parser *parser = llhttp->data;

	(void)n;
	if (parser->versioned) /* only the first span stands behind the slash */
		return 0;
	parser->versioned = true;
	if (before(parser, at, 1) != '/' || before(parser, at, 2) != 'P' ||
	    before(parser, at, 3) != 'T')
		return refuse(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	return 0;
}

static int on_version_complete(llhttp_t *llhttp)
{
	struct http_parser *parser = llhttp->data;

	if (llhttp->http_major != 1 || llhttp->http_minor > 1)
		return refuse(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	parser->http10 = llhttp->http_minor == 0;
	return 0;
}

static int count_bytes(struct http_parser *parser, size_t n)
{
	parser->n_bytes += n;
	if (parser->n_bytes > parser->limits->headers)
		return refuse_size(parser, 431, "bytes of all headers", parser->limits->headers);
	return 0;
}

static struct http_header *new_header(struct http_parser *parser)
{
	struct http_request *req = parser->req;

	if (req->n_headers == parser->headers_size) {
		size_t size = parser->headers_size ? parser->headers_size * 2 : HEADERS_FIRST;
		struct http_header *more = arena_alloc(&req->arena, size * sizeof(*more));

		if (req->n_headers)
			memcpy(more, req->headers, req->n_headers * sizeof(*more));
		req->headers = more;
		parser->headers_size = size;
	}
	assert(req->headers);
	req->headers[req->n_headers] = (struct http_header){ 0 };
	return &req->headers[req->n_headers++];
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_parser *parser = llhttp->data;
	struct http_request *req = parser->req;
	struct http_header *header;
	char *name;
	size_t i;

	if (count_bytes(parser, n) != 0)
		return -1;
	if (parser->has_head)
		return 0;
	header = req->n_headers ? &req->headers[req->n_headers - 1] : NULL;
	if (!header || header->value.p) {
		if (req->n_headers == parser->limits->n_headers)
			return refuse_size(parser, 431, "number of headers",
					   parser->limits->n_headers);
		header = new_header(parser);
	}
	text_put(parser, &header->name, at, n);
	name = parser->text + parser->text_n - n;
	for (i = 0; i < n; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] |= 0x20;
	return 0;
}

static int on_header_field_complete(llhttp_t *llhttp)
{
	struct http_parser *parser = llhttp->data;
	struct http_request *req = parser->req;

	if (count_bytes(parser, 4) != 0) /* colon, space, CR and LF */
		return -1;
	if (!parser->has_head)
		req->headers[req->n_headers - 1].value.p = text_room(parser, 0);
	else if (++parser->n_trailers > parser->limits->n_headers)
		return refuse_size(parser, 431, "number of trailers", parser->limits->n_headers);
	return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_parser *parser = llhttp->data;
	struct http_request *req = parser->req;

	if (count_bytes(parser, n) != 0)
		return -1;
	if (!parser->has_head)
		text_put(parser, &req->headers[req->n_headers - 1].value, at, n);
	return 0;
}

/* -- policy ----------------------------------------------------------------------------- */

struct seen {
	size_t hosts, lengths, encodings;
	uint64_t length;
};

static int look_at(struct http_parser *parser, struct http_header *header, struct seen *seen)
{
	struct str name = header->name, value = header->value;

	switch (name.n) {
	case 4:
		if (!str_is(name, "host"))
			break;
		if (seen->hosts++)
			return refuse(parser, 400, "the Host header occurs twice");
		if (!http_host_ok(value))
			return refuse(parser, 400, "the Host header is not valid");
		break;
	case 6:
		if (!str_is(name, "expect") || parser->http10)
			break;
		if (!str_ieq(value, STR("100-continue")))
			return refuse(parser, 417, "the only expectation met is 100-continue");
		parser->expects = true;
		break;
	case 14:
		if (!str_is(name, "content-length"))
			break;
		if (seen->lengths++)
			return refuse(parser, 400, "Content-Length occurs twice");
		if (!str_to_u64(value, &seen->length))
			return refuse(parser, 400, "Content-Length is not a number");
		break;
	case 17:
		if (!str_is(name, "transfer-encoding"))
			break;
		if (seen->encodings++ || !str_ieq(value, STR("chunked")))
			return refuse(parser, 400,
				      "the only Transfer-Encoding understood is chunked, once");
		break;
	default:
		break;
	}
	return 0;
}

static int check_target(struct http_parser *parser)
{
	struct http_request *req = parser->req;
	const char *why;

	if (http_target_parse(&req->arena, req->target, parser->options, &req->path, &req->query,
			      &why) != 0)
		return refuse(parser, 400, why);
	parser->outside = !http_prefix_strip(parser->prefix, &req->path);
	return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
	struct http_parser *parser = llhttp->data;
	struct http_request *req = parser->req;
	struct seen seen = { 0 };
	size_t i;

	parser->has_head = true;
	parser->options = llhttp->method == HTTP_OPTIONS;
	req->method = str_of(llhttp_method_name((llhttp_method_t)llhttp->method));
	if (!parser->versioned) /* a line without one is HTTP/0.9 */
		return refuse(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (llhttp->method == HTTP_CONNECT)
		return refuse(parser, 501, "CONNECT is not offered");
	for (i = 0; i < req->n_headers; i++) {
		req->headers[i].value = str_trim(req->headers[i].value);
		if (look_at(parser, &req->headers[i], &seen) != 0)
			return -1;
	}
	if (!seen.hosts && !parser->http10)
		return refuse(parser, 400, "the Host header is missing");
	if (seen.encodings && seen.lengths)
		return refuse(parser, 400,
			      "Content-Length and Transfer-Encoding exclude each other");
	if (seen.encodings && parser->http10)
		return refuse(parser, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (check_target(parser) != 0)
		return -1;
	if (seen.length > parser->limits->body)
		return refuse_size(parser, 413, "bytes of the body", parser->limits->body);
	parser->has_body = seen.encodings || seen.length;
	if (parser->outside && parser->has_body)
		return refuse(parser, 404, "nothing is served at this path");
	if (seen.length) {
		parser->body_size = seen.length < BODY_FIRST ? (size_t)seen.length : BODY_FIRST;
		parser->body = arena_alloc(&req->arena, parser->body_size);
	}
	parser->keep_alive = llhttp_should_keep_alive(llhttp);
	parser->raw = 0;
	parser->n_bytes = 0;
	llhttp->upgrade = 0;
	return 0;
}

/* -- the body --------------------------------------------------------------------------- */

static int on_body(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_parser *parser = llhttp->data;
	struct http_request *req = parser->req;
	size_t have = req->body.n;

	if (n > parser->limits->body - have)
		return refuse_size(parser, 413, "bytes of the body", parser->limits->body);
	if (have + n > parser->body_size) {
		size_t size = parser->body_size ? parser->body_size : BODY_FIRST;
		char *more;

		while (size < have + n)
			size *= 2;
		more = arena_alloc(&req->arena, size);
		if (have)
			memcpy(more, parser->body, have);
		parser->body = more;
		parser->body_size = size;
	}
	memcpy(parser->body + have, at, n);
	req->body = str_make(parser->body, have + n);
	return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
	struct http_parser *parser = llhttp->data;

	parser->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_version = on_version,
	.on_version_complete = on_version_complete,
	.on_header_field = on_header_field,
	.on_header_field_complete = on_header_field_complete,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void http_parser_init(struct http_parser *parser, struct http_request *req,
		      const struct http_limits *limits, struct str prefix)
{
	memset(parser, 0, sizeof(*parser));
	llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
	parser->llhttp.data = parser;
	parser->req = req;
	parser->limits = limits;
	parser->prefix = prefix;
}

/* -- feeding ---------------------------------------------------------------------------- */

/* Empty lines before the request line are skipped (RFC 9112 section 2.2), but each must be CR
 * and LF; llhttp would take a bare LF. Returns the bytes skipped. */
static size_t skip_empty_lines(struct http_parser *parser, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (parser->cr ? p[i] != '\n' : p[i] == '\n') {
			refuse(parser, 400, "a line does not end in CR and LF");
			break;
		}
		if (!parser->cr && p[i] != '\r') {
			parser->begun = true;
			break;
		}
		parser->cr = !parser->cr;
	}
	return i;
}

static enum http_progress bad(struct http_parser *parser, llhttp_errno_t rc)
{
	const char *at = llhttp_get_error_pos(&parser->llhttp);
	const char *reason = llhttp_get_error_reason(&parser->llhttp);

	if (parser->status)
		return HTTP_BAD;
	if (rc == HPE_INVALID_METHOD && at && *at >= 'A' && *at <= 'Z')
		refuse(parser, 501, "the method is not known");
	else if (rc == HPE_PAUSED_H2_UPGRADE ||
		 (rc == HPE_INVALID_VERSION && str_is(str_of(reason), "Invalid HTTP version")))
		refuse(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	else
		refuse(parser, 400, reason && *reason ? reason : "the request is malformed");
	return HTTP_BAD;
}

/* What no span counts: spaces around values, framing of chunks, their extensions. */
static int check_raw(struct http_parser *parser)
{
	const struct http_limits *limits = parser->limits;

	if (!parser->has_head && parser->raw > limits->target + limits->headers + 1024)
		return refuse_size(parser, 431, "bytes of all headers", limits->headers);
	if (parser->has_head &&
	    parser->raw / 8 > parser->req->body.n + limits->headers + limits->target)
		return refuse(parser, 413, "far more framing than body");
	return 0;
}

enum http_progress http_parser_feed(struct http_parser *parser, const char *p, size_t n,
				    size_t *used)
{
	llhttp_errno_t rc;
	size_t skipped = 0, keep;

	assert(!parser->status && !parser->complete);
	if (!parser->begun) {
		skipped = skip_empty_lines(parser, p, n);
		*used = skipped;
		if (parser->status)
			return HTTP_BAD;
		if (!parser->begun)
			return HTTP_MORE;
	}
	parser->feed = p;
	rc = llhttp_execute(&parser->llhttp, p + skipped, n - skipped);
	*used = n;
	if (rc == HPE_PAUSED && parser->complete) {
		*used = (size_t)(llhttp_get_error_pos(&parser->llhttp) - p);
		if (!parser->req->body.p)
			parser->req->body = STR("");
		return HTTP_COMPLETE;
	}
	if (rc != HPE_OK)
		return bad(parser, rc);
	parser->raw += n;
	if (check_raw(parser) != 0)
		return HTTP_BAD;
	if (!parser->has_head) {
		keep = n < sizeof(parser->tail) ? n : sizeof(parser->tail);
		memmove(parser->tail, parser->tail + keep, sizeof(parser->tail) - keep);
		memcpy(parser->tail + sizeof(parser->tail) - keep, p + n - keep, keep);
	}
	return HTTP_MORE;
}
