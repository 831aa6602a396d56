/* The way of a script:
 *
 *   WAIT -> CONNECT, ENTER -- password refused --> CONNECT_AGAIN, ENTER_AGAIN: the other one
 *             |
 *             v
 *            LOCK -- held by another --> HOLDER -> PAUSE -> LOCK
 *             |
 *             v
 *           SWEEP -- there was one --> SWEEP
 *             |
 *             v
 *            RUN <-> INSIDE, which goes through LEAVE (another database), ENTER and GUARD; or MISS,
 *             |       when it may not come in and may do without
 *             |
 *             v
 *          RELEASE: main is kept for the next script
 *             |
 *             v
 *           CLOSE <- KILL (canceled while a statement runs) */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql_script.h"

#include "core/failpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_MS 5000
#define STATEMENT_MS 35000
#define KILL_MS 3000
#define IDLE_MS SEC(10)

enum {
	WAIT,
	CONNECT,
	CONNECT_AGAIN,
	ENTER_AGAIN,
	LOCK,
	HOLDER,
	PAUSE,
	SWEEP,
	RUN,
	LEAVE,
	MISS,
	ENTER,
	GUARD,
	INSIDE,
	RELEASE,
	KILL,
	CLOSE
};

#define IS_OUR_LOCK                                                     \
	"locktype = 'advisory' AND classid = %u AND objid = %u"         \
	" AND objsubid = 1 AND granted AND database = (SELECT oid FROM" \
	" pg_database WHERE datname = "

/* -- the end ------------------------------------------------------------------------------ */

static bool any_open(const struct postgresql_script *script)
{
	size_t i;

	for (i = 0; i < POSTGRESQL_SIDES; i++)
		if (script->sides[i])
			return true;
	return script->resolving;
}

static void begin(struct postgresql_script *script);

/* The next one has its turn. */
static void leave(struct postgresql_server *server)
{
	struct list *node = list_shift(&server->waiting);

	server->n--;
	if (node)
		begin(container_of(node, struct postgresql_script, node));
}

static void ended(struct postgresql_script *script)
{
	leave(script->server);
	call_end(&script->call, script->status);
}

static void ended_soon(struct soon *soon)
{
	ended(container_of(soon, struct postgresql_script, soon));
}

/* Closes all; the last that closes ends the call. */
static void end(struct postgresql_script *script, int status)
{
	size_t i;

	if (script->step == CLOSE)
		return;
	script->step = CLOSE;
	script->status = status;
	buf_wipe(&script->text);
	buf_wipe(&script->own);
	pg_target_cancel(&script->target);
	for (i = 0; i < POSTGRESQL_SIDES; i++)
		if (script->sides[i])
			pg_conn_close(&script->sides[i]->conn);
	if (!any_open(script))
		loop_soon(script->server->loop, &script->soon);
}

static void failed(struct postgresql_script *script, int status)
{
	script->again = postgresql_may_pass(script->sqlstate, status);
	end(script, status);
}

/* -- sessions ----------------------------------------------------------------------------- */

static struct postgresql_side *side_of(struct pg_conn *conn)
{
	return container_of(conn, struct postgresql_side, conn);
}

static bool is_side(const struct postgresql_side *side, int i)
{
	return side == side->script->sides[i];
}

static void on_up(struct pg_conn *conn);
static void on_reply(struct pg_conn *conn, const struct pg_note *note, PGresult *result);
static void on_lost(struct pg_conn *conn, const struct err *why);
static void on_closed(struct pg_conn *conn);

static void resolved(void *data, int status, struct err *why)
{
	struct postgresql_script *script = data;
	int i = script->step == KILL    ? POSTGRESQL_KILLER
		: script->step == ENTER ? POSTGRESQL_WITHIN
					: POSTGRESQL_MAIN;
	struct postgresql_side *side;

	script->resolving = false;
	if (script->step == CLOSE) {
		pg_target_finish(&script->target);
		if (!any_open(script))
			loop_soon(script->server->loop, &script->soon);
		return;
	}
	if (status < 0) {
		if (script->step != KILL)
			script->err = *why;
		pg_target_finish(&script->target);
		failed(script, script->step == KILL ? ERR_CANCELED : status);
		return;
	}
	side = mem_zalloc(sizeof(*side));
	script->sides[i] = side;
	side->script = script;
	side->conn = (struct pg_conn){
		.loop = script->server->loop,
		.lib = script->server->lib,
		.on_up = on_up,
		.on_reply = on_reply,
		.on_lost = on_lost,
		.on_closed = on_closed,
		.connect_ms = script->step == KILL ? KILL_MS : CONNECT_MS,
		.statement_ms = script->step == KILL ? KILL_MS : STATEMENT_MS,
	};
	pg_conn_open(&side->conn, &script->target);
	pg_target_finish(&script->target);
}

/* For the step: CONNECT, ENTER or KILL. */
static void dial(struct postgresql_script *script, int step, const char *database)
{
	int rc;

	script->step = step;
	script->password = script->server->password;
	rc = postgresql_target(script->server, database, step == ENTER ? script->lock : NULL,
			       &script->target, &script->err);
	if (rc < 0) {
		failed(script, rc);
		return;
	}
	script->resolving = true;
	pg_target_resolve(&script->target, script->server->loop, CONNECT_MS, resolved, script);
}

/* -- statements --------------------------------------------------------------------------- */

static void ask(struct postgresql_script *script, int i, const struct buf *text,
		const char *const *params, int n)
{
	struct pg_conn *conn = &script->sides[i]->conn;

	script->sqlstate[0] = '\0';
	script->err.code = 0;
	pg_conn_send_text(conn, text->p, params, n,
			  (struct pg_note){ .kind = PG_STATEMENT, .whose = script });
	pg_conn_sync(conn, script);
	if ((script->step == RUN || script->step == INSIDE) &&
	    failpoint(script->lock ? "postgresql.sent" : "postgresql.unlocked.sent"))
		shutdown(conn->lib->PQsocket(conn->pg), SHUT_RDWR);
}

static void put_lock(struct postgresql_script *script)
{
	unsigned long long number = 0;

	sscanf(script->lock + 1, "%16llx", &number);
	buf_printf(&script->own, "%lld", (long long)number);
}

static int put_is_our_lock(struct postgresql_script *script)
{
	unsigned upper = 0, lower = 0;

	sscanf(script->lock + 1, "%8x%8x", &upper, &lower);
	buf_printf(&script->own, IS_OUR_LOCK, upper, lower);
	if (pg_conn_put_text(&script->sides[POSTGRESQL_MAIN]->conn, &script->own,
			     str_of(script->server->database)) < 0)
		return err_set(&script->err, ERR_INVALID, "no name of a database");
	buf_putc(&script->own, ')');
	return 0;
}

static void kill_ours(struct postgresql_script *script)
{
	size_t i;

	buf_clear(&script->own);
	buf_puts(&script->own,
		 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE false");
	for (i = POSTGRESQL_MAIN; i <= POSTGRESQL_WITHIN; i++) {
		const struct postgresql_side *side = script->sides[i];
		const struct pg_session *session = side ? &side->conn.session : NULL;

		if (session && session->pid)
			buf_printf(&script->own,
				   " OR (pid = %lld AND extract(epoch FROM"
				   " backend_start)::text = '%s')",
				   (long long)session->pid, session->began);
	}
	ask(script, POSTGRESQL_KILLER, &script->own, NULL, 0);
}

/* Is it still ours? Another session could have ended main, and ours is about to do something. */
static void guard(struct postgresql_script *script)
{
	const struct pg_session *session = &script->sides[POSTGRESQL_MAIN]->conn.session;
	char pid[32];
	const char *params[] = { pid, session->began };

	snprintf(pid, sizeof(pid), "%lld", (long long)session->pid);
	buf_clear(&script->own);
	buf_puts(&script->own, "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
			       "WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2 "
			       "AND ");
	if (put_is_our_lock(script) < 0) {
		failed(script, ERR_INVALID);
		return;
	}
	script->step = GUARD;
	ask(script, POSTGRESQL_WITHIN, &script->own, params, 2);
}

/* The statements of the machinery, in main. */
static void run(struct postgresql_script *script, int step)
{
	struct buf *text = &script->own;

	script->step = step;
	buf_clear(text);
	switch (step) {
	case LOCK:
		buf_puts(text, "SELECT pg_try_advisory_lock(");
		put_lock(script);
		buf_putc(text, ')');
		break;
	case HOLDER:
		buf_puts(text, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE ");
		if (put_is_our_lock(script) < 0) {
			failed(script, ERR_INVALID);
			return;
		}
		break;
	case SWEEP: /* waits a little when there was one */
		buf_printf(text,
			   "SELECT count(pg_sleep(0.01)) FROM (SELECT"
			   " pg_terminate_backend(pid) FROM pg_stat_activity a JOIN pg_roles r ON"
			   " r.oid = a.usesysid WHERE a.application_name = 'osbd %.40s' AND"
			   " r.rolname = session_user AND a.pid <> pg_backend_pid()) ended",
			   script->lock);
		break;
	case RELEASE:
		buf_puts(text, "SELECT pg_advisory_unlock_all()");
		break;
	default:
		buf_puts(text, "SELECT pg_sleep(0.01)");
		break;
	}
	ask(script, POSTGRESQL_MAIN, &script->own, NULL, 0);
}

static void go_inside(struct postgresql_script *script)
{
	struct postgresql_side *side = script->sides[POSTGRESQL_WITHIN];

	if (side && script->entered && strcmp(script->entered, script->inside) == 0) {
		script->step = INSIDE;
		ask(script, POSTGRESQL_WITHIN, &script->text, NULL, 0);
	} else if (side) {
		script->step = LEAVE;
		pg_conn_close(&side->conn);
	} else {
		script->entered = script->inside;
		dial(script, ENTER, script->inside);
	}
}

/* All is done: main gives its locks back, and may be used again. */
static void release(struct postgresql_script *script)
{
	struct postgresql_side *within = script->sides[POSTGRESQL_WITHIN];

	if (within)
		pg_conn_close(&within->conn);
	run(script, RELEASE);
}

static void on_idle(struct timer *timer)
{
	struct postgresql_side *side = container_of(timer, struct postgresql_side, timer);

	timer_stop(timer);
	list_remove(&side->node);
	pg_conn_close(&side->conn);
}

static void park(struct postgresql_script *script)
{
	struct postgresql_side *side = script->sides[POSTGRESQL_MAIN];

	script->sides[POSTGRESQL_MAIN] = NULL;
	side->script = NULL;
	list_prepend(&script->server->idle, &side->node);
	timer_start(&side->timer, script->server->loop, IDLE_MS, on_idle);
	end(script, 0);
}

static void next(struct postgresql_script *script)
{
	int where;

	buf_clear(&script->text);
	script->tolerated = NULL;
	script->may_miss = false;
	where = script->next(script, &script->text);
	script->missed = false;
	switch (where) {
	case POSTGRESQL_RUN:
		script->step = RUN;
		ask(script, POSTGRESQL_MAIN, &script->text, NULL, 0);
		break;
	case POSTGRESQL_INSIDE:
		go_inside(script);
		break;
	case POSTGRESQL_END:
		release(script);
		break;
	default:
		end(script, script->err.code);
		break;
	}
}

static bool says(const struct postgresql_script *script, const char *what)
{
	return script->result.rows && strcmp(script->result.cells[0].p, what) == 0;
}

/* A statement has its reply, and no error that is not tolerated. */
static void went(struct postgresql_script *script)
{
	switch (script->step) {
	case LOCK:
		run(script, says(script, "t") ? SWEEP : HOLDER);
		break;
	case HOLDER:
		run(script, PAUSE);
		break;
	case PAUSE:
		run(script, LOCK);
		break;
	case SWEEP:
		if (says(script, "0"))
			next(script);
		else
			run(script, SWEEP);
		break;
	case GUARD:
		if (says(script, "0")) {
			script->again = true;
			end(script,
			    err_set(&script->err, ERR_CONFLICT, "another session has the lock"));
		} else {
			go_inside(script);
		}
		break;
	case KILL:
		end(script, ERR_CANCELED);
		break;
	case RELEASE:
		park(script);
		break;
	default:
		next(script);
		break;
	}
}

static void on_up(struct pg_conn *conn)
{
	struct postgresql_script *script = side_of(conn)->script;

	script->tried = false;
	switch (script->step) {
	case CONNECT:
		if (script->lock)
			run(script, LOCK);
		else
			next(script);
		break;
	case ENTER:
		if (script->lock)
			guard(script);
		else
			go_inside(script);
		break;
	case KILL:
		kill_ours(script);
		break;
	default:
		break;
	}
}

/* -- events ------------------------------------------------------------------------------- */

/* Whether it is about what the script waits for now. */
static bool is_awaited(const struct postgresql_side *side)
{
	switch (side->script->step) {
	case ENTER:
	case ENTER_AGAIN:
	case GUARD:
	case INSIDE:
		return is_side(side, POSTGRESQL_WITHIN);
	case KILL:
		return is_side(side, POSTGRESQL_KILLER);
	case CLOSE:
		return false;
	default:
		return is_side(side, POSTGRESQL_MAIN);
	}
}

static void keep(struct postgresql_script *script, PGresult *result)
{
	const struct pg_lib *lib = script->server->lib;
	struct sql_result *kept = &script->result;
	size_t row, col;

	*kept = (struct sql_result){ .ended = true };
	if (lib->PQresultStatus(result) != PGRES_TUPLES_OK)
		return;
	kept->rows = (size_t)lib->PQntuples(result);
	kept->cols = (size_t)lib->PQnfields(result);
	kept->cells =
		arena_zalloc(script->arena, (kept->rows * kept->cols + 1) * sizeof(struct str));
	for (row = 0; row < kept->rows; row++)
		for (col = 0; col < kept->cols; col++)
			kept->cells[row * kept->cols + col] = arena_str(
				script->arena, str_of(lib->PQgetvalue(result, (int)row, (int)col)));
}

static void keep_error(struct postgresql_script *script, PGresult *result)
{
	const struct pg_lib *lib = script->server->lib;
	const char *state = pg_sqlstate(lib, result);

	if (script->err.code)
		return; /* the first one says why */
	if (script->step != RELEASE)
		script->result = (struct sql_result){ 0 };
	snprintf(script->sqlstate, sizeof(script->sqlstate), "%.5s", state);
	err_set(&script->err, pg_code(state), "%s", pg_explain(lib, result, script->arena));
}

static void on_reply(struct pg_conn *conn, const struct pg_note *note, PGresult *result)
{
	struct postgresql_side *side = side_of(conn);
	struct postgresql_script *script = side->script;

	if (!script || !is_awaited(side))
		return;
	if (result && !pg_ok(conn->lib, result))
		keep_error(script, result);
	else if (note->kind == PG_STATEMENT && script->step != RELEASE)
		keep(script, result); /* what next() has found last stays for the owner */
	if (note->kind != PG_SYNC || result)
		return;
	script->reused = false;
	if (script->step == RELEASE && script->err.code)
		end(script, 0); /* done it is all the same */
	else if (script->call.canceled && script->step != KILL && script->step != RELEASE)
		end(script, err_set(&script->err, ERR_CANCELED, "canceled"));
	else if (script->err.code && script->step != KILL &&
		 !(script->tolerated && (script->step == RUN || script->step == INSIDE) &&
		   strstr(script->tolerated, script->sqlstate)))
		failed(script, script->err.code);
	else
		went(script);
}

static void on_lost(struct pg_conn *conn, const struct err *why)
{
	struct postgresql_side *side = side_of(conn);
	struct postgresql_script *script = side->script;

	if (!script) {
		list_remove(&side->node);
		timer_stop(&side->timer);
		return;
	}
	/* inside may go when nothing is asked there: a database is dropped with its sessions */
	if (script->step == CLOSE ||
	    (!is_awaited(side) && (script->step == KILL || is_side(side, POSTGRESQL_WITHIN))))
		return;
	if (!script->err.code) { /* else the server has said why */
		script->err = *why;
		script->sqlstate[0] = '\0';
	}
	if (script->step == KILL)
		end(script, ERR_CANCELED);
	else if (script->step == RELEASE)
		end(script, 0);
	else if (script->reused)
		script->step = CONNECT_AGAIN;
	else if (conn->state == PG_CONNECTING && why->code == ERR_ACCESS && !script->tried &&
		 script->server->passwords[1])
		script->step = script->step == CONNECT ? CONNECT_AGAIN : ENTER_AGAIN;
	else if (script->step == ENTER && script->may_miss)
		script->step = MISS;
	else
		failed(script, script->err.code);
}

/* What waited for the end of a session goes on. */
static void went_on(struct postgresql_script *script)
{
	switch (script->step) {
	case LEAVE:
		go_inside(script);
		break;
	case MISS:
		script->err.code = 0;
		script->sqlstate[0] = '\0';
		script->result = (struct sql_result){ 0 };
		script->missed = true;
		next(script);
		break;
	case CONNECT_AGAIN:
	case ENTER_AGAIN:
		if (script->reused) {
			script->at = 0;
			script->reused = false;
		} else {
			script->tried = true;
			script->server->password = !script->password;
		}
		script->err.code = 0;
		if (script->step == ENTER_AGAIN)
			dial(script, ENTER, script->inside);
		else
			dial(script, CONNECT, script->server->database);
		break;
	case CLOSE:
		if (!any_open(script))
			ended(script);
		break;
	default:
		break;
	}
}

static void on_closed(struct pg_conn *conn)
{
	struct postgresql_side *side = side_of(conn);
	struct postgresql_script *script = side->script;
	size_t i;

	for (i = 0; script && i < POSTGRESQL_SIDES; i++)
		if (script->sides[i] == side)
			script->sides[i] = NULL;
	mem_free(side);
	if (script)
		went_on(script);
}

static void cancel(struct call *call)
{
	struct postgresql_script *script = container_of(call, struct postgresql_script, call);
	bool runs = false;
	size_t i;

	if (script->step == KILL || script->step == CLOSE || script->step == RELEASE)
		return;
	err_set(&script->err, ERR_CANCELED, "canceled");
	if (script->step == WAIT) {
		list_remove(&script->node);
		script->server->n++; /* which ended() takes back */
		end(script, ERR_CANCELED);
		return;
	}
	for (i = POSTGRESQL_MAIN; i <= POSTGRESQL_WITHIN; i++)
		if (script->sides[i] && script->sides[i]->conn.session.pid &&
		    !pg_conn_quiet(&script->sides[i]->conn))
			runs = true;
	if (runs && !script->resolving)
		dial(script, KILL, script->server->database);
	else
		end(script, ERR_CANCELED);
}

static void begin(struct postgresql_script *script)
{
	struct postgresql_server *server = script->server;
	struct list *node = list_shift(&server->idle);
	struct postgresql_side *side;

	server->n++;
	if (!node) {
		dial(script, CONNECT, server->database);
		return;
	}
	side = container_of(node, struct postgresql_side, node);
	timer_stop(&side->timer);
	side->script = script;
	script->sides[POSTGRESQL_MAIN] = side;
	script->reused = true;
	script->step = CONNECT;
	on_up(&side->conn);
}

void postgresql_server_init(struct postgresql_server *server)
{
	list_init(&server->waiting);
	list_init(&server->idle);
	server->n = 0;
	server->password = 0;
}

void postgresql_server_finish(struct postgresql_server *server)
{
	struct list *node;

	while (server->idle.next && (node = list_first(&server->idle)))
		on_idle(&container_of(node, struct postgresql_side, node)->timer);
}

void postgresql_script_start(struct postgresql_script *script)
{
	struct postgresql_server *server = script->server;

	memset(script->sides, 0, sizeof(script->sides));
	memset(&script->err, 0, sizeof(script->err));
	memset(&script->text, 0, sizeof(script->text));
	memset(&script->own, 0, sizeof(script->own));
	memset(&script->target, 0, sizeof(script->target));
	script->result = (struct sql_result){ 0 };
	script->sqlstate[0] = '\0';
	script->tolerated = script->inside = script->entered = NULL;
	script->again = script->resolving = script->tried = script->reused = false;
	script->at = 0;
	script->soon.run = ended_soon;
	call_begin(&script->call, cancel);
	if (server->n < server->max) {
		begin(script);
	} else {
		script->step = WAIT;
		list_append(&server->waiting, &script->node);
	}
}
