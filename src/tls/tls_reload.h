/* tls/tls_reload: the TLS of a listener, whose certificates are read anew without dropping anybody.
 *
 * tls_listener_reload() reads the files again: a good set is what new connections get, those that
 * are there keep theirs; a bad one (a key that does not match, half a file) changes nothing, and
 * the log says why. Once a minute the files are looked at, and read again when one has changed;
 * what was refused is tried again when it changes once more.
 *
 * Before a certificate ends the log warns, 30, 14, 7, 3 and 1 days before and when it is over.
 * Metrics: osbd_tls_certificate_expiry_seconds{listener,certificate}, the time that is left
 * (negative: since when it is over), osbd_tls_reloads_total{result}. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_RELOAD_H
#define OSBD_TLS_TLS_RELOAD_H

#include "core/timer.h"
#include "tls/tls_stream.h"

#define TLS_CHECK_MS MINUTES(1)

struct tls_listener;

struct tls_listener_options {
	struct loop *loop;
	const struct log *log;
	struct metrics *metrics; /* may be NULL */
	struct tls_budget *budget;
	const char *address;              /* for log and metrics; copied */
	struct tls_server_options server; /* all of it is borrowed for the listener's life */
	uint64_t handshake_ms;            /* 0: the default */
};

/* Errors as of tls_server_config(). */
int tls_listener_create(const struct tls_listener_options *options, struct tls_listener **out,
			struct err *err) MUST_CHECK;
void tls_listener_destroy(struct tls_listener *listener); /* streams may outlive it; NULL is fine */

/* For http_listen.wrap: data is the listener. */
struct stream *tls_listener_wrap(void *data, struct stream *under, const char *peer);
/* 0, or an error that was logged, and nothing has changed. */
int tls_listener_reload(struct tls_listener *listener);
/* The look of once a minute, at once (tests). */
void tls_listener_check(struct tls_listener *listener);

#endif
