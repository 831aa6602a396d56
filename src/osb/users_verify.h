/* osb/users_verify: crypt(3) hashes: their form, and the child that verifies one.
 *
 * Source: crypt(5) of libxcrypt. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_USERS_VERIFY_H
#define OSBD_OSB_USERS_VERIFY_H

#include "osb/config.h"

#define USERS_RIGHT 0 /* exit codes of the verifier */
#define USERS_WRONG 1
#define USERS_UNUSABLE 2 /* stdin was not understood, or the hash is of no known method */

#define USERS_PAIR_MAX 2048    /* bytes of name, colon and password */
#define USERS_PASSWORD_MAX 511 /* bytes: what crypt(3) takes */

/* NULL when text is a hash that crypt(3) here can verify; else what is wrong with it. weak: set
 * when its method is known to be too weak. The hash itself is never in the text. */
const char *users_hash_fault(struct str text, bool *weak);

/* What is wrong with the users of a configuration, beyond what its rows say: hashes that can
 * never verify, names and passwords that HTTP Basic cannot carry. */
void users_lint(const struct config *config, struct conf_errors *errors);

/* `osbd verify-password`: reads hash, NUL, password from stdin and returns one of the exit codes
 * above. Writes nothing. The password is not in reach of others meanwhile: no core, no ptrace. */
int users_verify_main(void);

#endif
