/* core/json_same: one text for all values that are equal.
 *
 * Members are sorted by key, numbers are brought to one form (1, 1.0 and 10e-1 are the same text),
 * strings are escaped in one way. So two texts are equal exactly when json_equal() says so of the
 * values: for digests and for comparing with what was stored. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_JSON_SAME_H
#define OSBD_CORE_JSON_SAME_H

#include "core/json.h"

/* NULL is written as null. */
void json_write_same(struct buf *buf, const struct json *v);

#endif
