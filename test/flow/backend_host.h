/* SPDX-License-Identifier: Apache-2.0 */
/* What runs a backend's operations in a flow test: one operation at a time, rows in memory, and
 * the objects as the broker would keep them.
 *
 * Killing the process is dropping the operation at a commit and resuming another from the row.
 * A commit can also be lost: then the row is as it was before, and the step is asked again. */
#ifndef OSBD_TEST_BACKEND_HOST_H
#define OSBD_TEST_BACKEND_HOST_H

#include "core/yaml.h"
#include "osb/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KILL_NEVER, KILL_AFTER_COMMIT, KILL_BEFORE_COMMIT };

struct stage {
	struct loop loop;
	struct arena arena;
	struct conf_errors errors;
	struct child_host children;
	struct config config;
	struct config_service service;
	struct offering offering;
	struct backend_env env;
	const struct backend_type *type;
	struct backend *backend;
	/* the request */
	const struct plan *plan, *plan_before;
	const char *parameters, *context, *previous, *identity, *instance_id, *binding_id;
	/* what the broker keeps */
	char *instance_parameters, *instance_private, *binding_private, *credentials;
	/* the row */
	char step[64], *memo;
	bool back;
	uint64_t began, step_began;
	/* what is to happen */
	int kill_at, kill_how; /* at the n-th commit, from 1 */
	uint64_t halt_after;   /* ms; 0: not */
	uint64_t deadline;     /* ms, of the operation; 0: none */
	uint64_t kill_after;   /* ms; 0: not. The first life only */
	/* what did */
	int n_ops, commits, kills;
	bool ended, failed, left_over;
	char id[32];
	struct err err;
	char trace[4096], progress[1024];
	struct json *results; /* in arena */
	struct osb_op *op;
	struct soon soon;
	struct timer halt;
};

static inline void stage_note(struct stage *s, const char *what)
{
	size_t n = strlen(s->trace);

	snprintf(s->trace + n, sizeof(s->trace) - n, "%s ", what);
}

static inline void stage_committed(struct soon *soon)
{
	struct stage *s = container_of(soon, struct stage, soon);

	op_committed(&s->op->job.op, false);
}

static inline void stage_kill(struct soon *soon)
{
	struct stage *s = container_of(soon, struct stage, soon);

	s->kills++;
	stage_note(s, "KILL");
	op_drop(&s->op->job.op);
}

static inline void stage_commit(struct op *op, bool new_step)
{
	struct stage *s = op->loop->uv.data;
	bool kill = ++s->commits == s->kill_at;

	if (!kill || s->kill_how == KILL_AFTER_COMMIT) {
		snprintf(s->step, sizeof(s->step), "%s", op->step->name);
		mem_free(s->memo);
		s->memo = mem_strdup(op_memo_text(op).p);
		s->back = op->backwards;
		if (new_step)
			s->step_began = loop_now(&s->loop);
	}
	s->soon.run = kill ? stage_kill : stage_committed;
	loop_soon(&s->loop, &s->soon);
}

static inline void stage_ended(struct op *op)
{
	struct stage *s = op->loop->uv.data;

	s->ended = op->state == OP_ENDED;
	timer_stop(&s->halt);
	if (!s->ended)
		return;
	s->failed = op->failed;
	s->left_over = op->left_over;
	s->err = op->err;
	s->results = json_copy(&s->arena, osb_results(osb_op_of(op)));
}

static const struct op_host stage_host = { stage_commit, stage_ended };

static inline void stage_halt(struct timer *timer)
{
	struct stage *s = container_of(timer, struct stage, halt);

	op_halt(&s->op->job.op);
}

static inline void stage_kill_late(struct timer *timer)
{
	struct stage *s = container_of(timer, struct stage, halt);

	stage_kill(&s->soon);
}

static inline const struct json *stage_json(struct arena *arena, const char *text)
{
	struct json *v;

	assert_int_equal(json_parse(arena, str_of(text && *text ? text : "{}"), NULL, &v, NULL), 0);
	return v;
}

/* One life of the process: makes the op from the row and runs it until it ends or is killed. */
static inline void stage_life(struct stage *s, enum store_verb verb)
{
	static const char *const names[] = { "provision", "update", "deprovision",
					     "bind",      "unbind", "unbind" };
	const struct backend_verb *forth = backend_verb(s->backend, s->plan, verb), *back = NULL;
	struct osb_op *op;
	struct arena *arena;
	struct err err;

	if (verb == STORE_PROVISION)
		back = backend_verb(s->backend, s->plan, STORE_DEPROVISION);
	else if (verb == STORE_BIND)
		back = backend_verb(s->backend, s->plan, STORE_UNBIND);
	assert_non_null(forth->steps);
	op = mem_zalloc(forth->size ? forth->size : sizeof(*op));
	s->op = op;
	op_init(&op->job.op);
	arena = &op->job.op.arena;
	op->job.op.name = names[verb];
	op->job.op.host = &stage_host;
	op->job.op.loop = &s->loop;
	op->job.op.forth = forth->steps;
	op->job.op.deadline = s->deadline;
	op->job.op.back = back ? back->steps : NULL;
	op->verb = verb;
	op->backend = s->backend;
	op->offering = &s->offering;
	op->plan = s->plan;
	op->plan_before = s->plan_before ? s->plan_before : s->plan;
	op->id = str_of(s->id);
	op->instance_id = str_of(s->instance_id);
	if (verb >= STORE_BIND)
		op->binding_id = str_of(s->binding_id);
	op->organization = STR("org");
	op->space = STR("space");
	op->parameters = stage_json(arena, s->parameters);
	op->instance_parameters = stage_json(arena, s->instance_parameters);
	op->context = stage_json(arena, s->context);
	op->previous_values = stage_json(arena, s->previous);
	op->bind_resource = stage_json(arena, NULL);
	op->identity = stage_json(arena, s->identity);
	op->instance_private = stage_json(arena, s->instance_private);
	op->binding_private = stage_json(arena, s->binding_private);
	if (s->credentials)
		op->credentials = stage_json(arena, s->credentials);
	op->predecessor_response = NULL;
	op->by_platform = verb != STORE_EXPIRE;
	assert_int_equal(op_resume(&op->job.op, str_of(s->step), s->back, str_of(s->memo),
				   loop_now(&s->loop) - s->began,
				   loop_now(&s->loop) - s->step_began, &err),
			 0);
	op_start(&op->job.op);
	if (s->halt_after && !s->back)
		timer_start(&s->halt, &s->loop, s->halt_after, stage_halt);
	if (s->kill_after && !s->kills)
		timer_start(&s->halt, &s->loop, s->kill_after, stage_kill_late);
	while (op->job.op.state != OP_ENDED && op->job.op.state != OP_PARKED) {
		bool more = loop_turn(&s->loop);

		if (op->job.op.progress[0])
			snprintf(s->progress, sizeof(s->progress), "%s", op->job.op.progress);
		if (!more)
			break;
	}
	assert_true(op->job.op.state == OP_ENDED || op->job.op.state == OP_PARKED);
	if (s->type->finish_op)
		s->type->finish_op(op);
	op_finish(&op->job.op);
	mem_free(op);
	s->op = NULL;
}

static inline void stage_keep(char **place, const struct json *v)
{
	struct arena arena = { 0 };

	if (!v)
		return;
	mem_free(*place);
	*place = mem_strdup(json_text(&arena, v).p);
	arena_finish(&arena);
}

static inline void stage_forget(char **place)
{
	mem_free(*place);
	*place = NULL;
}

/* A whole operation, over as many lives as it needs. Keeps what the broker would. */
static inline void stage_run(struct stage *s, enum store_verb verb)
{
	bool of_instance = verb < STORE_BIND;

	snprintf(s->id, sizeof(s->id), "op-%d", ++s->n_ops);
	s->step[0] = '\0';
	stage_forget(&s->memo);
	s->back = false;
	s->ended = false;
	s->commits = s->kills = 0;
	s->trace[0] = s->progress[0] = '\0';
	memset(&s->err, 0, sizeof(s->err));
	s->began = s->step_began = loop_now(&s->loop);
	if (verb == STORE_PROVISION)
		stage_forget(&s->instance_private);
	if (verb == STORE_BIND)
		stage_forget(&s->binding_private);
	if (verb == STORE_PROVISION || verb == STORE_UPDATE) { /* the tests change all of them */
		mem_free(s->instance_parameters);
		s->instance_parameters = mem_strdup(s->parameters ? s->parameters : "{}");
	}
	while (!s->ended)
		stage_life(s, verb);
	if (s->failed)
		return;
	stage_keep(of_instance ? &s->instance_private : &s->binding_private,
		   json_get(s->results, "private"));
	if (verb == STORE_BIND)
		stage_keep(&s->credentials,
			   json_get(json_get(s->results, "response"), "credentials"));
	if (verb == STORE_UNBIND) {
		stage_forget(&s->credentials);
		stage_forget(&s->binding_private);
	}
	if (verb == STORE_DEPROVISION)
		stage_forget(&s->instance_private);
}

/* Opens a backend with `config:` of its service as YAML. test_time: timers take no time. */
static inline int stage_open(struct stage *s, const struct backend_type *type, const char *yaml,
			     bool test_time)
{
	struct json *config;
	struct err err;

	memset(s, 0, sizeof(*s));
	assert_int_equal(test_time ? loop_init_test(&s->loop, 0) : loop_init(&s->loop), 0);
	s->loop.uv.data = s;
	s->type = type;
	s->instance_id = "instance-1";
	s->binding_id = "binding-1";
	if (yaml_parse(&s->arena, str_of(yaml), NULL, &config, &err))
		fail_msg("%s", err.text);
	s->service.path = STR("services[0]");
	s->service.name = STR("test");
	s->service.config = config;
	s->offering.config = &s->service;
	s->offering.bindable = true;
	s->env.loop = &s->loop;
	s->env.config = &s->config;
	s->env.children = &s->children;
	return type->open(&s->env, &s->offering, &s->arena, &s->backend, &s->errors);
}

static inline void stage_close(struct stage *s)
{
	if (s->backend && s->type->close)
		s->type->close(s->backend);
	stage_forget(&s->memo);
	stage_forget(&s->instance_parameters);
	stage_forget(&s->instance_private);
	stage_forget(&s->binding_private);
	stage_forget(&s->credentials);
	conf_errors_finish(&s->errors);
	arena_finish(&s->arena);
	assert_int_equal(loop_finish(&s->loop), 0);
}

/* What osb_set_* left, by its key: "response", "private", "dashboard_url"… */
static inline const char *stage_result(struct stage *s, const char *key)
{
	const struct json *v = json_get(s->results, key);

	return v ? json_text(&s->arena, v).p : "";
}

#endif
