/* Connecting: libpq says what it waits for, uv_poll waits. libpq may close its socket and open
 * another between two steps, even under the same number, so the poll is stopped around each step
 * and made anew when the number changed.
 *
 * Up: the poll is always readable, and writable while libpq holds bytes that the kernel did not
 * take. PQgetResult() is called only when PQisBusy() says that it will not wait.
 *
 * When the connection breaks, what had arrived before is still in libpq's memory: it is read to
 * its end first, since it may hold the reply to a commit. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_poll {
	uv_poll_t uv;
	struct pg_conn *conn;
	int fd, events;
};

static void step(struct pg_conn *conn);
static void work(struct pg_conn *conn);

/* -- polling ---------------------------------------------------------------------------- */

static void ended(struct soon *soon)
{
	struct pg_conn *conn = container_of(soon, struct pg_conn, soon);

	conn->on_closed(conn);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct pg_poll *poll = handle->data;
	struct pg_conn *conn = poll->conn;

	mem_free(poll);
	if (--conn->n_polls == 0 && conn->state == PG_CLOSED)
		conn->on_closed(conn);
}

static void drop_poll(struct pg_conn *conn)
{
	if (conn->poll)
		uv_close((uv_handle_t *)&conn->poll->uv, on_poll_closed);
	conn->poll = NULL;
}

static void on_event(uv_poll_t *uv, int status, int events)
{
	struct pg_poll *poll = uv->data;

	(void)events;
	if (status != 0) /* libuv has stopped polling; what is wrong is found by whoever reads */
		poll->events = 0;
	if (poll->conn->state == PG_CONNECTING)
		step(poll->conn);
	else
		work(poll->conn);
}

static void tell_broken(struct soon *soon)
{
	work(container_of(soon, struct pg_conn, soon));
}

static void broken(struct pg_conn *conn)
{
	conn->broken = true;
	conn->soon.run = tell_broken;
	if (!conn->reading)
		loop_soon(conn->loop, &conn->soon);
}

static void watch(struct pg_conn *conn, int events)
{
	int fd = conn->lib->PQsocket(conn->pg);

	if (conn->poll && conn->poll->fd != fd)
		drop_poll(conn);
	if (fd < 0) { /* libpq has closed it while it was sending */
		broken(conn);
		return;
	}
	if (!conn->poll) {
		conn->poll = mem_zalloc(sizeof(*conn->poll));
		if (uv_poll_init(&conn->loop->uv, &conn->poll->uv, fd) != 0)
			abort(); /* out of memory, or a descriptor that epoll does not take */
		conn->poll->uv.data = conn->poll;
		conn->poll->conn = conn;
		conn->poll->fd = fd;
		conn->n_polls++;
	}
	if (conn->poll->events == events)
		return;
	conn->poll->events = events;
	uv_poll_start(&conn->poll->uv, events, on_event);
}

static void unwatch(struct pg_conn *conn)
{
	if (!conn->poll)
		return;
	uv_poll_stop(&conn->poll->uv);
	conn->poll->events = 0;
}

/* -- the end ---------------------------------------------------------------------------- */

void pg_conn_close(struct pg_conn *conn)
{
	bool polled = conn->n_polls != 0;

	if (conn->state == PG_CLOSED || conn->state == PG_UNUSED)
		return;
	conn->state = PG_CLOSED;
	timer_stop(&conn->deadline);
	list_remove(&conn->soon.node);
	drop_poll(conn); /* before libpq closes the descriptor */
	if (conn->pg)
		conn->lib->PQfinish(conn->pg);
	conn->pg = NULL;
	mem_free(conn->notes);
	mem_free(conn->prepared);
	conn->notes = NULL;
	conn->prepared = NULL;
	conn->n_notes = conn->notes_size = conn->n_prepared = conn->prepared_size = 0;
	if (polled)
		return;
	conn->soon.run = ended;
	loop_soon(conn->loop, &conn->soon);
}

static void lost(struct pg_conn *conn, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void lost(struct pg_conn *conn, int code, const char *fmt, ...)
{
	va_list ap;

	if (conn->state == PG_CLOSED)
		return;
	va_start(ap, fmt);
	err_vset(&conn->why, code, fmt, ap);
	va_end(ap);
	/* the owner must not send any more from on_lost, and may look at the session */
	conn->on_lost(conn, &conn->why);
	pg_conn_close(conn);
}

/* -- notes ------------------------------------------------------------------------------ */

static void note(struct pg_conn *conn, struct pg_note n)
{
	if (conn->n_notes == conn->notes_size) {
		size_t size = conn->notes_size ? conn->notes_size * 2 : 64, i;
		struct pg_note *notes = mem_alloc(size * sizeof(*notes));

		for (i = 0; i < conn->n_notes; i++)
			notes[i] = conn->notes[(conn->first + i) & (conn->notes_size - 1)];
		mem_free(conn->notes);
		conn->notes = notes;
		conn->notes_size = size;
		conn->first = 0;
	}
	n.replied = false;
	conn->notes[(conn->first + conn->n_notes++) & (conn->notes_size - 1)] = n;
}

static struct pg_note *first_note(struct pg_conn *conn)
{
	return &conn->notes[conn->first];
}

static void forget_note(struct pg_conn *conn)
{
	conn->first = (conn->first + 1) & (conn->notes_size - 1);
	conn->n_notes--;
}

/* -- sending ---------------------------------------------------------------------------- */

static void flush(struct pg_conn *conn)
{
	int rest;

	if (conn->state == PG_CLOSED || conn->broken)
		return;
	rest = conn->lib->PQflush(conn->pg);
	if (rest < 0)
		broken(conn);
	else
		watch(conn, UV_READABLE | (rest ? UV_WRITABLE : 0));
}

static size_t slot(const struct pg_conn *conn, const struct sql_stmt *stmt)
{
	size_t i = ((uintptr_t)stmt >> 3) * 0x9E3779B97F4A7C15u >> 20;

	for (i &= conn->prepared_size - 1; conn->prepared[i] && conn->prepared[i] != stmt;
	     i = (i + 1) & (conn->prepared_size - 1))
		continue;
	return i;
}

static void remember(struct pg_conn *conn, const struct sql_stmt *stmt)
{
	if (2 * conn->n_prepared >= conn->prepared_size) {
		const struct sql_stmt **old = conn->prepared;
		size_t n = conn->prepared_size, i;

		conn->prepared_size = n ? n * 2 : 64;
		conn->prepared = mem_zalloc(conn->prepared_size * sizeof(*old));
		for (i = 0; i < n; i++)
			if (old[i])
				conn->prepared[slot(conn, old[i])] = old[i];
		mem_free(old);
	}
	conn->prepared[slot(conn, stmt)] = stmt;
	conn->n_prepared++;
}

void pg_conn_forget(struct pg_conn *conn, const struct sql_stmt *stmt)
{
	const struct sql_stmt **old = conn->prepared;
	size_t n = conn->prepared_size, i;

	if (!n || !old[slot(conn, stmt)])
		return;
	conn->prepared = mem_zalloc(n * sizeof(*old));
	conn->n_prepared--;
	for (i = 0; i < n; i++)
		if (old[i] && old[i] != stmt)
			conn->prepared[slot(conn, old[i])] = old[i];
	mem_free(old);
}

bool pg_conn_prepare(struct pg_conn *conn, const struct sql_stmt *stmt)
{
	if (!stmt->name || conn->broken ||
	    (conn->prepared_size && conn->prepared[slot(conn, stmt)]))
		return false;
	if (!conn->lib->PQsendPrepare(conn->pg, stmt->name, stmt->text, 0, NULL)) {
		broken(conn);
		return false;
	}
	remember(conn, stmt);
	note(conn, (struct pg_note){ .kind = PG_PREPARE, .whose = (void *)(uintptr_t)stmt });
	return true;
}

void pg_conn_send(struct pg_conn *conn, const struct sql_stmt *stmt, const struct sql_param *params,
		  struct arena *arena, struct pg_note n)
{
	const char *value[16], **values = value;
	int length[16], *lengths = length, format[16], *formats = format, i, sent;

	if (conn->broken)
		return;
	if (stmt->n_params > (int)ARRAY_LEN(value)) {
		values = arena_alloc(arena, (size_t)stmt->n_params * sizeof(*values));
		lengths = arena_alloc(arena, (size_t)stmt->n_params * sizeof(*lengths));
		formats = arena_alloc(arena, (size_t)stmt->n_params * sizeof(*formats));
	}
	for (i = 0; i < stmt->n_params; i++) {
		const struct sql_param *p = &params[i];

		formats[i] = p->kind == SQL_TEXT;
		lengths[i] = (int)p->text.n;
		values[i] = p->kind == SQL_NULL ? NULL : p->text.p;
	}
	if (stmt->name)
		sent = conn->lib->PQsendQueryPrepared(conn->pg, stmt->name, stmt->n_params, values,
						      lengths, formats, 1);
	else
		sent = conn->lib->PQsendQueryParams(conn->pg, stmt->text, stmt->n_params, NULL,
						    values, lengths, formats, 1);
	if (sent)
		note(conn, n);
	else
		broken(conn);
}

void pg_conn_send_text(struct pg_conn *conn, const char *text, const char *const *params, int n,
		       struct pg_note for_reply)
{
	if (conn->broken)
		return;
	if (conn->lib->PQsendQueryParams(conn->pg, text, n, NULL, params, NULL, NULL, 0))
		note(conn, for_reply);
	else
		broken(conn);
}

void pg_conn_sync(struct pg_conn *conn, void *whose)
{
	if (conn->broken)
		return;
	if (!conn->lib->PQpipelineSync(conn->pg)) {
		broken(conn);
		return;
	}
	note(conn, (struct pg_note){ .kind = PG_SYNC, .whose = whose });
	flush(conn);
}

static int put_quoted(struct pg_conn *conn, struct buf *buf, char *quoted)
{
	if (!quoted)
		return ERR_INVALID;
	buf_puts(buf, quoted);
	mem_wipe(quoted, strlen(quoted));
	conn->lib->PQfreemem(quoted);
	return 0;
}

int pg_conn_put_text(struct pg_conn *conn, struct buf *buf, struct str text)
{
	if (!str_is_utf8(text) || memchr(text.p, 0, text.n))
		return ERR_INVALID;
	return put_quoted(conn, buf, conn->lib->PQescapeLiteral(conn->pg, text.p, text.n));
}

int pg_conn_put_name(struct pg_conn *conn, struct buf *buf, struct str name)
{
	if (!str_is_utf8(name) || memchr(name.p, 0, name.n))
		return ERR_INVALID;
	return put_quoted(conn, buf, conn->lib->PQescapeIdentifier(conn->pg, name.p, name.n));
}

/* -- receiving -------------------------------------------------------------------------- */

static void set_up(struct pg_conn *conn, PGresult *result);

static void reply(struct pg_conn *conn, const struct pg_note *n, PGresult *result)
{
	if (n->kind == PG_SETUP) {
		set_up(conn, result);
		return;
	}
	if (n->kind == PG_SYNC && !n->whose)
		return;
	if (n->kind == PG_PREPARE && !pg_ok(conn->lib, result))
		pg_conn_forget(conn, n->whose);
	if (conn->state == PG_UP)
		conn->on_reply(conn, n, result);
}

/* Takes what has arrived; false when nothing more can come. */
static bool drain(struct pg_conn *conn)
{
	const struct pg_lib *lib = conn->lib;
	unsigned nothing = 0;

	while (conn->state != PG_CLOSED && conn->n_notes && !lib->PQisBusy(conn->pg)) {
		PGresult *result = lib->PQgetResult(conn->pg);
		struct pg_note *first = first_note(conn), n = *first;
		ExecStatusType status;

		if (!result) { /* the end of what belongs to a statement */
			if (n.replied && n.kind != PG_SYNC) {
				forget_note(conn);
				nothing = 0;
			} else if (++nothing > 2) {
				return false;
			}
			continue;
		}
		nothing = 0;
		status = lib->PQresultStatus(result);
		if (status == PGRES_FATAL_ERROR &&
		    !lib->PQresultErrorField(result, PG_DIAG_SQLSTATE)) {
			lib->PQclear(result); /* libpq's own: the connection is lost */
			return false;
		}
		if (status == PGRES_PIPELINE_SYNC) {
			if (n.kind != PG_SYNC) {
				lib->PQclear(result);
				return false;
			}
			forget_note(conn);
			reply(conn, &n, NULL);
		} else if (!n.replied) {
			first->replied = n.kind != PG_SYNC;
			reply(conn, &n, result);
		}
		lib->PQclear(result);
	}
	return true;
}

static void notified(struct pg_conn *conn)
{
	PGnotify *notify;

	while (conn->state == PG_UP && (notify = conn->lib->PQnotifies(conn->pg))) {
		if (conn->on_notify)
			conn->on_notify(conn, notify->relname, notify->extra);
		conn->lib->PQfreemem(notify);
	}
}

/* The last line that libpq wrote, or what the server said at the end of the session. */
static void say_lost(struct pg_conn *conn)
{
	const char *text = conn->lib->PQerrorMessage(conn->pg);

	lost(conn, ERR_CLOSED, "connection lost%s%.*s", *text ? ": " : "", (int)strcspn(text, "\n"),
	     text);
}

static void work(struct pg_conn *conn)
{
	bool fed, more;

	conn->reading = true;
	fed = conn->lib->PQconsumeInput(conn->pg);
	more = drain(conn);
	if (conn->state != PG_CLOSED)
		notified(conn);
	conn->reading = false;
	if (conn->state == PG_CLOSED)
		return;
	flush(conn);
	if (!fed || !more || conn->broken || conn->lib->PQstatus(conn->pg) == CONNECTION_BAD)
		say_lost(conn);
}

/* -- connecting ------------------------------------------------------------------------- */

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg; /* by default libpq writes it to stderr */
	(void)result;
}

/* Is it not the server that it should be? No code says so, and waiting does not help. */
static bool says_wrong_server(const char *text, size_t n)
{
	static const char *const signs[] = {
		"certificate verify failed",
		"does not match host name",
		"server does not support SSL",
		"root certificate file",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(signs); i++)
		if (memmem(text, n, signs[i], strlen(signs[i])))
			return true;
	return false;
}

/* "connection to server at …: FATAL:  28P01: password authentication failed …\nLOCATION: …": a
 * block for each address and each try; the last one counts. */
static void say_refused(struct pg_conn *conn)
{
	const char *text = conn->lib->PQerrorMessage(conn->pg), *line = text, *state, *p;
	int code = ERR_STORE, n;

	for (p = text; (p = strstr(p, "connection to server ")); p++)
		line = p;
	n = (int)strcspn(line, "\n");
	state = strstr(line, ":  ");
	if (state && state + 8 < line + n && state[8] == ':' &&
	    strspn(state + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5) {
		state += 3;
		if (strncmp(state, "28", 2) == 0 || strncmp(state, "42501", 5) == 0)
			code = ERR_ACCESS;
		else if (strncmp(state, "3D000", 5) == 0)
			code = ERR_NOENT;
		lost(conn, code, "%.*s%.*s", (int)(state - line), line, (int)(line + n - state - 7),
		     state + 7);
	} else if (conn->lib->PQconnectionNeedsPassword(conn->pg)) {
		lost(conn, ERR_ACCESS, "%.*s", n, line);
	} else {
		if (says_wrong_server(line, (size_t)n))
			code = ERR_ACCESS;
		else if (strstr(line, "onnection refused") || strstr(line, "No such file"))
			code = ERR_REFUSED;
		lost(conn, code, "%.*s", n, line);
	}
}

static void connected(struct pg_conn *conn)
{
	static const char text[] =
		"SELECT pg_backend_pid(), (SELECT extract(epoch FROM backend_start)::text FROM"
		" pg_stat_activity WHERE pid = pg_backend_pid()), "
		"current_setting('server_version_num'),"
		" current_setting('fsync'), current_setting('synchronous_commit'),"
		" current_setting('transaction_read_only'), pg_is_in_recovery(),"
		" set_config('statement_timeout', $1, false),"
		" set_config('idle_in_transaction_session_timeout', $2, false),"
		" set_config('default_transaction_isolation', 'read committed', false),"
		" set_config('TimeZone', 'UTC', false)";
	char statement[32], idle[32];
	const char *params[] = { statement, idle };

	conn->state = PG_SETTING_UP;
	if (conn->lib->PQsetnonblocking(conn->pg, 1) != 0 ||
	    !conn->lib->PQenterPipelineMode(conn->pg)) {
		say_lost(conn);
		return;
	}
	snprintf(statement, sizeof(statement), "%llu", (unsigned long long)conn->statement_ms);
	snprintf(idle, sizeof(idle), "%llu", (unsigned long long)conn->idle_ms);
	pg_conn_send_text(conn, text, params, 2, (struct pg_note){ .kind = PG_SETUP });
	pg_conn_sync(conn, NULL);
}

static void set_up(struct pg_conn *conn, PGresult *result)
{
	const struct pg_lib *lib = conn->lib;
	struct arena arena = { 0 };

	if (!pg_ok(lib, result)) {
		int code = pg_code(pg_sqlstate(lib, result));

		lost(conn, code, "settings of the session: %s", pg_explain(lib, result, &arena));
		arena_finish(&arena);
		return;
	}
	conn->session.pid = strtoll(lib->PQgetvalue(result, 0, 0), NULL, 10);
	snprintf(conn->session.began, sizeof(conn->session.began), "%s",
		 lib->PQgetvalue(result, 0, 1));
	conn->facts.version = atoi(lib->PQgetvalue(result, 0, 2));
	conn->facts.commit_safe = strcmp(lib->PQgetvalue(result, 0, 4), "off") != 0;
	if (strcmp(lib->PQgetvalue(result, 0, 3), "on") != 0) {
		lost(conn, ERR_UNSUPPORTED,
		     "the server runs with fsync=off: it loses data when its machine stops");
	} else if (strcmp(lib->PQgetvalue(result, 0, 6), "t") == 0) {
		lost(conn, ERR_UNSUPPORTED, "the server is a standby");
	} else if (strcmp(lib->PQgetvalue(result, 0, 5), "on") == 0) {
		lost(conn, ERR_UNSUPPORTED, "transactions are read-only by default");
	} else {
		timer_stop(&conn->deadline);
		conn->state = PG_UP;
		conn->on_up(conn);
	}
}

/* PQconnectPoll() until it wants to wait. */
static void step(struct pg_conn *conn)
{
	unwatch(conn);
	switch (conn->lib->PQconnectPoll(conn->pg)) {
	case PGRES_POLLING_READING:
		watch(conn, UV_READABLE);
		break;
	case PGRES_POLLING_WRITING:
		watch(conn, UV_WRITABLE);
		break;
	case PGRES_POLLING_OK:
		connected(conn);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
	default:
		say_refused(conn);
	}
}

static void on_deadline(struct timer *timer)
{
	struct pg_conn *conn = container_of(timer, struct pg_conn, deadline);

	lost(conn, ERR_TIMEDOUT, "no connection within %llu ms",
	     (unsigned long long)conn->connect_ms);
}

static void start_failed(struct soon *soon)
{
	say_refused(container_of(soon, struct pg_conn, soon));
}

void pg_conn_open(struct pg_conn *conn, struct pg_target *target)
{
	struct arena arena = { 0 };
	const char **keys, **values;

	conn->state = PG_CONNECTING;
	pg_target_params(target, &arena, &keys, &values);
	conn->pg = conn->lib->PQconnectStartParams(keys, values, 0);
	arena_finish(&arena);
	if (!conn->pg)
		abort(); /* out of memory */
	conn->lib->PQsetNoticeReceiver(conn->pg, ignore_notice, NULL);
	conn->lib->PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE); /* with the SQLSTATE */
	timer_start(&conn->deadline, conn->loop, conn->connect_ms, on_deadline);
	if (conn->lib->PQstatus(conn->pg) != CONNECTION_BAD) {
		watch(conn, UV_WRITABLE);
		return;
	}
	conn->soon.run = start_failed;
	loop_soon(conn->loop, &conn->soon);
}

/* -- errors ----------------------------------------------------------------------------- */

int pg_code(const char *sqlstate)
{
	static const struct {
		const char *state; /* five characters, or a class */
		int code;
	} table[] = {
		{ "23505", ERR_EXISTS }, { "23", ERR_CONFLICT },    { "40001", ERR_BUSY },
		{ "40P01", ERR_BUSY },   { "55P03", ERR_BUSY },     { "57014", ERR_TIMEDOUT },
		{ "57", ERR_STORE },     { "08", ERR_STORE },       { "53", ERR_STORE },
		{ "25006", ERR_STORE },  { "25P03", ERR_TIMEDOUT }, { "42501", ERR_ACCESS },
		{ "28", ERR_ACCESS },    { "42P01", ERR_NOENT },    { "42703", ERR_NOENT },
		{ "42883", ERR_NOENT },  { "3D000", ERR_NOENT },    { "3F000", ERR_NOENT },
		{ "22", ERR_INVALID },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(table); i++)
		if (strncmp(sqlstate, table[i].state, strlen(table[i].state)) == 0)
			return table[i].code;
	return ERR_IO;
}

const char *pg_sqlstate(const struct pg_lib *lib, PGresult *result)
{
	const char *state = lib->PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state ? state : "";
}

bool pg_is_fatal(const struct pg_lib *lib, PGresult *result)
{
	const char *severity = lib->PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

const char *pg_explain(const struct pg_lib *lib, PGresult *result, struct arena *arena)
{
	const char *state = pg_sqlstate(lib, result);
	const char *text = lib->PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	/* messages of class 22, "invalid input syntax for type integer: …", quote what was given */
	if (!text || strncmp(state, "22", 2) == 0)
		text = "a value does not fit";
	return arena_printf(arena, "%s (%s)", text, state);
}
