/* SPDX-License-Identifier: Apache-2.0 */
/* conf/backend-NAME.reference.yml is what the backend's rows give, and decodes. */
#include "backends/bundle.h"
#include "backends/demo.h"
#include "backends/mysql.h"
#include "backends/postgresql.h"
#include "core/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

/* A plan's own keys, as comments. */
static void write_plan(const struct conf_key *rows, struct buf *text)
{
	struct buf plan = { 0 };
	struct str rest, line;

	buf_puts(text, "\n# What a plan's `config:` may hold:\n#\n");
	conf_reference(rows, &plan);
	for (rest = str_trim(buf_str(&plan)); rest.n;) {
		line = str_cut(rest, '\n', &rest);
		buf_printf(text, line.n ? "#   %.*s\n" : "#%.*s\n", STR_ARG(line));
	}
	buf_finish(&plan);
}

static void write_reference(const struct backend_type *type, struct buf *text)
{
	buf_printf(text,
		   "# What `config:` of a service with `backend: %s` may hold.\n"
		   "# The backend %s.\n"
		   "# Generated from the source; what is commented out has no default.\n",
		   type->name, type->doc);
	if (type->plan_rows == type->service_rows)
		buf_puts(
			text,
			"# A plan's `config:` may hold the same, and goes before its service's.\n");
	buf_putc(text, '\n');
	conf_reference(type->service_rows, text);
	if (type->plan_rows && type->plan_rows != type->service_rows)
		write_plan(type->plan_rows, text);
}

static void same_as_file(const struct backend_type *type, const struct buf *want)
{
	const char *tree = getenv("OSBD_TREE");
	struct buf have = { 0 };
	char path[512];
	struct err err = { 0 };
	FILE *file;

	assert_non_null(tree);
	snprintf(path, sizeof(path), "%s/conf/backend-%s.reference.yml", tree, type->name);
	if (getenv("OSBD_WRITE")) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(want->p, 1, want->n, file), want->n);
		assert_int_equal(fclose(file), 0);
	}
	if (conf_read_file(path, 1 << 20, &have, NULL, &err))
		fail_msg("%s", err.text);
	if (!str_eq(buf_str(&have), buf_str(want)))
		fail_msg("%s is not what the rows give: "
			 "OSBD_WRITE=1 OSBD_TREE=. backends_reference_test",
			 path);
	buf_finish(&have);
}

static void check(const struct backend_type *type)
{
	struct conf_errors errors = { 0 };
	struct arena arena = { 0 };
	struct buf text = { 0 };
	struct json *node;
	struct err err;
	const char *problem = conf_rows_check(type->service_rows, &arena);

	if (problem)
		fail_msg("%s", problem);
	write_reference(type, &text);
	same_as_file(type, &text);
	if (yaml_parse(&arena, buf_str(&text), NULL, &node, &err))
		fail_msg("%s", err.text);
	assert_true(json_is_object(node));
	if (conf_decode(type->service_rows, node, "", arena_zalloc(&arena, 4096), &arena, &errors))
		fail_msg("%s", conf_errors_line(&errors, 0));
	conf_errors_finish(&errors);
	arena_finish(&arena);
	buf_finish(&text);
}

static void test_demo(void **state)
{
	(void)state;
	check(&backend_demo);
}

static void test_bundle(void **state)
{
	(void)state;
	check(&backend_bundle);
}

static void test_mysql(void **state)
{
	(void)state;
	check(&backend_mysql);
}

static void test_postgresql(void **state)
{
	(void)state;
	check(&backend_postgresql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demo),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_mysql),
		cmocka_unit_test(test_postgresql),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
