/* backends/bundle_vars: the JSON document that a bundle's action gets (--extra-vars).
 *
 *   all          _apb_plan_id (the plan's name), _apb_service_instance_id, cluster, namespace,
 *                _apb_last_requesting_user
 *   provision    and the parameters, _apb_service_class_id
 *   update       the same, parameters merged; _apb_provision_creds if there are any
 *   deprovision  the same; _apb_provision_creds, {} when there are none
 *   bind         its own parameters, _apb_service_class_id, _apb_service_binding_id,
 *                _apb_provision_creds if there are any
 *   unbind       _apb_service_binding_id, provision_params (the document of the instance's
 *                latest action, without credentials), _apb_provision_creds and _apb_bind_creds
 *                if there are any
 *
 * Parameters that are absent and have a default get it, unless they depend on others: forms show
 * defaults and send them, other clients leave them out. A parameter that has the name of one of
 * the keys above loses. Source: the service bundle specification,
 * "Input"; the keys are those of the Automation Broker. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_VARS_H
#define OSBD_BACKENDS_BUNDLE_VARS_H

#include "backends/bundle_spec.h"
#include "osb/backend.h"

struct bundle_vars {
	enum store_verb verb;           /* whose action it is: on the way back the opposite */
	const struct bundle_plan *plan; /* where defaults are */
	struct str cluster, namespace;  /* namespace: the configured one, may be empty */
	const struct json *provision_credentials; /* NULL: none */
	const struct json *bind_credentials;      /* NULL: none */
	struct str instance_user;                 /* who asked for the instance's latest action */
};

struct json *bundle_vars_json(const struct osb_op *op, const struct bundle_vars *vars);
/* username, else uid, else user_id of the originating identity; else empty. */
struct str bundle_vars_user(const struct osb_op *op);

#endif
