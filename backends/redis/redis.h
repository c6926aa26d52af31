/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The redis broker: the plan of its files.
 *
 *	redis.c		options and the ops
 *	redis_conn.c	one connection: greeting, replies in order, keep-alive, its end
 *	redis_error.c	what the server's errors mean
 *	redis_pub.c	PUBLISH, SPUBLISH, XADD and what becomes of each
 *	redis_pubsub.c	SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE; who listens
 *	redis_place.c	where to begin in a stream
 *	redis_stream.c	XREAD, XREADGROUP
 *	redis_entry.c	an event as fields of a stream's entry, and back
 *	redis_group.c	XACK, XAUTOCLAIM, giving back, the end of a consumer
 *	redis_cluster.c	which node has a topic, and following MOVED and ASK
 *
 * CONNECTIONS. `main` is the one the user asked for; it comes back as often as the
 * user allows. A connection that has subscribed, or waits in a blocking XREAD, can
 * do nothing else, so who publishes or acknowledges beside that has a `second` one
 * to the same server, which follows main: it is made when first needed, and again
 * whenever main is back. `nodes` are other servers of a cluster.
 *
 * REPLIES come in the order of the commands. Each connection has a flight of them,
 * events and all else alike: flight_entry.state says what the answer is for.
 */
#ifndef MBUS_REDIS_H
#define MBUS_REDIS_H

#include "backends/proto/envelope.h"
#include "backends/proto/resp.h"
#include "core/broker.h"
#include "core/flight.h"
#include "core/link.h"

enum {
	REDIS_SLOTS = 16384,
	REDIS_BATCH = 64 * 1024,	/* so much output is sent without waiting for more */
	REDIS_COUNT_MAX = 1000		/* entries of a stream asked for at once */
};

enum redis_mode { MODE_PUBSUB, MODE_SHARDED, MODE_STREAM };

/* What a reply answers: flight_entry.state. */
enum redis_expect {
	EXPECT_NOTHING,			/* an event whose fate was told; any other reply that
					 * nobody waits for */
	EXPECT_EVENT,
	EXPECT_PONG,
	EXPECT_SUBSCRIBE,		/* id: redis_sub.cookie; likewise below */
	EXPECT_UNSUBSCRIBE,
	EXPECT_AUDIENCE,
	EXPECT_SLOTS,
	EXPECT_PLACE,			/* XREVRANGE */
	EXPECT_GROUP,			/* XGROUP CREATE */
	EXPECT_READ,			/* XREAD, XREADGROUP */
	EXPECT_CLAIM,			/* XAUTOCLAIM */
	EXPECT_CLIENT_ID,
	EXPECT_ACK,			/* id ... size: numbers of events; copy: the redis_sub */
	EXPECT_LAST,			/* of the last commands of a group's member */
	EXPECT_PENDING,
	EXPECT_UNBLOCK,
	EXPECTS
};

enum redis_role { ROLE_MAIN, ROLE_SECOND, ROLE_NODE };

struct redis_conn {
	struct redis_broker *rb;
	struct link *link;
	struct broker_options opts;	/* the link's */
	char *address;			/* it borrows */
	enum redis_role role;
	struct resp_reader reader;
	struct flight flight;
	struct buf keep;		/* the bytes of the flight's entries with a copy_size,
					 * in order */
	size_t took;			/* bytes of the reply at hand */
	unsigned char greet[4];		/* what was asked in the greeting ... */
	unsigned ngreet, greeted;	/* ... and how much of it is answered */
	bool ready, failed;
	uint64_t heard_ns;
	bool pinged;
	uint64_t client_id;		/* 0: not known */
	uint64_t taken;			/* --ack none: the flight's next to look at */
	unsigned tries;			/* of a second */
	struct loop_timer alive, deadline, again;
	struct loop_task written;
};

struct redis_id {
	uint64_t ms, seq;
};

/* A subscription; outlives struct subscription, as acknowledgements may. */
struct redis_sub {
	struct redis_sub *next;
	struct redis_broker *rb;
	struct subscription *s;		/* NULL: unsubscribed */
	struct bytes topic;		/* its own */
	uint64_t cookie;
	struct redis_conn *conn;	/* where it was asked for */
	bool told;			/* broker_subscribed() was called */
	bool warned;			/* that something is no envelope */
	unsigned moves;			/* redirects in a row */
	/* Of a stream: */
	bool placed;			/* `at` is known, the group is there */
	bool tailed;			/* the place was looked up */
	bool ended;
	bool own;			/* the consumer's own pending ones come first */
	bool claim;			/* XAUTOCLAIM is due */
	uint64_t left;			/* of POSITION_TAIL, to go back */
	struct redis_id at;		/* read up to and with this */
	struct redis_id last;		/* of the stream, when we began */
	struct redis_id own_at;
	char claim_at[48];
};

/* An event of a group's stream that was delivered. */
enum { DELIVERY_DONE, DELIVERY_OUT, DELIVERY_ACKED, DELIVERY_FAILED };
struct redis_delivery {
	struct redis_id id;
	struct redis_sub *rs;
	unsigned state;
};

struct redis_broker {
	struct broker b;
	struct loop *loop;
	enum redis_mode mode;
	bool pattern, trim_about;
	int64_t db;			/* -1: not by -X */
	uint64_t trim, claim_ms, keepalive_ms, reply_max;
	char *consumer;
	bool named;			/* by the user */

	struct redis_conn *main, *second;
	struct redis_conn *subscriber, *publisher;	/* one of these two; NULL: not yet */
	struct redis_conn **nodes;
	size_t nnodes;
	uint16_t *slots;		/* of nodes, from 1; 0: main. NULL: all main */
	bool ever;			/* main was ready */
	bool paused;
	uint64_t paused_ns;		/* when it was last */

	/* Publishing. */
	struct buf head;		/* command and topic of the last event */
	struct bytes head_topic;
	struct redis_conn *hold_conn;	/* nothing is published until the flight of this ... */
	uint64_t hold;			/* ... has come to here; NULL: no such thing */
	uint64_t events, receivers, nobody;
	bool late_error;		/* one was told that came after the fate */

	/* Subscribing. */
	struct redis_sub *subs;
	uint64_t cookies;
	struct redis_sub **by_topic;	/* a table of cap_topics, a power of two */
	size_t cap_topics;
	struct redis_sub *recent;
	struct loop_timer ask;		/* who subscribes is sent to and fro */
	struct envelope envelope;
	int64_t read_us;		/* when what is delivered was read */
	uint64_t event_ns;
	bool cut;			/* the server may have thought us slow */

	/* Streams. */
	struct redis_conn *reading;	/* a read is under way there; NULL: none */
	bool rereading;			/* ... for what was given out before */
	unsigned count;			/* entries to ask for */
	struct header *headers;
	size_t cap_headers;
	const char *group;
	struct redis_delivery *ring;	/* by number */
	size_t cap_ring;
	uint64_t oldest, newest;	/* numbers [oldest ... newest) are in the ring */
	struct loop_timer claim;
	struct loop_task read;
	bool draining, unblocked, given;
	unsigned last_words;		/* replies awaited before the end */

	struct {
		struct bytes topic;
		unsigned n;
		audience_fn *fn;
		void *arg;
		bool mapped;
		struct loop_timer again;
	} audience;
};

/* redis_conn.c */
struct redis_conn *conn_new(struct redis_broker *, enum redis_role, const char *address,
	struct error *);
void conn_free(struct redis_conn *);
/* The other one to main's server. */
struct redis_conn *conn_second(struct redis_broker *);
/* Main is back: so is the second, at main's server. */
void conn_follow(struct redis_broker *);
/* Begins a command whose answer is that; the buffer is where its words go. The
 * connection must be ready. */
struct buf *conn_command(struct redis_conn *, enum redis_expect, uint64_t id, size_t nwords);
void conn_failed(struct redis_conn *, const struct error *);

/* redis_error.c */
void redis_error(const struct resp_value *, struct error *);
bool redis_says(const struct resp_value *, const char *word);
/* The same before a connection is of use: what passes by itself is ERR_CONNECT. */
void redis_error_greeting(struct redis_conn *, const struct resp_value *, struct error *);

/* redis_pub.c */
int pub_event(struct redis_broker *, const struct publication *, struct error *);
void pub_reply(struct redis_conn *, const struct flight_entry *, const struct resp_value *);
void pub_resume(struct redis_conn *);
void pub_lost(struct redis_conn *, uint64_t written, const struct error *, bool again);
void pub_deadline(struct loop_timer *);
void pub_written(struct redis_conn *);

/* redis_pubsub.c */
int pubsub_subscribe(struct redis_sub *, struct error *);
void pubsub_ask(struct loop_timer *);
void pubsub_unsubscribe(struct redis_sub *);
/* true: it was an event, or another thing nobody asked for. */
bool pubsub_push(struct redis_conn *, const struct resp_value *);
void pubsub_reply(struct redis_conn *, struct redis_sub *, const struct resp_value *);
void pubsub_resume(struct redis_conn *);
int pubsub_audience(struct redis_broker *, struct error *);
void pubsub_audience_reply(struct redis_conn *, const struct resp_value *);
struct redis_conn *subscriber_conn(struct redis_broker *);
/* For -v and for who waits: a subscription is live, or cannot be. */
void sub_told(struct redis_sub *, const struct error *);
int64_t redis_clock_us(void);

/* redis_place.c */
int stream_check(const struct position *, const char *group, struct error *);
/* Finds out where to begin; rs->placed when that is done. */
void stream_place(struct redis_sub *);
void stream_place_reply(struct redis_conn *, struct redis_sub *, const struct resp_value *);
/* XGROUP CREATE behind rs->at. */
void stream_group(struct redis_sub *);
void stream_group_reply(struct redis_conn *, struct redis_sub *, const struct resp_value *);
/* An error where none belongs; rs NULL: it is of all. */
void stream_failed(struct redis_conn *, struct redis_sub *, const struct resp_value *);

/* redis_stream.c */
int stream_subscribe(struct redis_sub *, struct error *);
void stream_reply(struct redis_conn *, const struct flight_entry *, struct redis_sub *,
	const struct resp_value *);
void stream_resume(struct redis_conn *);
void stream_read(struct redis_broker *);

/* redis_entry.c */
size_t entry_words(const struct message *);
void entry_write(struct buf *, const struct message *);
void entry_read(struct redis_broker *, const struct resp_value *fields, struct message *);
bool id_parse(struct bytes, struct redis_id *);
int id_cmp(struct redis_id, struct redis_id);
/* The greatest before it. */
struct redis_id id_before(struct redis_id);
void id_word(struct buf *, struct redis_id);

/* redis_group.c */
void group_delivered(struct redis_sub *, uint64_t number, struct redis_id);
void group_dropped(struct redis_broker *, uint64_t number);
void group_trim(struct redis_broker *);
bool group_has(const struct redis_sub *, struct redis_id);
void group_ack(struct redis_broker *, uint64_t first, uint64_t last, bool ok);
void group_ack_ids(struct redis_sub *, const struct redis_id *, size_t n);
void group_ack_again(struct redis_broker *);
void group_reply(struct redis_conn *, const struct flight_entry *, struct redis_sub *,
	const struct resp_value *);
void group_claim(struct loop_timer *);
void group_drain(struct redis_broker *);

/* redis_cluster.c */
struct redis_conn *cluster_conn(struct redis_broker *, struct bytes topic);
/* MOVED or ASK, taken apart. */
bool cluster_moved(const struct resp_value *, unsigned *slot, struct bytes *address, bool *ask);
struct redis_conn *cluster_node(struct redis_broker *, struct redis_conn *from,
	struct bytes address, struct error *);
/* Notes where a slot is. */
void cluster_map(struct redis_broker *, unsigned slot, struct redis_conn *);
void cluster_slots(struct redis_conn *, const struct resp_value *);
void cluster_release(struct redis_broker *);

struct redis_sub *sub_by_cookie(struct redis_broker *, uint64_t cookie);

#endif
