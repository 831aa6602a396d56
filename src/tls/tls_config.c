/* Reading files, one mbedtls_ssl_config for all streams of a generation, and what mbedTLS asks in
 * the middle of a handshake: which certificate, what ticket. Its callbacks get the configuration;
 * config->hello says whose handshake it is, which tls/tls_stream sets around each call. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls_config.h"

#include "core/conf.h"
#include "core/mem.h"
#include "tls/tls_suite.h"

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <sys/stat.h>

static const uint16_t groups[] = {
	MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

/* Where distributions keep the bundle: Debian, Red Hat, Alpine and SUSE. */
static const char *const system_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/cert.pem",
	"/etc/ssl/ca-bundle.pem",
};

static int get_random(void *data, unsigned char *out, size_t n)
{
	(void)data;
	random_bytes(out, n);
	return 0;
}

const char *tls_error_text(int rc, char *buf, size_t size)
{
	mbedtls_strerror(rc, buf, size);
	return buf;
}

/* -- files ---------------------------------------------------------------------------------- */

static int parse_failed(const char *path, const char *what, int rc, struct err *err)
{
	char text[160];

	return err_set(err, ERR_SYNTAX, "%s: %s: %s", path, what,
		       tls_error_text(rc, text, sizeof(text)));
}

/* tolerant: some certificates of the file may be of a kind that is not known here. */
static int read_certificates(const char *path, bool tolerant, mbedtls_x509_crt *chain,
			     struct err *err)
{
	struct buf text = { 0 };
	int rc = conf_read_file(path, TLS_FILE_MAX, &text, NULL, err);

	if (rc == 0) {
		int bad = mbedtls_x509_crt_parse(chain, (unsigned char *)text.p, text.n + 1);

		if (bad < 0)
			rc = parse_failed(path, "holds no certificate", bad, err);
		else if (bad > 0 && !tolerant)
			rc = err_set(err, ERR_SYNTAX, "%s: %d of its certificates cannot be read",
				     path, bad);
	}
	buf_finish(&text);
	return rc;
}

static int read_key(const char *path, mbedtls_pk_context *key, struct err *err)
{
	struct buf text = { 0 };
	int rc = conf_read_file(path, TLS_FILE_MAX, &text, NULL, err);

	if (rc == 0) {
		int bad = mbedtls_pk_parse_key(key, (unsigned char *)text.p, text.n + 1, NULL, 0,
					       get_random, NULL);

		if (bad == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
			rc = err_set(err, ERR_INVALID, "%s: the key must not have a passphrase",
				     path);
		else if (bad != 0)
			rc = parse_failed(path, "holds no key that can be used", bad, err);
	}
	buf_wipe(&text);
	return rc;
}

static int read_pair(const struct tls_files *files, struct tls_pair *pair, struct err *err)
{
	int rc = read_certificates(files->certificate, false, &pair->chain, err);

	if (rc == 0)
		rc = read_key(files->key, &pair->key, err);
	if (rc != 0)
		return rc;
	if (mbedtls_pk_check_pair(&pair->chain.pk, &pair->key, get_random, NULL) != 0)
		return err_set(err, ERR_INVALID, "%s: this key does not belong to %s", files->key,
			       files->certificate);
	if (mbedtls_pk_can_do(&pair->key, MBEDTLS_PK_RSA) &&
	    mbedtls_pk_get_bitlen(&pair->key) < 2048)
		return err_set(err, ERR_INVALID, "%s: an RSA key must have 2048 bits or more",
			       files->key);
	return 0;
}

static int read_system_bundle(mbedtls_x509_crt *ca, struct err *err)
{
	struct stat there;
	size_t i;

	for (i = 0; i < ARRAY_LEN(system_bundles); i++)
		if (stat(system_bundles[i], &there) == 0)
			return read_certificates(system_bundles[i], true, ca, err);
	return err_set(err, ERR_NOENT, "%s: the system has no bundle of CA certificates",
		       system_bundles[0]);
}

/* -- which certificate ---------------------------------------------------------------------- */

/* "*.example.org" is for one label in place of the star. */
static bool host_fits(struct str pattern, struct str host)
{
	struct str rest;

	if (str_ieq(pattern, host))
		return true;
	if (!str_starts(pattern, STR("*.")))
		return false;
	str_cut(host, '.', &rest);
	return rest.n && str_ieq(str_make(pattern.p + 2, pattern.n - 2), rest);
}

static bool certificate_fits(const mbedtls_x509_crt *crt, struct str host)
{
	const mbedtls_x509_sequence *san;
	const mbedtls_x509_name *rdn;
	bool named = false;

	for (san = &crt->subject_alt_names; san && san->buf.p; san = san->next) {
		if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) != MBEDTLS_X509_SAN_DNS_NAME)
			continue;
		named = true;
		if (host_fits(str_make((const char *)san->buf.p, san->buf.len), host))
			return true;
	}
	for (rdn = &crt->subject; rdn && !named; rdn = rdn->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &rdn->oid) == 0 &&
		    host_fits(str_make((const char *)rdn->val.p, rdn->val.len), host))
			return true;
	return false;
}

/* Those that fit the name; mbedTLS chooses among them by what the peer can verify. */
static int choose_certificate(mbedtls_ssl_context *ssl)
{
	struct tls_hello *hello = mbedtls_ssl_get_user_data_p(ssl);
	struct tls_config *config = hello->config;
	size_t n, i, found = 0;
	const unsigned char *sni = mbedtls_ssl_get_hs_sni(ssl, &n);
	int rc = 0;

	for (i = 0; sni && rc == 0 && i < config->n_pairs; i++) {
		struct tls_pair *pair = &config->pairs[i];

		if (!certificate_fits(&pair->chain, str_make((const char *)sni, n)))
			continue;
		found++;
		rc = mbedtls_ssl_set_hs_own_cert(ssl, &pair->chain, &pair->key);
	}
	if (!found)
		rc = mbedtls_ssl_set_hs_own_cert(ssl, &config->pairs[0].chain,
						 &config->pairs[0].key);
	return rc;
}

/* -- tickets -------------------------------------------------------------------------------- */

static int write_ticket(void *data, const mbedtls_ssl_session *session, unsigned char *start,
			const unsigned char *end, size_t *len, uint32_t *lifetime)
{
	struct tls_config *config = data;
	struct tls_hello *hello = config->hello;

	/* checks that come after ours may have found something */
	if (hello->full && session->MBEDTLS_PRIVATE(verify_result) != 0)
		tls_peer_finish(&hello->peer);
	return tls_ticket_seal(config->tickets, config->scope, session, &hello->peer, start, end,
			       len, lifetime);
}

static int parse_ticket(void *data, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
	struct tls_config *config = data;
	struct tls_hello *hello = config->hello;
	int rc;

	tls_peer_finish(&hello->peer);
	rc = tls_ticket_open(config->tickets, config->scope, session, &hello->peer, ticket, len);
	if (rc != 0)
		return rc;
	if (session->MBEDTLS_PRIVATE(tls_version) == mbedtls_ssl_get_version_number(hello->ssl) &&
	    (hello->peer.there || !config->required))
		return 0;
	tls_peer_finish(&hello->peer);
	mbedtls_ssl_session_free(session);
	return MBEDTLS_ERR_SSL_INVALID_MAC;
}

/* -- verification --------------------------------------------------------------------------- */

static void PRINTF_LIKE(2, 3) say(struct tls_hello *hello, const char *fmt, ...)
{
	size_t n = strlen(hello->why);
	va_list ap;

	if (n && n < sizeof(hello->why) - 4)
		n += (size_t)snprintf(hello->why + n, sizeof(hello->why) - n, "; ");
	va_start(ap, fmt);
	vsnprintf(hello->why + n, sizeof(hello->why) - n, fmt, ap);
	va_end(ap);
}

/* Names come from a peer that nobody trusts yet. */
static const char *printable(const unsigned char *p, size_t n, char *out, size_t size)
{
	size_t i;

	for (i = 0; i < n && i < size - 1; i++)
		out[i] = p[i] > ' ' && p[i] < 0x7f ? (char)p[i] : '?';
	out[i] = '\0';
	return out;
}

static const char *common_name(const mbedtls_x509_name *name, char *out, size_t size)
{
	for (; name; name = name->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0)
			return printable(name->val.p, name->val.len, out, size);
	snprintf(out, size, "(no name)");
	return out;
}

static bool is_for_ip(const mbedtls_x509_crt *crt, const unsigned char *ip, size_t n)
{
	const mbedtls_x509_sequence *san;

	for (san = &crt->subject_alt_names; san && san->buf.p; san = san->next)
		if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    san->buf.len == n && memcmp(san->buf.p, ip, n) == 0)
			return true;
	return false;
}

static void say_date(struct tls_hello *hello, const char *what, const mbedtls_x509_time *t)
{
	say(hello, "%s on %04d-%02d-%02d %02d:%02d:%02d UTC", what, t->year, t->mon, t->day,
	    t->hour, t->min, t->sec);
}

static void say_names(struct tls_hello *hello, const mbedtls_x509_crt *crt)
{
	const mbedtls_x509_sequence *san;
	char name[96], all[200] = "";
	size_t n = 0;

	for (san = &crt->subject_alt_names; san && san->buf.p; san = san->next)
		if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_DNS_NAME &&
		    n < sizeof(all) - sizeof(name) - 2)
			n += (size_t)snprintf(
				all + n, sizeof(all) - n, "%s%s", n ? ", " : "",
				printable(san->buf.p, san->buf.len, name, sizeof(name)));
	say(hello, "it is for %s, not for %s", n ? all : common_name(&crt->subject, name, 96),
	    hello->host ? hello->host : "this host");
}

static void say_flags(struct tls_hello *hello, const mbedtls_x509_crt *crt, int depth,
		      uint32_t flags)
{
	bool own = crt->issuer_raw.len == crt->subject_raw.len &&
		   memcmp(crt->issuer_raw.p, crt->subject_raw.p, crt->issuer_raw.len) == 0;
	char name[96], text[160];

	if (!hello->why[0])
		say(hello, "certificate \"%s\"", common_name(&crt->subject, name, sizeof(name)));
	else if (depth > 0)
		say(hello, "\"%s\" above it", common_name(&crt->subject, name, sizeof(name)));
	if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
		say_date(hello, "it expired", &crt->valid_to);
	if (flags & MBEDTLS_X509_BADCERT_FUTURE)
		say_date(hello, "it is not yet valid, its time begins", &crt->valid_from);
	if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
		say_names(hello, crt);
	if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED && own)
		say(hello, "it is self-signed and not trusted here");
	else if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
		say(hello, "it is signed by \"%s\", which is not trusted here",
		    common_name(&crt->issuer, name, sizeof(name)));
	flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE |
			     MBEDTLS_X509_BADCERT_CN_MISMATCH | MBEDTLS_X509_BADCERT_NOT_TRUSTED);
	if (flags && mbedtls_x509_crt_verify_info(text, sizeof(text), "", flags) > 0) {
		text[strcspn(text, "\n")] = '\0';
		say(hello, "%s", text);
	}
}

/* Runs from the top of the chain down to the peer's own certificate, depth 0. */
int tls_on_verify(void *data, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct tls_hello *hello = data;
	bool server = hello->config->server;
	const char *usage = server ? MBEDTLS_OID_CLIENT_AUTH : MBEDTLS_OID_SERVER_AUTH;

	if (depth == 0 && hello->n_ip && !is_for_ip(crt, hello->ip, hello->n_ip))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (depth == 0 && mbedtls_x509_crt_check_extended_key_usage(
				  crt, usage, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH)) != 0)
		*flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
	hello->flags |= *flags;
	if (*flags)
		say_flags(hello, crt, depth, *flags);
	if (depth > 0)
		return 0;
	/* a client that need not show one must not show a wrong one */
	if (hello->flags)
		return server ? MBEDTLS_ERR_X509_FATAL_ERROR : 0;
	tls_peer_set(&hello->peer, crt, hello->now);
	return 0;
}

/* -- life ----------------------------------------------------------------------------------- */

static const char *const alpn[] = { "http/1.1", NULL };

static void set_common(struct tls_config *config, int min_version)
{
	mbedtls_ssl_config *conf = &config->conf;

	mbedtls_ssl_config_defaults(conf,
				    config->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
				    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_rng(conf, get_random, NULL);
	mbedtls_ssl_conf_min_tls_version(conf, min_version == 13 ? MBEDTLS_SSL_VERSION_TLS1_3
								 : MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_groups(conf, groups);
	mbedtls_ssl_conf_tls13_key_exchange_modes(
		conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
	mbedtls_ssl_conf_renegotiation(conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
	mbedtls_ssl_conf_legacy_renegotiation(conf, MBEDTLS_SSL_LEGACY_NO_RENEGOTIATION);
	mbedtls_ssl_conf_alpn_protocols(conf, (const char **)(uintptr_t)alpn);
	mbedtls_ssl_conf_ciphersuites(conf, config->suites);
}

static int set_suites(struct tls_config *config, const struct str *names, size_t n, struct err *err)
{
	size_t i;

	config->suites = mem_zalloc(((n > TLS_SUITES ? n : TLS_SUITES) + 1) * sizeof(int));
	for (i = 0; n == 0 && i < TLS_SUITES; i++)
		config->suites[i] = tls_suite_at(i);
	for (i = 0; i < n; i++) {
		config->suites[i] = tls_suite(names[i]);
		if (!config->suites[i])
			return err_set(err, ERR_INVALID, "there is no suite \"%.*s\"",
				       STR_ARG(names[i]));
	}
	return 0;
}

static int set_pairs(struct tls_config *config, const struct tls_files *files, size_t n,
		     struct err *err)
{
	const char *usage = config->server ? MBEDTLS_OID_SERVER_AUTH : MBEDTLS_OID_CLIENT_AUTH;
	size_t i;
	int rc;

	config->pairs = mem_zalloc(n * sizeof(*config->pairs) + 1);
	for (i = 0; i < n; i++) {
		struct tls_pair *pair = &config->pairs[i];

		mbedtls_x509_crt_init(&pair->chain);
		mbedtls_pk_init(&pair->key);
		config->n_pairs++;
		rc = read_pair(&files[i], pair, err);
		if (rc != 0)
			return rc;
		if (mbedtls_x509_crt_check_extended_key_usage(
			    &pair->chain, usage, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0)
			return err_set(err, ERR_INVALID, "%s: this certificate is not for %s",
				       files[i].certificate,
				       config->server ? "servers" : "clients");
		if (mbedtls_ssl_conf_own_cert(&config->conf, &pair->chain, &pair->key) != 0)
			return err_set(err, ERR_INVALID, "%s: cannot be used",
				       files[i].certificate);
	}
	return 0;
}

static int set_client_ca(struct tls_config *config, const struct tls_server_options *options,
			 struct err *err)
{
	int rc;

	if (!options->client_ca)
		return 0;
	rc = read_certificates(options->client_ca, false, &config->ca, err);
	if (rc != 0)
		return rc;
	config->has_ca = true;
	config->required = options->clients == TLS_CLIENTS_REQUIRED;
	mbedtls_ssl_conf_ca_chain(&config->conf, &config->ca, NULL);
	mbedtls_ssl_conf_authmode(&config->conf, config->required ? MBEDTLS_SSL_VERIFY_REQUIRED
								  : MBEDTLS_SSL_VERIFY_OPTIONAL);
	return 0;
}

/* Whatever a ticket must not outlive. */
static void set_scope(struct tls_config *config)
{
	const mbedtls_x509_crt *crt;
	struct buf text = { 0 };
	int *suite;

	buf_puts(&text, !config->has_ca ? "nobody" : config->required ? "required" : "optional");
	for (suite = config->suites; *suite; suite++)
		buf_printf(&text, " %x", (unsigned)*suite);
	for (crt = &config->ca; config->has_ca && crt && crt->raw.p; crt = crt->next)
		buf_put(&text, crt->raw.p, crt->raw.len);
	digest_sha256(text.p, text.n, config->scope);
	buf_finish(&text);
}

static struct tls_config *create(bool server)
{
	struct tls_config *config = mem_zalloc(sizeof(*config));

	config->refs = 1;
	config->server = server;
	mbedtls_ssl_config_init(&config->conf);
	mbedtls_x509_crt_init(&config->ca);
	return config;
}

static int end_create(struct tls_config *config, int rc, struct tls_config **out)
{
	*out = NULL;
	if (rc != 0)
		tls_config_unref(config);
	else
		*out = config;
	return rc;
}

int tls_server_config(const struct tls_server_options *options, struct tls_config **out,
		      struct err *err)
{
	struct tls_config *config = create(true);
	int rc = 0;

	if (psa_crypto_init() != PSA_SUCCESS)
		rc = err_set(err, ERR_IO, "the crypto library does not start");
	if (rc == 0)
		rc = set_suites(config, options->suites, options->n_suites, err);
	if (rc == 0) {
		set_common(config, options->min_version);
		rc = set_pairs(config, options->pairs, options->n_pairs, err);
	}
	if (rc == 0)
		rc = set_client_ca(config, options, err);
	if (rc == 0) {
		set_scope(config);
		mbedtls_ssl_conf_cert_cb(&config->conf, choose_certificate);
		config->tickets = options->tickets;
		if (config->tickets)
			mbedtls_ssl_conf_session_tickets_cb(&config->conf, write_ticket,
							    parse_ticket, config);
	}
	return end_create(config, rc, out);
}

int tls_client_config(const struct tls_client_options *options, struct tls_config **out,
		      struct err *err)
{
	struct tls_config *config = create(false);
	int rc = 0;

	if (psa_crypto_init() != PSA_SUCCESS)
		rc = err_set(err, ERR_IO, "the crypto library does not start");
	if (rc == 0)
		rc = set_suites(config, NULL, 0, err);
	if (rc == 0) {
		set_common(config, options->min_version);
		rc = set_pairs(config, &options->pair, options->pair.certificate ? 1 : 0, err);
	}
	if (rc == 0 && options->ca)
		rc = read_certificates(options->ca, false, &config->ca, err);
	else if (rc == 0)
		rc = read_system_bundle(&config->ca, err);
	if (rc == 0) {
		config->has_ca = true;
		mbedtls_ssl_conf_ca_chain(&config->conf, &config->ca, NULL);
		mbedtls_ssl_conf_authmode(&config->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
		/* a ticket that comes is said, so that a read is tried again, never taken for data */
		mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
			&config->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	}
	return end_create(config, rc, out);
}

struct tls_config *tls_config_ref(struct tls_config *config)
{
	config->refs++;
	return config;
}

void tls_config_unref(struct tls_config *config)
{
	size_t i;

	if (!config || --config->refs)
		return;
	mbedtls_ssl_config_free(&config->conf);
	for (i = 0; i < config->n_pairs; i++) {
		mbedtls_x509_crt_free(&config->pairs[i].chain);
		mbedtls_pk_free(&config->pairs[i].key);
	}
	mbedtls_x509_crt_free(&config->ca);
	mem_free(config->pairs);
	mem_free(config->suites);
	mem_free(config);
}

uint64_t tls_config_not_after(const struct tls_config *config, size_t i)
{
	return tls_time(&config->pairs[i].chain.valid_to);
}

uint64_t tls_config_not_before(const struct tls_config *config, size_t i)
{
	return tls_time(&config->pairs[i].chain.valid_from);
}
