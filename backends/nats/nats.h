/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nats broker: subjects of a NATS server, as go-micro's plugin uses them
 * (--wire micro: its envelope is the payload, and there are no headers), or as all others
 * do (--wire raw: the bare body, and headers of NATS).
 *
 *	nats.c		options, ops
 *	nats_conn.c	INFO, CONNECT, what comes, what the server's errors mean
 *	nats_auth.c	keys, and what is signed by them
 *	nats_pub.c	events, and the PING behind them that proves them taken
 *	nats_sub.c	subscriptions, and what arrives on them
 *	nats_js.c	what a stream answers to an event
 *	nats_js_sub.c	consumers of streams
 *	nats_list.c	streams and consumers, for mbus topics
 *
 * It is a core/pipeline over proto/nats. A server answers no PUB, but PING in its order:
 * events are PIPE_SILENT, and a PONG confirms those before its PING that no -ERR has named.
 * A subscription is live when the PING behind it is answered.
 */
#ifndef MBUS_NATS_H
#define MBUS_NATS_H

#include "backends/proto/nats.h"
#include "backends/proto/nats_key.h"
#include "core/ledger.h"
#include "core/pattern.h"
#include "core/pipeline.h"
#include "core/wire.h"

enum nats_mode { NATS_CORE, NATS_JETSTREAM };

enum nats_state {
	NATS_OFF,
	NATS_EXPECTS_INFO,
	NATS_SECURES,			/* TLS has begun */
	NATS_GREETS,			/* CONNECT and a PING are out */
	NATS_READY
};

/* subscription.priv */
struct nats_sub {
	struct subscription *s;
	uint64_t sid;			/* its place in nats_broker.subs, from 1 */
	bool asked;			/* over this connection, and not answered */
	bool warned;			/* that somebody's envelope is none */
	struct error why;		/* kind: not live, because of that */

	/* Of a stream: */
	struct nats_broker *nb;
	enum nats_step { STEP_FIND, STEP_LOOK, STEP_MAKE, STEP_LIVE } step;
	bool is_regex;			/* the topic: looked for in subjects here */
	regex_t regex;
	char *stream, *consumer;
	uint64_t last, consumer_last;	/* sequence numbers of the last event */
	uint64_t skip;			/* so many are not wanted */
	uint64_t ends_in;		/* events; with opts.ended */
	size_t outstanding;		/* asked for, and not come */
	size_t size;			/* of an event, about */
	bool came;			/* something, of what was asked for last */
	bool over;			/* told that it has ended */
	uint64_t heard_ns, wait_ms;
	struct loop_timer timer;
};

struct nats_broker {
	struct broker b;
	struct pipeline p;
	enum nats_state state;
	struct wire_reader wire;
	struct nats_head head;		/* of the event at hand */
	int64_t read_us;

	/* The server, as its INFO has it. */
	bool headers, secured;
	struct buf nonce;		/* while TLS begins */
	uint64_t max_payload;

	/* Publishing. */
	struct loop_task ask;
	size_t silent, silent_bytes;	/* not behind a PING yet */
	bool barrier;			/* a PING for events is out */
	bool leaving;			/* the server will end: go when all is answered */
	struct buf subject;		/* the last one that was good, ... */
	uint64_t hash;			/* ... and its hash, which flight_entry.last has */
	struct buf probe;		/* the reply subject that is listened to for a 503 */
	uint64_t asking, nobody;	/* events with a reply subject; that nobody got */
	bool late;

	/* JetStream. */
	int mode;			/* enum nats_mode */
	bool inbox_open;		/* subscribed to, over this connection */
	char inbox[32];			/* answers come to INBOX.NAME */
	size_t inbox_n;
	struct buf reply, stream;	/* of the event at hand; the last that took one */
	struct header *heads;		/* of the event at hand, with ours in front */
	size_t heads_cap;
	uint64_t taken, duplicates, last_seq;
	struct error deaf;		/* why answers cannot come */
	uint64_t ack_wait_ms;
	const char *msg_id, *expect_stream, *of_stream;
	struct ledger ledger;		/* of: the subject to answer on, allocated */
	char expect_text[24];
	uint64_t expect_seq;
	bool expects_seq;

	struct nats_listing *listing;	/* under way; NULL: none */

	/* Subscribing. */
	struct nats_sub **subs;		/* by sid - 1; NULL: gone */
	size_t nsubs;
	uint64_t event_ns, paused_ns;
	bool paused, cut, odd;

	/* Options. */
	uint64_t keepalive_ms;
	const char *client;
	const char *creds, *nkey;	/* files */
	bool tls_first, discover;

	/* Who we are. */
	bool has_seed;
	unsigned char seed[NATS_KEY];
	struct bytes jwt;
	char public[NATS_PUBLIC_TEXT + 1];
};

/* nats_conn.c */
int nats_conn_open(struct nats_broker *, struct error *);

/* nats_auth.c */
int nats_auth_open(struct nats_broker *, struct error *);
/* Adds what proves who we are, which borrows from `to`. */
int nats_auth_sign(struct nats_broker *, struct bytes nonce, struct nats_connect *, struct buf *to,
	struct error *);
void nats_auth_release(struct nats_broker *);

/* nats_pub.c */
void nats_pub_init(struct nats_broker *);
int nats_pub_event(struct nats_broker *, const struct publication *, struct error *);
bool nats_pub_send(struct pipeline *, struct flight_entry *, struct bytes kept, struct buf *out);
/* What the server does not allow is one event's. */
void nats_pub_denied(struct nats_broker *, struct bytes subject, const struct error *);
void nats_pub_probed(struct nats_broker *, unsigned status);
/* The server will end soon. */
void nats_pub_leave(struct nats_broker *);
void nats_pub_lost(struct nats_broker *);
void nats_pub_close(struct nats_broker *);
void nats_pub_release(struct nats_broker *);

/* nats_js.c */
#define NATS_INBOX_SID UINT64_C(999999999)
int nats_js_init(struct nats_broker *, struct error *);
/* What an event gets for the stream: a subject for its answer, headers of ours. */
void nats_js_event(struct nats_broker *, const struct publication *, struct nats_pub *);
void nats_js_ready(struct nats_broker *);
void nats_js_answer(struct nats_broker *, struct nats_frame *);
/* Of what JetStream needs something is not allowed. false: that is no subject of its. */
bool nats_js_denied(struct nats_broker *, struct bytes subject, const struct error *);
void nats_js_close(struct nats_broker *);
void nats_js_release(struct nats_broker *);

/* nats_js_sub.c */
/* The connection is there, and so is ns->s->topic's place among the subscriptions. */
void nats_js_sub_begin(struct nats_broker *, struct nats_sub *, bool again);
/* false: it is no answer to a question of these. */
bool nats_js_sub_answer(struct nats_broker *, struct nats_frame *);
void nats_js_sub_event(struct nats_broker *, struct nats_sub *, struct nats_frame *);
void nats_js_sub_denied(struct nats_broker *, const struct error *);
void nats_js_sub_ack(struct nats_broker *, uint64_t first, uint64_t last, bool ok);
void nats_js_sub_go_on(struct nats_broker *);		/* not paused any more */
void nats_js_sub_stop(struct nats_broker *);		/* nothing more is to come */
void nats_js_sub_give_back(struct nats_broker *);
void nats_js_sub_lost(struct nats_broker *);
void nats_js_sub_end(struct nats_broker *, struct nats_sub *);
int nats_js_sub_check(struct nats_broker *, const struct subscription *, struct error *);

/* nats_list.c */
int nats_list(struct nats_broker *, const char *const *names, size_t n, bool groups, listing_fn *,
	void *arg, struct error *);
void nats_list_answer(struct nats_broker *, struct nats_frame *);
void nats_list_denied(struct nats_broker *, const struct error *);
void nats_list_release(struct nats_broker *);

/* nats_sub.c */
enum { NATS_PROBE_SID = 0 };
int nats_sub_subscribe(struct nats_broker *, struct subscription *, struct error *);
void nats_sub_unsubscribe(struct nats_broker *, struct subscription *);
/* The connection is there; again: not for the first time. */
void nats_sub_ready(struct nats_broker *, bool again);
void nats_sub_event(struct nats_broker *, struct nats_frame *);
/* Sets message, wire and payload. */
void nats_sub_fill(struct nats_broker *, struct nats_sub *, struct nats_frame *, struct event *);
/* subject n 0: of the one that is asked for first. false: it is about no subscription. */
bool nats_sub_denied(struct nats_broker *, struct bytes subject, const struct error *);
/* Was the connection cut because we were slow? */
bool nats_sub_was_slow(const struct nats_broker *);
void nats_sub_release(struct nats_broker *);

#endif
