/* osbd reseal: seals every row with the first key, now. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include "core/mem.h"

#include <stdio.h>

#define ROWS 500 /* in one transaction */

struct wait {
	struct store_reseal reseal;
	bool done;
	int status;
};

static void resealed(struct call *call, int status)
{
	struct wait *wait = container_of(call, struct wait, reseal.call);

	wait->status = status;
	wait->done = true;
}

static int reseal_all(struct setup *setup)
{
	unsigned long long total = 0;
	struct wait wait;

	do {
		memset(&wait, 0, sizeof(wait));
		wait.reseal.call.done = resealed;
		wait.reseal.max = ROWS;
		store_reseal(setup->store, &wait.reseal);
		loop_run_until(&setup->loop, &wait.done);
		if (wait.status < 0) {
			fprintf(stderr, "osbd: store: %s\n", err_str(wait.status));
			return EXIT_FAILED;
		}
		total += wait.reseal.n;
		if (wait.reseal.n)
			fprintf(stderr, "%llu rows sealed\n", total);
	} while (wait.reseal.n);
	printf("%llu rows sealed with the first key, %u cannot be opened by any key\n", total,
	       wait.reseal.failed);
	return wait.reseal.failed ? EXIT_FAILED : 0;
}

struct tickets_wait {
	struct store_tickets tickets;
	bool done;
	int status;
};

static void tickets_sealed(struct call *call, int status)
{
	struct tickets_wait *wait = container_of(container_of(call, struct store_tickets, call),
						 struct tickets_wait, tickets);

	wait->status = status;
	wait->done = true;
}

static int reseal_tickets(struct setup *setup)
{
	struct tickets_wait wait = { .tickets = { .call = { .done = tickets_sealed },
						  .only_seal = true } };

	store_tickets(setup->store, &wait.tickets);
	loop_run_until(&setup->loop, &wait.done);
	mem_wipe(wait.tickets.keys, sizeof(wait.tickets.keys));
	if (wait.status < 0)
		fprintf(stderr, "osbd: store: %s\n", err_str(wait.status));
	return wait.status < 0 ? EXIT_FAILED : 0;
}

static int reseal(const char *config, int argc, char **argv)
{
	struct setup setup;
	int rc, end;

	(void)argc;
	(void)argv;
	rc = setup_config(&setup, config);
	if (rc == 0)
		rc = setup_store(&setup);
	if (rc == 0)
		rc = reseal_tickets(&setup);
	if (rc == 0)
		rc = reseal_all(&setup);
	end = setup_finish(&setup);
	return rc ? rc : end;
}

const struct command command_reseal = {
	.name = "reseal",
	.synopsis = "-c FILE",
	.summary = "seal all rows with the first key of seal.keys",
	.help = "A running osbd does the same in the background after its keys have changed; this\n"
		"does it at once, for a store that no osbd has open. When it is done, keys that "
		"are\n"
		"no longer first can be taken out of the configuration. Exit code 1 when there "
		"are\n"
		"rows that no key opens; they are left as they are.\n",
	.needs_config = true,
	.run = reseal,
};
