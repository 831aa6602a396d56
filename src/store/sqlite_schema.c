/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_schema.h"

#include "core/failpoint.h"
#include "core/mem.h"

/* Text may hold any bytes, so it is kept as BLOB; what is empty is NULL. Numbers are as in
 * store.h. Rows are appended by seq. An object is found through `key`, the first 8 bytes of a
 * fingerprint of its id: an index of small numbers stays in few pages where one of long random ids
 * would make every insert a page of its own; the ids themselves are compared afterwards.
 * The other indexes are partial: an object at rest is in none of them. */
static const char version_1[] =
	"CREATE TABLE instance ("
	" seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, platform BLOB, id BLOB, service_id BLOB,"
	" plan_id BLOB, organization BLOB, space BLOB, state INTEGER NOT NULL,"
	" usable INTEGER NOT NULL, rev INTEGER NOT NULL, op INTEGER NOT NULL,"
	" n_bindings INTEGER NOT NULL, n_binding_ops INTEGER NOT NULL,"
	" orphan INTEGER NOT NULL," /* somebody should look at it */
	" same BLOB," /* fingerprint of the attributes that make two requests the same */
	" maintenance BLOB, dashboard_url BLOB, metadata BLOB, data BLOB,"
	" created INTEGER NOT NULL, changed INTEGER NOT NULL);"
	"CREATE INDEX instance_key ON instance (key);"
	"CREATE INDEX instance_over ON instance (changed) WHERE state IN (5, 9);"
	"CREATE INDEX instance_orphan ON instance (seq) WHERE orphan;"
	"CREATE TABLE binding ("
	" seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, instance INTEGER NOT NULL, id BLOB,"
	" state INTEGER NOT NULL, rev INTEGER NOT NULL, op INTEGER NOT NULL,"
	" orphan INTEGER NOT NULL,"
	" due INTEGER NOT NULL," /* when to try to let it expire; 0: never */
	" same BLOB, predecessor BLOB, expires_at INTEGER NOT NULL,"
	" renew_before INTEGER NOT NULL, data BLOB, created INTEGER NOT NULL,"
	" changed INTEGER NOT NULL);"
	"CREATE INDEX binding_key ON binding (instance, key);"
	"CREATE INDEX binding_due ON binding (due) WHERE due > 0 AND state = 2;"
	"CREATE INDEX binding_over ON binding (changed) WHERE state IN (5, 9);"
	"CREATE INDEX binding_orphan ON binding (seq) WHERE orphan;"
	"CREATE TABLE op ("
	" seq INTEGER PRIMARY KEY, verb INTEGER NOT NULL, state INTEGER NOT NULL,"
	" result INTEGER NOT NULL, instance INTEGER NOT NULL, binding INTEGER NOT NULL,"
	" after INTEGER NOT NULL, service BLOB, plan_id BLOB, back INTEGER NOT NULL,"
	" halted INTEGER NOT NULL,"
	" old INTEGER NOT NULL," /* not the latest of its object any more */
	" step BLOB, memo BLOB, request BLOB, same BLOB, owner BLOB, fence INTEGER NOT NULL,"
	" claims INTEGER NOT NULL, created INTEGER NOT NULL, began INTEGER NOT NULL,"
	" step_began INTEGER NOT NULL, deadline INTEGER NOT NULL, ended INTEGER NOT NULL,"
	" before INTEGER NOT NULL, error BLOB, http_status INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, description BLOB);"
	"CREATE INDEX op_live ON op (state, service, seq, verb) WHERE state <> 2;"
	"CREATE INDEX op_old ON op (ended) WHERE old AND state = 2;";

/* An index of all instances grows until each insert changes a page of its own, after all. So the
 * keys of new instances are gathered in a small table, and moved in the order of keys, some of them
 * at a time: then each page of the large one takes many. Both are looked into. */
static const char version_2[] =
	"CREATE TABLE instance_new (key INTEGER NOT NULL, seq INTEGER NOT NULL,"
	" PRIMARY KEY (key, seq)) WITHOUT ROWID;"
	"CREATE TABLE instance_at (key INTEGER NOT NULL, seq INTEGER NOT NULL,"
	" PRIMARY KEY (key, seq)) WITHOUT ROWID;"
	"INSERT INTO instance_at SELECT key, seq FROM instance ORDER BY key, seq;"
	"DROP INDEX instance_key;"
	"CREATE TRIGGER instance_deleted AFTER DELETE ON instance BEGIN"
	" DELETE FROM instance_new WHERE key = old.key AND seq = old.seq;"
	" DELETE FROM instance_at WHERE key = old.key AND seq = old.seq;"
	" END;";

static const struct schema_step steps[] = {
	{ version_1, 1 },
	{ version_2, 2 },
};

const struct schema sqlite_schema = { steps, ARRAY_LEN(steps) };

/* -- meta ------------------------------------------------------------------------------- */

static int meta_prepare(sqlite3 *db, const char *sql, const char *name, sqlite3_stmt **stmt)
{
	if (sqlite3_prepare_v2(db, sql, -1, stmt, NULL) != SQLITE_OK)
		return ERR_STORE;
	sqlite3_bind_text(*stmt, 1, name, -1, SQLITE_STATIC);
	return 0;
}

static int meta_end(sqlite3_stmt *stmt, int step, int want)
{
	int rc = sqlite3_finalize(stmt);

	if (step == want)
		return 0;
	return rc == SQLITE_OK && step == SQLITE_DONE ? ERR_NOENT : ERR_STORE;
}

int meta_get_int(sqlite3 *db, const char *name, int64_t *value)
{
	sqlite3_stmt *stmt;
	int step;

	*value = 0;
	if (meta_prepare(db, "SELECT value FROM meta WHERE name = ?1", name, &stmt) != 0)
		return ERR_STORE;
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW)
		*value = sqlite3_column_int64(stmt, 0);
	return meta_end(stmt, step, SQLITE_ROW);
}

int meta_get(sqlite3 *db, const char *name, struct arena *arena, struct str *value)
{
	sqlite3_stmt *stmt;
	int step;

	*value = STR("");
	if (meta_prepare(db, "SELECT value FROM meta WHERE name = ?1", name, &stmt) != 0)
		return ERR_STORE;
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW) {
		const void *p = sqlite3_column_blob(stmt, 0);

		*value = arena_str(arena,
				   str_make(p ? p : "", (size_t)sqlite3_column_bytes(stmt, 0)));
	}
	return meta_end(stmt, step, SQLITE_ROW);
}

#define META_SET "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2"

int meta_set_int(sqlite3 *db, const char *name, int64_t value)
{
	sqlite3_stmt *stmt;

	if (meta_prepare(db, META_SET, name, &stmt) != 0)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 2, value);
	return meta_end(stmt, sqlite3_step(stmt), SQLITE_DONE);
}

int meta_set(sqlite3 *db, const char *name, struct str value)
{
	sqlite3_stmt *stmt;

	if (meta_prepare(db, META_SET, name, &stmt) != 0)
		return ERR_STORE;
	sqlite3_bind_blob64(stmt, 2, value.p, value.n, SQLITE_STATIC);
	return meta_end(stmt, sqlite3_step(stmt), SQLITE_DONE);
}

/* -- migration -------------------------------------------------------------------------- */

static int failed(sqlite3 *db, const char *what, struct err *err)
{
	return err_set(err, ERR_STORE, "%s: %s", what, sqlite3_errmsg(db));
}

static int read_numbers(sqlite3 *db, int64_t *version, int64_t *oldest, struct err *err)
{
	sqlite3_stmt *stmt;
	bool meta = false, other = false;
	int step;

	*version = *oldest = 0;
	if (sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type = 'table'", -1, &stmt,
			       NULL) != SQLITE_OK)
		return failed(db, "cannot read the schema", err);
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (strcmp((const char *)sqlite3_column_text(stmt, 0), "meta") == 0)
			meta = true;
		else
			other = true;
	}
	sqlite3_finalize(stmt);
	if (step != SQLITE_DONE)
		return failed(db, "cannot read the schema", err);
	if (!meta && !other)
		return 0;
	if (!meta || meta_get_int(db, "version", version) != 0 ||
	    meta_get_int(db, "oldest", oldest) != 0)
		return err_set(err, ERR_UNSUPPORTED,
			       "this is a database of something else, not a store of osbd");
	return 0;
}

static int run_steps(sqlite3 *db, const struct schema *schema, int64_t version, int64_t oldest,
		     struct err *err)
{
	size_t i;

	if (version == 0 &&
	    sqlite3_exec(db, "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID", NULL,
			 NULL, NULL) != SQLITE_OK)
		return failed(db, "cannot create the table meta", err);
	for (i = (size_t)version; i < schema->n; i++) {
		if (sqlite3_exec(db, schema->steps[i].sql, NULL, NULL, NULL) != SQLITE_OK)
			return err_set(err, ERR_STORE, "migration to schema version %zu: %s", i + 1,
				       sqlite3_errmsg(db));
		if (schema->steps[i].oldest)
			oldest = schema->steps[i].oldest;
		if (failpoint("store.migrate"))
			return err_set(err, ERR_STORE, "migration to schema version %zu: failpoint",
				       i + 1);
	}
	if (meta_set_int(db, "version", (int64_t)schema->n) != 0 ||
	    meta_set_int(db, "oldest", oldest) != 0)
		return failed(db, "cannot write the schema's version", err);
	return 0;
}

int schema_look(sqlite3 *db, const struct schema *schema, int64_t *version, int64_t *oldest,
		struct err *err)
{
	int rc = read_numbers(db, version, oldest, err);

	if (rc == 0 && *oldest > (int64_t)schema->n)
		rc = err_set(err, ERR_UNSUPPORTED,
			     "the store's schema needs version %lld, this osbd knows %zu: a newer "
			     "osbd has used it",
			     (long long)*oldest, schema->n);
	return rc;
}

int schema_migrate(sqlite3 *db, const struct schema *schema, bool *fresh, struct err *err)
{
	int64_t version, oldest;
	int rc = schema_look(db, schema, &version, &oldest, err);

	if (rc != 0)
		return rc;
	*fresh = version == 0;
	if (version >= (int64_t)schema->n)
		return 0;
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return failed(db, "migration", err);
	rc = run_steps(db, schema, version, oldest, err);
	if (rc == 0 && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		rc = failed(db, "migration", err);
	if (rc != 0 && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}
