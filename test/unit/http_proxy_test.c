/* SPDX-License-Identifier: Apache-2.0 */
/* Proxies: which requests go through one, and how; and wrapped connections, with a wrap of the
 * test's own that only watches. */
#include "fetch_rig.h"

static struct program server;

/* -- choosing --------------------------------------------------------------------------- */

static bool direct(struct http_proxies *proxies, const char *text)
{
	struct arena arena = { 0 };
	struct http_url url;
	bool is;

	assert_int_equal(http_url_parse(&arena, str_of(text), &url, NULL), 0);
	is = http_proxy_for(proxies, &url) == NULL;
	arena_finish(&arena);
	return is;
}

static void test_choice(void **state)
{
	static const struct {
		const char *none, *url;
		bool direct;
	} cases[] = {
		{ "", "http://example.com/", false },
		{ "", "https://example.com/", true }, /* no proxy for https here */
		{ "*", "http://example.com/", true },
		{ "example.com", "http://example.com/", true },
		{ "EXAMPLE.com", "http://www.Example.com/", true },
		{ "example.com", "http://example.com./", true },
		{ ".example.com", "http://www.example.com/", true },
		{ "*.example.com", "http://www.example.com/", true },
		{ "example.com", "http://notexample.com/", false },
		{ "example.com", "http://example.com.org/", false },
		{ "a.org, example.com ,b.org", "http://example.com/", true },
		{ ",,", "http://example.com/", false },
		{ "example.com:80", "http://example.com/", true },
		{ "example.com:8080", "http://example.com/", false },
		{ "example.com:8080", "http://example.com:8080/", true },
		{ "10.0.0.1", "http://10.0.0.1/", true },
		{ "10.0.0.1", "http://10.0.0.2/", false },
		{ "10.0.0.0/8", "http://10.200.3.4/", true },
		{ "10.0.0.0/8", "http://11.0.0.1/", false },
		{ "10.0.0.128/25", "http://10.0.0.200/", true },
		{ "10.0.0.128/25", "http://10.0.0.100/", false },
		{ "0.0.0.0/0", "http://11.0.0.1/", true },
		{ "10.0.0.0/33", "http://10.0.0.0/", false },
		{ "10.0.0.0/8", "http://10.example.com/", false },
		{ "fd00::/8", "http://[fd12::1]/", true },
		{ "fd00::/8", "http://[2001:db8::1]/", false },
		{ "[2001:db8::1]", "http://[2001:db8::1]/", true },
		{ "2001:db8::1", "http://[2001:DB8::1]:8080/", true },
		{ "", "http://localhost/", true },
		{ "", "http://127.0.0.1:8080/", true },
		{ "", "http://127.9.9.9/", true },
		{ "", "http://[::1]/", true },
		{ "", "http://x.localhost/", true },
	};
	struct http_proxies proxies;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
			http_proxies_init(&proxies, "http://proxy:3128", NULL, cases[i].none, &err),
			0);
		if (direct(&proxies, cases[i].url) != cases[i].direct)
			print_message("%s %s\n", cases[i].none, cases[i].url);
		assert_int_equal(direct(&proxies, cases[i].url), cases[i].direct);
		http_proxies_finish(&proxies);
	}
	assert_true(direct(NULL, "http://example.com/"));
}

static void test_settings(void **state)
{
	struct http_proxies proxies;
	struct err err;

	(void)state;
	assert_int_equal(http_proxies_init(&proxies, "proxy.test", "http://us%40er:p%3Aw@[::1]:81/",
					   NULL, &err),
			 0);
	assert_int_equal(proxies.http.url.port, 80);
	assert_true(str_is(proxies.http.url.host, "proxy.test"));
	assert_int_equal(secret_reveal(&proxies.http.authorization).n, 0);
	assert_true(str_is(proxies.https.url.host, "::1") && proxies.https.url.port == 81);
	/* us@er:p:w */
	assert_true(str_is(secret_reveal(&proxies.https.authorization), "Basic dXNAZXI6cDp3"));
	http_proxies_finish(&proxies);
	assert_int_equal(http_proxies_init(&proxies, NULL, "https://u:hunter2@p", NULL, &err),
			 ERR_UNSUPPORTED);
	assert_null(strstr(err.text, "hunter2"));
	http_proxies_finish(&proxies);
	assert_int_equal(http_proxies_init(&proxies, "http://u:hunter2@p:x", NULL, NULL, &err),
			 ERR_INVALID);
	assert_null(strstr(err.text, "hunter2"));
	http_proxies_finish(&proxies);
	assert_int_equal(http_proxies_init(&proxies, "http://u:%zzhunter2@p", NULL, NULL, &err),
			 ERR_INVALID);
	assert_null(strstr(err.text, "hunter2"));
	http_proxies_finish(&proxies);

	setenv("HTTP_PROXY", "capital.test:1", 1);
	setenv("HTTPS_PROXY", "capital.test:2", 1);
	setenv("https_proxy", "small.test:3", 1);
	setenv("http_proxy", "", 1);
	setenv("NO_PROXY", "example.com", 1);
	unsetenv("no_proxy");
	assert_int_equal(http_proxies_from_env(&proxies, &err), 0);
	assert_true(str_is(proxies.http.url.host, "capital.test"));
	assert_true(str_is(proxies.https.url.host, "small.test") && proxies.https.url.port == 3);
	assert_true(direct(&proxies, "https://www.example.com/"));
	assert_false(direct(&proxies, "https://example.org/"));
	http_proxies_finish(&proxies);
	unsetenv("HTTP_PROXY");
	unsetenv("HTTPS_PROXY");
	unsetenv("https_proxy");
	unsetenv("http_proxy");
	unsetenv("NO_PROXY");
}

/* -- going ------------------------------------------------------------------------------ */

/* Watches who is to prove what, waits a moment, and gives the stream out as it came. */
struct watcher {
	struct dial_wrap wrap;
	struct loop *loop;
	struct timer timer;
	struct dial_wrapping *wrapping;
	char host[128];
	int starts;
	enum { LETS_PASS, REFUSES, HANGS, DOES_NOT_START } mood;
	int status;
};

static void on_below_closed(struct stream *stream)
{
	struct watcher *watcher = stream->data;

	call_end(&watcher->wrapping->call, watcher->status);
}

static void give_up(struct watcher *watcher, int status)
{
	timer_stop(&watcher->timer);
	watcher->status = status;
	watcher->wrapping->below->data = watcher;
	watcher->wrapping->below->on_closed = on_below_closed;
	stream_close(watcher->wrapping->below);
}

static void on_wrap_cancel(struct call *call)
{
	struct dial_wrapping *wrapping = container_of(call, struct dial_wrapping, call);

	give_up(wrapping->wrapper, ERR_CANCELED);
}

static void on_moment(struct timer *timer)
{
	struct watcher *watcher = container_of(timer, struct watcher, timer);

	if (watcher->mood == REFUSES) {
		err_set(&watcher->wrapping->err, ERR_ACCESS, "the certificate is for another host");
		give_up(watcher, ERR_ACCESS);
		return;
	}
	watcher->wrapping->stream = watcher->wrapping->below;
	call_end(&watcher->wrapping->call, 0);
}

static int watch_start(const struct dial_wrap *wrap, struct loop *loop,
		       struct dial_wrapping *wrapping)
{
	struct watcher *watcher = wrap->data;

	watcher->starts++;
	snprintf(watcher->host, sizeof(watcher->host), "%s", wrapping->host);
	if (watcher->mood == DOES_NOT_START)
		return err_set(&wrapping->err, ERR_INVALID, "no certificates");
	watcher->wrapping = wrapping;
	wrapping->wrapper = watcher;
	call_begin(&wrapping->call, on_wrap_cancel);
	if (watcher->mood != HANGS)
		timer_start(&watcher->timer, loop, 5, on_moment);
	return 0;
}

static void watcher_init(struct watcher *watcher, uint64_t id)
{
	memset(watcher, 0, sizeof(*watcher));
	watcher->wrap.id = id;
	watcher->wrap.data = watcher;
	watcher->wrap.start = watch_start;
}

struct proxied {
	struct rig rig;
	struct http_proxies proxies;
	struct watcher watcher;
};

static void proxied_init(struct proxied *at, const char *userinfo)
{
	char text[128];
	struct err err;

	memset(at, 0, sizeof(*at));
	snprintf(text, sizeof(text), "http://%s127.0.0.1:%d", userinfo, server.port);
	assert_int_equal(http_proxies_init(&at->proxies, text, text, NULL, &err), 0);
	rig_init(&at->rig, (struct http_client_config){ .proxies = &at->proxies });
	watcher_init(&at->watcher, 1);
}

static void proxied_finish(struct proxied *at)
{
	rig_finish(&at->rig);
	http_proxies_finish(&at->proxies);
}

static int ask(struct proxied *at, struct asked *asked, const char *url)
{
	prepare(asked, 0, "GET", "");
	asked->fetch.url = str_of(url);
	asked->fetch.wrap = &at->watcher.wrap;
	return run(&at->rig, asked);
}

static void test_absolute_form(void **state)
{
	struct proxied at;
	struct asked asked;

	(void)state;
	proxied_init(&at, "me:hunter2@");
	assert_int_equal(ask(&at, &asked, "http://far.test:81/echo?x"), 0);
	assert_true(says(asked.fetch.body_in, "GET http://far.test:81/echo?x HTTP/1.1\\r\\n"));
	assert_true(says(asked.fetch.body_in, "Host: far.test:81\\r\\n"));
	assert_true(says(asked.fetch.body_in, "Proxy-Authorization: Basic bWU6aHVudGVyMg==\\r\\n"));
	assert_int_equal(at.watcher.starts, 0);
	drop(&asked);
	proxied_finish(&at);
}

static void test_connect(void **state)
{
	struct proxied at;
	struct asked asked;

	(void)state;
	proxied_init(&at, "me:hunter2@");
	assert_int_equal(ask(&at, &asked, "https://far.test/echo"), 0);
	assert_true(says(asked.fetch.body_in, "GET /echo HTTP/1.1\\r\\n"));
	assert_true(says(asked.fetch.body_in, "Host: far.test\\r\\n"));
	assert_false(says(asked.fetch.body_in, "Proxy-Authorization"));
	assert_string_equal(at.watcher.host, "far.test");
	drop(&asked);
	/* the connection is kept, but not for what demands something else */
	assert_int_equal(ask(&at, &asked, "https://far.test/echo"), 0);
	assert_int_equal(at.watcher.starts, 1);
	drop(&asked);
	at.watcher.wrap.id = 2;
	assert_int_equal(ask(&at, &asked, "https://far.test/echo"), 0);
	assert_int_equal(at.watcher.starts, 2);
	drop(&asked);
	proxied_finish(&at);
}

static void test_proxies_that_fail(void **state)
{
	static const struct {
		const char *url;
		int status;
		const char *says;
	} cases[] = {
		{ "https://deny.test/", ERR_REFUSED, "GET https://deny.test/: proxy: HTTP 407" },
		{ "https://chatty.test/", ERR_SYNTAX, ": proxy: it speaks unasked" },
		{ "https://odd.test/", ERR_SYNTAX, ": proxy: malformed answer" },
		{ "https://gone.test/", ERR_CLOSED, ": proxy: connection closed" },
		{ "https://mute.test/", ERR_TIMEDOUT, ": connect: timed out" },
	};
	struct proxied at;
	struct asked asked;
	size_t i;

	(void)state;
	proxied_init(&at, "me:hunter2@");
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		prepare(&asked, 0, "GET", "");
		asked.fetch.url = str_of(cases[i].url);
		asked.fetch.wrap = &at.watcher.wrap;
		asked.fetch.connect_ms = 300;
		assert_int_equal(run(&at.rig, &asked), cases[i].status);
		assert_non_null(strstr(asked.fetch.err.text, cases[i].says));
		assert_null(strstr(asked.fetch.err.text, "hunter2"));
		drop(&asked);
	}
	assert_int_equal(at.watcher.starts, 0);
	proxied_finish(&at);
}

static void test_wraps_that_fail(void **state)
{
	struct watcher watcher;
	struct rig rig;
	struct asked asked;
	char url[64];

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	watcher_init(&watcher, 7);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/ok", server.port);
#define ASK()                                     \
	do {                                      \
		prepare(&asked, 0, "GET", "");    \
		asked.fetch.url = str_of(url);    \
		asked.fetch.wrap = &watcher.wrap; \
		asked.fetch.connect_ms = 200;     \
	} while (0)
	ASK();
	assert_int_equal(run(&rig, &asked), 0);
	assert_string_equal(watcher.host, "127.0.0.1");
	drop(&asked);
	http_client_forget(rig.client);
	watcher.mood = REFUSES;
	ASK();
	assert_int_equal(run(&rig, &asked), ERR_ACCESS);
	assert_non_null(strstr(asked.fetch.err.text, ": tls: the certificate is for another host"));
	drop(&asked);
	watcher.mood = DOES_NOT_START;
	ASK();
	assert_int_equal(run(&rig, &asked), ERR_INVALID);
	assert_non_null(strstr(asked.fetch.err.text, ": tls: no certificates"));
	drop(&asked);
	watcher.mood = HANGS;
	ASK();
	assert_int_equal(run(&rig, &asked), ERR_TIMEDOUT);
	drop(&asked);
	ASK();
	start(&rig, &asked);
	while (watcher.starts < 5)
		loop_turn(&rig.loop);
	call_cancel(&asked.fetch.call);
	finish(&rig, &asked);
	assert_int_equal(asked.status, ERR_CANCELED);
	drop(&asked);
	rig_finish(&rig);
}

/* A certificate of ours is not for hosts that a redirect names, and nothing leaves TLS. */
static void test_redirects_and_certificates(void **state)
{
	struct watcher watcher;
	struct rig rig;
	struct asked asked;
	char url[256];
	int i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	watcher_init(&watcher, 9);
	for (i = 0; i < 4; i++) {
		snprintf(url, sizeof(url), "https://127.0.0.1:%d/302?%s://%s:%d/ok", server.port,
			 i == 3 ? "http" : "https", i == 0 ? "127.0.0.1" : "localhost",
			 server.port);
		watcher.wrap.presents = i < 2;
		prepare(&asked, 0, "GET", "");
		asked.fetch.url = str_of(url);
		asked.fetch.wrap = &watcher.wrap;
		asked.fetch.redirects = 1;
		assert_int_equal(run(&rig, &asked), i % 2 ? ERR_UNSUPPORTED : 0);
		if (i == 1)
			assert_non_null(strstr(asked.fetch.err.text, "client's certificate"));
		if (i == 2)
			assert_string_equal(watcher.host, "localhost");
		if (i == 3)
			assert_non_null(strstr(asked.fetch.err.text, "from https to http"));
		drop(&asked);
	}
	rig_finish(&rig);
}

static int start_server(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	double_start(&server, "hostile_http.py");
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	program_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_absolute_form),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_proxies_that_fail),
		cmocka_unit_test(test_wraps_that_fail),
		cmocka_unit_test(test_redirects_and_certificates),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
