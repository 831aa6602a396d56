/* backends/postgresql_sql: what is said to the server, verb by verb.
 *
 * Each verb is one script (backends/postgresql_script), which looks before it does anything, so
 * that it may be run again from its start after a crash at any statement. What belongs together
 * is one transaction:
 *
 *   room         how much is promised already
 *   marks        all of them: name, is it a user, is it there
 *   provision    table of marks, look; mark and roles, if there is room; CREATE DATABASE; rights on
 *                it; rights inside
 *   update       look how much is used; promise more or less; limits of the database and all users
 *   deprovision  look; users that are left; DROP DATABASE; roles and mark
 *   bind         look; mark, user, membership; rights inside
 *   unbind       look; NOLOGIN, end sessions, hand over inside; user and mark; end sessions
 *   remove       a user of which nothing but the name is known: look of which database it is, unbind
 *
 * Roles of an instance, which nobody is: d… owns all that is in the database; r… reads all
 * that the owner and the bindings make; f… may also delete, for the users of a database that is
 * full. A binding's user acts as d…, and so do the others: they share what they make.
 *
 * osbd.marks, in the maintenance database: a row for each database (name = of_database) and user
 * that is ours.
 *   storage   bytes that the plan promises, of a database; 0: no limit
 *   is_full   it holds more than that: its users do not write; of a user: that this was seen to
 *   reader    a user that never writes */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_SQL_H
#define OSBD_BACKENDS_POSTGRESQL_SQL_H

#include "backends/database_steps.h"
#include "backends/postgresql_script.h"

#define POSTGRESQL_NO_MARKS "42P01 3F000" /* nothing was ever made on this server */
#define POSTGRESQL_DO "DO $osbd$ BEGIN "  /* several statements, one transaction; names */
#define POSTGRESQL_DONE " END $osbd$"     /* and verifiers hold no $osbd$ */

struct postgresql_op {
	struct database_op db; /* first */
	struct postgresql_script script;
	bool there, marked, roles_there, user_there, user_marked, full; /* as the last look found */
	size_t i;
	struct sql_result list;  /* to be gone through */
	struct sql_result users; /* of a deprovision: what bindings have left */
	size_t n_users_done;
	bool in_user;
};

/* The next of a script's statements; by enum database_script. */
extern enum postgresql_next (*const postgresql_next[])(struct postgresql_script *script,
						       struct buf *text);
/* A step's ask, after database_make_password(): what the server gets instead of it. */
enum op_verdict postgresql_make_verifier(struct op *flow);

/* Of the last result; "" and 0 when there is none. */
const char *postgresql_cell(const struct sql_result *result, size_t row, size_t col);
uint64_t postgresql_number(const struct postgresql_script *script, size_t row, size_t col);

/* Ends the sessions of a user and of users that are gone in a database, waits a little, looks again;
 * at is first or first + 1 meanwhile. True: text has a statement. */
bool postgresql_end_sessions(struct postgresql_script *script, struct buf *text, const char *user,
			     const char *database, int first);

#endif
