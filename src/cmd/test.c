/* osbd test: runs the `test` action of bundles, for their authors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle.h"
#include "backends/bundle_test.h"
#include "cmd/cmd.h"

#include <stdio.h>

#define EXIT_NO_ACTION 8 /* the bundle has no such action */

static void ended(struct call *call, int status)
{
	*(int *)call->data = status < 0 ? status : 1;
}

static int test_offering(struct setup *setup, const struct offering *offering)
{
	struct bundle_test test = { 0 };
	struct err err = { 0 };
	int over = 0, failed;

	printf("%.*s: ", STR_ARG(offering->name));
	fflush(stdout);
	test.call.done = ended;
	test.call.data = &over;
	if (bundle_test_start(&test, offering->backend, &offering->plans[0], &err) < 0) {
		printf("cannot be run: %s\n", err.text);
		return 1;
	}
	while (!over && loop_turn(&setup->loop))
		;
	failed = over < 0 || (test.exit_code != 0 && test.exit_code != EXIT_NO_ACTION);
	if (over < 0)
		printf("failed: %s", err_str(over));
	else if (test.exit_code == EXIT_NO_ACTION)
		printf("has no action \"test\"");
	else if (failed)
		printf("%s failed with exit code %d", test.action, test.exit_code);
	else
		printf("ok");
	if (test.message.n)
		printf(": %.*s", STR_ARG(test.message));
	putchar('\n');
	arena_finish(&test.arena);
	return failed;
}

static int test_all(struct setup *setup, const char *name)
{
	const struct catalog *catalog = setup->gen->catalog;
	size_t i, n = 0;
	int failed = 0;

	for (i = 0; i < catalog->n_offerings; i++) {
		const struct offering *offering = &catalog->offerings[i];

		if (offering->backend->type != &backend_bundle ||
		    (name && !str_is(offering->name, name)))
			continue;
		n++;
		failed += test_offering(setup, offering);
	}
	if (n == 0) {
		fprintf(stderr,
			name ? "osbd test: no bundle offers the service \"%s\"\n"
			     : "osbd test: the configuration has no bundles\n",
			name);
		return EXIT_FAILED;
	}
	return failed ? EXIT_FAILED : EXIT_DONE;
}

static int test(const char *config, int argc, char **argv)
{
	struct setup setup;
	int rc, end;

	rc = setup_config(&setup, config);
	if (rc == 0)
		rc = setup_catalog(&setup);
	if (rc == 0)
		rc = test_all(&setup, argc > 0 ? argv[0] : NULL);
	end = setup_finish(&setup);
	return rc ? rc : end;
}

const struct command command_test = {
	.name = "test",
	.synopsis = "-c FILE [SERVICE]",
	.summary = "provision, test and deprovision with each bundle",
	.help = "Runs `bundle test` for each service of FILE that is a bundle, or for SERVICE "
		"alone,\n"
		"with the defaults of its first plan, in a directory of its own. Prints a line "
		"each.\n"
		"Exit code 1 when one has failed. The broker may be running meanwhile.\n",
	.needs_config = true,
	.takes = 1,
	.run = test,
};
