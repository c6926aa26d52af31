/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS under a stream, for whichever side of whichever broker. The work is done by
 * a module (backends/tls), because its library costs a process more than a
 * millisecond to start; it is loaded by the first tls_client() or tls_server().
 *
 *	t = tls_client(opts, err);
 *	s = stream_connect(...);
 *	stream_start_tls(s, t, NULL, err);
 *
 * Versions 1.2 and 1.3, no renegotiation, no session is resumed, no protocol is
 * negotiated inside (ALPN). A peer that goes without TLS's own goodbye has closed
 * the connection like any other: what is carried here says its own lengths.
 */
#ifndef MBUS_CORE_TLS_H
#define MBUS_CORE_TLS_H

#include "core/registry.h"
#include "core/stream.h"

/* As the user gave them. Strings are borrowed for ever (argv); files are named,
 * never quoted. */
struct tls_options {
	bool on;		/* nothing without TLS */
	bool insecure;		/* the peer's certificate is not looked at */
	const char *ca;		/* file: who may sign the peer's; NULL: the system's. A
				 * server with one wants certificates of its clients */
	const char *cert, *key;	/* files: ours. A server without makes one for itself */
	const char *sni;	/* the name to ask for and to check, instead of the host */
};

/* One side's certificate and what it trusts; outlives the streams it started. */
struct tls {
	const struct tls_ops *ops;
};

/* The module's. */
struct tls_ops {
	const char *name;
	size_t stream_size;	/* sizeof(struct stream) it was built with */
	struct tls *(*client)(const struct tls_options *, struct error *);
	struct tls *(*server)(const struct tls_options *, const char *const *hosts,
		struct error *);
	int (*start)(struct tls *, struct stream *, const char *host, struct error *);
	void (*release)(struct tls *);
	/* As tls_sign(). */
	int (*sign)(const unsigned char *seed, struct bytes text, unsigned char *public,
		unsigned char *signature, struct error *);
};

extern const struct backend tls_table[];	/* ends with name NULL */

/* NULL: err says why (a file, or no module). */
struct tls *tls_client(const struct tls_options *, struct error *);
/* hosts (up to a NULL): the names and addresses for a self-made certificate. */
struct tls *tls_server(const struct tls_options *, const char *const *hosts, struct error *);
void tls_free(struct tls *);			/* NULL is allowed */
/* A stream just connecting, or just accepted, from now on speaks TLS. A client
 * checks the peer's certificate for options.sni, else for host (without port; NULL or
 * "" for a Unix socket: then sni must say it).
 * What fails later comes by on_closed(): ERR_AUTH for a certificate, theirs or
 * ours, that one side does not accept, else ERR_CONNECT. */
int stream_start_tls(struct stream *, struct tls *, const char *host, struct error *);

/* Ed25519: the public key (32 bytes) and the signature (64) that a seed (32) makes. Not
 * TLS, but the same library. */
int tls_sign(const unsigned char *seed, struct bytes text, unsigned char *public,
	unsigned char *signature, struct error *);

#endif
