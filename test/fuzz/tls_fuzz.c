/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes for the server's handshake over memory: whatever comes, it ends, says why, and leaves
 * nothing behind. The first byte says how the bytes are cut, the second whether a client
 * certificate is asked for. A hello of a real client is in the corpus; what comes after it can
 * only be refused, because nobody here knows its keys. */
#include "tls/tls_stream.h"

#include "core/mem.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* P-256, for one.test, made for this, worth nothing */
static const char certificate[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBkjCCATigAwIBAgIUevSmpJeErAiMrabrDMj1Z6FWjAgwCgYIKoZIzj0EAwIw\n"
	"EzERMA8GA1UEAwwIb25lLnRlc3QwIBcNMjYxMTIxMDExNDIxWhgPMjEyNjEwMjgw\n"
	"MTE0MjFaMBMxETAPBgNVBAMMCG9uZS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"
	"AQcDQgAEFu7+4f/1ZgHzSA5f3105ZVEORJ62bLpLkZ8MthxRZQCYDRI3pWEKqO6E\n"
	"doWbJDM5A/QYc/gbfUhhJtbDh0fgBqNoMGYwHQYDVR0OBBYEFD9khZzMCG/kAIUt\n"
	"5JBuewXL+z04MB8GA1UdIwQYMBaAFD9khZzMCG/kAIUt5JBuewXL+z04MA8GA1Ud\n"
	"EwEB/wQFMAMBAf8wEwYDVR0RBAwwCoIIb25lLnRlc3QwCgYIKoZIzj0EAwIDSAAw\n"
	"RQIgeWbybpBF/F+KuS4m1TLJEhzy55NKjZWM1xIb62cO1CsCIQC4lVegdt5hLrj4\n"
	"+gwZ9ZC18flRt2Kg+T+Ks4tbPyTO5Q==\n"
	"-----END CERTIFICATE-----\n";
static const char key[] = "-----BEGIN EC PRIVATE KEY-----\n"
			  "MHcCAQEEIGzsI7RAEX/o+0tbtf1aR15LkrW9dwqxhLYiTcIs4YJloAoGCCqGSM49\n"
			  "AwEHoUQDQgAEFu7+4f/1ZgHzSA5f3105ZVEORJ62bLpLkZ8MthxRZQCYDRI3pWEK\n"
			  "qO6EdoWbJDM5A/QYc/gbfUhhJtbDh0fgBg==\n"
			  "-----END EC PRIVATE KEY-----\n";

static void want(bool holds)
{
	if (!holds)
		abort();
}

static const char *file_with(const char *text, size_t n, char *path)
{
	int fd = mkstemp(path);

	want(fd >= 0 && write(fd, text, n) == (ssize_t)n);
	close(fd);
	return path;
}

/* Made once: parsing files is not what is tried here. */
static struct tls_config *config_for(bool client_ca, struct tls_tickets *tickets)
{
	char crt[] = "/tmp/tls-fuzz-XXXXXX", pem[] = "/tmp/tls-fuzz-XXXXXX";
	struct tls_files pair = { file_with(certificate, sizeof(certificate) - 1, crt),
				  file_with(key, sizeof(key) - 1, pem) };
	struct tls_server_options options = { .pairs = &pair,
					      .n_pairs = 1,
					      .client_ca = client_ca ? pair.certificate : NULL,
					      .tickets = tickets };
	struct tls_config *config;
	struct err err;

	want(tls_server_config(&options, &config, &err) == 0);
	unlink(crt);
	unlink(pem);
	return config;
}

struct world {
	struct loop loop;
	struct tls_budget budget;
	struct tls_tickets tickets;
	int ended, closed;
};

static void on_read(struct stream *stream, const char *p, ssize_t n)
{
	struct world *world = stream->data;

	(void)p;
	want(n < 0 && !world->ended); /* no handshake can have gone well */
	want(tls_stream_why(stream)[0] != '\0');
	world->ended++;
}

static void on_closed(struct stream *stream)
{
	((struct world *)stream->data)->closed++;
}

static void on_client_read(struct stream *stream, const char *p, ssize_t n)
{
	(void)stream;
	(void)p;
	(void)n;
}

static void turn(struct world *world)
{
	int i;

	for (i = 0; i < 4; i++)
		uv_run(&world->loop.uv, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_config *configs[2];
	static struct tls_tickets tickets;
	struct tls_stream_options options = { 0 };
	struct stream_end client, end;
	struct stream *stream;
	struct world world = { 0 };
	size_t at, piece;

	if (size < 3 || size > 32768)
		return 0;
	want(loop_init(&world.loop) == 0);
	tickets.loop = &world.loop;
	if (!configs[0]) {
		configs[0] = config_for(false, &tickets);
		configs[1] = config_for(true, &tickets);
	}
	tls_budget_init(&world.budget, &world.loop, 0, 0, NULL);
	options.loop = &world.loop;
	options.budget = &world.budget;
	options.config = configs[data[1] & 1];
	stream_pair(&world.loop, &client, &end, 1 << 20);
	client.stream.data = &world;
	client.stream.on_read = on_client_read;
	client.stream.on_closed = on_closed;
	stream_read_start(&client.stream);
	stream = tls_stream_create(&options, &end.stream);
	stream->data = &world;
	stream->on_read = on_read;
	stream->on_closed = on_closed;
	stream_read_start(stream);
	piece = data[0] < 250 ? (size_t)data[0] * 4 + 1 : size;
	for (at = 2; at < size && client.peer; at += piece) {
		struct str part =
			str_make((const char *)data + at, size - at < piece ? size - at : piece);

		want(stream_write(&client.stream, &part, 1) == 0);
		turn(&world);
	}
	stream_shutdown(&client.stream);
	turn(&world);
	turn(&world);
	want(world.ended == 1 && world.budget.n_open == 0 && world.budget.n_waiting == 0);
	stream_close(stream);
	stream_close(&client.stream);
	turn(&world);
	want(world.closed == 2);
	tls_budget_finish(&world.budget);
	want(loop_finish(&world.loop) == 0);
	return 0;
}
