/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a topic to the nodes that must answer for an event: all of the broadcast, and of
 * each queue one member, which is one node, or all that say to be that subscriber.
 */
#include <stdlib.h>

#include "backends/http/http.h"
#include "core/log.h"

enum {
	ROUTES_MAX = 4096,		/* more topics than that: the unused are forgotten */
	NODES_SAID = 10,		/* by -v */
	TOPIC_SAID = 100		/* bytes of it, likewise */
};

/* ---- routes ---- */

static unsigned
topic_bucket(struct bytes topic)
{
	unsigned h = 2166136261u;

	for (size_t i = 0; i < topic.n; i++)
		h = (h ^ (unsigned char)topic.p[i]) * 16777619u;
	return h % ROUTE_BUCKETS;
}

struct route *
http_route_find(struct http_broker *hb, struct bytes topic)
{
	struct route *r = hb->last_route;

	if (r && bytes_eq(r->topic, topic))
		return r;
	r = hb->routes[topic_bucket(topic)];
	while (r && !bytes_eq(r->topic, topic))
		r = r->next;
	return r;
}

static void
route_clear(struct route *r)
{
	for (size_t i = 0; i < r->ngroups; i++) {
		for (size_t k = 0; k < r->groups[i].npeers; k++)
			http_peer_unref(r->groups[i].peers[k]);
		free(r->groups[i].peers);
	}
	free(r->groups);
	r->groups = NULL;
	r->ngroups = 0;
}

static void
route_free(struct http_broker *hb, struct route **at)
{
	struct route *r = *at;

	*at = r->next;
	hb->nroutes--;
	if (hb->last_route == r)
		hb->last_route = NULL;
	route_clear(r);
	buf_release(&r->topic_json);
	free((char *)r->topic.p);
	free(r->refused);
	free(r);
}

static void
routes_sweep(struct http_broker *hb)
{
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		for (struct route **p = &hb->routes[i]; *p;)
			if ((*p)->flights)
				p = &(*p)->next;
			else
				route_free(hb, p);
}

struct route *
http_route_get(struct http_broker *hb, struct bytes topic)
{
	struct route *r = http_route_find(hb, topic), **bucket;

	if (!r) {
		if (hb->nroutes >= ROUTES_MAX && !hb->routes_walked)
			routes_sweep(hb);
		hb->nroutes++;
		bucket = &hb->routes[topic_bucket(topic)];
		r = xcalloc(1, sizeof *r);
		r->topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
		json_add_go_string(&r->topic_json, topic);
		r->dirty = true;
		r->next = *bucket;
		*bucket = r;
	}
	hb->last_route = r;
	return r;
}

struct group *
http_route_group(struct route *r, const char *version)
{
	for (size_t i = 0; i < r->ngroups; i++)
		if (strcmp(r->groups[i].version, version) == 0)
			return &r->groups[i];
	return NULL;
}

static struct group *
route_add_group(struct route *r, const char *version)
{
	struct group *g;

	r->groups = xrealloc(r->groups, (r->ngroups + 1) * sizeof *g);
	g = &r->groups[r->ngroups++];
	*g = (struct group){ .version = version };
	g->broadcast = strcmp(version, VERSION_BROADCAST) == 0;
	g->turn = (size_t)loop_clock_ns() >> 10;	/* publishers start anywhere */
	return g;
}

/* Another node of a subscriber that is in the group already. False: it is no other,
 * but another name for what listens at the same address. */
static bool
rival_counts(struct http_broker *hb, const struct group *g, const struct peer *first,
	const struct peer *p)
{
	for (size_t i = 0; i < g->npeers && !g->broadcast; i++)
		if (g->peers[i]->unit == first->unit && g->peers[i]->endpoint == p->endpoint)
			return false;
	if (!hb->said_rivals)
		log_warn("%.*s at %s is also said to be elsewhere: all who say so get the events, "
			"and must answer (mbus-http(7), SECURITY)", BYTES_FMT(bytes_of(p->id,
			p->id_len)), p->address);
	hb->said_rivals = true;
	return true;
}

static void
route_add(struct route *r, struct peer *p, struct http_broker *hb)
{
	struct group *g = http_route_group(r, p->version);
	struct peer *first = http_peers_first(&hb->dir.peers, p);

	if (!g)
		g = route_add_group(r, p->version);
	if (!p->endpoint)
		p->endpoint = http_endpoint_get(&hb->endpoints, p->address, p->dialect, p->secure);
	if (first->pass != hb->dir.peers.pass) {
		first->pass = hb->dir.peers.pass;
		first->unit = (unsigned)g->nmembers++;
	} else if (!rival_counts(hb, g, first, p)) {
		return;
	}
	p->unit = first->unit;
	r->doubtful |= p->doubted != 0;
	g->peers = xrealloc(g->peers, (g->npeers + 1) * sizeof *g->peers);
	g->peers[g->npeers++] = p;
	http_peer_ref(p);
}

static int
by_member(const void *a, const void *b)
{
	const struct peer *x = *(struct peer *const *)a, *y = *(struct peer *const *)b;

	return (x->unit > y->unit) - (x->unit < y->unit);
}

/* -v: whom its events go to. */
static void
route_say(const struct route *r)
{
	struct buf text = BUF_INIT;
	size_t n = 0, said = 0;

	for (size_t i = 0; i < r->ngroups; i++) {
		const struct group *g = &r->groups[i];

		n += g->npeers;
		for (size_t k = 0; k < g->npeers && said < NODES_SAID; k++, said++)
			buf_addf(&text, "%s%s%s%s", said ? ", " : "", g->peers[k]->address,
				g->broadcast ? "" : " of group ", g->broadcast ? "" : g->version);
	}
	log_verbose("%.*s: %zu subscriber%s: %s%s", r->topic.n > TOPIC_SAID ? TOPIC_SAID :
		(int)r->topic.n, r->topic.p, n, n == 1 ? "" : "s", buf_cstr(&text),
		said < n ? ", ..." : "");
	buf_release(&text);
}

/* The groups as the directory has them now; a subscriber in both http_dialects is asked
 * once. */
void
http_route_make(struct http_broker *hb, struct route *r)
{
	struct group *old = r->groups;
	size_t nold = r->ngroups;
	struct route was = { .groups = old, .ngroups = nold };

	r->groups = NULL;
	r->ngroups = 0;
	r->doubtful = false;
	hb->dir.peers.pass++;
	for (struct peer *p = hb->dir.peers.first; p; p = p->next)
		if (http_peer_has_topic(p, r->topic) && http_peers_serves(&hb->dir.peers, p))
			route_add(r, p, hb);
	for (size_t i = 0; i < r->ngroups; i++)
		if (!r->groups[i].broadcast && r->groups[i].nmembers < r->groups[i].npeers)
			qsort(r->groups[i].peers, r->groups[i].npeers, sizeof(struct peer *),
				by_member);
	route_clear(&was);		/* after: peers that stay keep their connection */
	r->dirty = false;
	if (log_level >= LOG_VERBOSE && r->ngroups)
		route_say(r);
}

void
http_routes_dirty(struct http_broker *hb)
{
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		for (struct route *r = hb->routes[i]; r; r = r->next) {
			r->dirty = true;
			r->none_until_ns = 0;
		}
}

void
http_routes_release(struct http_broker *hb)
{
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		while (hb->routes[i])
			route_free(hb, &hb->routes[i]);
}
