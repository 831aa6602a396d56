/* floor: the least program that answers the same bytes as the daemon, with libuv and llhttp and
 * one header compare. What it needs for a request is what any server built on the two needs at
 * least; budgets are ratios to it, measured in the same run.
 *
 *   floor [-p PORTFILE] [-n BODY_BYTES] [-h NAME VALUE] [-t CERTIFICATE KEY]
 *
 * Listens on 127.0.0.1, a port of the kernel's choice, which is printed, or written to PORTFILE.
 * A request whose header NAME (default authorization) is VALUE (default none) gets 200 and
 * BODY_BYTES (default 2300) bytes, others 401. With -t it speaks TLS, by mbedTLS and its own session
 * tickets. Ends by SIGTERM. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <llhttp.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <psa/crypto.h>
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
	char read[65536], plain[65536];
	int tls;
	mbedtls_ssl_config conf;
	mbedtls_ssl_ticket_context tickets;
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
} floor_;

struct conn {
	uv_tcp_t tcp;
	llhttp_t parser;
	int named, allowed;
	mbedtls_ssl_context ssl;
	const unsigned char *in; /* what was read and not yet opened */
	size_t in_n;
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
	if (floor_.tls)
		return mbedtls_ssl_write(&conn->ssl, (unsigned char *)answer->base, answer->len) ==
				       (int)answer->len
			       ? 0
			       : HPE_USER;
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
	struct conn *conn = handle->data;

	if (floor_.tls)
		mbedtls_ssl_free(&conn->ssl);
	free(handle->data);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(floor_.read, sizeof(floor_.read));
}

/* -- TLS -------------------------------------------------------------------------------- */

static int send_sealed(void *data, const unsigned char *p, size_t n)
{
	struct conn *conn = data;
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
	int sent = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);

	return sent >= 0 ? sent : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int give_sealed(void *data, unsigned char *p, size_t n)
{
	struct conn *conn = data;

	if (conn->in_n == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (n > conn->in_n)
		n = conn->in_n;
	memcpy(p, conn->in, n);
	conn->in += n;
	conn->in_n -= n;
	return (int)n;
}

/* 0, or the connection is over. */
static int open_sealed(struct conn *conn, const uv_buf_t *buf, size_t n)
{
	int rc = 0;

	conn->in = (const unsigned char *)buf->base;
	conn->in_n = n;
	if (!mbedtls_ssl_is_handshake_over(&conn->ssl))
		rc = mbedtls_ssl_handshake(&conn->ssl);
	while (rc == 0) {
		rc = mbedtls_ssl_read(&conn->ssl, (unsigned char *)floor_.plain,
				      sizeof(floor_.plain));
		if (rc <= 0)
			break;
		rc = llhttp_execute(&conn->parser, floor_.plain, (size_t)rc) == HPE_OK ? 0 : -1;
	}
	return rc == MBEDTLS_ERR_SSL_WANT_READ ? 0 : -1;
}

static int get_random(void *data, unsigned char *p, size_t n)
{
	(void)data;
	return psa_generate_random(p, n) == PSA_SUCCESS ? 0 : -1;
}

/* As the daemon: TLS 1.2 and 1.3, its groups, AEAD and forward secrecy. */
static int set_up_tls(const char *certificate, const char *key)
{
	static const uint16_t groups[] = { MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
					   MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
					   MBEDTLS_SSL_IANA_TLS_GROUP_NONE };
	static const int suites[] = { MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
				      MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0 };

	floor_.tls = 1;
	mbedtls_ssl_config_init(&floor_.conf);
	mbedtls_ssl_ticket_init(&floor_.tickets);
	mbedtls_x509_crt_init(&floor_.chain);
	mbedtls_pk_init(&floor_.key);
	if (psa_crypto_init() != PSA_SUCCESS ||
	    mbedtls_x509_crt_parse_file(&floor_.chain, certificate) != 0 ||
	    mbedtls_pk_parse_keyfile(&floor_.key, key, NULL, get_random, NULL) != 0 ||
	    mbedtls_ssl_config_defaults(&floor_.conf, MBEDTLS_SSL_IS_SERVER,
					MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
	    mbedtls_ssl_ticket_setup(&floor_.tickets, get_random, NULL, MBEDTLS_CIPHER_AES_256_GCM,
				     86400) != 0 ||
	    mbedtls_ssl_conf_own_cert(&floor_.conf, &floor_.chain, &floor_.key) != 0)
		return -1;
	mbedtls_ssl_conf_rng(&floor_.conf, get_random, NULL);
	mbedtls_ssl_conf_groups(&floor_.conf, groups);
	mbedtls_ssl_conf_ciphersuites(&floor_.conf, suites);
	mbedtls_ssl_conf_session_tickets_cb(&floor_.conf, mbedtls_ssl_ticket_write,
					    mbedtls_ssl_ticket_parse, &floor_.tickets);
	return 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *conn = stream->data;

	if (n >= 0 && floor_.tls) {
		if (open_sealed(conn, buf, (size_t)n) != 0)
			uv_close((uv_handle_t *)stream, on_closed);
		return;
	}
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
	if (floor_.tls) {
		mbedtls_ssl_init(&conn->ssl);
		if (mbedtls_ssl_setup(&conn->ssl, &floor_.conf) != 0)
			abort();
		mbedtls_ssl_set_bio(&conn->ssl, conn, send_sealed, give_sealed, NULL);
	}
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
		} else if (strcmp(argv[i], "-t") == 0 && i + 2 < argc) {
			if (set_up_tls(argv[i + 1], argv[i + 2]) != 0) {
				fprintf(stderr, "floor: the certificate cannot be used\n");
				return 1;
			}
			i += 2;
		} else {
			fprintf(stderr, "usage: floor [-p PORTFILE] [-n BODY_BYTES] [-h NAME VALUE]"
					" [-t CERTIFICATE KEY]\n");
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
