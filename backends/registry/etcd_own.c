/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own nodes in etcd, each with a lease of its own:
 *
 *	add	lease/grant, kv/put with the lease; done
 *	again	lease/keepalive; if it has run out, all of it. Else the key is put if it has
 *		changed or (a transaction) is not there any more
 *	remove	lease/revoke, which takes the key along, but not one that another process
 *		has put under the same name meanwhile
 */
#include "backends/registry/etcd.h"

#include <stdlib.h>

enum step { IDLE, GRANT, KEEP, PUT, REVOKE };

struct etcd_own {
	struct etcd_call call;
	struct etcd *e;
	struct etcd_own *next;
	struct buf key, value;
	char lease[24];			/* as etcd says it; "": none */
	unsigned ttl_s;
	bool put;			/* this value, with this lease */
	bool removed;			/* and freed once that is done */
	enum step step;
	struct registry_reply *reply;
};

struct etcd_expel {
	struct etcd_call call;
	struct registry_reply *reply;
};

static void own_answered(struct etcd_call *, const cJSON *, const struct error *);

static void
own_ask(struct etcd_own *o, enum step step)
{
	static const char *const paths[] = { NULL, "/v3/lease/grant", "/v3/lease/keepalive",
		"/v3/kv/txn", "/v3/lease/revoke" };
	struct buf body = BUF_INIT;

	o->step = step;
	o->call.done = own_answered;
	o->call.arg = o;
	buf_add_ch(&body, '{');
	if (step == GRANT) {
		buf_addf(&body, "\"TTL\":\"%u\"", o->ttl_s);
	} else if (step != PUT) {
		buf_addf(&body, "\"ID\":\"%s\"", o->lease);
	} else {
		/* Without a comparison it is always put. */
		if (o->put) {
			buf_add_str(&body, "\"compare\":[{");
			etcd_add_bytes(&body, "key", buf_bytes(&o->key));
			buf_add_str(&body, ",\"target\":\"VERSION\",\"version\":\"0\"}],");
		}
		buf_add_str(&body, "\"success\":[{\"request_put\":{");
		etcd_add_bytes(&body, "key", buf_bytes(&o->key));
		etcd_add_bytes(&body, "value", buf_bytes(&o->value));
		buf_addf(&body, ",\"lease\":\"%s\"}}]", o->lease);
	}
	buf_add_ch(&body, '}');
	etcd_ask(o->e, &o->call, paths[step], &body);
}

static void
own_free(struct etcd_own *o)
{
	struct etcd_own **p = &o->e->own;

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	if (o->reply)
		o->reply->priv = NULL;
	etcd_cancel(&o->call);
	buf_release(&o->key);
	buf_release(&o->value);
	free(o);
}

static void
own_over(struct etcd_own *o, const struct error *err)
{
	struct registry_reply *reply = o->reply;

	o->step = IDLE;
	o->reply = NULL;
	if (err)
		o->put = false;
	if (!reply)
		return;
	reply->priv = NULL;
	reply->done(reply, err);
}

static void
own_gone(struct etcd_own *o)
{
	struct etcd *e = o->e;

	own_free(o);
	if (!etcd_busy(&e->base))
		registry_settled(&e->base);
}

/* A lease's number, in what the gateway makes of it. */
static bool
take_lease(struct etcd_own *o, const cJSON *doc)
{
	struct bytes id = micro_json_text(doc, "ID");

	if (!id.n || id.n >= sizeof o->lease || strspn(id.p, "-0123456789") != id.n)
		return false;
	memcpy(o->lease, id.p, id.n);
	o->lease[id.n] = '\0';
	return true;
}

static bool
lease_lives(const cJSON *doc)
{
	return micro_json_text(cJSON_GetObjectItemCaseSensitive(doc, "result"), "TTL").n > 0;
}

static void
own_answered(struct etcd_call *call, const cJSON *doc, const struct error *err)
{
	struct etcd_own *o = call->arg;
	struct error why;

	if (o->step == REVOKE) {
		if (err && err->kind != ERR_NOTFOUND)
			log_warn("could not deregister %.*s: %s", BYTES_FMT(buf_bytes(&o->key)),
				err->text);
		own_gone(o);
		return;
	}
	if (o->step == GRANT && !err && !take_lease(o, doc)) {
		error_set(&why, ERR_CONNECT, "%s: it gives no lease", http_client_name(o->e->client));
		err = &why;
	}
	if (o->removed) {
		if (*o->lease)
			own_ask(o, REVOKE);
		else
			own_gone(o);
		return;
	}
	/* Put with a lease that has run out: from the beginning. */
	if (o->step == PUT && err && err->kind == ERR_NOTFOUND && *o->lease) {
		*o->lease = '\0';
		o->put = false;
		own_ask(o, GRANT);
		return;
	}
	if (err) {
		own_over(o, err);
		return;
	}
	if (o->step == KEEP && !lease_lives(doc)) {
		*o->lease = '\0';
		o->put = false;
		own_ask(o, GRANT);
	} else if (o->step != PUT) {
		own_ask(o, PUT);
	} else {
		o->put = true;
		own_over(o, NULL);
	}
}

static struct etcd_own *
own_find(struct etcd *e, struct bytes key)
{
	struct etcd_own *o = e->own;

	while (o && (o->removed || !bytes_eq(buf_bytes(&o->key), key)))
		o = o->next;
	return o;
}

static void
own_value(struct etcd_own *o, const struct service *s)
{
	struct buf value = BUF_INIT;

	micro_json_write(&value, s);
	if (!bytes_eq(buf_bytes(&value), buf_bytes(&o->value)))
		o->put = false;
	buf_release(&o->value);
	o->value = value;
}

int
etcd_add(struct registry *r, const struct service *s, unsigned ttl_ms, struct registry_reply *reply,
	struct error *err)
{
	struct etcd *e = (struct etcd *)r;
	const char *why = micro_json_why_not(s);
	struct buf key = BUF_INIT;
	struct etcd_own *o;

	if (why)
		return error_set(err, ERR_USAGE, "etcd: a node of %.*s cannot be registered: %s",
			BYTES_FMT(s->name), why);
	if (etcd_open(e, err) < 0)
		return -1;
	etcd_add_key(&key, e, s->name, s->nodes->id);
	o = own_find(e, buf_bytes(&key));
	if (!o) {
		o = xcalloc(1, sizeof *o);
		o->e = e;
		buf_add_bytes(&o->key, buf_bytes(&key));
		o->next = e->own;
		e->own = o;
	}
	buf_release(&key);
	o->ttl_s = ttl_ms / 1000 + (ttl_ms % 1000 || !ttl_ms);
	own_value(o, s);
	if (o->reply)
		o->reply->priv = NULL;
	o->reply = reply;
	reply->priv = o;
	if (o->step == IDLE)
		own_ask(o, *o->lease ? KEEP : GRANT);
	return REGISTRY_LATER;
}

void
etcd_remove(struct registry *r, const struct service *s)
{
	struct etcd *e = (struct etcd *)r;
	struct buf key = BUF_INIT;
	struct etcd_own *o;

	etcd_add_key(&key, e, s->name, s->nodes->id);
	o = own_find(e, buf_bytes(&key));
	buf_release(&key);
	if (!o)
		return;
	if (o->reply)
		o->reply->priv = NULL;
	o->reply = NULL;
	o->removed = true;
	if (o->step != IDLE)
		return;			/* when that is answered */
	if (*o->lease)
		own_ask(o, REVOKE);
	else
		own_free(o);
}

/* ---- another's node ---- */

static void
expelled(struct etcd_call *call, const cJSON *doc, const struct error *err)
{
	struct etcd_expel *x = call->arg;
	struct registry_reply *reply = x->reply;

	reply->count = atoi(micro_json_text(doc, "deleted").n ?
		micro_json_text(doc, "deleted").p : "0");
	reply->priv = NULL;
	free(x);
	reply->done(reply, err);
}

int
etcd_expel(struct registry *r, struct bytes service, struct bytes id, struct registry_reply *reply,
	struct error *err)
{
	struct etcd *e = (struct etcd *)r;
	struct buf key = BUF_INIT, body = BUF_INIT;
	struct etcd_expel *x;

	if (etcd_open(e, err) < 0)
		return -1;
	x = xcalloc(1, sizeof *x);
	x->reply = reply;
	x->call.done = expelled;
	x->call.arg = x;
	reply->priv = x;
	etcd_add_key(&key, e, service, id);
	buf_add_ch(&body, '{');
	etcd_add_bytes(&body, "key", buf_bytes(&key));
	buf_add_ch(&body, '}');
	buf_release(&key);
	etcd_ask(e, &x->call, "/v3/kv/deleterange", &body);
	return REGISTRY_LATER;
}

/* ---- the rest ---- */

void
etcd_forget(struct registry *r, struct registry_reply *reply)
{
	struct etcd_own *o = ((struct etcd *)r)->own;
	struct etcd_expel *x;

	while (o && o->reply != reply)
		o = o->next;
	if (o) {
		o->reply = NULL;	/* it goes on */
	} else {
		x = reply->priv;
		etcd_cancel(&x->call);
		free(x);
	}
	reply->priv = NULL;
}

bool
etcd_busy(const struct registry *r)
{
	for (const struct etcd_own *o = ((const struct etcd *)r)->own; o; o = o->next)
		if (o->removed)
			return true;
	return false;
}

void
etcd_own_release(struct etcd *e)
{
	while (e->own)
		own_free(e->own);
}
