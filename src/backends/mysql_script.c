/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/mysql_script.h"

#include "core/failpoint.h"

#include <mysqld_error.h>
#include <stdlib.h>

enum { LOAN, CONNECT, SETTINGS, LOCK, HOLDER, KILL, RUN, UNLOCK, CLOSE };

static void run(struct mysql_script *script, int step, const char *what);

static void finish(struct mysql_script *script, bool again)
{
	buf_wipe(&script->text);
	my_pool_return(script->pool, script->conn, again);
	script->conn = NULL;
	call_end(&script->call, script->status);
}

static void script_closed(struct call *call, int status)
{
	(void)status;
	finish(call->data, false);
}

/* Whatever the session has done or holds: it goes. */
static void end(struct mysql_script *script, int status)
{
	script->step = CLOSE;
	script->status = status;
	script->request.call.done = script_closed;
	script->request.call.data = script;
	script->request.what = NULL;
	script->request.within = 0;
	if (my_close_start(script->conn, &script->request) < 0)
		abort(); /* nothing runs on it */
}

static bool may_pass(int status, unsigned code)
{
	switch (code) {
	case ER_CON_COUNT_ERROR:
	case ER_TOO_MANY_USER_CONNECTIONS:
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_LOCK_DEADLOCK:
	case ER_SERVER_SHUTDOWN:
	case ER_DISK_FULL:
		return true;
	default:
		return status != ERR_STORE && status != ERR_ACCESS && status != ERR_NOENT &&
		       status != ERR_INVALID;
	}
}

static void failed(struct mysql_script *script, int status)
{
	script->err = script->request.err;
	script->again = may_pass(status, script->request.code);
	end(script, status);
}

static void killed(struct call *call, int status)
{
	struct mysql_script *script = call->data;

	if (status < 0) {
		script->request.err = script->kill.err;
		script->request.code = 0;
		failed(script, status);
		return;
	}
	run(script, LOCK, "lock");
}

static void end_holder(struct mysql_script *script, struct str id)
{
	uint64_t n;

	if (!id.p || !str_to_u64(id, &n)) { /* free by now */
		run(script, LOCK, "lock");
		return;
	}
	script->step = KILL;
	memset(&script->kill, 0, sizeof(script->kill));
	script->kill.call.done = killed;
	script->kill.call.data = script;
	script->kill.loop = script->pool->loop;
	script->kill.server = script->conn->server;
	script->kill.id = n;
	script->kill.lock = script->lock; /* applications may take it, too */
	if (my_kill_start(&script->kill) < 0)
		abort(); /* its first start */
}

static void next(struct mysql_script *script)
{
	buf_clear(&script->text);
	script->tolerated = 0;
	switch (script->next(script, &script->text)) {
	case MYSQL_RUN:
		run(script, RUN, "statement");
		break;
	case MYSQL_END:
		script->status = 0;
		if (script->lock)
			run(script, UNLOCK, "unlock");
		else
			finish(script, true);
		break;
	case MYSQL_FAIL:
		end(script, script->err.code);
		break;
	}
}

static bool tolerates(const struct mysql_script *script, unsigned code)
{
	if (!code)
		return false;
	if (script->tolerated == ER_NO_SUCH_TABLE && code == ER_BAD_DB_ERROR)
		return true; /* servers differ in which of the two they miss */
	if (script->tolerated == ER_NONEXISTING_GRANT &&
	    (code == ER_PASSWORD_NO_MATCH || code == ER_CANT_CREATE_USER_WITH_GRANT))
		return true; /* likewise, of a user who is not there */
	return code == script->tolerated;
}

static void lock(struct mysql_script *script)
{
	if (script->lock)
		run(script, LOCK, "lock");
	else
		next(script);
}

static void went(struct call *call, int status);

static void log_in(struct mysql_script *script)
{
	script->step = CONNECT;
	script->request.call.done = went;
	script->request.call.data = script;
	script->request.what = "connect";
	if (my_connect_start(script->conn, &script->request) < 0)
		abort(); /* it is not connected, and nothing runs on it */
}

static void lent(struct call *call, int status)
{
	struct mysql_script *script = call->data;

	if (status < 0) {
		err_set(&script->err, status, "canceled");
		call_end(&script->call, status);
		return;
	}
	script->conn = script->loan.conn;
	if (script->call.canceled) {
		script->status = err_set(&script->err, ERR_CANCELED, "canceled");
		finish(script, true);
	} else if (script->conn->up) {
		lock(script);
	} else {
		log_in(script);
	}
}

static void went(struct call *call, int status)
{
	struct mysql_script *script = call->data;
	const struct my_result *result = &script->request.result;

	(void)failpoint("mysql.%s.reply", script->name);
	if (script->call.canceled && status == 0)
		status = err_set(&script->request.err, ERR_CANCELED, "canceled");
	if (status == ERR_ACCESS && script->step == CONNECT && !script->tried &&
	    my_pool_refused(script->pool, script->conn)) {
		script->tried = true;
		log_in(script);
		return;
	}
	if (script->step == UNLOCK && script->status == 0) { /* all is done, however this went */
		if (status < 0)
			end(script, 0);
		else
			finish(script, true);
		return;
	}
	if (status < 0 && (script->step != RUN || !tolerates(script, script->request.code))) {
		failed(script, status);
		return;
	}
	switch (script->step) {
	case CONNECT:
		run(script, SETTINGS, "settings");
		break;
	case SETTINGS:
		lock(script);
		break;
	case LOCK:
		if (my_cell(result, 0, 0).p && str_is(my_cell(result, 0, 0), "1"))
			next(script);
		else
			run(script, HOLDER, "lock");
		break;
	case HOLDER:
		end_holder(script, my_cell(result, 0, 0));
		break;
	default:
		next(script);
	}
}

static void run(struct mysql_script *script, int step, const char *what)
{
	struct my_request *request = &script->request;
	bool cut = failpoint("mysql.%s.send", script->name);

	script->step = step;
	if (step != RUN)
		buf_clear(&script->text);
	if (step == SETTINGS)
		/* with any other sql_mode a GRANT may make a user who has no password */
		buf_printf(&script->text,
			   "SET SESSION wait_timeout = %u /*M! , sql_mode = "
			   "'STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION' */",
			   script->idle_seconds ? script->idle_seconds : MYSQL_IDLE);
	else if (step == UNLOCK)
		buf_printf(&script->text, "DO RELEASE_LOCK('%s')", script->lock);
	else if (step == LOCK)
		buf_printf(&script->text, "SELECT GET_LOCK('%s', 1)", script->lock);
	else if (step == HOLDER)
		buf_printf(&script->text, "SELECT IS_USED_LOCK('%s')", script->lock);
	request->call.done = went;
	request->what = what;
	request->arena = script->arena;
	request->text = buf_str(&script->text);
	request->secret = step == RUN && script->request.secret;
	if (my_query_start(script->conn, request) < 0)
		abort(); /* it is up, and nothing runs on it */
	request->call.data = script;
	if (cut)
		my_conn_cut(script->conn);
}

static void cancel(struct call *call)
{
	struct mysql_script *script = container_of(call, struct mysql_script, call);

	if (script->step == LOAN)
		call_cancel(&script->loan.call);
	else if (script->step == KILL)
		call_cancel(&script->kill.call);
	else if (script->step != CLOSE)
		call_cancel(&script->request.call);
}

void mysql_script_start(struct mysql_script *script)
{
	memset(&script->request, 0, sizeof(script->request));
	memset(&script->err, 0, sizeof(script->err));
	memset(&script->text, 0, sizeof(script->text));
	memset(&script->loan, 0, sizeof(script->loan));
	script->conn = NULL;
	script->again = script->tried = false;
	script->at = 0;
	script->status = 0;
	script->step = LOAN;
	script->loan.call.done = lent;
	script->loan.call.data = script;
	call_begin(&script->call, cancel);
	my_pool_ask(script->pool, &script->loan);
}
