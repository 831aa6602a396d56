/* core/failpoint: named places where a test build dies, stops or fails on request.
 *
 *   OSBD_FAILPOINT=journal.step.deploy=kill@2    SIGKILL at the second passage
 *   OSBD_FAILPOINT=store.commit=stop;child.dial=fail@1
 *
 * Actions: kill (SIGKILL), stop (SIGSTOP), fail (FAILPOINT returns true), wait (sleep 200 ms).
 * Without @n each passage counts. In builds without -Dfailpoints it is nothing at all. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_FAILPOINT_H
#define OSBD_CORE_FAILPOINT_H

#include <stdbool.h>

#ifdef OSBD_FAILPOINTS
/* name: printf-like, so that a step's name can be part of it. True: the caller must fail. */
bool failpoint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#else
static inline __attribute__((format(printf, 1, 2))) bool failpoint(const char *fmt, ...)
{
	(void)fmt;
	return false;
}
#endif

#endif
