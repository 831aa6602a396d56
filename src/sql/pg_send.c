/* Without next: all statements and a sync in one go. They form one transaction that the server
 * begins by itself, commits at the sync, and rolls back at the first error; what stood behind
 * the error is skipped, what stands behind the sync is not touched.
 *
 *     sent --sync replied--> committed | failed
 *
 * With next: BEGIN and a sync after each round, because the sync is what makes the server
 * answer; then COMMIT or ROLLBACK.
 *
 *     ROUND --next: MORE--> ROUND --next: COMMIT--> COMMIT --> committed
 *       |  \--next: ROLLBACK, canceled, an error----> UNDO --> rolled back | failed
 *
 * Statements are prepared behind a sync of their own in front of the transaction that needs them
 * first, so that they stay prepared when it fails, and those behind it can use them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/pg_pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pool_fail_tx(struct sql_tx *tx, int code, const char *sqlstate, const char *where,
		  const char *text)
{
	if (tx->failed)
		return;
	tx->failed = code;
	snprintf(tx->sqlstate, sizeof(tx->sqlstate), "%s", sqlstate);
	tx->why = arena_printf(tx->arena, "%s: %s", where, text);
}

static struct pool_conn *conn_of(struct pg_conn *conn)
{
	return container_of(conn, struct pool_conn, pg);
}

/* -- sending ---------------------------------------------------------------------------- */

static void send_own(struct pool_conn *pc, struct sql_tx *tx, enum pg_own what, const char *text,
		     const char *param)
{
	pg_conn_send_text(&pc->pg, text, &param, param ? 1 : 0,
			  (struct pg_note){ .kind = PG_OWN, .index = what, .whose = tx });
}

static void send_statements(struct pool_conn *pc, struct sql_tx *tx)
{
	for (; tx->n_written < tx->n_sent; tx->n_written++)
		pg_conn_send(&pc->pg, tx->results[tx->n_written].stmt,
			     sql_sent_params(tx, tx->n_written), tx->arena,
			     (struct pg_note){ .kind = PG_STATEMENT,
					       .index = (uint32_t)tx->n_written,
					       .whose = tx });
}

static bool prepare(struct pool_conn *pc, struct sql_tx *tx)
{
	bool sent = false;
	size_t i;

	for (i = tx->n_written; i < tx->n_sent; i++)
		if (pg_conn_prepare(&pc->pg, tx->results[i].stmt))
			sent = true;
	return sent;
}

void pool_send(struct pool_conn *pc, struct sql_tx *tx)
{
	char ms[32];

	list_append(&pc->flight, &tx->node);
	pc->n_flight++;
	tx->conn = pc;
	if (prepare(pc, tx))
		pg_conn_sync(&pc->pg, NULL);
	if (tx->next) {
		pc->alone = tx;
		send_own(pc, tx, OWN_BEGIN, "BEGIN", NULL);
		tx->undo = true;
	}
	if (tx->statement_ms) {
		snprintf(ms, sizeof(ms), "%llu", (unsigned long long)tx->statement_ms);
		send_own(pc, tx, OWN_TIMEOUT, "SELECT set_config('statement_timeout', $1, true)",
			 ms);
	}
	tx->phase = tx->next ? TX_ROUND : TX_COMMIT;
	send_statements(pc, tx);
	pg_conn_sync(&pc->pg, tx);
}

static void undo(struct pool_conn *pc, struct sql_tx *tx)
{
	tx->phase = TX_UNDO;
	send_own(pc, tx, OWN_ROLLBACK, "ROLLBACK", NULL);
	pg_conn_sync(&pc->pg, tx);
}

/* -- receiving -------------------------------------------------------------------------- */

static void take_rows(const struct pg_lib *lib, struct sql_tx *tx, struct sql_result *out,
		      PGresult *result)
{
	int rows = lib->PQntuples(result), cols = lib->PQnfields(result), i, j;
	struct str *cell;

	out->ended = true;
	out->n = strtoull(lib->PQcmdTuples(result), NULL, 10);
	out->rows = (size_t)rows;
	out->cols = (size_t)cols;
	if (!rows || !cols)
		return;
	cell = out->cells = arena_alloc(tx->arena, out->rows * out->cols * sizeof(*cell));
	for (i = 0; i < rows; i++)
		for (j = 0; j < cols; j++, cell++) {
			if (lib->PQgetisnull(result, i, j))
				*cell = str_make(NULL, 0);
			else
				*cell = arena_str(tx->arena,
						  str_make(lib->PQgetvalue(result, i, j),
							   (size_t)lib->PQgetlength(result, i, j)));
		}
}

static const char *name_of(const struct sql_tx *tx, const struct pg_note *note)
{
	if (note->kind == PG_STATEMENT && tx->results[note->index].stmt->name)
		return tx->results[note->index].stmt->name;
	if (note->kind == PG_COMMIT || note->kind == PG_SYNC)
		return "commit";
	return note->kind == PG_OWN ? "transaction" : "statement";
}

static bool uses(const struct sql_tx *tx, const struct sql_stmt *stmt)
{
	size_t i;

	for (i = 0; stmt && i < tx->n_sent; i++)
		if (tx->results[i].stmt == stmt)
			return true;
	return false;
}

/* A statement that could not be prepared is unknown (26000) to the transaction that needs it,
 * or has broken off the one it was prepared in (25P02): then the first error is the one to tell. */
static void failed(struct pool_conn *pc, struct sql_tx *tx, const struct pg_note *note,
		   PGresult *result)
{
	const struct pg_lib *lib = pc->pg.lib;
	const char *state = pg_sqlstate(lib, result);

	if (pg_is_fatal(lib, result)) {
		pc->fatal = true; /* what it means is told when the connection is gone */
		if (note->kind == PG_COMMIT || note->kind == PG_SYNC)
			pc->doubt = tx;
		return;
	}
	if (note->kind == PG_COMMIT || note->kind == PG_SYNC)
		tx->undo = false;
	if (note->kind == PG_STATEMENT && strcmp(state, "26000") == 0)
		pg_conn_forget(&pc->pg, tx->results[note->index].stmt);
	if ((strcmp(state, "26000") == 0 || strcmp(state, "25P02") == 0) && uses(tx, pc->refused)) {
		pool_fail_tx(tx, pg_code(pc->refused_state), pc->refused_state, pc->refused->name,
			     pc->refused_why);
		return;
	}
	if (strcmp(state, "0A000") == 0)
		pc->retire = true; /* a prepared statement that the schema has left behind */
	pool_fail_tx(tx, pg_code(state), state, name_of(tx, note),
		     pg_explain(lib, result, tx->arena));
}

/* Nothing has happened, and it may go better the next time. */
static bool may_pass(const struct sql_tx *tx)
{
	static const char *const states[] = { "40001", "40P01", "26000", "0A000" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(tx->sqlstate, states[i]) == 0)
			return true;
	return false;
}

static void settle(struct pool_conn *pc, struct sql_tx *tx)
{
	if (tx->failed && may_pass(tx) && pool_try_again(tx))
		return;
	(void)pc;
	pool_end_tx(tx, tx->failed);
}

static void ask_next(struct pool_conn *pc, struct sql_tx *tx)
{
	enum sql_next next;

	if (tx->call.canceled)
		pool_fail_tx(tx, ERR_CANCELED, "", "transaction", "canceled");
	if (tx->failed) {
		undo(pc, tx);
		return;
	}
	next = tx->next(tx);
	tx->round++;
	if (next == SQL_ROLLBACK) {
		tx->rolled_back = true;
		undo(pc, tx);
		return;
	}
	/* the transaction is open, a sync in it ends nothing */
	if (prepare(pc, tx))
		pg_conn_sync(&pc->pg, NULL);
	send_statements(pc, tx);
	if (next == SQL_COMMIT) {
		tx->phase = TX_COMMIT;
		pg_conn_send_text(&pc->pg, "COMMIT", NULL, 0,
				  (struct pg_note){ .kind = PG_COMMIT, .whose = tx });
	}
	pg_conn_sync(&pc->pg, tx);
}

static void synced(struct pool_conn *pc, struct sql_tx *tx)
{
	if (pc->fatal)
		return; /* the loss of the connection comes next */
	switch ((enum sql_phase)tx->phase) {
	case TX_ROUND:
		ask_next(pc, tx);
		break;
	case TX_COMMIT:
		if (tx->failed && tx->undo)
			undo(pc, tx);
		else
			settle(pc, tx);
		break;
	case TX_UNDO:
		settle(pc, tx);
		break;
	case TX_QUEUED:
	case TX_ENDED:
		assert(false);
	}
}

static void refused(struct pool_conn *pc, const struct sql_stmt *stmt, PGresult *result)
{
	const struct pg_lib *lib = pc->pg.lib;
	struct arena arena = { 0 };

	if (pg_is_fatal(lib, result)) {
		pc->fatal = true;
		return;
	}
	pc->refused = stmt;
	snprintf(pc->refused_state, sizeof(pc->refused_state), "%s", pg_sqlstate(lib, result));
	snprintf(pc->refused_why, sizeof(pc->refused_why), "%s", pg_explain(lib, result, &arena));
	arena_finish(&arena);
}

void pool_reply(struct pg_conn *conn, const struct pg_note *note, PGresult *result)
{
	struct pool_conn *pc = conn_of(conn);
	struct sql_tx *tx = note->whose;

	if (note->kind == PG_OWN && note->index == OWN_DIG) {
		pool_dug(pc, result);
	} else if (note->kind == PG_PREPARE) {
		if (!pg_ok(conn->lib, result) &&
		    conn->lib->PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
			refused(pc, note->whose, result);
		else if (pc->refused == note->whose)
			pc->refused = NULL;
	} else if (note->kind == PG_SYNC && !result) {
		synced(pc, tx);
	} else if (conn->lib->PQresultStatus(result) == PGRES_PIPELINE_ABORTED) {
		assert(tx->failed || pc->fatal);
	} else if (!pg_ok(conn->lib, result)) {
		failed(pc, tx, note, result);
	} else if (note->kind == PG_STATEMENT) {
		take_rows(conn->lib, tx, &tx->results[note->index], result);
	} else if (note->kind == PG_COMMIT) {
		tx->undo = false;
		if (strcmp(conn->lib->PQcmdStatus(result), "COMMIT") != 0)
			pool_fail_tx(tx, ERR_IO, "", "commit", "the server rolled back");
	}
}

/* -- a lost connection ------------------------------------------------------------------ */

void pool_lost_tx(struct pool_conn *pc, struct sql_tx *tx, const struct err *why)
{
	int code = tx->expired ? ERR_TIMEDOUT : ERR_STORE;
	bool asked = tx->phase == TX_COMMIT; /* for the end */

	if (tx->failed || tx->rolled_back) {
		settle(pc, tx);
		return;
	}
	/* a session that says good-bye has run nothing of what stood behind */
	if (asked && pc->fatal && tx != pc->doubt)
		asked = false;
	if ((!asked || tx->repeat) && pool_try_again(tx))
		return;
	tx->unknown = asked;
	pool_fail_tx(tx, code, "", asked ? "commit: no reply" : "transaction", why->text);
	pool_end_tx(tx, code);
}
