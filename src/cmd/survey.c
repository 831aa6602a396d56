/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/survey.h"

#include <stdio.h>
#include <stdlib.h>

#define ROWS 200 /* in one read */

/* The name that an object of the store has outside. */
struct known {
	struct str name, service;
	struct str instance_id, binding_id; /* binding_id p NULL: an instance */
	bool ready, found;
};

struct survey {
	struct setup *setup;
	struct arena arena;
	struct known *known; /* by name */
	size_t n_known, size;
	size_t *n_lines;
	bool *removed; /* of the names that were asked for */
	char **remove;
	int n_remove, rc;
};

struct wait {
	bool done;
	int status;
};

static void went(struct call *call, int status)
{
	struct wait *wait = call->data;

	wait->status = status;
	wait->done = true;
}

static int by_name(const void *a, const void *b)
{
	const struct known *one = a, *other = b;

	return str_cmp(one->name, other->name);
}

/* -- the store ----------------------------------------------------------------------------- */

static const struct offering *offering_named(const struct setup *setup, struct str name)
{
	const struct catalog *catalog = setup->gen->catalog;
	size_t i;

	for (i = 0; i < catalog->n_offerings; i++)
		if (str_eq(catalog->offerings[i].name, name))
			return &catalog->offerings[i];
	return NULL;
}

/* A service that is not offered any more may have things on the servers of another. */
static struct backend *any_surveyed(const struct setup *setup)
{
	const struct catalog *catalog = setup->gen->catalog;
	size_t i;

	for (i = 0; i < catalog->n_offerings; i++)
		if (catalog->offerings[i].backend->type->survey)
			return catalog->offerings[i].backend;
	return NULL;
}

static void add_known(struct survey *s, const struct store_listed *row)
{
	const struct offering *offering = offering_named(s->setup, row->service);
	struct backend *backend = offering ? offering->backend : NULL;
	bool binding = row->binding.seq != 0;
	enum store_state state = binding ? row->binding.state : row->instance.state;
	bool offered = backend && backend->type->survey;
	struct known *known;

	if (!offered)
		backend = any_surveyed(s->setup);
	if (!backend)
		return;
	if (s->n_known == s->size) {
		s->size = s->size ? 2 * s->size : 64;
		s->known = mem_realloc(s->known, s->size * sizeof(*s->known));
	}
	known = &s->known[s->n_known++];
	*known = (struct known){
		.service = arena_str(&s->arena, row->service),
		.instance_id = arena_str(&s->arena, row->instance.id),
		.binding_id = binding ? arena_str(&s->arena, row->binding.id) : (struct str){ 0 },
		.ready = offered && (state == STORE_READY || state == STORE_UPDATING),
	};
	known->name = backend->type->name_of(backend, row->instance.platform, known->instance_id,
					     known->binding_id, &s->arena);
}

static int read_store(struct survey *s)
{
	struct arena arena = { 0 };
	struct store_list list;
	struct wait wait;
	int64_t from = 0;
	size_t i;

	do {
		wait = (struct wait){ 0 };
		list = (struct store_list){
			.call = { .done = went, .data = &wait },
			.arena = &arena,
			.kind = STORE_LIST_ALL,
			.from = from,
			.max = ROWS,
		};
		store_list(s->setup->store, &list);
		loop_run_until(&s->setup->loop, &wait.done);
		if (wait.status < 0) {
			fprintf(stderr, "osbd: store: %s\n", err_str(wait.status));
			arena_finish(&arena);
			return EXIT_FAILED;
		}
		for (i = 0; i < list.n_rows; i++) {
			add_known(s, &list.rows[i]);
			from = list.rows[i].at;
		}
		arena_reset(&arena);
	} while (list.n_rows == ROWS);
	arena_finish(&arena);
	if (s->n_known)
		qsort(s->known, s->n_known, sizeof(*s->known), by_name);
	return 0;
}

/* -- lines --------------------------------------------------------------------------------- */

static void print(struct survey *s, const char *kind, const char *state, struct str id,
		  struct str binding_id, struct str service, const char *why)
{
	struct buf line = { 0 };

	buf_printf(&line, "%s\t%s\t", kind, state);
	json_write_string(&line, id);
	buf_putc(&line, '\t');
	if (binding_id.p)
		json_write_string(&line, binding_id);
	else
		buf_putc(&line, '-');
	buf_putc(&line, '\t');
	json_write_string(&line, service);
	buf_printf(&line, "\t%s", why);
	puts(line.p);
	buf_finish(&line);
	++*s->n_lines;
}

static bool is_asked_for(struct survey *s, struct str name)
{
	int i;

	for (i = 0; i < s->n_remove; i++)
		if (str_is(name, s->remove[i])) {
			s->removed[i] = true;
			return true;
		}
	return false;
}

static void take_away(struct survey *s, const struct offering *offering,
		      const struct backend_thing *thing)
{
	struct wait wait = { 0 };
	struct backend_survey removal = { .call = { .done = went, .data = &wait },
					  .arena = &s->arena };

	offering->backend->type->remove(offering->backend, &removal, thing);
	loop_run_until(&s->setup->loop, &wait.done);
	if (wait.status == 0) {
		fprintf(stderr, "removed %.*s\n", STR_ARG(thing->name));
		return;
	}
	fprintf(stderr, "osbd: %.*s: %s\n", STR_ARG(thing->name), removal.err.text);
	s->rc = EXIT_FAILED;
}

static void hold_against(struct survey *s, const struct offering *offering,
			 const struct backend_thing *thing)
{
	struct known want = { .name = thing->name }, *known = NULL;
	char why[300];

	if (s->n_known)
		known = bsearch(&want, s->known, s->n_known, sizeof(*s->known), by_name);
	if (known) {
		known->found = thing->there || known->found;
		return;
	}
	if (is_asked_for(s, thing->name)) {
		take_away(s, offering, thing);
		return;
	}
	snprintf(why, sizeof(why), "on %.*s: %s", STR_ARG(thing->where),
		 thing->there ? "it carries osbd's mark, and osbd knows nothing of it"
			      : "a mark of osbd without what it stands for");
	print(s, thing->binding ? "user" : "database", "unknown", thing->name, (struct str){ 0 },
	      offering->name, why);
}

static void tell_missing(struct survey *s)
{
	char why[200];
	size_t i;

	for (i = 0; i < s->n_known; i++) {
		const struct known *known = &s->known[i];

		if (known->found || !known->ready)
			continue;
		snprintf(why, sizeof(why), "%.*s is not on any server of the service",
			 STR_ARG(known->name));
		print(s, known->binding_id.p ? "binding" : "instance", "missing",
		      known->instance_id, known->binding_id, known->service, why);
	}
}

/* -- all ----------------------------------------------------------------------------------- */

static int look_outside(struct survey *s, const struct offering *offering,
			struct backend_survey *found)
{
	struct wait wait = { 0 };

	found->call = (struct call){ .done = went, .data = &wait };
	found->arena = &s->arena;
	offering->backend->type->survey(offering->backend, found);
	loop_run_until(&s->setup->loop, &wait.done);
	if (wait.status == 0)
		return 0;
	fprintf(stderr, "osbd: service %.*s: %s\n", STR_ARG(offering->name), found->err.text);
	return EXIT_FAILED;
}

int survey_all(struct setup *setup, char **remove, int n_remove, size_t *n)
{
	const struct catalog *catalog = setup->gen->catalog;
	struct survey s = { .setup = setup, .remove = remove, .n_remove = n_remove, .n_lines = n };
	struct backend_survey *found;
	size_t i, j;
	bool read;
	int k;

	s.removed = arena_zalloc(&s.arena, (size_t)n_remove + 1);
	found = arena_zalloc(&s.arena, (catalog->n_offerings + 1) * sizeof(*found));
	for (i = 0; s.rc == 0 && i < catalog->n_offerings; i++)
		if (catalog->offerings[i].backend->type->survey)
			s.rc = look_outside(&s, &catalog->offerings[i], &found[i]);
	if (s.rc == 0)
		s.rc = read_store(&s);
	read = s.rc == 0;
	for (i = 0; read && i < catalog->n_offerings; i++)
		for (j = 0; j < found[i].n; j++)
			hold_against(&s, &catalog->offerings[i], &found[i].things[j]);
	if (read)
		tell_missing(&s);
	for (k = 0; read && k < n_remove; k++)
		if (!s.removed[k]) {
			fprintf(stderr, "osbd: %s is not among what osbd knows nothing of\n",
				remove[k]);
			s.rc = EXIT_FAILED;
		}
	mem_free(s.known);
	arena_finish(&s.arena);
	return s.rc;
}
