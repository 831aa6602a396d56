/* core/http_proxy: which requests go through a proxy.
 *
 *   http, https  the proxy for URLs of that scheme: "http://[user:password@]host[:port]", where
 *                http:// may be left out; NULL or "" for none. Proxies that are spoken to with TLS
 *                are not supported.
 *   none         hosts that are reached directly, separated by commas: "example.com" and
 *                ".example.com" are that domain and all below it, "10.0.0.0/8" and "fd00::/8" the
 *                addresses in it (of URLs that name an address), "host:port" only that port, "*"
 *                everything. localhost and loopback addresses are always reached directly.
 * errors: ERR_INVALID, ERR_UNSUPPORTED; the text never holds user or password. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_PROXY_H
#define OSBD_CORE_HTTP_PROXY_H

#include "core/http_url.h"
#include "core/log.h"

struct http_proxy {
	struct http_url url;         /* host empty: none */
	struct secret authorization; /* "Basic …", empty without user */
};

struct http_proxies {
	struct arena arena;
	struct http_proxy http, https;
	struct str none;
};

/* Everything is copied. proxies needs http_proxies_finish() after errors, too. */
int http_proxies_init(struct http_proxies *proxies, const char *http, const char *https,
		      const char *none, struct err *err) MUST_CHECK;
/* From http_proxy, https_proxy and no_proxy, each also in capitals, which count less. */
int http_proxies_from_env(struct http_proxies *proxies, struct err *err) MUST_CHECK;
void http_proxies_finish(struct http_proxies *proxies); /* wipes; zeroes are fine */

/* NULL: directly. proxies may be NULL. */
const struct http_proxy *http_proxy_for(const struct http_proxies *proxies,
					const struct http_url *url);

#endif
