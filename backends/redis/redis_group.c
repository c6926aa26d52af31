/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's member: what it was given and has not acknowledged yet, and how it
 * leaves. The server keeps a list of what each consumer was given ("pending"); an
 * acknowledged entry leaves the list, one that was left lying is claimed by another
 * member after a while (XAUTOCLAIM).
 *
 * The ring has all deliveries from the oldest that the server still counts as
 * pending. An XACK that got lost with its connection is sent again.
 */
#include "backends/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"

/* So long ago were entries delivered that are given back, as far as others see. */
#define GIVEN_BACK_MS (24 * 3600 * 1000u)

enum { IDS_AT_ONCE = 1000 };

static struct redis_delivery *
delivery(struct redis_broker *rb, uint64_t number)
{
	return &rb->ring[number & (rb->cap_ring - 1)];
}

static void
ring_grow(struct redis_broker *rb)
{
	size_t old = rb->cap_ring;
	struct redis_delivery *ring = rb->ring;

	rb->cap_ring = old ? old * 2 : 256;
	rb->ring = xcalloc(rb->cap_ring, sizeof *rb->ring);
	for (uint64_t n = rb->oldest; n < rb->newest; n++)
		*delivery(rb, n) = ring[n & (old - 1)];
	free(ring);
}

void
group_delivered(struct redis_sub *rs, uint64_t number, struct redis_id id)
{
	struct redis_broker *rb = rs->rb;

	if (rb->oldest == rb->newest)
		rb->oldest = rb->newest = number;
	/* Numbers between may be of what nobody acknowledges. */
	while (rb->newest <= number) {
		if (rb->newest - rb->oldest == rb->cap_ring)
			ring_grow(rb);
		*delivery(rb, rb->newest++) = (struct redis_delivery){ .state = DELIVERY_DONE };
	}
	*delivery(rb, number) = (struct redis_delivery){ id, rs, DELIVERY_OUT };
}

/* Not while pending entries are on their way to us: the answer to an acknowledgement,
 * which comes by the other connection, may overtake them. */
void
group_trim(struct redis_broker *rb)
{
	if (rb->reading && rb->rereading)
		return;
	while (rb->oldest < rb->newest && delivery(rb, rb->oldest)->state == DELIVERY_DONE)
		rb->oldest++;
}

void
group_dropped(struct redis_broker *rb, uint64_t number)
{
	if (number >= rb->oldest && number < rb->newest)
		delivery(rb, number)->state = DELIVERY_FAILED;
}

bool
group_has(const struct redis_sub *rs, struct redis_id id)
{
	struct redis_broker *rb = rs->rb;

	for (uint64_t n = rb->newest; n-- > rb->oldest;) {
		const struct redis_delivery *d = delivery(rb, n);

		if (d->rs == rs && id_cmp(d->id, id) == 0)
			return true;
	}
	return false;
}

/* ---- acknowledging ---- */

/* One command for each stream that the range has something of. */
static void
send_acks(struct redis_broker *rb, uint64_t first, uint64_t last)
{
	struct redis_conn *c = rb->publisher;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		struct flight_entry *e;
		struct buf *out;
		size_t n = 0;

		for (uint64_t i = first; i <= last; i++)
			n += delivery(rb, i)->rs == rs && delivery(rb, i)->state == DELIVERY_ACKED;
		if (!n)
			continue;
		out = conn_command(c, EXPECT_ACK, first, 3 + n);
		e = flight_at(&c->flight, c->flight.next - 1);
		e->size = last;
		e->copy = rs;
		resp_word_str(out, "XACK");
		resp_word(out, rs->topic);
		resp_word_str(out, rb->group);
		for (uint64_t i = first; i <= last; i++)
			if (delivery(rb, i)->rs == rs && delivery(rb, i)->state == DELIVERY_ACKED)
				id_word(out, delivery(rb, i)->id);
	}
}

void
group_ack(struct redis_broker *rb, uint64_t first, uint64_t last, bool ok)
{
	if (first < rb->oldest)
		first = rb->oldest;
	if (last >= rb->newest)
		last = rb->newest - 1;
	if (rb->oldest == rb->newest || first > last)
		return;
	for (uint64_t i = first; i <= last; i++)
		if (delivery(rb, i)->state == DELIVERY_OUT)
			delivery(rb, i)->state = ok ? DELIVERY_ACKED : DELIVERY_FAILED;
	if (ok && rb->publisher && rb->publisher->ready && !rb->publisher->failed)
		send_acks(rb, first, last);
}

/* Those that no answer has come for. */
void
group_ack_again(struct redis_broker *rb)
{
	if (rb->oldest < rb->newest)
		send_acks(rb, rb->oldest, rb->newest - 1);
	if (rb->draining)
		group_drain(rb);
}

/* Entries that were never delivered. */
void
group_ack_ids(struct redis_sub *rs, const struct redis_id *id, size_t n)
{
	struct redis_conn *c = rs->conn;
	struct buf *out = conn_command(c, EXPECT_NOTHING, 0, 3 + n);

	resp_word_str(out, "XACK");
	resp_word(out, rs->topic);
	resp_word_str(out, rs->rb->group);
	while (n--)
		id_word(out, *id++);
}

static void
acked(struct redis_broker *rb, uint64_t first, uint64_t last, const struct redis_sub *rs)
{
	if (first < rb->oldest)
		first = rb->oldest;
	for (uint64_t i = first; i <= last && i < rb->newest; i++)
		if (delivery(rb, i)->rs == rs && delivery(rb, i)->state == DELIVERY_ACKED)
			delivery(rb, i)->state = DELIVERY_DONE;
	group_trim(rb);
}

/* ---- leaving ---- */

static bool
acks_under_way(struct redis_broker *rb)
{
	for (uint64_t i = rb->oldest; i < rb->newest; i++)
		if (delivery(rb, i)->state == DELIVERY_ACKED)
			return true;
	return false;
}

static struct buf *
last_command(struct redis_broker *rb, enum redis_expect what, uint64_t id, size_t nwords)
{
	rb->last_words++;
	return conn_command(rb->publisher, what, id, nwords);
}

/* What was given to us and not printed is made to look old, so that the next member
 * that claims gets it at once. */
static void
give_back(struct redis_broker *rb, struct redis_sub *rs)
{
	uint64_t i = rb->oldest;

	while (i < rb->newest) {
		uint64_t end = i;
		struct buf *out;
		size_t n = 0;

		for (; end < rb->newest && n < IDS_AT_ONCE; end++)
			n += delivery(rb, end)->rs == rs && delivery(rb, end)->state != DELIVERY_DONE;
		if (!n)
			return;
		out = last_command(rb, EXPECT_LAST, 0, 5 + n + 3);
		resp_word_str(out, "XCLAIM");
		resp_word(out, rs->topic);
		resp_word_str(out, rb->group);
		resp_word_str(out, rb->consumer);
		resp_word_str(out, "0");
		for (; i < end; i++)
			if (delivery(rb, i)->rs == rs && delivery(rb, i)->state != DELIVERY_DONE)
				id_word(out, delivery(rb, i)->id);
		resp_word_str(out, "IDLE");
		resp_word_u64(out, GIVEN_BACK_MS);
		resp_word_str(out, "JUSTID");
	}
}

/* Step by step, each when the answers to the one before are there: the read that
 * waits comes back, the acknowledgements are answered, the rest is given back, and a
 * consumer with nothing pending is removed. */
void
group_drain(struct redis_broker *rb)
{
	struct redis_conn *c = rb->publisher;
	struct buf *out;

	rb->draining = true;
	if (!rb->group || !c || (!c->ready && !rb->main->ready)) {
		broker_drained(&rb->b);
		return;
	}
	if (!c->ready || rb->last_words)
		return;
	if (rb->reading) {
		if (!rb->unblocked && rb->reading->client_id) {
			rb->unblocked = true;
			out = conn_command(c, EXPECT_UNBLOCK, 0, 3);
			resp_word_str(out, "CLIENT");
			resp_word_str(out, "UNBLOCK");
			resp_word_u64(out, rb->reading->client_id);
		}
		return;
	}
	if (acks_under_way(rb))
		return;
	if (!rb->given) {
		rb->given = true;
		for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
			give_back(rb, rs);
			if (!rs->placed)
				continue;
			out = last_command(rb, EXPECT_PENDING, rs->cookie, 7);
			resp_word_str(out, "XPENDING");
			resp_word(out, rs->topic);
			resp_word_str(out, rb->group);
			resp_word_str(out, "-");
			resp_word_str(out, "+");
			resp_word_str(out, "1");
			resp_word_str(out, rb->consumer);
		}
	}
	if (!rb->last_words)
		broker_drained(&rb->b);
}

static void
remove_consumer(struct redis_sub *rs)
{
	struct buf *out = last_command(rs->rb, EXPECT_LAST, 0, 5);

	resp_word_str(out, "XGROUP");
	resp_word_str(out, "DELCONSUMER");
	resp_word(out, rs->topic);
	resp_word_str(out, rs->rb->group);
	resp_word_str(out, rs->rb->consumer);
}

void
group_reply(struct redis_conn *c, const struct flight_entry *e, struct redis_sub *rs,
	const struct resp_value *v)
{
	struct redis_broker *rb = c->rb;
	struct error err;

	if (e->state == EXPECT_ACK) {
		if (v->type == RESP_ERROR && !redis_says(v, "NOGROUP")) {
			redis_error(v, &err);
			log_warn("%.*s: not acknowledged: %s", BYTES_FMT(rs->topic), err.text);
		}
		acked(rb, e->id, e->size, rs);
	} else if (e->state == EXPECT_UNBLOCK) {
		/* 0: the read has not got so far yet, or its answer is on its way. */
		rb->unblocked = v->type != RESP_INTEGER || v->n;
	} else {
		rb->last_words--;
		if (e->state == EXPECT_PENDING && rs && v->type == RESP_ARRAY && v->n == 0)
			remove_consumer(rs);
	}
	if (rb->draining)
		group_drain(rb);
}

void
group_claim(struct loop_timer *t)
{
	struct redis_broker *rb = t->arg;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (rs->placed && !rs->claim) {
			rs->claim = true;
			snprintf(rs->claim_at, sizeof rs->claim_at, "0-0");
		}
	loop_timer_set(rb->loop, t, rb->claim_ms / 2 + 1);
}
