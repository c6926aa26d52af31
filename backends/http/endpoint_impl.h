/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of an endpoint, for these only:
 *
 *	endpoint.c	its connection, the window, what happens to requests
 *	answer.c	the bytes of an answer
 *
 * Requests stand in a ring: [head, sent) have left and wait for their answers,
 * [sent, tail) have not left yet.
 */
#ifndef MBUS_HTTP_ENDPOINT_IMPL_H
#define MBUS_HTTP_ENDPOINT_IMPL_H

#include "backends/http/endpoint.h"
#include "backends/proto/http.h"
#include "core/stream.h"

enum { ANSWER_MAX = 1024 * 1024 };	/* a longer answer is no answer */

struct endpoint {
	struct endpoints *set;
	char *address;
	unsigned kind;
	bool secure;			/* over TLS */
	unsigned users;
	struct stream *stream;
	struct request *ring;
	size_t cap;
	uint64_t head, sent, tail;
	bool proven;			/* this connection has answered and stays */
	size_t window;			/* requests in flight, after a loss; 0: as many as may be */
	size_t calm;			/* answers of one connection that double it ... */
	size_t answered;		/* ... and those that have come */
	bool no_more;			/* the connection will be closed by the node */
	bool busy, doomed;		/* in a callback; to be freed after it */
	struct error down;
	uint64_t down_until_ns;
	/* the answer under way */
	struct http_drip drip;
	unsigned interim;
	uint64_t body_left;
	bool chunked;
	struct http_chunks chunks;
	struct loop_timer nap;
	struct loop_task pump;
	struct loop_task fail;		/* with `down` as the reason */
	struct endpoint *next;
};

static inline struct request *
at(struct endpoint *e, uint64_t i)
{
	return &e->ring[i & (e->cap - 1)];
}

static inline bool
endpoint_in_body(const struct endpoint *e)
{
	return e->chunked || e->body_left;
}

/* Hands the result to the user. */
static inline void
endpoint_done(struct endpoint *e, const struct request *r, const struct error *err,
	unsigned status, bool sent)
{
	e->set->user->done(e->set->arg, r, err, status, sent);
}

/* Takes the head of an answer, or what is there of its body, off the front of n
 * bytes; an answer's head gives its request the result. 0: not complete, or *why
 * is set: the node is not to be believed. The caller has set busy. */
size_t http_endpoint_take(struct endpoint *, char *p, size_t n, const char **why);
extern const char http_endpoint_wants_tls[];		/* one of those reasons */
/* Requests given up before they left have no answer that would take them away.
 * The caller has set busy. */
void http_endpoint_drop_skipped(struct endpoint *);

#endif
