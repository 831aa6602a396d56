/* sql/my_lib: libmariadb, loaded only by a process whose configuration names a MySQL or MariaDB
 * server.
 *
 * It stays loaded until the process ends. Its non-blocking calls come in pairs: X_start() and, when
 * what that waits for has come, X_cont(), until one returns 0. Needs libmariadb 3.3 or newer
 * (Debian: libmariadb3), which starts no thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_MY_LIB_H
#define OSBD_SQL_MY_LIB_H

#include "core/err.h"

#include <mysql.h>

#define MY_FUNCTIONS(X)               \
	X(mysql_get_client_version)   \
	X(mysql_init)                 \
	X(mysql_options)              \
	X(mysql_optionsv)             \
	X(mysql_real_connect_start)   \
	X(mysql_real_connect_cont)    \
	X(mysql_real_query_start)     \
	X(mysql_real_query_cont)      \
	X(mysql_store_result_start)   \
	X(mysql_store_result_cont)    \
	X(mysql_close_start)          \
	X(mysql_close_cont)           \
	X(mysql_close)                \
	X(mysql_get_socket)           \
	X(mysql_get_timeout_value_ms) \
	X(mysql_thread_id)            \
	X(mysql_get_server_version)   \
	X(mysql_errno)                \
	X(mysql_sqlstate)             \
	X(mysql_error)                \
	X(mysql_field_count)          \
	X(mysql_affected_rows)        \
	X(mysql_num_fields)           \
	X(mysql_num_rows)             \
	X(mysql_fetch_row)            \
	X(mysql_fetch_lengths)        \
	X(mysql_free_result)          \
	X(mysql_real_escape_string)

struct my_lib {
#define X(name) __typeof__(name) *name;
	MY_FUNCTIONS(X)
#undef X
};

/* ERR_UNSUPPORTED: no libmariadb.so.3, or one that is too old. Takes MYSQL_*, MARIADB_* and
 * LIBMYSQL_* out of the environment: the configuration alone says where to connect to and with
 * what, and which plugins are loaded. */
int my_lib_load(struct my_lib *lib, struct err *err) MUST_CHECK;

#endif
