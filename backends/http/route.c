/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a topic to the nodes that must answer for an event, and from their
 * answers to the event's fate:
 *
 *	broadcast	every node; one that fails makes the event fail
 *	a queue		one node, in turn; one that fails is replaced by another
 *
 * Confirmed means that all of them answered 200.
 */
#include <stdlib.h>

#include "backends/http/http.h"
#include "core/log.h"

enum {
	ROUTES_MAX = 4096,		/* more topics than that: the unused are forgotten */
	NONE_MS = 1000,			/* nobody subscribes: asked again after this */
	LOOK_AGAIN_MS = 10 * 1000	/* a route in use is refreshed this often */
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

static struct route *
route_find(struct http_broker *hb, struct bytes topic)
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
route_clear(struct http_broker *hb, struct route *r)
{
	for (size_t i = 0; i < r->ngroups; i++) {
		for (size_t k = 0; k < r->groups[i].npeers; k++)
			peer_unref(hb, r->groups[i].peers[k]);
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
	route_clear(hb, r);
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

static struct route *
route_get(struct http_broker *hb, struct bytes topic)
{
	struct route *r = route_find(hb, topic), **bucket;

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

static struct group *
route_group(struct route *r, const char *version)
{
	for (size_t i = 0; i < r->ngroups; i++)
		if (strcmp(r->groups[i].version, version) == 0)
			return &r->groups[i];
	return NULL;
}

static void
route_add(struct route *r, struct peer *p, struct http_broker *hb)
{
	struct group *g = route_group(r, p->version);

	if (!g) {
		r->groups = xrealloc(r->groups, (r->ngroups + 1) * sizeof *g);
		g = &r->groups[r->ngroups++];
		*g = (struct group){ .version = p->version };
		g->broadcast = strcmp(p->version, VERSION_BROADCAST) == 0;
		g->turn = (size_t)loop_clock_ns() >> 10;	/* publishers start anywhere */
	}
	g->peers = xrealloc(g->peers, (g->npeers + 1) * sizeof *g->peers);
	g->peers[g->npeers++] = p;
	peer_ref(p);
	if (!p->endpoint)
		p->endpoint = endpoint_get(hb, p);
}

/* The groups as the directory has them now; a subscriber in both dialects is asked
 * once. */
static void
route_make(struct http_broker *hb, struct route *r)
{
	struct group *old = r->groups;
	size_t nold = r->ngroups;
	struct route was = { .groups = old, .ngroups = nold };

	r->groups = NULL;
	r->ngroups = 0;
	for (struct peer *p = hb->dir.peers; p; p = p->next)
		if (peer_has_topic(p, r->topic) && peer_of_subscriber(hb, p) == p)
			route_add(r, p, hb);
	route_clear(hb, &was);		/* after: peers that stay keep their connection */
	r->dirty = false;
}

bool
route_wanted(struct http_broker *hb, struct bytes topic)
{
	struct route *r;

	if (hb->audience.fn && bytes_eq(hb->audience.topic, topic))
		return true;
	r = route_find(hb, topic);
	return r && r->asked;
}

void
routes_changed(struct http_broker *hb)
{
	hb->dir.changed = false;
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		for (struct route *r = hb->routes[i]; r; r = r->next) {
			r->dirty = true;
			r->none_until_ns = 0;
		}
	audience_check(hb, NULL);
}

/* ---- flights ---- */

static struct flight *
flight_new(struct http_broker *hb, const struct publication *p, struct route *r)
{
	struct flight *fl = hb->free_flights;
	struct buf body = BUF_INIT;

	if (fl) {
		hb->free_flights = fl->next;
		body = fl->body;
		buf_clear(&body);
	} else {
		fl = xmalloc(sizeof *fl);
	}
	/* Not the whole of it: the error's text is large and seldom used. */
	fl->id = p->id;
	fl->size = publication_size(p);
	fl->route = r;
	r->flights++;
	fl->body = body;
	fl->open = 0;
	fl->waits = fl->failed = fl->unknown = false;
	fl->deadline_ns = loop_now_ns(hb->loop) + hb->b.opts.timeout_ms * 1000000ull;
	fl->next = NULL;
	fl->prev = hb->newest_flight;
	if (fl->prev)
		fl->prev->next = fl;
	else
		hb->oldest_flight = fl;
	hb->newest_flight = fl;
	return fl;
}

static void
flight_fail(struct flight *fl, const struct error *err, bool unknown)
{
	if (!fl->failed) {
		fl->error = *err;
		error_prefix_bytes(&fl->error, fl->route->topic);
		if (unknown) {
			fl->error.kind = ERR_UNKNOWN;
			strncat(fl->error.text, " (it may have arrived)",
				sizeof fl->error.text - strlen(fl->error.text) - 1);
		}
	}
	fl->failed = true;
	fl->unknown |= unknown;
}

static void
flight_end(struct http_broker *hb, struct flight *fl)
{
	enum { BODY_KEEP = 64 * 1024 };
	struct error err;
	bool failed = fl->failed;
	enum fate fate = fl->unknown ? FATE_UNKNOWN : failed ? FATE_REFUSED : FATE_CONFIRMED;
	uint64_t id = fl->id;
	size_t size = fl->size;

	if (failed)
		err = fl->error;
	fl->route->flights--;
	if (fl->prev)
		fl->prev->next = fl->next;
	else
		hb->oldest_flight = fl->next;
	if (fl->next)
		fl->next->prev = fl->prev;
	else
		hb->newest_flight = fl->prev;
	if (fl->body.cap > BODY_KEEP)
		buf_release(&fl->body);
	fl->next = hb->free_flights;
	hb->free_flights = fl;
	/* Last: the user may publish the next from within. */
	broker_outcome(&hb->b, id, size, fate, failed ? &err : NULL);
}

/* ---- sending ---- */

/* Why nothing can be sent to that node now; NULL: it can. */
static const struct error *
peer_unfit(const struct http_broker *hb, const struct peer *p)
{
	const struct error *why = secure_unfit(hb, p);

	return why ? why : endpoint_down(p->endpoint);
}

/* The next of a queue's nodes that can be sent to; NULL: none can. */
static struct peer *
group_pick(const struct http_broker *hb, struct group *g, const struct error **why)
{
	*why = NULL;
	for (size_t i = 0; i < g->npeers; i++) {
		struct peer *p = g->peers[g->turn++ % g->npeers];

		*why = peer_unfit(hb, p);
		if (!*why)
			return p;
	}
	return NULL;
}

/* Likewise, the next behind a node that failed, in a round through the serials
 * that began at `first`: so each is asked once, whoever comes and goes meanwhile. */
static struct peer *
group_after(const struct http_broker *hb, const struct group *g, const struct peer *failed,
	uint32_t first)
{
	uint32_t behind = failed->serial - first, nearest = 0;
	struct peer *next = NULL;

	for (size_t i = 0; i < g->npeers; i++) {
		struct peer *p = g->peers[i];
		uint32_t distance = p->serial - first;

		if (distance <= behind || (next && distance >= nearest) || peer_unfit(hb, p))
			continue;
		nearest = distance;
		next = p;
	}
	return next;
}

static void
flight_send_to(struct http_broker *hb, struct flight *fl, struct peer *p)
{
	struct request r = { .flight = fl, .peer = p, .first = p->serial };

	fl->open++;
	endpoint_send(hb, p->endpoint, &r);
}

static void
flight_send(struct http_broker *hb, struct flight *fl)
{
	struct route *r = fl->route;

	fl->waits = false;
	for (size_t i = 0; i < r->ngroups; i++) {
		struct group *g = &r->groups[i];
		const struct error *why;
		struct peer *p;

		for (size_t k = 0; g->broadcast && k < g->npeers; k++) {
			why = peer_unfit(hb, g->peers[k]);
			if (why)
				flight_fail(fl, why, false);
			else
				flight_send_to(hb, fl, g->peers[k]);
		}
		if (g->broadcast)
			continue;
		p = group_pick(hb, g, &why);
		if (p)
			flight_send_to(hb, fl, p);
		else
			flight_fail(fl, why, false);
	}
	if (!fl->open)
		flight_end(hb, fl);
}

/* A queue's node failed: another of that queue gets the event, until all have
 * answered no. What may have arrived is tried once more only, since each try can
 * make a duplicate. */
static bool
try_another(struct http_broker *hb, const struct request *r, bool sent)
{
	struct request next = { .flight = r->flight, .first = r->first,
		.unsure = r->unsure || sent };
	struct route *route = r->flight->route;
	struct group *g;

	if (strcmp(r->peer->version, VERSION_BROADCAST) == 0)
		return false;
	if (route->dirty)
		route_make(hb, route);
	g = route_group(route, r->peer->version);
	if (!g || (sent && r->unsure))
		return false;
	next.peer = group_after(hb, g, r->peer, r->first);
	if (!next.peer)
		return false;
	log_verbose("%.*s: %s failed, trying %s", BYTES_FMT(route->topic), r->peer->address,
		next.peer->address);
	endpoint_send(hb, next.peer->endpoint, &next);
	return true;
}

void
route_result(struct http_broker *hb, struct request *r, const struct error *err, bool sent)
{
	struct flight *fl = r->flight;
	struct peer *p = r->peer;

	if (err && err->kind == ERR_CONNECT && !p->gone)
		directory_drop(hb, p);
	if (fl && !(err && try_another(hb, r, sent))) {
		if (err)
			flight_fail(fl, err, sent || r->unsure);
		if (--fl->open == 0)
			flight_end(hb, fl);
	}
	peer_unref(hb, p);
}

/* ---- waiting for a lookup ---- */

void
route_refused(struct http_broker *hb, struct bytes topic, const struct node *n, const char *why)
{
	struct route *r = route_find(hb, topic);
	struct buf text = BUF_INIT;

	if (!r || !r->asked || r->nrefused++)
		return;
	buf_add(&text, n->id.p, n->id.n < 100 ? n->id.n : 100);
	buf_add_str(&text, " at ");
	buf_add(&text, n->address.p, n->address.n);
	buf_add_str(&text, " is not believed: ");
	buf_add_str(&text, why);
	r->refused = xstrdup(buf_cstr(&text));
	buf_release(&text);
}

static void
nobody(const struct route *r, struct error *err)
{
	if (r->nrefused)
		error_set(err, ERR_NOTFOUND, "nobody subscribes who is believed; %s", r->refused);
	else
		error_set(err, ERR_NOTFOUND,
			"nobody subscribes (--wait 1 waits for a subscriber)");
}

/* Sends, or fails, what waited, in the order of publishing whatever the topic: a
 * subscriber may have several. What is published meanwhile lines up behind. */
static void
flights_let_go(struct http_broker *hb, const struct error *err)
{
	struct flight *fl, *next;
	struct error none;
	bool any = true;

	while (any) {
		any = false;
		for (fl = hb->oldest_flight; fl; fl = next) {
			next = fl->next;
			if (!fl->waits || !fl->route->looked_up)
				continue;
			any = true;
			fl->waits = false;
			if (fl->route->ngroups) {
				flight_send(hb, fl);
				continue;
			}
			if (!err)
				nobody(fl->route, &none);
			flight_fail(fl, err ? err : &none, false);
			flight_end(hb, fl);
		}
	}
}

void
routes_looked_up(struct http_broker *hb, const struct error *err)
{
	bool early = (hb->dir.hit[DIALECT_NEW] || hb->dir.hit[DIALECT_OLD]) &&
		!hb->dir.lookup[DIALECT_NEW].all;
	bool again = false;

	hb->routes_walked = true;	/* what is published meanwhile must not free them */
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		for (struct route *r = hb->routes[i]; r; r = r->next) {
			if (!r->asked)
				continue;
			if (r->dirty)
				route_make(hb, r);
			if (!r->ngroups && early && !err) {
				/* It ended when the answers for somebody else stopped:
				 * that is no proof that nobody is there. */
				again = true;
				continue;
			}
			if (!r->ngroups)
				r->none_until_ns = loop_clock_ns() + NONE_MS * 1000000ull;
			r->looked_up = true;
		}
	flights_let_go(hb, err);
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		for (struct route *r = hb->routes[i]; r; r = r->next)
			if (r->looked_up)
				r->looked_up = r->asked = false;
	hb->routes_walked = false;
	for (unsigned d = 0; d < DIALECTS; d++)
		hb->dir.lookup[d].all = again;
	if (again) {
		struct error fail;

		if (directory_look(hb, &fail) < 0) {
			hb->dir.hit[DIALECT_NEW] = hb->dir.hit[DIALECT_OLD] = false;
			routes_looked_up(hb, &fail);
			return;
		}
	}
	audience_check(hb, err);
}

/* ---- publishing ---- */

static int
check_headers(const struct publication *p, struct error *err)
{
	for (size_t i = 0; i < p->msg.nheaders; i++) {
		const struct header *h = &p->msg.headers[i];

		if ((bytes_eq(h->name, BYTES(HEADER_MICRO_TOPIC)) ||
		    bytes_eq(h->name, BYTES(HEADER_OLD_TOPIC))) && !bytes_eq(h->value, p->topic))
			return error_set(err, ERR_REFUSED, "headers: %.*s is the http broker's own and "
				"always says the topic", BYTES_FMT(h->name));
	}
	return 0;
}

int
route_publish(struct http_broker *hb, const struct publication *p, struct error *err)
{
	struct header topic = { BYTES(HEADER_MICRO_TOPIC), p->topic };
	struct route *r;
	struct flight *fl;

	if (!p->topic.n)
		return error_set(err, ERR_REFUSED, "topic: the http broker has no empty one");
	if (check_headers(p, err) < 0)
		return -1;
	r = route_get(hb, p->topic);
	if (r->dirty)
		route_make(hb, r);
	if (!r->ngroups && loop_clock_ns() < r->none_until_ns) {
		nobody(r, err);
		return error_prefix_bytes(err, p->topic);
	}
	if (!r->ngroups && directory_look(hb, err) < 0)
		return -1;
	fl = flight_new(hb, p, r);
	envelope_write(&fl->body, &p->msg, &topic, 1);
	if (hb->b.opts.timeout_ms && !loop_timer_is_set(&hb->expiry))
		loop_timer_set(hb->loop, &hb->expiry, hb->b.opts.timeout_ms + 1);
	if (!r->ngroups || r->asked) {
		if (!r->asked) {
			free(r->refused);
			r->refused = NULL;
			r->nrefused = 0;
		}
		r->asked = fl->waits = true;
		return 0;
	}
	if (loop_now_ns(hb->loop) > hb->dir.looked_ns + LOOK_AGAIN_MS * 1000000ull) {
		struct error ignored;

		directory_look(hb, &ignored);	/* in the background */
	}
	flight_send(hb, fl);
	return 0;
}

/* The oldest events whose time is over get their outcome. */
static void
flights_expire(struct loop_timer *t)
{
	struct http_broker *hb = t->arg;
	uint64_t now = loop_clock_ns();
	struct flight *fl;

	while ((fl = hb->oldest_flight) && fl->deadline_ns <= now) {
		struct error err;
		bool sent = endpoints_forget(hb, fl) > 0;

		error_set(&err, sent ? ERR_UNKNOWN : ERR_CONNECT, "%s within %u ms",
			sent ? "sent, but not confirmed" : "could not be sent",
			hb->b.opts.timeout_ms);
		flight_fail(fl, &err, sent);
		flight_end(hb, fl);
	}
	if (fl)
		loop_timer_set(hb->loop, t, (fl->deadline_ns - now) / 1000000 + 1);
}

void
routes_init(struct http_broker *hb)
{
	hb->expiry.fn = flights_expire;
	hb->expiry.arg = hb;
}

void
routes_release(struct http_broker *hb)
{
	struct flight *fl, *next;

	loop_timer_clear(hb->loop, &hb->expiry);
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		while (hb->routes[i])
			route_free(hb, &hb->routes[i]);
	for (fl = hb->oldest_flight; fl; fl = next) {
		next = fl->next;
		buf_release(&fl->body);
		free(fl);
	}
	for (fl = hb->free_flights; fl; fl = next) {
		next = fl->next;
		buf_release(&fl->body);
		free(fl);
	}
	hb->oldest_flight = hb->newest_flight = hb->free_flights = NULL;
}
