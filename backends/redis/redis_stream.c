/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading streams. One read is under way at a time, for all streams together, and it
 * waits in the server (BLOCK) when there is nothing; the next is asked for when its
 * entries have been delivered. Each subscription passes through
 *
 *	place	where to begin: XREVRANGE tells the last id, and the way back from it
 *	group	XGROUP CREATE, where there is a group: then
 *	own	what this consumer was given before and has not acknowledged
 *	claim	what others have left lying for too long
 *	read	XREAD from its own place, or XREADGROUP of what nobody has got
 *
 * Without a group the place is ours, so a new connection goes on where the old one
 * ended, and nothing is lost.
 */
#include "backends/redis/redis.h"

#include <stdio.h>

#include "core/log.h"

enum { BLOCK_MAX_MS = 5000 };

/* ---- delivering ---- */

static void
deliver(struct redis_sub *rs, const struct resp_value *e, struct redis_id id)
{
	struct redis_broker *rb = rs->rb;
	bool acks = rb->group && rs->s->opts.ack != SUBSCRIBE_ACK_NONE;
	struct event ev = event_none;

	redis_entry_read(rb, &e[2], &ev.msg);
	ev.topic = rs->topic;
	ev.payload = ev.msg.body;
	ev.time_kind = EVENT_TIME_APPEND;
	ev.time_us = id.ms < INT64_MAX / 1000 ? (int64_t)id.ms * 1000 : INT64_MAX;
	ev.id = resp_bytes(&e[1]);
	if (acks)
		redis_group_delivered(rs, rb->b.delivered + 1, id);
	if (broker_deliver(rs->s, &ev) == EVENT_DROPPED && acks)
		redis_group_dropped(rb, ev.number);
}

/* Is this entry behind the end of what is wanted? A group's member takes what it was
 * given; the end is where nothing more is. */
static bool
is_behind(struct redis_sub *rs, struct redis_id id)
{
	if (rs->rb->group)
		return false;
	if (rs->s->opts.until.kind != POSITION_TIME || (int64_t)id.ms < rs->s->opts.until.n)
		return rs->s->opts.ended && redis_id_cmp(id, rs->last) > 0;
	rs->ended = true;
	broker_ended(rs->s);
	return true;
}

/* pending: they were given out before, so --ack none has to acknowledge them, too. */
static size_t
stream_entries(struct redis_sub *rs, const struct resp_value *v, struct redis_id *at, bool pending)
{
	const struct resp_value *e = v + 1;
	struct redis_id done[64], id;
	size_t ndone = 0;

	for (int64_t i = 0; i < v->n; i++, e += e->size) {
		if (e->type != RESP_ARRAY || e->n != 2 || !redis_id_parse(resp_bytes(&e[1]), &id))
			continue;
		if (at)
			*at = id;
		if (!rs->s || rs->ended || (rs->rb->group && redis_group_has(rs, id)))
			continue;
		if (e[2].type == RESP_ARRAY && !is_behind(rs, id))
			deliver(rs, e, id);
		/* A null one was deleted since it was given out. */
		if (rs->rb->group && (e[2].type != RESP_ARRAY ||
		    (pending && rs->s->opts.ack == SUBSCRIBE_ACK_NONE)))
			done[ndone++] = id;
		if (ndone == sizeof done / sizeof *done) {
			redis_group_ack_ids(rs, done, ndone);
			ndone = 0;
		}
	}
	if (ndone)
		redis_group_ack_ids(rs, done, ndone);
	return (size_t)(v->n > 0 ? v->n : 0);
}

/* ---- reading ---- */

static bool
reads(const struct redis_sub *rs)
{
	return rs->s && rs->placed && !rs->ended;
}

/* Does it end, and is nothing left to wait for? */
static bool
at_end(const struct redis_sub *rs)
{
	return !rs->rb->group && rs->s->opts.ended &&
		redis_id_cmp(rs->at, rs->last) >= 0;
}

static void
end_sub(struct redis_sub *rs)
{
	rs->ended = true;
	broker_ended(rs->s);
}

static pipeline_answer read_reply, claim_reply;

static void
read_begun(struct redis_conn *c, bool again)
{
	c->rb->reading = c;
	c->rb->rereading = again;
	c->p.heard_ns = loop_clock_ns();	/* it waits from now on */
}

static void
group_words(struct redis_broker *rb, struct buf *out)
{
	resp_word_str(out, "GROUP");
	resp_word_str(out, rb->group);
	resp_word_str(out, rb->consumer);
}

/* What was given to this consumer before. */
static void
read_own(struct redis_sub *rs)
{
	struct redis_broker *rb = rs->rb;
	struct buf *out = redis_trial(rs->conn, read_reply, rs, 9);

	resp_word_str(out, "XREADGROUP");
	group_words(rb, out);
	resp_word_str(out, "COUNT");
	resp_word_u64(out, rb->count);
	resp_word_str(out, "STREAMS");
	resp_word(out, rs->topic);
	redis_id_word(out, rs->own_at);
	read_begun(rs->conn, true);
}

static void
read_claim(struct redis_sub *rs)
{
	struct redis_broker *rb = rs->rb;
	struct buf *out = redis_trial(rs->conn, claim_reply, rs, 8);

	resp_word_str(out, "XAUTOCLAIM");
	resp_word(out, rs->topic);
	resp_word_str(out, rb->group);
	resp_word_str(out, rb->consumer);
	resp_word_u64(out, rb->claim_ms);
	resp_word_str(out, rs->claim_at);
	resp_word_str(out, "COUNT");
	resp_word_u64(out, rb->count);
	read_begun(rs->conn, true);
}

static uint64_t
block_ms(const struct redis_broker *rb)
{
	uint64_t ms = BLOCK_MAX_MS;

	if (rb->keepalive_ms && rb->keepalive_ms / 2 < ms)
		ms = rb->keepalive_ms / 2;
	if (rb->group && rb->claim_ms && rb->claim_ms / 2 < ms)
		ms = rb->claim_ms / 2;
	for (struct redis_sub *rs = rb->subs; rs && !rb->group; rs = rs->next)
		if (reads(rs) && rs->behind && ms > REDIS_MISSED_MS)
			ms = REDIS_MISSED_MS;	/* then it is looked at */
	return ms ? ms : 1;
}

static void
read_all(struct redis_broker *rb, size_t n, bool block)
{
	struct redis_conn *c = rb->subscriber;
	bool noack = false;
	struct buf *out;
	size_t nwords;

	for (struct redis_sub *rs = rb->subs; rs && rb->group; rs = rs->next)
		noack |= rs->s && rs->s->opts.ack == SUBSCRIBE_ACK_NONE;
	nwords = (rb->group ? 4 : 1) + (block ? 2 : 0) + noack + 3 + 2 * n;
	out = c->proved ? redis_command(c, read_reply, NULL, nwords) :
		redis_trial(c, read_reply, NULL, nwords);
	resp_word_str(out, rb->group ? "XREADGROUP" : "XREAD");
	if (rb->group)
		group_words(rb, out);
	resp_word_str(out, "COUNT");
	resp_word_u64(out, rb->count);
	if (block) {
		resp_word_str(out, "BLOCK");
		resp_word_u64(out, block_ms(rb));
	}
	if (noack)
		resp_word_str(out, "NOACK");
	resp_word_str(out, "STREAMS");
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (reads(rs))
			resp_word(out, rs->topic);
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (reads(rs) && rb->group)
			resp_word_str(out, ">");
		else if (reads(rs))
			redis_id_word(out, rs->at);
	read_begun(c, false);
}

/* The next read, if one is due. */
void
redis_stream_read(struct redis_broker *rb)
{
	size_t n = 0;
	bool block;

	if (rb->reading || rb->paused || rb->draining || !rb->subscriber ||
	    !rb->subscriber->p.ready || rb->subscriber->p.failed)
		return;
	block = rb->subscriber->proved;		/* the first one shows whether the server answers */
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		if (!rs->s || rs->ended)
			continue;
		if (!rs->placed)
			return;
		if (rs->own) {
			read_own(rs);
			return;
		}
		if (rs->claim) {
			read_claim(rs);
			return;
		}
		if (at_end(rs)) {
			end_sub(rs);
			continue;
		}
		if (rs->s->opts.ended)
			block = false;
		if (!rb->group)
			redis_missed_look(rs);
		n++;
	}
	if (n)
		read_all(rb, n, block);
}

static struct redis_sub *
sub_named(struct redis_broker *rb, struct bytes topic)
{
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (rs->s && bytes_eq(rs->topic, topic))
			return rs;
	return NULL;
}

/* Large replies are asked for in smaller pieces, small ones in larger. */
static void
tune_count(struct redis_broker *rb, size_t bytes, size_t entries)
{
	if (bytes > 1024 * 1024 && rb->count > 1)
		rb->count /= 2;
	else if (bytes < 256 * 1024 && entries >= rb->count && rb->count < REDIS_COUNT_MAX)
		rb->count = rb->count * 2 < REDIS_COUNT_MAX ? rb->count * 2 : REDIS_COUNT_MAX;
}

/* Nothing came, without waiting or in vain. */
static void
read_nothing(struct redis_broker *rb)
{
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (reads(rs) && rs->s->opts.ended)
			end_sub(rs);
}

/* The group was there, and is no more: the server has been emptied, or somebody
 * deleted the group or the stream. It is made again where we were. */
static void
group_gone(struct redis_broker *rb)
{
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		if (!reads(rs))
			continue;
		rs->placed = false;
		redis_stream_place(rs);
	}
}

/* After each answer: the next thing that is due. */
void
redis_stream_next(struct redis_conn *c)
{
	redis_group_trim(c->rb);
	if (c->rb->draining)
		redis_group_drain(c->rb);
	else if (!c->p.failed)
		loop_defer(c->rb->loop, &c->rb->read);
}

static void
read_all_entries(struct redis_conn *c, struct redis_sub *only, const struct resp_value *v)
{
	struct redis_broker *rb = c->rb;
	const struct resp_value *s = v + 1;
	struct redis_sub *rs;
	size_t n = 0;

	for (int64_t i = 0; v->type == RESP_ARRAY && i < v->n; i++, s += s->size) {
		if (s->type != RESP_ARRAY || s->n != 2 || s[2].type != RESP_ARRAY)
			continue;
		rs = sub_named(rb, resp_bytes(&s[1]));
		if (!rs)
			continue;
		if (only)
			n += stream_entries(rs, &s[2], &rs->own_at, true);
		else
			n += stream_entries(rs, &s[2], &rs->at, false);
		rs->seen += (uint64_t)s[2].n;
		rs->behind |= s[2].n > 1;
	}
	tune_count(rb, c->took, n);
	c->p.progress |= n && !only;
	if (only && !n)
		only->own = false;
	else if (!n)
		read_nothing(rb);
}

static void
read_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p;
	struct redis_broker *rb = c->rb;
	const struct resp_value *v = answer;

	rb->reading = NULL;
	c->proved |= !e->arg;
	if (redis_says(v, "NOGROUP") || redis_says(v, "UNBLOCKED")) {
		if (rb->group && !rb->draining)
			group_gone(rb);
	} else if (v->type != RESP_ARRAY && v->type != RESP_NULL) {
		redis_stream_failed(c, NULL, v);
	} else {
		read_all_entries(c, e->arg, v);
	}
	redis_stream_next(c);
}

/* [where to go on, entries, ids of deleted ones] */
static void
claim_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p;
	const struct resp_value *v = answer;
	struct redis_sub *rs = e->arg;
	struct bytes next, address;
	struct error err;
	unsigned slot;
	bool ask;

	c->rb->reading = NULL;
	rs->claim = false;
	if (v->type == RESP_ERROR && (redis_moved(v, &slot, &address, &ask) ||
	    redis_error(v, &err) & REDIS_PASSES)) {
		redis_stream_failed(c, NULL, v);
	} else if (v->type == RESP_ERROR && !redis_says(v, "NOGROUP")) {
		log_warn("%.*s: what others left cannot be claimed: %.*s",
			BYTES_FMT(rs->topic), (int)v->n, v->p);
	} else if (v->type == RESP_ARRAY && v->n >= 2 && v[2].type == RESP_ARRAY) {
		next = resp_bytes(&v[1]);
		snprintf(rs->claim_at, sizeof rs->claim_at, "%.*s", BYTES_FMT(next));
		rs->claim = !bytes_eq(next, BYTES("0-0"));
		stream_entries(rs, &v[2], NULL, true);
	}
	redis_stream_next(c);
}

/* ---- subscribing ---- */

int
redis_stream_subscribe(struct redis_sub *rs, struct error *err)
{
	struct redis_broker *rb = rs->rb;
	const struct subscribe_options *o = &rs->s->opts;
	bool first = rb->subs == rs && !rs->next;

	if (redis_stream_check(&o->from, o->group, err) < 0)
		return -1;
	if (!first && (!o->group != !rb->group || (o->group && strcmp(o->group, rb->group) != 0)))
		return error_set(err, ERR_USAGE, "all subscriptions are of one group");
	if (o->group && !*o->group)
		return error_set(err, ERR_USAGE, "the redis broker has no empty group");
	rb->group = o->group;
	rs->conn = redis_subscriber(rb);
	if (rb->group)
		redis_publisher(rb);
	if (rb->group && rb->claim_ms && !loop_timer_is_set(&rb->claim))
		loop_timer_set(rb->loop, &rb->claim, rb->claim_ms / 2 + 1);
	redis_stream_place(rs);
	return 0;
}

void
redis_stream_resume(struct redis_conn *c)
{
	struct redis_broker *rb = c->rb;

	if (rb->group && c == rb->publisher)
		redis_group_ack_again(rb);
	if (c != rb->subscriber)
		return;
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		if (!rs->s || rs->ended)
			continue;
		if (rs->told && rb->group) {
			rs->placed = false;	/* an emptied server has no group */
			redis_stream_place(rs);
		} else if (!rs->placed) {
			redis_stream_place(rs);
		}
		rs->behind = true;
	}
	loop_defer(rb->loop, &rb->read);
}
