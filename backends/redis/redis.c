/* SPDX-License-Identifier: Apache-2.0 */
/* The redis broker: its options and its ops; see redis.h for the plan. */
#include "backends/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/units.h"

static const struct broker_option redis_options[] = {
	{ "mode", "pubsub|sharded|stream", "pubsub",
		"channels, as go-micro has them; channels of a cluster's slots; or streams, which "
		"keep the events" },
	{ "pattern", "yes|no", "no", "the topics of sub are patterns (PSUBSCRIBE)" },
	{ "db", "N", NULL, "the database; also the path of the URL: redis://HOST/N" },
	{ "keepalive", "TIME", "30s",
		"a server that says nothing for so long is gone; 0: never" },
	{ "reply_max", "SIZE", "512M", "the largest reply, and so the largest event, taken" },
	{ "trim", "[~]N", NULL,
		"streams: keep the last N entries when one is added, with ~ at least so many" },
	{ "claim", "TIME", "60s",
		"streams: take over what a group's member has left lying for so long; 0: never" },
	{ "consumer", "NAME", NULL, "streams: this member's name in the group" },
	{ NULL, NULL, NULL, NULL }
};

static struct redis_broker *
redis_of(struct broker *b)
{
	return (struct redis_broker *)b;
}

struct redis_sub *
sub_by_cookie(struct redis_broker *rb, uint64_t cookie)
{
	struct redis_sub *rs = cookie ? rb->subs : NULL;

	while (rs && rs->cookie != cookie)
		rs = rs->next;
	return rs;
}

/* ---- options ---- */

static int
read_mode(struct redis_broker *rb, struct error *err)
{
	static const char *const modes[] = {
		[MODE_PUBSUB] = "pubsub", [MODE_SHARDED] = "sharded", [MODE_STREAM] = "stream",
	};
	const char *mode = broker_xopt(&rb->b, "mode"), *pattern = broker_xopt(&rb->b, "pattern");
	unsigned m = 0;

	while (m <= MODE_STREAM && strcmp(mode, modes[m]) != 0)
		m++;
	if (m > MODE_STREAM)
		return error_set(err, ERR_USAGE, "-X redis.mode=%.60s: one of pubsub, sharded, stream",
			mode);
	rb->mode = (enum redis_mode)m;
	rb->pattern = strcmp(pattern, "yes") == 0;
	if (!rb->pattern && strcmp(pattern, "no") != 0)
		return error_set(err, ERR_USAGE, "-X redis.pattern=%.60s: yes or no", pattern);
	if (rb->pattern && rb->mode != MODE_PUBSUB)
		return error_set(err, ERR_USAGE, "-X redis.pattern goes with -X redis.mode=pubsub");
	return 0;
}

static int
read_trim(struct redis_broker *rb, struct error *err)
{
	const char *trim = broker_xopt(&rb->b, "trim"), *claim = broker_xopt(&rb->b, "claim");
	const char *consumer = broker_xopt(&rb->b, "consumer");
	char made[200];

	if (trim && rb->mode != MODE_STREAM)
		return error_set(err, ERR_USAGE, "-X redis.trim goes with -X redis.mode=stream");
	if (trim) {
		rb->trim_about = *trim == '~';
		if (!units_count(trim + rb->trim_about, UINT32_MAX, &rb->trim) || !rb->trim)
			return error_set(err, ERR_USAGE, "-X redis.trim=%.60s: a number from 1, or ~ "
				"and a number", trim);
	}
	if (!units_duration_ms(claim, &rb->claim_ms))
		return error_set(err, ERR_USAGE, "-X redis.claim=%.60s: a time, such as 60s", claim);
	if (consumer && !*consumer)
		return error_set(err, ERR_USAGE, "-X redis.consumer: a name");
	rb->named = consumer != NULL;
	if (!consumer) {
		char host[64] = "";
		unsigned tail = (unsigned)(loop_clock_ns() & 0xffff);

		gethostname(host, sizeof host - 1);
		snprintf(made, sizeof made, "mbus-%s-%d-%04x", host, (int)getpid(), tail);
		consumer = made;
	}
	rb->consumer = xstrdup(consumer);
	return 0;
}

static int
read_options(struct redis_broker *rb, struct error *err)
{
	const char *db = broker_xopt(&rb->b, "db"), *alive = broker_xopt(&rb->b, "keepalive");
	const char *max = broker_xopt(&rb->b, "reply_max");
	uint64_t n;

	rb->db = -1;
	if (db && !units_count(db, 1000000, &n))
		return error_set(err, ERR_USAGE, "-X redis.db=%.60s: a number", db);
	if (db)
		rb->db = (int64_t)n;
	if (!units_duration_ms(alive, &rb->keepalive_ms))
		return error_set(err, ERR_USAGE, "-X redis.keepalive=%.60s: a time, such as 30s",
			alive);
	if (!units_size(max, &rb->reply_max) || rb->reply_max < 64 * 1024 ||
	    rb->reply_max > 1ull << 32)
		return error_set(err, ERR_USAGE, "-X redis.reply_max=%.60s: a size from 64K to 4G",
			max);
	return read_mode(rb, err) < 0 ? -1 : read_trim(rb, err);
}

/* What an event may have depends on what it is written as. */
static unsigned
caps_of(const struct redis_broker *rb)
{
	unsigned always = BROKER_TLS | BROKER_USER | BROKER_RECONNECT | BROKER_RAW |
		BROKER_ACK_CHOICE | BROKER_BINARY_TOPIC;
	/* Refused by subscribe(), in words that name streams. */
	unsigned asked = BROKER_GROUP | BROKER_OFFSET | BROKER_END;

	if (rb->mode == MODE_STREAM)
		return always | asked | BROKER_ACK | BROKER_HEADER | BROKER_KEY | BROKER_NULL_BODY |
			BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER;
	if (rb->b.opts.wire == WIRE_RAW)
		return always | asked | BROKER_AUDIENCE;
	return always | asked | BROKER_AUDIENCE | BROKER_HEADER | BROKER_NULL_BODY;
}

/* ---- life ---- */

static void
read_task(struct loop_task *t)
{
	stream_read(t->arg);
}

static int
redis_init(struct broker *b, struct error *err)
{
	struct redis_broker *rb = redis_of(b);

	rb->loop = b->loop;
	rb->count = 100;
	rb->read.fn = read_task;
	rb->claim.fn = group_claim;
	rb->ask.fn = pubsub_ask;
	rb->read.arg = rb->claim.arg = rb->ask.arg = rb;
	envelope_init(&rb->envelope);
	if (read_options(rb, err) < 0)
		return -1;
	if (b->opts.ack == PUBLISH_ACK_ALL)
		return error_set(err, ERR_NOTFOUND, "--ack all: the redis broker does not wait for "
			"replicas");
	b->caps = caps_of(rb);
	rb->main = conn_new(rb, ROLE_MAIN, NULL, err);
	return rb->main ? 0 : -1;
}

static int
redis_connect(struct broker *b, struct error *err)
{
	(void)err;
	link_start(redis_of(b)->main->link);
	return 0;
}

static void
redis_disconnect(struct broker *b)
{
	struct redis_broker *rb = redis_of(b);

	loop_timer_clear(rb->loop, &rb->claim);
	loop_timer_clear(rb->loop, &rb->ask);
	loop_timer_clear(rb->loop, &rb->audience.again);
	loop_task_cancel(&rb->read);
	rb->audience.fn = NULL;
	for (size_t i = 0; i < rb->nnodes; i++)
		link_close(rb->nodes[i]->link);
	if (rb->second)
		link_close(rb->second->link);
	if (rb->main)
		link_close(rb->main->link);
	if (rb->events)
		log_verbose("redis: %llu events, %llu deliveries to subscribers, %llu events reached "
			"nobody", (unsigned long long)rb->events, (unsigned long long)rb->receivers,
			(unsigned long long)rb->nobody);
	rb->events = 0;
}

static void
redis_release(struct broker *b)
{
	struct redis_broker *rb = redis_of(b);
	struct redis_sub *rs, *next;

	redis_disconnect(b);
	cluster_release(rb);
	conn_free(rb->second);
	conn_free(rb->main);
	for (rs = rb->subs; rs; rs = next) {
		next = rs->next;
		free((char *)rs->topic.p);
		free(rs);
	}
	envelope_release(&rb->envelope);
	buf_release(&rb->head);
	free(rb->by_topic);
	free(rb->headers);
	free(rb->ring);
	free(rb->consumer);
	free((char *)rb->audience.topic.p);
}

static const char *
redis_address(struct broker *b)
{
	struct redis_broker *rb = redis_of(b);

	return rb->main ? link_name(rb->main->link) : NULL;
}

/* ---- publishing and subscribing ---- */

static int
redis_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return pub_event(redis_of(b), p, err);
}

static int
check_subscription(struct redis_broker *rb, const struct subscribe_options *o, struct error *err)
{
	const char *what = o->group ? "no groups (every subscriber gets every event)" :
		o->from.kind || o->until.kind || o->ended ? "no past" : NULL;

	if (rb->mode != MODE_STREAM && what)
		return error_set(err, ERR_NOTFOUND, "channels of Redis have %s; streams have: "
			"-X redis.mode=stream", what);
	return 0;
}

static int
redis_subscribe(struct subscription *s, struct error *err)
{
	struct redis_broker *rb = redis_of(s->broker);
	struct redis_sub *rs, **end = &rb->subs;

	if (check_subscription(rb, &s->opts, err) < 0)
		return -1;
	rs = xcalloc(1, sizeof *rs);
	rs->rb = rb;
	rs->s = s;
	rs->topic = bytes_of(xmemdup0(s->topic.p, s->topic.n), s->topic.n);
	rs->cookie = ++rb->cookies;
	s->priv = rs;
	while (*end)
		end = &(*end)->next;
	*end = rs;
	return rb->mode == MODE_STREAM ? stream_subscribe(rs, err) : pubsub_subscribe(rs, err);
}

static void
redis_unsubscribe(struct subscription *s)
{
	struct redis_sub *rs = s->priv;

	if (!rs)
		return;
	rs->s = NULL;
	s->priv = NULL;
	if (rs->rb->mode != MODE_STREAM)
		pubsub_unsubscribe(rs);
}

static void
redis_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	group_ack(redis_of(b), first, last, ok);
}

static void
redis_pause(struct broker *b, bool on)
{
	struct redis_broker *rb = redis_of(b);

	rb->paused = on;
	rb->paused_ns = loop_clock_ns();
	if (rb->subscriber)
		link_pause(rb->subscriber->link, on);
	for (size_t i = 0; i < rb->nnodes; i++)
		link_pause(rb->nodes[i]->link, on);
	if (!on && rb->mode == MODE_STREAM)
		loop_defer(rb->loop, &rb->read);
}

static void
redis_drain(struct broker *b)
{
	struct redis_broker *rb = redis_of(b);

	if (rb->mode == MODE_STREAM && rb->group) {
		if (rb->paused)
			redis_pause(b, false);
		group_drain(rb);
	} else {
		broker_drained(b);
	}
}

static int
redis_audience(struct broker *b, struct bytes topic, unsigned n, audience_fn *fn, void *arg,
	struct error *err)
{
	struct redis_broker *rb = redis_of(b);

	free((char *)rb->audience.topic.p);
	rb->audience.topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
	rb->audience.n = n;
	rb->audience.fn = fn;
	rb->audience.arg = arg;
	return pubsub_audience(rb, err);
}

const struct broker_ops redis_broker_ops = {
	.name = "redis",
	.default_address = "127.0.0.1:6379",
	.caps = BROKER_HEADER | BROKER_NULL_BODY | BROKER_KEY | BROKER_REPEAT_HEADER |
		BROKER_BINARY_HEADER | BROKER_BINARY_TOPIC | BROKER_GROUP | BROKER_ACK |
		BROKER_OFFSET | BROKER_END | BROKER_AUDIENCE | BROKER_TLS | BROKER_USER |
		BROKER_RECONNECT | BROKER_RAW | BROKER_ACK_CHOICE,
	.size = sizeof(struct redis_broker),
	.options = redis_options,
	.init = redis_init,
	.release = redis_release,
	.connect = redis_connect,
	.disconnect = redis_disconnect,
	.publish = redis_publish,
	.subscribe = redis_subscribe,
	.unsubscribe = redis_unsubscribe,
	.ack = redis_ack,
	.pause = redis_pause,
	.drain = redis_drain,
	.audience = redis_audience,
	.address = redis_address,
};

MODULE_BROKER(redis_broker_ops);
