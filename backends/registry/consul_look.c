/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups in consul: see consul.h. */
#include <stdlib.h>

#include "backends/registry/consul.h"
#include "backends/registry/micro_json.h"

struct consul_ask {
	struct http_call call;
	struct consul *c;
	struct lookup *user;
	struct consul_ask *next;
	struct bytes name;		/* of the service; p NULL: a list */
	bool telling;			/* it is freed behind that, not in it */
};

/* ---- documents ---- */

cJSON *
consul_document(struct http_client *client, const struct http_answer *a, struct error *err)
{
	cJSON *doc = NULL;

	if (a->status != 200) {
		http_answer_error(client, a, err);
		return NULL;
	}
	doc = cJSON_ParseWithLength(a->body.p, a->body.n);
	if (!doc)
		error_set(err, ERR_CONNECT, "%s: its answer is no JSON", http_client_name(client));
	return doc;
}

/* The worst of its checks. */
static const char *
health_of(const cJSON *entry)
{
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(entry, "Checks");
	const char *worst = "passing";

	for (const cJSON *v = cJSON_IsArray(checks) ? checks->child : NULL; v; v = v->next) {
		struct bytes status = micro_json_text(v, "Status");

		if (bytes_eq(status, BYTES("critical")))
			return "critical";
		if (bytes_eq(status, BYTES("warning")))
			worst = "warning";
	}
	return worst;
}

static const char *
disbelieve(const struct consul *c, const char *health)
{
	if (c->health == CONSUL_ANY)
		return NULL;
	if (strcmp(health, "critical") == 0)
		return "its health is critical (-X consul.health=any shows it)";
	return c->health == CONSUL_PASSING && strcmp(health, "passing") != 0 ?
		"its health is not passing (-X consul.health)" : NULL;
}

static void
set_address(struct buf *out, const cJSON *service, const cJSON *entry)
{
	const cJSON *port = cJSON_GetObjectItemCaseSensitive(service, "Port");
	struct bytes host = micro_json_text(service, "Address");

	if (!host.n)
		host = micro_json_text(cJSON_GetObjectItemCaseSensitive(entry, "Node"), "Address");
	buf_clear(out);
	if (!host.n)
		return;
	if (!cJSON_IsNumber(port) || port->valueint <= 0 || port->valueint > 65535)
		buf_add_bytes(out, host);
	else
		buf_addf(out, memchr(host.p, ':', host.n) && *host.p != '[' ? "[%.*s]:%d" : "%.*s:%d",
			BYTES_FMT(host), port->valueint);
}

/* One more entry, which says how consul finds it. */
static void
add_health(struct consul_tags *t, const char *health)
{
	if (t->nmetadata == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 8;
		t->metadata = xrealloc(t->metadata, t->cap * sizeof *t->metadata);
	}
	t->metadata[t->nmetadata++] = (struct keyval){ BYTES("consul.health"), bytes_str(health) };
}

void
consul_each(struct consul *c, struct bytes name, const cJSON *doc,
	void (*found)(void *arg, const struct service *, const char *why), void *arg)
{
	struct consul_tags tags = { 0 };
	struct buf address = BUF_INIT;

	for (const cJSON *v = cJSON_IsArray(doc) ? doc->child : NULL; v; v = v->next) {
		const cJSON *s = cJSON_GetObjectItemCaseSensitive(v, "Service");
		const char *health = health_of(v);
		struct node node = { .id = micro_json_text(s, "ID") };
		struct service service = { .name = name, .nodes = &node, .nnodes = 1 };

		set_address(&address, s, v);
		if (!node.id.n || !buf_len(&address) || !bytes_eq(micro_json_text(s, "Service"), name))
			continue;
		consul_tags_read(&tags, cJSON_GetObjectItemCaseSensitive(s, "Tags"));
		if (c->health == CONSUL_ANY)
			add_health(&tags, health);
		node.address = buf_bytes(&address);
		node.metadata = tags.metadata;
		node.nmetadata = tags.nmetadata;
		service.version = tags.version;
		service.endpoints = tags.endpoints;
		found(arg, &service, disbelieve(c, health));
	}
	consul_tags_release(&tags);
	buf_release(&address);
}

/* ---- lookups ---- */

static void
unlist(struct consul_ask *a)
{
	struct consul_ask **p = &a->c->asks;

	if (a->user)
		a->user->priv = NULL;
	a->user = NULL;
	if (a->telling)
		return;
	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	http_client_cancel(&a->call);
	free(a);
}

static void
found_node(void *arg, const struct service *s, const char *why)
{
	struct consul_ask *a = arg;

	if (!a->user)
		return;
	if (why)
		log_verbose("consul: %.*s at %.*s is ignored: %s", BYTES_FMT(s->nodes->id),
			BYTES_FMT(s->nodes->address), why);
	if (!why)
		a->user->found(a->user, s);
	else if (a->user->refused)
		a->user->refused(a->user, s, why);
}

static void
found_names(struct consul_ask *a, const cJSON *doc)
{
	for (const cJSON *v = cJSON_IsObject(doc) ? doc->child : NULL; v; v = v->next) {
		struct service s = { .name = bytes_str(v->string), .version = BYTES("") };

		if (s.name.n && a->user)
			a->user->found(a->user, &s);
	}
}

static void
answered(struct http_call *call, const struct http_answer *answer, const struct error *err)
{
	struct consul_ask *a = call->arg;
	struct lookup *user;
	struct error why;
	cJSON *doc = NULL;

	if (err)
		why = *err;
	else
		doc = consul_document(a->c->client, answer, &why);
	a->telling = true;
	if (doc && a->name.p)
		consul_each(a->c, a->name, doc, found_node, a);
	else if (doc)
		found_names(a, doc);
	a->telling = false;
	user = a->user;
	unlist(a);
	if (user)
		user->done(user, doc ? NULL : &why);
	cJSON_Delete(doc);
}

static int
ask(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	struct consul *c = (struct consul *)r;
	struct buf target = BUF_INIT;
	struct consul_ask *a;

	if (consul_open(c, err) < 0)
		return -1;
	a = xcalloc(1, sizeof *a + name.n + 1);
	a->c = c;
	a->user = l;
	a->call = (struct http_call){ .done = answered, .arg = a, .timeout_ms = c->http.timeout_ms };
	if (name.p) {
		a->name = bytes_of(memcpy(a + 1, name.p, name.n), name.n);
		buf_add_str(&target, "/v1/health/service/");
		http_add_segment(&target, name);
	} else {
		buf_add_str(&target, "/v1/catalog/services");
	}
	buf_add_str(&target, "?stale=");
	a->next = c->asks;
	c->asks = a;
	l->priv = a;
	http_client_ask(c->client, &a->call, "GET", buf_bytes(&target), NULL, BYTES(""));
	buf_release(&target);
	return 0;
}

int
consul_get(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	if (!name.n)
		return error_set(err, ERR_USAGE, "consul: a service's name is empty");
	return ask(r, name, l, err);
}

int
consul_list(struct registry *r, struct lookup *l, struct error *err)
{
	return ask(r, (struct bytes){ NULL, 0 }, l, err);
}

void
consul_cancel(struct registry *r, struct lookup *l)
{
	(void)r;
	unlist(l->priv);
}

void
consul_look_release(struct consul *c)
{
	while (c->asks)
		unlist(c->asks);
}
