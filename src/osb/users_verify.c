/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/users_verify.h"

#include "core/mem.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* How long what stands behind the last '$' must be: crypt_checksalt() looks at the beginning
 * only, so that a hash that was cut off would pass and then never verify. */
static const struct {
	const char *prefix;
	size_t digest; /* bytes behind the last '$' */
	unsigned dollars;
} methods[] = {
	{ "$y$", 43, 4 },  { "$gy$", 43, 4 },   { "$7$", 43, 3 },  { "$2a$", 53, 3 },
	{ "$2b$", 53, 3 }, { "$2x$", 53, 3 },   { "$2y$", 53, 3 }, { "$6$", 86, 3 },
	{ "$5$", 43, 3 },  { "$sha1$", 28, 4 }, { "$1$", 22, 3 },
};

static const char *form_fault(struct str text)
{
	size_t i, behind = 0;
	unsigned dollars = 0;

	/* DES knows no mark: anything would be taken for it */
	if (text.p[0] != '$' && text.n != (text.p[0] == '_' ? 20 : 13))
		return "is not a crypt(3) hash";
	for (i = 0; i < text.n; i++) {
		behind++;
		if (text.p[i] == '$') {
			dollars++;
			behind = 0;
		}
	}
	for (i = 0; i < ARRAY_LEN(methods); i++) {
		if (!str_starts(text, str_of(methods[i].prefix)))
			continue;
		if (dollars < methods[i].dollars || behind != methods[i].digest)
			return "is a crypt(3) hash that is not complete";
		return NULL;
	}
	return NULL;
}

const char *users_hash_fault(struct str text, bool *weak)
{
	char *setting;
	size_t i;
	int rc;

	*weak = false;
	if (text.n == 0)
		return "is an empty hash";
	if (text.n >= CRYPT_OUTPUT_SIZE)
		return "is longer than any crypt(3) hash";
	for (i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] >= 0x7f)
			return "is not a crypt(3) hash: it holds a blank or a special character";
	setting = mem_strndup(text.p, text.n);
	rc = crypt_checksalt(setting);
	mem_wipe(setting, text.n);
	mem_free(setting);
	if (rc == CRYPT_SALT_INVALID)
		return "is not a crypt(3) hash of a method that is known here";
	if (rc == CRYPT_SALT_METHOD_DISABLED)
		return "is a crypt(3) hash of a method that is disabled here";
	*weak = rc == CRYPT_SALT_METHOD_LEGACY || rc == CRYPT_SALT_TOO_CHEAP;
	return form_fault(text);
}

static bool has_control(struct str text)
{
	size_t i;

	for (i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
			return true;
	return false;
}

static void lint_password(const struct config_user *user, size_t i, const char *path,
			  struct conf_errors *errors)
{
	const struct config_password *password = &user->passwords[i];
	struct str text = secret_reveal(&password->text);
	const char *fault;
	bool weak;

	if (password->crypt) {
		fault = users_hash_fault(text, &weak);
		if (fault)
			conf_errors_add(errors, user->node, path, "password %zu %s", i + 1, fault);
		else if (weak)
			conf_errors_warn(errors, user->node, path,
					 "password %zu is hashed with a weak method, better is "
					 "yescrypt ($y$)",
					 i + 1);
		return;
	}
	if (text.n == 0)
		conf_errors_add(errors, user->node, path, "password %zu is empty", i + 1);
	else if (has_control(text) || !str_is_utf8(text))
		conf_errors_add(errors, user->node, path,
				"password %zu holds what HTTP Basic cannot carry: a control "
				"character, or bytes that are not UTF-8",
				i + 1);
	else if (user->name.n + 1 + text.n > USERS_PAIR_MAX)
		conf_errors_add(errors, user->node, path,
				"name and password %zu are longer than %d bytes together", i + 1,
				USERS_PAIR_MAX - 1);
}

void users_lint(const struct config *config, struct conf_errors *errors)
{
	char path[64];
	size_t i, j;

	for (i = 0; i < config->n_users; i++) {
		const struct config_user *user = &config->users[i];

		snprintf(path, sizeof(path), "users[%zu]", i);
		if (user->name.n == 0 || has_control(user->name) || !str_is_utf8(user->name) ||
		    memchr(user->name.p, ':', user->name.n))
			conf_errors_add(errors, user->node, path,
					"a name is not empty and holds neither a colon nor control "
					"characters: HTTP Basic cannot carry them");
		for (j = 0; j < user->n_passwords; j++)
			lint_password(user, j, path, errors);
	}
}

static int verify(const char *hash, const char *password)
{
	struct crypt_data *data = mem_zalloc(sizeof(*data));
	const char *out = crypt_r(password, hash, data);
	int rc = USERS_WRONG;
	size_t n;

	if (!out || out[0] == '*') {
		rc = USERS_UNUSABLE;
	} else {
		n = strlen(out);
		if (n == strlen(hash) && mem_same(out, hash, n))
			rc = USERS_RIGHT;
	}
	mem_wipe(data, sizeof(*data));
	mem_free(data);
	return rc;
}

int users_verify_main(void)
{
	char in[CRYPT_OUTPUT_SIZE + USERS_PAIR_MAX + 2];
	size_t n = 0, hash;
	ssize_t got;
	int rc = USERS_UNUSABLE;

	prctl(PR_SET_DUMPABLE, 0);
	while (n < sizeof(in) - 1) {
		got = read(STDIN_FILENO, in + n, sizeof(in) - 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	in[n] = '\0';
	hash = strlen(in);
	if (n < sizeof(in) - 1 && hash > 0 && hash < n && strlen(in + hash + 1) == n - hash - 1)
		rc = n - hash - 1 > USERS_PASSWORD_MAX ? USERS_WRONG : verify(in, in + hash + 1);
	mem_wipe(in, sizeof(in));
	return rc;
}
