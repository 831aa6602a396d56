/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/config.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USERS "users: [{name: u, password: p}]\n"
#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

struct fixture {
	struct arena arena;
	struct conf_errors errors;
	struct config *config;
	struct buf messages;
};

static int parse(struct fixture *f, const char *text)
{
	int status =
		config_parse(str_of(text), "t.yml", "/etc/osbd", &f->arena, &f->config, &f->errors);

	buf_clear(&f->messages);
	buf_puts(&f->messages, "");
	conf_errors_print(&f->errors, &f->messages);
	return status;
}

static void finish(struct fixture *f)
{
	conf_errors_finish(&f->errors);
	arena_finish(&f->arena);
	buf_finish(&f->messages);
}

static void fails(const char *text, const char *want)
{
	struct fixture f = { 0 };

	assert_int_equal(parse(&f, text), ERR_INVALID);
	assert_null(f.config);
	assert_string_equal(f.messages.p, want);
	finish(&f);
}

static void test_rows(void **state)
{
	struct arena arena = { 0 };
	const char *problem = conf_rows_check(config_rows(), &arena);

	(void)state;
	if (problem)
		fail_msg("%s", problem);
	arena_finish(&arena);
}

static void test_least(void **state)
{
	struct fixture f = { 0 };
	const struct config *c;

	(void)state;
	unsetenv("HTTP_PROXY");
	unsetenv("http_proxy");
	assert_int_equal(parse(&f, USERS), 0);
	assert_string_equal(f.messages.p, "");
	c = f.config;
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].address.p, "127.0.0.1:8080");
	assert_string_equal(c->listen[0].prefix.p, "/");
	assert_true(c->listen[0].local && c->authenticate);
	assert_int_equal(c->n_platforms, 1);
	assert_string_equal(c->platforms[0].name.p, "default");
	assert_string_equal(c->platforms[0].prefix.p, "/");
	assert_int_equal(c->n_users, 1);
	assert_string_equal(c->users[0].name.p, "u");
	assert_int_equal(c->users[0].n_passwords, 1);
	assert_false(c->users[0].passwords[0].crypt);
	assert_true(str_is(secret_reveal(&c->users[0].passwords[0].text), "p"));
	assert_true(c->users[0].role == CONFIG_PLATFORM && !c->users[0].platform);
	assert_true(c->log.level == LOG_INFO && c->log.format == LOG_LOGFMT);
	assert_int_equal(c->store.kind, CONFIG_SQLITE);
	assert_string_equal(c->store.path.p, "/var/lib/osbd/osbd.db");
	assert_string_equal(c->children.directory.p, "/var/lib/osbd/runs");
	assert_null(c->children.supervisor.p);
	assert_int_equal(c->n_seal_keys, 0);
	assert_true(c->limits.max_running == 64 && c->limits.max_waiting == 1000);
	assert_true(c->limits.sync_within == 50000 && c->limits.answer_within == 45000);
	assert_true(c->limits.keep_ended == 86400000 && c->limits.keep_gone == 8 * 86400000ull);
	assert_true(c->limits.body == 1 << 20 && c->limits.headers == 32768);
	assert_true(c->limits.target == 8192 && c->limits.connections == 10000);
	assert_true(c->limits.drain == 60000);
	assert_int_equal(c->n_services, 0);
	assert_null(c->proxy.http.p);
	assert_string_equal(c->dir.p, "/etc/osbd");
	finish(&f);
}

static void test_whole(void **state)
{
	struct fixture f = { 0 };
	const struct config *c;
	const struct config_service *s;
	const struct config_plan *p;

	(void)state;
	setenv("http_proxy", "http://lower:1", 1);
	setenv("HTTPS_PROXY", "http://upper:1", 1);
	assert_int_equal(
		parse(&f,
		      "listen:\n"
		      "  - {address: '0.0.0.0:0', prefix: /osb/}\n"
		      "  - {address: '[::1]:81'}\n"
		      "  - {address: 'unix:/run/osbd.sock'}\n"
		      "platforms: [{name: cf}, {name: k8s, prefix: /k8s}]\n"
		      "users:\n"
		      "  - {name: cc, passwords: [new, {crypt: $y$j9T$abc$def}], platform: k8s}\n"
		      "  - {name: op, crypt: $6$abc$def, role: operator}\n"
		      "  - {name: mon, password: 0123, role: monitor}\n"
		      "log: {level: debug, format: json}\n"
		      "store: {sqlite: {path: state/x.db}}\n"
		      "seal: {keys: [{id: b, key: " HEX "}, "
		      "{id: a, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]}\n"
		      "limits: {max_running: 2, keep_ended: 0, drain: 5s, body: 2M}\n"
		      "children: {keep: failed, directory: /tmp/r, supervisor: bin/c}\n"
		      "proxy: {no_proxy: localhost}\n"
		      "services:\n"
		      "  - backend: bundle\n"
		      "    config: {path: bundles/x}\n"
		      "  - name: db\n"
		      "    backend: demo\n"
		      "    tags: [sql, 1.0]\n"
		      "    requires: [syslog_drain, volume_mount]\n"
		      "    bindable: false\n"
		      "    with_bindings: unbind\n"
		      "    dashboard_client: {id: i, secret: s}\n"
		      "    plans:\n"
		      "      - name: small\n"
		      "        bindable: true\n"
		      "        binding_lifetime: 10s\n"
		      "        maximum_polling_duration: 1h\n"
		      "        maintenance_info: {version: 1.0}\n"
		      "        async: both\n"
		      "        config: {delay: 5s}\n"
		      "      - {name: large, free: false, binding_lifetime: 1h, renew_before: "
		      "5m}\n"),
		0);
	assert_string_equal(f.messages.p, "");
	c = f.config;
	assert_string_equal(c->listen[0].prefix.p, "/osb");
	assert_true(!c->listen[0].local && c->listen[1].local && c->listen[2].local);
	assert_true(c->users[0].platform == &c->platforms[1] && !c->users[1].platform);
	assert_int_equal(c->users[0].n_passwords, 2);
	assert_true(!c->users[0].passwords[0].crypt && c->users[0].passwords[1].crypt);
	assert_true(c->users[1].passwords[0].crypt && c->users[1].role == CONFIG_OPERATOR);
	assert_true(str_is(secret_reveal(&c->users[2].passwords[0].text), "0123"));
	assert_true(c->log.level == LOG_DEBUG && c->log.format == LOG_JSON);
	assert_string_equal(c->store.path.p, "/etc/osbd/state/x.db");
	assert_int_equal(c->n_seal_keys, 2);
	assert_int_equal(c->seal_keys[0].key[31], 31);
	assert_memory_equal(c->seal_keys[0].key, c->seal_keys[1].key, CONFIG_SEAL_KEY);
	assert_true(c->limits.max_running == 2 && c->limits.keep_ended == 0);
	assert_true(c->limits.drain == 5000 && c->limits.body == 2 << 20);
	assert_true(c->children.keep == CONFIG_KEEP_FAILED);
	assert_string_equal(c->children.directory.p, "/tmp/r");
	assert_string_equal(c->children.supervisor.p, "/etc/osbd/bin/c");
	assert_string_equal(c->proxy.http.p, "http://lower:1");
	assert_string_equal(c->proxy.https.p, "http://upper:1");
	assert_string_equal(c->proxy.no_proxy.p, "localhost");
	unsetenv("http_proxy");
	unsetenv("HTTPS_PROXY");

	assert_int_equal(c->n_services, 2);
	s = &c->services[0];
	assert_true(!s->name.p && !s->id.p && !s->description.p && !s->has_plans && !s->n_plans);
	assert_string_equal(s->path.p, "services[0]");
	assert_true(s->bindable == CONF_ABSENT && s->instances_retrievable);
	assert_true(str_is(json_str(json_get(s->config, "path")), "bundles/x"));
	assert_int_equal(s->config->line, 18);
	s = &c->services[1];
	assert_true(s->bindable == CONF_FALSE && s->with_bindings == CONFIG_UNBIND);
	assert_int_equal(s->requires, CONFIG_SYSLOG_DRAIN | CONFIG_VOLUME_MOUNT);
	assert_int_equal(s->n_tags, 2);
	assert_string_equal(s->tags[1].p, "1.0");
	assert_string_equal(s->dashboard_client->id.p, "i");
	assert_null(s->dashboard_client->redirect_uri.p);
	assert_true(s->has_plans && s->n_plans == 2 && s->retry_after_bindings);
	p = &s->plans[0];
	assert_string_equal(p->path.p, "services[1].plans[0]");
	assert_int_equal(p->node->line, 27);
	assert_true(p->free && p->bindable == CONF_TRUE && p->plan_updateable == CONF_ABSENT);
	assert_true(p->binding_lifetime == 10000 && p->renew_before == 8000);
	assert_int_equal(p->maximum_polling_duration, 3600000);
	assert_string_equal(p->maintenance->version.p, "1.0");
	assert_int_equal(p->async, CONFIG_ASYNC_BOTH);
	assert_non_null(p->config);
	p = &s->plans[1];
	assert_true(!p->free && p->renew_before == 300000 && !p->maintenance && !p->config);
	assert_int_equal(p->async, CONFIG_ASYNC_UNSET);
	finish(&f);
}

static void test_listen(void **state)
{
	static const char bad[] =
		"t.yml:1:20: listen[0]: must be a numeric address and a port, such as "
		"127.0.0.1:8080 or [::1]:8080, or unix:/PATH, or systemd:NAME\n";

	(void)state;
	fails("listen: [{address: 'localhost:80'}]\n" USERS, bad);
	fails("listen: [{address: '127.0.0.1:65536'}]\n" USERS, bad);
	fails("listen: [{address: '127.0.0.1'}]\n" USERS, bad);
	fails("listen: [{address: '::1:80'}]\n" USERS, bad);
	fails("listen: [{address: '[::1]80'}]\n" USERS, bad);
	fails("listen: [{address: ''}]\n" USERS, bad);
	fails("listen: [{address: 'unix:x'}]\n" USERS,
	      "t.yml:1:20: listen[0]: must be unix: and an absolute path\n");
	fails("listen: [{address: '[::1]:8', prefix: osb}]\n" USERS,
	      "t.yml:1:39: listen[0].prefix: must be a path such as / or /osb, of letters, digits "
	      "and - . _ ~\n");
	fails("platforms: [{name: a, prefix: /a//b}]\n" USERS,
	      "t.yml:1:31: platforms[0].prefix: must be a path such as / or /osb, of letters, "
	      "digits and - . _ ~\n");
	fails("platforms: [{name: a, prefix: /a/../b}]\n" USERS,
	      "t.yml:1:31: platforms[0].prefix: must be a path such as / or /osb, of letters, "
	      "digits and - . _ ~\n");
	fails("listen: [{address: '[::1]:8'}, {address: '[::1]:8'}]\n" USERS,
	      "t.yml:1:32: listen: [::1]:8 stands twice\n");
	fails("listen: []\n" USERS, "t.yml:1:9: listen: must have 1 to 64 entries, not 0\n");
}

static void test_listen_proxies(void **state)
{
	static const char text[] =
		"listen:\n"
		"  - {address: '127.0.0.1:1'}\n"
		"  - {address: '127.0.0.1:2', proxy_protocol: required, trusted: [10.0.0.0/8, "
		"unix]}\n"
		"  - {address: 'systemd:web', forwarded: true, trusted: ['2001:db8::/32']}\n"
		"  - {address: '0.0.0.0:80', reuse_port: true, proxy_protocol: off}\n" USERS;
	const struct config_listen *l;
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(parse(&f, text), 0);
	l = f.config->listen;
	assert_int_equal(l[0].proxy_protocol, CONFIG_PROXY_OFF);
	assert_false(l[0].forwarded || l[0].reuse_port || l[0].n_trusted);
	assert_true(l[0].local);
	assert_int_equal(l[1].proxy_protocol, CONFIG_PROXY_REQUIRED);
	assert_false(l[1].local); /* the proxy is here, who asks by it need not be */
	assert_int_equal(l[1].n_trusted, 2);
	assert_int_equal(l[1].trusted[0].bits, 96 + 8);
	assert_true(l[1].trusted[1].local);
	assert_string_equal(l[2].address.p, "systemd:web");
	assert_true(l[2].forwarded);
	assert_false(l[2].local);
	assert_true(l[3].reuse_port);
	finish(&f);

	fails("listen: [{address: '[::1]:8', proxy_protocol: required}]\n" USERS,
	      "t.yml:1:10: listen[0]: `trusted` must name the proxies that are believed\n");
	fails("listen: [{address: '[::1]:8', forwarded: true, trusted: []}]\n" USERS,
	      "t.yml:1:57: listen[0]: `trusted` must name the proxies that are believed\n");
	fails("listen: [{address: '[::1]:8', trusted: [unix]}]\n" USERS,
	      "t.yml:1:40: listen[0]: `trusted` says nothing without proxy_protocol or "
	      "forwarded\n");
	fails("listen: [{address: '[::1]:8', forwarded: true, trusted: [proxy.local]}]\n" USERS,
	      "t.yml:1:58: listen[0].trusted[0]: must be a numeric address or network, such as "
	      "192.0.2.7, 10.0.0.0/8 or 2001:db8::/32, or unix\n");
	fails("listen: [{address: '[::1]:8', forwarded: true, trusted: [10.1.2.3/8]}]\n" USERS,
	      "t.yml:1:58: listen[0].trusted[0]: must be a network without bits behind its length, "
	      "such as 10.0.0.0/8\n");
	fails("listen: [{address: 'unix:/s', reuse_port: true}]\n" USERS,
	      "t.yml:1:20: listen[0]: reuse_port is for an address and a port only\n");
	fails("listen: [{address: 'systemd:web', reuse_port: true}]\n" USERS,
	      "t.yml:1:20: listen[0]: reuse_port is for an address and a port only\n");
	fails("listen: [{address: 'systemd:'}]\n" USERS,
	      "t.yml:1:20: listen[0]: must be systemd: and the name of a socket\n");
	fails("listen: [{address: 'systemd:a:b'}]\n" USERS,
	      "t.yml:1:20: listen[0]: must be systemd: and the name of a socket\n");
	fails("listen: [{address: 'systemd:a'}, {address: 'systemd:a'}]\n" USERS,
	      "t.yml:1:34: listen: systemd:a stands twice\n");
	fails("listen: [{address: '[::1]:8', forwarded: true, trusted: [unix]}]\n"
	      "authentication: none\n",
	      "t.yml:2:17: authentication: none is allowed on loopback and unix sockets only, not "
	      "on [::1]:8, which proxies ask\n");
}

static void test_tls(void **state)
{
	const struct config_tls *tls;
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(parse(&f, "listen:\n"
				   "  - address: 127.0.0.1:1\n"
				   "  - address: 127.0.0.1:2\n"
				   "    tls: {certificate: a.pem, key: {file: /k/a.key}}\n"
				   "  - address: 127.0.0.1:3\n"
				   "    tls:\n"
				   "      certificate: /c/b.pem\n"
				   "      key: b.key\n"
				   "      more: [{certificate: c.pem, key: c.key}]\n"
				   "      client_ca: ca.pem\n"
				   "      client: required\n"
				   "      min_version: 1.3\n"
				   "      suites: [TLS_AES_256_GCM_SHA384]\n"
				   "users: [{name: a, password: b}, {name: c, certificate: d}]\n"),
			 0);
	assert_null(f.config->listen[0].tls);
	tls = f.config->listen[1].tls;
	assert_string_equal(tls->first.certificate.p, "/etc/osbd/a.pem");
	assert_string_equal(tls->first.key.p, "/k/a.key");
	assert_int_equal(tls->min_version, CONFIG_TLS_12);
	assert_null(tls->client_ca.p);
	tls = f.config->listen[2].tls;
	assert_string_equal(tls->first.certificate.p, "/c/b.pem");
	assert_string_equal(tls->first.key.p, "/etc/osbd/b.key");
	assert_int_equal(tls->n_more, 1);
	assert_string_equal(tls->more[0].key.p, "/etc/osbd/c.key");
	assert_string_equal(tls->client_ca.p, "/etc/osbd/ca.pem");
	assert_int_equal(tls->client, CONFIG_CLIENTS_REQUIRED);
	assert_int_equal(tls->min_version, CONFIG_TLS_13);
	assert_int_equal(tls->n_suites, 1);
	assert_int_equal(f.config->users[1].n_passwords, 0);
	assert_string_equal(f.config->users[1].certificate.p, "d");
	finish(&f);
	fails("listen: [{address: '127.0.0.1:1', tls: {certificate: a, key: [b], suites: [X]}}]\n"
	      "users: [{name: a, certificate: b}, {name: c, certificate: b}]\n",
	      "t.yml:1:62: listen[0].tls.key: must be a path, not a list\n"
	      "t.yml:1:76: listen[0].tls.suites[0]: there is no suite \"X\" here\n"
	      "t.yml:2:32: users[0].certificate: no listener has a tls.client_ca, so nobody can "
	      "show one\n"
	      "t.yml:2:59: users[1].certificate: no listener has a tls.client_ca, so nobody can "
	      "show one\n"
	      "t.yml:2:59: users[1].certificate: another user has the same one\n");
}

static void test_users(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	fails("log: {}\n",
	      "t.yml: users: there must be one, or nobody could ask; a broker for this "
	      "machine only may have `authentication: none`\n");
	assert_int_equal(parse(&f, "authentication: none"), 0);
	assert_false(f.config->authenticate);
	finish(&f);
	fails("authentication: none\nlisten: [{address: '127.1.2.3:1'}, {address: '10.0.0.1:1'}]\n",
	      "t.yml:1:17: authentication: none is allowed on loopback and unix sockets only, not "
	      "on 10.0.0.1:1\n");
	fails("users: [{name: a}]\n", "t.yml:1:9: users[0]: must have one of password, passwords "
				      "and crypt, or a certificate\n");
	fails("users: [{name: a, password: x, crypt: $y$a$b}]\n",
	      "t.yml:1:9: users[0]: must have one of password, passwords and crypt, or a "
	      "certificate\n");
	fails("users: [{name: a, passwords: []}]\n",
	      "t.yml:1:30: users[0].passwords: must have 1 to 2 entries, not 0\n");
	fails("users: [{name: a, passwords: [a, b, c]}]\n",
	      "t.yml:1:30: users[0].passwords: must have 1 to 2 entries, not 3\n");
	fails("users: [{name: a, crypt: canary}]\n",
	      "t.yml:1:26: users[0].crypt: must be a crypt(3) hash, such as $y$j9T$...\n");
	fails("users: [{name: a, password: {crypt: canary}}]\n",
	      "t.yml:1:37: users[0].password: must be a crypt(3) hash, such as $y$j9T$...\n");
	fails("users: [{name: a, password: ''}]\n",
	      "t.yml:1:29: users[0].password: must not be empty\n");
	fails("users: [{name: a, password: {file: nowhere}}]\n",
	      "t.yml:1:36: users[0].password.file: /etc/osbd/nowhere: No such file or directory\n");
	fails("users: [{name: 'a:b', password: x}]\n",
	      "t.yml:1:16: users[0].name: must not hold a colon or control characters\n");
	fails("users: [{name: a, password: x}, {name: a, password: y}]\n",
	      "t.yml:1:40: users[1]: a user of the same name stands before it\n");
	fails("users: [{name: a, password: x, platform: cf}]\n",
	      "t.yml:1:42: users[0]: platform: none of the platforms is called \"cf\"\n");
	fails("platforms: [{name: a}, {name: a}, {name: b}]\n" USERS,
	      "t.yml:1:24: platforms: two are called \"a\"\n"
	      "t.yml:1:35: platforms: two have the prefix /\n"
	      "t.yml:1:35: platforms: two have the prefix /\n");
	f = (struct fixture){ 0 };
	assert_int_equal(parse(&f, "users: [{name: a, password: $y$j9T$x$y}]"), 0);
	assert_int_equal(f.errors.n_warnings, 1);
	assert_false(f.config->users[0].passwords[0].crypt);
	finish(&f);
}

static void test_other_checks(void **state)
{
	(void)state;
	fails("store: {memory: {}, sqlite: {}}\n" USERS,
	      "t.yml:1:8: store: must have one of sqlite, postgresql and memory\n");
	fails("store: {memory: }\n" USERS,
	      "t.yml:1:17: store.memory: must be {}: there is nothing to choose\n");
	fails("seal: {keys: [{id: a, key: canary}]}\n" USERS,
	      "t.yml:1:28: seal.keys[0].key: must be 32 bytes, as 64 hexadecimal digits or in "
	      "base64\n");
	fails("seal: {keys: [{id: a, key: AAAA}, {id: a/b, key: " HEX "}]}\n" USERS,
	      "t.yml:1:28: seal.keys[0].key: must be 32 bytes, as 64 hexadecimal digits or in "
	      "base64\n"
	      "t.yml:1:40: seal.keys[1].id: must have 1 to 64 letters, digits or - . _ ~\n");
	fails("seal: {keys: [{id: a, key: " HEX "}, {id: a, key: " HEX "}]}\n" USERS,
	      "t.yml:1:95: seal.keys: two have the id \"a\"\n");
	fails("services: [{}]\n" USERS, "t.yml:1:12: services[0].backend: must be given\n");
	fails("services: [{backend: b, plans: [{renew_before: 1s}]}]\n" USERS,
	      "t.yml:1:48: services[0].plans[0]: renew_before means nothing without "
	      "binding_lifetime\n");
	fails("services: [{backend: b, plans: [{binding_lifetime: 1s, renew_before: 2s}]}]\n" USERS,
	      "t.yml:1:70: services[0].plans[0]: renew_before must not be longer than "
	      "binding_lifetime\n");
	fails("services: [{backend: b, plans: [{maximum_polling_duration: 1500ms}]}]\n" USERS,
	      "t.yml:1:60: services[0].plans[0]: maximum_polling_duration must be whole seconds\n");
	fails("services: [{backend: b, requires: [route]}]\n" USERS,
	      "t.yml:1:36: services[0].requires[0]: must be syslog_drain, route_forwarding or "
	      "volume_mount\n");
	fails("services: [{backend: b, metadata: []}]\n" USERS,
	      "t.yml:1:35: services[0].metadata: must be a mapping, not a list\n");
	/* all at once, also what concerns several keys */
	fails("limits: {max_runing: 1}\nusers: [{name: a, password: b, platform: x}, {name: a}]\n"
	      "store: {sqlite: {path: ''}}\n",
	      "t.yml:1:10: limits.max_runing: is not known here; did you mean max_running?\n"
	      "t.yml:2:42: users[0]: platform: none of the platforms is called \"x\"\n"
	      "t.yml:2:46: users[1]: must have one of password, passwords and crypt, or a "
	      "certificate\n"
	      "t.yml:2:53: users[1]: a user of the same name stands before it\n"
	      "t.yml:3:24: store.sqlite.path: must not be empty\n");
}

static void test_not_yaml(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(parse(&f, "users: []\nusers: []\n"), ERR_SYNTAX);
	assert_string_equal(f.messages.p, "t.yml:2:1: duplicate key \"users\"\n");
	finish(&f);
	f = (struct fixture){ 0 };
	assert_int_equal(parse(&f, "users: [*x]\n"), ERR_SYNTAX);
	assert_string_equal(f.messages.p, "t.yml:1:9: an alias without an anchor before it; a text "
					  "that begins with * needs quotes\n");
	finish(&f);
	fails("- a\n", "t.yml:1:1: must be a mapping, not a list\n");
}

static void test_load(void **state)
{
	char dir[] = "/tmp/osbd-config-XXXXXX", here[256];
	struct fixture f = { 0 };
	int fd;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(config_load("o.yml", &f.arena, &f.config, &f.errors), ERR_NOENT);
	assert_string_equal(conf_errors_line(&f.errors, 0),
			    "configuration: o.yml: No such file or directory");
	finish(&f);
	f = (struct fixture){ 0 };
	fd = open("o.yml", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, USERS "store: {sqlite: {path: a.db}}\nlimits: {x: 1}\n",
			       sizeof(USERS "store: {sqlite: {path: a.db}}\nlimits: {x: 1}\n") - 1),
			 sizeof(USERS "store: {sqlite: {path: a.db}}\nlimits: {x: 1}\n") - 1);
	assert_int_equal(config_load("o.yml", &f.arena, &f.config, &f.errors), ERR_INVALID);
	assert_true(str_starts(str_of(conf_errors_line(&f.errors, 0)),
			       STR("o.yml:3:10: limits.x: is not known here; there are ")));
	finish(&f);
	f = (struct fixture){ 0 };
	assert_int_equal(ftruncate(fd, sizeof(USERS "store: {sqlite: {path: a.db}}\n") - 1), 0);
	close(fd);
	assert_int_equal(config_load("./o.yml", &f.arena, &f.config, &f.errors), 0);
	assert_true(str_starts(f.config->store.path, str_of(dir)));
	assert_true(str_ends(f.config->store.path, STR("/a.db")));
	finish(&f);
	assert_int_equal(truncate("o.yml", CONFIG_BYTES_MAX + 1), 0);
	f = (struct fixture){ 0 };
	assert_int_equal(config_load("o.yml", &f.arena, &f.config, &f.errors), ERR_TOOBIG);
	finish(&f);
	assert_int_equal(unlink("o.yml"), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* The file in the tree, which must be what the source gives. OSBD_WRITE=1 writes it instead. */
static void same_as_file(const char *name, const struct buf *want)
{
	const char *tree = getenv("OSBD_TREE");
	struct buf have = { 0 };
	char path[512];
	struct err err = { 0 };
	FILE *file;

	assert_non_null(tree);
	snprintf(path, sizeof(path), "%s/%s", tree, name);
	if (getenv("OSBD_WRITE")) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(want->p, 1, want->n, file), want->n);
		assert_int_equal(fclose(file), 0);
	}
	if (conf_read_file(path, 1 << 20, &have, NULL, &err))
		fail_msg("%s", err.text);
	if (!str_eq(buf_str(&have), buf_str(want)))
		fail_msg("%s is not what the rows give: OSBD_WRITE=1 OSBD_TREE=. config_test",
			 path);
	buf_finish(&have);
}

static void test_reference(void **state)
{
	struct buf text = { 0 };
	struct fixture f = { 0 }, least = { 0 };

	(void)state;
	config_reference(&text);
	same_as_file("conf/osbd.reference.yml", &text);
	if (parse(&f, text.p))
		fail_msg("%s", f.messages.p);
	assert_string_equal(f.messages.p, "");
	assert_int_equal(parse(&least, USERS), 0);
	/* what it shows are the defaults */
	assert_memory_equal(&f.config->limits, &least.config->limits, sizeof(f.config->limits));
	assert_true(str_eq(f.config->store.path, least.config->store.path));
	assert_true(str_eq(f.config->listen[0].address, least.config->listen[0].address));
	assert_true(str_eq(f.config->platforms[0].name, least.config->platforms[0].name));
	assert_int_equal(f.config->n_services, 1);
	assert_int_equal(f.config->services[0].n_plans, 1);
	finish(&f);
	finish(&least);
	buf_clear(&text);
	config_man(&text);
	same_as_file("man/osbd.yml.5", &text);
	buf_finish(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),           cmocka_unit_test(test_least),
		cmocka_unit_test(test_whole),          cmocka_unit_test(test_listen),
		cmocka_unit_test(test_listen_proxies), cmocka_unit_test(test_tls),
		cmocka_unit_test(test_users),          cmocka_unit_test(test_other_checks),
		cmocka_unit_test(test_not_yaml),       cmocka_unit_test(test_load),
		cmocka_unit_test(test_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
