/* cmd/survey: what backends have marked as osbd's outside of it, held against the store.
 *
 *   unknown  it is there, and no instance or binding stands for it
 *   missing  an instance or a binding is ready, and nothing stands for it
 *
 * What is outside is read before the store, and a mark is never made before its row: what runs
 * meanwhile is not taken for unknown. A line each, as `osbd orphans` says. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CMD_SURVEY_H
#define OSBD_CMD_SURVEY_H

#include "cmd/cmd.h"

/* Prints; *n is the number of lines. remove: names of unknown ones to take away, each said, and an
 * error for those that are not unknown. An exit code. */
int survey_all(struct setup *setup, char **remove, int n_remove, size_t *n);

#endif
