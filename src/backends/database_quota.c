/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/database_quota.h"

static void look(struct database_quota *quota);

static void on_timer(struct timer *timer)
{
	look(container_of(timer, struct database_quota, timer));
}

static void one_stopped(struct database *database)
{
	if (--database->n_looking == 0)
		database->stopped(database->stopped_data);
}

static void tell(struct database_quota *quota, int status)
{
	const struct log *log = &quota->database->base.log;

	if (status < 0 && !quota->away)
		log_warn(log, "server %.*s: quotas are not looked after: %s",
			 STR_ARG(quota->server->name), quota->err->text);
	else if (status == 0 && quota->away)
		log_info(log, "server %.*s: quotas are looked after again",
			 STR_ARG(quota->server->name));
	quota->away = status < 0;
}

static void looked(struct call *call, int status)
{
	struct database_quota *quota = call->data;

	quota->running = false;
	if (quota->stopping) {
		one_stopped(quota->database);
		return;
	}
	tell(quota, status);
	timer_start(&quota->timer, quota->database->base.env->loop,
		    quota->database->config.quota_every, on_timer);
}

static void look(struct database_quota *quota)
{
	quota->running = true;
	quota->call->done = looked;
	quota->call->data = quota;
	quota->look(quota);
}

void database_start(struct backend *backend)
{
	struct database *database = container_of(backend, struct database, base);
	size_t i;

	database_show(database);
	for (i = 0; i < database->config.n_servers; i++)
		timer_start(&database->quotas[i]->timer, backend->env->loop, 0, on_timer);
}

void database_stop(struct backend *backend, void (*stopped)(void *data), void *data)
{
	struct database *database = container_of(backend, struct database, base);
	size_t i;

	database_hide(database);
	database->stopped = stopped;
	database->stopped_data = data;
	database->n_looking = 1; /* this very function */
	for (i = 0; i < database->config.n_servers; i++) {
		struct database_quota *quota = database->quotas[i];

		timer_stop(&quota->timer);
		quota->stopping = true;
		if (!quota->running)
			continue;
		database->n_looking++;
		call_cancel(quota->call);
	}
	one_stopped(database);
}

void database_quota_say(const struct database_quota *quota, struct str name, struct str used,
			struct str storage, bool full)
{
	log_write(&quota->database->base.log, full ? LOG_WARN : LOG_INFO,
		  "server %.*s: database %.*s holds %.*s bytes of %.*s: it %s",
		  STR_ARG(quota->server->name), STR_ARG(name), STR_ARG(used), STR_ARG(storage),
		  full ? "cannot be written to any more" : "can be written to again");
}
