/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mqtt broker's second driver, on paho.mqtt.c: how its files fit.
 *
 *	paho.c			options, life, the ops
 *	paho_session.c		addresses, one connection after the other
 *	paho_pub.c		events on their way to the server, and their fates
 *	paho_sub.c		subscriptions, and the events they get
 *	paho_box.c		what the loop and the other threads hand each other
 *	paho_client.c		one connection as paho has it
 *	paho_callback.c		what paho calls
 *	paho_trace.c		what paho tells by its trace only
 *
 * Threads. paho has two of its own, for all its clients, and calls back from them
 * with its big lock held; its functions take that lock. So the loop never calls paho:
 * what it wants done it puts into the box as a command, and a helper thread (one a
 * broker) does it. What paho calls back with is put into the box as a note or a
 * message, and an eventfd wakes the loop. Only these three files run in other threads
 * than the loop's.
 *
 * Acknowledging. paho sends PUBACK or PUBREC when the callback that was given the
 * event returns, whatever it returns. So the callback waits until the loop says that
 * the event is safe; an event that never is safe is taken back by cutting the
 * connection before the callback returns. While the callback waits, paho does nothing
 * else: it does not even ask whether the server lives.
 */
#ifndef MBUS_PAHO_H
#define MBUS_PAHO_H

#include <MQTTAsync.h>
#include <pthread.h>

#include "backends/mqtt/mqtt_map.h"
#include "backends/mqtt/mqtt_options.h"
#include "core/address.h"
#include "core/flight.h"
#include "core/retry.h"
#include "core/tls.h"

/* ---- paho_box.c ---- */

/* An event that is to be published; the loop's, until it is handed to a client, and
 * again when its note has come or its client has gone. */
struct paho_event {
	struct paho_client *client;	/* that it was handed to last */
	uint64_t seq;			/* in the flight */
	MQTTProperties props;
	unsigned char qos;
	bool retain;
	size_t size;			/* of the payload */
	const char *topic;		/* behind the payload */
	char payload[];
};

enum paho_note_kind {
	NOTE_CONNECTED,
	NOTE_LOST,			/* or none could be made */
	NOTE_SENT,			/* about: the struct paho_event */
	NOTE_NOT_SENT,
	NOTE_SUBSCRIBED,		/* about: what paho_client_subscribe() was given */
	NOTE_NOT_SUBSCRIBED,
	NOTE_BARRIER,
	NOTE_BROKEN,			/* what no server may send: text */
	NOTE_GONE			/* the last of a client */
};

struct paho_note {
	enum paho_note_kind kind;
	uint32_t generation;		/* the client's */
	void *about;
	int code;			/* paho's, below 0; 0: MQTT's reason counts */
	unsigned reason;		/* with a code below 0: whether it was TLS's fault */
	char *text;			/* NULL, or in words; the loop frees it */
};

/* An event that has come; or in its place, m NULL, what is wrong with it. */
struct paho_message {
	uint32_t generation;
	const char *fault;		/* NULL: nothing */
	bool large;			/* the fault: it is too large */
	bool waits;			/* paho's thread waits for paho_client_settle() */
	char *topic;
	size_t topic_size;
	MQTTAsync_message *m;
};
void paho_message_free(struct paho_message *);

enum paho_command_kind {
	COMMAND_CONNECT, COMMAND_PUBLISH, COMMAND_SUBSCRIBE, COMMAND_UNSUBSCRIBE,
	COMMAND_BARRIER, COMMAND_DESTROY, COMMAND_QUIT
};

struct paho_command {
	enum paho_command_kind kind;
	struct paho_client *client;
	void *about;
	char *filter;			/* the helper frees it */
	unsigned char qos;
	bool no_retained;
	uint32_t id;			/* subscription identifier; 0: none */
};

/* Things in the order they came; a whole batch is taken at once. */
struct paho_queue {
	char *p;
	size_t n, cap;			/* in things */
	size_t size;			/* of one */
};
void *paho_queue_at(const struct paho_queue *, size_t);
void paho_queue_release(struct paho_queue *);

struct paho_box {
	pthread_mutex_t lock;
	pthread_cond_t todo;		/* for the helper: there are commands */
	pthread_cond_t room;		/* for paho's thread: look again */
	struct paho_queue commands, notes, messages;
	size_t message_bytes;
	int wake;			/* eventfd */
	bool woken;
	bool helped;			/* the helper runs */
	bool over;			/* and has nothing more to do */
	pthread_t helper;
};

int paho_box_init(struct paho_box *, struct error *);
/* true: nothing and nobody uses it any more. false: paho hangs in something; what it
 * may still touch must stay for ever. */
bool paho_box_release(struct paho_box *);
/* From the loop. The helper is started with the first. */
int paho_box_command(struct paho_box *, const struct paho_command *, struct error *);
/* For the helper: nobody waits for it any more. */
bool paho_box_is_over(struct paho_box *);
/* From any other thread. */
void paho_box_note(struct paho_box *, const struct paho_note *);
/* Likewise, with the lock held. */
void paho_box_message(struct paho_box *, const struct paho_message *);
/* What has come; messages NULL leaves those where they are. Empty queues are given. */
void paho_box_take(struct paho_box *, struct paho_queue *notes, struct paho_queue *messages);

/* ---- paho_client.c ---- */

/* What the server said in its CONNACK, or what holds where it said nothing. */
struct paho_server {
	bool session;
	uint32_t max_packet;
	unsigned receive_maximum;
	unsigned char max_qos;
	bool retain, wildcard, subscription_id, shared;
};

/* All that CONNECT says, and where it goes; borrowed for the broker's life. */
struct paho_connect {
	const char *uri;
	bool tls;
	enum mqtt_version version;
	const struct broker_options *broker;
	const struct mqtt_options *opt;
	struct bytes will;		/* as it is sent; p NULL: none */
};

struct paho_client;

/* A new one, which connects. NULL: err. */
struct paho_client *paho_client_new(struct paho_box *, const struct paho_connect *,
	uint32_t generation, struct error *);
/* Ends it politely; if the event it waits for is not settled, by cutting it off.
 * NOTE_GONE follows, and it is no more. */
void paho_client_close(struct paho_client *);
/* The event that paho's thread waits for is safe. */
void paho_client_settle(struct paho_client *);
/* Events are answered when they have come. */
void paho_client_no_acks(struct paho_client *);
/* After NOTE_CONNECTED. */
const struct paho_server *paho_client_server(const struct paho_client *);
/* Whether anything that looked like MQTT's server answered: CONNECT was sent. */
bool paho_client_greeted(const struct paho_client *);
void paho_client_publish(struct paho_client *, struct paho_event *);
void paho_client_subscribe(struct paho_client *, struct bytes filter, unsigned char qos,
	bool no_retained, uint32_t id, void *about);
void paho_client_unsubscribe(struct paho_client *, struct bytes filter);
/* A question whose answer (NOTE_BARRIER) proves that the server has read all before. */
void paho_client_barrier(struct paho_client *);
/* The helper's. */
void paho_client_run(const struct paho_command *);

/* ---- the broker ---- */

struct paho_target {
	struct address address;
	bool tls;
	char *uri, *name;
};

struct paho_pub {
	struct flight flight;
	struct loop_timer timer;	/* the front's time is over */
	struct loop_task settle;	/* once a turn: hand over, ask */
	bool keeps;			/* for a connection to come */
	uint64_t next_send;		/* the first not yet handed to this client */
	size_t handed;			/* and not answered by paho */
	size_t zeros;			/* of QoS 0, handed, and no barrier behind them yet */
	uint64_t barrier;		/* those before this sequence number have one ... */
	bool asked;			/* ... which is not answered */
	uint64_t heard_ns;		/* when something was answered */
	struct buf payload;
};

struct paho_sub {
	struct subscription *sub;
	struct bytes filter;		/* as the server knows it */
	struct paho_sub *next;
	uint32_t id;			/* names it in notes; subscription identifier */
	bool asked, live;		/* on this connection; ever */
	bool waits;			/* asked, and not answered */
};

/* The event that paho's thread waits for. */
struct paho_held {
	bool on, failed;
	uint64_t first, last;		/* event numbers */
	uint64_t left;			/* not settled yet */
};

struct paho_subs {
	struct paho_sub *first, **end;
	uint32_t last_id;
	struct loop_task ask;
	struct mqtt_map_in in;
	struct paho_held held;
	uint64_t strangers;
	bool answered;			/* something that the server may not have read */
	bool only_ours;			/* no subscription of an earlier run's session */
};

enum paho_state { PAHO_OFF, PAHO_DIALING, PAHO_READY, PAHO_ENDING, PAHO_WAITING };

struct paho_broker {
	struct broker b;
	struct mqtt_options opt;
	struct buf will;
	struct paho_target *targets, *target;
	size_t ntargets;
	struct paho_box *box;
	struct loop_fd wake;
	struct paho_queue notes, messages;	/* taken, being worked through */
	struct paho_client *client;
	uint32_t generation;
	enum mqtt_version version;
	enum paho_state state;
	bool paused, was_ready;
	struct loop_timer timer;	/* connecting takes too long; or: connect again */
	uint64_t dial_ns;
	struct retry retry;
	struct error why;		/* of the first address; why the connection has gone */
	bool draining;			/* broker_drained() with the next barrier */
	struct paho_pub pub;
	struct paho_subs subs;
};

/* ---- paho_session.c ---- */

int paho_session_init(struct paho_broker *, struct error *);
/* Nothing comes from the loop any more. */
void paho_session_forget(struct paho_broker *);
void paho_session_release(struct paho_broker *);
void paho_session_start(struct paho_broker *);
void paho_session_close(struct paho_broker *);
/* This connection is no good. */
void paho_session_fail(struct paho_broker *, const struct error *);
/* The server does what it must not, and may again. */
void paho_session_fault(struct paho_broker *, const char *why);
void paho_session_pause(struct paho_broker *, bool);
void paho_session_drain(struct paho_broker *);
/* For the messages that may no longer be answered. */
void paho_session_drained(struct paho_broker *);

/* ---- paho_pub.c ---- */

void paho_pub_init(struct paho_broker *);
void paho_pub_release(struct paho_broker *);
int paho_pub_publish(struct paho_broker *, const struct publication *, struct error *);
void paho_pub_ready(struct paho_broker *);
/* The client has gone; again: there may be another. */
void paho_pub_lost(struct paho_broker *, bool again, const struct error *why);
void paho_pub_note(struct paho_broker *, const struct paho_note *);
void paho_pub_close(struct paho_broker *);

/* ---- paho_sub.c ---- */

void paho_sub_init(struct paho_broker *);
void paho_sub_release(struct paho_broker *);
int paho_sub_subscribe(struct paho_broker *, struct subscription *, struct error *);
void paho_sub_unsubscribe(struct paho_broker *, struct subscription *);
void paho_sub_ready(struct paho_broker *);
/* err: this is the end, and true: it was told to subscriptions that were never live. */
bool paho_sub_lost(struct paho_broker *, const struct error *err);
/* Something was asked and is not answered; ... which was never live. */
bool paho_sub_asks(const struct paho_broker *);
bool paho_sub_is_new(const struct paho_broker *);
void paho_sub_note(struct paho_broker *, const struct paho_note *);
void paho_sub_message(struct paho_broker *, struct paho_message *, int64_t now_us);
void paho_sub_ack(struct paho_broker *, uint64_t first, uint64_t last, bool ok);

#endif
