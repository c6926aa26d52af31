/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes that a publisher knows: see peers.h. */
#include "backends/http/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "backends/http/endpoint.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/net.h"

#define VERSION_BYTES(p) bytes_str((p)->version)

/* Whoever reaches the registry can make up nodes without end. */
enum {
	PEERS_MAX = 10000,
	PEER_BYTES_MAX = 32 * 1024 * 1024,
	RIVALS_SAID = 3
};

/* ---- one peer ---- */

void
http_peer_ref(struct peer *p)
{
	p->refs++;
}

void
http_peer_unref(struct peer *p)
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
		http_endpoint_unused(e);
}

static struct bytes
peer_id(const struct peer *p)
{
	return bytes_of(p->id, p->id_len);
}

bool
http_peer_has_topic(const struct peer *p, struct bytes topic)
{
	return bytes_eq(bytes_of(p->topic, p->topic_len), topic);
}

/* The broker's uuid at the end of a node id; the whole id where it has none. */
static struct bytes
peer_uuid(const struct peer *p)
{
	return p->id_len > 36 ? bytes_of(p->id + p->id_len - 36, 36) : peer_id(p);
}

static struct bytes
peer_host(const struct peer *p)
{
	const char *colon = strrchr(p->address, ':');

	return colon ? bytes_of(p->address, (size_t)(colon - p->address)) : bytes_str(p->address);
}

bool
http_peer_topic(const struct service *s, const struct node *n, struct bytes *topic)
{
	*topic = node_meta(n, "topic");
	return bytes_eq(node_meta(n, "broker"), BYTES("http")) && topic->n && n->id.n &&
		n->address.n && !memchr(s->version.p, '\0', s->version.n) &&
		!memchr(n->address.p, '\0', n->address.n);
}

/* Decimal digits off the front of *text; 0: no port. */
static unsigned
take_port(struct bytes *text)
{
	unsigned n = 0;
	size_t i = 0;

	for (; i < text->n && i < 5 && text->p[i] >= '0' && text->p[i] <= '9'; i++)
		n = n * 10 + (unsigned)(text->p[i] - '0');
	*text = bytes_of(text->p + i, text->n - i);
	return n <= 65535 ? n : 0;
}

static unsigned
port_of(struct bytes address)
{
	struct bytes host, port;
	unsigned n = net_split(address, &host, &port) ? take_port(&port) : 0;

	return n && !port.n ? n : 0;
}

/* mbus.ports=NEW,OLD; both 0 where it does not say so in that form. */
static void
ports_of(const struct node *n, unsigned ports[DIALECTS])
{
	struct bytes text = node_meta(n, "mbus.ports");

	ports[DIALECT_NEW] = take_port(&text);
	if (text.n && *text.p == ',')
		text = bytes_of(text.p + 1, text.n - 1);
	ports[DIALECT_OLD] = take_port(&text);
	if (text.n || !ports[DIALECT_NEW] || !ports[DIALECT_OLD])
		ports[DIALECT_NEW] = ports[DIALECT_OLD] = 0;
}

/* ---- who is who ---- */

uint64_t
http_peers_hash(uint64_t h, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (unsigned char)b.p[i]) * 0x100000001b3;
	return (h ^ h >> 29) * 0x9e3779b97f4a7c15;
}

static uint64_t
hash_pair(const struct peers *t, const struct peer *p)
{
	uint64_t h = t->seed + p->ports[DIALECT_NEW] * 65536u + p->ports[DIALECT_OLD];


	return http_peers_hash(http_peers_hash(h, peer_id(p)), peer_host(p));
}

static uint64_t
hash_subscriber(const struct peers *t, const struct peer *p)
{
	uint64_t h = http_peers_hash(t->seed, peer_uuid(p));

	h = http_peers_hash(h, bytes_of(p->topic, p->topic_len));
	return http_peers_hash(h, VERSION_BYTES(p));
}

/* Where anybody may say anything, all that is said belongs to the name. */
static uint64_t
hash_name(const struct peers *t, unsigned dialect, const struct service *s,
	const struct node *n, struct bytes topic, bool secure)
{
	uint64_t h = http_peers_hash(t->seed + dialect, n->id);

	h = http_peers_hash(h, s->version);
	if (!t->hearsay)
		return h;
	return http_peers_hash(http_peers_hash(h + secure, n->address), topic);
}

static bool
same_words(const struct peer *p, const struct node *n, struct bytes topic, bool secure)
{
	return p->secure == secure && bytes_eq(bytes_str(p->address), n->address) &&
		http_peer_has_topic(p, topic);
}

static struct peer *
find_peer(const struct peers *t, unsigned dialect, const struct service *s,
	const struct node *n, struct bytes topic, bool secure)
{
	uint64_t h = hash_name(t, dialect, s, n, topic, secure);
	struct peer *p = t->index ? t->index->name[h & (PEER_BUCKETS - 1)] : NULL;

	while (p && (p->name_hash != h || p->dialect != dialect ||
	    !bytes_eq(peer_id(p), n->id) || !bytes_eq(VERSION_BYTES(p), s->version) ||
	    (t->hearsay && !same_words(p, n, topic, secure))))
		p = p->next_name;
	return p;
}

static bool
same_subscriber(const struct peer *a, const struct peer *b)
{
	return a->subscriber_hash == b->subscriber_hash &&
		bytes_eq(peer_uuid(a), peer_uuid(b)) &&
		http_peer_has_topic(a, bytes_of(b->topic, b->topic_len)) &&
		strcmp(a->version, b->version) == 0;
}

struct peer *
http_peers_first(const struct peers *t, const struct peer *p)
{
	struct peer *q = t->index->subscriber[p->subscriber_hash & (PEER_BUCKETS - 1)];

	while (q && !same_subscriber(q, p))
		q = q->next_subscriber;
	return q;
}

/* Does it name both ports, and its own right? */
static bool
names_ports(const struct peer *p)
{
	return p->port && p->ports[p->dialect] == p->port;
}

/* The node that this one names as its other dialect's, if that one names it, too; NULL:
 * there is none. */
static struct peer *
other_half(const struct peers *t, const struct peer *p)
{
	struct peer *q = NULL;

	if (names_ports(p) && !p->disputed)
		q = t->index->pair[p->pair_hash & (PEER_BUCKETS - 1)];
	while (q && (q->dialect == p->dialect || q->disputed || q->secure != p->secure ||
	    q->ports[DIALECT_NEW] != p->ports[DIALECT_NEW] ||
	    q->ports[DIALECT_OLD] != p->ports[DIALECT_OLD] ||
	    !bytes_eq(peer_id(q), peer_id(p)) || !bytes_eq(peer_host(q), peer_host(p)) ||
	    !same_subscriber(q, p)))
		q = q->next_pair;
	return q;
}

bool
http_peers_serves(const struct peers *t, const struct peer *p)
{
	return p->dialect == DIALECT_NEW || !other_half(t, p);
}

unsigned
http_peers_count(struct peers *t, struct bytes topic)
{
	unsigned n = 0;

	t->pass++;
	for (const struct peer *p = t->first; p; p = p->next) {
		struct peer *first = http_peer_has_topic(p, topic) ? http_peers_first(t, p) : NULL;

		if (!first || first->pass == t->pass)
			continue;
		first->pass = t->pass;
		n++;
	}
	return n;
}

void
http_peers_add_rivals(const struct peers *t, const struct peer *p, struct error *err)
{
	unsigned n = 0;
	char *end = err->text + strlen(err->text);
	size_t room = sizeof err->text - strlen(err->text);
	const struct peer *q = t->index ? http_peers_first(t, p) : NULL;

	for (; q; q = q->next_subscriber) {
		int len;

		if (q == p || !same_subscriber(q, p) || other_half(t, q) == p ||
		    !http_peers_serves(t, q) || strcmp(q->address, p->address) == 0 || n > RIVALS_SAID)
			continue;
		len = n++ == 0 ? snprintf(end, room, " (that subscriber is also said to be at %s",
				q->address) :
			snprintf(end, room, n > RIVALS_SAID ? ", ..." : ", %s", q->address);
		if (len < 0 || (size_t)len >= room)
			return;
		end += len;
		room -= (size_t)len;
	}
	if (n)
		snprintf(end, room, ": all have to answer)");
}

/* ---- the table ---- */

static void
put_on(struct peers *t, struct peer *p)
{
	struct peer **at, *first;

	if (!t->index)
		t->index = xcalloc(1, sizeof *t->index);
	at = &t->index->name[p->name_hash & (PEER_BUCKETS - 1)];
	p->next_name = *at;
	*at = p;
	if (names_ports(p)) {
		at = &t->index->pair[p->pair_hash & (PEER_BUCKETS - 1)];
		p->next_pair = *at;
		*at = p;
	}
	/* Behind the first of the same subscriber, which stays the first. */
	first = http_peers_first(t, p);
	at = first ? &first->next_subscriber :
		&t->index->subscriber[p->subscriber_hash & (PEER_BUCKETS - 1)];
	p->next_subscriber = *at;
	*at = p;
	p->next = t->first;
	if (p->next)
		p->next->prev = p;
	t->first = p;
}

static size_t
peer_size(size_t id, size_t address, size_t topic, size_t version)
{
	return sizeof(struct peer) + id + address + topic + version;
}

static void
take_off(struct peers *t, struct peer *p)
{
	struct peer **at = &t->index->name[p->name_hash & (PEER_BUCKETS - 1)];

	while (*at != p)
		at = &(*at)->next_name;
	*at = p->next_name;
	at = &t->index->pair[p->pair_hash & (PEER_BUCKETS - 1)];
	while (*at && *at != p)
		at = &(*at)->next_pair;
	if (*at)
		*at = p->next_pair;
	at = &t->index->subscriber[p->subscriber_hash & (PEER_BUCKETS - 1)];
	while (*at != p)
		at = &(*at)->next_subscriber;
	*at = p->next_subscriber;
	*(p->prev ? &p->prev->next : &t->first) = p->next;
	if (p->next)
		p->next->prev = p->prev;
	t->crowded = false;
	t->n--;
	t->bytes -= peer_size(p->id_len, strlen(p->address), p->topic_len, strlen(p->version));
	p->gone = true;
	t->changed = true;
	http_peer_unref(p);
}

static bool
has_room(const struct peers *t, size_t size)
{
	return t->n < PEERS_MAX && t->bytes + size <= PEER_BYTES_MAX;
}

/* A node that events wait for takes the place of nodes that nobody asked for. */
static bool
make_room(struct peers *t, struct bytes topic, size_t size)
{
	struct peer *next;

	if (!has_room(t, size) && !t->said_full) {
		log_warn("http: %zu subscribers are registered: no more are kept", t->n);
		t->said_full = true;
	}
	if (!has_room(t, size) && (t->crowded || !t->wanted(t->arg, topic)))
		return false;
	for (struct peer *p = t->first; p && !has_room(t, size); p = next) {
		next = p->next;
		if (p->refs == 1 && !t->wanted(t->arg, bytes_of(p->topic, p->topic_len)))
			take_off(t, p);
	}
	t->crowded = !has_room(t, size);
	return !t->crowded;
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

/* Heard of again. True: nothing else is to be done. */
static bool
is_known(struct peers *t, struct peer *p, const struct node *n, struct bytes topic, bool secure)
{
	unsigned ports[DIALECTS];
	bool same;

	ports_of(n, ports);
	same = ports[DIALECT_NEW] == p->ports[DIALECT_NEW] &&
		ports[DIALECT_OLD] == p->ports[DIALECT_OLD];
	t->changed |= p->doubted != 0;
	p->doubted = 0;
	if (t->hearsay) {
		/* Two say different things of it, and one of them lies. */
		t->changed |= !same && !p->disputed;
		p->disputed |= !same;
		return true;
	}
	if (same && same_words(p, n, topic, secure))
		return true;
	take_off(t, p);			/* the registry knows better now */
	return false;
}

void
http_peers_add(struct peers *t, unsigned dialect, const struct service *s, const struct node *n,
	struct bytes topic)
{
	bool secure = bytes_eq(node_meta(n, "secure"), BYTES("true"));
	struct peer *p = find_peer(t, dialect, s, n, topic, secure);
	size_t size = peer_size(n->id.n, n->address.n, topic.n, s->version.n);

	if ((p && is_known(t, p, n, topic, secure)) || !make_room(t, topic, size))
		return;
	t->n++;
	t->bytes += size;
	p = xcalloc(1, sizeof *p);
	p->refs = 1;
	p->serial = ++t->serials;
	p->dialect = (unsigned char)dialect;
	p->secure = secure;
	p->id = xmemdup0(n->id.p, n->id.n);
	p->id_len = n->id.n;
	p->address = xmemdup0(n->address.p, n->address.n);
	p->port = port_of(n->address);
	ports_of(n, p->ports);
	p->topic = xmemdup0(topic.p, topic.n);
	p->topic_len = topic.n;
	p->says_topic = lost_backslashes(topic, n->id);
	p->version = xmemdup0(s->version.p, s->version.n);
	p->name_hash = hash_name(t, dialect, s, n, topic, secure);
	p->pair_hash = hash_pair(t, p);
	p->subscriber_hash = hash_subscriber(t, p);
	put_on(t, p);
	t->changed = true;
	log_debug("http: found %.*s at %.*s (%.*s, %s)", BYTES_FMT(n->id), BYTES_FMT(n->address),
		BYTES_FMT(s->name), p->version);
}

void
http_peers_drop(struct peers *t, struct peer *p)
{
	struct peer *half = other_half(t, p);

	if (half)
		take_off(t, half);
	take_off(t, p);
}

/* ---- goodbyes ---- */

static bool
is_meant(const struct peer *p, unsigned dialect, const struct service *s, const struct node *n)
{
	return p->dialect == dialect && bytes_eq(peer_id(p), n->id) &&
		(!s->version.n || bytes_eq(VERSION_BYTES(p), s->version)) &&
		(!n->address.n || bytes_eq(bytes_str(p->address), n->address));
}

/* Takes it off, or only notes that it may have gone. */
static bool
say_goodbye(struct peers *t, struct peer *p, unsigned doubt)
{
	if (!doubt) {
		take_off(t, p);
		return false;
	}
	t->changed |= !p->doubted;
	p->doubted = doubt;
	return true;
}

bool
http_peers_goodbye(struct peers *t, unsigned dialect, const struct service *s,
	const struct node *n, unsigned doubt)
{
	struct peer *next, *p;
	struct bytes topic;
	bool any = false;

	if (http_peer_topic(s, n, &topic) && s->version.n) {
		for (unsigned secure = 0; secure < 2; secure++) {
			p = find_peer(t, dialect, s, n, topic, secure);
			if (p && is_meant(p, dialect, s, n))
				any |= say_goodbye(t, p, doubt);
		}
		return any;
	}
	for (p = t->first; p; p = next) {
		next = p->next;
		if (is_meant(p, dialect, s, n))
			any |= say_goodbye(t, p, doubt);
	}
	return any;
}

bool
http_peers_looked_up(struct peers *t, unsigned lookup)
{
	struct peer *next;
	bool others = false;

	for (struct peer *p = t->first; p; p = next) {
		next = p->next;
		if (p->doubted && p->doubted <= lookup)
			take_off(t, p);
		else
			others |= p->doubted != 0;
	}
	return others;
}

/* ---- life ---- */

void
http_peers_init(struct peers *t, bool hearsay)
{
	t->hearsay = hearsay;
	if (getrandom(&t->seed, sizeof t->seed, GRND_NONBLOCK) < 0)
		t->seed = loop_clock_ns();
}

void
http_peers_release(struct peers *t)
{
	while (t->first)
		take_off(t, t->first);
	free(t->index);
	t->index = NULL;
}
