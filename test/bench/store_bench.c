/* How much of what SQLite can do the store leaves: provisions that begin and end in one, 64 a
 * turn, against plain inserts of the same rows in the same batches, in the same run.
 *
 * Usage: store_bench [PROVISIONS [DIRECTORY]] */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mem.h"
#include "store/sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 64

static const char data[] =
	"{\"parameters\":{\"size\":\"10G\",\"version\":\"8.0\"},\"context\":{\"platform\":"
	"\"cloudfoundry\",\"organization_name\":\"acme\",\"space_name\":\"dev\"}}";
static const char request[] = "{\"plan_id\":\"b1c0e6f2-6a0a-4c44-9b7c-1f0f4f4f9a11\"}";

struct bench {
	struct loop loop;
	struct store *store;
	struct store_begin begins[BATCH];
	struct arena arenas[BATCH];
	char ids[BATCH][37];
	unsigned started, ended, total;
	int failed;
	bool closed;
};

static double seconds(void)
{
	return (double)uv_hrtime() / 1e9;
}

static long resident(void) /* kB */
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long size, pages = 0;

	if (statm && fscanf(statm, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	if (statm)
		fclose(statm);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void make_id(unsigned n, char out[37])
{
	uint64_t x = n * 0x9e3779b97f4a7c15u;

	x ^= x >> 29;
	snprintf(out, 37, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(x >> 32),
		 (unsigned)x & 0xffff, n & 0xfff, (n >> 12) & 0xfff,
		 (unsigned long long)(x * 31) & 0xffffffffffffu);
}

static void start(struct bench *b, unsigned slot);

static void done(struct call *call, int status)
{
	struct bench *b = call->data;
	struct store_begin *c = container_of(call, struct store_begin, call);

	b->ended++;
	if (status != 0 || c->result != BEGUN_ENDED)
		b->failed++;
	if (b->started < b->total)
		start(b, (unsigned)(c - b->begins));
}

static void start(struct bench *b, unsigned slot)
{
	static const struct store_end end = { .result = STORE_SUCCEEDED };
	struct store_begin *c = &b->begins[slot];

	make_id(b->started++, b->ids[slot]);
	arena_reset(&b->arenas[slot]);
	*c = (struct store_begin){
		.call = { .done = done, .data = b },
		.arena = &b->arenas[slot],
		.verb = STORE_PROVISION,
		.platform = STR("cf"),
		.instance_id = str_of(b->ids[slot]),
		.service = STR("mariadb"),
		.service_id = STR("6d1b6ef0-8e0d-4bbf-8f9d-0f3f6c1a5a01"),
		.plan_id = STR("b1c0e6f2-6a0a-4c44-9b7c-1f0f4f4f9a11"),
		.organization = STR("1e6a0a8c-2f8b-4d59-8f3c-0a8f7a0f1b11"),
		.space = STR("7a0e2c44-3d8a-4a0e-9c3a-5a1f0a9d2c22"),
		.same = str_of(data),
		.data = str_of(data),
		.request = str_of(request),
		.at_once = &end,
	};
	store_begin(b->store, c);
}

static void closed(void *p)
{
	*(bool *)p = true;
}

static double run_store(const char *path, unsigned total, long *grown)
{
	struct bench *b = mem_zalloc(sizeof(*b));
	struct store_options options = { .loop = &b->loop, .path = path };
	struct err err;
	double begin, took;
	unsigned i;

	if (loop_init(&b->loop) != 0 || store_sqlite_open(&options, &b->store, &err) != 0) {
		fprintf(stderr, "store_bench: %s\n", err.text);
		exit(1);
	}
	b->total = total;
	*grown = -resident();
	begin = seconds();
	for (i = 0; i < BATCH; i++)
		start(b, i);
	loop_run(&b->loop);
	took = seconds() - begin;
	*grown += resident();
	if (b->failed || b->ended != total) {
		fprintf(stderr, "store_bench: %d failed, %u ended\n", b->failed, b->ended);
		exit(1);
	}
	store_close(b->store, closed, &b->closed);
	loop_run_until(&b->loop, &b->closed);
	for (i = 0; i < BATCH; i++)
		arena_finish(&b->arenas[i]);
	if (loop_finish(&b->loop) != 0)
		exit(1);
	mem_free(b);
	return took;
}

/* -- the same rows, by SQL alone ------------------------------------------------------------ */

static void must(int ok, sqlite3 *db)
{
	if (ok)
		return;
	fprintf(stderr, "store_bench: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static sqlite3_stmt *statement(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;

	must(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, db);
	return stmt;
}

/* Copies what the store wrote, row by row, into a database of the same tables. */
static double run_raw(const char *from, const char *path, unsigned total)
{
	static const char setup[] =
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
		"PRAGMA synchronous = FULL; PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY";
	sqlite3 *source, *db;
	sqlite3_stmt *schema, *instances, *ops, *add_instance, *add_op, *begin, *commit;
	sqlite3_value **rows;
	unsigned i, row;
	int c, columns[2];
	double start_at, took;

	must(sqlite3_open(from, &source) == SQLITE_OK, source);
	must(sqlite3_open(path, &db) == SQLITE_OK, db);
	must(sqlite3_exec(db, setup, NULL, NULL, NULL) == SQLITE_OK, db);
	schema = statement(source, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
				   " ORDER BY type <> 'table'");
	while (sqlite3_step(schema) == SQLITE_ROW)
		must(sqlite3_exec(db, (const char *)sqlite3_column_text(schema, 0), NULL, NULL,
				  NULL) == SQLITE_OK,
		     db);
	sqlite3_finalize(schema);
	must(sqlite3_exec(db, "CREATE INDEX instance_key ON instance (key)", NULL, NULL, NULL) ==
		     SQLITE_OK,
	     db);
	instances = statement(source, "SELECT * FROM instance ORDER BY seq");
	ops = statement(source, "SELECT * FROM op ORDER BY seq");
	columns[0] = sqlite3_column_count(instances);
	columns[1] = sqlite3_column_count(ops);
	rows = mem_alloc(sizeof(struct sqlite3_value *) * total *
			 (size_t)(columns[0] + columns[1]));
	for (i = 0, row = 0; i < total; i++) { /* read everything before the clock starts */
		must(sqlite3_step(instances) == SQLITE_ROW && sqlite3_step(ops) == SQLITE_ROW,
		     source);
		for (c = 0; c < columns[0]; c++)
			rows[row++] = sqlite3_value_dup(sqlite3_column_value(instances, c));
		for (c = 0; c < columns[1]; c++)
			rows[row++] = sqlite3_value_dup(sqlite3_column_value(ops, c));
	}
	sqlite3_finalize(instances);
	sqlite3_finalize(ops);
	sqlite3_close(source);
	add_instance =
		statement(db, "INSERT INTO instance VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
			      "?,?,?,?,?)");
	add_op = statement(db,
			   "INSERT INTO op VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
			   "?,?,?,?,?,?)");
	begin = statement(db, "BEGIN");
	commit = statement(db, "COMMIT");
	start_at = seconds();
	for (i = 0, row = 0; i < total; i++) {
		if (i % BATCH == 0) {
			must(sqlite3_step(begin) == SQLITE_DONE, db);
			sqlite3_reset(begin);
		}
		for (c = 0; c < columns[0]; c++)
			sqlite3_bind_value(add_instance, c + 1, rows[row++]);
		must(sqlite3_step(add_instance) == SQLITE_DONE, db);
		sqlite3_reset(add_instance);
		for (c = 0; c < columns[1]; c++)
			sqlite3_bind_value(add_op, c + 1, rows[row++]);
		must(sqlite3_step(add_op) == SQLITE_DONE, db);
		sqlite3_reset(add_op);
		if (i % BATCH == BATCH - 1 || i + 1 == total) {
			must(sqlite3_step(commit) == SQLITE_DONE, db);
			sqlite3_reset(commit);
		}
	}
	took = seconds() - start_at;
	while (row > 0)
		sqlite3_value_free(rows[--row]);
	mem_free(rows);
	sqlite3_finalize(add_instance);
	sqlite3_finalize(add_op);
	sqlite3_finalize(begin);
	sqlite3_finalize(commit);
	sqlite3_close(db);
	return took;
}

int main(int argc, char **argv)
{
	unsigned total = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
	char dir[256], store[300], raw[300], key[300];
	double a, b;
	long grown;

	snprintf(dir, sizeof(dir), "%s/store-bench-XXXXXX", argc > 2 ? argv[2] : "/tmp");
	if (total == 0 || !mkdtemp(dir)) {
		fprintf(stderr, "usage: store_bench [PROVISIONS [DIRECTORY]]\n");
		return 2;
	}
	snprintf(store, sizeof(store), "%s/osbd.db", dir);
	snprintf(raw, sizeof(raw), "%s/raw.db", dir);
	snprintf(key, sizeof(key), "%s/seal.key", dir);
	a = run_store(store, total, &grown);
	b = run_raw(store, raw, total);
	printf("store: %.0f provisions/s, %.2f us each; SQL alone: %.0f/s, %.2f us; ratio %.2f; "
	       "grown by %ld kB\n",
	       total / a, a / total * 1e6, total / b, b / total * 1e6, b / a, grown);
	unlink(store);
	unlink(raw);
	unlink(key);
	rmdir(dir);
	return 0;
}
