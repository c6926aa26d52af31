/* SPDX-License-Identifier: Apache-2.0 */
/* The etcd registry, compatible with go-micro's in both directions: see etcd.h. */
#include "backends/registry/etcd.h"

#include "core/secret.h"

static int
set_user(struct etcd *e, struct error *err)
{
	const struct registry *r = &e->base;
	const char *user = r->opts.username, *password = e->password_given;

	if (!user)
		user = e->username;
	if (!user)
		user = secret_env("ETCD_USERNAME");
	e->username = user && *user ? user : NULL;
	e->password = r->opts.password;
	if (!e->password.p)
		e->password = bytes_str(password ? password : secret_env("ETCD_PASSWORD"));
	if (!e->username && (r->opts.password.p || password))
		return error_set(err, ERR_USAGE, "etcd: a password, and no user (--username)");
	return 0;
}

/* The common options where they are the registry's, else its own. */
static void
set_tls(struct etcd *e)
{
	const struct registry *r = &e->base;

	if (r->opts.tls)
		e->tls = *r->opts.tls;
	else
		e->tls.on = e->tls.ca || e->tls.cert;
	if (e->tls.on)
		e->http.tls = &e->tls;
}

static int
init(struct registry *r, struct error *err)
{
	struct etcd *e = (struct etcd *)r;
	size_t n;

	e->http = (struct http_client_options){
		.what = "etcd",
		.address = r->opts.address,
		.default_address = r->ops->default_address,
		.port = 2379,
		.timeout_ms = r->opts.connect_timeout_ms,
		.body_max = ETCD_BODY_MAX,
	};
	n = strlen(e->prefix);
	if (*e->prefix != '/' || n < 2 || e->prefix[n - 1] == '/')
		return error_set(err, ERR_USAGE, "-X etcd.prefix=%.60s: a path that begins with '/' "
			"and does not end so", e->prefix);
	set_tls(e);
	return set_user(e, err);
}

static void
release(struct registry *r)
{
	struct etcd *e = (struct etcd *)r;

	etcd_watch_release(e);
	etcd_look_release(e);
	etcd_own_release(e);
	etcd_call_release(e);
}

#define AT(type, member) XOPT_##type(struct etcd, member)
static const struct broker_option options[] = {
	{ "prefix", "PATH", "/micro/registry",
	  "where services are kept (plugins up to v1.4.0: /micro-registry)", AT(STR, prefix) },
	{ "username", "USER", NULL, "beside a broker: who we are (else $ETCD_USERNAME)",
	  AT(STR, username) },
	{ "password", "@FILE", NULL, "beside a broker: the password, in a file (else $ETCD_PASSWORD)",
	  AT(STR, password_given), .secret = true },
	{ "tls_ca", "FILE", NULL, "beside a broker: use TLS, and trust these", AT(STR, tls.ca) },
	{ "tls_cert", "FILE", NULL, "beside a broker: our certificate", AT(STR, tls.cert) },
	{ "tls_key", "FILE", NULL, "beside a broker: its private key", AT(STR, tls.key) },
	{ NULL }
};

const struct registry_ops etcd_registry_ops = {
	.name = "etcd",
	.default_address = "127.0.0.1:2379",
	.size = sizeof(struct etcd),
	.options = options,
	.caps = REGISTRY_SERVER | REGISTRY_TLS | REGISTRY_USER,
	.init = init,
	.release = release,
	.add = etcd_add,
	.remove = etcd_remove,
	.get = etcd_get,
	.list = etcd_list,
	.cancel = etcd_cancel_lookup,
	.watch = etcd_watch,
	.unwatch = etcd_unwatch,
	.expel = etcd_expel,
	.forget = etcd_forget,
	.busy = etcd_busy,
};

MODULE_REGISTRY(etcd_registry_ops);
