/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups in etcd: see etcd.h. */
#include "backends/registry/etcd.h"

#include <stdlib.h>

#include "core/text.h"

struct etcd_ask {
	struct etcd_call call;
	struct etcd *e;
	struct lookup *user;
	struct etcd_ask *next;
	struct bytes name;		/* of the service; p NULL: a list */
	bool telling;			/* it is freed behind that, not in it */
};

const char *
etcd_read(struct micro_json *m, const cJSON *kv, cJSON **doc)
{
	struct bytes value = micro_json_text(kv, "value");
	char *text = xmalloc(value.n + 1);
	size_t n;

	*doc = NULL;
	if (base64_decode(text, &n, value.p, value.n))
		*doc = cJSON_ParseWithLength(text, n);
	free(text);
	return *doc ? micro_json_read(m, *doc) : "not JSON";
}

static void
unlist(struct etcd_ask *a)
{
	struct etcd_ask **p = &a->e->asks;

	if (a->user)
		a->user->priv = NULL;
	a->user = NULL;
	if (a->telling)
		return;
	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	etcd_cancel(&a->call);
	free(a);
}

static void
found(struct etcd_ask *a, const cJSON *kv, struct micro_json *m)
{
	struct service only_name = { .version = BYTES("") };
	cJSON *doc;
	const char *why = etcd_read(m, kv, &doc);

	if (!why && a->name.p && !bytes_eq(m->service.name, a->name))
		why = "it is another service's";
	if (why)
		log_verbose("etcd: an entry is ignored: %s", why);
	if (!why) {
		only_name.name = m->service.name;
		a->user->found(a->user, a->name.p || a->user->nodes ? &m->service : &only_name);
	}
	cJSON_Delete(doc);
}

static void
answered(struct etcd_call *call, const cJSON *doc, const struct error *err)
{
	struct etcd_ask *a = call->arg;
	const cJSON *kvs = cJSON_GetObjectItemCaseSensitive(doc, "kvs");
	struct micro_json m = { 0 };
	struct lookup *user;

	a->telling = true;
	for (const cJSON *v = cJSON_IsArray(kvs) ? kvs->child : NULL; v && a->user; v = v->next)
		found(a, v, &m);
	a->telling = false;
	micro_json_release(&m);
	user = a->user;
	unlist(a);
	if (user)
		user->done(user, err);
}

static int
ask(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	struct etcd *e = (struct etcd *)r;
	struct buf body = BUF_INIT, key = BUF_INIT;
	struct etcd_ask *a;

	if (etcd_open(e, err) < 0)
		return -1;
	a = xcalloc(1, sizeof *a + name.n + 1);
	a->e = e;
	a->user = l;
	a->call.done = answered;
	a->call.arg = a;
	if (name.p)
		a->name = bytes_of(memcpy(a + 1, name.p, name.n), name.n);
	a->next = e->asks;
	e->asks = a;
	l->priv = a;
	etcd_add_key(&key, e, name, (struct bytes){ NULL, 0 });
	buf_add_ch(&body, '{');
	etcd_add_range(&body, buf_bytes(&key));
	buf_add_str(&body, ",\"serializable\":true}");
	buf_release(&key);
	etcd_ask(e, &a->call, "/v3/kv/range", &body);
	return 0;
}

int
etcd_get(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	if (!name.n)
		return error_set(err, ERR_USAGE, "etcd: a service's name is empty");
	return ask(r, name, l, err);
}

int
etcd_list(struct registry *r, struct lookup *l, struct error *err)
{
	return ask(r, (struct bytes){ NULL, 0 }, l, err);
}

void
etcd_cancel_lookup(struct registry *r, struct lookup *l)
{
	(void)r;
	unlist(l->priv);
}

void
etcd_look_release(struct etcd *e)
{
	while (e->asks)
		unlist(e->asks);
}
