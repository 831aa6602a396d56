/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a value. It is checked without a word first, which is all that a valid value costs;
 * an invalid one is checked a second time, and explained. Every check returns 0 (conforms),
 * SCHEMA_INVALID, or an ERR_* when it could not be finished. */
#include "core/schema.h"

#include "core/mem.h"
#include "core/schema_node.h"
#include "core/schema_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAIRWISE_MAX 8  /* items up to which uniqueItems compares all pairs */
#define REGEX_SHARE 50  /* backtracking steps of a pattern that count as one step */
#define EXPLAIN_STEPS 8 /* times the steps of a check, for explaining */

struct check {
	struct err *err;
	uint64_t steps; /* that are left */
	unsigned depth;
};

static int check_node(struct check *c, const struct schema_node *node, const struct json *v,
		      const struct schema_spot *at, struct schema_report *r);

static int spend(struct check *c, uint64_t steps)
{
	if (c->steps < steps) {
		c->steps = 0;
		return err_set(c->err, ERR_TOOBIG,
			       "takes too many steps to check against its schema");
	}
	c->steps -= steps;
	return 0;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* -- any value ---------------------------------------------------------------------------- */

static bool has_type(const struct json *v, unsigned types)
{
	struct str text = json_num_text(v);
	size_t i;

	if (types & TYPE_BIT(json_type(v)))
		return true;
	if (!(types & TYPE_INTEGER) || !text.p)
		return false;
	if (!(types & TYPE_STRICT))
		return json_number_is_integer(text);
	for (i = 0; i < text.n; i++)
		if (strchr(".eE", text.p[i]))
			return false;
	return true;
}

static int check_values(struct check *c, const struct schema_node *node, const struct json *v,
			const struct schema_spot *at, struct schema_report *r)
{
	struct buf list = { NULL, 0, 0 }, one = { NULL, 0, 0 };
	const struct json *value;
	size_t i;
	int rc;

	if (node->constant && !json_equal(v, node->constant)) {
		json_write(&one, node->constant);
		rc = schema_invalid(r, at, RANK_VALUE, "must be %.*s%s",
				    STR_ARG(str_utf8_head(buf_str(&one), SCHEMA_LIST_MAX)),
				    one.n <= SCHEMA_LIST_MAX ? "" : "\xe2\x80\xa6");
		buf_finish(&one);
		return rc;
	}
	if (!node->values)
		return 0;
	rc = spend(c, json_len(node->values));
	if (rc)
		return rc;
	json_each_item(i, value, node->values)
		if (json_equal(v, value))
			return 0;
	if (!r)
		return SCHEMA_INVALID;
	json_each_item(i, value, node->values) {
		buf_clear(&one);
		json_write(&one, value);
		schema_put_entry(&list, buf_str(&one));
	}
	rc = schema_invalid(r, at, RANK_VALUE,
			    json_len(node->values) == 1 ? "must be %s" : "must be one of %s",
			    list.p ? list.p : "nothing");
	buf_finish(&one);
	buf_finish(&list);
	return rc;
}

static int check_number(const struct schema_node *node, const struct json *v,
			const struct schema_spot *at, struct schema_report *r)
{
	struct str n = json_num_text(v);

	if (node->minimum.p && json_number_cmp(n, node->minimum) < 0)
		return schema_invalid(r, at, RANK_OTHER, "must be at least %.*s",
				      STR_ARG(node->minimum));
	if (node->maximum.p && json_number_cmp(n, node->maximum) > 0)
		return schema_invalid(r, at, RANK_OTHER, "must be at most %.*s",
				      STR_ARG(node->maximum));
	if (node->above.p && json_number_cmp(n, node->above) <= 0)
		return schema_invalid(r, at, RANK_OTHER, "must be greater than %.*s",
				      STR_ARG(node->above));
	if (node->below.p && json_number_cmp(n, node->below) >= 0)
		return schema_invalid(r, at, RANK_OTHER, "must be less than %.*s",
				      STR_ARG(node->below));
	if (node->multiple_of.p && !json_number_multiple_of(n, node->multiple_of))
		return schema_invalid(r, at, RANK_OTHER, "must be a multiple of %.*s",
				      STR_ARG(node->multiple_of));
	return 0;
}

static int match(struct check *c, const struct regex *regex, struct str subject, bool *matched)
{
	unsigned effort;
	int rc = regex_match(regex, subject, matched, &effort, c->err);

	if (rc)
		return rc;
	return spend(c, effort / REGEX_SHARE + subject.n / 1000);
}

static int check_string(struct check *c, const struct schema_node *node, const struct json *v,
			const struct schema_spot *at, struct schema_report *r)
{
	struct str s = json_str(v);
	bool matched;
	int rc;

	if (node->min_length > 0 || node->max_length < UINT64_MAX) {
		uint64_t length = str_utf8_len(s);

		if (length < node->min_length)
			return schema_invalid(r, at, RANK_OTHER,
					      "must have at least %" PRIu64 " character%s",
					      node->min_length, plural(node->min_length));
		if (length > node->max_length)
			return schema_invalid(r, at, RANK_OTHER,
					      "must have at most %" PRIu64 " character%s",
					      node->max_length, plural(node->max_length));
	}
	if (node->pattern) {
		rc = match(c, node->pattern, s, &matched);
		if (rc)
			return rc;
		if (!matched)
			return schema_invalid(
				r, at, RANK_OTHER, "must match the pattern %.*s",
				STR_ARG(str_utf8_head(node->pattern_text, SCHEMA_LIST_MAX)));
	}
	if (node->format && !node->format(s))
		return schema_invalid(r, at, RANK_OTHER, "must be a valid %.*s",
				      STR_ARG(str_utf8_head(node->format_name, SCHEMA_SHOW_MAX)));
	return 0;
}

/* -- arrays ------------------------------------------------------------------------------- */

struct hashed {
	uint64_t hash;
	size_t index;
};

static int by_hash(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* Finds two equal items: SCHEMA_INVALID and their indexes; 0 when there are none. */
static int find_equal(struct check *c, const struct json *v, size_t *first, size_t *second)
{
	size_t n = json_len(v), i, k;
	struct hashed *list;
	int rc = spend(c, n);

	if (n <= PAIRWISE_MAX) {
		for (*second = 1; *second < n; ++*second)
			for (*first = 0; *first < *second; ++*first)
				if (json_equal(json_at(v, *first), json_at(v, *second)))
					return SCHEMA_INVALID;
		return rc;
	}
	list = mem_alloc(n * sizeof(*list));
	for (i = 0; i < n; i++)
		list[i] = (struct hashed){ json_hash(json_at(v, i)), i };
	qsort(list, n, sizeof(*list), by_hash);
	for (i = 1; i < n && rc == 0; i++) {
		for (k = i; k > 0 && list[k - 1].hash == list[i].hash && rc == 0; k--) {
			rc = spend(c, 1);
			if (rc ||
			    !json_equal(json_at(v, list[k - 1].index), json_at(v, list[i].index)))
				continue;
			*first = list[k - 1].index;
			*second = list[i].index;
			rc = SCHEMA_INVALID;
		}
	}
	mem_free(list);
	return rc;
}

static const struct schema_node *node_of_item(const struct schema_node *node, size_t i)
{
	if (!node->is_tuple)
		return node->items;
	return i < node->tuple.n ? node->tuple.node[i] : node->additional_items;
}

static int check_contains(struct check *c, const struct schema_node *node, const struct json *v,
			  const struct schema_spot *at, struct schema_report *r)
{
	const struct json *item;
	size_t i;
	int rc;

	json_each_item(i, item, v) {
		rc = check_node(c, node->contains, item, at, NULL);
		if (rc != SCHEMA_INVALID)
			return rc;
	}
	return schema_invalid(r, at, RANK_OTHER,
			      "must contain an item as the schema's \"contains\" says");
}

static int check_array(struct check *c, const struct schema_node *node, const struct json *v,
		       const struct schema_spot *at, struct schema_report *r)
{
	size_t n = json_len(v), i, first = 0, second = 0;
	int rc;

	if (n < node->min_items)
		return schema_invalid(r, at, RANK_OTHER, "must have at least %" PRIu64 " item%s",
				      node->min_items, plural(node->min_items));
	if (n > node->max_items)
		return schema_invalid(r, at, RANK_OTHER, "must have at most %" PRIu64 " item%s",
				      node->max_items, plural(node->max_items));
	for (i = 0; i < n; i++) {
		const struct schema_node *inside = node_of_item(node, i);
		struct schema_spot here = { at, { NULL, 0 }, i };

		if (!inside)
			break;
		rc = check_node(c, inside, json_at(v, i), &here, r);
		if (rc)
			return rc;
	}
	if (node->unique && n > 1) {
		rc = find_equal(c, v, &first, &second);
		if (rc == SCHEMA_INVALID)
			return schema_invalid(r, at, RANK_OTHER,
					      "items %zu and %zu must not be equal", first, second);
		if (rc)
			return rc;
	}
	return node->contains ? check_contains(c, node, v, at, r) : 0;
}

/* -- objects ------------------------------------------------------------------------------ */

static int key_order(const void *key, const void *property)
{
	return str_cmp(*(const struct str *)key, ((const struct schema_property *)property)->key);
}

static int not_allowed(const struct schema_node *node, struct str key, const struct schema_spot *at,
		       struct schema_report *r)
{
	const struct json_member *m;
	struct buf list = { NULL, 0, 0 };
	size_t i;

	if (!r)
		return SCHEMA_INVALID;
	json_each_member(m, json_get(node->place.value, "properties"))
		schema_put_entry(&list, m->key);
	for (i = 0; i < node->n_patterns; i++) {
		char *text = arena_printf(
			r->arena, "names like %.*s",
			STR_ARG(str_utf8_head(node->patterns[i].text, SCHEMA_SHOW_MAX)));

		schema_put_entry(&list, str_of(text));
	}
	schema_invalid(r, at, RANK_OTHER, "\"%.*s\" is not allowed here (%s%s)",
		       STR_ARG(str_utf8_head(key, SCHEMA_SHOW_MAX)),
		       list.n ? "allowed: " : "no members are", list.n ? list.p : "");
	buf_finish(&list);
	return SCHEMA_INVALID;
}

static int check_name(struct check *c, const struct schema_node *node, struct str key,
		      const struct schema_spot *at, struct schema_report *r)
{
	struct json name = { .type_ = JSON_STRING, .n_ = (uint32_t)key.n, .u_ = { .text = key.p } };
	struct schema_report why = { .arena = r ? r->arena : NULL };
	int rc = check_node(c, node->names, &name, at, r ? &why : NULL);

	if (rc != SCHEMA_INVALID)
		return rc;
	return schema_invalid(r, at, RANK_OTHER, "the name \"%.*s\" %s",
			      STR_ARG(str_utf8_head(key, SCHEMA_SHOW_MAX)),
			      why.what ? why.what : "");
}

static int check_member(struct check *c, const struct schema_node *node,
			const struct json_member *m, const struct schema_spot *at,
			struct schema_report *r)
{
	struct schema_spot here = { at, m->key, 0 };
	const struct schema_property *property = NULL;
	bool known, matched;
	size_t i;
	int rc = spend(c, 1);

	if (rc == 0 && node->names)
		rc = check_name(c, node, m->key, at, r);
	if (rc)
		return rc;
	if (node->n_properties)
		property = bsearch(&m->key, node->properties, node->n_properties, sizeof(*property),
				   key_order);
	known = property != NULL;
	if (property) {
		rc = check_node(c, property->node, m->value, &here, r);
		if (rc)
			return rc;
	}
	for (i = 0; i < node->n_patterns; i++) {
		rc = match(c, node->patterns[i].regex, m->key, &matched);
		if (rc)
			return rc;
		if (!matched)
			continue;
		known = true;
		rc = check_node(c, node->patterns[i].node, m->value, &here, r);
		if (rc)
			return rc;
	}
	if (known || !node->additional)
		return 0;
	if (node->additional->never)
		return not_allowed(node, m->key, at, r);
	return check_node(c, node->additional, m->value, &here, r);
}

static int check_required(struct check *c, const struct json *names, const struct json *v,
			  const struct schema_spot *at, struct schema_report *r, const char *with)
{
	const struct json *name;
	size_t i;
	int rc = spend(c, json_len(names) * (1 + json_len(v) / 16));

	if (rc)
		return rc;
	json_each_item(i, name, names) {
		struct schema_spot here = { at, json_str(name), 0 };

		if (!json_get_str(v, json_str(name)))
			return schema_invalid(r, &here, RANK_OTHER, "is required%s", with);
	}
	return 0;
}

static int check_dependency(struct check *c, const struct schema_dependency *dependency,
			    const struct json *v, const struct schema_spot *at,
			    struct schema_report *r)
{
	char with[SCHEMA_SHOW_MAX + 40];

	if (!json_get_str(v, dependency->key))
		return spend(c, 1 + json_len(v) / 16);
	if (dependency->node)
		return check_node(c, dependency->node, v, at, r);
	snprintf(with, sizeof(with), " together with \"%.*s\"",
		 STR_ARG(str_utf8_head(dependency->key, SCHEMA_SHOW_MAX)));
	return check_required(c, dependency->wanted, v, at, r, with);
}

static int check_object(struct check *c, const struct schema_node *node, const struct json *v,
			const struct schema_spot *at, struct schema_report *r)
{
	const struct json_member *m;
	size_t n = json_len(v), i;
	int rc;

	if (node->n_properties || node->n_patterns || node->additional || node->names) {
		json_each_member(m, v) {
			rc = check_member(c, node, m, at, r);
			if (rc)
				return rc;
		}
	}
	if (node->required) {
		rc = check_required(c, node->required, v, at, r, "");
		if (rc)
			return rc;
	}
	for (i = 0; i < node->n_dependencies; i++) {
		rc = check_dependency(c, &node->dependencies[i], v, at, r);
		if (rc)
			return rc;
	}
	if (n < node->min_properties)
		return schema_invalid(r, at, RANK_OTHER, "must have at least %" PRIu64 " member%s",
				      node->min_properties, plural(node->min_properties));
	if (n > node->max_properties)
		return schema_invalid(r, at, RANK_OTHER, "must have at most %" PRIu64 " member%s",
				      node->max_properties, plural(node->max_properties));
	return 0;
}

/* -- schemas of schemas ------------------------------------------------------------------- */

/* Counts the alternatives that fit; stops at `enough`. */
static int count_fitting(struct check *c, const struct schema_list *list, const struct json *v,
			 const struct schema_spot *at, size_t enough, size_t *fitting)
{
	size_t i;
	int rc;

	*fitting = 0;
	for (i = 0; i < list->n && *fitting < enough; i++) {
		rc = check_node(c, list->node[i], v, at, NULL);
		if (rc < 0)
			return rc;
		*fitting += rc == 0;
	}
	return 0;
}

static int explain_none(struct check *c, const struct schema_list *list, const struct json *v,
			const struct schema_spot *at, struct schema_report *r)
{
	struct schema_report best = { 0 }, one = { 0 };
	size_t i;
	int rc;

	if (!r)
		return SCHEMA_INVALID;
	best.arena = one.arena = r->arena;
	for (i = 0; i < list->n; i++) {
		rc = check_node(c, list->node[i], v, at, &one);
		if (rc < 0)
			return rc;
		if (rc == SCHEMA_INVALID)
			schema_report_merge(&best, &one, at, v);
	}
	*r = best;
	return SCHEMA_INVALID;
}

static int check_combined(struct check *c, const struct schema_node *node, const struct json *v,
			  const struct schema_spot *at, struct schema_report *r)
{
	const struct schema_node *branch;
	size_t fitting, i;
	int rc;

	for (i = 0; i < node->all_of.n; i++) {
		rc = check_node(c, node->all_of.node[i], v, at, r);
		if (rc)
			return rc;
	}
	if (node->any_of.n) {
		rc = count_fitting(c, &node->any_of, v, at, 1, &fitting);
		if (rc)
			return rc;
		if (fitting == 0)
			return explain_none(c, &node->any_of, v, at, r);
	}
	if (node->one_of.n) {
		rc = count_fitting(c, &node->one_of, v, at, 2, &fitting);
		if (rc)
			return rc;
		if (fitting == 0)
			return explain_none(c, &node->one_of, v, at, r);
		if (fitting > 1)
			return schema_invalid(
				r, at, RANK_OTHER,
				"must fit exactly one of %zu alternatives, but fits several",
				node->one_of.n);
	}
	if (node->not_) {
		rc = check_node(c, node->not_, v, at, NULL);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return schema_invalid(r, at, RANK_OTHER,
					      "must not be what the schema excludes with \"not\"");
	}
	if (!node->if_)
		return 0;
	rc = check_node(c, node->if_, v, at, NULL);
	if (rc < 0)
		return rc;
	branch = rc == 0 ? node->then_ : node->else_;
	return branch ? check_node(c, branch, v, at, r) : 0;
}

static int check_inside(struct check *c, const struct schema_node *node, const struct json *v,
			const struct schema_spot *at, struct schema_report *r)
{
	int rc = 0;

	if (node->never)
		return schema_invalid(r, at, RANK_OTHER, "is not allowed");
	if (node->types && !has_type(v, node->types))
		return schema_invalid_type(r, at, node->types, v);
	if (node->values || node->constant)
		rc = check_values(c, node, v, at, r);
	if (rc)
		return rc;
	switch (json_type(v)) {
	case JSON_NUMBER:
		rc = check_number(node, v, at, r);
		break;
	case JSON_STRING:
		rc = check_string(c, node, v, at, r);
		break;
	case JSON_ARRAY:
		rc = check_array(c, node, v, at, r);
		break;
	case JSON_OBJECT:
		rc = check_object(c, node, v, at, r);
		break;
	case JSON_NULL:
	case JSON_BOOL:
		break;
	}
	return rc ? rc : check_combined(c, node, v, at, r);
}

static int check_node(struct check *c, const struct schema_node *node, const struct json *v,
		      const struct schema_spot *at, struct schema_report *r)
{
	int rc = spend(c, 1);

	while (rc == 0 && node->ref) {
		node = node->ref;
		rc = spend(c, 1);
	}
	if (rc)
		return rc;
	if (c->depth >= SCHEMA_DEPTH_MAX)
		return err_set(c->err, ERR_TOOBIG, "is nested too deeply for its schema");
	c->depth++;
	rc = check_inside(c, node, v, at, r);
	c->depth--;
	return rc;
}

/* -- entry point -------------------------------------------------------------------------- */

static void explain(struct check *c, const struct schema *schema, const struct json *v,
		    const struct schema_spot *root, struct err *err)
{
	struct buf path = { NULL, 0, 0 };
	struct arena arena = { NULL, NULL };
	struct schema_report report = { .arena = &arena };

	c->steps = (uint64_t)EXPLAIN_STEPS * SCHEMA_STEPS_MAX;
	if (check_node(c, schema->root, v, root, &report) != SCHEMA_INVALID || !report.what) {
		report.what = "does not conform to its schema";
		report.at = root;
	}
	schema_put_path(&path, report.at);
	err_set(err, ERR_INVALID, "%s", report.what);
	if (path.n)
		err_wrap(err, "%s", path.p);
	buf_finish(&path);
	arena_finish(&arena);
}

int schema_validate(const struct schema *schema, const struct json *value, const char *root_path,
		    struct err *err)
{
	struct schema_spot root = { NULL, str_of(root_path ? root_path : ""), 0 };
	struct check c = { err, SCHEMA_STEPS_MAX, 0 };
	int rc = check_node(&c, schema->root, value, &root, NULL);

	if (rc < 0) {
		if (root_path && *root_path)
			err_wrap(err, "%s", root_path);
		return rc;
	}
	if (rc == 0)
		return 0;
	if (err)
		explain(&c, schema, value, &root, err);
	return ERR_INVALID;
}
