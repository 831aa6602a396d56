/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"
#include "core/log.h"
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

struct rig {
	int fds[2]; /* a pipe: what the sink writes */
	struct log_sink *sink;
	struct log log;
	char text[65536];
};

static void open_rig(struct rig *rig, enum log_format format)
{
	memset(rig, 0, sizeof(*rig));
	assert_int_equal(pipe2(rig->fds, O_NONBLOCK | O_CLOEXEC), 0);
	rig->sink = log_sink_create(rig->fds[1], format, LOG_INFO);
	log_init(&rig->log, rig->sink);
}

static const char *read_rig(struct rig *rig)
{
	ssize_t n = read(rig->fds[0], rig->text, sizeof(rig->text) - 1);

	rig->text[n > 0 ? n : 0] = '\0';
	return rig->text;
}

static void close_rig(struct rig *rig)
{
	log_sink_destroy(rig->sink);
	close(rig->fds[0]);
	close(rig->fds[1]);
}

static void test_prefix_of_objects(void **state)
{
	struct log op;
	struct rig rig;

	(void)state;
	open_rig(&rig, LOG_LOGFMT);
	log_child(&op, &rig.log);
	log_field(&op, "op", STR("3f2a"));
	log_field(&op, "instance", STR("a b=\"c\""));
	log_field(&op, "op", STR("3f2b"));
	log_info(&op, "task %d done", 12);
	read_rig(&rig);
	assert_non_null(strstr(rig.text, " level=info op=3f2b instance=\"a b=\\\"c\\\"\" "
					 "msg=\"task 12 done\"\n"));
	assert_memory_equal(rig.text, "ts=20", 5);
	log_debug(&op, "not at this level");
	assert_string_equal(read_rig(&rig), "");
	log_sink_level(rig.sink, LOG_DEBUG);
	log_debug(&op, "now it is");
	assert_non_null(strstr(read_rig(&rig), "level=debug"));
	close_rig(&rig);
}

/* Whatever the text holds, a line is one line; as JSON it parses back to what can be shown. */
static void test_one_line_whatever_it_holds(void **state)
{
	static const char *const texts[] = {
		"a\r\nlevel=error msg=forged",
		"quote \" and \\ backslash",
		"tab\there",
		"bell\a escape\033[31m",
		"latin1 \xe4 alone",
		"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
		"c1 \xc2\x85 control",
		"bidi \xe2\x80\xae override",
		"cut \xe2\x82",
		"\x7f",
	};
	enum log_format format;
	size_t i;

	(void)state;
	for (format = LOG_LOGFMT; format <= LOG_JSON; format++) {
		for (i = 0; i < ARRAY_LEN(texts); i++) {
			struct arena arena = { 0 };
			struct json *v;
			struct err err;
			struct rig rig;
			char *p;

			open_rig(&rig, format);
			log_info(&rig.log, "%s", texts[i]);
			read_rig(&rig);
			p = strchr(rig.text, '\n');
			assert_non_null(p);
			assert_int_equal(p[1], '\0');
			*p = '\0';
			assert_true(str_is_utf8(str_of(rig.text)));
			for (p = rig.text; *p; p++)
				assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
			assert_null(strstr(rig.text, "\xe2\x80\xae"));
			if (format == LOG_JSON) {
				assert_int_equal(
					json_parse(&arena, str_of(rig.text), NULL, &v, &err), 0);
				assert_true(str_is(json_str(json_get(v, "level")), "info"));
			}
			arena_finish(&arena);
			close_rig(&rig);
		}
	}
}

/* A reader that stands still costs lines, never time; what was lost is counted and said. */
static void test_slow_reader(void **state)
{
	struct rig rig;
	char line[1000];
	size_t i, got = 0;
	bool said = false;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	open_rig(&rig, LOG_LOGFMT);
	for (i = 0; i < 3000; i++)
		log_info(&rig.log, "%s", line);
	assert_true(log_sink_pending(rig.sink) > 0);
	assert_true(log_sink_pending(rig.sink) <= LOG_BACKLOG);
	assert_true(log_sink_lost(rig.sink) > 500);
	while (log_sink_pending(rig.sink)) {
		got += strlen(read_rig(&rig));
		log_sink_flush(rig.sink);
	}
	while (read_rig(&rig)[0])
		got += strlen(rig.text);
	assert_true(got > LOG_BACKLOG / 2);
	log_info(&rig.log, "again");
	read_rig(&rig);
	said = strstr(rig.text, "log lines were lost\"") && strstr(rig.text, "msg=again");
	assert_true(said);
	close_rig(&rig);
}

static void test_broken_reader_stops_nothing(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, LOG_LOGFMT);
	close(rig.fds[1]);
	log_info(&rig.log, "into the void");
	assert_int_equal(log_sink_pending(rig.sink), 0);
	assert_int_equal(log_sink_lost(rig.sink), 1);
	rig.fds[1] = dup(rig.fds[0]);
	close_rig(&rig);
}

static void test_levels(void **state)
{
	enum log_level level;

	(void)state;
	assert_int_equal(log_level_parse(STR("warn"), &level), 0);
	assert_int_equal(level, LOG_WARN);
	assert_int_equal(log_level_parse(STR("WARN"), &level), ERR_INVALID);
	log_info(&(struct log){ 0 }, "a zeroed log discards");
}

static void test_secret(void **state)
{
	struct secret secret = { 0 };

	(void)state;
	assert_int_equal(secret_reveal(&secret).n, 0);
	secret_set(&secret, STR("s3cret"));
	secret_set(&secret, STR("other"));
	assert_true(str_is(secret_reveal(&secret), "other"));
	secret_finish(&secret);
	assert_int_equal(secret_reveal(&secret).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix_of_objects),
		cmocka_unit_test(test_one_line_whatever_it_holds),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_broken_reader_stops_nothing),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
