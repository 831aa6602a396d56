/* One function, work(), runs soon after anything has changed, and does what is to be done:
 * settle graves, hand out the queue, open a connection, close what is no longer needed. All else
 * only changes the state and wakes it.
 *
 *   CONNECTING --up--> UP --last connection lost--> CONNECTING --patience_ms--> AWAY --up--> UP
 *
 * Lost connections: each transaction on it is judged by what was sent and what came back
 * (pg_send.c). Those with unknown end are told at once; they can be read back as soon as the
 * grave of their session is settled, for the queue waits for that. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_pool.h"

#include <stdio.h>
#include <string.h>

#define DIG_AGAIN_MS 20
#define DIG_WITHIN_MS 3000

static void work(struct soon *soon);

static struct pool_conn *of(struct pg_conn *conn)
{
	return container_of(conn, struct pool_conn, pg);
}

void pool_wake(struct sql_pool *pool)
{
	pool->work.run = work;
	loop_soon(pool->loop, &pool->work);
}

static void set_state(struct sql_pool *pool, enum sql_state state)
{
	if (pool->state == state)
		return;
	pool->state = state;
	if (pool->config.on_state && !pool->closing)
		pool->config.on_state(pool->config.data, state);
}

/* -- transactions ----------------------------------------------------------------------- */

static void take_out(struct sql_tx *tx)
{
	struct pool_conn *pc = tx->conn;

	if (list_linked(&tx->node)) {
		if (tx->phase == TX_QUEUED)
			tx->pool->n_queue--;
		list_remove(&tx->node);
	}
	if (!pc)
		return;
	pc->n_flight--;
	if (pc->alone == tx)
		pc->alone = NULL;
	tx->conn = NULL;
}

void pool_end_tx(struct sql_tx *tx, int status)
{
	struct sql_pool *pool = tx->pool;

	take_out(tx);
	timer_stop(&tx->deadline);
	tx->phase = TX_ENDED;
	if (status == 0)
		tx->why = NULL;
	else if (!tx->why)
		tx->why = err_str(status);
	pool_wake(pool); /* before done, which may free tx */
	call_end(&tx->call, status);
}

bool pool_try_again(struct sql_tx *tx)
{
	struct sql_pool *pool = tx->pool;
	size_t i;

	if (tx->expired || tx->call.canceled || pool->closing || tx->tries >= SQL_TRIES - 1)
		return false;
	take_out(tx);
	tx->tries++;
	tx->n_results = tx->n_sent = tx->n_first;
	for (i = 0; i < tx->n_sent; i++)
		tx->results[i] = (struct sql_result){ .stmt = tx->results[i].stmt };
	tx->n_written = 0;
	tx->round = 0;
	tx->failed = 0;
	tx->undo = tx->rolled_back = false;
	tx->sqlstate[0] = '\0';
	tx->why = NULL;
	tx->phase = TX_QUEUED;
	list_prepend(&pool->queue, &tx->node);
	pool->n_queue++;
	pool_wake(pool);
	return true;
}

static void conn_lost(struct pool_conn *pc, const struct err *why);

static void on_deadline(struct timer *timer)
{
	struct sql_tx *tx = container_of(timer, struct sql_tx, deadline);
	struct pool_conn *pc = tx->conn;
	struct err why;

	tx->expired = true;
	if (!pc) {
		tx->why = tx->pool->trouble.code ? arena_printf(tx->arena, "no connection: %s",
								tx->pool->trouble.text)
						 : "no free connection";
		pool_end_tx(tx, ERR_TIMEDOUT);
		return;
	}
	err_set(&why, ERR_TIMEDOUT, "a transaction took too long");
	conn_lost(pc, &why);
	pg_conn_close(&pc->pg);
}

static void on_cancel(struct call *call)
{
	struct sql_tx *tx = container_of(call, struct sql_tx, call);

	if (tx->phase != TX_QUEUED)
		return; /* looked at between two rounds; else the end is near */
	take_out(tx);
	timer_stop(&tx->deadline);
	tx->phase = TX_ENDED;
	tx->why = "canceled";
	call_end_soon(tx->pool->loop, &tx->call, ERR_CANCELED);
}

static void refuse(struct sql_tx *tx, int status, const char *why)
{
	tx->phase = TX_ENDED;
	tx->why = why;
	call_end_soon(tx->pool->loop, &tx->call, status);
}

static const char *away(const struct sql_pool *pool, struct arena *arena)
{
	return arena_printf(arena, "no connection: %s",
			    pool->trouble.code ? pool->trouble.text : "not yet");
}

void sql_start(struct sql_pool *pool, struct sql_tx *tx)
{
	tx->pool = pool;
	tx->phase = TX_QUEUED;
	tx->n_first = tx->n_sent;
	call_begin(&tx->call, on_cancel);
	if (pool->closing) {
		refuse(tx, ERR_CANCELED, "the pool is closing");
	} else if (pool->state == SQL_AWAY) {
		refuse(tx, ERR_STORE, away(pool, tx->arena));
	} else if (pool->n_queue >= pool->config.max_queue) {
		refuse(tx, ERR_FULL, "too many transactions are waiting");
	} else {
		timer_start(&tx->deadline, pool->loop,
			    tx->within ? tx->within : pool->config.within_ms, on_deadline);
		list_append(&pool->queue, &tx->node);
		pool->n_queue++;
		pool_wake(pool);
	}
}

/* Ends all that waits. Those that done functions start are not among them. */
static void fail_queue(struct sql_pool *pool, int status)
{
	struct list all, *node;

	list_init(&all);
	while ((node = list_shift(&pool->queue)))
		list_append(&all, node);
	while ((node = list_first(&all))) {
		struct sql_tx *tx = container_of(node, struct sql_tx, node);

		tx->why = status == ERR_CANCELED ? "the pool is closing" : away(pool, tx->arena);
		pool_end_tx(tx, status);
	}
}

/* -- connections ------------------------------------------------------------------------ */

static void on_patience(struct timer *timer)
{
	struct sql_pool *pool = container_of(timer, struct sql_pool, patience);

	set_state(pool, SQL_AWAY);
	fail_queue(pool, ERR_STORE);
}

static void on_retry(struct timer *timer)
{
	pool_wake(container_of(timer, struct sql_pool, retry));
}

static void attempt_failed(struct sql_pool *pool, const struct err *why)
{
	pool->dialing = false;
	if (pool->n_up == 0)
		pool->trouble = *why;
	if (!pool->complained)
		log_warn(&pool->config.log, "PostgreSQL: %s", why->text);
	pool->complained = true;
	if (!pool->closing)
		timer_start(&pool->retry, pool->loop, pg_back_off(pool->failures++), on_retry);
	pool_wake(pool);
}

static void on_up(struct pg_conn *conn)
{
	struct pool_conn *pc = of(conn);
	struct sql_pool *pool = pc->pool;

	pool->dialing = false;
	pool->failures = 0;
	pool->trouble.code = 0;
	if (!conn->facts.commit_safe && (pool->facts.commit_safe || !pool->facts.version))
		log_warn(&pool->config.log, "PostgreSQL runs with synchronous_commit=off: what was "
					    "acknowledged is lost when its machine stops");
	pool->facts = conn->facts;
	if (pool->n_up++ == 0) {
		timer_stop(&pool->patience);
		log_info(&pool->config.log, "PostgreSQL %d: connected", conn->facts.version);
		set_state(pool, SQL_UP);
	}
	pool->complained = false;
	pool_wake(pool);
}

static void on_lost(struct pg_conn *conn, const struct err *why)
{
	conn_lost(of(conn), why);
}

static void on_closed(struct pg_conn *conn)
{
	struct pool_conn *pc = of(conn);
	struct sql_pool *pool = pc->pool;

	list_remove(&pc->node);
	pool->n_conns--;
	mem_free(pc);
	pool_wake(pool);
}

static void mark_down(struct pool_conn *pc, const struct err *why)
{
	struct sql_pool *pool = pc->pool;

	if (--pool->n_up != 0 || pool->closing)
		return;
	pool->trouble = *why;
	log_warn(&pool->config.log, "PostgreSQL: %s", why->text);
	pool->complained = true;
	timer_start(&pool->patience, pool->loop, pool->config.patience_ms, on_patience);
	set_state(pool, SQL_CONNECTING);
}

/* The caller closes it, or it closes by itself. */
static void conn_lost(struct pool_conn *pc, const struct err *why)
{
	struct sql_pool *pool = pc->pool;
	struct list all, *node;

	if (pc->pg.state != PG_UP) {
		attempt_failed(pool, why);
		return;
	}
	timer_stop(&pc->dig_deadline);
	pc->digging = NULL;
	if (pc->n_flight && (!pc->fatal || pc->doubt)) {
		struct pg_grave *grave = mem_zalloc(sizeof(*grave));

		grave->session = pc->pg.session;
		list_append(&pool->graves, &grave->node);
	}
	mark_down(pc, why);
	pc->retire = true;
	/* from the last to the first: those that try again come before the queue, in order */
	list_init(&all);
	while ((node = list_shift(&pc->flight)))
		list_prepend(&all, node);
	while ((node = list_first(&all)))
		pool_lost_tx(pc, container_of(node, struct sql_tx, node), why);
	pool_wake(pool);
}

static void resolved(void *data, int status, struct err *why)
{
	struct sql_pool *pool = data;
	struct pool_conn *pc;

	pool->resolving = false;
	if (pool->closing) {
		pool_wake(pool);
		return;
	}
	if (status != 0) {
		attempt_failed(pool, why);
		return;
	}
	pc = mem_zalloc(sizeof(*pc));
	pc->pool = pool;
	list_init(&pc->flight);
	list_append(&pool->conns, &pc->node);
	pool->n_conns++;
	pc->pg.loop = pool->loop;
	pc->pg.lib = &pool->lib;
	pc->pg.on_up = on_up;
	pc->pg.on_reply = pool_reply;
	pc->pg.on_lost = on_lost;
	pc->pg.on_closed = on_closed;
	pc->pg.connect_ms = pool->config.connect_ms;
	pc->pg.statement_ms = pool->config.statement_ms;
	pc->pg.idle_ms = pool->config.within_ms;
	pg_conn_open(&pc->pg, &pool->target);
}

static void dial(struct sql_pool *pool)
{
	if (pool->dialing || timer_running(&pool->retry) || pool->closing)
		return;
	pool->dialing = pool->resolving = true;
	pg_target_resolve(&pool->target, pool->loop, pool->config.connect_ms, resolved, pool);
}

/* -- graves ----------------------------------------------------------------------------- */

static void on_dig_again(struct timer *timer)
{
	pool_wake(container_of(timer, struct sql_pool, grave_timer));
}

static void on_dig_deadline(struct timer *timer)
{
	struct pool_conn *pc = container_of(timer, struct pool_conn, dig_deadline);
	struct err why;

	err_set(&why, ERR_TIMEDOUT, "no answer about a lost session");
	conn_lost(pc, &why);
	pg_conn_close(&pc->pg);
}

void pool_dug(struct pool_conn *pc, PGresult *result)
{
	const struct pg_lib *lib = pc->pg.lib;
	struct pg_grave *grave = pc->digging;
	struct sql_pool *pool = pc->pool;

	timer_stop(&pc->dig_deadline);
	pc->digging = NULL;
	if (pg_ok(lib, result) && lib->PQntuples(result) == 0) {
		list_remove(&grave->node);
		mem_free(grave);
		pool_wake(pool);
	} else {
		timer_start(&pool->grave_timer, pool->loop, DIG_AGAIN_MS, on_dig_again);
	}
}

static bool is_free(const struct pool_conn *pc)
{
	return pc->pg.state == PG_UP && !pc->retire && !pc->alone && !pc->digging;
}

/* One question at a time, on a connection that has nothing else to do. */
static void dig(struct sql_pool *pool)
{
	struct pg_grave *grave = container_of(list_first(&pool->graves), struct pg_grave, node);
	struct pool_conn *idle = NULL;
	struct list *pos, *tmp;
	const char *params[2];
	char pid[32];

	list_each(pos, tmp, &pool->conns) {
		struct pool_conn *pc = container_of(pos, struct pool_conn, node);

		if (pc->digging)
			return;
		if (is_free(pc) && pc->n_flight == 0)
			idle = pc;
	}
	if (timer_running(&pool->grave_timer))
		return;
	if (!idle) {
		dial(pool);
		return;
	}
	idle->digging = grave;
	snprintf(pid, sizeof(pid), "%lld", (long long)grave->session.pid);
	params[0] = pid;
	params[1] = grave->session.began;
	pg_conn_send_text(&idle->pg,
			  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1"
			  " AND extract(epoch FROM backend_start)::text = $2",
			  params, 2, (struct pg_note){ .kind = PG_OWN, .index = OWN_DIG });
	pg_conn_sync(&idle->pg, NULL);
	timer_start(&idle->dig_deadline, pool->loop, DIG_WITHIN_MS, on_dig_deadline);
}

/* -- work ------------------------------------------------------------------------------- */

/* The connection with the least to do that may take tx; NULL when all are busy. */
static struct pool_conn *pick(struct sql_pool *pool, const struct sql_tx *tx)
{
	struct pool_conn *best = NULL;
	struct list *pos, *tmp;

	list_each(pos, tmp, &pool->conns) {
		struct pool_conn *pc = container_of(pos, struct pool_conn, node);

		if (is_free(pc) && pc->n_flight < (tx->next ? 1 : pool->config.depth) &&
		    (!best || pc->n_flight < best->n_flight))
			best = pc;
	}
	return best;
}

static void hand_out(struct sql_pool *pool)
{
	struct list *node;

	while ((node = list_first(&pool->queue))) {
		struct sql_tx *tx = container_of(node, struct sql_tx, node);
		struct pool_conn *pc = pick(pool, tx);

		if ((!pc || pc->n_flight) && pool->n_conns < pool->config.connections)
			dial(pool);
		if (!pc)
			return;
		list_remove(node);
		pool->n_queue--;
		pool_send(pc, tx);
	}
}

static void close_idle(struct sql_pool *pool)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &pool->conns) {
		struct pool_conn *pc = container_of(pos, struct pool_conn, node);

		if (pc->n_flight || pc->pg.state == PG_CLOSED)
			continue;
		if (pc->pg.state != PG_UP && pool->closing) {
			pool->dialing = false;
			pg_conn_close(&pc->pg);
		} else if (pc->pg.state == PG_UP && (pc->retire || pool->closing)) {
			struct err why = { .code = ERR_CLOSED,
					   .text = "a connection is opened anew" };

			timer_stop(&pc->dig_deadline);
			pc->digging = NULL;
			mark_down(pc, &why);
			pg_conn_close(&pc->pg);
		}
	}
}

static void free_pool(struct sql_pool *pool)
{
	struct list *node;

	while ((node = list_shift(&pool->graves)))
		mem_free(container_of(node, struct pg_grave, node));
	timer_stop(&pool->grave_timer);
	list_remove(&pool->work.node);
	pg_target_finish(&pool->target);
	mem_free(pool->listen);
	dns_destroy(pool->own_dns);
	pool->closed(pool->data);
	mem_free(pool);
}

static void work(struct soon *soon)
{
	struct sql_pool *pool = container_of(soon, struct sql_pool, work);

	if (pool->closing)
		fail_queue(pool, ERR_CANCELED);
	close_idle(pool);
	if (pool->closing) {
		if (pool->n_conns == 0 && !pool->resolving && pool->listen_closed)
			free_pool(pool);
		return;
	}
	if (!list_empty(&pool->graves))
		dig(pool);
	else
		hand_out(pool);
	if (pool->n_up == 0)
		dial(pool);
}

/* -- the pool --------------------------------------------------------------------------- */

static void set_defaults(struct sql_config *c)
{
	c->connections = c->connections ? c->connections : 8;
	c->depth = c->depth ? c->depth : 16;
	c->max_queue = c->max_queue ? c->max_queue : 10000;
	c->connect_ms = c->connect_ms ? c->connect_ms : 5000;
	c->statement_ms = c->statement_ms ? c->statement_ms : 5000;
	c->within_ms = c->within_ms ? c->within_ms : 10000;
	c->patience_ms = c->patience_ms ? c->patience_ms : 1000;
}

int sql_check(const struct sql_config *config, struct err *err)
{
	struct pg_target target = { 0 };
	struct pg_lib lib = { 0 };
	int rc = pg_lib_load(&lib, err);

	if (rc == 0)
		rc = pg_target_init(&target, &lib, config, err);
	pg_target_finish(&target);
	return rc;
}

int sql_pool_create(struct loop *loop, const struct sql_config *config, struct sql_pool **out,
		    struct err *err)
{
	struct sql_pool *pool = mem_zalloc(sizeof(*pool));
	int rc;

	pool->loop = loop;
	pool->config = *config;
	set_defaults(&pool->config);
	rc = pg_lib_load(&pool->lib, err);
	if (rc == 0)
		rc = pg_target_init(&pool->target, &pool->lib, config, err);
	if (rc == 0 && pool->target.has_names && !config->dns) {
		rc = dns_create(loop, &(struct dns_config){ 0 }, &pool->own_dns, err);
		pool->target.dns = pool->config.dns = pool->own_dns;
	}
	if (rc != 0)
		goto fail;
	list_init(&pool->conns);
	list_init(&pool->queue);
	list_init(&pool->graves);
	pool->listen = mem_zalloc(sizeof(*pool->listen));
	pool->listen->loop = loop;
	pool->listen->log = &pool->config.log;
	pool->listen->connect_ms = pool->config.connect_ms;
	pool->listen->statement_ms = pool->config.statement_ms;
	rc = pg_listen_init(pool->listen, &pool->lib, &pool->config, err);
	if (rc != 0)
		goto fail;
	pool->config.url = pool->config.password = NULL; /* the caller's */
	timer_start(&pool->patience, loop, pool->config.patience_ms, on_patience);
	pool_wake(pool);
	*out = pool;
	return 0;
fail:
	pg_target_finish(&pool->target);
	dns_destroy(pool->own_dns);
	mem_free(pool->listen);
	mem_free(pool);
	return rc;
}

static void on_listen_closed(void *data)
{
	struct sql_pool *pool = data;

	pool->listen_closed = true;
	pool_wake(pool);
}

void sql_pool_close(struct sql_pool *pool, void (*closed)(void *data), void *data)
{
	pool->closing = true;
	pool->closed = closed;
	pool->data = data;
	timer_stop(&pool->retry);
	timer_stop(&pool->patience);
	timer_stop(&pool->grave_timer);
	pool_wake(pool);
	if (pool->resolving)
		pg_target_cancel(&pool->target);
	pg_listen_close(pool->listen, on_listen_closed, pool);
}

enum sql_state sql_pool_state(const struct sql_pool *pool)
{
	return pool->state;
}

const struct err *sql_pool_trouble(const struct sql_pool *pool)
{
	return pool->trouble.code ? &pool->trouble : NULL;
}

const struct sql_facts *sql_pool_facts(const struct sql_pool *pool)
{
	return &pool->facts;
}

void sql_listen(struct sql_pool *pool, struct sql_listener *listener)
{
	pg_listen_add(pool->listen, listener);
}

void sql_unlisten(struct sql_pool *pool, struct sql_listener *listener)
{
	pg_listen_remove(pool->listen, listener);
}
