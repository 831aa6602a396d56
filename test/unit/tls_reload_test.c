/* SPDX-License-Identifier: Apache-2.0 */
/* A listener's certificates change under it; and a dialer that wraps what it dials. */
#include "tls_world.h"

#include "tls/tls_dial.h"
#include "tls/tls_reload.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ROOM (1u << 20)

struct rig {
	struct world w;
	struct log_sink *sink;
	struct log log;
	struct metrics metrics;
	struct tls_files pair;
	struct tls_listener *listener;
	int out; /* what is logged */
	char text[16384];
};

/* By a new file with a name that is known, as those do it who renew certificates. */
static void put(const char *from, const char *to)
{
	char command[400];

	snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", cert(from), cert(to),
		 cert(to), cert(to));
	assert_int_equal(system(command), 0);
}

static void use(const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	put(file, "mine.pem");
	snprintf(file, sizeof(file), "%s.key", name);
	put(file, "mine.key");
}

/* Of the file alone; clocks of file systems are coarse. */
static void change_mode(const char *name)
{
	struct stat before, now;

	assert_int_equal(stat(cert(name), &before), 0);
	do {
		assert_int_equal(chmod(cert(name), 0640), 0);
		assert_int_equal(stat(cert(name), &now), 0);
	} while (before.st_ctim.tv_sec == now.st_ctim.tv_sec &&
		 before.st_ctim.tv_nsec == now.st_ctim.tv_nsec);
}

static void rig_init(struct rig *rig, const char *name, uint64_t wall)
{
	struct tls_listener_options options = { 0 };
	struct err err;
	int fds[2];

	memset(rig, 0, sizeof(*rig));
	use(name);
	world_init(&rig->w, true);
	rig->w.loop.wall = wall;
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	rig->out = fds[0];
	rig->sink = log_sink_create(fds[1], LOG_LOGFMT, LOG_DEBUG);
	log_init(&rig->log, rig->sink);
	metrics_init(&rig->metrics);
	rig->pair = files_of("mine");
	options.loop = &rig->w.loop;
	options.log = &rig->log;
	options.metrics = &rig->metrics;
	options.budget = &rig->w.budget;
	options.address = "127.0.0.1:8443";
	options.server.pairs = &rig->pair;
	options.server.n_pairs = 1;
	options.server.tickets = &rig->w.tickets;
	if (tls_listener_create(&options, &rig->listener, &err) != 0)
		fail_msg("%s", err.text);
}

static const char *logged(struct rig *rig)
{
	ssize_t n;

	log_sink_flush(rig->sink);
	n = read(rig->out, rig->text, sizeof(rig->text) - 1);
	rig->text[n > 0 ? n : 0] = '\0';
	return rig->text;
}

static void rig_finish(struct rig *rig)
{
	int fd = log_sink_fd(rig->sink);

	tls_listener_destroy(rig->listener);
	assert_true(list_empty(&rig->metrics.all));
	log_sink_destroy(rig->sink);
	close(rig->out);
	close(fd);
	world_finish(&rig->w);
}

static double gauge(struct rig *rig, const char *line)
{
	struct buf text = { 0 };
	const char *found;
	double value;

	metric_render(&rig->metrics, &text);
	found = strstr(text.p, line);
	if (!found)
		fail_msg("%s", text.p);
	value = strtod(strchr(found, '}') + 1, NULL);
	buf_finish(&text);
	return value;
}

/* Whose certificate a new connection sees; it stays open in w until part(). */
static void who(struct rig *rig, struct raw *raw, const char *want)
{
	struct world *w = &rig->w;
	char name[128];

	memset(&w->server, 0, sizeof(w->server));
	stream_pair(&w->loop, &w->ends[0], &w->ends[1], ROOM);
	side_take(&w->server, tls_listener_wrap(rig->listener, &w->ends[1].stream, "10.0.0.1"));
	stream_read_start(w->server.stream);
	w->server.echo = true;
	raw_init(raw, w, "one.test", 13, NULL);
	mbedtls_ssl_conf_authmode(&raw->conf, MBEDTLS_SSL_VERIFY_NONE);
	raw_join(raw);
	assert_int_equal(raw_shake(raw), 0);
	mbedtls_x509_dn_gets(name, sizeof(name), &mbedtls_ssl_get_peer_cert(&raw->ssl)->subject);
	assert_string_equal(name, want);
}

static void leave(struct rig *rig, struct raw *raw)
{
	part(&rig->w);
	raw_finish(raw);
}

static void test_reload(void **state)
{
	struct rig rig;
	struct raw raw;

	(void)state;
	/* made for 20 days, not long ago */
	rig_init(&rig, "one", ((uint64_t)time(NULL) + 3600) * 1000);
	assert_non_null(strstr(logged(&rig), "expires in 19 days and 2"));
	who(&rig, &raw, "O=osbd, CN=one");
	use("rsa");
	assert_int_equal(tls_listener_reload(rig.listener), 0);
	/* who is there goes on with what there was */
	raw_write(&raw, "still here");
	raw_read(&raw, NULL);
	assert_string_equal(raw.got.p, "still here");
	leave(&rig, &raw);
	who(&rig, &raw, "O=osbd, CN=rsa");
	leave(&rig, &raw);
	/* half of a new pair */
	logged(&rig);
	put("two.key", "mine.key");
	assert_int_equal(tls_listener_reload(rig.listener), ERR_INVALID);
	assert_non_null(strstr(logged(&rig), "the certificates stay as they were"));
	who(&rig, &raw, "O=osbd, CN=rsa");
	leave(&rig, &raw);
	put("ca.key", "mine.pem"); /* no certificate at all */
	assert_int_equal(tls_listener_reload(rig.listener), ERR_SYNTAX);
	unlink(cert("mine.pem"));
	assert_int_equal(tls_listener_reload(rig.listener), ERR_NOENT);
	who(&rig, &raw, "O=osbd, CN=rsa");
	leave(&rig, &raw);
	assert_int_equal(gauge(&rig, "osbd_tls_reloads_total{listener=\"127.0.0.1:8443\","
				     "result=\"refused\"}"),
			 3);
	assert_int_equal(gauge(&rig, "osbd_tls_reloads_total{listener=\"127.0.0.1:8443\","
				     "result=\"done\"}"),
			 1);
	rig_finish(&rig);
}

/* Once a minute; only when a file has changed; until it is good. */
static void test_notices(void **state)
{
	struct rig rig;
	struct raw raw;
	uint64_t begun;

	(void)state;
	rig_init(&rig, "one", (uint64_t)time(NULL) * 1000);
	logged(&rig);
	tls_listener_check(rig.listener);
	assert_string_equal(logged(&rig), "");
	put("two.pem", "mine.pem");
	tls_listener_check(rig.listener);
	assert_non_null(strstr(logged(&rig), "does not belong to"));
	tls_listener_check(rig.listener);
	assert_string_equal(logged(&rig), ""); /* said once */
	change_mode("mine.pem");
	tls_listener_check(rig.listener);
	assert_non_null(strstr(logged(&rig), "does not belong to")); /* tried once more */
	put("two.key", "mine.key");
	begun = loop_now(&rig.w.loop);
	while (loop_now(&rig.w.loop) - begun < TLS_CHECK_MS)
		assert_true(loop_turn(&rig.w.loop));
	loop_turn(&rig.w.loop);
	assert_non_null(strstr(logged(&rig), "certificates read anew"));
	who(&rig, &raw, "O=osbd, CN=two");
	leave(&rig, &raw);
	rig_finish(&rig);
}

static void test_expiry(void **state)
{
	static const struct {
		int64_t before; /* s before its end */
		const char *said;
	} rows[] = {
		{ 31 * 86400, NULL },
		{ 30 * 86400, "expires in 30 days" },
		{ 29 * 86400, NULL },
		{ 13 * 86400, "expires in 13 days" },
		{ 5 * 86400, "expires in 5 days" },
		{ 3 * 86400 - 1, "expires in 2 days and 23 hours" },
		{ 3600, "expires in 0 days and 1 hours" },
		{ 1800, NULL },
		{ 0, "has expired" },
		{ -3600, NULL },
	};
	struct tls_config *config;
	struct rig rig;
	uint64_t end;
	size_t i;

	(void)state;
	rig_init(&rig, "one", (uint64_t)time(NULL) * 1000);
	config = server_config(&rig.w, "one", NULL, TLS_CLIENTS_OPTIONAL, 0);
	end = tls_config_not_after(config, 0);
	tls_config_unref(config);
	rig_finish(&rig);

	rig_init(&rig, "one", end - (uint64_t)40 * 86400000);
	assert_non_null(strstr(logged(&rig), "not yet valid"));
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const char *said;

		rig.w.loop.wall = (uint64_t)((int64_t)end - rows[i].before * 1000) - rig.w.loop.now;
		tls_listener_check(rig.listener);
		said = logged(&rig);
		if (rows[i].said ? !strstr(said, rows[i].said) : said[0] != '\0')
			fail_msg("row %zu: %s", i, said);
		assert_int_equal(gauge(&rig, "osbd_tls_certificate_expiry_seconds{"),
				 rows[i].before);
	}
	rig_finish(&rig);
}

/* -- dialing ------------------------------------------------------------------------------ */

struct dialed {
	struct dial_wrapping wrapping;
	int done, status;
};

static void wrapped(struct call *call, int status)
{
	struct dialed *d = container_of(call, struct dialed, wrapping.call);

	d->done++;
	d->status = status;
}

static void dial_one(struct world *w, struct tls_dial *dial, struct dialed *d, const char *host)
{
	const struct dial_wrap *wrap = tls_dial_wrap(dial);

	memset(d, 0, sizeof(*d));
	d->wrapping.call.done = wrapped;
	d->wrapping.below = &w->ends[0].stream;
	d->wrapping.host = host;
	d->wrapping.within = 5000;
	assert_int_equal(wrap->start(wrap, &w->loop, &d->wrapping), 0);
	assert_int_equal(d->done, 0);
}

static void test_dial(void **state)
{
	struct tls_client_options options = { .ca = cert("ca.pem") };
	struct tls_config *server;
	struct tls_dial *dial, *other;
	struct str hello = STR("hello");
	struct dialed d;
	struct world w;
	struct err err;

	(void)state;
	world_init(&w, true);
	server = server_config(&w, "one", "ca.pem", TLS_CLIENTS_OPTIONAL, 0);
	assert_int_equal(tls_dial_create(&options, &w.budget, &dial, &err), 0);
	assert_false(tls_dial_wrap(dial)->presents);
	options.pair = files_of("alice");
	assert_int_equal(tls_dial_create(&options, &w.budget, &other, &err), 0);
	assert_true(tls_dial_wrap(other)->presents);
	assert_true(tls_dial_wrap(dial)->id != tls_dial_wrap(other)->id);

	serve(&w, server, ROOM);
	w.server.echo = true;
	dial_one(&w, other, &d, "one.test");
	turns(&w, 40);
	assert_int_equal(d.done, 1);
	assert_int_equal(d.status, 0);
	side_take(&w.client, d.wrapping.stream);
	stream_read_start(w.client.stream);
	assert_int_equal(stream_write(w.client.stream, &hello, 1), 0);
	turns(&w, 40);
	assert_int_equal(w.client.ended, 0);
	assert_int_equal(w.server.got.n, hello.n);
	assert_string_equal(w.client.got.p, "hello");
	assert_true(str_is(stream_peer(w.server.stream)->names[0], "alice"));
	part(&w);

	/* whom it must not trust */
	serve(&w, server, ROOM);
	dial_one(&w, dial, &d, "three.test");
	turns(&w, 40);
	assert_int_equal(d.done, 1);
	assert_int_equal(d.status, ERR_ACCESS);
	assert_non_null(strstr(d.wrapping.err.text, "not for three.test"));
	assert_null(d.wrapping.stream);
	memset(&w.ends[0], 0, sizeof(w.ends[0]));
	part(&w);

	/* canceled */
	serve(&w, server, ROOM);
	dial_one(&w, dial, &d, "one.test");
	turns(&w, 1);
	call_cancel(&d.wrapping.call);
	call_cancel(&d.wrapping.call);
	turns(&w, 10);
	assert_int_equal(d.done, 1);
	assert_int_equal(d.status, ERR_CANCELED);
	memset(&w.ends[0], 0, sizeof(w.ends[0]));
	part(&w);

	/* nobody answers */
	stream_pair(&w.loop, &w.ends[0], &w.ends[1], ROOM);
	w.ends[1].stream.on_closed = ignore_closed;
	dial_one(&w, dial, &d, "one.test");
	while (!d.done && loop_turn(&w.loop))
		;
	assert_int_equal(d.status, ERR_TIMEDOUT);
	assert_int_equal(loop_now(&w.loop), 5000);
	stream_close(&w.ends[1].stream);
	memset(&w.ends[0], 0, sizeof(w.ends[0]));
	turns(&w, 4);
	tls_dial_destroy(dial);
	tls_dial_destroy(other);
	tls_config_unref(server);
	world_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_notices),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_dial),
	};

	return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
