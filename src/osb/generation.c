/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/generation.h"

#include "osb/listen_tls.h"

int generation_read(const char *path, struct generation **out, struct conf_errors *errors)
{
	struct generation *gen = mem_zalloc(sizeof(*gen));
	int rc = config_load(path, &gen->arena, &gen->config, errors);

	gen->refs = 1;
	if (rc < 0) {
		generation_unref(gen);
		return rc;
	}
	*out = gen;
	return 0;
}

int generation_open(struct generation *gen, const struct backend_env *env,
		    const struct backend_type *const *types, struct conf_errors *errors)
{
	size_t before = errors->n_errors;
	int rc;

	gen->env = *env;
	gen->env.config = gen->config;
	users_lint(gen->config, errors);
	listen_tls_lint(gen->config, errors);
	rc = catalog_build(&gen->env, types, &gen->arena, &gen->catalog, errors);
	return rc < 0 || errors->n_errors > before ? ERR_INVALID : 0;
}

struct generation *generation_ref(struct generation *gen)
{
	gen->refs++;
	return gen;
}

void generation_unref(struct generation *gen)
{
	if (!gen || --gen->refs)
		return;
	users_destroy(gen->users);
	catalog_close(gen->catalog);
	arena_finish(&gen->arena);
	mem_free(gen);
}

void generation_start(struct generation *gen)
{
	size_t i;

	gen->started = true;
	for (i = 0; i < gen->catalog->n_offerings; i++) {
		struct backend *backend = gen->catalog->offerings[i].backend;

		if (backend->type->start)
			backend->type->start(backend);
	}
}

static void backend_stopped(void *data)
{
	struct generation *gen = data;

	if (--gen->n_working == 0)
		gen->stopped(gen->data);
}

void generation_stop(struct generation *gen, void (*stopped)(void *data), void *data)
{
	size_t i;

	gen->stopped = stopped;
	gen->data = data;
	gen->n_working = 1; /* this very function */
	for (i = 0; gen->started && i < gen->catalog->n_offerings; i++) {
		struct backend *backend = gen->catalog->offerings[i].backend;

		if (!backend->type->stop)
			continue;
		gen->n_working++;
		backend->type->stop(backend, backend_stopped, gen);
	}
	gen->started = false;
	backend_stopped(gen);
}
