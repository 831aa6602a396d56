/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/reload.h"

#include "core/notify.h"

#include <inttypes.h>
#include <stdio.h>

void reload_init(struct reload *reload, struct setup *setup, struct broker *broker,
		 const char *path)
{
	*reload = (struct reload){ .setup = setup, .broker = broker, .path = path };
}

int reload_missing_plans(const struct generation *gen, const struct store_plan_use *use,
			 struct conf_errors *errors)
{
	int missing = 0;
	size_t i;

	for (i = 0; i < use->n_plans; i++) {
		struct str service = use->plans[i].service_id, plan = use->plans[i].plan_id;
		const struct offering *offering = catalog_offering(gen->catalog, service);

		if (offering && offering_plan(offering, plan))
			continue;
		conf_errors_add(errors, NULL, "services",
				"service \"%.*s\" with plan \"%.*s\" is not offered any more, but "
				"%" PRIu64 " instances have it",
				STR_ARG(service), STR_ARG(plan), use->plans[i].n);
		missing++;
	}
	return missing;
}

/* Names what has changed but waits for the next start. */
static void tell_changes(const struct log *log, const struct conf_key *rows,
			 const struct json *before, const struct json *after, const char *path)
{
	char name[128];

	for (; rows->name; rows++) {
		const struct json *a = json_get(before, rows->name);
		const struct json *b = json_get(after, rows->name);

		if (json_equal(a, b))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", path, path[0] ? "." : "", rows->name);
		if (!(rows->flags & CONF_RELOADABLE))
			log_warn(log, "reload: %s has changed: from the next start on", name);
		else if (rows->type == CONF_OBJECT && rows->rows)
			tell_changes(log, rows->rows, a, b, name);
	}
}

static void say_errors(struct reload *reload)
{
	size_t i;

	for (i = 0; i < reload->errors.n; i++)
		log_write(&reload->setup->log,
			  reload->errors.messages[i].warning ? LOG_WARN : LOG_ERROR, "reload: %s",
			  conf_errors_line(&reload->errors, i));
}

static void finish(struct reload *reload, bool done)
{
	const struct log *log = &reload->setup->log;

	say_errors(reload);
	if (done)
		log_info(log, "reload: the new configuration is in force");
	else
		log_error(log, "reload: nothing was changed, the old configuration stays");
	conf_errors_finish(&reload->errors);
	arena_finish(&reload->arena);
	notify_send("READY=1\nSTATUS=serving");
	if (reload->again) {
		reload->again = false;
		reload_start(reload);
	}
}

static void let_go(void *data)
{
	generation_unref(data);
}

static void take_over(struct reload *reload)
{
	struct setup *setup = reload->setup;
	struct generation *old = setup->gen, *next = reload->next;

	tell_changes(&setup->log, config_rows(), old->config->node, next->config->node, "");
	users_retire(old->users);
	setup_users(setup, next);
	log_sink_level(setup->sink, next->config->log.level);
	broker_reload(reload->broker, next);
	setup->gen = next;
	setup->config = next->config;
	reload->next = NULL;
	generation_start(next);
	generation_stop(old, let_go, old);
}

static void plans_read(struct call *call, int status)
{
	struct reload *reload = call->data;

	if (reload->stopping) { /* what would take it over may be gone */
		generation_unref(reload->next);
		reload->next = NULL;
		conf_errors_finish(&reload->errors);
		arena_finish(&reload->arena);
		return;
	}
	if (status < 0)
		log_error(&reload->setup->log, "reload: %s", err_str(status));
	if (status < 0 || reload_missing_plans(reload->next, &reload->use, &reload->errors)) {
		generation_unref(reload->next);
		reload->next = NULL;
		finish(reload, false);
		return;
	}
	take_over(reload);
	finish(reload, true);
}

void reload_start(struct reload *reload)
{
	struct setup *setup = reload->setup;

	if (reload->next) {
		reload->again = true;
		return;
	}
	log_info(&setup->log, "reload: reading %s", reload->path);
	notify_send("RELOADING=1");
	if (generation_read(reload->path, &reload->next, &reload->errors) < 0) {
		reload->next = NULL;
		finish(reload, false);
		return;
	}
	if (generation_open(reload->next, &setup->env, backend_types, &reload->errors) < 0) {
		generation_unref(reload->next);
		reload->next = NULL;
		finish(reload, false);
		return;
	}
	reload->use = (struct store_plan_use){
		.call = { .done = plans_read, .data = reload },
		.arena = &reload->arena,
	};
	store_plan_use(setup->store, &reload->use);
}

void reload_stop(struct reload *reload)
{
	reload->stopping = true;
}
