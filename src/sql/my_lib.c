/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/my_lib.h"

#include "core/mem.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST 30300

extern char **environ;

static bool is_ours(const char *entry)
{
	static const char *const prefixes[] = { "MYSQL_", "MARIADB_", "LIBMYSQL_" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static void forget_environment(void)
{
	size_t i = 0;

	while (environ && environ[i]) {
		char name[64];
		size_t n = strcspn(environ[i], "=");

		if (!is_ours(environ[i]) || n >= sizeof(name)) {
			i++;
			continue;
		}
		memcpy(name, environ[i], n);
		name[n] = '\0';
		unsetenv(name); /* the rest moves up */
	}
}

int my_lib_load(struct my_lib *lib, struct err *err)
{
	static const char *const names[] = {
#define X(name) #name,
		MY_FUNCTIONS(X)
#undef X
	};
	void *handle, *functions[ARRAY_LEN(names)];
	size_t i;

	_Static_assert(sizeof(*lib) == sizeof(functions), "a pointer per function");
	forget_environment();
	handle = dlopen("libmariadb.so.3", RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(err, ERR_UNSUPPORTED,
			       "MySQL and MariaDB need libmariadb (package libmariadb3): %s",
			       dlerror());
	for (i = 0; i < ARRAY_LEN(names); i++) {
		functions[i] = dlsym(handle, names[i]);
		if (!functions[i])
			return err_set(err, ERR_UNSUPPORTED,
				       "MySQL and MariaDB need libmariadb 3.3 or newer (package "
				       "libmariadb3): this one has no %s",
				       names[i]);
	}
	memcpy(lib, functions, sizeof(functions));
	if (lib->mysql_get_client_version() < OLDEST)
		return err_set(err, ERR_UNSUPPORTED,
			       "MySQL and MariaDB need libmariadb 3.3 or newer (package "
			       "libmariadb3): this one is %lu",
			       lib->mysql_get_client_version());
	return 0;
}
