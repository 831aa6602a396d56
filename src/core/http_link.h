/* core/http_link: one connection of an HTTP client, and the origins that keep them. Private to
 * core/http_client.
 *
 *   RESOLVE --> DIAL --> TUNNEL --> WRAP --> BUSY <--> IDLE
 *      |          |         |         |        |        |
 *      '----------+---------+---------+--------+--------+--> CLOSING --> gone
 *
 * RESOLVE is left out for a unix socket, TUNNEL without a proxy or TLS, WRAP without TLS. A link is
 * made for a task, which has it until it gives it back with link_release(), or until it is gone:
 * then task_link_gone() says so and why. CLOSING waits until every handle is closed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_LINK_H
#define OSBD_CORE_HTTP_LINK_H

#include "core/dns.h"
#include "core/http_answer.h"
#include "core/http_fetch.h"
#include "core/http_proxy.h"

#define HTTP_CONNECT_MS (10 * 1000)

enum link_state {
	LINK_RESOLVE,
	LINK_DIAL,
	LINK_TUNNEL,
	LINK_WRAP,
	LINK_BUSY,
	LINK_IDLE,
	LINK_CLOSING,
	LINK_STATES,
};

struct http_task;

struct http_client {
	struct loop *loop;
	struct dns *dns;
	const struct http_proxies *proxies;
	size_t max_links, max_idle;
	uint64_t idle_ms;
	struct net_buffer buffer;
	struct list origins; /* struct http_origin.node */
	size_t n_tasks;
	bool destroying;
	struct soon ended;
	void (*on_destroyed)(void *data);
	void *destroyed_data;
};

/* A task's place in the queue of an origin, and then its link. */
struct http_waiter {
	struct list node;
	struct http_task *task;
	struct http_link *link; /* from its opening on, until it is gone or released */
	bool fresh;             /* it takes none that has served */
};

struct http_origin {
	struct list node;
	struct http_client *client;
	struct arena arena;
	struct http_url url;            /* path and query do not count */
	const struct http_proxy *proxy; /* NULL: none */
	const char *unix_socket;        /* NULL: none */
	uint64_t wrap;                  /* its id, 0: none */
	struct list idle;               /* struct http_link.node, the one used last first */
	struct list waiting;            /* struct http_waiter.node */
	size_t n_links, n_idle;
};

/* What is needed only until the link is ready. */
struct http_opening {
	struct dns_lookup lookup;
	struct dial_address socket;
	struct dial dial;
	struct dial_wrapping wrapping;
	const struct dial_wrap *wrap;
	struct arena arena;
	struct buf connect; /* the CONNECT request */
	struct http_answer answer;
	struct http_answer_parser parser;
	uint64_t connect_ms;
};

struct http_link {
	struct list node;
	struct http_origin *origin;
	struct http_waiter *waiter; /* NULL while idle */
	struct http_opening *opening;
	struct stream *stream;
	struct timer timer; /* while idle; of a failure before anything was opened */
	enum link_state state;
	bool served;  /* has carried an answer */
	bool writing; /* CONNECT is on its way */
	int code;     /* why it closes, 0 when its task wants it so */
	struct err err;
};

/* The origin of a request; made if need be. proxy: NULL for none. */
struct http_origin *origin_get(struct http_client *client, const struct http_url *url,
			       const struct http_proxy *proxy, const struct http_fetch *fetch);
/* Gives waiter->task a link, now or later: task_link_ready(), or task_link_gone() from the loop.
 * To wait no longer list_remove() of the waiter's node is enough, and origin_check(). */
void origin_ask(struct http_origin *origin, struct http_waiter *waiter);
/* An origin without links and waiters goes. */
void origin_check(struct http_origin *origin);
void origin_close_idle(struct http_origin *origin);

/* The task is done with it, and it may serve another. */
void link_release(struct http_link *link);
/* Ends it; task_link_gone() follows if it has a task. Twice is fine. */
void link_close(struct http_link *link);
void link_read(struct http_link *link, bool on);

/* -- what a link asks of its task, in core/http_task -------------------------------------- */

enum task_phase {
	PHASE_WAIT,
	PHASE_RESOLVE,
	PHASE_CONNECT,
	PHASE_SEND,
	PHASE_HEADERS,
	PHASE_BODY,
	PHASES,
};

void task_phase(struct http_task *task, enum task_phase phase);
const struct http_fetch *task_fetch(const struct http_task *task);
/* All in order: the link is BUSY with the task. */
void task_link_ready(struct http_task *task, struct http_link *link);
/* code 0: the task has closed it. The link is freed after this. */
void task_link_gone(struct http_task *task, int code, const struct err *err);
/* Bytes; the end when n is 0; ERR_* when it is negative. */
void task_link_read(struct http_task *task, const char *p, ssize_t n);
void task_link_written(struct http_task *task, int status);

#endif
