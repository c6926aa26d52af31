/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mqtt broker, our own driver: how its files fit.
 *
 *	mqtt.c			options, life, the ops
 *	mqtt_session.c		one connection after the other: CONNECT, keep-alive,
 *				dispatching what comes
 *	mqtt_send.c		events written as packets, now or when the server takes them
 *	mqtt_pub.c		events on their way, what is answered, and their fates
 *	mqtt_sub.c		subscriptions, and the events they get
 *	mqtt_drops.c		what the server says it has dropped
 *	mqtt_alias.c		topic aliases of one connection
 *	mqtt_map.c, mqtt_reason.c, mqtt_options.c
 *				what other drivers use as well
 *
 * Packet ids: those of events are their sequence numbers in the flight, modulo
 * MQTT_EVENT_IDS; those of subscriptions lie above. So an answer finds its event by
 * arithmetic.
 */
#ifndef MBUS_MQTT_H
#define MBUS_MQTT_H

#include "backends/mqtt/mqtt_map.h"
#include "backends/mqtt/mqtt_options.h"
#include "core/flight.h"
#include "core/link.h"

/* Naps under load (stream_lazy()), measured with Mosquitto. A publisher's is short: with
 * a server that takes 20 at once, the answers to half of them should find it awake. */
enum {
	MQTT_PUB_NAP_US = 50,
	MQTT_SUB_NAP_US = 200
};

enum {
	MQTT_EVENT_IDS = 60000,		/* 1 ... 60000 */
	MQTT_SUB_ID = 60001,		/* ... and as many as may be asked for at once */
	MQTT_SUBS_ASKED = 1024,
	MQTT_UNSUB_ID = MQTT_SUB_ID + MQTT_SUBS_ASKED,
	MQTT_UNSUBS = 1024,
	MQTT_DROPS_ID = MQTT_UNSUB_ID + MQTT_UNSUBS
};

/* What the server said in its CONNACK, or what holds where it said nothing. */
struct mqtt_server {
	uint16_t receive_maximum, alias_maximum, keepalive;
	uint32_t max_packet;
	unsigned char max_qos;
	bool retain, wildcard, subscription_id, shared;
};

struct mqtt_aliases {
	struct mqtt_alias *slots;	/* a hash table; number 0: free */
	size_t nslots;			/* a power of two, or 0 */
	unsigned used, most;
};

/* flight_entry.state */
enum {
	ENTRY_QOS = 3,
	ENTRY_OUT = 4,			/* written to the present connection */
	ENTRY_SENT = 8,			/* a kernel has taken it, once */
	ENTRY_RELEASED = 16,			/* PUBREC has come */
	ENTRY_TOLD = 32,			/* has its outcome */
	ENTRY_DONE = 64			/* the protocol has done with it */
};

struct mqtt_pub {
	struct flight flight;
	struct loop_timer timer;	/* the front's time is over */
	struct loop_task settle;	/* once a turn: send, ask, tell */
	/* With reconnecting: the packets in the flight, one behind the other. */
	bool keeps;
	struct buf kept;
	uint64_t next_send;		/* the first not yet written to this connection */
	size_t send_at;			/* where its packet is in kept */
	bool dup;			/* the session was kept: repeat as such */
	unsigned quota, quota_qos2;	/* QoS 1 and 2, and QoS 2, that may be sent now */
	/* QoS 0 is confirmed by a PINGRESP behind it. */
	size_t zeros, zero_bytes;	/* sent, and no PINGREQ behind them yet */
	uint64_t barrier;		/* those before this sequence number have one ... */
	uint64_t barrier_ping;		/* ... of this number; 0: none is under way */
	uint64_t told;			/* --ack none: up to here the kernel has them */
	uint64_t nobody;		/* confirmed, but nobody subscribes */
	struct mqtt_aliases aliases;
	struct buf props;
};

/* A packet that was delivered, until all its events are settled. */
struct mqtt_inbound {
	uint64_t first, last;		/* event numbers */
	uint32_t left;			/* not settled yet */
	uint32_t generation;		/* of the connection it came on */
	uint16_t id;
	unsigned char qos;
	bool failed;			/* not to be answered: it is to come again */
};

struct mqtt_sub {
	struct subscription *sub;
	struct bytes filter;		/* as the server knows it */
	struct mqtt_sub *next;		/* in the order they came */
	uint32_t id;			/* subscription identifier; 0: none */
	uint16_t packet;		/* of the SUBSCRIBE under way; 0: none */
	bool asked, live;		/* on this connection; ever */
};

struct mqtt_subs {
	struct mqtt_sub *first, **end;
	size_t count;
	struct mqtt_sub *asking[MQTT_SUBS_ASKED];	/* by packet id */
	unsigned next_asking, nasking, next_unsub;
	struct mqtt_sub **by_id;
	uint32_t nids;
	struct mqtt_inbound *ring;	/* like core/flight */
	size_t cap;
	uint64_t first_in, next_in;
	unsigned char *received;	/* QoS 2: a bit for each packet id not released yet */
	struct loop_task ask;
	struct mqtt_map_in in;
	uint64_t strangers;		/* events no subscription of ours wanted */
	bool answered;			/* something that the server may not have read */
	bool trust_ids;			/* none can be of a session before ours */
};

/* Of the server's count of what it drops. */
struct mqtt_drops {
	bool asked;			/* on this connection */
	bool waits;			/* ... and not answered yet */
	bool never;			/* this server does not like it */
	bool known;			/* there is a last count */
	uint64_t last, total;		/* total: by how much it grew */
	struct loop_timer again;
};

enum mqtt_state { MQTT_OFF, MQTT_GREETING, MQTT_READY };

struct mqtt_broker {
	struct broker b;
	struct mqtt_options opt;
	struct link_options link_opt;
	struct link *link;
	enum mqtt_state state;
	enum mqtt_version version;
	bool was_ready;			/* broker_connected() has been called */
	bool mute;			/* a server that gave a CONNECT of 5 no answer */
	bool old;			/* ... or said that it does not know 5 */
	bool paused;
	struct mqtt_server server;
	uint32_t generation;		/* counts connections */
	uint64_t greeted_ns;
	struct loop_timer keepalive;
	uint64_t pings, pongs;		/* of this connection */
	uint64_t ping_ns, heard_ns;
	uint64_t drain_ping;		/* broker_drained() with this one's answer; 0: none */
	int64_t read_us;		/* when the present input came */
	struct mqtt_pub pub;
	struct mqtt_subs subs;
	struct mqtt_drops drops;
};

/* ---- mqtt_session.c ---- */

extern const struct link_ops mqtt_link_ops;

void session_init(struct mqtt_broker *);
/* Says goodbye and closes. */
void session_close(struct mqtt_broker *);
/* The server does what it must not: tells it the reason and ends the connection. */
void session_fault(struct mqtt_broker *, unsigned reason, const char *why);
/* Writes a PINGREQ; its number. */
uint64_t session_ping(struct mqtt_broker *);
void session_pause(struct mqtt_broker *, bool);
void session_drain(struct mqtt_broker *);

/* ---- mqtt_pub.c ---- */

void pub_init(struct mqtt_broker *);
void pub_first_id(struct mqtt_broker *);	/* once the options are known */
void pub_release(struct mqtt_broker *);
/* A connection is ready. */
void pub_ready(struct mqtt_broker *, bool session);
/* ... and has gone; again: there may be another. */
void pub_lost(struct mqtt_broker *, bool again);
void pub_answer(struct mqtt_broker *, const struct mqtt_packet *);
void pub_pong(struct mqtt_broker *);
/* The kernel has taken all. */
void pub_drained(struct mqtt_broker *);
/* Nothing gets an outcome any more. */
void pub_close(struct mqtt_broker *);

/* For mqtt_send.c: the protocol has done with an event. */
void pub_end(struct mqtt_broker *, uint64_t seq, enum fate, const struct error *);

/* ---- mqtt_send.c ---- */

int pub_publish(struct mqtt_broker *, const struct publication *, struct error *);
/* What waits, as far as the server takes it now. */
void pub_send_waiting(struct mqtt_broker *);
/* Events of QoS 0 want to be asked for, and may be now. */
bool pub_wants_barrier(const struct mqtt_broker *);
/* Writes a PINGREQ behind all that was written so far. */
void pub_ask(struct mqtt_broker *);

/* ---- mqtt_sub.c ---- */

void sub_init(struct mqtt_broker *);
void sub_release(struct mqtt_broker *);
int sub_subscribe(struct mqtt_broker *, struct subscription *, struct error *);
void sub_unsubscribe(struct mqtt_broker *, struct subscription *);
void sub_ready(struct mqtt_broker *, bool session);
void sub_lost(struct mqtt_broker *);
/* SUBACK. */
void sub_answer(struct mqtt_broker *, const struct mqtt_packet *);
void sub_publish(struct mqtt_broker *, const struct mqtt_packet *);
void sub_pubrel(struct mqtt_broker *, const struct mqtt_packet *);
void sub_ack(struct mqtt_broker *, uint64_t first, uint64_t last, bool ok);

/* ---- mqtt_drops.c ---- */

void drops_init(struct mqtt_broker *);
/* A subscription is live: asks for the count, once a connection. */
void drops_ask(struct mqtt_broker *);
void drops_answer(struct mqtt_broker *, bool granted);
/* The answer, or the first count, may be under way. */
bool drops_expected(const struct mqtt_broker *);
/* There is a new subscription: no more of ours, if it is for the same. */
void drops_leave(struct mqtt_broker *);
/* A connection has gone. */
void drops_lost(struct mqtt_broker *);
/* Input is read again. */
void drops_resumed(struct mqtt_broker *);
/* Something whose topic begins with '$': true if it was the count, and no event. */
bool drops_take(struct mqtt_broker *, struct bytes topic, struct bytes payload);
/* Says the total, and forgets it. */
void drops_end(struct mqtt_broker *);

/* ---- mqtt_alias.c ---- */

/* For a new connection, whose server takes so many. */
void aliases_reset(struct mqtt_aliases *, unsigned most);
/* The topic's alias; 0: it has none and can have none. *fresh: the server does not
 * know it yet. */
uint16_t aliases_find(struct mqtt_aliases *, struct bytes topic, bool *fresh);

#endif
