/* core/conf_scalar: what the parts of core/conf share: the place, the words, the scalars. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_CONF_SCALAR_H
#define OSBD_CORE_CONF_SCALAR_H

#include "core/conf.h"

/* Goes one step down; gives what conf_pop() takes to come back. */
size_t conf_push(struct conf *conf, const char *key);
size_t conf_push_index(struct conf *conf, size_t i);
void conf_pop(struct conf *conf, size_t at);

/* "must be WHAT, not a list" */
void conf_must_be(struct conf *conf, const struct json *node, const char *what);
/* Every type but mappings, lists, free form and custom ones. */
void conf_scalar(struct conf *conf, const struct conf_key *key, const struct json *node,
		 void *field);

#endif
