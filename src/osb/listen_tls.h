/* osb/listen_tls: from a listener's `tls:` to what src/tls wants to know. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_LISTEN_TLS_H
#define OSBD_OSB_LISTEN_TLS_H

#include "osb/config.h"
#include "tls/tls_config.h"

/* Everything in out is a copy in arena, so it may outlive the configuration. */
void listen_tls_options(const struct config_tls *tls, struct arena *arena,
			struct tls_tickets *tickets, struct tls_server_options *out);
/* Reads the certificates and keys of all listeners: an error for each set that cannot be used, a
 * warning for each key that everybody on this machine may read. */
void listen_tls_lint(const struct config *config, struct conf_errors *errors);

#endif
