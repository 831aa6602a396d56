/* backends/bundle_schema: the parameters of a bundle's plan as JSON schemas and as forms.
 *
 *   type of apb.yml     JSON type  keywords
 *   string, enum        string     maxLength, minLength, pattern
 *   int, integer        integer    multipleOf, minimum, maximum, exclusive… (draft-04 booleans)
 *   number              number     the same
 *   bool, boolean       boolean
 *   object, array       object, array
 *   nil, null           null
 *
 * Each property has title, description, default and enum as given. `required` keeps the order of
 * the parameters. Nothing else is allowed in the object.
 *
 * A parameter P that depends on K = V is not among the properties, so a form does not show it;
 * patternProperties admits it, and `dependencies` demands it:
 *   K without enum   K: {properties: {P}, required: [P]}
 *   K with enum      K: {oneOf: [{properties: {K: {enum: [values]}, P…}, required: [P…]}…]}, a
 *                    branch for each set of parameters that the same values ask for, the empty
 *                    set included; so exactly one branch holds for each value of K.
 * A form is a list: a parameter's name; {key, type} with a display_type; neighbours of one
 * display_group together in {title, type: fieldset, items}. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_BUNDLE_SCHEMA_H
#define OSBD_BACKENDS_BUNDLE_SCHEMA_H

#include "backends/bundle_spec.h"

/* {service_instance: {create: {parameters}, update: {…}}, service_binding: {create: {…}}} */
struct json *bundle_schemas(struct arena *arena, const struct bundle_plan *plan);
/* The same shape with {openshift_form_definition: […]}. */
struct json *bundle_forms(struct arena *arena, const struct bundle_plan *plan);

#endif
