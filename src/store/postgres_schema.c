/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres_schema.h"

#include "core/digest.h"
#include "core/failpoint.h"

#define LOCK "7236267083046109537" /* any number that others do not choose */

/* As in SQLite: text may hold any bytes, so it is bytea, and what is empty is NULL. An object is
 * unique by the fingerprint of its id and the id itself. Rows that change often leave room for
 * their next version in their page. */
static const struct sql_stmt version_1[] = {
	{ NULL, "CREATE SEQUENCE instance_seq", 0 },
	{ NULL, "CREATE SEQUENCE binding_seq", 0 },
	{ NULL, "CREATE SEQUENCE op_seq", 0 },
	{ NULL,
	  "CREATE TABLE instance ("
	  " seq int8 PRIMARY KEY, key int8 NOT NULL, platform bytea, id bytea, service_id bytea,"
	  " plan_id bytea, organization bytea, space bytea, state int8 NOT NULL,"
	  " usable int8 NOT NULL, rev int8 NOT NULL, op int8 NOT NULL, n_bindings int8 NOT NULL,"
	  " n_binding_ops int8 NOT NULL, orphan int8 NOT NULL, same bytea, maintenance bytea,"
	  " dashboard_url bytea, metadata bytea, data bytea, created int8 NOT NULL,"
	  " changed int8 NOT NULL) WITH (fillfactor = 70)",
	  0 },
	{ NULL,
	  "CREATE UNIQUE INDEX instance_key ON instance"
	  " (key, coalesce(platform, ''), coalesce(id, ''))",
	  0 },
	{ NULL, "CREATE INDEX instance_over ON instance (changed) WHERE state IN (5, 9)", 0 },
	{ NULL, "CREATE INDEX instance_orphan ON instance (seq) WHERE orphan <> 0", 0 },
	{ NULL,
	  "CREATE TABLE binding ("
	  " seq int8 PRIMARY KEY, key int8 NOT NULL, instance int8 NOT NULL, id bytea,"
	  " state int8 NOT NULL, rev int8 NOT NULL, op int8 NOT NULL, orphan int8 NOT NULL,"
	  " due int8 NOT NULL, same bytea, predecessor bytea, expires_at int8 NOT NULL,"
	  " renew_before int8 NOT NULL, data bytea, created int8 NOT NULL,"
	  " changed int8 NOT NULL) WITH (fillfactor = 70)",
	  0 },
	{ NULL, "CREATE UNIQUE INDEX binding_key ON binding (instance, key, coalesce(id, ''))", 0 },
	{ NULL, "CREATE INDEX binding_due ON binding (due) WHERE due > 0 AND state = 2", 0 },
	{ NULL, "CREATE INDEX binding_over ON binding (changed) WHERE state IN (5, 9)", 0 },
	{ NULL, "CREATE INDEX binding_orphan ON binding (seq) WHERE orphan <> 0", 0 },
	{ NULL,
	  "CREATE TABLE op ("
	  " seq int8 PRIMARY KEY, verb int8 NOT NULL, state int8 NOT NULL, result int8 NOT NULL,"
	  " instance int8 NOT NULL, binding int8 NOT NULL, after int8 NOT NULL, service bytea,"
	  " plan_id bytea, back int8 NOT NULL, halted int8 NOT NULL, old int8 NOT NULL,"
	  " step bytea, memo bytea, request bytea, same bytea, owner bytea, fence int8 NOT NULL,"
	  " claims int8 NOT NULL, created int8 NOT NULL, began int8 NOT NULL,"
	  " step_began int8 NOT NULL, deadline int8 NOT NULL, ended int8 NOT NULL,"
	  " before int8 NOT NULL, error bytea, http_status int8 NOT NULL, flags int8 NOT NULL,"
	  " description bytea) WITH (fillfactor = 60)",
	  0 },
	{ NULL, "CREATE INDEX op_live ON op (service, seq) WHERE state IN (0, 1)", 0 },
	{ NULL, "CREATE INDEX op_owner ON op (owner) WHERE state = 1", 0 },
	{ NULL, "CREATE INDEX op_old ON op (ended) WHERE old <> 0 AND state = 2", 0 },
	{ NULL,
	  "CREATE TABLE node (owner bytea PRIMARY KEY, until int8 NOT NULL,"
	  " version int8 NOT NULL, keys bytea NOT NULL, plans bytea NOT NULL)"
	  " WITH (fillfactor = 50)",
	  0 },
	{ NULL, "CREATE TABLE watch (op int8 PRIMARY KEY)", 0 },
};

struct step {
	const struct sql_stmt *stmts;
	size_t n;
	int64_t oldest; /* from now on; 0: as it was */
};

#ifdef OSBD_FAILPOINTS
/* What binaries of later releases might bring: one that adds, and one that older ones cannot use. */
static const struct sql_stmt next_adds[] = {
	{ NULL, "ALTER TABLE instance ADD COLUMN later int8 NOT NULL DEFAULT 7", 0 },
	{ NULL, "CREATE TABLE later (seq int8 PRIMARY KEY)", 0 },
};
static const struct sql_stmt next_breaks[] = {
	{ NULL, "DROP TABLE later", 0 },
};
#endif

static const struct step steps[] = {
	{ version_1, ARRAY_LEN(version_1), 1 },
#ifdef OSBD_FAILPOINTS
	{ next_adds, ARRAY_LEN(next_adds), 0 },
	{ next_breaks, ARRAY_LEN(next_breaks), 3 },
#endif
};

int64_t pg_schema_version(void)
{
	if (failpoint("store.schema.breaks"))
		return 3;
	return failpoint("store.schema.adds") ? 2 : 1;
}

static const struct sql_stmt lock = { NULL, "SELECT pg_advisory_xact_lock(" LOCK ") IS NULL", 0 };
static const struct sql_stmt look = {
	NULL,
	"SELECT to_regclass('meta') IS NOT NULL, (SELECT count(*) FROM pg_catalog.pg_tables"
	" WHERE schemaname = current_schema())",
	0
};
static const struct sql_stmt make_meta = {
	NULL, "CREATE TABLE meta (name text PRIMARY KEY, number int8, value bytea)", 0
};
static const struct sql_stmt get_meta = { NULL, "SELECT name, number, value FROM meta", 0 };
static const struct sql_stmt set_meta = {
	NULL,
	"INSERT INTO meta VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE"
	" SET number = excluded.number, value = excluded.value",
	3
};
static const struct sql_stmt get_nodes = { NULL,
					   "SELECT keys, version FROM node WHERE until > " PG_NOW,
					   0 };
static const struct sql_stmt get_clock = { NULL, "SELECT " PG_NOW, 0 };

static enum sql_next stop(struct pg_prepare *p)
{
	return p->why.code ? SQL_ROLLBACK : SQL_COMMIT;
}

static const struct sql_result *result(struct pg_prepare *p, size_t i)
{
	return &p->sql.results[i];
}

static struct sql_result *meta_row(struct pg_prepare *p, const char *name, size_t *row)
{
	struct sql_result *rows = &p->sql.results[p->meta];

	for (*row = 0; *row < rows->rows; (*row)++)
		if (str_is(sql_get_str(rows, *row, 0), name))
			return rows;
	return NULL;
}

static int64_t meta_number(struct pg_prepare *p, const char *name)
{
	size_t row;
	struct sql_result *rows = meta_row(p, name, &row);

	return rows && !sql_is_null(rows, row, 1) ? sql_get_int(rows, row, 1) : 0;
}

static void set_number(struct pg_prepare *p, const char *name, int64_t value)
{
	sql_add(&p->sql, &set_meta, sql_text(str_of(name)), sql_int(value), sql_null());
}

static void set_value(struct pg_prepare *p, const char *name, struct str value)
{
	sql_add(&p->sql, &set_meta, sql_text(str_of(name)), sql_null(),
		sql_text(arena_str(&p->arena, value)));
}

/* Round 0: is there a store? */
static enum sql_next look_around(struct pg_prepare *p)
{
	bool meta = sql_get_bool(result(p, 1), 0, 0);

	p->fresh = !meta;
	if (!meta && sql_get_int(result(p, 1), 0, 1) > 0) {
		err_set(&p->why, ERR_UNSUPPORTED,
			"this is a database of something else, not a store of osbd");
		return stop(p);
	}
	if (!meta)
		sql_add_plain(&p->sql, &make_meta);
	p->meta = sql_add_plain(&p->sql, &get_meta);
	if (meta)
		p->nodes = sql_add_plain(&p->sql, &get_nodes);
	return SQL_MORE;
}

/* What comes must not be of use only to this binary while older ones work with it. */
static void look_at_nodes(struct pg_prepare *p, int64_t oldest)
{
	size_t row;

	for (row = 0; !p->fresh && row < result(p, p->nodes)->rows; row++) {
		int64_t version = sql_get_int(result(p, p->nodes), row, 1);

		if (version < oldest)
			err_set(&p->why, ERR_UNSUPPORTED,
				"a node that lives knows the store's schema version %lld, and this "
				"osbd would change it to one that needs version %lld: stop the old "
				"nodes first (one that was killed is forgotten after limits.lease)",
				(long long)version, (long long)oldest);
	}
}

/* Round 1: brings the tables up to date. */
static enum sql_next migrate(struct pg_prepare *p)
{
	size_t i, k;

	p->version = meta_number(p, "version");
	p->oldest = meta_number(p, "oldest");
	if (!p->fresh && p->version == 0)
		err_set(&p->why, ERR_UNSUPPORTED,
			"this is a database of something else, not a store of osbd");
	else if (p->oldest > pg_schema_version())
		err_set(&p->why, ERR_UNSUPPORTED,
			"the store's schema needs version %lld, this osbd knows %lld: a newer "
			"osbd has used it",
			(long long)p->oldest, (long long)pg_schema_version());
	for (i = (size_t)p->version; i < (size_t)pg_schema_version(); i++)
		if (steps[i].oldest)
			p->oldest = steps[i].oldest;
	if (!p->why.code && p->version < pg_schema_version())
		look_at_nodes(p, p->oldest);
	if (p->why.code)
		return stop(p);
	for (i = (size_t)p->version; i < (size_t)pg_schema_version(); i++) {
		for (k = 0; k < steps[i].n; k++)
			sql_add_plain(&p->sql, &steps[i].stmts[k]);
	}
	if (p->version < pg_schema_version()) {
		set_number(p, "version", pg_schema_version());
		set_number(p, "oldest", p->oldest);
	}
	p->nodes = sql_add_plain(&p->sql, &get_nodes);
	p->clock = sql_add_plain(&p->sql, &get_clock);
	return SQL_MORE;
}

static void write_print(struct pg_prepare *p)
{
	struct seal_place place = { "meta", "print", 0 };
	struct db *db = &p->pg->db;

	buf_clear(&db->buf);
	seal_close(db->keys, &place, str_make((char *)db->print, sizeof(db->print)), &db->buf);
	set_value(p, "print", buf_str(&db->buf));
}

/* Round 2: the id and the key of fingerprints, which also proves that the keys are right. */
static enum sql_next read_meta(struct pg_prepare *p)
{
	struct seal_place place = { "meta", "print", 0 };
	struct db *db = &p->pg->db;
	struct sql_result *rows;
	struct str sealed, plain;
	size_t row;

	failpoint("store.migrated"); /* not committed yet */
	pg_choose_key(p->pg, result(p, p->nodes));
	db->store.epoch =
		sql_get_int(result(p, p->clock), 0, 0) - (int64_t)loop_now(db->store.loop);
	rows = meta_row(p, "id", &row);
	if (rows) {
		struct str id = sql_get_str(rows, row, 2);

		if (id.n != STORE_ID_SIZE) {
			err_set(&p->why, ERR_STORE, "the store's id cannot be read");
			return stop(p);
		}
		memcpy(db->id, id.p, STORE_ID_SIZE);
	} else {
		random_id(db->id, STORE_ID_SIZE);
		set_value(p, "id", str_of(db->id));
	}
	rows = meta_row(p, "print", &row);
	if (!rows) {
		random_bytes(db->print, sizeof(db->print));
		write_print(p);
		return stop(p);
	}
	sealed = sql_get_str(rows, row, 2);
	if (seal_open(db->keys, &place, sealed, &p->arena, &plain) != 0 ||
	    plain.n != sizeof(db->print)) {
		err_set(&p->why, ERR_SEALED, "none of the keys opens the store: key \"%.*s\" does",
			STR_ARG(seal_key_id(sealed)));
		return stop(p);
	}
	memcpy(db->print, plain.p, sizeof(db->print));
	mem_wipe((char *)plain.p, plain.n);
	if (!seal_is_current(db->keys, sealed))
		write_print(p);
	return stop(p);
}

static enum sql_next next(struct sql_tx *sql)
{
	static enum sql_next (*const rounds[])(struct pg_prepare *) = { look_around, migrate,
									read_meta };
	struct pg_prepare *p = container_of(sql, struct pg_prepare, sql);

	if (sql->round == 0)
		memset(&p->why, 0, sizeof(p->why));
	return rounds[sql->round](p);
}

static void prepared(struct call *call, int status)
{
	struct pg_prepare *p =
		container_of(container_of(call, struct sql_tx, call), struct pg_prepare, sql);
	const char *why = p->sql.why ? p->sql.why : err_str(status);

	if (p->why.code)
		*p->err = p->why;
	else if (status != 0)
		err_set(p->err, status == ERR_ACCESS ? ERR_ACCESS : ERR_STORE, "%s", why);
	status = p->why.code ? p->why.code : status != 0 ? p->err->code : 0;
	arena_finish(&p->arena);
	call_end(&p->call, status);
}

void pg_prepare(struct pg *pg, struct pg_prepare *p)
{
	p->pg = pg;
	call_begin(&p->call, NULL);
	sql_tx_init(&p->sql, &p->arena);
	p->sql.call.done = prepared;
	p->sql.next = next;
	p->sql.repeat = true;
	p->sql.statement_ms = SEC(60);
	p->sql.within = SEC(60);
	sql_add_plain(&p->sql, &lock);
	sql_add_plain(&p->sql, &look);
	sql_start(pg->pool, &p->sql);
}

/* -- keys ------------------------------------------------------------------------------- */

static bool lists(struct str lines, struct str id)
{
	while (lines.n > 0) {
		const char *end = memchr(lines.p, '\n', lines.n);
		size_t n = end ? (size_t)(end - lines.p) : lines.n;

		if (str_eq(str_make(lines.p, n), id))
			return true;
		if (!end)
			break;
		lines = str_make(end + 1, lines.n - n - 1);
	}
	return false;
}

bool pg_choose_key(struct pg *pg, const struct sql_result *others)
{
	size_t i, row;

	for (i = 0; i < seal_keys_count(pg->db.keys); i++) {
		struct str id = seal_keys_id(pg->db.keys, i);
		bool all = true;

		for (row = 0; row < others->rows; row++)
			all = all && lists(sql_get_str(others, row, 0), id);
		if (!all)
			continue;
		if (i == pg->key)
			return false;
		pg->key = i;
		seal_keys_use(pg->db.keys, id);
		memset(pg->db.counts.resealed, 0, sizeof(pg->db.counts.resealed));
		log_info(&pg->db.store.log, "key \"%.*s\" seals from now on", STR_ARG(id));
		return true;
	}
	log_warn(&pg->db.store.log, "no key of seal.keys is known to all other nodes");
	return false;
}
