/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mem.h"
#include "core/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb"
#define V6                                                                                     \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
	"\xdc\x04\x01\xbb"

static const struct row {
	struct str in;
	int rc;
	const char *source; /* NULL: not known */
	uint16_t port;
} rows[] = {
	{ { "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", 42 }, 0, "192.0.2.1", 56324 },
	{ { "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", 46 }, 0, "2001:db8::1", 56324 },
	{ { "PROXY UNKNOWN\r\n", 15 }, 0, NULL, 0 },
	{ { "PROXY UNKNOWN anything at all\r\n", 31 }, 0, NULL, 0 },
	{ { SIG "\x21\x11\x00\x0c" V4, 28 }, 0, "192.0.2.1", 56324 },
	{ { SIG "\x21\x21\x00\x24" V6, 52 }, 0, "2001:db8::1", 56324 },
	{ { SIG "\x21\x11\x00\x0f" V4 "\x04\x00\x00", 31 }, 0, "192.0.2.1", 56324 }, /* a TLV */
	{ { SIG "\x20\x00\x00\x00", 16 }, 0, NULL, 0 },                              /* LOCAL */
	{ { SIG "\x21\x00\x00\x00", 16 }, 0, NULL, 0 },                              /* UNSPEC */
	/* none of the two */
	{ { "GET / HTTP/1.1\r\n", 16 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", 41 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 192.0.2.256 192.0.2.2 56324 443\r\n", 44 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 2001:db8::1 192.0.2.2 56324 443\r\n", 44 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", 42 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n", 43 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n", 38 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4  192.0.2.1 192.0.2.2 56324 443\r\n", 43 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY UDP4 192.0.2.1 192.0.2.2 56324 443\r\n", 42 }, ERR_SYNTAX, NULL, 0 },
	{ { "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 x\r\n", 44 }, ERR_SYNTAX, NULL, 0 },
	{ { SIG "\x31\x11\x00\x0c" V4, 28 }, ERR_SYNTAX, NULL, 0 },
	{ { SIG "\x22\x11\x00\x0c" V4, 28 }, ERR_SYNTAX, NULL, 0 },
	{ { SIG "\x21\x11\x00\x0b" V4, 27 }, ERR_SYNTAX, NULL, 0 },
	{ { SIG "\x21\x21\x00\x0c" V4, 28 }, ERR_SYNTAX, NULL, 0 },
	{ { SIG "\x21\x11\xff\xff" V4, 28 }, ERR_TOOBIG, NULL, 0 },
};

/* Every proper part of a good header asks for more; bytes behind it stay. */
static void test_rows(void **state)
{
	struct proxy_header header;
	size_t i, n, used;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		char more[128];

		used = 0;
		if (proxy_protocol_parse(row->in, &header, &used) != row->rc)
			fail_msg("row %zu: wrong answer", i);
		assert_int_equal(header.known, row->source != NULL);
		if (row->rc < 0)
			continue;
		assert_int_equal(used, row->in.n);
		if (row->source) {
			assert_string_equal(header.source, row->source);
			assert_int_equal(header.source_port, row->port);
		}
		for (n = 0; n < row->in.n; n++)
			assert_int_equal(
				proxy_protocol_parse(str_make(row->in.p, n), &header, &used),
				ERR_BUSY);
		memcpy(more, row->in.p, row->in.n);
		memcpy(more + row->in.n, "GET", 3);
		assert_int_equal(
			proxy_protocol_parse(str_make(more, row->in.n + 3), &header, &used), 0);
		assert_int_equal(used, row->in.n);
	}
}

static void test_a_line_without_end(void **state)
{
	struct proxy_header header;
	char line[200] = "PROXY UNKNOWN ";
	size_t used;

	(void)state;
	memset(line + 14, 'x', sizeof(line) - 14);
	assert_int_equal(proxy_protocol_parse(str_make(line, 106), &header, &used), ERR_BUSY);
	assert_int_equal(proxy_protocol_parse(str_make(line, 200), &header, &used), ERR_TOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_a_line_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
