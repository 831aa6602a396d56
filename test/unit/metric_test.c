/* SPDX-License-Identifier: Apache-2.0 */
#include "core/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static double forty_two(void *data)
{
	(void)data;
	return 42.5;
}

static void test_text_format(void **state)
{
	static const double bounds[] = { 0.01, 0.1, 1 };
	struct metric ok = { .name = "osbd_ops_total",
			     .help = "Operations.",
			     .labels = "r=\"ok\"" };
	struct metric failed = { .name = "osbd_ops_total",
				 .help = "Operations.",
				 .labels = "r=\"failed\"" };
	struct metric gauge = {
		.kind = METRIC_GAUGE, .name = "osbd_now", .help = "Now.", .read = forty_two
	};
	struct metric time = { .kind = METRIC_HISTOGRAM,
			       .name = "osbd_seconds",
			       .help = "How long.",
			       .bounds = bounds,
			       .n_bounds = 3 };
	struct metrics metrics;
	struct buf text = { 0 };

	(void)state;
	metrics_init(&metrics);
	metrics_add(&metrics, &ok);
	metrics_add(&metrics, &gauge);
	metrics_add(&metrics, &failed); /* joins its family */
	metrics_add(&metrics, &time);
	metric_inc(&ok, 3);
	metric_observe(&time, 0.005);
	metric_observe(&time, 0.1);
	metric_observe(&time, 7);
	metric_render(&metrics, &text);
	assert_string_equal(text.p, "# HELP osbd_ops_total Operations.\n"
				    "# TYPE osbd_ops_total counter\n"
				    "osbd_ops_total{r=\"ok\"} 3\n"
				    "osbd_ops_total{r=\"failed\"} 0\n"
				    "# HELP osbd_now Now.\n"
				    "# TYPE osbd_now gauge\n"
				    "osbd_now 42.5\n"
				    "# HELP osbd_seconds How long.\n"
				    "# TYPE osbd_seconds histogram\n"
				    "osbd_seconds_bucket{le=\"0.01\"} 1\n"
				    "osbd_seconds_bucket{le=\"0.1\"} 2\n"
				    "osbd_seconds_bucket{le=\"1\"} 2\n"
				    "osbd_seconds_bucket{le=\"+Inf\"} 3\n"
				    "osbd_seconds_sum 7.105\n"
				    "osbd_seconds_count 3\n");
	metrics_remove(&gauge);
	metrics_remove(&gauge);
	buf_clear(&text);
	metric_render(&metrics, &text);
	assert_null(strstr(text.p, "osbd_now"));
	buf_finish(&text);
}

static void test_label_values_are_escaped(void **state)
{
	struct buf text = { 0 };

	(void)state;
	metric_escape(&text, STR("a\"b\\c\nd"));
	assert_string_equal(text.p, "a\\\"b\\\\c\\nd");
	buf_finish(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_format),
		cmocka_unit_test(test_label_values_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
