/* osb/config_rows: the rows of the configuration file, and the struct that they fill.
 *
 * For osb/config_load only: what is checked across keys and what a key implies for others stands
 * there; here are the keys, and the checks of one value or mapping. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_CONFIG_ROWS_H
#define OSBD_OSB_CONFIG_ROWS_H

#include "osb/config.h"

#define CONFIG_SQLITE_PATH "/var/lib/osbd/osbd.db"

enum config_authentication { CONFIG_AUTH_BASIC, CONFIG_AUTH_NONE };

/* A user as written: the password stands under one of three keys. */
struct config_user_row {
	struct config_user user;
	struct str platform;
	struct config_password password, crypt;
	struct config_password *passwords;
	size_t n_passwords;
};

struct config_sqlite_row {
	struct str path;
};

struct config_file {
	struct config config;
	enum config_authentication authentication;
	struct config_user_row *users;
	size_t n_users;
	struct config_sqlite_row *sqlite; /* NULL = absent */
	struct config_postgresql *postgresql;
	bool memory;
};

/* In osb/config_listen: of a struct config_listen, with its check, config_admin, config_platform. */
extern const struct conf_key config_listen_rows[], config_admin_rows[], config_platform_rows[];
void config_check_listen(struct conf *conf, const struct json *node, void *item);
/* A struct str: the name of a platform or a key. */
void config_check_name(struct conf *conf, const struct json *node, void *field);

/* Of a struct config_file. */
extern const struct conf_key config_file_rows[];

#endif
