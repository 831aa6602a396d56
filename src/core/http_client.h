/* core/http_client: sends requests and keeps connections for the next ones.
 *
 * Connections are kept per origin: scheme, host, port, proxy, and what TLS demands and presents
 * (dial_wrap.id). An origin has at most .connections of them; requests beyond that wait in order.
 * One that has been idle for idle_ms is closed, as is one on which something comes unasked.
 * Names are resolved for each new connection. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_CLIENT_H
#define OSBD_CORE_HTTP_CLIENT_H

#include "core/dns.h"
#include "core/http_fetch.h"
#include "core/http_proxy.h"

struct http_client_config {
	struct dns *dns;
	const struct http_proxies *proxies; /* NULL: none; both outlive the client */
	size_t connections;                 /* per origin, 0: 32 */
	size_t idle;                        /* kept per origin, 0: 4 */
	uint64_t idle_ms;                   /* 0: 30 s */
};

struct http_client;

struct http_client *http_client_create(struct loop *loop, const struct http_client_config *config);
/* Every fetch must have ended. done runs once, from the loop, when all connections are closed and
 * the client is freed. */
void http_client_destroy(struct http_client *client, void (*done)(void *data), void *data);
/* Closes the connections that are idle: a certificate has changed, a token was withdrawn. */
void http_client_forget(struct http_client *client);

int http_fetch_start(struct http_client *client, struct http_fetch *fetch) MUST_CHECK;

#endif
