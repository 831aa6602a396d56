/* backends/bundle_test: the action `test`, which is for people and no operation.
 *
 * Provision with a plan's defaults, test, deprovision, of an instance that the store does not know.
 * What was provisioned is deprovisioned also when one of the two has failed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_TEST_H
#define OSBD_BACKENDS_BUNDLE_TEST_H

#include "osb/backend.h"

struct bundle_test {
	struct call call;   /* 0: the actions ended, see below; else as child_start() */
	const char *action; /* the first that failed, else "test" */
	int exit_code;      /* its; -1: a signal ended it */
	struct str message; /* what it left in `message`; after a failure, else the end of stderr */
	struct arena arena; /* the caller finishes it */
	struct bundle_op *op; /* private */
	size_t next;
};

int bundle_test_start(struct bundle_test *test, struct backend *backend, const struct plan *plan,
		      struct err *err) MUST_CHECK;

#endif
