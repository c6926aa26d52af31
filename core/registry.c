/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every registry: see registry.h. */
#include "core/registry.h"

#include <stdlib.h>

#include "core/json.h"

struct bytes
node_meta(const struct node *n, const char *key)
{
	struct bytes k = bytes_str(key);

	for (size_t i = 0; i < n->nmetadata; i++)
		if (bytes_eq(n->metadata[i].key, k))
			return n->metadata[i].value;
	return (struct bytes){ NULL, 0 };
}

static int
by_key(const void *a, const void *b)
{
	const struct keyval *x = a, *y = b;

	return bytes_cmp(x->key, y->key);
}

void
metadata_add_json(struct buf *out, const struct keyval *metadata, size_t n)
{
	struct keyval *sorted;

	if (n == 0) {
		buf_add_str(out, "null");
		return;
	}
	sorted = xmalloc(n * sizeof *sorted);
	memcpy(sorted, metadata, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_key);
	for (size_t i = 0; i < n; i++) {
		buf_add_ch(out, i ? ',' : '{');
		json_add_go_string(out, sorted[i].key);
		buf_add_ch(out, ':');
		json_add_go_string(out, sorted[i].value);
	}
	buf_add_ch(out, '}');
	free(sorted);
}

/* Only "NAME.option" is this registry's; the rest is the broker's. */
static const char *
own_xopt(const struct registry_ops *ops, const char *name)
{
	size_t n = strlen(ops->name);

	return strncmp(name, ops->name, n) == 0 && name[n] == '.' ? name + n + 1 : NULL;
}

const char *
registry_xopt(const struct registry *r, const char *name)
{
	const struct broker_option *o = xopt_find(r->ops->options, name);

	for (size_t i = r->opts.nxopts; i-- > 0;) {
		const char *own = own_xopt(r->ops, r->opts.xopts[i].name);

		if (own && strcmp(own, name) == 0)
			return r->opts.xopts[i].value;
	}
	return o ? o->value : NULL;
}

/* A prefix that is another registry's or a broker's is not looked at here; one
 * that is nobody's is a mistake. */
static bool
prefix_known(const char *name)
{
	size_t n = strcspn(name, ".");
	const struct backend *tables[] = { broker_table, registry_table };

	if (!name[n])
		return true;
	for (size_t t = 0; t < 2; t++)
		for (const struct backend *b = tables[t]; b->name; b++)
			if (strlen(b->name) == n && strncmp(b->name, name, n) == 0)
				return true;
	return false;
}

static int
check_xopts(const struct registry_ops *ops, const struct registry_options *opts, struct error *err)
{
	for (size_t i = 0; i < opts->nxopts; i++) {
		const char *full = opts->xopts[i].name, *own = own_xopt(ops, full);
		const struct broker_option *o = own ? xopt_find(ops->options, own) : NULL;

		if (own ? !o : !prefix_known(full))
			return error_set(err, ERR_USAGE, "-X %s: no such option (-X list shows them)",
				full);
		if (o && xopt_check_use(full, o->use, opts->use, err) < 0)
			return -1;
	}
	return 0;
}

static const char *
value_of(const void *instance, const char *name)
{
	return registry_xopt(instance, name);
}

struct registry *
registry_new(const char *name, struct loop *loop, const struct registry_options *opts,
	struct error *err)
{
	const struct registry_ops *ops = registry_find(name, err);
	struct registry *r;

	if (!ops)
		return NULL;
	if (check_xopts(ops, opts, err) < 0)
		return NULL;
	r = xcalloc(1, ops->size);
	r->ops = ops;
	r->loop = loop;
	r->opts = *opts;
	if (xopt_read(r, ops->name, ops->options, value_of, err) < 0) {
		free(r);
		return NULL;
	}
	if (ops->init(r, err) < 0) {
		registry_free(r);
		return NULL;
	}
	return r;
}

void
registry_free(struct registry *r)
{
	if (!r)
		return;
	r->ops->release(r);
	free(r);
}

int
registry_add(struct registry *r, const struct service *s, unsigned ttl_ms,
	struct registry_reply *reply, struct error *err)
{
	return r->ops->add(r, s, ttl_ms, reply, err);
}

void
registry_remove(struct registry *r, const struct service *s)
{
	r->ops->remove(r, s);
}

int
registry_get(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	return r->ops->get(r, name, l, err);
}

int
registry_list(struct registry *r, struct lookup *l, struct error *err)
{
	return r->ops->list(r, l, err);
}

void
registry_cancel(struct registry *r, struct lookup *l)
{
	if (l->priv)
		r->ops->cancel(r, l);
}

int
registry_watch(struct registry *r, struct watch *w, struct error *err)
{
	return r->ops->watch(r, w, err);
}

void
registry_unwatch(struct registry *r, struct watch *w)
{
	if (w->added)
		r->ops->unwatch(r, w);
}

const char *
registry_foreign(struct registry *r, struct bytes service, struct bytes id)
{
	return r->ops->foreign ? r->ops->foreign(r, service, id) : NULL;
}

int
registry_expel(struct registry *r, struct bytes service, struct bytes id,
	struct registry_reply *reply, struct error *err)
{
	reply->count = 0;
	if (r->ops->expel)
		return r->ops->expel(r, service, id, reply, err);
	if (r->ops->caps & REGISTRY_READ_ONLY)
		return error_set(err, ERR_NOTFOUND, "registry %s: it is only read here",
			r->ops->name);
	return error_set(err, ERR_NOTFOUND, "registry %s: a node goes when its own process says so "
		"or ends; nobody else can deregister it", r->ops->name);
}

void
registry_forget(struct registry *r, struct registry_reply *reply)
{
	if (reply->priv)
		r->ops->forget(r, reply);
}

static void
settle_late(struct loop_timer *t)
{
	registry_settled(t->arg);
}

void
registry_settle(struct registry *r, unsigned ms)
{
	struct loop_timer late = { .fn = settle_late, .arg = r };

	if (!r || !r->ops->busy || !r->ops->busy(r))
		return;
	r->settling = true;
	loop_timer_set(r->loop, &late, ms);
	while (r->settling)
		loop_run(r->loop);
	loop_timer_clear(r->loop, &late);
}

void
registry_settled(struct registry *r)
{
	if (r->settling)
		loop_stop(r->loop);
	r->settling = false;
}

const char *
registry_explain(struct bytes service)
{
	static const struct { const char *service, *what; } known[] = {
		{ "micro.http.broker", "subscribers of the http broker, go-micro v2.5 and later" },
		{ "go.micro.http.broker",
		  "subscribers of the http broker, go-micro v1 and its plugins" },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (bytes_eq(service, bytes_str(known[i].service)))
			return known[i].what;
	return NULL;
}
