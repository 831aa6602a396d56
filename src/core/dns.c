/* A channel is one c-ares channel: one uv_poll per socket that c-ares names, one timer for the
 * earliest of its timeouts. A query is one question to a channel. It outlives a look-up that was
 * canceled, and ends in on_answer(), which c-ares may call before ares_getaddrinfo() returns.
 *
 * Inside a callback of c-ares nothing is destroyed or canceled, and no code of others runs: ends
 * are told soon, and an old channel goes soon. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dns.h"

#include "core/mem.h"

#include <ares.h>
#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>

struct dns_channel {
	struct dns *dns;
	ares_channel ares;
	struct timer timer;
	struct list sockets; /* struct dns_socket.node */
	struct list node;    /* in dns->old */
	size_t n_queries;
	struct soon soon;
	bool retired;
};

struct dns_socket {
	struct list node;
	struct dns_channel *channel;
	uv_poll_t poll;
	ares_socket_t fd;
};

struct dns_query {
	struct dns_channel *channel;
	struct dns_lookup *lookup; /* NULL: canceled */
};

struct dns {
	struct loop *loop;
	char *resolv_conf, *servers;
	int try_ms, tries;
	struct dns_channel *channel;
	struct list old; /* struct dns_channel.node, with queries under way */
	uint64_t looked; /* loop_now() of the last look at resolv.conf */
	struct stat seen;
	bool exists;
};

/* -- sockets and time ------------------------------------------------------------------- */

static void on_late(struct timer *timer);

static void set_timer(struct dns_channel *channel)
{
	struct timeval most = { 3600, 0 }, tv, *next = ares_timeout(channel->ares, &most, &tv);

	timer_stop(&channel->timer);
	if (!channel->n_queries || !next)
		return;
	timer_start(&channel->timer, channel->dns->loop,
		    (uint64_t)next->tv_sec * 1000 + (uint64_t)(next->tv_usec + 999) / 1000,
		    on_late);
}

static void on_late(struct timer *timer)
{
	struct dns_channel *channel = container_of(timer, struct dns_channel, timer);

	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(channel);
}

static void on_pollable(uv_poll_t *poll, int status, int events)
{
	struct dns_socket *socket = poll->data;
	struct dns_channel *channel = socket->channel;
	ares_socket_t fd = socket->fd;

	/* an error shows when c-ares reads */
	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	ares_process_fd(channel->ares, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
			events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
	set_timer(channel);
}

static void on_poll_closed(uv_handle_t *handle)
{
	mem_free(handle->data);
}

static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *channel = data;
	struct dns_socket *socket = NULL;
	struct list *pos, *tmp;

	list_each(pos, tmp, &channel->sockets) {
		if (container_of(pos, struct dns_socket, node)->fd == fd)
			socket = container_of(pos, struct dns_socket, node);
	}
	if (!readable && !writable) {
		if (!socket)
			return;
		list_remove(&socket->node);
		uv_close((uv_handle_t *)&socket->poll, on_poll_closed);
		return;
	}
	if (!socket) {
		socket = mem_zalloc(sizeof(*socket));
		socket->channel = channel;
		socket->fd = fd;
		if (uv_poll_init(&channel->dns->loop->uv, &socket->poll, fd) != 0) {
			mem_free(socket); /* the query runs into its timeout */
			return;
		}
		socket->poll.data = socket;
		list_append(&channel->sockets, &socket->node);
	}
	uv_poll_start(&socket->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
		      on_pollable);
}

/* -- channels --------------------------------------------------------------------------- */

static void channel_destroy(struct dns_channel *channel)
{
	ares_destroy(channel->ares);
	assert(list_empty(&channel->sockets));
	timer_stop(&channel->timer);
	list_remove(&channel->node);
	list_remove(&channel->soon.node);
	mem_free(channel);
}

static void on_unused(struct soon *soon)
{
	channel_destroy(container_of(soon, struct dns_channel, soon));
}

static int channel_create(struct dns *dns, struct dns_channel **out, struct err *err)
{
	struct dns_channel *channel = mem_zalloc(sizeof(*channel));
	struct ares_options options = { 0 };
	int mask = ARES_OPT_SOCK_STATE_CB, rc;

	channel->dns = dns;
	channel->soon.run = on_unused;
	list_init(&channel->sockets);
	options.sock_state_cb = on_socket;
	options.sock_state_cb_data = channel;
	if (dns->resolv_conf) {
		options.resolvconf_path = dns->resolv_conf;
		mask |= ARES_OPT_RESOLVCONF;
	}
	if (dns->try_ms) {
		options.timeout = dns->try_ms;
		mask |= ARES_OPT_TIMEOUTMS;
	}
	if (dns->tries) {
		options.tries = dns->tries;
		mask |= ARES_OPT_TRIES;
	}
	rc = ares_init_options(&channel->ares, &options, mask);
	if (rc == ARES_SUCCESS && dns->servers) {
		rc = ares_set_servers_ports_csv(channel->ares, dns->servers);
		if (rc != ARES_SUCCESS)
			ares_destroy(channel->ares);
	}
	if (rc != ARES_SUCCESS) {
		mem_free(channel);
		return err_set(err, ERR_IO, "name resolution: %s", ares_strerror(rc));
	}
	*out = channel;
	return 0;
}

/* Called soon, or when no query is left. */
static void channel_retire(struct dns_channel *channel)
{
	channel->retired = true;
	list_append(&channel->dns->old, &channel->node);
	if (!channel->n_queries)
		loop_soon(channel->dns->loop, &channel->soon);
}

static bool file_changed(struct dns *dns)
{
	struct stat now = { 0 };
	bool exists = stat(dns->resolv_conf ? dns->resolv_conf : "/etc/resolv.conf", &now) == 0;
	bool changed = exists != dns->exists || now.st_ino != dns->seen.st_ino ||
		       now.st_size != dns->seen.st_size ||
		       now.st_mtim.tv_sec != dns->seen.st_mtim.tv_sec ||
		       now.st_mtim.tv_nsec != dns->seen.st_mtim.tv_nsec;

	dns->seen = now;
	dns->exists = exists;
	return changed;
}

/* A new channel when the file has changed; should c-ares not take it the old one stays. */
static void look(struct dns *dns)
{
	struct dns_channel *fresh;

	if (loop_now(dns->loop) - dns->looked < DNS_LOOK_MS)
		return;
	dns->looked = loop_now(dns->loop);
	if (!file_changed(dns) || channel_create(dns, &fresh, NULL) != 0)
		return;
	channel_retire(dns->channel);
	dns->channel = fresh;
}

int dns_create(struct loop *loop, const struct dns_config *config, struct dns **out,
	       struct err *err)
{
	struct dns *dns;
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	if (rc != ARES_SUCCESS)
		return err_set(err, ERR_IO, "name resolution: %s", ares_strerror(rc));
	dns = mem_zalloc(sizeof(*dns));
	dns->loop = loop;
	dns->resolv_conf = config->resolv_conf ? mem_strdup(config->resolv_conf) : NULL;
	dns->servers = config->servers ? mem_strdup(config->servers) : NULL;
	dns->try_ms = config->try_ms;
	dns->tries = config->tries;
	list_init(&dns->old);
	dns->looked = loop_now(loop);
	file_changed(dns);
	rc = channel_create(dns, &dns->channel, err);
	if (rc != 0) {
		dns_destroy(dns);
		return rc;
	}
	*out = dns;
	return 0;
}

void dns_destroy(struct dns *dns)
{
	struct list *pos, *tmp;

	if (!dns)
		return;
	list_each(pos, tmp, &dns->old)
		channel_destroy(container_of(pos, struct dns_channel, node));
	if (dns->channel)
		channel_destroy(dns->channel);
	ares_library_cleanup();
	mem_free(dns->resolv_conf);
	mem_free(dns->servers);
	mem_free(dns);
}

/* -- look-ups --------------------------------------------------------------------------- */

static int fail(struct dns_lookup *lookup, int ares)
{
	struct err *err = &lookup->err;

	switch (ares) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME:
		return err_set(err, ERR_NOENT, "there is no such host");
	case ARES_ETIMEOUT:
		return err_set(err, ERR_TIMEDOUT, "no name server has answered");
	case ARES_ECONNREFUSED: /* of older releases also when every server has failed */
	case ARES_EREFUSED:
	case ARES_ESERVFAIL:
		return err_set(err, ERR_IO, "no name server can be reached, or none answers this");
	default:
		return err_set(err, ERR_IO, "%s", ares_strerror(ares));
	}
}

static void take(struct dns_lookup *lookup, const struct ares_addrinfo_node *node)
{
	for (; node && lookup->n_addresses < DNS_ADDRESSES_MAX; node = node->ai_next) {
		struct dial_address *to = &lookup->addresses[lookup->n_addresses];

		if (node->ai_addrlen > sizeof(to->to) ||
		    (node->ai_family != AF_INET && node->ai_family != AF_INET6))
			continue;
		memset(to, 0, sizeof(*to));
		memcpy(&to->to, node->ai_addr, node->ai_addrlen);
		to->size = node->ai_addrlen;
		if (node->ai_family == AF_INET)
			to->to.in.sin_port = htons(lookup->port);
		else
			to->to.in6.sin6_port = htons(lookup->port);
		lookup->n_addresses++;
	}
}

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_query *query = data;
	struct dns_channel *channel = query->channel;
	struct dns_lookup *lookup = query->lookup;
	int rc = 0;

	(void)timeouts;
	channel->n_queries--;
	mem_free(query);
	if (channel->retired && !channel->n_queries && status != ARES_EDESTRUCTION)
		loop_soon(channel->dns->loop, &channel->soon);
	if (lookup) {
		lookup->query = NULL;
		if (status == ARES_SUCCESS)
			take(lookup, info->nodes);
		if (status != ARES_SUCCESS)
			rc = fail(lookup, status);
		else if (!lookup->n_addresses)
			rc = fail(lookup, ARES_ENODATA);
		call_end_soon(lookup->loop, &lookup->call, rc);
	}
	if (info)
		ares_freeaddrinfo(info);
}

static void on_cancel(struct call *call)
{
	struct dns_lookup *lookup = container_of(call, struct dns_lookup, call);

	lookup->query->lookup = NULL;
	lookup->query = NULL;
	err_set(&lookup->err, ERR_CANCELED, "%s", err_str(ERR_CANCELED));
	call_end_soon(lookup->loop, call, ERR_CANCELED);
}

/* RFC 1123 section 2.1, and underscores, which are in use. */
static bool name_ok(struct str name)
{
	size_t i, label = 0, digits = 0;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!name.n || name.n > DNS_NAME_MAX)
		return false;
	for (i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c == '.') {
			if (!label || name.p[i - 1] == '-')
				return false;
			label = digits = 0;
			continue;
		}
		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    c != '_' && (c != '-' || !label))
			return false;
		digits += c >= '0' && c <= '9';
		if (++label > 63)
			return false;
	}
	return label && digits < label && name.p[name.n - 1] != '-';
}

int dns_start(struct dns *dns, struct dns_lookup *lookup)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	char name[DNS_NAME_MAX + 2];
	struct dns_query *query;

	lookup->loop = dns->loop;
	lookup->n_addresses = 0;
	lookup->err = (struct err){ 0 };
	lookup->query = NULL;
	if (dial_ip(lookup->name, lookup->port, &lookup->addresses[0])) {
		lookup->n_addresses = 1;
		call_begin(&lookup->call, NULL);
		call_end_soon(dns->loop, &lookup->call, 0);
		return 0;
	}
	if (!name_ok(lookup->name))
		return err_set(&lookup->err, ERR_INVALID, "this is no host name");
	memcpy(name, lookup->name.p, lookup->name.n);
	name[lookup->name.n] = '\0';
	look(dns);
	query = mem_zalloc(sizeof(*query));
	query->channel = dns->channel;
	query->lookup = lookup;
	lookup->query = query;
	dns->channel->n_queries++;
	call_begin(&lookup->call, on_cancel);
	ares_getaddrinfo(dns->channel->ares, name, NULL, &hints, on_answer, query);
	set_timer(dns->channel);
	return 0;
}
