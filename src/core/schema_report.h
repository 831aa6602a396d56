/* core/schema_report: why a value does not conform to its schema, in words, and where.
 *
 * A report keeps one error, the most useful one: of alternatives (anyOf, oneOf) the error of the
 * one that was meant. Private to core/schema_validate. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_REPORT_H
#define OSBD_CORE_SCHEMA_REPORT_H

#include "core/json.h"

#define SCHEMA_LIST_MAX 200 /* bytes of a list of names or values in an error */
#define SCHEMA_SHOW_MAX 100 /* bytes of one name */

/* Neither 0 (conforms) nor an ERR_* (could not be checked). */
#define SCHEMA_INVALID 1

/* Where a value stands: below up, under a key or, when key.p is NULL, at an index. The root has
 * no up, and its name as key. */
struct schema_spot {
	const struct schema_spot *up;
	struct str key;
	size_t index;
};

/* Errors are compared by depth, then by rank: the alternative that was meant fails deepest, and
 * not by its type or by a constant. */
enum schema_rank { RANK_TYPE, RANK_VALUE, RANK_OTHER };

struct schema_report {
	struct arena *arena; /* of the texts */
	const char *what;    /* NULL: nothing yet */
	const struct schema_spot *at;
	unsigned depth;
	enum schema_rank rank;
	unsigned types;        /* with RANK_TYPE: what it must be, as in schema_node.types */
	unsigned alternatives; /* that the text names */
};

/* Writes an error into the report; r may be NULL: then nobody asks why. Returns SCHEMA_INVALID. */
int schema_invalid(struct schema_report *r, const struct schema_spot *at, enum schema_rank rank,
		   const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same for a value of the wrong type. */
int schema_invalid_type(struct schema_report *r, const struct schema_spot *at, unsigned types,
			const struct json *v);
/* Takes the error of another alternative into account; v stands at `at`, where the alternatives
 * do. */
void schema_report_merge(struct schema_report *best, const struct schema_report *one,
			 const struct schema_spot *at, const struct json *v);

/* "parameters.ports[2]" */
void schema_put_path(struct buf *buf, const struct schema_spot *at);
/* Adds an entry to a list for people, that ends in "…" when it gets long. */
void schema_put_entry(struct buf *list, struct str entry);

#endif
