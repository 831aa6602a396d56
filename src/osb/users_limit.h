/* osb/users_limit: what is remembered about failed log-ins, in a fixed amount of memory.
 *
 * A bucket holds USERS_BURST failures and gets one back every second. There is one per source
 * address and one per user name that is tried; the keys are digests under a key of the process,
 * so nobody can aim at the place of somebody else. When a table's row is full, the bucket that
 * is nearest to full goes: it says the least.
 *
 * Pairs known to be wrong are remembered for USERS_WRONG_MS, so that a client that insists on
 * one costs no slow hash. Times are loop_now(). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_USERS_LIMIT_H
#define OSBD_OSB_USERS_LIMIT_H

#include "core/loop.h"
#include "core/siphash.h"

#define USERS_BURST 10
#define USERS_WRONG_MS SEC(60)
#define USERS_WAYS 4
#define USERS_BUCKETS (128 * USERS_WAYS)
#define USERS_WRONGS (256 * USERS_WAYS)

struct users_bucket {
	uint64_t key;
	uint64_t full_at; /* ms: by then all failures are forgotten */
};

struct users_buckets {
	struct users_bucket slot[USERS_BUCKETS];
};

struct users_wrong {
	unsigned char pair[SIPHASH_SIZE];
	uint64_t until; /* 0: free */
};

struct users_wrongs {
	struct users_wrong slot[USERS_WRONGS];
};

/* The first bytes of a digest, as a key. */
uint64_t users_key(const unsigned char digest[SIPHASH_SIZE]);

/* Never NULL: a key without a bucket gets a full one. Good until the next look-up. */
struct users_bucket *users_bucket(struct users_buckets *buckets, uint64_t key, uint64_t now);
/* Whole seconds until one more failure is allowed; 0: it is now. */
unsigned users_bucket_wait(const struct users_bucket *bucket, uint64_t now);
void users_bucket_take(struct users_bucket *bucket, uint64_t now);
void users_bucket_give(struct users_bucket *bucket);

bool users_wrong_known(const struct users_wrongs *wrongs, const unsigned char pair[SIPHASH_SIZE],
		       uint64_t now);
void users_wrong_add(struct users_wrongs *wrongs, const unsigned char pair[SIPHASH_SIZE],
		     uint64_t now);

#endif
