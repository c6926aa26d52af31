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
 *	redis_missed.c	entries that were gone before they were read
 *	redis_entry.c	an event as fields of a stream's entry, and back
 *	redis_group.c	XACK, XAUTOCLAIM, giving back, the end of a consumer
 *	redis_list.c	what is there
 *	redis_cluster.c	which node has a topic, and following MOVED and ASK
 *
 * CONNECTIONS. `main` is the one the user asked for; it comes back as often as the
 * user allows. A connection that has subscribed, or waits in a blocking XREAD, can
 * do nothing else, so who publishes or acknowledges beside that has a `second` one
 * to the same server, which follows main: it is made when first needed, and again
 * whenever main is back. `nodes` are other servers of a cluster.
 *
 * REPLIES come in the order of the commands. Each connection is a core/pipeline, in
 * which events and all else are under way alike; a command says who gets its reply.
 */
#ifndef MBUS_REDIS_H
#define MBUS_REDIS_H

#include "backends/proto/resp.h"
#include "core/ledger.h"
#include "core/pipeline.h"
#include "core/wire.h"

enum {
	REDIS_SLOTS = 16384,
	REDIS_COUNT_MAX = 1000,		/* entries of a stream asked for at once */
	REDIS_MISSED_MS = 200		/* between looks for what a reader has missed */
};

enum redis_mode { MODE_PUBSUB, MODE_SHARDED, MODE_STREAM };

enum redis_role { ROLE_MAIN, ROLE_SECOND, ROLE_NODE };

struct redis_conn {
	struct pipeline p;		/* first */
	struct redis_broker *rb;
	struct broker_options opts;	/* the link's */
	char *address;			/* it borrows */
	enum redis_role role;
	struct resp_reader reader;
	size_t took;			/* bytes of the reply at hand */
	unsigned char greet[4];		/* what was asked in the greeting ... */
	unsigned ngreet, greeted;	/* ... and how much of it is answered */
	uint64_t client_id;		/* 0: not known */
	unsigned tries;			/* of a second, since it was last of use */
	bool proved;			/* it reads streams */
	struct loop_timer again;
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
	struct redis_id first;		/* of the stream; redis_missed.c */
	uint64_t seen;			/* the number of its entry at `at`, if it ... */
	bool counts;			/* ... is known */
	bool behind;			/* since it was last at the end */
	uint64_t asked_ns;
	char claim_at[48];
};

struct redis_broker {
	struct broker b;
	struct loop *loop;
	int mode;			/* enum redis_mode */
	bool pattern, trim_about, db_given;
	uint64_t db, trim, claim_ms, keepalive_ms, reply_max, scan;
	char *consumer;
	bool named;			/* by the user */

	struct redis_conn *main, *second;
	struct redis_conn *subscriber, *publisher;	/* one of these two; NULL: not yet */
	struct redis_conn **nodes;
	size_t nnodes;
	uint16_t *slots;		/* of nodes, from 1; 0: main. NULL: all main */
	bool paused;
	uint64_t paused_ns;		/* when it was last */

	/* Publishing. */
	struct buf head;		/* command and topic of the last event */
	struct bytes head_topic;
	struct redis_conn *hold_conn;	/* nothing is published until the flight of this ... */
	uint64_t hold;			/* ... has come to here; NULL: no such thing */
	uint64_t events, receivers, nobody;

	/* Subscribing. */
	struct redis_sub *subs;
	struct redis_sub **by_topic;	/* a table of cap_topics, a power of two */
	size_t cap_topics;
	struct redis_sub *recent;
	struct loop_timer ask;		/* who subscribes is sent to and fro */
	struct wire_reader wire;
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
	struct ledger ledger;		/* what the server still counts as pending */
	bool asking;			/* a slot is on its way to here: see redis_command() */
	unsigned moves;			/* to other addresses, before anything was live */
	struct loop_timer claim;
	struct loop_task read;
	bool draining, unblocked, given;
	unsigned last_words;		/* replies awaited before the end */

	struct redis_list *list;	/* under way, or NULL */
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
struct redis_conn *redis_conn_new(struct redis_broker *, enum redis_role, const char *address,
	struct error *);
void redis_conn_free(struct redis_conn *);
/* The other one to main's server. */
struct redis_conn *redis_conn_second(struct redis_broker *);
/* Main is back: so is the second, at main's server. */
void redis_conn_follow(struct redis_broker *);
/* Begins a command whose reply, a struct resp_value *, goes to fn (NULL: to nobody); the
 * buffer is where its words go. The connection must be ready. */
struct buf *redis_command(struct redis_conn *, pipeline_answer *fn, void *arg, size_t nwords);
struct buf *redis_command_of(struct redis_conn *, pipeline_answer *fn, void *arg,
	uint64_t first, uint64_t last, size_t nwords);

/* Likewise what a subscription needs to be live (again): see
 * pipeline_trial(). */
struct buf *redis_trial(struct redis_conn *, pipeline_answer *fn, struct redis_sub *,
	size_t nwords);

/* redis_error.c */
enum {
	REDIS_PASSES = 1,		/* by itself: trying again later is no nonsense ... */
	REDIS_NEXT = 2			/* ... and with another server, if there is one */
};
/* What it means: those bits. */
unsigned redis_error(const struct resp_value *, struct error *);
/* The same of a whole connection: named, and ERR_CONNECT if it passes. */
unsigned redis_error_here(const struct redis_conn *, const struct resp_value *, struct error *);
/* Ends the connection for it. */
void redis_fail(struct redis_conn *, const struct resp_value *);
bool redis_says(const struct resp_value *, const char *word);

/* redis_pub.c */
int redis_pub_event(struct redis_broker *, const struct publication *, struct error *);
/* The front of the pipeline is an event, and this its reply. */
void redis_pub_reply(struct redis_conn *, const struct resp_value *);
void redis_pub_unhold(struct redis_conn *);

/* redis_pubsub.c */
int redis_pubsub_subscribe(struct redis_sub *, struct error *);
void redis_pubsub_ask(struct loop_timer *);
void redis_pubsub_unsubscribe(struct redis_sub *);
/* true: it was an event, or another thing nobody asked for. */
bool redis_pubsub_push(struct redis_conn *, const struct resp_value *);
void redis_pubsub_resume(struct redis_conn *);
void redis_pubsub_audience(struct redis_broker *);
/* Main, or the second if that has something else to do. */
struct redis_conn *redis_subscriber(struct redis_broker *);
struct redis_conn *redis_publisher(struct redis_broker *);
/* For -v and for who waits: a subscription is live, or cannot be. */
void redis_sub_told(struct redis_sub *, const struct error *);
int64_t redis_clock_us(void);

/* redis_place.c */
int redis_stream_check(const struct position *, const char *group, struct error *);
/* Finds out where to begin, and makes the group there; rs->placed when that is done. */
void redis_stream_place(struct redis_sub *);
/* An error where none belongs; rs NULL: it is of all. */
void redis_stream_failed(struct redis_conn *, struct redis_sub *, const struct resp_value *);

/* redis_stream.c */
int redis_stream_subscribe(struct redis_sub *, struct error *);
void redis_stream_resume(struct redis_conn *);
void redis_stream_read(struct redis_broker *);
void redis_stream_next(struct redis_conn *);

/* redis_missed.c */
void redis_missed_begin(struct redis_sub *);	/* at its place */
void redis_missed_look(struct redis_sub *);	/* before a read */
void redis_missed_group(struct redis_sub *);	/* it was there before us */

/* redis_entry.c */
size_t redis_entry_words(const struct message *);
void redis_entry_write(struct buf *, const struct message *);
void redis_entry_read(struct redis_broker *, const struct resp_value *fields, struct message *);
bool redis_id_parse(struct bytes, struct redis_id *);
int redis_id_cmp(struct redis_id, struct redis_id);
/* The greatest before it. */
struct redis_id redis_id_before(struct redis_id);
void redis_id_word(struct buf *, struct redis_id);

/* redis_group.c */
void redis_group_delivered(struct redis_sub *, uint64_t number, struct redis_id);
void redis_group_dropped(struct redis_broker *, uint64_t number);
void redis_group_trim(struct redis_broker *);
bool redis_group_has(const struct redis_sub *, struct redis_id);
void redis_group_ack(struct redis_broker *, uint64_t first, uint64_t last, bool ok);
void redis_group_ack_ids(struct redis_sub *, const struct redis_id *, size_t n);
void redis_group_ack_again(struct redis_broker *);
/* The connection's name for CLIENT UNBLOCK. */
void redis_group_client(struct redis_conn *);
void redis_group_claim(struct loop_timer *);
void redis_group_drain(struct redis_broker *);

/* redis_list.c: see struct broker_ops */
int redis_list(struct broker *, const char *const *topics, size_t n, bool groups, listing_fn *,
	void *arg, struct error *);
void redis_list_release(struct redis_broker *);

/* redis_cluster.c */
struct redis_conn *redis_cluster_conn(struct redis_broker *, struct bytes topic);
/* MOVED or ASK, taken apart. */
bool redis_moved(const struct resp_value *, unsigned *slot, struct bytes *address, bool *ask);
struct redis_conn *redis_cluster_node(struct redis_broker *, struct redis_conn *from,
	struct bytes address, struct error *);
/* Notes where a slot is. */
void redis_cluster_map(struct redis_broker *, unsigned slot, struct redis_conn *);
pipeline_answer redis_cluster_slots;
void redis_cluster_release(struct redis_broker *);

#endif
