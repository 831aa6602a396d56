/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_task.h"

#include "core/digest.h"
#include "core/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define WRITES_A_TURN 16

/* -- the head --------------------------------------------------------------------------- */

static const char *const ours[] = {
	"authorization",       "connection", "content-length",    "expect",  "host",
	"proxy-authorization", "te",         "transfer-encoding", "trailer", "upgrade",
};

static bool is_token(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') &&
		    !(c && strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

int task_check_headers(const struct http_fetch *fetch, struct err *err)
{
	size_t i, k;

	for (i = 0; i < fetch->n_headers; i++) {
		struct str name = fetch->headers[i].name, value = fetch->headers[i].value;

		if (!is_token(name))
			return err_set(err, ERR_INVALID, "header %zu has no valid name", i + 1);
		for (k = 0; k < ARRAY_LEN(ours); k++)
			if (str_ieq(name, str_of(ours[k])))
				return err_set(err, ERR_INVALID,
					       "the header %s is the client's to set", ours[k]);
		for (k = 0; k < value.n; k++)
			if (((unsigned char)value.p[k] < ' ' && value.p[k] != '\t') ||
			    value.p[k] == 0x7f)
				return err_set(err, ERR_INVALID,
					       "the header %.*s has a control character",
					       STR_ARG(name));
	}
	return 0;
}

static void put_credentials(struct http_task *task)
{
	const struct http_fetch *fetch = task->fetch;
	struct buf *head = &task->head, pair = { 0 };
	struct arena scratch = { 0 };
	struct str code;

	if (task->foreign)
		return;
	if (fetch->bearer) {
		buf_puts(head, "Authorization: Bearer ");
		buf_put_str(head, secret_reveal(fetch->bearer));
		buf_puts(head, "\r\n");
	} else if (fetch->password) {
		buf_put_str(&pair, fetch->user);
		buf_putc(&pair, ':');
		buf_put_str(&pair, secret_reveal(fetch->password));
		code = base64_encode(&scratch, pair.p, pair.n);
		buf_puts(head, "Authorization: Basic ");
		buf_put_str(head, code);
		buf_puts(head, "\r\n");
		mem_wipe((char *)(uintptr_t)code.p, code.n);
		arena_finish(&scratch);
		buf_wipe(&pair);
	}
}

static void put_headers(struct http_task *task)
{
	const struct http_fetch *fetch = task->fetch;
	struct buf *head = &task->head;
	bool accept = false, agent = false;
	size_t i;

	for (i = 0; i < fetch->n_headers; i++) {
		struct str name = fetch->headers[i].name;

		if (task->foreign && str_ieq(name, STR("cookie")))
			continue;
		if (task->bodiless && name.n > 8 && str_ieq(str_make(name.p, 8), STR("content-")))
			continue;
		accept = accept || str_ieq(name, STR("accept"));
		agent = agent || str_ieq(name, STR("user-agent"));
		buf_put_str(head, name);
		buf_puts(head, ": ");
		buf_put_str(head, fetch->headers[i].value);
		buf_puts(head, "\r\n");
	}
	if (!accept)
		buf_puts(head, "Accept: */*\r\n");
	if (!agent)
		buf_puts(head, "User-Agent: osbd/" OSBD_VERSION "\r\n");
}

static bool has_body(const struct http_task *task)
{
	return !task->bodiless && (task->fetch->produce || task->fetch->body.p);
}

static void make_head(struct http_task *task)
{
	const struct http_fetch *fetch = task->fetch;
	const struct http_proxy *proxy = task->origin->proxy;
	const char *origin = http_url_origin(&task->arena, &task->url);
	struct buf *head = &task->head;
	struct str authorization;

	buf_wipe(head);
	buf_put_str(head, task->method);
	buf_putc(head, ' ');
	if (proxy && !task->url.https)
		buf_puts(head, origin);
	buf_put_str(head, task->url.path);
	if (task->url.query.p) {
		buf_putc(head, '?');
		buf_put_str(head, task->url.query);
	}
	buf_printf(head, " HTTP/1.1\r\nHost: %s\r\n", strstr(origin, "//") + 2);
	if (proxy && !task->url.https) {
		authorization = secret_reveal(&proxy->authorization);
		if (authorization.n) {
			buf_puts(head, "Proxy-Authorization: ");
			buf_put_str(head, authorization);
			buf_puts(head, "\r\n");
		}
	}
	put_credentials(task);
	put_headers(task);
	if (has_body(task) && fetch->produce && fetch->length == HTTP_CHUNKED)
		buf_puts(head, "Transfer-Encoding: chunked\r\n");
	else if (has_body(task))
		buf_printf(head, "Content-Length: %" PRIu64 "\r\n",
			   fetch->produce ? fetch->length : (uint64_t)fetch->body.n);
	else if (str_is(task->method, "POST") || str_is(task->method, "PUT") ||
		 str_is(task->method, "PATCH"))
		buf_puts(head, "Content-Length: 0\r\n");
	buf_puts(head, "\r\n");
}

/* -- sending ---------------------------------------------------------------------------- */

/* The connection takes no more, but an answer may be on its way to us all the same. */
static void write_failed(struct http_task *task)
{
	task->broken = true;
	task->stalled = false;
	task_phase(task, PHASE_HEADERS);
}

static void all_sent(struct http_task *task)
{
	task->sent = true;
	task_phase(task, task->parser.has_head ? PHASE_BODY : PHASE_HEADERS);
}

/* True when the kernel has taken it all. */
static bool put(struct http_task *task, const struct str *parts, size_t n)
{
	int rc = stream_write(task->waiter.link->stream, parts, n);

	if (rc < 0)
		write_failed(task);
	task->writing = rc == STREAM_LATER;
	return rc == 0;
}

/* The next piece of a produced body: false when nothing more is to be done now. */
static bool put_piece(struct http_task *task)
{
	struct http_fetch *fetch = task->fetch;
	bool chunked = fetch->length == HTTP_CHUNKED;
	struct str chunk = { NULL, 0 }, parts[3];
	int rc = fetch->produce(fetch, &chunk);

	if (!task_live(task)) /* canceled inside */
		return false;
	if (rc == HTTP_LATER) {
		task->stalled = true;
		return false;
	}
	if (rc < 0) {
		task_fail(task, rc, "the body: %s", err_str(rc));
		return false;
	}
	if (rc == HTTP_END) {
		if (!chunked && task->produced != fetch->length) {
			task_fail(task, ERR_INVALID,
				  "the body has %" PRIu64 " bytes, %" PRIu64 " were announced",
				  task->produced, fetch->length);
			return false;
		}
		task->sent = true;
		parts[0] = STR("0\r\n\r\n");
		if (!chunked || put(task, parts, 1))
			all_sent(task);
		return false;
	}
	assert(chunk.n);
	if (!chunked && chunk.n > fetch->length - task->produced) {
		task_fail(task, ERR_INVALID,
			  "the body has more than the %" PRIu64 " bytes announced", fetch->length);
		return false;
	}
	task->produced += chunk.n;
	if (!chunked)
		return put(task, &chunk, 1);
	snprintf(task->chunk_head, sizeof(task->chunk_head), "%zx\r\n", chunk.n);
	parts[0] = str_of(task->chunk_head);
	parts[1] = chunk;
	parts[2] = STR("\r\n");
	return put(task, parts, 3);
}

static void on_send(struct soon *soon)
{
	task_send(container_of(soon, struct http_task, soon));
}

void task_send(struct http_task *task)
{
	struct http_fetch *fetch = task->fetch;
	int i;

	if (!task_live(task) || task->writing || task->broken || task->sent || task->stalled)
		return;
	if (!task->head_sent) {
		struct str parts[2] = { buf_str(&task->head), fetch->body };
		bool fixed = has_body(task) && !fetch->produce;

		task->head_sent = true;
		task->sent = !has_body(task) || fixed;
		if (!put(task, parts, fixed && fetch->body.n ? 2 : 1))
			return;
		if (task->sent) {
			all_sent(task);
			return;
		}
	}
	for (i = 0; i < WRITES_A_TURN; i++) {
		if (!put_piece(task))
			return;
		task_progress(task);
	}
	task->soon.run = on_send;
	loop_soon(task->client->loop, &task->soon);
}

void task_link_written(struct http_task *task, int status)
{
	task->writing = false;
	if (!task_live(task))
		return;
	if (status != 0)
		write_failed(task);
	else if (task->sent)
		all_sent(task);
	else {
		task_progress(task);
		task_send(task);
	}
}

/* -- receiving -------------------------------------------------------------------------- */

static bool is_redirect(const struct http_task *task)
{
	const struct http_fetch *fetch = task->fetch;
	int status = task->answer.status;

	return fetch->n_redirects < fetch->redirects && !(fetch->produce && !task->bodiless) &&
	       (status == 301 || status == 302 || status == 303 || status == 307 ||
		status == 308) &&
	       http_answer_header(&task->answer, "location").n;
}

static size_t body_max(const struct http_fetch *fetch)
{
	return fetch->body_max ? fetch->body_max : 1 << 20;
}

static int too_big(struct http_task *task)
{
	return err_set(&task->fetch->err, ERR_TOOBIG, "the body has more than %zu bytes",
		       body_max(task->fetch));
}

static int on_head(struct http_answer_parser *parser)
{
	struct http_task *task = parser->data;
	struct http_fetch *fetch = task->fetch;
	struct http_answer *answer = &task->answer;

	if (is_redirect(task)) {
		task->location = arena_str(&task->arena, http_answer_header(answer, "location"));
		return 0;
	}
	fetch->status = answer->status;
	fetch->headers_in = answer->headers;
	fetch->n_headers_in = answer->n_headers;
	fetch->has_retry_after =
		http_answer_retry_after(answer, loop_wall(task->client->loop), &fetch->retry_after);
	if (fetch->on_head)
		fetch->on_head(fetch);
	if (!task_live(task))
		return ERR_CANCELED;
	if (!fetch->on_body && task->asked != HTTP_ASKED_HEAD && answer->has_length &&
	    answer->length > body_max(fetch))
		return too_big(task);
	return 0;
}

static int on_body(struct http_answer_parser *parser, const char *p, size_t n)
{
	struct http_task *task = parser->data;
	struct http_fetch *fetch = task->fetch;
	int rc;

	if (task->location.p) {
		task->dropped += n;
		return task->dropped > HTTP_DROP_MAX ? ERR_TOOBIG : 0;
	}
	if (fetch->on_body) {
		rc = fetch->on_body(fetch, str_make(p, n));
		if (!task_live(task))
			return ERR_CANCELED;
		if (rc != 0 && !fetch->err.code)
			err_set(&fetch->err, rc, "the body: %s", err_str(rc));
		return rc;
	}
	if (n > body_max(fetch) - task->body.n)
		return too_big(task);
	buf_put(&task->body, p, n);
	return 0;
}

/* The answer is whole, or as much of it as anybody wants. */
static void answered(struct http_task *task, bool keep)
{
	task->again = task->location.p != NULL;
	task_answered(task, keep && task->answer.keep_alive && task->sent && !task->writing &&
				    !task->broken);
}

static void lost(struct http_task *task, int code)
{
	if (task->location.p) {
		answered(task, false); /* where to go is known */
		return;
	}
	if (task_repeat(task))
		return;
	if (code == 0) {
		task->fetch->err = task->parser.err;
		task_fail(task, task->parser.err.code, "lost");
	} else if (!task->parser.begun) {
		task_fail(task, code, "the connection was lost before an answer: %s",
			  err_str(code));
	} else {
		task_fail(task, code, "the connection was lost in the middle of the answer: %s",
			  err_str(code));
	}
}

void task_link_read(struct http_task *task, const char *p, ssize_t n)
{
	enum http_progress progress;
	size_t used = 0;

	if (!task_live(task))
		return;
	if (n == 0) {
		if (http_answer_end(&task->parser) == 0)
			answered(task, false);
		else
			lost(task, 0);
		return;
	}
	if (n < 0) {
		lost(task, (int)n);
		return;
	}
	progress = http_answer_feed(&task->parser, p, (size_t)n, &used);
	if (!task_live(task))
		return;
	if (progress == HTTP_COMPLETE) {
		answered(task, used == (size_t)n);
	} else if (progress == HTTP_BAD) {
		if (task->location.p) {
			answered(task, false);
			return;
		}
		if (!task->fetch->err.code)
			task->fetch->err = task->parser.err;
		task_fail(task, task->fetch->err.code, "bad");
	} else if (task->parser.has_head && task->phase == PHASE_HEADERS) {
		task_phase(task, PHASE_BODY);
	} else if (task->phase == PHASE_BODY) {
		task_progress(task);
	}
}

void task_link_ready(struct http_task *task, struct http_link *link)
{
	task->answer = (struct http_answer){ 0 };
	http_answer_finish(&task->parser);
	http_answer_init(&task->parser, &task->answer, task->fetch->arena, task->asked);
	task->parser.on_head = on_head;
	task->parser.on_body = on_body;
	task->parser.data = task;
	task->writing = task->head_sent = task->sent = task->broken = task->stalled = false;
	task->produced = task->dropped = 0;
	task->origin = link->origin;
	make_head(task);
	task_phase(task, PHASE_SEND);
	link_read(link, true);
	task_send(task);
}
