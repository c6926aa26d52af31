/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event is in MQTT, and the other way round: rules of topics, go-micro's
 * envelope or bare bodies, properties of version 5, and what the server's reason
 * codes mean. Shared by every driver of the mqtt broker; knows no connection and no
 * packet.
 */
#ifndef MBUS_MQTT_MAP_H
#define MBUS_MQTT_MAP_H

#include "backends/proto/mqtt.h"
#include "core/wire.h"

enum {
	MQTT_QOS_DEFAULT = 1		/* as go-micro's plugin has it */
};

/* What an instance can carry: b->caps. */
unsigned mqtt_map_caps(enum wire, enum mqtt_version);
/* broker_ops.lacks of both drivers. */
const char *mqtt_lacks(const struct broker *, unsigned caps);

/* ---- topics ---- */

int mqtt_check_topic(struct bytes topic, struct error *);
/* group NULL: none. */
int mqtt_check_filter(struct bytes filter, const char *group, struct error *);
/* What topics are held against: the part behind "$share/GROUP/", if that is there. */
struct bytes mqtt_bare_filter(struct bytes filter);
/* The filter as the server is asked for it: "$share/GROUP/FILTER" for a group. */
void mqtt_add_shared(struct buf *, struct bytes filter, const char *group);

/* ---- publishing ---- */

/* What neither the core's caps nor the protocol's lengths let through; err names
 * the field. The topic is mqtt_check_topic()'s. */
int mqtt_map_check(const struct publication *, enum wire, struct error *);
/* Appends the payload. */
void mqtt_map_payload(struct buf *, const struct publication *, enum wire);
/* About how long that will be; for raw, exactly. */
size_t mqtt_map_guess(const struct publication *, enum wire);

/* Where the properties of version 5 go, one call for each, in order. */
struct mqtt_map_sink {
	void (*number)(void *arg, enum mqtt_prop_id, uint32_t);
	void (*text)(void *arg, enum mqtt_prop_id, struct bytes);
	void (*pair)(void *arg, struct bytes name, struct bytes value);
};
bool mqtt_map_has_props(const struct publication *, enum wire);
void mqtt_map_props(const struct publication *, enum wire, const struct mqtt_map_sink *,
	void *arg);

/* ---- receiving ---- */

/* Memory for taking events apart, reused from one to the next. */
struct mqtt_map_in {
	struct header *headers;
	size_t nheaders, cap;
	struct properties props;
	struct wire_reader reader;
	bool warned;			/* about a payload that is no envelope */
};

void mqtt_map_in_init(struct mqtt_map_in *, enum wire);
void mqtt_map_in_release(struct mqtt_map_in *);
/* A new event: forgets the last one's properties. */
void mqtt_map_in_begin(struct mqtt_map_in *);
/* One property of it, whichever. The bytes are borrowed. */
void mqtt_map_in_prop(struct mqtt_map_in *, const struct mqtt_prop *);
/* Makes the event of that and of its topic and payload, which is decoded in place. */
void mqtt_map_in_event(struct mqtt_map_in *, struct bytes topic, char *payload, size_t n,
	struct event *);

/* Warns of what a subscriber that comes back may have missed. kept: the server still has
 * its session; qos0: a subscription is of that. */
void mqtt_map_missed(const char *server, bool wanted, bool kept, bool qos0);

/* ---- reason codes ---- */

enum mqtt_where { MQTT_AT_CONNECT, MQTT_AT_PUBLISH, MQTT_AT_SUBSCRIBE, MQTT_AT_END };

/* Version 3.1.1's answers to CONNECT as version 5 has them. */
unsigned mqtt_reason_of_connack(unsigned code);
enum error_kind mqtt_reason_kind(unsigned reason, enum mqtt_where);
/* As the end of a connection: what is to be thought of another one. */
enum mqtt_again {
	MQTT_FAULT,			/* it will end the same way, unless something is done */
	MQTT_PASSES,
	MQTT_NEXT			/* it passes, and another address may be better off */
};
enum mqtt_again mqtt_reason_again(unsigned reason);
/* Sets err to "DOING: Not authorized (0x87)", with the server's own words behind it
 * if there are any. Returns -1. */
int mqtt_reason_error(struct error *, enum mqtt_where, const char *doing, unsigned reason,
	struct bytes said);
/* Adds to a refused CONNECT (ERR_AUTH) what the user can do about it. */
void mqtt_reason_advise(struct error *, const struct broker_options *);

#endif
