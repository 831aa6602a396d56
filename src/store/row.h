/* store/row: rows in memory: found, changed there, put back whole.
 *
 * A row keeps what was sealed as it was found; open makes the plain text, and a new plain text is
 * sealed when the row is put. put also keeps the counts of the process. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_ROW_H
#define OSBD_STORE_ROW_H

#include "store/db.h"

struct row_instance {
	struct store_instance i; /* seq 0: there is none */
	int64_t key;
	bool fresh; /* not in the table yet */
	bool orphan;
	struct str same;
	struct str sealed;    /* data */
	bool new_data;        /* i.data is to be sealed */
	enum store_state was; /* in the table */
};

struct row_binding {
	struct store_binding b;
	int64_t key;
	bool fresh;
	bool orphan;
	uint64_t due;
	struct str same;
	struct str sealed;
	bool new_data;
	enum store_state was;
};

struct row_op {
	struct store_op o;
	bool fresh;
	bool old;
	struct str same;
	struct str memo, request; /* sealed */
	bool new_memo, new_request;
	enum store_op_state was;
};

/* 0 (seq is 0 when there is none), or ERR_STORE. Strings in the arena. */
int row_instance_find(struct db *s, struct arena *arena, struct str platform, struct str id,
		      struct row_instance *row) MUST_CHECK;
int row_instance_get(struct db *s, struct arena *arena, int64_t seq,
		     struct row_instance *row) MUST_CHECK;
int row_binding_find(struct db *s, struct arena *arena, int64_t instance, struct str id,
		     struct row_binding *row) MUST_CHECK;
int row_binding_get(struct db *s, struct arena *arena, int64_t seq,
		    struct row_binding *row) MUST_CHECK;
int row_op_get(struct db *s, struct arena *arena, int64_t seq, struct row_op *row) MUST_CHECK;
/* "<store>-<seq>": the seq that an op's id stands for; 0 when it is none of this store's. */
int64_t row_op_seq(const struct db *s, struct str id);

/* The columns of a statement that selects whole rows. */
void row_instance_read(struct db_stmt *stmt, struct arena *arena, struct row_instance *row);
void row_binding_read(struct db_stmt *stmt, struct arena *arena, struct row_binding *row);
void row_op_read(const struct db *s, struct db_stmt *stmt, struct arena *arena, struct row_op *row);

/* Plain texts: ERR_SEALED when one cannot be opened (logged). What is open already stays. */
int row_instance_open(struct db *s, struct arena *arena, struct row_instance *row) MUST_CHECK;
int row_binding_open(struct db *s, struct arena *arena, struct row_binding *row) MUST_CHECK;
int row_op_open(struct db *s, struct arena *arena, struct row_op *row) MUST_CHECK;

/* New rows, numbered, not yet put. Ids are borrowed. */
int row_instance_new(struct db *s, struct str platform, struct str id, struct row_instance *row);
int row_binding_new(struct db *s, int64_t instance, struct str id, struct row_binding *row);
int row_op_new(struct db *s, struct row_op *row);

void row_instance_set_data(struct row_instance *row, struct str data);
void row_binding_set_data(struct row_binding *row, struct str data);
void row_op_set_memo(struct row_op *row, struct str memo);
void row_op_set_request(struct row_op *row, struct str request);

int row_instance_put(struct db *s, struct row_instance *row) MUST_CHECK;
/* n_bindings and n_binding_ops alone. */
int row_instance_put_counts(struct db *s, const struct row_instance *row) MUST_CHECK;
int row_binding_put(struct db *s, struct row_binding *row) MUST_CHECK;
int row_op_put(struct db *s, struct row_op *row) MUST_CHECK;

/* Does the object exist, for the figures? */
bool row_instance_exists(enum store_state state);
bool row_binding_exists(enum store_state state);

/* The keyed digest of `same`, in the arena. */
struct str row_digest(struct db *s, struct arena *arena, struct str same);

#endif
