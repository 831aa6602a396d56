/* sql/pg_conn: one connection in pipeline mode: what is sent, and what each reply belongs to.
 *
 *   opened --connected, settings made, server looked at--> up --lost or closed--> closed
 *
 * The owner embeds it, fills loop, lib and the callbacks, and opens it. Everything sent is noted
 * in a queue, and each reply finds its note there: kind, index and whose it is.
 *   on_up     once, when the session is ready
 *   on_reply  for each note, in the order they were sent: result is NULL for a sync; a note that
 *             the server skipped after an error before it has PGRES_PIPELINE_ABORTED. A sync may
 *             get an error before its own reply: the commit failed.
 *   on_lost   once, unless the owner closes first; the connection closes by itself after it
 *   on_closed once: nothing refers to the connection any more
 * Sending never waits and never calls back; what goes wrong then is told from the loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_SQL_PG_CONN_H
#define OSBD_SQL_PG_CONN_H

#include "core/buf.h"
#include "sql/sql.h"
#include "sql/pg_lib.h"
#include "sql/pg_target.h"

#define PG_SESSION_MAX 64

enum pg_note_kind {
	PG_SETUP,
	PG_PREPARE, /* whose: a struct sql_stmt */
	PG_OWN,     /* a statement of the owner's machinery: BEGIN, ROLLBACK, settings … */
	PG_STATEMENT,
	PG_COMMIT,
	PG_SYNC,
};

struct pg_note {
	uint8_t kind;
	bool replied;
	uint32_t index;
	void *whose; /* NULL for a sync that nobody waits for */
};

/* The server's process behind a connection: what is needed to end it from another one. */
struct pg_session {
	int64_t pid;
	char began[PG_SESSION_MAX]; /* as the server writes it: tells it from a later namesake */
};

struct pg_conn {
	struct loop *loop;
	const struct pg_lib *lib;
	void (*on_up)(struct pg_conn *conn);
	void (*on_reply)(struct pg_conn *conn, const struct pg_note *note, PGresult *result);
	void (*on_notify)(struct pg_conn *conn, const char *channel, const char *payload);
	void (*on_lost)(struct pg_conn *conn, const struct err *why);
	void (*on_closed)(struct pg_conn *conn);
	uint64_t connect_ms, statement_ms, idle_ms; /* idle_ms: in a transaction */
	/* private, for reading */
	enum { PG_UNUSED, PG_CONNECTING, PG_SETTING_UP, PG_UP, PG_CLOSED } state;
	struct pg_session session;
	struct sql_facts facts;
	/* private */
	PGconn *pg;
	struct pg_poll *poll;
	unsigned n_polls;
	struct timer deadline;
	struct soon soon;
	bool broken; /* sending failed */
	bool reading;
	struct pg_note *notes; /* a ring; size is a power of two */
	size_t first, n_notes, notes_size;
	const struct sql_stmt **prepared; /* a hash table; asked for, and not refused */
	size_t n_prepared, prepared_size;
	struct err why;
};

/* The address is resolved already. What is wrong is told by on_lost. */
void pg_conn_open(struct pg_conn *conn, struct pg_target *target);
/* Closes at once; safe in every state. The server's session ends by itself when it sees that,
 * which is not certain: see pg_session. */
void pg_conn_close(struct pg_conn *conn);

/* Prepares the statement unless it is; needs a sync behind it. True when something was sent. */
bool pg_conn_prepare(struct pg_conn *conn, const struct sql_stmt *stmt);
/* The server does not know it: the next pg_conn_prepare() sends it anew. */
void pg_conn_forget(struct pg_conn *conn, const struct sql_stmt *stmt);
void pg_conn_send(struct pg_conn *conn, const struct sql_stmt *stmt, const struct sql_param *params,
		  struct arena *arena, struct pg_note note);
/* A statement as text, results as text. */
void pg_conn_send_text(struct pg_conn *conn, const char *text, const char *const *params, int n,
		       struct pg_note note);
void pg_conn_sync(struct pg_conn *conn, void *whose);
/* A 'text' or a "name" for statements that take no parameters, quoted by libpq. Only while it is
 * up. ERR_INVALID: not UTF-8, or with a NUL inside. */
int pg_conn_put_text(struct pg_conn *conn, struct buf *buf, struct str text) MUST_CHECK;
int pg_conn_put_name(struct pg_conn *conn, struct buf *buf, struct str name) MUST_CHECK;
/* Nothing was sent that is not replied to. */
static inline bool pg_conn_quiet(const struct pg_conn *conn)
{
	return conn->n_notes == 0;
}

/* -- errors ----------------------------------------------------------------------------- */

/* What an SQLSTATE means to the caller: one of the codes of sql/sql. */
int pg_code(const char *sqlstate);
/* "deadlock detected (40P01)", without anything that could be a parameter; in the arena. */
const char *pg_explain(const struct pg_lib *lib, PGresult *result, struct arena *arena);
const char *pg_sqlstate(const struct pg_lib *lib, PGresult *result); /* never NULL */
/* FATAL or PANIC: the session ends with it. */
bool pg_is_fatal(const struct pg_lib *lib, PGresult *result);
static inline bool pg_ok(const struct pg_lib *lib, PGresult *result)
{
	ExecStatusType status = lib->PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

#endif
