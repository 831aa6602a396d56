/* backends/postgresql_op: an operation on a server, and what the scripts of all verbs do. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_OP_H
#define OSBD_BACKENDS_POSTGRESQL_OP_H

#include "backends/postgresql_config.h"

#define POSTGRESQL_NAME 33 /* bytes of a derived name, with its NUL */

struct postgresql_op {
	struct osb_op osb; /* first */
	struct postgresql_script script;
	char database[POSTGRESQL_NAME], reader[POSTGRESQL_NAME], user[POSTGRESQL_NAME];
	bool marked, there, role_there;
	int http; /* of a failure that is the user's; 0: none */
	int sub;  /* where a part of a script is */
	size_t i;
	struct sql_result list;
	struct sql_result users; /* of a deprovision: what bindings have left */
	size_t n_users_done;
	bool in_user;
};

static inline struct postgresql_op *postgresql_op_of(struct postgresql_script *script)
{
	return container_of(script, struct postgresql_op, script);
}

/* The name of the database, d…, or of the binding's user, b…. */
void postgresql_derive(const struct osb_op *op, bool binding, char out[POSTGRESQL_NAME]);

/* Of a result; "" when there is no such row, or null. */
const char *postgresql_cell(const struct sql_result *result, size_t row, size_t col);
/* The last statement's first row has another number than 0 there. */
bool postgresql_counts(const struct postgresql_script *script, size_t col);
/* http: of an answer that is the user's to mend; 0: none. Returns POSTGRESQL_FAIL. */
enum postgresql_next postgresql_fail(struct postgresql_script *script, int http, int code,
				     const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Is there a database or a role of that name, and is it ours? reader: the role beside it. */
void postgresql_put_look(struct buf *text, const char *name, const char *reader);
/* After it: into op->there, role_there and marked. */
void postgresql_looked(struct postgresql_script *script);
/* After that: the mark of what is about to be made; fails when it is there and not ours. */
enum postgresql_next postgresql_mark(struct postgresql_script *script, struct buf *text,
				     const char *name);
/* The end of a role of ours: in each database where something is its own, that is handed over or
 * dropped, then the role. op->sub says where it is, 0 at first. POSTGRESQL_END: nothing is left. */
enum postgresql_next postgresql_drop_role(struct postgresql_script *script, struct buf *text,
					  const char *role);

static inline long long postgresql_limit(int64_t n)
{
	return n ? n : -1;
}

#endif
