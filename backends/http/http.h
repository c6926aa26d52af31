/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The http broker: go-micro's default. There is no server. A subscriber listens,
 * and registers a node for each of its topics; a publisher looks the nodes up
 * and POSTs the message to each.
 *
 *	http.c		the broker itself: options, http_dialects, the ops
 *	server.c	the subscriber: listening, events, registering
 *	conn.c		its connections, and the replies they owe
 *	request.c	what a request is answered
 *	limits.c	how much of time, memory and descriptors peers may take
 *	publish.c	the publisher: events, and their fates
 *	route.c		from a topic to the nodes that must answer
 *	directory.c	finding these: lookups, watches
 *	peers.c		the nodes that are known, and which of them are one
 *	endpoint.c	one connection to a node: pipelining, failures
 *	answer.c	the bytes of its answers
 *	secure.c	when either side speaks TLS
 *	list.c		who subscribes to what, for mbus topics
 *
 * Each calls what stands below it in its half, and is told of the rest by callbacks.
 *
 * go-micro has two http_dialects that never see each other. We register with
 * both, each on a listener of its own, and publish to both.
 */
#ifndef MBUS_HTTP_HTTP_H
#define MBUS_HTTP_HTTP_H

#include "backends/http/directory.h"
#include "backends/http/endpoint.h"
#include "backends/proto/envelope.h"
#include "core/registry.h"
#include "core/tls.h"

struct dialect {
	const char *service;		/* the name all its nodes are registered under */
	const char *path;
	const char *topic_header;	/* where the message says its topic */
	bool any_path;			/* the server takes every path */
};

extern const struct dialect http_dialects[DIALECTS];

#define VERSION_BROADCAST "ff.http.broadcast"
#define HEADER_MICRO_TOPIC "Micro-Topic"
#define HEADER_OLD_TOPIC ":topic"

struct http_broker;

/* ---- the subscriber's side (server.c) ---- */

struct conn;

struct server {
	struct http_broker *hb;
	const struct dialect *dialect;
	struct listener *listener;
	char advertised[64];		/* what the registry is told */
	struct conn *conns;
};

/* An event given to the user and not yet acknowledged: where its reply goes. */
struct delivery {
	struct conn *conn;		/* NULL: that connection is gone */
	uint64_t slot;
};

/* What peers may take (limits.c). */
struct http_limits {
	uint64_t header_ms, body_ms, idle_ms;
	uint64_t memory_max, memory;
	uint64_t conns_max, per_peer;
	size_t nconns;
	bool said_conns, said_peer, said_memory;
	struct loop_task shed;
};

#define OLD_ID "old-"

struct http_sub {
	struct subscription *sub;
	char *id;			/* of its node; the same in both http_dialects, but where
					 * an id is of one service only: then "old-" is in
					 * front, which is there (OLD_ID) */
	size_t id_len;
	struct registry_reply reply[DIALECTS];	/* of a registry that takes its time */
	bool told;			/* broker_subscribed() has been called */
};

void http_limits_init(struct http_broker *);
void http_limits_files(struct http_broker *);
int http_server_open(struct http_broker *, struct error *);	/* idempotent */
void http_server_close(struct http_broker *);
void http_server_pause(struct http_broker *, bool);
void http_server_drain(struct http_broker *);
void http_server_ack(struct http_broker *, uint64_t first, uint64_t last, bool ok);
/* Calls fn(service) for each registration of a subscription (one a dialect). */
int http_server_each_service(struct http_sub *, int (*fn)(struct http_sub *, unsigned dialect,
	const struct service *, struct error *), struct error *);

/* ---- the publisher's side ---- */

struct route;

/* A published event under way. Reused, with the memory of its body. */
struct flight {
	uint64_t id;			/* the user's */
	size_t size;			/* what it counts for in the window */
	struct route *route;
	struct buf body;		/* the envelope, of the new dialect */
	uint64_t deadline_ns;
	unsigned open;			/* requests without a result */
	bool waits;			/* for the lookup of its route */
	bool failed, unknown;
	struct error error;		/* of the first failure */
	struct flight *prev, *next;	/* all under way, the oldest first */
};

/* The nodes of a topic with one version: a queue, or the broadcast. A member of a queue
 * is a subscriber: most often one node, but all that say to be it. */
struct group {
	const char *version;		/* borrowed from its first peer */
	bool broadcast;
	struct peer **peers;		/* of a queue: member by member */
	size_t npeers, nmembers;
	size_t turn;
};

struct route {
	struct bytes topic;
	struct buf topic_json;		/* the topic as JSON string */
	bool dirty;			/* the directory has changed since */
	bool asked;			/* has events that wait for a lookup */
	bool looked_up;			/* which has ended: they are being let go */
	bool doubtful;			/* goodbyes were said for nodes of it */
	uint64_t none_until_ns;		/* nobody was there: do not ask again before */
	struct group *groups;
	size_t ngroups;
	size_t flights;			/* events under way */
	char *refused;			/* a node of it that is not believed, and why */
	unsigned nrefused;
	struct route *next;
};

enum { ROUTE_BUCKETS = 256 };

struct http_broker {
	struct broker b;
	struct loop *loop;
	struct registry *registry;
	char uuid[37];
	int dialect;			/* -X http.dialect: new, old, both */
	bool speaks[DIALECTS];
	const char *only;
	uint64_t body_max;
	struct http_limits limits;

	struct tls *tls_client, *tls_server;	/* NULL: not needed so far */
	uint64_t tls_warned_ns;

	struct server server[DIALECTS];
	struct envelope envelope;
	struct buf scratch;
	struct buf payload;		/* --wire raw: the request's body, before it is decoded */
	struct delivery *deliveries;	/* a ring over event numbers */
	size_t ndeliveries;		/* its size, a power of two */
	uint64_t oldest;		/* lowest number not yet acknowledged */
	bool paused;
	struct loop_timer refresh;	/* registers again */
	unsigned next_safe_id;
	char date[30];
	int64_t date_s;

	const char *services[DIALECTS];	/* of the http_dialects that are spoken */
	struct directory dir;
	bool said_refused, said_rivals;
	struct route *routes[ROUTE_BUCKETS];
	struct route *last_route;
	size_t nroutes;
	bool routes_walked;
	struct endpoints endpoints;
	struct flight *oldest_flight, *newest_flight, *free_flights;
	struct loop_timer expiry;

	struct {			/* --wait */
		audience_fn *fn;
		void *arg;
		struct bytes topic;
		unsigned n;
		struct loop_timer again;
	} audience;

	struct {			/* mbus topics; fn NULL: not asked for */
		listing_fn *fn;
		void *arg;
		const char *const *topics;
		size_t n;
	} list;
};

/* secure.c */
/* Does the subscriber's side speak TLS? */
bool http_secure_server(const struct http_broker *);
/* Once the listener is there: its host goes into a self-made certificate. */
int http_secure_server_open(struct http_broker *, const struct server *, struct error *);
int http_secure_accept(struct http_broker *, struct stream *, struct error *);
/* Instead of accepting: says no in TLS, and the stream is to be closed. */
void http_secure_refuse(struct stream *);
int http_secure_connect(struct http_broker *, struct stream *, const char *address,
	struct error *);
/* Why the user will not have that node spoken to; NULL: nothing is against it. */
const struct error *http_secure_unfit(const struct http_broker *, const struct peer *);
/* A connection that never came up: a go-micro publisher says nothing about it. */
void http_secure_failed(struct http_broker *, const struct error *);
void http_secure_release(struct http_broker *);

/* route.c */
struct route *http_route_find(struct http_broker *, struct bytes topic);
struct route *http_route_get(struct http_broker *, struct bytes topic);
/* The groups as the directory has them now. */
void http_route_make(struct http_broker *, struct route *);
struct group *http_route_group(struct route *, const char *version);
/* The directory has changed: routes are made anew when next used. */
void http_routes_dirty(struct http_broker *);
void http_routes_release(struct http_broker *);

/* publish.c */
int http_publish_init(struct http_broker *, struct error *);
int http_publish(struct broker *, const struct publication *, struct error *);
/* Forgets all that is under way, and who is there. */
void http_publish_stop(struct http_broker *);
/* --wait (http.c): whose subscribers are waited for; and looks whether enough are there
 * by now. */
bool http_audience_waits(const struct http_broker *, struct bytes topic);
void http_audience_check(struct http_broker *, const struct error *err);

/* list.c */
int http_list(struct broker *, const char *const *topics, size_t n, bool groups, listing_fn *,
	void *arg, struct error *);
/* The lookup that it began is over. */
void http_list_looked_up(struct http_broker *, const struct error *err);

#endif
