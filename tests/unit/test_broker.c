/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/broker: what holds for every backend, tried with one that does nothing but
 * remember. It stands in the table where the null broker would: a default build
 * has that as a module, so its place in the binary is free.
 */
#include <stdlib.h>

#include "core/broker.h"
#include "core/buf.h"
#include "core/registry.h"
#include "tests/unit/test.h"

static struct {
	unsigned caps;
	int init, release, connect, disconnect, subscribe, unsubscribe, paused;
	bool init_fails, connect_later, connect_fails, publish_fails, subscribe_fails;
	bool at_once;			/* publish confirms from within */
	enum fate fate;
	uint64_t first, last;		/* of the last ack */
	bool ack_ok;
	unsigned acks;
	struct { uint64_t id; size_t size; } flying[64];
	size_t nflying;
} fake;

static int
fake_init(struct broker *b, struct error *err)
{
	(void)b;
	fake.init++;
	return fake.init_fails ? error_set(err, ERR_USAGE, "init says no") : 0;
}

static void
fake_release(struct broker *b)
{
	(void)b;
	fake.release++;
}

static int
fake_connect(struct broker *b, struct error *err)
{
	struct error why;

	fake.connect++;
	if (fake.connect_fails)
		return error_set(err, ERR_CONNECT, "connect says no");
	if (fake.connect_later)
		return 0;
	(void)why;
	broker_connected(b, NULL);
	return 0;
}

static void
fake_disconnect(struct broker *b)
{
	(void)b;
	fake.disconnect++;
}

static int
fake_publish(struct broker *b, const struct publication *p, struct error *err)
{
	static const struct error no = { ERR_REFUSED, "no" };

	if (fake.publish_fails)
		return error_set(err, ERR_REFUSED, "publish says no");
	if (fake.at_once) {
		broker_outcome(b, p->id, publication_size(p), fake.fate,
			fake.fate == FATE_CONFIRMED ? NULL : &no);
		return 0;
	}
	fake.flying[fake.nflying].id = p->id;
	fake.flying[fake.nflying++].size = publication_size(p);
	return 0;
}

static int
fake_subscribe(struct subscription *s, struct error *err)
{
	fake.subscribe++;
	if (fake.subscribe_fails)
		return error_set(err, ERR_AUTH, "subscribe says no");
	broker_subscribed(s, NULL);
	return 0;
}

static void
fake_unsubscribe(struct subscription *s)
{
	(void)s;
	fake.unsubscribe++;
}

static void
fake_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	(void)b;
	fake.acks++;
	fake.first = first;
	fake.last = last;
	fake.ack_ok = ok;
}

static void
fake_pause(struct broker *b, bool on)
{
	(void)b;
	fake.paused = on;
}

static const struct broker_option fake_options[] = {
	{ "speed", "N", "7", "how fast" },
	{ "colour", "NAME", NULL, "which" },
	{ NULL, NULL, NULL, NULL }
};

/* Not const: the tests change what it can do. */
extern struct broker_ops null_broker_ops;
struct broker_ops null_broker_ops = {
	.name = "null",
	.default_address = "nowhere:1",
	.size = sizeof(struct broker) + 100,
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
};

/* ---- the user's side ---- */

static struct {
	int connected, rooms, failed;
	struct error error;
	uint64_t outcomes[100];
	enum fate fates[100];
	size_t n;
	uint64_t next;			/* published from within room() */
	uint64_t again;			/* published from within outcome() */
} user;

static struct loop *loop;

static struct publication
publication(uint64_t id, const char *body)
{
	return (struct publication){ .id = id, .topic = BYTES("topic"),
		.msg = { .body = bytes_str(body) } };
}

static void
on_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct error err;

	check(arg == &user);
	check(!o->error == (o->fate == FATE_CONFIRMED));
	user.outcomes[user.n] = o->id;
	user.fates[user.n++] = o->fate;
	if (user.again) {
		struct publication p = publication(user.again, "again");

		user.again = 0;
		check_int(broker_publish(b, &p, &err), 0);
	}
}

static void
on_room(struct broker *b, void *arg)
{
	struct error err;

	(void)arg;
	user.rooms++;
	while (user.next) {
		struct publication p = publication(user.next, "12345");

		if (broker_publish(b, &p, &err) != 0)
			break;
		user.next++;
	}
}

static void
on_connected(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	(void)arg;
	user.connected++;
	if (err)
		user.error = *err;
}

static void
on_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	(void)arg;
	user.failed++;
	user.error = *err;
}

static const struct broker_notify notify = { on_outcome, on_room, on_connected, on_failed };

static struct broker *
open_broker(size_t events, size_t bytes, unsigned caps)
{
	struct broker_options opts = { .window_events = events, .window_bytes = bytes,
		.notify = &notify, .notify_arg = &user };
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	memset(&user, 0, sizeof user);
	null_broker_ops.caps = caps;
	loop = loop_new(&err);
	b = broker_new("null", loop, &opts, &err);
	if (b && broker_connect(b, &err) < 0)
		abort();
	return b;
}

static void
close_broker(struct broker *b)
{
	broker_free(b);
	loop_free(loop);
}

static void
settle(struct broker *b, size_t i, enum fate fate)
{
	static const struct error why = { ERR_UNKNOWN, "why" };

	broker_outcome(b, fake.flying[i].id, fake.flying[i].size, fate,
		fate == FATE_CONFIRMED ? NULL : &why);
}

static int
publish(struct broker *b, uint64_t id, const char *body)
{
	struct publication p = publication(id, body);
	struct error err = ERROR_INIT;

	return broker_publish(b, &p, &err);
}

/* ---- life ---- */

TEST(life)
{
	struct broker *b = open_broker(1, 1, 0);
	struct error err;

	need(b);
	check_int(fake.init, 1);
	check_int(fake.connect, 1);
	check_int(user.connected, 1);
	check_int(broker_connect(b, &err), 0);	/* connected already */
	check_int(fake.connect, 1);
	broker_disconnect(b);
	broker_disconnect(b);
	check_int(fake.disconnect, 1);
	close_broker(b);
	check_int(fake.disconnect, 1);
	check_int(fake.release, 1);
	broker_free(NULL);
}

TEST(init_that_fails)
{
	struct broker_options opts = { 0 };
	struct error err;

	memset(&fake, 0, sizeof fake);
	fake.init_fails = true;
	check(broker_new("null", NULL, &opts, &err) == NULL);
	check_str(err.text, "init says no");
	check_int(fake.release, 1);
	check_int(fake.disconnect, 0);
}

TEST(not_connected_yet)
{
	struct broker_options opts = { .notify = &notify };
	struct subscribe_options sub = { 0 };
	struct publication p = publication(1, "x");
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	memset(&user, 0, sizeof user);
	fake.connect_later = true;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_int(broker_connect(b, &err), 0);
	check_int(broker_publish(b, &p, &err), -1);
	check_int(err.kind, ERR_CONNECT);
	check(broker_subscribe(b, BYTES("t"), &sub, NULL, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_CONNECT);
	broker_connected(b, &(struct error){ ERR_AUTH, "wrong password" });
	check_int(user.connected, 1);
	check_int(user.error.kind, ERR_AUTH);
	check_int(broker_publish(b, &p, &err), -1);
	broker_connected(b, NULL);
	check_int(broker_publish(b, &p, &err), 0);
	broker_failed(b, &(struct error){ ERR_CONNECT, "gone" });
	check_int(user.failed, 1);
	check_str(user.error.text, "gone");
	broker_free(b);
}

TEST(nobody_to_notify)
{
	struct broker_options opts = { 0 };
	struct publication p = publication(1, "x");
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	fake.at_once = true;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_int(broker_connect(b, &err), 0);
	check_int(broker_publish(b, &p, &err), 0);
	broker_failed(b, &err);
	broker_free(b);
}

TEST(options)
{
	static const struct broker_xopt x[] = {
		{ "null.speed", "1" }, { "speed", "2" }, { "mdns.wait", "full" },
	};
	static const struct broker_xopt bad[] = { { "null.size", "1" } }, bad2[] = { { "size", "1" } },
		bad3[] = { { "mdns.wait", "full" } }, bad4[] = { { "http.speed", "1" } };
	static const struct broker_xopt *const all_bad[] = { bad, bad2, bad3, bad4 };
	struct broker_options opts = { .xopts = x, .nxopts = 2 };
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	null_broker_ops.caps = 0;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_str(broker_xopt(b, "speed"), "2");	/* the last one */
	check(broker_xopt(b, "colour") == NULL);
	broker_free(b);
	opts.nxopts = 0;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_str(broker_xopt(b, "speed"), "7");
	check_str(broker_address(b), "nowhere:1");
	broker_free(b);
	opts.nxopts = 1;
	for (size_t i = 0; i < sizeof all_bad / sizeof *all_bad; i++) {
		opts.xopts = all_bad[i];
		check(broker_new("null", NULL, &opts, &err) == NULL);
		check_int(err.kind, ERR_USAGE);
		check(strstr(err.text, all_bad[i]->name));
	}
	/* With a registry, its options are not the broker's affair. */
	null_broker_ops.caps = BROKER_REGISTRY;
	opts.xopts = x;
	opts.nxopts = 3;
	b = broker_new("null", NULL, &opts, &err);
	check(b);
	broker_free(b);
}

TEST(names)
{
	struct error err;

	check(broker_find("null", &err) == &null_broker_ops);
	check(broker_find("nul", &err) == NULL);
	check_int(err.kind, ERR_USAGE);
	check(strstr(err.text, "did you mean null?"));
	check(broker_find("", &err) == NULL);
	check(broker_find("a name that is like no other and long, too", &err) == NULL);
	check(!strstr(err.text, "did you mean"));
	check(broker_find("mdns", &err) == NULL);	/* a registry */
	check(registry_find("mdns", &err));
	check(registry_find("null", &err) == NULL);
}

/* ---- the window ---- */

TEST(window_of_events)
{
	struct broker *b = open_broker(4, 1000, 0);

	need(b);
	for (uint64_t id = 1; id <= 4; id++)
		check_int(publish(b, id, "x"), 0);
	check_int(publish(b, 5, "x"), PUBLISH_FULL);
	check_int(publish(b, 5, "x"), PUBLISH_FULL);
	check_int(fake.nflying, 4);
	settle(b, 0, FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(publish(b, 5, "x"), 0);
	/* Never full again: nobody is told. */
	for (size_t i = 1; i < 5; i++)
		settle(b, i, i == 2 ? FATE_UNKNOWN : i == 3 ? FATE_REFUSED : FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(user.n, 5);
	check_int(user.fates[2], FATE_UNKNOWN);
	check_int(user.fates[3], FATE_REFUSED);
	check_int(b->flying_events, 0);
	check_int(b->flying_bytes, 0);
	close_broker(b);
}

TEST(window_of_bytes)
{
	struct broker *b = open_broker(100, 40, 0);
	char large[1000];

	need(b);
	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	/* One event always fits, however large. */
	check_int(publish(b, 1, large), 0);
	check_int(publish(b, 2, ""), PUBLISH_FULL);
	settle(b, 0, FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(publish(b, 2, "0123456789"), 0);	/* 15 with the topic */
	check_int(publish(b, 3, "0123456789"), 0);
	check_int(publish(b, 4, "0123456789"), PUBLISH_FULL);
	check_int(publish(b, 4, "01234"), 0);		/* but a small one does */
	check_int(publish(b, 5, ""), PUBLISH_FULL);
	close_broker(b);
}

/* room() may publish, and so may outcome(); a publisher that fills the window again
 * from within is told again. */
TEST(publishing_from_within)
{
	struct broker *b = open_broker(8, 100000, 0);

	need(b);
	user.next = 1;
	on_room(b, NULL);
	user.rooms = 0;
	check_int(fake.nflying, 8);
	for (size_t i = 0; i < 40; i++)
		settle(b, i, FATE_CONFIRMED);
	check(user.rooms >= 10);
	check(fake.nflying >= 46);
	check(b->flying_events <= 8);
	for (size_t i = 0; i < user.n; i++)
		check_int(user.outcomes[i], i + 1);
	user.next = 0;
	user.again = 99;
	settle(b, 40, FATE_CONFIRMED);
	check_int(fake.flying[fake.nflying - 1].id, 99);
	close_broker(b);
}

TEST(outcome_before_publish_returns)
{
	struct broker *b = open_broker(1, 1, 0);

	need(b);
	fake.at_once = true;
	for (uint64_t id = 1; id <= 50; id++)
		check_int(publish(b, id, "x"), 0);
	check_int(user.n, 50);
	check_int(b->flying_events, 0);
	check_int(b->flying_bytes, 0);
	fake.fate = FATE_REFUSED;
	check_int(publish(b, 51, "x"), 0);
	check_int(user.fates[50], FATE_REFUSED);
	close_broker(b);
}

TEST(refused_at_once)
{
	struct broker *b = open_broker(2, 1000, 0);

	need(b);
	fake.publish_fails = true;
	check_int(publish(b, 1, "x"), -1);
	check_int(publish(b, 2, "x"), -1);
	check_int(publish(b, 3, "x"), -1);
	check_int(user.n, 0);		/* no outcome follows */
	check_int(b->flying_events, 0);
	check_int(b->flying_bytes, 0);
	close_broker(b);
}

TEST(window_of_nothing_is_one)
{
	struct broker *b = open_broker(0, 0, 0);

	need(b);
	check_int(publish(b, 1, "x"), 0);
	check_int(publish(b, 2, "x"), PUBLISH_FULL);
	settle(b, 0, FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(publish(b, 2, "x"), 0);
	close_broker(b);
}

/* ---- what a broker cannot carry ---- */

TEST(what_cannot_be_carried)
{
	static const struct header plain[] = { { BYTES("a"), BYTES("1") }, { BYTES("b"), BYTES("2") } },
		none[] = { { BYTES("a"), { NULL, 0 } } },
		twice[] = { { BYTES("a"), BYTES("1") }, { BYTES("b"), BYTES("2") },
			{ BYTES("a"), BYTES("3") } },
		binary[] = { { BYTES("a"), BYTES("\xff") } },
		binary_name[] = { { BYTES("\xc3"), BYTES("1") } },
		cases_differ[] = { { BYTES("a"), BYTES("1") }, { BYTES("A"), BYTES("2") } };
#define none_of { .ttl_ms = -1 }
	static const struct {
		const char *field;
		unsigned cap;
		struct bytes topic;
		struct message msg;
		struct publish_options opts;
	} cases[] = {
		{ NULL, 0, BYTES("t"), { .body = BYTES("x") } },
		{ NULL, 0, BYTES("t"), { .body = BYTES("\xff\0"), .headers = plain, .nheaders = 2 } },
		{ NULL, 0, BYTES("t"), { .body = BYTES(""), .headers = cases_differ, .nheaders = 2 } },
		{ "topic", BROKER_BINARY_TOPIC, BYTES("\xff"), { .body = BYTES("x") } },
		{ "key", BROKER_KEY, BYTES("t"), { .key = BYTES(""), .body = BYTES("x") } },
		{ "null", BROKER_NULL_BODY, BYTES("t"), { .body = { NULL, 0 } } },
		{ "null", BROKER_NULL_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = none, .nheaders = 1 } },
		{ "repeat", BROKER_REPEAT_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = twice, .nheaders = 3 } },
		{ "binary", BROKER_BINARY_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = binary, .nheaders = 1 } },
		{ "binary", BROKER_BINARY_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = binary_name, .nheaders = 1 } },
		{ "header", BROKER_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = plain, .nheaders = 1 } },
		{ "qos", BROKER_QOS, BYTES("t"), { .body = BYTES("") }, { 1, false, -1, none_of } },
		{ "retain", BROKER_RETAIN, BYTES("t"), { .body = BYTES("") },
			{ -1, true, -1, none_of } },
		{ "partition", BROKER_PARTITION, BYTES("t"), { .body = BYTES("") },
			{ -1, false, 0, none_of } },
		{ "property", BROKER_PROPS, BYTES("t"), { .body = BYTES("") },
			{ -1, false, -1, { .reply_to = BYTES("r"), .ttl_ms = -1 } } },
		{ "property", BROKER_PROPS, BYTES("t"), { .body = BYTES("") },
			{ -1, false, -1, { .ttl_ms = 0 } } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		/* Able to do all but that; what every broker carries, with headers alone. */
		unsigned able = cases[i].field ? ~0u & ~cases[i].cap : BROKER_HEADER;
		struct broker *b = open_broker(10, 1000, able);
		/* A case without options is all zero: it has the defaults. */
		bool own = cases[i].opts.qos || cases[i].opts.props.ttl_ms;
		struct publication p = { 1, cases[i].topic, cases[i].msg,
			own ? &cases[i].opts : NULL };
		const char *field = broker_cannot_carry(able, &p);
		struct error err = ERROR_INIT;

		need(b);
		check(!field == !cases[i].field);
		if (field)
			check_str(field, cases[i].field);
		check_int(broker_publish(b, &p, &err), field ? -1 : 0);
		check_int(err.kind, field ? ERR_REFUSED : ERR_NONE);
		check_int(fake.nflying, !field);
		check(broker_cannot_carry(able | cases[i].cap, &p) == NULL);
		close_broker(b);
	}
}

/* ---- subscribing ---- */

static struct {
	uint64_t numbers[10];
	int n, live;
	enum handled answer;
} heard;

static enum handled
on_event(struct subscription *s, const struct event *ev, void *arg)
{
	check(arg == &heard);
	check_bytes(ev->topic, s->topic);
	heard.numbers[heard.n++] = ev->number;
	return heard.answer;
}

static void
on_subscribed(struct subscription *s, const struct error *err, void *arg)
{
	(void)s;
	(void)arg;
	heard.live += !err;
}

TEST(subscribing)
{
	struct subscribe_options opts = subscribe_defaults;
	struct broker *b = open_broker(1, 1, BROKER_ACK | BROKER_GROUP);
	char name[] = "topic-1";
	struct subscription *one, *two;
	struct event ev = event_none;
	struct error err;

	need(b);
	memset(&heard, 0, sizeof heard);
	one = broker_subscribe(b, bytes_str(name), &opts, on_event, on_subscribed, &heard, &err);
	memset(name, 'x', 5);		/* the topic was copied */
	two = broker_subscribe(b, BYTES("topic-2"), &opts, on_event, on_subscribed, &heard, &err);
	need(one && two);
	check_int(heard.live, 2);
	check_bytes(one->topic, BYTES("topic-1"));
	/* Numbers are the broker's, over all subscriptions. */
	for (int i = 0; i < 5; i++) {
		struct subscription *s = i % 2 ? two : one;

		ev.topic = s->topic;
		heard.answer = i == 4 ? EVENT_DROPPED : EVENT_TAKEN;
		check_int(broker_deliver(s, &ev), heard.answer);
		check_int(heard.numbers[i], i + 1);
	}
	broker_ack(b, 1, 4, true);
	check(fake.first == 1 && fake.last == 4 && fake.ack_ok);
	broker_ack(b, 5, 5, false);
	check(fake.first == 5 && fake.last == 5 && !fake.ack_ok);
	broker_pause(b, true);
	check_int(fake.paused, 1);
	broker_pause(b, false);
	check_int(fake.paused, 0);
	broker_unsubscribe(one);
	check_int(fake.unsubscribe, 1);
	check(b->subs == two && two->next == NULL);
	broker_disconnect(b);		/* unsubscribes what is left, first */
	check_int(fake.unsubscribe, 2);
	check(b->subs == NULL);
	broker_ack(b, 1, 1, true);	/* leads nowhere any more */
	check_int(fake.acks, 2);
	close_broker(b);
}

static void
ended(struct subscription *s, void *arg)
{
	(void)s;
	(void)arg;
}

TEST(what_a_subscription_asks_for_and_the_broker_has_not)
{
	static const struct {
		unsigned cap;
		struct subscribe_options opts;
		const char *words;
	} cases[] = {
		{ BROKER_GROUP, { .group = "g", .qos = -1 }, "has no groups" },
		{ BROKER_ACK, { .ack = SUBSCRIBE_ACK_AFTER_WRITE, .qos = -1 }, "--ack after-write" },
		{ BROKER_ACK_CHOICE, { .ack = SUBSCRIBE_ACK_NONE, .qos = -1 }, "choice of --ack" },
		{ BROKER_OFFSET, { .from = { POSITION_END, 0, NULL }, .qos = -1 }, "keeps no events" },
		{ BROKER_OFFSET, { .until = { POSITION_TIME, 1, NULL }, .qos = -1 }, "keeps no events" },
		{ BROKER_END, { .ended = ended, .qos = -1 }, "keeps no events" },
		{ BROKER_QOS, { .qos = 0 }, "has no QoS" },
		{ BROKER_RETAIN, { .qos = -1, .no_retained = true }, "retains no events" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct broker *b = open_broker(1, 1, 0);
		struct error err;

		need(b);
		check(!broker_subscribe(b, BYTES("t"), &cases[i].opts, on_event, NULL, NULL, &err));
		check_int(err.kind, ERR_NOTFOUND);
		check(strstr(err.text, cases[i].words) != NULL);
		b->caps |= cases[i].cap;
		check(broker_subscribe(b, BYTES("t"), &cases[i].opts, on_event, NULL, NULL, &err));
		close_broker(b);
	}
}

TEST(subscribing_refused)
{
	struct subscribe_options opts = subscribe_defaults;
	struct broker *b = open_broker(1, 1, 0);
	struct error err;

	need(b);
	opts.group = "g";
	check(broker_subscribe(b, BYTES("t"), &opts, on_event, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_NOTFOUND);
	opts.group = NULL;
	check(broker_subscribe(b, BYTES("\xff"), &opts, on_event, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_USAGE);
	check_int(fake.subscribe, 0);
	fake.subscribe_fails = true;
	check(broker_subscribe(b, BYTES("t"), &opts, on_event, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_AUTH);
	check(b->subs == NULL);
	check_int(broker_audience(b, BYTES("t"), 1, NULL, NULL, &err), -1);
	check_int(err.kind, ERR_NOTFOUND);
	close_broker(b);
}
