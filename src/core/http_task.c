/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_task.h"

#include "core/http_client.h"
#include "core/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static const struct {
	size_t limit; /* of the phase, in struct http_fetch */
	uint64_t ms;  /* its default */
	const char *late;
} phases[PHASES] = {
#define LIMIT(field) offsetof(struct http_fetch, field)
	[PHASE_WAIT] = { LIMIT(connect_ms), HTTP_CONNECT_MS, "no connection was free in time" },
	[PHASE_RESOLVE] = { LIMIT(resolve_ms), SEC(10), "resolve: timed out" },
	[PHASE_CONNECT] = { LIMIT(connect_ms), HTTP_CONNECT_MS, "connect: timed out" },
	[PHASE_SEND] = { LIMIT(silence_ms), SEC(60), "the peer takes no more of the request" },
	[PHASE_HEADERS] = { LIMIT(headers_ms), SEC(60), "no answer in time" },
	[PHASE_BODY] = { LIMIT(silence_ms), SEC(60), "the rest of the answer does not come" },
#undef LIMIT
};

const struct http_fetch *task_fetch(const struct http_task *task)
{
	return task->fetch;
}

bool task_live(const struct http_task *task)
{
	return task->waiter.link && task->waiter.link->state == LINK_BUSY && !task->over;
}

/* -- the end ---------------------------------------------------------------------------- */

static void task_go(struct soon *soon);

static void finish(struct http_task *task)
{
	struct http_fetch *fetch = task->fetch;
	int status = task->status;

	timer_stop(&task->timer);
	list_remove(&task->soon.node);
	fetch->url_in = http_url_text(fetch->arena, &task->url);
	if (status != 0) {
		fetch->err.code = status;
		err_wrap(&fetch->err, "%s %s", fetch->method, fetch->url_in);
	} else if (!fetch->on_body) {
		fetch->body_in = buf_str(&task->body);
		if (task->body.p)
			arena_defer(fetch->arena, mem_free, task->body.p);
		task->body = (struct buf){ 0 };
	}
	http_answer_finish(&task->parser);
	buf_wipe(&task->head);
	buf_finish(&task->body);
	arena_finish(&task->arena);
	task->client->n_tasks--;
	fetch->task = NULL;
	mem_free(task);
	call_end(&fetch->call, status);
}

static void on_finish(struct soon *soon)
{
	finish(container_of(soon, struct http_task, soon));
}

/* The attempt has ended and holds no link. */
static void next(struct http_task *task)
{
	if (!task->again) {
		finish(task);
		return;
	}
	task->again = task->over = false;
	task->soon.run = task_go;
	loop_soon(task->client->loop, &task->soon);
}

static void stop(struct http_task *task, int code)
{
	struct http_origin *origin = task->origin;

	task->stopped = task->over = true;
	task->again = false;
	task->status = code;
	timer_stop(&task->timer);
	if (task->waiter.link) {
		link_close(task->waiter.link);
		return;
	}
	if (list_linked(&task->waiter.node)) {
		list_remove(&task->waiter.node);
		origin_check(origin);
	}
	list_remove(&task->soon.node);
	task->soon.run = on_finish;
	loop_soon(task->client->loop, &task->soon);
}

void task_fail(struct http_task *task, int code, const char *fmt, ...)
{
	va_list ap;

	if (task->stopped || (task->over && !task->again))
		return;
	if (!task->fetch->err.code) {
		va_start(ap, fmt);
		err_vset(&task->fetch->err, code, fmt, ap);
		va_end(ap);
	}
	stop(task, code);
}

void task_answered(struct http_task *task, bool keep)
{
	struct http_link *link = task->waiter.link;

	task->over = true;
	if (!task->again)
		timer_stop(&task->timer);
	if (keep) {
		link_release(link);
		next(task);
	} else {
		link_close(link);
	}
}

bool task_repeat(struct http_task *task)
{
	if (!task->waiter.link->served || task->parser.begun || !task->idempotent ||
	    task->fetch->produce || task->fetch->repeated)
		return false;
	task->fetch->repeated = true;
	task->again = true;
	task_answered(task, false);
	return true;
}

void task_link_gone(struct http_task *task, int code, const struct err *err)
{
	if (!task->over) {
		task->fetch->err = *err;
		task->status = code;
		task->again = false;
	}
	next(task);
}

/* -- deadlines -------------------------------------------------------------------------- */

static uint64_t ends(struct http_task *task, uint64_t ms)
{
	return ms == HTTP_NEVER ? HTTP_NEVER : loop_now(task->client->loop) + ms;
}

static uint64_t limit(const struct http_task *task, enum task_phase phase)
{
	uint64_t ms;

	memcpy(&ms, (const char *)task->fetch + phases[phase].limit, sizeof(ms));
	return ms ? ms : phases[phase].ms;
}

static void arm(struct http_task *task);

static void on_timer(struct timer *timer)
{
	struct http_task *task = container_of(timer, struct http_task, timer);
	uint64_t now = loop_now(task->client->loop);

	if (now >= task->whole_ends)
		task_fail(task, ERR_TIMEDOUT, "not done in time");
	else if (now >= task->phase_ends && !task->paused && !task->stalled)
		task_fail(task, ERR_TIMEDOUT, "%s", phases[task->phase].late);
	else
		arm(task);
}

static void arm(struct http_task *task)
{
	uint64_t due = task->whole_ends, now = loop_now(task->client->loop);

	if (!task->paused && !task->stalled && task->phase_ends < due)
		due = task->phase_ends;
	if (due == HTTP_NEVER)
		timer_stop(&task->timer);
	else
		timer_start(&task->timer, task->client->loop, due > now ? due - now : 0, on_timer);
}

void task_phase(struct http_task *task, enum task_phase phase)
{
	task->phase = phase;
	task_progress(task);
	arm(task);
}

void task_progress(struct http_task *task)
{
	task->phase_ends = ends(task, limit(task, task->phase));
}

static void rested(struct http_task *task)
{
	task_progress(task);
	arm(task);
}

void http_fetch_pause(struct http_fetch *fetch)
{
	struct http_task *task = fetch->task;

	if (!task || task->paused)
		return;
	task->paused = true;
	if (task_live(task))
		link_read(task->waiter.link, false);
}

void http_fetch_resume(struct http_fetch *fetch)
{
	struct http_task *task = fetch->task;

	if (!task || !task->paused)
		return;
	task->paused = false;
	if (!task_live(task))
		return;
	rested(task);
	link_read(task->waiter.link, true);
}

static void on_more(struct soon *soon)
{
	task_send(container_of(soon, struct http_task, soon));
}

void http_fetch_more(struct http_fetch *fetch)
{
	struct http_task *task = fetch->task;

	if (!task || !task->stalled || !task_live(task))
		return;
	task->stalled = false;
	rested(task);
	task->soon.run = on_more;
	loop_soon(task->client->loop, &task->soon);
}

/* -- attempts --------------------------------------------------------------------------- */

static void follow(struct http_task *task)
{
	struct http_fetch *fetch = task->fetch;
	struct http_url to;
	int status = task->answer.status;

	if (http_url_join(&task->arena, &task->url, task->location, &to, &fetch->err) != 0) {
		err_wrap(&fetch->err, "redirect");
		task_fail(task, ERR_UNSUPPORTED, "redirect");
		return;
	}
	if (!http_url_same_origin(&task->url, &to)) {
		const char *why = NULL;

		task->foreign = true;
		if (task->url.https && !to.https)
			why = "from https to http";
		else if (to.https && !fetch->wrap)
			why = "to https, and TLS is not set up";
		else if (fetch->unix_socket)
			why = "to another host than the socket's";
		else if (fetch->wrap && fetch->wrap->presents)
			why = "to another host, which must not see the client's certificate";
		if (why) {
			task_fail(task, ERR_UNSUPPORTED, "redirected %s", why);
			return;
		}
	}
	if ((status == 303 && !str_is(task->method, "HEAD") && !str_is(task->method, "GET")) ||
	    ((status == 301 || status == 302) && str_is(task->method, "POST"))) {
		task->method = STR("GET");
		task->asked = HTTP_ASKED_BODY;
		task->idempotent = task->bodiless = true;
	}
	task->url = to;
	task->location = (struct str){ NULL, 0 };
	fetch->n_redirects++;
}

static void task_go(struct soon *soon)
{
	struct http_task *task = container_of(soon, struct http_task, soon);
	const struct http_proxy *proxy;

	if (task->location.p) {
		follow(task);
		if (task->stopped)
			return;
	}
	proxy = task->fetch->unix_socket ? NULL : http_proxy_for(task->client->proxies, &task->url);
	task->origin = origin_get(task->client, &task->url, proxy, task->fetch);
	task->waiter.fresh = !task->idempotent || task->fetch->repeated || task->fetch->produce;
	task->paused = false;
	task_phase(task, PHASE_WAIT);
	origin_ask(task->origin, &task->waiter);
}

static bool method_ok(struct str method)
{
	size_t i;

	for (i = 0; i < method.n; i++)
		if (method.p[i] < 'A' || method.p[i] > 'Z')
			return false;
	return method.n > 0 && method.n <= 20 && !str_is(method, "CONNECT");
}

static bool is_idempotent(struct str method)
{
	static const char *const names[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (str_is(method, names[i]))
			return true;
	return false;
}

static int invalid(struct http_task *task, const char *why)
{
	struct http_fetch *fetch = task->fetch;

	if (!fetch->err.code)
		err_set(&fetch->err, ERR_INVALID, "%s", why);
	if (task->url.host.p && method_ok(task->method))
		err_wrap(&fetch->err, "%s %s", fetch->method,
			 http_url_text(&task->arena, &task->url));
	arena_finish(&task->arena);
	mem_free(task);
	fetch->task = NULL;
	fetch->err.code = ERR_INVALID;
	return ERR_INVALID;
}

static bool has_control(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

static const char *check(const struct http_task *task)
{
	const struct http_fetch *fetch = task->fetch;
	struct dial_address address;

	if (!method_ok(task->method))
		return "the method is not one";
	if (!fetch->arena)
		return "there is no arena for the answer";
	if (task->url.https && !fetch->wrap)
		return "TLS is not set up";
	if (fetch->unix_socket && !dial_unix(str_of(fetch->unix_socket), &address))
		return "the path of the unix socket is not absolute, or too long";
	if (fetch->body.p && fetch->produce)
		return "there are two bodies";
	if (fetch->bearer && fetch->password)
		return "there are two kinds of credentials";
	if (fetch->bearer && has_control(secret_reveal(fetch->bearer)))
		return "the bearer token has a control character";
	if (fetch->password && fetch->user.n && memchr(fetch->user.p, ':', fetch->user.n))
		return "a user must not have a colon";
	return NULL;
}

static void on_cancel(struct call *call)
{
	struct http_fetch *fetch = container_of(call, struct http_fetch, call);

	task_fail(fetch->task, ERR_CANCELED, "%s", err_str(ERR_CANCELED));
}

int http_fetch_start(struct http_client *client, struct http_fetch *fetch)
{
	struct http_task *task = mem_zalloc(sizeof(*task));
	const char *why;

	fetch->status = 0;
	fetch->headers_in = NULL;
	fetch->n_headers_in = 0;
	fetch->body_in = (struct str){ NULL, 0 };
	fetch->has_retry_after = fetch->repeated = false;
	fetch->n_redirects = 0;
	fetch->url_in = NULL;
	fetch->err = (struct err){ 0 };
	fetch->task = task;
	task->fetch = fetch;
	task->client = client;
	task->waiter.task = task;
	task->method = str_of(fetch->method);
	task->idempotent = is_idempotent(task->method);
	task->asked = str_is(task->method, "HEAD") ? HTTP_ASKED_HEAD : HTTP_ASKED_BODY;
	if (http_url_parse(&task->arena, fetch->url, &task->url, &fetch->err) != 0)
		return invalid(task, "");
	why = check(task);
	if (why)
		return invalid(task, why);
	if (task_check_headers(fetch, &fetch->err) != 0)
		return invalid(task, "");
	client->n_tasks++;
	task->whole_ends = ends(task, fetch->whole_ms ? fetch->whole_ms : MINUTES(5));
	call_begin(&fetch->call, on_cancel);
	task->soon.run = task_go;
	loop_soon(client->loop, &task->soon);
	return 0;
}

struct str http_fetch_header(const struct http_fetch *fetch, const char *name)
{
	struct http_answer answer = { .headers = fetch->headers_in,
				      .n_headers = fetch->n_headers_in };

	return http_answer_header(&answer, name);
}

/* -- the client ------------------------------------------------------------------------- */

static void on_ended(struct soon *soon)
{
	struct http_client *client = container_of(soon, struct http_client, ended);
	void (*done)(void *data) = client->on_destroyed;
	void *data = client->destroyed_data;

	mem_free(client->buffer.p);
	mem_free(client);
	if (done)
		done(data);
}

struct http_client *http_client_create(struct loop *loop, const struct http_client_config *config)
{
	struct http_client *client = mem_zalloc(sizeof(*client));

	client->loop = loop;
	client->dns = config->dns;
	client->proxies = config->proxies;
	client->max_links = config->connections ? config->connections : 32;
	client->max_idle = config->idle ? config->idle : 4;
	client->idle_ms = config->idle_ms ? config->idle_ms : SEC(30);
	client->buffer.p = mem_alloc(HTTP_FETCH_READ);
	client->buffer.size = HTTP_FETCH_READ;
	client->ended.run = on_ended;
	list_init(&client->origins);
	return client;
}

void http_client_forget(struct http_client *client)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &client->origins)
		origin_close_idle(container_of(pos, struct http_origin, node));
}

void http_client_destroy(struct http_client *client, void (*done)(void *data), void *data)
{
	assert(!client->n_tasks && !client->destroying);
	client->destroying = true;
	client->on_destroyed = done;
	client->destroyed_data = data;
	if (list_empty(&client->origins))
		loop_soon(client->loop, &client->ended);
	else
		http_client_forget(client);
}
