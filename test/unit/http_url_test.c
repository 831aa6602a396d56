/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text, *shown, *host, *path, *query;
	} rows[] = {
		{ "http://a", "http://a/", "a", "/", NULL },
		{ "HTTP://A.Example/", "http://a.example/", "a.example", "/", NULL },
		{ "http://a:80/x", "http://a/x", "a", "/x", NULL },
		{ "http://a:/x", "http://a/x", "a", "/x", NULL },
		{ "https://a:80/x", "https://a:80/x", "a", "/x", NULL },
		{ "https://a:443?q", "https://a/", "a", "/", "q" },
		{ "http://a?", "http://a/", "a", "/", "" },
		{ "http://a/x//y?a=b?c/d#f?g", "http://a/x//y", "a", "/x//y", "a=b?c/d" },
		{ "http://[::1]:8080/", "http://[::1]:8080/", "::1", "/", NULL },
		{ "http://[FD00::A]/", "http://[fd00::a]/", "fd00::a", "/", NULL },
		{ "http://1.2.3.4/a%2Fb", "http://1.2.3.4/a%2Fb", "1.2.3.4", "/a%2Fb", NULL },
		{ "http://a_b-c.d./~x;y=z,(1)!'*@:$&+", "http://a_b-c.d./~x;y=z,(1)!'*@:$&+",
		  "a_b-c.d.", "/~x;y=z,(1)!'*@:$&+", NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena arena = { 0 };
		struct http_url url;
		struct err err = { 0 };

		assert_int_equal(http_url_parse(&arena, str_of(rows[i].text), &url, &err), 0);
		assert_string_equal(http_url_text(&arena, &url), rows[i].shown);
		assert_true(str_is(url.host, rows[i].host));
		assert_true(str_is(url.path, rows[i].path));
		assert_int_equal(url.query.p != NULL, rows[i].query != NULL);
		if (rows[i].query)
			assert_true(str_is(url.query, rows[i].query));
		arena_finish(&arena);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"a",
		"/a",
		"//a/",
		"mailto:hunter2",
		"http:a",
		"http://",
		"http://:80/",
		"http://hunter2@a/",
		"http://a:hunter2/",
		"http://a:0/",
		"http://a:65536/",
		"http://a:080000/",
		"http://a:-1/",
		"http://a:8 0/",
		"http://a b/",
		"http://a%41/",
		"http://[::1",
		"http://[::1]x/",
		"http://[::g]/",
		"http://[]/",
		"http://[1.2.3.4]/",
		"http://a/hunter2 x",
		"http://a/\"",
		"http://a/\x7f",
		"http://a/\xc3\xa4",
		"http://a/%",
		"http://a/%4",
		"http://a/%4g",
		"http://a/?a\tb",
		"http://a/[x]",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct arena arena = { 0 };
		struct http_url url;
		struct err err = { 0 };

		if (http_url_parse(&arena, str_of(bad[i]), &url, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(err.text[0] != '\0' && !strstr(err.text, "hunter2"));
		arena_finish(&arena);
	}
	{
		struct arena arena = { 0 };
		struct http_url url;

		assert_true(http_url_parse(&arena, str_make("http://a\0b/", 11), &url, NULL) != 0);
		assert_true(http_url_parse(&arena, str_make("http://a/\0b", 11), &url, NULL) != 0);
		arena_finish(&arena);
	}
}

/* RFC 3986 section 5.4, as far as http goes. */
static void test_join(void **state)
{
	static const struct {
		const char *ref, *path, *query;
	} rows[] = {
		{ "g", "/b/c/g", NULL },
		{ "./g", "/b/c/g", NULL },
		{ "g/", "/b/c/g/", NULL },
		{ "/g", "/g", NULL },
		{ "?y", "/b/c/d;p", "y" },
		{ "g?y", "/b/c/g", "y" },
		{ "#s", "/b/c/d;p", "q" },
		{ "g#s", "/b/c/g", NULL },
		{ ";x", "/b/c/;x", NULL },
		{ "", "/b/c/d;p", "q" },
		{ ".", "/b/c/", NULL },
		{ "./", "/b/c/", NULL },
		{ "..", "/b/", NULL },
		{ "../", "/b/", NULL },
		{ "../g", "/b/g", NULL },
		{ "../..", "/", NULL },
		{ "../../", "/", NULL },
		{ "../../g", "/g", NULL },
		{ "../../../g", "/g", NULL },
		{ "/./g", "/g", NULL },
		{ "/../g", "/g", NULL },
		{ "g.", "/b/c/g.", NULL },
		{ "..g", "/b/c/..g", NULL },
		{ "./g/.", "/b/c/g/", NULL },
		{ "g/./h", "/b/c/g/h", NULL },
		{ "g/../h", "/b/c/h", NULL },
		{ "g;x=1/../y", "/b/c/y", NULL },
		{ "g?y/../x", "/b/c/g", "y/../x" },
	};
	struct arena arena = { 0 };
	struct http_url base, url;
	struct err err;
	size_t i;

	(void)state;
	assert_int_equal(http_url_parse(&arena, STR("http://a:8080/b/c/d;p?q"), &base, &err), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(http_url_join(&arena, &base, str_of(rows[i].ref), &url, &err), 0);
		if (!str_is(url.path, rows[i].path))
			print_message("%s: %.*s\n", rows[i].ref, STR_ARG(url.path));
		assert_true(str_is(url.path, rows[i].path));
		assert_int_equal(url.query.p != NULL, rows[i].query != NULL);
		if (rows[i].query)
			assert_true(str_is(url.query, rows[i].query));
		assert_true(http_url_same_origin(&base, &url));
	}
	assert_int_equal(http_url_join(&arena, &base, STR("//other/x"), &url, &err), 0);
	assert_string_equal(http_url_text(&arena, &url), "http://other/x");
	assert_false(http_url_same_origin(&base, &url));
	assert_int_equal(http_url_join(&arena, &base, STR("https://a:8080/x/../y"), &url, &err), 0);
	assert_string_equal(http_url_text(&arena, &url), "https://a:8080/y");
	assert_false(http_url_same_origin(&base, &url));
	assert_int_equal(http_url_join(&arena, &base, STR("javascript:x"), &url, &err),
			 ERR_INVALID);
	assert_int_equal(http_url_join(&arena, &base, STR("x y"), &url, &err), ERR_INVALID);
	assert_int_equal(http_url_join(&arena, &base, STR("//"), &url, &err), ERR_INVALID);
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
