/* core/schema_compile: what core/schema and core/schema_keyword share while they compile a schema.
 *
 * Each subschema becomes a node. Nodes wait in a queue, not on the stack, so that a long chain of
 * references costs no depth; a subschema that several references meet, or that meets itself, is
 * one node. Private to these two. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_COMPILE_H
#define OSBD_CORE_SCHEMA_COMPILE_H

#include "core/schema_node.h"

struct schema_compile {
	struct arena *arena;
	struct err *err;
	struct schema_refs refs;
	struct schema_node *first, *last, *next; /* the queue; next is to be compiled */
	struct schema_node **table;              /* by the address of the value */
	size_t n, size;
};

/* An error at a keyword of a node (NULL: at the node): `#/properties/a/type: …`; returns code. */
int schema_bad(struct schema_compile *c, const struct schema_node *node, const char *keyword,
	       int code, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* The same: must be what `must` says, not what value is. */
int schema_bad_type(struct schema_compile *c, const struct schema_node *node, const char *keyword,
		    const char *must, const struct json *value);

/* The node of a subschema, new or there already; a new one is compiled when its turn comes. */
MUST_CHECK int schema_node_at(struct schema_compile *c, const struct schema_place *place,
			      struct schema_node *up, struct str keyword, struct str token,
			      struct schema_node **out);
/* The same for one inside node; token is {NULL, 0} when it stands right under the keyword. */
MUST_CHECK int schema_node_inside(struct schema_compile *c, struct schema_node *node,
				  const char *keyword, struct str token, const struct json *value,
				  struct schema_node **out);

/* Takes all keywords of an object without "$ref" into the node (core/schema_keyword). */
MUST_CHECK int schema_take_keywords(struct schema_compile *c, struct schema_node *node);

#endif
