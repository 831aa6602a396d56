/* SPDX-License-Identifier: Apache-2.0 */
/* Names, against a server of our own on loopback. */
#include "core/dns.h"

#include "double.h"

#include <dirent.h>

static struct program server;

struct rig {
	struct loop loop;
	struct dns *dns;
	char conf[64], servers[64];
};

struct asked {
	struct dns_lookup lookup;
	struct asked *next; /* asked when this one is done */
	struct rig *rig;
	int status, dones;
	bool done;
};

static void write_conf(struct rig *rig, const char *text)
{
	FILE *file = fopen(rig->conf, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void rig_init(struct rig *rig, const char *conf, struct dns_config config)
{
	struct err err;

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(loop_init(&rig->loop), 0);
	snprintf(rig->conf, sizeof(rig->conf), "/tmp/osbd-dns-%d.conf", (int)getpid());
	snprintf(rig->servers, sizeof(rig->servers), "127.0.0.1:%d", server.port);
	write_conf(rig, conf);
	config.resolv_conf = rig->conf;
	if (!config.servers)
		config.servers = rig->servers;
	assert_int_equal(dns_create(&rig->loop, &config, &rig->dns, &err), 0);
	program_forget(&server);
}

static void rig_finish(struct rig *rig)
{
	dns_destroy(rig->dns);
	unlink(rig->conf);
	assert_int_equal(loop_finish(&rig->loop), 0);
}

static void on_done(struct call *call, int status)
{
	struct asked *asked = container_of(call, struct asked, lookup.call);

	asked->status = status;
	asked->dones++;
	asked->done = true;
	if (asked->next)
		assert_int_equal(dns_start(asked->rig->dns, &asked->next->lookup), 0);
}

static void prepare(struct rig *rig, struct asked *asked, const char *name)
{
	memset(asked, 0, sizeof(*asked));
	asked->rig = rig;
	asked->lookup.call.done = on_done;
	asked->lookup.name = str_of(name);
	asked->lookup.port = 80;
}

static int ask(struct rig *rig, struct asked *asked, const char *name)
{
	prepare(rig, asked, name);
	assert_int_equal(dns_start(rig->dns, &asked->lookup), 0);
	assert_false(asked->done);
	loop_run_until(&rig->loop, &asked->done);
	assert_int_equal(asked->dones, 1);
	assert_int_equal(asked->status != 0, asked->lookup.err.code != 0);
	return asked->status;
}

static bool has(const struct asked *asked, const char *address)
{
	char text[DIAL_TEXT_MAX];
	size_t i;

	for (i = 0; i < asked->lookup.n_addresses; i++) {
		dial_address_text(&asked->lookup.addresses[i], text, sizeof(text));
		if (strcmp(text, address) == 0)
			return true;
	}
	return false;
}

static void test_literals_ask_nobody(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	assert_int_equal(ask(&rig, &asked, "127.0.0.1"), 0);
	assert_int_equal(asked.lookup.n_addresses, 1);
	assert_true(has(&asked, "127.0.0.1:80"));
	assert_int_equal(ask(&rig, &asked, "::1"), 0);
	assert_int_equal(asked.lookup.n_addresses, 1);
	assert_true(has(&asked, "[::1]:80"));
	program_listen(&server, 50);
	assert_string_equal(server.text, "");
	rig_finish(&rig);
}

static void test_hosts_file(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	assert_int_equal(ask(&rig, &asked, "localhost"), 0);
	assert_true(has(&asked, "127.0.0.1:80") || has(&asked, "[::1]:80"));
	program_listen(&server, 50);
	assert_string_equal(server.text, "");
	rig_finish(&rig);
}

static void test_not_names(void **state)
{
	static const char *const bad[] = {
		"",     ".",       "a..b",      "-a.test",       "a-.test",
		"a b",  "1.2.3",   "010.1.1.1", "1.2.3.4.5",     "a/b",
		"a\nb", "test:80", "0x7f.1",    "\xc3\xa4.test", "256.1.1.1"
	};
	char longest[300];
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		prepare(&rig, &asked, bad[i]);
		assert_int_equal(dns_start(rig.dns, &asked.lookup), ERR_INVALID);
		assert_int_equal(asked.lookup.err.code, ERR_INVALID);
	}
	memset(longest, 'a', 64);
	longest[64] = '\0';
	prepare(&rig, &asked, longest);
	assert_int_equal(dns_start(rig.dns, &asked.lookup), ERR_INVALID);
	for (i = 0; i < 256; i++)
		longest[i] = i % 10 == 9 ? '.' : 'a';
	longest[256] = '\0';
	prepare(&rig, &asked, longest);
	assert_int_equal(dns_start(rig.dns, &asked.lookup), ERR_INVALID);
	program_listen(&server, 50);
	assert_string_equal(server.text, "");
	rig_finish(&rig);
}

static void test_several_addresses(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	assert_int_equal(ask(&rig, &asked, "many.test"), 0);
	assert_int_equal(asked.lookup.n_addresses, 3);
	assert_true(has(&asked, "127.0.0.1:80") && has(&asked, "127.0.0.2:80") &&
		    has(&asked, "127.0.0.3:80"));
	assert_int_equal(ask(&rig, &asked, "both.test."), 0);
	assert_int_equal(asked.lookup.n_addresses, 2);
	assert_true(has(&asked, "127.0.0.1:80") && has(&asked, "[::1]:80"));
	assert_int_equal(ask(&rig, &asked, "six.test"), 0);
	assert_true(asked.lookup.n_addresses == 1 && has(&asked, "[::1]:80"));
	assert_int_equal(ask(&rig, &asked, "alias.test"), 0);
	assert_int_equal(asked.lookup.n_addresses, 3);
	rig_finish(&rig);
}

/* More than a datagram takes comes over TCP; what is more than we keep is left out. */
static void test_truncated(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	assert_int_equal(ask(&rig, &asked, "big.test"), 0);
	assert_int_equal(asked.lookup.n_addresses, DNS_ADDRESSES_MAX);
	program_listen(&server, 50);
	assert_non_null(strstr(server.text, "udp big.test 1\n"));
	assert_non_null(strstr(server.text, "tcp big.test 1\n"));
	rig_finish(&rig);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *name;
		int status;
	} rows[] = {
		{ "nobody.test", ERR_NOENT },    { "empty.test", ERR_NOENT },
		{ "fail.test", ERR_IO },         { "deny.test", ERR_IO },
		{ "silent.test", ERR_TIMEDOUT },
	};
	struct rig rig;
	struct asked asked;
	size_t i;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ .try_ms = 100, .tries = 2 });
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(ask(&rig, &asked, rows[i].name), rows[i].status);
		assert_int_equal(asked.lookup.n_addresses, 0);
	}
	assert_true(ask(&rig, &asked, "garbage.test") != 0);
	assert_int_equal(ask(&rig, &asked, "many.test"), 0);
	rig_finish(&rig);
}

static void test_no_server(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	/* a port that nobody listens on: the double's, as TCP and UDP are bound on 127.0.0.1 only */
	rig_init(&rig, "",
		 (struct dns_config){ .try_ms = 100, .tries = 1, .servers = "127.0.0.77:9" });
	assert_true(ask(&rig, &asked, "many.test") != 0);
	rig_finish(&rig);
}

static void test_search_domains(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_init(&rig, "search outer.test inner.test\noptions ndots:1\n", (struct dns_config){ 0 });
	assert_int_equal(ask(&rig, &asked, "db"), 0);
	assert_true(asked.lookup.n_addresses == 1 && has(&asked, "127.0.0.9:80"));
	program_listen(&server, 50);
	assert_non_null(strstr(server.text, "udp db.outer.test 1\n"));
	assert_int_equal(ask(&rig, &asked, "db."), ERR_NOENT);
	rig_finish(&rig);
}

/* A changed file counts from the next look on; what is under way ends with the old one. */
static void test_changed_file(void **state)
{
	struct rig rig;
	struct asked asked, late;

	(void)state;
	rig_init(&rig, "search outer.test\n", (struct dns_config){ 0 });
	assert_int_equal(ask(&rig, &asked, "db"), ERR_NOENT);
	write_conf(&rig, "search inner.test\n# longer than before\n");
	prepare(&rig, &late, "late.test");
	assert_int_equal(dns_start(rig.dns, &late.lookup), 0);
	usleep((DNS_LOOK_MS + 50) * 1000);
	assert_int_equal(ask(&rig, &asked, "db"), 0);
	loop_run_until(&rig.loop, &late.done);
	assert_int_equal(late.status, 0);
	rig_finish(&rig);
}

static void test_cancel(void **state)
{
	struct rig rig;
	struct asked asked, other;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	prepare(&rig, &asked, "silent.test");
	prepare(&rig, &other, "late.test");
	assert_int_equal(dns_start(rig.dns, &asked.lookup), 0);
	assert_int_equal(dns_start(rig.dns, &other.lookup), 0);
	call_cancel(&asked.lookup.call);
	call_cancel(&asked.lookup.call);
	assert_false(asked.done);
	loop_run_until(&rig.loop, &asked.done);
	assert_int_equal(asked.status, ERR_CANCELED);
	loop_run_until(&rig.loop, &other.done);
	assert_int_equal(other.status, 0);
	assert_int_equal(asked.dones + other.dones, 2);
	rig_finish(&rig); /* the canceled one is still under way inside */
}

static void test_done_asks_again(void **state)
{
	struct asked asked[20];
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		prepare(&rig, &asked[i], i % 2 ? "many.test" : "localhost");
		asked[i].next = i + 1 < ARRAY_LEN(asked) ? &asked[i + 1] : NULL;
	}
	assert_int_equal(dns_start(rig.dns, &asked[0].lookup), 0);
	loop_run_until(&rig.loop, &asked[ARRAY_LEN(asked) - 1].done);
	for (i = 0; i < ARRAY_LEN(asked); i++)
		assert_true(asked[i].dones == 1 && asked[i].status == 0);
	rig_finish(&rig);
}

static void test_one_thread(void **state)
{
	struct asked asked[30];
	struct rig rig;
	struct dirent *entry;
	DIR *dir;
	int n = 0;
	size_t i;

	(void)state;
	rig_init(&rig, "", (struct dns_config){ 0 });
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		prepare(&rig, &asked[i], "late.test");
		assert_int_equal(dns_start(rig.dns, &asked[i].lookup), 0);
	}
	dir = opendir("/proc/self/task");
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(n, 1);
	for (i = 0; i < ARRAY_LEN(asked); i++) {
		loop_run_until(&rig.loop, &asked[i].done);
		assert_int_equal(asked[i].status, 0);
	}
	rig_finish(&rig);
}

static int start_server(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	setenv("UV_USE_IO_URING", "0", 1);
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	double_start(&server, "dns.py");
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
		cmocka_unit_test(test_literals_ask_nobody),
		cmocka_unit_test(test_hosts_file),
		cmocka_unit_test(test_not_names),
		cmocka_unit_test(test_several_addresses),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_search_domains),
		cmocka_unit_test(test_changed_file),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_done_asks_again),
		cmocka_unit_test(test_one_thread),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
