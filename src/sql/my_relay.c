/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/my_relay.h"

#include "core/digest.h"
#include "core/net.h"

#include <stdio.h>

#define HEAD 4         /* of a packet: three bytes of length, one of number */
#define SSL_REQUEST 32 /* bytes of the answer that come first */
#define SSL_BIT 0x08   /* of the second byte of capabilities */
#define PACKET_MAX (1 << 16)
#define READ_SIZE (16 << 10)

enum phase { GREETING, LOGIN, SHAKING, SIGNING, OPEN };

/* One of the two sides. */
struct side {
	struct my_relay *relay;
	struct stream *stream;
	struct buf in;  /* what is no whole packet yet */
	struct buf out; /* on its way into stream */
	bool writing;
};

struct my_relay {
	struct loop *loop;
	enum phase phase;
	bool ended, left, listening;
	struct err why;
	struct net_listener listener;
	struct net_buffer buffer;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)], *host;
	uint64_t within;
	const struct dial_wrap *wrap;
	struct dial_address addresses[DNS_ADDRESSES_MAX];
	struct dial dial;
	struct dial_wrapping wrapping;
	struct side client, server;
	struct buf login;
};

/* -- the end ------------------------------------------------------------------------------- */

static void maybe_free(struct my_relay *relay)
{
	if (!relay->left || relay->listening || relay->client.stream || relay->server.stream ||
	    relay->dial.call.active || relay->wrapping.call.active)
		return;
	buf_wipe(&relay->client.in);
	buf_wipe(&relay->client.out);
	buf_wipe(&relay->server.in);
	buf_wipe(&relay->server.out);
	buf_wipe(&relay->login);
	mem_free(relay->buffer.p);
	mem_free(relay->host);
	mem_free(relay);
}

static void on_stream_closed(struct stream *stream)
{
	struct side *side = stream->data;

	side->stream = NULL;
	maybe_free(side->relay);
}

static void on_listener_closed(struct net_listener *listener)
{
	struct my_relay *relay = listener->data;

	relay->listening = false;
	maybe_free(relay);
}

static void end(struct my_relay *relay, int code, const char *text)
{
	if (relay->ended)
		return;
	relay->ended = true;
	if (code)
		err_set(&relay->why, code, "%s", text);
	if (relay->listening)
		net_listener_close(&relay->listener);
	if (relay->client.stream)
		stream_close(relay->client.stream);
	if (relay->server.stream)
		stream_close(relay->server.stream);
	call_cancel(&relay->dial.call);
	call_cancel(&relay->wrapping.call);
}

/* -- packets ------------------------------------------------------------------------------- */

static struct side *other(struct side *side)
{
	struct my_relay *relay = side->relay;

	return side == &relay->client ? &relay->server : &relay->client;
}

/* Both directions take what fits; a side that is being written to is not read for. */
static void flush(struct side *to)
{
	struct str part = buf_str(&to->out);
	int rc;

	if (to->writing || !part.n || !to->stream)
		return;
	rc = stream_write(to->stream, &part, 1);
	if (rc == STREAM_LATER) {
		to->writing = true;
		if (other(to)->stream)
			stream_read_stop(other(to)->stream);
	} else if (rc < 0) {
		end(to->relay, rc, err_str(rc));
	} else {
		buf_clear(&to->out);
	}
}

static void shake(struct my_relay *relay);

static void on_written(struct stream *stream, int status)
{
	struct side *side = stream->data;
	struct my_relay *relay = side->relay;

	side->writing = false;
	buf_clear(&side->out);
	if (status < 0)
		end(relay, status, err_str(status));
	else if (relay->phase == SHAKING && side == &relay->server)
		shake(relay);
	else if (other(side)->stream && !relay->ended)
		stream_read_start(other(side)->stream);
}

/* The greeting, without a word of TLS. */
static void greet(struct my_relay *relay, unsigned char *p, size_t n)
{
	unsigned char *version = p + HEAD + 1, *zero;

	if (p[HEAD] == 0xff) { /* too many connections, and the like */
		relay->phase = OPEN;
		return;
	}
	zero = memchr(version, '\0', n - HEAD - 1);
	if (p[HEAD] != 10 || !zero || zero + 16 > p + n) {
		end(relay, ERR_SYNTAX, "this is no MySQL server");
		return;
	}
	zero += 14; /* NUL, thread, scramble, filler; the second byte of capabilities is next */
	if (!(zero[1] & SSL_BIT)) {
		end(relay, ERR_ACCESS, "the server offers no TLS");
		return;
	}
	zero[1] &= (unsigned char)~SSL_BIT;
	relay->phase = LOGIN;
}

static void ask_for_tls(struct my_relay *relay, unsigned char *p, size_t n)
{
	static const unsigned char head[HEAD] = { SSL_REQUEST, 0, 0, 1 };

	if (n < HEAD + SSL_REQUEST) {
		end(relay, ERR_SYNTAX, "this is no MySQL client");
		return;
	}
	p[HEAD + 1] |= SSL_BIT;
	p[3]++;
	buf_put(&relay->login, p, n);
	buf_put(&relay->server.out, head, sizeof(head));
	buf_put(&relay->server.out, p + HEAD, SSL_REQUEST);
	relay->phase = SHAKING;
	stream_read_stop(relay->client.stream);
	flush(&relay->server);
	if (!relay->server.writing)
		shake(relay);
}

/* One whole packet from a side, its header included. */
static void packet(struct side *from, unsigned char *p, size_t n)
{
	struct my_relay *relay = from->relay;
	bool by_server = from == &relay->server;

	switch (relay->phase) {
	case GREETING:
		if (!by_server)
			end(relay, ERR_SYNTAX, "it speaks unasked");
		else
			greet(relay, p, n);
		break;
	case LOGIN:
		if (by_server)
			end(relay, ERR_SYNTAX, "it speaks unasked");
		else
			ask_for_tls(relay, p, n);
		return;
	case SHAKING:
		end(relay, ERR_SYNTAX, "it speaks unasked");
		break;
	case SIGNING:
		if (by_server)
			p[3]--;
		else
			p[3]++;
		if (by_server && (p[HEAD] == 0x00 || p[HEAD] == 0xff))
			relay->phase = OPEN;
		break;
	case OPEN:
		break;
	}
	if (!relay->ended)
		buf_put(&other(from)->out, p, n);
}

static void feed(struct side *from)
{
	struct my_relay *relay = from->relay;

	while (!relay->ended && relay->phase != OPEN && from->in.n > HEAD) {
		unsigned char *p = (unsigned char *)from->in.p;
		size_t n = HEAD + ((size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16);

		if (n == HEAD || n > PACKET_MAX) {
			end(relay, ERR_SYNTAX, "this is no MySQL server");
			return;
		}
		if (from->in.n < n)
			break;
		packet(from, p, n);
		buf_shift(&from->in, n);
	}
	if (!relay->ended && relay->phase == OPEN) {
		buf_put(&other(from)->out, from->in.p, from->in.n);
		buf_clear(&from->in);
	}
	if (!relay->ended && relay->phase != SHAKING)
		flush(other(from));
}

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct side *side = stream->data;

	if (n > 0) {
		buf_put(&side->in, p, (size_t)n);
		feed(side);
		return;
	}
	if (side == &side->relay->client)
		end(side->relay, 0, "");
	else
		end(side->relay, ERR_CLOSED, err_str(ERR_CLOSED));
}

static void take(struct side *side, struct stream *stream)
{
	side->stream = stream;
	stream->data = side;
	stream->on_read = on_read;
	stream->on_written = on_written;
	stream->on_closed = on_stream_closed;
	if (side->relay->ended)
		stream_close(stream);
}

/* -- the server ---------------------------------------------------------------------------- */

static void shaken(struct call *call, int status)
{
	struct my_relay *relay = call->data;

	if (status < 0) {
		if (!relay->wrapping.err.text[0])
			err_set(&relay->wrapping.err, status, "%s", err_str(status));
		err_wrap(&relay->wrapping.err, "TLS");
		end(relay, status, relay->wrapping.err.text);
		maybe_free(relay);
		return;
	}
	take(&relay->server, relay->wrapping.stream);
	if (relay->ended)
		return;
	relay->phase = SIGNING;
	buf_put_str(&relay->server.out, buf_str(&relay->login));
	buf_wipe(&relay->login);
	stream_read_start(relay->server.stream);
	stream_read_start(relay->client.stream);
	flush(&relay->server);
}

static void shake(struct my_relay *relay)
{
	struct stream *below = relay->server.stream;
	int rc;

	stream_read_stop(below);
	relay->wrapping.call.done = shaken;
	relay->wrapping.call.data = relay;
	relay->wrapping.below = below;
	relay->wrapping.host = relay->host;
	relay->wrapping.within = relay->within;
	rc = relay->wrap->start(relay->wrap, relay->loop, &relay->wrapping);
	if (rc < 0)
		end(relay, rc, err_str(rc));
	else
		relay->server.stream = NULL; /* the wrapper's */
}

static void dialled(struct call *call, int status)
{
	struct my_relay *relay = call->data;

	if (status < 0) {
		char at[DIAL_TEXT_MAX];

		dial_address_text(&relay->addresses[relay->dial.n_addresses - 1], at, sizeof(at));
		err_wrap(&relay->dial.err, "%s", at);
		end(relay, status, relay->dial.err.text);
		maybe_free(relay);
		return;
	}
	take(&relay->server, relay->dial.stream);
	if (!relay->ended && relay->client.stream)
		stream_read_start(relay->server.stream);
}

/* -- libmariadb ---------------------------------------------------------------------------- */

static void on_client(struct net_listener *listener, struct stream *stream, const char *peer)
{
	struct my_relay *relay = listener->data;

	(void)peer;
	if (relay->client.stream) { /* the folder is ours alone, and one has come */
		stream_close(stream);
		return;
	}
	take(&relay->client, stream);
	if (relay->ended)
		return;
	net_listener_close(listener);
	stream_read_start(stream);
	if (relay->server.stream)
		stream_read_start(relay->server.stream);
}

int my_relay_create(struct loop *loop, const struct my_relay_options *options,
		    struct my_relay **out, struct err *err)
{
	struct my_relay *relay = mem_zalloc(sizeof(*relay));
	char address[NET_ADDRESS_MAX], name[13];
	int rc;

	random_id(name, sizeof(name) - 1);
	if (snprintf(relay->path, sizeof(relay->path), "%s/my-%s", options->directory, name) >=
	    (int)sizeof(relay->path)) {
		mem_free(relay);
		return err_set(err, ERR_INVALID, "%s: the path is too long for a socket",
			       options->directory);
	}
	snprintf(address, sizeof(address), "unix:%s", relay->path);
	relay->loop = loop;
	relay->wrap = options->wrap;
	relay->within = options->within;
	relay->host = mem_strdup(options->host);
	relay->buffer.size = READ_SIZE;
	relay->buffer.p = mem_alloc(READ_SIZE);
	relay->client.relay = relay->server.relay = relay;
	relay->listener.loop = loop;
	relay->listener.buffer = &relay->buffer;
	relay->listener.data = relay;
	relay->listener.on_stream = on_client;
	relay->listener.on_closed = on_listener_closed;
	memcpy(relay->addresses, options->addresses,
	       options->n_addresses * sizeof(*options->addresses));
	relay->dial.call.done = dialled;
	relay->dial.call.data = relay;
	relay->dial.addresses = relay->addresses;
	relay->dial.n_addresses = options->n_addresses;
	relay->dial.buffer = &relay->buffer;
	relay->dial.within = options->within;
	relay->left = true;
	rc = net_listen(&relay->listener, address, address, sizeof(address), err);
	if (rc < 0) {
		maybe_free(relay);
		return rc;
	}
	relay->listening = true;
	rc = dial_start(loop, &relay->dial);
	if (rc < 0) {
		err_set(err, rc, "%s", err_str(rc));
		end(relay, rc, err->text);
		return rc;
	}
	relay->left = false;
	*out = relay;
	return 0;
}

const char *my_relay_path(const struct my_relay *relay)
{
	return relay->path;
}

const struct err *my_relay_why(const struct my_relay *relay)
{
	return &relay->why;
}

void my_relay_leave(struct my_relay *relay)
{
	if (!relay)
		return;
	if (!relay->client.stream) /* else its end is seen */
		end(relay, 0, "");
	relay->left = true;
	maybe_free(relay);
}
