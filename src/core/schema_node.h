/* core/schema_node: a compiled JSON Schema, as core/schema makes and core/schema_validate reads
 * it. Private to these two. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_NODE_H
#define OSBD_CORE_SCHEMA_NODE_H

#include "core/json.h"
#include "core/regex.h"
#include "core/schema_format.h"
#include "core/schema_ref.h"

#define SCHEMA_NODES_MAX 20000 /* subschemas of one schema */

/* Bits of schema_node.types: 1 << JSON_*, and integer, which is not a JSON type. */
#define TYPE_BIT(json_type) (1u << (json_type))
#define TYPE_INTEGER (1u << 8)
/* With TYPE_INTEGER: 1.0 is none (draft-04). */
#define TYPE_STRICT (1u << 9)

struct schema_list {
	struct schema_node **node;
	size_t n;
};

struct schema_property {
	struct str key;
	struct schema_node *node;
};

struct schema_pattern {
	struct str text;
	struct regex *regex;
	struct schema_node *node;
};

struct schema_dependency {
	struct str key;
	struct schema_node *node;  /* the schema, or NULL */
	const struct json *wanted; /* the array of names, or NULL */
};

/* One subschema. What is absent is NULL, {NULL, 0} or the widest limit. */
struct schema_node {
	struct schema_place place;
	/* Where it stands, for errors in the schema: "properties" and "size" below up; at the root
	 * and behind a reference up is NULL and keyword the whole place ("#/definitions/a"). */
	struct schema_node *up;
	struct str keyword, token;
	struct schema_node *next; /* in the order of compiling */
	struct schema_node *ref;  /* all else counts for nothing then */
	bool never;               /* the schema false; true has no keyword */
	uint8_t visit;            /* while looking for endless references */

	unsigned types; /* 0 = any */
	const struct json *values, *constant;
	struct str minimum, maximum, above, below, multiple_of;
	uint64_t min_length, max_length; /* in characters */
	struct str pattern_text;
	struct regex *pattern;
	struct str format_name;
	schema_format_fn format;

	uint64_t min_items, max_items;
	bool unique;
	struct schema_node *items;
	struct schema_list tuple; /* `items` as an array; then additional_items counts */
	bool is_tuple;
	struct schema_node *additional_items, *contains;

	uint64_t min_properties, max_properties;
	const struct json *required;
	struct schema_property *properties; /* sorted by key */
	size_t n_properties;
	struct schema_pattern *patterns;
	size_t n_patterns;
	struct schema_dependency *dependencies;
	size_t n_dependencies;
	struct schema_node *additional, *names;

	struct schema_list all_of, any_of, one_of;
	struct schema_node *not_, *if_, *then_, *else_;
};

struct schema {
	struct schema_node *root;
};

#endif
