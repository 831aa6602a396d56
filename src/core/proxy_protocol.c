/* SPDX-License-Identifier: Apache-2.0 */
#include "core/proxy_protocol.h"

#include <arpa/inet.h>

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

#define V2_FIXED 16
#define V2_INET 12  /* two IPv4 addresses, two ports */
#define V2_INET6 36 /* two IPv6 addresses, two ports */

/* -- version 1: PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n ----------------------------------- */

static bool is_address(struct str text, int family, char out[INET6_ADDRSTRLEN])
{
	unsigned char bytes[16];

	if (text.n == 0 || text.n >= INET6_ADDRSTRLEN)
		return false;
	memcpy(out, text.p, text.n);
	out[text.n] = '\0';
	return inet_pton(family, out, bytes) == 1;
}

/* No leading zero, no sign, at most 65535. */
static bool is_port(struct str text, uint16_t *port)
{
	uint64_t value;

	if (!str_to_u64(text, &value) || value > 65535 || (text.n > 1 && text.p[0] == '0'))
		return false;
	*port = (uint16_t)value;
	return true;
}

static int parse_v1(struct str bytes, struct proxy_header *header, size_t *used)
{
	size_t most = bytes.n < PROXY_PROTOCOL_V1_MAX ? bytes.n : PROXY_PROTOCOL_V1_MAX;
	const char *end = memchr(bytes.p, '\n', most);
	char ignored[INET6_ADDRSTRLEN];
	struct str line, word;
	uint16_t port;
	int family;

	if (!end)
		return bytes.n < PROXY_PROTOCOL_V1_MAX ? ERR_BUSY : ERR_TOOBIG;
	*used = (size_t)(end - bytes.p) + 1;
	if (*used < 2 || end[-1] != '\r')
		return ERR_SYNTAX;
	line = str_make(bytes.p, *used - 2);
	str_cut(line, ' ', &line); /* PROXY, which was looked at */
	word = str_cut(line, ' ', &line);
	if (str_is(word, "UNKNOWN"))
		return 0;
	if (!str_is(word, "TCP4") && !str_is(word, "TCP6"))
		return ERR_SYNTAX;
	family = str_is(word, "TCP4") ? AF_INET : AF_INET6;
	if (!is_address(str_cut(line, ' ', &line), family, header->source) || !line.p ||
	    !is_address(str_cut(line, ' ', &line), family, ignored) || !line.p ||
	    !is_port(str_cut(line, ' ', &line), &header->source_port) || !line.p ||
	    !is_port(line, &port))
		return ERR_SYNTAX;
	header->known = true;
	return 0;
}

/* -- version 2, binary ------------------------------------------------------------------------ */

static int parse_v2(struct str bytes, struct proxy_header *header, size_t *used)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	size_t length;
	uint16_t port;

	if (bytes.n < V2_FIXED)
		return ERR_BUSY;
	if ((p[12] & 0xF0) != 0x20 || (p[12] & 0x0F) > 1)
		return ERR_SYNTAX;
	length = (size_t)p[14] << 8 | p[15];
	if (V2_FIXED + length > PROXY_PROTOCOL_MAX)
		return ERR_TOOBIG;
	if (bytes.n < V2_FIXED + length)
		return ERR_BUSY;
	*used = V2_FIXED + length;
	if ((p[12] & 0x0F) == 0) /* LOCAL: the balancer itself, such as a health check */
		return 0;
	if (p[13] == 0x11 && length >= V2_INET) {
		inet_ntop(AF_INET, p + V2_FIXED, header->source, sizeof(header->source));
		memcpy(&port, p + V2_FIXED + 8, 2);
	} else if (p[13] == 0x21 && length >= V2_INET6) {
		inet_ntop(AF_INET6, p + V2_FIXED, header->source, sizeof(header->source));
		memcpy(&port, p + V2_FIXED + 32, 2);
	} else {
		/* UNSPEC and unix sockets keep the connection's own; a short one is none */
		return p[13] == 0x11 || p[13] == 0x21 ? ERR_SYNTAX : 0;
	}
	header->source_port = ntohs(port);
	header->known = true;
	return 0;
}

int proxy_protocol_parse(struct str bytes, struct proxy_header *header, size_t *used)
{
	static const char v1[] = "PROXY ";
	size_t n1 = bytes.n < sizeof(v1) - 1 ? bytes.n : sizeof(v1) - 1;
	size_t n2 = bytes.n < sizeof(signature) ? bytes.n : sizeof(signature);
	int rc;

	memset(header, 0, sizeof(*header));
	if (bytes.n == 0)
		return ERR_BUSY;
	if (memcmp(bytes.p, v1, n1) == 0)
		rc = n1 < sizeof(v1) - 1 ? ERR_BUSY : parse_v1(bytes, header, used);
	else if (memcmp(bytes.p, signature, n2) == 0)
		rc = n2 < sizeof(signature) ? ERR_BUSY : parse_v2(bytes, header, used);
	else
		rc = ERR_SYNTAX;
	if (rc < 0)
		memset(header, 0, sizeof(*header));
	return rc;
}
