/* floor: the least program that answers the same bytes as the daemon, with libuv and llhttp and
 * one header compare. What it needs for a request is what any server built on the two needs at
 * least; budgets are ratios to it, measured in the same run.
 *
 *   floor [-p PORTFILE] [-n BODY_BYTES] [-h NAME VALUE]
 *
 * Listens on 127.0.0.1, a port of the kernel's choice, which is printed, or written to PORTFILE.
 * A request whose header NAME (default authorization) is VALUE (default none) gets 200 and
 * BODY_BYTES (default 2300) bytes, others 401. Ends by SIGTERM. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <llhttp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <uv.h>

static struct {
	const char *name, *value;
	size_t name_n, value_n;
	uv_buf_t ok, denied;
	char read[65536];
} floor_;

struct conn {
	uv_tcp_t tcp;
	llhttp_t parser;
	int named, allowed;
};

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
	struct conn *conn = parser->data;

	conn->named = n == floor_.name_n && strncasecmp(at, floor_.name, n) == 0;
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
	struct conn *conn = parser->data;

	if (conn->named && n == floor_.value_n && memcmp(at, floor_.value, n) == 0)
		conn->allowed = 1;
	return 0;
}

static int on_complete(llhttp_t *parser)
{
	struct conn *conn = parser->data;
	uv_buf_t *answer = conn->allowed || !floor_.value ? &floor_.ok : &floor_.denied;

	conn->allowed = 0;
	if (uv_try_write((uv_stream_t *)&conn->tcp, answer, 1) != (int)answer->len)
		return HPE_USER; /* a client that does not read is not what is measured */
	return 0;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_message_complete = on_complete,
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(floor_.read, sizeof(floor_.read));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *conn = stream->data;

	if (n < 0 || llhttp_execute(&conn->parser, buf->base, (size_t)n) != HPE_OK)
		uv_close((uv_handle_t *)stream, on_closed);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn || status != 0)
		abort();
	uv_tcp_init(server->loop, &conn->tcp);
	conn->tcp.data = conn;
	llhttp_init(&conn->parser, HTTP_REQUEST, &settings);
	conn->parser.data = conn;
	if (uv_accept(server, (uv_stream_t *)&conn->tcp) != 0) {
		uv_close((uv_handle_t *)&conn->tcp, on_closed);
		return;
	}
	uv_tcp_nodelay(&conn->tcp, 1);
	uv_read_start((uv_stream_t *)&conn->tcp, give_buffer, on_read);
}

static uv_buf_t render(const char *status, size_t body)
{
	char *text = malloc(body + 256), date[64];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (!text)
		abort();
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	n = snprintf(text, 256,
		     "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: application/json\r\n"
		     "Content-Length: %zu\r\n\r\n",
		     status, date, body);
	memset(text + n, 'x', body);
	return uv_buf_init(text, (unsigned)((size_t)n + body));
}

int main(int argc, char **argv)
{
	const char *port_file = NULL;
	struct sockaddr_in address;
	size_t body = 2300;
	uv_tcp_t server;
	FILE *out;
	int i, size = sizeof(address);

	signal(SIGPIPE, SIG_IGN);
	floor_.name = "authorization";
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-p") == 0 && i + 1 < argc) {
			port_file = argv[++i];
		} else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
			body = (size_t)strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "-h") == 0 && i + 2 < argc) {
			floor_.name = argv[++i];
			floor_.value = argv[++i];
		} else {
			fprintf(stderr,
				"usage: floor [-p PORTFILE] [-n BODY_BYTES] [-h NAME VALUE]\n");
			return 2;
		}
	}
	floor_.name_n = strlen(floor_.name);
	floor_.value_n = floor_.value ? strlen(floor_.value) : 0;
	floor_.ok = render("200 OK", body);
	floor_.denied = render("401 Unauthorized", 2);
	uv_tcp_init(uv_default_loop(), &server);
	uv_ip4_addr("127.0.0.1", 0, &address);
	if (uv_tcp_bind(&server, (struct sockaddr *)&address, 0) != 0 ||
	    uv_listen((uv_stream_t *)&server, 1024, on_connection) != 0 ||
	    uv_tcp_getsockname(&server, (struct sockaddr *)&address, &size) != 0)
		return 1;
	out = port_file ? fopen(port_file, "w") : stdout;
	if (!out)
		return 1;
	fprintf(out, "%d\n", ntohs(address.sin_port));
	if (port_file)
		fclose(out);
	else
		fflush(out);
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
