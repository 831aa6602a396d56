/* osb/catalog_lint: would a platform take this catalog?
 *
 * Errors are what Cloud Controller refuses a broker for, or what cannot work here; warnings are
 * what OSB 2.17 and its profile recommend:
 *
 *   errors     no service, a service without a plan; id, name, description blank; description
 *              longer than CATALOG_DESCRIPTION_MAX; tags that are no strings or longer than
 *              CATALOG_TAGS_MAX together; metadata that is no object, metadata.shareable that is
 *              no boolean; service ids and names, plan ids of all services, plan names of one,
 *              dashboard_client ids that are not unique; a dashboard_client without id, secret
 *              or redirect_uri; a maintenance_info version that is not SemVer 2.0, or longer
 *              than CATALOG_MAINTENANCE_MAX as JSON; bindings that may be made asynchronously
 *              but not fetched; a bindable or updateable plan of a backend that cannot do it; a
 *              binding_lifetime without bindings; a maximum_polling_duration of broken seconds
 *   warnings   names that command lines do not take well; names, ids, descriptions and tags of
 *              more than CATALOG_STRING_MAX characters; metadata that is not what the profile
 *              says; requires, rotation and lifetimes that lead to nothing
 *
 * Lengths are in characters. Schemas are osb/catalog_schemas'. Source: OSB 2.17 "Catalog
 * Management", the profile's "Service Metadata"; what Cloud Controller enforces. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_CATALOG_LINT_H
#define OSBD_OSB_CATALOG_LINT_H

#include "osb/backend.h"

#define CATALOG_DESCRIPTION_MAX 10000
#define CATALOG_TAGS_MAX 2048
#define CATALOG_MAINTENANCE_MAX 2000
#define CATALOG_STRING_MAX 255

/* The offerings are complete, their backends open. Of one whose backend did not open (NULL) much
 * may be missing for that reason: only ids and names that stand twice are reported. */
void catalog_lint(const struct offering *offerings, size_t n, struct conf_errors *errors);

/* Semantic Versioning 2.0, section 2, 9 and 10. */
bool catalog_is_semver(struct str text);

#endif
