/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client: what it sends, which connections it keeps, what it repeats and follows. */
#include "fetch_rig.h"

#include "core/http_server.h"
#include "core/metric.h"

#include <dirent.h>

static struct program server;

#define BODY(asked) ((asked)->fetch.body_in)

/* The number of the connection, from an answer of /echo. */
static int connection(const struct asked *asked)
{
	const char *at = memmem(BODY(asked).p, BODY(asked).n, "\"connection\": ", 14);

	return at ? atoi(at + 14) : -1;
}

static int echo_connection(struct rig *rig, const char *method)
{
	struct asked asked;
	int number;

	prepare(&asked, server.port, method, "/echo");
	assert_int_equal(run(rig, &asked), 0);
	number = connection(&asked);
	drop(&asked);
	return number;
}

static int ask(struct rig *rig, const char *method, const char *target)
{
	struct asked asked;
	int rc;

	prepare(&asked, server.port, method, target);
	rc = run(rig, &asked);
	drop(&asked);
	return rc;
}

static void wait_ms(struct rig *rig, uint64_t ms)
{
	uint64_t until = loop_now(&rig->loop) + ms;

	while (loop_now(&rig->loop) < until) {
		loop_again(&rig->loop);
		loop_turn(&rig->loop);
		usleep(1000);
	}
}

/* -- what is sent ----------------------------------------------------------------------- */

static void test_request(void **state)
{
	struct http_header headers[] = { { STR("Accept"), STR("application/json") },
					 { STR("X-Empty"), STR("") } };
	struct secret password = { 0 }, token = { 0 };
	struct rig rig;
	struct asked asked;
	char host[64];

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	secret_set(&password, STR("open sesame"));
	secret_set(&token, STR("t0k3n"));
	prepare(&asked, server.port, "PUT", "/echo?a=b%20c#fragment");
	asked.fetch.headers = headers;
	asked.fetch.n_headers = ARRAY_LEN(headers);
	asked.fetch.body = STR("{\"x\": 1}");
	asked.fetch.user = STR("Aladdin");
	asked.fetch.password = &password;
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 200);
	snprintf(host, sizeof(host), "\\r\\nHost: 127.0.0.1:%d\\r\\n", server.port);
	assert_true(says(BODY(&asked), "PUT /echo?a=b%20c HTTP/1.1\\r\\n"));
	assert_true(says(BODY(&asked), host));
	assert_true(says(BODY(&asked), "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\\r\\n"));
	assert_true(says(BODY(&asked), "Accept: application/json\\r\\n"));
	assert_false(says(BODY(&asked), "*/*"));
	assert_true(says(BODY(&asked), "X-Empty: \\r\\n"));
	assert_true(says(BODY(&asked), "User-Agent: osbd/"));
	assert_true(says(BODY(&asked), "Content-Length: 8\\r\\n"));
	assert_true(says(BODY(&asked), "\"body\": \"{\\\"x\\\": 1}\""));
	assert_true(str_is(http_fetch_header(&asked.fetch, "content-length"),
			   arena_printf(&asked.arena, "%zu", BODY(&asked).n)));
	assert_null(strstr(asked.fetch.url_in, "a=b"));
	drop(&asked);

	prepare(&asked, server.port, "POST", "/echo");
	asked.fetch.bearer = &token;
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(says(BODY(&asked), "Authorization: Bearer t0k3n\\r\\n"));
	assert_true(says(BODY(&asked), "Content-Length: 0\\r\\n"));
	drop(&asked);

	assert_int_equal(get(&rig, &asked, server.port, "/echo"), 0);
	assert_false(says(BODY(&asked), "Authorization"));
	assert_false(says(BODY(&asked), "Content-Length"));
	assert_true(says(BODY(&asked), "Accept: */*\\r\\n"));
	drop(&asked);

	prepare(&asked, server.port, "HEAD", "/ok");
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(asked.fetch.status == 200 && BODY(&asked).n == 0);
	drop(&asked);
	secret_finish(&password);
	secret_finish(&token);
	rig_finish(&rig);
}

static void test_invalid_requests(void **state)
{
	static const char *const urls[] = {
		"",
		"ftp://host/",
		"http:/host/",
		"http://",
		"http:///path",
		"http://user:hunter2@host/",
		"http://host:0/",
		"http://host:65536/",
		"http://host:80a/",
		"http://ho st/",
		"http://host/a b?hunter2",
		"http://host/\r\nX: hunter2",
		"http://host/%zz",
		"http://[::1/",
		"http://[1.2.3.4]/",
		"http://h%C3%A4/",
		"https://host/", /* no TLS here */
	};
	static const char *const methods[] = { "", "get", "GET ", "CONNECT", "GET\r\n" };
	static const struct http_header headers[] = {
		{ { "Host", 4 }, { "a", 1 } },
		{ { "content-length", 14 }, { "1", 1 } },
		{ { "Authorization", 13 }, { "hunter2", 7 } },
		{ { "X:", 2 }, { "a", 1 } },
		{ { "", 0 }, { "a", 1 } },
		{ { "X", 1 }, { "hunter2\r\nY: b", 13 } },
		{ { "X", 1 }, { "a\0b", 3 } },
	};
	struct secret secret = { 0 }, token = { 0 };
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	secret_set(&secret, STR("hunter2"));
#define REFUSED()                                                                          \
	do {                                                                               \
		assert_int_equal(http_fetch_start(rig.client, &asked.fetch), ERR_INVALID); \
		assert_int_equal(asked.fetch.err.code, ERR_INVALID);                       \
		assert_true(asked.fetch.err.text[0] != '\0');                              \
		assert_null(strstr(asked.fetch.err.text, "hunter2"));                      \
		drop(&asked);                                                              \
	} while (0)
	for (i = 0; i < ARRAY_LEN(urls); i++) {
		prepare(&asked, 80, "GET", "/");
		asked.fetch.url = str_of(urls[i]);
		REFUSED();
	}
	for (i = 0; i < ARRAY_LEN(methods); i++) {
		prepare(&asked, 80, methods[i], "/");
		REFUSED();
	}
	for (i = 0; i < ARRAY_LEN(headers); i++) {
		prepare(&asked, 80, "GET", "/?hunter2");
		asked.fetch.headers = &headers[i];
		asked.fetch.n_headers = 1;
		REFUSED();
	}
	prepare(&asked, 80, "GET", "/");
	asked.fetch.password = asked.fetch.bearer = &secret;
	REFUSED();
	secret_set(&token, STR("hunter2\r\nX-Injected: yes"));
	prepare(&asked, 80, "GET", "/");
	asked.fetch.bearer = &token;
	REFUSED();
	prepare(&asked, 80, "GET", "/");
	asked.fetch.user = STR("a:b");
	asked.fetch.password = &secret;
	REFUSED();
	prepare(&asked, 80, "GET", "/");
	asked.fetch.unix_socket = "relative";
	REFUSED();
	assert_false(asked.done);
	secret_finish(&token);
	secret_finish(&secret);
	rig_finish(&rig);
}

static void test_where_it_failed(void **state)
{
	struct rig rig;
	struct asked asked;
	char wanted[128];
	int port;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	{
		struct program gone;

		double_start(&gone, "hostile_http.py");
		port = gone.port;
		program_stop(&gone);
	}
	prepare(&asked, port, "GET", "/a?password=hunter2");
	assert_int_equal(run(&rig, &asked), ERR_REFUSED);
	snprintf(wanted, sizeof(wanted), "GET http://127.0.0.1:%d/a: connect: connection refused",
		 port);
	assert_string_equal(asked.fetch.err.text, wanted);
	drop(&asked);
	prepare(&asked, 0, "GET", "");
	asked.fetch.url = STR("http://nobody.invalid./x");
	assert_true(run(&rig, &asked) != 0);
	assert_true(str_starts(str_of(asked.fetch.err.text),
			       STR("GET http://nobody.invalid./x: resolve: ")));
	drop(&asked);
	prepare(&asked, 0, "GET", "");
	asked.fetch.url = STR("http://1.2.3/x");
	assert_int_equal(run(&rig, &asked), ERR_INVALID);
	assert_string_equal(asked.fetch.err.text,
			    "GET http://1.2.3/x: resolve: this is no host name");
	drop(&asked);
	rig_finish(&rig);
}

/* -- connections ------------------------------------------------------------------------ */

static void test_kept(void **state)
{
	struct rig rig;
	int first;

	(void)state;
	rig_init(&rig, (struct http_client_config){ .idle_ms = 150 });
	first = echo_connection(&rig, "GET");
	assert_int_equal(echo_connection(&rig, "GET"), first);
	assert_int_equal(echo_connection(&rig, "DELETE"), first);
	assert_true(echo_connection(&rig, "POST") != first);
	http_client_forget(rig.client);
	first = echo_connection(&rig, "GET");
	wait_ms(&rig, 250);
	assert_true(echo_connection(&rig, "GET") != first);
	rig_finish(&rig);
}

static void test_repeated_once(void **state)
{
	static const struct {
		const char *method;
		bool body, repeated;
	} cases[] = {
		{ "GET", false, true },  { "DELETE", false, true }, { "PUT", true, true },
		{ "POST", true, false }, { "PATCH", true, false },
	};
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		http_client_forget(rig.client);
		assert_int_equal(ask(&rig, "GET", "/stale"), 0);
		prepare(&asked, server.port, cases[i].method, "/echo");
		if (cases[i].body)
			asked.fetch.body = STR("body");
		assert_int_equal(run(&rig, &asked), 0);
		assert_int_equal(asked.fetch.repeated, cases[i].repeated);
		assert_int_equal(says(BODY(&asked), "\"body\": \"body\""), cases[i].body);
		drop(&asked);
	}
	/* a second death is final */
	http_client_forget(rig.client);
	assert_int_equal(ask(&rig, "GET", "/stale"), 0);
	prepare(&asked, server.port, "GET", "/nothing");
	assert_int_equal(run(&rig, &asked), ERR_CLOSED);
	assert_true(asked.fetch.repeated);
	drop(&asked);
	/* so is one behind the first byte */
	assert_int_equal(ask(&rig, "GET", "/ok"), 0);
	prepare(&asked, server.port, "GET", "/cut-head");
	assert_int_equal(run(&rig, &asked), ERR_CLOSED);
	assert_false(asked.fetch.repeated);
	drop(&asked);
	rig_finish(&rig);
}

/* What happens to a connection while it is idle costs no request anything. */
static void test_idle_deaths(void **state)
{
	static const char *const paths[] = { "/drop-soon", "/unasked" };
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(ask(&rig, "GET", paths[i]), 0);
		wait_ms(&rig, 200);
		prepare(&asked, server.port, "GET", "/ok");
		assert_int_equal(run(&rig, &asked), 0);
		assert_false(asked.fetch.repeated);
		drop(&asked);
	}
	rig_finish(&rig);
}

static void test_caps(void **state)
{
	struct asked asked[8], late, canceled;
	struct rig rig;
	uint64_t from;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ .connections = 2, .idle = 1 });
	from = loop_now(&rig.loop);
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		prepare(&asked[i], server.port, i % 3 ? "GET" : "POST", "/late");
		start(&rig, &asked[i]);
	}
	prepare(&late, server.port, "GET", "/late");
	late.fetch.connect_ms = 100;
	start(&rig, &late);
	prepare(&canceled, server.port, "GET", "/late");
	start(&rig, &canceled);
	finish(&rig, &late);
	assert_int_equal(late.status, ERR_TIMEDOUT);
	assert_non_null(strstr(late.fetch.err.text, "no connection was free"));
	call_cancel(&canceled.fetch.call);
	finish(&rig, &canceled);
	assert_int_equal(canceled.status, ERR_CANCELED);
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		finish(&rig, &asked[i]);
		assert_int_equal(asked[i].status, 0);
		drop(&asked[i]);
	}
	/* 300 ms each, two at a time */
	assert_in_range(loop_now(&rig.loop) - from, 1190, 4000);
	drop(&late);
	drop(&canceled);
	rig_finish(&rig);
}

static void test_one_thread(void **state)
{
	struct asked asked[40];
	struct rig rig;
	struct dirent *entry;
	DIR *dir;
	int n = 0;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		prepare(&asked[i], server.port, "GET", "/late");
		start(&rig, &asked[i]);
	}
	wait_ms(&rig, 100);
	dir = opendir("/proc/self/task");
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(n, 1);
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		finish(&rig, &asked[i]);
		assert_int_equal(asked[i].status, 0);
		drop(&asked[i]);
	}
	rig_finish(&rig);
}

struct unix_rig {
	struct http_server *server;
	char bound[128];
	bool gone;
};

static void answer_path(struct http_request *req, void *data)
{
	(void)data;
	http_respond(req, 200, req->path);
}

static void on_server_gone(void *data)
{
	((struct unix_rig *)data)->gone = true;
}

static void test_unix_socket(void **state)
{
	struct http_limits limits = { 0 };
	struct unix_rig at = { 0 };
	struct metrics metrics;
	struct rig rig;
	struct asked asked;
	struct err err;
	char address[64];

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	snprintf(address, sizeof(address), "unix:/tmp/osbd-client-%d.sock", (int)getpid());
	metrics_init(&metrics);
	at.server = http_server_create(&rig.loop, &limits, NULL, &metrics, answer_path, NULL);
	assert_int_equal(
		http_server_listen(at.server, address, "/", NULL, at.bound, sizeof(at.bound), &err),
		0);
	prepare(&asked, 80, "GET", "/");
	asked.fetch.url = STR("http://daemon/by/socket");
	asked.fetch.unix_socket = address + 5;
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(str_is(BODY(&asked), "/by/socket"));
	drop(&asked);
	http_client_forget(rig.client);
	http_server_destroy(at.server, on_server_gone, &at);
	loop_run_until(&rig.loop, &at.gone);
	rig_finish(&rig);
}

/* -- redirects -------------------------------------------------------------------------- */

static void test_redirects(void **state)
{
	static const struct {
		const char *method, *target;
		int status; /* of the call */
		int http;
		const char *line; /* of what was asked last */
		unsigned n;
		bool body;
	} cases[] = {
		{ "GET", "/302?/echo", 0, 200, "GET /echo HTTP", 1, false },
		{ "GET", "/301?echo", 0, 200, "GET /echo HTTP", 1, false },
		{ "GET", "/302?/a/b/../../echo?x=y", 0, 200, "GET /echo?x=y HTTP", 1, false },
		{ "GET", "/302?/303?/307?/echo", 0, 200, "GET /echo HTTP", 3, false },
		{ "GET", "/302?/302?/302?/302?/echo", 0, 302, NULL, 3, false },
		{ "POST", "/303?/echo", 0, 200, "GET /echo HTTP", 1, false },
		{ "POST", "/302?/echo", 0, 200, "GET /echo HTTP", 1, false },
		{ "PUT", "/302?/echo", 0, 200, "PUT /echo HTTP", 1, true },
		{ "POST", "/307?/echo", 0, 200, "POST /echo HTTP", 1, true },
		{ "GET", "/302?", 0, 302, NULL, 0, false },
		{ "GET", "/302-endless?/echo", 0, 200, "GET /echo HTTP", 1, false },
		{ "GET", "/302?https://127.0.0.1/", ERR_UNSUPPORTED, 0, "TLS is not set up", 0,
		  false },
		{ "GET", "/302?ftp://host/", ERR_UNSUPPORTED, 0, "redirect: the URL must", 0,
		  false },
		{ "GET", "/302?http://u:hunter2@host/", ERR_UNSUPPORTED, 0, "redirect: ", 0,
		  false },
	};
	struct http_header headers[] = { { STR("Content-Type"), STR("text/x") },
					 { STR("Cookie"), STR("a=b") } };
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		prepare(&asked, server.port, cases[i].method, cases[i].target);
		if (strcmp(cases[i].method, "GET") != 0)
			asked.fetch.body = STR("body");
		asked.fetch.headers = headers;
		asked.fetch.n_headers = 2;
		asked.fetch.redirects = 3;
		run(&rig, &asked);
		if (asked.status != cases[i].status || asked.fetch.status != cases[i].http)
			print_message("%s: %s, HTTP %d\n", cases[i].target, asked.fetch.err.text,
				      asked.fetch.status);
		assert_int_equal(asked.status, cases[i].status);
		assert_int_equal(asked.fetch.status, cases[i].http);
		assert_int_equal(asked.fetch.n_redirects, cases[i].n);
		if (cases[i].status != 0) {
			assert_non_null(strstr(asked.fetch.err.text, cases[i].line));
			assert_null(strstr(asked.fetch.err.text, "hunter2"));
		} else if (cases[i].line) {
			bool became_get = strcmp(cases[i].method, "GET") != 0 && !cases[i].body;

			assert_true(says(BODY(&asked), cases[i].line));
			assert_int_equal(says(BODY(&asked), "\"body\": \"body\""), cases[i].body);
			assert_int_equal(says(BODY(&asked), "Content-Type"), !became_get);
			assert_true(says(BODY(&asked), "Cookie: a=b"));
		}
		drop(&asked);
	}
	assert_int_equal(get(&rig, &asked, server.port, "/302?/echo"), 0);
	assert_int_equal(asked.fetch.status, 302);
	assert_true(str_is(BODY(&asked), "look over there"));
	drop(&asked);
	rig_finish(&rig);
}

static void test_no_credentials_to_others(void **state)
{
	struct http_header headers[] = { { STR("Cookie"), STR("hunter2") },
					 { STR("X-Mine"), STR("kept") } };
	struct secret password = { 0 };
	struct rig rig;
	struct asked asked;
	char target[256];
	int i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	secret_set(&password, STR("hunter2"));
	for (i = 0; i < 3; i++) {
		/* to itself, to another name, and by way of that name back to itself */
		if (i == 0)
			snprintf(target, sizeof(target), "/302?/echo");
		else if (i == 1)
			snprintf(target, sizeof(target), "/302?http://localhost:%d/echo",
				 server.port);
		else
			snprintf(target, sizeof(target),
				 "/302?http://localhost:%d/302?http://127.0.0.1:%d/echo",
				 server.port, server.port);
		prepare(&asked, server.port, "GET", target);
		asked.fetch.headers = headers;
		asked.fetch.n_headers = 2;
		asked.fetch.user = STR("u");
		asked.fetch.password = &password;
		asked.fetch.redirects = 5;
		assert_int_equal(run(&rig, &asked), 0);
		assert_int_equal(says(BODY(&asked), "Authorization"), i == 0);
		assert_int_equal(says(BODY(&asked), "hunter2"), i == 0);
		assert_true(says(BODY(&asked), "X-Mine: kept"));
		assert_int_equal(strstr(asked.fetch.url_in, "localhost") != NULL, i == 1);
		drop(&asked);
	}
	secret_finish(&password);
	rig_finish(&rig);
}

/* -- bodies, both ways ------------------------------------------------------------------ */

struct maker {
	size_t left, piece; /* bytes */
	int laters;         /* how often it says so before each piece */
	int later;
	char block[64 << 10];
	struct timer timer;
	struct http_fetch *fetch;
	struct loop *loop;
	int fail;
};

static void on_more(struct timer *timer)
{
	http_fetch_more(container_of(timer, struct maker, timer)->fetch);
}

static int make(struct http_fetch *fetch, struct str *chunk)
{
	struct maker *maker = fetch->data;
	size_t n = maker->left < maker->piece ? maker->left : maker->piece;

	if (maker->later++ < maker->laters) {
		timer_start(&maker->timer, maker->loop, 5, on_more);
		return HTTP_LATER;
	}
	maker->later = 0;
	if (!n)
		return maker->fail ? maker->fail : HTTP_END;
	maker->left -= n;
	*chunk = str_make(maker->block, n);
	return 0;
}

static void produce(struct rig *rig, struct asked *asked, struct maker *maker, uint64_t length,
		    size_t n, size_t piece, const char *target)
{
	memset(maker, 0, sizeof(*maker));
	memset(maker->block, 'x', sizeof(maker->block));
	maker->left = n;
	maker->piece = piece;
	maker->loop = &rig->loop;
	maker->fetch = &asked->fetch;
	prepare(asked, server.port, "PUT", target);
	asked->fetch.produce = make;
	asked->fetch.length = length;
	asked->fetch.data = maker;
	asked->fetch.body_max = 16 << 20;
}

static void test_produced(void **state)
{
	static const struct {
		uint64_t length;
		size_t n, piece;
		int laters, fail;
		int status;
		const char *says;
	} cases[] = {
		{ HTTP_CHUNKED, 10, 3, 0, 0, 0, "\"bytes\": 10," },
		{ HTTP_CHUNKED, 0, 3, 0, 0, 0, "\"bytes\": 0," },
		{ HTTP_CHUNKED, 100, 10, 2, 0, 0, "\"bytes\": 100," },
		{ HTTP_CHUNKED, 5000000, 65536, 0, 0, 0, "\"bytes\": 5000000," },
		{ 5000000, 5000000, 60000, 0, 0, 0, "\"bytes\": 5000000," },
		{ 10, 10, 3, 1, 0, 0, "Content-Length: 10" },
		{ 0, 0, 3, 0, 0, 0, "Content-Length: 0" },
		{ 10, 9, 3, 0, 0, ERR_INVALID, "the body has 9 bytes, 10 were announced" },
		{ 10, 11, 3, 0, 0, ERR_INVALID, "the body has more than the 10 bytes" },
		{ HTTP_CHUNKED, 10, 3, 0, ERR_IO, ERR_IO, "the body: input/output error" },
	};
	static struct maker maker;
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		produce(&rig, &asked, &maker, cases[i].length, cases[i].n, cases[i].piece, "/echo");
		maker.laters = cases[i].laters;
		maker.fail = cases[i].fail;
		run(&rig, &asked);
		timer_stop(&maker.timer); /* the answer may come before the body's end is told */
		assert_int_equal(asked.status, cases[i].status);
		if (asked.status == 0)
			assert_true(says(BODY(&asked), cases[i].says));
		else
			assert_non_null(strstr(asked.fetch.err.text, cases[i].says));
		assert_int_equal(asked.status == 0 && cases[i].length == HTTP_CHUNKED,
				 asked.status == 0 &&
					 says(BODY(&asked), "Transfer-Encoding: chunked"));
		drop(&asked);
		assert_int_equal(ask(&rig, "GET", "/ok"), 0);
	}
	rig_finish(&rig);
}

static void test_answer_before_the_body(void **state)
{
	static struct maker maker;
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	produce(&rig, &asked, &maker, HTTP_CHUNKED, 1 << 30, 65536, "/early");
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 413);
	assert_true(str_is(BODY(&asked), "large"));
	assert_true(maker.left > 0);
	drop(&asked);
	rig_finish(&rig);
}

static void test_peer_that_does_not_read(void **state)
{
	static struct maker maker;
	struct rig rig;
	struct asked asked;
	char *body = mem_zalloc(32 << 20);

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	produce(&rig, &asked, &maker, HTTP_CHUNKED, 1 << 30, 65536, "/slow-reader");
	asked.fetch.silence_ms = 200;
	assert_int_equal(run(&rig, &asked), ERR_TIMEDOUT);
	assert_non_null(strstr(asked.fetch.err.text, "the peer takes no more of the request"));
	assert_true(maker.left > 0);
	drop(&asked);
	/* a body that stays borrowed until done, by a write that never ends */
	prepare(&asked, server.port, "PUT", "/slow-reader");
	asked.fetch.body = str_make(body, 32 << 20);
	asked.fetch.silence_ms = 200;
	assert_int_equal(run(&rig, &asked), ERR_TIMEDOUT);
	mem_free(body);
	drop(&asked);
	rig_finish(&rig);
}

static int keep(struct http_fetch *fetch, struct str bytes)
{
	struct asked *asked = container_of(fetch, struct asked, fetch);

	buf_put_str(&asked->got, bytes);
	if (fetch->data && asked->got.n >= *(size_t *)fetch->data)
		http_fetch_pause(fetch);
	return 0;
}

static int refuse(struct http_fetch *fetch, struct str bytes)
{
	(void)fetch;
	(void)bytes;
	return ERR_CONFLICT;
}

static void on_head(struct http_fetch *fetch)
{
	struct asked *asked = container_of(fetch, struct asked, fetch);

	assert_int_equal(fetch->status, 200);
	asked->heads++;
}

static void test_watch(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	prepare(&asked, server.port, "GET", "/watch?5");
	asked.fetch.on_head = on_head;
	asked.fetch.on_body = keep;
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.heads, 1);
	assert_string_equal(asked.got.p, "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
	assert_null(BODY(&asked).p);
	drop(&asked);
	/* one that never ends, but for the cancel */
	prepare(&asked, server.port, "GET", "/watch");
	asked.fetch.on_body = keep;
	asked.fetch.whole_ms = HTTP_NEVER;
	asked.fetch.silence_ms = 2000;
	start(&rig, &asked);
	while (!asked.got.p || !strstr(asked.got.p, "{\"n\":5}\n")) {
		loop_turn(&rig.loop);
		assert_false(asked.done);
	}
	call_cancel(&asked.fetch.call);
	finish(&rig, &asked);
	assert_int_equal(asked.status, ERR_CANCELED);
	drop(&asked);
	/* one that its consumer refuses */
	prepare(&asked, server.port, "GET", "/watch");
	asked.fetch.on_body = refuse;
	assert_int_equal(run(&rig, &asked), ERR_CONFLICT);
	assert_non_null(strstr(asked.fetch.err.text, ": the body: conflict"));
	drop(&asked);
	rig_finish(&rig);
}

static void test_back_pressure(void **state)
{
	size_t pause_at = 100 * 1000, got, total = 20 * 1000 * 1000;
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	prepare(&asked, server.port, "GET", "/big?20000000");
	asked.fetch.on_body = keep;
	asked.fetch.data = &pause_at;
	asked.fetch.silence_ms = 200;
	start(&rig, &asked);
	while (asked.got.n < pause_at)
		loop_turn(&rig.loop);
	got = asked.got.n;
	wait_ms(&rig, 400); /* longer than the silence allowed: it is ours */
	assert_false(asked.done);
	assert_true(asked.got.n <= got + HTTP_FETCH_READ);
	pause_at = SIZE_MAX;
	http_fetch_resume(&asked.fetch);
	http_fetch_resume(&asked.fetch);
	finish(&rig, &asked);
	assert_int_equal(asked.status, 0);
	assert_int_equal(asked.got.n, total);
	for (got = 0; got < total; got++)
		if ((unsigned char)asked.got.p[got] != got % 256)
			fail_msg("byte %zu is another", got);
	drop(&asked);
	rig_finish(&rig);
}

static void test_body_max(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	prepare(&asked, server.port, "GET", "/big?1000");
	asked.fetch.body_max = 1000;
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(BODY(&asked).n, 1000);
	drop(&asked);
	prepare(&asked, server.port, "GET", "/big?1001");
	asked.fetch.body_max = 1000;
	assert_int_equal(run(&rig, &asked), ERR_TOOBIG);
	assert_int_equal(asked.fetch.status, 200);
	drop(&asked);
	rig_finish(&rig);
}

static void test_retry_after(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	assert_int_equal(get(&rig, &asked, server.port, "/busy"), 0);
	assert_true(asked.fetch.has_retry_after);
	assert_int_equal(asked.fetch.retry_after, 7000);
	drop(&asked);
	assert_int_equal(get(&rig, &asked, server.port, "/ok"), 0);
	assert_false(asked.fetch.has_retry_after);
	drop(&asked);
	rig_finish(&rig);
}

static int start_server(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	setenv("UV_USE_IO_URING", "0", 1);
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
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_invalid_requests),
		cmocka_unit_test(test_where_it_failed),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_repeated_once),
		cmocka_unit_test(test_idle_deaths),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_one_thread),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_no_credentials_to_others),
		cmocka_unit_test(test_produced),
		cmocka_unit_test(test_answer_before_the_body),
		cmocka_unit_test(test_peer_that_does_not_read),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_body_max),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
