/* core/metric: counters, gauges and histograms that any module registers, as Prometheus text.
 *
 * A metric is embedded where it is counted and registered once; the registry borrows it. A
 * label set is fixed at registration: one struct per combination, sharing name and help.
 * metric_render() writes text format 0.0.4, families in the order of first registration.
 * Values are doubles; counters only grow. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_METRIC_H
#define OSBD_CORE_METRIC_H

#include "core/buf.h"
#include "core/list.h"

#include <stdint.h>

#define METRIC_BUCKETS_MAX 16

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics {
	struct list all; /* struct metric.node */
};

struct metric {
	struct list node;
	enum metric_kind kind;
	const char *name;     /* static; osbd_ in front, unit and _total behind, as is custom */
	const char *help;     /* static; one line */
	const char *labels;   /* borrowed: `verb="bind",result="ok"`, already escaped; NULL: none */
	double value;         /* counter, gauge; a histogram's sum */
	const double *bounds; /* histogram: upper bounds, ascending, without +Inf */
	size_t n_bounds;      /* at most METRIC_BUCKETS_MAX */
	uint64_t bucket[METRIC_BUCKETS_MAX + 1];
	uint64_t count;
	double (*read)(void *data); /* when set, asked at each rendering */
	void *data;
};

void metrics_init(struct metrics *metrics);
void metrics_add(struct metrics *metrics, struct metric *metric);
void metrics_remove(struct metric *metric); /* zeroes are fine */
void metric_inc(struct metric *metric, double by);
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double value);
void metric_render(const struct metrics *metrics, struct buf *out);
/* Appends a label value escaped for the text format, without the quotes. */
void metric_escape(struct buf *out, struct str value);

#endif
