/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_forwarded.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define FOR "x-forwarded-for"
#define PROTO "x-forwarded-proto"

static struct cidr items[3];
static const struct cidr_set trusted = { items, 3 };

static int setup(void **state)
{
	static const char *const texts[] = { "10.0.0.0/8", "fd00::/8", "unix" };
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		if (cidr_parse(str_of(texts[i]), &items[i], &why) != 0)
			return -1;
	return 0;
}

/* Who asks, by one or two lines of X-Forwarded-For; NULL: the peer himself. */
static const char *asks(const char *peer, const char *first, const char *second)
{
	static char out[INET6_ADDRSTRLEN];
	struct http_header headers[] = {
		{ STR("host"), STR("192.0.2.99") },
		{ STR(FOR), str_of(first) },
		{ STR("x-forwarded-host"), STR("192.0.2.98") },
		{ STR(FOR), str_of(second) },
	};
	struct http_request req = { .headers = headers, .n_headers = second ? 4 : 3 };

	return http_forwarded_for(&req, &trusted, str_of(peer), out) ? out : NULL;
}

static void test_for(void **state)
{
	static const struct {
		const char *peer, *first, *second, *asks;
	} rows[] = {
		{ "10.0.0.1", "192.0.2.1", NULL, "192.0.2.1" },
		{ "unix", "192.0.2.1", NULL, "192.0.2.1" },
		{ "fd00::1", "2001:DB8::1", NULL, "2001:db8::1" },
		/* who is not trusted says nothing */
		{ "192.0.2.5", "192.0.2.1", NULL, NULL },
		{ "::1", "192.0.2.1", NULL, NULL },
		/* what is left of the client anybody may have written */
		{ "10.0.0.1", "127.0.0.1, 192.0.2.1", NULL, "192.0.2.1" },
		{ "10.0.0.1", "10.9.9.9,192.0.2.1 , 10.0.0.2", NULL, "192.0.2.1" },
		{ "10.0.0.1", "127.0.0.1", "192.0.2.1", "192.0.2.1" },
		{ "10.0.0.1", "192.0.2.1", "10.0.0.3, 10.0.0.2", "192.0.2.1" },
		/* trusted all the way: the first of them asks */
		{ "10.0.0.1", "10.0.0.4, 10.0.0.3", NULL, "10.0.0.4" },
		/* ports, brackets, clothes */
		{ "10.0.0.1", "192.0.2.1:4711", NULL, "192.0.2.1" },
		{ "10.0.0.1", "[2001:db8::1]:4711", NULL, "2001:db8::1" },
		{ "10.0.0.1", "[2001:db8::1]", NULL, "2001:db8::1" },
		{ "10.0.0.1", "192.0.2.1, ::ffff:10.0.0.2", NULL, "192.0.2.1" },
		/* an entry that is none: the proxy that wrote it is as far as it is known */
		{ "10.0.0.1", "unknown", NULL, NULL },
		{ "10.0.0.1", "192.0.2.1, _hidden, 10.0.0.2", NULL, "10.0.0.2" },
		{ "10.0.0.1", "192.0.2.1, unix", NULL, NULL },
		{ "10.0.0.1", "192.0.2.1:", NULL, NULL },
		{ "10.0.0.1", "192.0.2.1:65536", NULL, NULL },
		{ "10.0.0.1", "192.0.2.1:80:80", NULL, NULL },
		{ "10.0.0.1", "[2001:db8::1", NULL, NULL },
		{ "10.0.0.1", "[2001:db8::1]x", NULL, NULL },
		{ "10.0.0.1", "[]", NULL, NULL },
		{ "10.0.0.1", "192.0.2.1 10.0.0.2", NULL, NULL },
		/* nothing said */
		{ "10.0.0.1", "", NULL, NULL },
		{ "10.0.0.1", " , ,", "", NULL },
		{ "10.0.0.1", "192.0.2.1,,", " ,", "192.0.2.1" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = asks(rows[i].peer, rows[i].first, rows[i].second);

		if ((got != NULL) != (rows[i].asks != NULL) ||
		    (got && strcmp(got, rows[i].asks) != 0))
			fail_msg("%s: %s: %s", rows[i].peer, rows[i].first, got ? got : "itself");
	}
}

static void proto(const char *value, const char *want)
{
	struct http_header headers[] = { { STR(PROTO), STR("ftp") },
					 { STR(PROTO), str_of(value) } };
	struct http_request req = { .headers = headers, .n_headers = 2 };
	struct str got = http_forwarded_proto(&req);

	assert_true(want ? str_is(got, want) : got.p == NULL);
}

static void test_proto(void **state)
{
	struct http_request none = { 0 };

	(void)state;
	proto("https", "https");
	proto("HTTP", "http");
	proto("https, http", "http"); /* the nearest proxy's word */
	proto("http , https", "https");
	proto("wss", NULL);
	proto("", NULL);
	proto("https evil=1", NULL);
	assert_null(http_forwarded_proto(&none).p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_for),
		cmocka_unit_test(test_proto),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
