/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one event from a line of JSON: what `mbus sub -J` writes, and also the
 * lines of kcat -J, mosquitto_sub -F %j and nats sub --dump, so that a recording
 * of theirs can be published as it is. Of the lines that `mbus pub --report` writes
 * it takes the event that is in them.
 *
 * The line is decoded in place; the event borrows from it, and its headers from
 * the struct, until the next line is read.
 */
#ifndef MBUS_CLI_EVENT_JSON_H
#define MBUS_CLI_EVENT_JSON_H

#include "core/broker.h"
#include "core/buf.h"
#include "core/error.h"
#include "core/json.h"
#include "core/message.h"

struct event_json {
	/* The result. */
	struct bytes topic;		/* p NULL: the line has none */
	struct message msg;
	struct publish_options meta;	/* with keep_meta: of the line's meta */
	bool has_meta;			/* something of it was there */
	/* The user's, after event_json_init(): meta is read, too; the event's time; of meta
	 * what it was on the wire. */
	bool keep_meta, keep_time, keep_wire;
	/* Private. */
	bool empty_map;			/* of meta: no headers, but a place for them */
	bool is_fate;			/* the line is one of pub --report's */
	unsigned seen;			/* which fields the line has had */
	struct header *headers;
	size_t nheaders, cap;
	struct buf scratch;
	struct json_scan scan;
	struct json_scan event;		/* where its `event` begins; begin NULL: it has none */
};

void event_json_init(struct event_json *);
void event_json_release(struct event_json *);

/* p[0...n) is one line; it is overwritten. -1: err (ERR_USAGE) names the field:
 * "body_b64: invalid base64 (2)". */
int event_json_read(struct event_json *, char *p, size_t n, struct error *);

#endif
