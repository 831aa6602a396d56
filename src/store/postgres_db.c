/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres_db.h"

#include "core/failpoint.h"

#include <assert.h>

#define RACES_MAX 8        /* unique violations in a row before a call is given up */
#define DOUBT_EVERY SEC(1) /* between two tries to read an outcome back */

struct pg_read {
	enum query query;
	struct sql_param *params; /* in the tx's arena */
	int n_params;
	bool sent;
	size_t result;
};

struct pg_write {
	enum query query;
	struct sql_param *params;
	int n_params;
	size_t result;
};

struct pg_tx {
	struct sql_tx sql;
	struct pg *pg;
	struct list node; /* pg.running */
	struct call *call;
	tx_body body;
	struct pg_options options;
	struct arena arena;
	struct pg_read *reads;
	size_t n_reads, reads_size, n_first; /* n_first: sent with the first round */
	struct pg_write *writes;
	size_t n_writes, writes_size;
	int status;        /* of the body's last run */
	int64_t n_claimed; /* by it */
	int races;
	uint64_t began;
	struct db_counts before;
	/* the op that was written last: by it the outcome is read back */
	struct {
		int64_t seq, fence;
		enum store_op_state state;
		bool fresh;
		char owner[PG_OWNER_MAX + 1];
	} witness;
	struct sql_tx doubt;
	uint64_t doubted; /* loop_now() when the reply was lost */
	struct timer pause;
};

static struct pg *pg_of_db(struct db *db)
{
	return container_of(db, struct pg, db);
}

/* -- statements ------------------------------------------------------------------------- */

static struct db_stmt *ops_stmt(struct db *db, enum query query)
{
	struct pg *pg = pg_of_db(db);
	struct pg_cursor *cursor = pg->cursors[query];

	if (!cursor) {
		cursor = pg->cursors[query] = mem_zalloc(sizeof(*cursor));
		cursor->stmt.ops = &postgres_ops;
		cursor->query = query;
	}
	memset(cursor->params, 0, sizeof(cursor->params));
	cursor->result = NULL;
	return &cursor->stmt;
}

static struct pg_cursor *cursor_of(struct db_stmt *stmt)
{
	return container_of(stmt, struct pg_cursor, stmt);
}

static bool same_params(const struct sql_param *a, const struct sql_param *b, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (a[i].kind != b[i].kind || a[i].number != b[i].number ||
		    !str_eq(a[i].text, b[i].text))
			return false;
	return true;
}

static struct sql_param *keep_params(struct pg_tx *tx, const struct sql_param *params, int n)
{
	struct sql_param *copy = arena_alloc(&tx->arena, ((size_t)n + 1) * sizeof(*copy));
	int i;

	for (i = 0; i < n; i++) {
		copy[i] = params[i];
		if (copy[i].text.n > 0)
			copy[i].text = arena_str(&tx->arena, copy[i].text);
	}
	return copy;
}

static int n_params_of(const struct pg_tx *tx, enum query query)
{
	return postgres_stmt(query, tx->options.locks)->n_params;
}

static void add_read(struct pg_tx *tx, enum query query, const struct sql_param *params, int n)
{
	if (tx->n_reads == tx->reads_size) {
		tx->reads_size = tx->reads_size ? tx->reads_size * 2 : 16;
		tx->reads = mem_realloc(tx->reads, tx->reads_size * sizeof(*tx->reads));
	}
	tx->reads[tx->n_reads++] =
		(struct pg_read){ query, keep_params(tx, params, n), n, false, 0 };
}

static void add_write(struct pg_tx *tx, enum query query, const struct sql_param *params, int n)
{
	if (tx->n_writes == tx->writes_size) {
		tx->writes_size = tx->writes_size ? tx->writes_size * 2 : 8;
		tx->writes = mem_realloc(tx->writes, tx->writes_size * sizeof(*tx->writes));
	}
	tx->writes[tx->n_writes++] = (struct pg_write){ query, keep_params(tx, params, n), n, 0 };
}

/* A poll finds the latest op in the row of its object, and what waits before it. */
static bool find_joined(struct pg_tx *tx, struct pg_cursor *cursor)
{
	bool before = cursor->query == Q_WAITING_BEFORE;
	int64_t op = cursor->params[before ? 1 : 0].number;
	size_t i, row;

	if (tx->options.locks || (cursor->query != Q_OP_GET && !before))
		return false;
	for (i = 0; i < tx->n_reads; i++) {
		const struct pg_read *read = &tx->reads[i];
		size_t column =
			read->query == Q_INSTANCE_FIND ? PG_INSTANCE_COLUMNS : PG_BINDING_COLUMNS;
		const struct sql_result *result = &tx->sql.results[read->result];

		if (!read->sent ||
		    (read->query != Q_INSTANCE_FIND && read->query != Q_BINDING_FIND))
			continue;
		for (row = 0; row < result->rows; row++) {
			if (sql_is_null(result, row, column) ||
			    sql_get_int(result, row, column) != op)
				continue;
			cursor->result = result;
			cursor->row = row;
			cursor->only = 1;
			cursor->first_column = before ? column + PG_OP_COLUMNS : column;
			return true;
		}
	}
	return false;
}

/* Opens the cursor on the rows of an earlier round trip. */
static int open_cursor(struct pg_tx *tx, struct pg_cursor *cursor)
{
	int n = n_params_of(tx, cursor->query);
	size_t i;

	cursor->row = cursor->only = cursor->first_column = 0;
	for (i = 0; i < tx->n_reads; i++) {
		const struct pg_read *read = &tx->reads[i];

		if (read->query != cursor->query || !same_params(read->params, cursor->params, n))
			continue;
		if (!read->sent)
			return DB_MISS;
		cursor->result = &tx->sql.results[read->result];
		return 0;
	}
	if (find_joined(tx, cursor))
		return 0;
	add_read(tx, cursor->query, cursor->params, n);
	return DB_MISS;
}

static int ops_row(struct db *db, struct db_stmt *stmt)
{
	struct pg_cursor *cursor = cursor_of(stmt);
	bool more;

	if (!cursor->result) {
		int rc = open_cursor(pg_of_db(db)->current, cursor);

		if (rc != 0)
			return rc;
	}
	more = cursor->only ? cursor->only == 1 : cursor->row < cursor->result->rows;
	if (!more) {
		cursor->result = NULL;
		return 0;
	}
	cursor->row++;
	if (cursor->only)
		cursor->only++;
	return 1;
}

static int ops_run(struct db *db, struct db_stmt *stmt)
{
	struct pg_tx *tx = pg_of_db(db)->current;
	struct pg_cursor *cursor = cursor_of(stmt);

	add_write(tx, cursor->query, cursor->params, n_params_of(tx, cursor->query));
	return 0;
}

static void ops_reset(struct db_stmt *stmt)
{
	cursor_of(stmt)->result = NULL;
}

static void ops_bind_int(struct db_stmt *stmt, int at, int64_t value)
{
	cursor_of(stmt)->params[at - 1] = sql_int(value);
}

static void ops_bind(struct db_stmt *stmt, int at, struct str value)
{
	cursor_of(stmt)->params[at - 1] = value.n ? sql_text(value) : sql_null();
}

static int64_t ops_get_int(struct db_stmt *stmt, int at)
{
	const struct pg_cursor *cursor = cursor_of(stmt);
	size_t column = cursor->first_column + (size_t)at;

	return cursor->result ? sql_get_int(cursor->result, cursor->row - 1, column) : 0;
}

static struct str ops_get(struct db_stmt *stmt, int at)
{
	const struct pg_cursor *cursor = cursor_of(stmt);
	size_t column = cursor->first_column + (size_t)at;
	struct str value = STR("");

	if (cursor->result && !sql_is_null(cursor->result, cursor->row - 1, column))
		value = sql_get_str(cursor->result, cursor->row - 1, column);
	return value.n ? value : STR("");
}

static int ops_writing(struct db *db)
{
	(void)db;
	return 0;
}

/* One number: the first column of the first row, 0 when there is none. */
static int number(struct db *db, enum query query, int64_t *value)
{
	struct db_stmt *stmt = db_stmt(db, query);
	int rc = db_row(db, stmt);

	*value = rc == 1 ? db_int(stmt, 0) : 0;
	db_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int ops_next(struct db *db, enum table table, int64_t *seq)
{
	static const enum query queries[TABLES] = { Q_NEXT_INSTANCE, Q_NEXT_BINDING, Q_NEXT_OP };

	return number(db, queries[table], seq);
}

static int ops_numbered(struct db *db, enum table table, int64_t seq)
{
	static const enum query queries[TABLES] = { Q_NUMBER_INSTANCE, Q_NUMBER_BINDING,
						    Q_NUMBER_OP };
	struct db_stmt *stmt = db_stmt(db, queries[table]);
	int rc;

	db_bind_int(stmt, 1, seq);
	rc = db_row(db, stmt);
	db_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int ops_waiting(struct db *db, uint64_t *n)
{
	int64_t value;
	int rc = number(db, Q_COUNT_WAITING, &value);

	value -= pg_of_db(db)->current->n_claimed; /* they were counted before */
	*n = value > 0 ? (uint64_t)value : 0;
	return rc;
}

static int ops_stats(struct db *db, struct store_stats *c)
{
	struct db_stmt *stmt = db_stmt(db, Q_COUNT_OPS);
	int64_t instances, bindings, oldest;
	int all = 0, rc;

	memset(c->ops, 0, sizeof(c->ops));
	while ((rc = db_row(db, stmt)) == 1) {
		int64_t verb = db_int(stmt, 0), state = db_int(stmt, 1);

		if (verb >= 0 && verb < STORE_VERBS && state >= 0 && state < 4)
			c->ops[verb][state] = (uint64_t)db_int(stmt, 2);
	}
	all = rc;
	rc = number(db, Q_COUNT_INSTANCES, &instances);
	all = all ? all : rc;
	rc = number(db, Q_COUNT_BINDINGS, &bindings);
	all = all ? all : rc;
	rc = number(db, Q_WAITING_OLDEST, &oldest);
	c->instances = (uint64_t)instances;
	c->bindings = (uint64_t)bindings;
	c->oldest_waiting = (uint64_t)oldest;
	return all ? all : rc;
}

static int ops_lease(struct db *db, struct str owner)
{
	struct db_stmt *stmt = db_stmt(db, Q_LEASE);
	int rc;

	db_bind(stmt, 1, owner);
	rc = db_row(db, stmt);
	db_reset(stmt);
	return rc == 1 ? 0 : rc == 0 ? ERR_STALE : rc;
}

/* Watches that came too late to see the end. */
static int ops_purged(struct db *db)
{
	add_write(pg_of_db(db)->current, Q_UNWATCH_OLD, NULL, 0);
	return 0;
}

static void ops_answered(struct db *db, int64_t op)
{
	struct sql_param seq = sql_int(op);

	add_write(pg_of_db(db)->current, Q_WATCHED, &seq, 1);
}

static void ops_wrote_op(struct db *db, const struct store_op *op, bool fresh)
{
	struct pg_tx *tx = pg_of_db(db)->current;
	struct sql_param seq = sql_int(op->seq);

	/* the first to be written decides: a follower comes second */
	if (tx->witness.seq == 0 || fresh) {
		tx->witness.seq = op->seq;
		tx->witness.fence = op->fence;
		tx->witness.state = op->state;
		tx->witness.fresh = fresh;
		snprintf(tx->witness.owner, sizeof(tx->witness.owner), "%.*s", STR_ARG(op->owner));
	}
	if (tx->body == tx_claim)
		tx->n_claimed++;
	if (op->state == STORE_OP_ENDED && !fresh)
		add_write(tx, Q_UNWATCH, &seq, 1);
}

const struct db_ops postgres_ops = {
	.stmt = ops_stmt,
	.row = ops_row,
	.run = ops_run,
	.reset = ops_reset,
	.bind_int = ops_bind_int,
	.bind = ops_bind,
	.get_int = ops_get_int,
	.get = ops_get,
	.writing = ops_writing,
	.next = ops_next,
	.numbered = ops_numbered,
	.waiting = ops_waiting,
	.stats = ops_stats,
	.lease = ops_lease,
	.purged = ops_purged,
	.answered = ops_answered,
	.wrote_op = ops_wrote_op,
};

/* -- a transaction ---------------------------------------------------------------------- */

static void start(struct pg_tx *tx);
static void sql_done(struct call *call, int status);

static void run_body(struct pg_tx *tx)
{
	struct pg *pg = tx->pg;

	assert(!pg->current);
	pg->current = tx;
	tx->n_writes = 0;
	tx->n_claimed = 0;
	memset(&tx->witness, 0, sizeof(tx->witness));
	if (tx->options.counts)
		pg->db.counts = tx->before;
	arena_reset(&pg->db.arena);
	tx->status = tx->body(&pg->db, tx->call);
	if (tx->options.counts && tx->status < 0)
		pg->db.counts = tx->before;
	pg->current = NULL;
}

static void free_tx(struct pg_tx *tx)
{
	list_remove(&tx->node);
	timer_stop(&tx->pause);
	arena_finish(&tx->arena);
	mem_free(tx->reads);
	mem_free(tx->writes);
	mem_free(tx);
}

static void end(struct pg_tx *tx, int status)
{
	struct pg *pg = tx->pg;
	struct call *call = tx->call;

	if (tx->body == tx_reseal)
		pg->resealing = false;
	if (status == 0 && tx->options.committed)
		tx->options.committed(pg, call);
	free_tx(tx);
	call_end(call, status);
	if (pg->closing)
		pg_finish(pg);
}

static void on_end(struct timer *timer)
{
	struct pg_tx *tx = container_of(timer, struct pg_tx, pause);

	end(tx, tx->status);
}

static void send_reads(struct pg_tx *tx)
{
	size_t i;

	for (i = 0; i < tx->n_reads; i++) {
		struct pg_read *read = &tx->reads[i];

		if (read->sent)
			continue;
		read->result =
			sql_add_params(&tx->sql, postgres_stmt(read->query, tx->options.locks),
				       read->params, (size_t)read->n_params);
		read->sent = true;
		metric_inc(&tx->pg->statements, 1);
	}
}

static void send_writes(struct pg_tx *tx)
{
	size_t i;

	metric_inc(&tx->pg->statements, (double)tx->n_writes);
	for (i = 0; i < tx->n_writes; i++) {
		struct pg_write *write = &tx->writes[i];

		write->result =
			sql_add_params(&tx->sql, postgres_stmt(write->query, tx->options.locks),
				       write->params, (size_t)write->n_params);
	}
}

static enum sql_next next(struct sql_tx *sql)
{
	struct pg_tx *tx = container_of(sql, struct pg_tx, sql);

	if (sql->round == 0)
		tx->n_reads = tx->n_first; /* also when the pool has begun anew */
	run_body(tx);
	if (tx->status == DB_MISS) {
		send_reads(tx);
		return SQL_MORE;
	}
	if (tx->status < 0 || tx->n_writes == 0)
		return SQL_ROLLBACK;
	if (failpoint("store.commit")) {
		tx->status = ERR_STORE;
		return SQL_ROLLBACK;
	}
	send_writes(tx);
	return SQL_COMMIT;
}

static void start(struct pg_tx *tx)
{
	size_t i;

	tx->n_reads = 0;
	tx->n_first = 0;
	arena_reset(&tx->arena);
	sql_tx_init(&tx->sql, &tx->arena);
	tx->sql.call.done = sql_done;
	tx->sql.next = next;
	for (i = 0; i < tx->options.n_wants; i++) {
		const struct pg_want *want = &tx->options.wants[i];

		add_read(tx, want->query, &want->param, n_params_of(tx, want->query));
	}
	run_body(tx);
	if (tx->status == 0 && tx->n_writes > 0) { /* it needs no rows */
		tx->sql.next = NULL;
		send_writes(tx);
		sql_start(tx->pg->pool, &tx->sql);
		return;
	}
	if (tx->status != DB_MISS) {
		timer_start(&tx->pause, tx->pg->db.store.loop, 0, on_end);
		return;
	}
	send_reads(tx);
	tx->n_first = tx->n_reads;
	sql_start(tx->pg->pool, &tx->sql);
}

/* -- its end ---------------------------------------------------------------------------- */

/* A write that found somebody who watches the op. */
static void tell_watchers(struct pg_tx *tx, size_t write)
{
	enum query query = tx->writes[write].query;
	size_t result = tx->writes[write].result;

	if ((query == Q_UNWATCH || query == Q_WATCHED) && tx->sql.results &&
	    result < tx->sql.n_results && tx->sql.results[result].n > 0)
		pg_tell(tx->pg, query == Q_UNWATCH ? 'e' : 'a', tx->writes[write].params[0].number);
}

static void committed(struct pg_tx *tx)
{
	struct pg *pg = tx->pg;
	size_t i;

	failpoint("store.committed");
	pg->complained = false;
	if (tx->n_writes > 0) {
		metric_inc(&pg->commits, 1);
		metric_observe(&pg->commit_seconds, (double)(uv_hrtime() - tx->began) / 1e9);
	}
	for (i = 0; i < tx->n_writes; i++)
		tell_watchers(tx, i);
	if (tx->status == DB_MORE && !pg->closing) {
		tx->before = pg->db.counts;
		start(tx);
		return;
	}
	end(tx, 0);
}

static void failed(struct pg_tx *tx, int status)
{
	struct pg *pg = tx->pg;

	metric_inc(&pg->commit_failures, 1);
	if (tx->options.counts)
		pg->db.counts = tx->before;
	if (!pg->complained)
		log_error(&pg->db.store.log, "store: %s",
			  tx->sql.why ? tx->sql.why : err_str(status));
	pg->complained = true;
	end(tx, ERR_STORE);
}

static void ask_outcome(struct timer *timer);

static const struct sql_stmt outcome = { "outcome",
					 "SELECT state, fence, owner FROM op WHERE seq = $1", 1 };

static bool may_leave(const struct pg_tx *tx)
{
	const struct pg *pg = tx->pg;

	if (pg->hurried)
		return true;
	return tx->body == tx_begin && loop_now(pg->db.store.loop) - tx->doubted >= PG_DOUBT_MAX &&
	       (!tx->witness.owner[0] || strcmp(tx->witness.owner, pg->owner) != 0);
}

static void outcome_known(struct call *call, int status)
{
	struct pg_tx *tx =
		container_of(container_of(call, struct sql_tx, call), struct pg_tx, doubt);
	const struct sql_result *result = tx->doubt.results;
	bool happened = false;

	if (status != 0) {
		if (may_leave(tx))
			end(tx, ERR_TIMEDOUT);
		else
			timer_start(&tx->pause, tx->pg->db.store.loop, DOUBT_EVERY, ask_outcome);
		return;
	}
	if (result->rows > 0 && tx->witness.fresh)
		happened = true;
	else if (result->rows > 0 && tx->witness.state == STORE_OP_RUNNING)
		happened = sql_get_int(result, 0, 1) == tx->witness.fence &&
			   str_is(sql_get_str(result, 0, 2), tx->witness.owner);
	else if (result->rows > 0)
		happened = sql_get_int(result, 0, 0) == (int64_t)tx->witness.state &&
			   sql_get_int(result, 0, 1) == tx->witness.fence;
	log_info(&tx->pg->db.store.log, "a commit whose reply was lost %s",
		 happened ? "has happened" : "has not happened; it is tried again");
	if (happened) {
		tx->sql.results = NULL;
		committed(tx);
	} else if (tx->pg->closing) {
		end(tx, ERR_STORE);
	} else {
		start(tx);
	}
}

static void ask_outcome(struct timer *timer)
{
	struct pg_tx *tx = container_of(timer, struct pg_tx, pause);

	sql_tx_init(&tx->doubt, &tx->arena);
	tx->doubt.call.done = outcome_known;
	tx->doubt.repeat = true;
	sql_add(&tx->doubt, &outcome, sql_int(tx->witness.seq));
	sql_start(tx->pg->pool, &tx->doubt);
}

static void sql_done(struct call *call, int status)
{
	struct pg_tx *tx = container_of(container_of(call, struct sql_tx, call), struct pg_tx, sql);

	if (status == 0 && tx->status < 0) {
		end(tx, tx->status);
	} else if (status == 0) {
		committed(tx);
	} else if (tx->sql.unknown && !tx->pg->closing) {
		metric_inc(&tx->pg->doubts, 1);
		tx->doubted = loop_now(tx->pg->db.store.loop);
		log_warn(&tx->pg->db.store.log, "the reply to a commit was lost: %s",
			 tx->sql.why ? tx->sql.why : err_str(status));
		if (tx->witness.seq && !tx->options.repeats)
			ask_outcome(&tx->pause);
		else
			start(tx); /* a second run does no harm */
	} else if (status == ERR_EXISTS && tx->races++ < RACES_MAX && !tx->pg->closing) {
		start(tx);
	} else {
		failed(tx, status);
	}
}

void pg_run(struct pg *pg, struct call *call, tx_body body, const struct pg_options *options)
{
	struct pg_tx *tx;

	call_begin(call, NULL);
	if (pg->db.store.outdated && options->locks) {
		call_end_soon(pg->db.store.loop, call, ERR_STORE);
		return;
	}
	tx = mem_zalloc(sizeof(*tx));
	tx->pg = pg;
	tx->call = call;
	tx->body = body;
	tx->options = *options;
	tx->before = pg->db.counts;
	tx->began = uv_hrtime();
	list_append(&pg->running, &tx->node);
	start(tx);
}

void pg_hurry(struct store *store)
{
	struct pg *pg = pg_of(store);
	struct list *pos, *tmp;

	pg->hurried = true;
	list_each(pos, tmp, &pg->running) {
		struct pg_tx *tx = container_of(pos, struct pg_tx, node);

		if (timer_running(&tx->pause) && tx->pause.fire == ask_outcome) {
			tx->status = ERR_TIMEDOUT;
			timer_start(&tx->pause, pg->db.store.loop, 0, on_end);
		}
	}
}
