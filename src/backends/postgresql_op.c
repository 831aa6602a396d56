/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/postgresql_op.h"

#include "core/digest.h"

#include <stdio.h>

void postgresql_derive(const struct osb_op *op, bool binding, char out[POSTGRESQL_NAME])
{
	unsigned char digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	struct buf ids = { 0 };

	buf_put_str(&ids, op->instance_id);
	if (binding) {
		buf_putc(&ids, '\0');
		buf_put_str(&ids, op->binding_id);
	}
	digest_sha256(ids.p, ids.n, digest);
	buf_finish(&ids);
	hex_encode(digest, sizeof(digest), hex);
	snprintf(out, POSTGRESQL_NAME, "%c%.31s", binding ? 'b' : 'd', hex);
}

const char *postgresql_cell(const struct sql_result *result, size_t row, size_t col)
{
	return row < result->rows ? sql_get_str(result, row, col).p : "";
}

bool postgresql_counts(const struct postgresql_script *script, size_t col)
{
	const char *n = postgresql_cell(&script->result, 0, col);

	return *n && strcmp(n, "0") != 0;
}

enum postgresql_next postgresql_fail(struct postgresql_script *script, int http, int code,
				     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(&script->err, code, fmt, ap);
	va_end(ap);
	postgresql_op_of(script)->http = http;
	return POSTGRESQL_FAIL;
}

void postgresql_put_look(struct buf *text, const char *name, const char *reader)
{
	buf_printf(text,
		   "SELECT (SELECT count(*) FROM pg_database WHERE datname = '%s'), "
		   "(SELECT count(*) FROM pg_roles WHERE rolname IN ('%s', '%s')), "
		   "(SELECT count(*) FROM osbd.marks WHERE name = '%s')",
		   name, name, reader, name);
}

void postgresql_looked(struct postgresql_script *script)
{
	struct postgresql_op *op = postgresql_op_of(script);

	op->there = postgresql_counts(script, 0);
	op->role_there = postgresql_counts(script, 1);
	op->marked = postgresql_counts(script, 2);
}

enum postgresql_next postgresql_mark(struct postgresql_script *script, struct buf *text,
				     const char *name)
{
	struct postgresql_op *op = postgresql_op_of(script);

	if (!op->marked && (op->there || op->role_there))
		return postgresql_fail(script, 0, ERR_EXISTS,
				       "%s %s is there, and osbd has not made it",
				       op->there ? "database" : "role", name);
	buf_printf(text,
		   "INSERT INTO osbd.marks (name, of_database) VALUES ('%s', '%s') "
		   "ON CONFLICT DO NOTHING",
		   name, op->database);
	return POSTGRESQL_RUN;
}

enum postgresql_next postgresql_drop_role(struct postgresql_script *script, struct buf *text,
					  const char *role)
{
	struct postgresql_op *op = postgresql_op_of(script);

	switch (op->sub) {
	case 0:
		op->sub = 1;
		op->i = 0;
		buf_printf(text,
			   "SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON "
			   "d.oid = s.dbid JOIN pg_roles r ON r.oid = s.refobjid WHERE "
			   "s.refclassid = 'pg_authid'::regclass AND r.rolname = '%s'",
			   role);
		return POSTGRESQL_RUN;
	case 1:
		op->list = script->result;
		op->sub = 2;
		/* fall through */
	case 2:
		if (op->i < op->list.rows) {
			script->inside = postgresql_cell(&op->list, op->i, 0);
			/* what a user made in its own database stays, and is the owner's */
			if (*role == 'b' && strcmp(script->inside, op->database) == 0) {
				buf_printf(text, "REASSIGN OWNED BY \"%s\" TO \"%s\"", role,
					   op->database);
				op->sub = 3;
			} else {
				buf_printf(text, "DROP OWNED BY \"%s\"", role);
				op->i++;
			}
			return POSTGRESQL_INSIDE;
		}
		buf_printf(text, "DROP ROLE IF EXISTS \"%s\"", role);
		op->sub = 4;
		return POSTGRESQL_RUN;
	case 3:
		buf_printf(text, "DROP OWNED BY \"%s\"", role);
		op->i++;
		op->sub = 2;
		return POSTGRESQL_INSIDE;
	default:
		return POSTGRESQL_END;
	}
}
