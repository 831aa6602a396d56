/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema_meta.h"

#include "core/mem.h"

/* JSON with ' for ", so that it can be read here. */
static const char draft_04[] =
	"{'id':'http://json-schema.org/draft-04/schema#',"
	"'$schema':'http://json-schema.org/draft-04/schema#',"
	"'definitions':{"
	"'schemaArray':{'type':'array','minItems':1,'items':{'$ref':'#'}},"
	"'positiveInteger':{'type':'integer','minimum':0},"
	"'positiveIntegerDefault0':{'allOf':[{'$ref':'#/definitions/positiveInteger'},"
	"{'default':0}]},"
	"'simpleTypes':{'enum':['array','boolean','integer','null','number','object','string']},"
	"'stringArray':{'type':'array','items':{'type':'string'},'minItems':1,"
	"'uniqueItems':true}},"
	"'type':'object','properties':{"
	"'id':{'type':'string'},"
	"'$schema':{'type':'string'},"
	"'title':{'type':'string'},"
	"'description':{'type':'string'},"
	"'default':{},"
	"'multipleOf':{'type':'number','minimum':0,'exclusiveMinimum':true},"
	"'maximum':{'type':'number'},"
	"'exclusiveMaximum':{'type':'boolean'},"
	"'minimum':{'type':'number'},"
	"'exclusiveMinimum':{'type':'boolean'},"
	"'maxLength':{'$ref':'#/definitions/positiveInteger'},"
	"'minLength':{'$ref':'#/definitions/positiveIntegerDefault0'},"
	"'pattern':{'type':'string','format':'regex'},"
	"'additionalItems':{'anyOf':[{'type':'boolean'},{'$ref':'#'}],'default':{}},"
	"'items':{'anyOf':[{'$ref':'#'},{'$ref':'#/definitions/schemaArray'}],'default':{}},"
	"'maxItems':{'$ref':'#/definitions/positiveInteger'},"
	"'minItems':{'$ref':'#/definitions/positiveIntegerDefault0'},"
	"'uniqueItems':{'type':'boolean','default':false},"
	"'maxProperties':{'$ref':'#/definitions/positiveInteger'},"
	"'minProperties':{'$ref':'#/definitions/positiveIntegerDefault0'},"
	"'required':{'$ref':'#/definitions/stringArray'},"
	"'additionalProperties':{'anyOf':[{'type':'boolean'},{'$ref':'#'}],'default':{}},"
	"'definitions':{'type':'object','additionalProperties':{'$ref':'#'},'default':{}},"
	"'properties':{'type':'object','additionalProperties':{'$ref':'#'},'default':{}},"
	"'patternProperties':{'type':'object','additionalProperties':{'$ref':'#'},'default':{}},"
	"'dependencies':{'type':'object','additionalProperties':{'anyOf':[{'$ref':'#'},"
	"{'$ref':'#/definitions/stringArray'}]}},"
	"'enum':{'type':'array','minItems':1,'uniqueItems':true},"
	"'type':{'anyOf':[{'$ref':'#/definitions/simpleTypes'},{'type':'array',"
	"'items':{'$ref':'#/definitions/simpleTypes'},'minItems':1,'uniqueItems':true}]},"
	"'format':{'type':'string'},"
	"'allOf':{'$ref':'#/definitions/schemaArray'},"
	"'anyOf':{'$ref':'#/definitions/schemaArray'},"
	"'oneOf':{'$ref':'#/definitions/schemaArray'},"
	"'not':{'$ref':'#'}},"
	"'dependencies':{'exclusiveMaximum':['maximum'],'exclusiveMinimum':['minimum']},"
	"'default':{}}";

/* What drafts 06 and 07 have in common; each puts its own words around it. */
#define DEFINITIONS                                                                           \
	"'definitions':{"                                                                     \
	"'schemaArray':{'type':'array','minItems':1,'items':{'$ref':'#'}},"                   \
	"'nonNegativeInteger':{'type':'integer','minimum':0},"                                \
	"'nonNegativeIntegerDefault0':{'allOf':[{'$ref':'#/definitions/nonNegativeInteger'}," \
	"{'default':0}]},"                                                                    \
	"'simpleTypes':{'enum':['array','boolean','integer','null','number','object',"        \
	"'string']},"                                                                         \
	"'stringArray':{'type':'array','items':{'type':'string'},'uniqueItems':true,"         \
	"'default':[]}},"

#define PROPERTIES                                                                              \
	"'$id':{'type':'string','format':'uri-reference'},"                                     \
	"'$schema':{'type':'string','format':'uri'},"                                           \
	"'$ref':{'type':'string','format':'uri-reference'},"                                    \
	"'title':{'type':'string'},"                                                            \
	"'description':{'type':'string'},"                                                      \
	"'default':true,"                                                                       \
	"'examples':{'type':'array','items':true},"                                             \
	"'multipleOf':{'type':'number','exclusiveMinimum':0},"                                  \
	"'maximum':{'type':'number'},"                                                          \
	"'exclusiveMaximum':{'type':'number'},"                                                 \
	"'minimum':{'type':'number'},"                                                          \
	"'exclusiveMinimum':{'type':'number'},"                                                 \
	"'maxLength':{'$ref':'#/definitions/nonNegativeInteger'},"                              \
	"'minLength':{'$ref':'#/definitions/nonNegativeIntegerDefault0'},"                      \
	"'pattern':{'type':'string','format':'regex'},"                                         \
	"'additionalItems':{'$ref':'#'},"                                                       \
	"'items':{'anyOf':[{'$ref':'#'},{'$ref':'#/definitions/schemaArray'}],'default':true}," \
	"'maxItems':{'$ref':'#/definitions/nonNegativeInteger'},"                               \
	"'minItems':{'$ref':'#/definitions/nonNegativeIntegerDefault0'},"                       \
	"'uniqueItems':{'type':'boolean','default':false},"                                     \
	"'contains':{'$ref':'#'},"                                                              \
	"'maxProperties':{'$ref':'#/definitions/nonNegativeInteger'},"                          \
	"'minProperties':{'$ref':'#/definitions/nonNegativeIntegerDefault0'},"                  \
	"'required':{'$ref':'#/definitions/stringArray'},"                                      \
	"'additionalProperties':{'$ref':'#'},"                                                  \
	"'definitions':{'type':'object','additionalProperties':{'$ref':'#'},'default':{}},"     \
	"'properties':{'type':'object','additionalProperties':{'$ref':'#'},'default':{}},"      \
	"'patternProperties':{'type':'object','additionalProperties':{'$ref':'#'},"             \
	"'propertyNames':{'format':'regex'},'default':{}},"                                     \
	"'dependencies':{'type':'object','additionalProperties':{'anyOf':[{'$ref':'#'},"        \
	"{'$ref':'#/definitions/stringArray'}]}},"                                              \
	"'propertyNames':{'$ref':'#'},"                                                         \
	"'const':true,"                                                                         \
	"'type':{'anyOf':[{'$ref':'#/definitions/simpleTypes'},{'type':'array',"                \
	"'items':{'$ref':'#/definitions/simpleTypes'},'minItems':1,'uniqueItems':true}]},"      \
	"'format':{'type':'string'},"                                                           \
	"'allOf':{'$ref':'#/definitions/schemaArray'},"                                         \
	"'anyOf':{'$ref':'#/definitions/schemaArray'},"                                         \
	"'oneOf':{'$ref':'#/definitions/schemaArray'},"                                         \
	"'not':{'$ref':'#'},"

static const char draft_06[] = "{'$id':'http://json-schema.org/draft-06/schema#',"
			       "'$schema':'http://json-schema.org/draft-06/schema#'," DEFINITIONS
			       "'type':['object','boolean'],'properties':{" PROPERTIES
			       "'enum':{'type':'array','minItems':1,'uniqueItems':true}},"
			       "'default':{}}";

static const char draft_07[] =
	"{'$id':'http://json-schema.org/draft-07/schema#',"
	"'$schema':'http://json-schema.org/draft-07/schema#'," DEFINITIONS
	"'type':['object','boolean'],'properties':{" PROPERTIES "'$comment':{'type':'string'},"
	"'readOnly':{'type':'boolean','default':false},"
	"'enum':{'type':'array','items':true},"
	"'contentMediaType':{'type':'string'},"
	"'contentEncoding':{'type':'string'},"
	"'if':{'$ref':'#'},'then':{'$ref':'#'},'else':{'$ref':'#'}},"
	"'default':true}";

static const struct {
	const char *uri, *text;
} drafts[] = {
	[SCHEMA_DRAFT_04] = { "http://json-schema.org/draft-04/schema", draft_04 },
	[SCHEMA_DRAFT_06] = { "http://json-schema.org/draft-06/schema", draft_06 },
	[SCHEMA_DRAFT_07] = { "http://json-schema.org/draft-07/schema", draft_07 },
};

const char *schema_meta_uri(enum schema_draft draft)
{
	return drafts[draft].uri;
}

bool schema_meta_find(struct str uri, enum schema_draft *draft)
{
	size_t i;

	if (str_ends(uri, STR("#")))
		uri.n--;
	if (str_starts(uri, STR("https:")))
		uri = str_make(uri.p + strlen("https:"), uri.n - strlen("https:"));
	else if (str_starts(uri, STR("http:")))
		uri = str_make(uri.p + strlen("http:"), uri.n - strlen("http:"));
	else
		return false;
	for (i = 0; i < ARRAY_LEN(drafts); i++) {
		if (!str_is(uri, drafts[i].uri + strlen("http:")))
			continue;
		*draft = (enum schema_draft)i;
		return true;
	}
	return false;
}

struct str schema_meta_text(struct arena *arena, enum schema_draft draft)
{
	char *text = arena_strdup(arena, drafts[draft].text), *p;

	for (p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return str_of(text);
}
