/* Accepting is ours, on uv_poll, because uv_listen gives up what waits in the kernel when
 * descriptors run out, and cannot pause. Reading and writing are libuv's: a write is tried at
 * once, and only what the kernel does not take costs a request. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net.h"

#include "core/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 1024
#define ACCEPTS_A_TURN 64

/* -- connections ------------------------------------------------------------------------ */

struct net_conn {
	struct stream stream;
	struct net_buffer *buffer;
	struct net_pending *pending;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
};

/* A write that the kernel did not take at once. */
struct net_pending {
	uv_write_t req;
	struct net_conn *conn;
};

static struct net_conn *conn_of(struct stream *stream)
{
	return container_of(stream, struct net_conn, stream);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct net_conn *conn = handle->data;

	(void)suggested;
	buf->base = conn->buffer->p;
	buf->len = conn->buffer->size;
}

static void on_uv_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
	struct net_conn *conn = uv->data;

	if (n > 0) {
		conn->stream.on_read(&conn->stream, buf->base, n);
	} else if (n < 0) {
		uv_read_stop(uv);
		conn->stream.on_read(&conn->stream, NULL, n == UV_EOF ? 0 : err_from_uv((int)n));
	}
}

static void conn_read_start(struct stream *stream)
{
	int rc = uv_read_start(&conn_of(stream)->uv.stream, give_buffer, on_uv_read);

	(void)rc; /* UV_EALREADY, or UV_EINVAL while it closes: neither needs anything */
}

static void conn_read_stop(struct stream *stream)
{
	uv_read_stop(&conn_of(stream)->uv.stream);
}

static void on_uv_written(uv_write_t *req, int status)
{
	struct net_pending *pending = container_of(req, struct net_pending, req);
	struct net_conn *conn = pending->conn;

	mem_free(pending);
	conn->pending = NULL;
	if (!uv_is_closing(&conn->uv.handle))
		conn->stream.on_written(&conn->stream, status ? err_from_uv(status) : 0);
}

static int conn_write(struct stream *stream, const struct str *parts, size_t n)
{
	struct net_conn *conn = conn_of(stream);
	uv_buf_t bufs[STREAM_PARTS_MAX];
	unsigned count = 0, first = 0;
	size_t total = 0, sent, i;
	int rc;

	for (i = 0; i < n; i++) {
		if (!parts[i].n)
			continue;
		bufs[count++] = uv_buf_init((char *)(uintptr_t)parts[i].p, (unsigned)parts[i].n);
		total += parts[i].n;
	}
	rc = uv_try_write(&conn->uv.stream, bufs, count);
	if (rc < 0 && rc != UV_EAGAIN)
		return err_from_uv(rc);
	sent = rc < 0 ? 0 : (size_t)rc;
	if (sent == total)
		return 0;
	while (sent >= bufs[first].len)
		sent -= bufs[first++].len;
	bufs[first].base += sent;
	bufs[first].len -= sent;
	conn->pending = mem_zalloc(sizeof(*conn->pending));
	conn->pending->conn = conn;
	rc = uv_write(&conn->pending->req, &conn->uv.stream, bufs + first, count - first,
		      on_uv_written);
	if (rc != 0) {
		mem_free(conn->pending);
		conn->pending = NULL;
		return err_from_uv(rc);
	}
	return STREAM_LATER;
}

static void conn_shutdown(struct stream *stream)
{
	uv_os_fd_t fd;

	if (uv_fileno(&conn_of(stream)->uv.handle, &fd) == 0)
		shutdown(fd, SHUT_WR);
}

static void on_uv_closed(uv_handle_t *handle)
{
	struct net_conn *conn = handle->data;

	if (conn->stream.on_closed)
		conn->stream.on_closed(&conn->stream);
	mem_free(conn);
}

static void conn_close(struct stream *stream)
{
	uv_close(&conn_of(stream)->uv.handle, on_uv_closed);
}

static const struct stream_type net_type = {
	.name = "socket",
	.read_start = conn_read_start,
	.read_stop = conn_read_stop,
	.write = conn_write,
	.shutdown = conn_shutdown,
	.close = conn_close,
};

struct stream *net_stream(struct loop *loop, struct net_buffer *buffer, int fd, bool tcp)
{
	struct net_conn *conn = mem_zalloc(sizeof(*conn));
	int rc, yes = 1;

	conn->stream.type = &net_type;
	conn->buffer = buffer;
	if (!tcp) {
		uv_pipe_init(&loop->uv, &conn->uv.pipe, 0);
		conn->uv.handle.data = conn;
		rc = uv_pipe_open(&conn->uv.pipe, fd);
	} else {
		/* an answer is one write: there is nothing to gather */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		uv_tcp_init(&loop->uv, &conn->uv.tcp);
		conn->uv.handle.data = conn;
		rc = uv_tcp_open(&conn->uv.tcp, fd);
	}
	if (rc != 0) {
		close(fd);
		stream_close(&conn->stream);
		return NULL;
	}
	return &conn->stream;
}

/* -- accepting -------------------------------------------------------------------------- */

static void on_pollable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	net_listener_accept(poll->data, ACCEPTS_A_TURN);
}

static void watch(struct net_listener *listener)
{
	if (!listener->paused && !listener->closing && !listener->resting)
		uv_poll_start(&listener->poll, UV_READABLE, on_pollable);
}

static void on_rested(struct timer *timer)
{
	struct net_listener *listener = container_of(timer, struct net_listener, rest);

	listener->resting = false;
	watch(listener);
}

static void peer_text(const struct sockaddr_storage *from, char *out, size_t size)
{
	const struct sockaddr_in *in = (const void *)from;
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;

	if (from->ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, out, (socklen_t)size);
	else if (from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6))
		inet_ntop(AF_INET, in6->s6_addr + 12, out, (socklen_t)size); /* a dual-stack fd */
	else if (from->ss_family == AF_INET6)
		inet_ntop(AF_INET6, in6, out, (socklen_t)size);
	else
		snprintf(out, size, "unix");
}

void net_listener_accept(struct net_listener *listener, size_t max)
{
	while (max-- && !listener->paused && !listener->closing) {
		struct sockaddr_storage from = { 0 };
		socklen_t size = sizeof(from);
		struct stream *stream;
		char peer[INET6_ADDRSTRLEN];
		int fd = accept4(listener->fd, (struct sockaddr *)&from, &size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			/* no descriptor or memory left; what waits keeps the poll readable */
			listener->resting = true;
			uv_poll_stop(&listener->poll);
			timer_start(&listener->rest, listener->loop, NET_REST_MS, on_rested);
			if (listener->on_trouble && !listener->troubled)
				listener->on_trouble(listener, ERR_FULL);
			listener->troubled = true;
			return;
		}
		listener->troubled = false;
		stream = net_stream(listener->loop, listener->buffer, fd, listener->tcp);
		if (!stream)
			continue;
		peer_text(&from, peer, sizeof(peer));
		listener->on_stream(listener, stream, peer);
	}
}

void net_listener_pause(struct net_listener *listener)
{
	listener->paused = true;
	if (!listener->closing)
		uv_poll_stop(&listener->poll);
}

void net_listener_resume(struct net_listener *listener)
{
	listener->paused = false;
	watch(listener);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct net_listener *listener = handle->data;

	if (listener->on_closed)
		listener->on_closed(listener);
}

void net_listener_close(struct net_listener *listener)
{
	struct stat now;

	if (listener->closing)
		return;
	listener->closing = true;
	timer_stop(&listener->rest);
	if (listener->path[0] && stat(listener->path, &now) == 0 && now.st_dev == listener->dev &&
	    now.st_ino == listener->ino)
		unlink(listener->path);
	uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
	close(listener->fd);
}

/* -- listening -------------------------------------------------------------------------- */

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static int bad_address(struct err *err, const char *address, const char *why)
{
	return err_set(err, ERR_INVALID, "%s: %s", address, why);
}

static int parse_ip(const char *address, union any_address *out, socklen_t *size, struct err *err)
{
	struct str text = str_of(address), host = text;
	const char *colon = strrchr(address, ':');
	char number[INET6_ADDRSTRLEN];
	uint64_t port;

	if (!colon || !str_to_u64(str_of(colon + 1), &port) || port > 65535)
		return bad_address(err, address, "the address must end in :PORT");
	host.n = (size_t)(colon - address);
	memset(out, 0, sizeof(*out));
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']' &&
	    host.n - 2 < sizeof(number)) {
		memcpy(number, host.p + 1, host.n - 2);
		number[host.n - 2] = '\0';
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons((uint16_t)port);
		*size = sizeof(out->in6);
		if (inet_pton(AF_INET6, number, &out->in6.sin6_addr) == 1)
			return 0;
	} else if (host.n < sizeof(number)) {
		memcpy(number, host.p, host.n);
		number[host.n] = '\0';
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons((uint16_t)port);
		*size = sizeof(out->in);
		if (inet_pton(AF_INET, number, &out->in.sin_addr) == 1)
			return 0;
	}
	return bad_address(err, address, "the host must be an IP address, as 127.0.0.1 or [::1]");
}

static int parse_unix(struct net_listener *listener, const char *address, union any_address *out,
		      socklen_t *size, struct err *err)
{
	const char *path = address + 5;

	if (path[0] != '/')
		return bad_address(err, address, "the path of a unix socket must be absolute");
	if (strlen(path) >= sizeof(listener->path))
		return bad_address(err, address, "the path of a unix socket has at most 107 bytes");
	memset(out, 0, sizeof(*out));
	out->un.sun_family = AF_UNIX;
	memcpy(out->un.sun_path, path, strlen(path) + 1);
	memcpy(listener->path, path, strlen(path) + 1);
	*size = sizeof(out->un);
	return 0;
}

/* Removes a socket that nobody listens on. */
static int clear_way(const union any_address *address, const char *path)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0)
		return err_from_uv(-errno);
	if (!S_ISSOCK(st.st_mode))
		return ERR_EXISTS;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_from_uv(-errno);
	rc = connect(fd, &address->any, sizeof(address->un)) == 0 ? ERR_BUSY : err_from_uv(-errno);
	close(fd);
	if (rc != ERR_REFUSED)
		return rc;
	return unlink(path) == 0 ? 0 : err_from_uv(-errno);
}

static int bind_address(struct net_listener *listener, const union any_address *address,
			socklen_t size)
{
	struct stat st;
	int rc, yes = 1;

	if (listener->tcp)
		setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (listener->tcp && listener->reuse_port &&
	    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) != 0)
		return err_from_uv(-errno);
	if (address->any.sa_family == AF_INET6)
		setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	rc = bind(listener->fd, &address->any, size);
	if (rc != 0 && errno == EADDRINUSE && listener->path[0]) {
		rc = clear_way(address, listener->path);
		if (rc != 0)
			return rc;
		rc = bind(listener->fd, &address->any, size);
	}
	if (rc != 0)
		return err_from_uv(-errno);
	if (listener->path[0] && stat(listener->path, &st) == 0) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	return listen(listener->fd, BACKLOG) == 0 ? 0 : err_from_uv(-errno);
}

static int make_socket(struct net_listener *listener, const char *address, struct err *err)
{
	union any_address to;
	socklen_t size = 0;
	int rc;

	if (str_starts(str_of(address), STR("unix:")))
		rc = parse_unix(listener, address, &to, &size, err);
	else
		rc = parse_ip(address, &to, &size, err);
	if (rc != 0)
		return rc;
	listener->tcp = to.any.sa_family != AF_UNIX;
	listener->fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0) {
		rc = err_from_uv(-errno);
		return err_set(err, rc, "%s: %s", address, err_str(rc));
	}
	rc = bind_address(listener, &to, size);
	if (rc == 0)
		return 0;
	close(listener->fd);
	return err_set(err, rc, "%s: %s", address,
		       rc == ERR_BUSY     ? "the address is in use"
		       : rc == ERR_EXISTS ? "a file that is no socket is in the way"
					  : err_str(rc));
}

static bool option_is(int fd, int name, int wanted)
{
	socklen_t size = sizeof(int);
	int value = 0;

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 && value == wanted;
}

/* A socket that somebody else has made. */
static int take_socket(struct net_listener *listener, const char *address, struct err *err)
{
	union any_address real;
	socklen_t size = sizeof(real);
	uint64_t fd;
	int flags;

	if (!str_to_u64(str_of(address + 3), &fd) || fd > INT_MAX)
		return bad_address(err, address, "fd: wants the number of a descriptor");
	if (getsockname((int)fd, &real.any, &size) != 0 ||
	    !option_is((int)fd, SO_TYPE, SOCK_STREAM) || !option_is((int)fd, SO_ACCEPTCONN, 1) ||
	    (real.any.sa_family != AF_UNIX && real.any.sa_family != AF_INET &&
	     real.any.sa_family != AF_INET6))
		return bad_address(err, address, "the descriptor is no stream socket that listens");
	flags = fcntl((int)fd, F_GETFL);
	if (flags < 0 || fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
		return bad_address(err, address, "the descriptor cannot be used");
	listener->tcp = real.any.sa_family != AF_UNIX;
	listener->fd = (int)fd;
	return 0;
}

static void bound_text(const struct net_listener *listener, const char *address, char *out,
		       size_t size)
{
	union any_address real = { 0 };
	socklen_t n = sizeof(real);
	char host[INET6_ADDRSTRLEN];

	if (listener->path[0] || getsockname(listener->fd, &real.any, &n) != 0) {
		snprintf(out, size, "%s", address);
	} else if (real.any.sa_family == AF_UNIX) {
		/* the name of an abstract one begins with NUL */
		bool abstract = !real.un.sun_path[0];

		n -= n < offsetof(struct sockaddr_un, sun_path)
			     ? n
			     : (socklen_t)offsetof(struct sockaddr_un, sun_path);
		snprintf(out, size, "unix:%s%.*s", abstract ? "@" : "",
			 (int)(abstract && n ? n - 1 : n), real.un.sun_path + abstract);
	} else if (real.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &real.in.sin_addr, host, sizeof(host));
		snprintf(out, size, "%s:%u", host, ntohs(real.in.sin_port));
	} else {
		inet_ntop(AF_INET6, &real.in6.sin6_addr, host, sizeof(host));
		snprintf(out, size, "[%s]:%u", host, ntohs(real.in6.sin6_port));
	}
}

int net_listen(struct net_listener *listener, const char *address, char *bound, size_t bound_size,
	       struct err *err)
{
	bool given = str_starts(str_of(address), STR("fd:"));
	int rc;

	listener->paused = listener->closing = false;
	listener->resting = listener->troubled = false;
	listener->path[0] = '\0';
	listener->rest = (struct timer){ 0 };
	listener->dev = 0;
	listener->ino = 0;
	rc = given ? take_socket(listener, address, err) : make_socket(listener, address, err);
	if (rc != 0)
		return rc;
	rc = err_from_uv(uv_poll_init(&listener->loop->uv, &listener->poll, listener->fd));
	if (rc != 0) {
		if (!given)
			close(listener->fd);
		return err_set(err, rc, "%s: %s", address, err_str(rc));
	}
	listener->poll.data = listener;
	bound_text(listener, address, bound, bound_size);
	watch(listener);
	return 0;
}
