/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/sql.h"

#include <assert.h>
#include <string.h>

struct sql_sent {
	const struct sql_stmt *stmt;
	struct sql_param *params;
};

void sql_tx_init(struct sql_tx *tx, struct arena *arena)
{
	memset(tx, 0, sizeof(*tx));
	tx->arena = arena;
}

static void *grow(struct arena *arena, const void *old, size_t n, size_t size, size_t each)
{
	void *new = arena_alloc(arena, size * each);

	if (n)
		memcpy(new, old, n * each);
	return new;
}

/* What goes out as text needs a NUL behind it. */
static void make_text(struct arena *arena, struct sql_param *p)
{
	switch (p->kind) {
	case SQL_TEXT:
		if (!p->text.p)
			p->kind = SQL_NULL;
		break;
	case SQL_LITERAL:
		if (p->text.p)
			p->text = arena_str(arena, p->text);
		else
			p->kind = SQL_NULL;
		break;
	case SQL_INT:
		p->text = str_of(arena_printf(arena, "%lld", (long long)p->number));
		break;
	case SQL_BOOL:
		p->text = p->number ? STR("t") : STR("f");
		break;
	case SQL_NULL:
		break;
	}
}

size_t sql_add_params(struct sql_tx *tx, const struct sql_stmt *stmt,
		      const struct sql_param *params, size_t n)
{
	struct sql_param *copy = NULL;
	size_t i;

	assert(n == (size_t)stmt->n_params);
	if (tx->n_sent == tx->sent_size) {
		tx->sent_size = tx->sent_size ? tx->sent_size * 2 : 8;
		tx->sent = grow(tx->arena, tx->sent, tx->n_sent, tx->sent_size, sizeof(*tx->sent));
		tx->results = grow(tx->arena, tx->results, tx->n_sent, tx->sent_size,
				   sizeof(*tx->results));
	}
	if (n) {
		copy = arena_alloc(tx->arena, n * sizeof(*copy));
		memcpy(copy, params, n * sizeof(*copy));
	}
	for (i = 0; i < n; i++)
		make_text(tx->arena, &copy[i]);
	tx->sent[tx->n_sent] = (struct sql_sent){ stmt, copy };
	tx->results[tx->n_sent] = (struct sql_result){ .stmt = stmt };
	tx->n_results = ++tx->n_sent;
	return tx->n_sent - 1;
}

const struct sql_param *sql_sent_params(const struct sql_tx *tx, size_t i)
{
	return tx->sent[i].params;
}

/* -- results ---------------------------------------------------------------------------- */

static struct str cell(const struct sql_result *result, size_t row, size_t col)
{
	assert(row < result->rows && col < result->cols);
	return result->cells[row * result->cols + col];
}

struct str sql_get_str(const struct sql_result *result, size_t row, size_t col)
{
	return cell(result, row, col);
}

int64_t sql_get_int(const struct sql_result *result, size_t row, size_t col)
{
	struct str s = cell(result, row, col);
	uint64_t n = 0;
	size_t i;

	if (!s.p)
		return 0;
	assert(s.n == 2 || s.n == 4 || s.n == 8);
	if (s.p[0] & 0x80)
		n = UINT64_MAX; /* the sign goes on */
	for (i = 0; i < s.n; i++)
		n = n << 8 | (unsigned char)s.p[i];
	return (int64_t)n;
}

bool sql_get_bool(const struct sql_result *result, size_t row, size_t col)
{
	struct str s = cell(result, row, col);

	assert(!s.p || s.n == 1);
	return s.p && s.p[0];
}

bool sql_is_null(const struct sql_result *result, size_t row, size_t col)
{
	return !cell(result, row, col).p;
}
