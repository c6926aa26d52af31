/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: subscribing to them, what arrives on them, and who else listens. A
 * channel's subscribers get what is published while they are connected, and nothing
 * else: there is nothing to acknowledge, and nothing that waits for who was away.
 */
#include "backends/redis/redis.h"

#include <stdlib.h>
#include <time.h>

#include "core/log.h"

enum {
	AUDIENCE_EVERY_MS = 50,
	MOVES_AT_ONCE = 16,		/* of a subscription, in a row: then a pause, ... */
	MOVES_MAX = 640,		/* ... and in all */
	MOVES_PAUSE_MS = 250
};

int64_t
redis_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- finding a subscription by its topic ---- */

static size_t
topic_hash(struct bytes t)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < t.n; i++)
		h = (h ^ (unsigned char)t.p[i]) * UINT64_C(1099511628211);
	return (size_t)(h ^ (h >> 32));
}

static void
topics_rebuild(struct redis_broker *rb)
{
	size_t n = 0;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		n += rs->s != NULL;
	rb->recent = NULL;
	if (!rb->cap_topics || rb->cap_topics < n * 2) {
		free(rb->by_topic);
		for (rb->cap_topics = 16; rb->cap_topics < n * 2;)
			rb->cap_topics *= 2;
		rb->by_topic = xmalloc(rb->cap_topics * sizeof *rb->by_topic);
	}
	memset(rb->by_topic, 0, rb->cap_topics * sizeof *rb->by_topic);
	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		size_t i = topic_hash(rs->topic) & (rb->cap_topics - 1);

		while (rb->by_topic[i])
			i = (i + 1) & (rb->cap_topics - 1);
		if (rs->s)
			rb->by_topic[i] = rs;
	}
}

static struct redis_sub *
sub_of_topic(struct redis_broker *rb, struct bytes topic)
{
	size_t i;

	if (rb->recent && bytes_eq(rb->recent->topic, topic))
		return rb->recent;
	if (!rb->cap_topics)
		return NULL;
	i = topic_hash(topic) & (rb->cap_topics - 1);
	while (rb->by_topic[i] && !bytes_eq(rb->by_topic[i]->topic, topic))
		i = (i + 1) & (rb->cap_topics - 1);
	return rb->recent = rb->by_topic[i];
}

/* ---- what arrives ---- */

static void
deliver(struct redis_sub *rs, struct bytes topic, struct bytes payload)
{
	struct redis_broker *rb = rs->rb;
	struct event ev = event_none;

	ev.topic = topic;
	ev.time_us = rb->read_us;
	wire_read(&rb->wire, (char *)payload.p, payload.n, &ev, &rs->warned);
	broker_deliver(rs->s, &ev);
}

/* ---- subscribing ---- */

void
redis_sub_told(struct redis_sub *rs, const struct error *err)
{
	if (!rs->s)
		return;
	if (!rs->told) {
		rs->told = true;
		broker_subscribed(rs->s, err);
	} else if (err) {
		struct error e = *err;

		error_prefix_bytes(&e, rs->topic);
		broker_failed(&rs->rb->b, &e);
	}
}

struct redis_conn *
redis_subscriber(struct redis_broker *rb)
{
	if (!rb->subscriber)
		rb->subscriber = rb->publisher == rb->main ? redis_conn_second(rb) : rb->main;
	return rb->subscriber;
}

struct redis_conn *
redis_publisher(struct redis_broker *rb)
{
	if (!rb->publisher)
		rb->publisher = rb->subscriber == rb->main ? redis_conn_second(rb) : rb->main;
	return rb->publisher;
}

static pipeline_answer subscribed;

static void
ask(struct redis_sub *rs)
{
	static const char *const words[][2] = {
		[MODE_PUBSUB] = { "SUBSCRIBE", "PSUBSCRIBE" },
		[MODE_SHARDED] = { "SSUBSCRIBE", "SSUBSCRIBE" },
	};
	struct redis_broker *rb = rs->rb;
	struct buf *out;

	if (!rs->conn->p.ready)		/* when it is */
		return;
	out = redis_trial(rs->conn, subscribed, rs, 2);
	resp_word_str(out, words[rb->mode][rb->pattern]);
	resp_word(out, rs->topic);
	rs->placed = true;
}

void
redis_pubsub_ask(struct loop_timer *t)
{
	struct redis_broker *rb = t->arg;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next)
		if (rs->s && rs->conn && !rs->placed)
			ask(rs);
}

static void
subscribed(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p, *to;
	struct redis_sub *rs = e->arg;
	const struct resp_value *v = answer;
	struct redis_broker *rb = c->rb;
	struct error err = ERROR_INIT;
	struct bytes address;
	unsigned slot;
	bool elsewhere;

	if (v->type == RESP_ARRAY && v->n == 3) {
		rs->moves = 0;
		redis_sub_told(rs, NULL);
		return;
	}
	rs->placed = false;
	if (redis_moved(v, &slot, &address, &elsewhere) && rs->moves++ < MOVES_MAX) {
		to = redis_cluster_node(rb, c, address, &err);
		if (to && to != c) {
			redis_cluster_map(rb, slot, to);
			rs->conn = to;
			/* While a slot moves, its nodes may for a moment each say that the
			 * other has it. */
			if (rs->moves % MOVES_AT_ONCE)
				ask(rs);
			else
				loop_timer_set(rb->loop, &rb->ask, MOVES_PAUSE_MS);
			return;
		}
	}
	if (!err.kind && (redis_error_here(c, v, &err) & REDIS_PASSES) && rs->told)
		redis_fail(c, v);		/* try again later */
	else
		redis_sub_told(rs, &err);
}

/* Marks its place among the answers: see redis_pubsub_push(). */
static void
unsubscribed(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	(void)p, (void)e, (void)answer;
}

int
redis_pubsub_subscribe(struct redis_sub *rs, struct error *err)
{
	struct redis_broker *rb = rs->rb;

	if (rb->mode == MODE_SHARDED && rb->pattern)
		return error_set(err, ERR_USAGE, "sharded channels have no patterns");
	topics_rebuild(rb);
	rs->conn = redis_subscriber(rb);
	ask(rs);
	return 0;
}

void
redis_pubsub_unsubscribe(struct redis_sub *rs)
{
	static const char *const words[][2] = {
		[MODE_PUBSUB] = { "UNSUBSCRIBE", "PUNSUBSCRIBE" },
		[MODE_SHARDED] = { "SUNSUBSCRIBE", "SUNSUBSCRIBE" },
	};
	struct redis_broker *rb = rs->rb;
	struct buf *out;

	topics_rebuild(rb);
	if (!rs->conn || !rs->conn->p.ready || rs->conn->p.failed || !rs->placed)
		return;
	out = redis_command(rs->conn, unsubscribed, NULL, 2);
	resp_word_str(out, words[rb->mode][rb->pattern]);
	resp_word(out, rs->topic);
}

bool
redis_pubsub_push(struct redis_conn *c, const struct resp_value *v)
{
	struct redis_broker *rb = c->rb;
	const struct flight_entry *e;
	struct redis_sub *rs;
	struct bytes kind;

	if (v->n < 3)
		return false;
	kind = resp_bytes(&v[1]);
	if (v->n == 3 && v->size == 4 && (bytes_eq(kind, BYTES("message")) ||
	    bytes_eq(kind, BYTES("smessage")))) {
		rs = sub_of_topic(rb, resp_bytes(&v[2]));
		rb->event_ns = c->p.heard_ns;
		c->p.progress = true;
		if (rs)
			deliver(rs, resp_bytes(&v[2]), resp_bytes(&v[3]));
		return true;
	}
	if (v->n == 4 && v->size == 5 && bytes_eq(kind, BYTES("pmessage"))) {
		rs = sub_of_topic(rb, resp_bytes(&v[2]));
		rb->event_ns = c->p.heard_ns;
		c->p.progress = true;
		if (rs)
			deliver(rs, resp_bytes(&v[3]), resp_bytes(&v[4]));
		return true;
	}
	/* The slot has gone to another node, and the subscription with it. */
	if (v->n == 3 && v->size == 4 && bytes_eq(kind, BYTES("sunsubscribe")) &&
	    !((e = pipeline_front(&c->p)) && e->answer == unsubscribed)) {
		rs = sub_of_topic(rb, resp_bytes(&v[2]));
		if (rs && rs->conn == c) {
			rs->conn = rb->subscriber;
			rs->placed = false;
			log_verbose("%.*s: its slot has moved", BYTES_FMT(rs->topic));
			redis_pubsub_resume(rb->subscriber);
		}
		return true;
	}
	return false;
}

/* The connection is there (again). */
void
redis_pubsub_resume(struct redis_conn *c)
{
	struct redis_broker *rb = c->rb;
	bool lost = false;

	for (struct redis_sub *rs = rb->subs; rs; rs = rs->next) {
		if (rs->s && rs->conn == c && !rs->placed) {
			lost |= rs->told;
			ask(rs);
		}
	}
	if (lost)
		log_warn("%s: events that were published meanwhile are lost%s", link_name(c->p.link),
			rb->cut ? "; if the server had cut us for being too slow, its setting is "
			"client-output-buffer-limit pubsub" : "");
}

/* ---- who listens ---- */

static void
audience_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_broker *rb = ((struct redis_conn *)p)->rb;
	const struct resp_value *v = answer;
	audience_fn *fn = rb->audience.fn;
	bool good = v->type == RESP_ARRAY && v->n == 2 && v[2].type == RESP_INTEGER;
	struct error err;

	(void)e;
	if (!fn || (good && v[2].n < (int64_t)rb->audience.n))
		return;
	rb->audience.fn = NULL;
	loop_timer_clear(rb->loop, &rb->audience.again);
	if (!good) {
		redis_error(v, &err);
		error_prefix(&err, "cannot ask who subscribes");
	}
	fn(&rb->b, good ? NULL : &err, rb->audience.arg);
}

static void
audience_ask(struct redis_broker *rb)
{
	struct redis_conn *c;
	struct buf *out;

	if (rb->mode == MODE_SHARDED && !rb->audience.mapped) {
		rb->audience.mapped = true;
		out = redis_command(rb->main, redis_cluster_slots, NULL, 2);
		resp_word_str(out, "CLUSTER");
		resp_word_str(out, "SLOTS");
		return;
	}
	c = rb->mode == MODE_SHARDED ? redis_cluster_conn(rb, rb->audience.topic) : rb->publisher;
	if (!c->p.ready)
		return;
	out = redis_command(c, audience_reply, NULL, 3);
	resp_word_str(out, "PUBSUB");
	resp_word_str(out, rb->mode == MODE_SHARDED ? "SHARDNUMSUB" : "NUMSUB");
	resp_word(out, rb->audience.topic);
}

static void
audience_again(struct loop_timer *t)
{
	struct redis_broker *rb = t->arg;

	if (!rb->audience.fn)
		return;
	if (rb->publisher->p.ready)
		audience_ask(rb);
	loop_timer_set(rb->loop, t, AUDIENCE_EVERY_MS);
}

void
redis_pubsub_audience(struct redis_broker *rb)
{
	redis_publisher(rb);
	rb->audience.mapped = false;
	rb->audience.again.fn = audience_again;
	rb->audience.again.arg = rb;
	audience_again(&rb->audience.again);
}
