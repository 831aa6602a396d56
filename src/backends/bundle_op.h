/* backends/bundle_op: what every action of a bundle starts from. For the bundle backend only. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_OP_H
#define OSBD_BACKENDS_BUNDLE_OP_H

#include "backends/bundle_config.h"
#include "backends/bundle_run.h"
#include "backends/bundle_vars.h"

struct bundle {
	struct backend base; /* first */
	struct bundle_config config;
};

struct bundle_op {
	struct osb_op osb; /* first */
	struct child child;
	struct call pause; /* instead of the child, while an earlier run still ends */
	bool pausing;
	struct timer timer; /* of the pause, or the next look at last_operation */
};

const struct bundle_config *bundle_config_of(const struct osb_op *op);
/* The verb whose action runs: on the way back the opposite one. */
enum store_verb bundle_verb_now(const struct osb_op *op);
/* The run's directory, absolute, in the operation's arena. */
const char *bundle_dir(struct osb_op *op, const char *action);
/* What provision left, wherever it is now; NULL: nothing. */
const struct json *bundle_provision_credentials(const struct osb_op *op);
/* The JSON of --extra-vars, in the operation's arena. */
struct str bundle_variables(struct osb_op *op);
void bundle_environment(struct osb_op *op, struct bundle_env *env, const char *action);

#endif
