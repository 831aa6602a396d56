/* backends/demo_config: what a service's or a plan's `config` says of the demo backend. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_DEMO_CONFIG_H
#define OSBD_BACKENDS_DEMO_CONFIG_H

#include "core/conf.h"
#include "store/store.h"

struct demo_times {
	uint64_t ms[STORE_VERBS];
};

struct demo_failures {
	struct str at[STORE_VERBS];
};

/* What a plan does. */
struct demo_plan {
	struct demo_times delay;
	struct demo_failures fail;
	int64_t steps; /* looks of the delay */
	int64_t fail_http;
	struct str fail_code, fail_text;
	int way_back; /* enum way_back */
	bool halt, unusable, not_repeatable;
	const struct json *credentials;
	struct str dashboard_url, syslog_drain_url, route_service_url;
	const struct json *volume_mounts, *endpoints, *metadata, *private;
	struct str directory;
};

enum way_back { WAY_BACK_OK, WAY_BACK_FAIL };

extern const struct conf_key demo_rows[];

#endif
