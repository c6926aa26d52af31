/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who subscribes, as far as the registry tells: lookups of both dialects'
 * services (one lookup brings the nodes of all topics of all processes), and,
 * for a publisher that stays, watches on them.
 */
#include <stdlib.h>
#include <sys/random.h>

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

/* ---- who is who ---- */

uint64_t
http_hash(uint64_t h, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (unsigned char)b.p[i]) * 0x100000001b3;
	return (h ^ h >> 29) * 0x9e3779b97f4a7c15;
}

/* The broker's uuid at the end of a node id; the whole id where it has none. */
static struct bytes
peer_uuid(const struct peer *p)
{
	return p->id_len > 36 ? bytes_of(p->id + p->id_len - 36, 36) : bytes_of(p->id, p->id_len);
}

static struct bytes
peer_host(const struct peer *p)
{
	const char *colon = strrchr(p->address, ':');

	return colon ? bytes_of(p->address, (size_t)(colon - p->address)) : bytes_str(p->address);
}

/* A subscriber of ours is in both dialects: it is one subscriber. The same uuid on
 * another host is somebody else's, whatever it says. */
static bool
same_subscriber(const struct peer *a, const struct peer *b)
{
	return a->subscriber_hash == b->subscriber_hash &&
		bytes_eq(peer_uuid(a), peer_uuid(b)) && bytes_eq(peer_host(a), peer_host(b)) &&
		peer_has_topic(a, bytes_of(b->topic, b->topic_len)) &&
		strcmp(a->version, b->version) == 0;
}

static uint64_t
hash_subscriber(const struct http_broker *hb, const struct peer *p)
{
	uint64_t h = http_hash(hb->hash_seed, peer_uuid(p));

	h = http_hash(h, peer_host(p));
	h = http_hash(h, bytes_of(p->topic, p->topic_len));
	return http_hash(h, bytes_str(p->version));
}

/* Where anybody can say anything, the address belongs to the name. */
static uint64_t
hash_name(const struct http_broker *hb, unsigned dialect, const struct service *s,
	const struct node *n)
{
	uint64_t h = http_hash(hb->hash_seed + dialect, n->id);

	h = http_hash(h, s->version);
	return hb->registry->ops->hearsay ? http_hash(h, n->address) : h;
}

static struct peer *
find_peer(const struct http_broker *hb, unsigned dialect, const struct service *s,
	const struct node *n, uint64_t h)
{
	struct peer *p = hb->dir.index ? hb->dir.index->name[h & (PEER_BUCKETS - 1)] : NULL;

	while (p && (p->name_hash != h || p->dialect != dialect ||
	    !bytes_eq(bytes_of(p->id, p->id_len), n->id) ||
	    !bytes_eq(bytes_str(p->version), s->version) ||
	    (hb->registry->ops->hearsay && !bytes_eq(bytes_str(p->address), n->address))))
		p = p->next_name;
	return p;
}

static struct peer **
subscriber_bucket(const struct http_broker *hb, unsigned dialect, uint64_t h)
{
	return &hb->dir.index->subscriber[dialect][h & (PEER_BUCKETS - 1)];
}

static struct peer *
first_of_subscriber(const struct http_broker *hb, unsigned dialect, const struct peer *p)
{
	struct peer *q = *subscriber_bucket(hb, dialect, p->subscriber_hash);

	while (q && !same_subscriber(q, p))
		q = q->next_subscriber;
	return q;
}

struct peer *
peer_of_subscriber(const struct http_broker *hb, const struct peer *p)
{
	struct peer *q = first_of_subscriber(hb, DIALECT_NEW, p);

	return q ? q : first_of_subscriber(hb, DIALECT_OLD, p);
}

static void
put_on(struct http_broker *hb, struct peer *p)
{
	struct peer **name, *first, **at;

	if (!hb->dir.index)
		hb->dir.index = xcalloc(1, sizeof *hb->dir.index);
	name = &hb->dir.index->name[p->name_hash & (PEER_BUCKETS - 1)];
	p->next_name = *name;
	*name = p;
	/* Behind the first of the same subscriber, which stays the first. */
	first = first_of_subscriber(hb, p->dialect, p);
	at = first ? &first->next_subscriber :
		subscriber_bucket(hb, p->dialect, p->subscriber_hash);
	p->next_subscriber = *at;
	*at = p;
	p->next = hb->dir.peers;
	if (p->next)
		p->next->prev = p;
	hb->dir.peers = p;
}

static size_t
peer_size(size_t id, size_t address, size_t topic, size_t version)
{
	return sizeof(struct peer) + id + address + topic + version;
}

static void
take_off(struct http_broker *hb, struct peer *p)
{
	struct peer **at = &hb->dir.index->name[p->name_hash & (PEER_BUCKETS - 1)];

	while (*at != p)
		at = &(*at)->next_name;
	*at = p->next_name;
	at = subscriber_bucket(hb, p->dialect, p->subscriber_hash);
	while (*at != p)
		at = &(*at)->next_subscriber;
	*at = p->next_subscriber;
	*(p->prev ? &p->prev->next : &hb->dir.peers) = p->next;
	if (p->next)
		p->next->prev = p->prev;
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
	struct peer *next;

	if (!has_room(&hb->dir, size) && !hb->dir.said_full) {
		log_warn("http: %zu subscribers are registered: no more are kept", hb->dir.npeers);
		hb->dir.said_full = true;
	}
	if (!has_room(&hb->dir, size) && (hb->dir.crowded || !route_wanted(hb, topic)))
		return false;
	for (struct peer *p = hb->dir.peers; p && !has_room(&hb->dir, size); p = next) {
		next = p->next;
		if (p->refs == 1 && !route_wanted(hb, bytes_of(p->topic, p->topic_len)))
			take_off(hb, p);
	}
	hb->dir.crowded = !has_room(&hb->dir, size);
	return !hb->dir.crowded;
}

static void
add_peer(struct http_broker *hb, unsigned dialect, const struct service *s,
	const struct node *n, struct bytes topic)
{
	uint64_t h = hash_name(hb, dialect, s, n);
	struct peer *p = find_peer(hb, dialect, s, n, h);
	bool secure = bytes_eq(node_meta(n, "secure"), BYTES("true"));
	size_t size;

	if (p && bytes_eq(bytes_str(p->address), n->address) && p->secure == secure)
		return;
	if (p)
		take_off(hb, p);	/* the same node at another address */
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
	p->name_hash = h;
	p->subscriber_hash = hash_subscriber(hb, p);
	put_on(hb, p);
	hb->dir.changed = true;
	log_debug("http: found %.*s at %.*s (%s, %s)", BYTES_FMT(n->id), BYTES_FMT(n->address),
		dialects[dialect].service, p->version);
}

void
directory_drop(struct http_broker *hb, struct peer *p)
{
	struct peer *q;

	/* In the other dialect it is the same process. */
	peer_ref(p);
	while ((q = peer_of_subscriber(hb, p)) != NULL)
		take_off(hb, q);
	peer_unref(hb, p);
	routes_changed(hb);
}

unsigned
directory_count(const struct http_broker *hb, struct bytes topic)
{
	unsigned n = 0;

	for (const struct peer *p = hb->dir.peers; p; p = p->next)
		n += peer_has_topic(p, topic) && peer_of_subscriber(hb, p) == p;
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
dir_refused(struct lookup *l, const struct service *s, const char *why)
{
	struct http_broker *hb = l->arg;
	struct bytes topic;

	for (size_t i = 0; i < s->nnodes; i++) {
		const struct node *n = &s->nodes[i];

		if (!node_topic(s, n, &topic))
			continue;
		route_refused(hb, topic, n, why);
		/* Who waits is not told at the end of the lookup. */
		if (hb->audience.fn && bytes_eq(hb->audience.topic, topic) && !hb->dir.said_refused) {
			log_warn("%.*s at %.*s is not believed: %s", BYTES_FMT(n->id),
				BYTES_FMT(n->address), why);
			hb->dir.said_refused = true;
		}
	}
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

/* A goodbye may leave the version out, and is for the node at that address. */
static void
forget_node(struct http_broker *hb, unsigned dialect, const struct service *s,
	const struct node *n)
{
	struct peer *next, *p;

	if (s->version.n && n->address.n) {
		p = find_peer(hb, dialect, s, n, hash_name(hb, dialect, s, n));
		if (p)
			take_off(hb, p);
		return;
	}
	for (p = hb->dir.peers; p; p = next) {
		next = p->next;
		if (p->dialect == dialect && bytes_eq(bytes_of(p->id, p->id_len), n->id) &&
		    (!s->version.n || bytes_eq(bytes_str(p->version), s->version)) &&
		    (!n->address.n || bytes_eq(bytes_str(p->address), n->address)))
			take_off(hb, p);
	}
}

static void
dir_changed(struct watch *w, enum registry_action action, const struct service *s)
{
	struct http_broker *hb = w->arg;
	unsigned d = (unsigned)(w - hb->dir.watch);

	for (size_t i = 0; i < s->nnodes; i++) {
		const struct node *n = &s->nodes[i];
		struct bytes topic;

		if (action == REGISTRY_DELETE) {
			forget_node(hb, d, s, n);
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
	if (getrandom(&hb->hash_seed, sizeof hb->hash_seed, GRND_NONBLOCK) < 0)
		hb->hash_seed = loop_clock_ns();
	for (unsigned d = 0; d < DIALECTS; d++) {
		hb->dir.lookup[d] = (struct lookup){ .found = dir_found, .done = dir_done,
			.refused = dir_refused, .arg = hb };
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
		take_off(hb, hb->dir.peers);
	free(hb->dir.index);
	hb->dir.index = NULL;
}
