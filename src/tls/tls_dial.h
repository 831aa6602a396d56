/* tls/tls_dial: TLS for who dials (core/dial): what a client trusts and what it shows.
 *
 * The files are read when it is made; who has changed them makes a new one, which gets an id of
 * its own, so that connections made under the old trust are not used under the new. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_DIAL_H
#define OSBD_TLS_TLS_DIAL_H

#include "core/dial.h"
#include "tls/tls_stream.h"

struct tls_dial;

/* budget is borrowed for as long as there are connections. Errors as of tls_client_config(). */
int tls_dial_create(const struct tls_client_options *options, struct tls_budget *budget,
		    struct tls_dial **out, struct err *err) MUST_CHECK;
/* Connections that it has made may outlive it; none is being made. NULL is fine. */
void tls_dial_destroy(struct tls_dial *dial);
const struct dial_wrap *tls_dial_wrap(const struct tls_dial *dial);

#endif
