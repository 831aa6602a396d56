/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf.h"

#include "core/mem.h"

#include <stdlib.h>

void conf_errors_finish(struct conf_errors *errors)
{
	mem_free(errors->messages);
	arena_finish(&errors->arena);
	*errors = (struct conf_errors){ 0 };
}

static PRINTF_LIKE(6, 0) void add(struct conf_errors *errors, bool warning, uint32_t line,
				  uint32_t column, const char *path, const char *fmt, va_list ap)
{
	struct conf_message *message;
	struct err text;
	char *p;

	if (warning)
		errors->n_warnings++;
	else
		errors->n_errors++;
	if (errors->n == CONF_ERRORS_MAX)
		return;
	if (errors->n == errors->size) {
		errors->size = errors->size ? 2 * errors->size : 8;
		errors->messages =
			mem_realloc(errors->messages, errors->size * sizeof(*errors->messages));
	}
	err_vset(&text, ERR_INVALID, fmt, ap);
	if (path && *path)
		err_wrap(&text, "%s", path);
	for (p = text.text; *p; p++) /* keys of the file stand in paths */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	message = &errors->messages[errors->n];
	*message = (struct conf_message){
		.file = arena_strdup(&errors->arena, errors->file ? errors->file : "configuration"),
		.line = line,
		.column = column,
		.warning = warning,
		.order = errors->n++,
		.text = arena_strdup(&errors->arena, text.text),
	};
}

void conf_errors_add(struct conf_errors *errors, const struct json *node, const char *path,
		     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(errors, false, node ? node->line : 0, node ? node->column : 0, path, fmt, ap);
	va_end(ap);
}

void conf_errors_warn(struct conf_errors *errors, const struct json *node, const char *path,
		      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(errors, true, node ? node->line : 0, node ? node->column : 0, path, fmt, ap);
	va_end(ap);
}

void conf_error(struct conf *conf, const struct json *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(conf->errors, false, node ? node->line : 0, node ? node->column : 0,
	    buf_str(&conf->path).p, fmt, ap);
	va_end(ap);
}

void conf_warn(struct conf *conf, const struct json *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(conf->errors, true, node ? node->line : 0, node ? node->column : 0,
	    buf_str(&conf->path).p, fmt, ap);
	va_end(ap);
}

static int message_order(const void *left, const void *right)
{
	const struct conf_message *a = left, *b = right;
	int files = strcmp(a->file, b->file);

	if (files)
		return files;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

const char *conf_errors_line(struct conf_errors *errors, size_t i)
{
	const struct conf_message *message;

	if (i >= errors->n)
		return NULL;
	qsort(errors->messages, errors->n, sizeof(*errors->messages), message_order);
	message = &errors->messages[i];
	if (!message->line)
		return arena_printf(&errors->arena, "%s: %s%s", message->file,
				    message->warning ? "warning: " : "", message->text);
	return arena_printf(&errors->arena, "%s:%u:%u: %s%s", message->file, message->line,
			    message->column, message->warning ? "warning: " : "", message->text);
}

void conf_errors_print(struct conf_errors *errors, struct buf *buf)
{
	size_t i;

	for (i = 0; i < errors->n; i++)
		buf_printf(buf, "%s\n", conf_errors_line(errors, i));
	if (errors->n_errors + errors->n_warnings > errors->n)
		buf_printf(buf, "and %zu more\n",
			   errors->n_errors + errors->n_warnings - errors->n);
}
