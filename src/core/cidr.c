/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cidr.h"

#include <arpa/inet.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_v4(const unsigned char bytes[16])
{
	return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

/* *v6: it was written as IPv6. */
static bool to_bytes(struct str text, unsigned char bytes[16], bool *v6)
{
	char copy[INET6_ADDRSTRLEN];

	if (!text.n || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	memcpy(bytes, mapped, sizeof(mapped));
	*v6 = inet_pton(AF_INET, copy, bytes + sizeof(mapped)) != 1;
	return !*v6 || inet_pton(AF_INET6, copy, bytes) == 1;
}

static bool same_head(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, left = bits % 8;

	return memcmp(a, b, whole) == 0 &&
	       (left == 0 || ((a[whole] ^ b[whole]) & (0xff00u >> left) & 0xff) == 0);
}

int cidr_parse(struct str text, struct cidr *out, const char **why)
{
	static const unsigned char zeroes[16];
	struct str length, address;
	unsigned char cut[16];
	uint64_t bits = 128;
	bool v6;

	memset(out, 0, sizeof(*out));
	if (str_is(text, "unix")) {
		out->local = true;
		return 0;
	}
	*why = "a numeric address or network, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32, or "
	       "unix";
	address = str_cut(text, '/', &length);
	if (!to_bytes(address, out->bytes, &v6))
		return ERR_SYNTAX;
	if (length.p) {
		if (!str_to_u64(length, &bits) || bits > (v6 ? 128 : 32) || length.n > 3)
			return ERR_SYNTAX;
		bits += v6 ? 0 : 96;
	}
	out->bits = (unsigned)bits;
	*why = "a network without bits behind its length, such as 10.0.0.0/8";
	memcpy(cut, zeroes, sizeof(cut));
	memcpy(cut, out->bytes, (bits + 7) / 8);
	if (bits % 8)
		cut[bits / 8] &= (unsigned char)(0xff00u >> (bits % 8));
	return memcmp(cut, out->bytes, sizeof(cut)) == 0 ? 0 : ERR_SYNTAX;
}

bool cidr_set_has(const struct cidr_set *set, struct str peer)
{
	bool local = str_is(peer, "unix"), v6;
	unsigned char bytes[16] = { 0 };
	size_t i;

	if (!set->n || (!local && !to_bytes(peer, bytes, &v6)))
		return false;
	for (i = 0; i < set->n; i++) {
		const struct cidr *item = &set->items[i];

		if (local || item->local) {
			if (local && item->local)
				return true;
		} else if (is_v4(item->bytes) == is_v4(bytes) &&
			   same_head(item->bytes, bytes, item->bits)) {
			return true;
		}
	}
	return false;
}

bool cidr_address(struct str text, char out[INET6_ADDRSTRLEN])
{
	unsigned char bytes[16];
	bool v6;

	if (!to_bytes(text, bytes, &v6))
		return false;
	if (is_v4(bytes))
		inet_ntop(AF_INET, bytes + sizeof(mapped), out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, bytes, out, INET6_ADDRSTRLEN);
	return true;
}
