/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_reload.h"

#include "core/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum outcome { RELOADED, REFUSED, OUTCOMES };

/* How a file was when it was last read. */
struct seen {
	const char *path;
	struct timespec changed; /* ctime: of a new owner or mode mtime does not tell */
	off_t size;
	ino_t ino;
};

struct expiry {
	struct metric metric;
	struct tls_listener *listener;
	size_t pair;
	size_t warned; /* how many of the thresholds are behind us */
	bool early;    /* it was said that its time has not begun */
	char *labels;
};

struct tls_listener {
	struct tls_listener_options options;
	char *address;
	struct log log;
	struct tls_config *config; /* for new connections */
	struct seen *seen;
	size_t n_seen;
	struct expiry *expiries; /* one per pair */
	struct metric reloads[OUTCOMES];
	struct timer timer;
};

/* -- files that change ------------------------------------------------------------------ */

/* True when it is not as it was. */
static bool look(struct seen *seen)
{
	struct seen now = { .path = seen->path };
	struct stat st;
	bool same;

	if (stat(seen->path, &st) == 0) {
		now.changed = st.st_ctim;
		now.size = st.st_size;
		now.ino = st.st_ino;
	}
	same = now.changed.tv_sec == seen->changed.tv_sec &&
	       now.changed.tv_nsec == seen->changed.tv_nsec && now.size == seen->size &&
	       now.ino == seen->ino;
	*seen = now;
	return !same;
}

static bool look_at_all(struct tls_listener *listener)
{
	bool changed = false;
	size_t i;

	for (i = 0; i < listener->n_seen; i++)
		if (look(&listener->seen[i]))
			changed = true;
	return changed;
}

static void watch_files(struct tls_listener *listener)
{
	const struct tls_server_options *server = &listener->options.server;
	size_t i;

	listener->seen = mem_zalloc((2 * server->n_pairs + 1) * sizeof(*listener->seen));
	for (i = 0; i < server->n_pairs; i++) {
		listener->seen[listener->n_seen++].path = server->pairs[i].certificate;
		listener->seen[listener->n_seen++].path = server->pairs[i].key;
	}
	if (server->client_ca)
		listener->seen[listener->n_seen++].path = server->client_ca;
}

/* -- the end of certificates ------------------------------------------------------------ */

static double seconds_left(void *data)
{
	const struct expiry *expiry = data;
	const struct tls_listener *listener = expiry->listener;
	int64_t end = (int64_t)tls_config_not_after(listener->config, expiry->pair);
	int64_t left = (end - (int64_t)loop_wall(listener->options.loop)) / 1000;

	return (double)left;
}

static void warn_of_end(struct tls_listener *listener, struct expiry *expiry)
{
	static const int64_t days[] = { 30, 14, 7, 3, 1, 0 };
	const char *file = listener->options.server.pairs[expiry->pair].certificate;
	int64_t left = (int64_t)seconds_left(expiry);
	size_t behind = 0;

	while (behind < ARRAY_LEN(days) && left <= days[behind] * 86400)
		behind++;
	if (behind > expiry->warned && left <= 0)
		log_error(&listener->log, "certificate %s has expired", file);
	else if (behind > expiry->warned)
		log_warn(&listener->log,
			 "certificate %s expires in %" PRId64 " days and %" PRId64 " hours", file,
			 left / 86400, left / 3600 % 24);
	expiry->warned = behind;
	if (tls_config_not_before(listener->config, expiry->pair) <=
	    loop_wall(listener->options.loop))
		return;
	if (!expiry->early)
		log_warn(&listener->log, "certificate %s is not yet valid", file);
	expiry->early = true;
}

static void look_at_ends(struct tls_listener *listener)
{
	size_t i;

	for (i = 0; i < listener->options.server.n_pairs; i++)
		warn_of_end(listener, &listener->expiries[i]);
}

/* -- reading anew ----------------------------------------------------------------------- */

int tls_listener_reload(struct tls_listener *listener)
{
	struct tls_config *config;
	struct err err = { 0 };
	size_t i;
	int rc;

	look_at_all(listener);
	rc = tls_server_config(&listener->options.server, &config, &err);
	if (rc != 0) {
		metric_inc(&listener->reloads[REFUSED], 1);
		log_error(&listener->log, "the certificates stay as they were: %s", err.text);
		return rc;
	}
	tls_config_unref(listener->config);
	listener->config = config;
	metric_inc(&listener->reloads[RELOADED], 1);
	for (i = 0; i < listener->options.server.n_pairs; i++)
		listener->expiries[i].warned = listener->expiries[i].early = 0;
	log_info(&listener->log, "certificates read anew");
	look_at_ends(listener);
	return 0;
}

void tls_listener_check(struct tls_listener *listener)
{
	if (!look_at_all(listener) || tls_listener_reload(listener) != 0)
		look_at_ends(listener);
}

static void on_minute(struct timer *timer)
{
	struct tls_listener *listener = container_of(timer, struct tls_listener, timer);

	tls_listener_check(listener);
	timer_start(timer, listener->options.loop, TLS_CHECK_MS, on_minute);
}

/* -- life ------------------------------------------------------------------------------- */

static void add_metrics(struct tls_listener *listener)
{
	static const char *const outcomes[OUTCOMES] = { "done", "refused" };
	struct metrics *metrics = listener->options.metrics;
	size_t n = listener->options.server.n_pairs, i;

	for (i = 0; i < n + OUTCOMES; i++) {
		struct buf labels = { 0 };

		buf_puts(&labels, "listener=\"");
		metric_escape(&labels, str_of(listener->address));
		if (i < n) {
			struct expiry *expiry = &listener->expiries[i];

			buf_puts(&labels, "\",certificate=\"");
			metric_escape(&labels,
				      str_of(listener->options.server.pairs[i].certificate));
			buf_puts(&labels, "\"");
			expiry->labels = labels.p;
			expiry->metric = (struct metric){
				.kind = METRIC_GAUGE,
				.name = "osbd_tls_certificate_expiry_seconds",
				.help = "Time until the certificate expires.",
				.labels = expiry->labels,
				.read = seconds_left,
				.data = expiry,
			};
		} else {
			buf_printf(&labels, "\",result=\"%s\"", outcomes[i - n]);
			listener->reloads[i - n] = (struct metric){
				.kind = METRIC_COUNTER,
				.name = "osbd_tls_reloads_total",
				.help = "Times the certificates were read anew.",
				.labels = labels.p,
			};
		}
		if (metrics)
			metrics_add(metrics, i < n ? &listener->expiries[i].metric
						   : &listener->reloads[i - n]);
	}
}

int tls_listener_create(const struct tls_listener_options *options, struct tls_listener **out,
			struct err *err)
{
	struct tls_listener *listener;
	struct tls_config *config;
	int rc = tls_server_config(&options->server, &config, err);
	size_t i;

	*out = NULL;
	if (rc != 0)
		return rc;
	listener = mem_zalloc(sizeof(*listener));
	listener->options = *options;
	listener->address = mem_strdup(options->address);
	listener->config = config;
	if (options->log)
		log_child(&listener->log, options->log);
	log_field(&listener->log, "listener", str_of(listener->address));
	listener->expiries = mem_zalloc(options->server.n_pairs * sizeof(*listener->expiries));
	for (i = 0; i < options->server.n_pairs; i++) {
		listener->expiries[i].listener = listener;
		listener->expiries[i].pair = i;
	}
	watch_files(listener);
	look_at_all(listener);
	add_metrics(listener);
	look_at_ends(listener);
	timer_start(&listener->timer, options->loop, TLS_CHECK_MS, on_minute);
	*out = listener;
	return 0;
}

void tls_listener_destroy(struct tls_listener *listener)
{
	size_t i;

	if (!listener)
		return;
	timer_stop(&listener->timer);
	for (i = 0; i < listener->options.server.n_pairs; i++) {
		metrics_remove(&listener->expiries[i].metric);
		mem_free(listener->expiries[i].labels);
	}
	for (i = 0; i < OUTCOMES; i++) {
		metrics_remove(&listener->reloads[i]);
		mem_free((char *)(uintptr_t)listener->reloads[i].labels);
	}
	tls_config_unref(listener->config);
	mem_free(listener->expiries);
	mem_free(listener->seen);
	mem_free(listener->address);
	mem_free(listener);
}

struct stream *tls_listener_wrap(void *data, struct stream *under, const char *peer)
{
	struct tls_listener *listener = data;
	struct tls_stream_options options = { .loop = listener->options.loop,
					      .budget = listener->options.budget,
					      .config = listener->config,
					      .handshake_ms = listener->options.handshake_ms,
					      .log = listener->options.log,
					      .peer = peer };

	return tls_stream_create(&options, under);
}
