/* Opening and closing. Opening: the file, the lock, the schema, the keys, the rows that the
 * predecessor left running, the counts. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite.h"

#include "core/digest.h"
#include "store/sqlite_db.h"
#include "store/sqlite_keys.h"
#include "store/sqlite_log.h"
#include "store/sqlite_schema.h"
#include "store/tx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool in_memory(const char *path)
{
	return strcmp(path, ":memory:") == 0;
}

/* -- the file and its lock -------------------------------------------------------------- */

static int make_file(const char *path, struct err *err)
{
	char *dir = sqlite_directory_of(path);
	struct stat st;
	int fd, rc = 0;

	if (stat(dir, &st) != 0)
		rc = err_set(err, err_from_uv(-errno), "the directory %s: %s", dir,
			     strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		rc = err_set(err, ERR_INVALID, "%s is not a directory", dir);
	fd = rc == 0 ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	if (fd >= 0) {
		close(fd); /* nobody has a lock on a file that is new */
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fsync(fd) != 0)
			rc = err_set(err, ERR_IO, "%s: %s", dir, strerror(errno));
		if (fd >= 0)
			close(fd);
	} else if (rc == 0 && errno != EEXIST) {
		rc = err_set(err, err_from_uv(-errno), "%s", strerror(errno));
	}
	mem_free(dir);
	return rc;
}

/* The process that holds a lock on the file, as /proc/locks tells; 0: unknown. The file itself
 * is not opened for this: closing it would drop the locks that this process has on it. */
static long lock_holder(const char *path)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	struct stat st;
	long holder = 0;

	if (!locks)
		return 0;
	while (stat(path, &st) == 0 && fgets(line, sizeof(line), locks)) {
		unsigned long long inode;
		long pid;

		/* 1: POSIX  ADVISORY  WRITE 4711 fe:01:131077 1073741825 1073742335 */
		if (sscanf(line, "%*s %*s %*s %*s %ld %*[^:]:%*[^:]:%llu", &pid, &inode) == 2 &&
		    inode == st.st_ino)
			holder = pid;
	}
	fclose(locks);
	return holder;
}

static int failed(sqlite3 *db, const char *path, struct err *err)
{
	int code = sqlite3_errcode(db) & 0xff;
	long pid;

	if (code != SQLITE_BUSY && code != SQLITE_LOCKED)
		return err_set(err, code == SQLITE_NOTADB ? ERR_UNSUPPORTED : ERR_STORE, "%s",
			       sqlite3_errmsg(db));
	pid = lock_holder(path);
	if (pid == (long)getpid())
		return err_set(err, ERR_BUSY, "this process (%ld) has the store open already", pid);
	if (pid != 0)
		return err_set(err, ERR_BUSY, "process %ld has the store open; only one may", pid);
	return err_set(err, ERR_BUSY, "another process has the store open; only one may");
}

static int open_file(struct sqlite_db *s, const char *path, struct err *err)
{
	static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE;"
				      "PRAGMA cache_size = -1024;"
				      "PRAGMA mmap_size = 0;"
				      "PRAGMA temp_store = MEMORY;"
				      "PRAGMA foreign_keys = OFF;"
				      "PRAGMA trusted_schema = OFF;"
				      "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = FULL;"
				      "PRAGMA wal_autocheckpoint = 1000;"
				      "PRAGMA journal_size_limit = 8388608;"
				      "BEGIN EXCLUSIVE;"
				      "COMMIT";
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	int rc = 0;

	if (in_memory(path))
		flags |= SQLITE_OPEN_CREATE;
	else
		rc = make_file(path, err);
	if (rc != 0)
		return rc;
	if (sqlite3_open_v2(path, &s->sqlite, flags, sqlite_log_vfs()) != SQLITE_OK)
		return err_set(err, access(path, R_OK | W_OK) != 0 ? ERR_ACCESS : ERR_STORE, "%s",
			       s->sqlite ? sqlite3_errmsg(s->sqlite) : "no memory");
	if (sqlite3_exec(s->sqlite, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return failed(s->sqlite, path, err);
	return 0;
}

/* -- keys ------------------------------------------------------------------------------- */

static int add_key_file(struct sqlite_db *s, const char *path, bool first, struct err *err)
{
	bool made;
	int rc = sqlite_keys_add_file(s->db.keys, path, first, &made, err);

	if (rc == 0 && made)
		log_info(
			&s->db.store.log,
			"made seal.key beside %s: keep a copy, the store cannot be read without it",
			path);
	return rc;
}

static int write_print(struct sqlite_db *s, struct err *err)
{
	struct seal_place place = { "meta", "print", 0 };

	buf_clear(&s->db.buf);
	seal_close(s->db.keys, &place, str_make((char *)s->db.print, sizeof(s->db.print)),
		   &s->db.buf);
	if (meta_set(s->sqlite, "print", buf_str(&s->db.buf)) != 0)
		return err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
	return 0;
}

/* The key of fingerprints: made with the store, kept sealed; it also proves that the keys are right. */
static int read_print(struct sqlite_db *s, const struct store_options *options, struct err *err)
{
	struct str sealed;
	int rc = meta_get(s->sqlite, "print", &s->db.arena, &sealed);

	if (rc != 0 && rc != ERR_NOENT)
		return err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
	if (options->keys)
		seal_keys_add_all(s->db.keys, options->keys);
	if (!in_memory(options->path)) {
		int added = add_key_file(s, options->path, rc == ERR_NOENT, err);

		if (added != 0)
			return added;
	} else if (seal_keys_count(s->db.keys) == 0) {
		seal_keys_add_random(s->db.keys);
	}
	if (rc == ERR_NOENT) {
		random_bytes(s->db.print, sizeof(s->db.print));
		return write_print(s, err);
	}
	rc = sqlite_keys_open_print(s->db.keys, sealed, &s->db.arena, s->db.print, err);
	if (rc != 0)
		return rc;
	return seal_is_current(s->db.keys, sealed) ? 0 : write_print(s, err);
}

/* -- what the rows say ------------------------------------------------------------------ */

static int query(struct sqlite_db *s, const char *sql, int64_t *value, struct err *err)
{
	sqlite3_stmt *stmt;
	bool ok = sqlite3_prepare_v2(s->sqlite, sql, -1, &stmt, NULL) == SQLITE_OK;

	if (ok && sqlite3_step(stmt) == SQLITE_ROW)
		*value = sqlite3_column_int64(stmt, 0);
	if (ok)
		ok = sqlite3_finalize(stmt) == SQLITE_OK;
	return ok ? 0 : err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
}

static int read_next(struct sqlite_db *s, enum table table, const char *name, const char *sql,
		     struct err *err)
{
	int64_t kept = 0, last = 0;
	int rc = meta_get_int(s->sqlite, name, &kept);

	if (rc != 0 && rc != ERR_NOENT)
		return err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
	rc = query(s, sql, &last, err);
	s->db.counts.next[table] = last + 1 > kept ? last + 1 : kept;
	return rc;
}

static int count_ops(struct sqlite_db *s, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc;

	if (sqlite3_prepare_v2(s->sqlite,
			       "SELECT verb, state, count(*) FROM op INDEXED BY op_live"
			       " WHERE state <> 2 GROUP BY 1, 2",
			       -1, &stmt, NULL) != SQLITE_OK)
		return err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		int verb = sqlite3_column_int(stmt, 0), state = sqlite3_column_int(stmt, 1);

		if (verb >= 0 && verb < STORE_VERBS && state >= 0 && state < 4)
			s->db.counts.ops[verb][state] = (uint64_t)sqlite3_column_int64(stmt, 2);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? 0 : err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
}

static int read_id(struct sqlite_db *s, struct err *err)
{
	struct str id;
	int rc = meta_get(s->sqlite, "id", &s->db.arena, &id);

	if (rc == ERR_NOENT) {
		random_id(s->db.id, STORE_ID_SIZE);
		rc = meta_set(s->sqlite, "id", str_of(s->db.id));
	} else if (rc == 0 && id.n == STORE_ID_SIZE) {
		memcpy(s->db.id, id.p, STORE_ID_SIZE);
	} else {
		rc = ERR_STORE;
	}
	return rc == 0 ? 0 : err_set(err, rc, "the store's id cannot be read");
}

/* The predecessor is dead, as the lock proves: its running ops wait for a slot again. */
static int take_over(struct sqlite_db *s, struct err *err)
{
	int n;

	if (sqlite3_exec(s->sqlite,
			 "UPDATE op INDEXED BY op_live SET state = 0, owner = NULL"
			 " WHERE state <> 2 AND state = 1",
			 NULL, NULL, NULL) != SQLITE_OK)
		return err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
	n = sqlite3_changes(s->sqlite);
	if (n > 0)
		log_info(&s->db.store.log, "%d operations of the process before this one go on", n);
	return 0;
}

static int read_store(struct sqlite_db *s, const struct store_options *options, struct err *err)
{
	int rc = read_print(s, options, err);

	if (rc == 0)
		rc = read_id(s, err);
	if (rc == 0)
		rc = take_over(s, err);
	if (rc == 0)
		rc = count_ops(s, err);
	if (rc == 0)
		rc = read_next(s, TABLE_INSTANCE, "next_instance", "SELECT max(seq) FROM instance",
			       err);
	if (rc == 0)
		rc = read_next(s, TABLE_BINDING, "next_binding", "SELECT max(seq) FROM binding",
			       err);
	if (rc == 0)
		rc = read_next(s, TABLE_OP, "next_op", "SELECT max(seq) FROM op", err);
	return rc;
}

static int prepare(struct sqlite_db *s, const struct store_options *options, struct err *err)
{
	bool fresh;
	int rc = open_file(s, options->path, err);

	if (rc == 0)
		rc = schema_migrate(s->sqlite, &sqlite_schema, &fresh, err);
	if (rc != 0)
		return rc;
	if (sqlite3_exec(s->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return failed(s->sqlite, options->path, err);
	rc = read_store(s, options, err);
	if (rc == 0 && sqlite3_exec(s->sqlite, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		rc = err_set(err, ERR_STORE, "%s", sqlite3_errmsg(s->sqlite));
	if (rc == 0 && fresh)
		log_info(&s->db.store.log, "made a new store");
	return rc;
}

/* -- life ------------------------------------------------------------------------------- */

static void destroy(struct sqlite_db *s)
{
	loop_unhook(&s->hook);
	metrics_remove(&s->commits);
	metrics_remove(&s->commit_failures);
	metrics_remove(&s->commit_seconds);
	db_finish(s);
	sqlite3_close(s->sqlite);
	seal_keys_destroy(s->db.keys);
	mem_wipe(s->db.print, sizeof(s->db.print));
	buf_wipe(&s->db.buf);
	arena_finish(&s->db.arena);
	mem_free(s);
}

static void finish(struct sqlite_db *s)
{
	void (*closed)(void *data) = s->closed;
	void *data = s->closed_data;

	destroy(s);
	closed(data);
}

static void sqlite_close(struct store *store, void (*closed)(void *data), void *data)
{
	struct sqlite_db *s = sqlite_of(store);

	s->closed = closed;
	s->closed_data = data;
	s->finish = finish;
	loop_again(store->loop);
}

static void add_metrics(struct sqlite_db *s, struct metrics *metrics)
{
	static const double bounds[] = { 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
					 0.02,   0.05,   0.1,    0.5,   1,     5 };

	s->commits = (struct metric){ .kind = METRIC_COUNTER,
				      .name = "osbd_store_commits_total",
				      .help = "Transactions made durable." };
	s->commit_failures = (struct metric){ .kind = METRIC_COUNTER,
					      .name = "osbd_store_commit_failures_total",
					      .help = "Transactions that could not be committed." };
	s->commit_seconds = (struct metric){ .kind = METRIC_HISTOGRAM,
					     .name = "osbd_store_commit_seconds",
					     .help = "Time that a commit took.",
					     .bounds = bounds,
					     .n_bounds = ARRAY_LEN(bounds) };
	if (!metrics)
		return;
	metrics_add(metrics, &s->commits);
	metrics_add(metrics, &s->commit_failures);
	metrics_add(metrics, &s->commit_seconds);
}

/* -- the calls -------------------------------------------------------------------------- */

static void run(struct sqlite_db *s, struct call *call, tx_body body)
{
	int rc = db_start(s, call);

	db_end(s, call, rc != 0 ? rc : body(&s->db, call));
}

static void sqlite_run(struct store *store, struct call *call, tx_body body)
{
	run(sqlite_of(store), call, body);
}

static void sqlite_begin(struct store *store, struct store_begin *c)
{
	run(sqlite_of(store), &c->call, tx_begin);
}

static void sqlite_claim(struct store *store, struct store_claim *c)
{
	run(sqlite_of(store), &c->call, tx_claim);
}

static void sqlite_step(struct store *store, struct store_step *c)
{
	run(sqlite_of(store), &c->call, tx_step);
}

static void sqlite_end(struct store *store, struct store_op_end *c)
{
	run(sqlite_of(store), &c->call, tx_end);
}

static void sqlite_release(struct store *store, struct store_release *c)
{
	run(sqlite_of(store), &c->call, tx_release);
}

static void sqlite_get(struct store *store, struct store_get *c)
{
	run(sqlite_of(store), &c->call, tx_get);
}

static void sqlite_list(struct store *store, struct store_list *c)
{
	run(sqlite_of(store), &c->call, tx_list);
}

static void sqlite_purge(struct store *store, struct store_purge *c)
{
	run(sqlite_of(store), &c->call, tx_purge);
}

static void sqlite_stats(struct store *store, struct store_stats *c)
{
	run(sqlite_of(store), &c->call, tx_stats);
}

static void sqlite_plan_use(struct store *store, struct store_plan_use *c)
{
	run(sqlite_of(store), &c->call, tx_plan_use);
}

static void sqlite_tickets(struct store *store, struct store_tickets *c)
{
	run(sqlite_of(store), &c->call, tx_tickets);
}

/* It goes on in the next turn while it is not at its end. */
static void reseal_run(struct sqlite_db *s, int rc)
{
	struct store_reseal *c = s->reseal;

	if (rc == 0)
		rc = tx_reseal(&s->db, c);
	if (rc == DB_MORE) {
		loop_soon(s->db.store.loop, &s->reseal_soon);
		return;
	}
	s->reseal = NULL;
	db_end(s, &c->call, rc);
}

static void reseal_on(struct soon *soon)
{
	struct sqlite_db *s = container_of(soon, struct sqlite_db, reseal_soon);

	reseal_run(s, db_enter(s));
}

static void sqlite_reseal(struct store *store, struct store_reseal *c)
{
	struct sqlite_db *s = sqlite_of(store);
	int rc = db_start(s, &c->call);

	c->n = c->failed = 0;
	if (s->reseal) {
		db_end(s, &c->call, ERR_BUSY);
		return;
	}
	s->reseal = c;
	s->reseal_soon.run = reseal_on;
	reseal_run(s, rc);
}

#define TYPE(NAME)                                                                                 \
	{                                                                                          \
		.name = NAME, .close = sqlite_close, .begin = sqlite_begin, .claim = sqlite_claim, \
		.step = sqlite_step, .end = sqlite_end, .release = sqlite_release,                 \
		.get = sqlite_get, .list = sqlite_list, .purge = sqlite_purge,                     \
		.reseal = sqlite_reseal, .stats = sqlite_stats, .plan_use = sqlite_plan_use,       \
		.tickets = sqlite_tickets, .run = sqlite_run,                                      \
	}

static const struct store_type type_sqlite = TYPE("sqlite");
static const struct store_type type_memory = TYPE("memory");

int store_sqlite_open(const struct store_options *options, struct store **store, struct err *err)
{
	struct sqlite_db *s = mem_zalloc(sizeof(*s));
	int rc;

	/* One thread needs no locks; these fail, and do no harm, once SQLite is in use. */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	*store = NULL;
	s->db.store.type = in_memory(options->path) ? &type_memory : &type_sqlite;
	s->db.store.loop = options->loop;
	if (options->log)
		log_child(&s->db.store.log, options->log);
	s->db.keys = seal_keys_create();
	s->db.ops = &sqlite_ops;
	list_init(&s->turn);
	s->hook.end_of_turn = db_end_of_turn;
	add_metrics(s, options->metrics);
	rc = prepare(s, options, err);
	if (rc != 0) {
		err_wrap(err, "%s", options->path);
		destroy(s);
		return rc;
	}
	arena_reset(&s->db.arena);
	loop_hook(options->loop, &s->hook);
	*store = &s->db.store;
	return 0;
}
