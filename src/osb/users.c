/* A check goes down this list until something answers it:
 *
 *   no header, and a client certificate of a user             welcome, if role and platform fit
 *   no header, no Basic, not well-formed                      401
 *   the pair is a literal password's or known to be right     welcome, if role and platform fit
 *   the same pair is being verified                           waits for that
 *   too many failures of this name or this source             429
 *   the pair is known to be wrong, or nobody has a hash       401
 *   USERS_WAITING checks wait                                 429
 *   else a job: each hash of the user is tried in a child, one job after the other
 *
 * The failure is counted before it is known to be one, and given back when it was none: so a
 * burst of guesses is limited too. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/users.h"

#include "core/digest.h"
#include "core/siphash.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>

enum reason { MISSING, MALFORMED, MISMATCH, FORBIDDEN, LIMITED, UNVERIFIED, REASONS };

static const char *const reason_labels[REASONS] = {
	[MISSING] = "reason=\"missing\"", [MALFORMED] = "reason=\"malformed\"",
	[MISMATCH] = "reason=\"wrong\"",  [FORBIDDEN] = "reason=\"forbidden\"",
	[LIMITED] = "reason=\"limited\"", [UNVERIFIED] = "reason=\"unverified\"",
};

#define NOBODY SIZE_MAX

/* A user as the checks see it. */
struct account {
	const struct config_user *user;
	unsigned char name[SIPHASH_SIZE]; /* digest */
	struct users_bucket bucket;
	bool hashed;
};

/* One password of an account. */
struct credential {
	size_t account;
	const struct config_password *password;
	/* digest of the header's token; of a hash: of the one last found right, else random */
	unsigned char pair[SIPHASH_SIZE];
};

/* A pair that is being verified, or waits for it. */
struct users_job {
	struct list node;    /* users.jobs; the first one runs */
	struct list waiters; /* struct users_check.node */
	struct users *users;
	unsigned char pair[SIPHASH_SIZE];
	size_t account; /* whose hashes are tried */
	bool in_vain;   /* the name is not that account's: right is wrong */
	size_t named;   /* account of that name or NOBODY */
	uint64_t name_key, source_key;
	size_t at;     /* credential that is tried */
	bool unwanted; /* all its waiters went away: its child was told to end */
	struct secret password;
	struct buf in;
	struct arena arena;
	struct child child;
};

struct users {
	struct loop *loop;
	struct child_host *children;
	char *verifier;
	struct log log;
	bool authenticate;
	unsigned char key[SIPHASH_SIZE];
	struct account *accounts;
	size_t n_accounts;
	struct credential *credentials;
	size_t n_credentials;
	size_t decoy; /* account whose hashes stand for those of unknown names; or NOBODY */
	struct users_buckets names, sources;
	struct users_wrongs wrongs;
	struct list jobs;
	unsigned n_waiting; /* checks in jobs */
	struct metric failures[REASONS];
	struct metric verifications;
};

/* What a header says. text is wiped by whoever filled it. */
struct pair {
	char text[USERS_PAIR_MAX]; /* name:password */
	struct str name, password;
	unsigned char pair[SIPHASH_SIZE], named[SIPHASH_SIZE]; /* digests: of the token, the name */
};

static void run_job(struct users *users);

/* -- the beginning and the end ------------------------------------------------------------- */

static void add_credential(struct users *users, size_t account,
			   const struct config_password *password)
{
	const struct config_user *user = users->accounts[account].user;
	struct credential *credential = &users->credentials[users->n_credentials++];
	struct arena arena = { 0 };
	struct buf buf = { 0 };
	struct str token;

	credential->account = account;
	credential->password = password;
	if (password->crypt) {
		random_bytes(credential->pair, sizeof(credential->pair));
		users->accounts[account].hashed = true;
		if (users->decoy == NOBODY)
			users->decoy = account;
		return;
	}
	buf_put_str(&buf, user->name);
	buf_putc(&buf, ':');
	buf_put_str(&buf, secret_reveal(&password->text));
	token = base64_encode(&arena, buf.p, buf.n);
	siphash(users->key, token.p, token.n, credential->pair);
	mem_wipe((char *)token.p, token.n);
	arena_finish(&arena);
	buf_wipe(&buf);
}

static void add_metrics(struct users *users, struct metrics *metrics)
{
	size_t i;

	for (i = 0; i < REASONS; i++) {
		users->failures[i] = (struct metric){
			.kind = METRIC_COUNTER,
			.name = "osbd_auth_failures_total",
			.help = "Requests that were not let in, by reason.",
			.labels = reason_labels[i],
		};
		metrics_add(metrics, &users->failures[i]);
	}
	users->verifications = (struct metric){
		.kind = METRIC_COUNTER,
		.name = "osbd_auth_verifications_total",
		.help = "Password hashes verified in a child process.",
	};
	metrics_add(metrics, &users->verifications);
}

struct users *users_create(struct loop *loop, const struct config *config,
			   struct child_host *children, const char *verifier, const struct log *log,
			   struct metrics *metrics)
{
	struct users *users = mem_zalloc(sizeof(*users));
	size_t i, j;

	users->loop = loop;
	users->children = children;
	users->verifier = mem_strdup(verifier ? verifier : "");
	if (log)
		log_child(&users->log, log);
	users->authenticate = config->authenticate;
	users->decoy = NOBODY;
	list_init(&users->jobs);
	random_bytes(users->key, sizeof(users->key));
	users->accounts = mem_zalloc(config->n_users * sizeof(struct account) + 1);
	users->credentials =
		mem_zalloc(config->n_users * CONFIG_PASSWORDS * sizeof(struct credential) + 1);
	for (i = 0; i < config->n_users; i++) {
		const struct config_user *user = &config->users[i];
		struct account *account = &users->accounts[users->n_accounts++];

		account->user = user;
		siphash(users->key, user->name.p, user->name.n, account->name);
		for (j = 0; j < user->n_passwords; j++)
			add_credential(users, i, &user->passwords[j]);
	}
	if (metrics)
		add_metrics(users, metrics);
	return users;
}

void users_retire(struct users *users)
{
	size_t i;

	for (i = 0; i < REASONS; i++)
		metrics_remove(&users->failures[i]);
	metrics_remove(&users->verifications);
}

void users_destroy(struct users *users)
{
	if (!users)
		return;
	assert(list_empty(&users->jobs));
	users_retire(users);
	mem_wipe(users->credentials, users->n_credentials * sizeof(struct credential));
	mem_free(users->credentials);
	mem_free(users->accounts);
	mem_free(users->verifier);
	mem_wipe(users, sizeof(*users));
	mem_free(users);
}

/* -- what a header says -------------------------------------------------------------------- */

static int split(struct str text, struct pair *pair)
{
	size_t i;

	for (i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
			return ERR_SYNTAX;
	pair->name = str_cut(text, ':', &pair->password);
	return pair->password.p && str_is_utf8(text) ? 0 : ERR_SYNTAX;
}

/* "Basic TOKEN"; {NULL, 0}: it is not. */
static struct str read_token(struct str header)
{
	struct str token, scheme = str_cut(header, ' ', &token);

	if (!str_ieq(scheme, STR("Basic")) || !token.p)
		return str_make(NULL, 0);
	while (token.n && token.p[0] == ' ')
		token = str_make(token.p + 1, token.n - 1);
	return token;
}

static int read_pair(const struct users *users, struct str token, struct pair *pair)
{
	size_t n;

	if (base64_decode_into(token, pair->text, USERS_PAIR_MAX, &n) != 0 ||
	    split(str_make(pair->text, n), pair) != 0)
		return ERR_SYNTAX;
	siphash(users->key, pair->name.p, pair->name.n, pair->named);
	return 0;
}

/* The credential, or NOBODY. Takes the same time whatever is found. */
static size_t find_pair(const struct users *users, const unsigned char *pair)
{
	size_t i, mask, found = NOBODY;

	for (i = 0; i < users->n_credentials; i++) {
		mask = (size_t)0 - (size_t)mem_same(users->credentials[i].pair, pair, SIPHASH_SIZE);
		found = (found & ~mask) | (i & mask);
	}
	return found;
}

static size_t find_name(const struct users *users, const unsigned char *name)
{
	size_t i, mask, found = NOBODY;

	for (i = 0; i < users->n_accounts; i++) {
		mask = (size_t)0 - (size_t)mem_same(users->accounts[i].name, name, SIPHASH_SIZE);
		found = (found & ~mask) | (i & mask);
	}
	return found;
}

/* Where failures of a source are counted: an IPv6 host has a whole /64 to ask from. */
static uint64_t source_key(const struct users *users, struct str peer)
{
	unsigned char digest[SIPHASH_SIZE];
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (peer.n < sizeof(text) && peer.n) {
		memcpy(text, peer.p, peer.n);
		text[peer.n] = '\0';
		if (inet_pton(AF_INET6, text, &in6) == 1 && !IN6_IS_ADDR_V4MAPPED(&in6))
			peer = str_make((const char *)&in6, 8);
	}
	siphash(users->key, peer.p ? peer.p : "", peer.n, digest);
	return users_key(digest);
}

/* -- verdicts ------------------------------------------------------------------------------ */

static int refuse(struct users *users, enum reason reason, int status)
{
	metric_inc(&users->failures[reason], 1);
	return status;
}

/* The pair is right: is it right here? */
static int admit(struct users *users, struct users_check *check, const struct config_user *user)
{
	const struct config_platform *asked = check->platform;

	if (asked && ((user->role != CONFIG_PLATFORM && user->role != CONFIG_OPERATOR) ||
		      (user->platform && !str_eq(user->platform->name, asked->name)))) {
		log_warn(&users->log, "user %.*s from %.*s may not use platform %.*s",
			 STR_ARG(user->name), STR_ARG(check->peer), STR_ARG(asked->name));
		return refuse(users, FORBIDDEN, ERR_ACCESS);
	}
	check->user = user;
	return 0;
}

/* Names that do not exist may be passwords in the wrong field: they are not logged. */
static int mismatch(struct users *users, const struct users_check *check, size_t named)
{
	struct str name = named == NOBODY ? STR("(unknown)") : users->accounts[named].user->name;

	log_info(&users->log, "wrong password from %.*s for user %.*s", STR_ARG(check->peer),
		 STR_ARG(name));
	return refuse(users, MISMATCH, ERR_ACCESS);
}

static int busy(struct users *users, struct users_check *check, enum reason reason, unsigned wait)
{
	check->retry_after = wait ? wait : 1;
	return refuse(users, reason, ERR_BUSY);
}

/* -- limits -------------------------------------------------------------------------------- */

/* A user's own bucket stays, whatever names others try. */
static struct users_bucket *name_bucket(struct users *users, size_t named, uint64_t key,
					uint64_t now)
{
	return named == NOBODY ? users_bucket(&users->names, key, now)
			       : &users->accounts[named].bucket;
}

/* Counts a failure of both; seconds to wait when there were too many. */
static unsigned take(struct users *users, size_t named, uint64_t name_key, uint64_t source_key_)
{
	uint64_t now = loop_now(users->loop);
	struct users_bucket *name = name_bucket(users, named, name_key, now);
	struct users_bucket *source = users_bucket(&users->sources, source_key_, now);
	unsigned a = users_bucket_wait(name, now), b = users_bucket_wait(source, now);

	if (a || b)
		return a > b ? a : b;
	users_bucket_take(name, now);
	users_bucket_take(source, now);
	return 0;
}

static void give_back(struct users *users, const struct users_job *job)
{
	uint64_t now = loop_now(users->loop);

	users_bucket_give(name_bucket(users, job->named, job->name_key, now));
	users_bucket_give(users_bucket(&users->sources, job->source_key, now));
}

/* -- jobs ---------------------------------------------------------------------------------- */

static void free_job(struct users_job *job)
{
	list_remove(&job->node);
	secret_finish(&job->password);
	buf_wipe(&job->in);
	arena_finish(&job->arena);
	mem_wipe(job, sizeof(*job));
	mem_free(job);
}

static void detach(struct users_check *check, int status)
{
	struct users *users = check->users;

	list_remove(&check->node);
	check->job = NULL;
	users->n_waiting--;
	call_end_soon(users->loop, &check->call, status);
}

/* right: of whom the password is; NULL when status says why not. */
static void end_job(struct users_job *job, const struct config_user *right, int status)
{
	struct users *users = job->users;
	struct list *node;

	while ((node = list_first(&job->waiters)) != NULL) {
		struct users_check *check = container_of(node, struct users_check, node);

		if (right)
			detach(check, admit(users, check, right));
		else if (status == ERR_ACCESS)
			detach(check, mismatch(users, check, job->named));
		else
			detach(check, busy(users, check, UNVERIFIED, 1));
	}
	if (!right && status == ERR_ACCESS)
		users_wrong_add(&users->wrongs, job->pair, loop_now(users->loop));
	else
		give_back(users, job);
	free_job(job);
	run_job(users);
}

static void drop_canceled(struct users_job *job)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &job->waiters) {
		struct users_check *check = container_of(pos, struct users_check, node);

		if (check->call.canceled)
			detach(check, ERR_CANCELED);
	}
}

static void on_verified(struct call *call, int status)
{
	struct users_job *job = container_of(call, struct users_job, child.call);
	struct users *users = job->users;
	struct credential *credential = &users->credentials[job->at];
	int code = job->child.exit_code;

	buf_wipe(&job->in);
	arena_reset(&job->arena);
	if (status == ERR_CANCELED && job->unwanted) {
		job->unwanted = false;
		drop_canceled(job);
		if (list_empty(&job->waiters))
			free_job(job); /* a guess all the same: not given back */
		run_job(users);        /* maybe this one again, for who came meanwhile */
		return;
	}
	metric_inc(&users->verifications, 1);
	if (status == 0 && code == USERS_RIGHT && !job->in_vain) {
		memcpy(credential->pair, job->pair, sizeof(job->pair));
		end_job(job, users->accounts[job->account].user, 0);
	} else if (status == 0 && (code == USERS_RIGHT || code == USERS_WRONG)) {
		job->at++;
		run_job(users);
	} else {
		log_error(&users->log, "a password hash could not be verified: %s",
			  status ? err_str(status) : "the verifier failed");
		end_job(job, NULL, ERR_BUSY);
	}
}

/* Starts the first job, or goes on with its next hash. */
static void run_job(struct users *users)
{
	struct list *node = list_first(&users->jobs);
	const char *argv[] = { users->verifier, "verify-password", NULL };
	const char *env[] = { NULL };
	struct child_options options = { .argv = argv, .env = env, .deadline = USERS_VERIFY_MS };
	struct users_job *job;
	int rc;

	if (!node)
		return;
	job = container_of(node, struct users_job, node);
	if (job->child.call.active)
		return;
	while (job->at < users->n_credentials &&
	       (users->credentials[job->at].account != job->account ||
		!users->credentials[job->at].password->crypt))
		job->at++;
	if (job->at == users->n_credentials) {
		end_job(job, NULL, ERR_ACCESS);
		return;
	}
	buf_put_str(&job->in, secret_reveal(&users->credentials[job->at].password->text));
	buf_putc(&job->in, '\0');
	buf_put_str(&job->in, secret_reveal(&job->password));
	options.in = buf_str(&job->in);
	options.out_max = 1;
	job->child = (struct child){ .call.done = on_verified };
	rc = child_start(&job->child, users->children, &job->arena, &options);
	if (rc != 0) {
		log_error(&users->log, "a password hash could not be verified: %s", err_str(rc));
		end_job(job, NULL, ERR_BUSY);
	}
}

static bool all_canceled(const struct users_job *job)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &job->waiters)
		if (!container_of(pos, struct users_check, node)->call.canceled)
			return false;
	return true;
}

static void cancel_check(struct call *call)
{
	struct users_check *check = container_of(call, struct users_check, call);
	struct users_job *job = check->job;

	/* the child's end is waited for, so that nothing runs when no check does */
	if (job->child.call.active && all_canceled(job)) {
		job->unwanted = true;
		call_cancel(&job->child.call);
		return;
	}
	detach(check, ERR_CANCELED);
	if (list_empty(&job->waiters)) {
		give_back(job->users, job);
		free_job(job);
	}
}

static void wait_for(struct users_job *job, struct users_check *check)
{
	check->users = job->users;
	check->job = job;
	list_append(&job->waiters, &check->node);
	job->users->n_waiting++;
	call_begin(&check->call, cancel_check);
}

static struct users_job *find_job(const struct users *users, const unsigned char *pair)
{
	struct list *pos, *tmp;

	list_each(pos, tmp, &users->jobs) {
		struct users_job *job = container_of(pos, struct users_job, node);

		if (mem_same(job->pair, pair, SIPHASH_SIZE))
			return job;
	}
	return NULL;
}

static struct users_job *add_job(struct users *users, const struct pair *pair, size_t named,
				 uint64_t source)
{
	struct users_job *job = mem_zalloc(sizeof(*job));

	job->users = users;
	list_init(&job->waiters);
	memcpy(job->pair, pair->pair, sizeof(job->pair));
	job->named = named;
	job->in_vain = named == NOBODY || !users->accounts[named].hashed;
	job->account = job->in_vain ? users->decoy : named;
	job->name_key = users_key(pair->named);
	job->source_key = source;
	secret_set(&job->password, pair->password);
	list_append(&users->jobs, &job->node);
	return job;
}

/* -- the check ----------------------------------------------------------------------------- */

/* A pair that is not known to be right. True when *status answers. */
static bool check_pair(struct users *users, struct users_check *check, const struct pair *pair,
		       int *status)
{
	size_t named = find_name(users, pair->named);
	uint64_t source = source_key(users, check->peer);
	struct users_job *job;
	unsigned wait;

	job = find_job(users, pair->pair);
	if (job && users->n_waiting < USERS_WAITING) {
		wait_for(job, check);
		return false;
	}
	wait = job ? 1 : take(users, named, users_key(pair->named), source);
	if (wait) {
		*status = busy(users, check, LIMITED, wait);
		return true;
	}
	if (users->decoy == NOBODY ||
	    users_wrong_known(&users->wrongs, pair->pair, loop_now(users->loop))) {
		*status = mismatch(users, check, named);
		return true;
	}
	job = add_job(users, pair, named, source);
	if (users->n_waiting >= USERS_WAITING) {
		give_back(users, job);
		free_job(job);
		*status = busy(users, check, LIMITED, 1);
		return true;
	}
	wait_for(job, check);
	run_job(users);
	return false;
}

static const struct config_user *find_certificate(const struct users *users,
						  const struct users_check *check)
{
	size_t i, k;

	for (i = 0; i < users->n_accounts; i++)
		for (k = 0; k < check->n_peer_names; k++)
			if (users->accounts[i].user->certificate.n &&
			    str_eq(users->accounts[i].user->certificate, check->peer_names[k]))
				return users->accounts[i].user;
	return NULL;
}

bool users_check(struct users *users, struct users_check *check, int *status)
{
	const struct config_user *shown;
	struct str token = read_token(check->authorization);
	struct pair pair;
	bool answered = true;
	size_t found;

	check->user = NULL;
	check->retry_after = 0;
	if (!users->authenticate) {
		*status = 0;
		return true;
	}
	if (!check->authorization.p && (shown = find_certificate(users, check))) {
		*status = admit(users, check, shown);
		return true;
	}
	if (!token.p) {
		*status = refuse(users, check->authorization.p ? MALFORMED : MISSING, ERR_ACCESS);
		return true;
	}
	siphash(users->key, token.p, token.n, pair.pair);
	found = find_pair(users, pair.pair);
	if (found != NOBODY) {
		*status = admit(users, check,
				users->accounts[users->credentials[found].account].user);
		return true;
	}
	if (read_pair(users, token, &pair) == 0)
		answered = check_pair(users, check, &pair, status);
	else
		*status = refuse(users, MALFORMED, ERR_ACCESS);
	mem_wipe(&pair, sizeof(pair));
	return answered;
}
