/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against nginx, plain and with TLS, and HAProxy, each started by the test with a configuration of its
 * own in a temporary folder. */
#include "fetch_rig.h"

#include "core/digest.h"
#include "tls/tls_dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FILE_SIZE (1 << 20)

static struct program nginx, haproxy;
static char dir[64], nginx_socket[96], haproxy_socket[96], page[FILE_SIZE];
static int port, tls_port; /* nginx's */

/* Free a moment ago; whoever takes it first makes the start fail, and another is tried. */
static int free_port(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&to, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
	close(fd);
	return ntohs(to.sin_port);
}

static void write_file(const char *name, const void *p, size_t n)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(p, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

/* A socket's file is there before anybody listens. */
static bool takes(int family, const struct sockaddr *to, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = connect(fd, to, size);

	close(fd);
	return rc == 0;
}

static bool takes_tcp(int number)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)number),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return takes(AF_INET, (struct sockaddr *)&to, sizeof(to));
}

/* ports: 0 ends them. */
static bool appears(struct program *program, const char *path, const int *ports)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int i;

	snprintf(to.sun_path, sizeof(to.sun_path), "%.100s", path);
	for (i = 0; i < 500; i++) {
		if (takes(AF_UNIX, (struct sockaddr *)&to, sizeof(to))) {
			while (*ports && takes_tcp(*ports))
				ports++;
			if (!*ports)
				return true;
		}
		if (waitpid(program->pid, NULL, WNOHANG) == program->pid)
			return false;
		usleep(10 * 1000);
	}
	return false;
}

static void start_nginx(void)
{
	char text[8192], conf[160], log[160];
	const char *argv[] = { "/usr/sbin/nginx", "-p", dir, "-c", conf, "-e", log, NULL };
	int i;

	snprintf(conf, sizeof(conf), "%s/nginx.conf", dir);
	snprintf(log, sizeof(log), "%s/nginx.log", dir);
	for (i = 0; i < 5; i++) {
		port = free_port();
		tls_port = free_port();
		snprintf(
			text, sizeof(text),
			"daemon off; master_process off; pid %s/nginx.pid;\n"
			"events { worker_connections 64; }\n"
			"http {\n"
			"access_log off; keepalive_requests 3; keepalive_timeout 700ms;\n"
			"client_body_temp_path %s/tmp; proxy_temp_path %s/tmp;\n"
			"fastcgi_temp_path %s/tmp; uwsgi_temp_path %s/tmp; scgi_temp_path %s/tmp;\n"
			"server { listen 127.0.0.1:%d; listen unix:%s; root %s/www;\n"
			"location /moved { return 302 /page; }\n"
			"location /gone { return 444; }\n"
			"location /secret { auth_basic x; auth_basic_user_file %s/users;"
			" try_files /page =404; }\n"
			"location /dav/ { dav_methods PUT DELETE; client_max_body_size 16m; }\n"
			"location /small/ { dav_methods PUT; client_max_body_size 1k; }\n"
			"}\n"
			"server { listen 127.0.0.1:%d ssl; server_name one.test; root %s/www;\n"
			"ssl_certificate %s/one.pem; ssl_certificate_key %s/one.key;\n"
			"ssl_client_certificate %s/ca.pem; ssl_verify_client optional;\n"
			"location /mine { if ($ssl_client_verify != SUCCESS) { return 403; }\n"
			" try_files /page =404; }\n"
			"} }\n",
			dir, dir, dir, dir, dir, dir, port, nginx_socket, dir, dir, tls_port, dir,
			dir, dir, dir);
		write_file("nginx.conf", text, strlen(text));
		unlink(nginx_socket);
		program_start(&nginx, argv);
		if (appears(&nginx, nginx_socket, (const int[]){ port, tls_port, 0 }))
			return;
	}
	fail_msg("nginx does not start, see %s", log);
}

static void start_haproxy(void)
{
	char text[2048], conf[160];
	const char *argv[] = { "/usr/sbin/haproxy", "-db", "-q", "-f", conf, NULL };

	snprintf(conf, sizeof(conf), "%s/haproxy.cfg", dir);
	snprintf(text, sizeof(text),
		 "global\n  maxconn 100\n  nbthread 1\n"
		 "defaults\n  mode http\n  timeout connect 1s\n  timeout server 5s\n"
		 "  timeout client 5s\n  timeout http-keep-alive 300ms\n  retries 0\n"
		 "frontend in\n  bind unix@%s\n"
		 "  http-request return status 429 hdr Retry-After 3 if { path /limit }\n"
		 "  http-request redirect code 307 location /page if { path /away }\n"
		 "  use_backend none if { path /none }\n  default_backend web\n"
		 "backend web\n  server one 127.0.0.1:%d\n"
		 "backend none\n  server one unix@%s/nobody.sock\n",
		 haproxy_socket, port, dir);
	write_file("haproxy.cfg", text, strlen(text));
	program_start(&haproxy, argv);
	if (!appears(&haproxy, haproxy_socket, (const int[]){ 0 }))
		fail_msg("haproxy does not start");
}

static bool is_page(const struct asked *asked)
{
	struct str body = asked->fetch.body_in;

	return body.n == FILE_SIZE && memcmp(body.p, page, FILE_SIZE) == 0;
}

static void prepare_page(struct asked *asked, const char *method, const char *target)
{
	prepare(asked, port, method, target);
	asked->fetch.body_max = 16 << 20;
}

/* More requests than nginx lets one connection have. */
static void test_nginx_ends_connections(void **state)
{
	struct rig rig;
	struct asked asked;
	int i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < 10; i++) {
		prepare_page(&asked, "GET", "/page");
		assert_int_equal(run(&rig, &asked), 0);
		assert_int_equal(asked.fetch.status, 200);
		assert_true(is_page(&asked));
		assert_true(http_fetch_header(&asked.fetch, "etag").n > 0);
		if (i == 5)
			usleep(900 * 1000); /* past nginx's patience with idle ones */
		drop(&asked);
	}
	rig_finish(&rig);
}

static void test_nginx_answers(void **state)
{
	struct secret password = { 0 };
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	secret_set(&password, STR("pass word"));
	assert_int_equal(get(&rig, &asked, port, "/missing"), 0);
	assert_int_equal(asked.fetch.status, 404);
	drop(&asked);
	prepare_page(&asked, "GET", "/secret");
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 401);
	drop(&asked);
	prepare_page(&asked, "GET", "/secret");
	asked.fetch.user = STR("me");
	asked.fetch.password = &password;
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 200);
	drop(&asked);
	prepare_page(&asked, "HEAD", "/page");
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(str_is(http_fetch_header(&asked.fetch, "content-length"), "1048576"));
	drop(&asked);
	prepare_page(&asked, "GET", "/moved");
	asked.fetch.redirects = 1;
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(is_page(&asked) && asked.fetch.n_redirects == 1);
	drop(&asked);
	http_client_forget(rig.client);
	assert_int_equal(get(&rig, &asked, port, "/gone"), ERR_CLOSED);
	drop(&asked);
	prepare(&asked, 1, "GET", "/page");
	asked.fetch.unix_socket = nginx_socket;
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(is_page(&asked));
	drop(&asked);
	secret_finish(&password);
	rig_finish(&rig);
}

struct feeder {
	size_t at;
};

static int feed(struct http_fetch *fetch, struct str *chunk)
{
	struct feeder *feeder = fetch->data;
	size_t n = FILE_SIZE - feeder->at < 50000 ? FILE_SIZE - feeder->at : 50000;

	if (!n)
		return HTTP_END;
	*chunk = str_make(page + feeder->at, n);
	feeder->at += n;
	return 0;
}

static void test_nginx_takes_bodies(void **state)
{
	struct feeder feeder = { 0 };
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	prepare_page(&asked, "PUT", "/dav/copy");
	asked.fetch.produce = feed;
	asked.fetch.length = HTTP_CHUNKED;
	asked.fetch.data = &feeder;
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 201);
	drop(&asked);
	prepare_page(&asked, "GET", "/dav/copy");
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(is_page(&asked));
	drop(&asked);
	prepare_page(&asked, "PUT", "/dav/copy");
	asked.fetch.body = STR("short");
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 204);
	drop(&asked);
	prepare_page(&asked, "GET", "/dav/copy");
	assert_int_equal(run(&rig, &asked), 0);
	assert_true(str_is(asked.fetch.body_in, "short"));
	drop(&asked);
	prepare_page(&asked, "DELETE", "/dav/copy");
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 204);
	drop(&asked);
	prepare_page(&asked, "PUT", "/small/copy");
	asked.fetch.body = str_make(page, FILE_SIZE);
	assert_int_equal(run(&rig, &asked), 0);
	assert_int_equal(asked.fetch.status, 413);
	drop(&asked);
	rig_finish(&rig);
}

/* pair: NULL, or the name of the certificate that we show. */
static struct tls_dial *tls(struct tls_budget *budget, const char *ca, const char *pair)
{
	char paths[3][160];
	struct tls_client_options options = { .ca = paths[0] };
	struct tls_dial *dial;
	struct err err;

	snprintf(paths[0], sizeof(paths[0]), "%s/%s", dir, ca);
	if (pair) {
		snprintf(paths[1], sizeof(paths[1]), "%s/%s.pem", dir, pair);
		snprintf(paths[2], sizeof(paths[2]), "%s/%s.key", dir, pair);
		options.pair = (struct tls_files){ paths[1], paths[2] };
	}
	assert_int_equal(tls_dial_create(&options, budget, &dial, &err), 0);
	return dial;
}

static void ask_tls(struct rig *rig, struct asked *asked, const struct tls_dial *dial,
		    const char *host, int at, const char *target)
{
	prepare_page(asked, "GET", target);
	snprintf(asked->url, sizeof(asked->url), "https://%s:%d%s", host, at, target);
	asked->fetch.url = str_of(asked->url);
	asked->fetch.wrap = tls_dial_wrap(dial);
	run(rig, asked);
}

static void test_nginx_with_tls(void **state)
{
	struct tls_dial *plain, *alice, *other;
	struct tls_budget budget;
	struct rig rig;
	struct asked asked;
	int i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	tls_budget_init(&budget, &rig.loop, 0, 0, NULL);
	plain = tls(&budget, "ca.pem", NULL);
	alice = tls(&budget, "ca.pem", "alice");
	other = tls(&budget, "other.pem", NULL);
	for (i = 0; i < 5; i++) {
		ask_tls(&rig, &asked, plain, "127.0.0.1", tls_port, "/page");
		assert_int_equal(asked.status, 0);
		assert_true(is_page(&asked));
		drop(&asked);
	}
	/* what one may see the other may not: their connections are apart */
	for (i = 0; i < 4; i++) {
		ask_tls(&rig, &asked, i % 2 ? alice : plain, "localhost", tls_port, "/mine");
		assert_int_equal(asked.status, 0);
		assert_int_equal(asked.fetch.status, i % 2 ? 200 : 403);
		drop(&asked);
	}
	ask_tls(&rig, &asked, other, "127.0.0.1", tls_port, "/page");
	assert_int_equal(asked.status, ERR_ACCESS);
	assert_non_null(strstr(asked.fetch.err.text, "/page: tls: "));
	drop(&asked);
	/* the port without TLS */
	ask_tls(&rig, &asked, plain, "127.0.0.1", port, "/page");
	assert_true(asked.status != 0);
	assert_non_null(strstr(asked.fetch.err.text, "/page: tls: "));
	drop(&asked);
	http_client_destroy(rig.client, on_rig_destroyed, &rig);
	loop_run_until(&rig.loop, &rig.destroyed);
	tls_dial_destroy(plain);
	tls_dial_destroy(alice);
	tls_dial_destroy(other);
	tls_budget_finish(&budget);
	dns_destroy(rig.dns);
	assert_int_equal(loop_finish(&rig.loop), 0);
}

static void ask_haproxy(struct rig *rig, struct asked *asked, const char *target)
{
	prepare(asked, 80, "GET", target);
	asked->fetch.unix_socket = haproxy_socket;
	asked->fetch.body_max = 16 << 20;
	asked->fetch.redirects = 1;
	run(rig, asked);
}

static void test_haproxy(void **state)
{
	struct rig rig;
	struct asked asked;
	int i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < 6; i++) {
		ask_haproxy(&rig, &asked, i % 2 ? "/away" : "/page");
		assert_int_equal(asked.status, 0);
		assert_true(is_page(&asked));
		assert_int_equal(asked.fetch.n_redirects, i % 2);
		if (i == 3)
			usleep(500 * 1000); /* past haproxy's patience with idle ones */
		drop(&asked);
	}
	ask_haproxy(&rig, &asked, "/limit");
	assert_int_equal(asked.fetch.status, 429);
	assert_true(asked.fetch.has_retry_after && asked.fetch.retry_after == 3000);
	drop(&asked);
	ask_haproxy(&rig, &asked, "/none");
	assert_int_equal(asked.status, 0);
	assert_int_equal(asked.fetch.status, 503);
	drop(&asked);
	rig_finish(&rig);
}

/* Connections to a server that is killed and comes back cost no request anything. */
static void test_nginx_killed(void **state)
{
	struct rig rig;
	struct asked asked;
	int i;

	(void)state;
	rig_init(&rig, (struct http_client_config){ 0 });
	for (i = 0; i < 3; i++) {
		prepare(&asked, 1, "GET", "/page");
		asked.fetch.unix_socket = nginx_socket;
		assert_int_equal(run(&rig, &asked), 0);
		assert_true(is_page(&asked));
		drop(&asked);
		program_stop(&nginx);
		if (i == 1) {
			prepare(&asked, 1, "GET", "/page");
			asked.fetch.unix_socket = nginx_socket;
			assert_int_equal(run(&rig, &asked), ERR_REFUSED);
			assert_non_null(strstr(asked.fetch.err.text, ": connect: "));
			drop(&asked);
		}
		start_nginx();
	}
	rig_finish(&rig);
}

static int start_servers(void **state)
{
	static const char *const folders[] = { "www", "www/dav", "www/small", "tmp" };
	const char *users = "me:{PLAIN}pass word\n";
	char path[160], command[4352];
	size_t i;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	snprintf(dir, sizeof(dir), "/tmp/osbd-real-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(nginx_socket, sizeof(nginx_socket), "%s/nginx.sock", dir);
	snprintf(haproxy_socket, sizeof(haproxy_socket), "%s/haproxy.sock", dir);
	for (i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	random_bytes(page, sizeof(page));
	write_file("www/page", page, sizeof(page));
	write_file("users", users, strlen(users));
	snprintf(command, sizeof(command), "sh %s/test/certs.sh %s", tree(), dir);
	assert_int_equal(system(command), 0);
	start_nginx();
	start_haproxy();
	return 0;
}

static int stop_servers(void **state)
{
	char command[128];

	(void)state;
	program_stop(&haproxy);
	program_stop(&nginx);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nginx_ends_connections),
		cmocka_unit_test(test_nginx_answers),
		cmocka_unit_test(test_nginx_takes_bodies),
		cmocka_unit_test(test_nginx_with_tls),
		cmocka_unit_test(test_haproxy),
		cmocka_unit_test(test_nginx_killed),
	};

	return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
