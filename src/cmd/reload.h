/* cmd/reload: SIGHUP. Reads the configuration anew while requests go on.
 *
 * A new generation is read, opened and linted beside the old one; then the store is asked which
 * plans are in use. Only when all is well it takes the old one's place; otherwise the old stays
 * and the log says why. Keys that a running process cannot change keep their old value, and the log
 * names them. A SIGHUP during a reload is answered by another one after it; one that is not done
 * when osbd stops changes nothing. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CMD_RELOAD_H
#define OSBD_CMD_RELOAD_H

#include "cmd/cmd.h"
#include "osb/broker.h"

struct reload {
	struct setup *setup;
	struct broker *broker;
	const char *path;
	struct generation *next; /* while the store is asked */
	struct conf_errors errors;
	struct arena arena;
	struct store_plan_use use;
	bool again, stopping;
};

void reload_init(struct reload *reload, struct setup *setup, struct broker *broker,
		 const char *path);
void reload_start(struct reload *reload);
/* What is under way ends without a word, at the latest with the store; nothing is taken over. */
void reload_stop(struct reload *reload);

/* Plans that instances have and gen does not offer: an error each. Their instances could never be
 * deleted. Returns how many. */
int reload_missing_plans(const struct generation *gen, const struct store_plan_use *use,
			 struct conf_errors *errors);

#endif
