/* Raw requests and what must come of them, for the parser alone and for the whole server. Each
 * row stands for itself on a fresh connection; limits are those of http_rows_limits. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_HTTP_ROWS_H
#define TEST_HTTP_ROWS_H

#include "core/http.h"
#include "core/mem.h"

struct http_row {
	struct str raw;
	int status; /* 200: the handler must get it; else it must not */
	bool keeps; /* the connection is open for another request */
	bool cut;   /* the request is incomplete: needs a FIN to be answered */
};

static const struct http_limits http_rows_limits = {
	.target = 64,
	.headers = 512,
	.n_headers = 8,
	.body = 32,
};

#define H "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" H
#define PUT "PUT /v2/x?y=1 HTTP/1.1\r\n" H
#define X8 "xxxxxxxx"
#define X64 X8 X8 X8 X8 X8 X8 X8 X8
#define X512 X64 X64 X64 X64 X64 X64 X64 X64

#define OK(text)                                             \
	{                                                    \
		{ text, sizeof(text) - 1 }, 200, true, false \
	}
#define OK_CLOSES(text)                                       \
	{                                                     \
		{ text, sizeof(text) - 1 }, 200, false, false \
	}
#define REFUSED(code, text)                                    \
	{                                                      \
		{ text, sizeof(text) - 1 }, code, false, false \
	}
#define INCOMPLETE(text)                                     \
	{                                                    \
		{ text, sizeof(text) - 1 }, 400, false, true \
	}

static const struct http_row http_rows[] = {
	/* plain */
	OK(GET "\r\n"),
	OK("HEAD / HTTP/1.1\r\n" H "\r\n"),
	OK("\r\n\r\n" GET "\r\n"),
	OK("OPTIONS * HTTP/1.1\r\n" H "\r\n"),
	OK("M-SEARCH / HTTP/1.1\r\n" H "\r\n"),
	OK("GET /a/../b/%2e%2E?x=%00&y=/?@ HTTP/1.1\r\n" H "\r\n"),
	OK("GET /a;b=1,2:3@~!$&'()*+._- HTTP/1.1\r\n" H "\r\n"),
	OK("GET //a///b// HTTP/1.1\r\n" H "\r\n"),
	OK(GET "X-Empty:\r\nX-Tab:\ta b\t \r\nX-High: \xc3\xa9\xff\r\n\r\n"),
	OK(GET "A:1\r\nB:2\r\nC:3\r\nD:4\r\nE:5\r\nF:6\r\nG:7\r\n\r\n"),
	/* who goes on */
	OK_CLOSES(GET "Connection: close\r\n\r\n"),
	OK_CLOSES(GET "Connection: foo, CLOSE\r\n\r\n"),
	OK(GET "Connection: keep-alive\r\n\r\n"),
	OK_CLOSES("GET / HTTP/1.0\r\n\r\n"),
	OK_CLOSES("GET / HTTP/1.0\r\n" H "\r\n"),
	OK("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
	OK_CLOSES("GET / HTTP/1.0\r\nConnection: close\r\n\r\n"),
	/* bodies */
	OK(PUT "Content-Length: 0\r\n\r\n"),
	OK(PUT "Content-Length: 5\r\n\r\nhello"),
	OK(PUT "content-LENGTH:  00005 \r\n\r\nhello"),
	OK(PUT "Content-Length: 32\r\n\r\n" X8 X8 X8 X8),
	OK(PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
	OK(PUT "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
	OK(PUT "Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n00A\r\n0123456789\r\n0\r\n\r\n"),
	OK(PUT "Transfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nhe\r\n0;x\r\n\r\n"),
	OK(PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n"),
	OK(PUT "Transfer-Encoding: chunked\r\n\r\n20\r\n" X8 X8 X8 X8 "\r\n0\r\n\r\n"),
	OK(GET "Content-Length: 2\r\n\r\nhi"),
	OK_CLOSES("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"),
	/* targets */
	OK("GET http://other:80/v2?a HTTP/1.1\r\n" H "\r\n"),
	OK("GET https://[::1]:80 HTTP/1.1\r\n" H "\r\n"),
	OK("GET http://h?q HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET * HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET v2/catalog HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET ftp://h/ HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET http:///v2 HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET http://u:p@h/ HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /#x HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a%2 HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a%zz HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /?%4 HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /<a> HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /?a|b HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a\\b HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a\tb HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a\0b HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a\x7f HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET /a b HTTP/1.1\r\n" H "\r\n"),
	/* request lines */
	REFUSED(501, "BREW / HTTP/1.1\r\n" H "\r\n"),
	REFUSED(501, "GETX / HTTP/1.1\r\n" H "\r\n"),
	REFUSED(501, "CONNECT a:1 HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "get / HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, " GET / HTTP/1.1\r\n" H "\r\n"),
	REFUSED(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	REFUSED(400, "GET / HTTP/1.1 \r\n" H "\r\n"),
	REFUSED(400, "GET / http/1.1\r\n" H "\r\n"),
	REFUSED(400, "GET / HTTP/1.x\r\n" H "\r\n"),
	REFUSED(400, "GET / HTTP/11\r\n" H "\r\n"),
	REFUSED(400, "GET  / HTTP/1.1\r\n" H "\r\n"),
	REFUSED(505, "GET /\r\n" H "\r\n"),
	REFUSED(505, "GET / HTTP/2.0\r\n" H "\r\n"),
	REFUSED(505, "GET / HTTP/0.9\r\n" H "\r\n"),
	REFUSED(505, "GET / HTTP/1.2\r\n" H "\r\n"),
	REFUSED(505, "GET / RTSP/1.0\r\n" H "\r\n"),
	REFUSED(505, "DESCRIBE / RTSP/1.0\r\n" H "\r\n"),
	REFUSED(505, "SOURCE / ICE/1.0\r\n" H "\r\n"),
	REFUSED(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	/* ends of lines */
	REFUSED(400, "GET / HTTP/1.1\nHost: a\n\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
	REFUSED(400, GET "\n"),
	REFUSED(400, GET "\rX"),
	REFUSED(400, "\n" GET "\r\n"),
	REFUSED(400, "\r" GET "\r\n"),
	REFUSED(400, "\r\n\n" GET "\r\n"),
	REFUSED(400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
	REFUSED(400, GET "X: a\rb\r\n\r\n"),
	REFUSED(400, GET "X: a\nY: b\r\n\r\n"),
	REFUSED(400, GET "X: a\r\r\n\r\n"),
	/* headers */
	REFUSED(400, GET "X: a\0b\r\n\r\n"),
	REFUSED(400, GET "X: a\x01\r\n\r\n"),
	REFUSED(400, GET "X: a\x7f\r\n\r\n"),
	REFUSED(400, GET "X: a\r\n folded\r\n\r\n"),
	REFUSED(400, GET "X: a\r\n\tfolded\r\n\r\n"),
	REFUSED(400, GET "X:\r\n folded\r\n\r\n"),
	REFUSED(400, GET " X: first\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\n " H "\r\n"),
	REFUSED(400, GET "X : a\r\n\r\n"),
	REFUSED(400, GET "X\t: a\r\n\r\n"),
	REFUSED(400, GET "X Y: a\r\n\r\n"),
	REFUSED(400, GET "X\0: a\r\n\r\n"),
	REFUSED(400, GET "X(: a\r\n\r\n"),
	REFUSED(400, GET ": a\r\n\r\n"),
	REFUSED(400, GET "X\r\n\r\n"),
	REFUSED(400, GET "\xc3\xa9: a\r\n\r\n"),
	/* hosts */
	REFUSED(400, "GET / HTTP/1.1\r\n\r\n"),
	REFUSED(400, GET H "\r\n"),
	REFUSED(400, GET "host: b\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.0\r\n" H H "\r\n"),
	OK("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
	OK("GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n"),
	OK("GET / HTTP/1.1\r\nHost: a-b.c_d%20:\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: a%g0\r\n\r\n"),
	REFUSED(400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"),
	/* lengths */
	REFUSED(400, PUT "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
	REFUSED(400, PUT "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: 5, 5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: +5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: -5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: 0x5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: 5 5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: 5.0\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length:\r\n\r\n"),
	REFUSED(400, PUT "Content-Length: \r\n\r\n"),
	REFUSED(400, PUT "Content-Length:\r\n 5\r\n\r\nhello"),
	REFUSED(400, PUT "Content-Length: 18446744073709551616\r\n\r\n"),
	REFUSED(400, PUT "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello"),
	REFUSED(400, PUT "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
	REFUSED(400, PUT "Transfer-Encoding:\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: gzip\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: identity\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
	REFUSED(400,
		PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	REFUSED(400, "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	/* chunks */
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\r\n\r\n"),
	REFUSED(400, PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nX : a\r\n\r\n"),
	/* limits */
	OK("GET /" X8 X8 X8 X8 X8 X8 X8 "1234567 HTTP/1.1\r\n" H "\r\n"),
	REFUSED(414, "GET /" X64 " HTTP/1.1\r\n" H "\r\n"),
	REFUSED(414, "GET /" X512),
	REFUSED(431, GET "X: " X512 "\r\n\r\n"),
	REFUSED(431, GET "X: " X512),
	REFUSED(431, GET X512 ": x\r\n\r\n"),
	REFUSED(431, GET "A:1\r\nB:2\r\nC:3\r\nD:4\r\nE:5\r\nF:6\r\nG:7\r\nH:8\r\n\r\n"),
	REFUSED(413, PUT "Content-Length: 33\r\n\r\n"),
	REFUSED(413, PUT "Content-Length: 18446744073709551615\r\n\r\n"),
	REFUSED(413, PUT "Content-Length: 33\r\nExpect: 100-continue\r\n\r\n"),
	REFUSED(413, PUT "Transfer-Encoding: chunked\r\n\r\n21\r\n" X8 X8 X8 X8 "x"),
	REFUSED(413, PUT "Transfer-Encoding: chunked\r\n\r\n20\r\n" X8 X8 X8 X8 "\r\n1\r\nx"),
	REFUSED(431, PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " X512 "\r\n\r\n"),
	REFUSED(431,
		PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nA:1\r\nB:2\r\nC:3\r\nD:4\r\nE:5\r\n"
		    "F:6\r\nG:7\r\nH:8\r\nI:9\r\n\r\n"),
	/* expectations and upgrades */
	OK(PUT "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi"),
	OK(PUT "Expect: 100-continue\r\n\r\n"),
	REFUSED(417, PUT "Expect: 200-ok\r\nContent-Length: 2\r\n\r\nhi"),
	REFUSED(417, PUT "Expect: 100-continue, x\r\n\r\n"),
	OK_CLOSES("PUT / HTTP/1.0\r\nExpect: y\r\nContent-Length: 2\r\n\r\nhi"),
	OK(GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
	OK(PUT "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi"),
	/* ends in the middle */
	INCOMPLETE("G"),
	INCOMPLETE("GET / HTTP/1.1\r\nHost: a"),
	INCOMPLETE(GET),
	INCOMPLETE(PUT "Content-Length: 5\r\n\r\n"),
	INCOMPLETE(PUT "Content-Length: 5\r\n\r\nhell"),
	INCOMPLETE(PUT "Transfer-Encoding: chunked\r\n\r\n"),
	INCOMPLETE(PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
	INCOMPLETE(PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
	INCOMPLETE(PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n"),
};

#undef OK
#undef OK_CLOSES
#undef REFUSED
#undef INCOMPLETE

#endif
