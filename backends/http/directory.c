/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who subscribes, as far as the registry tells: lookups of both dialects'
 * services (one lookup brings the nodes of all topics of all processes), and,
 * for a publisher that stays, watches on them.
 */
#include <stdlib.h>

#include "backends/http/http.h"
#include "core/log.h"

/* A one-shot publisher never pays for watching; one that has lived this long
 * does, and then hears of new subscribers and goodbyes at once. */
enum { WATCH_AFTER_MS = 500 };

/* Whoever reaches the registry can make up nodes without end. */
enum {
	PEERS_MAX = 10000,
	PEER_BYTES_MAX = 32 * 1024 * 1024
};

/* ---- peers ---- */

void
peer_ref(struct peer *p)
{
	p->refs++;
}

void
peer_unref(struct http_broker *hb, struct peer *p)
{
	struct endpoint *e = p->endpoint;

	if (--p->refs)
		return;
	free(p->id);
	free(p->address);
	free(p->topic);
	free(p->version);
	free(p);
	if (e)
		endpoint_unused(hb, e);
}

bool
peer_has_topic(const struct peer *p, struct bytes topic)
{
	return bytes_eq(bytes_of(p->topic, p->topic_len), topic);
}

/* The broker's uuid at the end of a node id; the whole id where it has none. */
static struct bytes
peer_uuid(const struct peer *p)
{
	return p->id_len > 36 ? bytes_of(p->id + p->id_len - 36, 36) : bytes_of(p->id, p->id_len);
}

/* A subscriber of ours is in both dialects: it is one subscriber. */
bool
same_subscriber(const struct peer *a, const struct peer *b)
{
	return bytes_eq(peer_uuid(a), peer_uuid(b)) &&
		peer_has_topic(a, bytes_of(b->topic, b->topic_len)) &&
		strcmp(a->version, b->version) == 0;
}

static struct peer **
find_peer(struct http_broker *hb, unsigned dialect, const struct service *s,
	const struct node *n)
{
	struct peer **p = &hb->dir.peers;

	for (; *p; p = &(*p)->next)
		if ((*p)->dialect == dialect &&
		    bytes_eq(bytes_of((*p)->id, (*p)->id_len), n->id) &&
		    bytes_eq(bytes_str((*p)->version), s->version))
			return p;
	return p;
}

static size_t
peer_size(size_t id, size_t address, size_t topic, size_t version)
{
	return sizeof(struct peer) + id + address + topic + version;
}

static void
take_off(struct http_broker *hb, struct peer **at)
{
	struct peer *p = *at;

	*at = p->next;
	hb->dir.crowded = false;
	hb->dir.npeers--;
	hb->dir.peer_bytes -= peer_size(p->id_len, strlen(p->address), p->topic_len,
		strlen(p->version));
	p->gone = true;
	hb->dir.changed = true;
	peer_unref(hb, p);
}

/* A node of our kind, with the topic it serves; false: somebody else's. */
static bool
node_topic(const struct service *s, const struct node *n, struct bytes *topic)
{
	*topic = node_meta(n, "topic");
	return bytes_eq(node_meta(n, "broker"), BYTES("http")) && topic->n && n->id.n &&
		n->address.n && !memchr(s->version.p, '\0', s->version.n) &&
		!memchr(n->address.p, '\0', n->address.n);
}

/* go-micro's DNS library takes a backslash away when it announces a name, but the
 * subscriber goes on to know itself by it. Is this id what became of the topic? */
static bool
lost_backslashes(struct bytes topic, struct bytes id)
{
	size_t n = 0, len = id.n > 37 ? id.n - 37 : 0;

	if (!memchr(topic.p, '\\', topic.n))
		return false;
	for (size_t i = 0; i < topic.n; i++, n++) {
		if (topic.p[i] == '\\')
			i++;
		if (i == topic.n || n == len || id.p[n] != topic.p[i])
			return false;
	}
	return n == len && id.p[n] == '-';
}

static bool
has_room(const struct directory *dir, size_t size)
{
	return dir->npeers < PEERS_MAX && dir->peer_bytes + size <= PEER_BYTES_MAX;
}

/* A node that events wait for takes the place of nodes that nobody asked for. */
static bool
make_room(struct http_broker *hb, struct bytes topic, size_t size)
{
	struct peer **at = &hb->dir.peers;

	if (!has_room(&hb->dir, size) && !hb->dir.said_full) {
		log_warn("http: %zu subscribers are registered: no more are kept", hb->dir.npeers);
		hb->dir.said_full = true;
	}
	if (!has_room(&hb->dir, size) && (hb->dir.crowded || !route_wanted(hb, topic)))
		return false;
	while (*at && !has_room(&hb->dir, size))
		if ((*at)->refs == 1 && !route_wanted(hb, bytes_of((*at)->topic, (*at)->topic_len)))
			take_off(hb, at);
		else
			at = &(*at)->next;
	hb->dir.crowded = !has_room(&hb->dir, size);
	return !hb->dir.crowded;
}

static void
add_peer(struct http_broker *hb, unsigned dialect, const struct service *s,
	const struct node *n, struct bytes topic)
{
	struct peer **at = find_peer(hb, dialect, s, n), *p = *at;
	size_t size;

	bool secure = bytes_eq(node_meta(n, "secure"), BYTES("true"));

	if (p && bytes_eq(bytes_str(p->address), n->address) && p->secure == secure)
		return;
	if (p)
		take_off(hb, at);	/* the same node at another address */
	size = peer_size(n->id.n, n->address.n, topic.n, s->version.n);
	if (!make_room(hb, topic, size))
		return;
	hb->dir.npeers++;
	hb->dir.peer_bytes += size;
	p = xcalloc(1, sizeof *p);
	p->refs = 1;
	p->serial = ++hb->dir.serials;
	p->dialect = (unsigned char)dialect;
	p->secure = secure;
	p->id = xmemdup0(n->id.p, n->id.n);
	p->id_len = n->id.n;
	p->address = xmemdup0(n->address.p, n->address.n);
	p->topic = xmemdup0(topic.p, topic.n);
	p->topic_len = topic.n;
	p->says_topic = lost_backslashes(topic, n->id);
	p->version = xmemdup0(s->version.p, s->version.n);
	p->next = hb->dir.peers;
	hb->dir.peers = p;
	hb->dir.changed = true;
	log_debug("http: found %.*s at %.*s (%s, %s)", BYTES_FMT(n->id), BYTES_FMT(n->address),
		dialects[dialect].service, p->version);
}

void
directory_drop(struct http_broker *hb, struct peer *p)
{
	struct peer **at = &hb->dir.peers;

	/* In the other dialect it is the same process. */
	peer_ref(p);
	while (*at)
		if (*at == p || same_subscriber(*at, p))
			take_off(hb, at);
		else
			at = &(*at)->next;
	peer_unref(hb, p);
	routes_changed(hb);
}

unsigned
directory_count(const struct http_broker *hb, struct bytes topic)
{
	unsigned n = 0;

	for (const struct peer *p = hb->dir.peers; p; p = p->next) {
		const struct peer *q = hb->dir.peers;

		if (!peer_has_topic(p, topic))
			continue;
		while (q != p && !same_subscriber(p, q))
			q = q->next;
		n += q == p;
	}
	return n;
}

/* ---- lookups ---- */

static unsigned
lookup_dialect(const struct http_broker *hb, const struct lookup *l)
{
	return (unsigned)(l - hb->dir.lookup);
}

static bool
dir_found(struct lookup *l, const struct service *s)
{
	struct http_broker *hb = l->arg;
	unsigned d = lookup_dialect(hb, l);
	bool wanted = false;

	for (size_t i = 0; i < s->nnodes; i++) {
		struct bytes topic;

		if (!node_topic(s, &s->nodes[i], &topic))
			continue;
		add_peer(hb, d, s, &s->nodes[i], topic);
		wanted |= route_wanted(hb, topic);
	}
	hb->dir.hit[d] |= wanted;
	return wanted;
}

static void
look_ended(struct http_broker *hb, const struct error *err)
{
	hb->dir.looked_ns = loop_clock_ns();
	if (hb->dir.changed)
		routes_changed(hb);
	routes_looked_up(hb, err);
}

static void
dir_done(struct lookup *l, const struct error *err)
{
	struct http_broker *hb = l->arg;

	hb->dir.looking[lookup_dialect(hb, l)] = false;
	if (!directory_is_looking(hb))
		look_ended(hb, err);
}

bool
directory_is_looking(const struct http_broker *hb)
{
	return hb->dir.looking[DIALECT_NEW] || hb->dir.looking[DIALECT_OLD];
}

static void
watch_later(struct loop_timer *t)
{
	struct http_broker *hb = t->arg;
	struct error err;

	if (directory_watch(hb, &err) < 0)
		log_verbose("http: not watching for subscribers: %s", err.text);
}

int
directory_look(struct http_broker *hb, struct error *err)
{
	if (directory_is_looking(hb))
		return 0;
	for (unsigned d = 0; d < DIALECTS; d++) {
		hb->dir.hit[d] = false;
		if (!hb->speaks[d])
			continue;
		if (registry_get(hb->registry, bytes_str(dialects[d].service), &hb->dir.lookup[d],
		    err) < 0) {
			for (unsigned u = 0; u < d; u++)
				if (hb->dir.looking[u]) {
					registry_cancel(hb->registry, &hb->dir.lookup[u]);
					hb->dir.looking[u] = false;
				}
			return -1;
		}
		hb->dir.looking[d] = true;
	}
	if (!hb->dir.watch[DIALECT_NEW].added && !loop_timer_is_set(&hb->dir.watch_timer))
		loop_timer_set(hb->loop, &hb->dir.watch_timer, WATCH_AFTER_MS);
	return 0;
}

/* ---- watching ---- */

static void
dir_changed(struct watch *w, enum registry_action action, const struct service *s)
{
	struct http_broker *hb = w->arg;
	unsigned d = (unsigned)(w - hb->dir.watch);

	for (size_t i = 0; i < s->nnodes; i++) {
		const struct node *n = &s->nodes[i];
		struct bytes topic;

		if (action == REGISTRY_DELETE) {
			struct peer **p = &hb->dir.peers;

			/* A goodbye may leave the version out. */
			while (*p)
				if ((*p)->dialect == d &&
				    bytes_eq(bytes_of((*p)->id, (*p)->id_len), n->id) &&
				    (!s->version.n || bytes_eq(bytes_str((*p)->version), s->version)))
					take_off(hb, p);
				else
					p = &(*p)->next;
		} else if (node_topic(s, n, &topic)) {
			add_peer(hb, d, s, n, topic);
		}
	}
	if (hb->dir.changed)
		routes_changed(hb);
}

int
directory_watch(struct http_broker *hb, struct error *err)
{
	for (unsigned d = 0; d < DIALECTS; d++)
		if (hb->speaks[d] && !hb->dir.watch[d].added &&
		    registry_watch(hb->registry, &hb->dir.watch[d], err) < 0)
			return -1;
	return 0;
}

void
directory_init(struct http_broker *hb)
{
	for (unsigned d = 0; d < DIALECTS; d++) {
		hb->dir.lookup[d] = (struct lookup){ .found = dir_found, .done = dir_done, .arg = hb };
		hb->dir.watch[d] = (struct watch){ .name = bytes_str(dialects[d].service),
			.changed = dir_changed, .arg = hb };
	}
	hb->dir.watch_timer.fn = watch_later;
	hb->dir.watch_timer.arg = hb;
}

void
directory_release(struct http_broker *hb)
{
	loop_timer_clear(hb->loop, &hb->dir.watch_timer);
	for (unsigned d = 0; d < DIALECTS; d++) {
		if (hb->dir.looking[d])
			registry_cancel(hb->registry, &hb->dir.lookup[d]);
		hb->dir.looking[d] = false;
		registry_unwatch(hb->registry, &hb->dir.watch[d]);
	}
	while (hb->dir.peers)
		take_off(hb, &hb->dir.peers);
}
