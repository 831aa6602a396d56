/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cidr.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static bool has(const char *network, const char *peer)
{
	struct cidr cidr;
	struct cidr_set set = { &cidr, 1 };
	const char *why = NULL;

	if (cidr_parse(str_of(network), &cidr, &why) != 0)
		fail_msg("%s: %s", network, why);
	return cidr_set_has(&set, str_of(peer));
}

static void test_has(void **state)
{
	static const struct {
		const char *network, *peer;
		bool has;
	} rows[] = {
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "192.0.2.7/32", "192.0.2.7", true },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "9.255.255.255", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.8/31", "192.0.2.9", true },
		{ "192.0.2.8/31", "192.0.2.10", false },
		{ "0.0.0.0/0", "203.0.113.1", true },
		{ "0.0.0.0/0", "::1", false },
		{ "0.0.0.0/0", "unix", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "203.0.113.1", false },
		{ "::/0", "::ffff:203.0.113.1", false },
		{ "::/0", "unix", false },
		{ "::1", "::1", true },
		{ "::1", "::2", false },
		{ "2001:db8::/32", "2001:db8:ffff::", true },
		{ "2001:db8::/32", "2001:db9::", false },
		{ "2001:DB8::/33", "2001:db8:8000::", false },
		/* IPv4 in the clothes of IPv6 */
		{ "192.0.2.0/24", "::ffff:192.0.2.7", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.7", true },
		{ "unix", "unix", true },
		{ "unix", "127.0.0.1", false },
		{ "unix", "::", false },
		{ "127.0.0.0/8", "unix", false },
		/* no peers at all */
		{ "0.0.0.0/0", "", false },
		{ "0.0.0.0/0", "localhost", false },
		{ "0.0.0.0/0", "10.0.0.1:80", false },
		{ "0.0.0.0/0", "10.0.0.1 ", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (has(rows[i].network, rows[i].peer) != rows[i].has)
			fail_msg("%s in %s: not %d", rows[i].peer, rows[i].network, rows[i].has);
}

static void test_several(void **state)
{
	struct cidr items[2];
	struct cidr_set set = { items, 2 }, none = { NULL, 0 };
	const char *why;

	(void)state;
	assert_int_equal(cidr_parse(STR("10.0.0.0/8"), &items[0], &why), 0);
	assert_int_equal(cidr_parse(STR("unix"), &items[1], &why), 0);
	assert_true(cidr_set_has(&set, STR("unix")));
	assert_true(cidr_set_has(&set, STR("10.1.1.1")));
	assert_false(cidr_set_has(&set, STR("11.1.1.1")));
	assert_false(cidr_set_has(&none, STR("unix")));
	assert_false(cidr_set_has(&none, STR("10.1.1.1")));
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/8/8",
		"10.0.0.0/0008",
		"10.0.0.0 /8",
		"10.0.0/8",
		"10.0.0.1/8",
		"::1/127",
		"::/129",
		"2001:db8::1/32",
		"localhost",
		"[::1]",
		"unix/8",
		"Unix",
		"fe80::1%lo",
		"010.0.0.1",
		"0.0.0.1/0",
		"::1/0",
		"192.0.2.8/28",
	};
	struct cidr cidr;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const char *why = NULL;

		if (cidr_parse(str_of(rows[i]), &cidr, &why) == 0)
			fail_msg("\"%s\"", rows[i]);
		assert_non_null(why);
	}
	assert_int_equal(cidr_parse(str_make("10.0.0.1\0x", 10), &cidr, &(const char *){ NULL }),
			 ERR_SYNTAX);
}

static void test_address(void **state)
{
	char out[INET6_ADDRSTRLEN];

	(void)state;
	assert_true(cidr_address(STR("2001:DB8:0:0::1"), out));
	assert_string_equal(out, "2001:db8::1");
	assert_true(cidr_address(STR("::ffff:192.0.2.7"), out));
	assert_string_equal(out, "192.0.2.7");
	assert_true(cidr_address(STR("192.0.2.7"), out));
	assert_string_equal(out, "192.0.2.7");
	assert_false(cidr_address(STR("unix"), out));
	assert_false(cidr_address(STR(""), out));
	assert_false(cidr_address(STR("192.0.2.7/32"), out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
