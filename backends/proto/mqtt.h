/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT 3.1.1 and 5: packets to bytes and back, for either side of a connection.
 * No I/O, no clock, no memory of its own: what is parsed borrows from the input,
 * what is written is appended to a buffer.
 *
 * A packet is cut off the input by mqtt_frame() and taken apart by mqtt_parse(),
 * which checks all of it (lengths, UTF-8, reserved bits, which properties a packet
 * may have and how often), so that whoever reads its lists and properties
 * afterwards need check nothing.
 */
#ifndef MBUS_PROTO_MQTT_H
#define MBUS_PROTO_MQTT_H

#include "core/buf.h"

enum mqtt_version {
	MQTT_V311 = 4,			/* as the protocol numbers them */
	MQTT_V5 = 5
};

enum mqtt_type {
	MQTT_CONNECT = 1, MQTT_CONNACK,
	MQTT_PUBLISH, MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL, MQTT_PUBCOMP,
	MQTT_SUBSCRIBE, MQTT_SUBACK, MQTT_UNSUBSCRIBE, MQTT_UNSUBACK,
	MQTT_PINGREQ, MQTT_PINGRESP, MQTT_DISCONNECT, MQTT_AUTH
};

#define MQTT_BODY_MAX 268435455u	/* what four bytes of length can say */
#define MQTT_HEAD_MAX 5u		/* a packet is at most this much longer */
#define MQTT_TEXT_MAX 65535u		/* a topic, a name, a value */

/* ---- reading ---- */

struct mqtt_frame {
	enum mqtt_type type;
	unsigned char flags;		/* the first byte's lower half */
	char *body;
	size_t n;
	size_t size;			/* with the fixed header */
};

/* The packet at the front of p. 1: there it is; 0: it is not all there; -1: it is
 * none, or longer than max in all, and *why says so. */
int mqtt_frame(struct mqtt_frame *, char *p, size_t n, size_t max, const char **why);

/* What all of them have together; which fields count depends on the type. */
struct mqtt_packet {
	enum mqtt_type type;
	bool dup, retain;		/* PUBLISH */
	bool session;			/* CONNACK: the server has kept one */
	unsigned char qos;		/* PUBLISH */
	unsigned char reason;		/* CONNACK, acks, DISCONNECT, AUTH */
	uint16_t id;			/* 0 where there is none */
	struct bytes props;		/* version 5: see mqtt_prop_next() */
	struct bytes topic, payload;	/* PUBLISH */
	struct bytes list;		/* SUBSCRIBE, UNSUBSCRIBE, SUBACK, UNSUBACK: see below */
	const struct mqtt_connect *connect;
};

struct mqtt_connect {
	enum mqtt_version version;
	bool clean;			/* clean start, clean session */
	uint16_t keepalive;		/* seconds */
	struct bytes client_id;
	struct bytes username, password;	/* p NULL: none */
	struct bytes will_topic;	/* p NULL: no will */
	struct bytes will_payload, will_props;
	unsigned char will_qos;
	bool will_retain;
};

/* *connect is filled for a CONNECT, whose version is its own word. -1: *why says
 * what is wrong. */
int mqtt_parse(struct mqtt_packet *, struct mqtt_connect *, const struct mqtt_frame *,
	enum mqtt_version, const char **why);

/* The list of a SUBSCRIBE (options: its byte) or UNSUBSCRIBE (options NULL), one by
 * one. false: that was all. A SUBACK's list is one byte a filter, and so is an
 * UNSUBACK's in version 5. */
bool mqtt_filter_next(struct bytes *rest, struct bytes *filter, unsigned char *options);

enum mqtt_prop_id {
	MQTT_PROP_PAYLOAD_FORMAT = 0x01,
	MQTT_PROP_EXPIRY = 0x02,
	MQTT_PROP_CONTENT_TYPE = 0x03,
	MQTT_PROP_RESPONSE_TOPIC = 0x08,
	MQTT_PROP_CORRELATION = 0x09,
	MQTT_PROP_SUBSCRIPTION_ID = 0x0b,
	MQTT_PROP_SESSION_EXPIRY = 0x11,
	MQTT_PROP_ASSIGNED_ID = 0x12,
	MQTT_PROP_SERVER_KEEPALIVE = 0x13,
	MQTT_PROP_AUTH_METHOD = 0x15,
	MQTT_PROP_AUTH_DATA = 0x16,
	MQTT_PROP_WANT_PROBLEM = 0x17,
	MQTT_PROP_WILL_DELAY = 0x18,
	MQTT_PROP_WANT_RESPONSE = 0x19,
	MQTT_PROP_RESPONSE_INFO = 0x1a,
	MQTT_PROP_SERVER_REFERENCE = 0x1c,
	MQTT_PROP_REASON = 0x1f,
	MQTT_PROP_RECEIVE_MAXIMUM = 0x21,
	MQTT_PROP_ALIAS_MAXIMUM = 0x22,
	MQTT_PROP_ALIAS = 0x23,
	MQTT_PROP_MAXIMUM_QOS = 0x24,
	MQTT_PROP_RETAIN_AVAILABLE = 0x25,
	MQTT_PROP_USER = 0x26,
	MQTT_PROP_MAXIMUM_PACKET = 0x27,
	MQTT_PROP_WILDCARD_AVAILABLE = 0x28,
	MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE = 0x29,
	MQTT_PROP_SHARED_AVAILABLE = 0x2a
};

struct mqtt_prop {
	enum mqtt_prop_id id;
	uint32_t number;
	struct bytes text;		/* of texts and binary data; of a pair the name */
	struct bytes value;		/* of a pair */
};

/* One by one. false: that was all. */
bool mqtt_prop_next(struct bytes *rest, struct mqtt_prop *);
/* The first with that id. */
bool mqtt_prop_find(struct bytes props, enum mqtt_prop_id, struct mqtt_prop *);

/* ---- writing ---- */

/* Any packet. What is given must be fit to be sent: texts not over MQTT_TEXT_MAX,
 * the whole not over MQTT_BODY_MAX. Empty ends are left out, as the protocol allows
 * (a PUBACK that says success has four bytes). */
void mqtt_write(struct buf *, const struct mqtt_packet *, enum mqtt_version);
/* A PUBLISH up to its payload, which the caller appends: `payload` bytes. */
void mqtt_write_publish(struct buf *, const struct mqtt_packet *, enum mqtt_version,
	size_t payload);
/* The same where the payload's length is known only when it has been appended:
 * `guess` bytes were said, n it was. `at` is where the packet begins in the buffer's
 * content. false: it is longer than any packet can be. */
bool mqtt_fix_publish(struct buf *, size_t at, size_t guess, size_t n);
/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
void mqtt_write_ack(struct buf *, enum mqtt_type, uint16_t id, unsigned char reason,
	enum mqtt_version);

/* Properties, appended to a list that becomes mqtt_packet.props. */
void mqtt_add_number(struct buf *, enum mqtt_prop_id, uint32_t);
void mqtt_add_text(struct buf *, enum mqtt_prop_id, struct bytes);
void mqtt_add_pair(struct buf *, struct bytes name, struct bytes value);
/* A filter, appended to the list of a SUBSCRIBE, or (options -1) UNSUBSCRIBE. */
void mqtt_add_filter(struct buf *, struct bytes filter, int options);

/* ---- rules both sides have ---- */

/* UTF-8 without NUL, not longer than a text may be. */
bool mqtt_text_valid(struct bytes);
/* Does a topic match a filter (+, #, and neither at the front of $...)? */
bool mqtt_topic_matches(struct bytes filter, struct bytes topic);

#endif
