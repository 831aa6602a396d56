/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/mysql_quota.h"

#include <mysqld_error.h>

#define POLLS 300 /* statements until a user's sessions have ended */

/* What at stands for. */
enum {
	LEAD,                   /* who measures? */
	INTRUDER,               /* an application has a lock of ours */
	MEASURE,                /* which have become full, or not full any more */
	FLIPS,                  /* say so in their marks */
	USERS,                  /* whose rights are not as they should be */
	RIGHTS,                 /* change them */
	SESSIONS,               /* three of them: see mysql_end_sessions() */
	CARRIED = SESSIONS + 3, /* in the user's mark: all that is done */
	COUNT,                  /* how many there are, when the names of the full ones have come */
	DONE,
};

static struct mysql_quota *quota_of(struct mysql_script *script)
{
	return container_of(script, struct mysql_quota, script);
}

static enum mysql_next lead(struct mysql_script *script, struct buf *text)
{
	script->at = INTRUDER;
	buf_puts(text, "SELECT GET_LOCK('osbd.quota', 0), (SELECT MIN(ID) FROM "
		       "information_schema.PROCESSLIST WHERE ID IN (IS_USED_LOCK('osbd.quota'), "
		       "IS_USED_LOCK('osbd.room')) AND USER <> SUBSTRING_INDEX(USER(), '@', 1))");
	return MYSQL_RUN;
}

static enum mysql_next read_only_this(struct mysql_script *script, struct buf *text)
{
	script->at = COUNT;
	script->tolerated = ER_NO_SUCH_TABLE;
	buf_puts(text, "SELECT name FROM osbd.marks WHERE name = of_database AND is_full");
	return MYSQL_RUN;
}

static enum mysql_next measure(struct mysql_script *script, struct buf *text)
{
	if (!quota_of(script)->leads) /* another node does */
		return read_only_this(script, text);
	script->at = FLIPS;
	script->tolerated = ER_NO_SUCH_TABLE; /* nothing was ever made here */
	buf_puts(text, "SELECT name, storage > 0 AND used >= storage, used, storage FROM "
		       "(SELECT m.name, m.storage, m.is_full, "
		       "COALESCE(SUM(t.DATA_LENGTH + t.INDEX_LENGTH), 0) AS used FROM osbd.marks m "
		       "LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = m.name "
		       "WHERE m.name = m.of_database AND (m.storage > 0 OR m.is_full) "
		       "GROUP BY m.name, m.storage, m.is_full) AS measured "
		       "WHERE (storage > 0 AND used >= storage) <> is_full");
	return MYSQL_RUN;
}

/* Any user may take a lock of any name: one that has ours is in the way of everybody else. */
static enum mysql_next end_intruder(struct mysql_script *script, struct buf *text)
{
	uint64_t id = mysql_number(script, 0, 1);

	quota_of(script)->leads = mysql_number(script, 0, 0);
	if (!id)
		return measure(script, text);
	script->at = MEASURE;
	script->tolerated = ER_NO_SUCH_THREAD; /* gone by itself */
	buf_printf(text, "KILL CONNECTION %llu", (unsigned long long)id);
	return MYSQL_RUN;
}

static enum mysql_next users(struct mysql_script *script, struct buf *text)
{
	script->at = RIGHTS;
	buf_puts(text, "SELECT u.name, d.name, d.is_full FROM osbd.marks u "
		       "JOIN osbd.marks d ON d.name = u.of_database "
		       "JOIN mysql.db p ON p.User = u.name AND p.Db = d.name AND p.Host = '%' "
		       "WHERE u.name <> u.of_database AND NOT u.reader "
		       "AND ((p.Insert_priv = 'Y') = d.is_full OR u.is_full <> d.is_full)");
	return MYSQL_RUN;
}

static enum mysql_next flip(struct mysql_script *script, struct buf *text)
{
	struct mysql_quota *quota = quota_of(script);
	const struct str *row;
	bool full;

	if (quota->i == 0) {
		if (script->request.code)
			return MYSQL_END;
		quota->changes = script->request.result;
	}
	if (quota->i >= quota->changes.rows) {
		quota->i = 0;
		return users(script, text);
	}
	row = &quota->changes.cells[quota->i++ * quota->changes.cols];
	full = str_is(row[1], "1");
	database_quota_say(&quota->base, row[0], row[2], row[3], full);
	buf_printf(text, "UPDATE osbd.marks SET is_full = %d WHERE name = '%.*s'", full,
		   STR_ARG(row[0]));
	return MYSQL_RUN;
}

static enum mysql_next change_rights(struct mysql_script *script, struct buf *text)
{
	struct mysql_quota *quota = quota_of(script);
	const struct str *row;
	bool full;

	if (quota->i == 0)
		quota->changes = script->request.result;
	if (quota->i >= quota->changes.rows)
		return read_only_this(script, text);
	row = &quota->changes.cells[quota->i * quota->changes.cols];
	full = str_is(row[2], "1");
	quota->polls = 0;
	script->at = SESSIONS;
	script->tolerated = ER_NONEXISTING_GRANT; /* an unbind was faster */
	if (full)
		buf_puts(text,
			 "REVOKE INSERT, UPDATE, CREATE, ALTER, INDEX, REFERENCES, "
			 "CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, TRIGGER, "
			 "CREATE TEMPORARY TABLES ON ");
	else
		buf_puts(text, "GRANT ALL ON ");
	buf_printf(text, "`%.*s`.* %s `%.*s`@'%%'", STR_ARG(row[1]), full ? "FROM" : "TO",
		   STR_ARG(row[0]));
	return MYSQL_RUN;
}

/* Its sessions have ended, or take their time: then the next look sees to it again. */
static enum mysql_next carried(struct mysql_script *script, struct buf *text)
{
	struct mysql_quota *quota = quota_of(script);
	const struct str *row = &quota->changes.cells[quota->i * quota->changes.cols];

	quota->i++;
	if (quota->polls >= POLLS)
		return change_rights(script, text);
	script->at = CARRIED;
	buf_printf(text, "UPDATE osbd.marks SET is_full = %.*s WHERE name = '%.*s'",
		   STR_ARG(row[2]), STR_ARG(row[0]));
	return MYSQL_RUN;
}

static enum mysql_next note_full(struct mysql_script *script, struct buf *text)
{
	struct mysql_quota *quota = quota_of(script);

	if (script->request.code) { /* no marks at all */
		database_found(quota->base.database, quota->base.server->index, NULL, 0, 0, 0);
		return MYSQL_END;
	}
	quota->changes = script->request.result;
	script->at = DONE;
	buf_puts(text, "SELECT COUNT(*), COALESCE(SUM(storage), 0) FROM osbd.marks "
		       "WHERE name = of_database");
	return MYSQL_RUN;
}

static enum mysql_next next(struct mysql_script *script, struct buf *text)
{
	struct mysql_quota *quota = quota_of(script);

	switch (script->at) {
	case LEAD:
		return lead(script, text);
	case INTRUDER:
		return end_intruder(script, text);
	case MEASURE:
		return measure(script, text);
	case FLIPS:
		return flip(script, text);
	case RIGHTS:
	case CARRIED:
		return change_rights(script, text);
	case SESSIONS:
	case SESSIONS + 1:
	case SESSIONS + 2:
		if (quota->polls++ < POLLS &&
		    mysql_end_sessions(script, text,
				       quota->changes.cells[quota->i * quota->changes.cols].p,
				       SESSIONS))
			return MYSQL_RUN;
		return carried(script, text);
	case COUNT:
		return note_full(script, text);
	default:
		database_found(quota->base.database, quota->base.server->index,
			       quota->changes.cells, quota->changes.rows,
			       mysql_number(script, 0, 0), mysql_number(script, 0, 1));
		return MYSQL_END;
	}
}

static void look(struct database_quota *base)
{
	struct mysql_quota *quota = container_of(base, struct mysql_quota, base);

	quota->i = 0;
	arena_reset(&quota->arena);
	quota->script.name = "quota";
	quota->script.pool = &quota->pool;
	quota->script.arena = &quota->arena;
	quota->script.next = next;
	quota->script.idle_seconds =
		(unsigned)(3 * base->database->config.quota_every / SEC(1)) + MYSQL_IDLE;
	mysql_script_start(&quota->script);
}

void mysql_quota_init(struct mysql_quota *quota)
{
	quota->base.call = &quota->script.call;
	quota->base.err = &quota->script.err;
	quota->base.look = look;
}
