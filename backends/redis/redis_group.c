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

void
redis_group_delivered(struct redis_sub *rs, uint64_t number, struct redis_id id)
{
	struct ledger_entry *e = ledger_add(&rs->rb->ledger, number);

	e->id = id.ms;
	e->seq = id.seq;
	e->of = rs;
}

/* Not while pending entries are on their way to us: the answer to an acknowledgement,
 * which comes by the other connection, may overtake them. */
void
redis_group_trim(struct redis_broker *rb)
{
	if (!rb->reading || !rb->rereading)
		ledger_trim(&rb->ledger);
}

void
redis_group_dropped(struct redis_broker *rb, uint64_t number)
{
	if (ledger_has(&rb->ledger, number))
		ledger_at(&rb->ledger, number)->state = LEDGER_FAILED;
}

bool
redis_group_has(const struct redis_sub *rs, struct redis_id id)
{
	const struct ledger *l = &rs->rb->ledger;

	for (uint64_t n = l->next; n-- > l->first;) {
		const struct ledger_entry *e = ledger_at(l, n);

		if (e->of == rs && e->id == id.ms && e->seq == id.seq)
			return true;
	}
	return false;
}

static void
word_of(struct buf *out, const struct ledger_entry *e)
{
	redis_id_word(out, (struct redis_id){ e->id, e->seq });
}

/* ---- acknowledging ---- */

static bool
is_acked(const struct ledger_entry *e, const struct redis_sub *rs)
{
	return e->of == rs && e->state == LEDGER_OK;
}

static void
acked(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_broker *rb = ((struct redis_conn *)p)->rb;
	const struct resp_value *v = answer;
	struct ledger *l = &rb->ledger;
	struct redis_sub *rs = e->arg;
	struct bytes address;
	struct error err;
	unsigned slot;
	bool ask;

	if (v->type == RESP_ERROR && !redis_says(v, "NOGROUP")) {
		/* What passes is said again over the next connection. */
		bool passes = redis_error(v, &err) & REDIS_PASSES ||
			redis_moved(v, &slot, &address, &ask);

		if (passes && !rb->draining) {
			if (!rb->reading && rb->main->p.ready)
				redis_stream_failed(rb->main, NULL, v);
			return;
		}
		log_warn("%.*s: not acknowledged: %s", BYTES_FMT(rs->topic), err.text);
	}
	for (uint64_t n = e->id < l->first ? l->first : e->id; n <= e->last && n < l->next; n++)
		if (is_acked(ledger_at(l, n), rs))
			ledger_done(l, n);
	redis_group_trim(rb);
	if (rb->draining)
		redis_group_drain(rb);
}

/* One command for each stream that the range has something of. */
static void
send_acks(struct redis_broker *rb, uint64_t first, uint64_t last)
{
	struct ledger *l = &rb->ledger;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		struct buf *out;
		size_t n = 0;

		for (uint64_t i = first; i <= last; i++)
			n += is_acked(ledger_at(l, i), rs);
		if (!n)
			continue;
		out = redis_command_of(rb->publisher, acked, rs, first, last, 3 + n);
		resp_word_str(out, "XACK");
		resp_word(out, rs->topic);
		resp_word_str(out, rb->group);
		for (uint64_t i = first; i <= last; i++)
			if (is_acked(ledger_at(l, i), rs))
				word_of(out, ledger_at(l, i));
	}
}

void
redis_group_ack(struct redis_broker *rb, uint64_t first, uint64_t last, bool ok)
{
	if (ledger_settle(&rb->ledger, &first, &last, ok) && ok && rb->publisher &&
	    rb->publisher->p.ready && !rb->publisher->p.failed)
		send_acks(rb, first, last);
}

/* Those that no answer has come for. */
void
redis_group_ack_again(struct redis_broker *rb)
{
	if (rb->ledger.first < rb->ledger.next)
		send_acks(rb, rb->ledger.first, rb->ledger.next - 1);
	if (rb->draining)
		redis_group_drain(rb);
}

/* Entries that were never delivered. */
void
redis_group_ack_ids(struct redis_sub *rs, const struct redis_id *id, size_t n)
{
	struct buf *out = redis_command(rs->conn, NULL, NULL, 3 + n);

	resp_word_str(out, "XACK");
	resp_word(out, rs->topic);
	resp_word_str(out, rs->rb->group);
	while (n--)
		redis_id_word(out, *id++);
}

/* ---- leaving ---- */

static struct buf *
last_command(struct redis_broker *rb, pipeline_answer *fn, void *arg, size_t nwords)
{
	rb->last_words++;
	return redis_command(rb->publisher, fn, arg, nwords);
}

static void
last_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_broker *rb = ((struct redis_conn *)p)->rb;

	(void)e, (void)answer;
	rb->last_words--;
	if (rb->draining)
		redis_group_drain(rb);
}

/* A consumer that has nothing is removed. */
static void
pending_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_broker *rb = ((struct redis_conn *)p)->rb;
	const struct resp_value *v = answer;
	struct redis_sub *rs = e->arg;
	struct buf *out;

	if (v->type == RESP_ARRAY && v->n == 0) {
		out = last_command(rb, last_reply, NULL, 5);
		resp_word_str(out, "XGROUP");
		resp_word_str(out, "DELCONSUMER");
		resp_word(out, rs->topic);
		resp_word_str(out, rb->group);
		resp_word_str(out, rb->consumer);
	}
	last_reply(p, e, answer);
}

static void
unblock_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_broker *rb = ((struct redis_conn *)p)->rb;
	const struct resp_value *v = answer;

	(void)e;
	/* 0: the read has not got so far yet, or its answer is on its way. */
	rb->unblocked = v->type != RESP_INTEGER || v->n;
	if (rb->draining)
		redis_group_drain(rb);
}

static void
client_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	const struct resp_value *v = answer;

	(void)e;
	((struct redis_conn *)p)->client_id = v->type == RESP_INTEGER ? (uint64_t)v->n : 0;
}

void
redis_group_client(struct redis_conn *c)
{
	struct buf *out;

	if (c->client_id)
		return;
	out = redis_command(c, client_reply, NULL, 2);
	resp_word_str(out, "CLIENT");
	resp_word_str(out, "ID");
}

static bool
is_left(const struct ledger_entry *e, const struct redis_sub *rs)
{
	return e->of == rs && e->state != LEDGER_DONE;
}

/* What was given to us and not printed is made to look old, so that the next member
 * that claims gets it at once. */
static void
give_back(struct redis_broker *rb, struct redis_sub *rs)
{
	const struct ledger *l = &rb->ledger;
	uint64_t i = l->first;

	while (i < l->next) {
		uint64_t end = i;
		struct buf *out;
		size_t n = 0;

		for (; end < l->next && n < IDS_AT_ONCE; end++)
			n += is_left(ledger_at(l, end), rs);
		if (!n)
			return;
		out = last_command(rb, last_reply, NULL, 5 + n + 3);
		resp_word_str(out, "XCLAIM");
		resp_word(out, rs->topic);
		resp_word_str(out, rb->group);
		resp_word_str(out, rb->consumer);
		resp_word_str(out, "0");
		for (; i < end; i++)
			if (is_left(ledger_at(l, i), rs))
				word_of(out, ledger_at(l, i));
		resp_word_str(out, "IDLE");
		resp_word_u64(out, GIVEN_BACK_MS);
		resp_word_str(out, "JUSTID");
	}
}

/* Step by step, each when the answers to the one before are there: the read that
 * waits comes back, the acknowledgements are answered, the rest is given back, and a
 * consumer with nothing pending is removed. */
void
redis_group_drain(struct redis_broker *rb)
{
	struct redis_conn *c = rb->publisher;
	struct buf *out;

	rb->draining = true;
	if (!rb->group || !c || (!c->p.ready && !rb->main->p.ready)) {
		broker_drained(&rb->b);
		return;
	}
	if (!c->p.ready || rb->last_words)
		return;
	if (rb->reading) {
		if (!rb->unblocked && rb->reading->client_id) {
			rb->unblocked = true;
			out = redis_command(c, unblock_reply, NULL, 3);
			resp_word_str(out, "CLIENT");
			resp_word_str(out, "UNBLOCK");
			resp_word_u64(out, rb->reading->client_id);
		}
		return;
	}
	if (ledger_any(&rb->ledger, LEDGER_OK))
		return;
	if (!rb->given) {
		rb->given = true;
		for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
			give_back(rb, rs);
			if (!rs->placed)
				continue;
			out = last_command(rb, pending_reply, rs, 7);
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

void
redis_group_claim(struct loop_timer *t)
{
	struct redis_broker *rb = t->arg;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (rs->placed && !rs->claim) {
			rs->claim = true;
			snprintf(rs->claim_at, sizeof rs->claim_at, "0-0");
		}
	loop_timer_set(rb->loop, t, rb->claim_ms / 2 + 1);
}
