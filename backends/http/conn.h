/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the subscriber's side.
 *
 *	server.c	listening, acknowledging, registering
 *	conn.c		the connection and what it owes: replies in order
 *	request.c	what each request is answered
 *
 * A reply is owed for each request, in order (pipelining). An event's reply is
 * not known before the user has acknowledged it, so each connection keeps a
 * queue of slots: a slot is settled at once (an error) or when its events are.
 */
#ifndef MBUS_HTTP_CONN_H
#define MBUS_HTTP_CONN_H

#include "backends/http/http.h"
#include "backends/proto/http.h"

struct slot {
	unsigned waiting;		/* events not yet acknowledged */
	bool failed;			/* one of them was not taken: no reply, hang up */
	bool close;			/* the last reply of this connection */
	struct buf *reply;		/* NULL: 200 */
};

struct conn {
	struct server *srv;
	struct stream *stream;
	struct conn **link, *next;
	struct slot *slots;		/* a ring, indexed by the counters below */
	size_t cap;
	uint64_t head, tail;
	size_t need;			/* bytes of the request at the front; 0: not known */
	bool full;			/* too many unanswered: not reading */
	bool choked;			/* too many answered and not read: likewise */
	bool closing;			/* no further request is read */
	bool begun;			/* there is the beginning of a request */
	bool hang_up;			/* the peer sends no more: end after the replies */
	bool linger;			/* all is said; input is thrown away */
	bool busy, doomed;		/* in on_data; to be ended when it is over */
	bool chunked;			/* the body under way is; its head was: */
	struct http_chunks chunks;
	struct http_head head_kept;
	int64_t read_us;		/* when what is being looked at was read */
	struct buf head_bytes, body;
	struct loop_timer timer;
};

extern const struct stream_ops conn_ops;	/* request.c */

/* conn.c */
struct conn *conn_new(struct server *, struct stream *);
void conn_free(struct conn *);
/* Reads or not, as its state wants. */
void conn_reading(struct conn *);
/* Writes the replies that are known, as far as the first that is not; may end the
 * connection (`doomed` while busy). */
void conn_advance(struct conn *);
/* Owes another reply. Pointers to slots are good until the next. */
struct slot *conn_push(struct conn *);
/* Settled at once: where its bytes go. last: the connection ends after it. */
struct buf *conn_reply(struct conn *, bool last);
/* go-micro's error in JSON, detail behind prefix. */
void conn_error(struct conn *, unsigned status, const char *prefix, struct bytes detail,
	bool last);
/* The Date header's value, made once a second. */
const char *http_today(struct http_broker *);

/* server.c: gives the event that is in hb->envelope to every subscription of that
 * topic and id; false: there is none. */
bool server_deliver(struct conn *, struct bytes topic, struct bytes id, bool last);

#endif
