/* osb/broker: the Open Service Broker API, version 2.17, whole.
 *
 * Gives each request of the HTTP server to its chapter. Everything it works with is opened by its
 * caller (main, or a test) and outlives it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_OSB_BROKER_H
#define OSBD_OSB_BROKER_H

#include "osb/exchange.h"

struct broker_options {
	struct loop *loop;
	const struct log *log;
	struct metrics *metrics;
	struct generation *gen; /* opened, with users; the broker takes a reference */
	struct store *store;
	struct child_host *children; /* killed when the lease is lost */
};

struct broker *broker_create(const struct broker_options *options);
/* Takes up what a predecessor left, and begins to keep time. */
void broker_start(struct broker *broker);
/* Requests and operations that begin from now on have the new generation. */
void broker_reload(struct broker *broker, struct generation *gen);
/* An http_handler; data: the broker. */
void broker_handle(struct http_request *req, void *data);
/* Ends all operations here, as journal_drain() does; no request is in flight any more when
 * drained runs, provided that the HTTP server has drained before. */
void broker_drain(struct broker *broker, uint64_t ms, void (*drained)(void *data), void *data);
/* As journal_hurry(). */
void broker_hurry(struct broker *broker);
void broker_destroy(struct broker *broker); /* drained before */

#endif
