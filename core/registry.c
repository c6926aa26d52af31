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

static const struct broker_option *
find_option(const struct registry_ops *ops, const char *name)
{
	for (const struct broker_option *o = ops->options; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

const char *
registry_xopt(const struct registry *r, const char *name)
{
	const struct broker_option *o = find_option(r->ops, name);

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

struct registry *
registry_new(const char *name, struct loop *loop, const struct registry_options *opts,
	struct error *err)
{
	const struct registry_ops *ops = registry_find(name, err);
	struct registry *r;

	if (!ops)
		return NULL;
	for (size_t i = 0; i < opts->nxopts; i++) {
		const char *full = opts->xopts[i].name, *own = own_xopt(ops, full);

		if (own ? !find_option(ops, own) : !prefix_known(full)) {
			error_set(err, ERR_USAGE, "-X %s: no such option (-X list shows them)", full);
			return NULL;
		}
	}
	r = xcalloc(1, ops->size);
	r->ops = ops;
	r->loop = loop;
	r->opts = *opts;
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
registry_add(struct registry *r, const struct service *s, unsigned ttl_ms, struct error *err)
{
	return r->ops->add(r, s, ttl_ms, err);
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
