/* backends/mysql: databases and users on MySQL or MariaDB servers.
 *
 *   instance  a database, d and 31 hex digits of SHA-256 of the instance id
 *   binding   a user of its own, b and 31 hex digits of SHA-256 of both ids with NUL between;
 *             {"read_only": true} gets SELECT only
 *   marks     osbd.marks has a row for what is ours, written before it is made and removed after
 *             it is gone. A database or a user of that name without a mark is somebody else's: it
 *             is neither used nor removed.
 *   servers   an instance stands on one of several (backends/database); of those that its plan may
 *             use, the one with most room is taken
 *
 * The server gets a password's hash only. A user's connections are limited by the plan; a plan
 * whose storage is less than what a database takes is refused with both numbers. An unbind ends
 * the user's sessions, before and after the user goes. A database that grows beyond its plan's
 * storage loses writing until it is small enough again (backends/mysql_quota). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_MYSQL_H
#define OSBD_BACKENDS_MYSQL_H

#include "osb/backend.h"

extern const struct backend_type backend_mysql;

#endif
