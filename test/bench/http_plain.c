/* http_plain: core/http_server with a constant answer and one header compare, to be measured
 * beside floor. Takes the same arguments.
 *
 *   http_plain [-p PORTFILE] [-n BODY_BYTES] [-h NAME VALUE] */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http_server.h"

#include "core/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct plain {
	const char *name;
	struct str value; /* {NULL, 0}: everybody may */
	struct str body;
};

static void handle(struct http_request *req, void *data)
{
	struct plain *plain = data;

	if (plain->value.p && !str_eq(http_request_header(req, plain->name), plain->value))
		http_respond(req, 401, STR("{}"));
	else
		http_respond(req, 200, plain->body);
}

int main(int argc, char **argv)
{
	struct plain plain = { .name = "authorization" };
	const char *port_file = NULL;
	struct http_server *server;
	size_t body = 2300;
	struct loop loop;
	char bound[64], *text;
	struct err err;
	FILE *out;
	int i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-p") == 0 && i + 1 < argc) {
			port_file = argv[++i];
		} else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
			body = (size_t)strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "-h") == 0 && i + 2 < argc) {
			plain.name = argv[++i];
			plain.value = str_of(argv[++i]);
		} else {
			fprintf(stderr, "usage: http_plain [-p PORTFILE] [-n BODY_BYTES] [-h NAME "
					"VALUE]\n");
			return 2;
		}
	}
	text = mem_alloc(body + 1);
	memset(text, 'x', body);
	plain.body = str_make(text, body);
	if (loop_init(&loop) != 0)
		return 1;
	server = http_server_create(&loop, NULL, NULL, NULL, handle, &plain);
	if (http_server_listen(server, "127.0.0.1:0", "/", NULL, bound, sizeof(bound), &err) != 0) {
		fprintf(stderr, "http_plain: %s\n", err.text);
		return 1;
	}
	out = port_file ? fopen(port_file, "w") : stdout;
	if (!out)
		return 1;
	fprintf(out, "%s\n", strrchr(bound, ':') + 1);
	if (port_file)
		fclose(out);
	else
		fflush(out);
	loop_run(&loop);
	return 0;
}
