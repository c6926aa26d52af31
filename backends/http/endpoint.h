/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One keep-alive connection to a subscriber's node, with pipelined requests: that keeps
 * the publisher's order and is fast at once. It knows nothing of events, nodes and
 * topics: its user writes the requests and is told what became of them.
 */
#ifndef MBUS_HTTP_ENDPOINT_H
#define MBUS_HTTP_ENDPOINT_H

#include "core/broker.h"

struct endpoint;
struct flight;
struct peer;
struct stream;

struct request {
	/* the user's; flight NULL: given up, its answer is ignored */
	struct flight *flight;
	struct peer *peer;
	uint32_t first;			/* serial of the first node asked, of a queue */
	bool unsure;			/* it may have arrived at a node before this one */
	bool must;			/* no other node can answer for this one */
	/* the endpoint's */
	bool lost;			/* was sent once, and that connection went */
	bool skipped;			/* given up before it was sent */
};

struct endpoint_user {
	/* Puts the request into the output. */
	void (*render)(void *arg, const struct request *, const char *address, struct buf *out);
	/* A request has its result, and is the callee's. err NULL: 200, or it was given up;
	 * status 0: there was no answer. sent: it may have arrived all the same. */
	void (*done)(void *arg, const struct request *, const struct error *err, unsigned status,
		bool sent);
	/* Starts TLS on a connection that is being made. */
	int (*secure)(void *arg, struct stream *, const char *address, struct error *);
};

enum { ENDPOINT_BUCKETS = 256 };

/* All of them; the fields are set by their user. */
struct endpoints {
	struct loop *loop;
	uint64_t seed;			/* others choose what is hashed */
	const struct broker_options *opts;
	uint64_t depth;			/* requests in flight on one connection */
	const struct endpoint_user *user;
	void *arg;
	struct endpoint *buckets[ENDPOINT_BUCKETS];
};

/* The one of that address and kind; counts its user. */
struct endpoint *http_endpoint_get(struct endpoints *, const char *address, unsigned kind,
	bool secure);
/* One user less; with the last it goes. */
void http_endpoint_unused(struct endpoint *);
/* Takes the request (by value): its result follows by done(), never from within. */
void http_endpoint_send(struct endpoint *, const struct request *);
/* The flight has ended: its requests are given up. Returns how many had been sent. */
unsigned http_endpoints_forget(struct endpoints *, const struct flight *);
/* When not NULL: why it cannot be reached at the moment. */
const struct error *http_endpoint_down(const struct endpoint *);
/* All requests are given up; the endpoints go with their last users. */
void http_endpoints_stop(struct endpoints *);

#endif
