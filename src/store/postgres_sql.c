/* Locks are taken in one order: the instance, its binding, its op. A claim locks ops alone and
 * skips those that are locked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres_sql.h"

#define INSTANCE(P)                                                                      \
	P "seq, " P "key, " P "platform, " P "id, " P "service_id, " P "plan_id, " P     \
	  "organization, " P "space, " P "state, " P "usable, " P "rev, " P "op, " P     \
	  "n_bindings, " P "n_binding_ops, " P "orphan, " P "same, " P "maintenance, " P \
	  "dashboard_url, " P "metadata, " P "data, " P "created, " P "changed"
#define BINDING(P)                                                                                \
	P "seq, " P "key, " P "instance, " P "id, " P "state, " P "rev, " P "op, " P "orphan, " P \
	  "due, " P "same, " P "predecessor, " P "expires_at, " P "renew_before, " P "data, " P   \
	  "created, " P "changed"
#define OP(P)                                                                                     \
	P "seq, " P "verb, " P "state, " P "result, " P "instance, " P "binding, " P "after, " P  \
	  "service, " P "plan_id, " P "back, " P "halted, " P "old, " P "step, " P "memo, " P     \
	  "request, " P "same, " P "owner, " P "fence, " P "claims, " P "created, " P "began, " P \
	  "step_began, " P "deadline, " P "ended, " P "before, " P "error, " P "http_status, " P  \
	  "flags, " P "description"
#define V16 "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16"
#define V22 V16 ", $17, $18, $19, $20, $21, $22"
#define V29 V22 ", $23, $24, $25, $26, $27, $28, $29"
#define LIVE "EXISTS (SELECT 1 FROM node n WHERE n.owner = o.owner AND n.until > " PG_NOW ")"

#define BEFORE                                                                    \
	"CASE WHEN o.state = 0 THEN (SELECT count(*) FROM op w WHERE w.state = 0" \
	" AND w.service = o.service AND w.seq < o.seq) END"

#define QUERY(ID, NAME, N, TEXT) [ID] = { NAME, TEXT, N }

static const struct sql_stmt reads[Q_LAST] = {
	QUERY(Q_INSTANCE_FIND, "instance_poll", 1,
	      "SELECT " INSTANCE("i.") ", " OP("o.") ", " BEFORE " FROM instance i LEFT JOIN op o"
						     " ON o.seq = i.op WHERE i.key = $1"),
	QUERY(Q_BINDING_FIND, "binding_poll", 2,
	      "SELECT " BINDING("b.") ", " OP(
		      "o.") ", " BEFORE " FROM binding b LEFT JOIN op o"
			    " ON o.seq = b.op WHERE b.instance = $1 AND b.key = $2"),
	QUERY(Q_INSTANCE_GET, "instance_read", 1,
	      "SELECT " INSTANCE("") " FROM instance WHERE seq = $1"),
	QUERY(Q_BINDING_GET, "binding_read", 1,
	      "SELECT " BINDING("") " FROM binding WHERE seq = $1"),
	QUERY(Q_OP_GET, "op_read", 1, "SELECT " OP("") " FROM op WHERE seq = $1"),
};

static const struct sql_stmt stmts[Q_LAST] = {
	QUERY(Q_INSTANCE_FIND, "instance_find", 1,
	      "SELECT " INSTANCE("") " FROM instance WHERE key = $1 FOR UPDATE"),
	QUERY(Q_INSTANCE_GET, "instance_get", 1,
	      "SELECT " INSTANCE("") " FROM instance WHERE seq = $1 FOR UPDATE"),
	QUERY(Q_INSTANCE_INSERT, "instance_insert", 22,
	      "INSERT INTO instance (" INSTANCE("") ") VALUES (" V22 ")"),
	QUERY(Q_INSTANCE_UPDATE, "instance_update", 22,
	      "UPDATE instance SET (" INSTANCE("") ") = (" V22 ") WHERE seq = $1"),
	QUERY(Q_INSTANCE_COUNTS, "instance_counts", 3,
	      "UPDATE instance SET n_bindings = $2, n_binding_ops = $3 WHERE seq = $1"),
	QUERY(Q_BINDING_FIND, "binding_find", 2,
	      "SELECT " BINDING("") " FROM binding WHERE instance = $1 AND key = $2 FOR UPDATE"),
	QUERY(Q_BINDING_GET, "binding_get", 1,
	      "SELECT " BINDING("") " FROM binding WHERE seq = $1 FOR UPDATE"),
	QUERY(Q_BINDING_INSERT, "binding_insert", 16,
	      "INSERT INTO binding (" BINDING("") ") VALUES (" V16 ")"),
	QUERY(Q_BINDING_UPDATE, "binding_update", 16,
	      "UPDATE binding SET (" BINDING("") ") = (" V16 ") WHERE seq = $1"),
	QUERY(Q_BINDINGS_LEFT, "bindings_left", 1, "SELECT $1::int8 WHERE false"),
	QUERY(Q_BINDINGS_GONE, "bindings_gone", 2,
	      "UPDATE binding SET state = 9, data = NULL, orphan = 0, due = 0, rev = rev + 1,"
	      " changed = $2 WHERE instance = $1 AND state <> 9"),
	QUERY(Q_OP_GET, "op_get", 1, "SELECT " OP("") " FROM op WHERE seq = $1 FOR UPDATE"),
	QUERY(Q_OP_INSERT, "op_insert", 29, "INSERT INTO op (" OP("") ") VALUES (" V29 ")"),
	QUERY(Q_OP_UPDATE, "op_update", 29,
	      "UPDATE op SET (" OP("") ") = (" V29 ") WHERE seq = $1"),
	QUERY(Q_OP_OLD, "op_old_set", 1, "UPDATE op SET old = 1 WHERE seq = $1"),
	QUERY(Q_WAITING, "waiting", 2,
	      "SELECT seq FROM op o WHERE state IN (0, 1) AND service = $1"
	      " AND (state = 0 OR NOT " LIVE ") ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED"),
	QUERY(Q_WAITING_BEFORE, "waiting_before", 2,
	      "SELECT count(*) FROM op WHERE state = 0 AND service = $1 AND seq < $2"),
	QUERY(Q_WAITING_OLDEST, "waiting_oldest", 0,
	      "SELECT created FROM op WHERE state = 0 ORDER BY seq LIMIT 1"),
	QUERY(Q_LIST_EXPIRED, "list_expired", 3,
	      "SELECT " BINDING("") " FROM binding WHERE due > 0 AND state = 2 AND due <= $2"
				    " AND seq > $1 ORDER BY seq LIMIT $3"),
	QUERY(Q_NEXT_EXPIRED, "next_expired", 1,
	      "SELECT min(due) FROM binding WHERE due > 0 AND state = 2 AND due > $1"),
	QUERY(Q_LIST_INSTANCE_ORPHANS, "instance_orphans", 2,
	      "SELECT " INSTANCE("") " FROM instance WHERE orphan <> 0 AND seq > $1"
				     " ORDER BY seq LIMIT $2"),
	QUERY(Q_LIST_BINDING_ORPHANS, "binding_orphans", 2,
	      "SELECT " BINDING("") " FROM binding WHERE orphan <> 0 AND seq > $1"
				    " ORDER BY seq LIMIT $2"),
	QUERY(Q_LIST_BINDINGS, "list_bindings", 2,
	      "SELECT " BINDING("") " FROM binding WHERE instance = $1 AND seq > $2"
				    " AND state IN (2, 4, 6, 7) ORDER BY seq"),
	QUERY(Q_LIST_ALL_INSTANCES, "all_instances", 2,
	      "SELECT " INSTANCE("") " FROM instance WHERE state NOT IN (0, 5, 9) AND seq > $1"
				     " ORDER BY seq LIMIT $2"),
	QUERY(Q_LIST_ALL_BINDINGS, "all_bindings", 2,
	      "SELECT " BINDING("") " FROM binding WHERE state NOT IN (0, 5, 8, 9) AND seq > $1"
				    " ORDER BY seq LIMIT $2"),
	QUERY(Q_SCAN_INSTANCES, "scan_instances", 2,
	      "SELECT seq, data FROM instance WHERE seq > $1 ORDER BY seq LIMIT $2"),
	QUERY(Q_SCAN_BINDINGS, "scan_bindings", 2,
	      "SELECT seq, data FROM binding WHERE seq > $1 ORDER BY seq LIMIT $2"),
	QUERY(Q_SCAN_OPS, "scan_ops", 2,
	      "SELECT seq, memo, request FROM op WHERE seq > $1 ORDER BY seq LIMIT $2"),
	QUERY(Q_PURGE_OPS, "purge_ops", 2,
	      "SELECT seq FROM op WHERE old <> 0 AND state = 2 AND ended <= $1"
	      " ORDER BY ended LIMIT $2 FOR UPDATE SKIP LOCKED"),
	QUERY(Q_PURGE_BINDINGS, "purge_bindings", 2,
	      "SELECT seq, op FROM binding WHERE state IN (5, 9) AND changed <= $1"
	      " ORDER BY changed LIMIT $2 FOR UPDATE SKIP LOCKED"),
	QUERY(Q_PURGE_INSTANCES, "purge_instances", 2,
	      "SELECT seq, op FROM instance i WHERE state IN (5, 9) AND changed <= $1"
	      " AND n_binding_ops = 0 AND NOT EXISTS"
	      " (SELECT 1 FROM binding b WHERE b.instance = i.seq"
	      " AND NOT (b.state IN (5, 9) AND b.changed <= $1))"
	      " ORDER BY changed LIMIT $2 FOR UPDATE SKIP LOCKED"),
	QUERY(Q_DELETE_OP, "delete_op", 1, "DELETE FROM op WHERE seq = $1"),
	QUERY(Q_DELETE_BINDING, "delete_binding", 1, "DELETE FROM binding WHERE seq = $1"),
	QUERY(Q_DELETE_INSTANCE, "delete_instance", 1, "DELETE FROM instance WHERE seq = $1"),
	QUERY(Q_RESEAL_INSTANCE, "reseal_instance", 3,
	      "UPDATE instance SET data = $2 WHERE seq = $1 AND data = $3"),
	QUERY(Q_RESEAL_BINDING, "reseal_binding", 3,
	      "UPDATE binding SET data = $2 WHERE seq = $1 AND data = $3"),
	QUERY(Q_RESEAL_OP, "reseal_op", 5,
	      "UPDATE op SET memo = $2, request = $4 WHERE seq = $1"
	      " AND memo IS NOT DISTINCT FROM $3 AND request IS NOT DISTINCT FROM $5"),
	QUERY(Q_DUMP_INSTANCES, "dump_instances", 2,
	      "SELECT " INSTANCE("") " FROM instance WHERE seq > $1 ORDER BY seq LIMIT $2"),
	QUERY(Q_DUMP_BINDINGS, "dump_bindings", 2,
	      "SELECT " BINDING("") " FROM binding WHERE seq > $1 ORDER BY seq LIMIT $2"),
	QUERY(Q_DUMP_OPS, "dump_ops", 2,
	      "SELECT " OP("") " FROM op WHERE seq > $1 ORDER BY seq LIMIT $2"),
	QUERY(Q_NUMBER_INSTANCE, "number_instance", 1, "SELECT setval('instance_seq', $1)"),
	QUERY(Q_NUMBER_BINDING, "number_binding", 1, "SELECT setval('binding_seq', $1)"),
	QUERY(Q_NUMBER_OP, "number_op", 1, "SELECT setval('op_seq', $1)"),
	QUERY(Q_META_SET, "meta_set", 2,
	      "INSERT INTO meta VALUES ($1::text, NULL, $2) ON CONFLICT (name) DO UPDATE"
	      " SET value = excluded.value"),
	QUERY(Q_META_GET, "meta_get", 1, "SELECT value FROM meta WHERE name = $1::text FOR UPDATE"),
	QUERY(Q_META_ADD, "meta_add", 2, "INSERT INTO meta VALUES ($1::text, NULL, $2)"),
	QUERY(Q_META_CHANGE, "meta_change", 2, "UPDATE meta SET value = $2 WHERE name = $1::text"),
	QUERY(Q_COUNT_INSTANCES, "count_instances", 0,
	      "SELECT count(*) FROM instance WHERE state NOT IN (5, 9)"),
	QUERY(Q_COUNT_BINDINGS, "count_bindings", 0,
	      "SELECT count(*) FROM binding WHERE state NOT IN (5, 8, 9)"),
	QUERY(Q_PLAN_USE, "plan_use", 0,
	      "SELECT service_id, plan_id, count(*) FROM instance"
	      " WHERE state NOT IN (5, 9) GROUP BY 1, 2 ORDER BY 1, 2"),
	QUERY(Q_NEXT_INSTANCE, "next_instance", 0, "SELECT nextval('instance_seq')"),
	QUERY(Q_NEXT_BINDING, "next_binding", 0, "SELECT nextval('binding_seq')"),
	QUERY(Q_NEXT_OP, "next_op", 0, "SELECT nextval('op_seq')"),
	QUERY(Q_COUNT_OPS, "count_ops", 0,
	      "SELECT verb, state, count(*) FROM op WHERE state <> 2 GROUP BY 1, 2"),
	QUERY(Q_COUNT_WAITING, "count_waiting", 0,
	      "SELECT count(*) FROM op o WHERE state IN (0, 1) AND (state = 0 OR NOT " LIVE ")"),
	QUERY(Q_OBJECT_LOCK, "object_lock", 1,
	      "SELECT seq FROM instance WHERE seq = (SELECT instance FROM op WHERE seq = $1)"
	      " FOR UPDATE"),
	QUERY(Q_WATCHED, "watched", 1, "UPDATE watch SET op = op WHERE op = $1"),
	QUERY(Q_UNWATCH, "unwatch", 1, "DELETE FROM watch WHERE op = $1"),
	QUERY(Q_UNWATCH_OLD, "unwatch_old", 0,
	      "DELETE FROM watch w WHERE NOT EXISTS"
	      " (SELECT 1 FROM op WHERE seq = w.op AND state <> 2)"),
	QUERY(Q_LEASE, "lease", 1, "SELECT 1::int8 FROM node WHERE owner = $1 AND until > " PG_NOW),
};

const struct sql_stmt *postgres_stmt(enum query query, bool locks)
{
	return !locks && reads[query].text ? &reads[query] : &stmts[query];
}
