/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/exchange.h"

#include "core/digest.h"
#include "core/schema.h"
#include "core/url.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* -- answers ------------------------------------------------------------------------------ */

/* "PUT /v2/…: 201", or with ": " and the text. Each request has this line: it is not formatted. */
static void log_answer(struct exchange *ex, int status, const char *text)
{
	struct http_request *req = ex->req;
	size_t n = text ? strlen(text) : 0;
	char *line = arena_alloc(ex->arena, req->method.n + req->path.n + n + 16), *p = line;

	p = mempcpy(p, req->method.p, req->method.n);
	*p++ = ' ';
	p = mempcpy(p, req->path.p, req->path.n);
	*p++ = ':';
	*p++ = ' ';
	*p++ = (char)('0' + status / 100);
	*p++ = (char)('0' + status / 10 % 10);
	*p++ = (char)('0' + status % 10);
	if (text) {
		*p++ = ':';
		*p++ = ' ';
		p = mempcpy(p, text, n);
	}
	log_text(&req->log, status >= 500 ? LOG_WARN : LOG_INFO,
		 str_make(line, (size_t)(p - line)));
	metric_inc(&ex->broker->requests[status / 100], 1);
}

void answer(struct exchange *ex, int status, const struct json *body)
{
	log_answer(ex, status, NULL);
	http_respond(ex->req, status, json_text(ex->arena, body));
}

void answer_empty(struct exchange *ex, int status)
{
	log_answer(ex, status, NULL);
	http_respond(ex->req, status, STR("{}"));
}

static void answer_text(struct exchange *ex, int status, const char *code, const char *text)
{
	struct json *body = json_object(ex->arena);

	json_set_cstr(ex->arena, body, "error", code);
	json_set_cstr(ex->arena, body, "description", text);
	log_answer(ex, status, text);
	http_respond(ex->req, status, json_text(ex->arena, body));
}

void answer_err(struct exchange *ex, int status, const char *code, const struct err *err)
{
	answer_text(ex, status, code, err->text);
}

void answer_error(struct exchange *ex, int status, const char *code, const char *fmt, ...)
{
	struct err err;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&err, ERR_INVALID, fmt, ap);
	va_end(ap);
	answer_text(ex, status, code, err.text);
}

void answer_retry_after(struct exchange *ex, uint64_t seconds)
{
	http_set_header(ex->req, "Retry-After",
			str_of(arena_printf(ex->arena, "%" PRIu64, seconds)));
}

void answer_store(struct exchange *ex, int status)
{
	if (status == ERR_SEALED) {
		answer_error(ex, 500, "Unreadable",
			     "what is stored of this object cannot be opened by any key");
		return;
	}
	answer_retry_after(ex, OSB_RETRY_AFTER);
	answer_error(ex, 503, "StoreUnavailable",
		     "the broker cannot reach its store; %s, please try again",
		     status == ERR_TIMEDOUT ? "what became of this request is not known yet"
					    : "nothing was changed");
}

/* Clients compare these three texts as they stand. */
void answer_async_required(struct exchange *ex)
{
	answer_error(ex, 422, "AsyncRequired",
		     "This service plan requires client support for asynchronous service "
		     "operations.");
}

void answer_concurrency(struct exchange *ex)
{
	answer_error(ex, 422, "ConcurrencyError",
		     "The Service Broker does not support concurrent requests that mutate the "
		     "same resource.");
}

void answer_maintenance_conflict(struct exchange *ex)
{
	answer_error(ex, 422, "MaintenanceInfoConflict",
		     "The maintenance_info.version of the request is not the one that the catalog "
		     "offers for this plan; please fetch the catalog anew.");
}

/* -- the body ----------------------------------------------------------------------------- */

static int bad_request(struct exchange *ex, const struct err *err)
{
	answer_err(ex, 400, "BadRequest", err);
	return ERR_INVALID;
}

static bool is_json_type(struct str type)
{
	struct str rest;

	type = str_trim(str_cut(type, ';', &rest));
	return str_ieq(type, STR("application/json")) ||
	       (str_starts(type, STR("application/")) && str_ends(type, STR("+json")));
}

/* The path of a number that is beyond what others can hold, such as 1e400; NULL: there is none.
 * We would keep it, but backends and platforms read infinity, or nothing. */
static const char *beyond_double(struct arena *arena, const struct json *v)
{
	char text[JSON_NUMBER_MAX + 1];
	const struct json_member *m;
	const struct json *item;
	const char *path;
	struct str number;
	size_t i;

	if (json_is_number(v)) {
		number = json_num_text(v);
		memcpy(text, number.p, number.n);
		text[number.n] = '\0';
		return isinf(strtod(text, NULL)) ? "" : NULL;
	}
	if (json_is_array(v)) {
		json_each_item(i, item, v) {
			path = beyond_double(arena, item);
			if (path)
				return arena_printf(arena, "[%zu]%s", i, path);
		}
	} else if (json_is_object(v)) {
		json_each_member(m, v) {
			path = beyond_double(arena, m->value);
			if (path)
				return arena_printf(arena, ".%.*s%s", STR_ARG(m->key), path);
		}
	}
	return NULL;
}

static int read_body(struct exchange *ex)
{
	struct str type = http_request_header(ex->req, "content-type");
	const char *path;
	struct json *body;
	struct err err;

	if (!ex->route->has_body)
		return 0;
	if (type.n && !is_json_type(type)) {
		err_set(&err, ERR_INVALID, "Content-Type: must be application/json");
		return bad_request(ex, &err);
	}
	if (json_parse_object(ex->arena, ex->req->body, NULL, &body, &err) < 0) {
		err_wrap(&err, "body");
		return bad_request(ex, &err);
	}
	path = beyond_double(ex->arena, body);
	if (path) {
		err_set(&err, ERR_INVALID, "body: %s: is a number beyond 1.7e308", path + 1);
		return bad_request(ex, &err);
	}
	ex->body = body;
	return 0;
}

int exchange_plan(struct exchange *ex)
{
	struct str service_id, plan_id;
	struct err err;

	if (json_want_string(ex->body, "", "service_id", JSON_REQUIRED | JSON_NONEMPTY, &service_id,
			     &err) < 0 ||
	    json_want_string(ex->body, "", "plan_id", JSON_REQUIRED | JSON_NONEMPTY, &plan_id,
			     &err) < 0)
		return bad_request(ex, &err);
	ex->offering = catalog_offering(ex->gen->catalog, service_id);
	if (!ex->offering) {
		err_set(&err, ERR_INVALID, "service_id: the catalog has no such service");
		return bad_request(ex, &err);
	}
	ex->plan = offering_plan(ex->offering, plan_id);
	if (!ex->plan) {
		err_set(&err, ERR_INVALID, "plan_id: service \"%.*s\" has no such plan",
			STR_ARG(ex->offering->name));
		return bad_request(ex, &err);
	}
	return 0;
}

/* The parameters with what counts as given where they are absent. */
static const struct json *complete(struct exchange *ex, const struct json *in_force)
{
	bool binding = ex->verb == STORE_BIND;
	const struct json *schema, *value;
	const struct json_member *property;
	struct json *whole = json_copy(ex->arena, ex->parameters);

	schema = json_get(ex->plan->schemas, binding ? "service_binding" : "service_instance");
	schema = json_get(schema, ex->verb == STORE_UPDATE ? "update" : "create");
	json_each_member(property, json_get(json_get(schema, "parameters"), "properties")) {
		value = json_get_str(in_force, property->key);
		if (!value)
			value = json_get(property->value, "default");
		if (value && !json_get_str(whole, property->key))
			json_add(ex->arena, whole, property->key, json_copy(ex->arena, value));
	}
	return whole;
}

int exchange_parameters(struct exchange *ex, const struct schema *schema,
			const struct json *in_force)
{
	struct backend *backend = ex->offering->backend;
	struct err err;
	int rc;

	ex->parameters = json_object(ex->arena);
	if (json_want_object(ex->body, "", "parameters", JSON_NULL_ABSENT, &ex->parameters, &err) <
	    0)
		return bad_request(ex, &err);
	rc = schema ? schema_validate(schema, complete(ex, in_force), "parameters", &err) : 0;
	if (rc == 0 && backend->type->check) {
		struct backend_request request = {
			.verb = ex->verb,
			.plan = ex->plan,
			.before = ex->plan_before ? ex->plan_before : ex->plan,
			.instance_id = ex->instance_id,
			.binding_id = ex->binding_id,
			.parameters = ex->parameters,
		};

		rc = backend->type->check(backend, &request, &err);
	}
	return rc < 0 ? bad_request(ex, &err) : 0;
}

int exchange_maintenance(struct exchange *ex, struct str *version)
{
	const struct json *info = NULL;
	struct err err;

	*version = str_make(NULL, 0);
	if (json_want_object(ex->body, "", "maintenance_info", JSON_NULL_ABSENT, &info, &err) < 0 ||
	    json_want_string(info, "maintenance_info", "version", JSON_NULL_ABSENT | JSON_NONEMPTY,
			     version, &err) < 0)
		return bad_request(ex, &err);
	if (version->n && !str_eq(*version, ex->plan->maintenance)) {
		answer_maintenance_conflict(ex);
		return ERR_CONFLICT;
	}
	return 0;
}

/* -- the query ---------------------------------------------------------------------------- */

int exchange_query(struct exchange *ex, const char *name, struct str *out)
{
	struct err err;
	int rc = url_query_get(ex->arena, ex->req->query, name, out);

	if (rc == 0 && (!out->p || (str_is_utf8(*out) && !memchr(out->p, 0, out->n))))
		return 0;
	err_set(&err, ERR_INVALID, "query parameter %s: %s", name,
		rc == ERR_EXISTS ? "is given twice"
		: rc < 0         ? "is not well percent-encoded"
				 : "must be UTF-8 without NUL");
	return bad_request(ex, &err);
}

int exchange_query_ids(struct exchange *ex)
{
	static const char *const names[] = { "service_id", "plan_id" };
	struct err err;
	struct str id;
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (exchange_query(ex, names[i], &id) < 0)
			return ERR_INVALID;
		if (id.n)
			continue;
		err_set(&err, ERR_INVALID, "query parameter %s: is required", names[i]);
		return bad_request(ex, &err);
	}
	return 0;
}

static int read_accepts(struct exchange *ex)
{
	struct err err;
	struct str value;

	if (exchange_query(ex, "accepts_incomplete", &value) < 0)
		return ERR_INVALID;
	ex->accepts_incomplete = str_is(value, "true");
	if (!value.p || ex->accepts_incomplete || str_is(value, "false"))
		return 0;
	err_set(&err, ERR_INVALID, "query parameter accepts_incomplete: must be true or false");
	return bad_request(ex, &err);
}

/* -- the store ---------------------------------------------------------------------------- */

static void got(struct call *call, int status)
{
	struct exchange *ex = call->data;

	if (status < 0)
		answer_store(ex, status);
	else
		ex->then(ex);
}

void exchange_get(struct exchange *ex, void (*done)(struct exchange *ex))
{
	struct str operation = ex->get.operation;
	bool no_data = ex->get.no_data;

	ex->then = done;
	ex->get = (struct store_get){
		.call = { .done = got, .data = ex },
		.arena = ex->arena,
		.platform = ex->platform->name,
		.instance_id = ex->instance_id,
		.binding_id = ex->binding_id,
		.operation = operation,
		.no_data = no_data,
	};
	store_get(ex->broker->store, &ex->get);
}

int exchange_data(struct exchange *ex, struct str text, const struct json **out)
{
	static const struct json_limits limits = { 64 << 20, JSON_DEPTH_CAP };
	struct json *v;
	struct err err;

	*out = json_object(ex->arena);
	if (!text.n)
		return 0;
	if (json_parse_object(ex->arena, text, &limits, &v, &err) < 0) {
		answer_error(ex, 500, "Unreadable", "stored data is damaged: %s", err.text);
		return ERR_INVALID;
	}
	*out = v;
	return 0;
}

/* -- the headers -------------------------------------------------------------------------- */

static int read_version(struct exchange *ex)
{
	struct str value = http_request_header(ex->req, "x-broker-api-version"), minor;
	uint64_t number;

	if (!value.p) {
		answer_error(ex, 400, "BadRequest",
			     "X-Broker-API-Version: this header is required; this broker speaks "
			     "2.17");
		return ERR_INVALID;
	}
	value = str_cut(str_trim(value), '.', &minor);
	if (str_is(value, "2") && str_to_u64(minor, &number) && number <= 9999) {
		ex->minor = (unsigned)number;
		return 0;
	}
	answer_error(ex, 412, "PreconditionFailed",
		     "X-Broker-API-Version: must be 2.MINOR; this broker speaks 2.17");
	return ERR_INVALID;
}

static int read_identity(struct exchange *ex)
{
	struct str header = http_request_header(ex->req, "x-broker-api-originating-identity");
	struct str platform, encoded, text;
	struct json *value, *identity;
	struct err err;

	if (!header.p)
		return 0;
	platform = str_cut(str_trim(header), ' ', &encoded);
	err_set(&err, ERR_INVALID, "must be a platform and base64 of a JSON object");
	if (platform.n && encoded.n && base64_decode(ex->arena, str_trim(encoded), &text) == 0 &&
	    json_parse_object(ex->arena, text, NULL, &value, &err) == 0) {
		identity = json_object(ex->arena);
		json_set_str(ex->arena, identity, "platform", platform);
		json_set(ex->arena, identity, "value", value);
		ex->identity = identity;
		return 0;
	}
	err_wrap(&err, "X-Broker-API-Originating-Identity");
	return bad_request(ex, &err);
}

/* -- the path ----------------------------------------------------------------------------- */

static int read_id(struct exchange *ex, struct str raw, const char *what, struct str *id)
{
	struct err err;
	size_t i;

	if (url_decode(ex->arena, raw, id) < 0)
		err_set(&err, ERR_INVALID, "%s: is not well percent-encoded", what);
	else if (id->n == 0)
		err_set(&err, ERR_INVALID, "%s: must not be empty", what);
	else if (id->n > OSB_ID_MAX)
		err_set(&err, ERR_INVALID, "%s: must have at most %d bytes", what, OSB_ID_MAX);
	else if (!str_is_utf8(*id))
		err_set(&err, ERR_INVALID, "%s: must be UTF-8", what);
	else {
		for (i = 0; i < id->n && (unsigned char)id->p[i] >= 0x20 && id->p[i] != 0x7f; i++)
			;
		if (i == id->n)
			return 0;
		err_set(&err, ERR_INVALID, "%s: must not have control characters", what);
	}
	return bad_request(ex, &err);
}

/* The segments of a path, as they are; more than any route has count as one too many. */
struct segments {
	struct str at[ROUTE_SEGMENTS + 1];
	size_t n;
};

static void split(struct str path, struct segments *have)
{
	have->n = 0;
	while (have->n < ARRAY_LEN(have->at) && url_segment(&path, &have->at[have->n]))
		have->n++;
}

static bool path_fits(const char *const *want, const struct segments *have, struct str *instance,
		      struct str *binding)
{
	size_t i;

	for (i = 0; i < have->n && want[i]; i++) {
		if (strcmp(want[i], ":i") == 0)
			*instance = have->at[i];
		else if (strcmp(want[i], ":b") == 0)
			*binding = have->at[i];
		else if (!str_is(have->at[i], want[i]))
			return false;
	}
	return i == have->n && !want[i];
}

/* Finds the route; answers 404 or 405 when there is none. */
static int find_route(struct exchange *ex, struct str path, const struct route *routes,
		      struct str *instance, struct str *binding)
{
	struct str method = ex->req->method;
	struct segments have;
	char allow[64] = "";

	split(path, &have);
	if (str_is(method, "HEAD"))
		method = STR("GET");
	for (; routes->method; routes++) {
		if (!path_fits(routes->path, &have, instance, binding))
			continue;
		if (str_is(method, routes->method)) {
			ex->route = routes;
			return 0;
		}
		snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s%s",
			 allow[0] ? ", " : "", routes->method,
			 strcmp(routes->method, "GET") == 0 ? ", HEAD" : "");
	}
	if (!allow[0]) {
		answer_error(ex, 404, "NotFound", "there is nothing at this path");
		return ERR_NOENT;
	}
	http_set_header(ex->req, "Allow", str_of(allow));
	answer_error(ex, 405, "MethodNotAllowed", "this path knows %s", allow);
	return ERR_NOENT;
}

static const struct config_platform *find_platform(const struct config *config, struct str *path)
{
	const struct config_platform *best = NULL;
	size_t i;

	for (i = 0; i < config->n_platforms; i++) {
		const struct config_platform *p = &config->platforms[i];
		bool root = str_is(p->prefix, "/");

		if (!root && !(str_starts(*path, p->prefix) && path->n > p->prefix.n &&
			       path->p[p->prefix.n] == '/'))
			continue;
		if (!best || p->prefix.n > best->prefix.n)
			best = p;
	}
	if (best && !str_is(best->prefix, "/"))
		*path = str_make(path->p + best->prefix.n, path->n - best->prefix.n);
	return best;
}

/* -- from the request to its chapter -------------------------------------------------------- */

static void run_route(struct exchange *ex, struct str path, const struct route *routes)
{
	struct str instance = { 0 }, binding = { 0 };

	if (find_route(ex, path, routes, &instance, &binding) < 0 || read_version(ex) < 0)
		return;
	if (instance.p && read_id(ex, instance, "instance_id", &ex->instance_id) < 0)
		return;
	if (binding.p && read_id(ex, binding, "binding_id", &ex->binding_id) < 0)
		return;
	if (read_identity(ex) < 0 || read_accepts(ex) < 0 || read_body(ex) < 0)
		return;
	ex->route->handle(ex);
}

struct start {
	struct exchange ex;
	struct str path;
	const struct route *routes;
};

static void checked(struct start *start, int status)
{
	struct exchange *ex = &start->ex;

	if (status == 0 && !ex->platform) {
		answer_error(ex, 404, "NotFound", "there is no platform at this path");
	} else if (status == 0) {
		run_route(ex, start->path, start->routes);
	} else if (status == ERR_BUSY) {
		answer_retry_after(ex, ex->check.retry_after ? ex->check.retry_after : 1);
		answer_error(ex, 429, "TooManyRequests",
			     "too many passwords to be checked; please try again later");
	} else {
		http_set_header(ex->req, "WWW-Authenticate",
				STR("Basic realm=\"osbd\", charset=\"UTF-8\""));
		answer_error(ex, 401, "Unauthorized", "user name and password are required");
	}
}

static void users_checked(struct call *call, int status)
{
	checked(call->data, status);
}

static void let_go(void *data)
{
	generation_unref(data);
}

void exchange_start(struct broker *broker, struct http_request *req, const struct route *routes)
{
	struct start *start = arena_zalloc(&req->arena, sizeof(*start));
	struct exchange *ex = &start->ex;
	struct str identity = http_request_header(req, "x-broker-api-request-identity");
	int status;

	ex->req = req;
	ex->arena = &req->arena;
	ex->broker = broker;
	start->path = req->path;
	start->routes = routes;
	req->data = ex;
	if (identity.n)
		http_set_header(req, "X-Broker-API-Request-Identity", identity);
	ex->gen = generation_ref(broker->gen);
	arena_defer(&req->arena, let_go, ex->gen);
	ex->platform = find_platform(ex->gen->config, &start->path);
	ex->check.call.done = users_checked;
	ex->check.call.data = start;
	ex->check.authorization = http_request_header(req, "authorization");
	ex->check.peer = req->peer;
	ex->check.peer_names = req->peer_names;
	ex->check.n_peer_names = req->n_peer_names;
	ex->check.platform = ex->platform;
	if (users_check(ex->gen->users, &ex->check, &status))
		checked(start, status);
}
