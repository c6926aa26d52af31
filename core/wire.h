/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelope or bare body: what --wire means for a broker that has no headers of its
 * own. Written, go-micro's envelope unless it is WIRE_RAW; read, whatever it is: with
 * WIRE_AUTO what is an envelope beyond doubt, with WIRE_MICRO what go-micro's decoder
 * takes, with a warning, once, where it takes none. What is none is shown as it is,
 * and no byte of it is changed.
 */
#ifndef MBUS_CORE_WIRE_H
#define MBUS_CORE_WIRE_H

#include "backends/proto/envelope.h"
#include "core/broker.h"

/* The caps of a broker by what it writes: without an envelope there are no headers, and
 * a null body is an empty one. */
static inline unsigned
wire_caps(enum wire wire)
{
	return BROKER_RAW | (wire == WIRE_RAW ? 0 : BROKER_HEADER | BROKER_NULL_BODY);
}

void wire_write(struct buf *, const struct message *, enum wire);
/* How long that will be, seldom wrong in its number of digits. */
size_t wire_guess(const struct message *, enum wire);

/* A reader's memory, reused from one event to the next. */
struct wire_reader {
	enum wire wire;
	struct envelope envelope;
	struct buf copy;
};

void wire_reader_init(struct wire_reader *, enum wire);
void wire_reader_release(struct wire_reader *);

/* Sets ev->msg, ev->wire, ev->payload from the n bytes at p, which may be overwritten
 * if they are an envelope; ev->topic is there, for the warning. *warned: the caller's,
 * for each subscription. */
void wire_read(struct wire_reader *, char *p, size_t n, struct event *ev, bool *warned);

#endif
