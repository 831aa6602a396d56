/* backends/postgresql: databases and users on a PostgreSQL server, 13 or newer.
 *
 *   instance  a database, d and 31 hex digits of SHA-256 of the instance id; a role of the same
 *             name that nobody is, which owns it and what is in it; and a role r… that may read
 *             all that the owner makes
 *   binding   a user of its own, b and 31 hex digits of SHA-256 of both ids with NUL between. It
 *             acts as the owner, so all bindings share what they make; {"read_only": true} gets
 *             the role r… only
 *   marks     osbd.marks in the maintenance database has a row for what is ours, written before it
 *             is made and removed after it is gone. A database or a role of that name without a
 *             mark is somebody else's: it is neither used nor removed.
 *
 * The server gets a password's SCRAM-SHA-256 verifier only. A user's connections, and those of a
 * database, are limited by the plan; a plan whose storage is less than what a database takes is
 * refused with both numbers. An unbind ends the user's sessions, before and after the user goes,
 * and leaves what it made to the owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_POSTGRESQL_H
#define OSBD_BACKENDS_POSTGRESQL_H

#include "osb/backend.h"

extern const struct backend_type backend_postgresql;

#endif
