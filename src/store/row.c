/* SPDX-License-Identifier: Apache-2.0 */
#include "store/row.h"

/* -- finding ---------------------------------------------------------------------------- */

/* The first 8 bytes of a fingerprint of prefix NUL id. */
static int64_t key_of(struct db *s, struct str prefix, struct str id)
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

struct str row_digest(struct db *s, struct arena *arena, struct str same)
{
	unsigned char *print = arena_alloc(arena, SIPHASH_SIZE);

	siphash(s->print, same.p ? same.p : "", same.n, print);
	return str_make((char *)print, SIPHASH_SIZE);
}

static bool column_is(struct db_stmt *stmt, int at, struct str value)
{
	return str_eq(db_get(stmt, at), value);
}

void row_instance_read(struct db_stmt *stmt, struct arena *arena, struct row_instance *row)
{
	struct store_instance *i = &row->i;
	int c = 0;

	memset(row, 0, sizeof(*row));
	i->seq = db_int(stmt, c++);
	row->key = db_int(stmt, c++);
	i->platform = db_column(stmt, c++, arena);
	i->id = db_column(stmt, c++, arena);
	i->service_id = db_column(stmt, c++, arena);
	i->plan_id = db_column(stmt, c++, arena);
	i->organization = db_column(stmt, c++, arena);
	i->space = db_column(stmt, c++, arena);
	i->state = row->was = (enum store_state)(int)db_int(stmt, c++);
	i->usable = (int)db_int(stmt, c++);
	i->rev = db_int(stmt, c++);
	i->op = db_int(stmt, c++);
	i->n_bindings = (uint32_t)db_int(stmt, c++);
	i->n_binding_ops = (uint32_t)db_int(stmt, c++);
	row->orphan = (int)db_int(stmt, c++);
	row->same = db_column(stmt, c++, arena);
	i->maintenance = db_column(stmt, c++, arena);
	i->dashboard_url = db_column(stmt, c++, arena);
	i->metadata = db_column(stmt, c++, arena);
	row->sealed = db_column(stmt, c++, arena);
	i->created = (uint64_t)db_int(stmt, c++);
	i->changed = (uint64_t)db_int(stmt, c++);
	i->data = STR("");
}

void row_binding_read(struct db_stmt *stmt, struct arena *arena, struct row_binding *row)
{
	struct store_binding *b = &row->b;
	int c = 0;

	memset(row, 0, sizeof(*row));
	b->seq = db_int(stmt, c++);
	row->key = db_int(stmt, c++);
	b->instance = db_int(stmt, c++);
	b->id = db_column(stmt, c++, arena);
	b->state = row->was = (enum store_state)(int)db_int(stmt, c++);
	b->rev = db_int(stmt, c++);
	b->op = db_int(stmt, c++);
	row->orphan = (int)db_int(stmt, c++);
	row->due = (uint64_t)db_int(stmt, c++);
	row->same = db_column(stmt, c++, arena);
	b->predecessor = db_column(stmt, c++, arena);
	b->expires_at = (uint64_t)db_int(stmt, c++);
	b->renew_before = (uint64_t)db_int(stmt, c++);
	row->sealed = db_column(stmt, c++, arena);
	b->created = (uint64_t)db_int(stmt, c++);
	b->changed = (uint64_t)db_int(stmt, c++);
	b->data = STR("");
}

/* "<store>-<seq in base 36>". */
static void write_id(const struct db *s, int64_t seq, char *out)
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

int64_t row_op_seq(const struct db *s, struct str id)
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

void row_op_read(const struct db *s, struct db_stmt *stmt, struct arena *arena, struct row_op *row)
{
	struct store_op *o = &row->o;
	int c = 0;

	memset(row, 0, sizeof(*row));
	o->seq = db_int(stmt, c++);
	write_id(s, o->seq, o->id);
	o->verb = (enum store_verb)(int)db_int(stmt, c++);
	o->state = row->was = (enum store_op_state)(int)db_int(stmt, c++);
	o->result = (enum store_result)(int)db_int(stmt, c++);
	o->instance = db_int(stmt, c++);
	o->binding = db_int(stmt, c++);
	o->after = db_int(stmt, c++);
	o->service = db_column(stmt, c++, arena);
	o->plan_id = db_column(stmt, c++, arena);
	o->back = (int)db_int(stmt, c++);
	o->halted = (int)db_int(stmt, c++);
	row->old = (int)db_int(stmt, c++);
	o->step = db_column(stmt, c++, arena);
	row->memo = db_column(stmt, c++, arena);
	row->request = db_column(stmt, c++, arena);
	row->same = db_column(stmt, c++, arena);
	o->owner = db_column(stmt, c++, arena);
	o->fence = db_int(stmt, c++);
	o->claims = (uint32_t)db_int(stmt, c++);
	o->created = (uint64_t)db_int(stmt, c++);
	o->began = (uint64_t)db_int(stmt, c++);
	o->step_began = (uint64_t)db_int(stmt, c++);
	o->deadline = (uint64_t)db_int(stmt, c++);
	o->ended = (uint64_t)db_int(stmt, c++);
	o->before = (enum store_state)(int)db_int(stmt, c++);
	o->error = db_column(stmt, c++, arena);
	o->http_status = (int)db_int(stmt, c++);
	o->flags = (unsigned)(int)db_int(stmt, c++);
	o->description = db_column(stmt, c++, arena);
	o->memo = o->request = STR("");
}

int row_instance_find(struct db *s, struct arena *arena, struct str platform, struct str id,
		      struct row_instance *row)
{
	struct db_stmt *stmt = db_stmt(s, Q_INSTANCE_FIND);
	int64_t key = key_of(s, platform, id);
	int rc;

	memset(row, 0, sizeof(*row));
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, key);
	while ((rc = db_row(s, stmt)) == 1) {
		if (!column_is(stmt, 2, platform) || !column_is(stmt, 3, id))
			continue;
		row_instance_read(stmt, arena, row);
		db_reset(stmt);
		return 0;
	}
	row->key = key; /* for the row that is perhaps made now */
	return rc;
}

int row_binding_find(struct db *s, struct arena *arena, int64_t instance, struct str id,
		     struct row_binding *row)
{
	struct db_stmt *stmt = db_stmt(s, Q_BINDING_FIND);
	int64_t key = key_of(s, STR(""), id);
	int rc;

	memset(row, 0, sizeof(*row));
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, instance);
	db_bind_int(stmt, 2, key);
	while ((rc = db_row(s, stmt)) == 1) {
		if (!column_is(stmt, 3, id))
			continue;
		row_binding_read(stmt, arena, row);
		db_reset(stmt);
		return 0;
	}
	row->key = key;
	return rc;
}

/* The statement that gets one row by its seq: 1 there it is, 0, or ERR_STORE. */
static int get(struct db *s, enum query sql, int64_t seq, struct db_stmt **stmt)
{
	*stmt = db_stmt(s, sql);
	if (!*stmt)
		return ERR_STORE;
	db_bind_int(*stmt, 1, seq);
	return db_row(s, *stmt);
}

int row_instance_get(struct db *s, struct arena *arena, int64_t seq, struct row_instance *row)
{
	struct db_stmt *stmt;
	int rc = get(s, Q_INSTANCE_GET, seq, &stmt);

	memset(row, 0, sizeof(*row));
	if (rc != 1)
		return rc;
	row_instance_read(stmt, arena, row);
	db_reset(stmt);
	return 0;
}

int row_binding_get(struct db *s, struct arena *arena, int64_t seq, struct row_binding *row)
{
	struct db_stmt *stmt;
	int rc = get(s, Q_BINDING_GET, seq, &stmt);

	memset(row, 0, sizeof(*row));
	if (rc != 1)
		return rc;
	row_binding_read(stmt, arena, row);
	db_reset(stmt);
	return 0;
}

int row_op_get(struct db *s, struct arena *arena, int64_t seq, struct row_op *row)
{
	struct db_stmt *stmt;
	int rc;

	memset(row, 0, sizeof(*row));
	if (seq == 0)
		return 0;
	rc = get(s, Q_OP_GET, seq, &stmt);
	if (rc != 1)
		return rc;
	row_op_read(s, stmt, arena, row);
	db_reset(stmt);
	return 0;
}

/* -- what is sealed --------------------------------------------------------------------- */

/* The same row is met again and again while it waits. */
static void complain(struct db *s, const char *table, const char *column, int64_t seq,
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

static int open_value(struct db *s, struct arena *arena, const char *table, const char *column,
		      int64_t seq, struct str sealed, struct str *plain)
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

int row_instance_open(struct db *s, struct arena *arena, struct row_instance *row)
{
	if (row->new_data)
		return 0;
	return open_value(s, arena, "instance", "data", row->i.seq, row->sealed, &row->i.data);
}

int row_binding_open(struct db *s, struct arena *arena, struct row_binding *row)
{
	if (row->new_data)
		return 0;
	return open_value(s, arena, "binding", "data", row->b.seq, row->sealed, &row->b.data);
}

int row_op_open(struct db *s, struct arena *arena, struct row_op *row)
{
	int rc = row->new_memo
			 ? 0
			 : open_value(s, arena, "op", "memo", row->o.seq, row->memo, &row->o.memo);

	if (rc != 0 || row->new_request)
		return rc;
	return open_value(s, arena, "op", "request", row->o.seq, row->request, &row->o.request);
}

static struct str close_value(struct db *s, const char *table, const char *column, int64_t seq,
			      struct str plain)
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

int row_instance_new(struct db *s, struct str platform, struct str id, struct row_instance *row)
{
	int64_t key = row->key; /* of the find that found nothing */

	memset(row, 0, sizeof(*row));
	row->key = key;
	row->fresh = true;
	row->i.platform = platform;
	row->i.id = id;
	return s->ops->next(s, TABLE_INSTANCE, &row->i.seq);
}

int row_binding_new(struct db *s, int64_t instance, struct str id, struct row_binding *row)
{
	int64_t key = row->key;

	memset(row, 0, sizeof(*row));
	row->key = key;
	row->fresh = true;
	row->b.instance = instance;
	row->b.id = id;
	return s->ops->next(s, TABLE_BINDING, &row->b.seq);
}

int row_op_new(struct db *s, struct row_op *row)
{
	int rc;

	memset(row, 0, sizeof(*row));
	row->fresh = true;
	rc = s->ops->next(s, TABLE_OP, &row->o.seq);
	if (rc == 0)
		write_id(s, row->o.seq, row->o.id);
	return rc;
}

bool row_instance_exists(enum store_state state)
{
	return state != STORE_NONE && state != STORE_FAILED && state != STORE_GONE;
}

bool row_binding_exists(enum store_state state)
{
	return row_instance_exists(state) && state != STORE_EXPIRED;
}

int row_instance_put(struct db *s, struct row_instance *row)
{
	const struct store_instance *i = &row->i;
	struct db_stmt *stmt = db_stmt(s, row->fresh ? Q_INSTANCE_INSERT : Q_INSTANCE_UPDATE);
	int c = 1, rc;

	if (row->new_data)
		row->sealed = close_value(s, "instance", "data", i->seq, i->data);
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, c++, i->seq);
	db_bind_int(stmt, c++, row->key);
	db_bind(stmt, c++, i->platform);
	db_bind(stmt, c++, i->id);
	db_bind(stmt, c++, i->service_id);
	db_bind(stmt, c++, i->plan_id);
	db_bind(stmt, c++, i->organization);
	db_bind(stmt, c++, i->space);
	db_bind_int(stmt, c++, i->state);
	db_bind_int(stmt, c++, i->usable);
	db_bind_int(stmt, c++, i->rev);
	db_bind_int(stmt, c++, i->op);
	db_bind_int(stmt, c++, i->n_bindings);
	db_bind_int(stmt, c++, i->n_binding_ops);
	db_bind_int(stmt, c++, row->orphan);
	db_bind(stmt, c++, row->same);
	db_bind(stmt, c++, i->maintenance);
	db_bind(stmt, c++, i->dashboard_url);
	db_bind(stmt, c++, i->metadata);
	db_bind(stmt, c++, row->sealed);
	db_bind_int(stmt, c++, (int64_t)i->created);
	db_bind_int(stmt, c++, (int64_t)i->changed);
	rc = db_run(s, stmt);
	if (rc == 0 && row->fresh && s->ops->keyed)
		rc = s->ops->keyed(s, row);
	if (rc != 0)
		return rc;
	s->counts.instances += (uint64_t)row_instance_exists(i->state);
	s->counts.instances -= (uint64_t)row_instance_exists(row->was);
	row->was = i->state;
	row->fresh = false;
	return 0;
}

int row_instance_put_counts(struct db *s, const struct row_instance *row)
{
	struct db_stmt *stmt = db_stmt(s, Q_INSTANCE_COUNTS);

	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, 1, row->i.seq);
	db_bind_int(stmt, 2, row->i.n_bindings);
	db_bind_int(stmt, 3, row->i.n_binding_ops);
	return db_run(s, stmt);
}

int row_binding_put(struct db *s, struct row_binding *row)
{
	const struct store_binding *b = &row->b;
	struct db_stmt *stmt = db_stmt(s, row->fresh ? Q_BINDING_INSERT : Q_BINDING_UPDATE);
	int c = 1, rc;

	if (row->new_data)
		row->sealed = close_value(s, "binding", "data", b->seq, b->data);
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, c++, b->seq);
	db_bind_int(stmt, c++, row->key);
	db_bind_int(stmt, c++, b->instance);
	db_bind(stmt, c++, b->id);
	db_bind_int(stmt, c++, b->state);
	db_bind_int(stmt, c++, b->rev);
	db_bind_int(stmt, c++, b->op);
	db_bind_int(stmt, c++, row->orphan);
	db_bind_int(stmt, c++, (int64_t)row->due);
	db_bind(stmt, c++, row->same);
	db_bind(stmt, c++, b->predecessor);
	db_bind_int(stmt, c++, (int64_t)b->expires_at);
	db_bind_int(stmt, c++, (int64_t)b->renew_before);
	db_bind(stmt, c++, row->sealed);
	db_bind_int(stmt, c++, (int64_t)b->created);
	db_bind_int(stmt, c++, (int64_t)b->changed);
	rc = db_run(s, stmt);
	if (rc != 0)
		return rc;
	s->counts.bindings += (uint64_t)row_binding_exists(b->state);
	s->counts.bindings -= (uint64_t)row_binding_exists(row->was);
	row->was = b->state;
	row->fresh = false;
	return 0;
}

static void count_op(struct db *s, struct row_op *row)
{
	if (s->ops->wrote_op)
		s->ops->wrote_op(s, &row->o, row->fresh);
	if (!row->fresh && row->was != STORE_OP_ENDED)
		s->counts.ops[row->o.verb][row->was]--;
	if (row->o.state != STORE_OP_ENDED)
		s->counts.ops[row->o.verb][row->o.state]++;
	row->was = row->o.state;
	row->fresh = false;
}

int row_op_put(struct db *s, struct row_op *row)
{
	const struct store_op *o = &row->o;
	struct db_stmt *stmt = db_stmt(s, row->fresh ? Q_OP_INSERT : Q_OP_UPDATE);
	int c = 1, rc;

	if (row->new_memo)
		row->memo = close_value(s, "op", "memo", o->seq, o->memo);
	if (row->new_request)
		row->request = close_value(s, "op", "request", o->seq, o->request);
	if (!stmt)
		return ERR_STORE;
	db_bind_int(stmt, c++, o->seq);
	db_bind_int(stmt, c++, o->verb);
	db_bind_int(stmt, c++, o->state);
	db_bind_int(stmt, c++, o->result);
	db_bind_int(stmt, c++, o->instance);
	db_bind_int(stmt, c++, o->binding);
	db_bind_int(stmt, c++, o->after);
	db_bind(stmt, c++, o->service);
	db_bind(stmt, c++, o->plan_id);
	db_bind_int(stmt, c++, o->back);
	db_bind_int(stmt, c++, o->halted);
	db_bind_int(stmt, c++, row->old);
	db_bind(stmt, c++, o->step);
	db_bind(stmt, c++, row->memo);
	db_bind(stmt, c++, row->request);
	db_bind(stmt, c++, row->same);
	db_bind(stmt, c++, o->owner);
	db_bind_int(stmt, c++, o->fence);
	db_bind_int(stmt, c++, o->claims);
	db_bind_int(stmt, c++, (int64_t)o->created);
	db_bind_int(stmt, c++, (int64_t)o->began);
	db_bind_int(stmt, c++, (int64_t)o->step_began);
	db_bind_int(stmt, c++, (int64_t)o->deadline);
	db_bind_int(stmt, c++, (int64_t)o->ended);
	db_bind_int(stmt, c++, o->before);
	db_bind(stmt, c++, o->error);
	db_bind_int(stmt, c++, o->http_status);
	db_bind_int(stmt, c++, (int)o->flags);
	db_bind(stmt, c++, o->description);
	rc = db_run(s, stmt);
	if (rc == 0)
		count_op(s, row);
	return rc;
}
