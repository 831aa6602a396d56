/* An operation with a delay goes like this; one without skips `watch`:
 *
 *   prepare   makes up user name and password: they are in the memo before anything uses them
 *   start     writes "creating" into the object's file
 *   watch     waits delay / steps, `steps` times; each look is committed, so a restart goes on
 *             where it was
 *   finish    writes "ready", and leaves the results
 *
 * `fail: {VERB: STEP}` fails that step instead of doing it; `always` and `first` mean the last
 * one, when there is something for the way back to remove. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/demo.h"

#include "backends/demo_config.h"
#include "core/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUICK_MS SEC(20) /* what is slower must be asked for asynchronously */

struct demo {
	struct backend base;  /* first */
	unsigned failed_once; /* bits by verb: `first` has had its failure */
};

struct demo_op {
	struct osb_op osb; /* first */
	struct call call;
	struct timer timer;
};

/* -- opening ------------------------------------------------------------------------------ */

/* A plan's keys over its service's; the values stay where they are, with their positions. */
static const struct json *overlay(struct arena *arena, const struct json *service,
				  const struct json *plan)
{
	struct json *both = json_object(arena);
	const struct json_member *m;

	json_each_member(m, service)
		if (!json_member(plan, m->key))
			json_add(arena, both, m->key, m->value);
	json_each_member(m, plan)
		json_add(arena, both, m->key, m->value);
	return both;
}

static int demo_open(const struct backend_env *env, struct offering *offering, struct arena *arena,
		     struct backend **out, struct conf_errors *errors)
{
	const struct config_service *config = offering->config;
	const char *path = arena_printf(arena, "%.*s.config", STR_ARG(config->path));
	struct demo *demo = arena_new(arena, struct demo);
	struct demo_plan *own = arena_new(arena, struct demo_plan);
	int rc = conf_decode(demo_rows, config->config, path, own, arena, errors);
	size_t i;

	if (rc < 0)
		return rc;
	if (!offering->name.n)
		offering->name = STR("demo");
	if (!offering->description.n)
		offering->description = STR("Makes nothing: for trying the API.");
	if (!offering->n_plans && !config->has_plans) {
		offering->plans = arena_new(arena, struct plan);
		offering->n_plans = 1;
		offering->plans->offering = offering;
		offering->plans->name = STR("default");
		offering->plans->free = true;
		offering->plans->bindable = offering->bindable;
		offering->plans->plan_updateable = offering->plan_updateable;
	}
	for (i = 0; i < offering->n_plans; i++) {
		struct plan *plan = &offering->plans[i];

		plan->data = own;
		if (!plan->description.n)
			plan->description = STR("Nothing, at no cost.");
		if (!plan->config || !plan->config->config)
			continue;
		plan->data = arena_new(arena, struct demo_plan);
		path = arena_printf(arena, "%.*s.config", STR_ARG(plan->config->path));
		if (conf_decode(demo_rows, overlay(arena, config->config, plan->config->config),
				path, plan->data, arena, errors))
			rc = ERR_INVALID;
	}
	demo->base.type = &backend_demo;
	demo->base.env = env;
	*out = &demo->base;
	return rc;
}

/* -- what an operation is about ----------------------------------------------------------- */

static const struct demo_plan *settings(const struct osb_op *op)
{
	return op->plan->data;
}

/* The verb whose steps run: on the way back the opposite one. */
static enum store_verb running(const struct osb_op *op)
{
	bool back = op->job.op.backwards;

	switch (op->verb) {
	case STORE_PROVISION:
		return back ? STORE_DEPROVISION : STORE_PROVISION;
	case STORE_BIND:
		return back ? STORE_UNBIND : STORE_BIND;
	case STORE_EXPIRE:
		return STORE_UNBIND;
	case STORE_UPDATE:
	case STORE_DEPROVISION:
	case STORE_UNBIND:
	case STORE_VERBS:
		break;
	}
	return op->verb;
}

static bool of_binding(const struct osb_op *op)
{
	return running(op) == STORE_BIND || running(op) == STORE_UNBIND;
}

static const char *hash_name(struct osb_op *op, bool binding)
{
	struct arena *arena = &op->job.op.arena;
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	struct buf ids = { 0 };

	buf_put_str(&ids, op->instance_id);
	if (binding) {
		buf_putc(&ids, '\0');
		buf_put_str(&ids, op->binding_id);
	}
	digest_sha256(ids.p, ids.n, digest);
	buf_finish(&ids);
	hex_encode(digest, sizeof(digest), hex);
	return arena_strdup(arena, hex);
}

/* -- the outside world -------------------------------------------------------------------- */

static enum op_verdict world_failed(struct osb_op *op, const char *path)
{
	int code = errno;

	return op_fail(&op->job.op, err_from_uv(-code), "%s: %s", path, strerror(code));
}

static const char *object_path(struct osb_op *op)
{
	return arena_printf(&op->job.op.arena, "%.*s/%s-%s", STR_ARG(settings(op)->directory),
			    of_binding(op) ? "binding" : "instance", hash_name(op, of_binding(op)));
}

/* One line, or one file's content; OP_NEXT when it is there. */
static enum op_verdict put(struct osb_op *op, const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	size_t n = strlen(text);

	if (fd < 0)
		return world_failed(op, path);
	if (write(fd, text, n) != (ssize_t)n) {
		enum op_verdict verdict = world_failed(op, path);

		close(fd);
		return verdict;
	}
	close(fd);
	return OP_NEXT;
}

static enum op_verdict put_state(struct osb_op *op, const char *state)
{
	const char *text =
		arena_printf(&op->job.op.arena, "%s %.*s\n", state, STR_ARG(op->plan->name));

	if (!settings(op)->directory.n)
		return OP_NEXT;
	return put(op, object_path(op), O_TRUNC, text);
}

static enum op_verdict put_line(struct osb_op *op, const char *what)
{
	struct arena *arena = &op->job.op.arena;
	struct str directory = settings(op)->directory;

	if (!directory.n)
		return OP_NEXT;
	if (mkdir(directory.p, 0700) < 0 && errno != EEXIST)
		return world_failed(op, directory.p);
	return put(op, arena_printf(arena, "%.*s/journal", STR_ARG(directory)), O_APPEND,
		   arena_printf(arena, "%s %.*s %s\n", store_verb_name(running(op)),
				STR_ARG(op->id), what));
}

/* -- failures ----------------------------------------------------------------------------- */

static bool is_last(const struct op_step *step)
{
	return !step[1].name;
}

static bool must_fail(struct osb_op *op)
{
	struct demo *demo = container_of(op->backend, struct demo, base);
	const struct demo_plan *plan = settings(op);
	enum store_verb verb = running(op);
	struct str at = plan->fail.at[verb];

	if (op->job.op.backwards)
		return plan->way_back == WAY_BACK_FAIL && is_last(op->job.op.step);
	if (str_is(at, op->job.op.step->name))
		return true;
	if (!is_last(op->job.op.step))
		return false;
	if (str_is(at, "first") && !(demo->failed_once & 1u << verb)) {
		demo->failed_once |= 1u << verb;
		return true;
	}
	return str_is(at, "always");
}

static enum op_verdict fail(struct osb_op *op)
{
	const struct demo_plan *plan = settings(op);
	unsigned flags = 0;

	if (plan->unusable)
		flags |= STORE_UNUSABLE;
	if (plan->not_repeatable)
		flags |= STORE_NOT_REPEATABLE;
	return osb_fail(op, (int)plan->fail_http, plan->fail_code.p, flags, "%.*s",
			STR_ARG(plan->fail_text));
}

/* -- templates ---------------------------------------------------------------------------- */

/* "${name}" becomes the member of that name of vars; all else stays. */
static struct str expand(struct arena *arena, struct str text, const struct json *vars)
{
	struct buf out = { 0 };
	struct str done;
	size_t i = 0;

	while (i < text.n) {
		const char *end = memchr(text.p + i, '}', text.n - i);

		if (end && text.p[i] == '$' && i + 1 < text.n && text.p[i + 1] == '{') {
			struct str name = str_make(text.p + i + 2, (size_t)(end - text.p) - i - 2);
			const struct json *var = json_get_str(vars, name);

			if (var) {
				buf_put_str(&out, json_str(var));
				i += name.n + 3;
				continue;
			}
		}
		buf_putc(&out, text.p[i++]);
	}
	done = arena_str(arena, buf_str(&out));
	buf_wipe(&out);
	return done;
}

static struct json *expand_all(struct arena *arena, const struct json *v, const struct json *vars)
{
	const struct json_member *m;
	const struct json *item;
	struct json *out;
	size_t i;

	switch (json_type(v)) {
	case JSON_STRING:
		return json_string(arena, expand(arena, json_str(v), vars));
	case JSON_ARRAY:
		out = json_array(arena);
		json_each_item(i, item, v)
			json_append(arena, out, expand_all(arena, item, vars));
		return out;
	case JSON_OBJECT:
		out = json_object(arena);
		json_each_member(m, v)
			json_add(arena, out, m->key, expand_all(arena, m->value, vars));
		return out;
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
		break;
	}
	return json_copy(arena, v);
}

static struct json *variables(struct osb_op *op)
{
	struct arena *arena = &op->job.op.arena;
	struct json *vars = json_object(arena);

	json_set(arena, vars, "username", json_get(op->job.op.memo, "username"));
	json_set(arena, vars, "password", json_get(op->job.op.memo, "password"));
	json_set_cstr(arena, vars, "instance", hash_name(op, false));
	if (of_binding(op))
		json_set_cstr(arena, vars, "binding", hash_name(op, true));
	json_set_str(arena, vars, "plan", op->plan->name);
	return vars;
}

/* -- steps -------------------------------------------------------------------------------- */

static enum op_verdict prepare(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);
	const struct demo_plan *plan = settings(op);
	char username[17], password[33];

	if (must_fail(op))
		return fail(op);
	if (running(op) == STORE_BIND) {
		random_id(username, sizeof(username) - 1);
		random_id(password, sizeof(password) - 1);
		json_set_cstr(&flow->arena, flow->memo, "username", username);
		json_set_cstr(&flow->arena, flow->memo, "password", password);
		mem_wipe(password, sizeof(password));
	} else if (plan->dashboard_url.n) {
		osb_set_dashboard_url(op, expand(&flow->arena, plan->dashboard_url, variables(op)));
	}
	return OP_NEXT;
}

static enum op_verdict start(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);

	if (put_line(op, "start") == OP_FAIL)
		return OP_FAIL;
	if (put_state(op, running(op) == STORE_UPDATE ? "updating" : "creating") == OP_FAIL)
		return OP_FAIL;
	return must_fail(op) ? fail(op) : OP_NEXT;
}

/* What does not exist is not there to be marked. */
static enum op_verdict stop(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);

	if (put_line(op, "start") == OP_FAIL)
		return OP_FAIL;
	if (settings(op)->directory.n && access(object_path(op), F_OK) == 0 &&
	    put_state(op, "deleting") == OP_FAIL)
		return OP_FAIL;
	return must_fail(op) ? fail(op) : OP_NEXT;
}

static void on_timer(struct timer *timer)
{
	call_end(&container_of(timer, struct demo_op, timer)->call, 0);
}

static void cancel_watch(struct call *call)
{
	struct demo_op *demo = container_of(call, struct demo_op, call);

	timer_stop(&demo->timer);
	call_end_soon(demo->osb.job.op.loop, call, ERR_CANCELED);
}

/* Under it the memo counts the looks; the way back has its own. */
static const char *looks_key(const struct osb_op *op)
{
	return store_verb_name(running(op));
}

static enum op_verdict watch(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);
	struct demo_op *demo = container_of(op, struct demo_op, osb);
	const struct demo_plan *plan = settings(op);
	uint64_t ms = plan->delay.ms[running(op)];
	int64_t looks = 0;

	if (must_fail(op))
		return fail(op);
	if (!ms)
		return OP_NEXT;
	(void)json_to_int(json_get(flow->memo, looks_key(op)), &looks);
	snprintf(flow->progress, sizeof(flow->progress), "%s: look %d of %d",
		 store_verb_name(running(op)), (int)looks + 1, (int)plan->steps);
	op_call(flow, &demo->call);
	call_begin(&demo->call, cancel_watch);
	timer_start(&demo->timer, flow->loop, ms / (uint64_t)plan->steps, on_timer);
	return OP_WAIT;
}

static enum op_verdict watched(struct op *flow, int status)
{
	struct osb_op *op = osb_op_of(flow);
	int64_t looks = 0;

	if (status < 0)
		return OP_AGAIN; /* halted, too late, or drained: the operation knows what is next */
	(void)json_to_int(json_get(flow->memo, looks_key(op)), &looks);
	looks++;
	json_set_int(&flow->arena, flow->memo, looks_key(op), looks);
	return looks < settings(op)->steps ? OP_AGAIN : OP_NEXT;
}

static void set_binding(struct osb_op *op)
{
	static const char uri[] = "demo://${username}:${password}@127.0.0.1/${instance}";
	const struct demo_plan *plan = settings(op);
	struct arena *arena = &op->job.op.arena;
	struct json *vars = variables(op), *credentials;

	if (plan->credentials) {
		credentials = expand_all(arena, plan->credentials, vars);
	} else {
		credentials = json_object(arena);
		json_set_str(arena, credentials, "uri", expand(arena, str_of(uri), vars));
		json_set(arena, credentials, "username", json_get(vars, "username"));
		json_set(arena, credentials, "password", json_get(vars, "password"));
	}
	osb_set_credentials(op, credentials);
	if (plan->syslog_drain_url.n)
		osb_set_bind_field(op, "syslog_drain_url",
				   json_string(arena, plan->syslog_drain_url));
	if (plan->route_service_url.n)
		osb_set_bind_field(op, "route_service_url",
				   json_string(arena, plan->route_service_url));
	if (plan->volume_mounts)
		osb_set_bind_field(op, "volume_mounts", plan->volume_mounts);
	if (plan->endpoints)
		osb_set_bind_field(op, "endpoints", plan->endpoints);
}

static enum op_verdict finish(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);
	const struct demo_plan *plan = settings(op);

	if (must_fail(op))
		return fail(op);
	if (put_state(op, "ready") == OP_FAIL || put_line(op, "end") == OP_FAIL)
		return OP_FAIL;
	if (running(op) == STORE_BIND)
		set_binding(op);
	else if (plan->metadata)
		osb_set_metadata(op, plan->metadata);
	if (plan->private)
		osb_set_private(op, plan->private);
	return OP_NEXT;
}

static enum op_verdict take_away(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);

	if (must_fail(op))
		return fail(op);
	if (settings(op)->directory.n && unlink(object_path(op)) < 0 && errno != ENOENT)
		return world_failed(op, object_path(op));
	return put_line(op, "end");
}

static const struct op_step make_steps[] = {
	{ "prepare", prepare, NULL, 0, 0 },
	{ "start", start, NULL, 0, 0 },
	{ "watch", watch, watched, 0, 0 },
	{ "finish", finish, NULL, 0, 0 },
	{ 0 },
};

static const struct op_step unmake_steps[] = {
	{ "stop", stop, NULL, 0, 0 },
	{ "watch", watch, watched, 0, 0 },
	{ "remove", take_away, NULL, 0, 0 },
	{ 0 },
};

static const struct op_step pure_make_steps[] = {
	{ "prepare", prepare, NULL, 0, 0 },
	{ "finish", finish, NULL, 0, 0 },
	{ 0 },
};

static const struct op_step pure_unmake_steps[] = {
	{ "remove", take_away, NULL, 0, 0 },
	{ 0 },
};

/* -- the type ----------------------------------------------------------------------------- */

/* The kinds that a verb can be: it makes or unmakes, it is pure, quick or slow, a create may have
 * an answer of its own, and one that runs may be halted or not. */
#define KIND(steps_, ...)                                                      \
	{                                                                      \
		.steps = (steps_), .size = sizeof(struct demo_op), __VA_ARGS__ \
	}

static const struct backend_verb *demo_verb(struct backend *backend, const struct plan *plan,
					    enum store_verb verb)
{
	static const struct backend_verb pure_make =
		KIND(pure_make_steps, .pure = true, .quick = true);
	static const struct backend_verb make[2][2][2] = {
		/* quick; answers; no_halt */
		{ { KIND(make_steps, .quick = false), KIND(make_steps, .no_halt = true) },
		  { KIND(make_steps, .answer = "prepare"),
		    KIND(make_steps, .answer = "prepare", .no_halt = true) } },
		{ { KIND(make_steps, .quick = true),
		    KIND(make_steps, .quick = true, .no_halt = true) },
		  { KIND(make_steps, .quick = true, .answer = "prepare"),
		    KIND(make_steps, .quick = true, .answer = "prepare", .no_halt = true) } },
	};
	static const struct backend_verb pure_unmake =
		KIND(pure_unmake_steps, .pure = true, .quick = true);
	static const struct backend_verb unmake[2] = {
		/* quick */
		KIND(unmake_steps, .quick = false),
		KIND(unmake_steps, .quick = true),
	};
	const struct demo_plan *own = plan->data;
	enum store_verb steps_of = verb == STORE_EXPIRE ? STORE_UNBIND : verb;
	bool quick = own->delay.ms[steps_of] <= QUICK_MS;
	bool pure = !own->delay.ms[steps_of] && !own->directory.n &&
		    str_is(own->fail.at[steps_of], "never");
	bool answers = own->dashboard_url.n && steps_of != STORE_BIND;

	(void)backend;
	if (steps_of == STORE_DEPROVISION || steps_of == STORE_UNBIND)
		return pure ? &pure_unmake : &unmake[quick];
	return pure ? &pure_make : &make[quick][answers][!own->halt];
}

#define VERB(steps_)                                                           \
	{                                                                      \
		.steps = steps_, .size = sizeof(struct demo_op), .quick = true \
	}

const struct backend_type backend_demo = {
	.name = "demo",
	.doc = "makes nothing, slowly, and fails when it is told to: for tests and for trying the API",
	.max_running = 100,
	.service_rows = demo_rows,
	.plan_rows = demo_rows,
	.open = demo_open,
	.verb = {
		[STORE_PROVISION] = VERB(make_steps),
		[STORE_UPDATE] = VERB(make_steps),
		[STORE_DEPROVISION] = VERB(unmake_steps),
		[STORE_BIND] = VERB(make_steps),
		[STORE_UNBIND] = VERB(unmake_steps),
		[STORE_EXPIRE] = VERB(unmake_steps),
	},
	.verb_of = demo_verb,
};
