/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS, go-micro's Secure. The subscriber's side speaks it when it is told to, and
 * its node then says so; the publisher's side goes by what each node says. Both
 * contexts are made when first needed, so who does not use TLS never loads it.
 */
#include "backends/http/http.h"

#include "core/log.h"
#include "core/net.h"

enum { WARN_EVERY_MS = 5 * 1000 };

static const struct tls_options none;

static const struct tls_options *
options(const struct http_broker *hb)
{
	return hb->b.opts.tls ? hb->b.opts.tls : &none;
}

/* ---- the subscriber's side ---- */

/* As in go-micro, a certificate says enough. */
bool
http_secure_server(const struct http_broker *hb)
{
	const struct tls_options *o = options(hb);

	return o->on || o->ca || o->cert;
}

static const char *
host_of(const char *address, char out[256])
{
	struct bytes host, port, one = { address, strcspn(address, ",") };

	if (!net_split(one, &host, &port) || host.n > 255)
		host.n = 0;
	memcpy(out, host.p, host.n);
	out[host.n] = '\0';
	return out;
}

/* The host as the user gave it, as go-micro does, and the address that publishers
 * are told, which they will look for in the certificate: go-micro leaves that out,
 * and a certificate for 0.0.0.0 or for localhost alone then fits nothing. */
int
http_secure_server_open(struct http_broker *hb, const struct server *srv, struct error *err)
{
	const char *given = hb->b.opts.address ? hb->b.opts.address : hb->b.ops->default_address;
	char host[256], told[256];
	const char *hosts[] = { host_of(srv->advertised, told), NULL, NULL };
	union sockaddr_any a;
	socklen_t len;

	if (hb->tls_server)
		return 0;
	host_of(given, host);
	if (*host && strcmp(host, told) != 0 &&
	    net_parse(bytes_str(srv->advertised), &a, &len) && strcmp(host, "0.0.0.0") != 0 &&
	    strcmp(host, "::") != 0)
		hosts[1] = host;
	hb->tls_server = tls_server(options(hb), hosts, err);
	return hb->tls_server ? 0 : -1;
}

int
http_secure_accept(struct http_broker *hb, struct stream *st, struct error *err)
{
	return stream_start_tls(st, hb->tls_server, NULL, err);
}

/* An alert before any greeting: fatal, internal_error, which is what there is for a
 * server that cannot. Words would be taken for another protocol's. */
void
http_secure_refuse(struct stream *st)
{
	static const char alert[] = { 0x15, 3, 1, 0, 2, 2, 80 };

	buf_add(stream_out(st), alert, sizeof alert);
}

void
http_secure_failed(struct http_broker *hb, const struct error *err)
{
	uint64_t now = loop_now_ns(hb->loop);

	if (err->kind == ERR_AUTH && (!hb->tls_warned_ns ||
	    now - hb->tls_warned_ns > WARN_EVERY_MS * 1000000ull)) {
		hb->tls_warned_ns = now;
		log_warn("http: a publisher at %s", err->text);
	} else {
		log_verbose("http: a publisher at %s", err->text);
	}
}

/* ---- the publisher's side ---- */

int
http_secure_connect(struct http_broker *hb, struct stream *st, const char *address,
	struct error *err)
{
	char host[256];

	if (!hb->tls_client)
		hb->tls_client = tls_client(options(hb), err);
	if (!hb->tls_client)
		return -1;
	return stream_start_tls(st, hb->tls_client, host_of(address, host), err);
}

const struct error *
http_secure_unfit(const struct http_broker *hb, const struct peer *p)
{
	static struct error plain;

	if (p->secure || !options(hb)->on)
		return NULL;
	error_set(&plain, ERR_NOTFOUND, "%s: offers no TLS, and --tls asks for it", p->address);
	return &plain;
}

void
http_secure_release(struct http_broker *hb)
{
	tls_free(hb->tls_client);
	tls_free(hb->tls_server);
	hb->tls_client = hb->tls_server = NULL;
}
