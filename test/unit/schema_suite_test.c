/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema organisation's test suite, as the distribution has it:
 *
 *     schema_suite_test [DIRECTORY]     /usr/share/json-schema-test-suite without one
 *
 * Every file of draft4, draft6 and draft7 is run, the optional ones too. What osbd means to do
 * otherwise stands in a list with the reason, and a listed test that passes is a failure. */
#include "core/mem.h"
#include "core/schema.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#define REMOTE "osbd never fetches a schema"
#define CONTENT "contentEncoding and contentMediaType are annotations"

/* test NULL: every test of the group. */
static const struct miss {
	const char *file, *group, *test, *why;
} misses[] = {
	{ "refRemote.json", "remote ref", NULL, REMOTE },
	{ "refRemote.json", "fragment within remote ref", NULL, REMOTE },
	{ "refRemote.json", "ref within remote ref", NULL, REMOTE },
	{ "refRemote.json", "base URI change", NULL, REMOTE },
	{ "refRemote.json", "base URI change - change folder", NULL, REMOTE },
	{ "refRemote.json", "base URI change - change folder in subschema", NULL, REMOTE },
	{ "refRemote.json", "root ref in remote ref", NULL, REMOTE },
	{ "optional/content.json", "validation of string-encoded content based on media type",
	  "an invalid JSON document", CONTENT },
	{ "optional/content.json", "validation of binary string-encoding",
	  "an invalid base64 string (% is not a valid character)", CONTENT },
	{ "optional/content.json", "validation of binary-encoded media type documents",
	  "a validly-encoded invalid JSON document", CONTENT },
	{ "optional/content.json", "validation of binary-encoded media type documents",
	  "an invalid base64 string that is valid JSON", CONTENT },
};

static const char *suite = "/usr/share/json-schema-test-suite";

struct run {
	enum schema_draft draft;
	const char *directory, *file; /* "draft4", "optional/format.json" */
	unsigned passed, missed, wrong;
};

static const struct miss *find_miss(const struct run *run, struct str group, struct str test)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(misses); i++)
		if (strcmp(misses[i].file, run->file) == 0 && str_is(group, misses[i].group) &&
		    (!misses[i].test || str_is(test, misses[i].test)))
			return &misses[i];
	return NULL;
}

static void judge(struct run *run, struct str group, struct str test, bool passed, const char *why)
{
	const struct miss *miss = find_miss(run, group, test);

	run->passed += passed;
	run->missed += !passed && miss;
	if (passed != (miss != NULL))
		return;
	run->wrong++;
	print_error("%s/%s: %.*s: %.*s: %s\n", run->directory, run->file, STR_ARG(group),
		    STR_ARG(test), miss ? "passes, but is listed as a miss" : why);
}

static void run_group(struct run *run, const struct json *group)
{
	struct str name = json_str(json_get(group, "description"));
	const struct json *test;
	struct arena arena = { NULL, NULL };
	struct schema *schema = NULL;
	struct err err = { 0 };
	size_t i;

	if (schema_compile_as(&arena, json_get(group, "schema"), run->draft, &schema, &err))
		schema = NULL;
	json_each_item(i, test, json_get(group, "tests")) {
		bool valid = json_bool_value(json_get(test, "valid"));
		int rc = ERR_SYNTAX;

		if (schema) {
			strcpy(err.text, "is valid");
			rc = schema_validate(schema, json_get(test, "data"), "data", &err);
		}
		judge(run, name, json_str(json_get(test, "description")),
		      valid ? rc == 0 : rc == ERR_INVALID, err.text);
	}
	arena_finish(&arena);
}

static void run_file(struct run *run)
{
	struct arena arena = { NULL, NULL };
	const struct json *group;
	struct buf text = { NULL, 0, 0 };
	struct json *groups;
	struct err err;
	char path[512];
	size_t i, n;
	FILE *in;

	snprintf(path, sizeof(path), "%s/tests/%s/%s", suite, run->directory, run->file);
	in = fopen(path, "r");
	if (!in)
		fail_msg("%s: %s", path, strerror(errno));
	while ((n = fread(buf_room(&text, 65536), 1, 65536, in)) > 0)
		text.n += n;
	fclose(in);
	if (json_parse(&arena, buf_str(&text), NULL, &groups, &err))
		fail_msg("%s: %s", path, err.text);
	json_each_item(i, group, groups)
		run_group(run, group);
	buf_finish(&text);
	arena_finish(&arena);
}

/* Runs what is in a directory below the draft's; below is "" or "optional/". */
static unsigned run_directory(struct run *run, const char *below)
{
	char path[512], file[300];
	struct dirent *entry;
	unsigned files = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tests/%s/%s", suite, run->directory, below);
	dir = opendir(path);
	if (!dir)
		fail_msg("%s: %s: install the Debian package json-schema-test-suite", path,
			 strerror(errno));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s%s", below, entry->d_name);
		if (str_ends(str_of(file), STR(".json"))) {
			run->file = file;
			run_file(run);
			files++;
		} else {
			strcat(file, "/");
			files += run_directory(run, file);
		}
	}
	closedir(dir);
	return files;
}

static void run_draft(const char *directory, enum schema_draft draft, unsigned files,
		      unsigned passed)
{
	struct run run = { .draft = draft, .directory = directory };
	unsigned found = run_directory(&run, "");

	print_message("%s: %u files, %u passed, %u left out, %u wrong\n", directory, found,
		      run.passed, run.missed, run.wrong);
	assert_int_equal(run.wrong, 0);
	assert_true(found >= files); /* the suite itself is whole */
	assert_true(run.passed >= passed);
}

static void test_draft4(void **state)
{
	(void)state;
	run_draft("draft4", SCHEMA_DRAFT_04, 30, 350);
}

static void test_draft6(void **state)
{
	(void)state;
	run_draft("draft6", SCHEMA_DRAFT_06, 35, 480);
}

static void test_draft7(void **state)
{
	(void)state;
	run_draft("draft7", SCHEMA_DRAFT_07, 50, 540);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_draft4),
		cmocka_unit_test(test_draft6),
		cmocka_unit_test(test_draft7),
	};

	if (argc > 1)
		suite = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
