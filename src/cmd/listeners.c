/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/listeners.h"

#include "core/mem.h"
#include "osb/listen_tls.h"

#include <stdio.h>

static int open_tls(struct listeners *listeners, struct setup *setup,
		    const struct config_listen *config, struct http_listen *listen, struct err *err)
{
	struct tls_listener_options options = { .loop = &setup->loop,
						.log = &setup->log,
						.metrics = &setup->metrics,
						.budget = &listeners->budget,
						.address = config->address.p };
	struct tls_listener *tls;
	int rc;

	listen_tls_options(config->tls, &listeners->arena, &listeners->tickets, &options.server);
	rc = tls_listener_create(&options, &tls, err);
	if (rc != 0)
		return rc;
	listeners->tls[listeners->n_tls++] = tls;
	listen->wrap = tls_listener_wrap;
	listen->wrap_data = tls;
	return 0;
}

int listeners_open(struct listeners *listeners, struct setup *setup, struct http_server *server)
{
	const struct config *config = setup->config;
	bool tls = false;
	char bound[256];
	struct err err;
	size_t i;

	for (i = 0; i < config->n_listen; i++)
		tls = tls || config->listen[i].tls;
	tls_budget_init(&listeners->budget, &setup->loop, 0, 0, tls ? &setup->metrics : NULL);
	tls_tickets_init(&listeners->tickets, &setup->loop);
	listeners->tls = mem_zalloc(config->n_listen * sizeof(*listeners->tls));
	listeners->opened = true;
	for (i = 0; i < config->n_listen; i++) {
		const struct config_listen *l = &config->listen[i];
		struct http_listen listen = { .address = l->address.p, .prefix = l->prefix.p };

		if ((l->tls && open_tls(listeners, setup, l, &listen, &err) < 0) ||
		    http_server_listen_on(server, &listen, bound, sizeof(bound), &err) < 0) {
			fprintf(stderr, "osbd: listen: %s\n", err.text);
			return EXIT_FAILED;
		}
		log_info(&setup->log, "listening on %s, path %s%s", bound, l->prefix.p,
			 l->tls ? ", with TLS" : "");
	}
	return 0;
}

void listeners_reload(struct listeners *listeners)
{
	size_t i;

	for (i = 0; i < listeners->n_tls; i++)
		tls_listener_reload(listeners->tls[i]);
}

void listeners_close(struct listeners *listeners)
{
	size_t i;

	if (!listeners->opened)
		return;
	for (i = 0; i < listeners->n_tls; i++)
		tls_listener_destroy(listeners->tls[i]);
	tls_budget_finish(&listeners->budget);
	tls_tickets_finish(&listeners->tickets);
	mem_free(listeners->tls);
	arena_finish(&listeners->arena);
	listeners->opened = false;
}
