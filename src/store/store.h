/* store/store: what must survive, as a closed list of transactions.
 *
 * Words: an instance and a binding are rows of the platform's objects; an op is the row of one
 * operation on one of them; a tombstone is the row of an object that is gone. Rows are appended
 * in order (seq), and objects are found by (platform, id).
 *
 * Rules
 *  1. Each operation is a call (core/call). It is one transaction, atomic by itself; its guards
 *     are checked inside. Nothing above the store reads, decides and writes in two operations;
 *     where a decision needs what was read before, begin takes the revision that was read.
 *  2. status 0: the transaction is durable, and result says what it found or did. ERR_STORE: the
 *     store is away or refused; nothing has happened; the caller may ask again. ERR_STALE: the
 *     op has another owner or fence by now; nothing has happened. ERR_TIMEDOUT: the store went
 *     away before it could tell what has happened; asking again tells.
 *  3. The stores share one decision table (store_decide, store_finish): they only read the rows,
 *     ask it, and write what it says.
 *  4. Out-strings live in the arena that the caller gives; in-strings are borrowed until done.
 *  5. What is marked "sealed" is stored only encrypted (store/seal); a row that cannot be opened
 *     fails the operation that needs it with ERR_SEALED, and is reported, never dropped.
 *  6. Times are ms since 1970 on the store's clock. 0 means never or none.
 *
 * Source: OSB 2.17; the tables below carry its idempotency rules. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_STORE_STORE_H
#define OSBD_STORE_STORE_H

#include "core/arena.h"
#include "core/call.h"
#include "core/log.h"

#define STORE_OP_ID_MAX 40

enum store_verb {
	STORE_PROVISION,
	STORE_UPDATE,
	STORE_DEPROVISION,
	STORE_BIND,
	STORE_UNBIND,
	STORE_EXPIRE, /* osbd's own: the unbind of a binding whose time is up */
	STORE_VERBS
};

/* States of an instance and of a binding. A number never changes its meaning.
 *
 *            provision/bind            update            deprovision/unbind
 *  (none) ---------------> CREATING            UPDATING               DELETING
 *                            |  |  \  halted/    ^   |                  ^  |  |
 *                        ok  |  |   \ failed     |   | ok or failed     |  |  | ok
 *                            v  |    v           |   v                  |  |  v
 *                          READY|  FAILED <------ READY ----------------'  | GONE -> (purged)
 *                               |  (clean)          ^      failed          |
 *                               '-> DIRTY (the way back failed too)  <-----'
 *  A binding also goes READY -> EXPIRING -> EXPIRED; what has EXPIRED only needs its DELETE. */
enum store_state {
	STORE_NONE = 0,
	STORE_CREATING = 1,
	STORE_READY = 2,
	STORE_UPDATING = 3,
	STORE_DELETING = 4,
	STORE_FAILED = 5, /* create failed, nothing is left over: the same PUT is a new attempt */
	STORE_DIRTY = 6,  /* create failed and so did the way back: listed as an orphan */
	STORE_EXPIRING = 7,
	STORE_EXPIRED = 8,
	STORE_GONE = 9, /* the tombstone */
};

enum store_op_state {
	STORE_OP_WAITING = 0, /* no owner: waits for a slot */
	STORE_OP_RUNNING = 1, /* has an owner */
	STORE_OP_ENDED = 2,
	STORE_OP_FOLLOWING = 3, /* a delete that waits for the halted create to find its end */
};

enum store_result { STORE_NO_RESULT = 0, STORE_SUCCEEDED = 1, STORE_FAILED_RESULT = 2 };

/* Flags of an ended op; absent flags say nothing to the platform. */
enum store_op_flags {
	STORE_UNUSABLE = 1 << 0,       /* instance_usable: false */
	STORE_NOT_REPEATABLE = 1 << 1, /* update_repeatable: false */
	STORE_LEFT_OVER = 1 << 2,      /* the way back failed too */
};

struct store_instance {
	int64_t seq;
	struct str platform, id;
	struct str service_id, plan_id, organization, space;
	enum store_state state;
	bool usable;
	int64_t rev;              /* grows with every change of the row, its two counts apart */
	int64_t op;               /* seq of the latest op of the instance itself */
	uint32_t n_bindings;      /* bindings that exist for the backend */
	uint32_t n_binding_ops;   /* ops of its bindings that run or wait; a FOLLOWING delete counts
				 * only when its create has ended and it waits itself */
	struct str maintenance;   /* version in force, empty: none */
	struct str dashboard_url; /* empty: none */
	struct str metadata;      /* JSON object of the response's metadata, empty: none */
	struct str data;          /* sealed: JSON object {parameters, context, credentials, …} */
	uint64_t created, changed;
};

struct store_binding {
	int64_t seq;
	int64_t instance; /* seq */
	struct str id;
	enum store_state state;
	int64_t rev, op;
	struct str predecessor;            /* id, empty: none */
	uint64_t expires_at, renew_before; /* 0: never */
	struct str data;                   /* sealed: JSON object {parameters, response, …} */
	uint64_t created, changed;
};

struct store_op {
	int64_t seq;
	char id[STORE_OP_ID_MAX + 1]; /* [a-z0-9-]: "operation" of the API */
	enum store_verb verb;
	enum store_op_state state;
	enum store_result result;
	int64_t instance, binding; /* seq; binding 0: an operation of the instance */
	int64_t after;             /* FOLLOWING: seq of the halted create */
	struct str service;        /* the offering's name: its slots run it */
	struct str plan_id;        /* of the plan it runs under */
	bool back;                 /* on the way back */
	bool halted;               /* asked to go back */
	struct str step;           /* name of the step to be asked; empty: the first */
	struct str memo;           /* sealed: JSON object */
	struct str request;        /* sealed: JSON object, what the verb was asked */
	struct str owner;          /* the run of the process that has it; empty: none */
	int64_t fence;             /* raised by every claim */
	uint32_t claims;           /* since a step last ended */
	uint64_t created;
	uint64_t began, step_began; /* 0: never claimed yet */
	uint64_t deadline;          /* ms after began; 0: none */
	uint64_t ended;
	enum store_state before; /* the object's state before the op */
	struct str error;        /* code of a failure, such as "Quota"; empty: none */
	int http_status;         /* of a failure; 0: 500 */
	unsigned flags;          /* store_op_flags */
	struct str description;  /* for people: progress, then the outcome */
};

/* How an operation changes its object when it ends. Strings with p == NULL leave the column as
 * it is; empty ones clear it. */
struct store_end {
	int64_t op, fence; /* guard; both 0 inside a begin */
	enum store_result result;
	bool left_over; /* failed, and the way back failed too */
	unsigned flags;
	int http_status;
	struct str error, description;
	/* the object, when the result is success (data also when it failed, if given) */
	struct str plan_id;     /* update */
	struct str same;        /* update: the attributes in force now, for `same` of begin */
	struct str maintenance; /* provision, update */
	struct str dashboard_url, metadata;
	struct str data;
	uint64_t expires_at, renew_before; /* bind */
};

enum store_begun {
	BEGUN_STARTED,      /* op is new; op.state says RUNNING (owned) or WAITING */
	BEGUN_ENDED,        /* op is new and has ended already (at_once, or nothing to be done) */
	BEGUN_HALTING,      /* op is a new delete, FOLLOWING the create that was told to go back */
	BEGUN_SAME_RUNNING, /* the same was asked before: op is the one that runs */
	BEGUN_SAME_DONE,    /* provision, bind: it is there, with the same attributes */
	BEGUN_CONFLICT,     /* it is there, or on the way, with other attributes */
	BEGUN_CONCURRENCY,  /* another operation runs */
	BEGUN_NOT_FOUND,    /* update, bind: no such instance */
	BEGUN_GONE,         /* deprovision, unbind: no such object */
	BEGUN_HAS_BINDINGS, /* deprovision: refused */
	BEGUN_PREDECESSOR,  /* bind: the predecessor is not a live binding of the instance */
	BEGUN_CHANGED,      /* rev is not the row's any more: read again */
	BEGUN_FULL,         /* no slot, and max_waiting ops wait already: nothing was written */
};

/* Begins an operation, or finds out why not. What is sealed is opened for STARTED (the object's
 * own data, and the instance's for a binding's verb) and for SAME_DONE, and is empty otherwise;
 * op.memo and op.request are those of a new op. */
struct store_begin {
	struct call call;
	struct arena *arena;
	/* in: the object */
	enum store_verb verb;
	struct str platform, instance_id, binding_id;
	int64_t rev; /* update, unbind…: the revision read; 0: any. Of the binding for unbind and
		      * expire, else of the instance. */
	/* in: what to write (all verbs; attributes are provision's and bind's) */
	struct str service, service_id, plan_id, organization, space;
	struct str same; /* canonical text of the attributes that make two requests the same;
			     * stored only as a keyed digest */
	struct str maintenance;
	struct str predecessor;
	struct str data;    /* the object's first data (provision, bind) */
	struct str request; /* the op's */
	struct str owner;   /* of the op when a slot is free; empty: it must wait */
	uint64_t deadline;  /* ms, 0: none */
	uint32_t max_waiting;
	bool ignore_bindings;            /* deprovision with live bindings is fine */
	bool while_deleting;             /* unbind that belongs to a deprovision of its instance */
	bool can_halt;                   /* the create that runs may be told to go back */
	const struct store_end *at_once; /* the verb touches nothing outside the store: begin and
					  * end in one; NULL: it does */
	/* out */
	enum store_begun result;
	struct store_op op;
	struct store_instance instance; /* as it is after the transaction; seq 0: none */
	struct store_binding binding;
	struct store_op halted; /* BEGUN_HALTING: the create, with its owner */
};

/* Takes the oldest waiting ops of the services that have a free slot. One that cannot be opened or
 * is not known is reported each time, takes no slot and stays WAITING; those behind it are taken. */
struct store_claim_want {
	struct str service;
	uint32_t slots;
};

struct store_claimed {
	struct store_op op;
	struct store_instance instance;
	struct store_binding binding; /* seq 0: none */
	int status; /* ERR_SEALED: cannot be opened, ERR_NOENT: not known; not claimed */
};

struct store_claim {
	struct call call;
	struct arena *arena;
	struct str owner;
	const struct store_claim_want *wants;
	size_t n_wants;
	uint32_t max; /* in all */
	/* Can this process run it? It may be called more than once for a row. NULL: any. */
	bool (*knows)(void *data, const struct store_op *op, const struct store_instance *instance);
	void *knows_data;
	/* out */
	struct store_claimed *ops;
	size_t n_ops;
	uint32_t waiting; /* left over */
};

/* A step ended: what comes next, before it is asked. */
struct store_step {
	struct call call;
	int64_t op, fence;
	struct str step; /* the next one */
	bool back;
	struct str memo;
	struct str description; /* progress for people; p NULL: as it was */
	bool new_step;          /* false: the same step goes on; claims and step_began stay */
	bool answers;           /* the first answer is due: whoever watches the op is told */
	/* out */
	bool halted;
};

/* The operation ended. Out: halted is true when a success came too late: nothing was written,
 * the create must go back. follower: the delete that waited for this end. */
struct store_op_end {
	struct call call;
	struct arena *arena;
	struct store_end end;
	bool halted;
	struct store_op follower; /* seq 0: none; ENDED, or WAITING and to be claimed */
};

/* Gives a running op back without an end (drain): it waits for a slot again, and the claim that
 * is given back is not counted. */
struct store_release {
	struct call call;
	int64_t op, fence;
};

struct store_get {
	struct call call;
	struct arena *arena;
	struct str platform, instance_id;
	struct str binding_id; /* p NULL: the instance alone */
	struct str operation;  /* p NULL, unknown or of another object: the latest op */
	bool no_data;          /* rows only: nothing sealed is opened */
	/* out; seq 0: none */
	struct store_instance instance;
	struct store_binding binding;
	struct store_op op; /* the latest, or the one asked for; of the binding if one is named */
	uint32_t waiting_before; /* op WAITING: how many stand before it */
};

/* Rows for a person or a timer to look at, oldest first: instances, then bindings, then ops.
 * Nothing sealed is opened. */
enum store_list_kind {
	STORE_LIST_EXPIRED, /* bindings READY whose time is up */
	STORE_LIST_ORPHANS, /* DIRTY objects, and READY ones whose last verb was a delete that failed */
	STORE_LIST_BINDINGS,   /* of one instance, that exist for the backend */
	STORE_LIST_UNREADABLE, /* rows that no key opens */
	STORE_LIST_ALL,        /* instances and bindings that exist for the backend, or may */
};

struct store_listed {
	int64_t at; /* `from` of a list that goes on behind this row */
	struct store_instance instance;
	struct store_binding binding; /* seq 0: the instance itself is meant */
	struct str service;           /* the latest op's */
	struct str description;       /* the latest op's */
};

struct store_list {
	struct call call;
	struct arena *arena;
	enum store_list_kind kind;
	int64_t instance; /* BINDINGS */
	int64_t from;     /* 0, or `at` of the last row of the list before */
	uint32_t max;
	/* out */
	struct store_listed *rows;
	size_t n_rows;
	uint64_t next; /* EXPIRED: when the next binding's time is up; 0: none */
};

/* Retention: forgets what is long over, at most max rows; an object and its latest op count as
 * one. */
struct store_purge {
	struct call call;
	uint64_t keep_ended, keep_gone; /* ms */
	uint32_t max;
	/* out */
	uint32_t n; /* == max: there is more */
};

/* Seals rows of old keys with the first key, at most max rows. One at a time: ERR_BUSY. */
struct store_reseal {
	struct call call;
	uint32_t max;
	/* out */
	uint32_t n, failed; /* n == 0: done; failed: rows that no key opens */
};

struct store_stats {
	struct call call;
	/* out */
	uint64_t instances, bindings; /* that exist */
	uint64_t ops[STORE_VERBS][4]; /* by store_op_state, ENDED left at 0 */
	uint64_t oldest_waiting;      /* when it was created; 0: none */
};

/* Is any plan still used by an instance that exists? */
struct store_plan_use {
	struct call call;
	struct arena *arena;
	/* out: distinct (service_id, plan_id) of instances that exist */
	struct {
		struct str service_id, plan_id;
		uint64_t n;
	} * plans;
	size_t n_plans;
};

/* Keys of TLS session tickets, which all processes on the store share; sealed. When there is none,
 * or the newest was made `rotate` ms ago, one more is made. A key is forgotten `keep` ms after it
 * was made, or when STORE_TICKET_KEYS newer ones are there. Sealed anew when another key seals by
 * now. Keys that cannot be opened are replaced, with a line in the log: tickets are no more than
 * a short cut. */
#define STORE_TICKET_KEYS 4
#define STORE_TICKET_ID 16
#define STORE_TICKET_SECRET 32

struct store_ticket_key {
	unsigned char id[STORE_TICKET_ID];
	unsigned char secret[STORE_TICKET_SECRET];
	uint64_t made;
};

struct store_tickets {
	struct call call;
	uint64_t rotate, keep; /* ms */
	bool only_seal;        /* make none, forget none */
	/* out, the newest first; to be wiped by the caller */
	struct store_ticket_key keys[STORE_TICKET_KEYS];
	size_t n;
};

/* Nodes: many processes on one store. Each has one lease, under an owner's name of its own choice;
 * an op whose owner has no lease is claimed by whoever has a slot. The lease lasts `lease` ms on
 * the store's clock from each renewal; nothing of an owner without one is written.
 *
 * Only where type->shared is set; else one process is all there is, and renew answers at once. */
struct store_renew {
	struct call call;
	struct arena *arena;
	struct str owner;
	uint64_t lease;   /* ms */
	bool first;       /* this owner has no lease yet */
	struct str plans; /* that this node offers, one a line: told to the others */
	/* out */
	bool lost;         /* the lease had ended: nobody may act under this owner's name again */
	uint32_t nodes;    /* that live, this one among them */
	uint32_t others;   /* of them: that offer other plans */
	uint32_t waiting;  /* ops that wait for a slot or whose owner is dead */
	bool keys_changed; /* another key seals now: reseal again */
	int64_t *halted;   /* seqs of the owner's ops that were told to go back */
	size_t n_halted;
};

/* Gives the lease back: its ops may be claimed at once. */
struct store_leave {
	struct call call;
	struct str owner;
};

/* What another process did. */
enum store_event {
	STORE_EVENT_ENDED,    /* an op that is watched */
	STORE_EVENT_ANSWERED, /* an op that is watched: a step that `answers` */
	STORE_EVENT_HALTED,   /* an op, perhaps of this process, was told to go back */
};

struct store {
	const struct store_type *type;
	struct loop *loop;
	struct log log;
	int64_t epoch; /* the store's own clock, ms since 1970, when loop_now() was 0; 0: it has none */
	const uint64_t *test_clock; /* tests: instead of any other */
	bool outdated; /* a newer binary has changed the schema: this one writes nothing more */
	/* whoever runs ops here; from the loop */
	void (*on_event)(void *data, enum store_event event, int64_t op);
	void *event_data;
};

/* The store's clock, ms since 1970: dates in rows are its dates. With a clock of its own, what this
 * machine thinks the date is does not count. */
static inline uint64_t store_now(const struct store *store)
{
	if (store->test_clock)
		return *store->test_clock;
	if (store->epoch)
		return (uint64_t)((int64_t)loop_now(store->loop) + store->epoch);
	return loop_wall(store->loop);
}

struct db;

struct store_type {
	const char *name;
	void (*close)(struct store *store, void (*closed)(void *data), void *data);
	void (*begin)(struct store *, struct store_begin *);
	void (*claim)(struct store *, struct store_claim *);
	void (*step)(struct store *, struct store_step *);
	void (*end)(struct store *, struct store_op_end *);
	void (*release)(struct store *, struct store_release *);
	void (*get)(struct store *, struct store_get *);
	void (*list)(struct store *, struct store_list *);
	void (*purge)(struct store *, struct store_purge *);
	void (*reseal)(struct store *, struct store_reseal *);
	void (*stats)(struct store *, struct store_stats *);
	void (*plan_use)(struct store *, struct store_plan_use *);
	void (*tickets)(struct store *, struct store_tickets *);
	/* A transaction of another kind (store/tx): for commands, not for the daemon. */
	void (*run)(struct store *, struct call *, int (*body)(struct db *db, void *call));
	/* of a shared store only */
	bool shared;
	void (*renew)(struct store *, struct store_renew *);
	void (*leave)(struct store *, struct store_leave *);
	/* Tell the answer and the end of that op, when another process runs it; no more. */
	void (*watch)(struct store *, int64_t op);
	void (*unwatch)(struct store *, int64_t op);
	void (*hurry)(struct store *);
};

/* Each starts one call; the caller has set call.done. They cannot fail to start: a store that is
 * away ends the call with ERR_STORE. */
static inline void store_begin(struct store *s, struct store_begin *c)
{
	s->type->begin(s, c);
}
static inline void store_claim(struct store *s, struct store_claim *c)
{
	s->type->claim(s, c);
}
static inline void store_step(struct store *s, struct store_step *c)
{
	s->type->step(s, c);
}
static inline void store_end(struct store *s, struct store_op_end *c)
{
	s->type->end(s, c);
}
static inline void store_release(struct store *s, struct store_release *c)
{
	s->type->release(s, c);
}
static inline void store_get(struct store *s, struct store_get *c)
{
	s->type->get(s, c);
}
static inline void store_list(struct store *s, struct store_list *c)
{
	s->type->list(s, c);
}
static inline void store_purge(struct store *s, struct store_purge *c)
{
	s->type->purge(s, c);
}
static inline void store_reseal(struct store *s, struct store_reseal *c)
{
	s->type->reseal(s, c);
}
static inline void store_stats(struct store *s, struct store_stats *c)
{
	s->type->stats(s, c);
}
static inline void store_plan_use(struct store *s, struct store_plan_use *c)
{
	s->type->plan_use(s, c);
}
static inline void store_tickets(struct store *s, struct store_tickets *c)
{
	s->type->tickets(s, c);
}
static inline bool store_shared(const struct store *s)
{
	return s->type->shared;
}
void store_renew(struct store *s, struct store_renew *c);
void store_leave(struct store *s, struct store_leave *c);
static inline void store_watch(struct store *s, int64_t op)
{
	if (s->type->watch)
		s->type->watch(s, op);
}
/* The process ends: calls whose outcome cannot be known yet end with ERR_TIMEDOUT. */
static inline void store_hurry(struct store *s)
{
	if (s->type->hurry)
		s->type->hurry(s);
}

static inline void store_unwatch(struct store *s, int64_t op)
{
	if (s->type->unwatch)
		s->type->unwatch(s, op);
}
/* closed runs once, from the loop, when everything is written and the store is freed. */
static inline void store_close(struct store *s, void (*closed)(void *data), void *data)
{
	s->type->close(s, closed, data);
}

/* -- the decision table, for implementers ------------------------------------------------ */

/* What begin finds and what it must do. instance, binding, op (the latest of the object that the
 * verb is about) and instance_op have seq 0 when there is none; same is whether the digest of
 * the running op's or the object's attributes equals the request's. */
struct store_facts {
	const struct store_instance *instance;
	const struct store_binding *binding;
	const struct store_op *op; /* the latest op of the object; NULL or seq 0: none */
	bool same_object;          /* object's digest equals the request's */
	bool same_op;              /* op's digest equals the request's */
	const struct store_binding *predecessor; /* NULL: none asked for or not found */
	uint64_t now;
};

/* BEGUN_STARTED stands for "write the op, set the object to *state"; BEGUN_ENDED for "write an op
 * that has ended, set the object to *state". Slots and at_once are the store's to add. */
enum store_begun store_decide(const struct store_begin *want, const struct store_facts *facts,
			      enum store_state *state);
/* The object's state after an end; usable tells the instance's. */
enum store_state store_finish(const struct store_op *op, const struct store_end *end, bool *usable);

const char *store_verb_name(enum store_verb verb);    /* "provision" */
const char *store_state_name(enum store_state state); /* "creating" */

#endif
