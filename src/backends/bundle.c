/* prepare  the intent: which action, since when. Ids that cannot stand in an argument are refused
 *          here, before anything has happened.
 *   |
 * run      the process. After a restart: what has ended is taken from its directory; what still
 *   |      ends is waited for; what was cut off half way is run again in a clean directory. When
 *   |      it ends its results go into the memo.
 * collect  the results become the operation's, or its failure; the directory goes.
 *
 * The memo: {run: {action, exit | signal, fields, message, dashboard_url, broken}, forth}.
 * `forth` is the `run` of the way forth, once the operation goes back. A way back without it has
 * nothing to undo. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle.h"

#include "backends/bundle_op.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ARGV_ID_MAX 128   /* bytes of an id that may stand in an argument */
#define LOOK_EVERY SEC(1) /* at last_operation */
#define CUT_MAX 3         /* times that a run may be cut off while osbd is there */
#define NO_ACTION 8       /* exit code */

static struct bundle_op *bundle_op_of(struct op *flow)
{
	return container_of(osb_op_of(flow), struct bundle_op, osb);
}

static struct json *run_of(struct osb_op *op)
{
	return json_get(op->job.op.memo, "run");
}

static void clean_up(struct osb_op *op, const char *dir, bool failed)
{
	int keep = bundle_config_of(op)->keep;

	if (keep < 0)
		keep = (int)op->backend->env->config->children.keep;
	if (keep == CONFIG_KEEP_ALWAYS || (keep == CONFIG_KEEP_FAILED && failed))
		return;
	if (bundle_run_remove(dir) < 0)
		log_warn(&op->job.op.log, "%s: cannot be removed", dir);
}

/* -- waiting for an earlier run to end -------------------------------------------------------- */

static void pause_over(struct timer *timer)
{
	call_end(&container_of(timer, struct bundle_op, timer)->pause, 0);
}

static void pause_canceled(struct call *call)
{
	struct bundle_op *bundle = container_of(call, struct bundle_op, pause);

	timer_stop(&bundle->timer);
	call_end_soon(bundle->osb.job.op.loop, call, ERR_CANCELED);
}

static enum op_verdict wait_for_it(struct op *flow)
{
	struct bundle_op *bundle = bundle_op_of(flow);

	bundle->pausing = true;
	op_call(flow, &bundle->pause);
	call_begin(&bundle->pause, pause_canceled);
	timer_start(&bundle->timer, flow->loop, SEC(1), pause_over);
	return OP_WAIT;
}

static enum op_verdict has_waited(struct op *flow, int status)
{
	(void)flow;
	(void)status; /* canceled or over */
	return OP_AGAIN;
}

/* -- prepare -------------------------------------------------------------------------------- */

static bool fits_argv(struct str id)
{
	return id.n && id.n <= ARGV_ID_MAX && str_is_unreserved(id);
}

static int check_ids(const struct bundle_config *config, struct str instance_id,
		     struct str binding_id, struct err *err)
{
	const char *which = "instance";

	if (config->extra_vars != BUNDLE_VARS_ARGV)
		return 0;
	if (fits_argv(instance_id)) {
		if (!binding_id.n || fits_argv(binding_id))
			return 0;
		which = "binding";
	}
	return err_set(err, ERR_INVALID, "the %s's id must be 1 to %d of A-Z a-z 0-9 . _ ~ -",
		       which, ARGV_ID_MAX);
}

static enum op_verdict begin(struct osb_op *op)
{
	struct arena *arena = &op->job.op.arena;
	struct json *run = json_object(arena);

	json_set_cstr(arena, run, "action", store_verb_name(bundle_verb_now(op)));
	json_set(arena, op->job.op.memo, "run", run);
	return OP_NEXT;
}

/* Going back begins: what came of the way forth is put aside. */
static enum op_verdict turn(struct osb_op *op)
{
	struct op *flow = &op->job.op;
	struct json *run = run_of(op);
	const char *action = json_str(json_get(run, "action")).p;
	int exit_code, signal;

	if (!run || json_get(run, "never_began")) {
		json_remove(flow->memo, "run");
		return OP_NEXT;
	}
	if (!str_is(str_of(action), store_verb_name(bundle_verb_now(op)))) {
		if (bundle_run_ended(bundle_dir(op, action), &exit_code, &signal) == ERR_BUSY)
			return wait_for_it(flow);
		clean_up(op, bundle_dir(op, action), true);
		json_set(&flow->arena, flow->memo, "forth", run);
	}
	return begin(op);
}

static enum op_verdict prepare(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);
	struct err err;

	if (flow->backwards)
		return turn(op);
	if (check_ids(bundle_config_of(op), op->instance_id, op->binding_id, &err) < 0)
		return osb_fail(op, 400, "BadId", 0, "%s", err.text);
	return begin(op);
}

/* -- run ------------------------------------------------------------------------------------ */

static void look(struct timer *timer)
{
	struct bundle_op *bundle = container_of(timer, struct bundle_op, timer);
	struct osb_op *op = &bundle->osb;
	const char *action = json_str(json_get(run_of(op), "action")).p;
	struct arena scratch = { 0 };
	struct str text = bundle_run_text(&scratch, bundle_dir(op, action), "last_operation");

	if (text.n)
		snprintf(op->job.op.progress, sizeof(op->job.op.progress), "%.*s", STR_ARG(text));
	arena_finish(&scratch);
	timer_start(timer, op->job.op.loop, LOOK_EVERY, look);
}

/* What the ended run left goes into the memo, and with it into the journal. */
static void record(struct osb_op *op, const char *dir, int exit_code, int signal)
{
	struct arena *arena = &op->job.op.arena;
	struct json *run = run_of(op), *fields;
	struct str message = bundle_run_text(arena, dir, "message");
	struct str url = bundle_run_text(arena, dir, "dashboard_url");
	struct err err;

	if (exit_code >= 0)
		json_set_int(arena, run, "exit", exit_code);
	else
		json_set_int(arena, run, "signal", signal);
	if (bundle_run_fields(arena, dir, &fields, &err) < 0)
		json_set_cstr(arena, run, "broken", err.text);
	json_set(arena, run, "fields", fields);
	if (message.n)
		json_set_str(arena, run, "message", message);
	if (url.n)
		json_set_str(arena, run, "dashboard_url", url);
}

static enum op_verdict never_began(struct osb_op *op, int http, const char *why)
{
	json_set_bool(&op->job.op.arena, run_of(op), "never_began", true);
	return osb_fail(op, http, NULL, 0, "%s", why);
}

static enum op_verdict start(struct osb_op *op, const char *action, uint64_t left)
{
	struct op *flow = &op->job.op;
	struct bundle_op *bundle = bundle_op_of(flow);
	const struct bundle_config *config = bundle_config_of(op);
	struct bundle_env env = { .arena = &flow->arena };
	struct bundle_run_options options = {
		.program = config->program,
		.action = action,
		.dir = bundle_dir(op, action),
		.vars = bundle_variables(op),
		.vars_in_file = config->extra_vars == BUNDLE_VARS_FILE,
		.env = &env,
		.deadline = left,
		.max_memory = config->max_memory,
		.max_file = config->max_file,
	};
	struct err err;

	bundle_environment(op, &env, action);
	op_call(flow, &bundle->child.call);
	if (bundle_run_start(&bundle->child, op->backend->env->children, &flow->arena, &options,
			     &err) < 0) {
		log_error(&flow->log, "%s: %s", action, err.text);
		return never_began(op, 500, "the bundle cannot be started");
	}
	bundle->pausing = false;
	timer_start(&bundle->timer, flow->loop, LOOK_EVERY, look);
	return OP_WAIT;
}

static enum op_verdict too_late(struct osb_op *op)
{
	uint64_t within = bundle_config_of(op)->deadline;

	return osb_fail(op, 500, NULL, 0, "the bundle's %s did not end within %" PRIu64 " s",
			store_verb_name(bundle_verb_now(op)), within / 1000);
}

static enum op_verdict run(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);
	const char *action = json_str(json_get(run_of(op), "action")).p;
	uint64_t passed = op_step_elapsed(flow), deadline = bundle_config_of(op)->deadline;
	int exit_code = -1, signal = 0, rc;

	if (!action)
		return OP_NEXT; /* nothing to undo */
	if (json_get(run_of(op), "exit") || json_get(run_of(op), "signal"))
		return OP_NEXT;
	rc = bundle_run_ended(bundle_dir(op, action), &exit_code, &signal);
	if (rc == 0) {
		record(op, bundle_dir(op, action), exit_code, signal);
		return OP_NEXT;
	}
	if (rc == ERR_BUSY)
		return wait_for_it(flow);
	if (passed >= deadline) {
		clean_up(op, bundle_dir(op, action), true);
		return too_late(op);
	}
	return start(op, action, deadline - passed);
}

/* Cut off while osbd is there: somebody killed the supervisor, or osbd was stopped for long. */
static enum op_verdict cut_off(struct osb_op *op, const char *why)
{
	struct json *run = run_of(op);
	int64_t times = 0;

	(void)json_to_int(json_get(run, "cut"), &times);
	log_warn(&op->job.op.log, "cut off: %s", why);
	if (++times >= CUT_MAX)
		return osb_fail(op, 500, NULL, 0, "the bundle's %s was cut off %d times",
				store_verb_name(bundle_verb_now(op)), CUT_MAX);
	json_set_int(&op->job.op.arena, run, "cut", times);
	return OP_AGAIN;
}

static enum op_verdict has_run(struct op *flow, int status)
{
	struct bundle_op *bundle = bundle_op_of(flow);
	struct osb_op *op = &bundle->osb;
	const struct child *child = &bundle->child;
	const char *dir = bundle_dir(op, store_verb_name(bundle_verb_now(op)));

	timer_stop(&bundle->timer);
	if (bundle->pausing)
		return has_waited(flow, status);
	if (child->err[0])
		log_debug(&flow->log, "%s: %s", store_verb_name(bundle_verb_now(op)), child->err);
	switch (status) {
	case 0:
	case ERR_IO:
		record(op, dir, child->exit_code, child->signal);
		return OP_NEXT;
	case ERR_FULL:
	case ERR_BUSY:
		log_warn(&flow->log, "not started yet: %s", child->err);
		return OP_AGAIN;
	case ERR_CLOSED:
		return cut_off(op, child->err);
	case ERR_TIMEDOUT:
		clean_up(op, dir, true);
		return too_late(op);
	case ERR_TOOBIG:
		clean_up(op, dir, true);
		return never_began(op, 400, "the parameters are too large for a command line");
	case ERR_CANCELED: /* halted, too late, or drained: the operation knows what is next */
		clean_up(op, dir, true);
		return OP_AGAIN;
	default:
		log_error(&flow->log, "%s", child->err);
		clean_up(op, dir, true);
		return never_began(op, 500, "the bundle cannot be started");
	}
}

/* -- collect -------------------------------------------------------------------------------- */

static bool is_url(struct str url)
{
	return url.n <= 2048 && !memchr(url.p, ' ', url.n) &&
	       (str_starts(url, STR("http://")) || str_starts(url, STR("https://")));
}

static void set_instance(struct osb_op *op, const struct json *run)
{
	struct arena *arena = &op->job.op.arena;
	const struct json *before = json_get(op->instance_private, "provision_credentials");
	const struct json *fields = json_get(run, "fields");
	struct json *private = json_object(arena);
	struct str url = json_str(json_get(run, "dashboard_url"));

	if (!fields && op->verb == STORE_UPDATE)
		fields = before;
	json_set(arena, private, "provision_credentials", json_copy(arena, fields));
	json_set_str(arena, private, "user", bundle_vars_user(op));
	osb_set_private(op, private);
	if (url.n && is_url(url))
		osb_set_dashboard_url(op, url);
	else if (url.n)
		log_warn(&op->job.op.log, "dashboard_url is no http or https URL: ignored");
}

static void set_binding(struct osb_op *op, const struct json *fields)
{
	if (!fields)
		fields = bundle_provision_credentials(op);
	if (fields)
		osb_set_credentials(op, fields);
}

static void succeed(struct osb_op *op, const struct json *run)
{
	struct str message = json_str(json_get(run, "message"));

	if (op->job.op.backwards)
		return;
	if (message.n)
		osb_set_description(op, message);
	if (op->verb == STORE_PROVISION || op->verb == STORE_UPDATE)
		set_instance(op, run);
	else if (op->verb == STORE_BIND)
		set_binding(op, json_get(run, "fields"));
}

static enum op_verdict fail(struct osb_op *op, const struct json *run, int64_t exit_code)
{
	const char *action = store_verb_name(bundle_verb_now(op));
	struct str message = json_str(json_get(run, "message"));
	struct str broken = json_str(json_get(run, "broken"));
	int64_t signal = 0;

	if (message.n)
		return osb_fail(op, 500, NULL, 0, "%.*s", STR_ARG(message));
	if (json_to_int(json_get(run, "signal"), &signal))
		return osb_fail(op, 500, NULL, 0, "the bundle's %s was killed by signal %d", action,
				(int)signal);
	if (exit_code == NO_ACTION)
		return osb_fail(op, 500, NULL, 0, "the bundle has no action \"%s\"", action);
	if (exit_code == 0)
		return osb_fail(op, 500, NULL, 0, "the bundle's %s ended well, but %.*s", action,
				STR_ARG(broken));
	return osb_fail(op, 500, NULL, 0, "the bundle's %s ended with exit code %d", action,
			(int)exit_code);
}

static enum op_verdict collect(struct op *flow)
{
	struct osb_op *op = osb_op_of(flow);
	const struct json *run = run_of(op);
	enum store_verb verb = bundle_verb_now(op);
	int64_t exit_code = -1;
	bool ok;

	if (!run)
		return OP_NEXT; /* nothing to undo */
	(void)json_to_int(json_get(run, "exit"), &exit_code);
	ok = exit_code == 0 && !json_get(run, "broken");
	if (exit_code == NO_ACTION && (verb == STORE_BIND || verb == STORE_UNBIND))
		ok = true;
	if (exit_code == NO_ACTION && verb == STORE_PROVISION)
		json_set_bool(&flow->arena, run_of(op), "never_began", true);
	clean_up(op, bundle_dir(op, store_verb_name(verb)), !ok);
	if (!ok)
		return fail(op, run, exit_code);
	succeed(op, run);
	return OP_NEXT;
}

/* A binding that runs nothing. */
static enum op_verdict hand_out(struct op *flow)
{
	set_binding(osb_op_of(flow), NULL);
	return OP_NEXT;
}

static enum op_verdict nothing(struct op *flow)
{
	(void)flow;
	return OP_NEXT;
}

/* -- the type -------------------------------------------------------------------------------- */

static const struct op_step run_steps[] = {
	{ "prepare", prepare, has_waited, 0, SEC(1) },
	{ "run", run, has_run, 0, SEC(1) },
	{ "collect", collect, NULL, 0, 0 },
	{ 0 },
};

static const struct op_step hand_out_steps[] = { { "hand_out", hand_out, NULL, 0, 0 }, { 0 } };
static const struct op_step nothing_steps[] = { { "nothing", nothing, NULL, 0, 0 }, { 0 } };

/* -- the backend ------------------------------------------------------------------------------ */

static const struct backend_verb *bundle_verb(struct backend *backend, const struct plan *plan,
					      enum store_verb verb)
{
	static const struct backend_verb runs = { .steps = run_steps,
						  .size = sizeof(struct bundle_op),
						  .quick = true };
	static const struct backend_verb hands_out = { .steps = hand_out_steps,
						       .size = sizeof(struct bundle_op),
						       .pure = true,
						       .quick = true };
	static const struct backend_verb does_nothing = { .steps = nothing_steps,
							  .size = sizeof(struct bundle_op),
							  .pure = true,
							  .quick = true };
	const struct bundle *bundle = container_of(backend, struct bundle, base);

	(void)plan;
	if (bundle->config.bind == BUNDLE_BIND_CREDENTIALS && verb == STORE_BIND)
		return &hands_out;
	if (bundle->config.bind == BUNDLE_BIND_CREDENTIALS && verb == STORE_UNBIND)
		return &does_nothing;
	return &runs;
}

static int bundle_check(struct backend *backend, const struct backend_request *request,
			struct err *err)
{
	const struct bundle *bundle = container_of(backend, struct bundle, base);
	const struct bundle_plan *from = bundle_plan_of(request->before);
	size_t i;

	if (check_ids(&bundle->config, request->instance_id, request->binding_id, err) < 0)
		return err->code;
	if (request->verb != STORE_UPDATE || request->plan == request->before)
		return 0;
	for (i = 0; i < from->n_updates_to; i++)
		if (str_eq(from->updates_to[i], request->plan->name))
			return 0;
	return err_set(err, ERR_INVALID, "an instance of plan \"%.*s\" cannot become \"%.*s\"",
		       STR_ARG(request->before->name), STR_ARG(request->plan->name));
}

static int bundle_open(const struct backend_env *env, struct offering *offering,
		       struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	struct bundle *bundle = arena_new(arena, struct bundle);
	int rc = bundle_config_load(offering, arena, &bundle->config, errors);

	if (rc < 0)
		return rc;
	bundle->base.type = &backend_bundle;
	bundle->base.env = env;
	*out = &bundle->base;
	return 0;
}

#define VERB                                                                        \
	{                                                                           \
		.steps = run_steps, .size = sizeof(struct bundle_op), .quick = true \
	}

const struct backend_type backend_bundle = {
	.name = "bundle",
	.doc = "runs service bundles, whose actions are processes on this machine",
	.max_running = BACKEND_TWO_A_CORE,
	.service_rows = bundle_config_rows,
	.open = bundle_open,
	.check = bundle_check,
	.verb = {
		[STORE_PROVISION] = VERB,
		[STORE_UPDATE] = VERB,
		[STORE_DEPROVISION] = VERB,
		[STORE_BIND] = VERB,
		[STORE_UNBIND] = VERB,
		[STORE_EXPIRE] = VERB,
	},
	.verb_of = bundle_verb,
};
