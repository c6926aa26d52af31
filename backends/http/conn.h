/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the subscriber's side.
 *
 *	server.c	listening, acknowledging, registering
 *	conn.c		the connection and what it owes: replies in order
 *	request.c	what each request is answered
 *	limits.c	time, number, memory
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

enum conn_phase { CONN_IDLE, CONN_HEAD, CONN_BODY };

struct conn {
	struct server *srv;
	struct stream *stream;
	struct conn **link, *next;
	struct slot *slots;		/* a ring, indexed by the counters below */
	size_t cap;
	uint64_t head, tail;
	size_t nreplies;		/* slots that have a reply */
	size_t need;			/* bytes of the request at the front; 0: not known */
	struct http_drip drip;
	bool full;			/* too many unanswered: not reading */
	bool choked;			/* too many answered and not read: likewise */
	bool closing;			/* no further request is read */
	bool useful;			/* has brought an event */
	bool begun;			/* there is the beginning of a request */
	bool hang_up;			/* the peer sends no more: end after the replies */
	bool naps;			/* too many errors at once: not read for a moment */
	bool linger;			/* all is said; input is thrown away */
	bool busy, doomed;		/* in on_data; to be ended when it is over */
	bool chunked;			/* the body under way is; its head was: */
	struct http_chunks chunks;
	struct http_head head_kept;
	int64_t read_us;		/* when what is being looked at was read */
	struct buf head_bytes, body;
	/* limits.c */
	struct loop_timer timer;
	enum conn_phase phase;
	bool reads;
	uint64_t since_ns;		/* the phase began; less the time not read */
	uint64_t phase_request;		/* it is that of this request ... */
	uint64_t phase_bytes;		/* ... of which so much came since */
	size_t left;			/* bytes not taken, when last looked at */
	uint64_t stopped_ns;		/* no longer read since */
	uint64_t stuck_ns, written;	/* reads no replies since; what it had read */
	uint64_t host;			/* a number for the peer's; 0: this machine */
	size_t memory, out_cap;		/* as last counted */
};

extern const struct stream_ops http_conn_ops;	/* request.c */

/* conn.c */
struct conn *http_conn_new(struct server *, struct stream *);
void http_conn_free(struct conn *);
/* Reads or not, as its state wants. */
void http_conn_reading(struct conn *);
/* Writes the replies that are known, as far as the first that is not; may end the
 * connection (`doomed` while busy). */
void http_conn_advance(struct conn *);
/* Owes another reply. Pointers to slots are good until the next. */
struct slot *http_conn_push(struct conn *);
/* Settled at once: where its bytes go. last: the connection ends after it. */
struct buf *http_conn_reply(struct conn *, bool last);
/* go-micro's error in JSON, detail behind prefix. */
void http_conn_error(struct conn *, unsigned status, const char *prefix, struct bytes detail,
	bool last);
/* The Date header's value, made once a second. */
const char *http_today(struct http_broker *);

/* limits.c */
/* Is there room? Another connection may be closed for it. false: say no more. */
bool http_limits_admit(struct server *, struct stream *, uint64_t *host);
void http_limits_begin(struct conn *);
void http_limits_end(struct conn *);
/* It is read from or not. */
void http_limits_reading(struct conn *, bool on);
/* It does not read its replies. */
void http_limits_choked(struct conn *);
/* Looked away from for a moment. */
void http_limits_nap(struct conn *);
/* Of n bytes at hand, left were not taken. */
void http_limits_read(struct conn *, size_t n, size_t left);
/* Its buffers have changed. */
void http_limits_account(struct conn *);

/* server.c: gives the event that is in hb->envelope to every subscription of that
 * topic and id; false: there is none. */
bool http_server_deliver(struct conn *, struct bytes topic, struct bytes id, bool last);

#endif
