/* backends/database_steps: the steps of each verb, and the look at what is on the servers; the same
 * whatever the servers speak.
 *
 *   provision    place (backends/database_place), create
 *   update       alter
 *   deprovision  drop
 *   bind         prepare: the password, and what the server gets instead of it; create
 *   unbind       drop
 *
 * create, alter and drop run one script on the server that the instance stands on. A script looks
 * before it does anything, so it may be run again from its start after a crash at any statement. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_BACKENDS_DATABASE_STEPS_H
#define OSBD_BACKENDS_DATABASE_STEPS_H

#include "backends/database_place.h"

enum database_script {
	DATABASE_ROOM,  /* a row: databases there, bytes promised to them */
	DATABASE_MARKS, /* a row for each: name, is it a user, is it there */
	DATABASE_PROVISION,
	DATABASE_UPDATE,
	DATABASE_DEPROVISION,
	DATABASE_BIND,
	DATABASE_UNBIND,
	DATABASE_REMOVE /* an unbind that knows nothing but the user's name */
};

struct database_op {
	struct osb_op osb; /* first */
	struct database_choice choice;
	/* what the script is about, and where */
	const struct database_server *server;
	char database[DATABASE_NAME], user[DATABASE_NAME];
	/* the script's */
	int http; /* of a failure that is the user's; 0: none */
	const char *code;
	bool no_room; /* provision: the server is full */
};

/* What a backend brings. Its op embeds struct database_op first. */
struct database_scripts {
	const char *scheme, *jdbc, *query; /* database_hand_out() */
	/* A step's ask, when the password is made; NULL: nothing is left to do. */
	enum op_verdict (*prepare)(struct op *flow);
	struct call *(*call)(struct database_op *op); /* the script's */
	void (*start)(struct database_op *op, enum database_script script, struct arena *arena);
	/* How it failed; *again: this may pass. */
	const struct err *(*why)(struct database_op *op, bool *again);
	/* The result of the first two. */
	uint64_t (*number)(struct database_op *op, size_t col); /* of the first row */
	size_t (*rows)(struct database_op *op);
	void (*mark)(struct database_op *op, size_t row, struct backend_thing *thing);
};

extern const struct op_step database_provision_steps[], database_update_steps[],
	database_deprovision_steps[], database_bind_steps[], database_unbind_steps[];

void database_survey(struct backend *backend, struct backend_survey *survey);
void database_remove(struct backend *backend, struct backend_survey *survey,
		     const struct backend_thing *thing);
struct str database_name_of(struct backend *backend, struct str platform, struct str instance_id,
			    struct str binding_id, struct arena *arena);

/* SQL behind a select list: one row when what the plan promises can be kept beside what all other
 * databases on the server are promised, else none. count: as one database more. */
void database_put_promised(struct buf *text, const struct database_op *op, bool count);

#define DATABASE_VERB(op, steps_)                                  \
	{                                                          \
		.steps = steps_, .size = sizeof(op), .quick = true \
	}
/* Of a struct backend_type; op: the backend's. */
#define DATABASE_TYPE(op)                                                                        \
	.check = database_check, .start = database_start, .stop = database_stop,                 \
	.attributes = database_attributes, .survey = database_survey, .remove = database_remove, \
	.name_of = database_name_of,                                                             \
	.verb = {                                                                                \
		[STORE_PROVISION] = DATABASE_VERB(op, database_provision_steps),                 \
		[STORE_UPDATE] = DATABASE_VERB(op, database_update_steps),                       \
		[STORE_DEPROVISION] = DATABASE_VERB(op, database_deprovision_steps),             \
		[STORE_BIND] = DATABASE_VERB(op, database_bind_steps),                           \
		[STORE_UNBIND] = DATABASE_VERB(op, database_unbind_steps),                       \
		[STORE_EXPIRE] = DATABASE_VERB(op, database_unbind_steps),                       \
	}

#endif
