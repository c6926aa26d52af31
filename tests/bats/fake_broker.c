/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker for the tests of pub and sub, loaded in the place of the null broker
 * (MBUS_MODULES): it does what its -X options say, so that every way a broker
 * can behave is to be had at once and without a network.
 *
 *	sub:	count events of size bytes each are delivered, batch a turn of the
 *		loop, every so many ms; or random ones (random=SEED); what was
 *		delivered goes to the file record, acknowledgements to acks
 *	pub:	every nth event is refused or its fate unknown, the others are
 *		confirmed after delay ms; what was published goes to the file record
 *	both:	connect=refused|hang|late, fail=N ends the connection after N events
 *
 * told=FILE holds what it was told: options of the broker, of each subscription and
 * of each publication that has some, the password too. FAKE_CAPS are the caps it has,
 * by default those of a broker with no server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/broker.h"
#include "core/listing.h"
#include "core/buf.h"
#include "core/tls.h"

struct flying {
	uint64_t id;
	size_t bytes;
	uint64_t number;
};

struct fake {
	struct broker b;
	FILE *record, *acks, *told;
	uint64_t count, size, batch, every, seed, refuse, unknown, delay, fail, seen;
	bool paused, late_ends;
	struct subscription *late;
	struct loop_timer timer, answer, later;
	struct flying *flying;
	size_t nflying, cap;
	audience_fn *audience;
	listing_fn *listed;
	void *audience_arg, *listed_arg;
};

static uint64_t
number(struct fake *f, const char *name)
{
	const char *v = broker_xopt(&f->b, name);

	return v ? strtoull(v, NULL, 10) : 0;
}

static FILE *
file(struct fake *f, const char *name)
{
	const char *v = broker_xopt(&f->b, name);

	return v ? fopen(v, "we") : NULL;
}

static uint64_t
rnd(struct fake *f)
{
	f->seed ^= f->seed << 13;
	f->seed ^= f->seed >> 7;
	f->seed ^= f->seed << 17;
	return f->seed;
}

/* ---- the record: what went through, byte for byte ---- */

static void
record_bytes(FILE *out, struct bytes b)
{
	fprintf(out, "%ld:", b.p ? (long)b.n : -1L);
	if (b.n)
		fwrite(b.p, 1, b.n, out);
	putc('\n', out);
}

static void
record(struct fake *f, struct bytes topic, const struct message *m)
{
	if (!f->record)
		return;
	record_bytes(f->record, topic);
	record_bytes(f->record, m->key);
	record_bytes(f->record, m->body);
	for (size_t i = 0; i < m->nheaders; i++) {
		record_bytes(f->record, m->headers[i].name);
		record_bytes(f->record, m->headers[i].value);
	}
	putc('\n', f->record);
	fflush(f->record);
}

/* ---- what it was told ---- */

static void
tell_bytes(struct fake *f, const char *name, struct bytes b)
{
	if (b.p)
		fprintf(f->told, " %s=%.*s", name, BYTES_FMT(b));
}

/* What is rarely said, so that it is told only where it was. */
static void
tell_more(struct fake *f, const struct broker_options *o)
{
	if (o->connect_timeout_ms != 5000)
		fprintf(f->told, " connect_timeout=%u", o->connect_timeout_ms);
	if (o->timeout_ms && o->timeout_ms != 30000)
		fprintf(f->told, " timeout=%u", o->timeout_ms);
	if (o->window_events != BROKER_WINDOW)
		fprintf(f->told, " window=%zu", o->window_events);
	if (o->create)
		fprintf(f->told, " create=%u", o->create);
	if (o->transaction)
		fputs(" transaction", f->told);
	tell_bytes(f, "compress", bytes_str(o->compress));
	if (!o->tls)
		return;
	fprintf(f->told, " tls=%d%s", o->tls->on, o->tls->insecure ? " insecure" : "");
	tell_bytes(f, "ca", bytes_str(o->tls->ca));
	tell_bytes(f, "cert", bytes_str(o->tls->cert));
	tell_bytes(f, "key", bytes_str(o->tls->key));
	tell_bytes(f, "sni", bytes_str(o->tls->sni));
}

static void
tell_options(struct fake *f)
{
	const struct broker_options *o = &f->b.opts;

	if (!f->told)
		return;
	fprintf(f->told, "broker reconnect=%d wire=%d ack=%d", o->reconnect, o->wire, o->ack);
	tell_more(f, o);
	tell_bytes(f, "address", bytes_str(o->address));
	tell_bytes(f, "username", bytes_str(o->username));
	tell_bytes(f, "password", o->password);
	tell_bytes(f, "token", bytes_str(broker_xopt(&f->b, "token")));
	fputs("\n", f->told);
	fflush(f->told);
}

static void
tell_position(struct fake *f, const char *name, const struct position *p)
{
	if (p->kind)
		fprintf(f->told, " %s=%d:%lld:%s", name, p->kind, (long long)p->n,
			p->text ? p->text : "");
}

static void
tell_subscription(struct fake *f, const struct subscription *s)
{
	if (!f->told)
		return;
	fprintf(f->told, "sub %.*s ack=%d partition=%lld qos=%d no_retained=%d ended=%d", BYTES_FMT(s->topic),
		s->opts.ack, (long long)s->opts.partition, s->opts.qos, s->opts.no_retained, s->opts.ended != NULL);
	tell_bytes(f, "group", bytes_str(s->opts.group));
	tell_position(f, "from", &s->opts.from);
	tell_position(f, "until", &s->opts.until);
	fputs(s->opts.regex ? " regex\n" : "\n", f->told);
	fflush(f->told);
}

static void
tell_publication(struct fake *f, const struct publication *p)
{
	const struct publish_options *o = p->opts;

	if (!f->told || !o)
		return;
	fprintf(f->told, "pub qos=%d retain=%d partition=%lld ttl=%lld", o->qos, o->retain,
		(long long)o->partition, (long long)o->props.ttl_ms);
	tell_bytes(f, "type", o->props.content_type);
	tell_bytes(f, "reply", o->props.reply_to);
	tell_bytes(f, "correlation", o->props.correlation);
	fputs("\n", f->told);
	fflush(f->told);
}

/* ---- subscribing ---- */

/* Bytes of every kind: text, controls, UTF-8, quotes, and just anything. */
static struct bytes
random_bytes(struct fake *f, char *room, size_t max)
{
	static const char *const pieces[] = { "abc", "\"\\/", "\n\r\t", "\xc3\xa4", "\xe2\x80\xa8",
		"\xf0\x9f\x98\x80", "\x7f", "<&>", "\x1b[1m", "{}", " ", "=:,", "\xc2\x85" };
	size_t n = 0, want = rnd(f) % (max - 8);
	unsigned kind = rnd(f) % 4;

	while (n < want) {
		if (kind < 3) {
			const char *p = pieces[rnd(f) % (sizeof pieces / sizeof *pieces)];

			memcpy(room + n, p, strlen(p));
			n += strlen(p);
		} else {
			room[n++] = (char)rnd(f);
		}
	}
	return bytes_of(room, n);
}

static void
random_event(struct fake *f, struct subscription *s)
{
	static char room[12][200], body[2000];
	struct header h[5];
	struct event ev = event_none;

	ev.topic = random_bytes(f, room[11], 100);
	if (!ev.topic.n)
		ev.topic = s->topic;
	ev.msg.headers = h;
	ev.msg.nheaders = rnd(f) % 6;
	for (size_t i = 0; i < ev.msg.nheaders; i++) {
		h[i].name = random_bytes(f, room[2 * i], 24);
		h[i].value = random_bytes(f, room[2 * i + 1], 100);
		if (i && rnd(f) % 4 == 0)
			h[i].name = h[rnd(f) % i].name;
		if (rnd(f) % 8 == 0)
			h[i].value.p = NULL, h[i].value.n = 0;
	}
	if (rnd(f) % 3 == 0)
		ev.msg.key = random_bytes(f, room[10], 50);
	ev.msg.body = random_bytes(f, body, 1 + 8 + rnd(f) % 1500);
	if (rnd(f) % 16 == 0)
		ev.msg.body = bytes_of(NULL, 0);
	ev.time_us = INT64_C(1795000000000000);
	record(f, ev.topic, &ev.msg);
	broker_deliver(s, &ev);
}

static void
plain_event(struct fake *f, struct subscription *s)
{
	static char body[1 << 24];
	struct header h = { BYTES("id"), { NULL, 0 } };
	struct event ev = event_none;
	char id[24];

	snprintf(id, sizeof id, "%llu", (unsigned long long)f->seen);
	h.value = bytes_str(id);
	if (!*body)
		memset(body, 'x', sizeof body);
	ev.topic = s->topic;
	ev.msg.headers = &h;
	ev.msg.nheaders = 1;
	ev.msg.body = number(f, "json") ? BYTES("{\"a\":1}") : bytes_of(body, f->size);
	ev.wire = EVENT_WIRE_MICRO;
	ev.time_us = INT64_C(1795000000000000) + (int64_t)f->seen;
	if (number(f, "meta")) {
		ev.wire = EVENT_WIRE_RAW;
		ev.qos = 1;
		ev.retain = true;
		ev.partition = 2;
		ev.props = (struct properties){ BYTES("a/b"), BYTES("answers"),
			BYTES("\xff\x01"), 1500 };
	}
	broker_deliver(s, &ev);
}

/* The topic "late" is live, and at its end, so much later than others. */
static bool
is_late(const struct subscription *s)
{
	return bytes_eq(s->topic, BYTES("late"));
}

static void
late_now(struct loop_timer *t)
{
	struct fake *f = t->arg;

	if (!f->late_ends)
		broker_subscribed(f->late, NULL);
	else
		broker_ended(f->late);
}

static void
say_ended(struct fake *f)
{
	for (struct subscription *s = f->b.subs; s; s = s->next) {
		if (!is_late(s)) {
			broker_ended(s);
			continue;
		}
		f->late_ends = true;
		loop_timer_set(f->b.loop, &f->later, number(f, "late"));
	}
}

static void
deliver(struct loop_timer *t)
{
	struct fake *f = t->arg;

	for (uint64_t i = 0; i < f->batch && f->seen < f->count && !f->paused; i++) {
		if (f->fail && f->seen == f->fail) {
			struct error err;

			error_set(&err, ERR_CONNECT, "fake: connection lost");
			broker_failed(&f->b, &err);
			return;
		}
		f->seen++;
		if (number(f, "random"))
			random_event(f, f->b.subs);
		else
			plain_event(f, f->b.subs);
	}
	if (f->seen < f->count && !f->paused)
		loop_timer_set(f->b.loop, t, f->every);
	if (f->seen == f->count && number(f, "ends"))
		say_ended(f);
}

static int
fake_subscribe(struct subscription *s, struct error *err)
{
	struct fake *f = (struct fake *)s->broker;

	if (bytes_eq(s->topic, BYTES("forbidden")))
		return error_set(err, ERR_AUTH, "fake: not authorized");
	tell_subscription(f, s);
	if (is_late(s)) {
		f->late = s;
		loop_timer_set(f->b.loop, &f->later, number(f, "late"));
		return 0;
	}
	broker_subscribed(s, NULL);
	loop_timer_set(f->b.loop, &f->timer, f->every);
	return 0;
}

static void
fake_unsubscribe(struct subscription *s)
{
	(void)s;
}

static void
fake_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	struct fake *f = (struct fake *)b;

	if (f->acks) {
		fprintf(f->acks, "%llu %llu %d\n", (unsigned long long)first,
			(unsigned long long)last, ok);
		fflush(f->acks);
	}
}

static void
fake_pause(struct broker *b, bool on)
{
	struct fake *f = (struct fake *)b;

	f->paused = on;
	if (f->acks)
		fprintf(f->acks, "%s\n", on ? "pause" : "go on"), fflush(f->acks);
	if (!on)
		loop_timer_set(b->loop, &f->timer, 0);
}

/* ---- publishing ---- */

static void
settle(struct fake *f, const struct flying *e)
{
	struct error err;

	if (f->refuse && e->number % f->refuse == 0) {
		error_set(&err, ERR_REFUSED, "fake: refused");
		broker_outcome(&f->b, e->id, e->bytes, FATE_REFUSED, &err);
	} else if (f->unknown && e->number % f->unknown == 0) {
		error_set(&err, ERR_CONNECT, "fake: no answer");
		broker_outcome(&f->b, e->id, e->bytes, FATE_UNKNOWN, &err);
	} else {
		broker_outcome(&f->b, e->id, e->bytes, FATE_CONFIRMED, NULL);
	}
}

static void
answer(struct loop_timer *t)
{
	struct fake *f = t->arg;
	size_t n = f->nflying;

	for (size_t i = 0; i < n; i++)
		settle(f, &f->flying[i]);
	f->nflying -= n;
	memmove(f->flying, f->flying + n, f->nflying * sizeof *f->flying);
}

static int
fake_publish(struct broker *b, const struct publication *p, struct error *err)
{
	struct fake *f = (struct fake *)b;
	struct flying e = { p->id, p->size, ++f->seen };

	if (bytes_eq(p->topic, BYTES("forbidden")))
		return error_set(err, ERR_AUTH, "fake: not authorized");
	if (f->fail && f->seen > f->fail) {
		error_set(err, ERR_CONNECT, "fake: connection lost");
		broker_failed(b, err);
	}
	record(f, p->topic, &p->msg);
	tell_publication(f, p);
	if (!f->delay) {
		settle(f, &e);
		return 0;
	}
	if (f->nflying == f->cap) {
		f->cap = 2 * f->cap + 16;
		f->flying = xrealloc(f->flying, f->cap * sizeof *f->flying);
	}
	f->flying[f->nflying++] = e;
	if (!loop_timer_is_set(&f->answer))
		loop_timer_set(b->loop, &f->answer, f->delay);
	return 0;
}

static void
heard(struct loop_timer *t)
{
	struct fake *f = t->arg;

	f->audience(&f->b, NULL, f->audience_arg);
}

static int
fake_audience(struct broker *b, struct bytes topic, unsigned n, audience_fn *fn, void *arg,
	struct error *err)
{
	struct fake *f = (struct fake *)b;

	(void)topic;
	(void)err;
	f->audience = fn;
	f->audience_arg = arg;
	f->timer.fn = heard;
	if (n <= number(f, "audience"))
		loop_timer_set(b->loop, &f->timer, 10);
	return 0;
}

/* ---- what is there ---- */

static void
list_now(struct loop_timer *t)
{
	static const struct listed_part part = { 0, 1, 1, 1, 0, 7 };
	static const struct listed_topic topic = { "t", 1, &part };
	static const struct listing all = { .ntopics = 1, .topics = &topic };
	struct fake *f = t->arg;

	f->listed(&f->b, &all, NULL, f->listed_arg);
}

static int
fake_list(struct broker *b, const char *const *topics, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	struct fake *f = (struct fake *)b;

	(void)topics;
	(void)n;
	(void)groups;
	(void)err;
	f->listed = fn;
	f->listed_arg = arg;
	f->answer.fn = list_now;
	loop_timer_set(b->loop, &f->answer, f->delay);
	return 0;
}

/* ---- the rest ---- */

static int
fake_init(struct broker *b, struct error *err)
{
	struct fake *f = (struct fake *)b;

	(void)err;
	f->count = number(f, "count");
	f->size = number(f, "size");
	f->batch = number(f, "batch");
	f->every = number(f, "every");
	f->refuse = number(f, "refuse");
	f->unknown = number(f, "unknown");
	f->delay = number(f, "delay");
	f->fail = number(f, "fail");
	f->seed = number(f, "random");
	f->record = file(f, "record");
	f->acks = file(f, "acks");
	f->told = file(f, "told");
	tell_options(f);
	f->timer = (struct loop_timer){ .fn = deliver, .arg = f };
	f->answer = (struct loop_timer){ .fn = answer, .arg = f };
	f->later = (struct loop_timer){ .fn = late_now, .arg = f };
	return 0;
}

static void
fake_release(struct broker *b)
{
	struct fake *f = (struct fake *)b;

	loop_timer_clear(b->loop, &f->timer);
	loop_timer_clear(b->loop, &f->answer);
	loop_timer_clear(b->loop, &f->later);
	free(f->flying);
	if (f->record)
		fclose(f->record);
	if (f->acks)
		fclose(f->acks);
	if (f->told)
		fclose(f->told);
}

static int
fake_connect(struct broker *b, struct error *err)
{
	const char *how = broker_xopt(b, "connect");

	if (strcmp(how, "refused") == 0)
		return error_set(err, ERR_CONNECT, "fake: connection refused");
	if (strcmp(how, "hang") != 0)
		broker_connected(b, NULL);
	return 0;
}

static void
fake_disconnect(struct broker *b)
{
	struct fake *f = (struct fake *)b;

	if (f->acks)
		fputs("disconnect\n", f->acks);
}

static const struct broker_option fake_options[] = {
	{ "count", "N", "0", "events to deliver" },
	{ "size", "N", "10", "bytes of each body" },
	{ "batch", "N", "1", "so many in one turn" },
	{ "every", "MS", "0", "time between turns" },
	{ "random", "SEED", NULL, "random events" },
	{ "record", "FILE", NULL, "what was delivered or published" },
	{ "acks", "FILE", NULL, "what was acknowledged, in what order" },
	{ "refuse", "N", "0", "refuse each Nth" },
	{ "unknown", "N", "0", "lose the answer to each Nth" },
	{ "delay", "MS", "0", "before the answer" },
	{ "fail", "N", "0", "lose the connection after N" },
	{ "connect", "HOW", "ok", "ok, refused or hang" },
	{ "audience", "N", "0", "so many subscribe" },
	{ "meta", "1", "0", "events have properties, a QoS and more" },
	{ "ends", "1", "0", "say that all has come" },
	{ "json", "1", "0", "bodies are JSON" },
	{ "late", "MS", "0", "the topic `late` is live and ends so much later" },
	{ "told", "FILE", NULL, "what it was told to do" },
	{ "token", "SECRET", NULL, "a secret", true },
	{ NULL }
};

#ifndef FAKE_CAPS
#define FAKE_CAPS (BROKER_GROUP | BROKER_ACK | BROKER_AUDIENCE | BROKER_NO_NETWORK | \
	BROKER_HEADER | BROKER_KEY | BROKER_NULL_BODY | BROKER_NULL_HEADER | \
	BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER | BROKER_BINARY_TOPIC)
#endif

static const struct broker_ops fake_ops = {
	.name = "null",
	.caps = FAKE_CAPS,
	.url_path = "topic",
	.size = sizeof(struct fake),
	.options = fake_options,
	.init = fake_init,
	.release = fake_release,
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.publish = fake_publish,
	.subscribe = fake_subscribe,
	.unsubscribe = fake_unsubscribe,
	.ack = fake_ack,
	.pause = fake_pause,
	.audience = fake_audience,
	.list = fake_list,
};

MODULE_BROKER(fake_ops);
