/* sqlite_floor: the rows of a store's database, inserted into an empty one of the same tables by
 * SQLite alone, where an index finds the instances by their keys.
 *
 *   sqlite_floor FROM TO BATCH MAX
 *
 * Copies at most MAX instances with their operations, one instance and one operation at a time,
 * BATCH of them in a transaction that is synced (WAL, synchronous=FULL). Only the writing is
 * timed. Prints pairs of rows per second. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TABLES 2
#define BATCH_MAX 1024
#define COLUMNS_MAX 64

static const char *const names[TABLES] = { "instance", "op" };

struct table {
	sqlite3_stmt *read, *add;
	int columns;
	sqlite3_value *rows[BATCH_MAX][COLUMNS_MAX];
};

static struct table tables[TABLES];

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int ok, sqlite3 *db)
{
	if (ok)
		return;
	fprintf(stderr, "sqlite_floor: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
	must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, db);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;

	must(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, db);
	return stmt;
}

static void copy_schema(sqlite3 *from, sqlite3 *to)
{
	sqlite3_stmt *stmt = prepare(from, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
					   " ORDER BY type = 'index'");

	while (sqlite3_step(stmt) == SQLITE_ROW)
		run(to, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	run(to, "CREATE INDEX IF NOT EXISTS instance_key ON instance (key)");
}

static void open_table(struct table *table, const char *name, sqlite3 *from, sqlite3 *to)
{
	char sql[1024];
	int c;

	snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY seq", name);
	table->read = prepare(from, sql);
	table->columns = sqlite3_column_count(table->read);
	must(table->columns <= COLUMNS_MAX, from);
	snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES (?", name);
	for (c = 1; c < table->columns; c++)
		strcat(sql, ",?");
	strcat(sql, ")");
	table->add = prepare(to, sql);
}

/* Reads the next row into memory; 0: there is none. */
static int read_row(struct table *table, int at)
{
	int c;

	if (sqlite3_step(table->read) != SQLITE_ROW)
		return 0;
	for (c = 0; c < table->columns; c++)
		table->rows[at][c] = sqlite3_value_dup(sqlite3_column_value(table->read, c));
	return 1;
}

static void write_row(struct table *table, int at, sqlite3 *db)
{
	int c;

	for (c = 0; c < table->columns; c++)
		sqlite3_bind_value(table->add, c + 1, table->rows[at][c]);
	must(sqlite3_step(table->add) == SQLITE_DONE, db);
	sqlite3_reset(table->add);
}

static int read_batch(int batch)
{
	int n = 0;

	while (n < batch && read_row(&tables[0], n) && read_row(&tables[1], n))
		n++;
	return n;
}

static double write_batch(int n, sqlite3 *db, sqlite3_stmt *begin, sqlite3_stmt *commit)
{
	double start = seconds();
	int i;

	must(sqlite3_step(begin) == SQLITE_DONE, db);
	sqlite3_reset(begin);
	for (i = 0; i < n; i++) {
		write_row(&tables[0], i, db);
		write_row(&tables[1], i, db);
	}
	must(sqlite3_step(commit) == SQLITE_DONE, db);
	sqlite3_reset(commit);
	return seconds() - start;
}

static void drop_batch(int n)
{
	int t, i, c;

	for (t = 0; t < TABLES; t++)
		for (i = 0; i < n; i++)
			for (c = 0; c < tables[t].columns; c++)
				sqlite3_value_free(tables[t].rows[i][c]);
}

int main(int argc, char **argv)
{
	sqlite3 *from, *to;
	sqlite3_stmt *begin, *commit;
	int batch = argc == 5 ? atoi(argv[3]) : 0, max = argc == 5 ? atoi(argv[4]) : 0;
	int n, total = 0, t;
	double took = 0;

	if (batch < 1 || batch > BATCH_MAX || max < 1) {
		fprintf(stderr, "usage: sqlite_floor FROM TO BATCH MAX (BATCH at most %d)\n",
			BATCH_MAX);
		return 2;
	}
	must(sqlite3_open_v2(argv[1], &from, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, from);
	must(sqlite3_open(argv[2], &to) == SQLITE_OK, to);
	run(to, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
		"PRAGMA synchronous = FULL; PRAGMA cache_size = -1024");
	copy_schema(from, to);
	for (t = 0; t < TABLES; t++)
		open_table(&tables[t], names[t], from, to);
	begin = prepare(to, "BEGIN");
	commit = prepare(to, "COMMIT");
	while (total < max && (n = read_batch(batch < max - total ? batch : max - total)) > 0) {
		took += write_batch(n, to, begin, commit);
		drop_batch(n);
		total += n;
	}
	printf("%.0f\n", total / took);
	return total > 0 ? 0 : 1;
}
