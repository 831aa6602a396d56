/* What only the file store does: durability, its lock, keys, the schema, a disk that is full. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"
#include "store/sqlite_schema.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static void reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

static int open_status(struct fixture *f, struct err *err)
{
	struct store_options options = { .loop = &f->loop, .keys = f->keys, .path = f->path };
	struct store *store;
	int rc = store_sqlite_open(&options, &store, err);

	assert_true((rc == 0) == (store != NULL));
	if (rc == 0) {
		f->store = store;
		fixture_close(f);
	}
	return rc;
}

static int64_t ask(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t value;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static void change(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Does the file, or its log, hold these bytes? */
static bool file_holds(const char *path, const char *what)
{
	static const char *const behind[] = { "", "-wal" };
	bool found = false;
	size_t i;

	for (i = 0; i < 2; i++) {
		char name[96], *bytes = mem_alloc(8 << 20);
		FILE *file;
		size_t n;

		snprintf(name, sizeof(name), "%s%s", path, behind[i]);
		file = fopen(name, "r");
		n = file ? fread(bytes, 1, 8 << 20, file) : 0;
		if (file)
			fclose(file);
		found = found || memmem(bytes, n, what, strlen(what));
		mem_free(bytes);
	}
	return found;
}

/* -- what stays ----------------------------------------------------------------------------- */

static void test_reopen(void **state)
{
	struct fixture *f = *state;
	struct store_begin ready, running, waiting, again;
	struct store_claim claimed;
	struct store_step step;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ready = at_once(f, STORE_PROVISION, "i1", NULL);
	running = start(f, STORE_UPDATE, "i1", NULL);
	step = (struct store_step){ .op = running.op.seq,
				    .fence = 1,
				    .step = STR("deploy"),
				    .memo = STR("{\"task\":7}"),
				    .new_step = true };
	assert_int_equal(RUN(f, store_step, &step), 0);
	waiting = verb(f, STORE_PROVISION, "i2", NULL);
	waiting.owner = STR("");
	waiting = begun(f, waiting, BEGUN_STARTED);
	begun(f, verb(f, STORE_DEPROVISION, "i2", NULL), BEGUN_HALTING);
	reopen(f);
	again = begun(f, verb(f, STORE_UPDATE, "i1", NULL), BEGUN_SAME_RUNNING);
	assert_int_equal(again.op.seq, running.op.seq);
	assert_string_equal(again.op.id, running.op.id);
	assert_int_equal(again.op.state, STORE_OP_WAITING); /* its owner is dead */
	assert_int_equal(again.op.owner.n, 0);
	step.new_step = false;
	assert_int_equal(RUN(f, store_step, &step), ERR_STALE);
	claimed = claim(f, "mysql", 10);
	assert_int_equal(claimed.n_ops, 2);
	assert_int_equal(claimed.ops[0].op.seq, running.op.seq);
	assert_int_equal(claimed.ops[0].op.fence, 2);
	assert_true(str_is(claimed.ops[0].op.step, "deploy"));
	assert_true(str_is(claimed.ops[0].op.memo, "{\"task\":7}"));
	assert_int_equal(claimed.ops[0].op.began, running.op.began);
	assert_true(claimed.ops[1].op.halted);
	assert_int_equal(ready.instance.seq, claimed.ops[0].instance.seq);
}

static void test_numbers_are_not_used_twice(void **state)
{
	struct fixture *f = *state;
	struct store_begin last;
	struct store_purge purge = { .max = 100 };
	struct store_get got;

	at_once(f, STORE_PROVISION, "i1", NULL);
	last = at_once(f, STORE_DEPROVISION, "i1", NULL);
	assert_int_equal(RUN(f, store_purge, &purge), 0);
	got = look(f, "i1", NULL);
	assert_int_equal(got.instance.seq, 0);
	reopen(f);
	got.op = at_once(f, STORE_PROVISION, "i1", NULL).op;
	assert_true(got.op.seq > last.op.seq);
	got = look(f, "i1", NULL);
	assert_true(got.instance.seq > last.instance.seq);
}

static void test_nothing_in_the_clear(void **state)
{
	struct fixture *f = *state;
	struct store_begin c = verb(f, STORE_PROVISION, "i1", NULL);
	struct store_step step;
	struct store_op_end e;

	c.data = STR("hunter-data");
	c.request = STR("hunter-request");
	c.same = STR("hunter-same");
	c = begun(f, c, BEGUN_STARTED);
	step = (struct store_step){ .op = c.op.seq, .fence = 1, .memo = STR("hunter-memo") };
	assert_int_equal(RUN(f, store_step, &step), 0);
	assert_false(file_holds(f->path, "hunter"));
	assert_true(file_holds(f->path, "service-1")); /* the test can see what is there */
	e = end_of(f, &c.op, STORE_SUCCEEDED);
	e.end.data = STR("hunter-end");
	assert_int_equal(RUN(f, store_end, &e), 0);
	fixture_close(f);
	assert_false(file_holds(f->path, "hunter"));
}

/* -- the lock ------------------------------------------------------------------------------- */

static void test_second_process(void **state)
{
	struct fixture *f = *state;
	char holder[32];
	struct err err;
	pid_t child;
	int status;

	assert_int_equal(open_status(f, &err), ERR_BUSY); /* nor a second time in this one */
	assert_non_null(strstr(err.text, f->path));
	at_once(f, STORE_PROVISION, "i1", NULL); /* the lock is still ours */
	snprintf(holder, sizeof(holder), "process %ld ", (long)getpid());
	child = fork();
	if (child == 0) {
		int rc = open_status(f, &err);

		_exit(rc == ERR_BUSY && strstr(err.text, holder) ? 0 : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_bad_places(void **state)
{
	struct fixture *f = *state;
	char good[64];
	struct err err;

	fixture_close(f);
	strcpy(good, f->path);
	snprintf(f->path, sizeof(f->path), "%s/none/osbd.db", f->dir);
	assert_int_equal(open_status(f, &err), ERR_NOENT);
	assert_non_null(strstr(err.text, "the directory"));
	strcpy(f->path, "/dev/null/osbd.db");
	assert_true(open_status(f, &err) < 0);
	strcpy(f->path, good);
	assert_int_equal(open_status(f, &err), 0);
	change(f->path, "DROP TABLE meta");
	assert_int_equal(open_status(f, &err), ERR_UNSUPPORTED);
}

static void test_not_a_database(void **state)
{
	struct fixture *f = *state;
	struct err err;
	FILE *file;

	fixture_close(f);
	file = fopen(f->path, "w");
	fprintf(file, "%0600d", 7);
	fclose(file);
	assert_int_equal(open_status(f, &err), ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "not a database"));
}

/* -- keys ----------------------------------------------------------------------------------- */

static void test_key_file(void **state)
{
	struct fixture *f = *state;
	char key[64], away[64];
	struct err err;

	at_once(f, STORE_PROVISION, "i1", NULL);
	fixture_close(f);
	snprintf(key, sizeof(key), "%s/seal.key", f->dir);
	snprintf(away, sizeof(away), "%s/away", f->dir);
	assert_int_equal(chmod(key, 0644), 0);
	assert_int_equal(open_status(f, &err), ERR_ACCESS);
	assert_int_equal(chmod(key, 0600), 0);
	assert_int_equal(rename(key, away), 0);
	assert_int_equal(open_status(f, &err), ERR_NOENT);
	assert_non_null(strstr(err.text, "seal.key"));
	assert_int_not_equal(access(key, F_OK), 0); /* no new one was made */
	assert_int_equal(rename(away, key), 0);
	fixture_open(f);
	assert_true(str_is(look(f, "i1", NULL).instance.data, "{\"parameters\":{}}"));
}

static struct store_reseal reseal(struct fixture *f, uint32_t max)
{
	struct store_reseal c = { .max = max };

	assert_int_equal(RUN(f, store_reseal, &c), 0);
	return c;
}

static void test_new_key(void **state)
{
	struct fixture *f = *state;
	struct seal_keys *both = seal_keys_create(), *new = seal_keys_create();
	struct store_reseal done;
	uint32_t n = 0;
	struct err err;
	char key[64];
	int i;

	assert_int_equal(seal_keys_add(both, STR("a"), STR(KEY_A), NULL), 0);
	assert_int_equal(seal_keys_add(new, STR("a"), STR(KEY_A), NULL), 0);
	for (i = 0; i < 20; i++) /* an instance, a binding and an op with a request each */
		at_once(f, STORE_PROVISION, arena_printf(&f->arena, "i%d", i), NULL);
	for (i = 0; i < 20; i++)
		start(f, STORE_BIND, arena_printf(&f->arena, "i%d", i), "b1");
	done = reseal(f, 10);
	assert_int_equal(done.n, 0); /* all of the first key */
	fixture_close(f);
	f->keys = both; /* seal.key is there still, and opens */
	fixture_open(f);
	do {
		done = reseal(f, 7);
		assert_true(done.n <= 7);
		n += done.n;
	} while (done.n > 0);
	assert_int_equal(n, 60);
	assert_int_equal(done.failed, 0);
	fixture_close(f);
	snprintf(key, sizeof(key), "%s/seal.key", f->dir);
	unlink(key);
	f->keys = new;
	fixture_open(f);
	for (i = 0; i < 20; i++) {
		struct store_get got = look(f, arena_printf(&f->arena, "i%d", i), "b1");

		assert_true(str_is(got.instance.data, "{\"parameters\":{}}"));
		assert_true(str_is(got.binding.data, "{\"parameters\":{}}"));
		assert_true(str_is(got.op.request, "{\"asked\":1}"));
	}
	/* the digests are made with the same key as before */
	begun(f, verb(f, STORE_PROVISION, "i0", NULL), BEGUN_SAME_DONE);
	fixture_close(f);
	f->keys = NULL;
	assert_int_equal(open_status(f, &err), ERR_NOENT);
	seal_keys_destroy(both);
	both = seal_keys_create();
	assert_int_equal(seal_keys_add(both, STR("b"), STR(KEY_B), NULL), 0);
	f->keys = both;
	assert_int_equal(open_status(f, &err), ERR_SEALED);
	assert_non_null(strstr(err.text, "\"a\""));
	f->keys = NULL;
	seal_keys_destroy(both);
	seal_keys_destroy(new);
}

static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	struct seal_keys *keys = seal_keys_create();
	struct store_begin c;
	struct store_get get = { .arena = &f->arena,
				 .platform = STR("cf"),
				 .instance_id = STR("i1") };
	struct store_list list = { .arena = &f->arena, .kind = STORE_LIST_UNREADABLE, .max = 10 };
	struct store_claim claimed;
	struct store_reseal done;

	at_once(f, STORE_PROVISION, "i1", NULL);
	at_once(f, STORE_PROVISION, "i2", NULL);
	c = verb(f, STORE_BIND, "i1", "b1");
	c.owner = STR("");
	begun(f, c, BEGUN_STARTED);
	c = verb(f, STORE_BIND, "i2", "b2");
	c.owner = STR("");
	c = begun(f, c, BEGUN_STARTED);
	fixture_close(f);
	/* i1 gets what was sealed for i2: it does not open there */
	change(f->path, "UPDATE instance SET data = (SELECT data FROM instance WHERE id = x'6932')"
			" WHERE id = x'6931'");
	assert_int_equal(seal_keys_add(keys, STR("a"), STR(KEY_A), NULL), 0);
	f->keys = keys;
	fixture_open(f);
	assert_int_equal(RUN(f, store_get, &get), ERR_SEALED);
	get.no_data = true;
	assert_int_equal(RUN(f, store_get, &get), 0);
	assert_int_equal(get.instance.state, STORE_READY);
	assert_int_equal(RUN(f, store_list, &list), 0);
	assert_int_equal(list.n_rows, 1);
	assert_true(str_is(list.rows[0].instance.id, "i1"));
	claimed = claim(f, "mysql", 1); /* it stands in nobody's way */
	assert_int_equal(claimed.n_ops, 2);
	assert_int_equal(claimed.ops[0].status, ERR_SEALED);
	assert_int_equal(claimed.ops[0].op.state, STORE_OP_WAITING);
	assert_int_equal(claimed.ops[1].status, 0);
	assert_int_equal(claimed.ops[1].op.seq, c.op.seq);
	assert_int_equal(claimed.waiting, 1);
	done = reseal(f, 100);
	assert_int_equal(done.n, 5); /* i2, b1, b2, and two requests */
	assert_int_equal(done.failed, 1);
	done = reseal(f, 100);
	assert_int_equal(done.n, 0);
	assert_int_equal(done.failed, 1);
	fixture_close(f);
	assert_int_equal(ask(f->path, "SELECT count(*) FROM instance"), 2); /* never dropped */
	f->keys = NULL;
	seal_keys_destroy(keys);
}

/* -- a disk that is full -------------------------------------------------------------------- */

static void limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	struct store_begin c[3], later;
	struct store_get get = { .arena = &f->arena,
				 .platform = STR("cf"),
				 .instance_id = STR("i0") };
	struct store_stats stats = { 0 };
	struct ended ended[4];
	struct stat st;
	char wal[96];
	size_t i;

	signal(SIGXFSZ, SIG_IGN);
	c[0] = at_once(f, STORE_PROVISION, "i0", NULL);
	assert_int_equal(RUN(f, store_stats, &stats), 0);
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_equal(stat(wal, &st), 0);
	limit_files((rlim_t)st.st_size);
	for (i = 0; i < 3; i++) {
		c[i] = verb(f, STORE_PROVISION, arena_printf(&f->arena, "j%zu", i), NULL);
		arm(&c[i].call, &ended[i]);
		store_begin(f->store, &c[i]);
	}
	arm(&get.call, &ended[3]); /* a read of the same turn knows what has not happened */
	store_get(f->store, &get);
	for (i = 0; i < 4; i++) {
		assert_true(loop_run_until(&f->loop, &ended[i].done));
		assert_int_equal(ended[i].status, ERR_STORE);
	}
	limit_files(RLIM_INFINITY);
	later = start(f, STORE_PROVISION, "j1", NULL); /* it recovers by itself */
	assert_int_equal(look(f, "j0", NULL).instance.seq, 0);
	assert_int_equal(look(f, "j2", NULL).instance.seq, 0);
	assert_int_equal(RUN(f, store_stats, &stats), 0);
	assert_int_equal(stats.instances, 2);
	assert_int_equal(stats.ops[STORE_PROVISION][STORE_OP_RUNNING], 1);
	end_ok(f, &later.op);
	reopen(f);
	assert_int_equal(look(f, "j1", NULL).instance.state, STORE_READY);
	assert_int_equal(RUN(f, store_stats, &stats), 0);
	assert_int_equal(stats.instances, 2);
}

/* -- named places (builds with failpoints) --------------------------------------------------- */

#ifdef OSBD_FAILPOINTS
/* The program itself, run anew: begins a provision, and is to die of it. */
static int begin_and_die(const char *path)
{
	struct fixture f = { .file = true };
	struct store_begin c;

	if (loop_init(&f.loop) != 0)
		return 1;
	metrics_init(&f.metrics);
	snprintf(f.path, sizeof(f.path), "%s", path);
	fixture_open(&f);
	c = verb(&f, STORE_PROVISION, "i1", NULL);
	arm(&c.call, &f.ended);
	store_begin(f.store, &c);
	loop_run_until(&f.loop, &f.ended.done);
	return 1;
}

static void die_at(struct fixture *f, const char *where)
{
	pid_t child;
	int status;

	fixture_close(f);
	child = fork();
	if (child == 0) {
		setenv("OSBD_FAILPOINT", where, 1);
		execl("/proc/self/exe", "sqlite_test", f->path, (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	fixture_open(f);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Nothing, or everything, is there. */
static void test_killed_at_commit(void **state)
{
	struct fixture *f = *state;

	die_at(f, "store.commit=kill");
	assert_int_equal(look(f, "i1", NULL).instance.seq, 0);
	die_at(f, "store.committed=kill");
	assert_int_equal(look(f, "i1", NULL).instance.state, STORE_CREATING);
	assert_int_equal(look(f, "i1", NULL).op.state, STORE_OP_WAITING);
}
#endif

/* -- the keys of instances ------------------------------------------------------------------ */

#define MANY 300

static const char *name(struct fixture *f, size_t i)
{
	return arena_printf(&f->arena, "many-%zu", i);
}

/* One transaction takes them all. */
static void make_many(struct fixture *f)
{
	static const struct store_end ok = { .result = STORE_SUCCEEDED };
	struct store_begin c[MANY];
	struct ended ended[MANY];
	size_t i;

	for (i = 0; i < MANY; i++) {
		c[i] = verb(f, STORE_PROVISION, name(f, i), NULL);
		c[i].at_once = &ok;
		arm(&c[i].call, &ended[i]);
		store_begin(f->store, &c[i]);
	}
	for (i = 0; i < MANY; i++) {
		assert_true(loop_run_until(&f->loop, &ended[i].done));
		assert_int_equal(ended[i].status, 0);
		assert_int_equal(c[i].result, BEGUN_ENDED);
	}
}

static void find_many(struct fixture *f)
{
	int64_t first = look(f, name(f, 0), NULL).instance.seq;
	size_t i;

	for (i = 0; i < MANY; i++)
		assert_int_equal(look(f, name(f, i), NULL).instance.seq, first + (int64_t)i);
	assert_int_equal(look(f, "many-x", NULL).instance.seq, 0);
}

/* Each key is in one of the two tables, and only there. */
static void assert_keys(const char *path, int64_t n)
{
	assert_int_equal(ask(path, "SELECT count(*) FROM instance"), n);
	assert_int_equal(ask(path, "SELECT count(*) FROM (SELECT key, seq FROM instance_new"
				   " UNION ALL SELECT key, seq FROM instance_at)"),
			 n);
	assert_int_equal(ask(path, "SELECT count(*) FROM (SELECT key, seq FROM instance INTERSECT"
				   " SELECT * FROM (SELECT key, seq FROM instance_new"
				   " UNION ALL SELECT key, seq FROM instance_at))"),
			 n);
}

static void test_keys_move(void **state)
{
	struct fixture *f = *state;
	struct store_purge purge = { .keep_ended = 0, .keep_gone = 0, .max = 2 * MANY };
	size_t i;

	make_many(f);
	find_many(f);
	fixture_close(f);
	assert_keys(f->path, MANY);
	/* two of the sixteen slices */
	assert_int_equal(ask(f->path, "SELECT count(*) > 0 AND max(key) < 1 << 61 AND min(key) >= 0"
				      " FROM instance_at"),
			 1);
	assert_int_equal(ask(f->path, "SELECT count(*) FROM instance_new"
				      " WHERE key BETWEEN 0 AND (1 << 61) - 1"),
			 0);
	fixture_open(f);
	find_many(f);
	for (i = 0; i < MANY; i += 2)
		at_once(f, STORE_DEPROVISION, name(f, i), NULL);
	pass(f, 1);
	assert_int_equal(RUN(f, store_purge, &purge), 0);
	for (i = 0; i < MANY; i++)
		assert_int_equal(look(f, name(f, i), NULL).instance.seq != 0, i % 2);
	fixture_close(f);
	assert_keys(f->path, MANY / 2);
	fixture_open(f);
}

/* A store of version 1 is one with an index. */
static void test_keys_of_version_1(void **state)
{
	struct fixture *f = *state;

	make_many(f);
	fixture_close(f);
	change(f->path, "DROP TRIGGER instance_deleted; DROP TABLE instance_new;"
			"DROP TABLE instance_at; CREATE INDEX instance_key ON instance (key);"
			"UPDATE meta SET value = 1 WHERE name IN ('version', 'oldest')");
	fixture_open(f);
	find_many(f);
	fixture_close(f);
	assert_keys(f->path, MANY);
	assert_int_equal(ask(f->path, "SELECT count(*) FROM instance_new"), 0);
	assert_int_equal(ask(f->path, "SELECT value FROM meta WHERE name = 'oldest'"), 2);
	fixture_open(f);
}

/* -- the schema ----------------------------------------------------------------------------- */

static const struct schema_step first_steps[] = {
	{ "CREATE TABLE a (x); INSERT INTO a VALUES (7)", 1 },
};
static const struct schema_step second_steps[] = {
	{ "CREATE TABLE a (x); INSERT INTO a VALUES (7)", 1 },
	{ "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1", 0 },
	{ "CREATE TABLE b (z); INSERT INTO b SELECT y FROM a", 3 },
};
static const struct schema_step broken_steps[] = {
	{ "CREATE TABLE a (x); INSERT INTO a VALUES (7)", 1 },
	{ "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1", 2 },
	{ "CREATE TABLE b (z); INSERT INTO nowhere VALUES (1)", 3 },
};
static const struct schema_step killing_steps[] = {
	{ "CREATE TABLE a (x); INSERT INTO a VALUES (7)", 1 },
	{ "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1", 2 },
	{ "CREATE TABLE b (z); SELECT die()", 3 },
};
static const struct schema first = { first_steps, 1 };
static const struct schema second = { second_steps, 3 };
static const struct schema broken = { broken_steps, 3 };
static const struct schema killing = { killing_steps, 3 };

static void die(sqlite3_context *context, int n, sqlite3_value **values)
{
	(void)context;
	(void)n;
	(void)values;
	raise(SIGKILL);
}

static int migrate(const char *path, const struct schema *schema, struct err *err)
{
	bool fresh;
	sqlite3 *db;
	int rc;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	sqlite3_create_function(db, "die", 0, SQLITE_UTF8, NULL, die, NULL, NULL);
	rc = schema_migrate(db, schema, &fresh, err);
	sqlite3_close(db);
	return rc;
}

static void test_migration(void **state)
{
	struct fixture *f = *state;
	char path[64], log[80];
	struct err err;
	pid_t child;
	int status;

	snprintf(path, sizeof(path), "%s/schema.db", f->dir);
	assert_int_equal(migrate(path, &first, &err), 0);
	assert_int_equal(ask(path, "SELECT value FROM meta WHERE name = 'version'"), 1);
	assert_int_equal(migrate(path, &broken, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "version 3"));
	assert_non_null(strstr(err.text, "nowhere"));
	assert_int_equal(ask(path, "SELECT value FROM meta WHERE name = 'version'"), 1);
	assert_int_equal(ask(path, "SELECT count(*) FROM pragma_table_info('a')"), 1);
	child = fork(); /* a crash half way */
	if (child == 0) {
		migrate(path, &killing, &err);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(ask(path, "SELECT value FROM meta WHERE name = 'version'"), 1);
	assert_int_equal(ask(path, "SELECT count(*) FROM pragma_table_info('a')"), 1);
	assert_int_equal(ask(path, "SELECT x FROM a"), 7);
	assert_int_equal(migrate(path, &second, &err), 0);
	assert_int_equal(ask(path, "SELECT z FROM b"), 8);
	assert_int_equal(ask(path, "SELECT value FROM meta WHERE name = 'version'"), 3);
	assert_int_equal(ask(path, "SELECT value FROM meta WHERE name = 'oldest'"), 3);
	assert_int_equal(migrate(path, &second, &err), 0); /* nothing to be done */
	assert_int_equal(ask(path, "SELECT count(*) FROM b"), 1);
	assert_int_equal(migrate(path, &first, &err), ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "version 3"));
	assert_non_null(strstr(err.text, "knows 1"));
	change(path, "UPDATE meta SET value = 1 WHERE name = 'oldest'");
	assert_int_equal(migrate(path, &first, &err), 0); /* newer, but we may use it */
	assert_int_equal(ask(path, "SELECT value FROM meta WHERE name = 'version'"), 3);
	unlink(path);
	snprintf(log, sizeof(log), "%s-wal", path);
	unlink(log);
	snprintf(log, sizeof(log), "%s-shm", path);
	unlink(log);
}

int main(int argc, char **argv)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup_file, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_reopen),
		TEST(test_numbers_are_not_used_twice),
		TEST(test_nothing_in_the_clear),
		TEST(test_second_process),
		TEST(test_bad_places),
		TEST(test_not_a_database),
		TEST(test_key_file),
		TEST(test_new_key),
		TEST(test_unreadable),
		TEST(test_disk_full),
		TEST(test_keys_move),
		TEST(test_keys_of_version_1),
		TEST(test_migration),
#ifdef OSBD_FAILPOINTS
		TEST(test_killed_at_commit),
#endif
	};

#ifdef OSBD_FAILPOINTS
	if (argc == 2)
		return begin_and_die(argv[1]);
#else
	(void)argc;
	(void)argv;
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
