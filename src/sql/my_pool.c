/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/my_pool.h"

#include "core/mem.h"

struct my_lent {
	struct my_conn conn; /* first */
	struct list node;
	uint64_t since; /* loop_now() */
};

void my_pool_init(struct my_pool *pool)
{
	if (!pool->idle_ms)
		pool->idle_ms = MY_POOL_IDLE;
	list_init(&pool->idle);
	list_init(&pool->waiting);
	pool->preferred = 0;
	pool->n_lent = 0;
}

static void forget(struct my_lent *lent)
{
	my_conn_drop(&lent->conn);
	mem_free(lent);
}

static void drop_idle(struct my_lent *lent)
{
	list_remove(&lent->node);
	forget(lent);
}

void my_pool_finish(struct my_pool *pool)
{
	timer_stop(&pool->sweep);
	while (!list_empty(&pool->idle))
		drop_idle(container_of(pool->idle.next, struct my_lent, node));
}

/* The oldest stand first. */
static void on_sweep(struct timer *timer)
{
	struct my_pool *pool = container_of(timer, struct my_pool, sweep);
	uint64_t now = loop_now(pool->loop);

	while (!list_empty(&pool->idle)) {
		struct my_lent *lent = container_of(pool->idle.next, struct my_lent, node);

		if (lent->since + pool->idle_ms > now) {
			timer_start(timer, pool->loop, lent->since + pool->idle_ms - now, on_sweep);
			return;
		}
		drop_idle(lent);
	}
}

/* One that is up, the freshest; or a new one. */
static struct my_conn *take(struct my_pool *pool)
{
	struct my_lent *lent;

	while (!list_empty(&pool->idle)) {
		lent = container_of(pool->idle.prev, struct my_lent, node);
		if (my_conn_alive(&lent->conn)) {
			list_remove(&lent->node);
			return &lent->conn;
		}
		drop_idle(lent);
	}
	lent = mem_zalloc(sizeof(*lent));
	lent->conn.loop = pool->loop;
	lent->conn.server = &pool->servers[pool->preferred];
	return &lent->conn;
}

static void cancel(struct call *call)
{
	struct my_loan *loan = container_of(call, struct my_loan, call);

	if (!loan->pool)
		return; /* lent, and about to be told */
	list_remove(&loan->node);
	call_end_soon(loan->pool->loop, call, ERR_CANCELED);
	loan->pool = NULL;
}

static void lend(struct my_pool *pool, struct my_loan *loan)
{
	pool->n_lent++;
	loan->conn = take(pool);
	loan->pool = NULL;
	call_end_soon(pool->loop, &loan->call, 0);
}

void my_pool_ask(struct my_pool *pool, struct my_loan *loan)
{
	loan->conn = NULL;
	loan->pool = pool;
	call_begin(&loan->call, cancel);
	if (pool->n_lent < pool->max)
		lend(pool, loan);
	else
		list_append(&pool->waiting, &loan->node);
}

void my_pool_return(struct my_pool *pool, struct my_conn *conn, bool again)
{
	struct my_lent *lent = container_of(conn, struct my_lent, conn);
	struct list *next;

	pool->n_lent--;
	if (again && conn->up) {
		lent->since = loop_now(pool->loop);
		list_append(&pool->idle, &lent->node);
		if (!timer_running(&pool->sweep))
			timer_start(&pool->sweep, pool->loop, pool->idle_ms, on_sweep);
	} else {
		forget(lent);
	}
	if (pool->n_lent >= pool->max)
		return;
	next = list_shift(&pool->waiting);
	if (next)
		lend(pool, container_of(next, struct my_loan, node));
}

bool my_pool_refused(struct my_pool *pool, struct my_conn *conn)
{
	if (!pool->two)
		return false;
	pool->preferred = conn->server == &pool->servers[0];
	conn->server = &pool->servers[pool->preferred];
	return true;
}
