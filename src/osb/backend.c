/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/backend.h"

#include <stdarg.h>
#include <stdio.h>

#define OSB_MEMO "osb" /* our own member of the memo */

const struct backend_type *backend_find(const struct backend_type *const *types, struct str name)
{
	for (; *types; types++)
		if (str_is(name, (*types)->name))
			return *types;
	return NULL;
}

struct dns *backend_dns(const struct backend_env *env, struct err *err)
{
	struct backend_net *net = env->net;

	if (!net->dns && dns_create(net->loop, &(struct dns_config){ 0 }, &net->dns, err) < 0)
		net->dns = NULL;
	return net->dns;
}

struct tls_budget *backend_tls_budget(const struct backend_env *env)
{
	struct backend_net *net = env->net;

	if (!net->has_budget)
		tls_budget_init(&net->budget, net->loop, 0, 0, NULL);
	net->has_budget = true;
	return &net->budget;
}

void backend_net_close(struct backend_net *net)
{
	dns_destroy(net->dns);
	net->dns = NULL;
}

void backend_net_finish(struct backend_net *net)
{
	if (net->has_budget)
		tls_budget_finish(&net->budget);
	net->has_budget = false;
}

const struct backend_verb *backend_verb(struct backend *backend, const struct plan *plan,
					enum store_verb verb)
{
	if (verb == STORE_EXPIRE)
		verb = STORE_UNBIND;
	if (backend->type->verb_of)
		return backend->type->verb_of(backend, plan, verb);
	return &backend->type->verb[verb];
}

static struct json *results(struct osb_op *op)
{
	struct op *flow = &op->job.op;
	struct json *own = json_get(flow->memo, OSB_MEMO);

	if (!own) {
		own = json_object(&flow->arena);
		json_set(&flow->arena, flow->memo, OSB_MEMO, own);
	}
	return own;
}

const struct json *osb_results(struct osb_op *op)
{
	return json_get(op->job.op.memo, OSB_MEMO);
}

static void set_result(struct osb_op *op, const char *key, const struct json *value)
{
	json_set(&op->job.op.arena, results(op), key, json_copy(&op->job.op.arena, value));
}

void osb_set_dashboard_url(struct osb_op *op, struct str url)
{
	json_set_str(&op->job.op.arena, results(op), "dashboard_url", url);
}

void osb_set_metadata(struct osb_op *op, const struct json *metadata)
{
	set_result(op, "metadata", metadata);
}

/* Whether a platform would take the field from the service; else it would take the whole answer
 * for a failure, and leave the binding behind. */
static bool may_answer(const struct offering *offering, const char *key)
{
	static const struct {
		const char *key;
		unsigned needs;
	} fields[] = {
		{ "syslog_drain_url", CONFIG_SYSLOG_DRAIN },
		{ "route_service_url", CONFIG_ROUTE_FORWARDING },
		{ "volume_mounts", CONFIG_VOLUME_MOUNT },
	};
	unsigned wanted = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(key, fields[i].key) == 0)
			wanted = fields[i].needs;
	return (offering->requires & wanted) == wanted;
}

void osb_set_bind_field(struct osb_op *op, const char *key, const struct json *value)
{
	struct json *own = results(op), *response = json_get(own, "response");
	struct arena *arena = &op->job.op.arena;

	if (!may_answer(op->offering, key)) {
		log_warn(&op->job.op.log, "%s is left out: `requires` of service %.*s lacks it",
			 key, STR_ARG(op->offering->name));
		return;
	}
	if (!response) {
		response = json_object(arena);
		json_set(arena, own, "response", response);
	}
	json_set(arena, response, key, json_copy(arena, value));
}

void osb_set_credentials(struct osb_op *op, const struct json *credentials)
{
	osb_set_bind_field(op, "credentials", credentials);
}

void osb_set_private(struct osb_op *op, const struct json *object)
{
	set_result(op, "private", object);
}

void osb_set_description(struct osb_op *op, struct str text)
{
	struct op *flow = &op->job.op;

	json_set_str(&flow->arena, results(op), "description", text);
	snprintf(flow->progress, sizeof(flow->progress), "%.*s", STR_ARG(text));
}

enum op_verdict osb_fail(struct osb_op *op, int http, const char *code, unsigned flags,
			 const char *fmt, ...)
{
	struct op *flow = &op->job.op;
	struct arena *arena = &flow->arena;
	struct err err;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&err, ERR_INVALID, fmt, ap);
	va_end(ap);
	if (!flow->backwards && !flow->err.code) {
		struct json *error = json_object(arena);

		json_set_int(arena, error, "http", http);
		if (code)
			json_set_cstr(arena, error, "code", code);
		json_set_int(arena, error, "flags", flags);
		json_set(arena, results(op), "error", error);
	}
	return op_fail(flow, ERR_INVALID, "%s", err.text);
}
