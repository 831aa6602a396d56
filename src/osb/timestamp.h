/* osb/timestamp: ms since 1970 as the specification writes it: 2019-12-31T23:59:59.0Z. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_TIMESTAMP_H
#define OSBD_OSB_TIMESTAMP_H

#include "core/arena.h"

#include <stdint.h>

char *timestamp(struct arena *arena, uint64_t ms);

#endif
