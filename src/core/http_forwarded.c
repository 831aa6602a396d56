/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_forwarded.h"

/* The last of the entries that commas divide; *rest keeps those before it, {NULL, 0} when there is
 * none. */
static struct str cut_last(struct str list, struct str *rest)
{
	const char *comma = list.n ? memrchr(list.p, ',', list.n) : NULL;
	size_t before = comma ? (size_t)(comma - list.p) : 0;

	*rest = comma ? str_make(list.p, before) : str_make(NULL, 0);
	return str_trim(comma ? str_make(comma + 1, list.n - before - 1) : list);
}

/* "192.0.2.7", "192.0.2.7:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711" */
static bool entry_address(struct str entry, char out[INET6_ADDRSTRLEN])
{
	struct str host = entry, port = { NULL, 0 };
	uint64_t number;

	if (entry.n && entry.p[0] == '[') {
		host = str_cut(str_make(entry.p + 1, entry.n - 1), ']', &port);
		if (!port.p || (port.n && port.p[0] != ':'))
			return false;
		port = port.n ? str_make(port.p + 1, port.n - 1) : str_make(NULL, 0);
	} else if (memchr(entry.p, '.', entry.n) && !memchr(entry.p, '[', entry.n)) {
		/* one colon only: ::ffff:192.0.2.7 has more */
		const char *colon = memchr(entry.p, ':', entry.n);

		if (colon && colon == memrchr(entry.p, ':', entry.n))
			host = str_cut(entry, ':', &port);
	}
	if (port.p && (!str_to_u64(port, &number) || number > 65535))
		return false;
	return cidr_address(host, out);
}

bool http_forwarded_for(const struct http_request *req, const struct cidr_set *trusted,
			struct str peer, char out[INET6_ADDRSTRLEN])
{
	char address[INET6_ADDRSTRLEN];
	bool found = false;
	size_t i;

	if (!cidr_set_has(trusted, peer))
		return false;
	for (i = req->n_headers; i-- > 0;) {
		struct str left = req->headers[i].value;

		if (!str_is(req->headers[i].name, "x-forwarded-for"))
			continue;
		while (left.p) {
			struct str entry = cut_last(left, &left);

			if (!entry.n)
				continue;
			if (!entry_address(entry, address))
				return found;
			memcpy(out, address, sizeof(address));
			found = true;
			if (!cidr_set_has(trusted, str_of(address)))
				return true;
		}
	}
	return found;
}

struct str http_forwarded_proto(const struct http_request *req)
{
	size_t i;

	for (i = req->n_headers; i-- > 0;) {
		struct str ignored, last;

		if (!str_is(req->headers[i].name, "x-forwarded-proto"))
			continue;
		last = cut_last(req->headers[i].value, &ignored);
		if (str_ieq(last, STR("https")))
			return STR("https");
		if (str_ieq(last, STR("http")))
			return STR("http");
		break;
	}
	return str_make(NULL, 0);
}
