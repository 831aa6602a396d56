/* Opening and closing, and the table of the calls: which body each runs, what it locks, and what
 * it asks for in its first round trip. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres.h"

#include "store/postgres_node.h"
#include "store/postgres_schema.h"

/* -- the calls -------------------------------------------------------------------------- */

static void want(struct pg_options *options, enum query query, struct sql_param param)
{
	options->wants[options->n_wants++] = (struct pg_want){ query, param };
}

static void halt_told(struct pg *pg, struct call *call)
{
	struct store_begin *c = container_of(call, struct store_begin, call);

	if (c->result == BEGUN_HALTING && c->halted.owner.n > 0 &&
	    !str_is(c->halted.owner, pg->owner))
		pg_tell(pg, 'h', c->halted.seq);
}

static void postgres_begin(struct store *store, struct store_begin *c)
{
	struct pg_options options = { .locks = true, .committed = halt_told };

	want(&options, Q_NEXT_OP, sql_null());
	if (c->verb == STORE_PROVISION)
		want(&options, Q_NEXT_INSTANCE, sql_null());
	if (c->verb == STORE_BIND)
		want(&options, Q_NEXT_BINDING, sql_null());
	if (!c->at_once && c->owner.n > 0)
		want(&options, Q_LEASE, sql_text(c->owner));
	else if (!c->at_once)
		want(&options, Q_COUNT_WAITING, sql_null());
	pg_run(pg_of(store), &c->call, tx_begin, &options);
}

/* An op's own transaction: its lease comes with the row. */
static void want_lease(struct pg *pg, struct pg_options *options)
{
	if (pg->owner[0])
		want(options, Q_LEASE, sql_text(str_of(pg->owner)));
}

static void postgres_step(struct store *store, struct store_step *c)
{
	struct pg_options options = { .locks = true, .repeats = true };

	want_lease(pg_of(store), &options);
	pg_run(pg_of(store), &c->call, tx_step, &options);
}

static void postgres_end(struct store *store, struct store_op_end *c)
{
	struct pg_options options = { .locks = true };

	want(&options, Q_OBJECT_LOCK, sql_int(c->end.op));
	want_lease(pg_of(store), &options);
	pg_run(pg_of(store), &c->call, tx_end, &options);
}

static void postgres_release(struct store *store, struct store_release *c)
{
	struct pg_options options = { .locks = true, .repeats = true };

	want_lease(pg_of(store), &options);
	pg_run(pg_of(store), &c->call, tx_release, &options);
}

static void postgres_claim(struct store *store, struct store_claim *c)
{
	struct pg_options options = { 0 };

	want(&options, Q_LEASE, sql_text(c->owner));
	want(&options, Q_COUNT_WAITING, sql_null());
	pg_run(pg_of(store), &c->call, tx_claim, &options);
}

static void postgres_get(struct store *store, struct store_get *c)
{
	pg_run(pg_of(store), &c->call, tx_get, &(struct pg_options){ 0 });
}

static void postgres_list(struct store *store, struct store_list *c)
{
	pg_run(pg_of(store), &c->call, tx_list, &(struct pg_options){ 0 });
}

static void postgres_purge(struct store *store, struct store_purge *c)
{
	pg_run(pg_of(store), &c->call, tx_purge, &(struct pg_options){ .repeats = true });
}

/* Two nodes that do it at the same time do no harm. */
static void postgres_reseal(struct store *store, struct store_reseal *c)
{
	struct pg_options options = { .repeats = true, .counts = true };

	if (pg_of(store)->resealing) {
		call_begin(&c->call, NULL);
		c->n = c->failed = 0;
		call_end_soon(store->loop, &c->call, ERR_BUSY);
		return;
	}
	pg_of(store)->resealing = true;
	pg_run(pg_of(store), &c->call, tx_reseal, &options);
}

static void postgres_stats(struct store *store, struct store_stats *c)
{
	pg_run(pg_of(store), &c->call, tx_stats, &(struct pg_options){ 0 });
}

static void postgres_plan_use(struct store *store, struct store_plan_use *c)
{
	pg_run(pg_of(store), &c->call, tx_plan_use, &(struct pg_options){ 0 });
}

/* Two nodes that make the first keys at the same instant meet in the table's unique index. */
static void postgres_tickets(struct store *store, struct store_tickets *c)
{
	struct pg_options options = { .locks = true, .repeats = true };

	pg_run(pg_of(store), &c->call, tx_tickets, &options);
}

static void postgres_run(struct store *store, struct call *call, tx_body body)
{
	pg_run(pg_of(store), call, body, &(struct pg_options){ .repeats = true });
}

/* -- the way down ----------------------------------------------------------------------- */

static void destroy(struct pg *pg)
{
	size_t i;

	metrics_remove(&pg->commits);
	metrics_remove(&pg->commit_failures);
	metrics_remove(&pg->commit_seconds);
	metrics_remove(&pg->doubts);
	metrics_remove(&pg->statements);
	for (i = 0; i < Q_LAST; i++)
		mem_free(pg->cursors[i]);
	seal_keys_destroy(pg->db.keys);
	mem_wipe(pg->db.print, sizeof(pg->db.print));
	buf_wipe(&pg->db.buf);
	buf_finish(&pg->watch.told);
	buf_finish(&pg->watch.sent);
	arena_finish(&pg->watch.arena);
	arena_finish(&pg->watch.tell_arena);
	arena_finish(&pg->db.arena);
	mem_free(pg->watch.ops);
	mem_free(pg);
}

static void pool_closed(void *data)
{
	struct pg *pg = data;
	void (*closed)(void *data) = pg->closed;
	void *closed_data = pg->closed_data;

	destroy(pg);
	closed(closed_data);
}

void pg_finish(struct pg *pg)
{
	struct sql_pool *pool = pg->pool;

	if (!pool || !list_empty(&pg->running) || pg->n_node_calls || pg->watch.polling ||
	    pg->watch.telling)
		return;
	pg->pool = NULL;
	sql_pool_close(pool, pool_closed, pg);
}

static void postgres_close(struct store *store, void (*closed)(void *data), void *data)
{
	struct pg *pg = pg_of(store);

	pg->closed = closed;
	pg->closed_data = data;
	pg->closing = true;
	pg_watch_stop(pg);
	pg_hurry(store);
	pg_finish(pg);
}

/* -- the way up ------------------------------------------------------------------------- */

static const struct store_type type_postgres = {
	.name = "postgresql",
	.close = postgres_close,
	.begin = postgres_begin,
	.claim = postgres_claim,
	.step = postgres_step,
	.end = postgres_end,
	.release = postgres_release,
	.get = postgres_get,
	.list = postgres_list,
	.purge = postgres_purge,
	.reseal = postgres_reseal,
	.stats = postgres_stats,
	.plan_use = postgres_plan_use,
	.tickets = postgres_tickets,
	.run = postgres_run,
	.shared = true,
	.renew = pg_renew,
	.leave = pg_leave,
	.watch = pg_watch,
	.unwatch = pg_unwatch,
	.hurry = pg_hurry,
};

static void add_metrics(struct pg *pg, struct metrics *metrics)
{
	static const double bounds[] = { 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02,
					 0.05,   0.1,   0.5,   1,     5 };

	pg->commits = (struct metric){ .kind = METRIC_COUNTER,
				       .name = "osbd_store_commits_total",
				       .help = "Transactions made durable." };
	pg->commit_failures =
		(struct metric){ .kind = METRIC_COUNTER,
				 .name = "osbd_store_commit_failures_total",
				 .help = "Transactions that could not be committed." };
	pg->commit_seconds = (struct metric){ .kind = METRIC_HISTOGRAM,
					      .name = "osbd_store_commit_seconds",
					      .help = "Time that a commit took.",
					      .bounds = bounds,
					      .n_bounds = ARRAY_LEN(bounds) };
	pg->doubts = (struct metric){ .kind = METRIC_COUNTER,
				      .name = "osbd_store_doubts_total",
				      .help = "Commits whose reply was lost; their outcomes were "
					      "read back." };
	pg->statements = (struct metric){ .kind = METRIC_COUNTER,
					  .name = "osbd_store_statements_total",
					  .help = "Statements sent for the store's calls, "
						  "BEGIN and COMMIT apart." };
	if (!metrics)
		return;
	metrics_add(metrics, &pg->statements);
	metrics_add(metrics, &pg->doubts);
	metrics_add(metrics, &pg->commits);
	metrics_add(metrics, &pg->commit_failures);
	metrics_add(metrics, &pg->commit_seconds);
}

struct opening {
	struct pg_prepare prepare;
	bool done, over;
	int status;
	struct timer patience;
};

static void note_prepared(struct call *call, int status)
{
	struct opening *o = call->data;

	o->status = status;
	o->done = true;
}

static void on_patience(struct timer *timer)
{
	container_of(timer, struct opening, patience)->over = true;
}

static void note_closed(void *data)
{
	*(bool *)data = true;
}

/* A server that is not there yet may come; one that refuses us will not change its mind. */
static bool hopeless(struct pg *pg)
{
	const struct err *trouble = sql_pool_trouble(pg->pool);

	return trouble && (trouble->code == ERR_ACCESS || trouble->code == ERR_NOENT ||
			   trouble->code == ERR_UNSUPPORTED);
}

static int prepare(struct pg *pg, uint64_t patience, struct err *err)
{
	struct opening *o = mem_zalloc(sizeof(*o));
	struct loop *loop = pg->db.store.loop;
	const struct err *trouble;
	int status;

	timer_start(&o->patience, loop, patience ? patience : SEC(30), on_patience);
	do {
		o->prepare = (struct pg_prepare){ .call = { .done = note_prepared, .data = o },
						  .err = err };
		o->done = false;
		pg_prepare(pg, &o->prepare);
		if (!loop_run_until(loop, &o->done)) {
			o->status = err_set(err, ERR_STORE, "the loop has ended");
			break;
		}
	} while (o->status == ERR_STORE && !o->over && !hopeless(pg) &&
		 sql_pool_state(pg->pool) != SQL_UP);
	timer_stop(&o->patience);
	trouble = sql_pool_trouble(pg->pool);
	if (o->status == ERR_STORE && trouble)
		*err = *trouble;
	status = o->status == 0 ? 0 : err->code;
	if (status == 0 && o->prepare.fresh)
		log_info(&pg->db.store.log, "made a new store");
	mem_free(o);
	return status;
}

static int open_pool(struct pg *pg, const struct store_postgres_options *options, struct err *err)
{
	struct sql_config config = options->sql;

	config.log = pg->db.store.log;
	return sql_pool_create(options->loop, &config, &pg->pool, err);
}

int store_postgres_open(const struct store_postgres_options *options, struct store **store,
			struct err *err)
{
	struct pg *pg = mem_zalloc(sizeof(*pg));
	struct loop *loop = options->loop;
	bool closed = false;
	int rc;

	*store = NULL;
	pg->db.store.type = &type_postgres;
	pg->db.store.loop = loop;
	pg->db.ops = &postgres_ops;
	if (options->log)
		log_child(&pg->db.store.log, options->log);
	list_init(&pg->running);
	pg->db.keys = seal_keys_create();
	if (options->keys)
		seal_keys_add_all(pg->db.keys, options->keys);
	add_metrics(pg, options->metrics);
	if (seal_keys_count(pg->db.keys) == 0)
		rc = err_set(
			err, ERR_SEALED,
			"seal.keys are needed: all nodes of a PostgreSQL store seal with them");
	else
		rc = open_pool(pg, options, err);
	if (rc == 0)
		rc = prepare(pg, options->patience, err);
	if (rc == 0) {
		pg_watch_start(pg);
		*store = &pg->db.store;
	} else if (pg->pool) {
		postgres_close(&pg->db.store, note_closed, &closed);
		loop_run_until(loop, &closed);
	} else {
		destroy(pg);
	}
	return rc;
}
