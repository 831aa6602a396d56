/* core/http_task: one fetch on its way through links, repeats and redirects. Private to
 * core/http_client.
 *
 *        .----------- repeated once, or redirected -----------.
 *        v                                                    |
 *   WAIT --> RESOLVE --> CONNECT --> SEND --> HEADERS --> BODY --> done
 *        '------ an idle link ------^
 *
 * The phases are those of struct http_fetch's deadlines, and any of them may end it. HEADERS begins
 * when the request is sent; an answer that comes before that is taken, too, and then the link is
 * not used again. .over says that this attempt is decided and only the link's end is awaited. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_HTTP_TASK_H
#define OSBD_CORE_HTTP_TASK_H

#include "core/http_link.h"

#define HTTP_DROP_MAX (64 << 10) /* bytes of a redirect's body that are read to keep the link */

struct http_task {
	struct http_fetch *fetch;
	struct http_client *client;
	struct arena arena; /* of URLs */
	struct http_waiter waiter;
	struct http_origin *origin; /* while it waits */
	struct soon soon;
	struct timer timer;
	enum task_phase phase;
	uint64_t phase_ends, whole_ends; /* loop_now(), HTTP_NEVER */
	int status;                      /* what done gets */
	bool over;                       /* of this attempt; see above */
	bool again;                      /* another attempt follows */
	bool stopped;                    /* it has failed or was canceled */

	/* What is asked. */
	struct http_url url;
	struct str method;
	enum http_asked asked;
	bool idempotent;
	bool bodiless; /* a redirect has made it a GET */
	bool foreign;  /* a redirect has led to another origin: no credentials */

	/* Sending. */
	struct buf head; /* wiped: it holds credentials */
	char chunk_head[24];
	uint64_t produced;
	bool writing, head_sent, sent, broken, stalled;

	/* Receiving. */
	struct http_answer answer;
	struct http_answer_parser parser;
	struct buf body;
	struct str location; /* of a redirect that is followed */
	uint64_t dropped;
	bool paused;
};

/* Ends it with code and, unless err has a text already, this one. */
void task_fail(struct http_task *task, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Something moved: the deadline of silence counts anew. */
void task_progress(struct http_task *task);
/* The attempt is decided; keep: the link is fit for another request. */
void task_answered(struct http_task *task, bool keep);
/* Tries once more over a new link if it may; false when not. */
bool task_repeat(struct http_task *task);
/* The task holds a busy link and its attempt is not decided. */
bool task_live(const struct http_task *task);

/* In core/http_task_io. */
void task_send(struct http_task *task);
int task_check_headers(const struct http_fetch *fetch, struct err *err);

#endif
