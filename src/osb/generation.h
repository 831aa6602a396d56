/* osb/generation: a configuration with all that follows from it, immutable and counted.
 *
 * A reload makes a new one beside the old; whoever works with the old (a request, an operation)
 * holds it until done. The last to let go closes its backends and wipes its secrets. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_GENERATION_H
#define OSBD_OSB_GENERATION_H

#include "osb/catalog.h"
#include "osb/users.h"

struct generation {
	unsigned refs;
	struct arena arena;
	struct config *config;
	struct backend_env env;
	struct catalog *catalog; /* NULL until opened */
	struct users *users;     /* NULL until opened for requests */
	/* private */
	bool started;
	size_t n_working; /* backends that do work of their own */
	void (*stopped)(void *data);
	void *data;
};

/* Reads the file; the caller holds the one reference. As config_load(). */
int generation_read(const char *path, struct generation **out,
		    struct conf_errors *errors) MUST_CHECK;
/* Opens the backends and builds the catalog. env's config is set here. ERR_INVALID and errors. */
int generation_open(struct generation *gen, const struct backend_env *env,
		    const struct backend_type *const *types, struct conf_errors *errors) MUST_CHECK;

/* It is in force now: its backends begin what they do without being asked. */
void generation_start(struct generation *gen);
/* It is not any more: stopped runs once, perhaps at once, when all of that has ended; until then
 * whoever called holds a reference. One that was never started is fine. */
void generation_stop(struct generation *gen, void (*stopped)(void *data), void *data);
struct generation *generation_ref(struct generation *gen); /* returns gen */
void generation_unref(struct generation *gen);             /* NULL is fine */

#endif
