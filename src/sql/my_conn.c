/* What libmariadb waits for, uv_poll waits for, from the first wait until the socket goes. libmariadb
 * may close that in any step, so it is looked at after each.
 *
 *   RESOLVING --> CONNECTING --> (up)       the next address after one that failed
 *   QUERYING --> STORING --> (up)
 *   CLOSING --> (unused)
 *   QUERYING, STORING -- deadline, cancel, connection lost --> KILLING --> (unused)
 *
 * A step that is given up is not left hanging in libmariadb, whose stack it runs on: the socket is
 * shut, so that the step fails by itself at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/my_conn.h"

#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define STACK_SIZE (256 * 1024)
#define GIVE_UP_MAX 64

struct my_poll {
	uv_poll_t uv;
	struct my_conn *conn; /* NULL: it is being closed */
	int fd, events;
};

enum { IDLE, RESOLVING, CONNECTING, QUERYING, STORING, CLOSING, KILLING };

static void went_on(struct my_conn *conn, int wait);
static void next_address(struct my_conn *conn);

/* -- the end of a request ------------------------------------------------------------------ */

static void on_poll_closed(uv_handle_t *handle)
{
	mem_free(handle->data);
}

static void on_event(uv_poll_t *uv, int status, int events);

static void watch(struct my_conn *conn, int events)
{
	if (conn->poll->events == events)
		return;
	conn->poll->events = events;
	uv_poll_start(&conn->poll->uv, events, on_event);
}

static void leave_poll(struct my_conn *conn)
{
	if (!conn->poll)
		return;
	conn->poll->conn = NULL;
	uv_close((uv_handle_t *)&conn->poll->uv, on_poll_closed);
	conn->poll = NULL;
}

static void finish(struct my_conn *conn, int status)
{
	struct my_request *request = conn->request;

	timer_stop(&conn->deadline);
	timer_stop(&conn->pause);
	conn->step = IDLE;
	if (status < 0 && !request->err.code)
		err_set(&request->err, status, "%s", err_str(status));
	if (status < 0 && request->what)
		err_wrap(&request->err, "%s", request->what);
	if (conn->poll)
		watch(conn, UV_READABLE);
	conn->request = NULL;
	call_end_soon(conn->loop, &request->call, status);
}

static void closed(struct my_conn *conn)
{
	leave_poll(conn);
	conn->mysql = NULL;
	conn->up = false;
	my_relay_leave(conn->relay);
	conn->relay = NULL;
}

static void forget(struct my_conn *conn)
{
	leave_poll(conn);
	if (conn->rows)
		conn->server->lib->mysql_free_result(conn->rows);
	conn->rows = NULL;
	/* what is to be said to the server is not said: nothing here may wait */
	if (conn->mysql) {
		int fd = (int)conn->server->lib->mysql_get_socket(conn->mysql);

		if (fd >= 0)
			shutdown(fd, SHUT_RDWR);
		conn->server->lib->mysql_close(conn->mysql);
	}
	closed(conn);
}

void my_conn_drop(struct my_conn *conn)
{
	if (!conn->request)
		forget(conn);
}

bool my_conn_alive(const struct my_conn *conn)
{
	char byte;
	int fd;

	if (!conn->up || conn->request)
		return conn->up;
	fd = (int)conn->server->lib->mysql_get_socket(conn->mysql);
	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

void my_conn_cut(struct my_conn *conn)
{
	if (conn->mysql)
		shutdown((int)conn->server->lib->mysql_get_socket(conn->mysql), SHUT_RDWR);
}

/* Codes that the client library makes up itself. */
static bool is_local(unsigned code)
{
	return (code >= 2000 && code < 3000) || (code >= 5000 && code < 6000);
}

static int code_of(unsigned code)
{
	switch (code) {
	case ER_ACCESS_DENIED_ERROR:
	case ER_DBACCESS_DENIED_ERROR:
	case ER_ACCOUNT_HAS_BEEN_LOCKED:
		return ERR_ACCESS;
	case ER_BAD_DB_ERROR:
		return ERR_NOENT;
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
		return ERR_REFUSED;
	default:
		return is_local(code) ? ERR_CLOSED : ERR_STORE;
	}
}

/* What the library says of the step that has just failed. */
static int take_error(struct my_conn *conn)
{
	const struct my_lib *lib = conn->server->lib;
	struct my_request *request = conn->request;
	unsigned code = lib->mysql_errno(conn->mysql);
	int rc = code_of(code);

	if (request->err.code && request->err.code != ERR_REFUSED)
		return request->err.code; /* given up: that is the reason */
	memset(&request->err, 0, sizeof(request->err));
	if (is_local(code) && conn->relay && my_relay_why(conn->relay)->code) {
		request->err = *my_relay_why(conn->relay);
		return request->err.code;
	}
	request->code = code;
	if (!is_local(code))
		snprintf(request->sqlstate, sizeof(request->sqlstate), "%s",
			 lib->mysql_sqlstate(conn->mysql));
	if (request->secret)
		return err_set(&request->err, rc, "error %u (%s)", code,
			       lib->mysql_sqlstate(conn->mysql));
	return err_set(&request->err, rc, "%s", lib->mysql_error(conn->mysql));
}

/* -- giving up ----------------------------------------------------------------------------- */

static int cont(struct my_conn *conn, int ready)
{
	const struct my_lib *lib = conn->server->lib;

	switch (conn->step) {
	case CONNECTING:
		return lib->mysql_real_connect_cont(&conn->connected, conn->mysql, ready);
	case QUERYING:
		return lib->mysql_real_query_cont(&conn->rc, conn->mysql, ready);
	case STORING:
		return lib->mysql_store_result_cont(&conn->rows, conn->mysql, ready);
	case CLOSING:
		return lib->mysql_close_cont(conn->mysql, ready);
	default:
		return 0;
	}
}

static void killed(struct call *call, int status)
{
	struct my_kill *kill = container_of(call, struct my_kill, call);
	struct my_conn *conn = call->data;
	struct my_request *request = conn->request;
	int code = request->err.code;

	request->may_run = status < 0;
	if (status < 0)
		err_set(&request->err, code, "%s; its session may still run: %.300s", err_str(code),
			kill->err.text);
	conn->kill = NULL;
	mem_free(kill);
	finish(conn, code);
}

static void end_session(struct my_conn *conn)
{
	struct my_request *request = conn->request;
	struct my_kill *kill;

	timer_stop(&conn->deadline);
	timer_stop(&conn->pause);
	request->unknown = true;
	forget(conn);
	if (conn->only_once) {
		request->may_run = true;
		finish(conn, request->err.code);
		return;
	}
	conn->step = KILLING;
	conn->kill = kill = mem_zalloc(sizeof(*kill));
	kill->call.done = killed;
	kill->call.data = conn;
	kill->loop = conn->loop;
	kill->server = conn->server;
	kill->id = conn->id;
	if (my_kill_start(kill) < 0)
		abort(); /* nothing else uses it */
}

static void give_up(struct my_conn *conn, int code)
{
	struct my_request *request = conn->request;
	int fd, i;

	if (conn->step == IDLE || conn->step == KILLING)
		return; /* about to end as it is */
	err_set(&request->err, code, "%s", err_str(code));
	if (conn->step == RESOLVING) {
		call_cancel(&conn->lookup.call);
		return;
	}
	leave_poll(conn);
	fd = (int)conn->server->lib->mysql_get_socket(conn->mysql);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	for (i = 0; i < GIVE_UP_MAX && cont(conn, MYSQL_WAIT_TIMEOUT) != 0; i++)
		continue;
	if (i == GIVE_UP_MAX)
		abort(); /* a step of a socket that is shut always ends */
	switch (conn->step) {
	case QUERYING:
	case STORING:
		end_session(conn);
		return;
	case CLOSING:
		closed(conn); /* done all the same */
		memset(&request->err, 0, sizeof(request->err));
		finish(conn, 0);
		return;
	default:
		forget(conn);
		finish(conn, code);
	}
}

static void on_deadline(struct timer *timer)
{
	give_up(container_of(timer, struct my_conn, deadline), ERR_TIMEDOUT);
}

static void cancel(struct call *call)
{
	give_up(container_of(call, struct my_request, call)->conn, ERR_CANCELED);
}

/* -- waiting ------------------------------------------------------------------------------- */

static void ready(struct my_conn *conn, int what)
{
	timer_stop(&conn->pause);
	went_on(conn, cont(conn, what));
}

static void on_event(uv_poll_t *uv, int status, int events)
{
	struct my_poll *poll = uv->data;
	int what = 0;

	if (!poll->conn->request) { /* it is over: the next request finds out */
		leave_poll(poll->conn);
		return;
	}
	if (status < 0) /* whoever reads finds out what is wrong */
		events = UV_READABLE | UV_WRITABLE;
	if (events & (UV_READABLE | UV_DISCONNECT))
		what |= MYSQL_WAIT_READ;
	if (events & UV_WRITABLE)
		what |= MYSQL_WAIT_WRITE;
	if (events & UV_PRIORITIZED)
		what |= MYSQL_WAIT_EXCEPT;
	ready(poll->conn, what);
}

static void on_pause(struct timer *timer)
{
	ready(container_of(timer, struct my_conn, pause), MYSQL_WAIT_TIMEOUT);
}

static void wait_for(struct my_conn *conn, int wait)
{
	const struct my_lib *lib = conn->server->lib;
	int fd = (int)lib->mysql_get_socket(conn->mysql), events = 0;

	if (wait & MYSQL_WAIT_TIMEOUT)
		timer_start(&conn->pause, conn->loop, lib->mysql_get_timeout_value_ms(conn->mysql),
			    on_pause);
	if (wait & MYSQL_WAIT_READ)
		events |= UV_READABLE;
	if (wait & MYSQL_WAIT_WRITE)
		events |= UV_WRITABLE;
	if (wait & MYSQL_WAIT_EXCEPT)
		events |= UV_PRIORITIZED;
	if (!events)
		return;
	if (!conn->poll) {
		conn->poll = mem_zalloc(sizeof(*conn->poll));
		if (uv_poll_init(&conn->loop->uv, &conn->poll->uv, fd) != 0)
			abort(); /* out of memory, or a descriptor that epoll does not take */
		conn->poll->uv.data = conn->poll;
		conn->poll->conn = conn;
		conn->poll->fd = fd;
	}
	watch(conn, events);
}

/* -- steps --------------------------------------------------------------------------------- */

static void connected(struct my_conn *conn)
{
	const struct my_lib *lib = conn->server->lib;
	int rc;

	if (conn->connected) {
		memset(&conn->request->err, 0, sizeof(conn->request->err));
		conn->request->code = 0;
		conn->up = true;
		conn->id = lib->mysql_thread_id(conn->mysql);
		finish(conn, 0);
		return;
	}
	rc = take_error(conn);
	forget(conn);
	if (rc == ERR_REFUSED && conn->at < conn->lookup.n_addresses)
		next_address(conn);
	else
		finish(conn, rc);
}

static void lost_or_refused(struct my_conn *conn)
{
	int rc = take_error(conn);

	if (conn->request->sqlstate[0])
		finish(conn, rc);
	else
		end_session(conn);
}

static void queried(struct my_conn *conn)
{
	if (!conn->rc) {
		conn->step = STORING;
		conn->rows = NULL;
		went_on(conn,
			conn->server->lib->mysql_store_result_start(&conn->rows, conn->mysql));
		return;
	}
	lost_or_refused(conn);
}

static void copy_rows(struct my_conn *conn)
{
	const struct my_lib *lib = conn->server->lib;
	struct my_request *request = conn->request;
	struct my_result *result = &request->result;
	size_t row, col;

	result->rows = lib->mysql_num_rows(conn->rows);
	result->cols = lib->mysql_num_fields(conn->rows);
	if (!request->arena)
		return;
	result->cells = arena_zalloc(request->arena,
				     (result->rows * result->cols + 1) * sizeof(struct str));
	for (row = 0; row < result->rows; row++) {
		MYSQL_ROW values = lib->mysql_fetch_row(conn->rows);
		unsigned long *lengths = lib->mysql_fetch_lengths(conn->rows);

		for (col = 0; col < result->cols; col++)
			if (values[col])
				result->cells[row * result->cols + col] = arena_str(
					request->arena, str_make(values[col], lengths[col]));
	}
}

static void stored(struct my_conn *conn)
{
	const struct my_lib *lib = conn->server->lib;

	if (conn->rows) {
		copy_rows(conn);
		lib->mysql_free_result(conn->rows);
		conn->rows = NULL;
	} else if (lib->mysql_field_count(conn->mysql) || lib->mysql_errno(conn->mysql)) {
		lost_or_refused(conn);
		return;
	} else {
		conn->request->result.affected = lib->mysql_affected_rows(conn->mysql);
	}
	finish(conn, 0);
}

static void went_on(struct my_conn *conn, int wait)
{
	bool gone = conn->step == CLOSING && !wait; /* and libmariadb's handle, too */

	if (conn->poll &&
	    (gone || (int)conn->server->lib->mysql_get_socket(conn->mysql) != conn->poll->fd))
		leave_poll(conn);
	if (wait) {
		wait_for(conn, wait);
		return;
	}
	switch (conn->step) {
	case CONNECTING:
		connected(conn);
		break;
	case QUERYING:
		queried(conn);
		break;
	case STORING:
		stored(conn);
		break;
	case CLOSING:
		closed(conn);
		finish(conn, 0);
		break;
	default:
		break;
	}
}

/* -- connecting ---------------------------------------------------------------------------- */

static MYSQL *prepare(const struct my_conn *conn, const char *path)
{
	const struct my_lib *lib = conn->server->lib;
	MYSQL *mysql = lib->mysql_init(NULL);
	unsigned protocol = path ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	size_t stack = STACK_SIZE, packet = 64 << 20;
	unsigned off = 0;
	my_bool no = 0;

	if (!mysql)
		abort(); /* out of memory */
	lib->mysql_options(mysql, MYSQL_OPT_NONBLOCK, &stack);
	lib->mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
	lib->mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	lib->mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
	lib->mysql_options(mysql, MYSQL_OPT_RECONNECT, &no);
	lib->mysql_options(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	lib->mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &no);
	lib->mysql_optionsv(mysql, MARIADB_OPT_RESTRICTED_AUTH,
			    "mysql_native_password,caching_sha2_password,client_ed25519");
	return mysql;
}

static void begin(struct my_conn *conn, const char *host, const char *path)
{
	const struct my_server *server = conn->server;

	conn->step = CONNECTING;
	conn->mysql = prepare(conn, path);
	went_on(conn, server->lib->mysql_real_connect_start(
			      &conn->connected, conn->mysql, host, server->user,
			      server->password ? server->password : "", server->database,
			      server->port, path, 0));
}

static void by_relay(struct my_conn *conn)
{
	const struct my_server *server = conn->server;
	struct my_relay_options options = {
		.wrap = server->tls,
		.host = server->tls_host ? server->tls_host : server->host,
		.directory = server->directory,
		.addresses = conn->lookup.addresses,
		.n_addresses = conn->lookup.n_addresses,
		.within = server->connect_ms ? server->connect_ms : SEC(5)
	};
	int rc = my_relay_create(conn->loop, &options, &conn->relay, &conn->request->err);

	if (rc < 0)
		finish(conn, rc);
	else
		begin(conn, "localhost", my_relay_path(conn->relay));
}

static void next_address(struct my_conn *conn)
{
	if (conn->server->tls) { /* it tries all of them itself */
		conn->at = conn->lookup.n_addresses;
		by_relay(conn);
		return;
	}
	if (uv_ip_name(&conn->lookup.addresses[conn->at++].to.any, conn->address,
		       sizeof(conn->address)) != 0)
		abort(); /* core/dns gives IP addresses */
	begin(conn, conn->address, NULL);
}

static void resolved(struct call *call, int status)
{
	struct my_conn *conn = call->data;

	if (status == 0) {
		next_address(conn);
		return;
	}
	if (!conn->request->err.code)
		conn->request->err = conn->lookup.err;
	finish(conn, conn->request->err.code);
}

static int start(struct my_conn *conn, struct my_request *request, uint64_t within)
{
	if (conn->request)
		return ERR_INVALID;
	memset(&request->result, 0, sizeof(request->result));
	memset(&request->err, 0, sizeof(request->err));
	memset(request->sqlstate, 0, sizeof(request->sqlstate));
	request->code = 0;
	request->unknown = request->may_run = false;
	conn->request = request;
	request->conn = conn;
	call_begin(&request->call, cancel);
	timer_start(&conn->deadline, conn->loop, request->within ? request->within : within,
		    on_deadline);
	return 0;
}

int my_connect_start(struct my_conn *conn, struct my_request *request)
{
	const struct my_server *server = conn->server;

	if (conn->mysql || start(conn, request, server->connect_ms ? server->connect_ms : SEC(5)))
		return ERR_INVALID;
	memset(&conn->lookup, 0, sizeof(conn->lookup));
	conn->at = 0;
	if (server->host[0] == '/') {
		begin(conn, "localhost", server->host);
		return 0;
	}
	if (dial_ip(str_of(server->host), server->port, &conn->lookup.addresses[0])) {
		conn->lookup.n_addresses = 1;
		next_address(conn);
		return 0;
	}
	conn->lookup.call.done = resolved;
	conn->lookup.call.data = conn;
	conn->lookup.name = str_of(server->host);
	conn->lookup.port = server->port;
	conn->step = RESOLVING;
	if (!server->dns || dns_start(server->dns, &conn->lookup) < 0) {
		err_set(&request->err, ERR_INVALID, "%s is not a host name", server->host);
		finish(conn, ERR_INVALID);
	}
	return 0;
}

int my_query_start(struct my_conn *conn, struct my_request *request)
{
	const struct my_server *server = conn->server;

	if (!conn->up || start(conn, request, server->query_ms ? server->query_ms : SEC(10)))
		return ERR_INVALID;
	conn->step = QUERYING;
	went_on(conn, server->lib->mysql_real_query_start(&conn->rc, conn->mysql, request->text.p,
							  request->text.n));
	return 0;
}

int my_close_start(struct my_conn *conn, struct my_request *request)
{
	if (start(conn, request, SEC(1)))
		return ERR_INVALID;
	if (!conn->mysql) {
		finish(conn, 0);
		return 0;
	}
	conn->step = CLOSING;
	went_on(conn, conn->server->lib->mysql_close_start(conn->mysql));
	return 0;
}

/* -- quoting ------------------------------------------------------------------------------- */

void my_put_text(const struct my_conn *conn, struct buf *out, struct str text)
{
	char *room;

	buf_putc(out, '\'');
	room = buf_room(out, 2 * text.n + 1);
	out->n += conn->server->lib->mysql_real_escape_string(conn->mysql, room,
							      text.p ? text.p : "", text.n);
	buf_putc(out, '\'');
}

static int put_name(struct buf *out, struct str name, bool pattern)
{
	size_t i;

	if (!name.n || memchr(name.p, '\0', name.n) || !str_is_utf8(name) ||
	    str_utf8_len(name) > MY_NAME_MAX)
		return ERR_INVALID;
	buf_putc(out, '`');
	for (i = 0; i < name.n; i++) {
		if (name.p[i] == '`')
			buf_putc(out, '`');
		else if (pattern && strchr("_%\\", name.p[i]))
			buf_putc(out, '\\');
		buf_putc(out, name.p[i]);
	}
	buf_putc(out, '`');
	return 0;
}

int my_put_name(struct buf *out, struct str name)
{
	return put_name(out, name, false);
}

int my_put_pattern(struct buf *out, struct str name)
{
	return put_name(out, name, true);
}
