/* osb/catalog: what is offered, checked with a platform's eyes, and its bytes.
 *
 * catalog_build() opens a backend for each service of the configuration, completes offerings and
 * plans, derives absent ids, compiles the schemas, and lints the whole with Cloud Controller's own
 * rules (osb/catalog_lint), so that a catalog that a platform would refuse never leaves this
 * machine. The answer to GET /v2/catalog is rendered once and sent as it is.
 *
 * Absent ids are derived, the same on every node and at every start: SHA-256 of
 *
 *	osbd offering NAME
 *	osbd plan OFFERING-ID NAME
 *
 * (one line, without its end), the first 16 bytes as a UUID of version 8 (RFC 9562). So a rename
 * is another offering or plan: whoever wants to rename writes the id down before.
 *
 * A service is bindable when the configuration does not say, if its backend can bind. A plan is
 * what its service is.
 *
 * Source: OSB 2.17 "Catalog Management"; for the rules, what Cloud Controller enforces. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_CATALOG_H
#define OSBD_OSB_CATALOG_H

#include "osb/backend.h"

struct catalog {
	struct offering *offerings;
	size_t n_offerings;
	struct str body; /* the JSON answer; dashboard secrets are in it; wiped with the arena */
	char etag[40];   /* with its quotes: "\"3f2a…\"" */
};

/* types: NULL-terminated. All errors and warnings (with the place in the configuration file) go
 * into errors. 0; ERR_INVALID when this added errors: what was opened is closed again. */
int catalog_build(const struct backend_env *env, const struct backend_type *const *types,
		  struct arena *arena, struct catalog **out, struct conf_errors *errors) MUST_CHECK;
void catalog_close(struct catalog *catalog); /* closes the backends; NULL is fine */

const struct offering *catalog_offering(const struct catalog *catalog, struct str id);
const struct offering *catalog_offering_named(const struct catalog *catalog, struct str name);
const struct plan *offering_plan(const struct offering *offering, struct str id);

/* 37 bytes: the UUID that stands for the text, and a NUL. */
void catalog_derive_id(struct str text, char out[37]);

#endif
