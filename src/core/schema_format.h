/* core/schema_format: the values of JSON Schema's `format`, for strings.
 *
 *   date-time date time           RFC 3339; a leap second only where one may stand
 *   email idn-email               RFC 5321 Mailbox; idn- also with UTF-8 (RFC 6531)
 *   hostname idn-hostname         RFC 1123; idn- also with UTF-8 labels, whose length counts in
 *                                 characters, without the ones that RFC 5892 section 2.6 forbids
 *   ipv4 ipv6                     RFC 2673 dotted quad, RFC 4291
 *   uri uri-reference             RFC 3986
 *   iri iri-reference             the same with UTF-8
 *   uri-template                  RFC 6570
 *   json-pointer                  RFC 6901; relative-json-pointer as draft-handrews-…-01
 *   regex                         what core/regex compiles
 *
 * Source: JSON Schema draft-07 validation section 7.3. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_SCHEMA_FORMAT_H
#define OSBD_CORE_SCHEMA_FORMAT_H

#include "core/str.h"

typedef bool (*schema_format_fn)(struct str text);

/* The check for a format; NULL when the name is none of the above: such formats check nothing. */
schema_format_fn schema_format_find(struct str name);

#endif
