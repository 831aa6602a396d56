/* The line moves in refill, which runs as a soon: once per turn, before the loop polls. It runs
 * again for as long as anything was taken in the turn before, so that `left` is always what this
 * turn has left; a loop in which nobody shakes hands is not kept awake. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_budget.h"

static void on_refill(struct soon *soon)
{
	struct tls_budget *budget = container_of(soon, struct tls_budget, refill);
	struct list *node;

	budget->left = budget->per_turn;
	while (budget->left && (node = list_shift(&budget->waiting))) {
		struct tls_share *share = container_of(node, struct tls_share, wait);

		budget->n_waiting--;
		budget->left--;
		share->run(share);
	}
	metric_set(&budget->waiting_gauge, (double)budget->n_waiting);
	if (budget->left < budget->per_turn)
		loop_soon(budget->loop, &budget->refill);
}

void tls_budget_init(struct tls_budget *budget, struct loop *loop, unsigned per_turn,
		     size_t max_open, struct metrics *metrics)
{
	static const char *const labels[TLS_RESULTS] = {
		[TLS_FULL] = "result=\"full\"",
		[TLS_RESUMED] = "result=\"resumed\"",
		[TLS_FAILED] = "result=\"failed\"",
	};
	int i;

	*budget = (struct tls_budget){ .loop = loop };
	budget->per_turn = budget->left = per_turn ? per_turn : TLS_PER_TURN;
	budget->max_open = max_open ? max_open : TLS_MAX_OPEN;
	budget->refill.run = on_refill;
	list_init(&budget->waiting);
	list_init(&budget->open);
	for (i = 0; i < TLS_RESULTS; i++) {
		budget->results[i] = (struct metric){ .kind = METRIC_COUNTER,
						      .name = "osbd_tls_handshakes_total",
						      .help = "TLS handshakes that ended.",
						      .labels = labels[i] };
		if (metrics)
			metrics_add(metrics, &budget->results[i]);
	}
	budget->waiting_gauge = (struct metric){
		.kind = METRIC_GAUGE,
		.name = "osbd_tls_handshakes_waiting",
		.help = "TLS handshakes in line for their share of the thread.",
	};
	budget->open_gauge = (struct metric){
		.kind = METRIC_GAUGE,
		.name = "osbd_tls_handshakes_open",
		.help = "TLS handshakes under way.",
	};
	if (metrics) {
		metrics_add(metrics, &budget->waiting_gauge);
		metrics_add(metrics, &budget->open_gauge);
	}
}

void tls_budget_finish(struct tls_budget *budget)
{
	int i;

	list_remove(&budget->refill.node);
	for (i = 0; i < TLS_RESULTS; i++)
		metrics_remove(&budget->results[i]);
	metrics_remove(&budget->waiting_gauge);
	metrics_remove(&budget->open_gauge);
}

bool tls_budget_take(struct tls_budget *budget, struct tls_share *share)
{
	if (budget->left) {
		budget->left--;
		loop_soon(budget->loop, &budget->refill);
		return true;
	}
	if (!list_linked(&share->wait)) {
		list_append(&budget->waiting, &share->wait);
		budget->n_waiting++;
		metric_set(&budget->waiting_gauge, (double)budget->n_waiting);
	}
	return false;
}

void tls_budget_open(struct tls_budget *budget, struct tls_share *share)
{
	if (budget->n_open == budget->max_open) {
		struct list *oldest = list_first(&budget->open);
		struct tls_share *victim = container_of(oldest, struct tls_share, open);

		tls_budget_close(budget, victim);
		victim->evict(victim);
	}
	list_append(&budget->open, &share->open);
	budget->n_open++;
	metric_set(&budget->open_gauge, (double)budget->n_open);
}

void tls_budget_close(struct tls_budget *budget, struct tls_share *share)
{
	if (list_linked(&share->wait)) {
		list_remove(&share->wait);
		budget->n_waiting--;
		metric_set(&budget->waiting_gauge, (double)budget->n_waiting);
	}
	if (list_linked(&share->open)) {
		list_remove(&share->open);
		budget->n_open--;
		metric_set(&budget->open_gauge, (double)budget->n_open);
	}
}

void tls_budget_count(struct tls_budget *budget, enum tls_result result)
{
	metric_inc(&budget->results[result], 1);
}
