/* osbd copy-store: everything from one store into another, and then a look whether it is there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include "store/tx.h"

#include <inttypes.h>
#include <stdio.h>

struct wait {
	bool done;
	int status;
};

static void noted(struct call *call, int status)
{
	struct wait *wait = call->data;

	wait->status = status;
	wait->done = true;
}

static int run(struct setup *setup, struct call *call, tx_body body)
{
	struct wait wait = { 0 };

	call->done = noted;
	call->data = &wait;
	setup->store->type->run(setup->store, call, body);
	loop_run_until(&setup->loop, &wait.done);
	return wait.status;
}

static int complain(const char *what, int status)
{
	fprintf(stderr, "osbd copy-store: %s: %s\n", what, err_str(status));
	return EXIT_FAILED;
}

/* A store that nodes use changes while it is copied. */
static int check_nodes(struct setup *setup, const char *which)
{
	struct store_renew c = {
		.arena = &setup->arena, .owner = STR("copy-store"), .lease = 1, .first = true
	};
	struct wait wait = { 0 };

	if (!store_shared(setup->store))
		return 0;
	c.call.done = noted;
	c.call.data = &wait;
	store_renew(setup->store, &c);
	loop_run_until(&setup->loop, &wait.done);
	if (wait.status < 0)
		return complain(which, wait.status);
	if (c.nodes <= 1)
		return 0;
	fprintf(stderr, "osbd copy-store: %u nodes use %s; stop them first\n", c.nodes - 1, which);
	return EXIT_FAILED;
}

static int check_empty(struct setup *to, struct tx_copy *c)
{
	int rc, table;

	for (table = 0; table < TABLES; table++) {
		c->table = (enum table)table;
		c->from = 0;
		c->arena = &to->arena;
		rc = run(to, &c->call, tx_dump);
		if (rc < 0)
			return complain("the store to copy to", rc);
		if (c->n == 0)
			continue;
		fputs("osbd copy-store: the store to copy to is not empty\n", stderr);
		return EXIT_FAILED;
	}
	return 0;
}

static int copy_table(struct setup *from, struct setup *to, struct tx_copy *c, enum table table,
		      uint64_t *n)
{
	struct arena arena = { 0 };
	int rc;

	*n = 0;
	c->arena = &arena;
	c->table = table;
	c->from = 0;
	do {
		arena_reset(&arena);
		rc = run(from, &c->call, tx_dump);
		if (rc < 0) {
			arena_finish(&arena);
			return complain("the store to copy from", rc);
		}
		if (c->n > 0)
			c->from = c->rows[c->n - 1].seq;
		*n += c->n;
		rc = run(to, &c->call, tx_load);
	} while (rc == 0 && c->n == TX_COPY_ROWS);
	arena_finish(&arena);
	return rc < 0 ? complain("the store to copy to", rc) : 0;
}

/* The same rows in both, value by value? */
static int compare_table(struct setup *from, struct setup *to, struct tx_copy *a, struct tx_copy *b,
			 enum table table)
{
	struct buf one = { 0 }, two = { 0 };
	bool same = true;
	int rc = 0;
	size_t i;

	a->table = b->table = table;
	a->from = b->from = 0;
	do {
		struct arena arena = { 0 };

		a->arena = b->arena = &arena;
		rc = run(from, &a->call, tx_dump);
		if (rc == 0)
			rc = run(to, &b->call, tx_dump);
		same = rc == 0 && a->n == b->n;
		for (i = 0; same && i < a->n; i++) {
			buf_clear(&one);
			buf_clear(&two);
			tx_copied_write(table, &a->rows[i], &one);
			tx_copied_write(table, &b->rows[i], &two);
			same = str_eq(buf_str(&one), buf_str(&two));
			a->from = b->from = a->rows[i].seq;
		}
		arena_finish(&arena);
	} while (same && a->n == TX_COPY_ROWS);
	buf_wipe(&one);
	buf_wipe(&two);
	if (rc < 0)
		return complain("verifying", rc);
	if (!same)
		fputs("osbd copy-store: the copy differs from its original\n", stderr);
	return same ? 0 : EXIT_FAILED;
}

static int copy_numbers(struct setup *from, struct setup *to)
{
	struct tx_numbers c = { 0 };
	int rc = run(from, &c.call, tx_ask_numbers);

	if (rc < 0)
		return complain("the store to copy from", rc);
	rc = run(to, &c.call, tx_tell_numbers);
	return rc < 0 ? complain("the store to copy to", rc) : 0;
}

static int copy_all(struct setup *from, struct setup *to)
{
	struct tx_copy *a = mem_zalloc(sizeof(*a)), *b = mem_zalloc(sizeof(*b));
	struct db *source = db_of(from->store);
	struct tx_adopt adopt = { 0 };
	uint64_t n[TABLES] = { 0 };
	int rc = check_nodes(from, "the store to copy from"), table, status;

	if (rc == 0)
		rc = check_nodes(to, "the store to copy to");
	if (rc == 0)
		rc = check_empty(to, b);
	if (rc == 0) {
		memcpy(adopt.id, source->id, STORE_ID_SIZE);
		memcpy(adopt.print, source->print, sizeof(adopt.print));
		status = run(to, &adopt.call, tx_adopt);
		mem_wipe(&adopt, sizeof(adopt));
		rc = status < 0 ? complain("the store to copy to", status) : 0;
	}
	for (table = 0; rc == 0 && table < TABLES; table++)
		rc = copy_table(from, to, a, (enum table)table, &n[table]);
	if (rc == 0)
		rc = copy_numbers(from, to);
	for (table = 0; rc == 0 && table < TABLES; table++)
		rc = compare_table(from, to, a, b, (enum table)table);
	if (rc == 0)
		printf("copied and compared %" PRIu64 " instances, %" PRIu64 " bindings, %" PRIu64
		       " operations\n",
		       n[TABLE_INSTANCE], n[TABLE_BINDING], n[TABLE_OP]);
	mem_free(a);
	mem_free(b);
	return rc;
}

static int copy_store(const char *config, int argc, char **argv)
{
	struct setup *from = mem_zalloc(sizeof(*from)), *to = mem_zalloc(sizeof(*to));
	int rc, end;

	(void)argc;
	rc = setup_config(from, config);
	if (rc == 0)
		rc = setup_store(from);
	if (rc == 0) {
		rc = setup_config(to, argv[0]);
		if (rc == 0)
			rc = setup_store(to);
		if (rc == 0)
			rc = copy_all(from, to);
		end = setup_finish(to);
		rc = rc ? rc : end;
	}
	end = setup_finish(from);
	mem_free(from);
	mem_free(to);
	return rc ? rc : end;
}

const struct command command_copy_store = {
	.name = "copy-store",
	.synopsis = "--from FILE --to FILE",
	.summary = "move everything from one store into another",
	.help = "Each FILE is a configuration; what its store and its seal.keys say counts. No "
		"osbd\n"
		"may use either store. The store to copy to must be empty; ids, operations and\n"
		"credentials are the same there, sealed with its own keys; what was running waits\n"
		"there to be resumed. Keys of TLS session tickets are made anew. In the end both\n"
		"are compared, value by value. The store that was copied stays as it is. After a\n"
		"failure, empty the other one and start again.\n",
	.needs_pair = true,
	.run = copy_store,
};
