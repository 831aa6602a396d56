/* What the tests of osb/catalog share: backends of each kind, and a configuration around services. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TEST_CATALOG_RIG_H
#define OSBD_TEST_CATALOG_RIG_H

#include "osb/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

/* -- backends --------------------------------------------------------------------------------- */

static int opened, closed;

static const struct op_step steps[] = { { .name = "step" }, { 0 } };

#define PURE                                 \
	{                                    \
		.steps = steps, .pure = true \
	}
#define SLOW                                  \
	{                                     \
		.steps = steps, .quick = true \
	}

static inline int open_any(const struct backend_env *env, struct offering *offering,
			   struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	(void)env, (void)offering, (void)errors;
	*out = arena_new(arena, struct backend);
	opened++;
	return 0;
}

static inline void close_any(struct backend *backend)
{
	assert_non_null(backend->type);
	closed++;
}

static inline const struct json *value(struct arena *arena, const char *text)
{
	struct json *v = NULL;
	struct err err;

	if (json_parse(arena, str_of(text), NULL, &v, &err) != 0)
		fail_msg("%s: %s", text, err.text);
	return v;
}

/* All that an operator may leave out comes from here, and nothing can be bound. */
static inline int open_maker(const struct backend_env *env, struct offering *offering,
			     struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	struct plan *plan;

	open_any(env, offering, arena, out, errors);
	offering->name = STR("made");
	offering->id = STR("made-id");
	offering->description = STR("Made by its backend.");
	if (offering->config->bindable == CONF_ABSENT)
		offering->bindable = false;
	offering->tags = value(arena, "[\"a\",\"b\"]");
	if (offering->n_plans)
		return 0;
	plan = arena_new(arena, struct plan);
	plan->name = STR("one");
	plan->description = STR("The one plan.");
	plan->schemas = value(
		arena, "{\"service_instance\":{\"create\":{\"parameters\":{\"$schema\":"
		       "\"http://json-schema.org/draft-04/schema#\",\"required\":[\"size\"]}},"
		       "\"update\":null},\"service_binding\":{\"create\":null}}");
	plan->extra = value(arena, "{\"x-cores\":2,\"id\":\"other\",\"gone\":null}");
	offering->plans = plan;
	offering->n_plans = 1;
	return 0;
}

static inline int open_mute(const struct backend_env *env, struct offering *offering,
			    struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	(void)env, (void)offering, (void)errors, (void)arena, (void)out;
	return ERR_IO;
}

static inline int open_fault(const struct backend_env *env, struct offering *offering,
			     struct arena *arena, struct backend **out, struct conf_errors *errors)
{
	(void)env, (void)arena, (void)out;
	conf_errors_add(errors, offering->config->node, "services[0].config", "is no good");
	return ERR_INVALID;
}

#define VERBS(make)                           \
	.verb = { [STORE_PROVISION] = make,   \
		  [STORE_UPDATE] = make,      \
		  [STORE_DEPROVISION] = make, \
		  [STORE_BIND] = make,        \
		  [STORE_UNBIND] = make }

static const struct backend_type full = {
	.name = "full", .open = open_any, .close = close_any, VERBS(PURE)
};
static const struct backend_type slow = {
	.name = "slow", .open = open_any, .close = close_any, VERBS(SLOW)
};
static const struct backend_type store_only = {
	.name = "store",
	.open = open_any,
	.close = close_any,
	.verb = { [STORE_PROVISION] = PURE, [STORE_DEPROVISION] = PURE },
};
static const struct backend_type nothing = { .name = "nothing",
					     .open = open_any,
					     .close = close_any };
static const struct backend_type maker = {
	.name = "maker", .open = open_maker, .close = close_any, VERBS(PURE)
};
static const struct backend_type mute = { .name = "mute", .open = open_mute };
static const struct backend_type fault = { .name = "fault", .open = open_fault };

static const struct backend_type *const types[] = { &full,  &slow, &store_only, &nothing,
						    &maker, &mute, &fault,      NULL };

/* -- building --------------------------------------------------------------------------------- */

struct fixture {
	struct arena arena;
	struct conf_errors errors;
	struct config *config;
	struct catalog *catalog;
	struct buf messages;
};

static inline int build(struct fixture *f, const char *services)
{
	struct backend_env env = { 0 };
	struct buf text = { 0 };
	int rc;

	*f = (struct fixture){ 0 };
	opened = closed = 0;
	buf_printf(&text, "users: [{name: u, password: p}]\nservices:\n%s", services);
	rc = config_parse(buf_str(&text), "t.yml", "/etc", &f->arena, &f->config, &f->errors);
	buf_puts(&f->messages, "");
	conf_errors_print(&f->errors, &f->messages);
	if (rc != 0)
		fail_msg("%s", f->messages.p);
	buf_finish(&text);
	env.config = f->config;
	rc = catalog_build(&env, types, &f->arena, &f->catalog, &f->errors);
	buf_clear(&f->messages);
	buf_puts(&f->messages, "");
	conf_errors_print(&f->errors, &f->messages);
	return rc;
}

static inline void finish(struct fixture *f)
{
	catalog_close(f->catalog);
	assert_int_equal(opened, closed);
	conf_errors_finish(&f->errors);
	buf_finish(&f->messages);
	arena_finish(&f->arena);
}

static inline const struct json *body(struct fixture *f)
{
	return value(&f->arena, f->catalog->body.p);
}

#define SERVICE "  - name: db\n    description: D.\n    backend: full\n"
#define PLAN "    plans: [{name: p, description: d}]\n"

#endif
