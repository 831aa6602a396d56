/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/broker.h"

#include "osb/bindings.h"
#include "osb/expiry.h"
#include "osb/instances.h"
#include "osb/lastop.h"
#include "osb/update.h"

#include <unistd.h>

static void catalog_get(struct exchange *ex)
{
	const struct catalog *catalog = ex->gen->catalog;
	struct str known = http_request_header(ex->req, "if-none-match"), tag;

	http_set_header(ex->req, "ETag", str_of(catalog->etag));
	while (known.n) {
		tag = str_trim(str_cut(known, ',', &known));
		if (str_starts(tag, STR("W/")))
			tag = str_make(tag.p + 2, tag.n - 2);
		if (!str_is(tag, catalog->etag) && !str_is(tag, "*"))
			continue;
		metric_inc(&ex->broker->requests[3], 1);
		http_respond(ex->req, 304, STR(""));
		return;
	}
	metric_inc(&ex->broker->requests[2], 1);
	http_respond(ex->req, 200, catalog->body);
}

#define INSTANCE "v2", "service_instances", ":i"
#define BINDING INSTANCE, "service_bindings", ":b"

static const struct route routes[] = {
	{ "GET", { "v2", "catalog" }, catalog_get, false },
	{ "PUT", { INSTANCE }, instance_put, true },
	{ "GET", { INSTANCE }, instance_get, false },
	{ "PATCH", { INSTANCE }, instance_patch, true },
	{ "DELETE", { INSTANCE }, instance_delete, false },
	{ "GET", { INSTANCE, "last_operation" }, last_operation, false },
	{ "PUT", { BINDING }, binding_put, true },
	{ "GET", { BINDING }, binding_get, false },
	{ "DELETE", { BINDING }, binding_delete, false },
	{ "GET", { BINDING, "last_operation" }, last_operation, false },
	{ 0 },
};

void broker_handle(struct http_request *req, void *data)
{
	exchange_start(data, req, routes);
}

static uint32_t slots_of(const struct offering *offering)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (offering->config->max_running)
		return (uint32_t)offering->config->max_running;
	if (offering->backend->type->max_running == BACKEND_TWO_A_CORE)
		return 2 * (uint32_t)(cores > 0 ? cores : 1);
	if (offering->backend->type->max_running)
		return offering->backend->type->max_running;
	return 20;
}

static void add_metrics(struct broker *broker, struct metrics *metrics)
{
	static const char *const labels[] = { "",
					      "class=\"1xx\"",
					      "class=\"2xx\"",
					      "class=\"3xx\"",
					      "class=\"4xx\"",
					      "class=\"5xx\"" };
	size_t i;

	for (i = 1; metrics && i < ARRAY_LEN(labels); i++) {
		broker->requests[i] = (struct metric){ .kind = METRIC_COUNTER,
						       .name = "osbd_requests_total",
						       .help = "Requests answered, by status.",
						       .labels = labels[i] };
		metrics_add(metrics, &broker->requests[i]);
	}
}

static void apply(struct broker *broker)
{
	const struct catalog *catalog = broker->gen->catalog;
	const struct config_limits *limits = &broker->gen->config->limits;
	struct buf plans = { 0 };
	size_t i, k;

	broker->flows.gen = broker->gen;
	for (i = 0; i < catalog->n_offerings; i++) {
		const struct offering *offering = &catalog->offerings[i];

		journal_service(broker->journal, offering->name, slots_of(offering));
		for (k = 0; k < offering->n_plans; k++)
			buf_printf(&plans, "%.*s %.*s\n", STR_ARG(offering->id),
				   STR_ARG(offering->plans[k].id));
	}
	journal_offers(broker->journal, buf_str(&plans));
	buf_finish(&plans);
	journal_limits(broker->journal, (uint32_t)limits->max_running,
		       (uint32_t)limits->max_waiting, limits->keep_ended,
		       limits->keep_ended + limits->keep_gone);
}

/* Without a beat their supervisors make an end of them, whatever they do with SIGTERM. */
static void on_lost(void *data)
{
	struct child_host *children = data;

	children->muted = true;
	child_host_cancel_all(children);
}

static void on_found(void *data)
{
	struct child_host *children = data;

	children->muted = false;
}

struct broker *broker_create(const struct broker_options *options)
{
	struct broker *broker = mem_zalloc(sizeof(*broker));
	struct journal_options journal = {
		.loop = options->loop,
		.store = options->store,
		.log = options->log,
		.metrics = options->metrics,
		.user = &osb_journal_user,
		.data = &broker->flows,
		.lease = options->gen->config->limits.lease,
		.lost = options->children ? on_lost : NULL,
		.found = options->children ? on_found : NULL,
		.nodes_data = options->children,
	};

	broker->loop = options->loop;
	log_child(&broker->log, options->log);
	broker->gen = generation_ref(options->gen);
	broker->store = options->store;
	broker->flows = (struct flows){
		.loop = options->loop,
		.store = options->store,
		.log = &broker->log,
	};
	broker->journal = journal_create(&journal);
	apply(broker);
	broker->expiry = expiry_create(broker);
	add_metrics(broker, options->metrics);
	return broker;
}

void broker_reload(struct broker *broker, struct generation *gen)
{
	struct generation *old = broker->gen;

	broker->gen = generation_ref(gen);
	apply(broker);
	generation_unref(old);
}

void broker_start(struct broker *broker)
{
	journal_start(broker->journal);
	expiry_start(broker->expiry);
}

struct drain {
	struct broker *broker;
	uint64_t ms;
	void (*drained)(void *data);
	void *data;
};

static void expiry_stopped(void *data)
{
	struct drain *drain = data;
	struct drain d = *drain;

	mem_free(drain);
	journal_drain(d.broker->journal, d.ms, d.drained, d.data);
}

void broker_drain(struct broker *broker, uint64_t ms, void (*drained)(void *data), void *data)
{
	struct drain *drain = mem_alloc(sizeof(*drain));

	*drain = (struct drain){ broker, ms, drained, data };
	expiry_stop(broker->expiry, expiry_stopped, drain);
}

void broker_hurry(struct broker *broker)
{
	journal_hurry(broker->journal);
}

void broker_destroy(struct broker *broker)
{
	size_t i;

	if (!broker)
		return;
	expiry_destroy(broker->expiry);
	journal_destroy(broker->journal);
	for (i = 1; i < ARRAY_LEN(broker->requests); i++)
		metrics_remove(&broker->requests[i]);
	generation_unref(broker->gen);
	mem_free(broker);
}
