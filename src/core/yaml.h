/* core/yaml: one YAML document as a core/json tree, with positions (libyaml's event API).
 *
 *   typing    YAML_CORE: our own files. null ~ and empty, true/false, integers (decimal, 0x1F,
 *             0o17, 0b11, 017 octal, 1_000), floats; all else is a string, yes and on included.
 *             YAML_V2: foreign files, by the rules of Go's yaml.v2, in which y, yes, on, n, no and
 *             off are booleans too and of duplicate keys the last wins, with a warning. In
 *             neither is 1:30 a number or 2001-12-14 a date.
 *   numbers   become JSON numbers of the same exact value: 0x1F is 31, 1_000 is 1000, .5 is 0.5,
 *             1e3 stays. .inf and .nan are refused.
 *   keys      are strings: other scalars become their text. Duplicates are refused in YAML_CORE.
 *             Mappings and lists as keys are refused.
 *   aliases   share their anchor's value; what they add when they are expanded is counted against
 *             a budget. An alias inside its own anchor is refused.
 *   merge     `<<: *a` and `<<: [*a, *b]`: explicit keys win, then the first of the list.
 *   tags      !!str, !!int, !!float, !!bool, !!null, !!map and !!seq; others are refused.
 *
 * Each scalar keeps its text and whether it was plain (core/yaml_scalar), so that a decoder that
 * wants a string gets "1.0" of 1.0.
 *
 * Refused: more than one document, NUL, invalid UTF-8, all of it with `line:column: what`, from
 * 1, in characters. Source: YAML 1.2, yaml.v2 2.4.0 resolve.go. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_YAML_H
#define OSBD_CORE_YAML_H

#include "core/arena.h"
#include "core/err.h"
#include "core/json.h"
#include "core/str.h"
#include "core/yaml_scalar.h"

#define YAML_BYTES_MAX (1 << 20)
#define YAML_DEPTH_MAX 128
#define YAML_ALIASES_MAX 10000 /* values that aliases and merge keys may add */
#define YAML_ANCHORS_MAX 1000

struct yaml_options {
	enum yaml_typing typing;
	size_t bytes;     /* of the text; 0 = YAML_BYTES_MAX */
	unsigned depth;   /* lists and mappings inside each other; 0, or more: YAML_DEPTH_MAX */
	unsigned aliases; /* 0 = YAML_ALIASES_MAX */
	/* YAML_V2's duplicate keys; may be NULL. text: `duplicate key "a": the last one counts` */
	void (*warn)(void *data, uint32_t line, uint32_t column, const char *text);
	void *data;
};

/* options may be NULL: YAML_CORE and the limits above. The text is copied: it need not outlive
 * the call. An empty document is null. Errors: ERR_TOOBIG for limits, else ERR_SYNTAX. */
MUST_CHECK int yaml_parse(struct arena *arena, struct str text, const struct yaml_options *options,
			  struct json **out, struct err *err);

#endif
