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

int listeners_inherit(struct listeners *listeners)
{
	struct err err;

	if (activation_take(&listeners->activation, &err) == 0)
		return 0;
	fprintf(stderr, "osbd: %s\n", err.text);
	return EXIT_FAILED;
}

static int open_one(const struct config_listen *config, struct setup *setup,
		    struct http_server *server, const struct http_listen *listen, struct err *err)
{
	char bound[256];
	int rc = http_server_listen_on(server, listen, bound, sizeof(bound), err);

	if (rc != 0)
		return rc;
	log_info(&setup->log, "listening on %s, path %s%s%s", bound, listen->prefix,
		 config->proxy_protocol ? ", behind proxies" : "", config->tls ? ", with TLS" : "");
	return 0;
}

/* All the sockets of that name, of which there must be one. */
static int open_given(struct activation *activation, const struct config_listen *config,
		      struct setup *setup, struct http_server *server,
		      const struct http_listen *listen, struct err *err)
{
	struct str name = str_make(config->address.p + 8, config->address.n - 8);
	struct activation_socket *socket = activation_next(activation, name);
	struct http_listen given = *listen;
	char address[24];
	int rc;

	if (!socket)
		return err_set(err, ERR_NOENT, "%s: no socket of that name was passed to osbd",
			       config->address.p);
	given.address = address;
	for (; socket; socket = activation_next(activation, name)) {
		snprintf(address, sizeof(address), "fd:%d", socket->fd);
		rc = open_one(config, setup, server, &given, err);
		if (rc != 0)
			return err_wrap(err, "%s", config->address.p);
		socket->taken = true;
	}
	return 0;
}

static int open_listener(struct listeners *listeners, struct setup *setup,
			 struct http_server *server, const struct config_listen *config,
			 struct err *err)
{
	struct http_listen listen = {
		.address = config->address.p,
		.prefix = config->prefix.p,
		.reuse_port = config->reuse_port,
		.proxy_protocol = config->proxy_protocol == CONFIG_PROXY_REQUIRED,
		.forwarded = config->forwarded,
		.trusted = { config->trusted, config->n_trusted },
	};
	int rc = config->tls ? open_tls(listeners, setup, config, &listen, err) : 0;

	if (rc != 0)
		return rc;
	if (str_starts(config->address, STR("systemd:")))
		return open_given(&listeners->activation, config, setup, server, &listen, err);
	return open_one(config, setup, server, &listen, err);
}

/* Nobody would ever accept what comes there. */
static void drop_others(struct activation *activation, const struct log *log)
{
	size_t i;

	for (i = 0; i < activation->n; i++)
		if (!activation->sockets[i].taken)
			log_warn(log,
				 "a socket named %s was passed, but no listener has the "
				 "address systemd:%s: it is closed",
				 activation->sockets[i].name, activation->sockets[i].name);
	activation_finish(activation);
}

int listeners_open(struct listeners *listeners, struct setup *setup, struct http_server *server)
{
	const struct config *config = setup->config;
	bool tls = false;
	struct err err;
	size_t i;

	for (i = 0; i < config->n_listen; i++)
		tls = tls || config->listen[i].tls;
	tls_budget_init(&listeners->budget, &setup->loop, 0, 0, tls ? &setup->metrics : NULL);
	tls_tickets_init(&listeners->tickets, &setup->loop);
	if (tls) {
		listeners->ticket_keys = (struct ticket_keys){
			.store = setup->store,
			.tickets = &listeners->tickets,
			.log = &setup->log,
			.rotate = config->limits.ticket_rotation,
		};
		ticket_keys_start(&listeners->ticket_keys);
	}
	listeners->tls = mem_zalloc(config->n_listen * sizeof(*listeners->tls));
	listeners->opened = true;
	for (i = 0; i < config->n_listen; i++) {
		if (open_listener(listeners, setup, server, &config->listen[i], &err) < 0) {
			fprintf(stderr, "osbd: listen: %s\n", err.text);
			return EXIT_FAILED;
		}
	}
	drop_others(&listeners->activation, &setup->log);
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

	activation_finish(&listeners->activation);
	if (!listeners->opened)
		return;
	ticket_keys_stop(&listeners->ticket_keys);
	for (i = 0; i < listeners->n_tls; i++)
		tls_listener_destroy(listeners->tls[i]);
	tls_budget_finish(&listeners->budget);
	tls_tickets_finish(&listeners->tickets);
	mem_free(listeners->tls);
	arena_finish(&listeners->arena);
	listeners->opened = false;
}
