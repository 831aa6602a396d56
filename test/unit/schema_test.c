/* SPDX-License-Identifier: Apache-2.0 */
/* What the suite (schema_suite_test.c) does not look at: texts, limits, refusals. */
#include "core/mem.h"
#include "core/schema.h"
#include "core/schema_format.h"
#include "core/schema_ref.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

/* Tests write ' for ". */
static struct json *parse(struct arena *arena, const char *text)
{
	char *copy = arena_strdup(arena, text), *p;
	struct json_limits limits = { .bytes = 8 << 20, .depth = 1000 };
	struct json *v = NULL;
	struct err err;

	for (p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (json_parse(arena, str_of(copy), &limits, &v, &err))
		fail_msg("%s: %s", text, err.text);
	return v;
}

static struct schema *compile(struct arena *arena, const char *text)
{
	struct schema *schema = NULL;
	struct err err;

	if (schema_compile_as(arena, parse(arena, text), SCHEMA_DRAFT_07, &schema, &err))
		fail_msg("%s: %s", text, err.text);
	return schema;
}

static void test_texts(void **state)
{
	static const struct {
		const char *schema, *value, *error; /* NULL: conforms */
	} rows[] = {
		{ "{'type':'integer'}", "'x'", "parameters: must be an integer, not a string" },
		{ "{'type':'integer'}", "1.5",
		  "parameters: must be an integer, not a number with a fraction" },
		{ "{'type':'integer'}", "1e400", NULL },
		{ "{'type':['string','null','boolean']}", "[]",
		  "parameters: must be a string, true or false or null, not an array" },
		{ "{'type':['number','integer']}", "{}",
		  "parameters: must be a number, not an object" },
		{ "{'properties':{'ports':{'items':{'type':'integer'}}}}", "{'ports':[1,2,'3']}",
		  "parameters.ports[2]: must be an integer, not a string" },
		{ "{'properties':{'size':{},'name':{}},'additionalProperties':false,"
		  "'required':['size']}",
		  "{'sise':1}", "parameters: \"sise\" is not allowed here (allowed: size, name)" },
		{ "{'patternProperties':{'^x-':{}},'additionalProperties':false}", "{'y':1}",
		  "parameters: \"y\" is not allowed here (allowed: names like ^x-)" },
		{ "{'additionalProperties':false}", "{'y':1}",
		  "parameters: \"y\" is not allowed here (no members are)" },
		{ "{'properties':{'tier':{'enum':['small','large']}}}", "{'tier':'Small'}",
		  "parameters.tier: must be one of \"small\", \"large\"" },
		{ "{'enum':['only']}", "1", "parameters: must be \"only\"" },
		{ "{'const':{'a':1}}", "1", "parameters: must be {\"a\":1}" },
		{ "{'properties':{'a':{'required':['b']}}}", "{'a':{}}",
		  "parameters.a.b: is required" },
		{ "{'properties':{'a b':{'items':{'minimum':3}}}}", "{'a b':[3,2]}",
		  "parameters[\"a b\"][1]: must be at least 3" },
		{ "{'maximum':3}", "3.01", "parameters: must be at most 3" },
		{ "{'exclusiveMinimum':3}", "3.0", "parameters: must be greater than 3" },
		{ "{'exclusiveMaximum':3e0}", "3", "parameters: must be less than 3e0" },
		{ "{'multipleOf':0.01}", "99.95", NULL },
		{ "{'multipleOf':0.01}", "99.955", "parameters: must be a multiple of 0.01" },
		{ "{'minLength':2}", "'\xc3\xa4'", "parameters: must have at least 2 characters" },
		{ "{'maxLength':1}", "'\xc3\xa4'", NULL },
		{ "{'maxLength':1}", "'ab'", "parameters: must have at most 1 character" },
		{ "{'pattern':'^[a-z]+$'}", "'secret7'",
		  "parameters: must match the pattern ^[a-z]+$" },
		{ "{'format':'date-time'}", "'now'", "parameters: must be a valid date-time" },
		{ "{'format':'whatever'}", "'now'", NULL },
		{ "{'minItems':2}", "[1]", "parameters: must have at least 2 items" },
		{ "{'maxItems':0}", "[1]", "parameters: must have at most 0 items" },
		{ "{'uniqueItems':true}", "[1,2,1.0]",
		  "parameters: items 0 and 2 must not be equal" },
		{ "{'uniqueItems':true}", "[1,2,3,4,5,6,7,8,9,{'a':1,'b':2},11,{'b':2,'a':1e0}]",
		  "parameters: items 9 and 11 must not be equal" },
		{ "{'uniqueItems':true}", "[1,2,3,4,5,6,7,8,9,{'a':1},11,{'a':2}]", NULL },
		{ "{'contains':{'const':1}}", "[2]",
		  "parameters: must contain an item as the schema's \"contains\" says" },
		{ "{'minProperties':1}", "{}", "parameters: must have at least 1 member" },
		{ "{'maxProperties':1}", "{'a':1,'b':2}",
		  "parameters: must have at most 1 member" },
		{ "{'propertyNames':{'maxLength':2}}", "{'abc':1}",
		  "parameters: the name \"abc\" must have at most 2 characters" },
		{ "{'dependencies':{'a':['b']}}", "{'a':1}",
		  "parameters.b: is required together with \"a\"" },
		{ "{'properties':{'a':false}}", "{'a':1}", "parameters.a: is not allowed" },
		{ "{'not':{'type':'null'}}", "null",
		  "parameters: must not be what the schema excludes with \"not\"" },
		{ "{'if':{'type':'string'},'then':{'minLength':1},'else':{'minimum':0}}", "-1",
		  "parameters: must be at least 0" },
		{ "{'oneOf':[{'type':'integer'},{'minimum':2}]}", "3",
		  "parameters: must fit exactly one of 2 alternatives, but fits several" },
		/* of alternatives, the one that was meant */
		{ "{'anyOf':[{'type':'integer'},{'type':'null'}]}", "'x'",
		  "parameters: must be an integer or null, not a string" },
		{ "{'anyOf':[{'type':'integer'},{'type':'string','minLength':3}]}", "'x'",
		  "parameters: must have at least 3 characters" },
		{ "{'anyOf':[{'type':'string'},{'type':'array','items':{'type':'string'}}]}", "[1]",
		  "parameters[0]: must be a string, not a number" },
		{ "{'oneOf':[{'properties':{'kind':{'enum':['disk']},'size':{'type':'integer',"
		  "'minimum':1}}},{'properties':{'kind':{'enum':['net']}}}]}",
		  "{'kind':'disk','size':0}", "parameters.size: must be at least 1" },
		{ "{'oneOf':[{'required':['a']},{'required':['b']}]}", "{}",
		  "parameters.a: is required" },
		{ "{'anyOf':[{'minimum':5},{'multipleOf':2}]}", "3",
		  "parameters: must be at least 5, or must be a multiple of 2" },
		{ "{'allOf':[{'anyOf':[{'anyOf':[{'type':'null'}]},{'type':'object'}]}]}", "1",
		  "parameters: must be an object or null, not a number" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena = { 0 };
		struct schema *schema = compile(&arena, rows[i].schema);
		struct err err = { 0 };
		int rc = schema_validate(schema, parse(&arena, rows[i].value), "parameters", &err);

		assert_int_equal(rc, rows[i].error ? ERR_INVALID : 0);
		if (strcmp(err.text, rows[i].error ? rows[i].error : "") != 0)
			fail_msg("%s\nsays    %s\nand not %s", rows[i].schema, err.text,
				 rows[i].error ? rows[i].error : "nothing");
		assert_int_equal(schema_validate(schema, parse(&arena, rows[i].value), NULL, NULL),
				 rc);
		arena_finish(&arena);
	}
}

static void test_root_path(void **state)
{
	struct arena arena = { 0 };
	struct schema *schema =
		compile(&arena, "{'type':'object','properties':{'a':{'type':'null'}}}");
	struct err err;

	(void)state;
	assert_int_equal(schema_validate(schema, parse(&arena, "1"), "", &err), ERR_INVALID);
	assert_string_equal(err.text, "must be an object, not a number");
	assert_int_equal(schema_validate(schema, parse(&arena, "{'a':1}"), NULL, &err),
			 ERR_INVALID);
	assert_string_equal(err.text, "a: must be null, not a number");
	arena_finish(&arena);
}

static void test_refused(void **state)
{
	static const struct {
		const char *schema;
		int code;
		const char *error;
	} rows[] = {
		{ "1", ERR_SYNTAX, "#: a schema must be an object, true or false, not a number" },
		{ "{'$schema':'http://json-schema.org/draft-03/schema#'}", ERR_UNSUPPORTED, NULL },
		{ "{'$schema':'https://json-schema.org/draft/2020-12/schema'}", ERR_UNSUPPORTED,
		  NULL },
		{ "{'$schema':7}", ERR_SYNTAX, "#/$schema: must be a string, not a number" },
		{ "{'properties':{'a':{'type':'int'}}}", ERR_SYNTAX,
		  "#/properties/a/type: must be \"null\", \"boolean\", \"integer\", \"number\", "
		  "\"string\", \"array\", \"object\", or an array of these" },
		{ "{'properties':{'a':{'minimum':'1'}}}", ERR_SYNTAX,
		  "#/properties/a/minimum: must be a number, not a string" },
		{ "{'multipleOf':0}", ERR_SYNTAX,
		  "#/multipleOf: must be greater than 0 and have at most 18 digits" },
		{ "{'minLength':-1}", ERR_SYNTAX, "#/minLength: must be an integer of at least 0" },
		{ "{'minLength':1.5}", ERR_SYNTAX,
		  "#/minLength: must be an integer of at least 0" },
		{ "{'pattern':'('}", ERR_SYNTAX,
		  "#/pattern: \"(\" is no regular expression: missing closing parenthesis at "
		  "offset 1" },
		{ "{'patternProperties':{'[':{}}}", ERR_SYNTAX, NULL },
		{ "{'items':[{},{'not':5}]}", ERR_SYNTAX,
		  "#/items/1/not: a schema must be an object, true or false, not a number" },
		{ "{'allOf':[]}", ERR_SYNTAX, "#/allOf: must not be empty" },
		{ "{'anyOf':{}}", ERR_SYNTAX,
		  "#/anyOf: must be an array of schemas, not an object" },
		{ "{'required':'a'}", ERR_SYNTAX,
		  "#/required: must be an array of names, not a string" },
		{ "{'required':[1]}", ERR_SYNTAX, NULL },
		{ "{'properties':[]}", ERR_SYNTAX,
		  "#/properties: must be an object, not an array" },
		{ "{'$ref':'http://example.com/x.json'}", ERR_NOENT,
		  "#/$ref: \"http://example.com/x.json\" is outside of this schema, which osbd "
		  "does not "
		  "follow" },
		{ "{'items':{'$ref':'other.json#/a'}}", ERR_NOENT, NULL },
		{ "{'$ref':'#/definitions/a'}", ERR_NOENT,
		  "#/$ref: \"#/definitions/a\" points to nothing" },
		{ "{'$ref':'#name'}", ERR_NOENT, "#/$ref: \"#name\" points to nothing" },
		{ "{'$ref':5}", ERR_SYNTAX, "#/$ref: must be a string, not a number" },
		{ "{'$ref':'#'}", ERR_SYNTAX, "#: refers to itself without end" },
		{ "{'definitions':{'a':{'$ref':'#/definitions/b'},'b':{'allOf':[{'$ref':"
		  "'#/definitions/a'}]}},'properties':{'x':{'$ref':'#/definitions/a'}}}",
		  ERR_SYNTAX, "#/definitions/a: refers to itself without end" },
	};
	struct schema *schema;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena = { 0 };
		int rc = schema_compile_as(&arena, parse(&arena, rows[i].schema), SCHEMA_DRAFT_07,
					   &schema, &err);

		if (rc != rows[i].code)
			fail_msg("%s: %d", rows[i].schema, rc);
		if (rows[i].error)
			assert_string_equal(err.text, rows[i].error);
		arena_finish(&arena);
	}
}

/* The draft decides what a keyword means; draft-04 when none is named. */
static void test_drafts(void **state)
{
	static const struct {
		const char *schema, *value;
		bool conforms;
	} rows[] = {
		{ "{'type':'integer'}", "1.0", false },
		{ "{'$schema':'http://json-schema.org/draft-06/schema#','type':'integer'}", "1.0",
		  true },
		{ "{'minimum':1,'exclusiveMinimum':true}", "1", false },
		{ "{'minimum':1,'exclusiveMinimum':false}", "1", true },
		{ "{'const':1}", "2", true },
		{ "{'$schema':'http://json-schema.org/draft-06/schema#','const':1}", "2", false },
		{ "{'$schema':'http://json-schema.org/draft-06/schema','if':{},'then':false}", "2",
		  true },
		{ "{'$schema':'https://json-schema.org/draft-07/schema#','if':{},'then':false}",
		  "2", false },
		{ "{'$ref':'http://json-schema.org/draft-07/schema#'}", "{'if':1}", false },
		{ "{'$ref':'http://json-schema.org/draft-06/schema#'}", "{'if':1}", true },
		{ "{'$ref':'http://json-schema.org/draft-04/schema#/definitions/positiveInteger'}",
		  "-1", false },
	};
	struct schema *schema;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena = { 0 };

		if (schema_compile(&arena, parse(&arena, rows[i].schema), &schema, &err))
			fail_msg("%s: %s", rows[i].schema, err.text);
		if ((schema_validate(schema, parse(&arena, rows[i].value), "", &err) == 0) !=
		    rows[i].conforms)
			fail_msg("%s: %s", rows[i].schema, rows[i].value);
		arena_finish(&arena);
	}
}

static void test_meta(void **state)
{
	static const struct {
		const char *schema, *error; /* NULL: conforms */
	} rows[] = {
		{ "{'$schema':'http://json-schema.org/draft-04/"
		  "schema#','type':'object','properties':"
		  "{'a':{'type':'string','minLength':1}},'required':['a']}",
		  NULL },
		{ "{'required':[]}", "required: must have at least 1 item" },
		{ "{'properties':{'a':{'type':'strin'}}}",
		  "properties.a.type: must be one of \"array\", \"boolean\", \"integer\", "
		  "\"null\", "
		  "\"number\", \"object\", \"string\"" },
		{ "{'exclusiveMinimum':1}",
		  "exclusiveMinimum: must be true or false, not a number" },
		{ "{'exclusiveMinimum':true}",
		  "minimum: is required together with \"exclusiveMinimum\"" },
		{ "{'$schema':'http://json-schema.org/draft-06/schema#','exclusiveMinimum':true}",
		  "exclusiveMinimum: must be a number, not a boolean" },
		{ "{'$schema':'http://json-schema.org/draft-07/schema#','required':[],'if':true}",
		  NULL },
		{ "{'$schema':'http://json-schema.org/draft-07/schema#','items':[{'pattern':'('}]}",
		  "items[0].pattern: must be a valid regex" },
		{ "{'$ref':'http://example.com/elsewhere'}", NULL }, /* not followed */
		{ "[]", "must be an object, not an array" },
		{ "{'$schema':'http://example.com/own'}",
		  "#/$schema: \"http://example.com/own\" is none of the drafts that osbd knows: "
		  "http://json-schema.org/draft-04/schema#, "
		  "http://json-schema.org/draft-06/schema#, "
		  "http://json-schema.org/draft-07/schema#" },
	};
	enum schema_draft draft;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena = { 0 };
		struct err err = { 0 };
		int rc = schema_check_meta(parse(&arena, rows[i].schema), &err);

		assert_string_equal(err.text, rows[i].error ? rows[i].error : "");
		assert_int_equal(rc == 0, rows[i].error == NULL);
		arena_finish(&arena);
	}
	for (draft = SCHEMA_DRAFT_04; draft <= SCHEMA_DRAFT_07;
	     draft++) { /* each conforms to itself */
		struct arena arena = { 0 };
		struct json *meta;
		struct err err;

		assert_int_equal(
			json_parse(&arena, schema_meta_text(&arena, draft), NULL, &meta, &err), 0);
		assert_int_equal(schema_check_meta(meta, &err), 0);
		arena_finish(&arena);
	}
}

static struct json *repeated(struct arena *arena, const char *first, const char *unit, size_t times,
			     const char *last)
{
	struct json_limits limits = { .bytes = 16 << 20, .depth = 1000 };
	struct buf buf = { NULL, 0, 0 };
	struct json *v = NULL;
	struct err err;
	size_t i;

	buf_puts(&buf, first);
	for (i = 0; i < times; i++)
		buf_puts(&buf, unit);
	buf_puts(&buf, last);
	if (json_parse(arena, buf_str(&buf), &limits, &v, &err))
		fail_msg("%s", err.text);
	buf_finish(&buf);
	return v;
}

/* Nothing that a schema or a value says makes a check go on for long or deep. */
static void test_bounds(void **state)
{
	struct arena arena = { 0 };
	struct schema *schema;
	struct buf buf = { NULL, 0, 0 };
	struct json *v;
	struct err err;
	int i;

	(void)state;
	/* doubling at each level */
	buf_puts(&buf, "{'definitions':{'d0':{'type':'integer'}");
	for (i = 1; i <= 40; i++)
		buf_printf(&buf,
			   ",'d%d':{'allOf':[{'$ref':'#/definitions/d%d'},"
			   "{'$ref':'#/definitions/d%d'}]}",
			   i, i - 1, i - 1);
	buf_puts(&buf, "},'$ref':'#/definitions/d40'}");
	schema = compile(&arena, buf.p);
	assert_int_equal(schema_validate(schema, parse(&arena, "1"), "parameters", &err),
			 ERR_TOOBIG);
	assert_string_equal(err.text,
			    "parameters: takes too many steps to check against its schema");

	/* a long chain of references, and a schema of very many parts */
	buf_clear(&buf);
	buf_puts(&buf, "{'$ref':'#/definitions/d0','definitions':{'d1000':{}");
	for (i = 0; i < 1000; i++)
		buf_printf(&buf, ",'d%d':{'$ref':'#/definitions/d%d'}", i, i + 1);
	buf_puts(&buf, "}}");
	assert_int_equal(schema_compile(&arena, parse(&arena, buf.p), &schema, &err), ERR_TOOBIG);
	assert_string_equal(err.text,
			    "#/definitions/d200: more than 200 references inside each other");
	v = repeated(&arena, "{\"items\":[{}", ",{}", 20000, "]}");
	assert_int_equal(schema_compile(&arena, v, &schema, &err), ERR_TOOBIG);
	assert_string_equal(err.text, "more than 20000 subschemas");

	/* a pattern that runs away */
	schema = compile(&arena, "{'items':{'pattern':'^(a+)+$'}}");
	assert_int_equal(schema_validate(schema,
					 parse(&arena, "['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!']"),
					 "p", &err),
			 ERR_TOOBIG);
	assert_string_equal(err.text, "p: matching the pattern takes too many steps");

	/* many unequal items are told apart quickly, and in any order */
	schema = compile(&arena, "{'uniqueItems':true}");
	v = repeated(&arena, "[[1]", ",[[],{}]", 100000, "]");
	assert_int_equal(schema_validate(schema, v, "p", &err), ERR_INVALID);
	assert_string_equal(err.text, "p: items 1 and 2 must not be equal");
	v = json_array(&arena);
	for (i = 0; i < 100000; i++)
		json_append(&arena, v, json_int(&arena, i));
	assert_int_equal(schema_validate(schema, v, "p", &err), 0);

	/* as deep as the parser may be told to go */
	schema = compile(&arena, "{'items':{'$ref':'#'},'type':'array'}");
	for (v = json_array(&arena), i = 1; i < 900; i++) {
		struct json *outer = json_array(&arena);

		json_append(&arena, outer, v);
		v = outer;
	}
	assert_int_equal(schema_validate(schema, v, "p", &err), 0);
	for (; i < 3000; i++) {
		struct json *outer = json_array(&arena);

		json_append(&arena, outer, v);
		v = outer;
	}
	assert_int_equal(schema_validate(schema, v, "p", &err), ERR_TOOBIG);
	assert_string_equal(err.text, "p: is nested too deeply for its schema");
	arena_finish(&arena);
	buf_finish(&buf);
}

static void test_resolve(void **state)
{
	/* RFC 3986 section 5.4 */
	static const char *const rows[][2] = {
		{ "g:h", "g:h" },
		{ "g", "http://a/b/c/g" },
		{ "./g", "http://a/b/c/g" },
		{ "g/", "http://a/b/c/g/" },
		{ "/g", "http://a/g" },
		{ "//g", "http://g" },
		{ "?y", "http://a/b/c/d;p?y" },
		{ "g?y", "http://a/b/c/g?y" },
		{ "#s", "http://a/b/c/d;p?q#s" },
		{ "g#s", "http://a/b/c/g#s" },
		{ ";x", "http://a/b/c/;x" },
		{ "", "http://a/b/c/d;p?q" },
		{ ".", "http://a/b/c/" },
		{ "./", "http://a/b/c/" },
		{ "..", "http://a/b/" },
		{ "../", "http://a/b/" },
		{ "../g", "http://a/b/g" },
		{ "../..", "http://a/" },
		{ "../../g", "http://a/g" },
		{ "../../../g", "http://a/g" },
		{ "/./g", "http://a/g" },
		{ "/../g", "http://a/g" },
		{ "g.", "http://a/b/c/g." },
		{ "..g", "http://a/b/c/..g" },
		{ "./../g", "http://a/b/g" },
		{ "./g/.", "http://a/b/c/g/" },
		{ "g/./h", "http://a/b/c/g/h" },
		{ "g/../h", "http://a/b/c/h" },
	};
	struct arena arena = { 0 };
	struct str got;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		got = schema_uri_resolve(&arena, STR("http://a/b/c/d;p?q"), str_of(rows[i][0]));
		assert_string_equal(got.p, rows[i][1]);
	}
	assert_string_equal(schema_uri_resolve(&arena, STR(""), STR("#/a")).p, "#/a");
	assert_string_equal(schema_uri_resolve(&arena, STR("urn:x:y"), STR("#a")).p, "urn:x:y#a");
	assert_string_equal(schema_uri_resolve(&arena, STR("http://a"), STR("b")).p, "http://a/b");
	arena_finish(&arena);
}

/* Beyond the suite's own. */
static void test_formats(void **state)
{
	static const struct {
		const char *format, *text;
		bool valid;
	} rows[] = {
		{ "date", "2024-02-29", true },
		{ "date", "2023-02-29", false },
		{ "date", "1900-02-29", false },
		{ "date", "2000-02-29", true },
		{ "date", "2000-13-01", false },
		{ "date", "2000-1-01", false },
		{ "time", "23:59:60Z", true },
		{ "time", "12:00:60Z", false },
		{ "time", "00:59:60+01:00", true },
		{ "time", "24:00:00Z", false },
		{ "time", "12:00:00", false },
		{ "time", "12:00:00.Z", false },
		{ "date-time", "2024-01-01 12:00:00Z", false },
		{ "email", "a.b+c@example.org", true },
		{ "email", "a..b@example.org", false },
		{ "email", ".a@example.org", false },
		{ "email", "\"a b\\\"c\"@example.org", true },
		{ "email", "\"a\"b\"@example.org", false },
		{ "email", "\"a\\\"@example.org", false },
		{ "email", "a@[127.0.0.1]", true },
		{ "email", "a@[IPv6:::1]", true },
		{ "email", "a@[1]", false },
		{ "email", "a@", false },
		{ "email", "@b", false },
		{ "email", "\xc3\xa4@example.org", false },
		{ "idn-email", "\xc3\xa4@ex\xc3\xa4mple.org", true },
		{ "hostname", "a", true },
		{ "hostname", "a.", false },
		{ "hostname", "a..b", false },
		{ "hostname", "a-", false },
		{ "hostname", "", false },
		{ "ipv4", "1.2.3.4 ", false },
		{ "ipv4", "01.2.3.4", false },
		{ "ipv6", "::ffff:1.2.3.4", true },
		{ "ipv6", "1::2::3", false },
		{ "ipv6", "fe80::1%eth0", false },
		{ "uri", "http://[v1.a:b]/", true },
		{ "uri", "http://[::1/", false },
		{ "uri", "http://a:80a/", false },
		{ "uri", "http://a/%4", false },
		{ "uri", "http://a/%4g", false },
		{ "uri", "1http://a", false },
		{ "uri-reference", "a:b/c", true },
		{ "uri-reference", "./a:b", true },
		{ "uri-reference", "1a:b", false },
		{ "uri-reference", "", true },
		{ "uri-template", "{+a,b*,c:12}{?d}", true },
		{ "uri-template", "{}", false },
		{ "uri-template", "{a:0}", false },
		{ "uri-template", "{a:12345}", false },
		{ "uri-template", "{a b}", false },
		{ "uri-template", "a}", false },
		{ "uri-template", "{a.b}{a..b}", false },
		{ "relative-json-pointer", "01", false },
		{ "relative-json-pointer", "1#a", false },
		{ "regex", "\\a", false },
		{ "idn-hostname", "\xd9\x80.example", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (schema_format_find(str_of(rows[i].format))(str_of(rows[i].text)) !=
		    rows[i].valid)
			fail_msg("%s: %s", rows[i].format, rows[i].text);
	assert_null(schema_format_find(STR("colour")));
	assert_false(schema_format_find(STR("ipv4"))(str_make("1.2.3.4\0", 8)));
	assert_false(schema_format_find(STR("email"))(str_make("a\0@b", 4)));
	assert_false(schema_format_find(STR("uri"))(str_make("a:\0", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),   cmocka_unit_test(test_root_path),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_drafts),
		cmocka_unit_test(test_meta),    cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_resolve), cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
