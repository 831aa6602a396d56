/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_test.h"

#include "backends/bundle_op.h"
#include "core/digest.h"

static const char *const test_actions[] = { "provision", "test", "deprovision" };

static int test_run(struct bundle_test *test, struct err *err);

/* Takes what the action left; the first failure is the one that is told. */
static void test_take(struct bundle_test *test, const char *action, const char *dir)
{
	struct bundle_op *bundle = test->op;
	struct arena *arena = &bundle->osb.job.op.arena;
	struct json *fields = NULL, *private = json_object(arena);
	struct err err;

	if (strcmp(action, "provision") == 0 && bundle_run_fields(arena, dir, &fields, &err) == 0 &&
	    fields) {
		json_set(arena, private, "provision_credentials", fields);
		bundle->osb.instance_private = private;
	}
	if (test->exit_code != 0 || strcmp(action, "deprovision") == 0)
		return;
	test->action = action;
	test->exit_code = bundle->child.exit_code;
	test->message = bundle_run_text(&test->arena, dir, "message");
	if (!test->message.n && test->exit_code != 0)
		test->message = str_trim(str_of(arena_strdup(&test->arena, bundle->child.err)));
}

static void test_ended(struct call *call, int status)
{
	struct bundle_test *test = call->data;
	struct bundle_op *bundle = test->op;
	const char *action = test_actions[test->next - 1];
	const char *dir = bundle_dir(&bundle->osb, action);

	if (status == 0)
		test_take(test, action, dir);
	bundle_run_remove(dir);
	if (status == 0 && test->exit_code != 0) /* what there is must go all the same */
		test->next = test->next < ARRAY_LEN(test_actions) ? ARRAY_LEN(test_actions) - 1
								  : ARRAY_LEN(test_actions);
	if (status == 0 && test->next < ARRAY_LEN(test_actions))
		status = test_run(test, NULL);
	if (status == 0 && bundle->child.call.active)
		return;
	op_finish(&bundle->osb.job.op);
	mem_free(bundle);
	call_end(&test->call, status);
}

static int test_run(struct bundle_test *test, struct err *err)
{
	struct bundle_op *bundle = test->op;
	struct osb_op *op = &bundle->osb;
	const struct bundle_config *config = bundle_config_of(op);
	const char *action = test_actions[test->next++];
	struct bundle_env env = { .arena = &op->job.op.arena };
	struct bundle_run_options options;

	op->verb = strcmp(action, "deprovision") == 0 ? STORE_DEPROVISION : STORE_PROVISION;
	options = (struct bundle_run_options){
		.program = config->program,
		.action = action,
		.dir = bundle_dir(op, action),
		.vars = bundle_variables(op),
		.vars_in_file = config->extra_vars == BUNDLE_VARS_FILE,
		.env = &env,
		.deadline = config->deadline,
		.max_memory = config->max_memory,
		.max_file = config->max_file,
	};
	bundle_environment(op, &env, action);
	memset(&bundle->child, 0, sizeof(bundle->child));
	bundle->child.call.done = test_ended;
	bundle->child.call.data = test;
	return bundle_run_start(&bundle->child, op->backend->env->children, &op->job.op.arena,
				&options, err);
}

int bundle_test_start(struct bundle_test *test, struct backend *backend, const struct plan *plan,
		      struct err *err)
{
	struct bundle_op *bundle = mem_zalloc(sizeof(*bundle));
	struct osb_op *op = &bundle->osb;
	struct arena *arena = &op->job.op.arena;
	char id[21];
	int rc;

	random_id(id, sizeof(id) - 1);
	op_init(&op->job.op);
	op->backend = backend;
	op->offering = plan->offering;
	op->plan = op->plan_before = plan;
	op->id = op->instance_id = str_of(arena_strdup(arena, id));
	op->parameters = op->instance_parameters = op->context = op->identity =
		op->instance_private = op->bind_resource = json_object(arena);
	test->op = bundle;
	test->next = 0;
	test->exit_code = 0;
	rc = test_run(test, err);
	if (rc < 0) {
		op_finish(&op->job.op);
		mem_free(bundle);
		return rc;
	}
	call_begin(&test->call, NULL);
	return 0;
}
