/* A store of either kind for a test, and calls that wait for their end. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_STORE_FIXTURE_H
#define OSBD_TEST_STORE_FIXTURE_H

#include "core/mem.h"
#include "store/memory.h"
#include "store/postgres_db.h"
#include "store/postgres.h"
#include "store/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WALL 1700000000000u

/* -- a store, and calls that wait for their end --------------------------------------------- */

struct ended {
	bool done;
	int status;
};

struct fixture {
	struct ended ended; /* of RUN */
	struct loop loop;
	struct metrics metrics;
	struct store *store;
	struct arena arena;
	bool file, shared;
	uint64_t clock;               /* of a shared store */
	const struct seal_keys *keys; /* NULL: the store's own */
	char dir[32], path[64];
};

static inline void fixture_open_shared(struct fixture *f);

static inline void fixture_open(struct fixture *f)
{
	struct store_options options = {
		.loop = &f->loop, .metrics = &f->metrics, .keys = f->keys, .path = f->path
	};
	struct err err;
	int rc;

	if (f->shared) {
		fixture_open_shared(f);
		return;
	}
	rc = f->file ? store_sqlite_open(&options, &f->store, &err)
		     : store_memory_open(&options, &f->store, &err);
	if (rc != 0)
		fail_msg("open: %s", err.text);
}

static inline void note_closed(void *data)
{
	*(bool *)data = true;
}

static inline void fixture_close(struct fixture *f)
{
	bool closed = false;

	store_close(f->store, note_closed, &closed);
	assert_false(closed); /* from the loop only */
	assert_true(loop_run_until(&f->loop, &closed));
	f->store = NULL;
}

static inline struct fixture *fixture_new(bool file)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	assert_int_equal(loop_init_test(&f->loop, WALL), 0);
	metrics_init(&f->metrics);
	strcpy(f->dir, "/tmp/store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/osbd.db", f->dir);
	f->file = file;
	fixture_open(f);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	char path[96];

	if (f->store)
		fixture_close(f);
	arena_finish(&f->arena);
	assert_int_equal(loop_finish(&f->loop), 0);
	unlink(f->path);
	snprintf(path, sizeof(path), "%s/seal.key", f->dir);
	unlink(path);
	assert_int_equal(rmdir(f->dir), 0); /* the store cleaned up behind itself */
	mem_free(f);
}

static inline int setup_file(void **state)
{
	*state = fixture_new(true);
	return 0;
}

/* Time passes. */
static inline void pass(struct fixture *f, uint64_t ms)
{
	if (f->shared)
		f->clock += ms;
	else
		f->loop.now += ms;
}

static inline uint64_t now_of(const struct fixture *f)
{
	return f->shared ? f->clock : WALL + f->loop.now;
}

static inline int setup_memory(void **state)
{
	*state = fixture_new(false);
	return 0;
}

static inline int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static inline void note_end(struct call *call, int status)
{
	struct ended *ended = call->data;

	assert_false(ended->done);
	ended->done = true;
	ended->status = status;
}

static inline void arm(struct call *call, struct ended *ended)
{
	*ended = (struct ended){ false, 1 };
	call->done = note_end;
	call->data = ended;
}

static inline int await(struct fixture *f, struct call *call)
{
	struct ended *ended = call->data;

	assert_false(ended->done); /* never before start has returned */
	assert_true(loop_run_until(&f->loop, &ended->done));
	assert_false(call->active);
	return ended->status;
}

/* Starts one call and waits for its end; the status. */
#define RUN(f, fn, c) (arm(&(c)->call, &(f)->ended), fn((f)->store, (c)), await((f), &(c)->call))

/* -- a shared store ------------------------------------------------------------------------- */

static inline void fixture_sql(struct fixture *f, const char *text)
{
	struct sql_stmt stmt = { NULL, text, 0 };
	struct sql_config config = { .url = getenv("OSBD_PG_URL"), .patience_ms = 8000 };
	struct sql_pool *pool;
	struct sql_tx tx;
	bool closed = false;
	struct err err;

	assert_int_equal(sql_pool_create(&f->loop, &config, &pool, &err), 0);
	sql_tx_init(&tx, &f->arena);
	sql_add_plain(&tx, &stmt);
	arm(&tx.call, &f->ended);
	sql_start(pool, &tx);
	if (await(f, &tx.call) != 0)
		fail_msg("%s: %s", text, tx.why);
	sql_pool_close(pool, note_closed, &closed);
	assert_true(loop_run_until(&f->loop, &closed));
}

static inline struct store_renew renew(struct fixture *f, const char *owner, bool first,
				       uint64_t lease)
{
	struct store_renew c = {
		.arena = &f->arena, .owner = str_of(owner), .first = first, .lease = lease
	};

	assert_int_equal(RUN(f, store_renew, &c), 0);
	return c;
}

static inline int fixture_try_shared(struct fixture *f, struct err *err)
{
	struct store_postgres_options options = {
		.loop = &f->loop,
		.metrics = &f->metrics,
		.keys = f->keys,
		.sql = { .url = getenv("OSBD_PG_URL"), .patience_ms = 8000, .connections = 4 },
	};
	struct seal_keys *keys = seal_keys_create();
	int rc;

	assert_int_equal(
		seal_keys_add(keys, STR("k1"), STR("0123456789abcdef0123456789abcdef"), err), 0);
	if (!options.keys)
		options.keys = keys;
	rc = store_postgres_open(&options, &f->store, err);
	seal_keys_destroy(keys);
	if (rc == 0 && f->clock)
		f->store->test_clock = &f->clock;
	return rc;
}

static inline void fixture_open_shared(struct fixture *f)
{
	struct err err;

	if (fixture_try_shared(f, &err) != 0)
		fail_msg("open: %s", err.text);
}

/* An empty database, and leases for the owners that the tests speak of. */
static inline int setup_shared(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	assert_int_equal(loop_init(&f->loop), 0);
	metrics_init(&f->metrics);
	strcpy(f->dir, "/tmp/store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->shared = true;
	f->clock = WALL;
	fixture_sql(f, "DROP SCHEMA public CASCADE");
	fixture_sql(f, "CREATE SCHEMA public");
	fixture_open(f);
	assert_false(renew(f, "run-2", true, MINUTES(10)).lost);
	assert_false(renew(f, "run-1", true, MINUTES(10)).lost);
	*state = f;
	return 0;
}

#ifdef STORE_POSTGRES
#define EACH_STORE(test) cmocka_unit_test_setup_teardown(test, setup_shared, teardown)
#else
#define EACH_STORE(test)                                             \
	cmocka_unit_test_setup_teardown(test, setup_file, teardown), \
		cmocka_unit_test_setup_teardown(test, setup_memory, teardown)
#endif

/* A begin with all that a verb may carry. */
static inline struct store_begin verb(struct fixture *f, enum store_verb v, const char *instance,
				      const char *binding)
{
	return (struct store_begin){
		.arena = &f->arena,
		.verb = v,
		.platform = STR("cf"),
		.instance_id = str_of(instance),
		.binding_id = str_of(binding),
		.service = STR("mysql"),
		.service_id = STR("service-1"),
		.plan_id = STR("plan-1"),
		.organization = STR("org"),
		.space = STR("space"),
		.same = STR("same"),
		.data = STR("{\"parameters\":{}}"),
		.request = STR("{\"asked\":1}"),
		.owner = STR("run-1"),
		.max_waiting = 100,
		.can_halt = true,
	};
}

static inline struct store_begin begun(struct fixture *f, struct store_begin c,
				       enum store_begun want)
{
	assert_int_equal(RUN(f, store_begin, &c), 0);
	assert_int_equal(c.result, want);
	return c;
}

static inline struct store_begin start(struct fixture *f, enum store_verb v, const char *instance,
				       const char *binding)
{
	return begun(f, verb(f, v, instance, binding), BEGUN_STARTED);
}

static inline struct store_begin at_once(struct fixture *f, enum store_verb v, const char *instance,
					 const char *binding)
{
	static const struct store_end ok = { .result = STORE_SUCCEEDED };
	struct store_begin c = verb(f, v, instance, binding);

	c.at_once = &ok;
	return begun(f, c, BEGUN_ENDED);
}

static inline struct store_op_end end_of(struct fixture *f, const struct store_op *op,
					 enum store_result result)
{
	return (struct store_op_end){
		.arena = &f->arena,
		.end = { .op = op->seq, .fence = op->fence, .result = result },
	};
}

static inline void end_ok(struct fixture *f, const struct store_op *op)
{
	struct store_op_end e = end_of(f, op, STORE_SUCCEEDED);

	assert_int_equal(RUN(f, store_end, &e), 0);
	assert_false(e.halted);
}

static inline struct store_get look(struct fixture *f, const char *instance, const char *binding)
{
	struct store_get c = {
		.arena = &f->arena,
		.platform = STR("cf"),
		.instance_id = str_of(instance),
		.binding_id = str_of(binding),
	};

	assert_int_equal(RUN(f, store_get, &c), 0);
	return c;
}

static inline struct store_claim claim(struct fixture *f, const char *service, uint32_t slots)
{
	struct store_claim_want want = { str_of(service), slots };
	struct store_claim c = {
		.arena = &f->arena, .owner = STR("run-2"), .wants = &want, .n_wants = 1, .max = 1000
	};

	assert_int_equal(RUN(f, store_claim, &c), 0);
	c.wants = NULL;
	return c;
}

#endif
