/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nsq broker: nsqd by its TCP protocol, version 2.
 *
 *	nsq.c		options and the ops; publishing
 *	nsq_conn.c	one connection: IDENTIFY, TLS, AUTH, frames, its end
 *	nsq_sub.c	SUB, RDY, FIN, REQ, TOUCH
 *
 * CONNECTIONS. nsqd takes one SUB on a connection. So `main` is the one that the user
 * asked for, which publishes, and each subscription has others of its own: one to each
 * address that was given, because nsqds know nothing of each other and each has its part
 * of a topic.
 *
 * ANSWERS come in the order of what was asked (IDENTIFY, AUTH, SUB, PUB, CLS); FIN, REQ,
 * TOUCH and RDY are answered only where they fail, by an error of that name, which may
 * come between. Any other error is the last thing on a connection: what was written
 * behind the command that it is for has not been looked at, and goes over the next one.
 */
#ifndef MBUS_NSQ_H
#define MBUS_NSQ_H

#include "backends/proto/nsq.h"
#include "core/ledger.h"
#include "core/pipeline.h"
#include "core/wire.h"

enum { NSQ_NAME_MAX = 64 };		/* of a topic or channel */

struct nsq_sub;

struct nsq_conn {
	struct pipeline p;		/* first */
	struct nsq_broker *nb;
	struct nsq_sub *sub;		/* NULL: main */
	struct nsq_conn *next;		/* of the same subscription */
	struct broker_options opts;	/* the link's, */
	char *address;			/* which borrow this; NULL: the user's */
	enum { NSQ_IDENTIFY, NSQ_TLS, NSQ_AUTH, NSQ_GREETED } state;
	uint64_t touch_ms;		/* how long it waits for a FIN */
	uint64_t rdy_max;
	bool live, was_live;		/* subscribed: now, ever */
	bool away;			/* cannot be had; others of its subscription can */
	struct loop_timer again;
};

/* A subscription; outlives struct subscription, as acknowledgements may. */
struct nsq_sub {
	struct nsq_sub *next;
	struct subscription *s;		/* NULL: unsubscribed */
	struct bytes topic;		/* its own */
	char channel[NSQ_NAME_MAX + 1];
	struct nsq_conn *conns;
	bool acks, warned;
};

struct nsq_broker {
	struct broker b;
	struct nsq_conn *main;
	struct nsq_sub *subs;
	struct wire_reader wire;
	struct ledger ledger;		/* id, seq: the message's 16 bytes; of: its connection */
	struct loop_timer touch;
	struct buf payload;
	uint64_t keepalive_ms, in_flight, defer_ms, requeue_ms, msg_timeout_ms;
	bool idle;			/* main is not connected, and need not be */
	bool paused;
	size_t closing;			/* connections whose CLS is not answered */
};

static inline struct nsq_broker *nsq_of(struct broker *b) { return (struct nsq_broker *)b; }

/* nsq_conn.c */
/* sub, address NULL: main. NULL: err says why. */
struct nsq_conn *nsq_conn_new(struct nsq_broker *, struct nsq_sub *, const char *address,
	struct error *);
void nsq_conn_free(struct nsq_conn *);
/* What an error of nsqd means ("E_UNAUTHORIZED AUTH failed for ..."). */
void nsq_error(struct error *, const struct nsq_conn *, struct bytes what);

/* nsq_sub.c */
/* NULL, or what is wrong with it. */
const char *nsq_bad_name(struct bytes);
int nsq_subscribe(struct subscription *, struct error *);
void nsq_unsubscribe(struct subscription *);
void nsq_ack(struct broker *, uint64_t first, uint64_t last, bool ok);
void nsq_pause(struct broker *, bool);
void nsq_drain(struct broker *);
/* The connection is greeted: subscribe on it. */
void nsq_sub_resume(struct nsq_conn *);
void nsq_sub_message(struct nsq_conn *, const struct nsq_frame *);
/* What it had delivered is nsqd's again. */
void nsq_sub_forget(struct nsq_conn *);
/* It cannot be had. true: others can, or may yet; it is tried again. */
bool nsq_sub_without(struct nsq_conn *, const struct error *);
void nsq_sub_touch(struct loop_timer *);
/* At the end: what is not acknowledged goes to another. */
void nsq_sub_give_back(struct nsq_broker *);
void nsq_sub_release(struct nsq_broker *);

#endif
