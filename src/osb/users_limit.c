/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/users_limit.h"

#include <string.h>

#define REFILL SEC(1) /* for one failure */

uint64_t users_key(const unsigned char digest[SIPHASH_SIZE])
{
	uint64_t key;

	memcpy(&key, digest, sizeof(key));
	return key;
}

struct users_bucket *users_bucket(struct users_buckets *buckets, uint64_t key, uint64_t now)
{
	struct users_bucket *row, *oldest;
	size_t i;

	row = &buckets->slot[key % (USERS_BUCKETS / USERS_WAYS) * USERS_WAYS];
	oldest = row;
	for (i = 0; i < USERS_WAYS; i++) {
		if (row[i].key == key)
			return &row[i];
		if (row[i].full_at < oldest->full_at)
			oldest = &row[i];
	}
	*oldest = (struct users_bucket){ .key = key, .full_at = now };
	return oldest;
}

unsigned users_bucket_wait(const struct users_bucket *bucket, uint64_t now)
{
	uint64_t full_at = bucket->full_at > now ? bucket->full_at : now;
	uint64_t then = full_at + REFILL - now;

	return then <= USERS_BURST * REFILL
		       ? 0
		       : (unsigned)((then - USERS_BURST * REFILL + SEC(1) - 1) / SEC(1));
}

void users_bucket_take(struct users_bucket *bucket, uint64_t now)
{
	bucket->full_at = (bucket->full_at > now ? bucket->full_at : now) + REFILL;
}

void users_bucket_give(struct users_bucket *bucket)
{
	bucket->full_at -= bucket->full_at < REFILL ? bucket->full_at : REFILL;
}

static size_t wrong_row(const unsigned char *pair)
{
	return users_key(pair) % (USERS_WRONGS / USERS_WAYS) * USERS_WAYS;
}

bool users_wrong_known(const struct users_wrongs *wrongs, const unsigned char pair[SIPHASH_SIZE],
		       uint64_t now)
{
	const struct users_wrong *row = &wrongs->slot[wrong_row(pair)];
	size_t i;

	for (i = 0; i < USERS_WAYS; i++)
		if (row[i].until > now && mem_same(row[i].pair, pair, SIPHASH_SIZE))
			return true;
	return false;
}

void users_wrong_add(struct users_wrongs *wrongs, const unsigned char pair[SIPHASH_SIZE],
		     uint64_t now)
{
	struct users_wrong *row = &wrongs->slot[wrong_row(pair)], *oldest = row;
	size_t i;

	for (i = 0; i < USERS_WAYS; i++)
		if (row[i].until < oldest->until)
			oldest = &row[i];
	memcpy(oldest->pair, pair, SIPHASH_SIZE);
	oldest->until = now + USERS_WRONG_MS;
}
