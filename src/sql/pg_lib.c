/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_lib.h"

#include "core/mem.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* What libpq would take as a default for whatever the url leaves out, a host name to look up
 * among it, which would block. */
static void forget_environment(void)
{
	size_t i = 0;

	while (environ && environ[i]) {
		char name[64];
		size_t n = strcspn(environ[i], "=");

		if (strncmp(environ[i], "PG", 2) != 0 || n >= sizeof(name)) {
			i++;
			continue;
		}
		memcpy(name, environ[i], n);
		name[n] = '\0';
		unsetenv(name); /* the rest moves up */
	}
}

int pg_lib_load(struct pg_lib *lib, struct err *err)
{
	static const char *const names[] = {
#define X(name) #name,
		PG_FUNCTIONS(X)
#undef X
	};
	void *handle, *functions[ARRAY_LEN(names)];
	size_t i;

	_Static_assert(sizeof(*lib) == sizeof(functions), "a pointer per function");
	forget_environment();
	handle = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(err, ERR_UNSUPPORTED, "PostgreSQL needs libpq: %s", dlerror());
	for (i = 0; i < ARRAY_LEN(names); i++) {
		functions[i] = dlsym(handle, names[i]);
		if (!functions[i])
			return err_set(err, ERR_UNSUPPORTED,
				       "PostgreSQL needs libpq 14 or newer: this one has no %s",
				       names[i]);
	}
	memcpy(lib, functions, sizeof(functions));
	return 0;
}
