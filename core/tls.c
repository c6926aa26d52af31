/* SPDX-License-Identifier: Apache-2.0 */
/* TLS's front: loads the module when it is first asked for. See tls.h. */
#include "core/tls.h"

#include "core/stream_impl.h"

static const struct tls_ops *
tls_load(struct error *err)
{
	const struct tls_ops *ops = backend_find(tls_table, "layer", "tls", err);

	if (ops && ops->stream_size != sizeof(struct stream)) {
		error_set(err, ERR_NOTFOUND, "the tls layer: its module is of another version of mbus");
		return NULL;
	}
	return ops;
}

struct tls *
tls_client(const struct tls_options *opts, struct error *err)
{
	const struct tls_ops *ops = tls_load(err);

	return ops ? ops->client(opts, err) : NULL;
}

struct tls *
tls_server(const struct tls_options *opts, const char *const *hosts, struct error *err)
{
	const struct tls_ops *ops = tls_load(err);

	return ops ? ops->server(opts, hosts, err) : NULL;
}

void
tls_free(struct tls *t)
{
	if (t)
		t->ops->release(t);
}

int
stream_start_tls(struct stream *s, struct tls *t, const char *host, struct error *err)
{
	return t->ops->start(t, s, host, err);
}

int
tls_sign(const unsigned char *seed, struct bytes text, unsigned char *public,
	unsigned char *signature, struct error *err)
{
	const struct tls_ops *ops = tls_load(err);

	return ops ? ops->sign(seed, text, public, signature, err) : -1;
}
