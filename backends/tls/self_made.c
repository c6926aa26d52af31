/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate of a server that was given none, as go-micro makes it: ECDSA
 * P-256, signed by itself, good for a year, new at each start, never in a file.
 */
#include <arpa/inet.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "backends/tls/tls.h"

enum { SELF_MADE_SECONDS = 365 * 24 * 3600 };

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

/* "IP:127.0.0.1,DNS:localhost". A name that is none is left out: it stands in a
 * list whose syntax it could change. */
static void
add_name(struct buf *list, const char *host)
{
	static const char name_chars[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	unsigned char address[sizeof(struct in6_addr)];
	bool ip = inet_pton(AF_INET, host, address) == 1 ||
		inet_pton(AF_INET6, host, address) == 1;

	if (!*host || (!ip && host[strspn(host, name_chars)]))
		return;
	buf_addf(list, "%s%s:%s", buf_len(list) ? "," : "", ip ? "IP" : "DNS", host);
}

static bool
fill(X509 *cert, EVP_PKEY *key, const char *names)
{
	X509_NAME *name = X509_get_subject_name(cert);
	ASN1_INTEGER *serial = X509_get_serialNumber(cert);
	unsigned char random[16];
	BIGNUM *n = NULL;
	bool ok;

	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	random[0] &= 0x7f;
	n = BN_bin2bn(random, sizeof random, NULL);
	ok = n && BN_to_ASN1_INTEGER(n, serial) && X509_set_version(cert, 2) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
		X509_gmtime_adj(X509_getm_notAfter(cert), SELF_MADE_SECONDS) &&
		X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
			(const unsigned char *)"mbus", -1, -1, 0) &&
		X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
		add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
		add_extension(cert, NID_key_usage,
			"critical,digitalSignature,keyEncipherment,keyCertSign") &&
		add_extension(cert, NID_ext_key_usage, "serverAuth") &&
		(!*names || add_extension(cert, NID_subject_alt_name, names)) &&
		X509_sign(cert, key, EVP_sha256()) > 0;
	BN_free(n);
	return ok;
}

int
self_made(SSL_CTX *ctx, const char *const *hosts, struct error *err)
{
	struct buf names = BUF_INIT;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool ok;

	for (; *hosts; hosts++)
		add_name(&names, *hosts);
	ok = key && cert && fill(cert, key, buf_cstr(&names)) &&
		SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	X509_free(cert);
	EVP_PKEY_free(key);
	buf_release(&names);
	return ok ? 0 : error_set(err, ERR_LOCAL_IO, "cannot make a certificate: %s", library_says());
}
