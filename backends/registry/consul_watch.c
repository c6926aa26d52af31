/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in consul, by blocking queries: a query with the index of the last answer is
 * answered when there is something newer, or after WAIT. Each has a connection of its own.
 *
 * A watch of one service asks for its health. One of all services asks for all checks and
 * for the names of services; from what has changed there follows which services are to be
 * looked at. A node that was registered anew with another address changes neither: those of
 * the agent that is asked are looked through each time something has been registered, those
 * of others are seen with the next change of their service.
 *
 * The rules of the index: it may go backwards (then from 0), and what was not answered is
 * asked again after a pause.
 */
#include <stdlib.h>

#include "backends/registry/consul.h"
#include "backends/registry/micro_json.h"

enum {
	WAIT_S = 300,			/* consul adds up to a sixteenth of it */
	WAIT_MS = (WAIT_S + WAIT_S / 16 + 15) * 1000,
	PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 5000
};

/* One blocking query. */
struct waiter {
	struct consul_watch *w;
	struct http_client *client;
	struct http_call call;
	struct loop_timer again;
	char *path;
	uint64_t index;
	unsigned pause_ms;
	bool failing;			/* said once */
	/* What it makes of an answer. */
	void (*news)(struct waiter *, const cJSON *doc);
};

/* A service that is to be looked at. */
struct dirty {
	struct dirty *next, **at;
	struct http_call call;
	struct consul_watch *w;
	struct bytes name;
	bool quiet;			/* it was there from the beginning */
	bool again;			/* it has changed since it was asked */
};

struct consul_watch {
	struct consul *c;
	struct watch *user;
	struct consul_watch *next;
	struct waiter waiters[2];	/* of all services: checks, names; else: one */
	struct known_table nodes;
	/* Of all services: checks by service and check, names with their tags. As "nodes",
	 * which tell what is new. */
	struct known_table checks, names, agent;
	struct http_call agents;	/* what the agent has */
	bool agent_again;
	struct dirty *dirty;
	bool telling, gone;
};

static void
tell(void *arg, enum registry_action action, const struct service *s)
{
	struct consul_watch *w = arg;

	if (!w->gone)
		w->user->changed(w->user, action, s);
}

/* ---- a service ---- */

static void
see(void *arg, const struct service *s, const char *why)
{
	struct consul_watch *w = arg;

	if (why)
		log_verbose("consul: %.*s at %.*s is ignored: %s", BYTES_FMT(s->nodes->id),
			BYTES_FMT(s->nodes->address), why);
	else
		known_see(&w->nodes, s, s->nodes);
}

static void
see_service(struct consul_watch *w, struct bytes name, const cJSON *doc)
{
	known_begin(&w->nodes);
	consul_each(w->c, name, doc, see, w);
	known_end(&w->nodes, name);
}

static void
service_news(struct waiter *a, const cJSON *doc)
{
	see_service(a->w, a->w->user->name, doc);
	a->w->nodes.quiet = false;
}

/* ---- all services ---- */

static void
dirty_free(struct dirty *d)
{
	*d->at = d->next;
	if (d->next)
		d->next->at = d->at;
	http_client_cancel(&d->call);
	free(d);
}

static void watch_free(struct consul_watch *);
static void dirty_ask(struct dirty *);

static void
dirty_answered(struct http_call *call, const struct http_answer *answer, const struct error *err)
{
	struct dirty *d = call->arg;
	struct consul_watch *w = d->w;
	struct error why;
	cJSON *doc = err ? NULL : consul_document(w->c->client, answer, &why);

	if (err || !doc)
		log_verbose("%s", err ? err->text : why.text);
	w->telling = true;
	w->nodes.quiet = d->quiet;
	if (doc)
		see_service(w, d->name, doc);
	w->nodes.quiet = d->quiet = false;
	w->telling = false;
	cJSON_Delete(doc);
	if (d->again)
		dirty_ask(d);
	else
		dirty_free(d);
	if (w->gone)
		watch_free(w);
}

static void
dirty_ask(struct dirty *d)
{
	struct buf target = BUF_INIT;

	d->again = false;
	d->call = (struct http_call){ .done = dirty_answered, .arg = d,
		.timeout_ms = d->w->c->http.timeout_ms };
	buf_add_str(&target, "/v1/health/service/");
	http_add_segment(&target, d->name);
	http_client_ask(d->w->c->client, &d->call, "GET", buf_bytes(&target), NULL, BYTES(""));
	buf_release(&target);
}

static void
look_at(struct consul_watch *w, struct bytes name, bool quiet)
{
	struct dirty *d = quiet ? NULL : w->dirty;
	struct error err;

	while (d && !bytes_eq(d->name, name))
		d = d->next;
	if (d)
		d->again = true;
	if (d || consul_open(w->c, &err) < 0)
		return;
	d = xcalloc(1, sizeof *d + name.n + 1);
	d->w = w;
	d->name = bytes_of(memcpy(d + 1, name.p, name.n), name.n);
	d->quiet = quiet;
	d->next = w->dirty;
	d->at = &w->dirty;
	if (d->next)
		d->next->at = &d->next;
	w->dirty = d;
	dirty_ask(d);
}

static void
is_dirty(void *arg, enum registry_action action, const struct service *s)
{
	(void)action;
	look_at(arg, s->name, false);
}

static void agent_ask(struct consul_watch *);

static void
add_tags(struct buf *out, const cJSON *tags)
{
	for (const cJSON *v = cJSON_IsArray(tags) ? tags->child : NULL; v; v = v->next)
		if (cJSON_IsString(v))
			buf_addf(out, "%s\n", v->valuestring);
}

/* An entry of a list of what may change, under what it changes. */
static void
see_state(struct known_table *t, struct bytes service, struct bytes id, struct bytes state)
{
	struct service s = { .name = service };
	struct node n = { .id = id, .address = state };

	known_see(t, &s, &n);
}

static void
check_news(struct waiter *a, const cJSON *doc)
{
	struct known_table *t = &a->w->checks;
	struct buf id = BUF_INIT, state = BUF_INIT;

	known_begin(t);
	for (const cJSON *v = cJSON_IsArray(doc) ? doc->child : NULL; v; v = v->next) {
		struct bytes name = micro_json_text(v, "ServiceName");
		const cJSON *index;

		if (!name.n)
			continue;
		buf_clear(&id);
		buf_add_bytes(&id, micro_json_text(v, "Node"));
		buf_add_ch(&id, '\n');
		buf_add_bytes(&id, micro_json_text(v, "CheckID"));
		buf_clear(&state);
		buf_add_bytes(&state, micro_json_text(v, "Status"));
		/* What was registered anew may be as healthy as before. */
		index = cJSON_GetObjectItemCaseSensitive(v, "ModifyIndex");
		buf_addf(&state, " %.0f", cJSON_IsNumber(index) ? index->valuedouble : 0.0);
		see_state(t, name, buf_bytes(&id), buf_bytes(&state));
	}
	known_end(t, (struct bytes){ NULL, 0 });
	buf_release(&id);
	buf_release(&state);
	t->quiet = false;
}

static void
agent_news(struct consul_watch *w, const cJSON *doc)
{
	struct known_table *t = &w->agent;
	struct buf state = BUF_INIT;

	known_begin(t);
	for (const cJSON *v = cJSON_IsObject(doc) ? doc->child : NULL; v; v = v->next) {
		const cJSON *port = cJSON_GetObjectItemCaseSensitive(v, "Port");

		buf_clear(&state);
		buf_add_bytes(&state, micro_json_text(v, "Address"));
		buf_addf(&state, " %.0f", cJSON_IsNumber(port) ? port->valuedouble : 0.0);
		add_tags(&state, cJSON_GetObjectItemCaseSensitive(v, "Tags"));
		if (micro_json_text(v, "Service").n)
			see_state(t, micro_json_text(v, "Service"), bytes_str(v->string),
				buf_bytes(&state));
	}
	known_end(t, (struct bytes){ NULL, 0 });
	buf_release(&state);
	t->quiet = false;
}

static void
agent_answered(struct http_call *call, const struct http_answer *answer, const struct error *err)
{
	struct consul_watch *w = call->arg;
	struct error why;
	cJSON *doc = err ? NULL : consul_document(w->c->client, answer, &why);

	if (doc)
		agent_news(w, doc);
	cJSON_Delete(doc);
	if (w->agent_again)
		agent_ask(w);
}

static void
agent_ask(struct consul_watch *w)
{
	struct error err;

	w->agent_again = w->agents.client;
	if (w->agent_again || consul_open(w->c, &err) < 0)
		return;
	w->agents = (struct http_call){ .done = agent_answered, .arg = w,
		.timeout_ms = w->c->http.timeout_ms };
	http_client_ask(w->c->client, &w->agents, "GET", BYTES("/v1/agent/services"), NULL,
		BYTES(""));
}

static void
name_news(struct waiter *a, const cJSON *doc)
{
	struct known_table *t = &a->w->names;
	struct buf tags = BUF_INIT;

	known_begin(t);
	for (const cJSON *v = cJSON_IsObject(doc) ? doc->child : NULL; v; v = v->next) {
		buf_clear(&tags);
		add_tags(&tags, v);
		see_state(t, bytes_str(v->string), BYTES("*"), buf_bytes(&tags));
		/* Their nodes are what later changes are held against. */
		if (t->quiet)
			look_at(a->w, bytes_str(v->string), true);
	}
	known_end(t, (struct bytes){ NULL, 0 });
	buf_release(&tags);
	t->quiet = false;
	agent_ask(a->w);
}

/* ---- asking ---- */

static void
wait_again(struct waiter *a, uint64_t ms)
{
	loop_timer_set(a->w->c->base.loop, &a->again, ms);
}

static void
wait_failed(struct waiter *a, const struct error *err)
{
	if (!a->failing)
		log_warn("watch: %s; it is tried again", err->text);
	a->failing = true;
	a->pause_ms = a->pause_ms ? 2 * a->pause_ms : PAUSE_FIRST_MS;
	if (a->pause_ms > PAUSE_MAX_MS)
		a->pause_ms = PAUSE_MAX_MS;
	wait_again(a, a->pause_ms);
}

static uint64_t
index_of(const struct http_answer *answer)
{
	struct bytes text = http_answer_header(answer, "X-Consul-Index");
	uint64_t n = 0;

	for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		n = n * 10 + (unsigned)(text.p[i] - '0');
	return n;
}

static void
wait_answered(struct http_call *call, const struct http_answer *answer, const struct error *err)
{
	struct waiter *a = call->arg;
	struct consul_watch *w = a->w;
	struct error why;
	uint64_t index;
	cJSON *doc;

	if (err) {
		/* What has become of the server is seen at once when it is back. */
		a->index = 0;
		wait_failed(a, err);
		return;
	}
	doc = consul_document(a->client, answer, &why);
	if (!doc) {
		a->index = 0;
		wait_failed(a, &why);
		return;
	}
	if (a->failing)
		log_warn("watch: %s answers again", http_client_name(a->client));
	a->failing = false;
	a->pause_ms = 0;
	index = index_of(answer);
	w->telling = true;
	a->news(a, doc);
	w->telling = false;
	cJSON_Delete(doc);
	if (w->gone) {
		watch_free(w);
		return;
	}
	a->index = index < a->index ? 0 : index;
	wait_again(a, 0);
}

static void
wait_due(struct loop_timer *t)
{
	struct waiter *a = t->arg;
	struct buf target = BUF_INIT;

	a->call = (struct http_call){ .done = wait_answered, .arg = a,
		.timeout_ms = a->index ? WAIT_MS : a->w->c->http.timeout_ms };
	buf_add_str(&target, a->path);
	if (a->index)
		buf_addf(&target, "?index=%llu&wait=%ds", (unsigned long long)a->index, WAIT_S);
	http_client_ask(a->client, &a->call, "GET", buf_bytes(&target), NULL, BYTES(""));
	buf_release(&target);
}

static int
wait_begin(struct consul_watch *w, unsigned i, void (*news)(struct waiter *, const cJSON *),
	struct bytes path, struct error *err)
{
	struct waiter *a = &w->waiters[i];

	a->client = consul_client(w->c, err);
	if (!a->client)
		return -1;
	a->w = w;
	a->news = news;
	a->path = xmemdup0(path.p, path.n);
	a->again = (struct loop_timer){ .fn = wait_due, .arg = a };
	wait_again(a, 0);
	return 0;
}

/* ---- the watch ---- */

static void
watch_free(struct consul_watch *w)
{
	for (unsigned i = 0; i < 2; i++) {
		struct waiter *a = &w->waiters[i];

		if (!a->client)
			continue;
		loop_timer_clear(w->c->base.loop, &a->again);
		http_client_free(a->client);
		free(a->path);
	}
	while (w->dirty)
		dirty_free(w->dirty);
	known_release(&w->nodes);
	known_release(&w->checks);
	known_release(&w->names);
	known_release(&w->agent);
	http_client_cancel(&w->agents);
	free(w);
}

int
consul_watch(struct registry *r, struct watch *user, struct error *err)
{
	struct consul *c = (struct consul *)r;
	struct consul_watch *w = xcalloc(1, sizeof *w);
	struct buf path = BUF_INIT;
	int rc;

	w->c = c;
	w->user = user;
	w->nodes = (struct known_table){ .changed = tell, .arg = w, .quiet = user->name.p };
	w->checks = w->names = w->agent = (struct known_table){ .changed = is_dirty, .arg = w, .quiet = true };
	if (user->name.p) {
		buf_add_str(&path, "/v1/health/service/");
		http_add_segment(&path, user->name);
		rc = wait_begin(w, 0, service_news, buf_bytes(&path), err);
	} else {
		rc = wait_begin(w, 0, check_news, BYTES("/v1/health/state/any"), err);
		if (rc == 0)
			rc = wait_begin(w, 1, name_news, BYTES("/v1/catalog/services"), err);
	}
	buf_release(&path);
	if (rc < 0) {
		watch_free(w);
		return -1;
	}
	w->next = c->watches;
	c->watches = w;
	user->added = true;
	return 0;
}

static void
watch_drop(struct consul_watch *w)
{
	struct consul_watch **p = &w->c->watches;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	w->user->added = false;
	w->gone = true;
	if (!w->telling)
		watch_free(w);
}

void
consul_unwatch(struct registry *r, struct watch *user)
{
	struct consul_watch *w = ((struct consul *)r)->watches;

	while (w->user != user)
		w = w->next;
	watch_drop(w);
}

void
consul_watch_release(struct consul *c)
{
	while (c->watches)
		watch_drop(c->watches);
}
