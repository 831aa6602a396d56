/* SPDX-License-Identifier: Apache-2.0 */
#include "web/admin.h"

#include <inttypes.h>
#include <stdio.h>

enum { WAITING, RUNNING, STATES };

struct admin {
	struct admin_options options;
	struct log log;
	struct http_server *server;
	bool draining;
	bool address_local, socket_local; /* who gets to a listener: data of its requests */
	void (*done)(void *data);
	void *data;
	/* what the store says at each look, by verb and state */
	struct metric ops[STORE_VERBS][STATES], instances, bindings, oldest;
	char labels[STORE_VERBS][STATES][48];
	struct metric children_started, children_reaped, log_lost;
};

/* One request; in its arena. */
struct look {
	struct admin *admin;
	struct http_request *req;
	void (*handle)(struct look *look);
	struct users_check check;
	struct store_stats stats;
	struct store_list list;
};

static void send_error(struct look *look, int status, const char *code, const char *text)
{
	struct arena *arena = &look->req->arena;
	struct json *body = json_object(arena);

	json_set_cstr(arena, body, "error", code);
	json_set_cstr(arena, body, "description", text);
	http_respond(look->req, status, json_text(arena, body));
}

/* -- /healthz, /readyz --------------------------------------------------------------------- */

static void healthz(struct look *look)
{
	http_respond(look->req, 200, STR("{\"status\":\"ok\"}"));
}

static void send_ready(struct look *look, int store)
{
	struct arena *arena = &look->req->arena;
	struct json *body = json_object(arena), *checks = json_object(arena);
	bool outdated = look->admin->options.store->outdated;
	bool ready = store == 0 && !outdated && !look->admin->draining;

	json_set_cstr(arena, checks, "store", store == 0 ? "ok" : err_str(store));
	json_set_cstr(arena, checks, "schema", outdated ? "newer than this osbd" : "ok");
	json_set(arena, checks, "catalog",
		 json_printf(arena, look->admin->options.broker->gen->catalog->n_offerings
					    ? "ok"
					    : "empty"));
	json_set_cstr(arena, checks, "serving", look->admin->draining ? "draining" : "ok");
	json_set_cstr(arena, body, "status", ready ? "ready" : "not ready");
	json_set(arena, body, "checks", checks);
	http_respond(look->req, ready ? 200 : 503, json_text(arena, body));
}

static void ready_asked(struct call *call, int status)
{
	send_ready(call->data, status);
}

static void ask_stats(struct look *look, call_done done)
{
	look->stats.call.done = done;
	look->stats.call.data = look;
	store_stats(look->admin->options.store, &look->stats);
}

static void readyz(struct look *look)
{
	ask_stats(look, ready_asked);
}

/* -- /metrics ------------------------------------------------------------------------------ */

static void finish_text(void *data)
{
	struct buf *text = data;

	buf_finish(text);
}

static void take_stats(struct admin *admin, const struct store_stats *stats)
{
	uint64_t now = store_now(admin->options.store);
	int verb;

	for (verb = 0; verb < STORE_VERBS; verb++) {
		metric_set(&admin->ops[verb][WAITING],
			   (double)(stats->ops[verb][STORE_OP_WAITING] +
				    stats->ops[verb][STORE_OP_FOLLOWING]));
		metric_set(&admin->ops[verb][RUNNING], (double)stats->ops[verb][STORE_OP_RUNNING]);
	}
	metric_set(&admin->instances, (double)stats->instances);
	metric_set(&admin->bindings, (double)stats->bindings);
	metric_set(&admin->oldest, stats->oldest_waiting && now > stats->oldest_waiting
					   ? (double)(now - stats->oldest_waiting) / 1000
					   : 0);
}

static void send_metrics(struct call *call, int status)
{
	struct look *look = call->data;
	struct buf *text = arena_new(&look->req->arena, struct buf);

	if (status == 0)
		take_stats(look->admin, &look->stats);
	arena_defer(&look->req->arena, finish_text, text);
	metric_render(look->admin->options.metrics, text);
	http_set_header(look->req, "Content-Type", STR("text/plain; version=0.0.4; charset=utf-8"));
	http_respond(look->req, 200, buf_str(text));
}

static void metrics(struct look *look)
{
	ask_stats(look, send_metrics);
}

/* -- /orphans ------------------------------------------------------------------------------ */

static void send_orphans(struct call *call, int status)
{
	struct look *look = call->data;
	struct arena *arena = &look->req->arena;
	struct json *body = json_object(arena), *rows = json_array(arena);
	size_t i;

	if (status < 0) {
		send_error(look, 503, "StoreUnavailable", err_str(status));
		return;
	}
	for (i = 0; i < look->list.n_rows; i++) {
		const struct store_listed *row = &look->list.rows[i];
		bool binding = row->binding.seq != 0;
		struct json *v = json_object(arena);

		json_set_cstr(arena, v, "kind", binding ? "binding" : "instance");
		json_set_cstr(arena, v, "state",
			      store_state_name(binding ? row->binding.state : row->instance.state));
		json_set_str(arena, v, "instance_id", row->instance.id);
		if (binding)
			json_set_str(arena, v, "binding_id", row->binding.id);
		json_set_str(arena, v, "service", row->service);
		json_set_str(arena, v, "description", row->description);
		json_append(arena, rows, v);
	}
	json_set(arena, body, "orphans", rows);
	http_respond(look->req, 200, json_text(arena, body));
}

static void orphans(struct look *look)
{
	look->list = (struct store_list){
		.call = { .done = send_orphans, .data = look },
		.arena = &look->req->arena,
		.kind = STORE_LIST_ORPHANS,
		.max = ADMIN_ORPHANS_MAX,
	};
	store_list(look->admin->options.store, &look->list);
}

/* -- requests ------------------------------------------------------------------------------ */

static const struct {
	const char *path;
	void (*handle)(struct look *look);
	bool open; /* to everybody who gets there */
} pages[] = {
	{ "/healthz", healthz, true },
	{ "/readyz", readyz, true },
	{ "/metrics", metrics, false },
	{ "/orphans", orphans, false },
};

static void checked(struct look *look, int status)
{
	const struct config_user *user = look->check.user;

	if (status == 0 && user && user->role == CONFIG_PLATFORM)
		status = ERR_ACCESS;
	if (status == 0) {
		look->handle(look);
	} else if (status == ERR_BUSY) {
		http_set_header(look->req, "Retry-After", STR("1"));
		send_error(look, 429, "TooManyRequests", "too many passwords to be checked");
	} else {
		http_set_header(look->req, "WWW-Authenticate",
				STR("Basic realm=\"osbd\", charset=\"UTF-8\""));
		send_error(look, 401, "Unauthorized",
			   "a user of the role operator or monitor is required");
	}
}

static void users_checked(struct call *call, int status)
{
	checked(call->data, status);
}

static void let_go(void *data)
{
	generation_unref(data);
}

static void authorize(struct look *look)
{
	struct generation *gen = generation_ref(look->admin->options.broker->gen);
	int status;

	arena_defer(&look->req->arena, let_go, gen);

	look->check.call.done = users_checked;
	look->check.call.data = look;
	look->check.authorization = http_request_header(look->req, "authorization");
	look->check.peer = look->req->peer;
	if (users_check(gen->users, &look->check, &status))
		checked(look, status);
}

static void handle(struct http_request *req, void *data)
{
	struct look *look = arena_new(&req->arena, struct look);
	bool get = str_is(req->method, "GET") || str_is(req->method, "HEAD");
	size_t i;

	look->admin = data;
	look->req = req;
	for (i = 0; i < ARRAY_LEN(pages) && !str_is(req->path, pages[i].path); i++)
		;
	if (i == ARRAY_LEN(pages)) {
		send_error(look, 404, "NotFound",
			   "there are /healthz, /readyz, /metrics and /orphans");
		return;
	}
	if (!get) {
		http_set_header(req, "Allow", STR("GET, HEAD"));
		send_error(look, 405, "MethodNotAllowed", "this path knows GET, HEAD");
		return;
	}
	look->handle = pages[i].handle;
	if (pages[i].open || *(const bool *)req->listener_data)
		look->handle(look);
	else
		authorize(look);
}

/* -- life ----------------------------------------------------------------------------------- */

static double read_started(void *data)
{
	return (double)((struct child_host *)data)->started;
}

static double read_reaped(void *data)
{
	return (double)((struct child_host *)data)->reaped;
}

static double read_lost(void *data)
{
	return (double)log_sink_lost(data);
}

static void add_gauge(struct admin *admin, struct metric *metric, const char *name,
		      const char *help, const char *labels)
{
	*metric = (struct metric){
		.kind = METRIC_GAUGE, .name = name, .help = help, .labels = labels
	};
	metrics_add(admin->options.metrics, metric);
}

static void add_counter(struct admin *admin, struct metric *metric, const char *name,
			const char *help, double (*read)(void *data), void *data)
{
	*metric = (struct metric){
		.kind = METRIC_COUNTER, .name = name, .help = help, .read = read, .data = data
	};
	metrics_add(admin->options.metrics, metric);
}

static void add_metrics(struct admin *admin)
{
	static const char *const states[] = { "waiting", "running" };
	int verb, state;

	for (verb = 0; verb < STORE_VERBS; verb++)
		for (state = 0; state < STATES; state++) {
			char *labels = admin->labels[verb][state];

			snprintf(labels, sizeof(admin->labels[0][0]), "verb=\"%s\",state=\"%s\"",
				 store_verb_name(verb), states[state]);
			add_gauge(admin, &admin->ops[verb][state], "osbd_operations",
				  "Operations in the store that have not ended.", labels);
		}
	add_gauge(admin, &admin->instances, "osbd_instances", "Service instances that exist.",
		  NULL);
	add_gauge(admin, &admin->bindings, "osbd_bindings", "Service bindings that exist.", NULL);
	add_gauge(admin, &admin->oldest, "osbd_oldest_waiting_seconds",
		  "For how long the oldest operation without a slot has waited.", NULL);
	add_counter(admin, &admin->children_started, "osbd_children_started_total",
		    "Programs started.", read_started, admin->options.children);
	add_counter(admin, &admin->children_reaped, "osbd_children_ended_total",
		    "Programs that ended.", read_reaped, admin->options.children);
	add_counter(admin, &admin->log_lost, "osbd_log_lines_lost_total",
		    "Log lines dropped because nobody read them.", read_lost,
		    admin->options.log->sink);
}

static void remove_metrics(struct admin *admin)
{
	int verb, state;

	for (verb = 0; verb < STORE_VERBS; verb++)
		for (state = 0; state < STATES; state++)
			metrics_remove(&admin->ops[verb][state]);
	metrics_remove(&admin->instances);
	metrics_remove(&admin->bindings);
	metrics_remove(&admin->oldest);
	metrics_remove(&admin->children_started);
	metrics_remove(&admin->children_reaped);
	metrics_remove(&admin->log_lost);
}

struct admin *admin_create(const struct admin_options *options)
{
	static const struct http_limits limits = { .connections = 100, .body = 1 };
	struct admin *admin = mem_zalloc(sizeof(*admin));

	admin->options = *options;
	log_child(&admin->log, options->log);
	admin->server =
		http_server_create(options->loop, &limits, &admin->log, NULL, handle, admin);
	add_metrics(admin);
	return admin;
}

int admin_listen(struct admin *admin, const struct config_admin *config, struct err *err)
{
	char bound[256], address[256];

	admin->address_local = config->listen.local;
	admin->socket_local = true;
	if (config->listen.address.n) {
		if (http_server_listen(admin->server, config->listen.address.p, "/",
				       &admin->address_local, bound, sizeof(bound), err) < 0)
			return err_wrap(err, "admin.address");
		log_info(&admin->log, "administration on %s", bound);
	}
	if (config->socket.n) {
		snprintf(address, sizeof(address), "unix:%s", config->socket.p);
		if (http_server_listen(admin->server, address, "/", &admin->socket_local, bound,
				       sizeof(bound), err) < 0)
			return err_wrap(err, "admin.socket");
		log_info(&admin->log, "administration on %s", bound);
	}
	return 0;
}

void admin_draining(struct admin *admin)
{
	admin->draining = true;
}

static void server_gone(void *data)
{
	struct admin *admin = data;
	void (*done)(void *) = admin->done;
	void *done_data = admin->data;

	remove_metrics(admin);
	mem_free(admin);
	done(done_data);
}

void admin_destroy(struct admin *admin, void (*done)(void *data), void *data)
{
	admin->done = done;
	admin->data = data;
	http_server_destroy(admin->server, server_gone, admin);
}
