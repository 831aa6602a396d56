/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers by their decimal text: exact, so that 99.95 and 2^64 are what they say. */
#include "core/json.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ±0.d1d2d3… × 10^exp, d1 and the last digit not 0; no digits at all for zero. The digits
 * stand in the text, with at most one point among them. */
struct decimal {
	bool negative;
	const char *first, *end; /* of the digits and the point */
	int64_t exp;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* Splits text; false when it is no JSON number or past the limits. */
static bool split(struct str text, struct decimal *d)
{
	const char *p = text.p, *end = p + text.n, *whole, *point, *tail;
	int64_t exp = 0;

	if (text.n == 0 || text.n > JSON_NUMBER_MAX)
		return false;
	d->negative = *p == '-';
	whole = p += d->negative;
	point = p = digits(p, end);
	if (point == whole || (*whole == '0' && point > whole + 1))
		return false;
	if (p < end && *p == '.') {
		p = digits(point + 1, end);
		if (p == point + 1)
			return false;
	}
	tail = p;
	if (p < end && (*p == 'e' || *p == 'E')) {
		bool down = ++p < end && *p == '-';

		if (p < end && (*p == '-' || *p == '+'))
			p++;
		if (p == end)
			return false;
		for (; p < end && is_digit(*p); p++) {
			exp = exp * 10 + (*p - '0');
			if (exp > JSON_EXP_MAX)
				return false;
		}
		exp = down ? -exp : exp;
		if (!is_digit(p[-1]))
			return false;
	}
	if (p != end)
		return false;

	d->exp = exp + (point - whole);
	for (p = whole; p < tail && (*p == '0' || *p == '.'); p++)
		d->exp -= *p == '0';
	while (tail > p && (tail[-1] == '0' || tail[-1] == '.'))
		tail--;
	d->first = p;
	d->end = tail;
	if (p == tail) {
		d->negative = false;
		d->exp = 0;
	}
	return true;
}

/* The next digit at *p, 0 behind the last one. */
static char next_digit(const char **p, const char *end)
{
	if (*p < end && **p == '.')
		++*p;
	return *p < end ? *(*p)++ : '0';
}

/* The number of digits. */
static int64_t count(const struct decimal *d)
{
	return d->end - d->first - (memchr(d->first, '.', (size_t)(d->end - d->first)) != NULL);
}

bool json_number_ok(struct str text)
{
	struct decimal d;

	return split(text, &d);
}

int json_number_cmp(struct str a, struct str b)
{
	struct decimal x, y;
	const char *p, *q;
	int sign;

	if (!split(a, &x) || !split(b, &y))
		return str_cmp(a, b);
	if (x.first == x.end || y.first == y.end) {
		int xs = x.first == x.end ? 0 : x.negative ? -1 : 1;
		int ys = y.first == y.end ? 0 : y.negative ? -1 : 1;

		return xs - ys;
	}
	if (x.negative != y.negative)
		return x.negative ? -1 : 1;
	sign = x.negative ? -1 : 1;
	if (x.exp != y.exp)
		return x.exp < y.exp ? -sign : sign;
	for (p = x.first, q = y.first; p < x.end || q < y.end;) {
		char c = next_digit(&p, x.end), d = next_digit(&q, y.end);

		if (c != d)
			return c < d ? -sign : sign;
	}
	return 0;
}

uint64_t json_number_hash(struct str text)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
	struct decimal d;
	const char *p;

	if (!split(text, &d))
		return 0;
	hash += (uint64_t)d.exp * 2 + d.negative;
	for (p = d.first; p < d.end;)
		hash = (hash ^ (unsigned char)next_digit(&p, d.end)) * 0x100000001b3u;
	return hash;
}

bool json_number_is_integer(struct str text)
{
	struct decimal d;

	return split(text, &d) && d.exp >= count(&d);
}

/* The digits as an integer, for at most 18 of them. */
static uint64_t digits_value(const struct decimal *d)
{
	const char *p = d->first;
	uint64_t value = 0;

	while (p < d->end)
		value = value * 10 + (uint64_t)(next_digit(&p, d->end) - '0');
	return value;
}

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t m)
{
	__extension__ unsigned __int128 product = a;

	return (uint64_t)(product * b % m);
}

bool json_number_divides(struct str of)
{
	struct decimal d;

	return split(of, &d) && !d.negative && d.first != d.end && count(&d) <= 18;
}

bool json_number_multiple_of(struct str text, struct str of)
{
	struct decimal x, y;
	uint64_t m, rest = 0, power = 10;
	const char *p;
	int64_t shift;

	if (!split(text, &x) || !json_number_divides(of) || !split(of, &y))
		return false;
	if (x.first == x.end)
		return true;
	/* x = X × 10^a and y = Y × 10^b; X ends in a digit other than 0, so that with a < b the
	 * division leaves a fraction. Else X × 10^(a-b) must be 0 modulo Y. */
	shift = (x.exp - count(&x)) - (y.exp - count(&y));
	if (shift < 0)
		return false;
	m = digits_value(&y);
	assert(m != 0); /* json_number_divides() */
	for (p = x.first; p < x.end;)
		rest = (mul_mod(rest, 10, m) + (uint64_t)(next_digit(&p, x.end) - '0')) % m;
	for (power %= m; shift; shift >>= 1) {
		if (shift & 1)
			rest = mul_mod(rest, power, m);
		power = mul_mod(power, power, m);
	}
	return rest == 0;
}

bool json_to_int(const struct json *v, int64_t *out)
{
	struct str text = json_num_text(v);
	bool negative = text.n && text.p[0] == '-';
	uint64_t magnitude;

	if (!text.p || !str_to_u64(str_make(text.p + negative, text.n - negative), &magnitude))
		return false;
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return false;
	*out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return true;
}

bool json_to_double(const struct json *v, double *out)
{
	struct str text = json_num_text(v);
	double value;

	if (!text.p)
		return false;
	errno = 0;
	value = strtod(text.p, NULL); /* there is a NUL behind every number's text */
	if (errno == ERANGE && (value > 1 || value < -1))
		return false;
	*out = value;
	return true;
}
