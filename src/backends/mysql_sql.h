/* backends/mysql_sql: what is said to the server, verb by verb.
 *
 * Each verb is one script (backends/mysql_script), which looks before it does anything, so that it
 * may be run again from its start after a crash at any statement:
 *
 *   room         how much is promised already
 *   marks        all of them: name, is it a user, is it there
 *   provision    table of marks, look, mark if there is room, CREATE DATABASE
 *   update       look how much is used, promise more or less, limits of all users
 *   deprovision  look, users that are left, DROP DATABASE, unmark
 *   bind         look, mark, CREATE USER, ALTER USER, GRANT
 *   unbind       look, lock the account, end sessions, DROP USER, end sessions, unmark; the account
 *                stays, locked, until the database goes when it is the definer of something there
 *
 * osbd.marks: a row for each database (name = of_database) and user that is ours.
 *   storage   bytes that the plan promises, of a database; 0: no limit
 *   is_full   it holds more than that: its users do not write; of a user: that this was seen to
 *   reader    a user that never writes
 *   definer   a user that is unbound, and stays for what it has defined */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_MYSQL_SQL_H
#define OSBD_BACKENDS_MYSQL_SQL_H

#include "backends/database_steps.h"
#include "backends/mysql_script.h"

/* Everything that a user who may not write any more may still do to free space. */
#define MYSQL_FULL_RIGHTS "SELECT, DELETE, DROP, SHOW VIEW, LOCK TABLES"

struct mysql_op {
	struct database_op db; /* first */
	struct mysql_script script;
	bool *ready; /* the server's: its table of marks is there */
	char lock[DATABASE_NAME + 5];
	bool marked, there, full, left;
	bool in_user; /* deprovision: a user is being dropped */
	size_t i;
	struct my_result users;
};

/* The next of a script's statements; by enum database_script. */
extern enum mysql_next (*const mysql_next[])(struct mysql_script *script, struct buf *text);
/* Of the last result; "" and 0 when there is none. */
const char *mysql_cell(const struct mysql_script *script, size_t row, size_t col);
uint64_t mysql_number(const struct mysql_script *script, size_t row, size_t col);
/* Looks for a session of the user, ends it, waits a little, looks again; at is first to first + 2
 * meanwhile and first + 3 in the end. True: text has a statement. */
bool mysql_end_sessions(struct mysql_script *script, struct buf *text, const char *user, int first);

#endif
