/* SPDX-License-Identifier: Apache-2.0 */
#include "core/siphash.h"

#include <stdint.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static uint64_t load(const unsigned char *p)
{
	uint64_t v = 0;
	int i;

	for (i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static void store(unsigned char *p, uint64_t v)
{
	int i;

	for (i = 0; i < 8; i++, v >>= 8)
		p[i] = (unsigned char)v;
}

static uint64_t rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

static void mix(struct state *s, unsigned rounds)
{
	while (rounds--) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s, 2);
	s->v0 ^= word;
}

void siphash(const unsigned char key[SIPHASH_SIZE], const void *p, size_t n,
	     unsigned char out[SIPHASH_SIZE])
{
	uint64_t k0 = load(key), k1 = load(key + 8), last = (uint64_t)n << 56;
	struct state s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
			   k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	const unsigned char *in = p;
	size_t i;

	for (; n >= 8; n -= 8, in += 8)
		absorb(&s, load(in));
	for (i = 0; i < n; i++)
		last |= (uint64_t)in[i] << (8 * i);
	absorb(&s, last);
	s.v2 ^= 0xee;
	mix(&s, 4);
	store(out, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
	s.v1 ^= 0xdd;
	mix(&s, 4);
	store(out + 8, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}
