/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subscribers' nodes that a publisher knows, and which of them are one.
 *
 * Anybody may say anything here, so nothing that is heard takes the place of what
 * was heard before: two words about a node that differ are two nodes. One subscriber
 * has two nodes if it speaks both http_dialects, and they are taken for one only on their
 * own word: at one host, under one id, each naming the other's port (metadata
 * mbus.ports). All others with one uuid are rivals: each is sent to, and must answer.
 *
 * Who names a subscriber can so make an event fail, and gets a copy; the event is
 * never confirmed without the one that was named.
 */
#ifndef MBUS_HTTP_PEERS_H
#define MBUS_HTTP_PEERS_H

#include "core/registry.h"

enum { DIALECT_NEW, DIALECT_OLD, DIALECTS };

struct endpoint;

/* A node, as found. Counted: the table holds one reference, each request under way
 * another. */
struct peer {
	unsigned refs;
	uint32_t serial;		/* in the order found */
	unsigned char dialect;
	bool gone;			/* out of the table */
	bool secure;			/* wants TLS */
	bool disputed;			/* its ports were said in two ways */
	bool says_topic;		/* its own id is <topic>-<uuid>, whatever was found */
	unsigned doubted;		/* the lookup that must hear of it again; 0: none */
	unsigned port, ports[DIALECTS];	/* its own; its subscriber's, 0: it does not say */
	char *id, *address, *topic, *version;
	size_t id_len, topic_len;
	struct endpoint *endpoint;
	struct peer *next, *prev;	/* the table's list */
	uint64_t name_hash, pair_hash, subscriber_hash;
	struct peer *next_name, *next_pair, *next_subscriber;	/* in its buckets */
	/* Of the first of a subscriber: */
	unsigned pass, unit;		/* the count that met it last, and its number there */
};

enum { PEER_BUCKETS = 1024 };		/* a power of two */

struct peer_index {
	struct peer *name[PEER_BUCKETS];	/* by all that is said but the ports */
	struct peer *pair[PEER_BUCKETS];	/* who name both ports, and their own right */
	struct peer *subscriber[PEER_BUCKETS];	/* by uuid, topic and version */
};

struct peers {
	struct peer *first;
	struct peer_index *index;	/* NULL: there never was a peer */
	uint64_t seed;			/* others choose what is hashed */
	bool hearsay;			/* one node may be told of in several ways */
	bool changed;			/* since the user looked */
	bool said_full, crowded;	/* it is full; of nodes that are all needed */
	uint32_t serials;
	size_t n, bytes;
	unsigned pass;
	/* Is anybody waiting for nodes of that topic? They are not given up for others. */
	bool (*wanted)(void *arg, struct bytes topic);
	void *arg;
};

/* A node of our kind in what a registry tells, with the topic it serves; false:
 * somebody else's. */
bool http_peer_topic(const struct service *, const struct node *, struct bytes *topic);

void http_peers_init(struct peers *, bool hearsay);
void http_peers_release(struct peers *);
/* Notes what is said of a node, and that it is still there. */
void http_peers_add(struct peers *, unsigned dialect, const struct service *, const struct node *,
	struct bytes topic);
/* A goodbye, which may leave the version out, and is for the node at that address.
 * doubt: anybody may have said it, so the nodes stay until the lookup of that number has
 * ended without a word of them; 0: they go. True: some are in doubt now. */
bool http_peers_goodbye(struct peers *, unsigned dialect, const struct service *,
	const struct node *, unsigned doubt);
/* The lookup of that number is over. True: others are still in doubt. */
bool http_peers_looked_up(struct peers *, unsigned lookup);
/* Nobody listens at its address, or knows of it there: it goes, and so does the other
 * node of the same subscriber. */
void http_peers_drop(struct peers *, struct peer *);
void http_peer_ref(struct peer *);
void http_peer_unref(struct peer *);

bool http_peer_has_topic(const struct peer *, struct bytes topic);
/* Is it to be sent to? Not if the same subscriber is, in the new dialect. */
bool http_peers_serves(const struct peers *, const struct peer *);
/* The first of its subscriber, for counting: pass and unit are the caller's. */
struct peer *http_peers_first(const struct peers *, const struct peer *);
/* Distinct subscribers of a topic. */
unsigned http_peers_count(struct peers *, struct bytes topic);
/* Adds to the text who else says to be that subscriber, in brackets; nothing where
 * nobody does. */
void http_peers_add_rivals(const struct peers *, const struct peer *, struct error *);

/* For tables of what others choose. */
uint64_t http_peers_hash(uint64_t, struct bytes);

#endif
