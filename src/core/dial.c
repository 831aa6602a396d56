/* One socket at a time: connect() without blocking, wait until it is writable, ask how it went.
 * Its poll handle is closed before the socket becomes a stream or the next address has its turn. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dial.h"

#include "core/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

bool dial_ip(struct str text, uint16_t port, struct dial_address *out)
{
	char number[INET6_ADDRSTRLEN];

	if (!text.n || text.n >= sizeof(number) || memchr(text.p, '\0', text.n))
		return false;
	memcpy(number, text.p, text.n);
	number[text.n] = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, number, &out->to.in.sin_addr) == 1) {
		out->to.in.sin_family = AF_INET;
		out->to.in.sin_port = htons(port);
		out->size = sizeof(out->to.in);
		return true;
	}
	if (inet_pton(AF_INET6, number, &out->to.in6.sin6_addr) == 1) {
		out->to.in6.sin6_family = AF_INET6;
		out->to.in6.sin6_port = htons(port);
		out->size = sizeof(out->to.in6);
		return true;
	}
	return false;
}

bool dial_unix(struct str path, struct dial_address *out)
{
	if (!path.n || path.p[0] != '/' || path.n >= sizeof(out->to.un.sun_path) ||
	    memchr(path.p, '\0', path.n))
		return false;
	memset(out, 0, sizeof(*out));
	out->to.un.sun_family = AF_UNIX;
	memcpy(out->to.un.sun_path, path.p, path.n);
	out->size = sizeof(out->to.un);
	return true;
}

void dial_address_text(const struct dial_address *address, char *out, size_t size)
{
	char number[INET6_ADDRSTRLEN] = "";

	if (address->to.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->to.in.sin_addr, number, sizeof(number));
		snprintf(out, size, "%s:%u", number, ntohs(address->to.in.sin_port));
	} else if (address->to.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address->to.in6.sin6_addr, number, sizeof(number));
		snprintf(out, size, "[%s]:%u", number, ntohs(address->to.in6.sin6_port));
	} else {
		snprintf(out, size, "unix:%s", address->to.un.sun_path);
	}
}

static void try_next(struct dial *dial);

static int to_err(int error)
{
	switch (error) {
	case ETIMEDOUT:
		return ERR_TIMEDOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
		return ERR_IO;
	default:
		return err_from_uv(-error);
	}
}

/* What came of the address that is being tried. With several of them the text says which. */
static void note(struct dial *dial, int error)
{
	char text[DIAL_TEXT_MAX];

	dial->status = to_err(error);
	err_set(&dial->err, dial->status, "%s",
		dial->status == ERR_IO ? strerror(error) : err_str(dial->status));
	if (dial->n_addresses == 1)
		return;
	dial_address_text(&dial->addresses[dial->at], text, sizeof(text));
	err_wrap(&dial->err, "%s", text);
}

static void finish(struct dial *dial, int status)
{
	timer_stop(&dial->timer);
	if (status == 0)
		dial->err = (struct err){ 0 };
	call_end(&dial->call, status);
}

/* The socket has no handle any more. */
static void tried(struct dial *dial)
{
	if (dial->status == 0 && !dial->call.canceled) {
		dial->stream = net_stream(dial->loop, dial->buffer, dial->fd,
					  dial->addresses[dial->at].to.any.sa_family != AF_UNIX);
		dial->fd = -1;
		if (dial->stream) {
			finish(dial, 0);
			return;
		}
		note(dial, EIO);
	}
	if (dial->fd >= 0)
		close(dial->fd);
	dial->fd = -1;
	if (dial->call.canceled) {
		finish(dial, err_set(&dial->err, ERR_CANCELED, "%s", err_str(ERR_CANCELED)));
		return;
	}
	dial->at++;
	try_next(dial);
}

static void on_poll_closed(uv_handle_t *handle)
{
	tried(handle->data);
}

static void stop_trying(struct dial *dial)
{
	timer_stop(&dial->timer);
	if (!uv_is_closing((uv_handle_t *)&dial->poll))
		uv_close((uv_handle_t *)&dial->poll, on_poll_closed);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
	struct dial *dial = poll->data;
	socklen_t size = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (status < 0 && !error)
		error = -status;
	dial->status = 0;
	if (error)
		note(dial, error);
	stop_trying(dial);
}

static void on_late(struct timer *timer)
{
	struct dial *dial = container_of(timer, struct dial, timer);

	note(dial, ETIMEDOUT);
	stop_trying(dial);
}

static int open_socket(struct dial *dial, const struct dial_address *address)
{
	int rc;

	dial->fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (dial->fd < 0)
		return errno;
	do
		rc = connect(dial->fd, &address->to.any, address->size);
	while (rc != 0 && errno == EINTR);
	if (rc != 0 && errno != EINPROGRESS)
		return errno;
	rc = uv_poll_init(&dial->loop->uv, &dial->poll, dial->fd);
	return rc == 0 ? 0 : -rc;
}

static void try_next(struct dial *dial)
{
	int error;

	for (; dial->at < dial->n_addresses; dial->at++) {
		uint64_t now = loop_now(dial->loop);

		if (dial->within && now >= dial->ends) {
			if (!dial->err.code)
				note(dial, ETIMEDOUT);
			break;
		}
		error = open_socket(dial, &dial->addresses[dial->at]);
		if (!error) {
			dial->poll.data = dial;
			uv_poll_start(&dial->poll, UV_WRITABLE, on_writable);
			if (dial->within)
				timer_start(&dial->timer, dial->loop,
					    (dial->ends - now) / (dial->n_addresses - dial->at),
					    on_late);
			return;
		}
		note(dial, error);
		if (dial->fd >= 0)
			close(dial->fd);
		dial->fd = -1;
	}
	finish(dial, dial->err.code);
}

static void on_start(struct timer *timer)
{
	try_next(container_of(timer, struct dial, timer));
}

static void on_cancel(struct call *call)
{
	struct dial *dial = container_of(call, struct dial, call);

	if (dial->fd >= 0)
		stop_trying(dial);
	else {
		err_set(&dial->err, ERR_CANCELED, "%s", err_str(ERR_CANCELED));
		timer_stop(&dial->timer);
		call_end_soon(dial->loop, call, ERR_CANCELED);
	}
}

int dial_start(struct loop *loop, struct dial *dial)
{
	if (!dial->n_addresses)
		return ERR_INVALID;
	dial->loop = loop;
	dial->stream = NULL;
	dial->err = (struct err){ 0 };
	dial->at = 0;
	dial->fd = -1;
	dial->timer = (struct timer){ 0 };
	dial->ends = loop_now(loop) + dial->within;
	call_begin(&dial->call, on_cancel);
	timer_start(&dial->timer, loop, 0, on_start);
	return 0;
}
