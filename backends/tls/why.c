/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, in one line, and what the user can do about it. The library
 * names what it was doing ("wrong version number"); the user wants to know what
 * the other side is.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "backends/tls/tls.h"

enum {
	ALERT = 1000,			/* of the peer: the reason is this and its number */
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_NO_CERTIFICATE = 41,
	ALERT_BAD_CERTIFICATE = 42,
	ALERT_ACCESS_DENIED = 49,
	ALERT_DECRYPT_ERROR = 51,
	ALERT_PROTOCOL_VERSION = 70,
	ALERT_CERTIFICATE_REQUIRED = 116,
	NAMES_SHOWN = 4
};

/* What a certificate says is the peer's word, and goes to a terminal. */
static void
add_clean(struct buf *out, const unsigned char *p, int n)
{
	for (int i = 0; i < n && i < 64; i++)
		buf_add_ch(out, isprint(p[i]) && p[i] < 0x80 ? (char)p[i] : '?');
}

static void
add_names(struct buf *out, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int shown = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown < NAMES_SHOWN; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		char ip[INET6_ADDRSTRLEN];

		if (g->type == GEN_DNS) {
			buf_add_str(out, shown++ ? ", " : "");
			add_clean(out, g->d.dNSName->data, g->d.dNSName->length);
		} else if (g->type == GEN_IPADD && (g->d.iPAddress->length == 4 ||
		    g->d.iPAddress->length == 16) && inet_ntop(g->d.iPAddress->length == 4 ?
		    AF_INET : AF_INET6, g->d.iPAddress->data, ip, sizeof ip)) {
			buf_add_str(out, shown++ ? ", " : "");
			buf_add_str(out, ip);
		}
	}
	if (!shown)
		buf_add_str(out, "no name");
	GENERAL_NAMES_free(names);
}

static void
add_time(struct buf *out, const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) == 1)
		buf_addf(out, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
			tm.tm_mday, tm.tm_hour, tm.tm_min);
}

static void
add_issuer(struct buf *out, X509 *cert)
{
	char text[128] = "";
	BIO *b = BIO_new(BIO_s_mem());

	/* These flags escape what is not printable ASCII. */
	if (b && X509_NAME_print_ex(b, X509_get_issuer_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
		int n = BIO_read(b, text, sizeof text - 1);

		text[n > 0 ? n : 0] = '\0';
	}
	BIO_free(b);
	buf_add_str(out, text);
}

/* Appends what is wrong with the peer's certificate. */
static void
add_fault(struct buf *out, const struct session *t, int code, X509 *cert)
{
	const char *may = t->c->server ? "" :
		" (--tls-ca FILE says whom to trust, --tls-insecure looks at nothing)";

	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		buf_add_str(out, "its certificate expired at ");
		add_time(out, X509_get0_notAfter(cert));
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		buf_add_str(out, "its certificate is not valid before ");
		add_time(out, X509_get0_notBefore(cert));
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		buf_add_str(out, "its certificate is for ");
		add_names(out, cert);
		buf_addf(out, ", not for %s (--tls-sni NAME says another)", t->name);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		buf_addf(out, "its certificate is signed by itself%s", may);
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		buf_add_str(out, "its certificate is by an authority that is not trusted: ");
		add_issuer(out, cert);
		buf_add_str(out, may);
		break;
	default:
		buf_addf(out, "its certificate is not accepted: %s",
			X509_verify_cert_error_string(code));
	}
}

int
verify_failed(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct session *t = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	struct buf text = BUF_INIT;

	if (ok || !t->c->verifies)
		return 1;
	if (!cert)
		cert = X509_STORE_CTX_get0_cert(store);
	add_fault(&text, t, X509_STORE_CTX_get_error(store), cert);
	snprintf(t->why, sizeof t->why, "%s", buf_cstr(&text));
	buf_release(&text);
	return 0;
}

/* The peer has ended it with an alert. true: over a certificate. */
static bool
alert_says(const struct session *t, int alert, char *out, size_t size)
{
	const char *name = SSL_alert_desc_string_long(alert);
	bool certificate = (alert >= ALERT_NO_CERTIFICATE && alert <= ALERT_ACCESS_DENIED) ||
		alert == ALERT_DECRYPT_ERROR || alert == ALERT_CERTIFICATE_REQUIRED;

	if (alert == ALERT_PROTOCOL_VERSION) {
		snprintf(out, size, "speaks neither TLS 1.2 nor 1.3");
	} else if (t->asked && (certificate || alert == ALERT_HANDSHAKE_FAILURE)) {
		snprintf(out, size, "wants a certificate of ours (--tls-cert FILE --tls-key FILE)");
		return true;
	} else if (certificate) {
		snprintf(out, size, "does not accept our certificate: %s", name);
	} else {
		snprintf(out, size, "ended TLS with the alert: %s", name);
	}
	return certificate;
}

/* The library did not like what came. */
static bool
reason_says(const struct session *t, int reason, char *out, size_t size)
{
	bool server = t->c->server;

	switch (reason) {
	case SSL_R_HTTP_REQUEST:
		snprintf(out, size, "sent plain HTTP to a TLS port");
		return false;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_BAD_RECORD_TYPE:
		snprintf(out, size, server ? "sent something that is not TLS" :
			"answered in plain text, not TLS: leave out --tls");
		return false;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		snprintf(out, size, "speaks neither TLS 1.2 nor 1.3");
		return false;
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		snprintf(out, size, "sent no certificate, and --tls-ca asks for one");
		return true;
	}
	snprintf(out, size, "TLS failed: %s", library_says());
	return false;
}

void
session_failed(struct session *t, struct stream *s, int code, struct error *err)
{
	int saved = errno, reason = ERR_GET_REASON(ERR_peek_last_error());
	bool shaking = s->shaking, certificate = false;
	/* Servers that do not know TLS often just hang up on it. */
	const char *perhaps = shaking && !t->c->server ?
		"; perhaps this port does not speak TLS: leave out --tls" : "";
	char text[200];

	t->over = true;
	if (t->why[0]) {
		error_set(err, ERR_AUTH, "%s: %s", s->peer, t->why);
		return;
	}
	errno = saved;
	if (code == SSL_ERROR_SYSCALL && saved) {
		error_set(err, ERR_CONNECT, "%s: %s: %s%s", s->peer,
			shaking ? "lost in the TLS handshake" : "cannot read", strerror(saved), perhaps);
		return;
	}
	if (code != SSL_ERROR_SSL)
		snprintf(text, sizeof text, "closed the connection%s%s",
			shaking ? " in the TLS handshake" : "", perhaps);
	else if (reason > ALERT && reason < ALERT + 256)
		certificate = alert_says(t, reason - ALERT, text, sizeof text);
	else
		certificate = reason_says(t, reason, text, sizeof text);
	error_set(err, certificate ? ERR_AUTH : ERR_CONNECT, "%s: %s", s->peer, text);
}
