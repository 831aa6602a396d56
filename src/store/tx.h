/* store/tx: the transactions of store_type, as bodies (store/db): each reads, decides, then
 * writes, and returns the call's status. call is the struct of store.h that the name says. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_TX_H
#define OSBD_STORE_TX_H

#include "store/row.h"

typedef int (*tx_body)(struct db *s, void *call);

int tx_begin(struct db *s, void *call) MUST_CHECK;
int tx_step(struct db *s, void *call) MUST_CHECK;
int tx_end(struct db *s, void *call) MUST_CHECK;
int tx_release(struct db *s, void *call) MUST_CHECK;
int tx_claim(struct db *s, void *call) MUST_CHECK;
int tx_get(struct db *s, void *call) MUST_CHECK;
int tx_list(struct db *s, void *call) MUST_CHECK;
int tx_stats(struct db *s, void *call) MUST_CHECK;
int tx_plan_use(struct db *s, void *call) MUST_CHECK;
int tx_tickets(struct db *s, void *call) MUST_CHECK;
int tx_purge(struct db *s, void *call) MUST_CHECK;
int tx_reseal(struct db *s, void *call) MUST_CHECK; /* DB_MORE: it is not at its end */

/* Copying (tx_copy): some rows of one table. dump reads those behind `from`, in order, and fails
 * with ERR_SEALED at one that no key opens; load puts them into another store, which is empty. */
#define TX_COPY_ROWS 200

struct tx_copied {
	int64_t seq;
	struct row_instance instance; /* the one of the table */
	struct row_binding binding;
	struct row_op op;
};

struct tx_copy {
	struct call call; /* first */
	struct arena *arena;
	enum table table;
	int64_t from;
	struct tx_copied rows[TX_COPY_ROWS];
	size_t n; /* less than TX_COPY_ROWS: these were the last */
};

int tx_dump(struct db *s, void *call) MUST_CHECK;
int tx_load(struct db *s, void *call) MUST_CHECK;
/* All of the row's values, for comparing; where it runs is not one of them. */
void tx_copied_write(enum table table, struct tx_copied *row, struct buf *out);

/* The numbers that rows get next: ask takes them from a store, tell gives them to another, so that
 * none is used twice though the row that had the greatest may be gone. */
struct tx_numbers {
	struct call call; /* first */
	int64_t next[TABLES];
};

int tx_ask_numbers(struct db *s, void *call) MUST_CHECK;
int tx_tell_numbers(struct db *s, void *call) MUST_CHECK;

/* The store becomes the one whose id and key of fingerprints these are. */
struct tx_adopt {
	struct call call; /* first */
	char id[STORE_ID_SIZE];
	unsigned char print[SIPHASH_SIZE];
};

int tx_adopt(struct db *s, void *call) MUST_CHECK;

/* The op ends, and its object becomes what store_finish says; object false: the op alone, because
 * the object is another's by now. Changes the rows in memory; strings are copied. */
void end_apply(struct db *s, struct arena *arena, const struct store_end *end, bool object,
	       struct row_op *op, struct row_instance *instance, struct row_binding *binding);
/* The instance is gone, so are its bindings: writes these. */
int end_bindings(struct db *s, struct row_instance *instance) MUST_CHECK;

#endif
