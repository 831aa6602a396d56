/* Ends another session: asks for its end until the server's list of sessions lacks it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/my_conn.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 20

enum { TO_CONNECT, TO_KILL, TO_LOOK, TO_CLOSE };

static void kill_query(struct my_kill *kill, int step);

static void kill_closed(struct call *call, int status)
{
	struct my_request *request = container_of(call, struct my_request, call);
	struct my_kill *kill = container_of(request, struct my_kill, request);

	(void)status;
	arena_finish(&kill->arena);
	call_end(&kill->call, kill->status);
}

static void kill_end(struct my_kill *kill, int status)
{
	timer_stop(&kill->pause);
	kill->status = status;
	kill->step = TO_CLOSE;
	kill->request.call.done = kill_closed;
	kill->request.within = 0;
	if (my_close_start(&kill->conn, &kill->request) < 0)
		abort(); /* nothing runs on it */
}

static void look_again(struct timer *timer)
{
	kill_query(container_of(timer, struct my_kill, pause), TO_LOOK);
}

static void kill_went(struct call *call, int status)
{
	struct my_request *request = container_of(call, struct my_request, call);
	struct my_kill *kill = container_of(request, struct my_kill, request);

	if (kill->step == TO_KILL && request->code == ER_NO_SUCH_THREAD) {
		kill_end(kill, 0);
		return;
	}
	if (status < 0 || kill->call.canceled) {
		kill->err = request->err;
		kill_end(kill, status < 0 ? status : err_set(&kill->err, ERR_CANCELED, "canceled"));
		return;
	}
	if (kill->step == TO_LOOK && request->result.rows == 0) { /* or another's by now */
		kill_end(kill, 0);
		return;
	}
	if (loop_now(kill->loop) >= kill->ends) {
		kill_end(kill, err_set(&kill->err, ERR_TIMEDOUT, "session %llu does not end",
				       (unsigned long long)kill->id));
		return;
	}
	if (kill->step != TO_LOOK)
		kill_query(kill, TO_LOOK);
	else if (!kill->asked)
		kill_query(kill, TO_KILL);
	else
		timer_start(&kill->pause, kill->loop, LOOK_MS, look_again);
}

static void kill_query(struct my_kill *kill, int step)
{
	uint64_t now = loop_now(kill->loop);

	kill->step = step;
	kill->asked |= step == TO_KILL;
	arena_reset(&kill->arena);
	if (step == TO_KILL)
		snprintf(kill->text, sizeof(kill->text), "KILL CONNECTION %llu",
			 (unsigned long long)kill->id);
	else
		snprintf(kill->text, sizeof(kill->text),
			 "SELECT ID FROM information_schema.PROCESSLIST"
			 " WHERE ID = %llu AND (USER = SUBSTRING_INDEX(USER(), '@', 1)"
			 " OR ID = IS_USED_LOCK('%s'))",
			 (unsigned long long)kill->id, kill->lock ? kill->lock : "");
	kill->request.what = step == TO_KILL ? "kill session" : "look for session";
	kill->request.text = str_of(kill->text);
	kill->request.within = kill->ends > now ? kill->ends - now : 1;
	if (my_query_start(&kill->conn, &kill->request) < 0)
		abort(); /* it is up, and nothing runs on it */
}

static void kill_cancel(struct call *call)
{
	struct my_kill *kill = container_of(call, struct my_kill, call);

	if (timer_running(&kill->pause))
		kill_end(kill, err_set(&kill->err, ERR_CANCELED, "canceled"));
	else if (kill->step != TO_CLOSE)
		call_cancel(&kill->request.call);
}

int my_kill_start(struct my_kill *kill)
{
	memset(&kill->conn, 0, sizeof(kill->conn));
	memset(&kill->request, 0, sizeof(kill->request));
	memset(&kill->err, 0, sizeof(kill->err));
	arena_init(&kill->arena);
	kill->conn.loop = kill->loop;
	kill->conn.server = kill->server;
	kill->conn.only_once = true;
	kill->step = TO_CONNECT;
	kill->asked = false;
	kill->ends = loop_now(kill->loop) + (kill->within ? kill->within : SEC(10));
	kill->request.what = "connect";
	kill->request.arena = &kill->arena;
	kill->request.call.done = kill_went;
	kill->request.within = kill->within;
	call_begin(&kill->call, kill_cancel);
	return my_connect_start(&kill->conn, &kill->request);
}
