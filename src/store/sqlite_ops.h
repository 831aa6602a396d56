/* store/sqlite_ops: the transactions of store_type, on a connection. Each is a call: it runs in
 * the turn's transaction, reads, decides, then writes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_SQLITE_OPS_H
#define OSBD_STORE_SQLITE_OPS_H

#include "store/sqlite_row.h"

/* sqlite_begin */
void sqlite_begin(struct store *store, struct store_begin *c);

/* sqlite_end */
void sqlite_step(struct store *store, struct store_step *c);
void sqlite_op_end(struct store *store, struct store_op_end *c);
void sqlite_release(struct store *store, struct store_release *c);

/* The op ends, and its object becomes what store_finish says; object false: the op alone, because
 * the object is another's by now. Changes the rows in memory; strings are copied. */
void end_apply(struct sqlite_db *s, struct arena *arena, const struct store_end *end, bool object,
	       struct row_op *op, struct row_instance *instance, struct row_binding *binding);
/* The instance is gone, so are its bindings: writes these. */
int end_bindings(struct sqlite_db *s, struct row_instance *instance) MUST_CHECK;

/* sqlite_claim */
void sqlite_claim(struct store *store, struct store_claim *c);
void sqlite_get(struct store *store, struct store_get *c);

/* sqlite_list */
void sqlite_list(struct store *store, struct store_list *c);
void sqlite_stats(struct store *store, struct store_stats *c);
void sqlite_plan_use(struct store *store, struct store_plan_use *c);

/* sqlite_keep */
void sqlite_purge(struct store *store, struct store_purge *c);
void sqlite_reseal(struct store *store, struct store_reseal *c);

#endif
