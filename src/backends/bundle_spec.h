/* backends/bundle_spec: apb.yml, what a service bundle says of itself, as an offering.
 *
 * Read by yaml.v2's rules (core/yaml, YAML_V2): a scalar gives its text where a string is wanted,
 * anchors and merge keys work. Unknown keys are warnings; wrong types, unknown parameter types,
 * equal names and versions other than 1.0 are errors, all reported at once with their place.
 *
 *   ids      fq = registry "-" name, with / . : replaced by -, cut to 51 characters, one - taken
 *            off its end. Service id: hex MD5 of fq. Plan id: hex MD5 of fq "-" plan name.
 *   schemas  draft-04, from the parameters (bundle_schema.c says how); the update schema holds
 *            only what is updatable.
 *   forms    metadata.schemas of a plan: openshift_form_definition of each schema.
 *   absent   free is true; bindable of a plan is the service's; async is optional; `parameters`
 *            may be written `Parameters`; max_length goes before maxlength.
 *
 * Source: the service bundle specification, version 1.0; the Automation Broker's catalog. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_SPEC_H
#define OSBD_BACKENDS_BUNDLE_SPEC_H

#include "core/conf.h"
#include "core/json.h"

#define BUNDLE_SPEC_MAX (1 << 20) /* bytes of apb.yml */

enum bundle_async { BUNDLE_ASYNC_OPTIONAL, BUNDLE_ASYNC_REQUIRED, BUNDLE_ASYNC_UNSUPPORTED };

enum bundle_type {
	BUNDLE_STRING,
	BUNDLE_INTEGER,
	BUNDLE_NUMBER,
	BUNDLE_BOOLEAN,
	BUNDLE_OBJECT,
	BUNDLE_ARRAY,
	BUNDLE_NULL,
};

struct bundle_param {
	struct str name, title, description;
	enum bundle_type type;
	const struct json *fallback;     /* `default`; NULL: none */
	uint64_t min_length, max_length; /* 0: none */
	struct str pattern;
	/* numbers by their text; {NULL, 0}: none */
	struct str multiple_of, minimum, maximum, exclusive_minimum, exclusive_maximum;
	const struct json *choices; /* `enum`, values of the parameter's type; NULL: none */
	bool required, updatable;
	struct str display_type, display_group;
	struct str depends_on;            /* the first dependency's key; absent: none */
	const struct json *depends_value; /* array of strings; empty: any value */
};

struct bundle_params {
	struct bundle_param *p;
	size_t n;
};

struct bundle_plan {
	struct str name, description;
	bool free, bindable;
	const struct json *metadata; /* NULL: none */
	struct bundle_params parameters, bind_parameters;
	struct str *updates_to; /* names of plans */
	size_t n_updates_to;
};

struct bundle_spec {
	struct str name, description;
	bool bindable;
	enum bundle_async async;
	const struct json *tags;     /* array of strings; NULL: none */
	const struct json *metadata; /* NULL: none */
	struct bundle_plan *plans;
	size_t n_plans; /* at least 1 */
};

/* file: the name in messages. Everything lives in arena. 0; ERR_INVALID with errors added. */
MUST_CHECK int bundle_spec_parse(struct str text, const char *file, struct arena *arena,
				 struct bundle_spec **out, struct conf_errors *errors);

/* Whether a dependency counts: its key is another parameter of the list, and some value of that
 * one's enum, if it has one, is among those asked for. */
bool bundle_depends(const struct bundle_params *params, const struct bundle_param *p);
/* Whether p's dependency names this value of the other's enum. */
bool bundle_asks_for(const struct bundle_param *p, const struct json *choice);
const struct bundle_param *bundle_param_find(const struct bundle_params *params, struct str name);
const struct bundle_plan *bundle_plan_find(const struct bundle_spec *spec, struct str name);

/* registry empty: the name alone. */
struct str bundle_fq_name(struct arena *arena, struct str registry, struct str name);
/* Hex MD5 of text. */
struct str bundle_id(struct arena *arena, struct str text);

#endif
