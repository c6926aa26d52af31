/* SPDX-License-Identifier: Apache-2.0 */
/* One side's certificate, key and trust. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/tls/tls.h"

/* What one read may bring: several records at once. It is held only while there is
 * something in it. */
enum { READ_AHEAD = 64 * 1024 };

const char *
library_says(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "OpenSSL does not say why";
}

/* An encrypted key is not asked for at the terminal: mbus runs in scripts. */
static int
no_password(char *p, int size, int writing, void *arg)
{
	bool *locked = arg;

	(void)p, (void)size, (void)writing;
	*locked = true;
	return -1;
}

/* The library's words for a file that cannot be opened are many and odd. */
static int
readable(const char *option, const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c;
	ssize_t n = fd < 0 ? -1 : read(fd, &c, 1);

	if (n < 0)
		error_sys(err, ERR_LOCAL_IO, "%s %s", option, path);
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

static int
load_own(struct context *c, const struct tls_options *o, struct error *err)
{
	const char *key = o->key ? o->key : o->cert;

	if (readable("--tls-cert", o->cert, err) < 0 || readable("--tls-key", key, err) < 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(c->ctx, o->cert) != 1)
		return error_set(err, ERR_LOCAL_IO, "--tls-cert %s: no certificate in PEM (%s)",
			o->cert, library_says());
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) == 1) {
		c->has_cert = true;
		return 0;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
		return error_set(err, ERR_LOCAL_IO, "%s: the key in it is not the one of %s",
			key, o->cert);
	if (!o->key && !c->locked)
		return error_set(err, ERR_LOCAL_IO, "--tls-cert %s: no private key in it: --tls-key "
			"FILE", key);
	return error_set(err, ERR_LOCAL_IO, "%s %s: no private key in PEM without a passphrase",
		o->key ? "--tls-key" : "--tls-cert", key);
}

static int
load_trust(struct context *c, const struct tls_options *o, struct error *err)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(c->ctx);

	/* The file may hold the peer's own certificate, whoever signed it. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	/* As Go and browsers do: the names are the alternative names. */
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (!o->ca) {
		SSL_CTX_set_default_verify_paths(c->ctx);
		return 0;
	}
	if (readable("--tls-ca", o->ca, err) < 0)
		return -1;
	if (SSL_CTX_load_verify_file(c->ctx, o->ca) != 1)
		return error_set(err, ERR_LOCAL_IO, "--tls-ca %s: no certificate in PEM", o->ca);
	/* A client with several certificates chooses by these. */
	if (c->server)
		SSL_CTX_set_client_CA_list(c->ctx, SSL_load_client_CA_file(o->ca));
	return 0;
}

/* Called when the server wants a certificate; there is none beyond what was loaded. */
static int
client_cert_wanted(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
	struct session *t = SSL_get_app_data(ssl);

	(void)cert, (void)key;
	t->asked = true;
	return 0;
}

static struct context *
context_new(const struct tls_options *o, bool server, struct error *err)
{
	struct context *c = xcalloc(1, sizeof *c);

	ERR_clear_error();
	c->tls.ops = &tls_layer_ops;
	c->server = server;
	c->sni = o->sni;
	c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1) {
		error_set(err, ERR_LOCAL_IO, "TLS cannot be used: %s", library_says());
		context_release(&c->tls);
		return NULL;
	}
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_read_ahead(c->ctx, 1);
	SSL_CTX_set_default_read_buffer_len(c->ctx, READ_AHEAD);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	/* A ticket would be written to a peer that may have sent and gone: that
	 * resets the connection and takes what it sent with it. */
	SSL_CTX_set_num_tickets(c->ctx, 0);
	SSL_CTX_set_default_passwd_cb(c->ctx, no_password);
	SSL_CTX_set_default_passwd_cb_userdata(c->ctx, &c->locked);
	return c;
}

struct tls *
context_client(const struct tls_options *o, struct error *err)
{
	struct context *c = context_new(o, false, err);

	if (!c)
		return NULL;
	c->verifies = !o->insecure;
	if ((c->verifies && load_trust(c, o, err) < 0) || (o->cert && load_own(c, o, err) < 0)) {
		context_release(&c->tls);
		return NULL;
	}
	SSL_CTX_set_verify(c->ctx, c->verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, verify_failed);
	if (!c->has_cert)
		SSL_CTX_set_client_cert_cb(c->ctx, client_cert_wanted);
	return &c->tls;
}

struct tls *
context_server(const struct tls_options *o, const char *const *hosts, struct error *err)
{
	struct context *c = context_new(o, true, err);
	int made;

	if (!c)
		return NULL;
	c->verifies = o->ca != NULL;
	made = o->cert ? load_own(c, o, err) : self_made(c->ctx, hosts, err);
	if (made < 0 || (c->verifies && load_trust(c, o, err) < 0)) {
		context_release(&c->tls);
		return NULL;
	}
	if (c->verifies)
		SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			verify_failed);
	return &c->tls;
}

void
context_release(struct tls *t)
{
	struct context *c = (struct context *)t;

	SSL_CTX_free(c->ctx);
	free(c);
}
