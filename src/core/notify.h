/* core/notify: tells a service manager how the daemon is (the sd_notify protocol).
 *
 * One datagram per message to the socket that NOTIFY_SOCKET names: a path, or an abstract name
 * behind '@'. Without that variable, or when the manager does not listen, nothing happens: no
 * daemon fails because nobody wants to know. Never blocks.
 * Source: sd_notify(3), sd_watchdog_enabled(3). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_NOTIFY_H
#define OSBD_CORE_NOTIFY_H

#include "core/timer.h"

/* Lines such as "READY=1\nSTATUS=serving"; RELOADING=1 wants MONOTONIC_USEC behind it, which is
 * added. */
void notify_send(const char *message);

/* Keeps a watchdog content for as long as the loop runs: WATCHDOG=1 twice in each interval that
 * WATCHDOG_USEC asks for. Not asked for (or of another process, WATCHDOG_PID): no timer runs. */
void notify_watchdog_start(struct timer *timer, struct loop *loop);

#endif
