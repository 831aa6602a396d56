/* osbd orphans: what may be left over, for a person to look at. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/survey.h"

#include <stdio.h>

#define ROWS 100 /* in one read */

struct wait {
	struct store_list list;
	bool done;
	int status;
};

static void listed(struct call *call, int status)
{
	struct wait *wait = container_of(call, struct wait, list.call);

	wait->status = status;
	wait->done = true;
}

/* Ids are bytes of the platform: they are shown as JSON strings, on one line whatever they hold. */
static void print_row(const struct store_listed *row)
{
	struct buf line = { 0 };
	bool binding = row->binding.seq != 0;

	buf_printf(&line, "%s\t%s\t", binding ? "binding" : "instance",
		   store_state_name(binding ? row->binding.state : row->instance.state));
	json_write_string(&line, row->instance.id);
	buf_putc(&line, '\t');
	if (binding)
		json_write_string(&line, row->binding.id);
	else
		buf_putc(&line, '-');
	buf_putc(&line, '\t');
	json_write_string(&line, row->service);
	buf_putc(&line, '\t');
	json_write_string(&line, row->description);
	puts(line.p);
	buf_finish(&line);
}

static int list_kind(struct setup *setup, enum store_list_kind kind, size_t *n)
{
	struct arena arena = { 0 };
	struct wait wait;
	int64_t from = 0;
	size_t i;

	do {
		memset(&wait, 0, sizeof(wait));
		wait.list = (struct store_list){
			.call = { .done = listed },
			.arena = &arena,
			.kind = kind,
			.from = from,
			.max = ROWS,
		};
		store_list(setup->store, &wait.list);
		loop_run_until(&setup->loop, &wait.done);
		if (wait.status < 0) {
			fprintf(stderr, "osbd: store: %s\n", err_str(wait.status));
			arena_finish(&arena);
			return EXIT_FAILED;
		}
		for (i = 0; i < wait.list.n_rows; i++) {
			print_row(&wait.list.rows[i]);
			from = wait.list.rows[i].at;
		}
		*n += wait.list.n_rows;
		arena_reset(&arena);
	} while (wait.list.n_rows == ROWS);
	arena_finish(&arena);
	return 0;
}

static int orphans(const char *config, int argc, char **argv)
{
	struct setup setup;
	size_t n = 0, outside = 0, unreadable = 0;
	int rc, end;

	rc = setup_config(&setup, config);
	if (rc == 0)
		rc = setup_catalog(&setup);
	if (rc == 0)
		rc = setup_store(&setup);
	if (rc == 0)
		rc = list_kind(&setup, STORE_LIST_ORPHANS, &n);
	if (rc == 0)
		rc = list_kind(&setup, STORE_LIST_UNREADABLE, &unreadable);
	if (rc == 0)
		rc = survey_all(&setup, argv, argc, &outside);
	if (rc == 0)
		fprintf(stderr, "%zu orphans, %zu rows that no key opens\n", n + outside,
			unreadable);
	end = setup_finish(&setup);
	return rc ? rc : end;
}

const struct command command_orphans = {
	.name = "orphans",
	.synopsis = "-c FILE [NAME...]",
	.summary = "list what may be left over, here and on the servers of services",
	.help = "Lists objects whose creation failed and could not be undone, and objects whose\n"
		"deletion failed, a line each, tab-separated: kind, state, instance id, binding "
		"id,\n"
		"service, and why. Then rows that no key opens. A DELETE of the object by the\n"
		"platform tries again.\n"
		"\n"
		"Then what services with servers of their own have there, in the same form:\n"
		"`unknown` carries osbd's mark, but the store knows nothing of it; `missing` is "
		"in\n"
		"the store, but not there. An unknown one goes only when it is named: NAME is its\n"
		"third column, without quotes.\n"
		"\n"
		"An SQLite store must not be open in a running osbd.\n",
	.takes = 1000,
	.needs_config = true,
	.run = orphans,
};
