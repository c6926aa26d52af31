/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mqtt broker, our own driver: how its files fit.
 *
 *	mqtt.c			options, life, the ops
 *	mqtt_session.c		one connection after the other: CONNECT, keep-alive,
 *				dispatching what comes
 *	mqtt_pub.c		events as packets, and what is answered
 *	mqtt_sub.c		subscriptions, and the events they get
 *	mqtt_drops.c		what the server says it has dropped
 *	mqtt_alias.c		topic aliases of one connection
 *	mqtt_map.c, mqtt_reason.c, mqtt_options.c
 *				what other drivers use as well
 *
 * What is sent, kept and timed is core/pipeline's; its names for what is under way are
 * the packet ids, of events and subscriptions alike.
 */
#ifndef MBUS_MQTT_H
#define MBUS_MQTT_H

#include "backends/mqtt/mqtt_map.h"
#include "backends/mqtt/mqtt_options.h"
#include "core/pipeline.h"

/* Naps under load (stream_lazy()), measured with Mosquitto. A publisher's is short: with
 * a server that takes 20 at once, the answers to half of them should find it awake. */
enum {
	MQTT_PUB_NAP_US = 50,
	MQTT_SUB_NAP_US = 200
};

enum {
	MQTT_IDS = 60000,		/* packet ids: 1 ... 60000 */
	MQTT_SUBS_ASKED = 1024		/* subscriptions, at once */
};

/* What the server said in its CONNACK, or what holds where it said nothing. */
struct mqtt_server {
	uint16_t receive_maximum, alias_maximum, keepalive;
	uint32_t max_packet;
	unsigned char max_qos;
	bool retain, wildcard, subscription_id, shared;
};

struct mqtt_alias {
	struct bytes topic;
	uint64_t known_at;		/* the server knows it when so many bytes have begun to
					 * leave */
	uint16_t number;
};

struct mqtt_aliases {
	struct mqtt_alias *slots;	/* a hash table; number 0: free */
	size_t nslots;			/* a power of two, or 0 */
	unsigned used, most;
};

struct mqtt_pub {
	struct loop_task ask;		/* once a turn: the barrier */
	bool dup;			/* the session was kept: repeat as such */
	unsigned quota, quota_qos2;	/* QoS 1 and 2, and QoS 2, that may be sent now */
	/* QoS 0 is confirmed by a PINGRESP behind it. */
	size_t zeros, zero_bytes;	/* sent, and no PINGREQ behind them yet */
	uint64_t barrier;		/* where that is in the ring ... */
	uint64_t barrier_ping;		/* ... and its number; 0: none is under way */
	uint64_t nobody;		/* confirmed, but nobody subscribes */
	struct mqtt_aliases aliases;
	struct buf topic;		/* the last that mqtt_check_topic() found good: most
					 * events of a run have the same */
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
	uint64_t seq;			/* of the SUBSCRIBE, in the ring ... */
	bool waits;			/* ... if it is under way */
	bool asked, live;		/* on this connection; ever */
};

struct mqtt_subs {
	struct mqtt_sub *first, **end;
	size_t count, nnew;		/* nnew: of those the ones that were never live */
	unsigned nasking;
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

/* Also the ids of the SUBSCRIBEs. */
enum mqtt_drops_state { DROPS_OFF, DROPS_GREETING, DROPS_VERSION, DROPS_COUNT };

/* Of the server's count of what it drops: a client of its own. */
struct mqtt_drops {
	enum mqtt_drops_state state;
	struct link *link;
	struct link_options link_opt;
	struct broker_options options;
	struct buf address;
	char client_id[MQTT_TEXT_MAX + 1];
	bool never;			/* the server does not like it, or has none */
	bool known;			/* there is a last count */
	uint64_t last, total;		/* total: by how much it grew */
	struct loop_timer timer;	/* to begin, for an answer, for a PINGREQ */
};

enum mqtt_state { MQTT_OFF, MQTT_GREETING, MQTT_READY };

struct mqtt_broker {
	struct broker b;
	struct mqtt_options opt;
	struct pipeline p;
	enum mqtt_state state;
	enum mqtt_version version;
	bool mute;			/* a server that gave a CONNECT of 5 no answer */
	bool old;			/* ... or said that it does not know 5 */
	struct mqtt_server server;
	uint32_t generation;		/* counts connections */
	uint64_t greeted_ns;
	uint64_t pings, pongs;		/* of this connection */
	uint64_t drain_ping;		/* broker_drained() with this one's answer; 0: none */
	int64_t read_us;		/* when the present input came */
	struct mqtt_pub pub;
	struct mqtt_subs subs;
	struct mqtt_drops drops;
};

/* ---- mqtt_session.c ---- */

/* Makes the pipeline. */
int mqtt_session_init(struct mqtt_broker *, const struct link_options *, struct error *);
/* Writes CONNECT; whole: with the session and the will of the options. */
void mqtt_session_hello(struct mqtt_broker *, struct link *, const char *client_id, bool whole);
/* Says goodbye and closes. */
void mqtt_session_close(struct mqtt_broker *);
/* The server does what it must not: tells it the reason and ends the connection. */
void mqtt_session_fault(struct mqtt_broker *, unsigned reason, const char *why);
/* Writes a PINGREQ; its number. */
uint64_t mqtt_session_ping(struct mqtt_broker *);
void mqtt_session_drain(struct mqtt_broker *);

/* ---- mqtt_pub.c ---- */

void mqtt_pub_init(struct mqtt_broker *);
void mqtt_pub_release(struct mqtt_broker *);
int mqtt_pub_publish(struct mqtt_broker *, const struct publication *, struct error *);
/* pipeline_ops.send, cut. */
bool mqtt_pub_send(struct pipeline *, struct flight_entry *, struct bytes kept, struct buf *);
void mqtt_pub_cut(struct pipeline *, const struct flight_entry *);
/* A connection will be ready. */
void mqtt_pub_ready(struct mqtt_broker *, bool session);
void mqtt_pub_lost(struct mqtt_broker *);
void mqtt_pub_answer(struct mqtt_broker *, const struct mqtt_packet *);
void mqtt_pub_pong(struct mqtt_broker *);
void mqtt_pub_close(struct mqtt_broker *);

/* ---- mqtt_sub.c ---- */

void mqtt_sub_init(struct mqtt_broker *);
void mqtt_sub_release(struct mqtt_broker *);
int mqtt_sub_subscribe(struct mqtt_broker *, struct subscription *, struct error *);
void mqtt_sub_unsubscribe(struct mqtt_broker *, struct subscription *);
/* A connection is ready; again: not the first. */
void mqtt_sub_ready(struct mqtt_broker *, bool session, bool again);
/* err: this is the end, and true: it was told to subscriptions that were never live. */
bool mqtt_sub_lost(struct mqtt_broker *, const struct error *err);
/* SUBACK, UNSUBACK. */
void mqtt_sub_answer(struct mqtt_broker *, const struct mqtt_packet *);
void mqtt_sub_publish(struct mqtt_broker *, const struct mqtt_packet *);
void mqtt_sub_pubrel(struct mqtt_broker *, const struct mqtt_packet *);
void mqtt_sub_ack(struct mqtt_broker *, uint64_t first, uint64_t last, bool ok);

/* ---- mqtt_drops.c ---- */

void mqtt_drops_init(struct mqtt_broker *);
void mqtt_drops_release(struct mqtt_broker *);
/* A subscription is live. */
void mqtt_drops_watch(struct mqtt_broker *);
/* The user's connection has gone. */
void mqtt_drops_lost(struct mqtt_broker *);
/* Ends it, says the total, and forgets it. */
void mqtt_drops_end(struct mqtt_broker *);

/* ---- mqtt_alias.c ---- */

/* For a new connection, whose server takes so many. */
void mqtt_aliases_reset(struct mqtt_aliases *, unsigned most);
/* The topic's; NULL: it has none and can have none. */
struct mqtt_alias *mqtt_aliases_find(struct mqtt_aliases *, struct bytes topic);

#endif
