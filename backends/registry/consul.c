/* SPDX-License-Identifier: Apache-2.0 */
/* The consul registry, compatible with go-micro's in both directions: see consul.h. */
#include <stdlib.h>

#include "backends/registry/consul.h"
#include "core/secret.h"

struct http_client *
consul_client(struct consul *c, struct error *err)
{
	struct http_client *client = http_client_new(c->base.loop, &c->http, err);

	if (client && c->token)
		http_client_header(client, "X-Consul-Token", bytes_str(c->token));
	return client;
}

int
consul_open(struct consul *c, struct error *err)
{
	if (!c->client)
		c->client = consul_client(c, err);
	return c->client ? 0 : -1;
}

/* An option, else consul's own variable. */
static const char *
setting(const char *option, const char *variable)
{
	const char *v = option ? option : secret_env(variable);

	return v && *v ? v : NULL;
}

static int
set_token(struct consul *c, struct error *err)
{
	c->token = setting(c->token, "CONSUL_HTTP_TOKEN");
	for (const char *p = c->token; p && *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
			return error_set(err, ERR_USAGE, "consul: the token has a character that no "
				"token has");
	return 0;
}

/* The common options where they are the registry's, else its own. */
static void
set_tls(struct consul *c)
{
	const struct registry *r = &c->base;
	const char *ssl = secret_env("CONSUL_HTTP_SSL");

	if (r->opts.tls) {
		c->tls = *r->opts.tls;
	} else {
		c->tls.on = c->tls.ca || c->tls.cert ||
			(ssl && (strcmp(ssl, "true") == 0 || strcmp(ssl, "1") == 0));
		c->tls.ca = setting(c->tls.ca, "CONSUL_CACERT");
		c->tls.cert = setting(c->tls.cert, "CONSUL_CLIENT_CERT");
		c->tls.key = setting(c->tls.key, "CONSUL_CLIENT_KEY");
	}
	if (c->tls.on || c->tls.ca || c->tls.cert)
		c->http.tls = &c->tls;
}

static int
init(struct registry *r, struct error *err)
{
	struct consul *c = (struct consul *)r;

	c->http = (struct http_client_options){
		.what = "consul",
		.address = r->opts.address,
		.default_address = secret_env("CONSUL_HTTP_ADDR"),
		.port = 8500,
		.timeout_ms = r->opts.connect_timeout_ms,
		.body_max = CONSUL_BODY_MAX,
	};
	if (!c->http.default_address || !*c->http.default_address)
		c->http.default_address = r->ops->default_address;
	set_tls(c);
	return set_token(c, err);
}

static void
release(struct registry *r)
{
	struct consul *c = (struct consul *)r;

	consul_watch_release(c);
	consul_look_release(c);
	consul_own_release(c);
	http_client_free(c->client);
}

#define AT(type, member) XOPT_##type(struct consul, member)
static const struct broker_option options[] = {
	{ "token", "@FILE", NULL, "the ACL token, in a file (else $CONSUL_HTTP_TOKEN)",
	  AT(STR, token), .secret = true },
	{ "health", "passing|warning|any", "warning",
	  "the least health a node must have to be found; any shows what it is",
	  AT(CHOICE, health), .use = BROKER_FOR_PUB | BROKER_FOR_TOPICS },
	{ "tls_ca", "FILE", NULL, "beside a broker: use TLS, and trust these", AT(STR, tls.ca) },
	{ "tls_cert", "FILE", NULL, "beside a broker: our certificate", AT(STR, tls.cert) },
	{ "tls_key", "FILE", NULL, "beside a broker: its private key", AT(STR, tls.key) },
	{ NULL }
};

const struct registry_ops consul_registry_ops = {
	.name = "consul",
	.default_address = "127.0.0.1:8500",
	.size = sizeof(struct consul),
	.options = options,
	.caps = REGISTRY_SERVER | REGISTRY_TLS,
	.unique_ids = true,
	.init = init,
	.release = release,
	.add = consul_add,
	.remove = consul_remove,
	.get = consul_get,
	.list = consul_list,
	.cancel = consul_cancel,
	.watch = consul_watch,
	.unwatch = consul_unwatch,
	.expel = consul_expel,
	.forget = consul_forget,
	.busy = consul_busy,
};

MODULE_REGISTRY(consul_registry_ops);
