/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/bundle_op.h"

const struct bundle_config *bundle_config_of(const struct osb_op *op)
{
	return &container_of(op->backend, struct bundle, base)->config;
}

enum store_verb bundle_verb_now(const struct osb_op *op)
{
	bool back = op->job.op.backwards;

	if (op->verb == STORE_PROVISION && back)
		return STORE_DEPROVISION;
	if ((op->verb == STORE_BIND && back) || op->verb == STORE_EXPIRE)
		return STORE_UNBIND;
	return op->verb;
}

const char *bundle_dir(struct osb_op *op, const char *action)
{
	return arena_printf(&op->job.op.arena, "%s/%.*s-%s", op->backend->env->run_dir,
			    STR_ARG(op->id), action);
}

/* What a resource holds for later actions; on the way back of its own create that is only in the
 * memo. */
const struct json *bundle_provision_credentials(const struct osb_op *op)
{
	const struct json *forth = json_get(op->job.op.memo, "forth");

	if (op->verb == STORE_PROVISION)
		return json_get(forth, "fields");
	return json_get(op->instance_private, "provision_credentials");
}

struct str bundle_variables(struct osb_op *op)
{
	const struct bundle_config *config = bundle_config_of(op);
	struct bundle_vars vars = {
		.verb = bundle_verb_now(op),
		.plan = bundle_plan_of(op->plan),
		.cluster = config->cluster,
		.namespace = config->namespace,
		.provision_credentials = bundle_provision_credentials(op),
		.bind_credentials = op->credentials,
		.instance_user = json_str(json_get(op->instance_private, "user")),
	};

	if (op->verb == STORE_BIND)
		vars.bind_credentials = json_get(json_get(op->job.op.memo, "forth"), "fields");
	return json_text(&op->job.op.arena, bundle_vars_json(op, &vars));
}

static void set_proxies(struct bundle_env *env, const struct config_proxy *proxy)
{
	if (!proxy->http.n && !proxy->https.n)
		return;
	bundle_env_set(env, "HTTP_PROXY", proxy->http);
	bundle_env_set(env, "HTTPS_PROXY", proxy->https);
	bundle_env_set(env, "NO_PROXY", proxy->no_proxy);
	bundle_env_set(env, "http_proxy", proxy->http);
	bundle_env_set(env, "https_proxy", proxy->https);
	bundle_env_set(env, "no_proxy", proxy->no_proxy);
}

void bundle_environment(struct osb_op *op, struct bundle_env *env, const char *action)
{
	const struct bundle_config *config = bundle_config_of(op);
	struct arena *arena = &op->job.op.arena;
	size_t i;

	bundle_env_set(env, "PATH",
		       STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	set_proxies(env, &op->backend->env->config->proxy);
	for (i = 0; i < config->n_env; i++)
		bundle_env_set(env, arena_str(arena, config->env[i].name).p,
			       secret_reveal(&config->env[i].value));
	bundle_env_set(env, "POD_NAME",
		       str_of(arena_printf(arena, "bundle-%.*s", STR_ARG(op->id))));
	bundle_env_set(env, "POD_NAMESPACE",
		       str_of(arena_printf(arena, "%.*s-%s", STR_ARG(op->id), action)));
}
