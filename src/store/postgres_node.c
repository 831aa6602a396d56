/* Leases. A renewal is one round trip: it says that this node lives and what it knows, and hears
 * who else lives, what waits, and which of its ops were told to go back. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres_node.h"

#include "store/postgres_schema.h"

#define FORGET_NODES "3600000" /* ms after the end of a lease */

/* Has no newer binary changed the schema to one that this one cannot use? */
#define USABLE "(SELECT number FROM meta WHERE name = 'oldest') <= $3"

static const struct sql_stmt node_forget = {
	"node_forget", "DELETE FROM node WHERE until < " PG_NOW " - " FORGET_NODES, 0
};
static const struct sql_stmt node_first = {
	"node_first",
	"INSERT INTO node (owner, until, version, keys, plans)"
	" SELECT $1::bytea, " PG_NOW " + $2, $3::int8, $4::bytea, $5::bytea WHERE " USABLE
	" ON CONFLICT (owner) DO UPDATE"
	" SET until = excluded.until WHERE node.until > " PG_NOW,
	5
};
static const struct sql_stmt node_renew = { "node_renew",
					    "UPDATE node SET until = " PG_NOW
					    " + $2, version = $3, keys = $4, plans = $5"
					    " WHERE owner = $1 AND until > " PG_NOW " AND " USABLE,
					    5 };
static const struct sql_stmt node_leave = { "node_leave", "DELETE FROM node WHERE owner = $1", 1 };
static const struct sql_stmt node_keys = {
	"node_keys", "SELECT keys, plans FROM node WHERE until > " PG_NOW " AND owner <> $1", 1
};
static const struct sql_stmt node_halted = {
	"node_halted", "SELECT seq FROM op WHERE state = 1 AND owner = $1 AND halted <> 0", 1
};
static const struct sql_stmt node_oldest = { "node_oldest",
					     "SELECT number FROM meta WHERE name = 'oldest'", 0 };
static const struct sql_stmt node_clock = { "node_clock", "SELECT " PG_NOW, 0 };

/* -- keys ------------------------------------------------------------------------------- */

static struct str key_ids(struct pg *pg, struct arena *arena)
{
	struct buf text = { 0 };
	struct str ids;
	size_t i;

	for (i = 0; i < seal_keys_count(pg->db.keys); i++) {
		if (i > 0)
			buf_putc(&text, '\n');
		buf_put_str(&text, seal_keys_id(pg->db.keys, i));
	}
	ids = arena_str(arena, buf_str(&text));
	buf_finish(&text);
	return ids;
}

/* -- renew and leave -------------------------------------------------------------------- */

struct node_call {
	struct sql_tx sql;
	struct arena arena;
	struct pg *pg;
	struct store_renew *renew; /* or */
	struct store_leave *leave;
	uint64_t sent;                                      /* loop_now() */
	size_t lease, keys, halted, waiting, clock, oldest; /* indexes of results */
};

static void node_end(struct node_call *n, struct call *call, int status)
{
	struct pg *pg = n->pg;

	pg->n_node_calls--;
	arena_finish(&n->arena);
	mem_free(n);
	call_end(call, status);
	if (pg->closing)
		pg_finish(pg);
}

static void notice_outdated(struct pg *pg, int64_t oldest)
{
	if (oldest > pg_schema_version() && !pg->db.store.outdated)
		log_error(&pg->db.store.log,
			  "the store's schema needs version %lld by now, this osbd knows %lld: it "
			  "does nothing more and is to be replaced",
			  (long long)oldest, (long long)pg_schema_version());
	pg->db.store.outdated = oldest > pg_schema_version();
}

static void renewed(struct call *call, int status)
{
	struct node_call *n =
		container_of(container_of(call, struct sql_tx, call), struct node_call, sql);
	struct store_renew *c = n->renew;
	struct store *store = &n->pg->db.store;
	const struct sql_result *results = n->sql.results;
	size_t i;

	if (status != 0) {
		node_end(n, &c->call, ERR_STORE);
		return;
	}
	c->lost = results[n->lease].n == 0;
	notice_outdated(n->pg, sql_get_int(&results[n->oldest], 0, 0));
	c->nodes = (uint32_t)results[n->keys].rows + 1;
	c->keys_changed = pg_choose_key(n->pg, &results[n->keys]);
	for (c->others = 0, i = 0; i < results[n->keys].rows; i++)
		c->others += !str_eq(sql_get_str(&results[n->keys], i, 1), c->plans);
	c->n_halted = results[n->halted].rows;
	if (c->n_halted > 0)
		c->halted = arena_alloc(c->arena, c->n_halted * sizeof(*c->halted));
	for (i = 0; i < c->n_halted; i++)
		c->halted[i] = sql_get_int(&results[n->halted], i, 0);
	c->waiting = (uint32_t)sql_get_int(&results[n->waiting], 0, 0);
	store->epoch = sql_get_int(&results[n->clock], 0, 0) -
		       (int64_t)((n->sent + loop_now(store->loop)) / 2);
	node_end(n, &c->call, 0);
}

static struct node_call *node_call(struct pg *pg, void (*done)(struct call *call, int status))
{
	struct node_call *n = mem_zalloc(sizeof(*n));

	n->pg = pg;
	pg->n_node_calls++;
	n->sent = loop_now(pg->db.store.loop);
	sql_tx_init(&n->sql, &n->arena);
	n->sql.call.done = done;
	n->sql.repeat = true;
	return n;
}

void pg_renew(struct store *store, struct store_renew *c)
{
	struct pg *pg = pg_of(store);
	struct node_call *n = node_call(pg, renewed);
	struct str keys = key_ids(pg, &n->arena);

	call_begin(&c->call, NULL);
	n->renew = c;
	snprintf(pg->owner, sizeof(pg->owner), "%.*s", STR_ARG(c->owner));
	if (c->first)
		sql_add_plain(&n->sql, &node_forget);
	n->lease = sql_add(&n->sql, c->first ? &node_first : &node_renew, sql_text(c->owner),
			   sql_int((int64_t)c->lease), sql_int(pg_schema_version()), sql_text(keys),
			   sql_text(c->plans.n ? c->plans : STR("")));
	n->keys = sql_add(&n->sql, &node_keys, sql_text(c->owner));
	n->halted = sql_add(&n->sql, &node_halted, sql_text(c->owner));
	n->waiting = sql_add_plain(&n->sql, postgres_stmt(Q_COUNT_WAITING, false));
	n->clock = sql_add_plain(&n->sql, &node_clock);
	n->oldest = sql_add_plain(&n->sql, &node_oldest);
	sql_start(pg->pool, &n->sql);
}

static void left(struct call *call, int status)
{
	struct node_call *n =
		container_of(container_of(call, struct sql_tx, call), struct node_call, sql);

	node_end(n, &n->leave->call, status == 0 ? 0 : ERR_STORE);
}

void pg_leave(struct store *store, struct store_leave *c)
{
	struct node_call *n = node_call(pg_of(store), left);

	call_begin(&c->call, NULL);
	n->leave = c;
	sql_add(&n->sql, &node_leave, sql_text(c->owner));
	sql_start(n->pg->pool, &n->sql);
}
