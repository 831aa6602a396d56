/* osbd serve: the daemon.
 *
 * The way up: configuration, catalog, store; plans in use must all be offered; then listeners, and
 * the journal takes up what a predecessor left.
 *
 * The way down, on SIGTERM or SIGINT: stop accepting; requests that were accepted get their
 * answers; running operations end the step they are in; what does not within limits.drain is
 * cancelled, requests that wait for it are told so, connections that are in the middle of a request
 * or do not read their answer are closed, and all that is unfinished is resumed at the next start.
 * A second signal does not wait. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/listeners.h"
#include "cmd/reload.h"

#include "core/notify.h"
#include "osb/broker.h"
#include "web/admin.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOG_FLUSH_EVERY 100 /* ms, while lines wait for their descriptor */
#define LAST_WORDS 500      /* ms, behind limits.drain: for answers that are on their way */

struct daemon {
	struct setup setup;
	const char *path; /* of the configuration */
	struct broker *broker;
	struct http_server *server;
	struct listeners listeners;
	struct admin *admin;
	uv_signal_t term, intr, hup;
	struct reload reload;
	struct timer linger, hurry, flush, watchdog;
	struct loop_hook lines; /* behind the store's: what its answers log is written with them */
	bool started; /* until then start() is at work, and runs the loop while it waits */
	int early;    /* the signal to stop that came before */
	bool again;   /* as did one to read the configuration anew */
	bool draining, hurried, server_drained, broker_drained, broker_draining, server_gone;
};

/* -- the way down ------------------------------------------------------------------------- */

static void signal_closed(uv_handle_t *handle)
{
	(void)handle;
}

static void admin_gone(void *data)
{
	struct daemon *d = data;

	d->server_gone = true;
	timer_stop(&d->flush);
	timer_stop(&d->watchdog);
	timer_stop(&d->hurry);
	uv_close((uv_handle_t *)&d->term, signal_closed);
	uv_close((uv_handle_t *)&d->intr, signal_closed);
	uv_close((uv_handle_t *)&d->hup, signal_closed);
	loop_stop(&d->setup.loop);
}

static void server_gone(void *data)
{
	struct daemon *d = data;

	admin_destroy(d->admin, admin_gone, d);
}

static void down_if_drained(struct daemon *d)
{
	if (d->server_drained && d->broker_drained && d->server) {
		struct http_server *server = d->server;

		d->server = NULL;
		http_server_destroy(server, server_gone, d);
	}
}

static void on_last_words(struct timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, hurry);

	d->server_drained = true; /* as far as it gets: destroying it closes what is left */
	down_if_drained(d);
}

static void broker_drained(void *data)
{
	struct daemon *d = data;

	d->broker_drained = true;
	if (d->hurried && !d->server_drained)
		timer_start(&d->hurry, &d->setup.loop, LAST_WORDS, on_last_words);
	down_if_drained(d);
}

static void drain_broker(struct daemon *d, uint64_t ms)
{
	if (d->broker_draining)
		return;
	d->broker_draining = true;
	broker_drain(d->broker, ms, broker_drained, d);
}

static void server_drained(void *data)
{
	struct daemon *d = data;
	uint64_t now = loop_now(&d->setup.loop);

	d->server_drained = true;
	drain_broker(d, d->hurry.due > now && timer_running(&d->hurry) ? d->hurry.due - now : 0);
	down_if_drained(d);
}

static void hurry(struct daemon *d)
{
	if (d->hurried)
		return;
	d->hurried = true;
	timer_stop(&d->hurry);
	broker_hurry(d->broker);
	drain_broker(d, 0);
	if (d->broker_drained)
		broker_drained(d);
}

static void on_hurry(struct timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, hurry);

	log_warn(&d->setup.log, "limits.drain is over; what still runs is resumed later");
	hurry(d);
}

static void on_linger(struct timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, linger);

	timer_start(&d->hurry, &d->setup.loop, d->setup.config->limits.drain, on_hurry);
	http_server_drain(d->server, server_drained, d);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct daemon *d = handle->data;

	if (!d->started) {
		d->early = number;
		return;
	}
	if (d->draining) {
		log_warn(&d->setup.log, "%s again: stopping at once", strsignal(number));
		if (timer_running(&d->linger)) {
			timer_stop(&d->linger);
			on_linger(&d->linger);
		}
		hurry(d);
		return;
	}
	d->draining = true;
	reload_stop(&d->reload);
	admin_draining(d->admin);
	notify_send("STOPPING=1");
	log_info(&d->setup.log, "%s: draining, for at most %" PRIu64 " s", strsignal(number),
		 d->setup.config->limits.drain / 1000);
	if (d->setup.config->limits.linger)
		timer_start(&d->linger, &d->setup.loop, d->setup.config->limits.linger, on_linger);
	else
		on_linger(&d->linger);
}

static void on_hup(uv_signal_t *handle, int number)
{
	struct daemon *d = handle->data;

	(void)number;
	d->again = !d->started;
	if (d->draining || d->again)
		return;
	listeners_reload(&d->listeners);
	reload_start(&d->reload);
}

/* -- the way up --------------------------------------------------------------------------- */

static void on_flush(struct timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, flush);

	if (log_sink_pending(d->setup.sink))
		log_sink_flush(d->setup.sink);
	timer_start(timer, &d->setup.loop,
		    log_sink_pending(d->setup.sink) ? LOG_FLUSH_EVERY : SEC(5), on_flush);
}

static void write_lines(struct loop_hook *hook)
{
	struct daemon *d = container_of(hook, struct daemon, lines);

	if (!log_sink_pending(d->setup.sink) || log_sink_flush(d->setup.sink) == 0)
		return;
	if (d->flush.due > loop_now(&d->setup.loop) + LOG_FLUSH_EVERY)
		timer_start(&d->flush, &d->setup.loop, LOG_FLUSH_EVERY, on_flush);
}

/* Secrets are in this process: no core file, and no debugger of another user. */
static void keep_to_yourself(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

/* As many connections and children as the system lets us have. */
static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

struct plans_wait {
	struct store_plan_use use;
	bool done;
	int status;
};

static void plans_read(struct call *call, int status)
{
	struct plans_wait *wait = container_of(call, struct plans_wait, use.call);

	wait->status = status;
	wait->done = true;
}

static int check_plans(struct setup *setup)
{
	struct plans_wait wait = { 0 };
	int missing;

	wait.use.call.done = plans_read;
	wait.use.arena = &setup->arena;
	store_plan_use(setup->store, &wait.use);
	loop_run_until(&setup->loop, &wait.done);
	if (wait.status < 0) {
		fprintf(stderr, "osbd: store: %s\n", err_str(wait.status));
		return EXIT_FAILED;
	}
	missing = reload_missing_plans(setup->gen, &wait.use, &setup->errors);
	setup_print_errors(setup);
	return missing ? EXIT_CONFIG : 0;
}

static int listen_all(struct daemon *d)
{
	const struct config *config = d->setup.config;
	struct err err;
	int rc = listeners_open(&d->listeners, &d->setup, d->server);

	if (rc != 0)
		return rc;
	if (admin_listen(d->admin, &config->admin, &err) < 0) {
		fprintf(stderr, "osbd: %s\n", err.text);
		return EXIT_FAILED;
	}
	return 0;
}

static int start(struct daemon *d)
{
	struct setup *s = &d->setup;
	const struct config_limits *limits = &s->config->limits;
	struct http_limits http = {
		.target = limits->target,
		.headers = limits->headers,
		.body = limits->body,
		.connections = (size_t)limits->connections,
		.header_ms = limits->header_timeout,
		.body_ms = limits->body_timeout,
		.idle_ms = limits->idle_timeout,
		.write_ms = limits->write_timeout,
	};
	struct broker_options options;

	setup_users(s, s->gen);
	options = (struct broker_options){
		.loop = &s->loop,
		.log = &s->log,
		.metrics = &s->metrics,
		.gen = s->gen,
		.store = s->store,
		.children = &s->children,
	};
	d->broker = broker_create(&options);
	d->server =
		http_server_create(&s->loop, &http, &s->log, &s->metrics, broker_handle, d->broker);
	d->admin = admin_create(&(struct admin_options){ &s->loop, &s->log, &s->metrics, d->broker,
							 s->store, &s->children });
	reload_init(&d->reload, s, d->broker, d->path);
	uv_signal_init(&s->loop.uv, &d->term);
	uv_signal_init(&s->loop.uv, &d->intr);
	uv_signal_init(&s->loop.uv, &d->hup);
	d->term.data = d->intr.data = d->hup.data = d;
	uv_signal_start(&d->term, on_signal, SIGTERM);
	uv_signal_start(&d->intr, on_signal, SIGINT);
	uv_signal_start(&d->hup, on_hup, SIGHUP);
	broker_start(d->broker);
	generation_start(s->gen);
	on_flush(&d->flush);
	d->lines.end_of_turn = write_lines;
	loop_hook(&s->loop, &d->lines);
	log_sink_gather(s->sink);
	return listen_all(d);
}

static void started(struct daemon *d)
{
	d->started = true;
	if (d->early) {
		on_signal(&d->term, d->early);
		return;
	}
	notify_send("READY=1\nSTATUS=serving");
	if (d->again)
		on_hup(&d->hup, SIGHUP);
}

static void go_down_now(struct daemon *d)
{
	d->started = true;
	d->draining = true;
	reload_stop(&d->reload);
	http_server_drain(d->server, server_drained, d);
	hurry(d);
}

static int serve(const char *config, int argc, char **argv)
{
	struct daemon d;
	int rc, end;

	(void)argc;
	(void)argv;
	memset(&d, 0, sizeof(d));
	d.path = config;
	keep_to_yourself();
	raise_files();
	rc = listeners_inherit(&d.listeners);
	if (rc != 0)
		return rc;
	rc = setup_config(&d.setup, config);
	if (rc == 0)
		rc = setup_catalog(&d.setup);
	if (rc == 0)
		rc = setup_store(&d.setup);
	if (rc == 0)
		rc = check_plans(&d.setup);
	if (rc == 0) {
		rc = start(&d);
		if (rc != 0)
			go_down_now(&d);
		else
			started(&d);
		notify_watchdog_start(&d.watchdog, &d.setup.loop);
		loop_run_until(&d.setup.loop, &d.server_gone);
		loop_unhook(&d.lines);
		listeners_close(&d.listeners);
		broker_destroy(d.broker);
		if (rc == 0)
			log_info(&d.setup.log, "stopped");
	}
	listeners_close(
		&d.listeners); /* sockets that were passed, when it did not come to serving */
	end = setup_finish(&d.setup);
	return rc ? rc : end;
}

const struct command command_serve = {
	.name = "serve",
	.synopsis = "-c FILE",
	.summary = "run the broker",
	.help = "Serves the Open Service Broker API as FILE says, until SIGTERM or SIGINT. Then "
		"it\n"
		"stops accepting, answers what it has accepted, lets running operations end the\n"
		"step they are in (at most limits.drain), and exits; what is unfinished is "
		"resumed\n"
		"at the next start. A second signal does not wait.\n"
		"SIGHUP reads FILE anew, and the certificates: a configuration with errors, or "
		"without a plan that is "
		"in\n"
		"use, changes nothing, and the log says why.\n"
		"\n"
		"The log goes to standard error, a line each.\n",
	.needs_config = true,
	.run = serve,
};
