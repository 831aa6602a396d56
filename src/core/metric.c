/* SPDX-License-Identifier: Apache-2.0 */
#include "core/metric.h"

#include <math.h>
#include <stdio.h>

void metrics_init(struct metrics *metrics)
{
	list_init(&metrics->all);
}

void metrics_add(struct metrics *metrics, struct metric *metric)
{
	struct list *pos, *tmp, *after = metrics->all.prev;

	list_each(pos, tmp, &metrics->all)
		if (strcmp(container_of(pos, struct metric, node)->name, metric->name) == 0)
			after = pos; /* a family stays together */
	list_prepend(after, &metric->node);
}

void metrics_remove(struct metric *metric)
{
	list_remove(&metric->node);
}

void metric_inc(struct metric *metric, double by)
{
	metric->value += by;
}

void metric_set(struct metric *metric, double value)
{
	metric->value = value;
}

void metric_observe(struct metric *metric, double value)
{
	size_t i = 0;

	while (i < metric->n_bounds && value > metric->bounds[i])
		i++;
	metric->bucket[i]++;
	metric->count++;
	metric->value += value;
}

static void put_number(struct buf *out, double v)
{
	if (v == floor(v) && fabs(v) < 1e15)
		buf_printf(out, "%.0f", v);
	else
		buf_printf(out, "%.9g", v);
}

static void put_sample(struct buf *out, const struct metric *m, const char *suffix, const char *le,
		       double value)
{
	buf_printf(out, "%s%s", m->name, suffix);
	if (m->labels || le)
		buf_printf(out, "{%s%s%s%s%s}", m->labels ? m->labels : "",
			   m->labels && le ? "," : "", le ? "le=\"" : "", le ? le : "",
			   le ? "\"" : "");
	buf_putc(out, ' ');
	put_number(out, value);
	buf_putc(out, '\n');
}

static void put_histogram(struct buf *out, const struct metric *m)
{
	uint64_t sum = 0;
	char le[32];
	size_t i;

	for (i = 0; i < m->n_bounds; i++) {
		sum += m->bucket[i];
		snprintf(le, sizeof(le), "%g", m->bounds[i]);
		put_sample(out, m, "_bucket", le, (double)sum);
	}
	put_sample(out, m, "_bucket", "+Inf", (double)m->count);
	put_sample(out, m, "_sum", NULL, m->value);
	put_sample(out, m, "_count", NULL, (double)m->count);
}

void metric_render(const struct metrics *metrics, struct buf *out)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	const char *family = "";
	struct list *pos, *tmp;

	list_each(pos, tmp, &metrics->all) {
		const struct metric *m = container_of(pos, struct metric, node);

		if (strcmp(family, m->name) != 0) {
			family = m->name;
			buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
				   kinds[m->kind]);
		}
		if (m->kind == METRIC_HISTOGRAM)
			put_histogram(out, m);
		else
			put_sample(out, m, "", NULL, m->read ? m->read(m->data) : m->value);
	}
}

void metric_escape(struct buf *out, struct str value)
{
	size_t i;

	for (i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '\n')
			buf_puts(out, "\\n");
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else
			buf_putc(out, c);
	}
}
