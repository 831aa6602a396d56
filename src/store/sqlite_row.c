/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_row.h"

/* -- finding ---------------------------------------------------------------------------- */

/* The first 8 bytes of a fingerprint of prefix NUL id. */
static int64_t key_of(struct sqlite_db *s, struct str prefix, struct str id)
{
	unsigned char print[SIPHASH_SIZE];
	uint64_t key = 0;
	int i;

	buf_clear(&s->buf);
	buf_put_str(&s->buf, prefix);
	buf_putc(&s->buf, '\0');
	buf_put_str(&s->buf, id);
	siphash(s->print, s->buf.p, s->buf.n, print);
	for (i = 0; i < 8; i++)
		key = key << 8 | print[i];
	return (int64_t)key;
}

struct str row_digest(struct sqlite_db *s, struct arena *arena, struct str same)
{
	unsigned char *print = arena_alloc(arena, SIPHASH_SIZE);

	siphash(s->print, same.p ? same.p : "", same.n, print);
	return str_make((char *)print, SIPHASH_SIZE);
}

static bool column_is(sqlite3_stmt *stmt, int at, struct str value)
{
	const void *p = sqlite3_column_blob(stmt, at);

	return str_eq(str_make(p, (size_t)sqlite3_column_bytes(stmt, at)), value);
}

void row_instance_read(sqlite3_stmt *stmt, struct arena *arena, struct row_instance *row)
{
	struct store_instance *i = &row->i;
	int c = 0;

	memset(row, 0, sizeof(*row));
	i->seq = sqlite3_column_int64(stmt, c++);
	row->key = sqlite3_column_int64(stmt, c++);
	i->platform = db_column(stmt, c++, arena);
	i->id = db_column(stmt, c++, arena);
	i->service_id = db_column(stmt, c++, arena);
	i->plan_id = db_column(stmt, c++, arena);
	i->organization = db_column(stmt, c++, arena);
	i->space = db_column(stmt, c++, arena);
	i->state = row->was = (enum store_state)sqlite3_column_int(stmt, c++);
	i->usable = sqlite3_column_int(stmt, c++);
	i->rev = sqlite3_column_int64(stmt, c++);
	i->op = sqlite3_column_int64(stmt, c++);
	i->n_bindings = (uint32_t)sqlite3_column_int64(stmt, c++);
	i->n_binding_ops = (uint32_t)sqlite3_column_int64(stmt, c++);
	row->orphan = sqlite3_column_int(stmt, c++);
	row->same = db_column(stmt, c++, arena);
	i->maintenance = db_column(stmt, c++, arena);
	i->dashboard_url = db_column(stmt, c++, arena);
	i->metadata = db_column(stmt, c++, arena);
	row->sealed = db_column(stmt, c++, arena);
	i->created = (uint64_t)sqlite3_column_int64(stmt, c++);
	i->changed = (uint64_t)sqlite3_column_int64(stmt, c++);
	i->data = STR("");
}

void row_binding_read(sqlite3_stmt *stmt, struct arena *arena, struct row_binding *row)
{
	struct store_binding *b = &row->b;
	int c = 0;

	memset(row, 0, sizeof(*row));
	b->seq = sqlite3_column_int64(stmt, c++);
	row->key = sqlite3_column_int64(stmt, c++);
	b->instance = sqlite3_column_int64(stmt, c++);
	b->id = db_column(stmt, c++, arena);
	b->state = row->was = (enum store_state)sqlite3_column_int(stmt, c++);
	b->rev = sqlite3_column_int64(stmt, c++);
	b->op = sqlite3_column_int64(stmt, c++);
	row->orphan = sqlite3_column_int(stmt, c++);
	row->due = (uint64_t)sqlite3_column_int64(stmt, c++);
	row->same = db_column(stmt, c++, arena);
	b->predecessor = db_column(stmt, c++, arena);
	b->expires_at = (uint64_t)sqlite3_column_int64(stmt, c++);
	b->renew_before = (uint64_t)sqlite3_column_int64(stmt, c++);
	row->sealed = db_column(stmt, c++, arena);
	b->created = (uint64_t)sqlite3_column_int64(stmt, c++);
	b->changed = (uint64_t)sqlite3_column_int64(stmt, c++);
	b->data = STR("");
}

/* "<store>-<seq in base 36>". */
static void write_id(const struct sqlite_db *s, int64_t seq, char *out)
{
	char digits[16];
	size_t n = 0;

	do {
		digits[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[seq % 36];
	} while ((seq /= 36) > 0);
	memcpy(out, s->id, STORE_ID_SIZE);
	out += STORE_ID_SIZE;
	*out++ = '-';
	while (n > 0)
		*out++ = digits[--n];
	*out = '\0';
}

int64_t row_op_seq(const struct sqlite_db *s, struct str id)
{
	char again[STORE_OP_ID_MAX + 1];
	int64_t seq = 0;
	size_t i;

	if (id.n < STORE_ID_SIZE + 2 || id.n > STORE_ID_SIZE + 1 + 12)
		return 0;
	for (i = STORE_ID_SIZE + 1; i < id.n; i++) {
		char c = id.p[i];

		if (c >= '0' && c <= '9')
			seq = seq * 36 + c - '0';
		else if (c >= 'a' && c <= 'z')
			seq = seq * 36 + c - 'a' + 10;
		else
			return 0;
	}
	write_id(s, seq, again); /* one spelling only */
	return str_is(id, again) ? seq : 0;
}

static void row_op_read(const struct sqlite_db *s, sqlite3_stmt *stmt, struct arena *arena,
			struct row_op *row)
{
	struct store_op *o = &row->o;
	int c = 0;

	memset(row, 0, sizeof(*row));
	o->seq = sqlite3_column_int64(stmt, c++);
	write_id(s, o->seq, o->id);
	o->verb = (enum store_verb)sqlite3_column_int(stmt, c++);
	o->state = row->was = (enum store_op_state)sqlite3_column_int(stmt, c++);
	o->result = (enum store_result)sqlite3_column_int(stmt, c++);
	o->instance = sqlite3_column_int64(stmt, c++);
	o->binding = sqlite3_column_int64(stmt, c++);
	o->after = sqlite3_column_int64(stmt, c++);
	o->service = db_column(stmt, c++, arena);
	o->plan_id = db_column(stmt, c++, arena);
	o->back = sqlite3_column_int(stmt, c++);
	o->halted = sqlite3_column_int(stmt, c++);
	row->old = sqlite3_column_int(stmt, c++);
	o->step = db_column(stmt, c++, arena);
	row->memo = db_column(stmt, c++, arena);
	row->request = db_column(stmt, c++, arena);
	row->same = db_column(stmt, c++, arena);
	o->owner = db_column(stmt, c++, arena);
	o->fence = sqlite3_column_int64(stmt, c++);
	o->claims = (uint32_t)sqlite3_column_int64(stmt, c++);
	o->created = (uint64_t)sqlite3_column_int64(stmt, c++);
	o->began = (uint64_t)sqlite3_column_int64(stmt, c++);
	o->step_began = (uint64_t)sqlite3_column_int64(stmt, c++);
	o->deadline = (uint64_t)sqlite3_column_int64(stmt, c++);
	o->ended = (uint64_t)sqlite3_column_int64(stmt, c++);
	o->before = (enum store_state)sqlite3_column_int(stmt, c++);
	o->error = db_column(stmt, c++, arena);
	o->http_status = sqlite3_column_int(stmt, c++);
	o->flags = (unsigned)sqlite3_column_int(stmt, c++);
	o->description = db_column(stmt, c++, arena);
	o->memo = o->request = STR("");
}

int row_instance_find(struct sqlite_db *s, struct arena *arena, struct str platform, struct str id,
		      struct row_instance *row)
{
	sqlite3_stmt *stmt = db_stmt(s, SQL_INSTANCE_FIND);
	int64_t key = key_of(s, platform, id);
	int rc;

	memset(row, 0, sizeof(*row));
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, key);
	while ((rc = db_row(s, stmt)) == 1) {
		if (!column_is(stmt, 2, platform) || !column_is(stmt, 3, id))
			continue;
		row_instance_read(stmt, arena, row);
		sqlite3_reset(stmt);
		return 0;
	}
	row->key = key; /* for the row that is perhaps made now */
	return rc;
}

int row_binding_find(struct sqlite_db *s, struct arena *arena, int64_t instance, struct str id,
		     struct row_binding *row)
{
	sqlite3_stmt *stmt = db_stmt(s, SQL_BINDING_FIND);
	int64_t key = key_of(s, STR(""), id);
	int rc;

	memset(row, 0, sizeof(*row));
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, instance);
	sqlite3_bind_int64(stmt, 2, key);
	while ((rc = db_row(s, stmt)) == 1) {
		if (!column_is(stmt, 3, id))
			continue;
		row_binding_read(stmt, arena, row);
		sqlite3_reset(stmt);
		return 0;
	}
	row->key = key;
	return rc;
}

/* The statement that gets one row by its seq: 1 there it is, 0, or ERR_STORE. */
static int get(struct sqlite_db *s, enum sql sql, int64_t seq, sqlite3_stmt **stmt)
{
	*stmt = db_stmt(s, sql);
	if (!*stmt)
		return ERR_STORE;
	sqlite3_bind_int64(*stmt, 1, seq);
	return db_row(s, *stmt);
}

int row_instance_get(struct sqlite_db *s, struct arena *arena, int64_t seq,
		     struct row_instance *row)
{
	sqlite3_stmt *stmt;
	int rc = get(s, SQL_INSTANCE_GET, seq, &stmt);

	memset(row, 0, sizeof(*row));
	if (rc != 1)
		return rc;
	row_instance_read(stmt, arena, row);
	sqlite3_reset(stmt);
	return 0;
}

int row_binding_get(struct sqlite_db *s, struct arena *arena, int64_t seq, struct row_binding *row)
{
	sqlite3_stmt *stmt;
	int rc = get(s, SQL_BINDING_GET, seq, &stmt);

	memset(row, 0, sizeof(*row));
	if (rc != 1)
		return rc;
	row_binding_read(stmt, arena, row);
	sqlite3_reset(stmt);
	return 0;
}

int row_op_get(struct sqlite_db *s, struct arena *arena, int64_t seq, struct row_op *row)
{
	sqlite3_stmt *stmt;
	int rc;

	memset(row, 0, sizeof(*row));
	if (seq == 0)
		return 0;
	rc = get(s, SQL_OP_GET, seq, &stmt);
	if (rc != 1)
		return rc;
	row_op_read(s, stmt, arena, row);
	sqlite3_reset(stmt);
	return 0;
}

/* -- what is sealed --------------------------------------------------------------------- */

/* The same row is met again and again while it waits. */
static void complain(struct sqlite_db *s, const char *table, const char *column, int64_t seq,
		     struct str sealed)
{
	size_t i = (size_t)seq % ARRAY_LEN(s->complaints);
	uint64_t now = loop_now(s->store.loop);

	if (s->complaints[i].seq == seq && now - s->complaints[i].at < MINUTES(1))
		return;
	s->complaints[i].seq = seq;
	s->complaints[i].at = now;
	log_error(&s->store.log, "%s %lld: %s cannot be opened (sealed with key \"%.*s\")", table,
		  (long long)seq, column, STR_ARG(seal_key_id(sealed)));
}

static int open_value(struct sqlite_db *s, struct arena *arena, const char *table,
		      const char *column, int64_t seq, struct str sealed, struct str *plain)
{
	struct seal_place place = { table, column, seq };
	int rc;

	if (sealed.n == 0)
		return 0;
	rc = seal_open(s->keys, &place, sealed, arena, plain);
	if (rc != 0)
		complain(s, table, column, seq, sealed);
	return rc;
}

int row_instance_open(struct sqlite_db *s, struct arena *arena, struct row_instance *row)
{
	if (row->new_data)
		return 0;
	return open_value(s, arena, "instance", "data", row->i.seq, row->sealed, &row->i.data);
}

int row_binding_open(struct sqlite_db *s, struct arena *arena, struct row_binding *row)
{
	if (row->new_data)
		return 0;
	return open_value(s, arena, "binding", "data", row->b.seq, row->sealed, &row->b.data);
}

int row_op_open(struct sqlite_db *s, struct arena *arena, struct row_op *row)
{
	int rc = row->new_memo
			 ? 0
			 : open_value(s, arena, "op", "memo", row->o.seq, row->memo, &row->o.memo);

	if (rc != 0 || row->new_request)
		return rc;
	return open_value(s, arena, "op", "request", row->o.seq, row->request, &row->o.request);
}

static struct str close_value(struct sqlite_db *s, const char *table, const char *column,
			      int64_t seq, struct str plain)
{
	struct seal_place place = { table, column, seq };

	if (plain.n == 0)
		return STR("");
	buf_clear(&s->buf);
	seal_close(s->keys, &place, plain, &s->buf);
	return arena_str(&s->arena, buf_str(&s->buf));
}

void row_instance_set_data(struct row_instance *row, struct str data)
{
	row->i.data = data;
	row->new_data = true;
}

void row_binding_set_data(struct row_binding *row, struct str data)
{
	row->b.data = data;
	row->new_data = true;
}

void row_op_set_memo(struct row_op *row, struct str memo)
{
	row->o.memo = memo;
	row->new_memo = true;
}

void row_op_set_request(struct row_op *row, struct str request)
{
	row->o.request = request;
	row->new_request = true;
}

/* -- making and putting ----------------------------------------------------------------- */

void row_instance_new(struct sqlite_db *s, struct str platform, struct str id,
		      struct row_instance *row)
{
	int64_t key = row->key; /* of the find that found nothing */

	memset(row, 0, sizeof(*row));
	row->key = key;
	row->fresh = true;
	row->i.seq = s->counts.next[TABLE_INSTANCE]++;
	row->i.platform = platform;
	row->i.id = id;
}

void row_binding_new(struct sqlite_db *s, int64_t instance, struct str id, struct row_binding *row)
{
	int64_t key = row->key;

	memset(row, 0, sizeof(*row));
	row->key = key;
	row->fresh = true;
	row->b.seq = s->counts.next[TABLE_BINDING]++;
	row->b.instance = instance;
	row->b.id = id;
}

void row_op_new(struct sqlite_db *s, struct row_op *row)
{
	memset(row, 0, sizeof(*row));
	row->fresh = true;
	row->o.seq = s->counts.next[TABLE_OP]++;
	write_id(s, row->o.seq, row->o.id);
}

bool row_instance_exists(enum store_state state)
{
	return state != STORE_NONE && state != STORE_FAILED && state != STORE_GONE;
}

bool row_binding_exists(enum store_state state)
{
	return row_instance_exists(state) && state != STORE_EXPIRED;
}

int row_instance_put(struct sqlite_db *s, struct row_instance *row)
{
	const struct store_instance *i = &row->i;
	sqlite3_stmt *stmt = db_stmt(s, row->fresh ? SQL_INSTANCE_INSERT : SQL_INSTANCE_UPDATE);
	int c = 1, rc;

	if (row->new_data)
		row->sealed = close_value(s, "instance", "data", i->seq, i->data);
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, c++, i->seq);
	sqlite3_bind_int64(stmt, c++, row->key);
	db_bind(stmt, c++, i->platform);
	db_bind(stmt, c++, i->id);
	db_bind(stmt, c++, i->service_id);
	db_bind(stmt, c++, i->plan_id);
	db_bind(stmt, c++, i->organization);
	db_bind(stmt, c++, i->space);
	sqlite3_bind_int(stmt, c++, i->state);
	sqlite3_bind_int(stmt, c++, i->usable);
	sqlite3_bind_int64(stmt, c++, i->rev);
	sqlite3_bind_int64(stmt, c++, i->op);
	sqlite3_bind_int64(stmt, c++, i->n_bindings);
	sqlite3_bind_int64(stmt, c++, i->n_binding_ops);
	sqlite3_bind_int(stmt, c++, row->orphan);
	db_bind(stmt, c++, row->same);
	db_bind(stmt, c++, i->maintenance);
	db_bind(stmt, c++, i->dashboard_url);
	db_bind(stmt, c++, i->metadata);
	db_bind(stmt, c++, row->sealed);
	sqlite3_bind_int64(stmt, c++, (int64_t)i->created);
	sqlite3_bind_int64(stmt, c++, (int64_t)i->changed);
	rc = db_run(s, stmt);
	if (rc != 0)
		return rc;
	s->counts.instances += (uint64_t)row_instance_exists(i->state);
	s->counts.instances -= (uint64_t)row_instance_exists(row->was);
	row->was = i->state;
	row->fresh = false;
	return 0;
}

int row_instance_put_counts(struct sqlite_db *s, const struct row_instance *row)
{
	sqlite3_stmt *stmt = db_stmt(s, SQL_INSTANCE_COUNTS);

	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, 1, row->i.seq);
	sqlite3_bind_int64(stmt, 2, row->i.n_bindings);
	sqlite3_bind_int64(stmt, 3, row->i.n_binding_ops);
	return db_run(s, stmt);
}

int row_binding_put(struct sqlite_db *s, struct row_binding *row)
{
	const struct store_binding *b = &row->b;
	sqlite3_stmt *stmt = db_stmt(s, row->fresh ? SQL_BINDING_INSERT : SQL_BINDING_UPDATE);
	int c = 1, rc;

	if (row->new_data)
		row->sealed = close_value(s, "binding", "data", b->seq, b->data);
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, c++, b->seq);
	sqlite3_bind_int64(stmt, c++, row->key);
	sqlite3_bind_int64(stmt, c++, b->instance);
	db_bind(stmt, c++, b->id);
	sqlite3_bind_int(stmt, c++, b->state);
	sqlite3_bind_int64(stmt, c++, b->rev);
	sqlite3_bind_int64(stmt, c++, b->op);
	sqlite3_bind_int(stmt, c++, row->orphan);
	sqlite3_bind_int64(stmt, c++, (int64_t)row->due);
	db_bind(stmt, c++, row->same);
	db_bind(stmt, c++, b->predecessor);
	sqlite3_bind_int64(stmt, c++, (int64_t)b->expires_at);
	sqlite3_bind_int64(stmt, c++, (int64_t)b->renew_before);
	db_bind(stmt, c++, row->sealed);
	sqlite3_bind_int64(stmt, c++, (int64_t)b->created);
	sqlite3_bind_int64(stmt, c++, (int64_t)b->changed);
	rc = db_run(s, stmt);
	if (rc != 0)
		return rc;
	s->counts.bindings += (uint64_t)row_binding_exists(b->state);
	s->counts.bindings -= (uint64_t)row_binding_exists(row->was);
	row->was = b->state;
	row->fresh = false;
	return 0;
}

static void count_op(struct sqlite_db *s, struct row_op *row)
{
	if (!row->fresh && row->was != STORE_OP_ENDED)
		s->counts.ops[row->o.verb][row->was]--;
	if (row->o.state != STORE_OP_ENDED)
		s->counts.ops[row->o.verb][row->o.state]++;
	row->was = row->o.state;
	row->fresh = false;
}

int row_op_put(struct sqlite_db *s, struct row_op *row)
{
	const struct store_op *o = &row->o;
	sqlite3_stmt *stmt = db_stmt(s, row->fresh ? SQL_OP_INSERT : SQL_OP_UPDATE);
	int c = 1, rc;

	if (row->new_memo)
		row->memo = close_value(s, "op", "memo", o->seq, o->memo);
	if (row->new_request)
		row->request = close_value(s, "op", "request", o->seq, o->request);
	if (!stmt)
		return ERR_STORE;
	sqlite3_bind_int64(stmt, c++, o->seq);
	sqlite3_bind_int(stmt, c++, o->verb);
	sqlite3_bind_int(stmt, c++, o->state);
	sqlite3_bind_int(stmt, c++, o->result);
	sqlite3_bind_int64(stmt, c++, o->instance);
	sqlite3_bind_int64(stmt, c++, o->binding);
	sqlite3_bind_int64(stmt, c++, o->after);
	db_bind(stmt, c++, o->service);
	db_bind(stmt, c++, o->plan_id);
	sqlite3_bind_int(stmt, c++, o->back);
	sqlite3_bind_int(stmt, c++, o->halted);
	sqlite3_bind_int(stmt, c++, row->old);
	db_bind(stmt, c++, o->step);
	db_bind(stmt, c++, row->memo);
	db_bind(stmt, c++, row->request);
	db_bind(stmt, c++, row->same);
	db_bind(stmt, c++, o->owner);
	sqlite3_bind_int64(stmt, c++, o->fence);
	sqlite3_bind_int64(stmt, c++, o->claims);
	sqlite3_bind_int64(stmt, c++, (int64_t)o->created);
	sqlite3_bind_int64(stmt, c++, (int64_t)o->began);
	sqlite3_bind_int64(stmt, c++, (int64_t)o->step_began);
	sqlite3_bind_int64(stmt, c++, (int64_t)o->deadline);
	sqlite3_bind_int64(stmt, c++, (int64_t)o->ended);
	sqlite3_bind_int(stmt, c++, o->before);
	db_bind(stmt, c++, o->error);
	sqlite3_bind_int(stmt, c++, o->http_status);
	sqlite3_bind_int(stmt, c++, (int)o->flags);
	db_bind(stmt, c++, o->description);
	rc = db_run(s, stmt);
	if (rc == 0)
		count_op(s, row);
	return rc;
}

uint64_t row_op_waiting(const struct sqlite_db *s)
{
	uint64_t n = 0;
	int verb;

	for (verb = 0; verb < STORE_VERBS; verb++)
		n += s->counts.ops[verb][STORE_OP_WAITING];
	return n;
}
