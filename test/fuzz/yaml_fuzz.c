/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML reader: whatever it accepts must be a tree that writes itself as JSON, that JSON must
 * be read back as the same value, and as YAML too. */
#include "core/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct arena *arena, const struct json *v)
{
	struct json_limits limits = { .bytes = 64 << 20, .depth = YAML_DEPTH_MAX };
	struct json *back;
	struct str text = json_text(arena, v);
	struct err err = { 0 };

	if (json_parse(arena, text, &limits, &back, &err) && err.code != ERR_TOOBIG)
		abort();
	if (!err.code && !json_equal(v, back))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	enum yaml_typing typing;

	for (typing = YAML_CORE; typing <= YAML_V2; typing++) {
		struct yaml_options options = { .typing = typing, .bytes = 64 << 10 };
		struct arena arena = { 0 };
		struct err err = { 0 };
		struct json *v;

		if (yaml_parse(&arena, text, &options, &v, &err) == 0)
			again(&arena, v);
		else if (!err.text[0] || !str_is_utf8(str_of(err.text)))
			abort();
		arena_finish(&arena);
	}
	return 0;
}
