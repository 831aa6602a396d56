/* What the tests of osb/users share: a world of users, and checks whose ends are counted. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_USERS_WORLD_H
#define OSBD_TEST_USERS_WORLD_H

#include "core/digest.h"
#include "osb/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>

#define START 1800000000000 /* some time in 2027 */

/* -- the world around a test ---------------------------------------------------------------- */

struct world {
	struct loop loop;
	struct child_host children;
	struct config config;
	struct config_platform platforms[2];
	struct config_user user[4];
	struct users *users;
	struct metrics metrics;
	struct log log;
	FILE *lines;
	struct arena arena;
};

static inline void hash_of(const char *password, const char *prefix, unsigned long cost, char *out)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];

	assert_non_null(crypt_gensalt_rn(prefix, cost, NULL, 0, setting, sizeof(setting)));
	assert_non_null(crypt_r(password, setting, data));
	strcpy(out, data->output);
	free(data);
}

static inline struct config_user *add_user(struct world *w, const char *name, enum config_role role)
{
	struct config_user *user = &w->user[w->config.n_users++];

	user->name = str_of(name);
	user->role = role;
	return user;
}

static inline void add_password(struct config_user *user, bool crypt, const char *text)
{
	user->passwords[user->n_passwords].crypt = crypt;
	secret_set(&user->passwords[user->n_passwords++].text, str_of(text));
}

static inline void add_hash(struct config_user *user, const char *password)
{
	char hash[CRYPT_OUTPUT_SIZE];

	hash_of(password, "$y$", 1, hash);
	add_password(user, true, hash);
}

/* cc has a literal, ops has two, hash has a hash, spy may only watch. */
static inline void begin(struct world *w, bool test_time)
{
	struct err err;

	memset(w, 0, sizeof(*w));
	if (test_time)
		assert_int_equal(loop_init_test(&w->loop, START), 0);
	else
		assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(child_host_init(&w->children, &w->loop, getenv("OSBD_CHILD"), &err), 0);
	metrics_init(&w->metrics);
	w->lines = tmpfile();
	log_init(&w->log, log_sink_create(fileno(w->lines), LOG_LOGFMT, LOG_DEBUG));
	w->platforms[0].name = STR("default");
	w->platforms[1].name = STR("other");
	w->config.users = w->user;
	w->config.authenticate = true;
	add_password(add_user(w, "cc", CONFIG_PLATFORM), false, "s:e cret");
	add_user(w, "ops", CONFIG_OPERATOR);
	add_password(&w->user[1], false, "one");
	add_password(&w->user[1], false, "zw\xc3\xb6lf");
	add_user(w, "spy", CONFIG_MONITOR);
	add_password(&w->user[2], false, "look");
}

static inline void with_hash(struct world *w)
{
	add_user(w, "hash", CONFIG_PLATFORM);
	add_hash(&w->user[3], "first");
	add_hash(&w->user[3], "second");
}

static inline void open_users(struct world *w, const char *verifier)
{
	w->users = users_create(&w->loop, &w->config, &w->children, verifier, &w->log, &w->metrics);
}

static inline void end(struct world *w)
{
	size_t i, j;

	users_destroy(w->users);
	assert_true(list_empty(&w->metrics.all));
	assert_int_equal(w->children.started, w->children.reaped);
	child_host_finish(&w->children);
	assert_int_equal(loop_finish(&w->loop), 0);
	log_sink_destroy(w->log.sink);
	fclose(w->lines);
	for (i = 0; i < w->config.n_users; i++)
		for (j = 0; j < w->user[i].n_passwords; j++)
			secret_finish(&w->user[i].passwords[j].text);
	arena_finish(&w->arena);
}

static inline struct str basic(struct world *w, const char *pair, size_t n)
{
	struct str code = base64_encode(&w->arena, pair, n);

	return str_of(arena_printf(&w->arena, "Basic %.*s", STR_ARG(code)));
}

/* A check whose end is counted. */
struct probe {
	struct users_check check;
	int status;
	unsigned ends;
};

static unsigned ended;

static inline void on_end(struct call *call, int status)
{
	struct probe *probe = container_of(call, struct probe, check.call);

	probe->status = status;
	probe->ends++;
	ended++;
}

/* True when it was answered at once. */
static inline bool ask_at(struct world *w, struct probe *probe, const char *pair, const char *peer)
{
	*probe = (struct probe){ 0 };
	probe->check.call.done = on_end;
	probe->check.platform = &w->platforms[0];
	probe->check.peer = str_of(peer);
	probe->check.authorization = basic(w, pair, strlen(pair));
	return users_check(w->users, &probe->check, &probe->status);
}

static inline bool ask(struct world *w, struct probe *probe, const char *pair)
{
	return ask_at(w, probe, pair, "127.0.0.1");
}

static inline int status_at(struct world *w, const char *pair, const char *peer)
{
	struct probe probe;

	assert_true(ask_at(w, &probe, pair, peer));
	return probe.status;
}

static inline int status_of(struct world *w, const char *pair)
{
	return status_at(w, pair, "127.0.0.1");
}

static inline void wait_end(struct world *w, const struct probe *probe)
{
	while (!probe->ends && loop_turn(&w->loop))
		;
	assert_int_equal(probe->ends, 1);
}

/* Whether it was answered at once or by a child. */
static inline int status_wait(struct world *w, const char *pair)
{
	struct probe probe;

	if (!ask(w, &probe, pair)) {
		assert_int_equal(probe.ends, 0);
		wait_end(w, &probe);
	}
	return probe.status;
}

static inline double failures(struct world *w, const char *reason)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &w->metrics.all) {
		struct metric *metric = container_of(pos, struct metric, node);

		if (strcmp(metric->name, "osbd_auth_failures_total") == 0 &&
		    strstr(metric->labels, reason))
			return metric->value;
	}
	return -1;
}

#endif
