/* SPDX-License-Identifier: Apache-2.0 */
#include "core/activation.h"

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

/* Descriptors 3 and up are this program's for the test: what had them is put back. */
struct fixture {
	struct activation activation;
	struct err err;
	int kept[3];
};

static void init(struct fixture *f)
{
	size_t i;
	int fd = open("/dev/null", O_RDONLY);

	memset(f, 0, sizeof(*f));
	for (i = 0; i < ARRAY_LEN(f->kept); i++) {
		f->kept[i] = fcntl(ACTIVATION_FIRST + (int)i, F_DUPFD_CLOEXEC, 50);
		assert_true(dup2(fd, ACTIVATION_FIRST + (int)i) > 0);
	}
	if (fd >= ACTIVATION_FIRST + (int)ARRAY_LEN(f->kept))
		close(fd);
}

static void finish(struct fixture *f)
{
	size_t i;

	activation_finish(&f->activation);
	for (i = 0; i < ARRAY_LEN(f->kept); i++) {
		close(ACTIVATION_FIRST + (int)i);
		if (f->kept[i] >= 0) {
			dup2(f->kept[i], ACTIVATION_FIRST + (int)i);
			close(f->kept[i]);
		}
	}
}

static int take(struct fixture *f, const char *pid, const char *n, const char *names)
{
	char own[24];
	int rc;

	snprintf(own, sizeof(own), "%ld", (long)getpid());
	unsetenv("LISTEN_PID");
	if (pid)
		setenv("LISTEN_PID", strcmp(pid, "own") == 0 ? own : pid, 1);
	unsetenv("LISTEN_FDS");
	if (n)
		setenv("LISTEN_FDS", n, 1);
	unsetenv("LISTEN_FDNAMES");
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	rc = activation_take(&f->activation, &f->err);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	return rc;
}

static void test_names(void **state)
{
	struct activation_socket *s;
	struct fixture f;

	(void)state;
	init(&f);
	assert_int_equal(take(&f, "own", "3", "web:admin:web"), 0);
	assert_int_equal(f.activation.n, 3);
	assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(5, F_GETFD), FD_CLOEXEC);
	assert_null(activation_next(&f.activation, STR("unknown")));
	s = activation_next(&f.activation, STR("web"));
	assert_non_null(s);
	assert_int_equal(s->fd, 3);
	s->taken = true;
	s = activation_next(&f.activation, STR("web"));
	assert_non_null(s);
	assert_int_equal(s->fd, 5);
	s->taken = true;
	assert_null(activation_next(&f.activation, STR("web")));
	activation_finish(&f.activation);
	assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC); /* taken: its owner closes it */
	assert_int_equal(fcntl(4, F_GETFD), -1);         /* nobody's */
	finish(&f);
}

static void test_without_names(void **state)
{
	struct fixture f;

	(void)state;
	init(&f);
	assert_int_equal(take(&f, "own", "3", "one"), 0);
	assert_int_equal(activation_next(&f.activation, STR("one"))->fd, 3);
	assert_int_equal(activation_next(&f.activation, STR("unknown"))->fd, 4);
	activation_finish(&f.activation);
	finish(&f);
	init(&f);
	assert_int_equal(take(&f, "own", "2", NULL), 0);
	assert_int_equal(f.activation.n, 2);
	assert_int_equal(activation_next(&f.activation, STR("unknown"))->fd, 3);
	finish(&f);
}

static void test_not_ours(void **state)
{
	struct fixture f;

	(void)state;
	init(&f);
	assert_int_equal(take(&f, "1", "3", "a:b:c"), 0);
	assert_int_equal(f.activation.n, 0);
	assert_int_equal(fcntl(3, F_GETFD), 0); /* not touched */
	assert_int_equal(take(&f, NULL, "3", "a"), 0);
	assert_int_equal(f.activation.n, 0);
	assert_int_equal(take(&f, "own", NULL, "a"), 0);
	assert_int_equal(f.activation.n, 0);
	assert_int_equal(take(&f, "own", "0", NULL), 0);
	assert_int_equal(f.activation.n, 0);
	finish(&f);
}

static void test_nonsense(void **state)
{
	static const char *const numbers[] = { "", "-1", "x", "257", "99999999999999999999" };
	struct fixture f;
	size_t i;

	(void)state;
	init(&f);
	for (i = 0; i < ARRAY_LEN(numbers); i++) {
		assert_int_equal(take(&f, "own", numbers[i], NULL), ERR_INVALID);
		assert_string_equal(f.err.text, "LISTEN_FDS must be a number from 0 to 256");
	}
	assert_int_equal(take(&f, "me", "1", NULL), ERR_INVALID);
	assert_string_equal(f.err.text, "LISTEN_PID must be the number of a process");
	close(5);
	assert_int_equal(take(&f, "own", "3", NULL), ERR_INVALID);
	assert_string_equal(f.err.text, "LISTEN_FDS says 3, but descriptor 5 is not open");
	activation_finish(&f.activation);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_without_names),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
