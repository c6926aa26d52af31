/* SPDX-License-Identifier: Apache-2.0 */
/* The redis broker: its options and its ops; see redis.h for the plan. */
#include "backends/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/units.h"

#define AT(type, member) XOPT_##type(struct redis_broker, member)

static const struct broker_option redis_options[] = {
	{ "mode", "pubsub|sharded|stream", "pubsub",
		"channels, as go-micro has them; channels of a cluster's slots; or streams, which "
		"keep the events", AT(CHOICE, mode) },
	{ "pattern", "yes|no", "no", "the topics are patterns (PSUBSCRIBE)",
		AT(BOOL, pattern), .use = BROKER_FOR_SUB },
	{ "db", "N", NULL, "the database; also the path of the URL: redis://HOST/N",
		AT(COUNT, db), .most = 1000000 },
	{ "keepalive", "TIME", "30s",
		"a server that says nothing for so long is gone; 0: never", AT(TIME, keepalive_ms) },
	{ "reply_max", "SIZE", "512M", "the largest reply, and so the largest event, taken",
		AT(SIZE, reply_max), .least = 64 << 10, .most = 1ull << 32 },
	{ "trim", "[~]N", NULL,
		"streams: keep the last N entries when one is added, with ~ at least so many",
		.use = BROKER_FOR_PUB },
	{ "claim", "TIME", "60s",
		"streams: take over what a group's member has left lying for so long; 0: never",
		AT(TIME, claim_ms), .use = BROKER_FOR_SUB },
	{ "consumer", "NAME", NULL, "streams: this member's name in the group",
		.use = BROKER_FOR_SUB },
	{ "scan", "N", "100000", "keys that are looked at for streams; 0: all",
		AT(COUNT, scan), .use = BROKER_FOR_TOPICS },
	{ NULL, NULL, NULL, NULL }
};

static struct redis_broker *
redis_of(struct broker *b)
{
	return (struct redis_broker *)b;
}

/* ---- options ---- */

static int
check_options(struct redis_broker *rb, struct error *err)
{
	const char *trim = broker_xopt(&rb->b, "trim"), *consumer = broker_xopt(&rb->b, "consumer");

	rb->db_given = broker_xopt(&rb->b, "db") != NULL;
	if (rb->pattern && rb->mode != MODE_PUBSUB)
		return error_set(err, ERR_USAGE, "-X redis.pattern goes with -X redis.mode=pubsub");
	if (trim && rb->mode != MODE_STREAM)
		return error_set(err, ERR_USAGE, "-X redis.trim goes with -X redis.mode=stream");
	if (trim) {
		rb->trim_about = *trim == '~';
		if (!units_count(trim + rb->trim_about, UINT32_MAX, &rb->trim) || !rb->trim)
			return error_set(err, ERR_USAGE, "-X redis.trim=%.60s: a number from 1, or ~ "
				"and a number", trim);
	}
	if (consumer && !*consumer)
		return error_set(err, ERR_USAGE, "-X redis.consumer: a name");
	return 0;
}

static void
name_consumer(struct redis_broker *rb)
{
	const char *consumer = broker_xopt(&rb->b, "consumer");
	char host[64] = "", made[200];

	rb->named = consumer != NULL;
	if (!consumer) {
		gethostname(host, sizeof host - 1);
		snprintf(made, sizeof made, "mbus-%s-%d-%04x", host, (int)getpid(),
			(unsigned)(loop_clock_ns() & 0xffff));
		consumer = made;
	}
	rb->consumer = xstrdup(consumer);
}

/* What an event may have depends on what it is written as. */
static unsigned
caps_of(const struct redis_broker *rb)
{
	unsigned always = BROKER_TLS | BROKER_USER | BROKER_RECONNECT | BROKER_RAW |
		BROKER_ACK_CHOICE | BROKER_BINARY_TOPIC;

	if (rb->mode == MODE_STREAM)
		return always | BROKER_GROUP | BROKER_OFFSET | BROKER_END | BROKER_ACK | BROKER_HEADER | BROKER_KEY | BROKER_NULL_BODY |
			BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER;
	if (rb->b.opts.wire == WIRE_RAW)
		return always | BROKER_AUDIENCE;
	return always | BROKER_AUDIENCE | BROKER_HEADER | BROKER_NULL_BODY;
}

static const char *
redis_lacks(const struct broker *b, unsigned caps)
{
	const struct redis_broker *rb = (const struct redis_broker *)b;

	if (rb->mode == MODE_STREAM)
		return caps & BROKER_AUDIENCE ? "nobody knows who reads a stream (mbus topics "
			"shows its groups)" : NULL;
	if (caps & BROKER_GROUP)
		return "channels of Redis have no groups; streams have: -X redis.mode=stream";
	if (caps & (BROKER_OFFSET | BROKER_END | BROKER_ACK))
		return "channels of Redis have no past; streams have: -X redis.mode=stream";
	if (caps & BROKER_KEY)
		return "channels of Redis have no keys; streams have: -X redis.mode=stream "
			"(--omit key leaves it out)";
	if (caps & (BROKER_HEADER | BROKER_NULL_BODY))
		return "the bare body of a channel has no room for it; go-micro's envelope has "
			"(--wire micro), and streams (-X redis.mode=stream)";
	return NULL;
}

/* ---- life ---- */

static void
read_task(struct loop_task *t)
{
	redis_stream_read(t->arg);
}

static int
redis_init(struct broker *b, struct error *err)
{
	struct redis_broker *rb = redis_of(b);

	rb->loop = b->loop;
	rb->count = 100;
	rb->read.fn = read_task;
	rb->claim.fn = redis_group_claim;
	rb->ask.fn = redis_pubsub_ask;
	rb->read.arg = rb->claim.arg = rb->ask.arg = rb;
	wire_reader_init(&rb->wire, b->opts.wire);
	if (check_options(rb, err) < 0)
		return -1;
	name_consumer(rb);
	if (b->opts.ack == PUBLISH_ACK_ALL)
		return error_set(err, ERR_NOTFOUND, "--ack all: the redis broker does not wait for "
			"replicas");
	b->caps = caps_of(rb);
	rb->main = redis_conn_new(rb, ROLE_MAIN, NULL, err);
	return rb->main ? 0 : -1;
}

static int
redis_connect(struct broker *b, struct error *err)
{
	(void)err;
	pipeline_start(&redis_of(b)->main->p);
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
	redis_list_release(rb);
	for (size_t i = 0; i < rb->nnodes; i++)
		pipeline_close(&rb->nodes[i]->p);
	if (rb->second)
		pipeline_close(&rb->second->p);
	if (rb->main)
		pipeline_close(&rb->main->p);
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
	redis_cluster_release(rb);
	redis_conn_free(rb->second);
	redis_conn_free(rb->main);
	for (rs = rb->subs; rs; rs = next) {
		next = rs->next;
		free((char *)rs->topic.p);
		free(rs);
	}
	wire_reader_release(&rb->wire);
	buf_release(&rb->head);
	free(rb->by_topic);
	free(rb->headers);
	ledger_release(&rb->ledger);
	free(rb->consumer);
	free((char *)rb->audience.topic.p);
}

static const char *
redis_address(struct broker *b)
{
	struct redis_broker *rb = redis_of(b);

	return rb->main ? link_name(rb->main->p.link) : NULL;
}

/* ---- publishing and subscribing ---- */

static int
redis_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return redis_pub_event(redis_of(b), p, err);
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
	s->priv = rs;
	while (*end)
		end = &(*end)->next;
	*end = rs;
	return rb->mode == MODE_STREAM ? redis_stream_subscribe(rs, err) : redis_pubsub_subscribe(rs, err);
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
		redis_pubsub_unsubscribe(rs);
}

static void
redis_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	redis_group_ack(redis_of(b), first, last, ok);
}

static void
redis_pause(struct broker *b, bool on)
{
	struct redis_broker *rb = redis_of(b);

	rb->paused = on;
	rb->paused_ns = loop_clock_ns();
	if (rb->subscriber)
		pipeline_pause(&rb->subscriber->p, on);
	for (size_t i = 0; i < rb->nnodes; i++)
		pipeline_pause(&rb->nodes[i]->p, on);
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
		redis_group_drain(rb);
	} else {
		broker_drained(b);
	}
}

static int
redis_audience(struct broker *b, struct bytes topic, unsigned n, audience_fn *fn, void *arg,
	struct error *err)
{
	struct redis_broker *rb = redis_of(b);

	(void)err;
	free((char *)rb->audience.topic.p);
	rb->audience.topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
	rb->audience.n = n;
	rb->audience.fn = fn;
	rb->audience.arg = arg;
	redis_pubsub_audience(rb);
	return 0;
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
	.lacks = redis_lacks,
	.connect = redis_connect,
	.disconnect = redis_disconnect,
	.publish = redis_publish,
	.subscribe = redis_subscribe,
	.unsubscribe = redis_unsubscribe,
	.ack = redis_ack,
	.pause = redis_pause,
	.drain = redis_drain,
	.audience = redis_audience,
	.list = redis_list,
	.address = redis_address,
};

MODULE_BROKER(redis_broker_ops);
