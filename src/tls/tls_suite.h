/* tls/tls_suite: the cipher suites there are: AEAD with forward secrecy, of TLS 1.3 and 1.2. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_TLS_TLS_SUITE_H
#define OSBD_TLS_TLS_SUITE_H

#include "core/str.h"

#define TLS_SUITES 9

/* Its number, by IANA's name; 0: there is no such suite. */
int tls_suite(struct str name);
int tls_suite_at(size_t i); /* 0 … TLS_SUITES - 1, the best first */

#endif
