/* Where requests are taken: listeners, administration, platforms. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "osb/config_rows.h"

#include "core/mem.h"
#include "tls/tls_suite.h"

#include <arpa/inet.h>
#include <sys/un.h>

#define NAME_LEN 64 /* bytes of the names of platforms and sealing keys */

static const struct conf_key path_row = { "", CONF_PATH, CONF_NONEMPTY };

/* -- addresses and prefixes --------------------------------------------------------------- */

/* "127.0.0.1:80", "[::1]:80"; *local: only this machine gets there. */
static bool is_tcp_address(struct str text, bool *local)
{
	char host[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	struct str name, port;
	const char *colon = memrchr(text.p, ':', text.n);
	uint64_t number;
	int family = AF_INET;

	if (!colon)
		return false;
	name = str_make(text.p, (size_t)(colon - text.p));
	port = str_make(colon + 1, text.n - name.n - 1);
	if (port.n > 5 || !str_to_u64(port, &number) || number > 65535)
		return false;
	if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']') {
		name = str_make(name.p + 1, name.n - 2);
		family = AF_INET6;
	}
	if (name.n >= sizeof(host))
		return false;
	memcpy(host, name.p, name.n);
	host[name.n] = '\0';
	if (inet_pton(family, host, bytes) != 1)
		return false;
	if (family == AF_INET)
		*local = bytes[0] == 127;
	else
		*local = memcmp(bytes, &in6addr_loopback, 16) == 0;
	return true;
}

static void check_unix(struct conf *conf, const struct json *node, struct str path)
{
	if (!path.n || path.p[0] != '/')
		conf_error(conf, node, "must be unix: and an absolute path");
	else if (path.n >= sizeof(((struct sockaddr_un *)0)->sun_path))
		conf_error(conf, node, "must have a path of at most %zu bytes",
			   sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
}

/* What systemd allows in FileDescriptorName=. */
static void check_systemd(struct conf *conf, const struct json *node, struct str name)
{
	bool good = name.n && name.n <= 255;
	size_t i;

	for (i = 0; i < name.n; i++)
		good = good && name.p[i] > ' ' && name.p[i] < 0x7f && name.p[i] != ':';
	if (!good)
		conf_error(conf, node, "must be systemd: and the name of a socket");
}

static void check_address(struct conf *conf, const struct json *node, struct config_listen *listen)
{
	struct str address = listen->address;

	if (str_starts(address, STR("unix:"))) {
		listen->local = true;
		check_unix(conf, node, str_make(address.p + 5, address.n - 5));
	} else if (str_starts(address, STR("systemd:"))) {
		check_systemd(conf, node, str_make(address.p + 8, address.n - 8));
	} else if (!is_tcp_address(address, &listen->local)) {
		conf_error(conf, node,
			   "must be a numeric address and a port, such as 127.0.0.1:8080 or "
			   "[::1]:8080, or unix:/PATH, or systemd:NAME");
	} else {
		return;
	}
	if (listen->reuse_port)
		conf_error(conf, node, "reuse_port is for an address and a port only");
}

void config_check_listen(struct conf *conf, const struct json *node, void *item)
{
	struct config_listen *listen = item;
	const struct json *trusted = json_get(node, "trusted");
	bool believes = listen->proxy_protocol == CONFIG_PROXY_REQUIRED || listen->forwarded;

	check_address(conf, json_get(node, "address"), listen);
	if (believes && !listen->n_trusted)
		conf_error(conf, trusted ? trusted : node,
			   "`trusted` must name the proxies that are believed");
	if (!believes && listen->n_trusted)
		conf_error(conf, trusted,
			   "`trusted` says nothing without proxy_protocol or forwarded");
	if (believes)
		listen->local = false; /* whom the proxy asks for may be anywhere */
}

static void decode_trusted(struct conf *conf, const struct json *node, void *item)
{
	static const struct conf_key text_row = { "", CONF_STRING, CONF_NONEMPTY };
	size_t before = conf->errors->n_errors;
	struct str text = { NULL, 0 };
	const char *why;

	conf_value(conf, &text_row, node, &text);
	if (conf->errors->n_errors == before && cidr_parse(text, item, &why) != 0)
		conf_error(conf, node, "must be %s", why);
}

/* "/" or "/a/b": a slash at the end goes. */
static void check_prefix(struct conf *conf, const struct json *node, void *field)
{
	struct str *prefix = field, left = *prefix, part;
	bool good = prefix->n && prefix->p[0] == '/';

	if (prefix->n > 1 && prefix->p[prefix->n - 1] == '/') {
		*prefix = str_of(arena_strndup(conf->arena, prefix->p, prefix->n - 1));
		left = *prefix;
	}
	str_cut(left, '/', &left); /* what stands before the first slash is empty */
	while (good && prefix->n > 1 && left.p) {
		part = str_cut(left, '/', &left);
		good = part.n && str_is_unreserved(part) && !str_is(part, ".") &&
		       !str_is(part, "..");
	}
	if (!good)
		conf_error(conf, node,
			   "must be a path such as / or /osb, of letters, digits and "
			   "- . _ ~");
}

/* FILE or {file: FILE}: keys are written like other secrets, too, but stay where they are, to be
 * read again when they change. */
static void decode_key_file(struct conf *conf, const struct json *node, void *field)
{
	const struct json *file = json_get(node, "file");
	size_t before = conf->errors->n_errors;

	conf_value(conf, &path_row, file && json_len(node) == 1 ? file : node, field);
	if (conf->errors->n_errors == before && !((struct str *)field)->n)
		conf_error(conf, node, "must be the name of a file");
}

static const struct conf_name client_names[] = {
	{ "optional", CONFIG_CLIENTS_OPTIONAL },
	{ "required", CONFIG_CLIENTS_REQUIRED },
	{ NULL, 0 },
};

static const struct conf_name version_names[] = {
	{ "1.2", CONFIG_TLS_12 },
	{ "1.3", CONFIG_TLS_13 },
	{ NULL, 0 },
};

static void check_suite(struct conf *conf, const struct json *node, void *item)
{
	const struct str *name = item;

	if (!tls_suite(*name))
		conf_error(conf, node, "there is no suite \"%.*s\" here", STR_ARG(*name));
}

static const struct conf_key suite_row = { "", CONF_STRING, CONF_NONEMPTY,
					   .width = sizeof(struct str), .check = check_suite };

#define PAIR_ROWS(type, member)                                                                   \
	{ "certificate",                                                                          \
	  CONF_PATH,                                                                              \
	  CONF_REQUIRED | CONF_NONEMPTY,                                                          \
	  CONF_AT(type, member certificate),                                                      \
	  .doc = "The certificate and those above it, PEM, its own first.",                       \
	  .example = "/etc/osbd/tls.pem" },                                                       \
	{                                                                                         \
		"key", CONF_CUSTOM, CONF_REQUIRED, CONF_AT(type, member key),                     \
			.decode = decode_key_file, .kind = "path or {file: PATH}",                \
			.doc = "Its private key, PEM, without a passphrase. P-256 costs half of " \
			       "what RSA does.",                                                  \
			.example = "/etc/osbd/tls.key"                                            \
	}

static const struct conf_key pair_rows[] = { PAIR_ROWS(struct config_tls_pair, ), { 0 } };

static const struct conf_key tls_rows[] = {
	PAIR_ROWS(struct config_tls, first.),
	{ "more", CONF_LIST, CONF_HIDDEN, CONF_LIST_AT(struct config_tls, more, n_more),
	  .rows = pair_rows, .max = 64,
	  .doc = "More certificates: a client gets the one for the name it asks for, and the first "
		 "one when none is.",
	  .example = "[{certificate: other.pem, key: other.key}]" },
	{ "client_ca", CONF_PATH, CONF_HIDDEN | CONF_NONEMPTY,
	  CONF_AT(struct config_tls, client_ca),
	  .doc = "Certificates of those who sign clients' certificates, PEM: clients are asked for "
		 "one, and a wrong one is refused. Who has one is the user whose `certificate` is "
		 "among its names.",
	  .example = "/etc/osbd/clients.pem" },
	{ "client", CONF_ENUM, CONF_HIDDEN, CONF_AT(struct config_tls, client),
	  .fallback = "optional", .names = client_names,
	  .doc = "Whether clients must show a certificate." },
	{ "min_version", CONF_ENUM, 0, CONF_AT(struct config_tls, min_version), .fallback = "1.2",
	  .names = version_names, .doc = "The oldest version of TLS that is spoken." },
	{ "suites", CONF_LIST, CONF_HIDDEN, CONF_LIST_AT(struct config_tls, suites, n_suites),
	  .item = &suite_row, .min = 1, .max = 32,
	  .doc = "The only cipher suites that are used, by IANA's names, the best first. There are "
		 "none without forward secrecy and authenticated encryption.",
	  .example = "[TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]" },
	{ 0 },
};

static const struct conf_name proxy_protocol_names[] = {
	{ "off", CONFIG_PROXY_OFF },
	{ "required", CONFIG_PROXY_REQUIRED },
	{ NULL, 0 },
};

static const struct conf_key trusted_row = { "", CONF_CUSTOM, .width = sizeof(struct cidr),
					     .decode = decode_trusted, .kind = "string" };

const struct conf_key config_listen_rows[] = {
	{ "address", CONF_STRING, CONF_REQUIRED, CONF_AT(struct config_listen, address),
	  .doc = "A numeric address and a port (IPv6 in brackets; port 0 is any free one), or "
		 "unix: "
		 "and the absolute path of a socket, or systemd: and the FileDescriptorName of "
		 "sockets that systemd has opened (LISTEN_FDS); those without a name are called "
		 "unknown.",
	  .example = "127.0.0.1:8080" },
	{ "prefix", CONF_STRING, 0, CONF_AT(struct config_listen, prefix), .fallback = "/",
	  .check = check_prefix,
	  .doc = "What all URLs begin with here, for a server that mounts osbd below its own." },
	{ "reuse_port", CONF_BOOL, 0, CONF_AT(struct config_listen, reuse_port),
	  .fallback = "false",
	  .doc = "Other processes of the same user that say so too may listen on the same address: "
		 "the kernel shares connections out among them." },
	{ "proxy_protocol", CONF_ENUM, 0, CONF_AT(struct config_listen, proxy_protocol),
	  .fallback = "off", .names = proxy_protocol_names,
	  .doc = "required: each connection from a trusted address begins with a PROXY header, "
		 "version 1 or 2, which says who connects; one without is closed. It comes before "
		 "TLS. From other addresses none is taken." },
	{ "forwarded", CONF_BOOL, 0, CONF_AT(struct config_listen, forwarded), .fallback = "false",
	  .doc = "In requests from trusted addresses the last address of X-Forwarded-For that is "
		 "not trusted is the client's, and X-Forwarded-Proto goes to the log." },
	{ "trusted", CONF_LIST, CONF_HIDDEN, CONF_LIST_AT(struct config_listen, trusted, n_trusted),
	  .item = &trusted_row, .max = 256,
	  .doc = "The proxies that are believed: numeric addresses and networks, and unix for who "
		 "connects by a unix socket.",
	  .example = "[10.0.0.0/8, \"2001:db8::/32\", unix]" },
	{ "tls", CONF_OBJECT, CONF_OPTIONAL | CONF_HIDDEN, CONF_AT(struct config_listen, tls),
	  .rows = tls_rows, .size = sizeof(struct config_tls),
	  .doc = "TLS 1.2 and 1.3. The files are read again when they change, and at SIGHUP; "
		 "connections go on." },
	{ 0 },
};

void config_check_name(struct conf *conf, const struct json *node, void *field)
{
	const struct str *name = field;

	if (!name->n || name->n > NAME_LEN || !str_is_unreserved(*name))
		conf_error(conf, node, "must have 1 to %d letters, digits or - . _ ~", NAME_LEN);
}

static void check_admin_address(struct conf *conf, const struct json *node, void *field)
{
	struct str *address = field;
	struct config_admin *admin = container_of(address, struct config_admin, listen.address);

	if (address->n && !is_tcp_address(*address, &admin->listen.local))
		conf_error(conf, node,
			   "must be a numeric address and a port, such as 127.0.0.1:9080");
}

const struct conf_key config_admin_rows[] = {
	{ "address", CONF_STRING, CONF_HIDDEN, CONF_AT(struct config_admin, listen.address),
	  .check = check_admin_address,
	  .doc = "A numeric address and port. On an address that others reach, metrics and orphans "
		 "want a user of the role operator or monitor.",
	  .example = "127.0.0.1:9080" },
	{ "socket", CONF_PATH, CONF_HIDDEN, CONF_AT(struct config_admin, socket),
	  .doc = "A unix socket, for administration on this machine.",
	  .example = "/run/osbd/admin.sock" },
	{ 0 },
};

const struct conf_key config_platform_rows[] = {
	{ "name", CONF_STRING, CONF_REQUIRED, CONF_AT(struct config_platform, name),
	  .check = config_check_name,
	  .doc = "Its name, which instances are stored under: never change it while there are "
		 "some.",
	  .example = "default" },
	{ "prefix", CONF_STRING, 0, CONF_AT(struct config_platform, prefix), .fallback = "/",
	  .check = check_prefix,
	  .doc = "What this platform's URLs begin with, behind the listener's prefix." },
	{ 0 },
};
