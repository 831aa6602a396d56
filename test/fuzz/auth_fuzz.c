/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization header: whoever is let in has sent exactly the right name and password, in the
 * one way there is to write them. The first byte says from where. */
#include "core/digest.h"
#include "osb/users.h"

#include <stdlib.h>

#define PAIR "cc:s:e cret"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static struct users *users_once(struct config_platform **platform)
{
	static struct config_platform platforms[1];
	static struct config_user user[2];
	static struct config config;
	static struct loop loop;
	static struct users *users;

	*platform = platforms;
	if (users)
		return users;
	platforms[0].name = STR("default");
	user[0].name = STR("cc");
	secret_set(&user[0].passwords[0].text, STR("s:e cret"));
	user[1].name = STR("spy");
	user[1].role = CONFIG_MONITOR;
	secret_set(&user[1].passwords[0].text, STR("look"));
	user[0].n_passwords = user[1].n_passwords = 1;
	config.users = user;
	config.n_users = 2;
	config.authenticate = true;
	check(loop_init(&loop) == 0);
	users = users_create(&loop, &config, NULL, NULL, NULL, NULL);
	return users;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct users_check ask = { 0 };
	struct users *users = users_once((struct config_platform **)&ask.platform);
	struct arena arena = { 0 };
	struct str token;
	int status = 1;

	if (size == 0)
		return 0;
	ask.peer = str_of(data[0] % 2 ? arena_printf(&arena, "10.0.0.%d", data[0] / 2)
				      : arena_printf(&arena, "2001:db8:%d::1", data[0] / 2));
	ask.authorization = str_make((const char *)data + 1, size - 1);
	check(users_check(users, &ask, &status));
	check(status == 0 || status == ERR_ACCESS || status == ERR_BUSY);
	check((status == ERR_BUSY) == (ask.retry_after > 0));
	token = base64_encode(&arena, PAIR, sizeof(PAIR) - 1);
	if (status == 0) {
		check(ask.user && str_is(ask.user->name, "cc"));
		check(str_ieq(str_make(ask.authorization.p, 6), STR("Basic ")));
		check(str_ends(ask.authorization, token));
	} else {
		check(!ask.user);
		check(!str_eq(ask.authorization,
			      str_of(arena_printf(&arena, "Basic %.*s", STR_ARG(token)))));
	}
	arena_finish(&arena);
	return 0;
}
