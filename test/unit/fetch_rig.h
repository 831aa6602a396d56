/* A loop, a resolver and an HTTP client, and fetches that wait in the test. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_FETCH_RIG_H
#define TEST_FETCH_RIG_H

#include "core/http_client.h"

#include "double.h"

struct rig {
	struct loop loop;
	struct dns *dns;
	struct http_client *client;
	bool destroyed;
};

struct asked {
	struct http_fetch fetch;
	struct arena arena;
	char url[2048];
	int dones, heads;
	bool done;
	int status;     /* of the call */
	struct buf got; /* by on_body */
};

static inline void rig_init(struct rig *rig, struct http_client_config config)
{
	struct dns_config dns = { .servers = "127.0.0.1:9", .try_ms = 100, .tries = 1 };
	struct err err;

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(loop_init(&rig->loop), 0);
	assert_int_equal(dns_create(&rig->loop, &dns, &rig->dns, &err), 0);
	config.dns = rig->dns;
	rig->client = http_client_create(&rig->loop, &config);
}

static inline void on_rig_destroyed(void *data)
{
	((struct rig *)data)->destroyed = true;
}

static inline void rig_finish(struct rig *rig)
{
	http_client_destroy(rig->client, on_rig_destroyed, rig);
	loop_run_until(&rig->loop, &rig->destroyed);
	dns_destroy(rig->dns);
	assert_int_equal(loop_finish(&rig->loop), 0);
}

static inline void on_asked_done(struct call *call, int status)
{
	struct asked *asked = container_of(call, struct asked, fetch.call);

	assert_false(asked->done);
	asked->dones++;
	asked->status = status;
	asked->done = true;
}

static inline void prepare(struct asked *asked, int port, const char *method, const char *target)
{
	memset(asked, 0, sizeof(*asked));
	snprintf(asked->url, sizeof(asked->url), "http://127.0.0.1:%d%s", port, target);
	asked->fetch.call.done = on_asked_done;
	asked->fetch.method = method;
	asked->fetch.url = str_of(asked->url);
	asked->fetch.arena = &asked->arena;
}

static inline void start(struct rig *rig, struct asked *asked)
{
	int rc = http_fetch_start(rig->client, &asked->fetch);

	if (rc != 0)
		print_message("%s\n", asked->fetch.err.text);
	assert_int_equal(rc, 0);
	assert_false(asked->done);
}

static inline void finish(struct rig *rig, struct asked *asked)
{
	loop_run_until(&rig->loop, &asked->done);
	assert_int_equal(asked->dones, 1);
	assert_int_equal(asked->status, asked->fetch.err.code);
	assert_int_equal(asked->status != 0, asked->fetch.err.text[0] != '\0');
	assert_null(asked->fetch.task);
}

static inline int run(struct rig *rig, struct asked *asked)
{
	start(rig, asked);
	finish(rig, asked);
	return asked->status;
}

static inline int get(struct rig *rig, struct asked *asked, int port, const char *target)
{
	prepare(asked, port, "GET", target);
	return run(rig, asked);
}

static inline void drop(struct asked *asked)
{
	arena_finish(&asked->arena);
	buf_finish(&asked->got);
}

static inline bool says(struct str text, const char *what)
{
	return text.n && memmem(text.p, text.n, what, strlen(what)) != NULL;
}

#endif
