/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS by OpenSSL, 3.0 and later.
 *
 *	context.c	files, what is trusted, who is asked for a certificate
 *	self_made.c	the certificate a server makes for itself
 *	sign.c		signatures, for who proves by one who he is
 *	why.c		failures in words
 *	openssl.c	the transport under a stream
 */
#ifndef MBUS_TLS_TLS_H
#define MBUS_TLS_TLS_H

#include <openssl/ssl.h>

#include "core/stream_impl.h"
#include "core/tls.h"

extern const struct tls_ops tls_layer_ops;	/* openssl.c */

struct context {
	struct tls tls;
	SSL_CTX *ctx;
	bool server;
	bool verifies;
	bool has_cert;
	bool locked;			/* a key with a passphrase was met */
	const char *sni;
};

/* The state of a stream's transport. */
struct session {
	SSL *ssl;
	struct context *c;
	char name[256];			/* the peer's that is checked; "": none */
	bool over;			/* the library must not be called for it again */
	bool asked;			/* the server wanted a certificate */
	char why[360];			/* what is wrong with the peer's */
};

/* context.c */
struct tls *context_client(const struct tls_options *, struct error *);
struct tls *context_server(const struct tls_options *, const char *const *hosts, struct error *);
void context_release(struct tls *);
/* The library's last word, for a file that is not what it should be. */
const char *library_says(void);

/* self_made.c */
int self_made(SSL_CTX *, const char *const *hosts, struct error *);

/* sign.c */
int sign_ed25519(const unsigned char *seed, struct bytes text, unsigned char *public,
	unsigned char *signature, struct error *);

/* why.c */
/* Of SSL_CTX_set_verify(): words the first thing that is wrong. */
int verify_failed(int ok, X509_STORE_CTX *);
/* A call on the session has failed with this SSL_get_error(). */
void session_failed(struct session *, struct stream *, int code, struct error *);

#endif
