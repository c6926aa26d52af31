/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own nodes in consul. Each has a TTL check, which is critical until it is passed for
 * the first time, and again when its time is over:
 *
 *	add	PUT register, PUT pass; done
 *	again	PUT pass; if the agent does not know it any more, or it has changed, all of it
 *	remove	PUT deregister
 */
#include <stdio.h>
#include <stdlib.h>

#include "backends/registry/consul.h"
#include "backends/registry/micro_json.h"
#include "core/json.h"
#include "core/net.h"

enum { GONE_AFTER_MS = 65000 };		/* go-micro's least, and this: TTL and 5 s */

enum own_step { OWN_IDLE, OWN_REGISTER, OWN_PASS };

struct consul_own {
	struct http_call call;
	struct consul *c;
	struct consul_own *next;
	struct bytes service, id;
	struct buf body;		/* as it was registered, or is to be */
	bool live;			/* so far as we know */
	enum own_step step;
	bool removed;			/* and freed when it has been answered: what goes
					 * behind it on the connection is what counts */
	struct registry_reply *reply;
};

/* A call that needs nobody to wait for it, or a reply. */
struct consul_removal {
	struct http_call call;
	struct consul_removal *next;	/* of remove */
	struct consul *c;
	struct registry_reply *reply;	/* of expel; NULL: of remove */
	struct bytes service, id;
	struct buf node;		/* consul's own, of one found */
};

/* ---- what is registered ---- */

/* As Go writes a time: "1m0s", "1.5s", "500ms". */
static void
add_duration(struct buf *out, uint64_t ms)
{
	uint64_t s = ms / 1000, rest = ms % 1000;
	char fraction[8] = "";

	if (ms < 1000) {
		buf_addf(out, "%ums", (unsigned)ms);
		return;
	}
	if (rest) {
		size_t n = (size_t)snprintf(fraction, sizeof fraction, ".%03u", (unsigned)rest);

		while (fraction[n - 1] == '0')
			fraction[--n] = '\0';
	}
	if (s >= 3600)
		buf_addf(out, "%lluh", (unsigned long long)(s / 3600));
	if (s >= 60)
		buf_addf(out, "%llum", (unsigned long long)(s / 60 % 60));
	buf_addf(out, "%llu%ss", (unsigned long long)(s % 60), fraction);
}

/* Byte for byte what go-micro's plugin sends. */
static void
add_body(struct buf *out, const struct service *s, uint64_t ttl_ms)
{
	const struct node *n = s->nodes;
	struct bytes host, port;

	buf_add_str(out, "{\"ID\":");
	json_add_go_string(out, n->id);
	buf_add_str(out, ",\"Name\":");
	json_add_go_string(out, s->name);
	buf_add_str(out, ",\"Tags\":");
	consul_tags_write(out, s);
	if (net_split(n->address, &host, &port)) {
		buf_add_str(out, ",\"Port\":");
		buf_add_bytes(out, port);
		buf_add_str(out, ",\"Address\":");
		json_add_go_string(out, host);
	} else {
		buf_add_str(out, ",\"Address\":");
		json_add_go_string(out, n->address);
	}
	buf_add_str(out, ",\"Check\":{\"TTL\":\"");
	add_duration(out, ttl_ms);
	buf_add_str(out, "\",\"DeregisterCriticalServiceAfter\":\"");
	add_duration(out, ttl_ms + 5000 > GONE_AFTER_MS ? ttl_ms + 5000 : GONE_AFTER_MS);
	buf_add_str(out, "\"},\"Checks\":null}\n");
}

static bool
number_is_port(struct bytes port)
{
	unsigned n = 0;

	for (size_t i = 0; i < port.n; i++)
		n = port.p[i] >= '0' && port.p[i] <= '9' && n < 65536 ?
			n * 10 + (unsigned)(port.p[i] - '0') : 65536;
	return n > 0 && n < 65536 && port.p[0] != '0';
}

static const char *
why_not(const struct service *s)
{
	struct bytes host, port;

	if (net_split(s->nodes->address, &host, &port) && !number_is_port(port))
		return "its address has no port from 1 to 65535";
	return micro_json_why_not(s);
}

/* ---- registering ---- */

static void own_answered(struct http_call *, const struct http_answer *, const struct error *);

static void
own_ask(struct consul_own *o, enum own_step step)
{
	struct consul *c = o->c;
	struct buf target = BUF_INIT;

	o->step = step;
	o->call.done = own_answered;
	o->call.arg = o;
	o->call.timeout_ms = c->http.timeout_ms;
	if (step == OWN_REGISTER) {
		http_client_ask(c->client, &o->call, "PUT", BYTES("/v1/agent/service/register"),
			"application/json", buf_bytes(&o->body));
		return;
	}
	buf_add_str(&target, "/v1/agent/check/pass/service:");
	http_add_segment(&target, o->id);
	buf_add_str(&target, "?note=");
	http_client_ask(c->client, &o->call, "PUT", buf_bytes(&target), NULL, BYTES(""));
	buf_release(&target);
}

static void
own_over(struct consul_own *o, const struct error *err)
{
	struct registry_reply *reply = o->reply;

	o->step = OWN_IDLE;
	o->live = !err;
	o->reply = NULL;
	if (!reply)
		return;
	reply->priv = NULL;
	reply->done(reply, err);
}

static void
own_free(struct consul_own *o)
{
	if (o->reply)
		o->reply->priv = NULL;
	http_client_cancel(&o->call);
	buf_release(&o->body);
	free(o);
}

static void
own_drop(struct consul_own *o)
{
	struct consul_own **p = &o->c->own;

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	own_free(o);
}

static void
own_answered(struct http_call *call, const struct http_answer *a, const struct error *err)
{
	struct consul_own *o = call->arg;
	struct error why;

	if (o->removed) {
		own_drop(o);
		return;
	}
	if (err) {
		own_over(o, err);
		return;
	}
	/* The agent was started anew, or somebody deregistered it. (consul before 1.11 says
	 * 500 for an unknown check, later ones 404.) */
	if (a->status != 200 && a->status != 403 && o->step == OWN_PASS && o->live) {
		o->live = false;
		own_ask(o, OWN_REGISTER);
		return;
	}
	if (a->status != 200) {
		http_answer_error(o->c->client, a, &why);
		own_over(o, &why);
		return;
	}
	if (o->step == OWN_REGISTER)
		own_ask(o, OWN_PASS);
	else
		own_over(o, NULL);
}

static struct consul_own **
own_find(struct consul *c, struct bytes service, struct bytes id)
{
	struct consul_own **p = &c->own;

	while (*p && ((*p)->removed || !bytes_eq((*p)->id, id) ||
	    !bytes_eq((*p)->service, service)))
		p = &(*p)->next;
	return p;
}

static struct consul_own *
own_new(struct consul *c, const struct service *s)
{
	struct consul_own *o = xcalloc(1, sizeof *o + s->name.n + s->nodes->id.n);
	char *to = (char *)(o + 1);

	o->c = c;
	o->service = bytes_of(memcpy(to, s->name.p, s->name.n), s->name.n);
	to += s->name.n;
	o->id = bytes_of(memcpy(to, s->nodes->id.p, s->nodes->id.n), s->nodes->id.n);
	o->next = c->own;
	c->own = o;
	return o;
}

int
consul_add(struct registry *r, const struct service *s, unsigned ttl_ms, struct registry_reply *reply,
	struct error *err)
{
	struct consul *c = (struct consul *)r;
	struct buf body = BUF_INIT;
	const char *why = why_not(s);
	struct consul_own *o;

	if (why)
		return error_set(err, ERR_USAGE, "consul: a node of %.*s cannot be registered: %s",
			BYTES_FMT(s->name), why);
	if (consul_open(c, err) < 0)
		return -1;
	add_body(&body, s, ttl_ms ? ttl_ms : 1);
	o = *own_find(c, s->name, s->nodes->id);
	if (!o)
		o = own_new(c, s);
	if (o->reply)
		o->reply->priv = NULL;
	http_client_cancel(&o->call);
	o->reply = reply;
	reply->priv = o;
	if (!bytes_eq(buf_bytes(&o->body), buf_bytes(&body)))
		o->live = false;
	buf_release(&o->body);
	o->body = body;
	own_ask(o, o->live ? OWN_PASS : OWN_REGISTER);
	return REGISTRY_LATER;
}

/* ---- removing ---- */

static void
removal_over(struct consul_removal *m, const struct error *err)
{
	struct registry_reply *reply = m->reply;
	struct consul *c = m->c;

	struct consul_removal **p = &c->removals;

	if (reply) {
		reply->priv = NULL;
	} else {
		while (*p != m)
			p = &(*p)->next;
		*p = m->next;
	}
	if (!reply && err)
		log_warn("could not deregister %.*s: %s", BYTES_FMT(m->id), err->text);
	buf_release(&m->node);
	free(m);
	if (reply)
		reply->done(reply, err);
	else if (!c->removals)
		registry_settled(&c->base);
}

static void
removed(struct http_call *call, const struct http_answer *a, const struct error *err)
{
	struct consul_removal *m = call->arg;
	struct error why;

	/* It has gone before (consul before 1.11 says so with 500). */
	if (!err && a->status != 200 && a->status != 404 &&
	    !memmem(a->body.p, a->body.n, "Unknown service", 15)) {
		http_answer_error(m->c->client, a, &why);
		err = &why;
	}
	removal_over(m, err);
}

static struct consul_removal *
removal_new(struct consul *c, struct bytes service, struct bytes id)
{
	struct consul_removal *m = xcalloc(1, sizeof *m + service.n + id.n + 1);
	char *to = (char *)(m + 1);

	m->c = c;
	m->service = bytes_of(memcpy(to, service.p, service.n), service.n);
	m->id = bytes_of(memcpy(to + service.n, id.p, id.n), id.n);
	m->call.arg = m;
	m->call.timeout_ms = c->http.timeout_ms;
	return m;
}

static void
deregister(struct consul_removal *m)
{
	struct buf target = BUF_INIT;

	buf_add_str(&target, "/v1/agent/service/deregister/");
	http_add_segment(&target, m->id);
	http_client_ask(m->c->client, &m->call, "PUT", buf_bytes(&target), NULL, BYTES(""));
	buf_release(&target);
}

void
consul_remove(struct registry *r, const struct service *s)
{
	struct consul *c = (struct consul *)r;
	struct consul_own *o = *own_find(c, s->name, s->nodes->id);
	struct consul_removal *m;

	if (!o)
		return;
	if (o->reply)
		o->reply->priv = NULL;
	o->reply = NULL;
	o->removed = true;
	if (o->step == OWN_IDLE)
		own_drop(o);
	m = removal_new(c, s->name, s->nodes->id);
	m->call.done = removed;
	m->next = c->removals;
	c->removals = m;
	deregister(m);
}

/* ---- another's node ---- */

/* The catalogue's entry, where the agent asked does not have it: another agent's, which
 * puts it back if that agent lives. */
static void
expelled_by_agent(struct http_call *call, const struct http_answer *a, const struct error *err)
{
	struct consul_removal *m = call->arg;
	struct buf body = BUF_INIT;

	if (err || a->status == 200 || a->status == 403) {
		removed(call, a, err);
		return;
	}
	buf_add_str(&body, "{\"Node\":");
	json_add_go_string(&body, buf_bytes(&m->node));
	buf_add_str(&body, ",\"ServiceID\":");
	json_add_go_string(&body, m->id);
	buf_add_ch(&body, '}');
	m->call.done = removed;
	http_client_ask(m->c->client, &m->call, "PUT", BYTES("/v1/catalog/deregister"),
		"application/json", buf_bytes(&body));
	buf_release(&body);
}

static void
expel_found(struct http_call *call, const struct http_answer *a, const struct error *err)
{
	struct consul_removal *m = call->arg;
	struct error why;
	cJSON *doc = NULL;

	if (err)
		why = *err;
	else
		doc = consul_document(m->c->client, a, &why);
	if (!doc) {
		removal_over(m, &why);
		return;
	}
	for (const cJSON *v = cJSON_IsArray(doc) ? doc->child : NULL; v; v = v->next) {
		if (!bytes_eq(micro_json_text(cJSON_GetObjectItemCaseSensitive(v, "Service"), "ID"),
			    m->id))
			continue;
		m->reply->count++;
		buf_clear(&m->node);
		buf_add_bytes(&m->node, micro_json_text(cJSON_GetObjectItemCaseSensitive(v, "Node"),
			"Node"));
	}
	cJSON_Delete(doc);
	if (!m->reply->count) {
		removal_over(m, NULL);
		return;
	}
	m->call.done = expelled_by_agent;
	deregister(m);
}

int
consul_expel(struct registry *r, struct bytes service, struct bytes id, struct registry_reply *reply,
	struct error *err)
{
	struct consul *c = (struct consul *)r;
	struct buf target = BUF_INIT;
	struct consul_removal *m;

	if (consul_open(c, err) < 0)
		return -1;
	m = removal_new(c, service, id);
	m->reply = reply;
	m->call.done = expel_found;
	reply->priv = m;
	buf_add_str(&target, "/v1/health/service/");
	http_add_segment(&target, service);
	http_client_ask(c->client, &m->call, "GET", buf_bytes(&target), NULL, BYTES(""));
	buf_release(&target);
	return REGISTRY_LATER;
}

/* ---- the rest ---- */

void
consul_forget(struct registry *r, struct registry_reply *reply)
{
	struct consul *c = (struct consul *)r;
	struct consul_own *o = c->own;
	struct consul_removal *m;

	while (o && o->reply != reply)
		o = o->next;
	if (o) {
		o->reply = NULL;	/* it goes on */
	} else {
		m = reply->priv;
		http_client_cancel(&m->call);
		buf_release(&m->node);
		free(m);
	}
	reply->priv = NULL;
}

bool
consul_busy(const struct registry *r)
{
	return ((const struct consul *)r)->removals;
}

void
consul_own_release(struct consul *c)
{
	for (struct consul_own *o = c->own, *next; o; o = next) {
		next = o->next;
		own_free(o);
	}
	c->own = NULL;
	for (struct consul_removal *m = c->removals, *next; m; m = next) {
		next = m->next;
		http_client_cancel(&m->call);
		buf_release(&m->node);
		free(m);
	}
	c->removals = NULL;
}
