/* core/yaml_scalar: what one YAML scalar is, and the text it was written with.
 *
 * See core/yaml for the two typings. Values are struct json; those made here know their text
 * and whether they stood without quotes. Copies made by json_copy() are plain JSON again.
 * Source: YAML 1.2 chapter 10.3, yaml.v2 2.4.0 resolve.go. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_YAML_SCALAR_H
#define OSBD_CORE_YAML_SCALAR_H

#include "core/arena.h"
#include "core/json.h"
#include "core/str.h"

#define YAML_NO_SUCH_TAG "a tag that is not supported; a text that begins with ! needs quotes"

enum yaml_typing { YAML_CORE, YAML_V2 };

/* The value of a scalar; text is copied, and must be valid UTF-8. plain: it stands without
 * quotes. tag: NULL or in full, "tag:yaml.org,2002:str". NULL when there is no such value, then
 * *problem (may be NULL) says why in a static text without the value. */
struct json *yaml_scalar(struct arena *arena, struct str text, enum yaml_typing typing, bool plain,
			 const char *tag, const char **problem);

/* A scalar's text as it was written in the file, quotes and escapes resolved; for other JSON
 * values their text ("true", "null", a number's or string's). {NULL, 0} for mappings, lists and
 * NULL. */
struct str yaml_text(const struct json *v);
/* True for a scalar that stood without quotes in a YAML file. */
bool yaml_is_plain(const struct json *v);

#endif
