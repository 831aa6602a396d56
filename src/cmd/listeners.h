/* cmd/listeners: where the daemon takes requests, with TLS or without. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CMD_LISTENERS_H
#define OSBD_CMD_LISTENERS_H

#include "cmd/cmd.h"
#include "cmd/ticket_keys.h"

#include "core/activation.h"
#include "core/http_server.h"
#include "tls/tls_reload.h"

struct listeners {
	struct activation activation;
	struct tls_budget budget;
	struct tls_tickets tickets;
	struct ticket_keys ticket_keys;
	struct tls_listener **tls;
	size_t n_tls;
	struct arena arena;
	bool opened;
};

/* Takes the sockets that were opened for us, and their variables out of the environment: before
 * anything else is opened or started. 0, or an exit code and a message on stderr. */
int listeners_inherit(struct listeners *listeners);
/* 0, or an exit code and a message on stderr; listeners_close() is due in both cases. */
int listeners_open(struct listeners *listeners, struct setup *setup, struct http_server *server);
/* Reads the certificates of all listeners again. */
void listeners_reload(struct listeners *listeners);
/* When no connection is left. Zeroes are fine. */
void listeners_close(struct listeners *listeners);

#endif
