/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message and event, as go-micro has them (broker.Message: Header and Body;
 * broker.Event: Topic, Message, Ack, Error), with room for what other brokers
 * add.
 *
 * Everything in them is BORROWED: from argv, from an input buffer, from a
 * library's message. It is good for the length of the call it is given to and
 * no longer; who needs it longer makes a copy with event_keep().
 */
#ifndef MBUS_CORE_MESSAGE_H
#define MBUS_CORE_MESSAGE_H

#include <stdint.h>

#include "core/bytes.h"

struct header {
	struct bytes name;
	struct bytes value;		/* p NULL: a null value (Kafka) */
};

struct message {
	const struct header *headers;	/* in the order they came */
	size_t nheaders;
	struct bytes key;		/* p NULL: no key */
	struct bytes body;		/* p NULL: a null message */
};

/* What some brokers carry beside headers (MQTT 5). p NULL, -1: there is none. */
struct properties {
	struct bytes content_type;
	struct bytes reply_to;		/* the topic an answer is wanted on */
	struct bytes correlation;	/* any bytes: which question it answers */
	int64_t ttl_ms;			/* how long it may wait in the broker */
};

extern const struct properties properties_none;

enum event_time {
	EVENT_TIME_RECV,		/* our clock, when it arrived */
	EVENT_TIME_CREATE,		/* the publisher's */
	EVENT_TIME_APPEND,		/* the broker's */
	EVENT_TIME_NONE			/* it has none */
};

enum event_wire {
	EVENT_WIRE_RAW,			/* body and native headers as they are */
	EVENT_WIRE_MICRO		/* go-micro's {"Header","Body"} envelope */
};

struct event {
	struct bytes topic;		/* the real one, not a pattern */
	struct message msg;
	struct bytes payload;		/* what the wire carried, envelope and all */
	enum event_wire wire;
	enum event_time time_kind;
	int64_t time_us;		/* microseconds since 1970, UTC */
	int64_t partition, offset;	/* -1: this broker has no such thing */
	struct bytes id;		/* the broker's own name for it, where that is no
					 * number (a stream's "ms-seq"); p NULL: none */
	int qos;			/* -1: likewise */
	bool retain;
	struct properties props;
	uint64_t number;		/* set by broker_deliver(): see broker_ack() */
};

/* An event with nothing in it: -1 where -1 means "no such thing". */
extern const struct event event_none;

/* One allocation with everything in it; event_free() gives it back. */
struct event *event_keep(const struct event *);
void event_free(struct event *);

/* The first header of that name (exact bytes), or NULL. */
const struct header *message_header(const struct message *, struct bytes name);

#endif
