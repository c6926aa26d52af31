/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events under way: sent to the nodes of their topic's route, and from the answers to
 * the event's fate.
 *
 *	broadcast	every node; one that fails makes the event fail
 *	a queue		one member, in turn; one that fails is replaced by another
 *
 * Confirmed means that all of them answered 200. A queue's member is one node; where
 * several say to be that subscriber, all of them must answer, and nobody else can
 * answer for them: a liar can make the event fail, and not make it go astray.
 */
#include <stdlib.h>

#include "backends/http/http.h"
#include "backends/proto/http.h"
#include "core/log.h"
#include "core/nearest.h"

enum {
	NONE_MS = 1000,			/* nobody subscribes: asked again after this */
	LOOK_AGAIN_MS = 10 * 1000,	/* a route in use is refreshed this often */
	TOPIC_SAID = 100		/* bytes of it in an error */
};

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
	const struct error *why = http_secure_unfit(hb, p);

	return why ? why : http_endpoint_down(p->endpoint);
}

/* The member of a queue that begins at i: how many nodes. */
static size_t
member_size(const struct group *g, size_t i)
{
	size_t n = 1;

	while (i + n < g->npeers && g->peers[i + n]->unit == g->peers[i]->unit)
		n++;
	return n;
}

static const struct error *
member_unfit(const struct http_broker *hb, const struct group *g, size_t i)
{
	const struct error *why = NULL;

	for (size_t n = member_size(g, i); n-- > 0 && !why;)
		why = peer_unfit(hb, g->peers[i + n]);
	return why;
}

/* Where the nth member begins. */
static size_t
member_at(const struct group *g, size_t n)
{
	size_t i = 0;

	if (g->nmembers == g->npeers)
		return n;
	while (n-- > 0)
		i += member_size(g, i);
	return i;
}

enum { NO_MEMBER = -1 };

/* The next member of a queue that can be sent to. */
static ptrdiff_t
group_pick(const struct http_broker *hb, struct group *g, const struct error **why)
{
	*why = NULL;
	for (size_t k = 0; k < g->nmembers; k++) {
		size_t i = member_at(g, g->turn++ % g->nmembers);

		*why = member_unfit(hb, g, i);
		if (!*why)
			return (ptrdiff_t)i;
	}
	return NO_MEMBER;
}

/* Likewise, the next behind a node that failed, in a round through the serials
 * that began at `first`: so each is asked once, whoever comes and goes meanwhile. */
static ptrdiff_t
group_after(const struct http_broker *hb, const struct group *g, const struct peer *failed,
	uint32_t first)
{
	uint32_t behind = failed->serial - first, nearest = 0;
	ptrdiff_t next = NO_MEMBER;

	for (size_t i = 0; i < g->npeers; i += member_size(g, i)) {
		uint32_t distance = g->peers[i]->serial - first;

		if (distance <= behind || (next != NO_MEMBER && distance >= nearest) ||
		    member_unfit(hb, g, i))
			continue;
		nearest = distance;
		next = (ptrdiff_t)i;
	}
	return next;
}

/* To one node, or to all that say to be one member. */
static void
flight_send_to(struct flight *fl, const struct group *g, size_t i, struct request r)
{
	size_t n = g->broadcast ? 1 : member_size(g, i);

	r.flight = fl;
	r.must = n > 1;
	for (size_t k = i; k < i + n; k++) {
		r.peer = g->peers[k];
		fl->open++;
		http_peer_ref(r.peer);
		http_endpoint_send(r.peer->endpoint, &r);
	}
}

static void
flight_unfit(struct http_broker *hb, struct flight *fl, const struct peer *p,
	const struct error *why)
{
	struct error err = *why;

	http_peers_add_rivals(&hb->dir.peers, p, &err);
	flight_fail(fl, &err, false);
}

static void
flight_send(struct http_broker *hb, struct flight *fl)
{
	struct route *r = fl->route;

	fl->waits = false;
	for (size_t i = 0; i < r->ngroups; i++) {
		struct group *g = &r->groups[i];
		const struct error *why;
		ptrdiff_t at;

		for (size_t k = 0; g->broadcast && k < g->npeers; k++) {
			why = peer_unfit(hb, g->peers[k]);
			if (why)
				flight_unfit(hb, fl, g->peers[k], why);
			else
				flight_send_to(fl, g, k, (struct request){ 0 });
		}
		if (g->broadcast)
			continue;
		at = group_pick(hb, g, &why);
		if (at == NO_MEMBER)
			flight_fail(fl, why, false);
		else
			flight_send_to(fl, g, (size_t)at,
				(struct request){ .first = g->peers[at]->serial });
	}
	if (!fl->open)
		flight_end(hb, fl);
}

/* ---- results ---- */

/* Routes are made anew when next used. */
static void
dir_changed(void *arg)
{
	struct http_broker *hb = arg;

	http_routes_dirty(hb);
	http_audience_check(hb, NULL);
}

/* The node is believed gone. */
static void
drop_peer(struct http_broker *hb, struct peer *p)
{
	http_peers_drop(&hb->dir.peers, p);
	hb->dir.peers.changed = false;
	dir_changed(hb);
}

/* A queue's node failed: another of that queue gets the event, until all have
 * answered no. What may have arrived is tried once more only, since each try can
 * make a duplicate. */
static bool
try_another(struct http_broker *hb, const struct request *r, bool sent)
{
	struct request next = { .first = r->first, .unsure = r->unsure || sent };
	struct route *route = r->flight->route;
	struct group *g;
	ptrdiff_t at;

	if (r->must || strcmp(r->peer->version, VERSION_BROADCAST) == 0)
		return false;
	if (route->dirty)
		http_route_make(hb, route);
	g = http_route_group(route, r->peer->version);
	if (!g || (sent && r->unsure))
		return false;
	at = group_after(hb, g, r->peer, r->first);
	if (at == NO_MEMBER)
		return false;
	log_verbose("%.*s: %s failed, trying %s", BYTES_FMT(route->topic), r->peer->address,
		g->peers[at]->address);
	flight_send_to(r->flight, g, (size_t)at, next);
	r->flight->open--;
	return true;
}

/* A request has its result. sent: it may have arrived all the same. */
static void
request_done(void *arg, const struct request *r, const struct error *err, unsigned status,
	bool sent)
{
	struct http_broker *hb = arg;
	struct flight *fl = r->flight;
	struct peer *p = r->peer;
	struct error named;

	if (fl && err && !fl->failed) {
		named = *err;
		http_peers_add_rivals(&hb->dir.peers, p, &named);
	}
	/* With 404 another process has that address now, and never heard of this node. */
	if (err && (err->kind == ERR_CONNECT || status == 404) && !p->gone)
		drop_peer(hb, p);
	if (fl && !(err && try_another(hb, r, sent))) {
		if (err)
			flight_fail(fl, &named, sent || r->unsure);
		if (--fl->open == 0)
			flight_end(hb, fl);
	}
	http_peer_unref(p);
}

static struct bytes
topic_id(struct http_broker *hb, const struct peer *p)
{
	struct buf *id = &hb->scratch;

	buf_clear(id);
	buf_add(id, p->topic, p->topic_len);
	buf_add(id, p->id + p->id_len - 37, 37);
	return buf_bytes(id);
}

/* A new-dialect envelope begins {"Header":{"... because the topic is always in
 * it; the old dialect's is the same with its own topic header put in front. */
static void
request_render(void *arg, const struct request *r, const char *address, struct buf *out)
{
	static const struct bytes begin = BYTES("{\"Header\":{");
	struct http_broker *hb = arg;
	const struct peer *p = r->peer;
	const char *path = http_dialects[p->dialect].path;
	struct bytes body = buf_bytes(&r->flight->body), topic;
	struct bytes id = p->says_topic ? topic_id(hb, p) : bytes_of(p->id, p->id_len);

	if (p->dialect == DIALECT_NEW) {
		http_add_publish_head(out, bytes_str(path), id, bytes_str(address), body.n);
		buf_add_bytes(out, body);
		return;
	}
	topic = buf_bytes(&r->flight->route->topic_json);
	http_add_publish_head(out, bytes_str(path), id, bytes_str(address),
		body.n + sizeof "\"" HEADER_OLD_TOPIC "\":," - 1 + topic.n);
	buf_add_bytes(out, begin);
	buf_add_str(out, "\"" HEADER_OLD_TOPIC "\":");
	buf_add_bytes(out, topic);
	buf_add_ch(out, ',');
	buf_add(out, body.p + begin.n, body.n - begin.n);
}

static int
request_secure(void *arg, struct stream *st, const char *address, struct error *err)
{
	return http_secure_connect(arg, st, address, err);
}

static const struct endpoint_user endpoint_user = {
	.render = request_render,
	.done = request_done,
	.secure = request_secure,
};

/* ---- what the directory tells ---- */

static bool
dir_wanted(void *arg, struct bytes topic)
{
	struct http_broker *hb = arg;
	struct route *r;

	if (http_audience_waits(hb, topic))
		return true;
	r = http_route_find(hb, topic);
	return r && r->asked;
}

/* Who waits for an audience is not told at the end of the lookup. */
static void
dir_refused(void *arg, struct bytes topic, const struct node *n, const char *why)
{
	struct http_broker *hb = arg;
	struct route *r = http_route_find(hb, topic);
	struct buf text = BUF_INIT;

	if (http_audience_waits(hb, topic) && !hb->said_refused) {
		log_warn("%.*s at %.*s is not believed: %s", BYTES_FMT(n->id),
			BYTES_FMT(n->address), why);
		hb->said_refused = true;
	}
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

/* Who is there instead: how many subscribers, and the topic that is nearest to the one
 * that was asked for. */
static const struct peer *
others(const struct peers *t, const char *topic, unsigned *n)
{
	const struct peer *near = NULL;
	unsigned least = 0;

	*n = 0;
	for (const struct peer *p = t->first; p; p = p->next) {
		unsigned distance;

		if (!http_peers_serves(t, p))
			continue;
		++*n;
		distance = edit_distance(topic, p->topic);
		if (!near || distance < least) {
			near = p;
			least = distance;
		}
	}
	return near;
}

static int
nobody(const struct http_broker *hb, const struct route *r, struct error *err)
{
	const char *registry = hb->registry->ops->name;
	struct bytes topic = r->topic;
	const struct peer *near;
	unsigned n;

	if (r->nrefused) {
		error_set(err, ERR_NOTFOUND, "nobody subscribes who is believed; %s", r->refused);
		return error_prefix_bytes(err, topic);
	}
	if (topic.n > TOPIC_SAID)
		topic.n = TOPIC_SAID;
	near = others(&hb->dir.peers, r->topic.p, &n);
	if (!near)
		return error_set(err, ERR_NOTFOUND, "nobody subscribes to %.*s (asked %s); --wait 1 "
			"waits for a subscriber", BYTES_FMT(topic), registry);
	return error_set(err, ERR_NOTFOUND, "nobody subscribes to %.*s (asked %s); %u subscriber%s "
		"of other topics, %.*s among them", BYTES_FMT(topic), registry, n, n == 1 ? "" : "s",
		TOPIC_SAID, near->topic);
}

/* Sends, or fails, what waited, in the order of publishing whatever the topic: a
 * subscriber may have several. What is published meanwhile lines up behind. */
static void
flights_let_go(struct http_broker *hb, const struct error *err)
{
	struct flight *fl, *next;
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
			if (err) {
				flight_fail(fl, err, false);
			} else {
				nobody(hb, fl->route, &fl->error);
				fl->failed = true;
			}
			flight_end(hb, fl);
		}
	}
}

static void
dir_looked_up(void *arg, const struct error *err)
{
	struct http_broker *hb = arg;
	bool early = http_directory_was_quick(&hb->dir), again = false;

	if (hb->list.fn) {
		http_list_looked_up(hb, err);
		return;
	}
	hb->routes_walked = true;	/* what is published meanwhile must not free them */
	for (unsigned i = 0; i < ROUTE_BUCKETS; i++)
		for (struct route *r = hb->routes[i]; r; r = r->next) {
			if (!r->asked)
				continue;
			if (r->dirty)
				http_route_make(hb, r);
			if (!err && (r->doubtful || (!r->ngroups && early))) {
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
	if (again) {
		struct error fail;

		if (http_directory_look(&hb->dir, true, &fail) < 0) {
			dir_looked_up(hb, &fail);
			return;
		}
	}
	http_audience_check(hb, err);
}

static const struct directory_user directory_user = {
	.wanted = dir_wanted,
	.refused = dir_refused,
	.changed = dir_changed,
	.looked_up = dir_looked_up,
};

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
http_publish(struct broker *b, const struct publication *p, struct error *err)
{
	struct http_broker *hb = (struct http_broker *)b;
	struct header topic = { BYTES(HEADER_MICRO_TOPIC), p->topic };
	struct route *r;
	struct flight *fl;
	bool wait;

	if (!p->topic.n)
		return error_set(err, ERR_REFUSED, "topic: the http broker has no empty one");
	if (check_headers(p, err) < 0)
		return -1;
	r = http_route_get(hb, p->topic);
	if (r->dirty)
		http_route_make(hb, r);
	if (!r->ngroups && loop_clock_ns() < r->none_until_ns)
		return nobody(hb, r, err);
	wait = !r->ngroups || r->doubtful;
	if (wait && http_directory_look(&hb->dir, false, err) < 0)
		return -1;
	fl = flight_new(hb, p, r);
	envelope_write(&fl->body, &p->msg, &topic, 1);
	if (hb->b.opts.timeout_ms && !loop_timer_is_set(&hb->expiry))
		loop_timer_set(hb->loop, &hb->expiry, hb->b.opts.timeout_ms + 1);
	if (wait || r->asked) {
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

		http_directory_look(&hb->dir, false, &ignored);	/* in the background */
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
		bool sent = http_endpoints_forget(&hb->endpoints, fl) > 0;

		error_set(&err, sent ? ERR_UNKNOWN : ERR_CONNECT, "%s within %u ms",
			sent ? "sent, but not confirmed" : "could not be sent",
			hb->b.opts.timeout_ms);
		flight_fail(fl, &err, sent);
		flight_end(hb, fl);
	}
	if (fl)
		loop_timer_set(hb->loop, t, (fl->deadline_ns - now) / 1000000 + 1);
}

int
http_publish_init(struct http_broker *hb, struct error *err)
{
	hb->expiry.fn = flights_expire;
	hb->expiry.arg = hb;
	if (http_directory_init(&hb->dir, hb->registry, hb->loop, hb->services,
	    hb->only, &directory_user, hb, err) < 0)
		return -1;
	hb->endpoints.loop = hb->loop;
	hb->endpoints.seed = hb->dir.peers.seed;
	hb->endpoints.opts = &hb->b.opts;
	hb->endpoints.user = &endpoint_user;
	hb->endpoints.arg = hb;
	return 0;
}

static void
free_flights(struct flight *fl)
{
	for (struct flight *next; fl; fl = next) {
		next = fl->next;
		buf_release(&fl->body);
		free(fl);
	}
}

void
http_publish_stop(struct http_broker *hb)
{
	loop_timer_clear(hb->loop, &hb->expiry);
	/* The requests that are under way have no flight to speak of any more. */
	http_endpoints_stop(&hb->endpoints);
	http_routes_release(hb);
	free_flights(hb->oldest_flight);
	free_flights(hb->free_flights);
	hb->oldest_flight = hb->newest_flight = hb->free_flights = NULL;
	http_directory_stop(&hb->dir);
}
