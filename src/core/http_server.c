/* Listeners, deadlines and the two ends, drain and destroy. What happens on a connection is in
 * core/http_conn. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_server.h"

#include "core/http_conn.h"
#include "core/mem.h"

#include <assert.h>

/* In a drain, how long an idle connection may still bring a request that was on its way. */
#define DRAIN_GRACE_MS 200
/* A sweep that comes this late means that the process stood still, not the clients. */
#define STALLED_MS 100

/* -- deadlines -------------------------------------------------------------------------- */

static void on_sweep(struct timer *timer)
{
	struct http_server *server = container_of(timer, struct http_server, sweep);
	uint64_t now = loop_now(server->loop), next = UINT64_MAX;
	size_t i;

	/* what came meanwhile is read first; only then are those late who sent nothing */
	if (now > timer->due + STALLED_MS) {
		timer_start(timer, server->loop, 1, on_sweep);
		return;
	}
	for (i = 0; i < CONN_STATES; i++) {
		struct list *first;

		while (server->within[i] && (first = list_first(&server->conns[i]))) {
			struct http_conn *conn = container_of(first, struct http_conn, node);

			if (conn->deadline > now) {
				if (conn->deadline < next)
					next = conn->deadline;
				break;
			}
			http_conn_expire(conn);
		}
	}
	if (next != UINT64_MAX)
		http_server_sweep_by(server, next);
}

void http_server_sweep_by(struct http_server *server, uint64_t deadline)
{
	uint64_t now;

	/* one timer for all: while it comes early enough nothing is to be done */
	if (timer_running(&server->sweep) && server->sweep.due <= deadline)
		return;
	now = loop_now(server->loop);
	timer_start(&server->sweep, server->loop, deadline > now ? deadline - now : 0, on_sweep);
}

/* -- ends ------------------------------------------------------------------------------- */

static bool at_end(const struct http_server *server)
{
	return !server->n_conns && !server->n_listeners && !server->n_held;
}

static void listener_free(struct http_listener *listener)
{
	mem_free((char *)(uintptr_t)listener->prefix.p);
	mem_free((struct cidr *)(uintptr_t)listener->trusted.items);
	mem_free(listener);
}

static void server_free(struct http_server *server)
{
	struct list *node;

	while ((node = list_shift(&server->spare))) {
		struct http_exchange *exchange = container_of(node, struct http_exchange, node);

		arena_finish(&exchange->req.arena);
		mem_free(exchange);
	}
	while ((node = list_shift(&server->listeners))) {
		struct http_listener *listener = container_of(node, struct http_listener, node);

		listener_free(listener);
	}
	timer_stop(&server->sweep);
	timer_stop(&server->grace);
	metrics_remove(&server->connections);
	metrics_remove(&server->bad_requests);
	mem_free(server->buffer.p);
	mem_free(server);
}

static void run_end(struct soon *soon)
{
	struct http_server *server = container_of(soon, struct http_server, ended);
	void (*done)(void *data) = server->on_drained;
	void *data = server->drained_data;

	if (!at_end(server))
		return;
	timer_stop(&server->sweep); /* nothing is left to be swept; it would keep the loop alive */
	if (server->destroying) {
		done = server->on_destroyed;
		data = server->destroyed_data;
		server_free(server);
	} else {
		server->on_drained = NULL;
	}
	if (done)
		done(data);
}

void http_server_check(struct http_server *server)
{
	if (!server->n_conns)
		timer_stop(&server->sweep);
	if ((server->destroying || server->on_drained) && at_end(server))
		loop_soon(server->loop, &server->ended);
}

static void close_listeners(struct http_server *server)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &server->listeners)
		net_listener_close(&container_of(pos, struct http_listener, node)->net);
}

static void close_conns(struct http_server *server, enum conn_state state)
{
	struct list *first;

	while ((first = list_first(&server->conns[state])))
		http_conn_close(container_of(first, struct http_conn, node));
}

static void on_grace_over(struct timer *timer)
{
	struct http_server *server = container_of(timer, struct http_server, grace);

	close_conns(server, CONN_GREET);
	close_conns(server, CONN_IDLE);
}

/* Timers come before reads in a turn: one more turn reads what is there. */
static void on_grace(struct timer *timer)
{
	timer_start(timer, timer->loop, 1, on_grace_over);
}

void http_server_drain(struct http_server *server, void (*drained)(void *data), void *data)
{
	struct list *pos, *tmp;

	assert(!server->draining);
	server->draining = true;
	server->on_drained = drained;
	server->drained_data = data;
	/* whoever has connected already is served: closing the socket would reset him */
	list_each(pos, tmp, &server->listeners)
		net_listener_accept(&container_of(pos, struct http_listener, node)->net, SIZE_MAX);
	close_listeners(server);
	if (!list_empty(&server->conns[CONN_IDLE]) || !list_empty(&server->conns[CONN_GREET]))
		timer_start(&server->grace, server->loop, DRAIN_GRACE_MS, on_grace);
	http_server_check(server);
}

void http_server_destroy(struct http_server *server, void (*done)(void *data), void *data)
{
	int state;

	assert(!server->destroying);
	server->destroying = true;
	server->on_destroyed = done;
	server->destroyed_data = data;
	close_listeners(server);
	for (state = CONN_GREET; state < CONN_CLOSED; state++)
		close_conns(server, (enum conn_state)state);
	http_server_check(server);
}

/* -- listeners -------------------------------------------------------------------------- */

static void on_stream(struct net_listener *net, struct stream *stream, const char *peer)
{
	http_conn_start(net->data, stream, peer);
}

static void on_trouble(struct net_listener *net, int code)
{
	struct http_listener *listener = net->data;

	log_warn(listener->server->log, "accept: %s; trying again in %d ms", err_str(code),
		 NET_REST_MS);
}

static void on_listener_closed(struct net_listener *net)
{
	struct http_listener *listener = net->data;

	listener->server->n_listeners--;
	http_server_check(listener->server);
}

/* "/", "/osb" and "/a/b"; no trailing slash, nothing that would be collapsed. */
static bool prefix_ok(struct str prefix)
{
	size_t i;

	if (!prefix.n || prefix.p[0] != '/')
		return false;
	for (i = 0; i < prefix.n; i++)
		if (prefix.p[i] <= ' ' || prefix.p[i] == '?' || prefix.p[i] == '#' ||
		    prefix.p[i] == 0x7f || (i && prefix.p[i] == '/' && prefix.p[i - 1] == '/'))
			return false;
	return prefix.n == 1 || prefix.p[prefix.n - 1] != '/';
}

static struct cidr_set copy_set(const struct cidr_set *set)
{
	struct cidr *items = set->n ? mem_alloc(set->n * sizeof(*items)) : NULL;

	if (set->n)
		memcpy(items, set->items, set->n * sizeof(*items));
	return (struct cidr_set){ items, set->n };
}

int http_server_listen_on(struct http_server *server, const struct http_listen *listen, char *bound,
			  size_t bound_size, struct err *err)
{
	const char *address = listen->address, *prefix = listen->prefix;
	struct http_listener *listener;
	int rc;

	if (!prefix_ok(str_of(prefix)))
		return err_set(err, ERR_INVALID,
			       "%s: the prefix must be / or like /osb, without a slash at its end",
			       address);
	listener = mem_zalloc(sizeof(*listener));
	listener->server = server;
	listener->data = listen->data;
	listener->wrap = listen->wrap;
	listener->wrap_data = listen->wrap_data;
	listener->prefix = str_of(mem_strdup(prefix));
	listener->proxy_protocol = listen->proxy_protocol;
	listener->forwarded = listen->forwarded;
	listener->trusted = copy_set(&listen->trusted);
	listener->net.reuse_port = listen->reuse_port;
	listener->net.loop = server->loop;
	listener->net.buffer = &server->buffer;
	listener->net.data = listener;
	listener->net.on_stream = on_stream;
	listener->net.on_trouble = on_trouble;
	listener->net.on_closed = on_listener_closed;
	rc = net_listen(&listener->net, address, bound, bound_size, err);
	if (rc != 0) {
		listener_free(listener);
		return rc;
	}
	list_append(&server->listeners, &listener->node);
	server->n_listeners++;
	return 0;
}

int http_server_listen(struct http_server *server, const char *address, const char *prefix,
		       void *listener_data, char *bound, size_t bound_size, struct err *err)
{
	struct http_listen listen = { .address = address, .prefix = prefix, .data = listener_data };

	return http_server_listen_on(server, &listen, bound, bound_size, err);
}

static const struct log silent;

struct http_server *http_server_create(struct loop *loop, const struct http_limits *limits,
				       const struct log *log, struct metrics *metrics,
				       http_handler handler, void *data)
{
	struct http_server *server = mem_zalloc(sizeof(*server));
	size_t i;

	server->loop = loop;
	server->log = log ? log : &silent;
	server->handler = handler;
	server->data = data;
	if (limits)
		server->limits = *limits;
	http_limits_fill(&server->limits);
	server->buffer.size = HTTP_READ_BUFFER;
	server->buffer.p = mem_alloc(server->buffer.size);
	for (i = 0; i < CONN_STATES; i++)
		list_init(&server->conns[i]);
	server->within[CONN_GREET] = server->limits.header_ms;
	server->within[CONN_IDLE] = server->limits.idle_ms;
	server->within[CONN_HEAD] = server->limits.header_ms;
	server->within[CONN_BODY] = server->limits.body_ms;
	server->within[CONN_WRITE] = server->limits.write_ms;
	server->within[CONN_LINGER] = HTTP_LINGER_MS;
	list_init(&server->listeners);
	list_init(&server->spare);
	server->ended.run = run_end;
	server->connections = (struct metric){ .kind = METRIC_GAUGE,
					       .name = "osbd_http_connections",
					       .help = "Open connections." };
	server->bad_requests = (struct metric){
		.kind = METRIC_COUNTER,
		.name = "osbd_http_bad_requests_total",
		.help = "Requests refused before a handler saw them.",
	};
	if (metrics) {
		metrics_add(metrics, &server->connections);
		metrics_add(metrics, &server->bad_requests);
	}
	return server;
}
