/* core/regex: regular expressions as JSON Schema means them (ECMA-262), bounded in effort.
 *
 * The pattern is translated where PCRE2 reads it otherwise: `[` inside a class is plain, \s is
 * ECMA's white space, \uD83D\uDE00 is one character, `$` is the very end, `[]` matches nothing;
 * an escape that ECMA-262 does not know (\A, \Z, \a …) is refused. A match may stand anywhere in
 * the subject. Inline flags and what else PCRE2 adds behind `(?` are let through.
 *
 * errors: ERR_SYNTAX the pattern, with the reason and the offset in it; ERR_TOOBIG a match that
 *         would take more than REGEX_EFFORT_MAX steps: it is neither true nor false.
 * Source: ECMA-262 section 21.2; JSON Schema draft-07 validation section 4.3. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_REGEX_H
#define OSBD_CORE_REGEX_H

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

#define REGEX_PATTERN_MAX 8192  /* bytes of a pattern */
#define REGEX_EFFORT_MAX 100000 /* backtracking steps of one match */

struct regex;

/* The expression lives as long as the arena. */
MUST_CHECK int regex_compile(struct arena *arena, struct str pattern, struct regex **out,
			     struct err *err);
/* The subject must be UTF-8, else ERR_INVALID. effort, when not NULL, is set to what the match
 * cost at most: 1000 or, for the rare one that took longer, REGEX_EFFORT_MAX. */
MUST_CHECK int regex_match(const struct regex *regex, struct str subject, bool *matched,
			   unsigned *effort, struct err *err);

#endif
