/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go-micro's message on the wire of every broker without headers of its own:
 *
 *	{"Header":{"k":"v"},"Body":"aGVsbG8="}
 *
 * Written byte for byte as Go's encoding/json writes it (key order,
 * sorted names, escapes, padded base64, null for what is not there) and read as its
 * decoder reads it (any case of the two keys, unknown ones skipped, last one wins,
 * headers merge, Body as string or array of bytes).
 * No I/O, no clock. What a decode allocates lives in its struct and is reused.
 */
#ifndef MBUS_PROTO_ENVELOPE_H
#define MBUS_PROTO_ENVELOPE_H

#include "core/buf.h"
#include "core/json.h"
#include "core/message.h"

/* Appends the envelope. extra: headers the broker adds (the topic header), which
 * overwrite those of the same name in msg. A name twice in msg: the last wins.
 * Header values that are not there are written as "". The order is by bytes. No
 * header at all is "Header":null if msg->headers is NULL, else "Header":{}; no
 * body is null if body.p is NULL, else "". Up to 32 headers take no memory. */
void envelope_write(struct buf *, const struct message *, const struct header *extra,
	size_t nextra);

/* A decoder's memory, reused from one message to the next. */
struct envelope {
	struct message msg;		/* the result: borrows from input and from here */
	struct header *headers;
	size_t cap;
	struct buf scratch;		/* what could not be decoded in place */
	struct json_scan scan;
	char error[160];		/* Go's words: "unexpected end of JSON input",
					 * "illegal base64 data at input byte 0", "json:
					 * cannot unmarshal number into Go struct field
					 * Message.Header of type string"; cut if longer */
};

void envelope_init(struct envelope *);
void envelope_release(struct envelope *);

/* Decodes in place: p[0...n) is overwritten. Headers come out sorted by name,
 * each name once. Header absent or null: msg.headers NULL; body absent or null:
 * msg.body.p NULL. Returns 0, or -1 with e->error set. The literal null is an
 * error here ("json: cannot unmarshal null into ..."). */
int envelope_read(struct envelope *, char *p, size_t n);

/* For brokers that may carry bare bodies as well: is this text one JSON object
 * whose only keys are Header (object of strings, or null) and Body (base64
 * string, or null)? Both must be there. Does not change p. */
bool envelope_looks_like(const char *p, size_t n);

#endif
