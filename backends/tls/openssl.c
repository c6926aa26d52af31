/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport: OpenSSL on the stream's own descriptor. It reads and writes the
 * descriptor itself; the stream is told what to wait for (read_wants, write_wants)
 * and whether the library still holds bytes (more), which epoll cannot see.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/tls/tls.h"

/* What Go's server says, and then our side ends. What else the peer sent is read,
 * because closing with unread input would reset the connection and take our words
 * with it. */
static void
answer_plain_http(struct stream *s)
{
	static const char text[] = "HTTP/1.0 400 Bad Request\r\n\r\n"
		"Client sent an HTTP request to an HTTPS server.\n";
	char waste[4096];

	send(s->watch.fd, text, sizeof text - 1, MSG_NOSIGNAL);
	shutdown(s->watch.fd, SHUT_WR);
	for (int i = 0; i < 16 && recv(s->watch.fd, waste, sizeof waste, 0) > 0; i++)
		;
}

static int
tls_handshake(struct stream *s, struct error *err)
{
	struct session *t = s->state;
	int done, code;

	ERR_clear_error();
	errno = 0;
	if (SSL_get_fd(t->ssl) < 0 && SSL_set_fd(t->ssl, s->watch.fd) != 1)
		return error_set(err, ERR_CONNECT, "%s: TLS cannot be begun: %s", s->peer,
			library_says());
	done = SSL_do_handshake(t->ssl);
	if (done == 1)
		return 0;
	code = SSL_get_error(t->ssl, done);
	if (code == SSL_ERROR_WANT_READ)
		return LOOP_READ;
	if (code == SSL_ERROR_WANT_WRITE)
		return LOOP_WRITE;
	session_failed(t, s, code, err);
	if (t->c->server && ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST)
		answer_plain_http(s);
	return -1;
}

/* After a call that brought nothing: 0 is the end, -1 with errno. */
static ssize_t
tls_result(struct stream *s, struct session *t, int code, unsigned char *wants)
{
	switch (code) {
	case SSL_ERROR_WANT_READ:
		*wants = LOOP_READ;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		*wants = LOOP_WRITE;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	}
	session_failed(t, s, code, &s->error);
	s->told = true;
	errno = EPROTO;
	return -1;
}

/* One call of the library brings one record at most. */
static ssize_t
tls_read(struct stream *s, void *p, size_t n)
{
	struct session *t = s->state;
	size_t got = 0, part;
	int code;

	if (t->over) {
		errno = EPROTO;
		return -1;
	}
	s->read_wants = LOOP_READ;
	while (got < n) {
		ERR_clear_error();
		errno = 0;
		if (SSL_read_ex(t->ssl, (char *)p + got, n - got, &part) == 1) {
			got += part;
			continue;
		}
		code = SSL_get_error(t->ssl, 0);
		/* With bytes in hand, the rest of the news comes with the next call. */
		s->more = got && code != SSL_ERROR_WANT_READ;
		if (!got)
			return tls_result(s, t, code, &s->read_wants);
		if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE ||
		    code == SSL_ERROR_ZERO_RETURN)
			return (ssize_t)got;
		tls_result(s, t, code, &s->read_wants);
		return (ssize_t)got;
	}
	s->more = true;
	return (ssize_t)got;
}

static ssize_t
tls_write(struct stream *s, const void *p, size_t n)
{
	struct session *t = s->state;
	size_t took;
	ssize_t r;

	if (t->over) {
		errno = EPROTO;
		return -1;
	}
	/* A record at a time, and again the very same bytes where one could not be sent:
	 * then what was written is known to the byte, and so is what was begun. */
	if (s->begun)
		n = s->begun;
	else if (n > SSL3_RT_MAX_PLAIN_LENGTH)
		n = SSL3_RT_MAX_PLAIN_LENGTH;
	s->write_wants = LOOP_WRITE;
	ERR_clear_error();
	errno = 0;
	if (SSL_write_ex(t->ssl, p, n, &took) == 1) {
		s->begun = 0;
		return (ssize_t)took;
	}
	s->begun = n;
	if (SSL_get_error(t->ssl, 0) == SSL_ERROR_SYSCALL) {
		/* The peer may have said why before it went: reading goes on. */
		if (!errno)
			errno = EPIPE;
		return -1;
	}
	r = tls_result(s, t, SSL_get_error(t->ssl, 0), &s->write_wants);
	if (r == 0)
		errno = EPIPE;
	return -1;
}

static bool
tls_shutdown(struct stream *s)
{
	struct session *t = s->state;
	int r;

	if (t->over)
		return true;
	ERR_clear_error();
	r = SSL_shutdown(t->ssl);
	if (r < 0 && SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_WRITE)
		return false;
	ERR_clear_error();
	shutdown(s->watch.fd, SHUT_WR);
	return true;
}

static void
tls_close(struct stream *s)
{
	struct session *t = s->state;

	/* The goodbye, unless there was no greeting or the library has given up. */
	if (!t->over && !s->broken && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
	SSL_free(t->ssl);
	free(t);
	if (s->watch.fd >= 0)
		close(s->watch.fd);
}

static const struct transport transport_tls = {
	.read = tls_read,
	.write = tls_write,
	.close = tls_close,
	.shutdown = tls_shutdown,
	.handshake = tls_handshake,
};

/* ---- starting ---- */

/* Whom the client expects: checked in the certificate, and asked for where it is a
 * name (an address is not sent). */
static bool
expect(struct session *t)
{
	unsigned char address[sizeof(struct in6_addr)];
	bool ip = inet_pton(AF_INET, t->name, address) == 1 ||
		inet_pton(AF_INET6, t->name, address) == 1;

	if (ip)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->name) == 1;
	return SSL_set1_host(t->ssl, t->name) == 1 &&
		SSL_set_tlsext_host_name(t->ssl, t->name) == 1;
}

static int
tls_start(struct tls *tls, struct stream *s, const char *host, struct error *err)
{
	struct context *c = (struct context *)tls;
	struct session *t = xcalloc(1, sizeof *t);
	const char *name = c->sni ? c->sni : host;

	ERR_clear_error();
	/* A Unix socket has no name of its own. */
	if (!c->server && c->verifies && !(name && *name)) {
		free(t);
		return error_set(err, ERR_USAGE, "%s: no name to look for in the certificate "
			"(--tls-sni gives one)", s->peer);
	}
	t->c = c;
	t->ssl = SSL_new(c->ctx);
	if (!c->server && name)
		snprintf(t->name, sizeof t->name, "%s", name);
	if (!t->ssl || (t->name[0] && !expect(t))) {
		error_set(err, ERR_CONNECT, "%s: TLS cannot be begun%s%s: %s", s->peer,
			t->name[0] ? " with " : "", t->name, library_says());
		SSL_free(t->ssl);
		free(t);
		return -1;
	}
	SSL_set_app_data(t->ssl, t);
	if (c->server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	stream_set_transport(s, &transport_tls, t);
	return 0;
}

const struct tls_ops tls_layer_ops = {
	.name = "tls",
	.stream_size = sizeof(struct stream),
	.client = context_client,
	.server = context_server,
	.start = tls_start,
	.release = context_release,
	.sign = sign_ed25519,
};

MODULE_TLS(tls_layer_ops);
