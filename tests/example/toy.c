/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The toy broker: the example that the HOW TO of core/broker.h walks through. Its server
 * and its protocol, which is lines, are tests/example/toyd.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "core/ledger.h"
#include "core/log.h"
#include "core/pipeline.h"
#include "core/wire.h"

enum { LINE_BYTES = 300, NAME_BYTES = 65535, BODY_BYTES = 64 << 20 };

struct toy_broker {
	struct broker b;
	struct pipeline p;
	struct wire_reader wire;
	struct ledger ledger;		/* id: the tag */
	struct buf payload;
	uint64_t keepalive_ms, ids;
	bool greeted, warned;
};

static const struct broker_option toy_options[] = {
	{ "keepalive", "TIME", "30s", "a server that says nothing for so long is gone; 0: never",
		XOPT_TIME(struct toy_broker, keepalive_ms) },
	{ NULL }
};

static struct toy_broker *toy_of(struct broker *b) { return (struct toy_broker *)b; }

/* The subscription of that number, which is in its priv. */
static struct subscription *
sub_of(const struct toy_broker *t, uint64_t id)
{
	for (struct subscription *s = t->b.subs; s; s = s->next)
		if ((uintptr_t)s->priv == id)
			return s;
	return NULL;
}

static bool acks(const struct subscription *s) { return s->opts.ack != SUBSCRIBE_ACK_NONE; }

/* why: not; NULL: it is live. */
static void
subscribed(struct pipeline *p, const struct flight_entry *e, const void *why)
{
	struct subscription *s = sub_of(p->arg, e->id);
	struct error err;

	if (why)
		error_set(&err, ERR_AUTH, "%s", (const char *)why);
	if (s)
		broker_subscribed(s, why ? &err : NULL);
}

static void
ask(struct toy_broker *t, struct subscription *s)
{
	const char *group = s->opts.group ? s->opts.group : "";
	struct buf *out = pipeline_trial(&t->p, subscribed, NULL, (uintptr_t)s->priv, 0,
		!s->told);

	if (s->told && !s->opts.group)
		log_warn("%.*s: events that were published meanwhile are lost", BYTES_FMT(s->topic));
	buf_addf(out, "SUB %zu %zu %zu %d\n", (size_t)s->priv, s->topic.n, strlen(group), acks(s));
	buf_add_bytes(out, s->topic);
	buf_add_str(out, group);
}

/* ---- what comes ---- */

static void
toy_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	struct toy_broker *t = toy_of(b);
	struct ledger *l = &t->ledger;

	if (!ledger_settle(l, &first, &last, ok) || !t->p.ready)
		return;
	for (uint64_t n = first; n <= last; n++) {
		if (ledger_at(l, n)->state >= LEDGER_OK)
			buf_addf(pipeline_out(&t->p), "%s %llu\n", ok ? "ACK" : "NAK",
				(unsigned long long)ledger_at(l, n)->id);
		ledger_done(l, n);
	}
	ledger_trim(l);
	pipeline_kick(&t->p);
}

static void
event(struct toy_broker *t, uint64_t id, uint64_t tag, struct bytes topic, size_t body)
{
	struct subscription *s = sub_of(t, id);
	struct event ev = event_none;
	struct timespec now;

	if (!s)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	ev.time_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	ev.topic = topic;
	wire_read(&t->wire, (char *)topic.p + topic.n, body, &ev, &t->warned);
	if (acks(s))
		ledger_add(&t->ledger, t->b.delivered + 1)->id = tag;
	link_progress(t->p.link);
	if (broker_deliver(s, &ev) == EVENT_DROPPED && acks(s))
		toy_ack(&t->b, ev.number, ev.number, false);
}

static void
fault(struct toy_broker *t, const char *why)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: %s", link_name(t->p.link), why);
	pipeline_fail(&t->p, &err);
}

/* why NULL: OK. */
static void
answered(struct toy_broker *t, const char *why)
{
	struct flight_entry *e = t->greeted ? pipeline_front(&t->p) : NULL;
	bool again = t->p.ever;
	struct error err;

	if (why)
		error_set(&err, ERR_REFUSED, "%s", why);
	if (e && e->state & PIPE_EVENT) {
		pipeline_settle(&t->p, why ? FATE_REFUSED : FATE_CONFIRMED, &err);
	} else if (e) {
		pipeline_reply(&t->p, why);
	} else if (t->greeted || why) {
		fault(t, why ? why : "an answer to no question");
	} else {
		t->greeted = true;
		pipeline_ready(&t->p);
		for (struct subscription *s = again ? t->b.subs : NULL; s; s = s->next)
			ask(t, s);
	}
}

static size_t
toy_data(struct pipeline *p, char *data, size_t n)
{
	struct toy_broker *t = p->arg;
	size_t used = 0, topic, body;
	uint64_t id, tag;

	for (char *line = data, *end; used < n && !p->failed; line = data + used) {
		end = memchr(line, '\n', n - used);
		if (!end && n - used < LINE_BYTES)
			break;
		if (end)
			*end = '\0';
		if (end && sscanf(line, "EVENT %" SCNu64 " %" SCNu64 " %zu %zu", &id, &tag, &topic,
		    &body) == 4 && topic <= NAME_BYTES && body <= BODY_BYTES) {
			if (n - (size_t)(end + 1 - data) < topic + body) {
				*end = '\n';		/* it comes again */
				break;
			}
			event(t, id, tag, bytes_of(end + 1, topic), body);
			end += topic + body;
		} else if (end && (strcmp(line, "OK") == 0 || strncmp(line, "NO ", 3) == 0)) {
			answered(t, *line == 'O' ? NULL : line + 3);
		} else {
			fault(t, "this is no toy server");
			return n;
		}
		used = (size_t)(end + 1 - data);
	}
	return used;
}

static void
toy_greet(struct pipeline *p)
{
	((struct toy_broker *)p->arg)->greeted = false;
	buf_add_str(pipeline_out(p), "TOY 1\n");
	pipeline_kick(p);
}

static void
toy_ping(struct pipeline *p)
{
	buf_add_str(pipeline_ask(p, NULL, NULL, 0, 0), "PING\n");
}

static bool
toy_lost(struct pipeline *p, struct error *why, bool *again)
{
	(void)why, (void)again;
	/* The server gives to somebody else what was not acknowledged. */
	ledger_forget(&((struct toy_broker *)p->arg)->ledger);
	return true;
}

static const struct pipeline_ops toy_pipeline = { toy_greet, toy_data, toy_lost, toy_ping, NULL };

/* ---- the ops ---- */

static int
toy_init(struct broker *b, struct error *err)
{
	static const struct link_scheme schemes[] = { { "toy", false }, { NULL, false } };
	struct toy_broker *t = toy_of(b);
	const struct pipeline_options o = {
		.broker = b, .main = true, .keepalive_ms = t->keepalive_ms,
		.link = { &b->opts, b->ops->default_address, schemes, 7070, 0, 2 * BODY_BYTES },
	};

	b->caps = (b->caps & ~(BROKER_HEADER | BROKER_NULL_BODY)) | wire_caps(b->opts.wire);
	wire_reader_init(&t->wire, b->opts.wire);
	if (b->opts.ack == PUBLISH_ACK_ALL)
		return error_set(err, ERR_NOTFOUND, "--ack all: there is only one toy server");
	if (pipeline_open(&t->p, &o, &toy_pipeline, t, err) < 0)
		return -1;
	t->p.keeps = b->opts.reconnect != 0;
	return 0;
}

static void
toy_release(struct broker *b)
{
	pipeline_release(&toy_of(b)->p);
	wire_reader_release(&toy_of(b)->wire);
	ledger_release(&toy_of(b)->ledger);
	buf_release(&toy_of(b)->payload);
}

static int
toy_connect(struct broker *b, struct error *err)
{
	(void)err;
	pipeline_start(&toy_of(b)->p);
	return 0;
}

static void
toy_disconnect(struct broker *b)
{
	pipeline_close(&toy_of(b)->p);
}

static int
toy_publish(struct broker *b, const struct publication *p, struct error *err)
{
	struct toy_broker *t = toy_of(b);
	struct buf *out;

	if (p->topic.n > NAME_BYTES || p->size > BODY_BYTES / 2)
		return error_set(err, ERR_REFUSED, "too large for the toy server");
	buf_clear(&t->payload);
	wire_write(&t->payload, &p->msg, b->opts.wire);
	out = pipeline_begin(&t->p);
	buf_addf(out, "PUB %zu %zu\n", p->topic.n, buf_len(&t->payload));
	buf_add_bytes(out, p->topic);
	buf_add_bytes(out, buf_bytes(&t->payload));
	pipeline_commit(&t->p, p, 0);
	return 0;
}

static int
toy_subscribe(struct subscription *s, struct error *err)
{
	struct toy_broker *t = toy_of(s->broker);

	if (s->topic.n > NAME_BYTES || (s->opts.group && !*s->opts.group))
		return error_set(err, ERR_USAGE, "no topic or group of the toy server");
	s->priv = (void *)(uintptr_t)++t->ids;
	if (t->p.ready)			/* else when it is */
		ask(t, s);
	return 0;
}

static void
toy_unsubscribe(struct subscription *s)
{
	struct toy_broker *t = toy_of(s->broker);

	if (s->priv && t->p.ready && !t->p.failed)
		buf_addf(pipeline_ask(&t->p, NULL, NULL, 0, 0), "END %zu\n", (size_t)s->priv);
}

static void
toy_pause(struct broker *b, bool on)
{
	pipeline_pause(&toy_of(b)->p, on);
}

static void
toy_drain(struct broker *b)
{
	pipeline_drain(&toy_of(b)->p);
}

const struct broker_ops toy_broker_ops = {
	.name = "toy",
	.default_address = "127.0.0.1:7070",
	.caps = BROKER_HEADER | BROKER_NULL_BODY | BROKER_RAW | BROKER_BINARY_TOPIC | BROKER_GROUP |
		BROKER_ACK | BROKER_ACK_CHOICE | BROKER_RECONNECT,
	.size = sizeof(struct toy_broker),
	.options = toy_options,
	.init = toy_init,
	.release = toy_release,
	.connect = toy_connect,
	.disconnect = toy_disconnect,
	.publish = toy_publish,
	.subscribe = toy_subscribe,
	.unsubscribe = toy_unsubscribe,
	.ack = toy_ack,
	.pause = toy_pause,
	.drain = toy_drain,
};

MODULE_BROKER(toy_broker_ops);
