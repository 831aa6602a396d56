/* A pool on a real PostgreSQL, for tests that test/servers.py runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_SQL_RIG_H
#define OSBD_TEST_SQL_RIG_H

#include "core/buf.h"
#include "sql/sql.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rig {
	struct loop loop;
	struct sql_pool *pool;
	bool closed;
};

/* A transaction and whether it is done. */
struct job {
	struct sql_tx tx;
	struct arena arena;
	bool done;
	int status;
	unsigned order; /* 1 for the first that was done … */
};

/* Asks test/servers.py, and waits: nothing else runs then. Returns what follows "ok". */
static inline const char *ask(const char *line)
{
	static char answer[512];
	int fd = atoi(getenv("OSBD_PG_CONTROL"));
	size_t n = 0;

	assert_true(dprintf(fd, "%s\n", line) > 0);
	while (n < sizeof(answer) - 1 && read(fd, answer + n, 1) == 1 && answer[n] != '\n')
		n++;
	answer[n] = '\0';
	if (strncmp(answer, "ok", 2) != 0)
		fail_msg("%s: %s", line, answer);
	return answer[2] ? answer + 3 : "";
}

/* The server's url with another port (0: its own), user, password or options; from malloc. */
static inline char *url_with(int port, const char *user, const char *password, const char *options)
{
	const char *url = getenv("OSBD_PG_URL"), *at = strrchr(url, '@'), *colon, *secret;
	struct buf b = { 0 };

	colon = strchr(at, ':');
	secret = strchr(strchr(url, ':') + 1, ':');
	buf_printf(&b, "postgresql://%s:%.*s@127.0.0.1:%d/%s?%s", user ? user : "osbd",
		   password ? (int)strlen(password) : (int)(at - secret - 1),
		   password ? password : secret + 1, port ? port : atoi(colon + 1),
		   user ? user : "osbd", options ? options : "sslmode=disable");
	return b.p;
}

static inline void rig_open_with(struct rig *rig, struct sql_config config)
{
	struct err err;

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(loop_init(&rig->loop), 0);
	if (!config.url)
		config.url = getenv("OSBD_PG_URL");
	if (sql_pool_create(&rig->loop, &config, &rig->pool, &err) != 0)
		fail_msg("%s", err.text);
}

static inline void rig_open(struct rig *rig)
{
	/* under a sanitizer on a busy machine a connection may take its time */
	rig_open_with(rig, (struct sql_config){ .patience_ms = 30000, .within_ms = 60000 });
}

static inline void rig_closed(void *data)
{
	*(bool *)data = true;
}

static inline unsigned tasks(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static inline void rig_close(struct rig *rig)
{
	sql_pool_close(rig->pool, rig_closed, &rig->closed);
	assert_true(loop_run_until(&rig->loop, &rig->closed));
	assert_int_equal(tasks(), 1);
	assert_int_equal(loop_finish(&rig->loop), 0);
}

static inline void job_done(struct call *call, int status)
{
	static unsigned order;
	struct job *job = container_of(call, struct job, tx.call);

	job->done = true;
	job->status = status;
	job->order = ++order;
}

static inline void job_init(struct job *job)
{
	memset(job, 0, sizeof(*job));
	sql_tx_init(&job->tx, &job->arena);
	job->tx.call.done = job_done;
}

static inline int job_wait(struct rig *rig, struct job *job)
{
	assert_true(loop_run_until(&rig->loop, &job->done));
	return job->status;
}

static inline int job_run(struct rig *rig, struct job *job)
{
	sql_start(rig->pool, &job->tx);
	assert_false(job->done);
	return job_wait(rig, job);
}

static inline void job_finish(struct job *job)
{
	arena_finish(&job->arena);
}

/* Runs one statement, which must succeed; returns the number in its first cell, else n. */
static inline int64_t run(struct rig *rig, const char *text)
{
	struct sql_stmt stmt = { NULL, text, 0 };
	struct job job;
	int64_t n;

	job_init(&job);
	sql_add_plain(&job.tx, &stmt);
	if (job_run(rig, &job) != 0)
		fail_msg("%s: %s", text, job.tx.why);
	n = job.tx.results[0].rows ? sql_get_int(&job.tx.results[0], 0, 0)
				   : (int64_t)job.tx.results[0].n;
	job_finish(&job);
	return n;
}

struct nap {
	struct timer timer;
	bool over;
};

static inline void nap_over(struct timer *timer)
{
	container_of(timer, struct nap, timer)->over = true;
}

static inline void rig_sleep(struct rig *rig, uint64_t ms)
{
	struct nap nap = { 0 };

	timer_start(&nap.timer, &rig->loop, ms, nap_over);
	assert_true(loop_run_until(&rig->loop, &nap.over));
}

static inline void wait_state(struct rig *rig, enum sql_state state)
{
	unsigned i;

	for (i = 0; i < 1500 && sql_pool_state(rig->pool) != state; i++)
		rig_sleep(rig, 10);
	assert_int_equal(sql_pool_state(rig->pool), state);
}

#endif
