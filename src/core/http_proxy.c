/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_proxy.h"

#include "core/dial.h"
#include "core/digest.h"
#include "core/mem.h"
#include "core/url.h"

#include <stdlib.h>

/* -- making ----------------------------------------------------------------------------- */

/* user[:password], percent-encoded, becomes "Basic …". Scratch memory is wiped. */
static int set_authorization(struct http_proxy *proxy, struct str userinfo, struct err *err)
{
	struct arena scratch = { 0 };
	struct str decoded, code;
	char *pair, *whole;
	size_t n = 0;
	int rc;

	rc = url_decode(&scratch, userinfo, &decoded);
	if (rc != 0) {
		arena_finish(&scratch);
		return err_set(err, ERR_INVALID, "its user or password has a bad escape");
	}
	pair = arena_strndup(&scratch, decoded.p, decoded.n);
	n = decoded.n;
	if (!memchr(pair, ':', n)) {
		pair = arena_printf(&scratch, "%s:", pair);
		n = strlen(pair);
	}
	code = base64_encode(&scratch, pair, n);
	whole = arena_printf(&scratch, "Basic %.*s", STR_ARG(code));
	secret_set(&proxy->authorization, str_of(whole));
	mem_wipe(pair, n);
	mem_wipe(whole, strlen(whole));
	mem_wipe((char *)(uintptr_t)code.p, code.n);
	if (decoded.p != userinfo.p)
		mem_wipe((char *)(uintptr_t)decoded.p, decoded.n);
	arena_finish(&scratch);
	return 0;
}

static int set(struct arena *arena, struct http_proxy *proxy, const char *text, struct err *err)
{
	struct str rest = str_of(text), authority, userinfo = { NULL, 0 };
	size_t n, i;
	int rc;

	if (!rest.n)
		return 0;
	if (rest.n >= 8 && str_ieq(str_make(rest.p, 8), STR("https://")))
		return err_set(err, ERR_UNSUPPORTED,
			       "a proxy that is spoken to with TLS is not supported");
	if (rest.n >= 7 && str_ieq(str_make(rest.p, 7), STR("http://")))
		rest = str_make(rest.p + 7, rest.n - 7);
	for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#'; n++)
		;
	authority = str_make(rest.p, n);
	for (i = authority.n; i > 0; i--) {
		if (authority.p[i - 1] != '@')
			continue;
		userinfo = str_make(authority.p, i - 1);
		authority = str_make(authority.p + i, authority.n - i);
		break;
	}
	rc = http_url_parse(arena, str_of(arena_printf(arena, "http://%.*s", STR_ARG(authority))),
			    &proxy->url, err);
	if (rc != 0)
		return rc;
	return userinfo.n ? set_authorization(proxy, userinfo, err) : 0;
}

int http_proxies_init(struct http_proxies *proxies, const char *http, const char *https,
		      const char *none, struct err *err)
{
	memset(proxies, 0, sizeof(*proxies));
	if (set(&proxies->arena, &proxies->http, http, err) != 0)
		return err_wrap(err, "the proxy for http");
	if (set(&proxies->arena, &proxies->https, https, err) != 0)
		return err_wrap(err, "the proxy for https");
	proxies->none = arena_str(&proxies->arena, none ? str_of(none) : STR(""));
	return 0;
}

static const char *env(const char *small, const char *capital)
{
	const char *value = getenv(small);

	return value && *value ? value : getenv(capital);
}

int http_proxies_from_env(struct http_proxies *proxies, struct err *err)
{
	return http_proxies_init(proxies, env("http_proxy", "HTTP_PROXY"),
				 env("https_proxy", "HTTPS_PROXY"), env("no_proxy", "NO_PROXY"),
				 err);
}

void http_proxies_finish(struct http_proxies *proxies)
{
	secret_finish(&proxies->http.authorization);
	secret_finish(&proxies->https.authorization);
	arena_finish(&proxies->arena);
}

/* -- choosing --------------------------------------------------------------------------- */

static size_t address_bytes(const struct dial_address *address, const unsigned char **bytes)
{
	if (address->to.any.sa_family == AF_INET) {
		*bytes = (const unsigned char *)&address->to.in.sin_addr;
		return 4;
	}
	*bytes = (const unsigned char *)&address->to.in6.sin6_addr;
	return 16;
}

static bool in_network(const struct dial_address *address, struct str number, uint64_t bits)
{
	struct dial_address network;
	const unsigned char *a, *b;
	size_t n = address_bytes(address, &a), whole = bits / 8;

	if (!dial_ip(number, 0, &network) || address_bytes(&network, &b) != n || bits > n * 8)
		return false;
	if (memcmp(a, b, whole) != 0)
		return false;
	return bits % 8 == 0 || ((a[whole] ^ b[whole]) >> (8 - bits % 8)) == 0;
}

static bool is_loopback(const struct dial_address *address)
{
	return in_network(address, STR("127.0.0.0"), 8) || in_network(address, STR("::1"), 128);
}

/* Cuts :port off an entry; false when it is for another port. */
static bool port_fits(struct str *entry, uint16_t port)
{
	struct dial_address address;
	size_t i = entry->n;
	uint64_t wanted;

	if (dial_ip(*entry, 0, &address))
		return true;
	while (i > 0 && entry->p[i - 1] >= '0' && entry->p[i - 1] <= '9')
		i--;
	if (i == entry->n || i == 0 || entry->p[i - 1] != ':' || memchr(entry->p, '/', entry->n))
		return true;
	if (!str_to_u64(str_make(entry->p + i, entry->n - i), &wanted) || wanted != port)
		return false;
	*entry = str_make(entry->p, i - 1);
	return true;
}

static bool entry_fits(struct str entry, const struct http_url *url,
		       const struct dial_address *address)
{
	struct str host = url->host, bits, number;
	uint64_t n;

	if (str_is(entry, "*"))
		return true;
	if (!entry.n || !port_fits(&entry, url->port))
		return false;
	if (entry.n > 2 && entry.p[0] == '[' && entry.p[entry.n - 1] == ']')
		entry = str_make(entry.p + 1, entry.n - 2);
	if (address) {
		number = str_cut(entry, '/', &bits);
		if (bits.p)
			return str_to_u64(bits, &n) && in_network(address, number, n);
		return in_network(address, entry, url->literal6 ? 128 : 32);
	}
	if (str_starts(entry, STR("*.")))
		entry = str_make(entry.p + 1, entry.n - 1);
	if (entry.n && entry.p[0] == '.')
		entry = str_make(entry.p + 1, entry.n - 1);
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!entry.n || host.n < entry.n)
		return false;
	return str_ieq(str_make(host.p + host.n - entry.n, entry.n), entry) &&
	       (host.n == entry.n || host.p[host.n - entry.n - 1] == '.');
}

const struct http_proxy *http_proxy_for(const struct http_proxies *proxies,
					const struct http_url *url)
{
	const struct http_proxy *proxy;
	struct dial_address address;
	struct str rest, entry;
	bool literal;

	if (!proxies)
		return NULL;
	proxy = url->https ? &proxies->https : &proxies->http;
	if (!proxy->url.host.n)
		return NULL;
	literal = dial_ip(url->host, 0, &address);
	if (literal ? is_loopback(&address)
		    : str_is(url->host, "localhost") || str_ends(url->host, STR(".localhost")))
		return NULL;
	for (rest = proxies->none; rest.n;) {
		entry = str_trim(str_cut(rest, ',', &rest));
		if (entry_fits(entry, url, literal ? &address : NULL))
			return NULL;
	}
	return proxy;
}
