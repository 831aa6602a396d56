/* backends/bundle_config: what a service's configuration says of its bundle, and the bundle's
 * specification as the offering that the catalog shows. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_CONFIG_H
#define OSBD_BACKENDS_BUNDLE_CONFIG_H

#include "backends/bundle_spec.h"
#include "osb/backend.h"

enum bundle_vars_way { BUNDLE_VARS_ARGV, BUNDLE_VARS_FILE };
enum bundle_bind { BUNDLE_BIND_AUTO, BUNDLE_BIND_CREDENTIALS };

/* A variable of the environment. */
struct bundle_variable {
	struct str name;
	struct secret value; /* wiped with the arena */
};

struct bundle_config {
	struct str path, registry, namespace, cluster;
	int extra_vars; /* enum bundle_vars_way */
	int bind;       /* enum bundle_bind */
	int keep;       /* enum config_keep, or -1: as children.keep says */
	uint64_t deadline, max_memory, max_file;
	struct bundle_variable *env;
	size_t n_env;
	const char *program; /* PATH/bundle */
};

extern const struct conf_key bundle_config_rows[];

/* Decodes, reads the specification and completes the offering: name, ids, description, plans,
 * schemas, forms. 0, or ERR_INVALID with errors added. */
MUST_CHECK int bundle_config_load(struct offering *offering, struct arena *arena,
				  struct bundle_config *config, struct conf_errors *errors);

/* The bundle's own plan behind an offered one. */
static inline const struct bundle_plan *bundle_plan_of(const struct plan *plan)
{
	return plan->data;
}

#endif
