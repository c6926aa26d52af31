/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The http broker: go-micro's default. There is no server. A subscriber listens,
 * and registers a node for each of its topics; a publisher looks the nodes up
 * and POSTs the message to each.
 *
 *	http.c		the broker itself: options, dialects, the ops
 *	server.c	the subscriber: listening, events, registering
 *	conn.c		its connections, and the replies they owe
 *	request.c	what a request is answered
 *	limits.c	how much of time, memory and descriptors peers may take
 *	directory.c	the publisher's view of who subscribes: lookups, watches
 *	route.c		from a topic to the nodes that must answer
 *	endpoint.c	one connection to a node: pipelining, failures
 *	exchange.c	the bytes of a request and of an answer
 *	secure.c	when either side speaks TLS
 *
 * go-micro has two dialects that never see each other. We register with
 * both, each on a listener of its own, and publish to both.
 */
#ifndef MBUS_HTTP_HTTP_H
#define MBUS_HTTP_HTTP_H

#include "backends/proto/envelope.h"
#include "core/registry.h"
#include "core/tls.h"

enum { DIALECT_NEW, DIALECT_OLD, DIALECTS };

struct dialect {
	const char *service;		/* the name all its nodes are registered under */
	const char *path;
	const char *topic_header;	/* where the message says its topic */
	bool any_path;			/* the server takes every path */
};

extern const struct dialect dialects[DIALECTS];

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
	size_t conns_max, nconns, per_peer;
	bool said_conns, said_peer, said_memory;
	struct loop_task shed;
};

struct http_sub {
	struct subscription *sub;
	char *id;			/* of its node; the same in both dialects */
	size_t id_len;
};

int limits_options(struct http_broker *, struct error *);
void limits_files(struct http_broker *);
int server_open(struct http_broker *, struct error *);	/* idempotent */
void server_close(struct http_broker *);
void server_pause(struct http_broker *, bool);
void server_drain(struct http_broker *);
void server_ack(struct http_broker *, uint64_t first, uint64_t last, bool ok);
/* Calls fn(service) for each registration of a subscription (one a dialect). */
int server_each_service(struct http_sub *, int (*fn)(struct registry *,
	const struct service *, struct error *), struct error *);

/* ---- the publisher's side ---- */

struct endpoint;
struct route;

/* A subscriber's node, as found. Counted: the directory holds one reference,
 * each request under way another. */
struct peer {
	unsigned refs;
	uint32_t serial;		/* in the order found */
	unsigned char dialect;
	bool gone;			/* out of the directory */
	bool secure;			/* wants TLS */
	char *id, *address, *topic, *version;
	size_t id_len, topic_len;
	bool says_topic;		/* its own id is <topic>-<uuid>, whatever was found */
	struct endpoint *endpoint;
	struct peer *next, *prev;	/* the directory's list */
	uint64_t name_hash, subscriber_hash;
	struct peer *next_name, *next_subscriber;	/* in its buckets */
};

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

struct request {
	struct flight *flight;		/* NULL: given up, its answer is ignored */
	struct peer *peer;		/* one reference */
	uint32_t first;			/* serial of the first node asked, of a queue */
	bool unsure;			/* it may have arrived at a node before this one */
	bool lost;			/* was sent once, and that connection went */
	bool skipped;			/* given up before it was sent */
};

enum { PEER_BUCKETS = 1024 };		/* a power of two */

/* By what a node calls itself, and by whose it is. */
struct peer_index {
	struct peer *name[PEER_BUCKETS];
	struct peer *subscriber[DIALECTS][PEER_BUCKETS];
};

struct directory {
	struct peer *peers;
	struct peer_index *index;	/* NULL: there never was a peer */
	uint32_t serials;
	size_t npeers, peer_bytes;
	bool said_full, crowded;	/* it is full; of nodes that are all needed */
	bool said_refused;
	struct lookup lookup[DIALECTS];
	struct watch watch[DIALECTS];
	bool looking[DIALECTS];
	bool hit[DIALECTS];		/* this lookup found somebody who was asked for */
	bool changed;
	uint64_t looked_ns;		/* when the last lookup ended; 0: never */
	struct loop_timer watch_timer;
};

/* The nodes of a topic with one version: a queue, or the broadcast. */
struct group {
	const char *version;		/* borrowed from its first peer */
	bool broadcast;
	struct peer **peers;
	size_t npeers;
	size_t turn;
};

struct route {
	struct bytes topic;
	struct buf topic_json;		/* the topic as JSON string */
	bool dirty;			/* the directory has changed since */
	bool asked;			/* has events that wait for a lookup */
	bool looked_up;			/* which has ended: they are being let go */
	uint64_t none_until_ns;		/* nobody was there: do not ask again before */
	struct group *groups;
	size_t ngroups;
	size_t flights;			/* events under way */
	char *refused;			/* a node of it that is not believed, and why */
	unsigned nrefused;
	struct route *next;
};

enum { ROUTE_BUCKETS = 256, ENDPOINT_BUCKETS = 256 };

struct http_broker {
	struct broker b;
	struct loop *loop;
	struct registry *registry;
	char uuid[37];
	uint64_t hash_seed;		/* others choose what is hashed */
	bool speaks[DIALECTS];		/* -X http.dialect */
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

	struct directory dir;
	struct route *routes[ROUTE_BUCKETS];
	struct route *last_route;
	size_t nroutes;
	bool routes_walked;
	struct endpoint *endpoints[ENDPOINT_BUCKETS];
	struct flight *oldest_flight, *newest_flight, *free_flights;
	struct loop_timer expiry;
	size_t depth;			/* requests in flight on one connection */

	struct {			/* --wait */
		audience_fn *fn;
		void *arg;
		struct bytes topic;
		unsigned n;
		struct loop_timer again;
	} audience;
};

/* secure.c */
/* Does the subscriber's side speak TLS? */
bool secure_server(const struct http_broker *);
/* Once the listener is there: its host goes into a self-made certificate. */
int secure_server_open(struct http_broker *, const struct server *, struct error *);
int secure_accept(struct http_broker *, struct stream *, struct error *);
/* Instead of accepting: says no in TLS, and the stream is to be closed. */
void secure_refuse(struct stream *);
int secure_connect(struct http_broker *, struct stream *, const char *address, struct error *);
/* Why the user will not have that node spoken to; NULL: nothing is against it. */
const struct error *secure_unfit(const struct http_broker *, const struct peer *);
/* A connection that never came up: a go-micro publisher says nothing about it. */
void secure_failed(struct http_broker *, const struct error *);
/* Is that what a server that wants TLS says to a plain request? */
bool secure_wanted(const char *p, size_t n);
void secure_release(struct http_broker *);

/* directory.c */
void directory_init(struct http_broker *);
void directory_release(struct http_broker *);
/* Starts a lookup of both dialects unless one is under way; ends by
 * routes_looked_up(). -1: could not even be asked. */
int directory_look(struct http_broker *, struct error *);
bool directory_is_looking(const struct http_broker *);
int directory_watch(struct http_broker *, struct error *);
/* Distinct subscribers of a topic. */
unsigned directory_count(const struct http_broker *, struct bytes topic);
/* The peer is believed gone: nobody listens at its address. */
void directory_drop(struct http_broker *, struct peer *);
void peer_ref(struct peer *);
void peer_unref(struct http_broker *, struct peer *);
bool peer_has_topic(const struct peer *, struct bytes topic);
/* Of the peers of one subscriber (of ours, which is in both dialects) the one to
 * send to: of the new dialect, the one known longest. */
struct peer *peer_of_subscriber(const struct http_broker *, const struct peer *);
/* For tables of what others choose. */
uint64_t http_hash(uint64_t, struct bytes);

/* route.c */
void routes_init(struct http_broker *);
int route_publish(struct http_broker *, const struct publication *, struct error *);
/* Is anybody waiting for nodes of that topic? */
bool route_wanted(struct http_broker *, struct bytes topic);
/* There is a node of that topic which is not believed. */
void route_refused(struct http_broker *, struct bytes topic, const struct node *,
	const char *why);
/* A lookup of both dialects has ended. err: it could not be done. */
void routes_looked_up(struct http_broker *, const struct error *err);
/* The directory has changed: routes are made anew when next used. */
void routes_changed(struct http_broker *);
/* A request has its result, and is the callee's. err NULL: 200. sent: it may have
 * arrived all the same. */
void route_result(struct http_broker *, struct request *, const struct error *err, bool sent);
void routes_release(struct http_broker *);
/* --wait: looks whether enough are there by now (http.c). */
void audience_check(struct http_broker *, const struct error *err);

/* endpoint.c */
struct endpoint *endpoint_get(struct http_broker *, const struct peer *);
/* Takes the request (by value): its result follows by route_result(), never
 * from within. */
void endpoint_send(struct http_broker *, struct endpoint *, const struct request *);
/* The flight has ended: its requests are forgotten, their answers ignored.
 * Returns how many of them had been sent. */
unsigned endpoints_forget(struct http_broker *, struct flight *);
/* Nobody refers to it any more. */
void endpoint_unused(struct http_broker *, struct endpoint *);
/* When not NULL: why it cannot be reached at the moment. */
const struct error *endpoint_down(const struct endpoint *);
void endpoints_release(struct http_broker *);

#endif
