/* Ticket keys: one value in the table meta, the newest key first, each with its id, its secret and
 * when it was made (8 bytes, big endian). */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/digest.h"
#include "store/tx.h"

#define ROW (STORE_TICKET_ID + STORE_TICKET_SECRET + 8)

static const struct seal_place place = { "meta", "tickets", 0 };

/* *sealed: as it is kept; p NULL: there is none. */
static int read_value(struct db *s, struct str *sealed)
{
	struct db_stmt *stmt = db_stmt(s, Q_META_GET);
	int rc;

	*sealed = (struct str){ 0 };
	if (!stmt)
		return ERR_STORE;
	db_bind(stmt, 1, str_of(place.column));
	rc = db_row(s, stmt);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		*sealed = db_column(stmt, 0, &s->arena);
		db_reset(stmt);
	}
	return 0;
}

static void decode(struct db *s, struct str sealed, struct store_tickets *c)
{
	struct str plain;
	size_t i, k;

	c->n = 0;
	if (!sealed.p)
		return;
	if (seal_open(s->keys, &place, sealed, &s->arena, &plain) != 0) {
		log_warn(&s->store.log,
			 "the keys of session tickets cannot be opened (sealed with key "
			 "\"%.*s\"): new ones are made",
			 STR_ARG(seal_key_id(sealed)));
		return;
	}
	for (i = 0; i + ROW <= plain.n && c->n < STORE_TICKET_KEYS; i += ROW) {
		struct store_ticket_key *key = &c->keys[c->n++];
		const unsigned char *p = (const unsigned char *)plain.p + i;

		memcpy(key->id, p, STORE_TICKET_ID);
		memcpy(key->secret, p + STORE_TICKET_ID, STORE_TICKET_SECRET);
		key->made = 0;
		for (k = 0; k < 8; k++)
			key->made = key->made << 8 | p[STORE_TICKET_ID + STORE_TICKET_SECRET + k];
	}
	mem_wipe((char *)plain.p, plain.n);
}

static struct str encode(struct db *s, const struct store_tickets *c)
{
	struct buf plain = { 0 };
	struct str sealed;
	size_t i;
	int shift;

	for (i = 0; i < c->n; i++) {
		buf_put(&plain, c->keys[i].id, STORE_TICKET_ID);
		buf_put(&plain, c->keys[i].secret, STORE_TICKET_SECRET);
		for (shift = 56; shift >= 0; shift -= 8)
			buf_putc(&plain, (char)(c->keys[i].made >> shift & 0xff));
	}
	buf_clear(&s->buf);
	seal_close(s->keys, &place, buf_str(&plain), &s->buf);
	sealed = arena_str(&s->arena, buf_str(&s->buf));
	buf_wipe(&plain);
	return sealed;
}

/* Forgets what is too old, and makes what is due. Has anything changed? */
static bool rotate(struct store_tickets *c, uint64_t now)
{
	struct store_ticket_key *keys = c->keys;
	bool changed = false;

	for (; c->n > 0 && keys[c->n - 1].made + c->keep <= now; changed = true)
		mem_wipe(&keys[--c->n], sizeof(*keys));
	if (c->n > 0 && now < keys[0].made + c->rotate)
		return changed;
	if (c->n == STORE_TICKET_KEYS)
		c->n--;
	memmove(keys + 1, keys, c->n++ * sizeof(*keys));
	random_bytes(keys[0].id, STORE_TICKET_ID);
	random_bytes(keys[0].secret, STORE_TICKET_SECRET);
	keys[0].made = now;
	return true;
}

int tx_tickets(struct db *s, void *call)
{
	struct store_tickets *c = call;
	struct db_stmt *stmt;
	struct str sealed;
	bool write;
	int rc = read_value(s, &sealed);

	if (rc != 0)
		return rc;
	decode(s, sealed, c);
	write = c->n > 0 && !seal_is_current(s->keys, sealed);
	if (!c->only_seal && rotate(c, store_now(&s->store)))
		write = true;
	if (!write)
		return 0;
	rc = db_writing(s);
	if (rc != 0)
		return rc;
	stmt = db_stmt(s, sealed.p ? Q_META_CHANGE : Q_META_ADD);
	if (!stmt)
		return ERR_STORE;
	db_bind(stmt, 1, str_of(place.column));
	db_bind(stmt, 2, encode(s, c));
	return db_run(s, stmt);
}
