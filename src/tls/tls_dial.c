/* A wrapping's stream says that it is ready, or why not; then, closed by us, that it is gone. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_dial.h"

#include "core/mem.h"

struct tls_dial {
	struct dial_wrap wrap;
	struct tls_config *config;
	struct tls_budget *budget;
};

static void on_gone(struct stream *stream)
{
	struct dial_wrapping *wrapping = stream->data;

	wrapping->stream = NULL;
	call_end(&wrapping->call, wrapping->call.canceled ? ERR_CANCELED : wrapping->err.code);
}

static void on_ready(struct stream *stream, int status, const char *why)
{
	struct dial_wrapping *wrapping = stream->data;

	if (status == 0) {
		call_end(&wrapping->call, 0);
		return;
	}
	err_set(&wrapping->err, status, "%s", why);
	stream_close(stream);
}

static void cancel(struct call *call)
{
	struct dial_wrapping *wrapping = container_of(call, struct dial_wrapping, call);

	if (!wrapping->err.code) /* else it is closing already */
		stream_close(wrapping->stream);
	wrapping->err.code = ERR_CANCELED;
}

static int start(const struct dial_wrap *wrap, struct loop *loop, struct dial_wrapping *wrapping)
{
	const struct tls_dial *dial = wrap->data;
	struct tls_stream_options options = { .loop = loop,
					      .budget = dial->budget,
					      .config = dial->config,
					      .handshake_ms = wrapping->within,
					      .host = wrapping->host,
					      .on_ready = on_ready };

	wrapping->err.code = 0;
	wrapping->stream = tls_stream_create(&options, wrapping->below);
	wrapping->stream->data = wrapping;
	wrapping->stream->on_closed = on_gone;
	call_begin(&wrapping->call, cancel);
	return 0;
}

int tls_dial_create(const struct tls_client_options *options, struct tls_budget *budget,
		    struct tls_dial **out, struct err *err)
{
	struct tls_config *config;
	struct tls_dial *dial;
	int rc = tls_client_config(options, &config, err);

	*out = NULL;
	if (rc != 0)
		return rc;
	dial = mem_zalloc(sizeof(*dial));
	dial->config = config;
	dial->budget = budget;
	dial->wrap.data = dial;
	dial->wrap.presents = options->pair.certificate != NULL;
	dial->wrap.start = start;
	random_bytes(&dial->wrap.id, sizeof(dial->wrap.id));
	*out = dial;
	return 0;
}

void tls_dial_destroy(struct tls_dial *dial)
{
	if (!dial)
		return;
	tls_config_unref(dial->config);
	mem_free(dial);
}

const struct dial_wrap *tls_dial_wrap(const struct tls_dial *dial)
{
	return &dial->wrap;
}
