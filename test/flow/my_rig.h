/* Connections to a real MariaDB, for tests that test/mariadb.py runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_MY_RIG_H
#define OSBD_TEST_MY_RIG_H

#include "sql/my_conn.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
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
	struct my_lib lib;
	struct my_server server;
	struct my_conn conn;
};

struct job {
	struct my_request request;
	struct arena arena;
	bool done;
	int status;
};

/* Asks test/mariadb.py, and waits: nothing else runs then. Returns what follows "ok". */
static inline const char *ask(const char *line)
{
	static char answer[512];
	int fd = atoi(getenv("OSBD_MY_CONTROL"));
	size_t n = 0;

	assert_true(dprintf(fd, "%s\n", line) > 0);
	while (n < sizeof(answer) - 1 && read(fd, answer + n, 1) == 1 && answer[n] != '\n')
		n++;
	answer[n] = '\0';
	if (strncmp(answer, "ok", 2) != 0)
		fail_msg("%s: %s", line, answer);
	return answer[2] ? answer + 3 : "";
}

static inline void rig_init(struct rig *rig)
{
	struct err err;

	memset(rig, 0, sizeof(*rig));
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(&rig->loop), 0);
	if (my_lib_load(&rig->lib, &err) < 0)
		fail_msg("%s", err.text);
	/* under a sanitizer on a busy machine everything may take its time */
	rig->server = (struct my_server){ .lib = &rig->lib,
					  .host = "127.0.0.1",
					  .port = (uint16_t)atoi(getenv("OSBD_MY_PORT")),
					  .user = "osbd",
					  .password = getenv("OSBD_MY_PASSWORD"),
					  .connect_ms = 30000,
					  .query_ms = 30000 };
	rig->conn.loop = &rig->loop;
	rig->conn.server = &rig->server;
}

static inline void job_done(struct call *call, int status)
{
	struct job *job = container_of(call, struct job, request.call);

	assert_false(job->done);
	job->done = true;
	job->status = status;
}

static inline void job_init(struct job *job, const char *text)
{
	memset(job, 0, sizeof(*job));
	job->request.call.done = job_done;
	job->request.arena = &job->arena;
	job->request.text = str_of(text);
	job->request.what = "job";
}

static inline int job_wait(struct rig *rig, struct job *job)
{
	assert_false(job->done); /* never before start has returned */
	assert_true(loop_run_until(&rig->loop, &job->done));
	return job->status;
}

static inline int job_connect(struct rig *rig, struct job *job)
{
	job_init(job, "");
	assert_int_equal(my_connect_start(&rig->conn, &job->request), 0);
	return job_wait(rig, job);
}

static inline int job_query(struct rig *rig, struct job *job, const char *text)
{
	job_init(job, text);
	assert_int_equal(my_query_start(&rig->conn, &job->request), 0);
	return job_wait(rig, job);
}

static inline void job_finish(struct job *job)
{
	arena_finish(&job->arena);
}

static inline void rig_connect(struct rig *rig)
{
	struct job job;

	if (job_connect(rig, &job) != 0)
		fail_msg("%s", job.request.err.text);
	job_finish(&job);
}

static inline void rig_open(struct rig *rig)
{
	rig_init(rig);
	rig_connect(rig);
}

/* Runs one statement, which must succeed; returns the number in its first cell, else what it
 * changed. */
static inline int64_t run(struct rig *rig, const char *text)
{
	struct job job;
	int64_t n;

	if (job_query(rig, &job, text) != 0)
		fail_msg("%s: %s", text, job.request.err.text);
	n = (int64_t)job.request.result.affected;
	if (job.request.result.rows && my_cell(&job.request.result, 0, 0).p)
		n = strtoll(my_cell(&job.request.result, 0, 0).p, NULL, 10);
	job_finish(&job);
	return n;
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
	struct job job;

	job_init(&job, "");
	assert_int_equal(my_close_start(&rig->conn, &job.request), 0);
	assert_int_equal(job_wait(rig, &job), 0);
	assert_false(rig->conn.up);
	if (rig->server.dns)
		dns_destroy(rig->server.dns);
	loop_run(&rig->loop);
	assert_int_equal(tasks(), 1);
	assert_int_equal(loop_finish(&rig->loop), 0);
}

#endif
