/* While a head comes, its text grows in a buffer and its headers are places in it; when it is
 * complete both move into the arena. So an answer of 1xx leaves nothing behind. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_answer.h"

#include "core/mem.h"

#include <assert.h>
#include <time.h>

#define MAX_BYTES (64 << 10)
#define MAX_HEADERS 256

struct span {
	size_t name, name_n, value, value_n;
};

static int refuse(struct http_answer_parser *parser, int code, const char *why)
{
	if (!parser->err.code)
		err_set(&parser->err, code, "%s", why);
	return -1;
}

static int refuse_size(struct http_answer_parser *parser, const char *what, size_t limit)
{
	if (!parser->err.code)
		err_set(&parser->err, ERR_TOOBIG, "%s: the limit is %zu", what, limit);
	return -1;
}

/* -- the head --------------------------------------------------------------------------- */

static int count(struct http_answer_parser *parser, size_t n)
{
	parser->n_bytes += n;
	if (parser->n_bytes > parser->max_bytes)
		return refuse_size(parser, "bytes of the answer's headers", parser->max_bytes);
	return 0;
}

static struct span *spans(struct http_answer_parser *parser)
{
	return (struct span *)(void *)parser->spans.p;
}

static size_t n_spans(const struct http_answer_parser *parser)
{
	return parser->spans.n / sizeof(struct span);
}

static int on_field(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_answer_parser *parser = llhttp->data;
	struct span fresh = { 0 };
	size_t i;

	if (count(parser, n) != 0)
		return -1;
	if (parser->has_head)
		return 0;
	if (!n_spans(parser) || parser->in_value) {
		if (n_spans(parser) == parser->max_headers)
			return refuse_size(parser, "number of the answer's headers",
					   parser->max_headers);
		fresh.name = parser->text.n;
		buf_put(&parser->spans, &fresh, sizeof(fresh));
		parser->in_value = false;
	}
	buf_put(&parser->text, at, n);
	for (i = parser->text.n - n; i < parser->text.n; i++)
		if (parser->text.p[i] >= 'A' && parser->text.p[i] <= 'Z')
			parser->text.p[i] |= 0x20;
	spans(parser)[n_spans(parser) - 1].name_n += n;
	return 0;
}

static int on_field_complete(llhttp_t *llhttp)
{
	struct http_answer_parser *parser = llhttp->data;

	if (count(parser, 4) != 0) /* colon, space, CR and LF */
		return -1;
	if (parser->has_head) {
		if (++parser->n_trailers > parser->max_headers)
			return refuse_size(parser, "number of trailers", parser->max_headers);
		return 0;
	}
	parser->in_value = true;
	spans(parser)[n_spans(parser) - 1].value = parser->text.n;
	return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_answer_parser *parser = llhttp->data;

	if (count(parser, n) != 0)
		return -1;
	if (parser->has_head)
		return 0;
	buf_put(&parser->text, at, n);
	spans(parser)[n_spans(parser) - 1].value_n += n;
	return 0;
}

static void keep_headers(struct http_answer_parser *parser)
{
	struct http_answer *answer = parser->answer;
	struct str text = arena_str(parser->arena, buf_str(&parser->text));
	size_t i;

	answer->n_headers = n_spans(parser);
	answer->headers =
		arena_alloc(parser->arena, (answer->n_headers + 1) * sizeof(*answer->headers));
	for (i = 0; i < answer->n_headers; i++) {
		const struct span *span = &spans(parser)[i];

		answer->headers[i].name = str_make(text.p + span->name, span->name_n);
		answer->headers[i].value = str_trim(str_make(text.p + span->value, span->value_n));
	}
	buf_finish(&parser->text);
	buf_finish(&parser->spans);
}

static int check_framing(struct http_answer_parser *parser)
{
	struct http_answer *answer = parser->answer;
	size_t i, encodings = 0, lengths = 0;

	for (i = 0; i < answer->n_headers; i++) {
		struct str value = answer->headers[i].value;

		if (str_is(answer->headers[i].name, "content-length")) {
			if (lengths++)
				return refuse(parser, ERR_SYNTAX, "Content-Length occurs twice");
			if (!str_to_u64(value, &answer->length))
				return refuse(parser, ERR_SYNTAX, "Content-Length is not a number");
		} else if (str_is(answer->headers[i].name, "transfer-encoding")) {
			if (encodings++ || !str_ieq(value, STR("chunked")))
				return refuse(parser, ERR_SYNTAX,
					      "a Transfer-Encoding other than chunked, once");
		}
	}
	if (encodings && lengths)
		return refuse(parser, ERR_SYNTAX,
			      "Content-Length and Transfer-Encoding exclude each other");
	if (encodings && parser->llhttp.http_minor == 0)
		return refuse(parser, ERR_SYNTAX, "HTTP/1.0 has no Transfer-Encoding");
	answer->has_length = lengths != 0;
	return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
	struct http_answer_parser *parser = llhttp->data;
	struct http_answer *answer = parser->answer;
	int rc;

	if (llhttp->http_major != 1 || llhttp->http_minor > 1)
		return refuse(parser, ERR_SYNTAX, "a version other than HTTP/1.0 and HTTP/1.1");
	if (llhttp->status_code < 100 || llhttp->status_code > 599)
		return refuse(parser, ERR_SYNTAX, "a status that is none");
	if (llhttp->status_code == 101)
		return refuse(parser, ERR_SYNTAX, "another protocol, for which nobody asked");
	if (llhttp->status_code < 200) {
		if (++parser->n_interim > HTTP_INTERIM_MAX)
			return refuse(parser, ERR_SYNTAX, "no end of interim answers");
		parser->interim = true;
		return 0;
	}
	parser->has_head = true;
	answer->status = llhttp->status_code;
	keep_headers(parser);
	if (check_framing(parser) != 0)
		return -1;
	answer->keep_alive = llhttp_should_keep_alive(llhttp);
	parser->raw = 0;
	parser->n_bytes = 0;
	if (parser->on_head) {
		rc = parser->on_head(parser);
		if (rc != 0)
			return refuse(parser, rc, err_str(rc));
	}
	if (parser->asked == HTTP_ASKED_CONNECT && answer->status < 300)
		return 2;
	if (parser->asked != HTTP_ASKED_BODY) {
		/* what the headers say is about a body that does not come */
		answer->keep_alive =
			llhttp->http_minor == 1 && !(llhttp->flags & F_CONNECTION_CLOSE);
		return 1;
	}
	return 0;
}

/* -- the body --------------------------------------------------------------------------- */

static int on_body(llhttp_t *llhttp, const char *at, size_t n)
{
	struct http_answer_parser *parser = llhttp->data;
	int rc;

	if (parser->interim)
		return refuse(parser, ERR_SYNTAX, "an interim answer with a body");
	parser->body += n;
	rc = parser->on_body ? parser->on_body(parser, at, n) : 0;
	return rc == 0 ? 0 : refuse(parser, rc, err_str(rc));
}

static int on_complete(llhttp_t *llhttp)
{
	struct http_answer_parser *parser = llhttp->data;

	parser->complete = !parser->interim;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_field_complete = on_field_complete,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void http_answer_init(struct http_answer_parser *parser, struct http_answer *answer,
		      struct arena *arena, enum http_asked asked)
{
	memset(parser, 0, sizeof(*parser));
	llhttp_init(&parser->llhttp, HTTP_RESPONSE, &settings);
	parser->llhttp.data = parser;
	parser->answer = answer;
	parser->arena = arena;
	parser->asked = asked;
	parser->max_bytes = MAX_BYTES;
	parser->max_headers = MAX_HEADERS;
}

void http_answer_finish(struct http_answer_parser *parser)
{
	buf_finish(&parser->text);
	buf_finish(&parser->spans);
}

/* -- feeding ---------------------------------------------------------------------------- */

static enum http_progress bad(struct http_answer_parser *parser)
{
	const char *reason = llhttp_get_error_reason(&parser->llhttp);

	refuse(parser, ERR_SYNTAX, reason && *reason ? reason : "the answer is malformed");
	if (parser->err.code == ERR_SYNTAX)
		err_wrap(&parser->err, "malformed answer");
	return HTTP_BAD;
}

/* What no span counts: the reason, spaces, framing of chunks, their extensions. */
static int check_raw(struct http_answer_parser *parser)
{
	if (!parser->has_head && parser->raw > 2 * parser->max_bytes)
		return refuse_size(parser, "bytes of the answer's headers", parser->max_bytes);
	if (parser->has_head && parser->raw / 8 > parser->body + parser->max_bytes)
		return refuse(parser, ERR_TOOBIG, "far more framing than body");
	return 0;
}

/* Each message must begin with these letters: llhttp takes RTSP and empty lines, too. */
static bool match(struct http_answer_parser *parser, const char *p, size_t n)
{
	static const char word[] = "HTTP/";
	size_t i;

	for (i = 0; i < n && parser->matched < sizeof(word) - 1; i++)
		if (p[i] != word[parser->matched++])
			return false;
	return true;
}

static void interim_over(struct http_answer_parser *parser)
{
	parser->interim = parser->in_value = false;
	parser->matched = 0;
	buf_clear(&parser->text);
	buf_clear(&parser->spans);
	llhttp_resume(&parser->llhttp);
}

enum http_progress http_answer_feed(struct http_answer_parser *parser, const char *p, size_t n,
				    size_t *used)
{
	llhttp_errno_t rc;
	size_t at = 0;

	assert(!parser->complete && !parser->err.code);
	*used = n;
	parser->begun = parser->begun || n > 0;
	for (;;) {
		if (!match(parser, p + at, n - at)) {
			refuse(parser, ERR_SYNTAX, "it is not HTTP");
			return bad(parser);
		}
		rc = llhttp_execute(&parser->llhttp, p + at, n - at);
		if (rc != HPE_PAUSED)
			break;
		at = (size_t)(llhttp_get_error_pos(&parser->llhttp) - p);
		if (parser->complete) {
			*used = at;
			return HTTP_COMPLETE;
		}
		interim_over(parser);
	}
	if (rc != HPE_OK)
		return bad(parser);
	parser->raw += n;
	return check_raw(parser) == 0 ? HTTP_MORE : HTTP_BAD;
}

int http_answer_end(struct http_answer_parser *parser)
{
	if (!parser->begun)
		return err_set(&parser->err, ERR_CLOSED,
			       "the connection was closed before an answer");
	if (parser->has_head && llhttp_finish(&parser->llhttp) == HPE_PAUSED && parser->complete)
		return 0;
	return err_set(&parser->err, ERR_CLOSED, "the connection was closed in the %s",
		       parser->has_head ? "middle of the body" : "middle of the headers");
}

/* -- what it says ------------------------------------------------------------------------ */

struct str http_answer_header(const struct http_answer *answer, const char *name)
{
	struct str key = str_of(name);
	size_t i;

	for (i = 0; i < answer->n_headers; i++)
		if (str_eq(answer->headers[i].name, key))
			return answer->headers[i].value;
	return str_make(NULL, 0);
}

bool http_answer_retry_after(const struct http_answer *answer, uint64_t now, uint64_t *ms)
{
	struct str value = http_answer_header(answer, "retry-after");
	char text[64];
	const char *end;
	struct tm tm = { 0 };
	uint64_t n;
	time_t when;

	if (!value.p)
		return false;
	if (str_to_u64(value, &n)) {
		*ms = n > UINT64_MAX / 1000 ? UINT64_MAX : n * 1000;
		return true;
	}
	if (!value.n || value.n >= sizeof(text))
		return false;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return false;
	when = timegm(&tm);
	if (when < 0)
		return false;
	*ms = (uint64_t)when * 1000 > now ? (uint64_t)when * 1000 - now : 0;
	return true;
}
