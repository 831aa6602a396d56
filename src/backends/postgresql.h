/* backends/postgresql: databases and users on PostgreSQL servers, 14 or newer.
 *
 *   instance  a database, d and 31 hex digits of SHA-256 of the instance id, on one of the
 *             service's servers, and three roles beside it, which nobody is
 *             (backends/postgresql_sql)
 *   binding   a user of its own, b and 31 hex digits of SHA-256 of both ids with NUL between;
 *             {"read_only": true} gets one that reads only
 *   marks     osbd.marks in a server's maintenance database has a row for what is ours, written with
 *             or before it and removed after it is gone. A database or a role of that name without
 *             a mark is somebody else's: it is neither used nor removed.
 *
 * The server gets a password's SCRAM-SHA-256 verifier only. A user's connections, and those of a
 * database, are limited by the plan; a plan whose storage is less than what a database holds is
 * refused with both numbers. An unbind ends the user's sessions, before and after the user goes,
 * and leaves what it made to the others. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_H
#define OSBD_BACKENDS_POSTGRESQL_H

#include "osb/backend.h"

extern const struct backend_type backend_postgresql;

#endif
