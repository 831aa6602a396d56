/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/state.h"

#include <stdio.h>

static double read_running(void *data)
{
	return journal_running(data);
}

void journal_add_metrics(struct journal *journal)
{
	static const char *const results[] = { "succeeded", "failed" };
	struct metrics *metrics = journal->options.metrics;
	int verb, failed;

	journal->running_gauge = (struct metric){ .kind = METRIC_GAUGE,
						  .name = "osbd_operations_running",
						  .help = "Operations that have a slot.",
						  .read = read_running,
						  .data = journal };
	journal->resumed = (struct metric){ .kind = METRIC_COUNTER,
					    .name = "osbd_operations_resumed_total",
					    .help = "Operations taken up again after a restart." };
	journal->store_pauses =
		(struct metric){ .kind = METRIC_COUNTER,
				 .name = "osbd_store_pauses_total",
				 .help = "Times an operation had to wait for the store." };
	if (!metrics)
		return;
	metrics_add(metrics, &journal->running_gauge);
	metrics_add(metrics, &journal->resumed);
	metrics_add(metrics, &journal->store_pauses);
	for (verb = 0; verb < STORE_VERBS; verb++)
		for (failed = 0; failed < 2; failed++) {
			char *labels = journal->ended_labels[verb][failed];
			struct metric *metric = &journal->ended[verb][failed];

			snprintf(labels, sizeof(journal->ended_labels[0][0]),
				 "verb=\"%s\",result=\"%s\"", store_verb_name(verb),
				 results[failed]);
			*metric = (struct metric){ .kind = METRIC_COUNTER,
						   .name = "osbd_operations_total",
						   .help = "Operations that ended.",
						   .labels = labels };
			metrics_add(metrics, metric);
		}
}

void journal_remove_metrics(struct journal *journal)
{
	int verb, failed;

	if (!journal->options.metrics)
		return;
	metrics_remove(&journal->running_gauge);
	metrics_remove(&journal->resumed);
	metrics_remove(&journal->store_pauses);
	for (verb = 0; verb < STORE_VERBS; verb++)
		for (failed = 0; failed < 2; failed++)
			metrics_remove(&journal->ended[verb][failed]);
}
