/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in etcd: what there is at some revision is read, and then a stream of events
 * from the next revision on, on a connection of its own. When it breaks, or etcd has
 * forgotten so much, what there is is read again, and the difference told.
 */
#include "backends/registry/etcd.h"

#include <stdlib.h>

enum {
	PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 5000,
	LINE_MAX_BYTES = ETCD_BODY_MAX
};

struct etcd_watch {
	struct etcd *e;
	struct watch *user;
	struct etcd_watch *next;
	struct http_client *client;	/* of the stream */
	struct etcd_call range, stream;
	struct loop_timer again;
	struct known_table nodes;
	struct buf prefix;
	struct buf line;
	unsigned pause_ms;
	bool failing;			/* said once */
	bool telling, gone;
};

static void
tell(void *arg, enum registry_action action, const struct service *s)
{
	struct etcd_watch *w = arg;

	if (!w->gone)
		w->user->changed(w->user, action, s);
}

static void
watch_free(struct etcd_watch *w)
{
	loop_timer_clear(w->e->base.loop, &w->again);
	etcd_cancel(&w->range);
	etcd_cancel(&w->stream);
	http_client_free(w->client);
	known_release(&w->nodes);
	buf_release(&w->prefix);
	buf_release(&w->line);
	free(w);
}

static void
failed(struct etcd_watch *w, const struct error *err)
{
	if (!w->failing)
		log_warn("watch: %s; it is tried again", err->text);
	w->failing = true;
	w->pause_ms = w->pause_ms ? 2 * w->pause_ms : PAUSE_FIRST_MS;
	if (w->pause_ms > PAUSE_MAX_MS)
		w->pause_ms = PAUSE_MAX_MS;
	loop_timer_set(w->e->base.loop, &w->again, w->pause_ms);
}

/* ---- events ---- */

static bool
is_watched(const struct etcd_watch *w, const struct service *s)
{
	return !w->user->name.p || bytes_eq(w->user->name, s->name);
}

static void
see(struct etcd_watch *w, const cJSON *kv, struct micro_json *m)
{
	cJSON *doc;
	const char *why = etcd_read(m, kv, &doc);

	if (why)
		log_verbose("etcd: an entry is ignored: %s", why);
	for (size_t i = 0; !why && is_watched(w, &m->service) && i < m->service.nnodes; i++)
		known_see(&w->nodes, &m->service, &m->nodes[i]);
	cJSON_Delete(doc);
}

static void
forget(struct etcd_watch *w, const cJSON *kv, struct micro_json *m)
{
	cJSON *doc;
	const char *why = etcd_read(m, kv, &doc);

	for (size_t i = 0; !why && i < m->service.nnodes; i++)
		known_forget(&w->nodes, m->service.name, m->nodes[i].id);
	cJSON_Delete(doc);
}

/* false: the stream is over. */
static bool
event_line(struct etcd_watch *w, struct bytes line)
{
	cJSON *doc = cJSON_ParseWithLength(line.p, line.n);
	const cJSON *result = cJSON_GetObjectItemCaseSensitive(doc, "result");
	const cJSON *events = cJSON_GetObjectItemCaseSensitive(result, "events");
	struct micro_json m = { 0 };
	bool over = !result || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "canceled"));

	if (!over && w->failing) {
		log_warn("watch: %s answers again", http_client_name(w->client));
		w->failing = false;
	}
	if (!over)
		w->pause_ms = 0;
	for (const cJSON *v = cJSON_IsArray(events) ? events->child : NULL; v; v = v->next) {
		known_begin(&w->nodes);
		if (bytes_eq(micro_json_text(v, "type"), BYTES("DELETE")))
			forget(w, cJSON_GetObjectItemCaseSensitive(v, "prev_kv"), &m);
		else
			see(w, cJSON_GetObjectItemCaseSensitive(v, "kv"), &m);
	}
	micro_json_release(&m);
	cJSON_Delete(doc);
	return !over;
}

static bool
stream_part(struct etcd_call *call, char *p, size_t n)
{
	struct etcd_watch *w = call->arg;
	struct bytes all;
	struct error err;
	char *eol;
	bool good = true;

	buf_add(&w->line, p, n);
	w->telling = true;
	for (all = buf_bytes(&w->line); good && (eol = memchr(all.p, '\n', all.n));
	    all = buf_bytes(&w->line)) {
		size_t len = (size_t)(eol + 1 - all.p);

		if (len > 1)
			good = event_line(w, bytes_of(all.p, len - 1));
		buf_consume(&w->line, len);
		if (!buf_len(&w->line))
			break;
	}
	w->telling = false;
	if (buf_len(&w->line) > LINE_MAX_BYTES)
		good = false;
	if (good && !w->gone)
		return true;
	if (!w->gone) {
		error_set(&err, ERR_CONNECT, "%s: the stream of events ended",
			http_client_name(w->client));
		etcd_cancel(&w->stream);
		failed(w, &err);
	} else {
		/* It cannot be freed within its client's callback. */
		etcd_cancel(&w->stream);
		loop_timer_set(w->e->base.loop, &w->again, 0);
	}
	return false;
}

static void
stream_over(struct etcd_call *call, const cJSON *doc, const struct error *err)
{
	struct etcd_watch *w = call->arg;
	struct error why;

	(void)doc;
	if (!err)
		error_set(&why, ERR_CONNECT, "%s: the stream of events ended",
			http_client_name(w->client));
	failed(w, err ? err : &why);
}

/* ---- what there is ---- */

static void
stream_begin(struct etcd_watch *w, uint64_t revision)
{
	struct buf body = BUF_INIT;

	buf_add_str(&body, "{\"create_request\":{");
	etcd_add_range(&body, buf_bytes(&w->prefix));
	buf_addf(&body, ",\"prev_kv\":true,\"start_revision\":\"%llu\"}}",
		(unsigned long long)revision);
	buf_clear(&w->line);
	w->stream.done = stream_over;
	w->stream.part = stream_part;
	w->stream.arg = w;
	w->stream.client = w->client;
	etcd_ask(w->e, &w->stream, "/v3/watch", &body);
}

static void
range_read(struct etcd_call *call, const cJSON *doc, const struct error *err)
{
	struct etcd_watch *w = call->arg;
	const cJSON *kvs = cJSON_GetObjectItemCaseSensitive(doc, "kvs");
	struct bytes revision = micro_json_text(cJSON_GetObjectItemCaseSensitive(doc, "header"),
		"revision");
	struct micro_json m = { 0 };

	if (err) {
		failed(w, err);
		return;
	}
	w->telling = true;
	known_begin(&w->nodes);
	for (const cJSON *v = cJSON_IsArray(kvs) ? kvs->child : NULL; v; v = v->next)
		see(w, v, &m);
	known_end(&w->nodes, (struct bytes){ NULL, 0 });
	w->nodes.quiet = false;
	w->telling = false;
	micro_json_release(&m);
	if (w->gone)
		watch_free(w);
	else
		stream_begin(w, strtoull(revision.n ? revision.p : "0", NULL, 10) + 1);
}

static void
range_begin(struct loop_timer *t)
{
	struct etcd_watch *w = t->arg;
	struct buf body = BUF_INIT;

	if (w->gone) {
		watch_free(w);
		return;
	}
	buf_add_ch(&body, '{');
	etcd_add_range(&body, buf_bytes(&w->prefix));
	buf_add_ch(&body, '}');
	w->range.done = range_read;
	w->range.arg = w;
	etcd_ask(w->e, &w->range, "/v3/kv/range", &body);
}

int
etcd_watch(struct registry *r, struct watch *user, struct error *err)
{
	struct etcd *e = (struct etcd *)r;
	struct etcd_watch *w;
	struct http_client *client;

	if (etcd_open(e, err) < 0)
		return -1;
	client = http_client_new(r->loop, &e->http, err);
	if (!client)
		return -1;
	w = xcalloc(1, sizeof *w);
	w->e = e;
	w->user = user;
	w->client = client;
	w->nodes = (struct known_table){ .changed = tell, .arg = w, .quiet = true };
	w->again = (struct loop_timer){ .fn = range_begin, .arg = w };
	etcd_add_key(&w->prefix, e, user->name, (struct bytes){ NULL, 0 });
	w->next = e->watches;
	e->watches = w;
	user->added = true;
	loop_timer_set(r->loop, &w->again, 0);
	return 0;
}

static void
watch_drop(struct etcd_watch *w)
{
	struct etcd_watch **p = &w->e->watches;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	w->user->added = false;
	w->gone = true;
	if (!w->telling)
		watch_free(w);
}

void
etcd_unwatch(struct registry *r, struct watch *user)
{
	struct etcd_watch *w = ((struct etcd *)r)->watches;

	while (w->user != user)
		w = w->next;
	watch_drop(w);
}

void
etcd_watch_release(struct etcd *e)
{
	while (e->watches)
		watch_drop(e->watches);
}
